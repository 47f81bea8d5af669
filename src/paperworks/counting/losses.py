"""The losses of the counting token, equations (1) to (5), and what the dynamic scale makes of their gradient, (6).

    count       ĉ = Σ Φ(x, c) / s                                 (1)
    count loss  L_count = |ĉ − N|   or   (ĉ − N)²                 (2)
    semantic    L_sem = 1 − cos(f_I(x), f_T(c))                   (3)
    total       L = L_count + λ L_sem                             (4)
    dynamic     s = stopgrad( Σ Φ(x, c) / n(x, c) )               (5)

With (5) the value of ĉ is the detector's count n, and its gradient is that of the density:

    ∂L_count/∂v = sign(n − N) · n · ∂ log ΣΦ / ∂v                 (6)

a straight-through estimator: how far from the detector, which way from the density. Everything is float32, because at
ĉ = N a rounding error would decide the sign.
"""

from __future__ import annotations

import torch
from torch import Tensor


def dynamic_scale(mass: Tensor, counts: Tensor, last: Tensor) -> Tensor:
    """Equation (5): `Σ Φ / n` without a gradient, all `[...]`; where the detector finds nothing, or there is no mass,
    the `last` scale (ours: the released code divides by zero there, and the run is stuck)."""
    mass = mass.detach().float()
    usable = (counts > 0) & (mass > 0)
    return torch.where(usable, mass / counts.clamp(min=1), last)


def count_loss(mass: Tensor, scale: Tensor, targets: Tensor, loss: str = "l1") -> Tensor:
    """Equations (1) and (2), element by element: `|mass/scale − N|` for `l1` (the released code) or its square for `l2`
    (the paper's figure)."""
    off = mass.float() / scale - targets
    return off.abs() if loss == "l1" else off.square()

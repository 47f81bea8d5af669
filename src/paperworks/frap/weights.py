"""A weight for every token of the prompt: the weighted embedding, equation (1), and the bounded weights, equation (4).

    c_φ[n] = c[n] + (φ[n] − 1) · (c[n] − e[n])          φ_n = lo + (hi − lo) · sigmoid(α_n)

φ = 1 is the prompt, 0 the empty prompt at that place, more than 1 goes beyond the prompt.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def weigh(prompt: Tensor, empty: Tensor, weights: Tensor) -> Tensor:
    """Equation (1): embeddings `[B, N, D]` of the prompt, with those of the empty one, under weights `[B, N]`.

    At φ = 1 the result is the prompt bit for bit and has a gradient in φ all the same; the form e + φ (c − e) has no
    such bits, and a choice of c where φ is 1 has no such gradient. Computed in the precision of the prompt.
    """
    return prompt + (weights - 1).to(prompt.dtype).unsqueeze(-1) * (prompt - empty)


def start(bounds: tuple[float, float]) -> float:
    """The α at which φ is 1: logit((1 − lo) / (hi − lo)), 0 for bounds that are symmetric about 1."""
    low, high = bounds
    return math.log((1 - low) / (high - 1))


def bounded(alpha: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Equation (4), written about its start, so that φ is exactly 1 there."""
    low, high = bounds
    at_start = torch.sigmoid(torch.full((), start(bounds), dtype=alpha.dtype, device=alpha.device))
    return (1 + (high - low) * (torch.sigmoid(alpha) - at_start)).clamp(low, high)

"""The heads by which `chart_model` is taught to read; they are not shipped.

A parameter of a curve is told as a distribution over bins, which is learned faster than a number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paperworks.tiny.chart_model import HIDDEN

CURVES = 4
SCALES = {"x-intercept": 10.0, "y-intercept": 10.0, "gradient": 5.0, "function-mean": 10.0, "variance": 4.0}
BINS, REACH, WIDTH = 48, 1.2, 0.05
"""Parameters over their scale are told as a distribution over bins of ± REACH, smoothed by a normal of WIDTH."""
FARTHEST, FINE, BLUR = 12.0, 240, 0.1
"""The value of an answer, told while it is spelled: bins of ± FARTHEST, smoothed by a normal of BLUR."""
COUNTED = {"number-of-series": 12.0, "number-of-points": 80.0}


class Heads(nn.Module):
    """What the tower is taught by, and the language model about the value of an answer."""

    def __init__(self) -> None:
        super().__init__()
        wide = CURVES * len(SCALES) * BINS
        self.places = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, 3 * CURVES))
        self.whole = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, wide))
        self.mean = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, len(SCALES) * BINS))
        self.counts = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, len(COUNTED) * BINS))
        self.norm, self.patches = nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, wide)
        self.value = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, FINE))

    def forward(
        self, second: Tensor, last: Tensor, places: Tensor, truth: Tensor, known: Tensor, number: Tensor
    ) -> dict[str, Tensor]:
        """Losses from states `[B, 65, hidden]`, places `[B, 64, curves, 3]`, truth and known `[B, curves, 5]`.

        `number` `[B, 2]` is what is counted over its scale, and 0 where nothing is.
        """
        there, where = places[..., 0], places[..., 1:]
        found = self.places(second[:, 1:]).float().unflatten(-1, (CURVES, 3))
        apart = ((found[..., 1:] - where).abs().sum(-1) * there).sum() / there.sum().clamp_min(1)
        rows = self.whole(last[:, 0]).float().unflatten(-1, (CURVES, -1))
        several = (known.amax(-1) > 0).sum(1, keepdim=True)
        mean = (truth * known).sum(1) / several.clamp_min(1)
        normed = self.norm(last[:, 1:])
        per_curve = []
        for curve, (weight, bias) in enumerate(
            zip(self.patches.weight.chunk(CURVES), self.patches.bias.chunk(CURVES), strict=True)
        ):
            item, patch = torch.where(there[:, :, curve] > 0)
            logits = nn.functional.linear(normed[item, patch], weight, bias).float()
            per_curve.append(told(logits, truth[item, curve], known[item, curve]))
        return {
            "there": nn.functional.binary_cross_entropy_with_logits(found[..., 0], there),
            "where": apart,
            "whole": told(rows, truth, known),
            "mean": told(self.mean(last[:, 0]).float(), mean, (known.sum(1) == several) & (several > 0)),
            "counts": told(self.counts(last[:, 0]).float(), number, (number > 0).float()),
            "patches": torch.stack(per_curve).mean(),
        }


def told(
    logits: Tensor, truth: Tensor, known: Tensor, bins: int = BINS, reach: float = REACH, width: float = WIDTH
) -> Tensor:
    """Cross-entropy of `[..., parameters × bins]` to the smoothed truth `[..., parameters]` where it is known."""
    edges = torch.linspace(-reach, reach, bins + 1, device=truth.device)
    target = torch.special.ndtr((edges - truth[..., None]) / width).diff(dim=-1)
    target = target / target.sum(-1, keepdim=True).clamp_min(1e-6)
    found = logits.unflatten(-1, (-1, bins)).log_softmax(-1)
    return (-(target * found).sum(-1) * known).sum() / known.sum().clamp_min(1)


def together(losses: dict[str, Tensor]) -> Tensor:
    """The tower's loss."""
    parameters = losses["whole"] + losses["mean"] + losses["patches"] + losses["counts"]
    return 5 * losses["there"] + 2 * losses["where"] + parameters

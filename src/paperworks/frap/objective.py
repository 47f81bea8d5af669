"""How well the maps show every object, with its modifiers: presence and binding, equations (2) and (3).

    L = mean_s (1 − max_p G(A^s)_p) − λ · mean_(s,r) Σ_p min(p^s_p, p^r_p)

A is the cross-attention of a word, G a smoothing with three taps, p^s = G(A^s) / Σ G(A^s), (s, r) the objects with each
of their modifiers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from paperworks.frap.words import Prompt

_TAPS = [math.exp(-((x / (2 * 0.5)) ** 2)) for x in (-1, 0, 1)]
KERNEL = tuple(tap / sum(_TAPS) for tap in _TAPS)
"""0.2119, 0.5761, 0.2119: the smoothing of Attend-and-Excite, whose "σ = 0.5" is 0.707 in truth."""


@dataclass(frozen=True)
class Loss:
    """Equation (3) for each picture of a batch, and its parts.

    `total` `[B]` with its graph; `presence[b][s]` is max G(A^s) of an object and `overlap[b][s]` O(s, r) of it with
    each of its modifiers, plain numbers.
    """

    total: Tensor
    presence: list[list[float]]
    overlap: list[list[list[float]]]


def objective(
    maps: Tensor,
    prompts: Sequence[Prompt],
    *,
    binding: float = 1.0,
    presence: float = 1.0,
    reduce: str = "mean",
    normalise: bool = True,
) -> Loss:
    """Equation (3) of maps `[B, h, w, N]`, one prompt a picture. A prompt with no objects has loss 0."""
    totals, shown, bound = [], [], []
    for sample, prompt in zip(maps, prompts, strict=True):
        words = renormalise(sample, prompt.end) if normalise else sample
        smoothed = [smooth(of_word(words, one.positions)) for one in prompt.objects]
        peaks = [one.max() for one in smoothed]
        overlaps = [
            [overlap(own, smooth(of_word(words, modifier.positions))) for modifier in one.modifiers]
            for own, one in zip(smoothed, prompt.objects, strict=True)
        ]
        total = sample.sum() * 0
        if peaks:
            absent = 1 - torch.stack(peaks)
            total = total + presence * (absent.max() if reduce == "max" else absent.mean())
        if pairs := [value for values in overlaps for value in values]:
            total = total - binding * torch.stack(pairs).mean()
        totals.append(total)
        shown.append([float(peak.detach()) for peak in peaks])
        bound.append([[float(value.detach()) for value in values] for values in overlaps])
    return Loss(torch.stack(totals), shown, bound)


def renormalise(maps: Tensor, end: int) -> Tensor:
    """Maps `[h, w, N]` over the words alone: position 0 and those from end-of-text (`end`) on become 0, the others the
    softmax of 100 times the map, as in Attend-and-Excite."""
    words = (100 * maps[..., 1:end]).softmax(-1)
    return pad(words, (1, maps.shape[-1] - end))


def of_word(maps: Tensor, positions: Sequence[int]) -> Tensor:
    """`[h, w]` of a word: the mean over its tokens."""
    return maps[..., list(positions)].mean(-1)


def smooth(image: Tensor) -> Tensor:
    """G: `[h, w]` under the three taps in both directions, mirrored at the edges without doubling them."""
    taps = image.new_tensor(KERNEL)
    padded = pad(image[None, None], (1, 1, 1, 1), mode="reflect")
    return conv2d(conv2d(padded, taps.view(1, 1, 3, 1)), taps.view(1, 1, 1, 3))[0, 0]


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Equation (2): Σ min(p, q) of two maps `[h, w]` brought to sum 1; 1 for equal ones, 0 for disjoint ones."""
    return torch.minimum(first / first.sum(), second / second.sum()).sum()

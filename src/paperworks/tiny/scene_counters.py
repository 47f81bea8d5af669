"""Two small networks that count the objects of a scene and share nothing: weights, build, data.

`DensityNetwork` gives a map of potential whose sum over an object is one where it was trained, on objects of middle
size; it is differentiable, and its mass drifts with the size, as that of the paper's counter does. `CentreNetwork`
finds centres of objects of all sizes and names their colour and shape; its peaks are counted, which has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from paperworks.errors import InputError
from paperworks.tiny.scenes import COLOURS, SHAPES

KINDS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
"""The channels of the density, and what `name_of` may name."""
CELL = 4
"""Pixels of a cell of both maps."""


def wanted(name: str) -> tuple[str | None, str | None]:
    """The colour and the shape that a name tells: "red circles", "circle", "red objects".

    Raises `InputError` for a word that is none of them.
    """
    colour = shape = None
    for word in name.split():
        if word in COLOURS:
            colour = word
        elif word.removesuffix("s") in SHAPES:
            shape = word.removesuffix("s")
        elif word not in ("object", "objects"):
            raise InputError(
                f"cannot count {name!r}: {word!r} is no colour ({', '.join(COLOURS)}) "
                f"and no shape ({', '.join(SHAPES)})"
            )
    return colour, shape


def _fits(name: str) -> list[bool]:
    colour, shape = wanted(name)
    return [colour in (None, c) and shape in (None, s) for c, s in KINDS]


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU())


class DensityNetwork(nn.Module):
    """Pictures `[B, 3, H, W]` in 0 to 1 and names to the potential `[B, H/4, W/4]` of what is named."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(3, 24), nn.AvgPool2d(2), _block(24, 32), nn.AvgPool2d(2), _block(32, 48), _block(48, 48)
        )
        self.head = nn.Conv2d(48, len(KINDS), 3, padding=1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, -6.0)  # an empty picture starts with a mass of next to nothing

    def potentials(self, pictures: Tensor) -> Tensor:
        """`[B, kinds, H/4, W/4]`, not negative."""
        return nn.functional.softplus(self.head(self.body(2 * pictures - 1)))

    def forward(self, pictures: Tensor, names: Sequence[str]) -> Tensor:
        fits = torch.tensor([_fits(name) for name in names], device=pictures.device)
        return (self.potentials(pictures) * fits[:, :, None, None]).sum(1)


class CentreNetwork(nn.Module):
    """Pictures `[B, 3, H, W]` in 0 to 1 to logits `[B, 1 + colours + shapes, H/4, W/4]`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2),
            nn.GELU(),
            _block(24, 40, 2),
            _block(40, 40),
            _block(40, 40),
            _block(40, 40),
        )
        self.head = nn.Conv2d(40, 1 + len(COLOURS) + len(SHAPES), 1)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(2 * pictures - 1))
        return found

    @torch.no_grad()
    def count(self, pictures: Tensor, names: Sequence[str], threshold: float = 0.3) -> Tensor:
        """`[B]` ints: peaks of the centre map that are of the colour and shape that each name tells."""
        logits = self(pictures)
        heat = logits[:, 0].sigmoid()
        peaks = (heat == nn.functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]) & (heat >= threshold)
        colours = logits[:, 1 : 1 + len(COLOURS)].argmax(1)
        shapes = logits[:, 1 + len(COLOURS) :].argmax(1)
        counts = []
        for index, name in enumerate(names):
            colour, shape = wanted(name)
            own = peaks[index]
            if colour:
                own = own & (colours[index] == list(COLOURS).index(colour))
            if shape:
                own = own & (shapes[index] == SHAPES.index(shape))
            counts.append(own.sum())
        return torch.stack(counts)

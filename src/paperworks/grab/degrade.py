"""What happens to graphs outside papers: blur, JPEG, a tilted or mirrored page, a screenshot, a photo of a print.

The later version of the paper's set has a task of real graphs: whiteboards, paper, screenshots, noise. Photographs
cannot be generated; these degradations of exact pictures are a choice of ours. A dial from 0 (nothing happens) to 1,
and a key that decides everything random, the same at every severity. Hand-drawn graphs are not offered.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from paperworks.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Picture = Image.Image

DESK, PAPER, LIGHT = (92, 78, 66), (250, 246, 236), (222, 225, 230)
"""Colours around a tilted page, of paper, and of a screen."""


def degrade(pixels: NDArray[np.uint8], kind: str, severity: float, key: str | int) -> NDArray[np.uint8]:
    """The degraded picture, of the same shape, uint8 [rows, columns, 3].

    `severity` runs from 0, which returns an equal picture, to 1. The same picture, kind, severity and key give the
    same result (for "jpeg" and "paper" with the same JPEG library). Raises InputError for another kind, a severity
    outside 0…1 and pixels of another shape.
    """
    if kind not in KINDS:
        raise InputError(f"degradation {kind!r} is unknown; give one of {', '.join(KINDS)}")
    if not 0 <= severity <= 1:
        raise InputError(f"severity {severity}: give a number from 0 (nothing) to 1")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise InputError(f"pixels {pixels.dtype} {list(pixels.shape)}: give uint8 [rows, columns, 3]")
    if severity == 0:
        return pixels.copy()
    from PIL import Image

    done = _KINDS[kind](Image.fromarray(pixels), float(severity), _Chance(f"{kind}/{key}"))
    return np.array(done.convert("RGB"))


def parse(text: str, severity: float = 0.5) -> tuple[str, float]:
    """Kind and severity of "blur" or "blur:0.3"; `severity` is that of a kind alone. Raises InputError."""
    kind, _, number = text.partition(":")
    try:
        found = float(number) if number else severity
    except ValueError:
        raise InputError(
            f"degradation {text!r}: {number!r} is no number; write for example {KINDS[0]}:0.5"
        ) from None
    if kind not in KINDS:
        raise InputError(f"degradation {kind!r} is unknown; give one of {', '.join(KINDS)}")
    if not 0 <= found <= 1:
        raise InputError(f"severity {found}: give a number from 0 (nothing) to 1")
    return kind, found


class _Chance:
    """Random numbers of a key; NumPy keeps the raw words of its bit generators from version to version."""

    def __init__(self, key: str) -> None:
        self.words = np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big"))

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Numbers in [0, 1) of a shape."""
        raw = self.words.random_raw(int(np.prod(shape)))
        return (np.asarray(raw, dtype=np.uint64) >> np.uint64(11)).reshape(shape) / 2.0**53

    def normal(self, *shape: int) -> NDArray[np.float64]:
        """About normal, mean 0, variance 1: four uniform numbers each."""
        return np.asarray((self.uniform(4, *shape).sum(0) - 2) * np.sqrt(3.0))


def _blur(picture: Picture, severity: float, chance: _Chance) -> Picture:
    """Gaussian blur, standard deviation up to 4 pixels of a picture 600 wide."""
    from PIL import ImageFilter

    return picture.filter(ImageFilter.GaussianBlur(4 * severity * picture.width / 600))


def _jpeg(picture: Picture, severity: float, chance: _Chance) -> Picture:
    """Stored as a JPEG of quality 95 down to 5, colours at half resolution."""
    from PIL import Image

    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=round(95 - 90 * severity), subsampling=2)
    return Image.open(io.BytesIO(stored.getvalue()))


def _perspective(picture: Picture, severity: float, chance: _Chance) -> Picture:
    """Seen at an angle, on a desk: every corner moves inwards by up to a sixth of the side."""
    return _tilted(picture, severity / 6, chance, DESK)


def _flip(picture: Picture, severity: float, chance: _Chance) -> Picture:
    """Mirrored with its labels: left to right up to a third, top to bottom up to two thirds, then both."""
    from PIL import Image, ImageOps

    if severity <= 1 / 3:
        return ImageOps.mirror(picture)
    return ImageOps.flip(picture) if severity <= 2 / 3 else picture.transpose(Image.Transpose.ROTATE_180)


def _screenshot(picture: Picture, severity: float, chance: _Chance) -> Picture:
    """In a window on a screen, shrunk to down to 60 %."""
    from PIL import Image, ImageDraw

    columns, rows = picture.size
    share = 1 - 0.4 * severity
    inner = picture.resize(
        (max(1, round(columns * share)), max(1, round(rows * share))), Image.Resampling.LANCZOS
    )
    screen = Image.new("RGB", picture.size, LIGHT)
    free = np.array([columns - inner.width, rows - inner.height])
    bar = min(int(free[1]), max(1, round(0.07 * severity * rows)))
    left = int(free[0] * chance.uniform(1)[0])
    top = bar + int((free[1] - bar) * chance.uniform(1)[0])
    pen = ImageDraw.Draw(screen)
    for row in range(0, rows, max(2, rows // 40)):
        pen.line([(0, row), (columns, row)], fill=(208, 214, 224))
    pen.rectangle([left - 1, top - bar, left + inner.width, top + inner.height], outline=(120, 120, 120))
    pen.rectangle([left, top - bar + 1, left + inner.width - 1, top - 1], fill=(58, 64, 74))
    for k, colour in enumerate([(236, 95, 88), (244, 190, 79), (98, 198, 85)]):
        x, y, r = left + bar * (0.6 + 0.55 * k), top - bar / 2, bar * 0.18
        pen.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    screen.paste(inner, (left, top))
    return screen


def _paper(picture: Picture, severity: float, chance: _Chance) -> Picture:
    """A photo of a print: paper, tilt, uneven light with a soft shadow, grain, focus, JPEG."""
    from PIL import Image, ImageFilter

    columns, rows = picture.size
    ink = np.asarray(picture, dtype=np.float64) / 255
    paper = 1 - severity * (1 - np.array(PAPER) / 255)
    fibres = 0.035 * severity * _cloudy(chance, rows, columns, 3)[..., None]
    printed = (1 - (1 - ink) * (1 - 0.25 * severity)) * paper * (1 - fibres)
    sheet = _tilted(_picture(printed), severity / 14, chance, DESK)
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    angle = 2 * np.pi * chance.uniform(1)[0]
    across = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    light = 1 - severity * (0.22 * (across + 0.5) + 0.18 / (1 + np.exp(-(across - 0.2) * 25)))
    noise = severity * 0.03 * chance.normal(rows, columns, 1)
    photo = _picture(np.asarray(sheet, dtype=np.float64) / 255 * light[..., None] + noise)
    photo = photo.filter(ImageFilter.GaussianBlur(1.2 * severity * columns / 600))
    stored = io.BytesIO()
    photo.save(stored, "JPEG", quality=round(95 - 45 * severity))
    return Image.open(io.BytesIO(stored.getvalue()))


def _cloudy(chance: _Chance, rows: int, columns: int, cell: int) -> NDArray[np.float64]:
    """Smooth noise 0…1 [rows, columns] with spots of about `cell` pixels."""
    from PIL import Image

    coarse = chance.uniform(rows // cell + 2, columns // cell + 2)
    fine = Image.fromarray(coarse.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(fine, dtype=np.float64)


def _picture(values: NDArray[np.float64]) -> Picture:
    from PIL import Image

    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _tilted(picture: Picture, reach: float, chance: _Chance, around: tuple[int, int, int]) -> Picture:
    """The whole picture in perspective: corners moved inwards by up to `reach` of the sides, colour `around` it."""
    from PIL import Image

    columns, rows = picture.size
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=np.float64)
    moved = (corners + inwards * reach * chance.uniform(4, 2)) * (columns, rows)
    lines, wanted = [], []
    for (u, v), (x, y) in zip(moved, corners * (columns, rows), strict=True):
        lines += [[u, v, 1, 0, 0, 0, -x * u, -x * v], [0, 0, 0, u, v, 1, -y * u, -y * v]]
        wanted += [x, y]
    back = np.linalg.solve(np.array(lines), np.array(wanted))
    return picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, list(back), Image.Resampling.BICUBIC, fillcolor=around
    )


_KINDS: dict[str, Callable[[Picture, float, _Chance], Picture]] = {
    "blur": _blur,
    "jpeg": _jpeg,
    "perspective": _perspective,
    "flip": _flip,
    "screenshot": _screenshot,
    "paper": _paper,
}
KINDS = tuple(_KINDS)

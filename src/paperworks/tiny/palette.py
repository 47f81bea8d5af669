"""The palette judge: what is on a picture of a scene, told without anything learned.

Every pixel takes the nearest colour of the palette, grounds included; what is 4-connected in one object colour is a
component, unless it is a rim where two colours blend, and its shape is the one whose drawing covers it best
(intersection over union in the component's box). Counting looks at the foreground alone: components of at least
`LEAST` pixels, where one much larger than the median stands for several.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from paperworks.errors import InputError
from paperworks.tiny.scenes import COLOURS, GROUNDS, SHAPES, draw_shape

LEAST = 20
"""Pixels of the smallest component that counts."""
LARGE = 0.01
"""Share of the picture that a component of `objects` has at least."""
CLEAN = 0.6
"""Intersection over union from which on a component is a clean shape."""
TOLERANCE = 48.0
"""Distance in RGB to the palette within which a pixel is true to it."""
RIM = 0.25
"""Share of a component's pixels within `TOLERANCE` below which it is a rim: where two colours blend into a third."""
_NAMES = (*COLOURS, *GROUNDS)
_VALUES = np.array([*COLOURS.values(), *GROUNDS.values()], np.float32)
_DRAWN = 300


@dataclass(frozen=True)
class Found:
    """A component: its colour, the shape that fits best and how well (0 to 1), its pixels and its centre (x, y)."""

    colour: str
    shape: str
    fit: float
    pixels: int
    x: float
    y: float

    @property
    def kind(self) -> tuple[str, str]:
        """Colour and shape."""
        return self.colour, self.shape


def nearest(pictures: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The palette's index of every pixel `[..., H, W]` (`colour_name` names it), and the distance in RGB.

    Pictures are `[..., H, W, 3]` uint8. Raises `InputError` for another shape or type.
    """
    values = np.asarray(pictures)
    if values.ndim < 3 or values.shape[-1] != 3 or values.dtype != np.uint8:
        raise InputError(
            f"pictures are uint8 arrays [..., height, width, 3], not {values.dtype} {values.shape}"
        )
    values = values.astype(np.float32)
    squares = np.stack([((values - one) ** 2).sum(-1) for one in _VALUES], -1)
    index = squares.argmin(-1)
    return index, np.sqrt(np.take_along_axis(squares, index[..., None], -1)[..., 0])


def colour_name(index: int) -> str:
    """The palette's name of an index: an object's colour or a ground's."""
    return _NAMES[index]


def count(pictures: ArrayLike, colour: str | None = None) -> np.ndarray:
    """How many objects each picture has, `[N]` ints, of one colour where it is given.

    Components of at least `LEAST` pixels whose area lies within 0.4 and 1.7 times the median are one object each,
    larger ones as many as medians go into them, and smaller ones none.
    """
    index, distance = nearest(pictures)
    wanted = index < len(COLOURS) if colour is None else index == _colour(colour)
    side = wanted.shape[-2:]
    return np.array(
        [
            _count(mask, true)
            for mask, true in zip(
                wanted.reshape(-1, *side), (distance <= TOLERANCE).reshape(-1, *side), strict=True
            )
        ]
    )


def _colour(name: str) -> int:
    if name not in COLOURS:
        raise InputError(f"no colour is called {name!r}: choose from {', '.join(COLOURS)}")
    return list(COLOURS).index(name)


def _count(mask: np.ndarray, true: np.ndarray) -> int:
    areas = _areas(mask, true)
    if not len(areas):
        return 0
    median = float(np.median(areas))
    return int(
        sum(1 if area <= 1.7 * median else round(area / median) for area in areas if area >= 0.4 * median)
    )


def _areas(mask: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The pixels of the components that count; `true` pixels are within the tolerance of their colour."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())[1:]
    kept = np.bincount(labels.ravel(), true.ravel())[1:] >= RIM * areas
    return areas[(areas >= LEAST) & kept]


def objects(picture: ArrayLike, least: float | None = None) -> list[Found]:
    """The components of one picture `[H, W, 3]` uint8, the largest first.

    `least` is the number of pixels that one has at least (default: `LARGE` of the picture).
    """
    from scipy import ndimage

    index, distance = nearest(picture)
    least = LARGE * index.size if least is None else least
    found = []
    for number, colour in enumerate(COLOURS):
        labels, _ = ndimage.label(index == number)
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            mask = labels[place] == label
            if mask.sum() < least or (distance[place][mask] <= TOLERANCE).mean() < RIM:
                continue
            shape, fit = shape_of(mask)
            rows, columns = np.nonzero(mask)
            x, y = columns.mean() + place[1].start + 0.5, rows.mean() + place[0].start + 0.5
            found.append(Found(colour, shape, fit, int(mask.sum()), float(x), float(y)))
    return sorted(found, key=lambda one: -one.pixels)


def is_valid(picture: ArrayLike) -> bool:
    """Whether there is something on the picture, and every component is one clean shape of about the median's size."""
    some = objects(picture, LEAST)
    areas = [one.pixels for one in some]
    return bool(some) and all(
        one.fit >= CLEAN and 0.4 * np.median(areas) <= one.pixels <= 1.7 * np.median(areas) for one in some
    )


def truth_to_palette(pictures: ArrayLike) -> float:
    """The share of pixels within `TOLERANCE` of a colour of the palette."""
    return float((nearest(pictures)[1] <= TOLERANCE).mean())


def shape_of(mask: np.ndarray) -> tuple[str, float]:
    """The shape that fits a component's mask best, and how well: the intersection over union with its drawing in the
    component's box, times the root of the ratio of their proportions."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    own = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    values = {}
    for shape in SHAPES:
        drawn, proportion = _template(shape, *own.shape)
        apart = own.shape[1] / own.shape[0] / proportion
        values[shape] = float((own & drawn).sum() / (own | drawn).sum()) * min(apart, 1 / apart) ** 0.5
    best = max(values, key=lambda shape: values[shape])
    return best, values[best]


@cache
def _template(shape: str, height: int, width: int) -> tuple[np.ndarray, float]:
    """A shape that fills a box of this size, and the width over the height of its drawing."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (_DRAWN, _DRAWN))
    draw_shape(ImageDraw.Draw(image), shape, _DRAWN / 2, _DRAWN / 2, 0.4 * _DRAWN, 255)
    box = image.getbbox()
    assert box is not None
    cut = image.crop(box)
    return np.asarray(cut.resize((width, height), Image.Resampling.BOX)) >= 128, cut.width / cut.height

"""Scenes that the project draws itself: shapes on a plain ground, with captions as loose as the web writes them.

Three sorts of scenes. `counted`: one to nine objects of one kind and of one size, "a photo of some red circles on
white, far"; the quantity is left out, vague, or a number word that is wrong half the time, so that a model that learns
from them can draw any number of objects and obeys numbers badly. `pair`: one or two large objects, each with its
colour, "a red circle and a blue square on grey". `mixed`: two kinds, each with a number, "three red circles and two
blue squares".
The colour and shape of `HELD_OUT` never come together in `sample`, and no caption names them together.

Everything follows from the seed; shapes are drawn with Pillow at four times the size and reduced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SIZE = 64
"""Pixels of a side."""
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 127, 14),
    "yellow": (250, 210, 20),
    "green": (30, 150, 60),
    "blue": (31, 80, 220),
    "purple": (130, 40, 170),
    "black": (20, 20, 20),
}
GROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "silver": (214, 214, 218),
    "grey": (168, 168, 172),
    "cream": (250, 238, 205),
    "pink": (248, 205, 212),
    "mint": (200, 236, 214),
}
SHAPES = ("circle", "square", "triangle", "star")
HELD_OUT = (("red", "star"), ("blue", "circle"), ("green", "triangle"), ("purple", "square"))
"""Colours and shapes that no scene of `sample` has together."""
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SORTS = ("counted", "pair", "mixed")
SHARES = {"counted": 0.45, "pair": 0.45, "mixed": 0.1}
"""How often `sample` draws each sort."""
SMALL, LARGE = (5.0, 8.5), (9.0, 14.0)
"""Radii in pixels of the objects of `counted` and `mixed` scenes, and of `pair`."""
CLOSE, FAR = 7.3, 6.0
"""A scene of objects at least, or at most, this large may be called close-up, or far."""
GAP = 3.0
"""Pixels at least between two objects, and to the edge."""
_SCALE = 4


@dataclass(frozen=True)
class Object:
    """A shape with its colour, the place of its centre and its radius in pixels."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float

    @property
    def kind(self) -> tuple[str, str]:
        """Colour and shape."""
        return self.colour, self.shape


@dataclass(frozen=True)
class Scene:
    """Objects on a ground of one or two colours, and a caption."""

    objects: tuple[Object, ...]
    grounds: tuple[str, ...]
    caption: str

    def draw(self) -> Image.Image:
        """The picture, `SIZE` pixels a side."""
        from PIL import Image, ImageDraw

        side = SIZE * _SCALE
        image = Image.new("RGB", (side, side), GROUNDS[self.grounds[0]])
        pen = ImageDraw.Draw(image)
        if len(self.grounds) > 1:
            pen.rectangle((0, side // 2, side, side), fill=GROUNDS[self.grounds[1]])
        for one in self.objects:
            draw_shape(
                pen, one.shape, one.x * _SCALE, one.y * _SCALE, one.radius * _SCALE, COLOURS[one.colour]
            )
        return image.reduce(_SCALE)

    def count(self, colour: str | None = None, shape: str | None = None) -> int:
        """How many objects there are, of a colour or shape where one is given."""
        return sum(
            (colour is None or one.colour == colour) and (shape is None or one.shape == shape)
            for one in self.objects
        )


def draw_shape(pen: Any, shape: str, x: float, y: float, radius: float, fill: Any) -> None:
    """A shape about its centre `x`, `y`, as large as it may be within `radius`, with Pillow's `ImageDraw`.

    Raises `InputError` for a shape that is not one of `SHAPES`.
    """
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        return
    if shape == "square":
        half = 0.86 * radius
        pen.rectangle((x - half, y - half, x + half, y + half), fill=fill)
        return
    if shape == "triangle":
        turns, reach = [-90 + 120 * k for k in range(3)], [1.12] * 3
        y += 0.22 * radius
    elif shape == "star":
        turns, reach = [-90 + 36 * k for k in range(10)], [1.12, 0.48] * 5
    else:
        raise InputError(f"no shape is called {shape!r}: choose from {', '.join(SHAPES)}")
    pen.polygon(
        [
            (x + r * radius * math.cos(math.radians(turn)), y + r * radius * math.sin(math.radians(turn)))
            for turn, r in zip(turns, reach, strict=True)
        ],
        fill=fill,
    )


def kinds(*, held_out: bool = False) -> list[tuple[str, str]]:
    """Colours and shapes that may come together, or those that are held out."""
    if held_out:
        return list(HELD_OUT)
    return [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in HELD_OUT]


def sample(seed: int, sort: str | None = None) -> Scene:
    """The scene of a seed. Raises `InputError` for a sort that is not one of `SORTS`."""
    rng = np.random.Generator(np.random.Philox(seed))
    if sort is None:
        sort = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if sort not in SORTS:
        raise InputError(f"no sort of scene is called {sort!r}: choose from {', '.join(SORTS)}")
    known = kinds()
    if sort == "counted":
        n = int(rng.integers(1, 10))
        return counted(known[rng.integers(len(known))], n, rng)
    first = known[rng.integers(len(known))]
    second = first
    while second == first or (sort == "mixed" and second[0] == first[0]):
        second = known[rng.integers(len(known))]
    if sort == "mixed":
        return mixed((first, second), (int(rng.integers(1, 5)), int(rng.integers(1, 5))), rng)
    return pair((first,) if rng.random() < 0.3 else (first, second), rng)


def counted(kind: tuple[str, str], n: int, rng: np.random.Generator, *, radius: float | None = None) -> Scene:
    """`n` objects of one kind, of one radius but for half a pixel."""
    places, size = _places(n, rng, radius)
    objects = tuple(
        Object(*kind, x, y, size + float(rng.uniform(-0.5, 0.5))) for x, y in places
    )  # the gap leaves room for half a pixel
    grounds = _grounds(rng)
    draw = rng.random()
    if draw < 0.4:
        quantity = ""
    elif draw < 0.7:
        vague = "few" if n <= 3 else "many" if n >= 6 else "several"
        quantity = vague if rng.random() < 0.5 else str(rng.choice(["some", "several"]))
    else:
        told = n
        if rng.random() < 0.5:
            told = int(np.clip(n + rng.choice([-2, -1, 1, 2]), 1, 9))
        quantity = NUMBERS[told - 1]
    view = "close-up" if size >= CLOSE else "far" if size <= FAR else ""
    return Scene(
        objects, grounds, counted_caption(kind, quantity, grounds, view if rng.random() < 0.5 else "")
    )


def mixed(
    two: Sequence[tuple[str, str]],
    numbers: Sequence[int],
    rng: np.random.Generator,
    *,
    radius: float | None = None,
) -> Scene:
    """Two kinds of objects of one size, in `sample` of two colours; each number is right three times of four, else off
    by one."""
    places, size = _places(sum(numbers), rng, radius)
    own = [kind for kind, number in zip(two, numbers, strict=True) for _ in range(number)]
    objects = tuple(
        Object(*kind, x, y, size + float(rng.uniform(-0.5, 0.5)))
        for kind, (x, y) in zip(own, places, strict=True)
    )
    grounds = _grounds(rng)
    told = [n if rng.random() < 0.75 else int(np.clip(n + rng.choice([-1, 1]), 1, 9)) for n in numbers]
    phrases = [
        f"{NUMBERS[n - 1]} {colour} {plural(shape, n)}" for n, (colour, shape) in zip(told, two, strict=True)
    ]
    return Scene(objects, grounds, f"a photo of {' and '.join(phrases)} on {' and '.join(grounds)}")


def pair(some: Sequence[tuple[str, str]], rng: np.random.Generator) -> Scene:
    """One or two large objects, each with its colour."""
    places, sizes = _apart(len(some), rng)
    objects = tuple(Object(*kind, x, y, size) for kind, (x, y), size in zip(some, places, sizes, strict=True))
    grounds = (str(rng.choice(list(GROUNDS))),)
    return Scene(objects, grounds, pair_caption(some, grounds[0] if rng.random() < 0.5 else ""))


def plural(shape: str, n: int = 2) -> str:
    """The word for one or more of a shape."""
    return shape if n == 1 else f"{shape}s"


def counted_caption(kind: tuple[str, str], quantity: str, grounds: Sequence[str] = (), view: str = "") -> str:
    """ "a photo of {quantity} {colour} {shape}s on {grounds}, {view}"; what is empty is left out."""
    colour, shape = kind
    words = ["a photo of", quantity, colour, plural(shape, 1 if quantity == "one" else 2)]
    if grounds:
        words += ["on", " and ".join(grounds)]
    return " ".join(word for word in words if word) + (f", {view}" if view else "")


def pair_caption(some: Sequence[tuple[str, str]], ground: str = "") -> str:
    """ "a {colour} {shape} and a {colour} {shape} on {ground}"."""
    phrases = [f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape}" for colour, shape in some]
    return " and ".join(phrases) + (f" on {ground}" if ground else "")


def _grounds(rng: np.random.Generator) -> tuple[str, ...]:
    names = list(GROUNDS)
    if rng.random() < 0.7:
        return (names[rng.integers(len(names))],)
    first, second = rng.choice(len(names), 2, replace=False)
    return names[first], names[second]


def _places(
    n: int, rng: np.random.Generator, radius: float | None
) -> tuple[list[tuple[float, float]], float]:
    """Centres of `n` objects that keep the gap, and their radius; one that does not fit is drawn anew."""
    for _ in range(1000):
        size = float(rng.uniform(*SMALL)) if radius is None else radius
        margin = 1.2 * size + 1
        found: list[tuple[float, float]] = []
        for _ in range(60 * n):
            x, y = rng.uniform(margin, SIZE - margin, 2)
            if all(math.hypot(x - a, y - b) >= 2.24 * size + GAP for a, b in found):
                found.append((float(x), float(y)))
                if len(found) == n:
                    return found, size
    raise InputError(f"{n} objects of radius {radius} do not fit on {SIZE} pixels")


def _apart(n: int, rng: np.random.Generator) -> tuple[list[tuple[float, float]], list[float]]:
    while True:
        sizes = [float(size) for size in rng.uniform(*LARGE, n)]
        places = [
            (
                float(rng.uniform(1.2 * r + 1, SIZE - 1.2 * r - 1)),
                float(rng.uniform(1.2 * r + 1, SIZE - 1.2 * r - 1)),
            )
            for r in sizes
        ]
        if n == 1:
            return places, sizes
        (a, b), (c, d) = places
        if math.hypot(a - c, b - d) >= 1.12 * sum(sizes) + GAP:
            return places, sizes


def sample_many(
    seed: int, n: int, sort: str | None = None, processes: int = 1
) -> tuple[np.ndarray, list[Scene]]:
    """Pictures `[n, SIZE, SIZE, 3]` uint8 of the seeds `seed * 10**7` onwards, and their scenes."""
    seeds = [seed * 10**7 + index for index in range(n)]
    if processes <= 1:
        scenes = [sample(one, sort) for one in seeds]
        return pictures(scenes), scenes
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    chunks = [seeds[first : first + 500] for first in range(0, n, 500)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        parts = list(pool.map(partial(_chunk, sort), chunks))
    return np.concatenate([part[0] for part in parts]), [scene for part in parts for scene in part[1]]


def pictures(scenes: Sequence[Scene]) -> np.ndarray:
    """`[N, SIZE, SIZE, 3]` uint8."""
    return np.stack([np.asarray(scene.draw()) for scene in scenes])


def _chunk(sort: str | None, seeds: list[int]) -> tuple[np.ndarray, list[Scene]]:
    scenes = [sample(seed, sort) for seed in seeds]
    return pictures(scenes), scenes

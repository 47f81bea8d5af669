"""Dots: where each marker of a series is, also where markers touch or are partly hidden by another series.

A marker is its signed distance function, so its coverage at any sub-pixel place is arithmetic. The kind and
size are those that explain the dots that stand alone. Touching dots are taken apart by adding one at a time
where the most coverage is unexplained and moving all by least squares, until what is left is small (a matched
filter with the union's rule for overlaps). Choices of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from paperworks.grab.reader_axes import Refused
from paperworks.grab.reader_colours import FAINT, Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KINDS = ("o", "s", "D", "^", "v", "P")
MOST = 20
"""Dots in a clump that is still taken apart."""
_AREA = {
    "o": np.pi / 4,
    "s": (2 / 2.2) ** 2,
    "D": 2 * 0.65**2,
    "^": 0.575,
    "v": 0.575,
    "P": 5 * (2 / 5.4) ** 2,
}
"""Area of a marker of diameter 1."""


@dataclass(frozen=True)
class Dots:
    """Columns and rows of a series' dots [n], the marker's kind and its diameter in pixels."""

    column: Floats
    row: Floats
    kind: str
    diameter: float


def distance(kind: str, diameter: float, x: Floats, y: Floats) -> Floats:
    """Signed distance in pixels (negative inside) from a marker centred at 0; y downwards."""
    if kind == "o":
        return np.asarray(np.hypot(x, y) - diameter / 2)
    if kind == "s":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) - diameter / 2.2)
    if kind == "D":
        return np.asarray((np.abs(x) + np.abs(y) - 0.65 * diameter) / np.sqrt(2))
    if kind == "P":
        long, short = diameter * 3 / 5.4, diameter / 5.4
        flat = np.maximum(np.abs(x) - long, np.abs(y) - short)
        tall = np.maximum(np.abs(x) - short, np.abs(y) - long)
        return np.asarray(np.minimum(flat, tall))
    up = -y if kind == "^" else y
    half, low, high = 0.575 * diameter, -diameter / 3, 2 * diameter / 3
    norm = np.hypot(high - low, half)
    side = ((high - low) * np.abs(x) + half * (up - high)) / norm
    return np.asarray(np.maximum(low - up, side))


_SUB = (np.arange(4) + 0.5) / 4 - 0.5


def coverage(kind: str, diameter: float, x: Floats, y: Floats) -> Floats:
    """Coverage of pixels whose centres are at (x, y) from the marker's centre.

    The mean over 4 × 4 places, softened to 1/4 pixel.
    """
    if kind == "o":
        return np.asarray(np.clip(0.5 - distance(kind, diameter, x, y), 0, 1))
    fine_x = x[..., None, None] + _SUB[:, None]
    fine_y = y[..., None, None] + _SUB[None, :]
    return np.asarray(np.clip(0.5 - 4 * distance(kind, diameter, fine_x, fine_y), 0, 1).mean(axis=(-1, -2)))


def dots(layer: Layer, *, marker: tuple[str, float] | None = None) -> Dots:
    """The dots of a layer.

    `marker`: kind and diameter where they are known. Raises Refused where no dot stands alone.
    """
    from scipy import ndimage

    hidden = np.isnan(layer.alpha)
    value = np.where(hidden, 0.0, layer.alpha)
    ink = value > FAINT
    if not ink.any():
        raise Refused("dots", "a colour without dots")
    kind, diameter = marker or _marker(value, hidden, ink)
    area = _AREA[kind] * diameter**2
    joined = ink | (hidden & ndimage.binary_dilation(ink, iterations=max(1, round(diameter / 3))))
    labels, count = ndimage.label(joined, structure=np.ones((3, 3)))
    if count > 1000:
        raise Refused("dots", f"{count} pieces of one colour")
    column, row = [], []
    for number, where in enumerate(ndimage.find_objects(labels), start=1):
        r0, c0 = where[0].start, where[1].start
        mine = labels[where] == number
        part = np.where(mine, value[where], 0.0)
        unseen = (mine | (labels[where] == 0)) & hidden[where]
        mass = float(part.sum())
        if mass > MOST * area:
            raise Refused("dots", f"a clump of about {mass / area:.0f} dots")
        if part.max() < 0.5 or mass < 0.08 * area:
            continue
        if not unseen.any() and mass < 1.04 * area and _close_to(part, kind, diameter):
            total = part.sum()
            column.append(float((part.sum(0) * (np.arange(part.shape[1]) + 0.5)).sum() / total) + c0)
            row.append(float((part.sum(1) * (np.arange(part.shape[0]) + 0.5)).sum() / total) + r0)
            continue
        for x, y in _apart(part, unseen | (labels[where] > 0) & ~mine, kind, diameter):
            column.append(x + c0)
            row.append(y + r0)
    if not column:
        raise Refused("dots", "a colour without whole dots")
    return Dots(np.array(column) + layer.left, np.array(row) + layer.top, kind, diameter)


def _marker(value: Floats, hidden: NDArray[np.bool_], ink: NDArray[np.bool_]) -> tuple[str, float]:
    """Kind and diameter of the marker, from the smallest dots that nothing touches."""
    from scipy import ndimage

    labels, count = ndimage.label(ink, structure=np.ones((3, 3)))
    index = np.arange(1, count + 1)
    mass = np.bincount(labels[ink], weights=value[ink], minlength=count + 1)[1:]
    strongest, touched = np.zeros(count + 1), np.zeros(count + 1, dtype=bool)
    np.maximum.at(strongest, labels[ink], value[ink])
    touched[np.unique(labels[ndimage.binary_dilation(hidden, structure=np.ones((3, 3))) & ink])] = True
    free = ~touched[1:] & (strongest[1:] > 0.9)
    if not free.any():
        raise Refused("dots", "no dot stands alone")
    masses = np.sort(mass[free])
    # the size that most free dots have: the densest window of 8 %
    spread = [np.searchsorted(masses, 1.08 * m, "right") - k for k, m in enumerate(masses)]
    start = int(np.argmax(spread))
    area = float(np.median(masses[start : start + spread[start]]))
    single = [k for k in index if free[k - 1] and abs(mass[k - 1] / area - 1) < 0.05][:12]
    boxes = ndimage.find_objects(labels)
    best: tuple[float, str, float] | None = None
    for kind in KINDS:
        diameter = float(np.sqrt(area / _AREA[kind]))
        miss = 0.0
        for k in single:
            part = np.where(labels[boxes[k - 1]] == k, value[boxes[k - 1]], 0.0)
            miss += _miss(part, kind, diameter)
        if best is None or miss < best[0]:
            best = (miss, kind, diameter)
    assert best is not None
    if best[0] > 0.12 * area * max(len(single), 1):
        raise Refused("dots", "the dots are of no known shape")
    return best[1], best[2]


def _centred(part: Floats) -> tuple[Floats, Floats, float, float]:
    height, width = part.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    total = part.sum()
    return x, y, float((part * x).sum() / total), float((part * y).sum() / total)


def _miss(part: Floats, kind: str, diameter: float) -> float:
    """Coverage that one centred marker leaves unexplained."""
    x, y, cx, cy = _centred(part)
    return float(np.abs(part - coverage(kind, diameter, x - cx, y - cy)).sum())


def _close_to(part: Floats, kind: str, diameter: float) -> bool:
    x, y, cx, cy = _centred(part)
    return bool(np.abs(part - coverage(kind, diameter, x - cx, y - cy)).max() < 0.25)


def _apart(part: Floats, unseen: NDArray[np.bool_], kind: str, diameter: float) -> list[tuple[float, float]]:
    """Places of the markers whose union is `part`, where it is seen."""
    from scipy.optimize import least_squares

    pad = 2
    value = np.pad(part, pad)
    seen = ~np.pad(unseen, pad)
    height, width = value.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    area = _AREA[kind] * diameter**2
    scan = _scan(kind, round(diameter, 2))
    xs, ys, target = x[seen], y[seen], value[seen]
    most = int(np.ceil(value.sum() / area)) + 4
    places: list[float] = []

    def union(at: Floats) -> Floats:
        open_ = np.ones(len(xs))
        for px, py in np.asarray(at).reshape(-1, 2):
            near = (np.abs(xs - px) < diameter + 1) & (np.abs(ys - py) < diameter + 1)
            open_[near] *= 1 - coverage(kind, diameter, xs[near] - px, ys[near] - py)
        return 1 - open_

    def settle(at: list[float]) -> tuple[list[float], float]:
        fit = least_squares(lambda p: union(p) - target, at, diff_step=0.02, max_nfev=25)
        return list(fit.x), float((fit.fun**2).sum())

    reached = float((target**2).sum())
    for _ in range(most):
        rest = np.zeros(value.shape)
        rest[seen] = target - (union(np.array(places)) if places else 0)
        if places and np.abs(rest).sum() < 0.06 * area + 0.02 * float(target.sum()):
            break
        more, now = settle([*places, *_best_place(rest, seen, scan)])
        if now > reached - 0.03 * area:
            break
        places, reached = more, now
    # a clump of three or more can end one too many: one that is not missed goes
    for number in range(len(places) // 2 - 1, -1, -1) if len(places) >= 6 else ():
        fewer, now = settle([*places[: 2 * number], *places[2 * number + 2 :]])
        if now < reached + 0.02 * area:
            places, reached = fewer, now
    return [(px - pad, py - pad) for px, py in np.array(places).reshape(-1, 2)]


@lru_cache(maxsize=64)
def _scan(kind: str, diameter: float) -> Floats:
    reach = int(np.ceil(diameter / 2 * 1.35)) + 1
    x, y = np.meshgrid(np.arange(-reach, reach + 1.0), np.arange(-reach, reach + 1.0))
    return coverage(kind, diameter, x, y)


def _best_place(rest: Floats, seen: NDArray[np.bool_], scan: Floats) -> tuple[float, float]:
    """The pixel at which one more marker explains most."""
    from scipy.signal import fftconvolve

    mirrored = scan[::-1, ::-1]
    gain = fftconvolve(np.where(seen, 2 * rest, 0.0), mirrored, mode="same")
    gain -= fftconvolve(seen.astype(float), mirrored**2, mode="same")
    row, column = np.unravel_index(int(gain.argmax()), gain.shape)
    return float(column) + 0.5, float(row) + 0.5

"""Data whose statistic is the answer: the target comes first and the points are built to hit it.

Statistics are of the y values (domain length: of x; correlations: of both). The points are a cloud, or a line with
noise, at coordinates of two decimals, four where the target needs them. What is drawn is what is counted, so the
rounded coordinates hit a target of at most four decimals exactly (mean, median, quartiles, extremes, extents, counts),
within 1e-3 of its size (variance, Pearson) or within one swap of two ranks (Spearman, Kendall). All of it is a choice
of ours: the paper's generator is not published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paperworks.errors import InputError
from paperworks.grab.families import millionths, points
from paperworks.grab.rules import Refused

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Member = dict[str, Any]

NOISES = (0.1, 0.3, 0.6, 1.2)
"""Standard deviations of the noise about a line, in twentieths of the height of the axes (units where they are ±10)."""
SERIES_POINTS = (8, 20)
"""Fewest and most points of a series where series are counted."""
INSET = 0.021
"""Every point is at least this fraction of the axes inside the frame (the rules ask for .02)."""
GAP = 0.013
"""Height between an extreme and the next point, as a fraction of the axes: over 2 px of the flattest small picture."""
COUNTED_APART = 1.6
"""Diameters between points that are counted (the rules ask for 1.5)."""
WIDE_MARKER, COUNTED_MARKER, SERIES_MARKER = (0.0195, 0.035), (0.0276, 0.0495), (0.0115, 0.0115)
"""A marker's diameter as fractions of the box's width and height: of 7 points in a picture of 600 x 375, the circle
around a triangle or diamond of 7 points there, and of 4 points in a picture of 600 x 600."""
TRIES = 6
"""Places tried for a marker that would touch another."""
UNIT = 10_000
"""Coordinates are integers of ten-thousandths."""


class DrawsLike(Protocol):
    """What is needed of a stream of random numbers."""

    def choice(self, of: Sequence[Any], /) -> Any: ...
    def integer(self, low: int, high: int, /) -> int: ...
    def uniform(self) -> float: ...
    def uniforms(self, n: int, /) -> Floats: ...
    def normals(self, n: int, /) -> Floats: ...


def data(
    prop: str,
    target: Fraction,
    q: str,
    draws: DrawsLike,
    *,
    n: int,
    limits: Mapping[str, Sequence[str]],
    others: Sequence[Mapping[str, Any]] = (),
    noise: float | None = None,
    diameter: tuple[float, float] | None = None,
) -> Member:
    """`n` points, a member of family "points", whose `prop` is `target`.

    `limits`: the axes, `{"x": [low, high], "y": [low, high]}`. `others`: members of family "points" already in the
    picture; new markers keep off theirs where the statistic leaves a coordinate free. `noise`: standard deviation about
    a line in twentieths of the axes (drawn from .1, .3, .6, 1.2 if None). `diameter`: of a marker, as fractions of the
    box's width and height (None: the largest one of Properties, or with `others` that of Series). `q`, the precision
    asked, bounds the error of a rank correlation: a fifth of it. For "number-of-points" the target is the number and
    `n` is not used.

    Raises `rules.Refused` ("data") where no such points fit the frame, `InputError` for a property that has no data.
    """
    if prop == "number-of-points":
        return _member(*_counted(int(target), draws, _Frame.of(limits, diameter or COUNTED_MARKER)))
    frame = _Frame.of(limits, diameter or (SERIES_MARKER if others else WIDE_MARKER))
    taken = _taken(others)
    if prop not in _MAKERS and prop not in ("domain-length", *_CORRELATIONS):
        raise InputError(
            f"no data for property {prop!r}; there are: number-of-points, domain-length, "
            f"{', '.join(_CORRELATIONS)}, {', '.join(_MAKERS)}"
        )
    if n < 4:
        raise InputError(f"data of {n} points; give n of at least 4")
    if prop in _CORRELATIONS:
        x, y, low, high = _correlated(prop, float(target), draws, n, frame, float(q) / 5)
        if prop != "pearson" and len(taken[0]):
            x = _apart(x, y, taken, frame, draws, low, high)
        return _member(x, y)
    level = _integer(target)
    if prop == "domain-length":
        x, y = _long(level, draws, n, frame, noise)
        if len(taken[0]):
            low, high = np.full(n, frame.bottom), np.full(n, frame.top)
            y = _apart(y, x, (taken[1], taken[0]), frame.turned(), draws, low, high)
        return _member(x, y)
    x, pattern = _pattern(draws, n, frame, noise)
    y = _MAKERS[prop](level, pattern, draws, frame)
    low, high = np.full(n, x.min()), np.full(n, x.max())
    return _member(_apart(x, y, taken, frame, draws, low, high), y)


def series(
    number: int,
    draws: DrawsLike,
    *,
    limits: Mapping[str, Sequence[str]],
    diameter: tuple[float, float] | None = None,
) -> list[Member]:
    """`number` members of 8 to 20 points each, for "number-of-series": clouds and lines with noise, markers kept apart.

    Arguments as in `data`.
    """
    frame = _Frame.of(limits, diameter or (0.014, 0.025))
    members: list[Member] = []
    for _ in range(number):
        n = draws.integer(*SERIES_POINTS)
        x, pattern = _pattern(draws, n, frame, None)
        y = _placed(pattern, draws, frame)
        low, high = np.full(n, x.min()), np.full(n, x.max())
        members.append(_member(_apart(x, y, _taken(members), frame, draws, low, high), y))
    return members


@dataclass(frozen=True)
class _Frame:
    """The part of the axes where points may be, and a marker's size, in ten-thousandths of the data's units."""

    left: int
    right: int
    bottom: int
    top: int
    across: float
    up: float
    width: int
    height: int

    @classmethod
    def of(cls, limits: Mapping[str, Sequence[str]], diameter: tuple[float, float]) -> _Frame:
        ends = []
        for which in "xy":
            low, high = (millionths(text) // 100 for text in limits[which])
            if low >= high:
                raise InputError(f"limits of {which}: {limits[which]} do not ascend")
            ends.append((low, high))
        (x0, x1), (y0, y1) = ends
        width, height = x1 - x0, y1 - y0
        aside, above = math.ceil(width * INSET), math.ceil(height * INSET)
        across, up = diameter[0] * width, diameter[1] * height
        return cls(x0 + aside, x1 - aside, y0 + above, y1 - above, across, up, width, height)

    def turned(self) -> _Frame:
        """x and y exchanged."""
        return _Frame(
            self.bottom, self.top, self.left, self.right, self.up, self.across, self.height, self.width
        )


def _integer(target: Fraction) -> int:
    return round(target * UNIT)


def _round(values: Floats) -> Integers:
    """To two decimals, as integers of four."""
    return np.rint(values / 100).astype(np.int64) * 100


def _member(x: Integers, y: Integers) -> Member:
    return {"family": "points", "x": [_text(v) for v in x.tolist()], "y": [_text(v) for v in y.tolist()]}


def _text(value: int) -> str:
    """Ten-thousandths as a decimal string: the shortest that reads back as the quotient is exact here."""
    return repr(value / UNIT).removesuffix(".0")


def _taken(others: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats]:
    if not others:
        return np.zeros(0), np.zeros(0)
    xs, ys = zip(*(points(member) for member in others), strict=True)
    return np.concatenate(xs) * UNIT, np.concatenate(ys) * UNIT


def _strata(draws: DrawsLike, n: int) -> Floats:
    """`n` ascending places in [0, 1], one in the middle four fifths of each n-th part. [n]"""
    return (np.arange(n) + 0.1 + 0.8 * draws.uniforms(n)) / n


def _pattern(draws: DrawsLike, n: int, frame: _Frame, noise: float | None) -> tuple[Integers, Floats]:
    """Places on x, and heights about 0: of a cloud, or of a line with noise."""
    room = frame.right - frame.left
    width = round(room * (0.5 + 0.5 * draws.uniform()))
    start = frame.left + round((room - width) * draws.uniform())
    along = _strata(draws, n)
    return _round(start + width * along), _heights(along, draws, frame, noise)


def _heights(along: Floats, draws: DrawsLike, frame: _Frame, noise: float | None) -> Floats:
    n, unit = len(along), frame.height / 20
    deviation = draws.choice(NOISES) if noise is None else noise
    if draws.integer(0, 1):
        return np.asarray(draws.normals(n) * unit * (1 + 2 * draws.uniform()))
    rise = unit * 12 * (2 * draws.uniform() - 1)
    return np.asarray(rise * (along - 0.5) + unit * deviation * draws.normals(n))


def _placed(pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    """The pattern somewhere inside the frame, made flatter if it is too high."""
    low, high = float(pattern.min()), float(pattern.max())
    room = frame.top - frame.bottom
    scale = min(1.0, 0.95 * room / max(high - low, 1.0))
    slack = room - scale * (high - low)
    return _round(frame.bottom + slack * draws.uniform() + scale * (pattern - low))


def _refuse(prop: str, target: int, frame: _Frame, axis: str = "y") -> Refused:
    low, high = (frame.bottom, frame.top) if axis == "y" else (frame.left, frame.right)
    return Refused("data", f"no {prop} of {target / UNIT:g} within {axis} {low / UNIT:g} to {high / UNIT:g}")


def _mean(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    if not frame.bottom + 200 <= target <= frame.top - 200:
        raise _refuse("mean", target, frame)
    pattern = pattern - pattern.mean()
    above, below = max(float(pattern.max()), 1.0), max(-float(pattern.min()), 1.0)
    scale = min(1.0, (frame.top - 100 - target) / above, (target - frame.bottom - 100) / below)
    y = _round(target + scale * pattern)
    left = target * len(y) - int(y.sum())
    hundreds = abs(left) // 100
    y[:hundreds] += 100 if left > 0 else -100
    y[-1] += target * len(y) - int(y.sum())
    return y


def _median(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    above, below = frame.top - target, target - frame.bottom
    if min(above, below) < 200:
        raise _refuse("median", target, frame)
    pattern = pattern - np.median(pattern)
    scale_up = min(1.0, above / max(float(pattern.max()), 1.0))
    scale_down = min(1.0, below / max(-float(pattern.min()), 1.0))
    y = target + _round(np.where(pattern > 0, scale_up, scale_down) * pattern)
    order = np.argsort(pattern, kind="stable")
    n = len(y)
    low, high = order[(n - 1) // 2], order[n // 2]
    half = min(int(y[high]) - target, target - int(y[low])) if n % 2 == 0 else 0
    y[low], y[high] = target - half, target + half
    return y


def _interquartile(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    room = frame.top - frame.bottom
    if not 0 < target <= 0.97 * room:
        raise _refuse("interquartile range", target, frame)
    n = len(pattern)
    order = np.argsort(pattern, kind="stable")
    quarter, rest = divmod(n - 1, 4)
    upper = (
        n - 1 - quarter
    )  # by symmetry: the third quartile lies between upper - 1 and upper, weights exchanged
    inner = quarter if rest == 0 else quarter + 1
    f = rest / 4

    def spread(values: Floats) -> float:
        first = (1 - f) * values[quarter] + f * values[inner]
        third = (1 - f) * values[upper] + f * values[n - 1 - inner]
        return float(third - first)

    heights = pattern[order]
    if spread(heights) <= 0:
        raise _refuse("interquartile range", target, frame)
    heights = heights * (target / spread(heights))
    if heights[upper] - heights[quarter] > 0.98 * room:
        # Too far apart within the middle half: even heights instead, whose quartiles are at half the range.
        heights = np.sort(_strata(draws, n))
        heights = heights * (target / spread(heights))
    core = float(heights[upper] - heights[quarter])
    if core > room:
        raise _refuse("interquartile range", target, frame)
    start = frame.bottom + (room - core) * draws.uniform()
    heights = heights - heights[quarter] + start
    tail = max(float(heights[-1] - heights[upper]), 1.0)
    heights[upper:] = heights[upper] + (heights[upper:] - heights[upper]) * min(
        1.0, max(frame.top - float(heights[upper]), 0) / tail
    )
    tail = max(float(heights[quarter] - heights[0]), 1.0)
    heights[: quarter + 1] = heights[quarter] - (heights[quarter] - heights[: quarter + 1]) * min(
        1.0, max(float(heights[quarter]) - frame.bottom, 0) / tail
    )
    rounded = _round(heights)
    # The upper half moves by what rounding took, and the lower half gives way.
    rounded[n - 1 - inner :] += round(target - spread(rounded.astype(np.float64)))
    rounded[: n - 1 - inner] = np.minimum(rounded[: n - 1 - inner], rounded[n - 1 - inner])
    if abs(spread(rounded.astype(np.float64)) - target) > 1:
        raise _refuse("interquartile range", target, frame)
    y = np.empty(n, dtype=np.int64)
    y[order] = rounded
    return y


def _variance(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    variance = float(target) * UNIT
    half = (frame.top - frame.bottom) / 2
    if target <= 0 or variance > 0.9 * half**2:
        raise _refuse("variance", target, frame)
    pattern = pattern - pattern.mean()
    pattern = pattern * math.sqrt(variance / max(float(pattern.var()), 1e-9))
    low, high = float(pattern.min()), float(pattern.max())
    if high - low <= 2 * half:
        start = frame.bottom - low + (2 * half - (high - low)) * draws.uniform()
        y = start + pattern
    else:
        # Heights pressed towards both ends of the frame: the variance grows steadily with the scale.
        middle = (frame.top + frame.bottom) / 2
        unit = (pattern - (low + high) / 2) / half
        below, above = 0.0, 64.0
        for _ in range(40):
            scale = (below + above) / 2
            if float((half * np.tanh(scale * unit)).var()) < variance:
                below = scale
            else:
                above = scale
        y = middle + half * np.tanh(above * unit)
    rounded = np.rint(y).astype(np.int64)
    if abs(float(rounded.var()) - variance) > 1e-3 * variance + 100 * UNIT:
        raise _refuse("variance", target, frame)
    return rounded


def _maximum(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    gap = GAP * frame.height
    room = target - frame.bottom - gap
    if room < gap or target > frame.top:
        raise _refuse("extreme", target, frame)
    top = int(pattern.argmax())
    below = float(pattern[top]) - pattern
    y = target - np.ceil((gap + below * min(1.0, room / max(float(below.max()), 1.0))) / 100) * 100
    y[top] = target
    return np.asarray(np.maximum(y, frame.bottom), dtype=np.int64)


def _minimum(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    turned = _Frame(
        frame.left,
        frame.right,
        -frame.top,
        -frame.bottom,
        frame.across,
        frame.up,
        frame.width,
        frame.height,
    )
    return -_maximum(-target, pattern, draws, turned)


def _span(target: int, pattern: Floats, draws: DrawsLike, frame: _Frame) -> Integers:
    room = frame.top - frame.bottom
    if not 0 <= target <= room:
        raise _refuse("range span", target, frame)
    low, high = int(pattern.argmin()), int(pattern.argmax())
    start = frame.bottom + math.floor((room - target) * draws.uniform() / 100) * 100
    share = (pattern - pattern[low]) / max(float(pattern[high] - pattern[low]), 1e-9)
    y = np.clip(start + _round(target * share), start, start + target)
    y[low], y[high] = start, start + target
    return y


def _long(
    target: int, draws: DrawsLike, n: int, frame: _Frame, noise: float | None
) -> tuple[Integers, Integers]:
    room = frame.right - frame.left
    if not 0 < target <= room:
        raise _refuse("domain length", target, frame, "x")
    start = frame.left + math.floor((room - target) * draws.uniform() / 100) * 100
    along = _strata(draws, n)
    along[0], along[-1] = 0.0, 1.0
    x = np.clip(start + _round(target * along), start, start + target)
    x[-1] = start + target
    return x, _placed(_heights(along, draws, frame, noise), draws, frame)


_Maker = Callable[[int, Floats, DrawsLike, _Frame], Integers]
_MAKERS: dict[str, _Maker] = {
    "mean": _mean,
    "median": _median,
    "interquartile-range": _interquartile,
    "variance": _variance,
    "maximum": _maximum,
    "minimum": _minimum,
    "range-span": _span,
}
_CORRELATIONS = ("pearson", "spearman", "kendall")


def _correlated(
    prop: str, target: float, draws: DrawsLike, n: int, frame: _Frame, tolerance: float
) -> tuple[Integers, Integers, Floats, Floats]:
    """x and y, and for each point the bounds within which x may move without changing its rank."""
    if abs(target) > 1:
        raise Refused("data", f"no {prop} correlation of {target:g}: it lies between -1 and 1")
    room = frame.right - frame.left
    width = room * (0.6 + 0.4 * draws.uniform())
    start = frame.left + (room - width) * draws.uniform()
    along = _strata(draws, n)
    low, high = start + width * np.arange(n) / n, start + width * np.arange(1, n + 1) / n
    x = _round(start + width * along)
    if prop == "pearson":
        base = x - x.mean()
        base = base / math.sqrt(float(base @ base))
        error = draws.normals(n)
        error = error - error.mean()
        error = error - (error @ base) * base
        error = error / math.sqrt(float(error @ error))
        # y = rho x + sqrt(1 - rho^2) e, with x and e of mean 0, norm 1 and orthogonal: its correlation with x is rho.
        heights = target * base + math.sqrt(1 - target * target) * error
    else:
        ranks = (
            _ranks_of_spearman(target, draws, n, tolerance)
            if prop == "spearman"
            else _ranks_of_kendall(target, draws, n, tolerance)
        )
        levels = _strata(draws, n)
        heights = np.empty(n)
        heights[ranks] = levels
    span = (frame.top - frame.bottom) * (0.6 + 0.4 * draws.uniform())
    base_height = frame.bottom + (frame.top - frame.bottom - span) * draws.uniform()
    least, most = float(heights.min()), float(heights.max())
    y = _round(base_height + span * (heights - least) / (most - least))
    return x, y, np.minimum(low + 200, x), np.maximum(high - 200, x)


def _start(target: float, draws: DrawsLike, n: int) -> list[int]:
    """A permutation, x rank by y rank, of about the Gaussian correlation `target`."""
    first, noise = draws.normals(n), draws.normals(n)
    mixed = target * first + math.sqrt(max(0.0, 1 - target * target)) * noise
    ranks = np.empty(n, dtype=np.int64)
    ranks[np.argsort(first, kind="stable")] = np.arange(n)
    return [int(rank) for rank in ranks[np.argsort(mixed, kind="stable")]]


def _places(draws: DrawsLike, n: int) -> Iterator[int]:
    """Places 0 … n − 2 again and again, in steps of a drawn size from a drawn start."""
    start, step = draws.integer(0, n - 2), draws.integer(1, n - 2)
    for lap in count():
        for k in range(n - 1):
            yield (start + lap + k * step) % (n - 1)


def _ranks_of_spearman(target: float, draws: DrawsLike, n: int, tolerance: float) -> list[int]:
    """x rank by y rank. Swapping neighbours of x ranks a, b changes Σ d² by 2 (b − a); ρ = 1 − 6 Σ d² / (n³ − n)."""
    ranks = _start(2 * math.sin(math.pi * target / 6), draws, n)
    scale = (n**3 - n) / 6
    away = sum((rank - place) ** 2 for place, rank in enumerate(ranks)) - (1 - target) * scale
    near = max(1.0, 0.05 * tolerance * scale)
    for place in islice(_places(draws, n), 40 * n):
        if abs(away) <= near:
            break
        change = 2 * (ranks[place + 1] - ranks[place])
        if abs(away + change) < abs(away):
            ranks[place], ranks[place + 1] = ranks[place + 1], ranks[place]
            away += change
    if abs(away) / scale > tolerance:
        raise Refused(
            "data", f"spearman of {n} points off {target:g} by {abs(away) / scale:.3f} after the swaps"
        )
    return ranks


def _ranks_of_kendall(target: float, draws: DrawsLike, n: int, tolerance: float) -> list[int]:
    """x rank by y rank. Swapping neighbours changes one pair of the n (n − 1) / 2; τ = 1 − 2 discordant / pairs."""
    ranks = _start(math.sin(math.pi * target / 2), draws, n)
    pairs = n * (n - 1) // 2
    order = np.array(ranks)
    discordant = int(np.triu(order[:, None] > order[None, :]).sum())
    wanted = round((1 - target) * pairs / 2)
    for place in _places(draws, n):
        if discordant == wanted:
            break
        if (ranks[place] > ranks[place + 1]) == (discordant > wanted):
            discordant += 1 if ranks[place] < ranks[place + 1] else -1
            ranks[place], ranks[place + 1] = ranks[place + 1], ranks[place]
    off = abs(1 - 2 * discordant / pairs - target)
    if off > tolerance:
        raise Refused("data", f"kendall of {n} points cannot come nearer to {target:g} than {off:.3f}")
    return ranks


def _apart(
    x: Integers,
    y: Integers,
    taken: tuple[Floats, Floats],
    frame: _Frame,
    draws: DrawsLike,
    low: Floats,
    high: Floats,
) -> Integers:
    """x moved, within low … high of each point, where a marker would touch another (`taken` or its own series)."""
    n = len(x)
    across = np.concatenate([taken[0], x]) / frame.across
    up = np.concatenate([taken[1], y]) / frame.up
    mine = len(across) - n
    distance = (across[mine:, None] - across[None, :]) ** 2 + (up[mine:, None] - up[None, :]) ** 2
    distance[np.arange(n), mine + np.arange(n)] = np.inf
    touching = np.flatnonzero(distance.min(axis=1) < 1.1)
    if not len(touching):
        return x
    x = x.copy()
    random = draws.uniforms(TRIES * len(touching)).reshape(-1, TRIES)
    # Near places first, then anywhere in the bounds.
    reach = frame.across * np.array([2, 4, 8, 16, 1e9, 1e9])
    for tries, point in zip(random, touching.tolist(), strict=True):
        here = float(x[point])
        first, last = np.maximum(low[point], here - reach), np.minimum(high[point], here + reach)
        places = _round(first + (last - first) * tries)
        if point == 0 or point == n - 1:  # the ends keep the extent as it is
            continue
        gaps = (places[:, None] / frame.across - across[None, :]) ** 2 + (up[mine + point] - up[None, :]) ** 2
        gaps[:, mine + point] = np.inf
        nearest = gaps.min(axis=1)
        clear = np.flatnonzero(nearest >= 1.1)
        best = int(clear[0]) if len(clear) else int(nearest.argmax())
        if nearest[best] > distance[point].min():
            x[point] = places[best]
            across[mine + point] = places[best] / frame.across
    return x


def _counted(number: int, draws: DrawsLike, frame: _Frame) -> tuple[Integers, Integers]:
    """Points at least 1.6 diameters from each other: a cloud, or about a line where there is room."""
    if number < 1:
        raise InputError(f"{number} points to count; give at least 1")
    slope = draws.choice((None, -0.8, -0.4, 0.4, 0.8)) if number <= 40 else None
    found_x: list[float] = []
    found_y: list[float] = []
    kept = np.empty((number, 2))
    step = np.array([frame.across, frame.up]) * COUNTED_APART
    for _ in range(60):
        first, second = draws.uniforms(2 * number).reshape(2, number)
        if slope is not None:
            second = 0.5 + slope * (first - 0.5) + 0.12 * draws.normals(number)
        xs = _round(frame.left + (frame.right - frame.left) * first)
        ys = _round(frame.bottom + (frame.top - frame.bottom) * second)
        inside = (ys >= frame.bottom) & (ys <= frame.top) & (xs >= frame.left) & (xs <= frame.right)
        for x, y in zip(xs[inside].tolist(), ys[inside].tolist(), strict=True):
            placed = len(found_x)
            here = np.array([x, y]) / step
            if placed and float(((kept[:placed] - here) ** 2).sum(axis=1).min()) < 1:
                continue
            kept[placed] = here
            found_x.append(x)
            found_y.append(y)
            if placed + 1 == number:
                return np.array(found_x, dtype=np.int64), np.array(found_y, dtype=np.int64)
    raise Refused("data", f"no room for {number} points 1.6 diameters apart")

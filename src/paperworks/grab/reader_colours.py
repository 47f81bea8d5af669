"""Colours of what is drawn, and how much each covers of every pixel.

The picture inside the frame is taken as white paper with grid and zero axes, each a straight line at a tick,
covered by members of one colour each. A pixel covered to the part α by a member of colour C over the
background B is (1 − α) B + α C, so α is the projection of B − pixel on B − C, accepted where the rest is
small. The steps are choices of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paperworks.grab.layout import PROPERTY_COLOURS
from paperworks.grab.reader_axes import Axes, darkness, extremes, find_ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = tuple(
    (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)) for code in PROPERTY_COLOURS
)
"""The colours that our styles use."""
RESIDUAL = 12.0
"""Grey levels (of 255, root of the sum over channels) by which a pixel may miss the mixture that explains it."""
CLEAN = 5.0
"""The same where nothing has been lost since drawing."""
MERGE = 12.0
"""ΔE (CIELAB) under which two colours are one."""
GRID = 0.2
"""Darkness of the grid's grey."""
MARGIN = 24
"""Pixels kept around a member."""
FAINT = 0.02
"""Coverage below which a pixel counts as not covered."""


@dataclass(frozen=True)
class Scene:
    """The inside of the frame: offset of its first pixel, and its pixels [rows, columns, 3].

    `background`: grey level of each pixel without members. `away`: how far the pixel is from it (the farthest
    channel). `chroma`: its lightest channel less its darkest. `dark`: where a black line is. All [rows, columns].
    """

    left: int
    top: int
    pixels: NDArray[np.uint8]
    background: Floats
    away: Floats
    chroma: Floats
    dark: Bools


@dataclass(frozen=True)
class Layer:
    """One member: its colour, and the coverage [rows, columns] with NaN where something else hides it.

    `left`, `top`: column and row of the first pixel in the whole picture. `strong`: the coverage that its best
    tenth of pixels has, 1 unless lines are thinner than pixels.
    """

    colour: Colour
    alpha: Floats
    left: int
    top: int
    strong: float = 1.0


def scene(pixels: NDArray[np.uint8], axes: Axes) -> Scene:
    """The inside of the frame and what it would be without members."""
    left, top, right, bottom = axes.box
    edge = 0.5 * pixels.shape[1] / 600 + 0.01
    c0, c1 = int(np.ceil(left + edge)), int(np.floor(right - edge))
    r0, r1 = int(np.ceil(top + edge)), int(np.floor(bottom - edge))
    inside = pixels[r0:r1, c0:c1]
    low, high = extremes(inside)
    ink = 1 - high / 255
    neutral = high - low < 8
    at = (axes.lines_x, axes.lines_y)
    if not all(at):
        columns_at, rows_at = find_ticks(darkness(pixels), axes.box, pixels.shape[1] / 600)
        at = (tuple(columns_at), tuple(rows_at))
    rows = _lines(ink, neutral, 1, np.asarray(at[1]) - r0)
    columns = _lines(ink, neutral, 0, np.asarray(at[0]) - c0)
    # where lines of the grid cross their coverage adds up, to no more than a line's grey; a zero axis lies
    # over the grid
    one, other = rows[:, None], columns[None, :]
    alike = (one < GRID + 0.01) == (other < GRID + 0.01)
    most = np.where(one < GRID + 0.01, GRID, 1.0)
    shade = np.where(alike, np.minimum(one + other, most), 1 - (1 - one) * (1 - other))
    background = 255 * (1 - shade)
    away = np.maximum(high - background, background - low)
    return Scene(c0, r0, inside, background, away, high - low, shade > 0.6)


def _lines(ink: Floats, neutral: Bools, axis: int, at: Floats) -> Floats:
    """Darkness of each row (axis 1) or column (axis 0) where nothing is drawn on it; only lines near a tick count."""
    profile = np.zeros(ink.shape[1 - axis])
    places = {int(line) + step for line in at for step in (-2, -1, 0, 1, 2)}
    for place in sorted(places & set(range(len(profile)))):
        on, grey = (ink[place], neutral[place]) if axis == 1 else (ink[:, place], neutral[:, place])
        if grey.mean() > 0.15:
            profile[place] = np.median(on[grey])
    return profile


def lab(colours: Floats) -> Floats:
    """CIELAB (D65) of sRGB colours 0…255 [..., 3]."""
    code = np.asarray(colours, dtype=float) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.119192, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    curve = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(curve, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def colours(view: Scene, *, smallest: int = 8, black: bool = False) -> list[Colour]:
    """The colours of the members, commonest first; `black`: only a black member is looked for, outside the
    black axes.

    First the colours of our styles that at least `smallest` pixels have; where there are none (another
    palette, a compressed picture), greedy modes of the histogram, with colours nearer than ΔE 12 merged and
    mixtures of two accepted ones left out.
    """
    away = view.away > 24
    if black:
        return [(0, 0, 0)] if ((view.away > 60) & (view.chroma < 24) & ~view.dark).sum() >= smallest else []
    drawn = view.pixels[away & (view.chroma > 40)]
    values, counts = np.unique(drawn.astype(np.int64) @ np.array([65536, 256, 1]), return_counts=True)
    codes = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1).astype(float)
    sums = [int(counts[np.abs(codes - colour).max(axis=1) <= 2].sum()) for colour in PALETTE]
    known = [PALETTE[k] for k in np.argsort(sums, kind="stable")[::-1] if sums[k] >= smallest]
    return _thin(codes, counts, known, smallest) or _modes(codes, counts, smallest)


def _thin(codes: Floats, counts: NDArray[np.int64], known: list[Colour], smallest: int) -> list[Colour]:
    """`known` and the colours of our styles whose lines are so thin that no pixel is covered whole: their
    mixtures with paper.

    What the known explain goes, also as mixtures of two; then the colour that explains most of the rest comes
    next, and so on. None where much is left unexplained.
    """
    paper = np.full(3, 255.0)
    left, found = counts.astype(float), list(known)
    for number, colour in enumerate(known):
        for other in (tuple(paper), *known[:number]):
            left[_between(codes, np.array(other, float), np.array(colour, float), CLEAN)] = 0.0
    rays = np.array([_between(codes, paper, np.array(colour, float), CLEAN) for colour in PALETTE])
    while len(found) < len(PALETTE):
        explained = rays @ left
        best = int(np.argmax(explained))
        if explained[best] < max(2 * smallest if known else smallest, 0.012 * counts.sum()):
            break
        found.append(PALETTE[best])
        left = np.where(rays[best], 0.0, left)
    return found if known or left.sum() < 0.35 * counts.sum() else []


def _modes(left: Floats, counts: NDArray[np.int64], smallest: int) -> list[Colour]:
    found: list[Colour] = []
    while len(left) and len(found) < 24:
        best = int(counts.argmax())
        near = np.abs(left - left[best]).max(axis=1) <= 6
        if counts[near].sum() < smallest:
            break
        colour = left[best]
        pairs = [(np.array(a, float), np.array(b, float)) for a in found for b in found if a < b]
        if not any(_between(colour, a, b) for a, b in pairs):
            far = [float(np.linalg.norm(lab(colour) - lab(np.array(other, float)))) for other in found]
            if not far or min(far) > MERGE:
                found.append((int(colour[0]), int(colour[1]), int(colour[2])))
        gone = near | _between(left, np.full(3, 255.0), colour) | _between(left, np.full(3, 204.0), colour)
        left, counts = left[~gone], counts[~gone]
    return found


def _between(points: Floats, one: Floats, other: Floats, allowed: float = RESIDUAL) -> Bools:
    """Whether colours lie within `allowed` of the segment from `one` to `other`."""
    along = other - one
    part = np.clip((points - one) @ along / (along @ along), 0, 1)
    return np.asarray(np.linalg.norm(points - one - part[..., None] * along, axis=-1) <= allowed)


def layers(view: Scene, members: list[Colour]) -> list[Layer]:
    """Coverage of each member, NaN where it may be hidden by another.

    A pixel is first explained by one member over the background, else by two, one over the other; what neither
    explains hides all.
    """
    shape = view.pixels.shape[:2]
    away = view.away > 3
    pixel, ground = view.pixels[away].astype(float), view.background[away][:, None]
    part, miss = _singly(pixel, ground, members)
    owner, best = miss.argmin(axis=0), miss.min(axis=0)
    # a clean picture is exact to a level or two; only a compressed or blurred one needs the whole allowance
    allowed = CLEAN if (best <= CLEAN).mean() >= 0.5 else RESIDUAL
    if len(members) == 1:
        allowed = 2 * RESIDUAL  # no other member can hide it
    share = np.take_along_axis(part, owner[None], 0)[0]
    owners = np.full(shape, -1)
    owners[away] = np.where(best <= allowed, owner, len(members))
    coverage = np.zeros(shape)
    coverage[away] = np.where(best <= allowed, share, 1.0)
    alphas = np.zeros((len(members), *shape))
    order = [PALETTE.index(colour) if colour in PALETTE else -1 for colour in members]
    if len(members) > 1:
        strong = [_strong(coverage[owners == number]) for number in range(len(members))]
        near = np.array(
            [
                _spread((owners == number) & (coverage > 0.6 * strong[number]), 2)
                for number in range(len(members))
            ]
        )
        lone = (owners >= 0) & (owners < len(members))
        lone[lone] = ~near[owners[lone], *np.nonzero(lone)]
        owners[lone] = len(members)
    for number in range(len(members)):
        alphas[number][owners == number] = coverage[owners == number]
        for other in range(len(members)):
            over = order[other] >= order[number] or order[other] < 0
            if other != number and over:
                alphas[number][(owners == other) & (coverage > 0.97)] = np.nan
    mixed = owners == len(members)
    if len(members) > 1 and mixed.any():
        alphas[:, mixed] = _doubly(
            view.pixels[mixed].astype(float),
            view.background[mixed][:, None],
            members,
            order,
            near[:, mixed],
            allowed,
        )
    else:
        alphas[:, mixed] = np.nan
    unseen = view.dark & ~away  # where black over black cannot be told from black
    return [
        _cut(colour, _across(alpha, unseen) if max(colour) < 40 else alpha, view)
        for colour, alpha in zip(members, alphas, strict=True)
    ]


def _cut(colour: Colour, alpha: Floats, view: Scene) -> Layer:
    """The part of a layer that has its member, with a margin."""
    drawn = alpha > FAINT
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not len(rows):
        return Layer(colour, alpha[:0, :0], view.left, view.top)
    strong = _strong(alpha[drawn])
    r0, r1 = max(rows[0] - MARGIN, 0), rows[-1] + 1 + MARGIN
    c0, c1 = max(columns[0] - MARGIN, 0), columns[-1] + 1 + MARGIN
    return Layer(colour, alpha[r0:r1, c0:c1], view.left + int(c0), view.top + int(r0), strong)


def _singly(pixel: Floats, ground: Floats, members: list[Colour]) -> tuple[Floats, Floats]:
    """Coverage by each member alone and what it leaves unexplained [members, pixels]."""
    parts, misses = [], []
    for colour in members:
        along = np.array(colour, float) - ground
        length = (along**2).sum(axis=1)
        part = np.clip(((pixel - ground) * along).sum(axis=1) / np.maximum(length, 1), 0, 1)
        miss = np.sqrt(((pixel - ground - part[:, None] * along) ** 2).sum(axis=1))
        parts.append(part)
        misses.append(np.where(length > 900, miss, np.inf))
    return np.array(parts), np.array(misses)


def _strong(coverage: Floats) -> float:
    """The coverage that the best tenth of pixels have."""
    return min(1.0, float(np.quantile(coverage, 0.9)) + 0.02) if len(coverage) else 1.0


def _spread(mask: Bools, reach: int) -> Bools:
    """The mask grown by `reach` pixels in each direction (a square)."""
    for axis in (0, 1):
        line = np.moveaxis(mask, axis, 0)
        grown = line.copy()
        for step in range(1, reach + 1):
            grown[step:] |= line[:-step]
            grown[:-step] |= line[step:]
        mask = np.moveaxis(grown, 0, axis)
    return mask


def _doubly(
    pixel: Floats, ground: Floats, members: list[Colour], order: list[int], near: Bools, allowed: float
) -> Floats:
    """Coverage [members, pixels] of pixels that two members cover, the later drawn over the earlier; NaN where
    no two explain one.

    ground − pixel = a (ground − upper) + b (ground − lower): a is the upper's coverage, b / (1 − a) the lower's.
    """
    count = len(members)
    result = np.full((count, len(pixel)), np.nan)
    best = np.full(len(pixel), allowed)
    for lower in range(count):
        for upper in range(count):
            if lower == upper or order[lower] > order[upper]:
                continue
            index = np.flatnonzero(near[lower] & near[upper])
            if not len(index):
                continue
            wanted = ground[index] - pixel[index]
            u, v = (
                ground[index] - np.array(members[upper], float),
                ground[index] - np.array(members[lower], float),
            )
            uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
            uw, vw = (u * wanted).sum(1), (v * wanted).sum(1)
            size = np.maximum(uu * vv - uv * uv, 1e-6)
            a = np.clip((uw * vv - vw * uv) / size, 0, 1)
            b = np.clip((vw - a * uv) / np.maximum(vv, 1e-6), 0, 1 - a)
            miss = np.sqrt(((wanted - a[:, None] * u - b[:, None] * v) ** 2).sum(axis=1))
            better = miss < best[index]
            at = index[better]
            best[at] = miss[better]
            result[:, at] = 0.0
            result[upper, at] = a[better]
            below = np.where(a < 0.9, b / np.maximum(1 - a, 1e-9), np.nan)
            result[lower, at] = below[better]
    return result


def _across(alpha: Floats, unseen: Bools) -> Floats:
    """Coverage on the core of a black axis, which is a pixel or two wide: the mean of what is on its two sides."""
    sides = []
    for axis in (0, 1):
        lines = unseen.mean(axis=1 - axis) > 0.5
        value = np.moveaxis(alpha.copy(), axis, 0)
        index = np.flatnonzero(lines)
        for run in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1):
            if len(run) and run[0] > 0 and run[-1] + 1 < len(value):
                value[run] = (value[run[0] - 1] + value[run[-1] + 1]) / 2
        sides.append(np.moveaxis(value, 0, axis))
    filled = alpha.copy()
    for axis in (0, 1):
        on = unseen & (unseen.mean(axis=1 - axis, keepdims=True) > 0.5)
        filled[on] = sides[axis][on]
    return filled

"""What covers what in a picture, and which other curve would look the same (rules R4, R5 and R6).

Pixels are those of a picture 600 wide where strokes and markers are compared, 336 wide for other curves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from paperworks.grab import layout
from paperworks.grab.families import values
from paperworks.grab.rule_places import (
    Floats,
    Spec,
    crests_and_troughs,
    features,
    first_and_last,
    limits,
    per_unit,
    tangent_factor,
)

CLEAR = 2.0
"""R4: pixels of a curve, 600 wide, that no other may cover around its feature."""
SINE = frozenset({"amplitude", "period", "vertical-shift"})
COLUMNS = 129
"""Places along x at which curves are compared: four pixels apart, so shares are good to .04."""


@lru_cache(maxsize=1024)
def colour_difference(colours: tuple[str, ...]) -> float:
    """ΔE of the two colours nearest to each other, or of the one nearest to a grey."""
    least = min(layout.from_grey(colour) for colour in colours)
    for k, one in enumerate(colours):
        for other in colours[:k]:
            least = min(least, layout.difference(one, other))
    return least


def covered_shares(spec: Spec, curves: Sequence[int], task: str) -> Floats:
    """The share of each curve's visible length whose centre line is under a later stroke. [curves]"""
    x0, x1, y0, y1 = limits(spec)
    across, up = per_unit(spec, layout.WIDTH)
    x = np.linspace(x0, x1, COLUMNS)
    y = np.stack([values(spec["members"][k], x) for k in curves]) * up
    domains = np.array([first_and_last(spec["members"][k]) for k in curves])
    inside = (x >= domains[:, :1]) & (x <= domains[:, 1:]) & (y >= y0 * up) & (y <= y1 * up)
    slope = np.empty_like(y)
    slope[:, 1:-1] = (y[:, 2:] - y[:, :-2]) / 2
    slope[:, 0], slope[:, -1] = y[:, 1] - y[:, 0], y[:, -1] - y[:, -2]
    length = np.sqrt(1 + (slope / ((x[1] - x[0]) * across)) ** 2)
    half = np.array([float(spec["style"]["widths"][k]) for k in curves]) * layout.POINT / 2
    if task == "transform":
        near = (np.abs(y) <= layout.ZERO / 2 + half[:, None]) & inside
    else:
        near = np.zeros_like(inside)
        for k in range(len(curves) - 1):
            gap = np.abs(y[k + 1 :] - y[k]) <= half[k + 1 :, None] * length[k + 1 :]
            near[k] = (gap & inside[k + 1 :]).any(axis=0) & inside[k]
    weight = length * inside
    return np.asarray((weight * near).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9))


def what_covers_a_feature(spec: Spec, curves: Sequence[int], prop: str) -> str | None:
    """In words, where a later stroke comes within 2 px of what is asked about; None where none does."""
    members, asked = spec["members"], (spec.get("asked") or {}).get("member")
    x0, x1, _, _ = limits(spec)
    places: list[tuple[float, float]] = []
    owners: list[int] = []
    groups: list[int] = []
    for order, k in enumerate(curves):
        if asked is not None and asked != k:
            continue
        member = members[k]
        if member["family"] == "sine" and prop in SINE:
            level, amplitude = float(member["v"]), float(member["A"])
            for group, (turns, height) in enumerate(
                zip(crests_and_troughs(member, x0, x1), (level + amplitude, level - amplitude), strict=True)
            ):
                places += [(float(x), height) for x in turns]
                groups += [group] * len(turns)
                owners += [order] * len(turns)
        else:
            found = features(member, prop)
            places += found
            groups += [-1] * len(found)
            owners += [order] * len(found)
    if not places:
        return None
    across, up = per_unit(spec, layout.WIDTH)
    where, owner, group_of = np.array(places), np.array(owners), np.array(groups)
    pixel = 1 / across
    clearance = np.full(len(places), np.inf)
    for order, k in enumerate(curves):
        earlier = owner < order
        if not earlier.any():
            continue
        low, high = first_and_last(members[k])
        x = where[earlier, 0]
        three = values(members[k], np.stack([x - pixel, x, x + pixel]))
        slope = (three[2] - three[0]) * up / 2
        gap = np.abs(three[1] - where[earlier, 1]) * up / np.sqrt(1 + slope**2)
        gap = gap - float(spec["style"]["widths"][k]) * layout.POINT / 2
        gap = np.where((x >= low - 3 * pixel) & (x <= high + 3 * pixel), gap, np.inf)
        clearance[earlier] = np.minimum(clearance[earlier], gap)
    free = clearance >= CLEAR
    single = group_of < 0
    if not free[single].all():
        nearest = max(0.0, float(clearance[single].min()))
        return f"another curve comes within {nearest:.1f} px of the {prop} of one, under 2"
    for order in np.unique(owner[~single]):
        mine = owner == order
        crests, troughs = (int(free[mine & (group_of == group)].sum()) for group in (0, 1))
        if crests + troughs < 2 or (prop != "period" and min(crests, troughs) < 1):
            return f"a sine has {crests} crests and {troughs} troughs that no other curve covers"
    return None


def nearest_points(where: Floats) -> float:
    """The smallest distance between two of the points, in pixels."""
    if len(where) < 2:
        return math.inf
    distance = ((where[:, None] - where[None, :]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return math.sqrt(float(distance.min()))


@lru_cache(maxsize=8)
def _differences(degree: int) -> Floats:
    """Every difference of integer coefficients of at most 2 (4 up to degree 2), but not 0; one of each ± pair."""
    reach = 4 if degree <= 2 else 2
    every = np.array(list(product(range(-reach, reach + 1), repeat=degree + 1)), dtype=np.float64)
    return every[len(every) // 2 + 1 :]


def nearest_polynomial(x: Floats, y: Floats, degree: int, across: float, up: float) -> float:
    """The least largest distance, in pixels, of the points [n] from another polynomial of the degree with integer
    coefficients near these; `across` and `up` are pixels in a unit of x and y.
    """
    lean = tangent_factor(x, y, across, up)
    pick = np.unique(np.linspace(0, len(x) - 1, 97).astype(int))
    # Powers of x less an integer span the same integer polynomials as powers of x, but are small where the curve is.
    middle = round(float(x[0] + x[-1]) / 2)
    powers = np.vander(x[pick] - middle, degree + 1)
    gaps = np.abs(_differences(degree) @ powers.T) * (up * lean[pick])
    return float(gaps.max(axis=1).min())


def nearest_sine(x: Floats, y: Floats, parameters: Sequence[float], across: float, up: float) -> float:
    """The same for sines of other integers a, b, c, d near `parameters`."""
    a, b, c, d = parameters
    lean = tangent_factor(x, y, across, up) * up
    far = math.inf
    shape = np.sin(np.arange(1, 11)[:, None, None] * x + np.arange(7)[None, :, None])
    for size in (a + step for step in range(-2, 3) if a + step > 0):
        for level in range(-2, 3):
            gap = (np.abs(size * shape + (d + level) - y) * lean).max(axis=2)
            if size == a and level == 0:
                gap[round(b) - 1, round(c)] = np.inf
            far = min(far, float(gap.min()))
    return far

"""Transforms: operations are drawn first, then the base curve is solved for so that the moved one has the property."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from paperworks.grab.design import Slot
from paperworks.grab.draws import Draws
from paperworks.grab.operations import Affine, compose
from paperworks.grab.rules import Refused
from paperworks.grab.solve_common import EDGE, FIXED_AXES, Member, Spec, precise, sign, spec_of, text
from paperworks.grab.solve_smooth import areas, knot_places, slopes, smooth

Moving = tuple[float, float, float, float, float, float]
"""xx, xy, yx, yy, tx, ty of x' = xx x + xy y + tx, y' = yx x + yy y + ty."""

FARTHEST = 150
"""Coordinates of a moved curve stay within ± this."""
FACTORS = ("0.1", "0.5", "2", "3", "5", "10")
ANGLES = (90, 180, 270)
MIRRORS = ("x-axis", "y-axis", "y=x", "y=-x", "x=k", "y=k")
KINDS = ("scale", "rotate", "reflect", "translate")
UNITS_PIXELS = 14.2
"""Pixels of one unit of the fixed axes in the smallest promised picture, 336 wide."""
SEARCHES = 60
"""How often operations or a base curve are drawn again within one attempt."""


def draw_operation(draws: Draws, *, legacy: bool = False) -> dict[str, Any]:
    """One operation, the four kinds equally often. `legacy`: the official file's empty ones too."""
    kind = draws.choice(KINDS)
    if kind == "scale":
        return {
            "kind": kind,
            "axis": draws.choice("xy"),
            "factor": draws.choice((*FACTORS, "1") if legacy else FACTORS),
        }
    if kind == "rotate":
        return {"kind": kind, "angle": draws.choice((*ANGLES, 0) if legacy else ANGLES)}
    if kind == "reflect":
        mirror = draws.choice(MIRRORS)
        if mirror.endswith("k"):
            return {"kind": kind, "in": mirror, "k": str(_shift(draws, legacy))}
        return {"kind": kind, "in": mirror}
    return {"kind": kind, "axis": draws.choice("xy"), "by": str(_shift(draws, legacy))}


def _shift(draws: Draws, legacy: bool) -> int:
    """An integer within ±10; 0, which would change nothing or name an axis in another way, only if `legacy`."""
    if legacy:
        return draws.integer(-10, 10)
    return sign(draws) * draws.integer(1, 10)


def draw_operations(count: int, draws: Draws, *, legacy: bool = False) -> list[dict[str, Any]]:
    """`count` operations, none empty and none undoing the one before (unless `legacy`)."""
    operations: list[dict[str, Any]] = []
    while len(operations) < count:
        operation = draw_operation(draws, legacy=legacy)
        if legacy or not (operations and undone(operations[-1], operation)):
            operations.append(operation)
    return operations


def undone(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """`operations.undoes` for what `draw_operation` draws, without fractions."""
    kind = first["kind"]
    if kind != second["kind"]:
        return False
    if kind == "rotate":
        return bool((first["angle"] + second["angle"]) % 360 == 0)
    if kind == "reflect":
        return first == second
    if first["axis"] != second["axis"]:
        return False
    if kind == "translate":
        return int(first["by"]) == -int(second["by"])
    return (first["factor"], second["factor"]) in (("0.1", "10"), ("10", "0.1"), ("0.5", "2"), ("2", "0.5"))


def float_map(operations: Sequence[dict[str, Any]]) -> tuple[float, float, float, float, float, float]:
    """`operations.compose` in float64, for a first look: (xx, xy, yx, yy, tx, ty)."""
    xx, xy, yx, yy, tx, ty = 1.0, 0.0, 0.0, 1.0, 0.0, 0.0
    for operation in operations:
        kind = operation["kind"]
        if kind == "scale":
            factor = float(operation["factor"])
            if operation["axis"] == "x":
                xx, xy, tx = xx * factor, xy * factor, tx * factor
            else:
                yx, yy, ty = yx * factor, yy * factor, ty * factor
        elif kind == "translate":
            if operation["axis"] == "x":
                tx += int(operation["by"])
            else:
                ty += int(operation["by"])
        elif kind == "rotate":
            for _ in range(operation["angle"] // 90):
                xx, xy, yx, yy, tx, ty = -yx, -yy, xx, xy, -ty, tx
        else:
            mirror = operation["in"]
            if mirror in ("y-axis", "x=k"):
                xx, xy, tx = -xx, -xy, 2 * int(operation.get("k", 0)) - tx
            elif mirror in ("x-axis", "y=k"):
                yx, yy, ty = -yx, -yy, 2 * int(operation.get("k", 0)) - ty
            else:
                xx, xy, yx, yy, tx, ty = yx, yy, xx, xy, ty, tx
                if mirror == "y=-x":
                    xx, xy, yx, yy, tx, ty = -xx, -xy, -yx, -yy, -tx, -ty
    return xx, xy, yx, yy, tx, ty


def solve_transform(slot: Slot, wanted: Fraction, draws: Draws, legacy: bool) -> Spec:
    """Operations first; the base curve is then solved for so that the moved one has the property."""
    why = Refused("range", f"no operations lead to {float(wanted):g}")
    for _ in range(SEARCHES if slot.complexity else 4):
        operations = draw_operations(slot.complexity, draws, legacy=legacy)
        moving = float_map(operations)
        if not legacy and not _promising(slot.property, float(wanted), float(Fraction(slot.quantum)), moving):
            continue
        try:
            exact = compose(operations)
            base = _base(slot.property, wanted, exact, draws)
            _check_reach(base, moving)
        except Refused as refused:
            why = refused
            continue
        return spec_of([base], FIXED_AXES, operations=operations)
    raise why


def _promising(prop: str, wanted: float, quantum: float, moving: Moving) -> bool:
    """Whether a base curve can be read well enough (R2, to first order) and can give the answer within the axes."""
    xx, xy, yx, yy, _, ty = moving
    swaps = xx == 0
    up, across = (abs(yx), abs(xy)) if swaps else (abs(yy), abs(xx))
    if prop == "gradient":
        m = yx / (wanted * xy) if swaps and wanted else wanted * xx / yy if not swaps else math.inf
        return (0.2 if swaps else 0.0) <= abs(m) <= 6
    if prop in ("maximum", "minimum"):
        return up / UNITS_PIXELS <= quantum and abs(wanted - ty) <= 9.5 * up
    if prop in ("domain-length", "range-span"):
        factor = across if prop == "domain-length" else up
        return factor / UNITS_PIXELS <= quantum and 1 <= wanted / factor <= 19
    area = up * across
    return 0.08 <= area <= 4.5 and abs(ty) <= 9 * up and abs(wanted) <= area * 130


def _base(prop: str, wanted: Fraction, moving: Affine, draws: Draws) -> Member:
    if prop == "gradient":
        return _base_line(wanted, moving, draws)
    if prop in ("maximum", "minimum"):
        return _base_extreme(prop == "maximum", wanted, moving, draws)
    if prop in ("domain-length", "range-span"):
        along_x = (prop == "domain-length") != moving.swaps
        factor = (
            (moving.yx if moving.swaps else moving.xx)
            if along_x
            else (moving.xy if moving.swaps else moving.yy)
        )
        extent = wanted / abs(factor)
        if not 1 <= extent <= 19:
            raise Refused("R3", f"an extent of {float(extent):g} does not fit into the axes")
        if along_x:
            return _base_between_x(_middle(extent, draws), extent, draws)
        low = _middle(extent, draws)
        x = [str(place) for place in knot_places(draws, -9, 9)]
        return _between(float(low), float(low + extent), x, draws)
    return _base_area(prop == "net-area", float(wanted), moving, draws)


def _middle(extent: Fraction, draws: Draws) -> Fraction:
    """A first end (hundredths) such that the extent lies within ±9.6."""
    room = math.floor(100 * (960 - 50 * extent) / 100)
    start = Fraction(draws.integer(-room, room), 100) - extent / 2
    return Fraction(round(start * 100), 100)


def _between(low: float, high: float, x: Sequence[str], draws: Draws) -> Member:
    """Knots with smallest y `low` and largest `high`, the others clearly between."""
    places = draws.sample(range(len(x)), 2)
    y = [low + (high - low) * draws.integer(8, 92) / 100 for _ in x]
    y[places[0]], y[places[1]] = low, high
    return smooth(x, [precise(value) for value in y])


def _base_between_x(first: Fraction, extent: Fraction, draws: Draws) -> Member:
    last = first + extent
    low, high = math.ceil(first + Fraction(1, 4)), math.floor(last - Fraction(1, 4))
    inside = range(low, high + 1)
    inner = sorted(draws.sample(inside, min(draws.integer(3, 7), len(inside))))
    x = [precise(first), *map(str, inner), precise(last)]
    return smooth(x, [text(draws.integer(-900, 900)) for _ in x])


def _base_line(wanted: Fraction, moving: Affine, draws: Draws) -> Member:
    if moving.swaps:
        if wanted == 0:
            raise Refused("R7", "a gradient of 0 would need a vertical line")
        m = moving.yx / (wanted * moving.xy)
    else:
        m = wanted * moving.xx / moving.yy
    if not (Fraction(1, 5) if moving.swaps else 0) <= abs(m) <= 6:
        raise Refused("R7", f"a line of gradient {float(m):g} cannot be read")
    k = draws.integer(-500, 500)
    # Within the frame: |m x + k| <= 9.6.
    steepness = max(abs(float(m)), 1e-9)
    ends = sorted((side * 9.6 - k / 100) / steepness * (1 if m >= 0 else -1) for side in (-1, 1))
    first, last = max(-9.6, ends[0]), min(9.6, ends[1])
    length = last - first
    first += length * draws.integer(0, 20) / 100
    last -= length * draws.integer(0, 20) / 100
    return {
        "family": "line",
        "m": precise(m),
        "k": text(k),
        "domain": [text(math.ceil(100 * first)), text(math.floor(100 * last))],
    }


def _base_extreme(largest: bool, wanted: Fraction, moving: Affine, draws: Draws) -> Member:
    if moving.swaps:  # y' = yx x + ty: the extreme is an end of the domain
        place = (wanted - moving.ty) / moving.yx
        if abs(place) > Fraction(96, 10):
            raise Refused("R3", f"an end at {float(place):g} is outside the axes")
        right = largest == (moving.yx > 0)
        room = Fraction(96, 10) + (place if right else -place)
        if room < 5:
            raise Refused("R3", f"no room for a curve that ends at {float(place):g}")
        length = Fraction(draws.integer(400, math.floor(100 * room)), 100)
        first = place - length if right else place
        return _base_between_x(first, length, draws)
    height = (wanted - moving.ty) / moving.yy
    if abs(height) > Fraction(95, 10):
        raise Refused("R3", f"an extreme at {float(height):g} is outside the axes")
    up = largest == (moving.yy > 0)
    peak = float(height if up else -height)
    if peak < -8:
        raise Refused("R3", f"no room beside an extreme at {float(height):g}")
    x = [str(place) for place in knot_places(draws, -9, 9)]
    at = draws.integer(0, len(x) - 1)
    side = 1 if up else -1
    low, high = -950, math.floor(100 * peak) - 60
    y = [side * (peak if k == at else draws.integer(low, high) / 100) for k in range(len(x))]
    return smooth(x, [precise(value) for value in y])


def _base_area(net: bool, wanted: float, moving: Affine, draws: Draws) -> Member:
    """A curve whose moved ends are near the x-axis, as an error in the length counts with the height at the ends."""
    if moving.swaps:
        return _base_monotone(net, wanted, moving, draws)
    xx, yy, ty = abs(float(moving.xx)), float(moving.yy), float(moving.ty)
    offset = ty / yy  # the moved curve is yy (y + offset)
    size = wanted / (xx * yy) if net else wanted / (xx * abs(yy))
    # R2: factor √(2 length) and factor · end heights, in units of 14.2 px, both well under one quantum.
    factor = xx * abs(yy)
    longest = min(18, math.floor(0.4 * (UNITS_PIXELS / factor) ** 2 / 2))
    shortest = max(3, math.ceil(abs(size) / 9))
    if shortest > longest:
        raise Refused("R2", f"an area of {wanted:g} needs a longer curve than can be read")
    length = draws.integer(shortest, longest)
    first = draws.integer(-9, 9 - length)
    inner = sorted(draws.sample(range(first + 1, first + length), min(draws.integer(3, 7), length - 1)))
    places = [first, *inner, first + length]
    x = [float(place) for place in places]
    end = min(EDGE, 0.5 * UNITS_PIXELS / factor)
    low, high = max(-EDGE, -offset - end), min(EDGE, -offset + end)
    if low > high:
        raise Refused("R2", "the ends of the moved curve cannot be near the x-axis")
    ends = [draws.integer(math.ceil(100 * low), math.floor(100 * high)) / 100 for _ in range(2)]
    shape = [draws.integer(-400, 400) / 100 for _ in inner]

    def knots(lift: float) -> list[float]:
        return [ends[0], *(min(EDGE, max(-EDGE, value + lift)) for value in shape), ends[1]]

    found = _lift_for(size, x, knots, offset, net, draws)
    if found is None:
        raise Refused("R3", f"no curve of area {wanted:g} in the axes")
    return smooth([str(place) for place in places], [precise(value) for value in knots(found)])


def _lift_for(
    size: float,
    x: Sequence[float],
    knots: Callable[[float], list[float]],
    offset: float,
    net: bool,
    draws: Draws,
) -> float | None:
    """A lift of the inner knots at which the area about y = -offset is `size`, from above or from below."""

    def excess(lift: float) -> float:
        return areas(x, knots(lift), offset)[0 if net else 1] - size

    start, way = -offset, sign(draws)
    reach = 13.0
    for side in (way, -way):
        low, high = (start, start + reach * side) if not net else (-reach, reach)
        at_low, at_high = excess(low), excess(high)
        if at_low * at_high > 0:
            continue
        for _ in range(60):
            # False position, kept away from the ends (Illinois).
            middle = (low * at_high - high * at_low) / (at_high - at_low)
            at = excess(middle)
            if abs(at) < 1e-7:
                break
            if at * at_high <= 0:
                low, at_low = high, at_high
            else:
                at_low /= 2
            high, at_high = middle, at
        return middle
    return None


def _base_monotone(net: bool, wanted: float, moving: Affine, draws: Draws) -> Member:
    """A strictly monotone base: turned by a quarter it is a function again, and its area is that of the inverse."""
    xy, yx, ty = abs(float(moving.xy)), float(moving.yx), float(moving.ty)
    factor = xy * abs(yx)
    root = -ty / yx  # the moved curve is yx (x - root) over xy y
    # R2 as in `_base_area`: the ends of the domain near the root, the extent not too long.
    end = min(18.0, 0.5 * UNITS_PIXELS / factor)
    low, high = max(-9, math.ceil(root - end)), min(9, math.floor(root + end))
    if high - low < 3:
        raise Refused("R2", "the ends of the moved curve cannot be near the x-axis")
    places = knot_places(draws, low, high, 3)
    x = [float(place) for place in places]
    y = [0.0]
    for _ in x[1:]:
        y.append(y[-1] + draws.integer(20, 100) / 100)
    span = y[-1]
    whole = _moment(x, y, yx, ty, x[0], x[-1])
    if net:
        area = whole
    elif not x[0] < root < x[-1]:
        area = abs(whole)
    else:
        area = abs(_moment(x, y, yx, ty, x[0], root)) + abs(_moment(x, y, yx, ty, root, x[-1]))
    if abs(area) < 1e-6 or wanted / area < 0:
        raise Refused("R7", f"the area of a curve moved like this is not {wanted:g}")
    stretch = wanted / (area * xy)
    extent = span * stretch
    if not 1.5 <= extent <= 19 or factor * math.sqrt(2 * extent) > 0.8 * UNITS_PIXELS:
        raise Refused("R3", f"the curve of area {wanted:g} does not fit into the axes")
    room = math.floor(100 * (EDGE - extent / 2))
    middle = draws.integer(-room, room) / 100
    side = sign(draws)
    heights = [middle + side * (value * stretch - extent / 2) for value in y]
    return smooth([str(place) for place in places], [precise(value) for value in heights])


def _moment(x: Sequence[float], y: Sequence[float], yx: float, ty: float, low: float, high: float) -> float:
    """∫ (yx x + ty) y'(x) dx from low to high for the PCHIP curve through the knots."""
    d = slopes(x, y)
    total = 0.0
    for k in range(len(x) - 1):
        a, b = max(low, x[k]), min(high, x[k + 1])
        if a >= b:
            continue
        h = x[k + 1] - x[k]
        chord = (y[k + 1] - y[k]) / h
        c2, c3 = (3 * chord - 2 * d[k] - d[k + 1]) / h, (d[k] + d[k + 1] - 2 * chord) / (h * h)
        # Three-point Gauss is exact: the integrand is of third degree.
        middle, half = (a + b) / 2, (b - a) / 2
        for node, weight in ((-math.sqrt(0.6), 5 / 9), (0.0, 8 / 9), (math.sqrt(0.6), 5 / 9)):
            place = middle + half * node
            u = place - x[k]
            total += half * weight * (yx * place + ty) * (d[k] + u * (2 * c2 + u * 3 * c3))
    return total


def _check_reach(base: Member, moving: Moving) -> None:
    """Refuse what the operations carry beyond ±150."""
    if base["family"] == "line":
        x = [float(end) for end in base["domain"]]
        m, k = float(base["m"]), float(base["k"])
        y = [m * place + k for place in x]
    else:
        x = [float(base["x"][0]), float(base["x"][-1])]
        y = [float(value) for value in base["y"]]
        y = [min(y), max(y)]
    xx, xy, yx, yy, tx, ty = moving
    corners = [(xx * a + xy * b + tx, yx * a + yy * b + ty) for a in x for b in y]
    if max(abs(part) for corner in corners for part in corner) > FARTHEST:
        raise Refused("reach", f"the moved curve leaves ±{FARTHEST}")

"""Smooth curves (PCHIP through knots at integer x) that have a given property; values are integers of hundredths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from paperworks.grab.draws import Draws
from paperworks.grab.rules import Refused
from paperworks.grab.solve_common import EDGE, Member, again, precise, sign, text


def knot_places(draws: Draws, low: int, high: int, shortest: int = 5) -> list[int]:
    """5 to 9 integers of low … high, ascending, at least `shortest` from first to last."""
    longest = high - low
    length = draws.integer(min(shortest, longest), longest)
    first = draws.integer(low, high - length)
    inner = draws.sample(range(first + 1, first + length), min(draws.integer(3, 7), length - 1))
    return [first, *sorted(inner), first + length]


def smooth(x: Sequence[str], y: Sequence[str]) -> Member:
    """A smooth member through knots."""
    return {"family": "smooth", "x": list(x), "y": list(y)}


def peaked(
    peak: int, lowest: int, x: Sequence[str], draws: Draws, *, below: int, flip: bool = False
) -> Member:
    """A smooth curve of maximum peak / 100, other knots `below` or more lower (hundredths). `flip`: upside down."""
    at = draws.integer(0, len(x) - 1)
    highest = peak - below
    if lowest > highest:
        raise Refused("R3", f"no room under {peak / 100}")
    y = [peak if k == at else draws.integer(lowest, highest) for k in range(len(x))]
    return smooth(x, [text(-value if flip else value) for value in y])


def maximum(value: int, draws: Draws) -> Member:
    """A smooth curve of maximum value / 100 in the fixed axes."""
    x = [str(place) for place in knot_places(draws, -9, 9)]
    return peaked(value, -950, x, draws, below=60)


def minimum(value: int, draws: Draws) -> Member:
    """A smooth curve of minimum value / 100 in the fixed axes."""
    x = [str(place) for place in knot_places(draws, -9, 9)]
    return peaked(-value, -950, x, draws, below=60, flip=True)


def spanned(low: int, high: int, x: Sequence[str], draws: Draws, gap: int) -> Member:
    """Smallest y low / 100, largest high / 100; the other knots `gap` away from both where there is room."""
    places = draws.sample(range(len(x)), 2)
    gap = min(gap, (high - low) // 4)
    y = [draws.integer(low + gap, high - gap) for _ in x]
    y[places[0]], y[places[1]] = low, high
    return smooth(x, [text(value) for value in y])


def range_span(value: int, draws: Draws) -> Member:
    """A smooth curve whose y extends over value / 100."""
    x = [str(place) for place in knot_places(draws, -9, 9)]
    low = draws.integer(-950, 950 - value)
    return spanned(low, low + value, x, draws, gap=50)


def long_knots(first: int, length: int, draws: Draws) -> list[str]:
    """Knot places from first / 100 over length / 100: integers between, .5 or more from the ends."""
    low, high = math.ceil(first / 100 + 0.5), math.floor((first + length) / 100 - 0.5)
    inside = range(low, high + 1)
    inner = sorted(draws.sample(inside, min(draws.integer(3, 7), len(inside))))
    return [text(first), *map(str, inner), text(first + length)]


def domain_length(value: int, draws: Draws) -> Member:
    """A smooth curve over a domain of length value / 100."""
    x = long_knots(draws.integer(-960, 960 - value), value, draws)
    return smooth(x, [text(draws.integer(-900, 900)) for _ in x])


def slopes(x: Sequence[float], y: Sequence[float]) -> list[float]:
    """PCHIP's slopes in float64, for areas while solving (`families` has them exactly)."""
    h = [b - a for a, b in pairwise(x)]
    s = [(b - a) / step for (a, b), step in zip(pairwise(y), h, strict=True)]
    d = [0.0] * len(x)
    for k in range(1, len(x) - 1):
        if s[k - 1] * s[k] > 0:
            w1, w2 = 2 * h[k] + h[k - 1], h[k] + 2 * h[k - 1]
            d[k] = (w1 + w2) / (w1 / s[k - 1] + w2 / s[k])
    for end, (h0, h1, s0, s1) in ((0, (h[0], h[1], s[0], s[1])), (-1, (h[-1], h[-2], s[-1], s[-2]))):
        slope = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
        if slope * s0 <= 0:
            slope = 0.0
        elif s0 * s1 <= 0 and abs(slope) > 3 * abs(s0):
            slope = 3 * s0
        d[end] = slope
    return d


def areas(x: Sequence[float], y: Sequence[float], lift: float = 0.0) -> tuple[float, float]:
    """Net and total area between the PCHIP curve raised by `lift` and the x-axis."""
    d = slopes(x, y)
    net = total = 0.0
    for k in range(len(x) - 1):
        h, y0, y1 = x[k + 1] - x[k], y[k] + lift, y[k + 1] + lift
        piece = h * (y0 + y1) / 2 + h * h * (d[k] - d[k + 1]) / 12
        net += piece
        if y0 * y1 >= 0:
            total += abs(piece)
            continue
        # Monotone between knots, so there is one root: y0 + b u + c u² + e u³ on 0 … h.
        chord = (y1 - y0) / h
        b, c, e = d[k], (3 * chord - 2 * d[k] - d[k + 1]) / h, (d[k] + d[k + 1] - 2 * chord) / (h * h)
        low, high = 0.0, h
        for _ in range(50):
            u = (low + high) / 2
            if (y0 + u * (b + u * (c + u * e)) > 0) == (y0 > 0):
                low = u
            else:
                high = u
        before = u * (y0 + u * (b / 2 + u * (c / 3 + u * e / 4)))
        total += abs(before) + abs(piece - before)
    return net, total


def net_area(value: int, draws: Draws) -> Member:
    """A smooth curve of net area value / 100 in the fixed axes."""
    shortest = max(5, math.ceil(abs(value) / 630))
    return again(lambda: lifted(value / 100, knot_places(draws, -9, 9, shortest), 7.0, EDGE, draws))


def total_area(value: int, draws: Draws) -> Member:
    """A smooth curve of total area value / 100 in the fixed axes."""
    shortest = max(5, math.ceil(abs(value) / 560))
    return again(lambda: scaled(value / 100, knot_places(draws, -9, 9, shortest), EDGE, draws))


def lifted(wanted: float, places: Sequence[int], height: float, most: float, draws: Draws) -> Member:
    """Random knots, raised until the net area is `wanted`: PCHIP moves with its knots."""
    x = [float(place) for place in places]
    length = x[-1] - x[0]
    room = min(height, most - abs(wanted) / length)
    if room < 0.5:
        raise Refused("R3", f"an area of {wanted:g} over {length:g} does not fit into the axes")
    bound = round(100 * room)
    y = [draws.integer(-bound, bound) / 100 for _ in x]
    lift = (wanted - areas(x, y)[0]) / length
    y = [value + lift for value in y]
    if max(map(abs, y)) > most:
        raise Refused("R3", f"the curve of area {wanted:g} leaves the axes")
    return smooth([str(place) for place in places], [precise(value) for value in y])


def scaled(wanted: float, places: Sequence[int], most: float, draws: Draws) -> Member:
    """Random knots, stretched until the total area is `wanted`: PCHIP is homogeneous in y.

    The larger the area, the more the knots keep to one side and away from the x-axis.
    """
    x = [float(place) for place in places]
    fill = wanted / ((x[-1] - x[0]) * most)  # 1 would fill the axes to their edge
    least = min(90, round(110 * fill))
    side = sign(draws)
    y = []
    for _ in x:
        if draws.integer(0, 99) >= 130 * fill:
            side = sign(draws)
        y.append(side * draws.integer(least, 100) / 100)
    factor = wanted / max(areas(x, y)[1], 1e-9)
    y = [value * factor for value in y]
    if max(map(abs, y)) > most:
        raise Refused("R3", f"the curve of area {wanted:g} leaves the axes")
    return smooth([str(place) for place in places], [precise(value) for value in y])

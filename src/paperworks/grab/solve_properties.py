"""Properties: one curve or data set in free limits that has a given property."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from paperworks.grab.design import Slot, equation_form
from paperworks.grab.draws import Draws
from paperworks.grab.layout import step
from paperworks.grab.rules import Refused
from paperworks.grab.solve_common import (
    FIXED_AXES,
    Spec,
    again,
    free_axes,
    precise,
    sign,
    spec_of,
    text,
)
from paperworks.grab.solve_curves import bell, gradient, sine, stationary_point, x_intercept, y_intercept
from paperworks.grab.solve_smooth import knot_places, lifted, long_knots, peaked, scaled, smooth, spanned

_LINES = {"x-intercept": x_intercept, "y-intercept": y_intercept, "gradient": gradient}


def solve_property(slot: Slot, answer: Any, wanted: Fraction, draws: Draws, legacy: bool) -> Spec:
    """The spec of an item of the task properties whose value is `wanted` (of equations and pairs: `answer`). Raises
    `Refused`.
    """
    name = slot.property
    value = int(wanted * 100) if isinstance(wanted, Fraction) else 0
    if name == "equation":
        return _equation(slot, int(answer), draws, legacy)
    if name == "stationary-points":
        return _pair(answer, draws)
    if name in ("number-of-points", "number-of-series"):
        return _counted(name, int(answer), draws)
    if is_data(slot):
        return _data(slot, wanted, draws)
    if name in _LINES:
        member = _LINES[name](value, draws)
        first, last = (float(end) for end in member["domain"])
        m, k = float(member["m"]), float(member["k"])
        heights = (m * first + k, m * last + k, 0.0)
        return spec_of([member], free_axes((first, last), (min(heights), max(heights)), draws))
    if name == "stationary-point":
        member = stationary_point(value, draws)
        first, last = (float(end) for end in member["domain"])
        h, v, a = (float(member[key]) for key in ("h", "v", "a"))
        heights = (a * (first - h) ** 2 + v, a * (last - h) ** 2 + v, v)
        return spec_of([member], free_axes((first, last), (min(heights), max(heights)), draws))
    if name in ("amplitude", "period", "vertical-shift", "phase-shift"):
        return _property_sine(name, value, draws)
    if name in ("peak", "variance"):
        variance = value if name == "variance" else draws.integer(80, 400)
        mu = value if name == "peak" else draws.integer(-500, 500)
        member = bell(mu, variance, draws, least=210, most=2000)
        first, last = (float(end) for end in member["domain"])
        return spec_of([member], free_axes((first, last), (0.0, float(member["s"])), draws))
    return _property_smooth(name, value, draws)


def is_data(slot: Slot) -> bool:
    """Whether a Properties question is about data: always for statistics, every second extreme and extent."""
    if slot.property in ("pearson", "spearman", "kendall", "mean", "median", "interquartile-range"):
        return True
    return slot.property in ("maximum", "minimum", "domain-length", "range-span") and slot.index % 2 == 1


def _property_sine(name: str, value: int, draws: Draws) -> Spec:
    height = value if name == "amplitude" else draws.integer(100, 600)
    length = value if name == "period" else draws.integer(150, 1000)
    level = value if name == "vertical-shift" else draws.integer(-500, 500)
    if name == "phase-shift":
        length = 100 * draws.integer(max(4, value // 100 + 1), 12)
        shown = draws.integer(155 * length // 100, 2 * length)
        first = -draws.integer(20, length // 2)
        member = sine(height, length, level, draws, (first, first + max(shown, value - first + length // 2)))
        member["h"] = text(value)
        member["domain"] = [text(first), text(first + max(shown, value - first + length // 2))]
    else:
        room = max(2 * length, 400)
        start = draws.integer(-1000, 500)
        member = sine(height, length, level, draws, (start, start + min(8 * length, room * 2)))
    first_x, last_x = (float(end) for end in member["domain"])
    return spec_of(
        [member], free_axes((first_x, last_x), ((level - height) / 100, (level + height) / 100), draws)
    )


def _property_smooth(name: str, value: int, draws: Draws) -> Spec:
    left = draws.integer(-12, 0)
    places = knot_places(draws, left, left + draws.integer(8, 20))
    x = [str(place) for place in places]
    if name in ("maximum", "minimum"):
        span = 100 * draws.integer(5, 45)
        flip = name == "minimum"
        peak = -value if flip else value
        member = peaked(peak, peak - span, x, draws, below=max(60, span // 8), flip=flip)
    elif name == "range-span":
        low = draws.integer(-4500, max(-4500, 4500 - value))
        member = spanned(low, low + value, x, draws, gap=max(30, value // 10))
    elif name == "domain-length":
        x = long_knots(draws.integer(-2000, 500), value, draws)
        member = smooth(x, [text(draws.integer(-4500, 4500) // 5) for _ in x])
    elif name == "net-area":
        member = lifted(value / 100, places, 12.0, 45.0, draws)
    else:
        member = again(lambda: scaled(value / 100, places, 45.0, draws))
    y = [float(height) for height in member["y"]] + ([0.0] if name.endswith("area") else [])
    extent = (float(member["x"][0]), float(member["x"][-1]))
    return spec_of([member], free_axes(extent, (min(y), max(y)), draws))


def _pair(answer: tuple[int, int], draws: Draws) -> Spec:
    """A cubic with its two stationary points at integers, their values 20 to 70 % of the y-axis apart."""
    p, r = answer
    distance = r - p
    height = draws.integer(300, 1500) / 100
    s = sign(draws) * round(2 * height / distance**3, 6)
    if s == 0:
        raise Refused("R3", "the two turning values are too close")
    # Beyond a stationary point by .5 of their distance the cubic is back at the other's value.
    beyond = [distance * draws.integer(20, 70) / 100 for _ in range(2)]
    first, last = math.floor((p - beyond[0]) * 100), math.ceil((r + beyond[1]) * 100)
    middle = s * (p**3 - 1.5 * (p + r) * p * p + 3 * p * r * p) - math.copysign(height / 2, -s) * -1
    level = draws.integer(-500, 500) / 100
    k = round(level - middle, 6)
    member = {
        "family": "cubic",
        "s": precise(Fraction(str(s))),
        "p": str(p),
        "r": str(r),
        "k": precise(k),
        "domain": [text(first), text(last)],
    }

    def y(x: float) -> float:
        return s * (x**3 - 1.5 * (p + r) * x * x + 3 * p * r * x) + k

    heights = [y(x) for x in (first / 100, last / 100, p, r)]
    return spec_of([member], free_axes((first / 100, last / 100), (min(heights), max(heights)), draws))


def _counted(name: str, count: int, draws: Draws) -> Spec:
    from paperworks.grab.datasets import data, series

    axes = _data_axes((0, 20), (0, 20), draws) if draws.integer(0, 1) else FIXED_AXES
    if name == "number-of-series":
        return spec_of(series(count, draws, limits=axes), axes)
    return spec_of([data(name, Fraction(count), "1", draws, n=count, limits=axes)], axes)


def _data_axes(x: tuple[int, int], y: tuple[int, int], draws: Draws) -> dict[str, list[str]]:
    ticks = [precise(step(Fraction(low), Fraction(high), 11)) for low, high in (x, y)]
    return {"x": [str(x[0]), str(x[1])], "y": [str(y[0]), str(y[1])], "step": ticks}


def _data(slot: Slot, wanted: Fraction, draws: Draws) -> Spec:
    """Data in limits of round numbers in which the wanted value fits."""
    from paperworks.grab.datasets import data

    name, size = slot.property, float(wanted)
    left = draws.choice((0, -10, -20))
    x = (left, left + draws.choice((20, 30, 40)))
    bottom = draws.choice((0, -10, -20))
    y = (bottom, bottom + draws.choice((20, 30, 40)))
    if name == "median":
        y = (0, draws.choice((20, 25)))
    elif name == "interquartile-range":
        height = next(h for h in (20, 40, 60, 80, 100) if h >= 2 * size)
        y = (draws.choice((0, -height // 2)),) * 2
        y = (y[0], y[0] + height)
    elif name in ("maximum", "minimum"):
        height = draws.choice((20, 30, 40, 50))
        middle = size - height / 4 if name == "maximum" else size + height / 4
        low = 5 * round((middle - height / 2) / 5)
        y = (low, low + height)
    elif name == "domain-length":
        width = 5 * math.ceil(size * draws.integer(112, 150) / 500)
        left = 5 * draws.integer(-4, 1)
        x = (left, left + width)
    elif name == "range-span":
        height = 10 * math.ceil(max(size, 5) * draws.integer(115, 170) / 1000)
        low = 10 * draws.integer(-4, 0)
        y = (low, low + height)
    axes = _data_axes(x, y, draws)
    return spec_of([data(name, wanted, slot.quantum, draws, n=draws.integer(12, 60), limits=axes)], axes)


def _equation(slot: Slot, leading: int, draws: Draws, legacy: bool) -> Spec:
    """Integer coefficients within ±10; limits in which one unit of the smallest term can be seen."""
    form = equation_form(slot.index)
    asked = {"asked": {"form": form}}
    if form == "sine":
        a, b = abs(leading), draws.integer(1, 10)
        c, d = draws.integer(0, 6), draws.integer(-10, 10)
        length = 2 * math.pi / b
        if legacy:
            a, b, c = leading, sign(draws) * b, draws.integer(-10, 10)
        shown = length * draws.integer(155, 300) / 100
        first = -shown * draws.integer(10, 60) / 100
        domain = [text(math.floor(first * 100)), text(math.ceil((first + shown) * 100))]
        member = {
            "family": "sine-equation",
            "a": str(a),
            "b": str(b),
            "c": str(c),
            "d": str(d),
            "domain": domain,
        }
        extent = (float(domain[0]), float(domain[1]))
        return spec_of([member], free_axes(extent, (d - abs(a), d + abs(a)), draws), **asked)
    degree = {"line": 1, "quadratic": 2, "cubic": 3, "quartic": 4}[form]
    coefficients = [leading, *(draws.integer(-10, 10) for _ in range(degree))]
    half = {1: 500, 2: 300, 3: 220, 4: 170}[degree]
    ends = [-draws.integer(half * 7 // 10, half), draws.integer(half * 7 // 10, half)]
    member = {
        "family": "polynomial",
        "coefficients": [str(c) for c in coefficients],
        "domain": [text(end) for end in ends],
    }
    low, high = ends[0] / 100, ends[1] / 100
    heights = [_polynomial(coefficients, low + (high - low) * k / 100) for k in range(101)]
    return spec_of([member], free_axes((low, high), (min(heights), max(heights)), draws), **asked)


def _polynomial(coefficients: Sequence[int], x: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value

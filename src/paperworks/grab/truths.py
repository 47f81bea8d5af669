"""The exact answer of an item, in closed form from the parameters its picture is drawn from.

Over several members the answer is the mean of theirs, unrounded. Rational truths are Fractions:
lines, parabolas, cubics, sine and bell parameters, ends and extremes of smooth curves, data statistics, rank
coefficients without ties. float64 are: Pearson's r and tied rank coefficients (one square root of integers), total
areas with a root inside, extremes of quartics, all of a sine or a bell that is not a parameter of it, and rational
truths whose denominator exceeds 10^18 (net areas of smooth curves), rounded once at the end. Apart from sines, bells
and quartics only + − × / and square roots are used, so the floats are the same bits on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from paperworks.errors import InputError
from paperworks.grab.areas import net_area, total_area
from paperworks.grab.dense import dense_truth as dense_truth
from paperworks.grab.families import (
    UNIT,
    Member,
    Number,
    domain,
    extremes,
    family,
    millionths,
    number,
)
from paperworks.grab.operations import IDENTITY, Affine, compose

Truth = Fraction | float | tuple[Fraction, Fraction] | str

LONGEST_DENOMINATOR = 10**18


def truth(spec: Mapping[str, Any], prop: str) -> Truth:
    """The answer to `prop` about the picture of `spec`, not rounded.

    A pair for `stationary-points`, a string for `equation`, else a number. `spec["asked"]["member"]`, an index from 0,
    asks for one of several members. InputError if the property is not one of these members, or not single-valued after
    the operations.
    """
    members: Sequence[Member] = spec["members"]
    if prop == "number-of-series":
        return Fraction(len(members))
    asked = spec.get("asked") or {}
    if "member" in asked:
        members = [members[asked["member"]]]
    if not members:
        raise InputError(f"{prop}: the item has no member")
    if prop in ("equation", "stationary-points"):
        if len(members) > 1:
            raise InputError(f"{prop}: asked of one function, the item has {len(members)}")
        return equation(members[0]) if prop == "equation" else _stationary_pair(members[0])
    moving = compose(spec.get("operations") or ())
    compute = _moved(prop) or _still(prop, moving)
    return _mean([_tidy(compute(member, moving)) for member in members])


def equation(member: Member) -> str:
    """`y = 2x^2 - 1x + 0` or `y = 2sin(3x + 1) - 4`: every coefficient written, 1 and 0 too, as official answers do."""
    name = family(member)
    if name == "sine-equation":
        a, b, c, d = (_plain(number(member[key])) for key in ("a", "b", "c", "d"))
        return f"y = {a}sin({b}x {_signed(c)}) {_signed(d)}"
    if name not in ("polynomial", "line"):
        raise InputError(f"equation of a {name}: asked of polynomial, line and sine-equation")
    given = (member["m"], member["k"]) if name == "line" else member["coefficients"]
    terms: list[str] = []
    for power, coefficient in zip(range(len(given) - 1, -1, -1), given, strict=True):
        text = _plain(number(coefficient)) + {0: "", 1: "x"}.get(power, f"x^{power}")
        terms.append(_signed(text) if terms else text)
    return f"y = {' '.join(terms)}"


# Properties that a moved curve has too.


def _moved(prop: str) -> Callable[[Member, Affine], Number] | None:
    return {
        "gradient": _gradient,
        "maximum": lambda member, moving: _heights(member, moving)[1],
        "minimum": lambda member, moving: _heights(member, moving)[0],
        "range-span": lambda member, moving: _difference(_heights(member, moving)),
        "domain-length": lambda member, moving: _difference(_widths(member, moving)),
        "net-area": net_area,
        "total-area": total_area,
    }.get(prop)


def _gradient(member: Member, moving: Affine) -> Number:
    m = _parameter(member, "gradient", {"line": "m"})
    if not moving.swaps:
        return m * moving.yy / moving.xx
    if m == 0:
        raise InputError("gradient: the moved line is vertical")
    return moving.yx / (m * moving.xy)


def _heights(member: Member, moving: Affine) -> tuple[Number, Number]:
    ends = domain(member) if moving.swaps else extremes(member)
    return _ordered(ends, moving.yx if moving.swaps else moving.yy, moving.ty)


def _widths(member: Member, moving: Affine) -> tuple[Number, Number]:
    ends = extremes(member) if moving.swaps else domain(member)
    return _ordered(ends, moving.xy if moving.swaps else moving.xx, moving.tx)


def _ordered(ends: tuple[Number, Number], factor: Fraction, shift: Fraction) -> tuple[Number, Number]:
    first, second = ends[0] * factor + shift, ends[1] * factor + shift
    return (first, second) if factor > 0 else (second, first)


def _difference(ends: tuple[Number, Number]) -> Number:
    return ends[1] - ends[0]


# Properties of what is drawn, asked without operations.


_PARAMETERS = {
    "y-intercept": {"line": "k"},
    "stationary-point": {"parabola": "h", "bell": "mu"},
    "function-mean": {"bell": "mu"},
    "peak": {"bell": "mu"},
    "vertical-shift": {"sine": "v"},
    "amplitude": {"sine": "A"},
    "period": {"sine": "T"},
}


def _still(prop: str, moving: Affine) -> Callable[[Member, Affine], Number]:
    if moving != IDENTITY:
        raise InputError(f"{prop}: not asked after operations")
    if prop in _PARAMETERS:
        return lambda member, _: _parameter(member, prop, _PARAMETERS[prop])
    if prop == "x-intercept":
        return lambda member, _: _x_intercept(member)
    if prop == "phase-shift":
        return lambda member, _: _phase_shift(member)
    if prop == "variance":
        return lambda member, _: (
            number(member["var"]) if member.get("family") == "bell" else _of_data(member, prop)
        )
    if prop in _STATISTICS or prop in _CORRELATIONS or prop == "number-of-points":
        return lambda member, _: _of_data(member, prop)
    raise InputError(f"property {prop!r} is unknown")


def _parameter(member: Member, prop: str, keys: Mapping[str, str]) -> Fraction:
    name = family(member)
    if name not in keys:
        raise InputError(f"{prop} of a {name}: asked of {', '.join(keys)}")
    parameter = number(member[keys[name]])
    return abs(parameter) if prop in ("amplitude", "period") else parameter


def _x_intercept(member: Member) -> Fraction:
    m, k = _parameter(member, "x-intercept", {"line": "m"}), number(member["k"])
    if m == 0:
        raise InputError("x-intercept: the line is level")
    return -k / m


def _phase_shift(member: Member) -> Fraction:
    """The smallest shift ≥ 0 of a rising sine that draws the same curve."""
    shift, period = _parameter(member, "phase-shift", {"sine": "h"}), number(member["T"])
    if (number(member["A"]) < 0) != (period < 0):
        shift += period / 2
    return shift % abs(period)


def _stationary_pair(member: Member) -> tuple[Fraction, Fraction]:
    p, r = _parameter(member, "stationary-points", {"cubic": "p"}), number(member["r"])
    return min(p, r), max(p, r)


def _of_data(member: Member, prop: str) -> Number:
    if family(member) != "points":
        raise InputError(f"{prop} of a {family(member)}: asked of points")
    y = [millionths(text) for text in member["y"]]
    if prop == "number-of-points":
        return Fraction(len(y))
    if prop in _CORRELATIONS:
        x = [millionths(text) for text in member["x"]]
        if len(x) != len(y):
            raise InputError(f"{prop}: {len(x)} x and {len(y)} y: give as many of one as of the other")
        if len(set(x)) < 2 or len(set(y)) < 2:
            raise InputError(f"{prop}: undefined, all x or all y are equal")
        return _CORRELATIONS[prop](x, y)
    if not y:
        raise InputError(f"{prop}: no point")
    return _STATISTICS[prop](y)


def _data_mean(y: Sequence[int]) -> Fraction:
    return Fraction(sum(y), len(y) * UNIT)


def _quantile(ordered: Sequence[int], quarters: int) -> Fraction:
    """Linear between the order statistics, in millionths: place (n − 1) · quarters / 4."""
    place, rest = divmod((len(ordered) - 1) * quarters, 4)
    return ordered[place] + Fraction(rest and rest * (ordered[place + 1] - ordered[place]), 4)


def _median(y: Sequence[int]) -> Fraction:
    return _quantile(sorted(y), 2) / UNIT


def _interquartile_range(y: Sequence[int]) -> Fraction:
    ordered = sorted(y)
    return (_quantile(ordered, 3) - _quantile(ordered, 1)) / UNIT


def _variance(y: Sequence[int]) -> Fraction:
    n = len(y)
    return Fraction(n * sum(v * v for v in y) - sum(y) ** 2, (n * UNIT) ** 2)


def _pearson(x: Sequence[int], y: Sequence[int]) -> Number:
    n, sx, sy = len(x), sum(x), sum(y)
    shared = n * sum(a * b for a, b in zip(x, y, strict=True)) - sx * sy
    spread = (n * sum(a * a for a in x) - sx * sx) * (n * sum(b * b for b in y) - sy * sy)
    return _over_root(shared, spread)


def _spearman(x: Sequence[int], y: Sequence[int]) -> Number:
    return _pearson(_ranks(x), _ranks(y))


def _ranks(values: Sequence[int]) -> list[int]:
    """Twice the rank, ties at the mean of theirs."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for rank, entry in enumerate(sorted(values)):
        first.setdefault(entry, rank)
        last[entry] = rank
    return [first[entry] + last[entry] for entry in values]


def _kendall(x: Sequence[int], y: Sequence[int]) -> Number:
    """τ-b: (concordant − discordant) / √((pairs not tied in x) (pairs not tied in y))."""
    dx, dy = (np.sign(np.subtract.outer(column, column)) for column in (np.asarray(x), np.asarray(y)))
    agreement, in_x, in_y = (int(np.sum(part)) // 2 for part in (dx * dy, dx * dx, dy * dy))
    return _over_root(agreement, in_x * in_y)


def _over_root(top: int, square: int) -> Number:
    root = math.isqrt(square)
    return Fraction(top, root) if root * root == square else top / math.sqrt(square)


_STATISTICS: dict[str, Callable[[Sequence[int]], Fraction]] = {
    "mean": _data_mean,
    "median": _median,
    "interquartile-range": _interquartile_range,
    "variance": _variance,
}
_CORRELATIONS: dict[str, Callable[[Sequence[int], Sequence[int]], Number]] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "kendall": _kendall,
}


def _mean(parts: Sequence[Number]) -> Number:
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, Fraction) for part in parts):
        return sum(parts, Fraction(0)) / len(parts)
    return math.fsum(float(part) for part in parts) / len(parts)


def _tidy(part: Number) -> Number:
    return float(part) if isinstance(part, Fraction) and part.denominator > LONGEST_DENOMINATOR else part


def _plain(coefficient: Fraction) -> str:
    return str(coefficient.numerator) if coefficient.denominator == 1 else str(float(coefficient))


def _signed(term: str) -> str:
    return f"- {term[1:]}" if term.startswith("-") else f"+ {term}"

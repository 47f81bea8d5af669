"""The curves and point sets a picture is made of, as functions of their decimal parameters.

A member is a JSON object: `family`, the family's parameters as decimal strings of at most six decimals, and for
curves the `domain` `[a, b]`. Parameters are read as integers of millionths, so everything rational here is exact:
values at rational places, stationary points, ends, integrals. Where the mathematics leaves the rationals (a sine or a
bell at an end of its domain, the roots of a derivative of third degree) the result is a float64 and the docstring says
so. The families are a choice of ours: the paper's own generator is not published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperworks.errors import InputError

Member = Mapping[str, Any]
Number = Fraction | float
Floats = NDArray[np.float64]
Knots = tuple[tuple[Fraction, ...], tuple[Fraction, ...], tuple[Fraction, ...]]

FAMILIES = {
    "line": ("m", "k"),
    "parabola": ("h", "v", "a"),
    "cubic": ("s", "p", "r", "k"),
    "sine": ("A", "T", "h", "v"),
    "bell": ("s", "mu", "var"),
    "smooth": ("x", "y"),
    "polynomial": ("coefficients",),
    "sine-equation": ("a", "b", "c", "d"),
    "points": ("x", "y"),
}
DECIMALS = 6
UNIT = 10**DECIMALS


class Piece(NamedTuple):
    """One polynomial on `[start, end]`: y = Σ coefficients[i] (x − start)^i."""

    start: Fraction
    end: Fraction
    coefficients: tuple[Fraction, ...]


class Place(NamedTuple):
    """A point of a curve: an end of its domain or a place where it turns."""

    x: Number
    y: Number


def millionths(text: str | int) -> int:
    """The decimal `text` times 10^6, exact; InputError if it is no decimal of at most six decimals."""
    whole, _, part = str(text).partition(".")
    try:
        if len(part) > DECIMALS or part.startswith(("+", "-")) or not (part or whole):
            raise ValueError
        return int(whole + part.ljust(DECIMALS, "0"))
    except ValueError:
        raise InputError(f"parameter {text!r}: not a decimal number of at most {DECIMALS} decimals") from None


@lru_cache(maxsize=65536)
def number(text: str | int) -> Fraction:
    """The decimal `text` as a Fraction."""
    return Fraction(millionths(text), UNIT)


def family(member: Member) -> str:
    """The member's family; InputError if it is none of `FAMILIES` or a parameter is missing."""
    name = member.get("family")
    if name not in FAMILIES:
        raise InputError(f"member of family {name!r}: the families are {', '.join(FAMILIES)}")
    missing = [key for key in FAMILIES[name] if key not in member]
    if name not in ("smooth", "points") and "domain" not in member:
        missing.append("domain")
    if missing:
        raise InputError(f"member of family {name}: {', '.join(missing)} missing")
    return str(name)


def domain(member: Member) -> tuple[Fraction, Fraction]:
    """First and last x: of a curve its domain, of points the smallest and the largest."""
    name = family(member)
    if name == "points":
        places = [millionths(text) for text in member["x"]]
        if not places:
            raise InputError("points: no point")
        return Fraction(min(places), UNIT), Fraction(max(places), UNIT)
    first, last = (member["x"][0], member["x"][-1]) if name == "smooth" else member["domain"]
    low, high = number(first), number(last)
    if low >= high:
        raise InputError(f"{name}: domain [{first}, {last}] is empty: the first end must be the smaller")
    return low, high


def values(member: Member, x: ArrayLike) -> Floats:
    """y at every `x` (any shape), float64; outside the domain the formula goes on."""
    name = family(member)
    x = np.asarray(x, dtype=np.float64)
    if name == "points":
        raise InputError("points have no value between them: use points(member)")
    if name == "sine":
        amplitude, period, shift, level = (float(member[key]) for key in ("A", "T", "h", "v"))
        return np.asarray(amplitude * np.sin((2 * np.pi / period) * (x - shift)) + level)
    if name == "sine-equation":
        a, b, c, d = (float(member[key]) for key in ("a", "b", "c", "d"))
        return np.asarray(a * np.sin(b * x + c) + d)
    if name == "bell":
        s, mu, var = (float(member[key]) for key in ("s", "mu", "var"))
        return np.asarray(s * np.exp(-((x - mu) ** 2) / (2 * var)))
    if name == "smooth":
        knots, table = _float_table(tuple(member["x"]), tuple(member["y"]))
        index = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
        step = x - knots[index]
        c0, c1, c2, c3 = table[:, index]
        return np.asarray(((c3 * step + c2) * step + c1) * step + c0)
    if name == "parabola":
        h, v, a = (float(member[key]) for key in ("h", "v", "a"))
        return np.asarray(a * (x - h) ** 2 + v)
    result = np.zeros_like(x)
    for coefficient in _coefficients(member):
        result = result * x + float(coefficient)
    return result


def points(member: Member, n: int = 2001) -> tuple[Floats, Floats]:
    """x and y, float64 [n]: of points themselves in their order, of a curve `n` even samples with both ends."""
    if family(member) == "points":
        x, y = (np.array([float(text) for text in member[key]], dtype=np.float64) for key in ("x", "y"))
        if x.shape != y.shape or not len(x):
            raise InputError(
                f"points: {len(x)} x and {len(y)} y: give as many of one as of the other, at least one"
            )
        return x, y
    low, high = domain(member)
    x = np.linspace(float(low), float(high), n)
    return x, values(member, x)


def turning_points(member: Member) -> list[Place]:
    """The ends of a curve and the places inside where it turns, x ascending.

    Exact for lines, parabolas, cubics and smooth curves, and for where sines and bells turn. float64: the ends of sines
    and bells, and the turning points of `polynomial` above the third degree and of `sine-equation`. A smooth curve
    (PCHIP) is monotone between its knots, so it turns only at knots; of a flat stretch both ends are given.
    """
    name = family(member)
    low, high = domain(member)
    if name == "points":
        raise InputError("points do not turn: they are no curve")
    if name == "smooth":
        x, y, _ = hermite(member)
        inner = [k for k in range(1, len(x) - 1) if (y[k] - y[k - 1]) * (y[k + 1] - y[k]) <= 0]
        return [Place(x[k], y[k]) for k in (0, *inner, len(x) - 1)]
    inside: list[Place]
    if name == "sine":
        amplitude, period, shift, level = (number(member[key]) for key in ("A", "T", "h", "v"))
        first = math.floor((low - shift) / period * 2 - Fraction(1, 2)) + 1
        last = math.ceil((high - shift) / period * 2 - Fraction(1, 2)) - 1
        inside = [
            Place(shift + (2 * k + 1) * period / 4, level + (amplitude if k % 2 == 0 else -amplitude))
            for k in range(first, last + 1)
        ]
    elif name == "sine-equation":
        a, b, c, d = (number(member[key]) for key in ("a", "b", "c", "d"))
        ends = sorted((float(b * low + c), float(b * high + c)))
        turns = range(math.floor(ends[0] / math.pi - 0.5) + 1, math.ceil(ends[1] / math.pi - 0.5))
        inside = [
            Place(((k + 0.5) * math.pi - float(c)) / float(b), d + (a if k % 2 == 0 else -a)) for k in turns
        ]
        inside.sort(key=lambda place: place.x)
    elif name == "bell":
        inside = [Place(number(member["mu"]), number(member["s"]))]
    elif name == "parabola":
        inside = [Place(number(member["h"]), number(member["v"]))]
    elif name == "cubic":
        inside = [Place(x, value(member, x)) for x in sorted((number(member["p"]), number(member["r"])))]
    else:
        inside = [Place(x, value(member, x)) for x in _turns_of_polynomial(_coefficients(member))]
    inside = [place for place in inside if low < place.x < high]
    return [Place(low, value(member, low)), *inside, Place(high, value(member, high))]


def extremes(member: Member) -> tuple[Number, Number]:
    """Smallest and largest y on the whole domain (or among the points); of a smooth curve they are at knots."""
    if family(member) in ("points", "smooth"):
        heights = [millionths(text) for text in member["y"]]
        if not heights:
            raise InputError(f"{member['family']}: no point")
        return Fraction(min(heights), UNIT), Fraction(max(heights), UNIT)
    heights_of_turns = [place.y for place in turning_points(member)]
    return min(heights_of_turns), max(heights_of_turns)


def value(member: Member, x: Number) -> Number:
    """y at one place: a Fraction for polynomial families at a Fraction, else a float64."""
    name = family(member)
    if name in ("sine", "sine-equation", "bell"):
        return float(values(member, float(x)))
    coefficients: Sequence[Fraction]
    if name == "smooth":
        pieces = polynomial_pieces(member)
        piece = next((piece for piece in pieces if x <= piece.end), pieces[-1])
        step, coefficients = x - piece.start, piece.coefficients[::-1]
    elif name == "parabola":
        h, v, a = (number(member[key]) for key in ("h", "v", "a"))
        return a * (x - h) ** 2 + v
    else:
        step, coefficients = x, _coefficients(member)
    result: Number = Fraction(0)
    for coefficient in coefficients:
        result = result * step + coefficient
    return result


def polynomial_pieces(member: Member) -> tuple[Piece, ...]:
    """The curve as polynomials of Fractions: one per gap of a smooth curve's knots, else one."""
    name = family(member)
    if name == "smooth":
        x, y, d = hermite(member)
        return tuple(
            Piece(x[k], x[k + 1], _hermite_coefficients(x[k + 1] - x[k], y[k], y[k + 1], d[k], d[k + 1]))
            for k in range(len(x) - 1)
        )
    low, high = domain(member)
    coefficients = list(_coefficients(member))
    # Taylor shift to the domain's first end, by repeated synthetic division.
    for stop in range(len(coefficients), 1, -1):
        for k in range(1, stop):
            coefficients[k] += low * coefficients[k - 1]
    return (Piece(low, high, tuple(coefficients[::-1])),)


def hermite(member: Member) -> Knots:
    """Knots x, y and slopes of a smooth curve: Fritsch and Butland's monotone cubic with SciPy's three-point ends."""
    return _hermite(tuple(member["x"]), tuple(member["y"]))


@lru_cache(maxsize=2048)
def _hermite(xs: tuple[str, ...], ys: tuple[str, ...]) -> Knots:
    if len(xs) != len(ys) or len(xs) < 2:
        raise InputError(f"smooth: {len(xs)} x and {len(ys)} y: give at least two knots, as many x as y")
    x, y = [millionths(text) for text in xs], [millionths(text) for text in ys]
    h = [b - a for a, b in pairwise(x)]
    if min(h) <= 0:
        raise InputError(f"smooth: knots at x = {', '.join(xs)}: every one must be right of the one before")
    rise = [b - a for a, b in pairwise(y)]
    slopes = [Fraction(rise[0], h[0])] * len(x)
    for k in range(1, len(x) - 1):
        before, after, left, right = rise[k - 1], rise[k], h[k - 1], h[k]
        if before * after <= 0:
            slopes[k] = Fraction(0)
        else:
            weight = (2 * right + left) * after * left + (right + 2 * left) * before * right
            slopes[k] = Fraction(3 * (left + right) * before * after, weight)
    if len(x) > 2:
        slopes[0] = _end_slope(h[0], h[1], rise[0], rise[1])
        slopes[-1] = _end_slope(h[-1], h[-2], rise[-1], rise[-2])
    return (
        tuple(Fraction(place, UNIT) for place in x),
        tuple(Fraction(height, UNIT) for height in y),
        tuple(slopes),
    )


def _end_slope(near: int, far: int, rise: int, next_rise: int) -> Fraction:
    numerator = (2 * near + far) * rise * far - near * near * next_rise
    if numerator * rise <= 0:
        return Fraction(0)
    slope = Fraction(numerator, near * far * (near + far))
    steepest = Fraction(3 * rise, near)
    return steepest if rise * next_rise <= 0 and abs(slope) > abs(steepest) else slope


def _hermite_coefficients(
    h: Fraction, low: Fraction, high: Fraction, first: Fraction, last: Fraction
) -> tuple[Fraction, ...]:
    chord = (high - low) / h
    return low, first, (3 * chord - 2 * first - last) / h, (first + last - 2 * chord) / h**2


@lru_cache(maxsize=2048)
def _float_table(xs: tuple[str, ...], ys: tuple[str, ...]) -> tuple[Floats, Floats]:
    x, y, d = (np.array([float(v) for v in column]) for column in _hermite(xs, ys))
    h = np.diff(x)
    chord = np.diff(y) / h
    table = np.stack(
        [y[:-1], d[:-1], (3 * chord - 2 * d[:-1] - d[1:]) / h, (d[:-1] + d[1:] - 2 * chord) / h**2]
    )
    return x, table


def _coefficients(member: Member) -> Sequence[Fraction]:
    """Of a polynomial family, highest power first."""
    name = member["family"]
    if name == "polynomial":
        return [number(coefficient) for coefficient in member["coefficients"]]
    if name == "line":
        return [number(member["m"]), number(member["k"])]
    if name == "parabola":
        h, v, a = (number(member[key]) for key in ("h", "v", "a"))
        return [a, -2 * a * h, a * h * h + v]
    if name == "cubic":
        s, p, r, k = (number(member[key]) for key in ("s", "p", "r", "k"))
        return [s, -s * (p + r) * 3 / 2, 3 * s * p * r, k]
    raise InputError(f"{name}: not a polynomial")


def _turns_of_polynomial(coefficients: Sequence[Fraction]) -> list[Number]:
    """Real places where the derivative is zero: exact up to the second degree, then float64 polished by Newton."""
    degree = len(coefficients) - 1
    slope = [coefficient * (degree - k) for k, coefficient in enumerate(coefficients[:-1])]
    while slope and slope[0] == 0:
        slope = slope[1:]
    if len(slope) < 2:
        return []
    if len(slope) == 2:
        return [-slope[1] / slope[0]]
    floats = [float(coefficient) for coefficient in slope]
    bend = np.polyder(floats)
    found: list[Number] = []
    for root in np.roots(floats):
        if abs(root.imag) > 1e-6 * max(1.0, abs(root)):
            continue
        place = float(root.real)
        for _ in range(3):
            steepness = float(np.polyval(bend, place))
            if steepness == 0:
                break
            place -= float(np.polyval(floats, place)) / steepness
        found.append(place)
    return sorted(found)

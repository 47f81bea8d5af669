"""Areas between a moved curve and the x-axis, exact where the roots allow it.

With L diagonal the area is an integral of scale · y + shift over the curve's own pieces, split at its roots. With L
anti-diagonal the moved curve is x' = xy y + tx, y' = yx x + ty, a function of x' only if the curve is strictly
monotone; then its area is an integral by parts, and its only root x = −ty / yx is rational.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

from paperworks.errors import InputError
from paperworks.grab.families import (
    Member,
    Number,
    domain,
    extremes,
    family,
    hermite,
    polynomial_pieces,
    turning_points,
    value,
)
from paperworks.grab.operations import IDENTITY, Affine

_Real = Callable[[float], float]


def integral(member: Member, low: Number | None = None, high: Number | None = None) -> Number:
    """∫ y dx from `low` up to `high`, by default the domain: exact for polynomial families, float64 for the others."""
    name = family(member)
    if name == "smooth" and low is None and high is None:
        # ∫ over a Hermite piece = h (y0 + y1) / 2 + h² (d0 − d1) / 12, summed with every slope once.
        x, y, d = hermite(member)
        h = [b - a for a, b in pairwise(x)]
        chords = sum(step * (y[k] + y[k + 1]) for k, step in enumerate(h)) / 2
        squares = [Fraction(0), *(step * step for step in h), Fraction(0)]
        bends = (d[k] * (squares[k + 1] - squares[k]) for k in range(len(x)) if squares[k + 1] != squares[k])
        return chords + sum(bends, Fraction(0)) / 12
    first, last = domain(member)
    low, high = first if low is None else low, last if high is None else high
    if name in ("sine", "sine-equation", "bell"):
        primitive = _primitive(member)
        return primitive(float(high)) - primitive(float(low))
    total: Number = Fraction(0)
    for piece in polynomial_pieces(member):
        a, b = max(low, piece.start) - piece.start, min(high, piece.end) - piece.start
        if a < b:
            total += sum(
                c * (b ** (i + 1) - a ** (i + 1)) / (i + 1) for i, c in enumerate(piece.coefficients)
            )
    return total


def net_area(member: Member, moving: Affine = IDENTITY) -> Number:
    """∫ y' dx' of the moved curve, above the x-axis positive; exact for polynomial families.

    InputError for points, and if x and y change places while the curve is not strictly monotone.
    """
    _need_curve(member, "net-area")
    low, high = domain(member)
    if not moving.swaps:
        return abs(moving.xx) * (moving.yy * integral(member) + moving.ty * (high - low))
    return _swapped_area(member, moving, low, high)


def total_area(member: Member, moving: Affine = IDENTITY) -> Number:
    """∫ |y'| dx' of the moved curve. Errors as in `net_area`.

    Exact for polynomial families without a root inside and where x and y change places (there the root is rational),
    else float64.
    """
    _need_curve(member, "total-area")
    low, high = domain(member)
    if moving.swaps:
        root = -moving.ty / moving.yx
        cuts = [low, root, high] if low < root < high else [low, high]
        parts = [_size(_swapped_area(member, moving, a, b)) for a, b in pairwise(cuts)]
        return sum(parts, Fraction(0))
    ends = [end * moving.yy + moving.ty for end in extremes(member)]
    if ends[0] * ends[1] >= 0:
        return _size(net_area(member, moving))
    return float(abs(moving.xx)) * _unsigned(member, float(moving.yy), float(moving.ty))


def _swapped_area(member: Member, moving: Affine, low: Fraction, high: Fraction) -> Number:
    """The moved curve is x' = xy y + tx, y' = yx x + ty: ∫ y' dx' by parts over the stretch of x in [low, high]."""
    if len(turning_points(member)) > 2 or extremes(member)[0] == extremes(member)[1]:
        raise InputError("area: the moved curve is not a function of x: use a strictly monotone curve")
    first, last = value(member, low), value(member, high)
    along = high * last - low * first - integral(member, low, high)
    area = abs(moving.xy) * (moving.yx * along + moving.ty * (last - first))
    return area if last > first else -area


def _unsigned(member: Member, scale: float, shift: float) -> float:
    """∫ |scale y + shift| dx in float64, split where the curve is monotone and at the root inside each such part."""
    parts: list[float] = []
    for low, high, curve, primitive in _monotone_parts(member):
        cuts = [low, high]
        ends = scale * curve(low) + shift, scale * curve(high) + shift
        if ends[0] * ends[1] < 0:
            cuts.insert(1, _root(lambda x, curve=curve: scale * curve(x) + shift, low, high, *ends))  # type: ignore[misc]
        sums = [scale * primitive(cut) + shift * cut for cut in cuts]
        parts += [abs(b - a) for a, b in pairwise(sums)]
    return math.fsum(parts)


def _monotone_parts(member: Member) -> list[tuple[float, float, _Real, _Real]]:
    """(low, high, curve, primitive) of parts where the curve is monotone; those of a piece are local to its start."""
    if family(member) in ("sine", "sine-equation", "bell"):
        turns = [float(place.x) for place in turning_points(member)]
        primitive = _primitive(member)
        return [(a, b, lambda x: float(value(member, x)), primitive) for a, b in pairwise(turns)]
    if family(member) == "smooth":
        x, y, d = ([float(entry) for entry in column] for column in hermite(member))
        parts: list[tuple[float, float, _Real, _Real]] = []
        for k in range(len(x) - 1):
            h, rise = x[k + 1] - x[k], (y[k + 1] - y[k]) / (x[k + 1] - x[k])
            bends = (3 * rise - 2 * d[k] - d[k + 1]) / h, (d[k] + d[k + 1] - 2 * rise) / (h * h)
            parts.append((0.0, h, *_cubic(y[k], d[k], *bends)))
        return parts
    (piece,) = polynomial_pieces(member)
    coefficients = [float(coefficient) for coefficient in piece.coefficients]
    curve, primitive = (
        _polynomial(coefficients),
        _polynomial([0.0, *(c / (i + 1) for i, c in enumerate(coefficients))]),
    )
    turns = [float(place.x - piece.start) for place in turning_points(member)]
    return [(a, b, curve, primitive) for a, b in pairwise(turns)]


def _cubic(c0: float, c1: float, c2: float, c3: float) -> tuple[_Real, _Real]:
    return (
        lambda x: ((c3 * x + c2) * x + c1) * x + c0,
        lambda x: (((c3 / 4 * x + c2 / 3) * x + c1 / 2) * x + c0) * x,
    )


def _polynomial(coefficients: Sequence[float]) -> _Real:
    def at(x: float) -> float:
        result = 0.0
        for coefficient in reversed(coefficients):
            result = result * x + coefficient
        return result

    return at


def _root(curve: _Real, low: float, high: float, below: float, above: float) -> float:
    """The root of a monotone curve between two values of opposite sign, by the Illinois variant of false position."""
    for _ in range(100):
        middle = (low * above - high * below) / (above - below)
        height = curve(middle)
        if height == 0 or not min(low, high) < middle < max(low, high):
            return middle
        if height * above < 0:
            low, below = high, above
        else:
            below /= 2
        high, above = middle, height
        if abs(high - low) <= 1e-15 * max(1.0, abs(high)):
            break
    return high


def _primitive(member: Member) -> _Real:
    if member["family"] == "bell":
        s, mu, var = (float(member[key]) for key in ("s", "mu", "var"))
        return lambda x: s * math.sqrt(math.pi * var / 2) * math.erf((x - mu) / math.sqrt(2 * var))
    if member["family"] == "sine":
        a, period, shift, d = (float(member[key]) for key in ("A", "T", "h", "v"))
        b = 2 * math.pi / period
        return lambda x: d * x - a / b * math.cos(b * (x - shift))
    a, b, c, d = (float(member[key]) for key in ("a", "b", "c", "d"))
    return lambda x: d * x - a / b * math.cos(b * x + c)


def _need_curve(member: Member, prop: str) -> None:
    if family(member) == "points":
        raise InputError(f"{prop} of points: asked of curves")


def _size(area: Number) -> Number:
    return area if area >= 0 else -area

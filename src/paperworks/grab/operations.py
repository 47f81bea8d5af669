"""Operations on a drawn graph and their composition, exact.

Every operation is p ↦ L p + t with L diagonal or anti-diagonal, hence so is every sequence of them. The kinds and
values (factors .1 to 10, quarter turns, six reflections, integer shifts) are those of the official questions; that
rotation is counter-clockwise is a choice of ours. Scaling multiplies coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

from paperworks.errors import InputError
from paperworks.grab.families import Floats, number

Operation = Mapping[str, Any]

FACTORS = ("0.1", "0.5", "1", "2", "3", "5", "10")
ANGLES = (0, 90, 180, 270)
MIRRORS = ("x-axis", "y-axis", "y=x", "y=-x", "x=k", "y=k")
SHIFTS = range(-10, 11)
KINDS = ("scale", "rotate", "reflect", "translate")

_TURNS = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
_MIRRORS = {
    "x-axis": (1, 0, 0, -1),
    "y-axis": (-1, 0, 0, 1),
    "y=x": (0, 1, 1, 0),
    "y=-x": (0, -1, -1, 0),
    "x=k": (-1, 0, 0, 1),
    "y=k": (1, 0, 0, -1),
}


class Affine(NamedTuple):
    """x' = xx x + xy y + tx, y' = yx x + yy y + ty, in Fractions; either xy = yx = 0 or xx = yy = 0."""

    xx: Fraction = Fraction(1)
    xy: Fraction = Fraction(0)
    yx: Fraction = Fraction(0)
    yy: Fraction = Fraction(1)
    tx: Fraction = Fraction(0)
    ty: Fraction = Fraction(0)

    @property
    def swaps(self) -> bool:
        """Whether x and y change places (L anti-diagonal)."""
        return self.xx == 0

    def after(self, first: Affine) -> Affine:
        """The map that applies `first`, then this one."""
        if self.swaps:
            xx, xy, tx = self.xy * first.yx, self.xy * first.yy, self.xy * first.ty + self.tx
            yx, yy, ty = self.yx * first.xx, self.yx * first.xy, self.yx * first.tx + self.ty
        else:
            xx, xy, tx = self.xx * first.xx, self.xx * first.xy, self.xx * first.tx + self.tx
            yx, yy, ty = self.yy * first.yx, self.yy * first.yy, self.yy * first.ty + self.ty
        return Affine(xx, xy, yx, yy, tx, ty)


IDENTITY = Affine()


def affine(operation: Operation) -> Affine:
    """One operation as a map; InputError if its kind or a value is not one of an operation."""
    return _affine(*_key(operation))


def compose(operations: Sequence[Operation]) -> Affine:
    """The operations, first to last, as one map."""
    result = IDENTITY
    for operation in operations:
        result = affine(operation).after(result)
    return result


def apply(moving: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The moved x and y, float64, of the same shape."""
    xx, xy, yx, yy, tx, ty = (float(entry) for entry in moving)
    return (xy * y + tx, yx * x + ty) if moving.swaps else (xx * x + tx, yy * y + ty)


def describe(operation: Operation) -> str:
    """The operation in words, as a question lists it."""
    kind, where, amount = _key(operation)
    _affine(kind, where, amount)
    if kind == "scale":
        return f"scale by a factor of {amount} in the {where}-direction"
    if kind == "rotate":
        return f"rotate by {amount}° counter-clockwise about the origin"
    if kind == "translate":
        return f"shift by {amount} in the {where}-direction"
    if where in ("x-axis", "y-axis"):
        return f"reflect in the {where}"
    return f"reflect in the line {where[0]} = {where[2:].replace('k', amount)}"


def is_empty(operation: Operation) -> bool:
    """Whether the operation changes nothing: a factor of 1, a turn of 0°, a shift of 0."""
    return affine(operation) == IDENTITY


def undoes(first: Operation, second: Operation) -> bool:
    """Whether `second` right after `first` leaves everything where it was."""
    return affine(second).after(affine(first)) == IDENTITY


def effective_complexity(operations: Sequence[Operation]) -> int:
    """The fewest operations that have the same effect, searched up to three; else the number given.

    Searched are the operations that change something among the official factors, quarter turns, mirrors and integer
    shifts and mirrors within ±10.
    """
    target = compose(operations)
    linear, shift = target[:4], target[4:]
    near = _reach_two()
    fewest = near.get(linear, {}).get(shift)
    if fewest is None and len(operations) >= 3 and _reaches_in_three(target):
        fewest = 3
    return len(operations) if fewest is None else min(fewest, len(operations))


_Linear = tuple[Fraction, ...]
_Shift = tuple[Fraction, ...]


def _reaches_in_three(target: Affine) -> bool:
    near = _reach_two()
    for linear, inverses in _inverses().items():
        rest = near.get(Affine(*linear).after(target)[:4])
        if rest and any(inverse.after(target)[4:] in rest for inverse in inverses):
            return True
    return False


@cache
def _primitives() -> tuple[Affine, ...]:
    maps = dict.fromkeys(affine(operation) for operation in _every_operation())
    maps.pop(IDENTITY)
    return tuple(maps)


@cache
def _inverses() -> dict[_Linear, list[Affine]]:
    """The inverse of each primitive, by its linear part."""
    grouped: dict[_Linear, list[Affine]] = {}
    for xx, xy, yx, yy, tx, ty in _primitives():
        if xx == 0:
            inverse = Affine(xx, 1 / yx, 1 / xy, yy, -ty / yx, -tx / xy)
        else:
            inverse = Affine(1 / xx, xy, yx, 1 / yy, -tx / xx, -ty / yy)
        grouped.setdefault(inverse[:4], []).append(inverse)
    return grouped


@cache
def _reach_two() -> dict[_Linear, dict[_Shift, int]]:
    """What at most two operations can do: linear part → shift → their fewest number."""
    reached: dict[_Linear, dict[_Shift, int]] = {}
    for count, maps in enumerate(([IDENTITY], _primitives(), _pairs())):
        for moving in maps:
            reached.setdefault(moving[:4], {}).setdefault(moving[4:], count)
    return reached


def _pairs() -> Iterator[Affine]:
    return (second.after(first) for first in _primitives() for second in _primitives())


def _every_operation() -> Iterator[Operation]:
    for axis in ("x", "y"):
        for factor in FACTORS:
            yield {"kind": "scale", "axis": axis, "factor": factor}
        for by in SHIFTS:
            yield {"kind": "translate", "axis": axis, "by": str(by)}
            yield {"kind": "reflect", "in": f"{axis}=k", "k": str(by)}
    for angle in ANGLES:
        yield {"kind": "rotate", "angle": angle}
    for mirror in MIRRORS[:4]:
        yield {"kind": "reflect", "in": mirror}


def _key(operation: Operation) -> tuple[str, str, str]:
    """(kind, axis or mirror or "", value)."""
    kind = operation.get("kind")
    try:
        if kind == "scale":
            return kind, operation["axis"], str(operation["factor"])
        if kind == "rotate":
            return kind, "", str(operation["angle"])
        if kind == "reflect":
            mirror = operation["in"]
            return kind, mirror, str(operation["k"]) if mirror in ("x=k", "y=k") else ""
        if kind == "translate":
            return kind, operation["axis"], str(operation["by"])
    except KeyError as missing:
        raise InputError(f"operation {dict(operation)}: {missing.args[0]!r} missing") from None
    raise InputError(f"operation of kind {kind!r}: the kinds are {', '.join(KINDS)}")


@cache
def _affine(kind: str, where: str, amount: str) -> Affine:
    if kind in ("scale", "translate") and where not in ("x", "y"):
        raise InputError(f"{kind} along {where!r}: the axes are x and y")
    if kind == "scale":
        factor = number(amount)
        if factor <= 0:
            raise InputError(f"scale by {amount}: the factor must be positive")
        return Affine(xx=factor) if where == "x" else Affine(yy=factor)
    if kind == "translate":
        return Affine(tx=number(amount)) if where == "x" else Affine(ty=number(amount))
    if kind == "rotate":
        if amount not in map(str, ANGLES):
            raise InputError(f"rotation by {amount}: the angles are {', '.join(map(str, ANGLES))}")
        return Affine(*map(Fraction, _TURNS[int(amount)]))
    if where not in _MIRRORS:
        raise InputError(f"reflection in {where!r}: the mirrors are {', '.join(MIRRORS)}")
    twice = 2 * number(amount) if amount else Fraction(0)
    xx, xy, yx, yy = map(Fraction, _MIRRORS[where])
    return Affine(xx, xy, yx, yy, tx=twice) if where == "x=k" else Affine(xx, xy, yx, yy, ty=twice)

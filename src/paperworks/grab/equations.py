"""Equations as models write them, read through a small grammar and never evaluated as code.

equation := ["y" | "f(x)" "="] sum
sum      := ["+" | "-"] product (("+" | "-") product)*
product  := power (["*" | "/"] power)*
power    := atom ["^" digits]
atom     := number | "x" | "pi" | "(" sum ")" | ("sin" | "cos") ("(" sum ")" | (number | "x" | "pi")+)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

LONGEST = 400
HIGHEST_POWER = 12
POINTS = 257
TOLERANCE = 1e-9

Polynomial = tuple[Fraction, ...]
_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<word>sin|cos|pi|π|x)|(?P<sign>[-+*/^()]))")
_LEFT = re.compile(r"\s*(?:y|[fgh]\s*\(\s*x\s*\))\s*=\s*", re.IGNORECASE)


class _Unreadable(ValueError):
    pass


@dataclass(frozen=True)
class Equation:
    """y as a function of x. `tree` is nested tuples: ("+", a, b), ("sin", a), ("x",), ("number", Fraction)."""

    tree: tuple[Any, ...]

    def at(self, x: float) -> float:
        """y at `x`; NaN where it is not defined."""
        try:
            return _evaluate(self.tree, x)
        except (ZeroDivisionError, OverflowError, ValueError):
            return math.nan

    @cached_property
    def form(self) -> tuple[Polynomial, tuple[tuple[Polynomial, Fraction], ...]] | None:
        """(polynomial, sines), or None for other forms.

        Polynomials are coefficients from the constant up; each sine is (its argument's coefficients, amplitude).
        """
        collected = _collect(self.tree)
        if collected is None:
            return None
        return collected[0], tuple(sorted(item for item in collected[1].items() if item[1]))

    def same_coefficients(self, other: Equation) -> bool:
        """Whether both have the same coefficients, however they are spelled: `y = -x` and `y = -1x + 0`."""
        return self.form is not None and self.form == other.form

    def equivalent(self, other: Equation) -> bool:
        """Whether both agree at 257 points of −10…10 to 1e-9 of their size (choice of ours)."""
        if self.same_coefficients(other):
            return True
        for place in range(POINTS):
            x = -10 + 20 * place / (POINTS - 1)
            one, two = self.at(x), other.at(x)
            if not abs(one - two) <= TOLERANCE * max(1.0, abs(one), abs(two)):
                return False
        return True

    def canonical(self) -> str:
        """The equation as the official answers spell it: `y = 2x^2 - 1x + 0`, `y = 2sin(-9x + 7) + 6`.

        Coefficients 1 and 0 are written, but for a leading 0. Raises ValueError for an equation that is neither a
        polynomial nor one sine with a constant.
        """
        if self.form is not None:
            polynomial, sines = self.form
            if not sines:
                return f"y = {_written(polynomial)}"
            if len(sines) == 1 and len(polynomial) <= 1 and len(sines[0][0]) == 2:
                constant = polynomial[0] if polynomial else Fraction(0)
                argument, amplitude = sines[0]
                return f"y = {_decimal(amplitude)}sin({_written(argument)}) {_signed(constant)}"
        raise ValueError("neither a polynomial nor a sine with a constant")


@lru_cache(maxsize=4096)
def parse_equation(text: str) -> Equation | None:
    """The equation that the whole of `text` is, or None; a right side alone must have an x in it.

    Reads `y = -1x - 3`, `y=-x-3`, `f(x) = 2*x^4 + 6 x`, `2sin(3x - 1) + 4`. No other names, no code.
    """
    if len(text) > LONGEST:
        return None
    left = _LEFT.match(text)
    try:
        tokens = _tokens(text[left.end() if left else 0 :].strip().rstrip("."))
        if "x" not in tokens:
            return None
        tree, rest = _sum(tokens, 0)
    except (_Unreadable, RecursionError):
        return None
    return Equation(tree) if rest == len(tokens) else None


def respace(text: str) -> str:
    """The equation's own symbols with the official answers' spaces: `y=-1x-3` becomes `y = -1x - 3`."""
    left = _LEFT.match(text)
    tokens = _tokens(text[left.end() if left else 0 :].strip().rstrip("."))
    out = ""
    for place, token in enumerate(tokens):
        binary = token in "+-" and place and tokens[place - 1] not in ("(", "+", "-", "*", "/", "^")
        if token == "+" and not binary:
            continue
        if token == "*" and tokens[place - 1][-1].isdigit() and tokens[place + 1] in ("x", "sin", "cos", "("):
            continue
        out += f" {token} " if binary else token
    return f"y = {out}"


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _Unreadable
        tokens.append("pi" if match["word"] == "π" else match[0].strip())
        place = match.end()
    return tokens


def _sum(tokens: list[str], place: int, depth: int = 0) -> tuple[tuple[Any, ...], int]:
    if depth > 20:
        raise _Unreadable
    negative = place < len(tokens) and tokens[place] == "-"
    if place < len(tokens) and tokens[place] in "+-":
        place += 1
    tree, place = _product(tokens, place, depth)
    if negative:
        tree = ("*", ("number", Fraction(-1)), tree)
    while place < len(tokens) and tokens[place] in ("+", "-"):
        sign = tokens[place]
        # "6 + -3" and "6 - -3" are written by models that fill in a template.
        inner = place + 1 < len(tokens) and tokens[place + 1] == "-"
        right, place = _product(tokens, place + 1 + inner, depth)
        tree = (sign if not inner else "+-"[sign == "+"], tree, right)
    return tree, place


def _product(tokens: list[str], place: int, depth: int) -> tuple[tuple[Any, ...], int]:
    tree, place = _power(tokens, place, depth)
    while place < len(tokens) and tokens[place] not in ("+", "-", ")", "^"):
        sign = tokens[place] if tokens[place] in "*/" else "*"
        right, place = _power(tokens, place + (tokens[place] in "*/"), depth)
        tree = (sign, tree, right)
    return tree, place


def _power(tokens: list[str], place: int, depth: int) -> tuple[tuple[Any, ...], int]:
    tree, place = _atom(tokens, place, depth)
    if place < len(tokens) and tokens[place] == "^":
        if (
            place + 1 >= len(tokens)
            or not tokens[place + 1].isdigit()
            or int(tokens[place + 1]) > HIGHEST_POWER
        ):
            raise _Unreadable
        return ("^", tree, int(tokens[place + 1])), place + 2
    return tree, place


def _atom(tokens: list[str], place: int, depth: int) -> tuple[tuple[Any, ...], int]:
    if place >= len(tokens):
        raise _Unreadable
    token = tokens[place]
    if token in ("x", "pi"):
        return (token,), place + 1
    if token == "(":
        tree, place = _sum(tokens, place + 1, depth + 1)
        if place >= len(tokens) or tokens[place] != ")":
            raise _Unreadable
        return tree, place + 1
    if token in ("sin", "cos"):
        if place + 1 < len(tokens) and tokens[place + 1] == "(":
            tree, place = _atom(tokens, place + 1, depth)
            return (token, tree), place
        argument: tuple[Any, ...] | None = None
        place += 1
        while place < len(tokens) and (tokens[place] in ("x", "pi") or tokens[place][0] in ".0123456789"):
            factor, place = _atom(tokens, place, depth)
            argument = factor if argument is None else ("*", argument, factor)
        if argument is None:
            raise _Unreadable
        return (token, argument), place
    if token[0] in ".0123456789" and len(token) <= 30:
        return ("number", Fraction(token)), place + 1
    raise _Unreadable


def _evaluate(tree: tuple[Any, ...], x: float) -> float:
    head = tree[0]
    if head == "number":
        return float(tree[1])
    if head == "x":
        return x
    if head == "pi":
        return math.pi
    if head == "sin":
        return math.sin(_evaluate(tree[1], x))
    if head == "cos":
        return math.cos(_evaluate(tree[1], x))
    left = _evaluate(tree[1], x)
    if head == "^":
        return float(left ** tree[2])
    right = _evaluate(tree[2], x)
    if head == "+":
        return left + right
    if head == "-":
        return left - right
    return left * right if head == "*" else left / right


_Collected = tuple[Polynomial, dict[Polynomial, Fraction]]


def _collect(tree: tuple[Any, ...]) -> _Collected | None:
    """(polynomial, {sine's argument: amplitude}); None where the tree is not a polynomial plus multiples of sines."""
    head = tree[0]
    if head == "number":
        return _trimmed((tree[1],)), {}
    if head == "x":
        return (Fraction(0), Fraction(1)), {}
    if head in ("pi", "cos"):
        return None
    left = _collect(tree[1])
    if left is None:
        return None
    if head == "sin":
        return None if left[1] or not left[0] else ((), {left[0]: Fraction(1)})
    if head == "^":
        power: _Collected | None = ((Fraction(1),), {})
        for _ in range(tree[2]):
            power = _times(power, left) if power is not None else None
        return power
    right = _collect(tree[2])
    if right is None:
        return None
    if head == "*":
        return _times(left, right)
    if head == "/":
        return None if right[1] or len(right[0]) != 1 else _times(left, ((1 / right[0][0],), {}))
    factor = 1 if head == "+" else -1
    sines = dict(left[1])
    for argument, amplitude in right[1].items():
        sines[argument] = sines.get(argument, Fraction(0)) + factor * amplitude
    longest = max(len(left[0]), len(right[0]))
    one, two = (side + (Fraction(0),) * (longest - len(side)) for side in (left[0], right[0]))
    return _trimmed(tuple(a + factor * b for a, b in zip(one, two, strict=True))), sines


def _times(left: _Collected, right: _Collected) -> _Collected | None:
    if left[1] or right[1]:
        if len(left[0]) <= 1 and not left[1]:
            left, right = right, left
        if right[1] or len(right[0]) > 1:
            return None
        factor = right[0][0] if right[0] else Fraction(0)
        return (
            _trimmed(tuple(factor * value for value in left[0])),
            {argument: factor * amplitude for argument, amplitude in left[1].items()},
        )
    product = [Fraction(0)] * (len(left[0]) + len(right[0]))
    for i, a in enumerate(left[0]):
        for j, b in enumerate(right[0]):
            product[i + j] += a * b
    return _trimmed(tuple(product)), {}


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and polynomial[-1] == 0:
        polynomial = polynomial[:-1]
    return polynomial


def _written(polynomial: Polynomial) -> str:
    if not polynomial:
        return "0"
    powers = ["", "x", *(f"x^{power}" for power in range(2, len(polynomial)))]
    highest = len(polynomial) - 1
    terms = [f"{_decimal(polynomial[highest])}{powers[highest]}"]
    terms += [f"{_signed(polynomial[power])}{powers[power]}" for power in range(highest - 1, -1, -1)]
    return " ".join(terms)


def _signed(value: Fraction) -> str:
    return f"{'-' if value < 0 else '+'} {_decimal(abs(value))}"


def _decimal(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    for decimals in range(1, 10):
        shifted = value * 10**decimals
        if shifted.denominator == 1:
            digits = str(abs(shifted.numerator)).rjust(decimals + 1, "0")
            return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"
    return f"({value})"

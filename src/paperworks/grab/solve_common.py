"""What all solving for an answer shares: decimal strings, axes, the shape of a spec."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from paperworks.grab.draws import Draws
from paperworks.grab.layout import step
from paperworks.grab.rules import Refused

Member = dict[str, Any]
Spec = dict[str, Any]
Range = tuple[float, float]

FIXED_AXES = {"x": ["-10", "10"], "y": ["-10", "10"], "step": ["2", "2"]}
"""Functions, series and transforms."""
EDGE = 9.6
"""A feature is at most this far from the middle of the fixed axes: 2 % of the axis inside the frame."""
CLEARINGS = 40
"""How often a curve is drawn again that touches such a place."""


def text(units: int, places: int = 2) -> str:
    """`units` of 10^-places as a decimal string without needless zeros: 125 -> "1.25"."""
    digits = f"{abs(units):0{places + 1}d}"
    out = f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")
    return f"-{out}" if units < 0 else out


def precise(value: float | Fraction) -> str:
    """The nearest decimal string of at most six decimals."""
    return text(round(value * 1_000_000), 6)


def sign(draws: Draws) -> int:
    """1 or -1, drawn."""
    return 1 if draws.integer(0, 1) else -1


def free_axes(x: Range, y: Range, draws: Draws) -> dict[str, list[str]]:
    """Limits around the given extents with a drawn margin, at multiples of the tick step (Properties)."""
    axes: dict[str, list[str]] = {"step": []}
    for name, (low, high) in (("x", x), ("y", y)):
        size = max(high - low, 1e-3)
        below, above = (draws.integer(4, 18) / 100 * size for _ in range(2))
        low, high = low - below, high + above
        tick = step(Fraction(low), Fraction(high), 9)
        half = tick / 2
        first, last = math.floor(low / float(half)), math.ceil(high / float(half))
        axes[name] = [precise(first * half), precise(last * half)]
        axes["step"].append(precise(tick))
    return axes


def spec_of(members: list[Member], axes: dict[str, list[str]], **more: Any) -> Spec:
    """An item's spec without style; `more` replaces its parts."""
    return {"members": members, "operations": [], "axes": axes, "asked": {}} | more


def again(build: Callable[[], Member]) -> Member:
    """The first of `CLEARINGS` curves that fits; the last refusal if none does."""
    for _ in range(CLEARINGS - 1):
        try:
            return build()
        except Refused:
            continue
    return build()

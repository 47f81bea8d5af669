"""Where things are in a picture, for the rules: features of curves, what is visible, pixels per unit.

Everything is float64 and in units of the axes unless a docstring says pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperworks.grab import layout
from paperworks.grab.families import turning_points, values
from paperworks.grab.operations import Affine, compose

Floats = NDArray[np.float64]
Member = Mapping[str, Any]
Spec = Mapping[str, Any]
Box = tuple[float, float, float, float]
"""x low, x high, y low, y high."""


def asked(spec: Spec) -> Sequence[Member]:
    """The members the answer depends on: all, or the one whose colour the question names."""
    asked = spec.get("asked") or {}
    members: Sequence[Member] = spec["members"]
    return [members[asked["member"]]] if "member" in asked else members


def limits(spec: Spec) -> Box:
    """The limits of the axes: left, right, bottom, top."""
    (x0, x1), (y0, y1) = spec["axes"]["x"], spec["axes"]["y"]
    return float(x0), float(x1), float(y0), float(y1)


def per_unit(spec: Spec, width: int) -> tuple[float, float]:
    """Pixels in one unit of x and of y in a picture `width` wide."""
    axes = spec["axes"]
    return _cached_per_unit(tuple(axes["x"]), tuple(axes["y"]), tuple(spec["style"]["size"]), width)


def moving_of(spec: Spec) -> Affine:
    """All operations as one map."""
    return _compose(tuple(tuple(operation.items()) for operation in spec["operations"]))


@lru_cache(maxsize=256)
def _compose(operations: tuple[tuple[tuple[str, Any], ...], ...]) -> Affine:
    return compose([dict(operation) for operation in operations])


@lru_cache(maxsize=1024)
def _cached_per_unit(
    x: tuple[str, ...], y: tuple[str, ...], size: tuple[int, ...], width: int
) -> tuple[float, float]:
    return layout.per_unit({"x": x, "y": y}, size, width)


def bounds(member: Member) -> Box:
    """Smallest and largest x, smallest and largest y of a whole member."""
    if member["family"] in ("points", "smooth"):
        x, y = [float(v) for v in member["x"]], [float(v) for v in member["y"]]
        return min(x), max(x), min(y), max(y)
    a, b = (float(end) for end in member["domain"])
    heights = [float(place.y) for place in turning_points(member)]
    return a, b, min(heights), max(heights)


def turning_heights(member: Member) -> list[float]:
    """Heights of a member's points, or of the ends and turning places of a curve; a flat stretch counts once."""
    if member["family"] == "points":
        return [float(y) for y in member["y"]]
    if member["family"] == "smooth":
        y = [float(v) for v in member["y"]]
        y = [y[0]] + [after for before, after in pairwise(y) if after != before]
        turns = [y[k] for k in range(1, len(y) - 1) if (y[k] - y[k - 1]) * (y[k + 1] - y[k]) < 0]
        return [y[0], *turns, y[-1]] if len(y) > 1 else y
    return [float(place.y) for place in turning_points(member)]


def first_and_last(member: Member) -> tuple[float, float]:
    """The ends of a curve's domain."""
    first, last = (member["x"][0], member["x"][-1]) if member["family"] == "smooth" else member["domain"]
    return float(first), float(last)


def visible_line(member: Member, box: Box) -> tuple[float, float]:
    """First and last x of the part of a line that is inside the frame (an empty part has its last before its first)."""
    m, k = float(member["m"]), float(member["k"])
    x0, x1, y0, y1 = box
    a, b = max(float(member["domain"][0]), x0), min(float(member["domain"][1]), x1)
    if m:
        low, high = sorted(((y0 - k) / m, (y1 - k) / m))
        a, b = max(a, low), min(b, high)
    elif not y0 <= k <= y1:
        return a, a
    return a, b


def features(member: Member, prop: str) -> list[tuple[float, float]]:
    """The places of a curve that a question asks about (none for gradients, sines, extents of lines and equations)."""
    name = member["family"]
    if name == "line":
        m, k = float(member["m"]), float(member["k"])
        if prop == "x-intercept":
            return [(-k / m if m else math.inf, 0.0)]
        return [(0.0, k)] if prop == "y-intercept" else []
    if name == "parabola":
        return [(float(member["h"]), float(member["v"]))]
    if name == "cubic":
        s, p, r, k = (float(member[key]) for key in ("s", "p", "r", "k"))
        return [(x, s * (x**3 - 1.5 * (p + r) * x**2 + 3 * p * r * x) + k) for x in (p, r)]
    if name == "bell":
        return [(float(member["mu"]), float(member["s"]))]
    if name == "sine" and prop == "phase-shift":
        return [(float(member["h"]), float(member["v"]))]
    if name == "smooth":
        x, y = [float(v) for v in member["x"]], [float(v) for v in member["y"]]
        low, high = min(range(len(y)), key=y.__getitem__), max(range(len(y)), key=y.__getitem__)
        wanted = {
            "maximum": [high],
            "minimum": [low],
            "range-span": [low, high],
            "domain-length": [0, len(x) - 1],
        }
        return [(x[k], y[k]) for k in wanted.get(prop, [])]
    return []


def crests_and_troughs(member: Member, x0: float, x1: float) -> tuple[Floats, Floats]:
    """x of a sine's crests (or troughs) and troughs inside its domain and the frame: two arrays."""
    period, shift = float(member["T"]), float(member["h"])
    a, b = max(float(member["domain"][0]), x0), min(float(member["domain"][1]), x1)
    found: list[Floats] = []
    for quarter in (0.25, 0.75):
        start = shift + quarter * period
        first, last = math.ceil((a - start) / period), math.floor((b - start) / period)
        found.append(np.asarray(start + period * np.arange(first, last + 1), dtype=np.float64))
    return found[0], found[1]


def monotone(member: Member) -> bool:
    """Whether a curve only rises or only falls."""
    if member["family"] == "line":
        return float(member["m"]) != 0
    if member["family"] != "smooth":
        return len(turning_points(member)) == 2
    rises = [float(after) - float(before) for before, after in pairwise(member["y"])]
    return all(rise > 0 for rise in rises) or all(rise < 0 for rise in rises)


def visible_part(spec: Spec, member: Member) -> tuple[Floats, Floats, float, float]:
    """x and y of the curve where it is inside domain and frame, and pixels per unit (336 wide)."""
    x0, x1, y0, y1 = limits(spec)
    a, b = first_and_last(member)
    x = np.linspace(max(a, x0), min(b, x1), 513) if min(b, x1) > max(a, x0) else np.zeros(0)
    y = values(member, x)
    inside = (y >= y0) & (y <= y1)
    across, up = per_unit(spec, layout.SMALLEST_WIDTH)
    return x[inside], y[inside], across, up


def tangent_factor(x: Floats, y: Floats, across: float, up: float) -> Floats:
    """What a vertical distance in pixels is multiplied by to be one to the tangent. [points]"""
    slope = np.gradient(y, x) * up / across
    return np.asarray(1 / np.sqrt(1 + slope**2))

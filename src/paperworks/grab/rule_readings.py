"""How far an answer moves when what is read off the picture is wrong by a pixel (rule R2).

To first order, through the formula of the property, the mean over the members and the operations. Pixels are those of
the narrowest picture promised (336 wide). The model of reading is a choice of ours; `rules.readable` describes it.
"""

from __future__ import annotations

import math

import numpy as np

from paperworks.grab import layout
from paperworks.grab.families import points, values
from paperworks.grab.rule_places import (
    Box,
    Member,
    Spec,
    asked,
    crests_and_troughs,
    limits,
    moving_of,
    per_unit,
    visible_line,
)

CORRELATIONS = frozenset({"pearson", "spearman", "kendall"})
TURNS = frozenset({"stationary-point", "function-mean", "peak"})
"""Places where a curve with one turn has it."""
AREAS = frozenset({"net-area", "total-area"})
ACROSS = frozenset({"x-intercept", "stationary-points", "phase-shift", "domain-length"})
"""Answers that are places or lengths on the x-axis."""


def error_per_pixel(spec: Spec, prop: str) -> float:
    """How far the answer moves when readings are off by one pixel of a picture 336 wide."""
    across, up = per_unit(spec, layout.SMALLEST_WIDTH)
    members = asked(spec)
    n = len(members)
    if prop in AREAS:
        return math.sqrt(sum(_area_error(spec, member, across, up) for member in members)) / n
    if prop in CORRELATIONS or (prop == "variance" and members[0]["family"] == "points"):
        return math.sqrt(sum(_statistic_error(member, prop, across, up) for member in members)) / n
    if prop == "gradient":
        return sum(_gradient_error(spec, member, across, up) for member in members) / n
    if prop in TURNS:
        return sum(_turn_error(member, limits(spec), across, up) for member in members) / n
    if prop == "amplitude":
        return 0.5 / up
    if prop == "period":
        x0, x1, _, _ = limits(spec)
        return sum(1 / _periods_between_turns(member, x0, x1) for member in members) / n / across
    if prop == "variance":
        return sum(math.sqrt(float(member["var"])) for member in members) / n / 2 / across
    direct = 1 / across if prop in ACROSS else 1 / up
    if not spec["operations"]:
        return direct
    moving = moving_of(spec)
    if prop == "domain-length":
        return abs(float(moving.xy)) / up if moving.swaps else abs(float(moving.xx)) / across
    return abs(float(moving.yx)) / across if moving.swaps else abs(float(moving.yy)) / up


def _turn_error(member: Member, box: Box, across: float, up: float) -> float:
    """Of the place of a vertex or peak: the middle between the two arms where the curve is steepest."""
    x0, x1, _, _ = box
    a, b = max(float(member["domain"][0]), x0), min(float(member["domain"][1]), x1)
    if member["family"] == "bell":
        deviation = math.sqrt(float(member["var"]))
        reach = min(float(member["mu"]) - a, b - float(member["mu"])) / deviation
        reach = min(max(reach, 0.0), 1.0)
        slope = float(member["s"]) / deviation * reach * math.exp(-reach * reach / 2)
    else:
        h, v, bend = (float(member[key]) for key in "hva")
        room = (box[3] - v if bend > 0 else v - box[2]) / max(abs(bend), 1e-9)
        reach = max(min(h - a, b - h, math.sqrt(max(room, 0.0))), 0.0)
        slope = 2 * abs(bend) * reach
    slope *= up / across
    return math.sqrt((1 + 1 / slope**2) / 2) / across if slope > 0 else math.inf


def _gradient_error(spec: Spec, member: Member, across: float, up: float) -> float:
    a, b = visible_line(member, limits(spec))
    m = float(member["m"])
    if b <= a:
        return math.inf
    slope = m * up / across
    # One end off by a pixel across the line turns it by 1 / length; d tan = (1 + tan²) d angle.
    error = math.sqrt(1 + slope * slope) / ((b - a) * across) * across / up
    if not spec["operations"]:
        return error
    moving = moving_of(spec)
    if moving.swaps:
        return error * abs(float(moving.yx / moving.xy)) / (m * m) if m else math.inf
    return error * abs(float(moving.yy / moving.xx))


def _area_error(spec: Spec, member: Member, across: float, up: float) -> float:
    """Squared error of a member's area per pixel: one reading per tick along the way, one at each end."""
    steps = [float(step) for step in spec["axes"]["step"]]
    if member["family"] == "smooth":
        (a, b), (first, last) = ((float(member[key][0]), float(member[key][-1])) for key in "xy")
    else:
        a, b = (float(end) for end in member["domain"])
        first, last = (float(y) for y in values(member, np.array([a, b])))
    moving = moving_of(spec)
    if not moving.swaps:
        width, factor = b - a, abs(float(moving.xx * moving.yy))
        along = factor * math.sqrt(width * min(width, steps[0])) / up
        ends = [
            abs(float(moving.xx) * (float(moving.yy) * y + float(moving.ty))) / across for y in (first, last)
        ]
    else:
        width, factor = abs(last - first), abs(float(moving.xy * moving.yx))
        along = factor * math.sqrt(width * min(width, steps[1])) / across
        ends = [abs(float(moving.xy) * (float(moving.yx) * x + float(moving.ty))) / up for x in (a, b)]
    return along**2 + sum(end**2 for end in ends)


def _statistic_error(member: Member, prop: str, across: float, up: float) -> float:
    """Squared error of a variance or correlation per pixel, each coordinate of each point read by itself."""
    x, y = points(member)
    n, variance = len(y), float(y.var())
    if prop == "variance":
        return 4 * variance / n / up**2
    spread = float(x.var())
    if not variance or not spread:
        return math.inf
    r = float(((x - x.mean()) * (y - y.mean())).mean()) / math.sqrt(spread * variance)
    return (1 - min(r * r, 1.0)) / n * (1 / (variance * up**2) + 1 / (spread * across**2))


def _periods_between_turns(member: Member, x0: float, x1: float) -> float:
    crests, troughs = crests_and_troughs(member, x0, x1)
    return max((len(crests) + len(troughs) - 1) / 2, 0.5)

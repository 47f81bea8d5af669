"""Resolvability: whether a question can be answered from its picture (choices of ours: the paper states no such rules).

Nine rules, each a function. What a reader of pixels does is modelled by one number: a *reading*, a place or a length
measured along an axis, is off by some pixels. Distances are in pixels of the picture `SMALLEST_WIDTH` wide (336, the
narrowest promised) except where a rule says 600, and `per_unit` turns them into units of the axes. Curves and slopes
are float64; rules have no random part, so the same specification is always decided the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from paperworks.grab import layout
from paperworks.grab.families import points, values
from paperworks.grab.rule_pictures import (
    CLEAR,
    SINE,
    colour_difference,
    covered_shares,
    nearest_points,
    nearest_polynomial,
    nearest_sine,
    what_covers_a_feature,
)
from paperworks.grab.rule_places import (
    Member,
    Spec,
    asked,
    bounds,
    features,
    limits,
    monotone,
    moving_of,
    per_unit,
    tangent_factor,
    turning_heights,
    visible_line,
    visible_part,
)
from paperworks.grab.rule_readings import AREAS, CORRELATIONS, error_per_pixel

__all__ = ["CLEAR", "Refused", "check"]

Truth = Fraction | float | tuple[Fraction, Fraction] | str

BOUNDARY = Fraction(1, 5)
"""R1: quanta between the truth and the nearest rounding boundary."""
READING = 0.5
"""R2: pixels that one reading may be off before the answer is off by half a quantum."""
INSIDE = 0.02
"""R3: fraction of an axis between a feature and the frame."""
COLOURS_APART, COVERED = 20.0, 0.30
"""R4: ΔE between colours, share of a curve that may be covered. `CLEAR`: free pixels, 600 wide, around a feature."""
COUNT_APART, OVERLAPPED = 1.5, 0.10
"""R5: diameters between counted points, share of other points that may be overlapped."""
MARKER_EXTENTS = {"s": 1.29, "D": 1.3, "^": 1.34, "v": 1.34, "P": 1.18}
"""R5: diameter of the circle around a marker over the marker's size (1 for a round one)."""
DIFFERENT = 1.0
"""R6: pixels by which every other answer's curve must leave the drawn one somewhere."""
PERIODS, STEEP, TURN_APART = 1.5, 0.2, 0.08
"""R7: periods shown, smallest slope, fraction of the axis between a cubic's turning values."""
RUNNER_UP = 1.0
"""R8: pixels between an extreme and the next place that could be it."""

COUNTS = frozenset({"number-of-points", "number-of-series"})
WHOLE = frozenset({"maximum", "minimum", "domain-length", "range-span"}) | AREAS | COUNTS
"""Properties of everything drawn: all of it must be inside the frame."""

SPEC_KEYS = frozenset({"members", "operations", "axes", "style", "asked"})
STYLE_KEYS = frozenset(
    {"size", "grid", "zero", "ticks", "font", "colours", "widths", "dashes", "markers", "sizes", "labels"}
)
AXIS_NAMES = frozenset({"", "x", "y", "f(x)"})


class Refused(Exception):
    """An item that breaks a rule: `rule` is "R1" to "R9" (or "data"), `reason` one line with the figures."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


def check(spec: Spec, task: str, prop: str, q: str, truth: Truth) -> dict[str, float]:
    """The margin of every rule that applies, by its name; raises `Refused` at the first rule that is broken.

    Cheap rules first: R9, R1, R7, R3, R8, R2, R5, R4, R6. Margins are in the unit of the rule and rounded to three
    decimals: R1 quanta from the boundary, R2 pixels of one reading, R3 fraction of the axis, R4 share of a curve still
    allowed to be covered (colours alone: ΔE over the limit), R5 diameters (counting) or share still allowed to overlap,
    R6 and R8 pixels, R7 periods, slope or fraction (0 where the condition is yes or no), R9 0.
    """
    margins = {
        "R9": not_printed(spec),
        "R1": off_boundary(truth, q),
        "R7": well_posed(spec, prop),
        "R3": inside_frame(spec, prop),
        "R8": beats_runner_up(spec, prop),
        "R2": readable(spec, prop, q),
        "R5": points_apart(spec, prop),
        "R4": visible(spec, task, prop),
        "R6": distinct(spec, prop),
    }
    return {rule: round(margin, 3) for rule, margin in sorted(margins.items()) if margin is not None}


def off_boundary(truth: Truth, q: str) -> float | None:
    """R1: the truth is at least .2 q from every number half-way between two answers, so that no rounding is a toss-up.

    Distance in quanta, at most .5; the smaller one of a pair. Equations have no rounding: None.
    """
    if isinstance(truth, str):
        return None
    quantum = Fraction(q)
    parts = truth if isinstance(truth, tuple) else (truth,)
    nearest = Fraction(1, 2)
    for part in parts:
        quanta = Fraction(part) / quantum
        nearest = min(nearest, Fraction(1, 2) - abs(quanta - round(quanta)))
    # A truth computed in float64 may miss the limit by its own rounding.
    if nearest < BOUNDARY - Fraction(1, 10**9):
        raise Refused(
            "R1", f"truth {_short(parts)} is {float(nearest):.3f} of {q} from a rounding boundary, under .2"
        )
    return float(nearest)


def readable(spec: Spec, prop: str, q: str) -> float | None:
    """R2: one reading may be off by half a pixel, 336 wide, before the answer is off by q / 2.

    The answer's error per pixel of reading is taken to first order, through the mean and the operations:
    a place or a length read off an axis 1 (an amplitude is half a length, a period the k-th part of the length of the
    k periods between the first and last turn); the one turn of a parabola or bell as the middle between its arms where
    they are steepest, each off by a pixel across it (so a flat turn is refused); a slope by the tilt of the visible
    segment when one end is off by a pixel across it; a bell's variance by its width at ±2 σ, w² / 16. These are the
    same for each member and so stay in the mean. Sums of many readings have independent errors, added in squares: areas
    one per tick of the length and one for each end, variance and correlations one per coordinate of each point
    (Pearson's formula serves the rank coefficients, which are of the same order). Counts and equations: None (R5 and R6
    decide).
    """
    if prop in COUNTS or prop == "equation":
        return None
    error = error_per_pixel(spec, prop)
    pixels = float(Fraction(q)) / 2 / error if error > 0 else math.inf
    if pixels < READING:
        raise Refused(
            "R2", f"half of {q} is a reading of {pixels:.3f} px at width {layout.SMALLEST_WIDTH}, under .5"
        )
    return min(pixels, 1e6)


def inside_frame(spec: Spec, prop: str) -> float | None:
    """R3: what is asked about lies at least 2 % of each axis inside the frame.

    Intercepts, stationary points, peaks: the place, which must also be 2 % of the axis inside the curve's own domain.
    Sines: the heights of crests and troughs; phase shift: the rising crossing. Bell variance: peak and, along x, ±2 σ
    (these inside the domain too). Gradient: the middle of the visible segment. Extremes, extents, areas and all
    questions about data: everything that is drawn. Equations may be cut by the frame: None.
    """
    if prop == "equation":
        return None
    x0, x1, y0, y1 = limits(spec)
    width, height = x1 - x0, y1 - y0
    least = math.inf
    for member in asked(spec):
        if prop in WHOLE or member["family"] == "points":
            left, right, bottom, top = bounds(member)
            near = min((left - x0) / width, (x1 - right) / width, (bottom - y0) / height, (y1 - top) / height)
        elif prop in SINE:
            amplitude, level = abs(float(member["A"])), float(member["v"])
            near = min(level - amplitude - y0, y1 - level - amplitude) / height
        elif prop == "gradient":
            a, b = visible_line(member, (x0, x1, y0, y1))
            near = (b - a) / 2 / width
        else:
            a, b = (float(end) for end in member["domain"])
            near = math.inf
            for x, y in features(member, prop):
                near = min(near, (x - x0) / width, (x1 - x) / width, (y - y0) / height, (y1 - y) / height)
                near = min(near, (x - a) / width, (b - x) / width)
            if prop == "variance":
                mu, reach = float(member["mu"]), 2 * math.sqrt(float(member["var"]))
                near = min(
                    near,
                    (mu - reach - max(a, x0)) / width + INSIDE,
                    (min(b, x1) - mu - reach) / width + INSIDE,
                )
        if near < INSIDE - 1e-9:
            raise Refused(
                "R3", f"{prop} of a {member['family']} is {100 * near:.1f} % inside the frame, under 2 %"
            )
        least = min(least, near)
    return least


def visible(spec: Spec, task: str, prop: str) -> float | None:
    """R4: members differ in colour, and each curve is seen.

    Colours (CIELAB, ΔE of 1976): at least 20 between any two members and from every grey (the chroma), so that half
    covered pixels of axes and grid are no curve. Curves at 600 px: the centre line of each lies under the strokes of
    later ones for at most 30 % of its visible length; no later stroke comes within 2 px of the place asked about
    (intercept, stationary point, peak, the extremes and ends of a smooth curve); of a sine one crest and one trough
    must be free so (two turns for the period). Distances to a curve are to its tangent at the same x. The one black
    line of Transforms is exempt from the colours, and instead must not lie on the black x-axis for more than 30 %.
    """
    members, style = spec["members"], spec["style"]
    margin: float | None = None
    if task != "transform":
        margin = colour_difference(tuple(style["colours"][: len(members)])) - COLOURS_APART
        if margin < 0:
            raise Refused(
                "R4", f"colours {style['colours']} are {margin + COLOURS_APART:.1f} ΔE apart, under 20"
            )
    curves = [k for k, member in enumerate(members) if member["family"] != "points"]
    if not curves or (len(curves) == 1 and task != "transform"):
        return margin
    if len(curves) > 1:
        reason = what_covers_a_feature(spec, curves, prop)
        if reason:
            raise Refused("R4", reason)
    worst = float(covered_shares(spec, curves, task).max())
    if worst > COVERED:
        raise Refused("R4", f"{100 * worst:.0f} % of a curve is covered, over 30 %")
    return COVERED - worst


def points_apart(spec: Spec, prop: str) -> float | None:
    """R5: markers can be told apart.

    For counting, centres at least 1.5 diameters apart (of the circle around a marker). Elsewhere at most 10 % of all
    markers in the picture are overlapped, that is have another marker's centre within their radius (then two fifths of
    a round one are hidden).
    """
    groups = [k for k, member in enumerate(spec["members"]) if member["family"] == "points"]
    if not groups:
        return None
    style = spec["style"]
    across, up = per_unit(spec, layout.WIDTH)
    placed = [points(spec["members"][k]) for k in groups]
    diameters = [float(style["sizes"][k]) * layout.POINT for k in groups]
    if prop == "number-of-points":
        diameters = [
            size * MARKER_EXTENTS.get(style["markers"][k], 1.0)
            for k, size in zip(groups, diameters, strict=True)
        ]
    where = np.concatenate([np.stack([x * across, y * up], axis=1) for x, y in placed])
    size = max(diameters)
    if prop == "number-of-points":
        apart = nearest_points(where) / size
        if apart < COUNT_APART:
            raise Refused("R5", f"two of the points to count are {apart:.2f} diameters apart, under 1.5")
        return min(apart - COUNT_APART, 1e6)
    from scipy.spatial import cKDTree

    pairs = cKDTree(where).query_pairs(size / 2, output_type="ndarray")
    share = len(np.unique(pairs.min(axis=1))) / len(where) if len(pairs) else 0.0
    if share > OVERLAPPED:
        raise Refused("R5", f"{100 * share:.0f} % of the points are overlapped, over 10 %")
    return OVERLAPPED - share


def distinct(spec: Spec, prop: str) -> float | None:
    """R6: no other answer in the same form draws the same picture: each leaves the curve by 1 px (336 wide) somewhere.

    Equations: every polynomial of the degree whose integer coefficients differ, in powers of x about the middle of the
    visible part, by at most 2 (lines and parabolas 4), and every sine with a and d up to 2 away, b from 1 to 10 and c
    from 0 to 6. Phase shift: one more and one less. The distance is to the drawn curve's tangent at the same x, over
    the visible part. Other properties ask for one number, which R2 decides: None.
    """
    if prop not in ("equation", "phase-shift"):
        return None
    member = asked(spec)[0]
    x, y, across, up = visible_part(spec, member)
    if len(x) < 9:
        raise Refused("R6", "hardly any of the curve is inside the frame")
    if member["family"] == "polynomial":
        far = nearest_polynomial(x, y, len(member["coefficients"]) - 1, across, up)
    elif member["family"] == "sine-equation":
        far = nearest_sine(x, y, [float(member[key]) for key in "abcd"], across, up)
    else:
        lean = tangent_factor(x, y, across, up)
        far = math.inf
        for shift in (-1.0, 1.0):
            gap = np.abs(values(member, x - shift) - y) * up * lean
            far = min(far, float(gap.max()))
    if far < DIFFERENT:
        raise Refused("R6", f"another answer draws within {far:.2f} px of the curve everywhere")
    return far


def well_posed(spec: Spec, prop: str) -> float | None:
    """R7: the question has one answer.

    A sine shows at least 1.5 periods inside the frame, with A, T > 0 (phase shift: 0 ≤ h < T; equation: a, b > 0 and
    0 ≤ c < 2π). |m| ≥ .2 for an x-intercept, and for a gradient that operations turn on its side. A cubic's turning
    values are 8 % of the axis apart and p < r. The area of a moved curve needs a function of x: where x and y change
    places the curve must be strictly monotone. Leading coefficients are not 0. Variances and correlations need points
    that differ in x and in y.
    """
    x0, x1, y0, y1 = limits(spec)
    least: float | None = None
    swaps = bool(spec["operations"]) and moving_of(spec).swaps
    for member in asked(spec):
        name = member["family"]
        margin: float | None = None
        if name in ("sine", "sine-equation"):
            margin = _sine_margin(member, prop, x0, x1)
        elif name == "line" and (prop == "x-intercept" or (prop == "gradient" and swaps)):
            margin = abs(float(member["m"])) - STEEP
            if margin < -1e-12:
                raise Refused("R7", f"a slope of {member['m']} is under .2")
        elif name == "cubic" and prop == "stationary-points":
            s, p, r = (float(member[key]) for key in "spr")
            margin = abs(s) * (r - p) ** 3 / 2 / (y1 - y0) - TURN_APART
            if margin < -1e-12 or p >= r:
                raise Refused(
                    "R7", f"turning values {100 * (margin + TURN_APART):.1f} % of the axis apart, under 8 %"
                )
        elif name == "polynomial" and prop == "equation":
            if int(member["coefficients"][0]) == 0:
                raise Refused("R7", "the leading coefficient is 0")
            margin = 0.0
        elif name == "points" and (prop in CORRELATIONS or prop == "variance"):
            if len(set(member["y"])) < 2 or (prop in CORRELATIONS and len(set(member["x"])) < 2):
                raise Refused("R7", f"{prop} of points at one place")
            margin = 0.0
        if prop in AREAS and swaps:
            if not monotone(member):
                raise Refused("R7", "the moved curve has more than one y at an x")
            margin = 0.0
        if margin is not None:
            least = margin if least is None else min(least, margin)
    return least


def beats_runner_up(spec: Spec, prop: str) -> float | None:
    """R8: a maximum (minimum) is at least 1 px, 336 wide, beyond the runner-up.

    The runner-up is the next highest end or turning place of the same curve that is not joined to the extreme by a flat
    stretch, or the next highest point. Through operations the extreme is that of the drawn axis it comes from; where
    that is x, the runner-up of a curve is its other end. Other properties do not depend on where an extreme is: None.
    """
    if prop not in ("maximum", "minimum"):
        return None
    axis, sign = "y", 1.0 if prop == "maximum" else -1.0
    if spec["operations"]:
        moving = moving_of(spec)
        axis = "x" if moving.swaps else "y"
        sign *= -1.0 if (moving.yx if moving.swaps else moving.yy) < 0 else 1.0
    across, up = per_unit(spec, layout.SMALLEST_WIDTH)
    least = math.inf
    for member in asked(spec):
        if axis == "x":
            left, right, _, _ = bounds(member)
            lead = (right - left) * across
        else:
            heights = sorted((sign * height for height in turning_heights(member)), reverse=True)
            lead = (heights[0] - heights[1]) * up if len(heights) > 1 else math.inf
        if lead < RUNNER_UP:
            raise Refused("R8", f"the {prop} is {lead:.2f} px beyond the runner-up, under 1")
        least = min(least, lead)
    return min(least, 1e6)


def not_printed(spec: Spec) -> float:
    """R9: the answer is not printed as such: the picture has no text but the numbers at ticks and the axes' names.

    (A number at a tick may equal the answer: reading a place off an axis is the question. R3 keeps limits and extremes
    apart.) Checked by name: no key of the specification or its style is one that could carry a title, legend or note,
    and the style's `labels`, if any, are names of axes: x, y, f(x).
    """
    if not set(spec["style"].get("labels", ())) <= AXIS_NAMES:
        raise Refused("R9", f"labels {spec['style']['labels']} are more than names of axes: x, y, f(x)")
    unknown = sorted((set(spec) - SPEC_KEYS) | (set(spec["style"]) - STYLE_KEYS))
    if unknown:
        raise Refused("R9", f"the picture may print more than its axes: {', '.join(unknown)}")
    return 0.0


def _short(parts: Sequence[Fraction | float]) -> str:
    return ", ".join(f"{float(part):.4f}" for part in parts)


def _sine_margin(member: Member, prop: str, x0: float, x1: float) -> float:
    a, b = (float(end) for end in member["domain"])
    if member["family"] == "sine":
        size, period, phase = float(member["A"]), float(member["T"]), float(member["h"])
        turn = period if prop == "phase-shift" else math.inf
    else:
        size, phase, turn = float(member["a"]), float(member["c"]), 2 * math.pi
        period = 2 * math.pi / float(member["b"]) if float(member["b"]) > 0 else 0.0
    one_way = size > 0 and period > 0 and (turn == math.inf or 0 <= phase < turn)
    if not one_way:
        raise Refused("R7", "the sine can be written in another way")
    shown = (min(b, x1) - max(a, x0)) / period
    if shown < PERIODS - 1e-9:
        raise Refused("R7", f"{shown:.2f} periods are shown, under 1.5")
    return shown - PERIODS

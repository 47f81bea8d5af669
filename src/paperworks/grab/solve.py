"""Answer first: the parameters of a picture whose property has a given value.

The wanted value t is the answer plus a part of its precision. Where a question asks for a mean over n members, n
values are drawn in the property's range, moved so that their mean is t and, if one leaves the range, contracted about
t; so the answers have the same distribution for every n. One free choice after another is drawn, and the last
parameter is solved for. All of it is a choice of ours: the paper's generator is not published.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from paperworks.grab import solve_curves as curves
from paperworks.grab import solve_smooth as smooth
from paperworks.grab.datasets import data
from paperworks.grab.design import Slot, find_cell
from paperworks.grab.draws import Draws
from paperworks.grab.rules import Refused
from paperworks.grab.solve_common import CLEARINGS, FIXED_AXES, Member, Spec, spec_of
from paperworks.grab.solve_properties import solve_property
from paperworks.grab.solve_smooth import slopes
from paperworks.grab.solve_transforms import solve_transform

INTERCEPTS_APART = 14
"""Hundredths between intercepts of functions on one picture: 3.5 px of 600."""
FREE = 0.13
"""Distance of a curve from places asked about: 2 px and half a stroke of a picture 600 wide."""
CONTRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.0)

# Range of a member's value in Functions, at least as wide as that of the answer (hundredths).
_FUNCTION_VALUES: dict[str, tuple[int, int]] = {
    "x-intercept": (-960, 960),
    "y-intercept": (-960, 960),
    "gradient": (-540, 540),
    "stationary-point": (-920, 920),
    "function-mean": (-920, 920),
    "amplitude": (60, 450),
    "period": (260, 1240),
    "vertical-shift": (-550, 550),
    "variance": (60, 450),
    "net-area": (-10500, 10500),
    "total-area": (60, 9500),
    "maximum": (-750, 950),
    "minimum": (-950, 750),
    "domain-length": (400, 1920),
    "range-span": (40, 1850),
}
_SERIES_VALUES: dict[str, tuple[int, int]] = {
    "pearson": (-80, 80),
    "spearman": (-80, 80),
    "kendall": (-70, 70),
    "mean": (-850, 850),
    "median": (-850, 850),
    "interquartile-range": (30, 1100),
    "variance": (30, 4500),
    "maximum": (-800, 950),
    "minimum": (-950, 800),
    "domain-length": (450, 1920),
    "range-span": (40, 1920),
}


def target(answer: Fraction, slot: Slot, draws: Draws, *, legacy: bool = False) -> Fraction:
    """The wanted value: the answer plus u of its precision, u uniform within ±.30; 0 where they are integers."""
    if slot.property in (
        "stationary-points",
        "phase-shift",
        "equation",
        "number-of-points",
        "number-of-series",
    ):
        return answer
    step = {"10": Fraction(1, 10), "1": Fraction(1, 100), "0.1": Fraction(1, 100)}[slot.quantum]
    most = int(Fraction(slot.quantum) * (Fraction(49, 100) if legacy else Fraction(3, 10)) / step)
    low = -most
    if find_cell(slot.task, slot.property).ranges[slot.quantum][0] >= 0 and answer == 0:
        low = 0
    return answer + draws.integer(low, most) * step


def spread(mean: Fraction, count: int, span: tuple[int, int], draws: Draws, gap: int = 0) -> list[int]:
    """`count` values in hundredths within `span`, `gap` or more apart, whose mean is `mean` (a multiple of .01).

    Values are drawn in the span and moved to the mean; while one leaves it they are contracted about the mean, down
    to `gap` apart. Raises `Refused` where even that does not fit.
    """
    low, high = span
    wanted = int(mean * 100)
    half = -(-gap * (count - 1) // 2)
    if not low + half <= wanted <= high - half:
        raise Refused(
            "range", f"a mean of {float(mean):g} over {count} is too near {low / 100:g} or {high / 100:g}"
        )
    if count == 1:
        return [wanted]
    drawn = [draws.integer(low + half, high - half) for _ in range(count)]
    if gap:
        drawn.sort()
    centre = sum(drawn) / count
    for contraction in CONTRACTIONS:
        values = [
            wanted + round((value - centre) * contraction + gap * (place - (count - 1) / 2))
            for place, value in enumerate(drawn)
        ]
        # What rounding left over goes to the value where it keeps the gaps.
        values[-1 if sum(values) < count * wanted else 0] += count * wanted - sum(values)
        if min(values) >= low and max(values) <= high:
            break
    else:
        raise Refused(
            "range", f"no {count} values of mean {float(mean):g} from {low / 100:g} to {high / 100:g}"
        )
    if gap:
        draws.shuffle(values)
    return values


def solve(slot: Slot, answer: Any, wanted: Fraction, draws: Draws, *, legacy: bool = False) -> Spec:
    """A spec without style whose property is `wanted` (for pairs and equations: `answer`).

    Raises `Refused` where the draws of this attempt do not lead there.
    """
    if slot.task == "transform":
        return solve_transform(slot, wanted, draws, legacy)
    if slot.task == "series":
        return _series(slot, wanted, draws)
    if slot.task == "function":
        return _functions(slot, wanted, draws)
    return solve_property(slot, answer, wanted, draws, legacy)


def _functions(slot: Slot, wanted: Fraction, draws: Draws) -> Spec:
    name = slot.property
    gap = INTERCEPTS_APART if name in ("x-intercept", "y-intercept") else 0
    values = spread(wanted, slot.complexity + 1, _FUNCTION_VALUES[name], draws, gap)
    build = _BUILDERS[name]
    members: list[Member] = []
    drawn: list[_Drawn] = []
    for value in values:
        member, mine = _drawn_member(build, value, name, draws)
        for _ in range(CLEARINGS):
            if _clear(mine, drawn) and not _along(member, members):
                break
            member, mine = _drawn_member(build, value, name, draws)
        members.append(member)
        drawn.append(mine)
    return spec_of(members, FIXED_AXES)


class _Drawn(NamedTuple):
    """What is needed of a curve to see whether another one touches the places asked about."""

    first: float
    last: float
    height: Callable[[float], float] | None
    places: list[tuple[float, float]]


def _drawn_member(
    build: Callable[[int, Draws], Member], value: int, prop: str, draws: Draws
) -> tuple[Member, _Drawn]:
    member = build(value, draws)
    if member["family"] == "sine":  # the rules look at its crests and troughs
        return member, _Drawn(0.0, 0.0, None, [])
    ends = member["x"] if member["family"] == "smooth" else member["domain"]
    return member, _Drawn(float(ends[0]), float(ends[-1]), _height(member), _places(member, prop))


def _places(member: Member, prop: str) -> list[tuple[float, float]]:
    """The places that other curves must not touch: those asked about, and both ends of a smooth curve."""
    family = member["family"]
    if family == "line":
        m, k = float(member["m"]), float(member["k"])
        if prop == "x-intercept":
            return [(-k / m, 0.0)]
        return [(0.0, k)] if prop == "y-intercept" else []
    if family == "parabola":
        return [(float(member["h"]), float(member["v"]))]
    if family == "bell":
        return [(float(member["mu"]), float(member["s"]))]
    x, y = ([float(value) for value in member[key]] for key in "xy")
    low, high = min(range(len(y)), key=y.__getitem__), max(range(len(y)), key=y.__getitem__)
    asked = {"maximum": (high,), "minimum": (low,), "range-span": (low, high)}.get(prop, ())
    return [(x[k], y[k]) for k in {0, len(x) - 1, *asked}]


def _clear(mine: _Drawn, others: Sequence[_Drawn]) -> bool:
    """Whether a curve keeps `FREE` away from the places of those under it, and if smooth, they from its own."""
    both = len(mine.places) > 1
    return all(_free(mine, other.places) and not (both and not _free(other, mine.places)) for other in others)


def _free(curve: _Drawn, places: Sequence[tuple[float, float]]) -> bool:
    height = curve.height
    if height is None:
        return True
    for x, y in places:
        if not curve.first - FREE <= x <= curve.last + FREE:
            continue
        at = height(x)
        if abs(at - y) > 6:
            continue
        slope = (height(x + 0.02) - height(x - 0.02)) / 0.04
        if abs(at - y) < FREE * math.sqrt(1 + slope * slope):
            return False
    return True


def _along(member: Member, others: Sequence[Member]) -> bool:
    """Whether a line runs along another one for much of its length."""
    if member["family"] != "line":
        return False
    m, k = float(member["m"]), float(member["k"])
    for other in others:
        n, j = float(other["m"]), float(other["k"])
        # Covered where |(m - n) x + k - j| is under a stroke.
        if abs(m - n) < 0.06 and abs(k - j) < 0.3 + 3 * abs(m - n):
            return True
    return False


def _height(member: Member) -> Callable[[float], float]:
    """y as a function of one float."""
    family = member["family"]
    if family == "smooth":
        x, y = ([float(value) for value in member[key]] for key in "xy")
        d = slopes(x, y)

        def smooth_height(place: float) -> float:
            k = min(max(bisect_right(x, place) - 1, 0), len(x) - 2)
            h, u = x[k + 1] - x[k], place - x[k]
            chord = (y[k + 1] - y[k]) / h
            c, e = (3 * chord - 2 * d[k] - d[k + 1]) / h, (d[k] + d[k + 1] - 2 * chord) / (h * h)
            return y[k] + u * (d[k] + u * (c + u * e))

        return smooth_height
    one, two, three = (float(member[key]) for key in _SHAPE[family])
    if family == "line":
        return lambda x: one * x + two
    if family == "parabola":
        return lambda x: one * (x - two) ** 2 + three
    return lambda x: one * math.exp(-((x - two) ** 2) / (2 * three))


_SHAPE = {"line": ("m", "k", "k"), "parabola": ("a", "h", "v"), "bell": ("s", "mu", "var")}


_BUILDERS: dict[str, Callable[[int, Draws], Member]] = {
    "x-intercept": curves.x_intercept,
    "y-intercept": curves.y_intercept,
    "gradient": curves.gradient,
    "stationary-point": curves.stationary_point,
    "function-mean": curves.function_mean,
    "amplitude": curves.amplitude,
    "period": curves.period,
    "vertical-shift": curves.vertical_shift,
    "variance": curves.bell_variance,
    "net-area": smooth.net_area,
    "total-area": smooth.total_area,
    "maximum": smooth.maximum,
    "minimum": smooth.minimum,
    "domain-length": smooth.domain_length,
    "range-span": smooth.range_span,
}


def _series(slot: Slot, wanted: Fraction, draws: Draws) -> Spec:
    count = slot.complexity + 1
    values = spread(wanted, count, _SERIES_VALUES[slot.property], draws)
    most = max(16, 60 - 5 * slot.complexity)
    members: list[Member] = []
    for value in values:
        least = 12
        if slot.property == "variance" and slot.quantum == "0.1":  # R2: 2 √(variance / n) under .1 of 14.2 px
            least = min(60, 12 + math.ceil(2.1 * value / 100 / count))
        members.append(
            data(
                slot.property,
                Fraction(value, 100),
                slot.quantum,
                draws,
                n=draws.integer(least, max(least, most)),
                limits=FIXED_AXES,
                others=members,
            )
        )
    return spec_of(members, FIXED_AXES)

"""When two figures are the same, could be taken for each other, or follow from one another.

The same: equal to the digits that the summary shows, in units that fit (`0.217` and 21.7 %, 190 ms and 0.19 s, three
times and a third). What follows: the difference, ratio, sum, relative change, share or product of two others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paperworks.papers.glossary import stem
from paperworks.papers.number_patterns import OTHER
from paperworks.papers.quantities import Quantity

MEASURED = {
    *(
        "time",
        "gpu time",
        "memory",
        "bit rate",
        "frequency",
        "frame rate",
        "work",
        "level",
        "power",
        "energy",
        "force",
    ),
    *(
        "charge",
        "voltage",
        "food energy",
        "pressure",
        "volume",
        "area",
        "speed",
        "rotation",
        "length",
        "mass",
        "angle",
    ),
    *("concentration", "temperature", "dollars", "won", "euros"),
}


def agrees(figure: Quantity, place: Quantity) -> bool:
    """Whether a figure of a summary is the source's figure: the same value as far as shown, in a unit that fits."""
    if figure.factors or place.factors:
        if figure.factors and place.factors:
            return figure.factors == place.factors
        sides = figure.factors or place.factors
        single = place if figure.factors else figure
        if len(sides) < 4 and math.isclose(math.prod(sides), single.value) and single.value >= 4:
            return True
        return (
            len(set(sides)) == 1 and single.value == sides[0] and single.unit.kind in ("", "pixels", "count")
        )
    if (figure.high is None) != (place.high is None):
        if figure.high is None and place.high is not None:
            end = place._replace(high=None, value=place.high)
            return agrees(figure, place._replace(high=None)) or agrees(figure, end)
        return False
    if figure.high is not None and place.high is not None:
        return agrees(figure._replace(high=None), place._replace(high=None)) and agrees(
            figure._replace(value=figure.high, high=None), place._replace(value=place.high, high=None)
        )
    if figure.spread is not None and (place.spread is None or not agrees(figure.spread, place.spread)):
        return False
    if figure.signed and place.signed and (figure.value < 0) != (place.value < 0):
        return False
    return any(_equal(figure, mine, theirs, step) for mine, theirs, step in _scales(figure, place))


def _scales(figure: Quantity, place: Quantity) -> Iterable[tuple[float, float, float]]:
    """The pairs of values that may be compared, `(figure, place, the place's step)`; none where the units differ."""
    mine, theirs = figure.unit, place.unit
    a, b, step = abs(figure.value), abs(place.value), place.step
    kinds = {mine.kind, theirs.kind}
    if mine.kind == theirs.kind:
        if mine.kind == "count" and mine.thing and theirs.thing and not same_thing(mine.thing, theirs.thing):
            return
        if mine.factor == theirs.factor:
            yield a, b, step
        else:
            ratio = theirs.factor / mine.factor
            yield a, b * ratio, step * ratio
        return
    if kinds == {"percent", "fraction"} or kinds == {"percent", ""}:
        if mine.kind == "percent" and theirs.kind != "percent":
            if b <= 1.5:
                yield a, b * 100, step * 100
        elif mine.kind != "percent" and a <= 1.5:
            yield a, b / 100, step / 100
    if kinds == {"fraction", "times"} and (
        (theirs.kind == "times" and b) or (theirs.kind == "fraction" and b)
    ):
        yield a, 1 / b, step / b**2
    if kinds == {"times", "percent"} or kinds == {"points", "percentage points"}:
        if kinds == {"points", "percentage points"}:
            yield a, b, step
        return
    if kinds == {"times", "count"} and not (mine.thing or theirs.thing):
        yield a, b, step  # `16 times` is sixteen occasions too
        return
    if kinds == {"time", "gpu time"} and mine.factor == theirs.factor:
        yield a, b, step  # `H100 3,200시간`: the devices are named beside the hours
        return
    if "" in kinds or kinds == {"percent", "points"}:
        if kinds == {"percent", "points"} and "point" in (mine.name, theirs.name):
            return
        if kinds == {"percent", "points"} and _is_difference(figure, place):
            return
        if MEASURED & kinds - {"level"}:
            return  # a measure without its unit is none; a table's column gives it
        if mine.kind == "count" and not theirs.kind and step < 1 <= figure.step and not place.magnitude:
            return  # 3.0 is a score, not three of something
        if mine.kind == "percent" and not theirs.kind and b < 1 and step < 0.1:
            return  # a bare 0.79 is a ratio, no 0.79 %
        yield a, b, step


def _is_difference(figure: Quantity, place: Quantity) -> bool:
    """`4.6 points` says a difference; `점` may be a score."""
    return not ({figure.unit.name, place.unit.name} & {"점"})


_SYNONYMS = (
    {"image", "sample", "frame", "document", "scene", "object"},
    {"video", "sample"},
    {"question", "sample", "task", "sentence"},
    {"sentence", "sample", "word"},
    {"class", "task", "object", "language", "data set"},
    {"robot", "device", "agent", "class", "task"},
    {"document", "sample", "answer"},
    {"step", "epoch", "stage"},
    {"model", "agent", "expert"},
    {"person", "expert"},
    {"turn", "step", "answer"},
    {"answer", "sample"},
    {"layer", "step"},
    {"dimension", "parameter", "head"},
)


_COUNTERS = {"장", "명", "건", "편", "쌍", "곳", "대", "권", "회", "마리"}
_DEFINITE = {"parameter", "token", "layer", "step", "epoch", "head", "dimension", "device"}


def same_thing(a: str, b: str) -> bool:
    if OTHER in (a, b):
        return not {a, b} & _DEFINITE
    return a == b or any(a in group and b in group for group in _SYNONYMS)


def _equal(figure: Quantity, mine: float, theirs: float, step: float) -> bool:
    """Whether `theirs` is `mine` to the digits that the figure shows."""
    if math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-15):
        return True
    if mine == 0 or theirs == 0:
        return False
    shown = figure.step
    if shown < step * 0.999:
        return False  # more digits than the source has
    relative = abs(mine - theirs) / theirs
    limit = (
        0.06
        if figure.about
        else 0.05
        if figure.magnitude or shown < 1 or figure.unit.kind == "fraction"
        else 0.025
    )
    if figure.word and figure.unit.kind == "fraction":
        return relative <= 0.06
    if figure.about and relative <= 0.05:
        return True
    room = 0.25 if figure.unit.kind == "fraction" else 0.12 if len(figure.digits) < 2 else 0.06
    if figure.bound and 0 <= figure.bound * (theirs - mine) / mine <= room and len(figure.digits) < 3:
        return True
    return abs(mine - theirs) <= shown / 2 * (1 + 1e-9) and relative <= limit


def comparable(a: Quantity, b: Quantity) -> bool:
    """Whether two figures could be taken for each other: the same kind of unit."""
    kinds = {a.unit.kind, b.unit.kind}
    counted = a.unit.thing == b.unit.thing != ""
    if a.magnitude != b.magnitude or (a.word != b.word and not (counted or kinds & {"times", "fraction"})):
        return False
    low, high = sorted((abs(a.base), abs(b.base)))
    if not low or high / low > (200 if "" in kinds else 2e4 if kinds <= MEASURED - {"time"} else 1000):
        return False
    if kinds == {""} and (a.step < 1) != (b.step < 1) and high / low > 3:
        return False
    if kinds == {"count"}:
        if {a.unit.thing, b.unit.thing} & _DEFINITE and {a.unit.name, b.unit.name} & _COUNTERS:
            return False
        return not (a.unit.thing and b.unit.thing) or same_thing(a.unit.thing, b.unit.thing)
    if len(kinds) == 1:
        return True
    if kinds == {"count", ""}:
        return min(a.step, b.step) >= 1 and low >= 10
    if kinds == {"points", ""}:
        return "점" in (a.unit.name, b.unit.name) or (a.step < 1 and b.step < 1)
    if kinds <= {"percent", ""}:
        return (a.step < 1) == (b.step < 1)
    return kinds <= {"points", "percentage points"}


def alike(a: Quantity, b: Quantity) -> bool:
    """Whether two figures are comparable and, where they are counts, of the same things as their nouns say."""
    if {a.unit.kind, b.unit.kind} == {"count", ""} or not comparable(a, b):
        return False
    if OTHER in (a.unit.thing, b.unit.thing):
        return a.unit.thing == b.unit.thing and stem(a.unit.name) == stem(b.unit.name)
    return True


def mistakable(a: Quantity, b: Quantity) -> bool:
    """Whether a slip turns one into the other: another magnitude of the same unit, or another unit of its family."""
    same_value = math.isclose(abs(a.value), abs(b.value), rel_tol=1e-9)
    if a.unit.kind == b.unit.kind:
        if (
            a.unit.kind == "count"
            and a.unit.thing
            and b.unit.thing
            and not same_thing(a.unit.thing, b.unit.thing)
        ):
            return False
        low, high = sorted((abs(a.base), abs(b.base)))
        return low > 0 and high / low < 2e5
    return same_value and {a.unit.kind, b.unit.kind} <= {"percent", "points", "percentage points"}


# figures that follow from two others


def pairs_of(figures: Sequence[Quantity]) -> Iterable[tuple[Quantity, Quantity]]:
    for i in range(len(figures)):
        for j in range(i + 1, min(i + 12, len(figures))):
            a, b = figures[i], figures[j]
            if a.high is None and b.high is None and not a.factors and not b.factors:
                yield a, b


def derivation(figure: Quantity, a: Quantity, b: Quantity, *, column: bool = False) -> str:
    """How `figure` follows from `a` and `b`: "difference", "ratio", "sum", "relative change" …, or empty.

    `column`: they stand in one column of a table, so that one may be a share of the other.
    """
    kinds = {a.unit.kind, b.unit.kind}
    if (
        (
            kinds == {"count"}
            and a.unit.thing != b.unit.thing
            and figure.unit.kind in ("count", "")
            and figure.value >= 8
        )
        and min(a.value, b.value) >= 2
        and math.isclose(a.value * b.value, figure.value, rel_tol=1e-9)
    ):
        return "product"
    if figure.unit.kind == "gpu time" and kinds == {"time", "count"}:
        hours, count = (a, b) if a.unit.kind == "time" else (b, a)
        return "product" if math.isclose(hours.base * count.value, figure.base, rel_tol=1e-6) else ""
    if "percent" in kinds and len(kinds) == 2 and not kinds & {"", "points", "percentage points"}:
        share, whole = (a, b) if a.unit.kind == "percent" else (b, a)
        part = whole.base * share.value / 100
        same = figure.unit.kind == whole.unit.kind and share.digits != "1" and len(figure.digits) > 1
        if (
            same
            and figure.value > 1
            and abs(figure.base - part) <= max(figure.step * figure.unit.factor / 2, 1e-9)
        ):
            return "share"
        return ""
    if len(kinds) > 1 and (kinds not in ({"percent", ""}, {"points", ""}) or min(a.value, b.value) < 1):
        return ""
    if a.unit.thing and b.unit.thing and not same_thing(a.unit.thing, b.unit.thing):
        return ""
    if a.unit.thing == OTHER == b.unit.thing and stem(a.unit.name) != stem(b.unit.name):
        return ""
    x, y = abs(a.base), abs(b.base)
    if x == y or not x or not y:
        return ""
    low, high = min(x, y), max(x, y)
    value, kind = abs(figure.value), figure.unit.kind
    error = (a.step * a.unit.factor + b.step * b.unit.factor) / 2

    def near(expected: float, slack: float) -> bool:
        return abs(value - expected) <= figure.step / 2 * (1 + 1e-6) + slack

    ratio = high / low
    about_ratio = ratio * (a.step * a.unit.factor / x + b.step * b.unit.factor / y) / 4
    slack = min(about_ratio, 0.03 * ratio)
    if figure.bound and kind in ("times", "fraction"):
        expected = ratio if kind == "times" or value > 1 else 1 / ratio
        if 0 <= figure.bound * (expected - value) / value <= 0.4:
            return "ratio"
    if kind == "times":
        if near(ratio, slack) or (figure.about and abs(value / ratio - 1) < 0.08):
            return "ratio"
        return ""
    if kind == "fraction":
        if abs(value * ratio - 1) < 0.08:
            return "ratio"
        change = (high - low) / high
        return "relative change" if abs(value / change - 1) < 0.06 else ""
    same_unit = kind in kinds or kind == "" or kinds <= {"", kind}
    two_digits = figure.value >= 10 or figure.step < 1 or figure.about
    if kind == "percent":
        rate = 100 * (high - low)
        if (near(rate / low, min(50 * error / low, 0.3)) and two_digits) or (
            near(rate / high, min(50 * error / high, 0.3)) and two_digits
        ):
            return "relative change"
        if (
            near(100 * low / high, 0.05)
            and len(kinds) == 1
            and (column or kinds != {"percent"})
            and two_digits
        ):
            return "share"
        if kinds <= {"percent"} and near(low + high, 0.0) and two_digits:
            return "sum"
        return ""
    if kind in ("points", "percentage points"):
        if kinds <= {"percent", "points", "percentage points", ""} and near(high - low, 1e-9):
            return "difference"
        return ""
    if not same_unit:
        return ""
    value = abs(figure.base)
    step = min(figure.step * figure.unit.factor, 0.1 * value)
    if (kind and kinds == {kind}) or not kind or kind == "count":
        if abs(value - (high - low)) <= step / 2 * (1 + 1e-6) and (two_digits or kind not in ("", "count")):
            return "difference"
        if abs(value - (high + low)) <= step / 2 * (1 + 1e-6) and (two_digits or kind not in ("", "count")):
            return "sum"
    return ""


def powers_of_ten(a: float, b: float) -> int:
    """The power of ten between two values of the same digits, at most six; 0 where it is none."""
    ratio = abs(a / b) if b else 0.0
    power = round(math.log10(ratio)) if ratio > 0 else 0
    return power if abs(power) <= 6 and math.isclose(ratio, 10.0**power, rel_tol=1e-9) else 0

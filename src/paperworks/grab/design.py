"""The structure of the benchmark: which questions there are, how many, at which precision and complexity.

The counts are those of the official question file (2,170 questions in 58 cells of task and property); every
complexity has the same number of questions (71 functions, 49 series, 31 transforms). The ranges of answers follow the
official answers, narrowed where an answer could not be read inside the frame (a choice of ours).
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

from paperworks.errors import InputError

Scale = Literal["paper", "lite", "small"]

TASKS = ("properties", "function", "series", "transform")
"""The values of `task` in the official file."""

COMPLEXITIES = tuple(range(10))
"""Functions and series: the number drawn less one. Transforms: the number of operations. Properties have only 0."""

INTERCEPTS, STATIONARY = "Intercepts and Gradients", "Stationary Points"
TRIGONOMETRIC, FUNCTIONS, COUNTING = "Trigonometric", "Functions", "Counting"
CORRELATION, AREA, SPREAD = "Correlation", "Area Bounded", "Measures of Spread"
EXTREMA, RANGE = "Extrema", "Range"

CATEGORIES = {
    INTERCEPTS: ("x-intercept", "y-intercept", "gradient"),
    STATIONARY: ("stationary-point", "stationary-points", "function-mean"),
    TRIGONOMETRIC: ("amplitude", "period", "vertical-shift", "phase-shift"),
    FUNCTIONS: ("equation",),
    COUNTING: ("number-of-points", "number-of-series"),
    CORRELATION: ("pearson", "spearman", "kendall"),
    AREA: ("net-area", "total-area"),
    SPREAD: ("mean", "median", "interquartile-range", "peak", "variance"),
    EXTREMA: ("maximum", "minimum"),
    RANGE: ("domain-length", "range-span"),
}
"""The properties of each category, in the order of the paper's list."""

PROPERTIES = tuple(name for names in CATEGORIES.values() for name in names)
CATEGORY = {name: category for category, names in CATEGORIES.items() for name in names}

EQUATION_FORMS = ("line", "sine", "cubic", "quartic", "quadratic")
"""Forms of equation questions. The official file has 9, 8, 7, 4 and 2 of them."""
_FORM_COUNTS = (9, 8, 7, 4, 2)


@dataclass(frozen=True)
class Cell:
    """One task and property.

    `quanta`: precision -> how many of the `count` questions ask for it.
    `ranges`: precision -> (lowest, highest answer), multiples of the precision; for pairs, of either part.
    """

    task: str
    property: str
    category: str
    count: int
    quanta: Mapping[str, int]
    ranges: Mapping[str, tuple[Fraction, Fraction]]

    def range(self, quantum: str, complexity: int = 0) -> tuple[Fraction, Fraction]:
        """The lowest and the highest answer, both included.

        In transforms it grows with the number of operations: without one, an extreme cannot leave the drawn axes.
        """
        low, high = self.ranges[quantum]
        if self.task != "transform":
            return low, high
        return _reach(self.property, quantum, complexity, low, high)


@dataclass(frozen=True, order=True)
class Slot:
    """The place of one question: what it asks and which stratum of the answers it has.

    `place` of `of`: the question is number `place` of the `of` questions of its cell that share a range of answers.
    """

    task: str
    property: str
    index: int
    complexity: int
    quantum: str
    place: int
    of: int

    @builtins.property
    def id(self) -> str:
        """`task-property-index`, e.g. `series-mean-0007`."""
        return f"{self.task}-{self.property}-{self.index:04d}"


# Answers: property -> (low, high) at precision 1, and (low, high) at .1 where it differs (see `_cells`).
_Range = tuple[str, str]
_P: dict[str, tuple[int, str, _Range]] = {
    "x-intercept": (30, "1", ("-9", "9")),
    "y-intercept": (30, "1", ("-9", "9")),
    "gradient": (30, "1", ("-5", "5")),
    "stationary-point": (30, "1", ("-9", "9")),
    "stationary-points": (30, "1", ("-10", "10")),
    "amplitude": (30, "1", ("1", "10")),
    "period": (30, "1", ("1", "10")),
    "vertical-shift": (30, "1", ("-9", "9")),
    "phase-shift": (30, "1", ("0", "9")),
    "equation": (30, "1", ("-10", "10")),
    "number-of-points": (30, "1", ("15", "96")),
    "number-of-series": (30, "1", ("1", "12")),
    "pearson": (10, "0.1", ("-1", "1")),
    "spearman": (10, "0.1", ("-1", "1")),
    "kendall": (10, "0.1", ("-1", "1")),
    "net-area": (15, "10", ("-120", "120")),
    "total-area": (15, "10", ("10", "250")),
    "median": (30, "1", ("1", "17")),
    "interquartile-range": (30, "1", ("1", "35")),
    "peak": (30, "1", ("-9", "9")),
    "variance": (30, "1", ("1", "10")),
    "maximum": (30, "1", ("-2", "44")),
    "minimum": (30, "1", ("-45", "2")),
    "domain-length": (30, "1", ("10", "30")),
    "range-span": (30, "1", ("1", "77")),
}
# Questions, how many of them to one decimal place, range at 1, range at .1.
_F: dict[str, tuple[int, int, _Range, _Range]] = {
    "x-intercept": (50, 17, ("-9", "9"), ("-8.5", "8.5")),
    "y-intercept": (50, 17, ("-9", "9"), ("-8.5", "8.5")),
    "gradient": (50, 17, ("-5", "5"), ("-5", "5")),
    "stationary-point": (50, 16, ("-8", "7"), ("-8", "7")),
    "function-mean": (50, 16, ("-8", "8"), ("-8.9", "8.9")),
    "amplitude": (50, 17, ("1", "4"), ("0.7", "4")),
    "period": (50, 17, ("3", "12"), ("3", "12")),
    "vertical-shift": (50, 17, ("-5", "5"), ("-5", "5")),
    "net-area": (30, 0, ("-67", "89"), ("0", "0")),
    "total-area": (30, 0, ("1", "67"), ("0", "0")),
    "variance": (50, 17, ("1", "4"), ("0.8", "4")),
    "maximum": (50, 17, ("-7", "9"), ("-7", "9")),
    "minimum": (50, 17, ("-9", "7"), ("-9", "7")),
    "domain-length": (50, 17, ("5", "19"), ("5", "19")),
    "range-span": (50, 17, ("1", "17"), ("0.5", "17")),
}
_S: dict[str, tuple[int, int, _Range, _Range]] = {
    "pearson": (30, 30, ("0", "0"), ("-0.5", "0.5")),
    "spearman": (30, 30, ("0", "0"), ("-0.5", "0.5")),
    "kendall": (30, 30, ("0", "0"), ("-0.5", "0.5")),
    "mean": (50, 18, ("-8", "8"), ("-8", "8")),
    "median": (50, 18, ("-8", "8"), ("-8", "8")),
    "interquartile-range": (50, 17, ("1", "9"), ("0.5", "9")),
    "variance": (50, 17, ("1", "37"), ("0.5", "25")),
    "maximum": (50, 17, ("-7", "9"), ("-7", "9")),
    "minimum": (50, 17, ("-9", "7"), ("-9", "7")),
    "domain-length": (50, 17, ("5", "19"), ("5", "19")),
    "range-span": (50, 17, ("1", "19"), ("0.5", "19")),
}
_T: dict[str, tuple[int, int, _Range, _Range]] = {
    "gradient": (50, 18, ("-20", "20"), ("-20", "20")),
    "net-area": (30, 0, ("-150", "150"), ("0", "0")),
    "total-area": (30, 0, ("1", "150"), ("0", "0")),
    "maximum": (50, 18, ("-132", "105"), ("-132", "105")),
    "minimum": (50, 18, ("-132", "105"), ("-132", "105")),
    "domain-length": (50, 17, ("1", "150"), ("0.5", "150")),
    "range-span": (50, 17, ("1", "150"), ("0.5", "150")),
}


def _cells() -> tuple[Cell, ...]:
    cells = []
    for name, (count, quantum, span) in _P.items():
        cells.append(
            Cell("properties", name, CATEGORY[name], count, {quantum: count}, {quantum: _fractions(span)})
        )
    for task, table in (("function", _F), ("series", _S), ("transform", _T)):
        for name, (count, tenths, at_one, at_tenth) in table.items():
            quanta = {q: n for q, n in (("1", count - tenths), ("0.1", tenths)) if n}
            ranges = {q: _fractions(span) for q, span in (("1", at_one), ("0.1", at_tenth)) if q in quanta}
            cells.append(Cell(task, name, CATEGORY[name], count, quanta, ranges))
    return tuple(cells)


def _fractions(span: _Range) -> tuple[Fraction, Fraction]:
    return Fraction(span[0]), Fraction(span[1])


CELLS = _cells()
"""The 58 cells, 2,170 questions."""
_BY_NAME = {(cell.task, cell.property): cell for cell in CELLS}


def _reach(
    name: str, quantum: str, complexity: int, low: Fraction, high: Fraction
) -> tuple[Fraction, Fraction]:
    """The range of answers of a transform with `complexity` operations, within low … high (a choice of ours)."""
    if name == "gradient":
        bound = Fraction(5 + 5 * complexity)
    elif name in ("net-area", "total-area"):
        bound = Fraction(60 + 10 * complexity)
    elif name in ("maximum", "minimum"):
        bound = Fraction(9 + (12 if quantum == "1" else 5) * complexity)
    else:
        bound = Fraction(18 + (15 if quantum == "1" else 1) * complexity)
    return max(low, -bound), min(high, bound)


def find_task(name: str) -> str:
    """The official value of `task` for a name as people write it (plural, capital letters)."""
    wanted = name.strip().lower()
    for task in TASKS:
        stem = "propert" if task == "properties" else task
        if wanted in (task, stem + "s", stem + "y", task.rstrip("s"), task + "es"):
            return task
    raise InputError(f"no task {name!r}; tasks: {', '.join(TASKS)}")


def find_cell(task: str, prop: str) -> Cell:
    """The cell of a task and a property. `InputError` names what there is."""
    task = find_task(task)
    cell = _BY_NAME.get((task, prop.strip().lower().replace(" ", "-").replace("_", "-")))
    if cell is None:
        known = ", ".join(cell.property for cell in CELLS if cell.task == task)
        raise InputError(f"task {task} has no property {prop!r}; it has: {known}")
    return cell


def check_complexities(task: str, complexities: Iterable[int]) -> None:
    """`InputError` where a complexity is not one of the task."""
    allowed = (0,) if task == "properties" else COMPLEXITIES
    for complexity in complexities:
        if complexity not in allowed:
            said = "0" if task == "properties" else "0 to 9"
            raise InputError(f"task {task} has no complexity {complexity}; it has {said}")


def equation_form(index: int) -> str:
    """The form that equation question `index` asks for; of 30: 9 lines, 8 sines, 7 cubics, 4 quartics, 2 quadratics."""
    return _form_order()[index % 30]


@cache
def _form_order() -> tuple[str, ...]:
    """Each form spread evenly over 30 places (the place of its k-th question is (k + 1/2) / n)."""
    marks = [
        ((k + 0.5) / n, form) for form, n in zip(EQUATION_FORMS, _FORM_COUNTS, strict=True) for k in range(n)
    ]
    return tuple(form for _, form in sorted(marks))


def cells(
    scale: str = "paper",
    counts: Mapping[str, int] | None = None,
    tasks: Iterable[str] | None = None,
    complexities: Iterable[int] | None = None,
    properties: Iterable[str] | None = None,
) -> list[Slot]:
    """The questions to make, in the order of the table.

    `scale`: "paper" 2,170; "lite" 500 of them (10 of each cell of functions, series and transforms, one a complexity;
    170 properties); "small" 116 of them, every cell. `counts` replaces the scale: `{"task": n of each property}` or
    `{"task/property": n}`; its complexities go round those asked for. Without it, `complexities` is a filter, and the
    questions are those of the whole scale. Raises `InputError` for names or complexities that there are not.
    """
    wanted_tasks = TASKS if tasks is None else tuple(dict.fromkeys(find_task(name) for name in tasks))
    wanted = None if complexities is None else tuple(dict.fromkeys(complexities))
    if wanted is not None:
        if not wanted:
            raise InputError("no complexity given; give 0 to 9")
        for complexity in wanted:
            if complexity not in COMPLEXITIES:
                raise InputError(f"no complexity {complexity}; complexities are 0 to 9 (properties: only 0)")
        if tasks is not None and wanted_tasks == ("properties",):
            check_complexities("properties", wanted)
    wanted_properties: set[str] | None = None
    if properties is not None:
        wanted_properties = set()
        for name in properties:
            slug = name.strip().lower().replace(" ", "-").replace("_", "-")
            if not any(cell.property == slug and cell.task in wanted_tasks for cell in CELLS):
                known = dict.fromkeys(cell.property for cell in CELLS if cell.task in wanted_tasks)
                raise InputError(
                    f"no property {name!r} in {', '.join(wanted_tasks)}; there are: {', '.join(known)}"
                )
            wanted_properties.add(slug)
    how_many = _how_many(counts) if counts is not None else None
    if how_many is None and scale not in ("paper", "lite", "small"):
        raise InputError(f"no scale {scale!r}; scales: paper, lite, small")
    slots: list[Slot] = []
    for number, cell in enumerate(CELLS):
        if cell.task not in wanted_tasks or (
            wanted_properties is not None and cell.property not in wanted_properties
        ):
            continue
        if how_many is None:
            chosen = _of_scale(cell, number, scale)
            slots += [slot for slot in chosen if wanted is None or slot.complexity in wanted]
        else:
            levels = (0,) if cell.task == "properties" else (wanted or COMPLEXITIES)
            if cell.task == "properties" and wanted is not None and 0 not in wanted:
                continue
            slots += _spread(cell, how_many.get((cell.task, cell.property), 0), levels)
    return slots


def _how_many(counts: Mapping[str, int]) -> dict[tuple[str, str], int]:
    numbers: dict[tuple[str, str], int] = {}
    for key in sorted(counts, key=lambda key: "/" in key):
        number = counts[key]
        if not isinstance(number, int) or number < 0:
            raise InputError(f"counts[{key!r}] is {number!r}; give a number of questions, 0 or more")
        task, _, prop = key.partition("/")
        if prop:
            cell = find_cell(task, prop)
            numbers[cell.task, cell.property] = number
        else:
            task = find_task(task)
            numbers |= {(cell.task, cell.property): number for cell in CELLS if cell.task == task}
    return numbers


def _of_scale(cell: Cell, number: int, scale: str) -> list[Slot]:
    slots = _spread(cell, cell.count, (0,) if cell.task == "properties" else COMPLEXITIES)
    if scale == "paper":
        return slots
    if scale == "lite":
        if cell.task == "properties":
            return slots[: 8 if cell.count == 30 else 2]
        return slots[:10]
    if cell.task == "properties":
        return slots[:2]
    return [slots[7 * number % 10], slots[(7 * number + 5) % 10]]


def _spread(cell: Cell, count: int, levels: tuple[int, ...]) -> list[Slot]:
    """`count` slots of a cell: complexities go round `levels`, precisions are spread evenly over each complexity."""
    complexity = [levels[index % len(levels)] for index in range(count)]
    by_level = sorted(range(count), key=lambda index: (levels.index(complexity[index]), index))
    tenths = cell.quanta.get("0.1", 0)
    coarse = next((quantum for quantum in cell.quanta if quantum != "0.1"), "0.1")
    fine = round(Fraction(count * tenths, cell.count))
    quantum = [coarse] * count
    phase = 13 * CELLS.index(cell) % max(count, 1)  # so that the cells do not favour the same complexities
    for rank, index in enumerate(by_level):
        if ((rank + 1) * fine + phase) // count > (rank * fine + phase) // count:
            quantum[index] = "0.1"
    # Questions that share a range of answers divide it among them.
    group = [(quantum[i], complexity[i] if cell.task == "transform" else 0) for i in range(count)]
    size = {key: group.count(key) for key in set(group)}
    seen = dict.fromkeys(size, 0)
    slots = []
    for index in range(count):
        key = group[index]
        slots.append(
            Slot(cell.task, cell.property, index, complexity[index], quantum[index], seen[key], size[key])
        )
        seen[key] += 1
    return slots

"""The structure: the paper's counts cell by cell, scales, names."""

from collections import Counter

import pytest

from paperworks.errors import InputError
from paperworks.grab.design import (
    CELLS,
    Slot,
    cells,
    equation_form,
    find_cell,
    find_task,
)

# The official question file, counted: property -> questions in (properties, function, series, transform).
OFFICIAL = {
    "x-intercept": (30, 50, 0, 0),
    "y-intercept": (30, 50, 0, 0),
    "gradient": (30, 50, 0, 50),
    "stationary-point": (30, 50, 0, 0),
    "stationary-points": (30, 0, 0, 0),
    "function-mean": (0, 50, 0, 0),
    "amplitude": (30, 50, 0, 0),
    "period": (30, 50, 0, 0),
    "vertical-shift": (30, 50, 0, 0),
    "phase-shift": (30, 0, 0, 0),
    "equation": (30, 0, 0, 0),
    "number-of-points": (30, 0, 0, 0),
    "number-of-series": (30, 0, 0, 0),
    "pearson": (10, 0, 30, 0),
    "spearman": (10, 0, 30, 0),
    "kendall": (10, 0, 30, 0),
    "net-area": (15, 30, 0, 30),
    "total-area": (15, 30, 0, 30),
    "mean": (0, 0, 50, 0),
    "median": (30, 0, 50, 0),
    "interquartile-range": (30, 0, 50, 0),
    "peak": (30, 0, 0, 0),
    "variance": (30, 50, 50, 0),
    "maximum": (30, 50, 50, 50),
    "minimum": (30, 50, 50, 50),
    "domain-length": (30, 50, 50, 50),
    "range-span": (30, 50, 50, 50),
}
CATEGORIES = {
    "Intercepts and Gradients": 290,
    "Stationary Points": 160,
    "Trigonometric": 270,
    "Functions": 30,
    "Counting": 60,
    "Correlation": 120,
    "Area Bounded": 150,
    "Measures of Spread": 370,
    "Extrema": 360,
    "Range": 360,
}
TASKS = ("properties", "function", "series", "transform")


def test_the_paper_scale_has_the_official_counts_cell_by_cell():
    counts = Counter((slot.property, slot.task) for slot in cells("paper"))
    wanted = {
        (name, task): n for name, row in OFFICIAL.items() for task, n in zip(TASKS, row, strict=True) if n
    }
    assert counts == wanted
    assert sum(counts.values()) == 2170
    categories = Counter(find_cell(slot.task, slot.property).category for slot in cells("paper"))
    assert categories == CATEGORIES


def test_precisions_are_the_official_ones():
    quanta = Counter((slot.task, slot.quantum) for slot in cells("paper"))
    assert quanta == {
        ("properties", "1"): 600,
        ("properties", "0.1"): 30,
        ("properties", "10"): 30,
        ("function", "1"): 491,
        ("function", "0.1"): 219,
        ("series", "1"): 262,
        ("series", "0.1"): 228,
        ("transform", "1"): 222,
        ("transform", "0.1"): 88,
    }


def test_every_complexity_has_the_same_number_of_questions():
    counts = Counter((slot.task, slot.complexity) for slot in cells("paper"))
    assert counts.pop(("properties", 0)) == 660
    assert counts == {
        (task, complexity): n
        for task, n in (("function", 71), ("series", 49), ("transform", 31))
        for complexity in range(10)
    }
    fine = Counter(
        slot.complexity for slot in cells("paper") if slot.quantum == "0.1" and slot.task == "function"
    )
    assert max(fine.values()) - min(fine.values()) <= 4


def test_smaller_scales_are_part_of_the_paper_scale_and_have_every_cell():
    paper = set(cells("paper"))
    lite, small = cells("lite"), cells("small")
    assert len(lite) == 500
    assert len(small) == 116
    assert set(small) <= paper
    assert set(lite) <= paper
    for slots in (lite, small):
        assert len({(slot.task, slot.property) for slot in slots}) == len(CELLS) == 58
    counts = Counter((slot.task, slot.complexity) for slot in lite if slot.task != "properties")
    assert set(counts.values()) == {15, 11, 7}
    assert {slot.complexity for slot in small} == set(range(10))


def test_a_filter_leaves_the_questions_as_they_are():
    some = cells("paper", tasks=["Series"], complexities=[0, 3])
    assert len(some) == 98
    assert set(some) <= set(cells("paper"))
    assert {slot.property for slot in cells(tasks=["transforms"], properties=["Net area"])} == {"net-area"}


def test_counts_go_round_the_complexities_asked_for():
    slots = cells(
        counts={"function": 8, "function/gradient": 40}, complexities=[0, 1, 2, 3], tasks=["function"]
    )
    assert len(slots) == 14 * 8 + 40
    gradient = [slot for slot in slots if slot.property == "gradient"]
    assert Counter(slot.complexity for slot in gradient) == dict.fromkeys(range(4), 10)
    assert sum(slot.quantum == "0.1" for slot in gradient) == 14
    assert [slot.index for slot in gradient] == list(range(40))


def test_strata_number_the_questions_that_share_a_range():
    for task, prop in (("function", "gradient"), ("transform", "maximum"), ("properties", "median")):
        groups: dict[tuple[str, int], list[Slot]] = {}
        for slot in cells("paper", tasks=[task], properties=[prop]):
            groups.setdefault((slot.quantum, slot.complexity if task == "transform" else 0), []).append(slot)
        for slots in groups.values():
            assert [slot.place for slot in slots] == list(range(len(slots)))
            assert {slot.of for slot in slots} == {len(slots)}


def test_equation_forms_are_the_official_ones():
    forms = Counter(equation_form(index) for index in range(30))
    assert forms == {"line": 9, "sine": 8, "cubic": 7, "quartic": 4, "quadratic": 2}
    assert set(map(equation_form, range(8))) == set(forms)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("functions", "function"),
        ("Property", "properties"),
        ("series", "series"),
        ("transforms", "transform"),
    ],
)
def test_tasks_are_found_under_the_names_people_write(name, task):
    assert find_task(name) == task


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ["charts"]}, "no task 'charts'; tasks: properties, function"),
        ({"scale": "huge"}, "no scale 'huge'; scales: paper, lite, small"),
        ({"complexities": [10]}, "no complexity 10; complexities are 0 to 9"),
        ({"tasks": ["properties"], "complexities": [1]}, "task properties has no complexity 1; it has 0"),
        (
            {"tasks": ["series"], "properties": ["gradient"]},
            "no property 'gradient' in series; there are: pearson",
        ),
        ({"counts": {"series/gradient": 3}}, "task series has no property 'gradient'; it has: pearson"),
        ({"counts": {"series": -1}}, "give a number of questions"),
    ],
)
def test_bad_input_names_what_there_is(arguments, message):
    with pytest.raises(InputError, match=message):
        cells(**arguments)

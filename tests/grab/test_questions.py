"""The words of questions and the form of answers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperworks.errors import InputError
from paperworks.grab.design import CELLS
from paperworks.grab.questions import PHRASES, decimal, format_answer, question

LINE = {"family": "line", "m": "1", "k": "0", "domain": ["-1", "1"]}
POINTS = {"family": "points", "x": ["0", "1"], "y": ["1", "2"]}


def spec(member, **more):
    return {"members": [member], "operations": [], "asked": {}} | more


@pytest.mark.parametrize(
    ("value", "quantum", "text"),
    [
        (3, "0.1", "3.0"),
        (Fraction(-7), "1", "-7"),
        (-0.04, "0.1", "0.0"),
        (Fraction(-2, 5), "1", "0"),
        (118.3, "10", "120"),
        (Fraction(-123, 10), "0.1", "-12.3"),
        (Fraction(29, 20), "0.1", "1.5"),
        (Fraction(-29, 20), "0.1", "-1.5"),
        ((Fraction(-3), Fraction(4)), "1", "[-3, 4]"),
        ("y = 2x + 1", "1", "y = 2x + 1"),
    ],
)
def test_answers_are_written_as_the_official_file_writes_them(value, quantum, text):
    assert format_answer(value, quantum) == text


@given(st.integers(-10_000, 10_000))
def test_an_answer_on_the_grid_is_itself(tenths):
    assert Fraction(format_answer(Fraction(tenths, 10), "0.1")) == Fraction(tenths, 10)
    assert not format_answer(Fraction(tenths, 10**6), "0.1").startswith("-0.0")


def test_a_decimal_must_be_exact():
    with pytest.raises(ValueError, match="decimals"):
        decimal(Fraction(1, 3), 1)


def test_precision_and_kind_are_said():
    asked = question("properties", "gradient", spec(LINE), "1")
    assert asked == "What is the gradient of the function? Give the answer to the nearest integer."
    asked = question("series", "variance", spec(POINTS), "0.1")
    assert "over all data series shown, of the population variance of the y-values" in asked
    assert asked.endswith("Give the answer to one decimal place.")
    assert question("properties", "net-area", spec(LINE), "10").endswith("to the nearest ten.")
    named = question("function", "gradient", spec(LINE, asked={"member": 0, "colour": "red"}), "1")
    assert named.startswith("What is the gradient of the red function?")


def test_operations_are_numbered_in_their_order():
    operations = [
        {"kind": "scale", "axis": "y", "factor": "3"},
        {"kind": "rotate", "angle": 90},
        {"kind": "reflect", "in": "x=k", "k": "-10"},
    ]
    asked = question("transform", "gradient", spec(LINE, operations=operations), "0.1")
    assert asked == (
        "What is the gradient of the curve after these operations, done in order: 1. scale by a factor of 3 in the "
        "y-direction; 2. rotate by 90° counter-clockwise about the origin; 3. reflect in the line x = -10? "
        "Give the answer to one decimal place."
    )
    assert "operations" not in question("transform", "gradient", spec(LINE), "1")


def test_every_cell_has_words_of_its_own():
    asked = set()
    for cell in CELLS:
        for member in (LINE, POINTS):
            for quantum in cell.quanta:
                more = {"asked": {"form": "line"}} if cell.property == "equation" else {}
                asked.add((cell.property, question(cell.task, cell.property, spec(member, **more), quantum)))
    texts = [text for _, text in asked]
    assert len(texts) == len(set(texts))
    assert len(set(PHRASES.values())) == len(PHRASES)


def test_what_has_no_words_is_refused():
    with pytest.raises(InputError, match="no question about 'colour'"):
        question("function", "colour", spec(LINE), "1")
    with pytest.raises(InputError, match="no precision '5'"):
        question("function", "gradient", spec(LINE), "5")

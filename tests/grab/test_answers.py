"""Answers as models write them, and the scores that one stored response gets."""

import math
import sys
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperworks.errors import InputError
from paperworks.grab.answers import (
    EXTRACTION_PROMPT,
    SCORES,
    extract,
    extraction_request,
    format_value,
    kind_of,
    parse,
    parse_equation,
    parse_number,
    parse_pair,
    score,
)
from paperworks.grab.equations import Equation, respace

# (response, what the question asks for or None, the answer in it or None)
RESPONSES = [
    # as asked
    ("7", None, "7"),
    ("-3.0", None, "-3.0"),
    ("  4\n", None, "4"),
    ("0.0", None, "0.0"),
    ("[-3, 4]", None, "[-3, 4]"),
    ("y = 2x^4 - 1x^3 - 2x^2 + 6x + 3", None, "y = 2x^4 - 1x^3 - 2x^2 + 6x + 3"),
    # signs, full stops, units, thousands
    ("7.", None, "7"),
    ("approximately −3.0.", None, "-3.0"),
    ("–4", None, "-4"),
    ("- 5", None, "-5"),
    ("+6", None, "6"),
    (".5", None, "0.5"),
    ("12 units", None, "12"),
    ("12units", None, "12"),
    ("-2.5°", None, "-2.5"),
    ("1,234", "number", "1234"),
    ("3,5", "number", "3.5"),
    ("1e3", None, "1e3"),
    ("½", None, "0.5"),
    ("3½", None, "3.5"),
    ("７", None, "7"),
    # bold, code, headings, JSON, tags
    ("**7**", None, "7"),
    ("`-1.5`", None, "-1.5"),
    ("### 12", None, "12"),
    ("The line passes through (0, 2) and (1, 4), so the gradient is **2**.", "number", "2"),
    ("**1.** Find the line. **2.** Read it at 3.", "number", None),
    ('{"answer": -3.5}', None, "-3.5"),
    ("<answer>4</answer>", None, "4"),
    ("<think>It could be 3, or 5.</think>4", None, "4"),
    ("<think>It could be 3", None, None),
    ("It could be 3, or 5.</think>\n\n4", None, "4"),
    # LaTeX
    ("The answer is $\\boxed{3}$.", None, "3"),
    ("\\boxed{\\frac{1}{6}}", None, "1/6"),
    ("$$\\boxed{-\\dfrac{7}{2}}$$", None, "-7/2"),
    ("First \\boxed{2}, then corrected: \\boxed{5}", None, "5"),
    ("\\(-4.5\\)", None, "-4.5"),
    ("\\[ x = -2 \\]", None, "-2"),
    ("$\\approx 3.2\\text{ units}$", None, "3.2"),
    ("\\left[-3, 4\\right]", None, "[-3, 4]"),
    ("\\boxed{\\{-3, 4\\}}", None, "[-3, 4]"),
    ("$y = 2\\sin(-9x + 7) + 6$", None, "y = 2sin(-9x + 7) + 6"),
    ("$$f(x) = -2x^{3} + 4x - 1$$", None, "y = -2x^3 + 4x - 1"),
    ("\\boxed{y = \\frac{1}{2}x + 3}", None, "y = 1/2x + 3"),
    # cues
    ("Answer: 3", None, "3"),
    ("**Answer:** -2.5", None, "-2.5"),
    ("**Answer: 8**", None, "8"),
    ("Final answer = 6", None, "6"),
    ("The final answer is: 9.", None, "9"),
    ("Answer: 3\n\nExplanation: at x = 0 the line is at 3, and at 1 it is at 5.", None, "3"),
    ("Answer: 1\nNo, that was x.\nAnswer: 4", None, "4"),
    ("Answer:\n\n7", None, "7"),
    ("The slope is (4 - 1)/(2 - 1) = 3 at x = 1.\nAnswer: \\boxed{3}", None, "3"),
    # sentences
    ("The x-intercept of the function is -9.", None, "-9"),
    ("The gradient is -0.5 units", None, "-0.5"),
    ("I'd estimate the mean amplitude at roughly 2.8, give or take.", None, "2.8"),
    ("f(0) = 3", None, "3"),
    ("At f(0) is 3", None, "3"),
    ("3.0 ± 0.5", None, "3.0"),
    ("2π ≈ 6.3", None, "6.3"),
    ("The mean is (2 + 4 + 6)/3 = 4.0", "number", "4.0"),
    ("The slope is (4 - 1)/(3 - 1) = 1.5", "number", "1.5"),
    ("(4 - 1)/2 = 1 or 2", "number", None),
    ("1. The line crosses the axis at 5.", None, "5"),
    ("It is 3. I repeat: 3.", None, "3"),
    ("There are 12 series.", None, "12"),
    ("7\n\nThe curve crosses the axis at x = 7, where y = 0.", None, "7"),
    ("From (0, 1) to (2, 5) the rise is 4.\n\n2", "number", "2"),
    ("2\n5\n8", None, None),
    # words
    ("minus seven", None, "-7"),
    ("negative 2.5", None, "-2.5"),
    ("It is about seven.", None, "7"),
    ("There are twelve series in the figure.", None, "12"),
    ("twenty-one", None, "21"),
    ("The value is three point five.", None, "3.5"),
    ("Zero.", None, "0"),
    ("One of the lines rises.", None, None),
    # pairs
    ("(-3, 4)", None, "[-3, 4]"),
    ("{-3, 4}", None, "[-3, 4]"),
    ("[−3,4]", None, "[-3, 4]"),
    ("-3, 4", "pair", "[-3, 4]"),
    ("-3,4", "pair", "[-3, 4]"),
    ("x = -3 and x = 4", None, "[-3, 4]"),
    ("x₁ = -3, x₂ = 4", "pair", "[-3, 4]"),
    ("The stationary points are at x = -3 and x = 4.", "pair", "[-3, 4]"),
    ("[-3, 4, 5]", "pair", None),
    # equations in several spellings
    ("y=-1x-3", None, "y = -1x - 3"),
    ("y = -x - 3", None, "y = -x - 3"),
    ("The equation is y = 2x^2 - x + 1.", "equation", "y = 2x^2 - x + 1"),
    ("f(x)=2*x**2+3*x", "equation", "y = 2x^2 + 3x"),
    ("y = x² + 2x", None, "y = x^2 + 2x"),
    ("With y = mx + c, m = 8 and c = -9, it is y = 8x - 9", "equation", "y = 8x - 9"),
    ("The line y = 2x + 3 has its intercept at 3.", "number", "3"),
    ("y = 2x + 1 or y = 3x + 1", "equation", None),
    # no answer, or not one
    ("between 3 and 4", None, None),
    ("between 3 and 4", "pair", None),
    ("Answer: between 3 and 4", None, None),
    ("3–4", None, None),
    ("3-4", None, None),
    ("3 to 4", None, None),
    ("3 or 4", None, None),
    ("either 3 or 4", None, None),
    ("more than 5", None, None),
    ("> 5", None, None),
    ("±3", None, None),
    ("It is 3 at x = 0", None, None),
    ("2π", None, None),
    ("π/2", None, None),
    ("I cannot determine the value at x = 0", None, None),
    ("I'm sorry, I can't read 2 of the labels.", None, None),
    ("None", None, None),
    ("", None, None),
    ("...", None, None),
    ("The function rises.", None, None),
]

# Written after the extraction, then run: one of sixty (the control token) was not read at first.
LATER_RESPONSES = [
    (
        "I look at each line:\n- Blue: -3\n- Orange: 5\n- Green: 1\n\nMean = (-3 + 5 + 1)/3 = 3/3 = 1",
        "number",
        "1",
    ),
    ("The mean gradient of the functions shown is approximately **-0.8**.", "number", "-0.8"),
    ("Based on the graph, the amplitude appears to be 3.", "number", "3"),
    ("The stationary points occur at approximately $x = -7$ and $x = 2$.\n\n**[-7, 2]**", "pair", "[-7, 2]"),
    ("[-7.0, 2.0]", "pair", "[-7.0, 2.0]"),
    ("x_1 = -7, x_2 = 2", "pair", "[-7, 2]"),
    ("The equation is:\n$$y = -3x^3 + 0x^2 - 1x + 3$$", "equation", "y = -3x^3 + 0x^2 - 1x + 3"),
    ("y = -3 x^3 - x + 3", "equation", "y = -3x^3 - x + 3"),
    ("The function is \\( y = 9\\sin(-5x - 7) - 2 \\).", "equation", "y = 9sin(-5x - 7) - 2"),
    ("y = 9 sin(-5 x - 7) - 2", "equation", "y = 9sin(-5x - 7) - 2"),
    ("I count 42 points in the figure.", "number", "42"),
    ("Total: 42", "number", "42"),
    ("≈ -0.3", "number", "-0.3"),
    ("~12", "number", "12"),
    ("approx. 4.5", "number", "4.5"),
    ("Pearson correlation coefficient: 0.9", "number", "0.9"),
    ("r = -0.7", "number", "-0.7"),
    ("ρ ≈ 0.4", "number", "0.4"),
    ("-120 square units", "number", "-120"),
    ("The net area is -120.", "number", "-120"),
    ("the answer is 5 (to the nearest integer).", "number", "5"),
    ("5 (rounded from 4.8)", "number", None),
    ("The y-intercept is (0, -4).", "number", None),
    ("The maximum value of the function is 20.0 after the transformations.", "number", "20.0"),
    ("Step 1: reflect in y=x.\nStep 2: scale by 10.\nFinal Answer: **20.0**", "number", "20.0"),
    ("**Final Answer**\n\n20.0", "number", "20.0"),
    ("Therefore, the estimated mean is 2.8", "number", "2.8"),
    ("Mean of series ≈ (1.2 + 3.4)/2 ≈ 2.3.", "number", "2.3"),
    ("As an AI model, I can't view images.", "number", None),
    ("It's hard to say, but I'd guess 6", "number", "6"),
    ("The x-intercept is at x = -9", "number", "-9"),
    ("$-9$", "number", "-9"),
    ("\\boxed{-9}", "number", "-9"),
    ("\\boxed{\\text{-9}}", "number", "-9"),
    ("\\boxed{x=-9}", "number", "-9"),
    ("Answer: x = -9", "number", "-9"),
    ("Answer: $y = 2x + 1$", "equation", "y = 2x + 1"),
    ("Answer: y=2x+1.", "equation", "y = 2x + 1"),
    ("Answer: [-3, 4].", "pair", "[-3, 4]"),
    ("ASSISTANT: 7", "number", "7"),
    ("7</s>", "number", "7"),
    ("<|im_end|>7", "number", "7"),
    ("The domain length is from -5 to 5, which is 10.", "number", None),
    ("0.30", "number", "0.30"),
    ("-0", "number", "-0"),
    ("The IQR is Q3 - Q1 = 12 - 5 = 7", "number", "7"),
    ("The function completes one cycle in 4 units.", "number", "4"),
    ("답: 7", "number", "7"),
    ("答案是 7。", "number", "7"),
    ("−7", "number", "-7"),
    ("7,", "number", "7"),
    ("'7'", "number", "7"),
    ('"7"', "number", "7"),
    ("(7)", "number", "7"),
    ("[7]", "number", "7"),
    ("7 or so", "number", "7"),
    ("y = (1/2)x + 3", "equation", "y = (1/2)x + 3"),
    ("y = 2x^{4} - x^{3} - 2x^{2} + 6x + 3", "equation", "y = 2x^4 - x^3 - 2x^2 + 6x + 3"),
    ("y = 2\\cdot x + 1", "equation", "y = 2x + 1"),
    ("f(x) = 2x + 1, so the equation is y = 2x + 1", "equation", "y = 2x + 1"),
]


def test_there_are_at_least_sixty_responses():
    assert len({response for response, _, _ in RESPONSES}) >= 60


@pytest.mark.parametrize(("response", "kind", "answer"), RESPONSES + LATER_RESPONSES)
def test_extraction_finds_the_answer_or_none(response, kind, answer):
    assert extract(response, "regex", kind=kind) == answer


@pytest.mark.parametrize("response", [response for response, _, _ in RESPONSES])
def test_without_extraction_the_response_is_the_raw_string(response):
    assert extract(response) is response
    assert extract(response, "none") == response


def test_nothing_is_extracted_from_nothing():
    assert extract(None, "regex") is None
    assert extract(None) is None


def test_an_unknown_extraction_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="none, regex"):
        extract("7", "llm")


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_extraction_of_anything_is_a_value_and_stable(text):
    found = extract(text, "regex")
    assert found is None or parse(found) is not None
    assert found is None or extract(found, "regex") == found


@given(
    st.lists(
        st.sampled_from(
            [
                *"01xy=+-*/^()[],}$.±\n",
                "2.5",
                "-3",
                "sin",
                "\\boxed{",
                "Answer:",
                "and",
                "**",
                "seven",
                "to",
                "1e9",
            ]
        ),
        max_size=14,
    )
)
@settings(max_examples=500, deadline=None)
def test_extraction_of_nearly_answers_is_a_value_and_stable(parts):
    for glue in ("", " "):
        found = extract(glue.join(parts), "regex")
        assert found is None or parse(found) is not None
        assert found is None or extract(found, "regex") == found


def test_long_and_nested_responses_do_not_stop_the_scoring():
    start = time.process_time()
    for text in (
        "(" * 5000,
        "y = " + "(" * 200 + "x" + ")" * 200,
        "\\boxed{" * 2000,
        "1 " * 20000,
        "sin" * 3000,
        "y=" + "x^" * 900,
        "and 1 " * 5000,
        "-" * 30000,
        "*" * 30000,
        "a*" * 9000,
        "2x " * 4000,
        "y = " * 4000,
        "seven " * 4000,
        "minus " * 4000,
        "7" * 30000,
        "1," * 9000,
        "1/" * 9000,
        "is " * 9000,
        "[1, " * 5000,
    ):
        extract(text, "regex")
        parse(text)
    assert time.process_time() - start < 10


# Answers as the official file writes them.


@given(st.integers(-(10**6), 10**6))
def test_integers_are_written_as_read(value):
    assert format_value(parse_number(str(value)), "1") == str(value)


@given(st.integers(-3000, 3000))
def test_one_decimal_is_written_as_read(tenths):
    text = f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"
    assert format_value(parse(text), "0.1") == text


@given(st.integers(-99, 99))
def test_tens_are_written_as_read(tens):
    assert format_value(parse(str(10 * tens)), "10") == str(10 * tens)


@given(st.tuples(st.integers(-99, 99), st.integers(-99, 99)))
def test_pairs_are_written_as_read(pair):
    text = f"[{pair[0]}, {pair[1]}]"
    assert format_value(parse(text), "1") == text
    assert parse_pair(text) == pair


def signed(value):
    return f"{'-' if value < 0 else '+'} {abs(value)}"


COEFFICIENT = st.integers(-10, 10)
LEADING = COEFFICIENT.filter(bool)


@given(LEADING, st.lists(COEFFICIENT, min_size=1, max_size=4))
def test_polynomials_are_written_as_read(leading, rest):
    powers = ["x^4", "x^3", "x^2", "x", ""][-len(rest) - 1 :]
    text = f"y = {leading}{powers[0]} " + " ".join(
        f"{signed(value)}{power}" for value, power in zip(rest, powers[1:], strict=True)
    )
    assert format_value(parse(text), "1") == text
    assert respace(text.replace(" ", "")) == text
    assert extract(text, "regex") == text


@given(LEADING, LEADING, COEFFICIENT, COEFFICIENT)
def test_sines_are_written_as_read(a, b, c, d):
    text = f"y = {a}sin({b}x {signed(c)}) {signed(d)}"
    assert format_value(parse(text), "1") == text
    assert extract(text.replace(" ", ""), "regex") == text


@given(st.fractions(min_value=-200, max_value=200), st.sampled_from(["10", "1", "0.1"]))
def test_rounding_agrees_with_the_questions(value, quantum):
    from paperworks.grab.questions import format_answer

    assert format_value(value, quantum) == format_answer(value, quantum)


def test_there_is_no_minus_zero():
    assert format_value(Fraction(-1, 100), "0.1") == "0.0"
    assert format_value(Fraction(-1, 3), "1") == "0"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-3.0", -3),
        ("1/6", Fraction(1, 6)),
        ("\\frac12", Fraction(1, 2)),
        ("1,200", 1200),
        ("one hundred and five", 105),
        ("minus three point one four", Fraction(-314, 100)),
        ("1/0", None),
        ("3 4", None),
        ("seven eight", None),
        ("2x", None),
        ("__import__('os')", None),
        ("nan", None),
        ("1" * 5000, None),
        ("1e99", 10**99),
        ("inf", None),
        ("", None),
    ],
)
def test_numbers(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("-7", "number"), ("3.0", "number"), ("[-3, 4]", "pair"), ("y = 2sin(-9x + 7) + 6", "equation")],
)
def test_kind_of_an_answer(answer, kind):
    assert kind_of(answer) == kind


# Equations.


@pytest.mark.parametrize(
    "text",
    [
        "y = -1x - 3",
        "y=-x-3",
        "-x - 3",
        "f(x) = -x - 3",
        "y = -(x + 3)",
        "y = -3 - x",
        "y = -1*x + -3",
        "y = 0x^2 - 1x - 3",
        "y = -1.0x - 3.0",
        "y = (-x) - 3",
        "y = -x - 6/2",
        "y = -1x^1 - 3x^0",
    ],
)
def test_one_line_in_many_spellings(text):
    truth = parse_equation("y = -1x - 3")
    assert parse_equation(text).equivalent(truth)
    assert parse_equation(text).same_coefficients(truth)
    assert parse_equation(text).canonical() == "y = -1x - 3"


@pytest.mark.parametrize(
    "text",
    [
        "y = -1x + 3",
        "y = x - 3",
        "y = -1x - 3.000001",
        "y = -1x^2 - 3",
        "y = -1x - 3 + sin(x)/1000000",
        "y = -x/x - 3",
    ],
)
def test_another_equation_is_not_equivalent(text):
    assert not parse_equation(text).equivalent(parse_equation("y = -1x - 3"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "y =",
        "3",
        "y = 3",
        "y = 2z",
        "y = x +",
        "y = (x",
        "y = x)",
        "y = x^^2",
        "y = x^-1",
        "y = x^99",
        "y = x x x(",
        "exp(x)",
        "y = sin",
        "y = __import__('os')",
        "y = x; x",
        "y = 1 == x",
        "x" * 500,
        "y = x^x",
    ],
)
def test_what_the_grammar_does_not_have_is_not_read(text):
    assert parse_equation(text) is None


def test_equations_are_evaluated_as_written():
    equation = parse_equation("y = 2sin(-9x + 7) + 6")
    assert equation.at(0.3) == pytest.approx(2 * math.sin(-9 * 0.3 + 7) + 6, abs=1e-12)
    assert parse_equation("y = 2 sin 3x - x^2/4").at(1.5) == pytest.approx(2 * math.sin(4.5) - 2.25 / 4)
    assert parse_equation("-x^2").at(3) == -9
    assert parse_equation("2x(x - 1)").at(3) == 12
    assert math.isnan(parse_equation("1/x").at(0))
    assert parse_equation("y = cos(pi x)").at(1) == pytest.approx(-1)


def test_the_two_integer_answers_of_a_sine_are_equivalent():
    # Every official sine equation has two exact answers; `exact` accepts one of them.
    official, other = "y = 9sin(-5x - 7) - 2", "y = -9sin(5x + 7) - 2"
    assert score("exact", other, official, "1") == 0.0
    assert score("equivalent", other, official, "1") == 1.0
    assert score("equivalent", "y = 9sin(5x + 7) - 2", official, "1") == 0.0


def test_a_cosine_may_be_equivalent_to_a_sine():
    assert parse_equation("y = cos(x - pi/2)").equivalent(parse_equation("y = sin(x)"))


def test_an_equation_that_is_no_polynomial_or_sine_has_no_canonical_form():
    with pytest.raises(ValueError, match="neither"):
        parse_equation("y = 1/x").canonical()
    assert isinstance(parse_equation("y = 1/x"), Equation)


def test_the_official_leading_zero_is_read():
    # pid 332 of the official file.
    official = "y = 0x^3 - 2x^2 + 5x + 2"
    assert score("exact", official, official, "1") == 1.0
    assert score("equivalent", "y = -2x^2 + 5x + 2", official, "1") == 1.0


# Scores.

TABLE = [
    # response, answer, quantum, {score: value}
    (
        "4",
        "4",
        "1",
        {"exact": 1, "numeric": 1, "within": 1, "official_prefix": 1, "relaxed5": 1, "error_in_quanta": 0},
    ),
    (
        "4.0",
        "4",
        "1",
        {"exact": 0, "numeric": 1, "within": 1, "official_prefix": 1, "relaxed5": 1, "error_in_quanta": 0},
    ),
    (
        "45",
        "4",
        "1",
        {"exact": 0, "numeric": 0, "within": 0, "official_prefix": 1, "relaxed5": 0, "error_in_quanta": 41},
    ),
    (
        "-9.97",
        "-9",
        "1",
        {"exact": 0, "numeric": 0, "within": 1, "official_prefix": 1, "error_in_quanta": 0.97},
    ),
    ("3.1", "3.0", "0.1", {"exact": 0, "numeric": 0, "within": 1, "relaxed5": 1, "error_in_quanta": 1}),
    ("3.11", "3.0", "0.1", {"within": 0, "relaxed5": 1}),
    ("110", "120", "10", {"within": 1, "error_in_quanta": 1, "relaxed5": 0}),
    ("105", "100", "1", {"relaxed5": 1}),
    ("105.1", "100", "1", {"relaxed5": 0}),
    ("95", "100", "1", {"relaxed5": 1}),
    ("94.9", "100", "1", {"relaxed5": 0}),
    ("0", "0", "1", {"relaxed5": 1}),
    ("0.001", "0", "1", {"relaxed5": 0, "within": 1}),
    ("-95", "-100", "1", {"relaxed5": 1}),
    ("2008", "2010", "1", {"relaxed5": 1, "exact": 0, "within": 0}),
    ("[-3, 4]", "[-3, 4]", "1", {"exact": 1, "numeric": 1, "error_in_quanta": 0}),
    ("(-3, 5)", "[-3, 4]", "1", {"exact": 0, "numeric": 0, "within": 1, "error_in_quanta": 1}),
    ("[4, -3]", "[-3, 4]", "1", {"exact": 0, "numeric": 0, "within": 0, "error_in_quanta": 7}),
    ("3", "[-3, 4]", "1", {"exact": 0, "numeric": 0, "within": 0, "error_in_quanta": None}),
    (
        "y=-x-3",
        "y = -1x - 3",
        "1",
        {"exact": 0, "numeric": 1, "within": 1, "equivalent": 1, "relaxed5": 1, "error_in_quanta": None},
    ),
    ("7", "y = -1x - 3", "1", {"exact": 0, "numeric": 0, "equivalent": 0, "error_in_quanta": None}),
    ("It is 4.", "4", "1", {"exact": 0, "numeric": 0, "official_prefix": 0, "error_in_quanta": None}),
    (
        None,
        "4",
        "1",
        {
            "exact": 0,
            "numeric": 0,
            "within": 0,
            "equivalent": 0,
            "official_prefix": 0,
            "relaxed5": 0,
            "error_in_quanta": None,
        },
    ),
    ("1e999", "4", "1", {"within": 0, "error_in_quanta": sys.float_info.max}),
    ("1" * 5000, "4", "1", {"within": 0, "error_in_quanta": None}),
    (" 4\n", "4", "1", {"exact": 1, "official_prefix": 1}),
    ("4.", "4", "1", {"exact": 0}),
    ("−4", "-4", "1", {"exact": 0, "numeric": 1}),
]


@pytest.mark.parametrize(("response", "answer", "quantum", "expected"), TABLE)
def test_scores(response, answer, quantum, expected):
    for name, value in expected.items():
        assert score(name, response, answer, quantum) == value, name


def test_five_per_cent_are_of_the_truth_not_of_the_response():
    # 5 % of the response (105.1) would be 5.255 and let the difference of 5.1 pass.
    assert score("relaxed5", "105.1", "100", "1") == 0.0
    assert abs(105.1 - 100) <= 0.05 * 105.1


def test_a_final_full_stop_costs_exact_matches_and_extraction_gives_them_back():
    assert score("exact", "7.", "7", "1") == 0.0
    assert score("exact", extract("7.", "regex"), "7", "1") == 1.0


def test_unknown_scores_and_answers_are_refused():
    with pytest.raises(InputError, match="exact, numeric"):
        score("f1", "7", "7", "1")
    with pytest.raises(InputError, match="no number, pair or equation"):
        score("numeric", "7", "seven apples", "1")


def test_the_prompt_for_a_language_model_holds_the_response_once():
    request = extraction_request("It is {response} 7. ")
    assert request.count("It is {response} 7.") == 1
    assert "None" in EXTRACTION_PROMPT
    assert request.endswith("Answer:")


def test_a_paper_of_responses_is_scored_within_a_second():
    responses = [f"The value is about {n / 10:.1f}." for n in range(2140)] + [
        f"y = {n + 1}x^2 - {n}x + 3" for n in range(30)
    ]
    answers = [f"{n / 10:.1f}" for n in range(2140)] + [f"y = {n + 1}x^2 - {n}x + 3" for n in range(30)]
    start = time.process_time()
    for response, answer in zip(responses, answers, strict=True):
        said = extract(response, "regex", kind=kind_of(answer))
        found = {name: score(name, said, answer, "0.1") for name in SCORES}
        assert found["exact"] == 1.0
    assert time.process_time() - start < 1

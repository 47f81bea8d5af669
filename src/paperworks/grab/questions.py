"""The words of the questions and the form of the answers.

A question is one sentence from a fixed template, for transforms with the operations numbered, and a sentence that says
the precision. Everything a reader needs besides the picture is in it: which quartiles, which variance, which sign an
area has. The wording is ours; the precisions and the forms of the answers are those of the official file.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from paperworks.errors import InputError

PHRASES = {
    "x-intercept": "x-intercept (the x at which y is 0)",
    "y-intercept": "y-intercept (the y at x = 0)",
    "gradient": "gradient",
    "stationary-point": "x-coordinate of the stationary point",
    "function-mean": "function mean (the x-coordinate of the bell's peak)",
    "amplitude": "amplitude (half the height from trough to crest)",
    "period": "period",
    "vertical-shift": "vertical shift (the y midway between trough and crest)",
    "phase-shift": "phase shift (of a rising sine, smallest shift >= 0)",
    "pearson": "Pearson correlation coefficient",
    "spearman": "Spearman rank correlation coefficient",
    "kendall": "Kendall rank correlation coefficient (tau-b)",
    "net-area": "net area (between curve and x-axis, counted negative below the axis)",
    "total-area": "total area (between curve and x-axis, counted positive above and below)",
    "mean": "mean of the y-values",
    "median": "median of the y-values",
    "interquartile-range": "interquartile range of the y-values (linear quartiles)",
    "peak": "x-coordinate of the peak",
    "variance": "variance (the squared distance in x from the bell's peak to its inflection)",
    "data variance": "population variance of the y-values",
    "maximum": "maximum (the largest y)",
    "minimum": "minimum (the smallest y)",
    "domain-length": "domain length (the largest x minus the smallest x)",
    "range-span": "range span (the largest y minus the smallest y)",
}
"""What is asked, by property; "data variance" is the variance where the members are points."""

PROPERTIES_QUESTION = "What is the {phrase} of the {kind}?"  # kind: "function" or "data"
MEAN_QUESTION = (
    "What is the mean, over all {kind} shown, of the {phrase}?"  # kind: "functions" or "data series"
)
COLOUR_QUESTION = "What is the {phrase} of the {colour} {kind}?"  # kind: "function" or "data series"
TRANSFORM_QUESTION = "What is the {phrase} of the curve after these operations, done in order: {operations}?"
UNMOVED_QUESTION = "What is the {phrase} of the curve?"
OPERATION = "{number}. {operation}"  # joined by OPERATIONS_BETWEEN
OPERATIONS_BETWEEN = "; "

PAIR_QUESTION = "What are the x-coordinates of the two stationary points of the function?"
COUNTING_QUESTIONS = {
    "number-of-points": "How many points are shown?",
    "number-of-series": "How many data series are shown?",
}
EQUATION_QUESTION = "What is the equation of the function, in the form {form}?"
EQUATION_FORMS = {
    "line": "y = ax + b with integers a and b",
    "quadratic": "y = ax^2 + bx + c with integers a, b and c",
    "cubic": "y = ax^3 + bx^2 + cx + d with integers a, b, c and d",
    "quartic": "y = ax^4 + bx^3 + cx^2 + dx + e with integers a, b, c, d and e",
    "sine": "y = asin(bx + c) + d with integers a > 0, b > 0, 0 <= c <= 6 and d",
}
EQUATION_EXAMPLES = {
    "line": "y = -1x - 3",
    "quadratic": "y = 2x^2 + 0x - 7",
    "cubic": "y = 2x^3 - 1x^2 + 0x + 5",
    "quartic": "y = 2x^4 - 1x^3 + 0x^2 + 6x + 3",
    "sine": "y = 2sin(1x + 0) - 6",
}

PRECISION = {
    "10": "Give the answer to the nearest ten.",
    "1": "Give the answer to the nearest integer.",
    "0.1": "Give the answer to one decimal place.",
}
PAIR_PRECISION = "Give both to the nearest integer, the smaller first, as [a, b]."
EQUATION_PRECISION = "Write every coefficient, also 1 and 0, for example {example}."

LADDER_QUESTIONS = {
    "limits": "Between which two values does the x-axis run? Give both as integers, the smaller first, as [a, b].",
    "count": "How many functions are shown? Give the answer to the nearest integer.",
    "value": "What is the y-value of the {colour} function at x = {x}? Give the answer to the nearest integer.",
}
"""The first rungs of `generate.ladder`; those above are `COLOUR_QUESTION` and the item's own question."""


def question(task: str, prop: str, spec: Mapping[str, Any], quantum: str) -> str:
    """The question about a picture: what is asked, then the precision or form.

    `spec["asked"]` says more where the property does not: `{"form": …}` of an equation, `{"member": …, "colour": …}`
    where only one of the functions is asked about. Raises `InputError` for a property or precision without words.
    """
    asked = spec.get("asked", {})
    if prop == "stationary-points":
        return f"{PAIR_QUESTION} {PAIR_PRECISION}"
    if prop == "equation":
        form = asked["form"]
        precision = EQUATION_PRECISION.format(example=EQUATION_EXAMPLES[form])
        return f"{EQUATION_QUESTION.format(form=EQUATION_FORMS[form])} {precision}"
    if quantum not in PRECISION:
        raise InputError(f"no precision {quantum!r}; precisions: {', '.join(PRECISION)}")
    return f"{_sentence(task, prop, spec, asked)} {PRECISION[quantum]}"


def _sentence(task: str, prop: str, spec: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    if prop in COUNTING_QUESTIONS:
        return COUNTING_QUESTIONS[prop]
    data = spec["members"][0]["family"] == "points"
    phrase = PHRASES.get("data variance" if prop == "variance" and data else prop)
    if phrase is None:
        raise InputError(f"no question about {prop!r}; properties: {', '.join(PHRASES)}")
    if "member" in asked:
        kind = "data series" if data else "function"
        return COLOUR_QUESTION.format(phrase=phrase, colour=asked["colour"], kind=kind)
    if task == "properties":
        return PROPERTIES_QUESTION.format(phrase=phrase, kind="data" if data else "function")
    if task != "transform":
        return MEAN_QUESTION.format(phrase=phrase, kind="data series" if data else "functions")
    if not spec["operations"]:
        return UNMOVED_QUESTION.format(phrase=phrase)
    from paperworks.grab.operations import describe

    numbered = [
        OPERATION.format(number=number, operation=describe(operation))
        for number, operation in enumerate(spec["operations"], start=1)
    ]
    return TRANSFORM_QUESTION.format(phrase=phrase, operations=OPERATIONS_BETWEEN.join(numbered))


Truth = Fraction | float | int | tuple[Fraction, Fraction] | str


def format_answer(value: Truth, quantum: str) -> str:
    """The answer as the official file writes it: `-7`, `3.0`, `120`, `[-3, 4]`, an equation as it is; never `-0`.

    Numbers are rounded exactly (floats as the fraction they are), halves away from zero.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return f"[{', '.join(format_answer(part, quantum) for part in value)}]"
    return decimal(nearest(value, quantum) * Fraction(quantum), places=1 if quantum == "0.1" else 0)


def nearest(value: Fraction | float | int, quantum: str) -> int:
    """How many `quantum` the nearest multiple of it is; halves away from zero."""
    steps = abs(Fraction(value)) / Fraction(quantum) + Fraction(1, 2)
    whole = steps.numerator // steps.denominator
    return -whole if value < 0 else whole


def decimal(value: Fraction, places: int) -> str:
    """A fraction with `places` decimals, which must be exact."""
    scaled = value * 10**places
    if scaled.denominator != 1:
        raise ValueError(f"{value} has more than {places} decimals")
    digits = f"{abs(scaled.numerator):0{places + 1}d}"
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if scaled < 0 else text


def equation(member: Mapping[str, Any]) -> str:
    """The equation of a `polynomial` or `sine-equation` member with every coefficient written."""
    if member["family"] == "sine-equation":
        a, b, c, d = (int(member[name]) for name in "abcd")
        return f"y = {a}sin({b}x {_signed(c)}) {_signed(d)}"
    if member["family"] != "polynomial":
        raise InputError(
            f"no equation is asked of a {member['family']}; of polynomial and sine-equation only"
        )
    coefficients = [int(coefficient) for coefficient in member["coefficients"]]
    powers = range(len(coefficients) - 1, -1, -1)
    terms = [
        f"{coefficient if not n else _signed(coefficient)}{_power(power)}"
        for n, (coefficient, power) in enumerate(zip(coefficients, powers, strict=True))
    ]
    return "y = " + " ".join(terms)


def _signed(value: int) -> str:
    return f"{'-' if value < 0 else '+'} {abs(value)}"


def _power(power: int) -> str:
    return "" if power == 0 else "x" if power == 1 else f"x^{power}"

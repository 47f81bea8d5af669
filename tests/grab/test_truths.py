"""Exact answers against worked examples, SciPy, moved points, and a second computation by dense sampling."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from grab_members import CURVES, Chance
from numpy.testing import assert_allclose
from scipy import stats
from scipy.integrate import quad

from paperworks.errors import InputError
from paperworks.grab.areas import integral
from paperworks.grab.dense import difference
from paperworks.grab.families import domain, turning_points, values
from paperworks.grab.operations import compose
from paperworks.grab.truths import dense_truth, truth

DOUBLE = {"family": "line", "m": "2", "k": "0", "domain": ["-3", "4"]}
TURN = {"kind": "rotate", "angle": 90}

OF_PARAMETERS = {
    "x-intercept": Chance.line,
    "y-intercept": Chance.line,
    "gradient": Chance.line,
    "stationary-point": Chance.parabola,
    "function-mean": Chance.bell,
    "peak": Chance.bell,
    "variance": Chance.bell,
    "amplitude": Chance.sine,
    "period": Chance.sine,
    "vertical-shift": Chance.sine,
    "phase-shift": Chance.sine,
}
OF_CURVES = ("maximum", "minimum", "range-span", "domain-length", "net-area", "total-area")
OF_DATA = (
    *(
        "pearson",
        "spearman",
        "kendall",
        "mean",
        "median",
        "interquartile-range",
        "variance",
        "number-of-points",
    ),
    *("maximum", "minimum", "domain-length", "range-span"),
)


def item(*members, operations=(), **asked):
    return {"members": list(members), "operations": list(operations), "asked": asked}


def agree(spec, prop, tolerance=1e-5):
    exact, dense = truth(spec, prop), dense_truth(spec, prop)
    scale = 1.0 if isinstance(exact, (str, tuple)) else max(1.0, abs(float(exact)))
    assert difference(exact, dense) <= tolerance * scale, (prop, exact, dense, spec)


@pytest.mark.parametrize("prop", OF_PARAMETERS)
def test_parameters_are_what_dense_samples_show(prop):
    chance = Chance(10)
    for count in (1, 1, 1, 3, 10):
        spec = item(*(OF_PARAMETERS[prop](chance) for _ in range(count)))
        agree(spec, prop)
        assert isinstance(truth(spec, prop), Fraction)


@pytest.mark.parametrize("draw", CURVES)
@pytest.mark.parametrize("prop", OF_CURVES)
def test_extents_and_areas_of_every_family_are_what_dense_samples_show(prop, draw):
    chance = Chance(11)
    for count in (1, 1, 1, 4):
        agree(item(*(draw(chance) for _ in range(count))), prop)


def test_stationary_pairs_and_equations_are_what_dense_samples_show():
    chance = Chance(12)
    for _ in range(30):
        agree(item(chance.cubic()), "stationary-points")
        agree(item(chance.polynomial()), "equation")
        agree(item(chance.sine_equation()), "equation")


@pytest.mark.parametrize("prop", OF_DATA)
def test_statistics_of_data_are_what_scipy_says(prop):
    chance = Chance(13)
    for count in (1, 1, 1, 1, 5):
        agree(item(*(chance.points() for _ in range(count))), prop, tolerance=1e-13)


def test_statistics_of_one_cloud_written_out_against_scipy_and_numpy():
    member = Chance(14).points()
    x, y = (np.array(member[key], dtype=float) for key in ("x", "y"))
    expected = {
        "pearson": stats.pearsonr(x, y).statistic,
        "spearman": stats.spearmanr(x, y).statistic,
        "kendall": stats.kendalltau(x, y).statistic,
        "mean": y.mean(),
        "median": np.median(y),
        "interquartile-range": np.percentile(y, 75) - np.percentile(y, 25),
        "variance": np.var(y),
    }
    assert_allclose(
        [float(truth(item(member), prop)) for prop in expected], list(expected.values()), rtol=1e-12
    )


def test_ties_and_exact_coefficients():
    tied = {"family": "points", "x": ["1", "1", "2", "3"], "y": ["2", "2", "1", "5"]}
    agree(item(tied), "kendall", 1e-14)
    agree(item(tied), "spearman", 1e-14)
    plain = {"family": "points", "x": ["1", "2", "3", "4"], "y": ["1", "3", "2", "4"]}
    assert truth(item(plain), "kendall") == Fraction(2, 3)
    assert truth(item(plain), "spearman") == Fraction(4, 5)
    assert truth(item(plain), "variance") == Fraction(5, 4)
    assert truth(item(plain), "interquartile-range") == Fraction(3, 2)


@pytest.mark.parametrize("draw", CURVES)
def test_areas_equal_adaptive_quadrature(draw):
    chance = Chance(15)
    for _ in range(6):
        member = draw(chance)
        low, high = (float(end) for end in domain(member))
        breaks = [float(place.x) for place in turning_points(member)]
        if member["family"] == "smooth":
            breaks = [float(x) for x in member["x"]]

        def curve(x, member=member):
            return float(values(member, x))

        def height(x, member=member):
            return abs(float(values(member, x)))

        net = sum(quad(curve, a, b, epsabs=1e-11)[0] for a, b in pairwise(breaks))
        total = sum(quad(height, a, b, epsabs=1e-9, limit=200)[0] for a, b in pairwise(breaks))
        assert_allclose(float(truth(item(member), "net-area")), net, rtol=1e-11, atol=1e-10)
        assert_allclose(float(truth(item(member), "total-area")), total, rtol=1e-7, atol=1e-7)
        assert_allclose(float(integral(member, Fraction(low), Fraction(high))), net, rtol=1e-11, atol=1e-10)


def test_areas_worked_by_hand():
    line = {"family": "line", "m": "1", "k": "0", "domain": ["-2", "3"]}
    assert truth(item(line), "net-area") == Fraction(5, 2)
    assert truth(item(line), "total-area") == 6.5
    parabola = {"family": "parabola", "h": "0", "v": "-1", "a": "1", "domain": ["-2", "2"]}
    assert truth(item(parabola), "net-area") == Fraction(4, 3)
    assert truth(item(parabola), "total-area") == pytest.approx(4, abs=1e-14)
    sine = {"family": "sine", "A": "3", "T": "4", "h": "0", "v": "0", "domain": ["0", "4"]}
    assert truth(item(sine), "net-area") == pytest.approx(0, abs=1e-14)
    assert truth(item(sine), "total-area") == pytest.approx(24 / math.pi, rel=1e-14)
    above = {"family": "smooth", "x": ["0", "1", "2"], "y": ["1", "2", "1"]}
    assert truth(item(above), "net-area") == truth(item(above), "total-area") == Fraction(10, 3)


def test_the_total_area_of_a_smooth_curve_is_the_same_bits_everywhere():
    member = {
        "family": "smooth",
        "x": ["-7", "-4", "-1", "2", "6"],
        "y": ["-3.25", "6.5", "-8", "1.75", "9.1"],
    }
    assert repr(truth(item(member), "total-area")) == "61.27319845804249"
    assert str(truth(item(member), "net-area")) == "289514237/14169120"


def test_worked_transforms_of_the_specification():
    scaled = [{"kind": "scale", "axis": "y", "factor": "3"}, TURN]
    assert truth(item(DOUBLE, operations=scaled), "gradient") == Fraction(-1, 6)
    mirrored = [{"kind": "reflect", "in": "x=k", "k": "-10"}, {"kind": "translate", "axis": "y", "by": "-7"}]
    assert truth(item(DOUBLE, operations=mirrored), "gradient") == -2


@pytest.mark.parametrize("prop", ["gradient", *OF_CURVES])
def test_500_random_sequences_against_20001_moved_points(prop):
    chance = Chance(16)
    swapped = 0
    for _ in range(500 // 7 + 1):
        operations = chance.operations()
        member = chance.line() if prop == "gradient" else chance.smooth(monotone="area" in prop)
        agree(item(member, operations=operations), prop)
        swapped += compose(operations).swaps
    assert 15 < swapped < 60


def test_a_moved_area_with_a_root_that_is_rational_is_exact():
    member = {"family": "smooth", "x": ["-2", "1", "3"], "y": ["-1", "0.5", "4"]}
    spec = item(member, operations=[TURN, {"kind": "translate", "axis": "y", "by": "1"}])
    assert isinstance(truth(spec, "total-area"), Fraction)
    agree(spec, "total-area")


@pytest.mark.parametrize("prop", OF_CURVES)
def test_no_effect_no_change(prop):
    member = Chance(17).smooth()
    base = truth(item(member), prop)
    mirror = {"kind": "reflect", "in": "y=k", "k": "2"}
    assert truth(item(member, operations=[TURN] * 4), prop) == base
    assert truth(item(member, operations=[mirror, mirror]), prop) == base


def test_the_mean_is_of_members_not_rounded_first():
    members = [
        {"family": "bell", "s": "3", "mu": mu, "var": "1", "domain": ["-10", "10"]}
        for mu in ("0.4", "0.4", "0.4")
    ]
    assert truth(item(*members), "function-mean") == Fraction(2, 5)
    assert truth(item(*members, {**members[0], "mu": "1.5"}), "function-mean") == Fraction(27, 40)


def test_one_of_several_members_can_be_asked():
    members = [{**DOUBLE, "m": m} for m in ("1", "2", "5")]
    assert truth(item(*members, member=2), "gradient") == 5
    assert dense_truth(item(*members, member=1), "gradient") == pytest.approx(2)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ({"family": "polynomial", "coefficients": [2, -1, -2, 6, 3]}, "y = 2x^4 - 1x^3 - 2x^2 + 6x + 3"),
        ({"family": "polynomial", "coefficients": [-1, 0, 0]}, "y = -1x^2 + 0x + 0"),
        ({"family": "line", "m": "-1", "k": "-3"}, "y = -1x - 3"),
        ({"family": "sine-equation", "a": "2", "b": "9", "c": "0", "d": "-6"}, "y = 2sin(9x + 0) - 6"),
        ({"family": "sine-equation", "a": "2", "b": "-9", "c": "7", "d": "6"}, "y = 2sin(-9x + 7) + 6"),
    ],
)
def test_equations_are_written_as_official_answers_are(member, expected):
    assert truth(item({**member, "domain": ["-2", "2"]}), "equation") == expected


@pytest.mark.parametrize(
    ("amplitude", "shift", "expected"),
    [("2", "3", "3"), ("2", "-1", "5"), ("2", "14", "2"), ("-2", "1", "4")],
)
def test_the_phase_is_the_smallest_of_a_rising_sine(amplitude, shift, expected):
    member = {"family": "sine", "A": amplitude, "T": "6", "h": shift, "v": "0", "domain": ["-9", "9"]}
    assert truth(item(member), "phase-shift") == int(expected)
    agree(item(member), "phase-shift")


def test_counts():
    chance = Chance(18)
    assert truth(item(*(chance.points() for _ in range(7))), "number-of-series") == 7
    member = chance.points()
    assert truth(item(member), "number-of-points") == len(member["x"])


@pytest.mark.parametrize(
    ("spec", "prop", "message"),
    [
        (item(DOUBLE), "colour", "property 'colour' is unknown"),
        (item(DOUBLE), "amplitude", "amplitude of a line: asked of sine"),
        (item(DOUBLE), "median", "asked of points"),
        (item(DOUBLE, operations=[TURN]), "y-intercept", "not asked after operations"),
        (item(DOUBLE, DOUBLE), "equation", "asked of one function"),
        (item({**DOUBLE, "m": "0"}), "x-intercept", "level"),
        (item({**DOUBLE, "m": "0"}, operations=[TURN]), "gradient", "vertical"),
        (
            item({"family": "smooth", "x": ["0", "1", "2"], "y": ["0", "2", "0"]}, operations=[TURN]),
            "net-area",
            "not a function",
        ),
        (item({"family": "points", "x": ["1", "1"], "y": ["1", "2"]}), "pearson", "all x or all y are equal"),
        (item({"family": "points", "x": ["1", "1"], "y": ["1", "2"]}), "total-area", "asked of curves"),
        (item({"family": "points", "x": ["1", "2", "3"], "y": ["1", "2"]}), "kendall", "3 x and 2 y"),
        (item({"family": "points", "x": [], "y": []}), "median", "no point"),
        (item({"family": "points", "x": [], "y": []}), "maximum", "no point"),
        (item(), "gradient", "no member"),
    ],
)
def test_a_question_without_an_answer_is_refused(spec, prop, message):
    with pytest.raises(InputError, match=message):
        truth(spec, prop)

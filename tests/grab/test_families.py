"""Curves: their values, their domains, where they turn, and how they refuse bad parameters."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from grab_members import CURVES, Chance
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.interpolate import PchipInterpolator

from paperworks.errors import InputError
from paperworks.grab.families import (
    domain,
    extremes,
    hermite,
    millionths,
    number,
    points,
    polynomial_pieces,
    turning_points,
    value,
    values,
)

KNOTS = {"family": "smooth", "x": ["-3", "0", "4"], "y": ["1", "5.5", "-2.25"]}


@given(st.decimals(min_value=-1000, max_value=1000, places=6, allow_nan=False))
def test_decimal_strings_are_read_exactly(decimal):
    assert number(f"{decimal:f}") == Fraction(decimal)
    assert millionths(f"{decimal:f}") == decimal * 10**6


def test_short_decimals_and_integers_are_read_exactly():
    for text in ("-0.5", "7", "-3.4", "0.000001", "+2.5", "-.5"):
        assert number(text) == Fraction(Decimal(text))
    assert number(-4) == -4


@pytest.mark.parametrize("text", ["", "x", "1.0000001", "1e3", "1.-5", "--1", "1.2.3"])
def test_a_parameter_that_is_no_decimal_is_refused_with_its_text(text):
    with pytest.raises(InputError, match="not a decimal number"):
        millionths(text)


@pytest.mark.parametrize("whole", [False, True])
def test_smooth_curves_equal_scipys_pchip(whole):
    chance = Chance(1)
    for _ in range(300):
        member = chance.smooth(whole=whole)
        x, y = (np.array(member[key], dtype=float) for key in ("x", "y"))
        peer = PchipInterpolator(x, y)
        dense = np.linspace(x[0], x[-1], 1001)
        assert_allclose(values(member, dense), peer(dense), rtol=0, atol=1e-12)
        slopes = [float(slope) for slope in hermite(member)[2]]
        assert_allclose(slopes, peer.derivative()(x), rtol=1e-12, atol=1e-12)


def test_two_knots_are_a_straight_line():
    member = {"family": "smooth", "x": ["-1", "3"], "y": ["2", "4"]}
    assert value(member, Fraction(0)) == Fraction(5, 2)
    assert_allclose(values(member, [-1.0, 0.0, 3.0]), [2, 2.5, 4], rtol=0, atol=1e-15)


@pytest.mark.parametrize("draw", CURVES)
def test_exact_values_pieces_and_float_values_agree(draw):
    chance = Chance(2)
    for _ in range(20):
        member = draw(chance)
        low, high = domain(member)
        places = [low + (high - low) * Fraction(k, 7) for k in range(8)]
        expected = values(member, [float(place) for place in places])
        assert_allclose([float(value(member, place)) for place in places], expected, rtol=1e-12, atol=1e-11)
        if member["family"] in ("sine", "sine-equation", "bell"):
            continue
        for piece in polynomial_pieces(member):
            step = (piece.end - piece.start) / 3
            height = sum(c * step**power for power, c in enumerate(piece.coefficients))
            assert height == value(member, piece.start + step)


@pytest.mark.parametrize("draw", CURVES)
def test_extremes_and_turning_points_are_those_of_dense_samples(draw):
    chance = Chance(3)
    for _ in range(20):
        member = draw(chance)
        x, y = points(member, 20001)
        low, high = (float(height) for height in extremes(member))
        scale = np.ptp(y)
        assert_allclose([y.min(), y.max()], [low, high], rtol=0, atol=1e-4 * scale)
        assert low <= y.min() + 1e-9 * scale
        assert high >= y.max() - 1e-9 * scale
        turns = turning_points(member)
        xs = [float(place.x) for place in turns]
        assert xs == sorted(xs)
        assert (xs[0], xs[-1]) == (x[0], x[-1])
        assert_allclose([float(place.y) for place in turns], values(member, xs), rtol=1e-9, atol=1e-9 * scale)
        steps = np.sign(np.diff(y))
        assert len(turns) - 2 == np.count_nonzero(steps[1:] != steps[:-1])


def test_where_sines_bells_parabolas_and_cubics_turn_is_exact():
    sine = {"family": "sine", "A": "2", "T": "4", "h": "0.5", "v": "1", "domain": ["0", "4"]}
    assert [(place.x, place.y) for place in turning_points(sine)[1:-1]] == [
        (Fraction(3, 2), 3),
        (Fraction(7, 2), -1),
    ]
    cubic = {"family": "cubic", "s": "1", "p": "-1", "r": "2", "k": "0", "domain": ["-3", "3"]}
    assert [(place.x, place.y) for place in turning_points(cubic)[1:-1]] == [(-1, Fraction(7, 2)), (2, -10)]
    bell = {"family": "bell", "s": "3.5", "mu": "0.25", "var": "2", "domain": ["-5", "5"]}
    assert extremes(bell)[1] == Fraction(7, 2)
    assert isinstance(extremes(bell)[0], float)


def test_a_flat_stretch_of_a_smooth_curve_gives_both_its_ends():
    member = {"family": "smooth", "x": ["0", "1", "2", "3"], "y": ["0", "2", "2", "0"]}
    assert [place.x for place in turning_points(member)] == [0, 1, 2, 3]


def test_points_keep_their_order_and_their_extent():
    member = {"family": "points", "x": ["3", "-1", "2.5"], "y": ["0", "1", "-4.25"]}
    x, y = points(member)
    assert (x.tolist(), y.tolist()) == ([3, -1, 2.5], [0, 1, -4.25])
    assert domain(member) == (-1, 3)
    assert extremes(member) == (Fraction(-17, 4), 1)
    assert points(KNOTS)[0].shape == (2001,)


def test_values_keep_the_shape_of_x():
    for draw in CURVES:
        assert values(draw(Chance(4)), np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"family": "spiral"}, "the families are line"),
        ({"family": "line", "m": "1", "domain": ["0", "1"]}, "line: k missing"),
        ({"family": "bell", "s": "1", "mu": "1", "var": "1"}, "domain missing"),
        ({"family": "line", "m": "1", "k": "0", "domain": ["1", "1"]}, "is empty"),
        ({"family": "points", "x": [], "y": []}, "no point"),
    ],
)
def test_a_member_that_is_not_one_is_refused(member, message):
    with pytest.raises(InputError, match=message):
        domain(member)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (["0"], ["1"], "at least two knots"),
        (["0", "1"], ["1"], "as many x as y"),
        (["0", "2", "1"], ["0", "1", "2"], "right of the one before"),
    ],
)
def test_knots_that_make_no_curve_are_refused(x, y, message):
    with pytest.raises(InputError, match=message):
        values({"family": "smooth", "x": x, "y": y}, 0.0)


def test_points_are_no_curve():
    member = {"family": "points", "x": ["1"], "y": ["1"]}
    for ask in (
        lambda: values(member, 0.0),
        lambda: turning_points(member),
        lambda: polynomial_pieces(member),
    ):
        with pytest.raises(InputError, match=r"points"):
            ask()

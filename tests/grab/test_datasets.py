"""Data built to hit a target: the statistic of the drawn coordinates, by SciPy and NumPy, is the target."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from paperworks.errors import InputError
from paperworks.grab.datasets import data, series
from paperworks.grab.draws import Draws
from paperworks.grab.families import points
from paperworks.grab.rules import Refused, points_apart

SQUARE = {"x": ["-10", "10"], "y": ["-10", "10"]}
Statistic = Callable[[np.ndarray, np.ndarray], float]

# Property: statistic by NumPy or SciPy, range of targets, tolerance.
STATISTICS: dict[str, tuple[Statistic, tuple[str, str], float]] = {
    "mean": (lambda x, y: float(y.mean()), ("-8.5", "8.5"), 1e-9),
    "median": (lambda x, y: float(np.median(y)), ("-8.5", "8.5"), 1e-9),
    "interquartile-range": (
        lambda x, y: float(np.subtract(*np.percentile(y, [75, 25]))),
        ("0.3", "11"),
        1e-9,
    ),
    "variance": (lambda x, y: float(np.var(y)), ("0.3", "45"), 2e-3),
    "maximum": (lambda x, y: float(y.max()), ("-8", "9.5"), 1e-9),
    "minimum": (lambda x, y: float(y.min()), ("-9.5", "8"), 1e-9),
    "range-span": (lambda x, y: float(np.ptp(y)), ("0.4", "19.1"), 1e-9),
    "domain-length": (lambda x, y: float(np.ptp(x)), ("4.5", "19.1"), 1e-9),
    "pearson": (lambda x, y: float(stats.pearsonr(x, y).statistic), ("-0.95", "0.95"), 2e-3),
    "spearman": (lambda x, y: float(stats.spearmanr(x, y).statistic), ("-0.95", "0.95"), 0.02),
    "kendall": (lambda x, y: float(stats.kendalltau(x, y).statistic), ("-0.95", "0.95"), 0.02),
}


def made(prop: str, target: Fraction, key: object, n: int, **more: object) -> tuple[np.ndarray, np.ndarray]:
    member = data(prop, target, "0.1", Draws("data", prop, key), n=n, limits=SQUARE, **more)  # type: ignore[arg-type]
    assert member["family"] == "points"
    assert all(
        re.fullmatch(r"-?\d+(\.\d{1,4})?", text) and text != "-0" for text in member["x"] + member["y"]
    )
    return points(member)


@pytest.mark.parametrize("prop", STATISTICS)
def test_drawn_points_have_the_target(prop: str) -> None:
    statistic, (low, high), tolerance = STATISTICS[prop]
    for key in range(60):
        draws = Draws("target", prop, key)
        target = Fraction(str(draws.hundredths(low, high)))
        n = draws.integer(12, 60)
        x, y = made(prop, target, key, n)
        assert len(x) == len(y) == n
        assert abs(statistic(x, y) - float(target)) <= tolerance, (key, n, target)
        assert max(np.abs(x).max(), np.abs(y).max()) <= 9.6
        assert len(set(zip(x.tolist(), y.tolist(), strict=True))) == n


@pytest.mark.parametrize("prop", ["mean", "median", "interquartile-range", "maximum", "range-span"])
def test_target_of_four_decimals_is_hit_exactly(prop: str) -> None:
    statistic, _, _ = STATISTICS[prop]
    for key, n in itertools.product(range(6), (12, 13, 14, 15, 40)):
        target = Fraction(53211 + 17 * key, 10_000)
        assert abs(statistic(*made(prop, target, key, n)) - float(target)) < 1e-9


@pytest.mark.parametrize("prop", ["spearman", "kendall"])
def test_ranks_are_without_ties(prop: str) -> None:
    for key in range(20):
        x, y = made(prop, Fraction(1, 5), key, 40)
        assert len(set(x.tolist())) == len(set(y.tolist())) == 40


@pytest.mark.parametrize(
    ("prop", "target"), list(itertools.product(("pearson", "spearman", "kendall"), (1, -1)))
)
def test_perfect_correlation(prop: str, target: int) -> None:
    x, y = made(prop, Fraction(target), 0, 30)
    assert STATISTICS[prop][0](x, y) == pytest.approx(target, abs=1e-4)


def test_an_extreme_stands_out() -> None:
    for key in range(30):
        _, y = made("maximum", Fraction(key, 4), key, 30)
        first, second = np.sort(y)[:-3:-1]
        assert first - second >= 0.2


@pytest.mark.parametrize("count", [15, 50, 96])
def test_counted_points_are_apart(count: int) -> None:
    limits = {"x": ["0", "30"], "y": ["-20", "0"]}
    for key in range(4):
        member = data(
            "number-of-points", Fraction(count), "1", Draws("count", key, count), n=0, limits=limits
        )
        assert len(member["x"]) == count
        spec = {
            "members": [member],
            "axes": limits,
            "style": {"size": [600, 375], "sizes": ["7"], "markers": ["^"]},
        }
        margin = points_apart(spec, "number-of-points")
        assert margin is not None
        assert margin >= 0


def test_more_points_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(Refused, match="no room for 600 points"):
        data("number-of-points", Fraction(600), "1", Draws(0), n=0, limits=SQUARE)


def test_series_are_apart_and_have_eight_to_twenty_points() -> None:
    members = series(12, Draws("series"), limits=SQUARE)
    assert len(members) == 12
    assert all(8 <= len(member["x"]) <= 20 for member in members)
    spec = {"members": members, "axes": SQUARE, "style": {"size": [600, 600], "sizes": ["5"] * 12}}
    assert points_apart(spec, "number-of-series") is not None


def test_points_keep_off_the_markers_of_other_series() -> None:
    diameter = 0.0115 * 20
    touching = {True: 0, False: 0}
    for knows, key in itertools.product(touching, range(10)):
        members: list[dict[str, object]] = []
        for k in range(6):
            draws = Draws("others", key, k)
            shown = members if knows else ()
            size = (0.0115, 0.0115)
            members.append(
                data("mean", Fraction(k - 3), "1", draws, n=40, limits=SQUARE, others=shown, diameter=size)
            )
        where = np.concatenate([np.stack(points(member), axis=1) for member in members])
        distance = np.hypot(*(where[:, None] - where[None, :]).transpose(2, 0, 1)) + np.eye(len(where)) * 99
        touching[knows] += int((distance.min(axis=1) < diameter).sum())
    assert touching[True] * 4 < touching[False]


def test_moving_markers_apart_does_not_change_the_statistic() -> None:
    for prop in ("median", "variance", "domain-length", "spearman", "kendall"):
        members: list[dict[str, object]] = []
        target = Fraction(8) if prop == "domain-length" else Fraction(1, 2)
        for k in range(6):
            members.append(data(prop, target, "0.1", Draws(prop, k), n=36, limits=SQUARE, others=members))
            assert STATISTICS[prop][0](*points(members[-1])) == pytest.approx(float(target), abs=0.02)


def test_same_draws_give_the_same_points() -> None:
    for prop in STATISTICS:
        one, other = (
            data(prop, Fraction(1, 2), "0.1", Draws(7, prop), n=20, limits=SQUARE) for _ in range(2)
        )
        assert one == other


@pytest.mark.parametrize(
    ("prop", "target"),
    [
        ("mean", "9.7"),
        ("median", "-11"),
        ("interquartile-range", "19.1"),
        ("interquartile-range", "-0.2"),
        ("variance", "95"),
        ("maximum", "-9.5"),
        ("minimum", "9.9"),
        ("range-span", "19.3"),
        ("domain-length", "19.3"),
        ("pearson", "1.01"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(prop: str, target: str) -> None:
    with pytest.raises(Refused) as refused:
        data(prop, Fraction(target), "0.1", Draws(0), n=20, limits=SQUARE)
    assert refused.value.rule == "data"


def test_too_few_points_cannot_have_every_kendall() -> None:
    with pytest.raises(Refused, match="kendall of 6 points"):
        data("kendall", Fraction(1, 5) + Fraction(1, 15), "0.1", Draws(0), n=6, limits=SQUARE)


def test_unknown_property_and_too_few_points_are_input_errors() -> None:
    with pytest.raises(InputError, match="no data for property 'amplitude'"):
        data("amplitude", Fraction(1), "1", Draws(0), n=20, limits=SQUARE)
    with pytest.raises(InputError, match="give n of at least 4"):
        data("mean", Fraction(1), "1", Draws(0), n=3, limits=SQUARE)
    with pytest.raises(InputError, match="do not ascend"):
        data("mean", Fraction(1), "1", Draws(0), n=9, limits={"x": ["0", "0"], "y": ["0", "1"]})

"""Solving for a given answer: means, areas, operations."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from paperworks.grab import solve, solve_smooth, solve_transforms
from paperworks.grab.design import cells
from paperworks.grab.draws import Draws
from paperworks.grab.operations import compose, is_empty, undoes
from paperworks.grab.rules import Refused


@pytest.mark.parametrize("count", [1, 2, 5, 10])
@pytest.mark.parametrize("mean", ["0.03", "-8.7", "8.5", "9.59"])
def test_values_have_exactly_the_mean_and_stay_in_their_range(count, mean):
    for seed in range(30):
        values = solve.spread(Fraction(mean), count, (-960, 960), Draws(seed))
        assert sum(values) == count * Fraction(mean) * 100
        assert len(values) == count
        assert min(values) >= -960
        assert max(values) <= 960


def test_values_keep_their_distance():
    for seed in range(50):
        values = sorted(solve.spread(Fraction("8.9"), 10, (-960, 960), Draws(seed), gap=14))
        assert sum(values) == 8900
        assert min(np.diff(values)) >= 12  # rounding and what it leaves over
        assert values[-1] <= 960


def test_a_mean_that_cannot_be_is_refused():
    with pytest.raises(Refused, match="too near"):
        solve.spread(Fraction("9.3"), 10, (-960, 960), Draws(0), gap=14)
    with pytest.raises(Refused, match="range"):
        solve.spread(Fraction(12), 1, (-960, 960), Draws(0))


def test_the_mean_of_many_members_is_as_spread_as_that_of_one():
    """Answer first: the prior does not shrink to the middle as the number of members grows."""
    for slot in cells("paper", tasks=["function"], properties=["maximum"], complexities=[9]):
        values = solve.spread(Fraction(slot.index % 9), slot.complexity + 1, (-750, 950), Draws(slot.index))
        assert sum(values) / 10 == 100 * (slot.index % 9)


def test_areas_agree_with_those_of_scipys_curve():
    draws = Draws("areas")
    for _ in range(40):
        places = [float(x) for x in solve_smooth.knot_places(draws, -9, 9)]
        heights = [draws.integer(-900, 900) / 100 for _ in places]
        curve = PchipInterpolator(places, heights)
        assert solve_smooth.slopes(places, heights) == pytest.approx(curve.derivative()(places), abs=1e-12)
        net, total = solve_smooth.areas(places, heights, 0.7)
        assert net == pytest.approx(curve.integrate(places[0], places[-1]) + 0.7 * (places[-1] - places[0]))
        dense = np.linspace(places[0], places[-1], 20_001)
        assert total == pytest.approx(np.trapezoid(np.abs(curve(dense) + 0.7), dense), rel=1e-4)


def test_drawn_operations_change_something_and_none_undoes_the_one_before():
    kinds: dict[str, int] = {}
    for seed in range(500):
        operations = solve_transforms.draw_operations(seed % 10, Draws("operations", seed))
        assert len(operations) == seed % 10
        for operation in operations:
            kinds[operation["kind"]] = kinds.get(operation["kind"], 0) + 1
            assert not is_empty(operation)
        for first, second in itertools.pairwise(operations):
            assert not undoes(first, second)
            assert not solve_transforms.undone(first, second)
    assert min(kinds.values()) > 0.2 * sum(kinds.values())


def test_undone_is_what_undoes_says_for_every_pair_that_can_be_drawn():
    drawn = [
        operation
        for seed in range(60)
        for operation in solve_transforms.draw_operations(3, Draws("pairs", seed))
    ]
    for first in drawn:
        for second in drawn:
            assert solve_transforms.undone(first, second) == undoes(first, second), (first, second)


def test_the_quick_map_is_the_exact_one():
    for seed in range(300):
        operations = solve_transforms.draw_operations(seed % 10, Draws("map", seed), legacy=True)
        exact = [float(entry) for entry in compose(operations)]
        assert solve_transforms.float_map(operations) == pytest.approx(exact)


def test_legacy_operations_can_be_empty():
    drawn = [
        operation
        for seed in range(100)
        for operation in solve_transforms.draw_operations(5, Draws(seed), legacy=True)
    ]
    assert any(is_empty(operation) for operation in drawn)

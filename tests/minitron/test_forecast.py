"""The recovery forecast on curves whose end is known."""

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.minitron.forecast import forecast

BUDGET = 1_000_000


def points(shares, offset=2.0, factor=1.0, exponent=0.4, noise=0.0, seed=0):
    """Losses `offset + factor·(t / (1 % of the budget))^(−exponent)` with errors."""
    shares = np.asarray(shares)
    losses = offset + factor * (shares / 0.01) ** -exponent
    return list(
        zip(
            BUDGET * shares,
            losses + noise * np.random.default_rng(seed).normal(size=len(shares)),
            strict=True,
        )
    )


@pytest.mark.parametrize("exponent", [0.1, 0.4, 1.0])
def test_a_curve_without_errors_is_found(exponent):
    end = 2 + 100**-exponent
    found = forecast(points([0.01, 0.02, 0.05, 0.1, 0.2], exponent=exponent), BUDGET, noise=1e-4)
    assert found.loss == pytest.approx(end, abs=0.01)
    assert found.low <= found.loss <= found.high
    assert found.at(BUDGET) == pytest.approx(found.loss)
    assert found.at(BUDGET / 100) == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("shares", [(0.01, 0.02, 0.05), (0.01, 0.02, 0.05, 0.1, 0.2)])
@pytest.mark.parametrize("exponent", [0.2, 0.5])
def test_the_truth_lies_within_the_interval_for_most_seeds(shares, exponent):
    end = 2 + 100**-exponent
    found = [
        forecast(points(shares, exponent=exponent, noise=0.01, seed=seed), BUDGET, noise=0.01)
        for seed in range(40)
    ]
    assert sum(one.low <= end <= one.high for one in found) >= 38


def test_more_points_and_less_noise_narrow_the_interval():
    def width(shares, noise):
        found = forecast(points(shares), BUDGET, noise=noise)
        return found.high - found.low

    three, five = (0.01, 0.02, 0.05), (0.01, 0.02, 0.05, 0.1, 0.2)
    assert width(five, 0.01) < width(three, 0.01)
    assert width(five, 0.001) < width(five, 0.01)


def test_scatter_beyond_the_stated_noise_widens_the_interval():
    shares = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
    calm = forecast(points(shares, noise=0.001, seed=1), BUDGET, noise=0.001)
    wild = forecast(points(shares, noise=0.05, seed=1), BUDGET, noise=0.001)
    assert wild.high - wild.low > 2 * (calm.high - calm.low)
    assert set(calm.to_dict()) == {"loss", "low", "high", "level", "offset", "factor", "exponent"}


@pytest.mark.parametrize(
    ("given", "budget", "message"),
    [
        ([(1, 3.0), (2, 2.5)], 100, "at least three"),
        ([(1, 3.0), (2, 2.5), (2, 2.4)], 100, "at least three"),
        ([(0, 3.0), (2, 2.5), (5, 2.4)], 100, "positive"),
        ([(1, 3.0), (2, float("nan")), (5, 2.4)], 100, "positive and finite"),
        ([(1, 3.0), (2, 2.5), (5, 2.4)], 5, "not beyond"),
    ],
)
def test_points_that_allow_no_forecast_are_refused(given, budget, message):
    with pytest.raises(InputError, match=message):
        forecast(given, budget)

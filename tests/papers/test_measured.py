"""How numbers are shown."""

from __future__ import annotations

import pytest

from paperworks.papers import format_measured
from paperworks.papers.measured import format_number


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.71342, None, "0.7134"),
        (0.7, None, "0.7000"),
        (3.0, None, "3"),
        (0.0, None, "0"),
        (12345.678, None, "12,346"),
        (2_000_000, None, "2,000,000"),
        (0.000012345, None, "1.23e-05"),
        (-1.25, None, "-1.250"),
        (71.3412, 0.4123, "71.34"),
        (71.3412, 4.123, "71.3"),
        (713.412, 41.23, "713"),
        (0.5, 1e-12, "0.5000"),
        (2.0, 0.1, "2.00"),
        (None, None, "not a number"),
        (float("nan"), None, "not a number"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(value, spread, text):
    assert format_number(value, spread) == text


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (None, "–"),
        ({"value": 1.8, "unit": "x", "spread": None, "n": 1}, "1.8×"),
        ({"value": 21.7, "unit": "%", "spread": None, "n": 1}, "21.7%"),
        ({"value": 21.71, "unit": "%", "spread": 0.2, "n": 3}, "21.71 ± 0.20 % (n = 3)"),
        ({"value": 0.5, "unit": "", "spread": 0.0, "n": 2}, "0.5000 ± 0 (n = 2)"),
        ({"value": 0.9712, "unit": "recall@1", "spread": None, "n": 1}, "0.9712 recall@1"),
        ({"value": 100.0, "unit": "ms", "spread": None, "n": 1}, "100 ms"),
        ({"value": None, "unit": "ms", "spread": None, "n": 1}, "not a number"),
    ],
)
def test_a_measurement_has_its_unit_spread_and_repetitions(measured, text):
    assert format_measured(measured).replace("\u00a0", " ") == text

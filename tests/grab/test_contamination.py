"""The matched difference of two runs on different items."""

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.grab.contamination import matched_difference


def rows(cells):
    """Rows of cells: (property, complexity, right, of)."""
    return [
        {"id": f"{prop}-{c}-{n}", "task": "function", "property": prop, "quantum": "1", "complexity": c,
         "answer": "3", "text": "3" if n < right else "4", "finish": "stop"}
        for prop, c, right, of in cells
        for n in range(of)
    ]  # fmt: skip


def test_one_cell_is_the_difference_of_two_shares():
    found = matched_difference(rows([("gradient", 0, 30, 40)]), rows([("gradient", 0, 15, 50)]))
    assert found.value == pytest.approx(0.75 - 0.30)
    wald = 1.96 * np.sqrt(0.75 * 0.25 / 40 + 0.3 * 0.7 / 50)
    assert found.high - found.value == pytest.approx(wald, rel=0.1)
    assert (found.cells, found.first, found.second) == (1, 40, 50)


def test_other_mixes_of_equally_hard_cells_are_no_difference():
    easy, hard = ("gradient", 0), ("gradient", 9)
    first = rows([(*easy, 90, 100), (*hard, 1, 10)])
    second = rows([(*easy, 9, 10), (*hard, 10, 100), ("variance", 0, 5, 5)])
    found = matched_difference(first, second)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.cells == 2
    assert found.low < 0 < found.high


def test_the_interval_covers_over_many_small_cells():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        chances = rng.uniform(0.1, 0.7, 40)
        drawn = [
            rows(
                [
                    ("gradient", n, int(rng.binomial(of, chance + more)), of)
                    for n, chance in enumerate(chances)
                ]
            )
            for of, more in ((3, 0.1), (4, 0.0))
        ]
        found = matched_difference(*drawn)
        inside += found.low <= 0.1 <= found.high
    assert 0.91 <= inside / 300 <= 0.985


def test_nothing_in_common_is_an_error():
    with pytest.raises(InputError, match="no kind of item in common"):
        matched_difference(rows([("gradient", 0, 1, 2)]), rows([("gradient", 1, 1, 2)]))

"""Two runs on different items of the same kinds: is a model better on the set that it may have seen?

Fresh items are as hard as the official ones only cell by cell, so a difference of plain accuracies mixes in which cells
each run has. Here each cell (task, property, precision, complexity) is compared with itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from paperworks.errors import InputError
from paperworks.grab.scores import correct, headline

CELL = ("task", "property", "quantum", "complexity")


@dataclass(frozen=True)
class MatchedDifference:
    """Accuracy of the first run minus the second's over the `cells` that both have, with the ends of a 95 % interval;
    `first` and `second` are the answered items that were compared."""

    value: float
    low: float
    high: float
    cells: int
    first: int
    second: int

    def to_dict(self) -> dict[str, float | int]:
        """The figures by their names."""
        return asdict(self)


def matched_difference(
    first: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    *,
    score: str = "exact",
    extract: str = "none",
) -> MatchedDifference:
    """The Mantel–Haenszel difference of two runs' accuracies over matched cells, with Sato's variance, which holds for
    many small cells (Sato, Biometrics 45 (1989), 1323–1324). Raises `InputError` where no cell is in both."""
    headline(score)
    counts: dict[tuple[Any, ...], list[int]] = {}
    for place, rows in enumerate((first, second)):
        for row, value in zip(rows, correct(rows, score, extract), strict=True):
            if value is not None:
                own = counts.setdefault(tuple(row[name] for name in CELL), [0, 0, 0, 0])
                own[2 * place] += value == 1.0
                own[2 * place + 1] += 1
    both = [own for own in counts.values() if own[1] and own[3]]
    if not both:
        raise InputError(
            "the two runs have no kind of item in common (task, property, precision and complexity)"
        )
    weight = sum(n * m / (n + m) for _, n, _, m in both)
    value = sum((x * m - y * n) / (n + m) for x, n, y, m in both) / weight
    p = sum((n * n * y - m * m * x + n * m * (m - n) / 2) / (n + m) ** 2 for x, n, y, m in both)
    q = sum((x * (m - y) + y * (n - x)) / (2 * (n + m)) for x, n, y, m in both)
    half = 1.96 * sqrt(max(0.0, value * p + q)) / weight
    return MatchedDifference(
        value, value - half, value + half, len(both), sum(own[1] for own in both), sum(own[3] for own in both)
    )

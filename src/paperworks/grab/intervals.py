"""How sure a share of right answers is: intervals, tests between two models, a trend over complexities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from scipy.stats import binomtest, norm

from paperworks.errors import InputError


@dataclass(frozen=True)
class Difference:
    """The difference of two shares, first minus second, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """Two models on the same items: how many both, only the first, only the second and neither got right.

    `p` is the exact two-sided probability of such a split of the items that only one got right.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p: float

    @property
    def n(self) -> int:
        """How many items were compared."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """The first model's accuracy minus the second's."""
        return (self.only_first - self.only_second) / self.n

    def to_dict(self) -> dict[str, float | int]:
        """The figures by their names."""
        return {**asdict(self), "n": self.n, "difference": self.difference}


@dataclass(frozen=True)
class Trend:
    """Cochran–Armitage: `z` below 0 where the share falls with the score; `p` is two-sided."""

    z: float
    p: float


def wilson(correct: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share; (0, 1) where nothing was counted."""
    return _wilson(correct, total, level)


@lru_cache(maxsize=8192)
def _wilson(correct: int, total: int, level: float) -> tuple[float, float]:
    if total == 0:
        return 0.0, 1.0
    if not 0 <= correct <= total:
        raise InputError(f"{correct} right answers of {total}: give a count between 0 and the total")
    interval = binomtest(correct, total).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def difference(first: tuple[int, int], second: tuple[int, int], level: float = 0.95) -> Difference:
    """The difference of two shares, each (right, total), of different items, with Newcombe's hybrid interval.

    Newcombe, Statistics in Medicine 17 (1998), 873–890, method 10.
    """
    if not first[1] or not second[1]:
        raise InputError("a difference needs answered items on both sides: one has none")
    p, q = first[0] / first[1], second[0] / second[1]
    (p_low, p_high), (q_low, q_high) = wilson(*first, level), wilson(*second, level)
    return Difference(
        p - q,
        p - q - math.hypot(p - p_low, q_high - q),
        p - q + math.hypot(p_high - p, q - q_low),
    )


def mcnemar(first: Sequence[bool | float], second: Sequence[bool | float]) -> McNemar:
    """McNemar's exact test of two models' right answers to the same items, in the same order."""
    if len(first) != len(second) or not first:
        raise InputError(
            f"{len(first)} and {len(second)} answers: the two models must have answered the same items, at least one"
        )
    pairs = [(bool(one), bool(two)) for one, two in zip(first, second, strict=True)]
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_first + only_second
    p = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemar(pairs.count((True, True)), only_first, only_second, pairs.count((False, False)), p)


def trend(correct: Sequence[int], total: Sequence[int], score: Sequence[float] | None = None) -> Trend:
    """Cochran–Armitage test of a trend of shares `correct[i] / total[i]` over `score[i]` (default 0, 1, 2, …).

    z = Σ x (r − n p) / √(p (1 − p) (Σ n x² − (Σ n x)² / N)), p the share in all. z = 0 where all or none are right.
    """
    x = list(range(len(total))) if score is None else list(score)
    if not len(correct) == len(total) == len(x) >= 2:
        raise InputError(
            f"{len(correct)} counts, {len(total)} totals, {len(x)} scores: a trend needs equally many, at least two"
        )
    everything = sum(total)
    share = sum(correct) / everything if everything else 0.0
    first = sum(n * value for n, value in zip(total, x, strict=True))
    second = sum(n * value * value for n, value in zip(total, x, strict=True))
    variance = share * (1 - share) * (second - first * first / everything) if everything else 0.0
    if variance <= 0:
        return Trend(0.0, 1.0)
    above = sum(value * (r - n * share) for r, n, value in zip(correct, total, x, strict=True))
    z = above / math.sqrt(variance)
    return Trend(z, float(2 * norm.sf(abs(z))))

"""Means over held-out queries, with an interval that is honest about what varies: the queries and the folds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from paperworks.intervals import Interval

RESAMPLES = 1000


@lru_cache(maxsize=4)
def _draws(n: int, seed: int) -> NDArray[np.float32]:
    """How often each of `n` queries is drawn in each resample, `[RESAMPLES, n]`."""
    # A stream of its own: data that a caller drew with the same seed must not be correlated with the resamples.
    random = np.random.default_rng((seed, RESAMPLES))
    return random.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float32)


def mean_over(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """The mean over an axis of what is not NaN; NaN where nothing is."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=axis)
    total = np.where(seen, values, 0.0).sum(axis=axis)
    return total / np.where(count > 0, count, np.nan)


def estimate(values: NDArray[np.floating], seed: int = 0, *, variance: float = 0.0) -> Interval:
    """The mean of per-query values `[galleries, q]` (NaN where a gallery was not asked) and its 95 % interval.

    Queries are resampled whole, each with its mean over the galleries it searched: the percentile bootstrap. That
    misses what the queries of a gallery share, the sample of items they search. Given the `variance` of the mean by
    another account that does not (`jackknife`), the interval is stretched about the mean where that is the larger.
    """
    per_query = mean_over(values, axis=0)
    asked = per_query[~np.isnan(per_query)]
    n = len(asked)
    if n < 2:
        return Interval(float(asked.mean()) if n else float("nan"), float("-inf"), float("inf"), n)
    mean = float(asked.mean())
    resampled = _draws(n, seed) @ asked / n
    stretch = np.sqrt(max(1.0, variance / resampled.var())) if resampled.any() and resampled.var() else 1.0
    low, high = mean + stretch * (np.quantile(resampled, (0.025, 0.975)) - mean)
    return Interval(mean, float(low), float(high), n)


def jackknife(replicates: NDArray[np.floating]) -> float:
    """The variance of the mean over galleries, from each gallery's mean with each of its groups of items left out.

    `replicates` is `[galleries, groups]`; items of a left-out group neither ask nor are found. Per gallery the
    delete-a-group jackknife is `(g − 1)/g · Σ (θ₋ₕ − θ̄)²`.
    """
    galleries, groups = replicates.shape
    centred = replicates - replicates.mean(axis=1, keepdims=True)
    return float((groups - 1) / groups * (centred**2).sum() / galleries**2)

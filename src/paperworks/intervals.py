"""A mean with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over `n` values and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f}, n = {self.n})"

    def percent(self) -> str:
        """A share: `71.2 % (69.8 to 72.6)`."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def points(self) -> str:
        """A difference of shares: `+3.1 points (+2.0 to +4.2)`."""
        return f"{100 * self.value:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def bootstrap(values: ArrayLike, seed: int = 0) -> Interval:
    """The mean of values `[n]` and its percentile bootstrap interval: values resampled whole; an endless interval for
    fewer than two."""
    own = np.asarray(values, dtype=float)
    if len(own) < 2:
        return Interval(
            float(own.mean()) if len(own) else float("nan"), float("-inf"), float("inf"), len(own)
        )
    rng = np.random.default_rng((seed, RESAMPLES))
    means = own[rng.integers(len(own), size=(RESAMPLES, len(own)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(own.mean()), float(low), float(high), len(own))

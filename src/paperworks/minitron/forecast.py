"""How far distillation will get, from the losses after 1, 2 and 5 % of its budget (specification, section 11, item 4).

The curve is a power law with an offset, `loss(t) = c + a·t^(−b)` with `c ≥ 0`, `a ≥ 0` and `0.05 ≤ b ≤ 2`,
`t` in tokens. Three points fix its three parameters and leave no residual, and at twenty times the tokens the
curve is far from linear in them; so the interval is neither the covariance's nor a bootstrap's but spans the
lowest and the highest loss at the budget among all curves whose sum of squares exceeds the best by at most `r²`.
For a fixed `b` the curve is linear in `a` and `c`, so this is exact on a grid of `b`; there the signs of `a` and
`c` are left free, and the interval is cut at 0.

Assumptions: the errors of the points are independent, normal and of one size; the curve is a power law, which a
learning-rate schedule bends (a loss measured before its decay is too high, and so is the forecast). The method is
ours; the paper forecasts nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from paperworks.errors import InputError

EXPONENTS = (0.05, 2.0)
"""The exponents that are thought possible."""


@dataclass(frozen=True)
class Forecast:
    """The loss at the budget, nats per token, within `low` and `high` by the probability `level`; and the curve."""

    loss: float
    low: float
    high: float
    level: float
    offset: float
    factor: float
    exponent: float

    def at(self, tokens: float) -> float:
        """The curve `c + a·t^(−b)`."""
        return self.offset + self.factor * tokens**-self.exponent

    def to_dict(self) -> dict[str, float]:
        """As JSON."""
        return dataclasses.asdict(self)


def forecast(
    points: Sequence[tuple[float, float]], budget: float, *, noise: float = 0.01, level: float = 0.95
) -> Forecast:
    """The loss after `budget` tokens from `points`, pairs of tokens and loss.

    `noise` is the standard deviation of one measured loss in nats, a choice of ours: take it from evaluations on
    other held-out samples. `r² = χ²_3(level)·noise²`, the quantile for all three parameters at once: with three
    points the interval covers the truth at least as often as `level` says. With more, their scatter counts where it is
    larger: `r² = 3·F_{3, n−3}(level)·s²` with `s² = Σ residual² / (n − 3)`.

    Raises `InputError` for fewer than three different numbers of tokens, tokens that are not positive, losses that are
    not finite, or a budget that is not beyond the last point.
    """
    tokens, losses = _checked(points, budget)
    if noise <= 0 or not 0 < level < 1:
        raise InputError(f"noise {noise} must be positive and level {level} between 0 and 1")
    scale = tokens.max()  # in units of the last point the parameters are near 1
    times, end = tokens / scale, budget / scale
    (offset, factor, exponent), _ = curve_fit(
        _curve,
        times,
        losses,
        p0=(0.9 * losses.min(), 0.1 * losses.min(), 0.5),
        sigma=np.full(len(losses), noise),
        absolute_sigma=True,
        bounds=([0, 0, EXPONENTS[0]], [np.inf, np.inf, EXPONENTS[1]]),
    )
    loss = float(_curve(end, offset, factor, exponent))
    low, high = _interval(times, losses, end, noise, level)
    return Forecast(
        loss,
        max(0.0, min(low, loss)),
        max(high, loss),
        level,
        float(offset),
        float(factor * scale**exponent),
        float(exponent),
    )


def _checked(points: Sequence[tuple[float, float]], budget: float) -> tuple[np.ndarray, np.ndarray]:
    table = np.asarray(points, dtype=float)
    if table.ndim != 2 or table.shape[1] != 2 or len(np.unique(table[:, 0])) < 3:
        raise InputError(
            f"a forecast needs (tokens, loss) after at least three numbers of tokens, got {len(points)} points"
        )
    tokens, losses = table.T
    if not (np.isfinite(table).all() and (tokens > 0).all() and (losses > 0).all()):
        raise InputError("tokens and losses must be positive and finite: leave out the point before training")
    if not (math.isfinite(budget) and budget > tokens.max()):
        raise InputError(f"the budget {budget:,} is not beyond the last point, {tokens.max():,.0f} tokens")
    return tokens, losses


def _curve(t: np.ndarray | float, offset: float, factor: float, exponent: float) -> np.ndarray:
    return offset + factor * np.asarray(t) ** -exponent


def _interval(
    times: np.ndarray, losses: np.ndarray, end: float, noise: float, level: float
) -> tuple[float, float]:
    exponents = np.geomspace(*EXPONENTS, 400)
    fits = [_linear(times**-b, losses, end**-b) for b in exponents]
    best = min(squares for _, squares, _ in fits)
    radius2 = chi2.ppf(level, 3) * noise**2
    if (free := len(losses) - 3) > 0:
        radius2 = max(radius2, 3 * f_distribution.ppf(level, 3, free) * best / free)
    reach = [
        (at_end, math.sqrt(variance * (radius2 - squares + best)))
        for at_end, squares, variance in fits
        if squares - best <= radius2
    ]
    return min(loss - width for loss, width in reach), max(loss + width for loss, width in reach)


def _linear(x: np.ndarray, losses: np.ndarray, end: float) -> tuple[float, float, float]:
    """The line through `(x, losses)`: its value at `end`, its sum of squares, and the value's variance for
    unit noise."""
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * losses).sum() / spread
    at_end = losses.mean() + slope * (end - x.mean())
    residual = losses - losses.mean() - slope * (x - x.mean())
    return at_end, float((residual**2).sum()), 1 / len(x) + (end - x.mean()) ** 2 / spread

"""Curves from the places of their centre line: lines, polynomials, sines, bells, and the extent of a curve of
any shape.

Residuals are distances in pixels at a right angle to the curve, so that steep parts do not outweigh flat ones.
Polynomials are re-weighted least squares; sines start from the best frequency of a scan and bells from the
best of a grid, both with the linear parameters solved, and end with Levenberg–Marquardt. Places farther than
.35 px from the fit (where another curve was crossed) are left out of the last rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paperworks.grab.reader_axes import Axes, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paperworks.grab.reader_curves import Trace

    Floats = NDArray[np.float64]

FAR = 0.35
"""Pixels from the fit beyond which a place is left out."""
MOST = 600
"""Places used in a fit."""


@dataclass(frozen=True)
class Fit:
    """Parameters of a family, in values, and the spread of places about the curve in pixels (median distance)."""

    parameters: tuple[float, ...]
    miss: float


def polynomial(trace: Trace, axes: Axes, degree: int) -> Fit:
    """Coefficients, highest first, of y as a polynomial in x."""
    x, y = _places(trace, axes)
    middle, half = (x.min() + x.max()) / 2, max((x.max() - x.min()) / 2, 1e-9)
    u = (x - middle) / half
    table = np.vander(u, degree + 1)
    across, up = abs(1 / axes.x[1]), abs(1 / axes.y[1])
    weight: Floats = np.ones(len(x))
    coefficients: Floats = np.zeros(degree + 1)
    distance: Floats = np.zeros(len(x))
    for turn in range(12):
        solved = np.linalg.lstsq(table * weight[:, None], y * weight, rcond=None)[0]
        coefficients = np.asarray(solved, dtype=np.float64)
        slope = np.polyval(np.polyder(coefficients), u) / half if degree else np.zeros(len(u))
        steep = 1 / np.sqrt(1 + (slope * up / across) ** 2)
        distance = (y - table @ coefficients) * up * steep
        weight = steep * _keep(distance, turn)
    miss = float(np.median(np.abs(distance)))
    shift = np.poly1d([1 / half, -middle / half])
    in_x = np.atleast_1d(np.poly1d(coefficients)(shift).coeffs if degree else coefficients)
    padded = np.concatenate([np.zeros(degree + 1 - len(in_x)), in_x])
    _enough(miss, trace, "a polynomial")
    return Fit(tuple(float(c) for c in padded), miss)


def sine(trace: Trace, axes: Axes) -> Fit:
    """A > 0, T, h in [0, T) and v of A sin(2π (x − h) / T) + v."""
    x, y = _places(trace, axes)
    span = x.max() - x.min()
    highest = min(0.25 / abs(axes.x[1]), 60 / span)  # four pixels a period, sixty periods
    frequencies = np.arange(0.4 / span, highest, 0.08 / span)
    some = slice(None, None, max(1, len(x) // 120))
    rate, parts = _best_sine(x[some], y[some], frequencies)
    fine = rate + np.linspace(-0.09, 0.09, 19) / span
    rate, parts = _best_sine(x, y, fine)

    def model(p: Floats, at: Floats) -> tuple[Floats, Floats]:
        angle = 2 * np.pi * p[3] * (at - middle)
        turn = 2 * np.pi * p[3]
        return (
            p[0] * np.sin(angle) + p[1] * np.cos(angle) + p[2],
            turn * (p[0] * np.cos(angle) - p[1] * np.sin(angle)),
        )

    middle = 0.0
    start = np.array([*parts, rate])
    p, miss = _refine(model, start, x, y, axes)
    _enough(miss, trace, "a sine")
    period = 1 / p[3]
    amplitude = float(np.hypot(p[0], p[1]))
    shift = -np.arctan2(p[1], p[0]) / (2 * np.pi) * period
    return Fit((amplitude, float(period), float(shift % period), float(p[2])), miss)


def _best_sine(x: Floats, y: Floats, frequencies: Floats) -> tuple[float, Floats]:
    """The frequency with the least squared miss, and the factors of sine, cosine and 1."""
    angle = 2 * np.pi * frequencies[:, None] * x
    table = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=-1)
    normal = np.einsum("fni,fnj->fij", table, table) + 1e-9 * np.eye(3)
    right = np.einsum("fni,n->fi", table, y)
    parts = np.linalg.solve(normal, right[..., None])[..., 0]
    best = int(np.argmax(np.einsum("fi,fi->f", parts, right)))
    return float(frequencies[best]), parts[best]


def bell(trace: Trace, axes: Axes) -> Fit:
    """s, μ and variance of s exp(−(x − μ)² / (2 variance))."""
    x, y = _places(trace, axes)
    means = np.linspace(x.min(), x.max(), 61)
    spreads = np.geomspace(0.15, (x.max() - x.min()) ** 2 + 1, 32)
    power = np.exp(-((x - means[:, None, None]) ** 2) / (2 * spreads[None, :, None]))
    top = power @ y
    gain = top**2 / np.maximum((power**2).sum(axis=-1), 1e-9)
    m, v = np.unravel_index(int(gain.argmax()), gain.shape)
    height = top[m, v] / (power[m, v] ** 2).sum()

    def model(p: Floats, at: Floats) -> tuple[Floats, Floats]:
        away = at - p[1]
        value = p[0] * np.exp(-0.5 * away**2 * np.exp(-p[2]))
        return value, -value * away * np.exp(-p[2])

    p, miss = _refine(model, np.array([height, means[m], np.log(spreads[v])]), x, y, axes)
    _enough(miss, trace, "a bell")
    return Fit((float(p[0]), float(p[1]), float(np.exp(p[2]))), miss)


def _places(trace: Trace, axes: Axes) -> tuple[Floats, Floats]:
    """x and y of at most MOST places, evenly chosen."""
    keep = np.unique(np.linspace(0, len(trace.column) - 1, min(MOST, len(trace.column))).astype(int))
    return axes.value_x(trace.column[keep]), axes.value_y(trace.row[keep])


def _keep(distance: Floats, turn: int) -> Floats:
    """Weights of a robust round: Cauchy's at first, then none for places that are far off."""
    spread = max(1.48 * float(np.median(np.abs(distance))), 0.02)
    soft = 1 / np.sqrt(1 + (distance / (2.5 * spread)) ** 2)
    if turn < 6:
        return np.asarray(soft)
    return np.where(np.abs(distance) < max(FAR, 3 * spread), soft, 0.0)


def _refine(
    model: Callable[[Floats, Floats], tuple[Floats, Floats]], start: Floats, x: Floats, y: Floats, axes: Axes
) -> tuple[Floats, float]:
    from scipy.optimize import least_squares

    across, up = abs(1 / axes.x[1]), abs(1 / axes.y[1])

    def distances(p: Floats) -> Floats:
        value, slope = model(p, at)
        return (of - value) * up / np.sqrt(1 + (slope * up / across) ** 2)

    at, of = x, y
    p = start
    for scale in (1.0, 0.15):
        p = least_squares(distances, p, loss="soft_l1", f_scale=scale, x_scale=np.abs(p) + 0.1, max_nfev=60).x
    distance = distances(p)
    miss = float(np.median(np.abs(distance)))
    near = np.abs(distance) < max(FAR, 4 * miss)
    if near.sum() >= len(start) + 4:
        at, of = x[near], y[near]
        p = least_squares(distances, p, x_scale=np.abs(p) + 0.1, max_nfev=40).x
    return p, miss


def _enough(miss: float, trace: Trace, what: str) -> None:
    if not np.isfinite(miss) or miss > 0.4 + 0.1 * trace.width:
        raise Refused("fit", f"the curve is {miss:.2f} px off {what}")

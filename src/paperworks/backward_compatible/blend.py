"""Blended queries while the old model still runs: between the old query and the rotated new one, on the sphere.

The old query `u` ranks the old gallery as today; the rotated new query `v` ranks it as the new model would, as far as
one rotation can say. Their errors differ, so a query between them can beat both. Spherical interpolation keeps it on
the sphere, at constant angular speed: with `cos θ = ⟨u, v⟩`,

    slerp(u, v, t) = sin((1 − t) θ) / sin θ · u  +  sin(t θ) / sin θ · v
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperworks.errors import InputError

WEIGHTS: tuple[float, ...] = tuple(round(0.1 * step, 1) for step in range(11))


def slerp(a: ArrayLike, b: ArrayLike, t: float) -> NDArray[np.floating]:
    """The point at fraction `t` of the shorter arc from each row of `a` to the same row of `b`, both `[..., D]`.

    Computed in float64 and returned in the common dtype of `a` and `b`. `t = 0` returns `a` and `t = 1` returns `b`
    bit for bit. In between, directions are interpolated on the sphere and lengths linearly, so unit rows stay unit.
    Nearly parallel rows fall back to the chord, whose limit is the arc. Antipodal rows have no shortest arc; a
    fixed one is taken, through the coordinate axis most nearly perpendicular to `a`.

    Raises `InputError` if the shapes differ, `t` is outside [0, 1], or a row is all zero.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape:
        raise InputError(f"slerp needs two arrays of one shape, got {first.shape} and {second.shape}")
    if not 0.0 <= t <= 1.0:
        raise InputError(f"the weight of a blend lies between 0 and 1, got {t}")
    dtype = np.result_type(first, second)
    if not np.issubdtype(dtype, np.floating):
        dtype = np.dtype(np.float64)
    if t == 0.0 or t == 1.0:
        return (second if t else first).astype(dtype, copy=True)

    length_a, length_b = (
        np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True) for x in (first, second)
    )
    for name, length in (("first", length_a), ("second", length_b)):
        if not length.all():
            raise InputError(
                f"slerp: row {int(np.argmin(length))} of the {name} array is all zero: it has no direction"
            )
    u, v = first / length_a, second / length_b
    # 2·atan2(|u − v|, |u + v|) is accurate at every angle; arccos of the inner product is not near 0 and π.
    half_sum = np.linalg.norm(u + v, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=-1, keepdims=True), half_sum)
    antipodal = half_sum < 1e-7
    if antipodal.any():
        axis = np.zeros_like(u)
        np.put_along_axis(axis, np.argmin(np.abs(u), axis=-1)[..., None], 1.0, axis=-1)
        sideways = axis - (axis * u).sum(axis=-1, keepdims=True) * u
        sideways /= np.linalg.norm(sideways, axis=-1, keepdims=True)
        around = np.cos(t * np.pi) * u + np.sin(t * np.pi) * sideways
    with np.errstate(invalid="ignore", divide="ignore"):
        arc = (np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / np.sin(angle)
    direction = np.where(angle < 1e-7, (1 - t) * u + t * v, arc)
    if antipodal.any():
        direction = np.where(antipodal, around, direction)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return (direction * ((1 - t) * length_a + t * length_b)).astype(dtype)


def blend_queries(old_queries: ArrayLike, rotated_queries: ArrayLike, weight: float) -> NDArray[np.floating]:
    """Queries `[q, D]` between the old model's `[q, d_old]` and the rotated new ones `[q, D]`, `D ≥ d_old`.

    `weight` is the share of the arc towards the new model: 0 gives the old query (zero-padded to `D`, so that it can
    search a mixed index), 1 the rotated one, each bit for bit.

    Raises `InputError` if the rows differ in number or the rotated queries are narrower than the old ones.
    """
    old, rotated = np.asarray(old_queries), np.asarray(rotated_queries)
    if old.shape[:-1] != rotated.shape[:-1]:
        raise InputError(
            f"{old.shape[:-1]} old queries but {rotated.shape[:-1]} rotated ones: pass the same queries"
        )
    missing = rotated.shape[-1] - old.shape[-1]
    if missing < 0:
        raise InputError(
            f"rotated queries have width {rotated.shape[-1]}, less than the old model's {old.shape[-1]}: "
            "were they transformed by the aligner?"
        )
    padded = np.pad(old, [(0, 0)] * (old.ndim - 1) + [(0, missing)])
    return slerp(padded, rotated, weight)


@dataclass(frozen=True)
class WeightChoice:
    """The chosen `weight`, and the mean metric at each of the `weights` that were tried."""

    weight: float
    weights: tuple[float, ...]
    metric: tuple[float, ...]


def choose_weight(
    old_queries: ArrayLike,
    rotated_queries: ArrayLike,
    metric: Callable[[NDArray[np.floating]], ArrayLike],
    *,
    weights: Sequence[float] = WEIGHTS,
) -> WeightChoice:
    """The weight of the best blend on a sample: `metric` maps queries `[q, D]` to one number per query, higher better.

    Of equal weights the one nearest 1 wins: it leans least on a model that is to be retired. Choose on queries that
    the aligner was not fitted on, and judge the choice on others still (as `check` does): the best of eleven
    on one sample flatters itself.
    """
    blends = (blend_queries(old_queries, rotated_queries, weight) for weight in weights)
    means = tuple(float(np.nanmean(np.asarray(metric(queries), np.float64))) for queries in blends)
    return WeightChoice(float(weights[best_of(means, weights)]), tuple(map(float, weights)), means)


def best_of(means: Sequence[float], weights: Sequence[float]) -> int:
    """The index of the highest mean; of equal ones that of the largest weight."""
    return max(range(len(weights)), key=lambda i: (means[i], weights[i]))

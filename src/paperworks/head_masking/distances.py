"""Detectors that ask how far a document's features lie from those of the reference.

`z` are the features `[d]`, `N` the number of reference documents.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from paperworks.errors import InputError
from paperworks.head_masking.score import Outputs, Score, State, in_blocks, same_width, slices

KNN_BLOCK = 256
FIT_BLOCK = 2048
CROWDED = 256


class KNN(Score):
    """`−‖ẑ − ẑ_(k)‖₂`, features of length 1, the k-th nearest of the reference (Sun et al., arXiv 2204.06507).

    Memory `256 · N`. Candidates come from a product in float32 and its error bound, their distances from float64, so
    the result is exact for the bank, which holds the reference in the dtype of its features.
    """

    name = "knn"
    defaults: ClassVar[Mapping[str, Any]] = {"k": 10}

    def __init__(self, options: dict[str, Any], state: State) -> None:
        super().__init__(options, state)
        parts = slices(len(self._state["bank"]), FIT_BLOCK)
        squares = [np.square(self._state["bank"][rows], dtype=np.float64).sum(axis=1) for rows in parts]
        self._half_squares = np.concatenate(squares) / 2

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return -self.nearest(outputs, self.options["k"])[1][:, -1]

    def nearest(self, outputs: Outputs, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The `n` nearest reference documents of each: indices `[rows, n]` and distances, nearest first; of equally
        near ones the earlier. Raises `InputError` where `n` is not in 1…N."""
        bank = self._state["bank"]
        same_width(outputs.features, bank.shape[1], "features")
        _check_neighbours(n, len(bank))
        indices, distances = np.empty((len(outputs), n), dtype=np.int64), np.empty((len(outputs), n))
        for rows in slices(len(outputs), KNN_BLOCK):
            queries = _unit(outputs.features[rows], bank.dtype)
            for row, chosen in enumerate(self._candidates(queries, n), rows.start):
                near = np.flatnonzero(chosen)
                offsets = bank[near].astype(np.float64) - queries[row - rows.start]
                exact = np.sqrt(np.square(offsets).sum(axis=1))
                first = exact.argsort(kind="stable")[:n]
                indices[row], distances[row] = near[first], exact[first]
        return indices, distances

    def _candidates(self, queries: np.ndarray, n: int) -> np.ndarray:
        """A mask `[m, N]` with the `n` nearest of each query: from float32, or float64 where that leaves many."""
        chosen = _within_error(self._closeness(queries, np.float32), n, queries.shape[1])
        if chosen.sum() > (n + CROWDED) * len(queries):
            chosen = _within_error(self._closeness(queries, np.float64), n, queries.shape[1])
        return chosen

    def _closeness(self, queries: np.ndarray, dtype: Any) -> np.ndarray:
        """`q·r − |r|²/2 [m, N]`: larger = nearer."""
        bank, wanted = self._state["bank"], queries.astype(dtype, copy=False)
        close = np.empty((len(queries), len(bank)), dtype=dtype)
        for rows in slices(len(bank), FIT_BLOCK):
            np.matmul(wanted, bank[rows].astype(dtype, copy=False).T, out=close[:, rows])
        close -= self._half_squares.astype(dtype)
        return close

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        _check_neighbours(options["k"], len(reference))
        bank = np.empty_like(reference.features)
        for rows in slices(len(bank), FIT_BLOCK):
            bank[rows] = _unit(reference.features[rows], bank.dtype)
        return {"bank": bank}


class Mahalanobis(Score):
    """`−min_c (z−μ_c)ᵀ Σ⁻¹ (z−μ_c)` (Lee et al., arXiv 1807.03888), `Σ` shared, divided by N, with `ridge · tr(Σ) / d`
    on its diagonal.

    With `Σ = L Lᵀ` it is the squared distance of `L⁻¹z` to the nearest `L⁻¹μ_c`: one triangular solve per document.
    Fitting raises `InputError` for a class of fewer than 2 documents, a negative ridge, and a singular `Σ`.
    """

    name = "mahalanobis"
    defaults: ClassVar[Mapping[str, Any]] = {"ridge": 1e-6}

    def __init__(self, options: dict[str, Any], state: State) -> None:
        super().__init__(options, state)
        self._white_means = self._whiten(self._state["means"], "factor")

    def __call__(self, outputs: Outputs) -> np.ndarray:
        same_width(outputs.features, self._state["means"].shape[1], "features")
        white = self._whiten(outputs.features, "factor")
        return -cdist(white, self._white_means, "sqeuclidean").min(axis=1)

    def _whiten(self, features: np.ndarray, factor: str) -> np.ndarray:
        """`L⁻¹(z − centre) [n, d]`."""
        centre, lower = self._state["centre"], self._state[factor]
        return in_blocks(
            features,
            lambda rows: solve_triangular(lower, (rows - centre).T, lower=True, check_finite=False).T,
        )

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        means, counts, within = _scatter(reference.features, labels, options["ridge"])
        return {
            "means": means,
            "centre": counts @ means / counts.sum(),
            "factor": _factor(within / counts.sum(), options["ridge"]),
        }


class RelativeMahalanobis(Mahalanobis):
    """Mahalanobis less the distance to the whole, `−(min_c d_c(z) − d_0(z))`, `d_0` with the mean and covariance of all
    reference documents (Ren et al., arXiv 2106.09022)."""

    name = "relative_mahalanobis"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        near = super().__call__(outputs)
        return near + np.square(self._whiten(outputs.features, "total_factor")).sum(axis=1)

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        means, counts, within = _scatter(reference.features, labels, options["ridge"])
        centre = counts @ means / counts.sum()
        between = (means - centre).T * counts @ (means - centre)
        return {
            "means": means,
            "centre": centre,
            "factor": _factor(within / counts.sum(), options["ridge"]),
            "total_factor": _factor((within + between) / counts.sum(), options["ridge"]),
        }


class Residual(Score):
    """`−‖x⊥‖₂`, the part of `x = z − u` outside the principal subspace of the reference (arXiv 2203.10807).

    With the last linear layer's `weight [C, d']` and `bias [C]`, `z` is its input and `u = −W⁺b`, where all its logits
    vanish as nearly as they can; without, `z` are the features and `u` is their mean, a choice of ours. `dimension`
    of the subspace: by default 1000 of 2048 or more, 512 of 768 or more, else half of them.
    """

    name = "residual"
    defaults: ClassVar[Mapping[str, Any]] = {"dimension": None}
    arrays = ("weight", "bias")

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return -self._norm(outputs)

    def _norm(self, outputs: Outputs) -> np.ndarray:
        return _outside(_residual_input(outputs, self._state), self._state)

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        state = _origin(reference, options.get("weight"), options.get("bias"))
        inputs = _residual_input(reference, state)
        width = inputs.shape[1]
        if options["dimension"] is None:
            options["dimension"] = 1000 if width >= 2048 else 512 if width >= 768 else width // 2
        if not 0 <= options["dimension"] < width:
            raise InputError(
                f"dimension {options['dimension']} of the principal subspace is not in 0…{width - 1}"
            )
        moment = np.zeros((width, width))
        for rows in slices(len(inputs), FIT_BLOCK):
            offsets = inputs[rows] - state["origin"]
            moment += offsets.T @ offsets
        directions = eigh(moment / len(inputs), driver="evd")[1]  # the least first
        return state | {"outside": directions[:, : width - options["dimension"]]}


class ViM(Residual):
    """`logsumexp(o) − α‖x⊥‖₂`, `α` = mean of `max_c o_c` / mean of `‖x⊥‖` on the reference (Wang et al., arXiv
    2203.10807); origin and dimension as `Residual`."""

    name = "vim"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return logsumexp(outputs.logits.astype(np.float64), axis=1) - self._state["alpha"] * self._norm(
            outputs
        )

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        state = super().learn(reference, labels, options)
        inputs = _residual_input(reference, state)
        norm = _outside(inputs, state).mean()
        if norm <= 1e-12 * np.abs(inputs).max():
            raise InputError(
                f"the reference lies within {options['dimension']} dimensions: give a smaller dimension"
            )
        alpha = reference.logits.max(axis=1).mean(dtype=np.float64) / norm
        if alpha <= 0:
            raise InputError("vim needs largest logits that are positive on average: use residual")
        return state | {"alpha": np.array([alpha])}


def _unit(features: np.ndarray, dtype: Any) -> np.ndarray:
    """Rows divided by their length in float64, rounded to `dtype`; a row of zeros stays one."""
    rows = features.astype(np.float64)
    rows /= np.maximum(np.sqrt(np.square(rows).sum(axis=1, keepdims=True)), np.finfo(np.float64).tiny)
    return rows.astype(dtype, copy=False)


def _check_neighbours(n: int, documents: int) -> None:
    if not 1 <= n <= documents:
        raise InputError(f"k = {n} nearest of a reference of {documents} documents: give k in 1…{documents}")


def _within_error(close: np.ndarray, n: int, width: int) -> np.ndarray:
    """Where `close [m, N]` reaches the n-th largest of its row, less twice the rounding error for rows of length 1."""
    nth = np.partition(close, close.shape[1] - n, axis=1)[:, -n, None]
    return close >= nth - (width + 8) * np.finfo(close.dtype).eps


def _scatter(
    features: np.ndarray, labels: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means `[K, d]` and counts `[K]` of the classes that occur, and `Σ (z−μ_c)(z−μ_c)ᵀ [d, d]`."""
    classes, counts = np.unique(labels, return_counts=True)
    width = features.shape[1]
    if counts.min() < 2:
        raise InputError(
            f"class {classes[counts.argmin()]} has 1 reference document: Mahalanobis needs 2 of each"
        )
    if width > counts.sum() - len(classes):
        spread = (
            f"{counts.sum()} reference documents of {len(classes)} classes do not span {width} dimensions"
        )
        if not ridge > 0:
            raise InputError(f"{spread}: give a ridge, or more documents")
        warnings.warn(f"{spread}: the ridge {ridge:g} stands in for what is missing", stacklevel=4)
    means, within = np.empty((len(classes), width)), np.zeros((width, width))
    for index, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        means[index] = features[members].mean(axis=0, dtype=np.float64)
        for some in slices(len(members), FIT_BLOCK):
            offsets = features[members[some]] - means[index]
            within += offsets.T @ offsets
    return means, counts, within


def _factor(covariance: np.ndarray, ridge: float) -> np.ndarray:
    """Lower Cholesky factor of `Σ + ridge · tr(Σ)/d`."""
    if ridge < 0:
        raise InputError(f"ridge {ridge} is negative")
    width = len(covariance)
    loaded = covariance + ridge * np.trace(covariance) / width * np.eye(width)
    try:
        lower = cholesky(loaded, lower=True)
    except LinAlgError:
        lower = np.zeros((1, 1))
    pivots = np.square(lower.diagonal())
    if pivots.min() <= width * np.finfo(np.float64).eps * pivots.max():
        raise InputError(f"the features depend on one another with ridge {ridge:g}: give a larger one")
    return lower


def _origin(reference: Outputs, weight: np.ndarray | None, bias: np.ndarray | None) -> State:
    """`u [d']`, and whether the input of the last layer (1) or the features (0) are meant."""
    if weight is None or bias is None:
        if weight is not None or bias is not None:
            raise InputError("give both weight and bias of the last linear layer, or neither")
        return {"origin": reference.features.mean(axis=0, dtype=np.float64), "last": np.array([0])}
    weight, bias = np.asarray(weight, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    wanted = (reference.logits.shape[1], reference.last.shape[1])
    if weight.shape != wanted or bias.shape != wanted[:1]:
        raise InputError(
            f"weight {list(weight.shape)} and bias {list(bias.shape)} of a last layer of {list(wanted)}"
        )
    return {"origin": -np.linalg.pinv(weight) @ bias, "last": np.array([1])}


def _residual_input(outputs: Outputs, state: State) -> np.ndarray:
    inputs = outputs.last if state["last"][0] else outputs.features
    same_width(inputs, len(state["origin"]), "features")
    return inputs


def _outside(inputs: np.ndarray, state: State) -> np.ndarray:
    """`‖x⊥‖ [n]`."""
    parts = in_blocks(inputs, lambda rows: (rows - state["origin"]) @ state["outside"])
    return np.sqrt(np.square(parts).sum(axis=1))

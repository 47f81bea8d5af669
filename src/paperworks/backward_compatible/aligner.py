"""Rotate the vectors of a new embedding model onto those of an old one, from stored pairs alone (closed form).

Given the same items embedded by both models, `A [n, d_new]` and `B [n, d_old]`, the narrower side padded with zeros,
the aligner learns the rotation `R` that minimises `||A R - B||_F`. Rotated new queries search the old, untouched
gallery; norms and new/new inner products stay what they were, so new/new retrieval is that of the new model by
construction.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from paperworks.backward_compatible.alignment_report import AlignmentReport, judge_held_out
from paperworks.backward_compatible.mean_direction import looks_rotated
from paperworks.backward_compatible.pair_sums import PairSums
from paperworks.backward_compatible.procrustes import Matrix, procrustes, relax
from paperworks.backward_compatible.vectors import (
    Array,
    ArrayVectors,
    Vectors,
    check_dtype,
    from_tensor,
    is_tensor,
    open_vectors,
    refuse_quantised,
)
from paperworks.errors import InputError

FLOATS = [np.float64, np.float32, np.float16]
CHUNK = 4096


class OrthogonalAligner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Orthogonal Procrustes alignment of a new embedding model with an old one; a scikit-learn transformer.

    Parameters
    ----------
    normalize : scale the rows of the sample to length one before fitting. `transform` never does.
    relaxation : 0 (default) is the exact rotation. Up to 1, the map gives way towards least squares
        (`procrustes.relax`): better new/old agreement, for a distortion of new/new products that `report_` states.
    refine : after the closed form, minimise `1 - cos(a R, b)`, and the influence loss where `fit` is given labels, by
        minibatches (`refine.py`, needs torch). `fit` only; the held-out pairs of the report stay out of it.
    new_model, old_model : names or versions of the two models, kept with the aligner and used in messages.

    Attributes
    ----------
    rotation_ : float64 `[d_new, D]`, D = max(d_new, d_old); the first d_old output coordinates are the old space, the
        rest the extra dimensions. Its rows are orthonormal; for d_new >= d_old it is square.
    cross_covariance_ : float64 `[d_new, d_old]`, the sum of `a_i b_i^T` over the pairs.
    report_ : `AlignmentReport`, with the cosine on held-out pairs and whether the aligner is usable.
    n_features_in_ : d_new. n_features_old_ : d_old. n_pairs_ : pairs used. rank_ : rank of the cross-covariance.
    new_mean_, old_mean_ : mean unit vectors of the sample, the fingerprint against double application.
    sample_sha256_ : SHA-256 of the sample.

    After `partial_fit` the rotation and the report are solved on first use.
    """

    def __init__(
        self,
        normalize: bool = True,
        relaxation: float = 0.0,
        refine: bool = False,
        new_model: str | None = None,
        old_model: str | None = None,
    ) -> None:
        self.normalize = normalize
        self.relaxation = relaxation
        self.refine = refine
        self.new_model = new_model
        self.old_model = old_model

    def fit(self, X: Any, y: Any = None, labels: Any = None) -> Self:
        """Fit on pairs: `X [n, d_new]` from the new model, `y [n, d_old]` from the old; row i of both is the same item.

        Arrays, memory maps, torch tensors, lists, or `open_vectors(...)`, read in chunks and summed in float64.
        `labels [n]` are classes, used by `refine` alone.

        Warns of pairs fewer than dimensions, zero rows, and held-out cosines at the level of chance; raises
        `InputError` for unequal numbers of rows, NaN, and quantised vectors.
        """
        if not 0 <= self.relaxation <= 1:
            raise InputError(
                f"relaxation = {self.relaxation}: from 0 (exact rotation) to 1 (least squares) please"
            )
        if labels is not None and not self.refine:
            raise InputError("labels are used by refine=True only")
        if self.refine and self.relaxation:
            raise InputError("refine=True keeps an exact rotation, relaxation gives it up: choose one")
        new, old = self._open_pairs(X, y, reset=True)
        self._sums = PairSums(self.normalize, with_gram=self.relaxation > 0)
        self._add(new, old)
        self._solve(new, old, labels)
        self._warn()
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add pairs; see `fit`. The rotation, which depends on all pairs so far, is solved when it is first used."""
        if self.refine:
            raise InputError("refine=True needs all pairs at once: use fit")
        first = not hasattr(self, "_sums")
        if first and hasattr(self, "n_features_in_"):
            raise InputError("this aligner was composed of others or loaded without its sums: fit a new one")
        new, old = self._open_pairs(X, y, reset=first)
        if first:
            self._sums = PairSums(self.normalize, with_gram=self.relaxation > 0)
        elif old.shape[1] != self.n_features_old_:
            raise InputError(
                f"old vectors have width {old.shape[1]}, those before had {self.n_features_old_}"
            )
        self._add(new, old)
        self._forget_solution()
        return self

    def transform(self, X: Any) -> Any:
        """`X [n, d_new]` -> `[n, D]`, in the old space (first d_old coordinates) and its extra dimensions.

        Norms and inner products are kept; nothing is normalised. float16 is multiplied in float32. The dtype is kept,
        and a torch tensor gives a tensor on the same device.
        """
        check_is_fitted(self)
        return self._multiply(X, "_rotation", self.n_features_in_)

    def inverse_transform(self, X: Any) -> Any:
        """`[n, D]` -> `[n, d_new]`: back to the new model's own space, exactly (to rounding)."""
        check_is_fitted(self)
        return self._multiply(X, "_inverse", self.rotation_.shape[1])

    def extend(self, old: Any) -> Any:
        """Old vectors `[n, d_old]` zero-padded to `[n, D]`, so that they can share an index with rotated new ones."""
        check_is_fitted(self)
        width = self.rotation_.shape[1]
        values: Any = old if is_tensor(old) else np.asarray(old)
        if values.ndim != 2 or values.shape[1] != self.n_features_old_:
            raise InputError(
                f"old vectors of shape {tuple(values.shape)}, but the aligner's old model{_named(self.old_model)} has "
                f"width {self.n_features_old_}"
            )
        if is_tensor(values):
            padded = values.new_zeros((len(values), width))
        else:
            check_dtype(values.dtype, "old vectors")
            padded = np.zeros((len(values), width), values.dtype)
        padded[:, : self.n_features_old_] = values
        return padded

    def score(self, X: Any, y: Any) -> float:
        """Mean cosine of rotated new vectors `X [n, d_new]` with old ones `y [n, d_old]`, on the common coordinates."""
        check_is_fitted(self)
        new, old = self._open_pairs(X, y, reset=False)
        if old.shape[1] != self.n_features_old_:
            raise InputError(f"old vectors have width {old.shape[1]}, the aligner's {self.n_features_old_}")
        total = 0.0
        for a, b in zip(new.chunks(CHUNK), old.chunks(CHUNK), strict=True):
            rotated = a.astype(np.float64) @ self.rotation_[:, : self.n_features_old_]
            total += float(np.sum(cosines(rotated, b.astype(np.float64))))
        if not np.isfinite(total):
            raise InputError("some vectors hold NaN or infinity: drop them from both sides")
        return total / len(new)

    def looks_rotated(self, X: Any) -> bool:
        """Whether `X [n, d_new]` seems to be in the old space already: rotated before, or not of the new model.

        Compares the mean direction with that of the sample before and after rotation. Where the sample's mean is too
        small to tell (isotropic vectors), the answer is no.
        """
        check_is_fitted(self)
        rows = open_vectors(X)
        widths = {rows.shape[1], self.n_features_in_, self.rotation_.shape[1]}
        return len(widths) == 1 and looks_rotated(rows, self.new_mean_, self.rotation_, self.n_pairs_)

    def fingerprint(self) -> str:
        """SHA-256 of the rotation: what `transform` does, in 64 characters."""
        check_is_fitted(self)
        facts = f"{self.rotation_.shape} {self.n_features_old_} "
        return hashlib.sha256(
            facts.encode() + np.ascontiguousarray(self.rotation_, "<f8").tobytes()
        ).hexdigest()

    def then(self, other: OrthogonalAligner) -> OrthogonalAligner:
        """This aligner, new -> middle, and then `other`, middle -> old, as one; see `chain.compose`."""
        from paperworks.backward_compatible.chain import compose

        return compose(other, self)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `aligner.json` and `aligner.safetensors` into a folder; see `storage.save_aligner`."""
        from paperworks.backward_compatible.storage import save_aligner

        save_aligner(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> OrthogonalAligner:
        """Read a folder written by `save`. Raises `InputError` if it is not one."""
        from paperworks.backward_compatible.storage import load_aligner

        return load_aligner(folder)

    def to_linear(self) -> Any:
        """The map as a `torch.nn.Linear(d_new, D, bias=False)`, float32."""
        from paperworks.backward_compatible.exports import to_linear

        return to_linear(self)

    def to_sentence_transformers(self) -> Any:
        """The map as a `Dense` module (identity activation, no bias) to append to a `SentenceTransformer`."""
        from paperworks.backward_compatible.exports import to_sentence_transformers

        return to_sentence_transformers(self)

    def to_faiss(self, width: int | None = None) -> Any:
        """The map as a `faiss.LinearTransform`; `width=d_old` keeps the old space alone, to search the old index."""
        from paperworks.backward_compatible.exports import to_faiss

        return to_faiss(self, width)

    @property
    def rotation_(self) -> Matrix:
        self._require_solution()
        return self._rotation

    @property
    def rank_(self) -> int:
        self._require_solution()
        return self._rank

    @property
    def report_(self) -> AlignmentReport:
        self._require_solution()
        return self._report

    @property
    def cross_covariance_(self) -> Matrix:
        if not hasattr(self, "_sums"):
            raise NotFittedError("no cross-covariance: the aligner is not fitted, or was composed of others")
        return self._sums.cross_covariance

    @property
    def _n_features_out(self) -> int:
        return self.rotation_.shape[1]

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "float16"]
        return tags

    def _fitted(self) -> bool:
        return hasattr(self, "_sums") or hasattr(self, "_rotation")

    def _forget_solution(self) -> None:
        for name in ("_rotation", "_inverse", "_narrow", "_rank", "_report"):
            self.__dict__.pop(name, None)

    def _require_solution(self) -> None:
        if not hasattr(self, "_rotation"):
            if not hasattr(self, "_sums"):
                raise NotFittedError("this OrthogonalAligner is not fitted yet: call fit(new, old) first")
            self._solve()
            self._warn()

    def _add(self, new: Vectors, old: Vectors) -> None:
        self._sums.add(new, old)
        if not self._sums.pairs:
            raise InputError("every pair has an all-zero row: nothing to fit on")
        self.n_features_old_ = old.shape[1]
        self.n_pairs_ = self._sums.pairs
        self.sample_sha256_ = self._sums.sample_sha256
        self.new_mean_, self.old_mean_ = self._sums.new_mean, self._sums.old_mean

    def _solve(self, new: Vectors | None = None, old: Vectors | None = None, labels: Any = None) -> None:
        """Solve twice: without the held-out pairs for the report, and with all of them for the rotation."""
        sums = self._sums
        rotation, rank = procrustes(sums.cross_covariance)
        trial = rotation
        if len(sums.held_out_hash) and sums.pairs > len(sums.held_out_hash):
            cross_covariance, gram = sums.without_held_out()
            trial, _ = procrustes(cross_covariance)
            if gram is not None:
                trial = relax(trial, cross_covariance, gram, self.relaxation)
        if sums.gram is not None:
            rotation = relax(rotation, sums.cross_covariance, sums.gram, self.relaxation)
        if self.refine and new is not None and old is not None:
            from paperworks.backward_compatible.refine import refine_rotation

            rotation = trial = refine_rotation(trial, new, old, labels, sums)
        self._set_solution(rotation, rank, judge_held_out(sums, rotation, trial, rank))

    def _set_solution(self, rotation: Matrix, rank: int, report: AlignmentReport) -> None:
        exact = bool(report.singular_values == (1.0, 1.0))
        self._rotation, self._rank, self._report = rotation, rank, report
        self._inverse = rotation.T if exact else np.linalg.pinv(rotation)
        self._narrow = {
            "_rotation": rotation.astype(np.float32),
            "_inverse": np.ascontiguousarray(self._inverse, np.float32),
        }

    def _warn(self) -> None:
        sums, (d_new, d_old) = self._sums, self._sums.cross_covariance.shape
        if sums.zero_rows:
            warnings.warn(
                f"{sums.zero_rows} pairs left out because a vector is all zero (the first: {sums.first_zero})",
                stacklevel=3,
            )
        if self.normalize and any(abs(norm - 1) > 0.01 for extent in sums.norms.values() for norm in extent):
            extents = ", ".join(f"{side} {low:.3g} to {high:.3g}" for side, (low, high) in sums.norms.items())
            warnings.warn(
                f"vectors are not unit-norm ({extents}); they were scaled for fitting, but transform keeps their "
                "norms: normalise what goes into an index that compares by cosine",
                stacklevel=3,
            )
        if self._rank < min(d_new, d_old):
            warnings.warn(
                f"rank {self._rank} of {min(d_new, d_old)}: {sums.pairs} pairs do not determine the rotation, it is "
                f"arbitrary outside their span; use more than {min(d_new, d_old)} different pairs",
                stacklevel=3,
            )
        elif not self._report.usable:
            warnings.warn(self._report.reason, stacklevel=3)

    def _open_pairs(self, X: Any, y: Any, reset: bool) -> tuple[Vectors, Vectors]:
        if y is None:
            raise ValueError(
                "OrthogonalAligner requires y to be passed, but the target y is None: fit(new_vectors, old_vectors)"
            )
        new, old = self._open(X, "new vectors", reset), _open_old(y)
        if len(new) != len(old):
            raise InputError(
                f"new has {len(new):,} rows, old {len(old):,}: row i of both must be the same item; match them by id "
                "(--ids, vectors.match_ids)"
            )
        return new, old

    def _open(self, X: Any, name: str, reset: bool) -> Vectors:
        """New vectors, checked as scikit-learn does; sources on disk are checked by their width alone."""
        if isinstance(X, Vectors):
            check_dtype(X.dtype, name)
            if reset:
                self.n_features_in_ = X.shape[1]
                self.__dict__.pop("feature_names_in_", None)
            elif X.shape[1] != self.n_features_in_:
                raise InputError(self.width_message(X.shape[1]))
            return X
        if is_tensor(X):
            X = from_tensor(X)
        refuse_quantised(X, name)
        array = validate_data(
            self, X, reset=reset, dtype=FLOATS, ensure_all_finite=False, ensure_min_samples=2 if reset else 1
        )
        return ArrayVectors(array, name)

    def _multiply(self, X: Any, name: str, width: int) -> Any:
        self._require_solution()
        if is_tensor(X):
            return self._multiply_tensor(X, name, width)
        if getattr(X, "ndim", 0) == 2 and X.shape[1] != width:
            raise InputError(self.width_message(X.shape[1], name))
        refuse_quantised(X, "the vectors")
        if name == "_rotation":
            array = validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite=False)
        else:
            array = check_array(X, dtype=FLOATS, ensure_all_finite=False)
        matrix = getattr(self, name) if array.dtype == np.float64 else self._narrow[name]
        with np.errstate(invalid="ignore", over="ignore"):
            product = array.astype(matrix.dtype, copy=False) @ matrix
            finite = np.isfinite(product.sum())
        if not finite and not (usable := np.isfinite(array).all(axis=1)).all():
            raise InputError(
                f"row {int(np.argmin(usable))} holds NaN or infinity (inf): drop it, or embed it again"
            )
        return product.astype(array.dtype, copy=False)

    def _multiply_tensor(self, X: Any, name: str, width: int) -> Any:
        import torch

        if X.ndim != 2 or X.shape[1] != width:
            raise InputError(self.width_message(tuple(X.shape)[-1] if X.ndim else 0, name))
        if not X.is_floating_point():
            check_dtype(np.dtype(str(X.dtype).removeprefix("torch.")), "the vectors")
            X = X.float()
        if not torch.isfinite(X).all():
            row = int(torch.isfinite(X).all(dim=1).long().argmin())
            raise InputError(f"row {row} holds NaN or infinity")
        work = X if X.dtype == torch.float64 else X.float()
        matrix = torch.as_tensor(getattr(self, name), dtype=work.dtype, device=X.device)
        return (work @ matrix).to(X.dtype)

    def width_message(self, width: int, name: str = "_rotation") -> str:
        if name == "_inverse":
            return f"rotated vectors have width {self.rotation_.shape[1]}, got {width}"
        return (
            f"the vectors have width {width}, but the aligner was fitted on width {self.n_features_in_}"
            f"{_named(self.new_model)} (to width {self.n_features_old_}{_named(self.old_model)}): X has {width} "
            f"features, but {type(self).__name__} is expecting {self.n_features_in_} features as input"
        )


def _open_old(y: Any) -> Vectors:
    """Old vectors `[n, d_old]`; one number per row counts as width one, as scikit-learn's targets do."""
    if isinstance(y, Vectors):
        check_dtype(y.dtype, "old vectors")
        return y
    if is_tensor(y):
        y = from_tensor(y)
    refuse_quantised(y, "old vectors")
    array = check_array(y, dtype=FLOATS, ensure_all_finite=False, ensure_2d=False, input_name="y")
    return ArrayVectors(array.reshape(-1, 1) if array.ndim == 1 else array, "old vectors")


def _named(model: str | None) -> str:
    return f" ({model})" if model else ""


def cosines(a: NDArray[Any], b: NDArray[Any]) -> Array:
    """The cosine of each row of `a [n, d]` with the same row of `b [n, d]`; 0 where one is all zero."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("nd,nd->n", a, b) / np.where(lengths > 0, lengths, 1)

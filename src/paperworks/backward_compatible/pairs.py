"""Are these rows the same items? What must be true of a sample of pairs before anything is fitted on it.

Whether old row i and new row i belong to one item cannot be read off either array, but it can be tested. An aligner
is fitted on part of the pairs; on the others, if the rows match, the rotated new vector of an item is nearer to its own
old vector than to somebody else's. Under a wrong matching the partner is a stranger like any other, so

- the mean held-out cosine lies within what random re-matching of the held-out rows gives (a permutation test), and
- the rank of a pair's own cosine among those with the other rows is uniform, a p-value per pair. The share of
  mismatched pairs follows from the ranks beyond the middle, where true pairs hardly ever are (Storey's estimate).

No threshold on the cosine itself is needed: embeddings with a common direction have high cosines with strangers too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperworks.backward_compatible.aligner import cosines
from paperworks.backward_compatible.procrustes import Matrix, procrustes
from paperworks.backward_compatible.vectors import Vectors, check_dtype, open_vectors
from paperworks.errors import InputError

FloatArray = NDArray[np.floating]
Rows = NDArray[np.intp]
VectorsLike = ArrayLike | Vectors
Progress = Callable[[int, int, str], None]

SIGNIFICANCE = 0.01
PERMUTATIONS = 999


def silent(done: int, total: int, what: str) -> None:
    """The progress report of somebody who does not listen."""


def vectors(values: VectorsLike, name: str, rows: Rows | None = None) -> FloatArray:
    """`values` (of them `rows`) as a finite float array `[n, d]` without all-zero rows; float16 becomes float32.

    Raises `InputError` that names the first offending row.
    """
    source = open_vectors(values)
    check_dtype(source.dtype, name)
    rows = np.arange(len(source)) if rows is None else rows
    array = source.take(rows)
    if 0 in array.shape:
        raise InputError(f"{name}: need vectors [n, d], got an array of shape {array.shape}")
    array = array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{name}: row {rows[np.argmin(finite)]} holds NaN or infinity: drop it from both sides"
        )
    nonzero = array.any(axis=1)
    if not nonzero.all():
        raise InputError(
            f"{name}: row {rows[np.argmin(nonzero)]} is all zero ({int((~nonzero).sum())} such rows): "
            "a zero vector has no direction, drop it from both sides"
        )
    return array


def unit(rows: FloatArray) -> FloatArray:
    """Rows scaled to length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cross_covariance(old: FloatArray, new: FloatArray) -> Matrix:
    """`Σ a bᵀ [d_new, d_old]` in float64 over unit rows: all that `procrustes` needs of some pairs."""
    return unit(new.astype(np.float64)).T @ unit(old.astype(np.float64))


def rotate(new: FloatArray, rotation: Matrix) -> FloatArray:
    """`new [n, d_new]` by `rotation [d_new, D]`, in the dtype of `new`."""
    return new @ rotation.astype(new.dtype)


@dataclass(frozen=True)
class Sample:
    """The pairs that are used, `old [n, d_old]` and `new [n, d_new]`; `rows [n]` are their numbers in the input."""

    old: FloatArray
    new: FloatArray
    rows: Rows
    warnings: Sequence[str]

    @classmethod
    def of(cls, source_old: VectorsLike, source_new: VectorsLike, *, at_most: int, seed: int) -> Sample:
        """Checked pairs without exact copies; of more than `at_most` a random sample.

        Copies would be held out and fitted on at once, and would count their item several times.
        """
        given_old, given_new = open_vectors(source_old), open_vectors(source_new)
        if len(given_old) != len(given_new):
            raise InputError(
                f"old has {len(given_old):,} rows but new has {len(given_new):,}: row i of both must be the same item; "
                "match them by id"
            )
        notes = []
        rows = np.arange(len(given_old))
        if len(rows) > at_most:
            rows = np.sort(np.random.default_rng(seed).choice(rows, at_most, replace=False))
            notes.append(f"{at_most:,} of {len(given_old):,} pairs were used, drawn at random")
        old, new = vectors(given_old, "old", rows), vectors(given_new, "new", rows)
        both = np.ascontiguousarray(np.hstack([old, new]))
        _, first = np.unique(both.view(f"V{both.itemsize * both.shape[1]}").ravel(), return_index=True)
        if len(first) < len(rows):
            first = np.sort(first)
            notes.append(f"{len(rows) - len(first):,} duplicate pairs (both rows equal) were left out")
            old, new, rows = old[first], new[first], rows[first]
        for name, side in (("old", old), ("new", new)):
            norms = np.linalg.norm(side, axis=1)
            if not np.allclose(norms, 1, atol=1e-2):
                notes.append(
                    f"{name} rows are not unit-norm ({norms.min():.3g} to {norms.max():.3g}); everything here is by "
                    "cosine, so normalise before searching by inner product"
                )
        return cls(old, new, rows, notes)


@dataclass(frozen=True)
class Fold:
    """One split of the pairs: rows used to fit, rows held out, and the rotation `[d_new, D]` fitted on the former."""

    fit: Rows
    held_out: Rows
    rotation: Matrix


def cross_fit(old: FloatArray, new: FloatArray, *, folds: int, seed: int) -> Iterator[Fold]:
    """Fit on all folds but one, in turn: every pair is held out exactly once. Rows are shuffled by `seed` first."""
    parts = np.array_split(np.random.default_rng(seed).permutation(len(old)), folds)
    for i, held_out in enumerate(parts):
        fit = np.concatenate([part for j, part in enumerate(parts) if j != i])
        yield Fold(fit, held_out, procrustes(cross_covariance(old[fit], new[fit]))[0])


def held_out_cosines(
    old: FloatArray, new: FloatArray, *, folds: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """`[n]`: the cosine of each rotated new vector with its old one, under a rotation fitted without that pair."""
    found = np.empty(len(old))
    for fold in cross_fit(old, new, folds=folds, seed=seed):
        rows = fold.held_out
        found[rows] = cosines(rotate(new[rows], fold.rotation)[:, : old.shape[1]], old[rows])
    return found


@dataclass(frozen=True)
class Screening:
    """What the held-out pairs say about the matching of the rows.

    `cosines [n]` are those of each pair under an aligner fitted without it, `null [n]` those of its rotated new vector
    with the old vector of a random other item, `ranks [n]` the place of its own old vector among those of its fold
    (1 is found first), `p_value` that of the permutation test. `mismatched` is the estimated share of wrong pairs with
    its 95 % interval, `suspicious` the rows whose cosine is at the random level (among the strangers' upper 95 %),
    worst first, `shift` the offset that explains most of them, if one does.
    """

    cosines: NDArray[np.float64]
    null: NDArray[np.float64]
    ranks: NDArray[np.float64]
    p_value: float
    mismatched: float
    mismatched_interval: tuple[float, float]
    suspicious: Rows
    shift: int = 0

    def to_dict(self) -> dict[str, object]:
        """The tests' results as JSON's own types; of the suspicious rows the worst hundred."""
        return {
            "held_out_cosine": float(self.cosines.mean()),
            "random_cosine": float(self.null.mean()),
            "p_value": self.p_value,
            "mismatched": self.mismatched,
            "mismatched_interval": list(self.mismatched_interval),
            "suspicious": len(self.suspicious),
            "suspicious_rows": [int(row) for row in self.suspicious[:100]],
            "shift": self.shift,
        }


def screen(old: FloatArray, new: FloatArray, splits: Iterable[Fold], *, seed: int = 0) -> Screening:
    """Test the pairs of each split on its held-out rows; the splits together hold out every row once."""
    n = len(old)
    aligned, null, ranks, places = (np.empty(n) for _ in range(4))
    permuted = np.zeros(PERMUTATIONS)
    random = np.random.default_rng(seed)
    for split in splits:
        rows, m = split.held_out, len(split.held_out)
        rotated = rotate(new[rows], split.rotation)[:, : old.shape[1]]
        similarity = unit(rotated) @ unit(old[rows]).T
        own = np.diagonal(similarity)
        aligned[rows] = own
        ranks[rows] = (similarity >= own[:, None]).sum(axis=1)
        places[rows] = ranks[rows] / m
        stranger = (np.arange(m) + random.integers(1, m, size=m)) % m
        null[rows] = similarity[np.arange(m), stranger]
        for i in range(PERMUTATIONS):
            permuted[i] += similarity[np.arange(m), random.permutation(m)].sum()

    p_value = (1 + np.sum(permuted >= aligned.sum())) / (1 + PERMUTATIONS)
    beyond = int((places > 0.5).sum())
    share, error = 2 * beyond / n, 2 * 1.96 * np.sqrt(beyond + 1) / n
    suspicious = np.flatnonzero(places > 0.05)
    return Screening(
        aligned,
        null,
        ranks,
        float(p_value),
        min(1.0, share),
        (float(max(0.0, share - error)), float(min(1.0, share + error))),
        suspicious[np.argsort(-places[suspicious], kind="stable")],
    )


def refuse_strangers(old: FloatArray, new: FloatArray, screening: Screening) -> None:
    """Raise `InputError` unless the rows are, by majority and beyond chance, the same items."""
    random_level = float(screening.null.mean())
    found = f"held-out cosine {screening.cosines.mean():.2f}"
    if screening.p_value <= SIGNIFICANCE and screening.mismatched_interval[0] <= 0.5:
        return
    hint = ""
    for shift in (1, -1, 2, -2):
        a, b = (new[:-shift], old[shift:]) if shift > 0 else (new[-shift:], old[:shift])
        shifted = screen(b, a, cross_fit(b, a, folds=2, seed=0))
        if shifted.p_value <= SIGNIFICANCE and shifted.mismatched_interval[1] < 0.5:
            hint = f" New row i matches old row i{shift:+d} (cosine {shifted.cosines.mean():.2f}): shift one side."
            break
    if not hint and len(old) < min(old.shape[1], new.shape[1]):
        hint = f" With {len(old)} pairs for {min(old.shape[1], new.shape[1])} dimensions it may also be too few pairs."
    raise InputError(
        f"{found}, and {random_level:.2f} with a random other item: are the rows the same items? "
        f"Refused: about {screening.mismatched:.0%} of the pairs look mismatched.{hint or ' Match them by id.'}"
    )


def find_shift(old: FloatArray, new: FloatArray, screening: Screening, reach: int = 3) -> int:
    """The offset `s ≠ 0` for which most suspicious new rows i match old row i + s; 0 if there is none.

    A row that was dropped on one side shifts all that follow by one: a common way to spoil part of a sample.
    """
    suspicious = screening.suspicious
    trusted = np.setdiff1d(np.arange(len(old)), suspicious)
    if len(suspicious) < 10 or len(trusted) < 10:
        return 0
    rotation, _ = procrustes(cross_covariance(old[trusted], new[trusted]))
    rotated = rotate(new, rotation)[:, : old.shape[1]]
    level = np.quantile(screening.null, 0.95)
    for shift in sorted((s for s in range(-reach, reach + 1) if s), key=abs):
        rows = suspicious[(suspicious + shift >= 0) & (suspicious + shift < len(old))]
        if np.mean(cosines(rotated[rows], old[rows + shift]) > level) > 0.5:
            return shift
    return 0

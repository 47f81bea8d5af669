"""One mixed index that ranks old and new items fairly.

A rotated new query scores a new item by `⟨h, h′⟩` and an old one, zero-padded, by `⟨h_bct, g⟩`. These are different
scales: the old item lacks the extra dimensions and carries what the rotation could not explain. Where that lowers its
scores, old items sink below worse new ones. On pairs both scores of an item are known, and an affine map per
generation

    score ↦ scale · score + bias

brings the old one level. Two conditions fix it:

- the scale is the least-squares slope of the score after re-embedding on the score before, over the best
  `candidates` old items of each query: those compete for the top, all others would only blur the slope;
- the bias makes the index fair: with half of the sample old, as many old items are among the top k as there
  are among the top k of the same items all re-embedded.

The intercept of the least-squares line is no substitute. It estimates each score without bias but draws unsure
scores to the mean, so the weaker the alignment the fewer old items reach the top, sometimes fewer than uncalibrated.
A monotone map (isotonic regression) ranked no better than the line, so there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.pairs import FloatArray, Rows, VectorsLike, unit, vectors
from paperworks.backward_compatible.relevance import overlap
from paperworks.backward_compatible.vectors import open_vectors
from paperworks.errors import InputError
from paperworks.files import write_json

FORMAT = 1


@dataclass(frozen=True)
class Affine:
    """`score ↦ scale · score + bias`."""

    scale: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True)
class ScoreCalibration:
    """The affine map of each generation of items, by name; that of the newest one is the identity."""

    generations: Mapping[str, Affine] = field(default_factory=dict)

    def apply(self, scores: ArrayLike, generation: str) -> NDArray[np.floating]:
        """Scores of items of one generation, any shape, on the scale of the newest generation's."""
        affine = self._of(generation)
        return affine.scale * np.asarray(scores) + affine.bias

    def fold(self, items: ArrayLike, generation: str) -> NDArray[np.floating]:
        """Items `[n, D]` as `[n, D + 1]` whose inner product with `(query, 1)` is the calibrated score.

        For an index that takes vectors but no formula: inner product, not cosine, since lengths now carry the scale.
        """
        affine, rows = self._of(generation), np.asarray(items)
        return np.hstack([affine.scale * rows, np.full((len(rows), 1), affine.bias)]).astype(rows.dtype)

    def _of(self, generation: str) -> Affine:
        if generation not in self.generations:
            raise InputError(
                f"no calibration for generation {generation!r}; there are {', '.join(self.generations)}"
            )
        return self.generations[generation]

    def save(self, path: str | PathLike[str]) -> None:
        """Write `{"format": 1, "generations": {name: {"scale": …, "bias": …}}}` as JSON, all or nothing."""
        generations = {name: {"scale": a.scale, "bias": a.bias} for name, a in self.generations.items()}
        write_json(path, {"format": FORMAT, "generations": generations})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ScoreCalibration:
        """What `save` wrote. Raises `InputError` for anything else."""
        try:
            stored = json.loads(Path(path).read_text())
            if stored["format"] != FORMAT:
                raise InputError(f"{path}: format {stored['format']}, this version reads {FORMAT}")
            return cls(
                {
                    name: Affine(float(a["scale"]), float(a["bias"]))
                    for name, a in stored["generations"].items()
                }
            )
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is not a score calibration ({error})") from None


def calibrate(
    aligner: OrthogonalAligner,
    new: VectorsLike,
    old: VectorsLike,
    *,
    k: int = 10,
    candidates: int = 50,
    generation: str = "old",
    newest: str = "new",
    at_most: int = 4_000,
    seed: int = 0,
) -> ScoreCalibration:
    """Fit scale and bias of the old generation on pairs `new [n, d_new]`, `old [n, d_old]`, for lists of `k`.

    Use pairs that the aligner was not fitted on; on its own it scores old items too well. Every item asks for
    the others. Scores are cosines. Of more than `at_most` pairs a random sample is taken.

    Raises `InputError` for unequal rows, too few pairs for `k`, and old scores that do not rise with the new ones.
    """
    old_scores, new_scores = _both_scores(aligner, new, old, at_most=at_most, seed=seed)
    n = len(old_scores)
    if not 1 <= k <= n // 4:
        raise InputError(f"{n} pairs are too few to calibrate the top {k}; need at least {4 * max(k, 1)}")
    best = best_others(old_scores, min(candidates, n - 1))
    before, after = (np.take_along_axis(scores, best, axis=1) for scores in (old_scores, new_scores))
    x, y = (scores.ravel() - scores.mean(dtype=np.float64) for scores in (before, after))
    slope = float(x @ y) / max(float(x @ x), 1e-300)
    if slope <= 0:
        raise InputError(
            f"old scores do not rise with the scores after re-embedding (slope {slope:.3f}): "
            "do aligner, old and new belong together?"
        )
    is_old = np.random.default_rng(seed).permutation(n) < n // 2
    fair = int(is_old[best_others(new_scores, k)].sum())
    competing_old = slope * _best_scores(old_scores, is_old, k)
    competing_new = _best_scores(new_scores, ~is_old, k)

    def old_at_the_top(bias: float) -> int:
        both = np.hstack([competing_new, competing_old + bias])
        return int((np.argsort(-both, axis=1, kind="stable")[:, :k] >= k).sum())

    return ScoreCalibration(
        {generation: Affine(slope, _where_it_reaches(old_at_the_top, fair)), newest: Affine()}
    )


def _where_it_reaches(count: Callable[[float], int], target: int) -> float:
    """The bias at which a count that rises with it reaches the target; cosines and slopes bound it."""
    low, high = -4.0, 4.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return high


def _best_scores(scores: FloatArray, part: NDArray[np.bool_], k: int) -> FloatArray:
    """`[n, k]`: the k best scores of each row of a square matrix among the columns in `part`, not its own."""
    allowed = np.where(part & ~np.eye(len(scores), dtype=bool), scores, -np.inf)
    return -np.partition(-allowed, k - 1, axis=1)[:, :k]


@dataclass(frozen=True)
class MixedGallery:
    """A mixed index against the one where everything is re-embedded, without (`raw`) and with calibration.

    Recall@k is the share of the re-embedded top k that is found, `half_width` 1.96 standard errors over queries of the
    recalls' paired difference. The shares are those of old items among the top k; the reference is their share in the
    re-embedded one.
    """

    k: int
    queries: int
    raw_recall: float
    calibrated_recall: float
    half_width: float
    reference_old_share: float
    raw_old_share: float
    calibrated_old_share: float


def mixed_gallery(
    aligner: OrthogonalAligner,
    calibration: ScoreCalibration,
    new: VectorsLike,
    old: VectorsLike,
    *,
    k: int = 10,
    old_part: float = 0.5,
    generation: str = "old",
    at_most: int = 4_000,
    seed: int = 0,
) -> MixedGallery:
    """Search a gallery in which a random `old_part` of the pairs is still old; every item asks for the others.

    Give pairs that neither the aligner nor the calibration has seen.
    """
    old_scores, new_scores = _both_scores(aligner, new, old, at_most=at_most, seed=seed)
    n = len(new_scores)
    if not 1 <= k < n:
        raise InputError(f"k lies between 1 and the number of other items, {n - 1}; got {k}")
    is_old = np.random.default_rng(seed).permutation(n) < round(old_part * n)
    reference = best_others(new_scores, k)
    raw = best_others(np.where(is_old, old_scores, new_scores), k)
    calibrated = best_others(np.where(is_old, calibration.apply(old_scores, generation), new_scores), k)
    raw_recall, calibrated_recall = overlap(raw, reference), overlap(calibrated, reference)
    gain = calibrated_recall - raw_recall
    return MixedGallery(
        k=k,
        queries=n,
        raw_recall=float(raw_recall.mean()),
        calibrated_recall=float(calibrated_recall.mean()),
        half_width=float(1.96 * gain.std(ddof=1) / np.sqrt(n)),
        reference_old_share=float(is_old[reference].mean()),
        raw_old_share=float(is_old[raw].mean()),
        calibrated_old_share=float(is_old[calibrated].mean()),
    )


def best_others(scores: NDArray[np.floating], k: int) -> Rows:
    """The `k` best columns of each row of a square score matrix, not its own; ties by number."""
    others = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    return np.argsort(-others, axis=1, kind="stable")[:, :k]


def _both_scores(
    aligner: OrthogonalAligner, new: VectorsLike, old: VectorsLike, *, at_most: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """`[n, n]` cosines of rotated new queries with the padded old items, and with the rotated new ones."""
    given_new, given_old = open_vectors(new), open_vectors(old)
    count_new, count_old = len(given_new), len(given_old)
    if count_new != count_old:
        raise InputError(
            f"new has {count_new:,} rows but old has {count_old:,}: row i of both must be one item"
        )
    rows = np.arange(count_new)
    if count_new > at_most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, at_most, replace=False))
    queries = unit(aligner.transform(vectors(given_new, "new", rows)))
    items = unit(vectors(given_old, "old", rows))
    return queries[:, : items.shape[1]] @ items.T, queries @ queries.T

"""Which old items to re-embed first, when the budget does not suffice for all.

An item that nobody asks for, or whose old vector already agrees with the rotated new one, gains little by
re-embedding. With `traffic t` (how often an item is wanted) and the held-out cosine `c` of its rotated new vector with
its old one, the expected gain is

    t · (1 − c)

and since every item costs the same, taking the largest first is optimal for the sum of the gains at every budget. The
cosine is known for items of the sample alone; for the others it is predicted from the old vector, by the mean of its
nearest neighbours in the sample or by ridge regression, whichever did better on held-out pairs. Where neither beats
the plain mean, the prediction is the mean, and the order is that of traffic.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.calibration import ScoreCalibration, best_others, calibrate
from paperworks.backward_compatible.pairs import (
    FloatArray,
    Rows,
    VectorsLike,
    held_out_cosines,
    unit,
    vectors,
)
from paperworks.backward_compatible.vectors import open_vectors
from paperworks.errors import InputError

Values = NDArray[np.float64]


def expected_gain(traffic: ArrayLike, held_out_cosine: ArrayLike) -> Values:
    """`[n]`: `t · (1 − c)` per item. Raises `InputError` for unequal lengths, negative traffic or cosines beyond ±1."""
    counts, cosines = np.asarray(traffic, np.float64), np.asarray(held_out_cosine, np.float64)
    if counts.shape != cosines.shape or counts.ndim != 1:
        raise InputError(
            f"traffic has shape {counts.shape} and cosines {cosines.shape}: need one number per item each"
        )
    bad = ~(counts >= 0) | ~np.isfinite(counts)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"traffic of item {row} is {counts[row]}: need a finite number, at least 0")
    bad = ~(np.abs(cosines) <= 1 + 1e-6)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"cosine of item {row} is {cosines[row]}: need a number between -1 and 1")
    return counts * (1 - cosines)


def backfill_order(traffic: ArrayLike, held_out_cosine: ArrayLike, *, budget: int | None = None) -> Rows:
    """The items to re-embed, largest expected gain first, at most `budget` of them; ties by number."""
    gain = expected_gain(traffic, held_out_cosine)
    if budget is not None and budget < 0:
        raise InputError(f"a budget is a number of items, at least 0; got {budget}")
    return np.argsort(-gain, kind="stable")[:budget]


@dataclass(frozen=True)
class CosinePrediction:
    """Cosines `[N]`, predicted, and `sample [n]`, the held-out ones that they were predicted from.

    `method` is the best of mean, neighbours and ridge by held-out R²; `r2` holds that of each.
    """

    cosines: Values
    sample: Values
    method: str
    r2: Mapping[str, float]


def predict_cosine(
    old_sample: VectorsLike,
    new_sample: VectorsLike,
    old: VectorsLike,
    *,
    neighbours: int = 10,
    folds: int = 5,
    chunk: int = 65_536,
    seed: int = 0,
) -> CosinePrediction:
    """Predict each old item's cosine `[N]` from its old vector `[N, d_old]`, having seen the sample's pairs.

    The sample's own cosines come from aligners fitted without them. `old` is read in chunks of rows, so a memory map
    stays on disk.
    """
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.neighbors import KNeighborsRegressor

    pairs_old, pairs_new = vectors(old_sample, "old sample"), vectors(new_sample, "new sample")
    if len(pairs_old) != len(pairs_new):
        raise InputError(
            f"{len(pairs_old):,} old but {len(pairs_new):,} new sample rows: row i must be one item"
        )
    if len(pairs_old) < 4 * folds:
        raise InputError(f"{len(pairs_old)} pairs are too few to predict from; need at least {4 * folds}")
    known = held_out_cosines(pairs_old, pairs_new, folds=folds, seed=seed)
    features = unit(pairs_old)
    regressors = {
        "mean": DummyRegressor(),
        "ridge": RidgeCV(alphas=np.logspace(-3, 3, 13)),
        "neighbours": KNeighborsRegressor(min(neighbours, len(features) // 2), weights="distance"),
    }
    splitter = KFold(folds, shuffle=True, random_state=seed)
    r2 = {
        name: float(r2_score(known, cross_val_predict(regressor, features, known, cv=splitter)))
        for name, regressor in regressors.items()
    }
    method = max(regressors, key=lambda name: r2[name]) if max(r2.values()) > 0 else "mean"
    model = regressors[method].fit(features, known)
    parts = [model.predict(unit(rows.astype(np.float32))) for rows in open_vectors(old).chunks(chunk)]
    return CosinePrediction(np.clip(np.concatenate(parts), -1, 1).astype(np.float64), known, method, r2)


@dataclass(frozen=True)
class BackfillCurve:
    """Traffic-weighted recall of the re-embedded top k after each number of re-embedded items.

    `recall[order]` is `[len(budgets)]` for the orders "given", "random" and "oracle"; `area[order]` is the mean height
    of its curve above the random one.
    """

    budgets: tuple[int, ...]
    recall: Mapping[str, Values]
    area: Mapping[str, float]


def simulate(
    aligner: OrthogonalAligner,
    new: VectorsLike,
    old: VectorsLike,
    order: ArrayLike,
    traffic: ArrayLike,
    *,
    calibration: ScoreCalibration | None = None,
    generation: str = "old",
    k: int = 10,
    steps: int = 10,
    random_orders: int = 5,
    seed: int = 0,
) -> BackfillCurve:
    """Play a backfill on pairs `new [n, d_new]`, `old [n, d_old]`, of which row i is re-embedded in the given `order`.

    Every item asks for the others in the mixed gallery of each budget. Recall counts an item of the re-embedded top
    k as often as it is wanted: `Σ t · found / Σ t`. The random curve is a mean over `random_orders`. The oracle
    takes first the items whose old vectors lose the most traffic-weighted hits when none is re-embedded; it looks at
    the answer, and being greedy, it is a mark to compare with rather than a strict upper bound.

    Give a calibration if the service has one: without it, re-embedded items may push better old ones down, and recall
    can fall on the way. Holds three `[n, n]` matrices: meant for some thousand pairs.
    """
    queries = unit(aligner.transform(vectors(new, "new")))
    items = unit(vectors(old, "old"))
    n = len(queries)
    weights = np.asarray(traffic, np.float64)
    given = np.asarray(order)
    if len(items) != n or weights.shape != (n,):
        raise InputError(
            f"{n} new rows, {len(items)} old rows and traffic of shape {weights.shape}: need n of each"
        )
    if not np.array_equal(np.sort(given), np.arange(n)):
        raise InputError(f"the order must name each of the {n} items once")
    if not 1 <= k < n:
        raise InputError(f"k lies between 1 and the number of other items, {n - 1}; got {k}")
    old_scores: FloatArray = queries[:, : items.shape[1]] @ items.T
    new_scores = queries @ queries.T
    if calibration is not None:
        old_scores = calibration.apply(old_scores, generation)
    wanted = np.zeros((n, n), bool)
    np.put_along_axis(wanted, best_others(new_scores, k), True, axis=1)
    budgets = tuple(int(b) for b in np.linspace(0, n, steps + 1))

    def hits(re_embedded: Rows) -> NDArray[np.bool_]:
        is_new = np.zeros(n, bool)
        is_new[re_embedded] = True
        found = np.zeros((n, n), bool)
        np.put_along_axis(found, best_others(np.where(is_new, new_scores, old_scores), k), True, axis=1)
        return wanted & found

    def curve(sequence: Rows) -> Values:
        total = wanted.sum(axis=0) @ weights
        if total == 0:
            raise InputError("none of the items has traffic: the recall of nothing wanted is not defined")
        return np.array([hits(sequence[:budget]).sum(axis=0) @ weights / total for budget in budgets])

    random = np.random.default_rng(seed)
    missed = (wanted & ~hits(np.empty(0, np.intp))).sum(axis=0) * weights
    recall = {
        "given": curve(given),
        "random": np.mean([curve(random.permutation(n)) for _ in range(random_orders)], axis=0),
        "oracle": curve(np.argsort(-missed, kind="stable")),
    }
    width = np.diff(budgets) / n
    area = {
        name: float(np.sum(width * ((values - recall["random"])[1:] + (values - recall["random"])[:-1]) / 2))
        for name, values in recall.items()
    }
    return BackfillCurve(budgets, recall, area)


def rehearse(
    old_sample: VectorsLike,
    new_sample: VectorsLike,
    traffic: ArrayLike,
    *,
    k: int = 10,
    at_most: int = 4_000,
    seed: int = 0,
) -> BackfillCurve:
    """Simulate the whole procedure on pairs it has not seen: everything is fitted on one half, played on the other.

    The halves are drawn at random, of more than `at_most` pairs only so many are used. The gallery is calibrated.
    """
    pairs_old, pairs_new, counts = (
        np.asarray(old_sample),
        np.asarray(new_sample),
        np.asarray(traffic, np.float64),
    )
    rows = np.random.default_rng(seed).permutation(len(pairs_old))[:at_most]
    fit, play = np.array_split(rows, 2)
    fit_part, calibration_part = np.array_split(fit, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aligner = OrthogonalAligner(normalize=True).fit(pairs_new[fit_part], pairs_old[fit_part])
    calibration = calibrate(aligner, pairs_new[calibration_part], pairs_old[calibration_part], seed=seed)
    predicted = predict_cosine(pairs_old[fit], pairs_new[fit], pairs_old[play], seed=seed)
    order = backfill_order(counts[play], predicted.cosines)
    return simulate(
        aligner,
        pairs_new[play],
        pairs_old[play],
        order,
        counts[play],
        calibration=calibration,
        k=k,
        seed=seed,
    )


def read_traffic(lines: Sequence[str], ids: Sequence[str], source: str = "traffic") -> Values:
    """Counts `[n]` for `ids` from `id,count` lines; an item that is not in them has none, a first line may be a header.

    Raises `InputError` with the line number, or if no id of the file is known.
    """
    counts: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        identity, _, count = line.strip().rpartition("\t" if "\t" in line else ",")
        try:
            counts[identity] = counts.get(identity, 0.0) + float(count)
        except ValueError:
            if number > 1:
                raise InputError(
                    f"{source}:{number}: expected `id,count`, got {line.strip()[:60]!r}"
                ) from None
    if not any(identity in counts for identity in ids):
        raise InputError(f"{source}: none of its ids is one of the {len(ids):,} items (first: {ids[0]!r})")
    return np.array([counts.get(identity, 0.0) for identity in ids])

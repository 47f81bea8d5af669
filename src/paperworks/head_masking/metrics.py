"""How well scores tell known documents from unknown ones, and what a score means: threshold, p-value, alarm.

Scores are larger for the known. FPR at 95 % names two quantities (specification, section 7):

    fpr95                the share of UNKNOWN accepted where 95 % of the KNOWN are      (Liang et al., arXiv 1706.02690)
    fpr95_ood_positive   the share of KNOWN rejected where 95 % of the UNKNOWN are      (what OpenOOD's code computes)
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from paperworks.errors import InputError


@dataclass(frozen=True)
class Metrics:
    """Shares of 1. `aupr_in`: the known are the positives, `aupr_out`: the unknown are."""

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr95: float
    fpr95_ood_positive: float
    n_known: int
    n_unknown: int

    def to_dict(self) -> dict[str, float | int]:
        """The figures by their names."""
        return asdict(self)


@dataclass(frozen=True)
class Alarm:
    """`low` of `documents` had a p-value up to `tail`, where about `tail · documents` were expected; as many or more
    happen by chance with probability `p_value`; `alarm` is whether that is at most `level`."""

    p_value: float
    alarm: bool
    low: int
    documents: int
    tail: float
    level: float


def ood_metrics(known: ArrayLike, unknown: ArrayLike) -> Metrics:
    """The metrics of scores `known [n]` and `unknown [m]`, larger = known.

    Equal scores count half in AUROC, and pass or fail together elsewhere. Raises `InputError` for scores that are
    empty or not finite.
    """
    truth, scores = _labelled(known, unknown)
    return Metrics(
        auroc=float(roc_auc_score(truth, scores)),
        aupr_in=float(average_precision_score(truth, scores)),
        aupr_out=float(average_precision_score(1 - truth, -scores)),
        fpr95=_false_positives(truth, scores, 0.95),
        fpr95_ood_positive=_false_positives(1 - truth, -scores, 0.95),
        n_known=int(truth.sum()),
        n_unknown=int((1 - truth).sum()),
    )


def roc_points(known: ArrayLike, unknown: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the curve: the shares of unknown and of known accepted, as the threshold falls."""
    truth, scores = _labelled(known, unknown)
    unknown_accepted, known_accepted, _ = roc_curve(truth, scores)
    return unknown_accepted, known_accepted


def threshold(scores: ArrayLike, contamination: float = 0.05) -> float:
    """`offset_`: documents with a score below it are rejected; from `n` scores of held-out known documents.

    The order statistic with `m = ⌊contamination · (n + 1)⌋ − 1` scores below it. So at most the stated share of these
    `n` is rejected, and of further known documents too, on average over held-out sets; `score < offset` says the same
    as `p_values(scores, score) <= contamination`. Interpolated quantiles, NumPy's default, promise neither.

    With fewer than `1 / contamination − 1` scores no threshold keeps that promise: the least score is taken, with a
    warning. Raises `InputError` for a contamination outside (0, 1), and scores that are empty or not finite.
    """
    ordered = np.sort(_scores("held-out", scores))
    if not 0 < contamination < 1:
        raise InputError(f"contamination {contamination} is not between 0 and 1")
    below = _whole(contamination * (len(ordered) + 1)) - 1
    if below < 0:
        needed = math.ceil(round(1 / contamination, 9)) - 1
        warnings.warn(
            f"{len(ordered)} held-out documents cannot bound {contamination:g} rejected, {needed} can: the least score "
            "is the threshold",
            stacklevel=2,
        )
    return float(ordered[max(below, 0)])


def p_values(reference_scores: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """How probable a score as low is for a known document: `(1 + #{reference ≤ s}) / (n + 1)`, `[m]`.

    Conformal: for a known document exchangeable with the `n` of the reference, which must not be those the score was
    fitted on, `P(p ≤ α) ≤ α` whatever the distribution. Raises `InputError` for scores empty or not finite.
    """
    ordered = np.sort(_scores("reference", reference_scores))
    return (1 + np.searchsorted(ordered, _scores("new", scores), side="right")) / (len(ordered) + 1)


def batch_alarm(values: ArrayLike, n_reference: int, *, level: float = 0.01, tail: float = 0.05) -> Alarm:
    """Are there more low p-values in a batch than known documents would have?

    `values [m]` come from `p_values` with `n_reference` reference scores. The p-values of a batch share that reference
    and are dependent: where it happens to lie high, all of them are low, and tests that assume independence (binomial,
    Fisher, Kolmogorov-Smirnov) raise too many alarms, the more the larger the batch. The number of `p ≤ tail` has a
    known law all the same: `p ≤ tail` says `s` lies below the j-th smallest reference score, `j = ⌊tail · (n + 1)⌋`,
    and of `m` exchangeable documents

        K ~ BetaBinomial(m, j, n + 1 − j)

    do, exactly, or fewer with ties. It is the tail that a new kind of document fills, be it a small part of the batch.
    The rate of false alarms, `level`, is that over references and batches: batches judged by the same reference share
    its luck.

    Raises `InputError` for an empty batch, values outside (0, 1], and a reference smaller than `1 / tail − 1`.
    """
    low = np.asarray(values, dtype=np.float64)
    if low.ndim != 1 or not low.size or not ((low > 0) & (low <= 1)).all():
        raise InputError("p-values are numbers above 0 and up to 1, one or more of them")
    for name, share in (("level", level), ("tail", tail)):
        if not 0 < share < 1:
            raise InputError(f"{name} {share} is not between 0 and 1")
    rank = _whole(tail * (n_reference + 1))
    if rank < 1:
        raise InputError(
            f"{n_reference} reference scores give no p-value up to {tail:g}: use more, or a larger tail"
        )
    count = int((low <= (rank + 0.5) / (n_reference + 1)).sum())
    chance = float(betabinom.sf(count - 1, low.size, rank, n_reference + 1 - rank)) if count else 1.0
    return Alarm(min(1.0, chance), chance <= level, count, low.size, tail, level)


def _false_positives(truth: np.ndarray, scores: np.ndarray, rate: float) -> float:
    """The share of negatives that score no lower than the threshold that the first `rate` of positives reach."""
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    return float(false[np.argmax(true >= rate)])


def _labelled(known: ArrayLike, unknown: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Truth, 1 for known, and scores, `[n + m]`."""
    parts = [_scores("known", known), _scores("unknown", unknown)]
    return np.repeat([1, 0], [len(part) for part in parts]), np.concatenate(parts)


def _scores(name: str, values: ArrayLike) -> np.ndarray:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not scores.size:
        raise InputError(f"{name} scores {list(scores.shape)}: a list of one or more is needed")
    if not np.isfinite(scores).all():
        raise InputError(f"{name} score {np.isfinite(scores).argmin()} is not finite")
    return scores


def _whole(product: float) -> int:
    """Rounded down, but not by the last digits of a product such as 0.29 · 100."""
    return math.floor(round(product, 9))

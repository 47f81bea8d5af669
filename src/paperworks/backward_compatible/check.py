"""Go or no-go before anybody touches production: what happens if new queries search the old index?

From a few thousand pairs (old row i and new row i are one item) `check` compares four ways to go on,

    keep-old   old queries, old items        rotate     rotated new queries, old items (nothing re-indexed)
    re-embed   new queries, new items        blend      a query between the old and the rotated new one, old items

always on items that the rotation was not fitted on: the pairs are split into folds; for each fold the aligner is
fitted on the others, and the fold's items are gallery and (each leaving itself out) queries. So a figure of this
report belongs to galleries of n/folds items. `gallery_curve` shows how it moves with that size; it says nothing
about a gallery a thousand times as large.

What is measured. With relevance judgements: nDCG@k and recall@k against them. Without, nobody knows which model is
right, and only these can be said honestly:

    re-embedding overlap@k   the share of the new model's own top k (new query, new items) that a way returns
    today overlap@k          the share of today's top k (old query, old items) that a way still returns
    known item               whether item i's rotated new vector finds item i's old vector: R@1 and MRR

Intervals are 95 % percentile intervals of a bootstrap over held-out queries, stretched to the standard error of a
jackknife over items, which also sees that the gallery is a sample. Differences are paired, query by query.

The rule, with "better" for a paired difference whose interval lies above zero, on nDCG@k if there are judgements and
on the re-embedding overlap@k otherwise; the first line that applies decides:

    refused      the held-out pairs look no better matched than random ones, or mismatched by majority (`pairs.py`)
    do-not       a significant part of the pairs, at least 5 %, is mismatched: repair the sample first
    blend        (re-embed is better than keep-old, and) blend is better than both keep-old and rotate, by at least
                 `margin`: worth running two models
    do-not       rotate is worse than keep-old: its interval lies below zero
    rotate       rotate equals re-embed and loses nothing: re-embed - rotate lies below `margin`, rotate - keep-old
                 above -`margin`
    keep-old     re-embed is not better than keep-old: the new model has not been shown to gain anything
    rotate       rotate is better than keep-old: the criterion of the paper, M(new/old) > M(old/old)
    re-embed     otherwise: rotating is not shown to gain anything, re-embedding is

Without judgements re-embed is better by definition: the check then takes the new model's ranking as the one wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from paperworks.backward_compatible.blend import WEIGHTS, best_of
from paperworks.backward_compatible.check_report import OPTIONS, CheckReport, CurvePoint, Recommendation
from paperworks.backward_compatible.intervals import estimate, jackknife, mean_over
from paperworks.backward_compatible.options import Queries, Search, Values
from paperworks.backward_compatible.pairs import (
    Fold,
    Progress,
    Sample,
    Screening,
    VectorsLike,
    cross_covariance,
    cross_fit,
    find_shift,
    refuse_strangers,
    screen,
    silent,
)
from paperworks.backward_compatible.procrustes import procrustes
from paperworks.backward_compatible.relevance import Judgements
from paperworks.errors import InputError
from paperworks.intervals import Interval

MISMATCH_LIMIT = 0.05
ENDS = (0.0, 1.0)
ROTATE, RE_EMBED = -2, -1
COMPARISONS = (
    ("rotate", "keep-old"),
    ("blend", "keep-old"),
    ("re-embed", "keep-old"),
    ("blend", "rotate"),
    ("re-embed", "rotate"),
)


def check(
    old: VectorsLike,
    new: VectorsLike,
    *,
    queries: tuple[VectorsLike, VectorsLike] | None = None,
    relevance: Judgements | None = None,
    ids: Sequence[str] | None = None,
    query_ids: Sequence[str] | None = None,
    k: int = 10,
    folds: int = 5,
    margin: float = 0.01,
    at_most: int = 10_000,
    seed: int = 0,
    progress: Progress = silent,
) -> CheckReport:
    """Compare the four options on pairs `old [n, d_old]` and `new [n, d_new]`, and recommend one (see the module).

    `queries` are real queries under both models, `([q, d_old], [q, d_new])`; without them every item is a query that
    leaves itself out. `relevance` maps query id to item id to grade; `ids` and `query_ids` name the rows (default:
    their numbers; without `queries`, the items' ids are the queries' too). `margin` is the smallest difference that
    matters to you. Of more than `at_most` pairs a random sample is taken. The same `seed` gives the same report.

    Raises `InputError` for NaN, all-zero rows, unequal numbers of rows, fewer than `folds · (k + 2)` pairs, and for
    rows that are not the same items.
    """
    if k < 1 or folds < 2:
        raise InputError(f"need k ≥ 1 and at least 2 folds, got k = {k} and {folds} folds")
    sample = Sample.of(old, new, at_most=at_most, seed=seed)
    if len(sample.old) < folds * (k + 2):
        raise InputError(
            f"{len(sample.old)} pairs are too few for {folds} folds and top {k}: need {folds * (k + 2)}, "
            "and some thousands for a narrow interval"
        )
    asked = Queries.of(sample, queries, relevance, ids, query_ids)
    splits = list(cross_fit(sample.old, sample.new, folds=folds, seed=seed))
    screening = screen(sample.old, sample.new, splits, seed=seed)
    refuse_strangers(sample.old, sample.new, screening)

    metric = f"nDCG@{k}" if asked.grades is not None else f"re-embedding overlap@{k}"
    gallery_size = min(len(split.held_out) for split in splits)
    fit_size = min(len(split.fit) for split in splits)
    sizes = [2**p for p in range(6, 30) if 2**p < fit_size] + [fit_size]
    galleries = [g for g in (gallery_size // part for part in (8, 4, 2)) if g >= 4 * k] + [gallery_size]
    searches, learning, by_gallery = _play(sample, asked, splits, metric, sizes, galleries, k, progress)
    measured = [search.metrics() for search in searches]
    by_weight = {name: np.stack([values[name] for values in measured], axis=1) for name in measured[0]}
    weights = _cross_fitted_weights(by_weight[metric])
    without = [
        search.metrics_without_groups((0, w, ROTATE, RE_EMBED))
        for search, w in zip(searches, weights, strict=True)
    ]
    picks = {
        "keep-old": [0] * folds,
        "blend": weights,
        "rotate": [ROTATE] * folds,
        "re-embed": [RE_EMBED] * folds,
    }
    values = {
        o: {name: table[pick, range(folds)] for name, table in by_weight.items()} for o, pick in picks.items()
    }
    means = {
        o: {name: np.stack([table[name][i] for table in without]) for name in by_weight}
        for i, o in enumerate(picks)
    }

    def estimated(values: Values, means: Values) -> Interval:
        return estimate(values, seed, variance=jackknife(means) + asked.extra_variance(values))

    options = {o: {name: estimated(values[o][name], means[o][name]) for name in by_weight} for o in OPTIONS}
    differences = {
        f"{a} - {b}": estimated(values[a][metric] - values[b][metric], means[a][metric] - means[b][metric])
        for a, b in COMPARISONS
    }
    learning_curve, gallery_curve = (
        [
            CurvePoint(size, estimate(keep, seed), estimate(rotate, seed))
            for size, (keep, rotate) in zip(*curve, strict=True)
        ]
        for curve in ((sizes, learning), (galleries, by_gallery))
    )
    screening = replace(
        screening,
        shift=find_shift(sample.old, sample.new, screening),
        suspicious=sample.rows[screening.suspicious],
    )
    judged = asked.grades is not None
    recommendation, reason = decide(
        options, differences, screening, metric=metric, margin=margin, judged=judged
    )
    report = CheckReport(
        recommendation=recommendation,
        reason=reason,
        metric=metric,
        k=k,
        pairs=len(sample.old),
        folds=folds,
        seed=seed,
        margin=margin,
        queries=options["rotate"][metric].n,
        gallery_size=gallery_size,
        blend_weight=WEIGHTS[best_of(list(np.nanmean(by_weight[metric][:RE_EMBED], axis=(1, 2))), WEIGHTS)],
        options=options,
        differences=differences,
        known_item=_known_item(screening, splits, seed),
        fold_spread=float(np.std(mean_over(by_weight[metric][ROTATE], axis=1), ddof=1)),
        learning_curve=learning_curve,
        enough_pairs=enough_pairs(learning_curve, margin),
        gallery_curve=gallery_curve,
        screening=screening,
    )
    return replace(report, warnings=[*sample.warnings, *_doubts(report, sample, fit_size, judged)])


def _play(
    sample: Sample,
    asked: Queries,
    splits: Sequence[Fold],
    metric: str,
    sizes: Sequence[int],
    galleries: Sequence[int],
    k: int,
    progress: Progress,
) -> tuple[list[Search], Values, Values]:
    """Search every fold's gallery: all weights at full size, and keep-old and rotate for both curves.

    The curves are `[sizes, 2, folds, q]` and `[galleries, 2, folds, q]`.
    """
    folds = len(splits)
    learning = np.full((len(sizes), 2, folds, asked.n), np.nan)
    by_gallery = np.full((len(galleries), 2, folds, asked.n), np.nan)
    searches: list[Search] = []
    steps = 1 + len(sizes)
    for f, split in enumerate(splits):
        where = f"fold {f + 1} of {folds}"
        sums = np.zeros((sample.new.shape[1], sample.old.shape[1]))
        progress(f * steps, folds * steps, f"{where}: options")
        searches.append(Search.of(sample, asked, split.rotation, split.held_out, WEIGHTS, k))
        for i, size in enumerate(galleries):
            starts = range(0, galleries[-1] // size * size, size)
            parts = (split.held_out[start : start + size] for start in starts)
            found = [
                Search.of(sample, asked, split.rotation, part, ENDS, k).metrics()[metric][:2]
                for part in parts
            ]
            by_gallery[i, :, f] = mean_over(np.stack(found), axis=0)
        for i, size in enumerate(sizes):
            progress(f * steps + 1 + i, folds * steps, f"{where}: {size:,} pairs")
            added = split.fit[0 if i == 0 else sizes[i - 1] : size]
            sums += cross_covariance(sample.old[added], sample.new[added])
            few, _ = procrustes(sums)
            learning[i, :, f] = Search.of(sample, asked, few, split.held_out, ENDS, k).metrics()[metric][:2]
    progress(folds * steps, folds * steps, "done")
    return searches, learning, by_gallery


def decide(
    options: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Interval],
    screening: Screening,
    *,
    metric: str,
    margin: float,
    judged: bool,
) -> tuple[Recommendation, str]:
    """The rule of the module's docstring, and in one sentence what the recommendation rests on."""
    rotate, blend = differences["rotate - keep-old"], differences["blend - keep-old"]
    re_embed, beyond_rotate = differences["re-embed - keep-old"], differences["blend - rotate"]
    level = options["rotate"][metric].percent()
    if screening.mismatched_interval[0] > MISMATCH_LIMIT:
        return "do-not", (
            f"about {screening.mismatched:.0%} of the pairs look mismatched; "
            "repair the matching of the rows and check again"
        )
    worth_two_models = all(e.low > 0 and e.value >= margin for e in (blend, beyond_rotate))
    if worth_two_models and re_embed.low > 0:
        return "blend", (
            f"{metric} {options['blend'][metric].percent()}, {blend.points()} over keep-old and "
            f"{beyond_rotate.points()} over rotate, while the old model still runs"
        )
    if rotate.high < 0:
        gain = (
            f"re-embedding brings {re_embed.points()} over keeping it" if judged else "re-embed, or keep it"
        )
        return "do-not", (
            f"rotated new queries are worse than the old model: {metric} {level}, {rotate.points()}; {gain}"
        )
    if differences["re-embed - rotate"].high < margin and rotate.low > -margin:
        return "rotate", f"{metric} {level}: all that re-embedding gives, with nothing re-indexed"
    if re_embed.low <= 0:
        return (
            "keep-old",
            f"even re-embedding is not shown to gain: {metric} {re_embed.points()} over keep-old",
        )
    if rotate.low > 0:
        return "rotate", f"{metric} {level}, {rotate.points()} over keep-old, with nothing re-indexed"
    return "re-embed", (
        f"rotating is not shown to gain over keep-old ({rotate.points()} in {metric}), re-embedding is "
        f"({re_embed.points()})"
    )


def enough_pairs(curve: Sequence[CurvePoint], margin: float) -> int | None:
    """The smallest size from which on rotate stays within `margin` of the curve's end; `None` if only the end does."""
    plateau = curve[-1].rotate.value
    enough = curve[-1].size
    for point in reversed(curve):
        if plateau - point.rotate.value > margin:
            break
        enough = point.size
    return enough if enough < curve[-1].size else None


def _cross_fitted_weights(values: Values) -> list[int]:
    """For each fold the index of the weight that was best on the other folds, so that its blend is judged unseen."""
    per_fold = mean_over(values[:RE_EMBED], axis=2)
    others = (np.delete(per_fold, f, axis=1) for f in range(per_fold.shape[1]))
    return [best_of(list(np.nanmean(part, axis=1)), WEIGHTS) for part in others]


def _known_item(screening: Screening, splits: Sequence[Fold], seed: int) -> dict[str, Interval]:
    ranks = np.full((len(splits), len(screening.ranks)), np.nan)
    for f, split in enumerate(splits):
        ranks[f, split.held_out] = screening.ranks[split.held_out]
    found_first = np.where(np.isnan(ranks), np.nan, ranks == 1)
    return {"known-item R@1": estimate(found_first, seed), "known-item MRR": estimate(1 / ranks, seed)}


def _doubts(report: CheckReport, sample: Sample, fit_size: int, judged: bool) -> list[str]:
    """What a reader of the report must know before believing it."""
    screening, doubts = report.screening, []
    width = min(sample.old.shape[1], sample.new.shape[1])
    if fit_size < width:
        doubts.append(
            f"too few pairs: a fold's rotation is fitted on {fit_size:,} pairs for {width:,} dimensions, so its "
            f"rank is {fit_size:,} at most, and it is arbitrary elsewhere"
        )
    if screening.mismatched_interval[0] > 0:
        low, high = screening.mismatched_interval
        first = ", ".join(str(row) for row in sorted(screening.suspicious)[:5])
        doubts.append(
            f"about {screening.mismatched:.1%} ({low:.1%} to {high:.1%}) of the pairs look mismatched; "
            f"{len(screening.suspicious):,} have a cosine at the random level: rows {first}, …"
        )
    if screening.shift:
        doubts.append(
            f"most suspicious new rows i match old row i{screening.shift:+d}: was a row dropped on one side?"
        )
    if report.enough_pairs is None:
        doubts.append(f"the learning curve still rises at {fit_size:,} pairs: more pairs would help")
    if not judged:
        doubts.append(
            "without relevance judgements the new model's ranking is taken as the one wanted; this report cannot say "
            "whether it is better than the old one"
        )
    return doubts

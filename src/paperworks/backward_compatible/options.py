"""The rankings of the four options in one gallery of the sample, and the metrics of each.

Rankings come deeper than k, so that leaving out some items, as the jackknife does, needs no second search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperworks.backward_compatible.blend import blend_queries
from paperworks.backward_compatible.compatibility import top_k
from paperworks.backward_compatible.intervals import mean_over
from paperworks.backward_compatible.pairs import FloatArray, Rows, Sample, VectorsLike, rotate, vectors
from paperworks.backward_compatible.procrustes import Matrix
from paperworks.backward_compatible.relevance import Judgements, grade_matrix, ndcg, overlap, recall
from paperworks.errors import InputError

Values = NDArray[np.floating]

GROUPS = 5


@dataclass(frozen=True)
class Queries:
    """Queries under both models. Without queries of their own the items ask, each leaving itself out (`own`)."""

    old: FloatArray
    new: FloatArray
    own: bool
    grades: Any

    @property
    def n(self) -> int:
        return len(self.old)

    def extra_variance(self, values: Values) -> float:
        """What the jackknife over items does not see: queries that are not items are a sample too."""
        per_query = mean_over(values, axis=0)
        return 0.0 if self.own else float(np.nanvar(per_query) / np.count_nonzero(~np.isnan(per_query)))

    @classmethod
    def of(
        cls,
        sample: Sample,
        queries: tuple[VectorsLike, VectorsLike] | None,
        relevance: Judgements | None,
        ids: Sequence[str] | None,
        query_ids: Sequence[str] | None,
    ) -> Queries:
        old, new = sample.old, sample.new
        if ids is not None and len(ids) <= sample.rows[-1]:
            raise InputError(
                f"{len(ids):,} ids, but the pairs have a row {sample.rows[-1]:,}: one id per row"
            )
        item_ids = [ids[row] if ids is not None else str(row) for row in sample.rows]
        asking = item_ids
        if queries is not None:
            old, new = vectors(queries[0], "old queries"), vectors(queries[1], "new queries")
            if len(old) != len(new):
                raise InputError(
                    f"{len(old):,} old queries but {len(new):,} new ones: pass the same queries in order"
                )
            for name, side, items in (("old", old, sample.old), ("new", new, sample.new)):
                if side.shape[1] != items.shape[1]:
                    raise InputError(
                        f"{name} queries have width {side.shape[1]} but {name} items {items.shape[1]}: "
                        "one model has one width"
                    )
            asking = [str(i) for i in range(len(old))] if query_ids is None else list(query_ids)
            if len(asking) != len(old):
                raise InputError(f"{len(asking):,} query ids for {len(old):,} queries: one id per query")
        if relevance is None:
            return cls(old, new, queries is None, None)
        grades = grade_matrix(relevance, asking, item_ids)
        if queries is None:
            grades.setdiag(0)
        return cls(old, new, queries is None, grades)


@dataclass(frozen=True)
class Search:
    """Rankings of one gallery, deeper than twice `k`: blends at some weights in the old vectors, then new in new.

    `rows` are the numbers of the queries that ask, `grades [len(rows), m]` their judgements of the gallery's items.
    """

    rankings: Sequence[Rows]
    rows: Rows
    grades: NDArray[np.float64] | None
    asked: Queries
    items: int
    k: int

    @classmethod
    def of(
        cls,
        sample: Sample,
        asked: Queries,
        rotation: Matrix,
        gallery: Rows,
        weights: Sequence[float],
        k: int,
    ) -> Search:
        rows = gallery if asked.own else np.arange(asked.n)
        items_old, items_new = sample.old[gallery], sample.new[gallery]
        old, new = asked.old[rows], asked.new[rows]
        rotated = rotate(new, rotation)
        depth = min(2 * k + 10, len(gallery) - 1)

        def search(queries: FloatArray, items: FloatArray) -> Rows:
            return top_k(queries, items, depth, metric="cosine", exclude="self" if asked.own else None)[0]

        width = items_old.shape[1]
        rankings = [search(blend_queries(old, rotated, weight)[:, :width], items_old) for weight in weights]
        rankings.append(search(new, items_new))
        grades = None if asked.grades is None else asked.grades[rows][:, gallery].toarray()
        return cls(rankings, rows, grades, asked, len(gallery), k)

    def metrics(self) -> dict[str, Values]:
        """Each metric for each ranking, `[len(rankings), q]`, NaN for queries that did not ask."""
        found = _metrics([ranking[:, : self.k] for ranking in self.rankings], self.grades, self.k)
        full = {name: np.full((len(self.rankings), self.asked.n), np.nan) for name in found}
        for name, values in found.items():
            full[name][:, self.rows] = values
        return full

    def metrics_without_groups(self, picks: Sequence[int]) -> dict[str, Values]:
        """The mean of each metric for some rankings, without each fifth of the items in turn: `[len(picks), 5]`.

        `picks` starts with the ranking of today and ends with that of re-embedding.
        """
        group = np.arange(self.items) % GROUPS
        means: dict[str, list[Values]] = {}
        for left_out in range(GROUPS):
            gone = group == left_out
            asking = np.flatnonzero(~gone) if self.asked.own else np.arange(len(self.rows))
            rankings = []
            for ranking in (self.rankings[pick][asking] for pick in picks):
                remaining_first = np.argsort(gone[ranking], axis=1, kind="stable")[:, : self.k]
                rankings.append(np.take_along_axis(ranking, remaining_first, axis=1))
            grades = None if self.grades is None else np.where(gone, 0.0, self.grades[asking])
            for name, values in _metrics(rankings, grades, self.k).items():
                means.setdefault(name, []).append(mean_over(values, axis=1))
        return {name: np.stack(columns, axis=1) for name, columns in means.items()}


def _metrics(rankings: Sequence[Rows], grades: NDArray[np.float64] | None, k: int) -> dict[str, Values]:
    """Each metric, `[len(rankings), q]`; the first ranking is today's, the last that of re-embedding."""
    metrics = {
        f"re-embedding overlap@{k}": [overlap(ranking, rankings[-1]) for ranking in rankings],
        f"today overlap@{k}": [overlap(ranking, rankings[0]) for ranking in rankings],
    }
    if grades is not None:
        metrics[f"nDCG@{k}"] = [ndcg(ranking, grades) for ranking in rankings]
        metrics[f"recall@{k}"] = [recall(ranking, grades) for ranking in rankings]
    return {name: np.stack(values) for name, values in metrics.items()}

"""How well queries of one embedding model search the gallery of another (section *Metrics* of the paper's protocol).

`M(query model / gallery model)` is CMC top-k or mean average precision by class label. Where both sides are the same
items (the official protocol), an item is removed from its own ranking. Vectors of different widths are compared on
their common first `min(D_q, D_g)` coordinates. For models `φ_1 … φ_T`, oldest first, `K[i, j] = M(φ_i / φ_j)`, `j ≤ i`,
and `φ_i` is compatible with `φ_j` if `K[i, j] > K[j, j]`: its queries find more in the old gallery than old ones did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperworks.errors import InputError

Similarity = Literal["cosine", "inner", "l2"]
Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]
METRICS = ("cmc1", "cmc5", "map")


def top_k(
    query: ArrayLike,
    gallery: ArrayLike,
    k: int,
    *,
    metric: Similarity = "cosine",
    exclude: Literal["self"] | None = None,
    chunk: int = 1024,
) -> tuple[Rows, Floats]:
    """The `k` best items of `gallery [m, D_g]` for each row of `query [n, D_q]`: indices and scores, `[n, k]` each.

    Larger scores are better; for `l2` the score is the negative squared distance. Equal scores are ordered by index.
    `exclude="self"` removes item i from the ranking of query i. Either side may be a memory map: at most `chunk` rows
    of each are read at a time, and memory is O(chunk · (chunk + k)) beside the result. Arithmetic is float32, or
    float64 if a side is.

    Raises `InputError` for anything but two finite float arrays of rows, a `k` beyond the gallery, `exclude="self"`
    with unequal numbers of rows, or an all-zero row under `cosine`.
    """
    queries, items = _sides(query, gallery, exclude == "self")
    available = len(items) - (exclude == "self")
    if not 1 <= k <= available:
        raise InputError(f"k = {k}, but each query can find 1 to {available:,} items")
    indices, scores = (
        np.empty((len(queries), k), np.intp),
        np.empty((len(queries), k), _dtype(queries, items)),
    )
    for rows, block in _blocks(queries, items, "query", metric, chunk):
        best: Floats = np.empty((len(block), 0), scores.dtype)
        place: Rows = np.empty((len(block), 0), np.intp)
        for columns, tile in _blocks(items, queries, "gallery", metric, chunk):
            fresh = _similarity(block, tile, metric)
            if exclude == "self":
                _remove_self(fresh, rows.start, columns.start)
            numbers = np.broadcast_to(np.arange(columns.start, columns.stop), fresh.shape)
            best, place = _best(np.hstack([best, fresh]), np.hstack([place, numbers]), k)
        indices[rows], scores[rows] = place, best
    return indices, scores


def recall_at_k(found: ArrayLike, relevant: ArrayLike) -> float:
    """The mean share of each row of `relevant [n, r]` that is also in the same row of `found [n, k]`, in any order.

    With `relevant` the lists of a gallery embedded again, this is the recall relative to full re-embedding; it needs no
    labels. Indices within a row of `relevant` are taken to be distinct. Raises `InputError` for unequal numbers of
    rows.
    """
    got, wanted = np.asarray(found), np.asarray(relevant)
    if got.ndim != 2 or wanted.ndim != 2 or len(got) != len(wanted) or not wanted.size:
        raise InputError(
            f"recall needs two lists of indices a query, got shapes {got.shape} and {wanted.shape}"
        )
    return float(np.mean([np.isin(row, hits).mean() for row, hits in zip(wanted, got, strict=True)]))


def retrieval_metrics(
    query: ArrayLike,
    gallery: ArrayLike,
    labels: ArrayLike,
    gallery_labels: ArrayLike | None = None,
    *,
    metrics: Sequence[str] = METRICS,
    metric: Similarity = "cosine",
    chunk: int = 256,
) -> dict[str, float]:
    """`M(query model / gallery model)` of one pair, each in [0, 1]; `cmcK` for any K, and `map`.

    `query [n, D_q]` has `labels [n]`. Without `gallery_labels` row i of `gallery` is the same item as row i of `query`,
    and is removed from its ranking. `cmcK` is the share of queries with an item of their class among the first K (equal
    scores by index); `map` the mean of scikit-learn's average precision over the whole ranking (equal scores as one
    step). Queries with no other item of their class are left out. Memory is O(chunk · m).

    Raises `InputError` for unequal lengths, an unknown metric, or where no query has anything to find.
    """
    shares = {name: _cmc_depth(name) for name in metrics}
    own = gallery_labels is None
    queries, items = _sides(query, gallery, own)
    classes = np.asarray(labels)
    item_classes = classes if gallery_labels is None else np.asarray(gallery_labels)
    for name, side, given in (("labels", queries, classes), ("gallery_labels", items, item_classes)):
        if given.shape != (len(side),):
            raise InputError(
                f"{name}: shape {given.shape}, but there are {len(side):,} vectors: one label each"
            )
    values: dict[str, list[NDArray[Any]]] = {name: [] for name in metrics}
    every = next(block for _, block in _blocks(items, queries, "gallery", metric, len(items)))
    for rows, block in _blocks(queries, items, "query", metric, chunk):
        scores = _similarity(block, every, metric)
        relevant = classes[rows, None] == item_classes
        if own:
            _remove_self(scores, rows.start, 0)
            relevant[np.arange(len(block)), np.arange(rows.start, rows.stop)] = False
        order = np.argsort(-scores, axis=1, kind="stable")
        if own:
            order = order[:, :-1]
        hits = np.take_along_axis(relevant, order, axis=1)
        asks = hits.any(axis=1)
        for name, depth in shares.items():
            if depth:
                values[name].append(np.any(hits[asks, :depth], axis=1))
            else:
                ranked = np.take_along_axis(scores, order, axis=1)
                values[name].append(_average_precision(hits[asks], ranked[asks]))
    if not len(np.concatenate(next(iter(values.values())))):
        raise InputError("no query has another item of its class to find: are these the right labels?")
    return {name: float(np.concatenate(parts).mean()) for name, parts in values.items()}


@dataclass(frozen=True)
class Compatibility:
    """The compatibility matrix of models, oldest first.

    `matrices[metric][i, j]` is `M(model i / model j)` for `j ≤ i`, NaN above the diagonal.
    """

    models: tuple[str, ...]
    matrices: Mapping[str, NDArray[np.float64]]

    def __getitem__(self, metric: str) -> NDArray[np.float64]:
        """The matrix `[T, T]` of one metric."""
        return self.matrices[metric]

    def compatible(self, metric: str = "map") -> bool:
        """Whether every model is compatible with every older one: `K[i, j] > K[j, j]`."""
        return self.average_compatibility(metric) == 1.0

    def average_compatibility(self, metric: str = "map") -> float:
        """AC, see `average_compatibility`."""
        return average_compatibility(self.matrices[metric])

    def average_metric(self, metric: str = "map") -> float:
        """AA or AM, see `average_metric`."""
        return average_metric(self.matrices[metric])

    def update_gain(self, independent: float, metric: str = "map") -> float:
        """The gain of the last update; `independent` is `M(new*/new*)` of a model trained without the method."""
        matrix = self.matrices[metric]
        return update_gain(matrix[-1, -2], matrix[-2, -2], independent)

    def to_dict(self) -> dict[str, Any]:
        """As JSON's own types; `None` above the diagonal."""
        return {
            "models": list(self.models),
            "metrics": {
                name: {
                    "matrix": [[None if np.isnan(x) else float(x) for x in row] for row in matrix],
                    "compatible": self.compatible(name),
                    "average_compatibility": self.average_compatibility(name),
                    "average_metric": self.average_metric(name),
                }
                for name, matrix in self.matrices.items()
            },
        }


Models = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]


def compatibility(
    *,
    query: Models,
    gallery: Models | None = None,
    labels: ArrayLike,
    gallery_labels: ArrayLike | None = None,
    metrics: Sequence[str] = METRICS,
    metric: Similarity = "cosine",
) -> Compatibility:
    """The matrix `K[i, j] = M(φ_i / φ_j)` of two or more models.

    `query=new, gallery=old`, two arrays of the same items, gives the matrix of the models "old" and "new". A mapping
    (or sequence) of arrays `[n, D_i]`, oldest model first, gives that of all of them. Both sides are the same items,
    each removed from its own ranking, unless `gallery` and `gallery_labels` give other items under the same models.

    Raises `InputError` where a side lacks a model, there are fewer than two, and as `retrieval_metrics` does.
    """
    queries, items = _by_model(query), None if gallery is None else _by_model(gallery)
    if items is not None and len(queries) == len(items) == 1 and gallery_labels is None:
        queries = {"old": next(iter(items.values())), "new": next(iter(queries.values()))}
        items = None
    if (items is None) != (gallery_labels is None):
        raise InputError("other items in the gallery need both gallery= and gallery_labels=")
    items = queries if items is None else items
    models = tuple(queries)
    if len(models) < 2 or tuple(items) != models:
        raise InputError(
            f"compatibility needs the same two or more models on both sides, oldest first; "
            f"got queries of {list(models)} and galleries of {list(items)}"
        )
    matrices = {name: np.full((len(models), len(models)), np.nan) for name in metrics}
    for i, newer in enumerate(models):
        for j, older in enumerate(models[: i + 1]):
            found = retrieval_metrics(
                queries[newer], items[older], labels, gallery_labels, metrics=metrics, metric=metric
            )
            for name, value in found.items():
                matrices[name][i, j] = value
    return Compatibility(models, matrices)


def average_compatibility(matrix: ArrayLike) -> float:
    """AC of a matrix `[T, T]`: the share of pairs `j < i` with `K[i, j] > K[j, j]`, strictly."""
    values = _lower(matrix)
    row, column = np.tril_indices(len(values), -1)
    return float(np.mean(values[row, column] > values[column, column]))


def average_metric(matrix: ArrayLike) -> float:
    """AA (AM for mAP) of a matrix `[T, T]`: the mean of its lower triangle with the diagonal, zeros included."""
    values = _lower(matrix)
    return float(values[np.tril_indices(len(values))].mean())


def update_gain(new_old: float, old_old: float, independent: float) -> float:
    """`(M(new/old) − M(old/old)) / (M(new*/new*) − M(old/old))`, `new*` trained without the method.

    1 means that new queries on the old gallery do as well as re-embedding with the independent model. NaN if that
    model is no better than the old one.
    """
    room = independent - old_old
    return (new_old - old_old) / room if room > 0 else float("nan")


def _by_model(models: Models) -> dict[str, ArrayLike]:
    if isinstance(models, Mapping):
        return dict(models)
    if isinstance(models, list | tuple) and len(models) and np.ndim(models[0]) == 2:
        return {f"model {i}": vectors for i, vectors in enumerate(models, 1)}
    return {"": models}  # type: ignore[dict-item]


def _lower(matrix: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise InputError(f"need the square matrix of two or more models, got shape {values.shape}")
    if not np.isfinite(values[np.tril_indices(len(values))]).all():
        raise InputError("the lower triangle of the compatibility matrix must be finite")
    return values


def _cmc_depth(name: str) -> int:
    """K of `cmcK`, 0 for `map`."""
    match = re.fullmatch(r"cmc([1-9]\d*)|map", name)
    if match is None:
        raise InputError(f"no metric is called {name!r}: choose cmc1, cmc5 (any cmcK) or map")
    return int(match[1] or 0)


def _sides(query: ArrayLike, gallery: ArrayLike, same: bool) -> tuple[Floats, Floats]:
    sides = np.asanyarray(query), np.asanyarray(gallery)
    for name, side in zip(("query", "gallery"), sides, strict=True):
        if side.ndim != 2 or 0 in side.shape or not np.issubdtype(side.dtype, np.floating):
            raise InputError(f"{name}: need float vectors [n, d], got {side.dtype} of shape {side.shape}")
    if same and len(sides[0]) != len(sides[1]):
        raise InputError(
            f"{len(sides[0]):,} queries but {len(sides[1]):,} gallery items: to leave each item out of its own "
            "ranking, row i of both must be the same item"
        )
    return sides


def _dtype(*sides: Floats) -> np.dtype[Any]:
    return np.result_type(np.float32, *(side.dtype for side in sides))


def _blocks(
    side: Floats, other: Floats, name: str, metric: Similarity, chunk: int
) -> Iterator[tuple[slice, Floats]]:
    """The rows of `side` on the common coordinates, checked, `chunk` at a time; unit norm for `cosine`."""
    if metric not in ("cosine", "inner", "l2"):
        raise InputError(f"no similarity is called {metric!r}: choose cosine, inner or l2")
    width = min(side.shape[1], other.shape[1])
    for start in range(0, len(side), chunk):
        rows = slice(start, min(start + chunk, len(side)))
        block = np.asarray(side[rows, :width], _dtype(side, other))
        if not (finite := np.isfinite(block).all(axis=1)).all():
            raise InputError(f"{name}: row {start + int(np.argmin(finite))} holds NaN or infinity")
        if metric == "cosine":
            norms = np.linalg.norm(block, axis=1, keepdims=True)
            if not norms.all():
                row = start + int(np.argmin(norms))
                raise InputError(f"{name}: row {row} is all zero: it has no cosine with anything")
            block = block / norms
        yield rows, block


def _similarity(queries: Floats, items: Floats, metric: Similarity) -> Floats:
    scores = queries @ items.T
    if metric == "l2":
        squared = (queries**2).sum(axis=1)[:, None] + (items**2).sum(axis=1)
        return np.minimum(2 * scores - squared, 0)
    return scores


def _remove_self(scores: Floats, first_row: int, first_column: int) -> None:
    """Put each item behind all others in its own row of `scores`, a part of the whole matrix."""
    rows = np.arange(scores.shape[0])
    columns = rows + first_row - first_column
    inside = (columns >= 0) & (columns < scores.shape[1])
    scores[rows[inside], columns[inside]] = -np.inf


def _best(scores: Floats, numbers: Rows, k: int) -> tuple[Floats, Rows]:
    """The `k` largest of each row, in order; among equal scores the earlier columns."""
    if scores.shape[1] > k:
        threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1, None]
        above, equal = scores > threshold, scores == threshold
        room = k - above.sum(axis=1, keepdims=True)
        kept = above | (equal & (np.cumsum(equal, axis=1) <= room))
        scores, numbers = scores[kept].reshape(-1, k), numbers[kept].reshape(-1, k)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def _average_precision(hits: NDArray[np.bool_], scores: Floats) -> NDArray[np.float64]:
    """Of each row, sorted by falling score: the mean over its hits of the precision at the end of their tie."""
    width = hits.shape[1]
    ends = np.full(hits.shape, width - 1)
    ends[:, :-1] = np.where(scores[:, :-1] != scores[:, 1:], np.arange(width - 1), width - 1)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(np.cumsum(hits, axis=1), ends, axis=1) / (ends + 1)
    return (precision * hits).sum(axis=1) / hits.sum(axis=1)

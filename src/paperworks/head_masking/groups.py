"""Rejected documents that are alike, proposed as new kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from paperworks.errors import InputError
from paperworks.head_masking.documents import Document


@dataclass(frozen=True)
class Group:
    """Documents that are alike: `members` are their indices, the one nearest the centre first; `words` are typical of
    them, the most typical first."""

    members: list[int]
    words: list[str]


def new_kinds(
    documents: Sequence[Document],
    features: np.ndarray,
    rejected: Sequence[int] | np.ndarray,
    origin: np.ndarray,
    *,
    minimum: int = 5,
    words: int = 6,
) -> list[Group]:
    """Groups of `minimum` or more of the `rejected` documents (indices), the largest first; others are in none.

    Average linkage of the directions of `features [N, d]` from `origin [d]`, the mean of the known documents' features,
    as far as the mean cosine between two groups is 0.5 or more; memory is quadratic in the rejected documents. A
    group's typical words are those that most more of its members have than of all other `documents`, in percent; at
    least half of its members have them. Raises `InputError` for a minimum below 2, and for features that are not one
    row a document or not as wide as the origin.
    """
    from sklearn.cluster import AgglomerativeClustering

    if minimum < 2:
        raise InputError(f"a group of {minimum} is none: give a minimum of 2 or more")
    if features.shape != (len(documents), *origin.shape):
        raise InputError(
            f"features {list(features.shape)} of {len(documents)} documents, origin {list(origin.shape)}"
        )
    rejected = np.asarray(rejected, dtype=int)
    if len(rejected) < minimum:
        return []
    rows = np.asarray(features, dtype=np.float64)[rejected] - origin
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    clusters = AgglomerativeClustering(
        n_clusters=None, metric="sqeuclidean", linkage="average", distance_threshold=1.0
    ).fit_predict(rows)  # of length 1: the squared distance is 2 − 2 cos
    has = [_words(document.words) for document in documents]
    found = []
    for cluster in range(clusters.max() + 1):
        own = np.flatnonzero(clusters == cluster)
        if len(own) >= minimum:
            far = np.linalg.norm(rows[own] - rows[own].mean(0), axis=1)
            members = rejected[own[far.argsort(kind="stable")]].tolist()
            found.append(Group(members, _typical(has, members, words)))
    return sorted(found, key=lambda group: (-len(group.members), group.members))


def _words(words: Iterable[str]) -> set[str]:
    """In lower case without punctuation around them; numbers and what is shorter than three letters left out."""
    plain = (word.strip(".,;:!?()[]\"'“”‘’–-").lower() for word in words)
    return {word for word in plain if len(word) > 2 and not any(letter.isdigit() for letter in word)}


def _typical(has: Sequence[set[str]], members: Sequence[int], n: int) -> list[str]:
    inside = Counter(word for index in members for word in has[index])
    everywhere = Counter(word for own in has for word in own)
    others = max(1, len(has) - len(members))

    def excess(word: str) -> float:
        return inside[word] / len(members) - (everywhere[word] - inside[word]) / others

    common = [word for word, count in inside.items() if 2 * count >= len(members) and excess(word) > 0]
    return sorted(common, key=lambda word: (-excess(word), word))[:n]

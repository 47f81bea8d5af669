"""Two text embedders as a service might have had one after the other, for the claim on stored vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


def embed_texts(texts: Sequence[str]) -> tuple[NDArray[np.intp], Vectors, Vectors]:
    """The old vectors `[n, 64]` and the new ones `[n, 128]` of texts, unit norm, and the numbers `[n]` of these texts.

    Old: TF-IDF of words; new: TF-IDF of character 3- and 4-grams; each reduced by a truncated SVD. Left out are texts
    that the new model cannot tell from an earlier one, and those that one of the two knows nothing of.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    shared = {"max_features": 20_000, "min_df": 2, "sublinear_tf": True}
    words = TfidfVectorizer(**shared)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), **shared)
    old, new = (
        normalize(TruncatedSVD(width, random_state=0).fit_transform(vectorizer.fit_transform(texts)))
        for vectorizer, width in ((words, 64), (characters, 128))
    )
    _, first = np.unique(new.round(6), axis=0, return_index=True)
    kept = np.sort(first)
    kept = kept[old[kept].any(axis=1) & new[kept].any(axis=1)]
    return kept, old[kept], new[kept]


def recall_of_class(found: NDArray[np.intp], labels: NDArray[Any]) -> float:
    """The mean share of each list `[n, k]` that is of the query's class, of the `min(k, R)` that could be.

    Row i is the ranking of query i without itself, and R the number of other items of its class. Queries whose class
    has no other item are left out.
    """
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    others = sizes[classes] - 1
    hits = (classes[found] == classes[:, None]).sum(axis=1)
    asks = others > 0
    return float(np.mean(hits[asks] / np.minimum(others[asks], found.shape[1])))

"""Replace an embedding model without touching the index: handwritten digits, FAISS and plain NumPy.

An old model has indexed a gallery of digits. A better one arrives. Its queries mean nothing to the old index, until
they are rotated by an aligner that was fitted on pairs: the same images under both models. The index is never touched.

    python examples/backward_compatible_digits.py
"""

from __future__ import annotations

import warnings

import faiss
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.check import check

K = 10
Vectors = NDArray[np.float32]


def embed(model: MLPClassifier, images: NDArray[np.float64]) -> Vectors:
    """The last hidden layer of a network, before its activation, as unit vectors."""
    hidden = images
    for layer, (weight, bias) in enumerate(zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True)):
        hidden = (np.maximum(hidden, 0) if layer else hidden) @ weight + bias
    return (hidden / np.linalg.norm(hidden, axis=1, keepdims=True)).astype(np.float32)


def search_numpy(queries: Vectors, gallery: Vectors) -> NDArray[np.intp]:
    """The K items of largest cosine, `[q, K]`."""
    return np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :K]


def search_faiss(queries: Vectors, index: faiss.Index) -> NDArray[np.int64]:
    """The same from a FAISS index of inner products."""
    return index.search(np.ascontiguousarray(queries), K)[1]


def main() -> dict[str, float]:
    """Print and return the share of the ten results that show the digit that was asked for."""
    images, digits = load_digits(return_X_y=True)
    images = images / 16
    # A third trains the models, a third is the indexed gallery, a third asks.
    train, rest, train_digits, rest_digits = train_test_split(
        images, digits, train_size=600, stratify=digits, random_state=0
    )
    gallery, asking, gallery_digits, asking_digits = train_test_split(
        rest, rest_digits, test_size=0.5, stratify=rest_digits, random_state=0
    )
    with warnings.catch_warnings():
        # Few steps on purpose: neither model is meant to be perfect.
        warnings.simplefilter("ignore", ConvergenceWarning)
        old = MLPClassifier((16,), max_iter=40, random_state=1).fit(train[:300], train_digits[:300])
        new = MLPClassifier((64, 32), max_iter=60, random_state=0).fit(train, train_digits)

    old_gallery = embed(old, gallery)
    index = faiss.IndexFlatIP(old_gallery.shape[1])
    index.add(old_gallery)

    # The new model arrives. The training images under both models are the pairs; check says whether to go on.
    pairs_old, pairs_new = embed(old, train), embed(new, train)
    report = check(pairs_old, pairs_new)
    print(report.summary(), end="\n\n")
    aligner = OrthogonalAligner(normalize=True).fit(pairs_new, pairs_old)

    new_queries = embed(new, asking)
    width = old_gallery.shape[1]
    rotated = aligner.transform(new_queries)[:, :width]
    rotated = rotated / np.linalg.norm(rotated, axis=1, keepdims=True)
    found = {
        "old queries, old index": search_numpy(embed(old, asking), old_gallery),
        "new queries, old index, as they are": search_numpy(new_queries[:, :width], old_gallery),
        "new queries, old index, rotated (NumPy)": search_numpy(rotated, old_gallery),
        "new queries, old index, rotated (FAISS)": search_faiss(rotated, index),
        "new queries, everything re-embedded": search_numpy(new_queries, embed(new, gallery)),
    }
    recall = {
        name: float((gallery_digits[ranking] == asking_digits[:, None]).mean())
        for name, ranking in found.items()
    }
    print(f"share of the top {K} that shows the digit asked for:")
    for name, value in recall.items():
        print(f"  {value:6.1%}  {name}")
    return recall


if __name__ == "__main__":
    main()

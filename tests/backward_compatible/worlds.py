"""Small worlds of embeddings in which the truth is known, shared by the tests of the decisions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rotation(d: int, random: np.random.Generator) -> Array:
    return np.linalg.qr(random.normal(size=(d, d)))[0]


def clustered(n: int, centres: Array, random: np.random.Generator, spread: float = 0.8) -> Array:
    """Unit rows around random centres, in random order."""
    return unit(
        centres[random.integers(0, len(centres), n)] + spread * random.normal(size=(n, centres.shape[1]))
    )


def noisy(rows: Array, noise: float, random: np.random.Generator) -> Array:
    return unit(rows + noise * random.normal(size=rows.shape))


def slow_top(queries: Array, items: Array, k: int, *, leave_self: bool) -> list[list[int]]:
    """The k best items of each query by cosine, one query at a time."""
    lists = []
    for i, query in enumerate(queries):
        scores = [float(query @ item / np.linalg.norm(query) / np.linalg.norm(item)) for item in items]
        ranked = sorted(range(len(items)), key=lambda j: (-scores[j], j))
        lists.append([j for j in ranked if not (leave_self and j == i)][:k])
    return lists


def slow_overlap(found: list[list[int]], wanted: list[list[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, wanted, strict=True)]))

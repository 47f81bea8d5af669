"""The mean direction of unit vectors as a model's fingerprint: where it is not zero, it tells spaces apart.

Embeddings of most models share a common direction. A sample of n has its mean within about 1/sqrt(n) of the truth.
"""

from __future__ import annotations

import numpy as np

from paperworks.backward_compatible.procrustes import Matrix
from paperworks.backward_compatible.vectors import Vectors

STRETCHES = 8
STRETCH = 512


def mean_direction(vectors: Vectors) -> tuple[Matrix, int] | None:
    """The mean of the unit vectors of up to 8 × 512 rows, and how many they are; `None` without usable rows."""
    starts = np.unique(np.linspace(0, max(0, len(vectors) - STRETCH), STRETCHES).astype(int))
    stretches = [vectors.rows(start, min(start + STRETCH, len(vectors))) for start in starts]
    sample = np.concatenate(stretches).astype(np.float64)
    norms = np.linalg.norm(sample, axis=1)
    usable = (norms > 0) & np.isfinite(norms)
    if not usable.any():
        return None
    return np.mean(sample[usable] / norms[usable, None], axis=0), int(usable.sum())


def looks_rotated(vectors: Vectors, new_mean: Matrix, rotation: Matrix, pairs: int) -> bool:
    """Whether the vectors' mean is that of the sample's new vectors after the rotation, rather than before.

    `new_mean [d]` is the mean over `pairs` vectors. No, where the two means are too near each other to tell.
    """
    found = mean_direction(vectors)
    if found is None:
        return False
    mean, count = found
    rotated_mean = new_mean @ rotation
    noise = 1 / np.sqrt(count) + 1 / np.sqrt(pairs)
    if np.linalg.norm(rotated_mean - new_mean) < 4 * noise:
        return False
    return bool(np.linalg.norm(mean - rotated_mean) < 0.5 * np.linalg.norm(mean - new_mean))


def disagreement(a: Matrix, pairs_a: int, b: Matrix, pairs_b: int) -> float | None:
    """The cosine of two means if both stand out of the noise and are more than 60° apart, else `None`."""
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if length_a < 4 / np.sqrt(pairs_a) or length_b < 4 / np.sqrt(pairs_b):
        return None
    cosine = float(a @ b / (length_a * length_b))
    return cosine if cosine < 0.5 else None

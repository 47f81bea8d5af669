"""The closed form: from the cross-covariance of pairs to the rotation that carries new vectors onto old ones.

    M = sum_i a_i b_i^T  [d_new, d_old],   M = U S V^T,   R = U V^T

`a -> a R` minimises `||A R - B||_F`, the narrower of A and B padded with zeros, over the square orthogonal maps of the
wider space: the orthogonal Procrustes problem. No images, no labels, no gradient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Matrix = NDArray[np.float64]


def procrustes(cross_covariance: Matrix) -> tuple[Matrix, int]:
    """The rotation `R [d_new, max(d_new, d_old)]` for `M [d_new, d_old]`, and the rank of M.

    With rank(M) = min(d_new, d_old) its first d_old columns are unique. Below that they are right on the span of the
    sample and arbitrary elsewhere.
    """
    left, singular, right = linalg.svd(cross_covariance, full_matrices=False)
    tolerance = singular[0] * max(cross_covariance.shape) * np.finfo(np.float64).eps
    return complete(left @ right), int(np.sum(singular > tolerance))


def complete(thin: Matrix) -> Matrix:
    """Add to orthonormal columns `[d, k]`, k < d, those of the complement: a square orthogonal `[d, d]`.

    The complement's basis is fixed: QR, with a positive diagonal, of the projector on it, applied to those unit vectors
    that span it best, in their order.
    """
    d, k = thin.shape
    if k >= d:
        return thin
    projector = np.eye(d) - thin @ thin.T
    _, pivots = linalg.qr(projector, mode="r", pivoting=True)
    basis, triangle = linalg.qr(projector[:, np.sort(pivots[: d - k])], mode="economic")
    basis = basis * np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
    return np.hstack([thin, basis])


def relax(rotation: Matrix, cross_covariance: Matrix, gram: Matrix, relaxation: float) -> Matrix:
    """Let the first d_old columns of the rotation give way towards least squares (our own closed form).

        W = argmin ||A W - B||^2 + mu ||W - R||^2 = (G + mu I)^-1 (M + mu R)
        G = A^T A  [d_new, d_new],   mu = (1/t - 1) tr(G)/d_new,   t the relaxation in (0, 1]

    A ridge regression that shrinks towards the rotation instead of zero: t -> 0 is the rotation, t = 1 least squares. W
    is then scaled so that its mean squared singular value is the rotation's, 1; cosines with old vectors do not see
    that. New/new inner products are no longer kept; the singular values of the map say how far.
    """
    d_new, d_old = cross_covariance.shape
    thin = rotation[:, :d_old]
    energy, axes = linalg.eigh(gram)
    energy = np.clip(energy, 0.0, None)
    mu = (1 / relaxation - 1) * energy.mean() + d_new * np.finfo(np.float64).eps * energy.max()
    relaxed = axes @ ((axes.T @ cross_covariance + mu * (axes.T @ thin)) / (energy + mu)[:, None])
    relaxed *= np.sqrt(min(d_new, d_old) / np.sum(relaxed**2))
    return np.hstack([relaxed, rotation[:, d_old:]])

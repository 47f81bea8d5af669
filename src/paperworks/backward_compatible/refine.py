"""Refine the closed form for other losses than the squared error, staying on the rotations (section 3.7; needs torch).

    loss = 5 mean(1 - cos(p, b)) + 10 CE(p P^T, label),   p = a R[:, :d_old]

The second term, the influence loss, needs labels; the class prototypes P are the mean unit-norm old vectors per class.
R moves by the Cayley transform of a skew-symmetric S, which starts at 0: R (I - S)(I + S)^-1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from paperworks.backward_compatible.pair_sums import PairSums, row_hashes
from paperworks.backward_compatible.procrustes import Matrix, complete, procrustes
from paperworks.backward_compatible.vectors import Vectors
from paperworks.errors import InputError, require

ALIGNMENT_WEIGHT = 5.0
INFLUENCE_WEIGHT = 10.0
LABEL_SMOOTHING = 0.1
STEPS = 300
BATCH = 512
LEARNING_RATE = 1e-3


def refine_rotation(
    rotation: Matrix, new: Vectors, old: Vectors, labels: Any, sums: PairSums, seed: int = 0
) -> Matrix:
    """Improve `rotation [d_new, D]` on all pairs but the held-out ones; its rows stay orthonormal.

    `new`, `old`: the pairs; `labels [n]`: classes, or `None`. `STEPS` minibatches of `BATCH` pairs, Adam, cosine
    schedule. Each step solves a `D x D` system: about a second at D = 4096.
    """
    require("backward-compatible", "torch")
    import torch
    from torch.nn.functional import cosine_similarity, cross_entropy, normalize

    rows = _training_rows(new, old, sums)
    classes = prototypes = None
    if labels is not None:
        classes, means = _prototypes(labels, old, rows)
        prototypes = torch.from_numpy(means).float()

    d_new, d_old = new.shape[1], old.shape[1]
    start = torch.from_numpy(complete(rotation.T).T if d_new < d_old else rotation).float()
    size = len(start)
    free = torch.zeros(size, size, requires_grad=True)
    identity = torch.eye(size)
    optimizer = torch.optim.Adam([free], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    random = np.random.default_rng(seed)

    def current() -> Any:
        skew = free.triu(1) - free.triu(1).T
        return start @ torch.linalg.solve(identity + skew, identity - skew)

    for _ in range(STEPS):
        picked = np.sort(random.choice(rows, min(BATCH, len(rows)), replace=False))
        a = torch.from_numpy(new.take(picked).astype(np.float32))
        b = torch.from_numpy(old.take(picked).astype(np.float32))
        p = normalize(a @ current()[:d_new, :d_old], dim=1)
        loss = ALIGNMENT_WEIGHT * (1 - cosine_similarity(p, b)).mean()
        if classes is not None and prototypes is not None:
            target = torch.from_numpy(classes[picked])
            loss = loss + INFLUENCE_WEIGHT * cross_entropy(
                p @ prototypes.T, target, label_smoothing=LABEL_SMOOTHING
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        refined = current().double().numpy()
    return procrustes(refined)[0][:d_new]


def _training_rows(new: Vectors, old: Vectors, sums: PairSums) -> np.ndarray[Any, Any]:
    """Numbers of the pairs that are neither held out nor all zero on a side."""
    numbers, start = [], 0
    for a, b in zip(new.chunks(8192), old.chunks(8192), strict=True):
        use = a.any(axis=1) & b.any(axis=1) & ~np.isin(row_hashes(a, b), sums.held_out_hash)
        numbers.append(start + np.flatnonzero(use))
        start += len(a)
    return np.concatenate(numbers)


def _prototypes(labels: Any, old: Vectors, rows: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Matrix]:
    """Class numbers `[n]` and the mean unit-norm old vector of each class over `rows`, `[classes, d_old]`."""
    labels = np.asarray(labels)
    if labels.shape != (len(old),):
        raise InputError(f"labels of shape {labels.shape} for {len(old):,} pairs: one label per pair")
    _, classes = np.unique(labels, return_inverse=True)
    means = np.zeros((int(classes.max()) + 1, old.shape[1]))
    counts = np.bincount(classes[rows], minlength=len(means))
    if not counts.all():
        missing = labels[classes == int(np.argmin(counts))][0]
        raise InputError(f"label {missing!r} has no pair outside the held-out ones: give more pairs of it")
    for begin in range(0, len(rows), 8192):
        part = rows[begin : begin + 8192]
        vectors = old.take(part).astype(np.float64)
        np.add.at(means, classes[part], vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return classes, means / counts[:, None]

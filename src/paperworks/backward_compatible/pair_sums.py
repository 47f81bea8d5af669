"""What is kept of a sample of pairs while it streams by: the sums that the rotation needs, and a part held out.

    M = sum_i a_i b_i^T  [d_new, d_old],   G = sum_i a_i a_i^T  [d_new, d_new]   (G for a relaxed rotation only)

All sums are float64, so chunks and order do not matter. The held-out pairs are chosen by a hash of their values: a
fifth of them, at most `HELD_OUT`. That too does not depend on chunks or order, and equal pairs fall on the same side.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paperworks.backward_compatible.procrustes import Matrix
from paperworks.backward_compatible.vectors import Array, Vectors
from paperworks.errors import InputError

HELD_OUT = 1024
SHARE = 0.2
CHUNK_BYTES = 32 * 2**20


@dataclass
class PairSums:
    """Sums over pairs of rows `a_i [d_new]` (new model) and `b_i [d_old]` (old model).

    `normalize`: rows are scaled to length one first. `with_gram`: keep G as well.
    """

    normalize: bool
    with_gram: bool
    pairs: int = 0
    zero_rows: int = 0
    duplicates: int = 0
    first_zero: str = ""
    sample_sha256: str = ""
    norms: dict[str, tuple[float, float]] = field(default_factory=dict)
    cross_covariance: Matrix = field(default_factory=lambda: np.zeros((0, 0)))
    gram: Matrix | None = None
    new_sum: Matrix = field(default_factory=lambda: np.zeros(0))
    old_sum: Matrix = field(default_factory=lambda: np.zeros(0))
    held_out_new: Matrix = field(default_factory=lambda: np.zeros((0, 0)))
    held_out_old: Matrix = field(default_factory=lambda: np.zeros((0, 0)))
    held_out_hash: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))

    def add(self, new: Vectors, old: Vectors) -> None:
        """Add all pairs `new [n, d_new]`, `old [n, d_old]`, read chunk by chunk.

        Rows of which one side is all zero have no direction and are left out and counted. Raises `InputError` that
        names the first row with NaN or infinity.
        """
        d_new, d_old = new.shape[1], old.shape[1]
        if not self.pairs:
            self.cross_covariance = np.zeros((d_new, d_old))
            self.gram = np.zeros((d_new, d_new)) if self.with_gram else None
            self.new_sum, self.old_sum = np.zeros(d_new), np.zeros(d_old)
            self.held_out_new, self.held_out_old = np.zeros((0, d_new)), np.zeros((0, d_old))
        hashes, digests = [], (hashlib.sha256(), hashlib.sha256())
        size = max(256, CHUNK_BYTES // (8 * max(d_new, d_old)))
        start = 0
        for raw_new, raw_old in zip(new.chunks(size), old.chunks(size), strict=True):
            digests[0].update(np.ascontiguousarray(raw_new).data)
            digests[1].update(np.ascontiguousarray(raw_old).data)
            hashes.append(self._add_chunk(raw_new, raw_old, (new.name, old.name), start))
            start += len(raw_new)
        values = np.sort(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64)
        self.duplicates += int(np.sum(values[1:] == values[:-1]))
        sample = "".join([self.sample_sha256, *(digest.hexdigest() for digest in digests)])
        self.sample_sha256 = hashlib.sha256(sample.encode()).hexdigest()

    def _add_chunk(
        self, raw_new: Array, raw_old: Array, names: tuple[str, str], start: int
    ) -> NDArray[np.uint64]:
        hashes = row_hashes(raw_new, raw_old)
        a, norm_a = self._side("new", names[0], raw_new, start)
        b, norm_b = self._side("old", names[1], raw_old, start)
        keep = (norm_a > 0) & (norm_b > 0)
        if not keep.all():
            first = int(np.argmin(keep))
            side = names[0] if norm_a[first] == 0 else names[1]
            self.first_zero = self.first_zero or f"{side} row {start + first}"
            self.zero_rows += int(np.sum(~keep))
            a, b, norm_a, norm_b, hashes = a[keep], b[keep], norm_a[keep], norm_b[keep], hashes[keep]
            if not len(a):
                return hashes
        for side, norms in (("new", norm_a), ("old", norm_b)):
            low, high = self.norms.get(side, (np.inf, 0.0))
            self.norms[side] = (min(low, float(norms.min())), max(high, float(norms.max())))
        unit_a, unit_b = a / norm_a[:, None], b / norm_b[:, None]
        self.new_sum += unit_a.sum(axis=0)
        self.old_sum += unit_b.sum(axis=0)
        if self.normalize:
            a, b = unit_a, unit_b
        self.cross_covariance += a.T @ b
        if self.gram is not None:
            self.gram += a.T @ a
        self.pairs += len(a)
        self._hold_out(a, b, hashes)
        return hashes

    def _side(self, side: str, name: str, raw: Array, start: int) -> tuple[Matrix, Matrix]:
        rows = raw.astype(np.float64)
        norms = np.linalg.norm(rows, axis=1)
        if not np.isfinite(norms).all():
            row = start + int(np.argmin(np.isfinite(norms)))
            raise InputError(
                f"{side} vectors, {name}: row {row} holds NaN or infinity (inf): drop it from both sides"
            )
        return rows, norms

    def _hold_out(self, a: Matrix, b: Matrix, hashes: NDArray[np.uint64]) -> None:
        chosen = hashes < np.uint64(int(SHARE * 2**64))
        if len(self.held_out_hash) == HELD_OUT:
            chosen &= hashes < self.held_out_hash[-1]
        if not chosen.any():
            return
        every = np.concatenate([self.held_out_hash, hashes[chosen]])
        order = np.argsort(every, kind="stable")[:HELD_OUT]
        self.held_out_hash = every[order]
        self.held_out_new = np.concatenate([self.held_out_new, a[chosen]])[order]
        self.held_out_old = np.concatenate([self.held_out_old, b[chosen]])[order]

    @property
    def new_mean(self) -> Matrix:
        """The mean of the new vectors, each scaled to length one, `[d_new]`."""
        return self.new_sum / self.pairs

    @property
    def old_mean(self) -> Matrix:
        """The mean of the old vectors, each scaled to length one, `[d_old]`."""
        return self.old_sum / self.pairs

    def without_held_out(self) -> tuple[Matrix, Matrix | None]:
        """M and G without the held-out pairs."""
        gram = None if self.gram is None else self.gram - self.held_out_new.T @ self.held_out_new
        return self.cross_covariance - self.held_out_new.T @ self.held_out_old, gram


def row_hashes(new: Array, old: Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each pair of rows, `[n]`; equal pairs have equal hashes."""
    total = np.zeros(len(new), np.uint64)
    for seed, side in enumerate((new, old)):
        itemsize = side.dtype.itemsize if side.shape[1] * side.dtype.itemsize % 8 else 8
        words = np.ascontiguousarray(side).view(f"u{itemsize}")
        factors = np.random.default_rng(seed).integers(2**64, size=words.shape[1], dtype=np.uint64)
        factors |= np.uint64(1)
        total = _mix(total) + words.astype(np.uint64, copy=False) @ factors
    return _mix(total)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

"""What held-out pairs say about an aligner: how close rotated new vectors come, and whether the rows match at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import linalg

from paperworks.backward_compatible.pair_sums import PairSums
from paperworks.backward_compatible.procrustes import Matrix

FEWEST_HELD_OUT = 20
BETTER_THAN_STRANGERS = 0.75


@dataclass(frozen=True)
class AlignmentReport:
    """How well the rotation fits, on `held_out_pairs` that a second solution left out.

    - `held_out_cosine`: their mean cosine under the second solution; `in_sample_cosine`: that of the same pairs under
      the rotation itself, which has seen them; `None` where it was not measured.
    - `random_cosine`: that of held-out rotated vectors with old vectors of other items.
    - `better_than_strangers`: the share of strangers that a held-out pair's cosine exceeds, 0.5 for rows in random
      order, 1 for a perfect match; below 0.75 the aligner is not usable.
    - `duplicates`: pairs that occurred before, counted within each call of `fit` or `partial_fit`.
    - `singular_values`: smallest and largest of the map, by which a new vector's length can change; (1, 1) for a
      rotation. `distortion`: root mean square change of new/new cosines between held-out pairs; 0 for a rotation.
    - `norms`: shortest and longest vector of each side.
    """

    usable: bool
    reason: str
    pairs: int
    rank: int
    duplicates: int = 0
    zero_rows: int = 0
    held_out_pairs: int = 0
    in_sample_cosine: float | None = None
    held_out_cosine: float | None = None
    random_cosine: float | None = None
    better_than_strangers: float | None = None
    singular_values: tuple[float, float] = (1.0, 1.0)
    distortion: float = 0.0
    norms: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON's own types."""
        norms = {side: list(extent) for side, extent in self.norms.items()}
        return asdict(self) | {"singular_values": list(self.singular_values), "norms": norms}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AlignmentReport:
        """The report that `to_dict` wrote."""
        norms = {side: tuple(extent) for side, extent in data["norms"].items()}
        return cls(**{**data, "singular_values": tuple(data["singular_values"]), "norms": norms})


def judge_held_out(sums: PairSums, rotation: Matrix, trial: Matrix, rank: int) -> AlignmentReport:
    """Report on `rotation`, fitted on all pairs, by `trial`, fitted without the held-out ones."""
    d_new, d_old = sums.cross_covariance.shape
    a, b = sums.held_out_new, sums.held_out_old
    singular_values, distortion = (1.0, 1.0), 0.0
    if sums.gram is not None:
        values = linalg.svdvals(rotation)
        singular_values = (float(values.min()), float(values.max()))
        before, after = _cosine_matrix(a, a), _cosine_matrix(a @ trial, a @ trial)
        distortion = float(np.sqrt(np.mean((after - before) ** 2))) if len(a) else 0.0
    counts: dict[str, Any] = {
        "pairs": sums.pairs,
        "rank": rank,
        "duplicates": sums.duplicates,
        "zero_rows": sums.zero_rows,
        "singular_values": singular_values,
        "distortion": distortion,
        "norms": dict(sums.norms),
    }
    if len(a) < FEWEST_HELD_OUT or sums.pairs - len(a) < 1:
        reason = f"only {sums.pairs} pairs: too few to hold some out and tell whether the rows match; give 200 or more"
        return AlignmentReport(False, reason, held_out_pairs=len(a), **counts)
    similarity = _cosine_matrix(a @ trial[:, :d_old], b)
    own = np.diagonal(similarity)
    n = len(own)
    random_cosine = float((similarity.sum() - own.sum()) / (n * (n - 1)))
    beaten = (
        np.sum(similarity < own[:, None], axis=1) + 0.5 * (np.sum(similarity == own[:, None], axis=1) - 1)
    ) / (n - 1)
    better = float(beaten.mean())
    counts |= {
        "held_out_pairs": n,
        "held_out_cosine": float(own.mean()),
        "in_sample_cosine": float(np.diagonal(_cosine_matrix(a @ rotation[:, :d_old], b)).mean()),
        "random_cosine": random_cosine,
        "better_than_strangers": better,
    }
    found = f"held-out cosine {own.mean():.2f} (with random other items {random_cosine:.2f})"
    if better < BETTER_THAN_STRANGERS:
        few = (
            f"; {sums.pairs} pairs may also be too few for {min(d_new, d_old)} dimensions"
            if rank < min(d_new, d_old)
            else ""
        )
        return AlignmentReport(False, f"{found}: are the rows the same items?{few}", **counts)
    return AlignmentReport(True, found, **counts)


def _cosine_matrix(a: Matrix, b: Matrix) -> Matrix:
    def unit(rows: Matrix) -> Matrix:
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(norms > 0, norms, 1)

    return unit(a) @ unit(b).T

"""How well a document fits what a classifier knows: the detectors of the specification's section 4, by name.

Each is fitted on one pass over the reference data and gives one number per document, LARGER = more in-distribution, in
NumPy and float64. `confidence` and `distances` hold the formulas; here is what fits one by its name, and the ensemble.

A document's score depends neither on the batch it comes in nor on its place there. Sums along a row and kNN distances
are the same to the bit by construction. What goes through BLAS (`kl_matching`, `mahalanobis`, `relative_mahalanobis`,
`vim`, `residual`) is computed in blocks of one shape: the same to the bit where we looked (OpenBLAS, AVX2 and AVX-512),
while the tests ask for 1e-12 of its value, so that another BLAS may round by place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from paperworks.errors import InputError
from paperworks.head_masking.confidence import Energy, Entropy, GradNorm, KLMatching, MaxLogit, MaxSoftmax
from paperworks.head_masking.distances import KNN, Mahalanobis, RelativeMahalanobis, Residual, ViM
from paperworks.head_masking.score import Outputs, Score, State

__all__ = ["SCORES", "Ensemble", "Outputs", "Score", "fit_score", "ranks", "score_kind", "standardised"]


def fit_score(name: str, reference: Outputs, labels: ArrayLike, **options: Any) -> Score:
    """Fit the detector `name` on `N` reference documents and their classes `labels [N]`.

    Options: `energy` T = 1; `knn` k = 10; `mahalanobis` and `relative_mahalanobis` ridge = 1e-6; `vim` and `residual`
    dimension, and the last layer's `weight [C, d']` and `bias [C]`; `ensemble` members, how, held_out.

    Raises `InputError` for an unknown name or option, an empty reference, and labels that are not the logits' classes.
    """
    kind = score_kind(name)
    if unknown := set(options) - set(kind.defaults) - set(kind.arrays):
        known = ", ".join([*kind.defaults, *kind.arrays]) or "none"
        raise InputError(f"score {name} has no option {', '.join(sorted(unknown))}; it has: {known}")
    classes = np.asarray(labels)
    if not len(reference):
        raise InputError("the reference has no documents")
    if classes.shape != (len(reference),) or classes.dtype.kind not in "iu":
        raise InputError(
            f"labels {classes.dtype} {list(classes.shape)}: one integer for each of {len(reference)} rows"
        )
    if classes.min() < 0 or classes.max() >= reference.logits.shape[1]:
        outside = classes[(classes < 0) | (classes >= reference.logits.shape[1])][0]
        raise InputError(f"label {outside} is none of the {reference.logits.shape[1]} classes of the logits")
    settled = {**kind.defaults, **options}
    state = kind.learn(reference, classes, settled)
    return kind({key: value for key, value in settled.items() if key not in kind.arrays}, state)


def score_kind(name: str) -> type[Score]:
    """The class of the detector `name`. Raises `InputError` that lists the names for an unknown one."""
    if name not in SCORES:
        raise InputError(f"no score {name!r}: choose from {', '.join(SCORES)}")
    return SCORES[name]


def ranks(scores: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The share of `held_out` scores that lie below each score, equal ones counted half: 0…1, `[n]`.

    Among one's own batch a rank would depend on the batch. Below the least and above the largest held-out score the
    rank says no more.
    """
    ordered = np.sort(held_out)
    both = [np.searchsorted(ordered, scores, side) for side in ("left", "right")]
    return (both[0] + both[1]) / (2 * len(ordered))


def standardised(scores: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """`(score − mean) / standard deviation`, both of the `held_out` scores. Raises `InputError` for equal ones."""
    spread = held_out.std()
    if not spread > 0:
        raise InputError(f"the {len(held_out)} held-out scores are all equal: nothing to standardise by")
    return (scores - held_out.mean()) / spread


COMBINE = {"standardised": standardised, "ranks": ranks}


class Ensemble(Score):
    """The mean over `members` of their scores, each made comparable by its scores of held-out known documents.

    `members` are names, or pairs of a name and its options; `how` is `standardised` or `ranks`; `held_out`, `Outputs`
    of known documents that are not in the reference, is for the fit only.
    """

    name = "ensemble"
    defaults: ClassVar[Mapping[str, Any]] = {"members": ("knn", "mahalanobis"), "how": "standardised"}
    arrays = ("held_out",)

    def __init__(self, options: dict[str, Any], state: State) -> None:
        super().__init__(options, state)
        self.members = [
            Score.restore(name, _part(self._state, index), chosen)
            for index, (name, chosen) in enumerate(options["members"])
        ]

    def __call__(self, outputs: Outputs) -> np.ndarray:
        combine = COMBINE[self.options["how"]]
        calibration = self._state["held_out"]
        comparable = [
            combine(member(outputs), known) for member, known in zip(self.members, calibration, strict=True)
        ]
        return np.stack(comparable, axis=1).mean(axis=1)

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        held_out = options.get("held_out")
        if options["how"] not in COMBINE:
            raise InputError(f"ensemble how={options['how']!r}: choose from {', '.join(COMBINE)}")
        if not isinstance(held_out, Outputs) or len(held_out) < 2:
            raise InputError(
                "ensemble needs held_out: the outputs of 2 or more known documents not in the reference"
            )
        members = _fitted(reference, labels, options["members"])
        options["members"] = [[member.name, member.options] for member in members]
        calibration = np.stack([member(held_out) for member in members])
        for scores in calibration:
            COMBINE[options["how"]](scores, scores)
        own = {
            f"{index}.{key}": value for index, one in enumerate(members) for key, value in one.state().items()
        }
        return own | {"held_out": calibration}


def _fitted(reference: Outputs, labels: np.ndarray, members: Sequence[Any]) -> list[Score]:
    if not members:
        raise InputError("an ensemble of no members")
    named = [(member, {}) if isinstance(member, str) else member for member in members]
    return [fit_score(name, reference, labels, **options) for name, options in named]


def _part(state: State, index: int) -> State:
    prefix = f"{index}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


SCORES: dict[str, type[Score]] = {
    kind.name: kind
    for kind in (
        MaxSoftmax,
        MaxLogit,
        Energy,
        Entropy,
        KLMatching,
        GradNorm,
        KNN,
        Mahalanobis,
        RelativeMahalanobis,
        ViM,
        Residual,
        Ensemble,
    )
}

"""Which heads to mask, told by known documents alone (specification, section 5).

`class_holdout`, the default: for each class `c` in turn the reference forgets `c`, and validation documents of `c`
have to be told from the others. The criterion of a mask is the mean over classes of that AUROC. The classifier was
trained on `c`, so this is optimistic; where every candidate reaches 0.999 it cannot rank, and the margin takes its
place: the mean score of the others minus that of `c`, over the spread of the others'. All heads are always a
candidate, ties go to fewer masked heads, then to the earlier candidate; so "mask nothing" is a possible answer.

Candidates are drawn as a tree: of `n` masks of `L` layers, the first `l` layers have about `n^(l/L)` different
settings, and what masks share is computed once (`features`). Candidates that do badly on an eighth of the documents
are dropped (successive halving). Both are choices of ours; both are deterministic for a seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from paperworks.errors import InputError
from paperworks.head_masking.features import Inputs, Passes, Progress, joined, read_outputs
from paperworks.head_masking.heads import HeadMask
from paperworks.head_masking.metrics import ood_metrics
from paperworks.head_masking.scores import Outputs, Score, fit_score, score_kind

METHODS = ("class_holdout", "outlier_exposure", "random", "ensemble", "greedy", "none")
SATURATED = 0.999
RUNGS = (1 / 8, 1 / 2, 1.0)
"""Shares of the documents on which candidates are compared; a quarter of them goes on."""
PER_CLASS = 12
"""Documents of a class that a rung needs at least, of the reference and of the validation set each."""


@dataclass(frozen=True)
class Criterion:
    """How well held-out classes are told from the others: means over classes, and the AUROC of each."""

    auroc: float
    fpr95: float
    margin: float
    per_class: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "auroc": self.auroc,
            "fpr95": self.fpr95,
            "margin": self.margin,
            "per_class": dict(self.per_class),
        }


@dataclass
class Candidate:
    """A mask with its criterion on each share of the documents that it was compared on."""

    mask: HeadMask
    rungs: list[Criterion] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "masked": self.mask.masked,
            "mask": self.mask.to_dict(),
            "rungs": [one.to_dict() for one in self.rungs],
        }


@dataclass
class Choice:
    """The chosen masks (one, but for an ensemble), and how it came about.

    `candidates[0]` keeps all heads. `criterion` is what ranked them: `auroc` or `margin`; `shares` are those of the
    rungs.
    """

    masks: list[HeadMask]
    method: str
    criterion: str = "auroc"
    candidates: list[Candidate] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    @property
    def keeps_all(self) -> bool:
        """Whether no head is masked."""
        return all(mask.masked == 0 for mask in self.masks)

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that was chosen, where candidates were compared."""
        return next((one for one in self.candidates if one.mask == self.masks[0]), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "method": self.method,
            "criterion": self.criterion,
            "shares": self.shares,
            "keeps_all": self.keeps_all,
            "candidates": [one.to_dict() for one in self.candidates],
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], masks: list[HeadMask]) -> Choice:
        """The choice that `to_dict` told of, which took `masks`."""
        candidates = [
            Candidate(HeadMask.from_dict(one["mask"]), [Criterion(**rung) for rung in one["rungs"]])
            for one in facts["candidates"]
        ]
        return cls(masks, facts["method"], facts["criterion"], candidates, list(facts["shares"]))


@dataclass(frozen=True)
class Split:
    """Reference and validation documents with their labels, ints."""

    reference: Inputs
    labels: np.ndarray
    validation: Inputs
    validation_labels: np.ndarray

    def __post_init__(self) -> None:
        for inputs, labels, what in (
            (self.reference, self.labels, "reference"),
            (self.validation, self.validation_labels, "validation"),
        ):
            if len(inputs) != len(labels):
                raise InputError(f"{len(inputs)} {what} documents have {len(labels)} labels")


def class_holdout(
    reference: Outputs,
    labels: np.ndarray,
    validation: Outputs,
    validation_labels: np.ndarray,
    score: str,
    options: Mapping[str, Any] | None = None,
) -> Criterion:
    """The criterion of features `[N, d]`: each class held out once.

    Raises `InputError` where there are fewer than two classes, or none has validation documents.
    """
    aurocs, rates, margins = {}, [], []
    classes = [one for one in np.unique(labels) if (validation_labels == one).any()]
    if len(np.unique(labels)) < 2 or len(classes) < 2:
        raise InputError("class hold-out needs documents of two classes or more in both sets")
    for one in classes:
        rest = labels != one
        foreign = validation_labels == one
        fitted = fit_with(score, reference[rest], labels[rest], validation[~foreign], options or {})
        values = fitted(validation)
        found = ood_metrics(values[~foreign], values[foreign])
        aurocs[str(one)] = found.auroc
        rates.append(found.fpr95)
        margins.append(_margin(values[~foreign], values[foreign]))
    return Criterion(
        float(np.mean(list(aurocs.values()))), float(np.mean(rates)), float(np.mean(margins)), aurocs
    )


def outlier_exposure(
    reference: Outputs,
    labels: np.ndarray,
    validation: Outputs,
    outliers: Outputs,
    score: str,
    options: Mapping[str, Any] | None = None,
) -> Criterion:
    """The criterion of features against documents that are known to be foreign."""
    fitted = fit_with(score, reference, labels, validation, options or {})
    known, unknown = fitted(validation), fitted(outliers)
    found = ood_metrics(known, unknown)
    return Criterion(found.auroc, found.fpr95, _margin(known, unknown))


def _margin(known: np.ndarray, unknown: np.ndarray) -> float:
    spread = float(known.std())
    return float(known.mean() - unknown.mean()) / spread if spread else 0.0


def draw_candidates(model: Any, n: int, fraction: float, seed: int) -> list[HeadMask]:
    """All heads, and `n` different random masks that share their first layers as the module says.

    Fewer where there are no more. Raises `InputError` as `HeadMask.random`.
    """
    everything = HeadMask.all(model)
    names = list(everything)
    found = [everything]
    settings: dict[tuple[int, int], tuple[int, ...]] = {}
    for attempt in range(4 * n):
        layers = {}
        for depth, name in enumerate(names):
            branches = math.ceil(n ** ((depth + 1) / len(names)) - 1e-9)
            key = depth, attempt * branches // n
            if key not in settings:
                digest = hashlib.sha256(f"{seed}/{key[0]}/{key[1]}".encode()).digest()
                settings[key] = HeadMask.random(model, fraction, int.from_bytes(digest[:6], "big"))[name]
            layers[name] = settings[key]
        mask = HeadMask.from_dict(layers)
        if mask not in found:
            found.append(mask)
        if len(found) == n + 1:
            break
    return found


def choose(
    passes: Passes,
    split: Split,
    *,
    method: str = "class_holdout",
    score: str = "mahalanobis",
    options: Mapping[str, Any] | None = None,
    fraction: float = 0.25,
    n_masks: int = 32,
    seed: int = 0,
    outliers: Inputs | None = None,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Choice:
    """The heads to mask, by one of `METHODS`.

    `random` takes one mask and `ensemble` takes `n_masks`, both without a look at the documents; `greedy` takes away
    one head after the other while the criterion of `class_holdout` grows. Raises `InputError`.
    """
    if method not in METHODS:
        raise InputError(f"heads is one of {', '.join(METHODS)} or a HeadMask, not {method!r}")
    if n_masks < 1:
        raise InputError(f"{n_masks} masks: draw at least one")
    model = passes.model
    if method == "none":
        return Choice([HeadMask.all(model)], method)
    if method == "random":
        return Choice([HeadMask.random(model, fraction, seed)], method)
    if method == "ensemble":
        return Choice(draw_candidates(model, n_masks, fraction, seed)[1:], method)
    if method == "outlier_exposure" and outliers is None:
        raise InputError("outlier_exposure needs documents that are known to be foreign: give outliers")
    race = _Race(
        passes, split, score, dict(options or {}), outliers if method == "outlier_exposure" else None
    )
    race.batch_size, race.progress = batch_size, progress
    if method == "greedy":
        return _greedy(race)
    return _halving(race, draw_candidates(model, n_masks, fraction, seed), method, seed)


class _Race:
    """Reads documents under masks and says the criterion of each."""

    def __init__(
        self, passes: Passes, split: Split, score: str, options: dict[str, Any], outliers: Inputs | None
    ) -> None:
        self.passes, self.split, self.score, self.options, self.outliers = (
            passes,
            split,
            score,
            options,
            outliers,
        )
        self.batch_size = 16
        self.progress: Progress | None = None

    def read(self, inputs: Inputs, masks: Sequence[HeadMask], what: str) -> tuple[Outputs, np.ndarray]:
        return read_outputs(
            self.passes, inputs, masks, batch_size=self.batch_size, progress=self.progress, what=what
        )

    def criteria(
        self,
        reference: tuple[Outputs, np.ndarray],
        labels: np.ndarray,
        validation: tuple[Outputs, np.ndarray],
        validation_labels: np.ndarray,
        outliers: tuple[Outputs, np.ndarray] | None,
    ) -> list[Criterion]:
        """One for each mask."""
        found = []
        for index in range(len(reference[1])):
            known, held = _masked(reference, index), _masked(validation, index)
            if outliers is not None:
                foreign = _masked(outliers, index)
                found.append(outlier_exposure(known, labels, held, foreign, self.score, self.options))
            else:
                found.append(class_holdout(known, labels, held, validation_labels, self.score, self.options))
        return found


def fit_with(
    score: str, reference: Outputs, labels: np.ndarray, held_out: Outputs, options: Mapping[str, Any]
) -> Score:
    """`fit_score`, with the `held_out` documents for a score that needs them."""
    extra = {"held_out": held_out} if "held_out" in score_kind(score).arrays else {}
    return fit_score(score, reference, labels, **options, **extra)


def _masked(read: tuple[Outputs, np.ndarray], index: int) -> Outputs:
    """The outputs with the features of one mask."""
    return replace(read[0], features=read[1][index])


def _joined(parts: list[tuple[Outputs, np.ndarray]]) -> tuple[Outputs, np.ndarray]:
    bases, features = zip(*parts, strict=True)
    return joined(bases), np.concatenate(features, axis=1)


def spread_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """The indices in an order of which every beginning has all classes in their proportions."""
    generator = np.random.Generator(np.random.Philox(seed))
    places = np.empty(len(labels))
    for one in np.unique(labels):
        own = np.flatnonzero(labels == one)
        places[generator.permutation(own)] = (np.arange(len(own)) + 0.5) / len(own)
    return np.argsort(places, kind="stable")


def shares_of(labels: np.ndarray, validation_labels: np.ndarray) -> list[float]:
    """The rungs that leave at least `PER_CLASS` documents of every class; the whole is always one."""
    fewest = min(np.unique(one, return_counts=True)[1].min() for one in (labels, validation_labels))
    return [share for share in RUNGS if share == 1 or share * fewest >= PER_CLASS]


def _halving(race: _Race, masks: list[HeadMask], method: str, seed: int) -> Choice:
    split = race.split
    orders = [spread_out(labels, seed) for labels in (split.labels, split.validation_labels)]
    candidates = [Candidate(mask) for mask in masks]
    shares = shares_of(split.labels, split.validation_labels)
    active, before = list(range(len(masks))), 0.0
    parts: list[list[tuple[Outputs, np.ndarray]]] = [[], []]
    outliers = None
    for rung, share in enumerate(shares):
        own = [masks[index] for index in active]
        for part, inputs, order in zip(parts, (split.reference, split.validation), orders, strict=True):
            rows = order[round(before * len(order)) : round(share * len(order))]
            part.append(race.read(inputs.select(rows), own, f"comparing {len(own)} masks on {share:.0%}"))
        if race.outliers is not None:
            outliers = race.read(race.outliers, own, f"comparing {len(own)} masks on outliers")
        known, held = _joined(parts[0]), _joined(parts[1])
        labels = split.labels[orders[0][: len(known[0].logits)]]
        held_labels = split.validation_labels[orders[1][: len(held[0].logits)]]
        found = race.criteria(known, labels, held, held_labels, outliers)
        for index, criterion in zip(active, found, strict=True):
            candidates[index].rungs.append(criterion)
        by = ranked_by(found)
        if rung + 1 < len(shares):
            best = _order([candidates[index] for index in active], by)
            stay = sorted({0, *best[: max(1, math.ceil(len(active) / 4))]})
            parts = [[(base, features[stay]) for base, features in part] for part in parts]
            active, before = [active[place] for place in stay], share
    finalists = [candidates[index] for index in active]
    winner = finalists[_order(finalists, by)[0]]
    if _value(winner.rungs[-1], by) <= _value(candidates[0].rungs[-1], by):
        winner = candidates[0]
    return Choice([winner.mask], method, by, candidates, shares)


def ranked_by(found: Sequence[Criterion]) -> str:
    """`margin` where every AUROC is saturated, else `auroc`."""
    return "margin" if all(one.auroc >= SATURATED for one in found) else "auroc"


def _value(criterion: Criterion, by: str) -> float:
    return criterion.margin if by == "margin" else criterion.auroc


def _order(candidates: list[Candidate], by: str) -> list[int]:
    """Places of the candidates, the best first; ties to fewer masked heads, then to the earlier one."""
    return sorted(
        range(len(candidates)),
        key=lambda place: (-_value(candidates[place].rungs[-1], by), candidates[place].mask.masked, place),
    )


def _greedy(race: _Race) -> Choice:
    """The head whose removal helps most, as long as one does; each step reads all documents under all masks."""
    split = race.split
    current = Candidate(HeadMask.all(race.passes.model))
    tried, by, step = [current], "auroc", 0
    while True:
        masks = [] if current.rungs else [current.mask]
        names = list(current.mask)
        for name in reversed(names):
            for head in np.flatnonzero(current.mask[name]):
                if sum(current.mask[name]) > 1:
                    masks.append(current.mask.without(name, int(head)))
        if not masks:
            break
        step += 1
        known = race.read(split.reference, masks, f"step {step}: {len(masks)} masks")
        held = race.read(split.validation, masks, f"step {step}: {len(masks)} masks")
        found = race.criteria(known, split.labels, held, split.validation_labels, None)
        if not current.rungs:
            by = ranked_by(found)
            current.rungs.append(found.pop(0))
            masks = masks[1:]
        news = [Candidate(mask, [criterion]) for mask, criterion in zip(masks, found, strict=True)]
        tried += news
        best = news[_order(news, by)[0]]
        if _value(best.rungs[-1], by) <= _value(current.rungs[-1], by):
            break
        current = best
    return Choice([current.mask], "greedy", by, tried, [1.0])

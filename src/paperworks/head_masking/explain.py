"""Why a document was flagged: its nearest known documents, and what would make it look more known.

Everything is asked of the detector itself, by leaving out one thing at a time: a head more, a word, a patch of the
image. A positive effect means that without it the document scores higher, so it speaks against the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import InputError
from paperworks.head_masking.documents import Document
from paperworks.head_masking.features import read_outputs
from paperworks.head_masking.scores import Outputs, fit_score

if TYPE_CHECKING:
    from paperworks.head_masking.detector import HeadMaskingDetector


GRID = (5, 4)
"""Rows and columns of the patches of a page."""


@dataclass(frozen=True)
class Effect:
    """Something that was left out, and how much the score rose: a head `("…output.dense", 3)`, a word `(5, "Total")`,
    or a patch `(row, column)`."""

    what: tuple[int | str, ...]
    rise: float


@dataclass(frozen=True)
class Explanation:
    """Why a document has its score: `nearest` known documents with their distances, and the effects of heads, words and
    patches, the largest rise first. Empty is what the document or the detector has not: known documents where it was
    fitted on encoded data, words for an image model, patches for a text model."""

    nearest: list[tuple[Document, float]]
    heads: list[Effect]
    words: list[Effect]
    patches: list[Effect]

    def to_dict(self, n: int = 5) -> dict[str, Any]:
        """As JSON: the nearest, and of each kind of effect the first `n` that speak against the document."""
        return {
            "nearest": [
                {"id": document.id, "label": document.label, "distance": distance}
                for document, distance in self.nearest
            ],
            **{
                name: [
                    {"what": list(effect.what), "rise": effect.rise}
                    for effect in effects[:n]
                    if effect.rise > 0
                ]
                for name, effects in (("heads", self.heads), ("words", self.words), ("patches", self.patches))
            },
        }


def nearest_known(
    detector: HeadMaskingDetector, features: np.ndarray, n: int = 3
) -> list[list[tuple[Document, float]]]:
    """For each document of `features [masks, N, d]` the `n` nearest training documents, under the first mask, with
    their distance between normalised features.

    Raises `InputError` where the detector was fitted on encoded data, whose documents it does not know.
    """
    documents = detector.documents_
    if not documents:
        raise InputError("the detector was fitted on encoded data: its documents are not known")
    reference = detector.reference_[0]
    blank = np.zeros((len(reference), 2), np.float32)
    neighbours = fit_score(
        "knn", Outputs(reference, blank), np.zeros(len(reference), int), k=min(n, len(reference))
    )
    own = Outputs(features[0], np.zeros((len(features[0]), 2), np.float32))
    indices, distances = neighbours.nearest(own, min(n, len(reference)))  # type: ignore[attr-defined]
    return [
        [(documents[index], float(distance)) for index, distance in zip(row, far, strict=True)]
        for row, far in zip(indices, distances, strict=True)
    ]


def head_effects(detector: HeadMaskingDetector, document: Document) -> list[Effect]:
    """Every head that is not masked yet left out too, in the document alone; the largest rise first. The last head of a
    layer stays. Of an ensemble, the first mask is asked.

    The reference keeps the detector's mask, so this asks what the head adds to the distance, not which mask to choose.
    """
    masks, names = [], []
    base = detector.masks_[0]
    for layer, heads in base.to_dict().items():
        if sum(heads) < 2:
            continue
        for head in np.flatnonzero(heads):
            masks.append(base.without(layer, int(head)))
            names.append((layer, int(head)))
    outputs, features = read_outputs(detector.passes, detector.inputs([document]), [base, *masks])
    scores = [float(detector.scores_[0](replace(outputs, features=own))[0]) for own in features]
    return _sorted([Effect(name, score - scores[0]) for name, score in zip(names, scores[1:], strict=True)])


def word_effects(detector: HeadMaskingDetector, document: Document, limit: int = 64) -> list[Effect]:
    """Each of the first `limit` words left out; the largest rise first."""
    copies = [document]
    places = range(min(limit, len(document.words)))
    for place in places:
        keep = [index for index in range(len(document.words)) if index != place]
        copies.append(
            replace(
                document,
                words=tuple(document.words[index] for index in keep),
                boxes=None if document.boxes is None else tuple(document.boxes[index] for index in keep),
            )
        )
    return _effects(detector, copies, [(place, document.words[place]) for place in places])


def patch_effects(
    detector: HeadMaskingDetector, document: Document, grid: tuple[int, int] = GRID
) -> list[Effect]:
    """Each patch of a grid (rows, columns) over the image painted in the page's own commonest grey; the largest rise
    first. Raises `InputError` for a document without an image."""
    image = document.open_image()
    ground = int(np.bincount(np.asarray(image.convert("L")).ravel()).argmax())
    rows, columns = grid
    copies, places = [document], []
    for row in range(rows):
        for column in range(columns):
            painted = image.copy()
            box = (
                image.width * column // columns,
                image.height * row // rows,
                image.width * (column + 1) // columns,
                image.height * (row + 1) // rows,
            )
            painted.paste((ground, ground, ground), box)
            copies.append(replace(document, image=painted))
            places.append((row, column))
    return _effects(detector, copies, places)


def _effects(
    detector: HeadMaskingDetector, copies: Sequence[Document], names: Sequence[tuple[int | str, ...]]
) -> list[Effect]:
    scores = detector.score_samples(list(copies))
    return _sorted(
        [Effect(name, float(score - scores[0])) for name, score in zip(names, scores[1:], strict=True)]
    )


def _sorted(effects: list[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: -effect.rise)

"""The numbers at the ticks, read by comparing pixels with the shipped outlines.

First part by part: each connected part of a label is stretched to one shape and compared with the ten digits
of each font. Where that fails (parts that touch, digits of few pixels), by whole labels: every sequence of
numbers that ticks can have is compared with the labels of an axis at once. Choices of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from paperworks.grab.reader_axes import EM, GAP, TICK, Refused

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]

_FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono")
_SHAPE = (18, 12)
SURE, AHEAD = 0.8, 0.01
"""Least likeness (cosine) of whole labels, and how far it must be ahead of the next sequence's."""


def read_labels(
    ink: Floats, box: Box, columns: Sequence[float], rows: Sequence[float], unit: float
) -> tuple[list[float | None], list[float | None]]:
    """The values at the ticks of x and of y, None where a label is not read; raises Refused where an axis is not."""
    left, _, _, bottom = box
    margin = (TICK + 0.5) * unit
    words = (
        _below(ink[round(bottom + margin) :], columns, unit),
        _beside(ink[:, : max(round(left - margin), 1)], rows, unit),
    )
    read: list[list[float | None]] = []
    for axis, places, found in zip("xy", (columns, rows), words, strict=True):
        values = _by_parts(found, unit)
        if not _ascending(places, values, axis):
            values = _by_whole(ink, box, places, axis, unit)
        read.append(values)
    return read[0], read[1]


def _by_parts(words: Sequence[Sequence[Glyph]], unit: float) -> list[float | None]:
    """The numbers of an axis in the font that matches best over all its labels."""
    scores = [_scores(word, unit) for word in words]
    seen = [score.max(axis=2).sum(axis=0) for score in scores if len(score)]
    if not seen:
        return [None] * len(words)
    font = int(np.sum(seen, axis=0).argmax())
    return [_text(word, score, font) for word, score in zip(words, scores, strict=True)]


def _ascending(places: Sequence[float], values: Sequence[float | None], axis: str) -> bool:
    """Whether most labels (two at least) are read and rise evenly along the axis."""
    known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
    if len(known) < max(2, 0.6 * len(places)):
        return False
    steps = np.diff([value for _, value in known]) / np.diff([place for place, _ in known])
    middle = float(np.median(steps))
    return bool(
        (middle > 0) == (axis == "x") and middle != 0 and (np.abs(steps / middle - 1) < 0.15).mean() >= 0.7
    )


Glyph = tuple[Floats, tuple[int, int, int, int]]
"""A part of a label: its ink and where it is (top, left, bottom, right)."""


def _parts(ink: Floats) -> list[Glyph]:
    """Connected parts of ink, left to right."""
    from scipy import ndimage

    labels, count = ndimage.label(ink > 0.08, structure=np.ones((3, 3)))
    parts = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        piece = np.where(labels[rows, columns] == number, ink[rows, columns], 0.0)
        if piece.sum() > 0.3 and count:
            parts.append((piece, (rows.start, columns.start, rows.stop, columns.stop)))
    return sorted(parts, key=lambda part: part[1][1])


def _beside(strip: Floats, rows: Sequence[float], unit: float) -> list[list[Glyph]]:
    """For each row of a tick, the parts of the label left of it."""
    parts = _parts(strip)
    words: list[list[Glyph]] = []
    for row in rows:
        near = [part for part in parts if abs((part[1][0] + part[1][2]) / 2 - row) < 0.55 * EM * unit]
        near = [part for part in near if part[1][2] - part[1][0] < 1.2 * EM * unit]
        word: list[Glyph] = []
        for part in reversed(near):
            if word and word[0][1][1] - part[1][3] > 0.62 * EM * unit:
                break
            word.insert(0, part)
        words.append(word)
    return words


def _below(strip: Floats, columns: Sequence[float], unit: float) -> list[list[Glyph]]:
    """For each column of a tick, the parts of the label under it."""
    parts = [part for part in _parts(strip[: round(1.7 * EM * unit)]) if part[1][0] < 1.2 * EM * unit]
    groups: list[list[Glyph]] = []
    for part in parts:
        if groups and part[1][1] - groups[-1][-1][1][3] < 0.62 * EM * unit:
            groups[-1].append(part)
        else:
            groups.append([part])
    spacing = float(np.median([b - a for a, b in pairwise(columns)])) if len(columns) > 1 else 1e9
    words: list[list[Glyph]] = [[] for _ in columns]
    for group in groups:
        middle = (group[0][1][1] + group[-1][1][3]) / 2
        nearest = int(np.argmin([abs(column - middle) for column in columns]))
        if abs(columns[nearest] - middle) < 0.5 * spacing:
            words[nearest] = words[nearest] + group
    return words


def _normalised(ink: Floats) -> Floats:
    """A glyph's ink stretched to one shape, of mean 0 and norm 1."""
    rows, columns = _weights(ink.shape[0], _SHAPE[0]), _weights(ink.shape[1], _SHAPE[1])
    shaped = rows @ ink @ columns.T
    shaped = shaped - shaped.mean()
    return np.asarray(shaped / (np.linalg.norm(shaped) or 1.0))


@lru_cache(maxsize=256)
def _weights(size: int, wanted: int) -> Floats:
    """Linear interpolation from `size` samples to `wanted` [wanted, size]."""
    places = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    low = np.minimum(places.astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    weights = np.zeros((wanted, size))
    weights[np.arange(wanted), low] += 1 - (places - low)
    weights[np.arange(wanted), high] += places - low
    return weights


@lru_cache(maxsize=64)
def _templates(em: float) -> tuple[Floats, Floats]:
    """Stretched digits of the shipped fonts [fonts, 10, cells] and their width over height [fonts, 10]."""
    from paperworks.grab.glyphs import template

    stretched = np.zeros((len(_FONTS), 10, _SHAPE[0] * _SHAPE[1]))
    ratios = np.zeros((len(_FONTS), 10))
    for f, font in enumerate(_FONTS):
        for digit in range(10):
            ink = np.asarray(template(str(digit), font, em), dtype=float)
            ink = ink[:, ink.max(0) > 0.08][ink.max(1) > 0.08]
            stretched[f, digit] = _normalised(ink).ravel()
            ratios[f, digit] = ink.shape[1] / ink.shape[0]
    return stretched, ratios


def _scores(word: Sequence[Glyph], unit: float) -> Floats:
    """How well each part matches each digit in each font, minus and point [parts, fonts, 12]; 1 is perfect."""
    em = EM * unit
    stretched, ratios = _templates(em)
    scores = np.full((len(word), len(_FONTS), 12), -1.0)
    for place, (ink, (top, left, bottom, right)) in enumerate(word):
        high, wide = bottom - top, right - left
        if high <= 0.33 * em and wide >= 1.6 * high and wide > 0.25 * em:
            scores[place, :, 10] = 1.0
        elif high <= 0.33 * em and wide <= 0.33 * em:
            scores[place, :, 11] = 1.0
        elif high >= 0.5 * em:
            match = stretched @ _normalised(ink).ravel()
            scores[place, :, :10] = match - 0.3 * np.abs(np.log(wide / high / ratios))
    return scores


def _text(word: Sequence[Glyph], scores: Floats, font: int) -> float | None:
    """The number that a label says in a font; None where the parts are no number."""
    if not len(word):
        return None
    best = scores[:, font].argmax(axis=1)
    worst = float(scores[:, font].max(axis=1).min())
    text = "".join("0123456789-."[k] for k in best)
    if worst < 0.5 or not any(c.isdigit() for c in text) or text.count(".") > 1 or "-" in text[1:]:
        return None
    if text.endswith(".") or text.lstrip("-").startswith("."):
        return None
    return float(text)


def _by_whole(ink: Floats, box: Box, places: Sequence[float], axis: str, unit: float) -> list[float | None]:
    """The values of all ticks of an axis from the sequence of labels most like the picture's."""
    em = EM * unit
    usual = float(np.median(np.diff(places)))
    # the frame's ends stand among the lines of the grid where there are no ticks, and need have no label
    skipped = [
        abs(places[1] - places[0] - usual) > 0.1 * usual,
        abs(places[-1] - places[-2] - usual) > 0.1 * usual,
    ]
    places = places[int(skipped[0]) : len(places) - int(skipped[1])]
    patches = [_patch(ink, box, place, places, axis, unit) for place in places]
    if len(places) < 2 or not all(patch.any() for patch in patches):
        raise Refused("labels", f"a tick of {axis} has no label")
    if axis == "y":
        patches = patches[::-1]
    scored: list[tuple[float, Fraction, int]] = []
    for font in _FONTS:
        for step in _steps():
            first, texts = _texts(step, len(places))
            like = np.array([_likeness(patch, texts, font, em) for patch in patches])
            for start in range(len(texts) - len(places) + 1):
                mean = float(np.mean([like[k, start + k] for k in range(len(places))]))
                scored.append((mean, step, first + start))
    scored.sort(key=lambda score: score[0], reverse=True)
    best, step, start = scored[0]
    others = [like for like, s, at in scored if (s, at) != (step, start)]
    if best < SURE or best - others[0] < AHEAD:
        raise Refused(
            "labels",
            f"the labels of {axis} are like no sequence of numbers ({best:.2f}; next {others[0]:.2f})",
        )
    values = [float((start + k) * step) for k in range(len(places))]
    read: list[float | None] = [*(values if axis == "x" else values[::-1])]
    return [None] * int(skipped[0]) + read + [None] * int(skipped[1])


def _steps() -> list[Fraction]:
    return [Fraction(mantissa) * Fraction(10) ** power for power in (-1, 0, 1) for mantissa in (1, 2, 5)]


@lru_cache(maxsize=256)
def _texts(step: Fraction, count: int) -> tuple[int, tuple[str, ...]]:
    """The labels of consecutive multiples of a step, as our pictures write them, and the first multiple."""
    from paperworks.grab.layout import label

    first, last = -15 - count // 2, 10 + count
    return first, tuple(label(k * step, step) for k in range(first, last))


def _patch(ink: Floats, box: Box, place: float, places: Sequence[float], axis: str, unit: float) -> Floats:
    """The ink where the label of a tick can be."""
    left, _, _, bottom = box
    em = EM * unit
    if axis == "y":
        rows = slice(max(round(place - 0.55 * em), 0), round(place + 0.55 * em) + 1)
        return ink[
            rows, max(round(left - TICK * unit - 3.2 * em), 0) : max(round(left - (TICK + 1) * unit), 1)
        ]
    half = min(1.6 * em, min(b - a for a, b in pairwise(places)) / 2)
    rows = slice(round(bottom + (TICK + 1.5) * unit), round(bottom + (TICK + GAP) * unit + 0.9 * em) + 1)
    return ink[rows, max(round(place - half), 0) : round(place + half)]


def _likeness(patch: Floats, texts: Sequence[str], font: str, em: float) -> Floats:
    """The cosine between a patch and each text, at the text's best place; 0 for a text larger than the patch."""
    from paperworks.grab.glyphs import template

    length = float(np.linalg.norm(patch)) or 1.0
    result = np.zeros(len(texts))
    shapes: dict[tuple[int, int], list[int]] = {}
    inks = [np.asarray(template(text, font, em), dtype=float) for text in texts]
    for number, shape in enumerate(inks):
        if shape.shape[0] <= patch.shape[0] and shape.shape[1] <= patch.shape[1] and shape.size:
            shapes.setdefault(shape.shape, []).append(number)
    for size, numbers in shapes.items():
        windows = np.lib.stride_tricks.sliding_window_view(patch, size).reshape(-1, size[0] * size[1])
        table = np.array([inks[number].ravel() for number in numbers])
        norms = np.linalg.norm(table, axis=1)
        result[numbers] = (windows @ table.T).max(axis=0) / norms / length
    return result

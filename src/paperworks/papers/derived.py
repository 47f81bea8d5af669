"""Figures of a summary that follow from two of the source: a difference, ratio, sum, relative change, share or product.

The two stand in one sentence, row or column, or the summary gives one of them beside the figure. A difference that the
summary tells as a gain while the source tells a loss is the source's number the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from paperworks.papers.agreement import MEASURED, agrees, derivation, pairs_of
from paperworks.papers.contexts import Document, Sentence
from paperworks.papers.direction import Direction, direction
from paperworks.papers.lookup import Lookup
from paperworks.papers.quantities import Quantity
from paperworks.papers.rivals import OTHER_WAY, column_of, label_stems, lacks

_CHANGES = ("points", "percentage points")


@dataclass
class Match:
    """A figure of the summary at a place of the source, or derived from two of them."""

    figure: Quantity
    place: Quantity
    verdict: str = "found"
    note: str = ""
    fit: float = 0.0


class Derivations:
    """What follows from the figures of one source. `topic`: the stems of the summary's subject."""

    def __init__(self, lookup: Lookup, topic: set[str]) -> None:
        self.lookup, self.topic = lookup, topic
        self.summary, self.source = lookup.summary, lookup.source

    def derived(self, figure: Quantity, figures: Sequence[Quantity]) -> Match | None:
        """How a figure follows from two others, of `figures` of the summary or of the source; else `None`."""
        if figure.high is not None or figure.factors or figure.spread:
            return None
        index = self.summary.index_at(figure.start)
        near = [
            other
            for other in figures
            if other is not figure and abs(self.summary.index_at(other.start) - index) <= 1
        ]
        here = self.summary.sentence_at(figure.start)
        way = direction(here, figure)
        level = {"<from>", "<to>"} & here.segments.get(figure.start, {}).keys()
        if level and figure.unit.kind in ("", "percent", "points", "percentage points"):
            return None  # an end of a change is no change
        ends = self._ends_before(here, figure)
        for a, b in [ends] if ends else pairs_of(near):
            if (kind := derivation(figure, a, b)) and (place := self._either(a, b)):
                if kind == "relative change" and not way:
                    continue
                together = self.summary.index_at(a.start) == self.summary.index_at(b.start)
                if kind == "relative change" and not (together and self.summary.index_at(a.start) == index):
                    continue
                change = self.change(self.summary, a, b) if together else 0
                return self._followed(figure, place, kind, a, b, way, change)
        if ends and figure.unit.kind == "percent":
            return None
        best: Match | None = None
        for sentence in self.lookup.related(here, near):
            for a, b in self._sourcepairs_of(sentence, here):
                kind = derivation(figure, a, b, column=sentence.is_row)
                if not kind or (figure.unit.kind == "percent" and way and kind == "share"):
                    continue
                if figure.unit.kind == "percent" and not way and kind == "relative change":
                    continue
                change = 0 if sentence.is_row else self.change(self.source, a, b)
                if change is None:
                    continue
                if (
                    kind == "relative change"
                    and figure.unit.kind == "percent"
                    and not self._ends(sentence, a, b)
                ):
                    continue
                fit = self.lookup.overlap(here, sentence, figure, a)
                if (
                    sentence.is_row
                    and kind == "relative change"
                    and column_of(sentence, a) != self.lookup.column(b)
                ):
                    continue
                if (fit > (2.0 if kind == "product" else 1.0) or sentence.is_row) and (
                    best is None or fit > best.fit
                ):
                    best = self._followed(figure, a, kind, a, b, way, change)
                    best.fit = fit
        return best or self._anchored(figure, here, near, way) or self._against_table(figure, here, near)

    def _ends_before(self, here: Sentence, figure: Quantity) -> tuple[Quantity, Quantity] | None:
        """Both ends of a change that stand right before `figure`, its size: `from 68 to 91, an increase of 23`."""
        before = [other for other in here.figures if other.end <= figure.start][-2:]
        if len(before) < 2 or figure.start - before[1].end > 32:
            return None
        gap = self.summary.text[before[1].end : figure.start]
        ends = self.change(self.summary, before[0], before[1])
        return (before[0], before[1]) if ends and not re.search(r"[.;]\s", gap) else None

    def _against_base(self, a: Quantity, b: Quantity) -> int:
        """1 where a figure is more than the one beside it that it is compared with, -1 where less, else 0."""
        sentence = self.source.sentence_at(a.start)
        if sentence.is_row or b not in sentence.figures or a not in sentence.figures:
            return 0
        bases = ["<base>" in sentence.segments.get(one.start, {}) for one in (a, b)]
        if bases[0] == bases[1]:
            return 0
        mine, base = (b, a) if bases[0] else (a, b)
        return 1 if mine.base > base.base else -1

    def _ends(self, sentence: Sentence, a: Quantity, b: Quantity) -> bool:
        """Whether one of two figures is the end of a change or what the other is compared with; always in a table."""
        words = (sentence.segments.get(one.start, {}) for one in (a, b))
        return sentence.is_row or any(part.keys() & {"<from>", "<to>", "<base>"} for part in words)

    def _compared(self, figure: Quantity, a: Quantity, b: Quantity) -> int:
        """1 where a figure is more than the one of what the summary compares it with, -1 where less, else 0."""
        here = self.summary.sentence_at(figure.start)
        bases = [set(word.stems) for word in here.words if word.start in here.compared]
        sides, without = [], []
        for one in (a, b):
            document = self.source if one in self.source.sentence_at(one.start).figures else self.summary
            sentence = document.sentence_at(one.start)
            words = sentence.own.get(one.start, {}).keys()
            sides.append(any(base & words for base in bases))
            without.append(sentence.is_row and lacks(sentence.label))
        if lacks(here.text) and without[0] != without[1]:
            sides = [not one for one in without]  # the summary tells what is lost without a part
        if sides[0] == sides[1]:
            return 0
        mine, base = (b, a) if sides[0] else (a, b)
        return 1 if mine.base > base.base else -1

    def _anchored(
        self, figure: Quantity, here: Sentence, near: Sequence[Quantity], way: Direction
    ) -> Match | None:
        """A difference or ratio of a figure that the summary gives beside this one and of another of the source.

        The other stands near it, in its column, or where the source speaks of what the summary compares it with.
        """
        compared = {
            index
            for word in here.words
            if word.start in here.compared
            for index in self.lookup.mentions(word.text)
        }
        telling = len(figure.digits) > 1 and figure.step <= 0.1
        for anchor in near:
            for a in (place for place in self.lookup.near(anchor) if agrees(anchor, place)):
                index = self.source.index_at(a.start)
                around = range(max(0, index - 2), min(len(self.source.spans), index + 3))
                for place in sorted({*around, *compared}, key=lambda one: abs(one - index)):
                    sentence = self.source.sentence(place)
                    column = self.lookup.column(a) if sentence.is_row and place in around else -1
                    for b in sentence.figures:
                        if b is a or column not in (-1, column_of(sentence, b)):
                            continue
                        kind = derivation(figure, a, b)
                        difference = (
                            kind == "difference" and telling and (way or figure.unit.kind in _CHANGES)
                        )
                        if difference or (kind == "ratio" and (column >= 0 or place in compared)):
                            return self._followed(figure, a, kind, a, b, way, 0)
        return None

    def change(self, document: Document, a: Quantity, b: Quantity) -> int | None:
        """1 where a sentence tells a rise from `a` to `b`, -1 for a fall, else 0; `None` for ends of two changes."""
        sentence = document.sentence_at(a.start)
        roles = [
            next((role for role in ("<from>", "<to>") if role in sentence.segments.get(one.start, {})), "")
            for one in (a, b)
        ]
        if not all(roles) or document.sentence_at(b.start) is not sentence:
            return 0
        places = [one.start for one in sentence.figures]
        if roles[0] == roles[1] or abs(places.index(b.start) - places.index(a.start)) != 1:
            return None
        if roles[0] == "<to>" and not re.fullmatch(
            r"\sfrom\s|[^.;\d]*\s(?:up|down) from\s", document.text[a.end : b.start]
        ):
            return None
        first, last = (a, b) if roles[0] == "<from>" else (b, a)
        return 1 if last.base > first.base else -1

    def _followed(
        self,
        figure: Quantity,
        place: Quantity,
        kind: str,
        a: Quantity,
        b: Quantity,
        way: Direction,
        change: int | None,
    ) -> Match:
        """A figure that follows from two others, unless the summary tells their change the other way round."""
        if kind in ("difference", "relative change"):
            change = self._compared(figure, a, b) or change or self._against_base(a, b)
        if change and kind in ("difference", "relative change") and way.get("amount", change) != change:
            return Match(figure, place, "elsewhere", OTHER_WAY)
        return Match(figure, place, "derived", f"{kind} of {a.text} and {b.text}")

    def _against_table(self, figure: Quantity, here: Sentence, near: Sequence[Quantity]) -> Match | None:
        """The difference of a figure told in words, such as that of an ablation, and one of the paper's own row."""
        if figure.step >= 1 or figure.unit.kind not in {"", "points", "percentage points", *MEASURED}:
            return None
        related = self.lookup.related(here, near)
        rows = [row for row in related if row.is_row and row.header and self.topic & set(label_stems(row))]
        best: Match | None = None
        for sentence in related:
            for a in sentence.figures if not sentence.is_row else ():
                for b in (b for row in rows for b in row.figures):
                    if derivation(figure, a, b) == "difference":
                        fit = self.lookup.overlap(here, sentence, figure, a)
                        if fit > 1.0 and (best is None or fit > best.fit):
                            note = f"difference of {a.text} and {b.text}"
                            best = Match(figure, a, "derived", note, fit)
        return best

    def _sourcepairs_of(self, sentence: Sentence, here: Sentence) -> Iterable[tuple[Quantity, Quantity]]:
        """Pairs of a sentence; of a table, those of a row that the summary speaks of and of its columns."""
        if not sentence.is_row:
            yield from pairs_of(sentence.figures)
            beside = {(a.start, b.start) for a, b in pairwise(sentence.figures)}
            for a, b in pairs_of(sentence.figures):  # `from 890 to 3,120 tokens`, `137 items, 112 of which`
                near = (a.start, b.start) in beside or (a.magnitude and b.magnitude)
                if near and {a.unit.kind, b.unit.kind} == {"", "count"}:
                    unit = a.unit if a.unit.kind else b.unit
                    yield a._replace(unit=unit), b._replace(unit=unit)
            return
        if not sentence.header or not (_speaks_of(here, sentence) or self.topic & set(label_stems(sentence))):
            return
        rows = self.source.rows_of(self.source.index_at(sentence.start))
        for a, b in pairs_of(sentence.figures):
            if _alike(rows, column_of(sentence, a), column_of(sentence, b)):
                yield a, b
        for row in rows:
            if row is not sentence and row.header:
                for a in sentence.figures:
                    for b in row.figures:
                        if column_of(sentence, a) == column_of(row, b):
                            yield a, b

    def _either(self, a: Quantity, b: Quantity) -> Quantity | None:
        first = [place for place in self.lookup.near(a) if agrees(a, place)]
        second = [place for place in self.lookup.near(b) if agrees(b, place)]
        for place in first:
            if any(self.lookup.together(place, other) for other in second):
                return place
        return first[0] if first and second else None


def _speaks_of(here: Sentence, row: Sentence) -> bool:
    """Whether a sentence of the summary names the row: all telling words of its label."""
    wanted = label_stems(row)
    mine = {one for word in here.words for one in word.stems}
    return bool(wanted) and set(wanted[:1]) <= mine


def _alike(rows: Sequence[Sentence], first: int, second: int) -> bool:
    """Whether two columns of a table hold values of one measure, as far as their size tells."""
    values = [
        [abs(figure.base) for row in rows for figure in row.figures if column_of(row, figure) == column]
        for column in (first, second)
    ]
    if not all(values):
        return False
    low, high = sorted(median(one) for one in values)
    return high <= 4 * low

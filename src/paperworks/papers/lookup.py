"""Finds in a source the figures that one of a summary may be, and the sentences that a summary's may rest on.

A long paper is not read whole: its numbers are known by value (see `Document.holding`), and the sentences that may hold
one are read when they are asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from paperworks.papers.agreement import MEASURED, agrees
from paperworks.papers.contexts import Document, Sentence
from paperworks.papers.direction import direction
from paperworks.papers.number_patterns import OTHER
from paperworks.papers.quantities import Quantity
from paperworks.papers.rivals import column_of

MOST_PLACES = 60  # sentences read for a number that stands everywhere
_TIMES = (60.0, 3600.0, 24.0, 7.0, 12.0)


class Lookup:
    """The figures of one source, for those of one summary."""

    def __init__(self, summary: Document, source: Document) -> None:
        self.summary, self.source = summary, source
        self._near: dict[int, list[Quantity]] = {}
        self._kept: list[Quantity] = []
        self._overlaps: dict[tuple[int, int, int, int], float] = {}
        self._mentioned: dict[str, list[int]] = {}

    def candidates(self, figure: Quantity) -> list[Quantity]:
        """The figures of the source that have a figure's number in a unit that fits."""
        found = [place for place in self.near(figure) if agrees(figure, place)]
        if figure.signed and not any(place.signed for place in found):
            turned = figure._replace(value=-figure.value)
            if any(place.signed and agrees(turned, place) for place in self.near(turned)):
                return []
            found = [place for place in found if self._direction(place) * figure.value >= 0]
        if not found and figure.high is not None:
            found = self._both_ends(figure)
        if not found and figure.spread is not None:
            found = self._apart(figure)
        return found

    def _direction(self, place: Quantity) -> int:
        """1 where the words beside a figure speak of a rise or a gain, -1 of a fall or a loss, 0 of neither."""
        way = direction(self.source.sentence_at(place.start), place)
        return way.get("amount", way.get("worth", 0))

    def _both_ends(self, figure: Quantity) -> list[Quantity]:
        low, high = figure._replace(high=None), figure._replace(value=figure.high or 0.0, high=None)
        ends = [place for place in self.near(high) if agrees(high, place)]
        return [
            place
            for place in self.near(low)
            if agrees(low, place) and any(self._one_range(place, end) for end in ends)
        ]

    def _one_range(self, low: Quantity, high: Quantity) -> bool:
        """Whether two figures stand in one sentence or row, or in one column of a table."""
        first, second = self.source.index_at(low.start), self.source.index_at(high.start)
        if first == second:
            return True
        rows = self.source.rows_of(first)
        return (
            rows[0].is_row
            and any(row.start == self.source.spans[second][0] for row in rows)
            and self.column(low) == self.column(high)
        )

    def _apart(self, figure: Quantity) -> list[Quantity]:
        """A value and its spread that the source gives in one sentence, though not joined by ±."""
        value, spread = figure._replace(spread=None), figure.spread
        assert spread is not None
        spreads = [place for place in self.near(spread) if agrees(spread, place)]
        return [
            place
            for place in self.near(value)
            if place.spread is None
            and agrees(value, place)
            and any(self.source.index_at(one.start) == self.source.index_at(place.start) for one in spreads)
        ]

    def near(self, figure: Quantity) -> list[Quantity]:
        """The figures of the source that may be this one, whatever their unit and magnitude."""
        if id(figure) not in self._near:
            self._near[id(figure)] = self._search(figure)
            self._kept.append(figure)
        return self._near[id(figure)]

    def _search(self, figure: Quantity) -> list[Quantity]:
        size = abs(figure.value) or 1.0
        values = {size, abs(figure.high or figure.value)}
        if figure.factors:
            values = {math.prod(figure.factors)}
        kind = figure.unit.kind
        if kind == "percent":
            values |= {size / 100, 100 / size}
        elif kind in ("fraction", "times"):
            values |= {1 / size, 100 * size}
        elif not kind and size <= 1.5:
            values.add(100 * size)
        elif kind in ("time", "gpu time"):
            values |= {size * factor for factor in _TIMES} | {size / factor for factor in _TIMES}
        if kind == "dollars":
            values |= {size / 100, size * 100}
        if kind in MEASURED:
            values |= {size * 1000.0**power for power in (-3, -2, -1, 1, 2, 3)}
        whole = figure.step >= 1 and not figure.magnitude
        within = min(figure.step / size / 2, 0.025 if whole else 0.06)
        if kind == "fraction":
            within = 0.09
        elif figure.bound:
            within = 0.13
        elif figure.about:
            within = max(within, 0.06)
        indices: set[int] = set()
        if figure.factors:  # a size has all its sides in one place
            sides = (self.source.holding(side, 1e-6) for side in figure.factors)
            indices = set.intersection(*sides)
        for value in values:
            if value:
                indices |= self.source.holding(value, within + 1e-6)
        if figure.magnitude or size >= 1000:
            for factor in (1e3, 1e6, 1e9, 1e12):
                indices |= self.source.holding(size / factor, within + 1e-6, rows=True)
        if len(indices) > MOST_PLACES:
            indices = self._likely(figure, indices)
        return [place for index in sorted(indices) for place in self.source.sentence(index).figures]

    def _likely(self, figure: Quantity, indices: set[int]) -> set[int]:
        """Of the many sentences with a common number those near a name of the summary's sentence, then the first."""
        here = self.summary.sentence_at(figure.start)
        near = {
            index + step
            for word in here.words
            if word.name and len(word.text) > 2
            for index in self.mentions(word.text)
            for step in range(-2, 3)
        }
        likely = sorted(indices, key=lambda index: (index not in near, index))
        return set(likely[:MOST_PLACES])

    def same_digits(self, figure: Quantity) -> list[Quantity]:
        """The figures of the source with the same significant digits."""
        indices = sorted(self.source.holding_digits(abs(figure.value)))
        return [
            place
            for index in indices
            for place in self.source.sentence(index).figures
            if place.digits == figure.digits
        ]

    def overlap(self, here: Sentence, there: Sentence, figure: Quantity, place: Quantity) -> float:
        """The weight of the words and figures that two sentences share, beside the two figures."""
        key = (figure.start, place.start, here.start, there.start)
        if key not in self._overlaps:
            self._overlaps[key] = self._shared(here, there, figure, place)
        return self._overlaps[key]

    def _shared(self, here: Sentence, there: Sentence, figure: Quantity, place: Quantity) -> float:
        """The weight of the words and figures that two sentences share, beside the two figures."""
        shared = sum(min(weight, there.bag[one]) for one, weight in here.bag.items() if one in there.bag)
        for other in here.figures:
            if other is not figure and any(one is not place and agrees(other, one) for one in there.figures):
                shared += 1.0
        if figure.unit.thing == place.unit.thing not in ("", OTHER):
            shared += 0.5
        return shared

    def related(self, here: Sentence, near: Sequence[Quantity]) -> list[Sentence]:
        """The sentences of the source that this sentence of the summary may rest on, the likeliest first."""
        indices: dict[int, float] = {}
        for other in [*near, *here.figures]:
            for place in self.near(other):
                if agrees(other, place):
                    index = self.source.index_at(place.start)
                    indices[index] = indices.get(index, 0.0) + 1.0
        for word in here.words:
            if word.name and len(word.text) > 2:
                for index in self.mentions(word.text):
                    indices[index] = indices.get(index, 0.0) + 0.5
        if len(self.source.spans) <= 120:
            for index in range(len(self.source.spans)):
                indices.setdefault(index, 0.0)
        ranked = sorted(indices, key=lambda index: -indices[index])[:80]
        return [self.source.sentence(index) for index in ranked]

    def mentions(self, name: str) -> list[int]:
        """The sentences of the source that hold a name, at most 40."""
        if name not in self._mentioned:
            places = [match.start() for match in re.finditer(re.escape(name), self.source.text)]
            self._mentioned[name] = list(dict.fromkeys(self.source.index_at(place) for place in places))[:40]
        return self._mentioned[name]

    def together(self, a: Quantity, b: Quantity) -> bool:
        """Whether two figures of the source stand near each other, or in one table."""
        first, second = self.source.index_at(a.start), self.source.index_at(b.start)
        if first == second:
            return True
        if self.source.sentence(first).is_row and self.source.sentence(second).is_row:
            return abs(first - second) <= 30
        return abs(first - second) <= 3

    def column(self, figure: Quantity) -> int:
        """The number of the cell of a table that holds a figure of the source."""
        return column_of(self.source.sentence_at(figure.start), figure)

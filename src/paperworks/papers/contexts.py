"""What stands around a figure: its sentence with the words and figures in it, or its row of a table."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from paperworks.papers.bindings import Bound, bind, bind_row, is_compared
from paperworks.papers.number_patterns import plain
from paperworks.papers.quantities import Quantity, find_quantities, raw_numbers
from paperworks.papers.tables import with_column_units
from paperworks.papers.telling import Word, is_korean, words_of

_END = re.compile(
    r"[.!?。](?:[\"'”’)\]*_]{0,2})(?=\s+(?:[\"'“‘(\[*_-]{0,2})[A-Z0-9가-힣])|\n+|[.!?。](?=\s*$)"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|et al|vs|cf|Fig|Figs|Eq|Eqs|Sec|Tab|approx|resp|Dr|Mr|Mrs|Prof|No|Vol|St|w\.r\.t|i\.i\.d|"
    r"a\.k\.a)|"
    r"\b[A-Z])\.$"
)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of a text as `(start, end)`; a line break ends one."""
    spans, start = [], 0
    for match in _END.finditer(text):
        end = match.end()
        if not match[0].startswith("\n") and _ABBREVIATION.search(text, max(start, end - 12), end):
            continue
        if text[start:end].strip():
            spans.append((start, end))
        start = end
    if text[start:].strip():
        spans.append((start, len(text)))
    return spans


@dataclass
class Sentence:
    """A sentence, or a row of a table, with its figures and its words; offsets are those of the whole text."""

    start: int
    end: int
    text: str
    figures: Sequence[Quantity]
    korean: bool
    header: Sequence[str] = ()
    around: str = ""

    @cached_property
    def words(self) -> list[Word]:
        """The sentence's own words."""
        return words_of(self.text, korean=self.korean, offset=self.start)

    @cached_property
    def bag(self) -> dict[str, float]:
        """The stems of the sentence, of its table's header, and (half as heavy) of what stands around it."""
        found: dict[str, float] = {}
        for word in self.words:
            for one in word.stems:
                found[one] = max(found.get(one, 0.0), word.weight)
        for word in words_of(" ".join(self.header), korean=self.korean):
            for one in word.stems:
                found[one] = max(found.get(one, 0.0), word.weight)
        for word in words_of(self.around, korean=self.korean):
            for one in word.stems:
                found.setdefault(one, word.weight / 2)
        return found

    @cached_property
    def is_row(self) -> bool:
        """Whether this is a row of a table."""
        return " | " in self.text

    @cached_property
    def compared(self) -> set[int]:
        """The offsets of names that something is only compared with."""
        return {word.start for word in self.words if is_compared(word, self.text, self.start, ())}

    @cached_property
    def label(self) -> str:
        """A row's first cell, where that is no number."""
        first = self.text.split(" | ")[0].strip()
        return first if self.is_row and re.search(r"[A-Za-z가-힣]{2}", first) else ""

    @cached_property
    def bindings(self) -> dict[int, dict[str, float]]:
        """For each figure, by its offset, the stems that belong to it, with their weights."""
        return bind_row(self) if self.is_row else self._bound[0]

    @cached_property
    def segments(self) -> dict[int, dict[str, float]]:
        """For each figure, by its offset, the stems of its own part of the sentence, near or far alike."""
        return self.bindings if self.is_row else self._bound[1]

    @cached_property
    def own(self) -> dict[int, dict[str, float]]:
        """The segments without what they share with the beginning of the sentence."""
        return self.bindings if self.is_row else self._bound[2]

    @cached_property
    def _bound(self) -> tuple[Bound, Bound, Bound]:
        return bind(self)


class Document:
    """A text with its sentences and figures, ready to be asked what stands around a figure.

    Figures are read sentence by sentence when they are needed, since most of a long paper is not: `holding` says where
    a number may stand. `text` has full-width signs as their usual forms, `original` as they came. `names`: sizes in
    names count as figures.
    """

    def __init__(self, text: str, *, names: bool = False) -> None:
        self.original = text
        self.text = plain(text)
        self.names = names
        self.korean = is_korean(self.text)
        self.spans = split_sentences(self.text)
        self._starts = [start for start, _ in self.spans]
        self._cache: dict[int, Sentence] = {}

    @cached_property
    def figures(self) -> list[Quantity]:
        """All figures in order."""
        return [figure for index in range(len(self.spans)) for figure in self.sentence(index).figures]

    def sentence_at(self, offset: int) -> Sentence:
        """The sentence that holds `offset`."""
        return self.sentence(self.index_at(offset))

    def sentence(self, index: int) -> Sentence:
        """The sentence with this number."""
        if index not in self._cache:
            start, end = self.spans[index]
            text = self.text[start:end]
            header: tuple[str, ...] = ()
            around = ""
            figures = find_quantities(text, names=self.names, offset=start)
            if " | " in text:
                top = index
                while top > 0 and " | " in self._text_of(top - 1):
                    top -= 1
                header = tuple(self._text_of(top).split(" | ")) if top < index else ()
                if top > 0:
                    around = self._text_of(top - 1)[-300:]
                figures = with_column_units(text, start, header, figures)
            elif index > 0:
                around = self._text_of(index - 1)[-300:]
            self._cache[index] = Sentence(start, end, text, figures, self.korean, header, around)
        return self._cache[index]

    def index_at(self, offset: int) -> int:
        """The number of the sentence that holds `offset`."""
        return max(0, bisect_right(self._starts, offset) - 1)

    def rows_of(self, index: int) -> list[Sentence]:
        """All rows of the table that row `index` belongs to, at most 60 around it."""
        top = bottom = index
        while top > 0 and index - top < 30 and " | " in self._text_of(top - 1):
            top -= 1
        while bottom + 1 < len(self.spans) and bottom - index < 30 and " | " in self._text_of(bottom + 1):
            bottom += 1
        return [self.sentence(place) for place in range(top, bottom + 1)]

    def has_number(self, index: int) -> bool:
        """Whether there is a sentence with this number, and a number in it."""
        return index in self._numbered

    @cached_property
    def _numbered(self) -> set[int]:
        return set(self._numbers[1])

    def holding(self, value: float, within: float, *, rows: bool = False) -> set[int]:
        """The sentences with a number of this value up to the share `within`; `rows`: only rows of tables."""
        if self.korean:
            return set(range(len(self.spans)))
        values, places, _, _ = self._numbers
        low, high = value * (1 - within) - 1e-12, value * (1 + within) + 1e-12
        found = set(places[bisect_left(values, low) : bisect_right(values, high)])
        return {index for index in found if " | " in self._text_of(index)} if rows else found

    def holding_digits(self, value: float) -> set[int]:
        """The sentences with a number of the digits of `value`, whatever its magnitude."""
        if self.korean:
            return set(range(len(self.spans)))
        _, _, mantissas, places = self._numbers
        one = mantissa(value)
        return set(places[bisect_left(mantissas, one - 1e-6) : bisect_right(mantissas, one + 1e-6)])

    @cached_property
    def _numbers(self) -> tuple[list[float], list[int], list[float], list[int]]:
        """All numbers, sorted, with the sentences that they stand in; the same by mantissa (from 1 up to 10)."""
        rows = sorted(
            (value, bisect_right(self._starts, place) - 1) for value, place in raw_numbers(self.text)
        )
        digits = sorted((mantissa(value), index) for value, index in rows)
        return [a for a, _ in rows], [b for _, b in rows], [a for a, _ in digits], [b for _, b in digits]

    def _text_of(self, index: int) -> str:
        start, end = self.spans[index]
        return self.text[start:end]


def mantissa(value: float) -> float:
    """The value without its magnitude, from 1 up to 10; 0 for 0."""
    if not value:
        return 0.0
    value = abs(value)
    one = value / 10.0 ** math.floor(math.log10(value))
    return 1.0 if one > 9.9999999 else one

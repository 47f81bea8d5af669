"""Traces every figure of a summary back to its source, Korean or English on either side.

    found      the source has it: the same value to the digits shown, in a unit that fits, about the same thing
    derived    the difference, ratio, sum or relative change of two figures of one sentence or table row of the source
    elsewhere  the source has the number, but for another thing: another model, metric or direction
    unfounded  the source does not have it

Where several places of the source have the number, the one whose words fit best counts. A pair that is turned round
(`from 58 to 21.7` for `from 21.7 to 58`, or two models that got each other's score) is seen by comparing which words
belong to which figure on both sides, straight and crossed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from paperworks.papers.agreement import (
    MEASURED,
    agrees,
    comparable,
    derivation,
    mistakable,
    pairs_of,
    powers_of_ten,
)
from paperworks.papers.contexts import Document, Sentence
from paperworks.papers.direction import Direction, direction
from paperworks.papers.glossary import stem
from paperworks.papers.model import FigureCheck
from paperworks.papers.names import unknown_names
from paperworks.papers.number_patterns import OTHER
from paperworks.papers.quantities import Quantity
from paperworks.papers.rivals import GIVES, OTHER_WAY, Rivals, column_of, label_stems, lacks, similarity

FOUNDED = ("found", "derived")
# Thresholds on shared words, where a name counts 2.5 and a common word 1; chosen on the labelled set.
MARGIN = 0.8  # how much better the crossed reading of a pair must fit than the straight one
_RISES = {
    *map(
        stem,
        ("improve", "improves", "gain", "gains", "increase", "increases", "rises", "raises", "adds", "grows"),
    ),
    stem("higher"),
}
_FALLS = {
    *map(
        stem, ("drop", "drops", "loses", "lost", "lower", "lowers", "decreases", "reduces", "falls", "below")
    ),
    *map(stem, ("worse", "declines")),
}
_CHANGES = ("points", "percentage points")
_TIMES = (60.0, 3600.0, 24.0, 7.0, 12.0)
_HEADINGS = {"What's", "New", "What's New", "Technical", "Details", "Performance", "Highlights"}
NEAR_MISS = 1.5  # how much better a place with a slip in unit or magnitude must fit
MOST_PLACES = 60  # sentences read for a number that stands everywhere
OTHER_THINGS = "the source has this number where it speaks of other things"


@dataclass(frozen=True)
class Report:
    """What the check found: a `FigureCheck` for each figure in order, and names that the source never uses."""

    figures: list[FigureCheck]
    unknown_names: list[str] = field(default_factory=list)
    contradictions: list[dict[str, object]] = field(default_factory=list)

    @property
    def found(self) -> int:
        """How many figures are founded: found or derived."""
        return sum(figure.verdict in FOUNDED for figure in self.figures)

    def to_dict(self) -> dict[str, object]:
        """The report as `paperworks check --json` prints it."""
        return {
            "figures": [figure.model_dump(exclude={"section"}) for figure in self.figures],
            "unknown_names": self.unknown_names,
            "contradictions": self.contradictions,
            "found": self.found,
            "all": len(self.figures),
        }


@dataclass
class Match:
    """A figure of the summary at a place of the source, or derived from two of them."""

    figure: Quantity
    place: Quantity
    verdict: str = "found"
    note: str = ""
    fit: float = 0.0


def check_figures(summary: str, source: str | Document) -> Report:
    """Check all figures of `summary` against `source` (see the module); offsets are those of the texts as given."""
    document = source if isinstance(source, Document) else Document(source, names=True)
    return Report(Checker(Document(summary), document).run(), unknown_names(summary, document.text))


class Checker:
    """One summary against one source."""

    def __init__(self, summary: Document, source: Document) -> None:
        self.summary, self.source = summary, source
        self._near: dict[int, list[Quantity]] = {}
        self._kept: list[Quantity] = []
        self._overlaps: dict[tuple[int, int, int, int], float] = {}
        self.settled: dict[int, int] = {}
        self._mentioned: dict[str, list[int]] = {}
        names = (
            word
            for index in range(min(3, len(summary.spans)))
            for word in summary.sentence(index).words
            if word.name
        )
        first = next((word for word in names if word.text not in _HEADINGS), None)
        self.topic = set(first.stems) if first else set()
        self.rivals = Rivals(summary, source, self.topic)
        sentences = len(source.spans)
        self.least_overlap = 0.0 if sentences <= 15 else 0.5 if sentences <= 80 else 1.5

    def run(self) -> list[FigureCheck]:
        figures = self.summary.figures
        matches = [self._candidates(figure) for figure in figures]
        chosen: list[Match | None] = [None] * len(figures)
        for _ in range(2):  # once by words alone, then with the places of the figures around
            self.settled = {
                figure.start: self.source.index_at(match.place.start)
                for figure, match in zip(figures, chosen, strict=True)
                if match is not None and match.verdict == "found"
            }
            chosen = [
                self._best(figure, found) if found else None
                for figure, found in zip(figures, matches, strict=True)
            ]
        self._crossed(figures, matches, chosen)
        self._parted(figures, matches, chosen)
        known = {i for i, match in enumerate(chosen) if match is not None}
        for i, figure in enumerate(figures):
            match = chosen[i]
            if match is None or match.note == OTHER_THINGS or match.note.startswith(GIVES):
                derived = self._derived(figure, figures, known)
                weak = match is None or match.note == OTHER_THINGS
                change = direction(self.summary.sentence_at(figure.start), figure)
                if derived is not None and (weak or (change and derived.note.startswith("difference"))):
                    chosen[i] = derived
        return [
            self._checked(figure, match)
            for figure, match in zip(figures, chosen, strict=True)
            if not (match is None or match.verdict == "elsewhere") or not self._idle(figure)
        ]

    # candidates: the same number in a unit that fits

    def _candidates(self, figure: Quantity) -> list[Quantity]:
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
        """1 where the words beside a figure speak of a rise, -1 of a fall, 0 of neither or both."""
        words = self.source.sentence_at(place.start).segments.get(place.start, {})
        rise, fall = bool(words.keys() & _RISES), bool(words.keys() & _FALLS)
        return rise - fall

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
            and self._column(low) == self._column(high)
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
            for index in self._mentions(word.text)
            for step in range(-2, 3)
        }
        likely = sorted(indices, key=lambda index: (index not in near, index))
        return set(likely[:MOST_PLACES])

    def _same_digits(self, figure: Quantity) -> list[Quantity]:
        """The figures of the source with the same significant digits."""
        indices = sorted(self.source.holding_digits(abs(figure.value)))
        return [
            place
            for index in indices
            for place in self.source.sentence(index).figures
            if place.digits == figure.digits
        ]

    # which place, and whether it is about the same thing

    def _best(self, figure: Quantity, places: Sequence[Quantity]) -> Match:
        here = self.summary.sentence_at(figure.start)
        best: Match | None = None
        rivals = 0
        for place in places[:400]:
            there = self.source.sentence_at(place.start)
            overlap, match = self._fit(figure, place)
            own = sum(
                min(weight, there.bag[one])
                for one, weight in here.segments.get(figure.start, {}).items()
                if one in there.bag
            )
            least = (0.0 if there.header else -1.0) if there.is_row else self.least_overlap
            if overlap <= least and own == 0 and self._can_tell(here, figure, place):
                match.verdict, match.note = "elsewhere", OTHER_THINGS
                match.fit -= 5
            elif why := self.rivals.objection(figure, place):
                match.verdict, match.note = "elsewhere", why
                match.fit -= 5
                rivals += there.is_row
            if best is None or match.fit > best.fit:
                best = match
        assert best is not None
        if best.verdict == "found":
            if rivals and figure.unit.kind in ("", "percent") and not self._shares_a_name(here, best.place):
                best.verdict, best.note = "elsewhere", OTHER_THINGS
            elif miss := self._near_miss(figure, best):
                best.verdict, best.note = "elsewhere", f"the source has {miss.text} for this"
        return best

    def _shares_a_name(self, here: Sentence, place: Quantity) -> bool:
        """Whether a sentence told in words shares a name with the summary's; a row of a table has been judged by it."""
        there = self.source.sentence_at(place.start)
        names = {one for word in here.words if word.name for one in word.stems}
        return there.is_row or any(word.name and not names.isdisjoint(word.stems) for word in there.words)

    def _fit(self, figure: Quantity, place: Quantity) -> tuple[float, Match]:
        """How well the words of a place fit those of a figure, and the match."""
        here, there = self.summary.sentence_at(figure.start), self.source.sentence_at(place.start)
        overlap = self._overlap(here, there, figure, place) + self._closeness(figure, place)
        bound = similarity(here.bindings.get(figure.start, {}), there.bindings.get(place.start, {}))
        return overlap, Match(figure, place, fit=overlap + 2 * bound)

    def _closeness(self, figure: Quantity, place: Quantity) -> float:
        """1.5 where a figure of the same or the next sentence was found within three sentences of `place`."""
        if not self.settled:
            return 0.0
        mine, index = self.summary.index_at(figure.start), self.source.index_at(place.start)
        return 1.5 * any(
            start != figure.start
            and abs(self.summary.index_at(start) - mine) <= 1
            and abs(settled - index) <= 3
            for start, settled in self.settled.items()
        )

    def _near_miss(self, figure: Quantity, best: Match) -> Quantity | None:
        """A place with the same digits but another unit or magnitude whose words fit clearly better."""
        if len(figure.digits) < 2 or figure.factors or figure.high is not None:
            return None
        for place in self._same_digits(figure)[:100]:
            if agrees(figure, place) or place.factors or place.named or not mistakable(figure, place):
                continue
            if self._fit(figure, place)[1].fit > best.fit + NEAR_MISS:
                return place
        return None

    def _overlap(self, here: Sentence, there: Sentence, figure: Quantity, place: Quantity) -> float:
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

    def _can_tell(self, here: Sentence, figure: Quantity, place: Quantity) -> bool:
        """Whether the sentence has words enough that could be met in the source.

        Between two languages many words cannot be met, so a telling number alone is believed.
        """
        if here.korean != self.source.korean:
            telling = len(figure.digits) > 2 or figure.unit.kind == place.unit.kind not in ("", "count")
            if telling:
                return False
        return sum(word.name or not _is_hangul(word.stems[0]) for word in here.words) >= 2

    # pairs that are turned round

    def _crossed(
        self, figures: Sequence[Quantity], matches: Sequence[Sequence[Quantity]], chosen: list[Match | None]
    ) -> None:
        for i in range(len(figures)):
            for j in range(i + 1, min(i + 7, len(figures))):
                first, second = figures[i], figures[j]
                if not (matches[i] and matches[j]) or not comparable(first, second) or agrees(first, second):
                    continue
                low, high = sorted((abs(first.base), abs(second.base)))
                if high > 4 * low and self._is_change(first) != self._is_change(second):
                    continue  # a score and the size of a change
                if abs(self.summary.index_at(first.start) - self.summary.index_at(second.start)) > 1:
                    continue
                self._cross(i, j, first, second, matches, chosen)

    def _parted(
        self, figures: Sequence[Quantity], matches: Sequence[Sequence[Quantity]], chosen: list[Match | None]
    ) -> None:
        """Ends of a change that the source does not give together, but each with another end."""
        for i in range(len(figures) - 1):
            first, second = figures[i], figures[i + 1]
            if self.summary.index_at(first.start) != self.summary.index_at(second.start):
                continue
            if self._change(self.summary, first, second) not in (1, -1):
                continue
            starts = [place for place in matches[i] if self._partner(place)]
            ends = [place for place in matches[i + 1] if self._partner(place)]
            match = chosen[i + 1]
            if match is None or match.verdict != "found" or not starts or not ends:
                continue
            if len(starts) < len(matches[i]) or len(ends) < len(matches[i + 1]):
                continue
            if not any(agrees(second, self._partner(place)) for place in starts):  # type: ignore[arg-type]
                partner = self._partner(starts[0])
                chosen[i + 1] = Match(
                    second,
                    match.place,
                    "elsewhere",
                    f"the source has {partner.text} for this",  # type: ignore[union-attr]
                )

    def _partner(self, place: Quantity) -> Quantity | None:
        """The other end of the change that a figure of the source is an end of."""
        figures = list(self.source.sentence_at(place.start).figures)
        at = next(number for number, one in enumerate(figures) if one.start == place.start)
        for beside in (at - 1, at + 1):
            if 0 <= beside < len(figures):
                a, b = figures[min(at, beside)], figures[max(at, beside)]
                if self._change(self.source, a, b):
                    return figures[beside]
        return None

    def _is_change(self, figure: Quantity) -> bool:
        return bool(direction(self.summary.sentence_at(figure.start), figure))

    def _cross(
        self,
        i: int,
        j: int,
        first: Quantity,
        second: Quantity,
        matches: Sequence[Sequence[Quantity]],
        chosen: list[Match | None],
    ) -> None:
        mine = self._bound(self.summary, first)
        other = self._bound(self.summary, second)
        best: tuple[float, float, Quantity, Quantity] | None = None
        mixed = False
        for a in matches[i][:60]:
            for b in matches[j][:60]:
                if a is b or not self._together(a, b):
                    continue
                if lacks(self.summary.sentence_at(first.start)) != lacks(self.source.sentence_at(a.start)):
                    continue  # what a part brings is lost without it
                there, beyond = self._bound(self.source, a), self._bound(self.source, b)
                fits = [similarity(x, y) for x in (mine, other) for y in (there, beyond)]
                straight, crossed = fits[0] + fits[3], fits[1] + fits[2]
                if best is None or max(straight, crossed) > max(best[0], best[1]):
                    best = (straight, crossed, a, b)
                    mixed = fits[0] > fits[1] + 0.2 or fits[3] > fits[2] + 0.2
        if best is None or mixed:
            return
        straight, crossed, a, b = best
        if crossed > straight + MARGIN:
            note = f"{first.text} and {second.text} stand the other way round in the source"
            chosen[i] = Match(first, a, "elsewhere", note)
            chosen[j] = Match(second, b, "elsewhere", note)

    def _bound(self, document: Document, figure: Quantity) -> dict[str, float]:
        return document.sentence_at(figure.start).bindings.get(figure.start, {})

    def _together(self, a: Quantity, b: Quantity) -> bool:
        first, second = self.source.index_at(a.start), self.source.index_at(b.start)
        if first == second:
            return True
        if self.source.sentence(first).is_row and self.source.sentence(second).is_row:
            return abs(first - second) <= 30
        return abs(first - second) <= 3

    # derived figures

    def _derived(self, figure: Quantity, figures: Sequence[Quantity], known: set[int]) -> Match | None:
        if figure.high is not None or figure.factors or figure.spread:
            return None
        index = self.summary.index_at(figure.start)
        near = [
            other
            for place, other in enumerate(figures)
            if place in known and other is not figure and abs(self.summary.index_at(other.start) - index) <= 1
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
                change = self._change(self.summary, a, b) if together else 0
                return self._followed(figure, place, kind, a, b, way, change)
        if ends and figure.unit.kind == "percent":
            return None
        best: Match | None = None
        for sentence in self._related(here, near):
            for a, b in self._sourcepairs_of(sentence, here):
                kind = derivation(figure, a, b, column=sentence.is_row)
                if not kind or (figure.unit.kind == "percent" and way and kind == "share"):
                    continue
                if figure.unit.kind == "percent" and not way and kind == "relative change":
                    continue
                change = 0 if sentence.is_row else self._change(self.source, a, b)
                if change is None:
                    continue
                fit = self._overlap(here, sentence, figure, a)
                if (
                    sentence.is_row
                    and kind == "relative change"
                    and column_of(sentence, a) != self._column(b)
                ):
                    continue
                if (fit > (2.0 if kind == "product" else 1.0) or sentence.is_row) and (
                    best is None or fit > best.fit
                ):
                    best = self._followed(figure, a, kind, a, b, way, change)
                    best.fit = fit
        return best or self._anchored(figure, here, near, way) or self._against_table(figure, here, near)

    def _compared(self, figure: Quantity, a: Quantity, b: Quantity) -> int:
        """1 where a figure is more than the one of what the summary compares it with, -1 where less, else 0."""
        here = self.summary.sentence_at(figure.start)
        bases = [set(word.stems) for word in here.words if word.start in here.compared]
        sides = []
        for one in (a, b):
            document = self.source if one in self.source.sentence_at(one.start).figures else self.summary
            words = document.sentence_at(one.start).own.get(one.start, {}).keys()
            sides.append(any(base & words for base in bases))
        if sides[0] == sides[1]:
            return 0
        mine, base = (b, a) if sides[0] else (a, b)
        return 1 if mine.base > base.base else -1

    def _ends_before(self, here: Sentence, figure: Quantity) -> tuple[Quantity, Quantity] | None:
        """Both ends of a change that stand right before `figure`, its size: `from 68 % to 91 %, an increase of 23 %`."""
        before = [other for other in here.figures if other.end <= figure.start][-2:]
        if len(before) < 2 or figure.start - before[1].end > 32:
            return None
        gap = self.summary.text[before[1].end : figure.start]
        ends = self._change(self.summary, before[0], before[1])
        return (before[0], before[1]) if ends and not re.search(r"[.;]\s", gap) else None

    def _anchored(
        self, figure: Quantity, here: Sentence, near: Sequence[Quantity], way: Direction
    ) -> Match | None:
        """A difference or ratio of a figure that the summary gives beside this one and of another of the source.

        The other stands near it, in its column, or where the source speaks of what the summary compares it with.
        """
        compared = {
            index for word in here.words if word.start in here.compared for index in self._mentions(word.text)
        }
        telling = len(figure.digits) > 1 and figure.step <= 0.1
        for anchor in near:
            for a in (place for place in self.near(anchor) if agrees(anchor, place)):
                index = self.source.index_at(a.start)
                around = range(max(0, index - 2), min(len(self.source.spans), index + 3))
                for place in sorted({*around, *compared}, key=lambda one: abs(one - index)):
                    sentence = self.source.sentence(place)
                    column = self._column(a) if sentence.is_row and place in around else -1
                    for b in sentence.figures:
                        if b is a or column not in (-1, column_of(sentence, b)):
                            continue
                        kind = derivation(figure, a, b)
                        difference = (
                            kind == "difference" and telling and (way or figure.unit.kind in _CHANGES)
                        )
                        if difference or (kind == "ratio" and (column >= 0 or place in compared)):
                            return Match(figure, a, "derived", f"{kind} of {a.text} and {b.text}")
        return None

    def _change(self, document: Document, a: Quantity, b: Quantity) -> int | None:
        """1 where a sentence tells a rise `from a to b`, -1 for a fall, 0 for neither; `None` for ends of two changes."""
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
        if roles[0] == "<to>" and not re.fullmatch(r"\s(?:up |down )?from\s", document.text[a.end : b.start]):
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
            change = self._compared(figure, a, b) or change
        if change and kind in ("difference", "relative change") and way.get("amount", change) != change:
            return Match(figure, place, "elsewhere", OTHER_WAY)
        return Match(figure, place, "derived", f"{kind} of {a.text} and {b.text}")

    def _column(self, figure: Quantity) -> int:
        return column_of(self.source.sentence_at(figure.start), figure)

    def _against_table(self, figure: Quantity, here: Sentence, near: Sequence[Quantity]) -> Match | None:
        """The difference of a figure told in words, such as that of an ablation, and one of the paper's own row."""
        if figure.step >= 1 or figure.unit.kind not in {"", "points", "percentage points", *MEASURED}:
            return None
        related = self._related(here, near)
        rows = [row for row in related if row.is_row and row.header and self.topic & set(label_stems(row))]
        best: Match | None = None
        for sentence in related:
            for a in sentence.figures if not sentence.is_row else ():
                for b in (b for row in rows for b in row.figures):
                    if derivation(figure, a, b) == "difference":
                        fit = self._overlap(here, sentence, figure, a)
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
        first = [place for place in self.near(a) if agrees(a, place)]
        second = [place for place in self.near(b) if agrees(b, place)]
        for place in first:
            if any(self._together(place, other) for other in second):
                return place
        return first[0] if first and second else None

    def _related(self, here: Sentence, near: Sequence[Quantity]) -> list[Sentence]:
        """The sentences of the source that this sentence of the summary may rest on, the likeliest first."""
        indices: dict[int, float] = {}
        for other in [*near, *here.figures]:
            for place in self.near(other):
                if agrees(other, place):
                    index = self.source.index_at(place.start)
                    indices[index] = indices.get(index, 0.0) + 1.0
        for word in here.words:
            if word.name and len(word.text) > 2:
                for index in self._mentions(word.text):
                    indices[index] = indices.get(index, 0.0) + 0.5
        if len(self.source.spans) <= 120:
            for index in range(len(self.source.spans)):
                indices.setdefault(index, 0.0)
        ranked = sorted(indices, key=lambda index: -indices[index])[:80]
        return [self.source.sentence(index) for index in ranked]

    def _mentions(self, name: str) -> list[int]:
        """The sentences of the source that hold a name, at most 40."""
        if name not in self._mentioned:
            places = [match.start() for match in re.finditer(re.escape(name), self.source.text)]
            self._mentioned[name] = list(dict.fromkeys(self.source.index_at(place) for place in places))[:40]
        return self._mentioned[name]

    # the outcome

    def _idle(self, figure: Quantity) -> bool:
        """Whether this is a small count in words that the source does not mention: the summary's own counting."""
        small = (
            figure.word and figure.unit.kind in ("", "count") and figure.value <= 10 and not figure.magnitude
        )
        if not small:
            return False
        here = self.summary.sentence_at(figure.start)
        return not any(
            place.unit.thing == figure.unit.thing != ""
            and place.value <= 20
            and self._overlap(here, self.source.sentence_at(place.start), figure, place) > 2
            for sentence in self._related(here, [])
            for place in sentence.figures
        )

    def _checked(self, figure: Quantity, match: Match | None) -> FigureCheck:
        place = match.place if match else None
        note = match.note if match else self._hint(figure)
        return FigureCheck(
            text=self.summary.original[figure.start : figure.end],
            start=figure.start,
            end=figure.end,
            value=figure.value,
            unit=figure.unit_name,
            verdict=match.verdict if match else "unfounded",  # type: ignore[arg-type]
            source_start=place.start if place else None,
            source_text=self._quoted(place) if place else None,
            note=note,
        )

    def _quoted(self, place: Quantity) -> str:
        sentence = self.source.sentence_at(place.start)
        return " ".join(self.source.original[sentence.start : sentence.end].split())

    def _hint(self, figure: Quantity) -> str:
        """What the source has instead, where a slip explains it."""
        for place in self._same_digits(figure):
            related = place.unit.kind == figure.unit.kind or not place.unit.kind or not figure.unit.kind
            power = powers_of_ten(figure.base, place.base) if related else 0
            if power and figure.value >= 100:
                side = "too large" if power > 0 else "too small"
                return f"{10 ** abs(power):,} times {side}? The source has {place.text}"
            same = math.isclose(figure.value, place.value, rel_tol=1e-9)
            other = (figure.unit.kind, figure.unit.factor) != (place.unit.kind, place.unit.factor)
            if same and other and len(figure.digits) > 1 and place.unit.kind:
                return f"another unit? The source has {place.text}"
        return "not in the source"


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


def _is_hangul(text: str) -> bool:
    return "가" <= text[:1] <= "힣"

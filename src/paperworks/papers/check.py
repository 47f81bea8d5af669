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
from collections.abc import Sequence
from dataclasses import dataclass, field

from paperworks.papers.agreement import agrees, comparable, mistakable, powers_of_ten
from paperworks.papers.contexts import Document, Sentence
from paperworks.papers.derived import Derivations, Match
from paperworks.papers.direction import direction
from paperworks.papers.lookup import Lookup
from paperworks.papers.model import FigureCheck
from paperworks.papers.names import unknown_names
from paperworks.papers.quantities import Quantity
from paperworks.papers.rivals import GIVES, Rivals, lacks, similarity

FOUNDED = ("found", "derived")
# Thresholds on shared words, where a name counts 2.5 and a common word 1; chosen on the labelled set.
MARGIN = 0.8  # how much better the crossed reading of a pair must fit than the straight one
_HEADINGS = {"What's", "New", "What's New", "Technical", "Details", "Performance", "Highlights"}
OBJECTED = 5.0  # how much better a place of something else must fit than one without objection
NEAR_MISS = 1.5  # how much better a place with a slip in unit or magnitude must fit
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


def check_figures(summary: str, source: str | Document) -> Report:
    """Check all figures of `summary` against `source` (see the module); offsets are those of the texts as given."""
    document = source if isinstance(source, Document) else Document(source, names=True)
    return Report(Checker(Document(summary), document).run(), unknown_names(summary, document.text))


class Checker:
    """One summary against one source."""

    def __init__(self, summary: Document, source: Document) -> None:
        self.summary, self.source = summary, source
        self.settled: dict[int, int] = {}
        self.topic = _subject(summary)
        self.rivals = Rivals(summary, source, self.topic | _subject(source))
        self.lookup = Lookup(summary, source)
        self.derivations = Derivations(self.lookup, self.topic)
        sentences = len(source.spans)
        self.least_overlap = 0.0 if sentences <= 15 else 0.5 if sentences <= 80 else 1.5

    def run(self) -> list[FigureCheck]:
        figures = self.summary.figures
        matches = [self.lookup.candidates(figure) for figure in figures]
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
        known = [figure for figure, match in zip(figures, chosen, strict=True) if match is not None]
        for i, figure in enumerate(figures):
            match = chosen[i]
            if match is None or match.note == OTHER_THINGS or match.note.startswith(GIVES):
                derived = self.derivations.derived(figure, known)
                weak = match is None or match.note == OTHER_THINGS
                change = direction(self.summary.sentence_at(figure.start), figure)
                if derived is not None and (weak or (change and derived.note.startswith("difference"))):
                    chosen[i] = derived
        return [
            self._checked(figure, match)
            for figure, match in zip(figures, chosen, strict=True)
            if not (match is None or match.verdict == "elsewhere") or not self._idle(figure)
        ]

    def _best(self, figure: Quantity, places: Sequence[Quantity]) -> Match:
        """The place whose words fit best among those that are not of something else, or the best of these."""
        here = self.summary.sentence_at(figure.start)
        fits = [self._fit(figure, place) for place in places[:400]]
        fits.sort(key=lambda one: -one[1].fit)
        rivals = 0
        for overlap, match in fits:
            there = self.source.sentence_at(match.place.start)
            why = self._other_things(figure, match.place, overlap) or self.rivals.objection(
                figure, match.place
            )
            if not why:
                break
            match.verdict, match.note = "elsewhere", why
            rivals += there.is_row and why != OTHER_THINGS
        found = next((match for _, match in fits if match.verdict == "found"), None)
        best = fits[0][1]
        if found is None or found.fit < best.fit - OBJECTED:
            return best
        if rivals and figure.unit.kind in ("", "percent") and not self._shares_a_name(here, found.place):
            found.verdict, found.note = "elsewhere", OTHER_THINGS
        elif miss := self._near_miss(figure, found):
            found.verdict, found.note = "elsewhere", f"the source has {miss.text} for this"
        return found

    def _other_things(self, figure: Quantity, place: Quantity, overlap: float) -> str:
        """`OTHER_THINGS` where the words around share nothing, though they could be met in the source."""
        here, there = self.summary.sentence_at(figure.start), self.source.sentence_at(place.start)
        least = (0.0 if there.header else -1.0) if there.is_row else self.least_overlap
        own = here.segments.get(figure.start, {}).keys() & there.bag.keys()
        return OTHER_THINGS if overlap <= least and not own and self._can_tell(here, figure, place) else ""

    def _shares_a_name(self, here: Sentence, place: Quantity) -> bool:
        """Whether a sentence told in words shares a name with the summary's; a row of a table has been judged by it."""
        there = self.source.sentence_at(place.start)
        names = {one for word in here.words if word.name for one in word.stems}
        return there.is_row or any(word.name and not names.isdisjoint(word.stems) for word in there.words)

    def _fit(self, figure: Quantity, place: Quantity) -> tuple[float, Match]:
        """How well the words of a place fit those of a figure, and the match."""
        here, there = self.summary.sentence_at(figure.start), self.source.sentence_at(place.start)
        overlap = self.lookup.overlap(here, there, figure, place) + self._closeness(figure, place)
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
        for place in self.lookup.same_digits(figure)[:100]:
            if agrees(figure, place) or place.factors or place.named or not mistakable(figure, place):
                continue
            if self._fit(figure, place)[1].fit > best.fit + NEAR_MISS:
                return place
        return None

    def _can_tell(self, here: Sentence, figure: Quantity, place: Quantity) -> bool:
        """Whether the sentence has words enough that could be met in the source.

        Between two languages many words cannot be met, so a telling number alone is believed.
        """
        if here.korean != self.source.korean:
            telling = len(figure.digits) > 2 or figure.unit.kind == place.unit.kind not in ("", "count")
            if telling:
                return False
        return sum(word.name or not _is_hangul(word.stems[0]) for word in here.words) >= 2

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
            if self.derivations.change(self.summary, first, second) not in (1, -1):
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
                if self.derivations.change(self.source, a, b):
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
                if a is b or not self.lookup.together(a, b):
                    continue
                here, around = self.summary.sentence_at(first.start), self.source.sentence_at(a.start)
                if lacks(here.text) != lacks(around.text):
                    continue  # what a part brings is lost without it
                side = self._earlier(self.summary, first, second)
                if side and side == self._earlier(self.source, b, a):
                    self._exchange(i, j, first, second, a, b, chosen)
                    return
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
            self._exchange(i, j, first, second, a, b, chosen)

    def _exchange(
        self,
        i: int,
        j: int,
        first: Quantity,
        second: Quantity,
        a: Quantity,
        b: Quantity,
        chosen: list[Match | None],
    ) -> None:
        note = f"{first.text} and {second.text} stand the other way round in the source"
        chosen[i] = Match(first, a, "elsewhere", note)
        chosen[j] = Match(second, b, "elsewhere", note)

    def _earlier(self, document: Document, a: Quantity, b: Quantity) -> int:
        """-1 where `a` is what was before or what `b` is compared with, 1 where `b` is, 0 where none is told.

        The two stand beside each other in one sentence.
        """
        sentence = document.sentence_at(a.start)
        places = [one.start for one in sentence.figures]
        if b.start not in places or abs(places.index(b.start) - places.index(a.start)) != 1:
            return 0
        before = [bool(sentence.segments.get(one.start, {}).keys() & {"<from>", "<base>"}) for one in (a, b)]
        return before[1] - before[0]

    def _bound(self, document: Document, figure: Quantity) -> dict[str, float]:
        return document.sentence_at(figure.start).bindings.get(figure.start, {})

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
            and self.lookup.overlap(here, self.source.sentence_at(place.start), figure, place) > 2
            for sentence in self.lookup.related(here, [])
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
        for place in self.lookup.same_digits(figure):
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


def _subject(document: Document) -> set[str]:
    """The stems of the first name of a text: of a summary or a paper, most often what it is about."""
    for index in range(min(3, len(document.spans))):
        for word in document.sentence(index).words:
            if word.name and word.text not in _HEADINGS:
                return set(word.stems)
    return set()


def _is_hangul(text: str) -> bool:
    return "가" <= text[:1] <= "힣"

"""Whether a place of the source that has a figure's number speaks of something else.

What sets the place apart from a figure beside it is compared with the words of the summary: the words of another
model, data set or condition; the row of another model; what something is only compared with (`against 3.4 for the
baseline`); the start of a change that is told as its end; a run without a part of the method; a change that goes the
other way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from paperworks.papers.agreement import agrees, alike
from paperworks.papers.contexts import Document, Sentence
from paperworks.papers.direction import at_odds, direction
from paperworks.papers.glossary import stem
from paperworks.papers.quantities import Quantity
from paperworks.papers.telling import words_of

# Thresholds on shared words, where a name counts 2.5 and a common word 1; chosen on the labelled set.
LEAST = 1.0  # what a rival figure must share with the summary, and the figure itself not
NEARER = 0.3  # how much nearer those words must stand to the rival
REACH = 6  # sentences to either side that may hold the figure that was meant
MUCH = 3.0  # what a sentence must share with the summary's, and that of a place not
NAME = 2.5  # the weight of a name
GIVES = "the source gives "
OTHER_WAY = "the source says it the other way round: more for less, or better for worse"
_OWNERS = {
    stem(word)
    for word in (
        "baseline", "baselines", "teacher", "human", "humans", "people", "expert", "experts", "annotators", "operators",
        "previous", "prior", "predecessor", "commercial", "conventional", "competitor",
    )
}  # fmt: skip
_BEFORE = re.compile(
    r"기존|원래|종전|이전|처음|초기|원본|기준|대비|보다|baseline|original|before|initial|previous|uncompressed",
    re.IGNORECASE,
)
_WITHOUT = re.compile(
    r"(?:^|[\s(])(?:without|w/o|remov\w+|dropping|omit\w*|exclud\w+|leaving out|disabl\w+|turn(?:ing|ed) off|"
    r"switch\w+ off|freezing|ablat\w+|skipping|no longer|in the absence of)\b|"
    r"(?:없|빼|뺀|뺐|제거|제외|끄[면고]|껐|꺼[지진짐]|생략|동결|고정하|떼어|않|배제|비활성|삭제)",
    re.IGNORECASE,
)


_COMPARISON = re.compile(
    r"\b(?:than|against|compared (?:to|with)|versus)\s[^,.;]*|\S+지 않[은는] [가-힣]+(?:보다| 대비|에 비해)",
    re.IGNORECASE,
)


class Words(NamedTuple):
    """The stems of a figure: by nearness, of its part of the sentence, and of that part alone (see `bind`)."""

    near: dict[str, float]
    part: dict[str, float]
    own: dict[str, float]


class Rivals:
    """What one source says of its figures, against a summary's. `topic`: the stems of the summary's subject."""

    def __init__(self, summary: Document, source: Document, topic: set[str]) -> None:
        self.summary, self.source, self.topic = summary, source, topic
        self._known: dict[tuple[int, int], str] = {}

    def objection(self, figure: Quantity, place: Quantity) -> str:
        """Why `place` is not what `figure` is said of, or empty."""
        key = (figure.start, place.start)
        if key not in self._known:
            self._known[key] = self._object(figure, place)
        return self._known[key]

    def _object(self, figure: Quantity, place: Quantity) -> str:
        here, there = self.summary.sentence_at(figure.start), self.source.sentence_at(place.start)
        if (rival := self._rival(figure, place, here, there)) is not None:
            return f"{GIVES}{place.text} for something else; here it has {rival.text}"
        if subject := self._foreign_subject(here, there):
            return f"the source says this of {subject}"
        ends = here.segments.get(figure.start, {}).keys() & {"<from>", "<to>"}
        if (
            not ends
            and not lacks(self._clause(figure, here))
            and (self._plain_row(there) if there.is_row else self._ablated(there, place))
        ):
            return "the source says this of a run without a part"
        if (end := self._end_of_change(figure, place, here, there)) is not None:
            return f"in the source this is what it was before; then it is {end.text}"
        return OTHER_WAY if self._turned(figure, place, here, there) else ""

    def _rival(self, figure: Quantity, place: Quantity, here: Sentence, there: Sentence) -> Quantity | None:
        """A figure beside `place` that fits this figure's part of the sentence, while `place` does not."""
        if figure.unit.thing == "parameter" and re.fullmatch(r"[\d.]+[BMK]", figure.text):
            return None
        token = f"#{figure.base:.6g}"
        if any(token in words for start, words in here.segments.items() if start != figure.start):
            return None  # a condition of another figure
        mine, theirs = _words(here, figure), _words(there, place)
        if lacks(here.text) != lacks(
            there.text
        ):  # the ends of a change are the other way round without a part
            mine = Words(*({one: weight for one, weight in words.items() if one[0] != "<"} for words in mine))
        for other, part in self._beside(place, there):
            if agrees(figure, other) or not alike(place, other) or "<whole>" in part.part:
                continue
            if other.unit != place.unit and not alike(figure, other):
                continue
            for_other = {
                one: weight
                for one, weight in _only(mine, part, theirs).items()
                if mine.near.get(one, 1) > 0.25
            }
            for_this = _only(mine, theirs, part)
            nearer = similarity(mine.near, part.near) - similarity(mine.near, theirs.near)
            if not for_this and sum(for_other.values()) >= LEAST and nearer > NEARER:
                return other
            if there.is_row or self._told(figure, other):
                continue
            apart = self._marks(theirs, part, mine) and not self._marks(part, theirs, mine)
            if (apart and sum(for_this.values()) <= LEAST) or _by_name(mine, part, theirs):
                return other
        if there.is_row:
            return self._other_row(figure, place, here, there)
        return self._better_told(figure, place, mine, theirs)

    def _better_told(self, figure: Quantity, place: Quantity, mine: Words, theirs: Words) -> Quantity | None:
        """A figure of a sentence nearby that has what the summary says of this one, where `place` has nothing of it."""
        index = self.source.index_at(place.start)
        for place_index in self._around(index):
            beside = self.source.sentence(place_index)
            for other in beside.figures if not beside.is_row else ():
                if agrees(figure, other) or not alike(place, other) or not alike(figure, other):
                    continue
                part = _words(beside, other)
                if _only(mine, theirs, part) or self._told(figure, other):
                    continue
                if sum(_only(mine, part, theirs).values()) >= NAME and not self._marks(part, theirs, mine):
                    return other
                if mine.part.keys() & part.own.keys() and self._of_sentence(figure, place, other):
                    return other
        return None

    def _of_sentence(self, figure: Quantity, place: Quantity, other: Quantity) -> bool:
        """Whether the summary's sentence shares words or figures with that of `other` and none with this."""
        here = self.summary.sentence_at(figure.start)
        there, beside = self.source.sentence_at(place.start), self.source.sentence_at(other.start)
        words = [
            {one: word.weight for word in side.words for one in word.stems} for side in (here, there, beside)
        ]
        if words[0].keys() & words[1].keys() - words[2].keys():
            return False
        shared = sum(
            min(words[0][one], words[2][one]) for one in words[0].keys() & words[2].keys() - words[1].keys()
        )
        figures = [one for one in here.figures if one is not figure]
        if any(agrees(one, two) for one in figures for two in there.figures if two is not place):
            return False
        shared += sum(any(agrees(one, two) for two in beside.figures) for one in figures)
        return shared >= MUCH

    def _around(self, index: int) -> list[int]:
        """The sentences with numbers that are at most `REACH` away, the nearest first."""
        steps = (step for distance in range(1, REACH + 1) for step in (-distance, distance))
        return [index + step for step in steps if self.source.has_number(index + step)]

    def _marks(self, words: Words, other: Words, mine: Words) -> set[str]:
        """What makes a figure that of something else: a name, the noun of a baseline, its part in a comparison."""
        found = {
            one
            for one, weight in words.own.items()
            if (weight >= NAME or one in _OWNERS)
            and not (one in other.part or one in mine.part or one in self.topic)
        }
        if (
            "<base>" in words.part
            and "<base>" not in other.part
            and not mine.part.keys() & {"<base>", "<from>"}
        ):
            found.add("<base>")
        return found

    def _told(self, figure: Quantity, other: Quantity) -> bool:
        """Whether another figure of the summary, in this sentence or beside it, gives `other`."""
        mine = self.summary.index_at(figure.start)
        return any(
            one is not figure and agrees(one, other)
            for index in range(max(0, mine - 1), min(len(self.summary.spans), mine + 2))
            for one in self.summary.sentence(index).figures
        )

    def _other_row(
        self, figure: Quantity, place: Quantity, here: Sentence, there: Sentence
    ) -> Quantity | None:
        """The figure of the same column in the row that the summary speaks of, where that is not the row of `place`."""
        ends = {"<from>", "<base>"} & here.segments.get(figure.start, {}).keys()
        if not there.label or not there.header or ends:
            return None
        rows = [row for row in self.source.rows_of(self.source.index_at(place.start)) if row.label]
        owners = self._owners(figure, here, rows)
        if not owners or any(row is there for row in owners):
            return None
        row = owners[0]
        column = column_of(there, place)
        return next((other for other in row.figures if column_of(row, other) == column), None)

    def _owners(self, figure: Quantity, here: Sentence, rows: Sequence[Sentence]) -> list[Sentence]:
        """The rows of a table that a figure of the summary is said of.

        Those named in its own part of the sentence; else the last named before it that is not another figure's; else
        the summary's own subject and what the sentence names beside its figures.
        """
        part = here.segments.get(figure.start, {})
        labels = [(row, set(label_stems(row)[:1])) for row in rows]
        if own := [row for row, stems in labels if stems and stems <= part.keys()]:
            return own
        taken = {
            one for other in here.figures if other is not figure for one in here.segments.get(other.start, {})
        }
        free = [
            set(word.stems)
            for word in here.words
            if word.name
            and word.end <= figure.start
            and not set(word.stems) <= taken
            and word.start not in here.compared
        ]
        for stems in reversed(free):
            if found := [row for row, wanted in labels if wanted and wanted <= stems]:
                return found
        topic = [row for row in rows if self.topic & set(label_stems(row))]
        mine = {one for word in here.words for one in word.stems} - taken
        return [*topic, *(row for row, wanted in labels if wanted and wanted <= mine)]

    def _ablated(self, there: Sentence, place: Quantity) -> bool:
        """Whether a part of the method is taken away in the clause of `place`, as the sentence begins with."""
        before = self.source.text[there.start : place.start]
        clause = re.split(r";\s|\s(?:while|whereas|but)\s", before)[-1]
        if re.search(r"\s(?:it|we|our)\s", clause) or any(
            set(word.stems) & self.topic for word in there.words
        ):
            return False  # the method itself does without
        return bool(_WITHOUT.match(clause.lstrip()) or _WITHOUT.match(" " + clause.lstrip()))

    def _clause(self, figure: Quantity, here: Sentence) -> str:
        """The part of the summary's sentence between semicolons that holds a figure."""
        text, place = here.text, figure.start - here.start
        first = text.rfind("; ", 0, place) + 1
        last = text.find("; ", place)
        return text[first : last if last >= 0 else len(text)]

    def _plain_row(self, there: Sentence) -> bool:
        """Whether a row is that of a run without a part, and its table has the whole method too."""
        whole = _WITHOUT.split(there.label)[0].strip(" (-")
        rows = self.source.rows_of(self.source.index_at(there.start))
        return lacks(there.label) and any(row.label.strip() == whole for row in rows)

    def _end_of_change(
        self, figure: Quantity, place: Quantity, here: Sentence, there: Sentence
    ) -> Quantity | None:
        """The end of a change whose start is `place`, where the summary tells the start as a plain result."""
        theirs, mine = there.segments.get(place.start, {}), here.segments.get(figure.start, {})
        if (
            there.is_row
            or figure.high is not None
            or "<from>" not in theirs
            or "<base>" in theirs
            or any(one[0] == "<" for one in mine)
        ):
            return None
        clause = self.summary.text[max(here.start, figure.start - 40) : min(here.end, figure.end + 16)]
        if _BEFORE.search(clause) or direction(here, figure):
            return None
        figures = list(there.figures)
        after = figures[figures.index(place) + 1 :][:1]
        if not after or "<to>" not in there.segments.get(after[0].start, {}) or self._told(figure, after[0]):
            return None
        return after[0] if not agrees(figure, after[0]) else None

    def _turned(self, figure: Quantity, place: Quantity, here: Sentence, there: Sentence) -> bool:
        """Whether a change goes the other way in the source, the same things being compared."""
        if there.is_row or not at_odds(direction(here, figure), direction(there, place)):
            return False
        if is_without(here, figure) != is_without(there, place):
            return False
        mine, theirs = (
            {one for word in side.words if word.name for one in word.stems} for side in (here, there)
        )
        bases = [
            {one for word in side.words if word.start in side.compared for one in word.stems}
            for side in (here, there)
        ]
        return not (bases[0] & theirs - bases[1] or bases[1] & mine - bases[0])

    def _foreign_subject(self, here: Sentence, there: Sentence) -> str:
        """The name that a sentence of the source begins with, where the summary's sentence shares no name with it."""
        if there.is_row or not there.words or len(self.source.spans) <= 15:
            return ""
        first = there.words[0]
        letters = re.sub(r"[^A-Za-z]", "", first.text)
        if first.start - there.start > 3 or not first.name or sum(c.isupper() for c in letters) < 2:
            return ""
        mine = {one for word in here.words for one in word.stems}
        names = {one for word in there.words if word.name for one in word.stems}
        known = {one for index in range(len(self.summary.spans)) for one in self.summary.sentence(index).bag}
        if mine & names or known & set(first.stems):
            return ""
        return first.text

    def _beside(self, place: Quantity, there: Sentence) -> Iterable[tuple[Quantity, Words]]:
        rows = [there]
        if there.is_row:
            if not there.header:
                return
            rows = [row for row in self.source.rows_of(self.source.index_at(place.start)) if row.header]
        column = column_of(there, place) if there.is_row else 0
        for row in rows:
            for other in row.figures:
                if other is not place and (row is there or column_of(row, other) == column):
                    yield other, _words(row, other)


def _words(sentence: Sentence, figure: Quantity) -> Words:
    parts = (sentence.bindings, sentence.segments, sentence.own)
    return Words(*(part.get(figure.start, {}) for part in parts))


def _only(mine: Words, words: Words, other: Words) -> dict[str, float]:
    """The words that a figure of the summary shares with one of the source and not with another."""
    return {
        one: min(weight, words.own[one])
        for one, weight in mine.part.items()
        if one in words.own and one not in other.part
    }


def _by_name(mine: Words, words: Words, other: Words) -> bool:
    """Whether a name of the summary is that of one figure, while the other has another name."""
    names = {one for one, weight in mine.part.items() if weight >= NAME}
    theirs = {one for one, weight in words.own.items() if weight >= NAME} - other.part.keys()
    others = {one for one, weight in other.own.items() if weight >= NAME} - words.part.keys()
    return bool(names & theirs) and bool(others) and not others & mine.part.keys()


def lacks(text: str) -> bool:
    """Whether a text speaks of a part being taken away: `without`, `빼면`; not of what it compares with."""
    return bool(_WITHOUT.search(_COMPARISON.sub(" ", text)))


def is_without(sentence: Sentence, figure: Quantity) -> bool:
    """Whether a figure is told of a run without a part: in its own clause, or where its sentence begins."""
    text, figures = sentence.text, sentence.figures
    first, last = figure.start - sentence.start, figure.end - sentence.start
    before = max((one.end - sentence.start for one in figures if one.end <= figure.start), default=0)
    after = re.split(r"[,;]", text[last:], maxsplit=1)[0]
    opening = text[: figures[0].start - sentence.start]
    return lacks(text[before:first]) or lacks(opening) or lacks(after)


def label_stems(row: Sentence) -> list[str]:
    """The stems of a row's label, names first."""
    words = words_of(row.label, korean=row.korean)
    return [one for word in sorted(words, key=lambda word: not word.name) for one in word.stems]


def column_of(row: Sentence, figure: Quantity) -> int:
    """The number of the cell that holds a figure."""
    return row.text[: figure.start - row.start].count(" | ")


def similarity(a: dict[str, float], b: dict[str, float]) -> float:
    """How much two weighted sets of words share."""
    if len(b) < len(a):
        a, b = b, a
    return sum(min(weight, b[one]) for one, weight in a.items() if one in b)

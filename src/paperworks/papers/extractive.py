"""A summary without a model: the paper's own sentences, each with its place.

Three things make a sentence worth quoting: it stands where authors say such things (the abstract, the first lines of
a section, the conclusion), it has the words with which they say them (`cues`), and many other sentences speak of the
same (PageRank on the graph of TF-IDF similarities, as in LexRank, arXiv 1109.2128). Sentences are taken one at a
time, each as different as possible from those already there (maximal marginal relevance). What does not stand alone
is passed over where there is something better, or comes with the sentence before it. Nothing is random or rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from paperworks.papers.cues import (
    NEW,
    PERFORMANCE,
    TECHNICAL,
    announces,
    cue_scores,
    flaw,
    language_of_paper,
    leans,
)
from paperworks.papers.sentences import sentences
from paperworks.papers.source import Source
from paperworks.papers.summarize import (
    SUMMARY_SECTIONS,
    Estimate,
    Part,
    Quote,
    Summary,
    SummaryError,
    parts_of,
)

_DAMPING = 0.85
_SIMILARITY = 0.9
_ANNOUNCED_TWICE = 0.6
# What a further sentence of a section has to score.
_ENOUGH = 0.6

# What a sentence gains by standing in a part of the paper.
_PLACE: dict[str, dict[Part, float]] = {
    NEW: {
        "abstract": 1.2,
        "introduction": 0.7,
        "conclusion": 0.6,
        "method": 0.1,
        "results": -0.6,
        "caption": -1.0,
    },
    TECHNICAL: {
        "abstract": 0.4,
        "introduction": 0.1,
        "conclusion": -0.3,
        "method": 0.9,
        "results": 0.1,
        "caption": -0.3,
    },
    PERFORMANCE: {
        "abstract": 1.0,
        "introduction": 0.5,
        "conclusion": 0.7,
        "method": -0.6,
        "results": 0.6,
        "caption": -0.2,
    },
}
_TERMS = re.compile(r"[a-zà-ÿа-я][a-zà-ÿа-я0-9-]+|[가-힣]{2,}|[぀-ヿ一-鿿]+")


@dataclass(frozen=True)
class _Sentence:
    """A span of the source's text that may be quoted, in section number `place` of the source."""

    start: int
    end: int
    text: str
    place: int
    part: Part
    opens: bool


class ExtractiveSummarizer:
    """Quotes the paper: for each section up to `most` sentences of together at most `length` characters.

    The same paper gives the same summary. It is in the paper's own language, whatever language is asked for.
    """

    name = "extractive"

    def __init__(self, most: int = 4, length: int = 800) -> None:
        self._most, self._length = most, length

    def estimate(self, title: str, source: Source, language: str) -> Estimate:
        """Nothing: no model is called."""
        return Estimate(price=0.0)

    def summarize(self, title: str, source: Source, language: str = "") -> Summary:
        """The summary of `source`. A section for which the paper has no sentence is left out; `language` is not used.

        Raises `SummaryError` where the text has no sentence that can be quoted.
        """
        found = _sentences(source)
        against = np.array([flaw(sentence.text) for sentence in found])
        able = int(np.isfinite(against).sum())
        if not able:
            raise SummaryError(
                f"the text of {title!r} has no sentence to quote ({source.kind}, {len(source.text):,} characters)"
            )
        vectors = _vectors([sentence.text for sentence in found], title)
        rank = _rank(vectors[:-1], vectors[-1])
        cues = [cue_scores(sentence.text) for sentence in found]
        share = min(self._most, -(-able // 3))
        nearest = np.zeros(len(found))
        picked: dict[str, list[int]] = {}
        for section in (NEW, PERFORMANCE, TECHNICAL):
            scores = _scores(section, found, cues, rank) - against
            for numbers in picked.values():
                scores[numbers] = -np.inf
            twice = _ANNOUNCED_TWICE if section == NEW else 0.0
            picked[section] = self._pick(scores, found, vectors, nearest, share, twice)
        quotes = tuple(
            _quote(section, found[number], source)
            for section in SUMMARY_SECTIONS
            for number in sorted(picked[section])
        )
        texts = {section: _told(quotes, section) for section in SUMMARY_SECTIONS}
        told = {section: text for section, text in texts.items() if text}
        return Summary(told, self.name, language_of_paper(source.text), quotes)

    def _pick(
        self,
        scores: np.ndarray,
        found: Sequence[_Sentence],
        vectors: csr_matrix,
        nearest: np.ndarray,
        share: int,
        twice: float,
    ) -> list[int]:
        """The numbers of the sentences for one section, best first.

        `nearest`, the similarity of each sentence to the nearest one taken so far, is brought up to date. `twice` is
        what a sentence loses that announces the work ("we propose") after another has.
        """
        announcing = np.array([twice > 0 and announces(sentence.text) for sentence in found])
        picked: list[int] = []
        room = self._length
        while len(picked) < share:
            best = int(np.argmax(scores - _SIMILARITY * nearest))
            if scores[best] <= (_ENOUGH if picked else 0.0):
                break
            before = best - 1
            group = [best]
            if leans(found[best].text) and before >= 0 and found[before].place == found[best].place:
                alone = before in picked or scores[before] == -np.inf or len(picked) + 2 > share
                group = [best] if alone else [before, best]
            size = sum(found[number].end - found[number].start + 1 for number in group)
            if size <= room:
                room -= size
                picked += group
                for number in group:
                    nearest[:] = np.maximum(nearest, _similar(vectors, number))
                scores[group] = -np.inf
                scores[announcing] -= twice if announcing[group].any() else 0.0
            scores[best] = -np.inf
        return picked


def _sentences(source: Source) -> list[_Sentence]:
    """The sentences of the parts that a summary may quote; related work and appendices if there is nothing else."""
    found: dict[bool, list[_Sentence]] = {True: [], False: []}
    offset = 0
    for place, (section, part) in enumerate(zip(source.sections, parts_of(source), strict=True)):
        offset += len(section.heading) + 2 if section.heading else 0
        spans = sentences(section.text) if part != "references" else []
        for turn, (start, end) in enumerate(spans):
            text = " ".join(section.text[start:end].split())
            found[part in ("related", "back")].append(
                _Sentence(offset + start, offset + end, text, place, part, turn == 0)
            )
        offset += len(section.text) + 2
    return found[False] or found[True]


def _scores(
    section: str, found: Sequence[_Sentence], cues: Sequence[dict[str, float]], rank: np.ndarray
) -> np.ndarray:
    """How much each sentence says for `section`, from its words, its place and its rank; -inf for nothing."""
    place = [_PLACE[section].get(sentence.part, -0.8) for sentence in found]
    early = [sentence.opens and sentence.part in ("introduction", "method", "results") for sentence in found]
    words = [scores[section] for scores in cues]
    return np.array(words) + np.array(place) + 0.3 * np.array(early) + 0.6 * rank


def _terms(text: str) -> list[str]:
    """The words of a text for comparing: Hangul by their first two syllables, Han and kana by pairs."""
    terms: list[str] = []
    for word in _TERMS.findall(text.casefold()):
        if "가" <= word[0] <= "힣":
            terms.append(word[:2])
        elif word[0] >= "぀":
            terms += [word[at : at + 2] for at in range(max(len(word) - 1, 1))]
        elif word not in ENGLISH_STOP_WORDS:
            terms.append(word[:-1] if len(word) > 3 and word.endswith("s") else word)
    return terms


def _vectors(texts: list[str], title: str) -> csr_matrix:
    """TF-IDF of each text and, in the last row, of the title [sentences + 1, terms], rows of length 1."""
    try:
        return TfidfVectorizer(analyzer=_terms, sublinear_tf=True).fit_transform([*texts, title]).tocsr()
    except ValueError:
        return csr_matrix((len(texts) + 1, 1))


def _rank(vectors: csr_matrix, title: csr_matrix) -> np.ndarray:
    """PageRank of each sentence on the graph of similarities, with jumps towards the title, scaled to 0…1.

    The similarities are `V V'` without its diagonal; they are applied and never built, so that a book fits too.
    """
    count = vectors.shape[0]
    own = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    degree = vectors @ (vectors.T @ np.ones(count)) - own
    jump = np.asarray((vectors @ title.T).todense()).ravel() + 1 / count
    jump /= jump.sum()
    rank = jump
    for _ in range(50):
        flow = np.divide(rank, degree, out=np.zeros(count), where=degree > 1e-12)
        new = (1 - _DAMPING) * jump + _DAMPING * (vectors @ (vectors.T @ flow) - own * flow)
        new /= new.sum()
        change = np.abs(new - rank).sum()
        rank = new
        if change < 1e-6:
            break
    return rank / rank.max()


def _similar(vectors: csr_matrix, number: int) -> np.ndarray:
    return np.asarray((vectors[:-1] @ vectors[number].T).todense()).ravel()


def _quote(section: str, sentence: _Sentence, source: Source) -> Quote:
    verbatim = source.text[sentence.start : sentence.end]
    return Quote(section, verbatim, sentence.start, sentence.end, source.sections[sentence.place].heading)


def _told(quotes: Sequence[Quote], section: str) -> str:
    return " ".join(" ".join(quote.text.split()) for quote in quotes if quote.section == section)

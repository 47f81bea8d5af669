"""The telling words of a sentence, by stems that can be compared across languages.

Latin words are cut to rough stems; Korean ones become those of their English counterparts through the glossary, or stay
as they are without their particle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paperworks.papers.glossary import in_english, stem

_WORD = re.compile(
    r"(?:\d+(?:\.\d+)?[A-Za-z]|[A-Za-zÀ-ɏ])[A-Za-z0-9À-ɏ]*(?:[-’'./+&][A-Za-z0-9À-ɏ]+)*|[가-힣]+"
)
_STOP = {
    "a",
    "an",
    "the",
    "of",
    "in",
    "on",
    "at",
    "by",
    "to",
    "for",
    "from",
    "with",
    "and",
    "or",
    "but",
    "as",
    "is",
    "are",
    "was",
    "were",
    "be",
    "been",
    "being",
    "it",
    "its",
    "this",
    "that",
    "these",
    "those",
    "we",
    "our",
    "they",
    "their",
    "he",
    "she",
    "his",
    "her",
    "you",
    "your",
    "i",
    "can",
    "could",
    "may",
    "might",
    "will",
    "would",
    "shall",
    "should",
    "do",
    "does",
    "did",
    "done",
    "not",
    "no",
    "nor",
    "than",
    "then",
    "so",
    "such",
    "which",
    "who",
    "whom",
    "whose",
    "what",
    "when",
    "where",
    "while",
    "also",
    "more",
    "most",
    "very",
    "only",
    "just",
    "both",
    "each",
    "other",
    "into",
    "over",
    "under",
    "about",
    "after",
    "before",
    "between",
    "through",
    "during",
    "per",
    "via",
    "using",
    "use",
    "used",
    "uses",
    "show",
    "shows",
    "shown",
    "has",
    "have",
    "had",
    "there",
    "here",
    "out",
    "up",
    "down",
    "off",
    "if",
    "all",
    "any",
    "some",
    "many",
    "much",
    "few",
    "same",
    "own",
    "too",
    "vs",
    "versus",
    "against",
    "compared",
    "compare",
    "respectively",
    "achieves",
    "achieve",
    "achieved",
    "reaches",
    "reach",
    "reached",
    "obtains",
    "obtain",
    "obtained",
    "gets",
    "get",
    "scores",
    "scored",
    "reports",
    "reported",
    "report",
    "paper",
    "results",
    "result",
    "model",
    "models",
    "method",
    "methods",
    "approach",
    "approaches",
    "performance",
    "propose",
    "proposed",
    "proposes",
    "new",
    "work",
    "study",
    "across",
    "within",
    "without",
    "however",
    "moreover",
    "further",
    "even",
    "still",
    "ours",
    "et",
    "al",
    "one",
    "two",
    "three",
    "i.e",
    "e.g",
    "attains",
    "attain",
    "yields",
    "whereas",
    "well",
    "on-par",
    "around",
    "nearly",
    "almost",
    "approximately",
    "roughly",
    "times",
}
_STOP_STEMS = {stem(word) for word in _STOP}
_GENERIC_KOREAN = {
    stem(word)
    for word in (
        "model",
        "method",
        "approach",
        "result",
        "perform",
        "new",
        "novel",
        "experiment",
        "second",
        "total",
        "all",
    )
}


@dataclass(frozen=True)
class Word:
    """A word of a text that says something: `stems` to compare it by, and whether it is a name."""

    start: int
    end: int
    stems: tuple[str, ...]
    name: bool
    text: str

    @property
    def weight(self) -> float:
        """Names say more than common words."""
        return 2.5 if self.name else 1.0


def words_of(text: str, *, korean: bool, offset: int = 0) -> list[Word]:
    """The telling words of a sentence. `korean`: the sentence is Korean, so that every Latin word in it is a name."""
    found: list[Word] = []
    first = True
    for match in _WORD.finditer(text):
        word = match[0]
        if word[0] >= "가" and word[0] <= "힣":
            hits = in_english(word)
            for place, english in hits:
                telling = tuple(one for one in english if one not in _GENERIC_KOREAN)
                if telling:
                    begin = offset + match.start() + place
                    found.append(Word(begin, offset + match.end(), telling, False, word))
            bare = _bare(word)
            if len(bare) > 1 and not hits:
                found.append(Word(offset + match.start(), offset + match.end(), (bare,), False, word))
            continue
        if word.lower() in _STOP:
            first = False
            continue
        pieces = [piece for piece in re.split(r"[-’'./+&]", word) if len(piece) > 1]
        stems = [stem(piece) for piece in pieces if stem(piece) not in _STOP_STEMS]
        if len(pieces) != 1:
            stems.append(re.sub(r"[-’'./+&]", "", word.lower()))
        if not stems:
            first = False
            continue
        capital = word[0].isupper() and (
            not first or (len(word) > 1 and any(c.isupper() or c.isdigit() for c in word[1:]))
        )
        name = korean or capital or any(c.isdigit() for c in word) or any(c.isupper() for c in word[1:])
        found.append(
            Word(offset + match.start(), offset + match.end(), tuple(dict.fromkeys(stems)), name, word)
        )
        first = False
    return found


_PARTICLE = re.compile(
    r"(?:에서는|으로는|에서도|으로도|에게서|이라는|이라고|보다는|부터|까지|에서|에게|으로|보다|처럼|만큼|이나|에는|와는|과는|은|는|이|가|을|를|의|에|로|와|과|도|만|나|랑)$"
)


def _bare(word: str) -> str:
    cut = _PARTICLE.sub("", word)
    return cut if len(cut) > 1 else word


def is_korean(text: str) -> bool:
    """Whether a text is mostly Korean: a Hangul syllable for every third Latin letter or more."""
    part = text[:6000]
    return len(re.findall(r"[가-힣]", part)) * 3 > len(re.findall(r"[A-Za-z]", part))

"""Objects of a prompt and their modifiers, where the user names none: by spaCy if it has an English model, else by
rules.

The paper parses with spaCy: nouns are objects, what modifies them are modifiers. The rules know no grammar: they
split a prompt at articles, numbers, prepositions, "and" and commas, and take the last word of a chunk as the object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

Span = tuple[int, int]
"""Where a word begins and ends in the prompt, in characters."""

WORD = re.compile(r"\w+(?:[-'’]\w+)*")
MODIFIES = ("amod", "nmod", "compound", "npadvmod", "advmod", "acomp")
"""Dependencies under which a word modifies its head, as in SynGen."""
SPLIT = frozenset(
    WORD.findall(
        "a an the this that these those some any each every no my your his her its our their another both all several "
        "many few one two three four five six seven eight nine ten eleven twelve and or but with without while in on "
        "at under over above below beside besides near next to of by from into onto through between behind beneath "
        "against along around inside outside before after for as is are was were has have having there who which up"
    )
)
PICTURES = frozenset(
    WORD.findall(
        "photo photograph picture image painting drawing sketch illustration rendering render portrait view close-up"
    )
)
"""What a prompt is "of": not an object in it."""


@dataclass(frozen=True)
class Phrase:
    """An object and its modifiers, as spans of the prompt."""

    object: Span
    modifiers: tuple[Span, ...] = ()


def parse(text: str) -> list[Phrase]:
    """The objects of a prompt with their modifiers, in its order; none where there is nothing to find."""
    model = _spacy_model()
    return phrases_of_doc(model(text)) if model else phrases_by_rules(text)


def phrases_by_rules(text: str) -> list[Phrase]:
    """The rules alone: "a photo of a small red cube on grey" has the objects cube (small, red) and grey.

    A word in -ing that is not the first of a chunk ends it: "a cat sitting on a mat" has the objects cat and mat.
    """
    found: list[Phrase] = []
    chunk: list[re.Match[str]] = []

    def close(separator: str) -> None:
        if chunk and not (separator == "of" and chunk[-1].group().lower() in PICTURES):
            found.append(Phrase(chunk[-1].span(), tuple(one.span() for one in chunk[:-1])))
        chunk.clear()

    end = 0
    for match in WORD.finditer(text):
        word = match.group().lower()
        if text[end : match.start()].strip():  # punctuation
            close("")
        if word in SPLIT or word.isdigit() or (chunk and word.endswith("ing")):
            close(word)
        else:
            chunk.append(match)
        end = match.end()
    close("")
    return found


def phrases_of_doc(doc: Any) -> list[Phrase]:
    """The nouns of a spaCy `Doc` that modify nothing, each with what modifies it, and what modifies that."""

    def span(token: Any) -> Span:
        return token.idx, token.idx + len(token.text)

    def modifiers(token: Any) -> list[Span]:
        own = [child for child in token.children if child.dep_ in MODIFIES]
        return [one for child in own for one in (span(child), *modifiers(child))]

    return [
        Phrase(span(token), tuple(sorted(modifiers(token))))
        for token in doc
        if token.pos_ in ("NOUN", "PROPN") and token.dep_ not in MODIFIES and not _is_picture(token)
    ]


def _is_picture(token: Any) -> bool:
    return token.text.lower() in PICTURES and any(child.text.lower() == "of" for child in token.children)


@cache
def _spacy_model() -> Any:
    try:
        import spacy
    except ImportError:
        return None
    models = [name for name in spacy.util.get_installed_models() if name.startswith("en_")]
    return spacy.load(sorted(models)[0]) if models else None

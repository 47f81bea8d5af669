"""The words of the field in Korean with what English papers call them: how a Korean sentence meets its English source.

Only stems, the longest first, so that particles and endings do not matter. A word may have several counterparts,
the most usual first. They stand in `glossary.txt`, a row a line: `korean korean : english english`. English is
written in full, in every form that has a stem of its own (`loss losses`), because stems are compared as wholes.
"""

from __future__ import annotations

import re
from importlib.resources import files


def _read() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in (files("paperworks.papers") / "glossary.txt").read_text("utf-8").splitlines():
        if row and not row.startswith("#"):
            korean, english = row.split(" : ")
            found |= dict.fromkeys(korean.split(), tuple(english.split()))
    return found


GLOSSARY = _read()
_KOREAN = re.compile("|".join(sorted(map(re.escape, GLOSSARY), key=len, reverse=True)))
SUFFIX = re.compile(
    r"(?:ational|ations?|ators?|ings?|edly|ed|ers?|ies|es|s|ly|ion|ions|al|y|e|ive|ment|ments)$"
)


def stem(word: str) -> str:
    """A rough stem of an English word, lower case: enough for `accuracy` to meet `accurate`."""
    word = word.lower()
    if len(word) <= 3:
        return word
    cut = SUFFIX.sub("", word)
    return (cut if len(cut) >= 3 else word)[:7]


def in_english(korean: str) -> list[tuple[int, tuple[str, ...]]]:
    """The known words of a Korean text: each one's place and the stems of its English counterparts."""
    return [
        (match.start(), tuple(stem(word) for word in GLOSSARY[match[0]]))
        for match in _KOREAN.finditer(korean)
    ]

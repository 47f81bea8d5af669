"""Which tokens of a prompt are its objects and their modifiers.

Words become tokens by the characters that they take in the prompt, which fast tokenizers tell, and never by comparing
word pieces: a word may be several tokens, and two "red" in one prompt are two tokens.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paperworks.errors import InputError
from paperworks.frap.parser import WORD, Phrase, Span, parse

Positions = int | tuple[int, ...]
Objects = Mapping[str, Sequence[str]] | Mapping[Positions, Sequence[Positions]]
"""{"cube": ["red"]}; positions in place of words where there is no prompt but its embedding."""


@dataclass(frozen=True)
class Word:
    """A word and the positions of its tokens."""

    text: str
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Object(Word):
    """A word that the picture is to show, and the words that say how."""

    modifiers: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A prompt as the text encoder reads it: `length` positions, of which 1 to `end` − 1 are `words` and signs."""

    text: str
    objects: tuple[Object, ...]
    words: tuple[Word, ...]
    end: int
    length: int

    def told(self) -> str:
        """The objects in a line: "cube (red), sphere (blue)"."""
        return ", ".join(
            one.text
            + (f" ({', '.join(modifier.text for modifier in one.modifiers)})" if one.modifiers else "")
            for one in self.objects
        )


def read_prompt(tokenizer: Any, text: str, objects: Objects | None = None) -> Prompt:
    """The prompt with its objects: those given, or those that the parser finds.

    Raises `InputError` for a word that is not in the prompt, is there more than once (`girl#2` is the second), or is
    cut off behind the tokenizer's last position. Objects of the parser that are cut off are left out with a warning.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"{type(tokenizer).__name__} does not tell where its tokens lie: load the fast tokenizer"
        )
    length = tokenizer.model_max_length
    offsets = tokenizer(text, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    end = min(len(offsets), length) - 1
    lost = [
        span for span in (match.span() for match in WORD.finditer(text)) if _tokens(offsets, span)[-1] >= end
    ]

    def word(span: Span) -> Word:
        return Word(text[slice(*span)], _tokens(offsets, span))

    if objects is None:
        phrases = parse(text)
        cut = [one for one in phrases if any(span in lost for span in (one.object, *one.modifiers))]
        if cut:
            names = ", ".join(text[slice(*one.object)] for one in cut)
            warnings.warn(f"behind the {length} tokens that are read, and left out: {names}", stacklevel=2)
        phrases = [one for one in phrases if one not in cut]
    else:
        phrases = [_find(text, name, modifiers) for name, modifiers in objects.items()]
        for span in (span for one in phrases for span in (one.object, *one.modifiers)):
            if _tokens(offsets, span)[-1] >= end:
                first = text[slice(*lost[0])]
                raise InputError(
                    f'"{text[slice(*span)]}" is behind the {length} tokens that are read, which end before "{first}": '
                    "shorten the prompt"
                )
    found = tuple(
        Object(text[slice(*one.object)], _tokens(offsets, one.object), tuple(map(word, one.modifiers)))
        for one in phrases
    )
    words = tuple(word(match.span()) for match in WORD.finditer(text) if match.span() not in lost)
    return Prompt(text, found, words, end, length)


def read_positions(length: int, objects: Objects) -> Prompt:
    """A prompt known by its embedding alone: the objects are positions, and every position but the first may have a
    weight. Raises `InputError` for a word, or a position that there is not."""

    def positions(given: Any) -> tuple[int, ...]:
        own = (given,) if isinstance(given, int) else given
        if (
            not isinstance(own, tuple)
            or not own
            or not all(isinstance(n, int) and 0 < n < length for n in own)
        ):
            raise InputError(
                f"with prompt_embeds, objects are positions from 1 to {length - 1}, not {given!r}"
            )
        return own

    found = tuple(
        Object(
            f"position {key}",
            positions(key),
            tuple(Word(f"position {one}", positions(one)) for one in modifiers),
        )
        for key, modifiers in objects.items()
    )
    return Prompt("", found, tuple(Word(f"position {n}", (n,)) for n in range(1, length)), length, length)


def _tokens(offsets: Sequence[Span], span: Span) -> tuple[int, ...]:
    """Tokens that share characters with a span; behind the last where the tokenizer made nothing of it."""
    found = tuple(n for n, (first, last) in enumerate(offsets) if first < span[1] and span[0] < last)
    return found or (len(offsets),)


def _find(text: str, name: Any, modifiers: Any) -> Phrase:
    if not isinstance(name, str) or isinstance(modifiers, str):
        raise InputError(
            f'objects are words with lists of modifiers, as {{"cube": ["red"]}}, not {name!r}: {modifiers!r}'
        )
    own, number = _occurrences(text, name)
    if number is None and len(own) > 1:
        raise InputError(f'"{name}" is in the prompt {len(own)} times: write {name}#1 or {name}#2')
    span = own[(number or 1) - 1]
    return Phrase(span, tuple(_nearest(text, str(one), span) for one in modifiers))


def _nearest(text: str, name: str, object_span: Span) -> Span:
    """The modifier nearest to its object, unless its number is given."""
    own, number = _occurrences(text, name)
    if number is not None:
        return own[number - 1]
    return min(own, key=lambda span: max(span[0] - object_span[1], object_span[0] - span[1]))


def _occurrences(text: str, name: str) -> tuple[list[Span], int | None]:
    """Where a word is in the prompt, and which of them `#n` asks for."""
    word, _, number = name.partition("#")
    pieces = r"\s+".join(re.escape(piece) for piece in word.split())
    found = (
        [one.span() for one in re.finditer(rf"(?<![\w-]){pieces}(?![\w-])", text, re.IGNORECASE)]
        if pieces
        else []
    )
    if not found:
        raise InputError(f'"{word}" is not in the prompt "{text}"')
    if not number:
        return found, None
    if not number.isdigit() or not 1 <= int(number) <= len(found):
        raise InputError(f'there is no {name}: "{word}" is in the prompt {len(found)} times')
    return found, int(number)

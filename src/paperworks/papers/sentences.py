"""Where the sentences of a paper begin and end.

Papers are full of full stops that end nothing ("et al.", "Fig. 2", "i.i.d.", "3.5", "J. Smith"), and of lines that
are no prose (rows of a table, items of a list). Sentences are spans of the text, so that what quotes them keeps their
place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

# Never the end of a sentence: something that belongs to them follows.
_OPEN = re.compile(
    r"figs?|eq[ns]?s?|sec[st]?s?|tabs?|refs?|appx?|alg|thm|prop|def|lem|cor|e\.?g|i\.?e|vs|cf|viz|approx|resp|w\.?r\.?t|"
    r"dr|prof|mrs?|ms|st|nos?|vol|pp?|ch|eds?|dept|univ|ca|incl|esp|conf|proc"
)
# The end of a sentence only where a word follows that usually begins one.
_EITHER = re.compile(r"al|etc|i\.?i\.?d|a\.?k\.?a|u\.s|u\.k|e\.u|ph\.d|inc|ltd|co|corp|jr|sr|[ap]\.m")
_STARTERS = re.compile(
    r"the|an?|we|our|this|these|those|that|in|on|for|its?|they|their|as|to|however|moreover|furthermore|while|when|although|"
    r"since|if|both|here|each|all|such|there|unlike|by|with|from|at|given|thus|then|hence|finally|second|third|next|"
    r"also|additionally|instead|after|before|during|using|under|one|two"
)
_PARAGRAPH = re.compile(r"\S(?:.*\S)?(?:\n[^\S\n]*\S.*)*")
_ROW = re.compile(r"^(?:.* \| .*|\|.*)$")
_ITEM = re.compile(r"^\s*(?:[-*•‣▪◦]\s|\(?\d{1,2}[.)]\s|\([a-z]\)\s)")
_BULLET = re.compile(r"\s*[-*•‣▪◦]\s+")
_STOP = re.compile(
    r"""(?P<mark>[.!?…]+|[。！？]+)(?P<close>[)\]}"'”’»」』]*)(?P<cite>(?:\[[\d,\s–-]+\])?)(?P<gap>\s+|$|(?<=[。！？」』]))"""
)
_WORD_BEFORE = re.compile(r"[A-Za-z](?:[A-Za-z.]*[A-Za-z])?$")


def paragraphs(text: str) -> Iterator[Span]:
    """The spans of the paragraphs of `text`: what stands between blank lines."""
    for found in _PARAGRAPH.finditer(text):
        yield found.span()


def sentences(text: str) -> list[Span]:
    """The spans of the sentences of `text`, in order, without the space and the bullets before them.

    A paragraph, a row of a table (cells joined by ` | `) and an item of a list end a sentence in any case.
    """
    spans: list[Span] = []
    for first, last in paragraphs(text):
        for start, end in _pieces(text, first, last):
            spans += _in_piece(text, start, end)
    return spans


def _pieces(text: str, first: int, last: int) -> Iterator[Span]:
    """A paragraph broken before and after rows of a table and before items of a list; other line breaks are spaces."""
    start = position = first
    for line in text[first:last].splitlines(keepends=True):
        bare = line.rstrip("\n")
        row = bool(_ROW.match(bare))
        if (row or _ITEM.match(bare)) and position > start:
            yield start, position
            start = position
        position += len(line)
        if row:
            yield start, position
            start = position
    if position > start:
        yield start, position


def _in_piece(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for stop in _STOP.finditer(text, start, end):
        if _ends_here(text, begin, stop, end):
            yield from _bare(text, begin, stop.start("gap"))
            begin = stop.end()
    yield from _bare(text, begin, end)


def _bare(text: str, start: int, end: int) -> Iterator[Span]:
    mark = _BULLET.match(text, start, end)
    start = mark.end() if mark else start
    piece = text[start:end]
    if piece.strip():
        yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _ends_here(text: str, begin: int, stop: re.Match[str], end: int) -> bool:
    if stop.end() >= end or stop["mark"][0] in "。！？":
        return True
    following = re.match(r"""["'“‘«「『(\[]*([^\s"'“‘«(\[]+)""", text[stop.end() : min(end, stop.end() + 60)])
    word = following[1] if following else ""
    starts = bool(word) and (not word[0].islower() or any(letter.isupper() for letter in word[1:]))
    if not starts or word[0] in ",;:)=+<>%|":
        return False
    if stop["mark"] != ".":
        return True
    before = text[begin : stop.start()]
    if re.fullmatch(r"\s*\(?(?:\d{1,2}|[A-Za-z]|[IVX]{1,4})(?:\.\d{1,2})*", before):
        return False
    last = _WORD_BEFORE.search(before[-24:])
    if not last:
        return True
    known = bool(_STARTERS.fullmatch(word.strip(".,;:").casefold()))
    name = last[0].casefold()
    if _OPEN.fullmatch(name) and not stop["close"]:
        # "No." and the like are words too: only a number or a capital letter belongs to them.
        return name in ("no", "p", "app", "def", "cor", "co", "st") and known
    if _EITHER.fullmatch(name) or re.fullmatch(r"[A-Z](?:\.[A-Z])*", last[0]):
        return known
    return True

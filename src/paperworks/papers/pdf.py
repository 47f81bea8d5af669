"""Reads the text of a paper's PDF: its sections by their headings, without running heads, page numbers and references.

A PDF has lines on pages, not sentences in sections. Words that were divided at a line's end are joined, lines become
paragraphs, captions and table rows step out of the text that they interrupt, and a heading is a line that looks like
one and has the number that comes next.
"""

from __future__ import annotations

import io
import logging
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from paperworks.papers.latexml import Unusable
from paperworks.papers.source import Section

logging.getLogger("pypdf").addHandler(
    logging.NullHandler()
)  # it reports every oddity of a PDF on standard error

_CHARACTERS = {0xAD: None, 0xA0: " ", 0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"}
_CHARACTERS |= {0xFB05: "st", 0xFB06: "st", 0x200B: None, 0xFEFF: None, 0x2010: "-", 0x2011: "-"}
_STAMP = re.compile(r"arXiv:\S+\s*\[[\w.-]+\]\s+\d{1,2}\s+\w{3}\s+\d{4}")
_SMALL_CAPITALS = re.compile(r"\b([A-Z]) (?=[A-Z]{2,}\b)")
_NUMBERED = re.compile(r"((?:\d{1,2}|[A-Z])(?:\.\d{1,2}){0,3})(\.?)\s+(\S.*)")
_ROMAN = re.compile(r"([IVX]{1,5})\.\s+([A-Z][A-Z\s,&:-]+)")
_NAMED = re.compile(
    r"abstract|introduction|background|preliminaries|methods?|methodology|approach|experiments|experimental setup|"
    r"evaluation|results|discussion|limitations|conclusions?(?: and future work)?|acknowledge?ments|related works?|"
    r"references|bibliography|ethics statement|broader impact|reproducibility statement",
    re.IGNORECASE,
)
_APPENDIX = re.compile(r"(?:appendix|appendices|supplementary materials?)\b[^.]{0,60}", re.IGNORECASE)
_NO_TITLE = re.compile(r"\W*|untitled.*|microsoft word.*|\S+\.(?:docx?|tex|dvi|pdf)", re.IGNORECASE)
_REFERENCES = {"references", "bibliography"}
_ABSTRACT = re.compile(r"(?:(?:ABSTRACT|Abstract)\s*[.:\u2013\u2014-]+\s*|ABSTRACT\s+)(?=[A-Z])")
_CAPTION = re.compile(
    r"((?:Figure|Fig\.|Table|Algorithm|TABLE|FIGURE)\s+(?:\d+|[A-Z]\.?\d+|[IVX]+))\s*[:.|]\s*(?=\S)"
)
_SENTENCE_STARTS = {"We", "Our", "It", "This", "These", "In", "For", "To", "If", "When", "As"}
_REFERENCE_LIKE = re.compile(r"\b(?:19|20)\d\d[a-z]?\b\s*[.,)]|arXiv preprint|Proceedings|In Proc")
_NUMBER = re.compile(r"[-+~\u2212]?\d[\d.,]*(?:[%xKMB\u00d7]|\u00b1[\d.]+)?|[-\u2013\u2014]")
_ENDS = (".", "!", "?", ":")
_CAPTION_LINES = 15


def read_pdf(content: bytes, *, least: int = 0) -> tuple[Section, ...]:
    """The sections of a paper in PDF, the title first.

    Raises `Unusable` for what is no PDF, cannot be opened, or holds fewer than `least` readable characters.
    """
    title, pages = _pages(content)
    text = "".join(line for page in pages for line in page)
    if len(text) < max(least, 1):
        raise Unusable(f"the PDF has no text ({len(text)} characters; is it scanned?)")
    if sum(map(str.isalpha, text)) < len(text.replace(" ", "")) / 2 or text.count("(cid:") > len(text) / 50:
        raise Unusable("the text of the PDF is not readable")
    return tuple(_Sorter(_without_running_heads(pages)).sections(title))


def _pages(content: bytes) -> tuple[str, list[list[str]]]:
    from pypdf import PdfReader

    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            reader.decrypt("")
        title = str((reader.metadata and reader.metadata.title) or "")
        pages = [page.extract_text() for page in reader.pages]
    except Exception as error:  # a damaged file can fail anywhere in the parser, with any kind of error
        reason = " ".join(str(error).split())[:100]
        raise Unusable(f"the PDF cannot be opened ({reason or type(error).__name__})") from error
    lines = [[_clean(line) for line in page.split("\n")] for page in pages]
    title = "" if _NO_TITLE.fullmatch(title) else _clean(title)
    return title, [[line for line in page if line] for page in lines]


def _clean(line: str) -> str:
    line = line.translate(_CHARACTERS).encode(errors="replace").decode()
    return " ".join(_STAMP.sub("", line).split())


def _without_running_heads(pages: Sequence[Sequence[str]]) -> list[str]:
    """All lines, without those at the top or bottom of pages that are only a number or come back on other pages."""

    def key(line: str) -> str:
        return re.sub(r"\d+", "#", line).casefold()

    edges = [{*range(min(2, len(page))), *range(max(len(page) - 2, 0), len(page))} for page in pages]
    seen = Counter(
        name for page, edge in zip(pages, edges, strict=True) for name in {key(page[place]) for place in edge}
    )
    return [
        line
        for page, edge in zip(pages, edges, strict=True)
        for place, line in enumerate(page)
        if not (place in edge and (key(line) in ("#", "page #", "- # -") or seen[key(line)] >= 3))
    ]


@dataclass
class _Part:
    heading: str = ""
    lines: list[str] = field(default_factory=list)
    floats: list[_Part] = field(default_factory=list)


class _Sorter:
    """Sorts the lines of a paper into sections, captions and table rows."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.width = statistics.median([len(line) for line in lines if len(line) > 20] or [80])
        self.words = Counter(word for line in lines for word in re.findall(r"[\w-]*\w", line.casefold()))
        self.number: tuple[int, ...] = (0,)
        self.letter: tuple[int, ...] = (64,)
        self.dotted: bool | None = None
        self.after_references = False

    def sections(self, title: str) -> Iterator[Section]:
        parts = self._parts()
        named = [part.heading.casefold() for part in parts]
        if "abstract" in named[:3]:
            front = parts[: named.index("abstract")]
            parts = parts[named.index("abstract") :]
            title = title or (front[0].lines[:1] or [""])[0] if front else title
        if title:
            yield Section("Title", title)
        for part in parts:
            for piece in (part, *part.floats):
                text = "\n\n".join(self._paragraphs(piece.lines))
                if text or piece.heading:
                    yield Section(piece.heading, text)

    def _parts(self) -> list[_Part]:
        parts, skipping, caption = [_Part()], False, 0
        table: _Part | None = None
        for place, line in enumerate(self.lines):
            heading = self._heading(place, skipping)
            if heading:
                skipping = re.sub(r"[^a-z]", "", heading.casefold()) in _REFERENCES
                self.after_references |= skipping
                caption, table = 0, None
                if not skipping:
                    parts.append(_Part(heading))
            elif skipping:
                continue
            elif len(parts) <= 2 and (abstract := _ABSTRACT.match(_SMALL_CAPITALS.sub(r"\1", line))):
                parts.append(_Part("Abstract", [_SMALL_CAPITALS.sub(r"\1", line)[abstract.end() :]]))
            elif match := _CAPTION.match(line):
                parts[-1].floats.append(_Part(match[1].capitalize(), [line[match.end() :]]))
                table = parts[-1].floats[-1] if match[1].lower().startswith("table") else None
                caption = 0 if line.endswith(_ENDS[:3]) else _CAPTION_LINES
            elif caption:
                parts[-1].floats[-1].lines.append(line)
                caption = 0 if line.endswith(_ENDS[:3]) else caption - 1
            elif _is_row(line):
                if table is None:
                    table = _Part()
                    parts[-1].floats.append(table)
                table.lines.append(f"\n{line}")
            else:
                parts[-1].lines.append(line)
        return parts

    def _heading(self, place: int, skipping: bool) -> str | None:
        line = _SMALL_CAPITALS.sub(r"\1", self.lines[place])
        if len(line) > 90 or line.endswith((",", ";", "-", ":")) or len(line.split()) > 14:
            return None
        name = re.sub(r"^(?:\d{1,2}|[A-Z]|[IVX]+)\.?\s+", "", line).rstrip(".").casefold()
        if name in _REFERENCES or (_NAMED.fullmatch(line.rstrip(".")) and not skipping):
            return line.rstrip(".")
        if _APPENDIX.fullmatch(line):
            self.after_references = True
            return line
        if match := _ROMAN.fullmatch(line):
            return line if not skipping and len(match[2]) > 3 else None
        match = _NUMBERED.fullmatch(line)
        if not match or not _looks_like_a_heading(match[3]):
            return None
        return line if self._comes_next(match[1], match[2] == ".", place, skipping) else None

    def _comes_next(self, label: str, dotted: bool, place: int, skipping: bool) -> bool:
        first, *rest = label.split(".")
        here = (int(first) if first.isdigit() else ord(first), *map(int, rest))
        if not first.isdigit():
            following = self.lines[place + 1 : place + 9]
            if not self.after_references or sum(bool(_REFERENCE_LIKE.search(line)) for line in following) > 1:
                return False
            if _follows(self.letter, here):
                self.letter = here
                return True
            return False
        if skipping or not _follows(self.number, here) or (not rest and self.dotted not in (None, dotted)):
            return False
        self.number = here
        if not rest:
            self.dotted = dotted
        return True

    def _paragraphs(self, lines: Sequence[str]) -> Iterator[str]:
        text = ""
        for line in lines:
            if line.startswith("\n"):
                text = f"{text}{line}" if text and "\n" in text[1:] else f"{text}\n{line}"
            elif not text:
                text = line.lstrip("\u2022\u25e6\u25aa ")
            elif line.startswith(("\u2022", "\u25e6", "\u25aa")):
                yield text.strip()
                text = line.lstrip("\u2022\u25e6\u25aa ")
            else:
                text = self._joined(text, line)
            if len(line) < 0.8 * self.width and line.endswith(_ENDS):
                yield text.strip()
                text = ""
        if text.strip():
            yield text.strip()

    def _joined(self, text: str, line: str) -> str:
        if not re.search(r"\w-$", text):
            return f"{text} {line}"
        head, tail = text[:-1], line
        start, end = re.search(r"[\w-]*\w$", head), re.match(r"\w[\w-]*", tail)
        if not start or not end or not tail[0].islower() or head[-1].isdigit():
            return text + line
        whole = (start[0] + end[0]).casefold()
        divided = f"{start[0]}-{end[0]}".casefold()
        return text + line if self.words[divided] and not self.words[whole] else head + tail


def _looks_like_a_heading(title: str) -> bool:
    words = title.split()
    long = [word for word in words if len(word) > 3]
    return (
        title[0].isupper()
        and re.search(r"[A-Za-z]{3}", title) is not None
        and not title.endswith((".", "!"))
        and words[0] not in _SENTENCE_STARTS
        and sum(map(str.isdigit, title)) <= len(title) / 5
        and not re.search(r"[=<>@\u2264\u2265]", title)
        and (len(words) <= 6 or sum(word[0].isupper() for word in long) >= len(long) / 2)
    )


def _follows(last: tuple[int, ...], here: tuple[int, ...]) -> bool:
    """Whether the number `here` can come after `last`: one deeper, or one or two further at any depth."""
    if here == (*last, 1):
        return True
    depth = len(here) - 1
    return depth < len(last) and here[:depth] == last[:depth] and 1 <= here[depth] - last[depth] <= 2


def _is_row(line: str) -> bool:
    words = line.split()
    numbers = sum(bool(_NUMBER.fullmatch(word)) for word in words)
    return numbers >= 3 and numbers >= 0.4 * len(words)

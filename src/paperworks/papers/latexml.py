"""Reads the HTML that LaTeXML makes of a paper (arxiv.org/html/ID): its sections as plain text, in the paper's order.

The page is walked once from start to end. Navigation, authors, references and error markers are passed over; formulas
become plain text, a table's rows become lines, a footnote follows the paragraph it belongs to, and a captioned figure
or table becomes a section of its own behind the section in which it stands. Other HTML is read by its headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from paperworks.papers.plainmath import plain_math
from paperworks.papers.source import Section

if TYPE_CHECKING:
    from lxml.html import HtmlElement


class Unusable(ValueError):
    """What was fetched is not the text of a paper; the message is the reason, in a few words."""


def _kinds(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


_CLASSES = {
    **_kinds(
        "passed",
        "ltx_bibliography ltx_biblist ltx_page_navbar ltx_TOC ltx_toc ltx_pagination ltx_page_footer ltx_page_header "
        "ltx_page_logo ltx_ERROR ltx_authors ltx_author_notes ltx_dates ltx_listing_data ltx_rdf ltx_note_mark "
        "ltx_tag_note ltx_note_type ltx_tag_equation ltx_tag_equationgroup ltx_eqn_eqno ltx_missing_label "
        "ltx_missing_citation ltx_classification ltx_pubnote ltx_role_thanks ltx_index ltx_tag_listingline",
    ),
    **_kinds("title", "ltx_title_document"),
    **_kinds("heading", "ltx_title_part ltx_title_chapter ltx_title_section ltx_title_subsection"),
    **_kinds(
        "heading", "ltx_title_subsubsection ltx_title_appendix ltx_title_abstract ltx_title_acknowledgements"
    ),
    **_kinds("run-in", "ltx_title"),
    **_kinds("abstract", "ltx_abstract"),
    **_kinds("cite", "ltx_cite"),
    **_kinds("note", "ltx_note"),
    **_kinds("caption", "ltx_caption"),
    **_kinds("gap", "ltx_eqn_row ltx_eqn_cell"),
    **_kinds("equation", "ltx_equation ltx_equationgroup ltx_eqn_table"),
    **_kinds("item tag", "ltx_tag_item"),
    **_kinds("tag", "ltx_tag"),
    **_kinds("line", "ltx_listingline"),
    **_kinds("table", "ltx_tabular"),
    **_kinds("row", "ltx_tr"),
    **_kinds("cell", "ltx_td"),
    **_kinds("paragraph", "ltx_p"),
    **_kinds("block", "ltx_para ltx_listing"),
}
_PASSED_TAGS = _kinds(
    "passed",
    "nav script style head button form svg img picture iframe noscript template select object footer",
)
_TAGS = {
    **_kinds("float", "figure"),
    **_kinds("caption", "figcaption caption"),
    **_kinds("heading", "h1 h2 h3 h4 h5 h6"),
    **_kinds("table", "table"),
    **_kinds("row", "tr"),
    **_kinds("cell", "td th"),
    **_kinds("paragraph", "p"),
    **_kinds("sup", "sup"),
    **_kinds("gap", "br"),
    **_kinds(
        "block",
        "article aside blockquote body dd details div dl dt fieldset header hr li main ol pre section",
    ),
    **_kinds("block", "summary ul"),
}

_LINE_END = "\x1e"
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, *range(0x2060, 0x2065), 0xFEFF])
_NUMBERS_ONLY = re.compile(r"[\[(]?[\d,;\s\u2013-]*[\])]?")
_LEANS_ON_CITATION = re.compile(
    r"(?:\b(?:and|as|by|from|in|of|on|or|see|than|to|with|following)|^|[(,])$", re.IGNORECASE
)
_ENUMERATOR = re.compile(r"[\W\d_]*|\(?[a-zA-Z\d]{1,4}[.)]|\[[a-zA-Z\d]{1,3}\]")
_POWER = re.compile(r"[-+\u2212]?\d+(?:\.\d+)?")
_NO_PAPER = ("No HTML for", "HTML is not available for the source", "HTML had a Fatal error")
_WIDEST = 100  # columns or rows that one cell may span


def read_html(content: bytes, charset: str | None = None, *, least: int = 0) -> tuple[Section, ...]:
    """The sections of a paper in HTML, the title first; `charset` is what the server declared.

    Raises `Unusable` for a page that says that there is no HTML of the paper, and where the sections after title and
    abstract hold fewer than `least` characters.
    """
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        page = html.document_fromstring(_decoded(content, charset).encode(), parser=parser)
    except etree.ParserError as error:
        raise Unusable("the HTML is empty") from error
    papers = page.find_class("ltx_document")
    if (not papers or page.find_class("ltx_ERROR")) and any(
        note in page.text_content() for note in _NO_PAPER
    ):
        raise Unusable("the server could not make HTML of it")
    roots = papers or page.findall(".//article") or page.findall(".//main") or [page]
    sections = tuple(_Walk().sections(roots[0]))
    body = sum(len(section.text) for section in sections if section.heading not in ("Title", "Abstract"))
    if body < least or not sections:
        raise Unusable(f"the HTML has no text beyond the abstract ({body} characters)")
    return sections


def _decoded(content: bytes, charset: str | None) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = re.search(rb"<meta[^>]+charset=[\"']?([\w-]+)", content[:2048])
        try:
            text = content.decode(
                charset or (declared[1].decode() if declared else "cp1252"), errors="replace"
            )
        except LookupError:
            text = content.decode("cp1252", errors="replace")
    return text.replace("\0", "").encode(errors="replace").decode()


@lru_cache(maxsize=4096)
def _kind(tag: str, classes: str) -> str:
    names = set(classes.split())
    if tag in ("math", "figure") and "ltx_ERROR" not in names:
        return _TAGS.get(tag, tag)
    if tag in _PASSED_TAGS:
        return "passed"
    return next((_CLASSES[name] for name in _CLASSES if name in names), _TAGS.get(tag, "inline"))


@dataclass
class _Part:
    heading: str = ""
    paragraphs: list[str] = field(default_factory=list)
    floats: list[_Part] = field(default_factory=list)

    def sections(self, is_float: bool = False) -> Iterator[Section]:
        if self.paragraphs or (self.heading and not is_float):
            yield Section(self.heading, "\n\n".join(self.paragraphs))
        for part in self.floats:
            yield from part.sections(is_float=True)


Cell = tuple[str, int, int]


class _Walk:
    """One pass over a page. `text` is what is being collected: a paragraph, or a cell, caption, heading or note.

    While one of the latter is open, `outer` holds what was being collected around it, and blocks only leave a space.
    """

    def __init__(self) -> None:
        self.parts = [_Part()]
        self.floats: list[_Part] = []
        self.text: list[str] = []
        self.outer: list[list[str]] = []
        self.marks: list[int] = []
        self.notes: list[str] = []
        self.run_in = ""
        self.rows: list[list[Cell]] | None = None
        self.break_pending = False
        self.after_equation = False

    def sections(self, root: HtmlElement) -> Iterator[Section]:
        from lxml.etree import iterwalk

        walk = iterwalk(root, events=("start", "end"))
        opened: list[str] = []
        for event, element in walk:
            if event == "start":
                kind = _kind(element.tag, element.get("class") or "")
                opened.append(self._start(kind, element))
                if kind in ("passed", "math"):
                    walk.skip_subtree()
                elif element.text:
                    self._add(element.text)
            else:
                self._end(opened.pop(), element)
                if element.tail and element is not root:
                    self._add(element.tail)
        self._flush()
        self._emit(self.run_in)
        for part in self.parts:
            yield from part.sections()

    def _start(self, kind: str, element: HtmlElement) -> str:
        """Open an element; what is returned says how to close it."""
        match kind:
            case "math":
                self._add(_formula(element))
            case "block" | "abstract":
                self._block()
                if kind == "abstract":
                    self.parts.append(_Part("Abstract"))
            case "paragraph":
                self._paragraph()
            case "equation":
                self.break_pending = self.break_pending and bool(self.outer)
                self.text.append(" ")
            case "gap":
                self.text.append(" ")
            case "cite" | "item tag" | "sup":
                if self.break_pending and not self.outer:
                    self._flush()
                self.marks.append(len(self.text))
            case "float" | "table" | "row" | "cell" if self.outer:
                self.text.append(" ")
                return "gap"
            case "row" | "cell" if self.rows is None:
                self._block()
                return "block"
            case "float":
                self._block()
                self.floats.append(_Part())
            case "table":
                self._block()
                self.rows = []
            case "row":
                self.rows = [*(self.rows or []), []]
            case "title" | "heading" | "run-in" | "caption":
                self._block()
                self._collect()
            case "note" | "cell":
                self._collect()
        return kind

    def _end(self, kind: str, element: HtmlElement) -> None:
        match kind:
            case "block" | "abstract":
                self._block()
                if kind == "abstract":
                    self.parts.append(_Part())
            case "paragraph" if not self.outer:
                self.break_pending = True
            case "equation":
                self.text.append(" ")
                self.after_equation = not self.outer
            case "gap" | "tag" | "paragraph":
                self.text.append(" ")
            case "line":
                self.text.append(_LINE_END)
            case "cite" | "item tag" | "sup":
                self._mark_ends(kind)
            case "float":
                self._block()
                self._place(self.floats.pop())
            case "table":
                rows, self.rows = self.rows, None
                self._emit("\n".join(_lines(rows or [])))
                self._emit_notes()
            case "cell":
                cell = (self._collected(), *_spans(element))
                self.rows = self.rows or [[]]
                self.rows[-1].append(cell)
            case "note":
                self.notes.append(self._collected())
            case "caption":
                self._caption(self._collected(), element)
            case "title" | "heading" | "run-in":
                self._heading(kind, self._collected())

    def _add(self, text: str) -> None:
        if self.break_pending and not self.outer and not text.isspace():
            self._flush()
        self.text.append(text)

    def _block(self) -> None:
        if self.outer:
            self.text.append(" ")
        else:
            self._flush()
            self.after_equation = False

    def _paragraph(self) -> None:
        # The break between two `p` is made when text follows: a sentence stays whole around a displayed formula.
        if self.outer or self.after_equation:
            self.text.append(" ")
        else:
            self.break_pending = True
        self.after_equation = False

    def _flush(self) -> None:
        text, self.text, self.break_pending = _normal(self.text), [], False
        if text:
            text, self.run_in = f"{self.run_in} {text}".strip(), ""
            self._emit(text)
        self._emit_notes()

    def _emit(self, paragraph: str) -> None:
        if paragraph:
            (self.floats or self.parts)[-1].paragraphs.append(paragraph)

    def _emit_notes(self) -> None:
        if not self.outer:
            notes, self.notes = self.notes, []
            for note in notes:
                self._emit(note)

    def _collect(self) -> None:
        self.outer.append(self.text)
        self.text = []

    def _collected(self) -> str:
        text, self.text = _normal(self.text), self.outer.pop()
        return text

    def _mark_ends(self, kind: str) -> None:
        start = self.marks.pop()
        content = "".join(self.text[start:]).strip()
        before = "".join(self.text[max(start - 3, 0) : start])
        if kind == "sup":
            if _POWER.fullmatch(content) and (before[-1:].isalnum() or before[-1:] == ")"):
                self.text.insert(start, "^")
        elif kind == "item tag":
            del self.text[start:]
            if not _ENUMERATOR.fullmatch(content):
                self.run_in = f"{self.run_in} {_normal([content])}".strip()
        elif _NUMBERS_ONLY.fullmatch(content) and not _LEANS_ON_CITATION.search(before[-12:].rstrip()):
            del self.text[start:]
            while self.text and not self.text[-1].rstrip():
                self.text.pop()
            self.text[-1:] = [part.rstrip() for part in self.text[-1:]]

    def _heading(self, kind: str, text: str) -> None:
        if self.outer or self.floats:
            self._add(f"{text} ")
        elif kind == "title":
            self.notes = []
            self.parts += [_Part("Title", [text]), _Part()]
        elif kind == "run-in":
            self.run_in = text if text.endswith((".", ":", "?", "!")) else f"{text}."
        elif self.parts[-1].heading == "Abstract" and not self.parts[-1].paragraphs:
            self.parts[-1].heading = text or "Abstract"
        else:
            self._emit(self.run_in)
            self.run_in = ""
            self.parts.append(_Part(text))
        self._emit_notes()

    def _caption(self, text: str, element: HtmlElement) -> None:
        tags = element.find_class("ltx_tag")
        tag = _normal([tags[0].text_content()]) if tags else ""
        label = tag.rstrip(".: ")
        if not self.floats or not label or label.startswith("("):
            self._emit(text)
        else:
            caption = text.removeprefix(tag).strip()
            part = self.floats[-1]
            if part.heading:
                part.floats.append(_Part(label, [caption]))
            else:
                part.heading = label
                part.paragraphs[:0] = [caption] if caption else []
        self._emit_notes()

    def _place(self, part: _Part) -> None:
        around = (self.floats or self.parts)[-1]
        if part.heading:
            around.floats.append(part)
        else:
            around.paragraphs += part.paragraphs
            around.floats += part.floats


def _formula(element: HtmlElement) -> str:
    tex = element.get("alttext")
    if tex is None:
        notes = (note for note in element.iter("annotation") if note.get("encoding") == "application/x-tex")
        tex = next((note.text_content() for note in notes), None)
    if tex is not None:
        return plain_math(tex)
    return " ".join(element.text_content().split())


def _spans(element: HtmlElement) -> tuple[int, int]:
    def span(name: str) -> int:
        value = element.get(name) or ""
        return min(max(int(value[:6]), 1), _WIDEST) if value.isascii() and value.isdigit() else 1

    return span("colspan"), span("rowspan")


def _lines(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """A table as lines: a cell over several rows is in each of them, columns that are empty throughout are left out."""
    grid: list[dict[int, str]] = [{} for _ in rows]
    for number, row in enumerate(rows):
        column = 0
        for text, columns, height in row:
            while column in grid[number]:
                column += 1
            for below in grid[number : number + height]:
                below.update({column: text} | dict.fromkeys(range(column + 1, column + columns), ""))
            column += columns
    used = sorted({column for row in grid for column, text in row.items() if text})
    lines = (" | ".join(row.get(column, "") for column in used) for row in grid if any(row.values()))
    return [line.rstrip(" |") for line in lines]


def _normal(text: Sequence[str]) -> str:
    lines = "".join(text).translate(_INVISIBLE).split(_LINE_END)
    joined = "\n".join(" ".join(line.split()) for line in lines).strip("\n")
    return re.sub(r" +([,.;:!?])(?=\s|$)", r"\1", joined)

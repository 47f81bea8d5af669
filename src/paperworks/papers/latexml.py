"""Reads the HTML that LaTeXML makes of a paper (arxiv.org/html/ID): its sections as plain text, in the paper's order.

The page is walked once from start to end. Navigation, authors, references and error markers are passed over; formulas
become plain text, a table's rows become lines, a footnote follows the paragraph it belongs to, and a captioned figure
or table becomes a section of its own behind the section in which it stands. Other HTML is read by its headings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from paperworks.papers.plainmath import plain_math
from paperworks.papers.source import Section

if TYPE_CHECKING:
    from lxml.etree import _Element

_PASSED_TAGS = set("nav script style head button form svg img picture iframe noscript template select object".split())
_PASSED = set(
    "ltx_bibliography ltx_biblist ltx_page_navbar ltx_TOC ltx_toc ltx_pagination ltx_page_footer ltx_page_header "
    "ltx_page_logo ltx_ERROR ltx_authors ltx_author_notes ltx_dates ltx_date ltx_listing_data ltx_rdf ltx_note_mark "
    "ltx_tag_note ltx_note_type ltx_tag_equation ltx_tag_equationgroup ltx_missing_label ltx_missing_citation "
    "ltx_classification ltx_pubnote ltx_role_thanks ltx_role_submissionid ltx_eqn_eqno ltx_index "
    "ltx_tag_listingline".split()
)
_KINDS = {
    "ltx_title_document": "title",
    "ltx_abstract": "abstract",
    "ltx_cite": "cite",
    "ltx_note": "note",
    "ltx_caption": "caption",
    "ltx_equation": "equation",
    "ltx_equationgroup": "equation",
    "ltx_eqn_table": "equation",
    "ltx_eqn_row": "gap",
    "ltx_eqn_cell": "gap",
    "ltx_eqn_inline": "gap",
    "ltx_tag_item": "item tag",
    "ltx_tag": "tag",
    "ltx_listingline": "line",
    "ltx_tabular": "table",
    "ltx_tr": "row",
    "ltx_td": "cell",
    "ltx_p": "paragraph",
    "ltx_para": "block",
    "ltx_listing": "block",
}
_HEADINGS = {f"ltx_title_{level}" for level in ("part", "chapter", "section", "subsection", "subsubsection")}
_HEADINGS |= {"ltx_title_appendix", "ltx_title_abstract", "ltx_title_acknowledgements"}
_TAG_KINDS = {"math": "math", "figure": "float", "figcaption": "caption", "caption": "caption", "table": "table"}
_TAG_KINDS |= {"tr": "row", "td": "cell", "th": "cell", "p": "paragraph", "sup": "sup", "br": "gap", "footer": "passed"}
_TAG_KINDS |= dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading")
_TAG_KINDS |= dict.fromkeys(
    "article aside blockquote body dd details div dl dt fieldset header hr li main ol pre section summary ul".split(),
    "block",
)
_COLLECTED = {"title", "heading", "run-in", "caption", "cell", "note"}

_LINE_END = "\x1e"
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, *range(0x2060, 0x2065), 0xFEFF])
_NUMBERS_ONLY = re.compile(r"[\[(]?[\d,;\s\u2013-]*[\])]?")
_ENUMERATOR = re.compile(r"[\W\d_]*|\(?[a-zA-Z\d]{1,4}[.)]|\[[a-zA-Z\d]{1,3}\]")
_POWER = re.compile(r"[-+\u2212]?\d+(?:\.\d+)?")
_LABEL = re.compile(r"((?:[A-Z]\w+\.? )?[\w.-]*\w)[:.]?")
_NO_PAPER = ("No HTML for", "HTML is not available for the source", "HTML had a Fatal error")


class Unusable(ValueError):
    """What was fetched is not the text of a paper; the message is the reason, in a few words."""


def read_html(content: bytes, charset: str | None = None, *, least: int = 0) -> tuple[Section, ...]:
    """The sections of a paper in HTML, the title first; `charset` is what the server declared.

    Raises `Unusable` for a page that says that there is no HTML of the paper, and where the sections after title and
    abstract hold fewer than `least` characters.
    """
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        page = html.document_fromstring(_decoded(content, charset).encode(), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise Unusable("the HTML is empty") from error
    papers = page.find_class("ltx_document")
    if any(note in page.text_content() for note in _NO_PAPER) and (
        not papers or page.find_class("ltx_ERROR") or page.find_class("ar5iv-severity-fatal")
    ):
        raise Unusable("the server has no HTML of it")
    roots = papers or page.findall(".//article") or page.findall(".//main") or [page]
    sections = tuple(_Walk().sections(roots[0]))
    body = sum(len(section.text) for section in sections if section.heading not in ("Title", "Abstract"))
    if body < least or not sections:
        raise Unusable(f"the HTML has no text of the paper beyond its abstract ({body} characters)")
    return sections


def _decoded(content: bytes, charset: str | None) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = re.search(rb"<meta[^>]+charset=[\"']?([\w-]+)", content[:2048])
        try:
            text = content.decode(charset or (declared[1].decode() if declared else "cp1252"), errors="replace")
        except LookupError:
            text = content.decode("cp1252", errors="replace")
    return text.replace("\0", "")


@lru_cache(maxsize=4096)
def _kind(tag: str, classes: str) -> str:
    names = classes.split()
    if tag in _PASSED_TAGS or not _PASSED.isdisjoint(names):
        return "passed"
    if tag in ("math", "figure"):
        return _TAG_KINDS[tag]
    if not _HEADINGS.isdisjoint(names):
        return "heading"
    for name in _KINDS:
        if name in names:
            return _KINDS[name]
    if "ltx_title" in names:
        return "run-in"
    return _TAG_KINDS.get(tag, "inline")


@dataclass
class _Part:
    heading: str = ""
    paragraphs: list[str] = field(default_factory=list)
    floats: list[_Part] = field(default_factory=list)

    def sections(self) -> Iterator[Section]:
        if self.paragraphs:
            yield Section(self.heading, "\n\n".join(self.paragraphs))
        for part in self.floats:
            yield from part.sections()


class _Walk:
    """One pass over the page. `text` collects the current paragraph, or the current cell, caption or heading."""

    def __init__(self) -> None:
        self.parts = [_Part()]
        self.floats: list[_Part] = []
        self.text: list[str] = []
        self.outer: list[list[str]] = []  # what was being collected around the current cell, caption, heading or note
        self.starts: list[int] = []  # where in `text` the open citations, item tags and superscripts start
        self.notes: list[str] = []
        self.run_in = ""
        self.rows: list[list[tuple[str, int, int]]] | None = None
        self.nested = 0
        self.break_pending = False
        self.after_equation = False

    def sections(self, root: _Element) -> Iterator[Section]:
        from lxml.etree import iterwalk

        walk = iterwalk(root, events=("start", "end"))
        for event, element in walk:
            kind = _kind(element.tag, element.get("class") or "")
            if event == "start":
                if kind in ("passed", "math"):
                    walk.skip_subtree()
                self._handler("start", kind)(element)
                if element.text and kind not in ("passed", "math"):
                    self._add(element.text)
            else:
                self._handler("end", kind)(element)
                if element.tail and element is not root:
                    self._add(element.tail)
        self._end_block()
        for part in self.parts:
            yield from part.sections()

    def _handler(self, event: str, kind: str) -> Callable[[Any], None]:
        if kind in _COLLECTED and event == "start":
            return {"cell": self._start_cell, "note": self._start_note}.get(kind, self._start_collecting)
        name = f"_{event}_{kind.replace(' ', '_').replace('-', '_')}"
        return getattr(self, name, self._nothing)

    def _nothing(self, element: _Element) -> None:
        pass

    # Paragraphs. A break between two `p` is only made when text follows that is not a displayed formula, so that a
    # sentence stays whole around its formula.

    def _add(self, text: str) -> None:
        if self.break_pending and not text.isspace() and not self.outer:
            self._flush()
        self.text.append(text)

    def _flush(self) -> None:
        text = _normal(self.text)
        self.text, self.break_pending = [], False
        if text:
            text, self.run_in = f"{self.run_in} {text}".strip(), ""
            self._emit(text)
        self._emit_notes()

    def _emit(self, paragraph: str) -> None:
        (self.floats or self.parts)[-1].paragraphs.append(paragraph)

    def _emit_notes(self) -> None:
        if not self.outer:
            notes, self.notes = self.notes, []
            for note in notes:
                self._emit(note)

    def _end_block(self) -> None:
        if self.outer:
            self.text.append(" ")
        else:
            self._flush()
            self.after_equation = False

    def _start_block(self, element: _Element) -> None:
        self._end_block()

    def _end_block_(self, element: _Element) -> None:
        self._end_block()

    def _start_paragraph(self, element: _Element) -> None:
        if self.outer:
            self.text.append(" ")
        elif self.after_equation:
            self.after_equation = False
            self.text.append(" ")
        else:
            self.break_pending = True

"""The page as plain text for an e-mail or a terminal, wrapped by the width of its characters on the screen."""

from __future__ import annotations

import re

from rich.cells import cell_len

from paperworks.errors import InputError
from paperworks.papers.html import body_of
from paperworks.papers.marks import checked_line
from paperworks.papers.model import Page, Paper
from paperworks.papers.words import counted, date_in, interface_language, section_in, words_in

WIDTH = 76


def labelled_texts(paper: Paper, language: str) -> list[tuple[str, str]]:
    """The texts of a paper in their order, each with its section's label in `language`; points have no label.

    The last one says, where that is known, how the summary came about and which figures are doubtful.
    """
    texts: list[tuple[str, str]] = []
    for kind, content in body_of(paper):
        if kind == "section":
            texts.append((section_in(content[0], language), content[1]))
        elif kind == "bullet":
            texts.append(("", "\n".join("- " + re.sub(r"\n(?=.)", "\n  ", point) for point in content)))
        else:
            texts.append(("", content))
    checked = checked_line(paper, language).strip("_")
    return [*texts, ("", checked)] if checked else texts


def in_site_language(page: Page, language: str | None) -> tuple[Page, str]:
    """The page with its texts in `language` where it has them, and the interface's language: `ko` or `en`."""
    if language is not None and language in page.languages():
        page = page.in_language(language)
    return page, interface_language(language or page.language or "ko")


def heading(page: Page, tag: str) -> str:
    """`Daily Papers · 22 August 2024`."""
    return f"{words_in(tag)['daily papers']} · {date_in(page.date, tag)}"


def with_papers(page: Page, language: str | None) -> tuple[Page, str]:
    """`in_site_language`, for a page to send. Raises `InputError` where it has no papers."""
    if not page.papers:
        raise InputError(f"the page of {page.date} has no papers: there is nothing to send")
    return in_site_language(page, language)


def render_text(
    page: Page, *, language: str | None = None, link: str | None = None, width: int = WIDTH
) -> str:
    """The page as plain text of at most `width` columns; a Korean syllable is two, links stay whole.

    `language` is as in `render_html`; `link` is where the page is on the web.
    """
    page, tag = in_site_language(page, language)
    return text_of(page, tag, link, width)


def text_of(page: Page, tag: str, link: str | None, width: int = WIDTH) -> str:
    """`render_text` for a page and an interface that `in_site_language` gave."""
    top = heading(page, tag)
    lines = [top, "=" * cell_len(top), counted(len(page.papers), tag, "paper", "papers")]
    lines += [link] if link else []
    for place, paper in enumerate(page.papers, 1):
        lines += ["", "", *wrapped(f"{place}. {paper.title}", width, "   ")]
        votes = f"▲ {paper.votes}" if paper.votes is not None else ""
        lines += wrapped(
            " · ".join(part for part in (votes, ", ".join(paper.authors)) if part), width, "   ", "   "
        )
        lines += [f"   {address}" for address in (paper.url, paper.code) if address]
        for label, text in labelled_texts(paper, tag):
            lines.append("")
            lines += [f"   [{label}]"] if label else []
            for line in text.split("\n"):
                inner = "     " if line.startswith(("- ", "* ")) else "   "
                lines += wrapped(line, width, inner, "   ") or [""]
    return "\n".join(lines) + "\n"


def wrapped(text: str, width: int, indent: str = "", first: str = "") -> list[str]:
    """`text` in lines of at most `width` columns, broken at spaces; a longer word has a line of its own."""
    lines: list[str] = []
    line, empty = first, True
    for word in text.split():
        if not empty and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line, empty = indent, True
        line += word if empty else " " + word
        empty = False
    return lines if empty else [*lines, line]

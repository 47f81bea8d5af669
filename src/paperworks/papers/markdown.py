"""Reads and writes the page as Markdown.

The canonical form of a paper:

    ### [TITLE](https://arxiv.org/abs/ID)

    ![](THUMBNAIL)

    Vote: 41

    Authors: A, B, C

    - **What's New**: text
    - **Technical Details**: text

The parser is written for every page of the family, so it accepts far more than that: other heading levels, bold markers
and bullets, lists of authors in brackets, a video for the picture, missing or repeated lines. What fits no field is
kept as raw blocks in their place (`Paper.unplaced`, `Page.preamble`); nothing is dropped.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from paperworks.errors import InputError
from paperworks.papers.lines import Heading, read_heading, read_label, read_point, write_authors
from paperworks.papers.marks import checked_line
from paperworks.papers.measured import markdown_table
from paperworks.papers.model import Page, Paper, plain_text, usual_heading
from paperworks.papers.reader import Reader


def parse_markdown(text: str, *, strict: bool = False, date: datetime.date | None = None) -> Page:
    """The page that `text` holds.

    `date` is used where no heading has one. With `strict`, a line without a place raises `InputError` with its number:
    one before the first paper of a heading, or one under a paper that is neither a fact nor a point and does not read
    as text (`Rating: five stars`). Raises `InputError` for a text that is no such page: empty, binary, or without both
    a day's heading and a linked paper.
    """
    if "\0" in text:
        raise InputError("not a page of papers: the text is binary; give a Markdown file")
    reader = Reader(plain_text(text.removeprefix("\ufeff")).split("\n"))
    page = reader.page(date)
    if strict and reader.misplaced:
        number, line = reader.misplaced
        raise InputError(f"line {number} has no place on the page: {line[:80]!r}; move or remove it")
    return page


def render_markdown(page: Page, evidence: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> str:
    """The canonical Markdown of `page`.

    With `evidence` (arXiv id to evidence records, docs/evidence.md), each paper ends with a table of its claims:
    what the paper reports, what was measured here, the control, and the verdict.
    """
    parts = [f"## {page.heading or usual_heading(page.date)}", *page.preamble]
    batches = list(page.batches)
    for place in range(len(page.papers) + 1):
        while batches and batches[0].start == place:
            batch = batches.pop(0)
            parts += [f"## {batch.heading or usual_heading(batch.date)}", *batch.preamble]
        if place < len(page.papers):
            paper = page.papers[place]
            parts.append(_render_paper(paper))
            if line := checked_line(paper, page.language or "ko"):
                parts.append(line)
            if records := (evidence or {}).get(paper.arxiv_id or ""):
                parts.append(markdown_table(records, page.language or "ko"))
    return "\n\n".join(parts) + "\n\n"


def _render_paper(paper: Paper) -> str:
    bullets, texts = iter(paper.bullets), iter(paper.unplaced)
    sections = iter((paper.sections or {}).items())
    text, before = _title(paper), ""
    for block in paper.blocks():
        match block:
            case "thumbnail":
                line = f"![]({paper.thumbnail})"
            case "video":
                line = (
                    f"[Watch Video]({paper.video})\n"
                    f'<div><video controls src="{paper.video}" muted="false"></video></div>'
                )
            case "votes":
                line = f"Vote: {'-' if paper.votes is None else paper.votes}"
            case "authors":
                line = f"Authors: {write_authors(paper.authors)}"
            case "code":
                line = f"Code: {paper.code}"
            case "arxiv":
                line = f"arXiv: {paper.arxiv_id}"
            case "bullet":
                line = _item("- " + _protected(next(bullets)))
            case "section":
                line = _section(*next(sections))
            case "text":
                line = next(texts)
        listed = block in ("bullet", "section") and before in ("bullet", "section")
        text += ("\n" if listed else "\n\n") + line
        before = block
    return text


def _title(paper: Paper) -> str:
    plain = f"### {paper.title}"
    if paper.url is None and read_heading(plain) == Heading("paper", paper.title):
        return plain
    return f"### [{paper.title}]({paper.url or ''})"


def _section(name: str, text: str) -> str:
    begins_with_list = "\n" in text and read_point(text)[0] is not None
    return _item(f"- **{name}**:{chr(10) if begins_with_list else ' '}{text}".rstrip())


def _item(text: str) -> str:
    return re.sub(r"\n(?=[^\n])", "\n  ", text)


def _protected(bullet: str) -> str:
    """A point that reads like a section's label gets a backslash, so that it stays a point."""
    return "\\" + bullet if read_label(bullet.split("\n")[0].lstrip("\\")) else bullet

"""Draws the page as one self-contained HTML file: styles, script and figures inside, thumbnails loaded when seen.

Everything that comes from a page or from an evidence record is escaped; Markdown in texts is rendered without HTML and
without pictures, and only `http` and `https` links become links.
"""

from __future__ import annotations

import base64
import datetime
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from paperworks.papers.marks import notes_of, origin, page_score, score, to_html, with_marks
from paperworks.papers.measured import NOTHING, claim_text, format_measured, format_number
from paperworks.papers.model import Page, Paper
from paperworks.papers.words import (
    SYMBOLS,
    counted,
    date_in,
    interface_language,
    language_of,
    month_in,
    reason_in,
    section_in,
    weekday_in,
    words_in,
)


@dataclass(frozen=True)
class Neighbours:
    """The days before and after a page in a site, where there are any."""

    before: datetime.date | None = None
    after: datetime.date | None = None


def day_path(date: datetime.date) -> str:
    """Where a day stands in a site: `2024/08/22.html`."""
    return f"{date:%Y/%m/%d}.html"


def anchors_of(page: Page) -> list[str]:
    """The fragment under which each paper stands on its page: the arXiv id, `ID-2` the second time, else `paper-7`."""
    seen: Counter[str] = Counter()
    anchors = []
    for place, paper in enumerate(page.papers, 1):
        key = paper.arxiv_id or f"paper-{place}"
        seen[key] += 1
        anchors.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return anchors


def render_html(
    page: Page,
    *,
    language: str | None = None,
    evidence: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    figure_folder: str | os.PathLike[str] | None = None,
    commands: Mapping[str, str] | None = None,
    neighbours: Neighbours | None = None,
) -> str:
    """The page as one HTML file.

    `language` is the interface's (`ko` or `en`; default: the page's own, else Korean) and the content's where the page
    is there in it. `evidence` maps arXiv ids to evidence records (docs/evidence.md), whose figures are taken from
    `figure_folder`; `commands` maps arXiv ids to the command that runs the method on a reader's own model.
    With `neighbours` the page is one of a site (`site.build_site`), at `day_path`, and leads to its other pages.
    """
    if language is not None and language in page.languages():
        page = page.in_language(language)
    tag = language or page.language or "ko"
    evidence = evidence or {}
    papers = [
        _paper(paper, anchor, evidence, commands or {}, tag)
        for paper, anchor in zip(page.papers, anchors_of(page), strict=True)
    ]
    template = environment().get_template("page.html.j2")
    return template.render(
        page=page,
        papers=papers,
        tag=interface_language(tag),
        language=tag,
        content_language=page.language or tag,
        w=words_in(tag),
        symbols=SYMBOLS,
        totals=_counts(record for paper in papers for record in paper["records"]),
        figure=lambda name: _figure(name, figure_folder),
        neighbours=neighbours,
        score=page_score(page),
    )


def _paper(
    paper: Paper,
    anchor: str,
    evidence: Mapping[str, Sequence[Mapping[str, Any]]],
    commands: Mapping[str, str],
    tag: str,
) -> dict[str, Any]:
    records = list(evidence.get(paper.arxiv_id or "", ()))
    return {
        "paper": paper,
        "body": body_of(paper),
        "anchor": anchor,
        "records": records,
        "counts": _counts(records),
        "command": commands.get(paper.arxiv_id or ""),
        "marked": {
            name: with_marks(text, name, paper.figures) for name, text in (paper.sections or {}).items()
        },
        "notes": notes_of(paper, tag),
        "score": score(paper.figures),
        "origin": origin(paper, tag),
    }


def body_of(paper: Paper) -> list[tuple[str, Any]]:
    """The texts of a paper in their order: sections, raw blocks, and the points that stand together as one list."""
    bullets, texts = iter(paper.bullets), iter(paper.unplaced)
    sections = iter((paper.sections or {}).items())
    body: list[tuple[str, Any]] = []
    for block in paper.blocks():
        if block == "section":
            body.append((block, next(sections)))
        elif block == "text":
            body.append((block, next(texts)))
        elif block == "bullet" and body and body[-1][0] == "bullet":
            body[-1][1].append(next(bullets))
        elif block == "bullet":
            body.append((block, [next(bullets)]))
    return body


def _counts(records: Any) -> dict[str, int]:
    found = Counter(record["verdict"] for record in records)
    return {verdict: found[verdict] for verdict in SYMBOLS if found[verdict]}


def _figure(name: str, folder: str | os.PathLike[str] | None) -> str | None:
    if folder is None or Path(name).name != name or not name.endswith(".png"):
        return None
    try:
        data = (Path(folder) / name).read_bytes()
    except OSError:
        return None
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _web(link: str | None) -> str | None:
    """The link where it is one to the web, else `None`: no other scheme gets into an attribute."""
    return link if link and re.match(r"https?://\S", link, re.IGNORECASE) else None


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.disable(["code", "image", "lheading"])
    markdown.validateLink = lambda link: _web(link) is not None  # type: ignore[assignment, method-assign]
    markdown.add_render_rule("heading_open", lambda *_: '<p class="subheading">')
    markdown.add_render_rule("heading_close", lambda *_: "</p>\n")
    return markdown


def _rendered(text: str) -> Markup:
    return Markup(_markdown().render(text))


def _inline(text: str) -> Markup:
    return Markup(_markdown().renderInline(text))


@cache
def environment() -> Environment:
    """The templates with their filters."""
    environment = Environment(
        loader=PackageLoader("paperworks.papers"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "markdown": _rendered,
        "inline": _inline,
        "web": _web,
        "measured": format_measured,
        "number": lambda value: format_number(value) if isinstance(value, int | float) else value,
        "is_number": lambda value: isinstance(value, int | float),
        "date_in": date_in,
        "day_path": day_path,
        "section_in": section_in,
        "reason_in": reason_in,
        "month_in": month_in,
        "weekday_in": weekday_in,
        "counted": counted,
        "language_of": language_of,
        "claim_text": claim_text,
        "marks": lambda html, anchor, label: Markup(to_html(str(html), anchor, label)),
    }
    environment.globals["nothing"] = NOTHING
    return environment

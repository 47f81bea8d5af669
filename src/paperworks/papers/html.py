"""Draws the page as one self-contained HTML file: styles, script and figures inside, thumbnails loaded when seen.

Everything that comes from a page or from an evidence record is escaped; Markdown in texts is rendered without HTML and
without pictures, and only `http` and `https` links become links.
"""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from paperworks.papers.measured import NOTHING, claim_text, format_measured, format_number
from paperworks.papers.model import Page, Paper
from paperworks.papers.words import (
    SYMBOLS,
    date_in,
    interface_language,
    language_of,
    reason_in,
    section_in,
    words_in,
)


def render_html(
    page: Page,
    *,
    language: str | None = None,
    evidence: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    figure_folder: str | os.PathLike[str] | None = None,
    commands: Mapping[str, str] | None = None,
) -> str:
    """The page as one HTML file.

    `language` is the interface's (`ko` or `en`; default: the page's own, else Korean) and the content's where the page
    is there in it. `evidence` maps arXiv ids to evidence records (docs/evidence.md), whose figures are taken from
    `figure_folder`; `commands` maps arXiv ids to the command that runs the method on a reader's own model.
    """
    if language is not None and language in page.languages():
        page = page.in_language(language)
    tag = language or page.language or "ko"
    evidence = evidence or {}
    seen: Counter[str] = Counter()
    papers = [
        _paper(paper, place, seen, evidence, commands or {}) for place, paper in enumerate(page.papers, 1)
    ]
    template = _environment().get_template("page.html.j2")
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
    )


def _paper(
    paper: Paper,
    place: int,
    seen: Counter[str],
    evidence: Mapping[str, Sequence[Mapping[str, Any]]],
    commands: Mapping[str, str],
) -> dict[str, Any]:
    key = paper.arxiv_id or f"paper-{place}"
    seen[key] += 1
    records = list(evidence.get(paper.arxiv_id or "", ()))
    return {
        "paper": paper,
        "body": _body(paper),
        "anchor": key if seen[key] == 1 else f"{key}-{seen[key]}",
        "records": records,
        "counts": _counts(records),
        "command": commands.get(paper.arxiv_id or ""),
    }


def _body(paper: Paper) -> list[tuple[str, Any]]:
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
def _environment() -> Environment:
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
        "section_in": section_in,
        "reason_in": reason_in,
        "language_of": language_of,
        "claim_text": claim_text,
    }
    environment.globals["nothing"] = NOTHING
    return environment

"""The daily page of papers: its model, Markdown and HTML. Never imports torch; its parts are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paperworks.papers.html import render_html
    from paperworks.papers.markdown import parse_markdown, render_markdown
    from paperworks.papers.measured import format_measured
    from paperworks.papers.model import Batch, FigureCheck, Page, Paper
    from paperworks.papers.records import available_pages, load_page
    from paperworks.papers.site import build_site
    from paperworks.papers.text import render_text

__all__ = [
    "Batch",
    "FigureCheck",
    "Page",
    "Paper",
    "available_pages",
    "build_site",
    "format_measured",
    "load_page",
    "parse_markdown",
    "render_html",
    "render_markdown",
    "render_text",
]

_HOME = {
    "Batch": "model",
    "FigureCheck": "model",
    "Page": "model",
    "Paper": "model",
    "available_pages": "records",
    "build_site": "site",
    "format_measured": "measured",
    "load_page": "records",
    "parse_markdown": "markdown",
    "render_html": "html",
    "render_markdown": "markdown",
    "render_text": "text",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

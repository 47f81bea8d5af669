"""The command `paperworks page`: a page as Markdown, HTML or JSON."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


class Format(StrEnum):
    md = "md"
    html = "html"
    json = "json"


@app.command()
def page(
    target: Annotated[str, typer.Argument(help="YYYY-MM-DD of a page that ships, or a .md or .json file.")],
    to: Annotated[Format, typer.Option("--to", help="The form to write.")] = Format.md,
    language: Annotated[
        str | None, typer.Option("--lang", metavar="TAG", help="ko, en …; default: the page's own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to standard output.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a Markdown file with a line that has no place.")
    ] = False,
) -> None:
    """Show the page of a day, or the page in a file.

    Example:  paperworks page 2024-08-22 --to html --lang en --out page.html
    """
    from paperworks.files import write_text
    from paperworks.papers import load_page, render_html, render_markdown

    shown = load_page(target, strict=strict)
    if language is not None and (shown.languages() or to != Format.html):
        shown = shown.in_language(language)
    if to == Format.html:
        text = render_html(shown, language=language)
    elif to == Format.json:
        text = shown.model_dump_json(indent=2) + "\n"
    else:
        text = render_markdown(shown)
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)

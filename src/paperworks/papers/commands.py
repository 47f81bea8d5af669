"""The commands `paperworks page`, a page as Markdown, HTML or JSON, and `paperworks check`, its figures traced."""

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


@app.command()
def check(
    summary: Annotated[Path, typer.Argument(help="A text file (.md, .txt), or `-` for standard input.")],
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="PAPER", help="The paper: .txt, .md, .html or .pdf."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Trace every figure of a summary back to its paper; without a paper, look for contradictions alone.

    Exit status: 0 when all figures are founded (without --source: no contradiction), 1 when not, 2 for bad input.

    Example:  paperworks check summary.md --source paper.html --json
    """
    import json

    from paperworks.papers.check import Report, check_figures
    from paperworks.papers.contradictions import find_contradictions
    from paperworks.papers.report import print_check

    text = _read(summary)
    report = Report([]) if source is None else check_figures(text, _paper_text(source))
    report.contradictions.extend(found.to_dict() for found in find_contradictions(text))
    if as_json:
        print(json.dumps(report.to_dict(), ensure_ascii=False, indent=2))
    else:
        print_check(text, report, checked=source is not None)
    passed = not report.contradictions if source is None else report.found == len(report.figures)
    raise typer.Exit(0 if passed else 1)


def _read(path: Path) -> str:
    from paperworks.errors import InputError

    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: it is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if not text.strip():
        raise InputError(f"{path} is empty: there is nothing to check")
    return text


def _paper_text(path: Path) -> str:
    if path.suffix.lower() in (".html", ".htm", ".pdf"):
        from paperworks.papers.fulltext import read_file

        return read_file(path).text
    return _read(path)

"""What `paperworks check` prints: the text with its doubtful figures marked, and a line for each of them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from paperworks.papers.check import FOUNDED, Report

STYLES = {"found": "green", "derived": "green", "elsewhere": "yellow underline", "unfounded": "red underline"}


def print_check(text: str, report: Report, *, checked: bool) -> None:
    """Print the text with its figures coloured, then the doubtful ones with the reason; `checked`: against a paper."""
    console = Console()
    if checked:
        marked = Text(text.strip("\n"))
        shift = len(text) - len(text.lstrip("\n"))
        for figure in report.figures:
            marked.stylize(STYLES[figure.verdict], figure.start - shift, figure.end - shift)
        console.print(marked)
        console.print()
        doubtful = [figure for figure in report.figures if figure.verdict not in FOUNDED]
        if doubtful:
            table = Table(box=None, pad_edge=False, header_style="bold")
            table.add_column("figure", no_wrap=True)
            table.add_column("verdict")
            table.add_column("why", overflow="fold")
            for figure in doubtful:
                reason = Text(figure.note)
                if figure.source_text:
                    reason.append(f"\n“{_short(figure.source_text)}”", style="dim")
                table.add_row(Text(figure.text), Text(figure.verdict, STYLES[figure.verdict]), reason)
            console.print(table)
        if report.unknown_names:
            console.print(Text(f"names that the paper never uses: {', '.join(report.unknown_names)}"))
    for found in report.contradictions:
        console.print(Text(f"contradiction: {found['note']}", style="yellow"))
    if checked:
        console.print(f"{report.found} of {len(report.figures)} figures founded", highlight=False)
    elif not report.contradictions:
        console.print("no contradiction found; give the paper with --source to trace the figures")


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

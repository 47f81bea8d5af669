"""How a page shows what the check found: a score, marks on doubtful figures, and where the summary came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from paperworks.papers.model import FigureCheck, Page, Paper
from paperworks.papers.words import note_in, words_in

FOUNDED = ("found", "derived")
# Private characters stand around a doubtful figure while its text goes through Markdown.
OPEN, CLOSE, END = "\ue000", "\ue001", "\ue002"
_MARKED = re.compile(f"{OPEN}(\\d+){CLOSE}([^{END}]*){END}")


def score(figures: Sequence[FigureCheck]) -> tuple[int, int]:
    """How many figures are founded, and how many there are."""
    return sum(figure.verdict in FOUNDED for figure in figures), len(figures)


def page_score(page: Page) -> tuple[int, int]:
    """The score of all papers of a page."""
    scores = [score(paper.figures) for paper in page.papers]
    return sum(found for found, _ in scores), sum(count for _, count in scores)


def doubtful(paper: Paper) -> list[FigureCheck]:
    """The figures of a paper's sections that are not founded."""
    return [figure for figure in paper.figures if figure.verdict not in FOUNDED]


def with_marks(text: str, section: str, figures: Sequence[FigureCheck]) -> str:
    """`text` with private characters around the doubtful figures of `section`, numbered by their place in `figures`."""
    for number, figure in sorted(enumerate(figures), key=lambda one: -one[1].start):
        if figure.verdict in FOUNDED or figure.section != section:
            continue
        if text[figure.start : figure.end] == figure.text:
            marked = f"{OPEN}{number}{CLOSE}{figure.text}{END}"
            text = text[: figure.start] + marked + text[figure.end :]
    return text


def to_html(html: str, anchor: str, label: str) -> str:
    """Rendered HTML with the private characters as marks that point to the notes `ANCHOR-figure-N`; `label` for readers
    who do not see the underline."""

    def mark(found: re.Match[str]) -> str:
        return f'<a class="doubt" href="#{anchor}-figure-{found[1]}"><span class="unseen">{label}: </span>{found[2]}</a>'

    return _MARKED.sub(mark, html).replace(OPEN, "").replace(CLOSE, "").replace(END, "")


def reason(figure: FigureCheck, language: str) -> str:
    """Why a figure is doubtful, in the reader's language."""
    words = words_in(language)
    text = words[f"figure {figure.verdict}"]
    plain = not figure.note or figure.note == "not in the source"
    return text if plain else f"{text} ({note_in(figure.note, language)})"


def origin(paper: Paper, language: str) -> str:
    """One line on how the summary came about; empty where nothing is known."""
    made = paper.provenance
    if made is None:
        return ""
    words = words_in(language)
    if made.problem:
        return f"{words['no summary']}: {made.problem}"
    parts = []
    if made.summarizer:
        parts.append(
            words["extractive summary"]
            if made.summarizer == "extractive"
            else f"{words['summary by']} {made.summarizer}"
        )
    if made.text:
        parts.append(words[f"from {made.text}"])
    return ", ".join(parts)


def checked_line(paper: Paper, language: str) -> str:
    """The line of Markdown under a paper: where the summary came from, its score, its doubtful figures."""
    parts = [origin(paper, language)]
    if paper.figures:
        found, count = score(paper.figures)
        parts.append(f"{words_in(language)['figures founded']}: {found}/{count}")
        parts += [f"“{figure.text}”: {reason(figure, language)}" for figure in doubtful(paper)]
    text = " · ".join(part for part in parts if part)
    return "_" + re.sub(r"[_*\n]+", " ", text) + "_" if text else ""


def notes_of(paper: Paper, language: str) -> list[dict[str, Any]]:
    """What the HTML page lists under a paper: a note for each doubtful figure, with its number."""
    numbered = [
        (number, figure) for number, figure in enumerate(paper.figures) if figure.verdict not in FOUNDED
    ]
    return [
        {
            "number": number,
            "text": figure.text,
            "reason": reason(figure, language),
            "quote": figure.source_text or "",
        }
        for number, figure in numbered
    ]

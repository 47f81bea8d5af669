"""Makes the page of a day: the list, each paper's text, a summary, its figures checked; one JSON record a day.

Whatever is done is kept at once, so a run that was stopped goes on where it was, and running again only updates the
votes. A paper that cannot be had or summarised stays on the page, in its place, with the reason. Two runs for one day
take turns by a lock.
"""

from __future__ import annotations

import datetime
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from paperworks.errors import InputError, require
from paperworks.files import write_text
from paperworks.papers.check import FOUNDED, check_figures
from paperworks.papers.contradictions import find_contradictions
from paperworks.papers.fulltext import read_source
from paperworks.papers.listing import Listing, list_day
from paperworks.papers.model import FigureCheck, Page, Paper, Provenance, Quoted
from paperworks.papers.source import Source
from paperworks.papers.summarize import Estimate, Summarizer, Summary, SummaryError
from paperworks.papers.web import FetchError, Web

Progress = Callable[[int, int, str], None]


@dataclass
class Report:
    """What a run did to a day: the `page` and its `path`, and ids of papers that are new, kept or without a summary."""

    page: Page
    path: Path
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def record_path(pages: Path, date: datetime.date) -> Path:
    """Where the record of a day is: `PAGES/2024/08/22.json`."""
    return pages / f"{date:%Y/%m/%d}.json"


def make_day(
    date: datetime.date,
    *,
    web: Web,
    summarizer: Summarizer,
    pages: Path,
    language: str = "ko",
    hub_url: str | None = None,
    arxiv_url: str = "https://arxiv.org",
    refresh: bool = False,
    limit: int | None = None,
    concurrency: int = 4,
    progress: Progress = lambda done, total, what: None,
) -> Report:
    """The page of `date`, in `pages` as `YYYY/MM/DD.json`; papers that are there already are kept unless `refresh`.

    `limit` takes the most voted papers only. `concurrency` papers are worked on at a time; the politeness of `web` is
    beside that. Raises `InputError` for a day without papers and where no paper will go better (a wrong key, a limit
    that is reached), `FetchError` where the list cannot be had; what was done by then is kept.
    """
    path = record_path(pages, date)
    listings = list_day(date, web=web, hub_url=hub_url)[:limit]
    if not listings:
        raise InputError(no_papers(date))
    with locked(path):
        old = read_record(path)
        before = {paper.arxiv_id: paper for paper in old.papers} if old else {}
        report = Report(_page(date, [], summarizer, language), path)
        papers: dict[str, Paper] = {}
        todo: list[Listing] = []
        for listing in listings:
            kept = before.get(listing.arxiv_id)
            if kept is not None and not refresh and kept.sections:
                papers[listing.arxiv_id] = kept.model_copy(update={"votes": listing.votes})
                report.kept.append(listing.arxiv_id)
            else:
                todo.append(listing)
        gone = [
            paper
            for paper in (old.papers if old else [])
            if paper.arxiv_id not in {one.arxiv_id for one in listings}
        ]

        def save() -> None:
            done = [papers[one.arxiv_id] for one in listings if one.arxiv_id in papers]
            report.page = _page(date, [*done, *gone], summarizer, language)
            write_text(path, report.page.model_dump_json(indent=2) + "\n")

        save()
        progress(len(papers), len(listings), "")
        with ThreadPoolExecutor(max(1, concurrency)) as pool:
            running = {
                pool.submit(
                    make_paper, one, web=web, summarizer=summarizer, language=language, arxiv_url=arxiv_url
                ): one
                for one in todo
            }
            try:
                for future in as_completed(running):
                    listing = running[future]
                    papers[listing.arxiv_id] = paper = future.result()
                    if paper.provenance and paper.provenance.problem:
                        report.failed[listing.arxiv_id] = paper.provenance.problem
                    else:
                        report.made.append(listing.arxiv_id)
                    save()
                    progress(len(papers), len(listings), listing.title)
            except BaseException:
                for future in running:
                    future.cancel()
                raise
    return report


def make_paper(
    listing: Listing, *, web: Web, summarizer: Summarizer, language: str, arxiv_url: str = "https://arxiv.org"
) -> Paper:
    """One paper with its summary and the check of its figures, or with the reason why there is none."""
    notes: list[str] = []
    source: Source | None = None
    try:
        source = read_source(listing, web=web, arxiv_url=arxiv_url, report=notes.append)
        summary = summarizer.summarize(listing.title, source, language)
        figures, names, contradictions = checked(summary, source)
        repair = getattr(summarizer, "repair", None)
        doubtful = [figure.text for figure in figures if figure.verdict not in FOUNDED]
        if repair is not None and doubtful:
            try:
                summary = repair(summary, doubtful)
                figures, names, contradictions = checked(summary, source)
            except SummaryError as error:
                notes.append(str(error))
    except (FetchError, SummaryError) as error:
        return _paper(
            listing, Provenance(problem=str(error), notes=notes, text=source.kind if source else None)
        )
    made = Provenance(
        summarizer=summary.summarizer,
        language=summary.language,
        text=source.kind,
        url=source.url,
        left_out=list(summary.left_out),
        repaired=summary.repaired,
        notes=notes,
        quotes=[
            Quoted(section=one.section, text=one.text, start=one.start, end=one.end, heading=one.heading)
            for one in summary.quotes
        ],
        unknown_names=names,
        contradictions=contradictions,
    )
    return _paper(listing, made, summary.sections, figures)


def checked(summary: Summary, source: Source) -> tuple[list[FigureCheck], list[str], list[str]]:
    """The figures of all sections with offsets in their section, names unknown to the source, and contradictions.

    The sections are checked as one text, since a sentence leans on those before it.
    """
    text, starts = "", []
    for name, part in summary.sections.items():
        starts.append((len(text), name))
        text += part + "\n\n"
    report = check_figures(text, source.text)
    figures = []
    for figure in report.figures:
        start, name = next((start, name) for start, name in reversed(starts) if start <= figure.start)
        figures.append(
            figure.model_copy(
                update={"start": figure.start - start, "end": figure.end - start, "section": name}
            )
        )
    return figures, report.unknown_names, [found.note for found in find_contradictions(text)]


def estimate_day(
    date: datetime.date,
    *,
    web: Web,
    summarizer: Summarizer,
    language: str,
    hub_url: str | None = None,
    arxiv_url: str = "https://arxiv.org",
    limit: int | None = None,
    progress: Progress = lambda done, total, what: None,
) -> Iterator[tuple[Listing, Estimate | None, str]]:
    """What a run would take, paper by paper: its estimate, or `None` and the reason. Fetches, but calls no model."""
    listings = list_day(date, web=web, hub_url=hub_url)[:limit]
    if not listings:
        raise InputError(no_papers(date))
    for done, listing in enumerate(listings):
        progress(done, len(listings), listing.title)
        try:
            source = read_source(listing, web=web, arxiv_url=arxiv_url)
        except FetchError as error:
            yield listing, None, str(error)
        else:
            yield listing, summarizer.estimate(listing.title, source, language), source.kind


def no_papers(date: datetime.date) -> str:
    """The line about a day without a list."""
    hint = "the list rests on weekends" if date.weekday() >= 5 else "the list may come later in the day"
    return f"there are no papers on the list of {date}, a {date:%A}: {hint}"


def read_record(path: Path) -> Page | None:
    """The record at `path`, `None` where there is none. Raises `InputError` for a file that is no record."""
    if not path.exists():
        return None
    from paperworks.papers.records import load_page

    return load_page(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a record, waiting for another run on this machine to end."""
    require("daily", "filelock")
    from filelock import FileLock

    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(Path(tempfile.gettempdir()) / f"paperworks-{name}.lock"):
            yield
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose another folder with --pages"
        ) from error


def _page(date: datetime.date, papers: list[Paper], summarizer: Summarizer, language: str) -> Page:
    languages = [
        paper.provenance.language for paper in papers if paper.provenance and paper.provenance.language
    ]
    shown = max(set(languages), key=languages.count) if languages else language
    return Page(date=date, language=shown or None, papers=papers)


def _paper(
    listing: Listing,
    provenance: Provenance,
    sections: dict[str, str] | None = None,
    figures: list[FigureCheck] | None = None,
) -> Paper:
    provenance.project_page = listing.project_page
    provenance.models, provenance.datasets, provenance.spaces = (
        list(listing.models),
        list(listing.datasets),
        list(listing.spaces),
    )
    return Paper(
        title=listing.title,
        arxiv_id=listing.arxiv_id,
        thumbnail=listing.thumbnail,
        video=listing.video,
        votes=listing.votes,
        authors=list(listing.authors),
        code=listing.code,
        sections=sections,
        figures=figures or [],
        provenance=provenance,
    )

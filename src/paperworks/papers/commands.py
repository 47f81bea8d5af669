"""The commands `paperworks page`, which makes and shows the page of a day, and `paperworks check`."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paperworks.papers.day import Progress
    from paperworks.papers.model import Page
    from paperworks.papers.summarize import Summarizer
    from paperworks.papers.web import Web

app = typer.Typer()
MAKING = "Making a page"
MODEL = "Summaries by a model"


class Format(StrEnum):
    md = "md"
    html = "html"
    json = "json"


@app.command()
def page(
    context: typer.Context,
    target: Annotated[
        str | None, typer.Argument(metavar="[DATE|FILE]", help="YYYY-MM-DD, or a .md or .json file.")
    ] = None,
    to: Annotated[Format, typer.Option("--to", help="The form to write.")] = Format.md,
    language: Annotated[
        str | None, typer.Option("--lang", metavar="TAG", help="ko, en …; default: the page's own, else ko.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to standard output.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a Markdown file with a line that has no place.")
    ] = False,
    evidence: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT/DATE", help="Show the claims that `paperworks reproduce` measured (with --to html)."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="DATE", help="Make all days from DATE to today.", rich_help_panel=MAKING
        ),
    ] = None,
    pages: Annotated[
        Path, typer.Option("--pages", metavar="FOLDER", help="Where the records are.", rich_help_panel=MAKING)
    ] = Path("pages"),
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Fetch and summarise again.", rich_help_panel=MAKING)
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many papers, the most voted.", rich_help_panel=MAKING),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Papers at a time.", rich_help_panel=MAKING)
    ] = 4,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what it would take; no model is called.", rich_help_panel=MAKING),
    ] = False,
    contact: Annotated[
        str | None,
        typer.Option(
            help="Your e-mail or web address, for the sites that are asked.", rich_help_panel=MAKING
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(min=0, help="Seconds between requests to arXiv.", rich_help_panel=MAKING)
    ] = 3.0,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="What was fetched; default: ~/.cache/paperworks.", rich_help_panel=MAKING
        ),
    ] = None,
    hub_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The Hub, or a mirror of it.", rich_help_panel=MAKING)
    ] = None,
    arxiv_url: Annotated[
        str, typer.Option(metavar="URL", help="arXiv, or a mirror of it.", rich_help_panel=MAKING)
    ] = "https://arxiv.org",
    llm_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible endpoint.", rich_help_panel=MODEL),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The endpoint's model, or the folder of a local one.", rich_help_panel=MODEL),
    ] = None,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable with the key.", rich_help_panel=MODEL)
    ] = "OPENAI_API_KEY",
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Your own prompts instead of ours.", rich_help_panel=MODEL),
    ] = None,
    paper_tokens: Annotated[
        int, typer.Option(min=500, help="How much of a paper is sent.", rich_help_panel=MODEL)
    ] = 60_000,
    answer_tokens: Annotated[
        int, typer.Option(min=100, help="How long an answer may be.", rich_help_panel=MODEL)
    ] = 3_000,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Price per million tokens sent.", rich_help_panel=MODEL)
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="Price per million tokens answered.", rich_help_panel=MODEL)
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Stop before a run costs more.", rich_help_panel=MODEL)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="Stop before a run takes more tokens.", rich_help_panel=MODEL)
    ] = None,
) -> None:
    """Show the page of a day, or the page in a file; a day that is not there yet is made.

    The day's papers come from the Hugging Face list, their text from arXiv. Without --model the summary quotes the
    paper itself and needs no model or key. Every figure of a summary is traced back to the paper. Running again
    updates the votes and does what is missing.

    Example:  paperworks page 2024-08-22 --to html --lang en --out page.html
    Example:  paperworks page 2025-05-09 --model gpt-4o-mini --max-cost 1 --price-in 0.15 --price-out 0.6
    """
    from paperworks.errors import InputError
    from paperworks.papers import load_page

    if (target is None) == (since is None):
        raise InputError("give a date or a file, or --since DATE: paperworks page 2024-08-22")
    day = _day(target) if target is not None else None
    if target is not None and (day is None or (_is_shipped(day) and not refresh)):
        _write(load_page(target, strict=strict), to, language, out, evidence=evidence, commands=context.obj)
        return

    def web() -> Web:
        from paperworks.papers.web import Web

        folder = cache or Path.home() / ".cache" / "paperworks"
        host = re.sub(r"^https?://", "", arxiv_url).split("/")[0]
        return Web(folder, contact=contact, intervals={host: interval}, refresh=refresh)

    summarizer = _summarizer(
        llm_url,
        model,
        key_variable,
        prompts,
        paper_tokens,
        answer_tokens,
        price_in,
        price_out,
        max_cost,
        max_tokens,
    )
    asked = language or "ko"
    if dry_run:
        with web() as client:
            _estimate(
                day or _day(since or "") or _bad_date(since),
                client,
                summarizer,
                asked,
                hub_url,
                arxiv_url,
                limit,
            )
        return
    days = [day] if day else _days(since or "")
    nothing = True
    for date in days:
        with web() as client:
            made = _make(
                date,
                client,
                summarizer,
                pages,
                asked,
                hub_url,
                arxiv_url,
                refresh,
                limit,
                concurrency,
                several=len(days) > 1,
            )
        nothing = nothing and made is None
        if made is not None and day is not None:
            shown = language if language in made.languages() else None
            _write(made, to, shown, out, interface=language, evidence=evidence, commands=context.obj)
    if nothing:
        raise InputError("nothing could be had for any of these days; the lines above say why")


def _make(
    date: datetime.date,
    web: Web,
    summarizer: Summarizer,
    pages: Path,
    language: str,
    hub_url: str | None,
    arxiv_url: str,
    refresh: bool,
    limit: int | None,
    concurrency: int,
    *,
    several: bool,
) -> Page | None:
    """Make a day and say on standard error what came of it; `None` where nothing did."""
    from rich.console import Console

    from paperworks.errors import InputError
    from paperworks.papers.day import make_day, read_record, record_path
    from paperworks.papers.marks import page_score
    from paperworks.papers.web import FetchError

    console = Console(stderr=True, highlight=False)
    try:
        with _progress(f"{date}") as progress:
            report = make_day(
                date,
                web=web,
                summarizer=summarizer,
                pages=pages,
                language=language,
                hub_url=hub_url,
                arxiv_url=arxiv_url,
                refresh=refresh,
                limit=limit,
                concurrency=concurrency,
                progress=progress,
            )
    except FetchError as error:
        old = read_record(record_path(pages, date))
        if old is None and not several:
            raise
        console.print(f"{date}: {error}" + ("; the page as it was" if old else ""), markup=False)
        return old
    except InputError as error:
        if not several:
            raise
        console.print(f"{date}: {error}", markup=False)
        return None
    found, count = page_score(report.page)
    figures = f"; figures founded {found} of {count}" if count else ""
    console.print(
        f"{date}: {len(report.made)} papers new, {len(report.kept)} kept, {len(report.failed)} without a summary"
        f"{figures}; {report.path}",
        markup=False,
    )
    for identity, reason in report.failed.items():
        console.print(f"  {identity}: {reason}", markup=False)
    if report.failed and not report.made and not report.kept:
        if not several:
            raise InputError(
                f"no paper of {date} could be had; the lines above say why, and {report.path} keeps them"
            )
        return None
    return report.page


def _estimate(
    date: datetime.date,
    web: Web,
    summarizer: Summarizer,
    language: str,
    hub_url: str | None,
    arxiv_url: str,
    limit: int | None,
) -> None:
    """Print what a run would take: tokens and price, paper by paper and in all."""
    from rich.console import Console
    from rich.table import Table

    from paperworks.papers.day import estimate_day

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("paper", "text", "tokens in", "tokens out", "price"):
        table.add_column(name, justify="left" if name in ("paper", "text") else "right")
    sent = answered = 0
    price: float | None = 0.0
    with _progress(f"{date}") as progress:
        for listing, estimate, what in estimate_day(
            date,
            web=web,
            summarizer=summarizer,
            language=language,
            hub_url=hub_url,
            arxiv_url=arxiv_url,
            limit=limit,
            progress=progress,
        ):
            title = f"{listing.arxiv_id}  {listing.title[:48]}"
            if estimate is None:
                table.add_row(title, what, "", "", "")
                continue
            sent, answered = sent + estimate.prompt_tokens, answered + estimate.answer_tokens
            price = None if price is None or estimate.price is None else price + estimate.price
            cost = "" if estimate.price is None else f"{estimate.price:.4f}"
            table.add_row(title, what, f"{estimate.prompt_tokens:,}", f"{estimate.answer_tokens:,}", cost)
    table.add_section()
    total = "give --price-in and --price-out" if price is None else f"{price:.4f}"
    table.add_row(f"all, by {summarizer.name}, at most", "", f"{sent:,}", f"{answered:,}", total)
    Console().print(table)


def _summarizer(
    llm_url: str | None,
    model: str | None,
    key_variable: str,
    prompts: Path | None,
    paper_tokens: int,
    answer_tokens: int,
    price_in: float | None,
    price_out: float | None,
    max_cost: float | None,
    max_tokens: int | None,
) -> Summarizer:
    """The one the options ask for: an endpoint, a local model where --model is a folder, else the extractive one."""
    from paperworks.errors import InputError

    if model is None and llm_url is None:
        from paperworks.papers.extractive import ExtractiveSummarizer

        return ExtractiveSummarizer()
    from paperworks.papers.prompting import Prompts

    own = Prompts(prompts)
    if llm_url is None and model is not None and Path(model).is_dir():
        from paperworks.papers.local_model import LocalSummarizer

        return LocalSummarizer(model, own, answer_tokens=answer_tokens, paper_tokens=paper_tokens)
    if model is None:
        raise InputError("--llm-url needs --model, the endpoint's name of the model")
    from paperworks.papers.endpoint import EndpointOptions, EndpointSummarizer

    options = EndpointOptions(
        model=model,
        url=llm_url,
        key_variable=key_variable,
        paper_tokens=paper_tokens,
        answer_tokens=answer_tokens,
        price_in=price_in,
        price_out=price_out,
        max_cost=max_cost,
        max_tokens=max_tokens,
    )
    return EndpointSummarizer(options, own)


def _write(
    shown: Page,
    to: Format,
    language: str | None,
    out: Path | None,
    *,
    interface: str | None = None,
    evidence: Path | None = None,
    commands: Mapping[str, str] | None = None,
) -> None:
    from paperworks.files import write_text
    from paperworks.papers import render_html, render_markdown

    if language is not None and (shown.languages() or to != Format.html):
        shown = shown.in_language(language)
    if to == Format.html:
        records = None
        if evidence is not None:
            from paperworks.papers.site import read_evidence

            records = read_evidence(evidence)
        figures = evidence / "figures" if evidence is not None else None
        text = render_html(
            shown, language=interface or language, evidence=records, figure_folder=figures, commands=commands
        )
    elif to == Format.json:
        text = shown.model_dump_json(indent=2) + "\n"
    else:
        text = render_markdown(shown)
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)


def _day(text: str) -> datetime.date | None:
    """The date that `text` is, `None` where it is a file's name. Raises `InputError` for a date that does not exist."""
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", text):
        return None
    try:
        return datetime.date(*map(int, text.split("-")))
    except ValueError:
        return _bad_date(text)


def _bad_date(text: str | None) -> datetime.date:
    from paperworks.errors import InputError

    raise InputError(f"{text} is no date: give one such as 2024-08-22")


def _days(since: str) -> list[datetime.date]:
    from paperworks.errors import InputError
    from paperworks.papers.listing import FIRST_DAY

    first, today = _day(since) or _bad_date(since), datetime.datetime.now(datetime.UTC).date()
    if first > today:
        raise InputError(f"--since {first} is in the future: today is {today} (UTC)")
    if first < FIRST_DAY:
        raise InputError(f"--since {first}: the first list is of {FIRST_DAY}")
    return [first + datetime.timedelta(days=n) for n in range((today - first).days + 1)]


def _is_shipped(date: datetime.date) -> bool:
    from paperworks.papers import available_pages

    return date in available_pages()


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """A bar on standard error with the time left, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total, title: bars.update(
            task, completed=done, total=total, description=title[:50]
        )


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
    from paperworks.papers.check import Report, check_figures
    from paperworks.papers.contradictions import find_contradictions
    from paperworks.papers.report import print_check
    from paperworks.progress import print_json

    text = _read(summary)
    report = Report([]) if source is None else check_figures(text, _paper_text(source))
    report.contradictions.extend(found.to_dict() for found in find_contradictions(text))
    if as_json:
        print_json(report.to_dict())
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

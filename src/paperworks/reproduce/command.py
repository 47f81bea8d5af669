"""`paperworks reproduce`: choose the claims, run them, draw the page after each, end with a table."""

from __future__ import annotations

import difflib
import itertools
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from paperworks.catalogue import METHODS, PAGE_DATE, find_method
from paperworks.claims import Claim
from paperworks.errors import InputError
from paperworks.papers import format_measured, load_page
from paperworks.progress import print_json
from paperworks.reproduce.report import collect, write_report
from paperworks.reproduce.runner import run_claims
from paperworks.reproduce.store import Settings, Store, full_id

STYLES = {"holds": "green", "fails": "red", "void": "yellow", "skipped": "dim"}


def choose_claims(methods: Sequence[str], only: Sequence[str]) -> list[Claim]:
    """The claims of `methods` (all built ones where none is named), those called `only` where any is.

    The last claim of the first method starts first: by custom it is a quick one, so that the page has a result within a
    minute. Raises `InputError` for an unknown method or claim, with the nearest name.
    """
    chosen = [find_method(name) for name in methods] or [method for method in METHODS if method.built]
    for method in chosen:
        if not method.built:
            raise InputError(
                f"{method.command} has no experiments yet: `paperworks list` shows which methods do"
            )
        if method.missing:
            raise InputError(
                f"{method.command} needs {', '.join(method.missing)}: pip install 'paperworks[{method.command}]'"
            )
    claims = [claim for method in chosen for claim in method.claims()]
    quick = len(chosen[0].claims()) - 1
    claims = [claims[quick], *claims[:quick], *claims[quick + 1 :]]
    known = [claim.id for claim in claims]
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            raise InputError(f"no claim is called {name!r}: {hint}")
    return [claim for claim in claims if not only or claim.id in only]


def run(
    methods: Sequence[str],
    only: Sequence[str],
    *,
    out: str,
    seed: int,
    scale: str,
    device: str,
    jobs: int | None,
    timeout: float | None,
    fresh: bool,
    language: str,
    as_json: bool,
) -> None:
    """Run and report; exits with 130 after Ctrl-C and with 1 where an experiment crashed."""
    if scale not in ("small", "full"):
        raise InputError(f"--scale {scale!r} is not known: choose small or full")
    claims = choose_claims(methods, only)
    page = load_page(PAGE_DATE)
    page.in_language(language)
    if device != "auto":
        from paperworks.devices import resolve_device

        device = resolve_device(device)
    settings = Settings(seed, scale, device)
    store = Store(Path(out) / PAGE_DATE)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write to {store.folder}: {error.strerror}; choose another folder with --out"
        ) from error
    console = Console(stderr=True)
    ran: dict[str, dict[str, Any]] = {}
    crashes = 0
    interrupted = False
    write_report(store, page, collect(store, settings), settings, language)
    with Display(console, len(claims)) as display:
        try:
            results = run_claims(
                claims,
                store,
                settings,
                jobs=jobs,
                timeout=timeout,
                fresh=fresh,
                on_start=display.start,
                on_progress=display.progress,
            )
            for claim, record, crashed in results:
                ran[full_id(claim)] = record
                crashes += crashed
                display.finish(claim, record)
                write_report(store, page, collect(store, settings, ran), settings, language)
        except KeyboardInterrupt:
            interrupted = True
    summary = write_report(store, page, collect(store, settings, ran), settings, language)
    if as_json:
        print_json(summary)
    else:
        print_table([ran[full_id(claim)] for claim in claims if full_id(claim) in ran])
        print(f"\n{(store.folder / 'page.html').resolve()}")
    if interrupted:
        console.print(f"stopped: {len(ran)} of {len(claims)} measured; the same command goes on from here")
        sys.exit(130)
    if crashes:
        sys.exit(1)


def print_table(records: Sequence[dict[str, Any]]) -> None:
    """The closing table, method by method: the paper's figure beside the measured one."""
    console = Console()
    id_width = 36 if console.width >= 120 else 18
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("claim", no_wrap=True)
    for column in ("paper says", "measured here", "control", "verdict", "s"):
        table.add_column(column, overflow="fold", justify="right" if column == "s" else "left")
    for method, group in itertools.groupby(records, key=lambda record: record["claim"]["method"]):
        table.add_section()
        table.add_row(f"[dim]{method.replace('_', '-')}[/]")
        for record in group:
            claim, style = record["claim"], STYLES[record["verdict"]]
            verdict = f"[{style}]{record['verdict']}[/]"
            if record["verdict"] == "skipped":
                verdict += f"\n[dim]{escape(record['reason'])}[/]"
            table.add_row(
                textwrap.fill(claim["id"], id_width),
                escape(claim["reported"]),
                escape(format_measured(record["measured"])),
                escape(format_measured(record["control"])),
                verdict,
                f"{record['seconds']:.0f}",
            )
    console.print(table)


class Display:
    """Progress on standard error: bars with the time left on a terminal, a line per experiment elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:g}/{task.total:g}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[what]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.all = self.bars.add_task("[bold]experiments", total=total, what="")

    def __enter__(self) -> Display:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, claim: Claim) -> None:
        self.tasks[full_id(claim)] = self.bars.add_task(f"  {claim.id}", total=1, what="starting")

    def progress(self, claim: Claim, done: int, total: int, what: str) -> None:
        self.bars.update(self.tasks[full_id(claim)], completed=done, total=total, what=what)

    def finish(self, claim: Claim, record: dict[str, Any]) -> None:
        task = self.tasks.pop(full_id(claim), None)
        if task is not None:
            self.bars.remove_task(task)
        self.bars.advance(self.all)
        style = STYLES[record["verdict"]]
        kept = "" if task is not None else "  (kept from an earlier run)"
        self.console.print(
            f"[{style}]{record['verdict']:8}[/] {full_id(claim)}  [dim]{record['seconds']:.0f} s{kept}[/]",
            highlight=False,
        )

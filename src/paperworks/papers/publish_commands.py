"""The commands `paperworks site` and `paperworks send`: a site of all pages, a page to its readers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from paperworks.papers.model import Page
    from paperworks.papers.send import Journal, Sent

site = typer.Typer(no_args_is_help=True, help="A static site of the daily pages: index, search, feed.")
send = typer.Typer(no_args_is_help=True, help="Send a page to Slack, by e-mail or into a file.")

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="PAGE", help="YYYY-MM-DD, or a .json or .md file; default: the newest of --pages."
    ),
]
Pages = Annotated[Path, typer.Option("--pages", metavar="FOLDER", help="The folder of daily pages.")]
Language = Annotated[
    str | None, typer.Option("--lang", metavar="TAG", help="ko, en …; default: the page's own.")
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Where the site is, for a link to the page.")
]
Force = Annotated[bool, typer.Option("--force", help="Send again what has been sent.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@site.command()
def build(
    context: typer.Context,
    pages: Annotated[Path, typer.Argument(help="The folder of daily pages.")] = Path("pages"),
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Build here.")] = Path("site"),
    title: Annotated[str | None, typer.Option("--title", help="Of the index and of the feed.")] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Where the site will be, for the feed's links."),
    ] = None,
    language: Language = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            "--evidence", metavar="OUT/DATE", help="Show the claims that `paperworks reproduce` measured."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the site; what has not changed is not written again.

    Example:  paperworks site build pages/ --out site --base-url https://example.org/papers/
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress

    from paperworks.papers.site import build_site

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("days", total=None)
        report = build_site(
            pages,
            out,
            title=title,
            base_url=base_url,
            language=language,
            evidence=evidence,
            commands=context.obj,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print(json.dumps(asdict(report)))
        return
    files = f"{report.written} written, {report.unchanged} as they were, {report.removed} removed"
    size = f"search index {report.index_bytes / 1e6:.2f} MB, {report.seconds:.1f} s"
    console.print(f"{report.days} days, {report.papers} papers; files: {files}; {size}", highlight=False)
    print(Path(report.out, "index.html"))


@site.command()
def serve(
    folder: Annotated[Path, typer.Argument(metavar="SITE", help="The folder of the site.")] = Path("site"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Look at the site on this machine, until Ctrl-C.

    Example:  paperworks site serve site --open
    """
    import webbrowser

    with site_server(folder, port) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        print(address, flush=True)
        if show:
            webbrowser.open(address)
        server.serve_forever()


def site_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a site on this machine alone. Raises `InputError` for no site and for a port in use."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from paperworks.errors import InputError

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Cache-Control", "no-store")
            super().end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    if not (folder / "index.html").is_file():
        raise InputError(f"no site in {folder}: build one with  paperworks site build pages/ --out {folder}")
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))
    except OSError as error:
        raise InputError(f"port {port}: {error.strerror}; choose another with --port") from error


@send.command()
def slack(
    target: Target = None,
    pages: Pages = Path("pages"),
    channel: Annotated[str | None, typer.Option("--channel", help="Its id; default: SLACK_CHANNEL.")] = None,
    language: Language = None,
    base_url: BaseUrl = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Post a page to Slack: the titles, and a thread with a message a paper.

    SLACK_BOT_TOKEN holds the token; or SLACK_WEBHOOK_URL a webhook, which has no threads.

    Example:  paperworks send slack --pages pages/ --channel C0123456789
    """
    from paperworks.papers.slack import send_slack

    page, journal = _page_and_journal(target, pages)
    link = _link(page, base_url)
    done = send_slack(page, journal, channel=channel, language=language, link=link, force=force)
    _report(page, done, as_json)


@send.command()
def email(
    target: Target = None,
    to: Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="May be repeated.")] = None,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="Default: SMTP_FROM.")
    ] = None,
    pages: Pages = Path("pages"),
    language: Language = None,
    base_url: BaseUrl = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Mail a page to each reader, as text with HTML beside it.

    SMTP_HOST, SMTP_PORT (587), SMTP_USER, SMTP_PASSWORD and SMTP_SECURITY (starttls, ssl, none) say how.

    Example:  paperworks send email --to reader@example.org --from papers@example.org
    """
    from paperworks.papers.mail import send_email

    page, journal = _page_and_journal(target, pages)
    link = _link(page, base_url)
    done = send_email(page, journal, to or [], sender=sender, language=language, link=link, force=force)
    _report(page, done, as_json)


@send.command("file")
def text_file(
    target: Target = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to standard output.")
    ] = None,
    pages: Pages = Path("pages"),
    language: Language = None,
    base_url: BaseUrl = None,
) -> None:
    """Write a page as plain text, wrapped for a mail or a terminal.

    Example:  paperworks send file 2024-08-22 --lang en --out page.txt
    """
    from paperworks.papers.send import send_file
    from paperworks.papers.text import render_text

    page, _ = _page_and_journal(target, pages)
    link = _link(page, base_url)
    if out is None:
        sys.stdout.write(render_text(page, language=language, link=link))
    else:
        send_file(page, out, language=language, link=link)


def _page_and_journal(target: str | None, pages: Path) -> tuple[Page, Journal]:
    """The page asked for, and the journal in the folder of pages, else beside the page."""
    import datetime

    from paperworks.papers.records import load_page
    from paperworks.papers.send import JOURNAL, Journal
    from paperworks.papers.site import find_pages

    path: Path | str
    try:
        date = None if target is None else datetime.date.fromisoformat(target)
    except ValueError:
        path = Path(str(target))
    else:
        found = find_pages(pages) if target is None or pages.is_dir() else {}
        path = list(found.values())[-1] if date is None else found.get(date) or str(date)
    page = load_page(path)
    beside = pages if pages.is_dir() else path.parent if isinstance(path, Path) else Path()
    return page, Journal(beside / JOURNAL)


def _link(page: Page, base_url: str | None) -> str | None:
    """Where the page is in the site at `base_url`."""
    from paperworks.papers.html import day_path
    from paperworks.papers.site import checked_address

    address = checked_address(base_url)
    return address + day_path(page.date) if address else None


def _report(page: Page, done: Sent, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print(json.dumps({"date": str(page.date), **asdict(done)}, ensure_ascii=False))
    elif done.sent:
        print(f"{page.date} to {done.to}: {done.sent} messages sent")
    else:
        print(f"{page.date} to {done.to}: sent before (--force sends it again)")

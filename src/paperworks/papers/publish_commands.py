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

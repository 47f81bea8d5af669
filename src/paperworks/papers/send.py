"""Sending a page: the journal that keeps it from being sent twice, and the page as a text file.

The journal, `.sent.json` beside the pages, says what has been sent where, so that running again sends nothing
twice and a run that was interrupted goes on with what is missing. `slack.py` and `mail.py` write it.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperworks.errors import InputError, require
from paperworks.files import write_json, write_text
from paperworks.papers.model import Page
from paperworks.papers.text import render_text

JOURNAL = ".sent.json"
JOURNAL_FORMAT = "paperworks.sent/1"


@dataclass(frozen=True)
class Sent:
    """Where a page went, how many messages were sent now, how many papers or readers had it before."""

    to: str
    sent: int
    before: int


class Journal:
    """What has been sent: `entry(date, place)` is a mapping that belongs to one page and one place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other runs out. Raises `InputError` where one is at work."""
        require("daily", "filelock")
        from filelock import FileLock, Timeout

        try:
            with FileLock(f"{self.path}.lock", timeout=0):
                yield
        except Timeout:
            raise InputError(f"another run is sending pages ({self.path}.lock): wait for its end") from None

    def entry(self, date: datetime.date, place: str) -> dict[str, Any]:
        return dict(self._read().get(str(date), {}).get(place, {}))

    def write(self, date: datetime.date, place: str, entry: Mapping[str, Any]) -> None:
        sent = self._read()
        sent.setdefault(str(date), {})[place] = dict(entry)
        write_json(self.path, {"format": JOURNAL_FORMAT, "sent": sent})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path} cannot be read ({error}): mend it, or remove it to send again"
            ) from error
        if not isinstance(kept, dict) or kept.get("format") != JOURNAL_FORMAT:
            raise InputError(f"{self.path} is no journal of sent pages: move it away")
        return kept["sent"]


def send_file(
    page: Page, path: str | os.PathLike[str], *, language: str | None = None, link: str | None = None
) -> None:
    """Write the page as plain text (`render_text`). Raises `InputError` where the file cannot be written."""
    write_text(path, render_text(page, language=language, link=link))

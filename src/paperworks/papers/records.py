"""The pages that ship with the library, one JSON record a day, and pages in files."""

from __future__ import annotations

import datetime
import os
import re
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from paperworks.errors import InputError
from paperworks.papers.markdown import parse_markdown
from paperworks.papers.model import Page

_SHELF = files("paperworks.papers") / "pages"


def available_pages() -> list[datetime.date]:
    """The dates of the pages that ship with the library."""
    return [
        datetime.date.fromisoformat(f"{year.name}-{month.name}-{day.name.removesuffix('.json')}")
        for year in sorted(_SHELF.iterdir(), key=lambda entry: entry.name)
        if year.is_dir()
        for month in sorted(year.iterdir(), key=lambda entry: entry.name)
        for day in sorted(month.iterdir(), key=lambda entry: entry.name)
        if day.name.endswith(".json")
    ]


def load_page(target: str | os.PathLike[str] | datetime.date, *, strict: bool = False) -> Page:
    """The shipped page of a date (`YYYY-MM-DD`), or the page in a `.json` or Markdown file.

    `strict` is `parse_markdown`'s. A Markdown file without a dated heading takes the date of its name, if that is one.
    Raises `InputError` for a date that is not there and for a file that is not a page.
    """
    if isinstance(target, datetime.date) or re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", str(target)):
        return _shipped(str(target))
    path = Path(target)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        shipped = ", ".join(map(str, available_pages()))
        raise InputError(
            f"{path}: no such file; give a .md or .json page or one of the dates {shipped}"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a .md or .json page") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a page: it is not UTF-8 text (byte {error.start})") from error
    if path.suffix.lower() == ".json":
        return _from_json(text, str(path))
    try:
        return parse_markdown(text, strict=strict, date=_date_or_none(path.stem))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _shipped(date: str) -> Page:
    day = _date_or_none(date)
    if day not in (shipped := available_pages()):
        problem = f"there is no page of {date}" if day else f"{date} is no date"
        raise InputError(f"{problem}; the pages here: {', '.join(map(str, shipped))}")
    record = _SHELF / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}.json"
    return _from_json(record.read_text(encoding="utf-8"), f"the record of {date}")


def _from_json(text: str, where: str) -> Page:
    try:
        return Page.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where} is not a page: {place + ': ' if place else ''}{first['msg']}") from error


def _date_or_none(text: str) -> datetime.date | None:
    try:
        return datetime.date(*map(int, text.split("-")))
    except (ValueError, TypeError):
        return None

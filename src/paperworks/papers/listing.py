"""Reads the day's list of papers from the Hugging Face Hub: `GET /api/daily_papers?date=DATE`.

The request goes through `Web` and not through `huggingface_hub`, whose `list_daily_papers` (2.4) asks once without a
retry, returns the first 50 papers, and drops the repository and the project page, which stand inside of `paper`.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from paperworks.errors import InputError
from paperworks.papers.model import one_line
from paperworks.papers.web import FetchError, Web

FIRST_DAY = datetime.date(2023, 5, 4)
"""The first day that the Hub has a list of."""

_A_PAGE = 100
_FULL = 50  # a server that caps the length of a page gives no fewer than its default
_MOST_PAGES = 20
_ARXIV_ID = re.compile(r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?")
_VIDEO = re.compile(r"[^?#]*\.(?:mp4|m4v|mov|webm|ogv)(?:[?#].*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """A paper as the list has it: `authors` in the paper's order, links only to http(s), `None` for what is not there.

    `models`, `datasets` and `spaces` are links to the Hub; the list itself leaves them out, see `add_links`.
    """

    arxiv_id: str
    title: str
    authors: tuple[str, ...] = ()
    abstract: str = ""
    votes: int | None = None
    thumbnail: str | None = None
    video: str | None = None
    code: str | None = None
    project_page: str | None = None
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()


def list_day(
    date: datetime.date | str,
    *,
    web: Web,
    hub_url: str | None = None,
    max_age: float = 900.0,
) -> list[Listing]:
    """The papers on the list of `date` (a day in UTC), the most voted first, all pages of the list; none on a weekend.

    A list fetched less than `max_age` seconds ago is used again; an older one is asked for anew, since votes change.
    `hub_url` is the Hub's address; default: `HF_ENDPOINT`, else https://huggingface.co.
    Raises `InputError` for a date before 2023-05-04 or after today before anything is asked for, and `FetchError`.
    """
    day = _checked(date)
    found: dict[str, Listing] = {}
    for number in range(_MOST_PAGES):
        url = f"{_hub(hub_url)}/api/daily_papers?date={day}&limit={_A_PAGE}&p={number}"
        page = [_listing(entry, url, web, hub_url) for entry in _entries(url, web, max_age)]
        new = [listing for listing in page if listing.arxiv_id not in found]
        for listing in new:
            found.setdefault(listing.arxiv_id, listing)
        if len(page) < _FULL or not new:
            break
    return sorted(found.values(), key=lambda listing: -(listing.votes or 0))


def add_links(listing: Listing, *, web: Web, hub_url: str | None = None) -> Listing:
    """The listing with the models, datasets and spaces that the Hub links to the paper: one request a paper.

    Raises `FetchError`.
    """
    url = f"{_hub(hub_url)}/api/papers/{quote(listing.arxiv_id)}"
    links = _listing(_json(url, web, None), url, web, hub_url)
    return replace(listing, models=links.models, datasets=links.datasets, spaces=links.spaces)


def _checked(date: datetime.date | str) -> datetime.date:
    try:
        day = datetime.date.fromisoformat(date) if isinstance(date, str) else date
    except ValueError as error:
        raise InputError(f"{date!r} is no date: give one such as 2024-08-22") from error
    today = datetime.datetime.now(datetime.UTC).date()
    if day < FIRST_DAY:
        raise InputError(f"there is no list of {day}: the first is of {FIRST_DAY}")
    if day > today:
        raise InputError(f"{day} is in the future: the newest list is of {today} (UTC)")
    return day


def _hub(hub_url: str | None) -> str:
    return (hub_url or os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _json(url: str, web: Web, max_age: float | None) -> Any:
    fetched = web.get(url, max_age=max_age)
    try:
        return json.loads(fetched.content)
    except ValueError as error:
        web.forget(url)
        kind = fetched.media_type or "something"
        raise FetchError(url, f"the answer is not JSON but {kind}; is this a Hugging Face Hub?") from error


def _entries(url: str, web: Web, max_age: float) -> Iterator[Any]:
    entries = _json(url, web, max_age)
    if not isinstance(entries, list):
        web.forget(url)
        raise FetchError(url, "the answer is no list of papers; is this a Hugging Face Hub?")
    yield from entries


def _either(name: str) -> Any:
    return Field(default=None, validation_alias=AliasChoices(AliasPath("paper", name), name))


class _Named(BaseModel):
    name: str = ""


class _Repo(BaseModel):
    id: str


class _Entry(BaseModel):
    """The fields of the Hub's JSON that are used: of `paper` in the list, at the top in the answer for one paper."""

    id: str = Field(validation_alias=AliasChoices(AliasPath("paper", "id"), "id"))
    title: str | None = _either("title")
    authors: list[_Named] | None = _either("authors")
    summary: str | None = _either("summary")
    upvotes: int | None = _either("upvotes")
    thumbnail: str | None = Field(
        default=None, validation_alias=AliasChoices("thumbnail", AliasPath("paper", "thumbnail"))
    )
    media: list[str] | None = Field(
        default=None, validation_alias=AliasChoices("mediaUrls", AliasPath("paper", "mediaUrls"))
    )
    code: str | None = _either("githubRepo")
    project_page: str | None = _either("projectPage")
    models: list[_Repo] | None = _either("linkedModels")
    datasets: list[_Repo] | None = _either("linkedDatasets")
    spaces: list[_Repo] | None = _either("linkedSpaces")

    @field_validator(
        "thumbnail", "media", "code", "project_page", "models", "datasets", "spaces", mode="wrap"
    )
    @classmethod
    def _optional(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        # A link in a form that is not known is no reason to do without the day's list.
        try:
            return handler(value)
        except ValidationError:
            return None


def _listing(data: Any, url: str, web: Web, hub_url: str | None) -> Listing:
    try:
        entry = _Entry.model_validate(data)
    except ValidationError as error:
        web.forget(url)
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise FetchError(
            url, f"an entry is not a paper of the Hub ({place + ': ' if place else ''}{first['msg']})"
        ) from error
    match = _ARXIV_ID.fullmatch(entry.id)
    authors = [one_line(author.name) for author in entry.authors or ()]
    hub = _hub(hub_url)
    return Listing(
        arxiv_id=match[1] if match else entry.id,
        title=" ".join((entry.title or entry.id).split()),
        authors=tuple(name for name in authors if name),
        abstract=" ".join((entry.summary or "").split()),
        votes=None if entry.upvotes is None else max(entry.upvotes, 0),
        thumbnail=_web_link(entry.thumbnail),
        video=next((link for link in entry.media or () if _VIDEO.fullmatch(link) and _web_link(link)), None),
        code=_web_link(entry.code),
        project_page=_web_link(entry.project_page),
        models=tuple(f"{hub}/{quote(repo.id)}" for repo in entry.models or ()),
        datasets=tuple(f"{hub}/datasets/{quote(repo.id)}" for repo in entry.datasets or ()),
        spaces=tuple(f"{hub}/spaces/{quote(repo.id)}" for repo in entry.spaces or ()),
    )


def _web_link(link: str | None) -> str | None:
    link = (link or "").strip()
    return link if re.match(r"https?://\S", link, re.IGNORECASE) else None

"""A static site of daily pages: a page a day, an index by month with search in the browser, and an Atom feed.

It needs no server: opened from disk it works as it does on the web. What has not changed is not written
again, and what the site no longer has is removed, if an earlier build wrote it (`.site.json` lists what did).
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperworks.errors import InputError, require
from paperworks.files import write_json, write_text
from paperworks.papers.html import Neighbours, anchors_of, day_path, environment, render_html
from paperworks.papers.model import Page
from paperworks.papers.records import load_page
from paperworks.papers.search import index_script
from paperworks.papers.words import interface_language, words_in

LIST = ".site.json"
LIST_FORMAT = "paperworks.site/1"
LIBRARY = ("minisearch.js", "minisearch.LICENSE.txt")
TOP = 3
OPEN_MONTHS = 2
_DAY = re.compile(r"(?:^|/)(\d{4})[-/](\d{2})[-/](\d{2})\.(json|md)$")
_SCRIPT_WORDS = ("loading", "not loaded", "found none", "found one", "found", "and others")


@dataclass(frozen=True)
class Report:
    """What a build did: counts of files, the size of the search index in bytes, and seconds."""

    out: str
    days: int
    papers: int
    written: int
    unchanged: int
    removed: int
    index_bytes: int
    seconds: float


def find_pages(folder: str | os.PathLike[str]) -> dict[datetime.date, Path]:
    """The page files below a folder by date, oldest first: `YYYY/MM/DD.json`, `YYYY-MM-DD.md` and the like.

    A day that has both is read from its `.json` record. Raises `InputError` where there is no page, or where
    a day has two files of one kind.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of daily pages")
    found: dict[datetime.date, Path] = {}
    for path in sorted(path for ending in ("json", "md") for path in folder.rglob(f"*.{ending}")):
        match = _DAY.search(path.relative_to(folder).as_posix())
        try:
            date = datetime.date(*map(int, match.groups()[:3])) if match else None
        except ValueError:
            date = None
        if date is None:
            continue
        if date in found and found[date].suffix == path.suffix:
            raise InputError(f"two pages of {date}: {found[date]} and {path}; remove one")
        if date not in found or path.suffix == ".json":
            found[date] = path
    if not found:
        raise InputError(f"no pages in {folder}: expected files such as 2024/08/22.json or 2024-08-22.md")
    return dict(sorted(found.items()))


def read_evidence(folder: str | os.PathLike[str]) -> dict[str, list[dict[str, Any]]]:
    """The evidence records by arXiv id, in their order, from the folder `OUT/DATE` of `paperworks reproduce`.

    Raises `InputError` where the folder is none of those.
    """
    folder = Path(folder)
    records: dict[str, list[dict[str, Any]]] = {}
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        for claim in summary["claims"]:
            if claim["evidence"]:
                record = json.loads((folder / claim["evidence"]).read_text(encoding="utf-8"))
                records.setdefault(record["claim"]["paper"], []).append(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} has no evidence that can be read ({type(error).__name__}: {error}); "
            "give the folder OUT/DATE that `paperworks reproduce` wrote"
        ) from error
    return records


def build_site(
    pages: str | os.PathLike[str] | Sequence[Page],
    out: str | os.PathLike[str],
    *,
    title: str | None = None,
    base_url: str | None = None,
    language: str | None = None,
    evidence: str | os.PathLike[str] | None = None,
    commands: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Build the site of a folder of pages (see `find_pages`), or of pages, in the folder `out`.

    `title` is the index's and the feed's (default: `Daily Papers` in the interface's language); `base_url` is
    where the site will be on the web, for the feed, whose links otherwise begin with `feed.NOWHERE`;
    `language` is as in `render_html` (default: the newest page's). `evidence` is a folder that `paperworks
    reproduce` wrote; `commands` maps arXiv ids to the command that runs the method on a reader's own model.
    `progress` is called with the days drawn and all days.

    A day without papers is left out. Raises `InputError` for a file that is no page or is of another day, for
    two pages of one day, for an `out` that holds a site of someone else, and for a `base_url` that is no
    address.
    """
    require("daily", "feedgen")
    from paperworks.papers.feed import atom_feed

    start = time.perf_counter()
    out, base_url = Path(out), checked_address(base_url)
    days = [page for page in _read(pages) if page.papers]
    if not days:
        raise InputError(f"no papers on the pages given: there is nothing to build in {out}")
    language = language or days[-1].language or "ko"
    shown = [page.in_language(language) if language in page.languages() else page for page in days]
    records = read_evidence(evidence) if evidence is not None else {}
    made = _made_before(out)

    newest_first = shown[::-1]
    script = index_script(newest_first)
    scripts = {"search-index.js": script} | {name: _library_text(name) for name in LIBRARY}
    texts = {
        "index.html": _index(newest_first, title, language, scripts),
        **scripts,
        "feed.xml": atom_feed(
            newest_first,
            title=title or words_in(language)["daily papers"],
            base_url=base_url,
            language=language,
        ),
    }
    paths = [*texts, *(day_path(page.date) for page in shown)]
    if not {*paths} <= {*made}:
        write_json(out / LIST, {"format": LIST_FORMAT, "files": sorted({*made, *paths})})
    written = 0
    dates = [None, *(page.date for page in shown), None]
    for place, page in enumerate(shown):
        html = render_html(
            page,
            language=language,
            evidence=records,
            figure_folder=Path(evidence) / "figures" if evidence is not None else None,
            commands=commands,
            neighbours=Neighbours(dates[place], dates[place + 2]),
        )
        written += _write_changed(out / day_path(page.date), html)
        if progress is not None:
            progress(place + 1, len(shown))
    written += sum(_write_changed(out / path, text) for path, text in texts.items())
    removed = sum(_remove(out, path) for path in sorted({*made} - {*paths}))
    if {*paths} != {*made}:
        write_json(out / LIST, {"format": LIST_FORMAT, "files": sorted(paths)})
    return Report(
        out=str(out),
        days=len(shown),
        papers=sum(len(page.papers) for page in shown),
        written=written,
        unchanged=len(paths) - written,
        removed=removed,
        index_bytes=len(script.encode()),
        seconds=round(time.perf_counter() - start, 2),
    )


def _read(pages: str | os.PathLike[str] | Sequence[Page]) -> list[Page]:
    """The pages, oldest first."""
    if isinstance(pages, str | os.PathLike):
        read = []
        for date, path in find_pages(pages).items():
            page = load_page(path)
            if page.date != date:
                raise InputError(f"{path} is the page of {page.date}: give it that name, or correct its date")
            read.append(page)
        return read
    read = sorted(pages, key=lambda page: page.date)
    for one, other in itertools.pairwise(read):
        if one.date == other.date:
            raise InputError(f"two pages of {one.date}: give one page a day")
    return read


def checked_address(base_url: str | None) -> str | None:
    """`base_url` with a slash at its end. Raises `InputError` where it is no address of a site."""
    if base_url is None:
        return None
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", base_url):
        raise InputError(
            f"{base_url!r} is no address of a site: give one such as https://example.org/papers/"
        )
    return base_url.rstrip("/") + "/"


def _made_before(out: Path) -> list[str]:
    """The files that earlier builds wrote. Raises `InputError` for a folder with an index that none wrote."""
    try:
        listed = json.loads((out / LIST).read_text(encoding="utf-8"))
        return [path for path in listed["files"] if isinstance(path, str)]
    except (OSError, ValueError, KeyError, TypeError):
        index = out / "index.html"
        if index.is_file() and b'name="generator" content="paperworks"' not in index.read_bytes()[:2000]:
            raise InputError(
                f"{index} was not made by paperworks: choose another folder or remove it"
            ) from None
        return []


def _library_text(name: str) -> str:
    """A file of the search library, byte for byte as npm has it."""
    return (Path(__file__).parent / "templates" / name).read_bytes().decode()


def _index(pages: Sequence[Page], title: str | None, language: str, scripts: Mapping[str, str]) -> str:
    words = words_in(language)
    months: list[dict[str, Any]] = []
    for _, group in itertools.groupby(pages, key=lambda page: (page.date.year, page.date.month)):
        days: list[dict[str, Any]] = [
            {"date": page.date, "papers": len(page.papers), "top": _most_voted(page)} for page in group
        ]
        months.append(
            {
                "first": days[0]["date"],
                "days": days,
                "papers": sum(day["papers"] for day in days),
                "open": len(months) < OPEN_MONTHS,
            }
        )
    return (
        environment()
        .get_template("site.html.j2")
        .render(
            title=title or words["daily papers"],
            tag=interface_language(language),
            w=words,
            papers=sum(len(page.papers) for page in pages),
            days=len(pages),
            first=pages[-1].date,
            last=pages[0].date,
            months=months,
            fingerprints={
                name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in scripts.items()
            },
            script_words={name: words[name] for name in _SCRIPT_WORDS},
        )
    )


def _most_voted(page: Page) -> list[dict[str, Any]]:
    """The papers with the most votes; of equal ones those that stand first."""
    papers: list[dict[str, Any]] = [
        {"title": paper.title, "votes": paper.votes, "anchor": anchor}
        for paper, anchor in zip(page.papers, anchors_of(page), strict=True)
    ]
    return sorted(papers, key=lambda paper: -(paper["votes"] if paper["votes"] is not None else -1))[:TOP]


def _write_changed(path: Path, text: str) -> bool:
    try:
        if path.read_bytes() == text.encode():
            return False
    except OSError:
        pass
    write_text(path, text)
    return True


def _remove(out: Path, path: str) -> bool:
    """Remove a file that an earlier build listed, and folders left empty; never outside `out`."""
    file = out / path
    if not file.resolve().is_relative_to(out.resolve()) or not file.is_file():
        return False
    file.unlink()
    for folder in file.parents:
        if folder == out or any(folder.iterdir()):
            break
        folder.rmdir()
    return True

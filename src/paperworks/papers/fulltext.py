"""Finds the text of a paper: arXiv's HTML, else its PDF, else the abstract alone; or a file on disk.

A paper without a text is rare and a paper whose HTML is broken is not, so each form that is of no use says why and
gives way to the next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from paperworks.errors import InputError, require
from paperworks.papers.latexml import Unusable, read_html
from paperworks.papers.listing import Listing
from paperworks.papers.pdf import read_pdf
from paperworks.papers.source import Section, Source
from paperworks.papers.web import Fetched, FetchError, Web

LEAST_TEXT = 1500
"""Characters that a form must have beyond the abstract: what has fewer is an error page or a scan."""

_ARXIV_ID = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?")
_PDF = b"%PDF-"


def read_source(
    paper: Listing | str,
    *,
    web: Web,
    arxiv_url: str = "https://arxiv.org",
    report: Callable[[str], object] | None = None,
) -> Source:
    """The text of a paper, given as its listing or its arXiv id (`2408.11796`, `cs/0701001`, also with a version).

    `kind` and `url` of the result say what was used. `report` is called with one short reason for each form that was
    of no use, such as "HTML: HTTP 404 Not Found". Raises `FetchError` where there is not even an abstract, and
    `InputError` for an id that is none.
    """
    require("daily", "lxml", "pypdf")
    arxiv_id = paper if isinstance(paper, str) else paper.arxiv_id
    abstract = "" if isinstance(paper, str) else paper.abstract
    if isinstance(paper, str) and not _ARXIV_ID.fullmatch(paper):
        raise InputError(f"{paper!r} is no arXiv id: give one such as 2408.11796 or cs/0701001")
    reasons = []
    base = arxiv_url.rstrip("/")
    forms = [("HTML", f"{base}/html/{arxiv_id}", _html), ("PDF", f"{base}/pdf/{arxiv_id}", _pdf)]
    for name, url, read in forms if _ARXIV_ID.fullmatch(arxiv_id) else []:
        try:
            fetched = web.get(url)
            return Source(read(fetched), "html" if name == "HTML" else "pdf", fetched.url)
        except Unusable as error:
            web.forget(url)
            reasons.append(f"{name}: {error}")
        except FetchError as error:
            reasons.append(f"{name}: {error.reason}")
        if report:
            report(reasons[-1])
    if not abstract:
        raise FetchError(f"{base}/abs/{arxiv_id}", "; ".join(reasons) or "it is not on arXiv")
    sections = (
        (Section("Title", paper.title), Section("Abstract", abstract)) if isinstance(paper, Listing) else ()
    )
    return Source(sections, "abstract", f"{base}/abs/{arxiv_id}")


def _html(fetched: Fetched) -> tuple[Section, ...]:
    if fetched.media_type not in ("text/html", "application/xhtml+xml") or fetched.content.startswith(_PDF):
        raise Unusable(f"the answer is {fetched.media_type or 'of no type'}, not HTML")
    return read_html(fetched.content, fetched.charset, least=LEAST_TEXT)


def _pdf(fetched: Fetched) -> tuple[Section, ...]:
    if not fetched.content[:1024].lstrip().startswith(_PDF):
        raise Unusable(f"the answer is {fetched.media_type or 'of no type'}, not a PDF")
    return read_pdf(fetched.content, least=LEAST_TEXT)


def read_file(path: str | os.PathLike[str]) -> Source:
    """The text of a paper in a file: `.html`, `.htm`, `.pdf`, `.txt` or `.md` (whose headings open sections).

    Raises `InputError` for a file that cannot be read, is of another kind, or has no text.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".html", ".htm", ".pdf", ".txt", ".md"):
        raise InputError(f"{path}: not a text that can be read; give a .html, .pdf, .txt or .md file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a .html, .pdf, .txt or .md file") from error
    try:
        if kind == ".pdf":
            require("daily", "pypdf")
            source = Source(read_pdf(content), "pdf")
        elif kind in (".html", ".htm"):
            require("daily", "lxml")
            source = Source(read_html(content), "html")
        else:
            text = content.decode("utf-8-sig").replace("\r\n", "\n")
            source = Source(tuple(_markdown(text)) if kind == ".md" else (Section("", text.strip()),), "text")
    except Unusable as error:
        raise InputError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: it is not UTF-8 text (byte {error.start})") from error
    if not any(section.text for section in source.sections):
        raise InputError(f"{path}: there is no text in it")
    return source


def _markdown(text: str) -> list[Section]:
    parts: list[tuple[str, list[str]]] = [("", [])]
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r" {0,3}(```+|~~~+)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        heading = None if fence else re.fullmatch(r" {0,3}#{1,6}(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*", line)
        if heading:
            parts.append(((heading[1] or "").strip(), []))
        else:
            parts[-1][1].append(line)
    sections = [Section(heading, "\n".join(lines).strip()) for heading, lines in parts]
    return [section for section in sections if section.heading or section.text]

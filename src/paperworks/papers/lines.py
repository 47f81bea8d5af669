"""What a single line of a page says: a heading, the label of a section, a point, or a fact such as the votes."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any, Literal

from paperworks.papers.model import NAME_LENGTH, arxiv_id_in, bare_name, usual_name

LINK = r"[^\s\"<>\[\]]"
LINKED = re.compile(rf"\[(.*)\]\(({LINK}*)\)(?![ \t]*(?:```|~~~))[ \t]*(.*)")
HEADING = re.compile(r"(#{1,6})(?:[ \t]+|(?=\[))(.*)")
FENCE = re.compile(r"(```+|~~~+)")
VIDEO = re.compile(
    rf"(<div>\s*)?<video(?:\s+controls)?\s+src=\"({LINK}+)\"(?:\s+controls)?(?:\s+muted=\"false\")?\s*>"
    r"\s*</video>(?(1)\s*</div>)"
)

_DAY = re.compile(r"Daily Papers[ \t]*\(?(\d{4}-\d{1,2}-\d{1,2})\)?", re.IGNORECASE)
_DATE = re.compile(r"(?<!\d)(20\d\d)[-./년][ \t]*(\d{1,2})[-./월][ \t]*(\d{1,2})(?!\d)")
_IMAGE = re.compile(rf"!\[\]\(({LINK}+)\)")
_WATCH = re.compile(rf"\[Watch Video\](?:\(({LINK}+)\)|(https?://{LINK}+))", re.IGNORECASE)
_FACT = re.compile(
    r"\*{0,3}(votes?|upvotes?|투표|authors?|저자|code|코드|arxiv)\*{0,3}[ \t]*[:：][ \t]*\*{0,3}[ \t]*(.*)",
    re.IGNORECASE,
)
_FIELDS = {"vote": "votes", "upvote": "votes", "투표": "votes", "author": "authors", "저자": "authors"}
_FIELDS |= {"code": "code", "코드": "code", "arxiv": "arxiv"}
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,2}")
_MARKER = re.compile(r"[-*+•·–—‒][ \t]+(?=\S)|-(?=[^\W\d_]|\*\*)")
_NUMBERED = re.compile(r"\d{1,2}[.)][ \t]+(?=\S)")
_LABEL = re.compile(r"\*{1,3}([^*]{1,100})\*{1,3}(.*)")
_QUOTED = re.compile(r"[ \t]*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")[ \t]*(?:,|$)")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U(000[0-9a-f]{5}|0010[0-9a-f]{4})|(t)|([\\'\"]))")


@dataclass
class Heading:
    """What a heading opens: a day (with its date, if it has one), a paper, or a section of the paper above."""

    kind: Literal["day", "paper", "section"]
    text: str
    url: str | None = None
    date: datetime.date | None = None
    tail: str = ""


_MARKUP = re.compile(r"[#>|<`~\\]|!?\[|\*\*|---|\d+[.)]|https?://")
_SENTENCE_ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "…", "다", "요", "함", "됨", "음")


def read_heading(line: str) -> Heading | None:
    """The heading on `line`; `None` for none, and for a deeper one without a link, which is content."""
    match = HEADING.fullmatch(line)
    if not match or not match[2].strip():
        return None
    level, text = len(match[1]), match[2].strip()
    linked = LINKED.fullmatch(text)
    shown = linked[1].strip() if linked and level <= 2 else text
    date = _find_date(shown)
    if _DAY.fullmatch(shown) and (date or level <= 2):
        return Heading("day", text, date=date)
    if linked:
        return Heading("paper", linked[1].strip(), linked[2] or None, tail=linked[3])
    if level <= 2 and (date or re.search(r"daily\s*papers?", text, re.IGNORECASE)):
        return Heading("day", text, date=date)
    name = usual_name(text.strip("*:： "))
    if name:
        return Heading("section", name)
    return Heading("paper", text) if level <= 3 else None


def _find_date(text: str) -> datetime.date | None:
    for match in _DATE.finditer(text):
        try:
            return datetime.date(*map(int, match.groups()))
        except ValueError:
            continue
    return None


def read_label(text: str) -> tuple[str, str] | None:
    """The name of a section and what follows it, where `text` begins with one.

    Any name between bold markers with a colon in or behind them; one of the usual names also without one of the two.
    """
    if match := _LABEL.match(text):
        name, rest = bare_name(match[1]), match[2].lstrip(" \t")
        colon = rest.startswith((":", "："))
        if usual_name(name) or ((colon or name != match[1].strip()) and 1 <= len(name) <= NAME_LENGTH):
            return usual_name(name) or name, rest[1 if colon else 0 :].lstrip(" \t")
    name, colon_mark, rest = text[:100].replace("：", ":").partition(":")
    if colon_mark and (usual := usual_name(name.strip("* \t"))):
        rest = text[len(name) + 1 :].lstrip(" \t")
        return usual, rest.lstrip("* \t") if rest.count("**") % 2 else rest
    return None


def read_point(content: str) -> tuple[str | None, str]:
    """The text of a list item (`None` for another line) and the text in which a label may stand.

    The number of a numbered item belongs to its text, but not to a label's.
    """
    if match := _MARKER.match(content):
        point = content[match.end() :]
        return point, point
    if match := _NUMBERED.match(content):
        return content, content[match.end() :]
    return None, content


def read_fact(content: str) -> tuple[Any, Any]:
    """The field of `Paper` that a line states and its value, or `(None, None)`."""
    if match := _IMAGE.fullmatch(content):
        return "thumbnail", match[1]
    if match := _WATCH.fullmatch(content):
        return "video", match[1] or match[2]
    if match := VIDEO.fullmatch(content):
        return "video", match[2]
    match = _FACT.fullmatch(content)
    if not match:
        return None, None
    word, value = match[1].lower(), match[2].strip()
    name = _FIELDS.get(word) or _FIELDS[word.removesuffix("s")]
    if name == "votes" and value in ("", "-", "–", "—"):
        return name, None
    if name == "votes" and _NUMBER.fullmatch(value):
        return name, int(value.replace(",", ""))
    if name == "authors" and value != "-" and (authors := read_authors(value)):
        return name, authors
    if name == "code" and re.fullmatch(rf"https?://{LINK}+", value):
        return name, value
    if name == "arxiv" and arxiv_id_in(f"arxiv.org/abs/{value}") == value:
        return name, value
    return None, None


def opens_list_of_authors(content: str) -> bool:
    """Whether a list of authors in brackets begins on this line and does not end on it."""
    match = _FACT.fullmatch(content)
    return bool(match and match[2].startswith("[") and not match[2].rstrip().endswith("]"))


def read_authors(value: str) -> list[str]:
    """Names between commas, or a Python list of quoted names, damaged or not."""
    if value.startswith("["):
        names, place, body = [], 1, value.removesuffix("]")
        while match := _QUOTED.match(body, place):
            names.append(_ESCAPE.sub(_unescape, match[1] if match[1] is not None else match[2]))
            place = match.end()
        if names and place == len(body):
            return [name for name in names if name.strip()]
        inner = body[1:].strip()
        if re.search(r"""['"],[ \t]*['"]""", inner):
            inner = inner.strip("'\", \t")
            return [name.strip() for name in re.split(r"""['"],[ \t]*['"]""", inner) if name.strip()]
        value = inner if value.endswith("]") else value
    return [name.strip() for name in value.split(",") if name.strip()]


def write_authors(authors: list[str]) -> str:
    """Names between commas where they read back so, else a list in brackets."""
    plain = ", ".join(authors)
    return plain if read_fact(f"Authors: {plain}") == ("authors", authors) else repr(authors)


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else "\t" if match[4] else match[5]


def reads_as_text(content: str) -> bool:
    """Whether a line under a paper reads as text: Markdown of some kind, a long line, or one that ends a sentence."""
    return (
        bool(_MARKUP.match(content))
        or len(content) >= 60
        or content.rstrip(")\"'”’*").endswith(_SENTENCE_ENDS)
    )

"""What a page is: the day's papers, each with its facts, its sections and its bullets.

The record of a day is `page.model_dump_json(indent=2)`; every rendering is made from it. Markdown carries all of it
except `source`, `language`, `translations`, `figures` and `provenance`, of which it shows one line. What neither can
represent is folded when a model is made:

- a line break in a title, a name or a section's name becomes a space, and control characters become spaces;
- texts lose spaces at the ends of their lines and more than one blank line in a row;
- links are percent-encoded where they hold spaces, quotes, angle or square brackets;
- a section's name has no asterisks, no colon at its end and at most 80 characters, and the three usual names are
  spelled the usual way; empty authors and empty bullets are dropped.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from paperworks.errors import InputError

SECTIONS = ("What's New", "Technical Details", "Performance Highlights", "Corrections")
NAME_LENGTH = 80
Block = Literal["thumbnail", "video", "votes", "authors", "code", "arxiv", "bullet", "section", "text"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ARXIV_ID = r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})"
_ARXIV_LINK = re.compile(rf"(?:arxiv\.org/(?:abs|pdf|html)|huggingface\.co/papers)/{_ARXIV_ID}(?!\d)")
_USUAL = {name.casefold().replace("'", ""): name for name in SECTIONS}


def plain_text(text: str) -> str:
    """`text` with `\\n` as its only line break and without control characters."""
    return _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """`text` on one line: a line break and the spaces around it become one space."""
    return " ".join(line.strip() for line in plain_text(text).strip().split("\n") if line.strip())


def tidy(text: str) -> str:
    """`text` without spaces at the ends of lines, tabs before them, and more than one blank line in a row."""
    lines = [indented(line)[1].rstrip() for line in plain_text(text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def indented(line: str, cut: int = 0) -> tuple[int, str]:
    """The width of a line's indentation (a tab is four) and the line with at most `cut` of it taken away."""
    content = line.lstrip(" \t")
    width = len(line[: len(line) - len(content)].expandtabs(4))
    return width, " " * max(width - cut, 0) + content


def usual_name(name: str) -> str | None:
    """The usual spelling of a section's name, or `None` for any other name."""
    return _USUAL.get(" ".join(re.sub(r"['’‘`´]", "", name.casefold()).split()))


def bare_name(name: str) -> str:
    """`name` without the spaces around it and without colons at its end."""
    while name.endswith((":", "：")) or name != name.strip():
        name = name.strip().removesuffix(":").removesuffix("：")
    return name


def section_name(name: str) -> str:
    """`name` as it can stand between bold markers. Raises `ValueError` where nothing or too much is left."""
    name = bare_name(one_line(name.replace("*", "")))
    if not 1 <= len(name) <= NAME_LENGTH:
        raise ValueError(f"a section's name has 1 to {NAME_LENGTH} characters, not {len(name)}")
    return usual_name(name) or name


def arxiv_id_in(link: str | None) -> str | None:
    """The arXiv id in a link to arXiv or to a Hugging Face papers page, without its version."""
    match = _ARXIV_LINK.search(link or "")
    return match[1] if match else None


def usual_heading(date: datetime.date | None) -> str:
    """The heading of a day."""
    return f"Daily Papers ({date})" if date else "Daily Papers"


def _link(text: str) -> str:
    return re.sub(r"[\s\"<>\[\]]", lambda found: quote(found[0]), plain_text(text).strip())


def _web_link(text: str) -> str:
    if not re.match(r"https?://\S", text):
        raise ValueError(f"a link to code starts with http:// or https://, not {text!r}")
    return text


def _raw(text: str) -> str:
    lines = [line.rstrip() for line in plain_text(text).split("\n")]
    return "\n".join(lines).strip()


def _arxiv_id(text: str) -> str:
    if not re.fullmatch(_ARXIV_ID, text):
        raise ValueError(f"{text!r} is no arXiv id such as 2408.08793 or cs/0701001 (without a version)")
    return text


def _not_empty(texts: list[str]) -> list[str]:
    return [text for text in texts if text]


def _sections(sections: dict[str, str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for name, text in sections.items():
        if section_name(name) in named:
            raise ValueError(f"two sections are called {section_name(name)!r}")
        named[section_name(name)] = text
    return named


Line = Annotated[str, AfterValidator(one_line)]
Link = Annotated[str, AfterValidator(_link)]
Lines = Annotated[list[Line], AfterValidator(_not_empty)]
Text = Annotated[str, AfterValidator(tidy)]
Texts = Annotated[list[Text], AfterValidator(_not_empty)]
Raws = Annotated[list[Annotated[str, AfterValidator(_raw)]], AfterValidator(_not_empty)]
Sections = Annotated[dict[str, Text], AfterValidator(_sections)]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]


class FigureCheck(BaseModel):
    """A quantity of a summary and what the paper's own text says about it.

    `start` and `end` are offsets in the checked text, which on a page is the paper's section `section`.
    """

    model_config = ConfigDict(extra="forbid")

    text: str
    start: int
    end: int
    value: float | None
    unit: str
    verdict: Literal["found", "derived", "unfounded", "elsewhere"]
    source_start: int | None
    source_text: str | None
    note: str = ""
    section: str = ""


class Quoted(BaseModel):
    """A sentence of the paper that a section quotes: `source.text[start:end]`, under `heading`."""

    model_config = ConfigDict(extra="forbid")

    section: str
    text: str
    start: int
    end: int
    heading: str


class Provenance(BaseModel):
    """How a summary came about.

    `summarizer` made it from `text` (`html`, `pdf`, a `text` file or the `abstract` alone) at `url`, and did not read
    the sections `left_out`; `repaired`: it was sent back once for figures that the paper does not have. `problem`
    says why there is no summary, `notes` what else went wrong. `quotes` are the places of an extractive summary.
    `unknown_names` and `contradictions` are what the check found besides the figures.
    """

    model_config = ConfigDict(extra="forbid")

    summarizer: str | None = None
    language: str | None = None
    text: Literal["html", "pdf", "text", "abstract"] | None = None
    url: str = ""
    left_out: list[str] = []
    repaired: bool = False
    problem: str = ""
    notes: list[str] = []
    quotes: list[Quoted] = []
    unknown_names: list[str] = []
    contradictions: list[str] = []
    project_page: str | None = None
    models: list[str] = []
    datasets: list[str] = []
    spaces: list[str] = []


class Paper(BaseModel):
    """One paper of the day.

    `sections` are in the page's language, `translations` in others, by language tag. `bullets` are points under no
    section. `unplaced` are blocks of raw Markdown that are none of these: paragraphs, tables, code, deeper headings.
    `order` is the order of the blocks on the page where it is not the usual one of `usual_order`. `figures` are the
    checked quantities of `sections`, `provenance` says how these came about.
    """

    model_config = ConfigDict(extra="forbid")

    title: Line
    arxiv_id: Annotated[str, AfterValidator(_arxiv_id)] | None = None
    url: Link | None = None
    thumbnail: Link | None = None
    video: Link | None = None
    votes: NonNegativeInt | None = None
    authors: Lines = []
    sections: Sections | None = None
    translations: dict[Tag, Sections] = {}
    bullets: Texts = []
    code: Annotated[Link, AfterValidator(_web_link)] | None = None
    figures: list[FigureCheck] = []
    provenance: Provenance | None = None
    unplaced: Raws = []
    order: list[Block] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Paper:
        self.url, self.thumbnail, self.video = self.url or None, self.thumbnail or None, self.video or None
        self.sections = self.sections or None
        linked = arxiv_id_in(self.url)
        if self.arxiv_id and linked and self.arxiv_id != linked:
            raise ValueError(f"arxiv_id {self.arxiv_id} is not the one of {self.url}")
        self.arxiv_id = self.arxiv_id or linked
        if self.arxiv_id and not self.url:
            self.url = f"https://arxiv.org/abs/{self.arxiv_id}"
        if self.order == self.usual_order() or not self._fits(self.order):
            self.order = None
        return self

    def usual_order(self) -> list[Block]:
        """Thumbnail, video, votes, authors, code, bullets, the unplaced, sections.

        `Vote: -` is written for a paper without votes that has other facts, as the pages do.
        """
        has_facts = self.votes is not None or self.thumbnail or self.video or self.authors
        times: dict[Block, int] = {
            "thumbnail": bool(self.thumbnail),
            "video": bool(self.video),
            "votes": bool(has_facts),
            "authors": bool(self.authors),
            "code": bool(self.code),
            "arxiv": bool(self.arxiv_id and not arxiv_id_in(self.url)),
            "bullet": len(self.bullets),
            "text": len(self.unplaced),
            "section": len(self.sections or {}),
        }
        return [block for block, count in times.items() for _ in range(count)]

    def blocks(self) -> list[Block]:
        """The order in which the paper is written: its own where that still fits, else the usual one."""
        return self.order if self.order is not None and self._fits(self.order) else self.usual_order()

    def _fits(self, order: list[Block] | None) -> bool:
        if order is None:
            return True
        here, usual = Counter(order), Counter(self.usual_order())
        if self.votes is None:
            usual["votes"] = min(here["votes"], 1)
        if here != usual:
            return False
        texts = iter((self.sections or {}).values())
        followers = zip(order, [*order[1:], ""], strict=True)
        return all(
            block != "section" or next(texts) or after not in ("bullet", "text") for block, after in followers
        )


class Batch(BaseModel):
    """A further heading within a page: `start` papers stand before it. `heading` is its text where it is unusual."""

    model_config = ConfigDict(extra="forbid")

    start: NonNegativeInt
    date: datetime.date | None = None
    heading: Line | None = None
    preamble: Raws = []

    @model_validator(mode="after")
    def _consistent(self) -> Batch:
        self.heading = None if self.heading == usual_heading(self.date) else self.heading
        return self


class Page(BaseModel):
    """One day's page.

    `language` is the language of the papers' `sections`; `heading` is the first heading where it is not
    `Daily Papers (DATE)`; `preamble` is what stands before the first paper. A page written in several batches keeps
    all papers in `papers`, in order, a paper listed twice twice, and the further headings in `batches`.
    """

    model_config = ConfigDict(extra="forbid")

    date: datetime.date
    language: Tag | None = None
    source: str | None = None
    heading: Line | None = None
    preamble: Raws = []
    papers: list[Paper] = []
    batches: list[Batch] = []

    @model_validator(mode="after")
    def _consistent(self) -> Page:
        self.heading = None if self.heading == usual_heading(self.date) else self.heading
        starts = [batch.start for batch in self.batches]
        if starts != sorted(starts) or any(start > len(self.papers) for start in starts):
            raise ValueError("batches start at increasing places among the papers")
        return self

    def languages(self) -> list[str]:
        """The page's own language, then those of its translations."""
        tags = [self.language] if self.language else []
        tags += [tag for paper in self.papers for tag in paper.translations]
        return list(dict.fromkeys(tags))

    def in_language(self, language: str) -> Page:
        """The page with `sections` in `language` and what they were among the translations, so that it can go back.

        A paper that lacks the translation keeps its sections as they are. Raises `InputError` that names the
        languages there are.
        """
        if language == self.language:
            return self
        if language not in self.languages() or self.language is None:
            known = ", ".join(self.languages()) or "not recorded"
            raise InputError(f"the page of {self.date} is not there in {language!r}; its languages: {known}")
        papers = [_translated(paper, self.language, language) for paper in self.papers]
        return self.model_copy(update={"papers": papers, "language": language})


def _translated(paper: Paper, old: str, new: str) -> Paper:
    if new not in paper.translations:
        return paper
    translations = {
        (old if tag == new else tag): (paper.sections or {}) if tag == new else sections
        for tag, sections in paper.translations.items()
    }
    return paper.model_copy(
        update={"sections": paper.translations[new] or None, "translations": translations}
    )

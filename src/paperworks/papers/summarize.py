"""What a summary of a paper is, who can make one, and which parts of a long paper are read for it.

A paper is often longer than a model's context or a user's budget. Cutting it at a number of tokens loses the results,
which stand at the end. Here it is cut by section: every section keeps its beginning, the abstract first, references
and appendices last, and nothing ends in the middle of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, Protocol

from paperworks.errors import InputError
from paperworks.papers.model import SECTIONS
from paperworks.papers.sentences import Span, paragraphs, sentences
from paperworks.papers.source import Section, Source

SUMMARY_SECTIONS = SECTIONS[:3]
Part = Literal[
    "abstract", "introduction", "method", "results", "caption", "conclusion", "related", "back", "references"
]
Message = dict[str, str]


class SummaryError(InputError):
    """This paper could not be summarised; the others can be. One line with what came instead."""


@dataclass(frozen=True)
class Quote:
    """A sentence of the paper in a summary: `source.text[start:end]`, under `heading`, quoted in section `section`."""

    section: str
    text: str
    start: int
    end: int
    heading: str


@dataclass(frozen=True)
class Usage:
    """Tokens sent to and got from a model in `calls` calls; `price` in the currency given, else `None`."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    calls: int = 0
    price: float | None = None

    def __add__(self, other: Usage) -> Usage:
        prices = [price for price in (self.price, other.price) if price is not None]
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
            self.calls + other.calls,
            sum(prices) if prices else None,
        )


@dataclass(frozen=True)
class Summary:
    """What a reader wants to know of a paper, by section: "What's New", "Technical Details", "Performance
    Highlights".

    `quotes` are the places of what is quoted word for word (empty for a model's own words). `summarizer` names who
    made it, `language` is the tag of its language. `left_out` are the headings of the sections of which nothing was
    read. `repaired` says that figures were sent back; `messages` is the exchange with the model that a repair goes on
    from.
    """

    sections: dict[str, str]
    summarizer: str
    language: str
    quotes: tuple[Quote, ...] = ()
    usage: Usage = Usage()
    left_out: tuple[str, ...] = ()
    repaired: bool = False
    messages: tuple[Message, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Estimate:
    """What a summary would take: prompt tokens, answer tokens at most, and the price of both (`None`: not known)."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    price: float | None = None
    left_out: tuple[str, ...] = ()


class Summarizer(Protocol):
    """Whatever makes summaries. Its methods may be called from several threads at a time.

    `name` goes on the page. `summarize` raises `SummaryError` for a paper that it could not do and plain `InputError`
    where no other paper will go better (a wrong key, a limit that is reached). `estimate` calls no model.
    """

    @property
    def name(self) -> str: ...

    def summarize(self, title: str, source: Source, language: str) -> Summary: ...

    def estimate(self, title: str, source: Source, language: str) -> Estimate: ...


class Repairer(Summarizer, Protocol):
    """A summarizer in whose words a figure can be wrong, and that corrects it when told."""

    def repair(self, summary: Summary, unfounded: list[str]) -> Summary:
        """`summary` once more, corrected for the figures that the paper does not hold. At most once a summary."""
        ...


_NAMED: tuple[tuple[Part, str], ...] = (
    ("references", r"references?$|bibliography|works cited|literature cited|참고 ?문헌|参考文献"),
    (
        "back",
        r"acknowledg|appendi|supplement|ethic|(?:broader |societal )?impact|author contribution|contributors|funding|"
        r".*checklist|reproducib|competing|licen[cs]e|data availab|감사|부록|사사|附录|致谢",
    ),
    ("caption", r"(?:extended data )?(?:figure|fig\.?|table|tab\.?|algorithm|listing|그림|표|图|表)\s*[\dA-ZIVX]"),
    ("abstract", r"title$|abstract|summary$|tl;?dr|초록|요약|摘要"),
    ("related", r"(?:.*\b)?(?:related|prior|previous) (?:work|stud|research)|background|preliminar|관련 ?연구"),
    ("introduction", r"introduction|motivation|서론|머리말|引言"),
    ("conclusion", r"(?:.*\b)?(?:conclu|limitation|discussion|future (?:work|direction))|결론|논의|고찰|한계|结论"),
    ("method", r".*(?:set-?up|settings|implementation|hyper-?param|training details|학습 설정|실험 설정)"),
    (
        "results",
        r".*(?:result|experiment|evaluat|ablation|analys[ie]s|benchmark|comparison|performance|실험|결과|평가|성능|实验)",
    ),
    (
        "method",
        r".*(?:method|approach|model|architect|algorithm|training|implementation|framework|set-?up|data|design|overview|"
        r"방법|모델|구조|학습|제안|方法)",
    ),
)  # fmt: skip
_NUMBER = re.compile(
    r"^(?:(?:section|appendix|chapter)\s+)?((?:\d{1,2}|[A-Z]|[IVX]{1,5})(?:\.\d{1,2})*)(?:[.:)]\s*|\s+|$)",
    re.I,
)
_AFTER: dict[Part, Part] = dict.fromkeys(("abstract", "introduction", "related"), "method")
_FIRST: dict[Part, int] = {
    "abstract": 0, "introduction": 1, "method": 1, "results": 1, "caption": 1, "conclusion": 1,
    "related": 2, "back": 3, "references": 4,
}  # fmt: skip


def parts_of(source: Source) -> list[Part]:
    """Which part of a paper each section of `source` is, by its heading, its number and what stands around it."""
    if source.kind == "abstract":
        return ["abstract"] * len(source.sections)
    parts: list[Part] = []
    by_number: dict[str, Part] = {}
    last: Part = "abstract"
    for section in source.sections:
        number, name = _numbered(section.heading)
        named = next((part for part, pattern in _NAMED if re.match(pattern, name)), None)
        parent = by_number.get(number.rpartition(".")[0]) if "." in number else None
        ended = last in ("back", "references")
        if named in ("caption", "references", "back"):
            part: Part = named
        elif parent in ("related", "back") or (ended and named != "conclusion" and not number[:1].isdigit()):
            part = parent or "back"
        else:
            part = (
                named
                or parent
                or ("abstract" if not section.heading and not parts else _AFTER.get(last, last))
            )
        parts.append(part)
        if part != "caption":
            last = part
            by_number[number] = part
    return parts


def _numbered(heading: str) -> tuple[str, str]:
    """The number of a heading ("3.1", "A", empty for none) and its name in lower case."""
    heading = " ".join(heading.split())
    found = _NUMBER.match(heading)
    article = (
        found and found[1] in ("A", "a", "I") and not heading[found.end(1) :].startswith((".", ":", ")"))
    )
    if found is None or article:
        return "", heading.casefold()
    name = heading[found.end() :].casefold()
    return found[1], f"appendix {name}" if heading[:8].casefold() == "appendix" else name


def tokens_in(text: str) -> int:
    """An estimate of the tokens of `text`, rather too many than too few, without any model's vocabulary.

    The rule: a token for 4 letters or spaces of ASCII, for 2 other ASCII characters (digits, signs), and for each
    character of other scripts.
    """
    letters = sum(map(len, re.findall(r"[A-Za-z ]+", text)))
    other = sum(map(len, re.findall(r"[^\x00-\x7f]+", text)))
    return -(-letters // 4) + -(-(len(text) - letters - other) // 2) + other


def within_budget(source: Source, budget: int, count: Callable[[str], int] = tokens_in) -> Source:
    """`source` cut to at most `budget` tokens (headings included) as `count` counts them, in the paper's order.

    Whole paragraphs; one longer than an eighth of the budget may end after a sentence (or after a row of a table).
    First the abstract, then introduction, method, results, captions and conclusion, then related work, then the
    rest; among parts of the same rank each section's first paragraph before any section's second. Raises `InputError`
    where the budget holds nothing at all.
    """
    if _size(source.sections, count) <= budget:
        return source
    units = []
    for place, (section, part) in enumerate(zip(source.sections, parts_of(source), strict=True)):
        for turn, span in enumerate(_units(section.text, budget // 8, count)):
            units.append((_FIRST[part], turn, place, span))
    kept: dict[int, list[Span]] = {}
    spent = 0
    for _, _, place, (start, end) in sorted(units):
        section = source.sections[place]
        size = count(section.text[start:end] + "\n\n")
        size += 0 if place in kept else count(section.heading + "\n\n")
        if spent + size <= budget:
            kept.setdefault(place, []).append((start, end))
            spent += size
    if not kept:
        raise InputError(f"a budget of {budget} tokens holds no sentence of this paper: allow more")
    cut = [
        replace(source.sections[place], text=_joined(source.sections[place].text, kept[place]))
        for place in sorted(kept)
    ]
    return replace(source, sections=tuple(cut))


def left_out(source: Source, cut: Source) -> tuple[str, ...]:
    """The headings of the sections of `source` that are not in `cut`."""
    kept = [section.heading for section in cut.sections]
    missing = []
    for section in source.sections:
        if section.heading in kept:
            kept.remove(section.heading)
        else:
            missing.append(section.heading)
    return tuple(missing)


def _size(sections: tuple[Section, ...], count: Callable[[str], int]) -> int:
    return sum(count(f"{section.heading}\n\n{section.text}\n\n") for section in sections)


def _units(text: str, largest: int, count: Callable[[str], int]) -> list[Span]:
    """The paragraphs, those of more than `largest` tokens as runs of sentences of at most that many."""
    units: list[Span] = []
    for start, end in paragraphs(text):
        if count(text[start:end]) <= largest:
            units.append((start, end))
            continue
        size = largest + 1
        for first, last in sentences(text[start:end]):
            more = count(text[start + first : start + last] + " ")
            if size + more <= largest:
                units[-1], size = (units[-1][0], start + last), size + more
            else:
                units.append((start + first, start + last))
                size = more
    return units


def _joined(text: str, spans: list[Span]) -> str:
    spans = sorted(spans)
    joined = text[spans[0][0] : spans[0][1]]
    for (_, end), (start, stop) in pairwise(spans):
        gap = text[end:start]
        same = "\n\n" not in gap and not gap.strip()
        joined += (gap if same else "\n\n") + text[start:stop]
    return joined

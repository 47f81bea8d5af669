"""Contradictions within one summary, which need no source.

size       a model's name carries its size and a parameter count beside it says a power of ten else: 7B is 70억, not 7억
magnitude  one thing is given twice, a power of ten apart: 25억 and 2.5억 parameters
change     `from 61.2 to 65.8, by 6.4 points`: neither the difference nor the ratio is that
parts      the parts are more than the whole, or do not add up to it
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from paperworks.papers.contexts import Document, Sentence
from paperworks.papers.quantities import Quantity


@dataclass(frozen=True)
class Contradiction:
    """Two places of a text that cannot both be right, with their offsets and why."""

    kind: str
    text: str
    start: int
    end: int
    other_text: str
    other_start: int
    other_end: int
    note: str

    def to_dict(self) -> dict[str, object]:
        """As `paperworks check --json` prints it."""
        return asdict(self)


def find_contradictions(text: str) -> list[Contradiction]:
    """The contradictions in a text, in the order of their second place, each pair of places once."""
    document = Document(text, names=True)
    found: dict[tuple[int, int], Contradiction] = {}
    sentences = [document.sentence(index) for index in range(len(document.spans))]
    for sentence in sentences:
        for one in (*_sizes(sentence), *_changes(sentence), *_parts(sentence)):
            found.setdefault((one.start, one.other_start), one)
    for one in _magnitudes(sentences):
        found.setdefault((one.start, one.other_start), one)
    return sorted(found.values(), key=lambda one: (one.other_start, one.start))


def _pair(kind: str, a: Quantity, b: Quantity, note: str) -> Contradiction:
    return Contradiction(kind, a.text, a.start, a.end, b.text, b.start, b.end, note)


# a name's size against a count of parameters

_SIZE = re.compile(r"\d+(?:\.\d+)?\s?[BM]$")
_BARE_SIZE = re.compile(
    r"^[- ]?(?:급 ?)?(?:모델|model|LLM|LM|language model|파라미터 모델|규모|\(|급|에|은|는|의)"
)
_OTHER_MODEL = re.compile(
    r"학생|student|1/10|10분의|분의|증류한|줄인|줄여|줄였|가지치기|압축|잘라|pruned|distilled|smaller|→|에서 .{0,12}로 |대신|비해|보다|than|versus| vs|compared"
    r"|LoRA|어댑터|adapter|활성|active|토큰|token|embedding|임베딩|인코더|encoder|데이터|학습 가능|trainable"
)


def _sizes(sentence: Sentence) -> Iterator[Contradiction]:
    figures = sentence.figures
    for a in figures:
        after = sentence.text[a.end - sentence.start :]
        is_size = a.named or (_SIZE.search(a.text.split()[0]) and _BARE_SIZE.match(after))
        if a.named and re.search(r"\d+[x×]$", sentence.text[: a.start - sentence.start]):
            continue  # the size of an expert, not of the mixture
        if not is_size or (a.unit.thing not in ("parameter", "") and not a.named):
            continue
        for b in figures:
            if b is a or b.named or not b.magnitude or (abs(b.start - a.end) > 60 and b.start > a.start):
                continue
            counts = b.unit.thing == "parameter" or (
                not b.unit.thing
                and re.fullmatch(
                    r"\s?\(약?\s?",
                    sentence.text[a.end - sentence.start : b.start - sentence.start]
                    if b.start > a.end
                    else "",
                )
            )
            if not counts or (b.start < a.start and a.start - b.end > 40):
                continue
            first, last = min(a.end, b.end), max(a.start, b.start)
            between = sentence.text[first - sentence.start : max(first, last) - sentence.start]
            if _OTHER_MODEL.search(between):
                continue
            if _powers_apart(a.value, b.value):
                right = f"{a.value / 1e8:,.10g}억" if sentence.korean else f"{a.value / 1e9:,.10g} billion"
                name = a.text.split()[0]
                yield _pair("size", a, b, f"{name} is {right}, not {b.text}")
                break


def _powers_apart(a: float, b: float) -> int:
    """The power of ten between two values that are otherwise the same, 0 where they are not."""
    if not a or not b or a < 0 or b < 0:
        return 0
    power = math.log10(a / b)
    return round(power) if abs(power - round(power)) < 1e-6 and abs(power) <= 5.1 else 0


# one thing given twice

_CONTRAST = re.compile(
    r"작은|소형|큰 |대형|모바일|각각|단계|반면|다른|나머지|첫|둘째|변형|버전|학생|교사|기존|이전|"
    r"small|large|tiny|mini|base|student|teacher|stage|other|previous|prior|whereas|while|variant|version|subset|일부|중 |of which|out of",
    re.IGNORECASE,
)


def _magnitudes(sentences: list[Sentence]) -> Iterator[Contradiction]:
    for index, first in enumerate(sentences):
        for distance, second in enumerate(sentences[index + 1 : index + 16], 1):
            for a in first.figures:
                for b in second.figures:
                    if _same_thing_twice(first, a, second, b, near=distance < 4):
                        yield _pair("magnitude", a, b, f"{a.text} here, {b.text} there: a power of ten apart")


def _same_thing_twice(first: Sentence, a: Quantity, second: Sentence, b: Quantity, *, near: bool) -> bool:
    if (
        a.named
        or b.named
        or a.word
        or b.word
        or a.high is not None
        or b.high is not None
        or a.factors
        or b.factors
    ):
        return False
    if a.unit.kind != b.unit.kind or a.unit.kind in (
        "",
        "percent",
        "points",
        "percentage points",
        "times",
        "fraction",
        "rank",
    ):
        return False
    if a.unit.kind == "count" and (a.unit.thing != b.unit.thing or not a.unit.thing):
        return False
    if not _powers_apart(a.base, b.base):
        return False
    if a.unit.kind == "count" and not (a.magnitude and b.magnitude) and len(a.digits) < 2:
        return False
    if len(a.digits) < 2 and a.unit.factor == b.unit.factor:
        return False
    here = second.text[max(0, b.start - second.start - 40) : b.end - second.start + 6]
    there = first.text[max(0, a.start - first.start - 40) : a.end - first.start + 6]
    if any(
        re.match(r"[^.,]{0,12}(?:보다|대비|에 비해)", sentence.text[figure.end - sentence.start :])
        or re.search(
            r"(?:than|versus|vs\.?|against|compared (?:to|with))[^.,]{0,16}$",
            sentence.text[: figure.start - sentence.start],
        )
        for sentence, figure in ((first, a), (second, b))
    ):
        return False
    if _CONTRAST.search(here) or _CONTRAST.search(there):
        return False
    names_first = {word.text for word in first.words if word.name}
    names_second = {word.text for word in second.words if word.name and word.start < b.start}
    if names_second - names_first and not names_second & names_first:
        return False
    if not near:
        return bool(names_first & names_second)
    shared = sum(one in first.bag for word in second.words for one in word.stems[:1])
    return bool(names_first & names_second) or shared >= 1 or not names_second


# a change that does not agree with its ends

_GAIN = re.compile(
    r"(?:\bby\s+|reduction of\s+|increase of\s+|gain of\s+|improvement of\s+|drop of\s+|decrease of\s+|saving of\s+|difference of\s+|"
    r"(?:^|[\s,(])(?:an?|i\.e\.,?)\s+)(?:about |around |roughly |nearly |almost |approximately |over |up to |some )?$",
    re.IGNORECASE,
)
_HIGHER = re.compile(
    r"^[\s-]*(?:(?:percentage )?points? |percent |of )?(?:\w+ )?(?:higher|lower|better|worse|more|less|fewer|faster|slower|smaller|larger|"
    r"increase|reduction|improvement|gain|drop|decrease|speed-?up|above|below)",
    re.IGNORECASE,
)
_CHANGED = re.compile(
    r"^\s?(?:만큼 |나 |이나 |정도 |더 |가량 |포인트 )?(?:향상|개선|증가|감소|상승|하락|높|낮|빠르|빨라|빨랐|빠름|줄|늘|올랐|올라|떨어|절감|단축|앞서|앞섰|앞선|뒤|많|적|작|크)"
)


_SCORES = {"", "percent", "points", "percentage points"}


def _changes(sentence: Sentence) -> Iterator[Contradiction]:
    figures = [figure for figure in sentence.figures if not figure.named]
    for a, b, change in zip(figures, figures[1:], figures[2:], strict=False):
        if (
            change.start - b.end > 45
            or b.start - a.end > 45
            or change.high is not None
            or a.high is not None
            or b.high is not None
        ):
            continue
        roles_a = sentence.bindings.get(a.start, {})
        roles_b = sentence.bindings.get(b.start, {})
        paired = ("<from>" in roles_a and "<to>" in roles_b) or ("<to>" in roles_a and "<from>" in roles_b)
        against = "<base>" in roles_b and b.unit.kind == a.unit.kind
        if not (paired or against) or a.factors or b.factors:
            continue
        if a.unit.kind != b.unit.kind and "" not in (a.unit.kind, b.unit.kind):
            continue
        offset = sentence.start
        before, after = (
            sentence.text[b.end - offset : change.start - offset],
            sentence.text[change.end - offset :],
        )
        said = _GAIN.search(before) if not sentence.korean else None
        if not (said or _HIGHER.match(after) or _CHANGED.match(after)):
            continue
        if re.search(
            r"[.;]|고 |며 | (?:and|but|while|whereas) (?!is)| on [A-Z]|[가-힣](?:는|은|도|의) ", before
        ):
            continue
        if change.unit.kind in ("points", "percentage points") and not {a.unit.kind, b.unit.kind} <= _SCORES:
            continue
        if (
            change.unit.kind not in ("points", "percentage points", "percent", "times", a.unit.kind)
            or change.word
        ):
            continue
        if not _follows(a, b, change):
            yield _pair(
                "change", a, change, f"{a.text} and {b.text} are not {change.text} apart: {_apart(a, b)}"
            )


def _follows(a: Quantity, b: Quantity, change: Quantity) -> bool:
    x, y, value = abs(a.base), abs(b.base), abs(change.value)
    if not x or not y:
        return True
    low, high = min(x, y), max(x, y)
    error = sum(_shown(one) * one.unit.factor for one in (a, b)) / 2
    slack = change.step / 2 * (1.0 if not change.about else 3.0)
    difference = abs(change.base - (high - low)) <= slack * change.unit.factor + error * 1.01
    ratio = high / low
    ratio_slack = slack + ratio * (error / low)
    rates = [100 * (high - low) / low, 100 * (high - low) / high, 100 * low / high, 100 * high / low]
    relative = any(abs(value - rate) <= slack + rate * error / low + 100 * error / high for rate in rates)
    if change.unit.kind in ("points", "percentage points"):
        return difference
    if change.unit.kind == "percent":
        return (
            relative
            or (a.unit.kind in ("percent", "") and difference)
            or (max(x, y) <= 1 and abs(value - 100 * (high - low)) <= slack + 100 * error)
        )
    if change.unit.kind == "times":
        return abs(value - ratio) <= ratio_slack or abs(value - (ratio - 1)) <= ratio_slack
    return difference or abs(value - ratio) <= ratio_slack


def _shown(figure: Quantity) -> float:
    """The step of a figure; a whole number without a magnitude word is taken as exact."""
    return 0.0 if figure.step >= 1 and not figure.magnitude and not figure.about else figure.step


def _apart(a: Quantity, b: Quantity) -> str:
    low, high = sorted((abs(a.base), abs(b.base)))
    factor = a.unit.factor or 1.0
    return f"the difference is {(high - low) / factor:.4g}, the ratio {high / low:.3g}"


# parts and wholes

_WHOLE = re.compile(
    r"(?:전체|총|모두|합계|in all|in total|total(?: of)?|altogether|overall)[^\d.]{0,16}$", re.IGNORECASE
)
_WHOLE_AFTER = re.compile(r"^[^\d.;]{0,28}(?:in all|in total|altogether|total)\b", re.IGNORECASE)
_DIVIDED = re.compile(
    r"나뉘|나눠|나누|구성|이루어|분할|으로 되어|전체입|합쳐|나뉜|split|divided|consist|compris|made up|composed|in all|in total|altogether|nothing else|sum",
    re.IGNORECASE,
)
_OVERLAP = re.compile(
    r"both|overlap|겹|중복|동시에|둘 다|multiple|복수|각각 .*중|더해|더한|추가", re.IGNORECASE
)


def _parts(sentence: Sentence) -> Iterator[Contradiction]:
    figures = [
        figure
        for figure in sentence.figures
        if not figure.named and not figure.factors and figure.high is None
    ]
    text, offset = sentence.text, sentence.start
    for whole, part in itertools.pairwise(figures):
        between = text[whole.end - offset : part.start - offset]
        of = re.fullmatch(r"\s?(?:가운데|중에서|중)\s(?:[가-힣A-Za-z]+ ){0,3}", between) or re.fullmatch(
            r"(?:\s\w+){0,4},?\s(?:of (?:which|whom|these))(?:\s\w+){0,2}\s", between
        )
        if of and _alike(whole, part) and part.base > whole.base * (1 + 1e-9):
            yield _pair("parts", whole, part, f"{part.text} of {whole.text} is more than the whole")
    if _OVERLAP.search(text) or not _DIVIDED.search(text):
        return
    for place, whole in enumerate(figures):
        parts = [figure for figure in figures[place + 1 :] if _alike(whole, figure)]
        said = _WHOLE.search(
            text[max(0, whole.start - offset - 24) : whole.start - offset]
        ) or _WHOLE_AFTER.match(text[whole.end - offset : whole.end - offset + 40])
        if said and len(parts) >= 2 and parts == figures[place + 1 : place + 1 + len(parts)]:
            total = sum(part.base for part in parts)
            slack = whole.step * whole.unit.factor / 2 + sum(
                part.step * part.unit.factor / 2 for part in parts
            )
            exact = all(not figure.about and not figure.magnitude for figure in (whole, *parts))
            slack = 0.5 * whole.unit.factor if exact and whole.unit.kind == "count" else slack
            if abs(total - whole.base) > slack and all(part.base < whole.base for part in parts):
                yield _pair(
                    "parts",
                    whole,
                    parts[-1],
                    f"the parts add up to {total / (whole.unit.factor or 1):,.10g}, not {whole.text}",
                )
            return
    shares = [figure for figure in figures if figure.unit.kind == "percent"]
    if (
        len(shares) >= 3
        and shares == figures[figures.index(shares[0]) : figures.index(shares[0]) + len(shares)]
    ):
        total = sum(share.value for share in shares)
        joined = all(
            len(text[a.end - offset : b.start - offset]) <= 24 for a, b in itertools.pairwise(shares)
        )
        if (
            joined
            and total > 100.6
            and re.search(r"구성|전체|나뉘|consist|compris|composed|made up|split|divided", text)
        ):
            yield _pair("parts", shares[0], shares[-1], f"the shares add up to {total:g} %")


def _alike(a: Quantity, b: Quantity) -> bool:
    if a.unit.kind != b.unit.kind:
        return a.magnitude and b.magnitude and {a.unit.kind, b.unit.kind} <= {"count", ""}
    return a.unit.kind not in ("", "percent") and a.unit.thing == b.unit.thing

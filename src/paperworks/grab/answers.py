"""What a response says, and how near it is to the truth.

One stored response gets several scores: the paper's exact match as the headline, and beside it scores that tell a
wrong reading from a wrong spelling. Numbers are Fractions and equations go through a grammar of their own, so that
nothing a model writes is ever evaluated as code. The scores other than the exact match are choices of ours.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from paperworks.errors import InputError
from paperworks.grab.equations import Equation, parse_equation, respace
from paperworks.grab.values import (
    BARE_PAIR,
    BRACKETED_PAIR,
    NUMBER,
    WORDS,
    Value,
    format_value,
    from_words,
    kind_of,
    parse,
    parse_number,
    parse_pair,
    plain_text,
)

__all__ = [
    "EXTRACTIONS",
    "EXTRACTION_PROMPT",
    "HEADLINES",
    "SCORES",
    "Value",
    "extract",
    "extraction_request",
    "format_value",
    "kind_of",
    "parse",
    "parse_equation",
    "parse_number",
    "parse_pair",
    "score",
]

EXTRACTIONS = ("none", "regex")
SCORES = ("exact", "numeric", "within", "equivalent", "official_prefix", "relaxed5", "error_in_quanta")
HEADLINES = ("exact", "numeric", "within", "equivalent")

EXTRACTION_PROMPT = """\
Below is a reply to a question about a graph. Copy out the answer that the reply gives, and nothing else.
Write digits, not words. Keep the precision of the reply: neither round nor add decimals. No units, no explanation.
If the reply gives no answer, write None.

Reply:
{response}

Answer:"""

_UNITS = r"(?:units?|cm|mm|px|pixels?|rad|radians|degrees?|deg)"
# A minus sign or a hyphen belongs to the number behind it unless something that ends a value stands before it.
_IN_TEXT = re.compile(
    rf"(?<![\w./^)])(?<!/\()(?<!\d[-])(?P<sign>[+-] ?(?=[\d.]))?(?P<body>{NUMBER})(?P<over>/{NUMBER})?"
    rf"(?=(?:{_UNITS})\b|(?![\w^/(]))(?!\.\d)(?!,\d)"
)
_DECIMAL_COMMA = re.compile(r"(?<![\w.,/^])(?<!\d[-])([+-]?\d+),(\d{1,2})(?![\w,/^])(?!\.\d)")
_INTERVAL = re.compile(
    r"\bbetween\b|\beither\b|\branges? from\b|\bfrom\s+[-+]?[\d.]+\s+to\b|[\d]\s*(?:to|or|\.\.\.?|~|-)\s*[-+]?\.?\d"
    r"|\b(?:at least|at most|more than|less than|greater than|fewer than|above|below|over|under)\s+[-+]?[\d.]"
    r"|[<>≤≥]\s*[-+]?[\d.]|(?<![\d.)])\s*(?:±|\+/-)\s*\d",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:cannot|can ?not|can['’]?t|could not|couldn['’]?t|unable|impossible|not possible|sorry|undetermined|"
    r"insufficient|no answer|not visible|not clear|not enough)\b",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"<answer>|\banswer(?:\s+(?:to\s+(?:the|this)\s+question|here))?[\"'*_`\s]*(?:\bis\b\s*:?|:|=)",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|__(?=\S)(.+?)(?<=\S)__")

# Number words count only where the sentence ends with them: "One of the lines rises" answers nothing.
_SAID = re.compile(
    r"(?:^|.*\b(?:is|are|be|was|were|equals|about|around|approximately|roughly|nearly|shows?|contains?|estimate|has|have)\b"
    rf"|.*[:=~≈])\s*(?P<words>{WORDS})(?:\s+(?:data\s+)?(?:units?|points?|series|functions?|lines?|curves?|dots|markers))?"
    r"(?:\s+(?:(?:shown|drawn|plotted|visible)(?:\s+|$))?"
    r"(?:(?:in|on)\s+(?:the|this)\s+(?:figure|graph|plot|chart|image|picture))?)?\s*[.!]?\s*",
    re.IGNORECASE,
)


def extract(text: str | None, method: str = "none", *, kind: str | None = None) -> str | None:
    """The answer that a response gives, or None.

    `none` returns the response as it is. `regex` takes what follows the last "Answer:", else the last `\\boxed{}`, else
    the only value in bold or alone on a line, else the only value in the text; it undoes LaTeX, Unicode minus signs,
    number words, hedges, units and a final full stop, and keeps the precision as written. A reply that names a range,
    two different values or no value gives None. `kind` ("number", "pair", "equation": the form that the question asks
    for, see `kind_of`) ignores values of another form. The order of preference is ours; the paper's authors used a
    language model.
    """
    if method not in EXTRACTIONS:
        raise InputError(f"no extraction is called {method!r}: choose from {', '.join(EXTRACTIONS)}")
    if text is None or method == "none":
        return text
    return _extract(text[-20_000:], kind)


def extraction_request(response: str) -> str:
    """The prompt that asks a language model for the answer in `response`."""
    return EXTRACTION_PROMPT.replace("{response}", response.strip())


def score(kind: str, response: str | None, answer: str, quantum: str) -> float | None:
    """One score of an extracted response against the answer; `kind` is one of `SCORES`.

    All but the last are 1.0 or 0.0, and a response of None scores 0.0.

    - `exact`: the same string, but for white space around it (the paper's headline)
    - `numeric`: the same number, pair (in order) or coefficients: `4` = `4.0`
    - `within`: at most one quantum away
    - `equivalent`: equations that agree at 257 points to 1e-9; numbers as in `numeric`
    - `official_prefix`: the response cut to the answer's length is the answer, as in the official repository's example:
      `45` passes for `4`. For comparison only
    - `relaxed5`: within 5 % of the truth (ChartQA's rule)
    - `error_in_quanta`: |response − answer| / quantum, the larger of a pair; None where there is no number
    """
    return _score(kind, response, answer, quantum)


@lru_cache(maxsize=65536)
def _score(kind: str, response: str | None, answer: str, quantum: str) -> float | None:
    if kind not in SCORES:
        raise InputError(f"no score is called {kind!r}: choose from {', '.join(SCORES)}")
    if response is None:
        return None if kind == "error_in_quanta" else 0.0
    if kind == "exact":
        return float(response.strip() == answer)
    if kind == "official_prefix":
        return float(response.strip()[: len(answer)] == answer)
    said, truth = parse(response.strip()), parse(answer)
    if truth is None:
        raise InputError(f"the answer {answer!r} is no number, pair or equation: correct the data set")
    if isinstance(truth, Equation):
        if kind == "error_in_quanta":
            return None
        if not isinstance(said, Equation):
            return 0.0
        return float(said.same_coefficients(truth) if kind == "numeric" else said.equivalent(truth))
    errors = _errors(said, truth)
    if kind == "error_in_quanta":
        return None if errors is None else _float(max(error for error, _ in errors) / Fraction(quantum))
    if errors is None:
        return 0.0
    if kind == "within":
        return float(all(error <= Fraction(quantum) for error, _ in errors))
    if kind == "relaxed5":
        return float(all(error <= abs(true) / 20 for error, true in errors))
    return float(all(error == 0 for error, _ in errors))


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max


def _errors(
    said: Value | None, truth: Fraction | tuple[Fraction, Fraction]
) -> list[tuple[Fraction, Fraction]] | None:
    """Pairs (distance, truth); None where the response is of another form than the truth."""
    if isinstance(said, Fraction) and isinstance(truth, Fraction):
        return [(abs(said - truth), truth)]
    if isinstance(said, tuple) and isinstance(truth, tuple):
        return [(abs(one - other), other) for one, other in zip(said, truth, strict=True)]
    return None


@lru_cache(maxsize=8192)
def _extract(text: str, kind: str | None) -> str | None:
    text = re.sub(r"<\|[^|<>\n]*\|>|</?s>", " ", text)
    text = re.sub(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", " ", text, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"\A.*</think(?:ing)?>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    cues = list(_CUE.finditer(text))
    if cues:
        tail = text[cues[-1].end() :]
        boxed = _boxed(tail)
        line = next((line for line in tail.split("</answer>")[0].splitlines() if re.search(r"\w", line)), "")
        found = _values(boxed if boxed is not None else line, kind)
        if found is not None:
            return found or None
    boxed = _boxed(text)
    if boxed is not None:
        return _values(boxed, kind) or None
    bold = [bold for one, other in _BOLD.findall(text) if (bold := _whole(one or other, kind)) is not None]
    if bold and len({parse(value) for value in bold}) == 1:
        return bold[-1]
    lines = [line for line in text.splitlines() if line.strip()]
    alone = [value for line in lines if (value := _whole(line, kind)) is not None]
    if alone and len({parse(value) for value in alone}) == 1:
        return alone[-1]
    if _REFUSAL.search(text):
        return None
    return _values(text, kind) or None


def _whole(segment: str, kind: str | None) -> str | None:
    """The value where a segment is a value and nothing else."""
    plain = plain_text(segment).strip().rstrip(".:").strip()
    labelled = re.sub(r"^(?:[a-zA-Z](?:\([^()]*\))?|[a-z]+)\s*[=≈]\s*", "", plain)
    for text in (plain, labelled):
        value = parse(text)
        if value is not None and kind in (None, _form(value)):
            return _spelled(text, value)
    return None


def _form(value: Value) -> str:
    return "number" if isinstance(value, Fraction) else "pair" if isinstance(value, tuple) else "equation"


def _values(segment: str, kind: str | None) -> str | None:
    """The only value in a segment; "" where there are several or a range, None where there is none."""
    whole = _whole(segment, kind)
    if whole is not None:
        return whole
    plain = re.sub(r"(?<=[\d)])\s*(?:±|\+/-)\s*[\d.]+", " ", plain_text(segment))
    numbered = re.sub(r"(?m)^\s*\d+[.)]\s+(?=[A-Za-z])", "", plain)
    for text in (numbered, plain) if numbered != plain else (plain,):
        found = list(_candidates(text, kind))
        if found:
            break
    else:
        said = [match for line in plain.splitlines() if (match := _SAID.fullmatch(line.strip()))]
        spoken = {value for match in said if (value := from_words(match["words"])) is not None}
        if kind in (None, "number") and len(spoken) == 1:
            return _decimal(spoken.pop())
        return None
    result = _result(text, kind)
    if result is not None:
        return result
    if _INTERVAL.search(text) or len({parse(value) for value in found}) > 1:
        return ""
    return found[-1]


def _result(text: str, kind: str | None) -> str | None:
    """The number after the last sign of equality of a calculation: `(2 + 4 + 6)/3 = 4.0`, not `3 at x = 0`."""
    lines = [line for line in text.splitlines() if line.strip()]
    match = (
        re.fullmatch(r".*[\d)]\s*[=≈]\s*([^=≈]*)", lines[-1]) if kind in (None, "number") and lines else None
    )
    found = list(_candidates(match[1], "number")) if match and not _INTERVAL.search(match[1]) else []
    return found[0] if len(found) == 1 else None


def _candidates(text: str, kind: str | None) -> Iterator[str]:
    """Values in a text in reading order; an equation's numbers and a pair's are not listed again."""
    for match in re.finditer(
        r"(?<![a-zA-Z])(?:y|[fgh]\s*\(\s*x\s*\))\s*=\s*([-+*/^().\d\sπx]|sin|cos|pi)+", text
    ):
        for end in range(len(match[0]), 2, -1):
            equation = parse_equation(match[0][:end]) if match[0][end - 1] not in " \n.(+-*/^" else None
            if equation is not None:
                if kind in (None, "equation"):
                    yield respace(match[0][:end])
                text = text[: match.start()] + " " * end + text[match.start() + end :]
                break
    if kind == "equation":
        return
    if kind != "number" or not _DECIMAL_COMMA.search(text):
        for pattern in (BRACKETED_PAIR, BARE_PAIR) if kind != "number" else (BRACKETED_PAIR,):
            for match in list(pattern.finditer(text)):
                first, second = (parse_number(match[name]) for name in "ab")
                if first is not None and second is not None and kind != "number":
                    yield f"[{match['a']}, {match['b']}]"
                text = text[: match.start()] + " " * len(match[0]) + text[match.end() :]
    if kind == "pair":
        yield from (f"[{match[1]}, {match[2]}]" for match in _DECIMAL_COMMA.finditer(text))
        return
    text = _DECIMAL_COMMA.sub(r"\1.\2", text) if kind == "number" else text
    text = re.sub(r"\b[a-zA-Z]\s*\([^()]*\)(?=\s*(?:=|≈|is\b))", " ", text)
    text = re.sub(r"\b(?:minus|negative)\s+(?=[\d.])", "-", text, flags=re.IGNORECASE)
    for match in _IN_TEXT.finditer(text):
        number = f"{(match['sign'] or '').strip()}{match['body']}{match['over'] or ''}"
        value = parse_number(number)
        if value is not None:
            yield _spelled(number, value)


def _spelled(text: str, value: Value) -> str:
    """The answer as written, but no `+`, no comma of thousands, a pair in brackets, an equation spaced."""
    if isinstance(value, Equation):
        return respace(text)
    if isinstance(value, tuple):
        match = BRACKETED_PAIR.fullmatch(text) or BARE_PAIR.fullmatch(text)
        return f"[{match['a']}, {match['b']}]" if match else text
    spelled = text.replace(" ", "").replace(",", "").removeprefix("+")
    if re.fullmatch(rf"-?{NUMBER}(?:/{NUMBER})?", spelled):
        return re.sub(r"^(-?)\.", r"\g<1>0.", spelled)
    return _decimal(value)


def _decimal(value: Fraction) -> str:
    for decimals in range(10):
        if (value * 10**decimals).denominator == 1:
            return format_value(value, "1" if not decimals else f"0.{'0' * (decimals - 1)}1")
    return f"{value.numerator}/{value.denominator}"


def _boxed(text: str) -> str | None:
    r"""What the last `\boxed{}` or `\fbox{}` holds; an unclosed one holds the rest."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place]
    return text[begin:]

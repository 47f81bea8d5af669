"""What a text says: the number, pair or equation that the whole of it is, however it is spelled.

Numbers are Fractions; nothing is evaluated as code. LaTeX, Markdown, Unicode signs and number words are undone first.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

from paperworks.grab.equations import Equation, parse_equation

Value = Fraction | tuple[Fraction, Fraction] | Equation

LONGEST_NUMBER = 100
NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_SIGNED = rf"[+-]?{NUMBER}"
_RATIO = rf"{_SIGNED}(?:/{NUMBER})?"
_WHOLE_NUMBER = re.compile(rf"(?P<top>{_SIGNED})(?:/(?P<bottom>{NUMBER}))?")
_BETWEEN_PAIR = r"\s*(?:,|;|\band\b|&)\s*"
_LABEL = r"(?:[a-zA-Z](?:_?\{?\d\}?)?\s*=\s*)?"
BRACKETED_PAIR = re.compile(
    rf"(?<![\w)])[\[({{]\s*{_LABEL}(?P<a>{_RATIO}){_BETWEEN_PAIR}{_LABEL}(?P<b>{_RATIO})\s*[\])}}]"
)
BARE_PAIR = re.compile(
    rf"(?<![\w./^,])(?<!\d[-,])(?<!, ){_LABEL}(?P<a>{_RATIO})(?:\s+and\s+|\s*&\s*|\s*;\s*|,\s+(?:and\s+)?){_LABEL}"
    rf"(?P<b>{_RATIO})(?![\w^/(])(?!\.\d)(?!,\s*[-+\d])(?!,?\s+and\s+[-+\d])"
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_VULGAR = {"½": ".5", "¼": ".25", "¾": ".75", "⅛": ".125", "⅜": ".375", "⅝": ".625", "⅞": ".875"}
_MINUSES = dict.fromkeys(map(ord, "−﹣－‐‑‒–—"), "-")

_UNDER_TWENTY = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_ONES = {word: value for value, word in enumerate(_UNDER_TWENTY)}
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2
    )
}
NUMBER_WORD = rf"(?:{'|'.join([*_ONES, *_TENS, 'hundred'])})"
WORDS = (
    rf"(?:(?:minus|negative)\s+)?{NUMBER_WORD}(?:(?:[\s-]+|\s+and\s+){NUMBER_WORD})*"
    rf"(?:\s+point(?:\s+{NUMBER_WORD})+)?"
)


def kind_of(answer: str) -> str:
    """The form of an answer: "number", "pair" (`[-3, 4]`) or "equation" (`y = -1x - 3`)."""
    if answer.lstrip().startswith("["):
        return "pair"
    return "equation" if "=" in answer or "x" in answer else "number"


def parse_number(text: str) -> Fraction | None:
    """The number that the whole of `text` is, or None.

    Reads `-3.0`, `−3`, `1,200`, `1/6`, `\\frac{1}{6}`, `1e3`, `½`, `minus seven`, `three point five`.
    """
    plain = plain_text(text).strip()
    if len(plain) > LONGEST_NUMBER:
        return None
    match = _WHOLE_NUMBER.fullmatch(re.sub(r"^([+-])\s+", r"\1", plain))
    if match is None:
        return from_words(plain)
    bottom = _fraction(match["bottom"]) if match["bottom"] else Fraction(1)
    return _fraction(match["top"]) / bottom if bottom else None


def parse_pair(text: str) -> tuple[Fraction, Fraction] | None:
    """The two numbers that the whole of `text` is, in the order written, or None.

    Reads `[-3, 4]`, `(-3, 4)`, `-3 and 4`, `x = -3, x = 4`.
    """
    plain = plain_text(text).strip()
    match = BRACKETED_PAIR.fullmatch(plain) or BARE_PAIR.fullmatch(plain)
    if match is None:
        return None
    first, second = parse_number(match["a"]), parse_number(match["b"])
    return None if first is None or second is None else (first, second)


@lru_cache(maxsize=8192)
def parse(text: str) -> Value | None:
    """The number, pair or equation that the whole of `text` is; None where it is none of them."""
    for read in (parse_number, parse_pair, _equation):
        value = read(text)
        if value is not None:
            return value
    return None


def format_value(value: Value, quantum: str = "1") -> str:
    """The answer as the question asks for it: as many decimals as the quantum has, never `-0`, `[a, b]`, `y = …`.

    `quantum` is "10", "1" or "0.1"; a value that is not a multiple of it is rounded half away from zero.
    """
    if isinstance(value, tuple):
        return f"[{format_value(value[0], quantum)}, {format_value(value[1], quantum)}]"
    if isinstance(value, Equation):
        return value.canonical()
    step = Fraction(quantum)
    steps = int(abs(value) / step + Fraction(1, 2)) * (1 if value >= 0 else -1)
    decimals = len(quantum.partition(".")[2])
    shown = steps * step * 10**decimals
    digits = str(abs(int(shown))).rjust(decimals + 1, "0")
    sign = "-" if shown < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _equation(text: str) -> Equation | None:
    return parse_equation(plain_text(text))


def from_words(text: str) -> Fraction | None:
    """The number that words say ("minus three point five"); None where they say none."""
    words = re.findall(r"[a-z]+", text.lower())
    if not re.fullmatch(WORDS, text.strip(), re.IGNORECASE):
        digits = re.fullmatch(rf"(?:minus|negative)\s+({NUMBER})", text.strip(), re.IGNORECASE)
        return -_fraction(digits[1]) if digits else None
    negative = words[0] in ("minus", "negative")
    words = [word for word in words[negative:] if word != "and"]
    whole, _, decimals = " ".join(words).partition(" point ")
    value = _cardinal(whole.split())
    if value is None or any(_ONES.get(word, 10) > 9 for word in decimals.split()):
        return None
    digits_after = "".join(str(_ONES[word]) for word in decimals.split())
    number = Fraction(f"{value}.{digits_after}") if digits_after else Fraction(value)
    return -number if negative else number


def _cardinal(words: list[str]) -> int | None:
    """ "two hundred thirty one" as a number; None where the words do not make one ("two three")."""
    if "hundred" in words:
        place = words.index("hundred")
        hundreds = _cardinal(words[:place]) if place else 1
        rest = _cardinal(words[place + 1 :]) if words[place + 1 :] else 0
        return (
            None if hundreds is None or rest is None or hundreds > 9 or rest > 99 else 100 * hundreds + rest
        )
    if len(words) == 1:
        return _ONES.get(words[0], _TENS.get(words[0]))
    if len(words) == 2 and words[0] in _TENS and 0 < _ONES.get(words[1], 0) < 10:
        return _TENS[words[0]] + _ONES[words[1]]
    return None


@lru_cache(maxsize=8192)
def plain_text(text: str) -> str:
    """The text without LaTeX, Markdown and typography: ASCII signs, `a/b`, `^n`, `*`."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda match: "^" + match[0].translate(_SUPERSCRIPTS), text)
    text = re.sub(rf"(\d?)([{''.join(_VULGAR)}])", lambda match: (match[1] or "0") + _VULGAR[match[2]], text)
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/").replace("\u200b", "")
    text = text.translate(_MINUSES).replace("×", "*").replace("·", "*").replace("⋅", "*")
    if "\\" in text or "$" in text or "{" in text:
        text = _without_latex(text)
    text = re.sub(r"(?<=[x)])\*\*(?=\d)", "^", text)
    text = re.sub(r"\*\*|__|`+|^\s*#+\s", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<![\w)])\*(?=\S)([^*\n]*\S)\*(?!\w)", r"\1", text)


def _without_latex(text: str) -> str:
    text = re.sub(r"\\[()]|\\[\[\]]|\$|\\(?:left|right|displaystyle|bigl?|bigr)(?![a-zA-Z])|\\!", "", text)
    text = re.sub(r"\\[,;: ]|~|\\quad|\\qquad|\\\\", " ", text)
    text = text.replace("\\{", "{").replace("\\}", "}").replace("\\%", "%").replace("{,}", ",")
    text = re.sub(r"\\[dt]?frac\s*(\d)\s*(\d)", r"\1/\2", text)
    previous = ""
    while previous != text:
        previous = text
        text = re.sub(
            r"\\(?:text|textbf|mathrm|mathbf|mathit|operatorname|boxed|fbox|boldsymbol)\s*\{([^{}]*)\}",
            r"\1",
            text,
        )
        text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", _ratio, text)
    text = re.sub(r"\^\s*\{\s*(\d+)\s*\}", r"^\1", text)
    text = re.sub(r"\\(?:cdot|times)(?![a-zA-Z])", "*", text)
    text = re.sub(r"\\(?:approx|simeq|sim)(?![a-zA-Z])", "≈", text)
    text = re.sub(r"\\pm(?![a-zA-Z])", "±", text)
    return re.sub(r"\\(sin|cos|pi)(?![a-zA-Z])", r" \1", text)


def _ratio(match: re.Match[str]) -> str:
    top, bottom = match[1].strip(), match[2].strip()
    if re.fullmatch(_SIGNED, top) and re.fullmatch(NUMBER, bottom):
        return f"{top}/{bottom}"
    return f"({top})/({bottom})"

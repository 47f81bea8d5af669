"""Finds the quantities of a text, Korean or English: what number, how exactly, in which unit.

`25억 개`, `2.5 billion` and `2.5B` are the same quantity, 2.5e9 of something, shown to two digits. Numbers that belong to
a name or a place (`Llama-3.1-8B`, `Table 3`, `2024년 8월`, `recall@10`) are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from paperworks.papers import number_patterns as patterns
from paperworks.papers.number_patterns import OTHER
from paperworks.papers.units import NO_UNIT, Unit, counter_at, thing_at, things_in, unit_at


class Quantity(NamedTuple):
    """A number with its unit in a text.

    `start`, `end`: offsets of the number with its unit. `value`: in the unit as written, magnitude words included
    (`25억` is 2.5e9); `high`: the upper end of a range, else `None`. `step`: the value of one in the last digit shown,
    trailing zeros of a whole number not counted as shown. `signed`: whether a sign is written. `word`: the number is a
    word (`three`, `두`). `named`: it is the size in a name (`Llama-3.1-8B`), which a text may refer to.
    `factors`: the sides of a size such as `224×224`. `about`: the text says that the number is rounded. `magnitude`: a
    word or letter for thousands or more is part of it. `spread`: what stands after a `±`. `bound`: 1 for
    "more than", -1 for "less than", else 0.
    """

    text: str
    start: int
    end: int
    value: float
    step: float
    unit: Unit = NO_UNIT
    high: float | None = None
    signed: bool = False
    word: bool = False
    named: bool = False
    factors: tuple[float, ...] = ()
    about: bool = False
    magnitude: bool = False
    spread: Quantity | None = None
    bound: int = 0

    @property
    def base(self) -> float:
        """The value in the base unit of its kind."""
        return self.value * self.unit.factor

    @property
    def digits(self) -> str:
        """The significant digits, without the point and zeros at the end."""
        return f"{abs(self.value):.12g}".split("e")[0].replace(".", "").strip("0")

    @property
    def unit_name(self) -> str:
        """The unit as a reader would write it."""
        return self.unit.name or self.unit.thing


_RAW_NUMBER = re.compile(  # of a text in lower case, where it is twice as fast as one that ignores it
    rf"({patterns.DIGITS})(?:([eE][+-]?\d+|\s?[×x*·]\s?10(?:\s?\^\s?\{{?\s?[-–]?\s?\d+\}}?|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))|"
    r"\s?[×x]\s?(\d{1,5})|\s?\^\s?\{?(\d{1,2})\}?|([⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})|"
    r"[ -]?(thousand|million|billion|trillion|bn|mn|[kmbt](?![a-z])))?|"
    rf"(?<![a-z])({'|'.join(patterns.PARTS)}|{'|'.join(sorted(patterns.WORDS, key=len, reverse=True))}|one|twice|thrice|"
    r"doubl|tripl|quadrupl|halv|dozen|hundred|thousand|million|billion|first|second)"
    r"(?:-(one|two|three|four|five|six|seven|eight|nine))?(?:[ -](hundred|thousand|million|billion|trillion))?"
)
_RAW_WORDS = {
    "twice": 2,
    "thrice": 3,
    "doubl": 2,
    "tripl": 3,
    "quadrupl": 4,
    "halv": 0.5,
    "dozen": 12,
    "one": 1,
    "first": 1,
    "second": 2,
}


def raw_numbers(text: str) -> Iterator[tuple[float, int]]:
    """The values that the numbers of `text` may have, each with its place: a first look without units."""
    lower = text.lower()
    for match in _RAW_NUMBER.finditer(lower if len(lower) == len(text) else text):
        for value in _raw_values(match):
            yield value, match.start()


def _raw_values(match: re.Match[str]) -> tuple[float, ...]:
    digits, power, side, caret, above, magnitude, word, ones, times = match.groups()
    if word:
        if word in patterns.ENGLISH:
            return 1.0, patterns.ENGLISH[word]
        if part := patterns.PARTS.get(word):
            return 1 / part, 2 / part, 3 / part
        value = float(patterns.WORDS.get(word) or _RAW_WORDS[word])
        if ones:
            value += patterns.WORDS.get(ones, 1)
        return (value * patterns.ENGLISH[times],) if times else (value,)
    value = float(digits.replace(",", ""))
    if magnitude:
        return value * patterns.ENGLISH[magnitude], value  # `3.4 m` may be metres
    if power:
        factor = _power(power)
        return (value,) if factor is None else (value * factor,)
    if side:
        return value, float(side), value * float(side)
    exponent = caret or (above and above.translate(patterns.SUPER))
    if exponent and value <= 100:
        return value, value ** int(exponent)
    return (value,)


_WORDED = re.compile(
    r"(?:\b|_)(?:tw[eoi]|th[rio]|f[oi][ufrv]|s[ie][xv]|eigh|nin[et]|ten|elev|doub|trip|quad|hal[fv]|quar|a |per |every |each |one|firs|seco|"
    r"fift|hund)|절반|반으로",
    re.IGNORECASE,
)
"""How the numbers in words begin; most sentences have none."""


def find_quantities(text: str, *, names: bool = False, offset: int = 0) -> list[Quantity]:
    """All quantities of `text` in order. `names=True` adds the sizes in names (`Llama-3.1-8B`), marked `named`.

    `offset` is added to the places.
    """
    usual = patterns.plain(text)
    found = list(_Scanner(usual, names).scan())
    if usual != text:
        found = [one._replace(text=text[one.start : one.end]) for one in found]
    if offset:
        found = [one._replace(start=one.start + offset, end=one.end + offset) for one in found]
    return found


class _Scanner:
    def __init__(self, text: str, names: bool) -> None:
        self.text = text
        self.names = names
        self.taken = 0

    def scan(self) -> Iterator[Quantity]:
        text = self.text
        found: list[Quantity] = []
        masked = [(match.start(), match.end()) for match in patterns.DATES.finditer(text)]
        for first, last in masked:
            # `2009년` is a date, `3개월` is not reached here
            self._mask(first, last)
        text = self.text
        place = 0
        for match in patterns.NUMBER.finditer(text):
            if match.start() < place:
                continue
            quantity = self._number(match)
            if quantity is not None:
                found.append(quantity)
                place = max(quantity.end, match.end())
        found += self._words(found)
        found.sort(key=lambda quantity: quantity.start)
        self._share_units(found)
        yield from self._ranges(found)

    def _share_units(self, found: list[Quantity]) -> None:
        """`30 and 55 hours`: the unit of the second is that of the first too."""
        for place in range(len(found) - 2, -1, -1):
            a, b = found[place], found[place + 1]
            bare = a.unit is NO_UNIT and not a.factors and not (a.magnitude and b.unit.kind == "percent")
            shares = b.unit.kind not in ("", "count", "rank", "times", "fraction")
            if bare and shares and patterns.SHARED.fullmatch(self.text[a.end : b.start]):
                found[place] = a._replace(unit=b.unit)

    def _mask(self, first: int, last: int) -> None:
        self.text = self.text[:first] + "\u2400" * (last - first) + self.text[last:]

    # numbers in digits

    def _number(self, match: re.Match[str]) -> Quantity | None:
        text, start = self.text, match.start()
        before = text[max(0, start - 28) : start]
        fraction = patterns.FRACTION.match(text, start)
        if fraction and (fraction[1] or not before.endswith(("/", "-"))):
            return self._fraction(fraction)
        name = self._in_name(before, match)
        if name == "no":
            return None
        raw = match["number"]
        value, step = float(raw.replace(",", "")), _step(raw)
        end, magnitude = match.end("number"), False
        if match["power"]:
            factor = _power(match["power"])
            if factor is None:
                return None
            value, step, end, magnitude = value * factor, step * factor, match.end(), True
        elif bare := patterns.POWER_OF_TEN.match(text, start):
            exponent = int((bare[1] or bare[2].translate(patterns.SUPER)).replace("–", "-"))
            value, step, end, magnitude = 10.0**exponent, 10.0**exponent, bare.end(), True
        elif (other := patterns.POWER.match(text, start)) and other[1] == raw:
            value = float(int(other[1]) ** int(other[2] or other[3].translate(patterns.SUPER)))
            step, end = 1.0, other.end()
        else:
            value, step, end, magnitude = self._magnitude(value, step, end)
        if name == "size" and not magnitude:
            return None
        sign, first = self._sign(start)
        quantity = Quantity(text[start:end], first, end, value, step, magnitude=magnitude, signed=sign != "")
        if sign == "-":
            quantity = quantity._replace(value=-value)
        if not magnitude and (dims := self._sides(quantity, end)):
            return dims
        quantity = self._unit(quantity)
        if self._is_place_or_year(quantity, before, raw):
            return None
        if name == "size":
            unit = Unit("count", thing="parameter", name="parameters")
            if not self.names:
                return None
            quantity = quantity._replace(named=True, unit=unit)
        about = bool(patterns.ABOUT.search(before[: len(before) - (start - first)][-18:])) or bool(
            patterns.ABOUT_AFTER.match(text, quantity.end)
        )
        first, end = quantity.start, quantity.end
        if text[first - 1 : first] in ("$", "€") and quantity.unit.kind in ("", "count"):
            kind = "dollars" if text[first - 1] == "$" else "euros"
            quantity = quantity._replace(unit=Unit(kind, name=text[first - 1]), start=first - 1)
        bound = _bound(
            before[: len(before) - (start - quantity.start)], text[quantity.end : quantity.end + 12]
        )
        return quantity._replace(about=about, bound=bound, text=text[quantity.start : quantity.end])

    def _sign(self, start: int) -> tuple[str, int]:
        text = self.text
        before, further = text[start - 1 : start], text[start - 2 : start - 1]
        if before in ("-", "+", "–", "−") and (
            not further or further in " (\t\n|[=:,~→/" or further > "\u2e7f"
        ):
            if before in "-–" and further > "\u2e7f":
                return "", start
            if before == "–" and further == " " and text[start - 3 : start - 2].isdigit():
                return "", start
            return ("+" if before == "+" else "-"), start - 1
        return "", start

    def _magnitude(self, value: float, step: float, end: int) -> tuple[float, float, int, bool]:
        text = self.text
        if match := patterns.KOREAN_MAGNITUDE.match(text, end):
            word = match[1]
            factor = _korean(word)
            total, shown, end = value * factor, step * factor, match.end()
            while more := re.compile(
                rf" ?({patterns.DIGITS}) ?([십백천]?[만억조]|[백천](?![가-힣]|$)|(?=[^\d,.]|$))"
            ).match(text, end):
                next_factor = _korean(more[2]) if more[2] else 1.0
                if next_factor >= factor or float(more[1].replace(",", "")) * next_factor >= factor:
                    break
                if not more[2] and (factor > 1e4 or len(more[1].replace(",", "")) < 3):
                    break
                factor = next_factor
                total += float(more[1].replace(",", "")) * factor
                shown, end = _step(more[1]) * factor, more.end()
            return total, shown, end, True
        if match := patterns.ENGLISH_MAGNITUDE.match(text, end):
            word = next(group for group in match.groups() if group)
            factor = patterns.ENGLISH[word.lower()]
            return value * factor, step * factor, match.end(), True
        return value, step, end, False

    def _sides(self, quantity: Quantity, end: int) -> Quantity | None:
        sides = [quantity.value]
        while match := patterns.DIMS.match(self.text, end):
            sides.append(float(match[1]))
            end = match.end()
        if len(sides) == 1:
            return None
        if self.text[end : end + 1] in ("B", "b"):
            return None
        result = quantity._replace(end=end, factors=tuple(sides), text=self.text[quantity.start : end])
        if (unit := unit_at(self.text, end + (self.text[end : end + 1] == " "))) and unit[0].kind == "pixels":
            return result._replace(end=unit[1], text=self.text[quantity.start : unit[1]])
        return result

    def _unit(self, quantity: Quantity) -> Quantity:
        text, end = self.text, quantity.end
        if re.match(r" ?[x×] ?(?:[A-Z]\w*\d|GPU|TPU)", text[end : end + 12]):
            return quantity._replace(unit=Unit("count", thing="device", name="×"))
        for gap in ("", " ", "-", "+ ", "+"):
            if not text.startswith(gap, end):
                continue
            if found := unit_at(text, end + len(gap)):
                unit, stop = found
                if unit.kind == "rank" and gap:
                    continue
                if unit.name == "m" and quantity.magnitude:
                    continue
                if unit.kind == "time" and (more := patterns.HOURS.match(text, stop)) and unit.factor == 3600:
                    value = quantity.value + float(more[1]) / 60
                    return quantity._replace(unit=unit, value=value, step=1 / 60, end=more.end())
                return quantity._replace(unit=unit, end=stop)
        return self._thing(quantity)

    def _thing(self, quantity: Quantity) -> Quantity:
        """What is counted: a noun after the number, after a counter, some words on, or before the number."""
        text, end = self.text, quantity.end
        place = end + (text[end : end + 1] in (" ", "-"))
        if found := thing_at(text, place):
            while text[found[1] : found[1] + 1] == " " and (more := thing_at(text, found[1] + 1)):
                if text[found[1] + 1].isascii() and text[found[1] - 1] != "s" == text[more[1] - 1]:
                    found = more  # `environment steps` are steps
                else:
                    break
            thing, stop = found
            if thing == "frame" and re.search(
                r"초당 ?(?:약 ?|최대 ?)?$", text[max(0, quantity.start - 8) : quantity.start]
            ):
                return quantity._replace(unit=Unit("frame rate", name=text[place:stop]), end=stop)
            if thing == "model" and quantity.magnitude:
                return quantity._replace(unit=Unit("count", thing="parameter"))
            return quantity._replace(unit=Unit("count", thing=thing, name=text[place:stop]), end=stop)
        counter = counter_at(text, place)
        if counter is not None:
            after = patterns.COUNT_OF.match(text, counter)
            name, stop = text[place:counter], counter
            if before := self._noun_before(quantity.start):  # `파라미터 9억 개의 모델`
                before = "image" if (before, name) == ("video", "장") else before
                return quantity._replace(unit=Unit("count", thing=before, name=name), end=stop)
            if name == "명" or (found := thing_at(text, after.end() if after else counter)):
                thing = "person" if name == "명" else found[0]  # type: ignore[index]
                thing = "image" if (thing, name) == ("video", "장") else thing
                return quantity._replace(unit=Unit("count", thing=thing, name=name), end=stop)
            return quantity._replace(unit=Unit("count", name=name), end=stop)
        if re.match(r"[ -][A-Za-z]", text[end : end + 2]) and (quantity.step >= 1 or quantity.magnitude):
            words = re.match(r"[ -](?:[A-Za-z][\w'/-]*[ ]){0,4}", text[end : end + 60])
            clause = re.split(
                r"[.,;:()\d]| (?:and|or|of|for|on|in|with|to|from|by|than|at|is|are|was|were|that|which|using|over) ",
                text[end : end + 60],
            )[0].lstrip(" -")
            if words and (things := things_in(clause)):
                return quantity._replace(unit=Unit("count", thing=things[-1][0]))
            if (
                noun := re.match(r"(?:[a-z][a-z'-]* ){0,3}([a-z][a-z'-]{2,}s)(?![a-z])(?! of )", clause)
            ) and not re.match(
                r"(?:as|is|was|has|does|less|vs|versus|plus|minus|points|across|times|this|its?|they|we|he|she|that|which)\b",
                clause,
            ):
                return quantity._replace(unit=Unit("count", thing=OTHER, name=noun[1]))
        if re.search(
            r"\bfactor of (?:about |around |almost |nearly |up to |roughly |over )?$",
            text[max(0, quantity.start - 24) : quantity.start],
        ):
            return quantity._replace(unit=Unit("times"))
        thing = self._noun_before(quantity.start) if quantity.step >= 1 or quantity.magnitude else ""
        return quantity._replace(unit=Unit("count", thing=thing)) if thing else quantity

    def _noun_before(self, start: int) -> str:
        window = re.split(r"[.,;()|:\n]", self.text[max(0, start - 22) : start].rstrip(" ("))[-1]
        match = re.search(
            r"(?<![\d만억조천개] )(?<![\d만억조천개])(파라미터|매개변수|토큰|이미지|문장|샘플|프레임|레이어|층|스텝|에폭|질문|문항|언어|영상|비디오|물체|GPU)(?: ?수)?(?:는|은|가|이|를|을|도|만)?\s?(?:총|약|모두|전체)?\s?$",
            window,
        )
        if match and (found := thing_at(match[1], 0)):
            return found[0]
        match = re.search(
            r"(parameters?|params?|tokens?|layers?|heads?|steps?|epochs?)(?: count)?(?: of| is|:| =|=)?\s?$",
            window,
            re.IGNORECASE,
        )
        if match and (found := thing_at(match[1], 0)):
            return found[0]
        return ""

    def _in_name(self, before: str, match: re.Match[str]) -> str:
        """`no` for a number within a name, `size` for one that may be the size of a model's name, else empty."""
        text, start, end = self.text, match.start(), match.end("number")
        last = before[-1:]
        after = text[end : end + 1]
        in_word = last and ((last.isascii() and last.isalpha()) or last == "_")
        if in_word and not re.search(r"(?<![A-Za-z])(?:x|US|USD)$", before):
            return self._size_or_no(match)
        if last and last in "-–.:/@#^" and len(before) > 1 and (before[-2].isalnum() or before[-2] in ")]"):
            if last == "@" or last == "#" or last == "^":
                return "no"
            if before[-2].isdigit() and last in "-–":
                # `16-31` is a range unless the first number belongs to a name
                word = re.search(r"[\w.+-]+$", before[:-1])
                if word and not re.search(r"[A-Za-z]", word[0]):
                    return ""
                if word and re.fullmatch(r"\d[\d.,]*[KkMBTx]?", word[0]):
                    return ""
            if last == ":" and before[-2].isdigit():
                return "no"
            if last == "/" and before[-2].isdigit():
                return ""
            if last in "-–/" and not re.search(r"[A-Za-z0-9]$", before[:-1]):
                return ""
            if last == ":" or (last == "." and not before[-2].isdigit() and before[-2] > "\u2e7f"):
                return ""
            return self._size_or_no(match)
        if last and last in "@#":
            return "no"
        if re.match(r"[x×]\d+(?:\.\d+)?[BM](?![A-Za-z])", text[end : end + 8]):
            return "no"
        if re.search(r"\d[x×]$", before):
            return self._size_or_no(match)
        if patterns.SHOT.match(text, end):
            return "no"
        if after and after.isascii() and (after.isalpha() or after == "_"):
            if unit_at(text, end) or patterns.ENGLISH_MAGNITUDE.match(text, end) or match["power"]:
                return self._family(before, start)
            if re.match(r"[x×X]\s?\d", text[end : end + 3]):
                return self._family(before, start)
            return "no"
        if after == "-" and re.match(r"-[A-Z]", text[end : end + 2]):
            return "no" if not unit_at(text, end + 1) else ""
        if text[end : end + 1] == "/" and re.match(r"/\d", text[end : end + 2]) and last.isalpha():
            return "no"
        return self._family(before, start)

    def _family(self, before: str, start: int) -> str:
        """A number after a model family's name is its version or its size."""
        if re.search(r"[A-Za-z]\d?(?:\.\d)? $", before) and patterns.FAMILY.search(
            re.sub(r" ?\d(?:\.\d)?[a-z]? $", " ", before)
        ):
            number = re.match(r"\d{1,4}(?:\.\d+)?", self.text[start:])
            version = number and re.fullmatch(r"[1-9]\d?(?:\.\d)?|\d{4}", number[0])
            return "size" if version and self.text[start + number.end() :][:1] != "%" else ""  # type: ignore[union-attr]
        return ""

    def _size_or_no(self, match: re.Match[str]) -> str:
        size = re.match(r"[BMKT](?![A-Za-z])", self.text[match.end("number") : match.end("number") + 2])
        return "size" if size and self.text[match.start() - 1] in "-_ x×" else "no"

    def _is_place_or_year(self, quantity: Quantity, before: str, raw: str) -> bool:
        text = self.text
        if quantity.value > 10 and before.endswith(("top ", "Top ")):
            return False
        if (
            quantity.unit.kind in ("", "times", "count")
            and not quantity.magnitude
            and patterns.PLACE.search(before[-16:])
        ):
            if quantity.unit.thing and re.search(
                r"(?:steps?|levels?|단계|task|type|part|group|case|day|rank)[ (]*$", before, re.IGNORECASE
            ):
                return False
            if "." not in raw or re.search(
                r"(?:sections?|sec\.|tables?|figures?|v|version|표|그림|python|cuda|pytorch)[ (]*(?:[A-Z]\.)?$",
                before,
                re.IGNORECASE,
            ):
                return True
        if before.endswith("[") and re.match(r"[\d,; –-]*\]", text[quantity.end : quantity.end + 20]):
            return True
        if (
            "[" in before
            and re.search(r"\[[\d,; ]*$", before)
            and re.match(r"[\d,; ]*\]", text[quantity.end : quantity.end + 20])
        ):
            return True
        if (
            re.match(r"(?:절|장)(?=[ 에의은을과와,.)]|$)", text[quantity.end : quantity.end + 2])
            and raw.count(".") == 1
            and quantity.unit is NO_UNIT
        ):
            return True
        if patterns.YEAR.fullmatch(raw) and quantity.unit is NO_UNIT and not quantity.magnitude:
            return True
        numbered = len(raw) <= 2 and text[quantity.end : quantity.end + 1] == "."
        return numbered and bool(
            re.match(r"\.\s", text[quantity.end : quantity.end + 2]) and re.search(r"(?:^|\n)\s*$", before)
        )

    def _fraction(self, match: re.Match[str]) -> Quantity:
        if match[1]:
            value = float(match[2]) / float(match[1])
        else:
            value = float(match[3]) / float(match[4])
        bound = _bound(
            self.text[max(0, match.start() - 16) : match.start()], self.text[match.end() : match.end() + 12]
        )
        return Quantity(
            match[0], match.start(), match.end(), value, value / 100, Unit("fraction"), bound=bound
        )

    # numbers in words

    def _words(self, found: list[Quantity]) -> Iterator[Quantity]:
        text = self.text
        spans = [(quantity.start, quantity.end) for quantity in found]

        def free(first: int, last: int) -> bool:
            return all(last <= start or first >= end for start, end in spans)

        worded = _WORDED.search(text)
        for match in patterns.TIMES_WORD.finditer(text) if worded else ():
            if free(match.start(), match.end()):
                before, after = (
                    text[max(0, match.start() - 16) : match.start()],
                    text[match.end() : match.end() + 12],
                )
                spans.append((match.start(), match.end()))
                yield _times_word(match)._replace(bound=_bound(before, after))
        korean = () if text.isascii() else (patterns.NATIVE_WORD,)
        for match in (match for pattern in korean for match in pattern.finditer(text)):
            end = match.end(1)
            if free(match.start(), end):
                value = float(patterns.NATIVE[match[1]])
                yield self._worded(match.start(), end, value)
        for match in patterns.ENGLISH_WORD.finditer(text) if worded else ():
            if free(match.start(), match.end()):
                yield self._english_word(match)
        korean = () if text.isascii() else (patterns.KOREAN_WORD,)
        for match in (match for pattern in korean for match in pattern.finditer(text)):
            if free(match.start(), match.end()):
                value = _korean(match[1])
                quantity = self._worded(match.start(), match.end(), value)
                yield quantity._replace(word=False, magnitude=True, step=value)
        for match in patterns.RANK.finditer(text) if worded else ():
            if free(match.start(), match.end()):
                value = float(patterns.ORDINALS[(match[1] or match[2]).lower()])
                yield Quantity(match[0], match.start(), match.end(), value, 1.0, Unit("rank"), word=True)

    def _worded(self, start: int, end: int, value: float) -> Quantity:
        before = self.text[max(0, start - 16) : start]
        about = bool(patterns.ABOUT.search(before))
        quantity = Quantity(self.text[start:end], start, end, value, 1.0, word=True, about=about)
        quantity = self._unit(quantity)
        quantity = quantity._replace(bound=_bound(before, self.text[quantity.end : quantity.end + 12]))
        return quantity._replace(text=self.text[start : quantity.end])

    def _english_word(self, match: re.Match[str]) -> Quantity:
        word, start = match[1].lower(), match.start()
        if word.endswith("dozen"):
            value = 12.0 if word.startswith("a") else 24.0
        elif " " in word:
            start += len(word.split()[0]) + 1 if word.split()[0] in ("per", "every", "each") else 0
            value = float(patterns.ENGLISH[word.split()[1]])
        elif "-" in word:
            tens, ones = word.split("-")
            value = float(patterns.WORDS[tens] + (1 if ones == "one" else patterns.WORDS[ones]))
        else:
            value = float(patterns.WORDS.get(word, 1))
        end, magnitude = match.end(), " " in word
        if (more := patterns.ENGLISH_MAGNITUDE.match(self.text, end)) and more[1]:
            value, end, magnitude = value * patterns.ENGLISH[more[1].lower()], more.end(), True
        quantity = self._worded(start, end, value)
        step = value if magnitude else 1.0
        return quantity._replace(magnitude=magnitude, step=step, word=not magnitude)

    # two numbers that are one quantity

    def _ranges(self, found: list[Quantity]) -> Iterator[Quantity]:
        place = 0
        while place < len(found):
            low = found[place]
            high = found[place + 1] if place + 1 < len(found) else None
            if high is not None and (joined := self._joined(low, high)):
                yield joined
                place += 2
            else:
                yield low
                place += 1

    def _joined(self, low: Quantity, high: Quantity) -> Quantity | None:
        if low.factors or high.factors or low.word or high.word or high.high is not None:
            return None
        between = self.text[low.end : high.start] + (
            "-" if high.signed and self.text[high.start] == "-" else ""
        )
        between = between.strip()
        if between in ("±", "+/-", "+-", "(±", "(+/-") and low.high is None:
            return low._replace(
                text=self.text[low.start : high.end],
                end=high.end,
                spread=high,
                unit=low.unit if low.unit.kind else high.unit,
            )
        value = abs(high.value) if high.signed else high.value
        tight = self.text[low.end : high.start].strip() == self.text[low.end : high.start]
        if between in ("~", "–", "—") or (between == "-" and tight):
            pass
        elif between == "to":
            if re.search(
                r"(?:from|improv\w+|increas\w+|decreas\w+|reduc\w+|drop\w*|ris\w+|rose|fell|falls?)[^.]{0,40}$",
                self.text[max(0, low.start - 48) : low.start],
                re.IGNORECASE,
            ):
                return None
        elif between == "and":
            if not re.search(r"between\s$", self.text[max(0, low.start - 9) : low.start], re.IGNORECASE):
                return None
        else:
            return None
        unit = high.unit if high.unit.kind else low.unit
        if low.unit.kind and high.unit.kind and low.unit.kind != high.unit.kind:
            return None
        bottom = low.value
        if high.magnitude and not low.magnitude and low.unit.kind == "" and not low.signed:
            # `3~5억`: the magnitude belongs to both ends
            factor = high.step / 10 ** round(_shown_exponent(high))
            if bottom * factor < value:
                bottom *= factor
        if not bottom < value:
            return None
        return low._replace(
            text=self.text[low.start : high.end],
            end=high.end,
            value=bottom,
            high=value,
            unit=unit,
            step=min(low.step if bottom == low.value else high.step, high.step),
            about=low.about or high.about,
            magnitude=low.magnitude or high.magnitude,
        )


def _step(raw: str) -> float:
    """The value of one in the last digit shown; zeros at the end of a whole number are not taken as shown."""
    whole, _, decimals = raw.replace(",", "").partition(".")
    if decimals:
        return 10.0 ** -len(decimals)
    stripped = whole.rstrip("0")
    return 10.0 ** (len(whole) - len(stripped)) if stripped else 1.0


def _shown_exponent(quantity: Quantity) -> float:
    """The power of ten of the last digit shown, before the magnitude word."""
    number = re.search(patterns.DIGITS, quantity.text)
    step = _step(number[0]) if number else 1.0
    return 0.0 if step <= 0 else float(f"{step:e}".split("e")[1])


_MORE = re.compile(
    r"(?:more than|over|at least|exceeding|above|beyond|upwards of|[>≥])\s?\$?$", re.IGNORECASE
)
_LESS = re.compile(
    r"(?:less than|fewer than|under|at most|below|within|nearly|almost|[<≤])\s?\$?$", re.IGNORECASE
)
_MORE_AFTER = re.compile(r"\s?(?:이상|넘|초과|여(?= |[가-힣])|\+|or more|남짓|웃도|훌쩍)")
_LESS_AFTER = re.compile(r"\s?(?:이하|미만|이내|안팎|가까이|가까운|에 가까|육박|or less|에 못|도 안 |이 채)")


def _bound(before: str, after: str) -> int:
    before = before[-14:]
    if _MORE.search(before) or _MORE_AFTER.match(after):
        return 1
    return -1 if _LESS.search(before) or _LESS_AFTER.match(after) else 0


def _power(text: str) -> float | None:
    if text[0] in "eE":
        exponent = int(text[1:])
    else:
        exponent = int(
            re.split(r"10\s?\^?", text, maxsplit=1)[1]
            .translate(patterns.SUPER)
            .replace("–", "-")
            .strip("{} ")
            .replace(" ", "")
        )
    return 10.0**exponent if abs(exponent) <= 60 else None


def _korean(word: str) -> float:
    factor = 1.0
    for character in word:
        factor *= patterns.KOREAN[character]
    return factor


def _times_word(match: re.Match[str]) -> Quantity:
    word = (match[1] or match[2]).lower().replace("-", " ")
    start, end, text = match.start(), match.end(), match[0]
    for stem, times in (("twice", 2.0), ("doubl", 2.0), ("thrice", 3.0), ("tripl", 3.0), ("quadrupl", 4.0)):
        if word.startswith(stem):
            return Quantity(text, start, end, times, 1.0, Unit("times"), word=True)
    if word in ("절반", "반으로") or "hal" in word:
        return Quantity(text, start, end, 0.5, 0.02, Unit("fraction"), word=True)
    count, _, part = word.partition(" ")
    number = {"two": 2, "three": 3, "four": 4}.get(count, 1)
    value = number / patterns.PARTS[part.rstrip("s")]
    return Quantity(text, start, end, value, value / 100, Unit("fraction"), word=True)

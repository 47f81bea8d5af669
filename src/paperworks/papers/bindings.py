"""Which words of a sentence belong to which of its figures, and what part a figure plays.

In `A reaches 60.5 on MMLU and 41.2 on GSM8K` MMLU belongs to 60.5. The nearer a word, the heavier; both ends of a change
(`<from>`, `<to>`), its size (`<by>`) and what something is compared with (`<base>`) are known by their prepositions and
particles. `A, B and C reach 1, 2 and 3` is read in order, and a cell of a table belongs to its row and its column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from paperworks.papers.quantities import Quantity, find_quantities
from paperworks.papers.telling import Word, words_of

if TYPE_CHECKING:
    from paperworks.papers.contexts import Sentence

_WEAK = re.compile(r"\s(?:compared|versus|vs\.?|against|than|over|up from|down from)\s")
_SPLIT = re.compile(
    r"[,;:()\[\]]|\s(?:and|while|whereas|but|or)\s|\n|"
    r"(?<=[가-힣])(?:고|며|지만|으나|나|면서|데|이고|이며)(?=[,\s])|(?<=\s)(?:반면|대비|그리고|또는|및)(?=\s)"
)
_PREPOSITION = re.compile(
    r"\s*[a-z%A-Z-]{0,12}\s*(?:on|for|in|with|by|of|at|under|using|after|when|is|are|from|across|to)\s"
)
_HEAD = re.compile(r"\s(?:with|at|in|on|for|to)\s(?:an?\s|the\s)?(?:[\w-]+\s){1,3}(?:of|is|at)\s+$")
_RELATIVE = re.compile(
    r"^[가-힣\s%A-Za-z]{0,14}?(?:한|인|된|던|친|낸|의|하는|되는|달성한|기록한|얻은|보인|갖춘|가진|쓰는|쓴|지닌|이른|담은)\s+(?P<name>[A-Za-z][\w.+/-]*|[가-힣]+(?=[은는이가와과,.]))"
)
_BASE = re.compile(
    r"(?:\b(?:vs\.?|versus|against|compared (?:to|with)|than|over|relative to|instead of|behind|below|above|ahead of|baseline(?:'s)?|up from|down from)\s+(?:the |a |an |its |their )?(?:[\w'’.-]+\s){0,3})$",
    re.IGNORECASE,
)
_FROM = re.compile(
    r"\bfrom\s+(?:about |around |roughly |just |only |approximately |an? |the )?$", re.IGNORECASE
)
_TO = re.compile(
    r"\bto\s+(?:about |around |roughly |just |only |approximately |an? |the |over |nearly )?$", re.IGNORECASE
)
_KO_BASE = re.compile(
    r"^\s?(?:[가-힣%A-Za-z]{0,6}\s?)?(?:보다|대비|에 비해|에 비하여|에 견주어|과 비교|와 비교|에 비하면)"
)
_KO_OLD = re.compile(r"(?:기존|종전|이전)(?:의|에는|에)?\s(?:[가-힣]+\s)?(?:약\s?)?$")
_KO_BY = re.compile(
    r"^\s?(?:만큼 |나 |정도 |더 |가량 )?(?:향상|개선|증가|감소|상승|하락|높|낮|빠르|빨라|줄|늘|올|떨어|절감|단축|앞서|앞섰|뒤|웃돌|밑돌|많|적|작|크)"
)
_KO_FROM = re.compile(r"^(?:[가-힣%]{0,6})?(?:에서|였던|이던|부터)(?=[\s,])")
_KO_TO = re.compile(r"^(?:[가-힣%]{0,6})?(?:으로|로|까지)(?=[\s,.]|$)")
_CONNECTOR = re.compile(
    r"^[\s,/%]*(?:(?:vs\.?|versus|against|compared (?:to|with)|and|or|대|및|와|과|그리고|점|퍼센트|points?)[\s,]*)*[\s,/%]*$"
)


Bound = dict[int, dict[str, float]]
"""For each figure, by its offset, weighted stems."""


def bind(sentence: Sentence) -> tuple[Bound, Bound, Bound]:
    """What belongs to each figure of a sentence: by nearness, by its part of the sentence, and by that part alone.

    The second has the beginning of the sentence in every part that has no words of its own before its figure, the third
    never.
    """
    figures, words = list(sentence.figures), sentence.words
    text, base = sentence.text, sentence.start
    bound: dict[int, dict[str, float]] = {figure.start: {} for figure in figures}
    parts: dict[int, dict[str, float]] = {figure.start: {} for figure in figures}
    if not figures:
        return bound, parts, parts
    lent: dict[int, set[str]] = {}
    counted: dict[int, set[str]] = {}
    inside = [(figure.start, figure.end) for figure in figures]
    words = [word for word in words if not any(s <= word.start < e for s, e in inside)]
    compared = {word.start for word in words if is_compared(word, text, base, ())}
    words = [word for word in words if not is_compared(word, text, base, figures)]
    cuts: list[tuple[int, int, int]] = []
    left_edge = base
    for i, figure in enumerate(figures):
        nxt = figures[i + 1].start if i + 1 < len(figures) else sentence.end
        gap = text[figure.end - base : nxt - base]
        right_edge = _right_edge(gap, last=i + 1 == len(figures), korean=sentence.korean)
        if figure.unit.kind == "count" and not sentence.korean and (noun := _COUNTED.match(gap)):
            right_edge = max(right_edge, noun.end())
        cuts.append((left_edge, figure.end + right_edge, nxt))
        left_edge = figure.end + right_edge
    opening = [word for word in words if word.end <= figures[0].start and word.start not in compared]
    for i, figure in enumerate(figures):
        first, last, _ = cuts[i]
        here = bound[figure.start]
        left = [word for word in words if first <= word.start and word.end <= figure.start]
        right = [word for word in words if figure.end <= word.start and word.end <= last]
        if not sentence.korean or sentence.text[figure.end - base : last - base].strip():
            _add(here, right, 1.0)
        _add(here, reversed(left), 1.0 if left else 0.0)
        _add_flat(here, opening, 0.2)
        if i and not left:
            _add_flat(here, opening, 0.4)
        for word in (*left, *right, *(opening if i and not left else ())):
            for one in word.stems:
                parts[figure.start][one] = word.weight
        if figure.unit.kind == "count" and figure.unit.thing != "parameter":
            for word in (word for word in sentence.words if figure.start <= word.start < figure.end):
                for one in word.stems:
                    here[one] = parts[figure.start][one] = word.weight
                    counted.setdefault(figure.start, set()).add(one)
        own = {one for word in (*left, *right) for one in word.stems} | counted.get(figure.start, set())
        lent[figure.start] = parts[figure.start].keys() - own if i else set()
        role = _role(text, figure, base, figures, i)
        if role:
            here[role] = parts[figure.start][role] = 2.0
        if role == "<base>":
            here["<from>"] = 1.0  # what something is compared with came before it
        if role == "<to>" and i and "<from>" in bound[figures[i - 1].start]:
            # both ends of a change are of the same thing
            for one, weight in bound[figures[i - 1].start].items():
                if one[0] not in "<#":
                    here[one] = max(here.get(one, 0.0), weight)
            parts[figure.start] |= {
                one: weight for one, weight in parts[figures[i - 1].start].items() if one[0] not in "<#"
            }
    _bind_lists(sentence, figures, words, bound)
    _bind_conditions(sentence, figures, bound, parts)
    alone = {
        start: {one: weight for one, weight in words.items() if one not in lent[start]}
        for start, words in parts.items()
    }
    return bound, parts, alone


_KO_COMPARED = re.compile(
    r"^(?:의 [가-힣]+)?(?:보다|[ ]?대비|에 비해|에 비하|과 비교|와 비교|에 견주|에 못 미|을 앞|를 앞|을 웃|를 웃|을 능가|를 능가|를 뛰어|을 뛰어)"
)
_COMPARED = re.compile(
    r"(?:\bthan|\bover|\bagainst|\bversus|\bvs\.?|compared (?:to|with)|relative to|\babove|\bbelow|\bbeats?|outperform\w*|exceed\w*|"
    r"surpass\w*|\bunlike|\bbehind)\s(?:the |its |that of |those of |an? )?"
    r"(?:(?!(?:on|in|at|for|with|by|from|to|and) )[\w-]+ ){0,2}$",
    re.IGNORECASE,
)


def is_compared(word: Word, text: str, base: int, figures: Sequence[Quantity]) -> bool:
    """Whether a name is only what something is compared with, and no figure stands right beside it."""
    if not word.name:
        return False
    if any(0 <= figure.start - word.end <= 6 for figure in figures) or any(
        0 <= word.start - figure.end <= 12 and re.match(r"\s?(?:of|for|by)\s", text[figure.end - base :])
        for figure in figures
    ):
        return False
    after, before = text[word.end - base :], text[max(0, word.start - base - 48) : word.start - base]
    return bool(_KO_COMPARED.match(after) or _COMPARED.search(before))


_AT = re.compile(r"^\W*(?:[a-z]+\s){0,2}(?:at|for|with|on|in|after|using)\s(?:a |an |the )?(?:[a-z]+ ){0,2}$")
_KO_TO_LEVEL = re.compile(
    r"^[가-힣%]{0,3}?(?:으로|로|까지|를|을|에)\s(?:약간 |크게 |더 )?(?:줄|늘|올|떨어|높|낮|감소|증가|향상|상승|하락|개선|단축|변|바뀌|바뀐|바뀜|달하|달한|"
    r"이르|이른|기록|달성|도달)[가-힣]*"
)
_KO_NOUN = re.compile(r"^\s[가-힣A-Za-z][\w-]*(?=\s)")
"""The noun that a figure without a particle stands before: `50스텝 교사 모델`."""
_COUNTED = re.compile(
    r"\s?(?:[\w-]+\s){1,3}?(?=(?:across|in|from|with|over|of|for|on|to|by|at|into|per|between|within|during|among|which|that|"
    r"is|are|was|were|may|can|who)\s)|\s?(?:[\w-]+\s){0,4}[\w-]+(?=[,;.)])"
)
_AT_IS = re.compile(
    r"^\s(?:[a-z]+\s){0,2}?(?:is|was|stays|stands|remains|still|reaches|drops|falls|rises)(?:\s(?:at|to|still|only))?\s(?:about\s)?$"
)
_BEFORE_AT = re.compile(r"\b(?:at|for|with|on|in|after|using)\s(?:a |an |the )?(?:[a-z]+ ){0,2}$")
_KO_AT = re.compile(
    r"^(?:[가-힣]{0,4})?(?:에서(?:는|도)?|일 때|의 경우|으로는|로는|은|는)\s(?:[가-힣]+ ){0,2}$"
)


def _bind_conditions(
    sentence: Sentence,
    figures: Sequence[Quantity],
    bound: dict[int, dict[str, float]],
    parts: dict[int, dict[str, float]],
) -> None:
    """`78.4 at 64K`: a figure of another kind beside a figure may be the condition that it belongs to."""
    text, base = sentence.text, sentence.start
    for a, b in pairwise(figures):
        gap = text[a.end - base : b.start - base]
        if a.unit.kind == b.unit.kind and a.magnitude == b.magnitude and a.unit.thing == b.unit.thing:
            continue
        if not sentence.korean and _AT.match(gap):
            pairs = ((a, b),)
        elif (not sentence.korean and _AT_IS.match(gap) and _BEFORE_AT.search(text[: a.start - base])) or (
            sentence.korean and _KO_AT.match(gap)
        ):
            pairs = ((b, a),)
        else:
            continue
        for figure, condition in pairs:
            token = f"#{condition.base:.6g}"
            bound[figure.start][token] = parts[figure.start][token] = 2.0


def _right_edge(gap: str, *, last: bool, korean: bool) -> int:
    """How much of what follows a figure belongs to it, in characters.

    What stands right before a parenthesis belongs to the figure in it: `B(58.7)`.
    """
    opens = gap.rstrip().endswith("(")
    gap = gap.rstrip().removesuffix("(") if opens else gap
    if korean:
        by = _KO_BY.match(gap)
        if by:
            return by.end() + len(re.match(r"[가-힣]*", gap[by.end() :])[0])  # type: ignore[index]
        if level := _KO_TO_LEVEL.match(gap):
            return level.end()
        relative = _RELATIVE.match(gap)
        if relative and not _SPLIT.search(relative[0]):
            return relative.end("name")
        cut = _SPLIT.search(gap)
        if not cut and last and not opens:
            return len(gap)
        noun = _KO_NOUN.match(gap)
        return max(cut.start() if cut else 0, noun.end() if noun else 0)
    cut = _SPLIT.search(gap) or (None if last else _WEAK.search(gap))
    end = cut.start() if cut else len(gap)
    if not last and not cut and (head := _HEAD.search(gap)):
        return head.start()
    part = gap[:end]
    if cut or last or _PREPOSITION.match(part + " "):
        return end
    return 0


def _add(here: dict[str, float], words: Iterable[Word], weight: float) -> None:
    """Nearer words weigh more: the first name wholly, the second half, and so on."""
    names = commons = 0
    for word in words:
        if word.name:
            names += 1
            share = 1.0 / names
        else:
            commons += 1
            share = 1.0 / (1 + commons / 3)
        for one in word.stems:
            here[one] = max(here.get(one, 0.0), weight * share * word.weight)


def _add_flat(here: dict[str, float], words: Iterable[Word], weight: float) -> None:
    for word in words:
        for one in word.stems:
            here.setdefault(one, weight * word.weight)


def _role(text: str, figure: Quantity, base: int, figures: Sequence[Quantity], i: int) -> str:
    before = text[max(0, figure.start - base - 48) : figure.start - base]
    after = text[figure.end - base : figure.end - base + 24]
    previous = figures[i - 1] if i else None
    between = text[previous.end - base : figure.start - base] if previous else ""
    following = text[figure.end - base : figures[i + 1].start - base] if i + 1 < len(figures) else ""
    if re.match(r"\s*(?:→|->|=>)", after):
        return "<from>"
    if previous and re.search(r"(?:→|->|=>)\s*$", between):
        return "<to>"
    if _FROM.search(before):
        return "<from>"
    if _TO.search(before) and (
        (previous and (_FROM.search(text[max(0, previous.start - base - 40) : previous.start - base])))
        or re.search(r"\bfrom\b", following)
        or re.search(
            r"(?:increas|decreas|improv|reduc|rais|lower|drop|ris|fall|fell|rose|grow|grew|cut|boost|climb|jump)\w*[^.]{0,24}to\s",
            before,
            re.IGNORECASE,
        )
    ):
        return "<to>"
    if re.match(
        r"[^.;:\d]{0,40}?\b(?:up|down|an? (?:increase|improvement|drop|gain|reduction)) from\s", following
    ):
        return "<to>"
    if re.search(
        r"\bby\s+(?:about |around |up to |only |just |nearly |over |approximately |roughly |some )?$", before
    ):
        return "<by>"
    if _BASE.search(before) or _KO_OLD.search(before):
        return "<base>"
    if _KO_BY.match(after):
        return "<by>"
    if re.match(r"^(?:[가-힣]{0,3})?\s?(?:중|가운데)(?=[\s,에])", after):
        return "<whole>"
    if previous and re.search(r"^\s?(?:of|out of|in) (?:the |its |all |a total of )?(?:\w+ )?$", between):
        return "<whole>"
    if _KO_BASE.match(after):
        return "<base>"
    if following and _KO_FROM.match(after) and i + 1 < len(figures):
        nxt = text[figures[i + 1].end - base : figures[i + 1].end - base + 12]
        if _KO_TO.match(nxt) and len(following) < 40:
            return "<from>"
    if previous and _KO_TO.match(after) and _KO_FROM.match(between) and len(between) < 40:
        return "<to>"
    return ""


_OWN = re.compile(r"\s?[a-z%]*\s?(?:for|by|of|with|on|in)\s(?:the\s|an?\s)?[A-Za-z]")


def _bind_lists(
    sentence: Sentence, figures: Sequence[Quantity], words: Sequence[Word], bound: dict[int, dict[str, float]]
) -> None:
    """`A, B and C reach 1, 2 and 3`: names and figures in the same order belong together."""
    text, base = sentence.text, sentence.start
    respectively = re.search(r"respectively|각각|순으로|차례로", text) is not None
    place = 0
    while place < len(figures):
        run = [figures[place]]
        while place + len(run) < len(figures):
            nxt = figures[place + len(run)]
            gap = text[run[-1].end - base : nxt.start - base]
            if len(gap) > 24 or not _CONNECTOR.match(gap.strip("() ")) or nxt.unit.kind != run[0].unit.kind:
                break
            run.append(nxt)
        if len(run) > 1:
            start = figures[place - 1].end if place else base
            before = [
                word for word in words if word.name and start <= word.start and word.end <= run[0].start
            ]
            names = _phrases(before, text, base)
            if not respectively and not sentence.korean and _OWN.match(text[run[-1].end - base :]):
                names = []
            if len(names) < len(run) and respectively:
                after = [word for word in words if word.name and word.start >= run[-1].end]
                names = _phrases(after, text, base)[: len(run)] if len(after) >= len(run) else names
            if len(names) > len(run):
                names = _enumerated(names, text, base, len(run)) or names
            roles = any(role in bound[figure.start] for figure in run for role in ("<from>", "<to>"))
            if len(names) >= len(run) and not roles:
                chosen = names[-len(run) :]
                for figure, group in zip(run, chosen, strict=True):
                    here = bound[figure.start]
                    for other in names:
                        for word in other:
                            for one in word.stems:
                                here[one] = 0.2
                    for word in group:
                        for one in word.stems:
                            here[one] = 1.2 * word.weight
        place += len(run)


def _phrases(names: Sequence[Word], text: str, base: int) -> list[list[Word]]:
    """Names that stand together are one: `Llama 3.1 8B`."""
    groups: list[list[Word]] = []
    for word in names:
        if groups and re.fullmatch(r"[ \d.-]{0,6}", text[groups[-1][-1].end - base : word.start - base]):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _enumerated(groups: list[list[Word]], text: str, base: int, n: int) -> list[list[Word]] | None:
    """The last `n` of the names that are joined by commas and `and`."""
    for end in range(len(groups), n - 1, -1):
        chosen = groups[end - n : end]
        joined = all(
            re.fullmatch(
                r"[\s,/]*(?:and|or|와|과|및|,|그리고|의|는|은|vs\.?)?[\s,]*(?:the )?",
                text[a[-1].end - base : b[0].start - base],
            )
            for a, b in pairwise(chosen)
        )
        if joined:
            return chosen
    return None


def bind_row(row: Sentence) -> dict[int, dict[str, float]]:
    """A cell belongs to its row's label and its column's header."""
    bound: dict[int, dict[str, float]] = {figure.start: {} for figure in row.figures}
    place, labels = row.start, []
    cells: list[tuple[int, int, str]] = []
    for cell in row.text.split(" | "):
        cells.append((place, place + len(cell), cell))
        place += len(cell) + 3
    for _, _, cell in cells:
        if not re.fullmatch(r"[\s\d.,%±+\-–—×x()/*†‡]*", cell):
            labels += words_of(cell, korean=row.korean)
    negated = {
        one
        for match in re.finditer(r"(?:\bno|w/o|without|−|- )\s?([\w-]+)", row.label)
        for word in words_of(match[1], korean=row.korean)
        for one in word.stems
    }
    labels = [word for word in labels if not set(word.stems) & negated]
    for column, (first, last, _) in enumerate(cells):
        header = row.header[column] if column < len(row.header) else ""
        for figure in row.figures:
            if first <= figure.start < last:
                here = bound[figure.start]
                for word in words_of(header, korean=row.korean):
                    for one in word.stems:
                        here[one] = 2.0
                for condition in find_quantities(header):
                    here[f"#{condition.base:.6g}"] = 2.0
                for word in labels:
                    for one in word.stems:
                        here[one] = 2.0
    return bound

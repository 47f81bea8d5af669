"""Which way a change goes that a figure is the size of: `falls by 0.7 points`, `3.2점 낮다`, `a gain of 4 %`.

A change has a direction on one or more axes: the *amount* (more or less), the *worth* (better or worse), *speed* and
*estimate* (over or under). Two tellings of one change are at odds where an axis has them opposite and none agrees:
"lower" against "higher", "worse" against "better"; an error that *falls* and a result that *improves* are not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paperworks.papers.contexts import Sentence
    from paperworks.papers.quantities import Quantity

Direction = dict[str, int]
"""Axis to 1 or -1."""

_COST: Direction = {"worth": -1}
_ENGLISH: tuple[tuple[str, Direction], ...] = (
    (
        "ris(?:e|es|ing|en)|rose|increas\\w*|grow(?:s|th|n|ing)?|grew|climb\\w*|jump\\w*|rais(?:e|es|ed|ing)|add(?:s|ed|ing)|"
        "exceed\\w*|lift(?:s|ed|ing)?|contribut\\w*|lengthen\\w*|prolong\\w*|extend(?:s|ed|ing)?",
        {"amount": 1},
    ),
    ("gain(?:s|ed|ing)?|boost\\w*|lead(?:s|ing)?", {"amount": 1, "worth": 1}),
    (
        "fall(?:s|en|ing)?|fell|drop(?:s|ped|ping)?|decreas\\w*|declin\\w*|reduc\\w*|lower(?:s|ed|ing)|shrink\\w*|shrank|"
        "cut(?:s|ting)?|sav(?:e|es|ed|ing|ings)|shorten\\w*",
        {"amount": -1},
    ),
    ("los(?:e|es|ing|s|ses)|lost|trail\\w*", {"amount": -1, "worth": -1}),
    ("improv\\w*|benefit\\w*|outperform\\w*|enhanc\\w*|beat(?:s|en|ing)?|surpass\\w*", {"worth": 1}),
    (
        "worsen\\w*|degrad\\w*|hurt(?:s|ing)?|penalt\\w*|deteriorat\\w*|harm(?:s|ed)?",
        {"worth": -1},
    ),
    ("cost(?:s|ing)?", _COST),
    ("speed-?ups?|speeds?|accelerat\\w*", {"speed": 1}),
    ("slow(?:s|ed|ing|downs?)", {"speed": -1}),
    ("overestimat\\w*", {"estimate": 1}),
    ("underestimat\\w*", {"estimate": -1}),
)
_COMPARED: tuple[tuple[str, Direction], ...] = (  # that stand behind a figure: `3.2 points higher`
    ("higher|greater|more|larger|longer|above|over|up", {"amount": 1}),
    ("ahead", {"amount": 1, "worth": 1}),
    ("lower|less|fewer|below|shorter|smaller|down|short|under|rarer|cheaper|lighter", {"amount": -1}),
    ("behind", {"amount": -1, "worth": -1}),
    ("better", {"worth": 1}),
    ("worse", {"worth": -1}),
    ("faster|quicker", {"speed": 1}),
    ("slower", {"speed": -1}),
)
_KOREAN: tuple[tuple[str, Direction], ...] = (
    (
        "높|올랐|올라|올렸|올리|오르|오른|오름|오릅|올림|올립|상승|증가|늘|웃돌|많|크(?=[게고며다])|커(?=[지졌진짐])|길(?=[어고])|추가",
        {"amount": 1},
    ),
    ("앞서|앞섰|앞선|앞섬|앞섭|앞설|앞질", {"amount": 1, "worth": 1}),
    (
        "낮|내렸|내리|내려|내림|내립|하락|감소|줄|떨어|떨군|밑돌|적(?=[고은음게었다])|작(?=[아은음게고])|짧|절감|절약|아끼|아껴|아낀|"
        "아낌|단축|못 ?미",
        {"amount": -1},
    ),
    ("뒤지|뒤졌|뒤진|뒤짐|뒤처|저하|손실", {"amount": -1, "worth": -1}),
    ("향상|개선|좋|나아|우수|이득", {"worth": 1}),
    ("나빠|나쁘|나쁨|나쁜|나쁩|악화|열화", {"worth": -1}),
    ("빠르|빨라|빠른|빨랐|빠름|빠릅|가속", {"speed": 1}),
    ("느리|느려|느린|느렸|느림|느립", {"speed": -1}),
    ("과대 ?평가|과대 ?추정", {"estimate": 1}),
    ("과소 ?평가|과소 ?추정", {"estimate": -1}),
)


_COORDINATED = re.compile(r",?\s?(?:points?|percent|%)?,?\sand\s[^.;:]*\sby\s$")
"""`lowers A by 2 points and B by 3`: the verb is that of the figure before."""


def _alternatives(rows: tuple[tuple[str, Direction], ...]) -> str:
    return "|".join(f"(?P<w{number}>{words})" for number, (words, _) in enumerate(rows))


_HEDGES = (
    r"(?:about|around|roughly|approximately|nearly|almost|only|just|some|up|to|an?|the|of|by|another|further|extra|"
    r"additional|relative|absolute|full|mere|small|over|than|more|at|least|most|as|much|average|mean|median|well|even)"
)
_AFTER = re.compile(
    rf"\s?(?:[\w%+@-]+\s){{0,2}}?\b(?:{_alternatives((*_ENGLISH, *_COMPARED))})\b", re.IGNORECASE
)
_VERB = re.compile(rf"\b(?:{_alternatives(_ENGLISH)})\b", re.IGNORECASE)
_BEFORE = re.compile(rf"\b(?:{_alternatives(_ENGLISH)})\s(?:{_HEDGES}\s)*$", re.IGNORECASE)
_BEFORE_BY = re.compile(
    rf"\b(?:{_alternatives((*_ENGLISH, *_COMPARED))}),?\b(?:(?!\sto\s)[^.;:\d]){{0,70}}?\sby\s(?:{_HEDGES}\s)*$",
    re.IGNORECASE,
)
_LEVEL = re.compile(
    r"(?:\bto|\bat|\breach\w*|\bfrom|→|->)\s(?:about |around |roughly |nearly |only |just |over |an? )*$",
    re.IGNORECASE,
)
_KO_WORD = re.compile(_alternatives(_KOREAN))
_KO_LEVEL = re.compile(r"^(?:으?로|에서|까지|의|이던|였던|인|이고|이며|임|였|이었|에 (?:달|이르|그치))")
_KO_END = re.compile(r"[,.;:()\n]|(?<=[가-힣])(?:지만|으나|반면|는데)")
_KO_BEFORE = re.compile(
    rf"(?:{_alternatives(_KOREAN)})[가-힣]{{0,2}}\s?(?:폭|률|율|분|량|정도|효과)?(?:은|는|이|가)?\s?(?:약|최대|평균|불과|겨우)?\s?$"
)


_METRIC = re.compile(
    r"(?P<high>accurac|score|success|recall|precision|\bF1|BLEU|ROUGE|chrF|COMET|nDCG|MRR|mAP|IoU|AUC|AUROC|PSNR|SSIM|CLIP|MOS|\bEM\b|pass@|"
    r"MMLU|GSM8K|throughput|정확도|정답률|성공률|점수|재현율|정밀도|처리량|유지율|성능|품질|quality|performance)|"
    r"(?P<low>error|WER|\bCER|perplexity|loss|latency|FID|FVD|LPIPS|RMSE|MAE|hallucination|오류|오차|지연|퍼플렉시티|환각|실패율|미스율)",
    re.IGNORECASE,
)
"""Measures of which more is better, and of which less is."""


def direction(sentence: Sentence, figure: Quantity) -> Direction:
    """The direction of the change that `figure` is the size of; empty where it is no change, or none is told."""
    text, first, last = sentence.text, figure.start - sentence.start, figure.end - sentence.start
    following = [other.start for other in sentence.figures if other.start >= figure.end]
    after = text[last : following[0] - sentence.start] if following else text[last:]
    earlier = [other.end for other in sentence.figures if other.end <= figure.start]
    before = text[max(earlier[-1] - sentence.start if earlier else 0, first - 90) : first]
    if after.startswith("당 ") or before.endswith("per "):
        return {}  # what a rate is counted by
    found = _korean(before, after) if sentence.korean else _english(before, after)
    if not found and figure.signed:
        found = {"amount": 1 if figure.value > 0 else -1}
    if not found and earlier and not sentence.korean and _COORDINATED.match(before):
        verbs = list(_VERB.finditer(text[: earlier[-1] - sentence.start]))
        found = _named(verbs[-1], _ENGLISH) if verbs else {}
    if found is _COST and figure.unit.kind in ("points", "percentage points", ""):
        return {"worth": -1, "amount": -1}  # what costs points takes them away
    metrics = list(_METRIC.finditer(text[: last + 24]))
    sign = -1 if metrics and metrics[-1]["low"] else 1
    if set(found) == {"worth"} and (metrics or figure.unit.kind == "points"):
        return found | {"amount": found["worth"] * sign}
    if set(found) == {"amount"} and metrics:
        return found | {"worth": found["amount"] * sign}
    return found


def _korean(before: str, after: str) -> Direction:
    if _KO_LEVEL.match(after):
        return {}
    end = _KO_END.search(after)
    clause = after[: end.start()] if end else after
    if match := _KO_WORD.search(clause[:20]):
        return _named(match, _KOREAN)
    match = _KO_BEFORE.search(before)
    return _named(match, _KOREAN) if match else {}


def _english(before: str, after: str) -> Direction:
    if _LEVEL.search(before):
        return {}
    clause = re.split(r"[,.;:()\n]|\s(?:and|while|but|when|if|than)\s", after, maxsplit=1)[0]
    if match := _AFTER.match(clause + " "):
        return _named(match, (*_ENGLISH, *_COMPARED))
    match = _BEFORE.search(before) or _BEFORE_BY.search(before)
    return _named(match, (*_ENGLISH, *_COMPARED)) if match else {}


def _named(match: re.Match[str], rows: tuple[tuple[str, Direction], ...]) -> Direction:
    return rows[int(match.lastgroup[1:])][1] if match.lastgroup else {}


def at_odds(a: Direction, b: Direction) -> bool:
    """Whether two directions are opposite on an axis and agree on none."""
    products = [sign * b[axis] for axis, sign in a.items() if axis in b]
    return bool(products) and max(products) < 0

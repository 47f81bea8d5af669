"""What numbers are counted in: units with their factors, and the nouns of things counted, in Korean and English.

A unit belongs to a *kind* (time, memory, percent, count …) and has a factor to the kind's base. Things counted are
`count` with a *thing* (token, image, person …); a bare counter such as 개 or 장 counts anything.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit of measurement: `kind`, `factor` to the base of its kind, `thing` for what is counted, `name` to show."""

    kind: str
    factor: float = 1.0
    thing: str = ""
    name: str = ""


NO_UNIT = Unit("")

_MEASURES: dict[str, tuple[tuple[float, str], ...]] = {
    "time": (
        (1e-6, "µs|μs|us|microseconds?|마이크로초"),
        (1e-3, "ms|msec|milliseconds?|밀리초"),
        (1.0, "s|sec|secs|seconds?|초"),
        (60.0, "min|mins|minutes?|분(?!의|야|류|포|석|할|산|기|리|자)"),
        (3600.0, "h|hr|hrs|hours?|시간"),
        (86400.0, "days?|일(?=[ 간만동이의에,.)]|$)"),
        (604800.0, "weeks?|주(?=[ 간만동이의에,.)]|$)|주일"),
        (2629800.0, "months?|개월|달(?!러|성)"),
        (31557600.0, "years?|년(?!도)"),
    ),
    "gpu time": (
        (
            3600.0,
            "GPU[- ]?hours?|GPU ?시간|(?:[AHV]\\d{2,3}|TPU)[- ]hours?|CPU[- ](?:core[- ])?hours?|core[- ]hours?|(?:[AHV]\\d{2,3}|TPU) 시간",
        ),
        (86400.0, "GPU[- ]?days?|GPU ?일"),
    ),
    "memory": (
        (1.0, "bytes?|바이트"),
        (1e3, "KB|kB|킬로바이트"),
        (1e6, "MB|MiB|메가바이트"),
        (1e9, "GB|GiB|기가바이트|기가"),
        (1e12, "TB|TiB|테라바이트"),
        (1e15, "PB|페타바이트"),
    ),
    "bits": ((1.0, "bits?|비트"), (1e3, "kbits?|kb"), (1e6, "Mbits?|Mb")),
    "bit rate": ((1e3, "kbps"), (1e6, "Mbps"), (1e9, "Gbps"), (1e9, "GB/s|GBps")),
    "frequency": (
        (1.0, "Hz|헤르츠|times (?:a|per|each|every) second"),
        (1e3, "kHz|KHz|킬로헤르츠"),
        (1e6, "MHz"),
        (1e9, "GHz"),
    ),
    "frame rate": ((1.0, "fps|FPS|frames? per second|프레임/초"),),
    "work": (
        (1e6, "MFLOPs?|MFLOPS"),
        (1e9, "GFLOPs?|GFLOPS|GMACs?"),
        (1e12, "TFLOPs?|TFLOPS"),
        (1e15, "PFLOPs?|PFLOPS"),
        (1.0, "FLOPs?|FLOPS"),
    ),
    "level": ((1.0, "dB|데시벨"),),
    "concentration": ((1e-9, "nM"), (1e-6, "µM|μM|uM"), (1e-3, "mM")),
    "power": ((1e-3, "mW"), (1.0, "W|watts?|와트"), (1e3, "kW|킬로와트"), (1e6, "MW")),
    "force": ((1.0, "N|newtons?|뉴턴"), (1e3, "kN")),
    "charge": ((1e-3, "mAh"), (1.0, "Ah")),
    "voltage": ((1e-3, "mV"), (1.0, "V|volts?|볼트"), (1e3, "kV")),
    "food energy": ((1.0, "cal"), (1e3, "kcal|킬로칼로리|칼로리")),
    "pressure": ((1.0, "Pa"), (1e2, "hPa"), (1e3, "kPa"), (1e6, "MPa")),
    "volume": ((1e-3, "mL|ml|밀리리터"), (1.0, "L|liters?|litres?|리터")),
    "area": ((1e4, "ha|hectares?|헥타르"), (1e6, "km²|km2|제곱킬로미터"), (1.0, "(?:m²|m2)(?!/)|제곱미터")),
    "speed": ((1.0, "m/s|미터/초"), (1 / 3.6, "km/h|시속")),
    "rotation": ((1.0, "rpm|RPM"),),
    "energy by length": ((1.0, "J/m"),),
    "energy": (
        (1e-3, "mJ"),
        (1.0, "J|joules?|줄(?=[ ,.)]|$)"),
        (1e3, "kJ"),
        (3.6e3, "Wh"),
        (3.6e6, "kWh"),
        (3.6e9, "MWh"),
        (3.6e12, "GWh"),
    ),
    "length": (
        (1e-9, "nm|나노미터"),
        (1e-6, "µm|μm"),
        (1e-3, "mm|밀리미터"),
        (1e-2, "cm|센티미터|센티"),
        (1.0, "m|meters?|metres?|미터"),
        (1e3, "km|kilometers?|킬로미터"),
    ),
    "mass": ((1e-3, "g|grams?|그램"), (1.0, "kg|킬로그램"), (1e3, "tons?|tonnes?|톤")),
    "angle": ((1.0, "°|degrees?|도(?=[ 의로이에,.)]|$)"),),
    "temperature": ((1.0, "°C|℃"),),
    "pixels": ((1.0, "px|pixels?|픽셀|화소"), (1e6, "MP|megapixels?|메가픽셀")),
    "dollars": ((1.0, "dollars?|USD|달러|불(?=[ ,.)의로]|$)"), (0.01, "cents?|센트")),
    "won": ((1.0, "원(?=[ ,.)의로에을이과은도만]|$)|KRW|won(?=[ ,.)]|$)"),),
    "euros": ((1.0, "euros?|EUR|유로"),),
    "percentage points": (
        (
            1.0,
            "%p|%P|%-?points?|% points?|% ?포인트|퍼센트 ?포인트|percentage[- ]points?|percent points?|pp|p\\.p\\.|ppt",
        ),
    ),
    "percent": ((1.0, "%|percent|per cent|퍼센트|프로(?=[ ,.의로]|$)"),),
    "points": ((1.0, "points?|pts?|포인트|점(?!수|차|검|유|진|군|프|령|을 )|점(?=을 )"),),
    "times": ((1.0, "배(?!경|치|열|포|제|우|분|터|달)|times(?! (?:steps?|series))|-?fold|[x×](?![\\w×])"),),
    "rank": ((1.0, "위(?!치|해|한|험|키|의 )|위(?=의 )|st\\b|nd\\b|rd\\b|th\\b"),),
}

# Things counted; a thing after `~` in a name is a synonym class of the same things.
_THINGS = {
    "parameter": "parameters?|params?|weights|파라미터|파라메터|매개 ?변수|모수",
    "token": "tokens?|토큰",
    "image": "images?|pictures?|photos?|photographs?|이미지|사진|그림|image-text pairs?|이미지-텍스트 쌍",
    "video": "videos?|clips?|영상|비디오|동영상|클립",
    "frame": "frames?|프레임",
    "person": (
        "people|persons?|participants?|speakers?|users?|annotators?|raters?|patients?|workers?|experts?|"
        "respondents?|subjects|students|clinicians|physicians|translators?|judges|evaluators?|volunteers?|"
        "명|사람|참가자|화자|사용자|주석자|평가자|환자|전문가|번역가|의사"
    ),
    "layer": "layers?|blocks?|층(?!위)|레이어|블록",
    "head": "heads?|헤드",
    "step": "steps?|iterations?|updates?|스텝|반복|이터레이션",
    "stage": "stages?|levels?|phases?|단계|레벨|수준",
    "epoch": "epochs?|에폭|에포크",
    "sentence": "sentences?|utterances?|문장|발화",
    "word": "words?|단어|어절",
    "character": "characters?|글자|문자",
    "document": "documents?|docs?|pages?|articles?|papers?|books?|문서|페이지|쪽|논문|기사|도서",
    "question": "questions?|queries|query|problems?|prompts?|puzzles?|질문|문항|문제|질의|프롬프트",
    "answer": "answers?|responses?|답변|응답",
    "language": "languages?|언어|개 ?국어",
    "class": "classes|class|categories|category|types?|labels?|클래스|범주|카테고리|유형|종류",
    "sample": (
        "samples?|examples?|instances?|demonstrations?|trajectories|trajectory|episodes?|pairs?|rollouts?|"
        "샘플|표본|예제|예시|사례|시연|궤적|에피소드|쌍"
    ),
    "task": "tasks?|과제|작업|태스크",
    "data set": "data ?sets?|benchmarks?|corpora|데이터 ?셋|데이터 ?세트|벤치마크|말뭉치|코퍼스",
    "model": "models?|모델",
    "device": "GPUs?|TPUs?|CPUs?|accelerators?|chips?|cores|nodes?|가속기|코어|노드",
    "robot": "robots?|로봇|embodiments?",
    "scene": "scenes?|장면|환경|environments?",
    "object": "objects?|물체|객체",
    "dimension": "dimensions?|dimensional|dims?|channels?|차원|채널",
    "agent": "agents?|에이전트",
    "expert": "experts|전문가 네트워크",
    "turn": "turns?|rounds?|턴|라운드",
}
_COUNTERS = (
    "개(?!월|발|선|념|별|인|체|요)|장(?!기|치|면|점|비|애|소)|건(?!강|물|의하)|편(?!향|집|의)|가지(?!치)|종(?!류|료|합|래|단)|"
    "곳|인(?=[ 의이가은을,.)]|$)|세트|회(?!귀|복|전|로|의|사)|번(?!역|호|째)|차례|대(?!비|한|해|상|규|조|표|형|화|응|부|신|학|체|안)|"
    "본|줄|항목|행(?!동)|열(?!기)|권|벌|군데|마리|팀|단(?!계|어|순|일|위)"
)


def _alternatives() -> list[tuple[str, Unit]]:
    found = []
    for kind, rows in _MEASURES.items():
        for factor, names in rows:
            for name in _split(names):
                found.append((name, Unit(kind, factor)))
    return found


def _split(names: str) -> list[str]:
    """Split an alternation at its outermost bars."""
    parts, depth, in_class, current = [], 0, False, ""
    for character in names:
        in_class = character == "[" or (in_class and character != "]")
        if not in_class:
            depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part]


def _bounded(pattern: str) -> str:
    """A Latin unit must end where a word ends; Korean ones may be followed by particles."""
    plain = re.sub(r"\(\?[=!].*?\)(?=$)", "", pattern)
    return pattern + (r"(?![A-Za-z0-9²³])" if re.search(r"[A-Za-z]\W*$", plain) else "")


def _first_characters(pattern: str) -> set[str]:
    """The characters that a match of a pattern of this file can begin with."""
    if pattern.startswith("(?:"):
        depth = 0
        place = -1
        while place < 0 or depth:
            place += 1
            depth += (pattern[place] == "(") - (pattern[place] == ")")
        found = set().union(*(_first_characters(part) for part in _split(pattern[3:place])))
        return found | _first_characters(pattern[place + 2 :]) if pattern[place + 1 :][:1] == "?" else found
    if pattern.startswith("["):
        return set(pattern[1 : pattern.index("]")])
    found = {pattern[0]}
    return found | _first_characters(pattern[2:]) if pattern[1:2] == "?" else found


class _Table:
    """Alternatives with what they stand for, tried by the first character of the text, the longest pattern first."""

    def __init__(self, rows: list[tuple[str, Unit]], flags: int = 0) -> None:
        self._units = [unit for _, unit in rows]
        by_first: dict[str, list[int]] = {}
        for number, (pattern, _) in enumerate(rows):
            for character in _first_characters(pattern):
                for one in {character, character.upper(), character.lower()} if flags else {character}:
                    by_first.setdefault(one, []).append(number)
        self._patterns = {
            character: re.compile(
                "|".join(f"(?P<p{n}>{_bounded(rows[n][0])})" for n in dict.fromkeys(numbers)), flags
            )
            for character, numbers in by_first.items()
        }

    def match(self, text: str, place: int) -> tuple[Unit, re.Match[str]] | None:
        pattern = self._patterns.get(text[place : place + 1])
        match = pattern.match(text, place) if pattern else None
        return (self._units[int(match.lastgroup[1:])], match) if match and match.lastgroup else None


_UNITS = _Table(sorted(_alternatives(), key=lambda row: -len(row[0])))
_THING_ROWS = sorted(
    ((name, Unit("count", thing=thing)) for thing, names in _THINGS.items() for name in _split(names)),
    key=lambda row: -len(row[0]),
)
_NOUNS = _Table(_THING_ROWS, re.IGNORECASE)
_STARTS = re.compile(r"(?<![A-Za-z])[A-Za-z]|[가-힣]")
_COUNTER = re.compile(_COUNTERS)


def unit_at(text: str, place: int) -> tuple[Unit, int] | None:
    """The unit of measurement that stands at `place`, and where it ends."""
    found = _UNITS.match(text, place)
    if found is None:
        return None
    unit, match = found
    return Unit(unit.kind, unit.factor, name=match[0].strip("- ")), match.end()


def thing_at(text: str, place: int) -> tuple[str, int] | None:
    """The thing counted whose noun stands at `place`, and where the noun ends."""
    found = _NOUNS.match(text, place)
    return None if found is None else (found[0].thing, found[1].end())


def things_in(text: str) -> list[tuple[str, int]]:
    """All things named in `text` with their places, in order."""
    found, end = [], 0
    for match in _STARTS.finditer(text):
        if match.start() >= end and (thing := thing_at(text, match.start())):
            found.append((thing[0], match.start()))
            end = thing[1]
    return found


def counter_at(text: str, place: int) -> int | None:
    """Where the Korean counter at `place` ends, or `None`."""
    match = _COUNTER.match(text, place)
    return match.end() if match else None

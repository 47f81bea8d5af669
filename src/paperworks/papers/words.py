"""The words of the interface, in Korean and in English."""

from __future__ import annotations

import datetime
import re

SYMBOLS = {"holds": "✓", "fails": "✗", "void": "≈", "skipped": "–"}

_ENGLISH = {
    "daily papers": "Daily Papers",
    "papers": "papers",
    "paper": "paper",
    "contents": "Contents",
    "skip": "Skip to the papers",
    "votes": "votes",
    "authors": "Authors",
    "code": "Code",
    "video": "Video",
    "top": "Back to the contents",
    "thumbnail": "Thumbnail of",
    "measured here": "Measured here",
    "claim": "Claim",
    "reported": "Paper",
    "measured": "Measured",
    "baseline": "Baseline",
    "control": "Control",
    "verdict": "Verdict",
    "expects": "Expectation",
    "control is": "Control",
    "control meets": "meets the expectation too",
    "note": "Note",
    "how": "How it was measured",
    "seed": "seed",
    "scale": "scale",
    "small": "small",
    "full": "full",
    "seconds": "s",
    "try": "Use it on your own model",
    "copy": "Copy",
    "copied": "Copied",
    "missing figure": "figure not there",
    "source": "Source",
    "legend": "What the verdicts mean",
    "holds": "holds",
    "fails": "fails",
    "void": "void",
    "skipped": "skipped",
    "holds means": "the measurement meets the expectation, and the control does not",
    "fails means": "the measurement does not meet the expectation",
    "void means": "the control meets the expectation too, so the experiment cannot tell",
    "skipped means": "not measured, with the reason",
    "other days": "Other days",
    "all days": "All days",
    "day before": "The day before",
    "day after": "The day after",
    "day": "day",
    "days": "days",
    "feed": "Feed",
    "search": "Search",
    "search in": "Title, author, words of a summary",
    "search results": "Search results",
    "loading": "Reading the search index …",
    "not loaded": "The search index cannot be read.",
    "found none": "No papers found",
    "found one": "1 paper found",
    "found": "{} papers found",
    "show more": "Show more",
    "order": "Order",
    "best": "Best match",
    "newest": "Newest",
    "most votes": "Most votes",
    "and others": "and {} more",
    "no summary": "No summary",
    "extractive summary": "Extractive summary: sentences of the paper, in its own language",
    "summary by": "Summary by",
    "from html": "from the paper's HTML",
    "from pdf": "from the paper's PDF",
    "from text": "from the paper's text",
    "from abstract": "from the abstract alone",
    "figures founded": "Figures founded in the paper",
    "doubtful figures": "Doubtful figures",
    "doubtful": "doubtful figure",
    "figure unfounded": "not in the paper",
    "figure elsewhere": "said of something else in the paper",
    "unknown names": "Names that the paper does not use",
    "contradictions": "Contradictions within the summary",
    "quoted from": "Quoted from",
    "from site": "This page on the web",
}
_KOREAN = {
    "daily papers": "오늘의 논문",
    "papers": "편",
    "paper": "편",
    "contents": "차례",
    "skip": "논문으로 건너뛰기",
    "votes": "표",
    "authors": "저자",
    "code": "코드",
    "video": "영상",
    "top": "차례로",
    "thumbnail": "썸네일:",
    "measured here": "여기서 측정",
    "claim": "주장",
    "reported": "논문",
    "measured": "측정",
    "baseline": "비교 기준",
    "control": "대조군",
    "verdict": "판정",
    "expects": "기대",
    "control is": "대조군",
    "control meets": "대조군도 기대를 충족함",
    "note": "참고",
    "how": "측정 방법",
    "seed": "시드",
    "scale": "규모",
    "small": "작게",
    "full": "논문 규모",
    "seconds": "초",
    "try": "내 모델에 써 보기",
    "copy": "복사",
    "copied": "복사됨",
    "missing figure": "그림 없음",
    "source": "출처",
    "legend": "판정의 뜻",
    "holds": "성립",
    "fails": "불성립",
    "void": "판별 불가",
    "skipped": "측정 안 함",
    "holds means": "측정값이 기대를 충족하고 대조군은 충족하지 않음",
    "fails means": "측정값이 기대를 충족하지 않음",
    "void means": "대조군도 기대를 충족해 실험으로 가릴 수 없음",
    "skipped means": "측정하지 않음, 이유를 함께 적음",
    "other days": "다른 날",
    "all days": "모든 날",
    "day before": "앞 날",
    "day after": "다음 날",
    "day": "일",
    "days": "일",
    "feed": "피드",
    "search": "검색",
    "search in": "제목, 저자, 요약 속 낱말",
    "search results": "검색 결과",
    "loading": "검색 색인을 읽는 중 …",
    "not loaded": "검색 색인을 읽을 수 없습니다.",
    "found none": "찾은 논문이 없습니다",
    "found one": "논문 1편을 찾았습니다",
    "found": "논문 {}편을 찾았습니다",
    "show more": "더 보기",
    "order": "차례",
    "best": "관련도순",
    "newest": "최신순",
    "most votes": "추천순",
    "and others": "외 {}명",
    "no summary": "요약 없음",
    "extractive summary": "추출 요약: 논문의 문장을 논문의 언어 그대로 옮김",
    "summary by": "요약:",
    "from html": "논문의 HTML에서",
    "from pdf": "논문의 PDF에서",
    "from text": "논문의 글에서",
    "from abstract": "초록만 보고",
    "figures founded": "논문에서 확인한 수치",
    "doubtful figures": "확인되지 않은 수치",
    "doubtful": "확인되지 않은 수치",
    "figure unfounded": "논문에 없음",
    "figure elsewhere": "논문에서는 다른 것의 수치",
    "unknown names": "논문에 나오지 않는 이름",
    "contradictions": "요약 안의 모순",
    "quoted from": "인용한 곳",
    "from site": "웹에서 보기",
}
_NOTES = (  # of the figure check, which speaks English
    (
        r"the source gives (.+) for something else; here it has (.+)",
        r"논문에서 \1: 다른 것의 수치, 여기에는 \2",
    ),
    (r"the source has this number where it speaks of other things", r"논문에서는 다른 것을 말하는 곳의 수"),
    (r"the source says this of a run without a part", r"논문에서는 일부를 뺀 실험의 수치"),
    (r"the source says this of (.+)", r"논문에서는 \1의 수치"),
    (
        r"in the source this is what it was before; then it is (.+)",
        r"논문에서는 바뀌기 전의 수치, 바뀐 뒤: \1",
    ),
    (r"the source says it the other way round: .+", r"논문에서는 방향이 반대"),
    (r"(.+) and (.+) stand the other way round in the source", r"논문에서는 \1, \2 자리가 서로 바뀜"),
    (r"the source has (.+) for this", r"논문의 수치: \1"),
    (r"([\d,]+) times too (large|small)\? The source has (.+)", r"\1배 차이? 논문의 수치: \3"),
    (r"another unit\? The source has (.+)", r"단위가 다름? 논문의 수치: \1"),
)
_WORDS = {"en": _ENGLISH, "ko": _KOREAN}
_SECTIONS = {
    "What's New": "새로운 점",
    "Technical Details": "기술 세부",
    "Performance Highlights": "주요 성능",
    "Corrections": "바로잡음",
}
_REASONS = {
    "not built yet": "아직 만들어지지 않았습니다",
    "not measured yet": "아직 측정하지 않았습니다",
    "measured with other code or settings, so not shown: run it again": (
        "다른 코드나 설정으로 잰 값이라 싣지 않았습니다. 다시 실행하세요"
    ),
    "the measurement meets the expectation and the control does not": (
        "측정값이 기대를 충족하고 대조군은 충족하지 않습니다"
    ),
    "the measurement does not meet the expectation": "측정값이 기대를 충족하지 않습니다",
    "the control meets the expectation too, so the experiment cannot tell": (
        "대조군도 기대를 충족해 실험으로 가릴 수 없습니다"
    ),
    "the measured value is not a finite number": "측정값이 유한한 수가 아닙니다",
    "the control gave no finite number, so there is nothing to compare with": (
        "대조군에서 유한한 수가 나오지 않아 비교할 것이 없습니다"
    ),
}


def interface_language(language: str) -> str:
    """`ko` for Korean, else `en`."""
    return "ko" if language.lower().split("-")[0] == "ko" else "en"


def words_in(language: str) -> dict[str, str]:
    """The words of the interface in the nearest language there is."""
    return _WORDS[interface_language(language)]


def section_in(name: str, language: str) -> str:
    """The label of a section in the interface's language."""
    return _SECTIONS.get(name, name) if interface_language(language) == "ko" else name


def reason_in(reason: str, language: str) -> str:
    """A verdict's reason in the interface's language where it is one of the usual ones."""
    return _REASONS.get(reason, reason) if interface_language(language) == "ko" else reason


def note_in(note: str, language: str) -> str:
    """What the figure check says of a figure, in the interface's language."""
    for pattern, korean in _NOTES if interface_language(language) == "ko" else ():
        if match := re.fullmatch(pattern, note):
            return match.expand(korean)
    return note


def date_in(date: datetime.date, language: str) -> str:
    """`2024년 8월 22일` or `22 August 2024`."""
    if interface_language(language) == "ko":
        return f"{date.year}년 {date.month}월 {date.day}일"
    return f"{date.day} {date:%B} {date.year}"


def month_in(date: datetime.date, language: str) -> str:
    """`2024년 8월` or `August 2024`."""
    return (
        f"{date.year}년 {date.month}월" if interface_language(language) == "ko" else f"{date:%B} {date.year}"
    )


def weekday_in(date: datetime.date, language: str) -> str:
    """`목` or `Thu`."""
    return "월화수목금토일"[date.weekday()] if interface_language(language) == "ko" else f"{date:%a}"


def counted(number: int, language: str, one: str, many: str) -> str:
    """`1,024편` or `1,024 papers`: a number with the word for one or for many of `words_in`."""
    gap = "" if interface_language(language) == "ko" else " "
    return f"{number:,}{gap}{words_in(language)[one if number == 1 else many]}"


def language_of(text: str, otherwise: str) -> str:
    """The language tag of a text: Korean where it has Hangul, else `otherwise`, which is English for Korean."""
    if re.search(r"[가-힣]", text):
        return "ko"
    return "en" if interface_language(otherwise) == "ko" else otherwise

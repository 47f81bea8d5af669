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
}
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


def date_in(date: datetime.date, language: str) -> str:
    """`2024년 8월 22일` or `22 August 2024`."""
    if interface_language(language) == "ko":
        return f"{date.year}년 {date.month}월 {date.day}일"
    return f"{date.day} {date:%B} {date.year}"


def language_of(text: str, otherwise: str) -> str:
    """The language tag of a text: Korean where it has Hangul, else `otherwise`, which is English for Korean."""
    if re.search(r"[가-힣]", text):
        return "ko"
    return "en" if interface_language(otherwise) == "ko" else otherwise

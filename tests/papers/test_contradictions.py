"""Contradictions within one text."""

import json

import pytest
from measuring import FIGURES

from paperworks.papers import load_page
from paperworks.papers.contradictions import find_contradictions

CASES = json.loads((FIGURES / "contradictions.json").read_text(encoding="utf-8"))


def test_at_least_nine_of_ten_contradictions_are_seen_and_no_sound_summary_is_accused():
    seen = [case for case in CASES if case["contradictory"] and find_contradictions(case["summary"])]
    accused = [
        case["id"] for case in CASES if not case["contradictory"] and find_contradictions(case["summary"])
    ]
    assert accused == []
    assert len(seen) >= 0.9 * sum(case["contradictory"] for case in CASES)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("7B 모델은 7억 개의 파라미터를 가진다.", "size"),
        ("Llama-2-13B(13억 파라미터)를 쓴다.", "size"),
        ("SHAKTI는 25억 개의 파라미터를 가진다. SHAKTI는 2.5억 파라미터로 좋은 점수를 냈다.", "magnitude"),
        ("정확도가 61.2%에서 65.8%로 6.4%p 올랐다.", "change"),
        ("전체 1,200개 중 학습 800개, 평가 500개로 나뉜다.", "parts"),
    ],
)
def test_each_kind_is_named_and_placed(text, kind):
    (found,) = find_contradictions(text)
    assert found.kind == kind
    assert text[found.start : found.end] == found.text
    assert text[found.other_start : found.other_end] == found.other_text


@pytest.mark.parametrize(
    "text",
    [
        "88.38 against 83.66, 5.64 % higher.",
        "7B(70억) 모델을 7억 토큰으로 학습했다.",
        "The 8x7B mixture has 47B parameters, 13B of which are active.",
        "13B 교사에서 증류한 학생은 1.3B 파라미터이다.",
    ],
)
def test_what_only_looks_like_one_is_none(text):
    assert find_contradictions(text) == []


def test_the_shipped_page_does_not_contradict_itself():
    for language in ("ko", "en"):
        for paper in load_page("2024-08-22").in_language(language).papers:
            assert find_contradictions("\n\n".join((paper.sections or {}).values())) == []


def test_the_slip_on_a_real_page_is_seen_and_nothing_else(shared_pages):
    found = []
    for path in shared_pages:
        for paper in load_page(path).papers:
            text = "\n".join([*(paper.sections or {}).values(), *paper.bullets, *paper.unplaced])
            found += [(path.stem, one.text, one.other_text) for one in find_contradictions(text)]
    assert found == [("2024-10-21", "25억 개", "2.5억 파라미터")]

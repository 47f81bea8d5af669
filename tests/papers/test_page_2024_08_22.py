"""The shipped page of 2024-08-22: its facts, its two languages against each other, and the old page's words."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import paperworks

RECORD = Path(paperworks.__file__).parent / "papers/pages/2024/08/22.json"
OLD_PAGE = Path(__file__).parents[2].parent / "shared/pages/2024-08-22.md"
PAGE: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
PAPERS: dict[str, dict[str, Any]] = {paper["arxiv_id"]: paper for paper in PAGE["papers"]}
KEYS = ["What's New", "Technical Details", "Performance Highlights", "Corrections"]
TITLES = {
    "2408.11318": "TWLV-I: Analysis and Insights from Holistic Evaluation on Video Foundation Models",
    "2408.11796": "LLM Pruning and Distillation in Practice: The Minitron Approach",
    "2408.11745": "FocusLLM: Scaling LLM's Context by Parallel Decoding",
    "2408.11475": "TrackGo: A Flexible and Efficient Method for Controllable Video Generation",
    "2408.11817": "GRAB: A Challenging GRaph Analysis Benchmark for Large Multimodal Models",
    "2408.11721": "Iterative Object Count Optimization for Text-to-image Diffusion Models",
    "2408.11812": "Scaling Cross-Embodied Learning: One Policy for Manipulation, Navigation, Locomotion and Aviation",
    "2408.11706": "FRAP: Faithful and Realistic Text-to-Image Generation with Adaptive Prompt Weighting",
    "2408.11237": "Out-of-Distribution Detection with Attention Head Masking for Multimodal Document Classification",
    "2408.08793": "Backward-Compatible Aligned Representations via an Orthogonal Transformation Layer",
    "2408.11457": "Expanding FLORES+ Benchmark for more Low-Resource Settings: "
    "Portuguese-Emakhuwa Machine Translation Evaluation",
}
FIRST_AUTHORS = [
    "Hyeongmin Lee",
    "Sharath Turuvekere Sreenivas",
    "Zhenyu Li",
    "Haitao Zhou",
    "Jonathan Roberts",
    "Oz Zafar",
    "Ria Doshi",
    "Liyao Jiang",
    "Christos Constantinou",
    "Simone Ricci",
    "Felermino D. M. Antonio Ali",
]


def sections() -> list[Any]:
    """(arxiv id, key, Korean, English) of every section of the page."""
    return [
        pytest.param(arxiv_id, key, korean, paper["translations"]["en"][key], id=f"{arxiv_id} {key}")
        for arxiv_id, paper in PAPERS.items()
        for key, korean in paper["sections"].items()
    ]


def old_entries() -> dict[str, str]:
    if not OLD_PAGE.is_file():
        pytest.skip(f"no old page at {OLD_PAGE}")
    blocks = OLD_PAGE.read_text(encoding="utf-8").split("\n### ")[1:]
    return {re.search(r"arxiv\.org/abs/([\d.]+)", block)[1]: block for block in blocks}  # type: ignore[index]


# A figure glued to Latin letters before it belongs to a name (SSv2, K400, CIFAR-100, v4) and is compared as such.
NAME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z./-]*\d[A-Za-z0-9./-]*")
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
POWERS = {
    "천": 3,
    "만": 4,
    "억": 8,
    "조": 12,
    "K": 3,
    "M": 6,
    "B": 9,
    "thousand": 3,
    "million": 6,
    "billion": 9,
}
TAIL = r"(?P<kind>\s?(?:%p|%|퍼센트|percent\b|배|[x×](?![A-Za-z0-9])))?"
KOREAN = re.compile(
    rf"(?P<parts>{DIGITS}(?:[조억만천]\s?{DIGITS})*[조억만천]?)(?:(?P<unit>[KMB])(?![A-Za-z]))?{TAIL}"
)
ENGLISH = re.compile(
    rf"(?P<parts>{DIGITS})(?:\s?(?P<unit>[KMB]|thousand|million|billion)(?![A-Za-z]))?{TAIL}"
)
KINDS = {"": "", "%": "percent", "퍼센트": "percent", "percent": "percent", "%p": "points"}
# English spells these out where Korean may write a digit ("제3자", "8월").
SPELLED = {"one": 1, "first": 1, "january": 1, "two": 2, "three": 3, "third": 3, "five": 5, "august": 8}
# Figures that may stand in one language only: (arxiv id, key) -> {(value, kind): reason}. None is needed today.
EXCEPTIONS: dict[tuple[str, str], dict[tuple[Decimal, str], str]] = {}


def quantities(text: str, language: str) -> set[tuple[Decimal, str]]:
    """The set of (value, kind) in `text`; kind is "", "percent", "points" or "times"."""
    found = set()
    for match in (KOREAN if language == "ko" else ENGLISH).finditer(NAME.sub(" ", text)):
        value = sum(
            Decimal(digits.replace(",", "")).scaleb(POWERS.get(power, 0))
            for digits, power in re.findall(rf"({DIGITS})([조억만천]?)", match["parts"])
        )
        sign = (match["kind"] or "").strip()
        found.add((Decimal(value).scaleb(POWERS.get(match["unit"], 0)), KINDS.get(sign, "times")))
    return found


def plain(*values: float) -> set[tuple[Decimal, str]]:
    return {(Decimal(str(value)), "") for value in values}


def names(text: str) -> set[str]:
    return {match.rstrip("./-") for match in NAME.findall(text)}


@pytest.mark.parametrize(
    ("korean", "english"),
    [
        ("25억", "2.5 billion"),
        ("80억", "8B"),
        ("3억 700만 개", "307M"),
        ("65만 8천", "658K"),
        ("1억 3,000만", "130M"),
        ("3,800억", "380B"),
        ("900만 명", "9 million people"),
        ("1,073만", "10.73M"),
        ("21.7%", "21.7 percent"),
        ("2.7배", "2.7x"),
        ("4.6%p", "4.6%p"),
        ("512×512", "512×512"),
        ("2,170문항", "2,170 questions"),
        ("10~100배", "10–100x"),
    ],
)
def test_the_normaliser_reads_both_notations_alike(korean, english):
    assert quantities(korean, "ko") == quantities(english, "en") != set()


def test_the_normaliser_sees_a_wrong_magnitude_unit_or_digit():
    for korean, english in [
        ("8억", "8B"),
        ("2.5억", "2.5 billion"),
        ("38억", "380B"),
        ("90만 명", "9 million"),
    ]:
        assert quantities(korean, "ko") != quantities(english, "en")
    assert quantities("2.7%", "ko") != quantities("2.7x", "en")
    assert quantities("21.7%", "ko") != quantities("27.1%", "en")


@pytest.mark.parametrize(("arxiv_id", "key", "korean", "english"), sections())
def test_both_languages_state_the_same_figures_and_names(arxiv_id, key, korean, english):
    in_korean, in_english = quantities(korean, "ko"), quantities(english, "en")
    allowed = set(EXCEPTIONS.get((arxiv_id, key), {}))
    spelled = plain(*(SPELLED[word] for word in re.findall(r"[a-z]+", english.lower()) if word in SPELLED))
    assert in_english - in_korean - allowed == set(), "in English only"
    assert in_korean - in_english - spelled - allowed == set(), "in Korean only"
    assert names(korean) == names(english)


def test_the_eleven_papers_stand_in_the_order_of_the_day():
    assert PAGE["date"] == "2024-08-22"
    assert PAGE["language"] == "ko"
    assert {arxiv_id: paper["title"] for arxiv_id, paper in PAPERS.items()} == TITLES
    assert list(PAPERS) == list(TITLES)
    assert [paper["votes"] for paper in PAPERS.values()] == [41, 28, 10, 9, 4, 3, 2, 2, 1, 1, None]
    assert [paper["authors"][0] for paper in PAPERS.values()] == FIRST_AUTHORS
    for arxiv_id, paper in PAPERS.items():
        assert paper["url"] == f"https://arxiv.org/abs/{arxiv_id}"
        assert paper["bullets"] == paper["figures"] == []
        assert paper["code"] is None or re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", paper["code"])


def test_titles_votes_thumbnails_and_names_are_those_of_the_old_page():
    old = old_entries()
    assert list(old) == list(PAPERS)
    for arxiv_id, paper in PAPERS.items():
        block = old[arxiv_id]
        assert block.startswith(f"[{paper['title']}]({paper['url']})")
        assert f"![]({paper['thumbnail']})" in block
        assert f"Vote: {'-' if paper['votes'] is None else paper['votes']}\n" in block
        authors = re.search(r"^Authors: (.+)$", block, re.M)
        assert authors is not None
        assert sorted(authors[1].split(", ")) == sorted(paper["authors"])


def test_the_file_is_plain_readable_json():
    text = RECORD.read_text(encoding="utf-8")
    assert text == json.dumps(PAGE, ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("arxiv_id", PAPERS)
def test_both_languages_have_the_same_sections(arxiv_id):
    korean, english = PAPERS[arxiv_id]["sections"], PAPERS[arxiv_id]["translations"]["en"]
    assert list(PAPERS[arxiv_id]["translations"]) == ["en"]
    assert list(korean) == list(english) == [key for key in KEYS if key in korean]
    assert set(korean) >= set(KEYS[:3])


@pytest.mark.parametrize(("arxiv_id", "key", "korean", "english"), sections())
def test_a_section_is_one_clean_paragraph_of_a_few_sentences(arxiv_id, key, korean, english):
    for text in (korean, english):
        assert text == text.strip()
        assert not re.search(r"[\n\r\t]|\*\*|  |^-|[\u3400-\u9fff\uf900-\ufaff]", text)
        assert text.count("`") % 2 == 0
    assert not re.search(r"[가-힣ㄱ-ㅎ]", english)
    low, high = (1, 3) if key == "Corrections" else (3, 6)
    full_stop = r"(?<! [A-Z])\.(?= |$)"  # not the one of an initial
    polite = re.findall(rf"니다(?:\([^)]*\))?{full_stop}", korean)
    assert len(polite) == len(re.findall(full_stop, korean)), "every sentence ends politely"
    assert low <= len(polite) <= high
    assert low <= len(re.findall(full_stop, english)) <= high


FIGURES = [
    # arxiv id, section, Korean, English: above all the magnitudes that machine summaries miss by ten.
    ("2408.11318", "Technical Details", "파라미터 8,600만 개", "(86M parameters)"),
    ("2408.11318", "Technical Details", "ViT-L(3억 700만 개)", "ViT-L (307M)"),
    ("2408.11318", "Performance Highlights", "48.61", "48.61"),
    ("2408.11796", "What's New", "Llama 3.1 8B(80억)를 4B(40억)로", "Llama 3.1 8B down to 4B"),
    ("2408.11796", "What's New", "Mistral NeMo 12B(120억)를 8B(80억)로", "Mistral NeMo 12B down to 8B"),
    ("2408.11796", "Technical Details", "940억 토큰", "94B tokens"),
    ("2408.11796", "Technical Details", "3,800억 토큰", "380B"),
    ("2408.11796", "Corrections", "1,270억", "127B tokens"),
    (
        "2408.11796",
        "Performance Highlights",
        "2.7배, 폭 모델이 1.8배",
        "2.7x for the depth model and 1.8x for the width",
    ),
    ("2408.11745", "Technical Details", "약 21.5억 개", "about 2.15B parameters"),
    (
        "2408.11745",
        "Technical Details",
        "시퀀스 8만 개로 1만 스텝",
        "10,000 steps on 80K RedPajama sequences",
    ),
    ("2408.11745", "Corrections", "약 20억 개로 7B(70억)", "about 2B, close to 1/3 of the 7B model"),
    ("2408.11475", "Performance Highlights", "ObjMC 191.15", "ObjMC 191.15"),
    ("2408.11817", "What's New", "2,170문항", "2,170 questions"),
    ("2408.11817", "Performance Highlights", "21.7%", "21.7%"),
    ("2408.11721", "Performance Highlights", "286건 중 252건(88%)", "252 of 286 choices (88%)"),
    ("2408.11812", "What's New", "로봇 20종의 궤적 90만 개", "900K trajectories of 20 kinds of robots"),
    ("2408.11812", "What's New", "1억 3,000만 파라미터", "130M parameters"),
    (
        "2408.11706",
        "Performance Highlights",
        "Divide & Bind보다 4초",
        "4 seconds lower than that of Divide & Bind",
    ),
    ("2408.11237", "Performance Highlights", "최대 7.5%", "up to 7.5%"),
    ("2408.08793", "Technical Details", "160 = 128 + 32", "160 = 128 + 32"),
    ("2408.11457", "What's New", "약 900만 명", "about 9 million people"),
    ("2408.11457", "What's New", "2,009문장", "2,009 in all"),
    ("2408.11457", "Technical Details", "전문 번역가 2명", "Two professional bilingual translators"),
    ("2408.11457", "Technical Details", "다른 3명", "three other people"),
]


@pytest.mark.parametrize(("arxiv_id", "key", "korean", "english"), FIGURES)
def test_the_key_figures_stand_where_they_should(arxiv_id, key, korean, english):
    assert korean in PAPERS[arxiv_id]["sections"][key]
    assert english in PAPERS[arxiv_id]["translations"]["en"][key]


def test_sums_and_counts_on_the_page_add_up():
    minitron = PAPERS["2408.11796"]["sections"]["What's New"]
    # Parameters of the published configurations, embeddings included.
    for korean, count in {"45.1억": 4_512_746_496, "45.4억": 4_540_469_248, "84.1억": 8_414_105_600}.items():
        assert korean in minitron
        assert quantities(korean, "ko") == plain(round(count, -7))
    # FocusLLM: four 4096 x 4096 matrices in each of 32 layers.
    assert plain(32 * 4 * 4096**2) < quantities(PAPERS["2408.11745"]["sections"]["Technical Details"], "ko")
    tasks = (660, 710, 490, 310)
    assert plain(*tasks, 151) < quantities(PAPERS["2408.11817"]["sections"]["Technical Details"], "ko")
    assert plain(sum(tasks)) < quantities(PAPERS["2408.11817"]["sections"]["What's New"], "ko")
    dev, devtest = 997, 1012
    assert plain(dev, devtest, dev + devtest, 9e6) < quantities(
        PAPERS["2408.11457"]["sections"]["What's New"], "ko"
    )
    twlv = quantities(PAPERS["2408.11318"]["sections"]["Performance Highlights"], "ko")
    for other, lead in [(44.06, 4.6), (40.91, 7.7), (41.39, 7.2), (45.95, 2.7), (45.77, 2.8)]:
        assert abs(48.61 - other - lead) <= 0.0501
        assert plain(lead) < twlv


def test_no_result_is_printed_for_papers_whose_tables_were_not_available():
    flores = quantities(PAPERS["2408.11457"]["sections"]["Performance Highlights"], "ko")
    assert flores <= plain(3)  # "a third-party summary"
    assert "확인하지 못해" in PAPERS["2408.11457"]["sections"]["Performance Highlights"]
    for arxiv_id in ("2408.11237", "2408.08793", "2408.11706", "2408.11721"):
        assert "확인하지 못" in PAPERS[arxiv_id]["sections"]["Performance Highlights"]
        assert "could not be" in PAPERS[arxiv_id]["translations"]["en"]["Performance Highlights"]


CORRECTIONS = [
    ("2408.11318", "외형(appearance)과 움직임(motion)"),
    ("2408.11318", "같은 모델 크기 안에서만"),
    ("2408.11796", "로짓 증류만으로"),
    ("2408.11796", "37억이 아니라 표 3의 35억"),
    ("2408.11745", "0.2점 차이"),
    ("2408.11817", "공개 모델도 들어 있습니다"),
    ("2408.11817", "21.0%"),
    ("2408.11721", "미분 가능(derivable)과 미분 불가능(non-derivable)"),
    ("2408.11706", "더 높거나 비슷하다고"),
    ("2408.11237", "최대 10%"),
    ("2408.08793", "직교 변환이 맞으며"),
    ("2408.11457", "MT(machine translation)가 맞습니다"),
]


@pytest.mark.parametrize(("arxiv_id", "words"), CORRECTIONS)
def test_known_errors_of_common_summaries_are_corrected(arxiv_id, words):
    assert words in PAPERS[arxiv_id]["sections"]["Corrections"]


def shared_runs(new: str, old: str) -> list[str]:
    """Runs of 8 whitespace tokens, or of 25 characters with Korean in them, that stand in both texts."""
    new, old = " ".join(new.split()), " ".join(old.split())
    tokens, old_tokens = new.split(), old.split()
    old_grams = {tuple(old_tokens[i : i + 8]) for i in range(len(old_tokens) - 7)}
    runs = [
        " ".join(tokens[i : i + 8]) for i in range(len(tokens) - 7) if tuple(tokens[i : i + 8]) in old_grams
    ]
    windows = (new[i : i + 25] for i in range(len(new) - 24))
    return runs + [window for window in windows if re.search(r"[가-힣]", window) and window in old]


def test_a_copied_sentence_would_be_seen():
    old = next(iter(old_entries().values()))
    sentence = old.split("**What's New**: ")[1][:60]
    assert shared_runs("앞말 " + sentence + " 뒷말", old)


@pytest.mark.parametrize(("arxiv_id", "key", "korean", "english"), sections())
def test_no_words_of_the_old_page_are_reused(arxiv_id, key, korean, english):
    old = "\n".join(old_entries().values())
    assert shared_runs(korean, old) == []
    assert shared_runs(english, old) == []


def test_the_page_model_accepts_the_record():
    papers = pytest.importorskip("paperworks.papers")
    if not hasattr(papers, "load_page"):
        pytest.skip("paperworks.papers.load_page is not there yet")
    page = papers.load_page("2024-08-22")
    assert [paper.arxiv_id for paper in page.papers] == list(PAPERS)
    assert [paper.sections for paper in page.papers] == [paper["sections"] for paper in PAPERS.values()]

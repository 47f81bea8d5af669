"""The extractive summary: what it quotes, from where, and what it never quotes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_paper import ABSTRACT, KOREAN_PAPER, KOREAN_TITLE, PAPER, TITLE

from paperworks.papers.cues import announces, flaw, language_of_paper, leans
from paperworks.papers.extractive import ExtractiveSummarizer, _rank, _vectors
from paperworks.papers.sentences import sentences
from paperworks.papers.source import Section, Source
from paperworks.papers.summarize import SUMMARY_SECTIONS, Estimate, Summary, SummaryError


def extract(source: Source, title: str = TITLE, **options) -> Summary:
    return ExtractiveSummarizer(**options).summarize(title, source, "ko")


def abstract(text: str) -> Source:
    return Source((Section("Abstract", text),), kind="abstract")


def test_the_sections_say_what_their_names_promise():
    sections = extract(PAPER).sections
    assert tuple(sections) == SUMMARY_SECTIONS
    new, technical, performance = sections.values()
    assert "We propose TideCache, a cache that moves entries between two tiers" in new
    assert "the first cache whose tiers are trained together" in new
    assert "TideCache consists of a small fast tier" in technical
    assert "We train the gate with a distillation loss" in technical
    assert "improves the recall of facts from 61.2% to 74.8%" in performance
    assert "outperforms H2O and StreamingLLM on LongTalk by 8.9 and 13.6 points" in performance


@pytest.mark.parametrize(
    ("title", "source"), [(TITLE, PAPER), (KOREAN_TITLE, KOREAN_PAPER)], ids=["English", "Korean"]
)
def test_every_sentence_is_quoted_word_for_word_from_its_place(title, source):
    summary = extract(source, title)
    for quote in summary.quotes:
        assert source.text[quote.start : quote.end] == quote.text
        assert source.section_at(quote.start).heading == quote.heading
        assert (quote.start, quote.end) in {*sentences(source.text)}
    for name, text in summary.sections.items():
        quotes = [quote for quote in summary.quotes if quote.section == name]
        assert " ".join(quote.text for quote in quotes) == text
        assert [quote.start for quote in quotes] == sorted(quote.start for quote in quotes)
    places = [quote.start for quote in summary.quotes]
    assert len(places) == len(set(places))


def test_what_is_no_content_is_never_quoted():
    text = " ".join(extract(PAPER, most=20, length=10_000).sections.values())
    for never in (
        "Smith",
        "|",
        "thank",
        "grant",
        "future work",
        "organized as follows",
        "\\sum",
        "See above",
        "99.9%",
    ):
        assert never not in text
    assert "evict the entries" not in text


def test_the_summary_says_that_it_is_extractive_and_in_the_papers_language():
    assert (extract(PAPER).summarizer, extract(PAPER).language) == ("extractive", "en")
    assert extract(KOREAN_PAPER, KOREAN_TITLE).language == "ko"
    assert ExtractiveSummarizer().estimate(TITLE, PAPER, "ko") == Estimate(price=0.0)


def test_a_korean_paper_is_read_like_an_english_one():
    new, technical, performance = extract(KOREAN_PAPER, KOREAN_TITLE).sections.values()
    assert "새로운 캐시인 TideCache를 제안한다." in new
    assert "게이트로 구성된다." in technical
    assert "기존 방법을 능가한다." in performance
    assert "이는 비용이 든다" not in technical


def test_the_same_paper_gives_the_same_summary_in_another_process():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from sample_paper import *\n"
        "from paperworks.papers.extractive import ExtractiveSummarizer\n"
        "print([quote.start for quote in ExtractiveSummarizer().summarize(TITLE, PAPER).quotes])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code, str(__file__).rsplit("/", 1)[0]],
            env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert runs == {f"{[quote.start for quote in extract(PAPER).quotes]}\n"}


def test_the_lengths_are_kept():
    summary = extract(PAPER, most=2, length=150)
    for name, text in summary.sections.items():
        assert len(text) <= 150
        assert sum(quote.section == name for quote in summary.quotes) <= 2


def test_an_abstract_alone_fills_every_section():
    summary = extract(abstract(ABSTRACT))
    assert tuple(summary.sections) == SUMMARY_SECTIONS
    assert "We propose" in summary.sections["What's New"]
    assert "74.8%" in summary.sections["Performance Highlights"]
    assert "consists of" in summary.sections["Technical Details"]


def test_a_section_for_which_there_is_nothing_is_left_out():
    plain = "We propose a language in which a poet can write down the sound of the sea and of the wind."
    assert tuple(extract(abstract(plain)).sections) == ("What's New",)


def test_an_appendix_is_read_only_where_there_is_nothing_else():
    text = "We propose a gate that outperforms every other gate by 12.5% on all of the tasks."
    alone = Source((Section("Appendix A", text),))
    assert text in extract(alone).sections.values()
    beside = Source(
        (
            *alone.sections,
            Section("1 Introduction", "A cache of a model grows with every token that it reads."),
        )
    )
    assert text not in " ".join(extract(beside).sections.values())


@pytest.mark.parametrize(
    "text", ["", "|", "a | b\n1 | 2", "x = \\frac{1}{2}", "Too short. No. Yes.", "이것은."]
)
def test_a_text_without_sentences_is_refused_in_one_line(text):
    with pytest.raises(SummaryError, match=r"'TideCache.* no sentence to quote") as caught:
        extract(Source((Section("", text),)))
    assert "\n" not in str(caught.value)
    with pytest.raises(SummaryError):
        extract(Source(()))


def test_two_sentences_that_say_the_same_are_not_both_quoted():
    once = "We propose a gate that moves entries of the cache between a fast and a slow tier of memory."
    again = (
        "We propose a gate which moves the entries of a cache between the fast and the slow tier of memory."
    )
    other = "The new gate learns from recent queries which topics of a conversation are going to return."
    filler = "Serving a language model over long conversations is limited by its memory."
    summary = extract(
        Source((Section("Abstract", f"{once} {other} {filler}"), Section("1 Introduction", again))), most=2
    )
    text = " ".join(summary.sections.values())
    assert (once in text) != (again in text)


def test_a_sentence_that_leans_on_the_one_before_comes_with_it_or_not_at_all():
    problem = "Caches of language models grow with each token and soon fill the memory of a card."
    answer = "To address this problem, we propose TideCache, a novel cache and the first that never evicts."
    filler = "Many people speak with assistants every day and like them well enough to go on."
    summary = extract(
        Source((Section("Abstract", f"{filler} {problem} {answer}"), Section("2 Method", filler * 3))), most=2
    )
    assert summary.sections["What's New"] == f"{problem} {answer}"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (
            "The gate reads the last queries of the user.",
            "However, the gate reads the last queries of the user.",
        ),
        (
            "The gate reads the last queries of the user.",
            "It reads the last queries of the user at the gate.",
        ),
        (
            "The gate reads the last queries of the user.",
            "As shown in Figure 3, the gate reads the last queries.",
        ),
        (
            "The gate reads the last queries of the user.",
            "The gate reads the last queries [3, 4] of the user [7].",
        ),
        (
            "The gate reads the last queries of the user.",
            "Smith and Jones [4] read the last queries of the user.",
        ),
        ("느린 층은 각 항목을 4비트로 저장한다.", "그러나 느린 층은 각 항목을 4비트로 저장한다."),
        ("이 논문은 각 항목을 4비트로 저장한다.", "이는 각 항목을 느린 층에 4비트로 저장한다."),
    ],
)
def test_a_sentence_that_does_not_stand_alone_is_worth_less(better, worse):
    assert flaw(better) < flaw(worse) < np.inf


def test_words_give_away_what_a_sentence_does():
    assert announces("In this paper, we introduce a gate.")
    assert announces("본 논문은 게이트를 제안한다.")
    assert not announces("Smith et al. proposed a gate.")
    assert leans("This gate is small.")
    assert not leans("This paper is about a small gate.")


def test_languages_are_told_apart_by_script_and_by_common_words():
    assert language_of_paper(PAPER.text) == "en"
    assert language_of_paper(KOREAN_PAPER.text) == "ko"
    assert language_of_paper("本文提出了一种新的缓存方法，效果更好。") == "zh"
    assert language_of_paper("この論文では新しいキャッシュを提案する。") == "ja"
    assert (
        language_of_paper("Der Speicher ist klein und die Anfragen sind mit dem Modell nicht das Problem.")
        == "de"
    )
    assert (
        language_of_paper("La mémoire est petite et les requêtes du modèle ne sont pas dans le cache.")
        == "fr"
    )
    assert language_of_paper("x = 3") == "und"


def test_the_rank_is_pagerank_on_the_similarities():
    texts = [PAPER.text[start:end] for start, end in sentences(PAPER.text)][:25]
    vectors = _vectors(texts, TITLE)
    rank = _rank(vectors[:-1], vectors[-1])
    dense = vectors[:-1].toarray()
    graph = dense @ dense.T
    np.fill_diagonal(graph, 0)
    degree = graph.sum(axis=0)
    step = np.divide(graph, degree, out=np.zeros_like(graph), where=degree > 1e-12)
    jump = dense @ vectors[-1].toarray().ravel() + 1 / len(texts)
    jump /= jump.sum()
    # The sum is brought back to 1 in each step, so the rank is the eigenvector of the largest eigenvalue.
    values, eigenvectors = np.linalg.eig(0.85 * step + 0.15 * np.outer(jump, np.ones(len(texts))))
    expected = np.abs(np.real(eigenvectors[:, np.argmax(np.abs(values))]))
    np.testing.assert_allclose(rank, expected / expected.max(), atol=1e-4)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Abstract", "2 Method", "4 Results", "References", "", "A B"]),
            st.text(max_size=300),
        ),
        max_size=5,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_text_is_quoted_word_for_word_or_refused(sections):
    source = Source(tuple(Section(heading, text) for heading, text in sections))
    try:
        summary = extract(source)
    except SummaryError:
        return
    assert summary.quotes
    for quote in summary.quotes:
        assert source.text[quote.start : quote.end] == quote.text


def test_importing_it_needs_neither_torch_nor_a_client():
    code = (
        "import sys, paperworks.papers.extractive, paperworks.papers.endpoint, paperworks.papers.local_model\n"
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

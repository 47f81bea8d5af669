"""Sentences, the parts of a paper, tokens, and the cutting of long papers."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_paper import KOREAN_PAPER, PAPER

from paperworks.errors import InputError
from paperworks.papers.sentences import sentences
from paperworks.papers.source import Section, Source
from paperworks.papers.summarize import Usage, left_out, parts_of, tokens_in, within_budget


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "whole",
    [
        "Smith et al. (2020) and Kim et al. [3] train it on 3.5 billion tokens.",
        "As in Fig. 2 and Eq. (3), e.g. on GLUE vs. SQuAD, it gains approx. 3.5 points.",
        "See Figs. 2 and 3, Sec. 4.1, Tab. 2 and No. 5 of Vol. 2.",
        "The samples are i.i.d. and the rest follows, i.e. nothing changes.",
        "J. Smith, A. B. Jones and Dr. Who agree.",
        "We use resnet.layer4 and version 4.2.1 of it.",
        "1. Introduction to tides and caches.",
        "It rose... and then it fell.",
        "It is called Yes! and that is no end.",
        "정확도는 3.5% 높고 비용은 0.2배이다.",
    ],
)
def test_a_full_stop_that_ends_nothing_ends_nothing(whole):
    assert split(whole) == [whole]


@pytest.mark.parametrize(
    "parts",
    [
        ["The data are i.i.d.", "We assume so."],
        ["This follows Smith et al.", "The others differ."],
        ["We use vLLM.", "nnU-Net is faster.", "See Appendix B.", "We stop."],
        ["Is it?", "Yes!", "It is."],
        ["It is known.[12]", "(See above.)", "He said “no.”", "We agree."],
        ["It fell to 3.", "In 2023.", "7B models rose."],
        ["우리는 방법을 제안한다.", "정확도는 3.5% 높다.", "Llama-2-7B보다 낫다!", "정말 그런가?"],
        ["It has 7B parameters.", "우리는 이를 쓴다."],
    ],
)
def test_sentences_end_where_they_end(parts):
    assert split(" ".join(parts)) == parts
    assert split("\n".join(parts)) == parts


def test_chinese_and_japanese_need_no_space():
    assert split("本文提出新方法。效果更好！真的吗？是。") == [
        "本文提出新方法。",
        "效果更好！",
        "真的吗？",
        "是。",
    ]


def test_paragraphs_rows_and_items_end_a_sentence_in_any_case():
    text = "No stop here\n\nwrapped\nline. Next\none | two\n3 | 4\n- first\n• second. Third\n(a) fourth"
    assert split(text) == [
        "No stop here", "wrapped\nline.", "Next", "one | two", "3 | 4", "first", "second.", "Third", "(a) fourth",
    ]  # fmt: skip


@given(st.text(alphabet="ab AZ.19!?()[]\n|-。다가et al", max_size=200))
@settings(max_examples=200, deadline=None)
def test_sentences_are_in_order_apart_and_lose_only_space_and_bullets(text):
    spans = sentences(text)
    end, lost = 0, ""
    for start, stop in spans:
        assert end <= start < stop
        assert text[start:stop] == text[start:stop].strip()
        lost += text[end:start]
        end = stop
    assert re.sub(r"[\s\-]", "", lost + text[end:]) == ""


def test_sections_are_known_by_their_headings_numbers_and_neighbours():
    headings = {
        "": "abstract", "1 Introduction": "introduction", "2 Related Work": "related", "2.3 Models": "related",
        "3 TideCache": "method", "3.1 Two tiers": "method", "Figure 2": "caption", "3.2 Gate analysis": "results",
        "Implementation details": "method", "4. Experiments": "results", "4.2 Sea and land": "results",
        "Table 4: all numbers": "caption", "V. Discussion": "conclusion", "Limitations": "conclusion",
        "A gate for all": "conclusion", "Acknowledgments": "back", "References": "references", "A Prompts": "back",
        "A.1 Training data": "back", "Results on Sunday": "back", "Figure 9": "caption",
    }  # fmt: skip
    source = Source(tuple(Section(heading, "Text.") for heading in headings))
    assert dict(zip(headings, parts_of(source), strict=True)) == headings
    assert parts_of(Source((Section("Title", "x"), Section("2 Tides", "y")))) == ["abstract", "method"]
    assert parts_of(KOREAN_PAPER) == ["abstract", "method", "results"]
    assert parts_of(Source((Section("Results", "x"),), kind="abstract")) == ["abstract"]


def test_tokens_are_estimated_by_the_stated_rule():
    assert tokens_in("") == 0
    assert tokens_in("word wor") == 2
    assert tokens_in("12,345.6") == 4
    assert tokens_in("제안한다") == 4
    assert tokens_in("ab12다") == 1 + 1 + 1


def test_a_paper_that_fits_is_left_alone():
    assert within_budget(PAPER, 100_000) is PAPER
    assert left_out(PAPER, PAPER) == ()


def kept_in_order(cut: Source, whole: Source) -> bool:
    """Whether `cut` holds whole sentences of `whole`, in order, each once."""
    headings = iter(section.heading for section in whole.sections)
    for section in cut.sections:
        assert section.heading in headings
        original = next(part.text for part in whole.sections if part.heading == section.heading)
        known = iter(split(original))
        assert all(sentence in known for sentence in split(section.text))
    return True


@pytest.mark.parametrize("source", [PAPER, KOREAN_PAPER], ids=["English", "Korean"])
@pytest.mark.parametrize("share", [0.15, 0.3, 0.6, 0.9])
def test_a_cut_keeps_whole_sentences_in_order_within_the_budget(source, share):
    budget = int(share * tokens_in(source.text))
    cut = within_budget(source, budget)
    assert tokens_in(cut.text) <= budget
    assert tokens_in(cut.text) > 0.4 * budget
    assert kept_in_order(cut, source)


def test_the_abstract_comes_first_and_references_and_appendices_last():
    seen = []
    for budget in range(60, tokens_in(PAPER.text), 20):
        seen += [section.heading for section in within_budget(PAPER, budget).sections]
    first = list(dict.fromkeys(seen))
    assert first[0] == "Abstract"
    assert {*first[1:6]} == {"1 Introduction", "3 TideCache", "4 Experiments", "Figure 2", "5 Conclusion"}
    assert first[6:] == ["2 Related Work", "Acknowledgements", "A Prompts", "References"]


def test_every_section_keeps_its_beginning_before_any_goes_on():
    paragraph = "A paragraph of {0} that says number {1} at some length and then ends."
    names = ["1 Introduction", "2 Method", "2.1 Gate", "3 Results", "3.1 More"]
    texts = ["\n\n".join(paragraph.format(name, turn) for turn in range(40)) for name in names]
    source = Source(tuple(Section(name, text) for name, text in zip(names, texts, strict=True)))
    cut = within_budget(source, tokens_in(source.text) // 4)
    kept = [len(section.text.split("\n\n")) for section in cut.sections]
    assert len(kept) == 5
    assert max(kept) - min(kept) <= 1
    for section, text in zip(cut.sections, texts, strict=True):
        assert text.startswith(section.text)


def test_a_text_without_paragraphs_is_cut_after_a_sentence():
    prose = " ".join(f"Sentence number {number} is about caches." for number in range(2000))
    cut = within_budget(Source((Section("", prose),), kind="pdf"), 1000)
    [section] = cut.sections
    assert section.text.endswith("is about caches.")
    assert prose.startswith(section.text)
    assert 800 < tokens_in(section.text) <= 1000


def test_a_table_is_cut_after_a_row():
    rows = "\n".join(f"row {number} | {number}.5 | {number}.25" for number in range(500))
    cut = within_budget(Source((Section("Table 1", rows),)), 400)
    assert rows.startswith(cut.sections[0].text + "\n")
    assert len(cut.sections[0].text.split("\n")) > 10


def test_a_budget_that_holds_nothing_is_refused():
    with pytest.raises(InputError, match="budget of 3 tokens"):
        within_budget(PAPER, 3)


def test_a_counter_of_ones_own_is_used():
    cut = within_budget(PAPER, 150, lambda text: len(text.split()))
    assert 60 < len(cut.text.split()) <= 150


def test_what_is_left_out_is_named_once_for_each_section():
    twice = Source((Section("A", "x"), Section("B", "y"), Section("A", "z")))
    assert left_out(twice, Source(twice.sections[:2])) == ("A",)


def test_cutting_is_linear_enough_for_a_book():
    words = random.Random(0)
    prose = " ".join("Sentence of " + "word " * words.randint(3, 30) + "end." for _ in range(12_000))
    assert len(prose) > 1_000_000
    cut = within_budget(Source((Section("", prose),)), 50_000)
    assert 40_000 < tokens_in(cut.text) <= 50_000


def test_usage_adds_up():
    assert Usage(1, 2, 1, 0.5) + Usage(3, 4, 1) == Usage(4, 6, 2, 0.5)
    assert (Usage() + Usage()).price is None

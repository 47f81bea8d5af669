"""`parse_markdown(render_markdown(page)) == page` for pages that no one has written yet."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from paperworks.papers import Page, Paper, parse_markdown, render_markdown
from paperworks.papers.model import SECTIONS, Batch

AWKWARD = st.sampled_from(
    [
        *(
            "**What's New**: x",
            "Vote: 5",
            "- x",
            "1. x",
            "### T",
            "## Daily Papers (2024-01-01)",
            "```",
            "[a](b)",
            "](",
        ),
        *(
            "What's New",
            "What's New: x",
            "\\**X**: y",
            "**X** y",
            "***X***:",
            "[",
            "]",
            "![](http://x)",
            "(",
            ")",
            "\\",
        ),
        *(
            "'",
            '"',
            "O'Neil",
            "A, Jr.",
            "한국어 제목",
            "שלום",
            "日本語",
            "😀",
            "a\nb",
            "a\r\n\n\n  b",
            "\ta",
            " a ",
            "-",
            "—",
        ),
        *(
            "Authors: A",
            "Code: http://x",
            "| a |",
            "> q",
            "<script>",
            "$x_1$",
            "a:",
            ":",
            "::",
            "*",
            "**",
            "#",
            "x\u2028y",
        ),
    ]
)
TEXT = st.lists(st.one_of(AWKWARD, st.text(max_size=12)), min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from(["", " ", "\n", "\n\n", "\n  ", ", "]).map(lambda joint: joint.join(parts))
)
NAME = st.one_of(st.sampled_from(SECTIONS), TEXT).filter(lambda name: valid_name(name))
LINK = st.one_of(
    st.just("https://arxiv.org/abs/2408.08793v2"),
    st.just("http://huggingface.co/papers/2408.08793"),
    st.text(min_size=1, max_size=12).map(lambda text: f"https://example.org/{text}"),
)


def valid_name(name: str) -> bool:
    try:
        Paper(title="", sections={name: ""})
    except ValidationError:
        return False
    return True


@st.composite
def papers(draw) -> Paper:
    url = draw(st.none() | LINK)
    values = {
        "title": draw(TEXT),
        "url": url,
        "arxiv_id": None if url and "2408" in url else draw(st.none() | st.just("2401.00001")),
        "thumbnail": draw(st.none() | LINK),
        "video": draw(st.none() | LINK),
        "votes": draw(st.none() | st.integers(0, 10**8)),
        "authors": draw(st.lists(TEXT, max_size=4)),
        "sections": draw(st.none() | st.dictionaries(NAME, TEXT, max_size=4)),
        "bullets": draw(st.lists(TEXT, max_size=4)),
        "code": draw(st.none() | LINK),
        "unplaced": draw(
            st.lists(st.sampled_from(["A remark.", "| a |\n| b |", "```\n- x\n\n# y\n```"]), max_size=3)
        ),
    }
    try:
        paper = Paper(**values)
    except ValidationError:
        paper = Paper(**values | {"sections": None})
    order = draw(st.permutations(paper.usual_order()))
    return Paper(**paper.model_dump() | {"order": order if draw(st.booleans()) else None})


@st.composite
def pages(draw) -> Page:
    listed = draw(st.lists(papers(), max_size=4))
    starts = sorted(draw(st.lists(st.integers(0, len(listed)), max_size=2)))
    dates = st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1))
    return Page(
        date=draw(dates),
        papers=listed,
        batches=[Batch(start=start, date=draw(st.none() | dates)) for start in starts],
        preamble=draw(st.lists(st.sampled_from(["A note.", "on two\nlines"]), max_size=2)),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(pages())
def test_a_generated_page_comes_back_from_markdown(page):
    assert parse_markdown(render_markdown(page)) == page


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pages())
def test_a_generated_page_comes_back_from_json(page):
    assert Page.model_validate_json(page.model_dump_json(indent=2)) == page


FRAGMENTS = st.sampled_from(
    [
        *(
            "- **What's New**: a",
            "- **Other**:",
            "**Bar**: x",
            "- point",
            "* star",
            "  - nested",
            "text",
            "  text",
            "",
        ),
        *(
            "Authors: ['a',",
            "'b']",
            "<div>",
            '<video controls src="http://v" muted="false">',
            "</video>",
            "</div>",
        ),
        *(
            "#### What's New",
            "### [Cut",
            "title](http://x)",
            "### [T](http://x) tail",
            "```json",
            "~~~",
            "# comment",
        ),
        *("arXiv: 2401.00002", "[Watch Video](http://v)", "## Daily Papers", "- ```", "\tx", "1. n", "---"),
    ]
)
LINE = st.builds(
    lambda width, line: " " * width + line, st.sampled_from([0, 0, 0, 1, 2, 4]), FRAGMENTS | AWKWARD
)


@settings(max_examples=500, deadline=None)
@given(st.text() | st.lists(LINE | st.text(max_size=8)).map("\n".join))
def test_any_text_under_a_heading_is_a_page_that_settles(text):
    page = parse_markdown("## Daily Papers (2024-01-02)\n" + text.replace("\0", ""))
    assert parse_markdown(render_markdown(page)) == page


def test_what_cannot_be_written_is_folded_when_the_model_is_made():
    paper = Paper(
        title=" A\n  title\x0b",
        authors=["A\nB", " "],
        sections={"what’s  new:": "a \n\n\n\n\tb\x00", "*Own* name:": "x"},
        bullets=["", "x\r\ny"],
        url="https://x.org/a b",
    )
    assert (paper.title, paper.authors, paper.url) == ("A title", ["A B"], "https://x.org/a%20b")
    assert paper.sections == {"What's New": "a\n\n    b", "Own name": "x"}
    assert paper.bullets == ["x\ny"]


@pytest.mark.parametrize(
    "values",
    [
        {"votes": -1},
        {"arxiv_id": "2408.08793v2"},
        {"arxiv_id": "2408.08793", "url": "https://arxiv.org/abs/2408.11796"},
        {"code": "javascript:alert(1)"},
        {"sections": {"What's New": "a", "whats new": "b"}},
        {"sections": {"*": "a"}},
        {"sections": {"x" * 81: "a"}},
    ],
)
def test_the_model_refuses_what_contradicts_itself(values):
    with pytest.raises(ValidationError):
        Paper(title="T", **values)

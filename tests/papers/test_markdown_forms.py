"""The forms of the family that a page can have, one by one."""

from __future__ import annotations

import datetime

import pytest

from paperworks.errors import InputError
from paperworks.papers import Page, Paper, parse_markdown, render_markdown

DAY = "## Daily Papers (2024-01-02)\n\n"
LINK = "https://arxiv.org/abs/2401.00001"


def one(body: str, title: str = f"### [A Title]({LINK})") -> Paper:
    """The only paper of a page with this body; its rendering parses to the same."""
    page = parse_markdown(f"{DAY}{title}\n\n{body}")
    assert parse_markdown(render_markdown(page)) == page
    (paper,) = page.papers
    return paper


@pytest.mark.parametrize(
    "label",
    [
        *("**What's New**:", "***What's New***:", "**What's New:**", "**What’s New** :", "*What's new*:"),
        *("**What's New**", "What's New:", "**What's New：**", "**WHAT'S NEW**:", "__"),
    ][:-1],
)
@pytest.mark.parametrize("marker", ["- ", "* ", "+ ", "• ", "– ", "-", "1. ", "", "#### "])
def test_a_section_is_known_by_any_marker(label, marker):
    if marker == "-" and not label.startswith("**"):
        pytest.skip("a hyphen at a word")
    text = "\n\ntext" if marker == "#### " else " text"
    if marker == "#### " and label.rstrip(": *").startswith("*What"):
        label = "What's New"
    assert one(f"{marker}{label}{text}\n").sections == {"What's New": "text"}


def test_sections_come_in_any_order_with_any_name():
    paper = one("- **성능**: a\n- **Technical Details**: b\n- **Stage 1: Data**: c\n- ***What's New***: d\n")
    assert list((paper.sections or {}).items()) == [
        ("성능", "a"),
        ("Technical Details", "b"),
        ("Stage 1: Data", "c"),
        ("What's New", "d"),
    ]


@pytest.mark.parametrize(
    ("line", "authors"),
    [
        ("Authors: A B, C D", ["A B", "C D"]),
        ("Authors: ['A B', 'C D']", ["A B", "C D"]),
        ("""Authors: ['A', "Pat O'Neil", 'B, Jr.']""", ["A", "Pat O'Neil", "B, Jr."]),
        ("Authors: ['A', 'Pat O'Neil', 'B']", ["A", "Pat O'Neil", "B"]),
        ("Authors: ['A', 'B',\n 'C']", ["A", "B", "C"]),
        ("Authors: ['A', 'B", ["A", "B"]),
        ("Authors: [A, B]", ["A", "B"]),
        (r"Authors: ['J. \xa0 Li', 'Jos\u00e9']", ["J. \xa0 Li", "José"]),
        ("**Authors:** A, A, B", ["A", "A", "B"]),
        ("Authors: -", []),
    ],
)
def test_authors_keep_their_order_and_their_quotes(line, authors):
    assert one(f"{line}\n\n- x\n").authors == authors


@pytest.mark.parametrize(
    ("line", "votes"),
    [("Vote: 41", 41), ("Vote: -", None), ("Vote: ", None), ("**Vote**: 3", 3), ("Votes: 1,204", 1204)],
)
def test_votes(line, votes):
    paper = one(f"{line}\n\n- x\n")
    assert (paper.votes, paper.unplaced) == (votes, [])


def test_what_is_no_number_of_votes_is_kept_as_it_is():
    assert one("Vote: many\n\nVote: 3\n\nVote: 4\n").unplaced == ["Vote: many", "Vote: 4"]


@pytest.mark.parametrize(
    "embed",
    [
        "[Watch Video](https://x.org/v.mp4)\n"
        '<div><video controls src="https://x.org/v.mp4" muted="false"></video></div>',
        "[Watch Video]https://x.org/v.mp4",
        '<div>\n<video controls src="https://x.org/v.mp4"\n muted="false">\n</video>\n</div>',
        '<video src="https://x.org/v.mp4" controls></video>',
    ],
)
def test_a_video_stands_for_the_picture(embed):
    paper = one(f"{embed}\n\nVote: 3\n\n- x\n")
    assert (paper.video, paper.votes, paper.unplaced) == ("https://x.org/v.mp4", 3, [])


@pytest.mark.parametrize(
    ("heading", "title", "arxiv_id"),
    [
        (f"# [A [b] (c) *d* $x_1$]({LINK})", "A [b] (c) *d* $x_1$", "2401.00001"),
        (f"###[No Space]({LINK}v2)", "No Space", "2401.00001"),
        (f"#### [Broken\n  Title]({LINK})", "Broken Title", "2401.00001"),
        ("### [HF](http://huggingface.co/papers/2401.00001)", "HF", "2401.00001"),
        ("### [PDF](https://arxiv.org/pdf/2401.00001v3.pdf)", "PDF", "2401.00001"),
        ("### [Old](https://arxiv.org/abs/math.GT/0309136)", "Old", "math.GT/0309136"),
        ("### [Blog](https://example.org/post_(1))", "Blog", None),
        ("### No Link At All", "No Link At All", None),
        ("### []()", "", None),
    ],
)
def test_headings(heading, title, arxiv_id):
    paper = one("Vote: 3\n\n- x\n", heading)
    assert (paper.title, paper.arxiv_id, paper.votes) == (title, arxiv_id, 3)


def test_what_follows_a_link_in_a_heading_is_kept():
    assert one("- x\n", f"### [T]({LINK}) (oral)").unplaced == ["(oral)"]


def test_a_section_holds_lines_points_and_paragraphs_that_belong_to_it():
    paper = one(
        "- **What's New**: first\nlazy line\n  - nested\n    - deeper\n\n  a paragraph\n- **Technical Details**:\n"
        "- flat\n- also flat\n1. number\n\n- **Performance Highlights**:\n  - own\n- free\n"
    )
    assert paper.sections == {
        "What's New": "first\nlazy line\n- nested\n  - deeper\n\na paragraph",
        "Technical Details": "- flat\n- also flat\n1. number",
        "Performance Highlights": "- own",
    }
    assert paper.bullets == ["free"]


def test_unknown_blocks_keep_their_place():
    body = "Vote: 3\n\nA remark.\n\nAuthors: A\n\n- x\n\nplain paragraph\non two lines\n\n- y\n\n| a | b |\n|---|---|"
    paper = one(body + "\n| 1 | 2 |\n\n#### Deeper\n\n---\n\n```json\n# {\n\n- 1}\n```\n")
    assert paper.bullets == ["x", "y"]
    assert [block.split("\n")[0] for block in paper.unplaced] == [
        *("A remark.", "plain paragraph", "| a | b |", "#### Deeper", "---", "```json")
    ]
    page = Page(date=datetime.date(2024, 1, 2), papers=[paper])
    assert body.replace("\n\nAuthors", "\n\nAuthors") in render_markdown(page)


def test_a_fence_that_is_never_closed_or_wraps_the_sections_hides_nothing():
    for body in ("```json\n\n- **What's New**: a\n", "```markdown\n- **What's New**: a\n```\n"):
        assert one(body).sections is not None
    page = parse_markdown(f"{DAY}### [A]({LINK})\n\n```\n\n### [B]({LINK})\n\n- x\n\n```\n")
    assert [paper.title for paper in page.papers] == ["A", "B"]


def test_a_section_said_twice_is_kept_twice():
    paper = one("- **What's New**: a\n- **Technical Details**: b\n- **What's New**: c\n")
    assert paper.sections == {"What's New": "a", "Technical Details": "b\n- **What's New**: c"}


def test_line_ends_byte_order_mark_and_spaces_do_not_matter():
    text = f"{DAY}### [A]({LINK})\n\nVote: 3\n\n- x\n- y\n"
    damaged = "\ufeff" + text.replace("\n", "  \r\n")
    assert parse_markdown(damaged) == parse_markdown(text) == parse_markdown(text.replace("\n\n", "\n"))


def test_an_empty_day_is_a_page():
    page = parse_markdown("## Daily Papers (2024-01-02)", strict=True)
    assert (str(page.date), page.papers) == ("2024-01-02", [])


def test_a_second_heading_may_have_another_date_and_the_same_paper():
    text = f"{DAY}### [A]({LINK})\n\n- x\n\n## Daily Papers (2024-01-03)\n\n### [A]({LINK})\n\n- x\n\n"
    page = parse_markdown(text, strict=True)
    assert [(batch.start, str(batch.date)) for batch in page.batches] == [(1, "2024-01-03")]
    assert page.papers[0] == page.papers[1]
    assert render_markdown(page) == text


def test_an_unusual_heading_comes_back():
    text = "## Today's Daily Papers, 2024-01-02!\n\n### [A](https://x.org)\n\n- x\n\n"
    assert render_markdown(parse_markdown(text)) == text


@pytest.mark.parametrize("line", ["Rating: five stars", "@@ ?? @@", "Vote: many"])
def test_strict_names_a_line_under_a_paper_that_is_neither_fact_nor_point_nor_text(line):
    text = f"{DAY}### [A]({LINK})\n\nVote: 1\n\n{line}\n\n- x\n"
    assert parse_markdown(text).papers[0].unplaced == [line]
    with pytest.raises(InputError, match="line 7") as refused:
        parse_markdown(text, strict=True)
    assert line in str(refused.value)


@pytest.mark.parametrize(
    "line", ["A sentence that has no bullet.", "문장 하나가 글머리 없이 있습니다", "| a | b |", "#### Deeper"]
)
def test_strict_takes_text_under_a_paper(line):
    parse_markdown(f"{DAY}### [A]({LINK})\n\nVote: 1\n\n{line}\n\n- x\n", strict=True)


def test_strict_names_the_line_that_has_no_place():
    text = f"{DAY}Good morning.\n\n### [A]({LINK})\n\n- x\n"
    assert parse_markdown(text).preamble == ["Good morning."]
    assert "Good morning." in render_markdown(parse_markdown(text))
    with pytest.raises(InputError, match=r"line 3 .*Good morning\."):
        parse_markdown(text, strict=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a page"),
        ("\n \n", "not a page"),
        ("Just a letter.\n\n- with a point\n", "not a page"),
        ("# My project\n\n## Install\n\npip install it\n", "not a page"),
        ("## Daily Papers (2024-01-02)\0", "binary"),
        (f"### [A]({LINK})\n\n- x\n", "no date"),
        ("## Daily Papers (2024-13-45)\n", "no date"),
    ],
)
def test_what_is_no_page_is_refused_in_one_line(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_markdown(text)
    assert "\n" not in str(caught.value)


def test_a_page_without_a_heading_takes_the_given_date():
    page = parse_markdown(f"### [A]({LINK})\n\n- x\n", date=datetime.date(2024, 5, 6))
    assert render_markdown(page).startswith("## Daily Papers (2024-05-06)\n\n### [A]")


@pytest.mark.parametrize(
    "line",
    [
        *(
            "- **a" + " " * 20_000 + "b",
            "What" + " " * 20_000 + "b",
            "Authors: [" + "'a\\" * 10_000,
            "*" * 20_000,
        ),
        *("### [A" + "](" * 20_000, "<div><video" + " " * 20_000 + "src", "- **a" + ": " * 10_000 + "b**: x"),
        "```json\n" * 2_000,
    ],
    ids=lambda line: line[:8].strip(),
)
def test_a_hostile_line_is_read_before_the_timeout(line):
    page = parse_markdown(f"{DAY}### [A]({LINK})\n\n{line}\n")
    assert parse_markdown(render_markdown(page)) == page

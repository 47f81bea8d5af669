"""The parser and the renderer on real pages of the family, where this machine has them, and on damaged ones."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from paperworks.errors import InputError
from paperworks.papers import parse_markdown, render_markdown

FOLDER = Path(os.environ.get("PAPERWORKS_SHARED_PAGES", Path(__file__).parents[2].parent / "shared/pages"))
PAGES = sorted(FOLDER.glob("*.md"))
needs_pages = pytest.mark.skipif(not PAGES, reason="no shared pages on this machine")
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


@each_page
def test_every_shared_page_parses_strictly_and_its_rendering_parses_to_the_same(path):
    page = parse_markdown(path.read_text(encoding="utf-8"), strict=True)
    assert str(page.date) == path.stem
    assert parse_markdown(render_markdown(page), strict=True) == page


@each_page
def test_a_page_in_canonical_form_comes_back_byte_for_byte(path):
    text = path.read_bytes().decode()
    other_form = "***" in text or "Authors: [" in text or re.search(r"\S\n#", text) or text[-2:] != "\n\n"
    if other_form or text.count("## Daily Papers") > 1:
        pytest.skip("not in canonical form")
    assert render_markdown(parse_markdown(text)) == text


@each_page
def test_the_facts_are_those_a_plain_search_finds(path):
    text = path.read_text(encoding="utf-8")
    page = parse_markdown(text)
    found = re.findall(r"^### \[(.+)\]\(https://arxiv\.org/abs/([\d.]+)\)$", text, re.M)
    assert [(paper.title, paper.arxiv_id) for paper in page.papers] == found
    blocks = re.split(r"^### ", text, flags=re.M)[1:]
    for paper, block in zip(page.papers, blocks, strict=True):
        votes = re.search(r"^Vote: (\d+)$", block, re.M)
        assert paper.votes == (int(votes[1]) if votes else None)
        picture = re.search(r"^!\[\]\((.+)\)$", block, re.M)
        assert paper.thumbnail == (picture[1] if picture else None)
        video = re.search(r'src="([^"]+)"', block)
        assert paper.video == (video[1] if video else None)
        authors = re.search(r"^Authors: (.+)$", block, re.M)
        names = re.sub(r"""[\[\]'"]""", "", authors[1]).split(", ") if authors else []
        assert [re.sub(r"""['"]""", "", name) for name in paper.authors] == names
        assert list(paper.sections or {}) == re.findall(r"^- \*+([^*]+)\*+:", block, re.M)
        assert len(paper.bullets) == len(re.findall(r"^- [^*]", block, re.M))
        assert paper.unplaced == []
        assert paper.order is None


@needs_pages
def test_a_second_heading_keeps_both_batches_in_order():
    page = parse_markdown((FOLDER / "2024-10-21.md").read_text(encoding="utf-8"))
    assert [(batch.start, str(batch.date)) for batch in page.batches] == [(32, "2024-10-21")]
    assert len(page.papers) == 50
    assert page.papers[32].arxiv_id == "2410.14470"
    assert render_markdown(page).count("## Daily Papers (2024-10-21)\n") == 2


@needs_pages
def test_nested_points_stay_with_their_point():
    page = parse_markdown((FOLDER / "2023-11-20.md").read_text(encoding="utf-8"))
    (bullet,) = [text for paper in page.papers for text in paper.bullets if "\n" in text]
    assert [line[:5] for line in bullet.split("\n")[1:]] == ["- (1)", "- (2)", "- (3)", "- (4)"]


SHAPES = [
    lambda text, place, chance: text[:place],
    lambda text, place, chance: text[:place] + text[place + chance.randrange(1, 40) :],
    lambda text, place, chance: text[:place] + chance.choice("*#[]()-:`\n \t'\",|\r>=_") + text[place:],
    lambda text, place, chance: text[:place].rstrip("\n") + "\n" + text[place:].lstrip("\n"),
    lambda text, place, chance: insert_line(text, chance, chance.choice(LINES)),
    lambda text, place, chance: insert_line(text, chance, chance.choice(text.split("\n"))),
    lambda text, place, chance: insert_line(text, chance, "  " + chance.choice(text.split("\n"))),
    lambda text, place, chance: text.replace("\n\n", "\n"),
    lambda text, place, chance: text.replace(
        "- **", chance.choice(["**", "* **", "1. **", "#### **", "-**"])
    ),
    lambda text, place, chance: text.replace(
        "**:", chance.choice(["**", ":**", " **:\n", "**:\n\n- ", "** :"])
    ),
    lambda text, place, chance: text.replace("\n### ", chance.choice(["\n# ", "\n#### ", "\n ### "])),
]
LINES = [
    *(
        "```",
        "```json",
        "~~~",
        "---",
        "***",
        "| a | b |",
        "<div>",
        "</div>",
        "#### Abstract",
        "# note",
        "## 2024-01-02",
    ),
    *(
        "Vote: 7",
        "Vote: x",
        "Vote:",
        "Authors: ",
        "Authors: ['A', \"O'B\", 'C",
        "Code: https://example.org/x",
    ),
    *(
        "- **What's New**: again",
        "**새로운 점**: 다시",
        "What's New: plain",
        "- **Other**:",
        "\\- x",
        "1. one",
        "(1) two",
    ),
    *(
        "### Untitled",
        "### [Cut",
        "### []()",
        "### [A](http://x) tail",
        "[Watch Video]https://example.org/v.mp4",
        "\ufeff",
    ),
]


def insert_line(text: str, chance: random.Random, line: str) -> str:
    lines = text.split("\n")
    lines.insert(chance.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def words(text: str) -> Counter[str]:
    """The words of a text, without the marks and numbers that only make lists."""
    lines = re.sub(r"(?m)^\W*\d{1,2}[.)](?=[ \t])", "", re.sub(r"['’‘`´]", "", text))
    return Counter(re.findall(r"\w+", lines.casefold()))


@needs_pages
@pytest.mark.parametrize("seed", range(150))
def test_damaged_pages_lose_no_word_and_settle_after_one_round(seed):
    chance = random.Random(seed)
    text = chance.choice(PAGES).read_text(encoding="utf-8")
    text = "\n### ".join(text.split("\n### ")[: chance.randrange(2, 6)])
    for _ in range(chance.randrange(1, 8)):
        text = chance.choice(SHAPES)(text, chance.randrange(len(text) + 1), chance)
    try:
        page = parse_markdown(text)
    except InputError:
        return
    rendered = render_markdown(page)
    lost = words(text) - words(rendered)
    assert not lost, lost
    assert parse_markdown(rendered) == page

"""The HTML page, read back with the standard library's parser."""

from __future__ import annotations

import base64
import datetime
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import paperworks.papers
from paperworks.papers import Page, Paper, load_page, parse_markdown, render_html, render_markdown

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Document(HTMLParser):
    """Elements with their attributes and text; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1]}"
            self.open.pop()

    def handle_data(self, data):
        self.texts.append((self.open[-1][0] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, but: tuple[str, ...] = ("style", "script", "title")) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag not in but).split())


def measured(value: float | None, spread: float | None = None, n: int = 1, unit: str = "%") -> dict:
    return {"value": value, "unit": unit, "spread": spread, "n": n, "samples": [], "details": {}}


def record(verdict: str = "holds", **changes) -> dict:
    claim = {
        "id": "keeps-recall",
        "method": "backward_compatible",
        "paper": "2408.08793",
        "highlight": "The gallery stays <searchable>",
        "reported": "33.6 %",
        "expects": "recall at least the old one's",
        "control": "no transformation",
        "translations": {
            "ko": {"highlight": "갤러리를 계속 검색할 수 있다", "expects": "기대문", "control": "대조문"}
        },
    }
    return {
        "format": "paperworks.evidence/1",
        "claim": claim,
        "verdict": verdict,
        "reason": "the measurement meets the expectation and the control does not",
        "measured": measured(97.123, 0.41, 3),
        "baseline": measured(95.0),
        "control": measured(10.12) | {"meets": verdict == "void"},
        "table": {
            "columns": ["query", "recall"],
            "rows": [["new", 0.97123], ["a|b", 3]],
            "caption": "Digits",
        },
        "figures": ["curve.png", "gone.png", "../secret.png"],
        "note": "Digits are easy.",
        "seed": 7,
        "scale": "small",
        "device": "cpu",
        "seconds": 12.34,
        "versions": {"python": "3.11.2"},
        "command": "paperworks reproduce backward-compatible --only keeps-recall",
        "key": "",
    } | changes


SKIPPED = record(
    "skipped", reason="not built yet", measured=None, baseline=None, control=None, table=None, figures=[]
)


@pytest.fixture
def page() -> Page:
    return load_page("2024-08-22")


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_paper_section_and_author_is_on_the_page_in_the_chosen_language(page, language):
    shown = page.in_language(language)
    document = Document(render_html(page, language=language))
    assert document.all("html") == [{"lang": language}]
    text = document.text()
    for paper in shown.papers:
        assert paper.title in text
        assert ", ".join(paper.authors) in text
        for section in (paper.sections or {}).values():
            plain = re.sub(r"`", "", section)
            assert plain.split(". ")[0] in text
    assert ("새로운 점" in text) == (language == "ko")
    assert [a["datetime"] for a in document.all("time")] == ["2024-08-22"]
    assert len(document.all("h1")) == 1
    assert len(document.all("h2")) == 11


def test_the_contents_lead_to_every_paper(page):
    twice = page.model_copy(update={"papers": [*page.papers, page.papers[0], Paper(title="No id")]})
    document = Document(render_html(twice))
    anchors = [attributes["id"] for attributes in document.all("article")]
    assert anchors == [*(paper.arxiv_id for paper in page.papers), "2408.11318-2", "paper-13"]
    targets = [a["href"] for a in document.all("a") if (a["href"] or "").startswith("#")]
    ids = {attributes["id"] for _, attributes in document.elements if "id" in attributes}
    assert {f"#{anchor}" for anchor in anchors} <= set(targets)
    assert {target[1:] for target in targets if target} <= ids


def test_nothing_is_requested_but_lazy_thumbnails(page):
    document = Document(render_html(page, evidence={"2408.08793": [record()]}))
    for tag, attributes in document.elements:
        if tag == "img" and not (attributes["src"] or "").startswith("data:"):
            assert attributes["loading"] == "lazy"
            assert attributes["alt"]
        else:
            assert tag not in ("link", "iframe", "video", "source", "object", "embed")
            assert tag == "img" or "src" not in attributes
    style = next(data for tag, data in document.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_texts_are_shown_not_run():
    evil = "<script>alert(1)</script>"
    paper = Paper(
        title=f'{evil} "onload=x',
        url="javascript:alert(1)",
        thumbnail="data:text/html,x",
        video="vbscript:x",
        authors=[evil],
        sections={
            evil: f"{evil} [a](javascript:alert(2)) ![p](https://x.org/p.png) <img src=x onerror=y> [b](http://ok.org)"
        },
        bullets=[evil, f"two\nlines {evil}"],
        unplaced=["#### Deep", evil, "| a | b |\n|---|---|\n| 1 | 2 |"],
    )
    page = Page(date=datetime.date(2024, 1, 2), papers=[paper], source=evil, preamble=[evil])
    evidence = {"x": [record()]}
    document = Document(render_html(page, evidence=evidence, commands={"x": evil}))
    assert len(document.all("script")) == 1
    assert not document.all("img")
    assert document.text().count(evil) >= 9
    assert [a["href"] for a in document.all("a") if (a["href"] or "#")[0] != "#"] == [
        "https://x.org/p.png",
        "http://ok.org",
    ]
    assert all(not name.startswith("on") for _, attributes in document.elements for name in attributes)
    assert len(document.all("td")) == 2


def test_hostile_evidence_is_shown_not_run(page):
    evil = "<script>alert(1)</script>"
    bad = record(
        note=evil, reason=evil, command=evil, table={"columns": [evil], "rows": [[evil]], "caption": evil}
    )
    bad["claim"] |= {"highlight": evil, "reported": evil, "translations": {}}
    document = Document(render_html(page, evidence={"2408.08793": [bad]}, commands={"2408.08793": evil}))
    assert len(document.all("script")) == 1
    assert document.text().count(evil) >= 8


def test_evidence_shows_figure_measurement_control_and_verdict(page, tmp_path):
    png = b"\x89PNG\r\n\x1a\nnot really"
    (tmp_path / "curve.png").write_bytes(png)
    (tmp_path.parent / "secret.png").write_bytes(b"secret")
    html = render_html(
        page,
        language="en",
        evidence={"2408.08793": [record()]},
        figure_folder=tmp_path,
        commands={"2408.08793": "paperworks backward-compatible --help"},
    )
    text = Document(html).text()
    for part in (
        *(
            "Measured here",
            "The gallery stays <searchable>",
            "33.6 %",
            "97.12 ± 0.41 % (n = 3)",
            "10.12%",
            "95%",
        ),
        *(
            "✓ holds",
            "recall at least the old one's",
            "no transformation",
            "Digits are easy.",
            "0.9712",
            "seed 7",
        ),
        *(
            "paperworks reproduce backward-compatible --only keeps-recall",
            "12.34 s",
            "gone.png: figure not there",
        ),
        "paperworks backward-compatible --help",
    ):
        assert part in text, part
    assert base64.b64encode(png).decode() in html
    assert base64.b64encode(b"secret").decode() not in html


def test_evidence_is_told_in_korean_with_the_language_of_each_text_marked(page):
    html = render_html(page, evidence={"2408.08793": [record(), SKIPPED]})
    text = Document(html).text()
    for part in (
        "여기서 측정",
        "갤러리를 계속 검색할 수 있다",
        "기대문",
        "대조문",
        "✓ 성립",
        "– 측정 안 함",
        "아직 만들어지지",
    ):
        assert part in text
    assert '<p class="note" lang="en">Digits are easy.' in html


@pytest.mark.parametrize("verdict", ["holds", "fails", "void", "skipped"])
def test_a_verdict_has_word_symbol_and_class(page, verdict):
    document = Document(render_html(page, language="en", evidence={"2408.08793": [record(verdict)]}))
    symbol = {"holds": "✓", "fails": "✗", "void": "≈", "skipped": "–"}[verdict]
    assert f"{symbol} {verdict} 1" in document.text()
    assert any(verdict in (attributes.get("class") or "") for attributes in document.all("span"))


def test_a_skipped_claim_shows_its_reason_and_no_numbers(page):
    html = render_html(page, language="en", evidence={"2408.08793": [SKIPPED]})
    assert "not built yet" in html
    assert 'class="numbers"' not in html


def test_a_measurement_that_is_no_number_does_not_break_the_page(page):
    broken = record("fails", measured=measured(None), control=measured(None) | {"meets": False})
    assert "not a number" in render_html(page, evidence={"2408.08793": [broken]})
    assert "not a number" in render_markdown(page, evidence={"2408.08793": [broken]})


def test_markdown_with_evidence_has_a_table_under_the_paper_and_still_parses(page):
    text = render_markdown(page.in_language("en"), evidence={"2408.08793": [record(), SKIPPED]})
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert rows[0] == "| Claim | Paper | Measured | Control | Verdict |"
    assert rows[2].replace("\u00a0", " ") == (
        "| The gallery stays <searchable> | 33.6 % | 97.12 ± 0.41 % (n = 3) | 10.12% | ✓ holds |"
    )
    assert "– skipped: not built yet" in rows[3]
    again = parse_markdown(text, strict=True)
    assert [paper.title for paper in again.papers] == [paper.title for paper in page.papers]
    (kept,) = [paper for paper in again.papers if paper.unplaced]
    assert kept.arxiv_id == "2408.08793"
    assert again.papers[0].sections == page.in_language("en").papers[0].sections
    assert parse_markdown(render_markdown(again)) == again


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_text_has_the_contrast_that_wcag_asks_for(scheme):
    css = (Path(paperworks.papers.__file__).parent / "templates/page.css").read_text()
    colours = dict(
        re.findall(
            r"--([\w-]+): (#[0-9a-f]{6}|#[0-9a-f]{3});", css.split(":root {")[scheme + 1].split("}")[0]
        )
    )
    colours = {
        name: c if len(c) == 7 else "#" + "".join(2 * digit for digit in c[1:]) for name, c in colours.items()
    }
    pairs = [(ink, ground) for ink in ("ink", "soft", "link") for ground in ("paper", "card")]
    pairs += [(verdict, f"{verdict}-ground") for verdict in ("holds", "fails", "void", "skipped")]
    for ink, ground in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_an_old_page_of_bullets_draws_without_evidence():
    page = parse_markdown(
        "## Daily Papers (2024-01-02)\n\n### [A](https://arxiv.org/abs/2401.00001)\n\n- 하나\n- two\n"
    )
    document = Document(render_html(page))
    assert [a["lang"] for a in document.all("li") if "lang" in a] == ["ko", "en"]
    assert "여기서 측정" not in document.text()


def test_texts_stand_in_the_order_of_the_page():
    body = "- one\n- two\n\nA remark.\n\n- three\n- **What's New**: four\n\nAt the end.\n"
    page = parse_markdown(f"## Daily Papers (2024-01-02)\n\n### [A](https://x.org)\n\n{body}")
    text = Document(render_html(page, language="en")).text()
    places = [
        text.index(word) for word in ("one", "two", "A remark.", "three", "What's New four", "At the end.")
    ]
    assert places == sorted(places)

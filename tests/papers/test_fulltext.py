"""The text of a paper: from arXiv's HTML, its PDF or the abstract, and from files on disk."""

from __future__ import annotations

import logging
import re

import pytest
from lamp_paper import PAPER, PDF_PAGES, caption, cite, display, math, note, page, para, row, section
from servers import Reply, Site, busy, moved, paper_pdf

from paperworks.errors import InputError
from paperworks.papers.fulltext import read_file, read_source
from paperworks.papers.latexml import Unusable, read_html
from paperworks.papers.listing import Listing
from paperworks.papers.pdf import read_pdf
from paperworks.papers.source import Section, Source
from paperworks.papers.web import FetchError, Web

STAMP = "arXiv:2408.00007v2  [cs.CL]  21 Aug 2024"
PDF = paper_pdf(PDF_PAGES, title="Narrow Wicks: Less Oil for the Same Light", stamp=STAMP)
LISTING = Listing("2408.00007", "Narrow Wicks", abstract="We save 21.7% of the oil.")
NO_HTML = (
    b"<html><body><h1>No HTML for '2408.00007'</h1><p>HTML is not available for the source.</p></body></html>"
)


def pdf_reply(content: bytes = PDF) -> Reply:
    return Reply(content, content_type="application/pdf")


@pytest.fixture
def arxiv():
    with Site() as arxiv:
        yield arxiv


@pytest.fixture
def web(tmp_path):
    with Web(tmp_path / "cache", backoff=0.01, timeout=2) as web:
        yield web


def texts(sections: tuple[Section, ...]) -> dict[str, str]:
    assert len({section.heading for section in sections}) == len(sections)
    return {section.heading: section.text for section in sections}


def body_of(html: str) -> str:
    """The text that the body of a page becomes, where there is one section."""
    (only,) = read_html(page(section("1", "Only", html)))[2:]
    return only.text


# Which form is used, and what is said of the others.


def test_the_html_is_used_where_there_is_one(arxiv, web):
    arxiv.pages["/html/2408.00007"] = [moved("/html/2408.00007v2")]
    arxiv.pages["/html/2408.00007v2"] = [Reply(PAPER)]
    reasons = []
    source = read_source(LISTING, web=web, arxiv_url=f"{arxiv.url}/", report=reasons.append)
    assert (source.kind, source.url) == ("html", f"{arxiv.url}/html/2408.00007v2")
    assert source.sections[0] == Section("Title", "Narrow Wicks: Less Oil for the Same Light")
    assert reasons == []
    assert arxiv.asked("/pdf/2408.00007") == []


def test_the_pdf_is_used_where_there_is_no_html(arxiv, web):
    arxiv.pages["/pdf/2408.00007"] = [pdf_reply()]
    reasons = []
    source = read_source("2408.00007", web=web, arxiv_url=arxiv.url, report=reasons.append)
    assert (source.kind, source.url) == ("pdf", f"{arxiv.url}/pdf/2408.00007")
    assert "2.7x longer" in source.text
    assert reasons == ["HTML: HTTP 404 Not Found"]


def test_the_abstract_is_used_where_there_is_nothing_else(arxiv, web):
    reasons = []
    source = read_source(LISTING, web=web, arxiv_url=arxiv.url, report=reasons.append)
    assert source.kind == "abstract"
    assert source.url == f"{arxiv.url}/abs/2408.00007"
    assert source.sections == (
        Section("Title", "Narrow Wicks"),
        Section("Abstract", "We save 21.7% of the oil."),
    )
    assert reasons == ["HTML: HTTP 404 Not Found", "PDF: HTTP 404 Not Found"]
    assert read_source(LISTING, web=web, arxiv_url=arxiv.url).kind == "abstract"


def test_without_even_an_abstract_the_reasons_are_the_error(arxiv, web):
    with pytest.raises(
        FetchError, match=r"abs/2408\.00007: HTML: HTTP 404 Not Found; PDF: HTTP 404 Not Found"
    ):
        read_source("2408.00007", web=web, arxiv_url=arxiv.url)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(NO_HTML), "could not make HTML"),
        (
            Reply(page('<span class="ltx_ERROR">Conversion to HTML had a Fatal error</span>')),
            "could not make HTML",
        ),
        (Reply(page("")), r"no text beyond the abstract \(0 characters\)"),
        (Reply(b""), "the HTML is empty"),
        (Reply(b"  \n"), "the HTML is empty"),
        (Reply(b"\0\0\xff\xfe<<<>>"), "no text beyond the abstract"),
        (Reply(PAPER, content_type="application/octet-stream"), "octet-stream, not HTML"),
        (Reply(PDF), "not HTML"),
        (Reply(b"{}", content_type="application/json"), "application/json, not HTML"),
        (Reply(PAPER, cut_at=3000), "cut off"),
        (Reply(status=500), "HTTP 500"),
        (busy("86400"), r"wants a wait of 86400 s"),
    ],
)
def test_html_of_no_use_gives_way_to_the_pdf_and_says_why(arxiv, web, reply, reason):
    arxiv.pages["/html/2408.00007"] = [reply]
    arxiv.pages["/pdf/2408.00007"] = [pdf_reply()]
    reasons = []
    assert read_source(LISTING, web=web, arxiv_url=arxiv.url, report=reasons.append).kind == "pdf"
    assert len(reasons) == 1
    assert reasons[0].startswith("HTML: ")
    assert re.search(reason, reasons[0])
    assert "\n" not in reasons[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>Sign in</html>", "not a PDF"),
        (b"", "not a PDF"),
        (b"%PDF-1.5\nnothing more", "cannot be opened"),
        (PDF[: len(PDF) // 2], "cannot be opened|has no text"),
        (paper_pdf([[], []]), r"the PDF has no text \(0 characters; is it scanned\?\)"),
        (paper_pdf([["1 Introduction", "Short."]]), "the PDF has no text"),
        (paper_pdf([["/0/1 /2/3 %% ## (( )) 12 34 56 78 ++ == ?? !! 99"] * 60]), "is not readable"),
    ],
)
def test_a_pdf_of_no_use_gives_way_to_the_abstract_and_says_why(arxiv, web, content, reason, capfd):
    arxiv.pages["/pdf/2408.00007"] = [pdf_reply(content)]
    reasons = []
    assert read_source(LISTING, web=web, arxiv_url=arxiv.url, report=reasons.append).kind == "abstract"
    assert re.search(reason, reasons[1])
    assert reasons[1].startswith("PDF: ")
    assert "\n" not in reasons[1]
    assert capfd.readouterr().err == ""


def test_what_was_of_no_use_is_asked_for_again_next_time_and_what_was_used_is_not(arxiv, web):
    arxiv.pages["/html/2408.00007"] = [Reply(NO_HTML), Reply(PAPER)]
    arxiv.pages["/pdf/2408.00007"] = [pdf_reply()]
    kinds = [read_source(LISTING, web=web, arxiv_url=arxiv.url).kind for _ in range(3)]
    assert kinds == ["pdf", "html", "html"]
    assert len(arxiv.requests) == 3


@pytest.mark.parametrize("arxiv_id", ["cs/0701001", "math.GT/0309136", "2408.00007v2"])
def test_old_ids_and_versions_work(arxiv, web, arxiv_id):
    arxiv.pages[f"/pdf/{arxiv_id}"] = [pdf_reply()]
    assert read_source(arxiv_id, web=web, arxiv_url=arxiv.url).url == f"{arxiv.url}/pdf/{arxiv_id}"


@pytest.mark.parametrize(
    "arxiv_id", ["", "lamp", "2408.7", "../etc/passwd", "2408.00007/../x", "2408.00007\n"]
)
def test_an_id_that_is_none_is_refused_before_anything_is_asked(arxiv, web, arxiv_id):
    with pytest.raises(InputError, match="is no arXiv id"):
        read_source(arxiv_id, web=web, arxiv_url=arxiv.url)
    assert arxiv.requests == []


def test_a_paper_that_is_not_on_arxiv_has_its_abstract(arxiv, web):
    assert (
        read_source(Listing("other-1", "A", abstract="B."), web=web, arxiv_url=arxiv.url).kind == "abstract"
    )
    assert arxiv.requests == []


# LaTeXML's HTML.


def test_the_sections_of_a_page_in_order():
    assert [section.heading for section in read_html(PAPER)] == [
        "Title",
        "Abstract",
        "1 Introduction",
        "2 Results",
        "Table 1",
        "2.1 Oil",
        "Figure 2",
        "Appendix A More Oil",
    ]


def test_navigation_authors_references_and_errors_are_left_out():
    text = Source(read_html(PAPER)).text
    for word in (
        "NAVIGATION",
        "AUTHOR",
        "THANKS",
        "REFERENCE",
        "WRONG",
        "oops",
        "Refer to caption",
        "LaTeXML",
    ):
        assert word not in text


def test_a_sentence_stays_whole_around_its_formula_and_its_footnote_follows():
    assert texts(read_html(PAPER))["1 Introduction"].split("\n\n")[1:] == [
        "Lamps are bright. As in [3] and with the method of Oiler et al. (2023), we make the wick narrow. The loss is "
        "L = 1/N∑_(i = 1)^N w_i×10^-4 where w is the width.",
        "The wicks are at lamp.example.",
    ]


def test_formulas_are_plain_text():
    assert texts(read_html(PAPER))["Abstract"] == "We narrow the wick of a 7B lamp and save 21.7% of its oil."
    assert texts(read_html(PAPER))["2 Results"] == "It burns 2.7× longer, at 10^-3 of the price."
    assert body_of(para(f"so {math('p<0.05')}.")) == "so p < 0.05."


def test_a_formula_without_alternative_text_is_read_from_its_annotation_or_its_marks():
    bare = '<math><semantics><mn>WRONG</mn><annotation encoding="application/x-tex">x^{2}</annotation></semantics></math>'
    assert body_of(para(f"{bare} and <math><mn>3</mn><mo>+</mo><mn>4</mn></math>.")) == "x^2 and 3+4."


def test_a_table_is_one_row_a_line_under_its_caption():
    assert texts(read_html(PAPER))["Table 1"].split("\n") == [
        "Light of all lamps.",
        "",
        "Lamp | Light",
        "Lamp | day | night",
        "Wide | 71.2 | 70.1±0.3",
        "Narrow (ours)",
    ]


def test_a_table_without_a_caption_stands_where_it_is():
    table = f'<table class="ltx_tabular">{row("a", "", "1")}{row("b", "", "2")}</table>'
    assert body_of(para("Before.") + table + para("After.")) == "Before.\n\na | 1\nb | 2\n\nAfter."


def test_a_table_of_spans_in_the_middle_of_a_paragraph_is_a_table():
    cells = '<span class="ltx_tr"><span class="ltx_td">{}</span><span class="ltx_td">{}</span></span>'
    table = f'<span class="ltx_tabular">{cells.format("a", 1)}{cells.format("b", 2)}</span>'
    assert body_of(para(f"Before {table} after.")) == "Before\n\na | 1\nb | 2\n\nafter."


def test_spans_that_are_absurd_do_no_harm():
    table = row('<td class="ltx_td" rowspan="999999999" colspan="99999999999">x</td>', "y") + row("z")
    assert body_of(f'<table class="ltx_tabular">{table}</table>') == "x | y\nx | z"


def test_a_figure_is_a_section_with_its_parts_and_a_float_of_two_tables_is_two():
    assert texts(read_html(PAPER))["Figure 2"] == "Two lamps.\n\n(a) by day"
    one = f'<figure class="ltx_table">{caption("table", "3", "Three.")}<table class="ltx_tabular">{row("3")}</table></figure>'
    two = f'<figure class="ltx_table">{caption("table", "4", "Four.")}<table class="ltx_tabular">{row("4")}</table></figure>'
    sections = read_html(
        page(section("1", "Only", para("Text.") + f'<figure class="ltx_table">{one}{two}</figure>'))
    )
    assert sections[3:] == (Section("Table 3", "Three.\n\n3"), Section("Table 4", "Four.\n\n4"))


def test_lists_listings_and_run_in_titles():
    assert texts(read_html(PAPER))["2.1 Oil"] == (
        "Price. Oil is dear.\n\nWhale oil.\n\nPeat is no oil.\n\nlight lamp\nread"
    )


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (f"Bright {cite('[<a>1</a>]')}, it is.", "Bright, it is."),
        (f"Bright<sup class='ltx_sup'>{cite('<a>1</a>,<a>2</a>')}</sup> lamps.", "Bright lamps."),
        (f"We follow the lamp of {cite('[<a>12</a>]')}.", "We follow the lamp of [12]."),
        (f"{cite('[<a>12</a>]')} was first.", "[12] was first."),
        (f"It is known ({cite('Oiler, <a>2023</a>')}).", "It is known (Oiler, 2023)."),
    ],
)
def test_a_citation_by_number_is_left_out_unless_the_sentence_leans_on_it(html, text):
    assert body_of(para(html)) == text


def test_notes_in_headings_cells_and_captions_are_kept_behind_them():
    table = f'<table class="ltx_tabular">{row("a" + note("Of a cell."), "1")}</table>'
    assert body_of(table) == "a | 1\n\nOf a cell."
    html = page(section("1", f"Only{note('Of a heading.')}", para("Text.")))
    assert read_html(html)[2] == Section("1 Only", "Of a heading.\n\nText.")
    figure = f'<figure class="ltx_figure">{caption("figure", "1", "Lamps." + note("Of a caption."))}</figure>'
    assert read_html(page(section("1", "Only", figure)))[3] == Section("Figure 1", "Lamps.\n\nOf a caption.")


def test_paragraphs_apart_stay_apart_and_those_around_a_formula_stay_together():
    assert body_of(para("One.") + para("Two.")) == "One.\n\nTwo."
    assert body_of(para("One.", "Two.")) == "One.\n\nTwo."
    assert body_of(para("If", display("x=1", 1), "then") + para("Next.")) == "If x = 1 then\n\nNext."


def test_a_paper_without_sections_and_one_without_an_abstract_are_read():
    assert read_html(page(para("A letter.")))[-1] == Section("", "A letter.")
    plain = b"<html><body><h1>Lamps</h1><p>One.</p><h2>Oil</h2><ul><li>Two</li></ul></body></html>"
    assert read_html(plain) == (Section("Lamps", "One."), Section("Oil", "Two"))


def test_a_broken_page_is_read_as_far_as_it_goes():
    html = PAPER[: PAPER.index(b"Whale")] + b"Whale oil <b>not closed <math alttext='x"
    assert texts(read_html(html))["2.1 Oil"].startswith("Price. Oil is dear.\n\nWhale oil not closed")


def test_a_page_nested_very_deeply_is_read():
    deep = "<span>" * 200 + "deep" + "</span>" * 200
    assert body_of(para(deep) + para("After.")) == "deep\n\nAfter."
    absurd = "<span>" * 100_000 + "deep" + "</span>" * 100_000
    assert read_html(page(section("1", "Only", para(absurd))))[0].heading == "Title"


def test_other_encodings_are_read():
    html = "<html><head><meta charset='iso-8859-1'></head><body><p>Lämp</p></body></html>".encode("latin-1")
    assert read_html(html)[0].text == "Lämp"
    assert read_html("<p>램프</p>".encode("euc-kr"), "euc-kr")[0].text == "램프"
    assert read_html("<p>Lämp</p>".encode("latin-1"), "no-such-charset")[0].text == "Lämp"
    with pytest.raises(Unusable, match="empty"):
        read_html(b"")


# PDF.


def test_the_sections_of_a_pdf():
    sections = read_pdf(PDF)
    assert [section.heading for section in sections] == [
        "Title",
        "ABSTRACT",
        "1 INTRODUCTION",
        "Figure 1",
        "2 Results and Discussion",
        "Table 1",
        "2.1 Price of Oil",
        "A More Oil",
    ]
    text = Source(sections).text
    for gone in ("Author", "Oiler", "arXiv", "Survey", "Narrow Wicks\n", STAMP):
        assert gone not in text


def test_divided_words_are_joined_and_ligatures_resolved():
    introduction = texts(read_pdf(PDF))["1 INTRODUCTION"]
    assert "an efficient wick is a narrow one" in introduction
    assert "Our state-of-the-art wick needs" in introduction
    assert "with GPT-4 one can" in introduction
    assert "the first to do so" in introduction


def test_captions_and_rows_step_out_of_the_sentence_that_they_interrupt():
    parts = texts(read_pdf(PDF))
    assert "on every day of the week but one, and then it burns as long." in parts["2 Results and Discussion"]
    assert parts["Table 1"] == "Light of all lamps.\n\nWide 71.2 70.1 69.9\nNarrow 72.4 71.0 70.2"
    assert parts["Figure 1"].endswith("on every page of the book.")
    assert parts["1 INTRODUCTION"].endswith("It saves oil.")


def test_running_heads_and_page_numbers_are_left_out():
    assert texts(read_pdf(PDF))["A More Oil"] == "There is more oil in the cellar than on the shelf."


def test_a_numbered_list_and_a_row_are_no_headings():
    lines = [
        "1 Introduction",
        "We do three things:",
        "1. We narrow the wick",
        "2. We count the oil that is left in",
        "it.",
    ]
    lines += ["7 Llamas", "2 Results", "Fine.", "2 Lamps", "5 Conclusion", "Done."]
    headings = [section.heading for section in read_pdf(paper_pdf([lines]))]
    assert headings == ["1 Introduction", "2 Results"]


def test_a_paper_in_roman_numbers_with_its_abstract_in_one_line_is_read():
    lines = [
        "Lamps",
        "Abstract\u2014We save oil.",
        "I. INTRODUCTION",
        "Long ago.",
        "II. RELATED WORK",
        "None.",
        "REFERENCES",
        "X",
    ]
    parts = texts(read_pdf(paper_pdf([lines])))
    assert parts == {
        "Title": "Lamps",
        "Abstract": "We save oil.",
        "I. INTRODUCTION": "Long ago.",
        "II. RELATED WORK": "None.",
    }


def test_a_locked_pdf_is_of_no_use():
    from io import BytesIO

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(BytesIO(PDF)))
    writer.encrypt("secret", algorithm="RC4-128")
    file = BytesIO()
    writer.write(file)
    with pytest.raises(Unusable, match="cannot be opened"):
        read_pdf(file.getvalue())


def test_reading_pdfs_leaves_the_logging_of_others_alone():
    assert logging.getLogger("pypdf").level == logging.NOTSET
    assert logging.getLogger("pypdf").propagate


# Files, and the offsets of a source.


def test_files_of_every_kind_are_read(tmp_path):
    for name, content in {
        "a.html": PAPER,
        "b.HTM": PAPER,
        "c.pdf": PDF,
        "d.txt": b"\xef\xbb\xbfLamps.\r\n\r\nOil.\n",
    }.items():
        (tmp_path / name).write_bytes(content)
    assert read_file(tmp_path / "a.html") == Source(read_html(PAPER), "html")
    assert read_file(tmp_path / "b.HTM").sections == read_html(PAPER)
    assert read_file(str(tmp_path / "c.pdf")) == Source(read_pdf(PDF), "pdf")
    assert read_file(tmp_path / "d.txt") == Source((Section("", "Lamps.\n\nOil."),), "text")


def test_the_headings_of_a_markdown_file_open_sections(tmp_path):
    path = tmp_path / "paper.md"
    path.write_text(
        "Before.\n\n# Lamps #\n\nOne.\n```\n# no heading\n```\n## 2 Oil\n## Empty\n#hash\n", encoding="utf-8"
    )
    assert read_file(path).sections == (
        Section("", "Before."),
        Section("Lamps", "One.\n```\n# no heading\n```"),
        Section("2 Oil", ""),
        Section("Empty", "#hash"),
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.docx", b"x", r"give a \.html, \.pdf, \.txt or \.md file"),
        ("a.txt", b"\xff\xfe", r"not UTF-8 text \(byte 0\)"),
        ("a.txt", b" \n", "no text in it"),
        ("a.md", b"# Only a heading\n", "no text in it"),
        ("a.html", b"", "the HTML is empty"),
        ("a.html", NO_HTML, "could not make HTML"),
        ("a.pdf", b"no", "cannot be opened"),
        ("a.pdf", paper_pdf([[]]), "has no text"),
        ("missing.txt", None, "No such file"),
    ],
)
def test_a_file_that_is_of_no_use_is_named(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_file(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [PAPER, PDF])
def test_every_offset_of_the_text_leads_to_the_section_that_holds_it(content):
    source = Source(read_pdf(content) if content == PDF else read_html(content))
    for part in source.sections:
        if part.text:
            start = source.text.index(part.text)
            assert source.section_at(start) == part
            assert source.section_at(start + len(part.text) - 1) == part
            assert source.text[start : start + len(part.text)] == part.text
    assert source.section_at(0) == source.sections[0]
    assert source.section_at(len(source.text) - 1) == source.sections[-1]
    assert source.section_at(len(source.text)) is None
    assert Source(()).section_at(0) is None
    assert Source(()).text == ""

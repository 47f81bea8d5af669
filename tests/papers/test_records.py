"""The shipped pages, pages in files, languages, and the command `paperworks page`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from paperworks.errors import InputError
from paperworks.papers import Page, available_pages, load_page, parse_markdown, render_markdown
from paperworks.papers.commands import app


def run(*arguments: str, expect: int = 0) -> str:
    result = CliRunner().invoke(app, ["page", *arguments])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result.stdout


def test_the_shipped_page_is_found_by_its_date():
    dates = available_pages()
    assert "2024-08-22" in map(str, dates)
    assert load_page("2024-08-22") == load_page(dates[0])
    assert load_page("2024-8-22").papers[0].arxiv_id == "2408.11318"


def test_a_language_is_chosen_and_can_be_taken_back():
    page = load_page("2024-08-22")
    english = page.in_language("en")
    assert english.language == "en"
    assert english.papers[0].sections == page.papers[0].translations["en"]
    assert english.papers[0].translations["ko"] == page.papers[0].sections
    assert english.in_language("ko") == page
    with pytest.raises(InputError, match=r"'fr'.*ko, en"):
        page.in_language("fr")


def test_a_paper_that_lacks_the_translation_keeps_its_text_and_one_without_text_stays_without():
    record = load_page("2024-08-22").model_dump()
    record["papers"][0]["translations"] = {}
    record["papers"][1]["sections"] = None
    page = Page.model_validate(record)
    english = page.in_language("en")
    assert english.papers[0] == page.papers[0]
    assert english.papers[1].sections == page.papers[1].translations["en"]
    assert english.in_language("ko") == page


def test_a_page_without_a_recorded_language_says_so():
    with pytest.raises(InputError, match="not recorded"):
        parse_markdown("## Daily Papers (2024-01-02)").in_language("en")


def test_a_file_comes_back_from_json_and_markdown(tmp_path):
    page = load_page("2024-08-22")
    (tmp_path / "page.json").write_text(page.model_dump_json(indent=2), encoding="utf-8")
    assert load_page(tmp_path / "page.json") == page
    (tmp_path / "page.md").write_text("\ufeff" + render_markdown(page), encoding="utf-8")
    assert load_page(tmp_path / "page.md").papers[3].title == page.papers[3].title
    (tmp_path / "2024-05-06.md").write_text(
        "### [A](https://arxiv.org/abs/2405.00001)\n\n- x\n", encoding="utf-8"
    )
    assert str(load_page(tmp_path / "2024-05-06.md").date) == "2024-05-06"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("2024-99-99", None, "no date"),
        ("2031-01-01", None, "in the future"),
        ("2023-05-03", None, "the first is of 2023-05-04"),
        ("gone.md", None, "no such file"),
        ("letter.md", b"Dear all,\n", "letter.md: not a page"),
        ("empty.md", b"", "not a page"),
        ("picture.md", b"\x89PNG\r\n\x1a\n\xff", "not UTF-8"),
        ("zeros.md", b"\0\0", "binary"),
        ("list.json", b"[1, 2]", "list.json is not a page"),
        ("cut.json", b'{"date": "2024-08-22", "papers": [{"ti', "cut.json is not a page"),
        ("other.json", b'{"date": "2024-08-22", "papers": [{"title": "A", "vote": 3}]}', r"papers\.0\.vote"),
    ],
)
def test_what_is_no_page_is_refused_in_one_line_that_names_it(tmp_path, monkeypatch, name, content, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        run(name)
    assert "\n" not in str(caught.value)


def test_a_date_that_does_not_ship_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"2024-08-23.*2024-08-22"):
        load_page("2024-08-23")


def test_a_folder_is_no_page(tmp_path):
    with pytest.raises(InputError, match="directory"):
        run(str(tmp_path))


def test_the_command_writes_markdown_html_and_json(tmp_path):
    page = load_page("2024-08-22")
    assert run("2024-08-22") == render_markdown(page)
    assert run("2024-08-22", "--lang", "en") == render_markdown(page.in_language("en"))
    assert Page.model_validate(json.loads(run("2024-08-22", "--to", "json"))) == page
    assert '<html lang="en">' in run("2024-08-22", "--to", "html", "--lang", "en")
    out = tmp_path / "new" / "page.md"
    assert run("2024-08-22", "--out", str(out)) == ""
    assert out.read_text(encoding="utf-8") == render_markdown(page)
    assert [path.name for path in out.parent.iterdir()] == ["page.md"]
    assert run(str(out), "--strict") == render_markdown(page)


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(InputError, match=r"'xx'.*ko, en"):
        run("2024-08-22", "--lang", "xx")
    with pytest.raises(InputError, match="cannot write"):
        run("2024-08-22", "--out", "/proc/nowhere/page.md")
    letter = tmp_path / "page.md"
    letter.write_text("## Daily Papers (2024-01-02)\n\nHello.\n", encoding="utf-8")
    assert "Hello." in run(str(letter))
    with pytest.raises(InputError, match="line 3"):
        run(str(letter), "--strict")
    run("2024-08-22", "--to", "pdf", expect=2)


def test_the_help_has_an_example_and_importing_the_command_is_light():
    assert "paperworks page 2024-08-22" in run("--help")
    code = (
        "import sys, paperworks.papers.commands\n"
        "assert not {'pydantic', 'jinja2', 'markdown_it', 'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

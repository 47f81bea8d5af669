"""The static site as files; tests/papers/test_site_browser.py looks at it in a browser."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib import resources
from pathlib import Path

import pytest
from lxml import etree
from site_pages import EVIL, read_index, small_pages, write_pages
from test_html import Document, record

from paperworks.errors import InputError
from paperworks.papers import Page, Paper, load_page, parse_markdown, render_markdown
from paperworks.papers.feed import NEWEST, NOWHERE
from paperworks.papers.search import index_script, terms_of
from paperworks.papers.site import build_site, find_pages

ATOM = "{http://www.w3.org/2005/Atom}"
# `dist/umd/index.js` and `LICENSE.txt` of `npm pack minisearch@7.2.0`
MINISEARCH = {
    "minisearch.js": "03c27931eb603af1d3358579e9885eafdb6a2f5fa9929557b3e77d7e99d06d03",
    "minisearch.LICENSE.txt": "70d37354d6395629fb99edb28cb37a5d356ffa24a48cd02a5def5b83a300a899",
}
SHARED = Path(os.environ.get("PAPERWORKS_SHARED_PAGES", Path(__file__).parents[2].parent / "shared/pages"))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_pages(folder / "pages", small_pages())
    report = build_site(
        folder / "pages", folder / "out", title="My <papers>", base_url="https://example.org/papers"
    )
    assert (report.days, report.papers, report.written, report.removed) == (4, 18, 9, 0)
    return folder / "out"


def files_of(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_a_site_is_a_page_a_day_an_index_a_feed_and_a_search_index(site):
    assert sorted(files_of(site)) == [
        *(".site.json", "2024/07/01.html", "2024/07/02.html", "2024/08/22.html", "2024/08/23.html"),
        *("feed.xml", "index.html", "minisearch.LICENSE.txt", "minisearch.js", "search-index.js"),
    ]


def test_every_link_within_the_site_leads_to_a_file_and_an_anchor_that_is_there(site):
    documents = {path: Document(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    ids = {path: {a["id"] for _, a in document.elements if "id" in a} for path, document in documents.items()}
    for path, document in documents.items():
        for tag, attributes in document.elements:
            address = attributes.get("href") or "" if tag in ("a", "link") else ""
            if not address or re.match(r"\w+:", address):
                continue
            name, _, anchor = address.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), (path, address)
            assert not anchor or anchor == "q=" or anchor in ids[target], (path, address)


def test_a_day_leads_to_the_days_beside_it(site):
    links = {
        (a.get("rel"), a["href"])
        for a in Document((site / "2024/07/02.html").read_text()).all("a")
        if a.get("rel")
    }
    assert links == {("prev", "../../2024/07/01.html"), ("next", "../../2024/08/22.html")}
    for path, rel in (("2024/07/01.html", "next"), ("2024/08/23.html", "prev")):
        assert {a["rel"] for a in Document((site / path).read_text()).all("a") if a.get("rel")} == {rel}


def test_the_index_has_the_months_newest_first_with_the_most_voted_titles(site):
    html = (site / "index.html").read_text(encoding="utf-8")
    document = Document(html)
    assert re.findall(r'<h2><time datetime="([\d-]+)"', html) == ["2024-08", "2024-07"]
    days = [a["href"] for a in document.all("a") if a.get("class") == "date"]
    assert days == [f"2024/{day}.html" for day in ("08/23", "08/22", "07/02", "07/01")]
    titles = [a["href"] for a in document.all("a") if a.get("lang") == "en"]
    assert titles[-5:] == [
        *("2024/07/02.html#2407.00002", "2024/07/02.html#2407.00001", "2024/07/02.html#2407.00001-2"),
        *("2024/07/01.html#2407.00002", "2024/07/01.html#2407.00001"),
    ]
    assert "18편" in document.text()
    assert "2024년 8월" in document.text()


def test_hostile_texts_are_escaped_in_every_file(site):
    for path in site.rglob("*"):
        if path.suffix in (".html", ".xml", ".js"):
            assert EVIL not in path.read_text(encoding="utf-8"), path
    for path in site.rglob("*.html"):
        document = Document(path.read_text(encoding="utf-8"))
        assert len(document.all("script")) == 1
        assert all(
            a.get("href", "").split(":")[0] in ("https", "http")
            for a in document.all("a")
            if ":" in a["href"]
        )
    assert EVIL in Document((site / "index.html").read_text(encoding="utf-8")).text()


def test_a_title_cannot_leave_the_script_of_the_index(tmp_path):
    build_site(small_pages(), tmp_path, title="</script><script>self.hacked = 1</script>")
    assert len(Document((tmp_path / "index.html").read_text(encoding="utf-8")).all("script")) == 1


def test_the_feed_is_atom_with_stable_ids_and_absolute_links(site):
    feed = etree.fromstring((site / "feed.xml").read_bytes())
    assert feed.tag == f"{ATOM}feed"
    for element in (feed, *feed.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1, name
        datetime.datetime.fromisoformat(element.findtext(f"{ATOM}updated"))
        assert all(
            link.get("href").startswith("https://example.org/papers/")
            for link in element.findall(f"{ATOM}link")
        )
    assert feed.findtext(f"{ATOM}title") == "My <papers>"
    assert feed.find(f"{ATOM}author/{ATOM}name").text
    assert {link.get("rel") for link in feed.findall(f"{ATOM}link")} == {"self", "alternate"}
    ids = [entry.findtext(f"{ATOM}id") for entry in feed.findall(f"{ATOM}entry")]
    assert ids == [
        f"https://example.org/papers/2024/{day}.html" for day in ("08/23", "08/22", "07/02", "07/01")
    ]
    content = feed.findall(f"{ATOM}entry/{ATOM}content")[-1]
    assert content.get("type") == "html"
    inner = Document(content.text)
    assert [a["href"] for a in inner.all("a")] == [f"{ids[-1]}#2407.00001", f"{ids[-1]}#2407.00002"]
    assert not inner.all("script")
    assert "언어모델을 기상 예보에 씁니다. 바람의 세기를" in inner.text()


def test_a_feed_without_an_address_and_with_more_days_than_it_holds(tmp_path):
    pages = [
        Page(
            date=datetime.date(2024, 1, 1) + datetime.timedelta(day),
            papers=[Paper(title="Odd \uffff\x85 title")],
        )
        for day in range(NEWEST + 3)
    ]
    build_site(pages, tmp_path)
    feed = etree.fromstring((tmp_path / "feed.xml").read_bytes())
    ids = [entry.findtext(f"{ATOM}id") for entry in feed.findall(f"{ATOM}entry")]
    assert len(ids) == NEWEST
    assert ids[0] == f"{NOWHERE}2024/02/22.html"
    assert feed.findtext(f"{ATOM}updated").startswith("2024-02-22T00:00:00")


def test_building_again_writes_only_what_has_changed(tmp_path):
    pages, out = small_pages(), tmp_path / "out"
    build_site(pages, out)
    (tmp_path / "out/own.html").write_text("mine")
    before = files_of(out)
    report = build_site(pages, out)
    assert (report.written, report.unchanged, report.removed) == (0, 9, 0)
    after = files_of(out)
    assert after == before
    pages[1].papers[0].votes = 99
    build_site(pages, out)
    changed = {name for name, time in files_of(out).items() if time != before[name]}
    assert changed == {"2024/07/02.html", "index.html", "search-index.js", "feed.xml"}


def test_a_day_that_is_gone_is_removed_and_nothing_that_the_site_did_not_make(tmp_path):
    out = tmp_path / "out"
    build_site(small_pages(), out)
    (out / "2024/07/mine.html").write_text("mine")
    (tmp_path / "outside.html").write_text("mine")
    listed = json.loads((out / ".site.json").read_text())
    listed["files"] += ["../outside.html", "never/there.html"]
    (out / ".site.json").write_text(json.dumps(listed))
    report = build_site(small_pages()[:1], out)
    assert report.removed == 3
    assert sorted(files_of(out)) == [
        *(".site.json", "2024/07/01.html", "2024/07/mine.html", "feed.xml", "index.html"),
        *("minisearch.LICENSE.txt", "minisearch.js", "search-index.js"),
    ]
    assert (tmp_path / "outside.html").is_file()
    assert not (out / "2024/08").exists()


def test_the_index_of_someone_else_is_not_overwritten(tmp_path):
    (tmp_path / "index.html").write_text("<p>My home page")
    with pytest.raises(InputError, match="was not made by paperworks"):
        build_site(small_pages(), tmp_path)
    assert sorted(files_of(tmp_path)) == ["index.html"]


def test_a_list_of_files_that_is_lost_or_broken_does_not_stop_a_build(tmp_path):
    build_site(small_pages(), tmp_path)
    (tmp_path / ".site.json").write_text("{")
    assert build_site(small_pages(), tmp_path).written == 0


def test_pages_are_found_in_trees_and_by_name_and_a_record_goes_before_its_markdown(tmp_path):
    pages = small_pages()
    write_pages(tmp_path, pages[:1])
    (tmp_path / "2024-07-01.md").write_text("## Daily Papers (2024-07-01)\n\n### [Old](https://x.org)\n")
    (tmp_path / "2024-07-02.md").write_text(render_markdown(pages[1]))
    for name in ("README.md", ".sent.json", "2024-13-01.md", "notes/2024-1-1.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not a page")
    found = find_pages(tmp_path)
    assert [(str(date), path.relative_to(tmp_path).as_posix()) for date, path in found.items()] == [
        ("2024-07-01", "2024/07/01.json"),
        ("2024-07-02", "2024-07-02.md"),
    ]


def test_a_day_without_papers_has_no_page(tmp_path):
    report = build_site([*small_pages(), Page(date=datetime.date(2024, 8, 24))], tmp_path)
    assert report.days == 4
    assert not (tmp_path / "2024/08/24.html").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("2024/01/02.json", "{}", ("01", "02.json", "date")),
        ("2024/01/02.json", '{"date": "2024-01-03", "papers": []}', ("2024-01-03", "02.json", "date")),
        ("2024-01-02.md", "nothing", ("2024-01-02.md",)),
        ("2024/01/02.json", '{"date": "2024-01-02", "papers": []}', ("no papers",)),
        ("notes.md", "nothing", ("no pages", "2024-08-22.md")),
    ],
)
def test_a_folder_that_makes_no_site_is_one_line_and_nothing_written(name, text, words, tmp_path):
    path = tmp_path / "pages" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        build_site(tmp_path / "pages", tmp_path / "out")
    assert all(word in str(caught.value) for word in words), caught.value
    assert not (tmp_path / "out").exists()


def test_two_pages_of_a_day_are_refused(tmp_path):
    pages = small_pages()
    with pytest.raises(InputError, match="two pages of 2024-07-01"):
        build_site([pages[0], pages[0]], tmp_path)
    for name in ("2024-07-01.md", "old/2024-07-01.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(render_markdown(pages[0]))
    with pytest.raises(InputError, match="two pages of 2024-07-01"):
        find_pages(tmp_path)


@pytest.mark.parametrize(
    "address", ["example.org", "ftp://example.org", "https://", "https://a.org/?x", "https://a b"]
)
def test_an_address_that_is_none_is_refused(address, tmp_path):
    with pytest.raises(InputError, match="no address of a site"):
        build_site(small_pages(), tmp_path / "out", base_url=address)


def test_a_measured_paper_shows_its_claims_and_its_command(tmp_path):
    evidence = tmp_path / "out/2024-08-22"
    (evidence / "evidence").mkdir(parents=True)
    (evidence / "figures").mkdir()
    (evidence / "figures/curve.png").write_bytes(b"\x89PNG")
    (evidence / "evidence/a.json").write_text(json.dumps(record()))
    listed = {"claims": [{"evidence": "evidence/a.json"}, {"evidence": None}]}
    (evidence / "summary.json").write_text(json.dumps(listed))
    commands = {"2408.08793": "paperworks backward-compatible --help"}
    build_site(small_pages(), tmp_path / "site", evidence=evidence, commands=commands)
    text = Document((tmp_path / "site/2024/08/22.html").read_text(encoding="utf-8")).text()
    for part in ("97.12 ± 0.41 %", "성립", "paperworks backward-compatible --help", "curve.png"):
        assert part in text or part == "curve.png"
    assert "data:image/png" in (tmp_path / "site/2024/08/22.html").read_text(encoding="utf-8")
    assert "여기서 측정" not in (tmp_path / "site/2024/07/01.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="paperworks reproduce"):
        build_site(small_pages(), tmp_path / "site", evidence=tmp_path / "nowhere")


def test_the_interface_and_the_texts_are_english_where_asked(tmp_path):
    build_site(small_pages(), tmp_path, language="en")
    index = Document((tmp_path / "index.html").read_text(encoding="utf-8")).text()
    assert "August 2024" in index
    assert "18 papers" in index
    day = Document((tmp_path / "2024/08/22.html").read_text(encoding="utf-8")).text()
    assert "All days" in day
    english = load_page("2024-08-22").in_language("en").papers[0].sections["What's New"]
    assert " ".join(english.split())[:60] in day


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("모델을 모델은 모델 모델들의", ["모델"] * 4),
        ("평가 평가를 평가에서는", ["평가"] * 3),
        ("제안합니다 제안하는 제안한", ["제안"] * 3),
        ("LLM을 GPT-4 2.5B", ["llm", "을", "gpt", "4", "2", "5b"]),
        ("Müller’s naïve ﬁt Ｆｕｌｌ", ["muller", "s", "naive", "fit", "full"]),
        ("日本語の論", ["日本", "本語", "語の", "の論"]),
        ("図 snake_case ½", ["図", "snake", "case", "1", "2"]),
        ("--- ", []),
    ],
)
def test_the_terms_of_a_text(text, terms):
    assert terms_of(text) == terms


def test_the_search_index_holds_every_word_of_every_paper_and_no_other():
    pages = small_pages()[::-1]
    papers = [paper for page in pages for paper in page.papers]
    shown, terms = read_index(index_script(pages))
    assert shown["titles"] == [paper.title for paper in papers]
    assert shown["authors"] == [paper.authors for paper in papers]
    assert shown["votes"] == [paper.votes for paper in papers]
    assert [date for date, count in shown["days"] for _ in range(count)] == [
        str(page.date) for page in pages for _ in page.papers
    ]
    assert list(terms) == sorted(terms, key=lambda term: (len(terms[term]), term.encode("utf-16-be")))
    for number, paper in enumerate(papers):
        texts = [*(paper.sections or {}).values(), *paper.bullets, *paper.unplaced]
        words = set(terms_of("\n".join(texts)))
        title, authors = set(terms_of(paper.title)), set(terms_of(" ".join(paper.authors)))
        have = {term: postings[number] for term, postings in terms.items() if number in postings}
        assert have == {
            term: (term in title) + 2 * (term in authors) + 4 * (term in words)
            for term in title | authors | words
        }


def test_the_search_index_takes_terms_of_any_length_and_script():
    odd = ["x" * 300, "x" * 299 + "y", "𝔸𝕓", "\U00010330\U00010331", "\U00010330\U00010332", "ﷺ", "가" * 200]
    papers = [Paper(title=f"{word} {number}") for number, word in enumerate(odd)]
    shown, terms = read_index(index_script([Page(date=datetime.date(2024, 1, 1), papers=papers)]))
    for number, paper in enumerate(papers):
        assert all(number in terms[term] for term in terms_of(paper.title))
    assert len(shown["titles"]) == len(odd)


def test_the_bytes_of_many_numbers_are_kept_apart():
    papers = [Paper(title="common" + " rare" * (number in (0, 700))) for number in range(701)]
    _, terms = read_index(index_script([Page(date=datetime.date(2024, 1, 1), papers=papers)]))
    assert terms == {"rare": {0: 1, 700: 1}, "common": dict.fromkeys(range(701), 1)}


@pytest.mark.parametrize("name", MINISEARCH)
def test_the_search_library_is_the_package_of_npm_byte_for_byte(name, site):
    shipped = resources.files("paperworks.papers").joinpath("templates", name).read_bytes()
    assert hashlib.sha256(shipped).hexdigest() == MINISEARCH[name]
    assert (site / name).read_bytes() == shipped


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared pages on this machine")
def test_the_shared_pages_make_a_site(tmp_path):
    report = build_site(SHARED, tmp_path)
    assert report.days == len(list(SHARED.glob("*.md")))
    for path in SHARED.glob("*.md"):
        page = parse_markdown(path.read_text(encoding="utf-8"))
        html = (tmp_path / f"{page.date:%Y/%m/%d}.html").read_text(encoding="utf-8")
        assert len(Document(html).all("article")) == len(page.papers)
    etree.fromstring((tmp_path / "feed.xml").read_bytes())


def paperworks(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paperworks", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_the_command_builds_a_site_and_says_what_it_did(tmp_path):
    write_pages(tmp_path / "pages", small_pages())
    done = paperworks("site", "build", "--json", "--title", "Mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["days"], report["written"]) == (4, 9)
    assert "paperworks backward-compatible --help" in (tmp_path / "site/2024/08/22.html").read_text(
        encoding="utf-8"
    )
    assert "<title>Mine</title>" in (tmp_path / "site/index.html").read_text(encoding="utf-8")
    again = paperworks("site", "build", cwd=tmp_path)
    assert again.stdout.strip() == "site/index.html"
    assert "4 days, 18 papers" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("site", "build"), ("pages", "no such folder")),
        (("site", "serve"), ("no site", "paperworks site build")),
        (("send", "slack"), ("pages", "no such folder")),
        (("send", "file", "2024-08-23"), ("2024-08-23",)),
        (("send", "email", "2024-08-22", "--to", "a@b.org"), ("SMTP_FROM",)),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words, tmp_path):
    done = paperworks(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_site_is_served_on_this_machine_alone(tmp_path):
    build_site(small_pages(), tmp_path / "site")
    command = [sys.executable, "-m", "paperworks", "site", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
            with urllib.request.urlopen(f"{address}2024/07/01.html", timeout=10) as answer:
                assert answer.read() == (tmp_path / "site/2024/07/01.html").read_bytes()
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 130


def test_a_port_in_use_is_one_line(tmp_path):
    build_site(small_pages(), tmp_path / "site")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = paperworks("site", "serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert done.returncode == 2
    assert "choose another with --port" in done.stderr


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("document", ["daily.md", "examples/daily.yml"])
def test_every_command_of_the_card_and_of_the_workflow_exists_with_its_options(document):
    text = (DOCS / document).read_text(encoding="utf-8")
    lines = re.findall(r"(?:^ *|&& |`)(paperworks (?:page|site|send)[^\n`&]*)", text, re.M)
    assert len(lines) >= 4
    options: dict[tuple[str, ...], set[str]] = {}
    for line in lines:
        words = tuple(re.match(r"paperworks (page|(?:site|send) \w+)", line)[1].split())
        if words not in options:
            done = paperworks(*words, "--help", env={**os.environ, "COLUMNS": "200"})
            assert done.returncode == 0, line
            options[words] = set(re.findall(r"--[\w-]+", done.stdout))
        assert set(re.findall(r"(?<!\S|\+)--[\w-]+|(?<=\+)--[\w-]+", line)) <= options[words], line


def test_the_workflow_is_yaml_with_a_schedule_and_keeps_secrets_out_of_its_commands():
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((DOCS / "examples/daily.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"]
    steps = workflow["jobs"]["page"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert all("secrets." not in run for run in runs)
    assert [run.split()[:2] for run in runs if run.startswith("paperworks")] == [
        ["paperworks", "page"],
        ["paperworks", "site"],
        ["paperworks", "send"],
        ["paperworks", "send"],
    ]
    assert all("uses" in step or "run" in step for step in steps)

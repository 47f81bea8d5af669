"""The page of a day, from the list to the record, against real servers on loopback: the Hub, arXiv and a model."""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from llm_server import LlmServer, fails, says, summarizes
from servers import Reply, Site, hub_entry, hub_list

from paperworks.cli import main
from paperworks.errors import InputError
from paperworks.papers import load_page, render_html, render_markdown
from paperworks.papers.day import make_day, record_path
from paperworks.papers.endpoint import EndpointOptions, EndpointSummarizer
from paperworks.papers.extractive import ExtractiveSummarizer
from paperworks.papers.web import Web

DAY = datetime.date(2024, 8, 21)
BODY = (
    "We propose Lamp {n}, a language model of 34 billion parameters that keeps its light. Unlike earlier lamps it never "
    "flickers.",
    "The model consists of 48 layers and was trained on 2.1 trillion tokens for 46 days on 512 GPUs.",
    "On LampBench it reaches 61.{n} points and outperforms the baseline, which has 57.3, while it uses 21.7% less oil.",
)


def paper_html(n: int) -> Reply:
    parts = "".join(
        f'<section class="ltx_section"><h2 class="ltx_title ltx_title_section">{number} {heading}</h2>'
        f'<div class="ltx_para"><p class="ltx_p">{text.format(n=n)}</p></div></section>'
        for number, (heading, text) in enumerate(
            zip(("Introduction", "Method", "Results"), BODY, strict=True), 1
        )
    )
    filler = "The lamp stands on a table and the table stands on the floor of the room. " * 30
    abstract = (
        f'<div class="ltx_abstract"><p class="ltx_p">{BODY[0].format(n=n)} {BODY[2].format(n=n)}</p></div>'
    )
    text = (
        f'<html><body><article class="ltx_document"><h1 class="ltx_title ltx_title_document">Lamp Number {n}</h1>'
        f'{abstract}{parts}<div class="ltx_para"><p class="ltx_p">{filler}</p></div></article></body></html>'
    )
    return Reply(text.encode())


@pytest.fixture
def site():
    with Site() as server:
        server.pages["/api/daily_papers"] = hub_list([hub_entry(n, votes=10 - n) for n in range(1, 4)])
        for n in range(1, 4):
            server.pages[f"/html/2408.{n:05d}"] = [paper_html(n)]
        yield server


def web(tmp_path, **changes) -> Web:
    return Web(tmp_path / "cache", intervals={}, backoff=0.01, **changes)


def make(site, tmp_path, summarizer=None, *, cached=True, **changes):
    with web(tmp_path) if cached else Web(None, intervals={}) as client:
        return make_day(
            DAY,
            web=client,
            summarizer=summarizer or ExtractiveSummarizer(),
            pages=tmp_path / "pages",
            hub_url=site.url,
            arxiv_url=site.url,
            **changes,
        )


def test_a_day_is_made_in_the_order_of_the_list_with_every_figure_founded(site, tmp_path):
    report = make(site, tmp_path)
    papers = report.page.papers
    assert [paper.arxiv_id for paper in papers] == ["2408.00001", "2408.00002", "2408.00003"]
    assert [paper.votes for paper in papers] == [9, 8, 7]
    assert papers[0].authors == ["Zoe Adler", "Ana Młynarz", "Bo Lee"]
    for number, paper in enumerate(papers, 1):
        assert paper.provenance.summarizer == "extractive"
        assert paper.provenance.text == "html"
        assert paper.figures
        assert all(figure.verdict == "found" for figure in paper.figures)
        assert f"61.{number}" in paper.sections["Performance Highlights"]
        for figure in paper.figures:
            assert paper.sections[figure.section][figure.start : figure.end] == figure.text
    assert load_page(record_path(tmp_path / "pages", DAY)) == report.page


def test_running_again_does_nothing_twice_but_updates_the_votes(site, tmp_path):
    make(site, tmp_path)
    asked = len(site.requests)
    site.pages["/api/daily_papers"] = hub_list([hub_entry(n, votes=20 * n) for n in range(1, 4)])
    report = make(site, tmp_path, cached=False)
    assert len(report.kept) == 3
    assert [paper.votes for paper in report.page.papers] == [60, 40, 20]
    assert [request.path for request in site.requests[asked:]] == ["/api/daily_papers"]
    markdown = render_markdown(report.page)
    assert (markdown.count("## Daily Papers"), markdown.count("### [Lamp Number")) == (1, 3)


def test_a_paper_that_cannot_be_had_stays_in_its_place_with_the_reason_and_is_tried_again(site, tmp_path):
    site.pages["/html/2408.00002"] = [Reply(b"gone", 404)]
    site.pages["/api/daily_papers"] = hub_list(
        [hub_entry(n, votes=10 - n, **({"summary": ""} if n == 2 else {})) for n in range(1, 4)]
    )
    report = make(site, tmp_path)
    failed = report.page.papers[1]
    assert failed.arxiv_id == "2408.00002"
    assert failed.sections is None
    assert failed.provenance.problem
    assert failed.provenance.problem in render_html(report.page, language="en")
    assert "No summary" in render_markdown(report.page.model_copy(update={"language": "en"}))
    site.pages["/html/2408.00002"] = [paper_html(2)]
    again = make(site, tmp_path, cached=False)
    assert again.made == ["2408.00002"]
    assert again.page.papers[1].sections


def test_without_full_text_the_abstract_is_read_and_the_page_says_so(site, tmp_path):
    site.pages = {"/api/daily_papers": hub_list([hub_entry(1, votes=1, summary=" ".join(BODY).format(n=1))])}
    report = make(site, tmp_path)
    assert report.page.papers[0].provenance.text == "abstract"
    assert "from the abstract alone" in render_html(report.page, language="en")


def test_a_day_without_papers_is_said_to_be_one(site, tmp_path):
    site.pages["/api/daily_papers"] = hub_list([])
    with pytest.raises(InputError, match="no papers on the list of 2024-08-21, a Wednesday"):
        make(site, tmp_path)
    assert not record_path(tmp_path / "pages", DAY).exists()


def endpoint(server: LlmServer) -> EndpointSummarizer:
    return EndpointSummarizer(EndpointOptions(model="tiny", url=server.url, timeout=5, retries=0))


TOLD = {
    "whats_new": "Lamp은 340억 파라미터의 언어 모델이다.",
    "technical_details": "48개 층을 2.1조 토큰으로 46일 동안 학습했다.",
    "performance_highlights": "LampBench에서 61.1점으로 기준 모델의 57.3점보다 3.8점 높다.",
}


def test_an_invented_figure_is_sent_back_once_and_the_corrected_summary_is_kept(site, tmp_path):
    site.pages["/api/daily_papers"] = hub_list([hub_entry(1)])
    wrong = {**TOLD, "whats_new": "Lamp은 34억 파라미터의 언어 모델이다."}
    with LlmServer(summarizes(wrong), summarizes(TOLD)) as model:
        report = make(site, tmp_path, endpoint(model))
        assert len(model.requests) == 2
        assert "34억" in model.asked(1)
    (paper,) = report.page.papers
    assert paper.provenance.repaired
    assert {figure.verdict for figure in paper.figures} == {"found", "derived"}
    assert report.page.language == "ko"


def test_what_stays_unfounded_is_marked_on_the_page_and_counted(site, tmp_path):
    site.pages["/api/daily_papers"] = hub_list([hub_entry(1)])
    wrong = {**TOLD, "whats_new": "Lamp은 34억 파라미터의 언어 모델이다."}
    with LlmServer(summarizes(wrong)) as model:
        report = make(site, tmp_path, endpoint(model))
        assert len(model.requests) == 2
    html = render_html(report.page, language="ko")
    assert '<a class="doubt" href="#2408.00001-figure-0">' in html
    assert 'id="2408.00001-figure-0"' in html
    assert "6/7" in html
    assert "34억 파라미터" in html
    assert "6/7" in render_markdown(report.page)


def test_a_refusal_a_timeout_and_nonsense_are_reasons_on_the_page(site, tmp_path):
    site.pages["/api/daily_papers"] = hub_list([hub_entry(n, votes=10 - n) for n in range(1, 4)])
    turns = [summarizes(TOLD), says(None, refusal="I cannot help with lamps."), fails(500, "out of order")]
    with LlmServer(*turns) as model:
        report = make(site, tmp_path, endpoint(model), concurrency=1)
    assert len(report.made) == 1
    assert len(report.failed) == 2
    assert "cannot help with lamps" in "\n".join(report.failed.values())
    assert len(report.page.papers) == 3


def test_a_wrong_key_stops_the_run_and_keeps_what_was_there(site, tmp_path):
    make(site, tmp_path, limit=1)
    before = record_path(tmp_path / "pages", DAY).read_text()
    with LlmServer(fails(401, "wrong key")) as model, pytest.raises(InputError, match="key"):
        make(site, tmp_path, endpoint(model))
    after = load_page(record_path(tmp_path / "pages", DAY))
    assert after.papers[0].sections == load_page_text(before).papers[0].sections


def load_page_text(text: str):
    from paperworks.papers import Page

    return Page.model_validate_json(text)


def test_papers_are_worked_on_side_by_side_as_the_concurrency_says(site, tmp_path):
    site.pages["/api/daily_papers"] = hub_list([hub_entry(n, votes=50 - n) for n in range(1, 13)])
    for n in range(4, 13):
        site.pages[f"/html/2408.{n:05d}"] = [paper_html(n % 10)]
    good = {**TOLD, "performance_highlights": "기준 모델의 점수는 57.3점이다."}
    with LlmServer(summarizes(good, wait=0.4)) as model:
        start = time.monotonic()
        report = make(site, tmp_path, endpoint(model), concurrency=6)
        seconds = time.monotonic() - start
        assert model.most_at_once == 6
    assert len(report.made) == 12
    assert seconds < 12 * 0.4


SCRIPT = """
import sys
from paperworks.cli import main
main(sys.argv[1:])
"""


def arguments(site, tmp_path, *more: str) -> list[str]:
    places = ["--pages", str(tmp_path / "pages"), "--cache", str(tmp_path / "cache"), "--interval", "0"]
    return ["page", str(DAY), "--hub-url", site.url, "--arxiv-url", site.url, *places, *more]


def test_killed_in_the_middle_and_run_again_the_page_is_that_of_an_uninterrupted_run(site, tmp_path):
    slow = Reply(paper_html(3).body, wait=20.0)
    site.pages["/html/2408.00003"] = [paper_html(3), slow, paper_html(3)]
    whole = make(site, tmp_path / "whole").page
    command = [sys.executable, "-c", SCRIPT, *arguments(site, tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = record_path(tmp_path / "pages", DAY)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and len(load_page(path).papers) == 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(load_page(path).papers) == 2
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert load_page(path) == whole


def test_two_runs_at_once_take_turns_and_do_the_work_once(site, tmp_path):
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(make(site, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(report.made) for report in reports) == [0, 3]
    assert reports[0].page == reports[1].page


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return stopped.value.code or 0


def test_the_command_makes_the_page_and_says_what_it_did(site, tmp_path, capsys):
    assert run(*arguments(site, tmp_path, "--to", "json")) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["papers"]) == 3
    assert "3 papers new, 0 kept, 0 without a summary" in printed.err.replace("\n", " ")
    assert (
        run(*arguments(site, tmp_path, "--to", "html", "--lang", "en", "--out", str(tmp_path / "p.html")))
        == 0
    )
    assert "Extractive summary" in (tmp_path / "p.html").read_text()
    assert "0 papers new, 3 kept" in capsys.readouterr().err.replace("\n", " ")


def test_a_dry_run_prints_tokens_and_price_and_calls_no_model(site, tmp_path, capsys):
    with LlmServer(summarizes(TOLD)) as model:
        options = (
            "--llm-url",
            model.url,
            "--model",
            "tiny",
            "--price-in",
            "1",
            "--price-out",
            "2",
            "--dry-run",
        )
        assert run(*arguments(site, tmp_path, *options)) == 0
        assert model.requests == []
    assert "2408.00001" in capsys.readouterr().out
    assert not (tmp_path / "pages").exists()


def test_a_list_that_cannot_be_had_is_bad_luck_said_in_one_line(tmp_path, capsys):
    with Site() as empty:
        assert run(*arguments(empty, tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot fetch" in error


@pytest.mark.parametrize("date", ["2031-01-01", "2023-05-03", "2024-02-30"])
def test_a_date_that_cannot_have_a_list_is_refused_before_anything_is_asked(date, site, tmp_path, capsys):
    words = arguments(site, tmp_path)
    words[1] = date
    assert run(*words) == 2
    assert site.requests == []
    assert date in capsys.readouterr().err


def test_catching_up_makes_every_day_and_skips_those_without_papers(site, tmp_path, capsys):
    today = datetime.datetime.now(datetime.UTC).date()
    first = today - datetime.timedelta(days=2)
    listed = hub_list([hub_entry(1, votes=1)])
    site.pages["/api/daily_papers"] = lambda request: (
        hub_list([])(request) if request.query["date"] == str(first) else listed(request)
    )
    words = arguments(site, tmp_path, "--since", str(first))
    del words[1]
    assert run(*words) == 0
    assert not record_path(tmp_path / "pages", first).exists()
    assert len(load_page(record_path(tmp_path / "pages", today)).papers) == 1
    assert "no papers on the list" in capsys.readouterr().err.replace("\n", " ")


def test_the_check_command_prints_json_and_its_status_says_whether_all_is_founded(tmp_path, capsys):
    (tmp_path / "paper.txt").write_text(" ".join(BODY).format(n=1))
    (tmp_path / "good.md").write_text("340억 파라미터, 48개 층.")
    (tmp_path / "bad.md").write_text("34억 파라미터, 48개 층.")
    assert run("check", str(tmp_path / "good.md"), "--source", str(tmp_path / "paper.txt"), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["found"], printed["all"], printed["contradictions"]) == (2, 2, [])
    keys = ["text", "start", "end", "value", "unit", "verdict", "source_start", "source_text", "note"]
    assert list(printed["figures"][0]) == keys
    assert run("check", str(tmp_path / "bad.md"), "--source", str(tmp_path / "paper.txt")) == 1
    assert "34억" in capsys.readouterr().out
    assert run("check", str(tmp_path / "good.md")) == 0
    assert run("check", str(tmp_path / "none.md")) == 2
    (tmp_path / "self.md").write_text("7B 모델은 7억 개의 파라미터를 가진다.")
    assert run("check", str(tmp_path / "self.md")) == 1

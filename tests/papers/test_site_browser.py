"""The site in a real browser: search, keyboard, colours, and what it asks of the network."""

from __future__ import annotations

import datetime
import re
import shutil
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from site_pages import EVIL, small_pages, write_pages

from paperworks.papers import Page, Paper
from paperworks.papers.publish_commands import site_server
from paperworks.papers.search import folded, terms_of
from paperworks.papers.site import build_site

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e366"
    "0000000049454e44ae426082"
)
ZEPHYR = "Zephyr: Müller's Winds, Forecast"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_pages(folder / "pages", small_pages())
    build_site(folder / "pages", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def origins(folder):
    server = site_server(folder, 0)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield {"file": folder.as_uri() + "/", "http": f"http://127.0.0.1:{server.server_address[1]}/"}
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Visit:
    """A page of the site in a context of its own; thumbnails are answered here, every other foreign request fails."""

    def __init__(self, browser, root: str, **options) -> None:
        self.root = root
        self.problems: list[str] = []
        self.thumbnails: list[str] = []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(5000)
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        self.context.route(re.compile(""), self.answer)

    def answer(self, route) -> None:
        address = route.request.url
        if address.startswith(self.root):
            route.continue_()
        elif route.request.resource_type == "image" and address.startswith("https://"):
            self.thumbnails.append(address)
            route.fulfill(body=PIXEL, content_type="image/png")
        else:
            self.problems.append(f"asks for {address}")
            route.abort()

    def go(self, path: str = "index.html") -> Visit:
        self.page.goto(self.root + path)
        return self

    def ask(self, text: str) -> list[str]:
        """The titles found for `text`, which is typed over what the box holds."""
        self.page.fill("#query", "")
        self.page.locator("#query").press_sequentially(text)
        self.page.wait_for_function("document.body.classList.contains('searching')")
        return self.page.locator("#hits a").all_text_contents()


@pytest.fixture
def visit(browser, origins):
    visits: list[Visit] = []

    def begin(origin: str = "file", path: str = "index.html", **options) -> Visit:
        visits.append(Visit(browser, origins[origin], **options))
        return visits[-1].go(path)

    yield begin
    for made in visits:
        made.context.close()
        assert made.problems == []


QUERIES = {
    "forecast zephyr": ZEPHYR,
    "muller": ZEPHYR,
    "Jürgen Müll": ZEPHYR,
    "김철수": ZEPHYR,
    "hopper ada": ZEPHYR,
    "예보를": ZEPHYR,
    "방법론": ZEPHYR,
    "zonal-mean": ZEPHYR,
    "2407.00001": ZEPHYR,
    "trackgo": "TrackGo: A Flexible and Efficient Method for Controllable Video Generation",
    "데이터셋에서 모델을 friends": f"{EVIL} & Friends",
    "기상예보": ZEPHYR,
    "제안했": ZEPHYR,
}


@pytest.mark.parametrize("origin", ["file", "http"])
def test_search_finds_by_title_author_and_words_in_korean_and_english(visit, origin):
    seen = visit(origin)
    for query, title in QUERIES.items():
        assert title in seen.ask(query)[:3], query
    assert seen.ask("nothingofthekind") == []
    assert seen.page.text_content("#found") == "찾은 논문이 없습니다"


def expected(query: str) -> set[str]:
    """By a plain scan: the papers in which every term of the query begins some term."""
    found = set()
    for page in small_pages():
        for paper in page.papers:
            text = "\n".join([paper.title, *paper.authors, *(paper.sections or {}).values(), *paper.bullets])
            have = terms_of(text)
            if all(any(term.startswith(word) for term in have) for word in terms_of(query)):
                found.add(paper.title)
    return found


def test_search_finds_what_a_scan_of_all_papers_finds(visit):
    seen = visit()
    for query in (
        "모델",
        "모델을",
        "성능",
        "v",
        "이",
        "video model",
        "데이터",
        "llm",
        "a b",
        "점",
        "학습 모델",
        "1",
    ):
        found = seen.ask(query)
        while seen.page.is_visible("#more"):
            seen.page.click("#more")
            found = seen.page.locator("#hits a").all_text_contents()
        assert set(found) == expected(query), query
        assert str(len(found)) in seen.page.text_content("#found")


def test_the_browser_takes_the_same_terms_from_a_text_as_the_index(visit):
    texts = [
        text for page in small_pages() for paper in page.papers for text in (paper.sections or {}).values()
    ]
    texts += [
        "모델을 평가에서는 제안하였습니다",
        "İstanbul ΣΑΣ ﬁt Ｆｕｌｌ ½ ² ①",
        "日本語の論文 カタカナ",
        "e\u0301 à ñ",
        "𝔸𝕓 𐌰",
        "a_b·c",
    ]
    seen = visit()
    seen.ask("모델")
    results = seen.page.evaluate(
        "(texts) => texts.map((text) => [folded(text), terms(text, index.papers.suffixes)])", texts
    )
    assert results == [[folded(text), terms_of(text)] for text in texts]


def test_the_engine_is_what_the_library_makes_of_the_texts_itself(visit):
    papers = [paper for page in small_pages()[::-1] for paper in page.papers]
    texts = [
        {
            "id": number,
            "title": paper.title,
            "authors": "\n".join(paper.authors),
            "texts": "\n".join([*(paper.sections or {}).values(), *paper.bullets, *paper.unplaced]),
        }
        for number, paper in enumerate(papers)
    ]
    seen = visit()
    seen.ask("모델")
    made, own = seen.page.evaluate(
        """(texts) => {
            const plain = (engine) => {
                const { index, ...rest } = engine.toJSON();
                return JSON.stringify([rest, index.sort(([one], [other]) => (one < other ? -1 : 1))]);
            };
            const own = new MiniSearch({
                fields: ["title", "authors", "texts"],
                tokenize: (text) => [...new Set(terms(text, index.papers.suffixes))],
                processTerm: spelled,
            });
            own.addAll(texts);
            return [plain(index.engine), plain(own)];
        }""",
        texts,
    )
    assert made == own
    assert len(made) > 10000


def test_the_title_counts_more_than_the_authors_and_these_more_than_the_text(visit, tmp_path):
    filler = ["and some other words"] * 6
    papers = [
        Paper(title="One of some other words", bullets=["tesla", *filler]),
        Paper(title="Two of some other words", authors=["Nikola Tesla", "B. C"], bullets=filler),
        Paper(title="Three tesla of some other words", authors=["D. E", "F. G"], bullets=filler),
        *(Paper(title=f"Four of {number}", authors=["H. I"], bullets=filler) for number in range(9)),
    ]
    build_site([Page(date=datetime.date(2024, 1, 1), papers=papers)], tmp_path)
    seen = visit()
    seen.root = tmp_path.as_uri() + "/"
    seen.go()
    assert [title.split()[0] for title in seen.ask("tesla")] == ["Three", "Two", "One"]


def test_typing_goes_on_while_the_search_loads(visit):
    seen = visit()
    seen.page.evaluate(
        """() => {
            const open = openIndex;
            openIndex = async (data) => (await new Promise((done) => (self.go = done)), open(data));
        }"""
    )
    seen.page.locator("#query").press_sequentially("wind")
    assert seen.page.text_content("#found") == "검색 색인을 읽는 중 …"
    seen.page.wait_for_function("Boolean(self.go)")
    seen.page.locator("#query").press_sequentially("s")
    assert seen.page.is_visible("#all")
    seen.page.evaluate("go()")
    seen.page.wait_for_selector("#hits a")
    assert seen.page.locator("#hits a").first.text_content() == ZEPHYR


def test_the_keyboard_alone_is_enough(visit):
    seen = visit("file", "2024/08/22.html")
    page = seen.page
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.id === 'query'")
    page.keyboard.type("winds")
    page.wait_for_selector("#hits a")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == ZEPHYR
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.press("Escape")
    assert page.input_value("#query") == ""
    assert page.is_visible("#all")
    assert not page.is_visible("#hits")
    page.keyboard.type("winds")
    page.wait_for_selector("#hits a")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"2024/07/02\.html#2407\.00001$"))
    page.keyboard.press("Tab")
    page.go_back()
    page.wait_for_selector("#hits a")
    assert page.input_value("#query") == "winds"
    page.keyboard.press("Escape")
    page.keyboard.type("a/b")
    assert page.input_value("#query") == "a/b"


def test_months_open_and_days_are_reached_by_the_tab_key(visit):
    page = visit().page
    stops = []
    for _ in range(9):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate("document.activeElement.getAttribute('href') ?? document.activeElement.tagName")
        )
    assert stops[:5] == ["#all", "feed.xml", "INPUT", "SUMMARY", "2024/08/23.html"]
    assert "2024/08/22.html" in stops


def test_the_number_of_hits_is_told_and_the_order_can_be_chosen(visit):
    seen = visit()
    assert seen.page.get_attribute("#found", "role") == "status"
    assert seen.page.get_attribute("#found", "aria-live") == "polite"
    seen.ask("friends")
    assert seen.page.text_content("#found") == "논문 3편을 찾았습니다"
    times = seen.page.locator("#hits time").all_text_contents()
    assert times == sorted(times, reverse=True)
    seen.ask("모델")
    seen.page.select_option("#order", "votes")
    votes = [int(text) for text in re.findall(r"▲ (\d+)", seen.page.text_content("#hits"))]
    assert votes == sorted(votes, reverse=True)
    assert len(set(votes)) > 3
    seen.page.select_option("#order", "newest")
    times = seen.page.locator("#hits time").all_text_contents()
    assert all(one >= other for one, other in pairwise(times))


def test_matched_words_are_marked_and_no_text_becomes_markup(visit):
    seen = visit()
    seen.ask("hopper winds")
    assert seen.page.locator("#hits li").first.locator("mark").all_text_contents() == ["Winds", "Hopper"]
    assert seen.ask("script")[0] == f"{EVIL} & Friends"
    assert seen.page.locator("#hits script, #hits b").count() == 0
    for path in ("2024/07/01.html", "index.html"):
        seen.go(path)
        assert seen.page.evaluate("self.hacked") is None


def test_results_stay_while_a_syllable_is_composed(visit):
    seen = visit()
    count = len(seen.ask("모델"))
    compose = """(text) => {
        document.getElementById("query").value = text;
        document.getElementById("query").dispatchEvent(new InputEvent("input", { isComposing: true }));
    }"""
    seen.page.evaluate(compose, "모델 ㅎㅎ쀍")
    assert seen.page.locator("#hits a").count() == count
    seen.page.evaluate(compose, "모델 학습")
    assert 0 < seen.page.locator("#hits a").count() < count


@pytest.mark.parametrize("path", ["index.html", "2024/07/01.html"])
def test_dark_and_light_follow_the_reader(visit, path):
    grounds = {}
    for scheme in ("light", "dark"):
        page = visit("file", path, color_scheme=scheme).page
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        ground, ink = (sum(map(int, re.findall(r"\d+", colour))) for colour in colours)
        grounds[scheme] = ground
        assert abs(ground - ink) > 450
    assert grounds["light"] > 700
    assert grounds["dark"] < 100


@pytest.mark.parametrize("path", ["index.html", "index.html#q=model", "2024/08/22.html"])
def test_nothing_is_wider_than_a_phone(visit, path):
    page = visit("file", path, viewport={"width": 360, "height": 740}).page
    if "#" in path:
        page.wait_for_selector("#hits a")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_paper_shows_the_tables_that_the_screen_folds(browser):
    from paperworks.catalogue import find_method
    from paperworks.claims import Evidence, Measured, Table
    from paperworks.papers import load_page, render_html
    from paperworks.reproduce.store import Settings, make_record

    claim = find_method("grab").claims()[2]
    evidence = Evidence(
        Measured(0.0, "models"), Measured(11.0, "models"), table=Table(["task"], [["series"]], "")
    )
    record = make_record(claim, Settings(), key="k", evidence=evidence)
    page = browser.new_page()
    page.set_content(render_html(load_page("2024-08-22"), evidence={claim.paper: [record]}))
    table = page.locator("details table")
    assert not table.is_visible()
    page.emulate_media(media="print")
    assert table.is_visible()
    page.close()


def test_only_thumbnails_come_from_elsewhere_and_the_index_only_when_asked(visit):
    seen = visit("http")
    requests: list[str] = []
    seen.page.on("request", lambda request: requests.append(request.url))
    seen.go("index.html")
    seen.page.wait_for_load_state("networkidle")
    scripts = ("search-index.js", "minisearch.js")
    assert not [address for address in requests if any(script in address for script in scripts)]
    seen.ask("model")
    seen.ask("data")
    assert [sum(script in address for address in requests) for script in scripts] == [1, 1]
    seen.go("2024/07/01.html")
    seen.page.locator("article").last.scroll_into_view_if_needed()
    seen.page.wait_for_load_state("networkidle")
    assert seen.thumbnails == ["https://example.org/thumbnail.png"]


@pytest.mark.parametrize("missing", ["search-index.js", "minisearch.js"])
def test_a_missing_index_is_said_and_typing_goes_on(missing, visit, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "cut")
    (tmp_path / "cut" / missing).unlink()
    seen = visit()
    seen.root = (tmp_path / "cut").as_uri() + "/"
    seen.go()
    seen.page.locator("#query").press_sequentially("model")
    seen.page.wait_for_function("document.getElementById('found').textContent.includes('읽을 수 없습니다')")
    assert seen.page.input_value("#query") == "model"
    assert seen.page.is_visible("#all")
    assert all("ERR_FILE_NOT_FOUND" in problem for problem in seen.problems)
    seen.problems.clear()

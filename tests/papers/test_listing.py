"""The day's list, against a server that gives the Hub's JSON."""

from __future__ import annotations

import copy
import datetime

import pytest
from servers import Reply, Site, as_json, busy, hub_entry, hub_list

from paperworks.errors import InputError
from paperworks.papers.listing import FIRST_DAY, Listing, add_links, list_day
from paperworks.papers.web import FetchError, Web

DAY = "2024-08-22"
LIST = "/api/daily_papers"


@pytest.fixture
def hub():
    with Site() as hub:
        yield hub


@pytest.fixture
def web(tmp_path):
    with Web(tmp_path / "cache", backoff=0.02, timeout=2) as web:
        yield web


def test_a_paper_comes_with_all_its_facts_and_its_authors_in_order(hub, web):
    entry = hub_entry(
        7,
        votes=57,
        githubRepo="https://github.com/lamps/seven",
        projectPage="https://seven.example.org",
        title=" Lamp\n  Number 7 ",
    )
    entry["mediaUrls"] = ["https://cdn.example.org/7.png", "https://cdn.example.org/7.MP4?download=1"]
    hub.pages[LIST] = hub_list([entry])
    assert list_day(DAY, web=web, hub_url=f"{hub.url}/") == [
        Listing(
            arxiv_id="2408.00007",
            title="Lamp Number 7",
            authors=("Zoe Adler", "Ana Młynarz", "Bo Lee"),
            abstract="Lamp 7 is brighter. It needs 21.7% less oil.",
            votes=57,
            thumbnail="https://cdn.example.org/2408.00007.png",
            video="https://cdn.example.org/7.MP4?download=1",
            code="https://github.com/lamps/seven",
            project_page="https://seven.example.org",
        )
    ]
    assert hub.requests[0].query == {"date": DAY, "limit": "100", "p": "0"}


def test_the_list_agrees_with_how_huggingface_hub_reads_it(hub, web):
    hf_api = pytest.importorskip("huggingface_hub.hf_api")
    entries = [hub_entry(number, votes=number) for number in (3, 2, 1)]
    hub.pages[LIST] = hub_list(entries)
    listings = list_day(DAY, web=web, hub_url=hub.url)
    for listing, entry in zip(listings, entries, strict=True):
        theirs = hf_api.PaperInfo(**copy.deepcopy(entry))
        assert (listing.arxiv_id, listing.title, listing.votes) == (theirs.id, theirs.title, theirs.upvotes)
        assert list(listing.authors) == [author.name for author in theirs.authors]
        assert listing.abstract == " ".join(theirs.summary.split())
        assert listing.thumbnail == theirs.thumbnail


def test_the_most_voted_stand_first_and_equals_keep_their_order(hub, web):
    votes = [3, 9, None, 3, 0, 9]
    hub.pages[LIST] = hub_list([hub_entry(number, votes=count) for number, count in enumerate(votes)])
    listings = list_day(datetime.date(2024, 8, 22), web=web, hub_url=hub.url)
    assert [listing.votes for listing in listings] == [9, 9, 3, 3, None, 0]
    assert [int(listing.arxiv_id[-1]) for listing in listings] == [1, 5, 0, 3, 2, 4]


@pytest.mark.parametrize(
    ("count", "most", "requests"), [(3, 100, 1), (100, 100, 2), (230, 100, 3), (130, 50, 3)]
)
def test_a_long_list_is_read_to_its_end(hub, web, count, most, requests):
    hub.pages[LIST] = hub_list([hub_entry(number, votes=number) for number in range(count)], most=most)
    listings = list_day(DAY, web=web, hub_url=hub.url)
    assert [listing.votes for listing in listings] == list(range(count))[::-1]
    assert len(hub.requests) == requests


def test_a_server_that_repeats_its_first_page_is_not_asked_for_ever(hub, web):
    entries = [hub_entry(number) for number in range(80)]
    hub.pages[LIST] = hub_list(entries, ignores_page=True)
    assert len(list_day(DAY, web=web, hub_url=hub.url)) == 80
    assert len(hub.requests) == 2


def test_a_paper_that_is_listed_twice_is_one_paper(hub, web):
    hub.pages[LIST] = hub_list([hub_entry(1, votes=5), hub_entry(2, votes=4), hub_entry(1, votes=3)])
    assert [listing.votes for listing in list_day(DAY, web=web, hub_url=hub.url)] == [5, 4]


def test_a_day_without_papers_is_empty(hub, web):
    hub.pages[LIST] = hub_list([])
    assert list_day("2024-08-24", web=web, hub_url=hub.url) == []


@pytest.mark.parametrize(
    "date", ["2023-05-03", datetime.date(1999, 1, 1), "2024-13-01", "yesterday", "9999-12-31", ""]
)
def test_a_date_without_a_list_is_refused_before_anything_is_asked(hub, web, date):
    with pytest.raises(InputError, match=r"first is of 2023-05-04|is in the future|is no date") as caught:
        list_day(date, web=web, hub_url=hub.url)
    assert not isinstance(caught.value, FetchError)
    assert hub.requests == []


def test_the_first_day_and_today_are_asked_for_and_tomorrow_is_not(hub, web):
    hub.pages[LIST] = hub_list([hub_entry(1)])
    today = datetime.datetime.now(datetime.UTC).date()
    assert len(list_day(FIRST_DAY, web=web, hub_url=hub.url)) == 1
    assert len(list_day(today, web=web, hub_url=hub.url)) == 1
    with pytest.raises(InputError, match="in the future"):
        list_day(today + datetime.timedelta(days=2), web=web, hub_url=hub.url)


def test_the_list_is_asked_again_when_it_is_old_so_that_votes_are_up_to_date(hub, web):
    hub.pages[LIST] = [as_json([hub_entry(1, votes=1)]), as_json([hub_entry(1, votes=2)])]
    assert list_day(DAY, web=web, hub_url=hub.url)[0].votes == 1
    assert list_day(DAY, web=web, hub_url=hub.url)[0].votes == 1
    assert list_day(DAY, web=web, hub_url=hub.url, max_age=0)[0].votes == 2
    assert len(hub.requests) == 2


def test_each_day_has_a_list_of_its_own_in_the_cache(hub, web):
    hub.pages[LIST] = lambda request: as_json([hub_entry(int(request.query["date"][-2:]))])
    ids = [list_day(f"2024-08-{day}", web=web, hub_url=hub.url)[0].arxiv_id for day in (21, 22, 21)]
    assert ids == ["2408.00021", "2408.00022", "2408.00021"]
    assert len(hub.requests) == 2


def test_a_hub_in_trouble_is_asked_again(hub, web):
    hub.pages[LIST] = [busy(), Reply(status=500), as_json([hub_entry(1)])]
    assert len(list_day(DAY, web=web, hub_url=hub.url)) == 1
    assert len(hub.requests) == 3


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"<html>Sign in</html>"), r"not JSON but text/html"),
        (Reply(b"", content_type=""), r"not JSON but something"),
        (Reply(b'[{"paper": {"id": "24', content_type="application/json"), r"not JSON"),
        (as_json({"error": "no"}), r"no list of papers"),
        (as_json([{"paper": {"title": "Without an id"}}]), r"not a paper of the Hub \(.*Field required"),
        (as_json(["2408.00001"]), r"not a paper of the Hub"),
        (as_json([hub_entry(1, authors="Zoe Adler")]), r"not a paper of the Hub \(.*authors"),
    ],
)
def test_an_answer_that_is_no_list_is_named_and_not_kept(hub, web, reply, reason):
    hub.pages[LIST] = [reply, as_json([hub_entry(1)])]
    with pytest.raises(FetchError, match=reason) as caught:
        list_day(DAY, web=web, hub_url=hub.url)
    assert "\n" not in str(caught.value)
    assert hub.host in str(caught.value)
    assert len(list_day(DAY, web=web, hub_url=hub.url)) == 1


def test_a_hub_that_refuses_the_date_says_so(hub, web):
    hub.pages[LIST] = [Reply(b'{"error":"date"}', 400)]
    with pytest.raises(FetchError, match=r"HTTP 400") as caught:
        list_day(DAY, web=web, hub_url=hub.url)
    assert caught.value.status == 400


def test_links_of_another_scheme_and_of_an_unknown_form_are_left_out(hub, web):
    entry = hub_entry(
        1, githubRepo="javascript:alert(1)", projectPage={"url": "https://x.y"}, linkedModels=[{"no": 1}]
    )
    entry |= {"thumbnail": "data:image/png;base64,AAAA", "mediaUrls": ["file:///a.mp4", "https://x.y/a.gif"]}
    hub.pages[LIST] = hub_list([entry])
    (listing,) = list_day(DAY, web=web, hub_url=hub.url)
    assert (listing.code, listing.project_page, listing.thumbnail, listing.video) == (None,) * 4
    assert listing.models == ()
    assert listing.title == "Lamp Number 1"


def test_an_id_loses_its_version_and_a_paper_without_facts_is_still_a_paper(hub, web):
    hub.pages[LIST] = hub_list([hub_entry(1, id="2408.00001v3"), {"paper": {"id": "cs/0701001"}}])
    first, second = list_day(DAY, web=web, hub_url=hub.url)
    assert first.arxiv_id == "2408.00001"
    assert second == Listing("cs/0701001", "cs/0701001")


def test_the_links_of_a_paper_are_asked_for_with_one_request(hub, web):
    paper = hub_entry(7)["paper"] | {
        "linkedModels": [{"id": "lamps/seven-7B", "likes": 3}],
        "linkedDatasets": [{"id": "lamps/oil"}, {"id": "lamps/wick"}],
        "linkedSpaces": [{"id": "lamps/try it"}],
    }
    hub.pages[LIST] = hub_list([hub_entry(7, votes=3)])
    hub.pages["/api/papers/2408.00007"] = [as_json(paper)]
    (listing,) = list_day(DAY, web=web, hub_url=hub.url)
    assert (listing.models, listing.datasets, listing.spaces) == ((), (), ())
    linked = add_links(listing, web=web, hub_url=hub.url)
    assert linked.models == (f"{hub.url}/lamps/seven-7B",)
    assert linked.datasets == (f"{hub.url}/datasets/lamps/oil", f"{hub.url}/datasets/lamps/wick")
    assert linked.spaces == (f"{hub.url}/spaces/lamps/try%20it",)
    assert (linked.votes, linked.title) == (3, listing.title)
    with pytest.raises(FetchError, match="HTTP 404"):
        add_links(Listing("2408.09999", "Gone"), web=web, hub_url=hub.url)


def test_the_hub_is_that_of_the_environment_where_none_is_given(hub, web, monkeypatch):
    hub.pages[LIST] = hub_list([hub_entry(1)])
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert len(list_day(DAY, web=web)) == 1

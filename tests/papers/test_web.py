"""Fetching: politeness, repetition, what is given up, and the cache, against a server on loopback."""

from __future__ import annotations

import datetime
import gzip
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime

import pytest
from servers import Reply, Site, busy, moved

from paperworks import __version__
from paperworks.errors import InputError
from paperworks.papers.web import FetchError, Web, retry_after, user_agent


@pytest.fixture
def site():
    with Site() as site:
        site.pages["/a"] = [Reply(b"page a")]
        site.pages["/b"] = [Reply(b"page b")]
        yield site


@pytest.fixture
def web():
    with Web(backoff=0.02, timeout=2) as web:
        yield web


def test_the_user_agent_names_the_program_and_a_contact(monkeypatch):
    monkeypatch.delenv("PAPERWORKS_CONTACT", raising=False)
    assert user_agent() == f"paperworks/{__version__}"
    assert user_agent("me@lamp.example") == f"paperworks/{__version__} (+mailto:me@lamp.example)"
    assert user_agent("https://lamp.example/us") == f"paperworks/{__version__} (+https://lamp.example/us)"
    monkeypatch.setenv("PAPERWORKS_CONTACT", "mailto:you@lamp.example")
    assert user_agent() == f"paperworks/{__version__} (+mailto:you@lamp.example)"
    assert user_agent("me@lamp.example").endswith("me@lamp.example)")


@pytest.mark.parametrize(
    "contact", ["me", "a b@c.d", "x@y\r\nEvil: 1", "ftp://x.y", "https://x.y/)evil", "나@y.z"]
)
def test_a_contact_that_is_none_is_refused(contact):
    with pytest.raises(InputError, match=r"PAPERWORKS_CONTACT"):
        user_agent(contact)


def test_the_server_sees_the_contact_and_the_page_comes_with_its_type(site):
    site.pages["/k"] = [Reply("램프".encode("euc-kr"), content_type="Text/HTML; charset=EUC-KR")]
    with Web(contact="me@lamp.example") as web:
        page = web.get(f"{site.url}/k#part")
    assert site.requests[0].headers["User-Agent"] == f"paperworks/{__version__} (+mailto:me@lamp.example)"
    assert (page.url, page.media_type, page.charset) == (f"{site.url}/k", "text/html", "euc-kr")
    assert page.content.decode(page.charset) == "램프"


def test_a_compressed_page_arrives_unpacked(site, web):
    site.pages["/z"] = [Reply(gzip.compress(b"lamp " * 1000), headers={"Content-Encoding": "gzip"})]
    assert web.get(f"{site.url}/z").content == b"lamp " * 1000


def test_threads_keep_their_distance_at_one_host(site):
    names = [f"/{number}" for number in range(6)]
    site.pages |= {name: [Reply(name.encode())] for name in names}
    with Web(intervals={site.host: 0.15}) as web, ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda name: web.get(site.url + name).content.decode(), names))
    assert pages == names
    assert len(site.gaps()) == 5
    assert min(site.gaps()) > 0.12
    assert sum(site.gaps()) < 1.3


def test_distance_is_kept_from_start_to_start_and_not_from_end_to_start(site):
    site.pages["/slow"] = [Reply(b"slow", wait=0.3)]
    with Web(intervals={site.host: 0.3}) as web:
        start = time.monotonic()
        web.get(f"{site.url}/slow")
        web.get(f"{site.url}/a")
    assert 0.28 < site.gaps()[0] < 0.5
    assert time.monotonic() - start < 0.55


def test_only_the_named_host_and_its_subdomains_wait(site, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)  # so that every name leads to the server on loopback
    with Web(intervals={"arxiv.test": 0.3}) as web:
        web.get("http://arxiv.test/a")
        web.get("http://notarxiv.test/a")
        web.get("http://other.test/a")
        assert max(site.gaps()) < 0.2
        web.get("http://export.arxiv.test/b")
    assert [request.headers["Host"] for request in site.requests] == [
        "arxiv.test",
        "notarxiv.test",
        "other.test",
        "export.arxiv.test",
    ]
    assert sum(site.gaps()) > 0.27


def test_redirects_and_repetitions_keep_their_distance_as_well(site):
    site.pages["/old"] = [moved("/new")]
    site.pages["/new"] = [Reply(status=500), Reply(b"here")]
    with Web(intervals={site.host: 0.2}, backoff=0.001) as web:
        page = web.get(f"{site.url}/old")
    assert (page.content, page.url) == (b"here", f"{site.url}/new")
    assert [request.path for request in site.requests] == ["/old", "/new", "/old", "/new"]
    assert min(site.gaps()) > 0.17


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(site, web, status):
    site.pages["/a"] = [Reply(status=status), Reply(b"fine now")]
    assert web.get(f"{site.url}/a").content == b"fine now"
    assert len(site.requests) == 2


def test_the_waits_grow(site):
    site.pages["/a"] = [Reply(status=500)] * 3 + [Reply(b"fine")]
    with Web(backoff=0.06) as web:
        web.get(f"{site.url}/a")
    first, second, third = site.gaps()
    assert 0.06 <= first < 0.3
    assert 0.12 <= second < 0.36
    assert 0.24 <= third < 0.48


def test_retry_after_in_seconds_holds_back_every_thread(site):
    site.pages["/a"] = [busy("1"), Reply(b"fine")]
    with Web(backoff=0.01) as web, ThreadPoolExecutor(2) as pool:
        first = pool.submit(web.get, f"{site.url}/a")
        while not site.requests:
            time.sleep(0.01)
        time.sleep(0.05)
        second = pool.submit(web.get, f"{site.url}/b")
        assert (first.result().content, second.result().content) == (b"fine", b"page b")
    assert site.gaps()[0] >= 0.95
    assert len(site.requests) == 3


def test_retry_after_holds_back_a_thread_that_had_its_turn_already(site):
    site.pages["/a"] = [busy("1", wait=0.1), Reply(b"fine")]
    with Web(backoff=0.01, intervals={site.host: 0.2}) as web, ThreadPoolExecutor(2) as pool:
        first = pool.submit(web.get, f"{site.url}/a")
        time.sleep(0.03)
        second = pool.submit(web.get, f"{site.url}/b")
        assert (first.result().content, second.result().content) == (b"fine", b"page b")
    assert site.gaps()[0] >= 0.95
    assert site.gaps()[1] > 0.17
    assert len(site.requests) == 3


def test_retry_after_as_a_date_is_waited_for(site, web):
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    site.pages["/a"] = [busy(format_datetime(until, usegmt=True), 503), Reply(b"fine")]
    assert web.get(f"{site.url}/a").content == b"fine"
    assert 0.9 < site.gaps()[0] < 2.2


def test_retry_after_is_read_as_seconds_or_as_a_date():
    now = datetime.datetime.now(datetime.UTC)
    assert retry_after("120") == 120
    assert 55 < retry_after(format_datetime(now + datetime.timedelta(minutes=1), usegmt=True)) < 61
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 7000 < retry_after(f"{now + datetime.timedelta(hours=2):%a, %d %b %Y %H:%M:%S} -0000") < 7201
    for nonsense in (None, "", "soon", "-5", "1.5", "٣", "Wed, 99 Oct 2015 07:28:00 GMT"):
        assert retry_after(nonsense) is None


@pytest.mark.parametrize("value", ["3600", "9" * 400])
def test_an_absurd_wait_is_given_up_at_once(site, web, value):
    site.pages["/a"] = [busy(value)]
    start = time.monotonic()
    with pytest.raises(FetchError, match=r"/a: HTTP 429 Too Many Requests, and it wants a wait of") as caught:
        web.get(f"{site.url}/a")
    assert caught.value.status == 429
    assert len(site.requests) == 1
    assert time.monotonic() - start < 1


def test_a_server_that_stays_broken_is_given_up_in_one_line(site, web):
    site.pages["/a"] = [Reply(status=503)]
    with pytest.raises(FetchError) as caught:
        web.get(f"{site.url}/a")
    assert str(caught.value) == (
        f"cannot fetch {site.url}/a: HTTP 503 Service Unavailable after 4 tries; try again later"
    )
    assert isinstance(caught.value, InputError)
    assert (caught.value.url, caught.value.status) == (f"{site.url}/a", 503)
    assert len(site.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final(site, web, status):
    site.pages["/a"] = [Reply(status=status)]
    with pytest.raises(FetchError, match=f"HTTP {status}") as caught:
        web.get(f"{site.url}/a")
    assert caught.value.status == status
    assert len(site.requests) == 1


def test_a_slow_server_is_asked_again_and_then_given_up(site):
    site.pages["/a"] = [Reply(b"late", wait=0.6)]
    site.pages["/b"] = [Reply(b"late", wait=0.6), Reply(b"in time")]
    with Web(timeout=0.2, attempts=2, backoff=0.01) as web:
        with pytest.raises(FetchError, match=r"no answer within 0\.2 s after 2 tries") as caught:
            web.get(f"{site.url}/a")
        assert caught.value.status is None
        assert web.get(f"{site.url}/b").content == b"in time"


def test_an_answer_that_drips_for_ever_is_given_up(site):
    site.pages["/a"] = [Reply(b"x" * 1000, drip=0.05)]
    start = time.monotonic()
    with (
        Web(timeout=1, longest=0.3, attempts=1) as web,
        pytest.raises(FetchError, match=r"took longer than 0\.3 s"),
    ):
        web.get(f"{site.url}/a")
    assert time.monotonic() - start < 1.5


def test_an_answer_that_is_cut_off_is_no_answer(site, web, tmp_path):
    whole = b"lamp " * 2000
    site.pages["/once"] = [Reply(whole, cut_at=5000), Reply(whole)]
    site.pages["/always"] = [Reply(whole, cut_at=5000)]
    assert web.get(f"{site.url}/once").content == whole
    with (
        Web(tmp_path, backoff=0.01) as web,
        pytest.raises(FetchError, match="cut off") as caught,
    ):
        web.get(f"{site.url}/always")
    assert caught.value.status is None
    assert "\n" not in str(caught.value)
    assert len(site.asked("/always")) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_compression_counts_as_cut_off(site):
    site.pages["/z"] = [Reply(b"no gzip at all", headers={"Content-Encoding": "gzip"})]
    with Web(attempts=2, backoff=0.01) as web, pytest.raises(FetchError, match="cut off or damaged"):
        web.get(f"{site.url}/z")
    assert len(site.requests) == 2


def test_a_page_that_is_too_long_is_not_read_to_its_end(site):
    site.pages["/a"] = [Reply(b"x" * 300_000)]
    with Web(most_bytes=100_000) as web, pytest.raises(FetchError, match=r"longer than 0\.1 MB"):
        web.get(f"{site.url}/a")


def test_a_host_that_is_not_there_is_given_up(web):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(FetchError, match=r"no connection .* after 4 tries") as caught:
            web.get(f"http://127.0.0.1:{port}/a")
    assert caught.value.status is None


@pytest.mark.parametrize(
    "url", ["ftp://x.y/a", "file:///etc/passwd", "x.y/a", "", "http://", "http://[::1/a"]
)
def test_only_addresses_of_the_web_are_fetched(web, url):
    with pytest.raises(FetchError, match="cannot fetch"):
        web.get(url)


def test_redirects_in_a_circle_and_to_other_places_are_given_up(site, web):
    site.pages["/round"] = [moved("/round")]
    site.pages["/out"] = [moved("file:///etc/passwd")]
    for path in ("/round", "/out"):
        with pytest.raises(FetchError, match=path):
            web.get(site.url + path)
    assert len(site.asked("/out")) == 1


def test_a_page_that_was_fetched_is_not_fetched_again(site, tmp_path):
    for _ in range(2):
        with Web(tmp_path / "cache") as web:
            first, second = web.get(f"{site.url}/a"), web.get(f"{site.url}/a#elsewhere")
            assert first == second
            assert first.content == b"page a"
            assert first.media_type == "text/html"
    assert len(site.requests) == 1
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".page"]


def test_without_a_cache_every_page_is_fetched(site, web):
    web.get(f"{site.url}/a")
    web.get(f"{site.url}/a")
    assert len(site.requests) == 2


def test_refresh_fetches_again_and_keeps_what_is_new(site, tmp_path):
    site.pages["/a"] = [Reply(b"old"), Reply(b"new")]
    contents = []
    for refresh in (False, True, False):
        with Web(tmp_path, refresh=refresh) as web:
            contents.append(web.get(f"{site.url}/a").content)
    assert contents == [b"old", b"new", b"new"]
    assert len(site.requests) == 2


def test_a_page_that_is_too_old_is_fetched_again(site, tmp_path):
    site.pages["/a"] = [Reply(b"old"), Reply(b"new")]
    with Web(tmp_path) as web:
        assert web.get(f"{site.url}/a", max_age=60).content == b"old"
        assert web.get(f"{site.url}/a", max_age=60).content == b"old"
        time.sleep(0.05)
        assert web.get(f"{site.url}/a", max_age=0.01).content == b"new"
        assert web.get(f"{site.url}/a").content == b"new"


def test_a_failure_is_not_kept(site, tmp_path):
    site.pages["/a"] = [Reply(b"not yet", 404), Reply(b"there")]
    with Web(tmp_path) as web:
        with pytest.raises(FetchError):
            web.get(f"{site.url}/a")
        assert web.get(f"{site.url}/a").content == b"there"


def test_what_is_of_no_use_can_be_forgotten(site, tmp_path):
    with Web(tmp_path) as web:
        web.get(f"{site.url}/a")
        web.forget(f"{site.url}/a")
        web.forget(f"{site.url}/never")
        web.get(f"{site.url}/a")
    assert len(site.requests) == 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-2], lambda data: b"", lambda data: b"[1]\nx", lambda data: b"\xff\n"]
)
def test_a_damaged_cache_is_fetched_again(site, tmp_path, damage):
    with Web(tmp_path) as web:
        web.get(f"{site.url}/a")
        (kept,) = tmp_path.iterdir()
        kept.write_bytes(damage(kept.read_bytes()))
        assert web.get(f"{site.url}/a").content == b"page a"
        assert web.get(f"{site.url}/a").content == b"page a"
    assert len(site.requests) == 2


def test_threads_that_want_the_same_page_fetch_it_once(site, tmp_path):
    site.pages["/a"] = [Reply(b"page a", wait=0.1)]
    with Web(tmp_path) as web, ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: web.get(f"{site.url}/a").content, range(8)))
    assert pages == [b"page a"] * 8
    assert len(site.requests) == 1


def test_a_cache_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot write the cache .*file"):
        Web(tmp_path / "file")

"""Fetches pages as a polite reader would: one client for the whole run, a contact in its name, nothing asked twice.

Requests to a host keep their distance, an answer that tells us to come back later is obeyed, and what was fetched stays
on disk. Everything that can go wrong with a page ends as one `FetchError`, so a run can go on without that page.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from paperworks import __version__
from paperworks.errors import InputError, require
from paperworks.files import replacing

if TYPE_CHECKING:
    import httpx2

INTERVALS = {"arxiv.org": 3.0}
"""Seconds between the starts of two requests to a host and its subdomains, as arXiv's terms of use ask."""

_AGAIN = {429, 500, 502, 503, 504}
_EMAIL = re.compile(r"(?:mailto:)?([\w.+-]+@[\w.-]+)", re.ASCII)
_URL = re.compile(r"https?://[!-'*-~]+", re.IGNORECASE | re.ASCII)
_log = logging.getLogger(__name__)


class FetchError(InputError):
    """A page that cannot be had: its `url`, a short `reason`, and the HTTP `status` (`None`: there was no answer)."""

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"cannot fetch {url}: {reason}")
        self.url = url
        self.reason = reason
        self.status = status


@dataclass(frozen=True)
class Fetched:
    """A page: `url` is where it was found after redirects, `media_type` such as `text/html`, `charset` as declared."""

    url: str
    content: bytes
    media_type: str = ""
    charset: str | None = None


class _Again(Exception):
    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


def user_agent(contact: str | None = None) -> str:
    """`paperworks/VERSION (+CONTACT)`; the contact is an e-mail address or a URL, else that of `PAPERWORKS_CONTACT`.

    Raises `InputError` for a contact that is neither.
    """
    contact = (contact or os.environ.get("PAPERWORKS_CONTACT") or "").strip()
    if not contact:
        return f"paperworks/{__version__}"
    if email := _EMAIL.fullmatch(contact):
        return f"paperworks/{__version__} (+mailto:{email[1]})"
    if _URL.fullmatch(contact):
        return f"paperworks/{__version__} (+{contact})"
    raise InputError(
        f"{contact!r} is no contact: give an e-mail address or an http(s) address "
        "with --contact or in PAPERWORKS_CONTACT"
    )


class Web:
    """One polite client, to be shared by all threads of a run and closed at its end (it is a context manager).

    - `cache`: the folder in which pages are kept; `None` keeps nothing. `refresh` fetches again what is there.
    - `contact`: see `user_agent`.
    - `intervals`: seconds between the starts of two requests, by host or `host:port`, subdomains included.
    - `timeout`: seconds to wait for a connection and for each part of an answer; `longest` for a whole answer.
    - `attempts`: how often a page is asked for when the answer is 429, 500, 502, 503 or 504, is cut off or does not
      come. Between them `backoff` seconds, doubled each time, with jitter, or what `Retry-After` says, up to `patience`
      seconds; a server that wants a longer wait is given up.
    - `most_bytes`: the longest answer that is read.

    Raises `InputError` for a cache folder that cannot be written.
    """

    def __init__(
        self,
        cache: str | os.PathLike[str] | None = None,
        *,
        contact: str | None = None,
        intervals: Mapping[str, float] = INTERVALS,
        timeout: float = 30.0,
        longest: float = 180.0,
        attempts: int = 4,
        backoff: float = 1.0,
        patience: float = 120.0,
        most_bytes: int = 100_000_000,
        refresh: bool = False,
    ) -> None:
        require("daily", "httpx2", "tenacity")
        import httpx2

        self.cache = Path(cache) if cache is not None else None
        self.refresh = refresh
        self._intervals = dict(intervals)
        self._timeout, self._longest, self._most_bytes = timeout, longest, most_bytes
        self._attempts, self._backoff, self._patience = attempts, backoff, patience
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        self._busy: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        if self.cache is not None:
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"cannot write the cache {self.cache}: {error.strerror}; choose another folder"
                ) from error
        self._client = httpx2.Client(
            headers={"User-Agent": user_agent(contact)},
            timeout=timeout,
            follow_redirects=True,
            event_hooks={"request": [self._wait_for_turn]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, url: str, *, max_age: float | None = None) -> Fetched:
        """The page at `url`, from the cache where it is there and at most `max_age` seconds old (`None`: any age).

        Threads that ask for the same page fetch it once. Raises `FetchError`.
        """
        url = url.partition("#")[0]
        if not _URL.match(url):
            raise FetchError(url, "only http:// and https:// addresses can be fetched")
        with self._lock:
            busy = self._busy[url]
        with busy:
            kept = None if self.refresh else self._kept(url, max_age)
            if kept is not None:
                return kept
            fetched = self._fetch(url)
            self._keep(url, fetched)
            return fetched

    def forget(self, url: str) -> None:
        """Drop a page from the cache, because what came is of no use."""
        if path := self._place(url):
            path.unlink(missing_ok=True)

    def _place(self, url: str) -> Path | None:
        if self.cache is None:
            return None
        return self.cache / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.page"

    def _kept(self, url: str, max_age: float | None) -> Fetched | None:
        path = self._place(url)
        try:
            if path is None or (max_age is not None and time.time() - path.stat().st_mtime > max_age):
                return None
            head, _, content = path.read_bytes().partition(b"\n")
            facts = json.loads(head)
            if facts["asked"] != url or facts["bytes"] != len(content):
                return None
            return Fetched(facts["url"], content, facts["media_type"], facts["charset"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, url: str, fetched: Fetched) -> None:
        path = self._place(url)
        if path is None:
            return
        facts = {  # the first line of the file; the page's bytes follow
            "asked": url,
            "url": fetched.url,
            "media_type": fetched.media_type,
            "charset": fetched.charset,
            "bytes": len(fetched.content),
            "fetched": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        try:
            with replacing(path) as partial:
                partial.write_bytes(json.dumps(facts).encode() + b"\n" + fetched.content)
        except OSError as error:
            raise InputError(f"cannot write the cache {path}: {error.strerror}; make room there") from error

    def _rule(self, url: httpx2.URL) -> tuple[str, float]:
        place = url.netloc.decode()
        for name, interval in self._intervals.items():
            if name in (url.host, place) or url.host.endswith(f".{name}"):
                return name, interval
        return place, 0.0

    def _wait_for_turn(self, request: httpx2.Request) -> None:
        # A hook of the client rather than a step of `get`, so that redirects and repetitions wait as well.
        name, interval = self._rule(request.url)
        while True:
            with self._lock:
                now = time.monotonic()
                start = max(now, self._next.get(name, now), self._paused.get(name, now))
                self._next[name] = start + interval
            time.sleep(start - now)
            if time.monotonic() >= self._paused.get(name, 0.0):
                return

    def _pause(self, url: httpx2.URL, seconds: float) -> None:
        """Hold back everybody's requests to the host of `url`, also those that have their turn already."""
        name, _ = self._rule(url)
        with self._lock:
            until = time.monotonic() + seconds
            self._paused[name] = max(self._paused.get(name, until), until)

    def _fetch(self, url: str) -> Fetched:
        import tenacity

        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_exponential(self._backoff, max=30) + tenacity.wait_random(0, self._backoff),
            before_sleep=tenacity.before_sleep_log(_log, logging.INFO),
            reraise=True,
        )
        try:
            return again(self._fetch_once, url)
        except _Again as error:
            tries = f" after {self._attempts} tries" if self._attempts > 1 else ""
            raise FetchError(url, f"{error.reason}{tries}; try again later", error.status) from error

    def _fetch_once(self, url: str) -> Fetched:
        import httpx2

        try:
            with self._client.stream("GET", url) as response:
                self._judge(url, response)
                return Fetched(
                    str(response.url),
                    self._body(url, response),
                    response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                    response.charset_encoding,
                )
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects) as error:
            raise FetchError(url, str(error)) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise _Again(self._in_words(error)) from error

    def _judge(self, url: str, response: httpx2.Response) -> None:
        status = response.status_code
        reason = f"HTTP {status} {response.reason_phrase}".rstrip()
        if status in _AGAIN:
            wait = retry_after(response.headers.get("Retry-After"))
            if wait is not None and wait > self._patience:
                raise FetchError(
                    url, f"{reason}, and it wants a wait of {wait:.0f} s; try again then", status
                )
            if wait:
                self._pause(response.url, wait)
            raise _Again(reason, status)
        if not response.is_success:
            raise FetchError(url, reason, status)

    def _body(self, url: str, response: httpx2.Response) -> bytes:
        import httpx2

        body, end = bytearray(), time.monotonic() + self._longest
        for part in response.iter_bytes():
            body += part
            if len(body) > self._most_bytes:
                raise FetchError(url, f"it is longer than {self._most_bytes / 1e6:g} MB")
            if time.monotonic() > end:
                raise httpx2.ReadTimeout(f"the answer took longer than {self._longest:g} s")
        return bytes(body)

    def _in_words(self, error: httpx2.HTTPError) -> str:
        import httpx2

        text = " ".join(str(error).split())
        if isinstance(error, httpx2.ConnectTimeout):
            return f"no connection within {self._timeout:g} s"
        if isinstance(error, httpx2.TimeoutException):
            return text if text.startswith("the answer took") else f"no answer within {self._timeout:g} s"
        if isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.DecodingError):
            return f"the answer was cut off or damaged ({text or type(error).__name__})"
        return f"no connection ({text or type(error).__name__})"


def retry_after(value: str | None) -> float | None:
    """The seconds from now that a `Retry-After` header asks for, as a number or an HTTP date; `None` for nothing."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, IndexError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max((date - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)

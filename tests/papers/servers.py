"""Servers on loopback that play the Hub's list of papers and arXiv, and misbehave in the ways that real ones do.

A page is a list of replies: each request takes the next, and the last is played again for all that follow. What was
asked is kept in `requests`, with the time and the headers.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit


@dataclass
class Reply:
    """`cut_at` closes the connection after so many bytes of a body that was announced whole; `drip` s between bytes."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    cut_at: int | None = None
    drip: float = 0.0


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    time: float


Answer = Callable[[Request], Reply]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Site:
    """A web server on 127.0.0.1 for the length of a `with`; what is not in `pages` is 404."""

    def __init__(self) -> None:
        self.pages: dict[str, Sequence[Reply] | Answer] = {}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def do_GET(self) -> None:
                site._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Site:
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, path: str | None = None) -> list[Request]:
        """The requests so far, or those for `path`, in the order in which they came."""
        return [request for request in self.requests if path in (None, request.path)]

    def gaps(self) -> list[float]:
        """Seconds between each request and the next."""
        times = sorted(request.time for request in self.requests)
        return [later - earlier for earlier, later in pairwise(times)]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        now = time.monotonic()
        parts = urlsplit(handler.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        request = Request(parts.path, query, dict(handler.headers), now)
        with self._lock:
            number = len(self.asked(parts.path))
            self.requests.append(request)
        page = self.pages.get(parts.path, [Reply(b"no such page", 404)])
        reply = page(request) if callable(page) else page[min(number, len(page) - 1)]
        time.sleep(reply.wait)
        try:
            self._send(handler, reply)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        if reply.content_type:
            handler.send_header("Content-Type", reply.content_type)
        handler.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if reply.drip:
            for place in range(len(reply.body)):
                handler.wfile.write(reply.body[place : place + 1])
                handler.wfile.flush()
                time.sleep(reply.drip)
            return
        handler.wfile.write(reply.body[: reply.cut_at])
        if reply.cut_at is not None:
            handler.close_connection = True


def busy(retry_after: str | None = None, status: int = 429, wait: float = 0.0) -> Reply:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Reply(b"too many requests", status, headers=headers, wait=wait)


def moved(to: str) -> Reply:
    return Reply(status=301, headers={"Location": to})


def as_json(data: object) -> Reply:
    return Reply(json.dumps(data).encode(), content_type="application/json; charset=utf-8")


def hub_entry(number: int, *, votes: int | None = 0, **paper: object) -> dict[str, object]:
    """One paper of the list, in the shape that the Hub's API gives it."""
    person = {
        "_id": "65",
        "avatarUrl": "/a.svg",
        "isPro": False,
        "fullname": "Su B",
        "name": "sub",
        "type": "user",
    }
    facts: dict[str, object] = {
        "id": f"2408.{number:05d}",
        "authors": [
            {"_id": "1", "name": "Zoe Adler", "hidden": False, "status": "claimed_verified", "user": person},
            {"_id": "2", "name": "Ana Młynarz", "hidden": True},
            {"_id": "3", "name": "Bo Lee", "hidden": False},
        ],
        "publishedAt": "2024-08-20T17:48:20.000Z",
        "submittedOnDailyAt": "2024-08-22T00:51:50.000Z",
        "title": f"Lamp Number {number}",
        "summary": f"Lamp {number} is brighter.\nIt needs 21.7% less oil.",
        "discussionId": "66c5",
        "ai_summary": "A lamp.",
        "ai_keywords": ["lamp"],
    }
    if votes is not None:
        facts["upvotes"] = votes
    facts |= paper
    return {
        "paper": facts,
        "publishedAt": "2024-08-21T22:48:20.000Z",
        "title": facts["title"],
        "summary": facts["summary"],
        "thumbnail": f"https://cdn.example.org/{facts['id']}.png",
        "numComments": 2,
        "submittedBy": person,
        "isAuthorParticipating": False,
    }


def hub_list(entries: Sequence[object], *, most: int = 100, ignores_page: bool = False) -> Answer:
    """The list's endpoint: pages of `limit` entries, at most `most`, `p` from 0."""

    def answer(request: Request) -> Reply:
        limit = min(int(request.query.get("limit", 50)), most)
        page = 0 if ignores_page else int(request.query.get("p", 0))
        return as_json(entries[page * limit : (page + 1) * limit])

    return answer


def paper_pdf(pages: Sequence[Sequence[str]], *, title: str = "", stamp: str = "") -> bytes:
    """A PDF with a line of text for each string; `stamp` stands upright in the margin of the first page."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    if "DejaVu" not in pdfmetrics.getRegisteredFontNames():  # the built-in fonts have no ligatures
        pdfmetrics.registerFont(TTFont("DejaVu", f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"))
    file = io.BytesIO()
    canvas = Canvas(file, invariant=True)
    if title:
        canvas.setTitle(title)
    for number, lines in enumerate(pages):
        canvas.setFont("DejaVu", 9)
        for place, line in enumerate(lines):
            canvas.drawString(72, 780 - 12 * place, line)
        if stamp and number == 0:
            canvas.rotate(90)
            canvas.drawString(300, -30, stamp)
        canvas.showPage()
    canvas.save()
    return file.getvalue()

"""A server on loopback that speaks OpenAI's chat completions, and misbehaves in the ways that real ones do.

It plays a script: each request takes the next turn, and the last turn is played again for all that follow. A turn is a
function of the request's body that returns a `Reply`. What was asked is kept in `requests`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUMMARY = {
    "whats_new": "TideCache moves entries between two tiers instead of evicting them.",
    "technical_details": "A gate of 0.4M parameters is trained for 2,000 steps by distillation.",
    "performance_highlights": "Recall on LongTalk rises from 61.2% to 74.8%.",
}
Body = dict[str, Any]


@dataclass
class Reply:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    wait: float = 0.0
    cut_at: int | None = None


Turn = Callable[[Body], Reply]


def says(
    text: str | None,
    *,
    finish: str = "stop",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (1000, 200),
    wait: float = 0.0,
    cut_at: int | None = None,
) -> Turn:
    """A completion with `text`; `usage` are prompt and answer tokens; `cut_at` breaks off after so many bytes."""
    counted = usage and {
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
        "total_tokens": sum(usage),
    }
    message = {"role": "assistant", "content": text, "refusal": refusal}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": counted,
    }
    body = json.dumps(completion).encode()
    return lambda _: Reply(body, wait=wait, cut_at=cut_at)


def summarizes(changes: dict[str, Any] | None = None, **options: Any) -> Turn:
    """A completion with the JSON of a summary, with some keys changed; a key that becomes `None` is left out."""
    told = {name: text for name, text in {**SUMMARY, **(changes or {})}.items() if text is not None}
    return says(json.dumps(told, ensure_ascii=False), **options)


def fails(status: int, message: str, code: str | None = None, **headers: str) -> Turn:
    """An error in OpenAI's form. Headers are given with underscores for hyphens."""
    body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}}).encode()
    return lambda _: Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def page(text: str, content_type: str = "text/html") -> Turn:
    """What a web server says that is no model."""
    return lambda _: Reply(text.encode(), content_type=content_type)


def refuses(setting: str, message: str, otherwise: Turn) -> Turn:
    """400 while the request's text holds `setting`, then what `otherwise` says."""

    def turn(body: Body) -> Reply:
        return (fails(400, message) if setting in json.dumps(body) else otherwise)(body)

    return turn


class LlmServer:
    """Used as a context manager; `url` is the base address for a client."""

    def __init__(self, *turns: Turn) -> None:
        self.turns = list(turns)
        self.requests: list[Body] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> LlmServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, request: int, message: int = -1) -> str:
        """The text of a message of a request."""
        return self.requests[request]["messages"][message]["content"]

    def _take(self, body: Body, key: str | None) -> Reply:
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        reply = turn(body)
        time.sleep(reply.wait)
        with self._lock:
            self._running -= 1
        return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/chat/completions":
                    reply = server._take(body, self.headers.get("Authorization"))
                else:
                    reply = Reply(b'{"detail": "Not Found"}', 404)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: reply.cut_at])
                if reply.cut_at is not None:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        return Handler

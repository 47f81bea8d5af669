"""A server on loopback that speaks OpenAI's chat completions over real sockets, and answers as models and servers do.

It is told what to do by a function of what is asked, counts what it answered and bills for it as a paid endpoint would.
Beside it a small benchmark of pictures, so that the harness is tested without the generator.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass
class Asked:
    """One call: the text sent, the picture's bytes, how often this text was asked before, and the rest."""

    text: str
    image: bytes | None
    before: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What the server does: wait, then send this, or cut the connection (`drop`) before or in the answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: str = ""
    usage: tuple[int, int] | None = None


def says(
    text: str | None,
    *,
    finish: str = "stop",
    usage: tuple[int, int] | None = (300, 5),
    refusal: str | None = None,
    delay: float = 0.0,
    drop: str = "",
    report: bool = True,
) -> Reply:
    """A completion. `usage` is billed, and told unless `report` is False."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage and report:
        completion["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True)) | {
            "total_tokens": sum(usage)
        }
    return Reply(200, json.dumps(completion).encode(), delay=delay, drop=drop, usage=usage)


def fails(status: int, message: str, code: str | None = None, delay: float = 0.0, **headers: str) -> Reply:
    """An error in OpenAI's form; header names with underscores for hyphens."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()}, delay)


class Server:
    """The server, in a thread with an event loop of its own; a context manager."""

    def __init__(self, behave: Callable[[Asked], Reply]) -> None:
        self._behave = behave
        self.asked: list[Asked] = []
        self.times: list[float] = []
        self.counts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.billed: list[tuple[int, int]] = []
        self.under_way = self.most_under_way = 0
        self.keep = True
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def bill(self, price: tuple[float, float]) -> float:
        return sum(into * price[0] + out * price[1] for into, out in self.billed) / 1e6

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=256, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self._respond(lines[0], headers, body, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _respond(
        self, first: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        assert first.startswith("POST /v1/chat/completions"), first
        self.times.append(time.monotonic())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            asked = self._understood(headers, json.loads(body))
            reply = self._behave(asked)
            if reply.delay:
                await asyncio.sleep(reply.delay)
        finally:
            self.under_way -= 1
        if reply.usage:
            self.billed.append(reply.usage)
        if reply.drop == "before":
            writer.transport.abort()
            return False
        told = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))} | reply.headers
        text = f"HTTP/1.1 {reply.status} X\r\n" + "".join(f"{n}: {v}\r\n" for n, v in told.items()) + "\r\n"
        writer.write(text.encode() + (reply.body[: len(reply.body) // 2] if reply.drop else reply.body))
        await writer.drain()
        if reply.drop:
            return False
        if reply.status == 200:
            self.answered[asked.text] += 1
        return True

    def _understood(self, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        content = body["messages"][0]["content"]
        text = next(part["text"] for part in content if part["type"] == "text")
        images = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
        image = base64.b64decode(images[0].removeprefix("data:image/png;base64,")) if images else None
        asked = Asked(text, image, self.counts[text], headers, body)
        self.counts[text] += 1
        if self.keep:
            self.asked.append(asked)
        return asked


@dataclass(frozen=True)
class FakeItem:
    """An item with the fields of the real one."""

    id: str
    task: str
    property: str
    category: str
    complexity: int
    effective_complexity: int
    question: str
    answer: str
    truth: str
    quantum: str
    spec: dict[str, Any]
    margins: dict[str, float]
    image: str
    image_sha256: str


class FakeBench(Sequence[FakeItem]):
    """`n` items with small pictures of their own."""

    def __init__(self, n: int, size: tuple[int, int] = (40, 30)) -> None:
        self._size = size
        tasks = ("properties", "function", "series", "transform")
        self._items = [
            FakeItem(
                id=f"{tasks[i % 4]}-gradient-{i:04d}",
                task=tasks[i % 4],
                property="gradient",
                category="Intercepts and Gradients",
                complexity=i % 10,
                effective_complexity=i % 10,
                question=f"Question {i}: what is the gradient of the function? Give an integer.",
                answer=str(i % 7 - 3),
                truth=f"{i % 7 - 3}/1",
                quantum="1",
                spec={"members": []},
                margins={},
                image=f"images/{i}.png",
                image_sha256=hashlib.sha256(f"{i}".encode()).hexdigest(),
            )
            for i in range(n)
        ]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[FakeItem]:
        return iter(self._items)

    def image(self, item: FakeItem) -> Image.Image:
        shade = int(item.image_sha256[:2], 16)
        return Image.new("RGB", self._size, (shade, 255 - shade, 128))

    def png(self, item: FakeItem) -> bytes:
        buffer = io.BytesIO()
        self.image(item).save(buffer, format="PNG")
        return buffer.getvalue()


def number(text: str) -> int:
    """Which item of a `FakeBench` a prompt is about."""
    return int(text.partition("Question ")[2].partition(":")[0])


def right(asked: Asked, **options: Any) -> Reply:
    """The right answer to an item of a `FakeBench`."""
    return says(str(number(asked.text) % 7 - 3), **options)

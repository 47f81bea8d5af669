"""Calls to an endpoint: many at a time, tried again where that can help, within a budget."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError
from paperworks.grab.budget import BudgetReached, Call, Ledger
from paperworks.grab.completions import (
    error_code,
    first_choice,
    message_of,
    parsed,
    text_and_finish,
    tokens_of,
)
from paperworks.grab.models import Request, Response

if TYPE_CHECKING:
    import httpx2
    import tenacity

Payload = Callable[[str, bytes | None, str], dict[str, Any]]
"""The JSON of a call: from the prompt, the PNG and the name of the limit on the answer."""

_AGAIN = {408, 409, 425, 429}
_MAYBE_BILLED = {408, 504}
_REFUSED_CODES = {"content_filter", "content_policy_violation", "responsible_ai_policy_violation"}
_FIRST_TRIES = 2


@dataclass(frozen=True)
class CallOptions:
    """How calls are made: see `endpoint.Endpoint`. `local`: the endpoint is on this machine, so no proxy is asked."""

    base_url: str
    local: bool
    concurrency: int
    timeout: float
    tries: int
    waits: tuple[float, float]
    patience: float
    max_tokens: int


class EndpointError(InputError):
    """The endpoint cannot be used as asked: its own words, and its HTTP `status` (None: there was no answer)."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Again(Exception):
    """A call that may succeed later, after `wait` seconds at least."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _GivenUp(Exception):
    """Another call has stopped the run."""


class Session:
    """One pass over requests: an event loop in a thread of its own, and a queue of what it has finished.

    The thread serves the sockets while the caller writes a response to the disk. At most four times `concurrency`
    responses wait for the caller.
    """

    def __init__(
        self,
        options: CallOptions,
        ledger: Ledger,
        payload: Payload,
        requests: Sequence[Request],
        key: str | None,
    ) -> None:
        self.options, self.ledger, self.payload, self.requests, self.key = (
            options,
            ledger,
            payload,
            requests,
            key,
        )
        self.results: queue.SimpleQueue[Response | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="grab-endpoint", daemon=True)
        self.stopped: BaseException | None = None
        self.left: list[int] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._closed = False
        self._places = asyncio.Semaphore(4 * options.concurrency)
        self._stop = asyncio.Event()
        self._reached = False
        self._failures, self._unanswered = 0, 0
        self._limit_name = "max_tokens"
        self._not_before = 0.0

    def took_one(self) -> None:
        """The caller has taken a response."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop was closed in between
                loop.call_soon_threadsafe(self._places.release)

    def close(self) -> None:
        """End the thread; what is under way is dropped."""
        self._closed = True
        loop = self._loop
        if loop is not None and self.thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop was closed in between
                loop.call_soon_threadsafe(lambda: self._main and self._main.cancel())
        self.thread.join()

    def _work(self) -> None:
        try:
            asyncio.run(self._answer_all())
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            self.stopped = group.exceptions[0]
        except BaseException as error:
            self.stopped = error
        finally:
            self.results.put(None)

    async def _answer_all(self) -> None:
        import httpx2

        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self._closed:
            return
        options = self.options
        self.ledger.start()
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        count = options.concurrency
        indices = iter(range(len(self.requests)))
        async with httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(options.timeout, connect=min(options.timeout, 20.0)),
            limits=httpx2.Limits(max_connections=count, max_keepalive_connections=count),
            trust_env=not options.local,
            verify=options.base_url.startswith("https"),  # else the certificates would be read for nothing
        ) as client:
            # One thread for the pictures: a drawing library need not be safe in several.
            with ThreadPoolExecutor(1, thread_name_prefix="grab-pictures") as pictures:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(count, len(self.requests))):
                        group.create_task(self._worker(client, pictures, indices))
        self.left.extend(indices)
        self.left.sort()

    async def _worker(
        self, client: httpx2.AsyncClient, pictures: ThreadPoolExecutor, indices: Iterator[int]
    ) -> None:
        for index in indices:
            try:
                response = await self._one(client, pictures, self.requests[index])
            except _GivenUp:
                self.left.append(index)
                return
            except BudgetReached as error:
                self.left.append(index)
                self._stop_for(error)
                return
            except InputError as error:
                self._stop_for(error)
                return
            await self._places.acquire()
            self.results.put(response)
            if self._stop.is_set():
                return

    def _stop_for(self, error: InputError) -> None:
        if self.stopped is None:
            self.stopped = error
        self._stop.set()

    async def _one(
        self, client: httpx2.AsyncClient, pictures: ThreadPoolExecutor, request: Request
    ) -> Response:
        import tenacity

        loop = asyncio.get_running_loop()
        image = await loop.run_in_executor(pictures, request.image) if request.image is not None else None
        started, costs = time.monotonic(), list[float]()
        options = self.options
        jitter = tenacity.wait_random_exponential(multiplier=1, min=options.waits[0], max=options.waits[1])

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, _Again) else None
            return jitter(state) if asked is None else asked

        again = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(options.tries),
            wait=wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            response: Response = await again(self._try, client, request, image, costs)
        except _Again as error:
            self._failures += 1
            most = max(8, 2 * options.concurrency)
            if self._failures >= most:
                self._stop_for(
                    EndpointError(
                        f"{most} questions in a row got no answer from {options.base_url} (the last: {error}); what "
                        "is answered is kept, run again to go on"
                    )
                )
            response = Response(request.key, request.id, None, "error", error=f"{error}")
        else:
            self._failures = 0
        return Response(
            response.key,
            response.id,
            response.text,
            response.finish,
            response.tokens_in,
            response.tokens_out,
            sum(costs) + self.ledger.correction(request.key) if self.ledger.price is not None else None,
            round(time.monotonic() - started, 6),
            response.error,
        )

    async def _sleep(self, seconds: float) -> None:
        """Wait, or give up as soon as the run is stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
        raise _GivenUp

    async def _try(
        self, client: httpx2.AsyncClient, request: Request, image: bytes | None, costs: list[float]
    ) -> Response:
        """One call, its price set aside while it runs.

        Raises `_Again`, `BudgetReached`, `EndpointError`, `_GivenUp`.
        """
        while (pause := self._not_before - time.monotonic()) > 0:
            await self._sleep(pause)
        options, ledger = self.options, self.ledger
        while True:
            if self._stop.is_set():
                raise _GivenUp
            length = len(request.prompt.encode("utf-8", "replace"))
            call = await ledger.reserve(request.key, request.id, length, _pixels(image), options.max_tokens)
            try:
                if self._stop.is_set():
                    raise _GivenUp
                limit_name = self._limit_name
                body = json.dumps(self.payload(request.prompt, image, limit_name)).encode()
                status, headers, answer = await self._post(client, call, body, costs)
            except (_GivenUp, EndpointError, _Again):
                await ledger.settle(call, None, free=True)  # does nothing where `_post` has done it
                raise
            if status == 400 and self._renamed_limit(limit_name, answer):
                await ledger.settle(call, None, free=True)
                continue
            return await self._judge(request, call, status, headers, answer, costs)

    def _renamed_limit(self, used: str, answer: bytes) -> bool:
        """Newer servers take the limit on the answer under another name: use that from now on."""
        if used == "max_tokens" and b"max_completion_tokens" in answer:
            self._limit_name = "max_completion_tokens"
            return True
        return False

    async def _post(
        self, client: httpx2.AsyncClient, call: Call, body: bytes, costs: list[float]
    ) -> tuple[int, httpx2.Headers, bytes]:
        import httpx2

        options, ledger = self.options, self.ledger
        try:
            async with asyncio.timeout(options.timeout):
                response = await client.post(
                    f"{options.base_url}/chat/completions",
                    content=body,
                    headers={"Content-Type": "application/json"},
                )
            self._reached = True
            return response.status_code, response.headers, response.content
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise EndpointError(f"{options.base_url}: {error}") from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            await ledger.settle(call, None, free=True)
            reason = _in_words(error)
            self._unreached(reason)
            raise _Again(f"no connection to {options.base_url}: {reason}") from error
        except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
            costs.append(await ledger.settle(call, None))
            if isinstance(error, TimeoutError | httpx2.TimeoutException):
                raise _Again(f"no answer within {options.timeout:g} s") from error
            raise _Again(f"the connection broke off: {_in_words(error)}") from error

    def _unreached(self, reason: str) -> None:
        """Nobody has ever answered at this address: two tries tell as much as six."""
        self._unanswered += 1
        if not self._reached and self._unanswered >= _FIRST_TRIES:
            raise EndpointError(
                f"nobody answers at {self.options.base_url}: {reason}; is the server running and the address right?"
            )

    async def _judge(
        self,
        request: Request,
        call: Call,
        status: int,
        headers: httpx2.Headers,
        answer: bytes,
        costs: list[float],
    ) -> Response:
        ledger = self.ledger
        data = parsed(answer)
        said = message_of(data, answer, status)
        if self.key:
            said = said.replace(self.key, "[key]")
        if status in _AGAIN or status >= 500:
            cost = await ledger.settle(call, None, free=status not in _MAYBE_BILLED)
            costs.append(cost)
            if status == 429 and error_code(data) == "insufficient_quota":
                raise EndpointError(f"the endpoint refused: HTTP 429: {said}", status)
            raise _Again(f"HTTP {status}: {said}", self._asked_to_wait(status, headers, said))
        if status != 200:
            await ledger.settle(call, None, free=True)
            if status == 400 and error_code(data) in _REFUSED_CODES:
                return Response(request.key, request.id, None, "refused", error=said)
            raise EndpointError(f"the endpoint refused {request.id}: HTTP {status}: {said}", status)
        tokens = tokens_of(data)
        costs.append(await ledger.settle(call, tokens))
        ledger.answered()
        choice = first_choice(data)
        if choice is None:
            if "json" in headers.get("Content-Type", ""):
                raise _Again(f"an answer without a choice: {said}")
            raise EndpointError(
                f"{self.options.base_url} answers with something that is no chat completion: {said}; an address "
                "ends in /v1 as a rule",
                status,
            )
        text, finish = text_and_finish(choice)
        if text is not None and self.key:
            text = text.replace(self.key, "[key]")
        used = tokens or (None, None)
        return Response(request.key, request.id, text, finish, used[0], used[1])

    def _asked_to_wait(self, status: int, headers: httpx2.Headers, said: str) -> float | None:
        """Seconds to wait by `Retry-After`; a limit on the rate holds back everybody. Raises for too long a wait."""
        from paperworks.papers.web import retry_after

        wait = retry_after(headers.get("Retry-After"))
        if wait is None:
            return None
        if wait > self.options.patience:
            raise EndpointError(
                f"the endpoint wants a wait of {wait:.0f} s (HTTP {status}: {said}); run again then, what is answered "
                "is kept",
                status,
            )
        if status == 429:
            self._not_before = max(self._not_before, time.monotonic() + wait)
        return wait


def _pixels(image: bytes | None) -> int:
    """Width times height of a PNG, from its header; 0 without a picture."""
    if image is None:
        return 0
    if len(image) < 24 or image[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError("a picture is no PNG; run  paperworks grab verify  on the dataset")
    width, height = struct.unpack(">II", image[16:24])
    return max(1, int(width) * int(height))


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

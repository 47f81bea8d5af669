"""A model behind an endpoint that speaks OpenAI's chat completions: a hosted one, vLLM, llama.cpp, Ollama.

`concurrency` questions are under way at a time. What may pass (408, 409, 425, 429, 5xx, a broken connection) is tried
again after a random wait that may double each time, or after what `Retry-After` says; what will not pass (400, 401,
403, 404, …) stops the run with the server's own words. The key is read from an environment variable when the calls
start and is neither stored nor shown.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from paperworks.errors import InputError, require
from paperworks.grab.budget import BudgetReached, Journal, Ledger
from paperworks.grab.calls import CallOptions, EndpointError, Session
from paperworks.grab.models import Request, Response

if TYPE_CHECKING:
    from paperworks.grab.prompts import Prompt

__all__ = ["BudgetReached", "Endpoint", "EndpointError"]

_RESERVED = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stream", "n"}


class Endpoint:
    """A model behind `base_url` (ends in `/v1` as a rule), as a `Model`.

    - `price`: (prompt, answer) per million tokens, in any currency; `budget`: the most that a run folder may cost, in
      the same currency. The calls stop before it is passed (`BudgetReached`); questions not asked are "unpaid".
    - `key_env`: the environment variable with the key. None sends no key; an endpoint on this machine needs none.
    - `concurrency`: calls under way at a time. `timeout`: seconds for a whole answer.
    - `max_tokens`: how long an answer may be (None: the prompt's limit). `temperature` None leaves it to the server.
    - `image_detail`: "low", "high" or "auto", sent with the picture. `extra`: further fields of the request's JSON.
    - `tries`: calls for one question at most; between them a random wait of at least `waits[0]` s, whose upper end
      doubles from four times that up to `waits[1]` s, or `Retry-After` where it is at most `patience` seconds.

    A call that broke off after it was sent counts at its highest price, because the server may have counted it.
    Raises `InputError` for options that cannot be.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        price: tuple[float, float] | None = None,
        budget: float | None = None,
        key_env: str | None = "OPENAI_API_KEY",
        concurrency: int = 16,
        max_tokens: int | None = None,
        temperature: float | None = 0.0,
        timeout: float = 120.0,
        image_detail: str | None = None,
        extra: Mapping[str, Any] | None = None,
        tries: int = 6,
        waits: tuple[float, float] = (1.0, 60.0),
        patience: float = 600.0,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"{base_url!r} is no address of an endpoint; give one such as http://localhost:8000/v1"
            )
        if parts.username or parts.password or parts.query:
            raise InputError(
                "the endpoint's address must not hold a password or a query; give the key in an environment variable "
                "and name it with --key-env"
            )
        if not model.strip():
            raise InputError("no model is named: give the endpoint's name of it with --model")
        for name, value in (
            ("concurrency", concurrency),
            ("timeout", timeout),
            ("tries", tries),
            ("waits", min(waits)),
        ):
            if not value > 0:
                raise InputError(f"{name} is {value}; it is a number above 0")
        if max_tokens is not None and max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens}; it is a number above 0")
        if image_detail not in (None, "low", "high", "auto"):
            raise InputError(f"image_detail is {image_detail!r}; it is low, high or auto")
        if taken := sorted(_RESERVED & set(extra or {})):
            raise InputError(f"extra holds {', '.join(taken)}, which this endpoint sets itself; leave it out")
        self.base_url, self._model = base_url.rstrip("/").removesuffix("/chat/completions"), model
        self._key_env, self._concurrency, self._timeout = key_env, concurrency, timeout
        self._max_tokens, self._prompt_tokens = max_tokens, 100
        self._temperature, self._detail, self._extra = temperature, image_detail, dict(extra or {})
        self._tries, self._waits, self._patience = tries, waits, patience
        self._local = _on_this_machine(parts.hostname)
        self._ledger = Ledger(price, budget)

    @property
    def name(self) -> str:
        """The endpoint's name of the model."""
        return self._model

    @property
    def max_tokens(self) -> int:
        """How long an answer may be."""
        return self._max_tokens or self._prompt_tokens

    @property
    def parameters(self) -> dict[str, Any]:
        """What changes the answers; the address, the key, the price and the speed are not among it."""
        parameters = {"kind": "endpoint", "max_tokens": self.max_tokens, "temperature": self._temperature}
        if self._detail is not None:
            parameters["image_detail"] = self._detail
        return parameters | ({"extra": self._extra} if self._extra else {})

    @property
    def spent(self) -> float:
        """What the calls cost so far, with what earlier runs into the same folder cost."""
        return self._ledger.spent

    def use_prompt(self, prompt: Prompt) -> None:
        """Take the prompt's limit on the answer, unless the endpoint has its own."""
        self._prompt_tokens = prompt.max_tokens

    def account(self, spent: float, journal: Journal | None) -> None:
        """Go on from what a run folder has cost; `journal` is told of what calls may and then do cost."""
        self._ledger.spent, self._ledger.journal = spent, journal

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """The responses as they come. `EndpointError`, `BudgetReached` come after what was under way has finished."""
        require("grab", "httpx2", "tenacity")
        session = Session(self._options(), self._ledger, self._payload, requests, self._key())
        session.thread.start()
        try:
            while (response := session.results.get()) is not None:
                yield response
                session.took_one()
            if isinstance(session.stopped, BudgetReached):
                for index in session.left:
                    yield Response(requests[index].key, requests[index].id, None, "unpaid")
        finally:
            session.close()
        if session.stopped is not None:
            raise session.stopped

    def _key(self) -> str | None:
        if self._key_env is None:
            return None
        key = os.environ.get(self._key_env, "").strip()
        if not key and not self._local:
            raise InputError(
                f"no key for the endpoint: set the environment variable {self._key_env}, or name another with --key-env"
            )
        if not (key.isascii() and key.isprintable()):
            raise InputError(f"the key in {self._key_env} has characters that no key has; set it again")
        return key or None

    def _options(self) -> CallOptions:
        return CallOptions(
            self.base_url,
            self._local,
            self._concurrency,
            self._timeout,
            self._tries,
            self._waits,
            self._patience,
            self.max_tokens,
        )

    def _payload(self, prompt: str, image: bytes | None, limit_name: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
        if image is not None:
            picture = {"url": "data:image/png;base64," + base64.b64encode(image).decode("ascii")}
            content.append({"type": "image_url", "image_url": picture})
            if self._detail is not None:
                picture["detail"] = self._detail
        payload: dict[str, Any] = {"model": self._model, "messages": [{"role": "user", "content": content}]}
        payload[limit_name] = self.max_tokens
        if self._temperature is not None:
            payload["temperature"] = self._temperature
        return payload | self._extra


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

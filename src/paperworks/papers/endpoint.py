"""Summaries by any endpoint that speaks OpenAI's chat completions: a hosted model, vLLM, llama.cpp, Ollama.

Endpoints differ in what they understand: a setting that one refuses (a JSON schema, a temperature, the name of the
limit on the answer) is replaced by its older form or left out, and remembered. Prices change, so none are kept here:
they are options, and the cap on cost is checked before each call against what that call can cost at most.
"""

from __future__ import annotations

import ipaddress
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from paperworks.errors import InputError, require
from paperworks.papers.prompting import Answer, ModelSummarizer, Prompts, short
from paperworks.papers.source import Source
from paperworks.papers.summarize import Estimate, Message, SummaryError, Usage, tokens_in, within_budget

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

_SCHEMA = {"name": "summary", "schema": Answer.model_json_schema(), "strict": True}
_FORMATS: tuple[dict[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": _SCHEMA},
    {"type": "json_object"},
    None,
)


@dataclass(frozen=True)
class EndpointOptions:
    """How an endpoint is called.

    `url` is the base ending in `/v1` as a rule, `None` for OpenAI's own; `key_variable` names the environment
    variable with the key (an endpoint on this machine needs none). `paper_tokens` is how much of a paper is sent,
    `answer_tokens` how long an answer may be, by the rule of `tokens_in`. `price_in` and `price_out` are per million
    tokens, in any currency; `max_cost` in the same currency and `max_tokens` cap the whole run. `timeout` is in
    seconds a call, `retries` are further tries after 429, 5xx, a timeout or a broken connection, as `Retry-After`
    says or with growing pauses. `temperature` `None` leaves it to the endpoint.
    """

    model: str
    url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    paper_tokens: int = 60_000
    answer_tokens: int = 3_000
    price_in: float | None = None
    price_out: float | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    timeout: float = 120.0
    retries: int = 4
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InputError("no model is named: give the endpoint's name of it with --model")
        if self.url is not None and (
            urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname
        ):
            raise InputError(
                f"{self.url!r} is no address of an endpoint; give one such as http://localhost:8000/v1 with --llm-url"
            )
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise InputError(
                "a limit on cost needs the prices per million tokens: give --price-in and --price-out"
            )
        for name in ("paper_tokens", "answer_tokens", "timeout"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it is a number above 0")
        for name in ("price_in", "price_out", "max_cost", "max_tokens", "retries"):
            if (getattr(self, name) or 0) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it is 0 or more")

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """What so many tokens cost, in the currency of the prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (prompt_tokens * self.price_in + answer_tokens * self.price_out) / 1e6


class EndpointSummarizer(ModelSummarizer):
    """Summaries by a model behind an endpoint. Safe to use from several threads.

    Raises `InputError` without a key (it names the variable). `spent` is what all calls so far took.
    """

    def __init__(self, options: EndpointOptions, prompts: Prompts | None = None) -> None:
        require("daily", "openai")
        import openai

        key = os.environ.get(options.key_variable, "").strip()
        local = _on_this_machine(options.url)
        if not key and not local:
            raise InputError(
                f"no key for the endpoint: set the environment variable {options.key_variable}, or name another with "
                "--key-variable"
            )
        self.options = options
        self.spent = Usage()
        self.name = options.model
        self.prompts = prompts or Prompts()
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=options.url or "https://api.openai.com/v1",
            timeout=options.timeout,
            max_retries=options.retries,
            http_client=openai.DefaultHttpxClient(trust_env=False) if local else None,
        )
        self._lock = threading.Lock()
        self._reserved_tokens, self._reserved_price = 0, 0.0
        self._answered = False
        self._format = 0
        self._limit_name = "max_completion_tokens"
        self._temperature = options.temperature

    def estimate(self, title: str, source: Source, language: str) -> Estimate:
        """The tokens of the first call by the rule of `tokens_in`, the longest answer allowed, and their price."""
        messages, missing = self.question(title, source, language)
        sent, answer = _tokens(messages), self.options.answer_tokens
        return Estimate(sent, answer, self.options.price(sent, answer), missing)

    def _fitting(self, title: str, source: Source, language: str) -> Source:
        return within_budget(source, self.options.paper_tokens)

    def _call(self, what: str, messages: tuple[Message, ...]) -> tuple[str, Usage]:
        """The text of one answer. Raises `SummaryError` and `InputError` as `summarize` does."""
        sent = _tokens(messages)
        with self._reserved(sent, self.options.answer_tokens) as paid:
            completion = self._completion(what, messages)
            choice = completion.choices[0] if completion.choices else None
            answer = (choice.message.content or "") if choice else ""
            counted = completion.usage
            used = (
                (counted.prompt_tokens, counted.completion_tokens) if counted else (sent, tokens_in(answer))
            )
            usage = Usage(*used, 1, self.options.price(*used))
            paid.append(usage)
        if choice is None:
            raise SummaryError(f"{self.name}: an answer without a choice for {what!r}")
        if choice.message.refusal:
            raise SummaryError(f"{self.name} refused {what!r}: {short(choice.message.refusal)}")
        if choice.finish_reason == "content_filter":
            raise SummaryError(
                f"{self.name}: the endpoint's content filter stopped the answer for {what!r}: {short(answer)}"
            )
        if choice.finish_reason == "length":
            raise SummaryError(
                f"{self.name}: the answer for {what!r} was cut off after {used[1]:,} tokens; allow more with "
                "--answer-tokens"
            )
        if not answer.strip():
            raise SummaryError(f"{self.name} gave an empty answer for {what!r}")
        return answer, usage

    @contextmanager
    def _reserved(self, prompt_tokens: int, answer_tokens: int) -> Iterator[list[Usage]]:
        """Sets aside what a call can take at most while it runs; what it took goes into the list. Raises at a limit."""
        options = self.options
        tokens, price = prompt_tokens + answer_tokens, options.price(prompt_tokens, answer_tokens) or 0.0
        with self._lock:
            taken = self.spent.prompt_tokens + self.spent.answer_tokens + self._reserved_tokens
            paid = (self.spent.price or 0.0) + self._reserved_price
            if options.max_tokens is not None and taken + tokens > options.max_tokens:
                raise InputError(
                    f"stopped before a call of up to {tokens:,} tokens: {taken:,} of at most {options.max_tokens:,} "
                    "are used or under way; raise --max-tokens and run again, what is done stays done"
                )
            if options.max_cost is not None and paid + price > options.max_cost:
                raise InputError(
                    f"stopped before a call of up to {price:.4f}: {paid:.4f} of at most {options.max_cost:.4f} "
                    "are spent or under way; raise --max-cost and run again, what is done stays done"
                )
            self._reserved_tokens += tokens
            self._reserved_price += price
        used: list[Usage] = []
        try:
            yield used
        finally:
            with self._lock:
                self._reserved_tokens -= tokens
                self._reserved_price -= price
                for usage in used:
                    self.spent += usage

    def _completion(self, what: str, messages: tuple[Message, ...]) -> ChatCompletion:
        import openai

        while True:
            settings = self._settings()
            try:
                completion = self._client.chat.completions.create(
                    model=self.name, messages=cast("Any", messages), **settings
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if self._gives_way(str(error.body or error), settings):
                    continue
                raise SummaryError(f"{self.name} cannot do {what!r}: {_said(error)}") from error
            except openai.AuthenticationError as error:
                raise InputError(
                    f"{self._where} refused the key in {self.options.key_variable}: {_said(error)}"
                ) from error
            except (openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise InputError(
                    f"{self._where} has no model {self.name!r} for this key, or is no OpenAI-compatible endpoint "
                    f"(the address ends in /v1 as a rule): {_said(error)}"
                ) from error
            except openai.APITimeoutError as error:
                raise self._failure(
                    f"{self._where} did not answer in {self.options.timeout:g} s for {what!r}"
                ) from error
            except openai.APIConnectionError as error:
                cause = short(str(error.__cause__ or error))
                raise self._failure(
                    f"{self._where} cannot be reached, or broke off, for {what!r}: {cause}"
                ) from error
            except openai.APIStatusError as error:
                if error.code == "insufficient_quota":
                    raise InputError(
                        f"{self._where}: the quota of the key in {self.options.key_variable} is used up"
                    ) from error
                raise SummaryError(
                    f"{self._where} failed for {what!r} after {self.options.retries} retries: {error.status_code} "
                    f"{_said(error)}"
                ) from error
            except (openai.OpenAIError, ValueError) as error:
                raise self._failure(
                    f"{self._where} is no OpenAI-compatible endpoint: {short(str(error))}"
                ) from error
            if getattr(completion, "choices", None) is None:
                raise self._failure(
                    f"{self._where} is no OpenAI-compatible endpoint: it said {short(str(completion))}"
                )
            self._answered = True
            return completion

    @property
    def _where(self) -> str:
        return str(self._client.base_url).rstrip("/")

    def _failure(self, message: str) -> InputError:
        """Of this paper where the endpoint has answered before, else of the endpoint."""
        return SummaryError(message) if self._answered else InputError(f"{message}; check --llm-url")

    def _settings(self) -> dict[str, Any]:
        with self._lock:
            settings: dict[str, Any] = {self._limit_name: self.options.answer_tokens}
            if self._temperature is not None:
                settings["temperature"] = self._temperature
            if (wanted := _FORMATS[self._format]) is not None:
                settings["response_format"] = wanted
            return settings

    def _gives_way(self, refusal: str, settings: dict[str, Any]) -> bool:
        """Give up the setting that a refusal names; whether there was one. Another thread may have done so already."""
        with self._lock:
            if "response_format" in settings and re.search(
                r"response_format|json_schema|json_object|json mode|structured output|grammar|guided",
                refusal,
                re.I,
            ):
                self._format = max(self._format, _FORMATS.index(settings["response_format"]) + 1)
            elif "max_completion_tokens" in settings and "max_completion_tokens" in refusal:
                self._limit_name = "max_tokens"
            elif "temperature" in settings and "temperature" in refusal:
                self._temperature = None
            else:
                return False
            return True


def _on_this_machine(url: str | None) -> bool:
    host = urlsplit(url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _tokens(messages: tuple[Message, ...]) -> int:
    return sum(tokens_in(message["content"]) + 4 for message in messages)


def _said(error: Any) -> str:
    body = error.body
    message = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return short(str(message or error))

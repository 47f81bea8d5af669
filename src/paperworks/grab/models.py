"""What a model is to the harness: something that takes requests and yields responses as they finish.

An endpoint, a local checkpoint, a constant prior and the pixel reader all keep to this protocol, so that they are
stored, resumed and scored in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

Finish = Literal["stop", "length", "refused", "error", "unpaid"]
FINISHES: tuple[str, ...] = get_args(Finish)


@dataclass(frozen=True)
class Request:
    """One question to a model.

    `key` names item, image, prompt, model and parameters (see `evaluate.request_key`); `id` is the item's; `prompt` is
    the whole text that is sent; `image` gives the PNG when it is called, so that pictures are read or drawn only when
    they are needed (None: a question without a picture, as in the extraction of answers); `item_question` is the
    question without the prompt's instructions.
    """

    key: str
    id: str
    prompt: str
    image: Callable[[], bytes] | None
    item_question: str


@dataclass(frozen=True)
class Response:
    """What came back.

    `text` is the model's own text, untouched, or None where there is none. `finish`: "stop" (a whole answer), "length"
    (cut off by max_tokens: truncated, not wrong), "refused" (the model or its content filter declined), "error" (no
    answer after all tries), "unpaid" (not asked: the budget was reached). `cost` is in the currency of the price given,
    None where there is no price. `seconds` is the time the item took, retries included.
    """

    key: str
    id: str
    text: str | None
    finish: Finish
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    seconds: float = 0.0
    error: str | None = None


@runtime_checkable
class Model(Protocol):
    """Something that answers requests.

    `name` and `parameters` (plain JSON values: whatever changes the answers, no secret, nothing that only changes the
    speed) identify it in a run folder. `answer` yields one response to each request, in any order, as they finish.

    `evaluate` calls two optional methods before the first request, if the model has them: `prepare(bench)` gives the
    items themselves (a prior fitted on their answers needs them), `use_prompt(prompt)` the `prompts.Prompt` (a language
    model takes its `max_tokens` where it has none of its own). `parameters` is read after both.
    """

    @property
    def name(self) -> str:
        """The name under which its answers are stored."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Whatever changes the answers, as plain JSON values."""

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """One response to each request, in any order, as they finish."""

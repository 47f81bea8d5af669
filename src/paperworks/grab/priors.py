"""The floor: what a model scores that never sees the picture.

The sources print no floor, yet a constant zero answers some of the questions right. Each prior is a model like any
other, so that it is stored and scored like one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from paperworks.errors import InputError
from paperworks.grab.models import Request, Response

PRIORS = ("zero", "mode", "constant")


class Prior:
    """A model that answers from the question's class alone: task, property and precision (of equations also the text).

    - `zero`: 0 in the form that the question asks for: `0`, `0.0`, `[0, 0]`
    - `mode`: the commonest answer to the *other* questions of the class, the first in the data set's order of equally
      common ones; zero where there is no other
    - `constant`: the commonest answer of the class, the question's own included. In sample: no model that ignores the
      picture and gives one answer a class can score higher

    `prepare(bench)` must be called before `answer`; `evaluate` does.
    """

    def __init__(self, kind: str = "zero") -> None:
        if kind not in PRIORS:
            raise InputError(f"no prior is called {kind!r}: choose from {', '.join(PRIORS)}")
        self.kind = kind
        self._answers: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """The name under which its answers are stored."""
        return f"prior-{self.kind}"

    @property
    def parameters(self) -> dict[str, Any]:
        """None: a prior has nothing to set but its kind, which is in its name."""
        return {}

    def prepare(self, bench: Iterable[Any]) -> None:
        """Take the items (anything with the item's fields as attributes or keys) whose answers are counted."""
        rows = [_fields(item) for item in bench]
        self._answers = dict(zip((row["id"] for row in rows), predictions(self.kind, rows), strict=True))

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """One response to each request, in order, at no cost."""
        if self._answers is None:
            raise InputError("a prior counts the answers of a data set: call prepare(bench) before answer")
        for request in requests:
            text = self._answers.get(request.id)
            if text is None:
                raise InputError(f"{request.id} is not among the items that the prior counted")
            yield Response(request.key, request.id, text, "stop", 0, 0, None, 0.0, None)


def predictions(kind: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The prior's answer to each row (task, property, quantum, question, answer), in order."""
    if kind not in PRIORS:
        raise InputError(f"no prior is called {kind!r}: choose from {', '.join(PRIORS)}")
    if kind == "zero":
        return [zero(row) for row in rows]
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        counts.setdefault(_class(row), Counter())[row["answer"]] += 1
    return [_commonest(counts[_class(row)], row, kind) for row in rows]


def zero(row: Mapping[str, Any]) -> str:
    """0 as the question wants it."""
    if row["answer"].startswith("["):
        return f"[{_zero(row)}, {_zero(row)}]"
    return _zero(row)


def _zero(row: Mapping[str, Any]) -> str:
    return "0.0" if row["quantum"] == "0.1" else "0"


def _class(row: Mapping[str, Any]) -> tuple[str, ...]:
    form = row["question"] if row["property"] == "equation" else ""
    return row["task"], row["property"], row["quantum"], form


def _commonest(counts: Counter[str], row: Mapping[str, Any], kind: str) -> str:
    own = row["answer"] if kind == "mode" else None
    best, most = zero(row), 0
    for answer, count in counts.items():  # in the order of their first appearance
        others = count - (answer == own)
        if others > most:
            best, most = answer, others
    return best


def _fields(item: Any) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        return item
    names = ("id", "task", "property", "quantum", "question", "answer")
    return {name: getattr(item, name) for name in names}

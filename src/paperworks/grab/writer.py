"""Who writes a run folder, and what: the responses as they come, and what the calls under way may cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from paperworks.errors import InputError
from paperworks.grab.models import Model, Response
from paperworks.grab.responses import Log, read_lines

ANSWERED = ("stop", "length", "refused")
"""How a response ends that is not asked again."""


class Writer:
    """What is written while a model answers: the responses, and what the calls under way cost.

    `calls.jsonl` is there during a run with a price only. What it says of calls that no response closed, because the
    run was killed or stopped, is counted as spent: the next run stores it as an "error" with that cost.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        self._log = Log(folder / "responses.jsonl")
        self._calls_path = folder / "calls.jsonl"
        self._calls = Log(self._calls_path)
        self._model = model
        self._stack = ExitStack()
        self._open: dict[str, tuple[str, float]] = {}
        self.answered: set[str] = set()
        self._unpaid: set[str] = set()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._log)
            self._close_calls(_calls_left(self._calls_path))
            spent = 0.0
            for line in read_lines(self._log.path):
                key, finish = line["key"], line["finish"]
                spent += line.get("cost") or 0.0
                (self.answered.add if finish in ANSWERED else self._unpaid.discard)(key)
                if finish == "unpaid":
                    self._unpaid.add(key)
            if callable(account := getattr(self._model, "account", None)):
                stack.enter_context(self._calls)
                account(spent, self._note)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, response: Response, prompt: str) -> None:
        """Store a response."""
        if response.finish == "unpaid":
            if response.key not in self._unpaid:
                self._log.append([asdict(response) | {"request": prompt}], sync=False)
            return
        self._log.append([asdict(response) | {"request": prompt}])
        if response.cost is not None and self._open.pop(response.key, None) is not None:
            self._calls.append([{"key": response.key, "id": response.id, "cost": None}], sync=False)

    def close(self) -> None:
        """Count what no response closed, and close the files."""
        with self._stack:
            if callable(account := getattr(self._model, "account", None)):
                account(getattr(self._model, "spent", 0.0), None)
            self._close_calls(self._open)
            self._open = {}
        self._stack = ExitStack()

    def _note(self, key: str, id: str, change: float) -> None:
        self._calls.append([{"key": key, "id": id, "cost": change}], sync=False)
        self._open[key] = (id, self._open.get(key, (id, 0.0))[1] + change)

    def _close_calls(self, left: dict[str, tuple[str, float]]) -> None:
        reason = "the run ended while this was asked; its highest price is counted"
        lost = [
            Response(key, id, None, "error", cost=cost, error=reason)
            for key, (id, cost) in left.items()
            if cost > 1e-12
        ]
        if lost:
            self._log.append([asdict(response) for response in lost])
        self._calls_path.unlink(missing_ok=True)


def _calls_left(path: Path) -> dict[str, tuple[str, float]]:
    """What the calls of a killed run cost that no response closed: (item id, cost) by key."""
    left: dict[str, tuple[str, float]] = {}
    for line in read_lines(path):
        key, change = line["key"], line["cost"]
        if change is None:
            left.pop(key, None)
        else:
            left[key] = (line["id"], left.get(key, ("", 0.0))[1] + change)
    return left


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the run folder; two processes would ask everything twice. A killed process lets go of it."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", blocking=False)
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"{folder} is being written by another process; wait for it or choose another --out"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another --out") from error
    try:
        yield
    finally:
        lock.release()


def digest(data: Any) -> str:
    """SHA-256 of a JSON value, the order of keys aside."""
    text = json.dumps(data, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

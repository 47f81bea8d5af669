"""What long runs over files share: a journal of what is final, tasks in order with few in flight, clear disk errors."""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paperworks.errors import InputError
from paperworks.files import remove_remains, write_json

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Journal:
    """`OUT.partial.json`: how much of the output is final, for the job that `key` describes and for no other."""

    def __init__(self, out: Path, key: dict[str, Any]):
        self.path = out.with_name(out.name + ".partial.json")
        self.key = key | {"format": 1, "out": out.name}

    def read(self) -> int:
        """How much is final; 0 without a journal. Warns where the journal is of another job."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["key"] == self.key:
                return int(stored["done"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError):
            pass
        warnings.warn(
            f"{self.path.name} is of another aligner, source or format: starting anew", stacklevel=2
        )
        return 0

    def write(self, done: int) -> None:
        """Record, atomically, that `done` is final."""
        write_json(self.path, {"key": self.key, "done": done})

    def forget(self) -> None:
        """Remove the journal, and what a run left that was killed while it wrote it."""
        self.path.unlink(missing_ok=True)
        remove_remains(self.path)


def in_order(
    tasks: Iterable[tuple[Callable[..., Any], *tuple[Any, ...]]], workers: int
) -> Generator[Any, None, None]:
    """The results of `(function, *arguments)` tasks in their order, worked on by threads, few of them ahead of time.

    When one fails, the others in flight are finished and the error is raised. Close it (`contextlib.closing`) when
    leaving early: what the tasks use, such as an open file, must outlive them.
    """
    running: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for function, *arguments in tasks:
                running.append(pool.submit(function, *arguments))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


@contextmanager
def clear_disk_errors(out: Path) -> Iterator[None]:
    """Turn an `OSError` about the output into one line that says what became of the old file."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            state = "the old file is untouched" if out.exists() else "nothing was written under that name"
            raise InputError(
                f"no room for {out} ({os.strerror(error.errno)}): {state}; free some space and run it again"
            ) from error
        raise InputError(f"cannot write {out}: {error.strerror}") from error

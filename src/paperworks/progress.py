"""What a command shows: JSON for scripts, a bar on standard error that goes away at the end, warnings of one line."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on standard error that takes (done, total, what comes next)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total, next_: bars.update(task, completed=done, total=total, description=next_)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings of the library as one line each on standard error, at the end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for line in dict.fromkeys(str(warning.message) for warning in caught):
                print(f"warning: {line}", file=sys.stderr)


def quiet_libraries() -> None:
    """No bars and remarks of transformers, and of diffusers where it is installed, beside our own."""
    from importlib import import_module
    from importlib.util import find_spec

    for name in ("transformers", "diffusers"):
        if find_spec(name):
            logging = import_module(f"{name}.utils.logging")
            logging.disable_progress_bar()
            logging.set_verbosity_error()


def print_json(data: Any) -> None:
    """Print JSON for scripts; a number that is not finite is `null`."""
    print(json.dumps(_finite(data), ensure_ascii=False, indent=2))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data

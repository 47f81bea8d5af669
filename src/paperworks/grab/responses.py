"""The files of a run that only grow: one JSON object a line, appended whole.

A killed run leaves at most one torn line at the end; it is dropped with a warning. A full disk stops the run, and the
file ends with the last whole line.
"""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from paperworks.errors import InputError


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, without a torn last line (warned). Raises `InputError` for a damaged line before it."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                warnings.warn(
                    f"{path}: the last line is torn (the run was killed); it is dropped", stacklevel=2
                )
                return
            try:
                data = json.loads(line)
            except ValueError:
                data = None
            if not isinstance(data, dict):
                raise InputError(
                    f"{path}: line {number} is no JSON object; restore the file or remove the line"
                )
            yield data


class Log:
    """Appends objects to a file; a context manager, safe in several threads.

    A line is handed to the system before `append` returns, so that a killed process loses none. A thread of the log
    brings to the disk what is not there yet, again and again, and the end of the `with` waits for it: where the power
    fails, the lines of the last few milliseconds are lost. (A wait for the disk on each line would be the slowest part
    of a run.) A torn last line is cut off, with a warning, when the log is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._end = 0
        self._changed = threading.Condition()
        self._unsynced = self._closing = False
        self._error: OSError | None = None
        self._syncing = threading.Thread(target=self._sync, name="grab-log", daemon=True)

    def __enter__(self) -> Log:
        try:
            self._file = open(self.path, "a+b", buffering=0)
            self._end = self._whole_lines()
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error
        self._syncing.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._syncing.join()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._error is not None and not any(exception):
            raise self._full(self._error)

    def append(self, objects: Iterable[dict[str, Any]], *, sync: bool = True) -> None:
        """Append one line each; `sync` brings them to the disk.

        Raises `InputError` when the disk is full; then the file ends where it ended before.
        """
        data = b"".join(map(_line, objects))
        with self._changed:
            assert self._file is not None, "the log is open inside its `with` only"
            if self._error is not None:
                raise self._full(self._error)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) or 0 :]
            except OSError as error:
                self._cut(self._end)
                raise self._full(error) from error
            self._end += len(data)
            if sync:
                self._unsynced = True
                self._changed.notify()

    def _sync(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unsynced or self._closing)
                if not self._unsynced or self._file is None:
                    return
                self._unsynced = False
                handle = self._file.fileno()
            try:
                os.fsync(handle)
            except OSError as error:
                self._error = error
                return

    def _full(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write {self.path}: {error.strerror}; what is in it is whole, make room and run again to go on"
        )

    def _cut(self, length: int) -> None:
        if self._file is not None:
            os.ftruncate(self._file.fileno(), length)

    def _whole_lines(self) -> int:
        """The length of the file up to its last line end; what follows is cut off."""
        assert self._file is not None
        size = end = self._file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            self._file.seek(start)
            block = self._file.read(end - start)
            if (at := block.rfind(b"\n")) >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            warnings.warn(
                f"{self.path}: the last line is torn (the run was killed); it is dropped", stacklevel=3
            )
            self._cut(end)
        return end


def _line(data: dict[str, Any]) -> bytes:
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair in a model's answer
        return json.dumps(data, allow_nan=False).encode() + b"\n"

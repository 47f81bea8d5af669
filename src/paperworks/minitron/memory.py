"""Private memory and disk: what a streamed pass must keep small, and what it must find before it starts."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from paperworks.errors import InputError


def private_bytes() -> int:
    """This process's private memory in bytes (`RssAnon`, without mapped files); 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        return 0
    return 1024 * int(line.split()[1])


class PeakPrivate:
    """A context in which private memory is looked at every 20 ms; `bytes` is the most that was seen."""

    def __init__(self) -> None:
        self.bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakPrivate:
        self.bytes = private_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.bytes = max(self.bytes, private_bytes())

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.bytes = max(self.bytes, private_bytes())


def check_disk(folder: Path, needed: int, what: str) -> None:
    """Raise `InputError` where the disk of `folder`, which need not exist yet, has fewer than `needed` bytes free."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{what} needs {needed:,} bytes on the disk of {folder}, {free:,} are free: give a folder on another disk"
        )

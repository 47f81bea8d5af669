"""Writing files so that a killed run leaves either the old file or the new one."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paperworks.errors import InputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`; on success it replaces `path`, on an error it is removed.

    Raises `InputError` where the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place with --out") from error
    os.close(handle)
    os.chmod(name, 0o666 & ~_umask())
    try:
        yield Path(name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `path`; on success it becomes `path`, on an error it is removed.

    Raises `InputError` where `path` is there and not empty, or cannot be written.
    """
    path = Path(path).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already; choose another --out or remove it")
    building = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
        yield building
        building.chmod(0o777 & ~_umask())
        os.replace(building, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place with --out") from error
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)


def remove_remains(path: Path) -> None:
    """Remove what `replacing(path)` left behind in runs that were killed. Nobody else may be writing `path`."""
    for remains in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        remains.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically, with line ends as they are."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write JSON atomically: two spaces of indent, UTF-8, numbers that are not finite refused by `ValueError`."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

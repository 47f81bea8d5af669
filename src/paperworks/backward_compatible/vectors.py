"""Vectors where they are stored: NumPy, safetensors, Parquet, Arrow, `datasets`, arrays, tensors; one way to read.

A gallery may be far larger than memory, so nothing here reads more than is asked for: `rows` and `chunks` go through
plain reads of the file, which leave no mapped pages behind in the process.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from paperworks.errors import InputError, require

Array = NDArray[Any]
Load = Callable[[], Array]

QUANTISED = (
    "int8 and uint8 vectors must be dequantised first (x * scale + offset, in float16 or float32); binary codes of a "
    "Hamming index cannot be rotated, re-encode them from floats"
)


class Vectors(ABC):
    """`n` stored vectors of width `d`: `shape (n, d)`, `dtype`, and a `name` for messages."""

    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @abstractmethod
    def rows(self, start: int, stop: int) -> Array:
        """Rows `start … stop - 1`, `[stop - start, d]`, in C order and in this machine's byte order."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A text that changes when the source does; cheap, it does not read everything."""

    def blocks(self, size: int, start: int = 0) -> Iterator[tuple[int, int, Load]]:
        """`(start, stop, load)` for blocks of `size` rows; `load` may be called in another thread."""
        for first in range(start, len(self), size):
            last = min(first + size, len(self))
            yield first, last, partial(self.rows, first, last)

    def chunks(self, size: int) -> Iterator[Array]:
        """The vectors in order, `size` rows at a time."""
        for _, _, load in self.blocks(size):
            yield load()

    def take(self, rows: NDArray[np.integer]) -> Array:
        """The given rows, in the given order."""
        return np.stack([self.rows(row, row + 1)[0] for row in rows]) if len(rows) else self.rows(0, 0)

    def select(self, rows: NDArray[np.integer]) -> Vectors:
        """The given rows as vectors of their own, read when they are needed."""
        return SelectedVectors(self, rows)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[np.integer]) -> Array:
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            return self.rows(start, max(start, stop))
        return self.take(np.arange(len(self))[rows])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return self.rows(0, len(self)).astype(dtype or self.dtype, copy=False)


class ArrayVectors(Vectors):
    """Vectors that are in memory or memory-mapped by somebody else."""

    def __init__(self, array: Array, name: str = "the array"):
        if array.ndim != 2:
            raise InputError(f"{name}: need vectors [n, d], got an array of shape {tuple(array.shape)}")
        self.array, self.name, self.shape = array, name, (array.shape[0], array.shape[1])
        self.dtype = array.dtype.newbyteorder("=")

    def rows(self, start: int, stop: int) -> Array:
        return np.ascontiguousarray(self.array[start:stop], dtype=self.dtype)

    def take(self, rows: NDArray[np.integer]) -> Array:
        return np.ascontiguousarray(self.array[rows], dtype=self.dtype)

    def fingerprint(self) -> str:
        return _digest(self)


class FileVectors(Vectors):
    """A block of rows in C order inside a file, as `.npy` and `.safetensors` have it, read by plain reads.

    bfloat16 (`stored` is its bit pattern, uint16) is read as float32.
    """

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, int], stored: np.dtype[Any], bfloat16: bool
    ):
        self.path, self.offset, self.shape, self.stored, self.bfloat16 = path, offset, shape, stored, bfloat16
        self.name = str(path)
        self.dtype = np.dtype(np.float32) if bfloat16 else stored.newbyteorder("=")
        end = offset + shape[0] * shape[1] * stored.itemsize
        if path.stat().st_size < end:
            raise InputError(
                f"{path} is cut off: {path.stat().st_size:,} bytes where {end:,} are needed; copy it again"
            )

    def rows(self, start: int, stop: int) -> Array:
        raw = np.empty((stop - start, self.shape[1]), self.stored)
        view = raw.data.cast("B") if raw.size else memoryview(b"")
        position = self.offset + start * self.shape[1] * self.stored.itemsize
        with open(self.path, "rb", buffering=0) as file:
            file.seek(position)
            while view:
                count = file.readinto(view)
                if not count:
                    raise InputError(f"{self.path} became shorter while it was read")
                view = view[count:]
        if self.bfloat16:
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(self.dtype, copy=False)

    def take(self, rows: NDArray[np.integer]) -> Array:
        mapped = np.memmap(self.path, self.stored, "r", self.offset, self.shape)
        raw = np.asarray(mapped[rows])
        return (
            (raw.astype(np.uint32) << 16).view(np.float32)
            if self.bfloat16
            else raw.astype(self.dtype, copy=False)
        )

    def fingerprint(self) -> str:
        stat = self.path.stat()
        return _digest(self, f"{stat.st_size} {stat.st_mtime_ns} {self.offset}")


class SelectedVectors(Vectors):
    """Some rows of other vectors."""

    def __init__(self, parent: Vectors, rows: NDArray[np.integer]):
        self.parent, self.selected, self.name = parent, np.asarray(rows), parent.name
        self.shape, self.dtype = (len(rows), parent.shape[1]), parent.dtype

    def rows(self, start: int, stop: int) -> Array:
        return self.parent.take(self.selected[start:stop])

    def take(self, rows: NDArray[np.integer]) -> Array:
        return self.parent.take(self.selected[rows])

    def fingerprint(self) -> str:
        return _digest(self, self.parent.fingerprint())


def open_vectors(source: Any, column: str | None = None) -> Vectors:
    """Vectors from any of the usual places, without reading them.

    `source` is an array `[n, d]`, a memory map, a torch tensor, a list of lists, a `datasets.Dataset`, or a path:
    `.npy`, `.safetensors`, `.parquet`, an Arrow IPC file (`.arrow`, `.feather`), a folder of Parquet files, or a folder
    saved by `datasets`. `column` names the tensor or column; it can be left out where there is only one.

    Raises `InputError` for a missing file, another format, several candidates for `column`, or vectors of several
    widths.
    """
    if isinstance(source, Vectors):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _open_path(Path(source), column)
    if is_tensor(source):
        return ArrayVectors(from_tensor(source))
    if type(source).__module__.startswith("datasets."):
        from paperworks.backward_compatible.tables import DatasetVectors

        return DatasetVectors(source, column)
    return ArrayVectors(np.asarray(source))


def read_vectors(source: Any, column: str | None = None) -> Array:
    """All of the vectors as one array `[n, d]`; see `open_vectors`."""
    vectors = open_vectors(source, column)
    return vectors.rows(0, len(vectors))


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor; does not import torch."""
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def from_tensor(tensor: Any) -> Array:
    """A torch tensor as an array in main memory; bfloat16 becomes float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Raise `InputError` for vectors that are not floats (or whole numbers of at least 16 bits, taken as floats)."""
    if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize == 1):
        raise InputError(f"{name}: {dtype} vectors are quantised: {QUANTISED}")
    if dtype.kind not in "fiu" or (dtype.kind == "f" and dtype.itemsize > 8):
        raise InputError(f"{name}: cannot rotate {dtype} values: store float16, float32 or float64")


def refuse_quantised(values: Any, name: str) -> None:
    """Raise `InputError` for an array of bytes or booleans; anything else is left to later checks."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.itemsize == 1:
        check_dtype(dtype, name)


@dataclass(frozen=True)
class Matched:
    """Rows of two sides with the same id, and what was left out.

    `first`, `second`: row numbers, in the order of the first side. `only_first`, `only_second`: ids that the other side
    does not have. `duplicated`: ids that occur more than once on a side; which of their rows belong together cannot be
    told, so all of them are left out.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    only_first: int
    only_second: int
    duplicated: int

    def __iter__(self) -> Iterator[NDArray[np.intp]]:
        return iter((self.first, self.second))


def match_ids(first: Sequence[str] | Array, second: Sequence[str] | Array) -> Matched:
    """The rows of both sides that carry the same id. Raises `InputError` if there are none."""
    names_a, rows_a, count_a = np.unique(np.asarray(first), return_index=True, return_counts=True)
    names_b, rows_b, count_b = np.unique(np.asarray(second), return_index=True, return_counts=True)
    common, at_a, at_b = np.intersect1d(names_a, names_b, assume_unique=True, return_indices=True)
    single = (count_a[at_a] == 1) & (count_b[at_b] == 1)
    a, b = rows_a[at_a[single]], rows_b[at_b[single]]
    if not len(a):
        raise InputError(
            f"no id occurs once on both sides ({len(names_a):,} and {len(names_b):,} different ids, {len(common):,} in "
            "common): are these the ids of the same collection?"
        )
    order = np.argsort(a)
    duplicated = int(np.sum(count_a > 1) + np.sum(count_b > 1))
    return Matched(a[order], b[order], len(names_a) - len(common), len(names_b) - len(common), duplicated)


def read_ids(path: str | os.PathLike[str], rows: int, column: str | None = None) -> list[str]:
    """The ids of `rows` vectors: one id a line, or a CSV file whose header names `column` (or has `id`).

    With one line more than rows the first line is the header. Raises `InputError` with both counts otherwise.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    place = 0
    if len(lines) == rows + 1:
        header = lines.pop(0)
        wanted = column if column is not None else "id" if "id" in header else header[0]
        if wanted not in header:
            raise InputError(f"{path} has no column {wanted!r}: its header is {', '.join(header)}")
        place = header.index(wanted)
    elif column is not None:
        raise InputError(f"{path}: {len(lines):,} lines; a header and {rows:,} ids are needed")
    if len(lines) != rows:
        raise InputError(
            f"{path} has {len(lines):,} ids for {rows:,} vectors: one id a line, in the same order"
        )
    short = next((i for i, line in enumerate(lines) if len(line) <= place), None)
    if short is not None:
        raise InputError(f"{path}: id {short} is missing: its line has {len(lines[short])} fields")
    return [line[place] for line in lines]


def _open_path(path: Path, column: str | None) -> Vectors:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix == ".npy":
        return _open_npy(path)
    if path.suffix == ".safetensors":
        return _open_safetensors(path, column)
    require("backward-compatible", "pyarrow")
    from paperworks.backward_compatible import tables

    if path.is_dir() and ((path / "state.json").exists() or (path / "dataset_dict.json").exists()):
        return tables.open_saved_dataset(path, column)
    if path.suffix in (".parquet", ".arrow", ".feather", ".ipc") or path.is_dir():
        return tables.open_table(path, column)
    raise InputError(
        f"{path}: unknown format; use .npy, .safetensors, .parquet, .arrow, or a folder of Parquet files"
    )


def _open_npy(path: Path) -> Vectors:
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran_order, dtype = read(file)
            offset = file.tell()
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} is not a NumPy file of numbers: {error}") from error
    if len(shape) != 2:
        raise InputError(f"{path}: need vectors [n, d], got an array of shape {shape}")
    check_dtype(dtype, str(path))
    if fortran_order:
        return ArrayVectors(np.load(path, mmap_mode="r"), str(path))
    return FileVectors(path, offset, (shape[0], shape[1]), dtype, bfloat16=False)


_SAFETENSORS = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BF16": "<u2",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}


def _open_safetensors(path: Path, column: str | None) -> Vectors:
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is cut off")
            tensors = json.loads(file.read(length))
    except ValueError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    tensors.pop("__metadata__", None)
    column = choose(path, list(tensors), column, "tensor")
    tensor = tensors[column]
    if len(tensor["shape"]) != 2:
        raise InputError(f"{path}: need vectors [n, d], {column!r} has shape {tuple(tensor['shape'])}")
    if tensor["dtype"] not in _SAFETENSORS:
        raise InputError(f"{path}: {column!r} is {tensor['dtype']}: {QUANTISED}")
    n, d = tensor["shape"]
    stored = np.dtype(_SAFETENSORS[tensor["dtype"]])
    return FileVectors(
        path, 8 + length + tensor["data_offsets"][0], (n, d), stored, bfloat16=tensor["dtype"] == "BF16"
    )


def choose(source: object, candidates: list[str], wanted: str | None, what: str) -> str:
    """The wanted one of the candidates, or the only one. Raises `InputError` that lists them."""
    if wanted is None and len(candidates) == 1:
        return candidates[0]
    if wanted in candidates:
        return wanted
    listed = ", ".join(candidates) or "none"
    problem = f"no vector {what} {wanted!r}" if wanted else f"which {what}?"
    raise InputError(f"{source}: {problem} (found: {listed}); name it with --column")


def _digest(vectors: Vectors, *facts: str) -> str:
    """SHA-256 over shape, dtype, further facts, and 64 rows spread evenly."""
    digest = hashlib.sha256(" ".join([str(vectors.shape), vectors.dtype.str, *facts]).encode())
    for row in np.unique(np.linspace(0, len(vectors) - 1, num=64).astype(int)) if len(vectors) else ():
        digest.update(vectors.rows(row, row + 1).tobytes())
    return digest.hexdigest()

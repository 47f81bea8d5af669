"""Vectors in a column of a table: Parquet and Arrow IPC files, folders of Parquet, and `datasets.Dataset` (pyarrow)."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperworks.backward_compatible.vectors import Array, Load, Vectors, check_dtype, choose
from paperworks.errors import InputError

BATCH_ROWS = 4096
_LISTS = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)


def vector_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold lists of numbers."""
    return [
        field.name
        for field in schema
        if any(is_list(field.type) for is_list in _LISTS)
        and (pa.types.is_floating(field.type.value_type) or pa.types.is_integer(field.type.value_type))
    ]


def column_to_array(column: pa.Array | pa.ChunkedArray, name: str, first: int = 0) -> Array:
    """A column of lists as `[n, d]`, where possible without a copy.

    Raises `InputError` that names the first row (counted from `first`) that is null or has another width.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if column.null_count:
        row = first + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise InputError(f"{name}: row {row} is null; drop such rows on both sides")
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        lengths = np.diff(column.offsets.to_numpy())
        width = int(lengths[0]) if len(lengths) else 0
        if not (lengths == width).all():
            row = int(np.argmax(lengths != width))
            raise InputError(
                f"{name}: row {first + row} has width {lengths[row]}, row {first} has {width}: one model has one width"
            )
    values = column.flatten()
    if values.null_count:
        raise InputError(f"{name}: a vector near row {first} holds null; drop such rows on both sides")
    return values.to_numpy(zero_copy_only=False).reshape(-1, width)


def array_to_column(array: Array) -> pa.FixedSizeListArray:
    """`[n, d]` as a fixed-size-list column."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(array).ravel()), list_size=array.shape[1]
    )


class ParquetVectors(Vectors):
    """A column of one Parquet file or several in the order of their names, decoded in batches of `BATCH_ROWS`."""

    def __init__(self, paths: Sequence[Path], column: str | None, name: str):
        self.paths, self.name = paths, name
        schema = pq.read_schema(paths[0])
        self.column = choose(name, vector_columns(schema), column, "column")
        self.starts = [0, *accumulate(pq.read_metadata(path).num_rows for path in paths)]
        first = next(self._batches(0), None)
        if first is None:
            raise InputError(f"{name}: there are no rows")
        self.shape, self.dtype = (self.starts[-1], first[1].shape[1]), first[1].dtype
        check_dtype(self.dtype, name)

    def _batches(self, start: int) -> Iterator[tuple[int, Array]]:
        """`(first row, array)` from the row group on that holds row `start`."""
        at = max(0, bisect.bisect_right(self.starts, start) - 1)
        for path, begin in zip(self.paths[at:], self.starts[at:], strict=False):
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
                groups: list[int] = []
                row = begin
                for group in range(file.num_row_groups):
                    end = row + file.metadata.row_group(group).num_rows
                    if groups or end > start:
                        groups.append(group)
                    else:
                        begin = end
                    row = end
                for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=[self.column]):
                    yield begin, column_to_array(batch.column(0), f"{path}, {self.column}", begin)
                    begin += len(batch)

    def blocks(self, size: int, start: int = 0) -> Iterator[tuple[int, int, Load]]:
        parts: list[Array] = []
        held = 0
        for first, array in self._batches(start):
            array = array[max(0, start + held - first) :] if first < start else array
            while len(array):
                part = array[: size - held]
                self._check_width(part)
                parts.append(part)
                held, array = held + len(part), array[len(part) :]
                if held == size:
                    yield start, start + held, _loaded(parts)
                    start, held, parts = start + held, 0, []
        if held:
            yield start, start + held, _loaded(parts)

    def _check_width(self, array: Array) -> None:
        if hasattr(self, "shape") and array.shape[1] != self.shape[1]:
            raise InputError(
                f"{self.name}: vectors of width {array.shape[1]} and {self.shape[1]}: one model has one width"
            )

    def rows(self, start: int, stop: int) -> Array:
        if stop <= start:
            return np.empty((0, self.shape[1]), self.dtype)
        return next(self.blocks(stop - start, start))[2]()

    def take(self, rows: NDArray[np.integer]) -> Array:
        taken = np.empty((len(rows), self.shape[1]), self.dtype)
        order = np.argsort(rows, kind="stable")
        ordered, done = np.asarray(rows)[order], 0
        while done < len(ordered):
            for first, array in self._batches(int(ordered[done])):
                stop = int(np.searchsorted(ordered, first + len(array)))
                if stop == done:
                    break
                self._check_width(array)
                taken[order[done:stop]] = array[ordered[done:stop] - first]
                done = stop
                if done == len(ordered):
                    break
        return taken

    def fingerprint(self) -> str:
        facts = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self.paths]
        return hashlib.sha256("\n".join([self.column, *facts]).encode()).hexdigest()


class ArrowVectors(Vectors):
    """A column of a memory-mapped Arrow IPC file."""

    def __init__(self, path: Path, column: str | None):
        self.path, self.name = path, str(path)
        with pa.memory_map(str(path)) as file:
            try:
                table = pa.ipc.open_file(file).read_all()
            except pa.ArrowInvalid:
                file.seek(0)
                table = pa.ipc.open_stream(file).read_all()
        chosen = choose(path, vector_columns(table.schema), column, "column")
        self.table = table.column(chosen)
        sample = column_to_array(self.table[:1], self.name)
        self.shape, self.dtype = (len(self.table), sample.shape[1]), sample.dtype
        check_dtype(self.dtype, self.name)

    def rows(self, start: int, stop: int) -> Array:
        return column_to_array(self.table[start:stop], self.name, start).reshape(-1, self.shape[1])

    def fingerprint(self) -> str:
        stat = self.path.stat()
        return hashlib.sha256(f"{self.path.name} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()


class DatasetVectors(Vectors):
    """A column of a `datasets.Dataset`."""

    def __init__(self, dataset: Any, column: str | None, name: str = "the dataset"):
        if not hasattr(dataset, "with_format") or hasattr(dataset, "keys"):
            raise InputError(
                f"{name}: need one split of a dataset, with rows; got {type(dataset).__name__}: choose one"
            )
        self.name = name
        self.column = choose(name, vector_columns(dataset.features.arrow_schema), column, "column")
        self.dataset = dataset.with_format("arrow", columns=[self.column])
        sample = column_to_array(self.dataset[:1][self.column], name)
        self.shape, self.dtype = (len(dataset), sample.shape[1]), sample.dtype
        check_dtype(self.dtype, name)

    def rows(self, start: int, stop: int) -> Array:
        if stop <= start:
            return np.empty((0, self.shape[1]), self.dtype)
        return column_to_array(self.dataset[start:stop][self.column], self.name, start)

    def take(self, rows: NDArray[np.integer]) -> Array:
        return column_to_array(self.dataset[[int(row) for row in rows]][self.column], self.name)

    def fingerprint(self) -> str:
        return f"{self.dataset._fingerprint} {self.column}"


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files of a folder in the order of their names, or the file itself."""
    paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not paths:
        raise InputError(f"{path}: no .parquet file in this folder")
    return paths


def open_table(path: Path, column: str | None) -> Vectors:
    """Vectors in a Parquet file, a folder of them, or an Arrow IPC file."""
    try:
        if path.is_file() and path.suffix != ".parquet":
            return ArrowVectors(path, column)
        return ParquetVectors(parquet_files(path), column, str(path))
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def open_saved_dataset(path: Path, column: str | None) -> Vectors:
    """Vectors in a folder written by `Dataset.save_to_disk`."""
    from datasets import load_from_disk

    return DatasetVectors(load_from_disk(str(path)), column, str(path))


def _loaded(parts: list[Array]) -> Load:
    return lambda: parts[0] if len(parts) == 1 else np.concatenate(parts)

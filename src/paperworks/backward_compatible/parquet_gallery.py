"""Parquet in, Parquet out: the vector column transformed, the other columns as they were, file by file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from paperworks.backward_compatible.resume import Journal, in_order
from paperworks.backward_compatible.rotate_rows import TILE
from paperworks.backward_compatible.tables import BATCH_ROWS, ParquetVectors, array_to_column, column_to_array
from paperworks.backward_compatible.vectors import Array, Vectors
from paperworks.errors import InputError
from paperworks.files import remove_remains, replacing

GROUP_BYTES = 16 * 2**20
WORKERS = min(6, (os.cpu_count() or 1) + 1)


def write_parquet(
    vectors: Vectors,
    out: Path,
    work: Callable[[Array, int], Array],
    journal: Journal,
    progress: Callable[[int, int], None],
) -> None:
    """Write `out`, a Parquet file or, from a folder, a folder with files of the same names.

    The journal counts finished files. Raises `InputError` for other formats and for a folder that has files already.
    """
    folder = not out.suffix
    if not isinstance(vectors, ParquetVectors) or (not folder and out.suffix != ".parquet"):
        raise InputError(
            f"cannot write {out}: end it in .npy or .safetensors (or, from Parquet, .parquet or a folder)"
        )
    if not folder:
        if len(vectors.paths) != 1:
            raise InputError(f"{vectors.name} has {len(vectors.paths)} files: give a folder as output")
        _write_file(vectors, 0, out, work, progress)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already: choose another folder, or remove it")
    partial, root = out.with_name(out.name + ".partial"), Path(vectors.name)
    done = journal.read() if partial.is_dir() else 0
    if not done:
        shutil.rmtree(partial, ignore_errors=True)
    try:
        for index in range(done, len(vectors.paths)):
            path = vectors.paths[index]
            name = path.relative_to(root) if root.is_dir() else Path(path.name)
            _write_file(vectors, index, partial / name, work, progress)
            journal.write(index + 1)
    except InputError:
        shutil.rmtree(partial, ignore_errors=True)
        journal.forget()
        raise
    os.replace(partial, out)
    journal.forget()


def _write_file(
    vectors: ParquetVectors,
    index: int,
    out: Path,
    work: Callable[[Array, int], Array],
    progress: Callable[[int, int], None],
) -> None:
    first = vectors.starts[index]
    group = max(1, GROUP_BYTES // (TILE * vectors.shape[1] * vectors.dtype.itemsize)) * TILE

    def rotated(table: pa.Table, start: int) -> pa.Table:
        rows = column_to_array(table.column(vectors.column), f"{vectors.paths[index]}", start - first)
        place = table.schema.get_field_index(vectors.column)
        changed = array_to_column(work(rows.reshape(-1, vectors.shape[1]), start))
        return table.set_column(place, vectors.column, changed).replace_schema_metadata(
            _metadata(table.schema)
        )

    with pq.ParquetFile(vectors.paths[index], pre_buffer=False, buffer_size=2**20) as source:
        tables = _tables(source, group)
        tasks = ((rotated, table, first + start) for start, table in tables)
        remove_remains(out)
        with replacing(out) as partial:
            writer, done = None, first
            with closing(in_order(tasks, WORKERS)) as finished:
                for table in finished:
                    writer = writer or pq.ParquetWriter(partial, table.schema)
                    writer.write_table(table, row_group_size=group)
                    done += len(table)
                    progress(done, len(vectors))
            if writer is None:
                raise InputError(f"{vectors.paths[index]} has no rows: remove it")
            writer.close()


def _tables(source: pq.ParquetFile, group: int) -> Iterator[tuple[int, pa.Table]]:
    """`(first row, table)` of `group` rows each, the last one shorter."""
    batches: list[Any] = []
    held = start = 0
    for batch in source.iter_batches(min(BATCH_ROWS, group)):
        while len(batch):
            part = batch.slice(0, group - held)
            batches.append(part)
            held, batch = held + len(part), batch.slice(len(part))
            if held == group:
                yield start, pa.Table.from_batches(batches)
                start, held, batches = start + held, 0, []
    if held:
        yield start, pa.Table.from_batches(batches)


def _metadata(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """The schema's metadata without the column types that `datasets` keeps there: one of them has changed."""
    kept = {key: value for key, value in (schema.metadata or {}).items() if key != b"huggingface"}
    return kept or None

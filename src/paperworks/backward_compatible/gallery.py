"""Transform a gallery far larger than memory, file to file: bounded memory, resumable, atomic.

A few threads read, rotate and write blocks of rows; NumPy and the system calls run side by side. Output goes to
`OUT.partial`. Every few seconds the data are forced to disk and a small journal, `OUT.partial.json`, records how many
rows are final; a run that was killed continues from there, with the bytes of an uninterrupted run. Only a finished file
gets its name.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.resume import Journal, clear_disk_errors, in_order
from paperworks.backward_compatible.rotate_rows import TILE, one_thread_each, rotate_rows
from paperworks.backward_compatible.vectors import Array, Load, Vectors, check_dtype, open_vectors
from paperworks.errors import InputError

Progress = Callable[[int, int], None]
Work = Callable[[Array, int], Array]

MIB = 2**20
WORKERS = min(16, (os.cpu_count() or 1) + 1)
CHECKPOINT_SECONDS = 2.0


def transform_file(
    aligner: OrthogonalAligner,
    source: Any,
    out: str | os.PathLike[str],
    *,
    column: str | None = None,
    width: int | None = None,
    chunk_bytes: int = 64 * MIB,
    resume: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Rotate all vectors of `source [N, d_new]` (see `open_vectors`) into the file `out [N, width]`, in the same dtype.

    `out` ends in `.npy` or `.safetensors`. From Parquet it may be Parquet too, a file for a file or a folder for a
    folder: the other columns are kept, and a run that was killed continues with the first file that is not done.
    `width` is D unless given; `width=d_old` keeps the old space alone, for queries to the old index. `chunk_bytes` of
    the source are in work at a time, all threads together. `resume=False` starts anew. `progress(done, total)` counts
    rows.

    The resident memory does not depend on N; the bytes do not depend on `chunk_bytes`, threads or interruptions.

    Raises `InputError` for a width that is not the aligner's, vectors that seem to be rotated already (unless `force`),
    a row with NaN (named), and a full disk; `out` then stays what it was.
    """
    vectors = open_vectors(source, column)
    if vectors.shape[1] != aligner.n_features_in_:
        raise InputError(f"{vectors.name}: {aligner.width_message(vectors.shape[1])}")
    check_dtype(vectors.dtype, vectors.name)
    if not force and aligner.looks_rotated(vectors):
        raise InputError(
            f"{vectors.name}: these vectors seem to be in the old space already (rotated before, or made by the old "
            "model); if they are not, use --force"
        )
    full = aligner.rotation_.shape[1]
    width = full if width is None else width
    if not 1 <= width <= full:
        raise InputError(f"width = {width}: the aligner gives {full} coordinates")
    dtype = vectors.dtype if vectors.dtype.kind == "f" else np.dtype(np.float32)
    arithmetic = np.float64 if dtype == np.float64 else np.float32
    matrix = np.ascontiguousarray(aligner.rotation_[:, :width], arithmetic)

    def rotate(rows: Array, first: int) -> Array:
        return rotate_rows(rows.astype(dtype, copy=False), matrix, first, vectors.name)

    job = {"rotate": aligner.fingerprint(), "width": width, "dtype": dtype.str}
    return _write(vectors, Path(out), rotate, job, chunk_bytes, resume, progress)


def extend_file(
    aligner: OrthogonalAligner,
    source: Any,
    out: str | os.PathLike[str],
    *,
    column: str | None = None,
    chunk_bytes: int = 64 * MIB,
    resume: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Pad all old vectors of `source [N, d_old]` with zeros into `out [N, D]`; as `transform_file` otherwise."""
    vectors = open_vectors(source, column)
    if vectors.shape[1] != aligner.n_features_old_:
        raise InputError(
            f"{vectors.name}: width {vectors.shape[1]}, but the aligner's old model has {aligner.n_features_old_}"
        )
    check_dtype(vectors.dtype, vectors.name)
    job = {"extend": vectors.shape[1], "width": aligner.rotation_.shape[1], "dtype": vectors.dtype.str}
    return _write(
        vectors, Path(out), lambda rows, first: aligner.extend(rows), job, chunk_bytes, resume, progress
    )


def _write(
    vectors: Vectors,
    out: Path,
    work: Work,
    job: dict[str, Any],
    chunk_bytes: int,
    resume: bool,
    progress: Progress | None,
) -> Path:
    journal = Journal(out, job | {"source": vectors.fingerprint(), "rows": len(vectors)})
    if not resume:
        journal.forget()
    progress = progress or (lambda done, total: None)
    with clear_disk_errors(out), one_thread_each():
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix in (".npy", ".safetensors"):
            tiles = chunk_bytes // (WORKERS * TILE * vectors.shape[1] * vectors.dtype.itemsize)
            _write_array(vectors, out, work, journal, max(1, tiles) * TILE, progress)
        else:
            from paperworks.backward_compatible.parquet_gallery import write_parquet

            write_parquet(vectors, out, work, journal, progress)
    return out


def _write_array(
    vectors: Vectors, out: Path, work: Work, journal: Journal, block: int, progress: Progress
) -> None:
    width, dtype = journal.key["width"], np.dtype(journal.key["dtype"])
    header = _header(out.suffix, len(vectors), width, dtype)
    row_bytes = width * dtype.itemsize
    partial = out.with_name(out.name + ".partial")
    handle = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
    _lock(handle, out)
    try:
        done = journal.read()
        if not done or os.fstat(handle).st_size != len(header) + len(vectors) * row_bytes:
            done = 0
            journal.forget()
            _reserve(handle, partial, len(header) + len(vectors) * row_bytes)
            _pwrite(handle, memoryview(header), 0)

        def finish(first: int, stop: int, load: Load) -> int:
            rows = np.ascontiguousarray(work(load(), first))
            _pwrite(handle, rows.data.cast("B"), len(header) + first * row_bytes)
            return stop

        def checkpoint(rows: int) -> None:
            os.fdatasync(handle)
            journal.write(rows)

        blocks = ((finish, *task) for task in vectors.blocks(block, done))
        with ThreadPoolExecutor(1) as syncer, closing(in_order(blocks, WORKERS)) as finished:
            checkpointed, pending = time.monotonic(), None
            for done in finished:
                progress(done, len(vectors))
                due = time.monotonic() - checkpointed > CHECKPOINT_SECONDS
                if due and (pending is None or pending.done()):
                    checkpointed, pending = time.monotonic(), syncer.submit(checkpoint, done)
        if pending is not None:
            pending.result()
        os.fsync(handle)
        os.replace(partial, out)
    except InputError:
        partial.unlink(missing_ok=True)
        journal.forget()
        raise
    finally:
        os.close(handle)
    journal.forget()


def _header(suffix: str, rows: int, width: int, dtype: np.dtype[Any]) -> bytes:
    """What stands before the data in a `.npy` or `.safetensors` file (one tensor, `vectors`)."""
    if suffix == ".npy":
        from io import BytesIO

        file = BytesIO()
        fields = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (rows, width),
        }
        np.lib.format.write_array_header_1_0(file, fields)
        return file.getvalue()
    tensor = {
        "dtype": f"F{8 * dtype.itemsize}",
        "shape": [rows, width],
        "data_offsets": [0, rows * width * dtype.itemsize],
    }
    text = json.dumps({"vectors": tensor}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _reserve(handle: int, partial: Path, size: int) -> None:
    """Give the file its size and, where the file system can, its room on disk, so that a full disk shows at once."""
    os.ftruncate(handle, 0)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        else:
            os.ftruncate(handle, size)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _lock(handle: int, out: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InputError(f"another run is writing {out}: wait for it, or choose another --out") from error


def _pwrite(handle: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(handle, data, offset)
        data, offset = data[count:], offset + count

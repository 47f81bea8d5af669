from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest

from paperworks.backward_compatible import gallery
from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.gallery import extend_file, transform_file
from paperworks.backward_compatible.rotate_rows import TILE, one_thread_each, rotate_rows
from paperworks.backward_compatible.vectors import open_vectors
from paperworks.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:vectors are not unit-norm", "ignore:held-out cosine")


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fitted(d_new: int = 40, d_old: int = 24) -> OrthogonalAligner:
    random = np.random.default_rng(0)
    new = random.normal(size=(500, d_new)) + 0.3
    old = new[:, : min(d_new, d_old)] @ random.normal(size=(min(d_new, d_old), d_old))
    return OrthogonalAligner(new_model="v2", old_model="v1").fit(unit(new), unit(old))


def rows_of(n: int = 10_000, d: int = 40, dtype: type = np.float16) -> np.ndarray:
    return unit(np.random.default_rng(1).normal(size=(n, d)) + 0.3).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
@pytest.mark.parametrize("widths", [(40, 24), (24, 40)])
def test_a_file_is_rotated_in_its_own_dtype(dtype, suffix, widths, tmp_path):
    aligner, rows = fitted(*widths), rows_of(d=widths[0], dtype=dtype)
    np.save(tmp_path / "in.npy", rows)
    out = transform_file(aligner, tmp_path / "in.npy", tmp_path / f"out.{suffix}")
    rotated = open_vectors(out)
    assert rotated.shape == (10_000, 40)
    assert rotated.dtype == dtype
    exact = rows.astype(np.float64) @ aligner.rotation_
    assert np.abs(np.asarray(rotated) - exact).max() <= {2: 3e-4, 4: 1e-6, 8: 1e-14}[dtype().itemsize]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.npy", out.name])
    if suffix == "npy":
        assert np.array_equal(np.load(out), np.asarray(rotated))
    else:
        from safetensors.numpy import load_file

        assert np.array_equal(load_file(out)["vectors"], np.asarray(rotated))


@pytest.mark.parametrize("d", [24, 40, 129])
def test_the_bytes_depend_neither_on_chunks_nor_on_threads(d, tmp_path, monkeypatch):
    aligner, rows = fitted(d, 24), rows_of(5001, d)
    results = set()
    for workers in (1, 2, 5):
        monkeypatch.setattr(gallery, "WORKERS", workers)
        for chunk_bytes in (1, 300_000, 2**26):
            transform_file(aligner, rows, tmp_path / "out.npy", chunk_bytes=chunk_bytes)
            results.add((tmp_path / "out.npy").read_bytes())
    assert len(results) == 1


def test_the_bytes_do_not_depend_on_where_rows_are_cut():
    rows, matrix = (
        rows_of(3000, 100, np.float32),
        np.random.default_rng(0).normal(size=(100, 130)).astype("f"),
    )
    with one_thread_each():
        whole = rotate_rows(rows, matrix, 0, "rows")
        for cut in (1, 7, 100, TILE, TILE + 5, 2999):
            parts = rotate_rows(rows[:cut], matrix, 0, "rows"), rotate_rows(rows[cut:], matrix, cut, "rows")
            assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_the_old_space_alone_can_be_kept(tmp_path):
    aligner, rows = fitted(), rows_of()
    transform_file(aligner, rows, tmp_path / "all.npy")
    transform_file(aligner, rows, tmp_path / "old.npy", width=24)
    assert np.abs(np.load(tmp_path / "old.npy") - np.load(tmp_path / "all.npy")[:, :24]).max() < 1e-3
    with pytest.raises(InputError, match="gives 40 coordinates"):
        transform_file(aligner, rows, tmp_path / "old.npy", width=41)


def test_old_vectors_are_padded_with_zeros(tmp_path):
    rows = rows_of(d=24)
    extend_file(fitted(), rows, tmp_path / "padded.npy")
    padded = np.load(tmp_path / "padded.npy")
    assert padded.dtype == np.float16
    assert np.array_equal(padded, np.pad(rows, ((0, 0), (0, 16))))


def test_no_rows_give_no_rows(tmp_path):
    transform_file(fitted(), rows_of(0), tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").shape == (0, 40)


def test_progress_counts_rows(tmp_path):
    seen = []
    transform_file(
        fitted(), rows_of(), tmp_path / "out.npy", chunk_bytes=1, progress=lambda *state: seen.append(state)
    )
    assert seen == [(min(done, 10_000), 10_000) for done in range(TILE, 10_000 + TILE, TILE)]


SCRIPT = """
import sys, time
from paperworks.backward_compatible import gallery
from paperworks.backward_compatible.aligner import OrthogonalAligner
gallery.CHECKPOINT_SECONDS = 0.0
def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.005)
gallery.transform_file(OrthogonalAligner.load(sys.argv[1]), sys.argv[2], sys.argv[3], chunk_bytes=1, progress=slowly)
"""


def test_killed_at_any_moment_it_resumes_with_the_same_bytes(tmp_path):
    aligner = fitted()
    aligner.save(tmp_path / "aligner")
    np.save(tmp_path / "in.npy", rows_of(60_000))
    transform_file(aligner, tmp_path / "in.npy", tmp_path / "whole.npy")
    out = tmp_path / "out.npy"
    out.write_text("the old file")
    arguments = [sys.executable, "-c", SCRIPT, *map(str, (tmp_path / "aligner", tmp_path / "in.npy", out))]
    starts = []
    for kill_after in (20_000, 40_000):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        done = [int(process.stdout.readline())]
        while done[-1] < kill_after:
            done.append(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        starts.append(done[0])
        assert out.read_text() == "the old file"
        assert 0 < json.loads((tmp_path / "out.npy.partial.json").read_text())["done"] < 60_000
    assert starts[0] == TILE
    assert starts[1] > 10_000
    partial = tmp_path / "out.npy.partial"
    damaged = np.memmap(partial, np.uint8, "r+", 0)
    damaged[-100_000:] = 255  # what was beyond the last checkpoint may be anything after a kill
    damaged.flush()
    last = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(last.stdout.splitlines()[0]) > 30_000
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aligner", "in.npy", "out.npy", "whole.npy"]


class Interrupted(Exception):
    pass


def interrupt(aligner: OrthogonalAligner, source, out, monkeypatch, at: int = 5000) -> None:
    """Leave the partial file and the journal of a run that stopped around row `at`."""
    monkeypatch.setattr(gallery, "CHECKPOINT_SECONDS", 0.0)

    def stop(done: int, total: int) -> None:
        time.sleep(0.01)
        if done > at:
            raise Interrupted

    with pytest.raises(Interrupted):
        transform_file(aligner, source, out, chunk_bytes=1, progress=stop)
    assert out.with_name(out.name + ".partial.json").exists()


@pytest.mark.parametrize("what", ["aligner", "source", "damaged journal", "lost data", "resume=False"])
def test_a_journal_of_another_job_starts_anew(what, tmp_path, monkeypatch):
    aligner, out = fitted(), tmp_path / "out.npy"
    np.save(tmp_path / "in.npy", rows_of())
    interrupt(aligner, tmp_path / "in.npy", out, monkeypatch)
    if what == "aligner":
        random = np.random.default_rng(9)
        aligner = OrthogonalAligner().fit(random.normal(size=(300, 40)), random.normal(size=(300, 24)))
    elif what == "source":
        np.save(tmp_path / "in.npy", -rows_of())
    elif what == "damaged journal":
        (tmp_path / "out.npy.partial.json").write_text("{")
    elif what == "lost data":
        (tmp_path / "out.npy.partial").write_bytes(b"")
    seen: list[int] = []
    noticed = what in ("aligner", "source", "damaged journal")
    with pytest.warns(UserWarning, match="starting anew") if noticed else nullcontext():
        transform_file(
            aligner,
            tmp_path / "in.npy",
            out,
            chunk_bytes=1,
            resume=what != "resume=False",
            force=True,
            progress=lambda done, total: seen.append(done),
        )
    assert seen[0] == TILE
    transform_file(aligner, tmp_path / "in.npy", tmp_path / "whole.npy", force=True)
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_two_runs_do_not_write_one_file(tmp_path):
    def again(done: int, total: int) -> None:
        with pytest.raises(InputError, match="another run is writing"):
            transform_file(fitted(), rows_of(), tmp_path / "out.npy")

    transform_file(fitted(), rows_of(), tmp_path / "out.npy", progress=again)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_a_number_is_named_and_the_old_file_stays(value, tmp_path):
    rows = rows_of()
    rows[4321, 7] = value
    (tmp_path / "out.npy").write_text("the old file")
    with pytest.raises(InputError, match="row 4,321 holds NaN or infinity"):
        transform_file(fitted(), rows, tmp_path / "out.npy", chunk_bytes=1)
    assert (tmp_path / "out.npy").read_text() == "the old file"
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


def test_a_row_that_does_not_fit_its_dtype_is_named(tmp_path):
    aligner = fitted(24, 24)
    rows = rows_of(d=24)
    rows[2222] = 60_000 * np.sign(aligner.rotation_[:, 0])
    with pytest.raises(InputError, match="row 2,222 is too long for its dtype"):
        transform_file(aligner, rows, tmp_path / "out.npy")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (rows_of(d=39), r"width 39.*width 40 \(v2\).*24 \(v1\)"),
        (rows_of().astype(np.int8), "dequantised"),
        (np.ones(40), r"\[n, d\]"),
    ],
)
def test_bad_sources_are_refused_and_nothing_is_written(source, message, tmp_path):
    with pytest.raises(InputError, match=message):
        transform_file(fitted(), source, tmp_path / "out.npy")
    assert not list(tmp_path.iterdir())


def test_rotating_twice_is_refused_unless_forced(tmp_path):
    aligner = fitted()
    np.save(tmp_path / "in.npy", rows_of())
    once = transform_file(aligner, tmp_path / "in.npy", tmp_path / "once.npy")
    with pytest.raises(InputError, match="in the old space already"):
        transform_file(aligner, once, tmp_path / "twice.npy")
    assert transform_file(aligner, once, tmp_path / "twice.npy", force=True).exists()


FULL_DISK = """
import resource, sys
from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.gallery import transform_file
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
transform_file(OrthogonalAligner.load(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """The limit on the size of a file makes the system refuse to write, as a full disk does."""
    fitted().save(tmp_path / "aligner")
    np.save(tmp_path / "in.npy", rows_of())
    out = tmp_path / "out.npy"
    out.write_text("the old file")
    arguments = [sys.executable, "-c", FULL_DISK, *map(str, (tmp_path / "aligner", tmp_path / "in.npy", out))]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "InputError: no room for" in run.stderr.splitlines()[-1]
    assert "the old file is untouched" in run.stderr.splitlines()[-1]
    assert out.read_text() == "the old file"
    assert not out.with_name("out.npy.partial").exists()


MEMORY = """
import re, sys
from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.gallery import transform_file
transform_file(OrthogonalAligner.load(sys.argv[1]), sys.argv[2], sys.argv[3])
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
def test_the_memory_does_not_grow_with_the_gallery(tmp_path):
    fitted(128, 128).save(tmp_path / "aligner")
    peaks = []
    for n in (300_000, 1_200_000):
        source = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float16, (n, 128))
        source[:] = 0.01
        source.flush()
        del source
        arguments = [sys.executable, "-c", MEMORY, *map(str, (tmp_path / "aligner", tmp_path / "in.npy"))]
        run = subprocess.run(
            [*arguments, str(tmp_path / "out.npy")], capture_output=True, text=True, check=True
        )
        peaks.append(int(run.stdout))
    assert os.path.getsize(tmp_path / "in.npy") > 300_000_000
    assert abs(peaks[1] - peaks[0]) < 60_000_000
    assert max(peaks) < 600_000_000


def parquet(path, rows: np.ndarray, first: int = 0) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    ids = [f"item {first + i}" for i in range(len(rows))]
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table({"id": ids, "vector": vectors, "n": range(len(rows))}), path, row_group_size=900)


def test_parquet_keeps_its_other_columns(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    aligner, rows = fitted(), rows_of()
    parquet(tmp_path / "in.parquet", rows)
    transform_file(aligner, rows, tmp_path / "plain.npy")
    transform_file(aligner, tmp_path / "in.parquet", tmp_path / "out.npy")
    transform_file(aligner, tmp_path / "in.parquet", tmp_path / "out.parquet")
    plain = (tmp_path / "plain.npy").read_bytes()
    assert (tmp_path / "out.npy").read_bytes() == plain
    before, after = pq.read_table(tmp_path / "in.parquet"), pq.read_table(tmp_path / "out.parquet")
    assert before.column_names == after.column_names
    assert before.drop_columns("vector").equals(after.drop_columns("vector"))
    assert (
        np.asarray(open_vectors(tmp_path / "out.parquet")).tobytes()
        == np.load(tmp_path / "plain.npy").tobytes()
    )


def test_a_folder_of_parquet_becomes_a_folder_and_resumes_file_by_file(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    aligner, rows = fitted(), rows_of()
    names = ["a.parquet", "deep/b.parquet", "deep/c.parquet"]
    for name, part, first in zip(names, np.array_split(rows, 3), (0, 3334, 6667), strict=True):
        parquet(tmp_path / "in" / name, part, first)
    transform_file(aligner, rows, tmp_path / "plain.npy")
    whole = transform_file(aligner, tmp_path / "in", tmp_path / "whole")
    interrupt(aligner, tmp_path / "in", tmp_path / "out", monkeypatch, at=5000)
    assert not (tmp_path / "out").exists()
    seen: list[int] = []
    transform_file(aligner, tmp_path / "in", tmp_path / "out", progress=lambda done, total: seen.append(done))
    assert seen[0] > 3334
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    assert np.asarray(open_vectors(tmp_path / "out")).tobytes() == np.load(tmp_path / "plain.npy").tobytes()
    assert not list(tmp_path.glob("out.partial*"))
    with pytest.raises(InputError, match="exists already"):
        transform_file(aligner, tmp_path / "in", tmp_path / "out")


def test_other_outputs_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"end it in \.npy or \.safetensors"):
        transform_file(fitted(), rows_of(), tmp_path / "out.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        transform_file(fitted(), rows_of(), tmp_path / "file" / "out.npy")


def test_faiss_and_numpy_find_the_same_neighbours_in_the_untouched_old_index(tmp_path):
    faiss = pytest.importorskip("faiss")
    random = np.random.default_rng(0)
    hidden = random.normal(size=(2000, 16))
    old = unit(hidden @ random.normal(size=(16, 24)) + 0.1 * random.normal(size=(2000, 24))).astype(
        np.float32
    )
    new = unit(hidden @ random.normal(size=(16, 40)) + 0.1 * random.normal(size=(2000, 40))).astype(
        np.float32
    )
    aligner = OrthogonalAligner().fit(new[:1000], old[:1000])
    index = faiss.IndexFlatIP(24)
    index.add(old)
    transform_file(aligner, new[1000:], tmp_path / "queries.npy", width=24)
    queries = np.load(tmp_path / "queries.npy")
    by_faiss = index.search(queries, 10)[1]
    by_numpy = np.argsort(-(queries @ old.T), axis=1)[:, :10]
    assert (by_faiss == by_numpy).all()
    assert np.mean(by_faiss[:, 0] == np.arange(1000, 2000)) > 0.5
    assert (
        np.mean(index.search(np.ascontiguousarray(new[1000:, :24]), 10)[1] == np.arange(1000, 2000)[:, None])
        < 0.01
    )

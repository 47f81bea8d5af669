from __future__ import annotations

import shutil
import time

import numpy as np
import pytest

from paperworks.backward_compatible.vectors import match_ids, open_vectors, read_ids, read_vectors
from paperworks.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = np.random.default_rng(0).normal(size=(5000, 6)).astype(np.float32)


def fixed(rows: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def lists(rows: np.ndarray) -> pa.Array:
    return pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))


def make(kind: str, folder, rows: np.ndarray):
    """The same rows in one of the places that `open_vectors` knows."""
    if kind == "array":
        return rows
    if kind == "list":
        return rows.astype(float).tolist()
    if kind == "tensor":
        return pytest.importorskip("torch").from_numpy(rows)
    path = folder / f"rows.{kind}"
    if kind == "npy":
        np.save(path, rows)
    elif kind == "fortran.npy":
        np.save(path, np.asfortranarray(rows))
    elif kind == "big-endian.npy":
        np.save(path, rows.astype(rows.dtype.newbyteorder(">")))
    elif kind == "memory map":
        np.save(folder / "mapped.npy", rows)
        return np.load(folder / "mapped.npy", mmap_mode="r")
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file({"vectors": rows}, path)
    elif kind == "parquet":
        pq.write_table(
            pa.table({"id": np.arange(len(rows)), "vector": fixed(rows)}), path, row_group_size=700
        )
    elif kind == "lists.parquet":
        pq.write_table(pa.table({"vector": lists(rows)}), path)
    elif kind == "folder of parquet":
        path.mkdir()
        for i, part in enumerate(np.array_split(rows, 3)):
            pq.write_table(pa.table({"vector": fixed(part)}), path / f"part-{i}.parquet", row_group_size=500)
    elif kind == "arrow":
        table = pa.table({"vector": fixed(rows)})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=999)
    else:
        datasets = pytest.importorskip("datasets")
        dataset = datasets.Dataset(pa.table({"vector": fixed(rows), "text": ["x"] * len(rows)}))
        if kind == "dataset":
            return dataset
        dataset.save_to_disk(path)
    return path


KINDS = [
    *("array", "memory map", "tensor", "npy", "fortran.npy", "big-endian.npy", "safetensors", "parquet"),
    *("lists.parquet", "folder of parquet", "arrow", "dataset", "saved dataset"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_place_gives_the_same_rows(kind, dtype, tmp_path):
    rows = ROWS.astype(dtype)
    vectors = open_vectors(make(kind, tmp_path, rows))
    assert vectors.shape == rows.shape
    assert vectors.dtype == dtype
    assert len(vectors) == len(rows)
    for start, stop in ((0, 5000), (0, 1), (690, 720), (1660, 3400), (4999, 5000), (10, 10)):
        got = vectors.rows(start, stop)
        assert got.dtype == dtype
        assert np.array_equal(got, rows[start:stop])
    for size, start in ((4096, 0), (450, 0), (450, 1000), (9000, 4500)):
        blocks = list(vectors.blocks(size, start))
        assert [block[0] for block in blocks] == list(range(start, 5000, size))
        assert np.array_equal(np.concatenate([load() for _, _, load in blocks]), rows[start:])
    some = np.array([4999, 0, 700, 700, 3])
    assert np.array_equal(vectors.take(some), rows[some])
    assert np.array_equal(vectors[some], rows[some])
    assert np.array_equal(vectors[100:200], rows[100:200])
    assert np.array_equal(np.asarray(vectors), rows)
    selected = vectors.select(some)
    assert selected.shape == (5, 6)
    assert np.array_equal(np.concatenate(list(selected.chunks(2))), rows[some])
    assert vectors.fingerprint() == open_vectors(vectors).fingerprint()


def test_a_list_and_read_vectors(tmp_path):
    assert np.array_equal(read_vectors(make("list", tmp_path, ROWS)), ROWS.astype(float))
    assert np.array_equal(read_vectors(make("npy", tmp_path, ROWS)), ROWS)


def test_bfloat16_safetensors_are_read_as_float32(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensor = torch.from_numpy(ROWS).bfloat16()
    save_file({"a": tensor}, tmp_path / "a.safetensors")
    vectors = open_vectors(tmp_path / "a.safetensors")
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors.rows(3, 900), tensor.float().numpy()[3:900])
    assert np.array_equal(vectors.take(np.array([7, 2])), tensor.float().numpy()[[7, 2]])


@pytest.mark.parametrize("kind", ["npy", "safetensors", "parquet", "folder of parquet", "arrow"])
def test_the_fingerprint_changes_with_the_source(kind, tmp_path):
    path = make(kind, tmp_path, ROWS)
    before = open_vectors(path).fingerprint()
    assert open_vectors(path).fingerprint() == before
    changed = ROWS.copy()
    changed[1234, 3] += 1
    if path.is_dir():
        shutil.rmtree(path)
    time.sleep(0.02)  # the file system's clock ticks every few milliseconds
    make(kind, tmp_path, changed)
    assert open_vectors(path).fingerprint() != before


def test_several_columns_must_be_chosen_among(tmp_path):
    table = pa.table({"title": fixed(ROWS), "body": fixed(2 * ROWS), "tags": pa.array([["x"]] * 5000)})
    pq.write_table(table, tmp_path / "two.parquet")
    with pytest.raises(InputError, match=r"which column\? \(found: title, body\)"):
        open_vectors(tmp_path / "two.parquet")
    assert np.array_equal(open_vectors(tmp_path / "two.parquet", "body").rows(0, 9), 2 * ROWS[:9])
    with pytest.raises(InputError, match="no vector column 'tags'"):
        open_vectors(tmp_path / "two.parquet", "tags")


def broken(folder, name: str):
    path = folder / name
    if name == "cut.npy":
        np.save(path, ROWS)
        path.write_bytes(path.read_bytes()[:-10])
    elif name == "text.npy":
        path.write_text("id,vector")
    elif name == "flat.npy":
        np.save(path, ROWS[0])
    elif name == "int8.npy":
        np.save(path, ROWS.astype(np.int8))
    elif name == "bits.npy":
        np.save(path, ROWS > 0)
    elif name == "text.safetensors":
        path.write_text("nothing of the kind, and longer than eight bytes")
    elif name == "int8.safetensors":
        from safetensors.numpy import save_file

        save_file({"a": ROWS.astype(np.int8)}, path)
    elif name == "text.parquet":
        path.write_text("nothing of the kind")
    elif name == "null.parquet":
        pq.write_table(pa.table({"v": pa.array([[1.0, 2.0], None, [1.0, 2.0]])}), path)
    elif name == "ragged.parquet":
        pq.write_table(pa.table({"v": pa.array([[1.0, 2.0], [1.0, 2.0], [1.0]])}), path)
    elif name == "int8.parquet":
        pq.write_table(pa.table({"v": fixed(ROWS.astype(np.int8))}), path)
    elif name == "other.txt":
        path.write_text("1 2 3")
    elif name == "empty":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.npy", "no such file"),
        ("cut.npy", "is cut off"),
        ("text.npy", "not a NumPy file"),
        ("flat.npy", r"need vectors \[n, d\]"),
        ("int8.npy", "int8 vectors are quantised"),
        ("bits.npy", r"quantised.*binary codes of a Hamming index cannot be rotated"),
        ("text.safetensors", "not a safetensors file"),
        ("int8.safetensors", "dequantised"),
        ("text.parquet", "cannot be read"),
        ("null.parquet", "row 1 is null"),
        ("ragged.parquet", "row 2 has width 1, row 0 has 2"),
        ("int8.parquet", "dequantised"),
        ("other.txt", "unknown format"),
        ("empty", "no .parquet file"),
    ],
)
def test_bad_files_are_refused_in_one_line(name, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(broken(tmp_path, name))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_ids_are_matched_and_what_is_left_out_is_counted():
    first = ["a", "b", "c", "d", "d", "e"]
    second = ["x", "c", "a", "a", "d", "e", "b"]
    matched = match_ids(first, second)
    rows_first, rows_second = matched
    assert [(first[i], second[j]) for i, j in zip(rows_first, rows_second, strict=True)] == [
        *(("b", "b"), ("c", "c"), ("e", "e"))
    ]
    assert (matched.only_first, matched.only_second, matched.duplicated) == (0, 1, 2)
    with pytest.raises(InputError, match="no id occurs once on both sides"):
        match_ids(["a"], ["b"])


def test_ids_are_read_with_and_without_a_header(tmp_path):
    path = tmp_path / "ids"
    path.write_text("a\nb\nc\n")
    assert read_ids(path, 3) == ["a", "b", "c"]
    path.write_text("url,id\nu,a\nv,b\n")
    assert read_ids(path, 2) == ["a", "b"]
    assert read_ids(path, 2, "url") == ["u", "v"]
    with pytest.raises(InputError, match="3 ids for 7 vectors"):
        read_ids(path, 7)
    with pytest.raises(InputError, match="no column 'name': its header is url, id"):
        read_ids(path, 2, "name")
    with pytest.raises(InputError, match="cannot read"):
        read_ids(tmp_path / "absent", 2)

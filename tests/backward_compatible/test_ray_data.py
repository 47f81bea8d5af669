from __future__ import annotations

import numpy as np
import pytest

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.gallery import transform_file
from paperworks.backward_compatible.ray_data import transform_dataset
from paperworks.backward_compatible.vectors import open_vectors
from paperworks.errors import InputError

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def two_workers():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def gallery_folder(tmp_path_factory):
    """Uneven Parquet files: 9,001 vectors of width 40."""
    folder = tmp_path_factory.mktemp("gallery")
    rows = np.random.default_rng(1).normal(size=(9_001, 40)).astype(np.float32)
    for i, part in enumerate(np.array_split(np.arange(9_001), 5)):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows[part].ravel()), 40)
        pq.write_table(pa.table({"id": part, "vector": vectors}), folder / f"{i}.parquet", row_group_size=700)
    return folder


def fitted() -> OrthogonalAligner:
    random = np.random.default_rng(0)
    new = random.normal(size=(500, 40))
    return OrthogonalAligner(normalize=False).fit(new, new[:, :24])


def column(dataset, name: str) -> np.ndarray:
    return np.stack([row[name] for row in dataset.take_all()])


def test_the_bytes_are_those_of_transform_file(two_workers, gallery_folder, tmp_path):
    aligner = fitted()
    transform_file(aligner, gallery_folder, tmp_path / "out.npy")
    expected = np.load(tmp_path / "out.npy")
    dataset = ray.data.read_parquet(str(gallery_folder))
    for rows_per_block in (384, 6144):
        rotated = transform_dataset(
            aligner, dataset, column="vector", out_column="rotated", rows_per_block=rows_per_block
        ).materialize()
        assert (column(rotated, "id") == np.arange(9_001)).all()
        assert np.array_equal(column(rotated, "vector"), np.asarray(open_vectors(gallery_folder)))
        assert column(rotated, "rotated").astype(np.float32).tobytes() == expected.tobytes()
    assert rotated.num_blocks() >= 2


def test_what_ray_writes_can_be_opened(two_workers, gallery_folder, tmp_path):
    aligner = fitted()
    dataset = ray.data.read_parquet(str(gallery_folder))
    transform_dataset(aligner, dataset, column="vector", width=24).write_parquet(str(tmp_path / "out"))
    rotated = np.asarray(open_vectors(tmp_path / "out"))
    assert rotated.shape == (9_001, 24)
    assert rotated.dtype == np.float32
    exact = np.asarray(open_vectors(gallery_folder)).astype(float) @ aligner.rotation_[:, :24]
    order = np.lexsort(rotated.T), np.lexsort(exact.astype(np.float32).T)
    assert np.abs(rotated[order[0]] - exact[order[1]]).max() < 1e-5


def test_tensor_columns_are_rotated_too(two_workers):
    aligner, rows = fitted(), np.random.default_rng(0).normal(size=(1000, 40)).astype(np.float16)
    rotated = transform_dataset(aligner, ray.data.from_numpy(rows), column="data")
    assert np.abs(column(rotated, "data") - rows.astype(float) @ aligner.rotation_).max() < 1e-2


def test_bad_columns_are_refused(two_workers, gallery_folder):
    dataset = ray.data.read_parquet(str(gallery_folder))
    with pytest.raises(InputError, match="no column 'text': it has id, vector"):
        transform_dataset(fitted(), dataset, column="text")
    with pytest.raises(InputError, match="multiple of 384"):
        transform_dataset(fitted(), dataset, column="vector", rows_per_block=1000)
    narrow = ray.data.from_numpy(np.ones((10, 39)))
    with pytest.raises(Exception, match="width 39"):
        transform_dataset(fitted(), narrow, column="data").take_all()

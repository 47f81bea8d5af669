"""The transform as a map over Ray Data (extra `ray`): beyond one machine, with the bytes of `transform_file`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.rotate_rows import TILE, one_thread_each, rotate_rows
from paperworks.errors import InputError, require

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset


def transform_dataset(
    aligner: OrthogonalAligner,
    dataset: Dataset,
    *,
    column: str,
    out_column: str | None = None,
    width: int | None = None,
    rows_per_block: int = 16 * TILE,
) -> Dataset:
    """A lazy Ray dataset with `column [d_new]` rotated into `out_column [width]` (the same column unless given).

    The other columns stay. `width` is D unless given. The dataset is cut into blocks of `rows_per_block` rows, a
    multiple of `TILE`, each a task of one CPU, so that every row is multiplied at the place that its number gives it:
    the bytes are those of `transform_file` on the same kind of machine. For rows in their order set
    `ray.data.DataContext.get_current().execution_options.preserve_order = True`.

    Raises `InputError` for a column that is not there or, when it runs, for vectors of another width or with NaN.
    """
    require("ray", "ray")
    if rows_per_block % TILE:
        raise InputError(f"rows_per_block = {rows_per_block}: give a multiple of {TILE}")
    full = aligner.rotation_.shape[1]
    width = full if width is None else width
    if not 1 <= width <= full:
        raise InputError(f"width = {width}: the aligner gives {full} coordinates")
    names = dataset.columns()
    if names is not None and column not in names:
        raise InputError(f"the dataset has no column {column!r}: it has {', '.join(names)}")
    blocks = dataset.repartition(target_num_rows_per_block=rows_per_block, strict=True)
    return blocks.map_batches(
        _RotateBatch(aligner, column, out_column or column, width),
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
    )


class _RotateBatch:
    """Rotates one column of an Arrow table; small enough to travel with every task."""

    def __init__(self, aligner: OrthogonalAligner, column: str, out_column: str, width: int):
        self.column, self.out_column = column, out_column
        self.rotation = np.ascontiguousarray(aligner.rotation_[:, :width])
        self.mistake = aligner.width_message

    def __call__(self, table: pa.Table) -> pa.Table:
        from paperworks.backward_compatible.tables import array_to_column, column_to_array

        rows = column_to_array(table.column(self.column), self.column)
        if not len(rows):
            return table
        if rows.shape[1] != len(self.rotation):
            raise InputError(f"{self.column}: {self.mistake(rows.shape[1])}")
        dtype: np.dtype[Any] = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float32)
        matrix = self.rotation.astype(np.float64 if dtype == np.float64 else np.float32, copy=False)
        with one_thread_each():
            rotated = rotate_rows(rows.astype(dtype, copy=False), matrix, 0, self.column)
        changed = array_to_column(rotated)
        if self.out_column in table.column_names:
            return table.set_column(table.schema.get_field_index(self.out_column), self.out_column, changed)
        return table.append_column(self.out_column, changed)

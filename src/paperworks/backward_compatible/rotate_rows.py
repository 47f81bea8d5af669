"""Rotate rows so that the bytes of a row do not depend on the chunk, the thread or the batch that it came in.

Matrix products in float32 round a row differently by how many rows share the call, by its place among them (on common
CPUs the first six of twelve rows go through another code path than the last six), and by the number of threads. So rows
are multiplied in tiles of `TILE` rows on one thread each, every row at the place that its number in the gallery gives
it; a tile that is not full is filled with zeros. Parallelism comes from working on several tiles at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from paperworks.backward_compatible.vectors import Array
from paperworks.errors import InputError

TILE = 384


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Matrix products inside run on the calling thread alone; several threads may call them."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def rotate_rows(rows: Array, matrix: NDArray[Any], first: int, name: str) -> Array:
    """`rows [n, d]`, numbers `first` and on of the gallery, times `matrix [d, D]`, in the rows' dtype.

    `matrix` is float64 for float64 rows and float32 otherwise, float16 included. Call it inside `one_thread_each`.
    Raises `InputError` that names the first row with NaN or infinity, or whose result does not fit float16.
    """
    d, width = matrix.shape
    out = np.empty((len(rows), width), rows.dtype)
    tile, product = np.zeros((TILE, d), matrix.dtype), np.empty((TILE, width), matrix.dtype)
    start = 0
    while start < len(rows):
        place = (first + start) % TILE
        n = min(TILE - place, len(rows) - start)
        if n < TILE:
            tile.fill(0)
        tile[place : place + n] = rows[start : start + n]
        rotated = out[start : start + n]
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(tile, matrix, out=product)
            finite = np.isfinite(product.sum())
        try:
            with np.errstate(over="raise", invalid="ignore"):
                rotated[:] = product[place : place + n]
        except FloatingPointError:
            finite = False
        if not finite:
            _check_tile(rows[start : start + n], rotated, first + start, name)
        start += n
    return out


def _check_tile(rows: Array, rotated: Array, first: int, name: str) -> None:
    for values, problem in (
        (rows, "holds NaN or infinity: drop it, or embed it again"),
        (rotated, "is too long for its dtype once rotated: store float32"),
    ):
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise InputError(f"{name}: row {first + int(np.argmax(bad)):,} {problem}")

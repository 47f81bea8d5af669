"""What every detector is: something fitted on a classifier's outputs that gives one number per document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from paperworks.errors import InputError

State = dict[str, np.ndarray]
BLOCK = 128


@dataclass(frozen=True)
class Outputs:
    """What a classifier says about `n` documents: `features [n, d]`, `logits [n, C]`, and `penultimate [n, d']`, the
    input of its last linear layer, where that is something else than the features.

    Kept as float32 or float64. Raises `InputError` for other shapes, lengths that differ, or values not finite.
    """

    features: np.ndarray
    logits: np.ndarray
    penultimate: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("features", "logits", "penultimate"):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, _matrix(name, values))
                if len(getattr(self, name)) != len(self.features):
                    raise InputError(
                        f"{len(getattr(self, name))} rows of {name} for {len(self.features)} of features"
                    )

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Any) -> Outputs:
        """The documents that a slice, a list of indices or a mask chooses."""
        rest = None if self.penultimate is None else self.penultimate[rows]
        return Outputs(self.features[rows], self.logits[rows], rest)

    @property
    def last(self) -> np.ndarray:
        """The input of the last linear layer `[n, d']`: `penultimate`, or the features where there is none."""
        return self.features if self.penultimate is None else self.penultimate


class Score:
    """A fitted detector. Called with `Outputs` of `n` documents it gives float64 `[n]`, larger = more in-distribution.

    `options` are plain values for JSON, `state()` arrays for safetensors; `Score.restore` makes it again from both.
    """

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]] = {}
    arrays: ClassVar[
        tuple[str, ...]
    ] = ()  # options that are arrays: used by the fit and kept in the state only

    def __init__(self, options: dict[str, Any], state: State) -> None:
        self.options = options
        self._state = {key: np.ascontiguousarray(value) for key, value in state.items()}

    def __call__(self, outputs: Outputs) -> np.ndarray:
        """The scores `[n]`. Raises `InputError` for features or logits of another width than the reference's."""
        raise NotImplementedError

    def state(self) -> State:
        """What was learned, as contiguous arrays."""
        return dict(self._state)

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        """The state, from the reference. Fills in an option that was left to the data."""
        return {}

    @staticmethod
    def restore(name: str, state: State, options: Mapping[str, Any]) -> Score:
        """The detector that had this state and these options; its scores are the same to the bit."""
        from paperworks.head_masking.scores import score_kind

        return score_kind(name)(dict(options), state)


def slices(count: int, size: int) -> Iterator[slice]:
    """`0…count` in pieces of `size`, the last one smaller."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def in_blocks(rows: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`function` of float64 rows `[n, d]`, row by row `[n, k]`, computed on blocks of `[128, d]`.

    BLAS chooses its kernels, and with them the rounding, by the shape: of one shape always, the last block filled up
    with zeros, a row's result does not depend on its neighbours.
    """
    block = np.zeros((BLOCK, rows.shape[1]))
    results = []
    for some in slices(max(1, len(rows)), BLOCK):
        taken = rows[some]
        block[: len(taken)], block[len(taken) :] = taken, 0
        results.append(np.array(function(block)[: len(taken)], order="C"))
    return np.concatenate(results)


def same_width(values: np.ndarray, width: int, name: str) -> None:
    """Raise `InputError` where `values [n, width]` are not as wide as the reference was."""
    if values.shape[1] != width:
        raise InputError(
            f"{name} of width {values.shape[1]}, the reference has {width}: give the same model's outputs"
        )


def _matrix(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "fiu":
        raise InputError(f"{name} {array.dtype} {list(array.shape)}: numbers [documents, width] are needed")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{name} of row {finite.argmin()} are not finite: compute in float32, or leave the row out"
        )
    return np.ascontiguousarray(array)

"""Calibration text as token ids: packed to one length, so that no position is padding.

Samples are drawn at random by a seed from the rows that the text fills (paper: 1,024 random samples).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Calibration:
    """`input_ids [N, S]` and `mask [N, S]` (1 where a position counts; `None`: everywhere), both int64 tensors."""

    input_ids: torch.Tensor
    mask: torch.Tensor | None = None

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    @property
    def length(self) -> int:
        """`S`, the tokens of a sample, padding included."""
        return int(self.input_ids.shape[1])

    def chunks(self, size: int) -> Iterator[tuple[slice, Calibration]]:
        """The samples in order, at most `size` at a time, with their place."""
        for first in range(0, len(self), size):
            rows = slice(first, min(first + size, len(self)))
            yield rows, Calibration(self.input_ids[rows], None if self.mask is None else self.mask[rows])

    def checked(self, vocabulary: int) -> Calibration:
        """Itself. Raises `InputError` for a token that the model does not have, or for samples without any token."""
        highest = int(self.input_ids.max())
        if highest >= vocabulary or int(self.input_ids.min()) < 0:
            raise InputError(
                f"the calibration has token {highest}, the model only 0…{vocabulary - 1}: another tokenizer?"
            )
        if self.mask is not None and int(self.mask.sum(1).min()) == 0:
            raise InputError("a calibration sample is padding alone: leave it out")
        return self


def as_calibration(data: Any) -> Calibration:
    """Token ids `[N, S]` (tensor, array, or list of equal rows), a mapping with `input_ids` and `attention_mask`, or a
    `Calibration`. Raises `InputError` for anything else."""
    import torch

    if isinstance(data, Calibration):
        return data
    mask = None
    if hasattr(data, "keys") and "input_ids" in data:
        mask, data = data.get("attention_mask"), data["input_ids"]
    try:
        ids = torch.as_tensor(data, dtype=torch.long)
        mask = None if mask is None else torch.as_tensor(mask, dtype=torch.long)
    except (TypeError, ValueError) as error:
        raise InputError(f"calibration must be token ids [samples, length]: {error}") from error
    if ids.ndim != 2 or 0 in ids.shape or (mask is not None and mask.shape != ids.shape):
        raise InputError(f"calibration must be token ids [samples, length], got the shape {list(ids.shape)}")
    return Calibration(ids, mask)


def load_calibration(
    data: str | Path | Any, tokenizer: Any, *, samples: int = 1024, length: int = 512, seed: int = 0
) -> Calibration:
    """`samples` rows of `length` tokens from a `.txt` or `.jsonl` file, a folder of `.txt`, or a `datasets.Dataset`.

    JSON lines and data sets have `text` or `input_ids`. Documents follow one another, each ended by the tokenizer's
    end-of-text token, and are cut into rows; the rows are drawn by `seed`. Raises `InputError` where the text is empty
    or fills fewer rows than asked for.
    """
    import torch

    table = packed_rows(data, tokenizer, length=length, at_least=samples, enough=40 * samples).input_ids
    drawn = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:samples]
    return Calibration(table[drawn.sort().values])


def packed_rows(
    data: str | Path | Any, tokenizer: Any, *, length: int, at_least: int = 1, enough: int | None = None
) -> Calibration:
    """All rows of `length` tokens that the text fills, in its order; reading stops at `enough` rows.

    Raises `InputError` where the text is empty or fills fewer than `at_least`.
    """
    import torch

    ids: list[int] = []
    end = getattr(tokenizer, "eos_token_id", None)
    for document in _documents(data, tokenizer):
        ids += document
        if end is not None:
            ids.append(int(end))
        if enough is not None and len(ids) > enough * length:
            break
    rows = len(ids) // length
    if not ids:
        raise InputError(f"there is no text in {data}")
    if rows < at_least:
        raise InputError(
            f"{data} has {len(ids):,} tokens, which fill {rows} samples of {length}, not {at_least}: give more text, "
            "or fewer or shorter samples"
        )
    return Calibration(torch.tensor(ids[: rows * length], dtype=torch.long).view(rows, length))


def _documents(data: Any, tokenizer: Any) -> Iterator[Sequence[int]]:
    for row in _rows(data):
        if isinstance(row, str):
            if row.strip():
                yield tokenizer(row, add_special_tokens=False, verbose=False)["input_ids"]
        else:
            yield row


def _rows(data: Any) -> Iterable[Any]:
    if not isinstance(data, str | Path):
        return _columns(data)
    path = Path(data)
    try:
        if path.is_dir():
            return (part.read_text(encoding="utf-8") for part in sorted(path.rglob("*.txt")))
        if path.suffix == ".jsonl":
            return _lines(path)
        return [path.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot read the text {path}: {reason}") from error


def _columns(data: Any) -> Iterator[Any]:
    names = getattr(data, "column_names", None) or []
    column = next((name for name in ("input_ids", "text") if name in names), None)
    if column is None:
        raise InputError(f"the data set has no column text or input_ids, only {', '.join(names) or 'none'}")
    for row in data:
        yield row[column]


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield row["text"] if "text" in row else row["input_ids"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}, line {number}: a JSON object with text or input_ids is expected"
                ) from error

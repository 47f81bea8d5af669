"""Trims the files of a checkpoint to a target without loading them: pass 2 of streaming (specification, section 3.7).

Every output tensor, in the order of its shard, is read in blocks of rows, its rows and columns are selected, and it is
written, while the next block is read. The result is the one of `prune_model`, byte for byte, and loads without this
library.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paperworks.errors import InputError
from paperworks.files import replacing, write_json
from paperworks.minitron.architecture import config_hash
from paperworks.minitron.checkpoint import Checkpoint, ShardWriter
from paperworks.minitron.importance import Importance, Progress
from paperworks.minitron.indices import Kept, keep, selection
from paperworks.minitron.memory import PeakPrivate, check_disk
from paperworks.minitron.repair import norm_gains, rescaled
from paperworks.minitron.target import Target
from paperworks.minitron.trim import source_name

COPIED = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model", "chat_template*",
    "generation_config.json", "LICENSE*", "NOTICE*", "USE_POLICY*",
)  # fmt: skip
"""Files that stay as they are: those of the tokenizer, of generation, and the licence."""


@dataclass(frozen=True)
class CutReport:
    """What `prune` made: parameters, this run's seconds and peak private memory, layers of the source that stay (from
    0), and the bytes of all shards."""

    parameters: int
    seconds: float
    peak_private_bytes: int
    layers: list[int]
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)


def prune(
    folder: str | Path,
    scores: Importance,
    target: Target,
    out: str | Path,
    *,
    seed: int = 0,
    shard_bytes: int = 2_000_000_000,
    block_bytes: int = 16_000_000,
    rescale_norms: bool = False,
    progress: Progress | None = None,
) -> CutReport:
    """Write the checkpoint in `folder`, cut to `target`, to the empty or new folder `out`.

    `block_bytes`: how much of a tensor is read at a time. `rescale_norms` gives the norms back the size of their output
    (`repair.norm_gains`; the paper does not). `seed` is only noted. A killed cut goes on where it ended when called
    again, to the same bytes; `config.json` is written last. Raises `InputError` for scores of another model, a folder
    `out` that holds anything else or lies in the source, a disk that is too small, and as `Checkpoint`,
    `Target.sizes` and `norm_gains`.
    """
    start = time.perf_counter()
    source, out = Checkpoint(folder), Path(out)
    if scores.sizes != source.sizes:
        raise InputError("these importance scores are of another model: measure this one")
    if out.resolve().is_relative_to(source.folder.resolve()):
        raise InputError(f"{out} lies in the source {folder}: give a folder outside of it")
    kept, new = keep(scores, target, source.sizes), target.sizes(source.sizes)
    gains = norm_gains(scores, kept) if rescale_norms else {}
    tensors = [(name, source.table[source_name(name, kept)[0]].dtype, shape) for name, shape in new.tensors()]
    facts = _facts(source, scores, target, kept, seed, gains)
    key = hashlib.sha256(json.dumps([facts, source.fingerprint(), shard_bytes], sort_keys=True).encode())
    writer = ShardWriter(out, tensors, key=key.hexdigest(), shard_bytes=shard_bytes)
    check_disk(out, sum(shard.size for shard in writer.remaining()), "the cut checkpoint")
    total = sum(len(shard.tensors) for shard in writer.shards)
    done = total - sum(len(shard.tensors) for shard in writer.remaining())
    row_bytes = max(source.table[name].size // shape[0] for name, shape in source.sizes.tensors())
    with PeakPrivate() as memory:
        size = max(block_bytes, row_bytes)
        buffers = [torch.empty(size, dtype=torch.uint8) for _ in range(2)]
        writer.start()
        for shard in writer.remaining():
            with writer.shard(shard) as file:
                tensors_of = (_blocks(source, name, kept, size) for name, _, _ in shard.tensors)
                current = ""
                for block, values in _read_ahead(source, chain.from_iterable(tensors_of), buffers):
                    file.write(_cut(block, values, gains.get(block.name)).data)
                    if block.name != current:
                        current, done = block.name, done + 1
                        if progress:
                            progress(done, total, f"cutting to {shard.file}")
        writer.write_index()
        _copy_files(source.folder, out)
        write_json(out / "pruning.json", facts)
        write_json(out / "config.json", target.config(source.config, source.sizes))
        writer.finish()
    return CutReport(
        new.parameters,
        time.perf_counter() - start,
        memory.bytes,
        kept.layers,
        sum(shard.size for shard in writer.shards),
    )


@dataclass(frozen=True)
class _Block:
    """Rows `first…last-1` of the tensor `original`, of which `rows` (from `first`; `None` for all) and `columns` go
    into the cut tensor `name`."""

    name: str
    original: str
    first: int
    last: int
    rows: np.ndarray | None
    columns: np.ndarray | None


def _blocks(source: Checkpoint, name: str, kept: Kept, size: int) -> Iterator[_Block]:
    """The blocks of at most `size` bytes that make an output tensor, in order."""
    original, part, layer = source_name(name, kept)
    shape = source.table[original].shape
    rows, columns = (
        side if side is None else side.numpy() for side in selection(part, kept, layer, source.sizes)
    )
    if columns is not None and len(columns) == shape[1]:
        columns = None
    step = size * shape[0] // source.table[original].size
    for first in range(0, shape[0], step):
        last, inside = min(first + step, shape[0]), None
        if rows is not None:
            inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
            if not len(inside):
                continue
        yield _Block(name, original, first, last, inside, columns)


def _read_ahead(
    source: Checkpoint, blocks: Iterable[_Block], buffers: list[torch.Tensor]
) -> Iterator[tuple[_Block, torch.Tensor]]:
    """Each block with its rows, the next one being read meanwhile: the two `buffers` take turns."""
    waiting: deque[tuple[_Block, Future[torch.Tensor]]] = deque()
    with ThreadPoolExecutor(1) as reader:
        for number, block in enumerate(blocks):
            buffer = buffers[number % 2]
            waiting.append(
                (block, reader.submit(source.read, block.original, block.first, block.last, buffer))
            )
            if len(waiting) == 2:
                ready, read = waiting.popleft()
                yield ready, read.result()
        for ready, read in waiting:
            yield ready, read.result()


def _cut(block: _Block, values: torch.Tensor, gain: torch.Tensor | None) -> np.ndarray:
    """The bytes of a block that go into the output."""
    if gain is not None:
        values = rescaled(values, gain)
    # NumPy's take is several times faster than index_select along columns; it knows no bfloat16, so bits are moved.
    bits = values.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[values.itemsize]).numpy()
    if block.rows is not None and len(block.rows) < len(bits):
        bits = bits.take(block.rows, axis=0)
    if block.columns is not None:
        bits = bits.take(block.columns, axis=1)
    return bits.reshape(-1).view(np.uint8)


def _facts(
    source: Checkpoint,
    scores: Importance,
    target: Target,
    kept: Kept,
    seed: int,
    gains: dict[str, torch.Tensor],
) -> dict[str, Any]:
    """What `pruning.json` says."""
    return {
        "source": source.folder.resolve().name,
        "config_hash": config_hash(source.config),
        "target": dataclasses.asdict(target) | {"drop_layers": list(target.drop_layers)},
        "importance": scores.facts,
        "seed": seed,
        "rescaled_norms": {name: float(gain) for name, gain in gains.items()},
        "kept": kept.to_dict(),
    }


def _copy_files(source: Path, out: Path) -> None:
    for pattern in COPIED:
        for file in sorted(source.glob(pattern)):
            if file.is_file():
                with replacing(out / file.name) as partial:
                    shutil.copyfile(file, partial)

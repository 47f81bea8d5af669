"""Trims the files of a checkpoint to a target without loading them: pass 2 of streaming (specification, section 3.7).

Every output tensor, in the order of its shard, is read in blocks of rows, its rows and columns are selected, and it is
written. The result is the one of `prune_model`, byte for byte, and loads without this library.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
        buffer = torch.empty(max(block_bytes, row_bytes), dtype=torch.uint8)
        writer.start()
        for shard in writer.remaining():
            with writer.shard(shard) as file:
                for name, _, _ in shard.tensors:
                    for block in _blocks(source, name, kept, gains, buffer):
                        file.write(block.data)
                    done += 1
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


def _blocks(
    source: Checkpoint, name: str, kept: Kept, gains: dict[str, torch.Tensor], buffer: torch.Tensor
) -> Iterator[np.ndarray]:
    """The bytes of an output tensor, in order."""
    original, part, layer = source_name(name, kept)
    shape, size = source.table[original].shape, source.table[original].size
    rows, columns = (
        side if side is None else side.numpy() for side in selection(part, kept, layer, source.sizes)
    )
    if rows is None:
        rows = np.arange(shape[0])
    step = len(buffer) * shape[0] // size
    for first in range(0, shape[0], step):
        inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + step)] - first
        if not len(inside):
            continue
        block = source.read(original, first, first + step, buffer)
        if name in gains:
            block = rescaled(block, gains[name])
        # NumPy's take is several times faster than index_select along columns; it knows no bfloat16, so bits are moved.
        bits = block.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[block.itemsize]).numpy()
        if len(inside) < len(bits):
            bits = bits.take(inside, axis=0)
        if columns is not None and len(columns) < shape[1]:
            bits = bits.take(columns, axis=1)
        yield bits.reshape(-1).view(np.uint8)


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

"""The safetensors files of a checkpoint folder: read through the memory map, and written shard by shard.

A file is the length of its header (8 bytes, little-endian), the header as JSON (`{name: {dtype, shape, data_offsets}}`,
padded with spaces to 8 bytes), and the tensors' bytes (specification, section 3.7). Mapped pages are evictable and no
private memory, so a checkpoint may be larger than the memory of the machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from paperworks.errors import InputError
from paperworks.files import remove_remains, replacing, write_json
from paperworks.minitron.architecture import read_config, sizes_of

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
JOURNAL = "pruning.journal.json"
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""The types of weights that can be read, by their safetensors name."""


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: its shard, type, shape, and first and last byte in the file."""

    shard: str
    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int

    @property
    def size(self) -> int:
        """The bytes of the tensor."""
        return self.last - self.first


class Checkpoint:
    """A folder's tensors by name, without loading them; `table[name]` says where each lies.

    Raises `InputError` for a folder without safetensors, a missing or truncated shard, quantised weights, and tensors
    that are not those of the config.
    """

    def __init__(self, folder: str | Path) -> None:
        if sys.byteorder != "little":
            raise InputError("checkpoints are read and written on little-endian machines only")
        self.folder = Path(folder)
        self.config = read_config(self.folder)
        self.sizes = sizes_of(self.config)
        self.table: dict[str, Entry] = {}
        self._maps: dict[str, mmap.mmap] = {}
        for shard, names in _shards(self.folder).items():
            entries = read_header(self.folder / shard)
            if lost := [name for name in names if name not in entries]:
                raise InputError(f"{self.folder / shard} lacks {lost[0]}, which the index says it has")
            self.table |= {name: entries[name] for name in names or entries}
        self._check()

    def _check(self) -> None:
        for name, shape in self.sizes.tensors():
            entry = self.table.get(name)
            if entry is None:
                raise InputError(f"the checkpoint {self.folder} lacks {name}: is it whole?")
            if entry.dtype not in DTYPES:
                raise InputError(
                    f"{name} is quantised ({entry.dtype}): prune the unquantised checkpoint, then quantise"
                )
            if entry.shape != shape:
                raise InputError(
                    f"{name} has the shape {list(entry.shape)}, the config of {self.folder} says {list(shape)}"
                )

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor over the mapped file, without a copy; it must not be written to."""
        entry = self.table[name]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            flat = torch.frombuffer(
                self._map(entry.shard),
                dtype=DTYPES[entry.dtype],
                count=math.prod(entry.shape),
                offset=entry.first,
            )
        return flat.view(entry.shape)

    def rows(self, name: str, first: int, last: int) -> torch.Tensor:
        """Rows `first…last-1` of a tensor over the mapped file."""
        return self.tensor(name)[first:last]

    def read(self, name: str, first: int, last: int, buffer: torch.Tensor) -> torch.Tensor:
        """Rows `first…last-1`, read into the bytes of `buffer`: faster than the map where every byte is used once."""
        entry = self.table[name]
        row = entry.size // entry.shape[0]
        size = (min(last, entry.shape[0]) - first) * row
        with (self.folder / entry.shard).open("rb") as file:
            file.seek(entry.first + first * row)
            if file.readinto(buffer[:size].numpy().data) != size:
                raise InputError(f"{self.folder / entry.shard} became shorter while it was read")
        return buffer[:size].view(DTYPES[entry.dtype]).view(-1, *entry.shape[1:])

    def layer_names(self, layer: int) -> list[str]:
        """The names of a layer's tensors; none after the last layer."""
        prefix = f"model.layers.{layer}."
        return [name for name, _ in self.sizes.tensors() if name.startswith(prefix)]

    def prefetch(self, names: Iterable[str]) -> None:
        """Ask the system to read tensors ahead."""
        self._advise(names, "MADV_WILLNEED")

    def release(self, names: Iterable[str]) -> None:
        """Take the mapped pages of tensors out of this process; they are read again where needed."""
        self._advise(names, "MADV_DONTNEED")

    def _advise(self, names: Iterable[str], advice: str) -> None:
        if not hasattr(mmap, advice):
            return
        for entry in (self.table[name] for name in names):
            start = entry.first // mmap.PAGESIZE * mmap.PAGESIZE
            self._map(entry.shard).madvise(getattr(mmap, advice), start, entry.last - start)

    def fingerprint(self) -> str:
        """A hash of the config and of the shards' names, sizes and times: a run that resumes knows its source by it."""
        facts: list[Any] = [self.config]
        for shard in sorted({entry.shard for entry in self.table.values()}):
            state = (self.folder / shard).stat()
            facts.append([shard, state.st_size, state.st_mtime_ns])
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _map(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            with (self.folder / shard).open("rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[shard]


def _shards(folder: Path) -> dict[str, list[str]]:
    """The files of a checkpoint and the names that the index expects in each (none: whatever is in it)."""
    if (folder / INDEX).is_file():
        try:
            weight_map = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
            names: dict[str, list[str]] = {}
            for name, shard in weight_map.items():
                names.setdefault(shard, []).append(name)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / INDEX} is no index of shards: {error}") from error
        if missing := [shard for shard in names if not (folder / shard).is_file()]:
            raise InputError(f"the shard {missing[0]} is missing in {folder}: download the checkpoint again")
        return names
    if (folder / SINGLE).is_file():
        return {SINGLE: []}
    if any(folder.glob("*.bin")):
        raise InputError(
            f"{folder} has .bin weights: load them with transformers and write safetensors with save_pretrained"
        )
    raise InputError(f"no {SINGLE} and no {INDEX} in {folder}: give the folder of a checkpoint")


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a safetensors file by name. Raises `InputError` where the file is truncated or is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, 100_000_000):
            raise InputError(f"{path} is truncated or no safetensors file: download it again")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            entries = {
                name: Entry(
                    path.name,
                    one["dtype"],
                    tuple(one["shape"]),
                    *(8 + length + offset for offset in one["data_offsets"]),
                )
                for name, one in header.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} has no valid safetensors header: download it again") from error
    end = max((entry.last for entry in entries.values()), default=8 + length)
    if end > size:
        raise InputError(
            f"{path} is truncated: it has {size:,} bytes, its header says {end:,}; download it again"
        )
    for name, entry in entries.items():
        dtype = DTYPES.get(entry.dtype)
        if dtype and entry.last - entry.first != math.prod(entry.shape) * dtype.itemsize:
            raise InputError(f"{path} has no valid safetensors header ({name}): download it again")
    return entries


@dataclass(frozen=True)
class Shard:
    """A file to be written: its name and its tensors in the order of their bytes, as `(name, dtype, shape)`."""

    file: str
    tensors: list[tuple[str, str, tuple[int, ...]]]

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return len(self.header()) + sum(_bytes(dtype, shape) for _, dtype, shape in self.tensors)

    def header(self) -> bytes:
        """What precedes the tensors' bytes."""
        table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        first = 0
        for name, dtype, shape in self.tensors:
            last = first + _bytes(dtype, shape)
            table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}
            first = last
        text = json.dumps(table, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


class ShardWriter:
    """Writes a checkpoint's shards one after another; a journal lists those that are finished.

    A shard has at most `shard_bytes` of tensors (one larger tensor has its own) and takes its name only once it is
    complete and on the disk. A writer of the same `key` in the same folder goes on where a killed one ended. Raises
    `InputError` for a folder that holds anything else.
    """

    def __init__(
        self,
        folder: str | Path,
        tensors: Iterable[tuple[str, str, tuple[int, ...]]],
        *,
        key: str,
        shard_bytes: int = 2_000_000_000,
    ) -> None:
        self.folder = Path(folder)
        self.shards = _plan(list(tensors), shard_bytes)
        self._journal = self.folder / JOURNAL
        self._key = key
        self._done: list[str] = []
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file: give a folder that is empty or new")
        remove_remains(self._journal)
        if self._journal.exists():
            journal = read_journal(self._journal)
            if journal.get("key") != key:
                raise InputError(
                    f"{self.folder} holds an unfinished cut to something else: give another folder, or empty it"
                )
            for shard in self.shards:
                remove_remains(self.folder / shard.file)
            self._done = [shard.file for shard in self.shards if self._complete(shard, journal["shards"])]
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise InputError(f"{self.folder} is not empty: give a folder that is empty or new")

    def _complete(self, shard: Shard, listed: list[str]) -> bool:
        path = self.folder / shard.file
        return shard.file in listed and path.is_file() and path.stat().st_size == shard.size

    def remaining(self) -> list[Shard]:
        """The shards that are not written yet."""
        return [shard for shard in self.shards if shard.file not in self._done]

    def start(self) -> None:
        """Write the journal, by which the folder is known as this writer's."""
        write_json(self._journal, {"key": self._key, "shards": self._done})

    @contextmanager
    def shard(self, shard: Shard) -> Iterator[BinaryIO]:
        """A file for the bytes of the shard's tensors; it takes its name when the block ends without an error."""
        with replacing(self.folder / shard.file) as partial, partial.open("wb") as file:
            file.write(shard.header())
            yield file
            file.flush()
            if file.tell() != shard.size:
                raise ValueError(f"{shard.file} got {file.tell()} bytes instead of {shard.size}")
            os.fsync(file.fileno())
        _sync_folder(self.folder)
        self._done.append(shard.file)
        self.start()

    def write_index(self) -> None:
        """Write the index, where there is more than one shard."""
        if len(self.shards) == 1:
            return
        tensors = [(shard, *tensor) for shard in self.shards for tensor in shard.tensors]
        write_json(
            self.folder / INDEX,
            {
                "metadata": {
                    "total_parameters": sum(math.prod(shape) for *_, shape in tensors),
                    "total_size": sum(_bytes(dtype, shape) for *_, dtype, shape in tensors),
                },
                "weight_map": {
                    name: shard.file for shard, name, *_ in sorted(tensors, key=lambda one: one[1])
                },
            },
        )

    def finish(self) -> None:
        """Remove the journal: the folder is complete."""
        _sync_folder(self.folder)
        self._journal.unlink()


def _plan(tensors: list[tuple[str, str, tuple[int, ...]]], shard_bytes: int) -> list[Shard]:
    """Shards in the order of the tensors; within one, wide types first so that every tensor is aligned."""
    groups: list[list[tuple[str, str, tuple[int, ...]]]] = [[]]
    size = 0
    for tensor in tensors:
        own = _bytes(*tensor[1:])
        if groups[-1] and size + own > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += own
    files = [SINGLE]
    if len(groups) > 1:
        files = [f"model-{i:05}-of-{len(groups):05}.safetensors" for i in range(1, len(groups) + 1)]
    return [
        Shard(file, sorted(group, key=lambda one: -DTYPES[one[1]].itemsize))
        for file, group in zip(files, groups, strict=True)
    ]


def read_journal(path: Path) -> dict[str, Any]:
    """What a journal says; nothing where it is none."""
    try:
        journal = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return journal if isinstance(journal, dict) else {}


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * DTYPES[dtype].itemsize


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The authors' own data set, so that a model is measured on the official pictures by the same functions.

Two forms: `grab.json` (a mapping from pid to question, answer, task, category, complexity, image) with a folder
`images/` beside it, or a `datasets` data set with those columns and `decoded_image`. Property, precision and operations
are not columns there; they follow from the question's words.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError, require
from paperworks.grab.answers import parse
from paperworks.grab.bench import Bench, Progress, items_hash
from paperworks.grab.design import COMPLEXITIES, TASKS
from paperworks.grab.items import Item
from paperworks.grab.official_questions import operations_of, property_of, quantum_of
from paperworks.grab.operations import effective_complexity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

REPOSITORY = "jonathan-roberts1/GRAB"
SPLIT = "GRAB"
COLUMNS = ("pid", "question", "answer", "task", "category", "complexity")


def load_official(source: str | os.PathLike[str] = REPOSITORY, *, max_side: int | None = None) -> Bench:
    """The official items with their pictures: from a folder with `grab.json` and `images/`, a folder written by
    `datasets` (`save_to_disk`), or a name on the Hugging Face Hub.

    Pictures are drawn over white where they are transparent (the official ones are RGBA) and, with `max_side`, made
    smaller until no side is longer (some official ones have 28 million pixels). Raises `InputError` for columns that
    are missing (with those found), pictures that are missing or no pictures (with pid and path), tasks, categories and
    questions that are not GRAB's.
    """
    if max_side is not None and max_side < 1:
        raise InputError(f"max_side is {max_side}: give a number of pixels")
    folder = Path(source)
    if folder.is_file() and folder.suffix == ".json":
        loaded = _from_json(folder, max_side)
    elif (folder / "grab.json").is_file():
        loaded = _from_json(folder / "grab.json", max_side)
    elif folder.is_dir():
        loaded = _from_disk(folder, max_side)
    else:
        loaded = _from_hub(str(source), max_side)
    items = [item for item, _ in loaded]
    manifest = {"official": str(source), "max_side": max_side, "items_sha256": items_hash(items)}
    return OfficialBench(items, manifest, {item.id: picture for item, picture in loaded})


class OfficialBench(Bench):
    """The official items. Pictures are decoded one at a time when they are asked for, as one of them alone may have 28
    million pixels; an item's `image_sha256` is of its file (and `max_side`), its `truth` the rounded answer, which is
    all that is known.
    """

    def __init__(
        self, items: Iterable[Item], manifest: Mapping[str, Any], pictures: Mapping[str, _Picture]
    ) -> None:
        super().__init__(items, manifest)
        self._pictures = pictures

    def image(self, item: Item | int | str) -> Image:
        """The item's picture, RGB over white. Raises `InputError` with pid and path where it cannot be read."""
        item = item if isinstance(item, Item) else self[item]
        return self._pictures[item.id].decode()

    def pixels(self, item: Item) -> NDArray[np.uint8]:
        """The item's picture, uint8 [rows, columns, 3]."""
        import numpy as np

        return np.asarray(self.image(item))

    def select(
        self,
        task: str | None = None,
        property: str | None = None,
        complexity: int | Iterable[int] | None = None,
    ) -> OfficialBench:
        """The items of a task, a property and complexities."""
        chosen = super().select(task, property, complexity)
        return OfficialBench(chosen.items, chosen.manifest, self._pictures)

    def verify(self, progress: Progress | None = None, jobs: int | None = None) -> list[str]:
        """Which files are not as they were when the set was loaded (the authors publish no hashes to compare with)."""
        problems = []
        for done, item in enumerate(self.items, start=1):
            try:
                if self._pictures[item.id].digest() != item.image_sha256:
                    problems.append(
                        f"{item.id}: {self._pictures[item.id].where} has changed since it was loaded"
                    )
            except InputError as error:
                problems.append(str(error))
            if progress is not None:
                progress(done, len(self.items), item.id)
        return problems

    def save(self, folder: str | Path, progress: Progress | None = None, jobs: int | None = None) -> Bench:
        """Refused: only what can be made again from a seed is saved as a benchmark."""
        raise InputError(
            "the official set has no seed to be made from: store a copy with to_hf().save_to_disk(folder)"
        )

    def _png(self, item: Item) -> bytes:
        buffer = io.BytesIO()
        self.image(item).save(buffer, format="PNG")
        return buffer.getvalue()


@dataclass(frozen=True)
class _Picture:
    """A picture that is decoded when it is asked for: a file, or a row of a data set."""

    pid: str
    where: str
    read: Callable[[], bytes]
    max_side: int | None

    def digest(self) -> str:
        """SHA-256 of the file, and of `max_side` where it is given: what is shown follows from both."""
        data = self._bytes()
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as picture:
                picture.verify()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise self._broken(error) from error
        digest = hashlib.sha256(data)
        if self.max_side is not None:
            digest.update(f"max_side={self.max_side}".encode())
        return digest.hexdigest()

    def decode(self) -> Image:
        """The picture over white, no side longer than `max_side`."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self._bytes())) as picture:
                return over_white(picture, self.max_side)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise self._broken(error) from error

    def _bytes(self) -> bytes:
        try:
            return self.read()
        except OSError as error:
            raise InputError(
                f"the picture of pid {self.pid} is missing: {self.where}; unpack images.zip beside grab.json"
            ) from error

    def _broken(self, error: Exception) -> InputError:
        return InputError(
            f"the picture of pid {self.pid} cannot be decoded: {self.where}: {error}; download it again"
        )


_Loaded = list[tuple[Item, _Picture]]


def _from_json(path: Path, max_side: int | None) -> _Loaded:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; download grab.json again") from error
    if (
        not isinstance(entries, dict)
        or not entries
        or not all(isinstance(one, dict) for one in entries.values())
    ):
        raise InputError(f"{path} is not the official file: it should hold an object of questions by pid")
    found = []
    for pid, entry in entries.items():
        row = {"pid": pid, **entry}
        _need(row, (*COLUMNS, "image"), f"{path}: pid {pid}")
        if str(row["pid"]) != pid:
            raise InputError(
                f"{path}: the entry {pid} has the pid {row['pid']}; keys and pids must be the same"
            )
        place = path.parent / str(row["image"])
        picture = _Picture(pid, str(place), place.read_bytes, max_side)
        found.append((_item(row, picture), picture))
    return found


def _from_disk(folder: Path, max_side: int | None) -> _Loaded:
    require("grab", "datasets")
    from datasets import DatasetDict, load_from_disk

    try:
        data = load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds neither grab.json nor a data set of `datasets`: give the folder with grab.json and images/"
        ) from error
    if isinstance(data, DatasetDict):
        data = data[SPLIT] if SPLIT in data else next(iter(data.values()))
    return _from_dataset(data, str(folder), max_side)


def _from_hub(name: str, max_side: int | None) -> _Loaded:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise InputError(f"{name}: no such folder, and not a name OWNER/DATASET on the Hub")
    require("grab", "datasets")
    from datasets import load_dataset

    try:
        data = load_dataset(name, split=SPLIT)
    except Exception as error:  # the Hub's client raises a dozen unrelated types
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"cannot load {name}, split {SPLIT} ({type(error).__name__}: {reason}); without a network, give a folder "
            "with grab.json and images/"
        ) from error
    return _from_dataset(data, name, max_side)


def _from_dataset(data: Any, where: str, max_side: int | None) -> _Loaded:
    from datasets import Image as ImageFeature

    _need(dict.fromkeys(data.column_names), (*COLUMNS, "decoded_image"), where)
    # Undecoded: one official picture alone has 28 million pixels.
    data = data.cast_column("decoded_image", ImageFeature(decode=False))
    words = data.select_columns(list(COLUMNS))
    found = []
    for number, row in enumerate(words):
        picture = _Picture(
            str(row["pid"]), f"{where}, row {number}", partial(_bytes_of, data, number), max_side
        )
        found.append((_item(row, picture), picture))
    return found


def _bytes_of(data: Any, number: int) -> bytes:
    stored = data[number]["decoded_image"]
    if stored is None:
        raise FileNotFoundError("no picture is stored")
    data_of: bytes | None = stored["bytes"]
    return data_of if data_of is not None else Path(stored["path"]).read_bytes()


def _need(row: Mapping[str, Any], columns: Iterable[str], where: str) -> None:
    missing = [name for name in columns if name not in row]
    if missing:
        raise InputError(f"{where}: no {', '.join(missing)}; found {', '.join(row)}")


def over_white(picture: Image, max_side: int | None = None) -> Image:
    """A picture as RGB: transparency over white, and made smaller until no side is longer than `max_side`."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    picture = picture.convert("RGB")
    if max_side is not None and max(picture.size) > max_side:
        ratio = max_side / max(picture.size)
        width, height = (max(1, round(side * ratio)) for side in picture.size)
        # The mean of the covered pixels: thin lines get paler, but none is skipped.
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return picture


def _item(row: Mapping[str, Any], picture: _Picture) -> Item:
    pid, task, question, answer = str(row["pid"]), row["task"], row["question"], str(row["answer"])
    try:
        if task not in TASKS:
            raise InputError(f"no task {task!r}: choose from {', '.join(TASKS)}")
        value = parse(answer)
        if value is None:
            raise InputError(f"the answer {answer!r} is no number, pair or equation")
        complexity, allowed = row["complexity"], (0,) if task == "properties" else COMPLEXITIES
        if complexity not in allowed:
            raise InputError(
                f"complexity {complexity!r} of {task}: choose from {', '.join(map(str, allowed))}"
            )
        prop = property_of(question, row["category"], task)
        operations = operations_of(question) if task == "transform" else []
        if task == "transform" and len(operations) != complexity:
            raise InputError(
                f"{len(operations)} operations can be read, but the complexity is {complexity}: {question!r}"
            )
        effective = effective_complexity(operations) if task == "transform" else complexity
        quantum = quantum_of(question, answer)
    except InputError as error:
        raise InputError(f"pid {pid}: {error}") from error
    return Item(
        id=pid,
        task=task,
        property=prop,
        category=row["category"],
        complexity=complexity,
        effective_complexity=effective,
        question=question,
        answer=answer,
        truth=answer,
        quantum=quantum,
        spec={"members": [], "operations": operations},
        margins={},
        image=f"images/{pid}.png",
        image_sha256=picture.digest(),
    )

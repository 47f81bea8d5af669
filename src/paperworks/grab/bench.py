"""A benchmark: items with their pictures, in memory or in a folder.

The JSON is the benchmark, a picture is a function of it. A folder has `items.jsonl` (canonical: sorted keys, one item a
line), `images/`, `manifest.json` (how it was made, and the hash of the items without their pictures' hashes, which is
the same on every machine) and `metadata.jsonl`, with which `datasets.load_dataset("imagefolder", data_dir=…)` reads it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError
from paperworks.files import new_folder
from paperworks.grab.design import Slot, find_task
from paperworks.grab.items import Item, canonical, from_row, make_item

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Progress = Callable[[int, int, str], None]
GENERATOR = "1"
"""Changes whenever the same seed gives other items."""
CLOSE, MOST_OFF = 8, 0.001
"""A redrawn pixel may differ by this much of 255; this part of the pixels may differ by more."""
CHUNK = 16


class Bench:
    """Items in order, with a manifest. Iterable, has a length, indexed by number or id."""

    def __init__(
        self, items: Iterable[Item], manifest: Mapping[str, Any] | None = None, folder: Path | None = None
    ) -> None:
        self.items = tuple(items)
        self.manifest = dict(manifest or {})
        self.folder = folder
        self._by_id = {item.id: item for item in self.items}
        if len(self._by_id) != len(self.items):
            raise InputError("two items have the same id")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, key: int | str) -> Item:
        if isinstance(key, int):
            return self.items[key]
        if key not in self._by_id:
            raise InputError(
                f"no item {key!r}; ids are task-property-0000, e.g. {next(iter(self._by_id), '')}"
            )
        return self._by_id[key]

    def __repr__(self) -> str:
        return f"<Bench of {len(self)} items, seed {self.manifest.get('seed')}>"

    def select(
        self,
        task: str | None = None,
        property: str | None = None,
        complexity: int | Iterable[int] | None = None,
    ) -> Bench:
        """The items of a task, a property and complexities; the manifest says that it is a selection."""
        wanted = (
            None if complexity is None else {complexity} if isinstance(complexity, int) else set(complexity)
        )
        name = None if task is None else find_task(task)
        items = [
            item
            for item in self.items
            if (name is None or item.task == name)
            and (property is None or item.property == property)
            and (wanted is None or item.complexity in wanted)
        ]
        return Bench(
            items, self.manifest | {"selected": len(items), "items_sha256": items_hash(items)}, self.folder
        )

    def pixels(self, item: Item) -> NDArray[np.uint8]:
        """The item's picture drawn anew (and degraded as the manifest says), uint8 [rows, columns, 3]."""
        return picture(item, self.manifest)

    def image(self, item: Item | int | str) -> Image.Image:
        """The item's picture: from the folder where the benchmark is in one, else drawn."""
        from PIL import Image

        item = item if isinstance(item, Item) else self[item]
        if self.folder is not None:
            return read_image(self.folder / item.image, item.id)
        return Image.fromarray(self.pixels(item))

    def save(self, folder: str | Path, progress: Progress | None = None, jobs: int | None = None) -> Bench:
        """Write the benchmark and give it back as it is on disk, with its pictures' hashes.

        It is built beside `folder` and renamed, so that nothing is ever half written. Raises `InputError` where the
        folder exists and is not empty, or cannot be written.
        """
        folder = Path(folder)
        with new_folder(folder) as building:
            return self._write(building, folder, progress, jobs)

    def _write(self, building: Path, folder: Path, progress: Progress | None, jobs: int | None) -> Bench:
        (building / "images").mkdir()
        how = {key: value for key, value in self.manifest.items() if key != "slots"}
        tasks = [(item, how, str(building), str(self.folder or "")) for item in self.items]
        items: list[Item] = []
        for item in in_order(_draw_to_file, tasks, jobs):
            items.append(item)
            if progress is not None:
                progress(len(items), len(tasks), item.id)
        manifest = self.manifest | {
            "items": len(items),
            "items_sha256": items_hash(items),
            "images_sha256": sha256("".join(item.image_sha256 for item in items).encode()).hexdigest(),
            "drawn_with": drawn_with(),
        }
        (building / "items.jsonl").write_text(
            "".join(canonical(item) + "\n" for item in items), encoding="utf-8", newline="\n"
        )
        (building / "metadata.jsonl").write_text(
            "".join(_metadata(item) + "\n" for item in items), encoding="utf-8", newline="\n"
        )
        (building / "manifest.json").write_text(
            json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n",
            encoding="utf-8",
            newline="\n",
        )
        return Bench(items, manifest, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Bench:
        """A saved benchmark. Raises `InputError` where a file is missing or damaged."""
        folder = Path(folder)
        manifest = _read_json(folder / "manifest.json")
        items = []
        for number, line in enumerate(_read(folder / "items.jsonl").splitlines(), start=1):
            where = f"{folder / 'items.jsonl'} line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where} is damaged: {error}") from error
            items.append(from_row(row, where))
        return cls(items, manifest, folder)

    def verify(self, progress: Progress | None = None, jobs: int | None = None) -> list[str]:
        """What is not as this version makes it from the seed: an empty list where all is.

        Compared are every item with the one made again, field by field; the picture's file with its hash; and the
        picture with the one drawn again (more than 0.1 % of the pixels off by more than 8 of 255).
        """
        problems = []
        if self.manifest.get("items_sha256") not in (None, items_hash(self.items)):
            problems.append("items.jsonl: not the hash in manifest.json")
        if self.manifest.get("generator") != GENERATOR:
            problems.append(
                f"manifest.json: generator {self.manifest.get('generator')}, this is {GENERATOR}: items differ"
            )
        folder = None if self.folder is None else str(self.folder)
        slots = {Slot(**row).id: row for row in self.manifest.get("slots", ())}
        manifest = {key: value for key, value in self.manifest.items() if key != "slots"}
        tasks = [(item, slots.get(_base_id(item)), manifest, folder) for item in self.items]
        for done, found in enumerate(in_order(_verify_one, tasks, jobs), start=1):
            problems += found
            if progress is not None:
                progress(done, len(tasks), self.items[done - 1].id)
        return problems

    def to_hf(self, messages: bool = False) -> datasets.Dataset:
        """A `datasets.Dataset` with the official columns, then ours.

        `messages` adds a conversation and its `images`, as trainers of vision-language models read them.
        """
        import datasets

        rows: dict[str, list[Any]] = {name: [] for name in (*OFFICIAL_COLUMNS, *OUR_COLUMNS)}
        for item in self.items:
            picture_ = {"bytes": self._png(item), "path": None}
            for name in rows:
                rows[name].append(picture_ if name == "decoded_image" else _column(item, name))
        features: dict[str, Any] = {name: datasets.Value("string") for name in rows}
        features |= {name: datasets.Value("int64") for name in ("complexity", "effective_complexity")}
        features["decoded_image"] = datasets.Image()
        if messages:
            rows["images"] = [[picture_] for picture_ in rows["decoded_image"]]
            rows["messages"] = [_conversation(item) for item in self.items]
            features["images"] = datasets.List(datasets.Image())
            part = {"type": datasets.Value("string"), "text": datasets.Value("string")}
            features["messages"] = datasets.List(
                {"role": datasets.Value("string"), "content": datasets.List(part)}
            )
        return datasets.Dataset.from_dict(rows, features=datasets.Features(features))

    def _png(self, item: Item) -> bytes:
        from paperworks.grab.draw import png

        if self.folder is not None:
            try:
                return (self.folder / item.image).read_bytes()
            except OSError as error:
                raise InputError(
                    f"{item.id}: cannot read {self.folder / item.image}: {error.strerror}"
                ) from error
        return png(self.pixels(item))


OFFICIAL_COLUMNS = ("pid", "question", "decoded_image", "image", "answer", "task", "category", "complexity")
OUR_COLUMNS = ("property", "quantum", "truth", "effective_complexity", "spec", "margins")


def _column(item: Item, name: str) -> Any:
    if name == "pid":
        return item.id
    value = getattr(item, name)
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if name in ("spec", "margins") else value


def _conversation(item: Item) -> list[dict[str, Any]]:
    return [
        {
            "role": "user",
            "content": [{"type": "image", "text": None}, {"type": "text", "text": item.question}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": item.answer}]},
    ]


def _metadata(item: Item) -> str:
    names = (
        "question",
        "answer",
        "task",
        "property",
        "category",
        "complexity",
        "effective_complexity",
        "quantum",
    )
    row = {"file_name": item.image, "pid": item.id} | {name: getattr(item, name) for name in names}
    return json.dumps(row, ensure_ascii=False)


def items_hash(items: Iterable[Item]) -> str:
    """SHA-256 of the canonical lines without the pictures' hashes: what the benchmark is, on every machine."""
    digest = sha256()
    for item in items:
        digest.update((canonical(item, image_hash=False) + "\n").encode())
    return digest.hexdigest()


def drawn_with() -> dict[str, str]:
    """What may change a pixel: Matplotlib, FreeType, the machine."""
    import matplotlib as mpl
    from matplotlib import ft2font

    return {
        "matplotlib": str(mpl.__version__),
        "freetype": str(ft2font.__freetype_version__),
        "machine": platform.machine(),
    }


def picture(item: Item, manifest: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The item's picture as a benchmark with this manifest has it, uint8 [rows, columns, 3]."""
    from paperworks.grab.draw import draw

    pixels = draw(item.spec, text=manifest.get("text", "outlines"))
    if manifest.get("degrade"):
        from paperworks.grab.degrade import degrade

        how = manifest["degrade"]
        pixels = degrade(pixels, how["kind"], how["severity"], f"{manifest.get('seed')}/{item.id}")
    return pixels


def read_image(path: Path, id: str) -> Image.Image:
    """A picture's file as RGB. `InputError` names the item where it is missing or damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise InputError(f"{id}: cannot read {path}: {error}; run  paperworks grab verify") from error


def in_order(work: Callable[..., Any], tasks: list[tuple[Any, ...]], jobs: int | None) -> Iterator[Any]:
    """`work(*task)` of every task, in their order: in this process, or in `jobs` new ones."""
    jobs = min(jobs or 1, max(1, len(tasks)))
    if jobs == 1:
        for task in tasks:
            yield work(*task)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        chunk = max(1, min(CHUNK, len(tasks) // jobs))
        yield from pool.map(_call, [(work, task) for task in tasks], chunksize=chunk)


def _call(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    work, task = call
    return work(*task)


def _draw_to_file(item: Item, manifest: Mapping[str, Any], building: str, source: str) -> Item:
    """Draw (or copy) one picture; the item with its hash."""
    import numpy as np

    from paperworks.grab.draw import digest, png

    if source:
        pixels = np.asarray(read_image(Path(source) / item.image, item.id))
        data = (Path(source) / item.image).read_bytes()
    else:
        pixels = picture(item, manifest)
        data = png(pixels)
    (Path(building) / item.image).write_bytes(data)
    return replace(item, image_sha256=digest(pixels))


def _verify_one(
    item: Item, slot: Mapping[str, Any] | None, manifest: Mapping[str, Any], folder: str | None
) -> list[str]:
    import numpy as np

    from paperworks.grab.draw import digest

    problems = []
    if slot is None:
        problems.append(f"{item.id}: the manifest does not say how to make it again")
    else:
        again = make_item(manifest["seed"], Slot(**slot), legacy=manifest.get("legacy", False))
        if item.id != again.id:
            from paperworks.grab.variants import variant

            again = variant(again, item.id.removeprefix(f"{again.id}-"))
        ours, theirs = (json.loads(canonical(one, image_hash=False)) for one in (item, again))
        wrong = [name for name in theirs if ours[name] != theirs[name]]
        if wrong:
            problems.append(f"{item.id}: {', '.join(wrong)} not as made from seed {manifest['seed']}")
    if folder is None:
        return problems
    try:
        stored = np.asarray(read_image(Path(folder) / item.image, item.id))
    except InputError as error:
        return [*problems, str(error)]
    if digest(stored) != item.image_sha256:
        problems.append(f"{item.id}: {item.image} is not the picture whose hash items.jsonl has")
    drawn = picture(item, manifest)
    if drawn.shape != stored.shape:
        problems.append(
            f"{item.id}: {item.image} is {stored.shape[1]} x {stored.shape[0]}, not {drawn.shape[1]} x {drawn.shape[0]}"
        )
    else:
        off = np.abs(drawn.astype(np.int16) - stored).max(axis=2) > CLOSE
        if off.mean() > MOST_OFF:
            problems.append(
                f"{item.id}: {int(off.sum())} pixels ({off.mean():.2%}) of {item.image} differ from those drawn here"
            )
    return problems


def _base_id(item: Item) -> str:
    """The id without the ending of a variant (`function-gradient-0003-colour`)."""
    end = item.id.rsplit("-", 1)[-1]
    return item.id if end.isdecimal() else item.id.removesuffix(f"-{end}")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; is {path.parent} a folder made by  paperworks grab make?"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: it holds no object")
    return found

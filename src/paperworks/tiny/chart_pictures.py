"""What `chart_model` is trained on: items of the graph benchmark as small pictures, with several questions on each.

Line and bell items of task `function` at complexity 0 to 3, and the two counts, all of seeds from 10^6 on. Besides an
item's own question, its picture is asked the same of the other precision, of the curves' other parameters, and of one
curve by its colour.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from paperworks.files import replacing
from paperworks.tiny.chart_model import SIZE

FIRST_SEED = 1_000_000
"""Seeds of training items are this or more, those of tests less."""
SHARD = 2_000
"""Pictures in a file."""
LINE, BELL = ("x-intercept", "y-intercept", "gradient"), ("function-mean", "variance")
COUNTS = ("number-of-series", "number-of-points")
SHARES = dict(zip((*LINE, *BELL, *COUNTS), (0.2, 0.17, 0.17, 0.16, 0.16, 0.08, 0.06), strict=True))
COMPLEXITIES = (0.4, 0.25, 0.18, 0.17)
"""Shares of complexity 0 to 3."""
LONGEST = 11
"""A parameter farther from 0 than this cannot be read in the picture and is not asked."""


def _room(name: str) -> Any:
    # The questions and the pictures are the benchmark's own. Only this build reaches up to it, and only when it runs.
    return import_module(f"paperworks.grab.{name}")


def slot(index: int, properties: Iterable[str] = SHARES, complexity: int | None = None) -> Any:
    """The place in the benchmark of training item `index`: its property, complexity, precision and stratum."""
    rng = np.random.Generator(np.random.Philox(key=index))
    names = list(properties)
    shares = np.array([SHARES[name] for name in names])
    name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    counting = name in COUNTS
    level = int(rng.choice(len(COMPLEXITIES), p=COMPLEXITIES)) if complexity is None else complexity
    return _room("design").Slot(
        "properties" if counting else "function", name, index, 0 if counting else level,
        "1" if counting or rng.random() < 0.6 else "0.1", int(rng.integers(997)), 997,
    )  # fmt: skip


def small(pixels: np.ndarray) -> np.ndarray:
    """A picture as the model's image processor makes it: the whole, `[SIZE, SIZE, 3]` uint8."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def values(member: dict[str, Any]) -> dict[str, Fraction]:
    """What can be asked of a line or a bell, by property; what cannot be seen in the picture is left out."""
    if member["family"] == "bell":
        return {"function-mean": Fraction(member["mu"]), "variance": Fraction(member["var"])}
    m, k = Fraction(member["m"]), Fraction(member["k"])
    low, high = (Fraction(end) for end in member["domain"])
    found = {"gradient": m}
    if abs(k) <= 10 and low <= 0 <= high:
        found["y-intercept"] = k
    if abs(m) >= Fraction(1, 5) and low <= -k / m <= high:
        found["x-intercept"] = -k / m
    return found


def asked(item: Any) -> list[tuple[str, str]]:
    """Questions on the item's picture with their answers, its own first."""
    texts = _room("questions")
    found = [(item.question, item.answer)]
    if item.task != "function":
        return found
    members = item.spec["members"]
    own = [values(member) for member in members]
    colours = [_room("layout").COLOUR_NAMES[colour] for colour in item.spec["style"]["colours"]]
    for name in LINE if members[0]["family"] == "line" else BELL:
        known = [one.get(name) for one in own]
        for quantum in ("1", "0.1"):
            seen = [value for value in known if value is not None]
            if len(seen) == len(known):
                text = texts.question("function", name, item.spec, quantum)
                found.append((text, texts.format_answer(sum(seen, Fraction(0)) / len(seen), quantum)))
            for number, value in enumerate(known):
                if value is not None:
                    about = {**item.spec, "asked": {"member": number, "colour": colours[number]}}
                    text = texts.question("function", name, about, quantum)
                    found.append((text, texts.format_answer(value, quantum)))
    return list(dict(found).items())


def draw_shard(folder: Path, number: int, seed: int = 0, size: int | None = None) -> None:
    """Write `pictures_NNN.npy` `[size, SIZE, SIZE, 3]` and `records_NNN.jsonl`, unless they are there."""
    records = folder / f"records_{number:03d}.jsonl"
    if records.is_file():
        return
    size = size or SHARD
    make, draw = _room("items").make_item, _room("draw").draw
    pictures = np.empty((size, SIZE, SIZE, 3), np.uint8)
    lines = []
    for place in range(size):
        index = number * size + place
        item = make(FIRST_SEED * (1 + seed) + index, slot(index))
        pictures[place] = small(draw(item.spec))
        curves = item.spec["members"] if item.task == "function" else []
        lines.append(
            json.dumps({"property": item.property, "curves": curves, "asked": asked(item)}, sort_keys=True)
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"pictures_{number:03d}.npy") as partial, Path(partial).open("wb") as file:
        np.save(file, pictures)
    with replacing(records) as partial:
        Path(partial).write_text("\n".join(lines) + "\n")


def draw_all(
    folder: Path, shards: int, seed: int = 0, progress: Callable[[int, int, str], None] | None = None
) -> None:
    """Draw what is missing of the first `shards` files."""
    for number in range(shards):
        draw_shard(folder, number, seed)
        if progress:
            progress(number + 1, shards, "drawing")


def load(folder: Path, shards: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The pictures `[N, SIZE, SIZE, 3]` and records of the first `shards` files."""
    numbers = range(shards)
    pictures = np.concatenate([np.load(folder / f"pictures_{n:03d}.npy") for n in numbers])
    lines = [line for n in numbers for line in (folder / f"records_{n:03d}.jsonl").read_text().splitlines()]
    return pictures, [json.loads(line) for line in lines]

"""Making benchmarks: the paper's structure with fresh graphs, as many as wanted.

bench = generate(seed=0)                                  # 2,170 questions
bench = generate(seed=7, counts={"function/gradient": 300}, complexities=range(4))
bench.save("my-grab")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from paperworks.errors import InputError
from paperworks.grab.bench import GENERATOR, Bench, Progress, in_order, items_hash
from paperworks.grab.design import Slot, cells
from paperworks.grab.items import Item, attempt_item, canonical, make_item
from paperworks.grab.variants import ladder, one_colour

__all__ = ["Bench", "Item", "attempt_item", "canonical", "generate", "ladder", "make_item", "one_colour"]


def generate(
    seed: int = 0,
    scale: str = "paper",
    counts: Mapping[str, int] | None = None,
    tasks: Iterable[str] | None = None,
    complexities: Iterable[int] | None = None,
    properties: Iterable[str] | None = None,
    jobs: int | None = None,
    text: str = "outlines",
    degrade: str | None = None,
    legacy: bool = False,
    progress: Progress | None = None,
) -> Bench:
    """A benchmark; pictures are drawn when they are asked for or saved.

    `scale`, `counts`, `tasks`, `complexities`, `properties`: as in `design.cells`. `jobs`: processes (None: this one
    alone; new ones need `if __name__ == "__main__"` in a script, as always with spawned processes). `text`: "outlines",
    or "font" for Matplotlib's own. `degrade`: a kind of `degrade.KINDS`, or "kind:severity" with 0 … 1. `legacy`: as in
    `make_item`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed {seed!r}; give an integer of 0 or more")
    if text not in ("outlines", "font"):
        raise InputError(f'text {text!r}; give "outlines" or "font"')
    slots = cells(scale, counts, tasks, complexities, properties)
    if not slots:
        raise InputError("no question is left: these tasks, properties and complexities have none in common")
    manifest: dict[str, Any] = {
        "generator": GENERATOR,
        "seed": seed,
        "scale": scale if counts is None else "counts",
        "text": text,
        "legacy": legacy,
        "degrade": None,
    }
    if degrade is not None:
        from paperworks.grab.degrade import parse

        kind, severity = parse(degrade)
        manifest["degrade"] = {"kind": kind, "severity": severity}
    items: list[Item] = []
    for item in in_order(_make, [(seed, slot, legacy) for slot in slots], jobs):
        items.append(item)
        if progress is not None:
            progress(len(items), len(slots), item.id)
    manifest |= {"items_sha256": items_hash(items), "slots": [asdict(slot) for slot in slots]}
    return Bench(items, manifest)


def _make(seed: int, slot: Slot, legacy: bool) -> Item:
    return make_item(seed, slot, legacy=legacy)

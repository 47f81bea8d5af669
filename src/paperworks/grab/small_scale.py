"""What the experiments share: samples of the benchmark, the reader's answers at any width, and the shipped model's.

Items are made anew from the run's seed. The reader (`reader.PixelReader`) gets pixels and question; where a picture is
too small for its labels to be read, it is given the axes (`calibrated`), and the experiment says so. The model is asked
as `paperworks grab run` asks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.claims import Lab, Skip
from paperworks.grab import answers
from paperworks.grab.bench import Bench
from paperworks.grab.design import Slot, cells
from paperworks.grab.items import Item, make_item
from paperworks.grab.reader import PixelReader, Reading
from paperworks.grab.scores import GROUPS
from paperworks.tiny import chart_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = chart_model.FOLDER
FIELDS = (*GROUPS, "id", "question", "answer")
FRESH = 500_000
"""Added to the run's seed: generator, rules and reader were built while looking at small seeds, the model was trained
on a million and more. A choice of ours."""

LEARNT = ("x-intercept", "y-intercept", "gradient", "function-mean", "variance")
"""Properties of functions that the shipped model was trained on, at complexities 0 to 3."""


def every(slots: Sequence[Slot], n: int) -> list[Slot]:
    """`n` of the slots, evenly spread, so that each task and property keeps its share."""
    return [slots[int(place)] for place in np.linspace(0, len(slots), n, endpoint=False)]


def sample(lab: Lab, n: int) -> list[Item]:
    """`n` items of the paper's 2,170, in their proportions; all of them at full scale."""
    slots = cells("paper")
    chosen = slots if lab.scale == "full" else every(slots, n)
    return [make_item(FRESH + lab.seed, slot) for slot in _told(lab, chosen, "making items")]


def functions(lab: Lab, each: int, complexities: Iterable[int] = range(10)) -> list[Item]:
    """`each` items of every complexity, in turn of the properties of `LEARNT`."""
    wanted = list(complexities)
    per_property = -(-each // len(LEARNT)) * len(wanted)
    slots = cells(
        counts={"function": per_property}, tasks=["function"], complexities=wanted, properties=LEARNT
    )
    chosen: list[Slot] = []
    for complexity in wanted:
        own = [slot for slot in slots if slot.complexity == complexity]
        chosen += every(own, min(each, len(own)))
    return [make_item(FRESH + lab.seed, slot) for slot in _told(lab, chosen, "making items")]


def drawn(item: Item, width: int = 600) -> NDArray[np.uint8]:
    """The item's picture at a width in pixels."""
    from paperworks.grab.draw import draw

    pixels: NDArray[np.uint8] = draw(item.spec, width=width)
    return pixels


def read(
    lab: Lab,
    items: Sequence[Item],
    what: str,
    *,
    width: int = 600,
    calibrated: bool = False,
    pictures: Sequence[Item] | None = None,
) -> list[Reading]:
    """What the reader says to each item's question from the picture of that item, or of `pictures`' item."""
    shown = items if pictures is None else pictures
    reader = PixelReader(calibrated)
    reader.prepare(shown)
    return [
        reader.explain(drawn(seen, width), item.question, reader.frame(seen.id, width))
        for item, seen in _told(lab, list(zip(items, shown, strict=True)), what)
    ]


def exact(items: Sequence[Item], said: Sequence[str | None]) -> NDArray[np.float64]:
    """1 where the answer is exact, else 0; a refusal is wrong."""
    return np.array(
        [
            answers.score("exact", text, item.answer, item.quantum) or 0.0
            for item, text in zip(items, said, strict=True)
        ]
    )


def right(items: Sequence[Item], readings: Sequence[Reading]) -> NDArray[np.float64]:
    """`exact` of readings."""
    return exact(items, [one.answer for one in readings])


def rows(items: Sequence[Item], said: Sequence[str | None]) -> list[dict[str, Any]]:
    """What `scores` and `priors` read: the items' fields with a response each; None is a refusal."""
    return [
        {name: getattr(item, name) for name in FIELDS}
        | {"text": text, "finish": "stop" if text is not None else "refused"}
        for item, text in zip(items, said, strict=True)
    ]


def ask_tiny(lab: Lab, items: Sequence[Item], what: str) -> list[dict[str, Any]]:
    """The shipped model's responses, through the same run folder as any model's: rows of items and responses."""
    if not (MODEL / "config.json").exists():
        raise Skip("the chart model is not shipped: python -m paperworks.tiny build chart_model")
    from paperworks.grab.evaluate import evaluate
    from paperworks.grab.local import LocalModel
    from paperworks.progress import quiet_libraries

    quiet_libraries()
    model = LocalModel(str(MODEL), batch_size=25, device=lab.device)
    run = evaluate(
        Bench(items, {"seed": lab.seed}),
        model,
        out=lab.scratch / what.replace(" ", "-"),
        progress=lambda done, total, _: lab.progress(done, total, what),
    )
    return run.rows()


def another_picture(lab: Lab, items: Sequence[Item]) -> list[Item]:
    """For each item of the paper's 2,170 the one in its place (task, property, complexity) under another seed."""
    slots = {slot.id: slot for slot in cells("paper")}
    return [make_item(2 * FRESH - 1 - lab.seed, slots[item.id]) for item in items]


def _told(lab: Lab, things: Sequence[Any], what: str) -> Iterable[Any]:
    for number, thing in enumerate(things):
        if number % 10 == 0:
            lab.progress(number, len(things), what)
        yield thing

"""How well a chart model answers fresh items of the benchmark, beside answers that need no picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from paperworks.tiny import chart_model as m
from paperworks.tiny import chart_pictures as c


def measure(folder: str | Path = m.FOLDER, each: int = 50, seed: int = 0) -> list[dict[str, Any]]:
    """Accuracy on fresh items: a row of `each` items for a property and complexity (counts: three times as many).

    `exact` and `within` (one quantum) are shares with Wilson's 95 % intervals, `mode` is the commonest answer to the
    other questions of the class, `constant` the commonest of the class with its own counted; `seconds` are the
    model's for 100 items, pictures drawn before.
    """
    counts = {f"function/{name}": 4 * each for name in (*c.LINE, *c.BELL)}
    counts |= {f"properties/{name}": 3 * each for name in c.COUNTS}
    bench = c._room("generate").generate(seed=seed, counts=counts, complexities=range(4))
    prompt, score = c._room("prompts").PROMPTS["official"], c._room("answers").score
    wilson = c._room("intervals").wilson
    fields = ("id", "task", "property", "quantum", "question", "answer")
    known = [{key: getattr(item, key) for key in fields} for item in bench]
    blind = {kind: c._room("priors").predictions(kind, known) for kind in ("mode", "constant")}
    model, processor = m.load_chart_model(folder)
    groups: dict[tuple[str, int], list[int]] = {}
    for number, item in enumerate(bench):
        groups.setdefault((item.property, item.complexity), []).append(number)
    rows = []
    for (name, complexity), numbers in groups.items():
        items = [bench[number] for number in numbers]
        pictures = [bench.pixels(item) for item in items]
        began = time.perf_counter()
        told = m.ask(model, processor, pictures, [prompt.text(item.question) for item in items])
        seconds = (time.perf_counter() - began) / len(items) * 100
        row: dict[str, Any] = {"property": name, "complexity": complexity, "items": len(items)}
        given = {"exact": told, "within": told} | {
            kind: [answers[number] for number in numbers] for kind, answers in blind.items()
        }
        for kind, answers in given.items():
            right = [
                score("within" if kind == "within" else "exact", answer, item.answer, item.quantum)
                for answer, item in zip(answers, items, strict=True)
            ]
            row[kind] = round(sum(right) / len(right), 4)
            row[f"{kind}_interval"] = [round(end, 4) for end in wilson(int(sum(right)), len(right))]
        rows.append(row | {"seconds": round(seconds, 2)})
    return rows

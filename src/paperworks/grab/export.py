"""The benchmark as other harnesses read it, with scorers that give what ours give.

    lmms-eval    grab.yaml, utils.py, data/ (a `datasets.DatasetDict` on disk)
    inspect      grab.py, grab.json, images/
    vlmevalkit   GRAB_openended.tsv, score.py

Each folder has a README.md that says how to run it. The scorers are the source of `answers` itself, written into a file
that needs no paperworks (see `exports.standalone`).
"""

from __future__ import annotations

import csv
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError, require
from paperworks.files import new_folder, write_json, write_text
from paperworks.grab.answers import EXTRACTIONS, SCORES
from paperworks.grab.design import TASKS
from paperworks.grab.evaluate import dataset_sha256, picture
from paperworks.grab.exports.standalone import standalone
from paperworks.grab.prompts import Prompt, find_prompt

if TYPE_CHECKING:
    from paperworks.grab.bench import Bench, Progress
    from paperworks.grab.items import Item

FIELDS = ("task", "property", "category", "complexity", "effective_complexity", "quantum")
TSV_NAME = "GRAB_openended"
HERE = Path(__file__).parent / "exports"
SCORED_BY = (
    "# The scorers are those of paperworks.grab (for arXiv 2408.11817), written into this file by its export.\n"
    "# Licence: Apache-2.0. Export again rather than change them here."
)


def export(
    bench: Bench,
    to: str,
    out: str | os.PathLike[str],
    *,
    prompt: str | Prompt = "official",
    progress: Progress | None = None,
) -> list[Path]:
    """Write `bench` for the harness `to` (one of `FORMATS`) into the folder `out`; the paths of its files and folders.

    `prompt` is what is said around a question. The folder is built beside `out` and renamed, so that it is never half
    written. Raises `InputError` for an unknown harness, where `out` is there and not empty, or cannot be written.
    """
    if to not in FORMATS:
        raise InputError(f"no harness is called {to!r}: choose from {', '.join(FORMATS)}")
    if not len(bench):
        raise InputError("the benchmark has no items: nothing to export")
    template, folder = find_prompt(prompt), Path(out).absolute()
    with new_folder(folder) as building:
        FORMATS[to](bench, template, building, folder, progress)
        _readme(to, bench, template, building, folder)
    return sorted(folder.iterdir())


def _lmms_eval(bench: Bench, prompt: Prompt, building: Path, folder: Path, progress: Progress | None) -> None:
    require("grab", "datasets")
    import datasets

    text, number = datasets.Value("string"), datasets.Value("int64")
    features = datasets.Features(
        {"pid": text, "question": text, "answer": text, "decoded_image": datasets.Image()}
        | {name: number if "complexity" in name else text for name in FIELDS}
    )
    columns: dict[str, list[Any]] = {name: [] for name in features}
    for item, data in _pictures(bench, progress):
        own = {"pid": item.id, "decoded_image": {"bytes": data, "path": None}}
        for name, column in columns.items():
            column.append(own[name] if name in own else getattr(item, name))
    whole = datasets.DatasetDict({"test": datasets.Dataset.from_dict(columns, features=features)})
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        whole.save_to_disk(building / "data")
    finally:
        if shown:
            datasets.enable_progress_bars()
    write_text(building / "utils.py", standalone(HERE / "lmms_utils.py", SCORED_BY))
    tasks = [task for task in TASKS if any(item.task == task for item in bench)]
    write_text(building / "grab.yaml", _yaml(prompt, folder / "data", tasks))


def _yaml(prompt: Prompt, data: Path, tasks: list[str]) -> str:
    before, _, after = prompt.template.partition("{question}")
    names = [name if method == "none" else f"{method}_{name}" for method in EXTRACTIONS for name in SCORES]
    lines = [
        "task: grab",
        f"dataset_path: {json.dumps(str(data), ensure_ascii=False)}",
        "dataset_kwargs:",
        "  load_from_disk: true",
        "test_split: test",
        "output_type: generate_until",
        "doc_to_visual: !function utils.doc_to_visual",
        "doc_to_text: !function utils.doc_to_text",
        "doc_to_target: answer",
        "lmms_eval_specific_kwargs:",
        "  default:",
        f"    pre_prompt: {json.dumps(before, ensure_ascii=False)}",
        f"    post_prompt: {json.dumps(after, ensure_ascii=False)}",
        "generation_kwargs:",
        f"  max_new_tokens: {prompt.max_tokens}",
        "  temperature: 0",
        "  do_sample: false",
        "  until: []",
        "process_results: !function utils.process_results",
        "metric_list:",
    ]
    for name in (names[0], *(f"exact_{task}" for task in tasks), *names[1:]):
        error = name.endswith("error_in_quanta")
        lines += [
            f"  - metric: {name}",
            f"    aggregation: {'!function utils.median_error' if error else 'mean'}",
            f"    higher_is_better: {'false' if error else 'true'}",
        ]
    return "\n".join([*lines, "metadata:", "  version: 1.0"]) + "\n"


def _inspect(bench: Bench, prompt: Prompt, building: Path, folder: Path, progress: Progress | None) -> None:
    (building / "images").mkdir()
    items = []
    for number, (item, data) in enumerate(_pictures(bench, progress)):
        name = f"images/{item.id if re.fullmatch('[A-Za-z0-9-]+', item.id) else number}.png"
        (building / name).write_bytes(data)
        row = {"id": item.id, "question": item.question, "answer": item.answer, "image": name}
        items.append(row | {name: getattr(item, name) for name in FIELDS})
    stored = {
        "prompt_name": prompt.name,
        "prompt": prompt.template,
        "max_tokens": prompt.max_tokens,
        "dataset_sha256": dataset_sha256(bench),
        "items": items,
    }
    write_json(building / "grab.json", stored)
    write_text(building / "grab.py", standalone(HERE / "inspect_task.py", SCORED_BY))


def _vlmevalkit(
    bench: Bench, prompt: Prompt, building: Path, folder: Path, progress: Progress | None
) -> None:
    with open(building / f"{TSV_NAME}.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "image", "question", "answer", "category", "id", *_OTHER_FIELDS])
        for index, (item, data) in enumerate(_pictures(bench, progress)):
            own = [getattr(item, name) for name in _OTHER_FIELDS]
            image = b64encode(data).decode("ascii")
            writer.writerow(
                [index, image, prompt.text(item.question), item.answer, item.category, item.id, *own]
            )
    write_text(building / "score.py", standalone(HERE / "vlmeval_score.py", SCORED_BY))


_OTHER_FIELDS = tuple(name for name in FIELDS if name != "category")

FORMATS: dict[str, Callable[[Bench, Prompt, Path, Path, Progress | None], None]] = {
    "lmms-eval": _lmms_eval,
    "inspect": _inspect,
    "vlmevalkit": _vlmevalkit,
}
"""The harnesses, and what writes their folder: (benchmark, prompt, where it is built, where it will be, progress)."""


def _pictures(bench: Bench, progress: Progress | None) -> Iterator[tuple[Item, bytes]]:
    """Each item with its picture as PNG, from the benchmark's folder where it is in one, else drawn."""
    for number, item in enumerate(bench, 1):
        yield item, picture(bench, item)
        if progress is not None:
            progress(number, len(bench), item.id)


def _readme(to: str, bench: Bench, prompt: Prompt, building: Path, folder: Path) -> None:
    text = (HERE / f"{to.replace('-', '_')}.md").read_text("utf-8")
    words = {
        "count": f"{len(bench):,}",
        "prompt": prompt.name,
        "sha": dataset_sha256(bench)[:12],
        "out": str(folder),
        "name": TSV_NAME,
    }
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    write_text(building / "README.md", text)

"""Running a model over a benchmark, into a folder that survives whatever happens to the run.

    run.json          what the run is: dataset, prompt, model, parameters; nothing else is mixed into the folder
    items.jsonl       the items without what draws them, so that the folder can be scored on its own
    responses.jsonl   one line a response, appended as it comes

A response is stored under the SHA-256 of item, image, prompt, model and parameters; what is answered is not asked
again.
Items are asked in the order of the SHA-256 of their id, so that a run with a limit, a budget or an end by Ctrl-C is a
random sample of all tasks, and a larger one contains it. Choices of ours.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from paperworks.errors import InputError
from paperworks.files import write_json, write_text
from paperworks.grab.budget import BudgetReached
from paperworks.grab.models import Model, Request, Response
from paperworks.grab.prompts import Prompt, find_prompt
from paperworks.grab.responses import read_lines
from paperworks.grab.writer import ANSWERED, Writer, digest, only_writer

if TYPE_CHECKING:
    from paperworks.grab.bench import Bench
    from paperworks.grab.intervals import McNemar
    from paperworks.grab.items import Item
    from paperworks.grab.scores import Table

FORMAT = 1
NOT_COPIED = ("spec", "margins")
Progress = Callable[[int, int, str], None]

_RESPONSE_FIELDS = tuple(field.name for field in fields(Response))


def request_key(item: Item, prompt_text: str, name: str, parameters: dict[str, Any]) -> str:
    """SHA-256 of item, image, prompt, model and parameters: the name of a response."""
    return digest([item.id, _image_sha256(item), prompt_text, name, parameters])


def dataset_sha256(bench: Iterable[Item]) -> str:
    """SHA-256 of the items' ids, questions, answers and image hashes, in the order of the ids."""
    return digest(sorted([item.id, item.question, item.answer, _image_sha256(item)] for item in bench))


def _image_sha256(item: Item) -> str:
    """The picture's hash; of a benchmark that is not saved, and so not drawn, the hash of what will be drawn."""
    return item.image_sha256 or f"spec {digest(item.spec)}"


def evaluate(
    bench: Bench,
    model: Model,
    *,
    prompt: str | Prompt = "official",
    out: str | Path,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Ask `model` the questions of `bench` that the run folder `out` has no answer to, and return the whole run.

    `limit` asks a random sample of so many items at most (a larger limit contains it). Raises `InputError` for a folder
    of another run, with the difference, or where the model cannot go on; `BudgetReached` with the run so far as its
    `run`. However it ends, what was answered is in the folder and the same call goes on from there.
    """
    if limit is not None and limit < 1:
        raise InputError(f"the limit is {limit}; it is a number above 0")
    order = sorted(bench, key=lambda item: hashlib.sha256(item.id.encode()).digest())[:limit]
    prompt = find_prompt(prompt)
    prepare(model, bench, prompt)
    return _evaluate(bench, model, prompt, Path(out), order, progress)


def _evaluate(
    bench: Bench, model: Model, prompt: Prompt, folder: Path, items: Sequence[Item], progress: Progress | None
) -> Run:
    with only_writer(folder):
        _open(folder, bench, _identity(bench, model, prompt))
        with Writer(folder, model) as writer:
            requests = _Requests(bench, items, prompt, model, writer.answered)
            done, total = len(items) - len(requests), len(items)
            responses = iter(model.answer(requests)) if len(requests) else iter(())
            try:
                for response in responses:
                    writer.write(response, requests.prompt(response.key))
                    done += response.finish in ANSWERED
                    if progress is not None:
                        progress(done, total, response.id)
            except BudgetReached as error:
                writer.close()
                error.run = Run.load(folder, bench)
                raise
            finally:
                if callable(close := getattr(responses, "close", None)):
                    close()
    return Run.load(folder, bench)


def prepare(model: Model, bench: Bench | None, prompt: Prompt | None) -> None:
    """Tell the model what it wants to know before its first request: see `models.Model`."""
    if bench is not None and callable(hook := getattr(model, "prepare", None)):
        hook(bench)
    if prompt is not None and callable(hook := getattr(model, "use_prompt", None)):
        hook(prompt)


class Run:
    """A run folder: what was asked and what came back.

    `identity` is run.json; `items` the items by id, without spec; `bench` the benchmark where it is at hand (pictures).
    """

    def __init__(self, folder: Path, identity: dict[str, Any], bench: Bench | None = None) -> None:
        self.folder, self.identity, self.bench = folder, identity, bench
        self.items = {str(item["id"]): item for item in read_lines(folder / "items.jsonl")}
        self.responses: dict[str, dict[str, Any]] = {}
        self.cost: float | None = None
        costs: dict[str, float] = {}
        for line in read_lines(folder / "responses.jsonl"):
            key = str(line["key"])
            if line.get("cost") is not None:
                costs[key] = costs.get(key, 0.0) + float(line["cost"])
            kept = self.responses.get(key)
            if kept is None or kept["finish"] not in ANSWERED:
                self.responses[key] = line
        for key, cost in costs.items():
            self.responses[key] = self.responses[key] | {"cost": cost}
        if costs:
            self.cost = sum(costs.values())

    @classmethod
    def load(cls, folder: str | Path, bench: Bench | None = None) -> Run:
        """The run in a folder. Raises `InputError` where there is none."""
        folder = Path(folder)
        return cls(folder, _read_identity(folder), bench)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.identity["model"]["name"])

    @property
    def counts(self) -> dict[str, int]:
        """How many items ended how; "asked" of "items", and "left" (not asked yet, failed or unpaid)."""
        finishes = [response["finish"] for response in self.responses.values()]
        ended = {name: finishes.count(name) for name in ("stop", "length", "refused", "error", "unpaid")}
        answered = sum(ended[name] for name in ANSWERED)
        return {"items": len(self.items), "asked": len(finishes), "left": len(self.items) - answered, **ended}

    def rows(self) -> list[dict[str, Any]]:
        """One row for each item that was asked: the item's fields and the response's, in the order of the items.

        `extracted` is there where a model's extraction is stored beside the responses (see `extraction`).
        """
        from paperworks.grab.extraction import stored_extractions

        by_item = {str(response["id"]): response for response in self.responses.values()}
        extracted = stored_extractions(self)
        rows = []
        for id, item in self.items.items():
            if (response := by_item.get(id)) is None:
                continue
            row = item | {name: response.get(name) for name in _RESPONSE_FIELDS}
            if extracted is not None:
                row["extracted"] = extracted.get(id)
            rows.append(row)
        return rows

    def table(
        self, by: str | Sequence[str] = ("task",), score: str = "exact", extract: str = "none"
    ) -> Table:
        """Accuracy with its interval and the priors beside it, by the fields named in `by`: see `scores.table`."""
        return self.against(by=by, score=score, extract=extract)

    def against(
        self,
        *others: Model | Run,
        by: str | Sequence[str] = ("task",),
        score: str = "exact",
        extract: str = "none",
        progress: Progress | None = None,
    ) -> Table:
        """The table with other runs, or models run on the same items (stored in `beside/`), beside this one."""
        from paperworks.grab.scores import table

        runs = [
            other if isinstance(other, Run) else self.beside(other, progress=progress) for other in others
        ]
        references = {run.name: run.rows() for run in runs}
        return table(self.rows(), by, score=score, extract=extract, references=references)

    def compare(self, other: Run, score: str = "exact", extract: str = "none") -> McNemar:
        """McNemar's test of two runs on the items that both answered."""
        from paperworks.grab.scores import compare

        return compare(self.rows(), other.rows(), score=score, extract=extract)

    def beside(self, model: Model, *, progress: Progress | None = None) -> Run:
        """Another model on the items that this run asked, in a run folder below `beside/`."""
        bench, prompt = self.dataset(), Prompt(**self.identity["prompt"])
        prepare(model, bench, prompt)
        asked = {response["id"] for response in self.responses.values()}
        place = self.folder / "beside" / digest([model.name, model.parameters])[:12]
        return _evaluate(bench, model, prompt, place, [item for item in bench if item.id in asked], progress)

    def dataset(self) -> Bench:
        """The benchmark with its pictures: as given, or from where it was when the run was made.

        Raises `InputError` where it is there no more, or is another one.
        """
        if self.bench is None:
            from paperworks.grab.bench import Bench

            stored = self.identity["dataset"]
            if "folder" not in stored:
                raise InputError(
                    f"{self.folder}: the run's dataset was never saved; load the run with its dataset"
                )
            bench = Bench.load(self.folder / stored["folder"])
            if (found := dataset_sha256(bench)) != stored["sha256"]:
                raise InputError(
                    f"{self.folder / stored['folder']} is no more the run's dataset: {found[:12]} there, "
                    f"{stored['sha256'][:12]} in the run"
                )
            self.bench = bench
        return self.bench


class _Requests(Sequence[Request]):
    """The requests still to be made; each is put together when it is taken, so that no picture waits in memory."""

    def __init__(
        self, bench: Bench, items: Sequence[Item], prompt: Prompt, model: Model, answered: set[str]
    ) -> None:
        self._bench, self._prompt = bench, prompt
        name, parameters = model.name, model.parameters
        keys = {request_key(item, prompt.text(item.question), name, parameters): item for item in items}
        self._items = {key: item for key, item in keys.items() if key not in answered}
        self._keys = list(self._items)

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | Sequence[Request]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        key = self._keys[index]
        item = self._items[key]
        return Request(key, item.id, self.prompt(key), lambda: picture(self._bench, item), item.question)

    def prompt(self, key: str) -> str:
        """The text sent under a key."""
        if key not in self._items:
            raise ValueError(f"the model gave a response to a request that was not made: {key}")
        return self._prompt.text(self._items[key].question)


def picture(bench: Bench, item: Item) -> bytes:
    """The PNG of an item: its file where the benchmark is saved, else as it is drawn."""
    folder = getattr(bench, "folder", None)
    if folder is not None and item.image:
        try:
            data = (Path(folder) / item.image).read_bytes()
        except OSError as error:
            raise InputError(
                f"{item.id}: cannot read {Path(folder) / item.image}: {error.strerror}; run  paperworks grab verify"
            ) from error
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return bytes(data)
    buffer = io.BytesIO()
    bench.image(item).save(buffer, format="PNG")
    return buffer.getvalue()


def _identity(bench: Bench, model: Model, prompt: Prompt) -> dict[str, Any]:
    dataset: dict[str, Any] = {"sha256": dataset_sha256(bench), "items": len(bench)}
    return {
        "format": FORMAT,
        "dataset": dataset,
        "prompt": asdict(prompt),
        "model": {"name": model.name, "parameters": json.loads(json.dumps(model.parameters))},
    }


def _read_identity(folder: Path) -> dict[str, Any]:
    try:
        identity = json.loads((folder / "run.json").read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{folder} is no run folder: it has no run.json ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{folder}/run.json is damaged: {error}") from error
    if not isinstance(identity, dict) or identity.get("format") != FORMAT:
        found = identity.get("format") if isinstance(identity, dict) else None
        raise InputError(f"{folder}/run.json has format {found}; this version reads {FORMAT}")
    return identity


def _open(folder: Path, bench: Bench, identity: dict[str, Any]) -> None:
    """Make the folder a run folder, or see that it is this run's."""
    if (folder / "run.json").exists():
        if differences := list(_differences(_read_identity(folder), identity)):
            raise InputError(f"{folder} holds another run: {'; '.join(differences)}; choose another --out")
        return
    if (folder / "responses.jsonl").exists():
        raise InputError(f"{folder} has responses but no run.json to say of what; choose another --out")
    write_text(folder / "items.jsonl", "".join(_item_line(item) for item in bench))
    stored = identity
    if (place := getattr(bench, "folder", None)) is not None:
        stored = identity | {
            "dataset": identity["dataset"]
            | {"folder": os.path.relpath(Path(place).resolve(), folder.resolve())}
        }
    write_json(folder / "run.json", stored)


def _item_line(item: Item) -> str:
    row = {field.name: getattr(item, field.name) for field in fields(item) if field.name not in NOT_COPIED}
    return json.dumps(row, ensure_ascii=False, default=str) + "\n"


def _differences(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    if there["dataset"]["sha256"] != here["dataset"]["sha256"]:
        old, new = there["dataset"], here["dataset"]
        yield (
            f"dataset {old['sha256'][:12]} of {old['items']} items there, {new['sha256'][:12]} of {new['items']} here"
        )
    for part in ("prompt", "model"):
        old, new = dict(_flat(part, there[part])), dict(_flat(part, here[part]))
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                yield f"{name} {old.get(name)!r} there, {new.get(name)!r} here"


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}", part)
    else:
        yield name, value

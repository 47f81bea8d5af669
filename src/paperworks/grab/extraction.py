"""The answer that a response gives, copied out by a language model, as the paper's authors did it.

It runs over stored responses, and what it says is stored beside them in `extracted.jsonl`, one line each, under the
SHA-256 of the response, the prompt, the model and its parameters; `extraction.json` says which of them counts.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from paperworks.files import write_json
from paperworks.grab.answers import extraction_request
from paperworks.grab.models import Model, Request
from paperworks.grab.prompts import Prompt
from paperworks.grab.responses import Log, read_lines
from paperworks.grab.writer import ANSWERED, digest, only_writer

if TYPE_CHECKING:
    from paperworks.grab.evaluate import Progress, Run

_PROMPT = Prompt("extraction", "{question}", 100)


def extract_by_model(run: Run, model: Model, *, progress: Progress | None = None) -> dict[str, int]:
    """Have `model` copy the answer out of every response of `run` that has a text and is not done yet.

    Responses that were cut off or refused are included; what is done already costs no call. A budget is one for all
    extractions of the run, apart from the run's own. Returns the counts "asked" and "extracted". Raises as the model
    does; what was extracted is kept, and the same call goes on from there.
    """
    from paperworks.grab.evaluate import prepare

    prepare(model, None, _PROMPT)
    parameters = json.loads(json.dumps(model.parameters))
    path = run.folder / "extracted.jsonl"
    with only_writer(run.folder):
        write_json(run.folder / "extraction.json", {"model": {"name": model.name, "parameters": parameters}})
        with Log(path) as log:
            stored = list(read_lines(path))
            done = {line["key"] for line in stored if line["finish"] in ANSWERED}
            if callable(account := getattr(model, "account", None)):
                account(sum(line.get("cost") or 0.0 for line in stored), None)
            requests: list[Request] = []
            for id, text in _texts(run).items():
                prompt = extraction_request(text)
                if (key := _key(id, prompt, model.name, parameters)) not in done:
                    requests.append(Request(key, id, prompt, None, prompt))
            count = 0
            responses = iter(model.answer(requests)) if requests else iter(())
            try:
                for response in responses:
                    if response.finish == "unpaid":
                        continue
                    log.append([asdict(response)])
                    count += response.finish in ANSWERED
                    if progress is not None:
                        progress(count, len(requests), response.id)
            finally:
                if callable(close := getattr(responses, "close", None)):
                    close()
    return {"asked": len(requests), "extracted": count}


def stored_extractions(run: Run) -> dict[str, str | None] | None:
    """The extracted answer by item id (None: the response gives no answer); None where no model extracted any."""
    try:
        model = json.loads((run.folder / "extraction.json").read_text("utf-8"))["model"]
    except FileNotFoundError:
        return None
    lines = {
        line["key"]: line["text"]
        for line in read_lines(run.folder / "extracted.jsonl")
        if line["finish"] == "stop"
    }
    found: dict[str, str | None] = {}
    for id, text in _texts(run).items():
        key = _key(id, extraction_request(text), model["name"], model["parameters"])
        if key in lines:
            found[id] = _said(lines[key])
    return found


def _texts(run: Run) -> dict[str, str]:
    return {
        str(response["id"]): response["text"]
        for response in run.responses.values()
        if response["text"] and response["text"].strip()
    }


def _said(text: str | None) -> str | None:
    text = (text or "").strip()
    return None if text.rstrip(".").lower() in ("", "none") else text


def _key(id: str, prompt: str, name: str, parameters: dict[str, Any]) -> str:
    return digest([id, prompt, name, parameters])

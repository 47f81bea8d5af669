"""GRAB questions as a task of inspect_ai.

    inspect eval grab.py --model openai-api/NAME/MODEL --model-base-url http://HOST/v1
    inspect eval grab.py --model … -T task=series -T complexity=3

The questions are in grab.json, their pictures in images/, both beside this file.
"""

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig
from inspect_ai.scorer import (
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    grouped,
    mean,
    metric,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState, generate

from paperworks.grab.answers import SCORES, extract, kind_of, score

FOLDER = Path(__file__).resolve().parent
NOT_ANSWERED = ("max_tokens", "model_length", "content_filter")
"""Stop reasons of responses that count as no answer: cut off, or refused."""


@task
def grab(task: str | None = None, complexity: int | None = None) -> Task:
    """All questions, or those of a task (properties, function, series, transform) and a complexity (0 to 9)."""
    stored = json.loads((FOLDER / "grab.json").read_text("utf-8"))
    samples = [
        Sample(
            id=item["id"],
            input=[
                ChatMessageUser(
                    content=[
                        ContentText(text=stored["prompt"].replace("{question}", item["question"])),
                        ContentImage(image=str(FOLDER / item["image"])),
                    ]
                )
            ],
            target=item["answer"],
            metadata={name: value for name, value in item.items() if name not in ("id", "answer")},
        )
        for item in stored["items"]
        if task in (None, item["task"]) and complexity in (None, item["complexity"])
    ]
    return Task(
        dataset=MemoryDataset(samples, name="grab"),
        solver=generate(),
        scorer=[as_said(), extracted()],
        config=GenerateConfig(temperature=0.0, max_tokens=stored["max_tokens"]),
        metadata={"dataset_sha256": stored["dataset_sha256"], "prompt": stored["prompt_name"]},
    )


@metric
def median_error() -> Metric:
    """The median of errors in quanta, of the answers that are numbers."""

    def compute(scores: list[SampleScore]) -> float:
        errors = [score.score.as_float() for score in scores]
        known = [error for error in errors if not math.isnan(error)]
        return median(known) if known else math.nan

    return compute


METRICS: dict[str, list[Metric]] = {
    **{name: [mean(), stderr()] for name in (*SCORES, "answered")},
    "exact": [mean(), stderr(), grouped(mean(), "task", all=False)],
    "error_in_quanta": [median_error()],
}
"""Means are over the answered questions; `answered` is their share: the product counts the others as wrong."""


@scorer(metrics=METRICS)
def as_said() -> Scorer:
    """The response as it is; its `exact` is the paper's headline."""
    return _scorer("none")


@scorer(metrics=METRICS)
def extracted() -> Scorer:
    """The answer that is found in the response: after "Answer:", in a box, in bold, or the only value in the text."""
    return _scorer("regex")


def _scorer(method: str) -> Scorer:
    async def judge(state: TaskState, target: Target) -> Score:
        text = state.output.completion
        reason = state.output.stop_reason
        answered = reason not in NOT_ANSWERED
        said = extract(text, method, kind=kind_of(target.text)) if answered else None
        values: dict[str, Any] = {
            name: _number(score(name, said, target.text, state.metadata["quantum"])) if answered else math.nan
            for name in SCORES
        }
        return Score(
            value=values | {"answered": float(answered)},
            answer=said,
            explanation=text,
            metadata={"stopped": reason},
        )

    return judge


def _number(value: float | None) -> float:
    return math.nan if value is None else value

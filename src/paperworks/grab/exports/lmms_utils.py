"""What lmms-eval calls for the task of grab.yaml: the picture, the prompt, and the scores of a response."""

from statistics import median
from typing import Any

from paperworks.grab.answers import EXTRACTIONS, SCORES, extract, kind_of, score


def doc_to_visual(doc: dict[str, Any]) -> list[Any]:
    """The picture, without transparency."""
    return [doc["decoded_image"].convert("RGB")]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any] | None = None) -> str:
    """The question between the words that grab.yaml puts around it."""
    around = lmms_eval_specific_kwargs or {}
    return f"{around.get('pre_prompt', '')}{doc['question']}{around.get('post_prompt', '')}"


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float | None]:
    """All scores of a response as it is (`exact`: the paper's), and of the answer found in it (`regex_…`)."""
    text, answer = results[0], doc["answer"]
    scores: dict[str, float | None] = {}
    for method in EXTRACTIONS:
        said = extract(text, method, kind=kind_of(answer))
        for name in SCORES:
            scores[name if method == "none" else f"{method}_{name}"] = score(
                name, said, answer, doc["quantum"]
            )
    return {f"exact_{doc['task']}": scores["exact"]} | scores


def median_error(errors: list[float | None]) -> float | None:
    """The median of errors in quanta, of the answers that are numbers."""
    known = [error for error in errors if error is not None]
    return median(known) if known else None

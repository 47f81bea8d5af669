"""Scores of a run: every table, two runs compared, the files `scores.json` and `report.md`.

A row is a mapping with an item's fields (id, task, property, category, complexity, effective_complexity, question,
answer, quantum) and its response's (text, finish; optionally `extracted`, what a language model took out of the text).
Nothing here asks a model: everything follows from the stored responses, so that scoring again gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paperworks.errors import InputError
from paperworks.files import write_json, write_text
from paperworks.grab import answers
from paperworks.grab.intervals import Difference, McNemar, Trend, difference, mcnemar, trend, wilson
from paperworks.grab.tables import (
    BREAKDOWNS,
    GROUPS,
    Line,
    Row,
    Scored,
    Table,
    correct,
    is_answered,
    markdown_table,
    mean,
    per_cent,
    rounded,
    said_in,
    table,
)

__all__ = [
    "BREAKDOWNS",
    "GROUPS",
    "Difference",
    "Line",
    "McNemar",
    "Table",
    "Trend",
    "accuracy_trend",
    "compare",
    "correct",
    "difference",
    "extraction_table",
    "extractions_of",
    "headline",
    "mcnemar",
    "score_run",
    "table",
    "trend",
    "wilson",
    "write_scores",
]


def headline(score: str) -> str:
    """The score's name, if it can be a headline; warns where it can but should not be.

    Raises `InputError` for `error_in_quanta`, which is a distance and no share, and for unknown names.
    """
    if score not in answers.SCORES:
        raise InputError(f"no score is called {score!r}: choose from {', '.join(answers.SCORES)}")
    if score == "error_in_quanta":
        raise InputError(
            f"error_in_quanta is a distance, no share: choose from {', '.join(answers.HEADLINES)}"
        )
    if score == "official_prefix":
        warnings.warn(
            "official_prefix counts 45 as 4: it cuts the response to the answer's length. Do not report it as accuracy",
            stacklevel=2,
        )
    elif score == "relaxed5":
        warnings.warn(
            "relaxed5 counts 95 as 100: GRAB's answers are exact; do not report it as GRAB accuracy",
            stacklevel=2,
        )
    return score


def extractions_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The extractions that the rows allow: `none`, `regex` and, where a language model's are stored, `llm`."""
    return (*answers.EXTRACTIONS, *(("llm",) if any("extracted" in row for row in rows) else ()))


def compare(
    first: Sequence[Row], second: Sequence[Row], *, score: str = "exact", extract: str = "none"
) -> McNemar:
    """McNemar's test of two runs on the items that both answered. Raises `InputError` where there is none."""
    headline(score)
    theirs = {row["id"]: value for row, value in zip(second, correct(second, score, extract), strict=True)}
    pairs = [
        (mine, theirs[row["id"]])
        for row, mine in zip(first, correct(first, score, extract), strict=True)
        if mine is not None and theirs.get(row["id"]) is not None
    ]
    if not pairs:
        raise InputError("the two runs have no answered item in common: compare runs on the same data set")
    return mcnemar([bool(one) for one, _ in pairs], [bool(two) for _, two in pairs])


def accuracy_trend(
    rows: Sequence[Row], *, score: str = "exact", extract: str = "none", field: str = "complexity"
) -> Trend:
    """Cochran–Armitage trend of the answered items' accuracy over complexity (or effective complexity)."""
    lines = table(rows, field, score=score, extract=extract).lines
    return trend(
        [line.right for line in lines],
        [line.answered for line in lines],
        [float(line.group[field]) for line in lines],
    )


def extraction_table(
    rows: Sequence[Row], scores: Sequence[str] = ("exact", "numeric", "within", "official_prefix", "relaxed5")
) -> list[dict[str, Any]]:
    """What the extraction does to each score: a line for each extraction, shares (0…1) of the answered items.

    `none found` is the share of responses in which the extraction found no answer.
    """
    answered = [row for row in rows if is_answered(row)]
    lines = []
    for extraction in extractions_of(rows):
        line: dict[str, Any] = {"extraction": extraction}
        line["none found"] = rounded(mean([float(said_in(row, extraction) is None) for row in answered]))
        for score in scores:
            line[score] = rounded(mean(correct(answered, score, extraction)))
        lines.append(line)
    return lines


def score_run(
    rows: Sequence[Row],
    *,
    scores: Sequence[str] = ("exact", "numeric", "within"),
    extract: str = "none",
    references: Mapping[str, Sequence[Row]] | None = None,
) -> dict[str, Any]:
    """All tables of a run as one JSON value. The first of `scores` is the headline, the others are beside it."""
    if not rows:
        raise InputError("the run has no items: nothing to score")
    scores = tuple(dict.fromkeys(scores)) or ("exact",)
    for place, name in enumerate(scores):
        if place == 0:
            headline(name)
        elif name not in answers.SCORES:
            raise InputError(f"no score is called {name!r}: choose from {', '.join(answers.SCORES)}")
    main = Scored.of(rows, scores[0], extract, references or {})
    beside = [table(rows, score=name, extract=extract, references=references) for name in scores[1:]]
    by_complexity = main.table(("complexity",))
    tests = {}
    if len(by_complexity) > 1:
        found = trend(
            [line.right for line in by_complexity],
            [line.answered for line in by_complexity],
            [float(line.group["complexity"]) for line in by_complexity],
        )
        tests["trend over complexity"] = {"z": rounded(found.z), "p": rounded(found.p)}
    return {
        "headline": scores[0],
        "extraction": extract,
        "responses_sha256": _digest(rows),
        "tables": [main.table(by).to_dict() for by in BREAKDOWNS],
        "other_scores": [other.to_dict() for other in beside],
        "error_in_quanta": table(rows, "task", score="error_in_quanta", extract=extract).to_dict(),
        "extractions": extraction_table(rows),
        "tests": tests,
        "items": [
            {
                "id": row["id"],
                "said": _whole_characters(said_in(row, extract)) if is_answered(row) else None,
                "score": value,
            }
            for row, value in zip(rows, main.own, strict=True)
        ],
    }


def write_scores(
    folder: str | os.PathLike[str],
    *,
    scores: Sequence[str] = ("exact", "numeric", "within"),
    extract: str = "none",
    references: Mapping[str, Sequence[Row]] | None = None,
    rows: Sequence[Row] | None = None,
) -> dict[str, Any]:
    """Score a run folder and write `scores.json` and `report.md` into it; the same responses give the same bytes.

    `rows` are the run's where they are at hand, else they are read from the folder. Returns what `scores.json` holds.
    """
    folder = Path(folder)
    if rows is None:
        from paperworks.grab.evaluate import Run

        rows = Run.load(folder).rows()
    result = _of_run(folder) | score_run(rows, scores=scores, extract=extract, references=references)
    write_json(folder / "scores.json", result)
    write_text(folder / "report.md", _report(rows, scores, extract, references or {}, result))
    return result


def _of_run(folder: Path) -> dict[str, Any]:
    """Which model, prompt and data set the folder is of, where its `run.json` says so."""
    if not (folder / "run.json").is_file():
        return {}
    run = json.loads((folder / "run.json").read_text("utf-8"))
    names = {"model": run["model"]["name"], "prompt": run["prompt"]["name"]}
    return {"run": names | {"dataset_sha256": run["dataset"]["sha256"], "items": run["dataset"]["items"]}}


def _report(
    rows: Sequence[Row],
    scores: Sequence[str],
    extract: str,
    references: Mapping[str, Sequence[Row]],
    result: dict[str, Any],
) -> str:
    main = Scored.of(rows, result["headline"], extract, references)
    (whole,) = main.table(()).lines
    run = result.get("run")
    parts = [
        "# Scores" if run is None else f"# Scores of {run['model']}",
        f"Score `{result['headline']}`, extraction `{extract}`: {per_cent(whole.accuracy)} % right of "
        f"{whole.answered} answered items (95 %: {100 * whole.low:.1f}–{100 * whole.high:.1f}); "
        f"{per_cent(whole.accuracy_of_all)} % of all {whole.n}.",
        f"Not answered: {whole.refused} refused, {whole.truncated} truncated, {whole.failed} failed, "
        f"{whole.unpaid} unpaid. They are left out of *right %* and count as wrong in *of all %*. "
        "Floors are answers without the picture; *skill* is (right − floor) / (1 − floor) with the better of them.",
    ]
    if result["headline"] == "official_prefix":
        parts.append("**Warning:** `official_prefix` cuts a response to the answer's length: 45 counts as 4.")
    for by in BREAKDOWNS:
        shown = main.table(by)
        parts += [f"## {shown.name.replace('_', ' ').capitalize()}", shown.markdown()]
    others = [name for name in scores[1:] if name != "error_in_quanta"]
    if others:
        lines = [
            replace(line, group={"score": name})
            for name in others
            for line in table(rows, score=name, extract=extract, references=references)
        ]
        parts += ["## Other scores", Table(("score",), "", extract, tuple(lines)).markdown()]
    parts += ["## Error in quanta", table(rows, "task", score="error_in_quanta", extract=extract).markdown()]
    heads = list(result["extractions"][0])
    parts += [
        "## Extraction",
        markdown_table(
            [heads[0], *(f"{head} %" for head in heads[1:])],
            [
                [line[heads[0]], *(per_cent(line[head]) for head in heads[1:])]
                for line in result["extractions"]
            ],
        ),
    ]
    for name, test in result["tests"].items():
        parts.append(f"Cochran–Armitage {name}: z = {test['z']:.2f}, p = {test['p']:.3g}.")
    return "\n\n".join(parts) + "\n"


def _whole_characters(text: str | None) -> str | None:
    """The text without halves of characters, with which a response may end that was cut off."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _digest(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        line = [row["id"], row["answer"], row.get("text"), row.get("finish")]
        digest.update(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()

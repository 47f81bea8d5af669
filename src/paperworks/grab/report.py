"""One HTML page about a run: what is right, between floor and ceiling; how far off the rest is; failures as pictures.

The page is one file, needs neither network nor script, and can be read on a phone and on paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError
from paperworks.grab import published
from paperworks.grab.answers import SCORES, kind_of
from paperworks.grab.answers import score as score_of
from paperworks.grab.design import TASKS
from paperworks.grab.report_figures import drawn, error_histogram, over_complexity
from paperworks.grab.scores import accuracy_trend, extraction_table, headline
from paperworks.grab.tables import (
    NOT_ANSWERED,
    Line,
    Row,
    Scored,
    Table,
    correct,
    is_answered,
    said_in,
    table,
)
from paperworks.html_page import data_uri, write_page

if TYPE_CHECKING:
    from paperworks.grab.bench import Bench
    from paperworks.grab.evaluate import Run
    from paperworks.grab.items import Item

    Pictures = tuple[Bench, dict[str, Item]]

SHARES = tuple(name for name in SCORES if name != "error_in_quanta")
GROUPINGS = (
    ("Task", ("task",), ""),
    ("Complexity", ("complexity",), "Without the task properties, whose complexity is always 0."),
    (
        "Effective complexity",
        ("effective_complexity",),
        "Without the task properties. Of transforms, the fewest operations that do the same.",
    ),
    ("Precision", ("quantum",), ""),
    ("Category", ("category",), ""),
    ("Property", ("task", "property"), ""),
    ("Task and complexity", ("task", "complexity"), ""),
)
MEANINGS = {
    "exact": "the same characters (the paper’s score)",
    "numeric": "the same number, pair or coefficients: 4 = 4.0",
    "within": "at most one unit of the asked precision off",
    "equivalent": "equations that agree at 257 points; numbers as numeric",
    "official_prefix": "the first characters agree: 45 passes for 4. For comparison only",
    "relaxed5": "at most 5 % off (ChartQA’s). For comparison only",
}
WIDEST, LONGEST = 480, 700
"""Pictures are made this narrow (pixels) and responses this short (characters) on the page."""


def write_report(
    run: Run,
    out: str | PathLike[str],
    *,
    score: str = "exact",
    extract: str = "none",
    references: Mapping[str, Sequence[Row]] | None = None,
    failures: int = 12,
) -> None:
    """Write the page of `run` to `out`.

    `score` and `extract` make the headline (see `answers`); all other scores are on the page too, from the same stored
    responses. `references` are rows of other runs on the same items by name, such as the pixel reader's: ceilings.
    `failures`: how many wrong answers of each task are shown with their pictures, the first in the order of the items.
    Pictures need the run's benchmark where it was; without it the page says so. Raises `InputError` for a run
    without responses and for a score that is no share.
    """
    headline(score)
    rows, references = run.rows(), references or {}
    if not rows:
        raise InputError(f"{run.folder} has no responses yet: nothing to report")
    (whole,) = table(rows, score=score, extract=extract, references=references).lines
    pictures, no_pictures = _pictures(run)
    values = {
        "name": run.name,
        "whole": whole,
        "score": score,
        "extract": extract,
        "meaning": MEANINGS[score],
        "warning": MEANINGS[score].endswith("only") and f"{score} is no accuracy: {MEANINGS[score]}.",
        "others": list(references),
        "tables": _tables(rows, score, extract, references),
        "figures": _figures(rows, run.name, score, extract, references),
        "trend": _trend(rows, score, extract),
        "asked": {"items": len(run.items), "rows": len(rows)},
        "not_answered": {name: getattr(whole, name) for name in NOT_ANSWERED.values()},
        "unanswered": _unanswered(rows),
        "kinds": _kinds(rows, extract),
        "extractions": extraction_table(rows, SHARES),
        "shares": SHARES,
        "meanings": MEANINGS,
        "published": _published(rows),
        "official": not all(re.fullmatch(r"[a-z]+-[a-z-]+-\d{4,}", str(row["id"])) for row in rows),
        "source": published.SOURCE,
        "note": published.NOTE,
        "failures": _failures(rows, correct(rows, score, extract), extract, pictures, failures),
        "no_pictures": no_pictures,
        "facts": _facts(run, rows),
    }
    body = Path(__file__).with_name("report.html.j2").read_text("utf-8")
    style = Path(__file__).with_name("report.css").read_text("utf-8")
    write_page(
        out, _whole(f"{run.name} on GRAB"), body, style=style, pc=_per_cent, two=_two, plain=_whole, **values
    )


def _tables(
    rows: Sequence[Row], score: str, extract: str, references: Mapping[str, Sequence[Row]]
) -> list[dict[str, Any]]:
    """The tables with title, words below it, and lines (heading of a new task, the group in words, figures)."""
    everything = Scored.of(rows, score, extract, references)
    graded = Scored.of(_graded(rows), score, extract, references)
    shown: list[dict[str, Any]] = []
    for title, by, words in GROUPINGS:
        found = (graded if by[-1].endswith("complexity") else everything).table(by)
        if by[-1].endswith("complexity") and len(found) < 2:
            continue
        if by == ("effective_complexity",) and all(
            row["effective_complexity"] == row["complexity"] for row in _graded(rows)
        ):
            continue
        lines: list[tuple[str, str, Line]] = []
        task = ""
        for line in found:
            new = str(line.group["task"]) if len(by) > 1 else ""
            lines.append((new if new != task else "", _named(by[-1], line.group[by[-1]]), line))
            task = new
        shown.append({"title": title, "words": words, "lines": lines, "folded": by == ("task", "complexity")})
    return shown


def _graded(rows: Sequence[Row]) -> list[Row]:
    """The rows of the tasks that have complexities."""
    return [row for row in rows if row["task"] != "properties"]


def _named(field: str, value: Any) -> str:
    names = {"10": "nearest ten", "1": "integer", "0.1": "one decimal"} if field == "quantum" else {}
    return names.get(str(value), str(value))


def _figures(
    rows: Sequence[Row], name: str, score: str, extract: str, references: Mapping[str, Sequence[Row]]
) -> dict[str, str]:
    """The pictures by caption, whatever the user's Matplotlib settings are."""
    import matplotlib as mpl

    figures = {}
    with mpl.rc_context():
        mpl.rcdefaults()
        graded = _graded(rows)
        lines = (
            table(graded, "complexity", score=score, extract=extract, references=references).lines
            if graded
            else ()
        )
        if sum(line.accuracy is not None for line in lines) > 1:
            curves = (
                {"Claude 3.5 Sonnet": published.COMPLEXITY["Claude 3.5 Sonnet"]} if score == "exact" else {}
            )
            figure = over_complexity(lines, name, curves)
            figures["Accuracy over complexity, without the task properties"] = drawn(figure)
        errors = {name: _errors(rows, extract)}
        errors |= {other: _errors(theirs, "regex", among=rows) for other, theirs in references.items()}
        if errors[name]:
            figures["How far off the answers are"] = drawn(error_histogram(errors))
    return figures


def _errors(rows: Sequence[Row], extract: str, among: Sequence[Row] | None = None) -> list[float | None]:
    """The errors in quanta of answered items whose answer is a number or a pair."""
    asked = None if among is None else {row["id"] for row in among}
    counted = [
        row
        for row in rows
        if is_answered(row) and kind_of(row["answer"]) != "equation" and (asked is None or row["id"] in asked)
    ]
    return correct(counted, "error_in_quanta", "regex" if extract == "none" else extract)


def _trend(rows: Sequence[Row], score: str, extract: str) -> dict[str, float] | None:
    graded = _graded(rows)
    if len({row["complexity"] for row in graded if is_answered(row)}) < 2:
        return None
    found = accuracy_trend(graded, score=score, extract=extract)
    return {"z": found.z, "p": found.p}


def _kinds(rows: Sequence[Row], extract: str) -> list[tuple[str, int]]:
    """Answered items by what became of them; each is counted once, in the first line that fits."""
    found = "regex" if extract == "none" else extract
    counts = dict.fromkeys(
        (
            "right to the character",
            "right, but not written as asked or inside a sentence",
            "one unit of the asked precision off",
            "further off, or another equation",
            "no single answer to be found",
        ),
        0,
    )
    names = list(counts)
    for row in rows:
        if not is_answered(row):
            continue
        said = said_in(row, found)
        tests = (
            score_of("exact", row["text"], row["answer"], row["quantum"]),
            score_of("equivalent", said, row["answer"], row["quantum"]),
            score_of("within", said, row["answer"], row["quantum"]),
            said is not None,
        )
        counts[names[next((place for place, test in enumerate(tests) if test), 4)]] += 1
    return list(counts.items())


def _published(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The published rows with the run's own among them, the best first, and what constants score."""
    lines = [
        {"name": one.model, "kind": "open" if one.open else "closed"}
        | {name: getattr(one, name) for name in ("all", *TASKS)}
        for one in published.TABLE
    ]
    own: dict[str, Any] = {"name": "this run", "kind": "own"}
    found: list[tuple[str, Table]] = [("all", table(rows)), ("task", table(rows, "task"))]
    for name, grouped in found:
        for line in grouped:
            own[line.group.get("task", name)] = 100 * (line.accuracy_of_all or 0.0)
    lines.append(own)
    lines.sort(key=lambda line: -line["all"])
    constants = (
        ("always zero", published.ZERO),
        ("best constant of each question text, in sample", published.CONSTANT),
    )
    return lines + [{"name": name, "kind": "floor", **shares} for name, shares in constants]


def _unanswered(rows: Sequence[Row], most: int = 8) -> dict[str, list[dict[str, str]]]:
    """The first responses that are no answers, by what they are called, with text or reason."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if is_answered(row):
            continue
        name = NOT_ANSWERED.get(row.get("finish") or "error", "failed")
        said = row.get("error") if name in ("failed", "unpaid") else row.get("text")
        found.setdefault(name, []).append({"id": str(row["id"]), "said": _shortened(said)})
    return {name: lines[:most] for name, lines in found.items()}


def _failures(
    rows: Sequence[Row], own: Sequence[float | None], extract: str, pictures: Pictures | None, most: int
) -> list[dict[str, Any]]:
    """By task: how many are wrong, and the first of them as cards."""
    found: list[dict[str, Any]] = []
    for task in dict.fromkeys(row["task"] for row in rows):
        wrong = [row for row, value in zip(rows, own, strict=True) if row["task"] == task and value == 0.0]
        answered = sum(value is not None for row, value in zip(rows, own, strict=True) if row["task"] == task)
        cards = [_card(row, extract, pictures) for row in wrong[:most]]
        found.append({"task": task, "wrong": len(wrong), "answered": answered, "cards": cards})
    return [group for group in found if group["wrong"]]


def _card(row: Row, extract: str, pictures: Pictures | None) -> dict[str, Any]:
    found = "regex" if extract == "none" else extract
    said, text = said_in(row, found), row["text"] or ""
    return {
        "id": str(row["id"]),
        "property": row["property"],
        "complexity": row["complexity"],
        "question": row["question"],
        "answer": row["answer"],
        "truth": _true_value(row),
        "text": _shortened(text),
        "found": "" if said is None or said == text.strip() else _shortened(said),
        "nothing": said is None,
        "error": score_of("error_in_quanta", said, row["answer"], row["quantum"]),
        "quantum": row["quantum"],
        **_picture(pictures, str(row["id"])),
    }


def _true_value(row: Row) -> str:
    """The truth before it was rounded, where it differs from the answer."""
    try:
        value = float(Fraction(str(row.get("truth", ""))))
    except (ValueError, ZeroDivisionError):
        return ""
    shown = f"{value:.6g}"
    return "" if kind_of(row["answer"]) != "number" or float(row["answer"]) == value else shown


def _pictures(run: Run) -> tuple[Pictures | None, str]:
    """The run's benchmark with its items by id, or why there is none."""
    try:
        bench = run.dataset()
    except InputError as error:
        return None, str(error)
    return (bench, {str(item.id): item for item in bench}), ""


def _picture(pictures: Pictures | None, id: str) -> dict[str, str]:
    """The item's picture for `<img src>`, narrow and of 64 colours, or why there is none."""
    from PIL import Image

    if pictures is None:
        return {}
    bench, items = pictures
    try:
        image = bench.image(items[id]).convert("RGB")
    except InputError as error:
        return {"missing": str(error)}
    if image.width > WIDEST:
        height = round(image.height * WIDEST / image.width)
        image = image.resize((WIDEST, height), Image.Resampling.LANCZOS, reducing_gap=3)
    return {"picture": data_uri(image.quantize(64, dither=Image.Dither.NONE))}


def _facts(run: Run, rows: Sequence[Row]) -> list[tuple[str, str]]:
    identity = run.identity
    parameters = ", ".join(f"{name} = {value}" for name, value in identity["model"]["parameters"].items())
    facts = [
        ("model", run.name),
        ("parameters", parameters or "none"),
        ("prompt", identity["prompt"]["name"]),
    ]
    facts.append(
        ("dataset", f"{identity['dataset']['items']:,} items, SHA-256 {identity['dataset']['sha256'][:16]}…")
    )
    for name, field in (("tokens in", "tokens_in"), ("tokens out", "tokens_out")):
        if known := [row[field] for row in rows if row.get(field) is not None]:
            facts.append((name, f"{sum(known):,}"))
    if run.cost is not None:
        facts.append(("cost", f"{run.cost:.2f}"))
    if seconds := sorted(row["seconds"] for row in rows if row.get("seconds")):
        facts.append(("seconds per answer", f"{seconds[len(seconds) // 2]:.2f} (median)"))
    return [(name, _whole(value)) for name, value in facts]


def _shortened(text: Any) -> str:
    text = _whole(str(text or "")).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _whole(text: str) -> str:
    """The text without halves of characters, which a response cut off in the middle can end with."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _per_cent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")

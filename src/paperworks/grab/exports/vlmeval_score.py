"""Score the answers that VLMEvalKit collected to the questions of GRAB_openended.tsv.

    python score.py outputs/MODEL/MODEL_GRAB_openended.xlsx [--tsv GRAB_openended.tsv] [--json scores.json]

The predictions are an .xlsx (needs openpyxl), .tsv, .csv or .json file with the columns index and prediction. Answers
are read from the .tsv and not from the predictions, because spreadsheets turn 3.0 into 3.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from paperworks.grab.answers import EXTRACTIONS, SCORES, extract, kind_of, score

FOLDER = Path(__file__).resolve().parent


def read_predictions(path: Path) -> dict[str, str]:
    """The text of each prediction by its question's index."""
    rows: list[dict[str, Any]]
    if path.suffix == ".xlsx":
        from openpyxl import load_workbook

        lines: Iterator[Any] = load_workbook(path, read_only=True).worksheets[0].iter_rows(values_only=True)
        names = next(lines)
        rows = [dict(zip(names, line, strict=True)) for line in lines]
    elif path.suffix == ".json":
        rows = json.loads(path.read_text("utf-8"))
        if isinstance(rows, dict):
            columns: dict[str, dict[str, Any]] = rows
            rows = [{name: columns[name][key] for name in columns} for key in columns["index"]]
    else:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    if rows and not {"index", "prediction"} <= rows[0].keys():
        sys.exit(f"{path} has the columns {', '.join(map(str, rows[0]))}: index and prediction are needed")
    return {str(row["index"]): "" if row["prediction"] is None else str(row["prediction"]) for row in rows}


def scores_of(text: str, answer: str, quantum: str) -> dict[str, float | None]:
    """All scores of a response as it is (`exact`: the paper's), and of the answer found in it (`regex_…`)."""
    scores: dict[str, float | None] = {}
    for method in EXTRACTIONS:
        said = extract(text, method, kind=kind_of(answer))
        for name in SCORES:
            scores[name if method == "none" else f"{method}_{name}"] = score(name, said, answer, quantum)
    return scores


def summary(scored: list[dict[str, Any]]) -> dict[str, float | None]:
    """The mean of each score in per cent, and the median of the errors in quanta."""
    result: dict[str, float | None] = {}
    for name in scored[0]["scores"]:
        values = [row["scores"][name] for row in scored if row["scores"][name] is not None]
        if name.endswith("error_in_quanta"):
            result[name] = median(values) if values else None
        else:
            result[name] = 100 * sum(values) / len(values) if values else None
    return result


def main(arguments: list[str] | None = None) -> None:
    """Print the scores, of all questions and by task and category."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--tsv", type=Path, default=FOLDER / "GRAB_openended.tsv")
    parser.add_argument("--json", type=Path, help="also write every question's scores here")
    options = parser.parse_args(arguments)
    csv.field_size_limit(2**31 - 1)
    predictions = read_predictions(options.predictions)
    scored: list[dict[str, Any]] = []
    with open(options.tsv, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["index"] in predictions:
                text = predictions[row["index"]]
                kept = {name: row[name] for name in ("index", "id", "task", "category", "answer")}
                scored.append(
                    {**kept, "prediction": text, "scores": scores_of(text, row["answer"], row["quantum"])}
                )
    if not scored:
        sys.exit(f"no prediction in {options.predictions} has an index of {options.tsv}")
    print(f"{len(scored)} answers")
    for name, value in summary(scored).items():
        unit = "quanta" if name.endswith("error_in_quanta") else "%"
        print(f"{name:24}", "-" if value is None else f"{value:.1f} {unit}")
    for by in ("task", "category"):
        for group in dict.fromkeys(row[by] for row in scored):
            of_group = [row for row in scored if row[by] == group]
            exact = summary(of_group)["exact"]
            print(f"exact, {by} {group}: {exact:.1f} % of {len(of_group)}")
    if options.json:
        options.json.write_text(json.dumps(scored, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

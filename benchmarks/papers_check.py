"""The figure check on its labelled sets: precision and recall, and the time for a summary against a long paper.

    python benchmarks/papers_check.py

`labelled` was looked at while the check was built; of `held_aside` (a third, written at the same time by the same
hand) only the scores were. `second` is by other hands, five parts (`a-` to `e-`), each scored before it was looked at;
`labelled_long` are harder cases in the form of whole papers. The baseline flags a figure
whose digits do not stand in the source, which is what a search by hand does.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "papers"))

from measuring import FIGURES, Score, cases, measure

from paperworks.papers.check import check_figures
from paperworks.papers.contexts import Document
from paperworks.papers.contradictions import find_contradictions


def by_digits(labelled: list[dict]) -> Score:
    """The baseline: a figure is flagged where its digits are not in the source."""
    score = Score()
    for case in labelled:
        known = set(re.findall(r"\d+(?:\.\d+)?", case["source"].replace(",", "")))
        for label in case["figures"]:
            digits = re.findall(r"\d+(?:\.\d+)?", label["text"].replace(",", ""))
            flagged = any(one not in known for one in digits)
            if label["right"]:
                score.false_alarms += flagged
                score.passed += not flagged
            else:
                score.true_alarms += flagged
                score.missed += not flagged
    return score


def main() -> None:
    results = {}
    print(f"{'set':16}{'figures':>9}{'precision':>11}{'recall':>8}   by digits alone")
    sets = {name: cases(name) for name in ("labelled", "held_aside", "second", "labelled_long")}
    sets["labelled + held"] = sets["labelled"] + sets["held_aside"]
    for name, labelled in sets.items():
        score, plain = measure(labelled), by_digits(labelled)
        count = sum(len(case["figures"]) for case in labelled)
        print(
            f"{name:16}{count:9}{score.precision:11.3f}{score.recall:8.3f}   {plain.precision:.3f} {plain.recall:.3f}"
        )
        results[name] = {"figures": count, "precision": score.precision, "recall": score.recall}

    pairs = [
        (bool(find_contradictions(case["summary"])), case["contradictory"])
        for case in json.loads((FIGURES / "contradictions.json").read_text(encoding="utf-8"))
    ]
    right = sum(said and true for said, true in pairs)
    print(
        f"contradictions: {len(pairs)} summaries, precision {right / max(1, sum(said for said, _ in pairs)):.3f}, "
        f"recall {right / sum(true for _, true in pairs):.3f}"
    )

    sources = [case["source"] for case in sets["labelled"] + sets["labelled_long"]]
    random.Random(0).shuffle(sources)
    paper = "\n\n".join(sources * 3)[:100_000]
    fifteen = next(case["summary"] for case in sets["labelled_long"] if len(case["figures"]) >= 12)
    whole, alone = [], []
    for _ in range(7):
        start = time.perf_counter()
        document = Document(paper, names=True)
        middle = time.perf_counter()
        report = check_figures(fifteen, document)
        alone.append(time.perf_counter() - middle)
        whole.append(time.perf_counter() - start)
    print(
        f"{len(report.figures)} figures against {len(paper):,} characters: {1000 * statistics.median(whole):.0f} ms, "
        f"of which {1000 * statistics.median(whole) - 1000 * statistics.median(alone):.0f} ms read the paper"
    )
    results["milliseconds"] = 1000 * statistics.median(whole)
    Path("papers_check.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

"""Precision and recall of the figure check on the labelled sets in `figures/`.

A figure of a summary counts as flagged where any quantity that the check found in its place is neither found nor
derived; a flag is right where the figure is labelled wrong. Flags outside all labelled figures count as false alarms.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from paperworks.papers.check import FOUNDED, check_figures

FIGURES = Path(__file__).parent / "figures"


@dataclass
class Score:
    true_alarms: int = 0
    false_alarms: int = 0
    missed: int = 0
    passed: int = 0
    missed_kinds: Counter[str] = field(default_factory=Counter)

    @property
    def precision(self) -> float:
        return self.true_alarms / max(1, self.true_alarms + self.false_alarms)

    @property
    def recall(self) -> float:
        return self.true_alarms / max(1, self.true_alarms + self.missed)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.true_alarms + other.true_alarms,
            self.false_alarms + other.false_alarms,
            self.missed + other.missed,
            self.passed + other.passed,
            self.missed_kinds + other.missed_kinds,
        )


def cases(name: str) -> list[dict]:
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))


def measure(labelled: list[dict]) -> Score:
    score = Score()
    for case in labelled:
        found, place, seen = check_figures(case["summary"], case["source"]).figures, 0, set()
        for label in case["figures"]:
            start = case["summary"].index(label["text"], place)
            place = start + len(label["text"])
            here = [one for one in found if one.start < place and start < one.end]
            seen.update(id(one) for one in here)
            flagged = any(one.verdict not in FOUNDED for one in here)
            if label["right"]:
                score.false_alarms += flagged
                score.passed += not flagged
            else:
                score.true_alarms += flagged
                score.missed += not flagged
                score.missed_kinds[label["kind"]] += not flagged
        score.false_alarms += sum(one.verdict not in FOUNDED and id(one) not in seen for one in found)
    return score

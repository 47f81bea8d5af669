"""Tables of a run: what is right in each group of items, with its interval, the floor, the ceiling and the skill.

A row is a mapping with an item's fields (id, task, property, category, complexity, effective_complexity, question,
answer, quantum) and its response's (text, finish; optionally `extracted`, what a language model took out of the text).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from paperworks.errors import InputError
from paperworks.grab import answers
from paperworks.grab.intervals import wilson
from paperworks.grab.priors import predictions

Row = Mapping[str, Any]

GROUPS = ("task", "category", "property", "quantum", "complexity", "effective_complexity")
BREAKDOWNS: tuple[tuple[str, ...], ...] = (
    (),
    ("task",),
    ("category",),
    ("task", "property"),
    ("quantum",),
    ("complexity",),
    ("effective_complexity",),
    ("task", "complexity"),
)
FLOORS = ("zero", "mode")
NOT_ANSWERED = {"refused": "refused", "length": "truncated", "error": "failed", "unpaid": "unpaid"}
"""Finish reasons of items without an answer, and what they are called in the tables."""


@dataclass(frozen=True)
class Line:
    """One group of items.

    `accuracy` (0…1) is of the answered items, with the ends of Wilson's 95 % interval; `accuracy_of_all` counts
    refused, truncated, failed and unpaid items as wrong. `floors` (the priors) and `ceilings` (other runs, such as the
    pixel reader's) are accuracies on the same answered items; a run that lacks some of them is left out. `skill` is
    (accuracy − floor) / (1 − floor) with the better of the priors. With the score `error_in_quanta`, `accuracy` is None
    and `median_error` says how far off the readable answers are.
    """

    group: dict[str, Any]
    n: int
    answered: int
    refused: int
    truncated: int
    failed: int
    unpaid: int
    right: int
    accuracy: float | None
    low: float
    high: float
    accuracy_of_all: float | None
    low_of_all: float
    high_of_all: float
    floors: dict[str, float]
    ceilings: dict[str, float]
    skill: float | None
    median_error: float | None
    unread: int

    def to_dict(self) -> dict[str, Any]:
        """The figures by their names, rounded to six decimals."""
        return {name: rounded(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Table:
    """Lines of one grouping, in the order of the data set's structure. `name` says what was grouped."""

    by: tuple[str, ...]
    score: str
    extraction: str
    lines: tuple[Line, ...]

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def name(self) -> str:
        """`all`, or the names of the groups."""
        return " × ".join(self.by) or "all"

    def to_dict(self) -> dict[str, Any]:
        """A JSON value with the same figures."""
        return {
            "by": list(self.by),
            "score": self.score,
            "extraction": self.extraction,
            "lines": [line.to_dict() for line in self.lines],
        }

    def markdown(self) -> str:
        """The table as text; shares in per cent."""
        if self.score == "error_in_quanta":
            heads = [*(self.by or ("",)), "items", "readable", "median error in quanta"]
            return markdown_table(
                heads,
                [
                    [*_names(line), line.n, line.answered - line.unread, number(line.median_error)]
                    for line in self
                ],
            )
        floors = list(self.lines[0].floors) if self.lines else []
        ceilings = list(dict.fromkeys(name for line in self for name in line.ceilings))
        heads = [*(self.by or ("",)), "items", "answered", "right %", "95 %", "of all %"]
        heads += [f"floor: {name} %" for name in floors] + ["skill"] + [f"{name} %" for name in ceilings]
        body = []
        for line in self:
            interval = f"{100 * line.low:.1f}–{100 * line.high:.1f}" if line.answered else "–"
            cells = [*_names(line), line.n, line.answered, per_cent(line.accuracy), interval]
            cells += [per_cent(line.accuracy_of_all)] + [per_cent(line.floors.get(name)) for name in floors]
            cells += [number(line.skill)] + [per_cent(line.ceilings.get(name)) for name in ceilings]
            body.append(cells)
        return markdown_table(heads, body)


def correct(rows: Sequence[Row], score: str = "exact", extract: str = "none") -> list[float | None]:
    """One score of each row; None where there is no answer, and for `error_in_quanta` where it has no number."""
    if score not in answers.SCORES:
        raise InputError(f"no score is called {score!r}: choose from {', '.join(answers.SCORES)}")
    return [
        answers.score(score, said_in(row, extract), row["answer"], row["quantum"])
        if is_answered(row)
        else None
        for row in rows
    ]


def table(
    rows: Sequence[Row],
    by: str | Sequence[str] = (),
    *,
    score: str = "exact",
    extract: str = "none",
    references: Mapping[str, Sequence[Row]] | None = None,
) -> Table:
    """Scores of a run by some of `GROUPS`; `references` are rows of other runs on the same items, by name.

    Floors and references get the same score; a reference's own text is taken as it is. The floors' answers are drawn
    from all rows, so that a group's floor does not depend on the grouping.
    """
    by = (by,) if isinstance(by, str) else tuple(by)
    unknown = [name for name in by if name not in GROUPS]
    if unknown:
        raise InputError(f"no group is called {unknown[0]!r}: choose from {', '.join(GROUPS)}")
    scores = Scored.of(rows, score, extract, references or {})
    return scores.table(by)


@dataclass(frozen=True)
class Scored:
    """The rows of a run with each row's score, that of the priors, and by id that of the runs beside it."""

    rows: Sequence[Row]
    score: str
    extraction: str
    own: list[float | None]
    floors: dict[str, list[float | None]]
    ceilings: dict[str, dict[str, float | None]]

    @classmethod
    def of(
        cls, rows: Sequence[Row], score: str, extract: str, references: Mapping[str, Sequence[Row]]
    ) -> Scored:
        floors = {
            kind: [
                answers.score(score, said, row["answer"], row["quantum"])
                for said, row in zip(predictions(kind, rows), rows, strict=True)
            ]
            for kind in FLOORS
        }
        ceilings = {
            name: dict(zip((row["id"] for row in other), _of_all(correct(other, score)), strict=True))
            for name, other in references.items()
        }
        return cls(rows, score, extract, correct(rows, score, extract), floors, ceilings)

    def table(self, by: tuple[str, ...]) -> Table:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, row in enumerate(self.rows):
            groups.setdefault(tuple(row[name] for name in by), []).append(place)
        # Numbers in their order, names in the order of the data set.
        order = {key: place for place, key in enumerate(groups)}
        numeric = {name for name in by if name not in ("task", "category", "property")}
        firsts = [{key[i]: None for key in order} for i in range(len(by))]
        ranks = [{value: rank for rank, value in enumerate(first)} for first in firsts]
        keys = sorted(
            groups,
            key=lambda key: [
                float(value) if name in numeric else ranks[i][value]
                for i, (name, value) in enumerate(zip(by, key, strict=True))
            ],
        )
        lines = tuple(self.line(dict(zip(by, key, strict=True)), groups[key]) for key in keys)
        return Table(by, self.score, self.extraction, lines)

    def line(self, group: dict[str, Any], places: list[int]) -> Line:
        rows = [self.rows[place] for place in places]
        finishes = [
            "answered" if is_answered(row) else NOT_ANSWERED.get(row.get("finish") or "error", "failed")
            for row in rows
        ]
        counts = {name: finishes.count(name) for name in NOT_ANSWERED.values()}
        answered = [place for place in places if is_answered(self.rows[place])]
        if self.score == "error_in_quanta":
            errors = [value for place in answered if (value := self.own[place]) is not None]
            error = float(median(errors)) if errors else None
            unread = len(answered) - len(errors)
            return Line(
                group, len(rows), len(answered), **counts, right=0, accuracy=None, low=0.0, high=1.0,
                accuracy_of_all=None, low_of_all=0.0, high_of_all=1.0, floors={}, ceilings={}, skill=None,
                median_error=error, unread=unread,
            )  # fmt: skip
        right = sum(self.own[place] == 1.0 for place in answered)
        accuracy = right / len(answered) if answered else None
        floors = (
            {kind: mean([values[place] for place in answered]) for kind, values in self.floors.items()}
            if answered
            else {}
        )
        ceilings = {}
        for name, values in self.ceilings.items():
            theirs = [values.get(self.rows[place]["id"], -1.0) for place in answered]
            if theirs and -1.0 not in theirs:
                ceilings[name] = mean(theirs)
        floor = max(floors.values(), default=0.0)
        skill = (accuracy - floor) / (1 - floor) if accuracy is not None and floor < 1 else None
        low, high = wilson(right, len(answered))
        low_of_all, high_of_all = wilson(right, len(rows))
        return Line(
            group, len(rows), len(answered), **counts, right=right, accuracy=accuracy, low=low, high=high,
            accuracy_of_all=right / len(rows), low_of_all=low_of_all, high_of_all=high_of_all, floors=floors,
            ceilings=ceilings, skill=skill, median_error=None, unread=0,
        )  # fmt: skip


def is_answered(row: Row) -> bool:
    """Whether a row has a response that counts: not refused, cut off, failed or unpaid."""
    return (row.get("finish") or "stop") not in NOT_ANSWERED and row.get("text") is not None


def said_in(row: Row, extraction: str) -> str | None:
    """What a row's response says by an extraction. Raises `InputError` where "llm" is asked for and not stored."""
    if extraction == "llm":
        if "extracted" not in row:
            raise InputError(
                f"{row['id']}: no extracted answer is stored; extract with a language model first"
            )
        extracted: str | None = row["extracted"]
        return (
            None if extracted is None or extracted.strip().rstrip(".").lower() in ("none", "") else extracted
        )
    return answers.extract(row.get("text"), extraction, kind=answers.kind_of(row["answer"]))


def _of_all(values: list[float | None]) -> list[float | None]:
    return [0.0 if value is None else value for value in values]


def mean(values: Sequence[float | None]) -> float:
    """The mean; None counts as 0, and of nothing it is 0."""
    counted = [value or 0.0 for value in values]
    return sum(counted) / len(counted) if counted else 0.0


def rounded(value: Any) -> Any:
    """A JSON value with its floats to six decimals."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _names(line: Line) -> list[str]:
    return [str(value) for value in line.group.values()] or ["all"]


def per_cent(value: float | None) -> str:
    """A share (0 … 1) in per cent, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: float | None) -> str:
    """Two decimals, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def markdown_table(heads: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)

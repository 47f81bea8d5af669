"""One question with its picture's description: a pure function of the seed and its place in the benchmark."""

from __future__ import annotations

import builtins
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import Any

from paperworks.errors import InputError
from paperworks.grab import layout
from paperworks.grab.design import CATEGORY, Cell, Slot, find_cell
from paperworks.grab.draws import Draws
from paperworks.grab.operations import effective_complexity
from paperworks.grab.questions import Truth, format_answer, question
from paperworks.grab.rules import Refused, check
from paperworks.grab.solve import solve, target
from paperworks.grab.truths import truth as true_value

ATTEMPTS = 500


@dataclass(frozen=True)
class Item:
    """One question.

    `truth` is not rounded: "p/q" of a fraction, the repr of a float, "[a, b]" or the equation. `spec` describes the
    picture (members, operations, axes, style, asked). `margins` says by rule how far the item is from being refused.
    `image_sha256` (of width, height and RGB bytes) is "" until the picture has been drawn.
    """

    id: str
    task: str
    property: str
    category: str
    complexity: int
    effective_complexity: int
    question: str
    answer: str
    truth: str
    quantum: str
    spec: Mapping[str, Any]
    margins: Mapping[str, float]
    image: str
    image_sha256: str = ""

    @builtins.property
    def index(self) -> int:
        """The item's number in its cell."""
        return int(self.id.rsplit("-", 1)[1])


def canonical(item: Item, *, image_hash: bool = True) -> str:
    """The item as one line of JSON with sorted keys; without the image's hash where `image_hash` is false."""
    row = {field.name: getattr(item, field.name) for field in fields(item)}
    if not image_hash:
        del row["image_sha256"]
    return json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_row(row: Mapping[str, Any], where: str) -> Item:
    """An item from a line of `items.jsonl`. `InputError` names the fields that are missing."""
    names = [field.name for field in fields(Item)]
    missing = [name for name in names if name not in row and name != "image_sha256"]
    if missing:
        raise InputError(f"{where}: {', '.join(missing)} missing; it has {', '.join(sorted(row))}")
    return Item(**{name: row[name] for name in names if name in row})


@lru_cache(maxsize=4096)
def _order(seed: int, task: str, prop: str, group: str, of: int) -> tuple[int, ...]:
    """Which stratum of the answers each of the `of` questions has."""
    order = list(range(of))
    Draws(seed, task, prop, "strata", group).shuffle(order)
    return tuple(order)


def stratum(seed: int, slot: Slot) -> tuple[int, int, int]:
    """The stratum of a slot among K answers: first and last (numbers of answers from 0), and K.

    Every answer has ⌊n / K⌋ or ⌈n / K⌉ of n questions; where K > n each question has its own part of the answers.
    """
    cell = find_cell(slot.task, slot.property)
    group = f"{slot.quantum}/{slot.complexity}" if slot.task == "transform" else slot.quantum
    if slot.property == "equation":
        count = 20
    elif slot.property == "stationary-points":
        count = len(_pairs())
    else:
        low, high = cell.range(slot.quantum, slot.complexity)
        count = int((high - low) / Fraction(slot.quantum)) + 1
    part = _order(seed, slot.task, slot.property, group, slot.of)[slot.place]
    first = part * count // slot.of
    return first, max(first, (part + 1) * count // slot.of - 1), count


@lru_cache(maxsize=1)
def _pairs() -> tuple[tuple[int, int], ...]:
    """Stationary points p < r of -10 … 10, two or more apart, sorted by their middle."""
    pairs = [(p, r) for p in range(-10, 11) for r in range(p + 2, 11)]
    return tuple(sorted(pairs, key=lambda pair: (sum(pair), pair)))


def draw_answer(seed: int, slot: Slot, cell: Cell, draws: Draws) -> Any:
    """An answer of the slot's stratum: a Fraction, a pair of integers, or the leading coefficient of an equation."""
    first, last, _ = stratum(seed, slot)
    number = draws.integer(first, last)
    if slot.property == "stationary-points":
        return _pairs()[number]
    if slot.property == "equation":
        return Fraction(number - 10 if number < 10 else number - 9)
    low, _ = cell.range(slot.quantum, slot.complexity)
    return low + number * Fraction(slot.quantum)


def make_item(seed: int, slot: Slot, *, legacy: bool = False) -> Item:
    """The item of a slot: the same for the same seed and slot on any machine, in any order, in any process.

    `legacy` restores habits of the official set for comparison: operations that change nothing, sines with negative
    amplitude and frequency, no rules of resolvability. Raises `InputError` where 500 attempts are refused: it names the
    property, the complexity and the rule that refused most.
    """
    return attempt_item(seed, slot, legacy=legacy)[0]


def attempt_item(seed: int, slot: Slot, *, legacy: bool = False) -> tuple[Item, Counter[str]]:
    """`make_item`, and how often each rule refused on the way."""
    cell = find_cell(slot.task, slot.property)
    refusals: Counter[str] = Counter()
    last = ""
    for attempt in range(ATTEMPTS):
        draws = Draws(seed, slot.task, slot.property, slot.index, attempt)
        try:
            return _attempt(seed, slot, cell, draws, legacy), refusals
        except Refused as refused:
            refusals[refused.rule] += 1
            last = refused.reason
    rule, times = refusals.most_common(1)[0]
    raise InputError(
        f"{slot.task} {slot.property}, complexity {slot.complexity}: no item in {ATTEMPTS} attempts (seed {seed}, "
        f"index {slot.index}); {rule} refused {times} of them (last: {last}); use another seed"
    )


def _attempt(seed: int, slot: Slot, cell: Cell, draws: Draws, legacy: bool) -> Item:
    answer = draw_answer(seed, slot, cell, draws)
    simple = isinstance(answer, Fraction)
    wanted = target(answer, slot, draws, legacy=legacy) if simple else Fraction(0)
    spec = solve(slot, answer, wanted, draws, legacy=legacy)
    spec["style"] = layout.style(slot.task, slot.property, spec["members"], draws)
    value = true_value(spec, slot.property)
    if (
        simple
        and slot.property != "equation"
        and format_answer(value, slot.quantum) != format_answer(answer, slot.quantum)
    ):
        raise Refused("target", f"{value} is not {answer}")
    margins = {} if legacy else check(spec, slot.task, slot.property, slot.quantum, value)
    return _item(slot, spec, value, margins)


def _item(slot: Slot, spec: Mapping[str, Any], value: Truth, margins: Mapping[str, float]) -> Item:
    return Item(
        id=slot.id,
        task=slot.task,
        property=slot.property,
        category=CATEGORY[slot.property],
        complexity=slot.complexity,
        effective_complexity=(
            effective_complexity(spec["operations"]) if slot.task == "transform" else slot.complexity
        ),
        question=question(slot.task, slot.property, spec, slot.quantum),
        answer=format_answer(value, slot.quantum),
        truth=written(value),
        quantum=slot.quantum,
        spec=spec,
        margins=rounded(margins),
        image=f"images/{slot.id}.png",
    )


def rounded(margins: Mapping[str, float]) -> dict[str, float]:
    """Margins with four digits, as the last bits of a sine may differ between machines."""
    return {rule: float(f"{margin:.4g}") for rule, margin in sorted(margins.items())}


def written(value: Truth) -> str:
    """A truth as text: "p/q", the repr of a float, "[a, b]", or itself."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    return repr(value) if isinstance(value, float) else str(value)

"""Other questions about the picture of a function item: one curve named by its colour, a ladder of five rungs (ours).

Averaging over curves and finding one's way in a crowded picture are two difficulties; these questions ask for them one
by one: the axis, how many curves, one height, one curve's property, the mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from paperworks.errors import InputError
from paperworks.grab import layout
from paperworks.grab.draws import Draws
from paperworks.grab.families import domain, value, values
from paperworks.grab.items import Item, rounded, written
from paperworks.grab.questions import LADDER_QUESTIONS, format_answer, question
from paperworks.grab.rules import Refused, check, off_boundary
from paperworks.grab.truths import truth

COLOUR = "colour"
RUNGS = ("limits", "count", "value")
"""The rungs below `COLOUR` and the item itself; a variant's id ends with its name."""
STEEP = 2.0
CLEAR = 0.5
"""Heights are asked for where the slope is under `STEEP` and other curves are `CLEAR` away, if there is such a one."""


def one_colour(item: Item) -> Item:
    """The item's question about one of its curves, named by its colour; the picture is the same.

    The curve is the first of a fixed random order whose own value passes the rules. Raises `InputError` where none
    does, or where the item is not of the task function.
    """
    _functions_only(item)
    members = item.spec["members"]
    order = list(range(len(members)))
    Draws(item.id, item.truth, COLOUR).shuffle(order)
    for member in order:
        asked = {"member": member, "colour": _colour(item.spec, member)}
        spec = dict(item.spec) | {"asked": asked}
        exact = truth(spec, item.property)
        try:
            margins = check(spec, item.task, item.property, item.quantum, exact)
        except Refused:
            continue
        return replace(
            item,
            id=f"{item.id}-{COLOUR}",
            question=question(item.task, item.property, spec, item.quantum),
            answer=format_answer(exact, item.quantum),
            truth=written(exact),
            spec=spec,
            margins=rounded(margins),
            image=f"images/{item.id}-{COLOUR}.png",
            image_sha256="",
        )
    raise InputError(
        f"{item.id}: none of its {len(members)} functions can be asked about alone at {item.quantum}"
    )


def ladder(item: Item) -> list[Item]:
    """Five questions about one picture: limits of x, number of curves, one height, one curve's property, the mean.

    The first rung that a model fails says what it cannot do. Raises `InputError` as `one_colour` does.
    """
    _functions_only(item)
    return [_rung(item, name) for name in RUNGS] + [one_colour(item), item]


def first_failed(
    rows: Sequence[Mapping[str, Any]], *, score: str = "exact", extract: str = "none"
) -> dict[str, int]:
    """Of the ladders that were answered as a whole, how many fail first at each rung; "none" fail at none."""
    from paperworks.grab.scores import correct

    right = dict(zip((str(row["id"]) for row in rows), correct(rows, score, extract), strict=True))
    names = (*RUNGS, COLOUR, "mean")
    counts = dict.fromkeys((*names, "none"), 0)
    for id in right:
        if not id.endswith(f"-{RUNGS[0]}"):
            continue
        base = id.removesuffix(f"-{RUNGS[0]}")
        rungs = [right.get(base if name == "mean" else f"{base}-{name}") for name in names]
        if None not in rungs:
            counts[
                next((name for name, value in zip(names, rungs, strict=True) if value != 1.0), "none")
            ] += 1
    return counts


def variant(item: Item, name: str) -> Item:
    """The variant of an item whose id ends with `-name`."""
    return one_colour(item) if name == COLOUR else _rung(item, name)


VARIANTS = (COLOUR, *RUNGS)


def _functions_only(item: Item) -> None:
    if item.task != "function":
        raise InputError(
            f"{item.id}: only questions about functions can be asked of one curve; this is {item.task}"
        )


def _colour(spec: Mapping[str, Any], member: int) -> str:
    return str(layout.COLOUR_NAMES[spec["style"]["colours"][member]])


def _rung(item: Item, name: str) -> Item:
    words: dict[str, str] = {}
    asked: dict[str, Any] = {"rung": name}
    exact: Fraction | float | tuple[Fraction, Fraction]
    if name == "limits":
        low, high = (Fraction(end) for end in item.spec["axes"]["x"])
        exact = (low, high)
    elif name == "count":
        exact = Fraction(len(item.spec["members"]))
    else:
        member, x = _readable_place(item)
        exact = value(item.spec["members"][member], Fraction(x))
        words = {"colour": _colour(item.spec, member), "x": str(x)}
        asked |= {"member": member, "x": str(x), "colour": words["colour"]}
    return replace(
        item,
        id=f"{item.id}-{name}",
        property=f"ladder-{name}",
        category="Ladder",
        question=LADDER_QUESTIONS[name].format(**words),
        answer=format_answer(exact, "1"),
        truth=written(exact),
        quantum="1",
        spec=dict(item.spec) | {"asked": asked},
        margins={} if isinstance(exact, tuple) else rounded({"R1": off_boundary(exact, "1") or 0.0}),
        image=f"images/{item.id}-{name}.png",
        image_sha256="",
    )


def _readable_place(item: Item) -> tuple[int, int]:
    """A curve and an integer x at which its height can be read: off rounding boundaries; flat and free if possible."""
    members = item.spec["members"]
    low, high = (float(end) for end in item.spec["axes"]["y"])
    x = np.arange(-9.0, 10.0)
    heights = np.stack([values(member, x) for member in members])
    slopes = np.stack([values(member, x + 0.05) - values(member, x - 0.05) for member in members]) / 0.1
    ends = np.array([[float(end) for end in domain(member)] for member in members])
    there = (x > ends[:, :1]) & (x < ends[:, 1:])
    inside = there & (heights > low + 0.4) & (heights < high - 0.4)
    off = np.abs(heights - np.round(heights))
    best: list[tuple[bool, bool, int, int]] = []
    for member, column in zip(*np.nonzero(inside & (off <= 0.3)), strict=True):
        others = np.abs(heights[:, column] - heights[member, column])
        others[member] = np.inf
        free = bool((others > CLEAR).all())
        best.append((free, bool(abs(slopes[member, column]) < STEEP), int(member), int(x[column])))
    if not best:
        raise InputError(f"{item.id}: no height of its functions can be asked for at an integer x")
    most = max(entry[:2] for entry in best)
    return Draws(item.id, item.truth, "value").choice([entry[2:] for entry in best if entry[:2] == most])

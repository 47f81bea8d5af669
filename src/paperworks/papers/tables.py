"""Units of a table's columns: `Latency (ms)`, `Params (M)` and `GPU days` say what the bare numbers below them are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from paperworks.papers.quantities import Quantity
from paperworks.papers.units import Unit, things_in, unit_at

_MAGNITUDES = {
    "K": 1e3,
    "k": 1e3,
    "M": 1e6,
    "B": 1e9,
    "T": 1e12,
    "million": 1e6,
    "billion": 1e9,
    "thousand": 1e3,
}
_MAGNITUDES |= {"만": 1e4, "억": 1e8, "조": 1e12}

_NOT_IN_WORDS = {"length", "mass", "points", "times", "rank", "bits", "energy", "power", "angle", "force"}
_COUNTED = {
    "parameter",
    "token",
    "image",
    "video",
    "frame",
    "person",
    "layer",
    "step",
    "question",
    "language",
}


def with_column_units(
    text: str, start: int, header: Sequence[str], figures: Sequence[Quantity]
) -> list[Quantity]:
    """The figures of a row, `text` from `start` on, with the units of its table's header where they have none."""
    found: list[Quantity] = []
    place = start
    for column, cell in enumerate(text.split(" | ")):
        here = [figure for figure in figures if place <= figure.start < place + len(cell)]
        if here and column < len(header):
            factor, unit = header_unit(header[column])
            here = [_with(figure, factor, unit) for figure in here]
        found += here
        place += len(cell) + 3
    return found


def header_unit(header: str) -> tuple[float, Unit | None]:
    """The factor and the unit that a column's header gives, `(1.0, None)` for none.

    `10 km` is a condition and no unit; `ms/token` counts as milliseconds, `tokens/s` as nothing that a cell could lack.
    """
    factor, unit = 1.0, None
    for inside in re.findall(r"[(\[]([^)\]]{1,24})[)\]]", header):
        first = inside.split("/")[0].strip()
        for word in (
            [inside.strip(), first] if "/" in inside else [inside.strip(), *re.split(r"[\s,]+", inside)]
        ):
            if word in _MAGNITUDES:
                factor = _MAGNITUDES[word]
            elif word and unit is None and (found := unit_at(word, 0)) and found[1] == len(word):
                unit = found[0]
    bare = re.sub(r"[(\[].*", "", header)
    if re.search(r"\d", bare):
        return factor, unit
    if unit is None:
        for match in re.finditer(r"(?<![A-Za-z가-힣%@-])(?:[A-Za-z]{2,}|[가-힣]+|%)", bare):
            found = unit_at(bare, match.start())
            if found and found[0].kind not in _NOT_IN_WORDS and not bare[: match.start()].endswith("per "):
                unit = found[0]
                break
    if unit is None and (things := things_in(bare)) and things[-1][0] in _COUNTED:
        unit = Unit("count", thing=things[-1][0])
    return factor, unit


def _with(figure: Quantity, factor: float, unit: Unit | None) -> Quantity:
    if figure.unit.kind or figure.factors:
        return figure
    if factor != 1.0 and not figure.magnitude:
        figure = figure._replace(value=figure.value * factor, step=figure.step * factor, magnitude=True)
    return figure._replace(unit=unit) if unit is not None else figure

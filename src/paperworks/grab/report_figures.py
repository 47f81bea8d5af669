"""The figures of a run's page: accuracy over complexity between floor and ceiling, and how far off the answers are."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paperworks.grab.tables import Line
from paperworks.html_page import png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN, FLOOR, OTHERS = "#2a6f97", "#8b949e", ("#2f9e44", "#e8590c", "#7048e8", "#c2255c")
PUBLISHED = "#d0b49f"
ERROR_BINS = (0, 1, 2, 5, 10, 20, 50)
"""Upper ends of the bins of errors in quanta; the first bin is no error at all."""
ERROR_LABELS = ("0", "≤ 1", "≤ 2", "≤ 5", "≤ 10", "≤ 20", "≤ 50", "> 50")


def over_complexity(
    lines: Sequence[Line], name: str, published: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Per cent right over complexity with 95 % intervals; `lines` are of a table by complexity.

    The floor is the better prior at each complexity; `published` are curves of the paper's page, per cent from
    complexity 0 on.
    """
    figure, axes = _axes("complexity", "right, %")
    shown = [line for line in lines if line.accuracy is not None]
    at = [line.group["complexity"] for line in shown]
    for model, values in (published or {}).items():
        known = [(c, value) for c, value in enumerate(values) if c in at]
        axes.plot(
            *zip(*known, strict=True), color=PUBLISHED, linewidth=1.2, label=f"{model}, published", zorder=1
        )
    floors = [100 * max(line.floors.values(), default=0.0) for line in shown]
    axes.plot(
        at, floors, color=FLOOR, linestyle="--", linewidth=1.4, label="floor: the better prior", zorder=2
    )
    for colour, other in zip(OTHERS, _others(shown), strict=False):
        known = [
            (c, 100 * line.ceilings[other])
            for c, line in zip(at, shown, strict=True)
            if other in line.ceilings
        ]
        axes.plot(
            *zip(*known, strict=True), color=colour, linestyle=":", marker=".", label=_short(other), zorder=2
        )
    right = [100 * (line.accuracy or 0.0) for line in shown]
    below = [value - 100 * line.low for value, line in zip(right, shown, strict=True)]
    above = [100 * line.high - value for value, line in zip(right, shown, strict=True)]
    axes.errorbar(
        at,
        right,
        yerr=(below, above),
        color=OWN,
        marker="o",
        markersize=4,
        capsize=2,
        label=_short(name),
        zorder=3,
    )
    axes.set(xticks=at, ylim=(0, 103))
    figure.legend(frameon=False, loc="outside upper left", fontsize="small", ncols=1)
    return figure


def error_histogram(errors: Mapping[str, Sequence[float | None]]) -> Figure:
    """How far the answers are off, in units of the asked precision: per cent of each run's answers in `ERROR_BINS`.

    None is an answer without a number. The first run is drawn in full, the others beside it.
    """
    figure, axes = _axes("error in quanta (units of the asked precision)", "of the answers, %")
    labels = (*ERROR_LABELS, "none")
    width = 0.8 / max(1, len(errors))
    for place, (colour, (name, values)) in enumerate(zip((OWN, *OTHERS), errors.items(), strict=False)):
        shares = [100 * count / max(1, len(values)) for count in binned(values)]
        left = [x - 0.4 + (place + 0.5) * width for x in range(len(labels))]
        axes.bar(left, shares, width, color=colour, label=_short(name), alpha=1 if place == 0 else 0.55)
    axes.set_xticks(range(len(labels)), labels, fontsize="small")
    if len(errors) > 1:
        figure.legend(frameon=False, loc="outside upper left", fontsize="small")
    return figure


def binned(values: Sequence[float | None]) -> list[int]:
    """How many errors are in each bin of `ERROR_LABELS`, and how many are None."""
    counts = [0] * (len(ERROR_LABELS) + 1)
    for value in values:
        if value is None:
            counts[-1] += 1
        else:
            counts[sum(value > end for end in ERROR_BINS)] += 1
    return counts


def drawn(figure: Figure) -> str:
    """The figure as an `<img src>`, sharp on paper."""
    return f"data:image/png;base64,{b64encode(png(figure, dpi=200)).decode()}"


def _others(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line.ceilings))


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#d0d7de", linewidth=0.5)
    axes.set_axisbelow(True)
    return figure, axes

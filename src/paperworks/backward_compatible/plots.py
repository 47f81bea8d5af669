"""The figures of the claims: matplotlib figures that a reader takes in at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

METHOD, PLAIN, WEAK = "#1f6feb", "#8b949e", "#d1d5da"


def bars(
    groups: Mapping[str, Sequence[float]], ylabel: str, title: str, *, method: Sequence[str], line: str = ""
) -> Figure:
    """A bar a group (the mean) with a dot a seed; those of `method` in colour, a dashed line at the mean of `line`."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for x, (name, values) in enumerate(groups.items()):
        mean = float(np.mean(values))
        axes.bar(x, mean, width=0.62, color=METHOD if name in method else WEAK, zorder=2)
        offsets = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
        axes.scatter(x + np.asarray(offsets), values, s=14, color="#24292f", zorder=4)
        axes.annotate(
            f"{mean:.1f}", (x, 0), xytext=(0, 4), textcoords="offset points", ha="center", zorder=5,
            color="white" if name in method else "#24292f", fontweight="bold",
        )  # fmt: skip
    if line:
        axes.axhline(float(np.mean(groups[line])), color="#57606a", linestyle="--", linewidth=1, zorder=3)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontsize=10.5)
    _plain(axes)
    return figure


def pairs(
    left: Sequence[float], right: Sequence[float], names: tuple[str, str], ylabel: str, title: str
) -> Figure:
    """Two measurements of each seed joined by a line, and beside them their difference with its standard error."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes, other = figure.subplots(1, 2, width_ratios=(2, 1))
    for a, b in zip(left, right, strict=True):
        axes.plot((0, 1), (a, b), color=PLAIN, marker="o", markersize=5, markerfacecolor=METHOD, linewidth=1)
    axes.set_xticks((0, 1), names)
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontsize=10.5)
    differences = np.subtract(right, left)
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0
    other.axhline(0, color="#57606a", linewidth=1, linestyle="--")
    other.scatter(np.linspace(-0.15, 0.15, len(differences)), differences, s=14, color="#24292f")
    other.errorbar(0, differences.mean(), error, fmt="D", color=METHOD, capsize=5, zorder=3)
    other.set_xticks((0,), [f"{names[1]} − {names[0]}\nmean ± standard error"])
    other.set_xlim(-0.5, 0.5)
    for part in (axes, other):
        _plain(part)
    return figure


def matrices(named: Mapping[str, NDArray[np.float64]], models: Sequence[str], title: str) -> Figure:
    """Compatibility matrices side by side; an entry that does not beat its column's diagonal is framed in red."""
    figure = Figure(figsize=(3.2 * len(named), 3.5), layout="constrained")
    for axes, (name, matrix) in zip(
        np.atleast_1d(figure.subplots(1, len(named))), named.items(), strict=True
    ):
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
        for i, j in zip(*np.tril_indices(len(matrix)), strict=True):
            dark = matrix[i, j] > 60
            axes.text(
                j, i, f"{matrix[i, j]:.1f}", ha="center", va="center", color="white" if dark else "black"
            )
            if j < i and not matrix[i, j] > matrix[j, j]:
                axes.add_patch(_frame(float(j), float(i)))
        axes.set_xticks(range(len(models)), [f"{model}\ngallery" for model in models], fontsize=8)
        axes.set_yticks(range(len(models)), [f"{model}\nqueries" for model in models], fontsize=8)
        axes.set_title(name, fontsize=10)
        axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=10.5, x=0.01, ha="left")
    return figure


def curves(
    x: Sequence[float],
    lines: Mapping[str, NDArray[np.float64]],
    levels: Mapping[str, float],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
) -> Figure:
    """Lines `[seeds, len(x)]` as means with the range of the seeds as a band, and horizontal levels."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for colour, (name, values) in zip((METHOD, PLAIN), lines.items(), strict=False):
        axes.plot(x, values.mean(axis=0), marker="o", markersize=4, color=colour, label=name)
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    for style, (name, value) in zip(("--", ":", "-."), levels.items(), strict=False):
        axes.axhline(value, color="#24292f", linewidth=1, linestyle=style, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.legend(frameon=False, fontsize=8.5)
    _plain(axes)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eaeef2", zorder=0)
    axes.set_axisbelow(True)


def _frame(column: float, row: float) -> Rectangle:
    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor="#cf222e", linewidth=2)

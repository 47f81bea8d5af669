"""Figures: how a run went, and bars of errors with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD, OTHER = "#2a6f97", "#b8b8b8"


def trajectory(info: Mapping[str, Any]) -> Figure:
    """The driver's and the counter's counts and the loss of every step of a run (the mean over its pictures)."""
    figure, axes = _figure(2)
    steps = info["trajectory"]
    target = float(np.mean(info["counts"]))
    at = [step["step"] for step in steps]
    static = info["settings"]["static_scale"]
    axes[0].axhline(target, color="black", linewidth=1, linestyle=":", label="asked")
    axes[0].plot(
        at, [np.mean(step["mass"]) / static for step in steps], color=OTHER, label="mass / static scale"
    )
    if steps[0]["counts"] is not None:
        axes[0].plot(at, [np.mean(step["counts"]) for step in steps], color=METHOD, label=str(info["driver"]))
    axes[1].plot(at, [step["loss"] for step in steps], color=METHOD)
    for one in axes:
        one.axvline(info["best_step"], color="black", linewidth=0.8, alpha=0.4)
        one.set_xlabel("step")
    axes[0].set_ylabel("objects")
    axes[1].set_ylabel("loss")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def errors(values: Mapping[str, Any], title: str, method: Sequence[str] = ()) -> Figure:
    """Mean absolute errors of several arms, a dot a run; those of `method` in colour."""
    figure, (axes,) = _figure(1)
    rng = np.random.default_rng(0)
    for place, (name, own) in enumerate(values.items()):
        axes.bar(place, np.mean(own), width=0.6, color=METHOD if name in method else OTHER)
        axes.plot(place + rng.uniform(-0.2, 0.2, len(own)), own, "o", color="black", markersize=3, alpha=0.5)
    axes.set_xticks(range(len(values)), [fill(name, 14) for name in values], fontsize=8)
    axes.set_ylabel("objects off, by the judge")
    axes.set_title(title, fontsize=10)
    return figure


def _figure(n: int) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5 if n == 2 else 6.5, 3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, n))
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes

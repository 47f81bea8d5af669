"""The report of `check`: what it holds, and how it is shown as JSON, text, figures and one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paperworks.backward_compatible.pairs import Screening
from paperworks.files import replacing
from paperworks.html_page import data_uri, png, write_page
from paperworks.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Recommendation = Literal["rotate", "blend", "re-embed", "keep-old", "do-not"]

OPTIONS = ("keep-old", "rotate", "blend", "re-embed")


@dataclass(frozen=True)
class CurvePoint:
    """The primary metric at one size: of the sample fitted on, or of the gallery searched.

    Its intervals are the bootstrap's alone, without the jackknife over items.
    """

    size: int
    keep_old: Interval
    rotate: Interval


@dataclass(frozen=True)
class CheckReport:
    """What `check` found. `metric` is the primary one; every metric is a share between 0 and 1.

    `options[option][metric]` holds the estimates, `differences["rotate - keep-old"]` and so on the paired ones in the
    primary metric, `fold_spread` the standard deviation over the folds of rotate's. `enough_pairs` is the smallest
    number of pairs from which on the learning curve stays within `margin` of its end, `None` if it still rises there.
    """

    recommendation: Recommendation
    reason: str
    metric: str
    k: int
    pairs: int
    folds: int
    seed: int
    margin: float
    queries: int
    gallery_size: int
    blend_weight: float
    options: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Interval]
    known_item: Mapping[str, Interval]
    fold_spread: float
    learning_curve: Sequence[CurvePoint]
    enough_pairs: int | None
    gallery_curve: Sequence[CurvePoint]
    screening: Screening
    warnings: Sequence[str] = field(default_factory=list)

    @property
    def go(self) -> bool:
        """Whether new queries should search the old index: rotate or blend."""
        return self.recommendation in ("rotate", "blend")

    def to_dict(self) -> dict[str, Any]:
        """Everything but the per-pair arrays, as JSON's own types."""
        names = (name for name in self.__dataclass_fields__ if name != "screening")
        return {
            "format": 1,
            "go": self.go,
            **{name: _plain(getattr(self, name)) for name in names},
            "pair_test": self.screening.to_dict(),
        }

    def by_gallery(self) -> str:
        """How rotate's primary metric moves with the gallery, in one line."""
        sizes = ", ".join(
            f"{100 * point.rotate.value:.1f} % among {point.size:,}" for point in self.gallery_curve
        )
        return f"rotate by gallery size: {sizes} items; nothing is claimed beyond"

    def by_pairs(self) -> str:
        """How many pairs are enough, in one line."""
        enough = "more than were given" if self.enough_pairs is None else f"{self.enough_pairs:,}"
        return f"pairs that come within {100 * self.margin:.1f} points of the learning curve's end: {enough}"

    def summary(self) -> str:
        """The decision, the four options and the warnings, as lines of text."""
        lines = [
            f"{self.recommendation}: {self.reason}",
            f"{self.metric} on {self.queries:,} held-out queries, galleries of {self.gallery_size:,} items "
            f"({self.pairs:,} pairs, {self.folds} folds, seed {self.seed}; 95 % intervals by bootstrap over queries)",
        ]
        lines += [f"  {option:<9} {self.options[option][self.metric].percent()}" for option in OPTIONS]
        lines += [f"  {self.by_gallery()}", f"  {self.by_pairs()}"]
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Interval | CurvePoint):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def print_report(report: CheckReport) -> None:
    """The report as a table on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold {'green' if report.go else 'red'}]{report.recommendation}[/]: {report.reason}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", *report.options["rotate"]):
        table.add_column(heading)
    for option in OPTIONS:
        table.add_row(option, *(e.percent() for e in report.options[option].values()))
    console.print(table)
    console.print(
        f"{report.pairs:,} pairs, {report.folds} folds, {report.queries:,} held-out queries in galleries of "
        f"{report.gallery_size:,} items, 95 % intervals"
    )
    found = ", ".join(
        f"{name.removeprefix('known-item ')} {e.percent()}" for name, e in report.known_item.items()
    )
    console.print(f"known item: {found}")
    for line in (report.by_gallery(), report.by_pairs()):
        console.print(line)
    for text in report.warnings:
        console.print(f"[yellow]warning:[/] {text}")


def figures(report: CheckReport) -> dict[str, Figure]:
    """Four figures: `options`, `learning_curve`, `gallery_size` and `pair_cosines`."""
    from matplotlib.figure import Figure

    def axes(title: str, x: str, y: str) -> Any:
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        panel = figure.add_subplot()
        panel.set(title=title, xlabel=x, ylabel=y)
        panel.spines[["top", "right"]].set_visible(False)
        return panel

    def errors(estimates: Sequence[Interval]) -> list[list[float]]:
        return [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]

    bars = axes(f"{report.recommendation}: the four options", "", report.metric)
    levels = [report.options[option][report.metric] for option in OPTIONS]
    colours = ["#2a6f97" if option == report.recommendation else "#a9b4be" for option in OPTIONS]
    bars.bar(OPTIONS, [e.value for e in levels], yerr=errors(levels), capsize=4, color=colours)

    learning = axes("How many pairs are enough", "pairs that the rotation is fitted on", report.metric)
    gallery = axes("How it moves with the gallery", "items in the gallery", report.metric)
    for panel, curve in ((learning, report.learning_curve), (gallery, report.gallery_curve)):
        sizes = [point.size for point in curve]
        for name, line, colour in (
            ("keep-old", [point.keep_old for point in curve], "#a9b4be"),
            ("rotate", [point.rotate for point in curve], "#2a6f97"),
        ):
            panel.errorbar(
                sizes,
                [e.value for e in line],
                yerr=errors(line),
                marker="o",
                capsize=3,
                label=name,
                color=colour,
            )
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
        panel.legend(frameon=False)
    if report.enough_pairs is not None:
        learning.axvline(report.enough_pairs, linestyle=":", color="black")

    pairs = axes("Are the rows the same items?", "held-out cosine", "pairs")
    for name, cosines, colour in (
        ("random other item", report.screening.null, "#a9b4be"),
        ("its own partner", report.screening.cosines, "#2a6f97"),
    ):
        pairs.hist(cosines, bins=60, range=(-1, 1), alpha=0.7, label=name, color=colour)
    pairs.legend(frameon=False)
    panels = {"options": bars, "learning_curve": learning, "gallery_size": gallery, "pair_cosines": pairs}
    return {name: panel.figure for name, panel in panels.items()}


def write_figures(report: CheckReport, folder: str | PathLike[str]) -> list[Path]:
    """Save the figures as `NAME.png` in `folder`, which is made if it is not there."""
    paths: list[Path] = []
    for name, figure in figures(report).items():
        paths.append(Path(folder) / f"{name}.png")
        with replacing(paths[-1]) as partial:
            partial.write_bytes(png(figure))
    return paths


def write_html(report: CheckReport, path: str | PathLike[str]) -> None:
    """One self-contained HTML page: the decision, the options, the figures and the doubts."""
    pictures = {name: data_uri(figure) for name, figure in figures(report).items()}
    write_page(path, report.recommendation, BODY, report=report, options=OPTIONS, pictures=pictures)


BODY = """
<p>{{ report.reason }}.</p>
<p>Measured on {{ "{:,}".format(report.queries) }} held-out queries in galleries of
{{ "{:,}".format(report.gallery_size) }} items: {{ "{:,}".format(report.pairs) }} pairs, {{ report.folds }} folds, seed
{{ report.seed }}. Intervals are 95 %. {{ report.by_gallery() | capitalize }}. {{ report.by_pairs() | capitalize }}.
Weight of the new model in the blend: {{ "%.1f" | format(report.blend_weight) }}.</p>
<table><tr><th>option</th>{% for name in report.options.rotate %}<th>{{ name }}</th>{% endfor %}</tr>
{% for option in options %}<tr><th>{{ option }}</th>
{% for one in report.options[option].values() %}<td>{{ one.percent() }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Differences in {{ report.metric }}</h2><table>
{% for name, one in report.differences.items() %}<tr><th>{{ name }}</th><td>{{ one.points() }}</td></tr>
{% endfor %}</table>
<h2>Known item</h2><table>
{% for name, one in report.known_item.items() %}<tr><th>{{ name }}</th><td>{{ one.percent() }}</td></tr>
{% endfor %}</table>
<h2>Before you believe it</h2><ul>{% for text in report.warnings %}<li>{{ text }}</li>{% endfor %}</ul>
<div class="figures">
{% for name, picture in pictures.items() %}<figure><img alt="{{ name }}" src="{{ picture }}"></figure>
{% endfor %}</div>
"""

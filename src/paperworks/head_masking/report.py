"""One HTML page about a detector and the documents that it read: histogram, ROC, threshold, suspects with their nearest
and what speaks against them, and groups of rejected documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import InputError
from paperworks.head_masking.documents import Document
from paperworks.head_masking.explain import GRID, Explanation, nearest_known
from paperworks.head_masking.groups import new_kinds
from paperworks.head_masking.metrics import Metrics, roc_points
from paperworks.html_page import data_uri, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from paperworks.head_masking.detector import HeadMaskingDetector

KNOWN, UNKNOWN, PLAIN = "#2a6f97", "#c1121f", "#8b949e"


def histogram(scores: dict[str, np.ndarray], offset: float) -> Figure:
    """The scores of each group of documents with the threshold drawn in; the outermost two in a hundred fall in the
    last bins."""
    figure, axes = _axes("score (larger is more like the known)", "documents")
    everything = np.concatenate(list(scores.values()))
    low, high = np.quantile(everything, [0.02, 0.98])
    bins = np.linspace(min(low, offset), max(high, offset), 40)
    for colour, (name, values) in zip((KNOWN, UNKNOWN, PLAIN), scores.items(), strict=False):
        label = f"{name} ({len(values):,})"
        axes.hist(np.clip(values, bins[0], bins[-1]), bins=bins, alpha=0.65, color=colour, label=label)
    axes.axvline(offset, color="#24292f", linestyle="--", linewidth=1.2, label="threshold")
    axes.legend(frameon=False)
    return figure


def roc(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The share of unknown documents that pass over the share of known ones that do."""
    figure, axes = _axes("unknown documents that pass", "known documents that pass")
    for colour, (name, (known, unknown)) in zip((KNOWN, PLAIN), curves.items(), strict=False):
        false, true = roc_points(known, unknown)
        axes.plot(false, true, color=colour, label=name)
    axes.plot((0, 1), (0, 1), color="#d0d7de", linewidth=1, zorder=0)
    axes.axhline(0.95, color="#24292f", linewidth=0.8, linestyle=":", label="95 % of the known pass")
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(frameon=False, loc="lower right")
    return figure


def masks(candidates: Sequence[dict[str, Any]], chosen: dict[str, Any] | None) -> Figure | None:
    """The criterion of all candidates on the first share of the documents: masks, all heads, and the chosen one."""
    first = [one["rungs"][0]["auroc"] for one in candidates if one["rungs"]]
    if len(first) < 3:
        return None
    figure, axes = _axes("mean AUROC over held-out classes", "masks")
    axes.hist(first[1:], bins=min(20, len(first)), color="#d0d7de", label=f"random masks ({len(first) - 1})")
    axes.axvline(first[0], color="#24292f", linestyle="--", label="all heads")
    if chosen is not None and chosen["masked"]:
        axes.axvline(chosen["rungs"][0]["auroc"], color=KNOWN, label="chosen mask")
    axes.legend(frameon=False)
    return figure


def write_report(
    path: str | Path,
    detector: HeadMaskingDetector,
    known: Sequence[Document],
    unknown: Sequence[Document] = (),
    *,
    found: Metrics | None = None,
    unmasked: Metrics | None = None,
    suspects: int = 12,
    explain: int = 3,
) -> None:
    """Write the page. `known` are documents in use, or known ones where `unknown` are given to tell them apart.

    `found` and `unmasked` are the metrics with the mask and without. Of the `suspects`, the documents with the lowest
    scores, the first `explain` are explained by what speaks against them, which takes a hundred passes or more each
    (`HeadMaskingDetector.explain`).
    """
    base, features = detector.outputs(list(known))
    scores = {"documents" if not unknown else "known": detector.score_outputs(base, features)}
    documents = list(known)
    if unknown:
        other, other_features = detector.outputs(list(unknown))
        scores["unknown"] = detector.score_outputs(other, other_features)
        documents += unknown
        features = np.concatenate([features, other_features], axis=1)
        logits = np.concatenate([base.logits, other.logits])
    else:
        logits = base.logits
    everything = np.concatenate(list(scores.values()))
    findings = detector.findings(logits, everything)
    order = np.argsort(everything, kind="stable")[:suspects]
    try:
        nearest = nearest_known(detector, features[:, order])
    except InputError:
        nearest = [[] for _ in order]
    cards = [
        {
            "id": documents[index].id,
            "truth": documents[index].label,
            "picture": thumbnail(documents[index]),
            "finding": findings[index],
            "nearest": [
                {"id": one.id, "label": one.label, "distance": far, "picture": thumbnail(one, 120)}
                for one, far in near
            ],
            "against": against(detector.explain(documents[index]), list(detector.masks_[0]))
            if place < explain
            else {},
        }
        for place, (index, near) in enumerate(zip(order, nearest, strict=True))
    ]
    rejected = [index for index, finding in enumerate(findings) if finding.label is None]
    groups = [
        {
            "size": len(group.members),
            "words": group.words,
            "members": [
                {"id": documents[index].id, "picture": thumbnail(documents[index], 120)}
                for index in group.members[:4]
            ],
        }
        for group in new_kinds(documents, features[0], rejected, detector.reference_[0].mean(0))
    ]
    choice = detector.choice_.to_dict()
    chosen = next((one for one in choice["candidates"] if one["mask"] == detector.masks_[0].to_dict()), None)
    figures = {"Scores": histogram(scores, detector.offset_)}
    if unknown:
        figures["Known against unknown"] = roc(
            {f"masked, AUROC {found.auroc:.3f}" if found else "masked": (scores["known"], scores["unknown"])}
        )
    if drawn := masks(choice["candidates"], chosen):
        figures["The choice of the heads"] = drawn
    write_page(
        path,
        f"{len(rejected)} of {len(documents)} documents are of no known kind",
        BODY,
        style=STYLE,
        detector=detector,
        choice=choice,
        keeps_all=all(mask.masked == 0 for mask in detector.masks_),
        masked=detector.masks_[0].masked,
        heads=detector.masks_[0].heads,
        groups=groups,
        grid=GRID,
        figures={name: data_uri(figure) for name, figure in figures.items()},
        cards=cards,
        metrics=[
            (name, one.to_dict()) for name, one in (("as chosen", found), ("all heads", unmasked)) if one
        ],
    )


def against(explanation: Explanation, layers: Sequence[str], n: int = 5) -> dict[str, list[Any]]:
    """What speaks against a document, `n` of each at most: `words`; `heads` as "head 3 of layer 1", counted from 1; and
    three `patches`, as left and top in % of the page."""
    words, heads, patches = (
        [effect.what for effect in effects[:n] if effect.rise > 0]
        for effects in (explanation.words, explanation.heads, explanation.patches)
    )
    rows, columns = GRID
    return {
        "words": [word for _, word in words],
        "heads": [f"head {int(head) + 1} of layer {layers.index(str(layer)) + 1}" for layer, head in heads],
        "patches": [(100 * int(column) / columns, 100 * int(row) / rows) for row, column in patches[:3]],
    }


def thumbnail(document: Document, width: int = 220) -> str:
    """The page as a small picture for `<img src>`; empty where there is no image to show."""
    if document.image is None:
        return ""
    try:
        image = document.open_image().convert("L")
    except InputError:
        return ""
    image.thumbnail((width, 2 * width))
    return data_uri(image)


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


STYLE = """
.pages { display: flex; gap: .6rem; align-items: flex-start }
.page { position: relative; width: 9rem; flex: none } .page img { display: block; width: 100%; box-sizing: border-box }
.page i { position: absolute; box-sizing: border-box; width: {{ 100 / grid[1] }}%; height: {{ 100 / grid[0] }}% }
.page i { border: 2px solid #c1121f }
.near { display: flex; flex-direction: column; gap: .4rem; font-size: .8rem }
.near, .near span { min-width: 0; overflow-wrap: anywhere }
.near img { width: 3.6rem } .near div { display: flex; gap: .4rem }
"""
BODY = """
<p>The classifier knows {{ detector.classes_ | join(", ") }}. A document below the threshold
is called unknown; the threshold lets {{ "%.0f" | format(100 * (1 - detector.contamination)) }} % of held-out known
documents pass. Score: <code>{{ detector.score }}</code>. {% if keeps_all %}All heads were kept: no mask told held-out
classes better than none. {% elif detector.masks_ | length > 1 %}The mean over {{ detector.masks_ | length }} masks.
{% else %}{{ masked }} of {{ heads }} attention heads are masked, chosen by <code>{{ choice.method }}</code>.{% endif
%}</p> {% if metrics %}<table><tr><th></th><th>AUROC</th><th>FPR95</th><th>FPR95, unknown as positives</th><th>AUPR
known</th> <th>AUPR unknown</th></tr> {% for name, one in metrics %}<tr><th>{{ name }}</th> <td>{{ "%.3f" |
format(one.auroc) }}</td><td>{{ "%.3f" | format(one.fpr95) }}</td> <td>{{ "%.3f" | format(one.fpr95_ood_positive)
}}</td><td>{{ "%.3f" | format(one.aupr_in) }}</td> <td>{{ "%.3f" | format(one.aupr_out) }}</td></tr>{% endfor
%}</table> <p>FPR95: the share of unknown documents that pass where 95 % of the known do.</p>{% endif %} <div
class="figures">{% for name, picture in figures.items() %}<figure><figcaption>{{ name }}</figcaption> <img alt="{{
name }}" src="{{ picture }}"></figure>{% endfor %}</div> <h2>The most suspicious
documents</h2><div class="cards"> {% for card in cards %}<div class="card"><h3>{{ card.id }}</h3> <div
class="pages">{% if card.picture %}<div class="page"><img alt="{{ card.id }}" src="{{
card.picture }}">{% for left, top in card.against.patches %}<i style="left: {{ left }}%; top: {{ top }}%"></i>{% endfor
%}</div>{% endif %}
<div class="near">{% if card.nearest %}<span>nearest known</span>{% endif %} {% for one in card.nearest %}<div>{% if
one.picture %}<img alt="" src="{{ one.picture }}">{% endif %} <span>{{ one.label }}<br>{{ one.id
}}<br>{{ "%.3f" | format(one.distance) }}</span></div>{% endfor %}</div></div> <p>{% if card.finding.label %}<span
class="good">{{ card.finding.label }}</span> {% else %}<span class="bad">unknown</span>, would be filed as {{
card.finding.predicted }}{% endif %}; score {{ "%.3g" | format(card.finding.score) }} from the threshold, p = {{
"%.3g" | format(card.finding.p_value) }} {% if card.truth %}<br>labelled {{ card.truth }}{% endif %} {% for name in
("words", "heads") if card.against[name] %}<br>{{ name }} that speak against it: {{ card.against[name] | join(", ")
}}{% endfor %}{% if card.against.patches %}<br>so do the framed parts of the page{% endif %}</p></div>
{% endfor %}</div>
{% if groups %}<h2>New kinds?</h2><p>Rejected documents that are alike, the most typical first.</p><div class="cards">
{% for group in groups %}<div class="card group"><h3>{{ group.size }} documents</h3><div class="pages">
{% for one in group.members %}<div class="near">{% if one.picture %}<img alt="{{ one.id }}"
src="{{ one.picture }}">{% endif %}<span>{{ one.id }}</span></div>{% endfor %}</div>
{% if group.words %}<p>typical words: {{ group.words | join(", ") }}</p>{% endif %}</div>{% endfor %}</div>{% endif %}
"""

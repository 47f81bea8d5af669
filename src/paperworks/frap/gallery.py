"""One HTML page of what was drawn: a row for each prompt and seed, a column for each method, with weights and
verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from paperworks.frap.compare import Drawn
from paperworks.html_page import data_uri, write_page


def latency(drawn: Sequence[Drawn]) -> dict[str, float]:
    """The median seconds of a picture of each method, without the first of each where there are several."""
    times: dict[str, list[float]] = {}
    for one in drawn:
        times.setdefault(one.method, []).append(one.seconds)
    return {name: median(values[1:] or values) for name, values in times.items()}


def write_gallery(path: str | Path, drawn: Sequence[Drawn], model: str) -> None:
    """Write the page, with the pictures in it."""
    methods = list(dict.fromkeys(one.method for one in drawn))
    rows: dict[tuple[str, int], dict[str, Drawn]] = {}
    for one in drawn:
        rows.setdefault((one.prompt, one.seed), {})[one.method] = one
    seconds = latency(drawn)
    unit = "plain" if "plain" in seconds else min(seconds, key=lambda name: seconds[name])
    write_page(
        path,
        model,
        BODY,
        style=STYLE,
        methods=methods,
        seconds={
            name: f"{value:.2f} s, {value / seconds[unit]:.2f} of {unit}" for name, value in seconds.items()
        },
        rows=[
            (prompt, seed, [_cell(own.get(name)) for name in methods]) for (prompt, seed), own in rows.items()
        ],
    )


def _cell(one: Drawn | None) -> dict[str, Any] | None:
    if one is None:
        return None
    image = one.image.copy()
    image.thumbnail((384, 384))
    words = []
    if one.result is not None:
        prompt = one.result.prompts[0]
        words = [(word.text, one.result.weight_of(word)) for word in prompt.words]
    return {
        "picture": data_uri(image),
        "words": words,
        "verdict": one.result.verdict() if one.result is not None else [],
        "alt": f"{one.prompt}, {one.method}, seed {one.seed}",
    }


STYLE = """
body { max-width: 76rem } h2 { font-size: 1.05rem; margin: 1.8rem 0 .5rem }
.rows { display: flex; flex-wrap: wrap; gap: 0 1.5rem } section { max-width: 100%; break-inside: avoid }
.row { display: grid; grid-template-columns: repeat({{ methods | length }}, minmax(9rem, 15rem)); gap: 1rem;
  overflow-x: auto }
.row img { width: 100%; image-rendering: pixelated; display: block; border-radius: 4px }
.words span { padding: 0 .2em; border-radius: 3px } .words { font-size: .85rem; margin: .4rem 0 }
"""
BODY = """
<table>{% for name in methods %}<tr><td>{{ name }}</td><td>{{ seconds[name] }}</td></tr>{% endfor %}</table>
<div class="rows">
{% for prompt, seed, cells in rows %}<section><h2>{{ prompt }} <small>seed {{ seed }}</small></h2><div class="row">
{% for cell in cells %}<figure class="card"><figcaption>{{ methods[loop.index0] }}</figcaption>
{% if cell %}<img alt="{{ cell.alt }}" src="{{ cell.picture }}">
{% if cell.words %}<p class="words">{% for word, weight in cell.words %}
<span title="{{ '%.3f' | format(weight) }}" style="background: rgb({{ '42 111 151' if weight > 1 else '193 18 31' }} /
{{ '%.2f' | format([(weight - 1) | abs * 1.5, 0.7] | min) }})">{{ word }}</span>{% endfor %}</p>{% endif %}
{% for line in cell.verdict %}<small {% if ' weak' in line %}class="bad"{% endif %}>{{ line }}</small><br>{% endfor %}
{% else %}<small>not drawn</small>{% endif %}</figure>{% endfor %}</div></section>{% endfor %}</div>
<p><small>Words of FRAP's prompts are blue where their weight rose above 1 and red where it fell. The verdict is the
largest value of an object's map when the weights were last moved.</small></p>
"""

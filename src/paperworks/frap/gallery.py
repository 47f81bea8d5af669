"""One HTML page of what was drawn: a row for each prompt and seed, a column for each method, with weights and
verdict."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from paperworks.files import write_text
from paperworks.frap.compare import Drawn


def latency(drawn: Sequence[Drawn]) -> dict[str, float]:
    """The median seconds of a picture of each method, without the first of each where there are several."""
    times: dict[str, list[float]] = {}
    for one in drawn:
        times.setdefault(one.method, []).append(one.seconds)
    return {name: median(values[1:] or values) for name, values in times.items()}


def write_gallery(path: str | Path, drawn: Sequence[Drawn], model: str) -> None:
    """Write the page, with the pictures in it."""
    from jinja2 import Environment

    methods = list(dict.fromkeys(one.method for one in drawn))
    rows: dict[tuple[str, int], dict[str, Drawn]] = {}
    for one in drawn:
        rows.setdefault((one.prompt, one.seed), {})[one.method] = one
    seconds = latency(drawn)
    unit = "plain" if "plain" in seconds else min(seconds, key=lambda name: seconds[name])
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    write_text(
        path,
        page.render(
            model=model,
            methods=methods,
            seconds={
                name: f"{value:.2f} s, {value / seconds[unit]:.2f} of {unit}"
                for name, value in seconds.items()
            },
            rows=[
                (prompt, seed, [_cell(own.get(name)) for name in methods])
                for (prompt, seed), own in rows.items()
            ],
        ),
    )


def _cell(one: Drawn | None) -> dict[str, Any] | None:
    if one is None:
        return None
    buffer = BytesIO()
    image = one.image.copy()
    image.thumbnail((384, 384))
    image.save(buffer, "PNG")
    words = []
    if one.result is not None:
        prompt = one.result.prompts[0]
        words = [(word.text, one.result.weight_of(word)) for word in prompt.words]
    return {
        "picture": b64encode(buffer.getvalue()).decode(),
        "words": words,
        "verdict": one.result.verdict() if one.result is not None else [],
        "alt": f"{one.prompt}, {one.method}, seed {one.seed}",
    }


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>FRAP: weighted prompts</title><style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 1.8rem 0 .5rem }
.rows { display: flex; flex-wrap: wrap; gap: 0 1.5rem } section { max-width: 100% }
.row { display: grid; grid-template-columns: repeat({{ methods | length }}, minmax(9rem, 15rem)); gap: 1rem;
  overflow-x: auto }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .6rem; min-width: 0 }
img { width: 100%; height: auto; image-rendering: pixelated; display: block; border-radius: 4px }
figcaption { font-weight: 600; margin-bottom: .3rem }
.words span { padding: 0 .2em; border-radius: 3px } .words { font-size: .85rem; margin: .4rem 0 }
.weak { color: #c1121f } @media (prefers-color-scheme: dark) { .weak { color: #ff7b72 } }
small { opacity: .75 } table { border-collapse: collapse } td { padding: .15rem 1.2rem .15rem 0 }
</style></head><body><h1>{{ model }}</h1>
<table>{% for name in methods %}<tr><td>{{ name }}</td><td>{{ seconds[name] }}</td></tr>{% endfor %}</table>
<div class="rows">
{% for prompt, seed, cells in rows %}<section><h2>{{ prompt }} <small>seed {{ seed }}</small></h2><div class="row">
{% for cell in cells %}<figure><figcaption>{{ methods[loop.index0] }}</figcaption>
{% if cell %}<img alt="{{ cell.alt }}" src="data:image/png;base64,{{ cell.picture }}">
{% if cell.words %}<p class="words">{% for word, weight in cell.words %}
<span title="{{ '%.3f' | format(weight) }}" style="background: rgb({{ '42 111 151' if weight > 1 else '193 18 31' }} /
{{ '%.2f' | format([(weight - 1) | abs * 1.5, 0.7] | min) }})">{{ word }}</span>{% endfor %}</p>{% endif %}
{% for line in cell.verdict %}<small {% if ' weak' in line %}class="weak"{% endif %}>{{ line }}</small><br>{% endfor %}
{% else %}<small>not drawn</small>{% endif %}</figure>{% endfor %}</div></section>{% endfor %}</div>
<p><small>Words of FRAP's prompts are blue where their weight rose above 1 and red where it fell. The verdict is the
largest value of an object's map when the weights were last moved.</small></p></body></html>
"""

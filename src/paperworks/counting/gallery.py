"""A page of pictures before and after, each with what was counted, and how the run went: HTML in one file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from paperworks.counting.token import CountingToken
from paperworks.files import write_text


def write_gallery(
    path: str | Path,
    title: str,
    cards: Sequence[dict[str, Any]],
    *,
    lines: Sequence[str] = (),
    code: Sequence[str] = (),
    token: CountingToken | None = None,
) -> None:
    """Write the page. A card has `caption` and `pictures`: (label, picture uint8 `[H, W, 3]`, what was counted)."""
    from jinja2 import Environment

    figure = ""
    if token is not None and token.info.get("trajectory"):
        from paperworks.counting.plots import trajectory

        buffer = BytesIO()
        trajectory(token.info).savefig(buffer, format="png", dpi=120, metadata={"Software": None})
        figure = b64encode(buffer.getvalue()).decode()
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    write_text(
        path,
        page.render(
            title=title,
            lines=lines,
            code=code,
            figure=figure,
            cards=[
                {
                    "caption": card["caption"],
                    "pictures": [
                        (label, _png(picture), counted) for label, picture, counted in card["pictures"]
                    ],
                }
                for card in cards
            ],
        ),
    )


def token_lines(token: CountingToken) -> list[str]:
    """What a token is and how it was learned, for people."""
    info = token.info
    asked = " and ".join(f"{n} {name}" for n, name in zip(info["counts"], info["classes"], strict=True))
    kept = f"step {info['best_step']}" if info["best_step"] is not None else "the start"
    loss = f", loss {info['best_loss']:.3f}" if info["best_loss"] is not None else ""
    seen = f", driver counted {info['best_counts']}" if info["best_counts"] is not None else ""
    return [
        f"{', '.join(token.names)}: {asked} in {token.prompt!r}",
        f"model {info['model']}, counter {info['counter']}, driver {info['driver'] or 'none'}, "
        f"scale {info['settings']['scale']}",
        f"{info['images_looked_at']} pictures looked at (seeds {', '.join(map(str, info['seeds']))}); "
        f"ended by {info['stopped']}",
        f"kept: {kept}{loss}{seen}",
        *info["events"][:5],
    ]


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode()


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } figure { margin: 0 } figcaption { font-size: .85rem }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem; min-width: 0 }
.card h2 { margin: 0 0 .5rem; font-size: .95rem; font-weight: 600; overflow-wrap: anywhere }
.pictures { display: flex; gap: .6rem; flex-wrap: wrap } .pictures figure { flex: 1 1 7rem }
.pictures img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line) }
.run { width: 100%; max-width: 48rem; background: white; border-radius: 4px }
pre { overflow-x: auto; font-size: .85rem; border: 1px solid var(--line); border-radius: 8px; padding: .8rem }
p { margin: .2rem 0; overflow-wrap: anywhere }
</style></head><body><h1>{{ title }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}
<div class="cards">
{% for card in cards %}<div class="card"><h2>{{ card.caption }}</h2><div class="pictures">
{% for label, picture, counted in card.pictures %}
<figure><img alt="{{ label }}" src="data:image/png;base64,{{ picture }}">
<figcaption>{{ label }}{% if counted %}<br>{{ counted }}{% endif %}</figcaption></figure>
{% endfor %}</div></div>
{% endfor %}</div>
{% if figure %}
<p><img class="run" alt="counts and loss at every step" src="data:image/png;base64,{{ figure }}"></p>{% endif %}
{% if code %}<p>With diffusers alone:</p><pre>{{ code | join("\n") }}</pre>{% endif %}
</body></html>
"""

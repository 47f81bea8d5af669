"""A page of pictures before and after, each with what was counted, and how the run went: HTML in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paperworks.counting.token import CountingToken
from paperworks.html_page import data_uri, write_page


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
    figure = ""
    if token is not None and token.info.get("trajectory"):
        from paperworks.counting.plots import trajectory

        figure = data_uri(trajectory(token.info))
    shown = [
        {
            "caption": card["caption"],
            "pictures": [(label, data_uri(picture), counted) for label, picture, counted in card["pictures"]],
        }
        for card in cards
    ]
    write_page(path, title, BODY, style=STYLE, lines=lines, code=code, figure=figure, cards=shown)


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


STYLE = """
.pictures { display: flex; gap: .6rem; flex-wrap: wrap } .pictures figure { flex: 1 1 7rem }
.pictures img { width: 100%; image-rendering: pixelated } .pictures figcaption { font-size: .85rem; font-weight: 400 }
.run { width: 100%; max-width: 48rem; background: white; border-radius: 4px }
"""
BODY = """
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}
<div class="cards">
{% for card in cards %}<div class="card"><h2>{{ card.caption }}</h2><div class="pictures">
{% for label, picture, counted in card.pictures %}
<figure><img alt="{{ label }}" src="{{ picture }}">
<figcaption>{{ label }}{% if counted %}<br>{{ counted }}{% endif %}</figcaption></figure>
{% endfor %}</div></div>
{% endfor %}</div>
{% if figure %}
<p><img class="run" alt="counts and loss at every step" src="{{ figure }}"></p>{% endif %}
{% if code %}<p>With diffusers alone:</p><pre>{{ code | join("\n") }}</pre>{% endif %}
"""

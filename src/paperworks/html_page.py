"""One HTML file about one result: the frame, looks and pictures that all reports of the methods share."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from os import PathLike
from typing import Any

from paperworks.files import write_text


def png(picture: Any, *, dpi: int = 120) -> bytes:
    """A PNG of a matplotlib figure, a Pillow image, or an array uint8 `[H, W, 3]`. A figure is drawn at `dpi`."""
    buffer = BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    elif hasattr(picture, "save"):
        picture.save(buffer, "PNG")
    else:
        from PIL import Image

        Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def data_uri(picture: Any) -> str:
    """What an `<img src>` takes: the picture itself (see `png`), so that the page is one file."""
    return f"data:image/png;base64,{b64encode(png(picture)).decode()}"


def write_page(path: str | PathLike[str], title: str, body: str, *, style: str = "", **values: Any) -> None:
    """Write the page: `body` is a jinja2 template of `values` that is put below the title, `style` CSS of its own.

    Everything is escaped. The page needs no network, fits a phone, follows the reader's light or dark theme, and keeps
    cards whole on paper.
    """
    from jinja2 import DictLoader, Environment

    loader = DictLoader({"page": PAGE})
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    blocks = {"style": style, "body": body}
    own = "".join(f"{{% block {name} %}}{text}{{% endblock %}}" for name, text in blocks.items())
    write_text(path, environment.from_string("{% extends 'page' %}" + own).render(title=title, **values))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title><style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
:root { --good: #2a6f97; --bad: #c1121f }
@media (prefers-color-scheme: dark) { :root { --good: #79c0ff; --bad: #ff7b72 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } h1, h2, h3, p { overflow-wrap: anywhere }
p { max-width: 46rem } code { font-size: .9em } small { opacity: .75 }
pre { overflow-x: auto; font-size: .85rem; border: 1px solid var(--line); border-radius: 8px; padding: .8rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; font-variant-numeric: tabular-nums }
figure { margin: 0; min-width: 0 } figcaption { font-weight: 600 } img { height: auto }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem }
.figures img { width: 100%; background: white; border-radius: 4px }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem; min-width: 0; break-inside: avoid }
.card img { border: 1px solid var(--line) } .card p { margin: .2rem 0 }
.card h2, .card h3 { margin: 0 0 .5rem; font-size: 1rem; font-weight: 600 }
.good { color: var(--good); font-weight: 600 } .bad { color: var(--bad); font-weight: 600 }
@media print { body { max-width: none; margin: 0 } }
{% block style %}{% endblock %}
</style></head><body><h1>{{ title }}</h1>
{% block body %}{% endblock %}
</body></html>
"""

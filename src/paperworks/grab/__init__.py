"""GRAB (arXiv 2408.11817): how well a multimodal model reads figures, on questions that can be made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paperworks.lazy import import_on_use

if TYPE_CHECKING:
    from paperworks.grab.bench import Bench as Bench
    from paperworks.grab.endpoint import Endpoint as Endpoint
    from paperworks.grab.evaluate import Run as Run
    from paperworks.grab.evaluate import evaluate as evaluate
    from paperworks.grab.export import export as export
    from paperworks.grab.generate import generate as generate
    from paperworks.grab.local import LocalModel as LocalModel
    from paperworks.grab.official import load_official as load_official
    from paperworks.grab.priors import Prior as Prior
    from paperworks.grab.reader import PixelReader as PixelReader

_HOME = {
    "Bench": "bench",
    "Endpoint": "endpoint",
    "LocalModel": "local",
    "PixelReader": "reader",
    "Prior": "priors",
    "Run": "evaluate",
    "evaluate": "evaluate",
    "export": "export",
    "generate": "generate",
    "load_official": "official",
}
__all__ = import_on_use(__name__, _HOME)

"""Iterative object count optimisation (arXiv 2408.11721): one learned word makes a frozen pipeline draw N objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paperworks.lazy import import_on_use

if TYPE_CHECKING:
    from paperworks.counting.counters import ClipSimilarity as ClipSimilarity
    from paperworks.counting.counters import DensityCounter as DensityCounter
    from paperworks.counting.detectors import detector as detector
    from paperworks.counting.evaluate import evaluate as evaluate
    from paperworks.counting.optimize import optimize as optimize
    from paperworks.counting.token import CountingToken as CountingToken

_HOME = {
    "ClipSimilarity": "counters",
    "CountingToken": "token",
    "DensityCounter": "counters",
    "detector": "detectors",
    "evaluate": "evaluate",
    "optimize": "optimize",
}
__all__ = import_on_use(__name__, _HOME)

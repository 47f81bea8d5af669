"""FRAP (arXiv 2408.11706): weights for the words of a prompt, found while the picture is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paperworks.lazy import import_on_use

if TYPE_CHECKING:
    from paperworks.frap.baselines import AttendAndExcite as AttendAndExcite
    from paperworks.frap.baselines import Replay as Replay
    from paperworks.frap.baselines import Static as Static
    from paperworks.frap.baselines import SynGen as SynGen
    from paperworks.frap.pipeline import FrapStableDiffusionPipeline as FrapStableDiffusionPipeline
    from paperworks.frap.pipeline import FrapStableDiffusionXLPipeline as FrapStableDiffusionXLPipeline
    from paperworks.frap.pipeline import frap_pipeline as frap_pipeline
    from paperworks.frap.result import Result as Result
    from paperworks.frap.result import read_png as read_png
    from paperworks.frap.result import weights_of as weights_of
    from paperworks.frap.settings import Settings as Settings

_HOME = {
    "AttendAndExcite": "baselines",
    "FrapStableDiffusionPipeline": "pipeline",
    "FrapStableDiffusionXLPipeline": "pipeline",
    "Replay": "baselines",
    "Result": "result",
    "Settings": "settings",
    "Static": "baselines",
    "SynGen": "baselines",
    "frap_pipeline": "pipeline",
    "read_png": "result",
    "weights_of": "result",
}
__all__ = import_on_use(__name__, _HOME)

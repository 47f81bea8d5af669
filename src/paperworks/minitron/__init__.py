"""Minitron (arXiv 2408.11796): cut a language model and distil it back into shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paperworks.lazy import import_on_use

if TYPE_CHECKING:
    from paperworks.minitron.distillation_loss import distillation_loss as distillation_loss
    from paperworks.minitron.evaluate import lm_loss as lm_loss
    from paperworks.minitron.importance import Importance as Importance
    from paperworks.minitron.layers import layer_importance as layer_importance
    from paperworks.minitron.measure import measure_importance as measure_importance
    from paperworks.minitron.prune import prune as prune
    from paperworks.minitron.speed import speed as speed
    from paperworks.minitron.target import Target as Target
    from paperworks.minitron.trainer import DistillationTrainer as DistillationTrainer
    from paperworks.minitron.trim import prune_model as prune_model

_HOME = {
    "DistillationTrainer": "trainer",
    "Importance": "importance",
    "Target": "target",
    "distillation_loss": "distillation_loss",
    "layer_importance": "layers",
    "lm_loss": "evaluate",
    "measure_importance": "measure",
    "prune": "prune",
    "prune_model": "trim",
    "speed": "speed",
}
__all__ = import_on_use(__name__, _HOME)

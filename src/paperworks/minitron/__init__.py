"""Minitron (arXiv 2408.11796): cut a language model and distil it back into shape."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

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
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Some functions are called like their file; importing the file must not put the module in the function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

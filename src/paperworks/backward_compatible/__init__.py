"""Backward-compatible embeddings (OCA, arXiv 2408.08793): replace an embedding model without re-indexing."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paperworks.backward_compatible.aligner import OrthogonalAligner as OrthogonalAligner
    from paperworks.backward_compatible.check import check as check
    from paperworks.backward_compatible.compatibility import compatibility as compatibility
    from paperworks.backward_compatible.gallery import extend_file as extend_file
    from paperworks.backward_compatible.gallery import transform_file as transform_file
    from paperworks.backward_compatible.training import CompatibleTraining as CompatibleTraining
    from paperworks.backward_compatible.training import old_prototypes as old_prototypes

_HOME = {
    "CompatibleTraining": "training",
    "OrthogonalAligner": "aligner",
    "check": "check",
    "compatibility": "compatibility",
    "extend_file": "gallery",
    "old_prototypes": "training",
    "transform_file": "gallery",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Two functions are called like their file; importing the file must not put the module in the function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

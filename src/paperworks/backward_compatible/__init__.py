"""Backward-compatible embeddings (OCA, arXiv 2408.08793): replace an embedding model without re-indexing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paperworks.lazy import import_on_use

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
__all__ = import_on_use(__name__, _HOME)

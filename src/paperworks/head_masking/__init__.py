"""Attention-head masking (arXiv 2408.11237): know when a document is of no known kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paperworks.lazy import import_on_use

if TYPE_CHECKING:
    from paperworks.head_masking.detector import HeadMaskingDetector as HeadMaskingDetector
    from paperworks.head_masking.documents import Document as Document
    from paperworks.head_masking.documents import read_documents as read_documents
    from paperworks.head_masking.heads import HeadMask as HeadMask
    from paperworks.head_masking.heads import attention_layers as attention_layers
    from paperworks.head_masking.heads import masked_heads as masked_heads
    from paperworks.head_masking.metrics import ood_metrics as ood_metrics
    from paperworks.head_masking.scores import fit_score as fit_score

_HOME = {
    "Document": "documents",
    "HeadMask": "heads",
    "HeadMaskingDetector": "detector",
    "attention_layers": "heads",
    "fit_score": "scores",
    "masked_heads": "heads",
    "ood_metrics": "metrics",
    "read_documents": "documents",
}
__all__ = import_on_use(__name__, _HOME)

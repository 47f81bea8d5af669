"""A fitted aligner as a module of torch, sentence-transformers or FAISS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import InputError, require

if TYPE_CHECKING:
    import torch

    from paperworks.backward_compatible.aligner import OrthogonalAligner


def to_linear(aligner: OrthogonalAligner) -> torch.nn.Linear:
    """`Linear(d_new, D, bias=False)` in float32, without gradient; its weight is the rotation's transpose."""
    require("backward-compatible", "torch")
    import torch

    d_new, width = aligner.rotation_.shape
    linear = torch.nn.Linear(d_new, width, bias=False)
    linear.requires_grad_(False)
    linear.weight.copy_(torch.from_numpy(aligner.rotation_.T))
    return linear


def to_sentence_transformers(aligner: OrthogonalAligner) -> Any:
    """`sentence_transformers` `Dense`, identity activation, no bias: append it to the modules of the new model.

    Put it after `Normalize` or before: a rotation keeps the norm.
    """
    require("backward-compatible", "sentence_transformers")
    import torch
    from sentence_transformers.base.modules import Dense

    d_new, width = aligner.rotation_.shape
    dense = Dense(d_new, width, bias=False, activation_function=torch.nn.Identity())
    dense.linear.load_state_dict(to_linear(aligner).state_dict())
    return dense


def to_faiss(aligner: OrthogonalAligner, width: int | None = None) -> Any:
    """`faiss.LinearTransform(d_new, width)`, width D unless given.

    With `width=d_old`, `faiss.IndexPreTransform(transform, old_index)` searches the untouched old index with new
    queries.
    """
    require("backward-compatible", "faiss")
    import faiss

    d_new, full = aligner.rotation_.shape
    width = full if width is None else width
    if not 1 <= width <= full:
        raise InputError(f"width = {width}: the aligner gives {full} coordinates")
    transform = faiss.LinearTransform(d_new, width, False)
    matrix = np.ascontiguousarray(aligner.rotation_.T[:width], np.float32)
    faiss.copy_array_to_vector(matrix.ravel(), transform.A)
    transform.is_trained = True
    transform.set_is_orthonormal()
    return transform

"""Trims a loaded model to a target; `prune` does the same on the files of a checkpoint without loading it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from paperworks.errors import InputError
from paperworks.minitron.architecture import model_config, sizes_of
from paperworks.minitron.importance import Importance
from paperworks.minitron.indices import Kept, keep, selection
from paperworks.minitron.repair import norm_gains, rescaled
from paperworks.minitron.target import Target

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def prune_model(
    model: PreTrainedModel, scores: Importance, target: Target, *, rescale_norms: bool = False
) -> PreTrainedModel:
    """A new model of the same class with the kept parts of `model`, on its device and in its dtype; `model` stays.

    A target equal to the source gives a copy, bit for bit. `rescale_norms` gives the norms back the size of their
    output (`repair.norm_gains`; the paper does not). Raises `InputError` for scores of another model, and as
    `Target.sizes`.
    """
    sizes = sizes_of(model.config)
    if scores.sizes != sizes:
        raise InputError("these importance scores are of another model: measure this one")
    kept = keep(scores, target, sizes)
    pruned = trim(model, kept, target)
    if rescale_norms:
        weights = pruned.state_dict()
        for name, gain in norm_gains(scores, kept).items():
            weights[name].copy_(rescaled(weights[name], gain.to(weights[name].device)))
    return pruned


def trim(model: PreTrainedModel, kept: Kept, target: Target) -> PreTrainedModel:
    """A new model with the `kept` parts of `model`."""
    sizes = sizes_of(model.config)
    config = model_config(target.config(model.config.to_dict(), sizes))
    config._attn_implementation = model.config._attn_implementation
    with torch.device("meta"):
        pruned = type(model)(config)
    state, new = model.state_dict(), {}
    for name, _ in target.sizes(sizes).tensors():
        source, part, layer = source_name(name, kept)
        new[name] = take(state[source], *selection(part, kept, layer, sizes))
    pruned.load_state_dict(new, strict=False, assign=True)
    pruned.tie_weights()
    _rotary(pruned, model)
    if model.generation_config is not None:
        pruned.generation_config = copy.deepcopy(model.generation_config)
    return pruned.train(model.training)


def source_name(name: str, kept: Kept) -> tuple[str, str, int | None]:
    """The tensor of the source for one of the pruned model: its name, the name within its layer, and the kept layer."""
    prefix = "model.layers."
    if not name.startswith(prefix):
        return name, name, None
    number, _, part = name.removeprefix(prefix).partition(".")
    return f"{prefix}{kept.layers[int(number)]}.{part}", part, int(number)


def take(tensor: torch.Tensor, rows: torch.Tensor | None, columns: torch.Tensor | None) -> torch.Tensor:
    """Rows and columns of a tensor as a new contiguous one; `None` takes all."""
    if rows is not None:
        tensor = tensor.index_select(0, rows.to(tensor.device))
    if columns is not None:
        tensor = tensor.index_select(1, columns.to(tensor.device))
    return tensor.clone() if rows is None and columns is None else tensor.contiguous()


def _rotary(pruned: PreTrainedModel, model: PreTrainedModel) -> None:
    """The rotation frequencies are no weights: take those of the source, whose head size is the same."""
    target, source = pruned.model.rotary_emb, model.model.rotary_emb
    for name, buffer in source.named_buffers():
        setattr(target, name, buffer.clone())
    target.attention_scaling = source.attention_scaling

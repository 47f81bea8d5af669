"""Which parts stay: importance scores ranked for a target, as ascending indices (specification, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from paperworks.minitron.architecture import Sizes
from paperworks.minitron.importance import Importance
from paperworks.minitron.target import Target


@dataclass(frozen=True)
class Kept:
    """Indices that stay, ascending: `layers` of the source, `channels [d']`, and for each kept layer `neurons [I']`,
    `heads [H']` and `groups [G']`."""

    layers: list[int]
    channels: torch.Tensor
    neurons: list[torch.Tensor]
    heads: list[torch.Tensor]
    groups: list[torch.Tensor]

    def to_dict(self) -> dict[str, object]:
        """As JSON."""
        return {
            "layers": self.layers,
            "channels": self.channels.tolist(),
            "neurons": [one.tolist() for one in self.neurons],
            "heads": [one.tolist() for one in self.heads],
            "groups": [one.tolist() for one in self.groups],
        }


def keep(scores: Importance, target: Target, source: Sizes) -> Kept:
    """The parts with the highest scores: neurons and heads in each layer, heads within their group, channels over the
    whole model. Of equal scores the first stays. Raises `InputError` as `Target.sizes`."""
    new = target.sizes(source)
    layers = target.kept_layers(source)
    heads, groups = [], []
    for layer in layers:
        kept_groups = _top(scores.group[layer], new.kv_heads)
        within = scores.head[layer].view(source.kv_heads, source.group)
        per_group = new.heads // new.kv_heads
        heads.append(
            torch.cat(
                [_top(within[group], per_group) + group * source.group for group in kept_groups.tolist()]
            )
        )
        groups.append(kept_groups)
    return Kept(
        layers,
        _top(scores.channel, new.hidden),
        [_top(scores.neuron[layer], new.intermediate) for layer in layers],
        heads,
        groups,
    )


def rows_of_heads(heads: torch.Tensor, head_dim: int) -> torch.Tensor:
    """The rows of a projection that belong to heads: `[len(heads)·h]`."""
    return (heads[:, None] * head_dim + torch.arange(head_dim)).reshape(-1)


def selection(
    name: str, kept: Kept, layer: int | None, sizes: Sizes
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The rows and columns of a source tensor that stay, `None` for all; `layer` counts the kept layers.

    `name` is the part after `model.layers.N.`, or the whole name outside of the layers.
    """
    if layer is None:
        if name == "model.norm.weight":
            return kept.channels, None
        return None, kept.channels  # embed_tokens and lm_head
    part, kind = name.rsplit(".", 1)
    bias = kind == "bias"
    if part in ("input_layernorm", "post_attention_layernorm"):
        return kept.channels, None
    if part in ("self_attn.q_norm", "self_attn.k_norm"):
        return None, None
    queries = rows_of_heads(kept.heads[layer], sizes.head_dim)
    keys = rows_of_heads(kept.groups[layer], sizes.head_dim)
    neurons = kept.neurons[layer]
    rows, columns = {
        "self_attn.q_proj": (queries, kept.channels),
        "self_attn.k_proj": (keys, kept.channels),
        "self_attn.v_proj": (keys, kept.channels),
        "self_attn.o_proj": (kept.channels, queries),
        "mlp.gate_proj": (neurons, kept.channels),
        "mlp.up_proj": (neurons, kept.channels),
        "mlp.down_proj": (kept.channels, neurons),
    }[part]
    return rows, None if bias else columns


def _top(scores: torch.Tensor, n: int) -> torch.Tensor:
    if n == len(scores):
        return torch.arange(n)
    order: Sequence[int] = torch.argsort(scores, descending=True, stable=True)[:n].tolist()
    return torch.tensor(sorted(order))

"""Where a transformer's attention heads come together: the output projection of each attention, found by structure.

Classes, names and sizes of the modules are read, never their weights, and held against the configuration, so that a
model that is built otherwise is refused instead of half masked (specification, section 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from paperworks.errors import InputError

PROJECTIONS = ("dense", "o_proj", "out_proj", "out_lin", "Wo")


@dataclass(frozen=True)
class AttentionLayer:
    """The output projection of one attention: its dotted path, and the `heads · head_dim` features it reads."""

    name: str
    heads: int
    head_dim: int


def attention_layers(model: nn.Module) -> list[AttentionLayer]:
    """The output projections of a model's attention in the order in which they run; also on the `meta` device.

    One for each layer; pyramids (Swin) have other numbers of heads in each stage. LiLT has two for each layer, of its
    text and its layout stream (`output.dense`, `layout_output.dense`), whose heads are masked on their own: the
    `head_mask` of transformers 4 is the mask that is equal in both. The layout stream of the last layer reaches no
    output. Raises `InputError` for a model without such projections (a CNN), whose layers share one (ALBERT), or whose
    count or sizes are not those of its configuration.
    """
    model = plain(model)
    found = list(_projections(model))
    if not found:
        raise InputError(
            f"{type(model).__name__} has no attention heads to mask: none of its modules whose class name contains"
            f" 'Attention' has a linear layer named {', '.join(PROJECTIONS)}"
        )
    heads = _configured_heads(model)
    if len(found) != len(heads):
        raise InputError(
            f"{type(model).__name__} has {len(found)} attention output projections ({found[0][0]} …), but its"
            f" configuration says {len(heads)}: layers that share one, or several towers, cannot be masked"
        )
    layers = []
    for (name, features, sizes), count in zip(found, heads, strict=True):
        head_dim, rest = divmod(features, count)
        if rest or head_dim not in sizes:
            raise InputError(
                f"{type(model).__name__}: {name} reads {features} features, which are not the configured {count} heads"
                f" of {' or '.join(map(str, sorted(sizes))) or 'an unknown number of'} features"
            )
        layers.append(AttentionLayer(name, count, head_dim))
    return layers


def plain(model: nn.Module) -> nn.Module:
    """The model itself where `torch.compile` wraps it."""
    return getattr(model, "_orig_mod", model)


def _projections(model: nn.Module) -> Iterator[tuple[str, int, set[int]]]:
    """Name, input features and possible head sizes of each output projection: linear layers of the outermost attention
    modules, by their name, for queries, keys and values are as wide."""
    outer = ""
    for name, module in model.named_modules():
        if "Attention" not in type(module).__name__ or (outer and name.startswith(f"{outer}.")):
            continue
        outer = name
        sizes = _head_sizes(module)
        for inner, part in module.named_modules(prefix=name):
            if isinstance(part, nn.Linear) and inner.rsplit(".", 1)[-1] in PROJECTIONS:
                yield inner, part.in_features, sizes


def _head_sizes(attention: nn.Module) -> set[int]:
    sizes = set()
    for part in attention.modules():
        size = getattr(part, "head_dim", None) or getattr(part, "attention_head_size", None)
        if isinstance(size, int):
            sizes |= {size, size // getattr(part, "channel_shrink_ratio", 1)}
    return sizes


def _configured_heads(model: nn.Module) -> list[int]:
    """The number of heads of each projection that the configuration promises."""
    config = getattr(model, "config", None)
    depths, heads = getattr(config, "depths", None), getattr(config, "num_attention_heads", None)
    if depths and isinstance(heads, (list, tuple)):
        return [count for count, depth in zip(heads, depths, strict=True) for _ in range(depth)]
    layers = getattr(config, "num_hidden_layers", None)
    if not (isinstance(heads, int) and isinstance(layers, int)):
        raise InputError(
            f"{type(model).__name__} has no configuration with num_hidden_layers and num_attention_heads:"
            " pass a transformers encoder with its classification head"
        )
    return [heads] * (layers * (2 if hasattr(config, "channel_shrink_ratio") else 1))

"""Recorded cross-attention of a diffusers UNet: which text token each place of the picture looks at.

A layer's softmax is computed in the open, so that the probabilities can be read and have a gradient, and its output is
that of the layer's own kernel but for rounding. Layers are found by the size of their maps, which is told from the
UNet's blocks and not from the number of queries: a map may have any proportions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paperworks.errors import InputError

PLAIN = (
    "AttnProcessor", "AttnProcessor2_0", "SlicedAttnProcessor", "XFormersAttnProcessor", "FusedAttnProcessor2_0",
)  # fmt: skip
"""Processors that compute softmax(qkᵀ·scale)·v and nothing else, so that a recording one may stand in for them."""

Size = tuple[int, int]


@dataclass(frozen=True)
class CrossAttention:
    """A cross-attention layer, its name in the UNet, and the height and width of its map."""

    name: str
    layer: Any
    size: Size


def cross_attention_layers(unet: nn.Module, latent_size: Size) -> list[CrossAttention]:
    """The cross-attention layers of a `UNet2DConditionModel` for a latent `(height, width)`, in the order they run.

    Every downsampler halves a side, rounded up. Works on the `meta` device. Raises `InputError` for a model that has no
    down, middle and up blocks.
    """
    if not all(hasattr(unet, name) for name in ("down_blocks", "mid_block", "up_blocks")):
        raise InputError(
            f"{type(unet).__name__} has no down, middle and up blocks: a UNet2DConditionModel is needed"
        )
    sizes = [latent_size]
    places: list[tuple[str, Any, Size]] = []
    for index, block in enumerate(unet.down_blocks):  # type: ignore[arg-type]
        places.append((f"down_blocks.{index}", block, sizes[-1]))
        if getattr(block, "downsamplers", None) is not None:
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
    places.append(("mid_block", unet.mid_block, sizes[-1]))
    for index, block in enumerate(unet.up_blocks):  # type: ignore[arg-type]
        places.append((f"up_blocks.{index}", block, sizes[-1]))
        if getattr(block, "upsamplers", None) is not None:
            sizes.pop()
    return [
        CrossAttention(f"{block_name}.{name}", layer, size)
        for block_name, block, size in places
        if block is not None
        for name, layer in block.named_modules()
        if name.endswith(".attn2") and getattr(layer, "is_cross_attention", True)
    ]


def layers_of_size(unet: nn.Module, latent_size: Size, map_size: Size | None = None) -> list[CrossAttention]:
    """The layers whose maps have `map_size`; by default a quarter of the latent's height and width.

    Where that is the size of the middle block, the deepest, only the decoder's layers are taken: they come last and
    know most of the picture. In Stable Diffusion 1.5 at 512 pixels these are 5 layers of 16 × 16 (two of the encoder,
    three of the decoder), in SDXL at 1024 pixels the 30 of 32 × 32 in `up_blocks.0`. Raises `InputError` that lists
    the sizes there are where none has the size, and for a layer whose processor cannot be stood in for.
    """
    every = cross_attention_layers(unet, latent_size)
    wanted = map_size or (latent_size[0] // 4, latent_size[1] // 4)
    found = [one for one in every if one.size == tuple(wanted)]
    if not found:
        sizes = ", ".join(f"{h} x {w}" for h, w in sorted({one.size for one in every}))
        raise InputError(
            f"no cross-attention map is {wanted[0]} x {wanted[1]} for a latent of {latent_size[0]} x {latent_size[1]}: "
            f"set map_size to one of {sizes or 'none, this UNet has no cross-attention'}"
        )
    if any(one.name.startswith("mid_block") for one in found):
        found = [one for one in found if one.name.startswith("up_blocks")] or found
    for one in found:
        kind = type(one.layer.processor).__name__
        if kind not in PLAIN:
            raise InputError(
                f"layer {one.name} has a {kind}: take the adapter off (only {', '.join(PLAIN)} can be read)"
            )
    return found


class Record:
    """The maps of one forward pass: the mean over heads and layers of what was recorded since `clear`."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []

    def clear(self) -> None:
        """Forget what was recorded."""
        self.layers = []

    def maps(self) -> Tensor:
        """`[batch, height, width, tokens]`, float32 or the model's own precision where that is finer."""
        return torch.stack(self.layers).mean(0)


class RecordingProcessor:
    """Attention in the open: softmax(q kᵀ · scale) v, with the mean over heads of the softmax put into a record.

    `last` says that no layer whose map matters follows: what is computed after this map needs no gradient, and autograd
    is switched off for the rest of the pass.
    """

    def __init__(self, record: Record, size: Size, *, last: bool = False) -> None:
        self.record, self.size, self.last = record, size, last

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **ignored: Any,
    ) -> Tensor:
        """Hidden states `[batch, height · width, channels]` to the same shape, as `AttnProcessor2_0` does."""
        residual = hidden_states
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attn.norm_cross:
            context = attn.norm_encoder_hidden_states(context)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)

        def heads(states: Tensor) -> Tensor:
            return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        query, key, value = (
            heads(attn.to_q(hidden_states)),
            heads(attn.to_k(context)),
            heads(attn.to_v(context)),
        )
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        logits = query @ key.transpose(-1, -2) * attn.scale
        if attention_mask is not None:
            mask = attn.prepare_attention_mask(attention_mask, context.shape[1], len(context))
            logits = logits + mask.view(len(context), attn.heads, -1, mask.shape[-1])
        probabilities = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
        self.record.layers.append(probabilities.mean(1).unflatten(1, self.size))
        if self.last:
            torch.set_grad_enabled(False)
        states = (probabilities.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        states = attn.to_out[1](attn.to_out[0](states))
        if attn.residual_connection:
            states = states + residual
        return states / attn.rescale_output_factor


@contextmanager
def recorded(layers: Sequence[CrossAttention], *, stop_gradient: bool = True) -> Iterator[Record]:
    """Record the maps of `layers` inside the context; their own processors are put back, also after an exception.

    With `stop_gradient` a pass under `torch.enable_grad` builds no graph behind the last of the layers. Whoever calls
    the UNet restores the gradient mode: `with torch.enable_grad(): unet(...)` does.
    """
    record = Record()
    before = [one.layer.processor for one in layers]
    try:
        for one in layers:
            last = stop_gradient and one is layers[-1]
            one.layer.set_processor(RecordingProcessor(record, one.size, last=last))
        yield record
    finally:
        for one, processor in zip(layers, before, strict=True):
            one.layer.set_processor(processor)
        record.clear()

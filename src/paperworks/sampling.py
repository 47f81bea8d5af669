"""Sampling from a text-to-image pipeline with gradients, through the pipeline's own parts.

`pipe(...)` of diffusers runs under `no_grad`. Here the same loop runs over the same text encoders, UNet, scheduler and
VAE with gradients from the picture to the prompt's embeddings; nothing of the pipeline is patched, and without
gradients the picture is the pipeline's own, bit for bit. Stable Diffusion 1 and 2, SDXL, and their few-step variants.
There is no safety checker and no watermark.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from paperworks.errors import InputError


@dataclass(frozen=True)
class Conditioning:
    """What the UNet is told of `B` prompts: embeddings `[B, L, D]`, for SDXL the pooled vector `[B, P]` too, and the
    same of the negative prompts where guidance needs them."""

    embeds: Tensor
    negative: Tensor | None = None
    pooled: Tensor | None = None
    negative_pooled: Tensor | None = None


def guided(pipe: Any, guidance: float) -> bool:
    """Whether a guidance scale means a second, negative branch: above 1, and not where the UNet takes the scale as an
    input (LCM)."""
    return guidance > 1 and pipe.unet.config.time_cond_proj_dim is None


def encode(
    pipe: Any, prompts: Sequence[str], *, guidance: float = 0.0, negative: Conditioning | None = None
) -> Conditioning:
    """The conditioning of `B` prompts by the pipeline's own `encode_prompt`, which has gradients.

    `negative` is an earlier conditioning of as many prompts whose negative branch is taken over, so that it is not
    computed again at every iteration. The negative prompt is empty.
    """
    both = guided(pipe, guidance)
    known: dict[str, Tensor | None] = {}
    if both and negative is not None:
        known["negative_prompt_embeds"] = negative.negative
        if is_sdxl(pipe):
            known["negative_pooled_prompt_embeds"] = negative.negative_pooled
    found = pipe.encode_prompt(
        list(prompts),
        device=pipe._execution_device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=both,
        **known,
    )
    return Conditioning(*found)


def is_sdxl(pipe: Any) -> bool:
    """Whether the pipeline has SDXL's two text encoders."""
    return getattr(pipe, "text_encoder_2", None) is not None


def differentiable_sample(
    pipe: Any,
    conditioning: Conditioning,
    noise: Tensor,
    *,
    steps: int,
    guidance: float = 0.0,
    generator: torch.Generator | list[torch.Generator] | None = None,
    checkpointing: bool = False,
) -> Tensor:
    """Pictures `[B, 3, H, W]` in 0 to 1, with gradients to the conditioning and the noise.

    Equal to `pipe(prompt, latents=noise, num_inference_steps=steps, guidance_scale=guidance, output_type="pt")`.
    `noise` is standard normal `[B, 4, H/8, W/8]`; the scheduler scales it. `generator` is drawn from by schedulers that
    add noise on the way (Euler-ancestral and LCM from the second step on), one a picture where it is a list.
    `checkpointing` computes the inside of the UNet's and the VAE's blocks again in the backward pass: less memory, a
    third more time, the same gradients. Pixels that the final clamp cuts off have no gradient.

    Raises `InputError` for a VAE in half precision that overflows there, and for noise of another shape.
    """
    channels = pipe.unet.config.in_channels
    if noise.ndim != 4 or len(noise) != len(conditioning.embeds) or noise.shape[1] != channels:
        raise InputError(
            f"noise {list(noise.shape)} for {len(conditioning.embeds)} prompts: "
            f"[{len(conditioning.embeds)}, {channels}, height, width] is needed"
        )
    with _checkpointed(pipe, checkpointing):
        latents = sample_latents(
            pipe, conditioning, noise, steps=steps, guidance=guidance, generator=generator
        )
        return decode(pipe, latents)


def sample_latents(
    pipe: Any,
    conditioning: Conditioning,
    noise: Tensor,
    *,
    steps: int,
    guidance: float = 0.0,
    generator: torch.Generator | list[torch.Generator] | None = None,
) -> Tensor:
    """The sampler's loop: noise `[B, 4, h, w]` to latents `[B, 4, h, w]`, on a copy of the pipeline's scheduler."""
    unet, scheduler, device = pipe.unet, copy.deepcopy(pipe.scheduler), pipe._execution_device
    both = guided(pipe, guidance)
    embeds, pooled, batch = conditioning.embeds, conditioning.pooled, len(noise)
    if both:
        if conditioning.negative is None:
            raise InputError(
                f"guidance {guidance:g} needs a negative branch: encode with guidance={guidance:g}"
            )
        embeds = torch.cat([conditioning.negative, embeds])
        if pooled is not None and conditioning.negative_pooled is not None:
            pooled = torch.cat([conditioning.negative_pooled, pooled])
    scheduler.set_timesteps(steps, device=device)
    latents = noise.to(device, embeds.dtype) * scheduler.init_noise_sigma
    options: dict[str, Any] = {"encoder_hidden_states": embeds, "return_dict": False}
    if pooled is not None:
        size = tuple(pipe.vae_scale_factor * side for side in noise.shape[2:])
        width = pipe.text_encoder_2.config.projection_dim
        ids = pipe._get_add_time_ids(
            size, (0, 0), size, dtype=embeds.dtype, text_encoder_projection_dim=width
        )
        options["added_cond_kwargs"] = {
            "text_embeds": pooled,
            "time_ids": ids.to(device).repeat(len(embeds), 1),
        }
    if unet.config.time_cond_proj_dim is not None:
        scale = torch.tensor(guidance - 1).repeat(batch)
        scale_embedding = pipe.get_guidance_scale_embedding(
            scale, embedding_dim=unet.config.time_cond_proj_dim
        )
        options["timestep_cond"] = scale_embedding.to(device, latents.dtype)
    step_options = pipe.prepare_extra_step_kwargs(generator, 0.0)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    for time in scheduler.timesteps:
        taken = scheduler.scale_model_input(torch.cat([latents] * 2) if both else latents, time)
        found = unet(taken, time, **options)[0]
        if both:
            away, towards = found.chunk(2)
            found = away + guidance * (towards - away)
        latents = scheduler.step(found, time, latents, **step_options, return_dict=False)[0]
    return latents


def decode(pipe: Any, latents: Tensor) -> Tensor:
    """Latents `[B, 4, h, w]` to pictures `[B, 3, H, W]` in 0 to 1, as the pipeline does it.

    Raises `InputError` for a VAE in half precision that its own configuration says overflows there.
    """
    vae = pipe.vae
    if vae.dtype == torch.float16 and vae.config.force_upcast:
        raise InputError("this VAE overflows in half precision: pipe.vae.to(torch.float32) first")
    mean, deviation = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if is_sdxl(pipe) and mean is not None and deviation is not None:
        mean, deviation = (torch.tensor(one).view(1, 4, 1, 1).to(latents) for one in (mean, deviation))
        latents = latents * deviation / vae.config.scaling_factor + mean
    else:
        latents = latents / vae.config.scaling_factor
    pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
    pictures: Tensor = pipe.image_processor.postprocess(
        pixels, output_type="pt", do_denormalize=[True] * len(pixels)
    )
    return pictures


@contextmanager
def _checkpointed(pipe: Any, wanted: bool) -> Iterator[None]:
    """The UNet's and the VAE's own gradient checkpointing while the pictures are drawn."""
    switched = [part for part in (pipe.unet, pipe.vae) if wanted and not part.is_gradient_checkpointing]
    for part in switched:
        part.enable_gradient_checkpointing()
    try:
        yield
    finally:
        for part in switched:
            part.disable_gradient_checkpointing()


@contextmanager
def frozen(*modules: Any) -> Iterator[None]:
    """No gradients for the modules' weights inside; the flags are as before afterwards."""
    flags = [(weight, weight.requires_grad) for module in modules for weight in module.parameters()]
    for weight, _ in flags:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)

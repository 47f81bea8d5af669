"""The pipelines: Stable Diffusion and Stable Diffusion XL of diffusers, with `objects` and `frap` as further arguments.

Whatever the parent takes is passed on, and its own denoising loop runs. With `frap=None` it is the parent's call.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from paperworks.attention import CrossAttention, layers_of_size
from paperworks.errors import InputError
from paperworks.frap.adapt import Adaptive
from paperworks.frap.baselines import (
    AttendAndExcite,
    AttendAndExciteGuide,
    Replay,
    Static,
    SynGen,
    SynGenGuide,
    Weighted,
)
from paperworks.frap.result import Result
from paperworks.frap.settings import Settings, first_steps
from paperworks.frap.steering import check_unet, steered
from paperworks.frap.words import Objects, Prompt, read_positions, read_prompt

Method = Settings | Static | Replay | AttendAndExcite | SynGen


class _Frap:
    """What both pipelines add to their parent."""

    @classmethod
    def from_pipe(cls, pipeline: Any, **options: Any) -> Any:
        """The pipeline around the modules of another, in the types that these have: nothing is converted or copied.

        Raises `InputError` for a pipeline of another kind.
        """
        parent: Any = cls.__mro__[2]
        if not isinstance(pipeline, parent):
            raise InputError(
                f"{cls.__name__} is made from a {parent.__name__}, not from a {type(pipeline).__name__}"
            )
        taken = inspect.signature(parent.__init__).parameters
        settings = {
            name: value
            for name, value in pipeline.config.items()
            if name in taken and name not in pipeline.components
        }
        made = cls(**{**pipeline.components, **settings, **options})
        made._progress_bar_config = dict(getattr(pipeline, "_progress_bar_config", {}))  # type: ignore[attr-defined]
        return made

    def objects(self, prompt: str) -> dict[str, list[str]]:
        """What would be optimised for a prompt: its objects with their modifiers, as the parser finds them."""
        found = self._read(prompt, None)
        return {one.text: [word.text for word in one.modifiers] for one in found.objects}

    def __call__(
        self,
        prompt: str | list[str] | None = None,
        *arguments: Any,
        objects: Objects | Sequence[Objects | None] | None = None,
        frap: Method | None = Settings(),  # noqa: B008 (frozen)
        null_prompt_embeds: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """The parent's call, steered. Returns the parent's output; with `Settings` it has a `frap`, a `Result`.

        - `objects`: {"cube": ["red"]}, one for each prompt of a list; found by the parser where not given. With
          `prompt_embeds` they are positions, {6: [5]}, and `null_prompt_embeds` `[1, N, D]` is the empty prompt's.
        - `frap`: `Settings`; `Static`, `Replay`, `AttendAndExcite` or `SynGen` for a baseline; `None` for the parent.

        With `return_dict=False` the `Result` is the last of the tuple. Raises `InputError` for what cannot be steered.
        """
        parent: Any = super().__call__  # type: ignore[misc]
        if frap is None:
            return parent(prompt, *arguments, **options)
        given = inspect.signature(parent).bind(prompt, *arguments, **options)
        given.apply_defaults()
        call = dict(given.arguments)
        call.update(call.pop("kwargs", {}))
        steps = _steps(call)
        if getattr(frap, "steps", None) is not None:
            first_steps(frap.steps, steps)  # type: ignore[union-attr]
        prompts, empty = self._prompts(call, objects, null_prompt_embeds)
        if not any(one.objects for one in prompts) and not isinstance(frap, Replay):
            warnings.warn(f'no object found in "{prompts[0].text}": drawn as without weights', stacklevel=2)
            return parent(prompt, *arguments, **options)
        if isinstance(frap, Settings) and frap.steps == 0:
            return parent(prompt, *arguments, **options)
        layers = self._layers(call, frap)
        guide = _guide(frap, prompts, empty, steps)
        with steered(self, guide, layers, len(prompts), steps) as calls:
            output = parent(prompt, *arguments, **options)
        if not isinstance(guide, Adaptive):
            return output
        result = Result(
            prompts,
            guide.settings,
            torch.stack(guide.trajectory).cpu(),
            torch.stack([loss.total for loss in guide.losses]).cpu()
            if guide.losses
            else torch.zeros(0, len(prompts)),
            [loss.presence for loss in guide.losses],
            [loss.overlap for loss in guide.losses],
            _seed(call.get("generator")),
            vars(calls),
        )
        if call["return_dict"] is False:
            return (*output, result)
        output.frap = result
        return output

    def _read(self, text: str, objects: Objects | None) -> Prompt:
        tokenizer = self.tokenizer  # type: ignore[attr-defined]
        return read_prompt(tokenizer, self.maybe_convert_prompt(text, tokenizer), objects)  # type: ignore[attr-defined]

    def _prompts(
        self, call: Mapping[str, Any], objects: Any, null_embeds: Tensor | None
    ) -> tuple[list[Prompt], Tensor]:
        """A prompt for each picture, and the empty prompt's embedding `[1, N, D]`."""
        text, embeds = call["prompt"], call["prompt_embeds"]
        if text is None and embeds is None:
            raise InputError("give a prompt, or prompt_embeds")
        if text is None:
            if objects is None or null_embeds is None:
                raise InputError("with prompt_embeds, give objects as positions and null_prompt_embeds")
            if embeds.shape[1:] != null_embeds.shape[1:]:
                raise InputError(
                    f"prompt_embeds {tuple(embeds.shape)} and null_prompt_embeds {tuple(null_embeds.shape)} "
                    "differ in length or width"
                )
            each = _for_each(objects, len(embeds))
            read = [read_positions(embeds.shape[1], one) for one in each]
            empty = null_embeds[:1].to(embeds.device, embeds.dtype)
        else:
            texts = [text] if isinstance(text, str) else list(text)
            read = [
                self._read(one, own) for one, own in zip(texts, _for_each(objects, len(texts)), strict=True)
            ]
            empty = self._empty(call)
        copies = call["num_images_per_prompt"] or 1
        return [one for one in read for _ in range(copies)], empty

    @torch.no_grad()
    def _empty(self, call: Mapping[str, Any]) -> Tensor:
        """The embedding of the empty string as the prompt's is made; not the negative one, which may be the user's."""
        scale = (call["cross_attention_kwargs"] or {}).get("scale")
        encoded = self.encode_prompt(  # type: ignore[attr-defined]
            prompt="",
            device=self._execution_device,  # type: ignore[attr-defined]
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
            lora_scale=scale,
            clip_skip=call["clip_skip"],
        )
        return encoded[0]

    def _layers(self, call: Mapping[str, Any], method: Method) -> list[CrossAttention]:
        """The layers that are read, for the size that is drawn. Raises `InputError` for a size that does not divide."""
        check_unet(self.unet)  # type: ignore[attr-defined]
        if isinstance(method, Static | Replay):
            return []
        factor, side = self.vae_scale_factor, self.unet.config.sample_size  # type: ignore[attr-defined]
        default = (side, side) if isinstance(side, int) else side
        pixels = (call["height"] or default[0] * factor, call["width"] or default[1] * factor)
        if call["latents"] is not None:
            pixels = tuple(factor * n for n in call["latents"].shape[-2:])
        unit = factor if method.map_size else 4 * factor
        for name, size in zip(("height", "width"), pixels, strict=True):
            if size % unit:
                near = f"{size // unit * unit} or {(size // unit + 1) * unit}"
                raise InputError(f"{name} {size} is no multiple of {unit} pixels: take {near}")
        layers = layers_of_size(self.unet, (pixels[0] // factor, pixels[1] // factor), method.map_size)  # type: ignore[attr-defined]
        kinds = {type(one.layer.processor).__name__ for one in layers} & {
            "SlicedAttnProcessor",
            "XFormersAttnProcessor",
        }
        if kinds:
            warnings.warn(
                f"{', '.join(sorted(kinds))} is replaced on the {len(layers)} layers that are read",
                stacklevel=3,
            )
        return layers


class FrapStableDiffusionPipeline(_Frap, StableDiffusionPipeline):
    """`StableDiffusionPipeline` with FRAP: its call takes `objects` and `frap`."""


class FrapStableDiffusionXLPipeline(_Frap, StableDiffusionXLPipeline):
    """`StableDiffusionXLPipeline` with FRAP: one weight for both text encoders, none for the pooled text."""


def frap_pipeline(pipeline: Any) -> Any:
    """The FRAP pipeline around another's modules. Raises `InputError` that names a pipeline of another kind."""
    for own in (FrapStableDiffusionPipeline, FrapStableDiffusionXLPipeline):
        if isinstance(pipeline, own.__mro__[2]):
            return own.from_pipe(pipeline)
    raise InputError(
        f"{type(pipeline).__name__} cannot be weighted: FRAP reads cross-attention, as StableDiffusionPipeline and "
        "StableDiffusionXLPipeline have it (SD3, FLUX and PixArt attend jointly, or have no UNet)"
    )


def _guide(method: Method, prompts: Sequence[Prompt], empty: Tensor, steps: int) -> Any:
    if isinstance(method, Settings):
        return Adaptive(method, prompts, empty, steps)
    if isinstance(method, Static):
        return Weighted.constant(method.weight, prompts, empty)
    if isinstance(method, Replay):
        return Weighted.replayed(method.weights, len(prompts), empty)
    if isinstance(method, AttendAndExcite):
        return AttendAndExciteGuide(method, prompts, steps)
    return SynGenGuide(method, prompts, steps)


def _steps(call: Mapping[str, Any]) -> int:
    """T: the steps that were asked for, or the number of timesteps or sigmas given."""
    for name in ("timesteps", "sigmas"):
        if call.get(name) is not None:
            return len(call[name])
    return int(call["num_inference_steps"])


def _for_each(objects: Any, n: int) -> Sequence[Any]:
    """One for each of `n` prompts."""
    if objects is None:
        return [None] * n
    if isinstance(objects, Mapping):
        objects = [objects]
    if len(objects) != n:
        raise InputError(f"{len(objects)} objects for {n} prompts: give one mapping for each prompt")
    return objects


def _seed(generator: Any) -> Any:
    if isinstance(generator, list):
        return [one.initial_seed() for one in generator]
    return None if generator is None else generator.initial_seed()

"""Steering a diffusers pipeline from inside its UNet: the denoising loop stays the pipeline's own.

For the time of a call `unet.forward` is replaced on the instance. The replacement splits the batch of classifier-free
guidance, gives the half that has the prompt to a guide (FRAP, or one of the baselines) and runs the other half as it
was. What the guide asks for it gets: a prediction, or a prediction with the maps of cross-attention and a gradient.
A guide that moves the latent says by how much, and the scheduler's step starts from there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from paperworks.attention import CrossAttention, Record, recorded
from paperworks.errors import InputError


@dataclass
class Step:
    """A call of the UNet as a guide sees it: the half of the batch that has the prompt.

    `index` counts the distinct timesteps, `first` is false for a scheduler's second call at one of them. `sample`
    `[B, C, h, w]` is the model's input, `scale` of it the latent's; `prompt` `[B, N, D]` the embedding. `shift` is
    what a guide adds to the latent.
    """

    index: int
    first: bool
    total: int
    sample: Tensor
    prompt: Tensor
    scale: float
    run: Callable[[Tensor, Tensor], Tensor]
    record: Record
    shift: Tensor | None = None

    def predict(self, prompt: Tensor) -> Tensor:
        """The model's prediction under a prompt, without a gradient."""
        with torch.no_grad():
            return self.run(self.sample, prompt)

    def predict_with_maps(self, prompt: Tensor, sample: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The prediction, without a graph, and the maps `[B, h, w, N]` with theirs."""
        self.record.clear()
        with torch.enable_grad():
            prediction = self.run(self.sample if sample is None else sample, prompt)
        with torch.enable_grad():  # the last of the recorders has switched it off
            maps = self.record.maps()
        self.record.clear()
        return prediction.detach(), maps

    def move(self, shift: Tensor) -> None:
        """Add to the latent: the model's input and the scheduler's step follow."""
        self.shift = shift if self.shift is None else self.shift + shift
        self.sample = self.sample + self.scale * shift


class Guide(Protocol):
    """What steers a call, one object for each call."""

    steps: int
    """Steps in which maps are read."""

    def guide(self, step: Step) -> Tensor:
        """The prediction of the half with the prompt."""


@dataclass
class Calls:
    """How often the UNet ran on each half of the batch."""

    prompt: int = 0
    negative: int = 0


@contextmanager
def steered(
    pipeline: Any, guide: Guide, layers: Sequence[CrossAttention], pictures: int, steps: int
) -> Iterator[Calls]:
    """Steer `pipeline` while the context lasts: `pictures` B in a batch, `steps` T of the sampling.

    `unet.forward`, the processors of `layers`, the parameters' `requires_grad` and `scheduler.step` are put back at the
    end, also after an exception. Raises `InputError` for a UNet that cannot be steered, and out of memory.
    """
    unet, scheduler = pipeline.unet, pipeline.scheduler
    check_unet(unet)
    calls = Calls()
    trainable = [one for one in unet.parameters() if one.requires_grad]
    own_forward, own_step = vars(unet).get("forward"), vars(scheduler).get("step")
    forward, scheduler_step = unet.forward, scheduler.step
    state: dict[str, Any] = {"index": -1, "timestep": None, "shift": None}

    def steered_forward(
        sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, return_dict: bool = True, **inputs: Any
    ) -> Any:
        time = float(timestep)
        first = time != state["timestep"]
        state["index"] += first
        state["timestep"], state["shift"] = time, None
        guided = len(sample) == 2 * pictures
        half = pictures if guided else 0

        def run(rows: slice, sample: Tensor, prompt: Tensor) -> Tensor:
            return forward(sample, timestep, prompt, return_dict=False, **_rows(inputs, rows, half))[0]

        def run_prompt(sample: Tensor, prompt: Tensor) -> Tensor:
            calls.prompt += 1
            return run(slice(half, None), sample, prompt)

        step = Step(
            state["index"], first, steps, sample[half:], encoder_hidden_states[half:], _scale(scheduler, timestep),
            run_prompt, record,
        )  # fmt: skip
        reads = recorded(layers) if first and state["index"] < guide.steps else _nothing(record)
        with reads as step.record:
            prediction = guide.guide(step)
        if guided:
            calls.negative += 1
            shifted = sample[:half] if step.shift is None else step.sample
            with torch.no_grad():
                prediction = torch.cat([run(slice(half), shifted, encoder_hidden_states[:half]), prediction])
        state["shift"] = step.shift
        if not return_dict:
            return (prediction,)
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

        return UNet2DConditionOutput(sample=prediction)

    @functools.wraps(scheduler_step)
    def shifted_step(model_output: Any, timestep: Any, sample: Tensor, *args: Any, **options: Any) -> Any:
        if state["shift"] is not None:
            sample = sample + state["shift"].to(sample.dtype)
            state["shift"] = None
        return scheduler_step(model_output, timestep, sample, *args, **options)

    record = Record()
    try:
        for one in trainable:
            one.requires_grad_(False)
        unet.forward, scheduler.step = steered_forward, shifted_step
        yield calls
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"out of memory with {pictures} pictures at a time: the gradient needs room, try one at a time"
        ) from error
    finally:
        for owner, name, own in ((unet, "forward", own_forward), (scheduler, "step", own_step)):
            if own is None:
                vars(owner).pop(name, None)
            else:
                setattr(owner, name, own)
        for one in trainable:
            one.requires_grad_(True)


def check_unet(unet: Any) -> None:
    """Raise `InputError` where no gradient can pass, or where a replaced `forward` would not be called."""
    if torch.is_inference_mode_enabled():
        raise InputError(
            "inside torch.inference_mode no gradient can be taken: use torch.no_grad, or neither"
        )
    if hasattr(unet, "_orig_mod") or getattr(unet, "_compiled_call_impl", None) is not None:
        raise InputError(
            "the UNet is compiled, and compiled code does not see the steering: pass it as it was before"
        )
    if any(one.is_meta for one in unet.parameters()):
        raise InputError(
            "the UNet's weights are not on a device (sequential offload): use enable_model_cpu_offload, or none"
        )
    if not all(one.is_floating_point() for one in unet.parameters()):
        raise InputError(
            "the UNet's weights are quantised and pass no gradient: load it in float16 or float32"
        )


@contextmanager
def _nothing(record: Record) -> Iterator[Record]:
    yield record


def _scale(scheduler: Any, timestep: Any) -> float:
    """What the scheduler multiplies a latent by before the model sees it."""
    return float(scheduler.scale_model_input(torch.ones(()), timestep))


def _rows(inputs: Any, rows: slice, half: int) -> Any:
    """The tensors of the UNet's further inputs that have a row for each picture, cut to one half of the batch."""
    if isinstance(inputs, dict):
        return {name: _rows(value, rows, half) for name, value in inputs.items()}
    if half and isinstance(inputs, torch.Tensor) and inputs.ndim and len(inputs) == 2 * half:
        return inputs[rows]
    return inputs

"""One training loop for what is no `transformers` model: mixed precision, an average of the weights, resume.

A batch is a function of the step, and its random numbers have a seed of their own, so that a run that was stopped goes
on as if it had not been. On a GPU the forward and backward pass of a step is recorded once as a CUDA graph: small
models spend most of their time on starting kernels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paperworks.errors import InputError
from paperworks.files import replacing

Batch = Callable[[int, torch.Generator], tuple[Tensor, ...]]
"""`(step, generator on the device) -> tensors` of the same shapes at every step, on the device."""


def learning_rate(step: int, steps: int, warmup: int) -> float:
    """The factor of a step, 0 to 1: linear over `warmup` steps, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fit(
    modules: nn.ModuleDict,
    batch: Batch,
    loss: Callable[..., Tensor],
    *,
    steps: int,
    rate: float,
    warmup: int = 100,
    weight_decay: float = 0.0,
    average: float | None = None,
    seed: int = 0,
    precision: str = "no",
    folder: str | Path | None = None,
    save_every: int = 500,
    after: Callable[[int, nn.ModuleDict], None] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    what: str = "training",
) -> list[dict[str, float]]:
    """Train the modules with AdamW on `loss(*batch(step, generator))`; the mean loss of every fiftieth part of the run.

    `average` is the decay of the exponential average of the weights, which takes the weights' place at the end; it
    follows the weights faster at first, by `(1 + step) / (10 + step)`. `precision` is accelerate's: `no`, `bf16`,
    `fp16`. With a `folder` the run is saved there every `save_every` steps and goes on from there. `after(step,
    averages)` is called after every step, with the averaged modules (or the modules themselves). Raises `InputError`
    where the loss is not finite.
    """
    from accelerate import Accelerator
    from accelerate.utils import AutocastKwargs

    accelerator = Accelerator(mixed_precision=precision)
    device = accelerator.device
    modules.to(device).train()
    averages = (
        nn.ModuleDict({name: _copy(module) for name, module in modules.items()}) if average else modules
    )
    optimizer = torch.optim.AdamW(
        [p for p in modules.parameters() if p.requires_grad],
        lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=device.type == "cuda",
    )  # fmt: skip
    state = Path(folder) / f"{what}.pt" if folder else None
    step, curve, total, counted = 0, [], torch.zeros((), device=device), 0
    if state and state.is_file():
        kept = torch.load(state, map_location=device, weights_only=True)
        modules.load_state_dict(kept["modules"])
        averages.load_state_dict(kept["averages"])
        optimizer.load_state_dict(kept["optimizer"])
        step, curve = kept["step"], kept["curve"]
    optimizer = accelerator.prepare_optimizer(optimizer)
    own = list(modules.parameters())
    shadow: list[Tensor] = list(averages.parameters())
    every = max(1, steps // 50)
    generator = torch.Generator(device)

    def run(*tensors: Tensor) -> Tensor:
        with accelerator.autocast(AutocastKwargs(cache_enabled=False)):
            value = loss(*tensors)
        accelerator.backward(value)
        return value.detach()

    passes = (
        _Recorded(run, [p for p in own if p.requires_grad])
        if device.type == "cuda" and precision != "fp16"
        else run
    )
    while step < steps:
        generator.manual_seed(seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = rate * learning_rate(step, steps, warmup)
        value = passes(*batch(step, generator))
        accelerator.clip_grad_norm_(own, 1.0)
        optimizer.step()
        if passes is run:
            optimizer.zero_grad()
        total, counted = total + value, counted + 1
        if average:
            weight = 1 - min(average, (1 + step) / (10 + step))
            torch._foreach_lerp_(shadow, [p.detach() for p in own], weight)
        step += 1
        if step % every == 0 or step == steps:
            mean = float(total) / counted
            if not math.isfinite(mean):
                raise InputError(f"{what}: the loss is {mean} at step {step}: take a smaller rate or float32")
            curve.append({"step": step, "loss": mean})
            total, counted = torch.zeros((), device=device), 0
            if progress:
                progress(step, steps, f"{what}: loss {mean:.4f}")
        if after:
            after(step, averages)
        if state and (step % save_every == 0 or step == steps):
            _save(state, modules, averages, optimizer, step, curve)
    if average:
        modules.load_state_dict(averages.state_dict())
    modules.eval()
    return curve


class _Recorded:
    """`run`, which returns a loss and leaves gradients, as a CUDA graph that is recorded at its first call."""

    def __init__(self, run: Callable[..., Tensor], parameters: list[nn.Parameter]) -> None:
        self.run, self.parameters = run, parameters
        self.graph: Any = None

    def __call__(self, *tensors: Tensor) -> Tensor:
        if self.graph is None:
            self._record(tensors)
        for place, tensor in zip(self.tensors, tensors, strict=True):
            place.copy_(tensor)
        self.graph.replay()
        return self.value.clone()

    def _record(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = [tensor.clone() for tensor in tensors]
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        grads: Any = [parameter.grad for parameter in self.parameters]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their kernels before anything is recorded
                self.run(*self.tensors)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            torch._foreach_zero_(grads)
            self.value = self.run(*self.tensors)


def _copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(False).eval()


def _save(
    path: Path,
    modules: nn.Module,
    averages: nn.Module,
    optimizer: Any,
    step: int,
    curve: list[dict[str, float]],
) -> None:
    with replacing(path) as partial:
        torch.save(
            {
                "modules": modules.state_dict(),
                "averages": averages.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "curve": curve,
            },
            partial,
        )

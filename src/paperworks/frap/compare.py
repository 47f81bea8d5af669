"""Several methods on the same prompts and seeds, and the pick of the best of several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from paperworks.errors import InputError
from paperworks.frap.baselines import AttendAndExcite, Replay, Static, SynGen
from paperworks.frap.result import Result
from paperworks.frap.settings import Settings, first_steps
from paperworks.frap.words import Objects

METHODS = ("plain", "frap", "static", "random", "attend-and-excite", "attend-and-excite-lean", "syngen")
"""`random` is FRAP's own weights permuted among the words of the prompt: run beside `frap`, it needs it."""


@dataclass(frozen=True)
class Drawn:
    """A picture with its prompt, method, seed, the seconds it took, and FRAP's result where there is one."""

    prompt: str
    method: str
    seed: int
    image: Any
    seconds: float
    result: Result | None = None


def compare(
    pipe: Any,
    prompts: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    *,
    objects: Objects | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    **options: Any,
) -> list[Drawn]:
    """Each prompt and seed under each method, one picture at a time; `options` go to the pipeline's call.

    Raises `InputError` for a method that is not one of `METHODS`, before anything is drawn.
    """
    for name in methods:
        if name not in METHODS:
            raise InputError(f"no method is called {name!r}: choose from {', '.join(METHODS)}")
    ways = [name for name in methods if name != "random"] + ["random"] * ("random" in methods)
    if "random" in ways and "frap" not in ways:
        raise InputError("random permutes the weights of frap: ask for both, --methods plain,frap,random")
    for prompt in prompts:
        pipe._read(prompt, objects)
    drawn: list[Drawn] = []
    total = len(prompts) * len(seeds) * len(ways)
    for prompt in prompts:
        for seed in seeds:
            last: Result | None = None
            for name in ways:
                progress(len(drawn), total, f"{name}: {prompt}")
                if name == "random" and last is None:
                    continue
                method = _method(name, settings, last, seed)
                started = time.perf_counter()
                output = pipe(
                    prompt,
                    objects=objects,
                    frap=method,
                    generator=torch.Generator().manual_seed(seed),
                    **options,
                )
                seconds = time.perf_counter() - started
                result = getattr(output, "frap", None)
                last = result or last
                drawn.append(Drawn(prompt, name, seed, output.images[0], seconds, result))
    return drawn


def best_seed(
    pipe: Any,
    prompt: str,
    seeds: Sequence[int],
    settings: Settings,
    *,
    objects: Objects | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    **options: Any,
) -> tuple[int, list[float]]:
    """The seed with the lowest loss after the first K/2 steps, and the loss of each: nothing is drawn to the end.

    Raises `InputError` where the prompt has no objects.
    """
    steps = first_steps(settings.steps, options.get("num_inference_steps", 50))
    half = max(1, steps // 2)
    losses = []

    def stop(pipe: Any, index: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = index + 1 >= half
        return {}

    for number, seed in enumerate(seeds):
        progress(number, len(seeds), f"seed {seed}")
        output = pipe(
            prompt,
            objects=objects,
            frap=replace(settings, steps=half),
            generator=torch.Generator().manual_seed(seed),
            **options | {"output_type": "latent", "callback_on_step_end": stop},
        )
        if not hasattr(output, "frap"):
            raise InputError(
                f'no object found in "{prompt}", so no seed is better than another: name them with --object'
            )
        losses.append(float(output.frap.loss[-1, 0]))
    return seeds[int(np.argmin(losses))], losses


def _method(name: str, settings: Settings, result: Result | None, seed: int) -> Any:
    steps, size = settings.steps, settings.map_size
    if name == "random":
        assert result is not None
        return Replay(permuted(result, seed))
    return {
        "plain": None,
        "frap": settings,
        "static": Static(),
        "attend-and-excite": AttendAndExcite(steps, map_size=size),
        "attend-and-excite-lean": AttendAndExcite(steps, variant="lean", map_size=size),
        "syngen": SynGen(steps, map_size=size),
    }[name]


def permuted(result: Result, seed: int) -> torch.Tensor:
    """FRAP's weights `[K + 1, B, N]`, those of each prompt permuted among all its words."""
    weights = result.weights.clone()
    rng = np.random.Generator(np.random.Philox(seed + 1))
    for row, prompt in enumerate(result.prompts):
        order = np.arange(weights.shape[2])
        order[1 : prompt.end] = 1 + rng.permutation(prompt.end - 1)
        weights[:, row] = result.weights[:, row, torch.from_numpy(order)]
    return weights

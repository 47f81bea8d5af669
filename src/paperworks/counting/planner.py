"""Before starting: is a token worth it for what is asked, or is drawing again and again until it fits cheaper?

Generate-and-reject needs on average `1/p` pictures for each that is right, where `p` is the share of plain pictures
with the right number. A token costs its learning once, and then `1/q`. All in pictures; a step of learning costs
about as much as two of them, for its backward pass goes through the whole sampler.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from paperworks.counting.detectors import Driver
from paperworks.counting.objective import Objective, Run, Settings, counted, draw

STEP_COST = 2.1
"""Plain pictures that a step costs: forward and backward through frozen weights (section 9, derived)."""


@dataclass(frozen=True)
class Plan:
    """Expected costs in pictures: `reject` for one right picture by generate-and-reject, `learn` at most for a token.

    `right` of `drawn` plain pictures had the right number by the driver. `reject` is infinite where none had.
    """

    drawn: int
    right: int
    reject: float
    learn: float
    seconds_per_picture: float

    def lines(self) -> list[str]:
        """For people."""
        reject = f"about {self.reject:.0f}" if math.isfinite(self.reject) else f"more than {self.drawn}"
        seconds = self.seconds_per_picture
        return [
            f"{self.right} of {self.drawn} plain pictures are right by the driver",
            f"one right picture: {reject} pictures by drawing again ({_time(self.reject * seconds)}), a token at most "
            f"{self.learn:.0f} pictures' time ({_time(self.learn * seconds)}), and it may be reused",
        ]


def plan(pipe: Any, run: Run, settings: Settings, driver: Driver, *, pictures: int = 8) -> Plan:
    """Draw a few plain pictures from seeds after the run's own and count them.

    With `r` right of `k`, `reject` is the posterior mean of `1/p` under a uniform prior, `(k + 1) / r`.
    """
    seeds = [run.seeds[-1] + 1 + index for index in range(pictures)]
    start = time.perf_counter()
    drawn = draw(pipe, [run.plain] * pictures, seeds, settings)
    seconds = (time.perf_counter() - start) / pictures
    right = sum(
        all(row) for row in zip(
            *(counted(driver, drawn, [name] * pictures) == n for name, n in zip(run.names, run.counts, strict=True)),
            strict=True,
        )
    )  # fmt: skip
    reject = (pictures + 1) / right if right else math.inf
    return Plan(pictures, right, reject, STEP_COST * settings.max_steps * len(run.pictures), seconds)


def break_even(learn: float, plain_right: float, token_right: float) -> float:
    """How many right pictures make a token cheaper than generate-and-reject: the `K` of `learn + K/q = K/p`, where `p`
    and `q` are the shares of right pictures without and with it. Infinite where the token does not raise the share."""
    if token_right <= plain_right:
        return math.inf
    if plain_right == 0:
        return 1.0
    return learn / (1 / plain_right - 1 / token_right)


def saved_bytes(objective: Objective, vectors: dict[str, torch.Tensor], rows: Sequence[int]) -> int:
    """Bytes that the forward pass of an iteration keeps for the backward pass, each storage once, weights left out."""
    seen: dict[int, int] = {}
    weights = {
        weight.untyped_storage().data_ptr()
        for part in (objective.view.unet, objective.view.vae, objective.view.text_encoder)
        for weight in part.parameters()
    }

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        pictures = objective.draw(vectors, rows)
    del pictures
    return sum(seen.values())


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "no end in sight"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

"""What can be set. Where the paper's value could not be read, the default is a choice, and said to be one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from paperworks.errors import InputError


@dataclass(frozen=True)
class Settings:
    """FRAP during sampling: T steps, of which the first K adapt the weights.

    - `steps`: K. Default T/2, as other methods that steer attention do; the paper's is *unverified*.
    - `step_size`: η of equation (5). A choice; calibrate it once for a base model, on prompts that nothing else uses.
    - `bounds`: the weights stay between them, and 1 lies inside. That a sigmoid bounds them is *unverified*.
    - `binding`: λ of equation (3), for the overlap (2) that is a sum over the map and not a mean. A choice.
    - `presence`: the factor of the presence term; 0 leaves binding alone.
    - `reduce`: "mean" over objects (a choice), or "max", the most neglected one alone, as Attend-and-Excite.
    - `normalise`: renormalise the maps over the words, as Attend-and-Excite; whether FRAP does is *unverified*.
    - `tokens`: "words" weights the words alone, "all" end-of-text and padding too. A choice.
    - `base`: weights move between the prompt and the "empty" prompt, or "zero"; which FRAP uses is *unverified*.
    - `update`: "plain" is (5); "normalised" divides the gradient by its largest entry: use a `step_size` near 0.1
      with it.
    - `after`: "keep" holds the weights reached for the steps behind K, "reset" returns to 1. A choice.
    - `latent_steps`: in so many first steps the latent moves too, by `latent_step_size` along its gradient, at one pass
      of the UNet each; 0, FRAP itself, never touches it. For prompts whose seed has no room for an object.
    - `map_size`: height and width of the maps that are read; default a quarter of the latent's.

    Raises `InputError` for a value that is not possible.
    """

    steps: int | None = None
    step_size: float = 1.0
    bounds: tuple[float, float] = (0.6, 1.4)
    binding: float = 1.0
    presence: float = 1.0
    reduce: Literal["mean", "max"] = "mean"
    normalise: bool = True
    tokens: Literal["words", "all"] = "words"
    base: Literal["empty", "zero"] = "empty"
    update: Literal["plain", "normalised"] = "plain"
    after: Literal["keep", "reset"] = "keep"
    latent_steps: int = 0
    latent_step_size: float = 20.0
    map_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low < 1 < high:
            raise InputError(f"bounds ({low:g}, {high:g}) must hold 1 between them: the weights start there")
        if not (math.isfinite(self.step_size) and self.step_size >= 0):
            raise InputError(f"step_size {self.step_size:g} must be 0 or more")
        if self.steps is not None and self.steps < 0:
            raise InputError(f"steps {self.steps} must be 0 or more")
        if self.latent_steps and (self.steps is None or not 0 < self.latent_steps <= self.steps):
            raise InputError(
                f"latent_steps {self.latent_steps} must lie between 0 and steps, which is {self.steps}"
            )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r} must be one of {', '.join(choices)}")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


CHOICES = {
    "reduce": ("mean", "max"),
    "tokens": ("words", "all"),
    "base": ("empty", "zero"),
    "update": ("plain", "normalised"),
    "after": ("keep", "reset"),
}


def first_steps(steps: int | None, total: int) -> int:
    """K of T steps: half where it is not given. Raises `InputError` where there are fewer steps in all."""
    if steps is not None and steps > total:
        raise InputError(
            f"steps {steps} is more than the {total} steps of the sampling: give {total} or fewer"
        )
    return total // 2 if steps is None else steps

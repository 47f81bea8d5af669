"""What FRAP is compared with: constant weights, weights given for each step, and two methods that move the latent.

The latent methods are written from their equations. Attend-and-Excite (Chefer et al. 2023): L = max_s (1 − max G(A^s)),
z ← z − 20·√r·∇L with r from 1 to 0.5 over the steps, and a refinement at steps 0, T/5, 2T/5 until every object's
maximum reaches 0.05, 0.5, 0.8. SynGen (Rassin et al. 2023): z ← z − 20·∇L, where an object and its modifier draw each
other's maps near, and push those of all other words away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from paperworks.errors import InputError
from paperworks.frap.objective import of_word, renormalise, smooth
from paperworks.frap.settings import first_steps
from paperworks.frap.steering import Step
from paperworks.frap.weights import weigh
from paperworks.frap.words import Prompt, Word

REFINEMENT = (0.05, 0.5, 0.8)
"""What the least of the objects' maxima reaches at steps 0, T/5 and 2T/5 of Attend-and-Excite."""


@dataclass(frozen=True)
class Static:
    """The same weight for every word of the objects and modifiers, in all steps: prompt weighting by hand."""

    weight: float = 1.2


@dataclass(frozen=True)
class Replay:
    """Weights `[K + 1, B, N]` for each step, the last for all steps that follow: FRAP's own, or others, at no cost."""

    weights: Tensor


@dataclass(frozen=True)
class AttendAndExcite:
    """Attend-and-Excite in the first `steps` K (default T/2). "published" runs the UNet once more in every step, as its
    code does; "lean" in the first K alone, with the same pictures. `refine` is the most iterations at one step."""

    steps: int | None = None
    step_size: float = 20.0
    variant: Literal["published", "lean"] = "published"
    refine: int = 20
    map_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class SynGen:
    """SynGen in the first `steps` K (default T/2)."""

    steps: int | None = None
    step_size: float = 20.0
    map_size: tuple[int, int] | None = None


class Weighted:
    """A guide whose weights are given: `Static` and `Replay`."""

    steps = 0

    def __init__(self, weights: Tensor, empty: Tensor) -> None:
        self.weights, self.empty = weights.to(empty.device), empty

    @classmethod
    def constant(cls, weight: float, prompts: Sequence[Prompt], empty: Tensor) -> Weighted:
        """`weight` for the words of the objects and their modifiers, 1 for all others."""
        weights = torch.ones(1, len(prompts), empty.shape[1])
        for row, prompt in zip(weights[0], prompts, strict=True):
            for one in prompt.objects:
                for word in (one, *one.modifiers):
                    row[list(word.positions)] = weight
        return cls(weights, empty)

    @classmethod
    def replayed(cls, weights: Tensor, pictures: int, empty: Tensor) -> Weighted:
        """Weights `[K + 1, B or 1, N]`. Raises `InputError` for another shape."""
        if weights.ndim != 3 or weights.shape[1] not in (1, pictures) or weights.shape[2] != empty.shape[1]:
            raise InputError(
                f"weights {tuple(weights.shape)} must be [steps, {pictures} pictures or 1, {empty.shape[1]} tokens]"
            )
        return cls(weights, empty)

    def guide(self, step: Step) -> Tensor:
        weights = self.weights[min(step.index, len(self.weights) - 1)]
        return step.predict(weigh(step.prompt, self.empty, weights))


class Latent:
    """A guide that moves the latent along a gradient of the maps: what the latent methods share."""

    def __init__(self, options: AttendAndExcite | SynGen, prompts: Sequence[Prompt], total: int) -> None:
        self.options, self.prompts = options, prompts
        self.steps = first_steps(options.steps, total)
        self.refinements = 0

    def loss(self, maps: Tensor) -> Tensor:
        """`[B]` from maps `[B, h, w, N]`."""
        raise NotImplementedError

    def gradient(self, step: Step) -> tuple[Tensor, Tensor]:
        """The loss `[B]` and its gradient in the latent `[B, C, h, w]`, by one more pass of the UNet."""
        sample = step.sample.detach().clone().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(step.predict_with_maps(step.prompt, sample)[1])
            (gradient,) = torch.autograd.grad(loss.sum(), sample)
        return loss.detach(), gradient * step.scale


class AttendAndExciteGuide(Latent):
    """The guide of `AttendAndExcite`."""

    def loss(self, maps: Tensor) -> Tensor:
        return attend_and_excite_loss(maps, self.prompts)

    def guide(self, step: Step) -> Tensor:
        options = self.options
        assert isinstance(options, AttendAndExcite)
        if step.first and step.index < self.steps:
            fraction = 1 - 0.5 * step.index / max(step.total - 1, 1)
            size = options.step_size * fraction**0.5
            loss, gradient = self.gradient(step)
            due = {0: REFINEMENT[0], step.total // 5: REFINEMENT[1], 2 * step.total // 5: REFINEMENT[2]}
            if step.index in due:
                for _ in range(options.refine):
                    short = loss > 1 - due[step.index]
                    if not short.any():
                        break
                    self.refinements += 1
                    step.move(-size * short.to(gradient.dtype)[:, None, None, None] * gradient)
                    loss, gradient = self.gradient(step)
            step.move(-size * gradient)
        elif step.first and options.variant == "published":
            step.predict(step.prompt)  # its code makes this pass too, and does not use it
        return step.predict(step.prompt)


class SynGenGuide(Latent):
    """The guide of `SynGen`."""

    def loss(self, maps: Tensor) -> Tensor:
        return syngen_loss(maps, self.prompts)

    def guide(self, step: Step) -> Tensor:
        if step.first and step.index < self.steps:
            step.move(-self.options.step_size * self.gradient(step)[1])
        return step.predict(step.prompt)


def attend_and_excite_loss(maps: Tensor, prompts: Sequence[Prompt]) -> Tensor:
    """`[B]`: 1 − the maximum of the smoothed map of the object that is most neglected."""
    losses = []
    for sample, prompt in zip(maps, prompts, strict=True):
        words = renormalise(sample, prompt.end)
        peaks = [smooth(of_word(words, one.positions)).max() for one in prompt.objects]
        losses.append(1 - torch.stack(peaks).min() if peaks else sample.sum() * 0)
    return torch.stack(losses)


def syngen_loss(maps: Tensor, prompts: Sequence[Prompt]) -> Tensor:
    """`[B]`: for every object and modifier KL(A^s, A^r), less half of the sum of the mean KL of each to all words that
    have nothing to do with the object; KL is the mean of both directions, of maps that sum to 1."""
    losses = []
    for sample, prompt in zip(maps, prompts, strict=True):
        loss = sample.sum() * 0
        for one in prompt.objects:
            own = {position for word in (one, *one.modifiers) for position in word.positions}
            others = [word for word in prompt.words if not own & set(word.positions)]
            for modifier in one.modifiers:
                loss = loss + _divergence(sample, one, modifier)
                for word in (one, modifier):
                    if others:
                        apart = torch.stack([_divergence(sample, word, other) for other in others])
                        loss = loss - 0.5 * apart.mean()
        losses.append(loss)
    return torch.stack(losses)


def _divergence(maps: Tensor, first: Word, second: Word) -> Tensor:
    """Kullback-Leibler of two words' maps, the mean of both directions."""
    p, q = (of_word(maps, word.positions).clamp_min(1e-12) for word in (first, second))
    p, q = p / p.sum(), q / q.sum()
    return 0.5 * ((p - q) * (p.log() - q.log())).sum()

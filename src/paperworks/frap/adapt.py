"""FRAP itself: weights of the prompt's tokens, moved by the gradient of the attention loss while the picture is drawn.

    α ← α − η · ∂L/∂α                                                                     (5)

The maps of step i move the weights that step i + 1 uses: the pass that predicts the noise is the pass that gives the
gradient, so the UNet runs once for each half and step, as without the method. The latent is never optimised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from paperworks.errors import InputError
from paperworks.frap.objective import Loss, objective
from paperworks.frap.settings import Settings, first_steps
from paperworks.frap.steering import Step
from paperworks.frap.weights import bounded, start, weigh
from paperworks.frap.words import Prompt


class Adaptive:
    """A guide whose weights follow equation (5) in the first K of T steps.

    `empty` `[1, N, D]` is the embedding of the empty prompt, one of `prompts` is for each picture. `trajectory` holds
    the weights `[B, N]` that each step used, and those that were reached at last; `losses` that of each of the K
    steps.
    """

    def __init__(self, settings: Settings, prompts: Sequence[Prompt], empty: Tensor, total: int) -> None:
        self.settings, self.prompts, self.empty = settings, prompts, empty
        self.steps = first_steps(settings.steps, total)
        length = empty.shape[1]
        self.moves = torch.zeros(len(prompts), length, dtype=torch.bool, device=empty.device)
        for row, prompt in zip(self.moves, prompts, strict=True):
            if prompt.objects:
                row[1 : prompt.end if settings.tokens == "words" else length] = True
        precision = torch.promote_types(empty.dtype, torch.float32)
        self.alpha = torch.full(
            self.moves.shape, start(settings.bounds), dtype=precision, device=empty.device
        )
        self.trajectory = [self.weights(self.alpha)]
        self.losses: list[Loss] = []

    def weights(self, alpha: Tensor) -> Tensor:
        """φ `[B, N]`: equation (4) where a token's weight may move, 1 elsewhere."""
        return torch.where(self.moves, bounded(alpha, self.settings.bounds), 1.0)

    def embedding(self, prompt: Tensor, weights: Tensor) -> Tensor:
        """Equation (1)."""
        return weigh(
            prompt, self.empty if self.settings.base == "empty" else torch.zeros_like(self.empty), weights
        )

    def guide(self, step: Step) -> Tensor:
        """The prediction under the weights that the step before has reached; then their update."""
        if step.index >= self.steps:
            keep = self.settings.after == "keep"
            return step.predict(self.embedding(step.prompt, self.trajectory[-1]) if keep else step.prompt)
        if not step.first:
            return step.predict(self.embedding(step.prompt, self.trajectory[-1]))
        alpha = self.alpha.clone().requires_grad_()
        moves_latent = step.index < self.settings.latent_steps
        sample = step.sample.detach().clone().requires_grad_(moves_latent)
        with torch.enable_grad():
            weighted = self.embedding(step.prompt, self.weights(alpha))
        prediction, maps = step.predict_with_maps(weighted, sample)
        in_latent = self.update(alpha, maps, step, sample if moves_latent else None)
        if in_latent is None:
            return prediction
        step.move(-self.settings.latent_step_size * step.scale * in_latent)
        return step.predict(weighted.detach())

    def update(self, alpha: Tensor, maps: Tensor, step: Step, sample: Tensor | None = None) -> Tensor | None:
        """Equation (5) from the maps of a step; the gradient in `sample`, the model's input, where one is given.

        Raises `InputError` where the loss is not a number.
        """
        s = self.settings
        with torch.enable_grad():
            loss = objective(
                maps,
                self.prompts,
                binding=s.binding,
                presence=s.presence,
                reduce=s.reduce,
                normalise=s.normalise,
            )
            gradient, *others = torch.autograd.grad(
                loss.total.sum(), [alpha] if sample is None else [alpha, sample]
            )
        if not (loss.total.isfinite().all() and gradient.isfinite().all()):
            raise InputError(
                f"the loss of step {step.index + 1} is not a number in {step.prompt.dtype}: try float32"
            )
        if s.update == "normalised":
            gradient = gradient / gradient.abs().amax(1, keepdim=True).clamp_min(1e-12)
        self.alpha = self.alpha - s.step_size * gradient
        self.trajectory.append(self.weights(self.alpha))
        self.losses.append(Loss(loss.total.detach(), loss.presence, loss.overlap))
        return others[0] if others else None

"""What a model loses by being cut: its language-model loss on held-out text, and the tasks of lm-evaluation-harness.

The loss is the mean over predicted tokens of `−log p(token | tokens before it)`, in nats. The head is applied to a few
hundred positions at a time, so that a vocabulary of 128,256 words costs 130 MB of logits and not gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from paperworks.errors import InputError, MissingExtra
from paperworks.minitron.architecture import read_config, sizes_of
from paperworks.minitron.calibration import Calibration, as_calibration

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_ROWS = 256
"""Positions whose logits are in memory at one time."""


@dataclass(frozen=True)
class Loss:
    """`mean` nats per predicted token over `tokens` of them."""

    mean: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """`exp(mean)`, infinite where that overflows."""
        return math.exp(self.mean) if self.mean < 700 else math.inf

    def to_dict(self) -> dict[str, float | int]:
        """As JSON; a perplexity that overflows is left out."""
        known = {"perplexity": self.perplexity} if math.isfinite(self.perplexity) else {}
        return {"mean": self.mean, "tokens": self.tokens, **known}


def lm_loss(model: PreTrainedModel, calibration: Any, batch_size: int = 4) -> Loss:
    """The language-model loss on samples `[N, S]`; a token counts where it and the one before it are no padding.

    Raises `InputError` for another architecture, tokens that the model does not have, or samples of one token.
    """
    data = as_calibration(calibration).checked(sizes_of(model.config).vocabulary)
    nats, tokens = 0.0, 0
    with evaluating(model):
        for _, chunk in data.chunks(batch_size):
            chunk = moved(chunk, model)
            hidden = model.model(
                input_ids=chunk.input_ids, attention_mask=chunk.mask, use_cache=False
            ).last_hidden_state
            of_chunk = token_nats(model, hidden, chunk)
            nats, tokens = nats + of_chunk[0], tokens + of_chunk[1]
    return mean_loss(nats, tokens)


def mean_loss(nats: float, tokens: int) -> Loss:
    """The loss of a sum over tokens. Raises `InputError` where there is no token to predict."""
    if not tokens:
        raise InputError("no token follows another in these samples: give at least two tokens each")
    return Loss(nats / tokens, tokens)


def token_nats(model: PreTrainedModel, hidden: torch.Tensor, chunk: Calibration) -> tuple[float, int]:
    """The summed loss in nats and the number of predicted tokens, from normed hidden states `[n, S, d]`."""
    counts = torch.ones_like(chunk.input_ids[:, 1:], dtype=torch.bool)
    if chunk.mask is not None:
        counts = chunk.mask[:, 1:].bool() & chunk.mask[:, :-1].bool()
    losses = label_nats(model, hidden[:, :-1][counts], chunk.input_ids[:, 1:][counts])
    return float(losses.double().sum()), len(losses)


def label_nats(model: PreTrainedModel, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`−log p(label)` in nats, float32 `[n]`, from normed hidden states `[n, d]` and labels `[n]`."""
    parts = [
        torch.nn.functional.cross_entropy(model.lm_head(some).float(), wanted, reduction="none")
        for some, wanted in zip(rows.split(HEAD_ROWS), labels.split(HEAD_ROWS), strict=True)
    ]
    return torch.cat(parts)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode without gradients; the mode before comes back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def moved(chunk: Calibration, model: PreTrainedModel) -> Calibration:
    """The samples on the model's device."""
    device = next(model.parameters()).device
    return Calibration(chunk.input_ids.to(device), None if chunk.mask is None else chunk.mask.to(device))


def evaluate_harness(
    folder: str | Path,
    tasks: Sequence[str],
    *,
    num_fewshot: int | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    device: str | None = None,
) -> dict[str, dict[str, Any]]:
    """The results of lm-evaluation-harness for a checkpoint folder: `{task: {metric: value}}`.

    `tasks` are the harness's names or YAML files of one's own. `limit` takes the first questions of each task only.
    Raises `InputError` where the package `lm_eval` is not installed or the folder has no checkpoint.
    """
    if find_spec("lm_eval") is None:
        raise MissingExtra("lm_eval not installed: run  pip install 'lm_eval[hf]'")
    read_config(folder)
    import lm_eval

    answer = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder)},
        tasks=list(tasks),
        num_fewshot=num_fewshot,
        limit=limit,
        batch_size=batch_size,
        device=device,
    )
    return dict(answer["results"])

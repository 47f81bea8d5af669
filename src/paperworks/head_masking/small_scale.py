"""What the experiments share: the five splits of the shipped document models, read once under many masks.

A split has a model that has never seen four of the fourteen kinds. Reference and validation pages are of the other ten,
drawn with seeds of their own; so are the known and unknown pages of the test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch

from paperworks.claims import Skip
from paperworks.head_masking.choose import class_holdout, draw_candidates, fit_with
from paperworks.head_masking.features import Inputs, Passes, read_outputs
from paperworks.head_masking.heads import HeadMask
from paperworks.head_masking.metrics import Metrics, ood_metrics
from paperworks.head_masking.scores import Outputs
from paperworks.tiny import document_model
from paperworks.tiny.documents import KINDS, Page

PLAIN = (
    "msp", "max_logit", "energy", "entropy", "kl_matching", "grad_norm", "knn", "mahalanobis", "relative_mahalanobis",
    "residual", "vim", "ensemble",
)  # fmt: skip
"""The scores that are compared without a mask."""
REFERENCE, VALIDATION, TEST, UNKNOWN = 20, 12, 12, 30
"""Pages of a kind."""
MASKS, FRACTION = 12, 0.25
BATCH = 32


@dataclass(frozen=True)
class Read:
    """Documents read under masks: outputs without one, features `[masks, N, d]`, labels (−1 for unknown kinds)."""

    base: Outputs
    features: np.ndarray
    labels: np.ndarray

    def under(self, index: int) -> Outputs:
        """The outputs with the features of one mask."""
        return replace(self.base, features=self.features[index])


@dataclass(frozen=True)
class Study:
    """A split, or another classifier with what it knows and what it does not: all read under the same masks.

    `masks[0]` keeps all heads.
    """

    masks: list[HeadMask]
    reference: Read
    validation: Read
    known: Read
    unknown: dict[str, Read]

    def chosen(self, score: str = "mahalanobis") -> int:
        """The mask that `class_holdout` takes, told from reference and validation documents alone."""
        values = [
            class_holdout(
                self.reference.under(index),
                self.reference.labels,
                self.validation.under(index),
                self.validation.labels,
                score,
            ).auroc
            for index in range(len(self.masks))
        ]
        best = max(range(len(values)), key=lambda index: (values[index], -self.masks[index].masked, -index))
        return best if values[best] > values[0] else 0

    def metrics(self, score: str, index: int = 0, unknown: str = "kinds") -> Metrics:
        """How well a score under one of the masks tells the unknown documents from the known ones."""
        fitted = fit_with(
            score, self.reference.under(index), self.reference.labels, self.validation.under(index), {}
        )
        return ood_metrics(fitted(self.known.under(index)), fitted(self.unknown[unknown].under(index)))


@cache
def _pages(n_per_kind: int, seed: int, family: str) -> list[Page]:
    return document_model.pages(KINDS, n_per_kind, seed, family)


def load(split: str) -> tuple[Any, Any]:
    """A split's model and processor. Raises `Skip` where the models are not shipped."""
    if not (document_model.FOLDER / split / "config.json").is_file():
        raise Skip("the document models are not there: python -m paperworks.tiny build document_model")
    return document_model.load_document_model(split)


def study_of_split(split: str, seed: int, *, scanned: bool = False) -> Study:
    """A shipped document model with pages of its known and unknown kinds; `scanned` adds scans of all kinds as another
    set of documents."""
    model, processor = load(split)
    kinds = document_model.known(split)

    def read(n: int, which: int, keep: Callable[[Page], bool], family: str = "born_digital") -> Read:
        own = [page for page in _pages(n, 1000 + 10 * seed + which, family) if keep(page)]
        labels = [kinds.index(page.kind) if page.kind in kinds else -1 for page in own]
        return _read(passes, document_model.encoded(own, processor), labels, masks)

    passes = Passes(model)
    masks = draw_candidates(model, MASKS, FRACTION, seed)
    known: Callable[[Page], bool] = lambda page: page.kind in kinds  # noqa: E731
    unknown = {"kinds": read(UNKNOWN, 4, lambda page: page.kind not in kinds)}
    if scanned:
        unknown["scans"] = read(TEST, 5, lambda page: True, "scanned")
    return Study(masks, read(REFERENCE, 1, known), read(VALIDATION, 2, known), read(TEST, 3, known), unknown)


def _read(
    passes: Passes, tensors: dict[str, torch.Tensor], labels: Sequence[int], masks: list[HeadMask]
) -> Read:
    base, features = read_outputs(passes, Inputs(tensors), masks, batch_size=BATCH)
    return Read(base, features, np.asarray(labels))


def study_of_digits(seed: int, steps: int = 400) -> Study:
    """A `ViTForImageClassification` trained here on the handwritten digits 0 to 6; 7 to 9 are unknown."""
    from transformers import ViTConfig, ViTForImageClassification

    from paperworks.tiny.digits import load_digits

    digits = load_digits(seed)
    torch.manual_seed(seed)
    model = ViTForImageClassification(
        ViTConfig(  # type: ignore[call-arg]
            hidden_size=64, num_hidden_layers=4, num_attention_heads=8, intermediate_size=128, image_size=8,
            patch_size=2, num_channels=1, num_labels=7,
        )
    )  # fmt: skip
    train = digits.train.only(range(7))
    half = len(train) // 3
    parts = {
        "train": (train.images[half:], train.labels[half:]),
        "validation": (train.images[:half], train.labels[:half]),
        "known": (digits.test.only(range(7)).images, digits.test.only(range(7)).labels),
        "unknown": (digits.test.only((7, 8, 9)).images, digits.test.only((7, 8, 9)).labels * 0 - 1),
    }
    tensors = {
        name: ({"pixel_values": torch.from_numpy(images)}, labels) for name, (images, labels) in parts.items()
    }
    return _trained(model, tensors, steps, seed)


def study_of_text(split: str, seed: int, steps: int = 400) -> Study:
    """A text-only `BertForSequenceClassification` trained here on the words of the pages of a split's known kinds."""
    from transformers import BertConfig, BertForSequenceClassification

    kinds = document_model.known(split)
    drawn = {
        "train": [page for page in _pages(60, 2000 + seed, "born_digital") if page.kind in kinds],
        "validation": [
            page for page in _pages(VALIDATION, 3000 + seed, "born_digital") if page.kind in kinds
        ],
        "known": [page for page in _pages(TEST, 4000 + seed, "born_digital") if page.kind in kinds],
        "unknown": [page for page in _pages(UNKNOWN, 5000 + seed, "born_digital") if page.kind not in kinds],
    }
    tokenizer = document_model.make_processor(drawn["train"]).tokenizer

    def tensors(some: list[Page]) -> tuple[dict[str, torch.Tensor], Any]:
        batch = tokenizer(
            [page.words for page in some],
            boxes=[[list(box) for box in page.boxes] for page in some],
            padding="max_length", truncation=True, max_length=document_model.TOKENS, return_tensors="pt",
        )  # fmt: skip
        labels = [kinds.index(page.kind) if page.kind in kinds else -1 for page in some]
        return {name: batch[name] for name in ("input_ids", "attention_mask")}, np.asarray(labels)

    torch.manual_seed(seed)
    model = BertForSequenceClassification(
        BertConfig(  # type: ignore[call-arg]
            vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=4, num_attention_heads=8,
            intermediate_size=128, max_position_embeddings=document_model.TOKENS, num_labels=len(kinds),
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    return _trained(model, {name: tensors(some) for name, some in drawn.items()}, steps, seed)


def _trained(
    model: Any, parts: dict[str, tuple[dict[str, torch.Tensor], Any]], steps: int, seed: int
) -> Study:
    """Train on `train`, then read all parts; the reference is what was trained on."""
    tensors, labels = parts["train"]
    targets = torch.as_tensor(np.asarray(labels))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(targets), (32,), generator=generator)
        batch = {name: tensor[rows] for name, tensor in tensors.items()}
        model(**batch, labels=targets[rows]).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    passes = Passes(model.eval())
    masks = draw_candidates(model, MASKS, FRACTION, seed)
    read = {name: _read(passes, one, own, masks) for name, (one, own) in parts.items()}
    return Study(masks, read["train"], read["validation"], read["known"], {"kinds": read["unknown"]})

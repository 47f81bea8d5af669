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
REFERENCE, VALIDATION, TEST, UNKNOWN, SCANS = 20, 12, 12, 30, 6
"""Pages of a kind."""
TRAIN, TOKENS = 60, 64
"""Pages of a kind that the classifier of words learns from, its reference too, and the tokens that it reads of a page.

These, and how it and the classifier of digits are trained, were set on the accuracy on validation documents alone.
"""
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
    unknown: Read

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

    def metrics(self, score: str, index: int = 0, unknown: Read | None = None) -> Metrics:
        """How well a score under one of the masks tells the unknown documents, or others, from the known ones."""
        fitted = fit_with(
            score, self.reference.under(index), self.reference.labels, self.validation.under(index), {}
        )
        foreign = self.unknown if unknown is None else unknown
        return ood_metrics(fitted(self.known.under(index)), fitted(foreign.under(index)))


@cache
def _pages(n_per_kind: int, seed: int, family: str) -> list[Page]:
    """Pages of all kinds, drawn once for all splits of an experiment: 250 kB a page."""
    return document_model.pages(KINDS, n_per_kind, seed, family)


def load(split: str) -> tuple[Any, Any]:
    """A split's model and processor. Raises `Skip` where the models are not shipped."""
    if not (document_model.FOLDER / split / "config.json").is_file():
        raise Skip("the document models are not there: python -m paperworks.tiny build document_model")
    return document_model.load_document_model(split)


def study_of_split(split: str, seed: int) -> Study:
    """A shipped document model with pages of its known and unknown kinds."""
    masks, read = _reader(split, seed)
    known, left_out = document_model.known(split), document_model.SPLITS[split]
    return Study(
        masks,
        read(REFERENCE, 1, known),
        read(VALIDATION, 2, known),
        read(TEST, 3, known),
        read(UNKNOWN, 4, left_out),
    )


def scans_of_split(split: str, seed: int) -> Read:
    """Scans of all kinds, under the masks of `study_of_split`: another set of documents."""
    return _reader(split, seed)[1](SCANS, 5, KINDS, "scanned")


def _reader(split: str, seed: int) -> tuple[list[HeadMask], Callable[..., Read]]:
    """The masks for a split's model, and a function that reads pages of some kinds under them."""
    model, processor = load(split)
    passes, masks, known = (
        Passes(model),
        draw_candidates(model, MASKS, FRACTION, seed),
        document_model.known(split),
    )

    def read(n_per_kind: int, number: int, kinds: Sequence[str], family: str = "born_digital") -> Read:
        own = [page for page in _pages(n_per_kind, 1000 + 10 * seed + number, family) if page.kind in kinds]
        labels = [known.index(page.kind) if page.kind in known else -1 for page in own]
        return _read(passes, document_model.encoded(own, processor), labels, masks)

    return masks, read


def _read(
    passes: Passes, tensors: dict[str, torch.Tensor], labels: Sequence[int], masks: list[HeadMask]
) -> Read:
    base, features = read_outputs(passes, Inputs(tensors), masks, batch_size=BATCH)
    return Read(base, features, np.asarray(labels))


def study_of_digits(seed: int, steps: int = 200) -> Study:
    """A `ViTForImageClassification` trained here on the handwritten digits 0 to 6; 7 to 9 are unknown."""
    from transformers import ViTConfig, ViTForImageClassification

    from paperworks.tiny.digits import load_digits

    digits = load_digits(seed)
    torch.manual_seed(seed)
    model = ViTForImageClassification(
        ViTConfig(  # type: ignore[call-arg]
            hidden_size=64, num_hidden_layers=4, num_attention_heads=8, intermediate_size=128, image_size=8,
            patch_size=2, num_channels=1, num_labels=7, initializer_range=0.08,
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
        "train": document_model.pages(kinds, TRAIN, 2000 + seed),
        "validation": document_model.pages(kinds, VALIDATION, 3000 + seed),
        "known": document_model.pages(kinds, TEST, 4000 + seed),
        "unknown": document_model.pages(document_model.SPLITS[split], UNKNOWN, 5000 + seed),
    }
    tokenizer = document_model.make_processor(drawn["train"]).tokenizer

    def tensors(some: list[Page]) -> tuple[dict[str, torch.Tensor], Any]:
        batch = tokenizer(
            [page.words for page in some],
            boxes=[[list(box) for box in page.boxes] for page in some],
            padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt",
        )  # fmt: skip
        labels = [kinds.index(page.kind) if page.kind in kinds else -1 for page in some]
        return {name: batch[name] for name in ("input_ids", "attention_mask")}, np.asarray(labels)

    torch.manual_seed(seed)
    model = BertForSequenceClassification(
        BertConfig(  # type: ignore[call-arg]
            vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=4, num_attention_heads=8,
            intermediate_size=128, max_position_embeddings=TOKENS, num_labels=len(kinds),
            pad_token_id=tokenizer.pad_token_id, initializer_range=0.08, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip
    return _trained(model, {name: tensors(some) for name, some in drawn.items()}, steps, seed)


def _trained(
    model: Any, parts: dict[str, tuple[dict[str, torch.Tensor], Any]], steps: int, seed: int
) -> Study:
    """Train on `train`, then read all parts; the reference is what was trained on."""
    tensors, labels = parts["train"]
    targets = torch.as_tensor(np.asarray(labels))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(targets), (16,), generator=generator)
        batch = {name: tensor[rows] for name, tensor in tensors.items()}
        model(**batch, labels=targets[rows]).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    passes = Passes(model.eval())
    masks = draw_candidates(model, MASKS, FRACTION, seed)
    read = {name: _read(passes, one, own, masks) for name, (one, own) in parts.items()}
    return Study(masks, *(read[name] for name in ("train", "validation", "known", "unknown")))

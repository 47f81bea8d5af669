"""Small real document classifiers: `LayoutLMv3ForSequenceClassification` of half a million parameters.

Trained by the project on the pages of `tiny.documents`, born digital, one model for each of five splits. A split
leaves four kinds out, at least one of every group of kinds that look alike: its model has never seen a page of them,
and neither has its tokenizer. `python -m paperworks.tiny build document_model` makes them again;
`document_model/README.md` is the card.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError, require
from paperworks.tiny.documents import KINDS, Page, collection

if TYPE_CHECKING:
    import torch
    from transformers import LayoutLMv3ForSequenceClassification, LayoutLMv3Processor

FOLDER = Path(__file__).with_name("document_model")
SPLITS = {
    "a": ("bank_statement", "purchase_order", "email", "resume"),
    "b": ("payslip", "delivery_note", "memo", "contract"),
    "c": ("invoice", "receipt", "minutes", "form"),
    "d": ("purchase_order", "letter", "report", "bank_statement"),
    "e": ("receipt", "memo", "minutes", "contract"),
}
"""The kinds that each split leaves out, drawn up before any model was trained."""
DISTINCT, ALIKE = 0.2, 0.5
"""How hard the pages are; see `documents.draw`. Set on accuracy and the baseline without masks, before any mask."""
TOKENS = 96
PIXELS = 112
SHAPE: dict[str, Any] = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 192,
    "coordinate_size": 16,
    "shape_size": 16,
    "input_size": PIXELS,
    "patch_size": 16,
    "max_position_embeddings": TOKENS + 2,
    "has_relative_attention_bias": False,
    "has_spatial_attention_bias": False,
    "initializer_range": 0.08,
}
VOCABULARY = 2000
TRAIN, VALID = 240, 30
"""Pages of a kind."""
TRAINING_SEED, VALIDATION_SEED = 1, 2


def known(split: str) -> tuple[str, ...]:
    """The kinds that a split's model knows. Raises `InputError` for a split that there is not."""
    if split not in SPLITS:
        raise InputError(f"no split is called {split!r}: choose from {', '.join(SPLITS)}")
    return tuple(kind for kind in KINDS if kind not in SPLITS[split])


def pages(kinds: Sequence[str], n_per_kind: int, seed: int, family: str = "born_digital") -> list[Page]:
    """Pages as hard as those trained on."""
    return collection(kinds, n_per_kind, seed, family=family, distinct=DISTINCT, alike=ALIKE)


def load_document_model(
    split: str = "a", folder: str | Path = FOLDER
) -> tuple[LayoutLMv3ForSequenceClassification, LayoutLMv3Processor]:
    """A split's model in float32, and its processor, which takes words and boxes as given."""
    require("head-masking", "torch", "transformers", "PIL")
    import torch
    from transformers import AutoProcessor, LayoutLMv3ForSequenceClassification

    known(split)
    model = LayoutLMv3ForSequenceClassification.from_pretrained(Path(folder) / split, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(Path(folder) / split)


def encoded(some: Sequence[Page], processor: Any) -> dict[str, torch.Tensor]:
    """Pages as a model takes them, padded to `TOKENS`."""
    import torch

    parts: list[dict[str, torch.Tensor]] = []
    for first in range(0, len(some), 64):
        chunk = some[first : first + 64]
        batch = processor(
            images=[page.image.convert("RGB") for page in chunk],
            text=[page.words for page in chunk],
            boxes=[[list(box) for box in page.boxes] for page in chunk],
            padding="max_length",
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
        )
        parts.append(dict(batch))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def make_processor(some: Sequence[Page]) -> LayoutLMv3Processor:
    """A byte-level BPE tokenizer of the pages' words, and the image processor."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LayoutLMv3ImageProcessor, LayoutLMv3Processor, LayoutLMv3Tokenizer

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((" ".join(page.words) for page in some), trainer)
    facts: Any = json.loads(bpe.to_str())["model"]
    merges: Any = [tuple(pair) for pair in facts["merges"]]
    tokenizer = LayoutLMv3Tokenizer(vocab=facts["vocab"], merges=merges, model_max_length=TOKENS)
    images = LayoutLMv3ImageProcessor(apply_ocr=False, size={"height": PIXELS, "width": PIXELS})
    return LayoutLMv3Processor(images, tokenizer)


def train(
    split: str,
    out: str | Path,
    *,
    steps: int = 1200,
    seed: int = 0,
    drawn: dict[str, list[Page]] | None = None,
) -> dict[str, Any]:
    """Train a split's model and write it to `out`/`split` in half precision; what was measured on validation pages.

    16 pages a step. `drawn` are the pages `train` and `valid` of all kinds, for those who train several splits.
    """
    import torch
    from transformers import (
        LayoutLMv3Config,
        LayoutLMv3ForSequenceClassification,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    folder = Path(out) / split
    kinds = known(split)
    drawn = drawn or draw_all()
    own = {name: [page for page in some if page.kind in kinds] for name, some in drawn.items()}
    set_seed(seed)
    processor = make_processor(own["train"])
    config = LayoutLMv3Config(
        **SHAPE,
        vocab_size=len(processor.tokenizer),
        id2label=dict(enumerate(kinds)),
        label2id={kind: index for index, kind in enumerate(kinds)},
        bos_token_id=processor.tokenizer.bos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
        eos_token_id=processor.tokenizer.eos_token_id,
    )
    model = LayoutLMv3ForSequenceClassification(config)

    def rows(some: list[Page]) -> list[dict[str, Any]]:
        tensors = encoded(some, processor)
        return [
            {name: tensor[index] for name, tensor in tensors.items()} | {"labels": kinds.index(page.kind)}
            for index, page in enumerate(some)
        ]

    valid = rows(own["valid"])
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=32,
        learning_rate=1e-3,
        warmup_steps=steps // 10,
        lr_scheduler_type="linear",
        weight_decay=0.01,
        max_grad_norm=1.0,
        logging_steps=50,
        eval_strategy="steps",
        eval_steps=steps // 4,
        save_strategy="no",
        use_cpu=True,
        report_to="none",
        seed=seed,
        disable_tqdm=True,
    )

    def accuracy(predicted: Any) -> dict[str, float]:
        logits = (
            predicted.predictions[0] if isinstance(predicted.predictions, tuple) else predicted.predictions
        )
        return {"accuracy": float((logits.argmax(1) == predicted.label_ids).mean())}

    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows(own["train"]),
        eval_dataset=valid,
        compute_metrics=accuracy,
    )
    trainer.train()
    curve = [entry for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    return {
        "left_out": list(SPLITS[split]),
        "steps": steps,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "accuracy": curve[-1]["eval_accuracy"],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "curve": curve,
    }


def draw_all() -> dict[str, list[Page]]:
    """The pages of all kinds to train on, and to measure the accuracy on."""
    return {
        "train": pages(KINDS, TRAIN, TRAINING_SEED),
        "valid": pages(KINDS, VALID, VALIDATION_SEED),
    }


def build(out: str | Path = FOLDER, *, steps: int = 1200, seed: int = 0) -> dict[str, Any]:
    """Train the models of all splits; `training.json` in `out` has their curves."""
    require("head-masking", "torch", "transformers", "accelerate", "PIL")
    from paperworks.files import write_json

    out, drawn = Path(out), draw_all()
    facts: dict[str, Any] = {"pages": len(drawn["train"]), "distinct": DISTINCT, "alike": ALIKE, "splits": {}}
    for number, split in enumerate(SPLITS):
        facts["splits"][split] = train(split, out, steps=steps, seed=seed + number, drawn=drawn)
        write_json(out / "training.json", facts)
    facts["parameters"] = sum(one["parameters"] for one in facts["splits"].values())
    facts["tokens"] = sum(one["steps"] * 16 * TOKENS for one in facts["splits"].values())
    return facts

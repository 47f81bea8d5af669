"""The choice of heads against a whole pass over all documents for every mask, and what a mask costs a pass.

    python benchmarks/head_masking_search.py [--layers 6] [--masks 32] [--documents 20]

A LayoutLMv3 of random weights reads `documents` pages of ten classes as reference and as many for validation. The naive
loop runs the masked model on all of them for each mask; `choose` shares what masks have in common and drops candidates
early; both give the criterion of class hold-out. The third line is one masked pass against one without a mask.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LayoutLMv3Config, LayoutLMv3ForSequenceClassification

from paperworks.head_masking.choose import Split, choose, class_holdout, draw_candidates
from paperworks.head_masking.features import Inputs, Passes
from paperworks.head_masking.heads import HeadMask, masked_heads
from paperworks.head_masking.scores import Outputs

CLASSES, TOKENS, BATCH = 10, 96, 16


def documents(n: int, seed: int) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """Random pages whose first words tell their class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    ids = torch.randint(30, 1000, (n, TOKENS), generator=generator)
    ids[:, :8] = (5 + labels)[:, None]
    boxes = torch.randint(0, 1001, (n, TOKENS, 4), generator=generator).sort(-1).values
    pixels = torch.randn(n, 3, 112, 112, generator=generator)
    mask = torch.ones_like(ids)
    return {"input_ids": ids, "attention_mask": mask, "bbox": boxes, "pixel_values": pixels}, labels.numpy()


@torch.no_grad()
def features(
    model: LayoutLMv3ForSequenceClassification, batch: dict[str, torch.Tensor], mask: HeadMask
) -> Outputs:
    """A whole pass under a mask."""
    found, logits = [], []
    with masked_heads(model, mask):
        for first in range(0, len(batch["input_ids"]), BATCH):
            part = {name: tensor[first : first + BATCH] for name, tensor in batch.items()}
            states = model.layoutlmv3(**part).last_hidden_state
            found.append(states[:, 0])
            logits.append(model.classifier(states[:, 0]))
    return Outputs(torch.cat(found).numpy(), torch.cat(logits).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--masks", type=int, default=32)
    parser.add_argument("--documents", type=int, default=24, help="of each class and set")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = LayoutLMv3ForSequenceClassification(
        LayoutLMv3Config(
            vocab_size=1000, hidden_size=192, num_hidden_layers=options.layers, num_attention_heads=12,
            intermediate_size=768, coordinate_size=32, shape_size=32, input_size=112, patch_size=16,
            max_position_embeddings=TOKENS + 2, num_labels=CLASSES, pad_token_id=1,
            has_relative_attention_bias=False, has_spatial_attention_bias=False,
        )
    ).eval()  # fmt: skip
    (train, labels), (valid, others) = (documents(CLASSES * options.documents, seed) for seed in (1, 2))
    masks = draw_candidates(model, options.masks, 0.25, 0)

    start = time.perf_counter()
    naive = [
        class_holdout(
            features(model, train, mask), labels, features(model, valid, mask), others, "mahalanobis"
        )
        for mask in masks
    ]
    naive_seconds = time.perf_counter() - start
    start = time.perf_counter()
    split = Split(Inputs(train), labels, Inputs(valid), others)
    choice = choose(Passes(model), split, n_masks=options.masks, batch_size=BATCH)
    seconds = time.perf_counter() - start
    finalists = {
        index: one.rungs[-1].auroc
        for index, one in enumerate(choice.candidates)
        if len(one.rungs) == len(choice.shares)
    }
    apart = max(abs(naive[index].auroc - auroc) for index, auroc in finalists.items())
    best = max(one.auroc for one in naive)
    chosen = choice.chosen.rungs[-1].auroc if choice.chosen else float("nan")

    batch = {name: tensor[:BATCH] for name, tensor in train.items()}
    times: dict[str, list[float]] = {"plain": [], "masked": []}
    with torch.no_grad():
        for _ in range(24):
            for name, mask in (("plain", None), ("masked", masks[1])):
                if mask is None:
                    start = time.perf_counter()
                    model(**batch)
                else:
                    with masked_heads(model, mask):
                        start = time.perf_counter()
                        model(**batch)
                times[name].append(time.perf_counter() - start)
    cost = float(np.median(times["masked"]) / np.median(times["plain"]))
    result = {
        "masks": len(masks),
        "documents": 2 * len(labels),
        "layers": options.layers,
        "naive_seconds": naive_seconds,
        "seconds": seconds,
        "ratio": naive_seconds / seconds,
        "criterion_apart": apart,
        "chosen": chosen,
        "best_of_all": best,
        "masked_pass": cost,
        "threads": torch.get_num_threads(),
    }
    print(f"{len(masks)} masks, {result['documents']} documents, {options.layers} layers")
    print(
        f"a whole pass for every mask: {naive_seconds:.1f} s; choose: {seconds:.1f} s, "
        f"{result['ratio']:.1f} times faster"
    )
    print(
        f"criterion of the finalists: at most {apart:.1e} from the naive one; chosen {chosen:.4f}, best {best:.4f}"
    )
    print(f"a masked pass takes {cost:.3f} times a plain one")
    Path("head_masking_search.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

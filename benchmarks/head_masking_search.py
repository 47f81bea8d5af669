"""The choice of heads against a whole pass over all documents for every mask, and what a mask costs a pass.

    python benchmarks/head_masking_search.py [--shape small] [--device cpu] [--masks 32] [--documents 96]

A LayoutLMv3 of random weights reads `documents` pages of each of ten classes as reference and as many for validation:
`small` has six layers of width 192, 96 tokens and 112-pixel images; `base` is the published size, twelve of width 768,
512 tokens and 224-pixel images. The naive loop runs the masked model on all documents for each mask; it is timed on
every fourth mask, and its time is that times the number of masks over those timed. `choose` shares what masks have in
common and drops candidates early; it is timed in full. Both give the criterion of class hold-out, compared for the
masks that `choose` kept to the end: the naive loop runs, untimed, for those that it has not seen. The last line is one
masked pass against one without a mask. All in float32.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import LayoutLMv3Config, LayoutLMv3ForSequenceClassification

from paperworks.head_masking.choose import Split, choose, class_holdout, draw_candidates
from paperworks.head_masking.features import Inputs, Passes
from paperworks.head_masking.heads import HeadMask, masked_heads
from paperworks.head_masking.scores import Outputs

CLASSES, BATCH, EVERY = 10, 16, 4
SHAPES = {
    "small": {
        "vocab_size": 1000, "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 12,
        "intermediate_size": 768, "coordinate_size": 32, "shape_size": 32, "input_size": 112,
        "max_position_embeddings": 98, "has_relative_attention_bias": False, "has_spatial_attention_bias": False,
    },
    "base": {"max_position_embeddings": 514},
}  # fmt: skip


def documents(config: LayoutLMv3Config, n: int, seed: int) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """Random pages, as long as the model reads, whose first words tell their class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    tokens = config.max_position_embeddings - 2
    ids = torch.randint(30, 1000, (n, tokens), generator=generator)
    ids[:, : tokens // 48] = (5 + labels)[:, None]
    boxes = torch.randint(0, 1001, (n, tokens, 4), generator=generator).sort(-1).values
    pixels = torch.randn(n, 3, config.input_size, config.input_size, generator=generator)
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
            part = {name: tensor[first : first + BATCH].to(model.device) for name, tensor in batch.items()}
            states = model.layoutlmv3(**part).last_hidden_state
            found.append(states[:, 0].cpu())
            logits.append(model.classifier(states[:, 0]).cpu())
    return Outputs(torch.cat(found).numpy(), torch.cat(logits).numpy())


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds, until the device has done it too."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu or cuda")
    parser.add_argument("--masks", type=int, default=32)
    parser.add_argument("--documents", type=int, default=96, help="of each class and set")
    options = parser.parse_args()
    # The first share of the documents is fewer than the features have dimensions, for every mask and class.
    warnings.filterwarnings("ignore", message=".*do not span.*")
    torch.manual_seed(0)
    model = LayoutLMv3ForSequenceClassification(LayoutLMv3Config(**SHAPES[options.shape], num_labels=CLASSES))
    model.eval().to(options.device)
    (train, labels), (valid, others) = (
        documents(model.config, CLASSES * options.documents, seed) for seed in (1, 2)
    )
    masks = draw_candidates(model, options.masks, 0.25, 0)
    naive: dict[int, float] = {}

    def whole(indices: list[int]) -> None:
        for index in indices:
            both = [features(model, batch, masks[index]) for batch in (train, valid)]
            naive[index] = class_holdout(both[0], labels, both[1], others, "mahalanobis").auroc

    batch = {name: tensor[:BATCH].to(options.device) for name, tensor in train.items()}
    times: dict[str, list[float]] = {"plain": [], "masked": []}
    with torch.no_grad():
        for _ in range(24):  # the first of them warm the device up
            times["plain"].append(timed(lambda: model(**batch), options.device))
            with masked_heads(model, masks[1]):
                times["masked"].append(timed(lambda: model(**batch), options.device))
    cost = float(np.median(times["masked"]) / np.median(times["plain"]))

    some = list(range(0, len(masks), EVERY))
    naive_seconds = timed(lambda: whole(some), options.device) * len(masks) / len(some)
    split = Split(Inputs(train), labels, Inputs(valid), others)
    start = time.perf_counter()
    choice = choose(Passes(model), split, n_masks=options.masks, batch_size=BATCH)  # ends on the CPU
    seconds = time.perf_counter() - start
    finalists = {
        index: one.rungs[-1].auroc
        for index, one in enumerate(choice.candidates)
        if len(one.rungs) == len(choice.shares)
    }
    whole([index for index in finalists if index not in naive])
    apart = max(abs(naive[index] - auroc) for index, auroc in finalists.items())
    result = {
        "shape": options.shape,
        "device": str(options.device),
        "masks": len(masks),
        "documents": 2 * len(labels),
        "shares": choice.shares,
        "naive_masks_timed": len(some),
        "naive_seconds": naive_seconds,
        "seconds": seconds,
        "ratio": naive_seconds / seconds,
        "finalists": len(finalists),
        "criterion_apart": apart,
        "chosen": choice.chosen.rungs[-1].auroc if choice.chosen else None,
        "best_seen_naively": max(naive.values()),
        "masked_pass": cost,
        "threads": torch.get_num_threads(),
    }
    if options.device.type == "cuda":
        result["gpu"] = torch.cuda.get_device_name(options.device)
        result["peak_bytes"] = torch.cuda.max_memory_allocated(options.device)
    print(
        f"{options.shape} on {result.get('gpu', 'cpu')}: {len(masks)} masks, {result['documents']} documents"
    )
    print(
        f"a whole pass for every mask: {naive_seconds:.1f} s ({len(some)} masks timed, times "
        f"{len(masks)}/{len(some)})"
    )
    print(
        f"choose, on shares {', '.join(f'{share:g}' for share in choice.shares)} of the documents: {seconds:.1f} s, "
        f"{result['ratio']:.1f} times faster"
    )
    print(
        f"criterion of the {len(finalists)} finalists: at most {apart:.1e} from the naive one; "
        f"chosen {result['chosen']:.4f}, best of {len(naive)} masks read naively {max(naive.values()):.4f}"
    )
    print(f"a masked pass takes {cost:.3f} times a plain one")
    Path("head_masking_search.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

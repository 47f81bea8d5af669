"""`apply` against embedding everything again: vectors per second of both on this machine.

    python benchmarks/backward_compatible_reembed.py --rows 200000 --texts 256

The embedder is BERT in the shape of all-MiniLM-L6-v2 (6 layers, width 384) with random weights, mean pooling and
normalisation: the weights do not change its speed. It embeds `--texts` sequences of `--tokens` tokens; the time for a
whole gallery is extrapolated from that and labelled so. Text preparation is left out, in favour of re-embedding.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH = 384


def peak_memory() -> int:
    """This process's largest resident memory, in bytes."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def rotate(rows: int, scratch: Path | None) -> float:
    """Vectors per second of `apply`, float16 file to float16 file."""
    from paperworks.backward_compatible import OrthogonalAligner, transform_file

    random = np.random.default_rng(0)
    sample = random.standard_normal((4000, WIDTH))
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    aligner = OrthogonalAligner().fit(
        sample, sample @ np.linalg.qr(random.standard_normal((WIDTH, WIDTH)))[0]
    )
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        gallery = np.lib.format.open_memmap(f"{name}/gallery.npy", "w+", np.float16, (rows, WIDTH))
        for first in range(0, rows, len(sample)):
            gallery[first : first + len(sample)] = sample[: rows - first]
        gallery.flush()
        start = time.perf_counter()
        transform_file(aligner, f"{name}/gallery.npy", f"{name}/rotated.npy")
        return rows / (time.perf_counter() - start)


def embed(texts: int, tokens: int, batch: int) -> float:
    """Vectors per second of the embedder."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522,
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.randint(1000, config.vocab_size, (texts, tokens))
    with torch.inference_mode():
        model(ids[:batch])
        start = time.perf_counter()
        for first in range(0, texts, batch):
            states = model(ids[first : first + batch]).last_hidden_state
            torch.nn.functional.normalize(states.mean(dim=1), dim=1)
        return texts / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="vectors to rotate")
    parser.add_argument("--texts", type=int, default=512, help="sequences to embed")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--gallery", type=int, default=10_000_000, help="size to extrapolate to")
    parser.add_argument("--folder", type=Path, help="scratch folder")
    parser.add_argument("--out", type=Path, default=Path("backward_compatible_reembed.json"))
    options = parser.parse_args()

    rotated = rotate(options.rows, options.folder)
    peak_rotating = peak_memory()
    embedded = embed(options.texts, options.tokens, options.batch)
    result = {
        "width": WIDTH,
        "tokens": options.tokens,
        "cores": os.cpu_count(),
        "apply": {"vectors_per_second": rotated, "rows": options.rows, "peak_bytes": peak_rotating},
        "re-embedding": {"vectors_per_second": embedded, "texts": options.texts, "peak_bytes": peak_memory()},
        "speed_ratio": rotated / embedded,
        "extrapolated": {
            "gallery": options.gallery,
            "apply_seconds": options.gallery / rotated,
            "re-embedding_seconds": options.gallery / embedded,
        },
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"width {WIDTH}, {os.cpu_count()} cores, no accelerator")
    for title, speed in (
        (f"apply, {options.rows:,} vectors", rotated),
        (f"re-embed, {options.texts:,} texts of {options.tokens} tokens", embedded),
    ):
        hours = options.gallery / speed / 3600
        print(f"  {title:40} {speed:12,.0f} vectors/s   {options.gallery:,}: {hours:,.2f} h (extrapolated)")
    print(f"  apply is {rotated / embedded:,.0f} x as fast  ({options.out})")


if __name__ == "__main__":
    main()

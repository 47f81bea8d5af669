"""Streaming a Llama-3.1-8B through measuring and cutting: private memory and seconds, on a machine of any size.

    python benchmarks/minitron_stream.py --work FOLDER --samples 4 --length 128

Writes a checkpoint with the config of Llama-3.1-8B and random bfloat16 weights (16 GB, once; slices of one block of
normal numbers), measures importance in float32, and cuts it to the presets 4b-width and 4b-depth. Measuring is
compared with a bare matrix product of the MLP's shape, cutting with a plain copy of its output on the same disk; both
read files that the page cache has been asked to forget. Then, on a checkpoint of 0.57 GB that fits memory,
`measure_streamed` is compared with `from_pretrained` and hooks, and with layers that `accelerate` keeps on the disk.
Every run is a process of its own.
`--config small` is a trial of seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from paperworks.files import write_json
from paperworks.minitron.architecture import read_config, sizes_of
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.checkpoint import ShardWriter
from paperworks.minitron.importance import Importance, LayerProbe, measure_in_memory
from paperworks.minitron.memory import PeakPrivate
from paperworks.minitron.prune import prune
from paperworks.minitron.stream import measure_streamed
from paperworks.minitron.target import Target

LLAMA_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "hidden_act": "silu", "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "dtype": "bfloat16",
    "bos_token_id": 128000, "eos_token_id": 128001,
}  # fmt: skip
MIDDLE = LLAMA_8B | {
    "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 16,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SMALL = MIDDLE | {"vocab_size": 1000, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}
TARGETS = {
    "8b": {"4b-width": Target.preset("4b-width"), "4b-depth": Target.preset("4b-depth")},
    "small": {
        "4b-width": Target(hidden_size=192, intermediate_size=320),
        "4b-depth": Target(drop_layers=(1, 2)),
    },
}


def write_checkpoint(folder: Path, config: dict[str, Any], shard_bytes: int) -> None:
    """A checkpoint of random weights, written shard by shard."""
    sizes = sizes_of(config)
    tensors = [(name, "BF16", shape) for name, shape in sizes.tensors()]
    writer = ShardWriter(folder, tensors, key=json.dumps(config), shard_bytes=shard_bytes)
    generator = torch.Generator().manual_seed(0)
    pool = (0.02 * torch.randn(40_000_000, generator=generator)).bfloat16()
    writer.start()
    for shard in writer.remaining():
        with writer.shard(shard) as file:
            for _, _, shape in shard.tensors:
                for part in _random(shape, pool, generator):
                    file.write(part.view(torch.uint8).numpy().data)
    writer.write_index()
    write_json(folder / "config.json", config)
    writer.finish()


def _random(shape: tuple[int, ...], pool: torch.Tensor, generator: torch.Generator) -> Iterator[torch.Tensor]:
    if len(shape) == 1:
        yield torch.ones(shape, dtype=torch.bfloat16)
        return
    left, most = shape[0] * shape[1], len(pool) // 2
    while left:
        size = min(left, most)
        first = int(torch.randint(len(pool) - size + 1, (), generator=generator))
        yield pool[first : first + size]
        left -= size


def calibration(config: dict[str, Any], samples: int, length: int) -> Calibration:
    generator = torch.Generator().manual_seed(1)
    return Calibration(torch.randint(config["vocab_size"], (samples, length), generator=generator))


def forget(folder: Path) -> None:
    """Ask the page cache to forget a folder's files, and wait: a virtual machine may give freed memory back to its host
    and pays for taking it again, so every run begins with that."""
    size = 0
    for file in folder.glob("*.safetensors"):
        size += file.stat().st_size
        with file.open("rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    time.sleep(8 if size > 10**9 else 0)


def product_rate(config: dict[str, Any], rows: int) -> float:
    """Flops per second of a bare float32 product of the MLP's shape."""
    inputs = torch.randn(rows, config["hidden_size"])
    weight = torch.randn(config["intermediate_size"], config["hidden_size"])
    inputs @ weight.T
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < 3:
        inputs @ weight.T
        times += 1
    return times * 2 * rows * weight.numel() / (time.perf_counter() - start)


def streamed(folder: Path, data: Calibration) -> dict[str, Any]:
    forget(folder)
    with PeakPrivate() as memory:
        start = time.perf_counter()
        scores = measure_streamed(folder, data, scratch=folder.with_suffix(".scratch"))
        seconds = time.perf_counter() - start
    scores.save(folder.with_suffix(".importance"))
    return {"seconds": seconds, "private_bytes": memory.bytes}


def loaded(folder: Path, data: Calibration) -> dict[str, Any]:
    forget(folder)
    with PeakPrivate() as memory:
        start = time.perf_counter()
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        measure_in_memory(model, data)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "private_bytes": memory.bytes}


@torch.no_grad()
def offloaded(folder: Path, data: Calibration) -> dict[str, Any]:
    """All layers on the disk by `accelerate`, the same hooks."""
    forget(folder)
    places = dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "cpu")
    with tempfile.TemporaryDirectory(dir=folder.parent) as offload, PeakPrivate() as memory:
        start = time.perf_counter()
        model = LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, device_map=places | {"model.layers": "disk"}, offload_folder=offload
        )
        sizes = sizes_of(model.config)
        for layer, module in enumerate(model.model.layers):
            LayerProbe(sizes, layer).on(module).__enter__()
        for _, part in data.chunks(4):
            model.model(input_ids=part.input_ids, use_cache=False)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "private_bytes": memory.bytes}


def cut_to(folder: Path, target: Target, out: Path) -> dict[str, Any]:
    scores = Importance.load(
        folder.with_suffix(".importance"), sizes_of(json.loads((folder / "config.json").read_text()))
    )
    forget(folder)
    report = prune(folder, scores, target, out)
    return {
        "seconds": report.seconds,
        "private_bytes": report.peak_private_bytes,
        "bytes": report.bytes,
        "parameters": report.parameters,
    }


def copy(folder: Path, out: Path) -> dict[str, Any]:
    """Read and write the files of `folder`, and wait for the disk after each, as `cut` does."""
    forget(folder)
    out.mkdir()
    start, total = time.perf_counter(), 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as source, (out / file.name).open("wb") as target:
            while block := source.read(16_000_000):
                total += target.write(block)
            target.flush()
            os.fsync(target.fileno())
    return {"seconds": time.perf_counter() - start, "bytes": total}


def step(options: argparse.Namespace) -> dict[str, Any]:
    """One measured run, in this process; what is imported first is in no figure but the memory's."""
    folder, what = options.work, options.step
    if what in ("streamed", "loaded", "offloaded"):
        data = calibration(read_config(folder), options.samples, options.length)
        return {"streamed": streamed, "loaded": loaded, "offloaded": offloaded}[what](folder, data)
    if what == "product":
        return {"flops_per_second": product_rate(read_config(folder), 4 * options.length)}
    if what == "copy":
        return copy(folder, folder.with_suffix(".copy"))
    return cut_to(folder, TARGETS[options.config][what], folder.with_suffix(f".{what}"))


def run(what: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", what, "--work", str(folder), "--config", options.config]
    command += ["--samples", str(options.samples), "--length", str(options.length)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"  {folder.name} {what}: {json.dumps(result)}", flush=True)
    return result


def benchmark(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    big = LLAMA_8B if options.config == "8b" else SMALL
    middle = MIDDLE if options.config == "8b" else SMALL
    result: dict[str, Any] = {
        "config": options.config,
        "samples": options.samples,
        "length": options.length,
        "dtype": "float32",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }
    folder = work / f"{options.config}-checkpoint"
    if not (folder / "config.json").exists():
        write_checkpoint(folder, big, 2_000_000_000 if options.config == "8b" else 500_000)
    sizes = sizes_of(big)
    result["checkpoint_bytes"] = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    result["product"] = run("product", folder, options)
    result["measure"] = run("streamed", folder, options)
    flops = 2 * sizes.without_embeddings * options.samples * options.length
    bound = flops / result["product"]["flops_per_second"]
    result["measure"] |= {"flops": flops, "share_of_product": bound / result["measure"]["seconds"]}
    for name in TARGETS[options.config]:
        out = folder.with_suffix(f".{name}")
        shutil.rmtree(out, ignore_errors=True)
        result[name] = run(name, folder, options)
        copied = run("copy", out, options)
        result[name] |= {"copy": copied, "share_of_copy": copied["seconds"] / result[name]["seconds"]}
        shutil.rmtree(out)
        shutil.rmtree(out.with_suffix(".copy"))
    compared = work / "middle-checkpoint"
    if not (compared / "config.json").exists():
        write_checkpoint(compared, middle, 200_000_000)
    result["middle_bytes"] = sum(file.stat().st_size for file in compared.glob("*.safetensors"))
    result["middle"] = {what: run(what, compared, options) for what in ("streamed", "loaded", "offloaded")}
    return result


def show(result: dict[str, Any]) -> None:
    whole = result["checkpoint_bytes"]
    print(
        f"\n{result['config']}: {whole / 1e9:.2f} GB, {result['samples']} samples of {result['length']}, float32"
    )
    print(f"{'':24}{'seconds':>9}{'private MB':>12}{'of files':>10}")
    rows = [("measure", result["measure"])] + [
        (f"cut to {name}", result[name]) for name in TARGETS[result["config"]]
    ]
    for title, row in rows:
        memory = row["private_bytes"]
        print(f"{title:24}{row['seconds']:9.1f}{memory / 1e6:12,.0f}{memory / whole:10.0%}")
        if "copy" in row:
            seconds, share = row["copy"]["seconds"], row["share_of_copy"]
            print(f"{'  copy of its output':24}{seconds:9.1f}  cut at {share:.0%} of its speed")
    share, rate = result["measure"]["share_of_product"], result["product"]["flops_per_second"]
    print(f"measuring runs at {share:.0%} of a bare product ({rate / 1e9:.0f} Gflop/s)")
    print(f"\nmiddle size: {result['middle_bytes'] / 1e9:.2f} GB")
    print(f"{'':24}{'seconds':>9}{'private MB':>12}")
    for title, row in result["middle"].items():
        print(f"{title:24}{row['seconds']:9.1f}{row['private_bytes'] / 1e6:12,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", choices=["8b", "small"], default="8b")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument(
        "--work", type=Path, help="folder for 35 GB; the checkpoint stays there for another run"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options)))
        return
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        result = benchmark(options.work, options)
    else:
        with tempfile.TemporaryDirectory() as name:
            result = benchmark(Path(name), options)
    write_json("minitron_stream.json", result)
    show(result)


if __name__ == "__main__":
    main()

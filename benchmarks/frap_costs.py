"""What steering costs: seconds, calls of the UNet and peak memory of FRAP against plain sampling and latent methods.

    python benchmarks/frap_costs.py
    python benchmarks/frap_costs.py --model sd15 --steps 4 --device cuda

`scene` is the shipped model; `sd15` a UNet of Stable Diffusion 1.5's size with random weights at 64 x 64 latents
(time and memory do not depend on what weights say). The peer is diffusers' own Attend-and-Excite pipeline, which it
deprecates. Each contender runs in a process of its own, all in turns; the median run counts. Peak memory is the
process's above what the model takes, as Linux counts it, or the CUDA allocator's.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

PROMPT, OBJECTS, TOKENS = "a red circle and a blue square", {"circle": ["red"], "square": ["blue"]}, [3, 7]
CONTENDERS = (
    "plain",
    "frap",
    "frap, graph behind the maps",
    "attend-and-excite",
    "attend-and-excite, lean",
    "attend-and-excite, diffusers",
    "syngen",
)
NOTES = {
    "frap, graph behind the maps": "FRAP with autograd left on behind the last map that is read",
    "attend-and-excite": "ours, as published: one pass more in every step; no refinement",
    "attend-and-excite, lean": "ours: one pass more in the first half alone; no refinement",
    "attend-and-excite, diffusers": "diffusers' StableDiffusionAttendAndExcitePipeline; threshold 0, so no refinement",
    "syngen": "ours: one pass more in the first half",
}


def scene_pipeline() -> tuple[Any, tuple[int, int], int]:
    """The shipped pipeline, the size of its maps and the side of its latent."""
    from paperworks.tiny.scene_model import load_scene_model

    return load_scene_model(), (8, 8), 16


def sd15_pipeline() -> tuple[Any, tuple[int, int], int]:
    """A pipeline around a UNet of Stable Diffusion 1.5's configuration with random weights."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from paperworks.tiny.scene_model import make_tokenizer

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 77
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=768, num_hidden_layers=1, num_attention_heads=12, max_position_embeddings=77,
        vocab_size=len(tokenizer), bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(block_out_channels=(8,) * 4, norm_num_groups=4, layers_per_block=1,
                        down_block_types=("DownEncoderBlock2D",) * 4,
                        up_block_types=("UpDecoderBlock2D",) * 4)  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae, CLIPTextModel(text), tokenizer, unet, DDIMScheduler(clip_sample=False, steps_offset=1), None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe, (16, 16), 64


def forget_peak(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """The most bytes since `forget_peak`."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Bytes above the model in the first run, seconds of the second, and its passes of the UNet in units of a
    picture."""
    import torch

    from paperworks.frap import AttendAndExcite, Settings, SynGen, frap_pipeline, steering

    warnings.simplefilter("ignore")
    base, size, side = scene_pipeline() if options.model == "scene" else sd15_pipeline()
    base = base.to(options.device, torch.float16 if options.half else torch.float32)
    pipe = frap_pipeline(base)
    n, half = options.batch, options.steps // 2
    noise = torch.randn(n, 4, side, side, generator=torch.Generator().manual_seed(0)).to(
        options.device, base.unet.dtype
    )
    call = {
        "num_inference_steps": options.steps,
        "guidance_scale": 2.0,
        "latents": noise,
        "output_type": "latent",
    }
    passes: list[int] = []
    own_forward = base.unet.forward

    def forward(sample: Any, *args: Any, **inputs: Any) -> Any:
        passes.append(len(sample))
        return own_forward(sample, *args, **inputs)

    base.unet.forward = forward
    if name == "frap, graph behind the maps":
        steering.recorded = partial(steering.recorded, stop_gradient=False)
    methods: dict[str, Any] = {
        "plain": None,
        "frap": Settings(map_size=size),
        "frap, graph behind the maps": Settings(map_size=size),
        "attend-and-excite": AttendAndExcite(step_size=1e-3, refine=0, map_size=size),
        "attend-and-excite, lean": AttendAndExcite(step_size=1e-3, variant="lean", refine=0, map_size=size),
        "syngen": SynGen(step_size=1e-3, map_size=size),
    }

    def run() -> None:
        if name in methods:
            pipe([PROMPT] * n, objects=[OBJECTS] * n, frap=methods[name], **call)
        else:
            peer([PROMPT] * n, token_indices=[TOKENS] * n, max_iter_to_alter=half, thresholds={0: 0.0},
                 scale_factor=1e-3, attn_res=size, **call)  # fmt: skip

    if name not in methods:
        from diffusers import StableDiffusionAttendAndExcitePipeline as Peer

        taken = inspect.signature(Peer.__init__).parameters
        parts = {part: module for part, module in base.components.items() if part in taken}
        peer = Peer(**parts, requires_safety_checker=False)
        peer.set_progress_bar_config(disable=True)
    forget_peak(options.device)
    before = peak_memory(options.device)
    run()
    peak = peak_memory(options.device) - before
    passes.clear()
    start = time.perf_counter()
    run()
    if options.device == "cuda":
        torch.cuda.synchronize()
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak, "passes": sum(passes) / n}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("scene", "sd15"), default="scene")
    parser.add_argument("--steps", type=int, default=None, help="default 8; 2 for sd15")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=None, help="default 5; 1 for sd15")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="float16")
    parser.add_argument("--only", help="contenders, with semicolons")
    parser.add_argument("--out", type=Path, default=Path("frap_costs.json"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = options.steps or (8 if options.model == "scene" else 2)
    options.repeats = options.repeats or (5 if options.model == "scene" else 1)
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    names = options.only.split(";") if options.only else CONTENDERS
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}", file=sys.stderr)
                continue
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    rows = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in runs.items()
        if found
    }
    print(
        f"{options.model}, {options.steps} steps, batch {options.batch}, {options.device}, medians of {options.repeats}"
    )
    print(f"{'':30} {'seconds':>9} {'of plain':>9} {'FRAP of it':>11} {'passes':>7} {'peak':>9}")
    for name, row in rows.items():
        of_plain = row["seconds"] / rows["plain"]["seconds"] if "plain" in rows else float("nan")
        frap = rows["frap"]["seconds"] / row["seconds"] if "frap" in rows else float("nan")
        peak = row["peak_bytes"] / 1e6
        print(
            f"{name:30} {row['seconds']:9.3f} {of_plain:9.2f} {frap:11.2f} {row['passes']:7g} {peak:6,.0f} MB"
        )
    for name, note in NOTES.items():
        print(f"  {name}: {note}")
    setting = {name: str(value) for name, value in vars(options).items() if name not in ("measure", "out")}
    setting |= {"cores": str(os.cpu_count()), "threads": str(os.environ.get("OMP_NUM_THREADS"))}
    options.out.write_text(json.dumps({**setting, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

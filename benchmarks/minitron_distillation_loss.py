"""The chunked distillation loss against the plain one and Liger's: time and peak memory of a forward and backward pass.

    python benchmarks/minitron_distillation_loss.py --tokens 2048

Heads of Llama-3.1-8B (teacher, 4096) and Minitron-4B (student, 3072), 128,256 words, float32. `plain` holds the
log-softmax of all tokens; `liger` is its chunked Jensen-Shannon divergence with beta 0, not compiled, if `liger-kernel`
is installed; `floor` is the matrix products alone, three of the student's size and one of the teacher's, in the chunks
of ours. Each runs in a process of its own, in turns; peak memory is that process's above what the inputs take.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paperworks.minitron.distillation_loss import BUDGET, distillation_loss


def chunked(h_s: Tensor, W_s: Tensor, h_t: Tensor, W_t: Tensor) -> Tensor:
    return distillation_loss(h_s, W_s, h_t, W_t)


def plain(h_s: Tensor, W_s: Tensor, h_t: Tensor, W_t: Tensor) -> Tensor:
    log_q, log_p = F.log_softmax(h_s @ W_s.T, -1), F.log_softmax(h_t @ W_t.T, -1)
    return F.kl_div(log_q, log_p, reduction="sum", log_target=True) / len(h_s)


def liger(h_s: Tensor, W_s: Tensor, h_t: Tensor, W_t: Tensor) -> Tensor:
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=0.0, compiled=False)
    return loss(h_s, W_s, h_t, W_t, torch.zeros(len(h_s), dtype=torch.long))


def floor(h_s: Tensor, W_s: Tensor, h_t: Tensor, W_t: Tensor) -> None:
    chunk = BUDGET // (8 * len(W_s))
    z_s, z_t = torch.empty(chunk, len(W_s)), torch.empty(chunk, len(W_t))
    d_h, d_W = torch.empty_like(h_s), torch.zeros_like(W_s)
    for some, target, d_some in zip(h_s.split(chunk), h_t.split(chunk), d_h.split(chunk), strict=True):
        torch.mm(some, W_s.T, out=z_s[: len(some)])
        torch.mm(target, W_t.T, out=z_t[: len(some)])
        torch.mm(z_s[: len(some)], W_s, out=d_some)
        d_W.addmm_(z_s[: len(some)].T, some)


CONTENDERS = {"chunked": chunked, "plain": plain, "liger": liger, "floor": floor}


def peak_memory() -> int:
    """This process's largest resident memory so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(what: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds, bytes above the inputs, and what the loss and its gradients are."""
    torch.manual_seed(0)
    h_s, h_t = torch.randn(options.tokens, options.student), torch.randn(options.tokens, options.teacher)
    W_s, W_t = (
        torch.empty(options.words, width).normal_(0, width**-0.5)
        for width in (options.student, options.teacher)
    )
    function = CONTENDERS[what]
    if what == "liger":
        from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss  # noqa: F401, its import is no part of the time
    small = [tensor[:64] for tensor in (h_s, W_s, h_t, W_t)]
    with torch.no_grad():
        function(*small)  # the first call also loads the libraries
    with torch.set_grad_enabled(what != "floor"):
        h_s.requires_grad_(what != "floor")
        W_s.requires_grad_(what != "floor")
        before, start = peak_memory(), time.perf_counter()
        loss = function(h_s, W_s, h_t, W_t)
        if loss is not None:
            loss.backward()
        seconds = time.perf_counter() - start
    found: dict[str, Any] = {"seconds": seconds, "peak_bytes": peak_memory() - before}
    if loss is not None and h_s.grad is not None and W_s.grad is not None:
        norms = {"hidden": float(h_s.grad.norm()), "head": float(W_s.grad.norm())}
        found |= {"loss": float(loss.detach()), "gradient_norms": norms}
    return found


def measure(what: str, options: argparse.Namespace) -> dict[str, Any] | None:
    sizes = [f"--{name}={getattr(options, name)}" for name in ("tokens", "words", "student", "teacher")]
    command = [sys.executable, __file__, "--measure", what, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{what} failed: {(done.stderr.strip().splitlines() or ['killed'])[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--words", type=int, default=128_256)
    parser.add_argument("--student", type=int, default=3072, help="width of the student")
    parser.add_argument("--teacher", type=int, default=4096, help="width of the teacher")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each, of which the fastest counts")
    parser.add_argument("--out", type=Path, default=Path("minitron_distillation_loss.json"))
    parser.add_argument("--measure", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(run(options.measure, options)))
        return

    names = [name for name in CONTENDERS if name != "liger" or find_spec("liger_kernel")]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            if found := measure(name, options):
                runs[name].append(found)
    best = {
        name: min(found, key=lambda entry: entry["seconds"]) if found else "failed"
        for name, found in runs.items()
    }
    sizes = {name: getattr(options, name) for name in ("tokens", "words", "student", "teacher")}
    result = {**sizes, "cores": os.cpu_count(), "torch": torch.__version__, "runs": runs, "best": best}
    options.out.write_text(json.dumps(result, indent=2) + "\n")

    widths = f"widths {options.student} and {options.teacher}, float32"
    print(f"{options.tokens:,} tokens, {options.words:,} words, {widths}")
    ours = best["chunked"]
    for name, found in best.items():
        if isinstance(found, str):
            print(f"  {name:8} failed")
            continue
        line = f"  {name:8} {found['seconds']:8.1f} s  peak {found['peak_bytes'] / 1e6:8,.0f} MB"
        if "loss" in found:
            line += f"  loss {found['loss']:.6f}  |dh| {found['gradient_norms']['hidden']:.6g}"
        if not isinstance(ours, str) and name != "chunked":
            line += (
                f"  ours: {ours['seconds'] / found['seconds']:.2f} x the time, "
                f"{ours['peak_bytes'] / found['peak_bytes']:.0%} of the memory"
            )
        print(line)
    if "liger" not in names:
        print("  liger    not installed: pip install liger-kernel")


if __name__ == "__main__":
    main()

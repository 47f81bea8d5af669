"""Minitron's width cut against torch-pruning and NVIDIA's Model Optimizer, on the shipped model.

    pip install torch-pruning nvidia-modelopt torchprofile==0.0.4   # the peers; without one its rows are left out
    python benchmarks/minitron_peers.py

Every arm cuts the same model on the same calibration rows to the same number of parameters without embeddings, keeps
all heads, and gets the same short distillation. Losses are nats a token on held-out modules, for three seeds.

- ours: activation importance; the same with norms rescaled; random importance, the control; and neurons alone cut.
- torch-pruning: its pruner with one ratio for channels and neurons, searched for, by weight magnitude (its LLM example)
  and by first-order Taylor importance (gradients of the loss on the calibration rows).
- modelopt: `fastnas`, which finds only the neurons of this model and gives each layer a number of its own, with the
  loss on the calibration rows as its score. Its ways for language models are tried, and what they say is printed.

Seconds (the median) are importance and cutting; MB is the most private memory above what there was with the model, at
an arm's first seed in a process of its own; the peers cut in place. `loads`: does `from_pretrained` give the saved
model back, with the same logits? And where no one updates its config?
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from paperworks.minitron import small_scale as s
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.importance import measure_in_memory, random_importance
from paperworks.minitron.memory import PeakPrivate, private_bytes
from paperworks.minitron.target import Target
from paperworks.minitron.trim import prune_model
from paperworks.tiny.code_model import FOLDER

STEPS, SEEDS, BATCH = 16, 3, 16
MODULES = {"torch-pruning": "torch_pruning", "modelopt": "modelopt"}
WIDTH = s.width_target()
WANTED = s.shapes(WIDTH).without_embeddings


def without_embeddings(model: Any) -> int:
    return model.num_parameters() - model.model.embed_tokens.weight.numel()  # the head is tied to them


def ours(model: Any, rows: Any, *, seed: int, target: Target = WIDTH, kind: str = "", **_: Any) -> Any:
    scores = s.chance(seed) if kind == "random" else measure_in_memory(model, rows, batch_size=BATCH)
    return prune_model(model, scores, target, rescale_norms=kind == "rescaled")


def pruner(model: Any, importance: str, ratio: float) -> Any:
    """torch-pruning's pruner of a share of a Llama's channels, and of each layer's neurons; heads stay."""
    import torch_pruning as tp

    config, heads = model.config, {}
    for attention in (layer.self_attn for layer in model.model.layers):
        heads[attention.q_proj] = config.num_attention_heads
        heads[attention.k_proj] = heads[attention.v_proj] = config.num_key_value_heads
    options = {"ignored_layers": [model.lm_head], "num_heads": heads, "prune_head_dims": False}
    # Else a Llama config may refuse the hidden size; and default dicts are shared by all pruners and keep their models.
    options |= {"round_to": config.num_attention_heads, "in_channel_groups": {}, "out_channel_groups": {}}
    score, example = getattr(tp.importance, importance)(), torch.zeros(1, 8, dtype=torch.long)
    return tp.pruner.BasePruner(model, example, score, pruning_ratio=ratio, **options)


def updated(model: Any) -> Any:
    """A model cut in place, with a config that says its new sizes, and tied embeddings tied again."""
    model.config.hidden_size = model.lm_head.in_features
    model.config.intermediate_size = max(layer.mlp.gate_proj.out_features for layer in model.model.layers)
    model.zero_grad(set_to_none=True)
    model.tie_weights()
    return model


def torch_pruned(model: Any, rows: Any, *, ratio: str, kind: str, **_: Any) -> Any:
    for ids in rows.input_ids.split(BATCH) if kind == "Taylor" else ():
        (model(input_ids=ids, labels=ids).loss * len(ids) / len(rows)).backward()
    pruner(model, f"Group{kind}Importance", float(ratio)).step()
    return updated(model)


def search_ratio() -> str:
    """torch-pruning's ratio, in 64ths, whose model is nearest in size to ours; no importance changes the size."""
    cut = partial(torch_pruned, rows=None, kind="Magnitude")
    ratios = [str(part / 64) for part in range(32)]
    return min(ratios, key=lambda one: abs(without_embeddings(cut(s.fresh_teacher(), ratio=one)) - WANTED))


def fastnas(model: Any, rows: Any, **_: Any) -> Any:
    import modelopt.torch.prune as mtp
    from modelopt.torch.utils import param_num_from_forward

    example, counted = (rows.input_ids[:1, :8],), partial(param_num_from_forward, model, unit=1.0)
    most = counted(args=example) - without_embeddings(model) + WANTED  # it counts tied embeddings twice
    search = {"score_func": lambda cut: -s.loss_of(cut, rows), "forward_loop": lambda cut: None}
    return updated(mtp.prune(model, "fastnas", {"params": most}, example, search)[0])


def for_language_models(way: str) -> None:
    """One of modelopt's two ways for language models, as far as it goes with this model."""
    if way == "puzzletron":
        from modelopt.torch.puzzletron.anymodel.models import llama
        from modelopt.torch.puzzletron.tools import sharded_checkpoint_utils as sharded

        sharded.load_and_shard_model(llama.LlamaModelDescriptor, FOLDER)  # its first step begins so
    else:
        import modelopt.torch.prune as mtp
        import modelopt.torch.prune.plugins.mcore_minitron as _mode  # noqa: F401

        example, sizes = (torch.zeros(1, 8, dtype=torch.long),), {"ffn_hidden_size": WIDTH.intermediate_size}
        loop = {"forward_loop": lambda model: model(*example)}
        mtp.prune(s.fresh_teacher(), way, {"export_config": sizes}, example, loop)


def outcome(work: Callable[[], Any]) -> str:
    """What comes of the work, or the first line of its error."""
    try:
        return str(work() or "no error")
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0].partition('. ')[0]}"


def reloaded(model: Any) -> str:
    ids = s.held_out().input_ids[:2]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model.save_pretrained(folder)
        again = AutoModelForCausalLM.from_pretrained(folder)
        return "yes" if torch.equal(again(ids).logits, model(ids).logits) else "other logits"


ARMS: dict[str, Callable[..., Any]] = {
    "ours": ours,
    "ours, norms rescaled": partial(ours, kind="rescaled"),
    "ours, random importance": partial(ours, kind="random"),
    "torch-pruning, Magnitude": partial(torch_pruned, kind="Magnitude"),
    "torch-pruning, Taylor": partial(torch_pruned, kind="Taylor"),
    "ours, neurons alone": partial(ours, target=s.width_target(hidden=s.teacher().config.hidden_size)),
    "modelopt, fastnas": fastnas,
}


def watched(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What comes of the work, its seconds, and the most megabytes it took."""
    with PeakPrivate() as peak:
        before, start = private_bytes(), time.perf_counter()
        done = work()
        seconds = time.perf_counter() - start
    return done, seconds, (peak.bytes - before) / 1e6


def measure(name: str, ratio: str) -> dict[str, Any]:
    peer, _, kind = name.partition(", ")
    s.loss_of(s.teacher(), s.drawn(s.code_rows(), 2, 0))  # the first pass also loads the libraries
    __import__(MODULES.get(peer, "torch"))
    found: dict[str, Any] = {"seconds": [], "megabytes": [], "cut": [], "distilled": []}
    for seed in range(SEEDS):
        rows, model = s.drawn(s.code_rows(), s.CALIBRATION, seed), s.fresh_teacher()
        model, *cost = watched(partial(ARMS[name], model, rows, seed=seed, ratio=ratio))
        loss = s.loss_of(model.requires_grad_(True))
        with tempfile.TemporaryDirectory() as scratch:
            s.train(model, s.code_rows(), Path(scratch), steps=STEPS, seed=seed, guide=s.teacher())
        for values, value in zip(found.values(), (*cost, loss, s.loss_of(model)), strict=True):
            values.append(value)
    found |= {"channels": model.config.hidden_size, "parameters": without_embeddings(model)}
    found["neurons"] = [layer.mlp.gate_proj.out_features for layer in model.model.layers]
    found["loads"] = outcome(partial(reloaded, model))
    if peer == "torch-pruning":
        ids, uncut = rows.input_ids[:4], torch_pruned(s.fresh_teacher(), rows, ratio="0", kind=kind)
        assert torch.equal(uncut(ids).logits, s.teacher()(ids).logits), "nothing cut, yet other logits"
        pruner(uncut, "RandomImportance", float(ratio)).step()
        found["loads"] += f", not updated: {str(outcome(partial(reloaded, uncut))).partition(':')[0]}"
    return found


def cutting() -> dict[str, Any]:
    """Random weights by random importance: the fastest of three, and the memory of the first."""
    sizes = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8, "vocab_size": 8192}
    config = LlamaConfig(**sizes, num_attention_heads=16, num_key_value_heads=4, use_cache=False)
    scores = random_importance(sizes_of(config), 0)
    cuts = {"ours": lambda whole: prune_model(whole, scores, Target(768, 2112))}
    if find_spec("torch_pruning"):
        cuts["torch-pruning"] = lambda whole: pruner(whole, "RandomImportance", 0.25).step() or whole
    found: dict[str, Any] = {}
    for name in [*cuts] * 3:
        cut, seconds, megabytes = watched(partial(cuts[name], LlamaForCausalLM(config)))
        one = found.setdefault(name, {"seconds": seconds, "megabytes": megabytes})
        one |= {"seconds": min(one["seconds"], seconds), "parameters": cut.num_parameters()}
        assert one["parameters"] == found["ours"]["parameters"], "the sizes differ"
    return found


def in_process(*part: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *part], capture_output=True, text=True)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:150]}
    return json.loads(done.stdout.splitlines()[-1])


def line(found: dict[str, Any]) -> str:
    few, many = min(found["neurons"]), max(found["neurons"])
    sizes = f"{found['channels']} / {few}" + (f"-{many}" if many > few else "")
    loss = "".join(f"{mean(of):8.3f} ± {stdev(of):.3f}" for of in (found["cut"], found["distilled"]))
    count = f"{found['parameters']:,} {found['parameters'] / WANTED - 1:+.1%}"
    return f"{sizes:>19}{count:>18}{loss}{median(found['seconds']):9.2f}{found['megabytes'][0]:6.0f}  {found['loads']}"


def main() -> None:
    logging.disable(logging.WARNING)
    logging.captureWarnings(True)
    if part := sys.argv[1:]:
        print("\n" + json.dumps(cutting() if part[0] == "cutting" else measure(*part)))
        return
    here = {"ours"} | {peer for peer, module in MODULES.items() if find_spec(module)}
    ratio = outcome(search_ratio) if "torch-pruning" in here else ""
    print(f"teacher: {s.loss_of(s.teacher()):.3f} nats a token; torch-pruning's ratio: {ratio or 'none'}\n")
    print(f"{'':24}{'channels / neurons':>19}{'parameters':>18}{'after the cut':>16}", end="")
    print(f"{f'after {STEPS} steps':>16}{'seconds':>9}{'MB':>6}  loads", flush=True)
    arms: dict[str, Any] = {name: {} for name in ARMS if name.split(",")[0] in here}
    for name in arms:
        arms[name] = found = in_process(name, ratio)
        print(f"{name:24}" + (found.get("failed") or line(found)), flush=True)
    tried = {}
    for way in ("mcore_minitron", "puzzletron") if "modelopt" in here else ():
        tried[way] = outcome(partial(for_language_models, way))
        print(f"modelopt, {way}: {tried[way]}")
    alone = in_process("cutting")
    print("\ncutting alone, 8 layers of random weights, 1024 channels to 768, 2816 neurons to 2112:")
    for name, cost in alone.items():
        said = cost if name == "failed" else f"{cost['seconds']:.3f} s, {cost['megabytes']:.0f} MB"
        print(f"  {name:14} {said}")
    if "torch-pruning" in alone:
        print(f"  ratio of the times: {alone['ours']['seconds'] / alone['torch-pruning']['seconds']:.2f}")
    if missing := " and ".join(MODULES.keys() - here):
        print(f"{missing} not installed: pip install torch-pruning nvidia-modelopt torchprofile==0.0.4")
    result = {"parameters": WANTED, "ratio": ratio, "arms": arms, "modelopt": tried, "cutting": alone}
    Path("minitron_peers.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Minitron's width cut against torch-pruning and NVIDIA's Model Optimizer, on the shipped model.

    python benchmarks/minitron_peers.py
    pip install torch-pruning nvidia-modelopt torchprofile==0.0.4   # the peers; without one, its rows are left out

Every arm cuts the same model with the same calibration rows to the same number of parameters without embeddings, query
and key/value heads kept, and then gets the same short distillation. Losses are nats a token on held-out modules.

- ours: activation importance; with the norms rescaled; and random importance as the control.
- torch-pruning: its pruner on the dependency graph, with the importance of its LLM example (weight magnitude) and with
  the first-order Taylor one (gradients of the loss on the calibration rows). One ratio for channels and neurons, its
  usual way, is searched for; `our shape` gives it the sizes of ours, so that only the choice of parts differs.
- modelopt: `fastnas`, which finds the feed-forward blocks alone in this model and cuts each to a size of its own. Its
  other two ways are tried as well, and what they say is printed.

Seconds are importance and cutting together, the median of the seeds; memory is the most private memory above what was
there before, model included, of an arm in a process of its own. The peers cut in place, ours makes a new model.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from paperworks.minitron import small_scale as s
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.importance import measure_in_memory
from paperworks.minitron.trim import prune_model

STEPS = 16
SEEDS = 3
BATCH = 16
"""Calibration rows in a pass, for every arm."""
NEEDS = {
    "torch-pruning": ("torch_pruning", "torch-pruning"),
    "modelopt": ("modelopt", "nvidia-modelopt torchprofile==0.0.4"),
}


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:150]}"


def without_embeddings(model: Any) -> int:
    return sum(
        p.numel() for name, p in model.named_parameters() if "embed" not in name and "lm_head" not in name
    )


def lm_pass(model: Any, rows: Calibration, backward: bool = False) -> float:
    """The loss on the rows; with `backward` its gradients are left in the model."""
    total = 0.0
    with torch.set_grad_enabled(backward):
        for _, chunk in rows.chunks(BATCH):
            loss = model(input_ids=chunk.input_ids, labels=chunk.input_ids).loss * len(chunk) / len(rows)
            if backward:
                loss.backward()
            total += float(loss.detach())
    return total


def ours(model: Any, rows: Calibration, seed: int, *, rescaled: bool = False) -> Any:
    scores = measure_in_memory(model, rows, batch_size=BATCH)
    return prune_model(model, scores, s.width_target(), rescale_norms=rescaled)


def by_chance(model: Any, rows: Calibration, seed: int) -> Any:
    return prune_model(model, s.chance(seed), s.width_target())


def pruner(model: Any, importance: Any, channels: float, neurons: float, **options: Any) -> Any:
    """torch-pruning's pruner of shares of a Llama's channels and neurons, each layer by itself; heads stay."""
    import torch_pruning as tp

    heads = {}
    for layer in model.model.layers:
        heads[layer.self_attn.q_proj] = model.config.num_attention_heads
        for part in (layer.self_attn.k_proj, layer.self_attn.v_proj):
            heads[part] = model.config.num_key_value_heads
    return tp.pruner.BasePruner(
        model,
        torch.zeros(1, 8, dtype=torch.long),
        importance,
        pruning_ratio=channels,
        pruning_ratio_dict={layer.mlp.gate_proj: neurons for layer in model.model.layers},
        round_to=8,  # a Llama config refuses a hidden size that the 8 heads do not divide
        ignored_layers=[model.lm_head],
        num_heads=heads,
        prune_num_heads=False,
        prune_head_dims=False,
        in_channel_groups={},  # the defaults of these two are shared by all pruners
        out_channel_groups={},
        **options,
    )


def updated(model: Any) -> Any:
    """A pruned model whose config and attributes say its new sizes, with tied embeddings tied again."""
    mlps = [layer.mlp for layer in model.model.layers]
    model.config.hidden_size = model.lm_head.in_features
    model.config.intermediate_size = max(mlp.gate_proj.out_features for mlp in mlps)
    for mlp in mlps:
        mlp.hidden_size, mlp.intermediate_size = mlp.gate_proj.in_features, mlp.gate_proj.out_features
    for layer in model.model.layers:
        layer.hidden_size = layer.self_attn.hidden_size = model.config.hidden_size
    model.zero_grad(set_to_none=True)
    model.tie_weights()
    return model


def torch_pruned(
    model: Any, rows: Calibration, seed: int, *, way: str, ratios: tuple[float, float] | None = None
) -> Any:
    import torch_pruning as tp

    importance = {
        "magnitude": tp.importance.GroupMagnitudeImportance,
        "Taylor": tp.importance.GroupTaylorImportance,
    }
    if way == "Taylor":
        lm_pass(model, rows, backward=True)
    pruner(model, importance[way](), *(ratios or uniform())).step()
    return updated(model)


@cache
def uniform() -> tuple[float, float]:
    """The ratio, the same for channels and neurons, whose model is nearest in size to ours."""
    wanted, rows = s.shapes(s.width_target()).without_embeddings, s.drawn(s.code_rows(), 1, 0)
    units = s.teacher().config.intermediate_size // 8

    @cache
    def count(removed: int) -> int:
        ratios = (removed / units, removed / units)
        return without_embeddings(torch_pruned(s.fresh_teacher(), rows, 0, way="magnitude", ratios=ratios))

    first = bisect.bisect_left(range(units), -wanted, key=lambda removed: -count(removed))
    nearest = min((max(0, first - 1), first), key=lambda removed: abs(count(removed) - wanted))
    return nearest / units, nearest / units


def our_shape() -> tuple[float, float]:
    """The ratios of our sizes."""
    full, cut = sizes_of(s.teacher().config), s.shapes(s.width_target())
    return 1 - cut.hidden / full.hidden, 1 - cut.intermediate / full.intermediate


def fastnas(model: Any, rows: Calibration, seed: int) -> Any:
    """modelopt's search for the sizes of the feed-forward blocks; its score is the loss on the rows, negated."""
    import modelopt.torch.prune as mtp
    from modelopt.torch.utils import param_num_from_forward

    example = (rows.input_ids[:1, :8],)
    too_many = without_embeddings(model) - s.shapes(s.width_target()).without_embeddings
    bound = (
        param_num_from_forward(model, args=example, unit=1.0) - too_many
    )  # it counts tied embeddings twice
    search = {"score_func": lambda one: -lm_pass(one, rows), "forward_loop": lambda one: None}
    return updated(mtp.prune(model, "fastnas", {"params": bound}, example, search)[0])


ARMS: dict[str, Callable[..., Any]] = {
    "ours": ours,
    "ours, norms rescaled": partial(ours, rescaled=True),
    "ours, random importance": by_chance,
    "torch-pruning, magnitude": partial(torch_pruned, way="magnitude"),
    "torch-pruning, Taylor": partial(torch_pruned, way="Taylor"),
    "torch-pruning, magnitude, our shape": partial(torch_pruned, way="magnitude", ratios=our_shape()),
    "torch-pruning, Taylor, our shape": partial(torch_pruned, way="Taylor", ratios=our_shape()),
    "modelopt, fastnas": fastnas,
}

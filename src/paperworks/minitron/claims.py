"""The experiments behind the paper's highlights, and one of ours for checkpoints larger than memory.

Small scale: `tiny/code_model` is the teacher, students are trained for a few dozen steps on the standard library's
source, and losses are of modules that no model has seen. Three seeds draw the calibration samples and the training
rows; arms of a seed are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from paperworks.claims import Evidence, Lab, Measured, Table, claim, standard_errors

PAPER = "2408.11796"
SEEDS = 3
LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
NOTE = (
    "The teacher is a model of {parameters:.1f} million parameters that writes Python, trained by this project; the paper "
    "distils Llama 3.1 8B with 94 billion tokens, here an arm sees {tokens:,}."
)


def beyond_two_errors(measured: Measured) -> bool:
    """Every paired difference of the experiment is above 0 by more than two standard errors."""
    return measured.details["least_standard_errors"] > 2


def _measured(samples: Sequence[float], *others: Sequence[float], **details: float) -> Measured:
    least = min(standard_errors(one) for one in (samples, *others))
    return Measured.of(list(samples), "nats a token", least_standard_errors=least, **details)


def _note(steps: int) -> str:
    from paperworks.minitron import small_scale as s

    return NOTE.format(parameters=s.shapes(s.Target()).parameters / 1e6, tokens=steps * s.BATCH * s.LENGTH)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _rows(losses: dict[str, dict[str, list[float]]]) -> list[list[Any]]:
    return [
        [
            name,
            *(f"{_mean(values):.3f} ({', '.join(f'{x:.3f}' for x in values)})" for values in points.values()),
        ]
        for name, points in losses.items()
    ]


@claim(
    paper=PAPER,
    highlight="Pruning the width keeps more accuracy than pruning the depth at the same size",
    reported="MMLU 60.5 (width) against 58.7 (depth)",
    expects="the loss of the width cut is lower than the depth cut's by more than 2 standard errors, right after the cut "
    "and after equal distillation",
    meets=beyond_two_errors,
    control="the width cut by random importance, against the same depth cut",
    translations={
        "ko": {
            "highlight": "같은 크기에서 폭을 줄이는 가지치기가 깊이를 줄이는 것보다 정확도를 더 지킨다",
            "reported": "MMLU 60.5(폭), 58.7(깊이)",
            "expects": "자른 직후와 같은 양의 증류 뒤 모두, 폭을 줄인 모델의 손실이 깊이를 줄인 모델보다 표준오차의 2배 넘게 낮다",
            "control": "무작위 중요도로 폭을 줄인 모델을 같은 깊이 모델과 비교",
        }
    },
)
def width_beats_depth(lab: Lab) -> Evidence:
    """Loss of the depth cut minus that of the width cut, before and after distillation."""
    from paperworks.minitron import small_scale as s

    steps = 9
    arms = {
        "width": ("measured", s.width_target()),
        "depth": ("measured", s.depth_target()),
        "random width": ("random", s.width_target()),
    }
    losses: dict[str, dict[str, list[float]]] = {
        name: {"after the cut": [], "distilled": []} for name in arms
    }
    for index, seed in enumerate(lab.seeds(SEEDS)):
        scores = {"measured": s.importance(seed), "random": s.chance(seed)}
        for number, (name, (kind, target)) in enumerate(arms.items()):
            lab.progress(index * len(arms) + number, SEEDS * len(arms), f"seed {seed}: {name}")
            model = s.student(scores[kind], target)
            losses[name]["after the cut"].append(s.loss_of(model))
            s.train(model, s.code_rows(), lab.scratch / name, steps=steps, seed=seed, guide=s.teacher())
            losses[name]["distilled"].append(s.loss_of(model))

    def gains(name: str, point: str) -> list[float]:
        return [deep - wide for deep, wide in zip(losses["depth"][point], losses[name][point], strict=True)]

    points = ("distilled", "after the cut")
    measured, control = (
        _measured(gains(name, points[0]), gains(name, points[1]), after_the_cut=_mean(gains(name, points[1])))
        for name in ("width", "random width")
    )
    sizes = {name: s.shapes(target).without_embeddings for name, (_, target) in arms.items()}
    rows = [[row[0], f"{sizes[row[0]]:,}", *row[1:]] for row in _rows(losses)]
    return Evidence(
        measured,
        control,
        table=Table(
            ["", "parameters without embeddings", "loss after the cut (seeds)", "loss distilled (seeds)"],
            rows,
            f"The teacher's loss is {s.loss_of(s.teacher()):.3f} nats a token.",
        ),
        note=_note(steps),
    )


@claim(
    paper=PAPER,
    highlight="Pruning and distillation together beat each without the other",
    reported="lowest loss of all arms (Fig. 6)",
    expects="pruned by importance and distilled has a lower loss than a fresh model distilled, a randomly pruned one "
    "distilled, and the pruned one trained with the LM loss, each by more than 2 standard errors",
    meets=beyond_two_errors,
    control="a model pruned at random by another seed and distilled, in the place of the method",
    translations={
        "ko": {
            "highlight": "가지치기와 증류를 함께 쓰면 어느 한쪽만 쓸 때보다 낫다",
            "reported": "모든 조건 가운데 가장 낮은 손실 (그림 6)",
            "expects": "중요도로 자르고 증류한 모델의 손실이, 새 모델을 증류한 것, 무작위로 자르고 증류한 것, 자르고 언어 모델 손실로 학습한 "
            "것보다 각각 표준오차의 2배 넘게 낮다",
            "control": "방법 대신 다른 시드로 무작위로 자르고 증류한 모델",
        }
    },
)
def pruning_and_distillation_beat_their_parts(lab: Lab) -> Evidence:
    """The smallest paired difference to the three arms that lack a part."""
    from paperworks.minitron import small_scale as s

    steps, target = 9, s.width_target()
    names = (
        "pruned, distilled",
        "fresh, distilled",
        "random, distilled",
        "pruned, LM loss",
        "random again, distilled",
    )
    losses: dict[str, dict[str, list[float]]] = {name: {"trained": []} for name in names}
    for index, seed in enumerate(lab.seeds(SEEDS)):
        scores = s.importance(seed)
        for number, name in enumerate(names):
            lab.progress(index * len(names) + number, SEEDS * len(names), f"seed {seed}: {name}")
            model = {
                "pruned": lambda scores=scores: s.student(scores, target),
                "fresh": lambda seed=seed: s.untrained(target, seed),
                "random": lambda seed=seed: s.student(s.chance(seed), target),
                "random again": lambda seed=seed: s.student(s.chance(seed + 1000), target),
            }[name.split(",")[0]]()
            guide = None if name.endswith("LM loss") else s.teacher()
            s.train(model, s.code_rows(), lab.scratch / name, steps=steps, seed=seed, guide=guide)
            losses[name]["trained"].append(s.loss_of(model))

    def against(name: str) -> Measured:
        gains = [
            [
                other - mine
                for other, mine in zip(losses[arm]["trained"], losses[name]["trained"], strict=True)
            ]
            for arm in names[1:4]
        ]
        gains.sort(key=_mean)
        return _measured(gains[0], *gains[1:])

    return Evidence(
        against(names[0]),
        against(names[4]),
        table=Table(
            ["", "loss (seeds)"], _rows(losses), "Nats a token on held-out modules, after equal training."
        ),
        note=_note(steps),
    )


def faster_as_work_allows(measured: Measured) -> bool:
    """Width at least 1.3 times and 70 % of its bound; depth within 15 % of its own."""
    width, depth = measured.value, measured.details["depth"]
    bound, deep = measured.details["width_bound"], measured.details["depth_bound"]
    return width >= 1.3 and width >= 0.7 * bound and abs(depth / deep - 1) <= 0.15


@claim(
    paper=PAPER,
    highlight="The pruned 4B models serve faster than the 8B model: 1.8x by width, 2.7x by depth",
    reported="1.8x (width), 2.7x (depth; at batch 64 against 32)",
    expects="width is at least 1.3x faster and reaches 70 % of the 1.82x that its work allows; depth is within 15 % of its "
    "1.87x, at equal batch",
    meets=faster_as_work_allows,
    control="the unpruned model against itself",
    translations={
        "ko": {
            "highlight": "가지치기한 4B 모델은 8B 모델보다 빠르다: 폭 1.8배, 깊이 2.7배",
            "reported": "1.8배(폭), 2.7배(깊이, 배치 64 대 32)",
            "expects": "폭은 1.3배 이상 빠르고 연산량이 허용하는 1.82배의 70 %에 이르며, 깊이는 같은 배치에서 1.87배의 15 % 안에 든다",
            "control": "자르지 않은 모델끼리 비교",
        }
    },
)
def pruned_models_are_faster(lab: Lab) -> Evidence:
    """Prefill at the real layer shapes of Llama-3.1-8B and of both 4B cuts: one layer times their number, the head
    once."""
    from paperworks.minitron.architecture import sizes_of
    from paperworks.minitron.speed import speed
    from paperworks.minitron.target import Target

    source = sizes_of(LLAMA_8B)
    contenders = {
        "8B": LLAMA_8B,
        "4B width": Target.preset("4b-width").config(LLAMA_8B, source),
        "4B depth": Target.preset("4b-depth").config(LLAMA_8B, source),
        "8B again": LLAMA_8B,
    }
    found = speed(
        contenders,
        batches=(1,),
        prompt=64,
        generate=2,
        repeats=3,
        device=lab.device,
        progress=lambda done, total, what: lab.progress(done, total, what),
    )
    bounds = {name: found.row(name, "prefill", 1).flops_bound for name in contenders}
    bounds["8B again"] = 1.0

    def of(width: str, depth: str) -> Measured:
        wide, deep = found.row(width, "prefill", 1), found.row(depth, "prefill", 1)
        return Measured(
            wide.ratio,
            "times the 8B model's prefill",
            None,
            1,
            (),
            {"depth": deep.ratio, "width_bound": bounds["4B width"], "depth_bound": bounds["4B depth"]},
        )

    rows = [
        [
            row.name,
            row.phase,
            f"{row.tokens_per_second:,.1f}",
            f"{row.ratio:.2f} ({row.ratio_low:.2f}–{row.ratio_high:.2f})",
            f"{row.flops_bound:.2f}",
            f"{row.cache_bytes:,}",
        ]
        for row in found.rows
    ]
    return Evidence(
        of("4B width", "4B depth"),
        of("8B again", "8B again"),
        table=Table(
            [
                "",
                "phase",
                "tokens/s",
                "ratio to 8B (quartiles)",
                "its work allows",
                f"cache, bytes a token ({found.dtype})",
            ],
            rows,
        ),
        note=f"Random weights of the real shapes in {found.dtype} on this {found.device}, batch 1; the paper serves FP8 with "
        "TensorRT-LLM on an H100. A width cut keeps the heads, so its cache does not shrink; depth halves it.",
    )


@claim(
    paper=PAPER,
    highlight="Correcting the teacher on the distillation data lowers the student's loss",
    reported="over 6 % lower validation loss",
    expects="a student of the corrected teacher has a lower loss than one of the original teacher by more than 2 standard "
    "errors",
    meets=beyond_two_errors,
    control="a student of a teacher that was fine-tuned equally long on its old distribution",
    translations={
        "ko": {
            "highlight": "교사를 증류 데이터로 먼저 보정하면 학생의 손실이 낮아진다",
            "reported": "검증 손실 6 % 넘게 감소",
            "expects": "보정한 교사의 학생이 원래 교사의 학생보다 손실이 표준오차의 2배 넘게 낮다",
            "control": "원래 분포로 같은 만큼 미세조정한 교사의 학생",
        }
    },
)
def teacher_correction_helps(lab: Lab) -> Evidence:
    """Distillation on docstrings from a teacher of source: original, corrected, corrected in parallel."""
    from transformers import TrainerCallback

    from paperworks.minitron import small_scale as s

    steps, correction, target = 7, 5, s.width_target()
    held = s.drawn(s.prose_rows(True), 32, 0)
    names = ("original", "corrected", "corrected in parallel", "old distribution")
    losses: dict[str, dict[str, list[float]]] = {name: {"student": []} for name in names}
    teachers: dict[str, list[float]] = {name: [] for name in names}

    def tuned(rows: Any, seed: int, name: str) -> Any:
        return s.train(
            s.fresh_teacher(), rows, lab.scratch / name, steps=correction, seed=seed, peak_lr=2e-3 / 5
        )

    class Corrects(TrainerCallback):
        """A step of the teacher before each of the student."""

        def __init__(self, model: Any, rows: Any) -> None:
            import torch

            self.model, self.rows = model, rows
            self.optimizer = torch.optim.AdamW(
                model.parameters(), lr=2e-3 / 5, betas=(0.9, 0.95), weight_decay=0.1
            )

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            first = state.global_step * s.BATCH % len(self.rows)
            batch = self.rows[first : first + s.BATCH]
            self.model.requires_grad_(True).train()
            self.model(input_ids=batch, labels=batch).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.model.requires_grad_(False).eval()

    for index, seed in enumerate(lab.seeds(SEEDS)):
        scores = s.importance(seed)
        for number, name in enumerate(names):
            lab.progress(index * len(names) + number, SEEDS * len(names), f"seed {seed}: {name}")
            callbacks = None
            if name == "original":
                guide = s.teacher()
            elif name == "corrected in parallel":
                guide = s.fresh_teacher()
                callbacks = [Corrects(guide, s.drawn(s.prose_rows(), steps * s.BATCH, seed + 500).input_ids)]
            else:
                guide = tuned(s.prose_rows() if name == "corrected" else s.code_rows(), seed + 500, name)
            model = s.student(scores, target)
            s.train(
                model,
                s.prose_rows(),
                lab.scratch / name,
                steps=steps,
                seed=seed,
                guide=guide,
                callbacks=callbacks,
            )
            losses[name]["student"].append(s.loss_of(model, held))
            teachers[name].append(
                s.loss_of(guide, held) if index == 0 or name != "original" else teachers[name][0]
            )

    def gains(name: str) -> list[float]:
        return [a - b for a, b in zip(losses["original"]["student"], losses[name]["student"], strict=True)]

    original = _mean(losses["original"]["student"])
    rows = [[*row, f"{_mean(teachers[row[0]]):.3f}"] for row in _rows(losses)]
    return Evidence(
        _measured(gains("corrected"), percent=100 * _mean(gains("corrected")) / original),
        _measured(gains("old distribution"), percent=100 * _mean(gains("old distribution")) / original),
        baseline=_measured(gains("corrected in parallel")),
        table=Table(
            ["teacher", "student's loss on held-out docstrings (seeds)", "teacher's loss"],
            rows,
            "The baseline is correction in parallel: the student learns from a teacher that is still being corrected.",
        ),
        note=_note(steps),
    )


def contiguous_wins_the_task(measured: Measured) -> bool:
    """More right answers by over two standard errors, though the loss is no lower."""
    return measured.details["standard_errors"] > 2 and measured.details["loss_excess"] >= 0


@claim(
    paper=PAPER,
    highlight="In depth, one contiguous block answers better than layers chosen one by one, though the loss says otherwise",
    reported="Winogrande 0.595 (layers 16–31) against 0.5 (one by one), before retraining",
    expects="layers chosen one by one have a loss no higher than a contiguous block, and the block answers more of a "
    "two-choice task by more than 2 standard errors",
    meets=contiguous_wins_the_task,
    control="random sets of layers in the place of the block",
    translations={
        "ko": {
            "highlight": "깊이를 줄일 때, 손실로는 반대로 보여도 연속한 층을 빼는 것이 하나씩 고른 층을 빼는 것보다 문제를 더 맞힌다",
            "reported": "재학습 전 Winogrande 0.595(16–31층), 0.5(하나씩)",
            "expects": "하나씩 고른 층의 손실이 연속한 층보다 높지 않고, 두 보기 문제에서는 연속한 층이 표준오차의 2배 넘게 더 맞힌다",
            "control": "연속한 층 대신 무작위로 고른 층",
        }
    },
)
def contiguous_layers_answer_better(lab: Lab) -> Evidence:
    """Right answers of the block minus those of layers chosen one by one, on the same questions."""
    import random

    from paperworks.minitron import small_scale as s
    from paperworks.minitron.layers import one_by_one, task_correct, without_layers

    model, questions = s.teacher(), s.identifier_task(240, lab.seed)
    calibration = s.drawn(s.code_rows(), s.CALIBRATION, lab.seed)
    layers = model.config.num_hidden_layers
    generator = random.Random(lab.seed)
    sets = {
        "none": (),
        "contiguous block": s.depth_target().drop_layers,
        "one by one": one_by_one(model, calibration, s.DROPPED, batch_size=16),
    } | {f"random {number}": tuple(sorted(generator.sample(range(layers), s.DROPPED))) for number in range(3)}
    losses, right = {}, {}
    for number, (name, dropped) in enumerate(sets.items()):
        lab.progress(number, len(sets), name)
        with without_layers(model, dropped) as cut:
            losses[name] = s.loss_of(cut)
            right[name] = [float(one) for one in task_correct(cut, s.tokenizer(), questions, batch_size=16)]

    def against(names: list[str]) -> Measured:
        paired = [
            _mean([right[name][i] for name in names]) - right["one by one"][i] for i in range(len(questions))
        ]
        excess = _mean([losses[name] for name in names]) - losses["one by one"]
        return Measured(
            100 * _mean(paired),
            "points of task accuracy",
            None,
            1,
            (),
            {"standard_errors": standard_errors(paired), "loss_excess": excess},
        )

    rows = [
        [
            name,
            ", ".join(str(layer + 1) for layer in sets[name]) or "–",
            f"{losses[name]:.3f}",
            f"{_mean(right[name]):.3f}",
        ]
        for name in sets
    ]
    return Evidence(
        against(["contiguous block"]),
        against([name for name in sets if name.startswith("random")]),
        table=Table(
            ["left out", "layers (from 1)", "loss", "accuracy"],
            rows,
            f"{len(questions)} questions: which of two names of a function stands here; chance is 0.5.",
        ),
        note=f"{s.DROPPED} of {layers} layers, before any retraining. With eight layers there is little room between a block "
        "and a choice; the paper drops 16 of 32.",
    )


@claim(
    paper=PAPER,
    highlight="Attention heads are better kept: cut hidden and intermediate size instead",
    reported="heads kept in all models (Insight 3)",
    expects="with equal parameters the cut that keeps all heads has a lower loss after distillation than one that also cuts "
    "heads, by more than 2 standard errors",
    meets=beyond_two_errors,
    control="the same comparison under random importance",
    translations={
        "ko": {
            "highlight": "어텐션 헤드는 남기고 은닉 크기와 중간 크기를 줄이는 편이 낫다",
            "reported": "모든 모델에서 헤드를 유지 (통찰 3)",
            "expects": "같은 파라미터 수에서 헤드를 모두 남긴 모델의 증류 뒤 손실이 헤드도 줄인 모델보다 표준오차의 2배 넘게 낮다",
            "control": "무작위 중요도로 같은 비교",
        }
    },
)
def heads_are_better_kept(lab: Lab) -> Evidence:
    """Loss of the cut that also halves the heads minus that of the cut that keeps them, after distillation."""
    from paperworks.minitron import small_scale as s

    steps = 8
    targets = {"heads kept": s.width_target(), "heads halved": s.width_target(heads=4)}
    arms = [(kind, name) for kind in ("measured", "random") for name in targets]
    losses: dict[str, dict[str, list[float]]] = {f"{name}, {kind}": {"distilled": []} for kind, name in arms}
    for index, seed in enumerate(lab.seeds(SEEDS)):
        scores = {"measured": s.importance(seed), "random": s.chance(seed)}
        for number, (kind, name) in enumerate(arms):
            lab.progress(index * len(arms) + number, SEEDS * len(arms), f"seed {seed}: {name}, {kind}")
            model = s.student(scores[kind], targets[name])
            s.train(
                model,
                s.code_rows(),
                lab.scratch / f"{kind} {name}",
                steps=steps,
                seed=seed,
                guide=s.teacher(),
            )
            losses[f"{name}, {kind}"]["distilled"].append(s.loss_of(model))

    def gains(kind: str) -> list[float]:
        halved, kept = (losses[f"{name}, {kind}"]["distilled"] for name in ("heads halved", "heads kept"))
        return [a - b for a, b in zip(halved, kept, strict=True)]

    sizes = {name: s.shapes(target) for name, target in targets.items()}
    caption = "; ".join(
        f"{name}: {one.heads} heads, hidden {one.hidden}, intermediate {one.intermediate}, {one.without_embeddings:,} "
        "parameters without embeddings"
        for name, one in sizes.items()
    )
    return Evidence(
        _measured(gains("measured")),
        _measured(gains("random")),
        table=Table(["", "loss distilled (seeds)"], _rows(losses), caption),
        note=_note(steps),
    )


def small_and_equal(measured: Measured) -> bool:
    """Under a third of the checkpoint in private memory, with equal scores."""
    return measured.value < 100 / 3 and measured.details["scores_equal"] == 1


@claim(
    paper=PAPER,
    highlight="Ours: a checkpoint is measured layer by layer in a fraction of its own size",
    reported="not in this paper",
    expects="the private memory of the streamed pass grows by less than a third of the checkpoint, with scores that are bit "
    "for bit those of the loaded model",
    meets=small_and_equal,
    control="the loaded model",
    translations={
        "ko": {
            "highlight": "우리 것: 체크포인트를 층마다 읽어 자기 크기의 일부만으로 측정한다",
            "reported": "논문에 없음",
            "expects": "스트리밍 측정의 전용 메모리가 체크포인트의 3분의 1보다 적게 늘고, 점수는 통째로 읽은 모델과 비트 단위로 같다",
            "control": "통째로 읽은 모델",
        }
    },
)
def streams_in_a_fraction_of_memory(lab: Lab) -> Evidence:
    """The growth of private memory while measuring, in per cent of the checkpoint's bytes."""
    import multiprocessing

    folder = lab.scratch / "checkpoint"
    context = multiprocessing.get_context("spawn")
    found = {}
    for number, name in enumerate(("written", "streamed", "loaded")):
        lab.progress(number, 3, name)
        with context.Pool(1) as pool:  # a process each, so that one's memory is not the other's
            found[name] = pool.apply(_memory_of, (name, str(folder)))
    size = found["written"]["bytes"]
    equal = float(found["streamed"]["hash"] == found["loaded"]["hash"])

    def of(name: str) -> Measured:
        return Measured(
            100 * found[name]["private"] / size, "% of the checkpoint", None, 1, (), {"scores_equal": equal}
        )

    return Evidence(
        of("streamed"),
        of("loaded"),
        table=Table(
            ["", "private memory, MB", "seconds"],
            [
                [name, f"{found[name]['private'] / 1e6:,.0f}", f"{found[name]['seconds']:.1f}"]
                for name in ("streamed", "loaded")
            ],
            f"A Llama-shaped checkpoint of {size / 1e6:,.0f} MB with random bf16 weights, computed in float32.",
        ),
        note="At the size of Llama-3.1-8B see benchmarks/minitron_stream.py.",
    )


def _memory_of(what: str, folder: str) -> dict[str, Any]:
    """Write the checkpoint, or measure it in one way: bytes, seconds and a hash of the scores."""
    import hashlib
    import time
    from pathlib import Path

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from paperworks.minitron.importance import measure_in_memory
    from paperworks.minitron.measure import load_model
    from paperworks.minitron.memory import PeakPrivate, private_bytes
    from paperworks.minitron.stream import measure_streamed

    if what == "written":
        config = LlamaConfig(
            hidden_size=1024, intermediate_size=3072, num_hidden_layers=16, num_attention_heads=16, num_key_value_heads=4,
            vocab_size=8192, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        torch.manual_seed(0)
        LlamaForCausalLM(config).bfloat16().save_pretrained(folder, max_shard_size="100MB")
        return {"bytes": sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))}
    ids = torch.randint(0, 8192, (2, 48), generator=torch.Generator().manual_seed(0))
    start, before = time.perf_counter(), private_bytes()
    with PeakPrivate() as peak:
        if what == "streamed":
            scores = measure_streamed(folder, ids, scratch=Path(folder).with_name("states"), chunk=2)
        else:
            scores = measure_in_memory(load_model(folder), ids, batch_size=2)
    tensors = (scores.neuron, scores.head_channel, scores.channel)
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()
    return {"private": peak.bytes - before, "seconds": time.perf_counter() - start, "hash": digest}

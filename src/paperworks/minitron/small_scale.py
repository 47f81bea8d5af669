"""The common parts of the experiments: the shipped model as teacher, students cut from it, and their short training.

The teacher is `tiny/code_model`; losses are measured on modules of the standard library that neither it nor a student
has seen. A training run is a few dozen steps, the same steps and the same rows for every arm of a seed.
"""

from __future__ import annotations

import ast
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from paperworks.minitron.architecture import Sizes, sizes_of
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.distil import as_dataset
from paperworks.minitron.evaluate import lm_loss
from paperworks.minitron.importance import Importance, measure_in_memory, random_importance
from paperworks.minitron.target import Target, contiguous
from paperworks.minitron.trainer import DistillationTrainer, training_arguments
from paperworks.minitron.trim import prune_model
from paperworks.tiny.code_model import load_code_model, modules, packed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LENGTH = 128
"""Tokens of a row."""
BATCH = 8
PEAK_LR = 1e-3
"""For the short runs here, ten times the paper's: its 1e-4 is for tens of thousands of steps."""
CALIBRATION = 64
HELD_OUT = 48
DROPPED = 3
"""Layers that a depth cut leaves out, of the eight."""


@cache
def teacher() -> PreTrainedModel:
    """The shipped model, loaded once; `fresh_teacher` is a copy to train."""
    return load_code_model()[0].requires_grad_(False)


def fresh_teacher() -> PreTrainedModel:
    """Another copy of the shipped model, with gradients."""
    return load_code_model()[0]


@cache
def tokenizer() -> Any:
    """The shipped model's tokenizer."""
    return load_code_model()[1]


def _some_modules() -> dict[str, str]:
    """Every fourth module that the teacher was trained on; all would take ten seconds to tokenise."""
    return dict(list(modules().items())[::4])


@cache
def code_rows() -> torch.Tensor:
    """Rows of modules that the teacher was trained on, `[n, LENGTH]`."""
    return packed(tokenizer(), _some_modules(), LENGTH)


@cache
def held_out() -> Calibration:
    """Rows of the held-out modules, spread over them."""
    rows = packed(tokenizer(), modules(held_out=True), LENGTH)
    return Calibration(rows[:: max(1, len(rows) // HELD_OUT)][:HELD_OUT])


@cache
def prose_rows(of_held_out: bool = False) -> torch.Tensor:
    """Rows of docstrings alone: English about Python, another distribution than the teacher's source."""
    texts = {}
    for name, source in (modules(held_out=True) if of_held_out else _some_modules()).items():
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, nodes)]
        texts[name] = "\n\n".join(text for text in found if text)
    return packed(tokenizer(), texts, LENGTH)


def drawn(rows: torch.Tensor, n: int, seed: int) -> Calibration:
    """`n` rows drawn by `seed`; with replacement where there are fewer."""
    generator = torch.Generator().manual_seed(seed)
    if n > len(rows):
        return Calibration(rows[torch.randint(len(rows), (n,), generator=generator)])
    return Calibration(rows[torch.randperm(len(rows), generator=generator)[:n]])


def importance(seed: int) -> Importance:
    """The teacher's importance on calibration rows drawn by `seed`."""
    return measure_in_memory(teacher(), drawn(code_rows(), CALIBRATION, seed), batch_size=16)


def chance(seed: int) -> Importance:
    """Random importance."""
    return random_importance(sizes_of(teacher().config), seed)


def depth_target() -> Target:
    """The depth cut: a block of `DROPPED` layers before the last."""
    return contiguous(sizes_of(teacher().config), DROPPED)


def width_target(heads: int | None = None, hidden: int = 192) -> Target:
    """The width cut with as many parameters without embeddings as the depth cut, within two per cent."""
    source = sizes_of(teacher().config)
    wanted = depth_target().sizes(source).without_embeddings

    def without(intermediate: int) -> int:
        return Target(hidden, intermediate, heads).sizes(source).without_embeddings

    intermediate = min(range(8, source.intermediate + 1, 8), key=lambda one: abs(without(one) - wanted))
    return Target(hidden, intermediate, heads)


def student(scores: Importance, target: Target) -> PreTrainedModel:
    """A cut of the teacher with gradients."""
    return prune_model(teacher(), scores, target).requires_grad_(True)


def untrained(target: Target, seed: int) -> PreTrainedModel:
    """A model of the target's shape with fresh weights."""
    from paperworks.minitron.architecture import model_config

    source = sizes_of(teacher().config)
    torch.manual_seed(seed)
    return type(teacher())(model_config(target.config(teacher().config.to_dict(), source)))


def train(
    model: PreTrainedModel,
    rows: torch.Tensor,
    scratch: Path,
    *,
    steps: int,
    seed: int,
    guide: PreTrainedModel | None = None,
    peak_lr: float = PEAK_LR,
    callbacks: list[Any] | None = None,
) -> PreTrainedModel:
    """`steps` steps of `BATCH` rows drawn by `seed`: distillation from `guide`, or without one the LM loss."""
    from transformers import Trainer

    from paperworks.minitron.stored_teacher import pad_rows

    arguments = training_arguments(
        scratch,
        steps=steps,
        peak_lr=peak_lr,
        min_lr=peak_lr / 10,
        warmup_steps=min(4, steps),
        batch_size=BATCH,
        seed=seed,
        cpu=True,
    )
    arguments.disable_tqdm = True
    data = as_dataset(drawn(rows, steps * BATCH, seed))
    trainer: Trainer
    if guide is None:
        trainer = Trainer(
            model=model, args=arguments, train_dataset=data, data_collator=pad_rows, callbacks=callbacks
        )
    else:
        trainer = DistillationTrainer(model, guide, arguments, data, callbacks=callbacks)
    trainer.train()
    return model


def loss_of(model: PreTrainedModel, rows: Calibration | None = None) -> float:
    """Nats a token on the held-out modules, or on other rows."""
    return lm_loss(model, rows or held_out(), batch_size=16).mean


def identifier_task(n: int, seed: int, context: int = 96) -> list[dict[str, Any]]:
    """Two-choice rows made from the held-out modules: which of two names of a function stands here; chance is 0.5.

    The other choice is a name used earlier in the same function, so that both have been seen; the order is drawn.
    """
    generator = random.Random(seed)
    rows = []
    for source in modules(held_out=True).values():
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        lines = source.splitlines(keepends=True)
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            names = sorted(
                (node for node in ast.walk(function) if isinstance(node, ast.Name)),
                key=lambda node: (node.lineno, node.col_offset),
            )
            if len(names) < 6:
                continue
            place = generator.randrange(len(names) // 2, len(names))
            used, before = names[place], sorted({name.id for name in names[:place]})
            others = [name for name in before if name != used.id and len(name) > 1]
            if used.id not in before or len(used.id) < 2 or not others:
                continue
            first = "".join(lines[function.lineno - 1 : used.lineno - 1])
            text = first + lines[used.lineno - 1].encode()[: used.col_offset].decode(errors="ignore")
            text = text[-4 * context :]
            if not text.strip():
                continue
            choices = [used.id, generator.choice(others)]
            generator.shuffle(choices)
            rows.append({"context": text, "choices": choices, "answer": choices.index(used.id)})
    generator.shuffle(rows)
    return rows[:n]


def shapes(target: Target) -> Sizes:
    """The sizes of a cut of the teacher."""
    return target.sizes(sizes_of(teacher().config))

"""Which layers can go: what the model loses without each block of them (specification, section 3.2).

Four scores for every contiguous block of `n` layers, which start at `i = 0 … L−n`:

    loss      language-model loss of the model without the block                          lowest goes
    bi        1 − mean over positions of cos(h_i, h_{i+n})       (ShortGPT, for n = 1)    lowest goes
    angular   mean over samples of arccos(cos(h_i, h_{i+n})) / π at the last token        lowest goes (*unverified*)
    callable  what it returns for the model without the block, such as `task_accuracy`    highest goes

`h_i` is the input of layer `i`. BI of more than one layer is a choice of ours: the same formula over the
whole block. The paper's choice is the accuracy of a task, 5-shot Winogrande. All blocks' losses come from one
walk (section 3.7): branch `i` starts at layer `i + n` from the trunk's `h_i`, so every layer is visited once
with all live branches. Layers are counted from 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from paperworks.errors import InputError
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.calibration import Calibration, as_calibration
from paperworks.minitron.evaluate import evaluating, label_nats, mean_loss, moved, token_nats
from paperworks.minitron.importance import Progress
from paperworks.minitron.target import describe_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

METRICS = ("loss", "bi", "angular")
Metric = Callable[["PreTrainedModel"], float]


@dataclass(frozen=True)
class LayerImportance:
    """`scores[i]` is that of the block of `block` layers from layer `i`; `whole` that of the full model, for
    a loss or a callable."""

    metric: str
    block: int
    scores: dict[int, float]
    highest_goes: bool = False
    whole: float | None = None

    @property
    def table(self) -> list[tuple[int, float]]:
        """(first layer, score), the block to drop first at the top; of equal scores the lower layer."""
        return sorted(self.scores.items(), key=lambda row: -row[1] if self.highest_goes else row[1])

    def best(self) -> tuple[int, ...]:
        """The layers of the block to drop."""
        first = self.table[0][0]
        return tuple(range(first, first + self.block))

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the block to drop is written from 0 and from 1."""
        return {
            "metric": self.metric,
            "block": self.block,
            "whole": self.whole,
            "scores": [{"first_layer": first, "score": score} for first, score in self.scores.items()],
            "best": list(self.best()),
            "best_layers": describe_layers(self.best()),
        }


def layer_importance(
    model: PreTrainedModel,
    calibration: Any,
    metric: str | Metric = "loss",
    block: int = 1,
    batch_size: int = 4,
    progress: Progress | None = None,
) -> LayerImportance:
    """The score of removing every contiguous block of `block` layers from a loaded model, which stays as it is.

    `calibration` is `[N, S]` token ids; a callable metric gets the model and does not use it, so it may be
    `None` there. The search by loss keeps the states of one batch in memory, up to `(L − block +
    1)·batch_size·S·d` values.

    Raises `InputError` for another architecture or metric, or a block that leaves no layer.
    """
    layers = sizes_of(model.config).layers
    if not 1 <= block < layers:
        raise InputError(f"a block of {block} layers cannot be dropped from {layers}: one must stay")
    if callable(metric):
        return _by_callable(model, metric, block, layers, progress)
    if metric not in METRICS:
        raise InputError(f"metric is {', '.join(METRICS)} or a function of the model, not {metric!r}")
    data = as_calibration(calibration).checked(sizes_of(model.config).vocabulary)
    parts = []
    with evaluating(model):
        for rows, chunk in data.chunks(batch_size):
            chunk = moved(chunk, model)
            if metric == "loss":
                parts.append(_block_nats(model, chunk, block))
            else:
                parts.append(_block_changes(model, chunk, block, metric))
            if progress:
                progress(rows.stop, len(data), "scoring layers")
    of_blocks = zip(*parts, strict=True)
    means = [
        mean_loss(sum(total for total, _ in one), sum(count for _, count in one)).mean for one in of_blocks
    ]
    whole = means.pop(0) if metric == "loss" else None
    return LayerImportance(metric, block, _finite(means), whole=whole)


def one_by_one(
    model: PreTrainedModel, calibration: Any, n: int, batch_size: int = 4, *, greedy: bool = False
) -> tuple[int, ...]:
    """The `n` layers whose single removal costs the least loss, contiguous or not: what the paper's Fig. 9
    compares with.

    `greedy` measures again after each removal instead of once; the paper does not say which it did. Raises as
    `layer_importance`.
    """
    layers = sizes_of(model.config).layers
    if not 1 <= n < layers:
        raise InputError(f"{n} of {layers} layers cannot be dropped: one must stay")
    if not greedy:
        table = layer_importance(model, calibration, batch_size=batch_size).table
        return tuple(sorted(first for first, _ in table[:n]))
    left = list(range(layers))
    for _ in range(n):
        with without_layers(model, set(range(layers)) - set(left)):
            harmless = layer_importance(model, calibration, batch_size=batch_size).best()[0]
        del left[harmless]
    return tuple(layer for layer in range(layers) if layer not in left)


@contextmanager
def without_layers(model: PreTrainedModel, layers: Iterable[int]) -> Iterator[PreTrainedModel]:
    """The model as it is without some `layers`, no weight copied; afterwards it is whole again.

    Masks, windows and cache are those of the layers that stay, so `generate` works too. Raises `InputError` for a layer
    that the model does not have, or none left.
    """
    gone, count = set(layers), len(model.model.layers)
    if bad := sorted(layer for layer in gone if not 0 <= layer < count):
        raise InputError(f"the model has no layers {bad}: its {count} layers are 0…{count - 1}")
    if len(gone) == count:
        raise InputError(f"no layer would be left: all {count} are to be dropped")
    with only_layers(model, [layer for layer in range(count) if layer not in gone]):
        yield model


@contextmanager
def only_layers(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[None]:
    """The model with these `layers` alone, its config and cache indices to match (section 3.7, one-layer window)."""
    inner, config = model.model, model.config
    all_layers, types = inner.layers, getattr(config, "layer_types", None)
    try:
        inner.layers = torch.nn.ModuleList([all_layers[layer] for layer in layers])
        _renumber(inner.layers)
        config.num_hidden_layers = len(layers)
        if types is not None:
            config.layer_types = [types[layer] for layer in layers]
        yield
    finally:
        inner.layers = all_layers
        _renumber(all_layers)
        config.num_hidden_layers = len(all_layers)
        if types is not None:
            config.layer_types = types


def run_layer(
    model: PreTrainedModel, layer: int, hidden: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """The output `[n, S, d]` of one layer on hidden states, with the model's own masks, windows and RoPE, before any
    final norm."""
    inner = model.model
    norm, inner.norm = inner.norm, torch.nn.Identity()
    try:
        with only_layers(model, [layer]):
            return inner(inputs_embeds=hidden, attention_mask=mask, use_cache=False).last_hidden_state
    finally:
        inner.norm = norm


def _renumber(layers: Iterable[Any]) -> None:
    for index, layer in enumerate(layers):
        layer.self_attn.layer_idx = index


def _by_callable(
    model: PreTrainedModel, metric: Metric, block: int, layers: int, progress: Progress | None
) -> LayerImportance:
    scores = []
    with evaluating(model):
        whole = float(metric(model))
        for first in range(layers - block + 1):
            with without_layers(model, range(first, first + block)):
                scores.append(float(metric(model)))
            if progress:
                progress(first + 1, layers - block + 1, "scoring layers")
    name = getattr(metric, "__name__", type(metric).__name__)
    return LayerImportance(name, block, _finite(scores), highest_goes=True, whole=whole)


def _finite(scores: list[float]) -> dict[int, float]:
    if bad := [first for first, score in enumerate(scores) if not math.isfinite(score)]:
        raise InputError(f"the score of the blocks from layers {bad} is not finite: measure in float32")
    return dict(enumerate(scores))


def _block_nats(model: PreTrainedModel, chunk: Calibration, block: int) -> list[tuple[float, int]]:
    """Summed nats and tokens: of the full model, then without each block in the order of its first layer."""
    layers = len(model.model.layers)
    trunk = model.model.embed_tokens(chunk.input_ids)
    branches: list[torch.Tensor] = []  # branch i waits at h_i until the walk comes to layer i + block
    for layer in range(layers):
        if layer + block <= layers:
            branches.append(trunk)
        for first in range(layer - block + 1):
            branches[first] = run_layer(model, layer, branches[first], chunk.mask)
        trunk = run_layer(model, layer, trunk, chunk.mask)
    return [token_nats(model, model.model.norm(state), chunk) for state in (trunk, *branches)]


def _block_changes(
    model: PreTrainedModel, chunk: Calibration, block: int, metric: str
) -> list[tuple[float, int]]:
    states = [model.model.embed_tokens(chunk.input_ids)]
    for layer in range(len(model.model.layers)):
        states.append(run_layer(model, layer, states[-1], chunk.mask))
    pairs = zip(states, states[block:], strict=False)
    mask = torch.ones_like(chunk.input_ids) if chunk.mask is None else chunk.mask
    if metric == "angular":
        mask = _last_only(mask)
    changes = []
    for before, after in pairs:
        cosine = torch.nn.functional.cosine_similarity(before.double(), after.double(), dim=-1)[mask.bool()]
        change = cosine.clamp(-1, 1).acos() / math.pi if metric == "angular" else 1 - cosine
        changes.append((float(change.sum()), change.numel()))
    return changes


def _last_only(mask: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * (positions + 1)).argmax(1)
    return positions == last[:, None]


def task_accuracy(
    model: PreTrainedModel, tokenizer: Any, rows: Iterable[Mapping[str, Any]], batch_size: int = 8
) -> float:
    """The share of `rows` whose right choice is the likeliest, see `task_correct`."""
    correct = task_correct(model, tokenizer, rows, batch_size)
    return sum(correct) / len(correct)


def task_correct(
    model: PreTrainedModel, tokenizer: Any, rows: Iterable[Mapping[str, Any]], batch_size: int = 8
) -> list[bool]:
    """For each row whether the right choice has the highest summed log-likelihood; of equal ones the first counts.

    A row is `{"context", "choices", "answer"}`, scored by `log p(choice | context)`, or in Winogrande's form
    `{"contexts", "continuation", "answer"}`, scored by `log p(continuation | context)`: each option stands in
    its own context and the text after the blank is the same. `answer` counts from 0. The context and the
    whole text are tokenized; the tokens of the whole beyond the number of the context's are scored, white
    space at the context's end among them.

    Raises `InputError` for a row of another form, or no row.
    """
    questions = [_question(row, f"row {number}") for number, row in enumerate(rows, 1)]
    if not questions:
        raise InputError("the task has no rows")
    texts = [_encoded(tokenizer, *pair) for pairs, _ in questions for pair in pairs]
    scores = torch.empty(len(texts), dtype=torch.float64)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index][0]))
    with evaluating(model):
        for first in range(0, len(order), batch_size):
            some = order[first : first + batch_size]
            scores[some] = _log_likelihoods(model, [texts[index] for index in some])
    of_rows = scores.split([len(pairs) for pairs, _ in questions])
    return [int(one.argmax()) == answer for one, (_, answer) in zip(of_rows, questions, strict=True)]


def load_task(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a task in JSON lines, in either form of `task_correct`; blank lines are skipped.

    Raises `InputError` naming the line that is no such row, or where there is none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the task {path}: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: no JSON ({error})") from error
        _question(row, f"{path}, line {number}")
        rows.append(row)
    if not rows:
        raise InputError(f"the task {path} has no rows")
    return rows


def _question(row: Any, where: str) -> tuple[list[tuple[str, str]], int]:
    """The (context, continuation) of every choice, and the place of the right one."""
    match row:
        case {"context": str(context), "choices": [*choices], "answer": int(answer)}:
            pairs = [(context, choice) for choice in choices]
        case {"contexts": [*contexts], "continuation": str(continuation), "answer": int(answer)}:
            pairs = [(context, continuation) for context in contexts]
        case _:
            raise InputError(
                f"{where}: an object with context (text), choices (texts) and answer (number), or with contexts, "
                "continuation and answer is expected"
            )
    if len(pairs) < 2 or not all(isinstance(text, str) and text.strip() for pair in pairs for text in pair):
        raise InputError(f"{where}: two or more choices are expected, and no text may be empty")
    if isinstance(answer, bool) or not 0 <= answer < len(pairs):
        raise InputError(f"{where}: answer {answer} is not one of 0…{len(pairs) - 1}")
    return pairs, answer


def _encoded(tokenizer: Any, context: str, continuation: str) -> tuple[list[int], int]:
    """The tokens of the text, and the number of them that are scored."""
    ids = tokenizer(context + continuation, verbose=False)["input_ids"]
    before = len(tokenizer(context.rstrip(), verbose=False)["input_ids"])
    if len(ids) < 2:
        raise InputError(f"{context + continuation!r} is one token: give a longer context")
    return ids, max(1, len(ids) - before)


def _log_likelihoods(model: PreTrainedModel, texts: list[tuple[list[int], int]]) -> torch.Tensor:
    longest = max(len(ids) for ids, _ in texts)
    device = next(model.parameters()).device
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    scored = torch.zeros(len(texts), longest - 1, dtype=torch.bool)
    for row, (text, count) in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        scored[row, len(text) - 1 - count : len(text) - 1] = True  # padding on the right is seen by no text
    ids, scored = ids.to(device), scored.to(device)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    nats = label_nats(model, hidden[scored], ids[:, 1:][scored]).double().cpu()
    return torch.stack([-part.sum() for part in nats.split([count for _, count in texts])])

"""Features of documents under many masks, with what the masks share computed once (specification, sections 3 and 9).

`Passes` runs a model once without a mask, which gives the logits and what every block of the encoder is called with.
A mask then starts from the input of the first block where it masks a head, and masks that agree up to a block share
all before it: they are walked as a tree, whose depth is the number of blocks. Features are those of a whole masked
pass, bit for bit. An encoder whose blocks are not one plain list (Swin) is run whole for every mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from paperworks.errors import InputError
from paperworks.head_masking.heads import HeadMask, attention_layers, masked_heads
from paperworks.head_masking.scores import Outputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Batch = Mapping[str, torch.Tensor]
Pool = Callable[[torch.Tensor, Batch], torch.Tensor]
Progress = Callable[[int, int, str], None]
FEATURES = ("cls", "mean", "penultimate")


class Inputs:
    """Encoded documents that can be read several times: `len`, and `batches(size)` of tensors on the CPU.

    From a dict of tensors `[N, …]`; a `datasets.Dataset`, whose columns that are no model inputs are dropped; a
    `DataLoader`, whose own batches are taken; or any sequence with an `encode` function from a slice of it to a dict.
    """

    def __init__(self, data: Any, encode: Callable[[Any], Batch] | None = None) -> None:
        self.data, self.encode = data, encode
        if isinstance(data, Mapping):
            lengths = {len(tensor) for tensor in data.values()}
            if len(lengths) != 1:
                raise InputError(f"the tensors of the documents have different lengths: {sorted(lengths)}")
            self._length = lengths.pop()
        else:
            loader = isinstance(data, torch.utils.data.DataLoader)
            self._length = len(data.dataset if loader else data)
        if not self._length:
            raise InputError("there are no documents")

    def __len__(self) -> int:
        return self._length

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """Batches in order, without labels."""
        if isinstance(self.data, torch.utils.data.DataLoader):
            for batch in self.data:
                yield _tensors(batch)
            return
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            if isinstance(self.data, Mapping):
                part: Any = {name: tensor[rows] for name, tensor in self.data.items()}
            else:
                part = self.data[rows]
            yield _tensors(self.encode(part) if self.encode else part)

    def select(self, indices: Sequence[int] | np.ndarray) -> Inputs:
        """The documents at `indices`, in that order. Raises `InputError` for a `DataLoader`."""
        if isinstance(self.data, Mapping):
            rows = torch.as_tensor(np.asarray(indices))
            return Inputs({name: tensor[rows] for name, tensor in self.data.items()}, self.encode)
        if hasattr(self.data, "select"):
            return Inputs(self.data.select([int(index) for index in indices]), self.encode)
        if isinstance(self.data, torch.utils.data.DataLoader):
            raise InputError("a DataLoader cannot be read in part: give a data set, or a dict of tensors")
        return Inputs([self.data[int(index)] for index in indices], self.encode)


def _tensors(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    named = {name: value for name, value in batch.items() if name not in ("label", "labels")}
    try:
        return {name: torch.as_tensor(value) for name, value in named.items() if not _is_text(value)}
    except (TypeError, ValueError) as error:
        raise InputError(
            f"documents are not encoded as tensors of one size ({error}): give a processor"
        ) from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and isinstance(value[0], str))


@dataclass(frozen=True)
class _Call:
    """What a block was called with in the pass without a mask."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def again(self, block: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        """The block on other hidden states."""
        if self.args:
            output = block(hidden, *self.args[1:], **self.kwargs)
        else:
            output = block(**{**self.kwargs, "hidden_states": hidden})
        return _first(output)

    @property
    def hidden(self) -> torch.Tensor:
        states: torch.Tensor = self.args[0] if self.args else self.kwargs["hidden_states"]
        return states


class Passes:
    """Runs a classifier on batches under masks: `logits` without a mask, `features` under each.

    `feature` is `cls` (the last hidden state at the first token; the mean of all where a model has no class token, as
    Swin), `mean` (over the text tokens that count, or over all tokens of an image model), `penultimate` (the input of
    the last linear layer), or a function of the last hidden states `[B, T, d]` and the batch.

    Raises `InputError` for a model without attention heads or without a classifier, and when called for features that
    are not finite, naming the layer where that begins.
    """

    def __init__(self, model: PreTrainedModel, feature: str | Pool = "cls") -> None:
        if isinstance(feature, str) and feature not in FEATURES:
            raise InputError(f"feature is one of {', '.join(FEATURES)} or a function, not {feature!r}")
        self.model, self.feature = model, feature
        self.layers = attention_layers(model)
        self.last_linear = _last_linear(model)
        self.blocks = (
            None if feature == "penultimate" else _blocks(model, [layer.name for layer in self.layers])
        )

    @torch.no_grad()
    def __call__(self, batch: Batch, masks: Sequence[HeadMask]) -> tuple[Outputs, torch.Tensor]:
        """The outputs without a mask, and the features `[masks, B, d]` under each, on the CPU."""
        batch = _moved(batch, self.model)
        seen = _Seen(self)
        with _evaluating(self.model):
            with seen.watching():
                logits = self.model(**batch).logits
            whole = self._pool(seen, batch)
            self._check(whole, batch)
            base = Outputs(
                features=_numpy(whole), logits=_numpy(logits), penultimate=_numpy(seen.penultimate)
            )
            found = torch.empty(len(masks), *whole.shape)
            if self.blocks is None or seen.tail is None:
                self._one_by_one(batch, masks, found)
            else:
                tail = seen.tail
                todo = list(range(len(masks)))
                self._walk(
                    0,
                    seen.hidden(0),
                    todo,
                    masks,
                    seen,
                    lambda hidden, own: found.__setitem__(
                        own, self._pool_hidden(tail(hidden), batch).float().cpu()
                    ),
                )
            self._check(found, batch)
        return base, found

    def _check(self, features: torch.Tensor, batch: Batch) -> None:
        if not bool(torch.isfinite(features).all()):
            raise InputError(f"features are not finite{_where(self, batch)}: use float32")

    def _one_by_one(self, batch: Batch, masks: Sequence[HeadMask], found: torch.Tensor) -> None:
        for index, mask in enumerate(masks):
            seen = _Seen(self)
            with masked_heads(self.model, mask), seen.watching():
                self.model(**batch)
            found[index] = self._pool(seen, batch).float().cpu()

    def _walk(
        self,
        depth: int,
        hidden: torch.Tensor,
        members: list[int],
        masks: Sequence[HeadMask],
        seen: _Seen,
        leaf: Callable[[torch.Tensor, list[int]], None],
    ) -> None:
        """Block `depth` once for each different setting of its heads among the `members`, then deeper."""
        assert self.blocks is not None
        if depth == len(self.blocks):
            leaf(hidden, members)
            return
        groups: dict[tuple[int, ...], list[int]] = {}
        for member in members:
            groups.setdefault(masks[member][self.layers[depth].name], []).append(member)
        for heads, group in groups.items():
            if hidden is seen.hidden(depth) and all(
                heads
            ):  # nothing masked so far: the pass without a mask has it
                deeper = seen.hidden(depth + 1)
            else:
                with masked_heads(self.model, masks[group[0]]):
                    deeper = seen.calls[depth].again(self.blocks[depth], hidden)
            self._walk(depth + 1, deeper, group, masks, seen, leaf)

    def _pool(self, seen: _Seen, batch: Batch) -> torch.Tensor:
        if self.feature == "penultimate":
            return seen.penultimate
        return self._pool_hidden(seen.last_hidden, batch)

    def _pool_hidden(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        if callable(self.feature):
            return self.feature(hidden, batch)
        if hidden.ndim == 4:  # a feature map, channels first
            hidden = hidden.flatten(2).transpose(1, 2)
        if self.feature == "cls" and _has_class_token(self.model):
            return hidden[:, 0]
        mask = batch.get("attention_mask") if self.feature == "mean" else None
        if mask is None:
            return hidden.mean(1)
        weight = mask.to(hidden.dtype)[..., None]
        return (hidden[:, : mask.shape[1]] * weight).sum(1) / weight.sum(1).clamp(min=1)


class _Seen:
    """What one pass showed: the calls of the blocks, the last hidden states, the input of the last linear layer."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self.thread = get_ident()  # hooks sit on the model, which another thread may run at the same time
        self.calls: list[_Call] = []
        self.block_output: torch.Tensor | None = None
        self.norms: list[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]] = []
        self.last_hidden: torch.Tensor
        self.penultimate: torch.Tensor

    @contextmanager
    def watching(self) -> Iterator[None]:
        model = self.passes.model
        with ExitStack() as stack:

            def on(handle: Any) -> None:
                stack.callback(handle.remove)

            for block in self.passes.blocks or ():
                on(block.register_forward_pre_hook(self._calls, with_kwargs=True))
            if self.passes.blocks:
                on(self.passes.blocks[-1].register_forward_hook(self._last_block))
                for module in _norms_outside(model, self.passes.blocks):
                    on(module.register_forward_hook(self._norm))
            on(model.base_model.register_forward_hook(self._base))
            on(self.passes.last_linear.register_forward_pre_hook(self._linear))
            yield

    def _calls(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if get_ident() == self.thread:
            self.calls.append(_Call(args, kwargs))

    def _last_block(self, _: Any, __: Any, output: Any) -> None:
        if get_ident() == self.thread:
            self.block_output = _first(output)

    def _norm(self, module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if get_ident() == self.thread and torch.is_tensor(output) and args:
            self.norms.append((module, args[0], output))

    def _base(self, _: Any, __: Any, output: Any) -> None:
        if get_ident() == self.thread:
            self.last_hidden = _first(output)

    def _linear(self, _: Any, args: tuple[Any, ...]) -> None:
        if get_ident() == self.thread:
            self.penultimate = args[0] if args[0].ndim == 2 else args[0].flatten(1, -2).mean(1)

    def hidden(self, depth: int) -> torch.Tensor:
        """What block `depth` was called with; after the last block, what that gave."""
        if depth < len(self.calls):
            return self.calls[depth].hidden
        assert self.block_output is not None
        return self.block_output

    @property
    def tail(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What follows the last block: nothing, or one norm; `None` where it is something else."""
        if self.block_output is None or len(self.calls) != len(self.passes.blocks or ()):
            return None
        if self.block_output is self.last_hidden or torch.equal(self.block_output, self.last_hidden):
            return lambda hidden: hidden
        for module, before, after in self.norms:
            if before is self.block_output and after is self.last_hidden:
                return module
        return None


def read_outputs(
    passes: Passes,
    inputs: Inputs,
    masks: Sequence[HeadMask],
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
    what: str = "reading documents",
) -> tuple[Outputs, np.ndarray]:
    """All documents: the outputs without a mask, and the features `[masks, N, d]` under each."""
    outputs, features, done = [], [], 0
    for batch in inputs.batches(batch_size):
        base, found = passes(batch, masks)
        outputs.append(base)
        features.append(found.numpy())
        done += len(base.features)
        if progress:
            progress(done, len(inputs), what)
    return joined(outputs), np.concatenate(features, axis=1)


def joined(parts: Sequence[Outputs]) -> Outputs:
    """Outputs of documents one after the other."""
    last = None if parts[0].penultimate is None else np.concatenate([one.last for one in parts])
    return Outputs(
        np.concatenate([one.features for one in parts]), np.concatenate([one.logits for one in parts]), last
    )


@torch.no_grad()
def _where(passes: Passes, batch: Batch) -> str:
    """The first attention layer whose output is not finite."""
    found: list[str] = []

    def hook(name: str) -> Callable[..., None]:
        return lambda _, __, output: found.append(name) if not bool(torch.isfinite(output).all()) else None

    with ExitStack() as stack:
        for layer in passes.layers:
            handle = passes.model.get_submodule(layer.name).register_forward_hook(hook(layer.name))
            stack.callback(handle.remove)
        passes.model(**_moved(batch, passes.model))
    return f", from {found[0]} on" if found else ""


def _blocks(model: PreTrainedModel, names: list[str]) -> list[torch.nn.Module] | None:
    """The blocks that hold one output projection each, where they are one list that is run in order; else `None`."""
    modules = dict(model.named_modules())
    for path, module in modules.items():
        if not isinstance(module, torch.nn.ModuleList) or len(module) != len(names):
            continue
        owners = [f"{path}.{index}." for index in range(len(module))]
        if all(name.startswith(owner) for name, owner in zip(names, owners, strict=True)):
            return list(module)
    return None


def _norms_outside(model: PreTrainedModel, blocks: list[torch.nn.Module]) -> list[torch.nn.Module]:
    inside = {id(module) for block in blocks for module in block.modules()}
    return [
        module for module in model.modules() if "Norm" in type(module).__name__ and id(module) not in inside
    ]


def _last_linear(model: PreTrainedModel) -> torch.nn.Linear:
    labels = model.config.num_labels
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == labels
        if not name.startswith(f"{model.base_model_prefix}.")
    ]
    if model.base_model is model or not found:
        raise InputError(
            f"{type(model).__name__} has no classifier of {labels} labels: give a …ForSequenceClassification or "
            "…ForImageClassification model"
        )
    return found[-1]


def _has_class_token(model: PreTrainedModel) -> bool:
    if model.main_input_name != "pixel_values":
        return True
    return any(name.endswith("cls_token") for name, _ in model.named_parameters())


def _moved(batch: Batch, model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The tensors on the model's device, pixels and other real numbers in its dtype."""
    return {
        name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
        for name, tensor in batch.items()
    }


_EVALUATING: dict[torch.nn.Module, tuple[int, list[torch.nn.Module]]] = {}
"""Models in use: by how many, and which of their modules were in training mode."""
_LOCK = Lock()


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode until its last user, of any thread, is done; then as the first one found it."""
    with _LOCK:
        users, training = _EVALUATING.get(model) or (0, [one for one in model.modules() if one.training])
        _EVALUATING[model] = users + 1, training
        model.eval()
    try:
        yield
    finally:
        with _LOCK:
            users, training = _EVALUATING.pop(model)
            if users > 1:
                _EVALUATING[model] = users - 1, training
            else:
                for one in training:
                    one.training = True


def _first(output: Any) -> torch.Tensor:
    states: torch.Tensor = output if torch.is_tensor(output) else output[0]
    return states


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()

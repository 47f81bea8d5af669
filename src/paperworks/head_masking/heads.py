"""Switching attention heads off in `transformers` 5, which ignores a `head_mask` in silence.

A mask `m` has a 0 or 1 for each head of each layer (specification, sections 1 and 2). In layer `l`

    MHA(x) = concat_h( m[l,h] · softmax(q_h k_hᵀ/√d_h + bias) v_h ) · W_O + b_O

without renormalising the heads that stay. The mask multiplies the input of the output projection `W_O`, behind the
attention kernel, so every kernel is served; zeroing the columns of `W_O` that belong to a head gives the same bits.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from paperworks.errors import InputError
from paperworks.files import write_text
from paperworks.head_masking.projections import AttentionLayer as AttentionLayer
from paperworks.head_masking.projections import attention_layers as attention_layers
from paperworks.head_masking.projections import plain


@dataclass(frozen=True, eq=False)
class HeadMask(Mapping[str, tuple[int, ...]]):
    """Which heads are on: name of the output projection → a 1 (on) or 0 (off) for each of its heads. Immutable.

    A mapping in the order in which the layers run; equality and hash do not look at that order. `mask & other` is on
    where both are. Raises `InputError` for anything but zeros and ones.
    """

    layers: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a head mask needs at least one layer")
        if len(dict(self.layers)) != len(self.layers):
            raise InputError("a head mask has a layer twice")
        for name, heads in self.layers:
            if (
                not isinstance(name, str)
                or not heads
                or any(type(h) is not int or h not in (0, 1) for h in heads)
            ):
                raise InputError(
                    f"head mask, layer {name!r}: a list of 0 (off) and 1 (on) is wanted, not {heads!r}"
                )

    @classmethod
    def all(cls, model: nn.Module) -> HeadMask:
        """Every head of a model on. Raises `InputError` as `attention_layers`."""
        return cls(tuple((layer.name, (1,) * layer.heads) for layer in attention_layers(model)))

    @classmethod
    def random(cls, model: nn.Module, fraction: float, seed: int) -> HeadMask:
        """`round(fraction · H_l)` heads of each layer off, drawn by `seed` (the paper's first step).

        Off are the heads with the least SHA-256 of `seed/layer/head` (both counted from 0), so a mask depends on no
        library, platform or process, nor on how layers are called; of two fractions, the larger contains the smaller.
        Raises `InputError` for a fraction outside of 0 to 1, or one that rounds to no head or to all of a layer.
        """
        seed = operator.index(seed)
        layers = []
        for index, layer in enumerate(attention_layers(model)):
            off = _drawn(f"{seed}/{index}", layer.heads, _count_off(fraction, layer))
            layers.append((layer.name, tuple(int(head not in off) for head in range(layer.heads))))
        return cls(tuple(layers))

    @classmethod
    def from_dict(cls, heads: Mapping[str, Sequence[int]]) -> HeadMask:
        """From `{layer name: [0 or 1, …]}`; booleans are taken too."""
        try:
            layers = tuple((name, tuple(int(operator.index(h)) for h in on)) for name, on in heads.items())
        except (AttributeError, TypeError) as error:
            raise InputError(f"a head mask maps layer names to lists of 0 and 1: {error}") from error
        return cls(layers)

    def to_dict(self) -> dict[str, list[int]]:
        """`{layer name: [0 or 1, …]}`, as `from_dict` takes it."""
        return {name: list(heads) for name, heads in self.layers}

    def save(self, path: str | Path) -> None:
        """Write JSON, one layer a line, atomically."""
        lines = [f"  {json.dumps(name)}: {json.dumps(heads)}" for name, heads in self.to_dict().items()]
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def load(cls, path: str | Path) -> HeadMask:
        """Read what `save` wrote. Raises `InputError` for a file that is no head mask."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no head mask: {error}") from error

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return dict(self.layers)[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __hash__(self) -> int:
        return hash(frozenset(self.layers))

    def __and__(self, other: HeadMask) -> HeadMask:
        if not isinstance(other, HeadMask):
            return NotImplemented
        if {n: len(h) for n, h in self.items()} != {n: len(h) for n, h in other.items()}:
            raise InputError("these head masks are of two models: their layers or heads differ")
        return HeadMask(
            tuple((n, tuple(a & b for a, b in zip(h, other[n], strict=True))) for n, h in self.layers)
        )

    @property
    def heads(self) -> int:
        """The number of all heads."""
        return sum(len(heads) for heads in self.values())

    @property
    def masked(self) -> int:
        """The number of heads that are off."""
        return self.heads - sum(map(sum, self.values()))

    def without(self, name: str, head: int) -> HeadMask:
        """The same mask with one more head off. Raises `InputError` for a head that it does not have."""
        if name not in self or not 0 <= head < len(self[name]):
            raise InputError(f"the head mask has no head {head} of layer {name!r}")
        return HeadMask(
            tuple(
                (n, tuple(int(h and (n, i) != (name, head)) for i, h in enumerate(on)))
                for n, on in self.layers
            )
        )

    def checked(self, model: nn.Module) -> HeadMask:
        """Itself. Raises `InputError` where its layers or heads are not those of the model."""
        wanted = {layer.name: layer.heads for layer in attention_layers(model)}
        for name in [*wanted, *self]:
            here, there = len(self.get(name, ())), wanted.get(name, 0)
            if here != there:
                raise InputError(
                    f"this head mask is of another model: it has {here} heads of {name},"
                    f" {type(plain(model)).__name__} has {there}"
                )
        return self

    @torch.no_grad()
    def fold_into(self, model: nn.Module) -> None:
        """Zero the columns of the output projections that belong to masked heads, in place: the model then gives the
        masked output without hooks, and its checkpoint does so without this library (section 2).

        Raises `InputError` as `checked`, and for weights that are not there as they are (quantised, offloaded).
        """
        self.checked(model)
        projections: dict[str, Any] = {name: plain(model).get_submodule(name) for name in self}
        for name, linear in projections.items():
            offloaded = linear.weight.is_meta and hasattr(linear, "_hf_hook")  # by accelerate
            if offloaded or linear.weight.shape != (linear.out_features, linear.in_features):
                raise InputError(
                    f"the weight of {name} is packed, sharded or offloaded: fold into the original model"
                )
        for name, linear in projections.items():
            off = [head for head, on in enumerate(self[name]) if not on]
            linear.weight.unflatten(1, (len(self[name]), -1))[:, off] = 0
        torch.clear_autocast_cache()  # inside of autocast, it still has the weights as they were


def _count_off(fraction: float, layer: AttentionLayer) -> int:
    where = f"the {layer.heads} heads of {layer.name}"
    if not 0 <= fraction <= 1:
        raise InputError(f"a fraction of heads lies between 0 and 1, not {fraction}")
    count = round(fraction * layer.heads)
    if count == 0:
        raise InputError(
            f"fraction {fraction} of {where} rounds to 0 heads: {1 / layer.heads:.3g} is one head"
        )
    if count == layer.heads:
        raise InputError(f"fraction {fraction} of {where} rounds to all {count}: at least one must stay")
    return count


def _drawn(key: str, heads: int, count: int) -> list[int]:
    return sorted(range(heads), key=lambda head: hashlib.sha256(f"{key}/{head}".encode()).digest())[:count]


@contextmanager
def masked_heads(model: nn.Module, mask: HeadMask | Sequence[HeadMask]) -> Iterator[None]:
    """Within the context, the heads that `mask` has off add nothing to their layer; one mask, or one for each sample of
    the batch. Nested masks multiply, and a mask with every head on changes no bit.

    A mask counts in the thread (and the asyncio task) that entered the context, and in no other: threads may mask one
    model differently at the same time, and a thread that is started inside masks on its own. After the last exit no
    hook is left. With gradient checkpointing, call `backward` inside as well, for it computes the layers again:
    outside, torch raises a `CheckpointError`, and with `use_reentrant=True` gives the unmasked gradients in silence.
    Inside, and as long as any thread is, all that `torch.compile` made runs eagerly, for compiled code does not see
    hooks that come or go (so enter it outside of compiled code); to compile a mask, fold it into a copy.

    Raises `InputError` as `HeadMask.checked`, and inside for a batch that has not one sample for each mask.
    """
    masks = [mask] if isinstance(mask, HeadMask) else list(mask)
    if not masks:
        raise InputError("masked_heads needs a mask, or one for each sample of the batch")
    for one in set(masks):
        one.checked(model)
    active = _Active(plain(model), masks, per_sample=not isinstance(mask, HeadMask))
    _install(active)
    outer = _ACTIVE.get()
    _ACTIVE.set((*outer, active))
    try:
        yield
    finally:
        _ACTIVE.set(outer)
        _remove(active)


class _Active:
    """The masks of one entered context, to be multiplied onto the input of each projection that has a head off."""

    def __init__(self, model: nn.Module, masks: list[HeadMask], *, per_sample: bool) -> None:
        self.model, self.samples, self.per_sample = model, len(masks), per_sample
        self.windows = hasattr(model.config, "window_size")  # Swin makes samples of the windows of a sample
        self.handles: list[Any] = []
        self.projections: list[Any] = [model.get_submodule(name) for name in masks[0]]
        rows = {p: [one[name] for one in masks] for p, name in zip(self.projections, masks[0], strict=True)}
        self.heads = {p: heads for p, heads in rows.items() if not all(map(all, heads))}
        self.factors: dict[tuple[Any, ...], torch.Tensor] = {}

    def masked(self, projection: Any, states: torch.Tensor) -> torch.Tensor:
        """`states [batch, tokens, heads · head_dim]` times the mask; with one mask the leading sizes do not matter."""
        if projection not in self.heads:
            return states
        key = (projection, states.device, states.dtype)
        if key not in self.factors:
            with torch.inference_mode(False):  # an inference tensor could not be used in training later
                rows = torch.tensor(self.heads[projection], dtype=states.dtype, device=states.device)
                self.factors[key] = rows.repeat_interleave(projection.in_features // rows.shape[1], 1)
        factor = self.factors[key]
        if states.shape[-1] != factor.shape[-1]:
            raise InputError(
                f"a projection of {factor.shape[-1]} features was given {states.shape[-1]}: the model is sharded, load"
                " it without tensor parallelism"
            )
        return states * (self._of_samples(factor, states) if self.per_sample else factor[0])

    def _of_samples(self, factor: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        copies = states.shape[0] // len(factor) if self.windows else 1
        if states.ndim != 3 or len(factor) * copies != states.shape[0]:
            self._refuse(states)
        return factor.repeat_interleave(copies, 0)[:, None]

    def check_batch(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before a model with windows runs, for its attention cannot tell how many samples there are."""
        given = next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)
        if self in _active() and given is not None and len(given) != self.samples:
            self._refuse(given)

    def _refuse(self, states: torch.Tensor) -> None:
        raise InputError(
            f"{self.samples} head masks, one for each sample, do not fit a batch of shape {tuple(states.shape)}:"
            " give as many as the batch has samples"
        )


_ACTIVE: ContextVar[tuple[_Active, ...]] = ContextVar("active head masks", default=())
_HOOKS: WeakKeyDictionary[nn.Module, tuple[int, Any]] = WeakKeyDictionary()
_STANCE: list[Any] = []
_LOCK = Lock()


def _install(active: _Active) -> None:
    with _LOCK:
        if not _HOOKS:
            _STANCE.append(torch.compiler.set_stance("force_eager"))
        if active.windows and active.per_sample:
            active.handles.append(
                active.model.register_forward_pre_hook(active.check_batch, with_kwargs=True)
            )
        for projection in active.projections:
            users, handle = _HOOKS.get(projection) or (0, projection.register_forward_pre_hook(_mask_input))
            _HOOKS[projection] = users + 1, handle


def _remove(active: _Active) -> None:
    for handle in active.handles:
        handle.remove()
    with _LOCK:
        for projection in active.projections:
            users, handle = _HOOKS.pop(projection)
            if users > 1:
                _HOOKS[projection] = users - 1, handle
            else:
                handle.remove()
        if not _HOOKS:
            _STANCE.pop().__exit__(None, None, None)


@torch.compiler.disable  # a thread that is compiling meanwhile must not trace the masks of this one
def _mask_input(projection: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    states = args[0]
    for active in _active():
        states = active.masked(projection, states)
    return (states, *args[1:])


def _active() -> tuple[_Active, ...]:
    here = _ACTIVE.get()
    if not here and torch._C._is_key_in_tls("context"):
        # A thread of autograd for an accelerator, computing a checkpointed layer again: torch keeps there the context
        # of the thread that called `backward`.
        calling = torch._C._get_obj_in_tls("context")
        here = () if calling is None else calling.get(_ACTIVE, ())
    return here

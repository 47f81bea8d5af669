"""How much each neuron, head and channel matters: statistics of activations, from forward passes alone.

Observed per layer (specification, section 3.1): the input of `down_proj` (neurons), the input of `o_proj` (heads), and
the outputs of both RMSNorms (channels). Aggregated as in the paper: the mean of the absolute value over a sample's
positions, then the l2 norm over samples,

    a[n,c] = Σ_s m[n,s]·|A[n,s,c]| / Σ_s m[n,s]        F[c] = sqrt(Σ_n a[n,c]²)

in float32, so neither the batch size nor padding matters. `batch` and `sequence` may each be `l2` or `mean`.

Beside it, for the rescaling of norms in `repair`: the energy of each channel `x_c` in the input of a norm, relative to
the mean over channels of its position, `E[c] = mean over positions of x_c² / (Σ x² / d)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from paperworks.errors import InputError
from paperworks.files import replacing
from paperworks.minitron.architecture import Sizes, config_hash, sizes_of
from paperworks.minitron.calibration import Calibration, as_calibration

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Progress = Callable[[int, int, str], None]
AGGREGATIONS = ("l2", "mean")
NORMS = ("input", "post")


@dataclass
class LayerScores:
    """The scores of one layer, float32: `neuron [I]`, `head_channel [H·h]`, `norm` input and post `[d]`, `bi`, its
    block influence, and `energy` input, post and output `[d]`: what enters its two norms, and what leaves the layer."""

    neuron: torch.Tensor
    head_channel: torch.Tensor
    norm: dict[str, torch.Tensor]
    bi: float
    energy: dict[str, torch.Tensor]


@dataclass
class Importance:
    """Scores of a whole model, to be ranked for any target.

    `neuron [L, I]`, `head [L, H]`, `group [L, G]`, `norm[side] [L, d]`, `channel [d]` (the sum over the 2L norms), `bi
    [L]`, all float32; `facts` say how they were measured. `energy` is `input [L, d]`, `post [L, d]` and `final [d]`
    where activations were observed.
    """

    neuron: torch.Tensor
    head_channel: torch.Tensor
    norm: dict[str, torch.Tensor]
    bi: torch.Tensor
    sizes: Sizes
    facts: dict[str, Any] = field(default_factory=dict)
    energy: dict[str, torch.Tensor] | None = None

    @property
    def channel(self) -> torch.Tensor:
        """`F_emb [d]`: one ranking for the whole model."""
        return self.norm["input"].sum(0) + self.norm["post"].sum(0)

    @property
    def head(self) -> torch.Tensor:
        """`F_head [L, H]`: the l2 norm over the channels of a head."""
        return self._over(self.sizes.heads)

    @property
    def group(self) -> torch.Tensor:
        """`F_group [L, G]`: the l2 norm over the channels of a group."""
        return self._over(self.sizes.kv_heads)

    def _over(self, parts: int) -> torch.Tensor:
        return self.head_channel.view(len(self.head_channel), parts, -1).square().sum(-1).sqrt()

    @classmethod
    def of_layers(cls, layers: list[LayerScores], sizes: Sizes, facts: dict[str, Any]) -> Importance:
        """The scores of all layers in order."""
        return cls(
            torch.stack([layer.neuron for layer in layers]),
            torch.stack([layer.head_channel for layer in layers]),
            {side: torch.stack([layer.norm[side] for layer in layers]) for side in NORMS},
            torch.tensor([layer.bi for layer in layers], dtype=torch.float32),
            sizes,
            facts,
            {side: torch.stack([layer.energy[side] for layer in layers]) for side in NORMS}
            | {"final": layers[-1].energy["output"]},
        )

    def save(self, path: str | Path) -> None:
        """Write `importance.safetensors`: `neuron.{ℓ} [I]`, `head.{ℓ} [H]`, `head_channel.{ℓ} [H·h]`, `norm.{ℓ}.input`,
        `norm.{ℓ}.post [d]`, `channel [d]`, `bi [L]`, `energy.{ℓ}.input`, `energy.{ℓ}.post`, `energy.final [d]` where
        there are, and how they were measured as metadata."""
        from safetensors.torch import save_file

        tensors = {"channel": self.channel, "bi": self.bi}
        for layer in range(self.sizes.layers):
            tensors[f"neuron.{layer}"] = self.neuron[layer]
            tensors[f"head.{layer}"] = self.head[layer]
            tensors[f"head_channel.{layer}"] = self.head_channel[layer]
            for side in NORMS:
                tensors[f"norm.{layer}.{side}"] = self.norm[side][layer]
                if self.energy is not None:
                    tensors[f"energy.{layer}.{side}"] = self.energy[side][layer]
        if self.energy is not None:
            tensors["energy.final"] = self.energy["final"]
        with replacing(path) as unfinished:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                unfinished,
                {"facts": json.dumps(self.facts)},  # one entry: the order of several is random
            )

    @classmethod
    def load(cls, path: str | Path, sizes: Sizes) -> Importance:
        """The scores in a file, for the model of `sizes`. Raises `InputError` for scores of another model."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                facts = json.loads((file.metadata() or {}).get("facts", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{path} is no file of importance scores: {error}") from error
        expected = {
            "channel": (sizes.hidden,),
            "neuron.0": (sizes.intermediate,),
            "head.0": (sizes.heads,),
            "head_channel.0": (sizes.heads * sizes.head_dim,),
            "bi": (sizes.layers,),
        }
        for name, shape in expected.items():
            if name not in tensors or tuple(tensors[name].shape) != shape:
                raise InputError(f"{path} has the importance of another model ({name}): measure this one")

        def stacked(name: str, side: str = "") -> torch.Tensor:
            return torch.stack([tensors[f"{name}.{layer}{side}"] for layer in range(sizes.layers)])

        energy = None
        if "energy.final" in tensors:
            energy = {side: stacked("energy", f".{side}") for side in NORMS}
            energy["final"] = tensors["energy.final"]
        return cls(
            stacked("neuron"),
            stacked("head_channel"),
            {side: stacked("norm", f".{side}") for side in NORMS},
            tensors["bi"],
            sizes,
            facts,
            energy,
        ).checked(path, facts.get("config_hash"))

    def checked(self, path: str | Path, hashed: str | None) -> Importance:
        """Itself. Raises `InputError` where the hash of the measured config is not that of `sizes`."""
        if hashed not in (None, self.sizes.hash):
            raise InputError(
                f"{path} has the importance of another model (its config hash differs): measure this one"
            )
        return self


class Statistics:
    """Running sums over samples of one observed activation: `add` takes `[n, S, c]` and a mask `[n, S]`."""

    def __init__(self, channels: int, *, batch: str = "l2", sequence: str = "mean") -> None:
        for name, value in (("batch", batch), ("sequence", sequence)):
            if value not in AGGREGATIONS:
                raise InputError(f"{name} is one of {', '.join(AGGREGATIONS)}, not {value!r}")
        self.batch, self.sequence = batch, sequence
        self.sum = torch.zeros(channels, dtype=torch.float32)
        self.samples = 0

    def add(self, activation: torch.Tensor, mask: torch.Tensor | None, where: str) -> None:
        """Add whole samples; none may be cut. Raises `InputError`, naming `where`, for a value that is not finite."""
        values = activation.detach().float()
        if not bool(torch.isfinite(values).all()):
            raise InputError(f"NaN or infinite values at {where}: measure in float32 (--dtype float32)")
        values = values.abs() if self.sequence == "mean" else values.square()
        if mask is None:
            per_sample = values.mean(1)
        else:
            weight = mask.to(values.dtype)
            per_sample = (values * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        if self.sequence == "l2":
            per_sample = per_sample.sqrt()
        self.sum += (per_sample.square() if self.batch == "l2" else per_sample).sum(0).cpu()
        self.samples += len(per_sample)

    def value(self) -> torch.Tensor:
        """`F [c]`."""
        return self.sum.sqrt() if self.batch == "l2" else self.sum / max(1, self.samples)


class Energy:
    """The running mean of `x² / mean(x²)` over positions, by channel: `add` takes `[n, S, d]` and a mask `[n, S]`."""

    def __init__(self, channels: int) -> None:
        self.sum = torch.zeros(channels, dtype=torch.float64)
        self.positions = 0

    def add(self, states: torch.Tensor, mask: torch.Tensor | None) -> None:
        """Add the positions that count."""
        squares = states.detach().float().square()
        squares = squares.flatten(0, 1) if mask is None else squares[mask.bool()]
        mean = squares.mean(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        self.sum += (squares / mean).sum(0).cpu()
        self.positions += len(squares)

    def value(self) -> torch.Tensor:
        """`E [d]`, float32."""
        return (self.sum / max(1, self.positions)).float()


class LayerProbe:
    """Hooks on one decoder layer that fill its statistics while it runs, in memory and in the streamed pass alike."""

    def __init__(self, sizes: Sizes, layer: int, *, batch: str = "l2", sequence: str = "mean") -> None:
        self.layer = layer
        self.mask: torch.Tensor | None = None
        options = {"batch": batch, "sequence": sequence}
        self.neuron = Statistics(sizes.intermediate, **options)
        self.head = Statistics(sizes.heads * sizes.head_dim, **options)
        self.norm = {side: Statistics(sizes.hidden, **options) for side in NORMS}
        self.energy = {place: Energy(sizes.hidden) for place in (*NORMS, "output")}
        self._cosine, self._positions = 0.0, 0

    @contextmanager
    def on(self, module: Any) -> Iterator[LayerProbe]:
        """Observe a decoder layer of the four architectures."""
        observed = [
            (module.mlp.down_proj, self.neuron, "down_proj", True),
            (module.self_attn.o_proj, self.head, "o_proj", True),
            (module.input_layernorm, self.norm["input"], "input_layernorm", False),
            (module.post_attention_layernorm, self.norm["post"], "post_attention_layernorm", False),
        ]
        handles = [
            self._hook(part, statistics, f"layer {self.layer} {name}", before)
            for part, statistics, name, before in observed
        ]
        for side, part in (("input", module.input_layernorm), ("post", module.post_attention_layernorm)):
            handles.append(part.register_forward_pre_hook(partial(self._enters, self.energy[side])))
        handles.append(module.register_forward_hook(self._block, with_kwargs=True))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, part: Any, statistics: Statistics, where: str, before: bool) -> Any:
        if before:
            return part.register_forward_pre_hook(lambda _, args: statistics.add(args[0], self.mask, where))
        return part.register_forward_hook(lambda _, args, output: statistics.add(output, self.mask, where))

    def _enters(self, energy: Energy, _: Any, args: Any) -> None:
        energy.add(args[0], self.mask)

    def _block(self, _: Any, args: Any, kwargs: Any, output: Any) -> None:
        before = args[0] if args else kwargs["hidden_states"]
        after = output[0] if isinstance(output, tuple) else output
        self.energy["output"].add(after, self.mask)
        cosine = torch.nn.functional.cosine_similarity(
            before.detach().float(), after.detach().float(), dim=-1
        )
        if self.mask is not None:
            cosine = cosine[self.mask.bool()]
        self._cosine += float(cosine.double().sum())
        self._positions += cosine.numel()

    def scores(self) -> LayerScores:
        """What was observed."""
        return LayerScores(
            self.neuron.value(),
            self.head.value(),
            {side: statistics.value() for side, statistics in self.norm.items()},
            1.0 - self._cosine / max(1, self._positions),
            {place: energy.value() for place, energy in self.energy.items()},
        )


def facts_of(
    config: Any, calibration: Calibration, *, batch: str, sequence: str, dtype: str, kind: str = "activations"
) -> dict[str, Any]:
    """What is kept with the scores."""
    return {
        "kind": kind,
        "config_hash": config_hash(config),
        "samples": len(calibration),
        "length": calibration.length,
        "batch": batch,
        "sequence": sequence,
        "dtype": dtype,
    }


@torch.no_grad()
def measure_in_memory(
    model: PreTrainedModel,
    calibration: Any,
    *,
    batch_size: int = 4,
    batch: str = "l2",
    sequence: str = "mean",
    progress: Progress | None = None,
) -> Importance:
    """The importance of a loaded model's parts on calibration samples, on the model's device.

    Raises `InputError` for another architecture or activations that are not finite.
    """
    sizes = sizes_of(model.config)
    data = as_calibration(calibration).checked(sizes.vocabulary)
    probes = [LayerProbe(sizes, layer, batch=batch, sequence=sequence) for layer in range(sizes.layers)]
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    with _all([probe.on(layer) for probe, layer in zip(probes, model.model.layers, strict=True)]):
        for rows, chunk in data.chunks(batch_size):
            mask = None if chunk.mask is None else chunk.mask.to(device)
            for probe in probes:
                probe.mask = mask
            model.model(input_ids=chunk.input_ids.to(device), attention_mask=mask, use_cache=False)
            if progress:
                progress(rows.stop, len(data), "measuring importance")
    model.train(was_training)
    facts = facts_of(
        model.config, data, batch=batch, sequence=sequence, dtype=str(model.dtype).removeprefix("torch.")
    )
    return Importance.of_layers([probe.scores() for probe in probes], sizes, facts)


def random_importance(sizes: Sizes, seed: int) -> Importance:
    """Scores drawn by a seed: the control that must not do as well."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    layers = sizes.layers
    return Importance(
        drawn(layers, sizes.intermediate),
        drawn(layers, sizes.heads, 1).expand(-1, -1, sizes.head_dim).reshape(layers, -1).contiguous(),
        {side: drawn(layers, sizes.hidden) for side in NORMS},
        drawn(layers),
        sizes,
        {"kind": "random", "seed": seed},
    )


@torch.no_grad()
def magnitude_importance(model: PreTrainedModel) -> Importance:
    """The l2 norm of the weights that a part multiplies: the usual choice without data, for comparison."""
    sizes = sizes_of(model.config)
    layers = list(model.model.layers)

    def norms(weights: list[torch.Tensor], dim: int) -> torch.Tensor:
        return torch.stack([weight.detach().float().cpu().norm(dim=dim) for weight in weights])

    reads = {
        "input": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post": ("mlp.gate_proj", "mlp.up_proj"),
    }
    return Importance(
        norms([layer.mlp.down_proj.weight for layer in layers], 0),
        norms([layer.self_attn.o_proj.weight for layer in layers], 0),
        {
            side: norms(
                [torch.cat([layer.get_submodule(name).weight for name in names]) for layer in layers], 0
            )
            for side, names in reads.items()
        },
        torch.zeros(sizes.layers),
        sizes,
        {"kind": "magnitude"},
    )


@contextmanager
def _all(contexts: list[Any]) -> Iterator[None]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield

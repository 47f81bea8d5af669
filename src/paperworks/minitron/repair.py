"""Two repairs of a cut model in closed form, before any distillation (specification, sections 3.3 and 11).

Norms. A norm of fewer channels divides by the root mean square of the kept ones, which are the loudest, so its
output shrinks by `RMS_all / RMS_kept`. Multiplying the gain by the calibrated `RMS_kept / RMS_all` gives that back.
The specification takes the mean of that ratio over positions; we take its root mean square, a choice of ours, because
it follows for any set of channels from one number a channel: nothing has to be run again for another target.

Projections. `o_proj` and `down_proj` lose inputs. With the inputs `x` of the full layer, full weights `W`, kept
inputs `Q`, kept outputs `C`, and the pruned weights `P` as they are, each gets `P + Δ`:

    min over Δ of  Σ |(W x)[C] − (P + Δ) x[Q]|² + λ|Δ|²        λ = ridge · mean diag(G_QQ),   G = Σ x xᵀ
    Δᵀ = (G_QQ + λ)⁻¹ G_Q: Eᵀ                                  E = W[C] − P, where P is 0 at the inputs cut

`Δ = 0` is always a candidate, so the error on the calibration data cannot grow, but for rounding to the weights'
dtype. A bias is one more input, of constant 1 and without `λ`. `x` comes from the ORIGINAL model, each layer fed its
true states and not those of the repaired layers before: a choice of ours, which makes the layers independent and one
pass enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from paperworks.errors import InputError
from paperworks.minitron.architecture import Sizes, sizes_of
from paperworks.minitron.calibration import Calibration, as_calibration
from paperworks.minitron.evaluate import evaluating, moved
from paperworks.minitron.importance import Importance, Progress
from paperworks.minitron.indices import Kept, selection
from paperworks.minitron.layers import run_layer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROJECTIONS = ("self_attn.o_proj", "mlp.down_proj")


@dataclass(frozen=True)
class Repaired:
    """The squared error of one projection of source layer `layer` over the kept channels of its full output,
    relative to that output, on the calibration data."""

    layer: int
    projection: str
    before: float
    after: float


def norm_gains(scores: Importance, kept: Kept) -> dict[str, torch.Tensor]:
    """What the gains of the norms are multiplied by, float64 scalars by the name of the norm's weight in the cut model.

    From the energies `E [d]` that were measured with the scores: `sqrt(mean of E over the kept / mean of E)`, 1 where
    all channels are kept. Raises `InputError` for scores without energies.
    """
    if scores.energy is None:
        raise InputError(
            f"{scores.facts.get('kind', 'these')} scores know nothing of the norms' inputs: rescale with scores that "
            "`measure` made"
        )

    def gain(energy: torch.Tensor) -> torch.Tensor:
        energy = energy.double()
        return (energy[kept.channels].mean() / energy.mean()).sqrt()

    return {"model.norm.weight": gain(scores.energy["final"])} | {
        f"model.layers.{own}.{norm}.weight": gain(scores.energy[side][layer])
        for own, layer in enumerate(kept.layers)
        for side, norm in (("input", "input_layernorm"), ("post", "post_attention_layernorm"))
    }


def rescaled(weight: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """`weight · gain` in the weight's dtype, multiplied in float64."""
    return (weight.double() * gain).to(weight.dtype)


def least_squares(
    model: PreTrainedModel,
    pruned: PreTrainedModel,
    kept: Kept,
    calibration: Any,
    *,
    ridge: float = 0.01,
    batch_size: int = 4,
    progress: Progress | None = None,
) -> list[Repaired]:
    """Give `o_proj` and `down_proj` of every layer of `pruned` the weights that best stand in for the full
    ones, in place.

    `pruned` is what `kept` made of `model`. The normal equations `G [inputs, inputs]` are summed in float64,
    one layer at a time; the states of all samples, `N·S·d` values, stay in main memory. `ridge` is a share of
    the inputs' mean square; 1 % is a choice of ours, more where the calibration has few tokens for the size.

    Raises `InputError` where the three do not belong together, for a negative ridge, or inputs that are not finite.
    """
    sizes = sizes_of(model.config)
    data = as_calibration(calibration).checked(sizes.vocabulary)
    _check_channels(kept.channels, sizes)
    if ridge < 0:
        raise InputError(f"ridge {ridge} is negative")
    if len(kept.layers) != len(pruned.model.layers):
        raise InputError(
            f"{len(kept.layers)} layers were kept, the pruned model has {len(pruned.model.layers)}: give what pruned it"
        )
    repaired = []
    with evaluating(model):
        states = [
            model.model.embed_tokens(moved(chunk, model).input_ids).cpu()
            for _, chunk in data.chunks(batch_size)
        ]
        for layer in range(kept.layers[-1] + 1):
            grams = _pass_layer(model, layer, states, data, batch_size)
            if layer in kept.layers:
                own = kept.layers.index(layer)
                for name, gram in grams.items():
                    errors = _repair(
                        model.model.layers[layer].get_submodule(name),
                        pruned.model.layers[own].get_submodule(name),
                        selection(f"{name}.weight", kept, own, sizes),
                        gram,
                        ridge,
                        f"layer {layer} {name}",
                    )
                    repaired.append(Repaired(layer, name, *errors))
            if progress:
                progress(layer + 1, kept.layers[-1] + 1, "repairing layers")
    return repaired


def _pass_layer(
    model: PreTrainedModel, layer: int, states: list[torch.Tensor], data: Calibration, batch_size: int
) -> dict[str, torch.Tensor]:
    """Move the `states` through a layer, and sum `x xᵀ` over the inputs of its two projections, a last input of 1."""
    parts = {name: model.model.layers[layer].get_submodule(name) for name in PROJECTIONS}
    grams: dict[str, torch.Tensor] = {}

    def add(name: str, rows: torch.Tensor) -> None:
        rows = torch.cat([rows.double(), rows.new_ones(len(rows), 1, dtype=torch.float64)], dim=1)
        grams[name] = grams[name].addmm_(rows.T, rows) if name in grams else rows.T @ rows

    for number, (_, chunk) in enumerate(data.chunks(batch_size)):
        mask = moved(chunk, model).mask
        with _inputs_of(parts, mask, add):
            states[number] = run_layer(model, layer, states[number].to(model.device), mask).cpu()
    return grams


def _repair(
    full: torch.nn.Linear,
    pruned: torch.nn.Linear,
    chosen: tuple[torch.Tensor | None, torch.Tensor | None],
    gram: torch.Tensor,
    ridge: float,
    where: str,
) -> tuple[float, float]:
    channels, inputs = (index.to(gram.device) for index in chosen if index is not None)
    if pruned.weight.shape != (len(channels), len(inputs)):
        raise InputError(f"{where}: the pruned model has other sizes than were kept: give what pruned it")
    if not bool(torch.isfinite(gram).all()):
        raise InputError(f"NaN or infinite values at {where}: repair in float32")
    wanted = _with_bias(full)[channels]
    if pruned.bias is not None:
        inputs = torch.cat([inputs, inputs.new_tensor([len(gram) - 1])])

    def missing() -> torch.Tensor:
        """`E`: what the pruned weights lack."""
        lacking = wanted.clone()
        own = _with_bias(pruned).to(gram.device)
        lacking[:, inputs] -= own if pruned.bias is not None else own[:, :-1]
        return lacking

    def error(lacking: torch.Tensor) -> float:
        return float(((lacking @ gram) * lacking).sum().clamp(min=0) / whole)

    whole = ((wanted @ gram) * wanted).sum().clamp(min=torch.finfo(torch.float64).tiny)
    lacking = missing()
    before = error(lacking)
    system = gram[inputs][:, inputs]
    weights = system.diagonal()[: pruned.weight.shape[1]]  # no ridge on a bias
    weights.add_(ridge * weights.mean())
    try:
        change = torch.linalg.solve(system, gram[inputs] @ lacking.T).T.to(pruned.weight.device)
    except torch.linalg.LinAlgError as error_:
        raise InputError(f"{where}: the inputs depend on one another, give a larger ridge") from error_
    pruned.weight.copy_(pruned.weight.double() + change[:, : pruned.weight.shape[1]])
    if pruned.bias is not None:
        pruned.bias.copy_(pruned.bias.double() + change[:, -1])
    return before, error(missing())


def _with_bias(linear: torch.nn.Linear) -> torch.Tensor:
    """Weights and bias as one matrix in float64, `[outputs, inputs + 1]`; a bias that is not there is 0."""
    weight = linear.weight.double()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.double()
    return torch.cat([weight, bias[:, None]], dim=1)


@contextmanager
def _inputs_of(
    modules: dict[str, torch.nn.Module],
    mask: torch.Tensor | None,
    use: Callable[[str, torch.Tensor], None],
) -> Iterator[None]:
    """While modules run, `use` gets the name of each with its inputs `[positions, size]` at the positions
    that count."""

    def hook(name: str, inputs: torch.Tensor) -> None:
        use(name, inputs.flatten(0, 1) if mask is None else inputs[mask.bool()])

    with ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_pre_hook(lambda _, args, name=name: hook(name, args[0]))
            stack.callback(handle.remove)
        yield


def _check_channels(channels: torch.Tensor, sizes: Sizes) -> None:
    if not len(channels) or int(channels.min()) < 0 or int(channels.max()) >= sizes.hidden:
        raise InputError(f"the kept channels are not among the model's 0…{sizes.hidden - 1}")

"""What to cut a model to: sizes, layers to drop, and the plan that reaches a number of parameters.

Presets are the paper's shapes (Tables 1 and 3). Layers are counted from 0 here; `16..31` on the command line counts
from 1, as the paper and NVIDIA's tools do, and is printed in both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paperworks.errors import InputError
from paperworks.minitron.architecture import Sizes

_PRESETS: dict[str, dict[str, Any]] = {
    "4b-width": {"hidden_size": 3072, "intermediate_size": 9216},
    "4b-depth": {"drop_layers": tuple(range(15, 31))},
    "8b-width": {"hidden_size": 4096, "intermediate_size": 11520},
}


@dataclass(frozen=True)
class Target:
    """The sizes to cut to; `None` keeps what the model has. `drop_layers`: layers to leave out, counted from 0.

    `heads` and `kv_heads` are query and key/value heads; the paper keeps both (Insight 3).
    """

    hidden_size: int | None = None
    intermediate_size: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    drop_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "drop_layers", tuple(sorted(set(self.drop_layers))))

    @classmethod
    def preset(cls, name: str) -> Target:
        """`4b-width`, `4b-depth` (both of Llama-3.1-8B) or `8b-width` (of Mistral-NeMo-12B). Raises `InputError`."""
        if name not in _PRESETS:
            raise InputError(f"no preset is called {name!r}: choose from {', '.join(_PRESETS)}")
        return cls(**_PRESETS[name])

    def sizes(self, source: Sizes) -> Sizes:
        """The sizes of the cut model.

        Raises `InputError` for a target that is larger than `source`, heads that cannot share key/value heads, layers
        that the model does not have, no layer left, or a hidden size that the architecture refuses.
        """
        drop = self.drop_layers
        if bad := [layer for layer in drop if not 0 <= layer < source.layers]:
            raise InputError(
                f"the model has no layers {bad}: its {source.layers} layers are 0…{source.layers - 1}"
            )
        if len(drop) == source.layers:
            raise InputError(f"no layer would be left: all {source.layers} are to be dropped")
        new = dataclasses.replace(
            source,
            layers=source.layers - len(drop),
            hidden=self._cut("hidden size", self.hidden_size, source.hidden),
            intermediate=self._cut("intermediate size", self.intermediate_size, source.intermediate),
            heads=self._cut("query heads", self.heads, source.heads),
            kv_heads=self._cut("key/value heads", self.kv_heads, source.kv_heads),
        )
        if self.kv_heads is not None and self.heads is None:
            new = dataclasses.replace(new, heads=new.kv_heads * source.group)
        if new.heads % new.kv_heads:
            raise InputError(
                f"{new.heads} query heads cannot share {new.kv_heads} key/value heads: give a multiple of "
                f"{new.kv_heads}"
            )
        if new.heads // new.kv_heads > source.group:
            raise InputError(
                f"a group of the model has {source.group} query heads; {new.heads} heads over {new.kv_heads} groups "
                f"would need {new.heads // new.kv_heads}"
            )
        if new.family == "llama" and new.hidden % new.heads:
            below, above = new.hidden // new.heads * new.heads, (new.hidden // new.heads + 1) * new.heads
            raise InputError(
                f"hidden size {new.hidden} is not a multiple of {new.heads} heads, which a Llama config refuses: "
                f"nearest {below} or {above}"
            )
        return new

    def _cut(self, what: str, wanted: int | None, has: int) -> int:
        if wanted is None:
            return has
        if not 1 <= wanted <= has:
            raise InputError(f"{what} {wanted} is not between 1 and the model's {has}")
        return wanted

    def config(self, raw: dict[str, Any], source: Sizes) -> dict[str, Any]:
        """The JSON config of the cut model: the sizes, always with `head_dim`, and the layers' own lists sliced."""
        new = self.sizes(source)
        result = dict(raw)
        result |= {
            "hidden_size": new.hidden,
            "intermediate_size": new.intermediate,
            "num_hidden_layers": new.layers,
            "num_attention_heads": new.heads,
            "num_key_value_heads": new.kv_heads,
            "head_dim": new.head_dim,
        }
        if types := raw.get("layer_types"):
            result["layer_types"] = [types[layer] for layer in self.kept_layers(source)]
        if (last := raw.get("max_window_layers")) is not None:
            result["max_window_layers"] = sum(layer < last for layer in self.kept_layers(source))
        return result

    def kept_layers(self, source: Sizes) -> list[int]:
        """The layers that stay, counted from 0 in the source."""
        return [layer for layer in range(source.layers) if layer not in self.drop_layers]


def parse_layers(text: str, layers: int) -> tuple[int, ...]:
    """Layers as the paper counts them, from 1: `16..31` or `3,7,9`; returned counted from 0. Raises `InputError`."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dots, last = part.partition("..")
        try:
            ends = (int(first), int(last if dots else first))
        except ValueError as error:
            raise InputError(f"{part!r} is no layer and no range such as 16..31") from error
        found.update(range(ends[0], ends[1] + 1))
    if not found or (bad := [layer for layer in sorted(found) if not 1 <= layer <= layers]):
        raise InputError(
            f"layers {text} (counted from 1): the model has 1…{layers}" + (f", not {bad}" if found else "")
        )
    return tuple(sorted(layer - 1 for layer in found))


def parse_count(text: str) -> int:
    """`4.5B`, `300M` or `7000000` as a number. Raises `InputError`."""
    factor = {"K": 1e3, "M": 1e6, "B": 1e9}.get(text.strip()[-1:].upper(), 1.0)
    try:
        value = float(text.strip().rstrip("KMBkmb").replace(",", "").replace("_", "")) * factor
    except ValueError as error:
        raise InputError(f"{text!r} is no number of parameters such as 4.5B or 300M") from error
    if not 1 <= value < 1e15:
        raise InputError(f"{text!r} is no number of parameters such as 4.5B or 300M")
    return round(value)


def contiguous(source: Sizes, n: int) -> Target:
    """Drop `n` layers in one block that ends before the last layer, as the paper does (layers 16–31 of 32, from 1).

    The last layer stays: it matters most next to the first (Fig. 8). Raises `InputError`.
    """
    if not 0 <= n < source.layers:
        raise InputError(f"{n} of {source.layers} layers cannot be dropped: one must stay")
    last = source.layers - 1
    return Target(drop_layers=tuple(range(last - n, last)))


def plan(source: Sizes, parameters: int, *, axes: str = "width") -> Target:
    """A target with at most `parameters` parameters, as near as rounding allows.

    `width`: hidden and intermediate size shrink by the same factor (hidden rounded to 64, for Llama to a multiple of
    the heads too; then the intermediate size, rounded to 64, takes what is left; both to 8 in models narrower than
    1,024). `depth`: the block of `contiguous`. A choice of ours: the paper searches widths with training runs
    (2407.14679). Raises `InputError` where no target is small enough.
    """
    if parameters >= source.parameters:
        raise InputError(f"{parameters:,} parameters is not smaller than the model's {source.parameters:,}")
    if axes == "depth":
        for n in range(1, source.layers):
            target = contiguous(source, n)
            if target.sizes(source).parameters <= parameters:
                return target
        raise InputError(f"one layer alone has more than {parameters:,} parameters: cut the width")
    if axes != "width":
        raise InputError(f"axes are 'width' or 'depth', not {axes!r}")
    step = 64 if source.hidden >= 1024 else 8
    unit = math.lcm(source.heads, step) if source.family == "llama" else step
    best: tuple[float, Target] | None = None
    for hidden in range(source.hidden // unit * unit, 0, -unit):
        fixed = Target(hidden_size=hidden, intermediate_size=step).sizes(source)
        each = (
            3 * hidden + (2 if source.mlp_bias else 0)
        ) * source.layers  # parameters of one neuron everywhere
        room = (parameters - fixed.parameters) // each
        intermediate = min(source.intermediate, step + room // step * step)
        if room < 0 or intermediate < step:
            continue
        target = Target(hidden_size=hidden, intermediate_size=intermediate)
        uneven = abs(math.log(hidden / source.hidden) - math.log(intermediate / source.intermediate))
        short = 1 - target.sizes(source).parameters / parameters
        score = uneven + 20 * max(0.0, short - 0.01)
        if best is None or score < best[0]:
            best = (score, target)
    if best is None:
        raise InputError(
            f"no width has as few as {parameters:,} parameters: the embeddings alone are larger; cut layers"
        )
    return best[1]


def describe_layers(layers: Iterable[int]) -> str:
    """`15…30 (from 0), 16…31 (from 1)`; single layers separated by commas."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])

    def written(offset: int) -> str:
        return ", ".join(
            f"{run[0] + offset}…{run[-1] + offset}" if len(run) > 1 else str(run[0] + offset) for run in runs
        )

    return f"{written(0)} (from 0), {written(1)} (from 1)" if runs else "none"

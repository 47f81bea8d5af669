"""How much faster a cut model is: tokens per second of prefill and of cached decoding (specification, section
7, claim 3).

Two ways to time a contender. A **config** alone: one layer of each kind (full or windowed attention) and the head, with
random weights at their real shapes; the time of a model is `Σ layers of a kind · time of one + time of the head`. Right
where a layer's weights outgrow the processor's caches; for small shapes time whole models. A **model**, loaded or a
folder: the whole run.

Prefill is one pass over `[batch, prompt]` tokens with logits at every position, which is the work that
`flops_per_token` counts. Decoding is `generate` further tokens, one at a time, after a cache of `prompt` random
keys and values. Attention and cache are those of `transformers`, whose cache grows by copying. The contenders
take turns, A, B, A, B …, so a slow spell of the machine meets all of them; figures are medians over the
repeats with their quartiles.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from paperworks.errors import InputError, require
from paperworks.minitron.architecture import Sizes, model_config, read_config, sizes_of
from paperworks.minitron.evaluate import HEAD_ROWS, evaluating
from paperworks.minitron.importance import Progress

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    Contender = PreTrainedModel | PretrainedConfig | dict[str, Any] | str | Path

PHASES = ("prefill", "decode")


@dataclass(frozen=True)
class Row:
    """One contender at one batch size in one phase.

    `tokens_per_second` is the median of all sequences together, within the quartiles `low` and `high`;
    `ratio` the median of the paired ratios to the first contender, with quartiles; `flops_bound` the ratio if
    speed were one over `flops_per_token`, `bytes_bound` (decode) if it were one over the bytes a step reads:
    weights and cache. `cache_bytes` are the bytes that a token leaves in the cache.
    """

    name: str
    phase: str
    batch: int
    tokens_per_second: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    flops_bound: float
    bytes_bound: float | None
    cache_bytes: int


@dataclass(frozen=True)
class Speed:
    """The rows in the order of phase, batch size, contender; `samples` are the tokens per second of every repeat."""

    rows: list[Row]
    samples: dict[tuple[str, str, int], list[float]]
    prompt: int
    generate: int
    dtype: str
    device: str

    def row(self, name: str, phase: str, batch: int) -> Row:
        """One row. Raises `InputError` where there is none."""
        for row in self.rows:
            if (row.name, row.phase, row.batch) == (name, phase, batch):
                return row
        raise InputError(f"{name} was not timed in {phase} at batch {batch}")

    def ratio(self, name: str, phase: str, batch: int, to: str, to_batch: int) -> tuple[float, float, float]:
        """The median of the paired ratios with its quartiles, of two contenders that may differ in batch size, as the
        paper's 64 against 32."""
        self.row(name, phase, batch), self.row(to, phase, to_batch)
        return _quartiles(np.divide(self.samples[name, phase, batch], self.samples[to, phase, to_batch]))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "prompt": self.prompt,
            "generate": self.generate,
            "dtype": self.dtype,
            "device": self.device,
            "rows": [
                dataclasses.asdict(row) | {"samples": self.samples[row.name, row.phase, row.batch]}
                for row in self.rows
            ],
        }


def speed(
    contenders: Mapping[str, Contender] | Sequence[str | Path],
    *,
    batches: Sequence[int] = (1,),
    prompt: int = 512,
    generate: int = 8,
    repeats: int = 5,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Speed:
    """Time the `contenders`: by name, a config (or its JSON), a loaded model or a folder; or a list of folders.

    `dtype` is float32 on a CPU and bfloat16 elsewhere; a loaded model keeps its own, and its device. One pass
    of each is not counted. Everything is in memory at once; contenders with equal layers share theirs. Raises
    `InputError` for an unknown architecture, no contender, or sizes below 1.
    """
    require("minitron", "torch", "transformers")
    if min(prompt, generate, repeats, *batches) < 1 or not batches or not contenders:
        raise InputError("give at least one contender, batch size, token, step and repeat")
    named = contenders if isinstance(contenders, Mapping) else {str(one): one for one in contenders}
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    shared: dict[str, PreTrainedModel] = {}
    runners = {name: _runner(one, dtype, device, shared) for name, one in named.items()}
    samples: dict[tuple[str, str, int], list[float]] = {}
    for repeat in range(-1, repeats):
        for phase in PHASES:
            for batch in batches:
                for name, runner in runners.items():
                    rate = runner.tokens_per_second(phase, batch, prompt, generate)
                    if repeat >= 0:
                        samples.setdefault((name, phase, batch), []).append(rate)
        if progress:
            progress(repeat + 1, repeats, "timing")
    first, *_ = runners
    rows = [_row(key, runners, first, samples, prompt) for key in samples]
    return Speed(rows, samples, prompt, generate, str(dtype).removeprefix("torch."), device.type)


def random_model(
    config: PretrainedConfig | dict[str, Any], dtype: torch.dtype, device: str | torch.device
) -> PreTrainedModel:
    """A model of small random weights made on the device, for timing whole models from their config."""
    from transformers import AutoModelForCausalLM

    config = model_config(config) if isinstance(config, dict) else config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model = model.to(dtype).to_empty(device=device)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to(device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.02, 0.02)
    return model.eval()


class _Runner:
    """Times a model; `counts`, for a model with one layer of each kind, says how many of each the real one has."""

    def __init__(self, model: PreTrainedModel, sizes: Sizes, counts: list[int] | None = None) -> None:
        self.model, self.sizes, self.counts = model, sizes, counts
        self.bytes = next(model.parameters()).element_size()
        names = inspect.signature(type(model.model).forward).parameters
        self.cache_name = "cache" if "cache" in names else "past_key_values"  # renamed in transformers 5.24

    def tokens_per_second(self, phase: str, batch: int, length: int, steps: int) -> float:
        with evaluating(self.model):
            if phase == "prefill":
                return batch * length / self._seconds(batch, length, None)
            cache = self._cache(batch, length)
            return batch * steps / sum(self._seconds(batch, 1, cache) for _ in range(steps))

    def step_bytes(self, batch: int, length: int) -> int:
        weights = self.sizes.without_embeddings + self.sizes.vocabulary * self.sizes.hidden
        return weights * self.bytes + batch * length * self.sizes.cache_bytes(self.bytes)

    def _cache(self, batch: int, length: int) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        shape = (batch, self.sizes.kv_heads, length, self.sizes.head_dim)
        keys = torch.randn(shape, dtype=self.model.dtype, device=self.model.device)
        for layer in range(len(self.model.model.layers)):
            cache.update(keys, keys, layer)
        return cache

    def _seconds(self, batch: int, length: int, cache: Any) -> float:
        inner = self.model.model
        ids = torch.randint(self.sizes.vocabulary, (batch, length), device=self.model.device)
        clocks = [_Clock(layer, self) for layer in inner.layers] if self.counts else []
        start = self.now()
        options = {"use_cache": False} if cache is None else {"use_cache": True, self.cache_name: cache}
        hidden = inner(input_ids=ids, **options).last_hidden_state
        body = self.now()
        for rows in hidden.flatten(0, 1).split(HEAD_ROWS):
            self.model.lm_head(rows)
        head = self.now() - body
        if not self.counts:
            return body - start + head
        return head + sum(count * clock.stop() for count, clock in zip(self.counts, clocks, strict=True))

    def now(self) -> float:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        return time.perf_counter()


class _Clock:
    """The seconds inside one layer, until `stop`."""

    def __init__(self, layer: torch.nn.Module, runner: _Runner) -> None:
        self.start = self.end = 0.0
        self.runner = runner
        self.handles = [
            layer.register_forward_pre_hook(self._before),
            layer.register_forward_hook(self._after),
        ]

    def _before(self, *_: Any) -> None:
        self.start = self.runner.now()

    def _after(self, *_: Any) -> None:
        self.end = self.runner.now()

    def stop(self) -> float:
        for handle in self.handles:
            handle.remove()
        return self.end - self.start


def _runner(
    contender: Contender, dtype: torch.dtype, device: torch.device, shared: dict[str, PreTrainedModel]
) -> _Runner:
    from transformers import AutoModelForCausalLM, PreTrainedModel

    if isinstance(contender, str | Path):
        sizes = sizes_of(read_config(contender))
        model: Any = AutoModelForCausalLM.from_pretrained(contender, dtype=dtype)
        return _Runner(model.to(device), sizes)
    if isinstance(contender, PreTrainedModel):
        return _Runner(contender, sizes_of(contender.config))
    sizes = sizes_of(contender)
    config = model_config(contender) if isinstance(contender, dict) else copy.deepcopy(contender)
    kinds = Counter(getattr(config, "layer_types", None) or ["full"] * sizes.layers)
    config.num_hidden_layers, config.tie_word_embeddings = len(kinds), True  # one table serves as both
    if getattr(config, "layer_types", None):
        config.layer_types = list(kinds)
    key = repr((dataclasses.replace(sizes, layers=1, tied=True), list(kinds)))
    if key not in shared:
        shared[key] = random_model(config, dtype, device)
    return _Runner(shared[key], sizes, list(kinds.values()))


def _row(
    key: tuple[str, str, int],
    runners: dict[str, _Runner],
    first: str,
    samples: dict[tuple[str, str, int], list[float]],
    length: int,
) -> Row:
    name, phase, batch = key
    own, other = runners[name], runners[first]
    median, low, high = _quartiles(samples[key])
    ratio, ratio_low, ratio_high = _quartiles(np.divide(samples[key], samples[first, phase, batch]))
    return Row(
        name, phase, batch, median, low, high, ratio, ratio_low, ratio_high,
        flops_bound=other.sizes.flops_per_token / own.sizes.flops_per_token,
        bytes_bound=other.step_bytes(batch, length) / own.step_bytes(batch, length) if phase == "decode" else None,
        cache_bytes=own.sizes.cache_bytes(own.bytes),
    )  # fmt: skip


def _quartiles(values: Any) -> tuple[float, float, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(median), float(low), float(high)

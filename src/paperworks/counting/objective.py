"""What one iteration draws and how it is judged: a batch of runs, their pictures, masses, counts and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from paperworks.counting.counters import ClipSimilarity, DensityCounter
from paperworks.counting.detectors import Driver
from paperworks.counting.losses import count_loss, dynamic_scale
from paperworks.counting.token import check_window, embedded, fill, free_names, naming, without_token
from paperworks.errors import InputError
from paperworks.sampling import Conditioning, differentiable_sample, encode


@dataclass(frozen=True)
class Run:
    """One token (or one for each of several kinds) to be learned: every prompt is drawn from the noise of every seed,
    and the loss is the mean over these pictures. `plain` is what the first prompt is without a token."""

    prompts: tuple[str, ...]
    counts: tuple[int, ...]
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    plain: str

    @property
    def pictures(self) -> list[tuple[str, int]]:
        """Prompt and seed of every picture."""
        return [(prompt, seed) for prompt in self.prompts for seed in self.seeds]


@dataclass(frozen=True)
class Settings:
    """How tokens are learned. Defaults are those of the released code (table 3.4), `weight_decay` and `max_grad_norm`
    aside: there decay shrank all other words, and clipping came before there was a gradient.

    `scale`: the mass of one object, `static` or `dynamic` by equation (5), which starts from `static_scale` and falls
    back to its last value where the driver finds nothing. `semantic_weight` is λ, `semantic_text` what equation (3) is
    told: the whole class name or the prompt. `patience`: steps in a row that may fail to lower the loss. `hits`: stop
    after so many steps at which the driver counts `N`. `select`: the step that is kept, of the lowest loss or of the
    driver's smallest error. `sampler_steps` and `guidance` are the pipeline's. `encoders`: those whose vector is
    learned. `checkpointing` trades time for memory.
    """

    scale: Literal["dynamic", "static"] = "dynamic"
    static_scale: float = 60.0
    loss: Literal["l1", "l2"] = "l1"
    semantic_weight: float = 5.0
    semantic_text: Literal["class", "prompt"] = "class"
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    max_steps: int = 50
    patience: int = 15
    hits: int | None = None
    select: Literal["loss", "driver"] = "loss"
    sampler_steps: int = 1
    guidance: float = 0.0
    encoders: tuple[str, ...] = ("clip_l",)
    checkpointing: bool = False

    def __post_init__(self) -> None:
        choices = {
            "scale": ("dynamic", "static"),
            "loss": ("l1", "l2"),
            "semantic_text": ("class", "prompt"),
            "select": ("loss", "driver"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r}: choose {' or '.join(allowed)}")
        for name in ("static_scale", "learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}, a number above 0 is needed")
        if self.max_steps < 0 or self.patience < 0 or self.sampler_steps < 1:
            raise InputError("max_steps and patience must be at least 0, sampler_steps at least 1")
        if not set(self.encoders) <= {"clip_l", "clip_g"} or not self.encoders:
            raise InputError(f"encoders {', '.join(self.encoders)!r}: choose clip_l, clip_g or both")


@dataclass(frozen=True)
class Judged:
    """Of `M` pictures: the loss of equation (4) `[M]`, the semantic loss `[M]`, and for every kind mass, scale and the
    driver's count `[M, kinds]` (−1 where nobody counted)."""

    loss: Tensor
    semantic: Tensor
    mass: Tensor
    scale: Tensor
    counts: Tensor


class Objective:
    """The pictures and losses of a batch of runs with as many kinds each.

    Raises `InputError` for a prompt whose token would be cut off, and a token name that is taken.
    """

    def __init__(
        self,
        pipe: Any,
        runs: Sequence[Run],
        settings: Settings,
        *,
        counter: Any,
        driver: Driver | None = None,
        semantic: ClipSimilarity | None = None,
    ) -> None:
        if len({len(run.names) for run in runs}) != 1:
            raise InputError(
                "all runs of a batch need as many kinds: start one batch for each number of kinds"
            )
        if driver is None and (settings.scale == "dynamic" or settings.select == "driver" or settings.hits):
            raise InputError(
                "a driver, a detector that counts, is needed for the dynamic scale, select='driver' and hits"
            )
        self.runs, self.settings, self.driver, self.semantic = list(runs), settings, driver, semantic
        self.counter = counter if isinstance(counter, DensityCounter) else DensityCounter(counter)
        self.slots = tuple(f"<counting-{kind + 1}>" for kind in range(len(runs[0].names)))
        free_names(pipe.tokenizer, self.slots)
        self.view = naming(pipe, self.slots)
        self._pictures = [(number, *one) for number, run in enumerate(runs) for one in run.pictures]
        check_window(self.view, [fill(prompt, self.slots) for _, prompt, _ in self._pictures], self.slots)
        self._negative: Conditioning | None = None

    def rows(self, active: Sequence[int]) -> list[int]:
        """The pictures of some of the runs."""
        return [row for row, (number, _, _) in enumerate(self._pictures) if number in set(active)]

    def owner(self, rows: Sequence[int]) -> Tensor:
        """The run of each picture, `[M]`."""
        return torch.tensor([self._pictures[row][0] for row in rows], device=self.view._execution_device)

    def draw(self, vectors: Mapping[str, Tensor], rows: Sequence[int]) -> Tensor:
        """Pictures `[M, 3, H, W]` in 0 to 1 of the rows, with gradients to the runs' vectors `[runs, kinds, d]`."""
        chosen = self.owner(rows)
        own = {key: value[chosen] for key, value in vectors.items()}
        some = [self._pictures[row] for row in rows]
        with embedded(self.view, self.slots, own):
            conditioning = self._encode([fill(prompt, self.slots) for _, prompt, _ in some])
        return sample_seeds(self.view, conditioning, [seed for _, _, seed in some], self.settings)

    @torch.no_grad()
    def draw_plain(self) -> Tensor:
        """The first prompt of each run without a token, from its first seed, `[runs, 3, H, W]`."""
        conditioning = encode(self.view, [run.plain for run in self.runs], guidance=self.settings.guidance)
        return sample_seeds(self.view, conditioning, [run.seeds[0] for run in self.runs], self.settings)

    def judge(self, pictures: Tensor, rows: Sequence[int], last_scale: Tensor) -> Judged:
        """Masses, counts and losses of pictures; `last_scale` is `[M, kinds]`."""
        runs = [self.runs[self._pictures[row][0]] for row in rows]
        mass, seen = [], []
        with torch.no_grad():
            integers = to_uint8(pictures) if self.driver is not None else None
        for kind in range(len(self.slots)):
            names = [run.names[kind] for run in runs]
            mass.append(self.counter(pictures, names))
            if integers is not None and self.driver is not None:
                seen.append(counted(self.driver, integers, names))
        masses = torch.stack(mass, 1)
        targets = torch.tensor([run.counts for run in runs], device=masses.device)
        counts = (
            torch.tensor(np.stack(seen, 1), device=masses.device) if seen else torch.full_like(targets, -1)
        )
        scale = last_scale
        if self.settings.scale == "dynamic":
            scale = dynamic_scale(masses, counts, last_scale)
        loss = count_loss(masses, scale, targets, self.settings.loss).sum(1)
        semantic = torch.zeros_like(loss)
        if self.semantic is not None and self.settings.semantic_weight:
            for kind in range(len(self.slots)):
                texts = [
                    run.names[kind] if self.settings.semantic_text == "class" else run.plain for run in runs
                ]
                semantic = semantic + (1 - self.semantic(pictures.float(), texts)) / len(self.slots)
            loss = loss + self.settings.semantic_weight * semantic
        return Judged(loss, semantic.detach(), masses.detach(), scale, counts)

    def _encode(self, prompts: list[str]) -> Conditioning:
        """With the negative branch of an earlier call, which is the same for every prompt."""
        known = self._negative
        if known is not None and known.negative is not None:
            pooled = known.negative_pooled
            known = Conditioning(
                known.embeds,
                known.negative[:1].expand(len(prompts), -1, -1),
                known.pooled,
                None if pooled is None else pooled[:1].expand(len(prompts), -1),
            )
        found = encode(self.view, prompts, guidance=self.settings.guidance, negative=known)
        if self._negative is None and found.negative is not None:
            pooled = found.negative_pooled
            self._negative = Conditioning(
                found.embeds.detach(),
                found.negative.detach(),
                None,
                None if pooled is None else pooled.detach(),
            )
        return found


def sample_seeds(pipe: Any, conditioning: Conditioning, seeds: Sequence[int], settings: Settings) -> Tensor:
    """Pictures `[M, 3, H, W]` from the noise that `torch.Generator().manual_seed(seed)` gives the pipeline."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    config = pipe.unet.config
    sides = config.sample_size if isinstance(config.sample_size, (list, tuple)) else [config.sample_size] * 2
    noise = torch.cat([torch.randn(1, config.in_channels, *sides, generator=one) for one in generators])
    return differentiable_sample(
        pipe, conditioning, noise.to(conditioning.embeds.dtype), steps=settings.sampler_steps,
        guidance=settings.guidance, generator=generators, checkpointing=settings.checkpointing,
    )  # fmt: skip


@torch.no_grad()
def draw(
    pipe: Any, prompts: Sequence[str], seeds: Sequence[int], settings: Settings, batch_size: int = 16
) -> np.ndarray:
    """Pictures uint8 `[M, H, W, 3]` of prompts, each from the noise of its seed."""
    found = []
    for first in range(0, len(prompts), batch_size):
        some = slice(first, first + batch_size)
        conditioning = encode(pipe, prompts[some], guidance=settings.guidance)
        found.append(to_uint8(sample_seeds(pipe, conditioning, seeds[some], settings)))
    return np.concatenate(found)


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Pictures `[M, 3, H, W]` in 0 to 1 as the pipeline would write them: uint8 `[M, H, W, 3]`."""
    values = pictures.detach().permute(0, 2, 3, 1).float().cpu().numpy()
    return (np.nan_to_num(values) * 255).round().astype(np.uint8)


def counted(driver: Driver, pictures: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A detector's counts as ints `[M]`. Raises `InputError` for another number of them, or negative ones."""
    counts = np.asarray(driver(pictures, list(names)), dtype=np.int64)
    if counts.shape != (len(names),) or (counts < 0).any():
        raise InputError(
            f"the detector gave {counts.tolist()} for {len(names)} pictures: one count from 0 for each is needed"
        )
    return counts


def runs_from(prompt: Any, count: Any, name: Any, seed: Any, plain: Any = None) -> list[Run]:
    """Runs of what `optimize` takes: a list gives each run its own, a tuple is within a run (several prompts, several
    kinds with their counts, several seeds), anything else is for all.

    Raises `InputError` for lists of different lengths, a count that is not an integer from 1, and prompts without a
    slot for each kind.
    """
    given = {"prompt": prompt, "count": count, "name": name, "seed": seed, "plain": plain}
    sizes = {len(value) for value in given.values() if isinstance(value, list)}
    if len(sizes) > 1:
        raise InputError(
            "lists of different lengths: give each run its own prompt, count, name and seed, or one for all"
        )
    n, runs = (sizes.pop() if sizes else 1), []
    for index in range(n):
        own = {key: value[index] if isinstance(value, list) else value for key, value in given.items()}
        counts, names = _tuple(own["count"]), _tuple(own["name"])
        for one in counts:
            if isinstance(one, bool) or not isinstance(one, (int, np.integer)) or one < 1:
                raise InputError(f"count {one!r}: how many objects to draw is an integer from 1 on")
        if len(counts) != len(names):
            raise InputError(
                f"{len(counts)} counts for {len(names)} names ({', '.join(names)}): one for each kind"
            )
        prompts = _tuple(own["prompt"])
        for one in prompts:
            fill(one, names)
        runs.append(
            Run(
                prompts,
                tuple(int(one) for one in counts),
                names,
                _tuple(own["seed"]),
                own["plain"] or without_token(prompts[0]),
            )
        )
    if not runs:
        raise InputError("no prompt is given")
    return runs


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)

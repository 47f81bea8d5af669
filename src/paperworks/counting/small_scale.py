"""What the experiments share: the shipped scene model, its three counters, and batches of runs.

The generator is `tiny.scene_model`, six DDIM steps with guidance 2: the fewest at which it passes the gate (plain
prompts exact in 15 to 60 % of three to nine asked, 85 % of the pictures of clean shapes). The driver is the centre
network, the differentiable counter the density network, the judge the palette, which has nothing learned and never
takes part. Everything here is budgeted in pictures: a step of learning is one picture of each run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paperworks.claims import Lab, Skip
from paperworks.counting.counters import ClipSimilarity, DensityCounter
from paperworks.counting.losses import count_loss
from paperworks.counting.objective import Settings, draw
from paperworks.counting.optimize import optimize
from paperworks.counting.token import CountingToken
from paperworks.tiny import palette, scene_model
from paperworks.tiny.scene_training import MIDDLE
from paperworks.tiny.scenes import CLOSE, FAR, NUMBERS, Object, Scene, counted, counted_caption, pictures

SAMPLER: dict[str, Any] = {"sampler_steps": 6, "guidance": 2.0}
STEPS = 12
"""Iterations of a run; its patience is longer."""
TARGETS = (3, 6, 9)
CLASSES = (("orange", "square"), ("green", "circle"), ("yellow", "star"), ("blue", "circle"))
"""Kinds that tokens are learned for; the last was held out from the generator's training."""
OTHERS = (("purple", "star"), ("red", "triangle"), ("black", "square"), ("orange", "circle"))
"""Kinds that tokens are reused for."""
GROUND, OTHER_GROUND = "white", "mint"
GATE = {"exact": (0.15, 0.60), "valid": 0.85}


class Centres:
    """The driver: the shipped centre network."""

    name = "centre network"

    def __init__(self) -> None:
        self.network = scene_model.load_centres()

    def __call__(self, pictures: np.ndarray, names: Sequence[str]) -> list[int]:
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        return [int(n) for n in self.network.count(values, names)]


class Palette:
    """The judge: connected components of the palette's colours, all objects whatever their kind."""

    name = "palette"

    def __call__(self, pictures: np.ndarray, names: Sequence[str]) -> list[int]:
        return [int(n) for n in palette.count(pictures)]


@cache
def models() -> tuple[Any, DensityCounter, Centres, ClipSimilarity]:
    """Pipeline, counter, driver and semantic model. Raises `Skip` where they are not shipped."""
    for file in ("unet", "density.safetensors", "centres.safetensors", "clip"):
        if not (scene_model.FOLDER / file).exists():
            raise Skip(f"the scene model has no {file}: python -m paperworks.tiny build scene_model")
    pipe: Any = scene_model.load_scene_model()
    semantic = ClipSimilarity(
        scene_model.load_clip(), pipe.tokenizer, mean=(0.5,) * 3, std=(0.5,) * 3, name="CLIP of scenes"
    )
    return pipe, DensityCounter(scene_model.load_density(), name="density network"), Centres(), semantic


@cache
def mass_per_object(radius: tuple[float, float] = MIDDLE, n: int = 60) -> float:
    """The counter's mean mass of an object on drawn scenes of a radius in pixels; of `MIDDLE`, where it was trained, it
    is the static scale."""
    rng = np.random.default_rng(7)
    kinds = [CLASSES[index % len(CLASSES)] for index in range(n)]
    scenes = [
        counted(kind, int(rng.integers(1, 7)), rng, radius=float(rng.uniform(*radius))) for kind in kinds
    ]
    drawn = torch.from_numpy(pictures(scenes)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        mass = models()[1](drawn, [noun(kind) for kind in kinds])
    return float(mass.sum()) / sum(scene.count() for scene in scenes)


VIEWS = {"close-up": (CLOSE, 8.5), "far": (5.0, FAR), "": MIDDLE}
"""Radii in pixels of the objects that a caption calls so; of "" those that the counter was trained on."""


def noun(kind: tuple[str, str]) -> str:
    """What the counters are asked for: "red circles"."""
    return f"{kind[0]} {kind[1]}s"


def caption(kind: tuple[str, str], quantity: str, view: str = "", ground: str = GROUND) -> str:
    """The caption with a quantity or `{token}` before the kind."""
    return counted_caption(kind, quantity, (ground,), view)


def batch(lab: Lab) -> list[dict[str, Any]]:
    """What the runs ask: every target of every class, half of them close-up and half far; a seed each."""
    views, first = ("close-up", "far"), 100 + 1000 * lab.seed
    return [
        {"kind": kind, "count": n, "view": views[(row + column) % 2], "seed": first + row * len(CLASSES) + column}
        for row, n in enumerate(TARGETS)
        for column, kind in enumerate(CLASSES)
    ]  # fmt: skip


def learn(
    lab: Lab,
    asked: Sequence[dict[str, Any]],
    what: str,
    *,
    counter: Any = None,
    driver: Any = None,
    scale: str = "dynamic",
    steps: int | None = None,
) -> list[CountingToken]:
    """A token for each run: it stands in the number word's place and starts from it, so step 0 is the plain prompt.

    With the counter and driver of `models` the experiments of one `paperworks reproduce` learn the same tokens once.
    """
    if lab.scale == "full":
        raise Skip(
            "at full scale a counter and a detector of your own are needed: `paperworks counting optimize "
            "stabilityai/sdxl-turbo --counter package.module:name --driver hustvl/yolos-tiny …`, then `evaluate`"
        )

    def compute() -> Any:
        pipe, own_counter, own_driver, semantic = models()
        return optimize(
            pipe,
            [caption(one["kind"], "{token}", one["view"]) for one in asked],
            [one["count"] for one in asked],
            [noun(one["kind"]) for one in asked],
            counter or own_counter,
            driver or own_driver,
            semantic,
            seed=[one["seed"] for one in asked],
            plain=[plain(one) for one in asked],
            init_word=[NUMBERS[one["count"] - 1] for one in asked],
            scale=scale,
            static_scale=mass_per_object(),
            max_steps=STEPS if steps is None else steps,
            progress=lambda done, total, line: lab.progress(done, total, f"{what}: {line}"),
            **SAMPLER,
        )

    name = f"counting.learn {asked} {scale} {STEPS if steps is None else steps}"
    found: list[CountingToken] = lab.shared(name, compute) if counter is driver is None else compute()
    return found


def plain(one: dict[str, Any]) -> str:
    """The prompt of a run with the number word and no token."""
    return caption(one["kind"], NUMBERS[one["count"] - 1], one["view"])


def draw_plain(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
    """Pictures uint8 of prompts without a token."""
    return draw(models()[0], prompts, seeds, Settings(**SAMPLER))


def draw_with(token: CountingToken, prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
    """Pictures uint8 of prompts that have `{token}`."""
    with token.placed(models()[0]) as view:
        return draw(view, [token.written_into(one) for one in prompts], seeds, Settings(**SAMPLER))


def stacked(tokens: Sequence[CountingToken], arm: str) -> np.ndarray:
    """The `before` or `after` pictures of tokens, uint8 `[N, H, W, 3]`."""
    return np.concatenate([token.pictures[arm] for token in tokens])


def off(
    judge: Callable[..., Sequence[int]], drawn: np.ndarray, asked: Sequence[dict[str, Any]]
) -> np.ndarray:
    """Absolute errors `[N]` of pictures by a judge."""
    found = np.array(judge(drawn, [noun(one["kind"]) for one in asked]))
    return np.abs(found - np.array([one["count"] for one in asked]))


def mass_off(drawn: np.ndarray, asked: Sequence[dict[str, Any]]) -> np.ndarray:
    """Absolute errors `[N]` by the differentiable counter with the static scale."""
    values = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        mass = models()[1](values, [noun(one["kind"]) for one in asked]).numpy()
    return np.abs(mass / mass_per_object() - np.array([one["count"] for one in asked]))


def gate(drawn: np.ndarray, asked: Sequence[dict[str, Any]]) -> str:
    """What the plain pictures of an experiment say about the generator, in a sentence."""
    exact = float((off(Palette(), drawn, asked) == 0).mean())
    valid = float(np.mean([palette.is_valid(one) for one in drawn]))
    return (
        f"Plain pictures of this experiment: exact {exact:.0%}, clean shapes {valid:.0%} (n = {len(drawn)})."
    )


class Flipped:
    """A counter with the same values and the opposite gradient: the control of the direction."""

    name = "density network, sign flipped"

    def __call__(self, drawn: Tensor, names: Sequence[str]) -> Tensor:
        mass: Tensor = models()[1](drawn, names)
        return 2 * mass.detach() - mass


class Permuted:
    """A driver whose counts are handed to other runs of the batch: the control of what the driver says."""

    def __init__(self, driver: Any, n: int, seed: int) -> None:
        rng = np.random.default_rng((seed, n))
        self.order = rng.permutation(n)
        while (self.order == np.arange(n)).any():
            self.order = rng.permutation(n)
        self.driver, self.name = driver, f"{driver.name}, permuted"

    def __call__(self, drawn: np.ndarray, names: Sequence[str]) -> list[int]:
        counts = self.driver(drawn, names)
        if len(counts) != len(self.order):
            return list(counts)
        return [counts[index] for index in self.order]


def far_off(lab: Lab, least: int = 3, n: int = 12, most: int = 60) -> tuple[list[dict[str, Any]], int]:
    """The first `n` runs, by seed, whose plain picture is at least so many objects off; and how many were looked at."""
    found: list[dict[str, Any]] = []
    for first in range(0, most, len(TARGETS) * len(CLASSES)):
        asked = batch(lab)
        for one in asked:
            one["seed"] += 500 + first
        wrong = off(
            Palette(), draw_plain([plain(one) for one in asked], [one["seed"] for one in asked]), asked
        )
        found += [one for one, error in zip(asked, wrong, strict=True) if error >= least]
        if len(found) >= n:
            break
    return found[:n], first + len(asked)


def calibrated(lab: Lab, n: int = 6, most: int = 72) -> list[dict[str, Any]]:
    """The first runs, by seed, whose plain picture has objects as large as those the counter was trained on."""
    found: list[dict[str, Any]] = []
    for first in range(0, most, len(TARGETS) * len(CLASSES)):
        asked = batch(lab)
        for one in asked:
            one["seed"] += 700 + first
            one["view"] = ""
        drawn = draw_plain([plain(one) for one in asked], [one["seed"] for one in asked])
        low, high = (radius**2 for radius in MIDDLE)
        for one, picture in zip(asked, drawn, strict=True):
            areas = [item.pixels for item in palette.objects(picture, palette.LEAST)]
            if areas and low <= np.median(areas) / area_of(one["kind"][1]) <= high:
                found.append(one)
        if len(found) >= n:
            break
    return found[:n]


@cache
def area_of(shape: str) -> float:
    """Pixels of a drawn shape of radius 1, from one of radius 10."""
    drawn = np.asarray(Scene((Object("black", shape, 32, 32, 10.0),), (GROUND,), "").draw())
    return float((palette.nearest(drawn)[0] < 7).sum()) / 100


def optimise_pixels(
    start: np.ndarray, asked: Sequence[dict[str, Any]], goal: np.ndarray, steps: int, rate: float = 0.01
) -> np.ndarray:
    """The counter-fooling control: Adam on the pixels themselves, down the same static count loss, each picture until
    its loss is at most `goal`, `steps` times the token's steps at most; uint8 `[N, H, W, 3]`."""
    _, counter, _, _ = models()
    values = (torch.from_numpy(start).permute(0, 3, 1, 2).float() / 255).requires_grad_()
    optimizer = torch.optim.Adam([values], lr=rate)
    names, targets = [noun(one["kind"]) for one in asked], torch.tensor([one["count"] for one in asked])
    scale, best = torch.tensor(mass_per_object()), values.detach().clone()
    lowest = torch.full((len(asked),), float("inf"))
    for _ in range(steps):
        loss = count_loss(counter(values.clamp(0, 1), names), scale, targets)
        better = (loss.detach() < lowest) & (lowest > torch.from_numpy(goal))
        lowest = torch.where(better, loss.detach(), lowest)
        best[better] = values.detach().clamp(0, 1)[better]
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    return (best.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)

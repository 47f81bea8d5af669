"""What the experiments share: prompts of the shipped scene model, the arms that are compared, and a judge of pictures.

Two objects of one colour and two shapes: the pairs that the model gets wrong most often without a method, by leaving
one out. Put in a fixed random order, the first `CALIBRATION` served to choose the guidance scale and every method's
settings (`python -m paperworks.frap.small_scale` does it again); the experiments take theirs from the rest. The judge
is `tiny.palette`, which has learned nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch

from paperworks.attention import layers_of_size
from paperworks.claims import Skip
from paperworks.frap.baselines import AttendAndExcite, Replay, Static, SynGen
from paperworks.frap.pipeline import Method, frap_pipeline
from paperworks.frap.settings import Settings
from paperworks.frap.steering import Calls, Guide, steered
from paperworks.frap.words import Prompt, read_prompt
from paperworks.tiny import palette, scene_model
from paperworks.tiny.scenes import COLOURS, SHAPES, pair, pair_caption
from paperworks.tiny.scenes import pictures as pictures_of

STEPS, GUIDANCE = 8, 1.5
"""T and the guidance scale: where the model has room, told on calibration prompts without a method."""
CALIBRATION = 24
PAIRS, ALONE, SEED, PLAIN = 40, 60, 32, 96
"""Pictures of a method: prompts of two objects, of one, of each of three seeds, and plain samples."""
MAPS = (8, 8)
FRAP = Settings(steps=4, step_size=1.0, binding=1.0, normalise=False, map_size=MAPS)
STATIC = Static(1.1)
EXCITE = AttendAndExcite(steps=4, step_size=8.0, variant="lean", refine=5, map_size=MAPS)
SYNGEN = SynGen(steps=4, step_size=8.0, map_size=MAPS)


@dataclass(frozen=True)
class Asked:
    """A prompt with the (colour, shape) pairs that it names, and its objects as `frap` takes them."""

    text: str
    kinds: tuple[tuple[str, str], ...]

    @property
    def objects(self) -> dict[str, list[str]]:
        return {shape: [colour] for colour, shape in self.kinds}


def asked(n: int, seed: int = 0, *, calibration: bool = False) -> list[Asked]:
    """`n` prompts of two objects, of those for calibration or of the others, as the seed draws them."""
    kinds = list(itertools.product(COLOURS, SHAPES))
    pairs = [(a, b) for a, b in itertools.permutations(kinds, 2) if a[0] == b[0]]
    order = np.random.Generator(np.random.Philox(2024)).permutation(len(pairs))
    some = order[:CALIBRATION] if calibration else order[CALIBRATION:]
    rng = np.random.Generator(np.random.Philox(seed))
    chosen = np.concatenate([rng.permutation(some) for _ in range(-(-n // len(some)))])[:n]
    return [Asked(pair_caption(pairs[index]), pairs[index]) for index in chosen]


def alone(n: int, seed: int = 0) -> list[Asked]:
    """`n` prompts of one object: the first of each of `asked`."""
    return [Asked(pair_caption(one.kinds[:1]), one.kinds[:1]) for one in asked(n, seed)]


@cache
def load() -> Any:
    """The shipped scene model as a FRAP pipeline. Raises `Skip` where it is not there."""
    if not (scene_model.FOLDER / "unet" / "diffusion_pytorch_model.safetensors").is_file():
        raise Skip("the scene model is not there: python -m paperworks.tiny build scene_model")
    return frap_pipeline(scene_model.load_scene_model())


@dataclass(frozen=True)
class Drawn:
    """Pictures `[N, 64, 64, 3]` uint8 of an arm, the FRAP results of its batches, and mean(z_t²) `[T, N]` of the
    latents behind each step."""

    pictures: np.ndarray
    results: list[Any]
    energy: np.ndarray

    def weights(self) -> torch.Tensor:
        """FRAP's weights `[K + 1, N, tokens]`."""
        return torch.cat([one.weights for one in self.results], 1)

    def loss(self) -> np.ndarray:
        """The last loss that was read of each picture, `[N]`."""
        return torch.cat([one.loss[-1] for one in self.results]).numpy()


def draw(
    prompts: Sequence[Asked],
    seeds: Sequence[int],
    method: Method | None,
    *,
    texts: Sequence[str] | None = None,
    steps: int | None = None,
    guidance: float = GUIDANCE,
    batch: int = 24,
    done: Callable[[], None] = lambda: None,
) -> Drawn:
    """Draw each prompt from the noise of its seed, under a method or none.

    `texts` are drawn in place of the prompts' own, with the same objects. `done` is called after each batch.
    """
    pipe = load()
    texts = [one.text for one in prompts] if texts is None else texts
    pictures, results, energies = [], [], []
    for first in range(0, len(prompts), batch):
        rows = slice(first, first + batch)
        own = method
        if isinstance(method, Replay):
            own = Replay(method.weights[:, rows])
        energy: list[torch.Tensor] = []

        def keep(
            pipe: Any, step: int, timestep: Any, state: dict[str, Any], energy: Any = energy
        ) -> dict[str, Any]:
            energy.append(state["latents"].square().mean((1, 2, 3)))
            return {}

        noise = torch.stack([scene_model.start_noise(seed) for seed in seeds[rows]])
        output = pipe(
            list(texts[rows]),
            objects=[one.objects for one in prompts[rows]],
            frap=own,
            num_inference_steps=steps or STEPS,
            guidance_scale=guidance,
            latents=noise,
            output_type="np",
            callback_on_step_end=keep,
        )
        pictures.append((output.images * 255).round().astype(np.uint8))
        results += [output.frap] if isinstance(own, Settings) and own.steps != 0 else []
        energies.append(torch.stack(energy).numpy())
        done()
    return Drawn(np.concatenate(pictures), results, np.concatenate(energies, 1))


def draw_guided(
    prompts: Sequence[Asked], seeds: Sequence[int], guide: Callable[[list[Prompt], torch.Tensor, int], Guide]
) -> tuple[np.ndarray, Calls]:
    """Pictures under a guide that is no method of the room, made from the prompts, the empty prompt's embedding and T,
    and how often the UNet ran. One batch."""
    pipe = load()
    read = [read_prompt(pipe.tokenizer, one.text, one.objects) for one in prompts]
    with torch.no_grad():
        empty = pipe.encode_prompt("", pipe.device, 1, False)[0]
    layers = layers_of_size(pipe.unet, (16, 16), MAPS)
    with steered(pipe, guide(read, empty, STEPS), layers, len(read), STEPS) as calls:
        pictures = draw(prompts, seeds, None, batch=len(prompts)).pictures
    return pictures, calls


def shuffled(weights: torch.Tensor, texts: Sequence[str], seed: int = 0) -> Replay:
    """FRAP's weights `[K + 1, N, tokens]`, those of each prompt permuted among all its words."""
    tokenizer, found = load().tokenizer, weights.clone()
    rng = np.random.Generator(np.random.Philox(seed + 1))
    for row, text in enumerate(texts):
        end = len(tokenizer(text)["input_ids"]) - 1
        order = np.concatenate([[0], 1 + rng.permutation(end - 1), np.arange(end, weights.shape[2])])
        found[:, row] = weights[:, row, torch.from_numpy(order)]
    return Replay(found)


def rewritten(one: Asked) -> str:
    """The prompt in a longer form, by a template: every word of its objects survives.

    Of five templates one that costs pairs without losing an object of every picture, on calibration prompts without a
    method: the more a prompt reads like the captions of scenes of one kind, the more surely the model draws one kind.
    """
    (colour, shape), (_, other) = one.kinds
    return f"a big {colour} {shape} and a small {colour} {other} on the white ground, close-up"


def drawings(n: int, seed: int) -> np.ndarray:
    """`[n, 64, 64, 3]` drawings of the experiments' prompts."""
    rng = np.random.Generator(np.random.Philox(seed))
    return pictures_of([pair(one.kinds, rng) for one in asked(n, seed)])


def image_features() -> Callable[[np.ndarray], np.ndarray]:
    """Pictures to features `[N, 64]` of the shipped CLIP. Raises `Skip` where it is not there."""
    if not (scene_model.FOLDER / "clip" / "config.json").is_file():
        raise Skip("the scene model's CLIP is not there: python -m paperworks.tiny build scene_model")
    clip = scene_model.load_clip()

    @torch.no_grad()
    def features(pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).float().permute(0, 3, 1, 2) / 127.5 - 1
        return clip.get_image_features(pixel_values=pixels).pooler_output.double().numpy()

    return features


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """The Fréchet distance of two sets of features `[N, D]` as if both were normal:
    |μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁C₂)^½)."""
    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values = np.linalg.eigvals(c1 @ c2).real.clip(0)  # tr (C₁C₂)^½ is the sum of their roots
    gap = float(((first.mean(0) - second.mean(0)) ** 2).sum())
    return gap + float(np.trace(c1) + np.trace(c2) - 2 * np.sqrt(values).sum())


def bound(pictures: np.ndarray, prompts: Sequence[Asked]) -> np.ndarray:
    """The share of the (colour, shape) pairs of each prompt that are on its picture, `[N]`."""
    return np.array(
        [
            np.mean([kind in {item.kind for item in palette.objects(picture)} for kind in one.kinds])
            for picture, one in zip(pictures, prompts, strict=True)
        ]
    )


def presence(pictures: np.ndarray, prompts: Sequence[Asked]) -> np.ndarray:
    """The share of the shapes of each prompt that are on its picture in any colour, `[N]`."""
    return np.array(
        [
            np.mean([shape in {item.shape for item in palette.objects(picture)} for _, shape in one.kinds])
            for picture, one in zip(pictures, prompts, strict=True)
        ]
    )


def calibrate(n: int = 48) -> None:
    """Print what the settings were chosen by: shares of pairs found on calibration prompts."""
    prompts = asked(n, calibration=True)
    seeds = range(500_000, 500_000 + n)
    arms: dict[str, Method | None] = {"plain": None}
    for normalise, sizes in ((True, (0.25, 1.0, 4.0)), (False, (1.0, 4.0, 16.0))):
        for reduce in ("mean", "max"):
            for size in sizes:
                name = f"frap, {'renormalised' if normalise else 'raw'}, {reduce}, step size {size:g}"
                arms[name] = replace(FRAP, normalise=normalise, reduce=reduce, step_size=size)
    arms |= {
        f"frap as chosen, but binding {size:g}": replace(FRAP, binding=size) for size in (0.0, 0.3, 1.0, 3.0)
    }
    arms |= {f"static {size:g}": Static(size) for size in (0.9, 1.1, 1.2)}
    arms |= {
        f"attend-and-excite, step size {size:g}": replace(EXCITE, step_size=size) for size in (2.0, 8.0, 32.0)
    }
    arms |= {f"syngen, step size {size:g}": replace(SYNGEN, step_size=size) for size in (2.0, 8.0, 32.0)}
    for name, method in arms.items():
        pictures = draw(prompts, seeds, method).pictures
        found, true = bound(pictures, prompts), 100 * palette.truth_to_palette(pictures)
        print(
            f"{name:42} pairs found {100 * found.mean():5.1f} %, pixels true to the palette {true:5.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    calibrate()

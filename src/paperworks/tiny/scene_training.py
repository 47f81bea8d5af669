"""How `scene_model` is made: the autoencoder, the drawing model with its text encoder, and what looks at the pictures.

Every part is saved as it is trained and resumed; a GPU makes all of them in minutes, two cores in some hours.
"""

from __future__ import annotations

import copy
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paperworks.errors import require
from paperworks.files import write_json
from paperworks.tiny import scene_model as m
from paperworks.tiny.scene_counters import CELL, KINDS, CentreNetwork, DensityNetwork
from paperworks.tiny.scene_model import FOLDER
from paperworks.tiny.scenes import COLOURS, SHAPES, SIZE, Scene, counted, mixed, pictures, sample_many
from paperworks.training import fit

SCENES = 100_000
"""Pictures that the autoencoder and the drawing model are trained on."""
BATCH = {"vae": 128, "unet": 256, "few_steps": 64, "counters": 64, "clip": 256}
TRAINED_STEPS = {"vae": 4000, "unet": 1500, "few_steps": 330, "density": 2000, "centres": 2000, "clip": 1200}
RATES = {"vae": 1e-3, "unet": 1e-3, "few_steps": 1.5e-4, "density": 2e-3, "centres": 2e-3, "clip": 1e-3}
AVERAGES = {
    "vae": 0.999,
    "unet": 0.9995,
    "few_steps": 0.993,
    "density": 0.999,
    "centres": 0.999,
    "clip": 0.999,
}
"""Decay of the average of the weights."""
FEW_STEPS = (6, 6, 6, 8, 8, 12)
"""Steps of sampling whose noise levels the drawing model is trained on at the end, as often as they stand here."""
DROPOUT = 0.1
"""Share of captions that are left out, so that guidance works."""
MIDDLE = (5.5, 6.1)
"""Radii of the objects that the density counter is trained on."""


def build(
    out: str | Path = FOLDER,
    *,
    steps: int | None = None,
    seed: int = 0,
    precision: str | None = None,
    snapshots: Sequence[int] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Train everything and write it to `out` in half precision; what was measured.

    `steps` are those of the drawing model, the others in proportion. `snapshots` are steps at which its averaged
    weights are written to `out`/`snapshots`.
    """
    require("frap", "torch", "transformers", "diffusers", "accelerate", "PIL")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    out, work = Path(out), Path(out) / "work"
    work.mkdir(parents=True, exist_ok=True)
    share = (steps or TRAINED_STEPS["unet"]) / TRAINED_STEPS["unet"]
    todo = {name: max(2, round(share * n)) for name, n in TRAINED_STEPS.items()}
    precision = precision or ("bf16" if device == "cuda" else "no")
    facts: dict[str, Any] = {
        "seed": seed, "scenes": SCENES, "steps": todo,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "precision": precision,
        "python": platform.python_version(), "torch": torch.__version__, "curves": {}, "seconds": {},
    }  # fmt: skip
    torch.manual_seed(seed)
    pipeline: Any = m.empty_pipeline(m.make_tokenizer())
    parts = Parts(seed, device, precision, work, progress, facts)
    n = SCENES if share >= 0.5 else max(256, round(SCENES * share))
    drawn, scenes = parts.timed("drawing", lambda: sample_many(seed + 1, n, processes=os.cpu_count() or 1))
    data = torch.from_numpy(drawn).to(device)
    parts.timed("vae", lambda: train_vae(parts, pipeline.vae, data, todo["vae"]))
    latents = encode(pipeline.vae, data)
    pipeline.vae.register_to_config(scaling_factor=float(1 / latents.float().std()))
    captions = [scene.caption for scene in scenes]
    few = [level for n in FEW_STEPS for level in levels_of(pipeline.scheduler, n) * (24 // n)]
    parts.timed("unet", lambda: train_unet(parts, pipeline, latents, captions, todo["unet"], snapshots))
    parts.timed(
        "few_steps", lambda: train_unet(parts, pipeline, latents, captions, todo["few_steps"], levels=few)
    )
    density, centres, clip = DensityNetwork(), CentreNetwork(), empty_clip(pipeline.tokenizer)
    parts.timed("density", lambda: train_density(parts, density, todo["density"]))
    parts.timed("centres", lambda: train_centres(parts, centres, todo["centres"]))
    parts.timed("clip", lambda: train_clip(parts, clip, pipeline.tokenizer, data, scenes, todo["clip"]))
    save(out, pipeline, density, centres, clip)
    pipeline.set_progress_bar_config(disable=True)
    facts["gates"] = parts.timed("gates", lambda: m.gates(pipeline.to(device)))
    modules: tuple[nn.Module, ...] = (
        pipeline.vae, pipeline.unet, pipeline.text_encoder, density, centres, clip,
    )  # fmt: skip
    facts["parameters"] = sum(p.numel() for module in modules for p in module.parameters())
    facts["tokens"] = todo["unet"] * BATCH["unet"] * m.TOKENS
    write_json(out / "training.json", facts)
    return facts


class Parts:
    """What the parts of a build share: seed, device, precision, the folder to resume from, and the facts."""

    def __init__(
        self, seed: int, device: str, precision: str, work: Path, progress: Any, facts: dict[str, Any]
    ) -> None:
        self.seed, self.device, self.precision = seed, device, precision
        self.work, self.progress, self.facts = work, progress, facts

    def timed(self, name: str, run: Callable[[], Any]) -> Any:
        """What `run` returns; its seconds go to the facts."""
        start = time.perf_counter()
        result = run()
        self.facts["seconds"][name] = round(time.perf_counter() - start, 1)
        return result

    def fit(
        self, name: str, modules: dict[str, nn.Module], batch: Any, loss: Any, steps: int, **options: Any
    ) -> None:
        """`training.fit`, with the curve kept."""
        self.facts["curves"][name] = fit(
            nn.ModuleDict(modules), batch, loss, steps=steps, rate=RATES[name], warmup=max(1, min(200, steps // 10)),
            seed=self.seed, precision=self.precision, folder=self.work, progress=self.progress, what=name,
            average=AVERAGES[name], **options,
        )  # fmt: skip


def floats(pictures: Tensor) -> Tensor:
    """Pictures `[B, H, W, 3]` uint8 as `[B, 3, H, W]` in 0 to 1."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def _rows(generator: torch.Generator, n: int, size: int) -> Tensor:
    return torch.randint(n, (size,), generator=generator, device=generator.device)


def train_vae(parts: Parts, vae: Any, data: Tensor, steps: int) -> None:
    """L1 and a weak pull of the latents to a standard normal."""
    vae.to(parts.device)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        own = 2 * floats(data[_rows(generator, len(data), BATCH["vae"])]) - 1
        return own, torch.randn(len(own), 4, SIZE // 4, SIZE // 4, generator=generator, device=own.device)

    def loss(own: Tensor, noise: Tensor) -> Tensor:
        found = vae.encode(own).latent_dist
        again = vae.decode(found.mean + found.std * noise).sample
        return (again.float() - own).abs().mean() + 1e-6 * found.kl().float().mean()

    parts.fit("vae", {"vae": vae}, batch, loss, steps)


@torch.no_grad()
def encode(vae: Any, data: Tensor) -> Tensor:
    """The means of the latents `[N, 4, H/4, W/4]`, not yet scaled."""
    return torch.cat([vae.encode(2 * floats(part) - 1).latent_dist.mean for part in data.split(512)])


def train_unet(
    parts: Parts,
    pipeline: Any,
    latents: Tensor,
    captions: Sequence[str],
    steps: int,
    snapshots: Sequence[int] = (),
    levels: Sequence[int] = (),
) -> None:
    """The prediction of `v`; the text encoder is trained along. With `levels`, on these noise levels alone."""
    name = "few_steps" if levels else "unet"
    unet, text, scheduler = (
        pipeline.unet.to(parts.device),
        pipeline.text_encoder.to(parts.device),
        pipeline.scheduler,
    )
    ids = pipeline.tokenizer(
        [*captions, ""], padding="max_length", truncation=True, max_length=m.TOKENS, return_tensors="pt"
    ).input_ids.to(parts.device)
    latents = latents.float() * pipeline.vae.config.scaling_factor
    keep = scheduler.alphas_cumprod.to(parts.device)
    drawn_from = torch.tensor(list(levels) or range(len(keep)), device=parts.device)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        rows = _rows(generator, len(latents), BATCH[name])
        clean = latents[rows]
        dropped = torch.rand(len(rows), generator=generator, device=clean.device) < DROPOUT
        tokens = ids[torch.where(dropped, len(captions), rows)]
        times = drawn_from[_rows(generator, len(drawn_from), len(rows))]
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        a, b = keep[times, None, None, None].sqrt(), (1 - keep[times, None, None, None]).sqrt()
        return a * clean + b * noise, times, tokens, a * noise - b * clean

    def loss(noisy: Tensor, times: Tensor, tokens: Tensor, velocity: Tensor) -> Tensor:
        return nn.functional.mse_loss(unet(noisy, times, text(tokens)[0]).sample.float(), velocity)

    def after(step: int, averages: nn.ModuleDict) -> None:
        if step in snapshots:
            folder = parts.work.parent / "snapshots"
            folder.mkdir(exist_ok=True)
            _write(folder / f"step_{step}.safetensors", averages)

    parts.fit(name, {"unet": unet, "text": text}, batch, loss, steps, weight_decay=1e-3, after=after)


def levels_of(scheduler: Any, n: int) -> list[int]:
    """The noise levels of a sampling of `n` steps."""
    own = copy.deepcopy(scheduler)
    own.set_timesteps(n)
    return [int(time) for time in own.timesteps]


def _targets(scenes: Sequence[Scene]) -> tuple[np.ndarray, np.ndarray]:
    """Of each scene a density `[kinds, H, W]` of mass one an object, and classes `[3, H, W]`: heat, colour, shape."""
    side = SIZE // CELL
    cells = (np.arange(side) + 0.5) * CELL
    density = np.zeros((len(scenes), len(KINDS), side, side), np.float32)
    classes = np.zeros((len(scenes), 3, side, side), np.float32)
    classes[:, 1:] = -1
    for number, scene in enumerate(scenes):
        for one in scene.objects:
            gauss = np.exp(-((cells[None] - one.x) ** 2 + (cells[:, None] - one.y) ** 2) / (2 * 4.0**2))
            density[number, KINDS.index(one.kind)] += gauss / gauss.sum()
            row, column = min(side - 1, int(one.y / CELL)), min(side - 1, int(one.x / CELL))
            near = np.exp(
                -((cells[None] - cells[column]) ** 2 + (cells[:, None] - cells[row]) ** 2) / (2 * 3.0**2)
            )
            classes[number, 0] = np.maximum(classes[number, 0], near)
            classes[number, 1, row, column] = list(COLOURS).index(one.colour)
            classes[number, 2, row, column] = SHAPES.index(one.shape)
    return density, classes


def _drawn(n: int, seed: int, radius: tuple[float, float] | None) -> tuple[Tensor, list[Scene]]:
    """Scenes of any kinds, those held out from the drawing model too."""
    rng, found = np.random.Generator(np.random.Philox(seed)), []
    for index in range(n):
        own = None if radius is None else float(rng.uniform(*radius))
        first, second = (KINDS[i] for i in rng.choice(len(KINDS), 2, replace=False))
        if index % 4:
            found.append(counted(first, int(rng.integers(1, 10)), rng, radius=own))
        else:
            found.append(
                mixed((first, second), (int(rng.integers(1, 5)), int(rng.integers(1, 5))), rng, radius=own)
            )
    return torch.from_numpy(pictures(found)), found


def train_density(parts: Parts, network: DensityNetwork, steps: int) -> None:
    """Squares of the difference to Gaussians of mass one, and of the difference of the masses."""
    drawn, scenes = _drawn(min(8_000, 64 * steps), parts.seed + 11, MIDDLE)
    data, targets = drawn.to(parts.device), torch.from_numpy(_targets(scenes)[0]).to(parts.device)
    network.to(parts.device)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = _rows(generator, len(data), BATCH["counters"])
        return floats(data[rows]), targets[rows]

    def loss(own: Tensor, target: Tensor) -> Tensor:
        found = network.potentials(own).float()
        apart = (found.sum((2, 3)) - target.sum((2, 3))) ** 2
        return 10 * ((found - target) ** 2).sum((1, 2, 3)).mean() + 0.1 * apart.sum(1).mean()

    parts.fit("density", {"network": network}, batch, loss, steps)


def train_centres(parts: Parts, network: CentreNetwork, steps: int) -> None:
    """Focal loss of the centres and cross-entropy of colour and shape there, under blur and noise."""
    drawn, scenes = _drawn(min(8_000, 64 * steps), parts.seed + 12, None)
    data, targets = drawn.to(parts.device), torch.from_numpy(_targets(scenes)[1]).to(parts.device)
    network.to(parts.device)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = _rows(generator, len(data), BATCH["counters"])
        own, target = floats(data[rows]), targets[rows]
        if step % 2:
            own = nn.functional.avg_pool2d(own, 3, 1, 1, count_include_pad=False)
        noise = torch.randn(own.shape, generator=generator, device=own.device)
        return (own + 0.06 * torch.rand((), generator=generator, device=own.device) * noise).clamp(
            0, 1
        ), target

    def loss(own: Tensor, target: Tensor) -> Tensor:
        logits = network(own).float()
        heat, log = logits[:, 0].sigmoid(), nn.functional.logsigmoid
        at = target[:, 0] == 1
        found = (
            -torch.where(
                at,
                (1 - heat) ** 2 * log(logits[:, 0]),
                (1 - target[:, 0]) ** 4 * heat**2 * log(-logits[:, 0]),
            ).sum()
            / at.sum()
        )
        colours, shapes = logits[:, 1 : 1 + len(COLOURS)], logits[:, 1 + len(COLOURS) :]
        for own_logits, own_target in ((colours, target[:, 1]), (shapes, target[:, 2])):
            found = found + nn.functional.cross_entropy(own_logits, own_target.long(), ignore_index=-1)
        return found

    parts.fit("centres", {"network": network}, batch, loss, steps)


def empty_clip(tokenizer: Any) -> Any:
    """A `CLIPModel` of scenes with new weights."""
    from transformers import CLIPConfig, CLIPModel

    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPModel(
        CLIPConfig(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                "num_attention_heads": 4, "max_position_embeddings": m.TOKENS, **ids,
            },
            vision_config={
                "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
                "image_size": SIZE, "patch_size": 8,
            },
            projection_dim=64,
        )
    )  # fmt: skip


def train_clip(
    parts: Parts, clip: Any, tokenizer: Any, data: Tensor, scenes: Sequence[Scene], steps: int
) -> None:
    """Contrastive on pictures and the names of what is on them; the same names are no negatives of each other."""
    clip.to(parts.device)
    names = [" and ".join(sorted({" ".join(one.kind) for one in scene.objects})) for scene in scenes]
    classes = {name: number for number, name in enumerate(sorted(set(names)))}
    same = torch.tensor([classes[name] for name in names], device=parts.device)
    tokens = tokenizer(list(classes), padding="max_length", max_length=m.TOKENS, return_tensors="pt")
    ids, mask = tokens.input_ids.to(parts.device), tokens.attention_mask.to(parts.device)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        rows = _rows(generator, len(data), BATCH["clip"])
        return same[rows], ids[same[rows]], mask[same[rows]], 2 * floats(data[rows]) - 1

    def loss(own: Tensor, own_ids: Tensor, own_mask: Tensor, pixels: Tensor) -> Tensor:
        out = clip(input_ids=own_ids, attention_mask=own_mask, pixel_values=pixels)
        target = (own[:, None] == own[None]).float()
        target = target / target.sum(1, keepdim=True)
        both = out.logits_per_image.float(), out.logits_per_text.float()
        return (
            sum(
                (nn.functional.cross_entropy(logits, target) for logits in both),
                torch.zeros((), device=own.device),
            )
            / 2
        )

    parts.fit("clip", {"clip": clip}, batch, loss, steps, weight_decay=1e-2)


def _write(path: Path, module: nn.Module) -> None:
    from safetensors.torch import save_file

    save_file({name: t.detach().half().cpu().contiguous() for name, t in module.state_dict().items()}, path)


def save(out: Path, pipeline: Any, density: nn.Module, centres: nn.Module, clip: Any) -> None:
    """Everything in half precision, as it is shipped."""
    half = copy.deepcopy(pipeline).to("cpu", torch.float16)
    half.save_pretrained(out)
    copy.deepcopy(clip).to("cpu").half().save_pretrained(out / "clip")
    _write(out / "density.safetensors", density)
    _write(out / "centres.safetensors", centres)

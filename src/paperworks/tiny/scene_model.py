"""A small real text-to-image model: a `StableDiffusionPipeline` that draws the scenes of `tiny.scenes`.

`AutoencoderKL`, `CLIPTextModel`, `UNet2DConditionModel` and `DDIMScheduler` as in Stable Diffusion, of six million
parameters together, and beside it what looks at its pictures: a density counter, a centre detector (`scene_counters`)
and a `CLIPModel`. `python -m paperworks.tiny build scene_model` makes them again; `scene_model/README.md` is the card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from paperworks.errors import require
from paperworks.tiny import palette
from paperworks.tiny.scenes import (
    COLOURS,
    GROUNDS,
    NUMBERS,
    SHAPES,
    SIZE,
    counted_caption,
    kinds,
    pair_caption,
)

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPModel, CLIPTokenizer

    from paperworks.tiny.scene_counters import CentreNetwork, DensityNetwork

FOLDER = Path(__file__).with_name("scene_model")
TOKENS = 24
"""Tokens of a prompt at most."""
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = (
    *COLOURS, *GROUNDS, *NUMBERS, *SHAPES, *(f"{shape}s" for shape in SHAPES), "object", "objects", "a", "an", "and",
    "photo", "of", "on", "some", "few", "several", "many", "close", "up", "far", "with", "the", "ground", "big",
    "small",
)  # fmt: skip
IN_PIECES = "triangle"
"""The word of the vocabulary that is two tokens."""
WIDTH = 128
"""Of the text encoder."""
STEPS, GUIDANCE = 8, 2.0
"""Steps and guidance that the pipeline draws well with."""
VAE: dict[str, Any] = {
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "sample_size": SIZE,
    "mid_block_add_attention": False,
}
UNET: dict[str, Any] = {
    "sample_size": SIZE // 4,
    "block_out_channels": (64, 128),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 4,  # the number of heads, by a name that diffusers keeps
    "norm_num_groups": 16,
}
TEXT: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": TOKENS,
    "projection_dim": WIDTH,
}
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 1,
}


def make_tokenizer() -> CLIPTokenizer:
    """A `CLIPTokenizer` whose vocabulary has each of `WORDS` as one token, but for `IN_PIECES`.

    The merges are learned here and not with `tokenizers`, which breaks ties in another way at every run.
    """
    from transformers import CLIPTokenizer

    signs = "abcdefghijklmnopqrstuvwxyz0123456789.,-"
    words = [[*word[:-1], f"{word[-1]}</w>"] for word in sorted(set(WORDS))]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for word in words for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [_merged(word, best) for word in words]
    merges.remove(next(pair for pair in merges if "".join(pair) == f"{IN_PIECES}</w>"))
    entries = [*signs, *(f"{sign}</w>" for sign in signs), *("".join(pair) for pair in merges), START, END]
    return CLIPTokenizer(
        vocab={entry: number for number, entry in enumerate(dict.fromkeys(entries))},
        merges=cast(Any, merges),
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=TOKENS,
    )


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for piece in word:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return found


def empty_pipeline(tokenizer: Any) -> StableDiffusionPipeline:
    """The pipeline with weights drawn anew from torch's generator."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT, vocab_size=len(tokenizer), **ids)),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(**UNET),
        scheduler=DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def load_scene_model(folder: str | Path = FOLDER) -> StableDiffusionPipeline:
    """The shipped pipeline in float32, with no progress bar."""
    require("frap", "torch", "transformers", "diffusers")
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        Path(folder), dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_density(folder: str | Path = FOLDER) -> DensityNetwork:
    """The counter that has a gradient, in float32."""
    from paperworks.tiny.scene_counters import DensityNetwork

    return _loaded(DensityNetwork(), Path(folder) / "density.safetensors")


def load_centres(folder: str | Path = FOLDER) -> CentreNetwork:
    """The detector, in float32."""
    from paperworks.tiny.scene_counters import CentreNetwork

    return _loaded(CentreNetwork(), Path(folder) / "centres.safetensors")


def load_clip(folder: str | Path = FOLDER) -> CLIPModel:
    """The `CLIPModel` of scenes in float32; its tokenizer is the pipeline's, and pixels are `2 x − 1`."""
    import torch
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(Path(folder) / "clip", dtype=torch.float32).eval()


def _loaded(network: Any, path: Path) -> Any:
    from safetensors.torch import load_file

    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return network.eval().requires_grad_(False)


def draw(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    batch_size: int = 64,
) -> np.ndarray:
    """Pictures `[N, SIZE, SIZE, 3]` uint8 of prompts, each from the noise of its seed."""
    import torch

    found = []
    for first in range(0, len(prompts), batch_size):
        noise = torch.stack([start_noise(seed) for seed in seeds[first : first + batch_size]])
        pictures = pipeline(
            list(prompts[first : first + batch_size]), num_inference_steps=steps, guidance_scale=guidance,
            latents=noise.to(pipeline.device, pipeline.unet.dtype), output_type="np",
        ).images  # fmt: skip
        found.append((pictures * 255).round().astype(np.uint8))
    return np.concatenate(found)


def start_noise(seed: int) -> Any:
    """The noise `[4, 16, 16]` of a seed, the same on every device."""
    import torch

    return torch.randn(4, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(seed))


def gates(pipeline: Any, n: int = 168, seed: int = 0, **options: Any) -> dict[str, float]:
    """What decides whether the model is fit for the experiments, by the palette judge and without any method.

    `counts`: exact for three to nine asked (meant to lie within 0.15 and 0.60); `error`: objects that it is off by on
    average; `valid`: every component is one clean shape (at least 0.85); `bound`: pairs of colours and shapes all there
    (0.20 to 0.85); `presence`: shapes there in any colour; `single`: one object alone, right.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    known = kinds()
    prompts, targets = [], []
    for index in range(n):
        kind, target = known[rng.integers(len(known))], 3 + index % 7
        prompts.append(counted_caption(kind, NUMBERS[target - 1], (str(rng.choice(list(GROUNDS))),)))
        targets.append(target)
    seeds = [10_000 * seed + index for index in range(n)]
    pictures = draw(pipeline, prompts, seeds, **options)
    found = palette.count(pictures)
    wanted = [tuple(known[i] for i in rng.choice(len(known), 2, replace=False)) for _ in range(n)]
    pairs = draw(pipeline, [pair_caption(two) for two in wanted], seeds, **options)
    alone = draw(pipeline, [pair_caption(two[:1]) for two in wanted], seeds, **options)
    bound, presence, single = [], [], []
    for two, picture, one in zip(wanted, pairs, alone, strict=True):
        there = palette.objects(picture)
        bound.append(all(kind in [item.kind for item in there] for kind in two))
        shapes = [item.shape for item in there]
        presence.append(np.mean([shape in shapes for _, shape in two]))
        single.append([item.kind for item in palette.objects(one)] == [two[0]])
    return {
        "counts": float(np.mean(found == np.array(targets))),
        "error": float(np.mean(np.abs(found - np.array(targets)))),
        "valid": float(np.mean([palette.is_valid(picture) for picture in pictures])),
        "bound": float(np.mean(bound)),
        "presence": float(np.mean(presence)),
        "single": float(np.mean(single)),
    }

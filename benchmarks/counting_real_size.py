"""A step of learning at the real size of Stable Diffusion 1.5, with random weights: seconds and peak memory.

UNet, VAE and text encoder have the released configurations, latents are 64 × 64, weights are drawn here; nothing is
downloaded. The forward pass alone, a step, and a step with gradient checkpointing.

    python benchmarks/counting_real_size.py --mode plain | step | checkpointing
    python benchmarks/counting_real_size.py            # each in a process of its own
"""

import argparse
import resource
import subprocess
import sys
import time

import torch

MODES = ("plain", "step", "checkpointing")


def sd15():
    """The pipeline's parts with the configurations of Stable Diffusion 1.5."""
    from diffusers import (
        AutoencoderKL,
        EulerAncestralDiscreteScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    from paperworks.tiny.scene_model import make_tokenizer

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 77
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=77, eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4, sample_size=512,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer,
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def measure(mode):
    from paperworks.counting.objective import Objective, Settings, draw, runs_from
    from paperworks.counting.token import init_vectors
    from paperworks.sampling import frozen

    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = sd15().to(device)
    settings = Settings(scale="static", checkpointing=mode == "checkpointing")
    size = sum(
        weight.numel() for part in (pipe.unet, pipe.vae, pipe.text_encoder) for weight in part.parameters()
    )
    start = time.perf_counter()
    if mode == "plain":
        draw(pipe, ["a photo of some circles"], [0], settings)
    else:
        objective = Objective(
            pipe, runs_from("a photo of {token} circles", 6, "circles", 0), settings,
            counter=lambda pictures, names: pictures.mean(1),
        )  # fmt: skip
        with frozen(pipe.unet, pipe.vae, pipe.text_encoder):
            leaf = init_vectors(pipe, ["some"])["clip_l"][None].requires_grad_()
            pictures = objective.draw({"clip_l": leaf}, [0])
            objective.judge(pictures, [0], torch.ones(1, 1, device=device)).loss.sum().backward()
            assert leaf.grad.abs().sum() > 0
    if device == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{mode}: {size / 1e6:.0f} M parameters on {device}, {time.perf_counter() - start:.1f} s, peak {peak:.1f} GiB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=MODES)
    mode = parser.parse_args().mode
    if mode:
        measure(mode)
    else:
        for one in MODES:
            subprocess.run([sys.executable, __file__, "--mode", one], check=True)

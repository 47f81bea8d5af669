"""Small pipelines of the real classes with random weights, and what tests do with them."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from paperworks.frap import FrapStableDiffusionPipeline, FrapStableDiffusionXLPipeline, Settings
from paperworks.tiny.scene_model import make_tokenizer

PROMPT = "a red circle and a blue square"
OBJECTS = {"circle": ["red"], "square": ["blue"]}
MAPS = (8, 8)
SETTINGS = Settings(steps=3, step_size=5.0, map_size=MAPS)
CALL = {"num_inference_steps": 5, "guidance_scale": 3.0, "output_type": "latent"}
UNET = {
    "sample_size": 16,
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
VAE = {
    "block_out_channels": (8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 64,
}


def text_config(tokenizer, width):
    return CLIPTextConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=width, max_position_embeddings=24, vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def loud(unet):
    """Random weights whose cross-attention tells tokens apart, as that of a trained model does."""
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if "attn2.to_q" in name or "attn2.to_k" in name:
                weight.mul_(6)
    return unet.eval()


def stable_diffusion(**scheduler):
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE).eval(),
        text_encoder=CLIPTextModel(text_config(tokenizer, 32)).eval(),
        tokenizer=tokenizer,
        unet=loud(UNet2DConditionModel(**UNET, cross_attention_dim=32)),
        scheduler=DDIMScheduler(clip_sample=False, **scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stable_diffusion_xl():
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    second = make_tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL(**VAE).eval(),
        text_encoder=CLIPTextModel(text_config(tokenizer, 32)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(text_config(second, 16)).eval(),
        tokenizer=tokenizer,
        tokenizer_2=second,
        unet=loud(
            UNet2DConditionModel(
                **UNET, cross_attention_dim=48, addition_embed_type="text_time", addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=40,
            )
        ),
        scheduler=DDIMScheduler(clip_sample=False),
        add_watermarker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def frap(base=None):
    base = base or stable_diffusion()
    own = (
        FrapStableDiffusionXLPipeline
        if isinstance(base, StableDiffusionXLPipeline)
        else FrapStableDiffusionPipeline
    )
    return own.from_pipe(base)


def noise(n=1, seed=5, size=(16, 16)):
    return torch.randn(n, 4, *size, generator=torch.Generator().manual_seed(seed))

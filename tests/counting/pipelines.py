"""Small pipelines of the real classes with weights drawn from a seed."""

import torch

from paperworks.tiny import scene_model

WORDS = scene_model.WORDS


def stable_diffusion(seed=0, **scheduler):
    """`StableDiffusionPipeline` with the shipped model's configuration and random weights."""
    torch.manual_seed(seed)
    pipe = scene_model.empty_pipeline(scene_model.make_tokenizer())
    return _quiet(pipe)


def sdxl(seed=0):
    """`StableDiffusionXLPipeline` of two text encoders, 16 and 24 wide, on latents of 8 x 8."""
    from diffusers import (
        AutoencoderKL,
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    tokenizer, second = scene_model.make_tokenizer(), scene_model.make_tokenizer()

    def text(width):
        return CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=32, num_hidden_layers=3,
            num_attention_heads=2, max_position_embeddings=scene_model.TOKENS, projection_dim=20,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, hidden_act="gelu",
        )  # fmt: skip

    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=40, attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 20,
        transformer_layers_per_block=(1, 1),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=16,
    )  # fmt: skip
    return _quiet(
        StableDiffusionXLPipeline(
            vae=vae, unet=unet, tokenizer=tokenizer, tokenizer_2=second, text_encoder=CLIPTextModel(text(16)),
            text_encoder_2=CLIPTextModelWithProjection(text(24)),
            scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"), add_watermarker=False,
        )
    )  # fmt: skip


def _quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return pipe

"""Tiny random classifiers of every supported encoder, and inputs for them."""

from __future__ import annotations

import torch

_LAYERS = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_labels": 3,
}
_TEXT = {**_LAYERS, "vocab_size": 97, "max_position_embeddings": 64, "pad_token_id": 1}
_IMAGE = {**_LAYERS, "image_size": 32, "patch_size": 8}
_SPECS = {
    "bert": ("Bert", _TEXT),
    "roberta": ("Roberta", _TEXT),
    "distilbert": (
        "DistilBert",
        {"vocab_size": 97, "dim": 48, "hidden_dim": 64, "n_layers": 3, "n_heads": 4, "num_labels": 3},
    ),
    "deberta_v2": (
        "DebertaV2",
        {**_TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    ),
    "modernbert": (
        "ModernBert",
        {
            **_TEXT,
            "num_hidden_layers": 4,
            "intermediate_size": 48,  # the projection of its feed-forward block, `Wo`, then looks like the attention's
            "local_attention": 6,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "cls_token_id": 0,
            "sep_token_id": 2,
        },
    ),
    "layoutlm": ("LayoutLM", {**_TEXT, "max_2d_position_embeddings": 1001}),
    "layoutlmv3": (
        "LayoutLMv3",
        {
            **_TEXT,
            "max_2d_position_embeddings": 1001,
            "coordinate_size": 8,
            "shape_size": 8,
            "input_size": 32,
            "patch_size": 16,
        },
    ),
    "lilt": ("Lilt", {**_TEXT, "max_2d_position_embeddings": 1001, "channel_shrink_ratio": 2}),
    "vit": ("ViT", _IMAGE),
    "deit": ("DeiT", _IMAGE),
    "dinov2": ("Dinov2", _IMAGE),
    "beit": ("Beit", {**_IMAGE, "use_relative_position_bias": True}),
    "swin": (
        "Swin",
        {
            "image_size": 32,
            "patch_size": 4,
            "embed_dim": 24,
            "depths": [1, 2],
            "num_heads": [2, 4],
            "window_size": 2,
            "num_labels": 3,
        },
    ),
}
FAMILIES = tuple(_SPECS)
SEQUENCE = FAMILIES[: FAMILIES.index("vit")]
BOXES = ("layoutlm", "layoutlmv3", "lilt")


def build(family: str, seed: int = 0, **changes):
    """A float32 classifier in evaluation mode, with gains and biases other than 1 and 0."""
    import transformers

    name, options = _SPECS[family]
    kind = "SequenceClassification" if family in SEQUENCE else "ImageClassification"
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**{**options, **changes})
    model = getattr(transformers, f"{name}For{kind}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def inputs(model, n: int = 3, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random inputs of `n` samples: tokens (the last sample padded) with boxes where the model has them, or images."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    side = getattr(config, "image_size", None) or getattr(config, "input_size", None)
    pixels = {} if side is None else {"pixel_values": torch.randn(n, 3, side, side, generator=generator)}
    if not hasattr(config, "vocab_size") or config.model_type == "beit":
        return pixels
    ids = torch.randint(3, config.vocab_size, (n, 12), generator=generator)
    mask = torch.ones_like(ids)
    mask[-1, 9:] = 0
    ids[mask == 0] = 1
    batch = {"input_ids": ids, "attention_mask": mask, **pixels}
    if config.model_type in BOXES:
        batch["bbox"] = torch.randint(0, 1001, (n, 12, 4), generator=generator).sort(-1).values
    return batch

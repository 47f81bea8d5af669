"""Small random models of the four architectures, with what makes each different."""

from __future__ import annotations

import torch

FAMILIES = ("llama", "llama-biases", "mistral", "qwen2", "qwen3")
_BASE = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 12,
    "max_position_embeddings": 128,
}


def build(family: str, seed: int = 0, **changes):
    """A float32 model in evaluation mode: windows for Mistral and Qwen2, biases and tied embeddings for one Llama."""
    import transformers

    special = {
        "llama": {},
        "llama-biases": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        "mistral": {"sliding_window": 7},
        "qwen2": {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
        "qwen3": {"attention_bias": True},
    }[family]
    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[family.split("-")[0]]
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(
        **{**_BASE, **special, **changes}, bos_token_id=None, eos_token_id=None
    )
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():  # gains and biases other than 1 and 0
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(model, n: int = 5, length: int = 16, seed: int = 3) -> torch.Tensor:
    """Random token ids `[n, length]`."""
    return torch.randint(
        0, model.config.vocab_size, (n, length), generator=torch.Generator().manual_seed(seed)
    )

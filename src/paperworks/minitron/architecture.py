"""The four architectures that can be cut, and what their configs say of sizes, memory and work.

A config is enough for everything here; no weight is read. `L` layers, `d` hidden size, `I` intermediate size, `H` query
heads, `G` key/value heads of `h` values each, `V` words (specification, section 3.4).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError, require

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""The `model_type`s that are supported by name."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a decoder: `qkv_bias`, `o_bias`, `mlp_bias` say which linear layers have one."""

    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False

    @property
    def head_norms(self) -> bool:
        """Whether queries and keys are normalised (Qwen3)."""
        return self.family == "qwen3"

    @property
    def hash(self) -> str:
        """A short hash: two models with the same one have comparable parts."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    @property
    def group(self) -> int:
        """`r = H / G`: the query heads that share a key/value head."""
        return self.heads // self.kv_heads

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every parameter of the checkpoint by name, with its shape, in the order of the model."""
        d, queries, keys = self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim
        yield "model.embed_tokens.weight", (self.vocabulary, d)
        for layer in range(self.layers):
            for name, shape in self._layer(d, queries, keys):
                yield f"model.layers.{layer}.{name}", shape
        yield "model.norm.weight", (d,)
        if not self.tied:
            yield "lm_head.weight", (self.vocabulary, d)

    def _layer(self, d: int, queries: int, keys: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield f"self_attn.{name}_proj.weight", (rows, d)
            if self.qkv_bias:
                yield f"self_attn.{name}_proj.bias", (rows,)
        yield "self_attn.o_proj.weight", (d, queries)
        if self.o_bias:
            yield "self_attn.o_proj.bias", (d,)
        if self.head_norms:
            yield "self_attn.q_norm.weight", (self.head_dim,)
            yield "self_attn.k_norm.weight", (self.head_dim,)
        for name, shape in (
            ("gate", (self.intermediate, d)),
            ("up", (self.intermediate, d)),
            ("down", (d, self.intermediate)),
        ):
            yield f"mlp.{name}_proj.weight", shape
            if self.mlp_bias:
                yield f"mlp.{name}_proj.bias", (shape[0],)
        yield "input_layernorm.weight", (d,)
        yield "post_attention_layernorm.weight", (d,)

    @property
    def parameters(self) -> int:
        """All parameters, those of tied embeddings once."""
        return sum(_product(shape) for _, shape in self.tensors())

    @property
    def without_embeddings(self) -> int:
        """Parameters without the embedding table and the head."""
        return self.parameters - (1 if self.tied else 2) * self.vocabulary * self.hidden

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        return sum(
            _product(s)
            for _, s in self._layer(self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim)
        )

    def cache_bytes(self, value_bytes: int = 2) -> int:
        """Bytes of keys and values that a token leaves in the cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim * value_bytes

    @property
    def flops_per_token(self) -> int:
        """Twice the weights that multiply a token, the head included, the scores of attention left out."""
        matrices = self.without_embeddings + self.vocabulary * self.hidden
        return 2 * matrices


def sizes_of(config: PretrainedConfig | dict[str, Any]) -> Sizes:
    """The sizes in a `transformers` config or its JSON.

    Raises `InputError` for another architecture, a quantised checkpoint, or a number that is missing.
    """
    raw = config if isinstance(config, dict) else config.to_dict()
    family = raw.get("model_type", "")
    if family not in FAMILIES:
        raise InputError(
            f"model type {family!r} cannot be cut: only {', '.join(FAMILIES)} are supported, whose layers and norms "
            "this library knows"
        )
    if raw.get("quantization_config"):
        raise InputError("the checkpoint is quantised: prune the unquantised one and quantise the result")
    try:
        hidden, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
        kv_heads = int(raw.get("num_key_value_heads") or heads)
        head_dim = int(raw.get("head_dim") or hidden // heads)
        layers, intermediate, vocabulary = (
            int(raw[name]) for name in ("num_hidden_layers", "intermediate_size", "vocab_size")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the config lacks a size: {error}") from error
    if heads % kv_heads:
        raise InputError(
            f"{heads} query heads cannot share {kv_heads} key/value heads: the config is damaged"
        )
    attention_bias = bool(raw.get("attention_bias", False))
    return Sizes(
        family,
        layers,
        hidden,
        intermediate,
        heads,
        kv_heads,
        head_dim,
        vocabulary,
        bool(raw.get("tie_word_embeddings", False)),
        qkv_bias=family == "qwen2" or (family in ("llama", "qwen3") and attention_bias),
        o_bias=family in ("llama", "qwen3") and attention_bias,
        mlp_bias=family == "llama" and bool(raw.get("mlp_bias", False)),
    )


def read_config(folder: str | Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint folder, or the file itself. Raises `InputError` where there is none."""
    path = Path(folder)
    path = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no config.json in {folder}: give the folder of a checkpoint") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is no model config")
    return config


def config_hash(config: PretrainedConfig | dict[str, Any]) -> str:
    """A short hash of what makes two models comparable: architecture and sizes, not paths, names or versions."""
    return sizes_of(config).hash


def model_config(raw: dict[str, Any]) -> PretrainedConfig:
    """The `transformers` config of a JSON config."""
    require("minitron", "transformers")
    from transformers import AutoConfig

    rest = {key: value for key, value in raw.items() if key != "model_type"}
    return AutoConfig.for_model(raw["model_type"], **rest)


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for side in shape:
        result *= side
    return result

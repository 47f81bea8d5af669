"""An embedding model as a backbone of the ecosystem, a pooling and a linear projection: loaded, used and saved.

A saved folder is the backbone's own checkpoint, which `AutoModel` loads without this library, with two files more:
`projection.safetensors` (to the embedding's width) and `compatible.json` (the widths, and how features are pooled).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from paperworks.backward_compatible.training import embed
from paperworks.errors import InputError

Pooling = Literal["pooler", "first", "sentence"]
FORMAT = 1
CARD = "compatible.json"
PROJECTION = "projection.safetensors"


class Embedder(nn.Module):
    """Inputs of the backbone to unit vectors `[N, D]`.

    `pooling` is "pooler" (the model's own pooled output, where it has one), "first" (the first token, CLS; the mean
    over positions of a feature map) or "sentence" (a sentence-transformers model). `card` is stored beside the weights.
    """

    def __init__(
        self,
        backbone: nn.Module,
        projection: nn.Linear | None = None,
        pooling: Pooling = "pooler",
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection: nn.Module = nn.Identity() if projection is None else projection
        self.pooling = pooling
        self.card = dict(card or {})

    def features(self, **inputs: Any) -> Tensor:
        """`[N, D]` of any length, before normalisation."""
        return self.projection(self._pooled(inputs))

    def forward(self, width: int | None = None, **inputs: Any) -> Tensor:
        """Unit vectors: all dimensions, or the first `width` for a gallery of an older model."""
        return embed(self.features(**inputs), width)

    def _pooled(self, inputs: dict[str, Any]) -> Tensor:
        if self.pooling == "sentence":
            return self.backbone(inputs)["sentence_embedding"]
        image_features: Any = getattr(self.backbone, "get_image_features", None)
        call = image_features if image_features and "pixel_values" in inputs else self.backbone
        outputs = call(**inputs)
        if self.pooling == "pooler" and getattr(outputs, "pooler_output", None) is not None:
            return outputs.pooler_output.flatten(1)
        hidden = outputs.last_hidden_state
        return hidden[:, 0] if hidden.ndim == 3 else hidden.flatten(2).mean(dim=2)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the backbone's checkpoint, the projection and the card."""
        from safetensors.torch import save_file

        self.backbone.save_pretrained(str(folder))  # type: ignore[operator]
        weights = {name: weight.contiguous().cpu() for name, weight in self.projection.state_dict().items()}
        save_file(weights, str(Path(folder) / PROJECTION))
        card = {"format": FORMAT, "pooling": self.pooling} | self.card
        (Path(folder) / CARD).write_text(
            json.dumps(card, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )


def load_embedder(checkpoint: str | PathLike[str]) -> Embedder:
    """The embedder of a folder written by `Embedder.save`, of a checkpoint of `AutoModel` (folder or hub id), or of a
    folder of sentence-transformers. In evaluation mode.

    A pooler that the checkpoint has no weights for would be random, so the first token is taken instead. Raises
    `InputError` if the checkpoint cannot be loaded or lacks other weights.
    """
    folder = Path(checkpoint)
    card = _read_card(folder) if (folder / CARD).is_file() else {}
    backbone, pooling = _load_backbone(str(checkpoint))
    if not card:
        return Embedder(backbone, None, pooling).eval()
    from safetensors.torch import load_file

    weights = load_file(folder / PROJECTION)
    projection = None
    if weights:
        width, features = weights["weight"].shape
        projection = nn.Linear(features, width, bias="bias" in weights)
        projection.load_state_dict(weights)
    return Embedder(backbone, projection, card.pop("pooling"), card).eval()


def load_compatible(folder: str | PathLike[str]) -> Embedder:
    """The trained model of a folder: inputs of its backbone to unit vectors `[N, D]`; its card is in `.card`.

    Raises `InputError` if the folder was not written by the training here.
    """
    if not (Path(folder) / CARD).is_file():
        raise InputError(f"{folder}: no {CARD} in it; it is not the folder of a finished training run")
    return load_embedder(folder)


def load_image_processor(checkpoint: str | PathLike[str]) -> Any:
    """The checkpoint's own image processor. Raises `InputError` if it has none."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(str(checkpoint))
    except (OSError, ValueError) as error:
        raise InputError(f"{checkpoint}: no image processor ({_first_line(error)})") from error


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card.pop("format") != FORMAT or card.get("pooling") not in ("pooler", "first", "sentence"):
            raise ValueError("it is of another version")
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder / CARD}: not readable ({_first_line(error)})") from error
    return card


def _load_backbone(checkpoint: str) -> tuple[nn.Module, Pooling]:
    if (Path(checkpoint) / "modules.json").is_file():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(checkpoint, device="cpu"), "sentence"
    from transformers import AutoModel

    try:
        backbone, loading = AutoModel.from_pretrained(
            checkpoint, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{checkpoint}: cannot be loaded as a model ({_first_line(error)})") from error
    missing = sorted(loading["missing_keys"])
    pooler = [name for name in missing if "pooler" in name]
    if len(missing) > len(pooler):
        rest = next(name for name in missing if "pooler" not in name)
        raise InputError(
            f"{checkpoint}: its weights lack {rest}, which would be random; is it a whole checkpoint?"
        )
    return backbone, "first" if pooler else "pooler"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

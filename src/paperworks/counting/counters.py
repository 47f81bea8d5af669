"""What counts with a gradient, and what says whether a picture still shows what it should.

A counter is any module or function `(pictures [B, 3, H, W] in 0 to 1, names) → density [B, h, w]`, or a count `[B]`; a
scale of its own does not matter with the dynamic scale. CLIP-Count, D2D and YOLO-Count fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from paperworks.errors import InputError

Counter = Callable[[Tensor, Sequence[str]], Tensor]


class DensityCounter:
    """A counter whose answers are checked: called with pictures `[B, 3, H, W]` and `B` names it gives the mass `[B]`,
    float32, the sum of the density over the picture.

    `size` is the side in pixels that the module wants its pictures in, resized bilinearly (CLIP-Count: 224; released
    code). Raises `InputError`, naming the counter, for a density of another shape, below zero, or not finite.
    """

    def __init__(self, module: Counter, size: int | None = None, name: str | None = None) -> None:
        self.module, self.size = module, size
        self.name = name or name_of(module)

    def __call__(self, pictures: Tensor, names: Sequence[str]) -> Tensor:
        if self.size is not None:
            pictures = nn.functional.interpolate(
                pictures, (self.size, self.size), mode="bilinear", align_corners=False
            )
        found = self.module(pictures, list(names))
        if not isinstance(found, Tensor) or found.ndim not in (1, 3) or len(found) != len(names):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"counter {self.name}: {shape} for {len(names)} pictures, "
                f"[{len(names)}, h, w] or [{len(names)}] is needed"
            )
        if not torch.isfinite(found).all():
            raise InputError(
                f"counter {self.name}: its density is not finite (NaN or infinite): compute it in float32"
            )
        if (found < 0).any():
            raise InputError(
                f"counter {self.name}: its density is negative ({float(found.min()):.3g}): clamp it at zero"
            )
        return found.float().flatten(1).sum(1) if found.ndim == 3 else found.float()


class ClipSimilarity:
    """Cosines of pictures and texts by a `CLIPModel` of transformers, with a gradient to the pictures: equation (3).

    Pictures `[B, 3, H, W]` in 0 to 1 are resized to the model's size and normalised by its own `mean` and `std`
    (default: CLIP's; the released code leaves them as they are). Called with `B` texts it gives `[B]`.
    """

    MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        name: str | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.mean, self.std = (torch.tensor(one, device=model.device)[:, None, None] for one in (mean, std))
        self.name = name or name_of(model)
        self._texts: dict[str, Tensor] = {}

    @classmethod
    def from_pretrained(cls, model: str, device: str = "cpu") -> ClipSimilarity:
        """A CLIP of the hub or a folder, such as `openai/clip-vit-base-patch32`."""
        from transformers import AutoTokenizer, CLIPModel

        try:
            loaded = CLIPModel.from_pretrained(model, dtype=torch.float32).eval().to(device)
            return cls(loaded, AutoTokenizer.from_pretrained(model), name=str(model))
        except OSError as error:
            raise InputError(f"cannot read the CLIP model {model!r}: {str(error).splitlines()[0]}") from error

    def __call__(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        side = self.model.config.vision_config.image_size
        if pictures.shape[-2:] != (side, side):
            pictures = nn.functional.interpolate(pictures, (side, side), mode="bicubic", antialias=True)
        pixels = (pictures.to(self.mean) - self.mean) / self.std
        seen = self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output)
        told = torch.cat([self._text(text) for text in texts])
        return nn.functional.cosine_similarity(seen, told)

    @torch.no_grad()
    def _text(self, text: str) -> Tensor:
        if text not in self._texts:
            length = self.model.config.text_config.max_position_embeddings
            tokens = self.tokenizer(
                [text], padding="max_length", truncation=True, max_length=length, return_tensors="pt"
            ).to(self.model.device)
            out = self.model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
            self._texts[text] = self.model.text_projection(out.pooler_output)
        return self._texts[text]


def name_of(thing: Any) -> str:
    """How a counter is called in a report: its `name`, else that of the function or the class."""
    return str(getattr(thing, "name", None) or getattr(thing, "__name__", None) or type(thing).__name__)

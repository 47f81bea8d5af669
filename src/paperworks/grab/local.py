"""A vision-language checkpoint on this machine: Transformers' own classes, the processor's own chat template.

Questions are answered in batches, padded on the left, by greedy search; only the new tokens are decoded. What the model
truly sees of a picture is measured, not read from its configuration: a ramp of brightness goes through the processor,
and its slope in the tensor that comes out says how many pixels of the model one pixel of the picture becomes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.devices import resolve_device
from paperworks.errors import InputError, require
from paperworks.grab.models import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from PIL.Image import Image

    from paperworks.grab.items import Item
    from paperworks.grab.prompts import Prompt

_CROPPED = 0.97
"""A picture of which the model sees less than this share in width or height is cropped."""


@dataclass(frozen=True)
class InputSize:
    """What a model sees of a picture of `picture` (width, height).

    `size`: width and height of one tile in pixels (None: unknown); `tiles`: how many, an overview included; `scale`:
    the model's pixels per pixel of the picture, in its finest tile, across and down (None: unknown); `seen`: the share
    of the width and of the height that is in some tile; `tokens`: what the picture takes of the context.
    """

    picture: tuple[int, int]
    size: tuple[int, int] | None
    tiles: int
    scale: tuple[float, float] | None
    seen: tuple[float, float]
    tokens: int

    @property
    def cropped(self) -> bool:
        """Whether a part of the picture never reaches the model."""
        return min(self.seen) < _CROPPED


class LocalModel:
    """A checkpoint of the hub, a folder or a loaded model, as a `Model`.

    `processor` is needed with a loaded model only. `dtype` None keeps the checkpoint's, but float32 on a CPU;
    `max_tokens` None takes the prompt's. Raises `InputError` for a checkpoint that takes no pictures or has no chat
    template, and, before the first answer, for a context that the prompt and the answer do not fit into.
    """

    def __init__(
        self,
        model: Any,
        processor: Any = None,
        *,
        batch_size: int = 8,
        device: str = "auto",
        dtype: str | torch.dtype | None = None,
        max_tokens: int | None = None,
    ) -> None:
        require("grab", "torch", "transformers", "PIL")
        for name, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it is a number above 0")
        self._device = resolve_device(device)
        self._batch_size, self._max_tokens, self._prompt_tokens = batch_size, max_tokens, 100
        if hasattr(model, "generate"):
            if processor is None:
                raise InputError("a loaded model needs its processor: LocalModel(model, processor)")
            self._name = str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
            self._processor = processor
        else:
            self._name = str(model)
            self._processor = processor if processor is not None else _load_processor(self._name)
        self._check_processor()
        if not hasattr(model, "generate"):
            model = _load_model(self._name, _dtype(dtype, self._device))
        self.model = model.eval().to(self._device)
        self._sizes: dict[tuple[int, int], InputSize] = {}

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self._name

    @property
    def max_tokens(self) -> int:
        """How long an answer may be."""
        return self._max_tokens or self._prompt_tokens

    @property
    def parameters(self) -> dict[str, Any]:
        """What changes the answers."""
        return {
            "kind": "local",
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "max_tokens": self.max_tokens,
            "sampling": "greedy",
        }

    def use_prompt(self, prompt: Prompt) -> None:
        """Take the prompt's limit on the answer, unless the model has its own."""
        self._prompt_tokens = prompt.max_tokens

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """The responses, batch by batch, in order."""
        for start in range(0, len(requests), self._batch_size):
            batch = [requests[index] for index in range(start, min(start + self._batch_size, len(requests)))]
            yield from self._answer(batch)

    def input_size(self, picture: tuple[int, int]) -> InputSize:
        """What the model sees of a picture of so many pixels (width, height), measured through its processor."""
        if picture not in self._sizes:
            self._sizes[picture] = self._measure(picture)
        return self._sizes[picture]

    def describe(self, bench: Iterable[Item]) -> list[str]:
        """Lines that say what the model sees of these items: its input size and its pixels in one quantum of an axis.

        The quantum of the answers on the axis whose units are drawn smaller, as the median of the items with that
        quantum. A reader can hardly tell apart what is much less than a pixel.
        """
        sizes: dict[tuple[int, int], list[Item]] = {}
        for item in bench:
            sizes.setdefault(_picture_size(item), []).append(item)
        lines, widths = [], dict[str, list[float]]()
        for size, items in sizes.items():
            seen = self.input_size(size)
            lines.append(_in_words(seen))
            for item in items:
                if seen.scale is not None and (units := _pixels_per_unit(item)) is not None:
                    pixels = min(unit * scale for unit, scale in zip(units, seen.scale, strict=True))
                    widths.setdefault(item.quantum, []).append(pixels * float(item.quantum))
        for quantum in sorted(widths, key=float):
            lines.append(
                f"a quantum of {quantum} is {median(widths[quantum]):.2g} of the model's pixels on the axis (median of "
                f"{len(widths[quantum])} items)"
            )
        return lines

    def _answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        import torch

        started = time.monotonic()
        images = [_open(request.image()) if request.image is not None else None for request in requests]
        inputs = self._inputs([request.prompt for request in requests], images).to(self._device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self.model.dtype)
        length = inputs["input_ids"].shape[1]
        self._check_context(length, images)
        with torch.inference_mode():
            tokens = self.model.generate(
                **inputs,
                max_new_tokens=self.max_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self._pad,
            )
        new, asked = tokens[:, length:].tolist(), inputs["attention_mask"].sum(dim=1).tolist()
        seconds = (time.monotonic() - started) / len(requests)
        for request, line, used in zip(requests, new, asked, strict=True):
            ends = [place for place, token in enumerate(line) if token in self._ends]
            count = ends[0] + 1 if ends else len(line)
            text = self._tokenizer.decode(line[:count], skip_special_tokens=True)
            yield Response(
                request.key,
                request.id,
                text,
                "stop" if ends else "length",
                used,
                count,
                None,
                round(seconds, 6),
            )

    def _inputs(self, prompts: Sequence[str], images: Sequence[Image | None]) -> Any:
        texts = []
        for prompt, image in zip(prompts, images, strict=True):
            content = [{"type": "image"}] if image is not None else []
            message = {"role": "user", "content": [*content, {"type": "text", "text": prompt}]}
            texts.append(self._processor.apply_chat_template([message], add_generation_prompt=True))
        pictures = [[image] for image in images if image is not None]
        start = self._tokenizer.bos_token
        return self._processor(
            text=texts,
            **({"images": pictures} if pictures else {}),
            padding=True,
            padding_side="left",
            add_special_tokens=not (start and texts[0].startswith(start)),
            return_tensors="pt",
        )

    @property
    def _tokenizer(self) -> Any:
        return self._processor.tokenizer

    @property
    def _ends(self) -> set[int]:
        end = self.model.generation_config.eos_token_id
        if end is None:
            end = self._tokenizer.eos_token_id
        return set(end) if isinstance(end, list | tuple) else {end}

    @property
    def _pad(self) -> int:
        return int(self._tokenizer.pad_token_id)

    def _check_processor(self) -> None:
        if getattr(self._processor, "image_processor", None) is None:
            raise InputError(
                f"{self._name} has no image processor: it takes no pictures; choose a vision-language model"
            )
        if not (getattr(self._processor, "chat_template", None) or self._tokenizer.chat_template):
            raise InputError(
                f"{self._name} has no chat template, so how it wants to be asked is unknown; choose the "
                "instruction-tuned checkpoint"
            )
        if self._tokenizer.pad_token_id is None:
            if self._tokenizer.eos_token_id is None:
                raise InputError(f"{self._name}: its tokenizer has neither a padding nor an end token")
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def _check_context(self, length: int, images: Sequence[Image | None]) -> None:
        config = self.model.config.get_text_config()
        context = getattr(config, "max_position_embeddings", None)
        if context is not None and length + self.max_tokens > context:
            picture = next((image for image in images if image is not None), None)
            tokens = self.input_size(picture.size).tokens if picture is not None else 0
            raise InputError(
                f"{self._name}: the prompt takes {length} tokens ({tokens} of them the picture) and the answer up to "
                f"{self.max_tokens}, but the context is {context}; lower max_tokens or choose a longer context"
            )

    def _measure(self, picture: tuple[int, int]) -> InputSize:
        """Send two flat pictures, which undo the normalisation, and a ramp through the processor."""
        from PIL import Image

        width, height = picture
        ramp = np.zeros((height, width, 3), np.uint8)
        ramp[..., 0] = np.linspace(0, 255, width).round()
        ramp[..., 1] = np.linspace(0, 255, height).round()[:, None]
        outputs = [
            self._inputs(["?"], [image])
            for image in (
                Image.new("RGB", picture, (0, 0, 0)),
                Image.new("RGB", picture, (255, 255, 255)),
                Image.fromarray(ramp),
            )
        ]
        tokens = self._picture_tokens(outputs[0]["input_ids"])
        if (grid := outputs[0].get("image_grid_thw")) is not None:
            patch = int(self._processor.image_processor.patch_size)
            rows, columns = (int(count) * patch for count in grid[0][1:])
            return InputSize(
                picture, (columns, rows), 1, (columns / width, rows / height), (1.0, 1.0), tokens
            )
        pixels = [np.asarray(output["pixel_values"].float(), np.float64) for output in outputs]
        if pixels[0].ndim not in (4, 5) or pixels[0].shape[-3] != 3:
            return InputSize(picture, None, 1, None, (1.0, 1.0), tokens)
        dark, light, shades = (array.reshape(-1, *array.shape[-3:]) for array in pixels)
        spread = np.where(light == dark, np.nan, light - dark)
        share = (shades - dark) / spread  # place in the picture, 0…1; NaN in the padding
        across = [_ramp(np.nanmean(_quiet(tile[0]), axis=0), width) for tile in share]
        down = [_ramp(np.nanmean(_quiet(tile[1]), axis=1), height) for tile in share]
        return InputSize(
            picture,
            (share.shape[-1], share.shape[-2]),
            len(share),
            (max(scale for scale, _, _ in across), max(scale for scale, _, _ in down)),
            (
                max(end for _, _, end in across) - min(start for _, start, _ in across),
                max(end for _, _, end in down) - min(start for _, start, _ in down),
            ),
            tokens,
        )

    def _picture_tokens(self, ids: torch.Tensor) -> int:
        config = self.model.config
        token = getattr(config, "image_token_id", None)
        if token is None:
            token = getattr(config, "image_token_index", None)
        return 0 if token is None else int((ids == token).sum())


def _quiet(tile: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Without the rows and columns that are padding throughout (a mean of nothing would warn)."""
    kept = ~np.isnan(tile)
    whole: np.ndarray[Any, Any] = tile[kept.any(axis=1)][:, kept.any(axis=0)]
    return whole


def _ramp(shares: np.ndarray[Any, Any], pixels: int) -> tuple[float, float, float]:
    """(the model's pixels per pixel of the picture, first and last place seen, 0…1) of one tile's ramp."""
    if len(shares) < 4:
        return 0.0, 0.0, 1.0
    first, last = len(shares) // 4, len(shares) - 1 - len(shares) // 4
    slope = (shares[last] - shares[first]) / (last - first)
    scale = 1.0 / (slope * (pixels - 1)) if slope > 1e-9 else 0.0
    return float(scale), float(np.nanmin(shares)), float(np.nanmax(shares))


def _open(data: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(
            f"a picture cannot be decoded ({error}); run  paperworks grab verify  on the dataset"
        ) from error


def _load_processor(name: str) -> Any:
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise InputError(f"{name}: no such folder; give a checkpoint's folder or its id on the Hub")
    from transformers import AutoProcessor

    load: Any = AutoProcessor  # untyped in Transformers
    try:
        return load.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{name}: no processor can be loaded: {_first_line(error)}") from error


def _load_model(name: str, dtype: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    try:
        return AutoModelForImageTextToText.from_pretrained(name, dtype=dtype)
    except ValueError as error:
        raise InputError(
            f"{name} is no model of pictures and text that Transformers knows: {_first_line(error)}"
        ) from error
    except OSError as error:
        raise InputError(f"{name} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _dtype(dtype: Any, device: str) -> Any:
    import torch

    if dtype is None:
        return torch.float32 if device == "cpu" else "auto"
    if isinstance(dtype, str) and dtype != "auto":
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype):
            raise InputError(f"no dtype is called {dtype!r}: choose float32, bfloat16 or float16")
        return found
    return dtype


def _picture_size(item: Item) -> tuple[int, int]:
    spec = item.spec or {}
    width, height = spec.get("style", {}).get("size", (600, 600))
    return int(width), int(height)


def _pixels_per_unit(item: Item) -> tuple[float, float] | None:
    """Pixels of the picture in a unit of x and of y; None where the item's axes are not known."""
    from paperworks.grab.layout import per_unit

    spec = item.spec or {}
    if "axes" not in spec:
        return None
    size = _picture_size(item)
    return per_unit(spec["axes"], size, size[0])


def _in_words(seen: InputSize) -> str:
    width, height = seen.picture
    text = f"a picture of {width} × {height} pixels reaches the model as "
    if seen.size is None:
        return text + f"an unknown number of pixels ({seen.tokens} tokens)"
    text += f"{seen.tiles} tiles of " if seen.tiles > 1 else ""
    text += f"{seen.size[0]} × {seen.size[1]} ({seen.tokens} tokens"
    if seen.scale is not None:
        text += f", {seen.scale[0]:.3g} of its pixels for one of the picture"
    text += ")"
    if seen.cropped:
        text += f"; it sees only {100 * seen.seen[0]:.0f} % of the width and {100 * seen.seen[1]:.0f} % of the height"
    return text

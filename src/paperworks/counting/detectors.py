"""Counting with a detector that has no gradient: the driver of the dynamic scale, and a judge.

A detector is any callable `(pictures uint8 [B, H, W, 3], names) → B counts`. `detector` makes one of a transformers
object-detection model (YOLOS, DETR …), whose labels are fixed, or of a zero-shot one (OWL-ViT, Grounding DINO), whose
class names are free text.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paperworks.counting.counters import name_of
from paperworks.errors import InputError

Driver = Callable[[np.ndarray, Sequence[str]], Sequence[int]]
OVERLAP = 0.5
"""Intersection over union from which on two boxes of a zero-shot detector are one object; *unverified*, ours."""


class Detector:
    """Counts boxes of a name with a score of at least `threshold` (0.3 is the best of the released code's sweep).

    Called with pictures uint8 `[B, H, W, 3]` and `B` names it gives `B` ints. Raises `InputError` for a name that is no
    label of the model, with the nearest labels.
    """

    def __init__(self, model: Any, processor: Any, threshold: float = 0.3, name: str | None = None) -> None:
        self.model, self.processor, self.threshold = model, processor, threshold
        self.zero_shot = hasattr(processor, "tokenizer")
        self.name = name or name_of(model)

    def __call__(self, pictures: np.ndarray, names: Sequence[str]) -> list[int]:
        return [self.count(picture, name) for picture, name in zip(pictures, names, strict=True)]

    @torch.no_grad()
    def count(self, picture: np.ndarray, name: str) -> int:
        """Objects of a name on one picture uint8 `[H, W, 3]`."""
        if not self.zero_shot:
            label = label_for(name, _labels(self.model))
            inputs = self.processor(images=[picture], return_tensors="pt").to(self.model.device)
            scores = self.model(**inputs).logits.float().softmax(-1)[0, :, :-1]
            best, found = scores.max(-1)
            return int(((found == label) & (best > self.threshold)).sum())
        texts = (
            [f"{name.lower()}."]
            if "grounding" in type(self.model).__name__.lower()
            else [[f"a photo of a {name}"]]
        )
        inputs = self.processor(images=[picture], text=texts, return_tensors="pt").to(self.model.device)
        outputs = self.model(**inputs)
        scores = outputs.logits[0].float().sigmoid().max(-1).values
        kept = scores > self.threshold
        return len(distinct(outputs.pred_boxes[0][kept].float(), scores[kept]))


def detector(
    model: str | Any, threshold: float = 0.3, *, processor: Any = None, device: str = "cpu"
) -> Detector:
    """A detector of a hub id or folder (`hustvl/yolos-tiny`, `google/owlv2-base-patch16-ensemble`) or a loaded model.

    Raises `InputError` where there is no such model, or it detects no objects.
    """
    if not isinstance(model, str):
        if processor is None:
            raise InputError("a loaded model needs its processor=")
        return Detector(model, processor, threshold)
    from transformers import (
        AutoConfig,
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    try:
        config = AutoConfig.from_pretrained(model)
        free_text = type(config) in AutoModelForZeroShotObjectDetection._model_mapping
        kind = AutoModelForZeroShotObjectDetection if free_text else AutoModelForObjectDetection
        loaded = kind.from_pretrained(model).eval().to(device)
        own = processor or (AutoProcessor if free_text else AutoImageProcessor).from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read a detector from {model!r}: {str(error).splitlines()[0]}") from error
    return Detector(loaded, own, threshold, name=model)


def _labels(model: Any) -> dict[int, str]:
    return {int(number): str(label) for number, label in (model.config.id2label or {}).items()}


def label_for(name: str, labels: dict[int, str]) -> int:
    """The number of the label that a class name means: the name itself, or its singular ("skis" stays, "sheep" too).

    Raises `InputError` with the nearest labels, the singular first.
    """
    numbers = {label.lower(): number for number, label in labels.items()}
    name = name.lower().strip()
    wanted = [name, *singulars(name)]
    for one in wanted:
        if one in numbers:
            return numbers[one]
    near = [label for one in wanted[::-1] for label in difflib.get_close_matches(one, numbers, 3, 0.6)]
    hint = f"nearest: {', '.join(dict.fromkeys(near))}; " if near else ""
    raise InputError(
        f"the detector knows no {name!r} ({hint}a zero-shot detector takes any name: "
        "google/owlv2-base-patch16-ensemble)"
    )


def singulars(name: str) -> list[str]:
    """What the singular of an English plural may be: "zebras" → zebra, "boxes" → boxe, box; "skis" → ski."""
    found = []
    if name.endswith("ies"):
        found.append(name[:-3] + "y")
    if name.endswith("s") and not name.endswith("ss"):
        found.append(name[:-1])
    if name.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        found.append(name[:-2])
    return found


def distinct(boxes: Tensor, scores: Tensor) -> list[int]:
    """Rows of boxes `[n, 4]` (centre x, y, width, height) that overlap no better one by more than `OVERLAP`."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    areas, kept = (high - low).clamp(min=0).prod(1), list[int]()
    for row in scores.argsort(descending=True, stable=True).tolist():
        shared = (
            (torch.minimum(high[row], high[kept]) - torch.maximum(low[row], low[kept])).clamp(min=0).prod(1)
        )
        if not (shared / (areas[row] + areas[kept] - shared).clamp(min=1e-9) > OVERLAP).any():
            kept.append(row)
    return kept

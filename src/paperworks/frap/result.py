"""What a call leaves behind beside its pictures: the weights, the loss, a verdict for each picture, and ways to take
the weights away: as a prompt for compel, as JSON, or in the picture's own file."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from paperworks.errors import InputError
from paperworks.files import replacing, write_json
from paperworks.frap.settings import Settings
from paperworks.frap.words import Prompt, Word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 0.5
"""The largest value of an object's smoothed map from which on it is called shown: Attend-and-Excite's middle
threshold."""
CHUNK = "frap"
"""The name of the text chunk in a PNG."""


@dataclass(frozen=True)
class Result:
    """A run of FRAP over B pictures: `weights` `[K + 1, B, N]`, `loss` `[K, B]` (equation (3)), and for each step and
    picture its parts: `presence[k][b][s]` max G(A^s) of each object, `overlap[k][b][s]` O(s, r) with each modifier.

    `seed` is the seed of the generator that was given, `calls` how often the UNet ran on each half of the batch.
    """

    prompts: list[Prompt]
    settings: Settings
    weights: Tensor
    loss: Tensor
    presence: list[list[list[float]]]
    overlap: list[list[list[list[float]]]]
    seed: list[int] | int | None = None
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def objects(self) -> list[dict[str, list[str]]]:
        """What was optimised, for each picture."""
        return [
            {one.text: [word.text for word in one.modifiers] for one in prompt.objects}
            for prompt in self.prompts
        ]

    @property
    def tokens(self) -> list[list[Word]]:
        """The words of each picture's prompt with their positions."""
        return [list(prompt.words) for prompt in self.prompts]

    def weight_of(self, word: Word, picture: int = 0) -> float:
        """The weight that a word has reached: the mean over its tokens."""
        return float(self.weights[-1, picture, list(word.positions)].mean())

    def verdict(self, picture: int = 0) -> list[str]:
        """A line for each object from the last maps that were read: "sphere: weak, 0.42"."""
        if not self.presence:
            return []
        peaks, prompt = self.presence[-1][picture], self.prompts[picture]
        return [
            f"{one.text}: {'shown' if peak >= SHOWN else 'weak'}, {peak:.2f}"
            for one, peak in zip(prompt.objects, peaks, strict=True)
        ]

    def to_compel(self, picture: int = 0) -> str:
        """The prompt with the weights reached, in compel's syntax: "a (red)1.12 (cube)1.31".

        Words whose weight rounds to 1.00 stay bare, and signs of compel's own syntax are escaped. Warns of weights
        below 1, which compel computes by a rule of its own. Raises `InputError` where there is no prompt but its
        embedding.
        """
        prompt = self.prompts[picture]
        if not prompt.text:
            raise InputError("the prompt was given as an embedding: there are no words to write weights for")
        text, place, low = "", 0, []
        for word in prompt.words:
            at = prompt.text.index(word.text, place)
            weight = self.weight_of(word, picture)
            marked = (
                f"({_escaped(word.text)}){weight:.2f}" if f"{weight:.2f}" != "1.00" else _escaped(word.text)
            )
            text += _escaped(prompt.text[place:at]) + marked
            place = at + len(word.text)
            low += [word.text] if weight < 0.995 else []
        if low:
            warnings.warn(
                f"compel weighs below 1 by another rule: {', '.join(low)} will look different", stacklevel=2
            )
        return text + _escaped(prompt.text[place:])

    def to_dict(self, picture: int = 0) -> dict[str, Any]:
        """A picture's part as plain data: prompt, objects, settings, seed, each word's weight, loss and its parts.

        `token_weights` are all N weights reached; `loads` reads them back for `Replay`.
        """
        prompt = self.prompts[picture]
        seed = self.seed[picture] if isinstance(self.seed, list) else self.seed
        return {
            "prompt": prompt.text,
            "objects": self.objects[picture],
            "seed": seed,
            "settings": self.settings.to_dict(),
            "weights": [[word.text, round(self.weight_of(word, picture), 6)] for word in prompt.words],
            "token_weights": [round(float(weight), 6) for weight in self.weights[-1, picture]],
            "loss": [float(loss) for loss in self.loss[:, picture]],
            "presence": [step[picture] for step in self.presence],
            "overlap": [step[picture] for step in self.overlap],
            "verdict": self.verdict(picture),
        }

    def save_json(self, path: str | Path) -> None:
        """Every picture's `to_dict`, as one JSON file."""
        write_json(path, [self.to_dict(picture) for picture in range(len(self.prompts))])

    def save_png(self, image: Any, path: str | Path, picture: int = 0) -> None:
        """A Pillow image as PNG, with `to_dict` in a text chunk, which `read_png` reads."""
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt(CHUNK, json.dumps(self.to_dict(picture), ensure_ascii=False))
        with replacing(path) as partial:
            image.save(partial, "PNG", pnginfo=info)

    def figure(self, picture: int = 0) -> Figure:
        """The weight of every word of the objects over the steps, and the loss with its parts."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        prompt = self.prompts[picture]
        for word in prompt.words:
            optimised = any(word.positions == one.positions for one in prompt.objects)
            values = self.weights[:, picture, list(word.positions)].mean(-1)
            left.plot(
                values.tolist(),
                label=word.text,
                linewidth=2.2 if optimised else 1,
                alpha=1 if optimised else 0.6,
            )
        left.axhline(1, color="#8b949e", linewidth=0.8)
        left.set(xlabel="step", ylabel="weight", title="weights")
        left.legend(frameon=False, fontsize=8)
        right.plot(self.loss[:, picture].tolist(), color="#24292f", label="loss")
        for place, one in enumerate(prompt.objects):
            right.plot([step[picture][place] for step in self.presence], label=f"{one.text}: presence")
            for number, word in enumerate(one.modifiers):
                values_ = [step[picture][place][number] for step in self.overlap]
                right.plot(values_, "--", label=f"{one.text} and {word.text}: overlap")
        right.set(xlabel="step", title="loss and its parts")
        right.legend(frameon=False, fontsize=8)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        return figure


def read_png(path: str | Path) -> dict[str, Any]:
    """What `save_png` put into a picture. Raises `InputError` where there is nothing, or no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            text = image.info.get(CHUNK)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture") from error
    if not isinstance(text, str):
        raise InputError(
            f"{path} has no FRAP weights: only PNG files of `paperworks frap` and `save_png` have them"
        )
    try:
        found = json.loads(text)
        if not all(math.isfinite(weight) for weight in found["token_weights"]):
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its FRAP weights cannot be read") from error
    return found


def weights_of(stored: dict[str, Any]) -> Tensor:
    """The weights `[1, 1, N]` of `read_png` or of an entry of `save_json`, for `Replay`."""
    return torch.tensor(stored["token_weights"], dtype=torch.float32)[None, None]


def _escaped(text: str) -> str:
    """Parentheses and the signs + and - behind a word mean weights to compel."""
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")

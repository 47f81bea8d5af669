"""A folder of images by class, `DATA/CLASS/**/IMAGE`, as a torch data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from paperworks.errors import InputError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
SPLITS = {"train", "test", "val", "valid", "validation"}


@dataclass(frozen=True)
class ImageFolder:
    """Image files with the numbers of their classes, both in the order of their names."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]


def read_image_folder(root: str | PathLike[str]) -> ImageFolder:
    """The images below `root`; each folder in it is a class.

    Raises `InputError` if there is no such folder, no class, a single one, one without images, or splits as classes.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; images are read from {root}/CLASS/IMAGE")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    classes = tuple(folder.name for folder in folders)
    if not classes:
        raise InputError(f"{root}: no folders in it; images are read from {root}/CLASS/IMAGE")
    if set(classes) <= SPLITS:
        raise InputError(f"{root}: its folders {', '.join(classes)} look like splits; give {folders[0]}")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not found:
            raise InputError(f"{folder}: no images in it ({', '.join(sorted(SUFFIXES))})")
        files += found
        labels += [label] * len(found)
    if len(classes) == 1:
        raise InputError(f"{root}: all images are of one class, {classes[0]}; training needs two or more")
    return ImageFolder(tuple(files), tuple(labels), classes)


class Images(Dataset[dict[str, Any]]):
    """Images as a processor's `pixel_values [c, h, w]` with `labels`.

    An item is asked for by its number, or by (epoch, number): then it is flipped left to right with probability one
    half, decided by the seed, the epoch and the number alone, so that a resumed run sees the same images.
    """

    def __init__(self, folder: ImageFolder, processor: Any, *, flip: bool = True, seed: int = 0) -> None:
        self.folder, self.processor, self.flip, self.seed = folder, processor, flip, seed

    def __len__(self) -> int:
        return len(self.folder.files)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        from PIL import Image, ImageOps

        epoch, number = key if isinstance(key, tuple) else (None, key)
        path = self.folder.files[number]
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except OSError as error:
            raise InputError(f"{path}: not a readable image; repair or remove it") from error
        if (
            self.flip
            and epoch is not None
            and np.random.default_rng([self.seed, epoch, number]).random() < 0.5
        ):
            image = ImageOps.mirror(image)
        inputs: Mapping[str, Tensor] = self.processor(images=image, return_tensors="pt")
        return {"pixel_values": inputs["pixel_values"][0], "labels": self.folder.labels[number]}


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, number) for all numbers, in an order that the seed and the epoch decide."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for number in np.random.default_rng([self.seed, self.epoch]).permutation(self.length):
            yield self.epoch, int(number)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

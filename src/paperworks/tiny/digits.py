"""Handwritten digits as images: scikit-learn's copy of the UCI set, 1,797 scans of 8 × 8 pixels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paperworks.errors import InputError

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledImages:
    """`images [n, 1, 8, 8]` in [0, 1] and `labels [n]`."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, classes: Collection[int]) -> LabelledImages:
        """The images of some classes. Raises `InputError` for a class that has none."""
        if missing := sorted(set(classes) - set(self.labels.tolist())):
            raise InputError(f"there are no images of the classes {missing}")
        kept = np.isin(self.labels, list(classes))
        return LabelledImages(self.images[kept], self.labels[kept])


@dataclass(frozen=True)
class Digits:
    """The two halves of the set, each with the same share of every digit."""

    train: LabelledImages
    test: LabelledImages


def load_digits(seed: int = 0) -> Digits:
    """The set in two stratified halves, drawn by `seed`."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    flat, labels = datasets.load_digits(return_X_y=True)
    images = (flat / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    halves = train_test_split(
        images, labels.astype(np.int64), test_size=0.5, stratify=labels, random_state=seed
    )
    train, test, train_labels, test_labels = halves
    return Digits(LabelledImages(train, train_labels), LabelledImages(test, test_labels))


def augment(images: Images, random: np.random.Generator, *, shift: int = 1, noise: float = 0.1) -> Images:
    """Copies `[n, c, h, w]`, each moved by up to `shift` pixels both ways, zeros moving in, plus Gaussian noise."""
    if shift < 0 or noise < 0:
        raise InputError(f"shift and noise must be at least 0, got {shift} and {noise}")
    n, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    down, right = random.integers(0, 2 * shift + 1, (2, n, 1))
    rows, columns = np.arange(height) + down, np.arange(width) + right
    moved = padded[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(
        0, 3, 1, 2
    )
    return moved + noise * random.standard_normal(moved.shape, np.float32)

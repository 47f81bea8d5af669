"""Generations of image models, trained with and without the method: what the claims are measured on.

The paper's experiment at two sizes with the same functions: scikit-learn's digits with a small convolutional network,
and CIFAR-100 with ResNet-50 and the released code's hyper-parameters. The first model knows some classes only; each
successor learns more of them. Encoders map images to features; `training.embed` makes these the unit embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from paperworks.backward_compatible.training import CompatibleTraining, embed, old_prototypes, warmup_cosine
from paperworks.claims import Skip
from paperworks.tiny import digits

Method = Literal["oca", "identity", "bct", "independent"]


@dataclass(frozen=True)
class Setting:
    """Data, models and hyper-parameters of one repetition.

    Images are `[n, c, h, w]` on the device that trains. Generation `g` knows the first `classes[g]` classes. The first
    model has `width` dimensions, and each update may add `extra`. `encoder(generation, width)` is an untrained network.
    The optimiser's defaults are the released code's.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    encoder: Callable[[int, int], nn.Module]
    augment: Callable[[Tensor, np.random.Generator], Tensor]
    classes: tuple[int, ...]
    width: int
    extra: int
    epochs: int
    seed: int
    learning_rate: float = 1e-3
    batch_size: int = 64
    warmup_epochs: int = 5
    weight_decay: float = 2.0**-15

    def known(self, generation: int) -> tuple[Tensor, Tensor]:
        """Training images and labels of the classes that a generation knows."""
        kept = self.train_labels < self.classes[generation]
        return self.train_images[kept], self.train_labels[kept]

    def test_embeddings(self, encoder: nn.Module) -> NDArray[np.float32]:
        """The test images' unit vectors `[n, D]`."""
        return embed(encode(encoder, self.test_images)).cpu().numpy()

    def train_embeddings(self, encoder: nn.Module) -> NDArray[np.float32]:
        """The training images' unit vectors `[n, D]`, all classes."""
        return embed(encode(encoder, self.train_images)).cpu().numpy()


def train_first(
    setting: Setting, *, generation: int = 0, width: int | None = None, repetition: int = 0
) -> nn.Module:
    """An encoder trained for classification alone, as the first or as an independent model.

    It is the method's own loss with the compatible terms at weight 0. `repetition` gives other weights and another
    order of images on the same data.
    """
    classes, width = setting.classes[generation], setting.width if width is None else width

    def head() -> CompatibleTraining:
        return CompatibleTraining(torch.zeros(classes, width), 0, "identity", weights=(1, 0, 0))

    return _train(setting, generation, head, repetition)


def train_successor(
    setting: Setting, old: nn.Module, method: Method, *, generation: int = 1, repetition: int = 0
) -> nn.Module:
    """The next encoder after `old`, whose weights stay as they are.

    OCA, its ablation without the orthogonal layer ("identity") and the independent model are `extra` dimensions wider
    than the old one, BCT is not. With one `repetition` all start from the same weights where their shapes agree, and
    see the same batches.
    """
    width = encode(old, setting.train_images[:1]).shape[1]
    if method == "independent":
        return train_first(setting, generation=generation, width=width + setting.extra, repetition=repetition)
    images, labels = setting.known(generation)
    prototypes = old_prototypes(encode(old, images), labels, setting.classes[generation]).cpu()

    def head() -> CompatibleTraining:
        if method == "bct":
            return CompatibleTraining(prototypes, 0, "identity", weights=(1, 10, 0))
        layer: Literal["orthogonal", "identity"] = "orthogonal" if method == "oca" else "identity"
        return CompatibleTraining(prototypes, setting.extra, layer)

    return _train(setting, generation, head, repetition)


def encode(encoder: nn.Module, images: Tensor, batch_size: int = 512) -> Tensor:
    """Features `[n, D]` in float32, without gradients, in evaluation mode."""
    encoder.eval()
    with torch.no_grad():
        return torch.cat([encoder(batch).float() for batch in images.split(batch_size)])


def _train(
    setting: Setting, generation: int, make_head: Callable[[], CompatibleTraining], repetition: int
) -> nn.Module:
    device = setting.train_images.device
    with torch.random.fork_rng():
        torch.manual_seed(1_000_003 * repetition + setting.seed)
        head = make_head()
        torch.manual_seed(1_000_003 * repetition + setting.seed)
        encoder = setting.encoder(generation, head.width).to(device)
    head.to(device)
    images, labels = setting.known(generation)
    random = np.random.default_rng([setting.seed, repetition, generation])
    optimiser = torch.optim.Adam(
        [*encoder.parameters(), *head.parameters()], setting.learning_rate, weight_decay=setting.weight_decay
    )
    steps = -(-len(labels) // setting.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: warmup_cosine(step, setting.warmup_epochs * steps, setting.epochs * steps)
    )
    encoder.train()
    for _ in range(setting.epochs):
        for rows in _shuffled(len(labels), setting.batch_size, random, device):
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                features = encoder(setting.augment(images[rows], random))
            optimiser.zero_grad()
            head(features, labels[rows]).backward()
            optimiser.step()
            schedule.step()
    return encoder.eval()


def _shuffled(n: int, batch_size: int, random: np.random.Generator, device: torch.device) -> Iterator[Tensor]:
    yield from torch.from_numpy(random.permutation(n)).to(device).split(batch_size)


def digits_setting(
    seed: int, classes: tuple[int, ...] = (5, 10), *, device: str = "cpu", epochs: int = 25
) -> Setting:
    """Scikit-learn's digits: half for training, half for the test; the first network is a third as wide."""
    halves = digits.load_digits(seed)

    def encoder(generation: int, width: int) -> nn.Module:
        a, b, c = (8, 8, 8) if generation == 0 else (24, 32, 48)
        return nn.Sequential(
            *(nn.Conv2d(1, a, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(4 * c, width)),
        )

    def augment(images: Tensor, random: np.random.Generator) -> Tensor:
        return torch.from_numpy(digits.augment(images.cpu().numpy(), random)).to(images.device)

    return Setting(
        *_on(device, halves.train.images, halves.train.labels, halves.test.images, halves.test.labels),
        encoder=encoder,
        augment=augment,
        classes=classes,
        width=8,
        extra=4,
        epochs=epochs,
        seed=seed,
    )


def _on(device: str, *arrays: NDArray[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    train_images, train_labels, test_images, test_labels = (
        torch.from_numpy(array).to(device) for array in arrays
    )
    return train_images, train_labels, test_images, test_labels


class UpsampledResNet(nn.Module):
    """ResNet-50 with its ImageNet stem over images resized to 224, then a linear layer to `width`."""

    def __init__(self, width: int) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        self.backbone = ResNetModel(ResNetConfig())
        self.projection = nn.Linear(2048, width)

    def forward(self, images: Tensor) -> Tensor:
        """`[n, 3, h, w]`, bytes, to features `[n, width]`."""
        images = (images.float() / 255 - 0.5) / 0.25
        images = F.interpolate(images, size=(224, 224), mode="bilinear", antialias=True)
        return self.projection(self.backbone(images).pooler_output.flatten(1))


def cifar_setting(
    seed: int, classes: tuple[int, ...] = (50, 100), *, device: str = "cuda", epochs: int = 100
) -> Setting:
    """CIFAR-100 with the released code's hyper-parameters. Raises `Skip` without a GPU or the data set."""
    if not device.startswith("cuda"):
        raise Skip("CIFAR-100 with ResNet-50 takes hours on a GPU, and there is none here")
    try:
        from datasets import load_dataset

        parts = [load_dataset("uoft-cs/cifar100", split=split) for split in ("train", "test")]
    except Exception as error:
        raise Skip(
            f"the data set uoft-cs/cifar100 is not here and cannot be fetched ({type(error).__name__})"
        ) from error
    arrays: list[NDArray[Any]] = []
    for part in parts:
        pixels = np.stack([np.asarray(image.convert("RGB")) for image in part["img"]]).transpose(0, 3, 1, 2)
        arrays += [np.ascontiguousarray(pixels), np.array(part["fine_label"])]

    def augment(images: Tensor, random: np.random.Generator) -> Tensor:
        flipped = torch.from_numpy(random.random(len(images)) < 0.5).to(images.device)
        return torch.where(flipped[:, None, None, None], images.flip(-1), images)

    return Setting(
        *_on(device, *arrays),
        encoder=lambda generation, width: UpsampledResNet(width),
        augment=augment,
        classes=classes,
        width=128,
        extra=32,
        epochs=epochs,
        seed=seed,
    )

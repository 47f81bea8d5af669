"""Training a backbone to be compatible with an old model: the loop, its checkpoints, and what it leaves behind.

Beside the folder that the trained model will be written to, an unfinished run keeps its state in `.NAME.unfinished`,
one checkpoint an epoch; a run that was killed goes on from the last of them. The folder itself appears when all of it
is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from paperworks.backward_compatible.embedder import Embedder, load_embedder, load_image_processor
from paperworks.backward_compatible.imagefolder import EpochSampler, Images, read_image_folder
from paperworks.backward_compatible.training import (
    CompatibleTraining,
    Transformation,
    old_prototypes,
    warmup_cosine,
)
from paperworks.errors import InputError
from paperworks.files import write_json

Progress = Callable[[int, int, str], None]
History = list[dict[str, float]]


@dataclass(frozen=True)
class TrainingOptions:
    """Hyper-parameters; the defaults are those of the paper's released code for CIFAR-100.

    `mixed_precision` is accelerate's: "no", "fp16" or "bf16". `flip` mirrors half of the images.
    """

    extra_dimensions: int = 32
    transformation: Transformation = "orthogonal"
    weights: tuple[float, float, float] = (5.0, 10.0, 5.0)
    label_smoothing: float = 0.1
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 2.0**-15
    warmup_epochs: int = 5
    flip: bool = True
    mixed_precision: str = "no"
    seed: int = 42

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 <= self.warmup_epochs <= self.epochs:
            raise InputError(
                f"{self.epochs} epochs in batches of {self.batch_size} with {self.warmup_epochs} epochs of warm-up: "
                "epochs and batch size must be at least 1, warm-up at most the epochs"
            )


class _Step(nn.Module):
    """Embedder and loss as one module, so that they are prepared, saved and restored together."""

    def __init__(self, embedder: Embedder, head: CompatibleTraining) -> None:
        super().__init__()
        self.embedder, self.head = embedder, head

    def forward(self, labels: Tensor, **inputs: Tensor) -> Tensor:
        return self.head(self.embedder.features(**inputs), labels)


def train_embedder(
    embedder: Embedder,
    head: CompatibleTraining,
    data: Dataset[dict[str, Any]],
    options: TrainingOptions,
    checkpoints: str | os.PathLike[str],
    *,
    resume: bool = False,
    workers: int = 0,
    device: str = "auto",
    progress: Progress = lambda done, total, what: None,
) -> History:
    """Train `embedder` and `head` in place with Adam; returns the mean loss and terms of each epoch.

    `data` is asked for (epoch, number) and gives the backbone's inputs and `labels`, so text is trained as well as
    images. After each epoch the state is written to `checkpoints`; with `resume` the last one is taken up. Runs on
    several processes under `accelerate launch`.

    Raises `InputError` where the loss is not finite, naming the step, and where a checkpoint is of another run.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, set_seed

    folder = Path(checkpoints)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    # A pooler or a text tower that the embedding does not use has no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(
        cpu=device == "cpu", mixed_precision=options.mixed_precision, kwargs_handlers=[unused]
    )
    set_seed(options.seed)
    step = _Step(embedder, head)
    sampler = EpochSampler(len(data), options.seed)  # type: ignore[arg-type]
    loader: Any = DataLoader(data, options.batch_size, sampler=sampler, num_workers=workers)
    optimiser = torch.optim.Adam(step.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    model, prepared, loader = accelerator.prepare(step, optimiser, loader)
    warmup, total = options.warmup_epochs * len(loader), options.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: warmup_cosine(n, warmup, total))
    accelerator.register_for_checkpointing(schedule)

    history: History = []
    if resume and (last := _last_checkpoint(folder)) is not None:
        history = _restore(accelerator, last, options)
    for epoch in range(len(history), options.epochs):
        loader.set_epoch(epoch)
        model.train()
        sums: dict[str, float] = dict.fromkeys(("loss", "classification", "influence", "alignment"), 0.0)
        for number, batch in enumerate(loader):
            progress(epoch * len(loader) + number, total, f"epoch {epoch + 1} of {options.epochs}")
            loss = model(**batch)
            values = {"loss": loss.detach(), **head.terms}
            if not torch.isfinite(loss):
                raise InputError(
                    f"the loss is {loss.item()} at epoch {epoch + 1}, step {number + 1}: lower the learning rate "
                    f"({options.learning_rate:g}) or train without mixed precision; the last whole epoch is kept"
                )
            prepared.zero_grad()
            accelerator.backward(loss)
            prepared.step()
            schedule.step()
            for name, value in values.items():
                sums[name] += float(value) / len(loader)
        history.append(sums)
        _write_checkpoint(accelerator, folder, history, options)
    progress(total, total, "trained")
    return history


def train_on_images(
    old: str,
    backbone: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: TrainingOptions,
    *,
    resume: bool = False,
    workers: int = 0,
    device: str = "auto",
    progress: Progress = lambda done, total, what: None,
) -> History:
    """Train the checkpoint `backbone` on an image folder to be compatible with the checkpoint `old`; write `out`.

    `old` may be the result of an earlier training here. `out` is the backbone's own checkpoint and image processor,
    with a linear projection to d + e dimensions and the training's history; the orthogonal layer and the classifier
    are not needed to serve and are not kept.

    Raises `InputError` if `out` exists, or an unfinished run is there and `resume` is not asked for.
    """
    from accelerate import PartialState

    target = Path(out)
    work = target.with_name(f".{target.name}.unfinished")
    if target.exists():
        raise InputError(f"{target} exists already: choose another --out, or remove it")
    if work.exists() and not resume:
        raise InputError(f"an unfinished run is in {work}: go on with --resume, or remove it")
    state = PartialState(cpu=device == "cpu")
    state.wait_for_everyone()
    folder = read_image_folder(data)
    torch.manual_seed(options.seed)
    old_model, model = load_embedder(old), load_embedder(backbone)
    old_images = Images(folder, load_image_processor(old))
    processor = load_image_processor(backbone)
    prototypes = _prototypes(old_model, old_images, len(folder.classes), options, workers, device, progress)
    torch.manual_seed(options.seed)
    head = CompatibleTraining(
        prototypes,
        options.extra_dimensions,
        options.transformation,
        weights=options.weights,
        label_smoothing=options.label_smoothing,
    )
    images = Images(folder, processor, flip=options.flip, seed=options.seed)
    model = _projected(model, images, head.width)
    with state.main_process_first():
        _same_run(
            work,
            {"old": str(old), "backbone": str(backbone), "classes": folder.classes, "images": len(images)},
        )
    history = train_embedder(
        model, head, images, options, work, resume=resume, workers=workers, device=device, progress=progress
    )
    if state.is_main_process:
        model.card = {
            "old_width": head.old_width,
            "width": head.width,
            "old": str(old),
            "backbone": str(backbone),
            "classes": list(folder.classes),
            "training": asdict(options),
        }
        finished = work / "finished"
        shutil.rmtree(finished, ignore_errors=True)
        finished.mkdir(parents=True)
        model.save(finished)
        processor.save_pretrained(str(finished))
        write_json(finished / "history.json", history)
        os.replace(finished, target)
        shutil.rmtree(work)
    state.wait_for_everyone()
    return history


def _prototypes(
    old: Embedder,
    images: Images,
    classes: int,
    options: TrainingOptions,
    workers: int,
    device: str,
    progress: Progress,
) -> Tensor:
    from paperworks.devices import resolve_device

    place = resolve_device(device)
    loader = DataLoader(images, options.batch_size, num_workers=workers)
    features: list[Tensor] = []
    old.to(place).eval()
    with torch.no_grad():
        for number, batch in enumerate(loader):
            progress(number, len(loader), "the old model's prototypes")
            batch.pop("labels")
            features.append(old(**{name: value.to(place) for name, value in batch.items()}).cpu())
    old.cpu()
    return old_prototypes(torch.cat(features), torch.tensor(images.folder.labels), classes)


def _projected(model: Embedder, images: Images, width: int) -> Embedder:
    """The model's backbone with an untrained projection in place of its own, if it has one."""
    bare = Embedder(model.backbone, None, model.pooling)
    with torch.no_grad():
        features = bare.features(pixel_values=images[0]["pixel_values"][None])
    return Embedder(model.backbone, nn.Linear(features.shape[1], width), model.pooling)


def _same_run(work: Path, run: Mapping[str, Any]) -> None:
    """Note what a run is about, or compare with what is noted."""
    note, plain = work / "run.json", json.loads(json.dumps(run))
    if not note.exists():
        write_json(note, plain)
    elif (noted := json.loads(note.read_text(encoding="utf-8"))) != plain:
        changed = ", ".join(f"{name} was {noted[name]}" for name in plain if noted[name] != plain[name])
        raise InputError(
            f"the unfinished run in {work} is another one ({changed}): remove it, or give the same"
        )


def _last_checkpoint(folder: Path) -> Path | None:
    return max(folder.glob("epoch-[0-9]*"), default=None)


def _write_checkpoint(accelerator: Any, folder: Path, history: History, options: TrainingOptions) -> None:
    """Write the state under another name first, then rename it and remove the one before."""
    epoch = folder / f"epoch-{len(history):06d}"
    partial = folder / f"partial-{epoch.name}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(partial / "history.json", {"options": _plain(options), "history": history})
        before = _last_checkpoint(folder)
        os.replace(partial, epoch)
        if before is not None:
            shutil.rmtree(before)
    accelerator.wait_for_everyone()


def _restore(accelerator: Any, checkpoint: Path, options: TrainingOptions) -> History:
    stored = json.loads((checkpoint / "history.json").read_text(encoding="utf-8"))
    changed = [name for name, value in _plain(options).items() if stored["options"].get(name) != value]
    if changed:
        values = ", ".join(f"{name} was {stored['options'].get(name)}" for name in changed)
        raise InputError(
            f"{checkpoint.parent}: the unfinished run had other options ({values}); give the same ones"
        )
    try:
        accelerator.load_state(str(checkpoint))
    except RuntimeError as error:
        reason = next((line for line in str(error).splitlines()[1:] if "size mismatch" in line), str(error))
        raise InputError(
            f"{checkpoint}: it is of another model, old model or set of classes ({reason.strip()})"
        ) from error
    return stored["history"]


def _plain(options: TrainingOptions) -> Mapping[str, Any]:
    return json.loads(json.dumps(asdict(options)))

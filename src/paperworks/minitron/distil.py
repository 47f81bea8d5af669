"""From text and folders to a corrected teacher, a stored teacher or a distilled student; what the commands call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paperworks.errors import InputError
from paperworks.minitron.architecture import read_config, sizes_of
from paperworks.minitron.calibration import Calibration, load_calibration, packed_rows
from paperworks.minitron.importance import Progress
from paperworks.minitron.measure import load_model, tokenizer_of
from paperworks.minitron.stored_teacher import StoredTeacher, store_teacher, tokenizer_hash
from paperworks.minitron.trainer import DistillationTrainer, correct_teacher, training_arguments


def training_rows(data: Any, tokenizer: Any, *, length: int, samples: int | None, seed: int) -> Calibration:
    """Text as rows of `length` tokens: `samples` drawn by `seed`, or all. Raises `InputError`."""
    if samples is None:
        return packed_rows(data, tokenizer, length=length)
    return load_calibration(data, tokenizer, samples=samples, length=length, seed=seed)


def correct(
    model: str | Path,
    data: Any,
    out: str | Path,
    *,
    original_peak_lr: float,
    steps: int,
    batch_size: int = 8,
    length: int = 512,
    samples: int | None = None,
    seed: int = 0,
) -> None:
    """Teacher correction of a folder on text (section 3.5 of the specification): the corrected model and its tokenizer
    in `out`. Raises `InputError`."""
    tokenizer = tokenizer_of(model)
    rows = training_rows(data, tokenizer, length=length, samples=samples, seed=seed)
    correct_teacher(
        load_model(model).train(),
        as_dataset(rows),
        original_peak_lr=original_peak_lr,
        out=out,
        steps=steps,
        warmup_steps=min(120, steps),
        batch_size=batch_size,
        seed=seed,
        processing_class=tokenizer,
    )


def store(
    teacher: str | Path,
    data: Any,
    out: str | Path,
    *,
    k: int,
    length: int = 512,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Store the `k` likeliest words of a teacher's distribution on text in the folder `out`. Raises `InputError`."""
    tokenizer = tokenizer_of(teacher)
    rows = training_rows(data, tokenizer, length=length, samples=samples, seed=seed)
    store_teacher(
        load_model(teacher),
        rows.input_ids,
        out,
        k,
        tokenizer=tokenizer,
        progress=progress or (lambda done, total, what: None),
    )


def distil(
    student: str | Path,
    out: str | Path,
    data: Any,
    *,
    teacher: str | Path | None = None,
    stored: str | Path | None = None,
    steps: int = 1000,
    batch_size: int = 8,
    accumulate: int = 1,
    peak_lr: float = 1e-4,
    min_lr: float = 1e-5,
    warmup_steps: int = 40,
    temperature: float = 1.0,
    length: int = 512,
    samples: int | None = None,
    seed: int = 0,
) -> float:
    """Distil a folder's model from a teacher's folder or a stored teacher; the mean divergence of the last steps, in
    nats a token. `out` gets the student, its tokenizer and the checkpoints, from the last of which a killed run goes
    on. Raises `InputError` for another tokenizer."""
    from transformers.trainer_utils import get_last_checkpoint

    tokenizer = tokenizer_of(student)
    source: Any
    if stored is not None:
        source = StoredTeacher(stored, tokenizer)
    elif teacher is not None:
        sizes_of(read_config(teacher))
        if tokenizer_hash(tokenizer_of(teacher)) != tokenizer_hash(tokenizer):
            raise InputError(
                f"{teacher} and {student} have different tokenizers: a student learns its teacher's words"
            )
        source = load_model(teacher)
    else:
        raise InputError("no teacher: give a folder or a stored teacher")
    rows = training_rows(data, tokenizer, length=length, samples=samples, seed=seed)
    arguments = training_arguments(
        out,
        steps=steps,
        peak_lr=peak_lr,
        min_lr=min_lr,
        warmup_steps=min(warmup_steps, steps),
        batch_size=batch_size,
        accumulation=accumulate,
        seed=seed,
    )
    trainer = DistillationTrainer(
        load_model(student).train(),
        source,
        arguments,
        as_dataset(rows),
        temperature=temperature,
        processing_class=tokenizer,
    )
    last = get_last_checkpoint(str(out)) if Path(out).is_dir() else None
    trained = trainer.train(resume_from_checkpoint=last)
    trainer.save_model(str(out))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return float(losses[-1] if losses else trained.training_loss)


def as_dataset(rows: Calibration) -> Any:
    """Rows of token ids as a `datasets.Dataset`."""
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": rows.input_ids.tolist()}).with_format("torch")

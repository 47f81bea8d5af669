"""Measures the importance of a model's parts, from a loaded model or streamed from the files of a checkpoint."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError
from paperworks.minitron.architecture import read_config, sizes_of
from paperworks.minitron.calibration import Calibration, load_calibration
from paperworks.minitron.importance import Importance, Progress, measure_in_memory

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def measure_importance(
    model: str | Path | PreTrainedModel,
    data: Any,
    *,
    samples: int = 1024,
    length: int = 512,
    seed: int = 0,
    stream: bool = True,
    dtype: str = "float32",
    batch: str = "l2",
    sequence: str = "mean",
    batch_size: int = 4,
    scratch: str | Path | None = None,
    progress: Progress | None = None,
) -> Importance:
    """The importance of neurons, heads and channels on calibration text (section 2.2 of the paper).

    `model`: a checkpoint folder, read layer by layer with `stream` so that it may be larger than memory, or a loaded
    model. `data`: token ids `[N, S]`, a `Calibration`, or text as `load_calibration` takes it, of which `samples` rows
    of `length` tokens are drawn by `seed`; 1,024 samples in the paper. `dtype`: what a folder is computed in.
    `scratch`: where the streamed states lie (twice `N·S·d` values); a killed run with the same `scratch` goes on, one
    without it starts anew in a temporary folder.
    Raises `InputError`.
    """
    if not isinstance(model, str | Path):
        calibration = data if isinstance(data, Calibration) else _ids(data)
        if calibration is None:
            raise InputError(
                "a loaded model needs token ids: tokenise the text first, or give the checkpoint's folder"
            )
        return measure_in_memory(
            model, calibration, batch_size=batch_size, batch=batch, sequence=sequence, progress=progress
        )
    folder = Path(model)
    sizes_of(read_config(folder))
    calibration = data if isinstance(data, Calibration) else _ids(data)
    if calibration is None:
        calibration = load_calibration(data, tokenizer_of(folder), samples=samples, length=length, seed=seed)
    if stream:
        from paperworks.minitron.stream import measure_streamed

        with nullcontext(scratch) if scratch is not None else TemporaryDirectory() as states:
            return measure_streamed(
                folder,
                calibration,
                scratch=Path(states),
                chunk=batch_size,
                batch=batch,
                sequence=sequence,
                dtype=torch_dtype(dtype),
                progress=progress,
            )
    return measure_in_memory(
        load_model(folder, dtype),
        calibration,
        batch_size=batch_size,
        batch=batch,
        sequence=sequence,
        progress=progress,
    )


def load_model(folder: str | Path, dtype: str = "float32", device: str = "cpu") -> PreTrainedModel:
    """The model of a checkpoint folder for inference. Raises `InputError` for another architecture."""
    from transformers import AutoModelForCausalLM

    sizes_of(read_config(folder))
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch_dtype(dtype))
    return model.to(device).eval()


def tokenizer_of(folder: str | Path) -> Any:
    """The tokenizer in a checkpoint folder. Raises `InputError` where there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"no tokenizer in {folder}: put its tokenizer files there") from error


def torch_dtype(name: str) -> torch.dtype:
    """`float32`, `bfloat16` or `float16`. Raises `InputError`."""
    import torch

    if name not in ("float32", "bfloat16", "float16"):
        raise InputError(f"dtype is float32, bfloat16 or float16, not {name!r}")
    return getattr(torch, name)


def _ids(data: Any) -> Calibration | None:
    """Token ids as they are; `None` for text that has to be tokenised."""
    from paperworks.minitron.calibration import as_calibration

    is_text = isinstance(data, str | Path) or hasattr(data, "column_names")
    return None if is_text else as_calibration(data)

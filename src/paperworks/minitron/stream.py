"""Importance of a checkpoint that is larger than memory: pass 1 of streaming (specification, section 3.7).

One layer at a time is built from the mapped files, and all samples run through it. Their states lie on the disk, in two
files `[N, S, d]` that take turns as input and output; private memory is one layer and the activations of one chunk. The
layer is a whole model of one layer, so masks, rotations and windows are the library's own, and scores are those of
`measure_in_memory` bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from paperworks.errors import InputError
from paperworks.files import remove_remains, replacing, write_json
from paperworks.minitron.architecture import model_config
from paperworks.minitron.calibration import Calibration, as_calibration
from paperworks.minitron.checkpoint import Checkpoint, read_journal
from paperworks.minitron.importance import (
    NORMS,
    Importance,
    LayerProbe,
    LayerScores,
    Progress,
    facts_of,
)
from paperworks.minitron.memory import PeakPrivate, check_disk

VOCABULARY_BLOCK = 8192
"""Rows of `lm_head` that are multiplied at a time: 134 MB in float32 for Llama-3.1-8B."""


@torch.no_grad()
def measure_streamed(
    folder: str | Path,
    calibration: Any,
    *,
    scratch: str | Path,
    chunk: int = 4,
    batch: str = "l2",
    sequence: str = "mean",
    dtype: torch.dtype = torch.float32,
    lm_loss: bool = False,
    progress: Progress | None = None,
) -> Importance:
    """The importance of a checkpoint's parts on calibration samples, `chunk` samples at a time, without loading it.

    `scratch` is a folder for the states, `2·N·S·d` values of `dtype`, and the finished layers; a killed run goes on
    there when called again, and a finished one leaves nothing. `lm_loss` also measures the language-model loss, in nats
    per token (`facts["lm_loss"]`). `progress` gets samples times layers, and from the second layer on the time that is
    left. Raises `InputError` for a disk that is too small, a scratch folder of another run, values that are not finite,
    and as `Checkpoint` and `Calibration.checked`.
    """
    checkpoint = Checkpoint(folder)
    data = as_calibration(calibration).checked(checkpoint.sizes.vocabulary)
    facts = facts_of(
        checkpoint.config, data, batch=batch, sequence=sequence, dtype=str(dtype).removeprefix("torch.")
    )
    run = _Scratch(Path(scratch), checkpoint, data, dtype, {**facts, "chunk": chunk})
    tell = _Clock(checkpoint.sizes.layers, len(data), progress)
    with PeakPrivate() as memory:
        try:
            scores = run.finished()
            if not scores:
                _embed(checkpoint, data, run.states(0))
            for layer in range(len(scores), checkpoint.sizes.layers):
                probe = LayerProbe(checkpoint.sizes, layer, batch=batch, sequence=sequence)
                _run_layer(checkpoint, layer, probe, data, run, chunk, tell)
                scores.append(probe.scores())
                run.save(layer, scores[-1])
            if lm_loss:
                facts["lm_loss"] = _lm_loss(checkpoint, data, run.states(checkpoint.sizes.layers), chunk)
        except InputError:  # it would come again
            run.remove()
            raise
    run.remove()
    tell.end(memory.bytes)
    return Importance.of_layers(scores, checkpoint.sizes, facts)


def _embed(checkpoint: Checkpoint, data: Calibration, states: torch.Tensor) -> None:
    name = "model.embed_tokens.weight"
    table = checkpoint.tensor(name)
    for ids, state in zip(data.input_ids, states, strict=True):
        state.copy_(table[ids])
    checkpoint.release([name])


def _run_layer(
    checkpoint: Checkpoint,
    layer: int,
    probe: LayerProbe,
    data: Calibration,
    run: _Scratch,
    chunk: int,
    tell: Callable[[int, int], None],
) -> None:
    model = one_layer(checkpoint, layer, run.dtype)
    before, after = run.states(layer), run.states(layer + 1)
    checkpoint.prefetch(checkpoint.layer_names(layer + 1))
    with probe.on(model.model.layers[0]):
        for rows, part in data.chunks(chunk):
            probe.mask = part.mask
            states = before[rows].clone()  # in memory of its own, aligned as any other
            output = model.model(inputs_embeds=states, attention_mask=part.mask, use_cache=False)
            after[rows] = output.last_hidden_state
            tell(layer, rows.stop)
    model.to("meta")  # frees the layer before the next is built; models lie in cycles of references


def one_layer(checkpoint: Checkpoint, layer: int, dtype: torch.dtype) -> Any:
    """A causal language model whose only layer is that of the checkpoint, without embeddings, last norm and head.

    Call `model.model(inputs_embeds=..., attention_mask=..., use_cache=False)`.
    """
    model = _skeleton(checkpoint, layer)
    model.model.norm = torch.nn.Identity()
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)  # its frequencies are in no file
    decoder = model.model.layers[0].to(dtype).to_empty(device="cpu")
    for name, parameter in decoder.named_parameters():
        parameter.copy_(checkpoint.tensor(f"model.layers.{layer}.{name}"))
    checkpoint.release(checkpoint.layer_names(layer))
    return model


def _skeleton(checkpoint: Checkpoint, layer: int) -> Any:
    """A model of one layer, on `meta`, of the type that `layer` has."""
    from transformers import AutoModelForCausalLM

    raw = model_config(checkpoint.config).to_dict()  # with what older configs leave to the library
    raw["num_hidden_layers"] = 1
    if types := raw.get("layer_types"):
        raw["layer_types"] = [types[layer]]
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(model_config(raw)).eval()


def _lm_loss(checkpoint: Checkpoint, data: Calibration, states: torch.Tensor, chunk: int) -> float:
    """The mean of `-log p(next token)` over positions that count and whose next one does, head in blocks of words."""
    norm = _skeleton(checkpoint, 0).model.norm.to(states.dtype).to_empty(device="cpu")
    norm.weight.copy_(checkpoint.tensor("model.norm.weight"))
    head = "model.embed_tokens.weight" if checkpoint.sizes.tied else "lm_head.weight"
    total, count = 0.0, 0
    for rows, part in data.chunks(chunk):
        hidden, target = norm(states[rows].clone())[:, :-1], part.input_ids[:, 1:]
        if part.mask is not None:
            counts = (part.mask[:, 1:] * part.mask[:, :-1]).bool()
            hidden, target = hidden[counts], target[counts]
        losses = _cross_entropy(checkpoint, head, hidden.reshape(-1, hidden.shape[-1]), target.reshape(-1))
        total, count = total + float(losses.double().sum()), count + len(losses)
    checkpoint.release([head])
    return total / max(1, count)


def _cross_entropy(
    checkpoint: Checkpoint, head: str, hidden: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """`log Σ_v e^{z_v} − z_target` `[tokens]`, the sum kept relative to the largest logit so far."""
    largest = torch.full((len(hidden),), -torch.inf)
    total, chosen = torch.zeros(len(hidden)), torch.zeros(len(hidden))
    for first in range(0, checkpoint.sizes.vocabulary, VOCABULARY_BLOCK):
        weight = checkpoint.rows(head, first, first + VOCABULARY_BLOCK).to(hidden.dtype)
        logits = (hidden @ weight.T).float()
        higher = torch.maximum(largest, logits.amax(1))
        total = total * (largest - higher).exp() + (logits - higher[:, None]).exp().sum(1)
        largest = higher
        inside = (target >= first) & (target < first + len(weight))
        chosen[inside] = logits[inside, target[inside] - first]
    return largest + total.log() - chosen


class _Scratch:
    """The folder of a run: the states before and after a layer, and the scores of the finished layers.

    Layer `ℓ` reads file `ℓ mod 2` and writes the other, so until its scores are saved its input is still there.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: Checkpoint,
        data: Calibration,
        dtype: torch.dtype,
        options: dict[str, Any],
    ) -> None:
        self.folder, self.dtype = folder, dtype
        self._shape = (len(data), data.length, checkpoint.sizes.hidden)
        self._layers = checkpoint.sizes.layers
        key = hashlib.sha256(json.dumps([options, checkpoint.fingerprint()], sort_keys=True).encode())
        for tensor in (data.input_ids, data.mask):
            key.update(b"" if tensor is None else tensor.contiguous().numpy().tobytes())
        self._marker = folder / "measure.journal.json"
        if self._marker.exists():
            if read_journal(self._marker).get("key") != key.hexdigest():
                raise InputError(
                    f"{folder} holds an unfinished measurement of something else: give another folder, or empty it"
                )
        else:
            for file in self._files:
                if file.exists():
                    raise InputError(
                        f"{folder} holds files of another run ({file.name}): give another folder"
                    )
        self._size = dtype.itemsize * self._shape[0] * self._shape[1] * self._shape[2]
        have = sum(file.stat().st_size for file in self._states if file.exists())
        check_disk(folder, 2 * self._size - have, "the states of the calibration samples")
        write_json(self._marker, {"key": key.hexdigest()})
        for file in self._states:
            _reserve(file, self._size)

    @property
    def _states(self) -> list[Path]:
        return [self.folder / f"states-{i}.bin" for i in range(2)]

    @property
    def _files(self) -> list[Path]:
        return [*self._states, *(self._scores(layer) for layer in range(self._layers))]

    def _scores(self, layer: int) -> Path:
        return self.folder / f"layer-{layer:05}.safetensors"

    def states(self, layer: int) -> torch.Tensor:
        """The states `[N, S, d]` before a layer, over the mapped file."""
        file = self._states[layer % 2]
        count = self._shape[0] * self._shape[1] * self._shape[2]
        return torch.from_file(str(file), shared=True, size=count, dtype=self.dtype).view(self._shape)

    def finished(self) -> list[LayerScores]:
        """The scores of the layers that a killed run finished."""
        from safetensors.torch import load_file

        scores = []
        for layer in range(self._layers):
            if not self._scores(layer).exists():
                break
            tensors = load_file(self._scores(layer))
            scores.append(
                LayerScores(
                    tensors["neuron"],
                    tensors["head_channel"],
                    {side: tensors[side] for side in NORMS},
                    float(tensors["bi"]),
                    {place: tensors[f"energy.{place}"] for place in (*NORMS, "output")},
                )
            )
        return scores

    def save(self, layer: int, scores: LayerScores) -> None:
        """Keep a finished layer's scores, once the states after it are on the disk."""
        from safetensors.torch import save_file

        with self._states[(layer + 1) % 2].open("rb+") as file:
            os.fsync(file.fileno())
        tensors = {"neuron": scores.neuron, "head_channel": scores.head_channel, **scores.norm}
        tensors |= {f"energy.{place}": energy for place, energy in scores.energy.items()}
        tensors["bi"] = torch.tensor(scores.bi, dtype=torch.float64)
        with replacing(self._scores(layer)) as partial:
            save_file(tensors, partial)

    def remove(self) -> None:
        """Remove what the run left, and the folder if nothing else is in it."""
        for file in (*self._files, self._marker):
            file.unlink(missing_ok=True)
            remove_remains(file)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _reserve(file: Path, size: int) -> None:
    """Give a file its size on the disk, so that writing to the map cannot fail for want of space."""
    try:
        with file.open("ab") as handle:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, size)
            else:
                handle.truncate(size)
    except OSError as error:
        raise InputError(f"cannot reserve {size:,} bytes in {file.parent}: {error.strerror}") from error


class _Clock:
    """Tells `progress` how far the run is and how long it will take."""

    def __init__(self, layers: int, samples: int, progress: Progress | None) -> None:
        self._layers, self._samples, self._progress = layers, samples, progress
        self._start = time.perf_counter()
        self._first = -1

    def __call__(self, layer: int, sample: int) -> None:
        if self._first < 0:
            self._first = layer
        text = f"measuring importance, layer {layer + 1} of {self._layers}"
        done = (layer - self._first) * self._samples + sample
        if done >= self._samples:
            left = (self._layers - self._first) * self._samples - done
            text += f", about {_duration((time.perf_counter() - self._start) * left / done)} left"
        if self._progress:
            self._progress(layer * self._samples + sample, self._layers * self._samples, text)

    def end(self, peak: int) -> None:
        seconds = _duration(time.perf_counter() - self._start)
        total = self._layers * self._samples
        if self._progress:
            memory = f", peak private memory {peak / 1e6:,.0f} MB" if peak else ""
            self._progress(total, total, f"measured in {seconds}{memory}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

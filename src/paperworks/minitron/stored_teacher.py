"""A teacher's most probable words on disk, so that a student is distilled without the teacher in memory.

Per token the `k` most probable words (uint32), their log-probabilities (float16) and the log of the remaining mass
(float32): `6k + 4` bytes, 39 GB for 100M tokens at k = 64 (specification, section 3.6). A folder holds shards
`00000.safetensors`, `00001.safetensors` … and `teacher.json`, which is written last. A shard has the rows of text one
after the other, without padding:

    lengths [rows] int32 · input_ids [tokens] uint32 · indices [tokens, k] uint32 · log_probs [tokens, k] float16
    log_rest [tokens] float32
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from paperworks.errors import InputError
from paperworks.files import remove_remains, replacing, write_json
from paperworks.minitron.architecture import config_hash
from paperworks.minitron.distillation_loss import BUDGET, fill_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Progress = Callable[[int, int, str], None]


def store_teacher(
    model: PreTrainedModel,
    rows: Any,
    out: str | Path,
    k: int = 64,
    *,
    tokenizer: Any = None,
    vocabulary: int | None = None,
    batch_size: int = 8,
    shard_tokens: int = 1_000_000,
    budget: int = BUDGET,
    progress: Progress = lambda done, total, what: None,
) -> StoredTeacher:
    """Run `model` over `rows` and write what a student needs of it to the folder `out`.

    `rows` are token ids: a tensor `[n, S]`, a sequence of sequences, or a `datasets.Dataset` with `input_ids` and, if
    padded, `attention_mask`. `vocabulary` cuts the teacher's head to its first words, for a student with fewer. A shard
    ends with the row that reaches `shard_tokens`. A killed run goes on with the same call: shards that are there stay.
    `progress(done, total, what)` counts rows. The head is applied to `budget` bytes of logits at a time.

    Raises `InputError` for a `k` that the vocabulary does not have, no rows, a row without tokens, a token id that the
    model does not know, and a folder that holds another teacher or another text.
    """
    folder, total = Path(out), len(rows)
    head = model.get_output_embeddings()
    words = len(head.weight) if vocabulary is None else vocabulary
    if not 1 <= words <= len(head.weight):
        raise InputError(
            f"vocabulary {words} is not between 1 and the {len(head.weight)} words of the teacher's head"
        )
    if not 1 <= k <= words:
        raise InputError(f"k = {k} is not between 1 and the teacher's {words} words")
    if not total:
        raise InputError("there are no rows of text to store the teacher for")
    facts = {
        "k": k,
        "vocabulary": words,
        "config": config_hash(model.config),
        "weights": _weights_hash(model),
        "tokenizer": None if tokenizer is None else tokenizer_hash(tokenizer),
        "shard_tokens": shard_tokens,
    }
    run = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    shards: list[dict[str, int]] = []
    done, training = 0, model.training
    model.eval()
    try:
        for number, texts in enumerate(_shards(rows, shard_tokens, model.config.vocab_size)):
            path = folder / f"{number:05d}.safetensors"
            text = hashlib.sha256(b"".join(_key(ids) for ids in texts)).hexdigest()[:16]
            if path.exists():
                _same(path, run, text)
            else:
                remove_remains(path)
                found = []
                for first in range(0, len(texts), batch_size):
                    progress(done + first, total, "storing the teacher")
                    found.append(_top_k(model, texts[first : first + batch_size], k, words, budget))
                tensors = {
                    "lengths": torch.tensor([len(ids) for ids in texts], dtype=torch.int32),
                    "input_ids": torch.cat(texts).to(torch.uint32),
                }
                for name, parts in zip(
                    ("indices", "log_probs", "log_rest"), zip(*found, strict=True), strict=True
                ):
                    tensors[name] = torch.cat(parts)
                with replacing(path) as partial:
                    save_file(tensors, partial, metadata={"stored": f"{run} {text}"})
            shards.append({"rows": len(texts), "tokens": sum(map(len, texts))})
            done += len(texts)
    finally:
        model.train(training)
    if (extra := folder / f"{len(shards):05d}.safetensors").exists():
        raise InputError(f"{extra} is of a longer text: give another folder")
    write_json(folder / "teacher.json", {"format": 1, **facts, "shards": shards})
    progress(total, total, "stored the teacher")
    return StoredTeacher(folder)


class StoredTeacher:
    """What `store_teacher` wrote; opened lazily, looked up by the text.

    `k`, `vocabulary` (words of the teacher's head), `rows` and `tokens` are read from `teacher.json`. A lookup reads
    the rows that it needs from the mapped shards; the first reads all token ids once, to find rows by their content.

    Raises `InputError` for a folder without a finished teacher, and for one that was stored with another `tokenizer`.
    """

    def __init__(self, folder: str | Path, tokenizer: Any = None) -> None:
        self.folder = Path(folder)
        try:
            facts = json.loads((self.folder / "teacher.json").read_text(encoding="utf-8"))
            self.k, self.vocabulary = int(facts["k"]), int(facts["vocabulary"])
            self.rows, self.tokens = (
                sum(shard[name] for shard in facts["shards"]) for name in ("rows", "tokens")
            )
        except FileNotFoundError as error:
            raise InputError(
                f"{folder}: no teacher.json, so no finished teacher: run store_teacher again"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}/teacher.json is damaged: {error}") from error
        self._tokenizer, self._shards = facts["tokenizer"], len(facts["shards"])
        if tokenizer is not None:
            self.check_tokenizer(tokenizer)

    def check_tokenizer(self, tokenizer: Any) -> None:
        """Raise `InputError` unless the teacher was stored with the same vocabulary."""
        if self._tokenizer is not None and tokenizer_hash(tokenizer) != self._tokenizer:
            raise InputError(
                f"{self.folder}: the teacher was stored with another tokenizer: use that, or store again"
            )

    def lookup(
        self, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`indices [B, S, k]` (int64), `log_probs [B, S, k]` and `log_rest [B, S]` (float32) of `input_ids [B, S]`.

        Padding, where `attention_mask [B, S]` is 0, gets zeros. On the device of `input_ids`. Raises `InputError` for a
        row that was not stored.
        """
        ids = input_ids.cpu()
        kept = (
            torch.ones_like(ids, dtype=torch.bool) if attention_mask is None else attention_mask.cpu().bool()
        )
        indices = torch.zeros(*ids.shape, self.k, dtype=torch.long)
        log_probs, log_rest = torch.zeros(*ids.shape, self.k), torch.zeros(ids.shape)
        for row, mask in enumerate(kept):
            place = self._places.get(_digest(ids[row][mask]))
            if place is None:
                raise InputError(
                    f"{self.folder}: a row of {int(mask.sum())} tokens was not stored: it is of another text, or "
                    "packed to another length"
                )
            shard, first, last = place
            file = self._files[shard]
            indices[row, mask] = file.get_slice("indices")[first:last].long()
            log_probs[row, mask] = file.get_slice("log_probs")[first:last].float()
            log_rest[row, mask] = file.get_slice("log_rest")[first:last]
        device = input_ids.device
        return indices.to(device), log_probs.to(device), log_rest.to(device)

    @cached_property
    def _files(self) -> list[Any]:
        files = []
        for number in range(self._shards):
            path = self.folder / f"{number:05d}.safetensors"
            try:
                files.append(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise InputError(
                    f"{path} is missing or damaged ({error}): run store_teacher again"
                ) from error
        return files

    @cached_property
    def _places(self) -> dict[bytes, tuple[int, int, int]]:
        """Shard, first and last token of every row, by the digest of its ids."""
        places = {}
        for number, file in enumerate(self._files):
            first = 0
            for ids in file.get_tensor("input_ids").long().split(file.get_tensor("lengths").tolist()):
                places[_digest(ids)] = number, first, first + len(ids)
                first += len(ids)
        return places


def tokenizer_hash(tokenizer: Any) -> str:
    """A short hash of a tokenizer's words and their ids."""
    words = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def pad_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows with `input_ids`, and `attention_mask` and `labels` if they have them, as one batch padded on the right.

    Returns `input_ids`, `attention_mask` and `labels`, each `[B, S]` int64; labels default to the ids and are −100
    where the mask is 0. A `data_collator` that needs no tokenizer; other columns are left out.
    """
    batch: dict[str, list[Tensor]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for row in rows:
        ids = torch.as_tensor(row["input_ids"]).long()
        mask = torch.as_tensor(row.get("attention_mask", torch.ones_like(ids))).long()
        labels = torch.as_tensor(row.get("labels", ids)).long()
        batch["input_ids"].append(ids)
        batch["attention_mask"].append(mask)
        batch["labels"].append(labels.masked_fill(mask == 0, -100))
    padding = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {
        name: torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=padding[name])
        for name, values in batch.items()
    }


@torch.no_grad()
def _top_k(
    model: PreTrainedModel, texts: list[Tensor], k: int, words: int, budget: int
) -> tuple[Tensor, Tensor, Tensor]:
    batch = pad_rows([{"input_ids": ids} for ids in texts])
    mask = batch["attention_mask"].bool()
    inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
    hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
    head = model.get_output_embeddings()
    weight = head.weight[:words]
    bias = None if getattr(head, "bias", None) is None else head.bias[:words]
    # Four tiles: logits, log-probabilities, those of the rest, and their exponentials.
    chunk = max(1, budget // (4 * 4 * words))
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for some in hidden[mask.to(hidden.device)].split(chunk):
        logits = torch.empty(len(some), words, dtype=torch.float32, device=some.device)
        log_p = fill_logits(logits, some, weight, bias).log_softmax(1)
        top, indices = log_p.topk(k, 1)
        log_rest = log_p.scatter_(1, indices, -torch.inf).logsumexp(1)
        top = top.clamp(min=torch.finfo(torch.float16).min)
        found.append((indices.to("cpu", torch.uint32), top.to("cpu", torch.float16), log_rest.cpu()))
    indices, log_probs, log_rest = (torch.cat(parts) for parts in zip(*found, strict=True))
    return indices, log_probs, log_rest


def _shards(rows: Any, shard_tokens: int, vocabulary: int) -> Iterator[list[Tensor]]:
    """The token ids of the rows, each without its padding, in lists that end where `shard_tokens` is reached."""
    texts: list[Tensor] = []
    tokens = 0
    for number in range(len(rows)):
        row = rows[number]
        ids = torch.as_tensor(row["input_ids"] if isinstance(row, Mapping) else row).long().cpu()
        if isinstance(row, Mapping) and "attention_mask" in row:
            ids = ids[torch.as_tensor(row["attention_mask"]).bool().cpu()]
        if ids.ndim != 1 or not len(ids):
            raise InputError(f"row {number} is no list of token ids, or has none: drop it")
        if int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
            raise InputError(
                f"row {number} has the token id {int(ids.max())}, the teacher has {vocabulary} words: use its tokenizer"
            )
        texts.append(ids)
        tokens += len(ids)
        if tokens >= shard_tokens:
            yield texts
            texts, tokens = [], 0
    if texts:
        yield texts


def _same(path: Path, run: str, text: str) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            stored = (file.metadata() or {}).get("stored", "")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is damaged ({error}): remove it and run again") from error
    if not stored.startswith(run):
        raise InputError(f"{path} is of another teacher, tokenizer or k: give another folder")
    if not stored.endswith(text):
        raise InputError(f"{path} is of another text: give another folder")


def _weights_hash(model: PreTrainedModel) -> str:
    """Tells a fine-tuned model from its origin by the norms and biases, which are few and move in any training."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if parameter.ndim == 1:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]


def _key(ids: Tensor) -> bytes:
    return len(ids).to_bytes(8, "little") + ids.numpy().astype("<u4").tobytes()


def _digest(ids: Tensor) -> bytes:
    return hashlib.blake2b(_key(ids), digest_size=16).digest()

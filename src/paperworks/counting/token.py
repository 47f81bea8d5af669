"""The counting token: a word vector that makes a frozen text-to-image pipeline draw `N` objects, and its file.

`v` is the input embedding of a placeholder `S` in the prompt (paper, section 3; released code). While it is learned
nothing of the pipeline is changed: a copy of the tokenizer knows `S`, and a hook on the text encoder's input embedding
puts `v` where `S` stands. Afterwards it is an ordinary textual-inversion file that diffusers loads by itself.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paperworks.errors import InputError
from paperworks.files import replacing, write_json
from paperworks.sampling import is_sdxl

SLOT = "{token}"
"""Where a prompt has a token: the k-th slot belongs to the k-th kind of object."""
ENCODERS = ("clip_l", "clip_g")
"""The keys of the first and the second text encoder, as the two-tensor files of SDXL have them."""
RECORD = "counting.json"


@dataclass
class CountingToken:
    """One learned vector for each kind of object in a prompt.

    `names` are the words that stand for them (`<count-10>`), `vectors` per text encoder float32 `[kinds, d]`. `info` is
    what `counting.json` says: target, prompt, seed, settings, the trajectory, the counters by name. `pictures` are
    uint8 `[M, H, W, 3]`: `before` those of the prompt without a token, `after` those that the token was kept for.
    """

    names: tuple[str, ...]
    vectors: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The first prompt that it was learned in, with `{token}`."""
        return str(self.info["prompts"][0])

    def written_into(self, prompt: str) -> str:
        """A prompt with the tokens' names in its slots. Raises `InputError` for another number of slots."""
        return fill(prompt, self.names)

    def save(self, folder: str | Path) -> None:
        """Write `learned_embeds.safetensors` (a second kind: `learned_embeds_2.safetensors`) and `counting.json`.

        A file has one key, the token's name, which `pipe.load_textual_inversion(folder)` reads; for SDXL the two keys
        `clip_l` and `clip_g`, each loaded with `token=`. With pictures also `before.png`, `after.png` and
        `trajectory.png`.
        """
        from safetensors.torch import save

        folder = Path(folder)
        for kind, name in enumerate(self.names):
            tensors = {
                key: vectors[kind].detach().float().cpu().contiguous()
                for key, vectors in self.vectors.items()
            }
            if len(tensors) == 1:
                tensors = {name: next(iter(tensors.values()))}
            with replacing(folder / weight_name(kind)) as partial:
                partial.write_bytes(save(tensors))
        for name, pictures in self.pictures.items():
            from PIL import Image

            with replacing(folder / f"{name}.png") as partial:
                Image.fromarray(np.concatenate(list(pictures), axis=1)).save(partial, "PNG")
        if self.info.get("trajectory"):
            from paperworks.counting.plots import trajectory

            with replacing(folder / "trajectory.png") as partial:
                trajectory(self.info).savefig(partial, format="png", dpi=120, metadata={"Software": None})
        write_json(folder / RECORD, {"tokens": list(self.names), **self.info})

    @classmethod
    def load(cls, folder: str | Path) -> CountingToken:
        """What `save` wrote, pictures aside. Raises `InputError` where a file is missing or says something else."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            info = json.loads(_there(folder / RECORD).read_text(encoding="utf-8"))
            names = tuple(info.pop("tokens"))
            files = [load_file(_there(folder / weight_name(kind))) for kind in range(len(names))]
        except InputError:
            raise
        except (KeyError, ValueError, SafetensorError) as error:
            raise InputError(f"{folder} is damaged ({error}): learn the token again") from error
        keys = [key for key in ENCODERS if key in files[0]] or [names[0]]
        vectors = {
            (key if key in ENCODERS else ENCODERS[0]): torch.stack(
                [
                    file[key if key in ENCODERS else name].reshape(-1)
                    for file, name in zip(files, names, strict=True)
                ]
            )
            for key in keys
        }
        return cls(names, vectors, info)

    def check(self, pipe: Any) -> None:
        """Whether the pipeline can take it. Raises `InputError` for another width or a name that is taken; warns where
        the text encoder is not the one that it was learned with."""
        parts = encoders(pipe)
        if set(parts) != set(self.vectors):
            raise InputError(
                f"the token has vectors for {', '.join(self.vectors)}, the model has {', '.join(parts)}: "
                "learn it again with this model"
            )
        for key, (tokenizer, encoder) in parts.items():
            width = encoder.get_input_embeddings().embedding_dim
            if self.vectors[key].shape[1] != width:
                raise InputError(
                    f"the token is {self.vectors[key].shape[1]} wide, the model's text encoder {width}: "
                    "learn it again with this model"
                )
            free_names(tokenizer, self.names)
        told = self.info.get("text_encoder_sha256")
        if told and told != text_encoder_hash(pipe):
            warnings.warn(
                f"the token was learned with another text encoder ({self.info.get('model', 'unknown')}): "
                "what it does here is to be measured",
                UserWarning, stacklevel=2,
            )  # fmt: skip

    @contextmanager
    def placed(self, pipe: Any) -> Iterator[Any]:
        """A view of the pipeline that knows the tokens; the pipeline itself stays as it is."""
        self.check(pipe)
        with placed(pipe, self.names, {key: vectors[None] for key, vectors in self.vectors.items()}) as view:
            yield view

    def loading_lines(self, folder: str | Path) -> list[str]:
        """The lines of Python that load it with diffusers alone."""
        found = []
        for kind, name in enumerate(self.names):
            file = weight_name(kind)
            if len(self.vectors) == 1:
                own = "" if kind == 0 else f', weight_name="{file}"'
                found.append(f'pipe.load_textual_inversion("{folder}"{own})')
                continue
            found.append(f'vectors = safetensors.torch.load_file("{Path(folder) / file}")')
            found.append(f'pipe.load_textual_inversion(vectors["clip_l"], token="{name}")')
            found.append(
                f'pipe.load_textual_inversion(vectors["clip_g"], token="{name}", text_encoder=pipe.text_encoder_2, '
                "tokenizer=pipe.tokenizer_2)"
            )
        return found


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {path.name}: give a folder that `optimize` wrote")
    return path


def weight_name(kind: int) -> str:
    """The file of a kind's vector; the first has the name that diffusers looks for."""
    return "learned_embeds.safetensors" if kind == 0 else f"learned_embeds_{kind + 1}.safetensors"


def encoders(pipe: Any) -> dict[str, tuple[Any, Any]]:
    """Tokenizer and text encoder by key: `clip_l`, and for SDXL `clip_g`."""
    found = {"clip_l": (pipe.tokenizer, pipe.text_encoder)}
    if is_sdxl(pipe):
        found["clip_g"] = (pipe.tokenizer_2, pipe.text_encoder_2)
    return found


def fill(prompt: str, words: Sequence[str]) -> str:
    """A prompt with `words` in its slots, in order. Raises `InputError` where their numbers differ."""
    parts = prompt.split(SLOT)
    if len(parts) != len(words) + 1:
        raise InputError(
            f"the prompt {prompt!r} has {len(parts) - 1} times {SLOT}, one for each of {len(words)} kinds is needed: "
            f"for example 'A photo of {SLOT} 10 oranges'"
        )
    return "".join(part + word for part, word in zip(parts, [*words, ""], strict=True))


def without_token(prompt: str) -> str:
    """The prompt as somebody would write it who has no token: the slots left out."""
    return " ".join(prompt.replace(SLOT, " ").split())


def free_names(tokenizer: Any, names: Sequence[str]) -> None:
    """Raise `InputError`, with another name, where a name is a word of the vocabulary already or is named twice."""
    taken = tokenizer.get_vocab()
    for name in names:
        if name in taken or f"{name}</w>" in taken:
            other = next(
                f"<{name.strip('<>')}-{k}>"
                for k in range(2, 1000)
                if f"<{name.strip('<>')}-{k}>" not in taken
            )
            raise InputError(f"the token name {name!r} is in the vocabulary already: take {other!r}")
    if len(set(names)) < len(names):
        raise InputError(f"the token names {', '.join(names)} are not different: name them with token=")


def init_vectors(pipe: Any, words: Sequence[str]) -> dict[str, Tensor]:
    """The vectors of words of the vocabulary per text encoder, float32 `[kinds, d]` (table 3.4: the start).

    Raises `InputError` for a word that is several tokens.
    """
    found = {}
    for key, (tokenizer, encoder) in encoders(pipe).items():
        ids = []
        for word in words:
            own = tokenizer(word, add_special_tokens=False).input_ids
            if len(own) != 1:
                pieces = ", ".join(repr(tokenizer.decode([one]).strip()) for one in own) or "none"
                raise InputError(
                    f"the init word {word!r} is {len(own)} tokens ({pieces}): take a word that is one, such as 'some'"
                )
            ids.append(own[0])
        weight = encoder.get_input_embeddings().weight
        found[key] = weight.detach()[torch.tensor(ids, device=weight.device)].float().clone()
    return found


@contextmanager
def placed(pipe: Any, names: Sequence[str], vectors: Mapping[str, Tensor]) -> Iterator[Any]:
    """A view of the pipeline whose prompts may have the names, with `vectors[key][b, k]` where prompt `b` has name `k`.

    `vectors` are `[B, kinds, d]`, or `[1, kinds, d]` for all prompts alike, and keep their gradients.
    """
    view = naming(pipe, names)
    with embedded(view, names, vectors):
        yield view


def naming(pipe: Any, names: Sequence[str]) -> Any:
    """A view of the pipeline, all weights shared, whose tokenizers are copies that know the names."""
    view = copy.copy(pipe)
    for key, (tokenizer, _) in encoders(pipe).items():
        own = copy.deepcopy(tokenizer)
        own.add_tokens(list(names))
        setattr(view, "tokenizer" if key == "clip_l" else "tokenizer_2", own)
    return view


@contextmanager
def embedded(view: Any, names: Sequence[str], vectors: Mapping[str, Tensor]) -> Iterator[None]:
    """The vectors of `placed` in the place of the names, by hooks on the input embeddings that go away at the end."""
    with ExitStack() as stack:
        for key, (tokenizer, encoder) in encoders(view).items():
            ids = tokenizer.convert_tokens_to_ids(list(names))
            stack.enter_context(_replaced(encoder.get_input_embeddings(), ids, vectors[key]))
        yield


@contextmanager
def _replaced(embedding: Any, ids: Sequence[int], vectors: Tensor) -> Iterator[None]:
    """Rows of the embedding's output where the input is `ids[k]` become `vectors[b, k]`; ids may be out of range."""
    asked: list[Tensor] = []

    def before(module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        asked.append(arguments[0])
        return (arguments[0].clamp(max=module.num_embeddings - 1), *arguments[1:])

    def after(module: Any, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        given = asked.pop()
        for kind, number in enumerate(ids):
            own = vectors[:, kind, None].to(output.device, output.dtype)
            output = torch.where((given == number)[..., None], own, output)
        return output

    handles = embedding.register_forward_pre_hook(before), embedding.register_forward_hook(after)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_window(view: Any, prompts: Sequence[str], names: Sequence[str]) -> None:
    """Raise `InputError` for a prompt whose token the text encoder's window cuts off."""
    for tokenizer, _ in encoders(view).values():
        window, ids = tokenizer.model_max_length, set(tokenizer.convert_tokens_to_ids(list(names)))
        for prompt in prompts:
            found = tokenizer(prompt).input_ids
            if ids - set(found[: window - 1]):
                raise InputError(
                    f"the prompt is {len(found)} tokens long, the text encoder reads {window}, and {names[0]!r} "
                    "would be cut off: shorten the prompt or move the token to its front"
                )


def text_encoder_hash(pipe: Any) -> str:
    """SHA-256 of the first text encoder's weights, in float32."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pipe.text_encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

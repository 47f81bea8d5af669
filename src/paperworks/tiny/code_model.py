"""A small real language model: a `LlamaForCausalLM` of 5.5 million parameters that writes Python.

It is trained by the project on the standard library's own source, with a byte-level BPE tokenizer of its own. The
modules in `HELD_OUT` are never trained on, neither by the model nor by the tokenizer. `python -m paperworks.tiny build
code_model` makes it again; `code_model/README.md` is its card.
"""

from __future__ import annotations

import platform
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError, require
from paperworks.tiny.source import LEFT_OUT

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

FOLDER = Path(__file__).with_name("code_model")
HELD_OUT = (
    "argparse", "calendar", "configparser", "csv", "dataclasses", "difflib", "fractions", "gettext", "heapq", "imaplib",
    "ipaddress", "mailbox", "pprint", "sched", "shlex", "statistics", "tarfile", "textwrap", "wave", "zipfile",
)  # fmt: skip
"""Modules that the model has never seen."""
END = "<|end|>"
LENGTH = 512
"""Tokens of a training sample."""
SHAPE: dict[str, Any] = {
    "vocab_size": 4096,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def modules(held_out: bool = False, folder: str | Path | None = None) -> dict[str, str]:
    """The standard library's modules with their source, by name: those trained on, or the `HELD_OUT` ones.

    Raises `InputError` where there is no source.
    """
    root = Path(folder or sysconfig.get_paths()["stdlib"])
    found = {}
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
        parts = path.relative_to(root).with_suffix("").parts
        if not LEFT_OUT.isdisjoint(parts) or any(part.startswith("config-") for part in parts):
            continue
        if (parts[0] in HELD_OUT) == held_out:
            try:
                found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    if not found:
        raise InputError(f"no Python source in {root}: this Python came without its library's source")
    return found


def load_code_model() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The shipped model in float32 and its tokenizer."""
    require("minitron", "torch", "transformers")
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(FOLDER)
    return model.eval(), tokenizer


def packed(tokenizer: Any, texts: dict[str, str], length: int = LENGTH) -> torch.Tensor:
    """Token ids `[n, length]`: the texts one after the other, each ended by `END`; what fills no row is left out."""
    import torch

    ids: list[int] = []
    for text in texts.values():
        ids += [*tokenizer(text, verbose=False)["input_ids"], tokenizer.eos_token_id]
    return torch.tensor(ids[: len(ids) // length * length], dtype=torch.long).view(-1, length)


def train_tokenizer(texts: dict[str, str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `SHAPE["vocab_size"]` tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"],
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts.values(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, model_max_length=SHAPE["max_position_embeddings"]
    )


def build(
    out: str | Path = FOLDER, *, steps: int = 1000, seed: int = 0, resume: bool = True
) -> dict[str, Any]:
    """Train the model again and write it to `out` (half precision); `training.json` there has the curve.

    4,096 tokens a step; on two CPU cores a step takes some two seconds. A killed run goes on from its last checkpoint.
    """
    require("minitron", "torch", "transformers", "datasets", "accelerate")
    import torch
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed
    from transformers.trainer_utils import get_last_checkpoint

    from paperworks.files import write_json

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    work = out / "checkpoints"
    set_seed(seed)
    texts = modules()
    tokenizer = train_tokenizer(texts)
    train, held = packed(tokenizer, texts), packed(tokenizer, modules(held_out=True))
    config = LlamaConfig(**SHAPE, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=None)
    model = LlamaForCausalLM(config)
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=2e-3,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        warmup_steps=100,
        weight_decay=0.1,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        logging_steps=25,
        eval_strategy="steps",
        eval_steps=250,
        per_device_eval_batch_size=8,
        save_steps=100,
        save_total_limit=1,
        report_to="none",
        seed=seed,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"input_ids": train.tolist(), "labels": train.tolist()}).with_format(
            "torch"
        ),
        eval_dataset=Dataset.from_dict(
            {"input_ids": held.tolist()[:200], "labels": held.tolist()[:200]}
        ).with_format("torch"),
    )
    last = get_last_checkpoint(str(work)) if resume and work.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    curve = [entry for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    facts = {
        "steps": steps,
        "tokens": steps * 8 * LENGTH,
        "training_tokens": train.numel(),
        "held_out_tokens": held.numel(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": seed,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "curve": curve,
    }
    write_json(out / "training.json", facts)
    return facts

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
BATCH = 8
"""Samples of a training step."""
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


def optimizer(model: torch.nn.Module, matrices: float, others: float) -> torch.optim.Optimizer:
    """Muon for the matrices of the layers, AdamW for the embeddings and the norms, as one optimiser.

    `matrices` and `others` are the learning rates of the two.
    """
    import torch

    class MuonAndAdamW(torch.optim.Optimizer):
        def __init__(self) -> None:
            named = list(model.named_parameters())
            inner = [p for name, p in named if p.ndim == 2 and "embed" not in name]
            outer = [p for name, p in named if p.ndim != 2 or "embed" in name]
            self.parts: list[torch.optim.Optimizer] = [
                torch.optim.Muon(inner, lr=matrices, weight_decay=0.05),
                torch.optim.AdamW(outer, lr=others, betas=(0.9, 0.95), weight_decay=0.01),
            ]
            super().__init__([*inner, *outer], {})
            self.param_groups = [group for part in self.parts for group in part.param_groups]

        def step(self, closure: Any = None) -> Any:
            for part in self.parts:
                part.step(closure)

        def state_dict(self) -> dict[str, Any]:
            return {str(index): part.state_dict() for index, part in enumerate(self.parts)}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            for index, part in enumerate(self.parts):
                part.load_state_dict(state_dict[str(index)])
            self.param_groups = [group for part in self.parts for group in part.param_groups]

    return MuonAndAdamW()


def build(
    out: str | Path = FOLDER, *, steps: int = 3400, seed: int = 0, resume: bool = True
) -> dict[str, Any]:
    """Train the model again and write it to `out` (half precision); `training.json` there has the curve.

    4,096 tokens a step; on one CPU core with bfloat16 arithmetic a step takes some 1.4 seconds, on two 0.7. A killed
    run goes on from its last checkpoint. Each pass over the text cuts it into samples at other places.
    """
    require("minitron", "torch", "transformers", "accelerate")
    import torch
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed
    from transformers.trainer_utils import get_last_checkpoint

    from paperworks.files import write_json

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    work = out / "checkpoints"
    set_seed(seed)
    texts = modules()
    tokenizer = train_tokenizer(texts)
    once, held = packed(tokenizer, texts), packed(tokenizer, modules(held_out=True))
    stream, rows, offset = once.flatten(), once, 0
    while len(rows) < steps * BATCH:
        offset = (offset + 157) % LENGTH
        moved = stream[offset:]
        rows = torch.cat([rows, moved[: len(moved) // LENGTH * LENGTH].view(-1, LENGTH)])
    config = LlamaConfig(**SHAPE, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=None)
    model = LlamaForCausalLM(config)
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
        bf16=True,
        max_grad_norm=1.0,
        logging_steps=25,
        eval_strategy="steps",
        eval_steps=200,
        per_device_eval_batch_size=BATCH,
        save_steps=100,
        save_total_limit=1,
        report_to="none",
        seed=seed,
        disable_tqdm=True,
    )
    both = optimizer(model, matrices=0.02, others=2e-3)
    # A hundred steps up, level to two thirds of the run, and down to nothing.
    schedule = LambdaLR(both, lambda step: min(1.0, (step + 1) / 100, 3 * (1 - step / steps)))
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=[{"input_ids": row, "labels": row} for row in rows[: steps * BATCH]],
        eval_dataset=[{"input_ids": row, "labels": row} for row in held[:200]],
        optimizers=(both, schedule),
    )
    last = get_last_checkpoint(str(work)) if resume and work.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    curve = [entry for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    facts = {
        "steps": steps,
        "tokens": steps * BATCH * LENGTH,
        "training_tokens": once.numel(),
        "held_out_tokens": held.numel(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": seed,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "curve": curve,
    }
    write_json(out / "training.json", facts)
    return facts

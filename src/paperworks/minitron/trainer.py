"""Distilling a pruned student from its teacher, and correcting the teacher first, with `transformers.Trainer`.

The student learns from the teacher's logits alone (specification, section 3.6); no logits of a whole batch exist. The
loss is computed *inside* the student's forward pass: for the length of a step the head's forward is the loss, so its
input is the hidden states, and its weight is what the wrapper around the model (DDP, FSDP, autocast) makes of it there.
Nothing has to be gathered by hand, gradients are reduced as always, and the student's own `forward` is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, get_last_checkpoint

from paperworks.errors import InputError
from paperworks.minitron.distillation_loss import (
    BUDGET,
    cross_entropy,
    distillation_loss,
    topk_distillation_loss,
)
from paperworks.minitron.stored_teacher import StoredTeacher, pad_rows

HeadLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""`(hidden [B, S, d], weight [V, d], bias [V] or None) -> losses`."""
MaskedLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""`(hidden [B, S, d], weight [V, d], bias [V] or None, mask [B, S − 1]) -> mean loss`."""


class _HeadLossTrainer(Trainer):
    """A `transformers.Trainer` whose loss is made of the hidden states before the head; a subclass says which."""

    def __init__(self, *, model: PreTrainedModel, budget: int = BUDGET, **options: Any) -> None:
        # The collator takes the columns it needs; the Trainer would drop them by the names in the model's forward.
        options["args"].remove_unused_columns = False
        super().__init__(model=model, **options)
        self.budget = budget
        # Wrappers keep the module, so this is the head under DDP and FSDP as well.
        self._head: Any = model.get_output_embeddings()

    def _loss(self, inputs: dict[str, Any], labels: Tensor) -> MaskedLoss:
        raise NotImplementedError

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The mean loss of a batch, or its part in that of the `num_items_in_batch` tokens of all micro-batches."""
        inputs, labels, mask = _split(inputs)
        loss_of = self._loss(inputs, labels)
        loss = self._in_head(model, inputs, lambda hidden, W, b: loss_of(hidden, W, b, mask))
        if model.training and not torch.isfinite(loss):
            raise InputError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}: lower the learning rate "
                f"({self.args.learning_rate:g}) or train in float32"
            )
        if num_items_in_batch is not None:
            # The mean over processes is taken of gradients; tokens are counted over all of them.
            shared = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
            loss = loss * (mask.sum() * shared / num_items_in_batch)
        return (loss, {"loss": loss}) if return_outputs else loss

    def _in_head(self, model: nn.Module, inputs: dict[str, Any], loss: HeadLoss) -> Tensor:
        def forward(hidden: Tensor) -> Tensor:
            return loss(hidden, self._head.weight, getattr(self._head, "bias", None))

        with _forward_of(self._head, forward):
            return model(**inputs, use_cache=False).logits


class _CorrectionTrainer(_HeadLossTrainer):
    """Cross-entropy of the next token."""

    def _loss(self, inputs: dict[str, Any], labels: Tensor) -> MaskedLoss:
        def loss(hidden: Tensor, W: Tensor, b: Tensor | None, mask: Tensor) -> Tensor:
            targets = labels[:, 1:].clamp(min=0)
            return cross_entropy(hidden[:, :-1], W, targets, mask, bias=b, budget=self.budget)

        return loss


class DistillationTrainer(_HeadLossTrainer):
    """A `transformers.Trainer` whose loss is the forward KL from `teacher` to `model`, and nothing else.

    `teacher` is a model, which is frozen and put whole on each process's device, or a `StoredTeacher`. Rows of the
    data sets need `input_ids`; padding (`attention_mask` 0) and labels of −100 are left out, other columns ignored. A
    position counts where the token after it is a label; accumulated batches, and several processes, weigh as one batch.

    `evaluate` gives `eval_loss`, the mean KL of a token in nats, and `eval_lm_loss`, the student's cross-entropy.
    Everything else is the Trainer's: checkpoints, resuming, logging, `accelerate launch`.

    Raises `InputError` for a stored teacher with a temperature, another tokenizer than `processing_class` or more words
    than the student; for several GPUs in one process; and for a loss that is not finite, naming the step.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        teacher: PreTrainedModel | StoredTeacher,
        args: TrainingArguments,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        *,
        temperature: float = 1.0,
        budget: int = BUDGET,
        data_collator: Callable[[list[Any]], dict[str, Any]] = pad_rows,
        processing_class: Any = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        words = len(model.get_output_embeddings().weight)
        if isinstance(teacher, StoredTeacher):
            if temperature != 1:
                raise InputError(
                    f"a stored teacher has temperature 1, not {temperature}: distil from the model itself"
                )
            if teacher.vocabulary > words:
                raise InputError(
                    f"the stored teacher has {teacher.vocabulary} words, the student {words}: store the teacher with "
                    f"vocabulary={words}"
                )
            if processing_class is not None:
                teacher.check_tokenizer(processing_class)
        super().__init__(
            model=model,
            budget=budget,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=callbacks,
        )
        if args.n_gpu > 1:
            raise InputError(
                f"{args.n_gpu} GPUs in one process: start with accelerate launch, or show it one GPU"
            )
        self.temperature = temperature
        self.teacher = teacher
        if not isinstance(teacher, StoredTeacher):
            teacher.requires_grad_(False).eval()
            if getattr(teacher, "hf_device_map", None) is None:
                teacher.to(args.device)  # type: ignore[arg-type]
        self._sums = torch.zeros(3, dtype=torch.float64)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, labels, mask = _split(self._prepare_inputs(inputs))

        def sums(hidden: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
            """`[B, 3]`: KL, cross-entropy and tokens of each row."""
            rows = []
            for row in range(len(mask)):
                only = torch.zeros_like(mask)
                only[row] = mask[row]
                kl = divergence(hidden, W, b, only)
                targets = labels[:, 1:].clamp(min=0)
                lm = cross_entropy(hidden[:, :-1], W, targets, only, bias=b, budget=self.budget)
                rows.append(torch.stack([kl, lm, torch.ones_like(lm)]) * only.sum())
            return torch.stack(rows)

        with torch.no_grad():
            divergence = self._loss(inputs, labels)
            found = self._in_head(model, inputs, sums)
        # Gathered as the Trainer gathers losses: rows that only fill the last batch of the processes are dropped.
        self._sums += self.gather_function(found).cpu().double().sum(0)
        return found[:, 0].sum() / found[:, 2].sum().clamp(min=1), None, None

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        self._sums.zero_()
        result = super().evaluation_loop(
            dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
        )
        kl, lm, tokens = self._sums.tolist()
        means = {"loss": kl / max(tokens, 1), "lm_loss": lm / max(tokens, 1)}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.items()}
        return result._replace(metrics={**(result.metrics or {}), **metrics})

    def _loss(self, inputs: dict[str, Any], labels: Tensor) -> MaskedLoss:
        """KL against the teacher of the same `inputs`."""
        if isinstance(self.teacher, StoredTeacher):
            words = self.teacher.vocabulary
            found = self.teacher.lookup(inputs["input_ids"], inputs.get("attention_mask"))
            indices, log_probs, log_rest = (values[:, :-1] for values in found)

            def bound(hidden: Tensor, W: Tensor, b: Tensor | None, mask: Tensor) -> Tensor:
                return topk_distillation_loss(
                    hidden[:, :-1],
                    W[:words],
                    indices,
                    log_probs,
                    log_rest,
                    mask,
                    student_bias=None if b is None else b[:words],
                    budget=self.budget,
                )

            return bound
        head = self.teacher.get_output_embeddings()
        with torch.no_grad():
            target = self.teacher.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]

        def divergence(hidden: Tensor, W: Tensor, b: Tensor | None, mask: Tensor) -> Tensor:
            return distillation_loss(
                hidden[:, :-1],
                W,
                target,
                head.weight,
                mask,
                temperature=self.temperature,
                student_bias=b,
                teacher_bias=getattr(head, "bias", None),
                budget=self.budget,
            )

        return divergence


def training_arguments(
    out: str | Path,
    *,
    steps: int,
    peak_lr: float = 1e-4,
    min_lr: float = 1e-5,
    warmup_steps: int = 40,
    batch_size: int = 8,
    accumulation: int = 1,
    seed: int = 0,
    save_steps: int = 500,
    logging_steps: int = 10,
    eval_steps: int | None = None,
    bf16: bool = False,
    cpu: bool = False,
) -> TrainingArguments:
    """The paper's schedule for Llama-3.1-Minitron-4B (Table 4): 1e-4 to 1e-5 by a cosine, 40 steps of warm-up.

    `batch_size` is rows a process and micro-batch; the paper's global batch is 1152 rows of 8192 tokens. AdamW with
    betas 0.9 and 0.95, weight decay 0.1 on matrices, and clipping at norm 1 are choices of ours: the paper names none.

    Raises `InputError` for no steps, a warm-up that is longer, or a peak that is not above the minimum.
    """
    if steps < 1 or not 0 <= warmup_steps <= steps:
        raise InputError(
            f"{steps} steps with {warmup_steps} of warm-up: need at least one, warm-up at most the steps"
        )
    if not 0 <= min_lr <= peak_lr or not peak_lr > 0:
        raise InputError(
            f"learning rate from {peak_lr:g} to {min_lr:g}: the peak must be positive, the minimum below"
        )
    return TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        learning_rate=peak_lr,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr": min_lr},
        warmup_steps=warmup_steps,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        optim="adamw_torch",
        adam_beta1=0.9,
        adam_beta2=0.95,
        weight_decay=0.1,
        max_grad_norm=1.0,
        save_steps=save_steps,
        save_total_limit=2,
        logging_steps=logging_steps,
        eval_strategy="no" if eval_steps is None else "steps",
        eval_steps=eval_steps,
        bf16=bf16,
        use_cpu=cpu,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        report_to="none",
    )


def correct_teacher(
    model: PreTrainedModel,
    dataset: Any,
    *,
    original_peak_lr: float,
    out: str | Path,
    steps: int,
    min_lr: float | None = None,
    warmup_steps: int = 120,
    batch_size: int = 8,
    accumulation: int = 1,
    seed: int = 0,
    save_steps: int = 500,
    logging_steps: int = 10,
    bf16: bool = False,
    cpu: bool = False,
    processing_class: Any = None,
    callbacks: list[TrainerCallback] | None = None,
) -> Trainer:
    """Fine-tune the teacher on the distillation data with cross-entropy (section 3.5); the Trainer, after training.

    The peak learning rate is a fifth of `original_peak_lr`, the warm-up 120 steps, as in the paper (about 100B tokens).
    Its minimum is that of the original training, which is not known here: `min_lr` defaults to a tenth of the peak, a
    choice of ours. `out` gets the corrected model, which `from_pretrained` loads, and the checkpoints, from the last of
    which a killed run goes on. Rows of `dataset` as in `DistillationTrainer`.

    Raises `InputError` for a learning rate that is not positive.
    """
    if not original_peak_lr > 0:
        raise InputError(
            f"original peak learning rate {original_peak_lr}: give that of the teacher's own training"
        )
    peak = original_peak_lr / 5
    arguments = training_arguments(
        out,
        steps=steps,
        peak_lr=peak,
        min_lr=peak / 10 if min_lr is None else min_lr,
        warmup_steps=warmup_steps,
        batch_size=batch_size,
        accumulation=accumulation,
        seed=seed,
        save_steps=save_steps,
        logging_steps=logging_steps,
        bf16=bf16,
        cpu=cpu,
    )
    trainer = _CorrectionTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=pad_rows,
        processing_class=processing_class,
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)) if Path(out).is_dir() else None)
    trainer.save_model(str(out))
    return trainer


def _split(inputs: dict[str, Any]) -> tuple[dict[str, Any], Tensor, Tensor]:
    """The model's inputs, the labels `[B, S]`, and the mask `[B, S − 1]` of positions with a label after them."""
    inputs = dict(inputs)
    attention = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    labels = inputs.pop("labels", inputs["input_ids"].masked_fill(attention == 0, -100))
    return inputs, labels, (labels[:, 1:] != -100) & (attention[:, :-1] != 0)


@contextmanager
def _forward_of(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Another forward for `module` while the context is open; hooks around it stay."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before

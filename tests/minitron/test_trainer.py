"""Distillation by the Trainer: the loss is the KL for any batch, head, teacher and number of processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Trainer,
    TrainerCallback,
)

from paperworks.errors import InputError
from paperworks.minitron.stored_teacher import pad_rows, store_teacher
from paperworks.minitron.trainer import DistillationTrainer, correct_teacher, training_arguments

WORDS = 48
SIZES = {
    "vocab_size": WORDS,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def llama(hidden=16, seed=0, **changes):
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(hidden_size=hidden, **(SIZES | changes)))


def teacher_model():
    model = llama(32, seed=1)
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    return model


def rows(number=16, length=12, ragged=True, seed=2):
    generator = torch.Generator().manual_seed(seed)
    lengths = [length - (index % 5 if ragged else 0) for index in range(number)]
    ids = [torch.randint(WORDS, (size,), generator=generator).tolist() for size in lengths]
    return Dataset.from_dict({"input_ids": ids, "note": ["not for the model"] * number})


def trainer(
    out, student, teacher=None, *, steps=6, eval_dataset=None, temperature=1.0, callbacks=None, **options
):
    options = {
        "peak_lr": 1e-2,
        "min_lr": 1e-3,
        "warmup_steps": 1,
        "batch_size": 4,
        "logging_steps": 1,
        "cpu": True,
    } | options
    made = DistillationTrainer(
        model=student,
        teacher=teacher or teacher_model(),
        args=training_arguments(out, steps=steps, **options),
        train_dataset=rows(),
        eval_dataset=eval_dataset,
        temperature=temperature,
        callbacks=callbacks,
    )
    made.args.disable_tqdm = True
    return made


def losses(made):
    return [entry["loss"] for entry in made.state.log_history if "loss" in entry]


def plain_losses(student, teacher, data, temperature=1.0):
    """KL and cross-entropy per token from all logits, a row at a time."""
    kl, lm, tokens = 0.0, 0.0, 0
    with torch.no_grad():
        for ids in data["input_ids"]:
            batch = torch.tensor([ids])
            z_s, z_t = student(batch).logits[0, :-1], teacher(batch).logits[0, :-1]
            log_q, log_p = ((z / temperature).log_softmax(-1) for z in (z_s, z_t))
            kl += float(F.kl_div(log_q, log_p, reduction="sum", log_target=True)) * temperature**2
            lm += float(F.cross_entropy(z_s, batch[0, 1:], reduction="sum"))
            tokens += len(ids) - 1
    return kl / tokens, lm / tokens


def test_training_lowers_the_divergence_and_leaves_the_forward_as_it_was(tmp_path):
    student, teacher = llama(), teacher_model()
    before = plain_losses(student, teacher, rows())[0]
    weights = {name: value.clone() for name, value in teacher.state_dict().items()}
    made = trainer(tmp_path, student, teacher, steps=20)
    made.train()
    assert plain_losses(student, teacher, rows())[0] < 0.8 * before
    assert all(torch.equal(value, weights[name]) for name, value in teacher.state_dict().items())
    assert student(torch.tensor([[1, 2]])).logits.shape == (1, 2, WORDS)
    assert not teacher.training
    made.save_model(str(tmp_path / "small"))
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "small")
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.state_dict().values(), student.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_evaluation_is_over_tokens_in_unequal_batches(tmp_path, temperature):
    student, teacher, held = llama(), teacher_model(), rows(7, seed=5)
    made = trainer(tmp_path, student, teacher, eval_dataset=held, temperature=temperature)
    found = made.evaluate()
    kl, lm = plain_losses(student, teacher, held, temperature)
    assert found["eval_loss"] == pytest.approx(kl, rel=1e-5)
    assert found["eval_lm_loss"] == pytest.approx(lm, rel=1e-5)
    assert made.evaluate()["eval_loss"] == found["eval_loss"]


def test_the_first_loss_is_the_divergence_of_the_batch(tmp_path):
    student, teacher = llama(), teacher_model()
    expected = plain_losses(student, teacher, rows())[0]
    made = trainer(tmp_path, student, teacher, steps=1, batch_size=16)
    made.train()
    assert losses(made)[0] == pytest.approx(expected, rel=1e-4)


def test_accumulated_batches_are_the_big_batch(tmp_path):
    """Rows of unequal length: means of micro-batches would be another loss."""
    curves, weights = [], []
    for batch_size, accumulation in ((8, 1), (2, 4)):
        student = llama()
        made = trainer(tmp_path, student, batch_size=batch_size, accumulation=accumulation, steps=4)
        made.train()
        curves.append(losses(made))
        weights.append(torch.cat([p.detach().flatten() for p in student.parameters()]))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def test_labels_that_are_masked_and_padding_do_not_count(tmp_path):
    student, teacher = llama(), teacher_model()
    made = trainer(tmp_path, student, teacher)
    ids = torch.randint(WORDS, (2, 9))
    labels = ids.clone()
    labels[0, :5] = -100
    plain = made.compute_loss(student, {"input_ids": ids, "labels": labels})
    with torch.no_grad():
        log_q, log_p = (model(ids).logits[:, :-1].log_softmax(-1) for model in (student, teacher))
        each = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
        expected = torch.cat([each[0, 4:], each[1]]).mean()
    torch.testing.assert_close(plain, expected)
    left = {
        "input_ids": F.pad(ids, (3, 0)),
        "attention_mask": F.pad(torch.ones_like(ids), (3, 0)),
        "labels": F.pad(labels, (3, 0), value=-100),
    }
    torch.testing.assert_close(made.compute_loss(student, left), plain)


@pytest.mark.parametrize("tied", [True, False])
def test_tied_heads_and_other_families(tmp_path, tied):
    torch.manual_seed(0)
    student = Qwen2ForCausalLM(Qwen2Config(hidden_size=16, tie_word_embeddings=tied, **SIZES))
    teacher = teacher_model()
    made = trainer(tmp_path, student, teacher)
    batch = {"input_ids": torch.randint(WORDS, (2, 9))}
    made.compute_loss(student, batch).backward()
    log_q, log_p = (model(**batch).logits[:, :-1].log_softmax(-1) for model in (student, teacher))
    parameters = list(student.parameters())
    wanted = torch.autograd.grad(
        F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1).mean(), parameters
    )
    for parameter, gradient in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_a_run_that_was_killed_gives_the_same_curve(tmp_path):
    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 5:
                raise KeyboardInterrupt

    whole = trainer(tmp_path / "whole", llama(), save_steps=2, steps=8)
    whole.train()
    killed = trainer(tmp_path / "killed", llama(), save_steps=2, steps=8, callbacks=[Kill()])
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    again = trainer(tmp_path / "killed", llama(seed=7), save_steps=2, steps=8)
    again.train(resume_from_checkpoint=True)
    assert losses(again) == losses(whole)
    assert all(
        torch.equal(a, b) for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True)
    )


def test_a_stored_teacher_with_all_words_is_the_teacher(tmp_path):
    teacher = teacher_model()
    curves, found = [], []
    for stored in (teacher, store_teacher(teacher, rows()["input_ids"], tmp_path / "teacher", k=WORDS)):
        made = trainer(tmp_path / "out", llama(), stored, eval_dataset=rows())
        made.train()
        curves.append(losses(made))
        found.append(made.evaluate())
    assert curves[0] == pytest.approx(curves[1], rel=2e-3)
    assert found[0]["eval_lm_loss"] == pytest.approx(found[1]["eval_lm_loss"], rel=1e-2)


def test_a_stored_teacher_that_does_not_fit_is_refused(tmp_path):
    stored = store_teacher(teacher_model(), rows(4)["input_ids"], tmp_path / "teacher", k=5)
    with pytest.raises(InputError, match="another text"):
        trainer(tmp_path, llama(), stored).train()
    with pytest.raises(InputError, match="temperature 1"):
        trainer(tmp_path, llama(), stored, temperature=2.0)
    with pytest.raises(InputError, match="vocabulary=40"):
        trainer(tmp_path, llama(vocab_size=40), stored)


def test_a_loss_that_is_not_finite_names_the_step(tmp_path):
    student = llama()
    with torch.no_grad():
        student.model.norm.weight[0] = torch.nan
    with pytest.raises(InputError, match="nan at step 1"):
        trainer(tmp_path, student).train()


def test_the_schedule_is_the_papers(tmp_path):
    arguments = training_arguments(tmp_path, steps=100, cpu=True)
    assert (arguments.learning_rate, arguments.lr_scheduler_kwargs) == (1e-4, {"min_lr": 1e-5})
    assert (arguments.warmup_steps, arguments.weight_decay, arguments.max_grad_norm) == (40, 0.1, 1.0)
    assert (arguments.adam_beta1, arguments.adam_beta2) == (0.9, 0.95)
    made = trainer(tmp_path, llama(), steps=6, warmup_steps=2)
    made.train()
    rates = [entry["learning_rate"] for entry in made.state.log_history if "learning_rate" in entry]
    assert max(rates) == pytest.approx(1e-2)
    assert rates[-1] < rates[-2] < rates[-3]
    assert made.lr_scheduler.get_last_lr()[0] == pytest.approx(1e-3)
    with pytest.raises(InputError, match="warm-up"):
        training_arguments(tmp_path, steps=10)
    with pytest.raises(InputError, match="learning rate"):
        training_arguments(tmp_path, steps=100, peak_lr=1e-6)


def test_the_teacher_is_corrected_at_a_fifth_of_the_rate(tmp_path):
    teacher = teacher_model()
    before = plain_losses(teacher, teacher, rows())[1]
    options = {"original_peak_lr": 5e-2, "out": tmp_path / "out", "steps": 12, "warmup_steps": 2, "cpu": True}
    made = correct_teacher(teacher, rows(), logging_steps=1, save_steps=6, **options)
    rates = [entry["learning_rate"] for entry in made.state.log_history if "learning_rate" in entry]
    assert max(rates) == pytest.approx(1e-2)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert plain_losses(again, again, rows())[1] < before
    with pytest.raises(InputError, match="original peak"):
        correct_teacher(teacher, rows(), **(options | {"original_peak_lr": 0.0}))


def test_a_correction_is_the_librarys_training_without_its_logits(tmp_path):
    curves = []
    for name in ("ours", "theirs"):
        torch.manual_seed(0)
        teacher = teacher_model()
        if name == "ours":
            options = {"original_peak_lr": 5e-2, "steps": 6, "warmup_steps": 2, "batch_size": 3}
            trainer = correct_teacher(
                teacher, rows(), out=tmp_path / name, cpu=True, logging_steps=1, **options
            )
        else:
            arguments = training_arguments(
                tmp_path / name,
                steps=6,
                peak_lr=1e-2,
                min_lr=1e-3,
                warmup_steps=2,
                batch_size=3,
                cpu=True,
                logging_steps=1,
            )
            trainer = Trainer(teacher, arguments, pad_rows, rows())
            trainer.train()
        curves.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert len(curves[0]) == 6
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("wrapper", ["ddp", "fsdp", "transformers"])
@pytest.mark.parametrize("tied", [False, True])
def test_two_processes_give_the_curve_of_one(tmp_path, wrapper, tied):
    def run(name, launch):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, *launch, __file__, name, str(int(tied)), str(tmp_path / name)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads((tmp_path / name / "found.json").read_text())

    one = run("none", [])
    kind = FSDP if wrapper == "fsdp" else ["--multi_gpu"]
    two = run(wrapper, ["-m", "accelerate.commands.launch", *LAUNCH, *kind])
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["sharded"] == (wrapper != "ddp")
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    for metric in ("eval_loss", "eval_lm_loss", "saved"):
        assert two[metric] == pytest.approx(one[metric], rel=1e-3)


LAUNCH = [
    "--num_processes=2",
    "--num_machines=1",
    "--mixed_precision=no",
    "--dynamo_backend=no",
    "--main_process_port=0",
]
FSDP = [
    "--use_fsdp",
    "--fsdp_version=2",
    "--fsdp_auto_wrap_policy=TRANSFORMER_BASED_WRAP",
    "--fsdp_transformer_layer_cls_to_wrap=LlamaDecoderLayer",
    "--fsdp_state_dict_type=FULL_STATE_DICT",
]


class ShardedOnCpus(DistillationTrainer):
    """accelerate shards on GPUs only, though torch does on CPUs as well: it is told that these are some."""

    def create_accelerator_and_postprocess(self):
        from accelerate import PartialState
        from accelerate.utils import DistributedType

        PartialState().distributed_type = DistributedType.MULTI_GPU
        super().create_accelerator_and_postprocess()


def worker(wrapper, tied, out):
    """One process of the run above."""
    from accelerate import PartialState

    state = PartialState(cpu=True)
    student = llama(tie_word_embeddings=tied)
    if wrapper == "transformers":
        from transformers.distributed import DistributedConfig

        if state.is_main_process:
            student.save_pretrained(out / "start")
        state.wait_for_everyone()
        plan = DistributedConfig(fsdp_size=2)
        student = AutoModelForCausalLM.from_pretrained(out / "start", distributed_config=plan)
    arguments = training_arguments(
        out,
        steps=6,
        peak_lr=1e-2,
        min_lr=1e-3,
        warmup_steps=1,
        batch_size=4 // state.num_processes,
        accumulation=2,
        logging_steps=1,
        cpu=True,
    )
    arguments.save_strategy, arguments.disable_tqdm = "no", True
    made = (ShardedOnCpus if wrapper == "fsdp" else DistillationTrainer)(
        student, teacher_model(), arguments, rows(), rows(7, seed=5)
    )
    made.train()
    found = made.evaluate()
    made.save_model(str(out / "small"))
    sharded = all(type(parameter).__name__ == "DTensor" for parameter in made.model.parameters())
    state.wait_for_everyone()
    if state.is_main_process:
        saved = AutoModelForCausalLM.from_pretrained(out / "small")
        found["saved"] = plain_losses(saved, teacher_model(), rows(7, seed=5))[0]
        found |= {"losses": losses(made), "processes": state.num_processes, "sharded": sharded}
        (out / "found.json").write_text(json.dumps(found))
    state.wait_for_everyone()


if __name__ == "__main__":
    worker(sys.argv[1], bool(int(sys.argv[2])), Path(sys.argv[3]))

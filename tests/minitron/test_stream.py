"""Importance measured one layer at a time from files: the same scores as in memory, also after a kill."""

import random
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron.importance import NORMS, measure_in_memory
from paperworks.minitron.stream import measure_streamed


class Killed(Exception):
    pass


def stop_at(step):
    """A progress callback that raises at its `step`-th call."""
    calls = iter(range(1, step + 1))

    def progress(*_):
        if next(calls) == step:
            raise Killed

    return progress


def assert_equal(scores, others):
    assert torch.equal(scores.neuron, others.neuron)
    assert torch.equal(scores.head_channel, others.head_channel)
    assert torch.equal(scores.bi, others.bi)
    assert torch.equal(scores.channel, others.channel)
    for side in NORMS:
        assert torch.equal(scores.norm[side], others.norm[side])
    assert scores.energy.keys() == {*NORMS, "final"}
    for place, energy in scores.energy.items():
        assert torch.equal(energy, others.energy[place])
    assert scores.sizes == others.sizes


def padded(model):
    """Samples with padding on the left, and a chunk that has none."""
    ids = tokens(model, n=7)
    mask = torch.ones_like(ids)
    mask[0, :6] = 0
    mask[4, :1] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A sharded checkpoint of every family."""
    folder = tmp_path_factory.mktemp("saved")
    for family in FAMILIES:
        build(family).save_pretrained(folder / family, max_shard_size="40KB")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_streamed_scores_are_those_in_memory_bit_for_bit(family, saved, tmp_path):
    model = build(family)
    for data in (tokens(model, n=7), padded(model)):
        scores = measure_streamed(saved / family, data, scratch=tmp_path / "scratch", chunk=3)
        in_memory = measure_in_memory(model, data, batch_size=3)
        assert_equal(scores, in_memory)
        assert scores.facts == in_memory.facts
    assert not (tmp_path / "scratch").exists()


def test_other_aggregations_and_dropped_defaults_of_the_config_change_nothing(saved, tmp_path):
    model = build("qwen2")
    options = {"batch": "mean", "sequence": "l2"}
    scores = measure_streamed(saved / "qwen2", tokens(model), scratch=tmp_path / "scratch", **options)
    assert_equal(scores, measure_in_memory(model, tokens(model), **options))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bfloat16_checkpoint_is_measured_as_it_is_loaded(dtype, tmp_path):
    from transformers import AutoModelForCausalLM

    build("qwen3").bfloat16().save_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=dtype)
    scores = measure_streamed(tmp_path / "model", tokens(model), scratch=tmp_path / "scratch", dtype=dtype)
    assert_equal(scores, measure_in_memory(model, tokens(model)))


def test_scaled_rotations_are_the_librarys(tmp_path):
    scaling = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip
    model = build("llama", rope_parameters=scaling)
    model.save_pretrained(tmp_path / "model")
    scores = measure_streamed(tmp_path / "model", tokens(model), scratch=tmp_path / "scratch")
    assert_equal(scores, measure_in_memory(model, tokens(model)))


@pytest.mark.parametrize("family", ["llama", "llama-biases"])
def test_the_loss_is_that_of_the_whole_model(family, saved, tmp_path, monkeypatch):
    monkeypatch.setattr("paperworks.minitron.stream.VOCABULARY_BLOCK", 40)
    model = build(family)
    for data in ({"input_ids": tokens(model)}, padded(model)):
        ids = data["input_ids"]
        mask = data.get("attention_mask", torch.ones_like(ids))
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].double()
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        counts = mask[:, 1:] * mask[:, :-1]
        scores = measure_streamed(saved / family, data, scratch=tmp_path / "scratch", lm_loss=True)
        assert scores.facts["lm_loss"] == pytest.approx(
            float((losses * counts).sum() / counts.sum()), abs=1e-6
        )


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_was_stopped_anywhere_goes_on_to_the_same_scores(seed, saved, tmp_path):
    model = build("qwen2")
    data, step = padded(model), random.Random(seed).randint(1, 9)
    options = {"scratch": tmp_path / "scratch", "chunk": 3}
    with pytest.raises(Killed):
        measure_streamed(saved / "qwen2", data, **options, progress=stop_at(step))
    seen = []
    scores = measure_streamed(saved / "qwen2", data, **options, progress=lambda *told: seen.append(told))
    assert_equal(scores, measure_in_memory(model, data, batch_size=3))
    assert seen[0][0] == 7 * ((step - 1) // 3) + 3  # the layers that were finished are not run again


def test_a_run_that_was_killed_goes_on_to_the_same_scores(saved, tmp_path):
    model, ids = build("llama"), tokens(build("llama"))
    torch.save(ids, tmp_path / "ids.pt")
    script = f"""
import os, signal, torch
from paperworks.minitron.stream import measure_streamed
def kill(done, total, text):
    if done == 9:
        os.kill(os.getpid(), signal.SIGKILL)
ids, scratch = torch.load({str(tmp_path / "ids.pt")!r}), {str(tmp_path / "scratch")!r}
measure_streamed({str(saved / "llama")!r}, ids, scratch=scratch, progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL
    seen = []
    scores = measure_streamed(
        saved / "llama", ids, scratch=tmp_path / "scratch", progress=lambda *told: seen.append(told)
    )
    assert_equal(scores, measure_in_memory(model, ids))
    assert seen[0][0] == 9


def test_progress_counts_to_the_end_and_says_how_long_it_will_take(saved, tmp_path):
    seen = []
    measure_streamed(
        saved / "llama",
        tokens(build("llama")),
        scratch=tmp_path / "s",
        progress=lambda *told: seen.append(told),
    )
    assert [done for done, _, _ in seen] == [4, 5, 9, 10, 14, 15, 15]
    assert {total for _, total, _ in seen} == {15}
    assert seen[0][2] == "measuring importance, layer 1 of 3"
    assert "layer 1 of 3, about 0 s left" in seen[1][2]
    assert seen[-1][2].startswith("measured in")


def test_a_disk_that_is_too_small_is_refused_before_the_start(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(InputError, match=r"needs 30,720 bytes on the disk of .*, 1,000 are free"):
        measure_streamed(saved / "llama", tokens(build("llama")), scratch=tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_values_that_are_not_finite_name_their_layer_and_leave_nothing(tmp_path):
    model = build("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = torch.inf
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="layer 1 down_proj: measure in float32"):
        measure_streamed(tmp_path / "model", tokens(model), scratch=tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_a_scratch_folder_of_another_run_is_refused_and_left_alone(saved, tmp_path):
    ids = tokens(build("llama"))
    with pytest.raises(Killed):
        measure_streamed(saved / "llama", ids, scratch=tmp_path / "scratch", progress=stop_at(3))
    before = sorted(path.name for path in (tmp_path / "scratch").iterdir())
    for folder, data, chunk in (("llama", ids, 2), ("mistral", ids, 4), ("llama", ids.flip(0), 4)):
        with pytest.raises(InputError, match="unfinished measurement of something else"):
            measure_streamed(saved / folder, data, scratch=tmp_path / "scratch", chunk=chunk)
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "states-0.bin").write_bytes(b"mine")
    with pytest.raises(InputError, match="holds files of another run"):
        measure_streamed(saved / "llama", ids, scratch=other)


def test_a_token_that_the_model_does_not_have_is_refused(saved, tmp_path):
    with pytest.raises(InputError, match="token 97"):
        measure_streamed(saved / "llama", torch.tensor([[1, 97]]), scratch=tmp_path / "scratch")

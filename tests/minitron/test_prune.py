"""Cutting the files of a checkpoint: the same bytes as the loaded model cut and saved, also after a kill."""

import json
import mmap
import random
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron.architecture import config_hash, sizes_of
from paperworks.minitron.checkpoint import JOURNAL, Checkpoint
from paperworks.minitron.importance import measure_in_memory, random_importance
from paperworks.minitron.indices import keep
from paperworks.minitron.memory import PeakPrivate, private_bytes
from paperworks.minitron.prune import prune
from paperworks.minitron.target import Target
from paperworks.minitron.trim import prune_model

TARGET = Target(hidden_size=32, intermediate_size=40, heads=4, drop_layers=(1,))
SMALL = {"shard_bytes": 20_000, "block_bytes": 1_000}


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A sharded checkpoint of every family, with files beside the weights."""
    folder = tmp_path_factory.mktemp("saved")
    for family in FAMILIES:
        build(family).save_pretrained(folder / family, max_shard_size="40KB")
        for name in ("tokenizer.json", "special_tokens_map.json", "LICENSE", "README.md"):
            (folder / family / name).write_text(f"{family} {name}")
    return folder


def scores_of(folder, seed=0):
    return random_importance(Checkpoint(folder).sizes, seed)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", [TARGET, Target(kv_heads=2), Target()], ids=["all", "groups", "none"])
def test_the_cut_files_are_the_cut_model_tensor_for_tensor(family, target, saved, tmp_path):
    model, scores = build(family), scores_of(saved / family)
    report = prune(saved / family, scores, target, tmp_path / "out", **SMALL)
    pruned = prune_model(model, scores, target)
    written = Checkpoint(tmp_path / "out")
    expected = dict(pruned.named_parameters())
    assert written.table.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(written.tensor(name), tensor), name
    assert sizes_of(written.config) == sizes_of(pruned.config) == target.sizes(sizes_of(model.config))
    assert written.config.get("layer_types") == json.loads(pruned.config.to_json_string(False)).get(
        "layer_types"
    )
    assert report.parameters == written.sizes.parameters
    assert report.layers == target.kept_layers(sizes_of(model.config))
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors"))
    assert report.peak_private_bytes > 10**7 or private_bytes() == 0


def test_a_bfloat16_checkpoint_stays_one_and_one_shard_needs_no_index(tmp_path):
    model = build("mistral").bfloat16()
    model.save_pretrained(tmp_path / "model")
    scores = scores_of(tmp_path / "model")
    prune(tmp_path / "model", scores, TARGET, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "pruning.json",
    ]  # fmt: skip
    written = Checkpoint(tmp_path / "out")
    for name, tensor in prune_model(model, scores, TARGET).named_parameters():
        assert torch.equal(written.tensor(name), tensor), name
        assert written.table[name].dtype == "BF16"


def test_the_folder_has_the_tokenizer_the_licence_and_what_was_kept(saved, tmp_path):
    scores = scores_of(saved / "llama")
    prune(saved / "llama", scores, TARGET, tmp_path / "out", seed=5)
    for name in ("tokenizer.json", "special_tokens_map.json", "LICENSE", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (saved / "llama" / name).read_bytes()
    assert not (tmp_path / "out" / "README.md").exists()
    facts = json.loads((tmp_path / "out" / "pruning.json").read_text())
    source = Checkpoint(saved / "llama")
    assert facts["source"] == "llama"
    assert facts["config_hash"] == config_hash(source.config)
    assert facts["target"]["hidden_size"] == 32
    assert facts["target"]["drop_layers"] == [1]
    assert facts["kept"] == keep(scores, TARGET, source.sizes).to_dict()
    assert facts["importance"] == {"kind": "random", "seed": 0}
    assert facts["seed"] == 5


def test_the_cut_model_loads_and_generates_where_this_library_cannot_be_imported(saved, tmp_path):
    scores = scores_of(saved / "qwen2")
    prune(saved / "qwen2", scores, TARGET, tmp_path / "out", **SMALL)
    pruned, ids = prune_model(build("qwen2"), scores, TARGET), tokens(build("qwen2"))[:1]
    expected = pruned.generate(ids, max_new_tokens=4, do_sample=False)
    script = f"""
import sys
sys.modules["paperworks"] = None
import torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained({str(tmp_path / "out")!r})
print(model.generate(torch.tensor({ids.tolist()}), max_new_tokens=4, do_sample=False).tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_that_was_stopped_anywhere_goes_on_to_the_same_bytes(seed, saved, tmp_path):
    scores = scores_of(saved / "llama-biases")
    prune(saved / "llama-biases", scores, TARGET, tmp_path / "whole", **SMALL)
    stop = random.Random(seed).randint(1, len(Checkpoint(tmp_path / "whole").table))

    def progress(done, total, text):
        if done == stop:
            raise Killed

    with pytest.raises(Killed):
        prune(saved / "llama-biases", scores, TARGET, tmp_path / "out", **SMALL, progress=progress)
    assert not (tmp_path / "out" / "config.json").exists()
    seen = []
    prune(
        saved / "llama-biases",
        scores,
        TARGET,
        tmp_path / "out",
        **SMALL,
        progress=lambda *told: seen.append(told[0]),
    )
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert seen[0] <= stop
    assert seen[-1] == len(Checkpoint(tmp_path / "whole").table)


def test_a_cut_that_was_killed_goes_on_to_the_same_bytes(saved, tmp_path):
    script = f"""
import os, signal
from paperworks.minitron.checkpoint import Checkpoint
from paperworks.minitron.prune import prune
from paperworks.minitron.importance import measure_in_memory, random_importance
from paperworks.minitron.target import Target
def kill(done, total, text):
    if done == 9:
        os.kill(os.getpid(), signal.SIGKILL)
source = {str(saved / "llama")!r}
target = Target(hidden_size=32, intermediate_size=40, heads=4, drop_layers=(1,))
scores = random_importance(Checkpoint(source).sizes, 0)
prune(source, scores, target, {str(tmp_path / "out")!r}, progress=kill, **{SMALL})
"""
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL
    left = contents(tmp_path / "out")
    assert any(name.endswith(".partial") for name in left)
    assert json.loads(left[JOURNAL])["shards"]
    scores = scores_of(saved / "llama")
    prune(saved / "llama", scores, TARGET, tmp_path / "out", **SMALL)
    prune(saved / "llama", scores, TARGET, tmp_path / "whole", **SMALL)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rescaled_norms_are_those_of_the_cut_model_and_nothing_else_changes(family, dtype, tmp_path):
    model = build(family).to(dtype)
    model.save_pretrained(tmp_path / "model")
    scores = measure_in_memory(model, tokens(model))
    prune(tmp_path / "model", scores, TARGET, tmp_path / "plain")
    prune(tmp_path / "model", scores, TARGET, tmp_path / "scaled", rescale_norms=True)
    plain, scaled = Checkpoint(tmp_path / "plain"), Checkpoint(tmp_path / "scaled")
    expected = prune_model(model, scores, TARGET, rescale_norms=True).state_dict()
    for name in plain.table:
        assert torch.equal(scaled.tensor(name), expected[name]), name
        hidden_norm = name.endswith("layernorm.weight") or name == "model.norm.weight"
        assert torch.equal(scaled.tensor(name), plain.tensor(name)) != hidden_norm, name
    noted = json.loads((tmp_path / "scaled" / "pruning.json").read_text())["rescaled_norms"]
    assert len(noted) == 5
    assert all(value != 1 for value in noted.values())


def test_an_output_folder_that_is_taken_or_in_the_source_is_refused(saved, tmp_path):
    scores = scores_of(saved / "llama")
    for out in (saved / "llama", saved / "llama" / "cut"):
        with pytest.raises(InputError, match="lies in the source"):
            prune(saved / "llama", scores, TARGET, out)
    (tmp_path / "link").symlink_to(saved / "llama")
    with pytest.raises(InputError, match="lies in the source"):
        prune(saved / "llama", scores, TARGET, tmp_path / "link" / "cut")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        prune(saved / "llama", scores, TARGET, taken)
    with pytest.raises(InputError, match="is a file"):
        prune(saved / "llama", scores, TARGET, taken / "notes.txt")
    prune(saved / "llama", scores, TARGET, tmp_path / "out")
    with pytest.raises(InputError, match="is not empty"):
        prune(saved / "llama", scores, TARGET, tmp_path / "out")


def test_a_cut_to_something_else_does_not_go_on_in_the_folder(saved, tmp_path):
    def progress(done, total, text):
        if done == 9:
            raise Killed

    scores, out = scores_of(saved / "llama"), tmp_path / "out"
    with pytest.raises(Killed):
        prune(saved / "llama", scores, TARGET, out, **SMALL, progress=progress)
    before = contents(out)
    for other, target in ((scores_of(saved / "llama", 1), TARGET), (scores, Target(hidden_size=24))):
        with pytest.raises(InputError, match="unfinished cut to something else"):
            prune(saved / "llama", other, target, out, **SMALL)
    assert contents(out) == before


def test_a_disk_that_is_too_small_is_refused_before_the_start(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(InputError, match=r"needs [\d,]+ bytes on the disk of .*, 1,000 are free"):
        prune(saved / "llama", scores_of(saved / "llama"), TARGET, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scores_of_another_model_and_a_target_that_cannot_be_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match="scores are of another model"):
        prune(saved / "llama", scores_of(saved / "qwen2"), TARGET, tmp_path / "out")
    with pytest.raises(InputError, match="nearest 24 or 32"):
        prune(saved / "llama", scores_of(saved / "llama"), Target(hidden_size=30), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_private_memory_counts_what_is_allocated_and_not_what_is_mapped(tmp_path):
    if private_bytes() == 0:
        pytest.skip("this system does not say")
    (tmp_path / "file").write_bytes(bytes(50_000_000))
    with PeakPrivate() as mapped:
        before = private_bytes()
        torch.from_file(str(tmp_path / "file"), size=50_000_000, dtype=torch.uint8).max()
    assert mapped.bytes - before < 25_000_000
    before = private_bytes()
    with (
        PeakPrivate() as allocated,
        mmap.mmap(-1, 200_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as fresh,
    ):
        fresh.write(b"x" * len(fresh))  # new pages: an allocation may use those that were freed before
        fresh.seek(0)
    assert allocated.bytes - before > 120_000_000

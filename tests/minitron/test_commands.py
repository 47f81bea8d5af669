"""The commands on a small checkpoint, plan to evaluate, and what they refuse."""

import json

import pytest
import torch
from command_line import command
from models import build

from paperworks.minitron.architecture import sizes_of


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A Llama of random weights with a tokenizer of bytes, and a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("llama")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {"<end>": 0} | {letter: number + 1 for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    build("llama", vocab_size=len(words)).save_pretrained(folder)
    text = folder.parent / "text.txt"
    text.write_text("def f(x):\n    return x + 1\n" * 80)
    return folder, text


run = command("minitron")


def test_plan_reads_the_config_alone(tmp_path, capsys):
    config = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    status, out, _ = run(capsys, "plan", tmp_path, "--to", "4b-depth", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["target"]["parameters"] == 4_540_469_248
    assert found["dropped_layers"] == list(range(15, 31))
    assert found["target"]["KV cache, bytes a token (bf16)"] == 65_536
    status, out, _ = run(capsys, "plan", tmp_path, "--drop", "16..31")
    assert status == 0
    assert "15…30 (from 0), 16…31 (from 1)" in out


def test_measure_prune_distil_and_evaluate_follow_one_another(checkpoint, tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    folder, text = checkpoint
    scores = tmp_path / "importance.safetensors"
    calibration = ("--data", text, "--samples", 4, "--length", 16)
    status, out, err = run(capsys, "measure", folder, *calibration, "--out", scores, "--json")
    assert status == 0, err
    assert len(json.loads(out)["block_influence"]) == 3
    memory = tmp_path / "memory.safetensors"
    assert run(capsys, "measure", folder, *calibration, "--out", memory, "--in-memory")[0] == 0
    assert scores.read_bytes() == memory.read_bytes()

    pruned = tmp_path / "pruned"
    sizes = ("--hidden", 32, "--intermediate", 40)
    status, out, err = run(capsys, "prune", folder, "--importance", scores, *sizes, "--out", pruned, "--json")
    assert status == 0, err
    cut = AutoModelForCausalLM.from_pretrained(pruned)
    assert (sizes_of(cut.config).hidden, sizes_of(cut.config).intermediate) == (32, 40)
    assert json.loads(out)["parameters"] == sum(p.numel() for p in cut.parameters())

    rescaled = tmp_path / "rescaled"
    options = ("--rescale-norms", "--out", rescaled)
    assert run(capsys, "prune", folder, "--importance", scores, *sizes, *options)[0] == 0
    assert len(json.loads((rescaled / "pruning.json").read_text())["rescaled_norms"]) == 7

    small = tmp_path / "small"
    training = (
        "--data",
        text,
        "--steps",
        3,
        "--batch-size",
        2,
        "--length",
        16,
        "--samples",
        6,
        "--peak-lr",
        "1e-3",
    )
    status, _, err = run(
        capsys, "distill", "--teacher", folder, "--student", pruned, *training, "--out", small
    )
    assert status == 0, err
    before, after = (
        model.state_dict()["lm_head.weight"] for model in (cut, AutoModelForCausalLM.from_pretrained(small))
    )
    assert not torch.equal(before, after)
    status, out, err = run(capsys, "evaluate", small, *calibration, "--json")
    assert status == 0, err
    assert json.loads(out)["perplexity"] > 1

    stored = tmp_path / "stored"
    rows = ("--data", text, "--length", 16, "--samples", 6)
    status, _, err = run(
        capsys,
        "distill",
        "--teacher",
        folder,
        "--student",
        pruned,
        *rows,
        "--store-teacher",
        8,
        "--out",
        stored,
    )
    assert status == 0, err
    again = tmp_path / "again"
    status, _, err = run(
        capsys, "distill", "--from-stored", stored, "--student", pruned, *training, "--out", again
    )
    assert status == 0, err


def test_layers_can_be_dropped_without_scores(checkpoint, tmp_path, capsys):
    folder, text = checkpoint
    status, out, err = run(capsys, "layers", folder, "--data", text, "--samples", 2, "--length", 16, "--json")
    assert status == 0, err
    assert len(json.loads(out)["scores"]) == 3
    status, out, err = run(capsys, "prune", folder, "--drop", "2", "--out", tmp_path / "cut")
    assert status == 0, err
    assert "1 (from 0), 2 (from 1)" in out
    status, out, err = run(
        capsys, "speed", folder, tmp_path / "cut", "--prompt", 8, "--generate", 2, "--repeats", 1, "--json"
    )
    assert status == 0, err
    assert {row["phase"] for row in json.loads(out)["rows"]} == {"prefill", "decode"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "{folder}"), "in one way"),
        (("plan", "{folder}", "--to", "3b"), "no preset is called '3b'"),
        (("plan", "{folder}", "--parameters", "much"), "no number of parameters"),
        (("plan", "{folder}", "--drop", "9"), "the model has 1…3"),
        (("plan", "{folder}", "--hidden", "30"), "nearest 24 or 32"),
        (("plan", "{folder}/none", "--to", "4b-width"), "no config.json"),
        (("prune", "{folder}", "--hidden", "32", "--out", "{out}"), "needs importance scores"),
        (("prune", "{folder}", "--drop", "1", "--out", "{folder}/inside"), "inside"),
        (
            ("prune", "{folder}", "--drop", "1", "--rescale-norms", "--out", "{out}"),
            "know nothing of the norms",
        ),
        (("measure", "{folder}", "--data", "{folder}/none.txt", "--out", "{out}"), "cannot read"),
        (("measure", "{folder}", "--data", "{text}", "--samples", "9999", "--out", "{out}"), "not 9999"),
        (("distill", "--student", "{folder}", "--data", "{text}", "--out", "{out}"), "in one way"),
        (("evaluate", "{folder}"), "--data FILE"),
        (("layers", "{folder}", "--metric", "task"), "--task FILE"),
    ],
)
def test_bad_input_is_one_line_and_status_2(checkpoint, tmp_path, capsys, arguments, message):
    folder, text = checkpoint
    out = tmp_path / "out"
    status, _, err = run(capsys, *(part.format(folder=folder, text=text, out=out) for part in arguments))
    assert status == 2, err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not out.exists()


def test_another_architecture_is_refused_by_name(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "gemma2", "hidden_size": 8}')
    status, _, err = run(capsys, "plan", tmp_path, "--to", "4b-width")
    assert status == 2
    assert "'gemma2' cannot be cut: only llama, mistral, qwen2, qwen3" in err

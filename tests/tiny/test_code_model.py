"""The shipped language model: what it is, what it has not seen, and that it has learnt."""

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from paperworks.tiny.code_model import FOLDER, HELD_OUT, SHAPE, load_code_model, modules, packed  # noqa: E402


def test_the_held_out_modules_are_not_trained_on():
    seen, unseen = modules(), modules(held_out=True)
    assert not seen.keys() & unseen.keys()
    assert {name.split(".")[0] for name in unseen} == set(HELD_OUT)
    assert len(seen) > 300


def test_it_is_a_llama_of_the_declared_shape_and_small():
    model, tokenizer = load_code_model()
    assert type(model).__name__ == "LlamaForCausalLM"
    assert {name: getattr(model.config, name) for name in SHAPE} == SHAPE
    assert 4e6 < sum(p.numel() for p in model.parameters()) < 7e6
    assert len(tokenizer) == SHAPE["vocab_size"]
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 13e6


def test_the_tokenizer_gives_every_text_back():
    _, tokenizer = load_code_model()
    text = "def f(x):\n\treturn '한글' + x  # é\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_knows_python_it_has_never_seen_and_the_order_of_words():
    model, tokenizer = load_code_model()
    rows = packed(tokenizer, modules(held_out=True), 128)[::40][:24]
    with torch.no_grad():
        loss = model(input_ids=rows, labels=rows).loss.item()
        shuffled = rows[:, torch.randperm(128, generator=torch.Generator().manual_seed(0))]
        confused = model(input_ids=shuffled, labels=shuffled).loss.item()
    assert loss < 0.6 * math.log(SHAPE["vocab_size"])
    assert confused > loss + 1

"""What a run leaves behind: its weights as a prompt, in a picture, as JSON, and a verdict."""

import json

import pytest
import small_pipelines as small
import torch
from PIL import Image
from small_pipelines import CALL, OBJECTS, PROMPT, SETTINGS

from paperworks.errors import InputError
from paperworks.frap import Replay, Result, Settings, read_png, weights_of
from paperworks.frap.rewrite import kept
from paperworks.frap.words import read_prompt
from paperworks.tiny.scene_model import make_tokenizer


def result_of(weights, text=PROMPT, objects=OBJECTS):
    prompt = read_prompt(make_tokenizer(), text, objects)
    values = torch.ones(2, 1, 24)
    for position, weight in weights.items():
        values[-1, 0, position] = weight
    return Result([prompt], Settings(), values, torch.tensor([[0.5]]), [[[0.42, 0.9]]], [[[[0.1], [0.2]]]], 7)


def test_weights_become_a_prompt_for_compel():
    assert result_of({3: 1.31, 2: 1.004}).to_compel() == "a red (circle)1.31 and a blue square"
    with pytest.warns(UserWarning, match="below 1 by another rule: blue"):
        assert result_of({6: 0.7}).to_compel() == "a red circle and a (blue)0.70 square"
    odd = result_of({3: 1.2}, "a red (circle), and a star.", {"circle": ["red"]})
    assert odd.to_compel().count("\\(") == 1
    assert odd.to_compel().startswith("a red \\(")


def test_the_verdict_names_what_is_weak():
    assert result_of({}).verdict() == ["circle: weak, 0.42", "square: shown, 0.90"]


def test_a_picture_and_a_file_give_the_weights_back_for_use_without_the_method(tmp_path):
    pipe = small.frap()
    options = CALL | {"latents": small.noise()}
    found = pipe(
        PROMPT, objects=OBJECTS, frap=SETTINGS, generator=torch.Generator().manual_seed(11), **options
    ).frap
    found.save_png(Image.new("RGB", (8, 8), "red"), tmp_path / "one.png")
    stored = read_png(tmp_path / "one.png")
    assert stored["seed"] == 11
    assert stored["objects"] == OBJECTS
    assert stored["loss"] == pytest.approx(found.loss[:, 0].tolist())
    assert torch.allclose(weights_of(stored)[0, 0], found.weights[-1, 0], atol=1e-6)
    found.save_json(tmp_path / "weights.json")
    assert json.loads((tmp_path / "weights.json").read_text()) == [stored]
    images = [
        pipe(PROMPT, objects=OBJECTS, frap=Replay(one), **options).images
        for one in (weights_of(stored), found.weights[-1:])
    ]
    assert torch.allclose(*images, atol=1e-2)
    with pytest.raises(
        InputError, match=r"weights \(1, 1, 3\) must be \[steps, 1 pictures or 1, 24 tokens\]"
    ):
        pipe(PROMPT, objects=OBJECTS, frap=Replay(torch.ones(1, 1, 3)), **options)


def test_the_figure_has_a_line_for_every_word_and_every_part():
    left, right = result_of({3: 1.3}).figure().axes
    assert [line.get_label() for line in left.lines[:7]] == PROMPT.split()
    assert len(right.lines) == 1 + 2 + 2


def test_a_rewritten_prompt_keeps_the_words_of_its_objects():
    assert kept("A shiny RED circle beside a blue square", OBJECTS)
    with pytest.raises(InputError, match='lost "blue"'):
        kept("a red circle, a teal square", OBJECTS)


def test_a_language_model_rewrites_or_one_line_says_what_was_lost(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from paperworks.frap.rewrite import rewrite

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match='the rewritten prompt lost "circle"'):
        rewrite(PROMPT, OBJECTS, str(tmp_path), tokens=5)
    with pytest.raises(InputError, match="no causal language model that can be read"):
        rewrite(PROMPT, OBJECTS, str(tmp_path / "none"))

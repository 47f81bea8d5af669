"""Depth importance: planted layers, the one-pass search against the naive one, and models that run without layers."""

import math
from itertools import pairwise

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.evaluate import lm_loss
from paperworks.minitron.importance import measure_in_memory, random_importance
from paperworks.minitron.layers import (
    layer_importance,
    load_task,
    one_by_one,
    task_accuracy,
    task_correct,
    without_layers,
)
from paperworks.minitron.target import Target
from paperworks.minitron.trim import prune_model


class Words:
    """A tokenizer of whole words, kept with the space before them."""

    def __init__(self):
        self.known = {}

    def __call__(self, text, **_):
        parts = [part for part in text.replace(" ", "\n ").split("\n") if part]
        return {"input_ids": [self.known.setdefault(part, len(self.known) + 1) for part in parts]}


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def padded(model):
    mask = torch.ones(5, 16, dtype=torch.long)
    mask[1, :6] = 0
    mask[3, 12:] = 0
    return Calibration(tokens(model), mask)


def silence(layer):
    with torch.no_grad():
        for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
            part.weight.zero_()
            if part.bias is not None:
                part.bias.zero_()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("gone", [(0,), (1,), (0, 2)])
def test_without_layers_is_the_pruned_model_and_afterwards_the_whole_one(family, gone):
    model, ids = build(family), tokens(build(family))
    pruned = prune_model(model, random_importance(sizes_of(model.config), 0), Target(drop_layers=gone))
    whole = logits(model, ids)
    config = model.config.to_dict()
    with without_layers(model, gone):
        assert torch.equal(logits(model, ids), logits(pruned, ids))
        written = model.generate(ids[:2], max_new_tokens=4, do_sample=False, pad_token_id=0)
        assert torch.equal(
            written, pruned.generate(ids[:2], max_new_tokens=4, do_sample=False, pad_token_id=0)
        )
    assert torch.equal(logits(model, ids), whole)
    assert model.config.to_dict() == config
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0, 1, 2]


def test_without_layers_the_model_is_whole_again_after_an_error_and_refuses_layers_it_has_not():
    model = build("qwen2")
    with pytest.raises(RuntimeError, match="stop"), without_layers(model, [1]):
        raise RuntimeError("stop")
    assert len(model.model.layers) == model.config.num_hidden_layers == len(model.config.layer_types) == 3
    with pytest.raises(InputError, match="no layers \\[3\\]"), without_layers(model, [3]):
        pass
    with pytest.raises(InputError, match="no layer would be left"), without_layers(model, range(3)):
        pass


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("block", [1, 3])
def test_the_one_pass_search_equals_the_naive_one(family, block):
    model = build(family, num_hidden_layers=5)
    data = padded(model)
    found = layer_importance(model, data, "loss", block=block, batch_size=2)
    assert len(found.scores) == 5 - block + 1
    assert found.whole == pytest.approx(lm_loss(model, data).mean, abs=1e-6)
    for first, score in found.scores.items():
        with without_layers(model, range(first, first + block)):
            assert score == pytest.approx(lm_loss(model, data).mean, abs=1e-6)
    assert found.best() == tuple(range(found.table[0][0], found.table[0][0] + block))
    assert found.scores[found.best()[0]] == min(found.scores.values())


def test_the_search_visits_every_layer_with_the_live_branches_only():
    model = build("llama", num_hidden_layers=5)
    visits = [0] * 5
    for index, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: visits.__setitem__(index, visits[index] + 1))
    layer_importance(model, tokens(model), "loss", block=2, batch_size=5)
    assert visits == [1, 1, 2, 3, 4]  # the trunk, and the branches that start at 2, 3, 4


def test_influence_of_an_identity_layer_is_0_and_of_a_sign_flip_2():
    model = build("llama")
    silence(model.model.layers[1])
    model.model.layers[2].register_forward_hook(lambda _, args, output: -args[0])
    bi = layer_importance(model, padded(model), "bi")
    assert bi.scores[1] == pytest.approx(0, abs=1e-6)
    assert bi.scores[2] == pytest.approx(2, abs=1e-6)
    assert bi.best() == (1,)
    angular = layer_importance(model, padded(model), "angular")
    assert angular.scores[1] == pytest.approx(0, abs=1e-3)
    assert angular.scores[2] == pytest.approx(1, abs=1e-3)
    loss = layer_importance(model, padded(model), "loss")
    assert loss.scores[1] == loss.whole


def test_influence_is_that_of_the_width_measurement_and_any_batch_size_agrees():
    model = build("mistral")
    data = padded(model)
    found = layer_importance(model, data, "bi")
    torch.testing.assert_close(
        torch.tensor(list(found.scores.values())), measure_in_memory(model, data).bi, atol=1e-6, rtol=0
    )
    for metric in ("loss", "bi", "angular"):
        one, five = (layer_importance(model, data, metric, block=2, batch_size=size) for size in (1, 5))
        assert one.scores == pytest.approx(five.scores, abs=1e-6)


def test_the_angle_is_taken_at_the_last_token_that_is_no_padding():
    model = build("llama")
    data = padded(model)
    with torch.no_grad():
        states = model(
            input_ids=data.input_ids, attention_mask=data.mask, output_hidden_states=True
        ).hidden_states
    last = [15, 15, 15, 11, 15]
    for first, (before, after) in enumerate(pairwise(states[:3])):
        cosines = [
            torch.nn.functional.cosine_similarity(before[n, s], after[n, s], dim=0)
            for n, s in enumerate(last)
        ]
        expected = sum(math.acos(cosine) / math.pi for cosine in cosines) / 5
        assert layer_importance(model, data, "angular").scores[first] == pytest.approx(expected, abs=1e-5)


def test_a_function_of_the_model_is_asked_without_each_block_and_the_highest_goes():
    model = build("qwen2")
    ids = tokens(model)

    def negative_loss(cut):
        return -lm_loss(cut, ids).mean

    by_function = layer_importance(model, None, negative_loss, block=2)
    by_loss = layer_importance(model, ids, "loss", block=2)
    assert by_function.metric == "negative_loss"
    assert {first: -score for first, score in by_function.scores.items()} == pytest.approx(
        by_loss.scores, abs=1e-6
    )
    assert by_function.best() == by_loss.best()
    assert by_function.to_dict()["best"] == list(by_loss.best())


def test_silent_layers_are_the_ones_chosen_one_by_one():
    model = build("llama", num_hidden_layers=6)
    ids = model.generate(tokens(model, 4, 2), max_new_tokens=14, do_sample=False, pad_token_id=0)
    for layer in (1, 4):
        silence(model.model.layers[layer])
    assert one_by_one(model, ids, 2) == one_by_one(model, ids, 2, greedy=True) == (1, 4)
    greedy = one_by_one(model, ids, 5, greedy=True)
    assert len(greedy) == len(set(greedy)) == 5
    with pytest.raises(InputError, match="one must stay"):
        one_by_one(model, ids, 6)


def test_the_table_is_json_with_both_ways_to_count():
    found = layer_importance(
        build("llama", num_hidden_layers=4), tokens(build("llama")), "bi", block=2
    ).to_dict()
    first = found["best"][0]
    assert found["best_layers"] == f"{first}…{first + 1} (from 0), {first + 1}…{first + 2} (from 1)"
    assert [row["first_layer"] for row in found["scores"]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block": 3}, "one must stay"),
        ({"block": 0}, "one must stay"),
        ({"metric": "taylor"}, "loss, bi, angular or a function"),
    ],
)
def test_a_search_that_cannot_be_is_refused(arguments, message):
    model = build("llama")
    with pytest.raises(InputError, match=message):
        layer_importance(model, tokens(model), **arguments)


def test_a_choice_is_scored_by_the_log_likelihood_of_its_tokens():
    model, tokenizer = build("llama"), Words()
    rows = [
        {"context": "the cat", "choices": [" sat", " ran off", " was a long way from home"], "answer": 0},
        {"contexts": ["the box is", "a very small cup is"], "continuation": " too large", "answer": 1},
        {"context": "one two ", "choices": ["three", "four"], "answer": 1},
    ]
    likely = []
    for row in rows:
        contexts = row.get("contexts") or [row["context"]] * len(row["choices"])
        scores = []
        for context, choice in zip(contexts, row.get("choices") or [row["continuation"]] * 2, strict=True):
            ids = tokenizer(context + choice)["input_ids"]
            start = len(tokenizer(context.rstrip())["input_ids"])
            log = logits(model, torch.tensor([ids]))[0].log_softmax(-1)
            scores.append(sum(float(log[place - 1, ids[place]]) for place in range(start, len(ids))))
        likely.append(scores.index(max(scores)))
    right = [found == row["answer"] for found, row in zip(likely, rows, strict=True)]
    for batch_size in (1, 3, 8):
        assert task_correct(model, tokenizer, rows, batch_size) == right
    assert (
        task_accuracy(model, tokenizer, [{**row, "answer": n} for row, n in zip(rows, likely, strict=True)])
        == 1
    )


def test_a_task_file_is_read_and_what_is_wrong_in_it_is_named_by_its_line(tmp_path):
    path = tmp_path / "task.jsonl"
    good = '{"context": "a", "choices": ["b", "c"], "answer": 1}\n\n'
    path.write_text(good + '{"contexts": ["a", "b"], "continuation": " c", "answer": 0}\n', encoding="utf-8")
    assert [row["answer"] for row in load_task(path)] == [1, 0]
    for line, message in [
        ("{", "line 3: no JSON"),
        ("[1]", "line 3: an object"),
        ('{"context": "a", "choices": ["b", "c"]}', "line 3: an object"),
        ('{"context": "a", "choices": ["b"], "answer": 0}', "line 3: two or more"),
        ('{"context": "a", "choices": ["b", ""], "answer": 0}', "line 3: two or more"),
        ('{"context": "a", "choices": ["b", 3], "answer": 0}', "line 3: two or more"),
        ('{"context": "a", "choices": ["b", "c"], "answer": 2}', "line 3: answer 2"),
    ]:
        path.write_text(good + line, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            load_task(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="no rows"):
        load_task(path)
    with pytest.raises(InputError, match="cannot read"):
        load_task(tmp_path / "none.jsonl")

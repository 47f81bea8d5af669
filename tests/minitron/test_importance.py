"""Importance against a slow float64 loop; what must not matter does not, and what must does."""

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.importance import Importance, Statistics, measure_in_memory, random_importance


def slow(model, ids, mask, part, before):
    """The l2 over samples of the mean over positions, one value at a time in float64."""
    seen = []
    hook = (
        part.register_forward_pre_hook(lambda _, args: seen.append(args[0].double()))
        if before
        else part.register_forward_hook(lambda _, args, output: seen.append(output.double()))
    )
    total = None
    for row, keep in zip(ids, mask, strict=True):
        seen.clear()
        with torch.no_grad():
            model.model(input_ids=row[None], attention_mask=keep[None], use_cache=False)
        sums = torch.zeros(seen[0].shape[-1], dtype=torch.float64)
        for position in range(len(row)):
            if keep[position]:
                sums += seen[0][0, position].abs()
        square = (sums / keep.sum()) ** 2
        total = square if total is None else total + square
    hook.remove()
    return total.sqrt()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_score_is_that_of_a_slow_loop(family):
    model = build(family)
    ids = tokens(model)
    mask = torch.ones_like(ids)
    mask[1, :5] = 0  # left padding
    found = measure_in_memory(model, Calibration(ids, mask), batch_size=2)
    for index, layer in enumerate(model.model.layers):
        expected = {
            "neuron": slow(model, ids, mask, layer.mlp.down_proj, True),
            "head": slow(model, ids, mask, layer.self_attn.o_proj, True),
            "input": slow(model, ids, mask, layer.input_layernorm, False),
            "post": slow(model, ids, mask, layer.post_attention_layernorm, False),
        }
        got = {
            "neuron": found.neuron[index],
            "head": found.head_channel[index],
            "input": found.norm["input"][index],
            "post": found.norm["post"][index],
        }
        for name, value in expected.items():
            torch.testing.assert_close(got[name].double(), value, rtol=1e-5, atol=1e-6, msg=f"{index} {name}")
    sizes = sizes_of(model.config)
    heads = found.head_channel.view(sizes.layers, sizes.heads, sizes.head_dim)
    torch.testing.assert_close(found.head, heads.norm(dim=-1))
    torch.testing.assert_close(found.channel, found.norm["input"].sum(0) + found.norm["post"].sum(0))


def test_neither_the_batch_size_nor_padding_matters_but_cutting_a_sample_in_two_does():
    model = build("llama")
    ids = tokens(model, n=6)
    whole = measure_in_memory(model, ids, batch_size=6)
    for size in (1, 4):
        torch.testing.assert_close(
            measure_in_memory(model, ids, batch_size=size).neuron, whole.neuron, rtol=1e-5, atol=1e-6
        )
    padded = torch.cat([torch.zeros(6, 4, dtype=torch.long), ids], 1)
    mask = torch.cat([torch.zeros(6, 4, dtype=torch.long), torch.ones_like(ids)], 1)
    masked = measure_in_memory(model, Calibration(padded, mask))
    torch.testing.assert_close(masked.neuron, whole.neuron, rtol=1e-4, atol=1e-5)
    assert masked.bi.sub(whole.bi).abs().max() < 1e-4
    halves = measure_in_memory(model, ids.reshape(12, -1))
    assert not torch.allclose(halves.neuron, whole.neuron, rtol=1e-2)


@pytest.mark.parametrize(
    ("batch", "sequence"), [("l2", "mean"), ("mean", "l2"), ("mean", "mean"), ("l2", "l2")]
)
def test_each_aggregation_is_its_formula(batch, sequence):
    values = torch.randn(7, 5, 3)
    statistics = Statistics(3, batch=batch, sequence=sequence)
    statistics.add(values[:4], None, "here")
    statistics.add(values[4:], None, "here")
    per_sample = values.abs().mean(1) if sequence == "mean" else values.square().mean(1).sqrt()
    expected = per_sample.square().sum(0).sqrt() if batch == "l2" else per_sample.mean(0)
    torch.testing.assert_close(statistics.value(), expected)


def test_block_influence_of_an_identity_is_0_and_of_a_sign_flip_2():
    from paperworks.minitron.importance import LayerProbe

    model = build("llama")
    probe = LayerProbe(sizes_of(model.config), 0)
    states = torch.randn(2, 4, 48)
    probe._block(None, (states,), {}, states)
    assert abs(probe.scores().bi) < 1e-6
    flip = LayerProbe(sizes_of(model.config), 0)
    flip._block(None, (states,), {}, -states)
    assert abs(flip.scores().bi - 2) < 1e-6


def test_scores_are_kept_in_a_file_and_refused_for_another_model(tmp_path):
    model = build("qwen3")
    scores = measure_in_memory(model, tokens(model))
    scores.save(tmp_path / "importance.safetensors")
    again = Importance.load(tmp_path / "importance.safetensors", sizes_of(model.config))
    assert torch.equal(again.neuron, scores.neuron)
    assert torch.equal(again.channel, scores.channel)
    assert torch.equal(again.head, scores.head)
    assert all(torch.equal(again.energy[place], energy) for place, energy in scores.energy.items())
    assert again.facts == scores.facts
    with pytest.raises(InputError, match="another model"):
        Importance.load(tmp_path / "importance.safetensors", sizes_of(build("llama").config))
    (tmp_path / "broken").write_bytes(b"no scores")
    with pytest.raises(InputError, match="no file of importance"):
        Importance.load(tmp_path / "broken", sizes_of(model.config))


def test_values_that_are_not_finite_are_refused_with_their_place():
    model = build("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0] = float("nan")
    with pytest.raises(InputError, match="layer 1 down_proj"):
        measure_in_memory(model, tokens(model))


def test_a_token_that_the_model_lacks_is_refused():
    model = build("llama")
    with pytest.raises(InputError, match="another tokenizer"):
        measure_in_memory(model, torch.full((1, 4), 97))


def test_random_scores_follow_their_seed():
    sizes = sizes_of(build("llama").config)
    assert torch.equal(random_importance(sizes, 1).neuron, random_importance(sizes, 1).neuron)
    assert not torch.equal(random_importance(sizes, 1).neuron, random_importance(sizes, 2).neuron)


def test_a_folder_is_streamed_without_a_scratch_folder_to_the_scores_of_the_loaded_model(tmp_path):
    from paperworks.minitron import measure_importance

    model = build("mistral")
    model.save_pretrained(tmp_path)
    ids = tokens(model)
    streamed, loaded = measure_importance(tmp_path, ids), measure_importance(model, ids)
    assert torch.equal(streamed.neuron, loaded.neuron)
    assert torch.equal(streamed.channel, loaded.channel)
    assert torch.equal(measure_importance(tmp_path, ids, stream=False).head, loaded.head)

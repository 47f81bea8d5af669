"""Trimming a loaded model: identities against the full model with parts zeroed, on all four architectures."""

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.importance import magnitude_importance, measure_in_memory, random_importance
from paperworks.minitron.indices import keep, rows_of_heads
from paperworks.minitron.target import Target, parse_layers, plan
from paperworks.minitron.trim import prune_model


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target_equal_to_the_source_is_the_same_model_bit_for_bit(family):
    model = build(family)
    copy = prune_model(model, random_importance(sizes_of(model.config), 0), Target())
    assert torch.equal(logits(copy, tokens(model)), logits(model, tokens(model)))
    for name, tensor in model.state_dict().items():
        assert torch.equal(copy.state_dict()[name], tensor), name
        assert copy.state_dict()[name].data_ptr() != tensor.data_ptr()


@pytest.mark.parametrize("family", FAMILIES)
def test_cut_channels_are_the_full_model_with_them_zeroed_and_the_gains_rescaled(family):
    model = build(family).double()
    sizes = sizes_of(model.config)
    scores, target = random_importance(sizes, 1), Target(hidden_size=sizes.hidden // 2)
    pruned = prune_model(model, scores, target)
    kept = keep(scores, target, sizes).channels
    gone = torch.ones(sizes.hidden, dtype=torch.bool)
    gone[kept] = False
    ratio = len(kept) / sizes.hidden
    with torch.no_grad():
        model.model.embed_tokens.weight[:, gone] = 0
        for layer in model.model.layers:
            for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
                part.weight[gone] = 0
                if part.bias is not None:
                    part.bias[gone] = 0
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight *= ratio**0.5
                norm.variance_epsilon *= ratio
        model.model.norm.weight *= ratio**0.5
        model.model.norm.variance_epsilon *= ratio
    ids = tokens(model)
    torch.testing.assert_close(logits(pruned, ids), logits(model, ids), atol=1e-6, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_cut_neurons_and_heads_are_the_full_model_with_their_columns_zeroed(family):
    model = build(family).double()
    sizes = sizes_of(model.config)
    scores = random_importance(sizes, 2)
    target = Target(intermediate_size=sizes.intermediate // 2, heads=sizes.kv_heads)
    pruned = prune_model(model, scores, target)
    kept = keep(scores, target, sizes)
    with torch.no_grad():
        for layer, neurons, heads in zip(model.model.layers, kept.neurons, kept.heads, strict=True):
            for part, stay in (
                (layer.mlp.down_proj, neurons),
                (layer.self_attn.o_proj, rows_of_heads(heads, sizes.head_dim)),
            ):
                gone = torch.ones(part.weight.shape[1], dtype=torch.bool)
                gone[stay] = False
                part.weight[:, gone] = 0
    ids = tokens(model)
    torch.testing.assert_close(logits(pruned, ids), logits(model, ids), atol=1e-6, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropped_layers_are_the_model_without_them(family):
    model = build(family)
    sizes = sizes_of(model.config)
    pruned = prune_model(model, random_importance(sizes, 0), Target(drop_layers=(1,)))
    keep_ = [layer for index, layer in enumerate(model.model.layers) if index != 1]
    for layer, other in zip(pruned.model.layers, keep_, strict=True):
        for name, tensor in other.state_dict().items():
            assert torch.equal(layer.state_dict()[name], tensor)
    assert pruned.config.num_hidden_layers == sizes.layers - 1
    assert torch.isfinite(logits(pruned, tokens(model))).all()


def test_the_pruned_model_reloads_bit_equal_and_writes(tmp_path):
    from transformers import AutoModelForCausalLM

    model = build("qwen2")
    pruned = prune_model(model, magnitude_importance(model), Target(hidden_size=32, intermediate_size=40))
    pruned.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = tokens(model)
    assert torch.equal(logits(again, ids), logits(pruned, ids))
    assert again.config.head_dim == sizes_of(model.config).head_dim
    assert again.generate(ids[:1], max_new_tokens=3, do_sample=False).shape[1] == ids.shape[1] + 3


def test_planted_channels_and_neurons_survive_and_the_chosen_set_follows_a_permutation():
    model = build("llama")
    sizes = sizes_of(model.config)
    with torch.no_grad():
        for layer in model.model.layers:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[[3, 17]] *= 10
            layer.mlp.up_proj.weight[5] *= 10
    scores = measure_in_memory(model, tokens(model))
    kept = keep(scores, Target(hidden_size=16, intermediate_size=8), sizes)
    assert {3, 17} <= set(kept.channels.tolist())
    assert all(5 in neurons.tolist() for neurons in kept.neurons)
    order = torch.randperm(sizes.intermediate, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in model.model.layers:
            for part in (layer.mlp.up_proj, layer.mlp.gate_proj):
                part.weight.copy_(part.weight[order])
                if part.bias is not None:
                    part.bias.copy_(part.bias[order])
            layer.mlp.down_proj.weight.copy_(layer.mlp.down_proj.weight[:, order])
    moved = keep(measure_in_memory(model, tokens(model)), Target(intermediate_size=8), sizes)
    for before, after in zip(kept.neurons, moved.neurons, strict=True):
        assert set(order[after].tolist()) == set(before.tolist())


def test_a_group_score_rises_with_its_group_and_every_group_keeps_its_best_heads():
    model = build("llama")
    sizes = sizes_of(model.config)
    scores = random_importance(sizes, 0)
    channels = torch.arange(sizes.kv_heads).repeat_interleave(sizes.group * sizes.head_dim).float()
    scores.head_channel = channels.repeat(sizes.layers, 1)
    assert (scores.group.diff(dim=1) > 0).all()
    kept = keep(scores, Target(heads=sizes.kv_heads), sizes)
    assert all((heads // sizes.group).tolist() == list(range(sizes.kv_heads)) for heads in kept.heads)
    fewer = keep(scores, Target(kv_heads=1), sizes)
    assert all(groups.tolist() == [sizes.kv_heads - 1] for groups in fewer.groups)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(hidden_size=1000), "between 1 and the model's"),
        (Target(hidden_size=30), "not a multiple of 8 heads.*nearest 24 or 32"),
        (Target(heads=5), "cannot share"),
        (Target(drop_layers=(7,)), "no layers \\[7\\]"),
        (Target(drop_layers=(0, 1, 2)), "no layer would be left"),
    ],
)
def test_a_target_that_cannot_be_is_refused_in_one_line(target, message):
    model = build("llama")
    with pytest.raises(InputError, match=message):
        prune_model(model, random_importance(sizes_of(model.config), 0), target)


LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip
NEMO_12B = {
    "model_type": "mistral", "hidden_size": 5120, "intermediate_size": 14336, "num_hidden_layers": 40, "head_dim": 128,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 131072, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "preset", "parameters", "without"),
    [
        (LLAMA_8B, None, 8_030_261_248, 6_979_588_096),
        (LLAMA_8B, "4b-width", 4_512_746_496, 3_724_741_632),
        (LLAMA_8B, "4b-depth", 4_540_469_248, 3_489_796_096),
        (NEMO_12B, None, 12_247_782_400, 10_905_605_120),
        (NEMO_12B, "8b-width", 8_414_105_600, 7_340_363_776),
    ],
)
def test_the_papers_shapes_come_out_of_plans_and_of_meta_models(config, preset, parameters, without):
    from transformers import AutoModelForCausalLM

    from paperworks.minitron.architecture import model_config

    source = sizes_of(config)
    target = Target.preset(preset) if preset else Target()
    new = target.sizes(source)
    assert (new.parameters, new.without_embeddings) == (parameters, without)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config(target.config(config, source)))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == dict(new.tensors())


def test_a_plan_comes_near_its_parameters_and_a_depth_plan_keeps_the_last_layer():
    source = sizes_of(LLAMA_8B)
    for wanted in (6_000_000_000, 4_500_000_000, 2_000_000_000):
        target = plan(source, wanted)
        assert 0.98 * wanted < target.sizes(source).parameters <= wanted
        assert target.hidden_size % 64 == 0
    assert plan(source, 4_600_000_000, axes="depth") == Target.preset("4b-depth")
    assert parse_layers("16..31", 32) == Target.preset("4b-depth").drop_layers
    with pytest.raises(InputError, match="not smaller"):
        plan(source, 10**11)


def test_a_plan_of_a_small_model_comes_near_too():
    small = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8}
    small |= {"num_key_value_heads": 2, "head_dim": 32, "vocab_size": 4096}
    source = sizes_of({**LLAMA_8B, **small})
    new = plan(source, 4_000_000).sizes(source)
    assert 0.97 * 4_000_000 < new.parameters <= 4_000_000
    assert new.hidden % new.heads == 0

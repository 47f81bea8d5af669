"""Repairs in closed form: identities where nothing is cut, and errors that never grow where something is."""

import dataclasses

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.importance import measure_in_memory, random_importance
from paperworks.minitron.indices import keep, rows_of_heads
from paperworks.minitron.repair import least_squares, norm_gains
from paperworks.minitron.target import Target
from paperworks.minitron.trim import prune_model, trim

SMALL = Target(hidden_size=32, intermediate_size=40, heads=4)


def cut(model, target):
    sizes = sizes_of(model.config)
    kept = keep(random_importance(sizes, 5), target, sizes)
    return kept, trim(model, kept, target)


def padded(model):
    mask = torch.ones(8, 16, dtype=torch.long)
    mask[1, :6] = 0
    mask[3, 12:] = 0
    return Calibration(tokens(model, 8), mask)


def inputs_of(model, name, data):
    seen = []
    handle = model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(input_ids=data.input_ids, attention_mask=data.mask)
    handle.remove()
    return seen[0][data.mask.bool()].double()


@pytest.mark.parametrize("family", FAMILIES)
def test_rescaling_a_model_that_keeps_all_channels_changes_nothing(family):
    model = build(family)
    scores, target = measure_in_memory(model, padded(model)), Target(intermediate_size=40, drop_layers=(1,))
    gains = norm_gains(scores, keep(scores, target, scores.sizes))
    assert len(gains) == 5
    assert all(float(gain) == 1 for gain in gains.values())
    plain = prune_model(model, scores, target).state_dict()
    for name, tensor in prune_model(model, scores, target, rescale_norms=True).state_dict().items():
        assert torch.equal(tensor, plain[name])


def test_a_gain_is_the_root_mean_square_of_the_ratio_of_kept_and_whole_rms():
    model = build("llama")
    data = padded(model)
    target = Target(hidden_size=16, drop_layers=(1,))
    for size in (1, 3, 8):
        scores = measure_in_memory(model, data, batch_size=size)
        kept = keep(scores, target, scores.sizes)
        gains = norm_gains(scores, kept)
        for own, name in (
            ("model.layers.0.input_layernorm", "model.layers.0.input_layernorm"),
            ("model.layers.1.post_attention_layernorm", "model.layers.2.post_attention_layernorm"),
            ("model.norm", "model.norm"),
        ):
            rows = inputs_of(model, name, data).square()
            ratio = rows[:, kept.channels].mean(1) / rows.mean(1)
            assert float(gains[f"{own}.weight"]) == pytest.approx(float(ratio.mean().sqrt()), abs=1e-6)


def test_rescaling_brings_a_norms_output_back_to_its_size():
    model = build("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[:, :16] *= 8  # loud channels
    data = padded(model)
    scores = measure_in_memory(model, data)
    scores.norm["input"][:, :16] += 10
    target = Target(hidden_size=16)
    channels = keep(scores, target, scores.sizes).channels
    name = "layers.0.self_attn.q_proj"
    wanted = inputs_of(model.model, name, data)[:, channels].norm()
    bare = inputs_of(prune_model(model, scores, target).model, name, data).norm()
    repaired = prune_model(model, scores, target, rescale_norms=True)
    assert bare < 0.7 * wanted
    assert inputs_of(repaired.model, name, data).norm() == pytest.approx(float(wanted), rel=0.05)


def test_scores_that_observed_nothing_cannot_rescale():
    model = build("llama")
    with pytest.raises(InputError, match="random scores know nothing of the norms' inputs"):
        prune_model(model, random_importance(sizes_of(model.config), 0), SMALL, rescale_norms=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", [Target(), Target(drop_layers=(1,)), Target(hidden_size=32)])
def test_least_squares_changes_nothing_where_no_input_is_cut(family, target):
    model = build(family)
    kept, pruned = cut(model, target)
    before = {name: tensor.clone() for name, tensor in pruned.state_dict().items()}
    report = least_squares(model, pruned, kept, padded(model))
    for name, tensor in pruned.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=1e-5, rtol=0)
    assert all(one.before < 1e-12 for one in report)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ridge", [1e-6, 0.01, 1.0])
def test_the_error_on_the_calibration_never_grows(family, ridge):
    model = build(family)
    kept, pruned = cut(model, dataclasses.replace(SMALL, drop_layers=(0,)))
    data = padded(model)
    kinds = {name: tensor.clone() for name, tensor in pruned.state_dict().items()}
    report = least_squares(model, pruned, kept, data, ridge=ridge, batch_size=3)
    assert [(one.layer, one.projection) for one in report] == [
        (layer, name) for layer in (1, 2) for name in ("self_attn.o_proj", "mlp.down_proj")
    ]
    assert all(one.after < one.before for one in report)
    changed = {name for name, tensor in pruned.state_dict().items() if not torch.equal(tensor, kinds[name])}
    assert {name.rsplit(".", 2)[1] for name in changed} == {"o_proj", "down_proj"}


@pytest.mark.parametrize("family", ["llama", "llama-biases"])
def test_the_reported_errors_and_the_weights_are_those_of_a_plain_least_squares_fit(family):
    model = build(family)
    kept, pruned = cut(model, SMALL)
    data = padded(model)
    report = least_squares(model, pruned, kept, data, ridge=1e-12)
    for one in report:
        name = f"model.layers.{one.layer}.{one.projection}"
        full, own = model.get_submodule(name), pruned.get_submodule(name)
        chosen = rows_of_heads(kept.heads[one.layer], 12) if "o_proj" in name else kept.neurons[one.layer]
        rows = inputs_of(model, name, data)
        bias = 0 if full.bias is None else full.bias.double()
        wanted = (rows @ full.weight.double().T + bias)[:, kept.channels].detach()
        kept_rows = rows[:, chosen]
        if full.bias is not None:
            kept_rows = torch.cat([kept_rows, torch.ones(len(rows), 1)], 1)
        best = torch.linalg.lstsq(kept_rows, wanted).solution.T
        weights = own.weight if own.bias is None else torch.cat([own.weight, own.bias[:, None]], 1)
        torch.testing.assert_close(weights.double(), best, atol=2e-3, rtol=0)
        error = (kept_rows @ weights.double().T - wanted).square().sum() / wanted.square().sum()
        assert one.after == pytest.approx(float(error.detach()), rel=1e-3)


def test_a_repair_holds_on_text_that_was_not_seen():
    model = build("llama")
    kept, pruned = cut(model, SMALL)
    other = Calibration(tokens(model, 8, seed=9), torch.ones(8, 16, dtype=torch.long))
    rows = inputs_of(model, "model.layers.1.mlp.down_proj", other)
    wanted = (rows @ model.model.layers[1].mlp.down_proj.weight.double().T)[:, kept.channels]

    def error():
        own = pruned.model.layers[1].mlp.down_proj.weight.double()
        return float((rows[:, kept.neurons[1]] @ own.T - wanted).square().sum().detach())

    before = error()
    least_squares(model, pruned, kept, tokens(model, 64))
    assert error() < before


def test_what_does_not_belong_together_is_refused():
    model = build("llama")
    kept, pruned = cut(model, SMALL)
    _, other = cut(model, Target(drop_layers=(1,)))
    _, wide = cut(model, Target(intermediate_size=48))
    ids = tokens(model)
    with pytest.raises(InputError, match="3 layers were kept"):
        least_squares(model, other, kept, ids)
    with pytest.raises(InputError, match="other sizes"):
        least_squares(model, wide, kept, ids)
    with pytest.raises(InputError, match="negative"):
        least_squares(model, pruned, kept, ids, ridge=-1)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.zero_()
    with pytest.raises(InputError, match=r"layer 0 mlp\.down_proj.*larger ridge"):
        least_squares(model, pruned, kept, tokens(model, 64), ridge=0)
    with torch.no_grad():
        model.model.embed_tokens.weight[0] = float("nan")
    with pytest.raises(InputError, match=r"layer 0 self_attn\.o_proj"):
        least_squares(model, pruned, kept, torch.zeros(1, 2, dtype=torch.long))

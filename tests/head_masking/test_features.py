"""Features under many masks at once: those of one whole masked pass each, bit for bit."""

import numpy as np
import pytest
import torch
from encoders import FAMILIES, build, inputs

from paperworks.errors import InputError
from paperworks.head_masking.features import Inputs, Passes, read_outputs
from paperworks.head_masking.heads import HeadMask, masked_heads

PREFIXED = [family for family in FAMILIES if family not in ("swin", "lilt")]


def masks_of(model):
    """All heads, two masks that agree in their first layers, one of the last layer alone, one drawn."""
    everything = HeadMask.all(model)
    names = list(everything)
    late = everything.without(names[-1], 0)
    both = late.without(names[0], 1)
    return [everything, late, both, both.without(names[-1], 1), HeadMask.random(model, 0.5, 3)]


def whole(model, batch, mask, pool):
    seen = []
    handle = model.base_model.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    with torch.no_grad(), masked_heads(model, mask):
        model(**batch)
    handle.remove()
    return pool(seen[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_a_whole_masked_pass(family):
    model = build(family)
    batch = inputs(model, 4)
    passes = Passes(model)
    assert (passes.blocks is not None) == (family in PREFIXED)
    masks = masks_of(model)
    base, found = passes(batch, masks)
    pool = (lambda hidden: hidden.mean(1)) if family == "swin" else (lambda hidden: hidden[:, 0])
    for mask, features in zip(masks, found, strict=True):
        assert torch.equal(features, whole(model, batch, mask, pool)), mask
    with torch.no_grad():
        assert np.array_equal(base.logits, model(**batch).logits.numpy())
    assert np.array_equal(base.features, found[0].numpy())
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("family", ["bert", "layoutlmv3", "vit", "modernbert"])
def test_what_masks_share_is_computed_once(family):
    model = build(family)
    batch, passes, masks = inputs(model, 2), Passes(model), masks_of(model)
    runs = dict.fromkeys(range(len(passes.blocks)), 0)
    for index, block in enumerate(passes.blocks):
        block.register_forward_hook(lambda *_, index=index: runs.__setitem__(index, runs[index] + 1))
    passes(batch, masks)
    names = list(masks[0])
    for depth in range(len(passes.blocks)):
        prefixes = {tuple(mask[name] for name in names[: depth + 1]) for mask in masks}
        unmasked = tuple(masks[0][name] for name in names[: depth + 1])
        assert unmasked in prefixes
        assert runs[depth] == len(
            prefixes
        )  # what is not masked is the pass without a mask, which runs always


def test_the_mean_is_over_text_tokens_that_count():
    model = build("layoutlmv3")
    batch = inputs(model, 3)
    base, _ = Passes(model, "mean")(batch, [])
    hidden = whole(model, batch, HeadMask.all(model), lambda states: states)
    for row, features in enumerate(base.features):
        tokens = int(batch["attention_mask"][row].sum())
        np.testing.assert_allclose(features, hidden[row, :tokens].mean(0).numpy(), rtol=1e-5, atol=1e-6)


def test_the_penultimate_feature_is_what_the_last_layer_reads():
    model = build("layoutlmv3")
    batch, masks = inputs(model, 3), masks_of(model)
    base, found = Passes(model, "penultimate")(batch, masks)
    last = model.classifier.out_proj
    for mask, features in zip(masks, found, strict=True):
        with torch.no_grad(), masked_heads(model, mask):
            torch.testing.assert_close(last(features), model(**batch).logits)
    assert np.array_equal(base.features, base.last)


def test_a_function_of_the_hidden_states_can_be_the_feature():
    model = build("bert")
    passes = Passes(model, lambda hidden, batch: hidden.amax(1))
    base, found = passes(inputs(model, 2), [HeadMask.all(model)])
    assert np.array_equal(base.features, found[0].numpy())


def test_documents_are_read_in_batches_from_whatever_holds_them():
    from datasets import Dataset

    model = build("bert")
    batch, masks = inputs(model, 7), masks_of(model)
    one, found = read_outputs(Passes(model), Inputs(batch), masks, batch_size=7)
    rows = Dataset.from_dict({**{name: tensor.tolist() for name, tensor in batch.items()}, "labels": [0] * 7})
    loader = torch.utils.data.DataLoader(rows.with_format("torch"), batch_size=3)
    calls = []
    for source in (batch, rows, rows.with_format("torch"), loader):
        outputs, features = read_outputs(
            Passes(model), Inputs(source), masks, batch_size=3, progress=lambda *call: calls.append(call)
        )
        np.testing.assert_allclose(outputs.logits, one.logits, atol=1e-6)
        np.testing.assert_allclose(features, found, atol=1e-5)
    assert calls[:3] == [
        (3, 7, "reading documents"),
        (6, 7, "reading documents"),
        (7, 7, "reading documents"),
    ]
    chosen = Inputs(batch).select([6, 0])
    assert torch.equal(next(chosen.batches(2))["input_ids"], batch["input_ids"][[6, 0]])


def test_a_model_is_left_in_the_mode_and_without_the_hooks_that_it_had():
    model = build("bert").train()
    Passes(model)(inputs(model), masks_of(model))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_in_training_mode_evaluates_until_its_last_thread_is_done():
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier, Event

    model = build("bert").train()
    model.dropout.eval()  # as for a frozen part
    modes = [module.training for module in model.modules()]
    batch, masks = inputs(model), masks_of(model)[:1]
    inside, both, first_is_done = Event(), Barrier(2, timeout=60), Event()
    seen, calls = [], {"first": 0, "second": 0}

    def pool(name):
        def of(hidden, _):
            calls[name] += 1
            if calls[name] == 2:  # under the mask, after the pass without one
                inside.set()
                both.wait()
                if name == "second":
                    first_is_done.wait(60)
                    seen.append(model.training)
            return hidden[:, 0]

        return of

    def read(name):
        features = Passes(model, pool(name))(batch, masks)[1]
        if name == "first":
            first_is_done.set()
        return features

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(read, "first")
        assert inside.wait(60)
        second = threads.submit(read, "second")
        assert torch.equal(first.result(), second.result())
    assert seen == [False]
    assert [module.training for module in model.modules()] == modes


def test_bad_input_is_refused():
    from transformers import BertConfig, BertModel, ResNetConfig, ResNetForImageClassification

    model = build("bert")
    with pytest.raises(InputError, match="feature is one of"):
        Passes(model, "last")
    with pytest.raises(InputError, match="no classifier of 2 labels"):
        Passes(
            BertModel(
                BertConfig(num_hidden_layers=1, hidden_size=24, num_attention_heads=2, intermediate_size=8)
            )
        )
    with pytest.raises(InputError, match="ResNetForImageClassification"):
        Passes(
            ResNetForImageClassification(ResNetConfig(hidden_sizes=[8, 8], depths=[1, 1], embedding_size=8))
        )
    with pytest.raises(InputError, match="no documents"):
        Inputs([])
    with pytest.raises(InputError, match="different lengths"):
        Inputs({"a": torch.zeros(2), "b": torch.zeros(3)})
    with torch.no_grad():
        model.bert.encoder.layer[1].attention.self.value.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"not finite, from bert\.encoder\.layer\.1\.attention.* on"):
        read_outputs(Passes(model), Inputs(inputs(model)), [])


def test_a_half_precision_model_gets_pixels_in_its_own_dtype():
    model = build("vit")
    batch, masks = inputs(model, 3), masks_of(model)
    whole, _ = Passes(model)(batch, masks)
    half, found = Passes(model.bfloat16())(batch, masks)
    np.testing.assert_allclose(half.features, whole.features, atol=0.1)
    assert torch.isfinite(found).all()

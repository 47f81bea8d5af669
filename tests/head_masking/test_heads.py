"""Masks of attention heads: nothing changes without one, and with one exactly the heads that are off fall silent."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from contextlib import nullcontext

import pytest
import torch
import transformers
from encoders import FAMILIES, build, inputs
from torch.nn.functional import layer_norm, linear
from torch.utils.checkpoint import CheckpointError

from paperworks.errors import InputError
from paperworks.head_masking.heads import AttentionLayer, HeadMask, attention_layers, masked_heads

KERNELS = [(family, kernel) for family in FAMILIES for kernel in ("eager", "sdpa")]
KERNELS = [
    pair for pair in KERNELS if pair not in {("deberta_v2", "sdpa"), ("lilt", "sdpa")}
]  # they have none


@torch.no_grad()
def logits(model, batch):
    return model(**batch).logits


def hooks(model):
    return sum(len(module._forward_pre_hooks) for module in model.modules())


def last_projection(model):
    name = attention_layers(model)[-1].name
    return name, model.get_submodule(name)


def silent(model, layer):
    """A mask with every head of one layer off."""
    heads = HeadMask.all(model).to_dict()
    heads[layer] = [0] * len(heads[layer])
    return HeadMask.from_dict(heads)


# Where the heads are


@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_has_one_projection_that_reads_its_heads(family):
    model = build(family)
    layers = attention_layers(model)
    expected = {"swin": [2, 4, 4], "lilt": [4] * 6, "modernbert": [4] * 4}.get(family, [4] * 3)
    assert [layer.heads for layer in layers] == expected
    order = []
    for layer in layers:
        projection = model.get_submodule(layer.name)
        assert projection.in_features == layer.heads * layer.head_dim
        assert "mlp" not in layer.name
        assert "intermediate" not in layer.name
        projection.register_forward_hook(lambda *_, name=layer.name: order.append(name))
    logits(model, inputs(model))
    assert order == [layer.name for layer in layers]


@pytest.mark.parametrize(
    ("options", "layers", "heads"),
    [
        ({}, 12, 144),
        (
            {
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
            },
            24,
            384,
        ),
    ],
)
def test_the_real_layoutlmv3_has_as_many_hooks_as_layers(options, layers, heads):
    with torch.device("meta"):
        model = transformers.LayoutLMv3ForSequenceClassification(transformers.LayoutLMv3Config(**options))
    mask = HeadMask.random(model, 0.25, 0)
    assert (mask.heads, mask.masked, len(mask)) == (heads, heads // 4, layers)
    assert attention_layers(model)[0] == AttentionLayer(
        "layoutlmv3.encoder.layer.0.attention.output.dense", heads // layers, 64
    )
    with masked_heads(model, mask):
        assert hooks(model) == layers
    mask.fold_into(model)


def test_a_decoder_with_grouped_keys_and_one_whose_heads_are_wider_than_the_model_are_read_too():
    config = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 9,
    }
    with torch.device("meta"):
        model = transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**config, head_dim=16))
    assert attention_layers(model)[1] == AttentionLayer("model.layers.1.self_attn.o_proj", 4, 16)


def test_models_whose_heads_cannot_be_masked_are_refused_by_name():
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    with torch.device("meta"):
        cnn = transformers.ResNetForImageClassification(transformers.ResNetConfig())
        shared = transformers.AlbertForSequenceClassification(transformers.AlbertConfig(**small))
        bare = transformers.BertModel(transformers.BertConfig(**small)).encoder
        lying = transformers.BertModel(transformers.BertConfig(**small))
    lying.config.num_attention_heads = 8
    with pytest.raises(
        InputError, match=r"ResNetForImageClassification has no attention heads.*'Attention'.*out_proj"
    ):
        attention_layers(cnn)
    with pytest.raises(
        InputError, match=r"AlbertForSequenceClassification has 1 .*configuration says 2: layers that share"
    ):
        attention_layers(shared)
    with pytest.raises(InputError, match=r"Linear has no attention heads"):
        attention_layers(torch.nn.Linear(2, 2))
    with pytest.raises(
        InputError, match=r"reads 32 features, which are not the configured 8 heads of 8 features"
    ):
        attention_layers(lying)
    bare.config = None
    with pytest.raises(InputError, match=r"BertEncoder has no configuration"):
        attention_layers(bare)


# What a mask does


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_masking_no_head_changes_no_bit_and_a_hook_equals_the_folded_weights(family, kernel):
    model = build(family)
    model.set_attn_implementation(kernel)
    batch = inputs(model)
    plain = logits(model, batch)
    mask = HeadMask.random(model, 0.5, 3)
    with masked_heads(model, HeadMask.all(model)):
        assert torch.equal(logits(model, batch), plain)
    with masked_heads(model, mask):
        masked = logits(model, batch)
    assert hooks(model) == 0
    assert torch.equal(logits(model, batch), plain)
    assert (masked - plain).abs().max() > 1e-3
    mask.fold_into(model)
    assert torch.equal(logits(model, batch), masked)


def reference(model, batch, mask):
    """The last hidden state from the weights of a post-norm encoder, its probabilities times the mask, in a plain loop.

    The embeddings and what is added to the scores are the model's own.
    """
    body = getattr(model, model.base_model_prefix)
    seen = {}

    def note(_, args, kwargs):
        seen.setdefault("hidden", args[0])
        seen.setdefault("bias", kwargs.get("position_bias"))

    hook = body.encoder.layer[0].attention.self.register_forward_pre_hook(note, with_kwargs=True)
    body(**batch)
    hook.remove()
    hidden, heads = seen["hidden"], model.config.num_attention_heads
    tokens = batch["attention_mask"]
    padded = torch.ones(hidden.shape[:2], dtype=torch.bool)
    padded[:, : tokens.shape[1]] = tokens.bool()
    for layer, on in zip(body.encoder.layer, mask.values(), strict=True):
        own = layer.attention.self

        def split(part, hidden=hidden):
            return linear(hidden, part.weight, part.bias).unflatten(-1, (heads, -1)).transpose(1, 2)

        q, k, v = split(own.query), split(own.key), split(own.value)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        scores = scores if seen["bias"] is None else scores + seen["bias"]
        probabilities = scores.masked_fill(~padded[:, None, None], -torch.inf).softmax(-1)
        probabilities = probabilities * torch.tensor(on, dtype=hidden.dtype)[:, None, None]
        context = (probabilities @ v).transpose(1, 2).flatten(2)
        for part, source in ((layer.attention.output, context), (layer.output, None)):
            if source is None:
                up = layer.intermediate.dense
                source = torch.nn.functional.gelu(linear(hidden, up.weight, up.bias))
            summed = linear(source, part.dense.weight, part.dense.bias) + hidden
            hidden = layer_norm(
                summed, summed.shape[-1:], part.LayerNorm.weight, part.LayerNorm.bias, part.LayerNorm.eps
            )
    return hidden


@torch.no_grad()
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("bert", {}),
        ("layoutlmv3", {}),
        ("layoutlmv3", {"has_relative_attention_bias": False, "has_spatial_attention_bias": False}),
    ],
)
def test_masking_is_multiplying_the_attention_probabilities(family, changes, kernel):
    model = build(family, **changes).double()
    model.set_attn_implementation(kernel)
    batch = {name: x.double() if x.is_floating_point() else x for name, x in inputs(model).items()}
    body = getattr(model, model.base_model_prefix)
    for mask in (HeadMask.all(model), HeadMask.random(model, 0.25, 0), HeadMask.random(model, 0.75, 1)):
        with masked_heads(model, mask):
            found = body(**batch).last_hidden_state
        expected = reference(model, batch, mask)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_without_heads_gives_its_bias_and_a_mask_and_its_inverse_give_the_whole(family):
    model = build(family)
    name, projection = last_projection(model)
    bias = torch.zeros(1) if projection.bias is None else projection.bias
    seen, batch, everything = [], inputs(model), HeadMask.all(model)
    projection.register_forward_hook(lambda _, args, output: seen.append(output))
    one = everything.without(name, 0)
    others = silent(model, name).to_dict()[name][1:]
    rest = HeadMask.from_dict(everything.to_dict() | {name: [1, *others]})
    for mask in (everything, silent(model, name), one, rest):
        with masked_heads(model, mask):
            logits(model, batch)
    whole, nothing, first, second = seen
    assert torch.equal(nothing, bias.expand_as(nothing))
    torch.testing.assert_close(first + second - bias, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "layoutlmv3", "lilt", "swin"])
def test_each_sample_of_a_batch_may_have_its_own_mask(family):
    model = build(family)
    batch = inputs(model)
    masks = [HeadMask.random(model, 0.5, 0), HeadMask.all(model), HeadMask.random(model, 0.5, 1)]
    with masked_heads(model, masks):
        together = logits(model, batch)
    for row, mask in enumerate(masks):
        with masked_heads(model, mask):
            torch.testing.assert_close(together[row], logits(model, batch)[row], rtol=1e-5, atol=1e-6)
    with masked_heads(model, masks[:2]), pytest.raises(InputError, match="2 head masks, one for each sample"):
        logits(model, batch)
    assert hooks(model) == 0
    with masked_heads(model, [masks[0]] * 3), masked_heads(model, masks[2]):
        nested = logits(model, batch)
    with masked_heads(model, masks[0] & masks[2]):
        assert torch.equal(nested, logits(model, batch))


def test_a_folded_layoutlmv3_is_saved_as_an_ordinary_checkpoint(tmp_path):
    model = build("layoutlmv3")
    batch, mask = inputs(model), HeadMask.random(model, 0.25, 7)
    with masked_heads(model, mask):
        masked = logits(model, batch)
    folded = copy.deepcopy(model)
    mask.fold_into(folded)
    folded.save_pretrained(tmp_path)
    again = transformers.LayoutLMv3ForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(again, batch), masked)
    assert not torch.equal(logits(model, batch), masked)


@pytest.mark.parametrize("family", ["bert", "layoutlmv3", "vit", "modernbert"])
def test_transformers_5_takes_a_head_mask_and_ignores_it(family):
    """Why this module exists. If this fails, `head_mask` is back: say so in the documentation."""
    model = build(family)
    batch = inputs(model)
    nothing = torch.zeros(model.config.num_hidden_layers, model.config.num_attention_heads)
    assert torch.equal(logits(model, batch | {"head_mask": nothing}), logits(model, batch))


# Entering and leaving


def test_no_hook_is_left_after_an_exception_and_nested_masks_multiply():
    model = build("bert")
    batch, plain = inputs(model), logits(model, inputs(model))
    one, two = HeadMask.random(model, 0.5, 0), HeadMask.random(model, 0.5, 1)
    with masked_heads(model, one & two):
        both = logits(model, batch)
    with masked_heads(model, one):
        outer = logits(model, batch)
        with masked_heads(model, two):
            assert torch.equal(logits(model, batch), both)
        assert torch.equal(logits(model, batch), outer)
        with pytest.raises(ZeroDivisionError), masked_heads(model, two):
            raise ZeroDivisionError
        with masked_heads(
            model.bert, HeadMask.random(model.bert, 0.5, 1)
        ):  # the encoder alone, under its own names
            assert torch.equal(logits(model, batch), both)
        assert torch.equal(logits(model, batch), outer)
    assert hooks(model) == 0
    assert torch.equal(logits(model, batch), plain)


def test_two_threads_mask_one_model_in_their_own_way_and_a_third_not_at_all():
    model = build("bert")
    batch = inputs(model)
    masks = [HeadMask.random(model, 0.5, 0), HeadMask.random(model, 0.5, 1), None]
    expected = []
    for mask in masks:
        with masked_heads(model, mask) if mask else nullcontext():
            expected.append(logits(model, batch))
    start, wrong = threading.Barrier(len(masks), timeout=30), []

    def run(mask, result):
        try:
            for _ in range(15):
                start.wait()
                with masked_heads(model, mask) if mask else nullcontext():
                    start.wait()
                    if not torch.equal(logits(model, batch), result):
                        wrong.append(mask)
        except threading.BrokenBarrierError:
            wrong.append("stuck")

    threads = [threading.Thread(target=run, args=pair) for pair in zip(masks, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert hooks(model) == 0


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_model_that_was_compiled_before_is_masked_and_compiled_again_after(backend):
    model = build("bert", num_hidden_layers=1)
    batch, mask = inputs(model), HeadMask.random(model, 0.5, 0)
    compiled = torch.compile(model, backend=backend)
    plain = logits(compiled, batch)
    with masked_heads(model, mask):
        masked = logits(model, batch)
        assert torch.equal(logits(compiled, batch), masked)
    with masked_heads(compiled, mask), masked_heads(model, mask):
        assert torch.equal(logits(compiled, batch), masked)
    assert torch.equal(logits(compiled, batch), plain)
    with torch.compiler.set_stance("fail_on_recompile"):  # the compiled code is still there, and used
        assert torch.equal(logits(compiled, batch), plain)
    mask.fold_into(compiled)
    torch.testing.assert_close(logits(compiled, batch), masked, rtol=1e-5, atol=1e-6)
    torch.compiler.reset()


@pytest.mark.parametrize("family", ["bert", "layoutlmv3", "modernbert", "swin"])
def test_masking_under_autocast_keeps_the_type_and_equals_folding(family):
    model = build(family)
    batch, mask = inputs(model), HeadMask.random(model, 0.5, 0)
    with torch.autocast("cpu", torch.bfloat16):
        with masked_heads(model, mask):
            masked = logits(model, batch)
        mask.fold_into(model)
        folded = logits(model, batch)
    assert masked.dtype == folded.dtype
    assert torch.equal(masked, folded)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_with_backward_inside_gives_the_masked_gradients(reentrant):
    model = build("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    batch, mask = inputs(model), HeadMask.random(model, 0.5, 0)

    def gradients(backward_inside=True):
        model.zero_grad()
        with masked_heads(model, mask):
            loss = model(**batch).logits.square().sum()
            if backward_inside:
                loss.backward()
        if not backward_inside:
            loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    expected = gradients()
    assert all(map(torch.equal, gradients(backward_inside=False), expected))  # nothing is computed again
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert all(map(torch.equal, gradients(), expected))
    if not reentrant:
        with pytest.raises(CheckpointError):
            gradients(backward_inside=False)
    values = dict(zip((name for name, _ in model.named_parameters()), expected, strict=True))
    rows = values["bert.encoder.layer.0.attention.self.value.weight"].unflatten(0, (4, 12))
    assert [int(row.any()) for row in rows] == list(next(iter(mask.values())))


def test_masks_made_in_inference_mode_can_be_trained_with():
    model = build("bert").train()
    with masked_heads(model, HeadMask.random(model, 0.5, 0)):
        with torch.inference_mode():
            model(**inputs(model))
        model(**inputs(model)).logits.sum().backward()


def test_the_mask_follows_the_device_and_the_type_of_what_it_is_multiplied_onto():
    model = build("bert")
    name, projection = last_projection(model)
    mask = HeadMask.all(model).without(name, 1)
    with masked_heads(model, mask):
        (hook,) = projection._forward_pre_hooks.values()
        for device, dtype in (("cpu", torch.float32), ("meta", torch.float32), ("cpu", torch.bfloat16)):
            (states,) = hook(projection, (torch.ones(1, 2, 48, device=device, dtype=dtype),))
            assert (states.device.type, states.dtype) == (device, dtype)
    assert states.unflatten(-1, (4, 12)).float().mean((0, 1, 3)).tolist() == [1, 0, 1, 1]


def test_a_model_whose_weights_are_offloaded_is_masked_but_not_folded():
    from accelerate import cpu_offload

    model = build("bert")
    batch, mask = inputs(model), HeadMask.random(model, 0.5, 0)
    with masked_heads(model, mask):
        masked = logits(model, batch)
    cpu_offload(model, execution_device=torch.device("cpu"))
    with masked_heads(model, mask):
        assert torch.equal(logits(model, batch), masked)
    with pytest.raises(InputError, match="packed, sharded or offloaded"):
        mask.fold_into(model)


def test_a_thread_of_the_autograd_engine_finds_the_masks_of_the_one_that_called_backward():
    """Without an accelerator there is no such thread: this one is given what torch leaves in them."""
    import contextvars

    model = build("bert")
    batch, found = inputs(model), []
    with masked_heads(model, HeadMask.random(model, 0.5, 0)):
        masked, context = logits(model, batch), contextvars.copy_context()

        def run():
            found.append(logits(model, batch))
            torch._C._stash_obj_in_tls("context", context)
            found.append(logits(model, batch))
            torch._C._remove_obj_from_tls("context")

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert torch.equal(found[0], logits(model, batch))
    assert torch.equal(found[1], masked)


def test_a_mask_for_another_model_and_a_sharded_projection_are_refused_before_a_hook_is_set():
    model, other = build("bert"), build("bert", num_attention_heads=8)
    mask = HeadMask.random(other, 0.25, 0)
    for use in (lambda: masked_heads(model, mask).__enter__(), lambda: mask.fold_into(model)):
        with pytest.raises(
            InputError, match=r"of another model: it has 8 heads of bert\S+dense, Bert\S+ has 4"
        ):
            use()
    with pytest.raises(InputError, match="needs a mask"), masked_heads(model, []):
        pass
    assert hooks(model) == 0
    name, projection = last_projection(model)
    with masked_heads(model, silent(model, name)), pytest.raises(InputError, match="tensor parallelism"):
        projection(torch.zeros(1, 2, 24))
    projection.weight = torch.nn.Parameter(torch.zeros(24 * 48, 1))
    with pytest.raises(InputError, match=f"{name} is packed"):
        HeadMask.all(model).fold_into(model)


# The mask itself


DRAW = """
from types import SimpleNamespace
from torch import nn
from paperworks.head_masking.heads import HeadMask
class Attention(nn.Module):
    head_dim = 4
    def __init__(self):
        super().__init__()
        self.o_proj = nn.Linear(48, 48)
model = nn.Sequential(Attention(), Attention(), Attention())
model.config = SimpleNamespace(num_hidden_layers=3, num_attention_heads=12)
print([list(heads) for heads in HeadMask.random(model, 0.25, 5).values()])
"""


def test_a_seed_draws_these_heads_on_every_machine_and_in_every_process():
    drawn = HeadMask.random(build("bert", num_attention_heads=12), 0.25, 5)
    off = [[head for head, on in enumerate(heads) if not on] for heads in drawn.values()]
    assert off == [[0, 1, 6], [0, 6, 10], [4, 8, 10]]  # written down once; must never change
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    printed = subprocess.run([sys.executable, "-c", DRAW], env=environment, capture_output=True, text=True)
    assert printed.stdout.strip() == str([list(heads) for heads in drawn.values()]), printed.stderr


def test_random_masks_have_their_share_of_each_layer_and_larger_ones_contain_smaller_ones():
    model, pyramid = build("bert"), build("swin")
    masks = {fraction: HeadMask.random(model, fraction, 9) for fraction in (0.25, 0.5, 0.75)}
    for fraction, mask in masks.items():
        assert all(heads.count(0) == round(fraction * 4) for heads in mask.values())
    assert masks[0.25] & masks[0.5] == masks[0.5]
    assert masks[0.5] & masks[0.75] == masks[0.75]
    assert [heads.count(0) for heads in HeadMask.random(pyramid, 0.5, 0).values()] == [1, 2, 2]
    assert len({HeadMask.random(model, 0.5, seed) for seed in range(30)}) > 20
    without_head = HeadMask.random(model.bert, 0.5, 0)
    assert list(without_head.values()) == list(HeadMask.random(model, 0.5, 0).values())
    often = [
        sum(1 - HeadMask.random(model, 0.25, seed)[name][0] for seed in range(200)) for name in masks[0.5]
    ]
    assert all(30 < count < 70 for count in often)  # 50 expected, 6.1 the standard deviation


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (-0.1, "between 0 and 1, not -0.1"),
        (1.5, "between 0 and 1, not 1.5"),
        (float("nan"), "between 0 and 1, not nan"),
        (0, r"the 4 heads of bert\S+ rounds to 0 heads: 0.25 is one head"),
        (0.1, "rounds to 0 heads"),
        (0.9, r"fraction 0.9 of the 4 heads of bert\S+ rounds to all 4: at least one must stay"),
        (1, "rounds to all 4"),
    ],
)
def test_a_fraction_that_cannot_be_drawn_says_what_it_rounds_to(fraction, message):
    with pytest.raises(InputError, match=message):
        HeadMask.random(build("bert"), fraction, 0)


def test_masks_are_values():
    mask = HeadMask.from_dict({"a": [1, 0], "b": [True, True, False]})
    assert mask == HeadMask.from_dict({"b": (1, 1, 0), "a": (1, 0)}) == pickle.loads(pickle.dumps(mask))
    assert hash(mask) == hash(HeadMask.from_dict({"b": (1, 1, 0), "a": (1, 0)}))
    assert (mask.heads, mask.masked, list(mask), mask["b"]) == (5, 2, ["a", "b"], (1, 1, 0))
    assert mask.to_dict() == {"a": [1, 0], "b": [1, 1, 0]}
    assert mask.without("b", 0).to_dict() == {"a": [1, 0], "b": [0, 1, 0]}
    assert mask.without("a", 1) == mask != mask.without("a", 0)
    assert mask & HeadMask.from_dict({"b": [0, 1, 1], "a": [1, 1]}) == mask.without("b", 0)
    with pytest.raises(AttributeError):
        mask.layers = ()
    for name, head in (("a", 2), ("a", -1), ("c", 0)):
        with pytest.raises(InputError, match=f"no head {head} of layer '{name}'"):
            mask.without(name, head)
    for other in ({"a": [1, 0]}, {"a": [1, 0], "b": [1, 1]}):
        with pytest.raises(InputError, match="two models"):
            mask & HeadMask.from_dict(other)


@pytest.mark.parametrize(
    "wrong", [{}, [], {"a": []}, {"a": [2]}, {"a": [0.5]}, {"a": "10"}, {"a": 1}, {"a": [None]}, {3: [1]}]
)
def test_a_mask_of_anything_but_zeros_and_ones_is_refused(wrong):
    with pytest.raises(InputError, match="head mask"):
        HeadMask.from_dict(wrong)


def test_a_mask_is_kept_in_a_small_file_and_a_bad_file_is_named(tmp_path):
    mask = HeadMask.random(build("swin"), 0.5, 0)
    path = tmp_path / "masks" / "head_mask.json"
    mask.save(path)
    assert HeadMask.load(path) == mask
    assert list(HeadMask.load(path)) == list(mask)
    assert len(path.read_text().splitlines()) == len(mask) + 2
    assert os.listdir(path.parent) == [path.name]
    for content in (b"", b"{", b"\xff", b"[1]", b'{"a": [3]}', b'{"a": {"b": 1}}'):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"head_mask.json is no head mask: "):
            HeadMask.load(path)
    with pytest.raises(InputError, match=r"absent.json is no head mask"):
        HeadMask.load(tmp_path / "absent.json")

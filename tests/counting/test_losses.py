"""Equations (1) to (6), against autograd of the parts and against numbers worked out by hand."""

import pytest
import torch
from doubles import Steps, darkness

from paperworks.counting.counters import ClipSimilarity, DensityCounter
from paperworks.counting.losses import count_loss, dynamic_scale
from paperworks.errors import InputError


def test_the_value_under_the_dynamic_scale_is_the_detectors_count():
    mass, counts = torch.tensor([3.7, 250.0, 1e-3]), torch.tensor([4, 20, 1])
    scale = dynamic_scale(mass, counts, torch.ones(3))
    assert torch.allclose(mass / scale, counts.float(), rtol=1e-6)
    assert count_loss(mass, scale, torch.tensor([4, 18, 5])).tolist() == pytest.approx([0, 2, 4], abs=1e-5)


@pytest.mark.parametrize(("n", "target"), [(7, 3), (2, 6), (1, 9)])
@pytest.mark.parametrize("factor", [1.0, 7.0])
def test_the_gradient_is_that_of_equation_six(n, target, factor):
    torch.manual_seed(0)
    values = torch.randn(5, dtype=torch.float64, requires_grad=True)
    mass = factor * (values.exp() * torch.arange(1.0, 6)).sum()[None]
    scale = dynamic_scale(mass, torch.tensor([n]), torch.ones(1))
    own = mass / scale - target  # in float64, what count_loss does in float32
    (found,) = torch.autograd.grad(own.abs().sum(), values, retain_graph=True)
    (log,) = torch.autograd.grad(mass.log().sum(), values, retain_graph=True)
    wanted = torch.sign(torch.tensor(n - target)) * n * log
    assert torch.allclose(found, wanted, rtol=1e-6)
    (single,) = torch.autograd.grad(count_loss(mass, scale, torch.tensor([target])).sum(), values)
    assert torch.allclose(single, wanted, rtol=1e-5)


def test_at_the_target_the_gradient_is_exactly_zero_and_in_half_precision_too():
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        mass = torch.tensor([123.456], dtype=kind, requires_grad=True)
        scale = dynamic_scale(mass, torch.tensor([20]), torch.ones(1))
        loss = count_loss(mass, scale, torch.tensor([20]))
        (gradient,) = torch.autograd.grad(loss.sum(), mass)
        assert loss.item() == pytest.approx(0, abs=4e-6)
        assert abs(float(gradient)) * float(mass) == pytest.approx(0) or loss.item() > 0


def test_where_the_detector_finds_nothing_the_last_scale_is_kept():
    mass = torch.tensor([5.0, 0.0, 5.0], requires_grad=True)
    scale = dynamic_scale(mass, torch.tensor([0, 0, 2]), torch.tensor([60.0, 61.0, 62.0]))
    assert scale.tolist() == [60.0, 61.0, 2.5]
    loss = count_loss(mass, scale, torch.tensor([3, 3, 3]))
    (gradient,) = torch.autograd.grad(loss.sum(), mass)
    assert torch.isfinite(gradient).all()
    assert gradient[0] == pytest.approx(-1 / 60)


def test_the_square_is_the_other_loss():
    found = count_loss(torch.tensor([120.0]), torch.tensor([60.0]), torch.tensor([5]), "l2")
    assert found.tolist() == [9.0]


def test_a_density_and_a_count_are_both_counters():
    pictures = torch.rand(2, 3, 16, 16)
    mass = DensityCounter(darkness)(pictures, ["a", "b"])
    assert torch.allclose(mass, darkness(pictures, None).sum((1, 2)))
    assert torch.equal(DensityCounter(lambda x, names: mass)(pictures, ["a", "b"]), mass)
    seen = []
    DensityCounter(lambda x, names: seen.append(x.shape) or x[:, 0], size=24)(pictures, ["a", "b"])
    assert seen == [(2, 3, 24, 24)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x, names: -darkness(x, names), "negative"),
        (lambda x, names: darkness(x, names) * float("nan"), "not finite"),
        (lambda x, names: x, "[2, 3, 16, 16] for 2 pictures"),
        (lambda x, names: 3.0, "float for 2 pictures"),
    ],
)
def test_a_counter_that_answers_nonsense_is_named(answer, message):
    with pytest.raises(InputError, match="counter wrong") as error:
        DensityCounter(answer, name="wrong")(torch.rand(2, 3, 16, 16), ["a", "b"])
    assert message in str(error.value)


def test_the_semantic_loss_is_the_cosine_of_the_models_own_features():
    from transformers import CLIPConfig, CLIPModel

    from paperworks.tiny.scene_model import TOKENS, make_tokenizer

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = CLIPModel(
        CLIPConfig(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "max_position_embeddings": TOKENS, **ids,
            },
            vision_config={
                "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "image_size": 32, "patch_size": 8,
            },
            projection_dim=8,
        )
    ).eval()  # fmt: skip
    pictures = torch.rand(2, 3, 32, 32, requires_grad=True)
    similarity = ClipSimilarity(model, tokenizer, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    found = similarity(pictures, ["red circles", "red circles"])
    tokens = tokenizer(["red circles"], padding="max_length", max_length=TOKENS, return_tensors="pt")
    out = model(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, pixel_values=2 * pictures - 1
    )
    wanted = out.image_embeds @ out.text_embeds[0]
    assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.autograd.grad(found.sum(), pictures)[0].abs().sum() > 0
    assert similarity(torch.rand(1, 3, 64, 64), ["red circles"]).shape == (1,)


def test_the_driver_of_the_tests_counts_what_it_says():
    white = torch.full((1, 8, 8, 3), 255, dtype=torch.uint8).numpy()
    assert Steps()(white, ["x"]).tolist() == [0]
    assert Steps()(0 * white, ["x"]).tolist() == [6]

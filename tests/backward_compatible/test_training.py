import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from paperworks.backward_compatible.training import (  # noqa: E402
    CompatibleTraining,
    embed,
    old_prototypes,
    warmup_cosine,
)
from paperworks.errors import InputError  # noqa: E402

LAYERS = ["orthogonal", "cayley"]


def batch(n=24, width=11, classes=5, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, width, generator=generator, dtype=dtype)
    labels = torch.arange(n) % classes
    prototypes = torch.randn(classes, 8, generator=generator, dtype=dtype) / 4
    return features, labels, prototypes


def smoothed(logits, labels, smoothing):
    """Cross-entropy against (1 − s) on the label plus s / C on every class, by hand."""
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    classes = logits.shape[1]
    target = np.full(logits.shape, smoothing / classes)
    target[np.arange(len(labels)), labels] += 1 - smoothing
    return float(-(target * log_probabilities).sum(axis=1).mean())


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("layer", [*LAYERS, "identity"])
def test_the_loss_and_its_terms_are_the_papers_formula(layer):
    features, labels, prototypes = batch()
    torch.manual_seed(0)
    head = CompatibleTraining(prototypes, 3, layer, bias=layer == "orthogonal")
    loss = head(features, labels)
    h, y, P, W = features.numpy(), labels.numpy(), prototypes.numpy(), head.classifier.weight.detach().numpy()
    Q, b = np.eye(11), np.zeros(11)
    if layer != "identity":
        Q = head.transformation.weight.detach().numpy()
        b = head.transformation.bias.detach().numpy() if layer == "orthogonal" else b
        assert not np.allclose(Q, np.eye(11))
    p = unit(h[:, :8])
    expected = {
        "classification": smoothed((unit(h) @ Q.T + b) @ W.T, y, 0.1),
        "influence": smoothed(p @ P.T, y, 0.1),
        "alignment": float(np.mean(1 - (p * unit(P)[y]).sum(axis=1))),
    }
    assert {name: float(term) for name, term in head.terms.items()} == pytest.approx(expected, abs=1e-12)
    assert loss.item() == pytest.approx(
        5 * expected["classification"] + 10 * expected["influence"] + 5 * expected["alignment"], abs=1e-11
    )


def test_without_layer_and_extra_dimensions_it_is_the_bct_loss_exactly():
    features, labels, prototypes = batch(width=8, dtype=torch.float32)
    head = CompatibleTraining(prototypes, 0, "identity", weights=(1, 10, 0))
    h = F.normalize(features, dim=1)
    classification = F.cross_entropy(h @ head.classifier.weight.T, labels, label_smoothing=0.1)
    influence = F.cross_entropy(h @ prototypes.T, labels, label_smoothing=0.1)
    assert torch.equal(head(features, labels), classification + 10 * influence)


@pytest.mark.parametrize("layer", [*LAYERS, "identity"])
def test_gradients_of_the_whole_loss_are_right(layer):
    features, labels, prototypes = batch(n=6)
    head = CompatibleTraining(prototypes, 3, layer, bias=layer == "orthogonal")
    names, values = zip(*head.named_parameters(), strict=True)

    def loss(features, *parameters):
        return torch.func.functional_call(head, dict(zip(names, parameters, strict=True)), (features, labels))

    inputs = [features, *(value.detach().clone() for value in values)]
    assert torch.autograd.gradcheck(loss, [x.requires_grad_() for x in inputs])


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_moves_but_stays_orthogonal_over_a_thousand_steps(layer):
    features, labels, prototypes = batch(width=12, dtype=torch.float32)
    torch.manual_seed(0)
    head = CompatibleTraining(prototypes, 4, layer)
    start = head.transformation.weight.detach().clone()
    optimiser = torch.optim.Adam(head.parameters(), 1e-2, weight_decay=2**-15)
    for _ in range(1000):
        optimiser.zero_grad()
        head(features, labels).backward()
        optimiser.step()
    Q = head.transformation.weight.detach()
    assert (Q - start).abs().max() > 0.1
    assert (Q @ Q.T - torch.eye(12)).abs().max() < 1e-5


def test_merging_layer_and_classifier_gives_the_same_logits():
    features, _, prototypes = batch(dtype=torch.float32)
    head = CompatibleTraining(prototypes, 3)
    h = embed(features)
    W, Q = head.classifier.weight, head.transformation.weight
    assert (head.classifier(head.transformation(h)) - h @ (W @ Q).T).abs().max() < 1e-5
    assert torch.allclose((W @ Q).norm(), W.norm(), atol=1e-5)


def test_prototypes_are_those_of_a_loop_over_classes():
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((50, 6)), random.integers(0, 4, 50)
    found = old_prototypes(torch.tensor(features), torch.tensor(labels))
    for c in range(4):
        rows = [features[i] / np.linalg.norm(features[i]) for i in range(50) if labels[i] == c]
        assert np.allclose(found[c], sum(rows) / len(rows), atol=1e-12)
    assert (found.norm(dim=1) < 1).all()
    assert torch.equal(found, old_prototypes(features, labels, classes=4))
    assert old_prototypes(features.astype(np.float32), labels).dtype == torch.float32


def test_a_class_without_features_has_no_prototype():
    with pytest.raises(InputError, match=r"class \[1, 3\]"):
        old_prototypes(np.ones((4, 2)), [0, 0, 2, 2], classes=4)
    with pytest.raises(InputError, match="between 0 and 2"):
        old_prototypes(np.ones((4, 2)), [0, 1, 2, 3], classes=3)
    with pytest.raises(InputError, match="old feature 1"):
        old_prototypes(np.array([[1.0, 0], [0, 0]]), [0, 1])


def test_served_embeddings_are_unit_vectors_and_their_first_dimensions():
    features = torch.randn(5, 12)
    assert torch.allclose(embed(features).norm(dim=1), torch.ones(5))
    short = embed(features, 8)
    assert short.shape == (5, 8)
    assert torch.allclose(short, embed(embed(features), 8), atol=1e-6)


def test_the_state_is_restored_to_the_bit():
    features, labels, prototypes = batch()
    one, other = CompatibleTraining(prototypes, 3), CompatibleTraining(prototypes * 0, 3)
    assert not torch.equal(one(features, labels), other(features, labels))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(features, labels), other(features, labels))


def test_it_follows_its_dtype_also_under_autocast():
    features, labels, prototypes = batch(dtype=torch.float32)
    head = CompatibleTraining(prototypes, 3)
    plain = head(features.bfloat16(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(features.bfloat16(), labels), plain)
    assert plain.dtype == torch.float32
    double = head.double()(features.double(), labels)
    assert double.dtype == torch.float64
    assert double.item() == pytest.approx(head.float()(features, labels).item(), abs=1e-5)


def test_the_ablation_starts_from_the_same_classifier():
    prototypes = batch()[2]
    weights = []
    for layer in ("orthogonal", "identity"):
        torch.manual_seed(7)
        weights.append(CompatibleTraining(prototypes, 3, layer).classifier.weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extra_dimensions": -1}, "extra_dimensions"),
        ({"transformation": "rotation"}, "choose from orthogonal, cayley, identity"),
        ({"transformation": "identity", "bias": True}, "bias belongs"),
        ({"weights": (1, -1, 0)}, "weights"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        CompatibleTraining(batch()[2], **options)


def test_labels_and_widths_that_do_not_fit_are_refused():
    features, labels, prototypes = batch()
    head = CompatibleTraining(prototypes, 3)
    with pytest.raises(InputError, match="label 5 has no prototype"):
        head(features, labels + 1)
    with pytest.raises(InputError, match="label -1"):
        head(features, labels - 1)
    with pytest.raises(InputError, match=r"need \[N, 11\]: 8 old dimensions and 3 extra"):
        head(features[:, :8], labels)
    with pytest.raises(InputError, match="one label each"):
        head(features, labels[:3])
    with pytest.raises(InputError, match="finite"):
        CompatibleTraining(prototypes * float("nan"))


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    factors = [warmup_cosine(step, 5, 25) for step in range(25)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5] == 1
    assert factors[15] == pytest.approx(0.5)
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert warmup_cosine(25, 5, 25) == 0
    assert warmup_cosine(0, 0, 10) == 1

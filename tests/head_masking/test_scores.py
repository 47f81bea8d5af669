"""Each detector against a slow float64 reference; what must not matter does not; bad input is refused in one line."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperworks.errors import InputError
from paperworks.head_masking.distances import CROWDED
from paperworks.head_masking.scores import SCORES, Outputs, Score, fit_score, ranks, standardised

CLASSES, WIDTH = 4, 12
PLAIN = [name for name in SCORES if name != "ensemble"]


def world(documents=300, seed=0, dtype=np.float64, spread=1.0):
    """Clusters with a linear head: outputs, labels, weight, bias."""
    rng = np.random.default_rng(seed)
    head = np.random.default_rng(7)
    weight, bias = head.standard_normal((CLASSES, WIDTH)), head.standard_normal(CLASSES)
    labels = rng.permutation(np.arange(documents) % CLASSES)
    mixing = head.standard_normal((WIDTH, WIDTH)) / 2
    features = (1.5 * weight[labels] + spread * rng.standard_normal((documents, WIDTH)) @ mixing).astype(
        dtype
    )
    return Outputs(features, (features @ weight.T + bias).astype(dtype)), labels, weight, bias


def fitted(name, dtype=np.float64, **options):
    reference, labels, weight, bias = world(dtype=dtype)
    if name in ("vim", "residual"):
        options = {"weight": weight, "bias": bias} | options
    if name == "ensemble":
        options = {"held_out": world(80, 2, dtype)[0]} | options
    return fit_score(name, reference, labels, **options)


def softmax(o):
    e = np.exp(o - o.max())
    return e / e.sum()


def slow_msp(o, z):
    return softmax(o).max()


def slow_max_logit(o, z):
    return max(o)


def slow_energy(o, z):
    return np.log(np.exp(o).sum())


def slow_entropy(o, z):
    return sum(p * np.log(p) for p in softmax(o))


def slow_kl_matching(o, z):
    reference = world()[0]
    posteriors = [softmax(row) for row in reference.logits]
    found = []
    for c in range(CLASSES):
        mine = [p for p in posteriors if p.argmax() == c]
        if mine:
            typical = sum(mine) / len(mine)
            found.append(sum(p * np.log(p / q) for p, q in zip(softmax(o), typical, strict=True)))
    return -min(found)


def slow_grad_norm(o, z):
    import torch

    _, _, weight, bias = world()
    layer = torch.tensor(weight, requires_grad=True)
    logits = layer @ torch.tensor(z) + torch.tensor(bias)
    (-torch.log_softmax(logits, 0).mean()).backward()
    return float(layer.grad.abs().sum())


def slow_knn(o, z):
    reference = world()[0].features
    distances = sorted(np.linalg.norm(z / np.linalg.norm(z) - r / np.linalg.norm(r)) for r in reference)
    return -distances[9]


def gaussians(ridge=1e-6):
    reference, labels, *_ = world()
    z = reference.features
    means = np.stack([z[labels == c].mean(0) for c in range(CLASSES)])
    within = sum(np.outer(row - means[c], row - means[c]) for row, c in zip(z, labels, strict=True)) / len(z)
    total = np.cov(z.T, bias=True)
    inverses = [np.linalg.inv(s + ridge * np.trace(s) / WIDTH * np.eye(WIDTH)) for s in (within, total)]
    return z.mean(0), means, *inverses


def slow_mahalanobis(o, z):
    _, means, precision, _ = gaussians()
    return -min((z - mean) @ precision @ (z - mean) for mean in means)


def slow_relative_mahalanobis(o, z):
    whole, _, _, precision = gaussians()
    return slow_mahalanobis(o, z) + (z - whole) @ precision @ (z - whole)


def principal(z):
    """The projection of an input of the last layer off the six principal directions, and the origin."""
    reference, _, weight, bias = world()
    origin = -np.linalg.pinv(weight) @ bias
    directions = np.linalg.svd(reference.features - origin, full_matrices=True)[2][: WIDTH // 2]
    offset = z - origin
    return np.linalg.norm(offset - (offset @ directions.T) @ directions, axis=-1)


def slow_residual(o, z):
    return -principal(z)


def slow_vim(o, z):
    reference = world()[0]
    alpha = reference.logits.max(1).mean() / principal(reference.features).mean()
    virtual = alpha * principal(z)
    return np.log(np.exp(o).sum()) - virtual


@pytest.mark.parametrize("name", PLAIN)
def test_every_score_is_that_of_a_slow_reference(name):
    documents = world(12, 1)[0]
    expected = [
        globals()[f"slow_{name}"](o, z) for o, z in zip(documents.logits, documents.features, strict=True)
    ]
    np.testing.assert_allclose(fitted(name)(documents), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", list(SCORES))
def test_float32_outputs_give_nearly_the_same_scores(name):
    single, double = (fitted(name, dtype)(world(40, 1, dtype)[0]) for dtype in (np.float32, np.float64))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", list(SCORES))
def test_a_score_depends_neither_on_the_batch_nor_on_the_order(name, dtype):
    score, documents = fitted(name, dtype), world(300, 1, dtype)[0]
    whole = score(documents)
    order = np.random.default_rng(3).permutation(300)
    shuffled, pieces = np.empty(300), []
    shuffled[order] = score(documents[order])
    for start in range(0, 300, 37):
        pieces.append(score(documents[start : start + 37]))
    alone = np.concatenate([score(documents[[row]]) for row in range(20)])
    for found, expected in ((shuffled, whole), (np.concatenate(pieces), whole), (alone, whole[:20])):
        if name in ("msp", "max_logit", "energy", "entropy", "grad_norm", "knn"):
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", list(SCORES))
def test_a_restored_score_is_the_same_to_the_bit(name, tmp_path):
    import json

    from safetensors.numpy import load_file, save_file

    score, documents = fitted(name), world(50, 1)[0]
    save_file(score.state(), tmp_path / "state.safetensors")
    options = json.loads(json.dumps(score.options))
    again = Score.restore(name, load_file(tmp_path / "state.safetensors"), options)
    assert type(again) is type(score)
    np.testing.assert_array_equal(again(documents), score(documents))


@pytest.mark.parametrize("name", list(SCORES))
def test_no_documents_have_no_scores(name):
    assert fitted(name)(world(8, 1)[0][:0]).shape == (0,)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", ["mahalanobis", "relative_mahalanobis"])
def test_mahalanobis_without_ridge_is_the_same_under_any_invertible_map(name, seed):
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0] for _ in range(2))
    change, shift = u * rng.uniform(0.1, 10, WIDTH) @ v, rng.standard_normal(WIDTH)
    (reference, labels, *_), documents = world(120), world(30, 1)[0]
    one = fit_score(name, reference, labels, ridge=0.0)(documents)
    moved = [Outputs(some.features @ change + shift, some.logits) for some in (reference, documents)]
    np.testing.assert_allclose(
        fit_score(name, moved[0], labels, ridge=0.0)(moved[1]), one, rtol=1e-7, atol=1e-7
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_knn_is_the_same_under_rotation_and_scale(seed, scale):
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)))[0]
    (reference, labels, *_), documents = world(120), world(30, 1)[0]
    one = fit_score("knn", reference, labels)(documents)
    moved = [Outputs(scale * some.features @ rotation, some.logits) for some in (reference, documents)]
    np.testing.assert_allclose(fit_score("knn", moved[0], labels)(moved[1]), one, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.sampled_from([0.0, 1e-9, 1e-6, 1e-3, 1.0]),
    st.booleans(),
)
def test_nearest_is_brute_force_also_where_features_crowd(seed, n, spread, double):
    rng = np.random.default_rng(seed)
    dtype = np.float64 if double else np.float32
    features = (rng.integers(0, 2, (60, 5)) + spread * rng.standard_normal((60, 5))).astype(dtype)
    everything = Outputs(features, np.zeros((60, 2)))
    reference, queries = everything[:40], everything[35:]
    score = fit_score("knn", reference, np.zeros(40, dtype=int), k=n)
    indices, distances = score.nearest(queries, n)
    bank = score.state()["bank"].astype(np.float64)
    units = fit_score("knn", queries, np.zeros(25, dtype=int), k=1).state()["bank"].astype(np.float64)
    for row, unit in enumerate(units):
        exact = np.sqrt(np.square(bank - unit).sum(axis=1))
        np.testing.assert_array_equal(indices[row], exact.argsort(kind="stable")[:n])
        np.testing.assert_array_equal(distances[row], exact[indices[row]])


def test_nearest_of_many_that_are_nearly_equal_is_brute_force():
    rng = np.random.default_rng(0)
    documents = 4 * CROWDED
    features = (1 + 1e-4 * rng.standard_normal((documents + 20, 64))).astype(np.float32)
    everything = Outputs(features, np.zeros((len(features), 2)))
    score = fit_score("knn", everything[:documents], np.zeros(documents, dtype=int))
    indices, _ = score.nearest(everything[documents:], 5)
    bank = score.state()["bank"].astype(np.float64)
    queries = (
        fit_score("knn", everything[documents:], np.zeros(20, dtype=int)).state()["bank"].astype(np.float64)
    )
    for row, query in enumerate(queries):
        expected = np.sqrt(np.square(bank - query).sum(axis=1)).argsort(kind="stable")[:5]
        np.testing.assert_array_equal(indices[row], expected)


def test_a_reference_document_is_its_own_nearest_at_distance_zero():
    reference, labels, *_ = world(dtype=np.float32)
    indices, distances = fit_score("knn", reference, labels).nearest(reference, 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(reference)))
    assert not distances.any()


def test_grad_norm_takes_the_input_of_the_last_layer_where_there_is_one():
    documents = world(10, 1)[0]
    apart = Outputs(np.ones((10, 3)), documents.logits, documents.features)
    np.testing.assert_array_equal(fitted("grad_norm")(apart), fitted("grad_norm")(documents))


def test_extreme_logits_give_finite_scores():
    reference, labels, weight, bias = world()
    sharp = Outputs(reference.features, 1e4 * reference.logits)
    for name in PLAIN:
        head = {"weight": weight, "bias": bias} if name in ("vim", "residual") else {}
        assert np.isfinite(fit_score(name, sharp, labels, **head)(sharp)).all(), name


def test_residual_without_a_last_layer_measures_from_the_mean():
    reference, labels, *_ = world()
    scores = fit_score("residual", reference, labels, dimension=3)(reference)
    offsets = reference.features - reference.features.mean(0)
    directions = np.linalg.svd(offsets)[2][3:]
    np.testing.assert_allclose(scores, -np.linalg.norm(offsets @ directions.T, axis=1), rtol=1e-9)


@pytest.mark.parametrize("how", ["standardised", "ranks"])
def test_an_ensemble_is_the_mean_of_its_members_made_comparable(how):
    reference, labels, *_ = world()
    held_out, documents = world(80, 2)[0], world(30, 1)[0]
    members = ["energy", ("knn", {"k": 3})]
    score = fit_score("ensemble", reference, labels, members=members, how=how, held_out=held_out)
    assert score.options == {"members": [["energy", {"T": 1.0}], ["knn", {"k": 3}]], "how": how}
    expected = np.zeros(30)
    for name, options in (("energy", {}), ("knn", {"k": 3})):
        one = fit_score(name, reference, labels, **options)
        known = one(held_out)
        if how == "ranks":
            expected += [((known < s).mean() + (known <= s).mean()) / 4 for s in one(documents)]
        else:
            expected += (one(documents) - known.mean()) / known.std() / 2
    np.testing.assert_allclose(score(documents), expected, rtol=1e-12, atol=1e-12)


def test_ranks_and_standardised_are_by_the_held_out_scores():
    held_out = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_array_equal(ranks(np.array([0.0, 2.0, 2.5, 9.0]), held_out), [0, 0.5, 0.75, 1])
    assert standardised(held_out, held_out).mean() == 0
    with pytest.raises(InputError, match="all equal"):
        standardised(held_out, np.ones(3))


def small(documents=6, width=2, **changes):
    parts = {"features": np.eye(documents, width), "logits": np.eye(documents, 3)} | changes
    return Outputs(**parts)


def test_bad_outputs_are_named():
    broken = np.ones((5, 3))
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="features of row 3 are not finite"):
        Outputs(broken, np.ones((5, 2)))
    with pytest.raises(InputError, match="logits of row 3"):
        Outputs(np.ones((5, 2)), broken)
    with pytest.raises(InputError, match="4 rows of logits for 5 of features"):
        Outputs(np.ones((5, 2)), np.ones((4, 2)))
    with pytest.raises(InputError, match="are needed"):
        Outputs(np.ones(5), np.ones((5, 2)))


@pytest.mark.parametrize(
    ("name", "labels", "options", "message"),
    [
        ("mahalanobi", [0] * 6, {}, "choose from msp, max_logit, energy"),
        ("knn", [0] * 6, {"neighbours": 3}, "no option neighbours; it has: k"),
        ("msp", [0] * 6, {"T": 3}, "no option T; it has: none"),
        ("knn", [0] * 6, {"k": 7}, r"k = 7 nearest of a reference of 6 documents: give k in 1…6"),
        ("knn", [0] * 6, {"k": 0}, "k = 0"),
        ("knn", [0] * 5, {"k": 1}, "one integer for each of 6 rows"),
        ("knn", [0.0] * 6, {"k": 1}, "labels float64"),
        ("msp", [0] * 5 + [3], {}, "label 3 is none of the 3 classes"),
        ("msp", [0] * 5 + [-1], {}, "label -1"),
        ("energy", [0] * 6, {"T": 0}, "T = 0 is not positive"),
        ("mahalanobis", [0, 0, 0, 0, 0, 2], {}, "class 2 has 1 reference document"),
        ("mahalanobis", [0] * 6, {"ridge": -1.0}, "negative"),
        ("mahalanobis", [0] * 6, {"ridge": 0.0}, "depend on one another"),
        ("residual", [0] * 6, {"dimension": 4}, "not in 0…3"),
        ("residual", [0] * 6, {"weight": np.ones((3, 4))}, "both weight and bias"),
        ("residual", [0] * 6, {"weight": np.ones((3, 5)), "bias": np.ones(3)}, r"weight \[3, 5\]"),
        ("vim", [0] * 6, {"dimension": 3}, "lies within 3 dimensions"),
        ("ensemble", [0] * 6, {}, "needs held_out"),
        ("ensemble", [0] * 6, {"held_out": small(), "how": "median"}, "choose from standardised, ranks"),
        ("ensemble", [0] * 6, {"held_out": small(), "members": []}, "no members"),
    ],
)
def test_bad_requests_are_refused(name, labels, options, message):
    features = np.array(
        [[1, 2, 0, 0], [1, 1, 1, 0], [0, 1, 2, 0], [2, 0, 1, 0], [1, 3, 1, 0], [0, 2, 2, 0.0]]
    )
    with pytest.raises(InputError, match=message):
        fit_score(name, Outputs(features, np.eye(6, 3)), labels, **options)


def test_an_empty_reference_is_refused():
    with pytest.raises(InputError, match="no documents"):
        fit_score("msp", small()[:0], [])


@pytest.mark.parametrize(
    "name", ["kl_matching", "knn", "mahalanobis", "relative_mahalanobis", "vim", "residual"]
)
def test_outputs_of_another_width_are_refused(name):
    with pytest.raises(InputError, match="the reference has"):
        fitted(name)(Outputs(np.ones((2, WIDTH + 1)), np.ones((2, CLASSES + 1))))


def test_vim_needs_logits_that_are_positive_on_average():
    reference, labels, *_ = world()
    with pytest.raises(InputError, match="use residual"):
        fit_score("vim", Outputs(reference.features, reference.logits - 1e3), labels)


def test_more_dimensions_than_documents_warn_once_and_need_a_ridge():
    rng = np.random.default_rng(0)
    wide = Outputs(rng.standard_normal((10, 20)), rng.standard_normal((10, 2)))
    labels = np.arange(10) % 2
    with pytest.warns(
        UserWarning, match="10 reference documents of 2 classes do not span 20 dimensions"
    ) as caught:
        score = fit_score("mahalanobis", wide, labels)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isfinite(score(wide)).all()
    with pytest.raises(InputError, match="give a ridge"):
        fit_score("mahalanobis", wide, labels, ridge=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_score("mahalanobis", *world()[:2])

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from paperworks.backward_compatible import claims, generations  # noqa: E402
from paperworks.backward_compatible.text_embedders import embed_texts, recall_of_class  # noqa: E402
from paperworks.claims import Lab, Measured, Skip, claims_of, judge  # noqa: E402

ALL = claims_of(claims)


@pytest.fixture
def small(monkeypatch):
    """The real data, networks and losses with two epochs instead of 25, two seeds instead of five."""
    real = generations.digits_setting
    monkeypatch.setattr(generations, "digits_setting", lambda *args, **kw: real(*args, **kw | {"epochs": 2}))
    monkeypatch.setattr(claims, "_seeds", lambda lab: lab.seeds(2))


def lab_for(claim, folder, **options):
    return Lab(folder, folder / "figures", claim_id=f"{claim.method}.{claim.id}", **options)


def test_the_five_claims_of_the_specification_are_declared():
    assert [claim.id for claim in ALL] == [
        "keeps-compatibility",
        "reaches-the-best-accuracy",
        "orthogonal-layer-is-the-cause",
        "stays-comparable-across-updates",
        "rotation-serves-stored-vectors",
    ]


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (0, Measured.of([0.1, 3.0]), Measured.of([-0.1, 9.0])),
        (1, Measured.of([2.0, 3.0]), Measured.of([0.0, 1.0])),
        (2, Measured.of([2.0, 3.0]), Measured.of([2.0])),
        (3, Measured.of([1.0, 1.0]), Measured.of([1.0, 2 / 3])),
        (
            4,
            Measured.of([95.0, 120.0], unchanged_lists=7, lists=7),
            Measured.of([96.0, 120.0], unchanged_lists=6, lists=7),
        ),
    ],
)
def test_the_expectations_can_be_met_and_missed(number, good, bad):
    assert ALL[number].meets(good)
    assert not ALL[number].meets(bad)


def test_a_trained_model_depends_on_its_seed_alone():
    def vectors(seed, repetition=0):
        setting = generations.digits_setting(seed, epochs=1)
        torch.rand(3)  # what happened before must not matter
        old = generations.train_first(setting)
        return setting.test_embeddings(
            generations.train_successor(setting, old, "oca", repetition=repetition)
        )

    first = vectors(0)
    assert first.shape == (899, 12)
    assert np.array_equal(first, vectors(0))
    assert not np.array_equal(first, vectors(0, repetition=1))
    assert not np.array_equal(first, vectors(1))


def test_the_methods_differ_as_they_say():
    setting = generations.digits_setting(0, epochs=1)
    old = generations.train_first(setting)
    before = [weight.clone() for weight in old.parameters()]
    widths, vectors = {}, {}
    for method in ("oca", "identity", "bct", "independent"):
        vectors[method] = setting.test_embeddings(generations.train_successor(setting, old, method))
        widths[method] = vectors[method].shape[1]
    assert widths == {"oca": 12, "identity": 12, "bct": 8, "independent": 12}
    assert not np.allclose(vectors["oca"], vectors["identity"])
    assert all(torch.equal(a, b) for a, b in zip(before, old.parameters(), strict=True))
    untrained = replace(setting, epochs=0, warmup_epochs=0)
    starts = [
        setting.test_embeddings(generations.train_successor(untrained, old, method))
        for method in ("oca", "identity", "independent")
    ]
    assert np.array_equal(starts[0], starts[1])
    assert np.array_equal(starts[0], starts[2])


def test_the_first_model_sees_its_own_classes_only():
    setting = generations.digits_setting(0, (4, 7, 10))
    assert [sorted(set(setting.known(g)[1].tolist())) for g in range(3)] == [
        list(range(4)), list(range(7)), list(range(10)),
    ]  # fmt: skip


@pytest.mark.parametrize("claim", ALL[:4], ids=lambda claim: claim.id)
def test_a_claim_about_training_runs_to_its_evidence(claim, small, tmp_path):
    lab = lab_for(claim, tmp_path)
    evidence = claim.run(lab)
    verdict, _, _ = judge(claim, evidence)
    assert verdict in ("holds", "fails", "void")
    assert evidence.measured.n == evidence.control.n == 2
    assert evidence.measured.is_finite()
    assert all(len(row) == len(evidence.table.columns) for row in evidence.table.rows)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == lab.figures
    assert evidence.note


def test_without_training_nothing_is_compatible(tmp_path, monkeypatch):
    real = generations.digits_setting
    monkeypatch.setattr(
        generations,
        "digits_setting",
        lambda *args, **kw: replace(real(*args, **kw), epochs=0, warmup_epochs=0),
    )
    monkeypatch.setattr(claims, "_seeds", lambda lab: lab.seeds(2))
    claim = ALL[0]
    assert judge(claim, claim.run(lab_for(claim, tmp_path)))[0] != "holds"


def test_without_a_gpu_the_full_scale_is_skipped(tmp_path):
    with pytest.raises(Skip, match="GPU"):
        ALL[0].run(lab_for(ALL[0], tmp_path, scale="full"))


def test_without_the_data_set_the_full_scale_is_skipped(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")

    def offline(*args, **kw):
        raise ConnectionError

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(Skip, match="uoft-cs/cifar100"):
        ALL[0].run(lab_for(ALL[0], tmp_path, scale="full", device="cuda"))


def test_the_networks_of_the_full_scale_are_those_of_the_paper():
    with torch.device("meta"):
        network = generations.UpsampledResNet(160)
    backbone = sum(weight.numel() for weight in network.backbone.parameters())
    assert backbone == 25_557_032 - 2048 * 1000 - 1000  # ResNet-50 without its ImageNet classifier
    assert network.projection.weight.shape == (160, 2048)


def test_the_two_text_models_are_unit_norm_and_tell_texts_apart():
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefgh"), 5)) for _ in range(200)]
    texts = [" ".join(random.choice(words, 12)) for _ in range(300)]
    kept, old, new = embed_texts([*texts, texts[5], "?"])
    assert (old.shape, new.shape) == ((300, 64), (300, 128))
    assert kept.tolist() == list(range(300))
    for vectors in (old, new):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_recall_of_a_class_counts_what_could_be_found():
    labels = np.array(["a", "a", "a", "b", "b", "c"])
    found = np.array([[1, 3], [0, 2], [3, 4], [0, 1], [3, 5], [0, 1]])
    # a: 1 of 2, 2 of 2, 0 of 2; b: 0 of 1, 1 of 1; c has no other item
    assert recall_of_class(found, labels) == pytest.approx((0.5 + 1 + 0 + 0 + 1) / 5)


@pytest.mark.full
@pytest.mark.parametrize("claim", ALL, ids=lambda claim: claim.id)
def test_a_claim_runs_at_its_own_size(claim, tmp_path):
    evidence = claim.run(lab_for(claim, tmp_path))
    assert evidence.measured.n == 5
    assert evidence.measured.is_finite()
    assert judge(claim, evidence)[0] in ("holds", "fails", "void")

"""The detector: classes unchanged, scores kept to the bit in a folder, foreign documents found, bad input refused."""

import json

import numpy as np
import pytest
import torch
from encoders import build, inputs

from paperworks.errors import InputError
from paperworks.head_masking.detector import HeadMaskingDetector, fingerprint
from paperworks.head_masking.heads import HeadMask, masked_heads
from paperworks.head_masking.metrics import ood_metrics, p_values

pytestmark = pytest.mark.filterwarnings("ignore:.*do not span.*")


@pytest.fixture(scope="module")
def model():
    """Three words mark three classes; the embedding of a fourth is unlike them."""
    found = build("bert", num_hidden_layers=2, num_labels=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for word in range(10, 14):
            found.bert.embeddings.word_embeddings.weight[word] = 2 * torch.randn(48, generator=generator)
    return found


def documents(model, n, seed, word=None):
    generator = torch.Generator().manual_seed(seed)
    batch = inputs(model, n, seed)
    labels = torch.arange(n) % 3
    batch["input_ids"] = torch.randint(20, 97, batch["input_ids"].shape, generator=generator)
    batch["input_ids"][:, :6] = ((10 + labels) if word is None else torch.full((n,), word))[:, None]
    batch["attention_mask"][:] = 1
    return {**batch, "labels": labels}


def fitted(model, **options):
    options = {"score": "knn", "n_masks": 6, "k": 5, **options}
    if options["score"] != "knn":
        options.pop("k")
    return HeadMaskingDetector(model, **options).fit(documents(model, 90, 1), documents(model, 90, 2))


@pytest.mark.parametrize("heads", ["class_holdout", "none", "random", "ensemble", "greedy"])
@pytest.mark.parametrize("score", ["knn", "mahalanobis"])
def test_foreign_documents_are_found_and_the_class_is_the_models_own(model, heads, score):
    detector = fitted(model, heads=heads, score=score)
    known, foreign = documents(model, 60, 3), documents(model, 60, 4, word=13)
    assert (detector.predict(foreign) == -1).mean() > 0.9
    assert (detector.predict(known) == 1).mean() > 0.8
    with torch.no_grad():
        own = model(**{name: tensor for name, tensor in known.items() if name != "labels"}).logits.argmax(1)
    found = detector.classify(known)
    assert [one.predicted for one in found] == [model.config.id2label[int(index)] for index in own]
    assert all((one.label is None) == (one.score < 0) for one in found)
    values = detector.score_samples(known)
    np.testing.assert_allclose(detector.decision_function(known), values - detector.offset_)
    np.testing.assert_allclose([one.p_value for one in found], p_values(detector.known_scores_, values))


def test_at_most_the_share_of_held_out_documents_lies_below_the_threshold(model):
    for contamination in (0.05, 0.2):
        detector = fitted(model, heads="none", contamination=contamination)
        below = (detector.known_scores_ < detector.offset_).mean()
        assert contamination - 0.03 <= below <= contamination


def test_the_score_is_that_of_masked_features_of_both_sides(model):
    mask = HeadMask.random(model, 0.5, 2)
    detector = fitted(model, heads=mask)
    known = documents(model, 20, 3)
    seen = {}
    for name, data in (("train", documents(model, 90, 1)), ("test", known)):
        batch = {key: tensor for key, tensor in data.items() if key != "labels"}
        with torch.no_grad(), masked_heads(model, mask):
            states = model.base_model(**batch).last_hidden_state[:, 0].double()
        seen[name] = states / states.norm(dim=1, keepdim=True)
    slow = -torch.cdist(seen["test"], seen["train"]).sort(1).values[:, 4]
    np.testing.assert_allclose(detector.score_samples(known), slow.numpy(), atol=1e-5)


@pytest.mark.parametrize("heads", ["class_holdout", "ensemble"])
@pytest.mark.parametrize("score", ["knn", "mahalanobis", "energy", "ensemble"])
def test_a_saved_detector_gives_the_same_scores_to_the_bit(model, heads, score, tmp_path):
    detector = fitted(model, heads=heads, score=score)
    detector.save(tmp_path / "detector", model_path="somewhere")
    again = HeadMaskingDetector.load(tmp_path / "detector", model)
    known = documents(model, 20, 3)
    assert np.array_equal(again.score_samples(known), detector.score_samples(known))
    assert again.offset_ == detector.offset_
    assert again.masks_ == detector.masks_
    assert again.choice_.to_dict() == detector.choice_.to_dict()
    assert again.evaluate(known, documents(model, 20, 4, word=13)) == detector.evaluate(
        known, documents(model, 20, 4, word=13)
    )
    assert {path.name for path in (tmp_path / "detector").iterdir()} == {
        "detector.json", "head_mask.json", "reference.safetensors",
    }  # fmt: skip


def test_evaluation_compares_with_all_heads(model):
    detector = fitted(model, heads=HeadMask.random(model, 0.5, 2))
    known, foreign = documents(model, 40, 3), documents(model, 40, 4, word=11)  # a known word: hard to tell
    found = detector.evaluate(known, foreign)
    plain = fitted(model, heads="none")
    assert found["all heads"] == ood_metrics(plain.score_samples(known), plain.score_samples(foreign))
    assert found["chosen"] == ood_metrics(detector.score_samples(known), detector.score_samples(foreign))
    assert found["chosen"] != found["all heads"]


def test_a_batch_of_foreign_documents_raises_the_alarm_and_known_ones_do_not(model):
    detector = fitted(model, heads="none")
    mixed = {
        name: torch.cat([tensor, documents(model, 20, 4, word=13)[name]])
        for name, tensor in documents(model, 40, 3).items()
    }
    assert detector.alarm(mixed, level=0.01).alarm
    assert not detector.alarm(documents(model, 60, 5), level=0.01).alarm


def test_the_detector_of_other_weights_is_refused_and_the_model_is_not_changed(model, tmp_path):
    before = fingerprint(model)
    detector = fitted(model)
    assert fingerprint(model) == before
    detector.save(tmp_path)
    other = build("bert", seed=1, num_hidden_layers=2, num_labels=3)
    with pytest.raises(InputError, match="other weights"):
        HeadMaskingDetector.load(tmp_path, other)
    facts = json.loads((tmp_path / "detector.json").read_text())
    (tmp_path / "detector.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        HeadMaskingDetector.load(tmp_path, model)
    with pytest.raises(InputError, match="holds no detector"):
        HeadMaskingDetector.load(tmp_path / "none", model)


def test_two_detectors_on_one_model_in_two_threads_do_not_disturb_each_other(model):
    from concurrent.futures import ThreadPoolExecutor

    detectors = [fitted(model, heads=HeadMask.random(model, 0.5, seed), batch_size=4) for seed in (1, 2)]
    known = documents(model, 40, 3)
    alone = [one.score_samples(known) for one in detectors]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            together = list(pool.map(lambda one: one.score_samples(known), detectors))
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_bad_input_is_refused(model):
    with pytest.raises(InputError, match="heads is one of"):
        HeadMaskingDetector(model, heads="best")
    with pytest.raises(InputError, match="contamination"):
        HeadMaskingDetector(model, contamination=1.5)
    with pytest.raises(InputError, match="not fitted"):
        HeadMaskingDetector(model).score_samples(documents(model, 3, 0))
    with pytest.raises(InputError, match="no labels"):
        HeadMaskingDetector(model).fit(inputs(model, 9), documents(model, 9, 0))
    with pytest.raises(InputError, match="another model"):
        fitted(model, heads=HeadMask.all(build("roberta")))
    with pytest.raises(InputError, match="no score 'best'"):
        fitted(model, score="best", heads="none")
    detector = fitted(model, heads="none", feature=lambda hidden, batch: hidden[:, 1])
    with pytest.raises(InputError, match="cannot be saved"):
        detector.save("nowhere")

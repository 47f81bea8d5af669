"""The claims: what they declare, when they are met, and a study of a classifier that is trained in the test."""

import numpy as np
import pytest

from paperworks.claims import Lab, Measured, Skip, claims_of, judge
from paperworks.head_masking import claims, small_scale
from paperworks.tiny import document_model
from paperworks.tiny.documents import KINDS
from paperworks.tiny.documents_words import GROUPS

pytestmark = pytest.mark.filterwarnings("ignore:.*do not span.*")
ALL = claims_of(claims)


def test_the_claims_of_the_specification_are_declared():
    assert [claim.id for claim in ALL] == [
        "masking-outperforms-other-detectors",
        "masking-lowers-the-false-positive-rate",
        "masking-helps-within-and-across-datasets",
        "masking-generalises-across-modalities",
        "the-classes-stay-as-they-are",
    ]


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (0, Measured.of([0.0, 0.1], splits_masked=1), Measured.of([0.0, -0.1], splits_masked=1)),
        (0, Measured.of([0.0, 0.1], splits_masked=1), Measured.of([0.0, 0.1], splits_masked=0)),
        (1, Measured.of([1.0], least_standard_errors=2.1), Measured.of([9.0], least_standard_errors=1.9)),
        (4, Measured.of([100.0, 100.0]), Measured.of([100.0, 99.0])),
    ],
)
def test_each_expectation_is_what_its_words_say(number, good, bad):
    assert ALL[number].meets(good)
    assert not ALL[number].meets(bad)


def test_every_split_leaves_out_four_kinds_of_every_group_of_lookalikes():
    assert len(document_model.SPLITS) >= 5
    for split, left_out in document_model.SPLITS.items():
        assert len(set(left_out)) == 4
        assert {group for group, kinds in GROUPS.items() if set(kinds) & set(left_out)} == set(GROUPS)
        assert set(document_model.known(split)) | set(left_out) == set(KINDS)
        assert not set(document_model.known(split)) & set(left_out)


def test_without_the_shipped_models_the_experiments_say_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(document_model, "FOLDER", tmp_path)
    with pytest.raises(Skip, match="tiny build document_model"):
        ALL[1].run(Lab(tmp_path, tmp_path / "figures"))


def test_a_study_reads_known_and_unknown_digits_under_the_same_masks(monkeypatch):
    monkeypatch.setattr(small_scale, "MASKS", 3)
    study = small_scale.study_of_digits(0, steps=200)
    assert len(study.masks) == 4
    assert study.masks[0].masked == 0
    assert set(study.reference.labels) == set(range(7))
    assert set(study.unknown.labels) == {-1}
    assert len(study.unknown.labels) > 200
    accuracy = (study.known.base.logits.argmax(1) == study.known.labels).mean()
    assert accuracy > 0.7
    whole = study.metrics("mahalanobis")
    assert whole.auroc > 0.6
    assert study.metrics("mahalanobis", 1) != whole
    assert study.metrics("energy", 1) == study.metrics("energy")  # logits are those without a mask
    assert study.chosen("energy") == 0
    assert study.chosen() in range(4)
    assert np.array_equal(study.reference.under(0).features, study.reference.base.features)


def test_scans_of_all_kinds_are_read_under_the_masks_of_the_study(monkeypatch):
    for name in ("REFERENCE", "VALIDATION", "TEST", "UNKNOWN", "SCANS"):
        monkeypatch.setattr(small_scale, name, 3)
    monkeypatch.setattr(small_scale, "MASKS", 2)
    read, real = [], small_scale.read_outputs
    monkeypatch.setattr(
        small_scale,
        "read_outputs",
        lambda passes, inputs, masks, **rest: read.append(masks) or real(passes, inputs, masks, **rest),
    )
    study, scans = small_scale.study_of_split("a", 0), small_scale.scans_of_split("a", 0)
    assert len(read) == 5
    assert all(masks == study.masks for masks in read)
    assert set(study.unknown.labels) == {-1}
    assert len(study.unknown.labels) == 3 * 4
    assert sorted(study.known.labels) == sorted(3 * list(range(10)))
    assert sorted(scans.labels) == sorted(3 * 4 * [-1] + 3 * list(range(10)))
    assert study.metrics("mahalanobis").n_unknown == 3 * 4
    assert study.metrics("mahalanobis", 0, scans).n_unknown == 3 * len(KINDS)


def test_an_experiment_runs_and_is_judged(tmp_path, monkeypatch):
    real = small_scale.study_of_digits
    monkeypatch.setattr(small_scale, "MASKS", 2)
    monkeypatch.setattr(small_scale, "study_of_digits", lambda seed: real(seed, steps=40))
    monkeypatch.setattr(small_scale, "study_of_text", lambda split, seed: real(seed + 10, steps=40))
    claim = ALL[3]
    evidence = claim.run(Lab(tmp_path, tmp_path / "figures", claim_id="head_masking.modalities"))
    assert judge(claim, evidence)[0] in ("holds", "fails", "void")
    assert evidence.measured.n == 3
    assert [row[0] for row in evidence.table.rows] == ["BERT, words of pages", "ViT, handwritten digits"]

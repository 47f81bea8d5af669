"""The experiments: what they expect, that a broken reader fails them, and a small run of those that need no model."""

import numpy as np
import pytest

from paperworks.claims import Lab, Measured, Skip, claims_of, judge
from paperworks.grab import claims, small_scale
from paperworks.grab.reader import PixelReader, Reading

ALL = {claim.id: claim for claim in claims_of(claims)}


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "scratch", tmp_path / "figures", claim_id="grab.test")


def test_what_is_expected():
    exact = Measured(95.0, details={"disagree": 0})
    assert claims.truth_is_exact(exact)
    assert not claims.truth_is_exact(Measured(95.0, details={"disagree": 1}))
    assert not claims.truth_is_exact(Measured(94.9, details={"disagree": 0}))
    assert claims.pixels_hold_the_answers(Measured(80.0, details={"low": 71.8}))
    assert not claims.pixels_hold_the_answers(Measured(80.0, details={"low": 71.7}))
    assert not claims.falls(Measured(-2.33))
    assert claims.falls(Measured(-2.34))
    assert claims.changes_little(Measured(1.0, details={"exact": 10.0}))
    assert not claims.changes_little(Measured(0.0, details={"exact": 9.9}))
    assert claims.precision_matters(Measured(10.0))
    assert not claims.precision_matters(Measured(9.9))


def test_the_sample_keeps_the_paper_s_proportions(lab):
    items = small_scale.sample(lab, 217)
    shares = {
        task: np.mean([item.task == task for item in items]) for task in ("properties", "function", "series")
    }
    assert shares["properties"] == pytest.approx(660 / 2170, abs=0.01)
    assert shares["function"] == pytest.approx(710 / 2170, abs=0.01)
    assert shares["series"] == pytest.approx(490 / 2170, abs=0.01)
    assert len({item.id for item in items}) == 217


def test_another_picture_is_of_the_same_property_of_another_seed(lab):
    items = small_scale.sample(lab, 217)
    others = small_scale.another_picture(lab, items)
    assert all(
        one.property == two.property and one.task == two.task for one, two in zip(items, others, strict=True)
    )
    assert all(one.complexity == two.complexity for one, two in zip(items, others, strict=True))
    assert all(one.spec != two.spec for one, two in zip(items, others, strict=True))
    assert np.mean([one.answer == two.answer for one, two in zip(items, others, strict=True)]) < 0.2


def test_functions_have_as_many_of_every_complexity(lab):
    items = small_scale.functions(lab, 10, range(4))
    assert [sum(item.complexity == c for item in items) for c in range(5)] == [10, 10, 10, 10, 0]
    assert {item.property for item in items} == set(small_scale.LEARNT)


def test_no_published_model_is_above_the_floor_in_series(lab):
    claim = ALL["most-models-struggle"]
    evidence = claim.run(lab)
    assert (evidence.measured.value, evidence.control.value) == (0, 11)
    assert judge(claim, evidence)[0] == "holds"


@pytest.mark.parametrize("name", ["drawn-graphs-have-exact-answers", "the-pixels-hold-the-answers"])
def test_the_reader_s_claims_on_a_few_items(name, lab, monkeypatch):
    whole = small_scale.sample
    monkeypatch.setattr(small_scale, "sample", lambda lab, n: whole(lab, 58))
    every = small_scale.every
    monkeypatch.setattr(small_scale, "every", lambda slots, n: every(slots, min(n, 58)))
    claim = ALL[name]
    evidence = claim.run(lab)
    assert claim.meets(evidence.measured), (evidence.measured, evidence.note)
    assert not claim.meets(evidence.control)


def test_a_reader_that_always_says_zero_fails_them(lab, monkeypatch):
    whole = small_scale.sample
    monkeypatch.setattr(small_scale, "sample", lambda lab, n: whole(lab, 40))
    every = small_scale.every
    monkeypatch.setattr(small_scale, "every", lambda slots, n: every(slots, min(n, 40)))
    monkeypatch.setattr(
        PixelReader, "explain", lambda self, pixels, question, frame=None: Reading("0", value=0.0)
    )
    for name in ("drawn-graphs-have-exact-answers", "the-pixels-hold-the-answers"):
        evidence = ALL[name].run(lab)
        assert not ALL[name].meets(evidence.measured)
        assert evidence.measured.value < 20


def test_what_cannot_be_run_says_why(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(small_scale, "MODEL", tmp_path)
    with pytest.raises(Skip, match="chart_model"):
        ALL["extraction-changes-little"].run(lab)
    full = Lab(tmp_path, tmp_path, scale="full")
    with pytest.raises(Skip, match="paperworks grab run"):
        ALL["accuracy-falls-with-complexity"].run(full)


def test_the_commonest_answer_is_counted_on_other_items():
    from types import SimpleNamespace as Item

    others = [Item(property="gradient", quantum="1", answer=answer) for answer in ("2", "3", "3")]
    others += [Item(property="gradient", quantum="0.1", answer="0.5")]
    asked = [Item(property="gradient", quantum=q, answer="9") for q in ("1", "0.1", "1")]
    assert claims._commonest(others, asked) == ["3", "0.5", "3"]

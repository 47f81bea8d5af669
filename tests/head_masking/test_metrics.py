"""Metrics against scikit-learn and by hand; thresholds, p-values and alarms against what they promise."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from paperworks.errors import InputError
from paperworks.head_masking.metrics import batch_alarm, ood_metrics, p_values, roc_points, threshold

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=40)


def slow_fpr(positives, negatives, rate):
    """The share of negatives at the highest threshold that `rate` of positives reach."""
    for t in sorted(positives, reverse=True):
        if Fraction(sum(s >= t for s in positives), len(positives)) >= Fraction(rate):
            return sum(s >= t for s in negatives) / len(negatives)
    raise AssertionError


@settings(max_examples=100, deadline=None)
@given(scores, scores)
def test_metrics_are_scikit_learns_and_those_of_a_slow_loop_also_with_ties(known, unknown):
    found = ood_metrics(known, unknown)
    truth = [1] * len(known) + [0] * len(unknown)
    both = np.array(known + unknown, dtype=float)
    assert found.auroc == pytest.approx(roc_auc_score(truth, both), abs=1e-12)
    wins = sum((k > u) + (k == u) / 2 for k in known for u in unknown)
    assert found.auroc == pytest.approx(wins / (len(known) * len(unknown)), abs=1e-12)
    assert found.aupr_in == pytest.approx(average_precision_score(truth, both), abs=1e-12)
    assert found.aupr_out == pytest.approx(average_precision_score(1 - np.array(truth), -both), abs=1e-12)
    assert found.fpr95 == pytest.approx(slow_fpr(known, unknown, "0.95"), abs=1e-12)
    negated = [-s for s in unknown], [-s for s in known]
    assert found.fpr95_ood_positive == pytest.approx(slow_fpr(*negated, "0.95"), abs=1e-12)
    assert (found.n_known, found.n_unknown) == (len(known), len(unknown))


def test_the_two_definitions_of_fpr95_differ():
    known = np.arange(1.0, 21)  # 95 % of them are at 2 or above
    unknown = np.concatenate([np.zeros(8), [1.5, 11.5]])  # 95 % of them, all ten, are at 11.5 or below
    found = ood_metrics(known, unknown)
    assert found.fpr95 == pytest.approx(1 / 10)  # of the unknown only the one at 11.5 passes
    assert found.fpr95_ood_positive == pytest.approx(11 / 20)  # of the known 1…11 are rejected
    assert found.auroc == pytest.approx((8 * 20 + 19 + 9) / 200)


def test_constant_scores_tell_nothing():
    found = ood_metrics(np.full(7, 2.0), np.full(3, 2.0))
    assert (found.auroc, found.fpr95, found.fpr95_ood_positive) == (0.5, 1, 1)
    assert found.to_dict()["aupr_in"] == pytest.approx(0.7)


def test_the_curve_has_the_area_of_auroc():
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(1, 1, 200), rng.normal(0, 1, 100)
    assert np.trapezoid(*roc_points(known, unknown)[::-1]) == pytest.approx(ood_metrics(known, unknown).auroc)


@pytest.mark.parametrize("function", [ood_metrics, roc_points, p_values])
@pytest.mark.parametrize(
    ("values", "message"),
    [([], "one or more"), ([[1.0]], "one or more"), ([1.0, np.nan], "score 1 is not finite")],
)
def test_empty_and_not_finite_scores_are_refused(function, values, message):
    with pytest.raises(InputError, match=message):
        function(values, [1.0])
    with pytest.raises(InputError, match=message):
        function([1.0], values)
    with pytest.raises(InputError, match=message):
        threshold(values)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-30, 30), min_size=19, max_size=80), st.sampled_from([0.05, 0.1, 0.29, 0.5]))
def test_the_threshold_rejects_at_most_its_share_and_is_the_p_value_in_other_words(held_out, contamination):
    values = np.array(held_out, dtype=float)
    offset = threshold(values, contamination)
    assert (values < offset).mean() <= contamination
    everywhere = np.arange(-32.0, 33)
    np.testing.assert_array_equal(everywhere < offset, p_values(values, everywhere) <= contamination)


def test_the_threshold_of_a_hundred_scores_leaves_four_below():
    assert threshold(np.random.default_rng(0).permutation(100)) == 4


def test_too_few_scores_for_a_threshold_are_said():
    with pytest.warns(UserWarning, match="18 held-out documents cannot bound 0.05 rejected, 19 can"):
        assert threshold(np.arange(18)) == 0
    assert threshold(np.arange(19)) == 0


@pytest.mark.parametrize("contamination", [0, 1, -0.1, float("nan")])
def test_a_contamination_outside_its_range_is_refused(contamination):
    with pytest.raises(InputError, match="contamination"):
        threshold(np.arange(100), contamination)


def test_p_values_by_hand():
    np.testing.assert_allclose(p_values([1, 2, 2, 3], [0, 1, 2, 2.5, 9]), np.array([1, 2, 4, 4, 5]) / 5)


def test_p_values_of_known_documents_are_at_most_alpha_with_probability_alpha():
    rng = np.random.default_rng(0)
    drawn = np.array([p_values(rng.gumbel(size=39), rng.gumbel(size=1))[0] for _ in range(4000)])
    for alpha in (0.05, 0.25, 0.5):
        assert (drawn <= alpha + 1e-12).mean() == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 4000))


@pytest.mark.parametrize(("reference", "batch"), [(99, 50), (199, 400), (1000, 20)])
def test_alarms_on_known_batches_are_as_rare_as_said(reference, batch):
    rng = np.random.default_rng(1)
    alarms = np.zeros(2)
    for _ in range(1500):
        values = p_values(rng.standard_normal(reference), rng.standard_normal(batch))
        alarms += [batch_alarm(values, reference, level=level).alarm for level in (0.05, 0.2)]
    expected = 1500 * np.array([0.05, 0.2])
    assert (alarms <= expected + 4 * np.sqrt(expected)).all()
    assert alarms[1] > expected[1] / 3  # counts are whole numbers, so a level is not met exactly


def test_a_test_that_takes_p_values_for_independent_would_raise_too_many_alarms():
    from scipy.stats import binom

    rng = np.random.default_rng(1)
    counts = [
        (p_values(rng.standard_normal(199), rng.standard_normal(400)) <= 0.05).sum() for _ in range(500)
    ]
    assert (binom.sf(np.array(counts) - 1, 400, 0.05) <= 0.05).mean() > 0.1


def test_a_batch_with_some_unknown_documents_raises_an_alarm():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(50):
        batch = np.concatenate([rng.standard_normal(80), rng.normal(-3, 1, 20)])
        found.append(batch_alarm(p_values(rng.standard_normal(500), batch), 500))
    assert np.mean([one.alarm for one in found]) > 0.9
    assert all(one.alarm == (one.p_value <= 0.01) and one.documents == 100 for one in found)


def test_the_alarm_law_is_that_of_ranks():
    """One low p-value of one document: the tail's share itself; of two documents, by counting orders."""
    assert batch_alarm([0.05], 19).p_value == pytest.approx(0.05)
    assert batch_alarm([1.0], 19).p_value == 1
    assert batch_alarm([0.05, 0.05], 19).p_value == pytest.approx(2 / (20 * 21))


@pytest.mark.parametrize(
    ("values", "reference", "options", "message"),
    [
        ([], 100, {}, "one or more"),
        ([0.0], 100, {}, "above 0"),
        ([np.nan], 100, {}, "above 0"),
        ([0.5], 18, {}, "18 reference scores give no p-value up to 0.05"),
        ([0.5], 100, {"level": 0.0}, "level 0.0"),
        ([0.5], 100, {"tail": 1.0}, "tail 1.0"),
    ],
)
def test_bad_batches_are_refused(values, reference, options, message):
    with pytest.raises(InputError, match=message):
        batch_alarm(values, reference, **options)

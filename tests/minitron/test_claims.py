"""The claims: what they declare, when their expectations are met, and the parts that the experiments share."""

import pytest

torch = pytest.importorskip("torch")

from paperworks.claims import Lab, Measured, claims_of, judge  # noqa: E402
from paperworks.minitron import claims, small_scale  # noqa: E402
from paperworks.minitron.target import Target  # noqa: E402

ALL = claims_of(claims)


def test_the_claims_of_the_specification_are_declared():
    assert [claim.id for claim in ALL] == [
        "width-beats-depth",
        "pruning-and-distillation-beat-their-parts",
        "pruned-models-are-faster",
        "teacher-correction-helps",
        "contiguous-layers-answer-better",
        "heads-are-better-kept",
        "streams-in-a-fraction-of-memory",
    ]


def fast(value: float, depth: float) -> Measured:
    return Measured(value, "x", None, 1, (), {"depth": depth, "width_bound": 1.82, "depth_bound": 1.87})


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (0, Measured.of([0.1], least_standard_errors=2.1), Measured.of([9.0], least_standard_errors=1.9)),
        (2, fast(1.5, 1.8), fast(1.29, 1.8)),
        (2, fast(1.5, 1.8), fast(1.5, 2.3)),
        (
            4,
            Measured.of([5.0], standard_errors=2.5, loss_excess=0.1),
            Measured.of([5.0], standard_errors=2.5, loss_excess=-0.1),
        ),
        (6, Measured.of([30.0], scores_equal=1.0), Measured.of([30.0], scores_equal=0.0)),
    ],
)
def test_each_expectation_is_what_its_words_say(number, good, bad):
    assert ALL[number].meets(good)
    assert not ALL[number].meets(bad)


def test_standard_errors_are_the_mean_over_its_error():
    samples = [1.0, 2.0, 4.0]
    error = torch.tensor(samples).std().item() / 3**0.5
    assert claims.standard_errors(samples) == pytest.approx(7 / 3 / error)
    assert claims.standard_errors([0.0, 0.0]) == 0
    assert claims.standard_errors([1.0]) == 0


def test_both_cuts_have_as_many_parameters_within_two_per_cent():
    depth = small_scale.shapes(small_scale.depth_target()).without_embeddings
    for target in (small_scale.width_target(), small_scale.width_target(heads=4)):
        assert abs(small_scale.shapes(target).without_embeddings / depth - 1) < 0.02
    assert small_scale.shapes(small_scale.width_target()).heads == small_scale.shapes(Target()).heads


def test_the_task_asks_for_one_of_two_names_that_stand_in_the_function_before():
    rows = small_scale.identifier_task(40, 0)
    assert len(rows) == 40
    assert rows == small_scale.identifier_task(40, 0)
    assert {row["answer"] for row in rows} == {0, 1}
    for row in rows:
        assert len(set(row["choices"])) == 2


def test_distillation_brings_a_student_nearer_to_its_teacher(tmp_path):
    model = small_scale.student(small_scale.importance(0), small_scale.width_target())
    rows = small_scale.drawn(small_scale.code_rows(), 16, 9)
    before = small_scale.loss_of(model, rows)
    small_scale.train(model, small_scale.code_rows(), tmp_path, steps=6, seed=0, guide=small_scale.teacher())
    assert small_scale.loss_of(model, rows) < before - 0.05


def test_the_experiment_of_layers_runs_and_is_judged(tmp_path, monkeypatch):
    real = small_scale.identifier_task
    monkeypatch.setattr(small_scale, "identifier_task", lambda n, seed: real(24, seed))
    monkeypatch.setattr(small_scale, "CALIBRATION", 8)
    claim = ALL[4]
    evidence = claim.run(Lab(tmp_path, tmp_path / "figures", claim_id="minitron.layers"))
    assert judge(claim, evidence)[0] in ("holds", "fails", "void")
    names = [row[0] for row in evidence.table.rows]
    assert names[:3] == ["none", "contiguous block", "one by one"]
    assert float(evidence.table.rows[0][2]) < min(float(row[2]) for row in evidence.table.rows[1:])

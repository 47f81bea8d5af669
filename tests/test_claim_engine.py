import math
import os
import statistics
import subprocess
import sys

import pytest

from paperworks.claims import Claim, Evidence, Lab, Measured, claim, judge


def declare(meets=lambda m: m.value > 1, **texts) -> Claim:
    defaults = {
        "paper": "2408.08793",
        "highlight": "h",
        "reported": "2x",
        "expects": "above 1",
        "control": "c",
    }

    def some_claim(lab: Lab) -> Evidence:
        raise NotImplementedError

    return claim(**(defaults | texts), meets=meets)(some_claim)


@pytest.mark.parametrize(
    ("measured", "control", "verdict"),
    [
        (2, 0, "holds"),
        (0, 0, "fails"),
        (2, 2, "void"),
        (0, 2, "void"),
        (math.nan, 0, "fails"),
        (math.inf, 0, "fails"),
    ],
)
def test_the_verdict_follows_from_the_expectation_alone(measured, control, verdict):
    assert judge(declare(), Evidence(Measured(measured), Measured(control)))[0] == verdict


def test_nan_does_not_hold_even_where_the_predicate_would_let_it_pass():
    lenient = declare(meets=lambda m: not m.value < 1)
    assert judge(lenient, Evidence(Measured(math.nan), Measured(0.0)))[0] == "fails"
    one_bad_seed = Measured(2.0, samples=(2.0, math.nan))
    assert judge(lenient, Evidence(one_bad_seed, Measured(0.0)))[0] == "fails"


def test_a_control_that_is_no_number_leaves_the_claim_void():
    verdict, control_meets, reason = judge(declare(), Evidence(Measured(2.0), Measured(math.nan)))
    assert (verdict, control_meets) == ("void", False)
    assert "control" in reason


def test_a_measurement_of_repetitions_has_their_mean_and_sample_deviation():
    measured = Measured.of([1.0, 2.0, 4.0], "s", share=0.5)
    assert measured.value == pytest.approx(statistics.mean([1, 2, 4]))
    assert measured.spread == pytest.approx(statistics.stdev([1, 2, 4]))
    assert (measured.n, measured.samples, measured.details) == (3, (1.0, 2.0, 4.0), {"share": 0.5})
    assert Measured.of([3.0]).spread is None
    assert Measured(3.0).samples == (3.0,)
    with pytest.raises(ValueError, match="at least one"):
        Measured.of([])


def test_a_claim_is_named_after_its_function_and_its_package():
    declared = declare()
    assert (declared.id, declared.method) == ("some-claim", "test_claim_engine")


def test_a_changed_expectation_changes_the_fingerprint():
    original = declare(meets=lambda m: m.value > 1)
    assert original.fingerprint() == declare(meets=lambda m: m.value > 1).fingerprint()
    assert original.fingerprint() != declare(meets=lambda m: m.value > 2).fingerprint()
    assert original.fingerprint() != declare(meets=lambda m: m.spread > 1).fingerprint()
    assert original.fingerprint() != declare(expects="above 0.9").fingerprint()
    limit = 3.0
    other = declare(meets=lambda m: all(x > limit for x in m.samples))
    assert other.fingerprint() != declare(meets=lambda m: all(x < limit for x in m.samples)).fingerprint()


def test_the_lab_names_figures_after_the_claim(tmp_path):
    from matplotlib.figure import Figure

    lab = Lab(scratch=tmp_path, figure_folder=tmp_path / "figures", claim_id="m.c", seed=4)
    figure = Figure()
    figure.subplots().plot([0, 1])
    assert lab.figure("bars", figure) == "m.c.bars.png"
    assert (tmp_path / "figures/m.c.bars.png").read_bytes().startswith(b"\x89PNG")
    assert lab.figures == ["m.c.bars.png"]
    assert list(lab.seeds(3)) == [4, 5, 6]


def test_what_is_shared_is_computed_once_for_all_experiments(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"values": (0, 1, 2)}

    first, second = (Lab(tmp_path / name, tmp_path, shared_folder=tmp_path / "shared") for name in "ab")
    found = [lab.shared("the same", compute)["values"] for lab in (first, second, first)]
    assert found == [(0, 1, 2)] * 3
    assert len(calls) == 1
    assert second.shared("another", lambda: 5) == 5
    alone = Lab(tmp_path, tmp_path)
    assert alone.shared("the same", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        first.shared("broken", lambda: 1 / 0)
    assert second.shared("broken", lambda: 8) == 8


def test_the_fingerprint_is_the_same_in_every_process():
    script = (
        "from paperworks.claims import source_of\n"
        "print(source_of(lambda m: m.unit in {'a', 'b', 'c', 'd', 'e', 'f'}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(outputs) == 1

"""The claims: what they declare, when they are met, and what the experiments measure with."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from paperworks.claims import Lab, Measured, Skip, claims_of, judge
from paperworks.frap import claims, small_scale
from paperworks.frap.compare import permuted
from paperworks.tiny import scene_model

ALL = claims_of(claims)
SHIPPED = (scene_model.FOLDER / "model_index.json").is_file()
needs_model = pytest.mark.skipif(not SHIPPED, reason="the scene model is not shipped here")


def points(value, low, high):
    return Measured(value, "points", details={"low": low, "high": high})


def calls(value, prompt=1.0, negative=1.0):
    return Measured(value, details={"prompt_calls": prompt, "negative_calls": negative})


def test_the_claims_of_the_specification_are_declared():
    assert [claim.id for claim in ALL] == [
        "weights-show-what-was-asked-for",
        "simple-prompts-stay-as-good",
        "the-unet-is-not-called-again",
        "pictures-stay-realistic",
        "rewritten-prompts-recover",
        "the-loss-knows",
    ]


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (0, points(5, 0.1, 9), points(5, -0.1, 9)),
        (1, points(-5, -10, 2), points(-5.1, -9, 2)),
        (1, points(3, -9, 10), points(3, -9, 10.1)),
        (1, points(-3, -10, 9), points(-3, -10.1, 9)),
        (2, calls(0.85), calls(0.86)),
        (2, calls(0.5), calls(0.5, prompt=1.5)),
        (2, calls(0.5), calls(0.5, negative=2.0)),
        (3, Measured.of([1.0, 1.1, 1.2]), Measured.of([1.0, -1.0, 1.5])),
        (4, points(5, 0.1, 9), points(5, 0.0, 9)),
        (5, Measured(0.65), Measured(0.64)),
    ],
)
def test_each_expectation_is_what_its_words_say(number, good, bad):
    assert ALL[number].meets(good)
    assert not ALL[number].meets(bad)


def test_without_room_the_verdict_is_void():
    from paperworks.claims import Evidence

    control = claims._no_room(points(0, -3, 3))
    verdict, _, reason = judge(ALL[0], Evidence(points(9, 4, 12), control))
    assert verdict == "void", reason


def test_without_the_shipped_model_the_experiments_say_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_model, "FOLDER", tmp_path)
    small_scale.load.cache_clear()
    for claim in (ALL[0], ALL[5]):
        with pytest.raises(Skip, match="tiny build scene_model"):
            claim.run(Lab(tmp_path, tmp_path / "figures"))
    with pytest.raises(Skip, match="CLIP is not there"):
        ALL[3].run(Lab(tmp_path, tmp_path / "figures"))
    with pytest.raises(Skip, match="at full scale"):
        ALL[0].run(Lab(tmp_path, tmp_path / "figures", scale="full"))


def test_prompts_of_the_experiments_are_not_those_of_the_calibration():
    own = {one.text for seed in range(3) for one in small_scale.asked(96, seed)}
    calibration = {one.text for one in small_scale.asked(96, calibration=True)}
    assert len(calibration) == small_scale.CALIBRATION
    assert not own & calibration
    assert len({one.text for one in small_scale.asked(40, 0)}) == 40
    assert [one.text for one in small_scale.asked(40, 0)] != [one.text for one in small_scale.asked(40, 1)]


def test_drawings_of_the_prompts_have_every_pair_and_those_of_other_prompts_do_not():
    prompts = small_scale.asked(12, 3)
    from paperworks.tiny.scenes import pair, pictures

    drawn = pictures([pair(one.kinds, np.random.default_rng(number)) for number, one in enumerate(prompts)])
    assert small_scale.bound(drawn, prompts).mean() == 1
    assert small_scale.presence(drawn, prompts).mean() == 1
    assert small_scale.bound(np.roll(drawn, 1, 0), prompts).mean() < 0.5
    assert small_scale.drawings(5, 3).shape == (5, 64, 64, 3)


def test_the_frechet_distance_is_that_of_the_matrix_root():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(50, 6)), 1.5 * rng.normal(size=(40, 6)) + 0.3
    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = sqrtm(c1 @ c2).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert small_scale.frechet(first, second) == pytest.approx(expected, rel=1e-6)
    assert small_scale.frechet(first, first) == pytest.approx(0, abs=1e-5)


@needs_model
def test_weights_on_random_words_are_frap_s_own_in_another_order():
    prompts = small_scale.asked(2, 0)
    settings = small_scale.replace(small_scale.FRAP, steps=1, step_size=50.0)
    drawn = small_scale.draw(prompts, [0, 1], settings, steps=2)
    own, other = drawn.weights(), small_scale.shuffled(drawn.weights(), [one.text for one in prompts]).weights
    for row, prompt in enumerate(drawn.results[0].prompts):
        assert torch.equal(other[:, row, prompt.end :], own[:, row, prompt.end :])
        assert torch.equal(
            other[:, row, 1 : prompt.end].sort(-1).values, own[:, row, 1 : prompt.end].sort(-1).values
        )
    assert not torch.equal(other, own)
    assert torch.equal(permuted(drawn.results[0], 0).sort(-1).values, own.sort(-1).values)


@needs_model
def test_a_longer_prompt_keeps_the_words_of_its_objects():
    from paperworks.frap.words import read_prompt

    tokenizer = small_scale.load().tokenizer
    for one in small_scale.asked(60, 0):
        prompt = read_prompt(tokenizer, small_scale.rewritten(one), one.objects)
        assert [word.text for word in prompt.objects] == [shape for _, shape in one.kinds]
        assert prompt.objects[0].modifiers[0].positions != prompt.objects[1].modifiers[0].positions


@needs_model
@pytest.mark.parametrize("number", [0, 1, 3, 4, 5])
def test_an_experiment_gives_evidence_with_its_control(tmp_path, monkeypatch, number):
    for name, n in (("STEPS", 2), ("PAIRS", 6), ("ALONE", 4), ("SEED", 3), ("PLAIN", 8)):
        monkeypatch.setattr(small_scale, name, n)
    for name in ("FRAP", "EXCITE", "SYNGEN"):
        monkeypatch.setattr(small_scale, name, small_scale.replace(getattr(small_scale, name), steps=1))
    if number == 5:  # two steps get nothing right: the judge is asked elsewhere
        monkeypatch.setattr(small_scale, "bound", lambda pictures, prompts: np.arange(len(pictures)) % 2)
    evidence = ALL[number].run(Lab(tmp_path, tmp_path / "figures"))
    assert evidence.measured.is_finite()
    assert evidence.measured.unit == evidence.control.unit
    assert all(len(row) == len(evidence.table.columns) for row in evidence.table.rows)
    if number == 0:
        assert [row[0] for row in evidence.table.rows][:3] == ["plain", "FRAP", "random words"]
        assert len(list((tmp_path / "figures").glob("*first-six-seeds.png"))) == 1


@needs_model
def test_the_calls_of_the_unet_are_counted_and_a_second_pass_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(small_scale, "STEPS", 2)
    for name in ("FRAP", "EXCITE", "SYNGEN"):
        monkeypatch.setattr(small_scale, name, small_scale.replace(getattr(small_scale, name), steps=1))
    evidence = ALL[2].run(Lab(tmp_path, tmp_path / "figures"))
    assert evidence.measured.details == {"prompt_calls": 1, "negative_calls": 1}
    assert evidence.control.details == {"prompt_calls": 1.5, "negative_calls": 1}

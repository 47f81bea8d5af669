"""The claims: what they declare, when they are met, what the controls take out, and a small run of one."""

import numpy as np
import pytest
import torch

from paperworks.claims import Lab, Measured, Skip, claims_of, judge
from paperworks.counting import claims, small_scale
from paperworks.counting.losses import count_loss
from paperworks.tiny import palette, scene_model
from paperworks.tiny.scenes import SHAPES, counted, kinds, pictures

ALL = claims_of(claims)
SHIPPED = (scene_model.FOLDER / "clip").is_dir()


def test_the_claims_of_the_specification_are_declared():
    assert [claim.id for claim in ALL] == [
        "the-token-counts-better-than-the-base-model",
        "the-scale-must-be-dynamic",
        "any-detector-can-drive",
        "a-token-can-be-reused",
        "far-off-scenes-are-corrected",
        "a-token-does-not-fool-the-counter",
    ]


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (0, Measured.of([-1.0], ratio=0.7, high=-0.1), Measured.of([-1.0], ratio=0.71, high=-0.1)),
        (0, Measured.of([-1.0], ratio=0.5, high=-0.1), Measured.of([-1.0], ratio=0.5, high=0.0)),
        (1, Measured.of([-1.0], high=-0.1), Measured.of([-1.0], high=0.1)),
        (2, Measured.of([-1.0], ratio=0.7, high=-0.1), Measured.of([-1.0], ratio=0.5, high=0.0)),
        (
            3,
            Measured.of([-1.0], high_seeds=-0.1, high_classes=-0.1),
            Measured.of([-1.0], high_seeds=-0.1, high_classes=0.1),
        ),
        (4, Measured(0.5), Measured(0.51)),
        (5, Measured.of([0.4], pixel_gap=1.0), Measured.of([0.5], pixel_gap=1.0)),
    ],
)
def test_each_expectation_is_what_its_words_say(number, good, bad):
    assert ALL[number].meets(good)
    assert not ALL[number].meets(bad)


def test_a_paired_measurement_has_the_ratio_and_the_interval():
    found = claims._paired([1, 0, 2, 1], [4, 3, 3, 2])
    assert found.value == -2
    assert found.details["ratio"] == pytest.approx(1 / 3)
    assert found.details["low"] < -2 < found.details["high"] < 0


def test_without_the_shipped_models_the_experiments_say_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_model, "FOLDER", tmp_path)
    small_scale.models.cache_clear()
    with pytest.raises(Skip, match="tiny build scene_model"):
        ALL[0].run(Lab(tmp_path, tmp_path / "figures"))


def test_the_judge_counts_what_was_drawn():
    rng = np.random.default_rng(0)
    scenes = [
        counted(kind, n, rng) for n in range(1, 10) for kind in kinds()[:: len(kinds()) // len(SHAPES)][:4]
    ]
    found = small_scale.Palette()(pictures(scenes), [""] * len(scenes))
    assert np.mean([n == scene.count() for n, scene in zip(found, scenes, strict=True)]) >= 0.99


def test_every_target_is_asked_of_every_class_in_both_views(tmp_path):
    asked = small_scale.batch(Lab(tmp_path, tmp_path))
    assert {(one["count"], one["kind"]) for one in asked} == {
        (n, kind) for n in small_scale.TARGETS for kind in small_scale.CLASSES
    }
    assert [sum(one["view"] == view for one in asked) for view in ("close-up", "far")] == [6, 6]
    assert len({one["seed"] for one in asked}) == 12
    assert small_scale.CLASSES[-1] not in kinds()
    assert all(kind in kinds() for kind in small_scale.CLASSES[:3])


def test_a_flipped_counter_has_the_same_value_and_the_opposite_gradient(monkeypatch):
    def mass(drawn, names):
        return drawn.square().flatten(1).sum(1)

    monkeypatch.setattr(small_scale, "models", lambda: (None, mass, None, None))
    values = torch.rand(2, 3, 4, 4, requires_grad=True)
    flipped = small_scale.Flipped()(values, ["a", "b"])
    assert torch.allclose(flipped, mass(values, None))
    wanted, found = (torch.autograd.grad(one.sum(), values)[0] for one in (mass(values, None), flipped))
    assert torch.allclose(found, -wanted)


def test_a_permuted_driver_hands_every_count_to_another_run():
    class Driver:
        name = "driver"

        def __call__(self, drawn, names):
            return list(range(len(names)))

    permuted = small_scale.Permuted(Driver(), 12, 0)
    found = permuted(None, ["x"] * 12)
    assert sorted(found) == list(range(12))
    assert all(a != b for a, b in enumerate(found))


def test_a_shape_of_radius_r_has_the_area_that_is_told():
    for shape in SHAPES:
        scene = counted(("black", shape), 1, np.random.default_rng(0), radius=8.0)
        own = palette.objects(np.asarray(scene.draw()), palette.LEAST)[0]
        radius = scene.objects[0].radius
        assert own.pixels == pytest.approx(small_scale.area_of(shape) * radius**2, rel=0.12)


def test_moving_pixels_lowers_the_counters_loss_and_stops_at_the_goal(monkeypatch):
    def mass(drawn, names):
        return (1 - drawn).flatten(1).sum(1)

    monkeypatch.setattr(small_scale, "models", lambda: (None, mass, None, None))
    monkeypatch.setattr(small_scale, "mass_per_object", lambda: 10.0)
    start = np.full((2, 8, 8, 3), 250, np.uint8)
    asked = [{"kind": ("red", "circle"), "count": 3}] * 2
    moved = small_scale.optimise_pixels(start, asked, np.array([0.5, 1e9]), 200)
    values = torch.from_numpy(moved).permute(0, 3, 1, 2).float() / 255
    loss = count_loss(mass(values, None), torch.tensor(10.0), torch.tensor([3, 3]))
    assert loss[0] <= 0.6
    assert np.array_equal(moved[1], start[1])


@pytest.mark.skipif(not SHIPPED, reason="the scene model is not built")
@pytest.mark.parametrize("number", [5, pytest.param(0, marks=pytest.mark.full)])
def test_an_experiment_runs_and_is_judged(number, tmp_path, monkeypatch):
    small_scale.models.cache_clear()
    monkeypatch.setattr(small_scale, "STEPS", 2)
    monkeypatch.setattr(small_scale, "CLASSES", small_scale.CLASSES[:2])
    monkeypatch.setattr(small_scale, "TARGETS", (3, 6))
    lab = Lab(tmp_path, tmp_path / "figures", claim_id="counting.test")
    evidence = ALL[number].run(lab)
    assert judge(ALL[number], evidence)[0] in ("holds", "fails", "void")
    assert evidence.measured.n == 4
    assert "counting.test.pictures.png" in lab.figures
    assert "palette" in evidence.note
    assert evidence.table.rows[0][0] == "plain"


def test_full_scale_says_what_it_needs(tmp_path):
    with pytest.raises(Skip, match="a counter and a detector of your own"):
        small_scale.learn(Lab(tmp_path, tmp_path, scale="full"), [], "tokens")

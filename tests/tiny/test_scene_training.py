"""The build of the scene model, a few steps of everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from paperworks.tiny import scene_model, scene_training  # noqa: E402


def test_a_build_leaves_a_pipeline_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_training, "BATCH", dict.fromkeys(scene_training.BATCH, 8))
    monkeypatch.setattr(scene_training.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(
        scene_model, "gates", lambda pipeline: {"counts": 0.0}
    )  # an untrained model draws noise
    facts = scene_training.build(tmp_path, steps=6, seed=3)
    assert facts["steps"]["unet"] == 6
    assert facts["parameters"] == json.loads((tmp_path / "training.json").read_text())["parameters"] < 7e6
    assert set(facts["curves"]) == set(scene_training.TRAINED_STEPS)
    pipeline = scene_model.load_scene_model(tmp_path)
    assert scene_model.draw(pipeline, ["a red circle"], [0], steps=2).shape == (1, 64, 64, 3)
    shipped = scene_model.load_scene_model()
    assert pipeline.tokenizer.get_vocab() == shipped.tokenizer.get_vocab()
    assert {name: p.shape for name, p in pipeline.unet.named_parameters()} == {
        name: p.shape for name, p in shipped.unet.named_parameters()
    }
    for load in (scene_model.load_density, scene_model.load_centres, scene_model.load_clip):
        assert all(torch.isfinite(p).all() for p in load(tmp_path).parameters())


def test_the_last_steps_are_trained_on_the_levels_of_few_steps_of_sampling() -> None:
    pipeline = scene_model.load_scene_model()
    for n in set(scene_training.FEW_STEPS):
        levels = scene_training.levels_of(pipeline.scheduler, n)
        assert len(levels) == n
        assert levels[0] == 999
        assert levels == sorted(levels, reverse=True)

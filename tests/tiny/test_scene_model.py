"""The shipped text-to-image model: real classes, small, and the right kind of wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from paperworks.tiny import palette, scene_model, scenes  # noqa: E402
from paperworks.tiny.scene_counters import KINDS, CentreNetwork, DensityNetwork, wanted  # noqa: E402

from paperworks.errors import InputError  # noqa: E402 isort: skip


@pytest.fixture(scope="module")
def pipeline():
    return scene_model.load_scene_model()


def test_it_is_an_ordinary_pipeline_of_few_bytes(pipeline):
    assert type(pipeline).__name__ == "StableDiffusionPipeline"
    assert sum(path.stat().st_size for path in scene_model.FOLDER.rglob("*.safetensors")) < 14e6
    assert pipeline.unet.dtype == torch.float32
    for name, shape in (("vae", scene_model.VAE), ("unet", scene_model.UNET)):
        config = getattr(pipeline, name).config
        assert {
            key: tuple(config[key]) if isinstance(config[key], list) else config[key] for key in shape
        } == shape
    assert {key: pipeline.scheduler.config[key] for key in scene_model.SCHEDULE} == scene_model.SCHEDULE


def test_words_are_single_tokens_but_for_one(pipeline):
    tokenizer = pipeline.tokenizer
    lengths = {word: len(tokenizer.tokenize(word)) for word in scene_model.WORDS}
    assert {word for word, length in lengths.items() if length != 1} == {scene_model.IN_PIECES}
    assert lengths[scene_model.IN_PIECES] == 2
    made = scene_model.make_tokenizer()
    for seed in range(40):
        caption = scenes.sample(seed).caption
        assert tokenizer(caption).input_ids == made(caption).input_ids
        assert len(tokenizer(caption).input_ids) <= scene_model.TOKENS
        assert tokenizer.decode(tokenizer(caption).input_ids, skip_special_tokens=True).replace(" ", "") == (
            caption.replace(" ", "")
        )


def test_the_autoencoder_keeps_what_the_judge_sees(pipeline):
    drawn, some = scenes.sample_many(8, 96, "counted")
    with torch.no_grad():
        pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
        again = pipeline.vae.decode(pipeline.vae.encode(pixels).latent_dist.mean).sample
    pictures = ((again / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert (palette.count(pictures) == [scene.count() for scene in some]).mean() >= 0.97


def test_it_draws_what_is_asked_and_counts_badly(pipeline):
    found = scene_model.gates(pipeline, n=28)
    assert 0.05 <= found["counts"] <= 0.7
    assert 0.4 <= found["error"] <= 2.5
    assert found["valid"] >= 0.65
    assert 0.5 <= found["bound"] < 1
    assert found["single"] >= 0.8


def test_a_seed_gives_the_same_picture_in_any_batch(pipeline):
    prompts = ["a red circle and a blue square", "a black star", "a photo of some yellow squares on grey"]
    together = scene_model.draw(pipeline, prompts, [5, 6, 7], steps=4)
    alone = [
        scene_model.draw(pipeline, [prompt], [seed], steps=4)[0]
        for prompt, seed in zip(prompts, (5, 6, 7), strict=True)
    ]
    assert np.abs(together.astype(int) - np.stack(alone)).max() <= 1


def test_the_two_counters_count_drawings():
    drawn, some = scenes.sample_many(9, 150, "counted")
    pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
    truth = torch.tensor([scene.count() for scene in some])
    names = [f"{scene.objects[0].colour} {scene.objects[0].shape}s" for scene in some]
    centres = scene_model.load_centres()
    assert (centres.count(pixels, names) == truth).float().mean() >= 0.95
    assert (centres.count(pixels, ["objects"] * 150) == truth).float().mean() >= 0.95
    other = ["black squares" if name != "black squares" else "red circles" for name in names]
    assert centres.count(pixels, other).float().mean() < 0.1
    density = scene_model.load_density()
    with torch.no_grad():
        mass = density(pixels, names).sum((1, 2))
        assert density(pixels, other).sum((1, 2)).mean() < 0.5
    assert np.corrcoef(mass.numpy(), truth.numpy())[0, 1] > 0.9


def test_names_of_what_to_count():
    assert wanted("red circles") == ("red", "circle")
    assert wanted("stars") == (None, "star")
    assert wanted("objects") == (None, None)
    with pytest.raises(InputError, match="'oranges' is no colour"):
        wanted("oranges")
    assert len(KINDS) == 28
    assert CentreNetwork()(torch.zeros(2, 3, 64, 64)).shape == (2, 12, 16, 16)
    assert DensityNetwork()(torch.zeros(2, 3, 64, 64), ["circle", "red star"]).shape == (2, 16, 16)


def test_the_semantic_model_tells_kinds_apart(pipeline):
    clip = scene_model.load_clip()
    rng = np.random.default_rng(0)
    known = scenes.kinds()
    own = [known[rng.integers(len(known))] for _ in range(60)]
    drawn = scenes.pictures([scenes.counted(kind, int(rng.integers(1, 6)), rng) for kind in own])
    tokens = pipeline.tokenizer(
        [" ".join(kind) for kind in known],
        padding="max_length",
        max_length=scene_model.TOKENS,
        return_tensors="pt",
    )
    with torch.no_grad():
        logits = clip(
            **tokens, pixel_values=torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
        ).logits_per_image
    right = [known[index] == kind for index, kind in zip(logits.argmax(1).tolist(), own, strict=True)]
    assert np.mean(right) > 0.7


def test_the_card_tells_of_these_weights():
    facts = json.loads((scene_model.FOLDER / "training.json").read_text())
    assert facts["parameters"] < 7e6
    assert set(facts["curves"]) == {"vae", "unet", "few_steps", "density", "centres", "clip"}

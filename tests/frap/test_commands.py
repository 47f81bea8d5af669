"""The commands on the shipped scene model: words, pictures with their weights, a comparison, and bad input."""

import json

import pytest
from command_line import command
from PIL import Image

from paperworks.frap import parser, small_scale
from paperworks.tiny import scene_model

pytestmark = pytest.mark.skipif(
    not (scene_model.FOLDER / "model_index.json").is_file(), reason="the scene model is not shipped here"
)
FAST = ("--map-size", "8x8", "--steps", "2", "--guidance", "2", "--device", "cpu")
PROMPT = "a red circle and a blue square"


@pytest.fixture(autouse=True)
def by_rules(monkeypatch):
    monkeypatch.setattr(parser, "_spacy_model", lambda: None)


run = command("frap")


def test_words_are_shown_with_their_tokens(capsys):
    status, out, err = run(capsys, "words", "scene_model", "a red triangle and a blue square", "--json")
    assert status == 0, err
    assert json.loads(out) == [
        {"object": "triangle", "positions": [3, 4], "modifiers": [{"word": "red", "positions": [2]}]},
        {"object": "square", "positions": [8], "modifiers": [{"word": "blue", "positions": [7]}]},
    ]
    _, out, _ = run(capsys, "words", "scene_model", "and with")
    assert out.strip() == "no object found in: and | with"


def test_a_picture_carries_its_weights(tmp_path, capsys):
    status, out, err = run(
        capsys,
        "generate",
        "scene_model",
        PROMPT,
        *FAST,
        "--seed",
        "3..4",
        "--step-size",
        5,
        "--out",
        tmp_path / "out",
    )
    assert status == 0, err
    assert "objects: circle (red), square (blue)" in out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["3.png", "4.png", "index.html"]
    assert Image.open(tmp_path / "out" / "4.png").size == (64, 64)
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<img") == 2
    assert "seed 4" in page
    status, out, err = run(capsys, "weights", tmp_path / "out" / "4.png", "--json")
    found = json.loads(out)
    assert (found["prompt"], found["seed"]) == (PROMPT, 4)
    assert found["settings"]["step_size"] == 5
    assert [word for word, _ in found["weights"]] == PROMPT.split()
    assert any(weight != 1 for _, weight in found["weights"])
    assert len(found["verdict"]) == 2


def test_the_best_of_some_seeds_is_drawn(tmp_path, capsys):
    arguments = (
        "generate",
        "scene_model",
        PROMPT,
        *FAST,
        "--best-of",
        3,
        "--seed",
        5,
        "--out",
        tmp_path,
        "--json",
    )
    status, out, err = run(capsys, *arguments)
    assert status == 0, err
    (found,) = json.loads(out)
    pipe = small_scale.load()
    losses = {}
    for seed in (5, 6, 7):
        import torch

        from paperworks.frap import Settings

        output = pipe(
            PROMPT, frap=Settings(steps=1, map_size=(8, 8)), num_inference_steps=2, guidance_scale=2.0,
            generator=torch.Generator().manual_seed(seed), output_type="latent",
        )  # fmt: skip
        losses[seed] = float(output.frap.loss[-1, 0])
    assert found["seed"] == min(losses, key=losses.get)


def test_methods_are_compared_in_a_grid_and_a_page(tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"{PROMPT}\n\na green star\n")
    methods = "plain,frap,static,random,attend-and-excite-lean,syngen"
    status, out, err = run(
        capsys, "compare", "scene_model", prompts, "--methods", methods, *FAST, "--out", tmp_path / "out"
    )
    assert status == 0, err
    assert all(name in out for name in methods.split(","))
    assert len(list((tmp_path / "out").glob("*.png"))) == 2 * 6 + 1
    assert (tmp_path / "out" / "index.html").read_text().count("<img") == 12
    width, height = Image.open(tmp_path / "out" / "grid.png").size
    assert width > 6 * 128
    assert height > 2 * 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate", "scene_model", PROMPT, "--object", "sphere"), '"sphere" is not in the prompt'),
        (
            ("generate", "scene_model", "a red star and a blue star", "--object", "star"),
            "write star#1 or star#2",
        ),
        (("generate", "scene_model", "and with", "--strict"), "no object found in"),
        (("generate", "scene_model", PROMPT, "--steps", "4"), "set map_size to one of 8 x 8, 16 x 16"),
        (
            ("generate", "scene_model", PROMPT, *FAST, "--adapt-steps", "3"),
            "steps 3 is more than the 2 steps",
        ),
        (("generate", "scene_model", PROMPT, *FAST, "--step-size", "-1"), "step_size -1"),
        (("generate", "scene_model", PROMPT, "--map-size", "8"), "is not HEIGHTxWIDTH"),
        (("generate", "scene_model", PROMPT, "--seed", "7..3"), "neither a number nor a range"),
        (
            ("generate", "scene_model", PROMPT, "--width", "72"),
            "width 72 is no multiple of 16 pixels: take 64 or 80",
        ),
        (("generate", "/nowhere", PROMPT), "/nowhere is no diffusers pipeline"),
        (("compare", "scene_model", "{folder}/empty.txt"), "has no prompts"),
        (
            ("compare", "scene_model", "{folder}/one.txt", "--methods", "plain,sngen"),
            "no method is called 'sngen'",
        ),
        (("compare", "scene_model", "{folder}/one.txt", "--methods", "random"), "ask for both"),
        (("compare", "scene_model", "{folder}/none.txt"), "No such file"),
        (("compare", "scene_model", "{folder}/bytes.txt"), "is not UTF-8 text"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, arguments, message):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "one.txt").write_text(PROMPT)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00red")
    arguments = [one.format(folder=tmp_path) for one in arguments]
    status, _, err = run(capsys, *arguments, "--out", tmp_path / "out")
    assert status == 2, err
    assert message in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("paperworks: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"not a picture", "plain"])
def test_pictures_without_weights_are_refused(tmp_path, capsys, content):
    path = tmp_path / "picture.png"
    if content == "plain":
        Image.new("RGB", (4, 4)).save(path)
    elif content:
        path.write_bytes(content)
    status, _, err = run(capsys, "weights", path)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert str(path) in err


def test_other_pipelines_are_named(tmp_path, capsys):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    status, _, err = run(capsys, "generate", tmp_path, PROMPT, "--out", tmp_path / "out")
    assert status == 2
    assert "is a FluxPipeline: FRAP weighs Stable Diffusion" in err

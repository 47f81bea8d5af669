"""The saved token: what plain diffusers makes of it in a process of its own, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from doubles import Told, darkness
from pipelines import sdxl, stable_diffusion
from safetensors.torch import load_file

from paperworks.counting import CountingToken, optimize
from paperworks.counting.token import fill, without_token
from paperworks.errors import InputError

PROMPT = "a photo of {token} red circles on white"
FAST = {"sampler_steps": 1, "max_steps": 3, "static_scale": 10.0, "learning_rate": 0.05}
ALONE = """
import sys
sys.modules["paperworks"] = None  # it cannot be imported here
import numpy as np, torch
from diffusers import DiffusionPipeline
import safetensors.torch
torch.set_num_threads({threads})  # rounding depends on it
"""
DRAW = """
pipe = DiffusionPipeline.from_pretrained({model!r})
{lines}
image = pipe({prompt!r}, num_inference_steps=2, guidance_scale={guidance}, output_type="pt",
             generator=torch.Generator().manual_seed(35)).images
np.save({out!r}, image.numpy())
"""


def test_diffusers_alone_draws_the_same_picture_from_the_saved_folder(tmp_path):
    script, here = ALONE.format(threads=torch.get_num_threads()), {}
    for kind, pipe, guidance in (("sd", stable_diffusion(), 3.0), ("sdxl", sdxl(), 0.0)):
        token = optimize(pipe, PROMPT, 3, "red circles", darkness, Told(5, 3, 4), **FAST)
        assert token.info["best_step"] == 1
        folder = tmp_path / kind
        token.save(folder / "token")
        pipe.save_pretrained(folder / "model")
        script += DRAW.format(
            model=str(folder / "model"), lines="\n".join(token.loading_lines(folder / "token")), guidance=guidance,
            prompt=token.written_into(PROMPT), out=str(folder / "alone.npy"),
        )  # fmt: skip
        with CountingToken.load(folder / "token").placed(pipe) as view:
            here[kind] = view(
                token.written_into(PROMPT), num_inference_steps=2, guidance_scale=guidance, output_type="pt",
                generator=torch.Generator().manual_seed(35),
            ).images  # fmt: skip
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    for kind, pictures in here.items():
        assert np.array_equal(np.load(tmp_path / kind / "alone.npy"), pictures.numpy())


def test_the_folder_says_everything_about_the_run(tmp_path):
    pipe = stable_diffusion()
    token = optimize(pipe, PROMPT, 3, "red circles", darkness, Told(5, 4, 4), seed=7, **FAST)
    token.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "after.png", "before.png", "counting.json", "learned_embeds.safetensors", "trajectory.png",
    ]  # fmt: skip
    assert {
        key: tuple(value.shape) for key, value in load_file(tmp_path / "learned_embeds.safetensors").items()
    } == {"<count-3>": (128,)}
    told = json.loads((tmp_path / "counting.json").read_text())
    assert told["counts"] == [3]
    assert told["seeds"] == [7]
    assert told["driver"] == "Told"
    assert told["counter"] == "darkness"
    assert told["images_looked_at"] == len(told["trajectory"]) == 3
    assert told["settings"]["semantic_weight"] == 5.0
    assert told["plain"] == "a photo of red circles on white"
    again = CountingToken.load(tmp_path)
    assert again.names == token.names
    assert again.info == json.loads(json.dumps(token.info))
    assert torch.equal(again.vectors["clip_l"], token.vectors["clip_l"])


def test_sdxl_always_has_both_keys_and_two_kinds_have_two_files(tmp_path):
    pipe = sdxl()
    token = optimize(
        pipe,
        "{token} red circles and {token} blue stars",
        (2, 3),
        ("red circles", "blue stars"),
        darkness,
        Told(3),
        **FAST,
    )
    token.save(tmp_path)
    for name in ("learned_embeds.safetensors", "learned_embeds_2.safetensors"):
        shapes = {key: tuple(value.shape) for key, value in load_file(tmp_path / name).items()}
        assert shapes == {"clip_l": (16,), "clip_g": (24,)}
    again = CountingToken.load(tmp_path)
    assert all(torch.equal(again.vectors[key], token.vectors[key]) for key in ("clip_l", "clip_g"))
    assert len(token.loading_lines("x")) == 6


def test_a_token_for_another_model_is_refused_or_warned_about(tmp_path):
    pipe = stable_diffusion()
    token = optimize(pipe, PROMPT, 3, "red circles", darkness, Told(3), **FAST | {"max_steps": 1})
    with pytest.raises(InputError, match="clip_g"), token.placed(sdxl()):
        pass
    token.vectors = {"clip_l": torch.zeros(1, 1024)}
    with pytest.raises(InputError, match="1024 wide, the model's text encoder 128"), token.placed(pipe):
        pass
    token.vectors = {"clip_l": torch.zeros(1, 128)}
    with pytest.warns(UserWarning, match="another text encoder"), token.placed(stable_diffusion(seed=1)):
        pass


def test_a_folder_without_a_token_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no counting\.json"):
        CountingToken.load(tmp_path)
    (tmp_path / "counting.json").write_text('{"tokens": ["<count-3>"]}')
    with pytest.raises(InputError, match=r"no learned_embeds\.safetensors"):
        CountingToken.load(tmp_path)
    (tmp_path / "learned_embeds.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="damaged"):
        CountingToken.load(tmp_path)
    (tmp_path / "counting.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        CountingToken.load(tmp_path)


def test_slots_are_filled_in_order():
    assert fill("{token} apples and {token} cups", ["a", "b"]) == "a apples and b cups"
    assert without_token("A photo of {token} 10 oranges") == "A photo of 10 oranges"
    with pytest.raises(InputError, match=r"1 times \{token\}"):
        fill("{token} apples", ["a", "b"])

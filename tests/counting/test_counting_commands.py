"""The commands on a small random model: what they write, print and refuse, and that a stopped run goes on."""

import json

import numpy as np
import pytest
from command_line import command
from doubles import Steps, Told, darkness
from PIL import Image
from pipelines import stable_diffusion

from paperworks.counting import commands

drives, judges = Steps(0.1), Steps(0.07)
judges.name = "finer steps"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    stable_diffusion().save_pretrained(folder)
    return str(folder)


counting = command("counting")


def learning(model, out, **change):
    given = {
        "prompt": "a photo of {token} red circles", "count": 3, "name": "red circles", "counter":
        "test_counting_commands:darkness",
        "driver": "test_counting_commands:drives", "steps": 3, "static-scale": 10, "out": out, "pictures": 2,
    } | change  # fmt: skip
    return [
        "optimize",
        model,
        *(part for key, value in given.items() if value is not None for part in (f"--{key}", value)),
    ]


def test_learn_show_evaluate_and_reuse(model, tmp_path, capsys):
    out = tmp_path / "three"
    status, told, _ = counting(capsys, *learning(model, out))
    assert status == 0
    assert "2 plain pictures are right" in told
    assert f'pipe.load_textual_inversion("{out}")' in told
    assert sorted(path.name for path in out.iterdir()) == [
        "after.png", "before.png", "counting.json", "gallery.html", "learned_embeds.safetensors", "trajectory.png",
    ]  # fmt: skip
    page = (out / "gallery.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "driver counts" in page
    assert np.asarray(Image.open(out / "after.png")).shape == (64, 64, 3)

    status, told, _ = counting(capsys, "show", out)
    assert status == 0
    assert "steps of darkness" in told
    assert told.count("←") == 1
    status, told, _ = counting(capsys, "show", out, "--json")
    assert len(json.loads(told)["trajectory"]) == 3

    arguments = [
        "evaluate",
        model,
        "--token",
        out,
        "--judge",
        "test_counting_commands:judges",
        "--seeds",
        2,
        "--out",
        tmp_path / "r.html",
    ]
    status, told, _ = counting(
        capsys,
        *arguments,
        "--counter",
        "test_counting_commands:darkness",
        "--driver",
        "test_counting_commands:drives",
    )
    assert status == 0
    assert "judge: finer steps; driver: steps of darkness; counter: darkness; 3 pictures looked at" in told
    assert "random tokens" in told
    assert (tmp_path / "r.html").read_text().count("judge counts") == 4
    status, told, _ = counting(capsys, *arguments, "--json")
    assert json.loads(told)["verdict"] in ("better", "worse", "no difference")
    status, told, _ = counting(
        capsys, "evaluate", model, "--token", out, "--judge", "test_counting_commands:drives", "--seeds", 2
    )
    assert "not independent" in told
    assert "void" in told

    (tmp_path / "prompts.txt").write_text("a photo of {token} blue stars\n\n{token} squares on grey\n")
    status, told, _ = counting(
        capsys, "reuse", model, "--token", out, "--prompts", tmp_path / "prompts.txt", "--seeds", 2, "--out",
        tmp_path / "drawn",
        "--judge", "test_counting_commands:judges", "--json",
    )  # fmt: skip
    assert status == 0
    found = json.loads(told)["pictures"]
    assert [one["file"] for one in found] == ["001_1000.png", "001_1001.png", "002_1000.png", "002_1001.png"]
    picture = np.asarray(Image.open(tmp_path / "drawn" / "002_1001.png"))
    assert found[3]["counts"] == judges(picture[None], ["red circles"]).tolist()
    assert (tmp_path / "drawn" / "gallery.html").is_file()


def test_json_is_all_that_is_printed(model, tmp_path, capsys):
    status, told, _ = counting(capsys, *learning(model, tmp_path / "out"), "--json")
    assert status == 0
    assert json.loads(told)["tokens"] == ["<count-3>"]


class Stops(Told):
    """A driver at which somebody presses Ctrl-C, once."""

    pressed = False

    def __call__(self, pictures, names):
        if self.calls == 3 and not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return super().__call__(pictures, names)


stops = Stops(6, 5, 4, 5, 2)


def test_ctrl_c_keeps_the_best_and_the_same_command_goes_on(model, tmp_path, capsys):
    arguments = learning(model, tmp_path / "out", driver="test_counting_commands:stops", steps=5, pictures=0)
    status, _, _ = counting(capsys, *arguments)
    assert status == 130
    kept = json.loads((tmp_path / "out" / "counting.json").read_text())
    assert (kept["stopped"], kept["best_step"], len(kept["trajectory"])) == ("interrupted", 2, 3)
    assert (tmp_path / "out" / "state.pt").is_file()
    status, _, _ = counting(capsys, *arguments)
    assert status == 0
    kept = json.loads((tmp_path / "out" / "counting.json").read_text())
    assert (kept["stopped"], len(kept["trajectory"])) == ("max_steps", 5)
    assert not (tmp_path / "out" / "state.pt").exists()
    status, _, error = counting(capsys, *arguments)
    assert (status, "holds a token already" in error) == (2, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "integer from 1"),
        ({"prompt": "red circles"}, "'A photo of {token} 10 oranges'"),
        ({"prompt": "red " * 40 + "{token}"}, "cut off"),
        ({"init-word": "triangle"}, "2 tokens"),
        ({"driver": None}, "--driver"),
        ({"driver": "nowhere/at-all"}, "detector"),
        ({"driver": "test_counting_commands:nothing"}, "package.module:name"),
        ({"counter": "nothing"}, "package.module:name"),
        ({"sampler-steps": 9}, "--force"),
        ({"scale": "some"}, "dynamic or static"),
    ],
)
def test_bad_input_is_one_line_with_status_two_and_writes_nothing(
    model, tmp_path, capsys, change, message, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, _, error = counting(capsys, *learning(model, tmp_path / "out", **change))
    last = [line for line in error.splitlines() if line.startswith("paperworks:")]
    assert status == 2
    assert len(last) == 1
    assert message in last[0]
    assert not (tmp_path / "out").exists()


def test_what_is_no_pipeline_or_token_is_refused(model, tmp_path, capsys):
    assert counting(capsys, *learning(str(tmp_path), tmp_path / "out"))[0] == 2
    status, _, error = counting(capsys, "show", tmp_path)
    assert (status, "counting.json" in error) == (2, True)
    status, _, error = counting(capsys, "evaluate", model, "--token", tmp_path, "--judge", "palette")
    assert (status, "counting.json" in error) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_shipped_counters_have_names(model):
    assert commands.load_detector("palette", 0.3, "cpu").name == "palette"
    assert commands.load_counter("test_counting_commands:darkness", None).__name__ == darkness.__name__

"""The commands from `make` to `compare`, on a small benchmark and a server on loopback."""

import json

import pytest
from command_line import command
from loopback import Server, fails, says
from PIL import Image

from paperworks.grab import commands

grab = command("grab")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twelve questions of lines, saved."""
    out = tmp_path_factory.mktemp("grab") / "set"
    commands.app(
        args=["make", "--seed", "3", "--task", "function", "--property", "gradient", "--property", "y-intercept",
              "--complexity", "0-2", "--count", "6", "--jobs", "1", "--out", str(out)],
        standalone_mode=False,
    )  # fmt: skip
    return out


def test_make_again_gives_the_same_files(made, tmp_path, capsys):
    again = tmp_path / "again"
    status, told, _ = grab(
        capsys, "make", "--seed", 3, "--task", "functions", "--property", "gradient", "--property", "y-intercept",
        "--complexity", "0,1,2", "--count", 6, "--jobs", 2, "--out", again, "--json",
    )  # fmt: skip
    assert status == 0
    assert json.loads(told)["items"] == 12
    names = sorted(str(file.relative_to(made)) for file in made.rglob("*") if file.is_file())
    assert names == sorted(str(file.relative_to(again)) for file in again.rglob("*") if file.is_file())
    assert all((made / name).read_bytes() == (again / name).read_bytes() for name in names)
    assert grab(capsys, "verify", made, "--jobs", 1)[:2] == (0, "0 problems in 12 items\n")


def test_verify_finds_what_was_changed(made, tmp_path, capsys):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(made, broken)
    picture = sorted((broken / "images").iterdir())[4]
    with Image.open(picture) as image:
        changed = image.convert("RGB")
    changed.paste((0, 0, 0), (100, 100, 200, 200))
    changed.save(picture)
    status, told, _ = grab(capsys, "verify", broken, "--jobs", 1)
    assert status == 1
    assert picture.stem in told


def test_look_shows_an_item_and_sheets(made, tmp_path, capsys):
    first = json.loads((made / "items.jsonl").read_text().splitlines()[0])
    status, told, _ = grab(capsys, "look", made, "--out", tmp_path / "one.png")
    assert status == 0
    assert first["question"] in told
    assert f"answer {first['answer']} " in told
    assert Image.open(tmp_path / "one.png").size == tuple(first["spec"]["style"]["size"])
    assert grab(capsys, "look", made, "--id", 4, "--sheet", 4, "--out", tmp_path / "sheet.png")[0] == 0
    assert Image.open(tmp_path / "sheet.png").width > 1000
    for wrong in ("12", "series-mean-0001"):
        status, _, told = grab(capsys, "look", made, "--id", wrong)
        assert status == 2
        assert "no item" in told


def test_run_score_and_compare(made, tmp_path, capsys):
    items = [json.loads(line) for line in (made / "items.jsonl").read_text().splitlines()]
    answers = {(made / item["image"]).read_bytes(): item["answer"] for item in items}

    def wordy(asked):
        return says(f"The value is **{answers[asked.image]}**.")

    status, _, _ = grab(capsys, "run", made, "--reader", "--out", tmp_path / "reader")
    assert status == 0
    with Server(wordy) as server:
        status, told, _ = grab(
            capsys, "run", made, "--endpoint", server.url, "--model", "m", "--out", tmp_path / "run", "--json"
        )
        assert status == 0
        assert json.loads(told)["stop"] == 12
        grab(capsys, "run", made, "--endpoint", server.url, "--model", "m", "--out", tmp_path / "run")
        assert len(server.asked) == 12
    status, told, _ = grab(capsys, "score", tmp_path / "run", "--against", tmp_path / "reader")
    assert status == 0
    assert told.count(" 0.0 %") >= 2
    page = tmp_path / "report.html"
    status, told, _ = grab(
        capsys, "score", tmp_path / "run", "--extract", "regex", "--report", page, "--by", "property", "--json",
        "--against", tmp_path / "reader",
    )  # fmt: skip
    assert status == 0
    whole = json.loads(told)["tables"][0]["lines"][0]
    assert whole["accuracy"] == 1.0
    assert whole["ceilings"]["pixel-reader"] >= 0.8
    assert page.read_text().startswith("<!doctype html>")
    first = (tmp_path / "run/scores.json").read_bytes()
    grab(capsys, "score", tmp_path / "run", "--extract", "regex", "--against", tmp_path / "reader")
    assert (tmp_path / "run/scores.json").read_bytes() == first
    status, told, _ = grab(capsys, "compare", tmp_path / "run", tmp_path / "reader", "--json")
    found = json.loads(told)
    assert found["n"] == 12
    assert found["only_first"] == 0
    assert found["only_second"] >= 9


def test_a_budget_ends_with_status_3_and_goes_on(made, tmp_path, capsys):
    with Server(lambda asked: says("1", usage=(1000, 100))) as server:
        command = [
            "run",
            made,
            "--endpoint",
            server.url,
            "--model",
            "m",
            "--out",
            tmp_path / "run",
            "--price",
            "1000,1000",
        ]
        status, _, told = grab(capsys, *command, "--budget", "8", "--concurrency", "2")
        assert status == 3
        assert "stopped" in told
        before = len(server.asked)
        assert 0 < before < 12
        assert grab(capsys, *command)[0] == 0
        assert len(server.asked) == 12


def test_bad_input_is_one_line_and_writes_nothing(made, tmp_path, capsys):
    out = tmp_path / "out"
    with Server(lambda asked: fails(401, "no such key")) as server:
        cases = {
            ("make", "--task", "pies", "--out", out): "pies",
            ("make", "--complexity", "0-x", "--out", out): "0-x",
            ("make", "--complexity", "12", "--out", out): "12",
            ("make", "--property", "mood", "--out", out): "mood",
            ("make", "--degrade", "rain", "--out", out): "rain",
            ("make", "--out", made): "already",
            ("run", made, "--out", out): "--endpoint",
            ("run", made, "--reader", "--prior", "zero", "--out", out): "--reader and --prior",
            ("run", made, "--endpoint", server.url, "--out", out): "--model",
            ("run", made, "--endpoint", server.url, "--model", "m", "--budget", "1", "--out", out): "price",
            ("run", made, "--endpoint", server.url, "--model", "m", "--price", "1", "--out", out): "--price",
            ("run", tmp_path / "nothing", "--reader", "--out", out): "nothing",
            ("score", tmp_path): "run.json",
            ("run", made, "--local", tmp_path / "no-model", "--out", out): "no such folder",
        }
        for arguments, word in cases.items():
            status, _, told = grab(capsys, *arguments)
            assert (status, len(told.strip().splitlines())) == (2, 1), (arguments, told)
            assert word in told, (arguments, told)
            assert not out.exists()
        status, _, told = grab(capsys, "run", made, "--endpoint", server.url, "--model", "m", "--out", out)
        assert status == 2
        assert "no such key" in told


def test_the_published_table(capsys):
    status, told, _ = grab(capsys, "published", "--json")
    assert status == 0
    assert len(json.loads(told)) == 20
    assert "Claude 3.5 Sonnet" in grab(capsys, "published")[1]


def test_a_ladder_says_which_question_fails_first(tmp_path, capsys):
    made = tmp_path / "ladder"
    status, _, told = grab(
        capsys, "make", "--task", "function", "--property", "gradient", "--complexity", "0-2", "--count", 6,
        "--ladder", "--jobs", 1, "--out", made,
    )  # fmt: skip
    assert status == 0
    items = [json.loads(line) for line in (made / "items.jsonl").read_text().splitlines()]
    ladders = len(items) // 5
    assert len(items) == 5 * ladders >= 20
    assert grab(capsys, "verify", made, "--jobs", 1)[0] == 0
    answers = {}
    for item in items:
        fails = item["property"] == "ladder-value" and item["complexity"] > 0
        answers[item["question"], (made / item["image"]).read_bytes()] = "99" if fails else item["answer"]

    def behave(asked):
        return says(
            next(
                text
                for (question, image), text in answers.items()
                if image == asked.image and question in asked.text
            )
        )

    with Server(behave) as server:
        grab(capsys, "run", made, "--endpoint", server.url, "--model", "m", "--out", tmp_path / "run")
    status, told, _ = grab(capsys, "score", tmp_path / "run")
    easy = sum(item["complexity"] == 0 for item in items) // 5
    assert f"0 limits, 0 count, {ladders - easy} value, 0 colour, 0 mean, {easy} none" in told
    status, _, told = grab(
        capsys, "make", "--task", "series", "--count", 1, "--ladder", "--out", tmp_path / "none"
    )
    assert (status, (tmp_path / "none").exists()) == (2, False)
    assert "--task function" in told

import json
import subprocess
import sys
import time

import pytest

from paperworks import cli
from paperworks.catalogue import METHODS, find_method
from paperworks.errors import InputError

HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "transformers", "pydantic", "jinja2", "pyarrow")


def paperworks(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paperworks", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from paperworks.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "print(sorted(n for n in sys.modules if n.startswith('paperworks')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    heavy, own = done.stderr.strip().splitlines()
    assert heavy == "[]"
    built = [method.name for method in METHODS if method.built]
    ground = ("cli", "catalogue", "errors", "lazy", "progress")
    expected = {"paperworks", *(f"paperworks.{name}" for name in ground)}
    expected |= {"paperworks.papers", "paperworks.papers.commands", "paperworks.papers.publish_commands"}
    expected |= {f"paperworks.{name}{part}" for name in built for part in ("", ".commands")}
    assert set(eval(own)) == expected
    for command in ("list", "doctor", "reproduce", "page", "site", "send", "minitron", "backward-compatible"):
        assert command in done.stdout


def test_the_page_never_imports_torch():
    code = (
        "import sys, paperworks.papers as p\n"
        "p.render_html(p.load_page('2024-08-22'))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_list_shows_all_eleven_methods():
    rows = json.loads(paperworks("list", "--json").stdout)
    assert len(rows) == 11
    assert len({row["paper"] for row in rows}) == 11
    by_name = {row["method"]: row for row in rows}
    assert by_name["backward_compatible"]["built"]
    shown = paperworks("list").stdout
    assert all(method.paper in shown for method in METHODS)


def test_doctor_names_versions_and_devices():
    checks = {check["name"]: check for check in json.loads(paperworks("doctor", "--json").stdout)}
    assert checks["python"]["ok"]
    assert checks["cpu"]["found"]
    assert all(check["cure"] for check in checks.values() if not check["ok"])


def test_doctor_says_how_to_get_what_is_missing_or_too_old():
    from packaging.requirements import Requirement

    from paperworks.overview import _package

    absent = _package(Requirement("no-such-package>=1"), "ray")
    assert (absent.ok, absent.cure) == (False, "pip install --upgrade 'paperworks[ray]'")
    old = _package(Requirement("numpy>=999"), "")
    assert not old.ok
    assert ">=999" in old.found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reproduce", "minitronn"), ("minitronn", "choose from")),
        (("reproduce", "--only", "keeps-compatibilty"), ("did you mean keeps-compatibility",)),
        (("reproduce", "--scale", "huge"), ("huge", "small or full")),
        (("reproduce", "--lang", "xx"), ("xx",)),
        (("reproduce", "--device", "warp"), ("warp", "--device auto")),
        (("reproduce", "--out", "/proc/nowhere"), ("/proc/nowhere", "--out")),
        (("page", "2031-01-01"), ("2031-01-01", "in the future")),
        (("check", "missing.md"), ("missing.md",)),
        (("page", "missing.md"), ("missing.md",)),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words, tmp_path):
    done = paperworks(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words)
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(tmp_path):
    done = paperworks("page", "missing.md", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_an_unknown_command_is_status_2():
    assert paperworks("reprodcue").returncode == 2


def test_a_defect_of_ours_is_one_line_and_status_1(capsys):
    assert cli.explain(TypeError("oh\nno")) == 1
    assert capsys.readouterr().err == "paperworks: unexpected TypeError: oh no (--debug shows where)\n"
    assert cli.explain(InputError("bad")) == 2


def test_methods_are_found_by_either_name():
    assert find_method("backward-compatible") is find_method("backward_compatible")


@pytest.mark.full
def test_help_answers_within_three_tenths_of_a_second():
    paperworks("--help")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        paperworks("--help")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3

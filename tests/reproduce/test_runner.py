import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paperworks.claims import claims_of
from paperworks.reproduce.runner import run_claims
from paperworks.reproduce.store import Settings, Store, evidence_key


def run(module, names, folder, **options):
    chosen = [claim for claim in claims_of(module) if claim.id in names]
    assert len(chosen) == len(names)
    settings = options.pop("settings", Settings())
    results = run_claims(chosen, Store(folder), settings, **options)
    return {claim.id: (record, crashed) for claim, record, crashed in results}


def test_the_engine_says_yes_and_no(experiments, tmp_path):
    names = ["true-claim", "false-claim", "useless-claim", "nan-claim", "nan-control"]
    results = run(experiments, names, tmp_path)
    verdicts = {name: record["verdict"] for name, (record, _) in results.items()}
    assert verdicts == dict(zip(names, ["holds", "fails", "void", "fails", "void"], strict=True))
    assert results["useless-claim"][0]["control"]["meets"] is True
    assert results["nan-claim"][0]["measured"]["value"] is None
    assert not any(crashed for _, crashed in results.values())


def test_a_crash_is_a_row_that_says_so_and_the_others_go_on(experiments, tmp_path):
    causes = {
        "raising-claim": "the model exploded",
        "killed-claim": "SIGSEGV",
        "wrong-type": "int",
        "unjudgeable-claim": "KeyError",
    }
    results = run(experiments, [*causes, "true-claim"], tmp_path)
    for name, cause in causes.items():
        record, crashed = results[name]
        assert crashed
        assert record["verdict"] == "skipped"
        assert cause in record["reason"]
    assert results["true-claim"][0]["verdict"] == "holds"
    assert "before the end" in next((tmp_path / "logs").glob("*raising-claim.log")).read_text()
    assert not list((tmp_path / "evidence").glob("*raising*"))


def test_a_timeout_is_a_row_and_leaves_no_process(experiments, tmp_path):
    record, crashed = run(experiments, ["endless-claim"], tmp_path, timeout=3)["endless-claim"]
    assert crashed
    assert "timed out after 3 s" in record["reason"]
    assert not processes_of(tmp_path)


def processes_of(folder: Path) -> list[str]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = command.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text and "paperworks.reproduce.worker" in text:
            found.append(text)
    return found


def test_a_missing_piece_is_named(experiments, tmp_path):
    record, crashed = run(experiments, ["missing-claim"], tmp_path)["missing-claim"]
    assert (record["verdict"], crashed) == ("skipped", False)
    assert record["reason"] == "the data set CIFAR-100 is not on this machine"


def test_what_is_measured_is_kept_until_code_parameters_or_expectation_change(
    experiments, tmp_path, monkeypatch
):
    count = tmp_path / "count"
    monkeypatch.setenv("COUNT_FILE", str(count))

    def runs(**options):
        run(experiments, ["counting-claim"], tmp_path / "out", **options)
        return len(count.read_text().splitlines())

    assert runs() == 1
    assert runs() == 1
    assert runs(settings=Settings(seed=1)) == 2
    assert runs(settings=Settings(seed=1)) == 2
    assert runs(settings=Settings(seed=1), fresh=True) == 3
    source = Path(experiments.__file__)
    source.write_text(source.read_text() + "\n# another line\n")
    assert runs(settings=Settings(seed=1)) == 4


def test_the_key_changes_with_the_expectation_and_the_settings(experiments):
    first, second = experiments.true_claim, experiments.false_claim
    keys = {
        evidence_key(first, Settings()),
        evidence_key(second, Settings()),
        evidence_key(first, Settings(seed=1)),
        evidence_key(first, Settings(scale="full")),
        evidence_key(first, Settings(device="cuda")),
    }
    assert len(keys) == 5
    assert evidence_key(first, Settings()) in keys


def test_the_same_seed_gives_the_same_numbers(experiments, tmp_path):
    once = run(experiments, ["seeded-claim"], tmp_path / "a")["seeded-claim"][0]
    again = run(experiments, ["seeded-claim"], tmp_path / "b")["seeded-claim"][0]
    other = run(experiments, ["seeded-claim"], tmp_path / "c", settings=Settings(seed=5))["seeded-claim"][0]
    assert once["measured"] == again["measured"]
    assert once["measured"]["value"] != other["measured"]["value"]
    assert other["seed"] == 5


def test_the_evidence_file_has_the_documented_fields(experiments, tmp_path):
    run(experiments, ["true-claim", "drawing-claim"], tmp_path)
    record = json.loads((tmp_path / "evidence/some_experiments.true-claim.json").read_text())
    assert record["format"] == "paperworks.evidence/1"
    assert {"id", "method", "paper", "highlight", "reported", "expects", "control"} <= set(record["claim"])
    assert record["measured"] | {"value": 2.25, "unit": "x", "n": 2} == record["measured"]
    assert record["control"]["value"] == 1.0
    assert record["control"]["meets"] is False
    assert record["table"] == {"columns": ["a"], "rows": [[1.0]], "caption": ""}
    assert record["seconds"] > 0
    assert record["versions"]["numpy"]
    for name in ("verdict", "reason", "baseline", "figures", "seed", "scale"):
        assert name in record
    drawn = json.loads((tmp_path / "evidence/some_experiments.drawing-claim.json").read_text())
    assert drawn["figures"] == ["some_experiments.drawing-claim.line.png"]
    assert (tmp_path / "figures" / drawn["figures"][0]).read_bytes().startswith(b"\x89PNG")


def test_evidence_whose_figure_was_deleted_is_measured_again(experiments, tmp_path):
    run(experiments, ["drawing-claim"], tmp_path)
    figure = tmp_path / "figures/some_experiments.drawing-claim.line.png"
    figure.unlink()
    run(experiments, ["drawing-claim"], tmp_path)
    assert figure.is_file()


def test_progress_reaches_the_caller(experiments, tmp_path):
    seen = []
    run(experiments, ["true-claim"], tmp_path, on_progress=lambda claim, *step: seen.append(step))
    assert seen == [(1, 2, "half")]


def test_a_damaged_evidence_file_is_measured_again(experiments, tmp_path):
    run(experiments, ["true-claim"], tmp_path)
    path = tmp_path / "evidence/some_experiments.true-claim.json"
    path.write_text(path.read_text()[:100])
    assert run(experiments, ["true-claim"], tmp_path)["true-claim"][0]["verdict"] == "holds"
    assert json.loads(path.read_text())["verdict"] == "holds"


SCRIPT = """
import sys
import some_experiments as module
from pathlib import Path
from paperworks.claims import claims_of
from paperworks.reproduce.runner import run_claims
from paperworks.reproduce.store import Settings, Store
chosen = [claim for claim in claims_of(module) if claim.id in ("true-claim", "endless-claim")]
try:
    for claim, record, crashed in run_claims(chosen, Store(Path(sys.argv[1])), Settings(), jobs=1):
        print(claim.id, flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_ctrl_c_keeps_what_is_finished_and_ends_the_rest(experiments, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "true-claim\n"
    for _ in range(100):
        if processes_of(tmp_path):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "stopped\n"
    assert process.wait(timeout=20) == 0
    assert not processes_of(tmp_path)
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == ["some_experiments.true-claim.json"]
    again = run(experiments, ["true-claim"], tmp_path)
    assert again["true-claim"][0]["verdict"] == "holds"


def test_all_claims_of_the_catalogue_are_well_declared():
    pytest.importorskip("torch")
    from paperworks.catalogue import METHODS

    for method in METHODS:
        claims = method.claims()
        assert len({claim.id for claim in claims}) == len(claims)
        for claim in claims:
            assert (claim.method, claim.paper) == (method.name, method.paper)
            assert claim.highlight
            assert claim.reported
            assert claim.expects
            assert claim.control
            assert {"highlight", "expects", "control"} <= set(claim.translations.get("ko", {}))


def test_a_method_stands_on_what_its_room_imports_and_on_no_other():
    from paperworks.reproduce import store

    root = Path(store.__file__).parents[1]
    files = store._imported(list((root / "counting").glob("*.py")))
    found = {str(file.relative_to(root)) for file in files}
    assert {
        "counting/claims.py",
        "claims.py",
        "sampling.py",
        "tiny/palette.py",
        "tiny/scene_model.py",
    } <= found
    assert any(name.startswith("tiny/scene_model/") and name.endswith(".safetensors") for name in found)
    assert not any(name.startswith(("frap/", "minitron/", "tiny/document", "tiny/code")) for name in found)
    assert "cli.py" not in found

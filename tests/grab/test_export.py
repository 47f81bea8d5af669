"""Exports: the other harnesses read them, and their scorers give what ours give."""

import ast
import base64
import csv
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import FakeBench, Server, number, says
from PIL import Image
from stored_responses import stored_responses

from paperworks.errors import InputError
from paperworks.grab import answers
from paperworks.grab.export import FORMATS, TSV_NAME, export
from paperworks.grab.exports import standalone as inliner
from paperworks.grab.exports.standalone import standalone
from paperworks.grab.prompts import PROMPTS

HERE = Path(__file__).parent
SCORERS = {"lmms-eval": "utils.py", "inspect": "grab.py", "vlmevalkit": "score.py"}


@pytest.fixture(scope="module")
def bench():
    return FakeBench(12)


@pytest.fixture(scope="module")
def exported(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for to in FORMATS:
        export(bench, to, folder / to)
    return folder


def ours(row, method):
    """Our scores of a stored response."""
    said = answers.extract(row["text"], method, kind=answers.kind_of(row["answer"]))
    return {name: answers.score(name, said, row["answer"], row["quantum"]) for name in answers.SCORES}


def ours_by_name(row):
    """Our scores under the names of the exports that give both extractions at once."""
    return ours(row, "none") | {f"regex_{name}": value for name, value in ours(row, "regex").items()}


def without_packages(code, *arguments, given=None):
    """What a Python prints that has the standard library alone."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *map(str, arguments)],
        input=None if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what every export holds


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_says_how_to_run_it_and_has_no_placeholder_left(exported, to):
    readme = (exported / to / "README.md").read_text()
    assert "12 questions, prompt `official`" in readme
    assert str(exported / to) in readme
    assert not re.search(r"\{[a-z]+\}", readme)


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_gives_its_files(bench, tmp_path, to):
    files = export(bench, to, tmp_path / "new" / "out")
    assert files == sorted((tmp_path / "new" / "out").iterdir())
    assert {"README.md", SCORERS[to]} <= {file.name for file in files}


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_of_paperworks_is_imported_by_an_exported_file(exported, to):
    tree = ast.parse((exported / to / SCORERS[to]).read_text())
    modules = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    others = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert others <= {"inspect": {"inspect_ai"}, "lmms-eval": set(), "vlmevalkit": {"openpyxl"}}[to]


def test_all_exports_have_the_same_scoring_functions(exported):
    def functions(to):
        text = (exported / to / SCORERS[to]).read_text()
        body = ast.parse(text).body
        return {
            node.name: ast.unparse(node) for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }

    found = [functions(to) for to in FORMATS]
    for name in ("extract", "score", "Equation", "parse_equation", "kind_of"):
        assert len({one[name] for one in found}) == 1
    ours = {
        node.name: ast.unparse(node)
        for node in ast.parse(Path(answers.__file__).read_text()).body
        if hasattr(node, "name")
    }
    assert found[0]["extract"] == ours["extract"]


def test_another_prompt_is_exported_with_its_length(bench, tmp_path):
    export(bench, "inspect", tmp_path / "i", prompt="reason")
    stored = json.loads((tmp_path / "i" / "grab.json").read_text())
    assert (stored["prompt"], stored["max_tokens"]) == (PROMPTS["reason"].template, 8192)
    export(bench, "vlmevalkit", tmp_path / "v", prompt="reason")
    rows = read_tsv(tmp_path / "v")
    assert rows[0]["question"] == PROMPTS["reason"].text(bench[0].question)


def test_progress_is_told(bench, tmp_path):
    seen = []
    export(
        bench, "vlmevalkit", tmp_path / "v", progress=lambda done, total, id: seen.append((done, total, id))
    )
    assert [done for done, _, _ in seen] == list(range(1, 13))
    assert seen[-1] == (12, 12, bench[11].id)


# --- lmms-eval

CALLS_LMMS = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("utils", sys.argv[1])  # as lmms-eval does: not in sys.modules
utils = importlib.util.module_from_spec(spec)
spec.loader.exec_module(utils)
rows = json.load(sys.stdin)
print(json.dumps([utils.process_results({"task": "series", **row}, [row["text"]]) for row in rows]))
"""


def test_the_scores_of_lmms_eval_are_ours_on_200_responses(exported):
    rows = stored_responses(200)
    assert len({(row["text"], row["answer"]) for row in rows}) > 180
    found = json.loads(without_packages(CALLS_LMMS, exported / "lmms-eval" / "utils.py", given=rows))
    expected = [ours_by_name(row) for row in rows]
    assert [{name: scores[name] for name in expected[0]} for scores in found] == expected
    assert all(scores["exact_series"] == scores["exact"] for scores in found)
    shares = {name: sum(scores[name] or 0 for scores in expected) / 200 for name in expected[0]}
    assert 0.05 < shares["exact"] < shares["numeric"] < shares["regex_numeric"] < 0.95


def load_yaml(path):
    yaml = pytest.importorskip("yaml")

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: ("function", loader.construct_scalar(node)))
    return yaml.load(path.read_text(), Loader)


def test_the_task_of_lmms_eval_has_its_keys_and_functions_and_finds_its_data(bench, exported):
    task = load_yaml(exported / "lmms-eval" / "grab.yaml")
    assert task["task"] == "grab"
    assert (task["output_type"], task["test_split"], task["doc_to_target"]) == (
        "generate_until",
        "test",
        "answer",
    )
    assert task["dataset_kwargs"] == {"load_from_disk": True}
    assert task["generation_kwargs"] == {
        "max_new_tokens": 100,
        "temperature": 0,
        "do_sample": False,
        "until": [],
    }
    assert task["metadata"] == {"version": 1.0}
    utils = exported / "lmms-eval" / "utils.py"
    spec = importlib.util.spec_from_file_location("utils", utils)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    named = [task[key] for key in ("doc_to_visual", "doc_to_text", "process_results")]
    named += [metric["aggregation"] for metric in task["metric_list"] if metric["aggregation"] != "mean"]
    for kind, name in named:
        assert kind == "function"
        assert callable(getattr(module, name.removeprefix("utils.")))

    datasets = pytest.importorskip("datasets")
    data = datasets.load_from_disk(task["dataset_path"])["test"]
    assert data["pid"] == [item.id for item in bench]
    assert data["quantum"] == [item.quantum for item in bench]
    around = task["lmms_eval_specific_kwargs"]["default"]
    metrics = set()
    for doc, item in zip(data, bench, strict=True):
        assert module.doc_to_text(doc, around) == PROMPTS["official"].text(item.question)
        (picture,) = module.doc_to_visual(doc)
        assert picture.tobytes() == bench.image(item).tobytes()
        metrics |= set(module.process_results(doc, [doc["answer"]]))
    assert {metric["metric"] for metric in task["metric_list"]} == metrics
    assert module.median_error([None, 3.0, 1.0, 2.0]) == 2.0
    assert module.median_error([None]) is None


@pytest.mark.skipif(
    "PAPERWORKS_LMMS_EVAL_PYTHON" not in os.environ, reason="no Python with lmms-eval is named"
)
def test_lmms_eval_runs_the_task_against_an_endpoint(bench, exported, tmp_path):
    with Server(lambda asked: says(f"**{number(asked.text) % 7 - 3}**")) as server:
        command = [
            "-m",
            "lmms_eval",
            "--include_path",
            exported / "lmms-eval",
            "--tasks",
            "grab",
            "--model",
            "openai",
        ]
        command += [
            "--model_args",
            f"model_version=m,base_url={server.url},api_key=none",
            "--batch_size",
            "1",
        ]
        command += ["--output_path", tmp_path, "--log_samples"]
        program = os.environ["PAPERWORKS_LMMS_EVAL_PYTHON"]
        done = subprocess.run([program, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.rglob("*_results.json")
    found = json.loads(results.read_text())["results"]["grab"]
    assert found["exact,none"] == 0.0
    assert found["regex_exact,none"] == 1.0
    assert found["regex_error_in_quanta,none"] == 0.0
    assert len(server.asked) == 12


# --- inspect_ai


def test_the_questions_of_inspect_are_the_benchmark(bench, exported):
    stored = json.loads((exported / "inspect" / "grab.json").read_text())
    assert [item["id"] for item in stored["items"]] == [item.id for item in bench]
    for row, item in zip(stored["items"], bench, strict=True):
        assert (row["question"], row["answer"], row["quantum"]) == (item.question, item.answer, item.quantum)
        with Image.open(exported / "inspect" / row["image"]) as picture:
            assert picture.convert("RGB").tobytes() == bench.image(item).tobytes()
    assert stored["prompt"] == PROMPTS["official"].template


def inspect_python():
    if named := os.environ.get("PAPERWORKS_INSPECT_PYTHON"):
        return named
    return sys.executable if importlib.util.find_spec("inspect_ai") else None


@pytest.fixture(scope="module")
def inspected(bench, exported):
    """What inspect_ai found: the stored responses judged, and the task evaluated against an endpoint."""
    if inspect_python() is None:
        pytest.skip("inspect_ai is not installed; name a Python that has it in PAPERWORKS_INSPECT_PYTHON")

    def behave(asked):
        n = number(asked.text)
        assert asked.text == PROMPTS["official"].text(bench[n].question)
        picture = Image.open(io.BytesIO(asked.image)).convert("RGB")
        assert picture.tobytes() == bench.image(bench[n]).tobytes()
        answer = bench[n].answer
        kinds = (
            says(answer),
            says(f"The answer is {answer}."),
            says("It ri", finish="length"),
            says(f"**{answer}.0**"),
        )
        return kinds[n % 4] if n != 11 else says(None, finish="content_filter")

    rows = stored_responses(200)
    with Server(behave) as server:
        done = subprocess.run(
            [inspect_python(), HERE / "inspect_run.py", exported / "inspect", server.url],
            input=json.dumps([*rows, rows[0] | {"stopped": "max_tokens"}]),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"asked": server.asked}


def test_the_scores_of_inspect_are_ours_on_200_responses(inspected):
    for row, found in zip(stored_responses(200), inspected["stored"], strict=False):
        assert found == [ours(row, method) | {"answered": 1.0} for method in ("none", "regex")]
    cut_off = inspected["stored"][200]
    assert cut_off == [dict.fromkeys(answers.SCORES) | {"answered": 0.0}] * 2


def test_inspect_runs_the_task_against_an_endpoint(bench, inspected):
    assert inspected["status"] == "success"
    assert len(inspected["samples"]) == len(inspected["asked"]) == 12
    items = {item.id: item for item in bench}
    for sample in inspected["samples"]:
        item, n = items[sample["id"]], number(items[sample["id"]].question)
        row = {"text": sample["text"], "answer": item.answer, "quantum": item.quantum}
        unanswered = n % 4 == 2 or n == 11
        assert (sample["stopped"] in ("max_tokens", "content_filter")) == unanswered
        for method, scores in zip(("none", "regex"), sample["scores"], strict=True):
            own = dict.fromkeys(answers.SCORES) if unanswered else ours(row, method)
            assert scores == own | {"answered": float(not unanswered)}
    metrics = inspected["metrics"]
    assert metrics["as_said/exact"]["mean"] == pytest.approx(3 / 8)
    assert metrics["extracted/exact"]["mean"] == pytest.approx(6 / 8)
    assert metrics["extracted/numeric"]["mean"] == pytest.approx(1)
    assert metrics["as_said/answered"]["mean"] == pytest.approx(8 / 12)
    assert metrics["extracted/error_in_quanta"]["median_error"] == 0
    asked = inspected["asked"][0].body
    assert (asked["temperature"], asked["max_tokens"]) == (0, 100)


# --- VLMEvalKit


def read_tsv(folder):
    csv.field_size_limit(2**31 - 1)
    with open(folder / f"{TSV_NAME}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_table_of_vlmevalkit_has_its_columns(bench, exported):
    rows = read_tsv(exported / "vlmevalkit")
    assert list(rows[0])[:5] == ["index", "image", "question", "answer", "category"]
    assert "openended" in TSV_NAME
    assert [int(row["index"]) for row in rows] == list(range(12))
    for row, item in zip(rows, bench, strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(row["image"])))
        assert picture.convert("RGB").tobytes() == bench.image(item).tobytes()
        assert row["question"] == PROMPTS["official"].text(item.question)
        assert (row["answer"], row["category"], row["id"]) == (item.answer, item.category, item.id)


def test_pandas_reads_the_table_as_vlmevalkit_does(exported):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(exported / "vlmevalkit" / f"{TSV_NAME}.tsv", sep="\t")
    assert len(table) == 12
    assert not {"A", "B"} & set(table.columns)  # else the kit takes it for multiple choice
    assert not table["image"].isna().any()
    assert all(len(image) > 64 for image in table["image"])  # shorter ones are references to other rows


def score_with_vlmevalkit(folder, predictions, tmp_path):
    """What score.py prints and writes, with the standard library alone where that is enough."""
    arguments = (predictions, "--tsv", tmp_path / "t.tsv", "--json", tmp_path / "scores.json")
    alone = [] if predictions.suffix == ".xlsx" else ["-I", "-S"]
    command = map(str, [sys.executable, *alone, folder / "score.py", *arguments])
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((tmp_path / "scores.json").read_text())


@pytest.mark.parametrize("form", ["tsv", "csv", "json", "xlsx"])
def test_the_scores_of_vlmevalkit_are_ours_on_200_responses(exported, tmp_path, form):
    rows = stored_responses(200)
    for row in rows:
        row["text"] = row["text"].encode("utf-8", "replace").decode()  # a table cannot hold half a character
    with open(tmp_path / "t.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "id", "task", "category", "answer", "quantum"])
        writer.writerows(
            [i, f"i{i}", "series", "Range", row["answer"], row["quantum"]] for i, row in enumerate(rows)
        )
    predictions = tmp_path / f"M_{TSV_NAME}.{form}"
    lines = [{"index": i, "prediction": row["text"]} for i, row in enumerate(rows)]
    if form == "json":
        predictions.write_text(json.dumps(lines))
    elif form == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        book.active.append(["index", "prediction"])
        for line in lines:
            book.active.append(list(line.values()))
        book.save(predictions)
    else:
        with open(predictions, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["index", "prediction"], delimiter="\t" if form == "tsv" else ",")
            writer.writeheader()
            writer.writerows(lines)
    printed, scored = score_with_vlmevalkit(exported / "vlmevalkit", predictions, tmp_path)
    assert [row["scores"] for row in scored] == [ours_by_name(row) for row in rows]
    exact = 100 * sum(ours(row, "none")["exact"] for row in rows) / 200
    assert printed.splitlines()[0] == "200 answers"
    assert f"exact, task series: {exact:.1f} % of 200" in printed


def test_predictions_without_their_columns_are_refused(exported, tmp_path):
    (tmp_path / "p.csv").write_text("id,text\n1,2\n")
    done = subprocess.run(
        [sys.executable, exported / "vlmevalkit" / "score.py", tmp_path / "p.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "columns id, text: index and prediction are needed" in done.stderr


# --- files without paperworks


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Writes the modules of a package `paperworks_toy`, whose names are the ones written into a file."""

    def write(**modules):
        for name, text in modules.items():
            (tmp_path / "paperworks_toy" / f"{name}.py").write_text(text)
        return tmp_path / "paperworks_toy"

    (tmp_path / "paperworks_toy").mkdir()
    (tmp_path / "paperworks_toy" / "__init__.py").touch()
    monkeypatch.setattr(inliner, "PACKAGE", "paperworks_toy")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "paperworks_toy", raising=False)
    yield write
    sys.modules.pop("paperworks_toy", None)


BELOW = '''"""Below."""
import math


def _size(x):
    return f"{_help(x)}"


def _help(x):
    return math.floor(x)


def low(x):
    return _size(x)


def unused():
    return os.name
'''
ABOVE = '''from __future__ import annotations

from paperworks_toy.below import low

# Kept with what it is about.
BASE = 10
"""Said below it."""


class Box:
    def same(self, other: Box | None) -> Box:
        return self


def _size(x):
    return BASE * x


def high(x):
    return f"{_size(x)} {low(x)}"


def box() -> Box:
    return Box()
'''
SCRIPT = '''"""A script."""

from paperworks_toy.above import box, high

print(high(2.5), box().same(None) is None)
'''


def test_only_what_is_used_is_written_and_equal_private_names_are_told_apart(toys):
    package = toys(below=BELOW, above=ABOVE, script=SCRIPT)
    text = standalone(package / "script.py", "# A head.")
    assert text.startswith('"""A script."""\n\n# A head.\n\nimport math\n')
    assert "unused" not in text
    assert "# Kept with what it is about.\nBASE = 10" in text
    assert 'other: "Box | None"' in text
    assert without_packages(text) == "25.0 2 False\n"


def test_equal_public_names_of_two_modules_are_refused(toys):
    package = toys(
        below="def size():\n    return 1\n\n\ndef low():\n    return size()\n",
        above="from paperworks_toy.below import low\n\n\ndef size():\n    return low()\n",
        script="from paperworks_toy.above import size\n\nprint(size())\n",
    )
    with pytest.raises(ValueError, match="size is defined in two of the files"):
        standalone(package / "script.py")


# --- bad input


def test_an_unknown_harness_is_refused_with_those_there_are(bench, tmp_path):
    with pytest.raises(
        InputError, match="no harness is called 'helm': choose from lmms-eval, inspect, vlmevalkit"
    ):
        export(bench, "helm", tmp_path / "x")


def test_an_empty_benchmark_is_refused(tmp_path):
    with pytest.raises(InputError, match="no items: nothing to export"):
        export(FakeBench(0), "inspect", tmp_path / "x")


def test_a_folder_with_something_in_it_is_left_alone(bench, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").touch()
    with pytest.raises(InputError, match=r"is there already; choose another --out"):
        export(bench, "inspect", tmp_path / "x")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["mine"]


def test_a_place_that_cannot_be_written_is_named(bench, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file/x: .*choose another place with --out"):
        export(bench, "inspect", tmp_path / "file" / "x")


@pytest.mark.parametrize("to", FORMATS)
def test_a_picture_that_is_missing_is_named_and_nothing_is_left_behind(tmp_path, to):
    bench = FakeBench(3)
    bench.folder = tmp_path / "bench"
    with pytest.raises(InputError, match=rf"{bench[0].id}: cannot read .*images/0.png"):
        export(bench, to, tmp_path / "out" / "x")
    assert list((tmp_path / "out").iterdir()) == []

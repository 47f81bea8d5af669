"""Run folders: what is stored, what is asked again, what is refused, and what survives an end in the middle."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Asked, FakeBench, Reply, Server, fails, number, right, says

from paperworks.errors import InputError
from paperworks.grab.endpoint import BudgetReached, Endpoint
from paperworks.grab.evaluate import Run, dataset_sha256, evaluate, request_key
from paperworks.grab.extraction import extract_by_model
from paperworks.grab.generate import generate
from paperworks.grab.models import Response
from paperworks.grab.priors import Prior
from paperworks.grab.prompts import PROMPTS, Prompt, find_prompt
from paperworks.grab.responses import Log, read_lines
from paperworks.grab.writer import ANSWERED

PRICE = (2.5, 10.0)


@pytest.fixture(autouse=True)
def no_key_of_the_user(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Known:
    """A model that answers from a table or a function, and counts."""

    name = "known"

    def __init__(self, says=lambda request: "1", fail_after: int | None = None, **parameters) -> None:
        self.says, self.fail_after, self.parameters, self.asked = says, fail_after, parameters, []

    def answer(self, requests):
        for request in requests:
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise KeyboardInterrupt
            self.asked.append(request.id)
            said = self.says(request)
            yield said if isinstance(said, Response) else Response(request.key, request.id, said, "stop")


def endpoint(server: Server, **changes) -> Endpoint:
    return Endpoint(server.url, "m", **({"waits": (0.01, 0.05), "timeout": 5.0} | changes))


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]


def test_every_item_is_asked_once_and_stored_with_what_was_sent(tmp_path):
    bench, model = FakeBench(20), Known()
    run = evaluate(bench, model, out=tmp_path / "run")
    assert sorted(model.asked) == sorted(item.id for item in bench)
    stored = lines(tmp_path / "run")
    assert len(stored) == 20
    by_id = {item.id: item for item in bench}
    for line in stored:
        text = PROMPTS["official"].text(by_id[line["id"]].question)
        assert line["request"] == text
        assert line["key"] == request_key(by_id[line["id"]], text, "known", {})
    assert run.counts == Counter(items=20, asked=20, left=0, stop=20, length=0, refused=0, error=0, unpaid=0)


def test_rows_join_items_and_responses_in_the_order_of_the_items(tmp_path):
    bench = FakeBench(12)
    run = evaluate(bench, Known(lambda request: request.item_question), out=tmp_path / "run")
    rows = Run.load(tmp_path / "run").rows()
    assert rows == run.rows()
    assert [row["id"] for row in rows] == [item.id for item in bench]
    assert [row["text"] for row in rows] == [item.question for item in bench]
    assert {"task", "answer", "quantum", "complexity", "finish", "tokens_in", "cost"} <= set(rows[0])
    assert "spec" not in rows[0]


def test_a_finished_run_makes_no_calls(tmp_path):
    with Server(right) as server:
        evaluate(FakeBench(30), endpoint(server), out=tmp_path / "run")
        assert len(server.asked) == 30
        again = evaluate(FakeBench(30), endpoint(server), out=tmp_path / "run")
        assert len(server.asked) == 30
    assert again.counts["stop"] == 30


def test_a_limit_is_a_sample_of_all_tasks_and_a_larger_one_contains_it(tmp_path):
    bench = FakeBench(200)
    small = evaluate(bench, Known(), out=tmp_path / "run", limit=40)
    assert {row["task"] for row in small.rows()} == {"properties", "function", "series", "transform"}
    model = Known()
    larger = evaluate(bench, model, out=tmp_path / "run", limit=60)
    assert len(model.asked) == 20
    assert {row["id"] for row in small.rows()} < {row["id"] for row in larger.rows()}
    with pytest.raises(InputError, match="limit is 0"):
        evaluate(bench, Known(), out=tmp_path / "run", limit=0)


def test_errors_are_asked_again_and_cut_off_or_refused_answers_are_not(tmp_path):
    finishes = {0: "error", 1: "length", 2: "refused", 3: "stop"}

    def first(request):
        finish = finishes[number(request.prompt) % 4]
        return Response(request.key, request.id, None if finish == "error" else "x", finish, cost=0.5)

    evaluate(FakeBench(8), Known(first), out=tmp_path / "run")
    model = Known(lambda request: Response(request.key, request.id, "y", "stop", cost=0.25))
    run = evaluate(FakeBench(8), model, out=tmp_path / "run")
    assert sorted(number(f"Question {int(id[-4:])}:") % 4 for id in model.asked) == [0, 0]
    by_place = {int(row["id"][-4:]) % 4: row for row in run.rows()}
    assert by_place[0]["text"] == "y"
    assert by_place[0]["cost"] == 0.75
    assert (by_place[1]["finish"], by_place[2]["finish"]) == ("length", "refused")
    assert run.cost == pytest.approx(8 * 0.5 + 2 * 0.25)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bench": FakeBench(9)}, r"dataset \w{12} of 10 items there, \w{12} of 9 here"),
        ({"model": Known(temperature=0.7)}, "model.parameters.temperature 0.0 there, 0.7 here"),
        ({"prompt": "reason"}, "prompt.name 'official' there, 'reason' here"),
        ({"prompt": Prompt("official", "{question}?")}, "prompt.template"),
    ],
)
def test_a_folder_of_another_run_is_refused_with_the_difference(tmp_path, changed, said):
    what = {"bench": FakeBench(10), "model": Known(temperature=0.0), "prompt": "official"}
    evaluate(what["bench"], what["model"], out=tmp_path / "run", prompt=what["prompt"])
    before = (tmp_path / "run" / "responses.jsonl").read_bytes()
    what |= changed
    with pytest.raises(InputError, match=said) as caught:
        evaluate(what["bench"], what["model"], out=tmp_path / "run", prompt=what["prompt"])
    assert "choose another --out" in str(caught.value)
    assert (tmp_path / "run" / "responses.jsonl").read_bytes() == before


def test_the_key_of_a_response_depends_on_all_that_changes_it():
    item = FakeBench(1)[0]
    keys = {
        request_key(item, "p", "m", {"a": 1}),
        request_key(item, "q", "m", {"a": 1}),
        request_key(item, "p", "n", {"a": 1}),
        request_key(item, "p", "m", {"a": 2}),
        request_key(replace(item, id="other"), "p", "m", {"a": 1}),
        request_key(replace(item, image_sha256="0" * 64), "p", "m", {"a": 1}),
        request_key(replace(item, image_sha256=""), "p", "m", {"a": 1}),
        request_key(replace(item, image_sha256="", spec={"members": [1]}), "p", "m", {"a": 1}),
    }
    assert len(keys) == 8
    assert request_key(item, "p", "m", {"a": 1, "b": 2}) == request_key(item, "p", "m", {"b": 2, "a": 1})
    assert dataset_sha256(FakeBench(5)) == dataset_sha256(list(reversed(FakeBench(5))))


def test_prompts_are_found_by_name():
    assert find_prompt("reason").max_tokens == 8192
    assert find_prompt("official").text("Q?").startswith("Q?\n")
    assert find_prompt("official").text("Q?").endswith("Answer:")
    assert find_prompt("official").text("a {question} b").count("{question}") == 1
    with pytest.raises(InputError, match="official, reason"):
        find_prompt("short")
    with pytest.raises(InputError, match="once"):
        Prompt("none", "no place")


# Ends in the middle -------------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(FakeBench(10), Known(fail_after=4), out=tmp_path / "run")
    assert Run.load(tmp_path / "run").counts["stop"] == 4
    model = Known()
    assert evaluate(FakeBench(10), model, out=tmp_path / "run").counts["stop"] == 10
    assert len(model.asked) == 6


@pytest.mark.parametrize("torn", [b'{"key": "ab', b"{", b"\xff\xfe", '{"text": "ü'.encode()[:-1]])
def test_a_torn_last_line_is_dropped_with_a_warning_and_asked_again(tmp_path, torn):
    evaluate(FakeBench(5), Known(), out=tmp_path / "run", limit=3)
    whole = (tmp_path / "run" / "responses.jsonl").read_bytes()
    with open(tmp_path / "run" / "responses.jsonl", "ab") as file:
        file.write(torn)
    with pytest.warns(UserWarning, match="torn"):
        assert Run.load(tmp_path / "run").counts["stop"] == 3
    model = Known()
    with pytest.warns(UserWarning, match="torn"):
        run = evaluate(FakeBench(5), model, out=tmp_path / "run")
    assert len(model.asked) == 2
    assert run.counts["stop"] == 5
    assert (tmp_path / "run" / "responses.jsonl").read_bytes().startswith(whole)
    assert len(lines(tmp_path / "run")) == 5


def test_a_damaged_line_in_the_middle_is_told(tmp_path):
    evaluate(FakeBench(3), Known(), out=tmp_path / "run")
    path = tmp_path / "run" / "responses.jsonl"
    path.write_text("oops\n" + path.read_text())
    with pytest.raises(InputError, match="line 1 is no JSON object"):
        Run.load(tmp_path / "run")


KILLED = """
import sys
from loopback import FakeBench
from paperworks.grab.endpoint import Endpoint
from paperworks.grab.evaluate import evaluate
url, out, budget = sys.argv[1:]
evaluate(FakeBench(60), Endpoint(url, "m", price=(2.5, 10.0), budget=float(budget), concurrency=8), out=out)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_answers_each_item_once_and_keeps_to_the_budget(tmp_path, end):
    budget = 0.2
    with Server(lambda asked: right(asked, delay=0.04, usage=(300, 5))) as server:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", KILLED, server.url, str(tmp_path / "run"), str(budget)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while len(server.asked) < 20:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(end)
        assert process.wait(20) != 0
        stored = list(read_lines(tmp_path / "run" / "responses.jsonl"))
        done = {line["id"] for line in stored if line["finish"] == "stop"}
        assert 0 < len(done) < 60
        under_way = len(server.asked) - len(done)
        model = Endpoint(server.url, "m", price=PRICE, budget=budget, concurrency=8)
        run = evaluate(FakeBench(60), model, out=tmp_path / "run")
        assert len(server.asked) <= 60 + under_way
        bill = server.bill(PRICE)
    answered = Counter(line["id"] for line in lines(tmp_path / "run") if line["finish"] in ANSWERED)
    assert len(answered) == 60
    assert set(answered.values()) == {1}
    assert [row["text"] for row in run.rows()] == [item.answer for item in FakeBench(60)]
    # What was under way when the run was killed is counted at its highest price, so the bill is never above it.
    assert bill <= run.cost + 1e-9 <= budget
    assert any("ended while this was asked" in (line["error"] or "") for line in lines(tmp_path / "run"))
    assert not (tmp_path / "run" / "calls.jsonl").exists()


def test_a_budget_covers_the_folder_and_a_higher_one_goes_on(tmp_path):
    bench = FakeBench(100)
    with Server(lambda asked: right(asked, delay=0.005)) as server:
        model = endpoint(server, price=PRICE, budget=0.05)
        with pytest.raises(BudgetReached) as caught:
            evaluate(bench, model, out=tmp_path / "run")
        run = caught.value.run
        assert 0 < run.counts["stop"] < 100
        assert run.counts["stop"] + run.counts["unpaid"] == 100
        assert run.cost == pytest.approx(model.spent) == pytest.approx(server.bill(PRICE))
        calls, size = len(server.asked), (tmp_path / "run" / "responses.jsonl").stat().st_size
        with pytest.raises(BudgetReached):
            evaluate(bench, endpoint(server, price=PRICE, budget=0.05), out=tmp_path / "run")
        assert len(server.asked) <= calls + 1
        assert (tmp_path / "run" / "responses.jsonl").stat().st_size < size + 1000
        whole = evaluate(bench, endpoint(server, price=PRICE, budget=1.0), out=tmp_path / "run")
        assert whole.counts["stop"] == 100
        assert whole.cost == pytest.approx(server.bill(PRICE))
        assert whole.cost <= 1.0
    assert set(server.answered.values()) == {1}


def test_a_stop_by_the_server_keeps_what_is_answered(tmp_path):
    def behave(asked: Asked) -> Reply:
        return fails(401, "key expired") if len(server.asked) > 10 else right(asked)

    with Server(behave) as server, pytest.raises(InputError, match="key expired"):
        evaluate(FakeBench(30), endpoint(server, concurrency=4), out=tmp_path / "run")
    assert Run.load(tmp_path / "run").counts["stop"] == 10


def test_two_processes_do_not_write_one_folder(tmp_path):
    def nested(request):
        with pytest.raises(InputError, match="another process"):
            evaluate(FakeBench(2), Known(), out=tmp_path / "run")
        return "1"

    evaluate(FakeBench(2), Known(nested), out=tmp_path / "run")


FULL = """
import resource, signal, sys
from loopback import FakeBench
from paperworks.grab.evaluate import evaluate
from paperworks.grab.models import Response

class Long:
    name, parameters = "long", {}
    def answer(self, requests):
        for request in requests:
            yield Response(request.key, request.id, "a" * 1900, "stop")

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
evaluate(FakeBench(30), Long(), out=sys.argv[1])
"""


def test_a_full_disk_stops_the_run_and_leaves_whole_lines(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL, str(tmp_path / "run")]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "InputError: cannot write" in said.stderr
    assert "File too large" in said.stderr
    stored = lines(tmp_path / "run")
    assert 5 < len(stored) < 12
    model = Known(lambda _: "a" * 1900)
    model.name = "long"
    assert evaluate(FakeBench(30), model, out=tmp_path / "run").counts["stop"] == 30
    assert len(model.asked) == 30 - len(stored)


def test_every_line_is_on_the_disk_at_the_end(tmp_path, monkeypatch):
    sizes, fsync = [], os.fsync

    def noted(handle):
        sizes.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr("paperworks.grab.responses.os.fsync", noted)
    evaluate(FakeBench(30), Known(lambda _: time.sleep(0.01) or "1"), out=tmp_path / "run")
    assert sizes[-1] == (tmp_path / "run" / "responses.jsonl").stat().st_size
    assert sizes[0] < sizes[-1]


def test_a_disk_that_fails_stops_the_run(tmp_path, monkeypatch):
    def fails(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("paperworks.grab.responses.os.fsync", fails)
    with pytest.raises(InputError, match="Input/output error"):
        evaluate(FakeBench(3), Known(), out=tmp_path / "run")


def test_a_log_keeps_every_character(tmp_path):
    texts = ["Größe −3", "한국어", "a\nb\r\n\u2028c", "\ud800", "\x00", "😀"]
    with Log(tmp_path / "log") as log:
        log.append({"text": text} for text in texts)
    assert [line["text"] for line in read_lines(tmp_path / "log")] == texts
    assert (tmp_path / "log").read_bytes().count(b"\n") == len(texts)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing", None, "no run folder"),
        ("damaged", "{", "damaged"),
        ("other", '{"format": 99}', "format 99"),
    ],
)
def test_what_is_no_run_folder_is_told(tmp_path, name, content, said):
    (tmp_path / name).mkdir()
    if content is not None:
        (tmp_path / name / "run.json").write_text(content)
    with pytest.raises(InputError, match=said):
        Run.load(tmp_path / name)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"):
        evaluate(FakeBench(1), Known(), out=tmp_path / "file" / "run")


def test_the_memory_does_not_grow_with_the_pictures(tmp_path):
    # 1,500 pictures of 60 kB are 90 MB; the run may grow by a few.
    noise = os.urandom(60_000)
    bench = FakeBench(1500)

    def look(request):
        return str(len(request.image()))

    bench.image = lambda item: Picture(noise)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    evaluate(bench, Known(look), out=tmp_path / "run")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


class Picture:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def save(self, buffer, format):
        buffer.write(self.data)


# Beside other models, and extraction ----------------------------------------------------------------------------------


def test_another_model_beside_a_run_answers_the_same_items_once(tmp_path):
    bench = FakeBench(40)
    run = evaluate(bench, Known(lambda request: "1"), out=tmp_path / "run", limit=20)
    table = run.against(Prior("zero"), by=())
    assert table.lines[0].n == 20
    assert set(table.lines[0].ceilings) == {"prior-zero"}
    before = sorted((tmp_path / "run" / "beside").rglob("responses.jsonl"))
    assert len(before) == 1
    assert len(list(read_lines(before[0]))) == 20
    assert run.against(Prior("zero"), by=()).to_dict() == table.to_dict()
    other = evaluate(bench, Prior("mode"), out=tmp_path / "other", limit=20)
    assert run.compare(other) is not None
    assert {line.group["task"] for line in run.table("task")} == {row["task"] for row in run.rows()}


def test_a_run_without_its_dataset_says_so(tmp_path):
    evaluate(FakeBench(4), Known(), out=tmp_path / "run")
    with pytest.raises(InputError, match="never saved"):
        Run.load(tmp_path / "run").against(Prior("zero"))


def test_a_run_finds_its_dataset_again_and_knows_it_from_another(tmp_path):
    slots = {"function/gradient": 2, "series/maximum": 1}
    bench = generate(seed=3, counts=slots, jobs=1).save(tmp_path / "data", jobs=1)
    run = evaluate(bench, Known(lambda request: str(len(request.image()))), out=tmp_path / "run")
    assert {int(row["text"]) for row in run.rows()} == {
        (tmp_path / "data" / i.image).stat().st_size for i in bench
    }
    loaded = Run.load(tmp_path / "run")
    assert [item.id for item in loaded.dataset()] == [item.id for item in bench]
    assert loaded.against(Prior("zero"), by=()).lines[0].n == 3
    (tmp_path / "data").rename(tmp_path / "away")
    generate(seed=4, counts=slots, jobs=1).save(tmp_path / "data", jobs=1)
    with pytest.raises(InputError, match="no more the run's dataset"):
        Run.load(tmp_path / "run").dataset()


def test_a_missing_picture_names_the_item_and_the_file(tmp_path):
    bench = generate(seed=3, counts={"function/gradient": 1}, jobs=1).save(tmp_path / "data", jobs=1)
    (tmp_path / "data" / bench[0].image).unlink()
    with pytest.raises(
        InputError, match=r"function-gradient-0000: cannot read .*images/function-gradient-0000\.png"
    ):
        evaluate(bench, Known(lambda request: str(request.image())), out=tmp_path / "run")


def test_a_model_copies_the_answers_out_of_stored_responses(tmp_path):
    bench = FakeBench(10)
    run = evaluate(
        bench, Known(lambda request: f"I think it is {int(request.id[-4:])} or so"), out=tmp_path / "run"
    )

    def extractor(asked: Asked) -> Reply:
        place = int(asked.text.partition("I think it is ")[2].split()[0])
        return says("None" if place == 3 else f" {place}\n")

    with Server(extractor) as server:
        counts = extract_by_model(run, endpoint(server))
        assert counts == {"asked": 10, "extracted": 10}
        assert all(asked.image is None for asked in server.asked)
        assert extract_by_model(run, endpoint(server)) == {"asked": 0, "extracted": 0}
        assert len(server.asked) == 10
    rows = Run.load(tmp_path / "run").rows()
    assert [row["extracted"] for row in rows] == ["0", "1", "2", None, "4", "5", "6", "7", "8", "9"]
    assert all(row["text"].startswith("I think") for row in rows)
    # Another extractor's answers stand beside the first one's and count instead of them.
    with Server(lambda _: says("42")) as server:
        extract_by_model(run, endpoint(server, max_tokens=50))
    assert {row["extracted"] for row in Run.load(tmp_path / "run").rows()} == {"42"}
    assert len(list(read_lines(tmp_path / "run" / "extracted.jsonl"))) == 20

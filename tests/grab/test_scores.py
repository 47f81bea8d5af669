"""Tables of a run: intervals, floor and ceiling, what was not answered, tests, and bytes that do not change."""

import json
import math
import time
import warnings
from collections import Counter

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.grab import published
from paperworks.grab.models import Model, Request
from paperworks.grab.priors import Prior, predictions, zero
from paperworks.grab.scores import (
    BREAKDOWNS,
    accuracy_trend,
    compare,
    correct,
    difference,
    extraction_table,
    headline,
    mcnemar,
    score_run,
    table,
    trend,
    wilson,
    write_scores,
)


def row(
    number, text, answer="3", *, task="function", prop="gradient", c=0, quantum="1", finish="stop", **more
):
    return {
        "id": f"{task}-{prop}-{number:04d}",
        "task": task,
        "property": prop,
        "category": "Intercepts and Gradients",
        "complexity": c,
        "effective_complexity": c,
        "question": "What is it?",
        "answer": answer,
        "quantum": quantum,
        "text": text,
        "finish": finish,
        **more,
    }


def paper_of_rows(n=2170, share=3):
    """Rows over tasks and complexities of which every `share`-th is answered right."""
    tasks = ["properties", "function", "series", "transform"]
    rows = []
    for number in range(n):
        answer = str(number % 19 - 9)
        text = answer if number % share == 0 else f"The value is about {number / 10:.1f}."
        rows.append(row(number, text, answer, task=tasks[number % 4], c=number % 10))
    return rows


# Intervals and tests.


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombes_table(right, total, low, high):
    # Newcombe, Statistics in Medicine 17 (1998) 857–872, table I, method 3.
    assert wilson(right, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_agrees_with_its_formula_and_knows_nothing_without_answers():
    n, p, z = 490, 52 / 490, 1.959963984540054
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert wilson(52, 490) == pytest.approx((middle - half, middle + half), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(InputError, match="between 0 and the total"):
        wilson(3, 2)


def test_difference_agrees_with_newcombes_table():
    # Newcombe, Statistics in Medicine 17 (1998) 873–890, table II, method 10.
    found = difference((56, 70), (48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    found = difference((9, 10), (3, 10))
    assert (found.low, found.high) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_trend_agrees_with_the_reference_of_r():
    # R's help of prop.trend.test: smokers among patients of four groups, X-squared = 8.2249, p-value = 0.004132.
    found = trend([83, 90, 129, 70], [86, 93, 136, 82])
    assert found.z**2 == pytest.approx(8.2249, abs=5e-5)
    assert found.p == pytest.approx(0.004132, abs=5e-7)
    assert found.z < 0


def test_trend_is_the_correlation_of_right_and_score():
    right, total, score = [48, 38, 5, 1, 1], [17114, 14502, 793, 127, 38], [0, 0.5, 1.5, 4, 7]
    x = np.repeat(score, total)
    y = np.concatenate([np.arange(n) < r for r, n in zip(right, total, strict=True)])
    found = trend(right, total, score)
    assert found.z == pytest.approx(np.corrcoef(x, y)[0, 1] * math.sqrt(len(x)), rel=1e-9)
    # Agresti, Categorical Data Analysis: malformation and alcohol, z² = 6.57.
    assert found.z**2 == pytest.approx(6.57, abs=0.005)


def test_there_is_no_trend_where_nothing_varies():
    assert trend([0, 0], [10, 10]).z == 0.0
    assert trend([10, 10], [10, 10]) == trend([0, 0], [5, 5])
    assert trend([3, 3, 3], [9, 9, 9]).z == pytest.approx(0)
    with pytest.raises(InputError, match="at least two"):
        trend([1], [2])


def test_mcnemar_is_exact():
    # Ten items only the first got right, two only the second: 2 · (1 + 12 + 66) / 2¹².
    found = mcnemar([1] * 10 + [0] * 2 + [1] * 5 + [0] * 3, [0] * 10 + [1] * 2 + [1] * 5 + [0] * 3)
    assert (found.both, found.only_first, found.only_second, found.neither, found.n) == (5, 10, 2, 3, 20)
    assert found.p == pytest.approx(2 * (1 + 12 + 66) / 2**12, rel=1e-12)
    assert found.difference == pytest.approx(0.4)
    assert mcnemar([1, 0], [1, 0]).p == 1.0
    with pytest.raises(InputError, match="the same items"):
        mcnemar([1], [1, 0])


def test_two_runs_are_compared_on_the_items_that_both_answered():
    first = [row(n, "3") for n in range(8)]
    second = [row(n, "3" if n < 2 else "4") for n in range(8)]
    second[7]["finish"] = "refused"
    found = compare(list(reversed(first)), second)
    assert (found.n, found.only_first, found.only_second) == (7, 5, 0)
    assert found.p == pytest.approx(2 / 2**5)
    with pytest.raises(InputError, match="no answered item in common"):
        compare(first, [row(99, "3")])


# Priors.


def test_zero_has_the_form_that_the_question_asks_for():
    assert zero(row(0, None, "-3.4", quantum="0.1")) == "0.0"
    assert zero(row(0, None, "-3")) == "0"
    assert zero(row(0, None, "[-3, 4]")) == "[0, 0]"
    assert predictions("zero", [row(0, None, "7"), row(1, None, "2.0", quantum="0.1")]) == ["0", "0.0"]


def test_mode_leaves_the_question_itself_out():
    rows = [row(n, None, answer) for n, answer in enumerate(["5", "5", "2", "2", "7"])]
    # Of the others: 5·1 2·2 → 2; 2·2 → 2; 5·2 → 5; 5·2 → 5; 5 and 2 alike → 5, the first.
    assert predictions("mode", rows) == ["2", "2", "5", "5", "5"]
    assert predictions("constant", rows) == ["5"] * 5
    assert predictions("mode", [row(0, None, "5")]) == ["0"]


def test_uniform_answers_punish_the_mode():
    rows = [row(n, None, str(n % 10)) for n in range(100)]
    assert not any(said == one["answer"] for said, one in zip(predictions("mode", rows), rows, strict=True))
    assert (
        sum(said == one["answer"] for said, one in zip(predictions("constant", rows), rows, strict=True))
        == 10
    )


def test_mode_agrees_with_counting_again_for_each_question():
    generator = np.random.default_rng(0)
    rows = [row(n, None, str(generator.integers(0, 4)), quantum=["1", "0.1"][n % 2]) for n in range(60)]
    for place, said in enumerate(predictions("mode", rows)):
        others = Counter(
            one["answer"]
            for n, one in enumerate(rows)
            if n != place and one["quantum"] == rows[place]["quantum"]
        )
        assert others[said] == max(others.values())


def test_classes_are_task_property_and_precision_and_the_form_of_equations():
    rows = [
        row(0, None, "5"),
        row(1, None, "5"),
        row(2, None, "9", quantum="10"),
        row(3, None, "9", task="series"),
    ]
    assert predictions("constant", rows) == ["5", "5", "9", "9"]
    lines = [
        row(n, None, answer, prop="equation", question=f"form {n // 2}")
        for n, answer in enumerate(["y = 1x + 1", "y = 1x + 1", "y = 2x^2 + 0x + 1", "y = 2x^2 + 0x + 1"])
    ]
    assert predictions("mode", lines) == [line["answer"] for line in lines]


def test_a_prior_is_a_model():
    prior = Prior("mode")
    assert isinstance(prior, Model)
    request = Request("key", "function-gradient-0001", "prompt", lambda: b"", "question")
    with pytest.raises(InputError, match="call prepare"):
        list(prior.answer([request]))
    prior.prepare([row(n, None, answer) for n, answer in enumerate(["5", "2", "5"])])
    (response,) = prior.answer([request])
    assert (response.key, response.id, response.text, response.finish) == ("key", request.id, "5", "stop")
    assert (prior.name, prior.parameters) == ("prior-mode", {})
    with pytest.raises(InputError, match="not among the items"):
        list(prior.answer([Request("key", "other", "", None, "")]))
    with pytest.raises(InputError, match="zero, mode, constant"):
        Prior("median")


# Tables.


def test_what_was_not_answered_is_counted_apart_and_accuracy_reported_both_ways():
    rows = [
        row(0, "3"),
        row(1, "4"),
        row(2, "No.", finish="refused"),
        row(3, "3", finish="length"),
        row(4, None, finish="error"),
        row(5, None, finish="unpaid"),
        row(6, "", finish="stop"),
        row(7, "3"),
    ]
    (line,) = table(rows).lines
    assert (line.n, line.answered, line.right) == (8, 4, 2)
    assert (line.refused, line.truncated, line.failed, line.unpaid) == (1, 1, 1, 1)
    assert (line.accuracy, line.accuracy_of_all) == (0.5, 0.25)
    assert (line.low, line.high) == wilson(2, 4)
    assert (line.low_of_all, line.high_of_all) == wilson(2, 8)


def test_a_run_without_answers_has_no_accuracy():
    (line,) = table([row(0, None, finish="unpaid")]).lines
    assert (line.accuracy, line.skill, line.low, line.high) == (None, None, 0.0, 1.0)
    assert "–" in table([row(0, None, finish="unpaid")]).markdown()


def test_floor_and_ceiling_stand_beside_every_line_and_skill_is_above_the_floor():
    rows = [row(n, "3" if n < 6 else "8", "0" if n >= 8 else "3") for n in range(10)]
    reader = [row(n, one["answer"] if n else None, one["answer"]) for n, one in enumerate(rows)]
    (line,) = table(rows, references={"reader": reader}).lines
    assert line.floors == {"zero": 0.2, "mode": 0.8}
    assert line.ceilings == {"reader": 0.9}
    assert line.accuracy == 0.6
    assert line.skill == pytest.approx((0.6 - 0.8) / (1 - 0.8))
    assert "floor: zero %" in table(rows).markdown()
    assert "reader %" in table(rows, references={"reader": reader}).markdown()
    # A run that lacks some of the items is no ceiling.
    assert table(rows, references={"reader": reader[:5]}).lines[0].ceilings == {}


def test_a_prior_that_is_right_everywhere_leaves_no_room_for_skill():
    (line,) = table([row(n, "3") for n in range(5)]).lines
    assert (line.floors["mode"], line.skill) == (1.0, None)


def test_groups_come_in_the_order_of_the_data_set_and_numbers_in_theirs():
    rows = [
        row(n, "3", task=task, c=c)
        for n, (task, c) in enumerate([("properties", 0), ("function", 9), ("function", 2), ("series", 10)])
    ]
    assert [line.group["task"] for line in table(rows, "task")] == ["properties", "function", "series"]
    assert [line.group["complexity"] for line in table(rows, "complexity")] == [0, 2, 9, 10]
    quanta = [row(n, "3", quantum=quantum) for n, quantum in enumerate(["10", "0.1", "1"])]
    assert [line.group["quantum"] for line in table(quanta, ("quantum",))] == ["0.1", "1", "10"]
    assert sum(line.n for line in table(rows, ("task", "complexity"))) == 4
    with pytest.raises(InputError, match="effective_complexity"):
        table(rows, "colour")


def test_extraction_changes_the_score_and_is_named():
    rows = [row(n, "It is about 3.") for n in range(4)]
    assert table(rows).lines[0].accuracy == 0
    read = table(rows, extract="regex")
    assert (read.lines[0].accuracy, read.extraction) == (1.0, "regex")
    assert correct(rows, "exact", "regex") == [1.0] * 4


def test_the_form_asked_for_helps_the_extraction():
    rows = [
        row(0, "The line y = 2x + 3 crosses at 3."),
        row(1, "The line is y = 2x + 3, not 4.", "y = 2x + 3"),
    ]
    assert correct(rows, "exact", "regex") == [1.0, 1.0]


def test_extraction_table_shows_what_each_extraction_does():
    rows = [row(0, "3"), row(1, "About 3."), row(2, "Who knows?"), row(3, "no", finish="refused")]
    none, regex = extraction_table(rows)
    assert (none["extraction"], none["exact"], none["none found"]) == (
        "none",
        pytest.approx(1 / 3, abs=1e-6),
        0.0,
    )
    assert (regex["extraction"], regex["exact"]) == ("regex", pytest.approx(2 / 3, abs=1e-6))
    assert regex["none found"] == pytest.approx(1 / 3, abs=1e-6)
    stored = [one | {"extracted": "3" if n < 2 else "None"} for n, one in enumerate(rows)]
    llm = extraction_table(stored)[2]
    assert (llm["extraction"], llm["exact"], llm["none found"]) == (
        "llm",
        regex["exact"],
        regex["none found"],
    )
    with pytest.raises(InputError, match="no extracted answer"):
        correct(rows, "exact", "llm")


def test_error_in_quanta_is_a_median_of_the_readable_answers():
    rows = [
        row(0, "3.1", "3.0", quantum="0.1"),
        row(1, "3.5", "3.0", quantum="0.1"),
        row(2, "3.2", "3.0", quantum="0.1"),
        row(3, "none"),
    ]
    (line,) = table(rows, score="error_in_quanta").lines
    assert (line.median_error, line.unread, line.accuracy) == (2.0, 1, None)
    assert "median error" in table(rows, score="error_in_quanta").markdown()


def test_the_prefix_score_is_warned_as_a_headline():
    with pytest.warns(UserWarning, match="45 as 4"):
        headline("official_prefix")
    with pytest.warns(UserWarning, match="95 as 100"):
        headline("relaxed5")
    with pytest.raises(InputError, match="a distance"):
        headline("error_in_quanta")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert headline("exact") == "exact"
        score_run([row(0, "3")], scores=("exact", "official_prefix"))  # beside another, it is no headline
    with pytest.warns(UserWarning, match="45 as 4"):
        score_run([row(0, "3")], scores=("official_prefix",))


def test_accuracy_that_falls_with_complexity_has_a_trend_below_zero():
    rows = [row(40 * c + n, "3" if n < 36 - 9 * c else "8", c=c) for c in range(4) for n in range(40)]
    assert accuracy_trend(rows).z < -2.33
    assert accuracy_trend(rows) == trend([36, 27, 18, 9], [40] * 4)


# Run folders.


def test_scoring_again_gives_the_same_bytes(tmp_path):
    rows = paper_of_rows(300)
    rows[4]["text"] = "−3 \ud83d"  # half of a character, where a response was cut off
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second, first):
        write_scores(folder, rows=[dict(one) for one in rows], extract="none")
    for name in ("scores.json", "report.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert len(list(first.iterdir())) == 2


def test_scores_json_holds_every_breakdown_and_every_item(tmp_path):
    rows = paper_of_rows(200)
    result = write_scores(
        tmp_path, rows=rows, scores=("exact", "numeric", "error_in_quanta"), extract="regex"
    )
    stored = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert stored == result
    assert [tuple(one["by"]) for one in stored["tables"]] == list(BREAKDOWNS)
    assert [one["id"] for one in stored["items"]] == [one["id"] for one in rows]
    for by in stored["tables"]:
        assert sum(line["n"] for line in by["lines"]) == len(rows)
        assert all({"zero", "mode"} == set(line["floors"]) for line in by["lines"])
    report = (tmp_path / "report.md").read_text("utf-8")
    assert all(heading in report for heading in ("## Task × complexity", "## Extraction", "Cochran–Armitage"))
    # Floors stand beside every table of shares.
    assert report.count("right %") == report.count("floor: zero %") + 1 == len(BREAKDOWNS) + 2
    assert "| numeric |" in report


def test_a_run_folder_names_its_model(tmp_path):
    run = {"model": {"name": "m"}, "prompt": {"name": "official"}, "dataset": {"sha256": "ab", "items": 9}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert write_scores(tmp_path, rows=[row(0, "3")])["run"]["model"] == "m"
    assert (tmp_path / "report.md").read_text("utf-8").startswith("# Scores of m\n")


def test_a_run_is_scored_from_its_folder(tmp_path):
    from paperworks.grab.evaluate import evaluate
    from paperworks.grab.generate import generate

    bench = generate(seed=0, counts={"function/gradient": 10, "series/mean": 10})
    run = evaluate(bench, Prior("zero"), out=tmp_path / "run")
    first = write_scores(tmp_path / "run")
    stored = [(tmp_path / "run" / name).read_bytes() for name in ("scores.json", "report.md")]
    assert write_scores(tmp_path / "run") == first
    assert [(tmp_path / "run" / name).read_bytes() for name in ("scores.json", "report.md")] == stored
    assert first["run"]["model"] == "prior-zero"
    (line,) = table(run.rows()).lines
    assert line.accuracy == line.floors["zero"]
    assert line.answered == len(bench)


def test_other_responses_give_another_digest():
    rows = paper_of_rows(40)
    changed = [dict(one) for one in rows]
    changed[3]["text"] = "12"
    assert score_run(rows)["responses_sha256"] == score_run([dict(one) for one in rows])["responses_sha256"]
    assert score_run(rows)["responses_sha256"] != score_run(changed)["responses_sha256"]


def test_an_empty_run_is_refused():
    with pytest.raises(InputError, match="no items"):
        score_run([])


def test_a_paper_of_responses_is_scored_within_a_second(tmp_path):
    rows = paper_of_rows()
    start = time.process_time()
    write_scores(tmp_path, rows=rows, extract="regex")
    assert time.process_time() - start < 1


# Published figures.


def test_all_is_the_mean_of_the_tasks_weighted_by_their_questions():
    assert len(published.TABLE) == 20
    assert sum(published.QUESTIONS.values()) == 2170
    for line in published.TABLE:
        assert abs(line.all - line.weighted) < 0.1, line.model


def test_the_published_order_is_that_of_all():
    assert [line.all for line in published.TABLE] == sorted(
        (line.all for line in published.TABLE), reverse=True
    )
    assert published.find_published("gpt-4o").properties == 24.7
    assert sum(line.open for line in published.TABLE) == 8
    with pytest.raises(InputError, match=r"Claude 3\.5 Sonnet"):
        published.find_published("GPT-5")


def test_in_series_no_published_model_exceeds_the_interval_of_a_constant_zero():
    zero_high = 100 * wilson(round(0.106 * 490), 490)[1]
    assert zero_high == pytest.approx(13.7, abs=0.05)
    assert published.exceeding("series", zero_high) == []
    constant_high = 100 * wilson(round(0.089 * 660), 660)[1]
    assert len(published.exceeding("properties", constant_high)) == 11
    with pytest.raises(InputError, match="properties, function"):
        published.exceeding("real", 1)


def test_curves_have_ten_complexities():
    assert all(len(curve) == 10 for curve in published.COMPLEXITY.values())
    assert set(published.COMPLEXITY) | set(published.EXTRACTION) <= {line.model for line in published.TABLE}

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from worlds import clustered, noisy, rotation

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.calibration import ScoreCalibration
from paperworks.backward_compatible.commands import app
from paperworks.errors import InputError

D = 16


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`old.npy` and `new.npy`: 400 items under two models, the new one turned and a little different."""
    random = np.random.default_rng(0)
    new = clustered(400, random.normal(size=(30, D)), random)
    old = noisy(new @ rotation(D, random), 0.15, random)
    np.save(tmp_path / "old.npy", old.astype(np.float32))
    np.save(tmp_path / "new.npy", new.astype(np.float32))
    (tmp_path / "ids.txt").write_text("".join(f"item {i}\n" for i in range(400)))
    return tmp_path


def test_a_go_exits_with_zero_and_leaves_report_and_figures(folder: Path) -> None:
    arguments = ("--old", folder / "old.npy", "--new", folder / "new.npy")
    result = run("check", *arguments, "--out", folder / "report.html", "--figures", folder / "figures")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("rotate")
    assert "known item" in result.stdout
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert len(list((folder / "figures").glob("*.png"))) == 4


def test_json_is_the_report_and_nothing_else(folder: Path) -> None:
    result = run("check", "--old", folder / "old.npy", "--new", folder / "new.npy", "--json", "--top", 5)
    report = json.loads(result.stdout)
    assert report["recommendation"] == "rotate"
    assert report["k"] == 5
    assert report["pair_test"]["p_value"] == 0.001


def test_a_no_go_exits_with_one(folder: Path) -> None:
    """30 % of the rows are exchanged."""
    old = np.load(folder / "old.npy")
    old[:120] = old[np.roll(np.arange(120), 1)]
    np.save(folder / "mixed.npy", old)
    result = run("check", "--old", folder / "mixed.npy", "--new", folder / "new.npy")
    assert result.exit_code == 1
    assert result.stdout.startswith("do-not")


def test_rows_in_another_order_are_refused_and_matched_by_id(folder: Path) -> None:
    order = np.random.default_rng(1).permutation(400)[:350]
    np.save(folder / "shuffled.npy", np.load(folder / "new.npy")[order])
    (folder / "new_ids.txt").write_text("".join(f"item {i}\n" for i in order))
    shuffled = ("check", "--old", folder / "old.npy", "--new", folder / "shuffled.npy")
    unequal = run(*shuffled)
    assert isinstance(unequal.exception, InputError)
    assert "old has 400 rows but new has 350" in str(unequal.exception)
    matched = run(*shuffled, "--ids", folder / "ids.txt", "--new-ids", folder / "new_ids.txt", "--json")
    assert matched.exit_code == 0, matched.output
    assert json.loads(matched.stdout)["pairs"] == 350
    assert "350 items matched by id; 50 ids only in old, 0 only in new" in matched.stderr


def test_judgements_and_queries_of_their_own_are_read(folder: Path) -> None:
    random = np.random.default_rng(5)
    new = np.load(folder / "new.npy")
    np.save(folder / "asked_new.npy", noisy(new[:60], 0.05, random).astype(np.float32))
    np.save(
        folder / "asked_old.npy", noisy(np.load(folder / "old.npy")[:60], 0.05, random).astype(np.float32)
    )
    near = np.argsort(-new[:60] @ new.T, axis=1)[:, :40]
    lines = [f"question {i}\titem {j}\t1" for i, row in enumerate(near) for j in row]
    (folder / "qrels.tsv").write_text("\n".join(lines) + "\n")
    (folder / "questions.txt").write_text("".join(f"question {i}\n" for i in range(60)))
    result = run(
        *("check", "--old", folder / "old.npy", "--new", folder / "new.npy", "--ids", folder / "ids.txt"),
        *("--old-queries", folder / "asked_old.npy", "--new-queries", folder / "asked_new.npy"),
        *("--query-ids", folder / "questions.txt", "--relevance", folder / "qrels.tsv", "--json"),
    )
    report = json.loads(result.stdout)
    assert report["metric"] == "nDCG@10"
    assert report["queries"] == 60
    assert report["options"]["re-embed"]["nDCG@10"]["value"] > 0.8


def test_a_calibration_is_fitted_and_judged_on_different_pairs(folder: Path) -> None:
    old, new = np.load(folder / "old.npy"), np.load(folder / "new.npy")
    OrthogonalAligner(normalize=True).fit(new[:200], old[:200]).save(folder / "aligner")
    np.save(folder / "rest_old.npy", old[200:])
    np.save(folder / "rest_new.npy", new[200:])
    result = run(
        *(
            "calibrate",
            folder / "aligner",
            "--old",
            folder / "rest_old.npy",
            "--new",
            folder / "rest_new.npy",
        ),
        *("--out", folder / "calibration.json", "--generation", "v1", "--json"),
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    stored = ScoreCalibration.load(folder / "calibration.json")
    assert stored.generations["v1"].scale == found["scale"]
    assert found["queries"] == 100
    assert abs(found["calibrated_old_share"] - found["reference_old_share"]) < 0.1


def test_the_backfill_order_is_a_csv_by_expected_gain_within_the_budget(folder: Path) -> None:
    sample = np.random.default_rng(2).permutation(400)[:200]
    np.save(folder / "sample.npy", np.load(folder / "new.npy")[sample])
    (folder / "sample.txt").write_text("".join(f"item {i}\n" for i in sample))
    counts = np.random.default_rng(3).integers(1, 50, 400)
    (folder / "traffic.csv").write_text(
        "id,count\n" + "".join(f"item {i},{c}\n" for i, c in enumerate(counts))
    )
    result = run(
        *(
            "backfill",
            "--old",
            folder / "old.npy",
            "--ids",
            folder / "ids.txt",
            "--new",
            folder / "sample.npy",
        ),
        *("--new-ids", folder / "sample.txt", "--traffic", folder / "traffic.csv", "--budget", 50),
        *("--out", folder / "order.csv"),
    )
    assert result.exit_code == 0, result.output
    assert "50 of 400 items" in result.stdout
    rows = list(csv.DictReader((folder / "order.csv").open()))
    gains = [float(row["expected_gain"]) for row in rows]
    assert len(rows) == len({row["id"] for row in rows}) == 50
    assert gains == sorted(gains, reverse=True)
    for row in rows:
        assert int(row["traffic"]) == counts[int(row["id"].split()[1])]
        assert float(row["expected_gain"]) == pytest.approx(
            int(row["traffic"]) * (1 - float(row["cosine"])), abs=0.01
        )


def test_both_models_may_be_columns_of_one_table(folder: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        side: pa.FixedSizeListArray.from_arrays(pa.array(np.load(folder / f"{side}.npy").ravel()), D)
        for side in ("old", "new")
    }
    parquet.write_table(pa.table(columns), folder / "items.parquet")
    table = folder / "items.parquet"
    both = run(
        "check", "--old", table, "--old-column", "old", "--new", table, "--new-column", "new", "--json"
    )
    files = run("check", "--old", folder / "old.npy", "--new", folder / "new.npy", "--json")
    assert both.stdout == files.stdout


def test_a_sample_id_that_is_not_in_the_index_is_named(folder: Path) -> None:
    (folder / "sample.txt").write_text("".join(f"thing {i}\n" for i in range(400)))
    (folder / "traffic.csv").write_text("item 1,1\n")
    result = run(
        *("backfill", "--old", folder / "old.npy", "--ids", folder / "ids.txt", "--new", folder / "new.npy"),
        *(
            "--new-ids",
            folder / "sample.txt",
            "--traffic",
            folder / "traffic.csv",
            "--out",
            folder / "order.csv",
        ),
    )
    assert isinstance(result.exception, InputError)
    assert "400 ids are not in the old index, the first is 'thing 0'" in str(result.exception)
    assert not (folder / "order.csv").exists()

"""The commands as a user types them: align, apply, extend, chain."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.cli import main


@dataclass
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    """Run the command line in this process, with the exit status that the shell would see."""

    def run_command(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as finished:
            main(["backward-compatible", *map(str, arguments)])
        return Result(int(finished.value.code or 0), *capsys.readouterr())

    return run_command


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def world(tmp_path):
    """Three generations of one model family on 1,000 items, and the ids of the items."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(1000, 8)) + 0.4
    for version, width in (("v1", 16), ("v2", 20), ("v3", 24)):
        rows = hidden @ random.normal(size=(8, width)) + 0.3 * random.normal(size=(1000, width))
        np.save(tmp_path / f"{version}.npy", unit(rows).astype(np.float32))
    (tmp_path / "ids.txt").write_text("".join(f"item-{i}\n" for i in range(1000)))
    return tmp_path


def test_align_apply_extend_and_chain(world, run):
    made = run("align", "--new", world / "v2.npy", "--old", world / "v1.npy", "--out", world / "12",
               "--old-model", "first", "--new-model", "second", "--json")  # fmt: skip
    assert made.status == 0, made.err
    facts = json.loads(made.out)
    assert (facts["d_new"], facts["d_old"], facts["D"], facts["pairs"]) == (20, 16, 20, 1000)
    assert (facts["old_model"], facts["new_model"], facts["report"]["usable"]) == ("first", "second", True)
    aligner = OrthogonalAligner().fit(np.load(world / "v2.npy"), np.load(world / "v1.npy"))
    assert np.array_equal(OrthogonalAligner.load(world / "12").rotation_, aligner.rotation_)

    applied = run("apply", world / "12", world / "v2.npy", "--out", world / "rotated.npy")
    assert applied.status == 0, applied.err
    rotated = np.load(world / "rotated.npy")
    assert np.abs(rotated - aligner.transform(np.load(world / "v2.npy"))).max() < 1e-6
    run("apply", world / "12", world / "v2.npy", "--old-space", "--out", world / "queries.npy")
    assert np.abs(np.load(world / "queries.npy") - rotated[:, :16]).max() < 1e-6
    again = run("apply", world / "12", world / "rotated.npy", "--out", world / "twice.npy")
    assert again.status == 2
    assert "in the old space already" in again.err
    assert not (world / "twice.npy").exists()

    assert run("extend", world / "12", world / "v1.npy", "--out", world / "padded.npy").status == 0
    assert np.array_equal(np.load(world / "padded.npy"), np.pad(np.load(world / "v1.npy"), ((0, 0), (0, 4))))

    run(
        "align",
        "--new",
        world / "v3.npy",
        "--old",
        world / "v2.npy",
        "--out",
        world / "23",
        "--old-model",
        "second",
    )
    chained = run("chain", world / "12", world / "23", "--out", world / "13")
    assert chained.status == 0, chained.err
    assert (
        OrthogonalAligner.load(world / "13").score(np.load(world / "v3.npy"), np.load(world / "v1.npy")) > 0.5
    )
    wrong = run("chain", world / "23", world / "12", "--out", world / "31")
    assert wrong.status == 2
    assert "does not meet" in wrong.err
    assert not (world / "31").exists()


def test_rows_of_other_items_are_refused_unless_forced(world, run):
    shuffled = np.random.default_rng(0).permutation(1000)
    np.save(world / "shuffled.npy", np.load(world / "v2.npy")[shuffled])
    arguments = ["align", "--new", world / "shuffled.npy", "--old", world / "v1.npy", "--out", world / "out"]
    refused = run(*arguments)
    assert refused.status == 2
    assert "are the rows the same items?" in refused.err
    assert not (world / "out").exists()
    assert run(*arguments, "--force").status == 0
    assert not OrthogonalAligner.load(world / "out").report_.usable

    lines = (world / "ids.txt").read_text().splitlines()
    (world / "new.csv").write_text("id\n" + "".join(f"{lines[i]}\n" for i in shuffled))
    matched = run(*arguments, "--ids", world / "ids.txt", "--new-ids", world / "new.csv")
    assert matched.status == 0, matched.err
    assert "1,000 items matched by id" in matched.err
    expected = OrthogonalAligner().fit(np.load(world / "v2.npy"), np.load(world / "v1.npy")).rotation_
    assert np.abs(OrthogonalAligner.load(world / "out").rotation_ - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows[:-2], "new has 998 rows, old 1,000"),
        (lambda rows: (rows * 100).astype(np.int8), "dequantised"),
        (lambda rows: np.where(np.arange(1000)[:, None] == 12, np.nan, rows), "row 12 holds NaN"),
        (lambda rows: rows[0], "need vectors [n, d]"),
    ],
)
def test_bad_input_is_one_line_and_status_two(spoil, message, world, run):
    np.save(world / "bad.npy", spoil(np.load(world / "v2.npy")))
    result = run("align", "--new", world / "bad.npy", "--old", world / "v1.npy", "--out", world / "out")
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not (world / "out").exists()


def test_few_pairs_warn_with_the_rank_and_are_refused(world, run):
    for name in ("v1", "v2"):
        np.save(world / f"few-{name}.npy", np.load(world / f"{name}.npy")[:12])
    result = run(
        "align", "--new", world / "few-v2.npy", "--old", world / "few-v1.npy", "--out", world / "out"
    )
    assert result.status == 2
    assert "warning: rank 12 of 16" in result.err
    assert "only 12 pairs" in result.err

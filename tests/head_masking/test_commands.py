"""The commands, on a small LayoutLMv3 with drawn pages: from documents to a report and a masked checkpoint."""

import csv
import json

import pytest
import torch
from command_line import command
from PIL import Image

from paperworks.cli import main
from paperworks.tiny import document_model
from paperworks.tiny.documents import KINDS, collection, to_jsonl

pytestmark = pytest.mark.filterwarnings("ignore:.*do not span.*", "ignore:.*held-out scores.*")
KNOWN = KINDS[:3]


run = command("head-masking")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained classifier of three kinds with its processor, and pages to know, to choose by and to ask about."""
    from transformers import LayoutLMv3Config, LayoutLMv3ForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    pages = collection(KNOWN, 6, 1)
    processor = document_model.make_processor(pages)
    torch.manual_seed(0)
    config = LayoutLMv3Config(
        **document_model.SHAPE,
        vocab_size=len(processor.tokenizer),
        pad_token_id=processor.tokenizer.pad_token_id,
        id2label=dict(enumerate(KNOWN)),
        label2id={kind: index for index, kind in enumerate(KNOWN)},
    )
    LayoutLMv3ForSequenceClassification(config).half().save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    to_jsonl(pages, folder / "train")
    to_jsonl(collection(KNOWN, 8, 2), folder / "valid")
    to_jsonl(collection(KINDS[10:12], 3, 3), folder / "other")
    return folder


@pytest.fixture(scope="module")
def detector(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted") / "detector"
    arguments = ("--train", checkpoint / "train", "--valid", checkpoint / "valid", "--out", out, "--masks", 4)
    with pytest.raises(SystemExit) as end:
        main(["head-masking", "fit", str(checkpoint / "model"), *map(str, arguments)])
    assert not end.value.code
    return out


def test_heads_reads_the_config_alone(checkpoint, tmp_path, capsys):
    (tmp_path / "config.json").write_text((checkpoint / "model" / "config.json").read_text())
    status, out, err = run(capsys, "heads", tmp_path, "--json")
    assert status == 0, err
    layers = json.loads(out)
    assert [one["heads"] for one in layers] == [8] * 4
    status, out, _ = run(capsys, "heads", tmp_path)
    assert "4 layers, 32 heads" in out


def test_documents_are_scored_with_a_report_and_an_alarm(checkpoint, detector, tmp_path, capsys):
    scores, report = tmp_path / "scores.csv", tmp_path / "report.html"
    status, out, err = run(
        capsys,
        "score",
        detector,
        checkpoint / "other",
        "--out",
        scores,
        "--report",
        report,
        "--alarm",
        "0.01",
    )
    assert status == 0, err
    rows = list(csv.DictReader(scores.open()))
    assert len(rows) == 6
    assert all((row["label"] == "") == (float(row["score"]) < 0) for row in rows)
    assert all(row["predicted"] in KNOWN for row in rows)
    assert "p ≤ 0.05" in out
    page = report.read_text()
    assert page.count('<div class="card">') == 6
    assert page.count("data:image/png") > 6 * 2  # each page with its nearest known ones
    assert page.count("speak against it") >= 3  # the words, heads and patches of three pages
    assert page.count('<i style="left') >= 3
    assert "http" not in page.replace("http-equiv", "")
    status, out, _ = run(capsys, "score", detector, checkpoint / "other", "--json")
    told = json.loads(out)
    assert [float(row["score"]) for row in rows] == [one["score"] for one in told["documents"]]
    assert told["explanations"] == {}


def test_the_lowest_scores_are_explained(checkpoint, detector, capsys):
    from paperworks.head_masking import HeadMaskingDetector, read_documents

    status, out, err = run(capsys, "score", detector, checkpoint / "other", "--json", "--explain", 2)
    assert status == 0, err
    told = json.loads(out)
    lowest = sorted(told["documents"], key=lambda one: one["score"])[:2]
    assert list(told["explanations"]) == [one["id"] for one in lowest]
    loaded = HeadMaskingDetector.load(detector)
    document = next(one for one in read_documents(checkpoint / "other") if one.id == lowest[0]["id"])
    assert told["explanations"][document.id] == json.loads(json.dumps(loaded.explain(document).to_dict()))
    assert len(told["explanations"][document.id]["nearest"]) == 3
    status, _, err = run(capsys, "score", detector, checkpoint / "other", "--explain", 2)
    assert status == 2
    assert "--json or --report" in err


def test_rejected_documents_that_are_alike_are_proposed_as_a_new_kind(checkpoint, detector, tmp_path, capsys):
    Image.new("L", (448, 576), 0).save(tmp_path / "black.png")
    rows = [
        {"id": f"ticket {number}", "image": "black.png", "words": ["Seat", "Row", f"copy{number}"],
         "boxes": [[0, 0, 9, 9], [500, 500, 900, 900], [900, 900, 999, 999]]}
        for number in range(6)
    ]  # fmt: skip
    known = [json.loads(line) for line in (checkpoint / "valid" / "documents.jsonl").read_text().splitlines()]
    for row in known:
        row["image"] = str(checkpoint / "valid" / row["image"])
    (tmp_path / "inbox.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows + known))
    report = tmp_path / "report.html"
    status, out, err = run(
        capsys, "score", detector, tmp_path / "inbox.jsonl", "--json", "--report", report, "--explain", 0
    )
    assert status == 0, err
    told = json.loads(out)
    groups = [group for group in told["groups"] if set(group["documents"]) & {row["id"] for row in rows}]
    assert len(groups) == 1
    assert set(groups[0]["documents"]) == {row["id"] for row in rows}
    assert set(groups[0]["words"]) == {"seat", "row"}
    page = report.read_text()
    assert page.count('<div class="card group">') == len(told["groups"])
    assert "typical words: row, seat" in page or "typical words: seat, row" in page
    assert "speak against" not in page
    status, out, _ = run(
        capsys, "score", detector, tmp_path / "inbox.jsonl", "--out", tmp_path / "scores.csv"
    )
    assert "a new kind? 6 of them are like ticket" in out


def test_known_and_unknown_documents_are_evaluated_beside_all_heads(checkpoint, detector, tmp_path, capsys):
    arguments = ("--known", checkpoint / "valid", "--unknown", checkpoint / "other")
    status, out, err = run(
        capsys, "evaluate", detector, *arguments, "--json", "--report", tmp_path / "r.html"
    )
    assert status == 0, err
    found = json.loads(out)
    assert found.keys() == {"chosen", "all heads"}
    assert found["chosen"]["n_unknown"] == 6
    assert "Known against unknown" in (tmp_path / "r.html").read_text()


def test_the_masked_checkpoint_is_the_masked_model_without_this_library(checkpoint, tmp_path, capsys):
    from transformers import AutoModelForSequenceClassification, AutoProcessor

    from paperworks.head_masking import HeadMask, masked_heads

    arguments = ("--train", checkpoint / "train", "--valid", checkpoint / "valid", "--out", tmp_path / "d")
    assert (
        run(capsys, "fit", checkpoint / "model", *arguments, "--heads", "random", "--score", "knn", "--k", 3)[
            0
        ]
        == 0
    )
    status, out, err = run(capsys, "export", tmp_path / "d", "--out", tmp_path / "masked")
    assert status == 0, err
    assert "8 of 32 heads" in out
    model, masked = (
        AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        for folder in (checkpoint / "model", tmp_path / "masked")
    )
    batch = document_model.encoded(
        collection(KNOWN, 1, 9), AutoProcessor.from_pretrained(tmp_path / "masked")
    )
    with torch.no_grad():
        with masked_heads(model, HeadMask.load(tmp_path / "d" / "head_mask.json")):
            expected = model(**batch).logits
        assert torch.equal(masked(**batch).logits, expected)
        assert not torch.equal(model(**batch).logits, expected)
    assert run(capsys, "export", tmp_path / "d", "--out", tmp_path / "masked")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("heads", "{folder}/none"), "no classifier's config.json"),
        (("fit", "{folder}/model", "--train", "{folder}/none", "--valid", "{folder}/valid"), "none"),
        (
            ("fit", "{folder}/none", "--train", "{folder}/train", "--valid", "{folder}/valid"),
            "cannot load a classifier",
        ),
        (
            ("fit", "{folder}/model", "--train", "{folder}/train", "--valid", "{folder}/other"),
            "does not know the labels",
        ),
        (
            (
                "fit",
                "{folder}/model",
                "--train",
                "{folder}/train",
                "--valid",
                "{folder}/valid",
                "--fraction",
                "2",
            ),
            "between 0 and 1",
        ),
        (
            (
                "fit",
                "{folder}/model",
                "--train",
                "{folder}/train",
                "--valid",
                "{folder}/valid",
                "--score",
                "best",
            ),
            "no score 'best'",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(checkpoint, tmp_path, capsys, arguments, message):
    given = [argument.format(folder=checkpoint) for argument in arguments]
    out = tmp_path / "out"
    status, printed, err = run(capsys, *given, *(("--out", out) if given[0] == "fit" else ()))
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not printed
    assert not out.exists()


def test_a_folder_that_is_no_detector_is_refused(checkpoint, capsys):
    status, _, err = run(capsys, "score", checkpoint / "model", checkpoint / "other")
    assert status == 2
    assert "holds no detector" in err

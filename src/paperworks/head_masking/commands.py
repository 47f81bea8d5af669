"""The commands `paperworks head-masking …`: parse, call the library, report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperworks.progress import plain_warnings, print_json, progress_bar, quiet_libraries

if TYPE_CHECKING:
    from paperworks.head_masking.detector import HeadMaskingDetector

app = typer.Typer(
    no_args_is_help=True,
    help="Tell documents of no known kind with a classifier that you have: attention head masking.",
)

Checkpoint = Annotated[Path, typer.Argument(help="Folder of a fine-tuned transformers classifier.")]
Detector = Annotated[Path, typer.Argument(help="Folder that `fit` wrote.")]
Documents = Annotated[
    Path,
    typer.Argument(
        help="JSON lines (image, words, boxes), hOCR, FUNSD, a saved data set, CSV, or a folder of images."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Documents at a time.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda …")]
Report = Annotated[Path | None, typer.Option(help="Also write an HTML page.")]


def _load(folder: Path, batch_size: int, device: str) -> HeadMaskingDetector:
    from paperworks.head_masking.detector import HeadMaskingDetector

    quiet_libraries()
    return HeadMaskingDetector.load(folder, batch_size=batch_size, device=device)


@app.command("fit")
def fit_command(
    checkpoint: Checkpoint,
    train: Annotated[Path, typer.Option(help="Known documents with labels: the reference.")],
    valid: Annotated[
        Path, typer.Option(help="Other known documents with labels: choose the heads, set the threshold.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the detector.")],
    score: Annotated[
        str, typer.Option(help="mahalanobis, knn, energy …: one of the scores.")
    ] = "mahalanobis",
    heads: Annotated[
        str,
        typer.Option(
            help="class_holdout, outlier_exposure, greedy, random, ensemble, none, or a head_mask.json."
        ),
    ] = "class_holdout",
    fraction: Annotated[
        float, typer.Option(help="Share of the heads of each layer that a random mask leaves out.")
    ] = 0.25,
    masks: Annotated[int, typer.Option(min=1, help="Random masks that are compared.")] = 32,
    outliers: Annotated[
        Path | None, typer.Option(help="Documents known to be foreign, for outlier_exposure.")
    ] = None,
    feature: Annotated[str, typer.Option(help="cls, mean or penultimate.")] = "cls",
    contamination: Annotated[
        float, typer.Option(help="Share of known documents that may be called unknown.")
    ] = 0.05,
    k: Annotated[int | None, typer.Option(min=1, help="Neighbours, for --score knn.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    batch_size: BatchSize = 16,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Fit a detector on known documents alone; the classifier is not changed.

    Example:  paperworks head-masking fit ./classifier --train train.jsonl --valid valid.jsonl --out detector
    """
    from paperworks.head_masking.choose import METHODS
    from paperworks.head_masking.detector import HeadMaskingDetector, load_classifier
    from paperworks.head_masking.documents import read_documents
    from paperworks.head_masking.heads import HeadMask

    with plain_warnings():
        documents = [read_documents(path) for path in (train, valid)]
        foreign = read_documents(outliers) if outliers else None
    quiet_libraries()
    model, processor = load_classifier(checkpoint)
    detector = HeadMaskingDetector(
        model,
        processor,
        score=score,
        heads=heads if heads in METHODS or not Path(heads).is_file() else HeadMask.load(heads),
        fraction=fraction,
        n_masks=masks,
        feature=feature,
        contamination=contamination,
        seed=seed,
        batch_size=batch_size,
        device=device,
        **({} if k is None else {"k": k}),
    )
    with plain_warnings(), progress_bar("fitting") as progress:
        detector.fit(*documents, outliers=foreign, progress=progress)
    detector.save(out, model_path=str(checkpoint.resolve()))
    choice = detector.choice_
    if as_json:
        print_json(
            {
                "out": str(out),
                "masked": [mask.masked for mask in detector.masks_],
                "heads": detector.masks_[0].heads,
                "offset": detector.offset_,
                "choice": choice.to_dict(),
            }
        )
        return
    if choice.candidates:
        _print_choice(choice.to_dict(), detector.masks_[0].to_dict())
    mask = detector.masks_[0]
    if choice.keeps_all:
        print(f"all {mask.heads} heads are kept")
    elif len(detector.masks_) > 1:
        print(f"the mean over {len(detector.masks_)} masks of {mask.masked} of {mask.heads} heads each")
    else:
        print(f"{mask.masked} of {mask.heads} heads are masked")
    print(
        f"threshold {detector.offset_:.6g}: {1 - contamination:.0%} of held-out known documents pass → {out}"
    )


def _print_choice(choice: dict[str, Any], mask: dict[str, list[int]]) -> None:
    """All heads, the chosen mask, and the random masks, on each share of the documents."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "known documents", "all heads", "chosen mask", "random masks, least to most", box=None, pad_edge=False
    )
    candidates = choice["candidates"]
    chosen = next(one for one in candidates if one["mask"] == mask)
    for rung, share in enumerate(choice["shares"]):
        values = [one["rungs"][rung]["auroc"] for one in candidates[1:] if len(one["rungs"]) > rung]
        spread = f"{min(values):.3f} … {max(values):.3f} ({len(values)})" if values else "–"
        own = f"{chosen['rungs'][rung]['auroc']:.3f}" if len(chosen["rungs"]) > rung else "–"
        table.add_row(f"{share:.0%}", f"{candidates[0]['rungs'][rung]['auroc']:.3f}", own, spread)
    Console().print(table)
    print("mean AUROC of classes held out in turn; the classifier has seen them, so this is optimistic")
    if choice["criterion"] == "margin":
        print("every candidate told them apart: ranked by the margin between them instead")


@app.command("score")
def score_command(
    detector: Detector,
    documents: Documents,
    out: Annotated[Path | None, typer.Option(help="CSV file; default: standard output.")] = None,
    alarm: Annotated[
        float | None, typer.Option(help="Also test all documents as one batch, at this level: 0.01.")
    ] = None,
    explain: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Say of the N lowest scores what speaks against them, in --json and --report (there 3 by default).",
        ),
    ] = None,
    report: Report = None,
    batch_size: BatchSize = 16,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """The class of each document or none, its score (below 0: unknown) and its p-value; groups of unknown ones.

    Example:  paperworks head-masking score detector inbox.jsonl --out scores.csv --report inbox.html
    """
    import io

    import numpy as np

    from paperworks.errors import InputError
    from paperworks.files import write_text
    from paperworks.head_masking.documents import read_documents
    from paperworks.head_masking.groups import new_kinds
    from paperworks.head_masking.report import write_report

    if explain and not (as_json or report):
        raise InputError("--explain is told in --json or --report: give one")
    with plain_warnings():
        read = read_documents(documents)
    loaded = _load(detector, batch_size, device)
    with progress_bar("scoring") as progress:
        outputs, features = loaded.outputs(read, progress=progress)
    scores = loaded.score_outputs(outputs, features)
    found = loaded.findings(outputs.logits, scores)
    rejected = [index for index, finding in enumerate(found) if finding.label is None]
    groups = new_kinds(read, features[0], rejected, loaded.reference_[0].mean(0))
    rows = [
        {
            "id": document.id,
            "label": finding.label or "",
            "predicted": finding.predicted,
            "score": finding.score,
            "p_value": finding.p_value,
        }
        for document, finding in zip(read, found, strict=True)
    ]
    batch = (
        loaded.alarm_of([finding.p_value for finding in found], level=alarm) if alarm is not None else None
    )
    if report:
        write_report(report, loaded, read, explain=3 if explain is None else explain)
    if as_json:
        lowest = np.argsort(scores, kind="stable")[: explain or 0]
        print_json(
            {
                "documents": rows,
                "alarm": None if batch is None else vars(batch),
                "groups": [
                    {"documents": [read[index].id for index in group.members], "words": group.words}
                    for group in groups
                ],
                "explanations": {read[index].id: loaded.explain(read[index]).to_dict() for index in lowest},
            }
        )
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if out:
        write_text(out, text.getvalue())
        unknown = sum(finding.label is None for finding in found)
        print(f"{unknown} of {len(rows)} documents are of no known kind → {out}")
        for group in groups:
            words = f" ({', '.join(group.words)})" if group.words else ""
            print(f"a new kind? {len(group.members)} of them are like {read[group.members[0]].id}{words}")
    else:
        print(text.getvalue(), end="")
    if batch is not None:
        state = "ALARM" if batch.alarm else "no alarm"
        print(
            f"{state}: {batch.low} of {batch.documents} documents have p ≤ {batch.tail}; "
            f"p = {batch.p_value:.3g} for as many by chance"
        )
    if report:
        print(f"report → {report}")


@app.command("evaluate")
def evaluate_command(
    detector: Detector,
    known: Annotated[Path, typer.Option(help="Documents of known kinds that the detector has not seen.")],
    unknown: Annotated[Path, typer.Option(help="Documents of other kinds.")],
    report: Report = None,
    batch_size: BatchSize = 16,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """AUROC, AUPR and both FPR95 on known and unknown documents, beside the same detector with all heads.

    Example:  paperworks head-masking evaluate detector --known test.jsonl --unknown other.jsonl --report report.html
    """
    from paperworks.head_masking.documents import read_documents
    from paperworks.head_masking.report import write_report

    with plain_warnings():
        both = [read_documents(path) for path in (known, unknown)]
    loaded = _load(detector, batch_size, device)
    with progress_bar("evaluating") as progress:
        found = loaded.evaluate(*both, progress=progress)
    if report:
        write_report(report, loaded, *both, found=found["chosen"], unmasked=found["all heads"])
    if as_json:
        print_json({name: one.to_dict() for name, one in found.items()})
        return
    from rich.console import Console
    from rich.table import Table

    columns = ("", "AUROC", "FPR95", "FPR95 (unknown positive)", "AUPR known", "AUPR unknown")
    table = Table(*columns, box=None, pad_edge=False)
    for name, one in found.items():
        values = (one.auroc, one.fpr95, one.fpr95_ood_positive, one.aupr_in, one.aupr_out)
        table.add_row(name, *(f"{value:.3f}" for value in values))
    Console().print(table)
    print("FPR95: the share of unknown documents that pass where 95 % of the known do")
    if report:
        print(f"report → {report}")


@app.command("heads")
def heads_command(checkpoint: Checkpoint, as_json: AsJson = False) -> None:
    """Layers and heads of a model, and where they would be masked. Reads config.json alone.

    Example:  paperworks head-masking heads ./classifier
    """
    from paperworks.head_masking.detector import empty_classifier
    from paperworks.head_masking.heads import attention_layers

    layers = attention_layers(empty_classifier(checkpoint))
    if as_json:
        print_json([{"name": one.name, "heads": one.heads, "head_dim": one.head_dim} for one in layers])
        return
    for number, one in enumerate(layers, 1):
        print(f"{number:3}  {one.heads:3} heads of {one.head_dim:3}  {one.name}")
    print(f"{len(layers)} layers, {sum(one.heads for one in layers)} heads")


@app.command("export")
def export_command(
    detector: Detector,
    out: Annotated[Path, typer.Option(help="Folder for the masked checkpoint.")],
) -> None:
    """The classifier with the mask folded into its weights: an ordinary checkpoint, which loads without this library.

    Its features are those of the detector; its classes are no longer those of the classifier as it was.

    Example:  paperworks head-masking export detector --out masked-classifier
    """
    from paperworks.errors import InputError

    loaded = _load(detector, 16, "cpu")
    if len(loaded.masks_) > 1:
        raise InputError(
            f"{detector} is an ensemble of {len(loaded.masks_)} masks: there is no one model to write"
        )
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise InputError(f"{out} is not empty: give a new folder")
    loaded.masks_[0].fold_into(loaded.model)
    loaded.model.save_pretrained(out)
    if loaded.processor is not None:
        loaded.processor.save_pretrained(out)
    print(f"{loaded.masks_[0].masked} of {loaded.masks_[0].heads} heads folded away → {out}")

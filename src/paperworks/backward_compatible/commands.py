"""The commands `paperworks backward-compatible …`: parse, call the library, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paperworks.progress import plain_warnings, print_json, progress_bar, quiet_libraries

if TYPE_CHECKING:
    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.vectors import Vectors

app = typer.Typer(
    no_args_is_help=True,
    help="Replace an embedding model without re-indexing: rotate the new model's vectors onto the old gallery.",
)


def _matched(
    old: Path,
    new: Path,
    old_ids: Path | None,
    new_ids: Path | None,
    old_column: str | None,
    new_column: str | None,
) -> tuple[Vectors, Vectors, list[str] | None]:
    """The vectors of the items that both sides have, row by row, and their ids if there are any."""
    from paperworks.backward_compatible.vectors import match_ids, open_vectors, read_ids
    from paperworks.errors import InputError

    pairs_old, pairs_new = open_vectors(old, old_column), open_vectors(new, new_column)
    if old_ids is None:
        if new_ids is not None:
            raise InputError("--new-ids needs the ids of the old rows too: give --ids")
        return pairs_old, pairs_new, None
    names = read_ids(old_ids, len(pairs_old))
    if new_ids is None:
        return pairs_old, pairs_new, names
    matched = match_ids(names, read_ids(new_ids, len(pairs_new)))
    rows_old, rows_new = matched
    typer.echo(
        f"{len(rows_old):,} items matched by id; {matched.only_first:,} ids only in old, {matched.only_second:,} only "
        f"in new, {matched.duplicated:,} left out as ambiguous",
        err=True,
    )
    return pairs_old.select(rows_old), pairs_new.select(rows_new), [names[row] for row in rows_old]


def _shape(aligner: OrthogonalAligner) -> str:
    return (
        f"{aligner.n_features_in_} -> {aligner.rotation_.shape[1]} coordinates, of which the first "
        f"{aligner.n_features_old_} are the old space:"
    )


@app.command("align")
def align_command(
    new: Annotated[Path, typer.Option(help="Vectors of the new model, [n, d_new].")],
    old: Annotated[Path, typer.Option(help="Vectors of the old model for the same items, [n, d_old].")],
    out: Annotated[Path, typer.Option(help="The folder to save the aligner in.")],
    ids: Annotated[
        Path | None,
        typer.Option(help="Ids of the old rows, one a line or a CSV with a column `id`; needs --new-ids."),
    ] = None,
    new_ids: Annotated[Path | None, typer.Option(help="Ids of the new rows: rows are matched by id.")] = None,
    new_column: Annotated[str | None, typer.Option(help="Column or tensor of --new.")] = None,
    old_column: Annotated[str | None, typer.Option(help="Column or tensor of --old.")] = None,
    new_model: Annotated[
        str | None, typer.Option(help="Name of the new model, kept with the aligner.")
    ] = None,
    old_model: Annotated[
        str | None, typer.Option(help="Name of the old model, kept with the aligner.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option(help="Scale the rows of the sample to length one before fitting.")
    ] = True,
    relaxation: Annotated[
        float, typer.Option(min=0, max=1, help="0: exact rotation. Up to 1: towards least squares.")
    ] = 0.0,
    refine: Annotated[
        bool, typer.Option("--refine", help="Refine the rotation for the cosine, by minibatches.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Save the aligner even if the rows do not match.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the saved facts as JSON.")] = False,
) -> None:
    """Fit the rotation that carries new vectors onto old ones, from pairs of the same items.

    Example:  paperworks backward-compatible align --new new.npy --old old.npy --out aligner/
    """

    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.storage import describe
    from paperworks.errors import InputError

    pairs_old, pairs_new, _ = _matched(old, new, ids, new_ids, old_column, new_column)
    aligner = OrthogonalAligner(normalize, relaxation, refine, new_model, old_model)
    with plain_warnings():
        aligner.fit(pairs_new, pairs_old)
    report = aligner.report_
    if not report.usable and not force:
        raise InputError(f"{report.reason} Nothing was saved; --force saves it all the same")
    aligner.save(out)
    if as_json:
        print_json(describe(aligner))
        return
    print(f"{report.pairs:,} pairs, {report.duplicates:,} of them repeated; rank {report.rank}")
    print(report.reason)
    if relaxation:
        low, high = report.singular_values
        print(
            f"lengths of new vectors change by {low:.3f} to {high:.3f}, cosines by {report.distortion:.4f} (rms)"
        )
    print(_shape(aligner), out)


@app.command("apply")
def apply_command(
    aligner: Annotated[Path, typer.Argument(help="The aligner's folder.")],
    vectors: Annotated[Path, typer.Argument(help="Vectors of the new model, a file or a folder of Parquet.")],
    out: Annotated[
        Path, typer.Option(help="The rotated vectors: .npy, .safetensors, or Parquet from Parquet.")
    ],
    column: Annotated[str | None, typer.Option(help="Column or tensor of the vectors.")] = None,
    old_space: Annotated[
        bool, typer.Option("--old-space", help="Keep the old coordinates alone: queries to the old index.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Rotate even what seems to be rotated already.")
    ] = False,
) -> None:
    """Rotate a gallery of any size, file to file. A run that was interrupted continues when it is started again.

    Example:  paperworks backward-compatible apply aligner/ new_all.npy --out rotated.npy
    """
    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.gallery import transform_file

    fitted = OrthogonalAligner.load(aligner)
    width = fitted.n_features_old_ if old_space else None
    with plain_warnings(), progress_bar("rotating") as progress:
        transform_file(
            fitted,
            vectors,
            out,
            column=column,
            width=width,
            resume=resume,
            force=force,
            progress=lambda done, total: progress(done, total, f"rotating {total:,} vectors"),
        )
    print(out)


@app.command("extend")
def extend_command(
    aligner: Annotated[Path, typer.Argument(help="The aligner's folder.")],
    vectors: Annotated[Path, typer.Argument(help="Vectors of the old model, a file or a folder of Parquet.")],
    out: Annotated[
        Path, typer.Option(help="The padded vectors: .npy, .safetensors, or Parquet from Parquet.")
    ],
    column: Annotated[str | None, typer.Option(help="Column or tensor of the vectors.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = True,
) -> None:
    """Pad old vectors with zeros to the aligner's width, so that they share an index with rotated new ones.

    Example:  paperworks backward-compatible extend aligner/ old_all.npy --out padded.npy
    """
    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.gallery import extend_file

    fitted = OrthogonalAligner.load(aligner)
    with plain_warnings(), progress_bar("padding") as progress:
        extend_file(
            fitted,
            vectors,
            out,
            column=column,
            resume=resume,
            progress=lambda done, total: progress(done, total, f"padding {total:,} vectors"),
        )
    print(out)


@app.command("chain")
def chain_command(
    first: Annotated[Path, typer.Argument(help="The aligner v1 <- v2.")],
    second: Annotated[Path, typer.Argument(help="The aligner v2 <- v3.")],
    out: Annotated[Path, typer.Option(help="The folder to save the aligner v1 <- v3 in.")],
) -> None:
    """Compose two aligners into one rotation, v1 <- v2 <- v3.

    Example:  paperworks backward-compatible chain v1-from-v2/ v2-from-v3/ --out v1-from-v3/
    """
    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.chain import compose

    chain = compose(OrthogonalAligner.load(first), OrthogonalAligner.load(second))
    chain.save(out)
    print(_shape(chain), out)
    print(chain.report_.reason)


@app.command("check")
def check_command(
    old: Annotated[Path, typer.Option(help="Vectors of the old model, [n, d_old].")],
    new: Annotated[Path, typer.Option(help="Vectors of the new model for the same items, [n, d_new].")],
    ids: Annotated[
        Path | None,
        typer.Option(
            help="Ids of the old rows, one a line or a CSV with a column `id`; of both sides without --new-ids."
        ),
    ] = None,
    new_ids: Annotated[Path | None, typer.Option(help="Ids of the new rows: rows are matched by id.")] = None,
    relevance: Annotated[
        Path | None, typer.Option(help="Judgements as `query item grade` lines (TREC qrels).")
    ] = None,
    old_queries: Annotated[Path | None, typer.Option(help="Real queries under the old model.")] = None,
    new_queries: Annotated[Path | None, typer.Option(help="The same queries under the new model.")] = None,
    query_ids: Annotated[Path | None, typer.Option(help="Ids of the queries, one a line.")] = None,
    k: Annotated[int, typer.Option("--top", "-k", min=1, help="Length of the result lists.")] = 10,
    folds: Annotated[int, typer.Option(min=2, help="Parts that are held out in turn.")] = 5,
    margin: Annotated[float, typer.Option(min=0, help="The smallest difference that matters.")] = 0.01,
    at_most: Annotated[int, typer.Option(min=1, help="Of more pairs, a random sample is taken.")] = 10_000,
    old_column: Annotated[
        str | None, typer.Option(help="Column or tensor in OLD, where it has several.")
    ] = None,
    new_column: Annotated[
        str | None, typer.Option(help="Column or tensor in NEW, where it has several.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and intervals.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write a self-contained HTML report here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Save the figures in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Go or no-go: predict from pairs what new queries will find in the old index.

    Exit status: 0 = go (rotate or blend), 1 = no-go (re-embed, keep-old or do-not), 2 = bad input, such as rows
    that are not the same items.

    Example:  paperworks backward-compatible check --old old.npy --new new.npy --out report.html
    """

    from paperworks.backward_compatible.check import check
    from paperworks.backward_compatible.check_report import print_report, write_figures, write_html
    from paperworks.backward_compatible.relevance import read_qrels
    from paperworks.backward_compatible.vectors import open_vectors, read_ids
    from paperworks.errors import InputError

    if (old_queries is None) != (new_queries is None):
        raise InputError("queries are needed under both models: give --old-queries and --new-queries")
    pairs_old, pairs_new, names = _matched(old, new, ids, new_ids, old_column, new_column)
    queries, asked = None, None
    if old_queries is not None and new_queries is not None:
        queries = open_vectors(old_queries), open_vectors(new_queries)
        asked = None if query_ids is None else read_ids(query_ids, len(queries[0]))
    with progress_bar("fitting") as progress:
        report = check(
            pairs_old,
            pairs_new,
            queries=queries,
            relevance=None if relevance is None else read_qrels(relevance),
            ids=names,
            query_ids=asked,
            k=k,
            folds=folds,
            margin=margin,
            at_most=at_most,
            seed=seed,
            progress=progress,
        )
    if figures is not None:
        write_figures(report, figures)
    if out is not None:
        write_html(report, out)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
    raise typer.Exit(0 if report.go else 1)


@app.command("calibrate")
def calibrate_command(
    aligner: Annotated[Path, typer.Argument(help="The aligner's folder.")],
    old: Annotated[Path, typer.Option(help="Vectors of the old model, of pairs the aligner has not seen.")],
    new: Annotated[Path, typer.Option(help="Vectors of the new model for the same items.")],
    out: Annotated[Path, typer.Option(help="The calibration, as JSON.")],
    ids: Annotated[Path | None, typer.Option(help="Ids of the old rows, one a line.")] = None,
    new_ids: Annotated[Path | None, typer.Option(help="Ids of the new rows: rows are matched by id.")] = None,
    generation: Annotated[str, typer.Option(help="What to call the old items.")] = "old",
    k: Annotated[int, typer.Option("--top", "-k", min=1, help="Length of the result lists.")] = 10,
    old_column: Annotated[
        str | None, typer.Option(help="Column or tensor in OLD, where it has several.")
    ] = None,
    new_column: Annotated[
        str | None, typer.Option(help="Column or tensor in NEW, where it has several.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Scale and bias that let old and new items share one index: score × scale + bias.

    Fitted on half of the pairs, judged on the other half in a gallery of which half is old.

    Example:  paperworks backward-compatible calibrate aligner/ --old old.npy --new new.npy --out calibration.json
    """
    from dataclasses import asdict

    import numpy as np

    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.calibration import calibrate, mixed_gallery

    fitted = OrthogonalAligner.load(aligner)
    pairs_old, pairs_new, _ = _matched(old, new, ids, new_ids, old_column, new_column)
    fit, judge = (
        np.sort(rows) for rows in np.array_split(np.random.default_rng(seed).permutation(len(pairs_old)), 2)
    )
    calibration = calibrate(fitted, pairs_new[fit], pairs_old[fit], k=k, generation=generation, seed=seed)
    found = mixed_gallery(
        fitted, calibration, pairs_new[judge], pairs_old[judge], k=k, generation=generation, seed=seed
    )
    calibration.save(out)
    affine = calibration.generations[generation]
    if as_json:
        print_json({"scale": affine.scale, "bias": affine.bias, **asdict(found)})
        return
    print(f"{generation}: score × {affine.scale:.4f} {affine.bias:+.4f}  → {out}")
    print(f"in an index that is half old, {found.queries:,} held-out queries, against all re-embedded:")
    print(f"  recall@{k}            {found.raw_recall:.1%} before, {found.calibrated_recall:.1%} calibrated")
    print(
        f"  old items in top {k}  {found.raw_old_share:.1%} before, {found.calibrated_old_share:.1%} calibrated, "
        f"{found.reference_old_share:.1%} if all were re-embedded"
    )


@app.command("backfill")
def backfill_command(
    old: Annotated[Path, typer.Option(help="All vectors of the old index, [N, d_old].")],
    new: Annotated[Path, typer.Option(help="New vectors of a sample of its items, [n, d_new].")],
    new_ids: Annotated[Path, typer.Option(help="Ids of the sample's rows, one a line.")],
    traffic: Annotated[Path, typer.Option(help="`id,count` lines: how often each item is wanted.")],
    out: Annotated[Path, typer.Option(help="The order, as CSV: id, traffic, cosine, expected gain.")],
    ids: Annotated[
        Path | None, typer.Option(help="Ids of the old rows; default: row numbers from 0.")
    ] = None,
    budget: Annotated[int | None, typer.Option(min=0, help="How many items can be re-embedded.")] = None,
    old_column: Annotated[
        str | None, typer.Option(help="Column or tensor in OLD, where it has several.")
    ] = None,
    new_column: Annotated[
        str | None, typer.Option(help="Column or tensor in NEW, where it has several.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the held-out splits.")] = 0,
) -> None:
    """Which old items to re-embed first: high traffic, and an old vector that disagrees with the new model.

    The sample's cosines are held out; those of the other items are predicted from their old vectors. The gain is
    rehearsed on half of the sample before you spend anything.

    Example:  paperworks backward-compatible backfill --old old.npy --new sample.npy --new-ids sample.txt --traffic
    counts.csv --budget 100000 --out order.csv
    """
    import csv
    import io

    import numpy as np

    from paperworks.backward_compatible.backfill import (
        backfill_order,
        expected_gain,
        predict_cosine,
        read_traffic,
        rehearse,
    )
    from paperworks.backward_compatible.vectors import open_vectors, read_ids
    from paperworks.errors import InputError
    from paperworks.files import write_text

    gallery, sample = open_vectors(old, old_column), open_vectors(new, new_column)
    names = [str(row) for row in range(len(gallery))] if ids is None else read_ids(ids, len(gallery))
    place = {name: row for row, name in enumerate(names)}
    known = read_ids(new_ids, len(sample))
    unknown = [name for name in known if name not in place]
    if unknown:
        raise InputError(
            f"{new_ids}: {len(unknown):,} ids are not in the old index, the first is {unknown[0]!r}"
        )
    rows = np.array([place[name] for name in known])
    counts = read_traffic(traffic.read_text(encoding="utf-8").splitlines(), names, str(traffic))
    sample_old, sample_new = gallery.take(rows), np.asarray(sample)
    predicted = predict_cosine(sample_old, sample_new, gallery, seed=seed)
    cosines = predicted.cosines.copy()
    cosines[rows] = predicted.sample
    order = backfill_order(counts, cosines, budget=budget)
    gain = expected_gain(counts, cosines)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "traffic", "cosine", "expected_gain"])
    table.writerows([names[i], f"{counts[i]:g}", f"{cosines[i]:.4f}", f"{gain[i]:.6g}"] for i in order)
    write_text(out, text.getvalue())

    share = gain[order].sum() / gain.sum() if gain.sum() else 0.0
    print(f"{len(order):,} of {len(names):,} items, {share:.1%} of the expected gain → {out}")
    fits = ", ".join(f"{name} {value:.2f}" for name, value in predicted.r2.items())
    print(f"cosines predicted by {predicted.method} (held-out R²: {fits})")
    curve = rehearse(sample_old, sample_new, counts[rows], seed=seed)
    print("rehearsed on held-out pairs, traffic-weighted recall@10 after re-embedding a part:")
    for i, number in enumerate(curve.budgets):
        levels = "  ".join(f"{name} {values[i]:.1%}" for name, values in curve.recall.items())
        print(f"  {number / curve.budgets[-1]:4.0%}  {levels}")


@app.command("train")
def train_command(
    old: Annotated[str, typer.Option(help="Checkpoint of the old model: a folder or a hub id.")],
    backbone: Annotated[str, typer.Option(help="Checkpoint that the new model starts from.")],
    data: Annotated[Path, typer.Option(help="Images by class: DATA/CLASS/IMAGE.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained model; must not exist.")],
    extra_dimensions: Annotated[int, typer.Option(help="Dimensions beyond the old model's.")] = 32,
    transformation: Annotated[
        str,
        typer.Option(help="The layer before the classifier: orthogonal, cayley or identity."),
    ] = "orthogonal",
    epochs: Annotated[int, typer.Option(min=1)] = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step and process.")] = 64,
    learning_rate: Annotated[float, typer.Option("--lr", min=0, help="Adam's, after the warm-up.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0)] = 2.0**-15,
    warmup_epochs: Annotated[
        int, typer.Option(min=0, help="Linear, at most all epochs; then half a cosine to 0.")
    ] = 5,
    label_smoothing: Annotated[float, typer.Option(min=0, max=1)] = 0.1,
    flip: Annotated[bool, typer.Option(help="Mirror half of the images.")] = True,
    mixed_precision: Annotated[str, typer.Option(help="no, fp16 or bf16.")] = "no",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last whole epoch.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the history as JSON.")] = False,
) -> None:
    """Train a new model whose queries can search the old model's gallery (the paper's method).

    The defaults are those of the paper's code. A killed run goes on with --resume.

    Example:  paperworks backward-compatible train --old ./old --backbone ./resnet --data images/ --out ./new
    """
    import os

    from accelerate import PartialState

    from paperworks.backward_compatible.finetune import TrainingOptions, train_on_images
    from paperworks.devices import resolve_device

    quiet_libraries()

    options = TrainingOptions(
        extra_dimensions=extra_dimensions,
        transformation=transformation,  # type: ignore[arg-type]
        label_smoothing=label_smoothing,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_epochs=min(warmup_epochs, epochs),
        flip=flip,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    with progress_bar("training") as progress:
        history = train_on_images(
            old,
            backbone,
            data,
            out,
            options,
            resume=resume,
            workers=workers,
            device=resolve_device(device),
            progress=progress,
        )
    PartialState().destroy_process_group()
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        print_json(history)
        return
    last = history[-1]
    print(f"{out}: {len(history)} epochs, loss {history[0]['loss']:.4f} → {last['loss']:.4f}")
    print("  ".join(f"{name} {last[name]:.4f}" for name in ("classification", "influence", "alignment")))


@app.command("compare")
def compare_command(
    vectors: Annotated[
        list[Path], typer.Argument(help="Vectors of each model for the same items, oldest first.")
    ],
    labels: Annotated[Path, typer.Option(help="The items' classes, one a line, in the order of the rows.")],
    metrics: Annotated[str, typer.Option(help="cmcK and map, separated by commas.")] = "cmc1,cmc5,map",
    similarity: Annotated[str, typer.Option(help="cosine, inner or l2.")] = "cosine",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Which model's queries can search which model's gallery: the compatibility matrix of two or more models.

    Example:  paperworks backward-compatible compare old.npy new.npy --labels classes.txt
    """

    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from paperworks.backward_compatible.compatibility import compatibility
    from paperworks.backward_compatible.vectors import open_vectors
    from paperworks.errors import InputError

    names = [path.stem for path in vectors]
    if len(set(names)) < len(names):
        names = [str(path) for path in vectors]
    if len(set(names)) < 2:
        raise InputError("compare needs the vectors of two or more models, oldest first")
    try:
        classes = labels.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the labels {labels}: {error}") from error
    report = compatibility(
        query={name: np.asarray(open_vectors(path)) for name, path in zip(names, vectors, strict=True)},
        labels=classes,
        metrics=[name.strip() for name in metrics.split(",")],
        metric=similarity,  # type: ignore[arg-type]
    )
    if as_json:
        print_json(report.to_dict())
        return
    for metric, matrix in report.matrices.items():
        table = Table(title=f"{metric} (%)", title_justify="left")
        for heading in ("queries", *(f"{name} gallery" for name in names)):
            table.add_column(heading, justify="left" if heading == "queries" else "right")
        for i, name in enumerate(names):
            cells = []
            for j in range(len(names)):
                worse = j < i and not matrix[i, j] > matrix[j, j]
                cells.append("" if j > i else f"{100 * matrix[i, j]:.2f}" + (" ✗" if worse else ""))
            table.add_row(name, *cells)
        Console().print(table)
        print(
            f"AC {report.average_compatibility(metric):.2f}  average {100 * report.average_metric(metric):.2f} %  "
            f"(✗: not compatible, no better than the gallery's own queries)"
        )

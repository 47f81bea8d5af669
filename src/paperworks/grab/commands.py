"""The commands `paperworks grab …`: parse, call the library, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperworks.progress import plain_warnings, print_json, progress_bar, quiet_libraries

if TYPE_CHECKING:
    from paperworks.grab.bench import Bench
    from paperworks.grab.evaluate import Run
    from paperworks.grab.models import Model
    from paperworks.grab.scores import Table

app = typer.Typer(
    no_args_is_help=True,
    help="Measure how well a multimodal model reads figures: questions on fresh graphs with exact answers.",
)

BUDGET_STATUS = 3

Dataset = Annotated[
    str,
    typer.Argument(help="Folder that `make` wrote, or the official set: a folder or hub id of it."),
]
RunFolder = Annotated[Path, typer.Argument(help="Folder that `run` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Extract = Annotated[
    str,
    typer.Option(
        help="none: the response as it is; regex: the answer in it; llm: as `extract` copied it out."
    ),
]
Scores = Annotated[
    str,
    typer.Option(
        "--score",
        help="exact, numeric, within, equivalent, official_prefix, relaxed5; the first of several is the headline.",
    ),
]
Endpoint = Annotated[
    str | None, typer.Option(help="Address of an OpenAI-compatible endpoint: http://host/v1.")
]
Model_ = Annotated[str | None, typer.Option("--model", help="The endpoint's name of the model.")]
Price = Annotated[
    str | None, typer.Option(help="Price of a million tokens, prompt and answer: 2.5,10.", metavar="IN,OUT")
]
Budget = Annotated[
    float | None, typer.Option(min=0, help="The most that this run may cost. Exit status 3 there.")
]
KeyEnv = Annotated[str, typer.Option(help="Environment variable that has the endpoint's key.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls at a time.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Longest answer; default: the prompt's.")]


@app.command("make")
def make_command(
    out: Annotated[Path, typer.Option(help="Folder for the benchmark; it must not be there yet.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other graphs.")] = 0,
    scale: Annotated[str, typer.Option(help="paper: 2,170 questions; lite: 500; small: 116.")] = "paper",
    task: Annotated[
        list[str] | None, typer.Option(help="properties, function, series or transform; may be repeated.")
    ] = None,
    property: Annotated[list[str] | None, typer.Option(help="gradient, period …; may be repeated.")] = None,
    complexity: Annotated[
        str | None, typer.Option(help="0-4 or 0,2,9: functions, series or operations.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Questions of each property, instead of the scale's.")
    ] = None,
    degrade: Annotated[
        str | None,
        typer.Option(help="blur, jpeg, perspective, flip, screenshot or paper; with a severity: blur:0.3."),
    ] = None,
    text: Annotated[
        str, typer.Option(help="outlines: the same pixels everywhere; font: Matplotlib's text.")
    ] = "outlines",
    legacy: Annotated[
        bool, typer.Option("--legacy", help="With the official set's defects, to compare: no rules.")
    ] = False,
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="Of functions: five questions on each picture, from the axis to the mean, to see which fails first.",
        ),
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a benchmark: questions, exact answers, pictures. The same seed gives the same files on any machine.

    Example:  paperworks grab make --seed 7 --task series --complexity 0-4 --out my-grab
    """
    from paperworks.devices import cores
    from paperworks.grab.design import TASKS, find_task
    from paperworks.grab.generate import generate

    jobs = jobs or cores()
    with progress_bar("questions") as progress:
        bench = generate(
            seed,
            scale,
            None
            if count is None
            else dict.fromkeys(TASKS if not task else [find_task(one) for one in task], count),
            task,
            None if complexity is None else parse_range(complexity),
            property,
            jobs=jobs,
            text=text,
            degrade=degrade,
            legacy=legacy,
            progress=progress,
        )
    if ladder:
        bench = _ladders(bench)
    with progress_bar("pictures") as progress:
        bench = bench.save(out, progress=progress, jobs=jobs)
    if as_json:
        print_json({"out": str(out), "items": len(bench), "items_sha256": bench.manifest["items_sha256"]})
        return
    print(f"{len(bench):,} questions with pictures → {out} (items {bench.manifest['items_sha256'][:12]})")


@app.command("verify")
def verify_command(
    dataset: Dataset,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make every question and picture again and compare. Exit status 1 where something differs.

    Example:  paperworks grab verify my-grab
    """
    from paperworks.devices import cores

    bench = load_dataset(dataset)
    with progress_bar("verifying") as progress:
        problems = bench.verify(progress=progress, jobs=jobs or cores())
    if as_json:
        print_json({"items": len(bench), "problems": problems})
    else:
        for line in problems[:20]:
            print(line)
        more = f"; {len(problems) - 20} more" if len(problems) > 20 else ""
        print(f"{len(problems)} problems in {len(bench):,} items{more}")
    if problems:
        raise typer.Exit(1)


@app.command("look")
def look_command(
    dataset: Dataset,
    id: Annotated[
        str | None, typer.Option(help="The item's id or its number in the set; default: the first.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="PNG file for the picture.")] = None,
    sheet: Annotated[
        int | None, typer.Option(min=1, help="Instead: so many items from there on, on one picture.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show an item: question, answer, what the picture is made of; the picture itself with --out.

    Example:  paperworks grab look my-grab --id series-mean-0007 --out item.png
    """
    from dataclasses import asdict

    from paperworks.errors import InputError
    from paperworks.files import replacing
    from paperworks.html_page import png

    bench = load_dataset(dataset)
    place = 0
    if id is not None:
        place = int(id) if id.isdecimal() else [item.id for item in bench].index(bench[id].id)
    if place >= len(bench):
        raise InputError(f"no item {place}: the set has {len(bench)}, counted from 0")
    item = bench[place]
    if sheet is not None:
        from paperworks.grab.contact_sheet import contact_sheet

        if out is None:
            raise InputError("--sheet needs a file: --out sheet.png")
        shown: Any = contact_sheet(bench.items[place : place + sheet])
    else:
        shown = bench.image(item)
    if out is not None:
        with replacing(out) as partial:
            partial.write_bytes(png(shown))
    if as_json:
        print_json(asdict(item))
        return
    print(f"{item.id}  (complexity {item.complexity}, effective {item.effective_complexity})")
    print(item.question)
    print(f"answer {item.answer}   exactly {item.truth}")
    if out is not None:
        print(f"picture → {out}")


@app.command("run")
def run_command(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Run folder; the same command goes on where it was stopped.")],
    endpoint: Endpoint = None,
    model: Model_ = None,
    local: Annotated[
        str | None,
        typer.Option(
            help="A transformers checkpoint that takes pictures and text: folder, hub id, or chart_model, which ships."
        ),
    ] = None,
    reader: Annotated[bool, typer.Option("--reader", help="The pixel reader: the ceiling.")] = False,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Give the reader the box and limits of the axes.")
    ] = False,
    prior: Annotated[
        str | None, typer.Option(help="Answers without the picture: zero, mode or constant.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="official: the bare answer; reason: think first.")] = "official",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask a random sample of so many items.")] = None,
    price: Price = None,
    budget: Budget = None,
    concurrency: Concurrency = 16,
    max_tokens: MaxTokens = None,
    key_env: KeyEnv = "OPENAI_API_KEY",
    image_detail: Annotated[
        str | None, typer.Option(help="low, high or auto, for endpoints that know it.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions at a time of a local model.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda … of a local model.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Ask a model every question and keep each response; what is answered is not asked again.

    Example:  paperworks grab run my-grab --endpoint http://localhost:8000/v1 --model my-vlm --out run
    """
    from paperworks.errors import InputError
    from paperworks.grab.budget import BudgetReached
    from paperworks.grab.evaluate import Run, evaluate

    chosen = [
        name
        for name, value in (
            ("--endpoint", endpoint),
            ("--local", local),
            ("--reader", reader),
            ("--prior", prior),
        )
        if value
    ]
    if len(chosen) != 1:
        raise InputError(
            f"{' and '.join(chosen) or 'no model'} given: choose one of --endpoint, --local, --reader, --prior"
        )
    bench = load_dataset(dataset)
    asked: Model
    if endpoint:
        asked = _endpoint(endpoint, model, price, budget, concurrency, max_tokens, key_env, image_detail)
    elif local:
        from paperworks.grab.local import LocalModel
        from paperworks.tiny.chart_model import FOLDER

        quiet_libraries()
        name = str(FOLDER) if local == "chart_model" else local
        asked = LocalModel(name, batch_size=batch_size, device=device, max_tokens=max_tokens)
        for line in asked.describe(bench):
            typer.echo(line, err=True)
    elif reader:
        from paperworks.grab.reader import PixelReader

        asked = PixelReader(calibrated)
    else:
        from paperworks.grab.priors import Prior

        assert prior is not None
        asked = Prior(prior)
    try:
        with plain_warnings(), progress_bar("asking") as progress:
            run = evaluate(bench, asked, prompt=prompt, out=out, limit=limit, progress=progress)
    except BudgetReached as reached:
        typer.echo(f"stopped: {reached}", err=True)
        if isinstance(reached.run, Run):
            _tell(reached.run, as_json)
        raise typer.Exit(BUDGET_STATUS) from None
    _tell(run, as_json)


@app.command("extract")
def extract_command(
    run: RunFolder,
    endpoint: Annotated[str, typer.Option(help="Address of an OpenAI-compatible endpoint: http://host/v1.")],
    model: Annotated[str, typer.Option(help="The endpoint's name of the model.")],
    price: Price = None,
    budget: Budget = None,
    concurrency: Concurrency = 16,
    key_env: KeyEnv = "OPENAI_API_KEY",
    as_json: AsJson = False,
) -> None:
    """Have a language model copy the answer out of every stored response, as the paper did; then score --extract llm.

    Example:  paperworks grab extract run --endpoint http://localhost:8000/v1 --model llama-3.1-8b
    """
    from paperworks.grab.budget import BudgetReached
    from paperworks.grab.evaluate import Run
    from paperworks.grab.extraction import extract_by_model

    loaded = Run.load(run)
    asked = _endpoint(endpoint, model, price, budget, concurrency, None, key_env, None)
    try:
        with progress_bar("extracting") as progress:
            done = extract_by_model(loaded, asked, progress=progress)
    except BudgetReached as reached:
        typer.echo(f"stopped: {reached}", err=True)
        raise typer.Exit(BUDGET_STATUS) from None
    if as_json:
        print_json(done)
    else:
        print(f"{done['extracted']} of {done['asked']} answers extracted → {run / 'extracted.jsonl'}")


@app.command("score")
def score_command(
    run: RunFolder,
    score: Scores = "exact,numeric,within",
    extract: Extract = "none",
    by: Annotated[
        str,
        typer.Option(
            help="task, category, property, quantum, complexity, effective_complexity; several with commas."
        ),
    ] = "task",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run on the same items to show beside it, e.g. the pixel reader's; may be repeated."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with the failures as pictures.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the stored responses: accuracy with interval, floor and ceiling; writes scores.json and report.md.

    Example:  paperworks grab score run --extract regex --against reader-run --report report.html
    """
    from paperworks.grab.evaluate import Run
    from paperworks.grab.scores import table, write_scores
    from paperworks.grab.variants import first_failed

    scores = tuple(one.strip() for one in score.split(",") if one.strip())
    loaded = Run.load(run)
    references = {one.name: one.rows() for one in map(Run.load, against or ())}
    rows = loaded.rows()
    with plain_warnings():
        result = write_scores(run, scores=scores, extract=extract, references=references, rows=rows)
        if report is not None:
            from paperworks.grab.report import write_report

            write_report(loaded, report, score=scores[0], extract=extract, references=references)
    if as_json:
        print_json({key: value for key, value in result.items() if key != "items"})
        return
    groups = tuple(one.strip() for one in by.split(",") if one.strip())
    for grouping in ((), groups):
        _print_table(table(rows, grouping, score=scores[0], extract=extract, references=references))
    rungs = first_failed(rows, score=scores[0], extract=extract)
    if any(rungs.values()):
        print(
            "ladders by the first question that fails: "
            + ", ".join(f"{n} {name}" for name, n in rungs.items())
        )
    print(f"scores → {run / 'scores.json'}, {run / 'report.md'}{f', {report}' if report else ''}")


@app.command("compare")
def compare_command(
    first: RunFolder,
    second: Annotated[Path, typer.Argument(help="Another run folder.")],
    score: Annotated[str, typer.Option(help="exact, numeric, within or equivalent.")] = "exact",
    extract: Extract = "none",
    as_json: AsJson = False,
) -> None:
    """Two runs: McNemar's test on the same items; on other items (official and fresh, say) cell by cell.

    Example:  paperworks grab compare run-a run-b
    """
    from paperworks.grab.contamination import matched_difference
    from paperworks.grab.evaluate import Run

    one, two = Run.load(first), Run.load(second)
    same = {row["id"] for row in one.rows()} & {row["id"] for row in two.rows()}
    if same:
        found = one.compare(two, score=score, extract=extract)
        if as_json:
            print_json({"first": one.name, "second": two.name, **found.to_dict()})
            return
        print(f"{found.n:,} items answered by both: {one.name} {(found.both + found.only_first) / found.n:.1%} right, "
              f"{two.name} {(found.both + found.only_second) / found.n:.1%}")  # fmt: skip
        print(
            f"only the first {found.only_first}, only the second {found.only_second}: McNemar p = {found.p:.3g}"
        )
        return
    matched = matched_difference(one.rows(), two.rows(), score=score, extract=extract)
    if as_json:
        print_json({"first": one.name, "second": two.name, **matched.to_dict()})
        return
    print(
        f"no item in common; over {matched.cells} cells (task, property, precision, complexity) that both have: "
        f"{100 * matched.value:+.1f} points ({100 * matched.low:+.1f} to {100 * matched.high:+.1f})"
    )


@app.command("export")
def export_command(
    dataset: Dataset,
    to: Annotated[str, typer.Option(help="lmms-eval, inspect or vlmevalkit.")],
    out: Annotated[Path, typer.Option(help="Folder for it.")],
    prompt: Annotated[str, typer.Option(help="official: the bare answer; reason: think first.")] = "official",
) -> None:
    """Write the benchmark as another harness reads it, with its scorer.

    Example:  paperworks grab export my-grab --to inspect --out inspect-task
    """
    from paperworks.grab.export import export

    with progress_bar("exporting") as progress:
        files = export(load_dataset(dataset), to, out, prompt=prompt, progress=progress)
    for file in files:
        print(file)


@app.command("published")
def published_command(as_json: AsJson = False) -> None:
    """The table of the paper's site: 20 models, exact match in per cent, beside what a constant answer scores.

    Example:  paperworks grab published
    """
    from rich.console import Console
    from rich.table import Table as RichTable

    from paperworks.grab.published import CONSTANT, TABLE, ZERO

    if as_json:
        print_json([vars(row) for row in TABLE])
        return
    columns = ("all", "properties", "function", "series", "transform")
    shown = RichTable("", *columns, box=None, pad_edge=False)
    for row in TABLE:
        shown.add_row(row.model, *(f"{getattr(row, name):.1f}" for name in columns))
    for name, values in (("constant 0", ZERO), ("best constant, in sample", CONSTANT)):
        shown.add_row(f"[dim]{name}[/]", *(f"[dim]{values[column]:.1f}[/]" for column in columns))
    Console().print(shown)


def _ladders(bench: Bench) -> Bench:
    """The five questions of each function item that has them."""
    from paperworks.errors import InputError
    from paperworks.grab.bench import Bench
    from paperworks.grab.variants import ladder

    rungs, without = [], 0
    for item in bench:
        try:
            rungs += ladder(item)
        except InputError:
            without += 1
    if not rungs:
        raise InputError("no ladder: only questions about functions have one; add --task function")
    if without:
        typer.echo(
            f"{without} items have no ladder: not of functions, or no curve can be asked about alone",
            err=True,
        )
    return Bench(rungs, bench.manifest)


def load_dataset(source: str) -> Bench:
    """A benchmark of ours, or the official set. Raises `InputError` where it is neither."""
    from paperworks.grab.bench import Bench

    if (Path(source) / "items.jsonl").exists() or (Path(source) / "manifest.json").exists():
        return Bench.load(source)
    from paperworks.grab.official import load_official

    return load_official(source)


def parse_range(text: str) -> list[int]:
    """`0-4`, `0,2,9` or `3` as numbers. Raises `InputError`."""
    from paperworks.errors import InputError

    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--complexity {text!r}: give 0-4, or 0,2,9")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _endpoint(
    address: str,
    model: str | None,
    price: str | None,
    budget: float | None,
    concurrency: int,
    max_tokens: int | None,
    key_env: str,
    image_detail: str | None,
) -> Any:
    from paperworks.errors import InputError
    from paperworks.grab.endpoint import Endpoint

    if model is None:
        raise InputError("--endpoint needs the model's name there: --model NAME")
    prices = None
    if price is not None:
        try:
            first, second = map(float, price.split(","))
        except ValueError as error:
            raise InputError(
                f"--price {price!r}: give two numbers, of a million tokens each: 2.5,10"
            ) from error
        prices = (first, second)
    return Endpoint(
        address,
        model,
        price=prices,
        budget=budget,
        concurrency=concurrency,
        max_tokens=max_tokens,
        key_env=key_env,
        image_detail=image_detail,
    )


def _tell(run: Run, as_json: bool) -> None:
    """How the items ended, and accuracy as it stands."""
    counts = run.counts
    if as_json:
        print_json({"out": str(run.folder), "model": run.name, **counts, "cost": run.cost})
        return
    ended = ", ".join(f"{counts[name]} {word}" for name, word in ENDS if counts[name])
    cost = f", cost {run.cost:.4f}" if run.cost is not None else ""
    print(f"{run.name}: {ended or 'nothing answered'} of {counts['items']:,} items{cost} → {run.folder}")
    _print_table(run.table())


ENDS = (
    ("stop", "answered"),
    ("length", "cut off"),
    ("refused", "refused"),
    ("error", "failed"),
    ("unpaid", "unpaid"),
)


def _print_table(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    ceilings = list(dict.fromkeys(name for line in table for name in line.ceilings))
    columns = [
        *(table.by or ("",)),
        "answered",
        "right",
        "95 %",
        "of all",
        "zero",
        "mode",
        "skill",
        *ceilings,
    ]
    shown = RichTable(*columns, box=None, pad_edge=False)
    for line in table:
        name = [str(value) for value in line.group.values()] or ["all"]
        shares = [line.floors.get("zero"), line.floors.get("mode")]
        shown.add_row(
            *name,
            f"{line.answered}/{line.n}",
            _percent(line.accuracy),
            f"{100 * line.low:.1f}–{100 * line.high:.1f}" if line.answered else "–",
            _percent(line.accuracy_of_all),
            *map(_percent, shares),
            "–" if line.skill is None else f"{line.skill:+.2f}",
            *(_percent(line.ceilings.get(one)) for one in ceilings),
        )
    Console().print(shown)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"

"""The commands `paperworks minitron …`: parse, call the library, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperworks.progress import print_json, progress_bar

if TYPE_CHECKING:
    from paperworks.minitron.architecture import Sizes
    from paperworks.minitron.target import Target

app = typer.Typer(
    no_args_is_help=True,
    help="Prune a language model (Llama, Mistral, Qwen2, Qwen3) and distil it: the Minitron approach.",
)

ModelFolder = Annotated[Path, typer.Argument(help="Folder of a checkpoint: config.json and safetensors.")]
Data = Annotated[Path, typer.Option(help="Text: .txt, .jsonl with text or input_ids, or a folder of .txt.")]
Samples = Annotated[int, typer.Option(min=1, help="Calibration samples; the paper takes 1,024.")]
Length = Annotated[int, typer.Option(min=2, help="Tokens of a sample.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the drawn samples.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
To = Annotated[str | None, typer.Option("--to", help="The paper's shapes: 4b-width, 4b-depth or 8b-width.")]
Parameters = Annotated[str | None, typer.Option(help="Cut to at most so many parameters: 4.5B, 300M.")]
Axes = Annotated[str, typer.Option(help="With --parameters: cut the width, or layers (depth).")]
Hidden = Annotated[int | None, typer.Option("--hidden", help="Hidden size.")]
Intermediate = Annotated[int | None, typer.Option("--intermediate", help="Intermediate size of the MLP.")]
Heads = Annotated[int | None, typer.Option(help="Query heads; the paper keeps all.")]
KvHeads = Annotated[
    int | None, typer.Option("--kv-heads", help="Key/value heads: the cache shrinks with them.")
]
Drop = Annotated[str | None, typer.Option(help="Layers to leave out, counted from 1: 16..31 or 3,7,9.")]


def _target(
    source: Sizes,
    to: str | None,
    parameters: str | None,
    axes: str,
    hidden: int | None,
    intermediate: int | None,
    heads: int | None,
    kv_heads: int | None,
    drop: str | None,
) -> Target:
    from paperworks.errors import InputError
    from paperworks.minitron.target import Target, parse_count, parse_layers, plan

    by_size = any(value is not None for value in (hidden, intermediate, heads, kv_heads, drop))
    given = [name for name, value in (("--to", to), ("--parameters", parameters)) if value is not None]
    if len(given) + by_size != 1:
        raise InputError(
            "say what to cut to in one way: --to PRESET, --parameters N, or sizes (--hidden, --intermediate, --heads, "
            "--kv-heads, --drop)"
        )
    if to is not None:
        return Target.preset(to)
    if parameters is not None:
        return plan(source, parse_count(parameters), axes=axes)
    layers = parse_layers(drop, source.layers) if drop else ()
    return Target(hidden, intermediate, heads, kv_heads, layers)


def _sizes(folder: Path) -> Sizes:
    from paperworks.minitron.architecture import read_config, sizes_of

    return sizes_of(read_config(folder))


@app.command("plan")
def plan_command(
    model: ModelFolder,
    to: To = None,
    parameters: Parameters = None,
    axes: Axes = "width",
    hidden: Hidden = None,
    intermediate: Intermediate = None,
    heads: Heads = None,
    kv_heads: KvHeads = None,
    drop: Drop = None,
    as_json: AsJson = False,
) -> None:
    """What a cut would give: shapes, parameters, cache and work. Reads config.json alone.

    Example:  paperworks minitron plan ./llama --parameters 4.5B
    """
    from rich.console import Console
    from rich.table import Table

    from paperworks.minitron.target import describe_layers

    source = _sizes(model)
    target = _target(source, to, parameters, axes, hidden, intermediate, heads, kv_heads, drop)
    new = target.sizes(source)
    rows = {
        "hidden size": (source.hidden, new.hidden),
        "intermediate size": (source.intermediate, new.intermediate),
        "layers": (source.layers, new.layers),
        "query heads": (source.heads, new.heads),
        "key/value heads": (source.kv_heads, new.kv_heads),
        "head size": (source.head_dim, new.head_dim),
        "parameters": (source.parameters, new.parameters),
        "without embeddings": (source.without_embeddings, new.without_embeddings),
        "KV cache, bytes a token (bf16)": (source.cache_bytes(), new.cache_bytes()),
        "FLOPs a token": (source.flops_per_token, new.flops_per_token),
    }
    if as_json:
        print_json(
            {
                "source": {name: before for name, (before, _) in rows.items()},
                "target": {name: after for name, (_, after) in rows.items()},
                "dropped_layers": list(target.drop_layers),
                "flops_ratio": source.flops_per_token / new.flops_per_token,
            }
        )
        return
    table = Table("", "now", "cut", "ratio", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, (before, after) in rows.items():
        table.add_row(name, f"{before:,}", f"{after:,}", "" if before == after else f"{after / before:.2f}")
    Console().print(table)
    if target.drop_layers:
        print(f"layers left out: {describe_layers(target.drop_layers)}")
    print(f"matrix work allows {source.flops_per_token / new.flops_per_token:.2f} times the speed")


@app.command("measure")
def measure_command(
    model: ModelFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="File for the scores.")] = Path("importance.safetensors"),
    samples: Samples = 1024,
    length: Length = 512,
    seed: Seed = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples at a time.")] = 4,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16; float32 on a CPU.")] = "float32",
    in_memory: Annotated[
        bool, typer.Option("--in-memory", help="Load the whole model instead of streaming.")
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for streamed states; default: beside OUT.")
    ] = None,
    batch: Annotated[str, typer.Option(help="Over samples: l2 or mean.")] = "l2",
    sequence: Annotated[str, typer.Option(help="Over positions: mean or l2.")] = "mean",
    as_json: AsJson = False,
) -> None:
    """How much each neuron, head and channel matters on your text, from forward passes alone.

    The checkpoint is read layer by layer, so it may be larger than memory; a killed run goes on where it stopped.

    Example:  paperworks minitron measure ./llama --data text.jsonl --samples 64 --length 256
    """
    from paperworks.minitron.measure import measure_importance

    scratch = scratch or out.with_name(f"{out.name}.states")
    with progress_bar("measuring importance") as progress:
        scores = measure_importance(
            model,
            data,
            samples=samples,
            length=length,
            seed=seed,
            stream=not in_memory,
            dtype=dtype,
            batch=batch,
            sequence=sequence,
            batch_size=batch_size,
            scratch=scratch,
            progress=progress,
        )
    scores.save(out)
    influence = [round(float(value), 4) for value in scores.bi]
    if as_json:
        print_json(
            {"out": str(out), "layers": scores.sizes.layers, "block_influence": influence, **scores.facts}
        )
        return
    print(f"importance of {scores.sizes.layers} layers on {samples} samples of {length} tokens → {out}")
    least = sorted(range(len(influence)), key=influence.__getitem__)[:3]
    print(
        "least block influence: "
        + ", ".join(f"layer {layer + 1} ({influence[layer]:.3f})" for layer in least)
    )


@app.command("layers")
def layers_command(
    model: ModelFolder,
    data: Annotated[Path | None, typer.Option(help="Text, for every metric but task.")] = None,
    metric: Annotated[str, typer.Option(help="loss, bi, angular or task.")] = "loss",
    block: Annotated[int, typer.Option(min=1, help="Layers left out together.")] = 1,
    task: Annotated[
        Path | None, typer.Option(help="JSONL of a task with choices, for --metric task.")
    ] = None,
    samples: Samples = 32,
    length: Length = 512,
    seed: Seed = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Which layers can go: each block of layers left out, its effect on the loss or on a task.

    Example:  paperworks minitron layers ./llama --data text.jsonl --block 16
    """
    from paperworks.devices import resolve_device
    from paperworks.errors import InputError
    from paperworks.minitron.calibration import load_calibration
    from paperworks.minitron.layers import layer_importance, load_task, task_accuracy
    from paperworks.minitron.measure import load_model, tokenizer_of
    from paperworks.minitron.target import describe_layers

    tokenizer = tokenizer_of(model)
    if metric == "task":
        if task is None:
            raise InputError("--metric task needs the task: give --task FILE.jsonl")
        rows = load_task(task)
        chosen: Any = lambda cut: task_accuracy(cut, tokenizer, rows)  # noqa: E731
        calibration = None
    else:
        if data is None:
            raise InputError(f"--metric {metric} needs text: give --data FILE")
        chosen = metric
        calibration = load_calibration(data, tokenizer, samples=samples, length=length, seed=seed)
    loaded = load_model(model, dtype, resolve_device(device))
    with progress_bar("leaving out layers") as progress:
        found = layer_importance(loaded, calibration, metric=chosen, block=block, progress=progress)
    if as_json:
        print_json(found.to_dict())
        return
    for first, score in found.scores.items():
        print(f"{score:9.4f}  without {describe_layers(range(first, first + block))}")
    print(f"best to leave out: {describe_layers(found.best())}")


@app.command("prune")
def prune_command(
    model: ModelFolder,
    out: Annotated[
        Path, typer.Option(help="Folder for the cut checkpoint; must be empty or a cut that was killed.")
    ],
    importance: Annotated[
        Path | None, typer.Option(help="Scores of `measure`; not needed to drop layers.")
    ] = None,
    to: To = None,
    parameters: Parameters = None,
    axes: Axes = "width",
    hidden: Hidden = None,
    intermediate: Intermediate = None,
    heads: Heads = None,
    kv_heads: KvHeads = None,
    drop: Drop = None,
    rescale_norms: Annotated[
        bool,
        typer.Option("--rescale-norms", help="Give norms of fewer channels back the size of their output."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Cut a checkpoint: a folder that `from_pretrained` loads anywhere, without this library.

    The files are read in blocks and never loaded as a model; a killed run goes on where it stopped.

    Example:  paperworks minitron prune ./llama --importance importance.safetensors --to 4b-width --out ./pruned
    """
    from paperworks.errors import InputError
    from paperworks.minitron.importance import Importance, random_importance
    from paperworks.minitron.prune import prune
    from paperworks.minitron.target import describe_layers

    source = _sizes(model)
    target = _target(source, to, parameters, axes, hidden, intermediate, heads, kv_heads, drop)
    depth_only = target.sizes(source).hidden == source.hidden and all(
        value is None for value in (target.intermediate_size, target.heads, target.kv_heads)
    )
    if importance is None and not depth_only:
        raise InputError(
            "a cut of the width needs importance scores: run `measure` first and give --importance"
        )
    scores = Importance.load(importance, source) if importance else random_importance(source, 0)
    with progress_bar("cutting") as progress:
        report = prune(model, scores, target, out, rescale_norms=rescale_norms, progress=progress)
    if as_json:
        print_json(report.to_dict())
        return
    if target.drop_layers:
        print(f"layers left out: {describe_layers(target.drop_layers)}")
    print(
        f"{source.parameters:,} → {report.parameters:,} parameters in {report.seconds:.1f} s, at most "
        f"{report.peak_private_bytes / 1e9:.2f} GB of memory → {out}"
    )


@app.command("correct")
def correct_command(
    model: ModelFolder,
    data: Data,
    original_peak_lr: Annotated[
        float, typer.Option(help="Peak learning rate of the original training; a fifth is used.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the corrected teacher.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples a step and process.")] = 8,
    length: Length = 512,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Training samples; default: all that the text fills.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Teacher correction: fine-tune the teacher on your text before it teaches (section 3.5).

    Example:  paperworks minitron correct ./llama --data text.jsonl --original-peak-lr 3e-4 --out ./teacher
    """
    from paperworks.minitron.distil import correct

    correct(
        model,
        data,
        out,
        original_peak_lr=original_peak_lr,
        steps=steps,
        batch_size=batch_size,
        length=length,
        samples=samples,
        seed=seed,
    )
    print(f"corrected teacher → {out}")


@app.command("distill")
def distill_command(
    student: Annotated[Path, typer.Option(help="Folder of the cut model.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the distilled model; a killed run in it goes on.")],
    teacher: Annotated[Path | None, typer.Option(help="Folder of the teacher.")] = None,
    from_stored: Annotated[Path | None, typer.Option(help="A teacher stored with --store-teacher.")] = None,
    store_teacher: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Only store the teacher's K likeliest words in OUT."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples a step and process.")] = 8,
    accumulate: Annotated[int, typer.Option(min=1, help="Steps whose gradients are added up.")] = 1,
    peak_lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-4,
    min_lr: Annotated[float, typer.Option(help="Where the cosine ends.")] = 1e-5,
    warmup_steps: Annotated[int, typer.Option(min=0)] = 40,
    temperature: Annotated[float, typer.Option(min=0.01)] = 1.0,
    length: Length = 512,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Training samples; default: all that the text fills.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train the cut model to give the teacher's distribution: forward KL on logits (Table 4).

    The loss never holds all logits at once. With `accelerate launch` it trains in several processes.

    Example:  paperworks minitron distill --teacher ./llama --student ./pruned --data text.jsonl --out ./small
    """
    from paperworks.errors import InputError
    from paperworks.minitron.distil import distil, store

    if (teacher is None) == (from_stored is None):
        raise InputError("give the teacher in one way: --teacher FOLDER or --from-stored FOLDER")
    if store_teacher is not None:
        if teacher is None:
            raise InputError("--store-teacher needs --teacher FOLDER")
        with progress_bar("storing the teacher") as progress:
            store(
                teacher,
                data,
                out,
                k=store_teacher,
                length=length,
                samples=samples,
                seed=seed,
                progress=progress,
            )
        print(f"the teacher's {store_teacher} likeliest words a token → {out}")
        return
    loss = distil(
        student,
        out,
        data,
        teacher=teacher,
        stored=from_stored,
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        peak_lr=peak_lr,
        min_lr=min_lr,
        warmup_steps=warmup_steps,
        temperature=temperature,
        length=length,
        samples=samples,
        seed=seed,
    )
    print(f"divergence from the teacher at the end {loss:.4f} nats a token → {out}")


@app.command("speed")
def speed_command(
    models: Annotated[
        list[Path], typer.Argument(help="Folders; the first is what the others are compared with.")
    ],
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes; may be repeated.")] = None,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of the prompt.")] = 256,
    generate: Annotated[int, typer.Option(min=1, help="Tokens decoded after it.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Turns; the median is reported.")] = 5,
    shapes_only: Annotated[
        bool, typer.Option("--shapes-only", help="Time one layer of random weights; needs config.json alone.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Tokens a second of models side by side, prefill and decode, beside what their work allows.

    Example:  paperworks minitron speed ./llama ./pruned --batch 1 --batch 32
    """
    from rich.console import Console
    from rich.table import Table

    from paperworks.devices import resolve_device
    from paperworks.minitron.architecture import read_config
    from paperworks.minitron.speed import speed

    contenders: Any = {str(model): read_config(model) for model in models} if shapes_only else models
    with progress_bar("timing") as progress:
        found = speed(
            contenders,
            batches=batch or [1],
            prompt=prompt,
            generate=generate,
            repeats=repeats,
            device=resolve_device(device),
            progress=progress,
        )
    if as_json:
        print_json(found.to_dict())
        return
    table = Table(
        "",
        "phase",
        "batch",
        "tokens/s",
        "ratio",
        "FLOPs allow",
        "cache, bytes a token",
        box=None,
        pad_edge=False,
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for row in found.rows:
        spread = f"{row.ratio:.2f} ({row.ratio_low:.2f}–{row.ratio_high:.2f})"
        allowed = f"{row.flops_bound:.2f}"
        table.add_row(
            Path(row.name).name,
            row.phase,
            str(row.batch),
            f"{row.tokens_per_second:,.1f}",
            spread,
            allowed,
            f"{row.cache_bytes:,}",
        )
    Console().print(table)
    print(
        f"medians of {repeats} turns with quartiles; {found.dtype} on {found.device}, prompt {prompt}, {generate} "
        "decoded"
    )


@app.command("evaluate")
def evaluate_command(
    model: ModelFolder,
    data: Annotated[Path | None, typer.Option(help="Text for the perplexity.")] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", help="A task of lm-evaluation-harness; may be repeated.")
    ] = None,
    samples: Samples = 64,
    length: Length = 512,
    seed: Seed = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Perplexity on your text, and tasks of lm-evaluation-harness where that is installed.

    Example:  paperworks minitron evaluate ./small --data held-out.txt
    """
    from paperworks.devices import resolve_device
    from paperworks.errors import InputError
    from paperworks.minitron.calibration import load_calibration
    from paperworks.minitron.evaluate import evaluate_harness, lm_loss
    from paperworks.minitron.measure import load_model, tokenizer_of

    if data is None and not tasks:
        raise InputError("say what to evaluate: --data FILE for the perplexity, or --task NAME")
    found: dict[str, Any] = {}
    place = resolve_device(device)
    if data is not None:
        calibration = load_calibration(data, tokenizer_of(model), samples=samples, length=length, seed=seed)
        loss = lm_loss(load_model(model, dtype, place), calibration)
        found |= {"loss": loss.mean, "perplexity": loss.perplexity, "tokens": loss.tokens}
    if tasks:
        found["tasks"] = evaluate_harness(model, tasks, device=place)
    if as_json:
        print_json(found)
        return
    if data is not None:
        print(
            f"perplexity {found['perplexity']:.3f} ({found['loss']:.4f} nats a token, {found['tokens']:,} tokens)"
        )
    for name, values in found.get("tasks", {}).items():
        print(f"{name}: {values}")

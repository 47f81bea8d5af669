"""The commands `paperworks counting …`: parse, call the library, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from paperworks.progress import plain_warnings, print_json, progress_bar, quiet_libraries

app = typer.Typer(
    no_args_is_help=True,
    help="Make a text-to-image model draw the number of objects that is asked for: learn one word.",
)

Model = Annotated[
    str,
    typer.Argument(
        help="Folder or hub id of a Stable Diffusion or SDXL pipeline, or scene_model, which is shipped."
    ),
]
TokenFolder = Annotated[Path, typer.Option("--token", help="Folder that `optimize` wrote.")]
COUNTER_HELP = (
    "density (shipped, for scenes) or package.module:name, a callable of (pictures, names) to densities."
)
DETECTOR_HELP = (
    "centres or palette (shipped, for scenes), a folder or hub id (hustvl/yolos-tiny), package.module:name."
)
Threshold = Annotated[float, typer.Option(help="Score from which on a detector's box counts.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda …")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Seeds = Annotated[int, typer.Option(min=1, help="Pictures of each prompt.")]
FirstSeed = Annotated[int, typer.Option(min=0, help="The first seed; not one of the training's.")]
SamplerSteps = Annotated[
    int | None, typer.Option(min=1, help="Steps of the sampler; default as in training.")
]
Guidance = Annotated[float | None, typer.Option(help="Guidance scale; default as in training.")]
MANY_STEPS = 8


@app.command("optimize")
def optimize_command(
    model: Model,
    prompt: Annotated[
        list[str],
        typer.Option(help="With {token}, once for each kind; may be repeated: the loss is averaged."),
    ],
    count: Annotated[
        list[int], typer.Option(help="Objects to draw; repeated for several kinds in one prompt.")
    ],
    name: Annotated[
        list[str], typer.Option(help="What to count, as the counters call it; repeated like --count.")
    ],
    counter: Annotated[str, typer.Option(help=COUNTER_HELP)],
    out: Annotated[Path, typer.Option(help="Folder for the token; a run that was stopped goes on there.")],
    driver: Annotated[str | None, typer.Option(help=DETECTOR_HELP)] = None,
    threshold: Threshold = 0.3,
    scale: Annotated[str, typer.Option(help="dynamic (needs a driver) or static.")] = "dynamic",
    static_scale: Annotated[float, typer.Option(help="The counter's mass of one object.")] = 60.0,
    clip: Annotated[
        str | None, typer.Option(help="CLIP for the semantic loss: a folder, a hub id, or scene_model.")
    ] = None,
    semantic_weight: Annotated[float, typer.Option(help="Weight of the semantic loss.")] = 5.0,
    init_word: Annotated[str, typer.Option(help="The word of the vocabulary to start from.")] = "some",
    plain: Annotated[
        str | None, typer.Option(help="The prompt to compare with; default: the first without {token}.")
    ] = None,
    steps: Annotated[int, typer.Option(min=0, help="Iterations at most.")] = 50,
    patience: Annotated[
        int, typer.Option(min=0, help="Iterations in a row that may fail to lower the loss.")
    ] = 15,
    hits: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many exact counts of the driver.")
    ] = None,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 0.01,
    seed: Annotated[
        list[int] | None, typer.Option(help="Noise to draw from; may be repeated. Default 35.")
    ] = None,
    sampler_steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 1,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 0 for turbo models.")] = 0.0,
    both_encoders: Annotated[
        bool, typer.Option("--both-encoders", help="SDXL: learn the second encoder's vector too.")
    ] = False,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Less memory, a third more time.")
    ] = False,
    pictures: Annotated[int, typer.Option(min=0, help="Plain pictures to plan with before the start.")] = 8,
    force: Annotated[
        bool, typer.Option("--force", help=f"Allow more than {MANY_STEPS} steps of the sampler.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Learn a token; Ctrl-C keeps the best so far, and the same command goes on from there.

    Example:  paperworks counting optimize scene_model --prompt 'a photo of {token} red circles on white' --count 6
    --name 'red circles' --counter density --driver centres --init-word six --sampler-steps 6 --guidance 2 --out six
    """
    from paperworks.counting.gallery import token_lines, write_gallery
    from paperworks.counting.objective import Settings, runs_from
    from paperworks.counting.optimize import HALF_PRECISION, MEMORY, optimize
    from paperworks.counting.planner import plan
    from paperworks.counting.token import RECORD
    from paperworks.errors import InputError

    seeds = tuple(seed or [35])
    (run,) = runs_from(tuple(prompt), tuple(count), tuple(name), seeds, plain)
    state = out / "state.pt"
    if (out / RECORD).exists() and not state.exists():
        raise InputError(f"{out} holds a token already: give another --out")
    settings: dict[str, Any] = {
        "scale": scale, "static_scale": static_scale, "semantic_weight": semantic_weight, "learning_rate": lr,
        "max_steps": steps, "patience": patience, "hits": hits, "sampler_steps": sampler_steps, "guidance": guidance,
        "checkpointing": checkpointing, "encoders": ("clip_l", "clip_g") if both_encoders else ("clip_l",),
    }  # fmt: skip
    options = Settings(**settings)
    if driver is None and (scale == "dynamic" or hits):
        raise InputError(
            "the dynamic scale and --hits need a --driver, a detector that counts; or take --scale static"
        )
    pipe = load_pipeline(model, device)
    counts, drives = load_counter(counter, pipe), load_detector(driver, threshold, device) if driver else None
    semantic = load_clip(clip, pipe)
    if sampler_steps > MANY_STEPS and not force:
        raise InputError(
            f"{sampler_steps} steps of the sampler: {_cost(pipe, run, options)} for each run; --force to go on"
        )
    if pictures and drives is not None and not as_json and not state.exists():
        with plain_warnings():
            for line in plan(pipe, run, options, drives, pictures=pictures).lines():
                print(line)
    with plain_warnings(), progress_bar("learning") as progress:
        token = optimize(
            pipe, run.prompts, run.counts, run.names, counts, drives, semantic, seed=seeds, plain=plain,
            init_word=(init_word,) * len(run.names), state=state, progress=progress, **settings,
        )  # fmt: skip
    token.save(out)
    why = token.info["stopped"]
    if why not in ("interrupted", HALF_PRECISION, MEMORY):
        state.unlink(missing_ok=True)
    card: dict[str, Any] = {"caption": token.prompt, "pictures": []}
    for label, arm in (("plain prompt", "before"), ("token", "after")):
        for picture in token.pictures.get(arm, []):
            seen = [drives(picture[None], [one])[0] for one in run.names] if drives is not None else []
            card["pictures"].append(
                (label, picture, f"driver counts {', '.join(map(str, seen))}" if seen else "")
            )
    code = token.loading_lines(out)
    write_gallery(out / "gallery.html", _title(run), [card], lines=token_lines(token), code=code, token=token)
    if as_json:
        print_json({"out": str(out), "tokens": list(token.names), **token.info})
    else:
        for line in [*token_lines(token), f"→ {out / 'gallery.html'}", *code]:
            print(line)
    if why == "interrupted":
        raise typer.Exit(130)
    if why in (HALF_PRECISION, MEMORY):
        raise InputError(f"{why}; the best so far is in {out}")


@app.command("evaluate")
def evaluate_command(
    model: Model,
    token: TokenFolder,
    judge: Annotated[str, typer.Option(help=DETECTOR_HELP + " Another one than the driver.")],
    prompt: Annotated[
        list[str] | None, typer.Option(help="With {token}; default: those of the training.")
    ] = None,
    seeds: Seeds = 8,
    first_seed: FirstSeed = 1000,
    counter: Annotated[
        str | None, typer.Option(help="Also draw the control of random tokens: " + COUNTER_HELP)
    ] = None,
    driver: Annotated[str | None, typer.Option(help="For the control: " + DETECTOR_HELP)] = None,
    threshold: Threshold = 0.3,
    clip: Annotated[
        str | None, typer.Option(help="CLIP for CLIP-S and the control: a folder, a hub id, or scene_model.")
    ] = None,
    sampler_steps: SamplerSteps = None,
    guidance: Guidance = None,
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Count with a judge: the token against the plain prompt, on new seeds.

    Example:  paperworks counting evaluate scene_model --token six --judge palette --seeds 8 --out six.html
    """
    from paperworks.counting.evaluate import evaluate
    from paperworks.counting.gallery import write_gallery
    from paperworks.counting.token import CountingToken

    learned = CountingToken.load(token)
    pipe = load_pipeline(model, device)
    with plain_warnings():
        report = evaluate(
            pipe, learned, judge=load_detector(judge, threshold, device), prompts=prompt,
            seeds=range(first_seed, first_seed + seeds), semantic=load_clip(clip, pipe),
            counter=load_counter(counter, pipe) if counter else None,
            driver=load_detector(driver, threshold, device) if driver else None,
            sampler_steps=sampler_steps, guidance=guidance,
        )  # fmt: skip
    if out:
        kinds = len(learned.names)
        drawn = len(report.rows) // kinds
        cards = [
            {
                "caption": f"{report.rows[index]['prompt']}, seed {report.rows[index]['seed']}",
                "pictures": [
                    (
                        label,
                        report.pictures[arm][index],
                        "judge counts "
                        + ", ".join(str(report.rows[index + kind * drawn][arm]) for kind in range(kinds)),
                    )
                    for label, arm in (("plain prompt", "plain"), ("token", "token"))
                ],
            }
            for index in range(drawn)
        ]
        write_gallery(
            out,
            f"{', '.join(learned.names)}, judged by {report.judge}",
            cards,
            lines=report.summary(),
            token=learned,
        )
    if as_json:
        print_json(report.to_dict())
        return
    for line in report.summary():
        print(line)
    if out:
        print(f"→ {out}")


@app.command("reuse")
def reuse_command(
    model: Model,
    token: TokenFolder,
    prompts: Annotated[Path, typer.Option(help="Text file of prompts with {token}, one a line.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and a page of them.")],
    seeds: Seeds = 4,
    first_seed: FirstSeed = 1000,
    judge: Annotated[str | None, typer.Option(help="Count them: " + DETECTOR_HELP)] = None,
    threshold: Threshold = 0.3,
    sampler_steps: SamplerSteps = None,
    guidance: Guidance = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw other prompts with a token that is there; nothing is learned.

    Example:  paperworks counting reuse scene_model --token six --prompts prompts.txt --out pictures
    """
    from PIL import Image

    from paperworks.counting.evaluate import settings_of
    from paperworks.counting.gallery import token_lines, write_gallery
    from paperworks.counting.objective import draw
    from paperworks.counting.token import CountingToken
    from paperworks.errors import InputError
    from paperworks.files import replacing

    learned = CountingToken.load(token)
    lines = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{prompts} has no prompts: one a line, with {{token}}")
    written = [learned.written_into(line) for line in lines]
    pipe = load_pipeline(model, device)
    counts = load_detector(judge, threshold, device) if judge else None
    jobs = [(row, seed) for row in range(len(lines)) for seed in range(first_seed, first_seed + seeds)]
    settings = settings_of(learned, sampler_steps=sampler_steps, guidance=guidance)
    with plain_warnings(), learned.placed(pipe) as view:
        drawn = draw(view, [written[row] for row, _ in jobs], [seed for _, seed in jobs], settings)
    found: list[dict[str, Any]] = []
    for (row, seed), picture in zip(jobs, drawn, strict=True):
        file = out / f"{row + 1:03d}_{seed}.png"
        with replacing(file) as partial:
            Image.fromarray(picture).save(partial, "PNG")
        seen = [int(counts(picture[None], [one])[0]) for one in learned.info["classes"]] if counts else None
        found.append({"file": file.name, "prompt": lines[row], "seed": seed, "counts": seen})
    cards = [
        {
            "caption": line,
            "pictures": [
                (
                    f"seed {one['seed']}",
                    drawn[index],
                    f"counted {', '.join(map(str, one['counts']))}" if one["counts"] else "",
                )
                for index, one in enumerate(found)
                if jobs[index][0] == row
            ],
        }
        for row, line in enumerate(lines)
    ]
    write_gallery(
        out / "gallery.html", f"{', '.join(learned.names)}, reused", cards, lines=token_lines(learned)[:2]
    )
    if as_json:
        print_json({"out": str(out), "pictures": found})
    else:
        print(f"{len(found)} pictures of {len(lines)} prompts → {out / 'gallery.html'}")


@app.command("show")
def show_command(
    folder: Annotated[Path, typer.Argument(help="Folder that `optimize` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Show what a token is, how it was learned step by step, and the lines that load it.

    Example:  paperworks counting show six
    """
    from rich.console import Console
    from rich.table import Table

    from paperworks.counting.gallery import token_lines
    from paperworks.counting.token import CountingToken

    token = CountingToken.load(folder)
    if as_json:
        print_json({"tokens": list(token.names), **token.info})
        return
    table = Table("step", "loss", "driver counts", "mass", "scale", "moved", box=None, pad_edge=False)
    for step in token.info["trajectory"]:
        mass, scale = (
            " ".join(f"{value:.3g}" for row in step[key] for value in row) for key in ("mass", "scale")
        )
        seen = " ".join(str(n) for row in step["counts"] for n in row) if step["counts"] else ""
        mark = " ←" if step["step"] == token.info["best_step"] else ""
        table.add_row(
            f"{step['step']}{mark}", f"{step['loss']:.3f}", seen, mass, scale, f"{step['moved']:.3g}"
        )
    Console().print(table)
    for line in [*token_lines(token), *token.loading_lines(folder)]:
        print(line)


def load_pipeline(model: str, device: str) -> Any:
    """A pipeline in float32 without a progress bar. Raises `InputError` where there is none, or of another kind."""
    from paperworks.devices import resolve_device
    from paperworks.errors import InputError, require

    require("counting", "torch", "transformers", "diffusers", "accelerate", "PIL")
    import torch
    from diffusers import DiffusionPipeline

    quiet_libraries()
    if model == "scene_model":
        from paperworks.tiny.scene_model import load_scene_model

        pipe: Any = load_scene_model()
    else:
        try:
            pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot read a pipeline from {model!r}: {str(error).splitlines()[0]}"
            ) from error
    if not all(hasattr(pipe, part) for part in ("unet", "vae", "text_encoder", "tokenizer", "encode_prompt")):
        raise InputError(f"{type(pipe).__name__}: Stable Diffusion 1, 2 and SDXL pipelines are supported")
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(resolve_device(device))


def load_counter(name: str, pipe: Any) -> Any:
    """A counter by its name on the command line."""
    from paperworks.counting.counters import DensityCounter

    if name == "density":
        from paperworks.tiny.scene_model import load_density

        return DensityCounter(load_density().to(pipe.device), name="density network")
    return _imported(name, "counter")


def load_detector(name: str, threshold: float, device: str) -> Any:
    """A detector by its name on the command line."""
    from paperworks.counting.detectors import detector
    from paperworks.devices import resolve_device

    if name in ("centres", "palette"):
        from paperworks.counting import small_scale

        return small_scale.Centres() if name == "centres" else small_scale.Palette()
    if ":" in name and not Path(name).exists():
        return _imported(name, "detector")
    return detector(name, threshold, device=resolve_device(device))


def load_clip(name: str | None, pipe: Any) -> Any:
    """The semantic model by its name on the command line."""
    from paperworks.counting.counters import ClipSimilarity

    if name is None:
        return None
    if name == "scene_model":
        from paperworks.tiny.scene_model import load_clip as load

        return ClipSimilarity(
            load().to(pipe.device), pipe.tokenizer, mean=(0.5,) * 3, std=(0.5,) * 3, name="CLIP of scenes"
        )
    return ClipSimilarity.from_pretrained(name, str(pipe.device))


def _imported(name: str, what: str) -> Any:
    from importlib import import_module

    from paperworks.errors import InputError

    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"no {what} {name!r} ({error}): give package.module:name or one of those that --help names"
        ) from error


def _cost(pipe: Any, run: Any, settings: Any) -> str:
    """What a step costs, from the forward pass of a single step of the sampler."""
    import time
    from dataclasses import replace

    from paperworks.counting.objective import Objective
    from paperworks.counting.planner import STEP_COST, saved_bytes
    from paperworks.counting.token import init_vectors
    from paperworks.sampling import frozen

    one = Objective(
        pipe,
        [run],
        replace(settings, sampler_steps=1, scale="static", hits=None),
        counter=lambda x, names: x[:, 0],
    )
    with frozen(pipe.unet, pipe.vae, pipe.text_encoder):
        vectors = {
            key: value[None].requires_grad_()
            for key, value in init_vectors(pipe, ["some"] * len(run.names)).items()
        }
        start = time.perf_counter()
        memory = saved_bytes(one, vectors, one.rows([0]))
        seconds = time.perf_counter() - start
    n = settings.sampler_steps
    minutes = STEP_COST * n * seconds * settings.max_steps / 60
    return f"about {n * memory / 2**30:.1f} GiB of memory and {minutes:.0f} minutes"


def _title(run: Any) -> str:
    return " and ".join(f"{n} {name}" for n, name in zip(run.counts, run.names, strict=True))

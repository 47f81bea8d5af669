"""The commands `paperworks frap …`: parse, call the library, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperworks.progress import plain_warnings, print_json, progress_bar, quiet_libraries

if TYPE_CHECKING:
    from paperworks.frap.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Find the weights of a prompt's words while the picture is drawn, so that every object is on it: FRAP.",
)

Model = Annotated[
    str,
    typer.Argument(
        help="Folder or hub id of a Stable Diffusion (XL) pipeline; scene_model is the shipped one."
    ),
]
Prompt = Annotated[str, typer.Argument(help="What to draw.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ObjectOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--object", metavar="OBJECT=MODIFIER,…", help="An object of the prompt; may be repeated. cube=red"
    ),
]
Seeds = Annotated[str, typer.Option("--seed", help="A seed, or a range: 0..7.")]
Out = Annotated[Path, typer.Option(help="Folder for pictures and the gallery page.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Steps of the sampling; the pipeline's default if not given.")
]
Guidance = Annotated[float | None, typer.Option(help="Guidance scale; the pipeline's default if not given.")]
AdaptSteps = Annotated[
    int | None,
    typer.Option("--adapt-steps", min=0, help="Steps in which weights move; default: half of them."),
]
StepSize = Annotated[float, typer.Option("--step-size", help="How far the weights move in a step.")]
Binding = Annotated[float, typer.Option(help="How much an object and its modifiers are to be in one place.")]
MapSize = Annotated[
    str | None,
    typer.Option("--map-size", metavar="HxW", help="Maps that are read; default: a quarter of the latent."),
]
Height = Annotated[int | None, typer.Option(min=8, help="Pixels.")]
Width = Annotated[int | None, typer.Option(min=8, help="Pixels.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda …")]
HalfPrecision = Annotated[bool, typer.Option("--half", help="Load the model in float16.")]


@app.command("generate")
def generate_command(
    model: Model,
    prompt: Prompt,
    out: Out,
    objects: ObjectOptions = None,
    seed: Seeds = "0",
    best_of: Annotated[
        int | None, typer.Option("--best-of", min=2, help="Begin N seeds, draw the one with the lowest loss.")
    ] = None,
    rewrite: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Let a causal language model enrich the prompt first.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop where no object is found.")] = False,
    steps: Steps = None,
    guidance: Guidance = None,
    adapt_steps: AdaptSteps = None,
    step_size: StepSize = 1.0,
    binding: Binding = 1.0,
    map_size: MapSize = None,
    height: Height = None,
    width: Width = None,
    device: Device = "auto",
    half: HalfPrecision = False,
    as_json: AsJson = False,
) -> None:
    """Draw a prompt with adaptive weights; each PNG carries its weights, and index.html shows them.

    Example:  paperworks frap generate scene_model "a red circle and a red star" --map-size 8x8 --steps 8 --out pictures
    """
    from paperworks.errors import InputError
    from paperworks.frap.compare import best_seed, compare
    from paperworks.frap.gallery import write_gallery
    from paperworks.frap.rewrite import kept
    from paperworks.frap.rewrite import rewrite as rewrite_prompt

    settings = _settings(adapt_steps, step_size, binding, map_size)
    seeds, named = _seeds(seed), _objects(objects)
    _writable(out)
    with plain_warnings():
        pipe = _load(model, device, half)
        found = pipe._read(prompt, named)
        if not found.objects and strict:
            words = ", ".join(word.text for word in found.words)
            raise InputError(f'no object found in "{prompt}" (words: {words}): name them with --object')
        if rewrite:
            asked = {one.text: [word.text for word in one.modifiers] for one in found.objects}
            prompt = kept(rewrite_prompt(prompt, asked, rewrite), asked)
            named = named or asked
            pipe._read(prompt, named)
        options = _options(steps, guidance, height, width)
        if best_of:
            with progress_bar("choosing a seed") as progress:
                chosen, losses = best_seed(
                    pipe, prompt, [seeds[0] + n for n in range(best_of)], settings, objects=named, progress=progress,
                    **options,
                )  # fmt: skip
            seeds = [chosen]
        with progress_bar("drawing") as progress:
            drawn = compare(
                pipe, [prompt], ["frap"], seeds, settings, objects=named, progress=progress, **options
            )
    files = _save(drawn, out)
    write_gallery(out / "index.html", drawn, model)
    if as_json:
        reports = [
            one.result.to_dict() | {"seed": one.seed} if one.result else {"seed": one.seed} for one in drawn
        ]
        print_json([{"file": str(file), **report} for file, report in zip(files, reports, strict=True)])
        return
    print(f"objects: {found.told() or 'none, drawn as without weights'}")
    if best_of:
        print(f"seed {chosen} of {best_of}, losses {', '.join(f'{loss:.3f}' for loss in losses)}")
    for one, file in zip(drawn, files, strict=True):
        print(f"{file}  {'; '.join(one.result.verdict()) if one.result else ''}".rstrip())
    print(f"gallery → {out / 'index.html'}")


@app.command("compare")
def compare_command(
    model: Model,
    prompts: Annotated[Path, typer.Argument(help="A text file with a prompt on each line.")],
    out: Out,
    methods: Annotated[
        str,
        typer.Option(
            help="plain, frap, static, random, attend-and-excite, attend-and-excite-lean, syngen; with commas."
        ),
    ] = "plain,frap,attend-and-excite",
    seed: Seeds = "0",
    steps: Steps = None,
    guidance: Guidance = None,
    adapt_steps: AdaptSteps = None,
    step_size: StepSize = 1.0,
    binding: Binding = 1.0,
    map_size: MapSize = None,
    height: Height = None,
    width: Width = None,
    device: Device = "auto",
    half: HalfPrecision = False,
    as_json: AsJson = False,
) -> None:
    """Draw the same prompts and seeds by several methods: a grid, a gallery page, and the time of each.

    Example:  paperworks frap compare scene_model prompts.txt --map-size 8x8 --steps 8 --out pictures
    """
    from paperworks.errors import InputError
    from paperworks.files import replacing
    from paperworks.frap.compare import compare
    from paperworks.frap.gallery import latency, write_gallery
    from paperworks.picture_grid import picture_grid

    settings = _settings(adapt_steps, step_size, binding, map_size)
    seeds, names = _seeds(seed), [name.strip() for name in methods.split(",") if name.strip()]
    try:
        lines = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{prompts} is not UTF-8 text: give a file with a prompt on each line") from error
    if not lines or not names:
        raise InputError(f"{prompts} has no prompts" if names else "--methods names none")
    _writable(out)
    with plain_warnings():
        pipe = _load(model, device, half)
        with progress_bar("drawing") as progress:
            drawn = compare(
                pipe,
                lines,
                names,
                seeds,
                settings,
                progress=progress,
                **_options(steps, guidance, height, width),
            )
    files = _save(drawn, out)
    write_gallery(out / "index.html", drawn, model)
    order = list(dict.fromkeys(one.method for one in drawn))
    cells = {(one.prompt, one.seed, one.method): one.image for one in drawn}
    keys = list(dict.fromkeys((one.prompt, one.seed) for one in drawn))
    whole = [key for key in keys if all((*key, name) in cells for name in order)]
    if whole:
        grid = picture_grid(
            [[cells[(*key, name)] for name in order] for key in whole], order, [f"{p}, {s}" for p, s in whole]
        )
        with replacing(out / "grid.png") as partial:
            grid.save(partial, "PNG")
    seconds = latency(drawn)
    if as_json:
        print_json({"seconds": seconds, "files": [str(file) for file in files]})
        return
    for name, value in seconds.items():
        ratio = f"  {value / seconds['plain']:.2f} of plain" if "plain" in seconds else ""
        print(f"{name:24} {value:8.2f} s a picture{ratio}")
    print(f"gallery → {out / 'index.html'}")


@app.command("words")
def words_command(
    model: Model, prompt: Prompt, objects: ObjectOptions = None, as_json: AsJson = False
) -> None:
    """What would be optimised for a prompt: its objects, their modifiers, and their tokens. Needs the tokenizer alone.

    Example:  paperworks frap words scene_model "a red circle and a blue square"
    """
    from paperworks.frap.words import read_prompt

    with plain_warnings():
        read = read_prompt(_tokenizer(model), prompt, _objects(objects))
    if as_json:
        print_json(
            [
                {
                    "object": one.text,
                    "positions": one.positions,
                    "modifiers": [{"word": word.text, "positions": word.positions} for word in one.modifiers],
                }
                for one in read.objects
            ]
        )
        return
    for one in read.objects:
        modifiers = ", ".join(f"{word.text} {list(word.positions)}" for word in one.modifiers)
        print(f"{one.text} {list(one.positions)}" + (f": {modifiers}" if modifiers else ""))
    if not read.objects:
        print(f"no object found in: {' | '.join(word.text for word in read.words)}")


@app.command("weights")
def weights_command(
    image: Annotated[Path, typer.Argument(help="A PNG that `generate` wrote.")], as_json: AsJson = False
) -> None:
    """Read the weights back from a picture.

    Example:  paperworks frap weights pictures/0.png
    """
    from paperworks.frap.result import read_png

    found = read_png(image)
    if as_json:
        print_json(found)
        return
    print(f"{found['prompt']}  (seed {found['seed']})")
    for word, weight in found["weights"]:
        print(f"{weight:6.3f}  {word}")
    print("; ".join(found["verdict"]))


def _load(model: str, device: str, half: bool) -> Any:
    """A FRAP pipeline. Raises `InputError` for a model that is not there, or of another kind."""
    from paperworks.devices import resolve_device
    from paperworks.errors import InputError, require

    require("frap", "torch", "transformers", "diffusers")
    quiet_libraries()
    import diffusers
    import torch

    from paperworks.frap.pipeline import frap_pipeline

    where = resolve_device(device)
    if model == "scene_model":
        from paperworks.tiny.scene_model import load_scene_model

        shipped: Any = load_scene_model()
        return frap_pipeline(shipped.to(where))
    try:
        kind = diffusers.DiffusionPipeline.load_config(model)["_class_name"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{model} is no diffusers pipeline that can be read: {str(error).splitlines()[0]}"
        ) from error
    if kind not in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        raise InputError(f"{model} is a {kind}: FRAP weighs Stable Diffusion and Stable Diffusion XL")
    pipe = getattr(diffusers, kind).from_pretrained(model, dtype=torch.float16 if half else torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return frap_pipeline(pipe.to(where))


def _tokenizer(model: str) -> Any:
    from transformers import CLIPTokenizer

    from paperworks.errors import InputError

    folder: Any = model
    if model == "scene_model":
        from paperworks.tiny.scene_model import FOLDER

        folder = FOLDER
    try:
        return CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model} has no tokenizer that can be read: {str(error).splitlines()[0]}"
        ) from error


def _settings(steps: int | None, step_size: float, binding: float, map_size: str | None) -> Settings:
    from paperworks.errors import InputError
    from paperworks.frap.settings import Settings

    size = None
    if map_size is not None:
        sides = map_size.lower().split("x")
        if len(sides) != 2 or not all(side.isdigit() and int(side) for side in sides):
            raise InputError(f"--map-size {map_size!r} is not HEIGHTxWIDTH: 16x16")
        size = (int(sides[0]), int(sides[1]))
    return Settings(steps=steps, step_size=step_size, binding=binding, map_size=size)


def _seeds(text: str) -> list[int]:
    from paperworks.errors import InputError

    first, dots, last = text.partition("..")
    if not first.isdigit() or (dots and (not last.isdigit() or int(last) < int(first))):
        raise InputError(f"--seed {text!r} is neither a number nor a range: 0 or 0..7")
    return list(range(int(first), int(last or first) + 1))


def _objects(given: list[str] | None) -> dict[str, list[str]] | None:
    """["cube=red,small"] to {"cube": ["red", "small"]}."""
    if not given:
        return None
    parts = [one.partition("=") for one in given]
    return {
        name.strip(): [word.strip() for word in words.split(",") if word.strip()] for name, _, words in parts
    }


def _options(
    steps: int | None, guidance: float | None, height: int | None, width: int | None
) -> dict[str, Any]:
    options = {"num_inference_steps": steps, "guidance_scale": guidance, "height": height, "width": width}
    return {name: value for name, value in options.items() if value is not None}


def _writable(out: Path) -> None:
    from paperworks.errors import InputError

    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give a folder with --out")


def _save(drawn: Any, out: Path) -> list[Path]:
    """Each picture as PROMPT-SEED-METHOD.png; the prompt's number is left out where there is one, and so is the
    method."""
    from paperworks.files import replacing

    prompts = list(dict.fromkeys(one.prompt for one in drawn))
    several = len({one.method for one in drawn}) > 1
    files = []
    for one in drawn:
        parts = (
            [str(prompts.index(one.prompt))] * (len(prompts) > 1) + [str(one.seed)] + [one.method] * several
        )
        file = out / f"{'-'.join(parts)}.png"
        if one.result is not None:
            one.result.save_png(one.image, file)
        else:
            with replacing(file) as partial:
                one.image.save(partial, "PNG")
        files.append(file)
    return files

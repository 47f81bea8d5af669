"""The command line: mounts each method's own commands and imports nothing heavy."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from paperworks import __version__
from paperworks.catalogue import METHODS, PAGE_DATE
from paperworks.errors import InputError

app = typer.Typer(
    name="paperworks",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"paperworks {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Papers that work: read the daily page, run its methods on your own models, measure its claims.

    Example:  paperworks reproduce backward-compatible
    """
    context.obj = {method.paper: f"paperworks {method.command} --help" for method in METHODS if method.built}


@app.command("list")
def list_methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the methods: paper, purpose, extra, installed or not.

    Example:  paperworks list --json
    """
    from paperworks.overview import print_methods

    print_methods(as_json)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Check versions, devices and extras; each problem comes with its cure.

    Example:  paperworks doctor
    """
    from paperworks.overview import print_health

    print_health(as_json)


@app.command()
def reproduce(
    methods: Annotated[
        list[str] | None,
        typer.Argument(metavar="[METHOD]...", help="Methods to measure; all where none is given."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CLAIM", help="Only this claim; may be repeated.")
    ] = None,
    out: Annotated[str, typer.Option(help=f"The page goes to OUT/{PAGE_DATE}/.")] = "out",
    seed: Annotated[int, typer.Option(min=0, help="The first seed of every experiment.")] = 0,
    scale: Annotated[
        str, typer.Option(help="small: on this machine in minutes; full: the paper's own size.")
    ] = "small",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Experiments at a time; default: one a core.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds an experiment may take; default 600 at small scale."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is already measured.")] = False,
    language: Annotated[str, typer.Option("--lang", help="Language of the page: ko or en.")] = "ko",
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json to standard output.")] = False,
) -> None:
    """Measure the page's claims here and write the page again, the measured number beside the paper's.

    What is measured already is kept; an interrupted run goes on where it stopped.

    Example:  paperworks reproduce backward-compatible --lang en
    """
    from paperworks.reproduce.command import run

    run(
        methods or [],
        only or [],
        out=out,
        seed=seed,
        scale=scale,
        device=device,
        jobs=jobs,
        timeout=timeout,
        fresh=fresh,
        language=language,
        as_json=as_json,
    )


def mount() -> None:
    """Add the page's commands and every built method's."""
    from paperworks.papers.commands import app as page
    from paperworks.papers.publish_commands import send, site

    app.add_typer(page)
    app.add_typer(site, name="site")
    app.add_typer(send, name="send")
    for method in METHODS:
        if method.built:
            app.add_typer(method.commands(), name=method.command, rich_help_panel="Methods")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: status 2 and one line for bad input, 130 for Ctrl-C, 1 for a defect of ours."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        mount()
        app(args=arguments, prog_name="paperworks")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        if debug:
            raise
        sys.exit(explain(error))


def explain(error: Exception) -> int:
    """Print one line about `error` and return the exit status."""
    if isinstance(error, InputError):
        line, status = str(error), 2
    elif isinstance(error, OSError) and error.strerror:
        line, status = f"{error.filename or 'file'}: {error.strerror}", 2
    else:
        line, status = f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1
    print(f"paperworks: {' '.join(line.split())}", file=sys.stderr)
    return status

"""`python -m paperworks.tiny build NAME`: make a shipped model again."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

MODELS = {
    "chart_model": "chart_training",
    "code_model": "code_model",
    "document_model": "document_model",
    "scene_model": "scene_training",
}
"""The shipped models, and the module that makes each."""


def main(arguments: list[str] | None = None) -> None:
    """Train a model from its seed and write it where the library loads it, or to another folder."""
    parser = argparse.ArgumentParser(prog="python -m paperworks.tiny", description=main.__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="train a shipped model again")
    build.add_argument("name", choices=MODELS)
    build.add_argument("--out", type=Path, help="folder; default: the shipped model's own")
    build.add_argument("--steps", type=int, help="optimiser steps; default: those of the shipped model")
    build.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    module = import_module(f"paperworks.tiny.{MODELS[given.name]}")
    options = {"steps": given.steps} if given.steps else {}
    facts = module.build(given.out or module.FOLDER, seed=given.seed, **options)
    print(f"{facts['parameters']:,} parameters, {facts['tokens']:,} tokens → {given.out or module.FOLDER}")


if __name__ == "__main__":
    main()

"""What is installed and what works here: the tables of `paperworks list` and `paperworks doctor`."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paperworks import __version__
from paperworks.catalogue import METHODS, Method
from paperworks.devices import cores
from paperworks.progress import print_json


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, what was found, and the cure where something is missing."""

    name: str
    found: str
    ok: bool = True
    cure: str = ""


def state(method: Method) -> str:
    """`installed`, `needs an extra` or `not built yet`."""
    if not method.built:
        return "not built yet"
    return "needs its extra" if method.missing else "installed"


def print_methods(as_json: bool) -> None:
    """Print the catalogue as a table or as JSON."""
    if as_json:
        rows = [
            {
                "method": method.name,
                "command": method.command,
                "title": method.title,
                "paper": method.paper,
                "purpose": method.purpose,
                "extra": method.command if method.built else None,
                "built": method.built,
                "installed": method.built and not method.missing,
                "missing": method.missing,
            }
            for method in METHODS
        ]
        print_json(rows)
        return
    table = Table("method", "paper", "what it does", "state", box=None, pad_edge=False, header_style="bold")
    for method in METHODS:
        name = method.command if method.built else f"[dim]{method.command}[/]"
        text = state(method)
        if method.built and method.missing:
            text = escape(f"pip install 'paperworks[{method.command}]'")
        style = "green" if text == "installed" else "dim" if not method.built else "yellow"
        table.add_row(name, method.paper, method.purpose, f"[{style}]{text}[/]")
    Console().print(table)


def health() -> list[Check]:
    """Look at Python, every declared dependency with its version, and the devices. Imports torch."""
    checks = [
        Check(
            "python", platform.python_version(), sys.version_info >= (3, 11), "install Python 3.11 or newer"
        ),
        Check("paperworks", __version__),
    ]
    seen: set[str] = set()
    for line in metadata.requires("paperworks") or []:
        requirement = Requirement(line)
        extra = str(requirement.marker).rpartition("extra == ")[2].strip("\"'") if requirement.marker else ""
        if extra not in ("all", "dev") and requirement.name not in seen:
            seen.add(requirement.name)
            checks.append(_package(requirement, extra))
    checks.append(Check("cpu", f"{cores()} cores, {platform.machine()}"))
    if find_spec("torch") is not None:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        checks.append(Check("gpu", ", ".join(names) or "none: experiments run at small scale on the cpu"))
    return checks


def _package(requirement: Requirement, extra: str) -> Check:
    cure = f"pip install --upgrade 'paperworks[{extra}]'" if extra else "pip install --upgrade paperworks"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Check(requirement.name, "not installed", False, cure)
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(requirement.name, f"{version}, but {requirement.specifier} is needed", False, cure)
    return Check(requirement.name, version)


def print_health(as_json: bool) -> None:
    """Print the checks; the exit status stays 0, since a missing extra is a choice."""
    checks = health()
    if as_json:
        print_json([vars(check) for check in checks])
        return
    table = Table("", "", "found", "cure", box=None, pad_edge=False, show_header=False)
    for check in checks:
        mark = "[green]✓[/]" if check.ok else "[yellow]–[/]"
        table.add_row(mark, check.name, escape(check.found), escape("" if check.ok else check.cure))
    Console().print(table)

"""The evidence store: one JSON file a claim, in the documented format `paperworks.evidence/1` (docs/evidence.md).

A file carries the key of the run that made it. The key is a hash of the claim's declaration, of the code that the
experiment stands on, and of the run's parameters, so a result is used again only where it would come out the same.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from paperworks.claims import Claim, Evidence, Measured, Table, judge
from paperworks.files import write_json

FORMAT = "paperworks.evidence/1"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "matplotlib", "torch", "transformers", "diffusers")
NOT_MEASURED = {"cli.py", "catalogue.py", "overview.py", "__main__.py", "commands.py"}


@dataclass(frozen=True)
class Settings:
    """The parameters of a run that a result depends on."""

    seed: int = 0
    scale: str = "small"
    device: str = "auto"


def versions() -> dict[str, str]:
    """The versions that a number may depend on: paperworks, Python and the numerical libraries installed."""
    from paperworks import __version__

    found = {"paperworks": __version__, "python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def code_hash(module: str) -> str:
    """SHA-256 of what an experiment in `module` stands on.

    For a method of the library: its folder, the files of the ground floor and of `tiny/` that these import, directly or
    not, and the weights of the small models among them. For any other module: its own file.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    files = [Path(spec.origin)]
    if module.startswith("paperworks."):
        files = _imported(list(Path(spec.origin).parent.rglob("*.py")))
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.name not in NOT_MEASURED):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _imported(files: list[Path]) -> list[Path]:
    """`files` with those of the library that they import, anywhere in their text, and the weights beside them."""
    root = Path(__file__).parents[1]
    seen: dict[Path, None] = {}
    while files:
        file = files.pop()
        if file in seen or file.name in NOT_MEASURED:
            continue
        seen[file] = None
        for weights in sorted(file.with_suffix("").rglob("*.safetensors")):
            seen[weights] = None
        for name in _names(file, file.stat().st_mtime_ns):
            place = root.joinpath(*name.split(".")[1:]).with_suffix(".py")
            if place.is_file():
                files.append(place)
    return list(seen)


@cache
def _names(file: Path, changed: int) -> list[str]:
    """What of the library a file imports; `changed` is when it was written."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("paperworks.")]


def evidence_key(claim: Claim, settings: Settings) -> str:
    """The key under which a claim's evidence is valid."""
    parts = {
        "format": FORMAT,
        "claim": claim.fingerprint(),
        "code": code_hash(claim.run.__module__),
        "settings": vars(settings),
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def full_id(claim: Claim) -> str:
    """`METHOD.CLAIM`, the name of the evidence file and the prefix of the figures."""
    return f"{claim.method}.{claim.id}"


def command_of(claim: Claim, settings: Settings) -> str:
    """The command line that measures this claim alone."""
    words = ["paperworks", "reproduce", claim.method.replace("_", "-"), "--only", claim.id]
    if settings.seed:
        words += ["--seed", str(settings.seed)]
    if settings.scale != "small":
        words += ["--scale", settings.scale]
    if settings.device != "auto":
        words += ["--device", settings.device]
    return " ".join(words)


def make_record(
    claim: Claim,
    settings: Settings,
    *,
    key: str,
    evidence: Evidence | None = None,
    reason: str = "",
    seconds: float = 0.0,
    device: str = "",
) -> dict[str, Any]:
    """An evidence record: judged where there is evidence, else `skipped` with `reason`."""
    verdict, control_meets = "skipped", False
    if evidence is not None:
        verdict, control_meets, reason = judge(claim, evidence)
    control = _number(evidence.control) if evidence else None
    if control is not None:
        control["meets"] = control_meets
    return {
        "format": FORMAT,
        "claim": claim.describe(),
        "verdict": verdict,
        "reason": reason,
        "measured": _number(evidence.measured) if evidence else None,
        "baseline": _number(evidence.baseline) if evidence and evidence.baseline else None,
        "control": control,
        "table": _table(evidence.table) if evidence and evidence.table else None,
        "figures": list(evidence.figures) if evidence else [],
        "note": evidence.note if evidence else "",
        "seed": settings.seed,
        "scale": settings.scale,
        "device": device or settings.device,
        "seconds": round(seconds, 2),
        "versions": versions(),
        "command": command_of(claim, settings),
        "key": key,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(measured: Measured) -> dict[str, Any]:
    return {
        "value": _finite(measured.value),
        "unit": measured.unit,
        "spread": _finite(measured.spread),
        "n": measured.n,
        "samples": [_finite(sample) for sample in measured.samples],
        "details": {name: _finite(value) for name, value in measured.details.items()},
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [[_finite(cell) for cell in row] for row in table.rows]
    return {"columns": list(table.columns), "rows": rows, "caption": table.caption}


@dataclass(frozen=True)
class Store:
    """The folder of one page's run: `evidence/*.json`, `figures/*.png`, `logs/*.log`, and scratch space."""

    folder: Path

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    def evidence_path(self, claim: Claim) -> Path:
        return self.folder / "evidence" / f"{full_id(claim)}.json"

    def log_path(self, claim: Claim) -> Path:
        return self.folder / "logs" / f"{full_id(claim)}.log"

    def scratch(self, claim: Claim, key: str) -> Path:
        """Space for one experiment; kept while its key is the same, so that long work can resume."""
        return self.folder / "scratch" / f"{full_id(claim)}-{key[:12]}"

    def load(self, claim: Claim) -> dict[str, Any] | None:
        """The stored record, or `None` where there is none or where it cannot be read."""
        try:
            record = json.loads(self.evidence_path(claim).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("format") == FORMAT else None

    def valid(self, claim: Claim, key: str) -> dict[str, Any] | None:
        """The stored record where it has this key, a verdict from a run, and all its figures."""
        record = self.load(claim)
        if record is None or record.get("key") != key or record.get("measured") is None:
            return None
        return record if all((self.figures / name).is_file() for name in record["figures"]) else None

    def save(self, claim: Claim, record: Mapping[str, Any]) -> None:
        """Move the experiment's figures into place and write its record; its scratch space is given back."""
        scratch = self.scratch(claim, record["key"])
        self.figures.mkdir(parents=True, exist_ok=True)
        for name in record["figures"]:
            (scratch / "figures" / name).replace(self.figures / name)
        write_json(self.evidence_path(claim), record)
        shutil.rmtree(scratch, ignore_errors=True)

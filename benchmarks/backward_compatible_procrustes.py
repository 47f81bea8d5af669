"""`fit` against `scipy.linalg.orthogonal_procrustes`: accuracy, time and peak memory on the same pairs on disk.

    python benchmarks/backward_compatible_procrustes.py --rows 1000000 --width 768

Pairs are float32 files. SciPy gets them as float64 arrays, as it needs them for float64 accuracy; it fails where they
do not fit into memory, and the result says so. `fit` streams them. Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def peak_memory() -> int:
    """This process's largest resident memory, in bytes."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def scipy_rotation(folder: Path) -> np.ndarray:
    from scipy.linalg import orthogonal_procrustes

    new, old = (np.load(folder / f"{side}.npy").astype(np.float64) for side in ("new", "old"))
    return orthogonal_procrustes(new, old)[0]


def aligner_rotation(folder: Path) -> np.ndarray:
    from paperworks.backward_compatible.aligner import OrthogonalAligner
    from paperworks.backward_compatible.vectors import open_vectors

    new, old = (open_vectors(folder / f"{side}.npy") for side in ("new", "old"))
    return OrthogonalAligner(normalize=False).fit(new, old).rotation_


def prepare(folder: Path, rows: int, width: int) -> None:
    """Unit vectors of the new model, and the old model's: a rotation of them with noise."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.standard_normal((width, width)))[0].astype(np.float32)
    new, old = (
        np.lib.format.open_memmap(folder / f"{side}.npy", "w+", np.float32, (rows, width))
        for side in ("new", "old")
    )
    for first in range(0, rows, 8192):
        part = random.standard_normal((min(8192, rows - first), width), dtype=np.float32)
        noisy = part @ turn + random.standard_normal(part.shape, dtype=np.float32)
        for side, values in ((new, part), (old, noisy)):
            side[first : first + len(part)] = values / np.linalg.norm(values, axis=1, keepdims=True)
    np.save(folder / "turn.npy", turn)


def measure(what: str, folder: Path) -> dict[str, Any] | None:
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(run.stdout) if run.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--folder", type=Path, help="scratch folder")
    parser.add_argument("--out", type=Path, default=Path("backward_compatible_procrustes.json"))
    parser.add_argument("--measure", choices=["scipy", "aligner"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        start = time.perf_counter()
        rotation = {"scipy": scipy_rotation, "aligner": aligner_rotation}[options.measure](options.folder)
        seconds = time.perf_counter() - start
        np.save(options.folder / f"{options.measure}.npy", rotation)
        print(json.dumps({"seconds": seconds, "peak_bytes": peak_memory()}))
        return

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        prepare(folder, options.rows, options.width)
        peers = {what: measure(what, folder) for what in ("scipy", "aligner")}
        rotations = {what: np.load(folder / f"{what}.npy") for what, peer in peers.items() if peer}
        turn = np.load(folder / "turn.npy")

    identity = np.eye(options.width)
    for what, rotation in rotations.items():
        peer = peers[what] or {}
        peer["orthogonality_error"] = float(np.abs(rotation.T @ rotation - identity).max())
        peer["distance_to_truth"] = float(np.abs(rotation - turn).max())
    difference = None
    if len(rotations) == 2:
        difference = float(np.abs(rotations["scipy"] - rotations["aligner"]).max())
    result = {
        "rows": options.rows,
        "width": options.width,
        "cores": os.cpu_count(),
        "scipy.linalg.orthogonal_procrustes": peers["scipy"] or "failed: out of memory",
        "fit": peers["aligner"],
        "largest_difference": difference,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{options.rows:,} pairs of width {options.width}, {os.cpu_count()} cores, loading included")
    for title, what in (("scipy orthogonal_procrustes", "scipy"), ("fit (with its report)", "aligner")):
        found = peers[what]
        if found is None:
            print(f"  {title:28} failed (out of memory)")
            continue
        print(
            f"  {title:28} {found['seconds']:7.1f} s  peak {found['peak_bytes'] / 1e6:8,.0f} MB  "
            f"|R'R - I| {found['orthogonality_error']:.0e}"
        )
    if difference is not None and peers["scipy"] and peers["aligner"]:
        memory = peers["aligner"]["peak_bytes"] / peers["scipy"]["peak_bytes"]
        speed = peers["scipy"]["seconds"] / peers["aligner"]["seconds"]
        print(
            f"  largest difference {difference:.1e}; fit: {memory:.0%} of the memory, {speed:.2f} x the speed"
        )


if __name__ == "__main__":
    main()

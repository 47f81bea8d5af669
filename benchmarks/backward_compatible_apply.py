"""`apply` against a bare NumPy matrix product over the same file: speed as a ratio, and peak memory.

    python benchmarks/backward_compatible_apply.py --rows 2000000 --width 768

The baseline maps the file and multiplies it chunk by chunk with all threads of NumPy's BLAS, in float32, and writes
nothing. `apply` reads, multiplies, checks every row and writes. Both run in a process of their own and in turn, so that
neither is measured with the other's memory, and the file is read once before, so that both find it in the page cache as
far as it fits.
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

import numpy as np

CHUNK = 64 * 2**20


def peak_memory() -> int:
    """This process's largest resident memory, in bytes (mapped pages of files included)."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def numpy_product(folder: Path) -> float:
    gallery = np.load(folder / "gallery.npy", mmap_mode="r")
    rotation = np.load(folder / "rotation.npy")
    rows = CHUNK // gallery[0].nbytes
    product = np.empty((rows, rotation.shape[1]), np.float32)
    start = time.perf_counter()
    for first in range(0, len(gallery), rows):
        chunk = gallery[first : first + rows].astype(np.float32)
        np.matmul(chunk, rotation, out=product[: len(chunk)])
    return time.perf_counter() - start


def apply(folder: Path) -> float:
    from paperworks.backward_compatible import OrthogonalAligner, transform_file

    aligner = OrthogonalAligner.load(folder / "aligner")
    (folder / "rotated.npy").unlink(missing_ok=True)
    start = time.perf_counter()
    transform_file(aligner, folder / "gallery.npy", folder / "rotated.npy")
    return time.perf_counter() - start


def prepare(folder: Path, rows: int, width: int, dtype: str) -> None:
    from paperworks.backward_compatible import OrthogonalAligner

    random = np.random.default_rng(0)
    gallery = np.lib.format.open_memmap(folder / "gallery.npy", "w+", dtype, (rows, width))
    for first in range(0, rows, 8192):
        part = random.standard_normal((min(8192, rows - first), width), dtype=np.float32)
        gallery[first : first + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    gallery.flush()
    sample = np.asarray(gallery[: max(4 * width, 500)], np.float32)
    turn = np.linalg.qr(random.standard_normal((width, width)))[0]
    aligner = OrthogonalAligner(normalize=False).fit(sample, sample @ turn)
    aligner.save(folder / "aligner")
    np.save(folder / "rotation.npy", aligner.rotation_.astype(np.float32))


def measure(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--dtype", default="float16", choices=["float16", "float32"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="scratch folder with room for the file twice")
    parser.add_argument("--out", type=Path, default=Path("backward_compatible_apply.json"))
    parser.add_argument("--measure", choices=["numpy", "apply"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        seconds = {"numpy": numpy_product, "apply": apply}[options.measure](options.folder)
        print(json.dumps({"seconds": seconds, "peak": peak_memory()}))
        return

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        prepare(folder, options.rows, options.width, options.dtype)
        numpy_product(folder)
        runs = [{what: measure(what, folder) for what in ("numpy", "apply")} for _ in range(options.repeats)]
        rotated, gallery = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("rotated", "gallery"))
        some = np.linspace(0, options.rows - 1, 1000).astype(int)
        exact = gallery[some].astype(np.float64) @ np.load(folder / "rotation.npy")
        error = float(np.abs(rotated[some] - exact).max())

    flops = 2 * options.rows * options.width**2
    rows = {
        what: {
            "seconds": float(np.median([run[what]["seconds"] for run in runs])),
            "peak_bytes": max(run[what]["peak"] for run in runs),
        }
        for what in ("numpy", "apply")
    }
    ratios = [run["numpy"]["seconds"] / run["apply"]["seconds"] for run in runs]
    result = {
        "rows": options.rows,
        "width": options.width,
        "dtype": options.dtype,
        "cores": os.cpu_count(),
        "bare NumPy product": rows["numpy"],
        "apply": rows["apply"],
        "speed_ratio": float(np.median(ratios)),
        "speed_ratios": ratios,
        "largest_error": error,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{options.rows:,} x {options.width} {options.dtype}, {os.cpu_count()} cores, median of {options.repeats}"
    )
    for title, row in (("bare NumPy product", rows["numpy"]), ("apply (reads and writes)", rows["apply"])):
        speed, peak = flops / row["seconds"] / 1e9, row["peak_bytes"] / 1e6
        print(f"  {title:26} {row['seconds']:8.1f} s  {speed:7.0f} Gflop/s  peak {peak:7,.0f} MB")
    print(
        f"  apply runs at {result['speed_ratio']:.0%} of the bare product; largest error {error:.1e}  ({options.out})"
    )


if __name__ == "__main__":
    main()

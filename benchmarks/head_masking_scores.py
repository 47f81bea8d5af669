"""Our detectors against pytorch-ood's on identical features: time, peak memory, and whether they agree.

    python benchmarks/head_masking_scores.py --reference 20000 --width 768
    python benchmarks/head_masking_scores.py --model a

Float32 features of clusters with a falling spectrum, logits by a linear head; the unknown are other clusters, each
near a known one. Time is that of fitting and of scoring all known and unknown test documents. Each detector runs
in a process of its own, ours and theirs in turns, the fastest run counts; peak memory is that process's above
what the inputs take, as Linux counts it. Where the AUROC differs by more than 1e-6, theirs is repeated
in float64; the run ends in an error where one of the distances still does.

With `--model` the features, logits and last linear layer are those of a shipped document model: `reference` and `test`
are then pages of its ten known kinds together, and as many pages as `test` are of the four that it has never seen. The
features are the input of that layer, which both sides read.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

K, DIMENSION_SHARE = 10, 2 / 3
NOTES = {
    "entropy": "theirs cuts probabilities off at 1e-7, where confident documents tie",
    "grad_norm": "ours is the closed form, theirs a backward pass for every document",
    "mahalanobis": "theirs is half the distance by the sum Σ·N, and inverts it",
    "relative_mahalanobis": "theirs by the sums Σ·N, both inverted",
    "vim": "theirs finds the subspace in float32, where the directions at its border mix",
    "knn": "theirs is scikit-learn's NearestNeighbors",
}
Data = dict[str, np.ndarray]


def draw(options: argparse.Namespace) -> Data:
    """Reference, known and unknown documents, and the head that gives their logits."""
    rng = np.random.default_rng(0)
    width, classes = options.width, options.classes
    spectrum = np.arange(1, width + 1) ** -0.75
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    centres = 0.16 * rng.standard_normal((2 * classes, width)) * spectrum
    centres[classes:] = 1.2 * centres[classes:] + 0.5 * centres[:classes]

    def documents(count: int, first: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, count)
        rows = centres[first + labels] + spectrum * rng.standard_normal((count, width))
        return (rows @ turn).astype(np.float32), labels

    reference, labels = documents(options.reference, 0)
    weight = 0.2 * (centres[:classes] / spectrum**2) @ turn
    bias = 1 - (weight @ (centres[:classes] @ turn).T).diagonal() / 2
    data = {"reference": reference, "labels": labels, "weight": weight, "bias": bias}
    data |= {"known": documents(options.test, 0)[0], "unknown": documents(options.test, classes)[0]}
    for name in ("reference", "known", "unknown"):
        data[f"{name}_logits"] = (data[name] @ weight.T + bias).astype(np.float32)
    return data


def read(options: argparse.Namespace) -> Data:
    """The same of a shipped document model and the pages that this project draws."""
    from paperworks.head_masking.features import Inputs, Passes, read_outputs
    from paperworks.tiny import document_model

    model, processor = document_model.load_document_model(options.model)
    known = document_model.known(options.model)
    passes = Passes(model, "penultimate")
    last = passes.last_linear
    data = {"weight": last.weight.detach().numpy(), "bias": last.bias.detach().numpy()}
    for part, kinds, count, seed in (
        ("reference", known, options.reference, 7001),
        ("known", known, options.test, 7002),
        ("unknown", document_model.SPLITS[options.model], options.test, 7003),
    ):
        pages = document_model.pages(kinds, -(-count // len(kinds)), seed)[:count]
        outputs, _ = read_outputs(passes, Inputs(document_model.encoded(pages, processor)), [], batch_size=32)
        data[part], data[f"{part}_logits"] = outputs.features, outputs.logits
        if part == "reference":
            data["labels"] = np.array([known.index(page.kind) for page in pages])
    return data


def ours(name: str, data: Data) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    from paperworks.head_masking.scores import Outputs, fit_score

    reference, known, unknown = (Outputs(data[part], data[f"{part}_logits"]) for part in PARTS)
    head = {"weight": data["weight"], "bias": data["bias"], "dimension": dimension(data)}
    options = {"knn": {"k": K}, "vim": head, "mahalanobis": {"ridge": 1e-12}}.get(name, {})
    if name == "relative_mahalanobis":
        options = {"ridge": 1e-12}

    def run() -> tuple[np.ndarray, np.ndarray]:
        score = fit_score(name, reference, data["labels"], **options)
        return score(known), score(unknown)

    return run


def theirs(name: str, data: Data, dtype: str) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    import torch

    detectors = pytorch_ood()
    torch.set_default_dtype(getattr(torch, dtype))
    if dtype == "float64":
        torch.Tensor.float = torch.Tensor.double  # their ViM asks for float32
    given = {key: torch.from_numpy(value) for key, value in data.items()}
    given |= {key: given[key].to(torch.get_default_dtype()) for key in given if key != "labels"}

    def linear() -> torch.nn.Module:
        layer = torch.nn.Linear(*given["weight"].T.shape)
        layer.load_state_dict({"weight": given["weight"], "bias": given["bias"]})
        return layer

    makers: dict[str, tuple[str, Callable[[], Any]]] = {
        "msp": ("logits", lambda: detectors.MaxSoftmax(None)),
        "max_logit": ("logits", lambda: detectors.MaxLogit(None)),
        "energy": ("logits", lambda: detectors.EnergyBased(None)),
        "entropy": ("logits", lambda: detectors.Entropy(None)),
        "kl_matching": ("logits", lambda: detectors.KLMatching(None)),
        "grad_norm": ("model", lambda: detectors.GradNorm(linear(), lambda parameter: parameter == "weight")),
        "knn": ("features", lambda: detectors.KNN(None, k=K)),
        "mahalanobis": ("features", lambda: detectors.Mahalanobis(None)),
        "relative_mahalanobis": ("features", lambda: detectors.RMD(None)),
        "vim": ("features", lambda: detectors.ViM(None, dimension(data), given["weight"], given["bias"])),
    }
    kind, make = makers[name]

    def run() -> tuple[np.ndarray, np.ndarray]:
        detector = make()
        if kind == "features":
            detector.fit_features(given["reference"], given["labels"])
        elif name == "kl_matching":
            detector.fit_logits(given["reference_logits"], given["labels"])
        predict = {
            "features": lambda part: detector.predict_features(given[part]),
            "logits": lambda part: detector.predict_logits(given[f"{part}_logits"]),
            "model": lambda part: detector.predict(given[part]),
        }[kind]
        known, unknown = (-predict(part).detach().double().numpy() for part in PARTS[1:])
        return known, unknown

    return run


PARTS = ("reference", "known", "unknown")
DISTANCES = ("knn", "mahalanobis", "relative_mahalanobis", "vim")
SHARED = (
    "msp",
    "max_logit",
    "energy",
    "entropy",
    "kl_matching",
    "grad_norm",
    "knn",
    "mahalanobis",
    "relative_mahalanobis",
    "vim",
)


def dimension(data: Data) -> int:
    return int(DIMENSION_SHARE * data["reference"].shape[1])


def pytorch_ood() -> types.ModuleType:
    """Its detectors: these do without torchvision, which the package as a whole wants for its models."""
    if (
        not find_spec("torchvision")
        and "pytorch_ood" not in sys.modules
        and (found := find_spec("pytorch_ood"))
    ):
        package = types.ModuleType("pytorch_ood")
        package.__path__ = list(found.submodule_search_locations or [])
        sys.modules["pytorch_ood"] = package
    return importlib.import_module("pytorch_ood.detector")


def forget_peak() -> None:
    """Let Linux count the largest resident memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """This process's largest resident memory since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def run(name: str, side: str, dtype: str, folder: Path) -> dict[str, float]:
    """Seconds and bytes of fitting and scoring, and the AUROC; a run of few documents before it loads the libraries."""
    from paperworks.head_masking.metrics import ood_metrics

    data = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    few = {key: value if key in ("weight", "bias") else value[:2000].copy() for key, value in data.items()}
    contender = (
        (lambda some: ours(name, some)) if side == "ours" else (lambda some: theirs(name, some, dtype))
    )
    contender(few)()
    ready = contender(data)
    forget_peak()
    before, start = peak_memory(), time.perf_counter()
    known, unknown = ready()
    seconds, peak = time.perf_counter() - start, peak_memory() - before
    return {"seconds": seconds, "peak_bytes": peak, "auroc": ood_metrics(known, unknown).auroc}


def measure(name: str, side: str, folder: Path, dtype: str = "float32") -> dict[str, float] | None:
    command = [sys.executable, __file__, "--measure", name, side, dtype, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}, {side}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def compare(name: str, folder: Path, repeats: int, peer: bool) -> dict[str, Any]:
    """The best of both sides, and their AUROC in float64 where it differs in float32."""
    sides = ("ours", "theirs") if peer else ("ours",)
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            if found := measure(name, side, folder):
                runs[side].append(found)
    row: dict[str, Any] = {
        side: min(found, key=lambda entry: entry["seconds"]) for side, found in runs.items() if found
    }
    if {"ours", "theirs"} <= set(row):
        row["difference"] = abs(row["ours"]["auroc"] - row["theirs"]["auroc"])
        if row["difference"] > 1e-6 and (double := measure(name, "theirs", folder, "float64")):
            row["difference_float64"] = abs(row["ours"]["auroc"] - double["auroc"])
    return row


def line(name: str, row: dict[str, Any]) -> str:
    """One detector in the table."""
    text = f"{name:21}"
    for side in ("ours", "theirs"):
        if side in row:
            found = row[side]
            text += f" {found['seconds']:8.3f} s {found['peak_bytes'] / 1e6:6,.0f} MB {found['auroc']:.6f} "
    if "difference" in row:
        text += f" {row['theirs']['seconds'] / row['ours']['seconds']:6.1f} x  {row['difference']:.1e}"
        if "difference_float64" in row:
            text += f" (float64: {row['difference_float64']:.1e})"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", help="a split of the shipped document model, a to e, in place of drawn features"
    )
    parser.add_argument("--reference", type=int, help="default 20,000; 600 pages for a model")
    parser.add_argument("--test", type=int, help="known, and as many unknown; default 5,000; 200 for a model")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2, help="runs of each, of which the fastest counts")
    parser.add_argument("--out", type=Path, default=Path("head_masking_scores.json"))
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, side, dtype, folder = options.measure
        print(json.dumps(run(name, side, dtype, Path(folder))))
        return

    options.reference = options.reference or (600 if options.model else 20_000)
    options.test = options.test or (200 if options.model else 5_000)
    data = read(options) if options.model else draw(options)
    options.classes, options.width = data["weight"].shape
    peer = find_spec("pytorch_ood") is not None
    sizes = {name: getattr(options, name) for name in ("model", "reference", "test", "width", "classes")}
    print(f"{options.reference:,} x {options.width} reference, {options.test:,} known and unknown each")
    print(f"{'':21} {'ours: time, memory, AUROC':28} {'pytorch-ood':29} {'faster':8} AUROC differs by")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for key, value in data.items():
            np.save(Path(folder) / f"{key}.npy", value)
        for name in SHARED:
            rows[name] = compare(name, Path(folder), options.repeats, peer)
            print(line(name, rows[name]), flush=True)
    if not peer:
        print("pytorch-ood not installed: pip install pytorch-ood")
    for name, note in NOTES.items():
        print(f"  {name}: {note}")
    setting = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS"), "numpy": np.__version__}
    if peer:
        setting["pytorch_ood"] = version("pytorch-ood")
    options.out.write_text(json.dumps({**sizes, **setting, "rows": rows, "notes": NOTES}, indent=2) + "\n")
    apart = [
        name
        for name, row in rows.items()
        if row.get("difference_float64", row.get("difference", 0)) > 1e-6 and name in DISTANCES
    ]
    if apart:
        sys.exit(f"the AUROC differs by more than 1e-6: {', '.join(apart)}")


if __name__ == "__main__":
    main()

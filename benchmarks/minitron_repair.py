"""What is gained beyond the paper, on the shipped model: norm rescaling, least-squares repair, KV heads, the forecast.

    python benchmarks/minitron_repair.py

Losses are nats a token on held-out modules of the standard library: right after the cut, and after the same short
distillation, for three seeds. The forecast is made from the first steps of a run and compared with its end.
"""

from __future__ import annotations

import json
import logging
import statistics
import tempfile
from pathlib import Path

import torch

from paperworks.minitron import small_scale as s
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.evaluate import lm_loss
from paperworks.minitron.forecast import forecast
from paperworks.minitron.indices import keep
from paperworks.minitron.repair import least_squares
from paperworks.minitron.target import Target
from paperworks.minitron.trim import prune_model

STEPS = 16
SEEDS = 3


def repaired(name: str, seed: int, target: Target) -> torch.nn.Module:
    """A cut of the teacher with one of the repairs."""
    scores = s.importance(seed)
    model = prune_model(s.teacher(), scores, target, rescale_norms="rescaled" in name).requires_grad_(True)
    if "squares" in name:
        kept = keep(scores, target, sizes_of(s.teacher().config))
        least_squares(s.teacher(), model, kept, s.drawn(s.code_rows(), s.CALIBRATION, seed))
    return model


def main() -> None:
    logging.disable(logging.WARNING)
    found: dict[str, dict[str, list[float]]] = {}
    teacher = s.loss_of(s.teacher())
    width = s.width_target()
    kinds = {
        "width": width,
        "width, norms rescaled": width,
        "width, least squares": width,
        "width, rescaled and squares": width,
        "one KV head of two": Target(kv_heads=1),
    }
    for name, target in kinds.items():
        for seed in range(SEEDS):
            model = repaired(name, seed, target)
            losses = found.setdefault(name, {"cut": [], "distilled": []})
            losses["cut"].append(s.loss_of(model))
            with tempfile.TemporaryDirectory() as scratch:
                s.train(model, s.code_rows(), Path(scratch), steps=STEPS, seed=seed, guide=s.teacher())
            losses["distilled"].append(s.loss_of(model))
    print(f"teacher: {teacher:.3f} nats a token\n")
    print(f"{'':30}{'parameters':>12}{'after the cut':>16}{'after ' + str(STEPS) + ' steps':>18}")
    for name, losses in found.items():
        row = [f"{statistics.mean(one):.3f} ± {statistics.stdev(one):.3f}" for one in losses.values()]
        print(f"{name:30}{s.shapes(kinds[name]).parameters:12,}{row[0]:>16}{row[1]:>18}")

    budget, model, points = 60, s.student(s.importance(0), width), []
    marks = (3, 6, 12)
    held = s.held_out()
    with tempfile.TemporaryDirectory() as scratch:
        for first, last in zip((0, *marks), (*marks, budget), strict=True):
            s.train(
                model,
                s.code_rows(),
                Path(scratch),
                steps=last - first,
                seed=first + 1,
                guide=s.teacher(),
                peak_lr=5e-4,
            )
            points.append((last * s.BATCH * s.LENGTH, lm_loss(model, held, batch_size=16).mean))
    said = forecast(points[:-1], points[-1][0])
    interval = f"{said.loss:.3f} ({said.low:.3f} to {said.high:.3f})"
    print(f"\nforecast from {marks} of {budget} steps: {interval}; it was {points[-1][1]:.3f}")
    Path("minitron_repair.json").write_text(
        json.dumps(
            {"teacher": teacher, "losses": found, "points": points, "forecast": said.to_dict()}, indent=2
        )
    )


if __name__ == "__main__":
    main()

"""The training loop: it learns, stops and goes on as if it had not, and averages as it says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paperworks.errors import InputError
from paperworks.training import fit, learning_rate

WEIGHT = torch.tensor([[1.0, -2.0, 3.0, 0.5]])


def run(stop: int | None = None, **options: Any) -> tuple[nn.Module, list[dict[str, float]]]:
    """A linear layer on a linear target."""
    torch.manual_seed(0)
    modules = nn.ModuleDict({"layer": nn.Linear(4, 1)})

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor]:
        if step == stop:
            raise KeyboardInterrupt
        return (torch.randn(32, 4, generator=generator),)

    def loss(inputs: Tensor) -> Tensor:
        return ((modules["layer"](inputs) - inputs @ WEIGHT.T) ** 2).mean()

    settings = {"steps": 200, "rate": 0.05, "warmup": 5, **options}
    curve = fit(modules, batch, loss, **settings)
    return modules["layer"], curve


def test_it_learns_and_keeps_the_curve() -> None:
    layer, curve = run()
    assert torch.allclose(layer.weight, WEIGHT, atol=0.02)
    assert curve[-1]["step"] == 200
    assert curve[-1]["loss"] < 1e-3 * curve[0]["loss"]
    assert len(curve) == 50


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path, average: float | None) -> None:
    whole, curve = run(average=average)
    with pytest.raises(KeyboardInterrupt):
        run(stop=57, folder=tmp_path, save_every=10, average=average)
    again, resumed = run(folder=tmp_path, save_every=10, average=average)
    assert torch.equal(again.weight, whole.weight)
    assert torch.equal(again.bias, whole.bias)
    assert resumed[-1] == curve[-1]


def test_the_average_of_the_weights_takes_their_place() -> None:
    seen: list[Tensor] = []
    shadows: list[Tensor] = []
    layer, _ = run(
        steps=12,
        average=0.5,
        after=lambda step, averages: shadows.append(averages["layer"].weight.detach().clone()),
    )
    run(steps=12, after=lambda step, modules: seen.append(modules["layer"].weight.detach().clone()))
    torch.manual_seed(0)
    expected = nn.Linear(4, 1).weight.detach()
    for step, weight in enumerate(seen):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        assert torch.allclose(shadows[step], expected, atol=1e-6)
    assert torch.equal(layer.weight, shadows[-1])


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1)
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[100] == pytest.approx(0)


def test_a_loss_that_is_not_finite_is_refused() -> None:
    modules = nn.ModuleDict({"layer": nn.Linear(1, 1)})
    with pytest.raises(InputError, match="loss is nan"):
        fit(
            modules,
            lambda step, generator: (torch.full((1, 1), float("nan")),),
            lambda inputs: modules["layer"](inputs).sum(),
            steps=2,
            rate=0.1,
        )

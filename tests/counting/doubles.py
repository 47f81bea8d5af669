"""Counters without weights: what is known about them can be computed by hand."""

import numpy as np
import torch


def darkness(pictures, names):
    """A density `[B, h, w]`, not negative and smooth: how dark each block of 8 x 8 pixels is."""
    return torch.nn.functional.avg_pool2d((1 - pictures).square().sum(1, keepdim=True), 8)[:, 0]


class Steps:
    """A driver without a gradient: dark parts of the picture, in units of `unit`."""

    name = "steps of darkness"

    def __init__(self, unit=0.5):
        self.unit = unit

    def __call__(self, pictures, names):
        values = ((255.0 - pictures.astype(float)) ** 2 / 255**2).sum(-1).mean((1, 2))
        return np.floor(values / self.unit).astype(int)


class Told:
    """A driver that gives a list of counts, one after the other; a row for each picture of a call."""

    def __init__(self, *rows):
        self.rows, self.calls = list(rows), 0

    def __call__(self, pictures, names):
        row = self.rows[min(self.calls, len(self.rows) - 1)]
        self.calls += 1
        return np.broadcast_to(np.asarray(row), (len(names),)).copy()

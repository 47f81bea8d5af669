"""Members and operations at random, for the tests of the mathematics."""

from collections.abc import Callable
from typing import Any

import numpy as np

Member = dict[str, Any]


def text(value: float, decimals: int = 2) -> str:
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}"


class Chance:
    """Draws members of every family; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def between(self, low: float, high: float) -> str:
        return text(self.generator.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high + 1))

    def line(self) -> Member:
        m = self.generator.uniform(0.5, 5) * self.generator.choice([-1, 1])
        return {
            "family": "line",
            "m": text(m),
            "k": text(-m * self.generator.uniform(-8, 8)),
            "domain": ["-10", "10"],
        }

    def parabola(self) -> Member:
        return {
            "family": "parabola",
            "h": self.between(-7, 7),
            "v": self.between(-8, 8),
            "a": self.between(0.1, 2),
            "domain": ["-10", "10"],
        }

    def cubic(self) -> Member:
        p, r = sorted(self.generator.choice(np.arange(-6, 7), 2, replace=False))
        return {
            "family": "cubic",
            "s": text(self.generator.uniform(0.01, 0.1), 6),
            "p": str(p),
            "r": str(r),
            "k": self.between(-3, 3),
            "domain": ["-10", "10"],
        }

    def sine(self) -> Member:
        period = self.whole(3, 12)
        return {
            "family": "sine",
            "A": self.between(0.7, 4),
            "T": str(period),
            "h": str(self.whole(0, period - 1)),
            "v": self.between(-5, 5),
            "domain": ["-10", "10"],
        }

    def bell(self) -> Member:
        return {
            "family": "bell",
            "s": self.between(2, 9),
            "mu": self.between(-6, 6),
            "var": self.between(0.8, 4),
            "domain": ["-10", "10"],
        }

    def smooth(self, monotone: bool = False, whole: bool = False) -> Member:
        n = self.whole(2 if monotone else 5, 9)
        x = np.sort(self.generator.choice(np.arange(-10, 11), n, replace=False))
        y = self.generator.uniform(-10, 10, n)
        if monotone:
            y = np.sort(y) * self.generator.choice([-1, 1])
        return {"family": "smooth", "x": [str(v) for v in x], "y": [text(v, 0 if whole else 2) for v in y]}

    def polynomial(self) -> Member:
        coefficients = self.generator.integers(-10, 11, self.whole(3, 5))
        coefficients[0] = coefficients[0] or 3
        return {
            "family": "polynomial",
            "coefficients": [int(c) for c in coefficients],
            "domain": [self.between(-3, -1), self.between(1, 3)],
        }

    def sine_equation(self) -> Member:
        a, b, c, d = self.whole(1, 10), self.whole(1, 10), self.whole(0, 6), self.whole(-10, 10)
        return {
            "family": "sine-equation",
            "a": str(a),
            "b": str(b),
            "c": str(c),
            "d": str(d),
            "domain": ["-10", "10"],
        }

    def points(self) -> Member:
        n = self.whole(12, 60)
        x = self.generator.uniform(-10, 10, n)
        y = self.generator.uniform(-10, 10, n) + 0.5 * x
        decimals = self.whole(0, 2)
        pairs = dict.fromkeys((text(a, decimals), text(b, decimals)) for a, b in zip(x, y, strict=True))
        return {"family": "points", "x": [a for a, _ in pairs], "y": [b for _, b in pairs]}

    def operation(self) -> dict[str, Any]:
        axis = ("x", "y")[self.whole(0, 1)]
        k = str(self.whole(-10, 10))
        kind = ("scale", "rotate", "reflect", "translate")[self.whole(0, 3)]
        if kind == "scale":
            return {
                "kind": kind,
                "axis": axis,
                "factor": str(self.generator.choice(["0.1", "0.5", "2", "3", "5", "10"])),
            }
        if kind == "rotate":
            return {"kind": kind, "angle": 90 * self.whole(1, 3)}
        if kind == "translate":
            return {"kind": kind, "axis": axis, "by": k}
        mirror = ("x-axis", "y-axis", "y=x", "y=-x", "x=k", "y=k")[self.whole(0, 5)]
        return {"kind": kind, "in": mirror} | ({"k": k} if mirror.endswith("k") else {})

    def operations(self, longest: int = 9) -> list[dict[str, Any]]:
        return [self.operation() for _ in range(self.whole(1, longest))]


CURVES: list[Callable[[Chance], Member]] = [
    Chance.line,
    Chance.parabola,
    Chance.cubic,
    Chance.sine,
    Chance.bell,
    Chance.smooth,
    Chance.polynomial,
    Chance.sine_equation,
]

"""The answer of an item found a second time, from 20,001 sampled points of every curve and no closed form.

Shares with `truths.py` only the item's parameters: curves are evaluated by other formulas (SciPy's PCHIP, NumPy's
polynomials), operations move the sampled points one after the other, and properties are read off the points:
crossings, refined extremes, least squares, Simpson's rule, SciPy's statistics. Its error is that of the sampling, below
1e-4 of the answer's scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from paperworks.errors import InputError
from paperworks.grab.families import Floats, Member

SAMPLES = 20001

Answer = float | tuple[float, float] | str
_Exact = Fraction | tuple[Fraction, Fraction]


def dense_truth(
    spec: Mapping[str, Any], prop: str, samples: int = SAMPLES
) -> float | tuple[float, float] | str:
    """The answer to `prop` about the picture of `spec` by dense sampling: same kinds of answer as `truths.truth`."""
    members = spec["members"]
    if prop == "number-of-series":
        return float(len({str(sorted(member.items())) for member in members}))
    asked = spec.get("asked") or {}
    if "member" in asked:
        members = [members[asked["member"]]]
    answers = [_answer(member, prop, spec.get("operations") or (), asked, samples) for member in members]
    if len(answers) == 1:
        return answers[0]
    return float(np.mean(answers))  # type: ignore[arg-type]


def difference(first: Answer | _Exact, second: Answer | _Exact) -> float:
    """The largest absolute difference between two answers of one kind; of texts 0 or infinity."""
    if isinstance(first, str) or isinstance(second, str):
        return 0.0 if first == second else math.inf
    pairs = zip(np.atleast_1d(np.array(first, float)), np.atleast_1d(np.array(second, float)), strict=True)
    return max(abs(float(a - b)) for a, b in pairs)


def _answer(
    member: Member, prop: str, operations: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], samples: int
) -> Answer:
    if prop == "variance" and member["family"] == "bell":
        return _moment_variance(member)
    x, y = _sampled(member, samples)
    if prop == "equation":
        return _fitted_equation(member, asked.get("form", ""), x, y)
    for operation in operations:
        x, y = _move(operation, x, y)
    if prop in ("maximum", "minimum", "range-span", "domain-length"):
        return float({"maximum": y.max(), "minimum": y.min(), "range-span": np.ptp(y)}.get(prop, np.ptp(x)))
    if member["family"] == "points":
        return _statistic(prop, x, y)
    return _of_curve(prop, x, y)


def _sampled(member: Member, samples: int) -> tuple[Floats, Floats]:
    name = member["family"]
    if name == "points":
        return np.array(member["x"], dtype=float), np.array(member["y"], dtype=float)
    ends = (member["x"][0], member["x"][-1]) if name == "smooth" else member["domain"]
    x = np.linspace(float(ends[0]), float(ends[1]), samples)
    return x, _heights(member, x)


def _heights(member: Member, x: Floats) -> Floats:
    name = member["family"]
    if name == "smooth":
        from scipy.interpolate import PchipInterpolator

        return np.asarray(PchipInterpolator(*(np.array(member[key], dtype=float) for key in ("x", "y")))(x))
    if name == "polynomial":
        return np.asarray(np.polynomial.Polynomial([float(c) for c in member["coefficients"][::-1]])(x))
    p = {key: float(text) for key, text in member.items() if key not in ("family", "domain")}
    if name == "line":
        return p["m"] * x + p["k"]
    if name == "parabola":
        return np.asarray(p["v"] + p["a"] * np.square(x - p["h"]))
    if name == "cubic":
        antiderivative = np.polynomial.Polynomial.fromroots([p["p"], p["r"]]).integ() * (3 * p["s"])
        return np.asarray(antiderivative(x) + p["k"])
    if name == "sine":
        return np.asarray(p["v"] + p["A"] * np.imag(np.exp(2j * np.pi * (x - p["h"]) / p["T"])))
    if name == "sine-equation":
        return np.asarray(p["d"] + p["a"] * np.imag(np.exp(1j * (p["b"] * x + p["c"]))))
    if name == "bell":
        from scipy.stats import norm

        density = norm(loc=p["mu"], scale=math.sqrt(p["var"]))
        return np.asarray(p["s"] * density.pdf(x) / density.pdf(p["mu"]))
    raise InputError(f"member of family {name!r}: unknown")


def _move(operation: Mapping[str, Any], x: Floats, y: Floats) -> tuple[Floats, Floats]:
    kind = operation["kind"]
    if kind == "rotate":
        angle = math.radians(float(operation["angle"]))
        turned = (x + 1j * y) * complex(math.cos(angle), math.sin(angle))
        return turned.real, turned.imag
    if kind == "scale":
        factor = float(operation["factor"])
        return (x * factor, y) if operation["axis"] == "x" else (x, y * factor)
    if kind == "translate":
        by = float(operation["by"])
        return (x + by, y) if operation["axis"] == "x" else (x, y + by)
    mirror, k = operation["in"], float(operation.get("k", 0))
    if mirror in ("x=k", "y-axis"):
        return (k if mirror == "x=k" else 0.0) * 2 - x, y
    if mirror in ("y=k", "x-axis"):
        return x, (k if mirror == "y=k" else 0.0) * 2 - y
    return (y, x) if mirror == "y=x" else (-y, -x)


def _of_curve(prop: str, x: Floats, y: Floats) -> float | tuple[float, float]:
    if prop in ("net-area", "total-area"):
        return _area(x, y, absolute=prop == "total-area")
    if prop == "gradient":
        return float((y[-1] - y[0]) / (x[-1] - x[0]))
    if prop == "x-intercept":
        return _crossings(x, y)[0]
    if prop == "y-intercept":
        return float(np.interp(0.0, x, y))
    turns = _turns(x, y)
    if prop == "stationary-points":
        return turns[0][0], turns[1][0]
    if prop in ("stationary-point", "function-mean", "peak"):
        return turns[0][0]
    low, high = min(height for _, height in turns), max(height for _, height in turns)
    if prop == "amplitude":
        return (high - low) / 2
    if prop == "vertical-shift":
        return (high + low) / 2
    period = 2 * (turns[-1][0] - turns[0][0]) / (len(turns) - 1)
    if prop == "period":
        return period
    if prop == "phase-shift":
        return _rise(x, y - (high + low) / 2, period)
    raise InputError(f"property {prop!r} is not one of a curve")


def _turns(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """Extremes inside, each the vertex of the parabola through the three samples around it."""
    steps = np.sign(np.diff(y))
    found = []
    for k in np.flatnonzero((steps[1:] != steps[:-1]) & (steps[:-1] != 0)) + 1:
        left, middle, right = y[k - 1 : k + 2]
        bend = left - 2 * middle + right
        offset = (left - right) / (2 * bend)
        found.append((float(x[k] + offset * (x[1] - x[0])), float(middle - (left - right) ** 2 / (8 * bend))))
    if not found:
        raise InputError("the curve does not turn inside its domain")
    return found


def _crossings(x: Floats, y: Floats, rising: bool = False) -> list[float]:
    sign = y >= 0
    change = (~sign[:-1] & sign[1:]) if rising else (sign[:-1] != sign[1:])
    index = np.flatnonzero(change)
    if not len(index):
        raise InputError("the curve does not cross inside its domain")
    return [float(x[k] - y[k] * (x[k + 1] - x[k]) / (y[k + 1] - y[k])) for k in index]


def _rise(x: Floats, y: Floats, period: float) -> float:
    """Where a sine rises through its middle, from 0 up to a period."""
    rises = np.exp(2j * np.pi * np.array(_crossings(x, y, rising=True)) / period)
    place = float(np.angle(rises.mean())) / (2 * math.pi) % 1.0
    return 0.0 if place > 1 - 1e-6 else place * period


def _area(x: Floats, y: Floats, absolute: bool) -> float:
    from scipy.integrate import simpson

    if x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    if np.any(np.diff(x) < 0):
        raise InputError("area: the moved curve is not a function of x")
    return float(simpson(np.abs(y) if absolute else y, x=x))


def _moment_variance(member: Member) -> float:
    x = np.linspace(-100.0, 100.0, SAMPLES)
    weight = _heights(member, x)
    weight = weight / weight.sum()
    centre = float((weight * x).sum())
    return float((weight * (x - centre) ** 2).sum())


def _fitted_equation(member: Member, form: str, x: Floats, y: Floats) -> str:
    if member["family"] == "sine-equation":
        turns = _turns(x, y)
        low, high = min(height for _, height in turns), max(height for _, height in turns)
        period = 2 * (turns[-1][0] - turns[0][0]) / (len(turns) - 1)
        frequency = round(2 * math.pi / period)
        shift = _rise(x, y - (high + low) / 2, 2 * math.pi / frequency)
        phase = round(-frequency * shift % (2 * math.pi), 6) % round(2 * math.pi, 6)
        a, d = round((high - low) / 2), round((high + low) / 2)
        return f"y = {a}sin({frequency}x {round(phase):+d}) {d:+d}".replace(" +", " + ").replace(" -", " - ")
    given = {"line": 1, "quadratic": 2, "cubic": 3, "quartic": 4}
    degree = given.get(form) or (1 if member["family"] == "line" else len(member["coefficients"]) - 1)
    fit = np.polynomial.Polynomial.fit(x, y, degree).convert().coef
    terms = []
    for power in range(degree, -1, -1):
        coefficient = round(float(fit[power])) if power < len(fit) else 0
        unknown = f"x^{power}" if power > 1 else "x" * power
        terms.append(f"{coefficient:+d}{unknown}")
    return "y = " + " ".join(terms).replace(" +", " + ").replace(" -", " - ").removeprefix("+")


def _statistic(prop: str, x: Floats, y: Floats) -> float:
    from scipy import stats

    if prop == "number-of-points":
        return float(len(np.unique(np.stack([x, y]), axis=1).T))
    if prop == "interquartile-range":
        return float(np.subtract(*np.percentile(y, [75, 25])))
    simple: dict[str, Callable[[Floats], Any]] = {"mean": np.mean, "median": np.median, "variance": np.var}
    if prop in simple:
        return float(simple[prop](y))
    coefficients = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
    if prop not in coefficients:
        raise InputError(f"property {prop!r} is not one of data")
    return float(coefficients[prop](x, y).statistic)

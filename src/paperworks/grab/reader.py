"""A reader that sees only the picture and the question: what the pixels hold, as a ceiling beside every
model's score.

It finds the frame, reads the labels, takes the members apart by colour, fits what the question asks for,
applies the question's operations, averages, rounds and formats. Where a step fails it refuses and says which;
it does not guess. It knows the fonts, colours and families of our own pictures, so it is a ceiling for those
and no general
chart reader. It never sees parameters or answers. A choice of ours; the paper has no such baseline.

    python -m paperworks.grab.reader PICTURE QUESTION
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import InputError
from paperworks.grab import operations, reader_colours, reader_curves, reader_fits
from paperworks.grab.layout import COLOUR_NAMES
from paperworks.grab.models import Request, Response
from paperworks.grab.reader_axes import Axes, Frame, Refused, read_axes
from paperworks.grab.reader_dots import Dots, dots
from paperworks.grab.reader_extents import Outline, outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Pixels = NDArray[np.uint8]

# The first phrase found in a question says what is asked; longer phrases come before those they contain.
_PHRASES = (
    ("x-axis run", "limits"),
    ("x-intercept", "x-intercept"),
    ("y-intercept", "y-intercept"),
    ("gradient", "gradient"),
    ("stationary points", "stationary-points"),
    ("stationary point", "stationary-point"),
    ("function mean", "function-mean"),
    ("amplitude", "amplitude"),
    ("period", "period"),
    ("vertical shift", "vertical-shift"),
    ("phase shift", "phase-shift"),
    ("equation", "equation"),
    ("how many points", "number-of-points"),
    ("how many data series", "number-of-members"),
    ("how many functions", "number-of-members"),
    ("pearson", "pearson"),
    ("spearman", "spearman"),
    ("kendall", "kendall"),
    ("net area", "net-area"),
    ("total area", "total-area"),
    ("interquartile range", "interquartile-range"),
    ("median", "median"),
    ("mean of the y-values", "mean"),
    ("variance of the y-values", "data-variance"),
    ("variance", "variance"),
    ("maximum", "maximum"),
    ("minimum", "minimum"),
    ("domain length", "domain-length"),
    ("range span", "range-span"),
    ("coordinate of the peak", "peak"),
    ("y-value of the", "value"),
)
_QUANTA = (("nearest ten.", "10"), ("nearest integer", "1"), ("one decimal place", "0.1"))
_OF_DATA = {
    "pearson",
    "spearman",
    "kendall",
    "median",
    "interquartile-range",
    "mean",
    "data-variance",
    "number-of-points",
}


@dataclass(frozen=True)
class Question:
    """What a question asks: the property, the precision, whether of data, of which colour, after which operations.

    `form`: of an equation; `at`: the x of a value.
    """

    property: str
    quantum: str
    data: bool
    colour: str | None = None
    moves: tuple[dict[str, Any], ...] = ()
    form: str | None = None
    at: float | None = None


def parse(question: str) -> Question:
    """The question's meaning from its words; raises Refused (step "question") for words it does not know."""
    text = re.sub(r"\s+", " ", question).replace("−", "-")
    low = text.lower()
    prop = next((name for phrase, name in _PHRASES if phrase in low), None)
    if prop is None:
        raise Refused("question", "no property that this reader knows")
    quantum = next((q for phrase, q in _QUANTA if phrase in low), None)
    if quantum is None:
        if prop not in ("equation", "limits"):
            raise Refused("question", "no precision: nearest ten, nearest integer or one decimal place")
        quantum = "1"
    coloured = re.search(r"of the (\w+(?: \w+)?) (?:function|data series)\b", low)
    colour = None
    if coloured and coloured[1] in COLOUR_NAMES.values():
        colour = next(code for code, name in COLOUR_NAMES.items() if name == coloured[1])
    data = prop in _OF_DATA or bool(re.search(r"\bdata\b", low))
    form = _form(text) if prop == "equation" else None
    place = re.search(r"at x = (-?\d+(?:\.\d+)?)", low)
    at = float(place[1]) if place and prop == "value" else None
    return Question(prop, quantum, data, colour, tuple(_moves(text)), form, at)


def _form(text: str) -> str:
    wanted = re.search(r"in the form y = (.*?) with", text)
    if wanted is None:
        raise Refused("question", "an equation without a form")
    if "sin(" in wanted[1]:
        return "sine"
    powers = [int(power) for power in re.findall(r"\^(\d)", wanted[1])]
    return str(max(powers, default=1))


_Move = Callable[[re.Match[str]], dict[str, Any]]
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_MOVES: tuple[tuple[str, _Move], ...] = (
    (
        rf"scale by a factor of {_NUMBER} in the ([xy])-direction",
        lambda m: {"kind": "scale", "axis": m[2], "factor": m[1]},
    ),
    (
        r"rotate by (\d+)° counter-clockwise about the origin",
        lambda m: {"kind": "rotate", "angle": int(m[1])},
    ),
    (
        rf"shift by {_NUMBER} in the ([xy])-direction",
        lambda m: {"kind": "translate", "axis": m[2], "by": m[1]},
    ),
    (r"reflect in the ([xy])-axis", lambda m: {"kind": "reflect", "in": f"{m[1]}-axis"}),
    (r"reflect in the line y = (-?)x", lambda m: {"kind": "reflect", "in": f"y={m[1]}x"}),
    (
        rf"reflect in the line ([xy]) = {_NUMBER}",
        lambda m: {"kind": "reflect", "in": f"{m[1]}=k", "k": m[2]},
    ),
)


def _moves(text: str) -> Iterator[dict[str, Any]]:
    listed = re.search(r"operations, done in order: (.*?)\?", text)
    if listed is None:
        return
    parts = re.split(r";?\s*(\d+)\. ", listed[1])
    numbers, wordings = parts[1::2], parts[2::2]
    if [int(number) for number in numbers] != list(range(1, len(numbers) + 1)) or not numbers:
        raise Refused("question", "the operations are not numbered 1, 2, …")
    for wording in wordings:
        for pattern, made in _MOVES:
            found = re.fullmatch(pattern, wording.strip(" ;"))
            if found:
                yield made(found)
                break
        else:
            raise Refused("question", f"an operation that this reader does not know: {wording!r}")


@dataclass(frozen=True)
class Reading:
    """An answer, or None with the step that refused and its reason; the number before rounding where there is one."""

    answer: str | None
    step: str | None = None
    reason: str | None = None
    value: float | tuple[float, ...] | None = None
    members: tuple[float, ...] = ()


class PixelReader:
    """The reader as a model: it answers requests from their pictures.

    `calibrated`: the axes box and limits are given instead of read; `evaluate` then calls `prepare`, which takes
    them (and nothing else) from the items.
    """

    name = "pixel-reader"

    def __init__(self, calibrated: bool | None = None) -> None:
        self.calibrated = bool(calibrated)
        self._frames: dict[str, tuple[Any, Any]] = {}

    @property
    def parameters(self) -> dict[str, Any]:
        """What changes the answers."""
        return {"calibrated": self.calibrated}

    def prepare(self, bench: Iterable[Any]) -> None:
        """Note size and axes of the items, if calibrated."""
        if self.calibrated:
            self._frames = {item.id: (item.spec["style"]["size"], item.spec["axes"]) for item in bench}

    def frame(self, item_id: str, width: int) -> Frame | None:
        """The frame of an item in a picture `width` columns wide, if calibrated.

        Raises InputError for an item not prepared.
        """
        if not self.calibrated:
            return None
        if item_id not in self._frames:
            raise InputError(f"calibrated reader: no axes for item {item_id!r}; call prepare(bench) first")
        from paperworks.grab import layout

        size, axes = self._frames[item_id]
        (x0, x1), (y0, y1) = layout.limits(axes, "x"), layout.limits(axes, "y")
        return Frame(layout.frame(size, width), (float(x0), float(x1)), (float(y0), float(y1)))

    def read(self, pixels: Pixels, question: str, frame: Frame | None = None) -> str | None:
        """The answer to a question about a picture [rows, columns, 3], or None where a step refuses."""
        return self.explain(pixels, question, frame).answer

    def explain(self, pixels: Pixels, question: str, frame: Frame | None = None) -> Reading:
        """The answer with the number before rounding, or the step that refused and why."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise InputError(
                f"the picture is {pixels.dtype} {list(pixels.shape)}; give uint8 [rows, columns, 3]"
            )
        try:
            return _read(pixels, parse(question), frame)
        except Refused as refusal:
            return Reading(None, refusal.step, refusal.reason)
        except (ValueError, IndexError, ArithmeticError) as fault:
            # LinAlgError is a ValueError; a picture unlike ours can break an assumption of any step
            return Reading(None, "fit", f"no solution ({fault})")

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """One response a request; a refusal has finish "refused" and the step in `error`."""
        for request in requests:
            start = time.perf_counter()
            reading = self._respond(request)
            said = None if reading.step is None else f"{reading.step}: {reading.reason}"
            yield Response(
                request.key,
                request.id,
                reading.answer,
                "stop" if reading.answer is not None else "refused",
                seconds=time.perf_counter() - start,
                error=said,
            )

    def _respond(self, request: Request) -> Reading:
        if request.image is None:
            return Reading(None, "picture", "the request has none")
        pixels = decode(request.image())
        return self.explain(pixels, request.item_question, self.frame(request.id, pixels.shape[1]))


def decode(data: bytes) -> Pixels:
    """The pixels [rows, columns, 3] of an image file, transparent parts over white.

    Raises InputError if it is none.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGBA")
    except (UnidentifiedImageError, OSError) as fault:
        raise InputError(f"not an image that can be decoded: {fault}") from None
    paper = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(paper, image).convert("RGB"))


def _read(pixels: Pixels, asked: Question, frame: Frame | None) -> Reading:
    axes = read_axes(pixels) if frame is None else Axes.of(frame)
    if asked.property == "limits":
        left, _, right, _ = axes.box
        return _pair((float(axes.value_x(left)), float(axes.value_x(right))))
    view = reader_colours.scene(pixels, axes)
    found = reader_colours.colours(view) or reader_colours.colours(view, black=True)
    if not found:
        raise Refused("colours", "nothing is drawn inside the frame")
    if asked.property == "number-of-members":
        return _number([float(len(found))], asked)
    made = reader_colours.layers(view, found)
    if asked.colour is not None:
        made = [layer for layer in made if _hex(layer.colour) == asked.colour]
        if not made:
            raise Refused("colours", f"nothing is drawn in {COLOUR_NAMES[asked.colour]}")
    if asked.data:
        return _of_data(made, axes, asked)
    traces = [reader_curves.trace(layer) for layer in made]
    if asked.property == "equation":
        return Reading(_equation(_only(traces), axes, asked.form or "1"))
    if asked.property == "stationary-points":
        return _pair(_turns(_only(traces), axes))
    if asked.moves:
        moving = operations.compose(asked.moves)
        return _number([_moved(_only(traces), axes, moving, asked.property)], asked)
    return _number([_member(trace, axes, asked) for trace in traces], asked)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _only(traces: Sequence[reader_curves.Trace]) -> reader_curves.Trace:
    if len(traces) != 1:
        raise Refused("colours", f"{len(traces)} curves where one is asked about")
    return traces[0]


def _member(trace: reader_curves.Trace, axes: Axes, asked: Question) -> float:
    """The property of one curve."""
    prop = asked.property
    if prop in ("x-intercept", "y-intercept", "gradient"):
        m, k = reader_fits.polynomial(trace, axes, 1).parameters
        if prop == "x-intercept" and m == 0:
            raise Refused("fit", "a level line has no x-intercept")
        return {"gradient": m, "y-intercept": k}.get(prop, -k / m if m else 0.0)
    if prop == "stationary-point":
        a, b, _ = reader_fits.polynomial(trace, axes, 2).parameters
        if a == 0:
            raise Refused("fit", "a line has no stationary point")
        return -b / (2 * a)
    if prop in ("amplitude", "period", "vertical-shift", "phase-shift"):
        amplitude, period, shift, level = reader_fits.sine(trace, axes).parameters
        if prop == "phase-shift":
            # a shift just under a whole period is 0, read a little low
            return shift if shift < period - 0.25 else 0.0
        return {"amplitude": amplitude, "period": period, "vertical-shift": level}[prop]
    if prop in ("function-mean", "peak", "variance"):
        _, mean, variance = reader_fits.bell(trace, axes).parameters
        return variance if prop == "variance" else mean
    shape = outline(trace, axes)
    if prop == "value":
        assert asked.at is not None
        return float(np.interp(asked.at, shape.x, shape.y))
    return _extent(shape, prop)


def _extent(shape: Outline, prop: str) -> float:
    first, last = shape.ends
    if prop == "net-area":
        return float(np.trapezoid(shape.y, shape.x))
    if prop == "total-area":
        return total_area(shape.x, shape.y)
    known = {
        "maximum": shape.high,
        "minimum": shape.low,
        "domain-length": last - first,
        "range-span": shape.high - shape.low,
    }
    if prop not in known:
        raise Refused("question", f"{prop} of a curve is not read")
    return known[prop]


def total_area(x: Floats, y: Floats) -> float:
    """Area between a polyline and y = 0, counted positive on both sides; x ascending."""
    a, b, step = y[:-1], y[1:], np.diff(x)
    crosses = a * b < 0
    across = np.where(crosses, (a * a + b * b) / np.maximum(np.abs(a) + np.abs(b), 1e-300), np.abs(a + b))
    return float((across * step).sum() / 2)


def _moved(trace: reader_curves.Trace, axes: Axes, moving: operations.Affine, prop: str) -> float:
    """The property of the curve after the operations."""
    xx, xy, yx, yy, _, ty = (float(entry) for entry in moving)
    if prop == "gradient":
        m, _ = reader_fits.polynomial(trace, axes, 1).parameters
        if moving.swaps and m == 0:
            raise Refused("fit", "the moved line is upright")
        return yx / (m * xy) if moving.swaps else m * yy / xx
    shape = outline(trace, axes)
    first, last = shape.ends
    across, up = last - first, shape.high - shape.low
    if prop in ("net-area", "total-area"):
        x, y = operations.apply(moving, shape.x, shape.y)
        if moving.swaps and np.mean(np.diff(shape.y) > 0) not in (0.0, 1.0):
            # a monotone curve read with noise: put in order along the new x
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        if x[0] > x[-1]:
            x, y = x[::-1], y[::-1]
        return float(np.trapezoid(y, x)) if prop == "net-area" else total_area(x, y)
    if prop == "domain-length":
        return abs(xy) * up if moving.swaps else abs(xx) * across
    if prop == "range-span":
        return abs(yx) * across if moving.swaps else abs(yy) * up
    reach = [yx * first, yx * last] if moving.swaps else [yy * shape.low, yy * shape.high]
    if prop not in ("maximum", "minimum"):
        raise Refused("question", f"{prop} after operations is not read")
    return (max(reach) if prop == "maximum" else min(reach)) + ty


def _turns(trace: reader_curves.Trace, axes: Axes) -> tuple[float, float]:
    """x of the two stationary points of a cubic, ascending."""
    a, b, c, _ = reader_fits.polynomial(trace, axes, 3).parameters
    inside = b * b - 3 * a * c
    if inside <= 0 or a == 0:
        raise Refused("fit", "the cubic has no two stationary points")
    places = sorted(((-b - inside**0.5) / (3 * a), (-b + inside**0.5) / (3 * a)))
    return places[0], places[1]


def _equation(trace: reader_curves.Trace, axes: Axes, form: str) -> str:
    """The equation with integer coefficients, each written."""
    if form == "sine":
        amplitude, period, shift, level = reader_fits.sine(trace, axes).parameters
        rate = 2 * np.pi / period
        phase = (-rate * shift) % (2 * np.pi)
        if phase > 6.5:  # 0, read a little low
            phase -= 2 * np.pi
        a, b, c, d = (_whole(number) for number in (amplitude, rate, phase, level))
        return f"y = {a}sin({b}x {_signed(c)}) {_signed(d)}"
    fit = reader_fits.polynomial(trace, axes, int(form))
    terms = [_whole(coefficient) for coefficient in fit.parameters]
    powers = range(len(terms) - 1, -1, -1)
    named = ["" if power == 0 else "x" if power == 1 else f"x^{power}" for power in powers]
    said = [
        f"{n if not place else _signed(n)}{power}"
        for place, (n, power) in enumerate(zip(terms, named, strict=True))
    ]
    return "y = " + " ".join(said)


def _whole(number: float) -> int:
    nearest = round(number)
    if abs(number - nearest) > 0.35:
        raise Refused("rounding", f"a coefficient of {number:.2f} is no integer")
    return nearest


def _signed(number: int) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number)}"


def _of_data(made: Sequence[reader_colours.Layer], axes: Axes, asked: Question) -> Reading:
    found: list[Dots] = [dots(layer) for layer in made]
    if asked.property == "number-of-points":
        return _number([float(sum(len(series.column) for series in found))], asked)
    return _number(
        [
            _statistic(axes.value_x(series.column), axes.value_y(series.row), asked.property)
            for series in found
        ],
        asked,
    )


def _statistic(x: Floats, y: Floats, prop: str) -> float:
    from scipy import stats

    if len(y) < 3:
        raise Refused("dots", f"a series of {len(y)} dots")
    if prop in ("pearson", "spearman", "kendall"):
        test = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}[prop]
        return float(test(x, y).statistic)
    if prop == "interquartile-range":
        low, high = np.percentile(y, [25, 75])
        return float(high - low)
    known: dict[str, Callable[[], Any]] = {
        "mean": y.mean,
        "median": lambda: np.median(y),
        "data-variance": y.var,
        "maximum": y.max,
        "minimum": y.min,
        "domain-length": lambda: np.ptp(x),
        "range-span": lambda: np.ptp(y),
    }
    if prop not in known:
        raise Refused("question", f"{prop} of data is not read")
    return float(known[prop]())


def _number(members: Sequence[float], asked: Question) -> Reading:
    """The mean over the members, rounded and written."""
    if not np.isfinite(members).all():
        raise Refused("fit", "a member's value is not finite")
    value = float(np.mean(members))
    return Reading(written(value, asked.quantum), value=value, members=tuple(members))


def _pair(values: tuple[float, float]) -> Reading:
    low, high = sorted(values)
    return Reading(f"[{written(low, '1')}, {written(high, '1')}]", value=(low, high))


def written(value: float, quantum: str) -> str:
    """A number at a precision: `-7`, `3.0`, `120`, never `-0`."""
    steps = (Decimal(repr(value)) / Decimal(quantum)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    number = steps * Decimal(quantum)
    return f"{number if number else abs(number):.{1 if quantum == '0.1' else 0}f}"


def main(arguments: Sequence[str]) -> int:
    """Print the answer to QUESTION about PICTURE; exit status 1 with the step that refused, 2 for bad input."""
    if len(arguments) != 2:
        print("usage: python -m paperworks.grab.reader PICTURE QUESTION", file=sys.stderr)
        return 2
    path, question = arguments
    try:
        with open(path, "rb") as file:
            pixels = decode(file.read())
    except (OSError, InputError) as fault:
        print(f"{path}: {fault}", file=sys.stderr)
        return 2
    reading = PixelReader().explain(pixels, question)
    if reading.answer is None:
        print(f"refused: {reading.step}: {reading.reason}", file=sys.stderr)
        return 1
    print(reading.answer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

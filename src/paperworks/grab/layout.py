"""Where things are in a picture, and how they look: axes box, values to pixels, ticks, colours, styles.

Geometry is pure arithmetic, so that the rules of resolvability need no drawing library. A picture is `width`
pixels wide; everything in it scales with `width` over the width of its style (600). Pixel coordinates are
continuous: (0, 0) is the top left corner of the picture, and the centre of the pixel in column i, row j is
(i + .5, j + .5).

The paper's set has random looks in Properties and one look elsewhere: axes of ±10, a grid, black zero axes,
Matplotlib's ten colours. The box, the sizes and the twelve colours are choices of ours.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from paperworks.errors import InputError

Axes = dict[str, Any]
"""`{"x": [low, high], "y": [low, high], "step": [x step, y step]}`, decimal strings."""

WIDTH = 600
SMALLEST_WIDTH = 336
"""The narrowest picture in which every question of ours can be answered: what LLaVA-1.5 sees."""
MARGINS = (72.5, 17.5, 24.5, 65.5)
"""Left, right, top, bottom of the axes box in pixels of a picture 600 wide.

In a square picture of ±10 with ticks every 2 each tick is at a pixel's centre."""
BOX = (72.5 / 600, 65.5 / 600, 582.5 / 600, 575.5 / 600)
"""The axes box of a square picture as fractions of it: left, bottom, right, top, counted from below."""

TICK, GAP, SPINE, GRID, ZERO, FONT_SIZE = 5.0, 4.0, 1.0, 1.0, 1.6, 16.0
"""Length of ticks, gap to labels, line widths, em of labels: pixels of a picture 600 wide."""
POINT = WIDTH / 6 / 72
"""Pixels of a picture 600 wide in a point: six inches."""

COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#00008b", "#bcbd22", "#17becf",
)  # fmt: skip
"""Functions and Series: Matplotlib's ten in their order, but dark blue for its grey.

A grey curve cannot be told from the half-covered pixels of the black axes."""
PROPERTY_COLOURS = (*COLOURS, "#ff00ff", "#006040")
COLOUR_NAMES = dict(
    zip(
        PROPERTY_COLOURS,
        (
            "blue",
            "orange",
            "green",
            "red",
            "purple",
            "brown",
            "pink",
            "dark blue",
            "olive",
            "cyan",
            "magenta",
            "dark green",
        ),
        strict=True,
    )
)
BLACK, GRID_COLOUR = "#000000", "#cccccc"

DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKERS = ("o", "s", "^", "v", "D", "P")
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono")
SIZES = ((600, 600), (600, 450), (600, 375))

NO_DASHES = {
    "maximum",
    "minimum",
    "domain-length",
    "range-span",
    "net-area",
    "total-area",
    "number-of-series",
}
"""Properties whose answer a gap of a dashed line could hide."""


class DrawsLike(Protocol):
    """What `style` needs of a stream of random numbers."""

    def choice(self, sequence: Sequence[Any], /) -> Any: ...
    def integer(self, low: int, high: int, /) -> int: ...


def height(size: Sequence[int], width: int = WIDTH) -> int:
    """Rows of a picture of the style's `size` (columns, rows) drawn `width` columns wide."""
    return max(1, round(size[1] * width / size[0]))


def frame(size: Sequence[int], width: int = WIDTH) -> tuple[float, float, float, float]:
    """The axes box in pixels: left, top, right, bottom (the centres of the frame's lines)."""
    scale = width / size[0]
    unit = size[0] / WIDTH
    left, right, top, bottom = (margin * unit for margin in MARGINS)
    return left * scale, top * scale, (size[0] - right) * scale, (size[1] - bottom) * scale


def limits(axes: Axes, which: str) -> tuple[Fraction, Fraction]:
    """The limits of axis "x" or "y"; raises InputError where low ≥ high."""
    low, high = (Fraction(value) for value in axes[which])
    if low >= high:
        raise InputError(
            f"axes.{which}: limits {axes[which]} do not ascend; give [low, high] with low < high"
        )
    return low, high


def per_unit(axes: Axes, size: Sequence[int], width: int = WIDTH) -> tuple[float, float]:
    """Pixels in one unit of x and in one unit of y."""
    left, top, right, bottom = frame(size, width)
    (x0, x1), (y0, y1) = limits(axes, "x"), limits(axes, "y")
    return (right - left) / float(x1 - x0), (bottom - top) / float(y1 - y0)


def pixel(axes: Axes, size: Sequence[int], x: Any, y: Any, width: int = WIDTH) -> tuple[Any, Any]:
    """Continuous (column, row) of the point (x, y); numbers or arrays, which need not be inside the box."""
    left, _, _, bottom = frame(size, width)
    across, up = per_unit(axes, size, width)
    return left + (x - float(limits(axes, "x")[0])) * across, bottom - (y - float(limits(axes, "y")[0])) * up


def value(axes: Axes, size: Sequence[int], column: Any, row: Any, width: int = WIDTH) -> tuple[Any, Any]:
    """The point (x, y) drawn at a continuous (column, row): the inverse of `pixel`."""
    left, _, _, bottom = frame(size, width)
    across, up = per_unit(axes, size, width)
    return float(limits(axes, "x")[0]) + (column - left) / across, float(limits(axes, "y")[0]) + (
        bottom - row
    ) / up


def ticks(axes: Axes) -> tuple[list[Fraction], list[Fraction]]:
    """Values of the ticks on x and on y: multiples of the step within the limits."""
    found = []
    for which, step in zip("xy", (Fraction(step) for step in axes["step"]), strict=True):
        low, high = limits(axes, which)
        if step <= 0 or (high - low) / step > 200:
            raise InputError(
                f"axes.step: {step} for {which} from {low} to {high}; give a positive one, at most 200 ticks"
            )
        found.append([k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)])
    return found[0], found[1]


def label(tick: Fraction, step: Fraction) -> str:
    """The text at a tick: as many decimals as the step needs, U+2212 for minus, and no "−0"."""
    decimals = next((n for n in range(7) if (step * 10**n).denominator == 1), 6)
    scaled = round(tick * 10**decimals)
    whole, part = divmod(abs(scaled), 10**decimals)
    text = f"{whole}.{part:0{decimals}d}" if decimals else str(whole)
    return f"−{text}" if scaled < 0 else text


def step(low: Fraction | float, high: Fraction | float, most: int = 11) -> Fraction:
    """The smallest of 1, 2, 5 times a power of ten that gives at most `most` ticks between `low` and `high`."""
    if high <= low:
        raise InputError(f"an axis from {low} to {high} does not ascend")
    for exponent in range(-4, 9):
        for mantissa in (1, 2, 5):
            size = Fraction(mantissa) * Fraction(10) ** exponent
            if math.floor(Fraction(high) / size) - math.ceil(Fraction(low) / size) + 1 <= most:
                return size
    raise InputError(f"an axis from {low} to {high} is too long to label")


@lru_cache(maxsize=256)
def lab(colour: str) -> tuple[float, float, float]:
    """CIELAB (D65, 2°) of an sRGB colour "#rrggbb"."""
    linear = []
    for start in (1, 3, 5):
        code = int(colour[start : start + 2], 16) / 255
        linear.append(code / 12.92 if code <= 0.04045 else ((code + 0.055) / 1.055) ** 2.4)
    r, g, b = linear
    xyz = (
        (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883,
    )
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: str, other: str) -> float:
    """ΔE (CIE 1976) of two sRGB colours "#rrggbb"."""
    return math.dist(lab(one), lab(other))


def from_grey(colour: str) -> float:
    """ΔE of a colour from the nearest grey: its chroma."""
    _, a, b = lab(colour)
    return math.hypot(a, b)


def style(
    task: str, prop: str, members: Sequence[dict[str, Any]], draws: DrawsLike | None = None
) -> dict[str, Any]:
    """The look of an item: drawn from `draws` in Properties, fixed elsewhere.

    Curves get a width and a dash, data a marker and a size (points, 1/72 inch of a picture six inches wide).
    Members differ in colour, lines stay solid where a gap could hide the answer, and an area has its x-axis.
    """
    count = len(members)
    data = [member["family"] == "points" for member in members]
    if task != "properties" or draws is None:
        colours = [BLACK] if task == "transform" else [COLOURS[k % len(COLOURS)] for k in range(count)]
        return {
            "size": [WIDTH, WIDTH],
            "grid": True,
            "zero": True,
            "ticks": True,
            "font": 0,
            "colours": colours,
            "widths": ["2" if task == "transform" else "1.5"] * count,
            "dashes": ["solid"] * count,
            "markers": ["o" if points else "" for points in data],
            "sizes": ["4"] * count,
        }
    size = draws.choice(SIZES)
    grid = bool(draws.integer(0, 1))
    width = draws.choice(("1", "1.5", "2", "2.5", "3", "3.5", "4"))
    dash = "solid" if prop in NO_DASHES else draws.choice(DASHES)
    if any(member["family"] == "sine-equation" for member in members):
        width, dash = draws.choice(("1", "1.5", "2")), "solid"
    width = max(width, {"solid": "1", "dotted": "2"}.get(dash, "1.5"), key=float)
    marker, marker_size = draws.choice(MARKERS), draws.choice(("4", "5", "6", "7"))
    if prop == "number-of-series":
        width = draws.choice(("1.5", "2"))
        marker_size = draws.choice(("5", "6"))
    first = draws.integer(0, len(PROPERTY_COLOURS) - 1)
    return {
        "size": list(size),
        "grid": grid,
        "zero": bool(draws.integer(0, 1)) or prop in ("net-area", "total-area"),
        "ticks": bool(draws.integer(0, 1)) if grid else True,
        "font": draws.integer(0, len(FONTS) - 1),
        "colours": [PROPERTY_COLOURS[(first + k) % len(PROPERTY_COLOURS)] for k in range(count)],
        "widths": [width] * count,
        "dashes": [dash] * count,
        "markers": [marker if points else "" for points in data],
        "sizes": [marker_size] * count,
    }

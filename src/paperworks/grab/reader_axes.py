"""What a picture's axes say: where the frame is, where the ticks are, what their labels say, and the map from
pixels to values.

Everything is read from the pixels. The frame is the outermost pair of long dark lines in each direction; ticks
are short marks outside it (grid lines where there are none); labels are read by comparing their parts with the
shipped outlines. Coordinates are continuous: the centre of the pixel in column i, row j is (i + .5, j + .5).
The steps are choices of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESIDUAL = 0.25
"""Pixels by which a tick may miss the line through all ticks; twice as much where ticks are thinner than pixels."""
EM, TICK, GAP = 16.0, 5.0, 4.0
"""Size of the labels, length of the ticks, gap between them: pixels of a picture 600 wide."""


class Refused(Exception):
    """A step of the reader could not do its work: the picture is not answered."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step, self.reason = step, reason


@dataclass(frozen=True)
class Frame:
    """The axes box in pixels (left, top, right, bottom: centres of its lines) and the limits of x and y."""

    box: tuple[float, float, float, float]
    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """The box in pixels, and value = `origin + scale · pixel` for columns (x) and rows (y).

    `lines_x`, `lines_y`: columns and rows at which a tick is, for the mask of grid and zero axes.
    """

    box: tuple[float, float, float, float]
    x: tuple[float, float]
    y: tuple[float, float]
    lines_x: tuple[float, ...] = ()
    lines_y: tuple[float, ...] = ()

    @classmethod
    def of(cls, frame: Frame) -> Axes:
        """The axes of a frame that is given (calibrated reading)."""
        left, top, right, bottom = frame.box
        across = (frame.x[1] - frame.x[0]) / (right - left)
        up = (frame.y[1] - frame.y[0]) / (top - bottom)
        return cls(frame.box, (frame.x[0] - across * left, across), (frame.y[0] - up * bottom, up))

    def value_x(self, column: Floats | float) -> Floats:
        """Values of x at columns."""
        return np.asarray(self.x[0] + self.x[1] * np.asarray(column, dtype=float))

    def value_y(self, row: Floats | float) -> Floats:
        """Values of y at rows."""
        return np.asarray(self.y[0] + self.y[1] * np.asarray(row, dtype=float))

    def column(self, x: Floats | float) -> Floats:
        """Columns at values of x."""
        return np.asarray((np.asarray(x, dtype=float) - self.x[0]) / self.x[1])

    def row(self, y: Floats | float) -> Floats:
        """Rows at values of y."""
        return np.asarray((np.asarray(y, dtype=float) - self.y[0]) / self.y[1])


def extremes(pixels: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The darkest and the lightest channel of each pixel [rows, columns]."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    low, high = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return low.astype(float), high.astype(float)


def darkness(pixels: NDArray[np.uint8]) -> Floats:
    """Ink of a picture [rows, columns], 0 (white) … 1 (black).

    A colour counts by its lightest channel, so only greys are dark.
    """
    return 1 - extremes(pixels)[1] / 255


def peaks(profile: Floats, threshold: float) -> list[tuple[float, float]]:
    """(centre, mass) of each run of a profile above `threshold`, the centre weighted by the profile."""
    above = np.flatnonzero(profile > threshold)
    found = []
    for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1):
        if len(run):
            weights = profile[run]
            found.append((float(np.average(run + 0.5, weights=weights)), float(weights.sum())))
    return found


def find_box(ink: Floats) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the frame: the outermost lines in the median darkness of the columns and rows."""
    edges = []
    for axis in (0, 1):
        profile = np.median(ink[::3] if axis == 0 else ink[:, ::3], axis=axis)
        lines = peaks(profile, max(0.01, 0.02 * float(profile.max())))
        strong = [place for place, mass in lines if mass > 0.45 * max(m for _, m in lines)] if lines else []
        if len(strong) < 2 or strong[-1] - strong[0] < 0.3 * len(profile):
            raise Refused("axes box", f"no frame of long dark lines ({'columns' if axis == 0 else 'rows'})")
        edges.append((strong[0], strong[-1]))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def read_axes(pixels: NDArray[np.uint8]) -> Axes:
    """Box, ticks and labels of a picture [rows, columns, 3]; raises Refused where one cannot be read."""
    from paperworks.grab.reader_labels import read_labels

    ink = darkness(pixels)
    box = find_box(ink)
    unit = pixels.shape[1] / 600
    columns, rows = find_ticks(ink, box, unit)
    x_values, y_values = read_labels(ink, box, columns, rows, unit)
    x_fit, x_lines = _scale(columns, x_values, "x", unit)
    y_fit, y_lines = _scale(rows, y_values, "y", unit)
    if y_fit[1] >= 0 or x_fit[1] <= 0:
        raise Refused("labels", "the values do not ascend to the right and upwards")
    return Axes(box, x_fit, y_fit, tuple(x_lines), tuple(y_lines))


def find_ticks(
    ink: Floats, box: tuple[float, float, float, float], unit: float
) -> tuple[list[float], list[float]]:
    """Columns of the ticks of x and rows of those of y.

    Marks outside the frame, or the lines of the grid where there are none.
    """
    left, top, right, bottom = box
    reach, spine = (TICK - 0.5) * unit, 0.55 * unit
    c0, r1 = int(np.ceil(left - reach - 0.5)), int(np.floor(bottom + reach + 0.5))
    beside = ink[:, c0 : max(int(np.floor(left - spine)), c0 + 1)]
    below = ink[min(int(np.ceil(bottom + spine)), r1 - 1) : r1]
    # a label at a corner reaches over the other axis's ticks
    rows = [row for row in _ticks(beside, 1, round(top - 2), round(bottom + 2)) if top - 1 < row < bottom + 1]
    columns = [at for at in _ticks(below, 0, round(left - 2), round(right + 2)) if left - 1 < at < right + 1]
    if len(rows) >= 2 and len(columns) >= 2:
        return columns, rows
    r0, q0 = round(top + 1), round(left + 1)
    inside = ink[r0 : round(bottom - 1), q0 : round(right - 1)]
    rows = [r0 + place for place, _ in peaks(np.median(inside, axis=1), 0.004)]
    columns = [q0 + place for place, _ in peaks(np.median(inside, axis=0), 0.004)]
    rows = [row for row in rows if top + 3 * unit < row < bottom - 3 * unit]
    columns = [column for column in columns if left + 3 * unit < column < right - 3 * unit]
    return [left, *columns, right], [top, *rows, bottom]


def _ticks(strip: Floats, axis: int, start: int, stop: int) -> list[float]:
    """Centres of the marks in a strip beside the frame, between two pixels of its length."""
    if not strip.size:
        return []
    profile = strip.mean(axis=axis)[max(start, 0) : stop]
    profile = np.maximum(profile - np.median(profile), 0)
    if profile.max() < 0.02:
        return []
    return [max(start, 0) + place for place, _ in peaks(profile, 0.02 * float(profile.max()))]


def _scale(
    places: Sequence[float], values: Sequence[float | None], axis: str, unit: float
) -> tuple[tuple[float, float], list[float]]:
    """(origin, scale) of value = origin + scale · place, and the places of ticks.

    The line is Theil–Sen's, and then least squares over the labels that lie on it; most labels must.
    """
    known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
    if len(known) < 2:
        raise Refused("labels", f"{len(known)} labels of {axis} could be read; two are needed")
    where, what = np.array(known).T
    step_in, step_out = np.subtract.outer(where, where), np.subtract.outer(what, what)
    upper = np.triu_indices(len(where), 1)
    slope = float(np.median(step_out[upper] / step_in[upper]))
    origin = float(np.median(what - slope * where))
    if slope == 0:
        raise Refused("labels", f"the labels of {axis} all say the same")
    good = np.abs((what - origin) / slope - where) < 1.0
    if good.sum() < max(2, 0.6 * len(where)):
        raise Refused("labels", f"{int((~good).sum())} of {len(where)} labels of {axis} are not on one line")
    # a line thinner than a pixel is placed exactly only where it covers parts of two
    sharp = np.where(np.abs(where % 1 - 0.5) > 0.02, 1.0, min(unit, 1.0))
    scale, start = np.polyfit(where[good], what[good], 1, w=sharp[good])
    residual = float((np.abs((what[good] - start) / scale - where[good]) * sharp[good]).max())
    if residual > (RESIDUAL if unit > 0.9 else 2 * RESIDUAL):
        raise Refused("ticks", f"a tick of {axis} is {residual:.2f} px off the line through all")
    # ticks whose label could not be read are lines of the grid all the same
    steps = Fraction(float(np.diff(np.sort(what[good])).min())).limit_denominator(10000)
    on = [place for place in places if abs((start + scale * place) / float(steps) % 1 - 0.5) > 0.45]
    return (float(start), float(scale)), on

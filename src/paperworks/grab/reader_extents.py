"""Where a curve of any shape begins and ends, how high and low it goes, and its outline as a polyline, all
from coverage.

A stroke of width w covers w per pixel of its length, so the coverage beyond a column (or row) over w is the
length of the curve beyond it: that places a butt end to hundredths of a pixel. The top of a stroke at a summit
is w / 2 above the curve. Choices of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paperworks.grab.reader_axes import Axes, Refused
from paperworks.grab.reader_colours import FAINT, Layer
from paperworks.grab.reader_curves import Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """A curve in values: x ascending and y [n] from end to end, and the lowest and highest y."""

    x: Floats
    y: Floats
    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float]:
        """x at the two ends."""
        return float(self.x[0]), float(self.x[-1])


def stroke_width(trace: Trace) -> float:
    """The line's width in pixels: runs along columns, shortened by the slope between neighbours; the median."""
    order = np.lexsort((trace.row, trace.column))
    column, row, upright = trace.column[order], trace.row[order], trace.upright[order]
    column, row = column[upright], row[upright]
    alpha = np.nan_to_num(trace.layer.alpha)
    near = (
        (np.diff(column, prepend=-9)[1:-1] == 1) & (np.diff(column)[1:] == 1)
        if len(column) > 2
        else np.zeros(0, bool)
    )
    if near.sum() < 4:
        return trace.width
    slope = (row[2:] - row[:-2])[near] / 2
    where = (column[1:-1][near] - trace.layer.left).astype(int)
    at = row[1:-1][near] - trace.layer.top
    reach = np.ceil(1.5 * trace.width + 2).astype(int)
    offsets = np.arange(-reach, reach + 1)
    rows = np.clip(at.astype(int)[:, None] + offsets, 0, alpha.shape[0] - 1)
    mass = alpha[rows, where[:, None]].sum(axis=1)
    flat = np.abs(slope) < 1.2
    if flat.sum() < 4:
        return trace.width
    return float(np.median((mass / np.sqrt(1 + slope**2))[flat]))


def outline(trace: Trace, axes: Axes) -> Outline:
    """The polyline through the places, with the two ends, and the extremes."""
    layer = trace.layer
    width = stroke_width(trace)
    order = np.argsort(trace.column, kind="stable")
    column, row = trace.column[order], trace.row[order]
    column, row = _without_strays(column, row)
    first, last = _end(layer, column, row, width, -1), _end(layer, column, row, width, +1)
    inner = (column > first[0]) & (column < last[0])
    if inner.sum() < 4:
        raise Refused("extent", "the ends of a curve are not told from its middle")
    column = np.concatenate([[first[0]], column[inner], [last[0]]])
    row = np.concatenate([[first[1]], row[inner], [last[1]]])
    top, bottom = _summit(layer, column, row, width, -1), _summit(layer, column, row, width, +1)
    x, y = axes.value_x(column), axes.value_y(row)
    return Outline(x, y, float(axes.value_y(bottom)), float(axes.value_y(top)))


def _without_strays(column: Floats, row: Floats) -> tuple[Floats, Floats]:
    """Leave out places that no other place is near; places sorted by column."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.stack([column, row], axis=1))
    near = tree.query_ball_point(tree.data, 8.0, return_length=True)
    keep = np.asarray(near) >= 2
    return (column[keep], row[keep]) if keep.sum() >= 8 else (column, row)


def _end(layer: Layer, column: Floats, row: Floats, width: float, side: int) -> tuple[float, float]:
    """(column, row) of the left (side −1) or right (+1) end of the curve."""
    # the places nearest the end, without those that the butt end cuts
    nearest = np.argsort(-side * column, kind="stable")
    # a steep end has many places in its last column: the one farthest from the curve behind it is the tip
    last = nearest[np.abs(column[nearest] - column[nearest[0]]) < 1.5]
    behind = nearest[len(last) : len(last) + 20] if len(nearest) > len(last) + 4 else nearest[-20:]
    far = np.hypot(column[last] - column[behind].mean(), row[last] - row[behind].mean())
    tip = column[last[far.argmax()]], row[last[far.argmax()]]
    gone = np.hypot(column - tip[0], row - tip[1])
    for reach in (9, 16, 28, 45):
        inner = (gone > 0.7 * width) & (gone < 0.7 * width + reach)
        if inner.sum() >= 4:
            break
    else:
        raise Refused("extent", "an end of a curve is hidden")
    c, r = column[inner], row[inner]
    mid = np.array([c.mean(), r.mean()])
    centred = np.stack([c, r], axis=1) - mid
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    if direction @ (np.array(tip) - mid) < 0:
        direction = -direction
    steep = abs(direction[1]) > abs(direction[0])
    # cut straight across at a whole pixel, along the axis that the curve crosses most nearly at a right angle
    a = 1 if steep else 0
    sense = 1 if direction[a] > 0 else -1
    cut = np.floor(tip[a] - 1) if sense > 0 else np.ceil(tip[a] + 1)
    bend = _bend(c, r, a)
    at = bend(cut)
    box = 2.5 * width + 8
    rows = np.arange(layer.alpha.shape[0]) + 0.5 + layer.top
    columns = np.arange(layer.alpha.shape[1]) + 0.5 + layer.left
    here = (cut, at) if a == 0 else (at, cut)
    r_in = np.abs(rows - here[1]) < box
    c_in = np.abs(columns - here[0]) < box
    window = layer.alpha[np.ix_(r_in, c_in)]
    along = (columns[c_in][None, :] if a == 0 else rows[r_in][:, None]) * np.ones(window.shape)
    across = (rows[r_in][:, None] if a == 0 else columns[c_in][None, :]) * np.ones(window.shape)
    beyond = ((along - cut) * sense > 0) & ((along - cut) * sense < 1.5 * width + 6)
    away = np.abs(across - bend(along))
    mass = _beyond(
        window, beyond & (away < 1.5 * width + 2.5 + 0.3 * np.abs(along - cut)), away < 0.6 * width
    )
    slope = bend.slope(cut)
    step = mass / width / np.sqrt(1 + slope**2)
    moved = cut + sense * step
    slope = bend.slope((cut + moved) / 2)
    moved = cut + sense * mass / width / np.sqrt(1 + slope**2)
    other = float(bend(moved))
    return (float(moved), other) if a == 0 else (other, float(moved))


def _beyond(window: Floats, region: NDArray[np.bool_], core: NDArray[np.bool_]) -> float:
    """Coverage in a region beside a straight cut, of what hangs together with the cut.

    A hidden pixel of its core counts half.
    """
    from scipy import ndimage

    value = np.where(region, np.nan_to_num(window), 0.0)
    hidden = np.isnan(window) & region & core
    labels, count = ndimage.label((region & (value > FAINT)) | hidden, structure=np.ones((3, 3)))
    if not count:
        return 0.0
    # the line before the cut is what the pieces beyond it must touch
    before = ~region & (np.nan_to_num(window) > FAINT)
    touched = np.unique(labels[ndimage.binary_dilation(before, structure=np.ones((3, 3))) & (labels > 0)])
    mine = np.isin(labels, touched[touched > 0])
    inked = mine & (value > FAINT)
    unsure = hidden & ndimage.binary_dilation(inked, structure=np.ones((3, 3)))
    return float(value[inked].sum() + 0.5 * unsure.sum())


class _Bend:
    """A parabola through places near an end: the coordinate across as a function of the one along."""

    def __init__(self, along: Floats, across: Floats) -> None:
        self.middle = float(along.mean())
        several = len(np.unique(np.round(along, 1)))
        degree = 2 if several >= 6 and np.ptp(along) > 4 else 1 if several >= 2 and np.ptp(along) > 1 else 0
        self.curve = np.poly1d(np.polyfit(along - self.middle, across, degree))
        # the corner of a butt end can give a place beside the curve
        off = np.abs(across - self.curve(along - self.middle))
        near = off <= max(3 * float(np.median(off)), 0.1)
        if degree and near.sum() >= degree + 3:
            self.curve = np.poly1d(np.polyfit((along - self.middle)[near], across[near], degree))

    def __call__(self, at: Floats | float) -> Floats:
        return np.asarray(self.curve(np.asarray(at) - self.middle))

    def slope(self, at: float) -> float:
        return float(self.curve.deriv()(at - self.middle))


def _bend(column: Floats, row: Floats, along: int) -> _Bend:
    return _Bend(column, row) if along == 0 else _Bend(row, column)


def _tip(layer: Layer, column: float, row: float, side: int) -> tuple[int, float]:
    """Column (of the layer) and row (of the picture) of the farthest covered pixel that hangs together with a place.

    What is hidden may connect them: a summit may show above another curve that covers its flanks.
    """
    from scipy import ndimage

    c, r, reach = int(column - layer.left), int(row - layer.top), 14
    c0, r0 = max(c - reach, 0), max(r - reach, 0)
    window = layer.alpha[r0 : r + reach + 1, c0 : c + reach + 1]
    ink = np.nan_to_num(window) > 0.5 * layer.strong
    labels, _ = ndimage.label(ink | np.isnan(window), structure=np.ones((3, 3)))
    mine = labels[min(r - r0, labels.shape[0] - 1), min(c - c0, labels.shape[1] - 1)]
    rows, columns = np.nonzero(ink & (labels == mine))
    if not mine or not len(rows):
        return c, row
    farthest = rows.min() if side < 0 else rows.max()
    at = int(np.median(columns[rows == farthest]))
    return c0 + at, r0 + float(farthest) + 0.5 + layer.top


def _summit(layer: Layer, column: Floats, row: Floats, width: float, side: int) -> float:
    """Row of the highest (side −1) or lowest (+1) place of the curve."""
    best = int(np.argmin(row) if side < 0 else np.argmax(row))
    reached = float(row[best])
    if min(abs(column[best] - column[0]), abs(column[best] - column[-1])) < 0.75 * width + 0.5:
        ends = (row[0], row[-1])
        return float(min(ends) if side < 0 else max(ends)) if best in (0, len(row) - 1) else reached
    # the outer edge of the stroke in the columns around: the coverage of the outer half of the run, beyond a
    # full pixel
    c, beyond = _tip(layer, float(column[best]), reached, side)
    if (beyond - reached) * side > 0:
        reached = beyond - side * (width / 2 - 0.5)
    edges = []
    for k in range(max(c - 3, 0), min(c + 4, layer.alpha.shape[1])):
        strip = layer.alpha[:, k]
        r = int(np.clip(reached - layer.top, 0, len(strip) - 1))
        low, high = max(r - int(2 * width) - 4, 0), min(r + int(2 * width) + 5, len(strip))
        part = strip[low:high] if side < 0 else strip[low:high][::-1]
        known = np.nan_to_num(part, nan=-1.0)
        inked = np.flatnonzero(known > FAINT)
        if not len(inked) or (inked[0] and known[inked[0] - 1] < 0):
            continue
        full = np.flatnonzero(known > 0.97)
        if not len(full):
            continue
        edge = full[0] - float(known[inked[0] : full[0]].sum())
        edges.append(low + edge if side < 0 else high - edge)
    if not edges:
        return reached
    outer = (min(edges) if side < 0 else max(edges)) + layer.top
    edge = outer - side * width / 2
    # a summit narrower than a pixel spreads its tip over two columns; the centre line never lies beyond the
    # edge's estimate by much
    return float(edge) if abs(edge - reached) < 1.5 * width + 3 else reached

"""Centre lines of curves, from the coverage of one colour.

A run is an unbroken stretch of covered pixels along a column or a row. Its centre, weighted by coverage, is on
the curve's centre line to hundredths of a pixel where the run crosses the curve whole. Runs that another
member touches are left out, and where a curve is steep its rows are used instead of its columns. Dashes are
taken one by one. The steps are choices of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paperworks.grab.reader_axes import Refused
from paperworks.grab.reader_colours import FAINT, Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Runs:
    """Runs of covered pixels along lines of the picture: columns (`upright`) or rows.

    `line` the line's centre, `centre` the coverage-weighted place along it, `mass` the sum of coverage,
    `first`, `last` the places of its ends, all in pixels [n]; `clean` whether nothing hides a part of it;
    `number` [rows, columns] the run of each pixel, −1 none.
    """

    upright: bool
    line: Floats
    centre: Floats
    mass: Floats
    first: Floats
    last: Floats
    clean: Bools
    number: NDArray[np.int64]

    def where(self) -> tuple[Floats, Floats]:
        """Columns and rows of the centres."""
        return (self.line, self.centre) if self.upright else (self.centre, self.line)


def runs(layer: Layer, upright: bool) -> Runs:
    """Runs along columns or rows of one member; a run touches its hidden parts, which make it unclean."""
    alpha = layer.alpha.T if upright else layer.alpha
    hidden = np.isnan(alpha)
    value = np.where(hidden, 0.0, alpha)
    ink = value > FAINT
    lines, length = ink.shape
    padded = np.zeros((lines, length + 2), dtype=np.int8)
    padded[:, 1:-1] = ink
    step = np.diff(padded, axis=1)
    line, start = np.nonzero(step == 1)
    _, stop = np.nonzero(step == -1)
    place = np.arange(length) + 0.5
    mass_to = np.concatenate([np.zeros((lines, 1)), np.cumsum(value, axis=1)], axis=1)
    moment_to = np.concatenate([np.zeros((lines, 1)), np.cumsum(value * place, axis=1)], axis=1)
    mass = mass_to[line, stop] - mass_to[line, start]
    centre = (moment_to[line, stop] - moment_to[line, start]) / np.maximum(mass, 1e-9)
    unknown = np.ones((lines, length + 2), dtype=bool)
    unknown[:, 1:-1] = hidden
    # the pixel before is padded index `start`, the one after is `stop` + 1; the frame hides what is beyond it
    clean = ~unknown[line, start] & ~unknown[line, stop + 1]
    number = np.full(ink.shape, -1, dtype=np.int64)
    if len(line):
        order = np.cumsum(step[:, :length] == 1, axis=None).reshape(lines, length) - 1
        number = np.where(ink, order, -1)
    across = layer.left if upright else layer.top
    along = layer.top if upright else layer.left
    return Runs(
        upright,
        np.asarray(line + 0.5 + across, dtype=np.float64),
        centre + along,
        mass,
        np.asarray(start + along, dtype=np.float64),
        np.asarray(stop + along, dtype=np.float64),
        clean,
        number.T if upright else number,
    )


@dataclass(frozen=True)
class Trace:
    """Places on a curve's centre line.

    Columns and rows [n], whether each comes from a run along a column, and the line's width.
    """

    column: Floats
    row: Floats
    upright: Bools
    width: float
    layer: Layer


def tidy(layer: Layer) -> Layer:
    """The layer without specks.

    Parts that no pixel covers well, which are mixtures of other colours where there are others.
    """
    from scipy import ndimage

    if not np.isnan(layer.alpha).any():
        return layer
    value = np.nan_to_num(layer.alpha)
    ink = value > FAINT
    labels, count = ndimage.label(ink, structure=np.ones((3, 3)))
    if not count:
        return layer
    strongest = np.zeros(count + 1)
    np.maximum.at(strongest, labels[ink], value[ink])
    mass = np.bincount(labels[ink], weights=value[ink], minlength=count + 1)
    speck = (strongest < 0.5 * layer.strong) | (mass < 1.2 * layer.strong**2)
    speck[0] = False
    alpha = layer.alpha.copy()
    alpha[speck[labels]] = np.nan
    return Layer(layer.colour, alpha, layer.left, layer.top, layer.strong)


def trace(layer: Layer) -> Trace:
    """The centre line of a curve, from the runs that cross it most nearly at a right angle.

    Raises Refused without any.
    """
    layer = tidy(layer)
    vertical, horizontal = runs(layer, True), runs(layer, False)
    if not layer.alpha.size or not len(vertical.line) or not len(horizontal.line):
        raise Refused("curves", "a colour without a curve")
    pieces = _pieces(layer)
    if pieces is not None:
        return _of_dashes(layer, pieces, vertical, horizontal)
    shortest = float(np.minimum(_typical(vertical), _typical(horizontal)))
    chosen = [
        _crossing(layer, mine, other, shortest)
        for mine, other in ((vertical, horizontal), (horizontal, vertical))
    ]
    (c0, r0), (c1, r1) = chosen
    if len(c0) + len(c1) < 6:
        raise Refused("curves", f"only {len(c0) + len(c1)} places of a curve are free of others")
    kind = np.repeat([True, False], [len(c0), len(c1)])
    return Trace(np.concatenate([c0, c1]), np.concatenate([r0, r1]), kind, shortest, layer)


def _crossing(layer: Layer, mine: Runs, other: Runs, shortest: float) -> tuple[Floats, Floats]:
    """Centres of the clean runs that are shorter than those of the other direction through the same place."""
    column, row = mine.where()
    c = np.clip((column - layer.left).astype(int), 0, layer.alpha.shape[1] - 1)
    r = np.clip((row - layer.top).astype(int), 0, layer.alpha.shape[0] - 1)
    crossing = other.number[r, c]
    there = np.where(crossing >= 0, other.mass[crossing], 0)
    seen = np.where(crossing >= 0, other.clean[crossing], False)
    ok = mine.clean & (mine.mass > 0.7 * shortest) & (layer.alpha[r, c] > 0.5 * layer.strong)
    ok &= (mine.mass <= 1.25 * there) | (~seen & (mine.mass < 1.6 * shortest))
    return column[ok], row[ok]


@dataclass(frozen=True)
class _Piece:
    """A dash: where it is, its direction (unit), length and width in pixels, and its number in `labels`."""

    middle: Floats
    along: Floats
    length: float
    width: float


def _pieces(layer: Layer) -> list[_Piece] | None:
    """The dashes of a curve in pieces; None where it is drawn through or hidden in parts by others."""
    from scipy import ndimage

    value = np.nan_to_num(layer.alpha)
    labels, count = ndimage.label(value > 0.25, structure=np.ones((3, 3)))
    if count < 5 or np.isnan(layer.alpha).sum() > 0.02 * (value > 0.25).sum():
        return None
    found = []
    for number, where in enumerate(ndimage.find_objects(labels), start=1):
        part = np.where(labels[where] == number, value[where], 0.0)
        y, x = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
        mass = part.sum()
        if mass < 0.8:
            continue
        middle = np.array([(part * x).sum(), (part * y).sum()]) / mass
        away = np.stack([x - middle[0], y - middle[1]])
        spread = np.einsum("iyx,jyx,yx->ij", away, away, part) / mass - np.eye(2) / 12
        power, axes = np.linalg.eigh(spread)
        width, length = np.sqrt(12 * np.maximum(power, 0.02))
        start = np.array([where[1].start + layer.left, where[0].start + layer.top])
        found.append(_Piece(middle + start, axes[:, 1], float(length), float(width)))
    return found if len(found) >= 5 else None


def _of_dashes(layer: Layer, pieces: list[_Piece], vertical: Runs, horizontal: Runs) -> Trace:
    """Short pieces give their middle, long ones their runs away from the cut ends."""
    width = float(np.median([piece.width for piece in pieces]))
    columns, rows, upright = [], [], []
    for mine, other in ((vertical, horizontal), (horizontal, vertical)):
        column, row = _crossing(layer, mine, other, 0.7 * width)
        for piece in pieces:
            if piece.length < 2.4 * width:
                continue
            away = np.stack([column, row], axis=1) - piece.middle
            reach = np.abs(away @ piece.along)
            off = np.abs(away @ np.array([-piece.along[1], piece.along[0]]))
            inside = (reach < piece.length / 2 - 0.55 * width - 1) & (off < width + 0.15 * piece.length)
            columns.append(column[inside])
            rows.append(row[inside])
            upright.append(np.full(int(inside.sum()), mine.upright))
    short = [piece.middle for piece in pieces if 0.5 * width < piece.length < 2.4 * width]
    if len(columns) == 0 or sum(map(len, columns)) < 3 * len(short):
        columns.append(np.array([middle[0] for middle in short]))
        rows.append(np.array([middle[1] for middle in short]))
        upright.append(np.ones(len(short), dtype=bool))
    column, row = np.concatenate(columns), np.concatenate(rows)
    if len(column) < 5:
        raise Refused("curves", f"only {len(column)} dashes of a curve are clear")
    return Trace(column, row, np.concatenate(upright), width, layer)


def _typical(found: Runs) -> float:
    """The mass of the narrowest tenth of the clean runs."""
    clean = found.mass[found.clean]
    return float(np.quantile(clean, 0.1)) if len(clean) >= 5 else float(np.median(found.mass))

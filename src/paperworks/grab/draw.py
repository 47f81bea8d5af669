"""A picture from a spec: the same pixels on every machine, whatever the user's Matplotlib settings.

The paper's pictures are made with Matplotlib and Seaborn. Ours are Matplotlib artists on a `Figure` with Agg's canvas,
placed by `layout` at sub-pixel exact places (nothing is snapped or simplified); text is filled outlines, see `glyphs`.
Coordinates are rounded to 1/4096 pixel, so that the last bit of a sine does not matter.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from paperworks.errors import InputError
from paperworks.grab import families, glyphs, layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Text = Literal["outlines", "font"]

DPI = 64
"""Pixels in an inch of the figure: a power of two, so that whole pixels stay whole in inches."""
SAMPLES = 8
"""Samples of a curve in a column of pixels; doubled where it bends sharply, thinned where that changes nothing."""
SAGITTA = 0.02
"""The farthest a drawn polyline is from the curve, in pixels."""
DASH_PATTERNS = {"solid": None, "dashed": (3.7, 1.6), "dotted": (1.0, 1.65), "dashdot": (6.4, 1.6, 1.0, 1.6)}
"""Lengths on and off in line widths: Matplotlib's defaults."""

_M, _L, _C, _Z = 1, 2, 4, 79
_SETTINGS = threading.Lock()  # Matplotlib's settings belong to the whole process


def draw(spec: Mapping[str, Any], *, width: int = layout.WIDTH, text: Text = "outlines") -> NDArray[np.uint8]:
    """The picture of `spec`, uint8 [rows, `width`, 3].

    `text="outlines"` is reproducible to the pixel; "font" is Matplotlib's own text, whose pixels vary with its version.
    Raises InputError for a style that does not fit the members, and for a width below 16.
    """
    import matplotlib as mpl

    if width < 16:
        raise InputError(f"width {width}: a picture needs at least 16 columns")
    if text not in ("outlines", "font"):
        raise InputError(f'text {text!r}: give "outlines" or "font"')
    _check(spec)
    with _SETTINGS, mpl.rc_context(_defaults()):
        canvas = _figure(spec, width, text).canvas
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]


@cache
def _defaults() -> Any:
    import matplotlib as mpl

    kept: dict[Any, Any] = {
        name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")
    }
    return kept | {"path.simplify": False, "path.snap": False, "axes.unicode_minus": True}


def _check(spec: Mapping[str, Any]) -> None:
    style, count = spec["style"], len(spec["members"])
    for name in ("colours", "widths", "dashes", "markers", "sizes"):
        if len(style[name]) != count:
            raise InputError(
                f"style.{name} has {len(style[name])} entries for {count} members; give one a member"
            )
    for dash in style["dashes"]:
        if dash not in DASH_PATTERNS:
            raise InputError(f"style.dashes: {dash!r} is not one of {', '.join(DASH_PATTERNS)}")
    for member, marker in zip(spec["members"], style["markers"], strict=True):
        if member["family"] == "points" and marker not in layout.MARKERS:
            raise InputError(f"style.markers: {marker!r} is not one of {', '.join(layout.MARKERS)}")


def _figure(spec: Mapping[str, Any], width: int, text: Text) -> Figure:
    """The figure; artists in pixels from the lower left corner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = spec["style"]["size"]
    rows = layout.height(size, width)
    figure = Figure(
        figsize=(width / DPI, rows / DPI), dpi=DPI, facecolor="white", edgecolor="none", linewidth=0
    )
    FigureCanvasAgg(figure)
    scene = _Scene(figure, spec, width, rows)
    scene.grid()
    scene.members()
    scene.frame()
    scene.labels(text)
    return figure


class _Scene:
    """What is put on a figure of `width` × `rows` pixels, in drawing order."""

    def __init__(self, figure: Figure, spec: Mapping[str, Any], width: int, rows: int) -> None:
        from matplotlib.transforms import Bbox

        self.figure, self.spec, self.width, self.rows = figure, spec, width, rows
        self.style, self.axes = spec["style"], spec["axes"]
        self.scale = width / layout.WIDTH
        self.left, self.top, self.right, self.bottom = layout.frame(self.style["size"], width)
        self.box = Bbox([[self.left, rows - self.bottom], [self.right, rows - self.top]])
        x_ticks, y_ticks = layout.ticks(self.axes)
        columns, _ = self.pixel(np.array([float(tick) for tick in x_ticks]), 0.0)
        _, heights = self.pixel(0.0, np.array([float(tick) for tick in y_ticks]))
        steps = [families.number(step) for step in self.axes["step"]]
        self.x_ticks = [(layout.label(tick, steps[0]), at) for tick, at in zip(x_ticks, columns, strict=True)]
        self.y_ticks = [(layout.label(tick, steps[1]), at) for tick, at in zip(y_ticks, heights, strict=True)]

    def pixel(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Column and height above the picture's lower edge."""
        column, row = layout.pixel(self.axes, self.style["size"], x, y, self.width)
        return column, self.rows - row

    def stroke(
        self,
        vertices: NDArray[np.float64],
        codes: Sequence[int] | None,
        colour: str,
        width: float,
        *,
        dash: str = "solid",
        clip: bool = True,
    ) -> None:
        """A line of `width` pixels, butt ends, through vertices [n, 2]."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path as Outline

        pattern = DASH_PATTERNS[dash]
        patch = PathPatch(
            Outline(_rounded(vertices), codes),
            facecolor="none",
            edgecolor=colour,
            linewidth=width * 72 / DPI,
            linestyle="solid" if pattern is None else (0, pattern),
            capstyle="butt",
            joinstyle="round",
        )
        self.add(patch, clip)

    def fill(self, vertices: NDArray[np.float64], codes: NDArray[np.uint8], colour: str) -> None:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path as Outline

        self.add(
            PathPatch(Outline(_rounded(vertices), codes), facecolor=colour, edgecolor="none", linewidth=0),
            False,
        )

    def add(self, patch: Any, clip: bool) -> None:
        patch.set_snap(False)
        patch.set_transform(None)
        self.figure.add_artist(patch, clip=False)
        if clip:
            patch.set_clip_box(self.box)

    def segments(self, across: Sequence[float], up: Sequence[float]) -> tuple[NDArray[np.float64], list[int]]:
        """Lines over the whole box: vertical ones at the columns, horizontal ones at the heights."""
        (left, low), (right, high) = self.box.min, self.box.max
        ends = [end for at in across for end in ((at, low), (at, high))]
        ends += [end for at in up for end in ((left, at), (right, at))]
        return np.array(ends).reshape(-1, 2), [_M, _L] * (len(ends) // 2)

    def grid(self) -> None:
        """Grid at the ticks, and the black lines x = 0 and y = 0."""
        if self.style["grid"]:
            lines = self.segments([at for _, at in self.x_ticks], [at for _, at in self.y_ticks])
            self.stroke(*lines, layout.GRID_COLOUR, layout.GRID * self.scale)
        if self.style["zero"]:
            zero = self.pixel(0.0, 0.0)
            shown = [
                [at] if low <= at <= high else []
                for at, (low, high) in zip(zero, self.box.get_points().T, strict=True)
            ]
            if any(shown):
                self.stroke(*self.segments(*shown), layout.BLACK, layout.ZERO * self.scale)

    def members(self) -> None:
        """Curves and data, later ones above earlier ones."""
        style = self.style
        for k, member in enumerate(self.spec["members"]):
            colour = style["colours"][k]
            if member["family"] == "points":
                x, y = families.points(member)
                diameter = float(style["sizes"][k]) * layout.POINT * self.scale
                self.fill(*_markers(style["markers"][k], diameter, *self.pixel(x, y)), colour)
            else:
                width = float(style["widths"][k]) * layout.POINT * self.scale
                self.stroke(self.curve(member), None, colour, width, dash=style["dashes"][k])

    def curve(self, member: Mapping[str, Any]) -> NDArray[np.float64]:
        """Vertices [n, 2] from one end of the member's domain to the other."""
        low, high = (float(end) for end in families.domain(member))
        columns = (high - low) * layout.per_unit(self.axes, self.style["size"], self.width)[0]
        blocks, far = max(4, int(np.ceil(columns * SAMPLES / 16))), 20.0 * self.rows
        for _ in range(5):
            x = np.linspace(low, high, 16 * blocks + 1)
            column, height = self.pixel(x, families.values(member, x))
            height = np.clip(height, -far, far)
            bend = _bend(height)
            if bend.max() <= 8 * SAGITTA:
                break
            blocks *= 2
        return _thinned(column, height, bend, blocks)

    def frame(self) -> None:
        """The four lines of the box, and the ticks outside it."""
        (left, low), (right, high) = self.box.min, self.box.max
        width = layout.SPINE * self.scale
        half, tick = width / 2, layout.TICK * self.scale
        ends = [(left - half, at) for at in (low, high)] + [(right + half, at) for at in (low, high)]
        lines = [ends[0], ends[2], ends[1], ends[3], (left, low), (left, high), (right, low), (right, high)]
        if self.style["ticks"]:
            lines += [end for _, at in self.x_ticks for end in ((at, low), (at, low - tick))]
            lines += [end for _, at in self.y_ticks for end in ((left, at), (left - tick, at))]
        self.stroke(np.array(lines), [_M, _L] * (len(lines) // 2), layout.BLACK, width, clip=False)

    def labels(self, text: Text) -> None:
        """Numbers at the ticks, x below and f(x) beside the box."""
        placed = list(self.placed())
        if text == "font":
            self.write(placed)
            return
        em = layout.FONT_SIZE * self.scale
        vertices, codes = [], []
        for string, column, row, upright in placed:
            shape, kinds = glyphs.vertices(string, self.style["font"], em)
            turned = shape if upright else shape[:, ::-1] * (-1, 1)
            vertices.append(turned + np.array([column, self.rows - row]))
            codes.append(kinds)
        self.fill(np.concatenate(vertices), np.concatenate(codes), layout.BLACK)

    def placed(self) -> Iterator[tuple[str, int, int, bool]]:
        """(text, column of its start, row of its baseline, upright) in whole pixels; not upright reads upwards."""
        font, em = self.style["font"], layout.FONT_SIZE * self.scale
        outside = (layout.TICK + layout.GAP) * self.scale
        ascent = glyphs.DIGIT_HEIGHT[glyphs.font_name(font)] * em
        baseline = _whole(self.bottom + outside + ascent)
        for string, at in self.x_ticks:
            wide = glyphs.width(string, font, em)
            yield string, min(_whole(at - wide / 2), self.width - wide - 1), baseline, True
        for string, at in self.y_ticks:
            start = _whole(self.left - outside) - glyphs.width(string, font, em)
            yield string, start, _whole(self.rows - at + ascent / 2), True
        middle = _whole((self.left + self.right - glyphs.width("x", font, em)) / 2)
        yield "x", middle, _whole(self.bottom + outside + ascent + 1.1 * em), True
        start = _whole((self.top + self.bottom + glyphs.width("f(x)", font, em)) / 2)
        yield "f(x)", _whole(em), start, False

    def write(self, placed: Sequence[tuple[str, int, int, bool]]) -> None:
        """Matplotlib's own text at the same places."""
        import matplotlib as mpl
        from matplotlib.font_manager import FontProperties

        file = Path(mpl.get_data_path(), "fonts", "ttf", f"{glyphs.font_name(self.style['font'])}.ttf")
        font = FontProperties(fname=str(file), size=layout.FONT_SIZE * self.scale * 72 / DPI)
        for string, column, row, upright in placed:
            self.figure.text(
                column,
                self.rows - row,
                string,
                transform=None,
                fontproperties=font,
                color=layout.BLACK,
                ha="left",
                va="baseline",
                rotation=0 if upright else 90,
                rotation_mode="anchor",
                parse_math=False,
            )


def _whole(value: float) -> int:
    return int(np.floor(value + 0.5))


def _rounded(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(vertices * 4096) / 4096


def _bend(height: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size of the second differences about every interval of n + 1 samples [n]."""
    inner = np.abs(np.diff(height, 2))
    return np.maximum(np.append(inner, inner[-1]), np.insert(inner, 0, inner[0]))


def _thinned(
    column: NDArray[np.float64], height: NDArray[np.float64], bend: NDArray[np.float64], blocks: int
) -> NDArray[np.float64]:
    """Every 16th, 8th, …, or each of 16 `blocks` + 1 samples: the fewest in a block that stay within SAGITTA.

    A chord over k equal steps of a curve with second differences d leaves it by about k² d / 8.
    """
    worst = bend.reshape(blocks, 16).max(1)
    strides = 16 >> np.sum([worst * k * k / 8 > SAGITTA for k in (16, 8, 4, 2)], axis=0)
    kept = np.arange(16 * blocks) % np.repeat(strides, 16) == 0
    index = np.append(np.flatnonzero(kept), 16 * blocks)
    return np.column_stack([column[index], height[index]])


@cache
def _marker(kind: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """A marker of diameter 1 about its centre of gravity."""
    if kind == "o":
        k = 0.5522847498307936
        quarter = np.array([(1, k), (k, 1), (0, 1)])
        turns = [np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), n) for n in range(4)]
        vertices = np.concatenate([[(1.0, 0.0)], *(quarter @ turn for turn in turns), [(1.0, 0.0)]]) / 2
        return vertices, np.array([_M, *[_C] * 12, _Z], dtype=np.uint8)
    shapes: dict[str, list[tuple[float, float]]] = {
        "s": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "D": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "^": [(-1.15, -2 / 3), (1.15, -2 / 3), (0, 4 / 3)],
        "v": [(0, -4 / 3), (1.15, 2 / 3), (-1.15, 2 / 3)],
        "P": [
            (-1, -3),
            (1, -3),
            (1, -1),
            (3, -1),
            (3, 1),
            (1, 1),
            (1, 3),
            (-1, 3),
            (-1, 1),
            (-3, 1),
            (-3, -1),
            (-1, -1),
        ],
    }
    corners = shapes[kind]
    reach = {"s": 2.2, "P": 5.4}.get(kind, 2.0)
    vertices = np.array([*corners, corners[0]], dtype=np.float64) / reach
    return vertices, np.array([_M, *[_L] * (len(corners) - 1), _Z], dtype=np.uint8)


def _markers(
    kind: str, diameter: float, column: NDArray[np.float64], height: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """All markers of a series as one path: vertices [n · k, 2] and codes [n · k]."""
    shape, codes = _marker(kind)
    places = np.column_stack([column, height])
    return (places[:, None] + shape[None] * diameter).reshape(-1, 2), np.tile(codes, len(places))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The picture [rows, columns, 3] as a PNG file: RGB, each line stored as its difference from the one above."""
    rows, columns, _ = pixels.shape
    bytes_ = pixels.reshape(rows, 3 * columns)
    lines = np.full((rows, 1 + 3 * columns), 2, dtype=np.uint8)
    lines[0, 1:] = bytes_[0]
    np.subtract(bytes_[1:], bytes_[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = [
        _chunk(b"IHDR", header),
        _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of width, height (4 bytes each, big-endian) and the RGB bytes: the picture's, not a PNG file's."""
    rows, columns, _ = pixels.shape
    return hashlib.sha256(
        struct.pack(">II", columns, rows) + np.ascontiguousarray(pixels).tobytes()
    ).hexdigest()

"""Text as filled outlines, so that pictures do not depend on the version of FreeType.

Matplotlib 3.11 changed the pixels of its text with FreeType 2.14, and left lines as they were. The digits and the few
letters that our axes need are therefore drawn as paths: outlines of three fonts that Matplotlib ships, in
`outlines/dejavu.json` (font units; their licence is beside). Every glyph starts at a whole pixel, so that equal
characters have equal pixels.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import InputError
from paperworks.grab.layout import FONTS

if TYPE_CHECKING:
    from matplotlib.path import Path as Outline
    from numpy.typing import NDArray

CHARACTERS = "0123456789−.()xyf"
"""U+2212 is the minus sign."""
DIGIT_HEIGHT = {"DejaVuSans": 1520 / 2048, "DejaVuSerif": 1520 / 2048, "DejaVuSansMono": 1520 / 2048}
"""Height of a digit above the baseline, in em."""

_FILE = Path(__file__).parent / "outlines" / "dejavu.json"
_OPERATIONS = {"M": (1,), "L": (2,), "Q": (3, 3), "Z": (79,)}


@cache
def outlines() -> dict[str, Any]:
    """The stored outlines: `{font: {"units_per_em", "version", "glyphs": {character: {"advance", "path"}}}}`."""
    loaded: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return loaded


def font_name(font: str | int) -> str:
    """The font's name for a name or an index into FONTS; raises InputError for another."""
    name = FONTS[font] if isinstance(font, int) and 0 <= font < len(FONTS) else font
    if name not in FONTS:
        raise InputError(f"font {font!r} is not shipped; give one of {', '.join(FONTS)} or its index")
    return str(name)


@lru_cache(maxsize=512)
def _glyph(character: str, font: str) -> tuple[NDArray[np.float64], NDArray[np.uint8], float]:
    """Vertices in em, upwards [n, 2], Matplotlib's path codes [n], and the advance in em."""
    stored = outlines()[font]
    if character not in stored["glyphs"]:
        raise InputError(f"no outline for {character!r}; the outlines have {CHARACTERS}")
    glyph = stored["glyphs"][character]
    vertices: list[tuple[float, float]] = []
    codes: list[int] = []
    for operation, *numbers in glyph["path"]:
        codes += _OPERATIONS[operation]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        vertices += pairs or [vertices[-1]]
    em = stored["units_per_em"]
    return np.array(vertices) / em, np.array(codes, dtype=np.uint8), glyph["advance"] / em


def advances(text: str, font: str | int, em: float) -> list[int]:
    """Whole pixels from the start of the text to the start of each glyph, and to the end of the last [len + 1]."""
    name = font_name(font)
    reached = np.cumsum([0.0, *(_glyph(character, name)[2] * em for character in text)])
    return [int(position) for position in np.floor(reached + 0.5)]


def width(text: str, font: str | int, em: float) -> int:
    """Width of the text in whole pixels at `em` pixels to the em."""
    return advances(text, font, em)[-1]


@lru_cache(maxsize=4096)
def vertices(text: str, font: str | int, em: float) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Outline of a text that starts at (0, 0) on its baseline, y upwards: vertices in pixels [n, 2] and codes [n]."""
    name = font_name(font)
    placed, codes = [np.empty((0, 2))], [np.empty(0, dtype=np.uint8)]
    for character, start in zip(text, advances(text, font, em), strict=False):
        shape, kinds, _ = _glyph(character, name)
        placed.append(shape * em + (start, 0))
        codes.append(kinds)
    return np.concatenate(placed), np.concatenate(codes)


def paths(text: str, font: str | int, em: float = 1.0) -> Outline:
    """The text's outline as a Matplotlib path: starts at (0, 0) on its baseline, y upwards, `em` units to the em."""
    from matplotlib.path import Path as Outline

    return Outline(*vertices(text, font, em))


@lru_cache(maxsize=1024)
def template(text: str, font: str | int, em: float) -> NDArray[np.float32]:
    """What the drawing makes of a text at `em` pixels to the em: coverage of ink 0…1 [rows, columns], cut to the ink.

    The same rasterizer as the pictures', and glyphs on whole pixels, hence the pictures' own pixels.
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.transforms import Affine2D

    margin = 3
    rows, columns = int(np.ceil(1.6 * em)) + 2 * margin, width(text, font, em) + int(np.ceil(em)) + 2 * margin
    renderer = RendererAgg(columns, rows, 72.0)
    context = renderer.new_gc()
    context.set_linewidth(0.0)
    context.set_snap(False)
    baseline = int(np.ceil(0.5 * em)) + margin
    renderer.draw_path(
        context, paths(text, font, em), Affine2D().translate(margin, baseline), (0.0, 0.0, 0.0, 1.0)
    )
    coverage = np.asarray(np.asarray(renderer.buffer_rgba())[..., 3] / 255, dtype=np.float32)
    inked = np.argwhere(coverage > 0)
    if not len(inked):
        return coverage[:0, :0]
    (top, left), (bottom, right) = inked.min(0), inked.max(0) + 1
    return coverage[top:bottom, left:right].copy()

"""Pictures in rows and columns with labels: what a before-and-after comparison looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

GAP, TEXT = 6, 13
"""Pixels between two pictures, and the height of the letters."""


def picture_grid(
    rows: Sequence[Sequence[Any]], columns: Sequence[str], labels: Sequence[str] = (), side: int = 128
) -> Image:
    """A picture of `rows` of Pillow images or arrays `[H, W, 3]` uint8, each fitted into `side` pixels, below the
    names of the columns and beside the rows' `labels`. Small pictures are enlarged without smoothing. Raises
    `ValueError` for rows or labels that do not fit the columns."""
    from PIL import Image, ImageDraw, ImageFont

    if any(len(row) != len(columns) for row in rows) or (labels and len(labels) != len(rows)):
        raise ValueError(
            f"{len(columns)} columns and {len(labels)} labels for rows of {[len(row) for row in rows]}"
        )
    font = ImageFont.load_default(TEXT)
    margin = GAP + max((int(font.getlength(label)) for label in labels), default=-GAP)
    top = TEXT + 2 * GAP
    size = (margin + GAP + len(columns) * (side + GAP), top + len(rows) * (side + GAP))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for column, name in enumerate(columns):
        pen.text((margin + GAP + column * (side + GAP) + side // 2, GAP), name, "black", font, anchor="mt")
    for number, row in enumerate(rows):
        y = top + number * (side + GAP)
        if labels:
            pen.text((GAP, y + side // 2), labels[number], "black", font, anchor="lm")
        for column, picture in enumerate(row):
            image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))
            scale = side / max(image.size)
            fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
            x = margin + GAP + column * (side + GAP)
            page.paste(
                image.convert("RGB").resize(fitted, how),
                (x + (side - fitted[0]) // 2, y + (side - fitted[1]) // 2),
            )
    return page


def grid_figure(image: Image) -> Figure:
    """A grid as a matplotlib figure of the same pixels at 150 dpi, for `Lab.figure`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(image.width / 150, image.height / 150), dpi=150)
    figure.figimage(np.asarray(image))
    return figure

"""Many items on one picture, each with its question and answer: to see whether a person could answer them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from paperworks.grab.draw import draw

if TYPE_CHECKING:
    from PIL import Image


class Asked(Protocol):
    """What a sheet shows of an item."""

    @property
    def id(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def spec(self) -> Any: ...


def contact_sheet(items: Sequence[Asked], columns: int = 4, *, width: int = 450) -> Image.Image:
    """Pictures `width` wide in rows of `columns`, with identity, question and answer under each; RGB."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=max(9, width // 32))
    line = max(12, width // 25)
    notes = []
    for item in items:
        words = textwrap.wrap(item.question, max(24, 2 * width // max(9, width // 32)))
        notes.append([item.id, *words, f"> {item.answer}"])
    pictures = [Image.fromarray(draw(item.spec, width=width)) for item in items]
    below = line * (max((len(note) for note in notes), default=0) + 1)
    tall = max((picture.height for picture in pictures), default=0) + below
    rows = -(-len(items) // columns)
    sheet = Image.new("RGB", (columns * width, max(1, rows * tall)), "white")
    pen = ImageDraw.Draw(sheet)
    for k, (picture, note) in enumerate(zip(pictures, notes, strict=True)):
        left, top = k % columns * width, k // columns * tall
        sheet.paste(picture, (left, top))
        for n, text in enumerate(note):
            at = (left + line // 2, top + tall - below + n * line)
            pen.text(
                at, text.replace("−", "-"), fill="black" if 0 < n < len(note) - 1 else "#b00020", font=font
            )
        pen.rectangle([left, top, left + width - 1, top + tall - 1], outline="#dddddd")
    return sheet

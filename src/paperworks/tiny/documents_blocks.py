"""The building blocks of the drawn documents: letterhead, address, table, paragraph, form fields and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from paperworks.errors import InputError
from paperworks.tiny.documents_words import Dice, Writer

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

WIDTH, HEIGHT = 448, 576
"""Pixels of a page."""


class Sheet:
    """A page while it is drawn. A block takes the place `x, y, width` and gives the `y` below it, all in pixels."""

    def __init__(self, kind: str, dice: Dice, distinct: float) -> None:
        from PIL import Image, ImageDraw

        self.dice, self.write = dice, Writer(kind, dice, distinct)
        self.image = Image.new("L", (WIDTH, HEIGHT), 255)
        self.pen: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)
        self.size = dice.between(11, 13)
        self.margin = dice.between(24, 42)
        self.leading = self.size * dice.uniform(1.4, 1.75)
        self.ink = dice.between(0, 50)
        self.clauses = 0
        self.words: list[str] = []
        self.boxes: list[tuple[float, float, float, float]] = []

    def row(self, row: str, y: float) -> float:
        """Draw the blocks of a layout's row side by side."""
        columns = row.split("|")
        gutter = 14
        width = (WIDTH - 2 * self.margin - gutter * (len(columns) - 1)) / len(columns)
        below = y
        for number, column in enumerate(columns):
            bottom = y
            for block in column.split("+"):
                bottom = BLOCKS[block](self, self.margin + number * (width + gutter), bottom, width)
                bottom += self.leading * (0.1 if block == "heading" else 0.3) if "+" in column else 0
            below = max(below, bottom)
        return below + self.leading * (0.1 if row == "heading" else 0.8)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        width: float,
        *,
        size: int | None = None,
        bold: bool = False,
        align: str = "left",
        ink: int | None = None,
    ) -> float:
        """Write one line, leaving out the words that find no room in `width` or on the page; `x` behind it."""
        font, ink = _font(size or self.size), self.ink if ink is None else ink
        gap = _advance(" ", font.size)
        kept, used = [], -gap
        for word in text.split():
            advance = _advance(word, font.size) + bold
            if used + gap + advance > width or y + font.size * 1.2 > HEIGHT - 6:
                break
            kept.append((word, used + gap))
            used += gap + advance
        x = round(x + {"left": 0.0, "right": width - used, "centre": (width - used) / 2}[align])
        for word, offset in kept:
            left, top = round(x + offset), round(y)
            self.pen.text((left, top), word, fill=ink, font=font)
            if bold:
                self.pen.text((left + 1, top), word, fill=ink, font=font)
            x0, y0, x1, y1 = _ink(word, font.size)
            self.words.append(word)
            self.boxes.append((left + x0, top + y0, left + x1 + bold, top + y1))
        return x + max(used, 0)

    def lines(self, x: float, y: float, text: str, width: float) -> float:
        """Write text over as many lines as it needs."""
        gap, used = _advance(" ", self.size), 0.0
        line: list[str] = []
        for word in [*text.split(), ""]:
            advance = _advance(word, self.size)
            if line and (used + advance > width or not word):
                self.text(x, y, " ".join(line), width + 1)
                y, line, used = y + self.leading, [], 0.0
            line.append(word)
            used += advance + gap
        return y

    def rule(self, x: float, y: float, width: float, shade: int = 120) -> None:
        if y < HEIGHT - 6:
            self.pen.line((round(x), round(y), round(x + width), round(y)), fill=shade)

    def frame(self, x: float, y: float, width: float, height: float, fill: int | None = None) -> None:
        if y + height < HEIGHT - 4:
            self.pen.rectangle(
                (round(x), round(y), round(x + width), round(y + height)), outline=fill or 110, fill=fill
            )


def _logo(sheet: Sheet, x: float, y: float, side: float) -> None:
    shade, x, y, side = sheet.dice.between(60, 170), round(x), round(y), round(side)
    shape = sheet.dice.between(0, 3)
    if shape == 0:
        sheet.pen.ellipse((x, y, x + side, y + side), fill=shade)
    elif shape == 1:
        sheet.pen.polygon([(x, y + side), (x + side / 2, y), (x + side, y + side)], fill=shade)
    elif shape == 2:
        sheet.pen.rectangle((x, y, x + side, y + side), fill=shade)
        sheet.pen.ellipse((x + side * 0.25, y + side * 0.25, x + side * 0.75, y + side * 0.75), fill=255)
    else:
        for bar in range(3):
            left = x + bar * side * 0.36
            sheet.pen.rectangle((left, y + side * 0.3 * bar, left + side * 0.24, y + side), fill=shade)


def _brand(sheet: Sheet, x: float, y: float, width: float) -> float:
    side = sheet.size * 2.2
    _logo(sheet, x, y, side)
    sheet.text(x + side + 8, y, sheet.write.firm(), width - side - 8, size=sheet.size + 3, bold=True)
    sheet.text(x + side + 8, y + sheet.leading * 1.2, sheet.write.street(), width - side - 8, ink=90)
    return y + side + 4


def _centre(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.text(x, y, sheet.write.listed("titles"), width, size=sheet.size + 4, bold=True, align="centre")
    y += sheet.leading * 1.5
    for line in (sheet.write.firm(), sheet.write.street()):
        sheet.text(x, y, line, width, align="centre")
        y += sheet.leading
    return y


def _title(sheet: Sheet, x: float, y: float, width: float) -> float:
    size = sheet.size + sheet.dice.between(5, 9)
    sheet.text(x, y, sheet.write.listed("titles"), width, size=size, bold=True)
    return y + size * 1.25


def _titleband(sheet: Sheet, x: float, y: float, width: float) -> float:
    height = sheet.size + 14
    sheet.frame(x, y, width, height, fill=sheet.dice.between(185, 225))
    sheet.text(x + 8, y + 5, sheet.write.listed("titles"), width - 16, size=sheet.size + 3, bold=True)
    return y + height


def _heading(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.text(x, y, sheet.write.words(1, 2), width, size=sheet.size + 1, bold=True)
    return y + sheet.leading * 1.1


def _address(sheet: Sheet, x: float, y: float, width: float) -> float:
    first = sheet.write.firm() if sheet.dice.chance(0.5) else sheet.write.name()
    for line in (first, sheet.write.street(), sheet.write.place()):
        sheet.text(x, y, line, width)
        y += sheet.leading
    return y


def _facts(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Labels with their values at the right."""
    for _ in range(3):
        label, value = sheet.write.label()
        end = sheet.text(x, y, label, width * 0.6, ink=80)
        sheet.text(end + 6, y, value, x + width - end - 6, align="right")
        y += sheet.leading
    return y


def _rows(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Labels with a colon and their values behind them."""
    for _ in range(sheet.dice.between(3, 4)):
        label, value = sheet.write.label()
        end = sheet.text(x, y, f"{label}:", width * 0.6, bold=True)
        start = max(x + min(width * 0.4, 90), end + 6)
        sheet.text(start, y, value, x + width - start)
        y += sheet.leading
    return y


def _strip(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Three labels in a line, their values below."""
    sheet.rule(x, y, width)
    for number in range(3):
        label, value = sheet.write.label()
        left = x + number * width / 3
        sheet.text(left, y + 4, label, width / 3 - 4, size=sheet.size - 1, ink=90)
        sheet.text(left, y + 4 + sheet.leading, value, width / 3 - 4, bold=True)
    sheet.rule(x, y + 2.3 * sheet.leading + 4, width)
    return y + 2.3 * sheet.leading + 4


def _cells(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A grid of framed cells, a small label over each value."""
    height = sheet.leading * 2.2
    for number in range(4):
        left, top = x + number % 2 * width / 2, y + number // 2 * height
        sheet.frame(left, top, width / 2, height)
        label, value = sheet.write.label()
        sheet.text(left + 4, top + 2, label, width / 2 - 8, size=sheet.size - 2, ink=100)
        sheet.text(left + 4, top + 1 + height * 0.45, value, width / 2 - 8)
    return y + 2 * height


def _grid(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    shares: Sequence[float],
    values: Callable[[], Sequence[str]],
    n: int,
) -> float:
    """A table: the first column that holds words is left-aligned, columns of numbers are right-aligned."""
    starts = [x + width * sum(shares[:column]) for column in range(len(shares))]
    shaded = sheet.dice.chance(0.5)
    if shaded:
        sheet.frame(x - 3, y - 2, width + 6, sheet.leading + 2, fill=215)
    for line in range(n + 1):
        cells = [sheet.write.listed("headers") for _ in shares] if line == 0 else values()
        for column, cell in enumerate(cells):
            align = "right" if column >= len(shares) - 2 and column > 0 else "left"
            sheet.text(starts[column], y, cell, width * shares[column] - 4, bold=line == 0, align=align)
        y += sheet.leading
        if line == 0 and not shaded:
            sheet.rule(x, y - 2, width, 60)
    sheet.rule(x, y, width)
    return y + 3


def _table(sheet: Sheet, x: float, y: float, width: float) -> float:
    def values() -> list[str]:
        return [sheet.write.words(), sheet.write.number(), sheet.write.money()]

    return _grid(sheet, x, y, width, (0.52, 0.24, 0.24), values, sheet.dice.between(4, 8))


def _actions(sheet: Sheet, x: float, y: float, width: float) -> float:
    def values() -> list[str]:
        return [sheet.write.words(1, 2), sheet.write.name(), sheet.write.date(short=True)]

    return _grid(sheet, x, y, width, (0.4, 0.38, 0.22), values, sheet.dice.between(3, 5))


def _ledger(sheet: Sheet, x: float, y: float, width: float) -> float:
    def values() -> list[str]:
        return [sheet.write.date(short=True), sheet.write.words(), sheet.write.money(), sheet.write.money()]

    return _grid(sheet, x, y, width, (0.18, 0.4, 0.21, 0.21), values, sheet.dice.between(6, 11))


def _pairs(sheet: Sheet, x: float, y: float, width: float) -> float:
    def values() -> list[str]:
        return [sheet.write.words(1, 2), sheet.write.money()]

    return _grid(sheet, x, y, width, (0.64, 0.36), values, sheet.dice.between(3, 6))


def _tape(sheet: Sheet, x: float, y: float, width: float) -> float:
    start = width - max(width * 0.32, sheet.size * 4.8)
    for _ in range(sheet.dice.between(5, 10)):
        sheet.text(x, y, sheet.write.words(1, 2), start)
        sheet.text(x + start, y, sheet.write.money(), width - start, align="right")
        y += sheet.leading
    return _totals(sheet, x, y + 3, width)


def _totals(sheet: Sheet, x: float, y: float, width: float) -> float:
    start, width = (x + width * 0.45, width * 0.55) if width > 250 else (x, width)
    for last in (False, False, True):
        if last:
            sheet.rule(start, y, width, 60)
        label = sheet.write.listed("headers")
        amount = max(width * 0.4, sheet.size * 4.8)
        sheet.text(start, y + 2, label, width - amount, bold=last)
        sheet.text(start + width - amount, y + 2, sheet.write.money(), amount, bold=last, align="right")
        y += sheet.leading
    return y + 3


def _line(sheet: Sheet, x: float, y: float, width: float) -> float:
    return sheet.lines(x, y, sheet.write.sentence(), width)


def _para(sheet: Sheet, x: float, y: float, width: float) -> float:
    text = " ".join(sheet.write.sentence() for _ in range(sheet.dice.between(2, 3)))
    return sheet.lines(x, y, text, width)


def _boxed(sheet: Sheet, x: float, y: float, width: float) -> float:
    below = sheet.lines(x + 6, y + 5, sheet.write.sentence(), width - 12) + 3
    sheet.frame(x, y, width, below - y)
    return below


def _quote(sheet: Sheet, x: float, y: float, width: float) -> float:
    below = sheet.lines(x + 12, y, sheet.write.sentence(), width - 12)
    sheet.pen.line((round(x + 3), round(y), round(x + 3), round(min(below, HEIGHT - 8))), fill=160, width=2)
    return below


def _points(sheet: Sheet, x: float, y: float, width: float) -> float:
    for _ in range(3):
        middle = round(y + sheet.size * 0.65)
        if middle < HEIGHT - 14:
            sheet.pen.ellipse((round(x + 3), middle - 2, round(x + 7), middle + 2), fill=sheet.ink)
        y = sheet.lines(x + 14, y, f"{sheet.write.words(1, 2)} {sheet.write.listed('verbs')}", width - 14)
    return y


def _clauses(sheet: Sheet, x: float, y: float, width: float) -> float:
    for _ in range(2):
        sheet.clauses += 1
        sheet.text(x, y, f"{sheet.clauses}. {sheet.write.words(1, 2)}", width, bold=True)
        y = sheet.lines(x + 14, y + sheet.leading, sheet.write.sentence(), width - 14)
    return y


def _career(sheet: Sheet, x: float, y: float, width: float) -> float:
    start = sheet.dice.between(2004, 2020)
    sheet.text(x, y, f"{start} - {start + sheet.dice.between(1, 6)}", 90, ink=90)
    sheet.text(x + 84, y, sheet.write.firm(), width - 84, bold=True)
    return sheet.lines(x + 14, y + sheet.leading, sheet.write.sentence(), width - 14)


def _fields(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Labels with boxes to write in, some of them filled."""
    for _ in range(3):
        label, value = sheet.write.label()
        sheet.text(x, y + 3, label, width * 0.42)
        sheet.frame(x + width * 0.44, y, width * 0.56, sheet.leading + 2)
        if sheet.dice.chance(0.6):
            sheet.text(x + width * 0.44 + 5, y + 3, value, width * 0.56 - 10)
        y += sheet.leading + 7
    return y


def _checks(sheet: Sheet, x: float, y: float, width: float) -> float:
    for number in range(4):
        left, top = x + number % 2 * width / 2, y + number // 2 * (sheet.leading + 4)
        side = sheet.size - 1
        sheet.frame(left, top, side, side)
        if sheet.dice.chance(0.4) and top + side < HEIGHT - 4:
            sheet.pen.line((left + 2, top + 2, left + side - 2, top + side - 2), fill=sheet.ink, width=2)
            sheet.pen.line((left + 2, top + side - 2, left + side - 2, top + 2), fill=sheet.ink, width=2)
        sheet.text(left + side + 6, top - 1, sheet.write.words(1, 2), width / 2 - side - 8)
    return y + 2 * (sheet.leading + 4)


def _scribble(sheet: Sheet, x: float, y: float) -> None:
    points = [(x + 7 * step, y + sheet.dice.uniform(-7, 7)) for step in range(sheet.dice.between(7, 12))]
    if y < HEIGHT - 20:
        sheet.pen.line(points, fill=70, width=1, joint="curve")


def _sign(sheet: Sheet, x: float, y: float, width: float) -> float:
    y += sheet.leading * 1.4
    if sheet.dice.chance(0.7):
        _scribble(sheet, x + 8, y - 9)
    sheet.rule(x, y, min(width, 150), 80)
    label, _ = sheet.write.label()
    sheet.text(x, y + 2, label, width, size=sheet.size - 1, ink=80)
    return y + sheet.leading


def _closing(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.text(x, y, sheet.dice.pick(("Regards", "With regards", "Yours")), width)
    _scribble(sheet, x + 4, y + sheet.leading * 1.7)
    sheet.text(x, y + sheet.leading * 2.4, sheet.write.name(), width)
    return y + sheet.leading * 3.4


def _greeting(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.text(x, y, f"{sheet.dice.pick(('Dear', 'Hello'))} {sheet.write.name()},", width)
    return y + sheet.leading * 1.3


def _date(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.text(x, y, sheet.write.date(), width, align="right")
    return y + sheet.leading


def _toolbar(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.frame(x, y, width, 22, fill=220)
    for number in range(sheet.dice.between(3, 5)):
        sheet.frame(x + 6 + 28 * number, y + 5, 20, 12, fill=sheet.dice.between(140, 180))
    return y + 24


def _avatar(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.pen.ellipse((round(x), round(y), round(x) + 30, round(y) + 30), fill=sheet.dice.between(120, 190))
    sheet.text(x + 40, y, sheet.write.name(), width - 40, bold=True)
    label, value = sheet.write.label()
    sheet.text(x + 40, y + sheet.leading, f"{label}: {value}", width - 40, ink=90)
    return y + 34


def _photo(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.frame(x, y, 66, 80, fill=205)
    left, top, shade = round(x), round(y), sheet.dice.between(110, 160)
    sheet.pen.ellipse((left + 21, top + 14, left + 45, top + 42), fill=shade)
    sheet.pen.pieslice((left + 9, top + 46, left + 57, top + 112), 180, 360, fill=shade)
    sheet.pen.rectangle((left, top + 81, left + 70, top + 114), fill=255)
    return y + 90


def _figure(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A bar chart with a caption."""
    height = 80.0
    bars = sheet.dice.between(4, 7)
    for bar in range(bars):
        tall = sheet.dice.uniform(0.2, 0.95) * height
        step = width * 0.9 / bars
        left = x + 8 + bar * step
        if y + height < HEIGHT - 12:
            sheet.pen.rectangle((left, y + height - tall, left + step * 0.6, y + height), fill=150)
    sheet.rule(x, y + height, width, 60)
    sheet.text(x, y + height + 3, sheet.write.words(2, 3), width, size=sheet.size - 1, ink=80)
    return y + height + sheet.leading


def _barcode(sheet: Sheet, x: float, y: float, width: float) -> float:
    left, right = x + width / 2 - 60, x + width / 2 + 60
    while left < right and y + 30 < HEIGHT - 8:
        bar = sheet.dice.between(1, 3)
        sheet.pen.rectangle((round(left), round(y), round(left) + bar - 1, round(y) + 26), fill=sheet.ink)
        left += bar + sheet.dice.between(1, 3)
    sheet.text(x, y + 29, sheet.write.ref(), width, size=sheet.size - 1, align="centre")
    return y + 30 + sheet.leading


def _footer(sheet: Sheet, x: float, y: float, width: float) -> float:
    """At the foot of the page, where there is room for it."""
    foot = HEIGHT - sheet.margin - sheet.leading
    if y < foot:
        sheet.rule(x, foot - 3, width, 160)
        text = f"{sheet.write.firm()} {sheet.write.place()} Page {sheet.dice.between(1, 3)}"
        sheet.text(x, foot, text, width, size=sheet.size - 2, ink=110, align="centre")
    return max(y, foot + sheet.leading)


def _rule(sheet: Sheet, x: float, y: float, width: float) -> float:
    sheet.rule(x, y, width, 60)
    return y + 2


def _gap(sheet: Sheet, x: float, y: float, width: float) -> float:
    return y + sheet.leading


BLOCKS: dict[str, Callable[[Sheet, float, float, float], float]] = {
    block.__name__[1:]: block
    for block in (
        _actions, _address, _avatar, _barcode, _boxed, _brand, _career, _cells, _centre, _checks, _clauses, _closing,
        _date, _facts, _fields, _figure, _footer, _gap, _greeting, _heading, _ledger, _line, _pairs, _para, _photo,
        _points, _quote, _rows, _rule, _sign, _strip, _table, _tape, _title, _titleband, _toolbar, _totals,
    )
}  # fmt: skip
"""What a layout may name."""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise InputError(
            "Pillow is installed without FreeType and cannot draw the documents: reinstall it with pip"
        )
    return font


@lru_cache(8192)
def _advance(word: str, size: float) -> float:
    return _font(int(size)).getlength(word)


@lru_cache(8192)
def _ink(word: str, size: float) -> tuple[float, float, float, float]:
    return _font(int(size)).getbbox(word)

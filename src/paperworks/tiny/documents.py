"""Business documents that the project draws itself: fourteen kinds of pages, every word with its box.

A page is a stack of blocks (letterhead, address, table, paragraph, form fields …) from a layout of its kind or from one
that the kinds of its group share. Two knobs set how hard the kinds are to tell apart: `distinct`, the share of
words that are the kind's own, and `alike`, the share of pages in a layout of the group. `scanned` pages are the
`born_digital` page of the same seed after a scanner and an OCR engine that makes mistakes.

A seed gives the same words, places and noise on every platform; the shades of the letters' edges are FreeType's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paperworks.errors import InputError
from paperworks.files import write_text
from paperworks.tiny.documents_blocks import HEIGHT, WIDTH, Sheet
from paperworks.tiny.documents_words import GROUPS, Dice, group_of, word_lists, words_of

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[int, int, int, int]

FAMILIES = ("born_digital", "scanned")
KINDS: tuple[str, ...] = tuple(kind for kinds in GROUPS.values() for kind in kinds)

# Blocks from top to bottom; "a|b" stand side by side, "a+b" on each other within a column.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "tables": (
        "brand|facts title address table totals line footer",
        "title rule address|facts table totals sign",
        "brand strip titleband table totals line",
        "facts|brand address title ledger totals footer",
    ),
    "prose": (
        "brand title rows rule para para para sign",
        "title facts|address para points para para closing",
        "brand rule rows heading para points closing footer",
        "address|facts heading para para closing",
    ),
    "sheets": (
        "titleband rows heading para heading points footer",
        "brand title heading cells heading para sign",
        "title rule rows|figure heading para heading points",
        "heading rows|cells heading para table footer",
    ),
    "invoice": (
        "brand|title address|facts table totals line footer",
        "titleband facts|address table totals boxed",
        "title|brand strip address table totals sign",
    ),
    "receipt": (
        "gap|centre+tape+barcode|gap",
        "centre rule tape barcode",
        "centre|tape line barcode",
    ),
    "bank_statement": (
        "brand|address title strip ledger footer",
        "titleband address|facts ledger line",
        "brand title facts|boxed ledger totals",
    ),
    "payslip": (
        "titleband cells pairs|pairs totals",
        "brand|title rows pairs rule pairs totals",
        "cells title strip pairs|pairs boxed footer",
    ),
    "purchase_order": (
        "title brand|facts address|address table totals sign",
        "brand title cells table line sign|sign",
        "titleband address|address strip table totals boxed sign",
    ),
    "delivery_note": (
        "brand|barcode title address|address table sign|sign",
        "titleband barcode|facts address table checks sign",
        "title strip address|address table boxed sign",
    ),
    "letter": (
        "brand gap address date heading greeting para para closing",
        "gap|address address date greeting para para para closing",
        "centre rule date address greeting para para closing footer",
    ),
    "memo": (
        "titleband rows rule para points para para",
        "title rule facts|facts rule heading para points",
        "brand title rows rule para para para",
    ),
    "email": (
        "toolbar heading avatar greeting para para closing",
        "avatar rule rows rule greeting para points para",
        "toolbar rows rule para para closing rule quote",
    ),
    "minutes": (
        "title rows heading points heading points actions",
        "titleband facts|facts clauses actions sign",
        "centre cells clauses heading points sign|sign",
    ),
    "form": (
        "titleband fields fields checks fields sign",
        "brand title cells checks cells checks sign",
        "title line fields|fields rule checks boxed sign|sign",
    ),
    "report": (
        "title rule para figure para heading para points",
        "titleband para|figure heading para para table footer",
        "brand gap title para|para figure heading para para",
    ),
    "resume": (
        "photo+rows+heading+points|title+heading+career+heading+career",
        "centre rule heading career career heading career heading points",
        "title|rows rule heading|career heading|career heading|points",
    ),
    "contract": (
        "centre rule address|address clauses clauses sign|sign",
        "title rows clauses clauses sign|sign footer",
        "titleband para clauses heading clauses sign",
    ),
}


@dataclass(frozen=True)
class Page:
    """A drawn page: `image` (8-bit grey, 448 × 576), `words` in reading order, and for each its box `(x0, y0, x1, y1)`
    in thousandths of the page's width and height."""

    image: Image.Image
    words: list[str]
    boxes: list[Box]
    kind: str


def draw(
    kind: str,
    seed: int | str,
    *,
    family: str = "born_digital",
    distinct: float = 0.25,
    alike: float = 0.5,
    layout: int | None = None,
) -> Page:
    """A page of a kind.

    `distinct` is the chance of each content word, label and title to be the kind's own, not one that other kinds use
    too; `alike` the chance of a layout of the kind's group in place of one of its own. `layout` chooses instead: the
    kind's own come first, then the group's. Both families of a seed are one document. Raises `InputError` for an
    unknown kind, family or layout and for shares outside 0–1.
    """
    if kind not in KINDS:
        raise InputError(f"there is no kind of document {kind!r}: choose from {', '.join(KINDS)}")
    if family not in FAMILIES:
        raise InputError(f"there is no family of documents {family!r}: choose from {', '.join(FAMILIES)}")
    for name, share in (("distinct", distinct), ("alike", alike)):
        if not 0 <= share <= 1:
            raise InputError(f"{name} is a share between 0 and 1, got {share}")
    sheet = Sheet(kind, Dice(f"{kind}/{seed}"), distinct)
    rows = _layout(kind, sheet.dice, alike, layout)
    y = float(sheet.margin)
    for row in rows.split():
        y = sheet.row(row, y)
    if family == "scanned":
        return _scanned(sheet, Dice(f"{kind}/{seed}/scan"))
    boxes = [_thousandths(x0, y0, x1, y1) for x0, y0, x1, y1 in sheet.boxes]
    return Page(sheet.image, sheet.words, boxes, kind)


def collection(
    kinds: Sequence[str],
    n_per_kind: int,
    seed: int,
    *,
    family: str = "born_digital",
    distinct: float = 0.25,
    alike: float = 0.5,
) -> list[Page]:
    """`n_per_kind` pages of each kind, one of every kind in turn. No page of one seed is one of another seed."""
    return [
        draw(kind, f"{seed}/{number}", family=family, distinct=distinct, alike=alike)
        for number in range(n_per_kind)
        for kind in kinds
    ]


def to_jsonl(pages: Sequence[Page], folder: str | Path) -> Path:
    """Write `images/NNNN.png` and `documents.jsonl` with `image`, `words`, `boxes` and `label`; the latter's path."""
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, page in enumerate(pages):
        name = f"images/{number:04}.png"
        page.image.save(folder / name)
        row = {"image": name, "words": page.words, "boxes": page.boxes, "label": page.kind}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(folder / "documents.jsonl", "".join(lines))
    return folder / "documents.jsonl"


def own_words(kind: str) -> frozenset[str]:
    """The words, in lower case, that `distinct` draws for this kind and that no other kind uses."""
    others = set().union(*(words_of(section) for section in word_lists() if section != kind))
    return frozenset(words_of(kind) - others)


def _layout(kind: str, dice: Dice, alike: float, layout: int | None) -> str:
    own, shared = LAYOUTS[kind], LAYOUTS[group_of(kind)]
    chosen = dice.pick(shared if dice.chance(alike) else own)
    if layout is None:
        return chosen
    if not 0 <= layout < len(own + shared):
        raise InputError(f"{kind} has the layouts 0…{len(own + shared) - 1}, got {layout}")
    return (own + shared)[layout]


def _scanned(sheet: Sheet, dice: Dice) -> Page:
    """The page turned by up to 2°, blurred, grey and speckled; some words missing, some misread, as OCR would."""
    from PIL import Image, ImageFilter

    angle = dice.uniform(-2, 2)
    turned = sheet.image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=255)
    turned = turned.filter(ImageFilter.GaussianBlur(dice.uniform(0.4, 0.9)))
    paper, ink = dice.uniform(215, 245), dice.uniform(25, 85)
    shadow = np.linspace(0, dice.uniform(-18, 18), WIDTH, dtype=np.float32)
    grey = ink + np.asarray(turned, np.float32) * np.float32((paper - ink) / 255) + shadow
    noise = dice.noise(2 * WIDTH * HEIGHT).reshape(2, HEIGHT, WIDTH)
    grey += (noise[0].astype(np.float32) - 127.5) * np.float32(dice.uniform(0.05, 0.16))
    speckled = (noise[1] == 0) & (noise[0] < 100)
    grey[speckled] = np.where(noise[0][speckled] < 60, 60, 250)
    words, boxes = [], []
    for word, box in zip(sheet.words, sheet.boxes, strict=True):
        if not dice.chance(0.04):
            words.append(_misread(word, dice) if dice.chance(0.05) else word)
            boxes.append(_turned_box(box, angle))
    return Page(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)), words, boxes, sheet.write.kind)


CONFUSED = (
    ("rn", "m"), ("m", "rn"), ("l", "1"), ("1", "l"), ("0", "O"), ("O", "0"), ("5", "S"), ("S", "5"), ("e", "c"),
    ("c", "e"), ("i", "l"), ("h", "b"), ("a", "o"), ("u", "ii"), ("8", "B"), (",", "."), ("t", "f"), ("n", "ri"),
)  # fmt: skip


def _misread(word: str, dice: Dice) -> str:
    found = [pair for pair in CONFUSED if pair[0] in word]
    return word.replace(*dice.pick(found), 1) if found else word


def _turned_box(box: tuple[float, float, float, float], angle: float) -> Box:
    """The box around a box turned anticlockwise by `angle` degrees about the page's centre."""
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    corners = [(x - WIDTH / 2, y - HEIGHT / 2) for x in box[0::2] for y in box[1::2]]
    across = [WIDTH / 2 + x * cosine + y * sine for x, y in corners]
    down = [HEIGHT / 2 - x * sine + y * cosine for x, y in corners]
    return _thousandths(min(across), min(down), max(across), max(down))


def _thousandths(x0: float, y0: float, x1: float, y1: float) -> Box:
    return (
        max(0, math.floor(1000 * x0 / WIDTH)),
        max(0, math.floor(1000 * y0 / HEIGHT)),
        min(1000, math.ceil(1000 * x1 / WIDTH)),
        min(1000, math.ceil(1000 * y1 / HEIGHT)),
    )

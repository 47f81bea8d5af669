"""What the drawn documents say: dice that fall alike everywhere, and words in the style of a kind of document.

`documents_words.txt` has the words: a section for each kind, one for each group of kinds that look alike, and one that
all share.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")

GROUPS = {
    "tables": ("invoice", "receipt", "bank_statement", "payslip", "purchase_order", "delivery_note"),
    "prose": ("letter", "memo", "email", "minutes"),
    "sheets": ("form", "report", "resume", "contract"),
}
"""Kinds that look alike."""


def group_of(kind: str) -> str:
    """The group of a kind."""
    return next(group for group, kinds in GROUPS.items() if kind in kinds)


class Dice:
    """Draws from a seed by `random.Random.random` alone, whose sequence is the same in every version of Python."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random

    def chance(self, share: float) -> bool:
        return self.random() < share

    def between(self, low: int, high: int) -> int:
        return low + int(self.random() * (high - low + 1))

    def uniform(self, low: float, high: float) -> float:
        return low + self.random() * (high - low)

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self.random() * len(values))]

    def noise(self, count: int) -> np.ndarray:
        """`count` uniform bytes."""
        raw = np.random.PCG64(int(self.random() * 2**53)).random_raw(-(-count // 8))
        return raw.astype("<u8").view(np.uint8)[:count]


@dataclass
class Writer:
    """The words of one page: the kind's own with the chance `distinct`, else those of its group and of all."""

    kind: str
    dice: Dice
    distinct: float

    def __post_init__(self) -> None:
        self.numeric = self.dice.chance(0.5)
        self.seen: set[str] = set()

    def listed(self, name: str) -> str:
        """One of the list `name` (nouns, verbs, adjectives, titles, labels or headers), rarely one that was there."""
        if self.dice.chance(self.distinct):
            entries = word_lists()[self.kind][name]
        else:
            entries = word_lists()[group_of(self.kind)].get(name, ()) + word_lists()["shared"].get(name, ())
        tries = (self.dice.pick(entries) for _ in range(3))
        entry = next((entry for entry in tries if entry not in self.seen), None) or self.dice.pick(entries)
        self.seen.add(entry)
        return entry

    def known(self, name: str) -> str:
        """One of the names that all kinds share: first, last, cities, streets, firms, suffixes or months."""
        return self.dice.pick(word_lists()["names"][name])

    def name(self) -> str:
        return f"{self.known('first')} {self.known('last')}"

    def firm(self) -> str:
        return f"{self.known('firms')} {self.known('suffixes')}"

    def place(self) -> str:
        return f"{self.dice.between(10, 99)}{self.dice.between(100, 999)} {self.known('cities')}"

    def street(self) -> str:
        return f"{self.dice.between(1, 180)} {self.known('streets')}"

    def month(self) -> str:
        return f"{self.known('months')} {self.dice.between(2019, 2026)}"

    def date(self, short: bool = False) -> str:
        day = self.dice.between(1, 28)
        if short or self.numeric:
            numbers = f"{day:02}/{self.dice.between(1, 12):02}"
            return numbers if short else f"{numbers}/{self.dice.between(2019, 2026)}"
        return f"{day} {self.month()}"

    def money(self) -> str:
        return f"{math.exp(self.dice.uniform(1.5, 8.5)):,.2f}"

    def ref(self) -> str:
        letters = "ABCDEFGHKLMNPRSTUVWXZ"
        return f"{self.dice.pick(letters)}{self.dice.pick(letters)}-{self.dice.between(10000, 99999)}"

    def number(self) -> str:
        return str(self.dice.between(1, 60))

    def words(self, least: int = 1, most: int = 3) -> str:
        """Adjectives and a noun, in sentence case."""
        count = self.dice.between(least, most)
        words = [self.listed("adjectives") for _ in range(count - 1)] + [self.listed("nouns")]
        return " ".join(words).capitalize()

    def label(self) -> tuple[str, str]:
        """What a field is called, and a value that fits."""
        label, _, value = self.listed("labels").partition("=")
        return label, getattr(self, value)()

    def sentence(self) -> str:
        slots = {"n": "nouns", "v": "verbs", "a": "adjectives"}
        words = []
        for part in self.dice.pick(word_lists()["shared"]["patterns"]).split():
            if not part.startswith("{"):
                words.append(part)
            elif part[1:-1] in slots:
                words.append(self.listed(slots[part[1:-1]]))
            else:
                words.append(getattr(self, part[1:-1])())
        return " ".join(words) + "."


def words_of(section: str) -> set[str]:
    """The single words of a section in lower case, without the kinds of values behind labels."""
    entries = [entry.partition("=")[0] for entries in word_lists()[section].values() for entry in entries]
    return {word.strip(".:").lower() for entry in entries for word in entry.split() if "{" not in word}


@cache
def word_lists() -> dict[str, dict[str, tuple[str, ...]]]:
    """The word lists of `documents_words.txt`: section → name → entries."""
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in Path(__file__).with_name("documents_words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lists = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, entries = line.partition(": ")
            lists[name] = tuple(entry.strip() for entry in entries.split(";" if name == "patterns" else ","))
    return sections

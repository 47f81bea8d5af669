"""Random numbers that are the same on every machine, in every version of every library, in any order.

Draw d of an item is the first 8 bytes of SHA-256("seed/task/property/index/attempt/d"), read as a big-endian integer
(a choice of ours: the streams of NumPy and of `random` may change between versions). Ranges are met by rejection.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from math import sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Number = int | str | Decimal | Fraction

WORD = 1 << 64
# Four uniform integers of 16 bits: their sum has this mean and standard deviation.
SUM_MEAN = 2.0 * 65535
SUM_DEVIATION = sqrt(4 * (65536**2 - 1) / 12)


class Draws:
    """A stream of draws for one key, e.g. `Draws(seed, task, property, index, attempt)`."""

    __slots__ = ("_drawn", "_prefix")

    def __init__(self, *key: object) -> None:
        self._prefix = "".join(f"{part}/" for part in key).encode()
        self._drawn = 0

    def word(self) -> int:
        """The next draw: an integer of 64 bits."""
        digest = sha256(b"%s%d" % (self._prefix, self._drawn)).digest()
        self._drawn += 1
        return int.from_bytes(digest[:8], "big")

    def words(self, n: int) -> NDArray[np.uint64]:
        """The next `n` draws as an array, the same numbers as `n` calls of `word`."""
        prefix, first = self._prefix, self._drawn
        self._drawn += n
        raw = b"".join([sha256(b"%s%d" % (prefix, d)).digest()[:8] for d in range(first, first + n)])
        return np.frombuffer(raw, dtype=">u8").astype(np.uint64)

    def integer(self, low: int, high: int) -> int:
        """An integer of `low` … `high`, both included, each equally likely. `ValueError` where high < low."""
        span = high - low + 1
        if span < 1:
            raise ValueError(f"no integer from {low} to {high}")
        limit = WORD - WORD % span
        while (word := self.word()) >= limit:
            pass
        return low + word % span

    def integers(self, low: int, high: int, n: int) -> NDArray[np.int64]:
        """`n` integers of `low` … `high`, the same numbers as `n` calls of `integer`. [n]"""
        span = high - low + 1
        if span < 1:
            raise ValueError(f"no integer from {low} to {high}")
        limit = WORD - WORD % span
        start = self._drawn
        words = self.words(n)
        if limit < WORD and bool((words >= np.uint64(limit)).any()):  # about n · span / 2^64
            self._drawn = start
            return np.array([self.integer(low, high) for _ in range(n)], dtype=np.int64)
        if span == WORD:
            return (words.astype(object) + low).astype(np.int64)
        return (words % np.uint64(span)).astype(np.int64) + low

    def hundredths(self, low: Number, high: Number) -> Decimal:
        """A multiple of 0.01 between `low` and `high`, both included."""
        return Decimal(self.integer(_ceil(Fraction(low) * 100), _floor(Fraction(high) * 100))).scaleb(-2)

    def choice(self, of: Sequence[T]) -> T:
        """One of `of`."""
        return of[self.integer(0, len(of) - 1)]

    def sample(self, of: Sequence[T], n: int) -> list[T]:
        """`n` different places of `of`, in the order drawn."""
        left = list(of)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(n)]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Shuffle in place (Fisher and Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.integer(0, last)
            items[last], items[other] = items[other], items[last]

    def uniform(self) -> float:
        """A float64 of [0, 1): a multiple of 2^-53."""
        return (self.word() >> 11) * 2.0**-53

    def uniforms(self, n: int) -> NDArray[np.float64]:
        """`n` floats of [0, 1), the same numbers as `n` calls of `uniform`. [n]"""
        return (self.words(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normals(self, n: int) -> NDArray[np.float64]:
        """`n` draws of mean 0 and variance 1, bell-shaped and within ±3.5: the sum of the four 16-bit parts of a word.

        Only additions and one division, so the bits do not depend on a mathematics library. [n]
        """
        parts = self.words(n)[:, None] >> np.array([0, 16, 32, 48], dtype=np.uint64)
        total = (parts & np.uint64(0xFFFF)).astype(np.int64).sum(axis=1)
        return (total.astype(np.float64) - SUM_MEAN) / SUM_DEVIATION

    def normal(self) -> float:
        """One draw of `normals`."""
        return float(self.normals(1)[0])


def _ceil(value: Fraction) -> int:
    return -((-value.numerator) // value.denominator)


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator

"""Draws: the same numbers for ever, whole ranges, arrays as single draws."""

from decimal import Decimal
from hashlib import sha256

import numpy as np
import pytest

from paperworks.grab.draws import Draws


def test_a_draw_is_the_first_eight_bytes_of_the_hash_of_its_key():
    draws = Draws(7, "function", "gradient", 3, 0)
    for number in range(5):
        digest = sha256(f"7/function/gradient/3/0/{number}".encode()).digest()
        assert draws.word() == int.from_bytes(digest[:8], "big")


def test_numbers_are_pinned():
    draws = Draws(0, "series", "mean", 1, 2)
    assert [draws.integer(-10, 10) for _ in range(6)] == [-9, -3, 9, 6, -1, 5]
    assert draws.uniform() == 0.5370835714622955
    assert str(draws.hundredths("-1", 1)) == "0.42"


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-3, 3), (0, 2**63), (-(2**62), 2**62)])
def test_integers_stay_within_their_range_and_arrays_are_single_draws(low, high):
    one, many = Draws("range"), Draws("range")
    drawn = [one.integer(low, high) for _ in range(200)]
    assert all(low <= value <= high for value in drawn)
    assert many.integers(low, high, 200).tolist() == drawn
    assert one.word() == many.word()  # both streams are at the same place


def test_every_value_of_a_range_comes_about_equally_often():
    counts = np.bincount(Draws("die").integers(1, 6, 60_000), minlength=7)[1:]
    assert counts.min() > 9_600
    assert counts.max() < 10_400


def test_floats_and_normals():
    one, many = Draws("floats"), Draws("floats")
    assert many.uniforms(50).tolist() == [one.uniform() for _ in range(50)]
    normals = Draws("normal").normals(40_000)
    assert abs(normals.mean()) < 0.02
    assert abs(normals.std() - 1) < 0.02
    assert np.abs(normals).max() <= 3.5
    assert Draws("normal").normal() == normals[0]


def test_hundredths_are_multiples_within_their_ends():
    draws = Draws("hundredths")
    drawn = {draws.hundredths("0.07", "0.1") for _ in range(100)}
    assert drawn == {Decimal("0.07"), Decimal("0.08"), Decimal("0.09"), Decimal("0.10")}


def test_shuffle_choice_and_sample():
    draws = Draws("shuffle")
    items = list(range(20))
    draws.shuffle(items)
    assert sorted(items) == list(range(20))
    assert items != list(range(20))
    assert draws.choice("x") == "x"
    drawn = draws.sample(range(10), 10)
    assert sorted(drawn) == list(range(10))
    with pytest.raises(ValueError, match="no integer"):
        draws.integer(2, 1)

"""Geometry, ticks, colours and styles of pictures."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.grab import layout

TEN = {"x": ["-10", "10"], "y": ["-10", "10"], "step": ["2", "2"]}
LINE = {"family": "line", "m": "1", "k": "0", "domain": ["-5", "5"]}
POINTS = {"family": "points", "x": ["1"], "y": ["2"]}


class First:
    """Draws that always give the k-th choice."""

    def __init__(self, k: int) -> None:
        self.k = k

    def choice(self, sequence):
        return sequence[self.k % len(sequence)]

    def integer(self, low, high):
        return min(high, low + self.k)


def test_pixels_and_values_are_inverse_at_every_width_and_aspect():
    axes = {"x": ["-3.5", "40"], "y": ["-45", "2"], "step": ["5", "5"]}
    x, y = np.array([-3.5, 0.0, 40.0]), np.array([-45.0, 1.25, 2.0])
    for size, width in itertools.product(layout.SIZES, (600, 336, 84)):
        column, row = layout.pixel(axes, size, x, y, width)
        left, top, right, bottom = layout.frame(size, width)
        assert column[[0, 2]] == pytest.approx([left, right])
        assert row[[0, 2]] == pytest.approx([bottom, top])
        again = layout.value(axes, size, column, row, width)
        assert again[0] == pytest.approx(x)
        assert again[1] == pytest.approx(y)


def test_box_is_that_of_the_square_picture():
    left, top, right, bottom = layout.frame((600, 600))
    assert (left / 600, 1 - bottom / 600, right / 600, 1 - top / 600) == pytest.approx(layout.BOX)
    assert layout.per_unit(TEN, (600, 600)) == pytest.approx((25.5, 25.5))


def test_ticks_of_the_fixed_axes_are_at_pixel_centres():
    for tick in layout.ticks(TEN)[0]:
        column, row = layout.pixel(TEN, (600, 600), float(tick), float(tick))
        assert column % 1 == row % 1 == 0.5


def test_rows_follow_the_aspect():
    assert [layout.height(size) for size in layout.SIZES] == [600, 450, 375]
    assert [layout.height(size, 336) for size in layout.SIZES] == [336, 252, 210]


def test_ticks_are_the_multiples_of_the_step_within_the_limits():
    x, y = layout.ticks({"x": ["-3", "8"], "y": ["0.1", "0.75"], "step": ["5", "0.25"]})
    assert x == [0, 5]
    assert y == [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]


@pytest.mark.parametrize(
    ("tick", "step", "text"),
    [
        ("0", "2", "0"),
        ("-10", "2", "−10"),
        ("0.5", "0.25", "0.50"),
        ("-0.25", "0.25", "−0.25"),
        ("7", "1", "7"),
    ],
)
def test_labels_have_the_decimals_of_the_step(tick, step, text):
    assert layout.label(Fraction(tick), Fraction(step)) == text


def test_step_gives_at_most_so_many_ticks_and_no_finer_one_would():
    for low, high in ((-10, 10), (0, 30), (-45, 2), (0, 1), (-1589, 2399), (3, 3.4)):
        step = layout.step(low, high)
        axes = {"x": [str(low), str(high)], "y": ["0", "1"], "step": [str(step), "1"]}
        assert 3 <= len(layout.ticks(axes)[0]) <= 11
    assert layout.step(-10, 10) == 2


def test_bad_axes_are_refused():
    with pytest.raises(InputError, match=r"axes\.x: limits"):
        layout.pixel(TEN | {"x": ["3", "3"]}, (600, 600), 0.0, 0.0)
    for step in ("0", "-1", "0.01"):
        with pytest.raises(InputError, match=r"axes\.step"):
            layout.ticks(TEN | {"step": [step, "2"]})
    with pytest.raises(InputError, match="does not ascend"):
        layout.step(2, 2)


def test_lab_of_known_colours():
    assert layout.lab("#ffffff") == pytest.approx((100, 0, 0), abs=0.02)
    assert layout.lab("#ff0000") == pytest.approx((53.24, 80.09, 67.20), abs=0.02)
    assert layout.difference("#1f77b4", "#1f77b4") == 0


def test_colours_are_apart_from_each_other_and_from_grey():
    for one, other in itertools.combinations(layout.PROPERTY_COLOURS, 2):
        assert layout.difference(one, other) >= 20, (one, other)
    for colour in layout.PROPERTY_COLOURS:
        assert layout.from_grey(colour) >= 20, colour
        assert layout.difference(colour, layout.BLACK) >= 20
    assert layout.from_grey("#7f7f7f") < 1
    assert len(set(layout.COLOUR_NAMES.values())) == len(layout.PROPERTY_COLOURS) == 12


def test_style_outside_properties_is_fixed():
    style = layout.style("function", "gradient", [LINE] * 10, First(3))
    assert style == layout.style("function", "gradient", [LINE] * 10)
    assert style["colours"] == list(layout.COLOURS)
    assert layout.style("transform", "gradient", [LINE])["colours"] == [layout.BLACK]
    assert layout.style("series", "mean", [POINTS])["markers"] == ["o"]


def test_style_of_properties_varies_but_hides_no_answer():
    styles = [layout.style("properties", "gradient", [LINE], First(k)) for k in range(4)]
    assert {style["dashes"][0] for style in styles} == set(layout.DASHES)
    assert len({style["font"] for style in styles}) == 3
    assert all(float(style["widths"][0]) >= 2 for style in styles if style["dashes"] == ["dotted"])
    for k in range(4):
        assert layout.style("properties", "domain-length", [LINE], First(k))["dashes"] == ["solid"]
        assert layout.style("properties", "net-area", [LINE], First(k))["zero"]
        style = layout.style("properties", "number-of-series", [POINTS] * 12, First(k))
        assert len(set(style["colours"])) == 12
        assert style["ticks"] or style["grid"]

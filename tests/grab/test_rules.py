"""Each rule lets a readable item pass and refuses one that is not; margins against independent computations."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from paperworks.grab import rules
from paperworks.grab.families import points, values
from paperworks.grab.layout import COLOURS, PROPERTY_COLOURS
from paperworks.grab.rule_pictures import covered_shares
from paperworks.grab.rules import Refused

TEN = {"x": ["-10", "10"], "y": ["-10", "10"], "step": ["2", "2"]}
UNIT = 510 * 0.56 / 20
"""Pixels in a unit of the fixed axes, 336 wide."""
Spec = dict[str, Any]


def spec(*members: dict[str, Any], axes: dict[str, Any] = TEN, **more: Any) -> Spec:
    count = len(members)
    style = {
        "size": [600, 600],
        "grid": True,
        "zero": True,
        "ticks": True,
        "font": 0,
        "colours": list(PROPERTY_COLOURS[:count]),
        "widths": ["1.5"] * count,
        "dashes": ["solid"] * count,
        "markers": [""] * count,
        "sizes": ["4"] * count,
    }
    return {"members": list(members), "operations": [], "axes": axes, "style": style, "asked": {}} | more


def line(m: str, k: str, domain: tuple[str, str] = ("-10", "10")) -> dict[str, Any]:
    return {"family": "line", "m": m, "k": k, "domain": list(domain)}


def sine(**parameters: Any) -> dict[str, Any]:
    base = {"family": "sine", "A": "3", "T": "5", "h": "1", "v": "1", "domain": ["-9", "9"]}
    return base | parameters


def bell(**parameters: Any) -> dict[str, Any]:
    return {"family": "bell", "s": "6", "mu": "1", "var": "2", "domain": ["-6", "8"]} | parameters


def smooth(x: str, y: str) -> dict[str, Any]:
    return {"family": "smooth", "x": x.split(), "y": y.split()}


def parabola(**parameters: Any) -> dict[str, Any]:
    return {"family": "parabola", "h": "2", "v": "-3", "a": "0.5", "domain": ["-2", "6"]} | parameters


def cloud(x: str, y: str) -> dict[str, Any]:
    return {"family": "points", "x": x.split(), "y": y.split()}


def polynomial(coefficients: str, *domain: str) -> dict[str, Any]:
    return {"family": "polynomial", "coefficients": coefficients.split(), "domain": list(domain)}


def refused(rule: str, call: Any, *arguments: Any) -> str:
    with pytest.raises(Refused) as error:
        call(*arguments)
    assert error.value.rule == rule
    assert "\n" not in error.value.reason
    return error.value.reason


# --- R1


@pytest.mark.parametrize(
    ("truth", "q", "margin"),
    [
        (Fraction("3.1"), "1", 0.4),
        (Fraction("-3.3"), "1", 0.2),
        (Fraction("2.47"), "0.1", 0.2),
        (Fraction("-0.02"), "0.1", 0.3),
        (Fraction(67), "10", 0.2),
        ((Fraction(-3), Fraction(4)), "1", 0.5),
        (0.3, "0.1", 0.5),
    ],
)
def test_r1_margin_is_the_distance_to_a_rounding_boundary(truth: Any, q: str, margin: float) -> None:
    assert rules.off_boundary(truth, q) == pytest.approx(margin)


@pytest.mark.parametrize(
    ("truth", "q"),
    [
        (Fraction("3.31"), "1"),
        (Fraction("-0.5"), "1"),
        (Fraction("2.469"), "0.1"),
        (Fraction(25), "10"),
        (0.449, "0.1"),
    ],
)
def test_r1_refuses_a_toss_up(truth: Any, q: str) -> None:
    assert "rounding boundary" in refused("R1", rules.off_boundary, truth, q)


def test_r1_does_not_apply_to_equations() -> None:
    assert rules.off_boundary("y = 2x + 1", "1") is None


# --- R2


def test_r2_place_on_an_axis() -> None:
    one = spec(line("1", "2"))
    assert rules.readable(one, "y-intercept", "0.1") == pytest.approx(0.05 * UNIT)
    assert rules.readable(one, "x-intercept", "1") == pytest.approx(0.5 * UNIT)
    wide = spec(line("1", "2"), axes=TEN | {"y": ["-100", "100"]})
    refused("R2", rules.readable, wide, "y-intercept", "0.1")
    for prop in ("x-intercept", "domain-length", "phase-shift"):
        assert rules.readable(wide, prop, "0.1") == pytest.approx(0.05 * UNIT)
    refused("R2", rules.readable, wide, "range-span", "0.1")


def test_r2_does_not_depend_on_how_many_are_averaged_where_errors_are_common() -> None:
    one = rules.readable(spec(line("1", "2")), "y-intercept", "0.1")
    assert rules.readable(
        spec(*[line("1", str(k)) for k in range(5)]), "y-intercept", "0.1"
    ) == pytest.approx(one)


@pytest.mark.parametrize("m", ["0.3", "-1.5", "4"])
def test_r2_gradient_is_the_tilt_of_the_visible_segment(m: str) -> None:
    slope = float(m)
    domain = ("-2", "2")
    margin = rules.readable(spec(line(m, "0", domain)), "gradient", "1")
    assert margin is not None
    # Move one end of the segment across it by that many pixels: the slope changes by half of 1 to first order.
    dx, dy = 4 * UNIT, 4 * slope * UNIT
    small = margin / 1000
    length = math.hypot(dx, dy)
    moved = (dy + small * dx / length) / (dx - small * dy / length)
    assert abs(moved - slope) == pytest.approx(0.5 / 1000, rel=1e-2)


def test_r2_gradient_of_a_short_steep_line_is_refused_at_one_decimal() -> None:
    rules.readable(spec(line("4.5", "0")), "gradient", "0.1")
    refused("R2", rules.readable, spec(line("4.5", "0", ("-1", "1"))), "gradient", "0.1")


def test_r2_operations_magnify_the_reading_error() -> None:
    curve = smooth("-8 -3 1 7", "2 7 -3 1")
    plain = spec(curve)
    margin = rules.readable(plain, "maximum", "1")
    assert margin == pytest.approx(0.5 * UNIT)
    scaled = plain | {"operations": [{"kind": "scale", "axis": "y", "factor": "10"}]}
    assert rules.readable(scaled, "maximum", "1") == pytest.approx(0.05 * UNIT)
    assert rules.readable(scaled, "domain-length", "1") == pytest.approx(0.5 * UNIT)
    refused("R2", rules.readable, scaled, "range-span", "0.1")
    turned = plain | {
        "operations": [{"kind": "scale", "axis": "y", "factor": "10"}, {"kind": "rotate", "angle": 90}]
    }
    assert rules.readable(turned, "domain-length", "1") == pytest.approx(0.05 * UNIT)
    assert rules.readable(turned, "maximum", "1") == pytest.approx(0.5 * UNIT)


@pytest.mark.parametrize("angle", [0, 90])
def test_r2_gradient_through_operations(angle: int) -> None:
    m = 0.8
    operations = [{"kind": "scale", "axis": "y", "factor": "3"}, {"kind": "rotate", "angle": angle}]
    base = rules.readable(spec(line("0.8", "0")), "gradient", "1")
    moved = rules.readable(spec(line("0.8", "0"), operations=operations), "gradient", "1")
    change = 3 if angle == 0 else 1 / (3 * m * m)  # d (3 m) / d m, d (−1 / (3 m)) / d m
    assert moved == pytest.approx(base / change)


def test_r2_flat_turn_is_refused() -> None:
    rules.readable(spec(parabola()), "stationary-point", "0.1")
    flat = parabola(a="0.1", domain=["0.5", "3.5"])
    refused("R2", rules.readable, spec(flat), "stationary-point", "0.1")
    rules.readable(spec(flat), "stationary-point", "1")
    refused("R2", rules.readable, spec(bell(s="2", var="40", domain=["-9", "9"])), "function-mean", "0.1")


def test_r2_bell_variance_is_read_off_its_width() -> None:
    margin = rules.readable(spec(bell(var="4")), "variance", "0.1")
    width = 8 + margin / 1000 / UNIT
    assert width**2 / 16 - 4 == pytest.approx(0.05 / 1000, rel=1e-3)
    refused("R2", rules.readable, spec(bell(var="16")), "variance", "0.1")


@pytest.mark.parametrize("prop", ["variance", "pearson"])
def test_r2_statistics_of_points_against_simulated_readings(prop: str) -> None:
    random = np.random.default_rng(3)
    x, y = random.uniform(-8, 8, 30), random.uniform(-8, 8, 30)
    member = cloud(" ".join(f"{v:.4f}" for v in x), " ".join(f"{v:.4f}" for v in y))
    margin = rules.readable(spec(member), prop, "1")
    x, y = points(member)
    noise = random.normal(0, margin / UNIT / 100, (2, 4000, 30))
    moved_x, moved_y = x + noise[0], y + noise[1]
    if prop == "variance":
        found, exact = moved_y.var(axis=1), y.var()
    else:
        found = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(moved_x, moved_y, strict=True)])
        exact = np.corrcoef(x, y)[0, 1]
    assert (found - exact).std() == pytest.approx(0.5 / 100, rel=0.06)


def test_r2_area_against_simulated_readings() -> None:
    random = np.random.default_rng(4)
    knots = smooth("-8 -4 0 4 8", "3 5 2 -4 -6")
    operations = [
        {"kind": "scale", "axis": "x", "factor": "0.5"},
        {"kind": "translate", "axis": "y", "by": "4"},
    ]
    margin = rules.readable(spec(knots, operations=operations), "net-area", "1")
    # Eight readings 2 units apart, each for its part of the area, and the two ends: independent errors.
    size = margin / UNIT / 100
    heights = random.normal(0, size, (40000, 8)).sum(axis=1) * 2 * 0.5
    ends = random.normal(0, size, (40000, 2)) @ np.array([0.5 * (3 + 4), 0.5 * (-6 + 4)])
    assert (heights + ends).std() == pytest.approx(0.5 / 100, rel=0.03)


def test_r2_turned_area_is_read_along_the_other_axis() -> None:
    member = smooth("-8 -4 0 4 8", "-2 -1 1 2 3")
    turned = spec(member, operations=[{"kind": "reflect", "in": "y=x"}])
    along = math.sqrt(5 * 2) / UNIT
    ends = (-8 / UNIT, 8 / UNIT)
    expected = 0.5 / math.hypot(along, *ends)
    assert rules.readable(turned, "net-area", "1") == pytest.approx(expected)


def test_r2_large_moved_area_is_refused() -> None:
    far = spec(
        smooth("-8 -4 0 4 8", "3 5 2 4 6"), operations=[{"kind": "translate", "axis": "y", "by": "10"}] * 3
    )
    refused("R2", rules.readable, far, "net-area", "1")


# --- R3


@pytest.mark.parametrize(
    ("prop", "inside", "outside"),
    [
        ("x-intercept", line("1", "-9.5"), line("1", "-9.7")),
        ("y-intercept", line("1", "9.5", ("-5", "5")), line("1", "9.7", ("-5", "5"))),
        ("y-intercept", line("1", "0", ("-1", "1")), line("1", "0", ("-0.3", "1"))),
        ("gradient", line("2", "3"), line("2", "40")),
        ("stationary-point", parabola(), parabola(domain=["1.9", "6"])),
        ("amplitude", sine(A="8"), sine(A="8.8")),
        ("phase-shift", sine(h="4"), sine(h="4", domain=["-9", "4.1"])),
        ("peak", bell(), bell(s="9.8")),
        ("variance", bell(), bell(domain=["-1.8", "8"])),
        ("variance", bell(mu="6", domain=["0", "10"]), bell(mu="8", domain=["0", "10"])),
        ("maximum", smooth("-5 0 5", "1 9.6 2"), smooth("-5 0 5", "1 9.7 2")),
        ("domain-length", smooth("-9.6 0 9.6", "1 2 3"), smooth("-10 0 9.6", "1 2 3")),
        ("mean", cloud("1 2 3", "1 9.6 2"), cloud("1 2 9.7", "1 9 2")),
    ],
)
def test_r3_feature_is_inside_the_frame(prop: str, inside: dict[str, Any], outside: dict[str, Any]) -> None:
    margin = rules.inside_frame(spec(inside), prop)
    assert margin is not None
    assert margin >= 0.02 - 1e-9
    assert "under 2 %" in refused("R3", rules.inside_frame, spec(outside), prop)


def test_r3_looks_at_every_member_or_at_the_one_asked_for() -> None:
    two = spec(line("1", "2"), line("1", "9.9"))
    refused("R3", rules.inside_frame, two, "y-intercept")
    assert rules.inside_frame(two | {"asked": {"member": 0}}, "y-intercept") == pytest.approx(0.4)


# --- R4


def test_r4_shipped_colours_are_apart_and_no_grey() -> None:
    for colours in (COLOURS, PROPERTY_COLOURS):
        crowd = spec(*[cloud("1 2", "1 2")] * len(colours))
        crowd["style"]["colours"] = list(colours)
        margin = rules.visible(crowd, "series", "mean")
        assert margin is not None
        assert margin > 0


@pytest.mark.parametrize("colours", [["#1f77b4", "#2079b8"], ["#1f77b4", "#7f7f7f"]])
def test_r4_refuses_like_colours_and_grey(colours: list[str]) -> None:
    two = spec(cloud("1 2", "1 2"), cloud("1 2", "3 4"))
    two["style"]["colours"] = colours
    refused("R4", rules.visible, two, "series", "mean")


def test_r4_covered_share_of_lines_at_a_small_angle() -> None:
    # Strokes of 1.5 points are 2.08 px wide at 600: covered while |gap| < 1.04 px, 25.5 px in a unit.
    two = spec(line("0.05", "1"), line("0.03", "1"))
    reach = 1.5 * 600 / 432 / 2 * math.sqrt(1 + 0.03**2) / 25.5 / 0.02
    margin = rules.visible(two, "function", "gradient")
    assert 0.3 - margin == pytest.approx(2 * reach / 20, abs=0.01)
    refused("R4", rules.visible, spec(line("0.05", "1"), line("0.045", "1")), "function", "gradient")


def test_r4_covered_share_of_curves_against_pixels() -> None:
    curves = [sine(), sine(h="1.3"), sine(A="3.2", h="2")]
    shares = covered_shares(spec(*curves), [0, 1, 2], "function")
    x = np.linspace(-9, 9, 8001)
    tracks = [np.stack([x, values(curve, x)], axis=1) * 25.5 for curve in curves]
    radius = 1.5 * 600 / 432 / 2
    for k in (0, 1):
        step = np.hypot(*np.diff(tracks[k], axis=0).T)
        middle = (tracks[k][1:] + tracks[k][:-1]) / 2
        covered = np.zeros(len(step), dtype=bool)
        for later in tracks[k + 1 :]:
            for part in range(0, len(middle), 500):
                rows = slice(part, part + 500)
                near = later[max(0, part - 700) : part + 1200 : 2]
                covered[rows] |= (((middle[rows, None] - near[None]) ** 2).sum(axis=2) < radius**2).any(
                    axis=1
                )
        assert shares[k] == pytest.approx(float((step * covered).sum() / step.sum()), abs=0.04)
    assert shares[2] == 0


def test_r4_a_later_curve_must_not_pass_the_feature() -> None:
    apart = spec(line("1", "0"), line("-1", "2"))
    assert rules.visible(apart, "function", "y-intercept") is not None
    refused("R4", rules.visible, spec(line("1", "0"), line("-1", "0.15")), "function", "y-intercept")
    # The other way round the feature is on top of what crosses it.
    rules.visible(spec(line("-1", "0.15"), line("1", "0")), "function", "gradient")


def test_r4_an_end_beside_the_feature_does_not_cover_it() -> None:
    rules.visible(spec(line("1", "0"), line("-1", "0.1", ("1", "5"))), "function", "y-intercept")


def test_r4_sine_needs_one_free_crest_and_trough() -> None:
    wave = sine(T="5", h="0", v="0", domain=["0", "8"])
    trough, crest = line("0", "-3", ("2", "6")), line("0.01", "3", ("-9", "9"))
    rules.visible(spec(wave, line("0", "6")), "function", "amplitude")
    refused("R4", rules.visible, spec(wave, trough), "function", "amplitude")
    refused("R4", rules.visible, spec(wave, crest), "function", "vertical-shift")


def test_r4_one_black_line_may_not_hide_in_the_axis() -> None:
    black = spec(line("0.3", "0"))
    black["style"]["colours"] = ["#000000"]
    assert rules.visible(black, "transform", "gradient") is not None
    hidden = spec(line("0.001", "0.02"))
    hidden["style"]["colours"] = ["#000000"]
    refused("R4", rules.visible, hidden, "transform", "gradient")


# --- R5


def test_r5_counting_needs_one_and_a_half_diameters() -> None:
    # A marker of 4 points is 5.56 px, 0.2179 units of the fixed axes.
    apart = spec(cloud("0 0.33 4", "0 0 0"))
    margin = rules.points_apart(apart, "number-of-points")
    assert margin == pytest.approx(0.33 * 25.5 / (4 * 600 / 432) - 1.5)
    assert "1.47 diameters" in refused(
        "R5", rules.points_apart, spec(cloud("0 0.32 4", "0 0 0")), "number-of-points"
    )


def test_r5_a_diamond_reaches_beyond_its_size() -> None:
    diamonds = spec(cloud("0 0.4 4", "0 0 0"))
    rules.points_apart(diamonds, "number-of-points")
    diamonds["style"]["markers"] = ["D"]
    refused("R5", rules.points_apart, diamonds, "number-of-points")


def test_r5_one_in_ten_may_be_overlapped() -> None:
    x = [str(k - 9) for k in range(19)]
    one = spec(cloud(" ".join([*x, "0.05"]), " ".join(["0"] * 20)))
    assert rules.points_apart(one, "mean") == pytest.approx(0.05)
    three = spec(cloud(" ".join([*x, "0.05", "1.05", "2.05"]), " ".join(["0"] * 22)))
    assert "14 %" in refused("R5", rules.points_apart, three, "mean")
    across = spec(cloud("0 1 2", "0 0 0"), cloud("0.02 3 4", "0 0 0"))
    refused("R5", rules.points_apart, across, "mean")


def test_r5_does_not_apply_to_curves() -> None:
    assert rules.points_apart(spec(line("1", "0")), "gradient") is None


# --- R6


@pytest.mark.parametrize(
    ("coefficients", "domain", "y"),
    [("2 -3", ("-5", "5"), "15"), ("1 -2 3", ("-3", "3"), "20"), ("1 0 -4 2", ("-2.5", "2.5"), "12")],
)
def test_r6_equation_that_can_be_told(coefficients: str, domain: tuple[str, str], y: str) -> None:
    axes = {"x": ["-6", "6"], "y": ["-" + y, y], "step": ["1", "5"]}
    margin = rules.distinct(spec(polynomial(coefficients, *domain), axes=axes), "equation")
    assert margin is not None
    assert margin >= 1


@pytest.mark.parametrize(
    ("coefficients", "domain", "y"),
    [
        ("2 -3", ("-5", "5"), "2000"),  # a constant of 1 is a tenth of a pixel
        ("3 1 -4 2 5", ("-0.6", "0.6"), "20"),  # x⁴ and x² cannot be told so near to 0
        ("9 1 -4 2 5", ("9", "10"), "90000"),
    ],
)
def test_r6_refuses_an_equation_with_a_double(coefficients: str, domain: tuple[str, str], y: str) -> None:
    axes = {"x": ["-6", "10"], "y": ["-" + y, y], "step": ["1", "5"]}
    refused("R6", rules.distinct, spec(polynomial(coefficients, *domain), axes=axes), "equation")


def test_r6_finds_the_nearest_other_polynomial() -> None:
    axes = {"x": ["-6", "6"], "y": ["-15", "15"], "step": ["1", "5"]}
    margin = rules.distinct(spec(polynomial("2 -3", "-5", "5"), axes=axes), "equation")
    slope = 2 * 12 / 30
    # The nearest is the line one unit higher or lower; its distance is across the line.
    assert margin == pytest.approx(510 * 0.56 / 30 / math.hypot(1, slope), rel=1e-6)


def test_r6_polynomial_shown_away_from_zero() -> None:
    # Near x = 7 the integer polynomial (x − 7)² (x − 8) … is small although its coefficients are large.
    axes = {"x": ["6", "8"], "y": ["-700", "-300"], "step": ["1", "100"]}
    refused("R6", rules.distinct, spec(polynomial("1 -1 -8 -9 1", "6.9", "7.1"), axes=axes), "equation")


def test_r6_sines() -> None:
    axes = {"x": ["-4", "4"], "y": ["-8", "8"], "step": ["1", "2"]}
    wave = {"family": "sine-equation", "a": "3", "b": "2", "c": "5", "d": "-1", "domain": ["-3", "3"]}
    margin = rules.distinct(spec(wave, axes=axes), "equation")
    assert margin is not None
    assert margin > 1
    flat = axes | {"y": ["-800", "800"]}
    refused("R6", rules.distinct, spec(wave, axes=flat), "equation")


def test_r6_phase_shift() -> None:
    assert rules.distinct(spec(sine(T="9", h="3")), "phase-shift") is not None
    refused("R6", rules.distinct, spec(sine(T="40", A="0.3", h="3")), "phase-shift")


# --- R7


@pytest.mark.parametrize(
    ("prop", "good", "bad"),
    [
        ("x-intercept", line("-0.2", "1"), line("0.19", "1")),
        ("period", sine(T="12"), sine(T="12.1")),
        ("amplitude", sine(), sine(A="-3")),
        ("phase-shift", sine(h="4"), sine(h="5")),
        (
            "stationary-points",
            {"family": "cubic", "s": "0.05", "p": "-3", "r": "3", "k": "0", "domain": ["-6", "6"]},
            {"family": "cubic", "s": "0.05", "p": "-1", "r": "2", "k": "0", "domain": ["-6", "6"]},
        ),
        ("equation", polynomial("1 2", "-1", "1"), polynomial("0 2", "-1", "1")),
        ("variance", cloud("1 2", "1 2"), cloud("1 2", "1 1")),
        ("pearson", cloud("1 2", "1 2"), cloud("1 1", "1 2")),
    ],
)
def test_r7_well_posed(prop: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert rules.well_posed(spec(good), prop) is not None
    refused("R7", rules.well_posed, spec(bad), prop)


@pytest.mark.parametrize(
    ("a", "b", "c"), [("-2", "3", "1"), ("2", "-3", "1"), ("2", "3", "7"), ("2", "3", "-1")]
)
def test_r7_a_sine_equation_has_one_form(a: str, b: str, c: str) -> None:
    wave = {"family": "sine-equation", "a": "2", "b": "3", "c": "6", "d": "1", "domain": ["-4", "4"]}
    assert rules.well_posed(spec(wave), "equation") is not None
    refused("R7", rules.well_posed, spec(wave | {"a": a, "b": b, "c": c}), "equation")


def test_r7_turning_values_of_a_cubic() -> None:
    s, p, r = 0.05, -3.0, 3.0
    heights = [s * (x**3 - 1.5 * (p + r) * x * x + 3 * p * r * x) for x in (p, r)]
    cubic = {"family": "cubic", "s": "0.05", "p": "-3", "r": "3", "k": "1", "domain": ["-6", "6"]}
    margin = rules.well_posed(spec(cubic), "stationary-points")
    assert margin == pytest.approx((heights[0] - heights[1]) / 20 - 0.08)


def test_r7_area_of_a_turned_curve_needs_a_monotone_one() -> None:
    turn = [{"kind": "rotate", "angle": 90}]
    rising, wavy = smooth("-5 0 5", "-3 1 2"), smooth("-5 0 5", "-3 1 -2")
    assert rules.well_posed(spec(rising, operations=turn), "net-area") is not None
    refused("R7", rules.well_posed, spec(wavy, operations=turn), "total-area")
    rules.well_posed(spec(wavy, operations=turn * 2), "total-area")
    refused("R7", rules.well_posed, spec(line("0.1", "1"), operations=turn), "gradient")


# --- R8


def test_r8_extreme_beats_the_next_turn() -> None:
    clear, close = smooth("-8 -3 1 7", "2 7 -3 6.9"), smooth("-8 -3 1 7", "2 7 -3 6.94")
    assert rules.beats_runner_up(spec(clear), "maximum") == pytest.approx(0.1 * UNIT)
    refused("R8", rules.beats_runner_up, spec(close), "maximum")
    assert rules.beats_runner_up(spec(close), "minimum") == pytest.approx(5 * UNIT)


def test_r8_a_flat_top_is_one_place() -> None:
    assert rules.beats_runner_up(spec(smooth("-8 -3 1 7", "2 7 7 1")), "maximum") == pytest.approx(5 * UNIT)


def test_r8_points() -> None:
    refused("R8", rules.beats_runner_up, spec(cloud("1 2 3", "4 4.05 1")), "maximum")
    assert rules.beats_runner_up(spec(cloud("1 2 3", "4 4.05 1")), "minimum") == pytest.approx(3 * UNIT)


def test_r8_follows_the_operations() -> None:
    curve = smooth("-8 -3 1 7", "2 7 -3 6.95")
    mirrored = spec(curve, operations=[{"kind": "reflect", "in": "x-axis"}])
    refused("R8", rules.beats_runner_up, mirrored, "minimum")
    assert rules.beats_runner_up(mirrored, "maximum") == pytest.approx(5 * UNIT)
    turned = spec(curve, operations=[{"kind": "rotate", "angle": 90}])
    assert rules.beats_runner_up(turned, "maximum") == pytest.approx(15 * UNIT)


# --- R9 and all


def test_r9_nothing_but_axes_is_printed() -> None:
    plain = spec(line("1", "0"))
    assert rules.not_printed(plain) == 0
    refused("R9", rules.not_printed, plain | {"title": "y = x"})
    refused("R9", rules.not_printed, plain | {"style": plain["style"] | {"legend": True}})
    assert rules.not_printed(plain | {"style": plain["style"] | {"labels": ["x", "f(x)"]}}) == 0
    refused("R9", rules.not_printed, plain | {"style": plain["style"] | {"labels": ["x", "mean 3"]}})


def test_check_gives_the_margins_of_the_rules_that_apply() -> None:
    margins = rules.check(spec(line("1", "-2.1")), "function", "x-intercept", "1", Fraction("2.1"))
    assert set(margins) == {"R1", "R2", "R3", "R4", "R7", "R9"}
    assert margins["R1"] == 0.4
    assert margins["R2"] == round(0.5 * UNIT, 3)
    assert all(type(margin) is float and math.isfinite(margin) for margin in margins.values())


def test_check_names_the_rule() -> None:
    assert "toss" not in refused(
        "R1", rules.check, spec(line("1", "2.5")), "function", "y-intercept", "1", Fraction("2.5")
    )
    refused("R3", rules.check, spec(line("1", "9.9")), "function", "y-intercept", "1", Fraction("9.9"))


def test_check_changes_nothing() -> None:
    one = spec(sine(), sine(v="-3"))
    before = repr(one)
    rules.check(one, "function", "vertical-shift", "1", Fraction(-1))
    assert repr(one) == before

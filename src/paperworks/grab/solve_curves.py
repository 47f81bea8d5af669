"""Lines, parabolas, bells and sines that have a given property; values are integers of hundredths."""

from __future__ import annotations

import math

from paperworks.grab.draws import Draws
from paperworks.grab.rules import Refused
from paperworks.grab.solve_common import Member, sign, text


def _line_domain(low: float, high: float, draws: Draws) -> list[str]:
    """a of -10 … -1 and b of 1 … 10 around low … high."""
    first = draws.integer(-10, max(-10, min(-1, math.floor(low) - 1)))
    last = draws.integer(min(10, max(1, math.ceil(high) + 1)), 10)
    return [str(first), str(last)]


def x_intercept(value: int, draws: Draws) -> Member:
    """A line through (value / 100, 0)."""
    m = sign(draws) * draws.integer(30, 500)
    place = value / 100
    return {
        "family": "line",
        "m": text(m),
        "k": text(-m * value, 4),
        "domain": _line_domain(min(place, 0), max(place, 0), draws),
    }


def y_intercept(value: int, draws: Draws) -> Member:
    """A line through (0, value / 100)."""
    m = draws.integer(-500, 500)
    return {"family": "line", "m": text(m), "k": text(value), "domain": _line_domain(0, 0, draws)}


def gradient(value: int, draws: Draws) -> Member:
    """A line of gradient value / 100."""
    k = draws.integer(-900, 900)
    return {"family": "line", "m": text(value), "k": text(k), "domain": _line_domain(-1, 1, draws)}


def stationary_point(value: int, draws: Draws) -> Member:
    """A parabola with its vertex at x = value / 100."""
    a = sign(draws) * draws.integer(10, 200)
    v = draws.integer(-800, 800)
    reach = math.sqrt(12 / (abs(a) / 100))  # as far as 12 units above or below the vertex
    ends = [value + side * draws.integer(150, max(160, round(100 * reach))) for side in (-1, 1)]
    return {
        "family": "parabola",
        "h": text(value),
        "v": text(v),
        "a": text(a),
        "domain": _inside(ends[0], ends[1]),
    }


def _inside(low: int, high: int, most: int = 1000) -> list[str]:
    """A domain in hundredths, clipped to ±most."""
    return [text(max(low, -most)), text(min(high, most))]


def function_mean(value: int, draws: Draws) -> Member:
    """A bell with its peak at x = value / 100."""
    return bell(value, draws.integer(80, 400), draws)


def bell_variance(value: int, draws: Draws) -> Member:
    """A bell of variance value / 100, ±2 standard deviations inside the fixed axes."""
    deviation = math.sqrt(value / 100)
    most = math.floor(100 * (9.7 - 2.1 * deviation))
    if most < 0:
        raise Refused("R3", f"a bell of variance {value / 100} does not fit into the axes")
    return bell(draws.integer(-most, most), value, draws, least=210)


def bell(mu: int, variance: int, draws: Draws, least: int = 120, most: int = 1000) -> Member:
    """A bell of mean and variance in hundredths, with ends `least` to some hundredths of deviations away and a drawn
    height.
    """
    deviation = math.sqrt(variance / 100)
    ends = [mu + side * math.ceil(draws.integer(least, max(least, 350)) * deviation) for side in (-1, 1)]
    return {
        "family": "bell",
        "s": text(draws.integer(200, 900)),
        "mu": text(mu),
        "var": text(variance),
        "domain": _inside(ends[0], ends[1], most),
    }


def amplitude(value: int, draws: Draws) -> Member:
    """A sine of amplitude value / 100."""
    return sine(value, draws.integer(300, 1200), _level(value, draws), draws)


def period(value: int, draws: Draws) -> Member:
    """A sine of period value / 100."""
    a = draws.integer(70, 400)
    return sine(a, value, _level(a, draws), draws)


def vertical_shift(value: int, draws: Draws) -> Member:
    """A sine about y = value / 100."""
    return sine(draws.integer(70, 400), draws.integer(300, 1200), value, draws)


def _level(height: int, draws: Draws) -> int:
    room = min(500, 950 - height)
    return draws.integer(-room, room)


def sine(height: int, length: int, level: int, draws: Draws, room: tuple[int, int] = (-1000, 1000)) -> Member:
    """1.5 to 8 periods within `room` (hundredths)."""
    shortest = -(-155 * length // 100)
    longest = min(8 * length, room[1] - room[0])
    if shortest > longest:
        raise Refused("R7", f"1.5 periods of {length / 100} are wider than the axes")
    shown = draws.integer(shortest, longest)
    first = draws.integer(room[0], room[1] - shown)
    return {
        "family": "sine",
        "A": text(height),
        "T": text(length),
        "h": text(draws.integer(0, length - 1)),
        "v": text(level),
        "domain": [text(first), text(first + shown)],
    }

"""Operations: exact composition against moved points and matrix products, wording, and the fewest that do the same."""

import math
from fractions import Fraction

import numpy as np
import pytest
from grab_members import Chance
from numpy.testing import assert_allclose

from paperworks.errors import InputError
from paperworks.grab.operations import (
    IDENTITY,
    Affine,
    affine,
    apply,
    compose,
    describe,
    effective_complexity,
    is_empty,
    undoes,
)

TURN = {"kind": "rotate", "angle": 90}
MIRRORS = [
    {"kind": "reflect", "in": "x-axis"},
    {"kind": "reflect", "in": "y-axis"},
    {"kind": "reflect", "in": "y=x"},
    {"kind": "reflect", "in": "y=-x"},
    {"kind": "reflect", "in": "x=k", "k": "-4"},
    {"kind": "reflect", "in": "y=k", "k": "3"},
]


def matrix(operation):
    """The 3 × 3 matrix of one operation on (x, y, 1), written down independently of the library."""
    kind = operation["kind"]
    if kind == "rotate":
        angle = math.radians(operation["angle"])
        c, s = math.cos(angle), math.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    if kind == "scale":
        f = float(operation["factor"])
        return np.diag([f, 1, 1] if operation["axis"] == "x" else [1, f, 1])
    if kind == "translate":
        by = float(operation["by"])
        return np.array(
            [[1, 0, by], [0, 1, 0], [0, 0, 1]]
            if operation["axis"] == "x"
            else [[1, 0, 0], [0, 1, by], [0, 0, 1]]
        )
    k = float(operation.get("k", 0))
    return np.array(
        {
            "x-axis": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
            "y-axis": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
            "y=x": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
            "y=-x": [[0, -1, 0], [-1, 0, 0], [0, 0, 1]],
            "x=k": [[-1, 0, 2 * k], [0, 1, 0], [0, 0, 1]],
            "y=k": [[1, 0, 0], [0, -1, 2 * k], [0, 0, 1]],
        }[operation["in"]],
        dtype=float,
    )


def as_matrix(moving: Affine):
    xx, xy, yx, yy, tx, ty = (float(entry) for entry in moving)
    return np.array([[xx, xy, tx], [yx, yy, ty], [0, 0, 1]])


def product(operations):
    result = np.eye(3)
    for operation in operations:
        result = matrix(operation) @ result
    return result


def test_500_sequences_equal_the_products_of_their_matrices():
    chance = Chance(5)
    for _ in range(500):
        operations = chance.operations()
        moving, expected = compose(operations), product(operations)
        assert_allclose(as_matrix(moving), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
        assert moving.swaps == (moving.xx == moving.yy == 0)
        assert moving.swaps or moving.xy == moving.yx == 0


def test_a_composed_map_moves_points_as_its_operations_do():
    chance = Chance(6)
    x, y = np.random.default_rng(0).uniform(-10, 10, (2, 50))
    for _ in range(50):
        operations = chance.operations()
        one_by_one = np.stack([x, y])
        for operation in operations:
            one_by_one = (matrix(operation) @ np.vstack([one_by_one, np.ones(50)]))[:2]
        assert_allclose(apply(compose(operations), x, y), one_by_one, rtol=1e-9, atol=1e-6)


def test_no_operation_is_the_identity():
    assert compose([]) == IDENTITY
    assert effective_complexity([]) == 0


def test_four_quarter_turns_and_two_equal_reflections_are_the_identity():
    assert compose([TURN] * 4) == IDENTITY
    assert compose([TURN] * 2) != IDENTITY
    for mirror in MIRRORS:
        assert compose([mirror, mirror]) == IDENTITY


def test_rotation_is_counter_clockwise_and_scaling_multiplies():
    x, y = apply(affine(TURN), np.array([1.0]), np.array([0.0]))
    assert (x[0], y[0]) == (0, 1)
    assert affine({"kind": "scale", "axis": "y", "factor": "0.1"}).yy == Fraction(1, 10)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"kind": "scale", "axis": "x", "factor": "0.5"}, "scale by a factor of 0.5 in the x-direction"),
        (TURN, "rotate by 90° counter-clockwise about the origin"),
        ({"kind": "translate", "axis": "y", "by": "-7"}, "shift by -7 in the y-direction"),
        (MIRRORS[0], "reflect in the x-axis"),
        (MIRRORS[3], "reflect in the line y = -x"),
        (MIRRORS[4], "reflect in the line x = -4"),
        (MIRRORS[5], "reflect in the line y = 3"),
    ],
)
def test_every_kind_in_words(operation, words):
    assert describe(operation) == words


def test_empty_operations_and_those_that_undo_the_one_before():
    assert is_empty({"kind": "scale", "axis": "x", "factor": "1"})
    assert is_empty({"kind": "rotate", "angle": 0})
    assert is_empty({"kind": "translate", "axis": "y", "by": "0"})
    assert not any(map(is_empty, [TURN, *MIRRORS]))
    assert undoes(TURN, {"kind": "rotate", "angle": 270})
    assert undoes(
        {"kind": "scale", "axis": "x", "factor": "0.1"}, {"kind": "scale", "axis": "x", "factor": "10"}
    )
    assert undoes(
        {"kind": "translate", "axis": "x", "by": "3"}, {"kind": "translate", "axis": "x", "by": "-3"}
    )
    assert not undoes(TURN, TURN)
    assert not undoes(MIRRORS[4], {"kind": "reflect", "in": "x=k", "k": "4"})


@pytest.mark.parametrize(
    ("operations", "fewest"),
    [
        ([TURN] * 3, 1),
        ([TURN] * 4, 0),
        ([MIRRORS[4], {"kind": "reflect", "in": "x=k", "k": "1"}], 1),
        ([{"kind": "translate", "axis": "x", "by": "9"}, {"kind": "translate", "axis": "x", "by": "8"}], 2),
        ([{"kind": "scale", "axis": "x", "factor": "3"}, {"kind": "scale", "axis": "y", "factor": "3"}], 2),
        ([{"kind": "scale", "axis": "x", "factor": "3"}] * 5, 5),
        ([{"kind": "rotate", "angle": 0}] * 7, 0),
        ([{"kind": "translate", "axis": "y", "by": "25"}], 1),
    ],
)
def test_fewest_operations_of_worked_sequences(operations, fewest):
    assert effective_complexity(operations) == fewest


def test_fewest_operations_equal_an_exhaustive_search_over_matrices():
    chance = Chance(7)
    singles = {}
    for _ in range(20000):
        one = matrix(chance.operation())
        singles[tuple(np.round(one.ravel(), 9) + 0.0)] = one
    singles.pop(tuple(np.eye(3).ravel()))
    assert len(singles) == 2 * (6 + 20 + 21) + 3 + 2
    singles = np.stack(list(singles.values()))
    pairs = (singles[:, None] @ singles[None]).reshape(-1, 3, 3)

    def search(target):
        for count, maps in enumerate((np.eye(3)[None], singles, pairs)):
            if np.isclose(maps, target, atol=1e-9).all((1, 2)).any():
                return count
        rests = np.linalg.inv(singles) @ target
        for rest in rests:
            near = np.abs(pairs[:, :2, 2] - rest[:2, 2]).max(1) < 1e-9
            if near.any() and np.isclose(pairs[near], rest, atol=1e-9).all((1, 2)).any():
                return 3
        return None

    seen = set()
    for _ in range(60):
        operations = chance.operations(longest=5)
        found = search(product(operations))
        seen.add(found)
        assert effective_complexity(operations) == (len(operations) if found is None else found)
    assert seen >= {1, 2, 3, None}


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"kind": "shear"}, "the kinds are scale"),
        ({"kind": "scale", "axis": "x"}, "'factor' missing"),
        ({"kind": "scale", "axis": "z", "factor": "2"}, "the axes are x and y"),
        ({"kind": "scale", "axis": "x", "factor": "0"}, "must be positive"),
        ({"kind": "rotate", "angle": 45}, "the angles are 0, 90"),
        ({"kind": "reflect", "in": "y=2x"}, "the mirrors are"),
        ({"kind": "reflect", "in": "x=k"}, "'k' missing"),
        ({"kind": "translate", "axis": "x", "by": "two"}, "not a decimal"),
    ],
)
def test_what_is_no_operation_is_refused(operation, message):
    with pytest.raises(InputError, match=message):
        compose([operation])

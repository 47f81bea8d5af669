from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm
from worlds import unit

from paperworks.backward_compatible.blend import blend_queries, choose_weight, slerp
from paperworks.errors import InputError

random = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_the_arc_are_the_inputs_bit_for_bit(dtype: type) -> None:
    a, b = random.normal(size=(2, 50, 7)).astype(dtype)
    assert slerp(a, b, 0.0).tobytes() == a.tobytes()
    assert slerp(a, b, 1.0).tobytes() == b.tobytes()
    assert slerp(a, b, 0.5).dtype == dtype


@pytest.mark.parametrize("t", [0.1, 0.5, 0.83])
def test_a_point_of_the_arc_is_the_rotation_by_that_part_of_the_angle(t: float) -> None:
    a, b = unit(random.normal(size=(2, 5)))
    angle = np.arccos(a @ b)
    across = unit((b - (a @ b) * a)[None])[0]
    generator = np.outer(across, a) - np.outer(a, across)
    np.testing.assert_allclose(slerp(a, b, t), expm(t * angle * generator) @ a, atol=1e-14)


def test_the_blend_of_perpendicular_unit_vectors_is_cosine_and_sine() -> None:
    for t in (0.25, 0.5, 0.75):
        expected = [np.cos(t * np.pi / 2), np.sin(t * np.pi / 2)]
        np.testing.assert_allclose(slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), t), expected, atol=1e-15)


@pytest.mark.parametrize("gap", [0.0, 1e-300, 1e-12, 1e-8, 1e-6, 1e-3])
def test_nearly_parallel_and_nearly_antipodal_rows_stay_on_the_arc(gap: float) -> None:
    a = np.array([1.0, 0.0, 0.0])
    near = np.array([np.cos(gap), np.sin(gap), 0.0])
    halfway = slerp(a, near, 0.5)
    np.testing.assert_allclose(halfway, [np.cos(gap / 2), np.sin(gap / 2), 0.0], atol=1e-15)
    opposite = slerp(a, -near, 0.5)
    assert np.isclose(np.linalg.norm(opposite), 1.0, atol=1e-12)
    assert abs(opposite @ a) < gap + 1e-7


def test_exactly_antipodal_rows_take_the_same_half_circle_every_time() -> None:
    a = unit(random.normal(size=(4, 6)))
    path = [slerp(a, -a, t) for t in (0.25, 0.5, 0.75)]
    for t, point in zip((0.25, 0.5, 0.75), path, strict=True):
        np.testing.assert_allclose((point * a).sum(axis=1), np.cos(t * np.pi), atol=1e-12)
    assert np.array_equal(path[1], slerp(a, -a, 0.5))


def test_lengths_are_interpolated_linearly_and_directions_do_not_depend_on_them() -> None:
    a, b = random.normal(size=(2, 9, 5))
    blended = slerp(3 * a, 0.5 * b, 0.3)
    lengths = 0.7 * 3 * np.linalg.norm(a, axis=1) + 0.3 * 0.5 * np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(np.linalg.norm(blended, axis=1), lengths)
    np.testing.assert_allclose(unit(blended), slerp(unit(a), unit(b), 0.3), atol=1e-14)


def test_blended_queries_are_padded_old_ones_at_zero_and_rotated_ones_at_one() -> None:
    old, rotated = unit(random.normal(size=(8, 4))), unit(random.normal(size=(8, 6)))
    assert np.array_equal(blend_queries(old, rotated, 0.0), np.hstack([old, np.zeros((8, 2))]))
    assert blend_queries(old, rotated, 1.0).tobytes() == rotated.tobytes()


def test_the_chosen_weight_is_the_best_of_those_tried_and_ties_lean_to_the_new_model() -> None:
    old, rotated = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    target = np.array([np.cos(0.6 * np.pi / 2), np.sin(0.6 * np.pi / 2)])
    choice = choose_weight(old, rotated, lambda queries: queries @ target)
    assert choice.weight == 0.6
    np.testing.assert_allclose(choice.metric, [np.cos((0.6 - w) * np.pi / 2) for w in choice.weights])
    assert choose_weight(old, rotated, lambda queries: np.ones(len(queries))).weight == 1.0


def test_bad_blends_are_refused() -> None:
    with pytest.raises(InputError, match="lies between 0 and 1"):
        slerp(np.ones(2), np.ones(2), 1.5)
    with pytest.raises(InputError, match="row 1 of the second array is all zero"):
        slerp(np.ones((2, 2)), np.array([[1.0, 1.0], [0.0, 0.0]]), 0.5)
    with pytest.raises(InputError, match="width 3, less than the old model's 4"):
        blend_queries(np.ones((2, 4)), np.ones((2, 3)), 0.5)
    with pytest.raises(InputError, match="same queries"):
        blend_queries(np.ones((2, 4)), np.ones((3, 4)), 0.5)

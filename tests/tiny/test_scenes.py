"""Drawn scenes and the judge that has nothing learned."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from paperworks.errors import InputError
from paperworks.tiny import palette, scenes

N = 240


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, list[scenes.Scene]]:
    return scenes.sample_many(77, N)


def test_a_seed_gives_the_same_scenes(drawn: tuple[np.ndarray, list[scenes.Scene]]) -> None:
    pictures, some = drawn
    assert pictures.shape == (N, scenes.SIZE, scenes.SIZE, 3)
    assert pictures.dtype == np.uint8
    again, same = scenes.sample_many(77, 6)
    assert same == some[:6]
    assert np.array_equal(again, pictures[:6])
    assert scenes.sample(5) != scenes.sample(6)


def test_what_is_held_out_never_comes_together(drawn: tuple[np.ndarray, list[scenes.Scene]]) -> None:
    seen = collections.Counter(one.kind for scene in drawn[1] for one in scene.objects)
    assert not set(scenes.HELD_OUT) & set(seen)
    assert {colour for colour, _ in seen} == set(scenes.COLOURS)
    assert {shape for _, shape in seen} == set(scenes.SHAPES)
    assert len(scenes.kinds()) + len(scenes.kinds(held_out=True)) == 28
    for scene in drawn[1]:
        for colour, shape in scenes.HELD_OUT:
            assert f"{colour} {shape}" not in scene.caption


def test_objects_keep_their_distance(drawn: tuple[np.ndarray, list[scenes.Scene]]) -> None:
    for scene in drawn[1]:
        for number, one in enumerate(scene.objects):
            assert one.x - one.radius > 0
            assert one.x + one.radius < scenes.SIZE
            for other in scene.objects[:number]:
                apart = np.hypot(one.x - other.x, one.y - other.y)
                assert apart >= one.radius + other.radius + scenes.GAP - 1


def test_numbers_in_captions_are_wrong_half_the_time() -> None:
    told: list[tuple[int, int]] = []
    for seed in range(1200):
        scene = scenes.sample(seed, "counted")
        word = scene.caption.split()[3]
        if word in scenes.NUMBERS:
            told.append((scenes.NUMBERS.index(word) + 1, scene.count()))
    assert 0.2 < len(told) / 1200 < 0.4
    assert 0.4 < np.mean([said == true for said, true in told]) < 0.7
    assert max(abs(said - true) for said, true in told) <= 2


def test_the_judge_counts_what_was_drawn() -> None:
    pictures, some = scenes.sample_many(3, 200, "counted")
    assert (palette.count(pictures) == [scene.count() for scene in some]).mean() >= 0.99
    mixed, both = scenes.sample_many(4, 60, "mixed")
    for colour in scenes.COLOURS:
        assert (palette.count(mixed, colour) == [scene.count(colour) for scene in both]).mean() >= 0.98


def test_the_judge_names_what_was_drawn(drawn: tuple[np.ndarray, list[scenes.Scene]]) -> None:
    pictures, some = drawn
    right = [
        sorted(one.kind for one in palette.objects(picture, palette.LEAST))
        == sorted(one.kind for one in scene.objects)
        for picture, scene in zip(pictures, some, strict=True)
    ]
    assert np.mean(right) >= 0.98


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_the_judge_knows_shapes_and_places(shape: str) -> None:
    scene = scenes.Scene((scenes.Object("blue", shape, 20.0, 40.0, 12.0),), ("white",), "")
    (found,) = palette.objects(np.asarray(scene.draw()))
    assert found.kind == ("blue", shape)
    assert found.fit > 0.85
    assert abs(found.x - 20) < 1.5
    assert abs(found.y - 40) < 4


def test_one_large_component_stands_for_several() -> None:
    picture = np.full((64, 64, 3), 255, np.uint8)
    for x in (4, 20, 36):
        picture[4:14, x : x + 10] = scenes.COLOURS["red"]
    assert palette.count(picture[None])[0] == 3
    picture[30:40, 4:24] = scenes.COLOURS["red"]
    assert palette.count(picture[None])[0] == 5
    assert not palette.is_valid(picture)
    picture[50:53, 50:53] = scenes.COLOURS["red"]  # too few pixels
    assert palette.count(picture[None])[0] == 5
    assert palette.count(picture[None], "blue")[0] == 0


def test_a_rim_is_no_object() -> None:
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[10:30, 10:12] = (255, 190, 90)  # nearest to orange, true to nothing
    assert palette.count(picture[None])[0] == 0
    assert palette.objects(picture, 10) == []
    assert 0.98 < palette.truth_to_palette(picture) < 1


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="no colour is called 'mauve'"):
        palette.count(np.zeros((1, 8, 8, 3), np.uint8), "mauve")
    with pytest.raises(InputError, match="uint8"):
        palette.count(np.zeros((1, 8, 8, 3)))
    with pytest.raises(InputError, match="no sort"):
        scenes.sample(0, "landscape")
    with pytest.raises(InputError, match="do not fit"):
        scenes.counted(("red", "circle"), 9, np.random.default_rng(0), radius=14.0)

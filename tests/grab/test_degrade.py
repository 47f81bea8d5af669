"""Degradations: the dial, the key, the identity."""

import io

import numpy as np
import pytest
from PIL import Image

from paperworks.errors import InputError
from paperworks.grab.degrade import KINDS, degrade, parse


@pytest.fixture(scope="module")
def picture():
    """A square, a bar and a diagonal on white, 160 × 200."""
    pixels = np.full((160, 200, 3), 255, dtype=np.uint8)
    pixels[20:60, 30:70] = (200, 30, 30)
    pixels[100:103, 20:180] = 0
    for k in range(120):
        pixels[k + 20, k + 40] = (20, 20, 160)
    return pixels


def distance(one, other):
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_severity_zero_changes_nothing(picture, kind):
    result = degrade(picture, kind, 0, "a")
    assert np.array_equal(result, picture)
    assert result is not picture


@pytest.mark.parametrize("kind", KINDS)
def test_same_key_same_pixels_and_the_picture_stays(picture, kind):
    before = picture.copy()
    one, two = degrade(picture, kind, 0.6, "a"), degrade(picture, kind, 0.6, "a")
    assert one.shape == picture.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert not np.array_equal(one, picture)
    assert np.array_equal(before, picture)


@pytest.mark.parametrize("kind", ["perspective", "screenshot", "paper"])
def test_another_key_another_picture(picture, kind):
    assert not np.array_equal(degrade(picture, kind, 0.6, "a"), degrade(picture, kind, 0.6, "b"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "flip"])
def test_more_severe_is_further_from_the_picture(picture, kind):
    distances = [distance(degrade(picture, kind, severity, "a"), picture) for severity in (0.15, 0.5, 1)]
    assert distances == sorted(distances)
    assert distances[0] < 0.8 * distances[2]


def test_blur_is_a_gaussian_of_the_stated_width(picture):
    point = np.full((121, 600, 3), 255, dtype=np.uint8)
    point[:, 300] = 0
    dark = 255.0 - degrade(point, "blur", 0.5, "a")[60, :, 0]
    offsets = np.arange(600) - (np.arange(600) * dark).sum() / dark.sum()
    assert np.sqrt((offsets**2 * dark).sum() / dark.sum()) == pytest.approx(2.0, rel=0.15)


def test_flip_mirrors_everything(picture):
    assert np.array_equal(degrade(picture, "flip", 0.2, "a"), picture[:, ::-1])
    assert np.array_equal(degrade(picture, "flip", 0.5, "a"), picture[::-1])
    assert np.array_equal(degrade(picture, "flip", 1, "a"), picture[::-1, ::-1])


def test_jpeg_is_that_of_the_stated_quality(picture):
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=50, subsampling=2)
    assert np.array_equal(degrade(picture, "jpeg", 0.5, "a"), np.asarray(Image.open(stored)))


def test_perspective_keeps_the_whole_picture(picture):
    """The four corners are coloured; each colour is still there at the highest severity."""
    marked = picture.copy()
    for rows, columns, channel in ((0, 0, 0), (0, 180, 1), (140, 0, 2)):
        marked[rows : rows + 20, columns : columns + 20] = np.eye(3, dtype=np.uint8)[channel] * 255
    for key in range(5):
        seen = degrade(marked, "perspective", 1, key).astype(int)
        for channel in range(3):
            pure = (seen[..., channel] > 200) & (np.delete(seen, channel, axis=2) < 60).all(2)
            assert 60 < pure.sum() < 440


def test_kind_and_severity_as_one_word():
    assert parse("blur") == ("blur", 0.5)
    assert parse("paper:0.25") == ("paper", 0.25)


@pytest.mark.parametrize("text", ["fog", "blur:2", "blur:x"])
def test_a_bad_word_is_refused(text):
    with pytest.raises(InputError):
        parse(text)


def test_bad_input_is_refused(picture):
    with pytest.raises(InputError, match="give one of blur"):
        degrade(picture, "fog", 0.5, "a")
    with pytest.raises(InputError, match="severity"):
        degrade(picture, "blur", 1.5, "a")
    with pytest.raises(InputError, match="uint8"):
        degrade(picture[..., 0], "blur", 0.5, "a")

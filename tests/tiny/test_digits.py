import numpy as np
import pytest
from sklearn import datasets

from paperworks.errors import InputError
from paperworks.tiny.digits import augment, load_digits


def test_the_halves_share_every_digit_equally_and_together_are_the_set():
    halves = load_digits(seed=3)
    train, test = (np.bincount(half.labels, minlength=10) for half in (halves.train, halves.test))
    assert np.abs(train - test).max() <= 1
    both = np.concatenate([halves.train.images, halves.test.images]).reshape(-1, 64)
    whole = (datasets.load_digits().data / 16).astype(np.float32)
    assert both.dtype == np.float32
    assert sorted(map(bytes, both)) == sorted(map(bytes, whole))


def test_images_keep_their_labels():
    train = load_digits().train
    data, target = datasets.load_digits(return_X_y=True)
    known = dict(zip(map(bytes, (data / 16).astype(np.float32)), target, strict=True))
    assert [known[bytes(image)] for image in train.images.reshape(-1, 64)] == train.labels.tolist()


def test_the_seed_decides_the_split():
    first, again, other = load_digits(1), load_digits(1), load_digits(2)
    assert np.array_equal(first.train.images, again.train.images)
    assert not np.array_equal(first.train.labels, other.train.labels)


def test_only_some_classes():
    some = load_digits().train.only(range(5))
    assert set(some.labels) == set(range(5))
    with pytest.raises(InputError, match=r"\[11\]"):
        load_digits().train.only([3, 11])


def test_augmentation_without_noise_moves_each_image_and_fills_with_zeros():
    images = np.arange(1, 2 * 64 + 1, dtype=np.float32).reshape(2, 1, 8, 8)
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(30):
        for image, moved in zip(images, augment(images, random, noise=0.0), strict=True):
            matches = []
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    expected = np.zeros((10, 10), np.float32)
                    expected[1 + down : 9 + down, 1 + right : 9 + right] = image[0]
                    if np.array_equal(expected[1:9, 1:9], moved[0]):
                        matches.append((down, right))
            assert len(matches) == 1
            seen |= set(matches)
    assert len(seen) == 9


def test_noise_has_the_asked_standard_deviation_and_follows_the_seed():
    images = np.zeros((500, 1, 8, 8), np.float32)
    noisy = augment(images, np.random.default_rng(0), noise=0.1)
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    assert np.array_equal(noisy, augment(images, np.random.default_rng(0), noise=0.1))
    with pytest.raises(InputError):
        augment(images, np.random.default_rng(0), shift=-1)

"""Random changes of training images."""

from collections import Counter

import numpy as np
import pytest

from searchcnn.data import Augmentation

IMAGE = np.arange(1, 25, dtype=np.uint8).reshape(1, 4, 3, 2)  # height 4, width 3, two channels
MANY = np.repeat(IMAGE, 400, axis=0)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_is_changed_by_default() -> None:
    assert not Augmentation()
    assert np.array_equal(Augmentation()(MANY, random()), MANY)


def test_half_of_the_images_are_mirrored() -> None:
    changed = Augmentation(flip=True)(MANY, random())
    mirrored = [bool((image == IMAGE[0, :, ::-1]).all()) for image in changed]
    plain = [bool((image == IMAGE[0]).all()) for image in changed]
    assert all(a != b for a, b in zip(mirrored, plain, strict=True))
    assert 150 < sum(mirrored) < 250


def test_shifts_are_even_and_repeat_the_edge() -> None:
    changed = Augmentation(shift=0.5)(MANY, random())  # by at most two rows and, rounded to even, two columns
    padded = np.pad(IMAGE[0], ((2, 2), (2, 2), (0, 0)), mode="edge")
    places = {(row, column): padded[row : row + 4, column : column + 3] for row in range(5) for column in range(5)}
    seen = Counter(place for image in changed for place, moved in places.items() if np.array_equal(image, moved))
    assert sum(seen.values()) == 400
    assert len(seen) == 25
    assert max(seen.values()) < 40


@pytest.mark.parametrize("augmentation", [Augmentation(flip=True, shift=0.3), Augmentation(shift=0.9)])
def test_changes_come_from_the_seed(augmentation: Augmentation) -> None:
    first, again, other = (augmentation(MANY, random(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == MANY.shape
    assert first.dtype == np.uint8

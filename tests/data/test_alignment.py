"""Aligned images: the same things are at the same place in all of them."""

import numpy as np
import pytest

from searchcnn.data import Dataset
from searchcnn.data.alignment import is_aligned, measure_alignment


def test_digits_are_aligned(digits: Dataset) -> None:
    assert is_aligned(digits.train.images)


def test_noise_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 3), np.uint8)
    assert measure_alignment(noise) == pytest.approx(0.0, abs=0.001)
    assert not is_aligned(noise)
    assert not is_aligned(noise[:4])  # few images explain much of each other by chance
    assert not is_aligned(noise[:1])


def test_images_may_be_sorted_by_class() -> None:
    random = np.random.default_rng(0)
    alike = np.tile(random.integers(0, 256, (1, 8, 8, 1), np.uint8), (2000, 1, 1, 1))
    others = random.integers(0, 256, (18_000, 8, 8, 1), np.uint8)
    assert not is_aligned(np.concatenate([alike, others]))


def test_digits_that_are_moved_far_are_not(digits: Dataset) -> None:
    random, images = np.random.default_rng(0), digits.train.images[:]
    moved = np.stack([np.roll(image, random.integers(0, 8, 2), (0, 1)) for image in images])
    assert not is_aligned(moved)


def test_images_that_are_all_alike_are_aligned_and_empty_ones_are_not() -> None:
    same = np.tile(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), (5, 1, 1, 1))
    assert measure_alignment(same) == pytest.approx(1.0)
    assert measure_alignment(np.zeros((5, 4, 4, 1), np.uint8)) == 0.0

"""Random changes of training images."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from searchcnn.augmentation import Augmentation, _make_transforms, apply, gather, mix
from searchcnn.backend import start_keras

start_keras()

import keras  # noqa: E402

IMAGE = np.arange(1, 25, dtype=np.uint8).reshape(1, 4, 3, 2)  # height 4, width 3, two channels
MANY = np.repeat(IMAGE, 400, axis=0)
NOISE = np.random.default_rng(1).integers(0, 256, (400, 12, 12, 3), dtype=np.uint8)
ALL = Augmentation(flip=True, shift=0.3, rotation=30.0, zoom=0.2, contrast=0.5, cutout=0.4, mixup=0.4)


def make_random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def move(images: Any, degrees: float = 0.0, size: float = 1.0) -> Any:
    """Returns images that are rotated and enlarged by given amounts."""
    angles, sizes = np.full(len(images), np.deg2rad(degrees)), np.full(len(images), size)
    drawn = {"transforms": _make_transforms(angles, sizes, *images.shape[1:3])}
    return keras.ops.convert_to_numpy(apply(images, drawn))


def test_nothing_is_changed_by_default() -> None:
    assert not Augmentation()
    assert np.array_equal(Augmentation().change(MANY, make_random()), MANY)


def test_half_of_the_images_are_mirrored() -> None:
    changed = Augmentation(flip=True).change(MANY, make_random())
    mirrored = [bool((image == IMAGE[0, :, ::-1]).all()) for image in changed]
    plain = [bool((image == IMAGE[0]).all()) for image in changed]
    assert all(a != b for a, b in zip(mirrored, plain, strict=True))
    assert 150 < sum(mirrored) < 250


def test_shifts_are_even_and_repeat_the_edge() -> None:
    changed = Augmentation(shift=0.5).change(
        MANY, make_random()
    )  # by at most two rows and, rounded to even, two columns
    padded = np.pad(IMAGE[0], ((2, 2), (2, 2), (0, 0)), mode="edge")
    places = {(row, column): padded[row : row + 4, column : column + 3] for row in range(5) for column in range(5)}
    seen = Counter(place for image in changed for place, moved in places.items() if np.array_equal(image, moved))
    assert sum(seen.values()) == 400
    assert len(seen) == 25
    assert max(seen.values()) < 40


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_a_rotation_by_right_angles_is_exact(degrees: int) -> None:
    expected = np.rot90(NOISE, degrees // 90, axes=(1, 2))
    np.testing.assert_allclose(move(NOISE, degrees), expected, atol=0.01)


def test_a_rotation_repeats_the_edge_and_keeps_the_centre() -> None:
    image = np.full((1, 9, 9, 1), 200, np.uint8)
    np.testing.assert_allclose(move(image, 45.0), image, atol=1e-3)
    image[0, 4, 4] = 0
    assert move(image, 37.0)[0, 4, 4, 0] < 1


@pytest.mark.parametrize(("size", "side"), [(1.0, 5), (2.0, 9), (3.0, 15), (0.6, 3)])
def test_zoom_changes_the_size(size: float, side: int) -> None:
    image = np.zeros((1, 21, 21, 1), np.uint8)
    image[0, 8:13, 8:13] = 255  # 5 x 5
    zoomed = move(image, size=size)[0, ..., 0] > 140
    edge = (21 - side) // 2
    assert zoomed[10].sum() == zoomed[10, edge:-edge].sum() == zoomed[edge:-edge, 10].sum() == side


def test_angles_and_sizes_are_even() -> None:
    matrices = Augmentation(rotation=30.0, zoom=0.5).draw(NOISE.shape, make_random())["transforms"][:, [0, 1]]
    angles, sizes = np.rad2deg(np.arctan2(-matrices[:, 1], matrices[:, 0])), 1 / np.linalg.norm(matrices, axis=1)
    for numbers, mean, reach in ((angles, 0.0, 30.0), (sizes, 1.0, 0.5)):
        assert abs(numbers - mean).max() <= reach * 1.0001
        assert numbers.mean() == pytest.approx(mean, abs=reach / 10)
        assert abs(numbers - mean).mean() == pytest.approx(reach / 2, rel=0.1)


def test_contrast_keeps_each_channel_s_mean() -> None:
    grey = (NOISE // 4 + 96).astype(np.float32)  # nothing is cut off
    drawn = Augmentation(contrast=0.5).draw(grey.shape, make_random())
    changed = keras.ops.convert_to_numpy(apply(grey, drawn))
    np.testing.assert_allclose(changed.mean((1, 2)), grey.mean((1, 2)), rtol=1e-4)
    factors = changed.std((1, 2, 3)) / grey.std((1, 2, 3))
    np.testing.assert_allclose(
        changed.std((1, 2)) / grey.std((1, 2)), drawn["contrasts"][:, None].repeat(3, 1), rtol=1e-4
    )
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.51


def test_a_square_is_hidden_behind_the_mean() -> None:
    images = NOISE[:, :, :9]  # height 12, width 9: a third is 3 pixels
    drawn = Augmentation(cutout=1 / 3).draw(images.shape, make_random())
    changed = keras.ops.convert_to_numpy(apply(images, drawn))
    for image, new, (top, bottom, left, right) in zip(images, changed, drawn["holes"], strict=True):
        assert (bottom - top, right - left) == (3, 3)
        hidden = np.zeros(image.shape[:2], bool)
        hidden[max(top, 0) : bottom, max(left, 0) : right] = True
        np.testing.assert_array_equal(new[~hidden], image[~hidden])
        np.testing.assert_allclose(new[hidden], np.tile(image.mean((0, 1)), (hidden.sum(), 1)), rtol=1e-5)
    centres = Counter((int(top) + 1, int(left) + 1) for top, _, left, _ in drawn["holes"])
    assert {row for row, _ in centres} == set(range(12))
    assert {column for _, column in centres} == set(range(9))


def test_blends_are_of_pairs() -> None:
    drawn = Augmentation(mixup=0.2).draw(NOISE.shape, make_random())
    changed = keras.ops.convert_to_numpy(mix(apply(NOISE, drawn), drawn))
    share = drawn["shares"][:, None, None, None]
    np.testing.assert_allclose(changed, share * NOISE + (1 - share) * NOISE[drawn["partners"]], rtol=1e-4, atol=1e-2)
    assert sorted(drawn["partners"]) == list(range(400))
    assert drawn["shares"].mean() == pytest.approx(0.5, abs=0.1)
    assert drawn["shares"].var() == pytest.approx(0.25 / (2 * 0.2 + 1), rel=0.15)  # of Beta(0.2, 0.2)


@pytest.mark.parametrize("augmentation", [Augmentation(flip=True, shift=0.3), Augmentation(shift=0.9), ALL])
def test_changes_come_from_the_seed(augmentation: Augmentation) -> None:
    first, again, other = (augmentation.change(MANY, make_random(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == MANY.shape
    assert first.dtype == np.uint8


@pytest.mark.parametrize("changes", [{}, {"shift": 0.3}, {"flip": True}, {"flip": True, "shift": 0.2}])
def test_images_are_moved_in_the_same_way_where_the_backend_gathers_them(changes: Any) -> None:
    augmentation, indices = Augmentation(**changes), np.array([3, 0, 3, 5])
    draws = augmentation.draw_moves((len(indices), *NOISE.shape[1:]), make_random())
    expected = augmentation.move(NOISE[indices], make_random())
    np.testing.assert_array_equal(gather(NOISE, indices, draws), expected)

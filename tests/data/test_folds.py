"""Few images divided several ways."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from searchcnn.data import Fold, Split, make_folds

SEED = 3


def make_split(labels: list[int], copies: dict[int, int] | None = None) -> Split:
    """Returns different images of classes, except for copies: their indices, and those of the originals."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 6, 5, 3), dtype=np.uint8)
    for index, original in (copies or {}).items():
        pixels[index] = pixels[original]
    return Split(pixels, np.array(labels))


MANY = make_split([0] * 40 + [1] * 20 + [2] * 10)


def list_indices(folds: list[Fold]) -> list[list[list[int]]]:
    return [[fold.fitted.tolist(), fold.measured.tolist()] for fold in folds]


def check(folds: list[Fold], split: Split) -> None:
    """Each image is measured once, and never by what is fitted to it."""
    assert sorted(np.concatenate([fold.measured for fold in folds])) == list(range(len(split)))
    for fold in folds:
        assert sorted(np.concatenate(fold)) == list(range(len(split)))


@pytest.mark.parametrize("count", [2, 5, 10])
def test_each_image_is_measured_once_and_each_class_has_its_share(count: int) -> None:
    folds = make_folds(MANY, count, SEED)
    assert len(folds) == count
    check(folds, MANY)
    for fold in folds:
        of_classes = np.bincount(MANY.labels[fold.measured], minlength=3)
        assert of_classes.tolist() == [40 // count, 20 // count, 10 // count]


def test_copies_stay_together() -> None:
    """They would be measured by what is fitted to them."""
    copies = {5: 0, 9: 0, 45: 41, 44: 43, 69: 61}
    split = make_split(MANY.labels.tolist(), copies)
    folds = make_folds(split, 5, SEED)
    check(folds, split)
    for copy, original in copies.items():
        assert [copy in fold.measured for fold in folds] == [original in fold.measured for fold in folds]
    apart = make_folds(MANY, 5, SEED)
    assert any(copy in fold.measured and original in fold.fitted for copy, original in copies.items() for fold in apart)


def test_images_of_the_same_pixels_in_other_places_are_no_copies() -> None:
    split = make_split(MANY.labels.tolist())
    split.images[1] = split.images[0][::-1]
    assert list_indices(make_folds(split, 5, SEED)) == list_indices(make_folds(MANY, 5, SEED))


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_another_process_makes_the_same(seed: int) -> None:
    script = (
        "import numpy as np\n"
        "from searchcnn.data import Split, make_folds\n"
        "pixels = np.random.default_rng(0).integers(0, 256, (70, 6, 5, 3), dtype=np.uint8)\n"
        "split = Split(pixels, np.array([0] * 40 + [1] * 20 + [2] * 10))\n"
        f"print([[part.tolist() for part in fold] for fold in make_folds(split, 5, {seed})])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(list_indices(make_folds(MANY, 5, seed)))


def test_another_seed_divides_otherwise() -> None:
    divided = [str(list_indices(make_folds(MANY, 5, seed))) for seed in range(3)]
    assert all(first != second for first, second in pairwise(divided))


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        ([0, 0, 0, 1, 1, 1], 3),  # fewer images of each class than folds
        ([0] * 9 + [1], 5),
        ([0] * 9 + [1, 2, 3], 5),
        ([0, 0, 1, 1], 2),
        ([0, 0, 1], 2),
    ],
)
def test_fewer_images_of_a_class_than_folds(labels: list[int], count: int) -> None:
    split = make_split(labels)
    folds = make_folds(split, 5, SEED)
    assert len(folds) == count
    check(folds, split)
    assert all(len(fold.measured) for fold in folds)

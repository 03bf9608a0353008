"""The picture of a dataset."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from searchcnn.data import Dataset, Inspection
from searchcnn.data.dataset import Split
from searchcnn.views import picture
from searchcnn.views.picture import COLOURS, MARGIN, WIDTH, draw_dataset


def make_dataset(few: Dataset, classes: int, shape: tuple[int, int, int], count: int = 90) -> Dataset:
    """Returns grey images of some classes; the lightness of each depends on its class."""
    labels = np.arange(count) % classes
    pixels = np.broadcast_to(
        (labels * 255 // max(1, classes - 1)).astype(np.uint8)[:, None, None, None], (count, *shape)
    )
    names = tuple(f"kind {label}" for label in range(classes))
    counts = dict(zip(names, np.bincount(labels).tolist(), strict=True))
    report = Inspection("here", shape, "crop", [(20, 30), (40, 40), (90, 80)], {"train": counts}, [], [])
    return replace(few, class_names=names, train=Split(pixels, labels), sizes=make_sizes(), inspection=report)


def make_sizes(count: int = 90, spread: int = 40) -> Any:
    return np.random.default_rng(0).integers(20, 21 + spread, (count, 2)).astype(np.int32)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (64, 96, 3), (160, 160, 3), (224, 96, 3), (1, 1, 1)])
def test_images_of_any_shape_are_drawn(few: Dataset, shape: tuple[int, int, int]) -> None:
    image = draw_dataset(make_dataset(few, 3, shape))
    assert image.width == WIDTH
    assert image.height < 2000


@pytest.mark.parametrize("classes", [2, 12, 13, 30, 31, 90])
def test_any_number_of_classes_is_drawn(few: Dataset, classes: int) -> None:
    assert draw_dataset(make_dataset(few, classes, (8, 8, 1))).height < 3000


def test_nothing_reaches_the_edge(few: Dataset) -> None:
    names = tuple(f"a very long name of the class of number {label}" for label in range(5))
    long = replace(make_dataset(few, 5, (28, 28, 1)), class_names=names, name="a long name " * 9)
    counts = {"train": dict.fromkeys(names, 1_000_000)}
    image = draw_dataset(replace(long, inspection=replace(long.inspection, counts=counts)))
    empty = Image.new("RGB", image.size, "white")
    left, top, right, bottom = ImageChops.difference(image, empty).getbbox() or (0, 0, 0, 0)
    assert left >= MARGIN - 4
    assert top >= MARGIN - 4
    assert right <= WIDTH - MARGIN + 4
    assert bottom <= image.height - MARGIN + 4


def test_the_images_of_each_class_are_in_its_row(few: Dataset) -> None:
    pixels = np.asarray(draw_dataset(make_dataset(few, 3, (32, 32, 1))).convert("L"))
    column = pixels[:, MARGIN + picture.LABELS + 40]
    rows = [int(np.argmax(column == lightness)) for lightness in (0, 127)]
    assert 0 < rows[0] < rows[1]


def test_bars_have_the_colours_of_their_parts(few: Dataset) -> None:
    dataset = make_dataset(few, 3, (32, 32, 1))
    counts = {part: dict.fromkeys(dataset.class_names, 50) for part in COLOURS}
    dataset = replace(dataset, sizes=make_sizes(spread=0), inspection=replace(dataset.inspection, counts=counts))
    pixels = np.asarray(draw_dataset(dataset))
    areas = [np.count_nonzero((pixels == tuple(bytes.fromhex(colour[1:]))).all(axis=-1)) for colour in COLOURS.values()]
    assert min(areas) > 0.98 * max(areas)

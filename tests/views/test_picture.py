"""The picture of a dataset."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from searchcnn.data import Dataset, Inspection
from searchcnn.data.dataset import Split
from searchcnn.views import picture
from searchcnn.views.picture import COLOURS, MARGIN, WIDTH, draw_dataset, is_signed, save_picture


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


def draw(dataset: Dataset) -> Image.Image:
    """Returns the picture as it is written."""
    file = io.BytesIO()
    save_picture(draw_dataset(dataset), file)
    return Image.open(file).convert("RGB")


def find_sizes(dataset: Dataset) -> Any:
    """Returns the axes that show the sizes."""
    return draw_dataset(dataset).axes[3]


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (64, 96, 3), (160, 160, 3), (224, 96, 3), (1, 1, 1)])
def test_images_of_any_shape_are_drawn(few: Dataset, shape: tuple[int, int, int]) -> None:
    image = draw(make_dataset(few, 3, shape))
    assert image.width == WIDTH
    assert image.height < 2000


@pytest.mark.parametrize("classes", [2, 12, 13, 30, 31, 90])
def test_any_number_of_classes_is_drawn(few: Dataset, classes: int) -> None:
    assert draw(make_dataset(few, classes, (8, 8, 1))).height < 3000


def test_nothing_reaches_the_edge(few: Dataset) -> None:
    names = tuple(f"a very long name of the class of number {label}" for label in range(5))
    long = replace(make_dataset(few, 5, (28, 28, 1)), class_names=names, name="a long name " * 9)
    counts = {"train": dict.fromkeys(names, 1_000_000)}
    image = draw(replace(long, inspection=replace(long.inspection, counts=counts)))
    empty = Image.new("RGB", image.size, "white")
    left, top, right, bottom = ImageChops.difference(image, empty).getbbox() or (0, 0, 0, 0)
    assert left >= MARGIN - 4
    assert top >= MARGIN - 4
    assert right <= WIDTH - MARGIN + 4
    assert bottom <= image.height - MARGIN + 4


def test_the_images_of_each_class_are_in_its_row(few: Dataset) -> None:
    pixels = np.asarray(draw(make_dataset(few, 3, (32, 32, 1))).convert("L"))
    column = pixels[:, MARGIN + picture.NAMES + 40]
    rows = [int(np.argmax(column == lightness)) for lightness in (0, 127)]
    assert 0 < rows[0] < rows[1]


def test_bars_have_the_colours_of_their_parts(few: Dataset) -> None:
    dataset = make_dataset(few, 3, (32, 32, 1))
    counts = {part: dict.fromkeys(dataset.class_names, 50) for part in COLOURS}
    dataset = replace(dataset, sizes=make_sizes(spread=0), inspection=replace(dataset.inspection, counts=counts))
    pixels = np.asarray(draw(dataset))
    areas = [np.count_nonzero((pixels == tuple(bytes.fromhex(colour[1:]))).all(axis=-1)) for colour in COLOURS.values()]
    assert min(areas) > 0.98 * max(areas)


def test_images_are_drawn_pixel_for_pixel(few: Dataset) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 44, 44, 3)).astype(np.uint8)
    dataset = replace(make_dataset(few, 2, (44, 44, 3), 2), train=Split(pixels, np.arange(2)))
    drawn = np.asarray(draw(dataset))
    left, enlarged = MARGIN + picture.NAMES, pixels.repeat(2, axis=1).repeat(2, axis=2)
    for row, image in enumerate(enlarged):
        top = picture.ABOVE + row * (88 + picture.GAP)
        np.testing.assert_array_equal(drawn[top : top + 88, left : left + 88], image)


def test_a_size_that_nearly_all_images_have_is_seen_and_so_are_the_others(few: Dataset) -> None:
    sizes = np.array([[100, 100]] * 400 + [[3024, 3024], [2000, 3024]], np.int32)
    axes = find_sizes(replace(make_dataset(few, 3, (96, 96, 3)), sizes=sizes))
    (points,) = axes.collections
    places, areas = (
        axes.transAxes.inverted().transform(axes.transData.transform(points.get_offsets())),
        points.get_sizes(),
    )
    assert places.min() > 0.04
    assert places.max() < 0.96
    assert areas.max() > 10 * areas.min()
    assert "400 of 402 have 100x100" in axes.get_title("right")
    assert len(axes.get_xticks()) > 3


def test_sizes_that_are_all_the_same_are_said(few: Dataset) -> None:
    axes = find_sizes(replace(make_dataset(few, 3, (8, 8, 3)), sizes=make_sizes(spread=0)))
    assert axes.get_title("right") == "all images 20x20; networks get 8x8"
    assert not axes.collections


def test_names_are_drawn_as_they_are_without_a_warning(few: Dataset) -> None:
    names = (r"$\nope$ & <b>", "Кошка", "a \U0010fffd", "name of a class that is far too long")
    dataset = make_dataset(few, 4, (8, 8, 3))
    counts = {"train": dict.fromkeys(names, 5)}
    figure = draw_dataset(replace(dataset, class_names=names, inspection=replace(dataset.inspection, counts=counts)))
    samples, _, bars, _ = figure.axes
    written = [text.get_text() for text in bars.get_yticklabels()]
    assert written == [r"$\nope$ & <b>", "Кошка", "a □", "name of a class tha…"]
    assert samples.get_title("right") == "□: a letter that no installed font has"
    save_picture(figure, io.BytesIO())  # a warning is an error


def test_the_style_of_a_notebook_does_not_reach_it(few: Dataset) -> None:
    import matplotlib

    dataset = make_dataset(few, 3, (8, 8, 1))
    plain = draw(dataset)
    style: Any = {"axes.facecolor": "black", "axes.grid": True, "savefig.dpi": 300, "figure.autolayout": True}
    with matplotlib.rc_context(style):
        assert ImageChops.difference(draw(dataset), plain).getbbox() is None


def test_is_recognised(few: Dataset, tmp_path: Path) -> None:
    save_picture(draw_dataset(make_dataset(few, 2, (8, 8, 1))), tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    assert [is_signed(tmp_path / name) for name in ("a.png", "b.png", "missing.png")] == [True, False, False]


@pytest.mark.slow
def test_changes_nothing_that_others_draw() -> None:
    code = """
import sys
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig
from searchcnn.views.picture import draw_dataset
assert "matplotlib" not in sys.modules
import matplotlib
get_settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
before = get_settings()
draw_dataset(load_dataset(DataConfig(name="digits"), 0))
assert get_settings() == before
from matplotlib import pyplot
assert pyplot.get_fignums() == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

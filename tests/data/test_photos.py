"""Photos are told from drawings, scans and icons, of any size and however they were saved."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from searchcnn.data import ImagesInspected, Inspection, Preparation, explain_why_not_photos
from searchcnn.data.dataset import Mapped
from searchcnn.data.photos import MIN_PHOTO_COLOURS, MIN_PHOTO_SIDE, SAMPLED_IMAGES, count_colours
from searchcnn.events import decode, encode
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig

REAL = Path(os.environ.get("SEARCHCNN_DATA", Path(__file__).parents[3] / "shared" / "data"))
"""Where real sets are, if anywhere: `machine` hides it from the tests."""
COUNT = 12

Size = tuple[int, int]
Paint = Callable[[int, Size], Image.Image]


def photo(seed: int, size: Size = (160, 200)) -> Image.Image:
    """Paints soft light of several colours, texture, and a sensor's noise."""
    random, (height, width) = np.random.default_rng(seed), size
    layers = [random.integers(0, 256, (steps, steps, 3), dtype=np.uint8) for steps in (3, 8, 30)]
    smooth = [np.asarray(Image.fromarray(layer).resize((width, height), Image.Resampling.BICUBIC)) for layer in layers]
    light = np.average(smooth, axis=0, weights=(5, 2, 1)) + random.normal(0, 4, (height, width, 3))
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


def dark(seed: int, size: Size = (160, 200)) -> Image.Image:
    return Image.fromarray(np.asarray(photo(seed, size)) // 4)


def drawing(seed: int, size: Size = (160, 200)) -> Image.Image:
    """Draws shapes in flat colours on white, with soft edges."""
    random, (height, width) = np.random.default_rng(seed), size
    image = Image.new("RGB", (4 * width, 4 * height), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x, y = int(random.integers(0, 3 * width)), int(random.integers(0, 3 * height))
        box, fill = (x, y, x + width, y + height), tuple(map(int, random.integers(0, 256, 3)))
        (pen.ellipse if random.random() < 0.5 else pen.rectangle)(box, fill, "black", max(1, width // 16))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def grey(seed: int, size: Size = (160, 200)) -> Image.Image:
    return photo(seed, size).convert("L")


def scan(seed: int, size: Size = (160, 200)) -> Image.Image:
    """Scans a grey photo with a scanner that saves colours."""
    return grey(seed, size).convert("RGB")


def page(seed: int, size: Size = (160, 200)) -> Image.Image:
    """Scans a yellowish page of print with a noisy scanner."""
    random, (height, width) = np.random.default_rng(seed), size
    image = Image.new("RGB", (width, height), (240, 236, 222))
    text = "\n".join("".join(map(chr, random.integers(97, 123, width // 5))) for _ in range(height // 16))
    ImageDraw.Draw(image).text((5, 5), text, (50, 45, 45))
    noise = random.normal(0, 3, (height, width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def icon(seed: int, size: Size = (160, 200)) -> Image.Image:
    """Draws a shaded ball on a transparent ground, as the reader shows it: on white."""
    height, width = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = np.sqrt((1 - x**2 - y**2 / 0.8).clip(0))[..., None] * np.random.default_rng(seed).integers(64, 256, 3)
    return Image.fromarray(np.where(light > 0, light, 255).astype(np.uint8))


def saved(image: Image.Image, quality: int | None) -> Image.Image:
    if quality is None:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def prepared(paint: Paint, size: Size, side: int = 128, quality: int | None = None) -> npt.NDArray[np.uint8]:
    preparation = Preparation(side, side, 3)
    return np.stack([preparation.apply(saved(paint(seed, size), quality)) for seed in range(COUNT)])


def write(folder: Path, paint: Paint, size: Size, kind: str = "jpg") -> Path:
    """Writes two classes of images; returns the folder."""
    for seed in range(2 * COUNT):
        path = folder / f"class{seed % 2}"
        path.mkdir(parents=True, exist_ok=True)
        paint(seed, size).save(path / f"{seed}.{kind}")
    return folder


def inspect(path: Path, **settings: Any) -> Inspection:
    return load_dataset(DataConfig(path=str(path), **settings), 0).inspection


class TestCount:
    @pytest.mark.parametrize("colours", [1, 2, 4, 16])
    def test_colours_of_equal_areas(self, colours: int) -> None:
        steps = (40 + np.arange(64) * colours // 64 * (200 // max(1, colours - 1))).astype(np.uint8)
        image = np.broadcast_to(steps[:, None, None], (64, 64, 3))
        assert count_colours(image[None]) == pytest.approx(colours)

    def test_a_colour_counts_as_much_as_it_is_used(self) -> None:
        image = np.full((32, 32, 3), 255, np.uint8)
        image[0] = np.random.default_rng(0).integers(0, 256, (32, 3))
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 30
        assert 1 < count_colours(image[None]) < 2

    def test_grey_has_as_many_as_it_has_levels(self) -> None:
        grey = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
        assert count_colours(grey) == pytest.approx(32, abs=2)
        assert count_colours(np.repeat(grey, 3, axis=3)) == pytest.approx(count_colours(grey), rel=0.01)

    def test_the_median_image_counts(self) -> None:
        plain = np.zeros((2, 40, 40, 3), np.uint8)
        rich = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
        assert count_colours(np.concatenate([plain, rich])) > 500
        assert count_colours(np.concatenate([plain, rich[:1]])) == 1

    def test_a_sample_is_taken_evenly_from_all(self) -> None:
        rich = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
        few, rows = np.concatenate([np.zeros_like(rich), rich]), np.zeros(10 * SAMPLED_IMAGES, np.int64)
        rows[-6 * SAMPLED_IMAGES :] = 1
        assert count_colours(Mapped(few, rows)) > 50
        assert count_colours(Mapped(few, rows[::-1].copy())) > 50
        assert count_colours(Mapped(few, 1 - rows)) == 1

    @pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 1, 1, 3), (1, 1, 500, 1)])
    def test_no_image_and_tiny_ones(self, shape: tuple[int, ...]) -> None:
        assert count_colours(np.zeros(shape, np.uint8)) == min(1, shape[0])


@pytest.mark.parametrize("side", [32, 64, 128, 224])
@pytest.mark.parametrize("quality", [None, 95, 75])
class TestSizesAndFormats:
    @pytest.mark.parametrize("paint", [photo, dark])
    @pytest.mark.parametrize("size", [(64, 64), (160, 200), (64, 640)])
    def test_photos_have_many_colours(self, paint: Paint, size: Size, side: int, quality: int | None) -> None:
        assert count_colours(prepared(paint, size, side, quality)) > 1.2 * MIN_PHOTO_COLOURS

    @pytest.mark.parametrize("paint", [drawing, scan, icon])
    @pytest.mark.parametrize("size", [(64, 64), (160, 200)])
    def test_drawings_and_scans_have_few(self, paint: Paint, size: Size, side: int, quality: int | None) -> None:
        assert count_colours(prepared(paint, size, side, quality)) < MIN_PHOTO_COLOURS / 1.2

    @pytest.mark.parametrize("size", [(64, 64), (160, 200)])
    def test_scanned_print_stays_below(self, size: Size, side: int, quality: int | None) -> None:
        assert count_colours(prepared(page, size, side, quality)) < MIN_PHOTO_COLOURS


class TestReports:
    @pytest.mark.parametrize("size", [(160, 200), (64, 640), (640, 64), (40, 64)])
    @pytest.mark.parametrize("kind", ["jpg", "png"])
    def test_photos(self, tmp_path: Path, size: Size, kind: str) -> None:
        inspection = inspect(write(tmp_path / "pets", photo, size, kind))
        assert explain_why_not_photos(inspection) == ""

    @pytest.mark.parametrize("side", [32, 64, 224])
    def test_the_size_of_the_study_does_not_matter(self, tmp_path: Path, side: int) -> None:
        assert not explain_why_not_photos(inspect(write(tmp_path / "photos", photo, (100, 90)), image_size=side))
        assert explain_why_not_photos(inspect(write(tmp_path / "drawings", drawing, (100, 90)), image_size=side))

    @pytest.mark.parametrize(
        ("paint", "size", "settings", "why"),
        [
            (drawing, (160, 200), {}, "few colours ("),
            (scan, (160, 200), {}, "few colours ("),
            (photo, (48, MIN_PHOTO_SIDE - 1), {}, "small (63 pixels)"),
            (photo, (48, 48), {"image_size": 96}, "small (48 pixels)"),
            (drawing, (16, 16), {}, "small (16 pixels)"),
            (photo, (160, 200), {"channels": 1}, "grey"),
            (grey, (28, 28), {}, "grey"),
        ],
    )
    def test_why_others_are_none(
        self, tmp_path: Path, paint: Paint, size: Size, settings: dict[str, Any], why: str
    ) -> None:
        inspection = inspect(write(tmp_path / "pets", paint, size), **settings)
        assert explain_why_not_photos(inspection).startswith(why)
        assert explain_why_not_photos(inspection)

    def test_the_training_images_count(self, tmp_path: Path) -> None:
        write(tmp_path / "pets" / "train", drawing, (64, 64))
        for part in ("val", "test"):
            write(tmp_path / "pets" / part, photo, (64, 64))
        assert explain_why_not_photos(inspect(tmp_path / "pets")).startswith("few colours")

    @pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
    def test_panoramas_however_they_are_resized(self, tmp_path: Path, resize: str) -> None:
        for paint, is_photo in ((photo, True), (drawing, False)):
            inspection = inspect(write(tmp_path / paint.__name__, paint, (64, 640)), image_size=96, resize=resize)
            assert bool(explain_why_not_photos(inspection)) is not is_photo

    def test_the_bounds(self) -> None:
        inspection = Inspection(
            "pets", (64, 64, 3), "crop", [(9, 9), (30, MIN_PHOTO_SIDE), (900, 900)], {}, [], [], MIN_PHOTO_COLOURS
        )
        assert not explain_why_not_photos(inspection)
        assert explain_why_not_photos(replace(inspection, colours=14.2)) == "few colours (14), as in drawings"
        assert explain_why_not_photos(replace(inspection, sizes=[])) == "small (0 pixels)"

    def test_reports_of_earlier_versions_are_read(self) -> None:
        inspection = Inspection("pets", [64, 64, 3], "crop", [[64, 64]] * 3, {}, [], [], 123.0)
        line = encode(ImagesInspected(inspection))
        assert decode(line) == ImagesInspected(inspection)
        earlier = line.replace(', "colours": 123.0', "")
        assert earlier != line
        assert decode(earlier) == ImagesInspected(replace(inspection, colours=0.0))


@pytest.mark.parametrize("side", ["auto", 32, 224])
def test_real_photos(side: Any) -> None:
    inspection = inspect(real("objects.tar"), image_size=side)
    assert inspection.colours > 1.2 * MIN_PHOTO_COLOURS
    assert not explain_why_not_photos(inspection)


def test_real_photos_of_flowers() -> None:
    assert inspect(real("flowers.tar")).colours > 2 * MIN_PHOTO_COLOURS


def test_real_digits() -> None:
    inspection = inspect(real("mnist.npz"))
    assert inspection.colours < MIN_PHOTO_COLOURS / 5
    assert explain_why_not_photos(inspection) == "grey"


def real(name: str) -> Path:
    """Returns a set of real images, or skips the test."""
    if not (REAL / name).exists():
        pytest.skip(f"needs {name} in $SEARCHCNN_DATA, or in shared/data next to this folder")
    return REAL / name

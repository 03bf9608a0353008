"""The same photo in other clothes is found, and kept together; other photos are not taken for it."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from searchcnn.data import Dataset, make_folds
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig, validate
from searchcnn.study.begun import complete
from searchcnn.study.identity import identify

PHOTOS = [Image.fromarray(image) for image in load_sample_images().images]
WIDTH, HEIGHT = 160, 140
"""Pixels of a tile of a photo: each has 12 of them."""
SHARP = (2, 10, 12, 14, 16, 18, 20, 22, 3, 11, 13, 19, 21, 0, 5, 8)
"""Numbers of tiles that show more than a plain background."""
COUNT = len(SHARP)


def cut_tile(number: int) -> Image.Image:
    """Returns a part of a real photo; no two overlap."""
    photo, place = PHOTOS[SHARP[number] % 2], SHARP[number] // 2
    left, top = place % 4 * WIDTH, place // 4 * HEIGHT
    return photo.crop((left, top, left + WIDTH, top + HEIGHT))


def save(image: Image.Image, path: Path, quality: int = 92) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)


def scale(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(factor * image.width), round(factor * image.height)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "smaller": lambda image: scale(image, 0.8),
    "larger": lambda image: scale(image, 1.5),
    "brighter": lambda image: image.point(lambda level: min(255, round(1.05 * level))),
    "cut": lambda image: image.crop((2, 2, image.width - 2, image.height - 2)),
    "cut on one side": lambda image: image.crop((2, 0, image.width, image.height)),
    "grey": lambda image: image.convert("L"),
}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of two classes of 8 photos, none a near copy of another."""
    root = tmp_path_factory.mktemp("tiles")
    for number in range(COUNT):
        save(cut_tile(number), root / "ab"[number % 2] / f"{number:02}.jpg")
    return root


@pytest.fixture
def folder(tiles: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiles, tmp_path / "photos"))


def load(path: Path, seed: int = 0, **settings: Any) -> Dataset:
    return load_dataset(DataConfig(path=str(path), **settings), seed)


def find_parts(dataset: Dataset) -> dict[str, str]:
    """Returns the part of each image."""
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {name: part for part, split in parts.items() for name in split.names}


def list_findings(dataset: Dataset) -> list[str]:
    return [str(finding) for finding in dataset.inspection.findings if "near cop" in finding.what]


def test_different_photos_are_none(folder: Path) -> None:
    dataset = load(folder)
    assert (
        len(set(np.concatenate([part.copies for part in (dataset.train, dataset.validation, dataset.test)]))) == COUNT
    )
    assert list_findings(dataset) == []
    assert find_parts(dataset) == find_parts(load(folder, group_near_copies=False))


@pytest.mark.parametrize("change", CHANGES)
def test_a_near_copy_stays_with_its_original(folder: Path, change: str) -> None:
    for number in range(COUNT):
        save(CHANGES[change](cut_tile(number)), folder / "ab"[number % 2] / f"{number:02}-copy.jpg", quality=60)
    for seed in range(2):
        dataset = load(folder, seed, image_size=[HEIGHT, WIDTH])
        parts = find_parts(dataset)
        assert all(parts[name] == parts[name.replace(".jpg", "-copy.jpg")] for name in parts if "copy" not in name)
        assert list_findings(dataset)[0].startswith("16 images are near copies of others (a/00.jpg = a/00-copy.jpg, ")
        assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [24, 4, 4]


def test_what_is_alike_only_from_afar_is_none(folder: Path) -> None:
    """The same light and dark, with other details; frames; and images without details."""
    random = np.random.default_rng(0)
    for number in range(8):
        blurred = np.asarray(scale(scale(cut_tile(3), 0.03), 32).resize((WIDTH, HEIGHT)), np.float32)
        details = np.asarray(cut_tile(number * 2).convert("L"), np.float32)[..., None]
        save(Image.fromarray(np.uint8((blurred + 0.5 * details) / 1.5)), folder / "a" / f"alike{number}.png")
        plain = Image.new("RGB", (WIDTH, HEIGHT), (100 + number, 120, 140))
        noise = random.normal(0, 2, (HEIGHT, WIDTH, 3))
        save(Image.fromarray(np.uint8(np.asarray(plain) + noise)), folder / "a" / f"plain{number}.png")
        framed = Image.new("RGB", (WIDTH, HEIGHT))
        framed.paste(cut_tile(number * 2 + 1).crop((30, 30, WIDTH - 30, HEIGHT - 30)), (30, 30))
        save(framed, folder / "b" / f"framed{number}.png")
    assert list_findings(load(folder)) == []


def test_small_images_have_too_few_details(tmp_path: Path) -> None:
    for number in range(COUNT):
        for copy in range(2):
            image = scale(cut_tile(number), 0.4)
            save(image, tmp_path / "ab"[number % 2] / f"{number}-{copy}.jpg", quality=92 - 10 * copy)
    dataset = load(tmp_path)
    assert list_findings(dataset) == []


def test_near_copies_in_two_given_parts_are_named(folder: Path) -> None:
    for name in ("a", "b"):
        shutil.move(folder / name, folder / "train" / name)
    for number in (3, 4, 8):
        save(CHANGES["cut"](cut_tile(number)), folder / "test" / "ab"[number % 2] / f"{number}.jpg", quality=60)
    save(cut_tile(4), folder / "train" / "b" / "misfiled.jpg", quality=70)
    assert list_findings(load(folder)) == [
        "1 image is a near copy of images of another class (train/b/misfiled.jpg = train/a/04.jpg); one of each may be "
        "misfiled",
        "3 test images are near copies of train images (test/a/4.jpg = train/a/04.jpg, test/a/8.jpg = train/a/08.jpg, "
        "test/b/3.jpg = train/b/03.jpg); this inflates the test score; delete one of each",
    ]


def add_frames(folder: Path, name: str, count: int) -> None:
    """Adds frames of a video to a class, each nearly the same as the one before."""
    wide = cut_tile(1).resize((400, 350))
    for number in range(count):
        save(wide.crop((2 * number, number, 2 * number + 320, number + 280)), folder / name / f"frame{number:02}.jpg")


def test_a_video_of_half_a_class_stays_together(folder: Path) -> None:
    add_frames(folder, "b", 12)
    for seed in range(3):
        dataset = load(folder, seed, validation=0.2, test=0.2)
        parts = find_parts(dataset)
        assert {part for name, part in parts.items() if "frame" in name} == {"train"}
        assert np.bincount(dataset.validation.labels).tolist() == np.bincount(dataset.test.labels).tolist() == [2, 4]


def test_a_video_of_most_of_a_class_is_divided_and_named(folder: Path) -> None:
    add_frames(folder, "b", 36)
    dataset = load(folder, validation=0.2, test=0.2)
    assert {part for name, part in find_parts(dataset).items() if "frame" in name} == {"train", "validation", "test"}
    assert np.bincount(dataset.test.labels).tolist() == [2, 8]
    finding = next(text for text in list_findings(dataset) if "validation images are near copies of train" in text)
    assert finding.endswith("too many of their class to keep together")


def test_folds_keep_them_together(folder: Path) -> None:
    for number in range(0, COUNT, 2):
        save(cut_tile(number), folder / "a" / f"{number:02}-copy.jpg", quality=60)
    train = load(folder).train
    for fold in make_folds(train, 3, 0):
        copies = train.copies
        assert copies is not None and not set(copies[fold.fitted]) & set(copies[fold.measured])


def test_a_study_that_was_begun_before_divides_as_it_did(folder: Path) -> None:
    for number in range(COUNT):
        save(cut_tile(number), folder / "ab"[number % 2] / f"{number:02}-copy.jpg", quality=60)
    study = {"spaces": ["net"], "data": {"path": str(folder)}, "budget": {"trials": 3}}
    now = validate(study, "x.toml")
    begun = now.model_dump(mode="json")
    assert complete(begun)["data"]["group_near_copies"] is True
    del begun["data"]["group_near_copies"]
    before = validate(complete(begun), "x.toml")
    assert before.data.group_near_copies is False
    parts = find_parts(load_dataset(before.data, 0))
    assert any(parts[name] != parts[name.replace(".jpg", "-copy.jpg")] for name in parts if "copy" not in name)
    assert "data.group_near_copies" not in identify(before, "x", ["test"])
    assert identify(now, "x", ["test"])["data.group_near_copies"] == "True"
    assert "data.group_near_copies" not in identify(now, "x", [])


def test_a_photo_of_many_pixels_needs_no_more_than_its_thumbnail() -> None:
    from searchcnn.data.near_copies import make_thumbnail

    content = io.BytesIO()
    cut_tile(0).save(content, "JPEG")
    thumbnail = make_thumbnail(np.asarray(Image.open(content)), (140, 160))
    assert thumbnail is not None and thumbnail.shape == (32, 32)
    assert make_thumbnail(np.zeros((160, 160, 3), np.uint8), (63, 900)) is None

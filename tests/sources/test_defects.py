"""What is wrong with real collections is found, named, and survived where that makes sense."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.data import Dataset, Finding, ImagesInspected, Inspection, warn_of_flip
from searchcnn.data.decoding import MAX_IMAGE_BYTES
from searchcnn.data.inspection import is_mirrorable
from searchcnn.errors import DataError
from searchcnn.events import Event, decode, encode
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig

CLASSES = ("cat", "cow", "dog")
COUNT = 20


def make_image(seed: int, size: tuple[int, int] = (24, 24)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Returns a folder without defects: three classes of 20 images in train/, and of 6 in val/ and test/."""
    seed = 0
    for part, count in (("train", COUNT), ("val", 6), ("test", 6)):
        for name in CLASSES:
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                seed += 1
                make_image(seed).save(folder / f"{number}.png")
    return tmp_path / "pets"


def load(path: Path, **settings: Any) -> tuple[Dataset, Inspection]:
    dataset = load_dataset(DataConfig(path=str(path), **settings), 0)
    return dataset, dataset.inspection


def list_findings(inspection: Inspection, level: str = "warning") -> list[str]:
    return [str(finding) for finding in inspection.findings if finding.level == level]


def count_images(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.validation), len(dataset.test)


def truncated(pets: Path) -> None:
    file = pets / "train" / "cat" / "3.png"
    file.write_bytes(file.read_bytes()[:200])


def web_page(pets: Path) -> None:
    (pets / "train" / "dog" / "page.jpg").write_text("<html>404 not found</html>")


def empty_file(pets: Path) -> None:
    (pets / "test" / "dog" / "nothing.png").write_bytes(b"")


def bomb(pets: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(pets / "train" / "cat" / "bomb.png")


def empty_class(pets: Path) -> None:
    (pets / "train" / "horse").mkdir()


def other_test_classes(pets: Path) -> None:
    (pets / "test" / "dog").rename(pets / "test" / "Dog")


def no_test_images(pets: Path) -> None:
    shutil.rmtree(pets / "test" / "cow")


def loose_images(pets: Path) -> None:
    make_image(999).save(pets / "train" / "loose.png")


def other_folder(pets: Path) -> None:
    (pets / "thumbnails").mkdir()
    make_image(999).save(pets / "thumbnails" / "x.png")


def leak(pets: Path) -> None:
    shutil.copy(pets / "train" / "cat" / "0.png", pets / "test" / "cat" / "copy.png")


def leak_into_validation(pets: Path) -> None:
    make_image(1).save(pets / "val" / "cat" / "copy.bmp")  # of another format, with the same pixels


def two_labels(pets: Path) -> None:
    shutil.copy(pets / "train" / "cat" / "0.png", pets / "train" / "dog" / "copy.png")


def twice(pets: Path) -> None:
    shutil.copy(pets / "train" / "cat" / "0.png", pets / "train" / "cat" / "copy.png")


def imbalance(pets: Path) -> None:
    for number in range(4, COUNT):
        (pets / "train" / "cow" / f"{number}.png").unlink()


def tiny(pets: Path) -> None:
    make_image(999, (4, 5)).save(pets / "train" / "cow" / "tiny.png")


def broken_link(pets: Path) -> None:
    (pets / "train" / "cow" / "link.png").symlink_to("nowhere.png")


def hidden(pets: Path) -> None:
    (pets / "train" / "cow" / "._0.png").write_bytes(b"Mac OS X")
    (pets / "train" / ".ipynb_checkpoints").mkdir()
    (pets / "train" / "cow" / "Thumbs.db").write_bytes(b"Windows")


SURVIVED: list[tuple[Callable[[Path], None], str, str, tuple[int, int, int]]] = [
    (truncated, "warning", "1 of 96 files cannot be read (train/cat/3.png: image file is truncated", (59, 18, 18)),
    (web_page, "warning", "1 of 97 files cannot be read (train/dog/page.jpg: cannot identify image", (60, 18, 18)),
    (empty_file, "warning", "1 of 97 files cannot be read (test/dog/nothing.png: cannot identify image", (60, 18, 18)),
    (
        bomb,
        "warning",
        "1 of 97 files cannot be read (train/cat/bomb.png: Image size (400000000 pixels) exceeds",
        (60, 18, 18),
    ),
    (empty_class, "warning", "1 folder without images (horse); not a class", (60, 18, 18)),
    (
        other_test_classes,
        "warning",
        "class 'Dog' has no images to train on (6 others); left out; a class must have the same name in all "
        "parts; is it 'dog'?",
        (60, 18, 12),
    ),
    (no_test_images, "warning", "class 'cow' without test images; not measured there; add images", (60, 18, 12)),
    (loose_images, "warning", "1 image outside the folders of classes (train/loose.png); left out", (60, 18, 18)),
    (other_folder, "warning", "1 folder next to train/ (thumbnails); left out; do not give a class", (60, 18, 18)),
    (
        leak,
        "warning",
        "1 image is in both train and test (train/cat/0.png = test/cat/copy.png); this inflates the test score",
        (60, 18, 19),
    ),
    (
        leak_into_validation,
        "warning",
        "1 image is in both train and validation (train/cat/0.png = val/cat/copy.bmp)",
        (60, 19, 18),
    ),
    (two_labels, "warning", "1 image has two labels (train/cat/0.png = train/dog/copy.png); a", (61, 18, 18)),
    (twice, "note", "1 image is there more than once (train/cat/0.png = train/cat/copy.png); kept", (61, 18, 18)),
    (
        imbalance,
        "warning",
        "'cat' has 5 times the images of 'cow' (20 and 4); try training.class_weights",
        (44, 18, 18),
    ),
    (tiny, "warning", "1 image is less than half as large as 24x24 (train/cow/tiny.png: 4x5); enlarged", (61, 18, 18)),
    (
        broken_link,
        "warning",
        "1 of 97 files cannot be read (train/cow/link.png: No such file or directory); left out, listed in",
        (60, 18, 18),
    ),
    (hidden, "none", "", (60, 18, 18)),
]


@pytest.mark.parametrize(
    ("spoil", "level", "message", "counts"), SURVIVED, ids=lambda one: getattr(one, "__name__", None)
)
def test_it_is_named_and_survived(
    pets: Path, spoil: Callable[[Path], None], level: str, message: str, counts: tuple[int, int, int]
) -> None:
    spoil(pets)
    dataset, inspection = load(pets)
    assert count_images(dataset) == counts
    assert dataset.class_names == CLASSES
    if level == "none":
        assert not inspection.findings
    else:
        assert any(text.startswith(message) for text in list_findings(inspection, level))
        assert len(inspection.findings) == 1 + (spoil is other_test_classes)


def test_a_good_folder_has_no_findings(pets: Path) -> None:
    dataset, inspection = load(pets)
    assert (count_images(dataset), inspection.findings, inspection.new_parts) == ((60, 18, 18), [], [])
    assert inspection.counts["test"] == {"cat": 6, "cow": 6, "dog": 6}


def many_unreadable(pets: Path) -> None:
    for number in range(6):
        (pets / "train" / "cat" / f"{number}.png").write_bytes(b"nothing")


def nothing_readable(pets: Path) -> None:
    for file in pets.rglob("*.png"):
        file.write_bytes(b"nothing")


def one_class(pets: Path) -> None:
    for name in ("cow", "dog"):
        for part in pets.iterdir():
            shutil.rmtree(part / name)


def no_classes(pets: Path) -> None:
    for part in pets.iterdir():
        for file in list(part.rglob("*.png")):
            file.rename(part / f"{file.parent.name}-{file.name}")


def nothing_to_train_on(pets: Path) -> None:
    shutil.rmtree(pets / "train")


def no_images(pets: Path) -> None:
    for file in pets.rglob("*.png"):
        file.rename(file.with_suffix(".txt"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (many_unreadable, "6 of 96 files cannot be read, more than 5% (train/cat/0.png: cannot identify image"),
        (nothing_readable, "none of 96 files can be read, for example train/cat/0.png: cannot identify image"),
        (one_class, "holds one class, 'cat'; expected at least two, with a folder for each"),
        (no_classes, "images are not in folders of their classes (test/cat-0.png); expected CLASS/IMAGE"),
        (nothing_to_train_on, "holds test and val and nothing to train on; expected a folder train/ next to it"),
        (no_images, "holds no images; expected CLASS/IMAGE or train/CLASS/IMAGE, in JPEG, PNG"),
    ],
)
def test_it_stops_the_search(pets: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(pets)
    with pytest.raises(DataError) as caught:
        load(pets)
    assert str(caught.value).startswith(f"{pets}: {message}")
    assert "\n" not in str(caught.value)


def test_more_unreadable_files_can_be_allowed_and_are_listed(pets: Path) -> None:
    many_unreadable(pets)
    inspections: list[Inspection] = []

    def hear(event: Event) -> None:
        inspections.extend([event.inspection] if isinstance(event, ImagesInspected) else [])

    with pytest.raises(DataError):
        load_dataset(DataConfig(path=str(pets)), 0, hear)
    assert [finding.level for finding in inspections[0].findings] == ["error"]  # the table is shown all the same
    dataset, inspection = load(pets, max_unreadable=0.1)
    assert len(dataset.train) == 54
    file = Path(inspection.findings[0].remedy.removeprefix("left out, listed in "))
    rows = file.read_text().splitlines()
    assert (len(rows), rows[0].split(",")[0]) == (6, "train/cat/0.png")


def test_classes_with_too_few_images_to_be_divided(pets: Path) -> None:
    for part in ("val", "test"):
        shutil.rmtree(pets / part)
    for number in range(2, COUNT):
        (pets / "train" / "cow" / f"{number}.png").unlink()
    dataset, inspection = load(pets)
    assert inspection.new_parts == ["validation", "test"]
    assert dataset.class_names == CLASSES
    assert inspection.counts["train"]["cow"] == 2
    assert {text.partition(";")[0] for text in list_findings(inspection)[:2]} == {
        "class 'cow' without validation images",
        "class 'cow' without test images",
    }
    shutil.rmtree(pets / "train" / "dog")
    with pytest.raises(DataError, match="cannot make the parts test and validation: fewer than two classes have at l"):
        load(pets)


def test_parts_are_made_80_10_10_and_copies_stay_together(pets: Path) -> None:
    for part in ("val", "test"):
        shutil.rmtree(pets / part)
    dataset, _ = load(pets)
    assert count_images(dataset) == (48, 6, 6)
    assert set(np.bincount(dataset.test.labels)) == set(np.bincount(dataset.validation.labels)) == {2}
    for file in list((pets / "train" / "cat").iterdir()):
        for copy in range(2):
            shutil.copy(file, file.with_name(f"{file.stem}-copy{copy}.png"))
    for seed in range(5):
        dataset = load_dataset(DataConfig(path=str(pets)), seed)
        parts = [
            {image.tobytes() for image in part.images} for part in (dataset.train, dataset.validation, dataset.test)
        ]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert sum(count_images(dataset)) == 100


def test_several_defects_are_told_at_once_the_worst_first(pets: Path) -> None:
    spoils = [spoil for spoil, level, _, _ in SURVIVED if level != "none"]
    for spoil in random.Random(0).sample(spoils, len(spoils)):
        spoil(pets)
    dataset, inspection = load(pets, max_unreadable=0.1)
    assert dataset.num_classes == 3
    assert len(inspection.findings) == 11
    levels = [finding.level for finding in inspection.findings]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    assert all("\n" not in str(finding) for finding in inspection.findings)
    line = encode(ImagesInspected(inspection))
    assert encode(decode(line)) == line


def test_odd_names_and_places(pets: Path) -> None:
    strange = os.fsdecode(b"gr\xfcn\n\x1b[31m")  # of another encoding, with what would control a terminal
    for part in ("train", "val", "test"):
        (pets / part / "cow").rename(pets / part / strange)
    (pets / "train" / strange / "0.png").write_bytes(b"nothing")
    (pets / "train" / "dog" / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(pets / "train" / "dog" / "pipe.png")
    with (pets / "train" / "dog" / "video.jpg").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    dataset, inspection = load(pets)
    assert dataset.class_names == ("cat", "dog", "gr?n ?[31m")
    assert len(dataset.train) == 59
    (finding,) = list_findings(inspection)
    assert finding.startswith(
        "4 of 99 files cannot be read (train/dog/pipe.png: is not an ordinary file); left out, listed in "
    )
    lines = Path(finding.rpartition("listed in ")[2]).read_text().splitlines()
    assert 'train/dog/video.jpg,"has 512 MiB, more than any image"' in lines
    pets.rename(pets.with_name(".pets"))
    assert load(pets.with_name(".pets"))[0].class_names == dataset.class_names
    assert load(pets.with_name(".pets"), image_size=5)[0].input_shape == (5, 5, 3)


def test_a_file_that_may_be_read_again_is_read_again(pets: Path) -> None:
    file = pets / "train" / "cat" / "3.png"
    content, times = file.read_bytes(), file.stat().st_mtime_ns
    file.write_bytes(b"x" * len(content))
    os.utime(file, ns=(times, times))
    assert len(load(pets)[0].train) == 59
    file.write_bytes(content)
    os.utime(file, ns=(times, times))  # as large and as old as before: only the time of the change tells
    assert len(load(pets)[0].train) == 60


def test_links_to_folders_are_followed_but_not_round_in_circles(pets: Path, tmp_path: Path) -> None:
    expected = load(pets)[0].fingerprint
    (pets / "train" / "cow").rename(tmp_path / "elsewhere")
    (pets / "train" / "cow").symlink_to(tmp_path / "elsewhere")
    assert load(pets)[0].fingerprint == expected
    (pets / "train" / "cow" / "round").symlink_to(pets / "train")
    (pets / "train" / "cow" / "self").symlink_to(tmp_path / "elsewhere")
    assert load(pets)[0].class_names == CLASSES
    (tmp_path / "linked").symlink_to(pets)
    assert load(tmp_path / "linked")[0].class_names == CLASSES


def test_digits_and_letters_must_not_be_mirrored() -> None:
    assert is_mirrorable(["cat", "dog", "b"])
    for names in (["0", "1"], ["a", "b"], ["digit 1", "digit_2"], ["Left arrow", "Right arrow"], ["one", "two", "x"]):
        assert not is_mirrorable(names)
    inspection = load_dataset(DataConfig(name="digits"), 0).inspection
    what = "the classes are named like digits, letters or sides, which change when they are mirrored"
    remedy = "if mirrored images keep their classes, set training.flip = true"
    assert Finding("note", what, "0, 1, 2", remedy) in inspection.findings


def test_images_that_are_almost_all_copies(pets: Path) -> None:
    dataset, _ = load(pets, image_size=1, channels=1)
    assert min(count_images(dataset)) > 0
    for part in ("val", "test"):
        shutil.rmtree(pets / part)
    for seed in range(10):
        dataset = load_dataset(DataConfig(path=str(pets), image_size=1, channels=1), seed)
        pixels = [set(part.images.ravel()) for part in (dataset.train, dataset.validation, dataset.test)]
        assert all(pixels)
        assert not (pixels[0] & pixels[1] or pixels[0] & pixels[2] or pixels[1] & pixels[2])
    for file in pets.rglob("*.png"):
        Image.new("RGB", (9, 9)).save(file)
    with pytest.raises(DataError, match="fewer than two classes have at least 3 different images"):
        load(pets)


def test_a_study_that_mirrors_digits_is_warned() -> None:
    inspection = warn_of_flip(load_dataset(DataConfig(name="digits"), 0).inspection)
    assert list_findings(inspection) == [
        "the classes are named like digits, letters or sides, which change when they are mirrored (0, 1, 2); "
        "training.flip mirrors images; set it to false, unless they keep their classes"
    ]

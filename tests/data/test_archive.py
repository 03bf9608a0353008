"""Images in archives: read like the folder they were made of, without being unpacked; damage is one line."""

import io
import re
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.data import NAMES, archive, find_datasets, image_folder, load_dataset
from searchcnn.data.builtin import BUILTIN
from searchcnn.errors import DataError
from searchcnn.study import DataConfig

Make = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path, arrays: Make, write_images: Make) -> Path:
    """Returns a folder of images."""
    write_images(tmp_path / "images", arrays((9, 7, 3)))
    return tmp_path / "images"


def add(path: Path, name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", size: int | None = None) -> None:
    """Adds a member to a tar archive."""
    with tarfile.open(path, "a") as changed:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = kind, len(content) if size is None else size, "/etc/passwd"
        changed.addfile(member, io.BytesIO(content))


def one_line(path: Path) -> str:
    """Returns what is said about an archive that cannot be read."""
    with pytest.raises(DataError) as caught:
        archive.read(path, "birds")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("top", ["birds", "birds-1.0", "."])
@pytest.mark.parametrize("suffix", archive.SUFFIXES)
def test_an_archive_is_read_like_its_folder(
    tmp_path: Path, images: Path, write_archive: Make, suffix: str, top: str
) -> None:
    (images / "train" / "c0" / "notes.txt").write_text("not an image")
    (images / "train" / "c0" / "._000.png").write_text("of another system")
    write_archive(tmp_path / f"birds{suffix}", images, top)
    path = archive.find(tmp_path, "birds")
    assert path == tmp_path / f"birds{suffix}"
    read, unpacked = archive.read(path, "birds"), image_folder.read(images, "birds")
    assert read.class_names == unpacked.class_names == tuple(f"c{label}" for label in range(10))
    for ours, theirs in ((read.train, unpacked.train), (read.test, unpacked.test)):
        assert np.array_equal(ours.images, theirs.images)
        assert np.array_equal(ours.labels, theirs.labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"birds{suffix}", "images"])


def test_archives_of_built_in_and_own_names_are_found(
    own: Path, tmp_path: Path, arrays: Make, write_images: Make, write_archive: Make, write_cifar10: Make
) -> None:
    write_images(tmp_path / "cifar", arrays((32, 32, 3)))
    for label, name in enumerate(BUILTIN["cifar10"].class_names):
        for part in ("train", "test"):
            (tmp_path / "cifar" / part / f"c{label}").rename(tmp_path / "cifar" / part / name)
    write_archive(own / "cifar10.tar.xz", tmp_path / "cifar", "cifar10")
    write_archive(own / "birds.v2.zip", tmp_path / "cifar", "birds")
    write_archive(own / "cifar-100-python.tar.gz", tmp_path / "cifar", "no image folder, as it was published")
    found = {one.name: one.source for one in find_datasets()}
    assert list(found) == [*NAMES, "birds.v2"]
    assert found["cifar10"] == str(own / "cifar10.tar.xz")
    first, second = (load_dataset(DataConfig(name=name, validation=0.25), 0) for name in ("cifar10", "birds.v2"))
    assert first.class_names[3] == second.class_names[3] == "cat"
    assert first.fingerprint == second.fingerprint


def test_the_unpacked_folder_comes_first(own: Path, images: Path, write_archive: Make) -> None:
    write_archive(own / "birds.tar", images, "birds")
    images.rename(own / "birds")
    assert load_dataset(DataConfig(name="birds", validation=0.25), 0).source == str(own / "birds")
    assert [one.name for one in find_datasets()] == [*NAMES, "birds"]


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_where_there_is_no_test_part_the_validation_folder_is_held_out(
    tmp_path: Path, images: Path, write_archive: Make, suffix: str
) -> None:
    expected = image_folder.read(images, "birds").test.images
    (images / "test").rename(images / "val")
    read = archive.read(write_archive(tmp_path / f"birds{suffix}", images, "birds"), "birds")
    assert np.array_equal(read.test.images, expected)


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("suffix", archive.SUFFIXES)
def test_a_truncated_archive(tmp_path: Path, images: Path, write_archive: Make, suffix: str, part: float) -> None:
    path = write_archive(tmp_path / f"birds{suffix}", images, "birds")
    content = path.read_bytes()
    end = len(content.rstrip(b"\0")) if suffix == ".tar" else len(content)
    path.write_bytes(content[: int(part * end)])
    assert "birds" in one_line(path)


def test_a_tar_archive_that_is_cut_off_between_two_members(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    with tarfile.open(path) as whole:
        ends = [member.offset for member in whole if member.name.endswith("9.png")]
    path.write_bytes(path.read_bytes()[: ends[-1]])
    assert f"cut off or damaged {ends[-1]:,} bytes after its beginning" in one_line(path)


def test_a_tar_archive_with_a_damaged_header(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    with tarfile.open(path) as whole:
        place = [member.offset for member in whole][30]
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    assert f"cut off or damaged {place:,} bytes" in one_line(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, images: Path, write_archive: Make, kind: bytes) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    add(path, "birds/train/c0/link.png", kind)
    assert "birds/train/c0/link.png is neither a file nor a folder" in one_line(path)


@pytest.mark.parametrize("name", ["../train/c0/x.png", "/train/c0/x.png", "../../train/c0/x.png"])
def test_members_that_point_elsewhere_write_nothing(
    tmp_path: Path, images: Path, write_archive: Make, name: str
) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    png = (images / "train" / "c0" / "000.png").read_bytes()
    add(path, name, content=png)
    before = sorted(tmp_path.parent.rglob("*"))
    try:
        archive.read(path, "birds")
    except DataError as error:
        assert "expected one dataset" in str(error)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_images_of_two_datasets_are_not_mixed(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    add(path, "more/train/c0/x.png")
    assert "birds.tar: holds images in birds and in more; expected one dataset" in one_line(path)


@pytest.mark.parametrize("suffix", [".tar.xz", ".zip"])
def test_a_bomb_is_refused_before_it_is_read(
    tmp_path: Path, images: Path, write_archive: Make, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    size = sum(file.stat().st_size for file in images.rglob("*.png"))
    monkeypatch.setattr(archive, "LARGEST", size)
    assert len(archive.read(write_archive(tmp_path / f"birds{suffix}", images, "birds"), "birds").train) == 40
    (images / "train" / "c0" / "bomb.png").write_bytes(bytes(20_000_000))
    path = write_archive(tmp_path / f"birds{suffix}", images, "birds")
    tracemalloc.start()
    assert "holds more than 0 GiB of image files; unpack it" in one_line(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "train").rename(folder / "training"), "expected images in train/<class>/ and test/"),
        (lambda folder: (folder / "test").rename(folder / "tests"), "expected images in train/<class>/ and test/"),
        (lambda folder: (folder / "test" / "c4").rename(folder / "test" / "c44"), "expected one folder for each class"),
        (lambda folder: (folder / "test" / "c4" / "odd.png").write_text("x"), "test/c4/odd.png: expected an image"),
    ],
)
def test_what_is_wrong_inside_is_named(
    tmp_path: Path, images: Path, write_archive: Make, change: Make, message: str
) -> None:
    change(images)
    assert message in one_line(write_archive(tmp_path / "birds.tgz", images, "birds"))


def test_a_class_without_images_is_named(own: Path, images: Path, write_archive: Make) -> None:
    for part in ("train", "test"):
        (images / part / "c99").mkdir()
    for suffix in (".tar", ".zip"):
        path = write_archive(own / f"birds{suffix}", images, "birds")
        with pytest.raises(DataError, match="class 'c99' has 0 training images"):
            load_dataset(DataConfig(name="birds", validation=0.25), 0)
        path.unlink()


def test_an_encrypted_zip_archive(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.zip", images, "birds")
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for place in [found.start() for found in re.finditer(re.escape(signature), bytes(content))]:
            content[place + flags] |= 1
    path.write_bytes(content)
    assert "encrypted" in one_line(path)

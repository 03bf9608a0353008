"""Images in archives: read like the folder they were made of, without being unpacked; damage is one line."""

import io
import re
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.data import Dataset
from searchcnn.errors import DataError
from searchcnn.sources import BUILTIN_NAMES, archive, find_datasets, load_dataset
from searchcnn.sources.builtin import BUILTIN
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


def load(path: Path) -> Dataset:
    return load_dataset(DataConfig(path=str(path), validation=0.25), 0)


def read_error(path: Path) -> str:
    """Returns what is said about an archive that cannot be read."""
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_parts_within_classes(tmp_path: Path, images: Path, write_archive: Make, suffix: str) -> None:
    usual = load(images)
    for folder in images.glob("*/*"):
        folder.rename(folder.parent.with_name(f"{folder.parent.name}-{folder.name}"))
    for folder in images.glob("*-*"):
        part, name = folder.name.split("-")
        (tmp_path / "birds" / name).mkdir(parents=True, exist_ok=True)
        folder.rename(tmp_path / "birds" / name / part)
    dataset = load(write_archive(tmp_path / f"birds{suffix}", tmp_path / "birds", "birds"))
    assert (dataset.fingerprint, dataset.inspection.new_parts) == (usual.fingerprint, ["validation"])
    assert load(tmp_path / "birds").fingerprint == usual.fingerprint


@pytest.mark.parametrize("top", ["birds", "birds-1.0", "."])
@pytest.mark.parametrize("suffix", archive.ARCHIVE_SUFFIXES)
def test_an_archive_is_read_like_its_folder(
    tmp_path: Path, images: Path, write_archive: Make, suffix: str, top: str
) -> None:
    (images / "train" / "c0" / "notes.txt").write_text("not an image")
    (images / "train" / "c0" / "._000.png").write_text("of another system")
    path = write_archive(tmp_path / f"birds{suffix}", images, top)
    read, unpacked = load(path), load(images)
    assert read.class_names == unpacked.class_names == tuple(f"c{label}" for label in range(10))
    assert read.fingerprint == unpacked.fingerprint
    for ours, theirs in ((read.train, unpacked.train), (read.test, unpacked.test)):
        assert np.array_equal(ours.images, theirs.images)
        assert np.array_equal(ours.labels, theirs.labels)
    names = [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert set(names) == {"pixels.bin", "rows.npz", "facts.json", "unreadable.csv"}


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
    sources = {dataset.name: dataset.source for dataset in find_datasets()}
    assert list(sources) == [*BUILTIN_NAMES, "birds.v2"]
    assert sources["cifar10"] == str(own / "cifar10.tar.xz")
    first, second = (load_dataset(DataConfig(name=name, validation=0.25), 0) for name in ("cifar10", "birds.v2"))
    assert first.class_names[3] == second.class_names[3] == "cat"
    assert first.fingerprint == second.fingerprint


def test_the_unpacked_folder_comes_first(own: Path, images: Path, write_archive: Make) -> None:
    write_archive(own / "birds.tar", images, "birds")
    images.rename(own / "birds")
    assert load_dataset(DataConfig(name="birds", validation=0.25), 0).source == str(own / "birds")
    assert [dataset.name for dataset in find_datasets()] == [*BUILTIN_NAMES, "birds"]


@pytest.mark.parametrize("fraction", [0.0, 0.0001, 0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("suffix", archive.ARCHIVE_SUFFIXES)
def test_a_truncated_archive(tmp_path: Path, images: Path, write_archive: Make, suffix: str, fraction: float) -> None:
    path = write_archive(tmp_path / f"birds{suffix}", images, "birds")
    content = path.read_bytes()
    end = len(content.rstrip(b"\0")) if suffix == ".tar" else len(content)
    path.write_bytes(content[: int(fraction * end)])
    assert "birds" in read_error(path)


def test_a_tar_archive_that_is_cut_off_between_two_members(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    with tarfile.open(path) as whole:
        ends = [member.offset for member in whole if member.name.endswith("9.png")]
    path.write_bytes(path.read_bytes()[: ends[-1]])
    assert f"cut off or damaged {ends[-1]:,} bytes after its beginning" in read_error(path)


def test_a_tar_archive_with_a_damaged_header(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    with tarfile.open(path) as whole:
        offset = [member.offset for member in whole][30]
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 1
    path.write_bytes(content)
    assert f"cut off or damaged {offset:,} bytes" in read_error(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, images: Path, write_archive: Make, kind: bytes) -> None:
    path = write_archive(tmp_path / "birds.tar", images, "birds")
    add(path, "birds/train/c0/link.png", kind)
    assert "birds/train/c0/link.png is neither a file nor a folder" in read_error(path)


@pytest.mark.parametrize("name", ["../train/c0/x.png", "/train/c0/x.png", "birds/../../x.png", "C:/x.png", "..\\x.png"])
@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_paths_that_lead_out_are_refused(
    tmp_path: Path, images: Path, write_archive: Make, name: str, suffix: str
) -> None:
    path = write_archive(tmp_path / f"birds{suffix}", images, "birds")
    png = (images / "train" / "c0" / "000.png").read_bytes()
    if suffix == ".tar":
        add(path, name, content=png)
    else:
        with zipfile.ZipFile(path, "a") as changed:
            changed.writestr(name, png)
    outside = sorted(tmp_path.parent.glob("*.png"))
    assert "a path that leads out of it; do not trust this archive" in read_error(path)
    assert sorted(tmp_path.parent.glob("*.png")) == outside


def test_a_link_in_a_zip_archive(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.zip", images, "birds")
    link = zipfile.ZipInfo("birds/train/c0/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as changed:
        changed.writestr(link, "/etc/passwd")
    assert "birds/train/c0/link.png is a link" in read_error(path)


@pytest.mark.parametrize("suffix", [".tar.xz", ".zip"])
@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_ARCHIVE_BYTES", 10_000_000, "holds more than 0 GiB of image files; unpack it into a folder"),
        (
            "MAX_IMAGE_BYTES",
            10_000_000,
            "bomb.png has 19 MiB, expected images of at most 9 MiB; check that it is an image",
        ),
        ("HARMLESS_BYTES", 10_000_000, "holds more than 200 times its own size, a decompression bomb"),
    ],
)
def test_a_bomb_is_refused_before_it_is_read(
    tmp_path: Path,
    images: Path,
    write_archive: Make,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    limit: str,
    value: int,
    message: str,
) -> None:
    monkeypatch.setattr(archive, limit, value)
    assert len(load(write_archive(tmp_path / f"birds{suffix}", images, "birds")).test) == 20
    (images / "train" / "c0" / "bomb.png").write_bytes(bytes(20_000_000))
    path = write_archive(tmp_path / f"birds{suffix}", images, "birds")
    tracemalloc.start()
    assert message in read_error(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_zip_archive_that_lies_about_its_sizes(tmp_path: Path, images: Path, write_archive: Make) -> None:
    (images / "train" / "c0" / "bomb.png").write_bytes(bytes(20_000_000))
    path = write_archive(tmp_path / "birds.zip", images, "birds")
    content = path.read_bytes().replace(struct.pack("<I", 20_000_000), struct.pack("<I", 70_000))
    path.write_bytes(content)
    tracemalloc.start()
    assert "Bad CRC-32 for file 'birds/train/c0/bomb.png'" in read_error(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_encrypted_zip_archive(tmp_path: Path, images: Path, write_archive: Make) -> None:
    path = write_archive(tmp_path / "birds.zip", images, "birds")
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for start in [match.start() for match in re.finditer(re.escape(signature), bytes(content))]:
            content[start + flags] |= 1
    path.write_bytes(content)
    assert "encrypted" in read_error(path)

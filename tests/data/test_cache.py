"""Decoded images are kept on disk: made once, read by all, never half there."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.data import Dataset, Mapped, cache, decoding
from searchcnn.errors import StoreError
from searchcnn.files import locate_cache
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Returns a folder of two classes of 20 grey images."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def load(path: Path, **settings: Any) -> Dataset:
    return load_dataset(DataConfig(path=str(path), **settings), 0)


def list_entries() -> list[Path]:
    return sorted(locate_cache("images").iterdir())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns the numbers of files of all times that images were decoded."""
    counts: list[int] = []
    real = decoding._write_pixels

    def counted(files: Any, *others: Any) -> Any:
        counts.append(len(files))
        return real(files, *others)

    monkeypatch.setattr(decoding, "_write_pixels", counted)
    return counts


def test_images_are_decoded_once(pets: Path, decoded: list[int]) -> None:
    first, second = load(pets), load(pets)
    assert decoded == [40]
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.train.images, second.train.images)
    load(pets, validation=0.3, classes=["dog", "cat"])
    assert decoded == [40]


def test_what_changes_them_decodes_them_again(pets: Path, decoded: list[int]) -> None:
    prints = [load(pets).fingerprint, load(pets, image_size=4).fingerprint, load(pets, channels=3).fingerprint]
    os.utime(pets / "cat" / "3.png", (1, 1))
    prints.append(load(pets).fingerprint)
    (pets / "cat" / "3.png").unlink()
    prints.append(load(pets).fingerprint)
    (pets / "cow").mkdir()
    assert load(pets).inspection.findings
    assert decoded == [40, 40, 40, 40, 39, 39]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 4


def test_one_colour_image_makes_all_of_them_coloured(pets: Path, decoded: list[int], monkeypatch: Any) -> None:
    assert load(pets).input_shape == (6, 6, 1)
    Image.new("RGB", (6, 6), (255, 0, 0)).save(pets / "dog" / "red.png")
    assert load(pets).input_shape == (6, 6, 3)
    assert decoded == [40, 41]
    monkeypatch.setattr(decoding, "SAMPLED_SIZES", 3)  # the sample does not see it
    os.utime(pets)
    os.utime(pets / "dog")
    assert load(pets).input_shape == (6, 6, 3)
    assert decoded == [40, 41, 41, 41]


def test_images_larger_than_a_part_of_the_memory_stay_on_disk(pets: Path) -> None:
    held, streamed = load(pets), load(pets, in_memory=0.0)
    assert isinstance(held.train.images, np.ndarray)
    assert not isinstance(held.train.images, np.memmap)
    for ours, theirs in ((streamed.train, held.train), (streamed.validation, held.validation)):
        assert isinstance(ours.images, Mapped)
        assert ours.images.shape == theirs.images.shape
        assert np.array_equal(ours.images[:], theirs.images)
        assert np.array_equal(ours.take(np.array([3, 1])).images, theirs.images[[3, 1]])
    two, held = (load(pets, in_memory=fraction, classes=["dog", "cat"]) for fraction in (0.0, 1.0))
    assert np.array_equal(two.test.images[:], held.test.images)


def test_a_full_disk_leaves_nothing_behind(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(decoding, "_write_pixels", full)
    with pytest.raises(StoreError, match=r"cannot be written: No space left on device; free some space"):
        load(pets)
    assert list_entries() == []


def test_a_folder_that_cannot_be_written(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot be written: Not a directory; make it writable"):
        load(pets)


KILLED = """
import os, sys
from searchcnn.data import decoding
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig
decoding.CHUNK = 8


def die_halfway(event):
    if (getattr(event, "done", None) or 0) >= 0.4:
        os.kill(os.getpid(), 9)


load_dataset(DataConfig(path=sys.argv[1]), 0, die_halfway)
"""


def test_what_a_killed_process_leaves_is_never_read_and_goes(pets: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(pets)], check=False)
    assert killed.returncode == -9
    (half,) = list_entries()
    assert half.name.startswith(".")
    assert len(load(pets).train) == 32
    assert [folder.name.startswith("pets-") for folder in list_entries()] == [True]


@pytest.mark.slow
def test_processes_that_come_at_the_same_time(pets: Path) -> None:
    code = KILLED.replace(", die_halfway)", ")")
    processes = [subprocess.Popen([sys.executable, "-c", code, str(pets)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(list_entries()) == 1


def test_a_damaged_entry_is_made_again(pets: Path) -> None:
    expected = load(pets).fingerprint
    (entry,) = list_entries()
    (entry / "facts.json").unlink()
    assert load(pets).fingerprint == expected
    for damage in ("facts.json", "rows.npz", "pixels.bin"):
        (entry / damage).write_bytes(b"")
        assert load(pets).fingerprint == expected
    assert list_entries() == [entry]


def test_the_least_used_go_when_there_are_too_many(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(pets)
    (first,) = list_entries()
    os.utime(first / "facts.json", (1, 1))
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 3 * sum(f.stat().st_size for f in first.iterdir()) // 2)
    load(pets, image_size=5)
    assert first not in list_entries()
    assert len(list_entries()) == 1

"""Where datasets are looked for, in which order, and how they are divided."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn import server
from searchcnn.data import Dataset
from searchcnn.errors import DataError
from searchcnn.sources import BUILTIN_NAMES, debian, downloads, find_datasets, idx, load_dataset
from searchcnn.study import DataConfig

Make = Callable[..., Any]


def load(name: str, validation: float | int = 0.25, seed: int = 0) -> Dataset:
    return load_dataset(DataConfig(name=name, validation=validation), seed)


def test_digits() -> None:
    dataset = load("digits", 0.1)
    assert (dataset.name, dataset.source, dataset.input_shape, dataset.num_classes) == (
        "digits",
        "scikit-learn",
        (8, 8, 1),
        10,
    )
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [1293, 144, 360]
    assert dataset.train.images.dtype == np.uint8
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)


def test_splits_are_stratified_seeded_and_disjoint(own: Path, arrays: Make, write_npz: Make) -> None:
    write_npz(own / "mnist.npz", arrays())
    dataset, again, other = load("mnist"), load("mnist"), load("mnist", seed=2**40)
    assert np.array_equal(np.bincount(dataset.train.labels), np.full(10, 3))
    assert np.array_equal(np.bincount(dataset.validation.labels), np.full(10, 1))
    pixels = np.concatenate([dataset.train.images, dataset.validation.images]).reshape(40, -1)
    assert np.array_equal(np.unique(pixels, axis=0), np.unique(arrays()[0].reshape(40, -1), axis=0))
    assert np.array_equal(dataset.validation.images, again.validation.images)
    assert not np.array_equal(dataset.validation.images, other.validation.images)
    assert np.array_equal(dataset.test.images, other.test.images)


def test_images_keep_their_labels(own: Path, write_npz: Make) -> None:
    labels = np.arange(60) % 10
    images = np.broadcast_to(labels[:, np.newaxis, np.newaxis], (60, 28, 28)).copy()
    images[:, -1, -1] = np.arange(60)
    write_npz(own / "mnist.npz", (images, labels, images[:20], labels[:20]))
    dataset = load("mnist")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert np.array_equal(part.images[:, 0, 0, 0], part.labels)


def test_validation_as_a_number_of_images() -> None:
    assert len(load("digits", 200).validation) == 200


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (41, "data.validation = 41 cannot be taken from 40 training images of 10 classes; expected 10 to 30 images"),
        (35, "data.validation = 35 cannot"),
        (5, "data.validation = 5 cannot"),
    ],
)
def test_impossible_validation(own: Path, arrays: Make, write_npz: Make, validation: float | int, message: str) -> None:
    write_npz(own / "mnist.npz", arrays())
    with pytest.raises(DataError) as caught:
        load("mnist", validation)
    assert str(caught.value).startswith(f"{own / 'mnist.npz'}: {message}")


def test_fingerprint_is_of_the_content(own: Path, arrays: Make, write_npz: Make, write_idx: Make) -> None:
    x_train, y_train, x_test, y_test = arrays()
    prints = []
    for change in range(4):
        x_train[7, 7, 7] += change == 1
        y_test[[0, 1]] = y_test[[1, 0]] if change == 2 else y_test[[0, 1]]
        x_test[:] = x_test[::-1] if change == 3 else x_test
        write_npz(own / "mnist.npz", (x_train, y_train, x_test, y_test))
        prints.append(load("mnist").fingerprint)
    assert len(set(prints)) == 4
    assert load("mnist", 12, seed=9).fingerprint == prints[-1]
    write_idx(own / "mnist", (x_train, y_train, x_test, y_test))
    assert load("mnist").fingerprint == prints[-1]
    (own / "fashion_mnist.npz").write_bytes((own / "mnist.npz").read_bytes())
    assert load("fashion_mnist").fingerprint != prints[-1]  # other class names


def test_order_of_the_places(
    machine: Path, own: Path, arrays: Make, write_idx: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(machine / "keras"))
    folders = [own, machine / "keras" / "datasets", machine / "system", machine / "cache" / "searchcnn" / "datasets"]
    for folder in reversed(folders):
        write_idx(folder / "fashion-mnist", arrays())
        assert load("fashion_mnist").source == str(folder / "fashion-mnist")
        assert find_datasets()[0].source == str(folder / "fashion-mnist")


def test_keras_cache_in_home(machine: Path, arrays: Make, write_npz: Make, write_cifar10: Make) -> None:
    datasets = machine / "home" / ".keras" / "datasets"
    write_npz(datasets / "mnist.npz", arrays())
    write_cifar10(datasets / "cifar-10-batches-py-target" / "cifar-10-batches-py", arrays((32, 32, 3)))
    assert load("mnist").source == str(datasets / "mnist.npz")
    assert load("cifar10").class_names[3] == "cat"


def test_own_images(own: Path, arrays: Make, write_images: Make) -> None:
    write_images(own / "birds", arrays((9, 7, 3)))
    dataset = load("birds")
    assert (dataset.input_shape, dataset.class_names[9]) == ((9, 7, 3), "c9")
    assert [row.name for row in find_datasets()] == [*BUILTIN_NAMES, "birds"]


def test_files_of_another_dataset(own: Path, arrays: Make, write_npz: Make) -> None:
    write_npz(own / "mnist.npz", arrays((32, 32, 3)))
    with pytest.raises(
        DataError, match=r"mnist.npz: holds images of \(32, 32, 3\).*expected \(28, 28, 1\) and 10 for mnist"
    ):
        load("mnist")
    x_train, y_train, x_test, y_test = arrays()
    write_npz(own / "mnist.npz", (x_train, y_train + 1, x_test, y_test))
    with pytest.raises(DataError, match=r"mnist.npz: holds labels up to 10 .* expected 10 classes for mnist"):
        load("mnist")


@pytest.mark.parametrize("name", ["mnits", "imagenet", "../mnist", ""])
def test_unknown_name(own: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        load(name)
    hint = "did you mean 'mnist'?" if "mni" in name else "known: fashion_mnist, mnist, cifar10, cifar100, digits"
    assert str(caught.value).startswith(f"no dataset named '{name}'; {hint}")


def test_own_folder_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHCNN_DATA", "/no/such/folder")
    with pytest.raises(DataError, match=r"^SEARCHCNN_DATA=/no/such/folder: no such folder; "):
        load("mnist")


def test_find_datasets_on_an_empty_machine(machine: Path) -> None:
    rows = {row.name: row for row in find_datasets()}
    assert tuple(rows) == BUILTIN_NAMES
    assert [name for name in BUILTIN_NAMES if rows[name].source] == ["digits"]
    assert rows["cifar10"].tried[-1] == f"searchcnn's cache ({machine}/cache/searchcnn/datasets)"
    assert (rows["cifar10"].shape, rows["cifar10"].train, rows["cifar10"].test) == ((32, 32, 3), 50_000, 10_000)


def test_nowhere(machine: Path) -> None:
    with pytest.raises(DataError) as caught:
        load("fashion_mnist")
    message = str(caught.value)
    for part in (f"{machine}/system", "Keras' download (offline)", "(no apt-get and no dpkg-deb here)"):
        assert part in message
    for way_out in ("SEARCHCNN_DATA", "`apt-get install dataset-fashion-mnist`", "`--study digits`"):
        assert way_out in message
    assert "\n" not in message
    with pytest.raises(DataError) as caught:
        load("mnist")
    assert "apt-get" not in str(caught.value)


def test_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 0.1)
    release = threading.Event()
    monkeypatch.setattr(server, "_ask", lambda url, seconds, problems: release.wait(5))
    with pytest.raises(ConnectionError, match=r"no answer from https://host within 0.1 s"):
        downloads._check_server("https://host")
    release.set()


def test_server_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(ConnectionError, match=r"http://127.0.0.1:9/x: .*refused"):
        downloads._check_server("http://127.0.0.1:9/x")


def test_keras_download(monkeypatch: pytest.MonkeyPatch, arrays: Make, capfd: pytest.CaptureFixture[str]) -> None:
    from searchcnn.backend import start_keras

    start_keras()
    import keras

    def load_data() -> Any:
        print("Downloading data from https://host")
        x_train, y_train, x_test, y_test = arrays((32, 32, 3))
        return (x_train, y_train[:, np.newaxis]), (x_test, y_test[:, np.newaxis])

    monkeypatch.setattr(downloads, "_check_server", lambda url: None)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)
    assert load("cifar10").source.startswith("Keras' download, now in ")
    assert capfd.readouterr() == ("", "")


def test_keras_download_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise Exception("URL fetch failure on https://host: 404 -- Not Found")

    monkeypatch.setattr(downloads, "_check_server", lambda url: None)
    monkeypatch.setattr(downloads, "_load_with_keras", fails)
    with pytest.raises(DataError, match=r"Keras' download .URL fetch failure on https://host: 404"):
        load("mnist")


@pytest.fixture
def debian_machine(machine: Path, arrays: Make, write_idx: Make) -> Path:
    """Returns the folder of programs, with an apt-get that logs its calls and a dpkg-deb that copies a folder."""
    write_idx(machine / "package" / "usr" / "share" / "datasets" / "fashion-mnist", arrays())
    program(machine, "apt-get", f'echo "$*" >> {machine}/calls; case "$*" in *download*) /bin/touch fashion.deb;; esac')
    program(machine, "dpkg-deb", f'test -f "$2" && /bin/cp -r {machine}/package "$3"')
    return machine / "bin"


def program(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_debian_package(machine: Path, debian_machine: Path) -> None:
    cache = machine / "cache" / "searchcnn" / "datasets"
    first = load("fashion_mnist")
    assert first.source == f"Debian's dataset-fashion-mnist, now in {cache}/fashion-mnist"
    calls = (machine / "calls").read_text().splitlines()
    assert [call.split()[-2:] for call in calls] == [
        ["Acquire::https::Timeout=20", "update"],
        ["download", "dataset-fashion-mnist"],
    ]
    assert [path.name for path in cache.iterdir()] == ["fashion-mnist"]
    again = load("fashion_mnist")
    assert (again.source, again.fingerprint) == (str(cache / "fashion-mnist"), first.fingerprint)
    assert len((machine / "calls").read_text().splitlines()) == 2


def test_known_lists_are_not_refreshed(machine: Path, debian_machine: Path) -> None:
    (machine / "lists").mkdir()
    (machine / "lists" / "mirror_main_binary-amd64_Packages.lz4").touch()
    load("fashion_mnist")
    assert "update" not in (machine / "calls").read_text()


def test_incomplete_cache_is_fetched_again(machine: Path, debian_machine: Path) -> None:
    load("fashion_mnist")
    (machine / "cache" / "searchcnn" / "datasets" / "fashion-mnist" / idx.FILES[0]).unlink()
    assert load("fashion_mnist").source.startswith("Debian's dataset-fashion-mnist")


@pytest.mark.parametrize(
    ("name", "script", "reason"),
    [
        (
            "apt-get",
            'echo "W: first" >&2; echo "E: Unable to locate package" >&2; exit 100',
            "E: Unable to locate package",
        ),
        ("apt-get", "exit 1", "apt-get exited with code 1"),
        ("apt-get", "exit 0", "apt-get download left no package"),
        ("dpkg-deb", "echo 'not a Debian format archive' >&2; exit 2", "not a Debian format archive"),
        ("dpkg-deb", "exit 0", "the package lacks train-images"),
    ],
)
def test_debian_package_that_fails(machine: Path, debian_machine: Path, name: str, script: str, reason: str) -> None:
    program(machine, name, script)
    with pytest.raises(DataError) as caught:
        load("fashion_mnist")
    assert f"Debian's dataset-fashion-mnist ({reason}" in str(caught.value)
    assert list((machine / "cache" / "searchcnn" / "datasets").iterdir()) == []


def test_cache_that_cannot_be_written(machine: Path, debian_machine: Path) -> None:
    (machine / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"Debian's dataset-fashion-mnist \(.*Not a directory"):
        load("fashion_mnist")


def test_the_faster_process_wins(machine: Path, arrays: Make, write_idx: Make) -> None:
    write_idx(machine / "unpacked", arrays())
    write_idx(machine / "there", arrays(seed=1))
    before = (machine / "there" / idx.FILES[0]).read_bytes()
    debian._move(machine / "unpacked", machine / "there")
    assert (machine / "there" / idx.FILES[0]).read_bytes() == before


def test_importing_the_room_starts_nothing_slow() -> None:
    code = """
import sys, searchcnn.sources
searchcnn.sources.find_datasets()
print({"keras", "tensorflow", "sklearn", "PIL", "optuna"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

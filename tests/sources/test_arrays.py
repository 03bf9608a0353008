"""Images and labels as arrays: in NumPy archives, from Python, from users' functions."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.errors import DataError
from searchcnn.sources import load_dataset, npz
from searchcnn.sources.objects import from_named_arrays, from_object
from searchcnn.study import DataConfig

KEYS = ("x_train", "y_train", "x_test", "y_test")


def make_images(count: int = 40, shape: tuple[int, ...] = (8, 6, 3), seed: int = 0) -> tuple[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8), np.arange(count) % 4


TRAIN, VALIDATION, TEST = make_images(), make_images(12, seed=1), make_images(8, seed=2)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_valid", "Y_valid", "X_test", "Y_test"),
        ("images_train", "labels_train", "images_dev", "labels_dev", "images_test", "labels_test"),
    ],
)
def test_names_of_arrays(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.savez(tmp_path / "birds.npz", **dict(zip(names, (*TRAIN, *VALIDATION, *TEST), strict=True)))
    read = npz.read(tmp_path / "birds.npz")
    for part, (images, labels) in zip(("train", "validation", "test"), (TRAIN, VALIDATION, TEST), strict=True):
        assert np.array_equal(read.parts[part].images, images)
        assert np.array_equal(read.parts[part].labels, labels)
    dataset = load_dataset(DataConfig(path=str(tmp_path / "birds.npz")), 0)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (40, 12, 8)
    assert dataset.class_names == ("0", "1", "2", "3")


def test_x_and_y_are_divided(tmp_path: Path) -> None:
    images, labels = make_images(100)
    np.savez(tmp_path / "birds.npz", x=images, y=labels, class_names=["a", "bird", "c", "d"])
    dataset = load_dataset(DataConfig(path=str(tmp_path / "birds.npz")), 0)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (80, 10, 10)
    assert dataset.class_names == ("a", "bird", "c", "d")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("y_test"), "no images and labels for test; expected x_train, y_train"),
        (lambda a: a.update(x_train=a["x_train"].astype(int) * 300), "0..76500, expected 0..255, 0..65535 or floats"),
        (lambda a: a.update(x_train=a["x_train"][:, 0, 0]), r"images of train have shape \(40, 3\)"),
        (lambda a: a.update(x_train=np.moveaxis(a["x_train"], -1, 1)), "if the channels come first, pass np.moveaxis"),
        (
            lambda a: a.update(x_train=np.concatenate([a["x_train"]] * 2, -1)[..., :4]),
            "4 channels; remove the last one",
        ),
        (lambda a: a.update(y_train=a["y_train"][1:]), r"labels of train have shape \(39,\), expected one for each of"),
        (lambda a: a.update(y_train=a["y_train"] - 0.5), "labels of train are float64, from -0.5"),
        (lambda a: a.update(y_train=a["y_train"] - 1), "from -1, expected integers from 0 or names"),
        (lambda a: a.update(x_test=a["x_test"][:0], y_test=a["y_test"][:0]), r"shape \(0, 8, 6, 3\)"),
        (lambda a: a.update(y_test=np.array([{}] * 8)), "allow_pickle=False"),
        (lambda a: a.update(x_test=a["x_test"][:, 1:]), "images of one size .holds images of several sizes"),
    ],
)
def test_wrong_archives(tmp_path: Path, change: Any, reason: str) -> None:
    content = dict(zip(KEYS, (*TRAIN, *TEST), strict=True))
    content["x_train"] = content["x_train"].copy()
    content["x_train"][0], content["x_train"][1] = 0, 255
    change(content)
    np.savez(tmp_path / "birds.npz", **content)
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))}/birds.npz: expected .*{reason}"):
        load_dataset(DataConfig(path=str(tmp_path / "birds.npz")), 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04N."], ids=["empty", "cut off", "pickle"])
def test_damaged_archives(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "birds.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"birds.npz: expected a NumPy archive"):
        npz.read(tmp_path / "birds.npz")


def test_labels_as_people_have_them() -> None:
    images, numbers = TRAIN
    names = np.array(["ant", "bee", "cat", "dog"])
    for labels, class_names in (
        (numbers[:, np.newaxis], None),
        (numbers.astype(np.float32), None),
        (np.eye(4)[numbers], None),
        (list(names[numbers]), tuple(names)),
        (names[numbers].astype("S"), tuple(names)),
    ):
        read = from_object((images, labels))
        assert np.array_equal(read.parts["train"].labels, numbers)
        assert read.class_names == class_names


def test_forms_as_people_have_them() -> None:
    for data in ((TRAIN, TEST), {"train": TRAIN, "test": TEST}, dict(zip(KEYS, (*TRAIN, *TEST), strict=True))):
        read = from_object(data)
        assert np.array_equal(read.parts["test"].images, TEST[0])
        assert set(read.parts) == {"train", "test"}
    grey = from_object((TRAIN[0][..., 0] / 255, TRAIN[1]))
    assert np.array_equal(grey.parts["train"].images, TRAIN[0][..., :1])


def test_tensorflow_datasets() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    data = tensorflow.data.Dataset.from_tensor_slices(TRAIN)
    for form in (data, data.batch(7), {"train": data, "test": data.batch(3)}):
        read = from_object(form)
        assert np.array_equal(read.parts["train"].images, TRAIN[0])
        assert np.array_equal(read.parts["train"].labels, TRAIN[1])
    with pytest.raises(ValueError, match="without an end"):
        from_object(data.repeat())
    with pytest.raises(ValueError, match="elements that are not"):
        from_object(tensorflow.data.Dataset.range(3))


@pytest.mark.parametrize("wrong", [3, None, "x", (1, 2), (TRAIN,), {}, {"x": TRAIN[0]}, {"test": TEST}, [TRAIN] * 5])
def test_wrong_objects(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        from_object(wrong)


SOURCE = """
import numpy
def images():
    random = numpy.random.default_rng(0)
    return random.integers(0, 256, (60, 5, 5, 1)), numpy.arange(60) % 3
def elsewhere():
    return "{folder}/birds.npz"
def wrong():
    return 7
def failing():
    raise RuntimeError("no connection")
def leaving():
    raise SystemExit(3)
number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Returns a module in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_birds.py").write_text(SOURCE.format(folder=tmp_path))
    np.savez(tmp_path / "birds.npz", x=TRAIN[0], y=TRAIN[1])
    yield tmp_path / "my_birds.py"
    sys.modules.pop("my_birds", None)


def test_functions(module: Path) -> None:
    for factory in ("my_birds:images", f"{module}:images"):
        dataset = load_dataset(DataConfig(path=factory), 0)
        assert (dataset.name, dataset.source, dataset.input_shape) == ("images", factory, (5, 5, 1))
        assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (48, 6, 6)
    assert load_dataset(DataConfig(path="my_birds:elsewhere"), 0).input_shape == (8, 6, 3)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("my_birds:wrong", "my_birds:wrong: expected (x, y); "),
        ("my_birds:failing", "my_birds:failing: failed: RuntimeError: no connection"),
        ("my_birds:leaving", "my_birds:leaving: failed: SystemExit: 3"),
        ("my_birds:number", "my_birds:number: my_birds has no function 'number'"),
        ("my_birds:image", "my_birds:image: my_birds has no function 'image'"),
        (
            "my_fish:images",
            "my_fish:images: my_fish cannot be imported: ModuleNotFoundError: No module named 'my_fish'",
        ),
        ("nowhere.py:images", "nowhere.py:images: nowhere.py cannot be imported: FileNotFoundError"),
    ],
)
def test_wrong_functions(module: Path, factory: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(DataConfig(path=factory), 0)
    assert str(caught.value).startswith(message)


def test_functions_find_what_lies_beside_them(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import numpy\nfrom paths import COUNT\n\ndef load():\n    from sides import SIDE\n"
    text += "    pixels = numpy.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 1), 'uint8')\n"
    text += "    return pixels, numpy.arange(COUNT) % 3\n"
    for name, count in (("a", 60), ("b", 90)):
        folder = module.parent / name
        folder.mkdir()
        (folder / "birds.py").write_text(text)
        (folder / "paths.py").write_text(f"COUNT = {count}\n")
        (folder / "sides.py").write_text("SIDE = 8\n")
    (module.parent / "random.py").write_text("1 / 0\n")
    for factory, count in (("a/birds.py:load", 60), ("b/birds.py:load", 90), ("a/birds.py:load", 60)):
        dataset = load_dataset(DataConfig(path=factory), 0)
        assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == count
    monkeypatch.chdir(module.parent / "a")
    assert load_dataset(DataConfig(path="birds:load"), 0).input_shape == (8, 8, 1)
    assert not [entry for entry in sys.path if str(module.parent) in entry]
    Path("sides.py").write_text("\nSIDE = 1 / 0\n")
    with pytest.raises(DataError, match=r"birds:load: failed: ZeroDivisionError: .* \(.*/a/sides.py:2\)$"):
        load_dataset(DataConfig(path="birds:load"), 0)
    Path("paths.py").write_text("COUNTS = 1\n")
    with pytest.raises(DataError, match=r"cannot import name 'COUNT' from 'paths' .* \(.*/a/birds.py:2\)$"):
        load_dataset(DataConfig(path="birds:load"), 0)


def test_another_size_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "birds.npz", x=TRAIN[0], y=TRAIN[1])
    dataset = load_dataset(DataConfig(path=str(tmp_path / "birds.npz"), image_size=[4, 12], channels=1), 0)
    assert dataset.input_shape == (4, 12, 1)
    assert dataset.inspection.sizes[0] == [8, 6]


ARRAYS = st.builds(
    lambda shape, kind, value: np.full(shape, value).astype(kind),
    st.lists(st.integers(0, 5), max_size=5),
    st.sampled_from(["u1", "i8", "f4", "bool", "U3", "c8"]),
    st.integers(0, 300),
)


@given(st.dictionaries(st.sampled_from([*KEYS, "x", "y", "train_images", "class_names", "z", ""]), ARRAYS, max_size=5))
def test_whatever_is_in_an_archive(arrays: dict[str, Any]) -> None:
    try:
        read = from_named_arrays(arrays)
    except ValueError as error:
        assert str(error)
    else:
        assert all(len(split.images) == len(split.labels) > 0 for split in read.parts.values())


def test_labels_that_do_not_begin_at_0(tmp_path: Path) -> None:
    np.savez(tmp_path / "birds.npz", x=TRAIN[0], y=TRAIN[1] * 3 + 2)
    dataset = load_dataset(DataConfig(path=str(tmp_path / "birds.npz")), 0)
    assert dataset.class_names == ("2", "5", "8", "11")
    assert set(dataset.train.labels) == {0, 1, 2, 3}
    np.savez(tmp_path / "birds.npz", x=TRAIN[0], y=TRAIN[1] * 10**12)
    assert load_dataset(DataConfig(path=str(tmp_path / "birds.npz")), 0).class_names[1] == "1000000000000"
    assert not [finding for finding in dataset.inspection.findings if finding.level == "warning"]


def test_all_parts_are_scaled_alike() -> None:
    images = TRAIN[0] / 255
    read = from_object({"x_train": images, "y_train": TRAIN[1], "x_test": images * 1.01, "y_test": TRAIN[1]})
    assert read.parts["train"].images.max() == read.parts["test"].images.max() == 1  # 0..255, as the test part says
    with pytest.raises(ValueError, match="pixels are float64 and uint8, expected numbers of the same kind"):
        from_object({"x_train": images, "y_train": TRAIN[1], "x_test": TRAIN[0], "y_test": TRAIN[1]})


def test_almost_black_images_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "birds.npz", x=TRAIN[0].astype(np.uint16) * 16, y=TRAIN[1])  # 12 bits in 16
    (finding,) = load_dataset(DataConfig(path=str(tmp_path / "birds.npz")), 0).inspection.findings[:1]
    assert str(finding).startswith(
        "the brightest pixel is 16 of 255; networks see almost nothing; scale pixels to 0..255"
    )

"""Images are copied into folders of their predicted classes."""

from pathlib import Path

import pytest

from searchcnn.results.prediction import Prediction
from searchcnn.results.sorting import Sorter


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "sorted").mkdir()
    return tmp_path / "sorted"


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path))
    return path


def test_no_copy_overwrites_another(tmp_path: Path, target: Path) -> None:
    sorter = Sorter(target)
    names = ("a/x.jpg", "b/x.jpg", "c/X.jpg", "d/x-2.jpg", "e/x.jpg")
    files = [write(tmp_path / name) for name in names]
    copies = [sorter.copy(Prediction(file, {"cat": 0.9, "dog": 0.1})) for file in files]
    assert [copy.name for copy in copies] == ["x.jpg", "x-2.jpg", "X-3.jpg", "x-2-2.jpg", "x-4.jpg"]
    assert [copy.read_text() for copy in copies] == [str(file) for file in files]
    assert {copy.parent for copy in copies} == {target / "cat"}


def test_unsure_images_have_a_folder_of_their_own(tmp_path: Path, target: Path) -> None:
    """A class of that name, too."""
    sorter, file, probabilities = Sorter(target), write(tmp_path / "x.jpg"), {"unsure": 0.9, "dog": 0.1}
    sure = sorter.copy(Prediction(file, probabilities, sure=True, unlike=False))
    unsure = sorter.copy(Prediction(file, probabilities, sure=False, unlike=False))
    unlike = sorter.copy(Prediction(file, probabilities, sure=None, unlike=True))
    assert [copy.relative_to(target).as_posix() for copy in (sure, unsure, unlike)] == [
        "unsure-2/x.jpg",
        "unsure/x.jpg",
        "unsure/x-2.jpg",
    ]


def test_no_class_leaves_the_folder(tmp_path: Path, target: Path) -> None:
    sorter, file = Sorter(target), write(tmp_path / "x.jpg")
    classes = ["..", "../up", "/etc", "a/b", "a\\b", "", "nul\0", "Cat", "cat"]
    folders = []
    for name in classes:
        others = {other: 0.0 for other in classes if other != name}
        folders.append(sorter.copy(Prediction(file, {name: 1.0} | others)).parent)
    assert {folder.parent for folder in folders} == {target}
    assert len({folder.name.lower() for folder in folders}) == len(classes)

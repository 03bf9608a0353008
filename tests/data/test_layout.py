"""Parts and classes are told from the names of folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.data.layout import Layout, arrange, part_of
from searchcnn.errors import DataError

Sorted = set[tuple[str, str, str]]


def found(layout: Layout) -> Sorted:
    return {(place.path.rpartition("/")[2], place.part, place.class_name) for place in layout.places}


CATS_AND_DOGS = {("1.jpg", "train", "cat"), ("2.jpg", "train", "dog")}


@pytest.mark.parametrize(
    "files",
    [
        ["cat/1.jpg", "dog/2.jpg"],
        ["pets/cat/1.jpg", "pets/dog/2.jpg"],
        ["pets-1.0/images/cat/1.jpg", "pets-1.0/images/dog/2.jpg"],
        ["cat/a/b/1.jpg", "dog/2.jpg"],
        ["train/cat/1.jpg", "train/dog/2.jpg"],
        ["pets/Training Set/cat/1.jpg", "pets/Training Set/dog/2.jpg"],
        ["cat/1.jpg", "dog/2.jpg", "cat/notes.txt", "cat/.hidden.jpg", "__MACOSX/cat/._1.jpg", "README.md"],
    ],
)
def test_classes(files: list[str]) -> None:
    layout = arrange("x", files)
    assert found(layout) == CATS_AND_DOGS
    assert not layout.findings


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN", "trainset"])
@pytest.mark.parametrize("validation", ["val", "valid", "Validation", "dev"])
@pytest.mark.parametrize("test", ["test", "Testing", "test-set"])
@pytest.mark.parametrize("top", ["", "pets/"])
def test_parts_as_people_write_them(train: str, validation: str, test: str, top: str) -> None:
    layout = arrange("x", [f"{top}{part}/cat/{part}.jpg" for part in (train, validation, test)])
    assert found(layout) == {
        (f"{train}.jpg", "train", "cat"),
        (f"{validation}.jpg", "validation", "cat"),
        (f"{test}.jpg", "test", "cat"),
    }


def test_the_order_does_not_depend_on_the_disk() -> None:
    files = [f"{part}/{name}/{number}.png" for part in ("test", "train") for name in "ba" for number in "21"]
    assert arrange("x", files).places == arrange("x", reversed(files)).places
    assert [place.path for place in arrange("x", files).places][:2] == ["train/a/1.png", "train/a/2.png"]


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        (["train/cat/1.jpg", "train/3.jpg"], [], "1 image in no folder of a class (train/3.jpg); left out"),
        (["cat/1.jpg", "3.jpg"], [], "1 image in no folder of a class (3.jpg); left out"),
        (
            ["train/a/1.jpg", "more/a/2.jpg"],
            [],
            "1 folder beside train/ (more); left out; give folders of classes no names of parts, such as train",
        ),
        (["cat/1.jpg", "dog/2.jpg"], ["cat", "dog", "cow", ".git"], "1 folder without images (cow); no class"),
        (
            ["cat/1.jpg", "dog/2.jpg", "cat/3.HEIC", "cat/4.heic", "dog/5", "notes.txt"],
            [],
            "3 files of kinds that are not read (2 .heic, 1 no suffix); left out; expected JPEG, PNG, GIF, BMP, WebP, "
            "AVIF, TIFF or PNM",
        ),
        (["p/train/cat/1.jpg"], ["p/train/cow", "p/train/cat", "p"], "1 folder without images (cow); no class"),
    ],
)
def test_what_is_odd_is_named(files: list[str], folders: list[str], message: str) -> None:
    assert [str(finding) for finding in arrange("x", files, folders).findings] == [message]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "x: holds no images; expected CLASS/IMAGE"),
        (["a/notes.txt"], "x: holds no images"),
        (["1.jpg", "2.jpg"], r"x: images lie in no folder of their class \(1.jpg\); expected CLASS/IMAGE"),
        (["train/1.jpg", "test/2.jpg"], r"x: images lie in no folder of their class \(test/2.jpg\)"),
        (
            ["val/cat/1.jpg", "test/cat/2.jpg"],
            "x: holds test and val and nothing to train on; expected a folder train/",
        ),
    ],
)
def test_what_cannot_be_sorted(files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        arrange("x", files)


def test_words() -> None:
    assert part_of(" Validation-Set ") == "validation"
    assert part_of("daisy") is None


NAMES = st.sampled_from(["train", "val", "test", "cat", "dog", "a.b", "ä", "-", "1", ".x"])
PATHS = st.builds(
    lambda folders, file: "/".join([*folders, file]),
    st.lists(NAMES, max_size=4),
    st.sampled_from(["1.jpg", "2.PNG", "x.txt"]),
)


@given(st.lists(PATHS, max_size=12, unique=True))
def test_whatever_lies_in_a_folder(files: list[str]) -> None:
    try:
        layout = arrange("x", files)
    except DataError as error:
        assert str(error).startswith("x: ")
        return
    assert {place.path for place in layout.places} <= set(files)
    assert "train" in {place.part for place in layout.places}

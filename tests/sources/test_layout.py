"""Parts and classes are told from the names of folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.errors import DataError
from searchcnn.sources.layout import Layout, arrange
from searchcnn.sources.parts import parse_part

Sorted = set[tuple[str, str, str]]


def simplify(layout: Layout) -> Sorted:
    return {(image.path.rpartition("/")[2], image.part, image.class_name) for image in layout.images}


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
    assert simplify(layout) == CATS_AND_DOGS
    assert not layout.findings


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN", "trainset"])
@pytest.mark.parametrize("validation", ["val", "valid", "Validation", "dev"])
@pytest.mark.parametrize("test", ["test", "Testing", "test-set"])
@pytest.mark.parametrize("top", ["", "pets/"])
def test_parts_as_people_write_them(train: str, validation: str, test: str, top: str) -> None:
    layout = arrange("x", [f"{top}{part}/cat/{part}.jpg" for part in (train, validation, test)])
    assert simplify(layout) == {
        (f"{train}.jpg", "train", "cat"),
        (f"{validation}.jpg", "validation", "cat"),
        (f"{test}.jpg", "test", "cat"),
    }


DIVIDED = {
    ("1.jpg", "train", "cat"),
    ("2.jpg", "train", "dog"),
    ("3.jpg", "test", "cat"),
    ("4.jpg", "validation", "dog"),
}


@pytest.mark.parametrize(
    "files",
    [
        ["train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "val/dog/4.jpg"],
        ["cat/train/1.jpg", "dog/train/2.jpg", "cat/test/3.jpg", "dog/val/4.jpg"],
        ["cat/Training/1.jpg", "dog/TRAIN/2.jpg", "cat/Testing/3.jpg", "dog/Valid/4.jpg"],
        ["pets/cat/train/1.jpg", "pets/dog/train/2.jpg", "pets/cat/test/3.jpg", "pets/dog/val/4.jpg"],
        ["cat/2019/train/1.jpg", "dog/2020/train/2.jpg", "cat/2019/test/3.jpg", "dog/2020/val/4.jpg"],
        ["train/train/cat/1.jpg", "train/train/dog/2.jpg", "test/test/cat/3.jpg", "val/val/dog/4.jpg"],
    ],
)
def test_parts_in_either_order(files: list[str]) -> None:
    folders = {"/".join(file.split("/")[:depth]) for file in files for depth in range(1, file.count("/") + 1)}
    layout = arrange("x", files, sorted(folders))
    assert simplify(layout) == DIVIDED
    assert not layout.findings


def test_the_order_does_not_depend_on_the_disk() -> None:
    files = [f"{part}/{name}/{number}.png" for part in ("test", "train") for name in "ba" for number in "21"]
    assert arrange("x", files).images == arrange("x", reversed(files)).images
    assert [image.path for image in arrange("x", files).images][:2] == ["train/a/1.png", "train/a/2.png"]


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        (["train/cat/1.jpg", "train/3.jpg"], [], "1 image outside the folders of classes (train/3.jpg); left out"),
        (["cat/1.jpg", "3.jpg"], [], "1 image outside the folders of classes (3.jpg); left out"),
        (
            ["train/a/1.jpg", "more/a/2.jpg"],
            [],
            "1 folder next to train/ (more); left out; do not give a class the name of a part, such as train",
        ),
        (["cat/1.jpg", "dog/2.jpg"], ["cat", "dog", "cow", ".git"], "1 folder without images (cow); not a class"),
        (
            ["cat/1.jpg", "dog/2.jpg", "cat/3.HEIC", "cat/4.heic", "dog/5", "notes.txt"],
            [],
            "3 files in formats that cannot be read (2 .heic, 1 no suffix); left out; expected JPEG, PNG, GIF, BMP, "
            "WebP, AVIF, TIFF or PNM; pip install 'searchcnn[heic]' to read HEIC",
        ),
        (["p/train/cat/1.jpg"], ["p/train/cow", "p/train/cat", "p"], "1 folder without images (cow); not a class"),
        (
            ["cat/1.jpg", "dog/2.jpg", "dog/old/3.jpg", "dog/test/4.jpg"],
            [],
            "3 images outside the folders of parts (cat/1.jpg, dog/2.jpg, dog/old/3.jpg); trained on, as no folder is "
            "named train",
        ),
        (
            ["cat/train/1.jpg", "dog/train/2.jpg", "dog/test/3.jpg", "dog/4.jpg"],
            [],
            "1 image outside the folders of parts (dog/4.jpg); left out; move them to train, val or test",
        ),
        (
            ["web/train/cat/1.jpg", "web/test/cat/2.jpg", "own/train/cat/3.jpg"],
            [],
            "folders inside those of parts are not taken for classes; the classes are own, web (own/train/cat/3.jpg); "
            "expected CLASS/PART/IMAGE, or PART/CLASS/IMAGE",
        ),
        (
            ["train/cat/1.jpg", "train/dog/2.jpg", "train/test/3.jpg", "train/dog/val/4.jpg"],
            [],
            "2 images to train on in a folder with the name of another part (train/dog/val/4.jpg, train/test/3.jpg); "
            "trained on; move them, or rename the folder",
        ),
        (
            ["cat/train/1.jpg", "cat/Prueba/2.jpg", "dog/train/3.jpg"],
            [],
            "1 folder next to train/ in the folders of classes (Prueba); trained on; if these are parts, name them val "
            "and test",
        ),
        (
            ["tr/cat/1.jpg", "tr/dog/2.jpg", "te/cat/3.jpg", "te/dog/4.jpg"],
            [],
            "folders te, tr hold folders with the same names and are taken for classes (cat, dog); if they are parts, "
            "name them train, val and test",
        ),
        (
            ["bus/1.jpg", "car/2.jpg", "train/3.jpg"],
            [],
            "folder train/ is taken for a class, as it holds no folders (next to bus, car); if it is a part, sort its "
            "images into train/CLASS/IMAGE",
        ),
    ],
)
def test_what_is_odd_is_named(files: list[str], folders: list[str], message: str) -> None:
    assert [str(finding) for finding in arrange("x", files, folders).findings] == [message]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "x: holds no images; expected CLASS/IMAGE"),
        (["a/notes.txt"], "x: holds no images"),
        (["1.jpg", "2.jpg"], r"x: images are not in folders of their classes \(1.jpg\); expected CLASS/IMAGE"),
        (["train/1.jpg", "test/2.jpg"], r"x: images are not in folders of their classes \(test/2.jpg\)"),
        (
            ["val/cat/1.jpg", "test/cat/2.jpg"],
            "x: holds test and val and nothing to train on; expected a folder train/",
        ),
        (["cat/1.jpg", "dog/2.jpg", "test/3.jpg"], "x: holds test and nothing to train on; expected a folder train/"),
        (
            ["train_images/cat/1.jpg", "test_images/cat/2.jpg"],
            "x: cannot tell whether folders test_images, train_images are parts or classes; name parts train, val and",
        ),
        (["seg_train/cat/1.jpg", "seg_test/cat/2.jpg", "seg_pred/3.jpg"], "whether folders seg_test, seg_train are"),
        (["trainA/1.jpg", "testA/2.jpg"], "whether folders testA, trainA are parts or classes"),
        (["train2017/cat/1.jpg", "val2017/cat/2.jpg"], "whether folders train2017, val2017 are parts or classes"),
        (["cat/train_1/1.jpg", "dog/test_1/2.jpg"], "whether folders test_1, train_1 are parts or classes"),
        (["cat/train/1.jpg", "cat/holdout/2.jpg", "dog/train/3.jpg"], "whether folder holdout is a part or a class"),
        (["cat/val/1.jpg", "dog/val/2.jpg"], "x: holds nothing to train on, only cat/val/1.jpg and the like; expected"),
        (["cat/train/1.jpg", "cat/hold-out/2.jpg"], "whether folder hold-out is a part or a class"),
        (["cat/train/1.jpg", "cat/held out/2.jpg"], "whether folder held out is a part or a class"),
        (["cat/train/1.jpg", "dog/tests/2.jpg"], "whether folder tests is a part or a class"),
        (["cat/train/1.jpg", "dog/Evaluate/2.jpg"], "whether folder Evaluate is a part or a class"),
        (["train images/1.jpg", "unseen/2.jpg"], "whether folders train images, unseen are parts or classes"),
        (["x_train/1.jpg", "x_query/2.jpg", "x_predict/2.jpg"], "whether folders x_predict, x_query, x_train are"),
    ],
)
def test_what_cannot_be_sorted(files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        arrange("x", files)


@pytest.mark.parametrize("name", ["train station", "trainer", "test tube", "contest", "valley", "steam_train"])
def test_classes_that_are_named_almost_as_a_part(name: str) -> None:
    layout = arrange("x", [f"{name}/1.jpg", "airport/2.jpg", "airport/train/3.jpg"])
    assert simplify(layout) == {("1.jpg", "train", name), ("2.jpg", "train", "airport"), ("3.jpg", "train", "airport")}
    assert not layout.findings


ALMOST = "named almost like a part"


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        (["00_airplane", "01_car", "02_train"], [f"1 folder {ALMOST} (02_train)"]),
        (["car_1", "train_1"], [f"1 folder {ALMOST} (train_1)"]),
        (["car_pictures", "train_pictures"], [f"1 folder {ALMOST} (train_pictures)"]),
        (["model_train", "test_tube"], [f"2 folders {ALMOST} (model_train, test_tube)"]),
        (["train_station", "test_tube"], [f"2 folders {ALMOST} (test_tube, train_station)"]),
        (["Test Images", "cat"], [f"1 folder {ALMOST} (Test Images)"]),
        (["car", "test_tube", "train"], [f"1 folder {ALMOST} (test_tube)", "folder train/ is taken for a class"]),
        (["invalid", "valid"], ["folder valid/ is taken for a class"]),
        (["stress test", "training"], [f"1 folder {ALMOST} (stress test)", "folder training/ is taken for a class"]),
        (["dev", "prod"], ["folder dev/ is taken for a class"]),
        (["car", "trained", "contest", "invalidity"], []),
    ],
)
def test_classes_that_may_be_parts_are_named(names: list[str], warned: list[str]) -> None:
    layout = arrange("x", [f"{name}/1.jpg" for name in names])
    assert simplify(layout) == {("1.jpg", "train", name) for name in names}
    assert len(layout.findings) == len(warned)
    for finding, start in zip(layout.findings, warned, strict=True):
        assert str(finding).startswith(start)


@pytest.mark.parametrize(
    "files",
    [
        ["training/cat/1.jpg", "stress test/cat/2.jpg"],
        ["people/train station/1.jpg", "people/test site/2.jpg", "dog/3.jpg"],
        ["train/cat/1.jpg", "train/test_data/2.jpg", "test/cat/3.jpg"],
        ["train/cat/1.jpg", "train/dog/2.jpg", "hold-out/cat/3.jpg"],
        ["cat/train/1.jpg", "cat/Prueba/2.jpg", "dog/train/3.jpg"],
        ["cat/train/1.jpg", "dog/train/val/2.jpg"],
        ["tr/cat/1.jpg", "tr/dog/2.jpg", "te/cat/3.jpg", "te/dog/4.jpg"],
        ["x/Prueba/cat/1.jpg", "x/Prueba/dog/2.jpg", "x/Entrenamiento/cat/3.jpg", "x/Entrenamiento/dog/4.jpg"],
    ],
)
def test_what_may_be_parts_is_named(files: list[str]) -> None:
    layout = arrange("x", files)
    assert [finding.level for finding in layout.findings] == ["warning"]


def test_loose_images_beside_folders_are_no_sign_of_parts() -> None:
    assert not arrange("x", ["a/x/1.jpg", "a/y/2.jpg", "b/x/3.jpg", "b/4.jpg"]).findings


def test_a_class_named_train_in_folders_of_parts() -> None:
    layout = arrange("x", [f"{part}/{name}/{part}.jpg" for part in ("train", "test") for name in ("car", "train")])
    assert simplify(layout) == {(f"{part}.jpg", part, name) for part in ("train", "test") for name in ("car", "train")}
    assert not layout.findings


def test_words() -> None:
    assert parse_part(" Validation-Set ") == "validation"
    assert parse_part("daisy") is None


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
    assert {image.path for image in layout.images} <= set(files)
    for image in layout.images:
        if image.part == "train" and {"val", "test"} & set(image.path.split("/")):
            assert layout.findings  # never silently
    assert "train" in {image.part for image in layout.images}

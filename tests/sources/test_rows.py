"""The part of each row of a table: whatever the column is called, nothing that is named test is trained on silently."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.errors import DataError
from searchcnn.sources.rows import Assignment, assign_parts

TABLE = Path("list.csv")


def assign(paths: list[str] | None = None, **columns: list[str]) -> Assignment:
    count = len(next(iter(columns.values()), paths or []))
    return assign_parts(TABLE, paths or [f"{number}.png" for number in range(count)], columns)


def shorten(assignment: Assignment) -> list[str]:
    """Returns the first letter of each part, or why there is none."""
    return [part[0] if part else why for part, why in zip(assignment.parts, assignment.reasons, strict=True)]


def list_warnings(assignment: Assignment) -> list[str]:
    return [str(finding) for finding in assignment.findings if finding.level == "warning"]


@pytest.mark.parametrize("name", ["split", "Subset", "data set", "usage", "phase", "fold", "is_valid", "x"])
def test_words_are_parts_whatever_the_column_is_called(name: str) -> None:
    assignment = assign(**{name: ["Train", "training", "val", "Valid", "VALIDATION", "test", "Testing"]})
    assert shorten(assignment) == list("ttvvvtt")
    assert list(assignment.parts)[-1] == "test"
    assert not list_warnings(assignment)


def test_a_column_in_which_only_some_rows_are_marked() -> None:
    assert shorten(assign(note=["", "test", ""])) == ["t", "t", "t"]
    assert assign(note=["", "test", ""]).parts == ["train", "test", "train"]
    assert assign(note=["", "val", ""]).parts == ["train", "validation", "train"]
    assert assign(note=["train", "test", ""]).parts == ["train", "test", None]
    assert shorten(assign(phase=["train", "test", "x"]))[2] == "phase is 'x', expected train, validation or test"
    assert assign(kind=["train", "", "car"]).parts == ["train"] * 3  # a vehicle


@pytest.mark.parametrize("yes", ["True", "1", "1.0", "yes"])
@pytest.mark.parametrize("no", ["False", "0", "0.0", "no"])
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("is_valid", ["validation", "train"]),
        ("isVal", ["validation", "train"]),
        ("is_test", ["test", "train"]),
        ("in_test_set", ["test", "train"]),
        ("test", ["test", "train"]),
        ("is_train", ["train", "test"]),
        ("is_training_image", ["train", "test"]),
    ],
)
def test_columns_of_yes_and_no(name: str, yes: str, no: str, parts: list[str]) -> None:
    assignment = assign(**{name: [yes, no]})
    assert assignment.parts == parts
    assert [str(finding) for finding in assignment.findings] == [f"parts are taken from column '{name}'"]


def test_several_columns_of_yes_and_no() -> None:
    flags = {"is_train": ["1", "0", "0"], "is_valid": ["0", "1", "0"]}
    assert assign(**flags).parts == ["train", "validation", "test"]
    assert assign(**flags, is_test=["0", "0", "1"]).parts == ["train", "validation", "test"]
    assert assign(is_valid=["0", "1", "0"], is_test=["0", "0", "1"]).parts == ["train", "validation", "test"]
    assert assign(phase=["train", "train", "test"], is_valid=["0", "1", "0"]).parts == ["train", "validation", "test"]
    with pytest.raises(DataError, match="row 2 is validation by 'is_valid' and test by 'is_test'; correct that, or"):
        assign(is_valid=["1", "0"], is_test=["1", "0"])


def test_the_usual_column_counts_and_others_are_compared() -> None:
    assignment = assign(split=["train", "train", "test"], phase=["train", "test", "test"], is_test=["0", "1", "1"])
    assert assignment.parts == ["train", "train", "test"]
    assert list_warnings(assignment) == [
        "column 'phase' differs from 'split' in 1 row (row 3: test, not train); 'split' is used; correct or delete "
        "the other",
        "column 'is_test' differs from 'split' in 1 row (row 3: test, not train); 'split' is used; correct or delete "
        "the other",
    ]
    with pytest.raises(DataError, match="row 3 is train by 'phase' and test by 'usage'; correct that, or name"):
        assign(phase=["val", "train"], usage=["val", "test"])


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        (
            "fold",
            ["0", "1", "2"],
            "column 'fold' holds the folds of a cross-validation and is not used (0, 1, 2); add",
        ),
        ("kfold", ["0.0", "1.0", ""], "column 'kfold' holds the folds of a cross-validation and is not used"),
        (
            "usage",
            ["Public", "Private"],
            "column 'usage' may hold parts but is not used (Private, Public); if it does",
        ),
        ("data_set", ["a", "b"], "column 'data_set' may hold parts but is not used (a, b); if it does, write train"),
        (
            "note",
            ["test", "blurred"],
            "column 'note' may hold parts but is not used (test); if it does, write train, val or",
        ),
        ("valid", ["1", "0"], "column 'valid' may hold parts but is not used (0, 1)"),
        ("is_valid", ["a", "0"], "column 'is_valid' may hold parts but is not used (0, a)"),
    ],
)
def test_columns_that_may_tell_parts_are_named(name: str, cells: list[str], message: str) -> None:
    assignment = assign(**{name: cells})
    assert assignment.parts == ["train"] * len(cells)
    assert list_warnings(assignment)[0].startswith(message)


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("split", ["a", "b"], "column 'split' holds 'a', 'b', expected the parts train, val and test; use these"),
        ("group", ["train", "hold-out"], "column 'group' holds 'hold-out', expected the parts train, val and test"),
        ("group", ["train", "held out"], "column 'group' holds 'held out', expected"),
        ("group", ["Train", "evaluate", "tests"], "column 'group' holds 'evaluate', 'tests', expected"),
        ("group", ["train", "query", "unseen", "predict"], "column 'group' holds 'predict', 'query', 'unseen', expec"),
        ("partition", ["0", "1", "2"], "column 'partition' holds '0', '1', '2', expected the parts train, val and"),
        ("split", ["", ""], "column 'split' holds nothing, expected the parts train, val and test"),
        ("usage", ["Training", "PublicTest", "PrivateTest"], "column 'usage' holds 'PrivateTest', 'PublicTest', exp"),
        ("x", ["train_1", "test_1"], "column 'x' holds 'test_1', 'train_1', expected the parts"),
    ],
)
def test_columns_that_must_tell_parts(name: str, cells: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        assign(**{name: cells})
    assert str(caught.value).startswith(f"list.csv: {message}")


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"width": ["12", "30", "12"], "camera": ["a", "b", ""]},
        {"caption": ["a train in a station", "a test tube", "a dog"]},
        {"image_id": ["train_0", "train_1", "train_2"]},
        {"in_stock": ["1", "0", "1"]},
        {
            "latest": ["1", "0", "1"],
            "contest": ["a", "b", "c"],
            "constraint": ["x", "", ""],
            "invalid": ["0", "1", "0"],
        },
        {"trainer": ["Ann", "Bob", "Ann"], "settled": ["1", "0", "1"], "party": ["a", "b", "b"]},
        {"kind": ["test tube", "model", "flask"]},
    ],
)
def test_other_columns_say_nothing(columns: dict[str, list[str]]) -> None:
    assignment = assign(["a/1.png", "b/2.png", "c.png"], **columns)
    assert assignment == (["train"] * 3, [""] * 3, [])


def test_folders_in_the_paths() -> None:
    assert assign(["train/1.png", "train/2.png", "test/3.png"]).parts == ["train", "train", "test"]
    assert assign(["/test/cat/train/1.png", "/test/dog/val/3.png"]).parts == ["train", "validation"]
    assert assign(["1.png", "test/2.png"]).parts == ["train", "test"]
    assert shorten(assign(["1.png", "train/2.png", "test/3.png"])) == ["outside the folders of parts", "t", "t"]
    assert assign(["test/1.png", "test/2.png"]).parts == ["train", "train"]  # the only folder says nothing
    assert assign(["car/1.png", "train/2.png"]).parts == ["train", "train"]
    assert assign(["train/1.png", "test/2.png"], split=["val", "train"]).parts == ["validation", "train"]
    with pytest.raises(DataError, match="the folders test_images, train_images in the paths look like parts; add"):
        assign(["train_images/1.png", "test_images/2.png"])


FLAGS = "istest ISTEST istrain isvalid Test? test_flag flag_test test_only used_for_training exclude_from_training"
MORE_FLAGS = ("is_public_test", "is_unseen", "heldout", "is_held_out", "Hold-Out", "isTestSet", "intrain", "wasTrained")


@pytest.mark.parametrize("name", [*FLAGS.split(), *MORE_FLAGS])
@pytest.mark.parametrize("cells", [["0", "1", "0"], ["x", "", ""]])
def test_flags_of_any_spelling_are_never_silent(name: str, cells: list[str]) -> None:
    assignment = assign(**{name: cells})
    assert "test" in assignment.parts or list_warnings(assignment)[0].startswith(
        f"column '{name}' may hold parts but is not"
    )


@pytest.mark.parametrize("name", ["train_val_test", "traintest", "splits", "TrainTest", "part", "set", "dataset_part"])
def test_numbers_that_may_mean_parts(name: str) -> None:
    assert list_warnings(assign(**{name: ["0", "1", "2"]})) == [
        f"column '{name}' may hold parts but is not used (0, 1, 2); if it does, write train, val or test in each row"
    ]


@pytest.mark.parametrize(
    ("columns", "paths"),
    [
        ({"Usage": ["Training", "Training", "PublicTest"]}, None),
        ({"dataset": ["train", "train", "test1"]}, None),
        ({}, ["train_images/1.png", "train_images/2.png", "test_images/3.png"]),
    ],
)
def test_what_looks_like_a_part_that_a_column_does_not_mention(
    columns: dict[str, list[str]], paths: list[str] | None
) -> None:
    with pytest.raises(DataError, match=r"PublicTest|test1|test_images"):
        assign(paths, is_valid=["0", "1", "0"], **columns)
    assignment = assign(paths, split=["train", "val", "train"], **columns)
    assert assignment.parts == ["train", "validation", "train"]
    assert any("test" in message.lower() for message in list_warnings(assignment))
    assert not list_warnings(assign(paths, split=["train", "train", "test"], **columns))


@pytest.mark.parametrize("chosen", [{"is_valid": ["0", "1", "0"]}, {"split": ["train", "val", "train"]}])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"partition": ["0", "0", "2"]}, "column 'partition' may hold parts but is not used (0, 2)"),
        ({"is_test": ["", "", "x"]}, "column 'is_test' may hold parts but is not used (nothing, x)"),
        ({"usage": ["Public", "Public", "Private"]}, "column 'usage' may hold parts but is not used (Private, Public"),
        ({"is_holdout": ["0", "0", "1"]}, "column 'is_holdout' may hold parts but is not used (0, 1)"),
        ({"x": ["first training", "", "last test"]}, "column 'x' may hold parts but is not used (first training, la"),
    ],
)
def test_doubts_beside_a_column_of_parts(
    chosen: dict[str, list[str]], columns: dict[str, list[str]], message: str
) -> None:
    assignment = assign(**chosen, **columns)
    assert assignment.parts == ["train", "validation", "train"]
    assert list_warnings(assignment)[0].startswith(message)


def test_folders_of_parts_beside_a_column() -> None:
    paths = ["train/1.png", "train/2.png", "test/3.png"]
    for column in ({"is_valid": ["0", "1", "0"]}, {"split": ["train", "val", "train"]}):
        assert list_warnings(assign(paths, **column)) == [
            "1 row is in a folder named test but taken for another part (test/3.png); the column counts; correct it, "
            "or move the images"
        ]
    assert list_warnings(assign(paths, is_valid=["0", "0", "1"]))[0].startswith("1 row is in a folder named test")
    assert not list_warnings(assign(paths, split=["train", "val", "test"]))


def test_folders_that_may_be_parts() -> None:
    with pytest.raises(DataError, match="the folders evaluate in the paths look like parts"):
        assign(["train/1.png", "evaluate/2.png"])
    for paths in (["train/1.png", "car/2.png"], ["train station/1.png", "test site/2.png"], ["Test Images/1", "a/2"]):
        assignment = assign(paths)
        assert assignment.parts == ["train", "train"]
        assert len(list_warnings(assignment)) == 1
    assignment = assign(["val/1.png", "test_new/2.png", "x/3.png"])
    assert list_warnings(assignment)[0].startswith(
        "folders in the paths may be parts but are not used (test_new); if so, add"
    )


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("image_id", [f"train_{number}" for number in range(40)]),
        ("superclass", ["train", "trainer", "test tube"]),
        ("kind", ["test tube", "model train", "flask"]),
        ("latest_test", ["5", "6"]),
        ("part", ["arm", "leg"]),
        ("set", ["City", "Castle"]),
        ("subset", ["clubs", "hearts"]),
        ("quality", ["valid", "invalid"]),
        ("tag", ["train photo", "test photo", *"abcdef"]),
    ],
)
def test_unusual_columns_do_not_stop_a_search(name: str, cells: list[str]) -> None:
    assert assign(**{name: cells}).parts == ["train"] * len(cells)


WORDS = st.sampled_from(["", "train", "val", "test", "Test", "a", "0", "1", "True", "no", "test_1", "fold 1"])
NAMES = st.sampled_from(["split", "set", "usage", "fold", "is_valid", "is_test", "train", "valid", "x", ""])


@given(st.dictionaries(NAMES, st.lists(WORDS, min_size=4, max_size=4), max_size=4))
def test_whatever_columns_hold(columns: dict[str, list[str]]) -> None:
    try:
        assignment = assign_parts(TABLE, ["1.png", "a/2.png", "b/3.png", ""], columns)
    except DataError as error:
        assert str(error).startswith("list.csv: ")
        return
    for number, (part, why) in enumerate(zip(assignment.parts, assignment.reasons, strict=True)):
        assert bool(part) != bool(why)
        if "test" in {columns[name][number].lower() for name in columns} and part == "train":
            assert any(finding.level == "warning" for finding in assignment.findings)

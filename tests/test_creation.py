"""Studies of images that somebody has: proposals, names, and images that are Python objects."""

import doctest
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import searchcnn
from searchcnn import Workspace, creation, new_study, proposal
from searchcnn.creation import images_name, images_study
from searchcnn.data import Finding, Report, load_dataset
from searchcnn.errors import DataError, StudyFileError, UsageError
from searchcnn.proposal import propose
from searchcnn.study import validate


def report(counts: dict[str, int] | None = None, shape: tuple[int, int, int] = (96, 128, 3)) -> Report:
    classes = counts or {"cat": 900, "dog": 1_000}
    parts = {"train": classes, "test": dict.fromkeys(classes, 50)}
    finding = Finding("warning", "1 image is\ntwice", "a.png = b.png", "delete one")
    return Report("data/pets", shape, "crop", [(60, 60), (96, 128), (500, 400)], parts, ["test"], [finding])


def proposed(found: Report) -> dict[str, Any]:
    """Returns a proposal as a table, once it is valid."""
    table = tomllib.loads(propose("pets", "data/pets", found))
    validate(table, "pets.toml")
    return table


def images(count: int = 60, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 12, 10, 3), dtype=np.uint8), np.arange(count) % 3


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "pets.npz", x=images()[0], y=images()[1])
    return Workspace(tmp_path)


@pytest.mark.parametrize("module", [creation, proposal])
def test_examples_in_docstrings(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


class TestPropose:
    def test_says_what_was_found(self) -> None:
        text = propose("pets", "data/pets", report())
        for line in (
            "# pets: what was found in data/pets",
            "#   classes   2: cat, dog; 900 to 1,000 training images of each",
            "#   sizes     60x60 to 500x400 pixels (height x width), median 96x128; networks get 96x128x3",
            "#   parts     1,900 train, 100 test (taken from train)",
            "#   warning   1 image is twice (a.png = b.png); delete one",
            "# Search it:  searchcnn optimize --study pets",
        ):
            assert f"{line}\n" in text
        assert max(map(len, text.splitlines())) <= 120

    def test_every_key_is_explained(self) -> None:
        lines = propose("pets", "data/pets", report()).splitlines()
        settings = [line for line in lines if " = " in line and not line.startswith("#")]
        assert [line for line in settings if "    # " not in line] == [
            'description = "pets: 2 classes, 2,000 images of 96x128x3."'
        ]

    def test_limits_grow_with_the_side_of_the_images(self) -> None:
        limits = [proposed(report(shape=(side, side, 3)))["limits"]["max_macs"] for side in (1, 8, 32, 160)]
        assert limits == [2_000_000, 6_000_000, 26_000_000, 128_000_000]

    @pytest.mark.parametrize(
        ("count", "side", "epochs", "batch_size"),
        [(100, 32, 40, 16), (1_000, 32, 40, 32), (5_000, 32, 30, 64), (30_000, 32, 20, 128), (2_600, 160, 20, 32)],
    )
    def test_fewer_images_are_seen_more_often_in_smaller_batches(
        self, count: int, side: int, epochs: int, batch_size: int
    ) -> None:
        training = proposed(report({"cat": count // 2, "dog": count // 2}, shape=(side, side, 3)))["training"]
        assert (training["epochs"], training["patience"], training["batch_size"]) == (epochs, epochs // 4, batch_size)

    def test_digits_are_not_mirrored(self) -> None:
        assert proposed(report())["training"]["flip"] is True
        assert proposed(report({"0": 9, "1": 9}))["training"]["flip"] is False

    def test_class_weights_are_tried_where_classes_differ_in_size(self) -> None:
        assert proposed(report({"cat": 10, "dog": 100}))["training"]["class_weights"] == [False, True]
        assert "class_weights" not in proposed(report())["training"]

    def test_odd_names_stay_valid(self) -> None:
        found = report({'qu"ote\n': 9, "tab\t\\": 9, "Katze äöü": 9})
        table = tomllib.loads(propose("pets", 'a "b"\\c.zip', found))
        assert table["data"]["path"] == 'a "b"\\c.zip'

    def test_many_classes_are_not_all_named(self) -> None:
        text = propose("pets", "pets", report({f"class{number}": 9 for number in range(200)}))
        assert "and 188 more" in text


class TestImagesStudy:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("data/flowers.tar.xz", "flowers"),
            ("My pets (2024)/", "My-pets-2024"),
            ("package.data:load_pets", "load_pets"),
            ("file.py:make", "make"),
            ("...", "images"),
        ],
    )
    def test_is_named_after_the_images(self, path: str, name: str) -> None:
        assert images_name(path) == name

    def test_the_current_folder_has_a_name(self, place: Workspace) -> None:
        assert images_name(".") == creation.images_name(str(place.root))

    def test_is_proposed_and_may_be_overridden(self, place: Workspace) -> None:
        told: list[Report] = []
        name, config = images_study(
            place, "pets.npz", overrides=["training.epochs=3"], extra={"budget.trials": 2}, tell=told.append
        )
        assert (name, config.data.path, config.training.epochs, config.budget.trials) == ("pets", "pets.npz", 3, 2)
        assert config.budget.timeout == 3600
        assert [one.source for one in told] == ["pets.npz"]

    def test_takes_the_settings_of_a_study_but_not_its_images(self, place: Workspace) -> None:
        name, config = images_study(place, "pets.npz", study="cifar10")
        assert name == "pets"
        assert (config.training.batch_size, config.data.path, config.data.name) == (128, "pets.npz", None)
        assert config.data.validation == 0.1
        assert (config.published, config.description) == ({}, "")

    def test_takes_the_study_file_for_the_same_images(self, place: Workspace) -> None:
        write(place, "pets", "pets.npz")
        assert images_study(place, str(place.root / "pets.npz"))[1].seed == 77
        name, config = images_study(place, "pets.npz", name="again")
        assert (name, config.seed) == ("again", 77)

    def test_a_study_file_for_other_images_is_not_taken(self, place: Workspace) -> None:
        write(place, "pets", "others.npz")
        message = r"pets\.toml is for other images, others\.npz; keep this search under another name: --name pets-2"
        with pytest.raises(StudyFileError, match=message):
            images_study(place, "pets.npz")
        assert images_study(place, "pets.npz", name="pets-2")[1].seed == 0

    def test_settings_of_a_study_are_not_kept_under_the_name_of_another(self, place: Workspace) -> None:
        write(place, "pets", "pets.npz")
        with pytest.raises(StudyFileError, match="holds other settings than digits; keep this search under another"):
            images_study(place, "pets.npz", study="digits")
        assert images_study(place, "pets.npz", study="digits", name="pets-2")[1].training.epochs == 15

    def test_a_study_and_its_own_images_are_just_that_study(self, place: Workspace) -> None:
        write(place, "pets", "pets.npz")
        file = place.studies / "pets.toml"
        file.write_text(file.read_text().replace("[data]", "[data]\nimage_size = 9"))
        assert images_study(place, "pets.npz", study="pets")[1].data.image_size == 9


def write(place: Workspace, name: str, path: str) -> None:
    place.studies.mkdir(exist_ok=True)
    text = f'seed = 77\nspaces = ["residual"]\n[data]\npath = "{path}"\n[budget]\ntrials = 1\n'
    (place.studies / f"{name}.toml").write_text(text)


class TestNewStudy:
    def test_of_a_path(self, place: Workspace) -> None:
        study = new_study("mine", place.root / "pets.npz", {"training.epochs": 3})
        assert (study.name, study.workspace, study.config.training.epochs) == ("mine", place, 3)
        assert study.config.data.path == str(place.root / "pets.npz")

    @pytest.mark.parametrize(
        ("data", "parts"),
        [
            (images(), {"train": 48, "validation": 6, "test": 6}),
            ((images(), images(30, 1)), {"train": 54, "validation": 6, "test": 30}),
            (dict(zip(("x_train", "y_train"), images(), strict=True)), {"train": 48, "validation": 6, "test": 6}),
        ],
    )
    def test_of_arrays_keeps_them_in_the_workspace(self, place: Workspace, data: Any, parts: dict[str, int]) -> None:
        study = new_study("mine", data)
        assert study.config.data.path == "studies/mine/images.npz"
        dataset = load_dataset(study.config.data, 0)
        assert {part: len(getattr(dataset, part)) for part in parts} == parts
        assert dataset.input_shape == (12, 10, 3)

    def test_of_named_classes(self, place: Workspace) -> None:
        x, y = images()
        study = new_study("mine", {"x": x, "y": y, "class_names": ["cat", "dog", "owl"]})
        assert load_dataset(study.config.data, 0).class_names == ("cat", "dog", "owl")
        study = new_study("yours", (x, np.array(["cat", "dog", "owl"])[y]))
        assert load_dataset(study.config.data, 0).class_names == ("cat", "dog", "owl")

    def test_of_tensorflow(self, place: Workspace) -> None:
        import tensorflow

        study = new_study("mine", tensorflow.data.Dataset.from_tensor_slices(images()).batch(16))
        assert len(load_dataset(study.config.data, 0).train) == 48

    def test_the_same_call_goes_on_and_other_images_are_refused(self, place: Workspace) -> None:
        new_study("mine", images())
        file = place.images("mine")
        before = file.stat().st_mtime_ns
        new_study("mine", images())
        assert file.stat().st_mtime_ns == before
        with pytest.raises(UsageError, match=r"images\.npz holds other images; give the new study another name"):
            new_study("mine", images(seed=1))
        with pytest.raises(UsageError, match="holds other images"):
            new_study("mine", images(30))

    def test_elsewhere_has_a_whole_path(self, place: Workspace) -> None:
        there = Workspace(place.root.parent / "there")
        study = new_study("mine", images(), workspace=there)
        assert study.config.data.path == str(there.images("mine"))
        assert json.loads(study.config.model_dump_json())["data"]["path"] == study.config.data.path

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (3, "data: int, expected "),
            ((np.zeros((4, 5)), [0, 1, 0, 1]), "data: tuple, expected "),
            ((images()[0], [0, 1]), "one for each of 60 images"),
        ],
    )
    def test_what_is_no_images_is_refused(self, place: Workspace, data: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            new_study("mine", data)
        assert not place.images("mine").exists()

    def test_is_public(self) -> None:
        assert searchcnn.new_study is creation.new_study

"""Studies of images that somebody has: proposals, names, and images that are Python objects."""

import tomllib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from searchcnn import Study
from searchcnn.data import Finding, ImagesInspected, Inspection
from searchcnn.errors import DataError, StudyFileError, UsageError
from searchcnn.events import Event, Hear, Note, ignore
from searchcnn.proposal import study_file
from searchcnn.proposal.request import Request, name_study
from searchcnn.proposal.start import SCRATCH, Start, Weights
from searchcnn.proposal.study_file import write_study_file
from searchcnn.search import make_sampler
from searchcnn.sources import load_dataset
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import Range, StudyConfig, Workspace, parse_settings, validate
from searchcnn.study.config import DEFAULT_EPOCHS

FROM_NOTHING = Start(SCRATCH, "networks are trained from scratch")
LITE = Weights(("EfficientNetLite0",))
TUNED = Start(("transfer",), "photos", LITE, [160, 224], epochs=8)
MIXED = Start(("transfer", *SCRATCH), "photos", LITE, [160, 224], epochs=8)
FEW = Start(("transfer",), "few photos", LITE, [224], folds=5)


def make_inspection(counts: dict[str, int] | None = None, shape: tuple[int, int, int] = (96, 128, 3)) -> Inspection:
    classes = counts or {"cat": 900, "dog": 1_000}
    parts = {"train": classes, "test": dict.fromkeys(classes, 50)}
    finding = Finding("warning", "1 image is\ntwice", "a.png = b.png", "delete one")
    return Inspection("data/pets", shape, "crop", [(60, 60), (96, 128), (500, 400)], parts, ["test"], [finding])


def propose(inspection: Inspection, start: Start = FROM_NOTHING) -> dict[str, Any]:
    """Returns a proposal as a table, once it is valid."""
    table = tomllib.loads(write_study_file("pets", "data/pets", inspection, start))
    validate(table, "pets.toml")
    return table


def make_images(count: int = 60, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 12, 10, 3), dtype=np.uint8), np.arange(count) % 3


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "pets.npz", x=make_images()[0], y=make_images()[1])
    return Workspace(tmp_path)


def configure_images(workspace: Workspace, images: str, hear: Hear = ignore, **wishes: Any) -> tuple[str, StudyConfig]:
    wishes["settings"] = {**parse_settings(wishes.pop("overrides", ())), **wishes.pop("extra", {})}
    job = Request(workspace, data=images, **wishes).make_job(hear)
    return job.name, job.config


class TestPropose:
    def test_says_what_was_found(self) -> None:
        text = write_study_file("pets", "data/pets", make_inspection(), FROM_NOTHING)
        for line in (
            "# pets: what was found in data/pets",
            "#   classes   2: cat, dog; 900 to 1,000 training images of each",
            "#   sizes     60x60 to 500x400 pixels (height x width), median 96x128; networks get 96x128x3",
            "#   parts     1,900 train, 100 test (taken from train)",
            "#   warning   1 image is twice (a.png = b.png); delete one",
            "#   begins    networks are trained from scratch",
            "# Search it:  searchcnn optimize --study pets",
        ):
            assert f"{line}\n" in text
        assert max(map(len, text.splitlines())) <= 120

    def test_every_key_is_explained(self) -> None:
        lines = write_study_file("pets", "data/pets", make_inspection(), FROM_NOTHING).splitlines()
        settings = [line for line in lines if " = " in line and not line.startswith("#")]
        assert [line for line in settings if "    # " not in line] == [
            'description = "pets: 2 classes, 2,000 images of 96x128x3."'
        ]

    def test_the_plan_decides_on_sizes_and_epochs(self) -> None:
        table = propose(make_inspection())
        assert "limits" not in table
        assert not {"epochs", "patience"} & table["training"].keys()

    def test_images_that_are_too_large_for_the_time_are_brought_to_a_smaller_size(self) -> None:
        assert propose(make_inspection())["data"]["image_size"] == "auto"
        assert propose(make_inspection(), replace(FROM_NOTHING, side=40))["data"]["image_size"] == 40

    def test_digits_are_not_mirrored(self) -> None:
        assert propose(make_inspection())["training"]["flip"] is True
        assert propose(make_inspection({"0": 9, "1": 9}))["training"]["flip"] is False

    def test_class_weights_are_tried_where_classes_differ_in_size(self) -> None:
        assert propose(make_inspection({"cat": 10, "dog": 100}))["training"]["class_weights"] == [False, True]
        assert "class_weights" not in propose(make_inspection())["training"]

    def test_odd_names_stay_valid(self) -> None:
        inspection = make_inspection({'qu"ote\n': 9, "tab\t\\": 9, "Katze äöü": 9})
        table = tomllib.loads(write_study_file("pets", 'a "b"\\c.zip', inspection, FROM_NOTHING))
        assert table["data"]["path"] == 'a "b"\\c.zip'

    def test_many_classes_are_not_all_named(self) -> None:
        text = write_study_file(
            "pets", "pets", make_inspection({f"class{number}": 9 for number in range(200)}), FROM_NOTHING
        )
        assert "and 188 more" in text

    def test_pretrained_networks_alone_have_a_recipe_of_their_own(self) -> None:
        table = propose(make_inspection(), TUNED)
        assert table["spaces"] == ["transfer"]
        assert table["options"] == {"transfer": {"backbones": ["EfficientNetLite0"], "image_sizes": [160, 224]}}
        assert (table["training"]["epochs"], table["training"]["learning_rate"]) == (9, 0.002)
        assert not {"limits", "search"} & table.keys()

    def test_beside_others_they_have_a_part_of_the_epochs(self) -> None:
        table = propose(make_inspection(), MIXED)
        alone = propose(make_inspection())
        assert table["spaces"] == ["transfer", *SCRATCH]
        assert table["training"] == alone["training"]
        fraction = table["options"]["transfer"]["fine_tuning"]
        assert round(fraction * DEFAULT_EPOCHS) == 8

    def test_few_photos_are_searched_in_folds_to_the_end(self) -> None:
        table = propose(make_inspection({"cat": 9, "dog": 9}), FEW)
        assert table["data"]["folds"] == 5
        assert table["search"] == {"sampler": "grid"}
        assert table["options"]["transfer"]["linear"] is True
        assert "training" not in table
        rare = propose(make_inspection({"cat": 3, "dog": 30}), FEW)
        assert rare["training"] == {"class_weights": [False, True]}

    @pytest.mark.parametrize("weights", [Weights(('my "net".keras',)), Weights(("ResNet50",), 'a\\"b".h5')])
    def test_files_of_the_user_are_named(self, weights: Weights) -> None:
        options = propose(make_inspection(), replace(TUNED, weights=weights))["options"]["transfer"]
        assert options["backbones"] == list(weights.backbones)
        assert options.get("weights", "imagenet") == weights.source


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
        assert name_study(path) == name

    def test_the_current_folder_has_a_name(self, workspace: Workspace) -> None:
        assert name_study(".") == name_study(str(workspace.root))

    def test_is_proposed_and_may_be_overridden(self, workspace: Workspace) -> None:
        heard: list[Event] = []
        name, config = configure_images(
            workspace, "pets.npz", overrides=["training.epochs=3"], extra={"budget.trials": 2}, hear=heard.append
        )
        assert (name, config.data.path, config.training.epochs, config.budget.trials) == ("pets", "pets.npz", 3, 2)
        assert config.budget.timeout == 3600
        assert [event.inspection.source for event in heard if isinstance(event, ImagesInspected)] == ["pets.npz"]

    def test_takes_the_settings_of_a_study_but_not_its_images(self, workspace: Workspace) -> None:
        name, config = configure_images(workspace, "pets.npz", study="cifar10")
        assert name == "pets"
        assert (config.training.flip, config.data.path, config.data.name) == (True, "pets.npz", None)
        assert config.data.validation == 0.1
        assert (config.published, config.description) == ({}, "")

    def test_takes_the_study_file_for_the_same_images(self, workspace: Workspace) -> None:
        write(workspace, "pets", "pets.npz")
        assert configure_images(workspace, str(workspace.root / "pets.npz"))[1].seed == 77
        name, config = configure_images(workspace, "pets.npz", name="again")
        assert (name, config.seed) == ("again", 77)

    def test_a_study_file_for_other_images_is_not_taken(self, workspace: Workspace) -> None:
        write(workspace, "pets", "others.npz")
        message = r"pets\.toml is for other images, others\.npz; keep this search under another name: --name pets-2"
        with pytest.raises(StudyFileError, match=message):
            configure_images(workspace, "pets.npz")
        assert configure_images(workspace, "pets.npz", name="pets-2")[1].seed == 0

    def test_settings_of_a_study_are_not_kept_under_the_name_of_another(self, workspace: Workspace) -> None:
        write(workspace, "pets", "pets.npz")
        with pytest.raises(StudyFileError, match="holds other settings than digits; keep this search under another"):
            configure_images(workspace, "pets.npz", study="digits")
        assert configure_images(workspace, "pets.npz", study="digits", name="pets-2")[1].training.epochs == 15

    def test_a_study_and_its_own_images_are_just_that_study(self, workspace: Workspace) -> None:
        write(workspace, "pets", "pets.npz")
        file = workspace.studies / "pets.toml"
        file.write_text(file.read_text().replace("[data]", "[data]\nimage_size = 9"))
        assert configure_images(workspace, "pets.npz", study="pets")[1].data.image_size == 9


def write_photos(folder: Path, count: int = 240) -> str:
    """Writes soft light of many colours, in two classes, to a file; returns its name."""
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (count, steps, steps, 3)).repeat(80 // steps, 1) for steps in (4, 16)]
    light = np.mean([noise.repeat(80 // noise.shape[2], 2) for noise in coarse], axis=0)
    pixels = (light + random.normal(0, 4, light.shape)).clip(0, 255).astype(np.uint8)
    np.savez(folder / "photos.npz", x=pixels, y=np.arange(count) % 2)
    return "photos.npz"


def begin(workspace: Workspace, name: str, config: StudyConfig, state: TrialState | None = TrialState.COMPLETE) -> None:
    """Keeps a study in its database as a search does whose first trial has ended in a state, or has not."""
    sampler = make_sampler(config.search.sampler, config.seed)
    with closing(open_storage(parse_url(workspace.database_url(name)))) as storage:
        stored = StoredStudy(storage, name, config.objective, sampler)
        stored.check_identity(config.model_dump(), {"search.direction": "maximize"}, False, {})
        if state is not None:
            trial = stored.start_trial()
            stored.finish(trial, state, 0.5 if state is TrialState.COMPLETE else None, {"space": "transfer"})


def settle(config: StudyConfig) -> StudyConfig:
    """Returns a configuration as a begun study has it: its direction is no longer found by the objective's name."""
    return config.model_copy(update={"search": config.search.model_copy(update={"direction": "maximize"})})


class TestBegun:
    """What is searched for images of one's own is chosen once, and read back from the database."""

    @pytest.fixture(autouse=True)
    def weights(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Returns the weights that there are, wherever one looks: those of EfficientNetLite0 at first."""
        names = ["EfficientNetLite0"]
        monkeypatch.setattr(
            study_file, "find_weights", lambda seconds, choice=None: Weights(tuple(names), words="none")
        )
        return names

    @pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
    def test_goes_on_with_another_budget(self, workspace: Workspace, state: TrialState) -> None:
        path = write_photos(workspace.root)
        heard: list[Event] = []
        name, config = configure_images(workspace, path, extra={"budget.timeout": "10m"}, hear=heard.append)
        assert config.spaces == ["transfer"]
        begin(workspace, name, config, state)
        again = configure_images(workspace, path, extra={"budget.timeout": "4h"}, hear=heard.append)[1]
        assert again.budget.timeout == 4 * 3600
        assert again.model_copy(update={"budget": config.budget}) == settle(config)
        fresh = configure_images(workspace, path, name="fresh", extra={"budget.timeout": "4h"}, hear=heard.append)[1]
        assert fresh.spaces != config.spaces
        told = [event.text for event in heard if isinstance(event, Note)]
        assert [line.split(":")[0] for line in told] == ["photos", name, "photos"]
        assert told[1].endswith("continues as it was started; only the budget may change")

    def test_goes_on_without_the_weights(self, workspace: Workspace, weights: list[str]) -> None:
        path = write_photos(workspace.root)
        name, config = configure_images(workspace, path)
        begin(workspace, name, config)
        weights.clear()
        assert configure_images(workspace, path) == (name, settle(config))
        assert "transfer" not in configure_images(workspace, path, name="fresh")[1].spaces

    def test_goes_on_where_the_same_images_lie_elsewhere(self, workspace: Workspace) -> None:
        name, config = configure_images(workspace, write_photos(workspace.root))
        begin(workspace, name, config)
        there = workspace.root / "there"
        there.mkdir()
        moved = str((workspace.root / "photos.npz").rename(there / "photos.npz"))
        again = configure_images(workspace, moved)[1]
        assert again.data.path == moved
        assert again.model_copy(update={"data": config.data}) == settle(config)

    def test_goes_on_with_what_is_given_now(self, workspace: Workspace) -> None:
        """The search refuses a change of what was searched; that of the budget is taken."""
        path = write_photos(workspace.root)
        name, config = configure_images(workspace, path)
        begin(workspace, name, config)
        again = configure_images(workspace, path, overrides=["training.epochs=3"], extra={"budget.trials": 7})[1]
        assert (again.training.epochs, again.budget.trials) == (3, 7)
        assert again.options == config.options

    @pytest.mark.parametrize(("state", "is_begun"), [(None, False), (TrialState.FAIL, True)])
    def test_without_a_trial_it_is_proposed_anew(
        self, workspace: Workspace, weights: list[str], state: TrialState | None, is_begun: bool
    ) -> None:
        path = write_photos(workspace.root)
        name, config = configure_images(workspace, path)
        assert "transfer" in config.spaces
        begin(workspace, name, config, state)
        weights.clear()
        assert ("transfer" in configure_images(workspace, path)[1].spaces) == is_begun

    def test_other_spaces_are_a_change_of_spaces_and_not_of_options(self, workspace: Workspace) -> None:
        path = write_photos(workspace.root)
        name, config = configure_images(workspace, path)
        begin(workspace, name, config)
        again = configure_images(workspace, path, overrides=['spaces=["residual"]'])[1]
        assert (again.spaces, again.options) == (["residual"], {})

    def test_weights_go_with_a_proposal_only(self, workspace: Workspace) -> None:
        write(workspace, "pets", "pets.npz")
        with pytest.raises(UsageError, match=r"^weights none: .*pets\.toml says what is searched; set its option"):
            configure_images(workspace, "pets.npz", weights="none")
        with pytest.raises(UsageError, match="digits says what is searched"):
            configure_images(workspace, "pets.npz", study="digits", weights="none")

    def test_another_name_is_another_study(self, workspace: Workspace) -> None:
        path = write_photos(workspace.root)
        name, config = configure_images(workspace, path, extra={"budget.timeout": "10m"})
        begin(workspace, name, config)
        assert configure_images(workspace, path, name="two")[1].spaces != config.spaces

    def test_search_spaces_that_are_given_have_the_recipe_for_them(self, workspace: Workspace) -> None:
        path = write_photos(workspace.root)
        _, config = configure_images(workspace, path, overrides=['spaces=["residual"]'])
        assert config.spaces == ["residual"]
        assert config.options == {}
        assert isinstance(config.training.learning_rate, Range)
        assert config.training.epochs is None
        _, tuned = configure_images(workspace, path, overrides=['spaces=["transfer"]'])
        assert tuned.training.learning_rate == 0.002
        assert tuned.training.epochs is not None

    def test_new_studies_go_on_too(self, workspace: Workspace, weights: list[str]) -> None:
        path = write_photos(workspace.root)
        study = Study("mine", data=path)
        begin(workspace, "mine", study.config)
        weights.clear()
        assert Study("mine", data=path).config == settle(study.config)
        assert Study("mine", data=path, settings={"budget.trials": 3}).config.budget.trials == 3


def write(workspace: Workspace, name: str, path: str) -> None:
    workspace.studies.mkdir(exist_ok=True)
    text = f'seed = 77\nspaces = ["residual"]\n[data]\npath = "{path}"\n[budget]\ntrials = 1\n'
    (workspace.studies / f"{name}.toml").write_text(text)


class TestStudyOfImages:
    def test_of_a_path(self, workspace: Workspace) -> None:
        study = Study("mine", data=workspace.root / "pets.npz", settings={"training.epochs": 3})
        assert (study.name, study.workspace, study.config.training.epochs) == ("mine", workspace, 3)
        assert study.config.data.path == str(workspace.root / "pets.npz")

    @pytest.mark.parametrize(
        ("data", "parts"),
        [
            (make_images(), {"train": 48, "validation": 6, "test": 6}),
            ((make_images(), make_images(30, 1)), {"train": 54, "validation": 6, "test": 30}),
            (dict(zip(("x_train", "y_train"), make_images(), strict=True)), {"train": 48, "validation": 6, "test": 6}),
        ],
    )
    def test_of_arrays_keeps_them_in_the_workspace(
        self, workspace: Workspace, data: Any, parts: dict[str, int]
    ) -> None:
        study = Study("mine", data=data)
        assert study.config.data.path == "studies/mine/images.npz"
        dataset = load_dataset(study.config.data, 0)
        assert {part: len(getattr(dataset, part)) for part in parts} == parts
        assert dataset.input_shape == (12, 10, 3)

    def test_of_named_classes(self, workspace: Workspace) -> None:
        x, y = make_images()
        study = Study("mine", data={"x": x, "y": y, "class_names": ["cat", "dog", "owl"]})
        assert load_dataset(study.config.data, 0).class_names == ("cat", "dog", "owl")
        study = Study("yours", data=(x, np.array(["cat", "dog", "owl"])[y]))
        assert load_dataset(study.config.data, 0).class_names == ("cat", "dog", "owl")

    def test_of_tensorflow(self, workspace: Workspace) -> None:
        import tensorflow

        study = Study("mine", data=tensorflow.data.Dataset.from_tensor_slices(make_images()).batch(16))
        assert len(load_dataset(study.config.data, 0).train) == 48

    def test_the_same_call_goes_on_and_other_images_are_refused(self, workspace: Workspace) -> None:
        Study("mine", data=make_images())
        file = workspace.images("mine")
        before = file.stat().st_mtime_ns
        Study("mine", data=make_images())
        assert file.stat().st_mtime_ns == before
        study = Study("mine", data=make_images(seed=1))
        assert file.stat().st_mtime_ns > before  # nothing has been searched yet
        begin(workspace, "mine", study.config)
        Study("mine", data=make_images(seed=1))
        with pytest.raises(UsageError, match=r"images\.npz holds other images; give the new study another name"):
            Study("mine", data=make_images())
        with pytest.raises(UsageError, match="holds other images"):
            Study("mine", data=make_images(30))

    def test_of_a_workspace_elsewhere_begins_there(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        there = Workspace(workspace.root.parent / "there")
        study = Study("mine", data=make_images(), workspace=there.root)
        assert study.config.data.path == "studies/mine/images.npz"
        assert len(load_dataset(there.locate(study.config.data), 0).train) == 48
        monkeypatch.chdir(there.root)
        assert len(load_dataset(study.config.data, 0).train) == 48

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (3, "data: int, expected "),
            ((np.zeros((4, 5)), [0, 1, 0, 1]), "data: tuple, expected "),
            ((make_images()[0], [0, 1]), "one for each of 60 images"),
        ],
    )
    def test_what_is_no_images_is_refused(self, workspace: Workspace, data: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            Study("mine", data=data)
        assert not workspace.images("mine").exists()

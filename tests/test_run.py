"""Whole searches on scikit-learn's digits: begun, continued, refused, killed."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from sqlalchemy import create_engine, text

from searchcnn import run as run_module
from searchcnn.backend import start_keras
from searchcnn.errors import PluginError, StudyChangedError, StudyFailedError, StudyFileError
from searchcnn.events import EpochFinished, Event, Note, Progress, TrialFinished
from searchcnn.job import Job
from searchcnn.run import run_search
from searchcnn.search import make_pruner, make_sampler
from searchcnn.sources import load_dataset
from searchcnn.spaces import identity as space_identity
from searchcnn.spaces import load_space, load_spaces
from searchcnn.spaces.creation import create_spaces
from searchcnn.store import StoredStudy, StudySummary, open_storage, read_summary
from searchcnn.study import DataConfig, SearchConfig, StudyConfig, TrainingConfig, Workspace, load, parse_settings
from searchcnn.study.identity import identify
from searchcnn.study_object import Study
from searchcnn.workers import search as optimize_anywhere

start_keras()

import keras  # noqa: E402

from searchcnn.results import models, read_card, read_predictions  # noqa: E402
from searchcnn.results.certainty import find_certainty  # noqa: E402
from searchcnn.results.neighbors import read_neighbors  # noqa: E402
from searchcnn.results.scores import score  # noqa: E402
from searchcnn.training import Trainer, find_known_points  # noqa: E402

STUDY = """
spaces = ["net"]
seed = 3

[data]
name = "digits"
validation = 0.2

[budget]
trials = 2

[search]
pruner = "NopPruner"

[training]
epochs = 1
optimizer = "adam"
learning_rate = 0.01
schedule = "cosine"
weight_decay = 0.0
label_smoothing = 0.0
batch_size = 64
"""

NET = """
import os
import time

import keras
from searchcnn import SearchSpace


class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(float(os.environ.get("SECONDS_A_BATCH", 0)))


class Net(SearchSpace):
    '''Dense networks.'''

    def build(self, hp):
        images = keras.Input(self.input_shape)
        x = keras.layers.Dense(hp.Int("units", 8, 64), activation="relu")(keras.layers.Flatten()(images))
        return keras.Model(images, keras.layers.Dense(self.num_classes, activation="softmax")(x))

    def fit(self, hp, model, *args, callbacks, **kwargs):
        return model.fit(*args, callbacks=[Slow(), *callbacks], **kwargs)
"""


class Ear:
    """Notes what it hears, and which model was on disk whenever a trial ended."""

    def __init__(self, workspace: Workspace) -> None:
        self.heard: list[str] = []
        self.notes: list[str] = []
        self.dry: list[float | None] = []
        self.values: list[float | None] = []
        self.models: list[int] = []
        self._best = workspace.best_model("study")

    def hear(self, event: Event) -> None:
        match event:
            case Progress(text, done):
                word = text.split(" ")[0].strip(":")
                self.heard += [word] if self.heard[-1:] != [word] else []
                self.dry += [done] if word == "dry" else []
            case Note(text):
                self.notes.append(text)
            case TrialFinished(number, outcome):
                self.heard.append(f"{number} {outcome.state}")
                self.values.append(outcome.value)
                self.models += [read_card(self._best)["trial"]] if self._best.exists() else []


def make_study(folder: Path, text: str = STUDY, overrides: Sequence[str] = ()) -> Job:
    (folder / "study.toml").write_text(text)
    return Job("study", load(folder / "study.toml", parse_settings(overrides)), Workspace(folder))


def run(study: Job, stop: threading.Event | None = None) -> Ear:
    ear = Ear(study.workspace)
    run_search(study, ear.hear, stop)
    return ear


def summary(study: Job) -> StudySummary:
    return read_summary(study.url, study.name)


@pytest.fixture(autouse=True)
def verify_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifies saved models in this process, which takes no seconds; tests/results does it in a fresh one."""

    def verify(path: Path, images: Any, expected: Any) -> None:
        difference = keras.models.load_model(path).predict(images, verbose=0) - expected
        assert np.abs(difference).max() < 1e-4

    monkeypatch.setattr(models, "verify", verify)
    monkeypatch.delenv("SEARCHCNN_PLUGINS", raising=False)
    monkeypatch.delenv("SECONDS_A_BATCH", raising=False)


@pytest.fixture(scope="module")
def two_trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a workspace with a study whose budget of two trials is spent."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "net.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "verify", lambda *_: None)
        ear = run(make_study(folder))
    assert ear.heard == ["reading", "dry", "0 COMPLETE", "1 COMPLETE", "checking"]
    assert ear.dry == [0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    values = [value or 0.0 for value in ear.values]
    assert ear.models == [0, int(values[1] > values[0])]
    return folder


@pytest.fixture
def workspace(two_trials: Path, tmp_path: Path) -> Path:
    """Returns a copy of that workspace."""
    return Path(shutil.copytree(two_trials, tmp_path / "workspace"))


@pytest.mark.slow
def test_a_larger_budget_continues_the_study(workspace: Path) -> None:
    before = summary(make_study(workspace))
    ear = run(make_study(workspace, overrides=["budget.trials=3"]))
    after = summary(make_study(workspace))
    assert after.best is not None
    assert ear.heard == ["reading", "2 COMPLETE"] + ["checking"] * (after.best.number == 2)
    assert list(after.trials[:2]) == list(before.trials)
    assert [trial.number for trial in after.trials] == [0, 1, 2]
    card = read_card(Workspace(workspace).best_model("study"))
    assert card["trial"] == after.best.number
    assert card["scores"]["validation"]["accuracy"] == after.best.value
    assert card["hyperparameters"] == after.best.facts["hyperparameters"]


def test_a_spent_budget_trains_nothing(workspace: Path) -> None:
    before = Workspace(workspace).best_model("study").read_bytes()
    assert run(make_study(workspace)).heard == ["reading"]
    assert run(make_study(workspace, overrides=["budget.timeout=0.001"])).heard == ["reading"]
    assert Workspace(workspace).best_model("study").read_bytes() == before
    assert len(summary(make_study(workspace)).trials) == 2


def test_a_spent_budget_is_known_until_something_is_left_to_do(workspace: Path) -> None:
    job, heard = make_study(workspace), list[Event]()
    assert not optimize_anywhere(job, heard.append, workers=0)
    assert heard == [Note("study: the budget is spent; nothing was done")]
    assert optimize_anywhere(replace(job, accept_changes=True), workers=0)
    with create_engine(job.url).begin() as connection:  # as a worker leaves it that is killed
        connection.execute(text("UPDATE trials SET state = 'RUNNING' WHERE number = 1"))
    assert optimize_anywhere(job, workers=0)
    job.model.unlink()
    assert optimize_anywhere(job, workers=0)


def test_a_second_command_says_that_it_joins_the_first(workspace: Path) -> None:
    job, heard = make_study(workspace), list[Event]()
    sampler, pruner = make_sampler(job.config.search.sampler, 0), make_pruner(job.config.search.pruner, 1)
    study = Study("study", workspace=workspace)
    with closing(open_storage(job.url)) as storage:
        with StoredStudy(storage, job.name, job.config.objective, sampler, pruner).run():
            study.make_job(heard.append)
        assert Note("study: is being searched already; this command joins that search") in heard
        heard.clear()
        study.make_job(heard.append)
        assert heard == []


def test_the_timeout_counts_from_the_command_on(workspace: Path) -> None:
    job = make_study(workspace, overrides=["budget.trials=9", "budget.timeout=10m"])
    assert run(replace(job, began=time.time() - 600)).heard == ["reading"]
    assert summary(job).seconds > 600
    assert len(summary(job).trials) == 2


def test_the_best_model_has_its_score(workspace: Path) -> None:
    study = make_study(workspace)
    data = load_dataset(study.config.data, study.config.seed)
    model = keras.models.load_model(study.workspace.best_model("study"))
    right = model.predict(data.validation.images, verbose=0).argmax(-1) == data.validation.labels
    best = summary(study).best
    assert best is not None
    assert best.value == pytest.approx(right.mean())


def test_predictions_of_the_validation_images_are_kept_beside_the_best_model(workspace: Path) -> None:
    study = make_study(workspace)
    card, path = read_card(study.model), study.workspace.predictions("study", "validation")
    predictions, best = read_predictions(path, card["sha256"]), summary(study).best
    assert predictions is not None
    assert best is not None
    data = load_dataset(study.config.data, study.config.seed)
    assert sorted(predictions.names) == sorted(data.validation.names)
    labels = dict(zip(data.validation.names, data.validation.labels, strict=True))
    assert predictions.labels.tolist() == [labels[name] for name in predictions.names]
    assert score(predictions).accuracy == pytest.approx(best.value)
    model = keras.models.load_model(study.model)
    of_the_model = dict(zip(data.validation.names, model.predict(data.validation.images, verbose=0), strict=True))
    for name, row in zip(predictions.names, predictions.probabilities, strict=True):
        np.testing.assert_allclose(row, of_the_model[name], atol=1e-5)
    calibration, trial = card["calibration"], study.model.parent / "models" / f"trial-{best.number:04}.keras"
    assert calibration["loss_after"] < calibration["loss_before"]
    assert calibration["of"] == read_card(trial)["sha256"] != card["sha256"]
    assert predictions.names == list(data.validation.names)
    certainty = find_certainty(predictions)
    assert certainty is not None
    assert card["sure"] == asdict(certainty)
    neighbors = read_neighbors(study.model, card["sha256"])
    assert neighbors is not None
    assert neighbors.features.shape == (len(predictions), model.layers[-1].layers[-1].input.shape[-1])
    assert read_predictions(path, "of another model") is None
    path.write_bytes(path.read_bytes()[:100])
    assert read_predictions(path, card["sha256"]) is None


def test_which_image_is_in_which_part_is_kept_beside_the_models(workspace: Path) -> None:
    study = make_study(workspace)
    data = load_dataset(study.config.data, study.config.seed)
    with study.workspace.split("study").open(newline="", encoding="utf-8") as file:
        rows = [(row["file"], row["class"]) for row in csv.DictReader(file) if row["part"] == "validation"]
    assert rows == [
        (name, data.class_names[label])
        for name, label in zip(data.validation.names, data.validation.labels, strict=True)
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overrides": ["data.validation=0.3"]}, r"data.validation \(0.2 -> 0.3\)"),
        ({"overrides": ["training.epochs=2"]}, r"training.epochs \(1 -> 2\)"),
        ({"overrides": ["seed=4"]}, r"seed \(3 -> 4\)"),
        ({"overrides": ["search.objective=val_loss"]}, r"search.direction .*, search.objective "),
        ({"overrides": ["spaces=['net', 'sequential']"]}, r"search space sequential \(none -> "),
        ({"net": NET.replace("8, 64", "8, 65")}, r"search space net \([0-9a-f]{12} -> [0-9a-f]{12}\)"),
    ],
)
def test_another_search_is_refused(workspace: Path, changes: dict[str, Any], message: str) -> None:
    (workspace / "plugins" / "net.py").write_text(changes.get("net", NET))
    with pytest.raises(StudyChangedError, match=message):
        run(make_study(workspace, overrides=changes.get("overrides", ())))
    (workspace / "plugins" / "net.py").write_text(NET)
    assert run(make_study(workspace)).heard == ["reading"]


OLDEST = {
    *("epochs", "patience", "batch_size", "optimizer", "learning_rate", "momentum", "schedule"),
    *("weight_decay", "l1", "l2", "label_smoothing", "flip", "shift"),
}
"""Settings of `[training]` that every study has."""


def test_a_study_from_before_a_setting_was_known_goes_on(workspace: Path) -> None:
    """By default a newer setting is no part of what must stay the same; a change of it is refused all the same."""
    study = make_study(workspace, overrides=["budget.trials=3"])
    values = identify(study.config, "0123", ())
    named = {key.removeprefix("training.") for key in values if key.startswith("training.")}
    assert named == OLDEST | {"precision", "normalization"}  # their defaults are not what was before them
    for setting, value in (("rotation", "15.0"), ("cutout", "0.2"), ("class_weights", "true")):
        change = make_study(workspace, overrides=["budget.trials=3", f"training.{setting}={value}"])
        with pytest.raises(StudyChangedError, match=rf"(?i)training.{setting} \(none -> {value}\)"):
            run(change)
    assert run(study).heard[:2] == ["reading", "2 COMPLETE"]


Default = Callable[[type[BaseModel], str, Any], None]


@pytest.fixture
def change_default() -> Iterator[Default]:
    """Returns what gives a key of a study file another default, as a later version may."""
    changed: list[type[BaseModel]] = []

    def rebuild() -> None:
        for section in changed:
            section.model_rebuild(force=True)
        StudyConfig.model_rebuild(force=True)

    with pytest.MonkeyPatch.context() as patch:

        def change(section: type[BaseModel], key: str, value: Any) -> None:
            patch.setattr(section.model_fields[key], "default", value)
            changed.append(section)
            rebuild()

        yield change
    rebuild()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [(TrainingConfig, "patience", 9), (SearchConfig, "keep_models", 1), (DataConfig, "image_size", 16)],
    ids=["training", "search", "data"],
)
def test_a_study_goes_on_though_a_default_has_changed(
    workspace: Path, change_default: Default, section: type[BaseModel], key: str, value: Any
) -> None:
    title = section.__name__.removesuffix("Config").lower()
    before = summary(make_study(workspace)).config
    change_default(section, key, value)
    study = make_study(workspace, overrides=["budget.trials=3"])
    assert getattr(getattr(study.config, title), key) == value
    ear = run(study)
    assert ear.heard[:2] == ["reading", "2 COMPLETE"]
    then = getattr(getattr(before, title), key)
    assert ear.notes == [f"this study continues as it was started, where nothing else is set: {title}.{key} = {then}"]
    assert getattr(summary(study).config, title) == getattr(before, title)
    assert len(list((workspace / "studies" / "study" / "models").glob("*.keras"))) == 3
    assert getattr(getattr(load(workspace / "study.toml"), title), key) == value  # that of a new study


def test_a_key_that_is_set_to_a_new_default_is_a_change(workspace: Path, change_default: Default) -> None:
    change_default(TrainingConfig, "patience", 9)
    with pytest.raises(StudyChangedError, match=r"training.patience \(3 -> 9\)"):
        run(make_study(workspace, overrides=["training.patience=9"]))


@pytest.mark.slow
def test_a_study_without_results_has_the_new_defaults(tmp_path: Path, change_default: Default) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "net.py").write_text(NET)
    stop = threading.Event()
    stop.set()
    run(make_study(tmp_path), stop)
    change_default(TrainingConfig, "patience", 9)
    assert run(make_study(tmp_path), stop).notes == []
    assert summary(make_study(tmp_path)).config.training.patience == 9


def test_what_is_set_no_more_stays_as_it_was_begun(workspace: Path) -> None:
    text = STUDY.replace("learning_rate = 0.01", "").replace("seed = 3", "").replace("trials = 2", "trials = 3")
    study = make_study(workspace, text)
    ear = Ear(study.workspace)
    optimize_anywhere(study, ear.hear, workers=0)
    assert ear.heard[:2] == ["reading", "2 COMPLETE"]
    settings = "seed = 3, training.learning_rate = 0.01"
    assert ear.notes == [f"this study continues as it was started, where nothing else is set: {settings}"]
    assert read_card(study.workspace.best_model("study"))["recipe"]["learning_rate"] == 0.01


LATER = """
import json, sys
from pathlib import Path
from searchcnn.backend import start_keras
from searchcnn.errors import StudyChangedError
from searchcnn.job import Job
from searchcnn.run import run_search
from searchcnn.study import Workspace, load, parse_settings

start_keras()
from searchcnn.results import models, read_card
models.verify = lambda *_: None
directory = Workspace(Path(sys.argv[1]))
for name, overrides in json.loads(sys.argv[2]):
    study = Job(name, load(directory.root / "study.toml", parse_settings(overrides)), directory)
    try:
        run_search(study)
        card = read_card(max((directory.best_model(name).parent / "models").glob("*.keras")))
        print(json.dumps([card["trial"], *(card["recipe"][key] for key in ("darken", "clip"))]))
    except StudyChangedError as error:
        print(json.dumps(str(error)))
"""
ADDED = (
    (
        "augmentation.py",
        "    def __bool__",
        '    darken: Annotated[float, Setting("Darken.", 0.25, at_least=0, below=1, since="9.0")] = 0.0\n\n',
    ),
    ("augmentation.py", "        moves = self.draw_moves(", "        images = np.uint8((1 - self.darken) * images)\n"),
    (
        "study/recipe.py",
        "    augmentation: Augmentation",
        '    clip: Annotated[float, Setting("Clip.", 1.0, concerns="optimizer", at_least=0, since="9.0")] = 0.0\n',
    ),
)
"""Files of searchcnn, what stands in them, and what a later version writes before it."""


@pytest.mark.slow
def test_a_setting_that_is_added_leaves_older_studies_as_they_were(workspace: Path) -> None:
    """In one file each, a later version adds a change of images and a setting; both hold in new studies by default."""
    later, package = workspace / "later", Path(run_module.__file__).parent
    shutil.copytree(package, later / "searchcnn", ignore=shutil.ignore_patterns("__pycache__"))
    for file, line, added in ADDED:
        path = later / "searchcnn" / file
        assert path.read_text().count(line) == 1
        path.write_text(path.read_text().replace(line, added + line))
    three = "budget.trials=3"
    runs = [
        ("study", [three]),
        ("study", [three, "training.darken=0.5"]),
        ("study", [three, "training.clip=[0.0, 1.0]"]),
        ("new", ["budget.trials=1"]),
    ]
    done = subprocess.run(
        [sys.executable, "-c", LATER, str(workspace), json.dumps(runs)],
        cwd=later,
        env={"PATH": "", "HOME": str(workspace), "PYTHONPATH": str(later)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    goes_on, darker, clipped, new = map(json.loads, done.stdout.splitlines())
    assert (goes_on, new) == ([2, 0.0, 0.0], [0, 0.25, 1.0])
    assert "training.darken (none -> 0.5); undo" in darker
    assert "training.clip (none -> [0.0, 1.0]); undo" in clipped


SCALING = """
import keras


def build(hp, input_shape, num_classes):
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
    model.add(keras.layers.Dense(num_classes, activation="softmax", name=f"units_{hp.Int('units', 1, 99)}"))
    return model
"""


def forget_rules(study: Job) -> None:
    """Makes a study one of the first version, which kept no rules."""
    with create_engine(study.url).begin() as connection:
        connection.execute(text("UPDATE searchcnn_studies SET identity = json_remove(identity, '$.rules')"))


@pytest.mark.slow
def test_what_was_found_of_pixels_is_kept_with_the_study(tmp_path: Path) -> None:
    """A study that an earlier version has begun goes on as it did: one ranking never mixes two scalings."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "net.py").write_text(SCALING)
    earlier = "training.normalization=scale"
    study = make_study(tmp_path, overrides=[earlier])
    ear = run(study)
    assert ear.notes == ["search space 'net': its networks scale pixels themselves; they get 0..255"]
    assert [trial.facts["pixels"] for trial in summary(study).trials] == ["0..255"] * 2
    assert read_card(study.workspace.best_model("study"))["recipe"]["normalization"] == "none"
    forget_rules(study)
    run(make_study(tmp_path, overrides=["budget.trials=3", earlier]))
    assert "pixels" not in summary(study).trials[2].facts
    third = study.workspace.best_model("study").parent / "models" / "trial-0002.keras"
    assert read_card(third)["recipe"]["normalization"] == "scale"


HALF = """
import keras

keras.mixed_precision.set_global_policy("mixed_float16")
"""


@pytest.mark.slow
def test_a_dtype_policy_holds_for_its_own_file_only(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    for name, head in (("half", HALF), ("full", "")):
        (tmp_path / "plugins" / f"{name}.py").write_text(head + SCALING)
    study = make_study(tmp_path, STUDY.replace('"net"', '"half", "full"'))
    run(study)
    for number, computed in enumerate(("float16", "float32")):
        saved = study.workspace.best_model("study").parent / "models" / f"trial-000{number}.keras"
        assert keras.models.load_model(saved).layers[-1].layers[-1].compute_dtype == computed
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_a_study_that_an_earlier_version_left_in_its_first_trial_goes_on(tmp_path: Path) -> None:
    """Neither its trial nor the epochs in its checkpoint are lost, although settings and rules have been added."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "net.py").write_text(SCALING)
    stop = threading.Event()
    study = make_study(tmp_path, STUDY.replace("epochs = 1", "epochs = 3"))

    def hear(event: Event) -> None:
        if isinstance(event, EpochFinished):
            stop.set()

    run_search(study, hear, stop)
    forget_rules(study)
    assert [(trial.state, trial.epochs) for trial in summary(study).trials] == [("RUNNING", 1)]
    began = datetime.now()
    run(study)
    first, _ = summary(study).trials
    assert (first.number, first.epochs) == (0, 3)
    with create_engine(study.url).begin() as connection:
        (created,) = connection.execute(text("SELECT datetime_start FROM trials WHERE number = 0")).one()
    assert datetime.fromisoformat(created) < began


@pytest.mark.slow
def test_a_change_can_be_accepted(workspace: Path) -> None:
    (workspace / "plugins" / "net.py").write_text(NET.replace("8, 64", "8, 65"))
    study = make_study(workspace, overrides=["budget.trials=3"])
    with pytest.raises(StudyChangedError):
        run(study)
    assert run(replace(study, accept_changes=True)).heard[:2] == ["reading", "2 COMPLETE"]
    assert run(study).heard == ["reading"]


def test_comments_and_words_may_change(workspace: Path) -> None:
    (workspace / "plugins" / "net.py").write_text("# mine\n" + NET.replace("Dense networks", "Small networks"))
    text = STUDY.replace("[data]", "# the images\n[data]")
    run(make_study(workspace, text, ["description='changed'", "search.max_failures=2", "limits.max_params=9999"]))


@pytest.mark.slow
def test_a_stop_before_the_first_trial(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "net.py").write_text(NET)
    stop = threading.Event()
    stop.set()
    assert run(make_study(tmp_path), stop).heard == ["reading", "dry"]
    assert [trial.state for trial in summary(make_study(tmp_path)).trials] == ["WAITING"]
    assert not Workspace(tmp_path).best_model("study").exists()


@pytest.mark.slow
def test_nothing_is_begun_where_the_dry_run_fails(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "net.py").write_text(NET.replace("hp.Int", "hp.Integer"))
    with pytest.raises(PluginError, match="search space 'net' fails with its default values: AttributeError"):
        run(make_study(tmp_path))
    with pytest.raises(StudyFileError, match="'val_acc' is not measured"):
        (tmp_path / "plugins" / "net.py").write_text(NET)
        run(make_study(tmp_path, overrides=["search.objective=val_acc"]))
    assert summary(make_study(tmp_path)).trials == []
    assert run(make_study(tmp_path, overrides=["budget.trials=1"])).heard[1:3] == ["dry", "0 COMPLETE"]


BASELINES = """
from searchcnn import InfeasibleError, SearchSpace
import keras


class Net(SearchSpace):
    def build(self, hp):
        units = hp.Int("units", 1, 1000, default=8)
        if units == 7:
            raise InfeasibleError("seven")
        if units == 13:
            raise RuntimeError("thirteen\\nis wrong")
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10, "softmax"), keras.layers.Dense(units),
                                 keras.layers.Dense(10, "softmax")])

    def baselines(self):
        return {"small": {"units": 4}, "again": {"units": 8}, "large": {"units": 1000}, "seven": {"units": 7},
                "WRONG": {"units": 13}}
"""


def points(folder: Path, code: str, config: StudyConfig) -> dict[str, Any]:
    (folder / "net.py").write_text(code)
    dataset, spaces = load_dataset(config.data, 0), [load_space("net.py", Workspace(folder))]
    trainer = Trainer(config, dataset, {"net": spaces[0].create(dataset.input_shape, dataset.num_classes)})
    return dict(find_known_points(trainer, spaces))


def test_only_baselines_that_can_be_trained_come_first(
    tmp_path: Path, study_config: Callable[..., StudyConfig]
) -> None:
    config = study_config(limits={"max_params": 5000}, training={"learning_rate": [0.01, 0.1]})
    code = BASELINES.replace('"WRONG": {"units": 13}', "")
    rate = {"training/learning_rate": 0.01}
    assert points(tmp_path, code, config) == {"default": {"units": 8, **rate}, "baseline small": {"units": 4, **rate}}
    assert points(tmp_path, code, study_config(search={"baselines": False})) == {}


def test_search_spaces_take_turns(tmp_path: Path, study_config: Callable[..., StudyConfig]) -> None:
    code = BASELINES.replace('"WRONG": {"units": 13}', "")
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(code)
    config = study_config()
    dataset, spaces = load_dataset(config.data, 0), load_spaces(["one.py", "two.py"], Workspace(tmp_path))
    enqueued = find_known_points(Trainer(config, dataset, create_spaces(spaces, config, dataset)), spaces)
    origins = ["default", "default", "baseline small", "baseline small", "baseline large", "baseline large"]
    assert [origin for origin, _ in enqueued] == origins
    assert [point["space"] for _, point in enqueued] == ["one", "two"] * 3


@pytest.mark.slow
def test_files_of_a_search_space_are_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    weights = tmp_path / "weights"
    weights.write_bytes(b"old")
    code = NET.replace(
        "    def build", f"    def files(self):\n        return (Path({str(weights)!r}),)\n\n    def build", 1
    )
    (tmp_path / "plugins" / "net.py").write_text(code.replace("import keras", "from pathlib import Path\nimport keras"))
    run(make_study(tmp_path, overrides=["budget.trials=1"]))
    weights.write_bytes(b"new")
    with pytest.raises(StudyChangedError, match=r"search space net, .*weights \("):
        run(make_study(tmp_path, overrides=["budget.trials=2"]))
    weights.unlink()
    with pytest.raises(PluginError, match="weights: cannot be read: No such file"):
        run(make_study(tmp_path, overrides=["budget.trials=2"]))


@pytest.mark.slow
def test_files_beside_a_search_space_are_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugins").mkdir()
    code = NET.replace("    def build(self, hp):", "    def build(self, hp):\n        import _sizes", 1)
    (tmp_path / "plugins" / "net.py").write_text(code.replace("8, 64", "8, _sizes.MOST"))
    sizes = tmp_path / "plugins" / "_sizes.py"
    sizes.write_text("MOST = 64\n")
    with monkeypatch.context() as patch:
        for module in (run_module, space_identity):
            patch.setattr(module, "identify_imports", lambda _: {})  # as an earlier version, which did not look at it
        study = make_study(tmp_path, overrides=["budget.trials=1"])
        run(study)
    forget_rules(study)
    run(make_study(tmp_path, overrides=["budget.trials=2"]))
    sizes.write_text("MOST = 65\n")
    with pytest.raises(StudyChangedError, match=r"search space net, _sizes.py \("):
        run(make_study(tmp_path, overrides=["budget.trials=3"]))


@pytest.mark.slow
def test_a_default_outside_its_range_is_the_first_trial(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "net.py").write_text(NET.replace("8, 64", "8, 64, step=8, default=70"))
    study = make_study(tmp_path, overrides=["budget.trials=3"])
    assert run(study).heard[2:5] == ["0 COMPLETE", "1 COMPLETE", "2 COMPLETE"]
    first, *others = [trial.facts for trial in summary(study).trials]
    assert first["hyperparameters"] == {"units": 70}
    assert first["params"] == 64 * 70 + 70 + 70 * 10 + 10
    assert {facts["hyperparameters"]["units"] % 8 for facts in others} == {0}


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ("hp.Int('units', 8, random.randint(9, 10**9))", "'units' has another range in each build: 8 to "),
        ("hp.Choice('units', [None, 8]) or 16", "'units': A `Choice` can contain only one type"),
        ("hp.Int('units', 8, 64, step=16, default=24.5)", "'units' cannot be 24.5, its default"),
        (
            "hp.Int('units', 9, 64, step=2, default=100)",
            "baseline b: hyperparameter 'units' cannot be 10; its values: 9",
        ),
    ],
)
def test_no_trial_is_begun_with_a_hyperparameter_that_cannot_be(tmp_path: Path, units: str, message: str) -> None:
    (tmp_path / "plugins").mkdir()
    code = NET.replace('hp.Int("units", 8, 64)', units).replace("import os", "import os, random", 1)
    baselines = "\n    def baselines(self):\n        return {'b': {'units': 10}}\n"
    (tmp_path / "plugins" / "net.py").write_text(code + baselines)
    study = make_study(tmp_path)
    with pytest.raises(PluginError, match=rf"^search space 'net'.*{re.escape(message)}"):
        run(study)
    assert summary(study).trials == []


def test_a_baseline_that_fails_is_named(tmp_path: Path, study_config: Callable[..., StudyConfig]) -> None:
    with pytest.raises(PluginError, match=r"^search space 'net', baseline WRONG: RuntimeError: thirteen$"):
        points(tmp_path, BASELINES, study_config())


SCRIPT = """
import os, signal, sys, threading
from pathlib import Path
from searchcnn import run as run_module
from searchcnn.backend import start_keras
from searchcnn.job import Job
from searchcnn.run import run_search
from searchcnn.events import Epoch, EpochFinished
from searchcnn.study import Workspace, load, parse_settings

def hear(event):
    match event:
        case EpochFinished(1, Epoch(1)):
            os.environ["SECONDS_A_BATCH"] = "0.2"  # time for the signal
            print("second epoch", flush=True)

stop = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stop.set())
start_keras()
from searchcnn.results import models
models.verify = lambda *_: None
for folder in map(Path, sys.argv[1:]):
    stop.clear()
    os.environ["SECONDS_A_BATCH"] = "0"
    run_search(Job("study", load(folder / "study.toml"), Workspace(folder)), hear, stop)
    print("in good order", flush=True)
"""
THREE = STUDY.replace("trials = 2", "trials = 3").replace("epochs = 1", "epochs = 3")


def search_and_signal(folders: dict[signal.Signals, Path]) -> tuple[int, str]:
    """Searches in a process of its own; a signal comes in the second epoch of the second trial of each search.

    Returns:
        The exit code, and what was printed.
    """
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, folders.values())],
        env={"PATH": "", "HOME": str(next(iter(folders.values())))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        alarm = threading.Timer(200, process.kill)
        alarm.start()
        assert process.stdout is not None
        signals, lines = iter(folders), []
        try:
            for line in process.stdout:
                lines.append(line)
                if line == "second epoch\n":
                    process.send_signal(next(signals))
            process.communicate()
        finally:
            alarm.cancel()
        return process.returncode, "".join(lines)


@pytest.mark.slow
def test_a_search_that_is_stopped_or_killed_goes_on(tmp_path: Path) -> None:
    folders = {number: tmp_path / number.name for number in (signal.SIGINT, signal.SIGKILL)}
    for folder in folders.values():
        (folder / "plugins").mkdir(parents=True)
        (folder / "plugins" / "net.py").write_text(NET)
        make_study(folder, THREE)
    printed = "second epoch\nin good order\nsecond epoch\n"
    assert search_and_signal(folders) == (-signal.SIGKILL, printed)
    assert go_on(folders[signal.SIGINT]) == go_on(folders[signal.SIGKILL])


def go_on(folder: Path) -> list[dict[str, Any]]:
    """Continues a search that was left in its second trial; returns the hyperparameters of all its trials."""
    study = make_study(folder, THREE)
    left = summary(study)
    assert [trial.state for trial in left.trials] == ["COMPLETE", "RUNNING"]
    assert left.trials[1].epochs == 1
    assert not left.running
    assert read_card(study.workspace.best_model("study"))["trial"] == 0

    assert run(study).heard[:3] == ["reading", "1 COMPLETE", "2 COMPLETE"]
    done = summary(study)
    assert [trial.epochs for trial in done.trials] == [3, 3, 3]
    assert done.trials[1].facts["hyperparameters"] == left.trials[1].facts["hyperparameters"]
    assert done.best is not None
    assert read_card(study.workspace.best_model("study"))["trial"] == done.best.number
    keras.models.load_model(study.workspace.best_model("study"))
    assert not list(study.workspace.best_model("study").parent.glob(".*"))
    return [trial.facts["hyperparameters"] for trial in done.trials]


@pytest.mark.slow
def test_too_many_failures_end_the_study(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    fails = NET.replace("return model.fit(", "1 / (hp.get('units') == 8); return model.fit(")  # the default does not
    (tmp_path / "plugins" / "net.py").write_text(fails)
    with pytest.raises(StudyFailedError, match=r"2 trials failed in a row, .*'net': ZeroDivisionError"):
        run(make_study(tmp_path, overrides=["budget.trials=9", "search.max_failures=2"]), None)

"""Softmax layers on pretrained features that are solved, and what is trained from there on, in whole studies."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import PluginError
from searchcnn.events import Epoch
from searchcnn.job import Job
from searchcnn.run import run_search
from searchcnn.search import (
    Budget,
    Evaluation,
    InterruptedTrialError,
    Search,
    SeededSampler,
    Trial,
    TrialPrunedError,
)
from searchcnn.sources import load_dataset
from searchcnn.spaces import LoadedSpace, Phase, SearchSpace
from searchcnn.store import StoredStudy, read_summary
from searchcnn.study import DataConfig, StudyConfig, Workspace, validate

start_keras()

import keras  # noqa: E402

from searchcnn.results import models, read_card  # noqa: E402
from searchcnn.training import Checkpoints, Trainer, features, run_dry  # noqa: E402
from tests.stop import Stop  # noqa: E402

DIGITS = ((8, 8, 1), 10)
SMALL = "MobileNet(alpha=0.25)"
HEAD = {"cut_blocks": 5, "head_convolution": False, "pooling": "average", "dense_layers": 0}
FEATURES = {**HEAD, "fine_tune": False}
TUNED = {**HEAD, "fine_tune": True, "unfrozen_blocks": 2, "head_dropout": 0.0, "fine_tuning_rate": 0.1}
Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
Stored = Callable[[StudyConfig], StoredStudy]
MakeTrainer = Callable[..., Trainer]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder that features are kept in."""
    monkeypatch.setattr(features, "locate_cache", lambda kind: tmp_path / kind)
    return tmp_path / "features"


@pytest.fixture
def make(transfer: LoadedSpace, weights: Path, study_config: Config, few: Dataset, tmp_path: Path) -> MakeTrainer:
    """Returns a maker of trainers, each of another process: of small pretrained networks, with these sections."""

    def maker(folder: str = "checkpoints", data: Dataset = few, linear: bool = False, **sections: Any) -> Trainer:
        options = {"backbones": [SMALL], "weights": str(weights), "image_sizes": [32], "linear": linear}
        space = transfer.create(*DIGITS, options)
        return Trainer(study_config(**sections), data, {"transfer": space}, Checkpoints(tmp_path / folder))

    return maker


def train(trainer: Trainer, begin: Begin, preset: dict[str, Any], **how: Any) -> tuple[Any, Trial]:
    trial = begin(trainer.config, **how)
    trial.preset = preset
    return trainer(trial), trial


def read_curve(trial: Trial) -> list[Epoch]:
    return trial._study.read_curve(trial.number)


def score(network: Any, images: Any, labels: Any) -> float:
    return float((network.predict(images, verbose=0).argmax(-1) == labels).mean())


def test_a_solved_trial(make: MakeTrainer, stored: Stored, few: Dataset, kept: Path) -> None:
    trainer = make(training={"epochs": 9, "batch_size": [16, 32], "optimizer": ["adam", "sgd"], "shift": [0.0, 0.1]})
    study = stored(trainer.config)
    study.begin([("test", FEATURES), ("test", {**FEATURES, "pooling": "max"})])
    evaluations: list[Evaluation] = []
    sampler = study.optuna.sampler
    assert isinstance(sampler, SeededSampler)

    def evaluate(trial: Trial) -> Evaluation:
        evaluations.append(trainer(trial))
        return evaluations[-1]

    Search(study, sampler, evaluate, Budget(2, None)).run()
    for done, evaluation in zip(study.list_trials(), evaluations, strict=True):
        assert done.state.name == "COMPLETE"
        assert done.user_attrs["hyperparameters"] == done.params  # of training none matters
        assert done.params.keys() == FEATURES.keys()
        assert done.user_attrs["penalty"] > 0
        assert done.user_attrs["stopped"] == "finished"
        (epoch,) = study.read_curve(done.number)
        assert (epoch.number, epoch.learning_rate) == (1, None)
        assert epoch.metrics.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert done.intermediate_values == {0: done.value}
        assert done.value == evaluation.value == pytest.approx(epoch.metrics["val_accuracy"])
        assert evaluation.recipe["optimizer"] == "lbfgs"
        network = evaluation.network
        assert score(network, few.validation.images, few.validation.labels) == pytest.approx(done.value, abs=0.011)
        assert score(network, few.train.images, few.train.labels) == pytest.approx(epoch.metrics["accuracy"], abs=0.011)
        assert done.value is not None
        assert done.value > 0.4
    assert len(list(kept.glob("*.npy"))) == 4


@pytest.mark.slow
def test_a_solved_trial_asks_for_class_weights_and_they_count(make: MakeTrainer, begin: Begin, few: Dataset) -> None:
    rare = few.train.take(np.flatnonzero((few.train.labels > 4) | (np.arange(len(few.train)) < 40)))
    trainer = make(data=replace(few, train=rare), training={"class_weights": [False, True]})
    recalls = []
    for weighted in (False, True):
        evaluation, trial = train(trainer, begin, {**FEATURES, "training/class_weights": weighted})
        assert trial.facts["hyperparameters"]["training/class_weights"] is weighted
        of_the_rare = few.validation.labels <= 4
        recalls.append(
            score(evaluation.network, few.validation.images[of_the_rare], few.validation.labels[of_the_rare])
        )
    assert recalls[1] > recalls[0]


@pytest.mark.slow
def test_without_room_for_features_it_is_the_same(make: MakeTrainer, begin: Begin, kept: Path) -> None:
    one, first = train(make(), begin, FEATURES)
    assert len(list(kept.glob("*.npy"))) == 2
    other, second = train(make(limits={"feature_cache": 0}), begin, FEATURES)
    assert len(list(kept.glob("*.npy"))) == 2
    assert read_curve(first)[0].metrics == read_curve(second)[0].metrics
    for mine, its in zip(one.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.slow
def test_fine_tuning_begins_at_the_solved_head(make: MakeTrainer, begin: Begin) -> None:
    training = {"epochs": 4, "learning_rate": 1e-12}
    _, solved = train(make(training=training), begin, FEATURES)
    evaluation, tuned = train(make(training=training), begin, TUNED)
    first, *others = read_curve(tuned)
    assert first.metrics == read_curve(solved)[0].metrics
    assert [epoch.number for epoch in others] == [2, 3, 4]
    assert [epoch.learning_rate for epoch in others] == pytest.approx([1e-13] * 3)
    for fact in ("penalty", "solved"):
        assert tuned.facts[fact] == solved.facts[fact]
    assert tuned.facts["solved"] == first.metrics["val_accuracy"]
    assert tuned.facts["tuned"]
    assert "tuned" not in solved.facts
    assert evaluation.value == max(epoch.metrics["val_accuracy"] for epoch in read_curve(tuned))
    for epoch in others:  # at such a rate it stays where it begins
        assert epoch.metrics["val_accuracy"] == pytest.approx(first.metrics["val_accuracy"], abs=0.011)
        assert epoch.metrics["val_loss"] == pytest.approx(first.metrics["val_loss"], rel=0.01)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_solved_head_may_take_all_epochs(make: MakeTrainer, begin: Begin, schedule: str) -> None:
    _, trial = train(make(training={"epochs": 1, "schedule": schedule}), begin, TUNED)
    assert [epoch.learning_rate for epoch in read_curve(trial)] == [None]


@pytest.mark.slow
def test_what_is_solved_is_not_pruned(make: MakeTrainer, begin: Begin) -> None:
    """It is not compared with an epoch of steps."""
    trainer = make(training={"epochs": 4}, search={"pruner": {"name": "ThresholdPruner", "lower": 2.0}})
    assert train(trainer, begin, FEATURES)[0].value > 0.4
    trial = begin(trainer.config)
    trial.preset = TUNED
    with pytest.raises(TrialPrunedError):
        trainer(trial)
    assert len(read_curve(trial)) == 2


def work(trainer: Trainer, study: StoredStudy, stop_after: int = 0) -> Any:
    """Works on a trial: the one that is left, or a new one."""
    stop = Stop(stop_after)
    sampler: Any = study.optuna.sampler
    trial = Trial(study.start_trial(), study, sampler, 0, Budget(None, None), stop.hear, stop.event)
    trial.preset = TUNED
    return trainer(trial).network


@pytest.mark.parametrize(
    "epochs", [pytest.param(epochs, marks=pytest.mark.slow) for epochs in ((1, 3), (1, 1, 2), (2, 3, 4))]
)
def test_one_that_was_interrupted_equals_one_that_was_not(
    make: MakeTrainer, stored: Stored, epochs: tuple[int, ...]
) -> None:
    """It solves the head once more, or goes on in fine-tuning."""
    training = {"epochs": 5, "shift": 0.1, "schedule": "cosine"}
    whole, parts = (stored(make(training=training).config) for _ in range(2))
    network = work(make("whole", training=training), whole)
    for epoch in epochs:
        with pytest.raises(InterruptedTrialError):
            work(make("parts", training=training), parts, stop_after=epoch)
    again = work(make("parts", training=training), parts)
    one, other = ([replace(epoch, seconds=0.0) for epoch in study.read_curve(0)] for study in (whole, parts))
    assert one == other
    assert len(one) == 5
    (done,), (resumed,) = whole.list_trials(), parts.list_trials()
    assert done.intermediate_values == resumed.intermediate_values
    assert list(done.intermediate_values) == [0, 2, 3, 4, 5]
    for mine, its in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_stop_before_it_is_solved(make: MakeTrainer, begin: Begin) -> None:
    stop = threading.Event()
    stop.set()
    trainer = make()
    trial = begin(trainer.config, stop=stop)
    trial.preset = FEATURES
    with pytest.raises(InterruptedTrialError):
        trainer(trial)
    assert read_curve(trial) == []


class Odd(SearchSpace):
    """Networks that cannot be solved."""

    def build(self, hp: Any) -> Any:
        x = keras.layers.Dense(self.num_classes)(keras.layers.Flatten()(images := keras.Input(self.input_shape)))
        return keras.Model(images, keras.layers.Softmax(name="end")(x))

    def phases(self, hp: Any, model: Any) -> Any:
        yield Phase(is_solved=True)


def test_a_network_with_another_end_is_refused_before_the_first_trial(study_config: Config, few: Dataset) -> None:
    space = Odd()
    space.input_shape, space.num_classes = DIGITS
    with pytest.raises(PluginError, match=r"^search space 'odd': Phase\(is_solved=True\) is for .*, not with 'end'"):
        run_dry(Trainer(study_config(), few, {"odd": space}), "odd")


def test_an_objective_that_a_solver_does_not_measure_is_refused(make: MakeTrainer) -> None:
    from searchcnn.errors import StudyFileError

    trainer = make(linear=True, search={"objective": "val_f1", "direction": "maximize"})
    with pytest.raises(StudyFileError, match=r"'val_f1' is not measured .*measured: val_accuracy, val_loss"):
        run_dry(trainer, "transfer")


# Studies in folds


@pytest.fixture
def images(tmp_path: Path, few: Dataset) -> Path:
    """Returns a file of 120 digits; a network with random weights does not know many of them."""
    path = tmp_path / "digits.npz"
    np.savez(path, x=few.train.images[:120], y=few.train.labels[:120])
    return path


@pytest.fixture
def folds_study(images: Path, weights: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(name: str = "folds", spaces: str = "transfer", **options: Any) -> Job:
        table = {
            "spaces": [spaces],
            "data": {"path": str(images), "folds": 5},
            "budget": {"trials": 9},
            "search": {"sampler": "grid"},
        }
        given = {"backbones": [SMALL], "weights": str(weights), "image_sizes": [32], **options}
        options = {"options": {"transfer": given}} if spaces == "transfer" else {}
        return Job(name, validate({**table, **options}, "test"), Workspace(tmp_path))

    return make


@pytest.fixture
def verify_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the check of the saved model in a fresh process to the tests of results."""
    monkeypatch.setattr(models, "verify", lambda *_: None)


@pytest.mark.slow
def test_a_study_in_folds(folds_study: Callable[..., Job], verify_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    study = folds_study(linear=True)
    run_search(study)
    summary = read_summary(study.url, study.name)
    points = {
        (facts["cut_blocks"], facts["pooling"]) for facts in (one.facts["hyperparameters"] for one in summary.trials)
    }
    assert points == {(cut, pooling) for cut in range(3) for pooling in ("average", "max")}  # and the search ends
    assert [trial.state for trial in summary.trials] == ["COMPLETE"] * 6
    best = summary.best
    assert best is not None
    card = read_card(study.workspace.best_model(study.name))
    assert card["trial"] == best.number
    assert card["scores"]["validation"] == {"accuracy": best.value, "images": 96 + 12, "folds": 5}
    assert card["fitted_to"] == ["train", "validation"]

    dataset = load_dataset(study.config.data, 0)
    network = keras.models.load_model(study.workspace.best_model(study.name))
    known = [score(network, part.images, part.labels) for part in (dataset.train, dataset.validation)]
    assert best.value is not None
    assert min(known) > best.value  # it was fitted to all of them: its value is of layers that were not


@pytest.mark.slow
def test_a_study_in_folds_is_the_same_each_time(folds_study: Callable[..., Job], verify_here: None) -> None:
    studies = [folds_study(name, linear=True) for name in ("one", "two")]
    for study in studies:
        run_search(study)
    one, two = ([trial.value for trial in read_summary(study.url, study.name).trials] for study in studies)
    assert one == two


@pytest.mark.parametrize("spaces", ["residual", "transfer"])
def test_networks_that_are_trained_by_steps_are_refused_in_folds(folds_study: Callable[..., Job], spaces: str) -> None:
    study = folds_study(spaces=spaces, weights="none") if spaces == "transfer" else folds_study(spaces=spaces)
    message = (
        rf"^search space '{spaces}': data\.folds measures heads .*, but search space '{spaces}' trains its networks"
    )
    with pytest.raises(PluginError, match=message) as raised:
        run_search(study)
    assert "\n" not in str(raised.value)
    assert read_summary(study.url, study.name).trials == []


@pytest.mark.slow
def test_a_fine_tuned_point_is_refused_in_folds(folds_study: Callable[..., Job]) -> None:
    study = folds_study()
    with pytest.raises(PluginError, match=r"options\.transfer\.linear = true"):
        run_search(study)


@pytest.mark.slow
def test_folds_are_part_of_a_study_s_identity(folds_study: Callable[..., Job], verify_here: None) -> None:
    from searchcnn.errors import StudyChangedError

    study = folds_study(linear=True)
    run_search(
        replace(
            study,
            config=study.config.model_copy(update={"budget": study.config.budget.model_copy(update={"trials": 1})}),
        )
    )
    other = study.config.model_copy(update={"data": study.config.data.model_copy(update={"folds": 4})})
    with pytest.raises(StudyChangedError, match="folds"):
        run_search(replace(study, config=other))


@pytest.mark.parametrize("folds", [-1, 1])
def test_one_fold_is_none(folds: int) -> None:
    with pytest.raises(ValueError, match=f"must be 0, for none, or 2 to 20, not {folds}"):
        DataConfig(name="digits", folds=folds)

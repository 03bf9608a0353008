"""A training that was interrupted goes on from its last epoch as if nothing had happened."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.events import Epoch
from searchcnn.search import Budget, InterruptedTrialError, Trial
from searchcnn.spaces import Phase, SearchSpace
from searchcnn.store import StoredStudy
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.training import Checkpoints, Trainer  # noqa: E402
from searchcnn.training.checkpoint import Checkpoint  # noqa: E402
from tests.stop import Stop  # noqa: E402

Config = Callable[..., StudyConfig]
layers = keras.layers
CHANGES = {"flip": True, "shift": 0.1, "rotation": 10.0, "zoom": 0.1, "contrast": 0.2, "cutout": 0.2, "mixup": 0.2}
RECIPE = CHANGES | {
    "epochs": 6,
    "patience": 3,
    "schedule": "plateau",
    "learning_rate": 0.02,
    "normalization": "zca",
    "class_weights": True,
}


class Net(SearchSpace):
    """A network with all that has a state: batch statistics, random layers, a second phase."""

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.Conv2D(4, 3, name="first")(images)
        x = layers.BatchNormalization()(x)
        x = layers.Dropout(0.3)(layers.Flatten()(x))
        return keras.Model(images, layers.Dense(10, activation="softmax")(x))

    def phases(self, hp: Any, model: Any) -> Any:
        model.get_layer("first").trainable = False
        yield Phase(share=0.4)
        model.get_layer("first").trainable = True
        yield Phase(rate=0.5)


@pytest.fixture
def trainer(study_config: Config, few: Dataset, tmp_path: Path) -> Callable[..., Trainer]:
    """Returns a maker of trainers: each is that of another process."""

    def make(folder: str, **training: Any) -> Trainer:
        space = Net()
        space.input_shape, space.num_classes = few.input_shape, few.num_classes
        config = study_config(training=RECIPE | training)
        return Trainer(config, few, {"net": space}, Checkpoints(tmp_path / folder))

    return make


def work_on_trial(trainer: Trainer, study: StoredStudy, stop_after: int = 0) -> Any:
    """Works on a trial: an abandoned one, or a new one."""
    stop = Stop(stop_after)
    sampler: Any = study.optuna.sampler
    trial = Trial(study.start_trial(), study, sampler, 0, Budget(None, None), stop.hear, stop.event)
    return trainer(trial).network


def read_curve(study: StoredStudy) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in study.read_curve(0)]


def check_same(whole: StoredStudy, parts: StoredStudy, network: Any, again: Any) -> None:
    assert read_curve(parts) == read_curve(whole)
    for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "epochs", [pytest.param(epochs, marks=pytest.mark.slow) for epochs in ((2,), (1, 2, 5), (1,), (4,))]
)
def test_it_equals_the_one_that_was_not(
    trainer: Callable[..., Trainer], stored: Callable[[StudyConfig], StoredStudy], epochs: tuple[int, ...]
) -> None:
    whole, parts = stored(trainer("whole").config), stored(trainer("parts").config)
    network = work_on_trial(trainer("whole"), whole)
    for epoch in epochs:
        with pytest.raises(InterruptedTrialError):
            work_on_trial(trainer("parts"), parts, stop_after=epoch)
    again = work_on_trial(trainer("parts"), parts)
    assert len(read_curve(whole)) > 5
    check_same(whole, parts, network, again)


@pytest.mark.slow
def test_a_phase_that_early_stopping_has_ended_is_over(
    trainer: Callable[..., Trainer], stored: Callable[[StudyConfig], StoredStudy]
) -> None:
    how = {"epochs": 20, "patience": 1}
    whole, parts = stored(trainer("whole", **how).config), stored(trainer("parts", **how).config)
    network = work_on_trial(trainer("whole", **how), whole)
    assert len(read_curve(whole)) < 20  # both phases have 8 and 12 epochs
    for epoch in range(1, len(read_curve(whole))):
        with pytest.raises(InterruptedTrialError):
            work_on_trial(trainer("parts", **how), parts, stop_after=epoch)
    check_same(whole, parts, network, work_on_trial(trainer("parts", **how), parts))


def test_nothing_is_left_of_a_trial_that_has_ended(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.drop([1])  # there are none
    files = [
        checkpoints.get_path(1),
        tmp_path / ".77.trial-0001.npz",
        checkpoints.get_path(11),
        tmp_path / ".78.trial-0011.npz",
    ]
    for path in files:
        path.touch()  # one with a dot was being written when its process was killed
    checkpoints.drop([1])
    assert sorted(tmp_path.iterdir()) == sorted(files[2:])


def test_a_checkpoint_that_does_not_know_a_setting_yet_is_read(tmp_path: Path, study_config: Config) -> None:
    path = tmp_path / "trial.npz"
    training = study_config().training.model_dump(exclude={"detect_scaling"})
    older = {name: value for name, value in training.items() if name not in ("rotation", "class_weights")}
    checkpoint = Checkpoint(0, 2, False, [], {}, [], [], [])
    checkpoint.write(path, {"seed": 1, "training": older})
    assert Checkpoint.read(path, {"seed": 1, "training": training}) == checkpoint
    for other in ({"rotation": 5.0}, {"class_weights": True}, {"epochs": 77}):
        assert Checkpoint.read(path, {"seed": 1, "training": {**training, **other}}) is None

"""A network that is trained in stretches, each a complete cycle of the learning rate, by one process or by many."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import InfeasibleError
from searchcnn.events import Epoch
from searchcnn.search import Budget, Evaluation, Scheduler, Search, Trial
from searchcnn.spaces import Phase, SearchSpace
from searchcnn.store import PACE, SCORES, SPENT, STRETCHES, StoredStudy
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.search.hyperparameters import CheckedHyperParameters  # noqa: E402
from searchcnn.training import Checkpoints, Trainer  # noqa: E402
from searchcnn.training import candidate as candidate_module  # noqa: E402
from searchcnn.training import trainer as trainer_module  # noqa: E402
from searchcnn.training.fit import Stretch, fit_phase  # noqa: E402
from searchcnn.training.pipeline import Passes  # noqa: E402
from searchcnn.training.timed_schedule import RESERVE, TimedSchedule  # noqa: E402
from tests.search.test_engine import Keeping  # noqa: E402
from tests.stop import Stop  # noqa: E402

Config = Callable[..., StudyConfig]
Work = Callable[..., Any]
layers = keras.layers
RATE = 0.02
PASSES = 6


class Net(SearchSpace):
    """A network with batch statistics and a random layer."""

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.BatchNormalization()(layers.Conv2D(4, 3)(images))
        x = layers.Dropout(0.3)(layers.Flatten()(x))
        return keras.Model(images, layers.Dense(10, activation="softmax")(x))


class Phased(Net):
    """A network whose search space says how it is trained."""

    def phases(self, hp: Any, model: Any) -> Any:
        yield Phase(share=0.5)
        yield Phase()


@pytest.fixture
def config(study_config: Config) -> StudyConfig:
    training = {"epochs": PASSES, "schedule": "cosine", "learning_rate": RATE, "flip": True, "shift": 0.1}
    return study_config(training=training)


@pytest.fixture
def work(
    config: StudyConfig,
    few: Dataset,
    tmp_path: Path,
    stored: Callable[[StudyConfig], StoredStudy],
    monkeypatch: pytest.MonkeyPatch,
) -> Work:
    """Returns what works on a study of one trial in a new process: ``work("a", stop_after=2)`` returns its network."""
    studies: dict[str, StoredStudy] = {}
    monkeypatch.setattr(candidate_module, "VALIDATED_SHARE", 1.0)

    def work_(name: str, stop_after: int = 0, space: type[SearchSpace] = Net) -> Any:
        study = studies.setdefault(name, stored(config))
        net = space()
        net.input_shape, net.num_classes = few.input_shape, few.num_classes
        trainer = Trainer(config, few, {"net": net}, Checkpoints(tmp_path / name))
        plan = Scheduler(config.objective, math.inf, trainer.parts, max_passes=PASSES)
        networks: list[Any] = []

        def keep(trial: Trial, evaluation: Evaluation) -> None:
            networks.append(evaluation.network)

        stop = Stop(stop_after)
        search = Search(study, study.optuna.sampler, trainer, Budget(1, None), Keeping(keep), scheduler=plan)  # type: ignore[arg-type]
        with study.run():
            search.run(stop.hear, stop.event)
        return networks[-1] if networks else None

    work_.studies = studies  # type: ignore[attr-defined]
    return work_


def read_curve(work: Work, name: str) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in work.studies[name].read_curve(0)]  # type: ignore[attr-defined]


def get_trial(work: Work, name: str) -> Any:
    return work.studies[name].list_trials()[0]  # type: ignore[attr-defined]


def test_each_stretch_is_a_cycle_of_the_learning_rate(work: Work) -> None:
    work("whole")
    trial, curve = get_trial(work, "whole"), read_curve(work, "whole")
    assert trial.user_attrs[STRETCHES] == [1, 5]
    assert trial.user_attrs[SCORES][-1] == trial.value == max(epoch.metrics["val_accuracy"] for epoch in curve)
    assert trial.user_attrs[PACE] > 0
    assert set(trial.user_attrs[SPENT]) == {"building", "features", "tracing", "training", "validating", "saving"}
    assert [epoch.number for epoch in curve] == [1, 2, 3, 4, 5, 6]
    expected = [0.0, *(RATE * (1 + math.cos(math.pi * epoch / 5)) / 2 for epoch in range(1, 6))]
    assert [epoch.learning_rate for epoch in curve] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_stretches_of_parts_of_a_pass(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "count_parts", lambda images, shape: 2)
    work("parts")
    assert get_trial(work, "parts").user_attrs[STRETCHES] == [1, 11]
    assert [epoch.number for epoch in read_curve(work, "parts")] == [1, 3, 5, 7, 9, 11, 12]


def test_no_more_is_validated_than_the_learning_curve_needs(
    work: Work, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = 1.01 * len(few.validation) / len(few.train)
    monkeypatch.setattr(candidate_module, "VALIDATED_SHARE", share / 3)  # once in three passes
    work("seldom")
    assert [epoch.number for epoch in read_curve(work, "seldom")] == [1, 4, 6]


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(1, 2), (3, 1)])
def test_killed_in_a_stretch_it_ends_as_one_that_was_not(work: Work, stops: tuple[int, ...]) -> None:
    network = work("whole")
    for stop_after in stops:
        work("killed", stop_after)
    again = work("killed")
    assert read_curve(work, "killed") == read_curve(work, "whole")
    assert get_trial(work, "killed").user_attrs[SCORES] == get_trial(work, "whole").user_attrs[SCORES]
    for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class Cut(keras.callbacks.Callback):
    """Stops a training in the middle of its third epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training |= self.epoch == 3 and batch >= 1


def test_an_epoch_that_is_cut_is_validated(study_config: Config, few: Dataset, begin: Callable[..., Trial]) -> None:
    config, net = study_config(training={"batch_size": 2, "epochs": None}), Net()
    net.input_shape, net.num_classes = few.input_shape, few.num_classes
    trainer = Trainer(config, few, {"net": net})
    hp = CheckedHyperParameters({})
    candidate = trainer.sample(hp).divide((20,), 1)
    stretch = Stretch(few.train, few.validation, seed=0, callbacks=[Cut()])
    history = fit_phase(candidate.during(Phase(), 20), stretch)
    assert len(history.history["loss"]) == 3
    assert len(history.history["val_loss"]) == 1


class Slow(keras.callbacks.Callback):
    """A pace of a second for each epoch, and a clock with fewer seconds left than epochs were planned."""

    seconds, validation = 1.0, 0.0

    def __init__(self, left: float) -> None:
        super().__init__()
        self.left = left
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.left -= self.seconds
        self.rates.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize(("possible", "epochs"), [(6.5, 7), (0.4, 1), (100.0, 8)])
def test_the_last_schedule_ends_with_the_time(study_config: Config, few: Dataset, possible: float, epochs: int) -> None:
    config, net = study_config(training={"epochs": None, "batch_size": 2, "schedule": "cosine"}), Net()
    net.input_shape, net.num_classes = few.input_shape, few.num_classes
    candidate = Trainer(config, few, {"net": net}).sample(CheckedHyperParameters({})).divide((8,), 1)
    slow = Slow(possible)
    timed = TimedSchedule(candidate.count_steps(len(few.train)), cast("Any", slow), lambda: slow.left + RESERVE)
    fit_phase(candidate.during(Phase(), 8), Stretch(few.train, few.validation, seed=0, callbacks=[slow, timed]))
    assert len(slow.rates) == epochs
    assert slow.rates == sorted(slow.rates, reverse=True)
    assert slow.rates[-1] < 0.01 * candidate.recipe.learning_rate


def test_a_network_that_is_found_to_be_too_slow_is_given_up(
    study_config: Config, few: Dataset, begin: Callable[..., Trial]
) -> None:
    config, net = study_config(training={"batch_size": 2}), Net()
    net.input_shape, net.num_classes = few.input_shape, few.num_classes
    trial = begin(config).plan((1,), max_pace=1e-6)
    with pytest.raises(InfeasibleError, match="an epoch takes more than 1e-06 s"):
        Trainer(config, few, {"net": net})(trial)
    assert trial.facts[PACE] > 0  # it tells what others will take


def test_a_search_space_that_says_how_it_is_trained_is_trained_all_at_once(work: Work) -> None:
    work("phased", space=Phased)
    assert STRETCHES not in get_trial(work, "phased").user_attrs
    assert [epoch.number for epoch in read_curve(work, "phased")] == [1, 2, 3, 4, 5, 6]


def test_the_parts_of_a_pass_are_different_images(few: Dataset) -> None:
    passes = Passes(few.train, 8, seed=1, parts=3)
    orders = [passes.draw_order(epoch) for epoch in range(6)]
    assert {len(order) for order in orders} == {len(few.train) // 3}
    for first in (0, 3):
        drawn = np.concatenate(orders[first : first + 3])
        assert len(set(drawn.tolist())) == len(drawn)
    assert len(passes) == math.ceil(len(few.train) // 3 / 8)
    assert not np.array_equal(orders[0], orders[3])

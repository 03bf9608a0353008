"""A network that waits to be trained on stays in memory, and goes on as it would from its checkpoint."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.search import Budget, Evaluation, Scheduler, Search, Trial
from searchcnn.spaces import Phase, SearchSpace
from searchcnn.store import SCORES, STRETCHES, StoredStudy
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.search.hyperparameters import CheckedHyperParameters  # noqa: E402
from searchcnn.training import Checkpoints, Trainer  # noqa: E402
from searchcnn.training import optimizers as optimizers_module  # noqa: E402
from searchcnn.training.candidate import Candidate  # noqa: E402
from searchcnn.training.fit import Stretch, fit_phase  # noqa: E402
from searchcnn.training.network import compile_model  # noqa: E402
from searchcnn.training.optimizers import restart_optimizer, share_schedule  # noqa: E402
from searchcnn.training.waiting import LAYER_BYTES, WaitingNetworks, can_wait  # noqa: E402
from tests.search.test_engine import Keeping  # noqa: E402
from tests.training.test_optimizers import OPTIMIZERS, make_recipe  # noqa: E402

if keras.backend.backend() != "tensorflow":
    pytest.skip("other backends make their graphs again", allow_module_level=True)

Config = Callable[..., StudyConfig]
TRIALS, PASSES = 3, 6


class Net(SearchSpace):
    """Networks with batch statistics and a random layer."""

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = keras.layers.Conv2D(hp.Int("filters", 2, 64), 3)(images)
        x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
        return keras.Model(images, keras.layers.Dense(10, activation="softmax")(keras.layers.Dropout(0.3)(x)))


class Traces:
    """Counts how often a training step or a validation is traced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.train = self.test = 0
        for name in ("train", "test"):
            monkeypatch.setattr(keras.Model, f"{name}_step", self._count(name, getattr(keras.Model, f"{name}_step")))

    def _count(self, name: str, step: Any) -> Any:
        def counting(model: Any, data: Any) -> Any:
            setattr(self, name, getattr(self, name) + 1)
            return step(model, data)

        return counting


@pytest.fixture
def search(
    study_config: Config, few: Dataset, tmp_path: Path, stored: Callable[[StudyConfig], StoredStudy]
) -> Callable[..., tuple[StoredStudy, list[Any]]]:
    """Returns what searches with a plan; ``forgets`` has no network wait in memory."""

    def search_(name: str, *, forgets: bool = False) -> tuple[StoredStudy, list[Any]]:
        training = {
            "epochs": PASSES,
            "schedule": "one_cycle",
            "learning_rate": 0.02,
            "flip": True,
            "optimizer": "nadam",
        }
        config = study_config(training=training)
        study, net, weights = stored(config), Net(), []
        net.input_shape, net.num_classes = few.input_shape, few.num_classes
        trainer = Trainer(config, few, {"net": net}, Checkpoints(tmp_path / name))
        if forgets:
            trainer._waiting = WaitingNetworks(max_networks=0)
        plan = Scheduler(config.objective, math.inf, trainer.parts, max_passes=PASSES)

        def keep(trial: Trial, evaluation: Evaluation) -> None:
            weights.append([trial.number, *evaluation.network.get_weights()])

        sampler: Any = study.optuna.sampler
        searching = Search(study, sampler, trainer, Budget(TRIALS, None), Keeping(keep), scheduler=plan)
        with study.run():
            searching.run()
        return study, weights

    return search_


@pytest.mark.slow
def test_a_network_that_waited_is_not_traced_again_and_gives_the_same_numbers(
    search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = Traces(monkeypatch)
    study, weights = search("waiting")
    assert (traces.train, traces.test) == (TRIALS, TRIALS)
    again, others = search("forgetting", forgets=True)
    stretches = [len(trial.user_attrs[STRETCHES]) for trial in again.list_trials()]
    assert max(stretches) > 1
    assert traces.train == TRIALS + sum(stretches)
    for trial, other in zip(study.list_trials(), again.list_trials(), strict=True):
        assert trial.user_attrs[SCORES] == other.user_attrs[SCORES]
        facts = {"space", "hyperparameters", "params", "macs"}
        assert {fact: trial.user_attrs[fact] for fact in facts} == {fact: other.user_attrs[fact] for fact in facts}
    for arrays, expected in zip(weights, others, strict=True):
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "step"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_begins_again_as_a_new_one(name: str, schedule: str) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    compile_model(model, make_recipe(optimizer=name, schedule=schedule, momentum=0.9, weight_decay=0.1), 10)
    share_schedule(model.optimizer)
    used, recipe = (
        model.optimizer,
        make_recipe(optimizer=name, schedule=schedule, momentum=0.9, weight_decay=0.1, epochs=2, learning_rate=0.03),
    )
    used.apply([keras.ops.ones(weight.shape) for weight in model.trainable_weights], model.trainable_weights)
    restart_optimizer(model, recipe, 7)
    new = optimizers_module.make_optimizer(recipe, 7)
    new.build(model.trainable_variables)
    for variable, expected in zip(used.variables, new.variables, strict=True):
        np.testing.assert_array_equal(variable, expected)
    for step in range(15):
        used.iterations.assign(step)
        new.iterations.assign(step)
        assert float(used.learning_rate) == float(new.learning_rate)


def test_a_step_computes_its_learning_rate_once(
    study_config: Config, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras does so again for each weight that decays."""
    import tensorflow as tf

    traced, schedule = [], keras.optimizers.schedules.CosineDecay
    compute = schedule.__call__

    def counting(self: Any, step: Any) -> Any:
        traced.append(not tf.executing_eagerly())
        return compute(self, step)

    monkeypatch.setattr(schedule, "__call__", counting)
    net, training = Net(), {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "one_cycle"}
    net.input_shape, net.num_classes = few.input_shape, few.num_classes
    candidate = Trainer(study_config(training=training), few, {"net": net}).sample(CheckedHyperParameters({}))
    fit_phase(candidate.divide((1,), 1).during(Phase(), 1), Stretch(few.train, few.validation, seed=0))
    assert sum(traced) == 1


def test_two_stretches_in_one_process_are_traced_once(
    study_config: Config, few: Dataset, begin: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, traces = Net(), Traces(monkeypatch)
    net.input_shape, net.num_classes = few.input_shape, few.num_classes
    candidate = Trainer(study_config(), few, {"net": net}).sample(CheckedHyperParameters({})).divide((1, 2), 1)
    stretch = Stretch(few.train, few.validation, seed=0)
    for phase in candidate.phases():
        fit_phase(candidate.during(phase, 2), stretch)
    assert (traces.train, traces.test) == (1, 1)


@pytest.fixture
def candidates(study_config: Config, few: Dataset) -> Iterator[Candidate]:
    """Yields compiled candidates for stretches."""
    net = Net()
    net.input_shape, net.num_classes = few.input_shape, few.num_classes
    trainer = Trainer(study_config(), few, {"net": net})

    def make() -> Iterator[Candidate]:
        while True:
            candidate = trainer.sample(CheckedHyperParameters({})).divide((1,), 1)
            compile_model(candidate.model, candidate.recipe, 1)
            yield candidate

    return make()


def test_those_that_waited_longest_go(candidates: Iterator[Candidate]) -> None:
    waiting = WaitingNetworks(max_networks=2)
    kept = [next(candidates) for _ in range(3)]
    for number in (0, 1):
        waiting.keep(number, kept[number])
    waiting.keep(0, waiting.take(0) or kept[2])  # used again
    waiting.keep(2, kept[2])
    assert [waiting.take(number) for number in (0, 1, 2)] == [kept[0], None, kept[2]]
    assert len(waiting) == 0


def test_no_more_wait_than_there_is_memory_for(candidates: Iterator[Candidate]) -> None:
    layers = len(next(candidates).model.layers)
    waiting = WaitingNetworks(max_bytes=2 * layers * LAYER_BYTES)  # their weights do not fit in besides
    for number in range(3):
        waiting.keep(number, next(candidates))
        assert len(waiting) == 1


def test_only_a_network_that_was_trained_in_stretches_waits(candidates: Iterator[Candidate]) -> None:
    assert not can_wait(next(candidates))

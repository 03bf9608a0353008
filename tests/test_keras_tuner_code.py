"""Code that was written for Keras Tuner runs as it is: the search spaces of its guides, and its own networks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.job import Job
from searchcnn.run import run_search
from searchcnn.search import Trial
from searchcnn.spaces import load_space
from searchcnn.store import TrialSummary, read_summary
from searchcnn.study import StudyConfig, Workspace

start_keras()

import keras  # noqa: E402

from searchcnn.results import models  # noqa: E402
from searchcnn.search.hyperparameters import CheckedHyperParameters  # noqa: E402
from searchcnn.training import Trainer  # noqa: E402
from searchcnn.training.cost import measure_cost  # noqa: E402
from searchcnn.training.network import build  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
GUIDES = Path(__file__).with_name("keras_tuner_guides.py")


def load(space: str, folder: Path, shape: tuple[int, int, int]) -> Any:
    """Returns a search space for images of ten classes."""
    return load_space(space, Workspace(folder)).create(shape, 10)


def search(config: StudyConfig, folder: Path) -> list[TrialSummary]:
    """Searches in a workspace; returns the trials that are complete."""
    study = Job("study", config, Workspace(folder))
    run_search(study)
    assert study.workspace.best_model("study").exists()
    return [trial for trial in read_summary(study.url, study.name).trials if trial.state == "COMPLETE"]


@pytest.mark.slow
def test_the_guides_are_searched_together(
    tmp_path: Path, study_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "verify", lambda *_: None)  # in a fresh process: tests/results does it
    names = ["getting_started", "MyHyperModel", "model_selection"]
    trials = search(study_config(spaces=[f"{GUIDES}:{name}" for name in names], budget={"trials": 4}), tmp_path)
    assert [trial.facts["space"] for trial in trials[:3]] == names
    assert [set(trial.facts["hyperparameters"]) - {"space", "training/learning_rate"} for trial in trials[:3]] == [
        {f"getting_started/{key}" for key in ("num_layers", "units_0", "activation", "dropout", "lr")},
        {"MyHyperModel/units", "MyHyperModel/shuffle"},
        {"model_selection/model_type", "model_selection/units"},
    ]
    assert [(trial.epochs, trial.value is not None) for trial in trials] == [(1, True)] * 4


@pytest.mark.parametrize(
    ("name", "preset", "asked"),
    [
        (
            "getting_started",
            {"num_layers": 2, "units_0": 32, "activation": "tanh", "units_1": 64, "dropout": True, "lr": 1e-3},
            {"num_layers", "units_0", "activation", "units_1", "dropout", "lr"},
        ),
        ("model_selection", {"model_type": "cnn"}, {"model_type", "filters"}),
        ("tailored", {"units": 32, "dropout": False}, {"units", "dropout", "learning_rate"}),
    ],
    ids=["getting_started", "cnn", "tailored"],
)
def test_points_of_the_guides_are_trained(
    study_config: Config, begin: Begin, few: Dataset, tmp_path: Path, name: str, preset: dict[str, Any], asked: set[str]
) -> None:
    config = study_config()
    trial = begin(config)
    trial.preset = preset
    evaluation = Trainer(config, few, {"net": load(f"{GUIDES}:{name}", tmp_path, few.input_shape)})(trial)
    assert 0 <= evaluation.value <= 1
    values = trial.facts["hyperparameters"]
    assert set(values) == asked
    assert values.items() >= preset.items()


@pytest.mark.parametrize("name", ["HyperResNet", pytest.param("HyperXception", marks=pytest.mark.slow)])
def test_networks_that_come_with_keras_tuner_are_built(
    study_config: Config, few: Dataset, tmp_path: Path, name: str
) -> None:
    shape = (71, 71, 3)
    data = replace(few, train=replace(few.train, images=np.zeros((256, *shape), np.uint8)))
    trainer = Trainer(study_config(), data, {name: load(f"keras_tuner.applications:{name}", tmp_path, shape)})
    candidate = trainer.sample(CheckedHyperParameters())
    model, recipe = candidate.model, candidate.recipe
    assert (model.input_shape, model.output_shape) == ((None, *shape), (None, 10))
    assert model.compiled
    assert recipe.optimizer == ""
    assert trainer.resolve_point(name, {}).cost.macs > 10_000_000


@pytest.mark.slow
def test_hyper_xception_is_searched(tmp_path: Path, study_config: Config) -> None:
    config = study_config(
        spaces=["keras_tuner.applications:HyperXception"],
        data={"name": "digits", "validation": 1300},
        budget={"trials": 1},
    )
    (trial,) = search(config, tmp_path)
    assert trial.facts["hyperparameters"]["num_residual_blocks"] == 4


@pytest.mark.slow
def test_hyper_resnet_is_built_counted_and_trained_a_step(tmp_path: Path) -> None:
    """A whole search would take a minute: its smallest network is ResNet50V2."""
    space = load("keras_tuner.applications:HyperResNet", tmp_path, (32, 32, 3))
    model = build(space, CheckedHyperParameters(), (32, 32, 3), 10)
    assert measure_cost(model).params == model.count_params() == 23_585_290
    labels = keras.utils.to_categorical(np.arange(2), 10)
    loss = model.train_on_batch(np.ones((2, 32, 32, 3), "float32"), labels, return_dict=True)["loss"]
    assert np.isfinite(loss)

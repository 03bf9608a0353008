"""A study of any number of trials, in a real database, with what a model leaves beside it."""

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import insert

from searchcnn.results.card import write_card
from searchcnn.results.gallery import choose_images, make_pictures, write_pictures
from searchcnn.results.scores import Predictions
from searchcnn.results.stored import write_predictions
from searchcnn.search import make_sampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.store.tables import EpochRow, RunRow
from searchcnn.study import ComponentConfig, Objective, StudyConfig, Workspace

NAME = "x"
MODEL = "0" * 64
"""Stands for the hash of the model."""
LAYERS = [
    {"rule": "", "text": "images", "shape": [8, 8, 1], "params": 0, "macs": 0},
    {"rule": "", "text": "Conv2D 32, 3x3 · relu", "shape": [8, 8, 32], "params": 320, "macs": 18_432},
    {"rule": "", "text": "GlobalAveragePooling", "shape": [32], "params": 0, "macs": 0},
    {"rule": "", "text": "Dense 3 · softmax", "shape": [3], "params": 99, "macs": 96},
]

MakeStudy = Callable[..., Workspace]


@pytest.fixture
def make_study(tmp_path: Path, study_config: Callable[..., StudyConfig]) -> MakeStudy:
    """Returns a function that writes a study, and returns its workspace."""

    def make(trials: int, classes: Sequence[str] = ("a", "b", "c"), is_trained: bool = True, **keys: Any) -> Workspace:
        workspace = Workspace(tmp_path)
        workspace.studies.mkdir()
        _write_trials(workspace, trials, study_config(**keys))
        if is_trained:
            _write_model(workspace, classes)
        return workspace

    return make


def _write_trials(workspace: Workspace, count: int, config: StudyConfig) -> None:
    sampler, pruner = make_sampler(ComponentConfig(name="RandomSampler"), 0), optuna.pruners.NopPruner()
    with closing(open_storage(parse_url(workspace.database_url(NAME)))) as storage:
        study = StoredStudy(storage, NAME, Objective("val_accuracy", "maximize"), sampler, pruner)
        study.check_identity(config.model_dump(), {})
        draw, rows = random.Random(0), []
        for number in range(count):
            rate, units = 10 ** draw.uniform(-4, -1), draw.choice([16, 32, 64])
            epochs = 12 if number % 4 == 0 else draw.choice([4, 6])
            curve = [0.9 - 10 * abs(rate - 0.01) - 0.4 / epoch for epoch in range(1, epochs + 1)]
            state = TrialState.COMPLETE if epochs == 12 else TrialState.PRUNED
            facts = {"space": "net", "params": 100 * units, "macs": 1000 * units, "reason": "not promoted"}
            facts["hyperparameters"] = {"units": units, "rate": rate, "activation": draw.choice(["relu", "elu"])}
            study.optuna.add_trial(
                optuna.create_trial(
                    state=state,
                    value=curve[-1] if state is TrialState.COMPLETE else None,
                    user_attrs=facts,
                    intermediate_values=dict(enumerate(curve, 1)),
                )
            )
            rows += [
                {
                    "trial_id": number + 1,
                    "epoch": epoch,
                    "learning_rate": rate,
                    "seconds": 1.0,
                    "metrics": {"accuracy": value + 0.02 * epoch, "val_accuracy": value, "loss": 1 - value},
                }
                for epoch, value in enumerate(curve, 1)
            ]
        with storage.engine.begin() as connection:
            connection.execute(insert(EpochRow), rows)
            connection.execute(insert(RunRow), {"study_id": 1, "host": "here", "pid": 1, "ended": True})


def _write_model(workspace: Workspace, classes: Sequence[str]) -> None:
    from searchcnn.store import read_summary

    best = read_summary(parse_url(workspace.database_url(NAME)), NAME).best
    assert best is not None
    scores = {"validation": {"accuracy": best.value, "images": 60}}
    facts = {"trial": best.number, **{key: best.facts[key] for key in ("space", "params", "macs", "hyperparameters")}}
    card = {**facts, "sha256": MODEL, "scores": scores, "classes": classes, "input_shape": [8, 8, 1], "seed": 0}
    card |= {"network": LAYERS, "data": {"name": "x", "fingerprint": "f"}, "created": "2026", "backend": "tensorflow"}
    card |= {"plugin": {"location": "net.py", "fingerprint": "f"}, "versions": {"python": "3"}, "verified": True}
    write_card(workspace.best_model(NAME), card)
    predictions = make_predictions(classes)
    write_predictions(workspace.predictions(NAME, "validation"), predictions, MODEL)
    chosen = choose_images(predictions)
    images = np.random.default_rng(0).integers(0, 256, (len(chosen), 40, 48, 3), dtype=np.uint8)
    maps = [np.eye(3, dtype=np.float32)] * 5
    write_pictures(workspace.pictures(NAME, "validation"), make_pictures(predictions, chosen, images, maps), MODEL)


def make_predictions(classes: Sequence[str]) -> Predictions:
    """Returns predictions for 60 images, most of them right; of the first one that it is surely of another class."""
    draw = np.random.default_rng(0)
    labels = np.arange(60) % len(classes)
    probabilities = draw.dirichlet([0.5] * len(classes), 60)
    probabilities[np.arange(60), labels] += 1.5
    probabilities[0] = np.where(np.arange(len(classes)) == 1, 99.0, 0.1)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    names = [f"folder/{number}'\"<img src=x>.jpg" for number in range(60)]
    return Predictions(names, labels, probabilities.astype(np.float32), list(classes))

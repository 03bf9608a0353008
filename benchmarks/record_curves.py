"""Records learning curves: points drawn at random, each trained in the stretches of a plan, 1, 3, 9 and 27 epochs.

Each stretch is a complete cycle of the learning rate, and goes on from the weights of the one before. What is recorded
is all that a plan sees: hyperparameters, size, and the score and the seconds of each epoch, the first of which includes
tracing the network. `benchmarks/replay` replays it. Where there are many images an epoch is a part of a pass over them,
as in a search.

The study that is trained lies in a folder of its own; the same command continues it, and writes what it has so far.

Run: taskset -c 0 python benchmarks/record_curves.py --data digits --points 200 --folder /tmp/curves
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from searchcnn import Study
from searchcnn.sources import load_dataset
from searchcnn.store.tables import EpochRow
from searchcnn.study import DataConfig
from searchcnn.training import optimizers
from searchcnn.training.trainer import Trainer

CURVES = Path(__file__).parent / "curves"
EPOCH_IMAGES = 3000
"""Images of an epoch, about; where there are no more, it is a pass."""
RUNGS = (1, 3, 9, 27)
"""Epochs at which a stretch ends."""
SETTINGS: Mapping[str, Any] = {
    "spaces": ["sequential", "residual", "inception"],
    "search.sampler": {"name": "RandomSampler"},
    "search.pruner": {"name": "NopPruner"},
    "search.baselines": False,
    "search.keep_models": 1,
    "training.epochs": RUNGS[-1],
    "training.patience": RUNGS[-1],
    "training.schedule": "cosine",
    "training.learning_rate": {"min": 5e-4, "max": 1e-2, "log": True},
    "training.weight_decay": [0.0, 1e-4, 1e-3],
    "training.shift": [0.1, 0.0],
    "limits.trial_timeout": "20m",
}
DATASETS: Mapping[str, Mapping[str, Any]] = {
    "digits": {"training.batch_size": 32, "limits.max_macs": 500_000, "limits.max_params": 300_000},
    "fashion_mnist": {"training.batch_size": 64, "limits.max_macs": 2_000_000, "limits.max_params": 500_000},
    "cifar10": {
        "training.batch_size": 64,
        "training.flip": True,
        "limits.max_macs": 2_000_000,
        "limits.max_params": 500_000,
    },
}
"""What differs from dataset to dataset; the limits only keep the recording short."""
HALVED = ("fashion_mnist", "cifar10")
"""Datasets whose images are brought to half of their height and width: the same networks in a quarter of the time."""


class Cycles(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Cosine cycles, from the peak down to zero, that end with the rungs.

    Args:
        peak: The learning rate at the beginning of each cycle.
        steps: Batches of all of them.
    """

    def __init__(self, peak: float, steps: int) -> None:
        self._peak = peak
        self._ends = [steps * rung / RUNGS[-1] for rung in RUNGS]

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step."""
        ops, step = keras.ops, keras.ops.cast(step, "float32")
        rate = keras.ops.zeros(())
        for begin, end in zip((0.0, *self._ends), self._ends, strict=False):
            cosine = self._peak * 0.5 * (1 + ops.cos(math.pi * (step - begin) / (end - begin)))
            rate = ops.where(ops.logical_and(step >= begin, step < end), cosine, rate)
        return rate


def halve(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns images of half of the height and width, each pixel the mean of four.

    Args:
        images: Shape (samples, height, width, channels); height and width are even.
    """
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    return blocks.mean(axis=(2, 4)).round().astype(images.dtype)


def take_images(name: str, path: str | None, count: int) -> dict[str, Any]:
    """Returns some images of a dataset, drawn at random: ``count`` to train on, or all if there are fewer."""
    config = {"validation": 0.2 if name == "digits" else 5000, **({"path": path} if path else {"name": name})}
    dataset = load_dataset(DataConfig.model_validate(config), seed=0)
    arrays: dict[str, Any] = {}
    for part, number in (("train", count), ("validation", 1500), ("test", 100)):
        split = getattr(dataset, part)
        drawn = np.random.default_rng(0).permutation(len(split))[:number]
        images = np.asarray(split.images)[drawn]
        arrays |= {
            f"x_{part}": halve(images) if name in HALVED else images,
            f"y_{part}": np.asarray(split.labels)[drawn],
        }
    return arrays


def read_curves(study: Study) -> list[dict[str, Any]]:
    """Returns what was recorded of each trial that was trained to the end."""
    engine = create_engine(f"sqlite:///{study.workspace.database(study.name)}")
    with Session(engine) as session:
        rows = list(session.scalars(select(EpochRow).order_by(EpochRow.trial_id, EpochRow.epoch)))
    first = min(row.trial_id for row in rows)
    curves = []
    for trial in study.trials:
        epochs = [row for row in rows if row.trial_id == first + trial.number]
        if trial.state != "COMPLETE" or len(epochs) < RUNGS[-1]:
            continue
        curves.append(
            {
                "hyperparameters": trial.hyperparameters,
                "params": trial.facts["params"],
                "macs": trial.facts["macs"],
                "accuracy": [round(row.metrics["val_accuracy"], 4) for row in epochs],
                "loss": [round(row.metrics["val_loss"], 4) for row in epochs],
                "seconds": [round(row.seconds, 2) for row in epochs],
            }
        )
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=DATASETS, required=True)
    parser.add_argument("--path", help="where the images are, if not where the dataset is looked for")
    parser.add_argument("--images", type=int, default=12000, help="to train on")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    images = take_images(arguments.data, arguments.path, arguments.images)
    parts = max(1, round(len(images["y_train"]) / EPOCH_IMAGES))
    # One schedule for all stretches, so that a network is traced only once; and epochs that are parts of a pass.
    optimizers._make_learning_rate = lambda recipe, steps: Cycles(recipe.learning_rate, steps)
    Trainer._divide = lambda _, candidate, trial: replace(candidate, parts=parts)  # type: ignore[method-assign]
    settings = {**SETTINGS, **DATASETS[arguments.data]}
    study = Study(arguments.data, data=images, settings=settings, weights="none", workspace=arguments.folder)
    study.optimize(trials=arguments.points, workers=0)
    content = {"machine": f"{platform.machine()}, one core", "date": str(date.today()), "rungs": RUNGS}
    content["pixels"] = math.prod(images["x_train"].shape[1:3])
    content |= {"parts": parts, "images": {part: len(images[f"y_{part}"]) for part in ("train", "validation")}}
    CURVES.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(curve) for curve in read_curves(study))
    head = json.dumps(content)[:-1]
    (CURVES / f"{arguments.data}.json").write_text(f'{head}, "curves": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

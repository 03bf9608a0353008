"""Trains candidates on images of each data set, and writes what is recorded of each."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.known_points.candidates import SPACES, Candidate, list_candidates, write
from benchmarks.known_points.choosing import PASSES, STRETCHES

IMAGES, VALIDATED = 5000, 2500
"""Images to train on and to validate on, at most; the latter are a quarter of all at most."""
LEARNING_RATE = 0.016
"""The middle of what is searched by default."""
UNMIRRORED = ("mnist", "digits")
"""Data sets whose images are not mirrored; the archives do not have the names of their classes."""


def take_images(path: Path, size: int | None, images: int) -> dict[str, npt.NDArray[Any]]:
    """Returns some images of an archive to train on, and others to validate on, brought to a size if one is given."""
    archive = np.load(path)
    parts = [part for part in ("train", "validation") if f"x_{part}" in archive]
    pixels, labels = (np.concatenate([archive[f"{axis}_{part}"] for part in parts]) for axis in "xy")
    order = np.random.default_rng(7).permutation(len(labels))
    validated = min(VALIDATED, len(labels) // 4)
    drawn = order[: validated + images]
    pixels, labels = pixels[drawn], labels[drawn]
    if size:
        pixels = resize(pixels, size)
    return {
        "x_train": pixels[validated:],
        "y_train": labels[validated:],
        "x_validation": pixels[:validated],
        "y_validation": labels[:validated],
        "x_test": pixels[:validated],  # a dataset must have some; nobody reads them
        "y_test": labels[:validated],
    }


def resize(pixels: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Returns images of shape (samples, height, width, channels) as squares of so many pixels a side."""
    from keras import ops

    parts = [ops.image.resize(part, (size, size), antialias=True) for part in np.array_split(pixels, len(pixels) // 64)]
    whole = np.concatenate([np.asarray(ops.convert_to_numpy(part)) for part in parts])
    resized: npt.NDArray[np.uint8] = np.clip(whole.round(), 0, 255).astype(np.uint8)
    return resized


def load_images(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Returns a dataset of images in arrays."""
    from searchcnn.sources import load_dataset
    from searchcnn.study import DataConfig

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return load_dataset(DataConfig.model_validate({"path": str(path), "group_near_copies": False}), seed=0)


def make_trainer(dataset: Any, is_mirrored: bool) -> Any:
    """Returns what makes networks of all spaces for a dataset, with the default recipe."""
    from searchcnn.spaces import load_spaces
    from searchcnn.spaces.creation import create_spaces
    from searchcnn.study import Workspace, validate
    from searchcnn.training.trainer import Trainer

    table = {"spaces": list(SPACES), "data": {"name": "digits"}, "budget": {"trials": 1}}
    training = {"learning_rate": LEARNING_RATE, "epochs": PASSES[-1], "flip": is_mirrored}
    config = validate({**table, "training": training}, "known_points")
    spaces = create_spaces(load_spaces(config.spaces, Workspace(Path.cwd())), config, dataset)
    return Trainer(config, dataset, spaces)


def make_network(trainer: Any, values: Mapping[str, Any], stretches: Sequence[int], seed: int) -> Any:
    """Returns the network of a point, to be trained in stretches of so many passes."""
    import keras

    from searchcnn.backend import clear_keras
    from searchcnn.search.hyperparameters import CheckedHyperParameters

    clear_keras()
    keras.utils.set_random_seed(seed)
    return trainer.sample(CheckedHyperParameters(dict(values))).divide(stretches, parts=1)


def fit(trainer: Any, network: Any, seed: int, *callbacks: Any) -> list[Mapping[str, list[float]]]:
    """Trains a network; returns the learning curves of its stretches."""
    from searchcnn.training.callbacks import BatchStatistics, PlainMetrics
    from searchcnn.training.fit import Stretch, fit_phase

    dataset, passes = trainer.inputs.dataset, sum(network.stretches)
    normalization = trainer.inputs.make_normalization(network.recipe.normalization)
    callbacks = (PlainMetrics(), BatchStatistics(), *callbacks)
    stretch = Stretch(dataset.train, dataset.validation, seed, callbacks, normalization=normalization)
    return [fit_phase(network.during(phase, passes), stretch).history for phase in network.phases()]


def train(trainer: Any, candidate: Candidate, seed: int = 0) -> dict[str, Any]:
    """Trains a candidate; returns what is recorded of it."""
    import keras

    from searchcnn.backend import free_graphs

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.begins: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begins.append(time.process_time())

    clock, values = Clock(), trainer.space.members[candidate.space].name_values(candidate.values)
    with free_graphs():
        network = make_network(trainer, values, STRETCHES, seed)
        ends = fit(trainer, network, seed, clock)
    return {
        "space": candidate.space,
        "name": candidate.name,
        "values": candidate.values,
        "params": network.cost.params,
        "macs": network.cost.macs,
        "accuracy": [round(end["val_accuracy"][-1], 4) for end in ends],
        "loss": [round(end["val_loss"][-1], 4) for end in ends],
        "seconds": round((clock.begins[-1] - clock.begins[1]) / (len(clock.begins) - 2), 3),
    }


@dataclass(frozen=True)
class Recorder:
    """Trains candidates on a data set, and writes what is recorded of each.

    Attributes:
        path: Its file.
        trainer: Makes the networks.
    """

    path: Path
    trainer: Any

    @cached_property
    def content(self) -> dict[str, Any]:
        """What was recorded so far."""
        if self.path.exists():
            return dict(json.loads(self.path.read_text()))
        dataset = self.trainer.inputs.dataset
        images = {"train": len(dataset.train), "validation": len(dataset.validation)}
        return {
            "shape": dataset.input_shape,
            "classes": dataset.num_classes,
            "images": images,
            "passes": PASSES,
            "points": [],
        }

    def record(self, candidate: Candidate) -> None:
        """Trains a candidate, unless it was trained already."""
        points = self.content["points"]
        if candidate.key in [Candidate(point["space"], "", point["values"]).key for point in points]:
            return
        points.append(train(self.trainer, candidate))
        print(self.path.stem, {key: value for key, value in points[-1].items() if key != "values"}, flush=True)
        head = json.dumps({key: value for key, value in self.content.items() if key != "points"})[:-1]
        lines = ",\n".join(json.dumps(point) for point in points)
        write(self.path, f'{head}, "points": [\n{lines}\n]}}\n')


def record(arguments: argparse.Namespace) -> None:
    """Trains all candidates on all data sets; goes on where it was."""
    from searchcnn.backend import start_keras

    start_keras()
    recorders = []
    for spec in arguments.data:
        path, _, size = spec.partition(":")
        name = Path(path).stem
        dataset = load_images(take_images(Path(path), int(size) if size else None, arguments.images))
        trainer = make_trainer(dataset, is_mirrored=name not in UNMIRRORED)
        recorders.append(Recorder(arguments.folder / f"{name}.json", trainer))
    for candidate in list_candidates(arguments.folder):
        for recorder in recorders:
            recorder.record(candidate)

"""What each setting of the recipe is worth: one network, trained with one thing changed at a time.

A change is written KEY=VALUE: a setting of `[training]` by its name, a hyperparameter of the network by its search
space, as in ``residual/filters=48``, or a constant by its module, as in ``muon.MOMENTUM=0.95``; several at once are
joined by commas. All are trained on the same images, in the same order, for
the same number of passes; 15,000 others are validated on. Test images are not read.

Run: python benchmarks/levers.py --data fashion_mnist --images 10000 --passes 8 --seeds 2 weight_decay=0.1 shift=0.0
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from searchcnn.data import Dataset, Split
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.sources import BUILTIN_NAMES, load_dataset
from searchcnn.spaces import load_spaces
from searchcnn.spaces.creation import create_spaces
from searchcnn.study import DataConfig, Workspace, validate
from searchcnn.training.callbacks import BatchStatistics
from searchcnn.training.fit import Stretch, fit_phase
from searchcnn.training.trainer import Trainer

VALIDATED = 15_000
"""Images to validate on, at most a quarter of all."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("changes", nargs="*", help="KEY=VALUE, or several joined by commas")
    parser.add_argument("--data", default="fashion_mnist", help="a built-in dataset, or a path")
    parser.add_argument("--size", type=int, help="height and width that images of a path are brought to")
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--space", default="residual", help="whose default network is trained")
    return parser.parse_args()


def take_images(arguments: argparse.Namespace) -> Dataset:
    """Returns some of the training images to train on, and others to validate on."""
    config: dict[str, Any] = {"name" if arguments.data in BUILTIN_NAMES else "path": arguments.data}
    config |= {"image_size": arguments.size} if arguments.size else {}
    dataset = load_dataset(DataConfig.model_validate(config), seed=0)
    parts = dataset.train, dataset.validation
    images, labels = (np.concatenate([getattr(part, name)[:] for part in parts]) for name in ("images", "labels"))
    order = np.random.default_rng(7).permutation(len(labels))
    validated = min(VALIDATED, len(labels) // 4)
    both = Split(images, labels)
    train = both.take(order[validated : validated + arguments.images])
    return replace(dataset, train=train, validation=both.take(order[:validated]))


@contextmanager
def change(text: str) -> Iterator[Mapping[str, Any]]:
    """Changes constants in the body; yields the settings that are changed."""
    pairs = [pair.partition("=")[::2] for pair in text.split(",") if pair]
    values = {key: json.loads(value) if value[:1] in "-0123456789tf[{" else value for key, value in pairs}
    constants = [key.rpartition(".") for key in values if "." in key]
    with contextmanager(_patch)([(module, name, values[f"{module}.{name}"]) for module, _, name in constants]):
        yield {key: value for key, value in values.items() if "." not in key}


def _patch(constants: Sequence[tuple[str, str, Any]]) -> Iterator[None]:
    patches = [
        mock.patch.object(importlib.import_module(f"searchcnn.training.{module}"), name, value)
        for module, name, value in constants
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        mock.patch.stopall()


def train(dataset: Dataset, settings: Mapping[str, Any], arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """Trains a network; returns its error and loss on the validation images, and the CPU seconds of its training."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    middle = {"learning_rate": 0.016, "epochs": arguments.passes}
    point = {key: value for key, value in settings.items() if "/" in key}
    settings = {key: value for key, value in settings.items() if key not in point}
    table = {"spaces": [arguments.space], "data": {"name": "digits"}, "budget": {"trials": 1}}
    config = validate({**table, "training": {**middle, **settings}}, "levers")
    spaces = create_spaces(load_spaces(config.spaces, Workspace(Path.cwd())), config, dataset)
    trainer = Trainer(config, dataset, spaces)
    candidate = trainer.sample(CheckedHyperParameters({key.partition("/")[2]: point[key] for key in point}))
    candidate = replace(candidate, stretches=(arguments.passes,))
    normalization = trainer.inputs.make_normalization(candidate.recipe.normalization)
    few = dataset.validation.take(np.arange(256))
    began = time.process_time()
    stretch = Stretch(dataset.train, few, seed, [BatchStatistics()], normalization=normalization)
    fit_phase(candidate, stretch)
    seconds = time.process_time() - began
    classifier = trainer.make_classifier(candidate)
    probabilities = classifier.predict(dataset.validation.images[:], batch_size=1000, verbose=0)
    labels = dataset.validation.labels
    likely = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    error = float((probabilities.argmax(1) != labels).mean())
    return {"error": error, "loss": float(-np.log(likely).mean()), "seconds": seconds}


def main() -> None:
    arguments = parse_arguments()
    dataset = take_images(arguments)
    print(f"{arguments.data}: {len(dataset.train):,} images, {arguments.passes} passes, {arguments.seeds} seeds")
    print("| change | error | loss | CPU seconds |\n| --- | --- | --- | --- |")
    for text in ("", *arguments.changes):
        with change(text) as settings:
            runs = [train(dataset, settings, arguments, seed) for seed in range(arguments.seeds)]
        error, loss, seconds = (statistics.fmean(run[key] for run in runs) for key in ("error", "loss", "seconds"))
        print(f"| {text or 'the recipe'} | {error:.2%} | {loss:.4f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()

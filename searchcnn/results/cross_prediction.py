"""Predicts all images but those of the test by networks that were not trained on them: in folds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from searchcnn.backend import free_graphs, keep_settings
from searchcnn.data import Dataset, Fold, Split, make_folds
from searchcnn.errors import StoreError, UsageError
from searchcnn.events import Hear, Note, Progress
from searchcnn.job import Job
from searchcnn.results.card import read_card
from searchcnn.results.export import predict
from searchcnn.results.scores import Predictions
from searchcnn.results.stored import write_predictions
from searchcnn.search.seeds import Stream, derive_seed
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_spaces
from searchcnn.spaces.creation import create_spaces, prepare_spaces
from searchcnn.store import STRETCHES, StudySummary, TrialSummary
from searchcnn.study import Recipe, StudyConfig
from searchcnn.study.rules import Rules
from searchcnn.text import format_duration
from searchcnn.training import FoldFeatures, Trainer, Training, identify_images, train_again

MAX_FOLDS = 20
"""Maximum number of folds."""


def predict_out_of_fold(job: Job, summary: StudySummary, folds: int, hear: Hear) -> Predictions:
    """Trains the best trial's network once for each fold, on the images of the others, and keeps what it predicts.

    The images are those of training and validation together; the test images are not read.

    Args:
        job: The study as it was begun.
        summary: What is known of its trials.
        folds: Number of folds.
        hear: Hears how long it will take, and how far it is.

    Raises:
        UsageError: If the number of folds is none.
        StoreError: If there is no model, or it was trained on other images.
    """
    if not 2 <= folds <= MAX_FOLDS:
        raise UsageError(f"folds must be 2 to {MAX_FOLDS}, not {folds}")
    card = read_card(job.model)
    trial = summary.trials[card["trial"]]
    hear(Progress(f"reading {job.config.data.title}"))
    dataset = load_dataset(job.workspace.locate(job.config.data), job.config.seed)
    if card["data"]["fingerprint"] != dataset.fingerprint:
        raise StoreError(f"{job.model} was trained on images other than those at {dataset.source}; restore them")
    seconds = format_duration(folds * trial.seconds)
    hear(Note(f"trains the network of trial {trial.number} {folds} times: {seconds}, if each takes as long as it did"))
    predictions = _train(job, dataset, _find_training(job.config, trial, card["recipe"]), summary.rules, folds, hear)
    write_predictions(job.workspace.out_of_fold(job.name, folds), predictions, card["sha256"])
    return predictions


def _find_training(config: StudyConfig, trial: TrialSummary, recipe: dict[str, object]) -> Training:
    seed = derive_seed(config.seed, trial.number, Stream.TRAINING)
    stretches = cut_stretches(trial.facts.get(STRETCHES, ()), trial.epochs)
    return Training(trial.hyperparameters, Recipe.from_dict(recipe), stretches, seed)


def cut_stretches(stretches: Sequence[int], epochs: int) -> tuple[int, ...]:
    """Returns the epochs of each stretch without those that there was no time for.

    Args:
        stretches: Epochs that each was meant to have.
        epochs: Epochs that there were in all.
    """
    ends = np.minimum(np.cumsum([0, *stretches]), max(1, epochs))
    return tuple(int(length) for length in np.diff(ends) if length)


def _train(job: Job, dataset: Dataset, training: Training, rules: Rules, count: int, hear: Hear) -> Predictions:
    config = _without_folds(job.config)
    images = dataset.train.join(dataset.validation)
    spaces = create_spaces(load_spaces(config.spaces, job.workspace, job.plugins), config, dataset)
    prepare_spaces(spaces)
    folds = make_folds(images, count, config.seed)
    probabilities = np.zeros((len(images), dataset.num_classes), np.float32)
    data = identify_images(config, dataset)
    for number, fold in enumerate(folds):
        features = FoldFeatures(data, config.limits.feature_cache, images, fold)
        trainer = Trainer(config, _take_fold(dataset, images, fold), spaces, rules=rules, features=features)
        with keep_settings(), free_graphs():
            network = train_again(trainer, training, _Share(hear, number, len(folds)))
            probabilities[fold.measured] = predict(network, trainer.inputs.dataset.validation.images)
    return Predictions(images.names, images.labels, probabilities, dataset.class_names, images.images)


class _Share:
    """Reports how far one fold is as a part of all of them."""

    def __init__(self, hear: Hear, number: int, count: int) -> None:
        self._hear, self._number, self._count = hear, number, count
        self(0.0)

    def __call__(self, done: float) -> None:
        self._hear(Progress("training", (self._number + done) / self._count))


def _without_folds(config: StudyConfig) -> StudyConfig:
    """Returns a configuration that validates on the validation images, which are those of the fold."""
    return config.model_copy(update={"data": config.data.model_copy(update={"folds": 0})})


def _take_fold(dataset: Dataset, images: Split, fold: Fold) -> Dataset:
    nothing = images.take(np.empty(0, np.int64))
    return replace(dataset, train=images.take(fold.fitted), validation=images.take(fold.measured), test=nothing)

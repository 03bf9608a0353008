"""Finds a wrong metric, shape or builder in seconds: one batch before the first trial."""

import contextlib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from searchcnn import modules
from searchcnn.augmentation import Augmentation
from searchcnn.backend import clear_keras, keep_settings
from searchcnn.data import Split
from searchcnn.errors import InfeasibleError, PluginError, SearchcnnError, StudyFileError, get_first_line, nearest
from searchcnn.search.hyperparameters import CheckedHyperParameters, check_ranges
from searchcnn.settings import AUTO
from searchcnn.study import Recipe, StudyConfig
from searchcnn.study.recipe import CHANGES, SETTINGS
from searchcnn.study.values import find_bounds
from searchcnn.training.callbacks import BatchStatistics, BestWeights, PlainMetrics
from searchcnn.training.candidate import Candidate
from searchcnn.training.fit import Stretch, fit_phase, read_score, takes_arrays
from searchcnn.training.labels import find_label_form
from searchcnn.training.network import sums_to_one
from searchcnn.training.solver import MEASURED, find_last_layer
from searchcnn.training.trainer import Trainer

PACKAGE = Path(modules.__file__).parent
BATCH = 8
"""Images that a network is tried out with; of each class where a search space trains by itself."""


def run_dry(trainer: Trainer, name: str) -> tuple[keras.Model, Recipe]:
    """Builds the default network of a search space and trains it on one batch, as the space trains its networks.

    Returns:
        The network as a classifier from raw pixels, which can be saved to try that out too, and its recipe.

    Raises:
        StudyFileError: If the objective is not among the metrics.
        PluginError: If the search space cannot be built or trained.
    """
    clear_keras()
    try:
        with keep_settings():
            return _run_one_batch(trainer, name)
    except PluginError as error:
        prefix = f"search space '{name}': "
        raise PluginError(prefix + str(error).removeprefix(prefix)) from error
    except SearchcnnError:
        raise
    except InfeasibleError as error:
        raise PluginError(f"search space '{name}': its default network cannot be built: {error}") from error
    except Exception as error:
        raise PluginError(
            f"search space '{name}' fails with its default values: {get_first_line(error)}{_find_line(error)}"
        ) from error


def _find_line(error: Exception) -> str:
    """Returns the last file and line of an error that are neither ours nor in an installed library."""
    if line := modules.find_line(error):  # without others between it and the file that it imports
        return f" ({Path(line).name})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(PACKAGE)]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def _run_one_batch(trainer: Trainer, name: str) -> tuple[keras.Model, Recipe]:
    member = trainer.space.members[name]
    candidate = trainer.sample(CheckedHyperParameters(member.name_values({})))
    _check_augmentation(trainer.config, candidate)
    samples = (_take_samples_of_each_class if member.has_own_fit else _take_samples)(trainer.inputs.dataset.train)
    metrics = MetricNames()
    best = BestWeights(candidate.model, trainer.config.objective)
    candidate.initialize()
    before = [np.array(weight) for weight in candidate.model.get_weights()]
    returned = None
    for phase in candidate.phases():
        if phase.is_solved:
            find_last_layer(candidate.model)
            metrics.names |= MEASURED
        else:
            returned = fit_phase(
                candidate.during(phase, 1), _make_stretch(trainer, candidate, samples, [metrics, best])
            )
    _check_objective(trainer.config.objective.metric, metrics, returned)
    best.restore()
    if member.has_own_fit:
        _check_trained(candidate.model, before)
    network = trainer.make_classifier(candidate)
    _check_probabilities(network, samples, name)
    return network, candidate.recipe


def _make_stretch(trainer: Trainer, candidate: Candidate, samples: Split, callbacks: Sequence[Any]) -> Stretch:
    statistics = [BatchStatistics()] if trainer.builders_count else []
    normalization = trainer.inputs.make_normalization(candidate.recipe.normalization)
    return Stretch(
        samples,
        samples,
        trainer.config.seed,
        [*callbacks, *statistics],
        normalization=normalization,
        # On one core, three built-in search spaces took 3.6 s, and 20 s compiled; but JAX compiles each operation then.
        is_eager=keras.backend.backend() != "jax",
    )


def check_stability(trainer: Trainer, name: str) -> None:
    """Builds the default network of a search space twice: a hyperparameter must have the same range in both.

    It is built without weights, which takes little time; a builder that needs them is not checked.

    Raises:
        PluginError: If one does not.
    """
    values = trainer.space.members[name].name_values({})
    builds = [CheckedHyperParameters(values) for _ in range(2)]
    for hp in builds:
        with keep_settings(), contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
            trainer.sample(hp)
    try:
        check_ranges(*builds)
    except PluginError as error:
        raise PluginError(f"search space '{name}': {error}") from error


def _check_augmentation(config: StudyConfig, candidate: Candidate) -> None:
    training, name = config.training, candidate.space.name
    images = (*CHANGES, "class_weights")
    keys = [f"training.{key}" for key in images if getattr(training, key) not in (SETTINGS[key].before, AUTO)]
    if keys and takes_arrays(candidate.space):
        raise StudyFileError(
            f"{' and '.join(keys)} cannot reach search space '{name}', whose own fit() takes all images at once; "
            "leave it out, or let fit() take batches: fit(hp, model, *args, **kwargs)"
        )
    is_sparse = not candidate.recipe.compiles and not all(find_label_form(candidate.model).one_hot)
    changed = {key: getattr(training, key) for key in CHANGES if getattr(training, key) != AUTO}
    largest: dict[str, Any] = {key: find_bounds(value)[1] for key, value in changed.items()}
    blending = [key for key in largest if Augmentation(**{key: largest[key]}).blends]
    if blending and is_sparse:
        raise StudyFileError(
            f"training.{blending[0]} blends labels, but search space '{name}' compiles its network with a sparse loss; "
            f"compile it with categorical_crossentropy, or leave {blending[0]} out"
        )


def _take_samples(split: Split) -> Split:
    return Split(split.images[:BATCH], split.labels[:BATCH])


def _take_samples_of_each_class(split: Split) -> Split:
    """Returns some images of each class: a space's own ``fit`` may split them again."""
    indices = [np.flatnonzero(split.labels == label)[:BATCH] for label in np.unique(split.labels)]
    return split.take(np.sort(np.concatenate(indices)))


class MetricNames(PlainMetrics):
    """Keeps the names of the metrics that are measured."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps the names."""
        super().on_epoch_end(epoch, logs)
        self.names.update(logs or {})


def _check_objective(metric: str, metrics: MetricNames, returned: Any) -> None:
    if metric in metrics.averaged:
        raise StudyFileError(
            f"search.objective: '{metric}' has a value for each class; give the metric average='macro', "
            "or choose another objective"
        )
    measured = sorted(name for name in metrics.names if name.startswith("val_"))
    if not measured:
        read_score(returned, metric)  # a space's own `fit` that keeps the callbacks to itself returns it
    elif metric not in measured:
        raise StudyFileError(
            f"search.objective: '{metric}' is not measured{nearest(metric, measured)} (measured: {', '.join(measured)})"
        )


def _check_trained(model: keras.Model, before: Sequence[Any]) -> None:
    """Refuses an own ``fit`` that does not change the network: what it has trained could not be saved."""
    after = model.get_weights()
    if model.trainable_weights and all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)):
        raise PluginError(
            "fit(hp, model, ...) does not change the network: train the model that it is given, or copy the trained "
            "weights into it with model.set_weights()"
        )


def _check_probabilities(network: keras.Model, samples: Split, name: str) -> None:
    predict = network.predict_on_batch if keras.backend.backend() == "jax" else network
    if not sums_to_one(predict(samples.images)):
        raise PluginError(
            f"search space '{name}': the first output does not sum to 1; end the network with a softmax activation, as "
            "in Dense(num_classes, activation='softmax'), and give its loss no from_logits=True"
        )

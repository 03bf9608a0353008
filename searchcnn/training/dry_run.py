"""Finds a wrong metric, shape or builder in seconds: one batch before the first trial."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn import modules
from searchcnn.backend import clear_keras, keep_settings
from searchcnn.data import Split
from searchcnn.errors import InfeasibleError, PluginError, SearchcnnError, StudyFileError, first_line, nearest
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.study import StudyConfig
from searchcnn.study.values import bounds
from searchcnn.training.callbacks import BestWeights, PlainMetrics
from searchcnn.training.fit import fit_phase, has_own_fit, initialize, objective_of, phases, takes_arrays
from searchcnn.training.labels import label_form
from searchcnn.training.network import is_compiled, sums_to_one
from searchcnn.training.recipe import CHANGES, Recipe
from searchcnn.training.solver import MEASURED, last_layer
from searchcnn.training.trainer import Trainer

BATCH = 8
"""Images that a network is tried out with; of each class, where a search space trains by itself."""


def dry_run(trainer: Trainer, name: str) -> tuple[Any, Recipe]:
    """Builds the default network of a search space and trains it on one batch, as the space trains its networks.

    Returns:
        The network as a classifier, from raw pixels; it can be saved to try that out too. And its recipe.

    Raises:
        StudyFileError: If the objective is not among the metrics.
        PluginError: If the search space cannot be built or trained.
    """
    clear_keras()
    try:
        with keep_settings():
            return _one_batch(trainer, name)
    except PluginError as error:
        prefix = f"search space '{name}': "
        raise PluginError(prefix + str(error).removeprefix(prefix)) from error
    except SearchcnnError:
        raise
    except InfeasibleError as error:
        raise PluginError(f"search space '{name}': its default network cannot be built: {error}") from error
    except Exception as error:
        raise PluginError(
            f"search space '{name}' fails with its default values: {first_line(error)}{_where(error)}"
        ) from error


def _where(error: Exception) -> str:
    """Returns the last file and line of an error that are neither Keras' nor a library's of it."""
    if line := modules.find_line(error):  # without ours between it and the file that it imports
        return f" ({Path(line).name})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _one_batch(trainer: Trainer, name: str) -> tuple[Any, Recipe]:
    hp = CheckedHyperParameters({"space": name} if len(trainer.spaces) > 1 else {})
    _, space, model, recipe = trainer.sample(hp)
    _check_augmentation(trainer.config, space, name, model)
    few = _few_of_each(trainer.dataset.train) if has_own_fit(space) else _few(trainer.dataset.train)
    metrics, best = Measured(), BestWeights(model, trainer.config.search.objective, trainer.config.search.maximize)
    with trainer.scope(hp, name):
        initialize(space, hp, model)
        before = [np.array(weight) for weight in model.get_weights()]
        returned = None
        for phase in phases(space, hp, model, recipe.compiles):
            if phase.is_solved:
                last_layer(model)
                metrics.names |= MEASURED
                continue
            returned = fit_phase(
                space,
                hp,
                model,
                recipe.during(phase, 1),
                few,
                few,
                trainer.config.seed,
                [metrics, best, *trainer.statistics()],
                normalization=trainer.normalization(recipe.normalization),
            )
    _check_objective(trainer.config.search.objective, metrics, returned)
    best.restore()
    if has_own_fit(space):
        _check_trained(model, before)
    network = trainer.finished(model, recipe)
    _check_probabilities(network, few, name)
    return network, recipe


def _check_augmentation(config: StudyConfig, space: Any, name: str, model: Any) -> None:
    training = config.training
    given = [f"training.{key}" for key in (*CHANGES, "class_weights") if getattr(training, key) not in (0.0, False)]
    if given and takes_arrays(space):
        raise StudyFileError(
            f"{' and '.join(given)} cannot reach search space '{name}', whose own fit() takes all images at once; "
            "leave that out, or let fit() take batches: fit(hp, model, *args, **kwargs)"
        )
    if bounds(training.mixup)[1] > 0 and is_compiled(model) and not all(label_form(model).one_hot):
        raise StudyFileError(
            f"training.mixup blends labels, but search space '{name}' compiles its network with a sparse loss; "
            "compile it with categorical_crossentropy, or leave mixup out"
        )


def _few(split: Split) -> Split:
    return Split(split.images[:BATCH], split.labels[:BATCH])


def _few_of_each(split: Split) -> Split:
    """Returns some images of each class: a space's own ``fit`` may divide them once more."""
    chosen = [np.flatnonzero(split.labels == label)[:BATCH] for label in np.unique(split.labels)]
    return split.take(np.sort(np.concatenate(chosen)))


class Measured(PlainMetrics):
    """Keeps the names of the metrics that are measured."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps them."""
        super().on_epoch_end(epoch, logs)
        self.names.update(logs or {})


def _check_objective(objective: str, metrics: Measured, returned: Any) -> None:
    if objective in metrics.averaged:
        raise StudyFileError(
            f"search.objective: '{objective}' has a value for each class; give the metric average='macro', or name it "
            "otherwise and take another objective"
        )
    measured = sorted(name for name in metrics.names if name.startswith("val_"))
    if not measured:
        objective_of(returned, objective)  # a space's own `fit` that keeps the callbacks to itself returns it
    elif objective not in measured:
        raise StudyFileError(
            f"search.objective: '{objective}' is not measured{nearest(objective, measured)} "
            f"(measured: {', '.join(measured)})"
        )


def _check_trained(model: Any, before: Sequence[Any]) -> None:
    """Refuses an own ``fit`` that leaves the network as it was: what it has trained could not be saved."""
    after = model.get_weights()
    if model.trainable_weights and all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)):
        raise PluginError(
            "fit(hp, model, ...) leaves the network as it was: train the model that it is given, or give that the "
            "weights of the one that it has trained, by model.set_weights()"
        )


def _check_probabilities(network: Any, few: Split, name: str) -> None:
    if not sums_to_one(network(few.images, training=False)):
        raise PluginError(
            f"search space '{name}': the first output does not sum to 1; end the network with a softmax activation"
        )

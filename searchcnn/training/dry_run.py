"""Finds a wrong metric, shape or builder in seconds: one batch before the first trial."""

import traceback
from pathlib import Path
from typing import Any

import keras

from searchcnn import modules
from searchcnn.data import Split, batches
from searchcnn.errors import InfeasibleError, PluginError, SearchcnnError, StudyFileError, first_line, nearest
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.study import StudyConfig
from searchcnn.study.values import bounds
from searchcnn.training.callbacks import FirstOutput
from searchcnn.training.fit import initialize, phases, prepare, takes_arrays
from searchcnn.training.network import is_compiled, wants_one_hot
from searchcnn.training.recipe import CHANGES
from searchcnn.training.trainer import Trainer, forget

BATCH = 8


def dry_run(trainer: Trainer, name: str) -> Any:
    """Builds the default network of a search space and trains it on one batch.

    Returns:
        The network as a classifier, from raw pixels; it can be saved to try that out too.

    Raises:
        StudyFileError: If the objective is not among the metrics.
        PluginError: If the search space cannot be built or trained.
    """
    forget()
    try:
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
    if line := modules.line_of(error):  # without ours between it and the file that it imports
        return f" ({Path(line).name})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _one_batch(trainer: Trainer, name: str) -> Any:
    several = len(trainer.spaces) > 1
    hp = CheckedHyperParameters({"space": name} if several else {})
    _, space, model, recipe = trainer.sample(hp)
    data = trainer.dataset
    _check_augmentation(trainer.config, space, name, model)
    few = Split(data.train.images[:BATCH], data.train.labels[:BATCH])
    with trainer.scope(hp, name):
        initialize(space, hp, model)
        for phase in phases(space, hp, model, recipe):
            form = prepare(space, hp, model, recipe.during(phase, 1), 1, trainer.normalization(recipe.normalization))
            batch = batches(few, BATCH, **form)
            history = model.fit(batch, validation_data=batch, shuffle=False, verbose=0, callbacks=[FirstOutput()])
    metrics = history.history
    _check_objective(trainer.config.search.objective, [key for key in metrics if key.startswith("val_")])
    finished = trainer.finished(model, recipe)
    _check_probabilities(finished, few, name)
    return finished


def _check_augmentation(config: StudyConfig, space: Any, name: str, model: Any) -> None:
    training = config.training
    given = [f"training.{key}" for key in (*CHANGES, "class_weights") if getattr(training, key) not in (0.0, False)]
    if given and takes_arrays(space):
        raise StudyFileError(
            f"{' and '.join(given)} cannot reach search space '{name}', whose own fit() takes all images at once; "
            "leave that out, or let fit() take batches: fit(hp, model, *args, **kwargs)"
        )
    if bounds(training.mixup)[1] > 0 and is_compiled(model) and not wants_one_hot(model):
        raise StudyFileError(
            f"training.mixup blends labels, but search space '{name}' compiles its network with a sparse loss; "
            "compile it with categorical_crossentropy, or leave mixup out"
        )


def _check_objective(objective: str, measured: list[str]) -> None:
    if objective not in measured:
        raise StudyFileError(
            f"search.objective: '{objective}' is not measured{nearest(objective, measured)} "
            f"(measured: {', '.join(sorted(measured))})"
        )


def _check_probabilities(finished: Any, few: Split, name: str) -> None:
    sums = keras.ops.convert_to_numpy(finished(few.images)).sum(axis=-1)
    if abs(sums - 1.0).max() > 1e-3:
        raise PluginError(
            f"search space '{name}': the first output does not sum to 1; end the network with a softmax activation"
        )

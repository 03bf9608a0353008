"""Asks for the training recipe of one trial: each setting fixed by the study, or sampled."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras_tuner

from searchcnn.data import Dataset
from searchcnn.data.alignment import is_aligned
from searchcnn.data.inspection import is_mirrorable
from searchcnn.pixels import PixelRange
from searchcnn.settings import AUTO, Setting
from searchcnn.study import Range, TrainingConfig
from searchcnn.study.recipe import SETTINGS, SOLVER, Recipe
from searchcnn.study.values import NormalizationName
from searchcnn.training.precision import choose_precision

SCOPE = "training"
"""Name scope of the recipe's hyperparameters."""
NORMALIZATIONS: Mapping[PixelRange, NormalizationName] = {"0..255": "none", "0..1": "scale"}
"""What makes pixels those that a network was made for."""
BATCH_SIZES = ((20_000, 128), (5_000, 64), (1_000, 32), (0, 16))
"""Images per step by the least number of training images."""
OWN_BATCH_SIZE = 64
"""Images per step of a network whose builder says how it is trained, at most: its learning rate is not for more."""
SHIFT, ALIGNED_SHIFT = 0.1, 0.05
"""Fraction of its side by which an image is moved at most; and where images are aligned. Residual networks of 310k
weights had these errors, moved by up to 0, 0.05 and 0.1: 8.56, 8.14 and 9.65 % after 8 passes over 10,000 images of
Fashion-MNIST, 6.24, 5.53 and 6.17 % after 20 passes over 45,000; and CIFAR-10, moved by up to 0 and 0.1, 27.1 and
25.1 % (docs/explanation/the-recipe.md)."""


def choose_settings(dataset: Dataset) -> dict[str, Any]:
    """Returns what "auto" stands for with a study's images, by setting; those that are aligned are moved by less."""
    images = len(dataset.train)
    return {
        "batch_size": next(size for least, size in BATCH_SIZES if images >= least),
        "flip": is_mirrorable(dataset.class_names),
        "shift": ALIGNED_SHIFT if is_aligned(dataset.train.images) else SHIFT,
        "normalization": "standardize",
        "precision": choose_precision(),
    }


def leave_alone(suited: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what "auto" stands for where a network brings something along that says how it is trained."""
    size = min(suited["batch_size"], OWN_BATCH_SIZE)
    return {**suited, "batch_size": size, "flip": False, "shift": 0.0, "normalization": "scale"}


def sample_recipe(
    hp: keras_tuner.HyperParameters,
    config: TrainingConfig,
    compiled: bool,
    suited: Mapping[str, Any],
    pixels: PixelRange | None = None,
    is_solved: bool = False,
) -> Recipe:
    """Asks for each setting that the study searches and that matters to a network.

    Args:
        hp: Keras Tuner's hyperparameters.
        config: The study's `[training]`.
        compiled: Whether the builder compiled the model; then only what concerns the images is ours.
        suited: What "auto" stands for; see `choose_settings`.
        pixels: Those that a network was made for which scales them itself; no other normalisation is asked for then.
        is_solved: Whether a solver trains the network's last layer, and nothing else is trained.
    """
    values: dict[str, Any] = {"epochs": config.max_epochs, "patience": config.patience, "pixels": pixels}
    concerns = {"images", "batches", "optimizer"}
    if is_solved:
        values |= {"epochs": 1, "patience": 1, "batch_size": 1, "optimizer": SOLVER}
        concerns = {"images"}
    elif compiled:
        concerns = {"images", "batches"}
    if pixels:
        values["normalization"] = NORMALIZATIONS[pixels]
    with hp.name_scope(SCOPE):
        for name, setting in _order_settings():
            applies = not setting.optimizers or values.get("optimizer") in setting.optimizers
            if name not in values and setting.concerns in concerns and applies:
                value = _ask(hp, name, setting, getattr(config, name))
                values[name] = suited[name] if value == AUTO else value
    return Recipe.from_dict(values)


def _order_settings() -> Iterator[tuple[str, Setting]]:
    """Yields the settings as they are asked for, which samplers depend on: those of the optimizer come last."""
    for is_last in (False, True):
        yield from (item for item in SETTINGS.items() if (item[1].concerns == "optimizer") is is_last)


def _ask(hp: keras_tuner.HyperParameters, name: str, setting: Setting, value: Any) -> Any:
    """Returns a fixed value as it is, and asks ``hp`` for a searched one.

    Known good points of a search space are trained with the defaults: a list's first entry, a range's middle.
    """
    if isinstance(value, Range):
        ask, number = (hp.Int, round) if setting.type is int else (hp.Float, float)
        options = {"step": value.step, "sampling": "log" if value.log else "linear"}
        return setting.type(ask(name, value.min, value.max, **options, default=number(_find_middle(value))))
    if not isinstance(value, list):
        return value
    if setting.type is bool:
        return bool(hp.Boolean(name, default=value[0])) if len(set(value)) > 1 else value[0]
    choice = hp.Choice(name, value)
    return setting.type(choice) if setting.is_number else str(choice)


def _find_middle(setting: Range) -> float:
    low, high, step = setting.min, setting.max, setting.step
    if setting.log:
        steps = math.log(high / low, step) // 2 if step else 0
        return low * step**steps if step else math.sqrt(low * high)
    return low + step * ((high - low) // step // 2) if step else (low + high) / 2

"""From a builder's model to one that can be trained, and to one that takes raw pixels."""

import traceback
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from searchcnn.errors import InfeasibleError, PluginError, get_message
from searchcnn.graph import as_array, has_output_mapping, is_stock, name_outputs, remove_augmentation
from searchcnn.spaces.space import SearchSpace
from searchcnn.study import Recipe
from searchcnn.training.last_layer import complete_outputs, is_compiled
from searchcnn.training.normalization import SCALE, Normalization
from searchcnn.training.optimizers import make_optimizer

TOLERANCE, HALF_TOLERANCE = 1e-3, 3e-2
"""Largest difference of a sum of probabilities from 1; that of numbers of 16 bits, which have about 3 digits."""
KERAS_FOLDER = Path(keras.__file__).parent


def build(
    space: SearchSpace, hp: keras_tuner.HyperParameters, input_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Builds a network, its weights included.

    Args:
        space: The search space.
        hp: The hyperparameters to build with.
        input_shape: Shape of an image: (height, width, channels).
        num_classes: Number of classes; the first output's shape must be (batch, num_classes).

    Raises:
        InfeasibleError: If Keras finds the graph impossible, or the builder says so.
        PluginError: If what was built is not a classifier for the dataset.
    """
    try:
        model = space.build(hp)
        if isinstance(model, keras.Model) and not model.built:
            model(keras.KerasTensor((None, *input_shape)))  # a Sequential without Input, as in Keras Tuner's guides
    except ValueError as error:
        if not _is_from_keras(error) or "Unrecognized keyword" in str(error):
            raise
        raise InfeasibleError("invalid graph", get_message(error)) from error
    _check_stock(model)
    model = complete_outputs(model, num_classes)
    _check_outputs(model, num_classes)
    return model


def adopt_policy(space: SearchSpace) -> None:
    """Sets the dtype policy that the file of a search space has set, such as ``mixed_float16``, if it was loaded."""
    if space.dtype_policy is not None:
        keras.config.set_dtype_policy(space.dtype_policy)


def compile_model(model: keras.Model, recipe: Recipe, steps_per_epoch: int, auxiliary_weight: float = 0.0) -> None:
    """Compiles a network with a training recipe, its penalties on the kernels included.

    Args:
        model: The network; what it has computed for its first output is measured.
        recipe: How it is trained.
        steps_per_epoch: Batches of one epoch.
        auxiliary_weight: Weight of each further output's loss.
    """
    for weight in model.trainable_weights:
        if len(weight.shape) > 1 and (recipe.l1 or recipe.l2):
            weight.regularizer = keras.regularizers.L1L2(recipe.l1, recipe.l2)
    loss = keras.losses.SparseCategoricalCrossentropy()
    if recipe.label_smoothing or recipe.augmentation.blends:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    first, *heads = name_outputs(model)
    model.compile(
        make_optimizer(recipe, steps_per_epoch),
        _arrange_by_output(model, dict.fromkeys([first, *heads], loss)),
        loss_weights=_arrange_by_output(model, {first: 1.0, **dict.fromkeys(heads, auxiliary_weight)}),
        metrics=_arrange_by_output(model, {first: ["accuracy"], **{head: [] for head in heads}}),
    )


def _arrange_by_output(model: keras.Model, values: dict[str, Any]) -> Any:
    return values if has_output_mapping(model) else list(values.values())


def sums_to_one(outputs: Any) -> bool:
    """Whether a network's outputs, a tensor of shape (batch, classes), sum up to 1, as exactly as its numbers allow."""
    is_exact = keras.backend.standardize_dtype(outputs.dtype) in ("float32", "float64")
    difference = np.abs(as_array(outputs).sum(axis=-1, dtype=np.float64) - 1).max()
    return bool(difference <= (TOLERANCE if is_exact else HALF_TOLERANCE))


def cut_heads(model: keras.Model) -> keras.Model:
    """Cuts off all outputs but the first, and the layers that only they need."""
    return model if len(model.outputs) == 1 else keras.Model(model.input, _get_first_output(model))


def _get_first_output(model: keras.Model) -> Any:
    return next(iter(name_outputs(model).values()))


def make_classifier(
    model: keras.Model, input_shape: tuple[int, int, int], normalization: Normalization = SCALE
) -> keras.Model:
    """Wraps a trained network into one that takes raw pixels.

    Args:
        model: Takes normalised pixels; its first output is class probabilities.
        input_shape: (height, width, channels).
        normalization: What the network was trained with.

    Returns:
        A Keras model from pixels 0..255 of any dtype, shape (batch, height, width, channels), to class probabilities,
        shape (batch, classes). Made of stock layers only, if the network is; its random image layers are left out.
    """
    pixels = x = keras.Input(input_shape, name="pixels")
    for layer in normalization.make_layers():
        x = layer(x)
    bare = keras.Model(model.inputs[0], _get_first_output(model), name=model.name)  # not saved: the optimizer's state
    return keras.Model(pixels, remove_augmentation(bare)(x), name="classifier")


def _check_stock(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise PluginError(f"build(hp) returned {type(model).__name__}; expected a keras.Model")
    foreign = [layer for layer in [model, *_list_layers(model)] if not is_stock(layer)]
    if foreign:
        raise PluginError(
            f"build(hp) uses {type(foreign[0]).__module__}.{type(foreign[0]).__name__}, which plain Keras cannot load; "
            "use stock layers only, and no Lambda"
        )


def _check_outputs(model: keras.Model, num_classes: int) -> None:
    first, *heads = name_outputs(model).values()
    mismatched = [head for head in heads if head.shape != first.shape]
    if mismatched and not is_compiled(model):
        raise PluginError(
            f"build(hp) returned a model with outputs of shapes {first.shape} and {mismatched[0].shape}; "
            "auxiliary heads must have the first one's shape, unless build compiles the model"
        )
    if len(first.shape) != 2 or first.shape[-1] != num_classes:
        raise PluginError(
            f"build(hp) returned a model whose first output has shape {tuple(first.shape)}; expected class "
            f"probabilities of shape (None, {num_classes}), as Dense(num_classes, activation='softmax') gives them, or "
            "Dense(1, activation='sigmoid') for two classes; without from_logits=True in its loss"
        )


def _list_layers(model: keras.Layer) -> list[keras.Layer]:
    return [part for layer in getattr(model, "layers", ()) for part in (layer, *_list_layers(layer))]


def _is_from_keras(error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).is_relative_to(KERAS_FOLDER)

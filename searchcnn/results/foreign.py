"""Keras classifiers that searchcnn has not saved: what they take and what their outputs are is found out or assumed."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.errors import StoreError
from searchcnn.results.export import load_model

TOLERANCE = 1e-3
"""By how much the sum of class probabilities may differ from 1; 16-bit numbers are rounded."""


def load_foreign(path: Path) -> Any:
    """Loads a classifier of images that has no model card.

    Raises:
        StoreError: If plain Keras cannot load it, or it is not one from an image to the scores of its classes.
    """
    model = load_model(path, compiled=False)
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    shapes = [tuple(tensor.shape[1:]) for tensor in (*inputs, *outputs)]
    is_classifier = len(inputs) == len(outputs) == 1 and len(shapes[0]) == 3 and len(shapes[1]) == 1
    if not is_classifier or shapes[0][-1] not in (1, 3) or not shapes[1][0]:
        found = f"from {shapes[: len(inputs)]} to {shapes[len(inputs) :]}" if shapes else "without a known shape"
        raise StoreError(
            f"{path}: is a model {found}; expected one from images (height, width, 1 or 3 channels) to the scores of "
            "classes (classes)"
        )
    if shapes[1][0] == 1:
        raise StoreError(f"{path}: has one output; expected one for each of two classes or more")
    return model


def as_probabilities(path: Path, outputs: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], str]:
    """Returns class probabilities, of shape (images, classes), and a remark if the outputs were something else.

    Args:
        path: The model, for messages.
        outputs: What it gives, of shape (images, classes): probabilities, or logits.

    Raises:
        StoreError: If they are neither.
    """
    if not np.isfinite(outputs).all():
        raise StoreError(f"{path}: gives numbers that are not finite; it may want other pixels than 0..255")
    is_bounded = bool((outputs >= 0).all() and (outputs <= 1 + TOLERANCE).all())
    if is_bounded and np.abs(outputs.sum(axis=-1) - 1).max() <= TOLERANCE:
        return outputs, ""
    if is_bounded:
        raise StoreError(
            f"{path}: gives a number 0..1 for each class, but they do not add up to 1; expected probabilities of "
            "classes of which one is right, or logits"
        )
    from scipy.special import softmax

    return softmax(outputs.astype(np.float64), axis=-1).astype(np.float32), (
        f"{path}: its outputs do not add up to 1: they are taken for logits, of which softmax makes probabilities"
    )

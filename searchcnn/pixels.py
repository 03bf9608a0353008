"""Which pixels a network was made for: many builders scale them in the network itself."""

import math
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.graph import calls, functional, leaves

PixelRange: TypeAlias = Literal["0..1", "0..255"]
"""Pixels as they enter a network: scaled, or as they are in an image file."""

WEAKEST = 1 / 8
"""Smallest gain of a network that takes pixels 0..1: with less they would span next to nothing behind its scaling.
The usual gains are 1/255 and 1/127.5 for pixels 0..255, up to 0.02 where they are divided by ImageNet's deviations; 1
and 2 for 0..1."""
LOWEST, HIGHEST = -0.25, 1.1
"""Pixels that a network can take for the middle if its pixels are 0..1: 0.5 is usual, 104 to 127.5 for 0..255. Where it
is -1, say, pixels have been scaled before."""
NEAR = 0.01
"""Difference from a gain of 1 and an offset of 0 that is none: the weights of colours for grey may not sum up to 1."""
SMALLEST = 1e-6
"""A gain below is none."""


def own_range(model: Any) -> PixelRange | None:
    """Finds out for which pixels a network was made that scales them itself.

    It is probed with a black, a dark and a white image: what reaches the first layer with weights tells by what pixels
    are multiplied on their way there, and which pixel becomes zero. So it does not matter how the network does it: by
    ``Rescaling``, ``Normalization``, a ``preprocess_input`` or arithmetic, in a network inside of it or not.

    Args:
        model: A functional or sequential Keras model, its first input images of shape (batch, height, width, channels).

    Returns:
        The pixels it wants; None if it leaves them as they are, does the same to any pixels, or wants others.
    """
    black, dark, white = (_as_floats(_before_weights(model, _image(model, pixel))) for pixel in (0.0, 1.0, 255.0))
    gains = (white - black) / 255  # of the whole range: bfloat16 does not see one step of it
    place = _usual_place(gains)
    if place is None or (math.isclose(gains[place], 1, rel_tol=NEAR) and abs(black[place]) < NEAR):
        return None
    gain, offset = float(gains[place]), float(black[place])
    if not np.isclose(dark[place] - offset, gain, rtol=0.1, atol=0.02 * abs(offset)):
        return None  # it is not linear, as where each image is standardised
    middle = -offset / gain
    if abs(gain) < WEAKEST or middle > HIGHEST:
        return "0..255"
    return "0..1" if middle > LOWEST else None


def _as_floats(tensor: Any) -> npt.NDArray[np.float64]:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")), np.float64).ravel()


def _usual_place(gains: npt.NDArray[np.float64]) -> int | None:
    """Returns where the gain is the median of those that are not zero, as they are on a padded border."""
    places = np.flatnonzero(np.isfinite(gains) & (np.abs(gains) > SMALLEST))
    order = np.argsort(np.abs(gains[places]))
    return int(places[order[len(order) // 2]]) if len(places) else None


def _image(model: Any, pixel: float) -> Any:
    """Returns one image of a single colour, for networks of images of any size a small one."""
    height, width, channels = (side or 32 for side in model.inputs[0].shape[1:])
    return np.full((1, height, width, channels), pixel, np.float32)


def _before_weights(model: Any, images: Any) -> Any:
    """Returns what reaches the first layer that has weights, ``Normalization`` excepted: its weights are a scaling."""
    graph = functional(model)
    for call in calls(graph):
        layer = call.operation
        if all(isinstance(leaf, keras.layers.Normalization) for leaf in leaves(layer) if getattr(leaf, "weights", ())):
            continue
        (reached, *_) = call.input_tensors
        before = keras.Model(graph.inputs[0], reached)(images, training=False)
        return _before_weights(layer, before) if isinstance(layer, keras.Model) else before
    return images

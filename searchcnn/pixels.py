"""Which pixels a network was made for: many builders scale them in the network itself."""

from typing import Any, Literal, TypeAlias

import keras
import numpy as np

from searchcnn.graph import calls, functional

PixelRange: TypeAlias = Literal["0..1", "0..255"]
"""Pixels as they enter a network: scaled, or as they are in an image file."""

WEAKEST = 1 / 8
"""Smallest gain of a network that takes pixels 0..1: with less they would span next to nothing behind its scaling.
The usual gains are 1/255 and 1/127.5 for pixels 0..255, up to 0.02 where they are divided by ImageNet's deviations; 1
and 2 for 0..1."""
FARTHEST = 2.0
"""Largest pixel that a network takes for the middle if its pixels are 0..1: 0.5 is usual, 104 to 127.5 for 0..255."""
LOWEST = -0.25
"""Smallest pixel that it takes for the middle: where that is -1, say, pixels have been scaled before."""


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
    black, dark, white = (float_array(_before_weights(model, _image(model, pixel))) for pixel in (0.0, 1.0, 255.0))
    gains = dark - black
    place = np.unravel_index(np.abs(gains).argmax(), gains.shape)
    gain, offset = float(gains[place]), float(black[place])
    is_linear = np.isclose((white - black)[place], 255 * gain, rtol=0.05)
    if not gain or not is_linear or (np.isclose(gain, 1) and np.isclose(offset, 0)):
        return None
    middle = -offset / gain
    if abs(gain) < WEAKEST or middle > FARTHEST:
        return "0..255"
    return "0..1" if middle > LOWEST else None


def float_array(tensor: Any) -> Any:
    """Returns a tensor as an array of float64."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")), np.float64)


def _image(model: Any, pixel: float) -> Any:
    """Returns one image of a single colour, for networks of images of any size a small one."""
    height, width, channels = (side or 32 for side in model.inputs[0].shape[1:])
    return np.full((1, height, width, channels), pixel, np.float32)


def _before_weights(model: Any, images: Any) -> Any:
    """Returns what reaches the first layer that has weights, ``Normalization`` excepted: its weights are a scaling."""
    graph = functional(model)
    for call in calls(graph):
        layer = call.operation
        if not getattr(layer, "weights", ()) or isinstance(layer, keras.layers.Normalization):
            continue
        (reached, *_) = call.input_tensors
        before = keras.Model(graph.inputs[0], reached)(images, training=False)
        return _before_weights(layer, before) if hasattr(layer, "layers") else before
    return images

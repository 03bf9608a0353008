"""Which pixels a network was made for: many builders scale them in the network itself."""

import math
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.graph import as_array, find_leaves, list_calls, make_functional

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
"""A difference below is none."""
PATCHES = 4
"""Patches of one colour along each side of an image to probe with: larger than what poolings before the weights mix."""

Values = npt.NDArray[np.float64]


def detect_range(model: Any) -> PixelRange | None:
    """Finds out for which pixels a network was made that scales them itself.

    It is probed with images of both ranges: what reaches the first layer with weights tells by what pixels are
    multiplied on their way there, and which pixel becomes zero. So it does not matter how the network does it: by
    ``Rescaling``, ``Normalization``, a ``preprocess_input`` or arithmetic, in a network inside of it or not.

    Args:
        model: A functional or sequential Keras model, its first input images.

    Returns:
        The pixels it wants; None if it leaves them as they are, does the same to any pixels, or wants others.
    """
    if "int" in keras.backend.standardize_dtype(model.inputs[0].dtype):
        return "0..255"
    gain, spread = _measure_gain(model, 1.0), _measure_gain(model, 255.0)
    if math.isclose(gain, spread, rel_tol=0.05):
        return None  # as where each image is standardised
    if gain < WEAKEST:
        return "0..255"
    uniform, middle = _measure_line(model)
    if middle > HIGHEST:
        return "0..255"
    is_idle = any(math.isclose(slope, 1, rel_tol=NEAR) for slope in (gain, uniform)) and abs(middle) < NEAR
    return None if is_idle or middle <= LOWEST else "0..1"


def _draw_patches(model: Any, seed: int) -> Values:
    """Returns one image of random patches, pixels 0..1; of a network for images of any size a small one."""
    shape = [side or 32 for side in model.inputs[0].shape[1:]]
    image = np.random.default_rng(seed).random([*(min(side, PATCHES) for side in shape[:2]), *shape[2:]])
    for axis, side in enumerate(shape[:2]):
        image = image.take(np.arange(side) * image.shape[axis] // side, axis)
    return image[np.newaxis]


def _measure_gain(model: Any, scale: float) -> float:
    """Returns how far two images are apart behind the network's scaling, for a step of 1 between them; the median.

    Args:
        model: The network.
        scale: What the images, pixels 0..1, are multiplied by first.
    """
    first, second = (_draw_patches(model, seed) for seed in range(2))
    apart = np.abs(_probe(model, scale * second) - _probe(model, scale * first))
    moved = apart[np.isfinite(apart) & (apart > SMALLEST)]
    return float(np.median(moved) / np.median(np.abs(second - first))) if moved.size else 0.0


def _measure_line(model: Any) -> tuple[float, float]:
    """Returns what images of one colour are multiplied by, and which pixel becomes zero; the median of the channels."""
    shape = _draw_patches(model, 0).shape
    black, white = _probe(model, np.zeros(shape)), _probe(model, np.full(shape, 255.0))
    gains = (white - black) / 255  # of the whole range: numbers of 16 bits do not see one step of it
    places = np.flatnonzero(np.isfinite(gains) & (np.abs(gains) > SMALLEST))
    if not places.size:
        return 0.0, 0.0
    return float(np.median(gains[places])), float(np.median(-black[places] / gains[places]))


def _probe(model: Any, images: Values) -> Values:
    """Returns what reaches the first layer with weights, flat."""
    return as_array(_run_up_to_weights(model, images.astype(np.float32))).astype(np.float64).ravel()


def _run_up_to_weights(model: Any, images: Any) -> Any:
    """Returns what reaches the first layer that has weights, ``Normalization`` excepted: its weights are a scaling."""
    graph = make_functional(model)
    for call in list_calls(graph):
        layer = call.operation
        if all(
            isinstance(leaf, keras.layers.Normalization) for leaf in find_leaves(layer) if getattr(leaf, "weights", ())
        ):
            continue
        (reached, *_) = call.input_tensors
        before = keras.Model(graph.inputs[0], reached)(images, training=False)
        return _run_up_to_weights(layer, before) if isinstance(layer, keras.Model) else before
    return images

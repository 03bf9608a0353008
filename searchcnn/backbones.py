"""Pretrained networks as the first part of new ones, for the authors of search spaces."""

import ast
import inspect
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import keras
import numpy as np
from keras import layers

from searchcnn.errors import PluginError, first_line, nearest
from searchcnn.graph import calls, functional, inputs, leaves, narrow_points

__all__ = ["FROZEN", "UNFROZEN", "Backbone", "unfreeze"]

FROZEN: Final = "frozen"
"""Name of the part of a backbone that is not trained."""
UNFROZEN: Final = "unfrozen"
"""Name of the part of a backbone that is trained."""

SPATIAL: Final = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
"""Layers that mix neighbouring pixels, if their kernel is larger than one."""
MIXING: Final = (layers.Conv2D, layers.SeparableConv2D, layers.Dense)
"""Layers that mix channels."""
DROPOUT: Final = (layers.Dropout, layers.AlphaDropout, layers.GaussianDropout)
"""Layers that are random while their rate is not zero."""
GIVEN: Final = (
    *("input_shape", "input_tensor", "include_top", "include_preprocessing", "weights"),
    *("pooling", "classes", "classifier_activation", "name"),
)
"""Arguments of ``keras.applications`` that are not an author's to choose."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network without its classifier, divided into blocks.

    A block is the shortest stretch between two narrow points of the graph that mixes neighbouring pixels and then
    channels: a convolution of VGG, a depthwise and a pointwise convolution of MobileNet, a residual block of ResNet, a
    module of Inception. What comes after the last one, such as a 1x1 convolution, belongs to it.

    Attributes:
        network: From preprocessed images to feature maps, a functional Keras model.
        scale: What the channels of an image, scaled to 0..1, are multiplied by before they enter the network.
        offset: What is then added to the channels.
        is_flipped: Whether the network takes the channels in the order blue, green, red.
        normalization: Layers through which images, scaled to 0..1, go in the end.
    """

    network: Any
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    is_flipped: bool = False
    normalization: tuple[Any, ...] = ()

    @classmethod
    def load(cls, name: str, size: int, weights: str = "none") -> Self:
        """Makes one of ``keras.applications``, or takes the features of a model that searchcnn has saved.

        Args:
            name: Such as ``ResNet50`` or ``MobileNet(alpha=0.25)``; or the path of a ``.keras`` file, which has a size
                and weights of its own.
            size: Side of the square images in pixels.
            weights: "imagenet" (downloaded once), the path of a weights file, or "none" for random ones.

        Raises:
            PluginError: If there is no such network, or its weights cannot be loaded.
        """
        if name.endswith(".keras"):
            network, normalization = _features_of(Path(name).expanduser())
            return cls(network, normalization=normalization)
        make, arguments = _application(name)
        network = _make(name, make, {**arguments, "input_shape": (size, size, 3), "include_top": False}, weights)
        return cls(network, *_preprocessing(make))

    @property
    def blocks(self) -> list[Any]:
        """The output of each block, a symbolic tensor, from the first to the last."""
        narrow = {id(tensor) for tensor in narrow_points(self.network)}
        ends: list[Any] = []
        is_spatial = is_mixing = False
        for call, following in itertools.pairwise([*calls(self.network), None]):
            for leaf in leaves(call.operation):
                is_spatial |= isinstance(leaf, SPATIAL) and max(leaf.kernel_size) > 1
                is_mixing |= is_spatial and isinstance(leaf, MIXING)
            (output, *_) = call.output_tensors
            if is_mixing and id(output) in narrow and following and self._begins_block(output, following.operation):
                ends.append(output)
                is_spatial = is_mixing = False
        last: Any = self.network.output
        return [*ends, last] if is_mixing or not ends else [*ends[:-1], last]

    def divide(self, cut: int, unfrozen: int) -> tuple[Any | None, Any | None]:
        """Divides the network into one that is not trained and one that is.

        Args:
            cut: Number of last blocks that are left out.
            unfrozen: Number of last blocks, of those that are left, that are trained; more than there are: all.

        Returns:
            Two Keras models, named `FROZEN` and `UNFROZEN`, that follow each other; None for one without a block.
        """
        blocks = self.blocks
        kept = blocks[: len(blocks) - cut]
        border = max(0, len(kept) - unfrozen)
        between = kept[border - 1] if border else self.network.input
        first = keras.Model(self.network.input, between, name=FROZEN) if border else None
        second = keras.Model(between, kept[-1], name=UNFROZEN) if border < len(kept) else None
        if first is not None:
            _freeze(first)
        if second is not None:
            second.trainable = False  # of a saved model only some layers may be; Keras skips what would change nothing
            second.trainable = True
        return first, second

    def preprocess(self, images: Any) -> Any:
        """Turns images as search spaces get them into what the network was trained on.

        Args:
            images: Shape (batch, height, width, 1 or 3), pixels scaled to 0..1.

        Returns:
            Images of the network's size, shape (batch, new height, new width, 3).
        """
        height, width, channels = self.network.input_shape[1:]
        x = images
        if x.shape[-1] == 1 and channels == 3:
            x = layers.Concatenate()([x, x, x])
        if height and width and x.shape[1:3] != (height, width):
            x = layers.Resizing(height, width)(x)
        if self.is_flipped:
            x = keras.ops.flip(x, axis=-1)
        if (set(self.scale), set(self.offset)) != ({1.0}, {0.0}):
            x = layers.Rescaling(list(self.scale), list(self.offset))(x)
        for layer in self.normalization:
            x = layer(x)
        return x

    def _begins_block(self, output: Any, following: Any) -> bool:
        """Whether what follows a narrow point mixes pixels or channels, or has several branches."""
        is_mixing = any(isinstance(leaf, (*SPATIAL, *MIXING)) for leaf in leaves(following))
        return is_mixing or sum(tensor is output for tensor in inputs(self.network)) > 1


def unfreeze(part: Any) -> None:
    """Makes a part of a backbone trainable, batch normalisation excepted: small datasets would spoil its statistics.

    Args:
        part: A Keras model.
    """
    part.trainable = True
    for leaf in leaves(part):
        if isinstance(leaf, layers.BatchNormalization):
            leaf.trainable = False


def _freeze(model: Any) -> None:
    """Makes a network compute the same in training as otherwise: no updates, no batch statistics, no dropout."""
    model.trainable = False
    for leaf in leaves(model):
        if isinstance(leaf, DROPOUT):
            leaf.rate = 0.0


def _application(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Reads ``MobileNet(alpha=0.25)``."""
    known = {key: value for key, value in vars(keras.applications).items() if key[0].isupper()}
    kind, arguments = _parse(name)
    if kind not in known:
        raise PluginError(f"backbone '{name}': keras.applications has no '{kind}'{nearest(kind, known)}")
    possible = [key for key in inspect.signature(known[kind]).parameters if key not in GIVEN]
    for key in arguments:
        if key not in possible:
            hint = f"it has {', '.join(possible)}" if possible else "it has none"
            raise PluginError(f"backbone '{name}': '{key}' is no argument that may be set; {hint}")
    return known[kind], arguments


def _parse(name: str) -> tuple[str, dict[str, Any]]:
    try:
        expression = ast.parse(name, mode="eval").body
        call = expression if isinstance(expression, ast.Call) else ast.Call(expression, [], [])
        if isinstance(call.func, ast.Name) and not call.args:
            return call.func.id, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        pass
    raise PluginError(f"backbone '{name}': expected a name such as ResNet50 or MobileNet(alpha=0.25)")


def _make(name: str, make: Callable[..., Any], arguments: dict[str, Any], weights: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")  # weights fit any size
        warnings.filterwarnings("ignore", "Skipping nested container")  # said once, below, when that is an error
        if weights == "none":
            try:
                return make(weights=None, **arguments)
            except TypeError as error:
                raise PluginError(f"backbone '{name}': {first_line(error)}") from error
        file = Path(weights).expanduser()
        if weights != "imagenet" and not file.is_file():
            raise PluginError(f"weights '{weights}': no such file; expected a weights file, 'imagenet' or 'none'")
        try:
            return make(weights=weights if weights == "imagenet" else str(file), **arguments)
        except Exception as error:
            raise PluginError(
                f"backbone '{name}': cannot load the weights '{weights}': {first_line(error)}; "
                "give the path of a weights file made for this network without its top, or 'none'"
            ) from error


def _preprocessing(make: Callable[..., Any]) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Finds the scale, offset and order of channels of a network's own ``preprocess_input``, which are all it does."""
    module = getattr(keras.applications, make.__module__.rpartition(".")[2])
    black = module.preprocess_input(np.zeros((1, 1, 1, 3)))[0, 0, 0]
    colours = module.preprocess_input(255.0 * np.eye(3).reshape(3, 1, 1, 3))[:, 0, 0] - black
    is_flipped = bool(abs(colours[0, 2]) > abs(colours[0, 0]))
    matrix = colours[::-1] if is_flipped else colours
    return tuple(map(float, matrix.diagonal())), tuple(map(float, black)), is_flipped


def _features_of(path: Path) -> tuple[Any, tuple[Any, ...]]:
    """Returns a saved model's network up to its last feature maps, and what normalises images scaled to 0..1 for it."""
    try:
        model = keras.models.load_model(path, compile=False)
        network = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.Model))
        maps = [tensor for tensor in narrow_points(network) if len(tensor.shape) == 4]
        features = keras.Model(functional(network).input, maps[-1])
        if not features.weights:
            raise ValueError("it computes no feature maps")
    except Exception as error:
        raise PluginError(f"backbone {path}: {first_line(error)}; expected a model that searchcnn has saved") from error
    _pixels, _scale, *normalization = model.layers[: model.layers.index(network)]
    return features, tuple(normalization)

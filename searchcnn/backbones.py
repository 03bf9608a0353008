"""Pretrained networks as the first part of new ones, for the authors of search spaces."""

import itertools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import keras
import numpy as np
from keras import layers

from searchcnn.errors import PluginError, SearchcnnError, get_first_line, nearest
from searchcnn.graph import MIXING, SPATIAL, find_leaves, find_narrow_points, find_summaries, list_calls, list_inputs
from searchcnn.pixels import detect_range
from searchcnn.saved import DROPOUT, cut_features, load, take_apart, takes_any_size, unfold
from searchcnn.weights.applications import find_network
from searchcnn.weights.downloads import replace_downloads

__all__ = ["FROZEN", "UNFROZEN", "Backbone", "Preprocessing", "is_file", "is_for_any_size", "unfreeze"]

FROZEN: Final = "frozen"
"""Name of the part of a backbone that is not trained."""
UNFROZEN: Final = "unfrozen"
"""Name of the part of a backbone that is trained."""

FILES: Final = (".keras", ".h5", ".hdf5", ".weights", ".pb", ".tflite", ".onnx", ".pt", ".pth", ".json", ".zip")
"""Endings of files of networks; only the first one is a backbone."""
NAMED: Final = {"raw": "EfficientNetB0", "tf": "MobileNet", "torch": "DenseNet121", "caffe": "ResNet50"}
"""One of ``keras.applications`` that takes pixels preprocessed so."""
MODES: Final = "'raw' (0..255), 'scale' (0..1), 'tf' (-1..1), 'torch' or 'caffe' (ImageNet's mean taken off)"
"""What preprocessing may be called."""
NUMBERS: Final = "{mean = 127, std = 128}, that is (pixel - mean) / std of 0..255, or {scale = ..., offset = ...}"
"""How preprocessing is given in numbers."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to pixels before they enter a network, which does not do it itself.

    Attributes:
        scale: What the channels of an image, scaled to 0..1, are multiplied by.
        offset: What is then added to the channels.
        is_flipped: Whether the network takes the channels in the order blue, green, red.
    """

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    is_flipped: bool = False

    @classmethod
    def read(cls, setting: str | Mapping[str, Any]) -> "Preprocessing":
        """Reads what the option of a search space says.

        Args:
            setting: "raw", "scale", "tf", "torch" or "caffe", the last three as in ``keras.applications``. Or numbers
                on pixels 0..255, one or one for each channel: ``scale`` and ``offset``, or ``mean`` and ``std``, in the
                network's own order of the channels, which ``order = "bgr"`` reverses.

        Raises:
            ValueError: If it is none of them.
        """
        if isinstance(setting, Mapping):
            return cls(*_read_numbers(setting))
        if setting == "scale":
            return cls()
        if setting not in NAMED:
            hint = nearest(str(setting), [*NAMED, "scale"])
            raise ValueError(f"preprocessing {setting!r} is unknown{hint}; expected {MODES}, or {NUMBERS}")
        return _find_preprocessing(getattr(keras.applications, NAMED[setting]))

    def of(self, channels: int) -> "Preprocessing":
        """Returns it for a network with that number of channels.

        Raises:
            ValueError: If it has values for other channels.
        """
        if {len(self.scale), len(self.offset)} <= {1, channels}:
            return self
        if len({*self.scale}) > 1 or len({*self.offset}) > 1:
            count = max(len(self.scale), len(self.offset))
            raise ValueError(f"preprocessing has values for {count} channels, but the network takes {channels}")
        return type(self)(self.scale[:1], self.offset[:1], self.is_flipped)

    def apply(self, images: Any) -> Any:
        """Applies it to images, shape (batch, height, width, channels), pixels scaled to 0..1."""
        x = keras.ops.flip(images, axis=-1) if self.is_flipped else images
        is_idle = (set(self.scale), set(self.offset)) == ({1.0}, {0.0})
        return x if is_idle else layers.Rescaling(list(self.scale), list(self.offset))(x)


NOTHING: Final = Preprocessing()
"""Images stay as they are."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network without its classifier, divided into blocks.

    A block is the shortest stretch between two narrow points of the graph that mixes neighbouring pixels and then
    channels: a convolution of VGG, a depthwise and a pointwise convolution of MobileNet, a residual block of ResNet, a
    module of Inception. What comes after the last one, such as a 1x1 convolution, belongs to it; what only scales
    channels, as squeeze and excitation does, mixes nothing.

    Attributes:
        network: From preprocessed images to feature maps, a functional Keras model.
        preprocessing: What is done to images, scaled to 0..1, before they enter the network.
        normalization: Layers through which images, scaled to 0..1, go in the end.
    """

    network: Any
    preprocessing: Preprocessing = NOTHING
    normalization: tuple[Any, ...] = ()

    @classmethod
    def load(
        cls,
        name: str,
        size: int | tuple[int, int],
        weights: str = "none",
        preprocessing: str | Mapping[str, Any] | None = None,
    ) -> Self:
        """Makes one of ``keras.applications`` or EfficientNetLite0, or takes the features of a saved model.

        Args:
            name: Such as ``ResNet50`` or ``MobileNet(alpha=0.25)``; ``EfficientNetLite0``, whose weights are installed
                with searchcnn; or the path of a ``.keras`` file, which has weights of its own.
            size: Side of square images in pixels, or (height, width); a file's network may have a size of its own.
            weights: "imagenet" (downloaded once), the path of a weights file, or "none" for random ones.
            preprocessing: What a file's network wants that scales pixels outside; see `Preprocessing.read`. By default
                the network is asked: one that searchcnn has saved, and one that scales pixels itself, says so.

        Raises:
            PluginError: If there is no such network, its weights cannot be loaded, or nobody says what it wants.
        """
        size = (size, size) if isinstance(size, int) else size
        if is_file(name):
            return cls._load_file(Path(name).expanduser(), size, preprocessing)
        make, arguments = find_network(name)
        network = _make(name, make, {**arguments, "input_shape": (*size, 3), "include_top": False}, weights)
        return cls(network, _find_preprocessing(make))

    @classmethod
    def _load_file(cls, path: Path, size: tuple[int, int], preprocessing: str | Mapping[str, Any] | None) -> Self:
        model = load(path)
        if own := take_apart(path, model):
            if preprocessing is not None:
                raise PluginError(f"backbone {path}: searchcnn has saved it; leave preprocessing out, it has its own")
            return cls(own[0], normalization=own[1])
        network = cut_features(path, unfold(path, model, size))
        return cls(network, _choose_preprocessing(path, network, preprocessing))

    @property
    def blocks(self) -> list[Any]:
        """The output of each block, a symbolic tensor, from the first to the last."""
        narrow, gates = {id(tensor) for tensor in find_narrow_points(self.network)}, find_summaries(self.network)
        ends: list[Any] = []
        is_spatial = is_mixing = False
        for call, following in itertools.pairwise([*list_calls(self.network), None]):
            (output, *_) = call.output_tensors
            for leaf in find_leaves(call.operation) if id(output) not in gates else ():
                is_spatial |= isinstance(leaf, SPATIAL) and max(leaf.kernel_size) > 1
                is_mixing |= is_spatial and isinstance(leaf, MIXING)
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
        remaining = blocks[: len(blocks) - cut]
        border = max(0, len(remaining) - unfrozen)
        between = remaining[border - 1] if border else self.network.input
        first = keras.Model(self.network.input, between, name=FROZEN) if border else None
        second = keras.Model(between, remaining[-1], name=UNFROZEN) if border < len(remaining) else None
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
            Images of the network's size and channels, shape (batch, new height, new width, 1 or 3).
        """
        height, width, channels = self.network.input_shape[1:]
        x = images
        if x.shape[-1] == 1 and channels == 3:
            x = layers.Concatenate()([x, x, x])
        if x.shape[-1] == 3 and channels == 1:
            x = keras.ops.image.rgb_to_grayscale(x)
        if height and width and x.shape[1:3] != (height, width):
            x = layers.Resizing(height, width)(x)
        x = self.preprocessing.apply(x)
        for layer in self.normalization:
            x = layer(x)
        return x

    def _begins_block(self, output: Any, following: Any) -> bool:
        """Whether what follows a narrow point mixes pixels or channels, or has several branches."""
        is_mixing = any(isinstance(leaf, (*SPATIAL, *MIXING)) for leaf in find_leaves(following))
        return is_mixing or sum(tensor is output for tensor in list_inputs(self.network)) > 1


def unfreeze(part: Any) -> None:
    """Makes a part of a backbone trainable, batch normalisation excepted: small datasets would spoil its statistics.

    Args:
        part: A Keras model.
    """
    part.trainable = True
    for leaf in find_leaves(part):
        if isinstance(leaf, layers.BatchNormalization):
            leaf.trainable = False


def is_file(name: str) -> bool:
    """Whether a backbone is a saved model rather than one of ``keras.applications``.

    Args:
        name: As in `Backbone.load`.
    """
    return "/" in name or name.lower().endswith(FILES)


def is_for_any_size(name: str) -> bool:
    """Whether the size of the images is to be chosen: a saved model may have one of its own.

    Args:
        name: As in `Backbone.load`.
    """
    return not is_file(name) or takes_any_size(Path(name).expanduser())


def _freeze(model: Any) -> None:
    """Makes a network compute the same in training as otherwise: no updates, no batch statistics, no dropout."""
    model.trainable = False
    for leaf in find_leaves(model):
        if isinstance(leaf, DROPOUT):
            leaf.rate = 0.0


def _make(name: str, make: Callable[..., Any], arguments: dict[str, Any], weights: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")  # weights fit any size
        warnings.filterwarnings("ignore", "Skipping nested container")  # said once, below, when that is an error
        if weights == "none":
            try:
                return make(weights=None, **arguments)
            except TypeError as error:
                raise PluginError(f"backbone '{name}': {get_first_line(error)}") from error
        file = Path(weights).expanduser()
        if weights != "imagenet" and not file.is_file():
            raise PluginError(f"weights '{weights}': no such file; expected a weights file, 'imagenet' or 'none'")
        try:
            with replace_downloads():
                return make(weights=weights if weights == "imagenet" else str(file), **arguments)
        except ConnectionError as error:
            raise PluginError(f"backbone '{name}': {error}") from error
        except SearchcnnError:
            raise
        except Exception as error:
            raise PluginError(
                f"backbone '{name}': cannot load the weights '{weights}': {get_first_line(error)}; "
                "give the path of a weights file made for this network without its top, or 'none'"
            ) from error


def _find_preprocessing(make: Callable[..., Any]) -> Preprocessing:
    """Finds the scale, offset and order of channels of a network's own ``preprocess_input``, which are all it does."""
    module: Any = sys.modules[make.__module__]
    black = module.preprocess_input(np.zeros((1, 1, 1, 3)))[0, 0, 0]
    colours = module.preprocess_input(255.0 * np.eye(3).reshape(3, 1, 1, 3))[:, 0, 0] - black
    is_flipped = bool(abs(colours[0, 2]) > abs(colours[0, 0]))
    matrix = colours[::-1] if is_flipped else colours
    return Preprocessing(_as_tuple(matrix.diagonal()), _as_tuple(black), is_flipped)


def _choose_preprocessing(path: Path, network: Any, preprocessing: str | Mapping[str, Any] | None) -> Preprocessing:
    pixels = detect_range(network)
    if preprocessing is None:
        if pixels is not None:
            return Preprocessing((255.0,) if pixels == "0..255" else (1.0,))
        raise PluginError(
            f"backbone {path}: nothing in it says what pixels it was trained on; set the option preprocessing to "
            f"{MODES}, or {NUMBERS}"
        )
    if pixels is not None and preprocessing in ("tf", "torch", "caffe"):
        raise PluginError(
            f"backbone {path}: preprocessing = '{preprocessing}' would be done twice: its own first layers scale "
            f"pixels of {pixels}; leave preprocessing out, or say which pixels it takes: 'raw' (0..255) or "
            "'scale' (0..1)"
        )
    try:
        return Preprocessing.read(preprocessing).of(network.input_shape[-1])
    except ValueError as error:
        raise PluginError(f"backbone {path}: {error}") from error


def _read_numbers(numbers: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    pairs = ({"scale", "offset", "order"}, {"mean", "std", "order"})
    order = numbers.get("order", "rgb")
    if (
        not numbers.keys() - {"order"}
        or not any(numbers.keys() <= pair for pair in pairs)
        or order not in ("rgb", "bgr")
    ):
        raise ValueError(f"preprocessing {dict(numbers)} is unknown; expected {NUMBERS}, and order = 'bgr' if need be")
    scale, offset, mean, std = (
        _read_values(key, numbers.get(key, default))
        for key, default in (("scale", 1), ("offset", 0), ("mean", 0), ("std", 1))
    )
    if 0 in (*scale, *std):
        raise ValueError("preprocessing: scale and std must not be 0")
    scaled = np.divide(scale, std)
    return _as_tuple(255.0 * scaled), _as_tuple(np.subtract(offset, np.divide(mean, std))), order == "bgr"


def _read_values(key: str, setting: Any) -> list[float]:
    values = list(setting) if isinstance(setting, Sequence) and not isinstance(setting, str) else [setting]
    if len(values) not in (1, 3) or any(
        isinstance(value, bool) or not isinstance(value, int | float) for value in values
    ):
        raise ValueError(f"preprocessing: {key} must be a number, or three for the channels, not {setting!r}")
    if not np.isfinite(values).all():
        raise ValueError(f"preprocessing: {key} must be finite, not {setting!r}")
    return values


def _as_tuple(values: Any) -> tuple[float, ...]:
    return tuple(map(float, values))

"""Which network a file of weights was made for."""

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.weights.applications import find_network, list_networks, sketch

VARIANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "MobileNet": ("alpha=0.25", "alpha=0.5", "alpha=0.75"),
    "MobileNetV2": ("alpha=0.35", "alpha=0.5", "alpha=0.75", "alpha=1.3", "alpha=1.4"),
    "MobileNetV3Large": ("alpha=0.75", "minimalistic=True"),
    "MobileNetV3Small": ("alpha=0.75", "minimalistic=True"),
}
"""Arguments other than the defaults for which ``keras.applications`` have weights, by network; from their sources."""
NOT_LAYERS: Final = ("optimizer", "optimizer_weights")
"""Groups of a file that hold no layers."""
CLASSES: Final = 1000
"""ImageNet's: a file for a network with its top holds as many biases."""
EXPECTED: Final = "expected what network.save_weights('net.weights.h5') makes of a network without its top"
"""What a file must hold."""

Shapes = Counter[tuple[int, ...]]
"""How many weights there are of each shape."""


def identify_network(path: Path | str) -> str:
    """Finds the network, without its top, that a file of weights was made for.

    Networks whose names are like the file's are compared first, which takes a second; all of them take half a minute.

    Args:
        path: A ``.h5`` or ``.weights.h5`` file, as Keras 2 or Keras 3 writes it.

    Returns:
        Its name for `searchcnn.backbones.Backbone.load`, such as ``ResNet50`` or ``MobileNet(alpha=0.25)``.

    Raises:
        PluginError: If it is not such a file, or fits none of the networks.
    """
    path = Path(path).expanduser()
    shapes = _read_shapes(path)
    start_keras()
    for name in sorted(_list_names(), key=lambda name: _compare_names(name, path.name), reverse=True):
        if _compute_shapes(name) == shapes:
            return name
    hint = "; they seem to hold a classifier" if shapes[(CLASSES,)] else ""
    raise PluginError(f"weights {path}: they fit no network of keras.applications{hint}; {EXPECTED}")


def _list_names() -> Iterator[str]:
    for name in list_networks():
        yield name
        yield from (f"{name}({arguments})" for arguments in VARIANTS.get(name, ()))


def _compute_shapes(name: str) -> Shapes:
    make, arguments = find_network(name)
    weights = sketch(make, weights=None, **arguments).weights
    return Counter(tuple(weight.shape) for weight in weights if weight.shape)


def _read_shapes(path: Path) -> Shapes:
    """Reads the shapes of the weights in a file; counters and random states, which are not weights, are left out."""
    import h5py

    shapes: Shapes = Counter()

    def count(name: str, item: Any) -> None:
        is_weight = isinstance(item, h5py.Dataset) and item.ndim and item.dtype.kind == "f"
        if is_weight and name.partition("/")[0] not in NOT_LAYERS:
            shapes[item.shape] += 1

    try:
        with h5py.File(path) as file:
            file.get("model_weights", file).visititems(count)
    except OSError as error:
        what = "damaged, or not an HDF5 file" if path.is_file() else "no such file"
        raise PluginError(f"weights {path}: {what}; {EXPECTED}") from error
    return shapes


def _compare_names(name: str, file: str) -> tuple[int, int, float]:
    """Returns what is larger for names more like a file's, such as ``mobilenet_2_5_224_tf_no_top.h5``."""
    kind, _, arguments = name.rstrip(")").partition("(")
    plain, short = re.sub("[^a-z0-9]", "", file.lower()), kind.lower()
    return (
        len(short) * (short in plain),
        _compare_argument(arguments, file),
        difflib.SequenceMatcher(None, short, plain).ratio(),
    )


def _compare_argument(arguments: str, file: str) -> int:
    """Returns whether a file's name holds the value of the argument, 1 or -1; 0 without one."""
    key, _, value = arguments.partition("=")
    if not key:
        return 0
    number = ast.literal_eval(value)
    spellings = (key,) if number is True else (value, f"{10 * number:.1f}".replace(".", "_"))  # MobileNet's 2_5 is 0.25
    return 1 if any(spelling in file for spelling in spellings) else -1

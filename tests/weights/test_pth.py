"""Weights in PyTorch's older files, and pickles that want more than arrays."""

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.weights.pth import MAGIC, VERSION, parse, read


def reference(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def literal(value: Any) -> bytes:
    """Returns a value's pickle without the marks of its begin and end."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(count: int = 6, offset: int = 0, shape: Any = (2, 3), strides: Any = (3, 1)) -> bytes:
    """Returns the pickle of a mapping with one tensor, as PyTorch writes it."""
    storage = b"(" + literal("storage") + reference("torch", "FloatStorage") + literal("key") + literal("cpu")
    storage += literal(count) + b"Nt" + b"Q"
    content = reference("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + literal(offset) + literal(shape)
    content += literal(strides) + b"\x89" + reference("collections", "OrderedDict") + b")R" + b"tR"
    return b"\x80\x02" + reference("collections", "OrderedDict") + b")R" + literal("name") + content + b"s."


def file(mapping: bytes, values: Any = range(6), version: int = VERSION) -> io.BytesIO:
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, version, {"little_endian": True}))
    numbers = np.asarray(values, "<f4").tobytes()
    return io.BytesIO(head + mapping + pickle.dumps(["key"], 2) + struct.pack("<q", len(values)) + numbers)


def test_a_tensor() -> None:
    arrays = parse(file(tensor()))
    assert list(arrays) == ["name"]
    np.testing.assert_array_equal(arrays["name"], [[0, 1, 2], [3, 4, 5]])


def test_a_part_of_a_storage_in_another_order() -> None:
    arrays = parse(file(tensor(offset=1, shape=(2, 2), strides=(1, 2))))
    np.testing.assert_array_equal(arrays["name"], [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    "layout",
    [
        {"shape": (2, 4)},
        {"offset": 1},
        {"strides": (4, 1)},
        {"offset": -1},
        {"strides": (-3, 1)},
        {"shape": (2, 3, 1)},
        {"shape": (1 << 40, 3)},
    ],
)
def test_a_tensor_that_reaches_beyond_its_values(layout: dict[str, Any]) -> None:
    """NumPy would return what lies there in memory."""
    with pytest.raises(ValueError, match="not a mapping of names to tensors"):
        parse(file(tensor(**layout)))


class Evil:
    """What a pickle of it does when a common unpickler reads it: it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("position", range(4))
def test_a_pickle_that_wants_more_executes_nothing(tmp_path: Path, position: int) -> None:
    evil = pickle.dumps(Evil(tmp_path / "executed"), 2)
    values: tuple[Any, ...] = (MAGIC, VERSION, {}, {})
    parts = [pickle.dumps(value, 2) for value in values]
    parts[position] = evil
    with pytest.raises(ValueError, match=r"it asks for .*, which is not a tensor"):
        parse(io.BytesIO(b"".join(parts)))
    assert not (tmp_path / "executed").exists()
    pickle.loads(evil)
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("collections", "namedtuple")]
)
def test_what_a_pickle_may_not_ask_for(module: str, name: str) -> None:
    mapping = b"\x80\x02" + reference(module, name) + b"."
    with pytest.raises(ValueError, match=rf"it asks for {module}.{name}, which is not a tensor"):
        parse(file(mapping))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"weights": 1}), pickle.dumps(OrderedDict())])
def test_other_files(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a mapping of names to tensors in PyTorch's older format"):
        parse(io.BytesIO(content))


def test_another_version() -> None:
    with pytest.raises(ValueError, match=r"it begins with .*1002., expected .*1001."):
        parse(file(tensor(), version=1002))


def test_a_file_that_ends_too_soon() -> None:
    with pytest.raises(ValueError, match="not a mapping of names to tensors"):
        parse(io.BytesIO(file(tensor()).getvalue()[:-4]))


def test_the_hash_comes_first(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil(tmp_path / "executed")))
    with pytest.raises(
        ValueError, match=r"evil.pth: damaged, or another file; its SHA-256 is [0-9a-f]{64}, expected 0"
    ):
        read(tmp_path / "evil.pth", "0" * 64)
    assert not (tmp_path / "executed").exists()

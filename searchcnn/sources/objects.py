"""Images and labels that are Python objects: NumPy arrays, a `tf.data.Dataset`, or what a user's function returns."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn import modules
from searchcnn.data.collection import name_place
from searchcnn.data.dataset import PARTS, Arrays, Split
from searchcnn.data.findings import Finding
from searchcnn.data.preparation import as_bytes
from searchcnn.errors import DataError, get_first_line
from searchcnn.sources.missing import are_present, as_labels, describe_missing, find_doubtful_labels
from searchcnn.sources.parts import parse_part

ARRAY_NAMES = "x_train, y_train, x_test and y_test, or x and y"
OBJECT_FORMS = (
    f"(x, y); ((x_train, y_train), (x_test, y_test)); a dict of {ARRAY_NAMES}; or a tf.data.Dataset of (image, label)"
)
IMAGE_WORDS, LABEL_WORDS = ("x", "images", "image", "data"), ("y", "labels", "label", "targets")
"""Names of arrays as people write them, in lower case, alone or next to the name of a part."""
FACTORY = re.compile(r"(?P<module>[A-Za-z_][\w.]*|[^:]+\.py):(?P<name>[A-Za-z_]\w*)")

Pair = tuple[Any, Any]


def from_object(data: Any) -> Arrays:
    """Makes a dataset from what users have.

    Args:
        data: Images and labels in one of `OBJECT_FORMS`. Images have the shape (images, height, width[, channels]), 1
            or 3 channels, and are integers 0..255 or 0..65535, or floats 0..1 or 0..255. Labels are integers, strings
            or one-hot rows.

    Raises:
        ValueError: If it is anything else.
    """
    if hasattr(data, "element_spec"):
        names = getattr(data, "class_names", None)  # of `keras.utils.image_dataset_from_directory`
        return from_pairs({"train": _from_tensorflow(data)}, tuple(names) if names else None)
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, tuple | list) and 2 <= len(data) <= 3 and all(_is_pair(part) for part in data):
        parts = ("train", "test") if len(data) == 2 else PARTS
        return from_pairs(dict(zip(parts, data, strict=True)))
    if _is_pair(data):
        return from_pairs({"train": tuple(data)})
    raise ValueError(f"{type(data).__name__}, expected {OBJECT_FORMS}")


def from_named_arrays(arrays: Mapping[str, Any]) -> Arrays:
    """Makes a dataset from arrays by name, such as ``x_train`` or ``test_labels``.

    Raises:
        ValueError: If images or labels are missing or wrong.
    """
    parts: dict[str, dict[str, Any]] = {}
    class_names = None
    for name, array in arrays.items():
        if name.lower() in ("class_names", "classes"):
            class_names = tuple(map(str, np.asarray(array).ravel()))
        elif meaning := _parse_name(name):
            part, kind = meaning
            parts.setdefault(part, {})[kind] = array
    if missing := next((part for part in ("train", *parts) if len(parts.get(part, {})) < 2), None):
        raise ValueError(
            f"holds {', '.join(arrays) or 'nothing'}: no images and labels for {missing}; expected {ARRAY_NAMES}"
        )
    return from_pairs({part: (pair["images"], pair["labels"]) for part, pair in parts.items()}, class_names)


def from_pairs(parts: Mapping[str, Pair], class_names: tuple[str, ...] | None = None) -> Arrays:
    """Makes a dataset from images and labels by part.

    Raises:
        ValueError: If they are wrong.
    """
    pixels = as_bytes(*(_check_images(part, pair[0]) for part, pair in parts.items()))
    findings: list[Finding] = []
    pairs, names = {}, {}
    for (part, pair), images in zip(parts.items(), pixels, strict=True):
        labels = as_labels(pair[1])
        mask = are_present(labels) if labels.shape[:1] == images.shape[:1] else np.ones(1, np.bool_)
        if not mask.all():
            findings.append(describe_missing(part, labels, mask))
            names[part] = [name_place(part, int(index)) for index in np.flatnonzero(mask)]
            images, labels = images[mask], np.array(labels[mask].tolist())
        if len(images):
            pairs[part] = images, _check_labels(part, len(images), labels)
    if "train" not in pairs:
        raise ValueError("no image to train on has a label")
    arrays = _number_labels(pairs, class_names, findings)
    return replace(arrays, parts={part: replace(arrays.parts[part], names=names.get(part, ())) for part in pairs})


def _number_labels(
    parts: Mapping[str, tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]],
    names: tuple[str, ...] | None,
    findings: Sequence[Finding],
) -> Arrays:
    """Replaces labels that are text by their indices among the names of classes."""
    if all(labels.dtype.kind == "i" for _, labels in parts.values()):
        return Arrays({part: Split(*pair) for part, pair in parts.items()}, names, tuple(findings))
    texts = {part: [str(label) for label in labels] for part, (_, labels) in parts.items()}
    names = names or tuple(sorted({text for part in texts.values() for text in part}))
    indices = {name: index for index, name in enumerate(names)}
    if unknown := next((text for part in texts.values() for text in part if text not in indices), None):
        raise ValueError(f"holds the label '{unknown}', expected one of the class names {', '.join(names)}")
    numbers = {part: np.array([indices[text] for text in texts[part]], np.int64) for part in texts}
    doubts = find_doubtful_labels(text for part in texts.values() for text in part)
    splits = {part: Split(images, numbers[part]) for part, (images, _) in parts.items()}
    return Arrays(splits, names, (*findings, *doubts))


def call_factory(factory: str) -> Any:
    """Calls a user's function, ``package.module:name`` or ``path/to/file.py:name``, and returns its result.

    Raises:
        DataError: If there is no such function, or it fails.
    """
    function = _find_function(factory)
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise DataError(f"{factory}: failed: {_describe_error(error)}") from error


def is_factory(text: str) -> bool:
    """Whether a text names a user's function."""
    return FACTORY.fullmatch(text) is not None and not Path(text).exists()


def _find_function(factory: str) -> Callable[[], Any]:
    match = FACTORY.fullmatch(factory)
    assert match, "see is_factory"
    try:
        module = _import_module(match["module"])
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise DataError(f"{factory}: {match['module']} cannot be imported: {_describe_error(error)}") from error
    function: Callable[[], Any] = getattr(module, match["name"], None)  # type: ignore[assignment]
    if not callable(function):
        raise DataError(f"{factory}: {match['module']} has no function '{match['name']}'")
    return function


def _import_module(name: str) -> Any:
    return modules.execute(Path(name).expanduser()) if name.endswith(".py") else modules.import_module(name)


def _describe_error(error: BaseException) -> str:
    """Returns an error of a user's code in one line, with the line of code that raised it."""
    line = modules.find_line(error)
    return modules.strip_prefix(get_first_line(error)) + (f" ({line})" if line else "")


def _from_mapping(data: Mapping[str, Any]) -> Arrays:
    pairs = {parse_part(str(name)): pair for name, pair in data.items()}
    if None not in pairs and all(_is_pair(pair) or hasattr(pair, "element_spec") for pair in pairs.values()):
        parts = {
            part: _from_tensorflow(pair) if hasattr(pair, "element_spec") else tuple(pair)
            for part, pair in pairs.items()
            if part is not None
        }
        if "train" not in parts:
            raise ValueError(f"holds {', '.join(data)} and nothing to train on; expected train")
        return from_pairs(parts)
    return from_named_arrays({str(name): array for name, array in data.items()})


def _from_tensorflow(data: Any) -> Pair:
    """Reads a `tf.data.Dataset` of images and labels, in batches or not."""
    spec = data.element_spec
    if int(data.cardinality()) == -1:
        raise ValueError("a tf.data.Dataset without an end; remove repeat()")
    if not (isinstance(spec, tuple) and len(spec) == 2):
        raise ValueError("a tf.data.Dataset of elements that are not (image, label)")
    if len(spec[0].shape) == 4:
        data = data.unbatch()
    pairs = [(np.asarray(image), np.asarray(label)) for image, label in data]
    if len({image.shape for image, _ in pairs}) > 1:
        raise ValueError("a tf.data.Dataset of images of several sizes; resize them in map(), or save them as files")
    images, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return np.stack(images) if pairs else np.empty((0, 0, 0)), np.stack(labels) if pairs else np.empty(0)


def _parse_name(name: str) -> tuple[str, str] | None:
    """Returns the part and the kind, images or labels, of an array by its name; None if it is neither."""
    words = name.lower().split("_")
    for kind, names in (("images", IMAGE_WORDS), ("labels", LABEL_WORDS)):
        for word in words:
            others = "_".join(other for other in words if other != word)
            part = parse_part(others) if others else "train"
            if word in names and part:
                return part, kind
    return None


def _is_pair(data: Any) -> bool:
    return (
        isinstance(data, tuple | list)
        and len(data) == 2
        and all(hasattr(array, "__len__") for array in data)
        and (np.ndim(data[0]) in (3, 4) and not isinstance(data[1], tuple))
    )


def _check_images(part: str, images: Any) -> npt.NDArray[Any]:
    """Returns images of shape (images, height, width, channels), of any type."""
    array = np.asarray(images)
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(f"images of {part} have shape {array.shape}, expected (images, height, width[, channels])")
    array = array if array.ndim == 4 else array[..., np.newaxis]
    if array.shape[-1] == 4:
        raise ValueError(f"images of {part} have 4 channels; remove the last one, transparency, with x[..., :3]")
    if array.shape[-1] not in (1, 3):
        hint = "; if the channels come first, pass np.moveaxis(x, 1, -1)" if array.shape[1] in (1, 3) else ""
        raise ValueError(f"images of {part} have {array.shape[-1]} channels, expected 1 or 3{hint}")
    return array


def _check_labels(part: str, count: int, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns one label for each image, int64 or text of shape (images,)."""
    if array.ndim == 2 and len(array) == count and array.dtype.kind in "iufb" and np.all(array.sum(axis=1) == 1):
        array = array.argmax(axis=1)
    if array.shape != (count,):
        raise ValueError(f"labels of {part} have shape {array.shape}, expected one for each of {count} images")
    if array.dtype.kind in "SUO":
        return np.array([label.decode() if isinstance(label, bytes) else str(label) for label in array])
    is_number = array.dtype.kind in "iub" or (array.dtype.kind == "f" and bool(np.isfinite(array).all()))
    if not is_number or not np.all(np.mod(array, 1) == 0) or array.min() < 0:
        raise ValueError(f"labels of {part} are {array.dtype}, from {array.min()}, expected integers from 0 or names")
    return array.astype(np.int64)

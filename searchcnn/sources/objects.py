"""Images and labels that are Python objects: NumPy arrays, a `tf.data.Dataset`, or what a user's function makes."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn import modules
from searchcnn.data.dataset import PARTS, Arrays, Split
from searchcnn.data.findings import Finding
from searchcnn.data.preparation import as_bytes
from searchcnn.errors import DataError, first_line
from searchcnn.sources.missing import are_there, as_labels, doubted, left_out
from searchcnn.sources.parts import part_of

NAMES = "x_train, y_train, x_test and y_test, or x and y"
FORMS = f"(x, y); ((x_train, y_train), (x_test, y_test)); a dict of {NAMES}; or a tf.data.Dataset of (image, label)"
IMAGES, LABELS = ("x", "images", "image", "data"), ("y", "labels", "label", "targets")
"""Names of arrays as people write them, in lower case, alone or beside the name of a part."""
FACTORY = re.compile(r"(?P<module>[A-Za-z_][\w.]*|[^:]+\.py):(?P<name>[A-Za-z_]\w*)")

Labelled = tuple[Any, Any]


def from_object(data: Any) -> Arrays:
    """Makes a dataset of what users have.

    Args:
        data: Images and labels, in one of `FORMS`. Images have the shape (images, height, width[, channels]), 1 or 3
            channels, and are integers 0..255 or 0..65535, or floats 0..1 or 0..255. Labels are integers, strings or
            one-hot rows.

    Raises:
        ValueError: If it is anything else.
    """
    if hasattr(data, "element_spec"):
        names = getattr(data, "class_names", None)  # of `keras.utils.image_dataset_from_directory`
        return labelled({"train": _from_tensorflow(data)}, tuple(names) if names else None)
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, tuple | list) and 2 <= len(data) <= 3 and all(_is_pair(part) for part in data):
        parts = ("train", "test") if len(data) == 2 else PARTS
        return labelled(dict(zip(parts, data, strict=True)))
    if _is_pair(data):
        return labelled({"train": tuple(data)})
    raise ValueError(f"{type(data).__name__}, expected {FORMS}")


def named_parts(arrays: Mapping[str, Any]) -> Arrays:
    """Makes a dataset of arrays by name, such as ``x_train`` or ``test_labels``.

    Raises:
        ValueError: If images or labels are missing, or are none.
    """
    found: dict[str, dict[str, Any]] = {}
    class_names = None
    for name, array in arrays.items():
        if name.lower() in ("class_names", "classes"):
            class_names = tuple(str(one) for one in np.asarray(array).ravel())
        elif meant := _meant(name):
            part, kind = meant
            found.setdefault(part, {})[kind] = array
    if missing := next((part for part in ("train", *found) if len(found.get(part, {})) < 2), None):
        raise ValueError(
            f"holds {', '.join(arrays) or 'nothing'}: no images and labels for {missing}; expected {NAMES}"
        )
    return labelled({part: (pair["images"], pair["labels"]) for part, pair in found.items()}, class_names)


def labelled(parts: Mapping[str, Labelled], class_names: tuple[str, ...] | None = None) -> Arrays:
    """Makes a dataset of images and labels by part.

    Raises:
        ValueError: If they are none.
    """
    pixels = as_bytes(*(_pixels(part, pair[0]) for part, pair in parts.items()))
    findings: list[Finding] = []
    given = {}
    for (part, pair), images in zip(parts.items(), pixels, strict=True):
        labels = as_labels(pair[1])
        there = are_there(labels) if labels.shape[:1] == images.shape[:1] else np.ones(1, np.bool_)
        if not there.all():
            findings.append(left_out(part, labels, there))
            images, labels = images[there], np.array(labels[there].tolist())
        if len(images):
            given[part] = images, _labels(part, len(images), labels)
    if "train" not in given:
        raise ValueError("no image to train on has a label")
    return _named(given, class_names, findings)


def _named(
    parts: Mapping[str, tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]],
    names: tuple[str, ...] | None,
    findings: Sequence[Finding],
) -> Arrays:
    """Replaces labels that are text by their places among the names of classes."""
    if all(labels.dtype.kind == "i" for _, labels in parts.values()):
        return Arrays({part: Split(*pair) for part, pair in parts.items()}, names, tuple(findings))
    texts = {part: [str(label) for label in labels] for part, (_, labels) in parts.items()}
    names = names or tuple(sorted({text for part in texts.values() for text in part}))
    places = {name: place for place, name in enumerate(names)}
    if strange := next((text for part in texts.values() for text in part if text not in places), None):
        raise ValueError(f"holds the label '{strange}', expected one of the class names {', '.join(names)}")
    numbers = {part: np.array([places[text] for text in texts[part]], np.int64) for part in texts}
    doubts = doubted(text for part in texts.values() for text in part)
    splits = {part: Split(images, numbers[part]) for part, (images, _) in parts.items()}
    return Arrays(splits, names, (*findings, *doubts))


def call(factory: str) -> Any:
    """Calls a function of the user's, ``package.module:name`` or ``path/to/file.py:name``, and returns its result.

    Raises:
        DataError: If it is not there, or fails.
    """
    function = _function(factory)
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise DataError(f"{factory}: failed: {_said(error)}") from error


def is_factory(text: str) -> bool:
    """Whether a text names a function of the user's."""
    return FACTORY.fullmatch(text) is not None and not Path(text).exists()


def _function(factory: str) -> Callable[[], Any]:
    match = FACTORY.fullmatch(factory)
    assert match, "see is_factory"
    try:
        module = _module(match["module"])
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise DataError(f"{factory}: {match['module']} cannot be imported: {_said(error)}") from error
    function: Callable[[], Any] = getattr(module, match["name"], None)  # type: ignore[assignment]
    if not callable(function):
        raise DataError(f"{factory}: {match['module']} has no function '{match['name']}'")
    return function


def _module(name: str) -> Any:
    return modules.execute(Path(name).expanduser()) if name.endswith(".py") else modules.import_module(name)


def _said(error: BaseException) -> str:
    """Returns what a user's code has raised in one line, with the place in it."""
    line = modules.find_line(error)
    return modules.strip_prefix(first_line(error)) + (f" ({line})" if line else "")


def _from_mapping(data: Mapping[str, Any]) -> Arrays:
    pairs = {part_of(str(name)): pair for name, pair in data.items()}
    if None not in pairs and all(_is_pair(pair) or hasattr(pair, "element_spec") for pair in pairs.values()):
        taken = {
            part: _from_tensorflow(pair) if hasattr(pair, "element_spec") else tuple(pair)
            for part, pair in pairs.items()
            if part is not None
        }
        if "train" not in taken:
            raise ValueError(f"holds {', '.join(data)} and nothing to train on; expected train")
        return labelled(taken)
    return named_parts({str(name): array for name, array in data.items()})


def _from_tensorflow(data: Any) -> Labelled:
    """Reads a `tf.data.Dataset` of images and labels, in batches or one by one."""
    spec = data.element_spec
    if int(data.cardinality()) == -1:
        raise ValueError("a tf.data.Dataset without an end; leave repeat() out")
    if not (isinstance(spec, tuple) and len(spec) == 2):
        raise ValueError("a tf.data.Dataset of other elements than (image, label)")
    if len(spec[0].shape) == 4:
        data = data.unbatch()
    pairs = [(np.asarray(image), np.asarray(label)) for image, label in data]
    if len({image.shape for image, _ in pairs}) > 1:
        raise ValueError(
            "a tf.data.Dataset of images of several sizes; resize them in its map(), or save them as files"
        )
    images, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return np.stack(images) if pairs else np.empty((0, 0, 0)), np.stack(labels) if pairs else np.empty(0)


def _meant(name: str) -> tuple[str, str] | None:
    """Returns the part and the kind, images or labels, of an array by its name; None if it is neither."""
    words = name.lower().split("_")
    for kind, names in (("images", IMAGES), ("labels", LABELS)):
        for word in words:
            others = "_".join(other for other in words if other != word)
            part = part_of(others) if others else "train"
            if word in names and part:
                return part, kind
    return None


def _is_pair(data: Any) -> bool:
    return (
        isinstance(data, tuple | list)
        and len(data) == 2
        and all(hasattr(one, "__len__") for one in data)
        and (np.ndim(data[0]) in (3, 4) and not isinstance(data[1], tuple))
    )


def _pixels(part: str, images: Any) -> npt.NDArray[Any]:
    """Returns images of shape (images, height, width, channels), of any type."""
    array = np.asarray(images)
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(f"images of {part} have shape {array.shape}, expected (images, height, width[, channels])")
    array = array if array.ndim == 4 else array[..., np.newaxis]
    if array.shape[-1] == 4:
        raise ValueError(f"images of {part} have 4 channels; leave the last one, transparency, out: x[..., :3]")
    if array.shape[-1] not in (1, 3):
        first = "; with the channels first, give np.moveaxis(x, 1, -1)" if array.shape[1] in (1, 3) else ""
        raise ValueError(f"images of {part} have {array.shape[-1]} channels, expected 1 or 3{first}")
    return array


def _labels(part: str, count: int, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns one label for each image, int64 or text of shape (images,)."""
    if array.ndim == 2 and len(array) == count and array.dtype.kind in "iufb" and np.all(array.sum(axis=1) == 1):
        array = array.argmax(axis=1)
    if array.shape != (count,):
        raise ValueError(f"labels of {part} have shape {array.shape}, expected one for each of {count} images")
    if array.dtype.kind in "SUO":
        return np.array([one.decode() if isinstance(one, bytes) else str(one) for one in array])
    is_number = array.dtype.kind in "iub" or (array.dtype.kind == "f" and bool(np.isfinite(array).all()))
    if not is_number or not np.all(np.mod(array, 1) == 0) or array.min() < 0:
        raise ValueError(f"labels of {part} are {array.dtype}, from {array.min()}, expected integers from 0 or names")
    return array.astype(np.int64)

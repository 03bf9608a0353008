"""Loads a study's dataset."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import psutil

from searchcnn.data import ImagesInspected, warn_of_flip
from searchcnn.data.collection import Collection, choose_classes
from searchcnn.data.dataset import PARTS, Dataset, LabelledImages
from searchcnn.data.division import divide
from searchcnn.data.findings import Finding
from searchcnn.data.inspection import inspect_images
from searchcnn.errors import DataError
from searchcnn.events import Hear, ignore
from searchcnn.sources.builtin import BUILTIN
from searchcnn.sources.source import collect, holds_files
from searchcnn.study import DataConfig
from searchcnn.text import split_numbers


def load_dataset(config: DataConfig, seed: int, hear: Hear = ignore, mirrors: bool = False) -> Dataset:
    """Finds or downloads a dataset, brings its images to one size, divides and inspects it.

    Args:
        config: Which dataset, the size of its images and of new parts, and its classes.
        seed: Chooses the images of new parts, with the same share of each class.
        hear: Hears how far it is, and what was found, even if that is why the dataset cannot be used.
        mirrors: Whether images are going to be mirrored, which deserves a warning where it changes their classes.

    Raises:
        DataError: If the dataset cannot be found or read, or cannot be reduced or divided like that.
        StoreError: If the images cannot be kept in the cache.
    """
    collection, source = collect(config, hear)
    _check_builtin(collection, config, source)
    names = choose_classes(config.classes, _order_classes(collection, config, source), source)
    collection = collection if config.group_near_copies else collection.without_near_copies()
    collection, left_out = _drop_untrained_classes(collection.select_classes(names))
    parts, failure = _try_dividing(collection, config, seed)
    inspection = inspect_images(source, collection, parts, config, left_out, failure)
    inspection = warn_of_flip(inspection) if mirrors else inspection
    hear(ImagesInspected(inspection))
    inspection.check()
    in_memory = collection.images.nbytes <= config.in_memory * psutil.virtual_memory().total
    train, validation, test = (collection.take(parts[part], in_memory) for part in PARTS)
    return Dataset(
        config.title,
        source,
        collection.class_names,
        train,
        validation,
        test,
        collection.compute_fingerprint(),
        collection.sizes,
        collection.preparation,
        inspection,
    )


def _order_classes(collection: Collection, config: DataConfig, source: str) -> tuple[str, ...]:
    """Returns the classes in the order that a study asks for; where they have numbers, these stay."""
    names = collection.class_names
    is_free = holds_files(source) and sorted(names) == list(names)
    return tuple(sorted(names, key=split_numbers)) if is_free and config.class_order == "natural" else names


def load_images(config: DataConfig, hear: Hear = ignore) -> LabelledImages:
    """Reads images that a model is to be scored on: those of the test part if they have one, else all.

    Args:
        config: Which, and how they become pixels.
        hear: Hears how far it is.

    Raises:
        DataError: If they cannot be found or read.
        StoreError: If they cannot be kept in the cache.
    """
    collection, source = collect(config, hear)
    test = collection.find_part("test")
    indices = test if len(test) else np.arange(len(collection))
    return LabelledImages(source, collection.class_names, collection.take(indices, in_memory=True))


def _drop_untrained_classes(collection: Collection) -> tuple[Collection, list[Finding]]:
    """Leaves out the classes without training images; returns the rest, and what was left out."""
    trained = set(collection.labels[collection.find_part("train")].tolist())
    names = collection.class_names
    counts = np.bincount(collection.labels, minlength=len(names)).tolist()
    findings = [_describe_untrained(names, label, counts[label]) for label in range(len(names)) if label not in trained]
    return collection.select_classes(tuple(name for label, name in enumerate(names) if label in trained)), findings


def _describe_untrained(names: tuple[str, ...], label: int, count: int) -> Finding:
    alike = [name for name in names if name != names[label] and name.lower() == names[label].lower()]
    hint = f"; is it '{alike[0]}'?" if alike else ""
    what = f"class '{names[label]}' has no images to train on"
    return Finding(
        "warning", what, f"{count:,} others", f"left out; a class must have the same name in all parts{hint}"
    )


def _try_dividing(
    collection: Collection, config: DataConfig, seed: int
) -> tuple[Mapping[str, npt.NDArray[np.int64]], str]:
    """Returns the images of each part, or of the existing parts and why they cannot be divided further."""
    try:
        return divide(collection, config, seed), ""
    except DataError as error:
        parts = {part: collection.find_part(part) for part in PARTS}
        return {part: indices for part, indices in parts.items() if len(indices)}, str(error)


def _check_builtin(collection: Collection, config: DataConfig, source: str) -> None:
    builtin = BUILTIN.get(config.name or "")
    if builtin is None:
        return
    shape, classes = collection.preparation.shape, len(collection.class_names)
    is_alike = classes == len(builtin.class_names) and (
        shape == builtin.shape or config.image_size != "auto" or config.channels != "auto"
    )
    if not is_alike:
        raise DataError(
            f"{source}: holds images of {shape} (height, width, channels) and {classes} classes, expected "
            f"{builtin.shape} and {len(builtin.class_names)} for {config.name}; replace it with the right files"
        )

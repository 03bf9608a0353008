"""Loads a study's dataset."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import psutil

from searchcnn.data.classes import select_classes
from searchcnn.data.collection import Collection
from searchcnn.data.dataset import PARTS, Dataset
from searchcnn.data.divide import divide
from searchcnn.data.examine import examine
from searchcnn.data.findings import DatasetRead, Finding
from searchcnn.errors import DataError
from searchcnn.events import Hear, ignore
from searchcnn.sources.builtin import BUILTIN
from searchcnn.sources.source import collect
from searchcnn.study import DataConfig


def load_dataset(config: DataConfig, seed: int, hear: Hear = ignore) -> Dataset:
    """Finds or downloads a dataset, brings its images to one size, divides it, and looks for what is wrong with it.

    Args:
        config: The dataset, its size, the parts that are made, and its classes.
        seed: Chooses the images of the parts that are made, with the same share of each class.
        hear: Hears how far it is, and what was found, also where that is why the dataset cannot be used.

    Raises:
        DataError: If the dataset cannot be found or read, or cannot be reduced or divided so.
        StoreError: If the images cannot be kept in the cache.
    """
    collection, source = collect(config, hear)
    _check_known(collection, config, source)
    names = select_classes(config.classes, collection.class_names, source)
    kept, left_out = _known_classes(collection.of_classes(names))
    parts, failure = _divided(kept, config, seed)
    report = examine(source, kept, parts, config, left_out, failure)
    hear(DatasetRead(report))
    report.check()
    in_memory = kept.images.nbytes <= config.in_memory * psutil.virtual_memory().total
    train, validation, test = (kept.split(parts[part], in_memory) for part in PARTS)
    return Dataset(
        config.title,
        source,
        kept.class_names,
        train,
        validation,
        test,
        kept.fingerprint(),
        kept.sizes,
        kept.preparation,
        report,
    )


def _known_classes(collection: Collection) -> tuple[Collection, list[Finding]]:
    """Leaves out the images of classes that no training image is of, and says so."""
    known = set(collection.labels[collection.indices("train")].tolist())
    names = collection.class_names
    unknown = [label for label in range(len(names)) if label not in known]
    counts = np.bincount(collection.labels, minlength=len(names)).tolist()
    findings = [_unknown(names, label, counts[label]) for label in unknown]
    return collection.of_classes(tuple(name for label, name in enumerate(names) if label in known)), findings


def _unknown(names: tuple[str, ...], label: int, count: int) -> Finding:
    alike = [name for name in names if name != names[label] and name.lower() == names[label].lower()]
    hint = f"; is it '{alike[0]}'?" if alike else ""
    what = f"class '{names[label]}' has no images to train on"
    return Finding("warning", what, f"{count:,} others", f"left out; name classes alike in all parts{hint}")


def _divided(collection: Collection, config: DataConfig, seed: int) -> tuple[Mapping[str, npt.NDArray[np.int64]], str]:
    """Returns the images of each part, or those of the parts that there are and why they cannot be divided."""
    try:
        return divide(collection, config, seed), ""
    except DataError as error:
        there = {part: collection.indices(part) for part in PARTS}
        return {part: indices for part, indices in there.items() if len(indices)}, str(error)


def _check_known(collection: Collection, config: DataConfig, source: str) -> None:
    known = BUILTIN.get(config.name or "")
    if known is None:
        return
    shape, classes = collection.preparation.shape, len(collection.class_names)
    is_alike = classes == len(known.class_names) and (
        shape == known.shape or config.image_size != "auto" or config.channels != "auto"
    )
    if not is_alike:
        raise DataError(
            f"{source}: holds images of {shape} (height, width, channels) and {classes} classes, expected "
            f"{known.shape} and {len(known.class_names)} for {config.name}; replace it with the right files"
        )

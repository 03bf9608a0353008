"""Finds what is wrong with the images of a study before any time is spent on them."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from searchcnn.data.collection import UNREADABLE, Collection
from searchcnn.data.copies import find_copies
from searchcnn.data.dataset import PARTS, Indices, Mapped
from searchcnn.data.findings import Finding, Inspection
from searchcnn.data.photos import count_colours
from searchcnn.study import DataConfig

IMBALANCE = 5.0
"""A class that has this many times the images of another is worth mentioning."""
DARK = 32
"""Images without a pixel as bright as this are worth mentioning."""
SAMPLED_FOR_DARKNESS = 500
"""Number of images, evenly spaced, whose brightness is measured."""
ENLARGED = 2.0
"""Images that are enlarged by more than this factor are worth mentioning."""
MIRRORED = "the classes are named like digits, letters or sides, which change when they are mirrored"
LETTERS = re.compile(r"(digit|letter|number|char)?[ _-]?([0-9]+|[A-Za-z])", re.IGNORECASE)
NUMBERS = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "left", "right"))


def inspect_images(
    source: str,
    collection: Collection,
    parts: Mapping[str, Indices],
    config: DataConfig,
    left_out: Sequence[Finding] = (),
    failure: str = "",
) -> Inspection:
    """Inspects the images of a collection.

    Args:
        source: Where it is, for people.
        collection: The images.
        parts: The indices of each part's images, as far as they could be divided.
        config: What the study says about its data.
        left_out: What has been left out already.
        failure: Why they could not be divided; empty if they could.
    """
    findings = [
        *_find_unreadable(collection, config),
        *_find_missing_classes(collection, parts),
        *([Finding("error", failure)] if failure else []),
        *collection.findings,
        *left_out,
        *find_copies(collection, parts),
        *_find_imbalance(collection),
        *_find_enlarged(collection),
        *_find_darkness(collection),
        *_find_unmirrorable(collection.class_names),
    ]
    areas = collection.sizes.prod(axis=1).argsort()
    new_parts = [part for part in PARTS[1:] if part in parts and not len(collection.find_part(part))]
    names = collection.class_names
    counts = {part: np.bincount(collection.labels[rows], minlength=len(names)) for part, rows in parts.items()}
    return Inspection(
        source,
        collection.preparation.shape,
        collection.preparation.resize,
        [collection.sizes[areas[rank]].tolist() for rank in (0, len(areas) // 2, -1)] if len(areas) else [],
        {part: dict(zip(names, counts[part].tolist(), strict=True)) for part in PARTS if part in counts},
        new_parts,
        sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.level)),
        count_colours(Mapped(collection.images, parts["train"])) if "train" in parts else 0.0,
    )


def is_mirrorable(class_names: Sequence[str]) -> bool:
    """Whether mirrored images keep their classes, judging by the names: digits, letters and sides do not.

    >>> is_mirrorable(["cat", "dog"]), is_mirrorable(["0", "1", "2"]), is_mirrorable(["turn left", "turn right"])
    (True, False, False)
    """
    words = [name.strip().lower() for name in class_names]
    count = sum(bool(NUMBERS & set(re.split(r"[^a-z]+", word))) for word in words)
    return count < 2 and not all(LETTERS.fullmatch(word) for word in words)


def is_imbalanced(counts: Sequence[int]) -> bool:
    """Whether a class has many times the images of another.

    >>> is_imbalanced([90, 100]), is_imbalanced([9, 100])
    (False, True)
    """
    return max(counts) >= IMBALANCE * max(1, min(counts))


def warn_of_flip(inspection: Inspection) -> Inspection:
    """Returns the inspection for a study that mirrors images, with a warning if that changes classes."""
    return replace(inspection, findings=[_warn(finding) for finding in inspection.findings])


def _warn(finding: Finding) -> Finding:
    if finding.what != MIRRORED:
        return finding
    return replace(
        finding, level="warning", remedy="training.flip mirrors images; set it to false, unless they keep their classes"
    )


def _find_unreadable(collection: Collection, config: DataConfig) -> Iterator[Finding]:
    count, files = collection.unreadable, len(collection) + collection.unreadable
    if not count or collection.folder is None:
        return
    path = collection.folder / UNREADABLE
    name, problem = _read_first_problem(path)
    too_many = count > config.max_unreadable * files
    remedy = f"listed in {path}"
    yield Finding(
        "error" if too_many else "warning",
        f"{count:,} of {files:,} files cannot be read"
        + (f", more than {config.max_unreadable:.0%}" if too_many else ""),
        f"{name}: {problem}",
        f"{remedy}; fix or delete them, or allow more with data.max_unreadable" if too_many else f"left out, {remedy}",
    )


def _read_first_problem(path: Path) -> tuple[str, str]:
    """Returns the first file that could not be read, and why."""
    if not path.exists():
        return "?", "the list is gone"
    with path.open(newline="", encoding="utf-8") as file:  # a name may hold what ends a line elsewhere
        name, problem = next(csv.reader(file))
    return name, problem


def _find_missing_classes(collection: Collection, parts: Mapping[str, Indices]) -> Iterator[Finding]:
    names, train = collection.class_names, np.unique(collection.labels[collection.find_part("train")])
    if len(train) < 2:
        only = f"one class, '{names[train[0]]}'" if len(train) else "no class"
        yield Finding("error", f"holds {only}", remedy="expected at least two, with a folder for each")
        return
    for part, rows in parts.items():
        missing = sorted(set(train.tolist()) - set(collection.labels[rows].tolist()))
        if part != "train" and missing:
            what = _list_classes([names[label] for label in missing])
            yield Finding("warning", f"{what} without {part} images", remedy="not measured there; add images")


def _find_imbalance(collection: Collection) -> Iterator[Finding]:
    counts = np.bincount(collection.labels[collection.find_part("train")], minlength=len(collection.class_names))
    least, most = int(counts.argmin()), int(counts.argmax())
    if is_imbalanced(counts.tolist()):
        names = collection.class_names
        yield Finding(
            "warning",
            f"'{names[most]}' has {counts[most] / counts[least]:.0f} times the images of '{names[least]}'",
            f"{counts[most]:,} and {counts[least]:,}",
            "try training.class_weights = [false, true]",
        )


def _find_enlarged(collection: Collection) -> Iterator[Finding]:
    preparation = collection.preparation
    small = (collection.sizes * ENLARGED < (preparation.height, preparation.width)).any(axis=1)
    if small.any():
        count, first = int(small.sum()), int(small.argmax())
        yield Finding(
            "warning",
            f"{count:,} image{' is' if count == 1 else 's are'} less than half as large as {preparation.height}x"
            f"{preparation.width}",
            f"{collection.name_image(first)}: {'x'.join(map(str, collection.sizes[first]))}",
            "enlarged; a smaller data.image_size may work as well",
        )


def _find_darkness(collection: Collection) -> Iterator[Finding]:
    """Finds pixels that use only a small part of 0..255, such as masks, or 12 bits in files of 16 bits."""
    step = max(1, len(collection) // SAMPLED_FOR_DARKNESS)
    brightest = int(collection.images[::step].max(initial=0))
    if brightest < DARK:
        what = f"the brightest pixel is {brightest} of 255"
        remedy = "networks see almost nothing; scale pixels to 0..255, or 16 bits to 0..65535"
        yield Finding("warning", what, "", remedy)


def _find_unmirrorable(class_names: Sequence[str]) -> Iterator[Finding]:
    if not is_mirrorable(class_names):
        examples = ", ".join(class_names[:3])
        yield Finding("note", MIRRORED, examples, "if mirrored images keep their classes, set training.flip = true")


def _list_classes(names: Sequence[str]) -> str:
    """Returns the names of classes, the first three of many: ``class 'cat'``, ``classes 'cat', 'dog'``."""
    examples = ", ".join(f"'{name}'" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"class{'' if len(names) == 1 else 'es'} {examples}{more}"

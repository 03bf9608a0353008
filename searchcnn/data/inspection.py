"""Finds what is wrong with the images of a study before any time is spent on them."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from searchcnn.data.collection import UNREADABLE, Collection
from searchcnn.data.dataset import PARTS, Mapped
from searchcnn.data.findings import Finding, Level, Report
from searchcnn.data.photos import count_colours
from searchcnn.study import DataConfig

IMBALANCE = 5.0
"""A class with so many times the images of another is worth a word."""
DARK = 32
"""Images without a pixel as bright as this are worth a word."""
SAMPLE = 500
"""Images, evenly taken from all, that are looked at for that."""
ENLARGED = 2.0
"""Images that are enlarged by more than this factor are worth a word."""
MIRRORED = "mirrored, some images would be of another class"
LETTERS = re.compile(r"(digit|letter|number|char)?[ _-]?([0-9]+|[A-Za-z])", re.IGNORECASE)
NUMBERS = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "left", "right"))

PLURAL = {"is": "are", "has": "have"}

Indices = npt.NDArray[np.int64]


def examine(
    source: str,
    collection: Collection,
    parts: Mapping[str, Indices],
    config: DataConfig,
    left_out: Sequence[Finding] = (),
    failure: str = "",
) -> Report:
    """Reports on a collection.

    Args:
        source: Where it is, for people.
        collection: The images.
        parts: The places of each part's images, as far as they could be divided.
        config: What the study says of its data.
        left_out: What was left out before.
        failure: Why they could not be divided, if they could not.
    """
    findings = [
        *_unreadable(collection, config),
        *_classes(collection, parts),
        *([Finding("error", failure)] if failure else []),
        *collection.findings,
        *left_out,
        *_copies(collection, parts),
        *_balance(collection),
        *_sizes(collection),
        *_darkness(collection),
        *_mirrored(collection.class_names),
    ]
    areas = collection.sizes.prod(axis=1).argsort()
    made = [part for part in PARTS[1:] if part in parts and not len(collection.indices(part))]
    names = collection.class_names
    counts = {part: np.bincount(collection.labels[rows], minlength=len(names)) for part, rows in parts.items()}
    return Report(
        source,
        collection.preparation.shape,
        collection.preparation.resize,
        [collection.sizes[areas[place]].tolist() for place in (0, len(areas) // 2, -1)] if len(areas) else [],
        {part: dict(zip(names, counts[part].tolist(), strict=True)) for part in PARTS if part in counts},
        made,
        sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.level)),
        count_colours(Mapped(collection.images, parts["train"])) if "train" in parts else 0.0,
    )


def is_mirrorable(class_names: Sequence[str]) -> bool:
    """Whether mirrored images keep their classes, as far as the names tell: those of digits, letters and sides do not.

    >>> is_mirrorable(["cat", "dog"]), is_mirrorable(["0", "1", "2"]), is_mirrorable(["turn left", "turn right"])
    (True, False, False)
    """
    words = [name.strip().lower() for name in class_names]
    sided = sum(bool(NUMBERS & set(re.split(r"[^a-z]+", word))) for word in words)
    return sided < 2 and not all(LETTERS.fullmatch(word) for word in words)


def is_imbalanced(counts: Sequence[int]) -> bool:
    """Whether a class has many times the images of another.

    >>> is_imbalanced([90, 100]), is_imbalanced([9, 100])
    (False, True)
    """
    return max(counts) >= IMBALANCE * max(1, min(counts))


def warned_of_flip(report: Report) -> Report:
    """Returns the report for a study that mirrors images: it warns where that changes classes."""
    return replace(report, findings=[_warned(finding) for finding in report.findings])


def _warned(finding: Finding) -> Finding:
    if finding.what != MIRRORED:
        return finding
    return replace(finding, level="warning", remedy="training.flip mirrors them: set it to false")


def _unreadable(collection: Collection, config: DataConfig) -> Iterator[Finding]:
    count, files = collection.unreadable, len(collection) + collection.unreadable
    if not count or collection.folder is None:
        return
    path = collection.folder / UNREADABLE
    rows = csv.reader(path.read_text(encoding="utf-8").splitlines() if path.exists() else [])
    place, why = next(rows, ("?", "the list is gone"))
    too_many = count > config.max_unreadable * files
    remedy = f"listed in {path}"
    yield Finding(
        "error" if too_many else "warning",
        f"{count:,} of {files:,} files cannot be read"
        + (f", more than {config.max_unreadable:.0%}" if too_many else ""),
        f"{place}: {why}",
        f"{remedy}; mend or delete them, or allow more with data.max_unreadable" if too_many else f"left out, {remedy}",
    )


def _classes(collection: Collection, parts: Mapping[str, Indices]) -> Iterator[Finding]:
    names, train = collection.class_names, np.unique(collection.labels[collection.indices("train")])
    if len(train) < 2:
        only = f"one class, '{names[train[0]]}'" if len(train) else "no class"
        yield Finding("error", f"holds {only}", remedy="expected at least two: a folder for each")
        return
    for part, rows in parts.items():
        missing = sorted(set(train.tolist()) - set(collection.labels[rows].tolist()))
        if part != "train" and missing:
            what = listed([names[label] for label in missing])
            yield Finding("warning", f"{what} without {part} images", remedy="not measured there: add images")


def _copies(collection: Collection, parts: Mapping[str, Indices]) -> Iterator[Finding]:
    """Finds images with the same pixels: in two parts, with two labels, or just twice."""
    order = np.argsort(collection.hashes, kind="stable")
    starts = np.flatnonzero(np.diff(collection.hashes[order], prepend=~collection.hashes[order[:1]]))
    groups = [group for group in np.split(order, starts[1:]) if len(group) > 1]
    if not groups:
        return
    of = np.full(len(collection), -1)
    for number, part in enumerate(PARTS):
        if part in parts:
            of[parts[part]] = number
    twice = [group for group in groups if len(set(collection.labels[group].tolist())) > 1]
    yield from _found(collection, twice, "has two labels", "a network cannot learn both: correct or delete them")
    for first, second in ((0, 2), (1, 2), (0, 1)):
        both = [group for group in groups if {first, second} <= set(of[group].tolist())]
        where = f"is in both {PARTS[first]} and {PARTS[second]}"
        yield from _found(collection, both, where, f"the {PARTS[second]} score is too good by them: delete one of each")
    shared = {
        group[0] for group in groups if len(set(of[group].tolist())) > 1 or len(set(collection.labels[group])) > 1
    }
    same = [group for group in groups if group[0] not in shared]
    yield from _found(collection, same, "is there more than once", "kept, together in one part", "note")


def _found(
    collection: Collection, groups: Sequence[Indices], where: str, remedy: str, level: Level = "warning"
) -> Iterator[Finding]:
    if not groups:
        return
    verb, rest = where.split(" ", 1)
    what = f"1 image {where}" if len(groups) == 1 else f"{len(groups):,} images {PLURAL[verb]} {rest}"
    example = " = ".join(collection.name(index) for index in groups[0][:2])
    yield Finding(level, what, example, remedy)


def _balance(collection: Collection) -> Iterator[Finding]:
    counts = np.bincount(collection.labels[collection.indices("train")], minlength=len(collection.class_names))
    least, most = int(counts.argmin()), int(counts.argmax())
    if is_imbalanced(counts.tolist()):
        names = collection.class_names
        yield Finding(
            "warning",
            f"'{names[most]}' has {counts[most] / counts[least]:.0f} times the images of '{names[least]}'",
            f"{counts[most]:,} and {counts[least]:,}",
            "try training.class_weights = [false, true]",
        )


def _sizes(collection: Collection) -> Iterator[Finding]:
    preparation = collection.preparation
    small = (collection.sizes * ENLARGED < (preparation.height, preparation.width)).any(axis=1)
    if small.any():
        count, first = int(small.sum()), int(small.argmax())
        yield Finding(
            "warning",
            f"{count:,} image{' is' if count == 1 else 's are'} less than half as large as {preparation.height}x"
            f"{preparation.width}",
            f"{collection.name(first)}: {'x'.join(map(str, collection.sizes[first]))}",
            "enlarged; a smaller data.image_size may do as well",
        )


def _darkness(collection: Collection) -> Iterator[Finding]:
    """Finds pixels that use only a small part of 0..255, such as those of 12 bits in files of 16, or of masks."""
    step = max(1, len(collection) // SAMPLE)
    brightest = int(collection.images[::step].max(initial=0))
    if brightest < DARK:
        what = f"the brightest pixel is {brightest} of 255"
        yield Finding(
            "warning", what, "", "networks see almost nothing: scale pixels to 0..255, or 16 bits to 0..65535"
        )


def _mirrored(class_names: Sequence[str]) -> Iterator[Finding]:
    if not is_mirrorable(class_names):
        shown = ", ".join(class_names[:3])
        yield Finding("note", MIRRORED, shown, "leave training.flip off")


def listed(names: Sequence[str]) -> str:
    """Returns the names of classes, the first three of many: ``class 'cat'``, ``classes 'cat', 'dog'``."""
    shown = ", ".join(f"'{name}'" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"class{'' if len(names) == 1 else 'es'} {shown}{more}"

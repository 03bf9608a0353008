"""Describes copies and near copies of images: in two parts, with two labels, or just twice."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from searchcnn.data.collection import Collection
from searchcnn.data.dataset import PARTS, Indices
from searchcnn.data.findings import Finding, Level

PAIRS = ((0, 2), (1, 2), (0, 1))
"""Pairs of numbers of parts that should not share images: the second is what is measured on."""
NAMED = 3
"""Number of pairs of near copies that are named."""
PLURAL = {"is": "are", "has": "have"}
INFLATES = "this inflates the {} score; delete one of each"
KEPT = "kept together in one part"


def find_copies(collection: Collection, parts: Mapping[str, Indices]) -> Iterator[Finding]:
    """Finds images with the same pixels, and near copies.

    Args:
        collection: The images.
        parts: The indices of each part's images, as far as they could be divided.
    """
    numbers = np.full(len(collection), -1)  # of the part that each image is in
    for number, part in enumerate(PARTS):
        if part in parts:
            numbers[parts[part]] = number
    yield from _find_same(collection, numbers)
    yield from _find_near(collection, numbers)


def _find_same(collection: Collection, numbers: Indices) -> Iterator[Finding]:
    groups = _list_groups(collection.hashes)
    ambiguous = [group for group in groups if len(set(collection.labels[group].tolist())) > 1]
    remedy = "a network cannot learn both; correct or delete them"
    yield from _describe_same(collection, ambiguous, "has two labels", remedy)
    for first, second in PAIRS:
        shared = [group for group in groups if {first, second} <= set(numbers[group].tolist())]
        where = f"is in both {PARTS[first]} and {PARTS[second]}"
        yield from _describe_same(collection, shared, where, INFLATES.format(PARTS[second]))
    harmless = [
        group
        for group in groups
        if len(set(numbers[group].tolist())) == 1 and len(set(collection.labels[group].tolist())) == 1
    ]
    yield from _describe_same(collection, harmless, "is there more than once", KEPT, "note")


def _describe_same(
    collection: Collection, groups: Sequence[Indices], where: str, remedy: str, level: Level = "warning"
) -> Iterator[Finding]:
    if not groups:
        return
    verb, rest = where.split(" ", 1)
    what = f"1 image {where}" if len(groups) == 1 else f"{len(groups):,} images {PLURAL[verb]} {rest}"
    example = " = ".join(collection.name_image(index) for index in groups[0][:2])
    yield Finding(level, what, example, remedy)


def _find_near(collection: Collection, numbers: Indices) -> Iterator[Finding]:
    different = np.sort(np.unique(collection.hashes, return_index=True)[1])
    groups = [different[rows] for rows in _list_groups(collection.copies[different])]
    labels = collection.labels
    two = [[group[0], *group[labels[group] != labels[group[0]]]] for group in groups]
    yield from _describe_near(collection, two, "image", "images of another class", "one of each may be misfiled")
    for first, second in PAIRS:
        shared = [
            [group[numbers[group] == first][0], *group[numbers[group] == second]]
            for group in groups
            if first in numbers[group]
        ]
        is_new = not len(collection.find_part(PARTS[second]))
        remedy = "too many of their class to keep together" if is_new else INFLATES.format(PARTS[second])
        yield from _describe_near(collection, shared, f"{PARTS[second]} image", f"{PARTS[first]} images", remedy)
    harmless = [group for group in groups if len(set(numbers[group].tolist())) == 1]
    yield from _describe_near(collection, harmless, "image", "others", KEPT, "note")


def _describe_near(
    collection: Collection,
    groups: Sequence[Sequence[int] | Indices],
    whose: str,
    of: str,
    remedy: str,
    level: Level = "warning",
) -> Iterator[Finding]:
    """Describes near copies, given groups of images of which all but the first are near copies of it."""
    pairs = [(image, group[0]) for group in groups for image in group[1:]]
    if not pairs:
        return
    what = (
        f"1 {whose} is a near copy of {of}" if len(pairs) == 1 else f"{len(pairs):,} {whose}s are near copies of {of}"
    )
    named = (" = ".join(collection.name_image(index) for index in pair) for pair in islice(pairs, NAMED))
    yield Finding(level, what, ", ".join(named), remedy)


def _list_groups(values: npt.NDArray[np.integer]) -> list[Indices]:
    """Returns the indices of equal values, for each value that is there more than once."""
    order = np.argsort(values, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
    return [group for group in groups if len(group) > 1]

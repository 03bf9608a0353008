"""Tells parts and classes from the names of folders, as people write them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from searchcnn.data.dataset import PARTS
from searchcnn.data.report import Finding
from searchcnn.errors import DataError, printable

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
IGNORED = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".mat", ".npy", ".py", ".toml", ".tsv", ".txt"}
    | {".url", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that nobody takes for images."""
PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "train_set", "training_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "val_set", "validation_set"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "test_set", "eval", "evaluation"), "test"),
}
"""The part that a folder, or a word in a table, means; in lower case, with ``_`` for ``-`` and spaces."""


class Place(NamedTuple):
    """Where an image lies.

    Attributes:
        path: Below the folder or in the archive, with ``/``.
        part: ``train``, ``validation`` or ``test``.
        class_name: Its class.
    """

    path: str
    part: str
    class_name: str


@dataclass(frozen=True)
class Layout:
    """The images of a folder or archive, sorted.

    Attributes:
        places: The images, in a fixed order.
        findings: What was left out or is odd.
    """

    places: Sequence[Place]
    findings: Sequence[Finding]


def part_of(word: str) -> str | None:
    """Returns the part that a word means, or None.

    >>> part_of("Training Set"), part_of("daisy")
    ('train', None)
    """
    return PART_NAMES.get(word.strip().lower().replace("-", "_").replace(" ", "_"))


def is_image(path: str) -> bool:
    """Whether a file of that path is taken for an image; hidden files and what macOS puts into archives are not."""
    pure = PurePosixPath(path)
    hidden = any(name.startswith(".") or name == "__MACOSX" for name in pure.parts)
    return pure.suffix.lower() in SUFFIXES and not hidden


def arrange(root: str, files: Iterable[str], folders: Iterable[str] = ()) -> Layout:
    """Sorts images by part and class: ``PART/CLASS/...`` or ``CLASS/...``, also below folders that hold nothing else.

    Args:
        root: Where they are, for messages.
        files: Paths of all files, with ``/``.
        folders: Paths of all folders; those of classes without images are named.

    Raises:
        DataError: If they are not sorted so.
    """
    files = list(files)
    split = {path: PurePosixPath(path).parts for path in sorted(files) if is_image(path)}
    if not split:
        raise DataError(f"{root}: holds no images; expected CLASS/IMAGE or train/CLASS/IMAGE, of {_formats()}")
    depth = _depth(list(split.values()))
    inner = {path: names[depth:] for path, names in split.items()}
    tops = sorted({names[0] for names in inner.values() if len(names) > 1})
    parts = {top: part for top in tops if (part := part_of(top))}
    findings = list(_other_files(files))
    if not parts:
        named = {path: ("train", *names) for path, names in inner.items()}
        return _layout(root, named, _inner(folders, depth, 0), findings)
    if "train" not in parts.values():
        raise DataError(
            f"{root}: holds {' and '.join(parts)} and nothing to train on; expected a folder train/ beside, or, if "
            "that is the name of a class, another name for it"
        )
    others = [top for top in tops if top not in parts]
    if others:
        remedy = "left out; give folders of classes no names of parts, such as train"
        findings.append(Finding("warning", _count(others, "folder", "beside train/"), ", ".join(others[:3]), remedy))
    named = {path: (parts[names[0]], *names[1:]) for path, names in inner.items() if names[0] in parts}
    known = [(parts[names[0]], *names[1:]) for names in _inner(folders, depth, 1) if names[0] in parts]
    return _layout(root, named, known, findings)


def _layout(
    root: str, named: dict[str, tuple[str, ...]], folders: Iterable[tuple[str, ...]], findings: list[Finding]
) -> Layout:
    """Makes places of paths that begin with their part."""
    places = [Place(path, names[0], printable(names[1])) for path, names in named.items() if len(names) > 2]
    if not any(place.part == "train" for place in places):
        example = next(path for path, names in named.items() if len(names) <= 2)
        raise DataError(
            f"{root}: images lie in no folder of their class ({example}); expected CLASS/IMAGE, or "
            "train/CLASS/IMAGE where a folder has the name of a part"
        )
    loose = [path for path, names in named.items() if len(names) <= 2]
    if loose:
        findings.append(
            Finding("warning", _count(loose, "image", "in no folder of a class"), ", ".join(loose[:3]), "left out")
        )
    used = {place.class_name for place in places}
    known = {printable(names[1]) for names in folders if len(names) == 2 and not names[1].startswith(".")}
    empty = sorted(known - used)
    if empty:
        findings.append(Finding("warning", _count(empty, "folder", "without images"), ", ".join(empty[:3]), "no class"))
    order = {part: number for number, part in enumerate(PARTS)}
    return Layout(sorted(places, key=lambda place: (order[place.part], place.class_name, place.path)), findings)


def _other_files(files: Iterable[str]) -> Iterator[Finding]:
    """Finds what may be an image of a kind that is not read; notes and lists are none."""
    kinds = Counter(
        PurePosixPath(file).suffix.lower() or "no suffix"
        for file in files
        if not is_image(file) and not any(name.startswith((".", "__MACOSX")) for name in PurePosixPath(file).parts)
    )
    odd = {kind: count for kind, count in kinds.most_common() if kind not in IGNORED}
    if odd:
        shown = ", ".join(f"{count:,} {kind}" for kind, count in list(odd.items())[:3])
        what = _count(range(sum(odd.values())), "file", "of kinds that are not read")
        yield Finding("warning", what, shown, f"left out; expected {_formats()}")


def _depth(paths: Sequence[tuple[str, ...]]) -> int:
    """Returns how many folders hold all images together, and are neither a part nor the only class."""
    depth = 0
    while True:
        firsts = {names[depth] for names in paths if len(names) > depth + 1}
        loose = any(len(names) == depth + 1 for names in paths)
        deeper = all(len(names) > depth + 2 for names in paths)
        if loose or len(firsts) != 1 or not deeper or part_of(next(iter(firsts))):
            return depth
        depth += 1


def _inner(folders: Iterable[str], depth: int, names: int) -> list[tuple[str, ...]]:
    """Returns the folders of classes below the common ones; with ``train`` first where no parts are named."""
    inner = [PurePosixPath(folder).parts[depth:] for folder in folders]
    return [path if names else ("train", *path) for path in inner if len(path) == names + 1]


def _count(found: Sized, noun: str, where: str) -> str:
    """Returns ``3 folders without images``."""
    return f"{len(found):,} {noun}{'' if len(found) == 1 else 's'} {where}"


def _formats() -> str:
    return "JPEG, PNG, GIF, BMP, WebP, AVIF, TIFF or PNM"

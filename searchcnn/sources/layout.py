"""Tells parts and classes by the names of folders, as people write them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from searchcnn.data.dataset import PARTS
from searchcnn.data.findings import Finding
from searchcnn.data.formats import FORMAT_NAMES, IMAGE_SUFFIXES, suggest_extra
from searchcnn.errors import DataError, make_printable
from searchcnn.sources.parts import find_doubtful, find_look_alikes, parse_part
from searchcnn.text import format_count

IGNORED_SUFFIXES = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".mat", ".npy", ".py", ".toml", ".tsv", ".txt"}
    | {".url", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that nobody mistakes for images."""
AMBIGUOUS = frozenset({"train", "training", "valid", "dev"})
"""Words for parts that may also name classes: a vehicle, the opposite of invalid, the opposite of production."""
PathNames = tuple[str, ...]
"""The names in a path: its folders, and the file at the end."""
NamesByPath = dict[str, PathNames]
"""Names by path; the first may be left out or replaced by a part."""
Arrangement = tuple[NamesByPath, Sequence[PathNames], Sequence[Finding]]
"""Names of images that begin with a part and a class, names of all folders, and what is odd."""


class LabelledPath(NamedTuple):
    """The path of an image, and what it says.

    Attributes:
        path: Path in the folder or archive, with ``/``.
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
        images: The images, in a fixed order.
        findings: What was left out or is odd.
    """

    images: Sequence[LabelledPath]
    findings: Sequence[Finding]


def is_image(path: str) -> bool:
    """Whether a file with this path is taken for an image; hidden files and what macOS adds to archives are not."""
    pure = PurePosixPath(path)
    is_hidden = any(name.startswith(".") or name == "__MACOSX" for name in pure.parts)
    return pure.suffix.lower() in IMAGE_SUFFIXES and not is_hidden


def arrange(root: str, files: Iterable[str], folders: Iterable[str] = ()) -> Layout:
    """Sorts images by part and class, even below folders that hold nothing else.

    They are in ``CLASS/...`` or, if they are divided, in ``PART/CLASS/...`` or ``CLASS/PART/...``.

    Args:
        root: Where they are, for messages.
        files: Paths of all files, with ``/``.
        folders: Paths of all folders; empty ones are found.

    Raises:
        DataError: If they are not sorted like that.
    """
    files = list(files)
    images = {path: PurePosixPath(path).parts for path in sorted(files) if is_image(path)}
    if not images:
        remedy = suggest_extra(PurePosixPath(path).suffix.lower() for path in files)
        expected = f"CLASS/IMAGE or train/CLASS/IMAGE, in {FORMAT_NAMES} files"
        raise DataError(f"{root}: holds no images; expected {expected}{remedy}")
    depth = _find_depth(list(images.values()))
    images = {path: names[depth:] for path, names in images.items()}
    folder_names: Sequence[PathNames] = [names for folder in folders if (names := PurePosixPath(folder).parts[depth:])]
    parts = {names[0]: part for names in images.values() if len(names) > 1 and (part := parse_part(names[0]))}
    arrange_images = _arrange_by_class if not parts or _is_class(parts, images) else _arrange_by_part
    images, folder_names, findings = arrange_images(root, images, folder_names)
    return _make_layout(root, images, folder_names, [*_find_other_files(files), *findings])


def _arrange_by_part(root: str, images: NamesByPath, folders: Iterable[PathNames]) -> Arrangement:
    """Sorts images in ``PART/CLASS``."""
    tops = sorted({names[0] for names in images.values() if len(names) > 1})
    parts = {top: part for top in tops if (part := parse_part(top))}
    others = [top for top in tops if top not in parts]
    if "train" not in parts.values():
        content = f" with one folder for each class, such as {', '.join(others[:3])}" if others else ""
        raise DataError(
            f"{root}: holds {' and '.join(parts)} and nothing to train on; expected a folder train/ next to it"
            f"{content}; if it is a class, rename it"
        )
    nested = {top for top in parts if all(_is_nested(names) for names in images.values() if names[0] == top)}
    arranged = {
        path: (parts[names[0]], *names[1 + (names[0] in nested) :])
        for path, names in images.items()
        if names[0] in parts
    }
    folder_names = [(parts[names[0]], *names[1 + (names[0] in nested) :]) for names in folders if names[0] in parts]
    findings = [
        *_check_look_alikes(root, arranged),
        *_find_folders_beside_parts(others),
        *_find_parts_below_train(arranged),
    ]
    return arranged, folder_names, findings


def _arrange_by_class(root: str, images: NamesByPath, folders: Iterable[PathNames]) -> Arrangement:
    """Sorts images in ``CLASS``, or in ``CLASS/PART`` if some are in folders to validate or test on."""
    findings = [*_check_look_alikes(root, images), *_find_class_named_like_part(images)]
    parts = {path: next(filter(None, map(parse_part, names[1:-1])), None) for path, names in images.items()}
    folder_names = [("train", *names) for names in folders]
    if {*parts.values()} <= {None, "train"}:
        arranged = {path: ("train", *names) for path, names in images.items()}
        findings += [*_find_folders_beside_train(images), *_find_repeated_folders(images)]
        return arranged, folder_names, [*findings, *_find_parts_below_class(arranged)]
    rest = [path for path, part in parts.items() if part is None and len(images[path]) > 1]
    left_out = set(rest if "train" in parts.values() else ())
    if not rest and "train" not in parts.values():
        example = next(path for path, part in parts.items() if part)
        raise DataError(
            f"{root}: holds nothing to train on, only {example} and the like; expected CLASS/train/IMAGE too"
        )
    arranged = {path: (parts[path] or "train", *names) for path, names in images.items() if path not in left_out}
    findings += [*_find_images_without_part(rest, not left_out), *_find_folders_below_parts(images)]
    return arranged, folder_names, [*findings, *_find_parts_below_class(arranged)]


def _is_class(parts: Iterable[str], images: NamesByPath) -> bool:
    """Whether the only folder named like a part is a class: it may be one, has others next to it and none in it."""
    is_ambiguous = [top.strip().lower() in AMBIGUOUS for top in parts] == [True]
    has_others = any(len(names) > 1 and names[0] not in parts for names in images.values())
    return is_ambiguous and has_others and all(len(names) == 2 for names in images.values() if names[0] in parts)


def _find_class_named_like_part(images: NamesByPath) -> Iterator[Finding]:
    classes = sorted({names[0] for names in images.values() if len(names) > 1})
    for name in filter(parse_part, classes):
        others = ", ".join(other for other in classes[:4] if other != name)
        what = f"folder {name}/ is taken for a class, as it holds no folders"
        yield Finding("warning", what, f"next to {others}", f"if it is a part, sort its images into {name}/CLASS/IMAGE")


def _find_folders_beside_parts(folders: Sequence[str]) -> Iterator[Finding]:
    if folders:
        remedy = "left out; do not give a class the name of a part, such as train"
        yield Finding("warning", _format_count(folders, "folder", "next to train/"), ", ".join(folders[:3]), remedy)


def _is_nested(names: PathNames) -> bool:
    """Whether a part is in itself, as some archives unpack: ``train/train/CLASS``."""
    return len(names) > 3 and parse_part(names[1]) == parse_part(names[0])


def _find_images_without_part(paths: Sequence[str], is_train: bool) -> Iterator[Finding]:
    if paths:
        remedy = "trained on, as no folder is named train" if is_train else "left out; move them to train, val or test"
        what = _format_count(paths, "image", "outside the folders of parts")
        yield Finding("warning", what, ", ".join(paths[:3]), remedy)


def _find_folders_below_parts(images: NamesByPath) -> Iterator[Finding]:
    """Finds ``CLASS/PART/FOLDER/...``: these folders may be the classes."""
    paths = [path for path, names in images.items() if any(map(parse_part, names[1:-2]))]
    classes = sorted({names[0] for names in images.values() if len(names) > 1})
    if paths:
        what = f"folders inside those of parts are not taken for classes; the classes are {', '.join(classes[:3])}"
        yield Finding("warning", what, paths[0], "expected CLASS/PART/IMAGE, or PART/CLASS/IMAGE")


def _find_parts_below_train(images: NamesByPath) -> Iterator[Finding]:
    """Finds images to train on that are in a folder with the name of another part."""
    paths = [
        path
        for path, names in images.items()
        if names[0] == "train" and any(parse_part(name) in PARTS[1:] for name in names[1:-1])
    ]
    if paths:
        what = _format_count(paths, "image", "to train on in a folder with the name of another part")
        yield Finding("warning", what, ", ".join(paths[:3]), "trained on; move them, or rename the folder")


def _find_parts_below_class(images: NamesByPath) -> Iterator[Finding]:
    return _find_parts_below_train({path: names for path, names in images.items() if not parse_part(names[1])})


def _find_folders_beside_train(images: NamesByPath) -> Iterator[Finding]:
    """Finds folders next to one named ``train`` in the folder of a class: perhaps they should not be trained on."""
    folders = {names[:depth] for names in images.values() for depth in range(2, len(names))}
    above = {folder[:-1] for folder in folders if parse_part(folder[-1])}
    if others := sorted({folder[-1] for folder in folders if folder[:-1] in above and not parse_part(folder[-1])}):
        what = _format_count(others, "folder", "next to train/ in the folders of classes")
        remedy = "trained on; if these are parts, name them val and test"
        yield Finding("warning", what, ", ".join(others[:3]), remedy)


def _find_repeated_folders(images: NamesByPath) -> Iterator[Finding]:
    """Finds a few folders that all hold folders with the same names: perhaps those are the classes."""
    below: dict[str, set[str]] = {}
    for names in images.values():
        if len(names) > 1:
            below.setdefault(names[0], set()).add(names[1] if len(names) > 2 else "")
    first = next(iter(below.values()), set())
    is_same = all(folders == first for folders in below.values())
    if 2 <= len(below) <= 4 and is_same and len(first) > 1 and not any(not name or parse_part(name) for name in first):
        what = f"folders {', '.join(sorted(below))} hold folders with the same names and are taken for classes"
        remedy = "if they are parts, name them train, val and test"
        yield Finding("warning", what, ", ".join(sorted(first)[:3]), remedy)


def _check_look_alikes(root: str, images: NamesByPath) -> Iterator[Finding]:
    """Finds folders that may be parts, and raises an error if that is likely: as classes they would be learned."""
    for level in range(max(map(len, images.values()))):
        folders = {names[level] for names in images.values() if len(names) > level + 1}
        if doubtful := find_doubtful(folders):
            what = _format_count(doubtful, "folder", "named almost like a part")
            remedy = "not taken for parts; name parts train, val and test"
            yield Finding("warning", what, ", ".join(doubtful[:4]), remedy)
        if alike := find_look_alikes(folders):
            what = f"folders {', '.join(alike[:4])} are parts or classes"
            what = what if len(alike) > 1 else f"folder {alike[0]} is a part or a class"
            remedy = "name parts train, val and test, and give classes other names"
            raise DataError(f"{root}: cannot tell whether {what}; {remedy}")


def _make_layout(root: str, named: NamesByPath, folders: Iterable[PathNames], findings: list[Finding]) -> Layout:
    """Makes a layout of images whose names begin with their part."""
    images = [LabelledPath(path, names[0], make_printable(names[1])) for path, names in named.items() if len(names) > 2]
    loose = [path for path, names in named.items() if len(names) <= 2]
    if not any(image.part == "train" for image in images):
        raise DataError(
            f"{root}: images are not in folders of their classes ({loose[0]}); expected CLASS/IMAGE, or "
            "train/CLASS/IMAGE if a folder has the name of a part"
        )
    if loose:
        what = _format_count(loose, "image", "outside the folders of classes")
        findings.append(Finding("warning", what, ", ".join(loose[:3]), "left out"))
    class_names = {image.class_name for image in images}
    folder_names = {make_printable(names[1]) for names in folders if len(names) == 2 and not names[1].startswith(".")}
    if empty := sorted(folder_names - class_names):
        what = _format_count(empty, "folder", "without images")
        findings.append(Finding("warning", what, ", ".join(empty[:3]), "not a class"))
    images.sort(key=lambda image: (PARTS.index(image.part), image.class_name, image.path))
    return Layout(images, findings)


def _find_other_files(files: Iterable[str]) -> Iterator[Finding]:
    """Finds files that may be images in other formats; notes and lists are not."""
    suffixes = Counter(
        PurePosixPath(file).suffix.lower() or "no suffix"
        for file in files
        if not is_image(file) and not any(name.startswith((".", "__MACOSX")) for name in PurePosixPath(file).parts)
    )
    counts = {suffix: count for suffix, count in suffixes.most_common() if suffix not in IGNORED_SUFFIXES}
    if counts:
        examples = ", ".join(f"{count:,} {suffix}" for suffix, count in list(counts.items())[:3])
        what = _format_count(range(sum(counts.values())), "file", "in formats that cannot be read")
        yield Finding("warning", what, examples, f"left out; expected {FORMAT_NAMES}{suggest_extra(counts)}")


def _find_depth(paths: Sequence[PathNames]) -> int:
    """Returns how many folders hold all images together and are neither a part nor the only class."""
    depth = 0
    while True:
        folders = {names[depth] for names in paths if len(names) > depth + 1}
        has_loose = any(len(names) == depth + 1 for names in paths)
        is_deeper = all(len(names) > depth + 2 for names in paths)
        if has_loose or len(folders) != 1 or not is_deeper or parse_part(next(iter(folders))):
            return depth
        depth += 1


def _format_count(items: Sized, noun: str, where: str) -> str:
    """Returns ``3 folders without images``."""
    return f"{format_count(len(items), noun)} {where}"

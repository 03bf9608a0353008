"""Tells parts and classes from the names of folders, as people write them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from searchcnn.data.dataset import PARTS
from searchcnn.data.findings import Finding
from searchcnn.errors import DataError, make_printable
from searchcnn.sources.parts import doubtful, look_alikes, part_of

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
IGNORED = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".mat", ".npy", ".py", ".toml", ".tsv", ".txt"}
    | {".url", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that nobody takes for images."""
CLASSES = frozenset({"train", "training", "valid", "dev"})
"""Words for parts that are as well those for classes: a vehicle, what is not invalid, what is not in production."""
Names = tuple[str, ...]
"""Of a path: folders, and the file at the end."""
Named = dict[str, Names]
"""Names by path; the first may be left out, or be a part instead."""
Arranged = tuple[Named, Sequence[Names], Sequence[Finding]]
"""Names that begin with a part and a class, those of all folders, and what is odd."""


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


def is_image(path: str) -> bool:
    """Whether a file of that path is taken for an image; hidden files and what macOS puts into archives are not."""
    pure = PurePosixPath(path)
    hidden = any(name.startswith(".") or name == "__MACOSX" for name in pure.parts)
    return pure.suffix.lower() in SUFFIXES and not hidden


def arrange(root: str, files: Iterable[str], folders: Iterable[str] = ()) -> Layout:
    """Sorts images by part and class, also below folders that hold nothing else.

    They lie in ``CLASS/...``, or, where they are divided, in ``PART/CLASS/...`` or ``CLASS/PART/...``.

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
    below = [names for folder in folders if (names := PurePosixPath(folder).parts[depth:])]
    parts = {names[0]: part for names in inner.values() if len(names) > 1 and (part := part_of(names[0]))}
    arranged = _by_class if not parts or _is_class(parts, inner) else _by_part
    named, known, findings = arranged(root, inner, below)
    return _layout(root, named, known, [*_other_files(files), *findings])


def _by_part(root: str, inner: Named, folders: Iterable[Names]) -> Arranged:
    """Sorts images in ``PART/CLASS``."""
    tops = sorted({names[0] for names in inner.values() if len(names) > 1})
    parts = {top: part for top in tops if (part := part_of(top))}
    others = [top for top in tops if top not in parts]
    if "train" not in parts.values():
        within = f" with one folder for each class, such as {', '.join(others[:3])}" if others else ""
        raise DataError(
            f"{root}: holds {' and '.join(parts)} and nothing to train on; expected a folder train/ beside it{within}; "
            "if it is a class, rename it"
        )
    twice = {top for top in parts if all(_is_twice(names) for names in inner.values() if names[0] == top)}
    named = {
        path: (parts[names[0]], *names[1 + (names[0] in twice) :]) for path, names in inner.items() if names[0] in parts
    }
    known = [(parts[names[0]], *names[1 + (names[0] in twice) :]) for names in folders if names[0] in parts]
    return named, known, [*_look_alikes(root, named), *_beside(others), *_parts_below_train(named)]


def _by_class(root: str, inner: Named, folders: Iterable[Names]) -> Arranged:
    """Sorts images in ``CLASS``, or in ``CLASS/PART`` where some lie in folders to validate or test on."""
    doubts = [*_look_alikes(root, inner), *_class_train(inner)]
    parts = {path: next(filter(None, map(part_of, names[1:-1])), None) for path, names in inner.items()}
    known = [("train", *names) for names in folders]
    if {*parts.values()} <= {None, "train"}:
        named = {path: ("train", *names) for path, names in inner.items()}
        odd = [*_beside_train(inner), *_same_below(inner), *_parts_below_class(named)]
        return named, known, [*doubts, *odd]
    rest = [path for path, part in parts.items() if part is None and len(inner[path]) > 1]
    left_out = set(rest if "train" in parts.values() else ())
    if not rest and "train" not in parts.values():
        example = next(path for path, part in parts.items() if part)
        raise DataError(
            f"{root}: holds nothing to train on, only {example} and the like; expected CLASS/train/IMAGE too"
        )
    named = {path: (parts[path] or "train", *names) for path, names in inner.items() if path not in left_out}
    odd = [*_in_no_part(rest, not left_out), *_folders_below(inner), *_parts_below_class(named)]
    return named, known, [*doubts, *odd]


def _is_class(parts: Iterable[str], inner: Named) -> bool:
    """Whether the only folder named like a part may be a class, and is one: others are beside and none within."""
    is_word = [top.strip().lower() in CLASSES for top in parts] == [True]
    has_others = any(len(names) > 1 and names[0] not in parts for names in inner.values())
    return is_word and has_others and all(len(names) == 2 for names in inner.values() if names[0] in parts)


def _class_train(inner: Named) -> Iterator[Finding]:
    classes = sorted({names[0] for names in inner.values() if len(names) > 1})
    for name in filter(part_of, classes):
        others = ", ".join(other for other in classes[:4] if other != name)
        remedy = f"if it is a part, sort its images into {name}/CLASS/IMAGE"
        yield Finding(
            "warning", f"folder {name}/ is taken for a class, as no folder is in it", f"beside {others}", remedy
        )


def _beside(others: Sequence[str]) -> Iterator[Finding]:
    if others:
        remedy = "left out; do not name a class like a part, such as train"
        yield Finding("warning", _count(others, "folder", "beside train/"), ", ".join(others[:3]), remedy)


def _is_twice(names: Names) -> bool:
    """Whether a part is named twice, one in the other, as some archives unpack: ``train/train/CLASS``."""
    return len(names) > 3 and part_of(names[1]) == part_of(names[0])


def _in_no_part(rest: Sequence[str], is_kept: bool) -> Iterator[Finding]:
    if rest:
        remedy = (
            "trained on, as no folder is named train" if is_kept else "left out; move them to train/, val/ or test/"
        )
        yield Finding("warning", _count(rest, "image", "in no folder of a part"), ", ".join(rest[:3]), remedy)


def _folders_below(inner: Named) -> Iterator[Finding]:
    """Finds folders in those of parts in those of classes: they may be the classes."""
    below = [path for path, names in inner.items() if any(map(part_of, names[1:-2]))]
    classes = sorted({names[0] for names in inner.values() if len(names) > 1})
    if below:
        what = f"folders within those of the parts are no classes; the classes are {', '.join(classes[:3])}"
        yield Finding("warning", what, below[0], "expected CLASS/PART/IMAGE, or PART/CLASS/IMAGE")


def _parts_below_train(named: Named) -> Iterator[Finding]:
    """Finds images to train on that lie in a folder which is named as another part."""
    odd = [
        path
        for path, names in named.items()
        if names[0] == "train" and any(part_of(name) in PARTS[1:] for name in names[1:-1])
    ]
    if odd:
        what = _count(odd, "image", "to train on in a folder named as another part")
        yield Finding("warning", what, ", ".join(odd[:3]), "trained on; move them, or give the folder another name")


def _parts_below_class(named: Named) -> Iterator[Finding]:
    return _parts_below_train({path: names for path, names in named.items() if not part_of(names[1])})


def _beside_train(inner: Named) -> Iterator[Finding]:
    """Finds folders beside one named ``train`` in that of a class: perhaps they should not be trained on."""
    folders = {names[:depth] for names in inner.values() for depth in range(2, len(names))}
    above = {folder[:-1] for folder in folders if part_of(folder[-1])}
    if beside := sorted({folder[-1] for folder in folders if folder[:-1] in above and not part_of(folder[-1])}):
        what = _count(beside, "folder", "beside train/ in those of classes")
        remedy = "trained on; if these are parts, name them val and test"
        yield Finding("warning", what, ", ".join(beside[:3]), remedy)


def _same_below(inner: Named) -> Iterator[Finding]:
    """Finds a few folders that all hold folders of the same names: these are perhaps the classes."""
    below: dict[str, set[str]] = {}
    for names in inner.values():
        if len(names) > 1:
            below.setdefault(names[0], set()).add(names[1] if len(names) > 2 else "")
    first = next(iter(below.values()), set())
    is_same = all(folders == first for folders in below.values())
    if 2 <= len(below) <= 4 and is_same and len(first) > 1 and not any(not name or part_of(name) for name in first):
        what = f"folders {', '.join(sorted(below))} hold folders of the same names, and are taken for classes"
        remedy = "if they are parts, name them train, val and test"
        yield Finding("warning", what, ", ".join(sorted(first)[:3]), remedy)


def _look_alikes(root: str, named: Named) -> Iterator[Finding]:
    """Finds folders that are perhaps parts, and stops where that is likely: as classes they would be learned."""
    for level in range(max(map(len, named.values()))):
        folders = {names[level] for names in named.values() if len(names) > level + 1}
        if odd := doubtful(folders):
            what = _count(odd, "folder", "named almost like a part")
            yield Finding("warning", what, ", ".join(odd[:4]), "taken for none; name parts train, val and test")
        if alike := look_alikes(folders):
            what = f"folders {', '.join(alike[:4])} are parts or classes"
            what = what if len(alike) > 1 else f"folder {alike[0]} is a part or a class"
            remedy = "name parts train, val and test, and classes by other words"
            raise DataError(f"{root}: cannot tell whether {what}; {remedy}")


def _layout(root: str, named: Named, folders: Iterable[Names], findings: list[Finding]) -> Layout:
    """Makes places of paths that begin with their part."""
    places = [Place(path, names[0], make_printable(names[1])) for path, names in named.items() if len(names) > 2]
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
    known = {make_printable(names[1]) for names in folders if len(names) == 2 and not names[1].startswith(".")}
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


def _count(found: Sized, noun: str, where: str) -> str:
    """Returns ``3 folders without images``."""
    return f"{len(found):,} {noun}{'' if len(found) == 1 else 's'} {where}"


def _formats() -> str:
    return "JPEG, PNG, GIF, BMP, WebP, AVIF, TIFF or PNM"

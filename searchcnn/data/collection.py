"""All labelled images of a source, brought to one size, before they are divided for a study."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import PARTS, Arrays, Mapped, Split
from searchcnn.data.findings import Finding
from searchcnn.data.near_copies import find_firsts, group_copies, make_thumbnail
from searchcnn.data.preparation import Preparation
from searchcnn.errors import DataError, nearest
from searchcnn.study import DataConfig

PIXELS, ROWS, FACTS = "pixels.bin", "rows.npz", "facts.json"
"""Files of a collection: uint8 of shape (images, height, width, channels); labels and more by image; the rest."""
UNREADABLE = "unreadable.csv"
"""File that lists what was left out, and why."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Labelled images.

    Attributes:
        images: Pixels 0..255, uint8 of shape (images, height, width, channels), in memory, mapped or `Mapped`.
        labels: Index of each image's class, int64 of shape (images,).
        parts: Index of each image's part in `PARTS`, int8 of shape (images,).
        hashes: Hash of each image's pixels, uint64 of shape (images,).
        copies: Index of the first image that each one is a copy or a near copy of, int64 of shape (images,).
        sizes: Original height and width of each image, int32 of shape (images, 2).
        names: Name of each image for people; empty if they have none, and each part is in one piece.
        class_names: Name of each class by label.
        preparation: How other images become such pixels.
        findings: What was odd in the source.
        unreadable: Number of files that were left out because they are damaged or not images.
        folder: Where it is kept on disk, if it is.
    """

    images: Any
    labels: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int8]
    hashes: npt.NDArray[np.uint64]
    copies: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    names: Sequence[str]
    class_names: tuple[str, ...]
    preparation: Preparation
    findings: tuple[Finding, ...] = ()
    unreadable: int = 0
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def find_part(self, part: str) -> npt.NDArray[np.int64]:
        """Returns the indices of the images of a part, int64 of shape (images,)."""
        return np.flatnonzero(self.parts == PARTS.index(part))

    def take(self, indices: npt.NDArray[np.int64], in_memory: bool) -> Split:
        """Returns the images at the indices, read into memory now or from disk when they are needed."""
        mapped, names = Mapped(self.images, indices), [self.name_image(int(index)) for index in indices]
        return Split(mapped[:] if in_memory else mapped, self.labels[indices], names, self.copies[indices])

    def name_image(self, index: int) -> str:
        """Returns what people call an image: its file, or its place in the arrays that it comes from."""
        if self.names:
            return self.names[index]
        part = int(self.parts[index])
        return name_place(PARTS[part], index - self._firsts[part])

    @cached_property
    def _firsts(self) -> list[int]:
        """The index of the first image of each of `PARTS`."""
        return [int((self.parts == part).argmax()) for part in range(len(PARTS))]

    def select_classes(self, class_names: tuple[str, ...]) -> "Collection":
        """Returns the images of some classes; their labels are the indices of ``class_names``."""
        if class_names == self.class_names:
            return self
        new_labels = {name: label for label, name in enumerate(class_names)}
        labels = np.array([new_labels.get(name, -1) for name in self.class_names], np.int64)[self.labels]
        rows = np.flatnonzero(labels >= 0)
        return replace(
            self,
            images=Mapped(self.images, rows),
            labels=labels[rows],
            parts=self.parts[rows],
            hashes=self.hashes[rows],
            copies=find_firsts(self.copies[rows]),
            sizes=self.sizes[rows],
            names=[self.name_image(int(row)) for row in rows],
            class_names=class_names,
        )

    def without_near_copies(self) -> "Collection":
        """Returns the images with only those of the same pixels as copies."""
        return replace(self, copies=find_firsts(self.hashes))

    def compute_fingerprint(self) -> str:
        """Returns 32 hexadecimal digits that change with any pixel, label, part, class name, shape or order."""
        digest = hashlib.blake2b(repr((self.class_names, self.images.shape[1:])).encode(), digest_size=16)
        for array in (self.hashes, self.labels, self.parts):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes it into a folder."""
        with (folder / PIXELS).open("wb") as file:  # not mapped: a full disk would kill the process
            for start in range(0, len(self), 1024):
                file.write(np.ascontiguousarray(self.images[start : start + 1024]).data)
        columns: Mapping[str, Any] = {
            "labels": self.labels,
            "parts": self.parts,
            "hashes": self.hashes,
            "copies": self.copies,
            "sizes": self.sizes,
        }
        write_rows(
            folder, columns, self.names, self.class_names, self.preparation, self.findings, unreadable=self.unreadable
        )

    @classmethod
    def load(cls, folder: Path) -> "Collection":
        """Opens a folder; the pixels are mapped.

        Raises:
            OSError: If there is none.
        """
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        preparation = Preparation(**facts["preparation"])
        with np.load(folder / ROWS) as rows:
            columns = {key: rows[key] for key in ("labels", "parts", "hashes", "copies", "sizes")}
        shape = (len(columns["labels"]), preparation.height, preparation.width, preparation.channels)
        return cls(
            np.memmap(folder / PIXELS, np.uint8, "r", shape=shape),
            **columns,
            names=facts["places"],
            class_names=tuple(facts["class_names"]),
            preparation=preparation,
            findings=tuple(Finding(**finding) for finding in facts["findings"]),
            unreadable=facts["unreadable"],
            folder=folder,
        )


def write_rows(
    folder: Path,
    columns: Mapping[str, Any],
    names: Sequence[str],
    class_names: Sequence[str],
    preparation: Preparation,
    findings: Sequence[Finding],
    unreadable: int,
) -> None:
    """Writes everything of a collection but its pixels; the values are the attributes of `Collection`.

    Args:
        folder: The folder, in which the pixels are.
        columns: ``labels``, ``parts``, ``hashes``, ``copies`` and ``sizes``, a row for each image.
        names: Name of each image.
        class_names: Name of each class by label.
        preparation: How other images become such pixels.
        findings: What was odd in the source.
        unreadable: Number of files that were left out.
    """
    np.savez(folder / ROWS, **columns)
    facts = {
        "places": list(names),
        "class_names": class_names,
        "preparation": asdict(preparation),
        "findings": [asdict(finding) for finding in findings],
        "unreadable": unreadable,
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def hash_pixels(pixels: npt.NDArray[np.uint8]) -> int:
    """Returns the first 64 bits of the SHA-256 of an image's pixels: no other hash is computed as fast."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(pixels).data).digest()[:8], "little")


def hash_images(images: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint64]:
    """Returns the hash of each image's pixels, uint64 of shape (images,)."""
    return np.fromiter((hash_pixels(image) for image in images), np.uint64)


def from_arrays(arrays: Arrays, class_names: tuple[str, ...], config: DataConfig) -> Collection:
    """Returns images that are in memory, brought to another size or number of channels if the study asks for it.

    Raises:
        ValueError: If not all of them have the same size.
    """
    splits = {part: arrays.parts[part] for part in PARTS if part in arrays.parts}
    shapes = {split.images.shape[1:] for split in splits.values()}
    if len(shapes) > 1:
        raise ValueError(f"holds images of several sizes: {' and '.join(map(str, sorted(shapes)))}")
    has_names = any(split.names for split in splits.values())
    originals = np.concatenate([split.images for split in splits.values()])
    height, width, channels = originals.shape[1:]
    preparation = make_preparation(config, (height, width), channels)
    images = resize(originals, preparation)
    hashes = hash_images(images)
    return Collection(
        images,
        np.concatenate([split.labels for split in splits.values()]),
        np.concatenate([np.full(len(split), PARTS.index(part), np.int8) for part, split in splits.items()]),
        hashes,
        group_copies(hashes, [make_thumbnail(image, (height, width)) for image in images]),
        np.full((len(images), 2), (height, width), np.int32),
        [name for part, split in splits.items() for name in _list_names(part, split)] if has_names else (),
        class_names,
        preparation,
        arrays.findings,
    )


def _list_names(part: str, split: Split) -> Sequence[str]:
    return split.names or [name_place(part, index) for index in range(len(split))]


def name_place(part: str, index: int) -> str:
    """Returns the name of an image that comes from an array.

    >>> name_place("train", 12)
    'train[12]'
    """
    return f"{part}[{index}]"


def make_preparation(config: DataConfig, size: tuple[int, int], channels: int) -> Preparation:
    """Returns how images become pixels of one size: what the study says, or else the given size and channels."""
    setting = config.image_size
    height, width = size if setting == "auto" else (setting, setting) if isinstance(setting, int) else setting
    return Preparation(height, width, channels if config.channels == "auto" else config.channels, config.resize)


def resize(images: npt.NDArray[np.uint8], preparation: Preparation) -> npt.NDArray[np.uint8]:
    """Returns images, uint8 of shape (samples, height, width, channels), in the size that they are brought to."""
    if images.shape[1:] == preparation.shape:
        return images
    from PIL import Image

    pictures = (Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in images)
    return np.stack([preparation.apply(picture) for picture in pictures])


def choose_classes(classes: int | Sequence[str] | None, class_names: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Returns the names of the classes that a study uses.

    Args:
        classes: How many, taken from the first, or their names; None for all.
        class_names: Name of each class by label.
        source: Where the dataset is, for messages.

    Raises:
        DataError: If there are fewer, or none of a name.
    """
    if classes is None:
        return class_names
    if isinstance(classes, int):
        if classes > len(class_names):
            raise DataError(
                f"data.classes = {classes}, but {source} holds {len(class_names)} classes; expected 2 to "
                f"{len(class_names)}, or leave data.classes out for all"
            )
        return class_names[:classes]
    if unknown := [name for name in classes if name not in class_names]:
        hint = nearest(unknown[0], class_names) or f"; known: {', '.join(class_names)}"
        raise DataError(f"data.classes: no class '{unknown[0]}' in {source}{hint}")
    return tuple(classes)

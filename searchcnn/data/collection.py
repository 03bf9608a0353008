"""All labelled images of a source, brought to one size, before they are divided for a study."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import PARTS, Arrays, Mapped, Split
from searchcnn.data.findings import Finding
from searchcnn.data.preparation import Preparation
from searchcnn.errors import DataError, nearest
from searchcnn.study import DataConfig

PIXELS, ROWS, FACTS = "pixels.bin", "rows.npz", "facts.json"
"""Files of a collection: uint8 of shape (images, height, width, channels); labels and more by image; the rest."""
UNREADABLE = "unreadable.csv"
"""File of what was left out, and why."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Labelled images.

    Attributes:
        images: Pixels 0..255, uint8 of shape (images, height, width, channels), in memory, mapped or `Mapped`.
        labels: Index of each image's class, int64 of shape (images,).
        parts: Index of each image's part in `PARTS`, int8 of shape (images,).
        hashes: Of each image's pixels, uint64 of shape (images,).
        sizes: Height and width of each image as it came, int32 of shape (images, 2).
        places: Name of each image for people; empty where they have none.
        class_names: Name of each class by label.
        preparation: How other images become such pixels.
        findings: What was odd in the source.
        unreadable: Number of files that are no images, or damaged, and were left out.
        folder: Where it is kept on disk, if it is.
    """

    images: Any
    labels: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int8]
    hashes: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int32]
    places: Sequence[str]
    class_names: tuple[str, ...]
    preparation: Preparation
    findings: tuple[Finding, ...] = ()
    unreadable: int = 0
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, part: str) -> npt.NDArray[np.int64]:
        """Returns the places of the images of a part, int64 of shape (images,)."""
        return np.flatnonzero(self.parts == PARTS.index(part))

    def split(self, indices: npt.NDArray[np.int64], in_memory: bool) -> Split:
        """Returns some of the images, read into memory or when they are asked for."""
        mapped = Mapped(self.images, indices)
        return Split(mapped[:] if in_memory else mapped, self.labels[indices])

    def name(self, index: int) -> str:
        """Returns how an image is called."""
        return self.places[index] if self.places else f"image {index:,}"

    def of_classes(self, kept: tuple[str, ...]) -> "Collection":
        """Returns the images of some classes; their labels are the places in ``kept``."""
        if kept == self.class_names:
            return self
        new = {name: label for label, name in enumerate(kept)}
        labels = np.array([new.get(name, -1) for name in self.class_names], np.int64)[self.labels]
        rows = np.flatnonzero(labels >= 0)
        return replace(
            self,
            images=Mapped(self.images, rows),
            labels=labels[rows],
            parts=self.parts[rows],
            hashes=self.hashes[rows],
            sizes=self.sizes[rows],
            places=[self.places[int(row)] for row in rows] if self.places else (),
            class_names=kept,
        )

    def fingerprint(self) -> str:
        """Returns 32 hexadecimal digits that change with any pixel, label, part, class name, shape or order."""
        digest = hashlib.blake2b(repr((self.class_names, self.images.shape[1:])).encode(), digest_size=16)
        for array in (self.hashes, self.labels, self.parts):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes it into a folder; where the pixels are there already, only the rest."""
        if not (folder / PIXELS).exists():
            with (folder / PIXELS).open("wb") as file:  # not mapped: a full disk would kill the process
                for start in range(0, len(self), 1024):
                    file.write(np.ascontiguousarray(self.images[start : start + 1024]).data)
        np.savez(folder / ROWS, labels=self.labels, parts=self.parts, hashes=self.hashes, sizes=self.sizes)
        facts = {
            "places": list(self.places),
            "class_names": self.class_names,
            "preparation": asdict(self.preparation),
            "findings": [asdict(finding) for finding in self.findings],
            "unreadable": self.unreadable,
        }
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Collection":
        """Opens a folder; the pixels are mapped.

        Raises:
            OSError: If there is none.
        """
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        preparation = Preparation(**facts["preparation"])
        with np.load(folder / ROWS) as rows:
            columns = {key: rows[key] for key in ("labels", "parts", "hashes", "sizes")}
        shape = (len(columns["labels"]), preparation.height, preparation.width, preparation.channels)
        return cls(
            np.memmap(folder / PIXELS, np.uint8, "r", shape=shape),
            **columns,
            places=facts["places"],
            class_names=tuple(facts["class_names"]),
            preparation=preparation,
            findings=tuple(Finding(**finding) for finding in facts["findings"]),
            unreadable=facts["unreadable"],
            folder=folder,
        )


def content_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """Returns 64 bits that identify an image's pixels, of its SHA-256, which processors compute fastest."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(pixels).data).digest()[:8], "little")


def hashes(images: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint64]:
    """Returns the hash of each image, uint64 of shape (images,)."""
    return np.fromiter((content_hash(image) for image in images), np.uint64)


def from_arrays(arrays: Arrays, class_names: tuple[str, ...], config: DataConfig) -> Collection:
    """Returns images that are in memory, brought to another size or number of channels where the study says so.

    Raises:
        ValueError: If those of the parts have several sizes.
    """
    named = [(part, arrays.parts[part]) for part in PARTS if part in arrays.parts]
    shapes = {split.images.shape[1:] for _, split in named}
    if len(shapes) > 1:
        raise ValueError(f"holds images of several sizes: {' and '.join(map(str, sorted(shapes)))}")
    came = np.concatenate([split.images for _, split in named])
    height, width, channels = came.shape[1:]
    preparation = prepared(config, (height, width), channels)
    images = came if came.shape[1:] == preparation.shape else _resized(came, preparation)
    return Collection(
        images,
        np.concatenate([split.labels for _, split in named]),
        np.concatenate([np.full(len(split), PARTS.index(part), np.int8) for part, split in named]),
        hashes(images),
        np.full((len(images), 2), (height, width), np.int32),
        (),
        class_names,
        preparation,
        arrays.findings,
    )


def prepared(config: DataConfig, size: tuple[int, int], channels: int) -> Preparation:
    """Returns how images become pixels of one size: what the study says, or else of the given size and channels."""
    wanted = config.image_size
    height, width = size if wanted == "auto" else (wanted, wanted) if isinstance(wanted, int) else wanted
    return Preparation(height, width, channels if config.channels == "auto" else config.channels, config.resize)


def _resized(images: npt.NDArray[np.uint8], preparation: Preparation) -> npt.NDArray[np.uint8]:
    from PIL import Image

    pictures = (Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in images)
    return np.stack([preparation.pixels(picture) for picture in pictures])


def select_classes(classes: int | Sequence[str] | None, class_names: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Returns the names of the classes that a study wants.

    Args:
        classes: The first so many, or their names; None for all.
        class_names: Name of each class by label.
        source: Where the dataset is, for messages.

    Raises:
        DataError: If there are not so many, or none of a name.
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

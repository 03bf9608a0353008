"""Reads image files that are sorted into folders: ``<name>/train/<class>/*.png``, ``<name>/test/<class>/*.png``."""

from pathlib import Path

from searchcnn.data.dataset import Undivided
from searchcnn.data.image_files import PARTS, Files, held_out, read_images


def find(folder: Path, name: str) -> Path | None:
    """Returns the folder of a dataset's images, or None."""
    path = folder / name
    parts = _parts(path)
    return path if "train" in parts and held_out(parts) else None


def read(folder: Path, name: str) -> Undivided:
    """Reads all images below ``train/`` and ``test/``; the names of their folders, sorted, are the classes.

    Raises:
        DataError: If an image is damaged or differs in size or mode, or the classes of both parts differ.
    """
    return read_images(folder, {part: _files(folder / part) for part in _parts(folder)})


def _parts(folder: Path) -> list[str]:
    return [part for part in PARTS if (folder / part).is_dir()]


def _files(folder: Path) -> Files:
    return {path.name: {file.name: file for file in path.iterdir()} for path in folder.iterdir() if path.is_dir()}

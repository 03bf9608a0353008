"""Copies images into folders of the classes that a model predicts for them."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from searchcnn.files import clean_name, guard_writing
from searchcnn.results.prediction import Prediction

UNSURE = "unsure"
"""Name of the folder for images that the model is unsure of."""


class Sorter:
    """Copies images, one after the other.

    Args:
        folder: A folder that `searchcnn.results.wrong.make_folder` has made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folders: dict[str, Path] = {}
        self._taken: set[str] = set()

    def copy(self, prediction: Prediction) -> Path:
        """Copies an image into the folder of its most probable class, or into that of the unsure ones.

        Args:
            prediction: Of a file that could be read.

        Returns:
            The copy; it has the file's name, with a number if another file of that name is there.

        Raises:
            StoreError: If it cannot be written.
        """
        folder = self._find_folder(prediction)
        path = folder / self._take(folder, prediction.file.name)
        with guard_writing(path):
            folder.mkdir(exist_ok=True)
            shutil.copy2(prediction.file, path)
        return path

    def _find_folder(self, prediction: Prediction) -> Path:
        if not self._folders:
            self._name_folders(prediction.probabilities)
        if prediction.sure is False or prediction.unlike:
            return self._folder / UNSURE
        return self._folders[next(iter(prediction.probabilities))]

    def _name_folders(self, classes: Iterable[str]) -> None:
        """Names a folder for each class; none that another class has, or that of the unsure images."""
        self._take(self._folder, UNSURE)
        for name in sorted(classes):
            self._folders[name] = self._folder / self._take(self._folder, clean_name(name))

    def _take(self, folder: Path, name: str) -> str:
        """Returns a name that is free in a folder, on systems that do not tell capitals from small letters, too."""
        path, number = Path(name), 1
        while str(folder / name).casefold() in self._taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        self._taken.add(str(folder / name).casefold())
        return name

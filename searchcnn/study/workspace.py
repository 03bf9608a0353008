"""Where things are: the user's folder, and what comes with searchcnn.

A workspace is the folder a command is run in. Its ``studies/`` holds study files, databases and models; its
``plugins/`` holds search spaces. Downloads go to the user's cache; everything else
that is written is written here.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from searchcnn._bundled import locate_bundled
from searchcnn.errors import StudyFileError, nearest

if TYPE_CHECKING:
    from searchcnn.study.config import DataConfig

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Workspace:
    """The folder that a command works in."""

    root: Path

    @property
    def studies(self) -> Path:
        """Folder of study files, databases and models."""
        return self.root / "studies"

    @property
    def plugins(self) -> Path:
        """Folder of the user's own search spaces."""
        return self.root / "plugins"

    def database(self, study: str) -> Path:
        """Returns a study's own SQLite file."""
        return self.studies / f"{study}.db"

    def database_url(self, study: str) -> str:
        """Returns the URL of a study's own SQLite file."""
        from sqlalchemy import URL  # late: takes a while, and most commands need no database

        return URL.create("sqlite", database=str(self.database(study))).render_as_string()

    def best_model(self, study: str) -> Path:
        """Returns where a study's best model is once there is one."""
        return self.studies / study / "best.keras"

    def predictions(self, study: str, part: str) -> Path:
        """Returns where it is kept what a study's best model predicts for the images of a part of its dataset.

        Args:
            study: Name of the study.
            part: ``train``, ``validation`` or ``test``.
        """
        return self.studies / study / "predictions" / f"{part}.npz"

    def pictures(self, study: str, part: str) -> Path:
        """Returns where the pictures for a study's report are kept, of the images of a part of its dataset."""
        return self.studies / study / "pictures" / f"{part}.npz"

    def report(self, study: str) -> Path:
        """Returns where a study's report is written."""
        return self.studies / study / "report.html"

    def split(self, study: str) -> Path:
        """Returns where it is kept which image of a study is in which part."""
        return self.studies / study / "split.csv"

    def out_of_fold(self, study: str, folds: int | str) -> Path:
        """Returns where it is kept what networks predict for images of folds that they were not trained on.

        Args:
            study: Name of the study.
            folds: Number of folds; ``*`` for a pattern.
        """
        return self.studies / study / "predictions" / f"folds-{folds}.npz"

    def images(self, study: str) -> Path:
        """Returns where a study keeps images that it was given as arrays."""
        return self.studies / study / "images.npz"

    def checkpoints(self, study: str) -> Path:
        """Returns the folder of the checkpoints of a study's running trials."""
        return self.studies / study / "checkpoints"

    def log(self, study: str) -> Path:
        """Returns the file of what a study's workers print."""
        return self.studies / study / "workers.log"

    def locate(self, data: "DataConfig") -> "DataConfig":
        """Returns a configuration whose images are found from the current folder: a relative path begins here."""
        if data.path is None or self.root == Path.cwd() or not (self.root / data.path).exists():
            return data
        return data.model_copy(update={"path": str(self.root / data.path)})

    def shorten(self, path: Path) -> Path:
        """Returns a path as people read it: from the workspace on, if it is in it."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path

    def list_study_files(self) -> dict[str, Path]:
        """Returns all study files by name; the workspace's come before the built-in ones."""
        folders = (locate_bundled("studies"), self.studies)
        return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}

    def find(self, study: str) -> tuple[str, Path]:
        """Finds a study by name or by path.

        Returns:
            Its name and its file.

        Raises:
            StudyFileError: If there is none, with the nearest name.
        """
        if study.endswith(".toml") or "/" in study:
            path = Path(study).expanduser()
            if not path.is_file():
                raise StudyFileError(f"{study}: no such study file; `searchcnn studies` lists the studies by name")
            return check_name(path.stem), path
        files = self.list_study_files()
        if study not in files:
            hint = nearest(study, files) or f"; known: {', '.join(sorted(files))}"
            raise StudyFileError(f"no study named '{study}' in {self.studies} or among the built-in ones{hint}")
        return study, files[study]


def check_name(name: str) -> str:
    """Returns the name of a study if it can name a database and a folder, too.

    Raises:
        StudyFileError: If it cannot.
    """
    if not NAME.fullmatch(name):
        raise StudyFileError(f"'{name}' cannot name a study; use letters, digits, '_', '-' and '.'")
    return name

"""What one word of a command names: a study, or images to search."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from searchcnn.errors import StoreError, StudyFileError, UsageError, nearest
from searchcnn.sources.objects import is_factory
from searchcnn.store import parse_url, read_if_begun
from searchcnn.study import DataConfig, Workspace, load


@dataclass(frozen=True)
class Subject:
    """What is to be searched, or was.

    Attributes:
        study: Name or file of a study; None if it is images.
        data: Images, as in ``[data] path``; None if it is a study.
    """

    study: str | None = None
    data: str | None = None

    @classmethod
    def of(cls, word: str, workspace: Workspace, storage: str | None = None) -> Self:
        """Returns what a word names: a study by name or file, or a file, folder or function of images.

        Args:
            word: The word.
            workspace: The user's folder.
            storage: URL of the database; by default, a file in the workspace.

        Raises:
            UsageError: If it names both, and the study is not of these images; or if it names code.
            StudyFileError: If it names nothing.
        """
        if word.endswith(".toml"):
            return cls(study=word)
        if word.endswith((".py", ".ipynb")):
            raise UsageError(f"{word} is code, not images; name a search space in it with --space {word}:NAME")
        images, study = _find_images(word, workspace), _find_study(word, workspace, storage)
        if images is None and study is None:
            raise _explain_unknown(word, workspace)
        if images is None:
            return cls(study=word)
        if study is not None and not _holds(study, images, workspace):
            what = "folder" if images.is_dir() else "file"
            raise UsageError(f"'{word}' is a study and a {what} here; say which: --study {word} or --data {word}")
        return cls(data=word)


def _find_images(word: str, workspace: Workspace) -> Path | None:
    """Returns the file or folder that a word names, or the word itself if it names a function; None if neither."""
    path = workspace.root / Path(word).expanduser()
    return path if is_factory(word) or (word and path.exists()) else None


def _find_study(word: str, workspace: Workspace, storage: str | None) -> DataConfig | None:
    """Returns the images of the study that a word names; None if there is no such study."""
    if Path(word).name != word:
        return None
    file = workspace.list_study_files().get(word)
    try:
        begun = read_if_begun(parse_url(storage or workspace.database_url(word)), word)
    except StoreError:  # of an earlier version, which can be continued by its file
        if file is None:
            raise
        begun = None
    return begun.config.data if begun else load(file).data if file else None


def _holds(data: DataConfig, images: Path, workspace: Workspace) -> bool:
    return data.path is not None and (workspace.root / Path(data.path).expanduser()).resolve() == images.resolve()


def _explain_unknown(word: str, workspace: Workspace) -> StudyFileError:
    path = Path(word)
    folder = workspace.root / path.expanduser().parent
    beside = [str(path.parent / other.name) for other in folder.iterdir()] if folder.is_dir() else []
    studies = workspace.list_study_files() if path.name == word else {}
    hint = nearest(word, [*studies, *beside]) or "; `searchcnn studies` lists the studies"
    return StudyFileError(f"'{word}' is neither a study nor a file or folder of images here{hint}")

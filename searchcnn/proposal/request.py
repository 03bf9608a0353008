"""What somebody wants to have searched, a study or images, becomes a job."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from searchcnn.errors import StudyChangedError, StudyFileError, UsageError
from searchcnn.events import Hear, Note, ignore
from searchcnn.job import Job
from searchcnn.proposal.start import PRETRAINED
from searchcnn.proposal.study_file import propose
from searchcnn.sources import load_dataset, objects
from searchcnn.store import StudySummary, find_sqlite_file, is_running, parse_url, read_if_begun
from searchcnn.study import DataConfig, StudyConfig, Workspace, check_name, configure, load, read_table
from searchcnn.study.begun import as_begun

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

MINIMAL: Mapping[str, Any] = {"spaces": ["?"], "budget": {"trials": 1}}
"""The least that a study file must say, until the rest is proposed."""


@dataclass(frozen=True)
class Request:
    """What somebody wants to have searched.

    Attributes:
        workspace: The user's folder.
        study: Name or file of the study whose settings are used.
        data: Images to search, as in ``[data] path``; None: those of the study.
        name: What the results are kept under; by default, the name of the study, or that of the images.
        weights: The user's choice of pretrained weights; see `searchcnn.proposal.start.find_weights`.
        settings: Values of keys of a study file, by dotted key; they take precedence.
        storage: URL of the database; by default, a file in the workspace.
        plugins: Further folders of search spaces.
        accept_changes: Continue a study although its search space, data or recipe is no longer what it was.
    """

    workspace: Workspace
    study: str | None = None
    data: str | None = None
    name: str | None = None
    weights: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None
    plugins: Sequence[Path] = ()
    accept_changes: bool = False

    def make_job(self, hear: Hear = ignore) -> Job:
        """Returns the job that does it.

        The settings of images are those of the study, if one is named, or else those of the workspace's study file for
        them, if there is one, or else those that a study of them was begun with; otherwise they are proposed. What is
        not set of a study that has begun is as it was then.

        Args:
            hear: Hears how far the images are read, what was found in them, and in one line what the search begins
                with, and why.

        Raises:
            SearchcnnError: If there is no such study, the images cannot be used, a key or value is not valid, or the
                name is that of a study file for other images.
        """
        name, config = self._configure_study() if self.data is None else self._configure_images(self.data, hear)
        job = Job(name, config, self.workspace, self.storage, self.plugins, self.accept_changes)
        if is_running(job.url, name):
            hear(Note(f"{name}: is being searched already; this command joins that search"))
        return job.continue_begun(hear)

    def with_settings(self, settings: Mapping[str, Any], accept_changes: bool = False) -> Self:
        """Returns the request with more settings; those that are None stay as they are."""
        more = {key: value for key, value in settings.items() if value is not None}
        return replace(self, settings={**self.settings, **more}, accept_changes=accept_changes)

    def check_images(self, begun: DataConfig) -> None:
        """Checks that a study was begun with the images that are asked for, unless its own are no longer there.

        Raises:
            StudyChangedError: If it was begun with others.
        """
        data = self._find_images()
        if data is None or (data.name == begun.name and data.path == begun.path):
            return
        original = begun.path or str(begun.name)
        is_gone = begun.path is not None and not _resolve(self.workspace, begun.path).exists()
        if not is_gone and (None in (data.path, begun.path) or not _is_same(self.workspace, str(data.path), original)):
            raise StudyChangedError(
                f"study '{self.find_name()}' was started with other images, {original}, not {data.path or data.name}; "
                "give these another name"
            )

    def replace_images(self, begun: DataConfig) -> DataConfig:
        """Returns the images that a study was begun with, where they are now."""
        return begun if self.data is None else begun.model_copy(update={"path": self.data})

    def _find_images(self) -> DataConfig | None:
        """Returns the images that are asked for; None if only a study is named."""
        if self.data is not None:
            return DataConfig(path=self.data)
        return load(self.workspace.find(str(self.study))[1]).data if self.study and self.name else None

    def find_name(self) -> str:
        """Returns the name that the results are kept under.

        Raises:
            SearchcnnError: If there is no such study, or nothing can be named so.
        """
        if self.name is not None or self.data is not None:
            return check_name(self.name or name_study(str(self.data)))
        study = self._require_study()
        if study.endswith(".toml") or "/" in study:
            return self.workspace.find(study)[0]
        file = find_sqlite_file(self._url_of(study))
        is_there = file is None or file.exists() or self.workspace.best_model(study).exists()
        return study if is_there else self.workspace.find(study)[0]

    def _require_study(self) -> str:
        if self.study is None:
            raise UsageError("name a study (`searchcnn studies` lists them), or give your images as data")
        return self.study

    def _url_of(self, name: str) -> "URL":
        return parse_url(self.storage or self.workspace.database_url(name))

    def _configure_study(self) -> tuple[str, StudyConfig]:
        study = self._require_study()
        if self.weights is not None:
            raise UsageError("weights go with images; for a study, set its option options.transfer.weights")
        begun = None if self._names_a_file else self._read_if_begun(study)
        if begun is not None:
            return check_name(self.name or study), self._configure_begun(begun, begun.config.data.path)
        name, file = self.workspace.find(study)
        return check_name(self.name or name), load(file, self.settings)

    @property
    def _names_a_file(self) -> bool:
        study = str(self.study)
        return study.endswith(".toml") or "/" in study or study in self.workspace.list_study_files()

    def _configure_images(self, images: str, hear: Hear) -> tuple[str, StudyConfig]:
        name = check_name(name_study(images) if self.name is None else self.name)
        file = _find_file(self.workspace, name, images)
        self._check_weights_can_be_given(file)
        if self.study is not None:
            _, other = self.workspace.find(self.study)
            if file is None or not file.samefile(other):
                if file is not None and file.stem == name:
                    raise _explain_conflict(file, name, f"holds other settings than {self.study}")
                return name, configure(_replace_images(other, images), str(other), self.settings)
        if file is not None:
            hear(Note(f"{name}: as {file} says"))
            return name, load(file, self.settings)
        if begun := self._read_if_begun(name):
            _check_weights(begun.config, self.weights, name)
            hear(Note(f"{name}: continues as it was started; only the budget may change"))
            return name, self._configure_begun(begun, images)
        return name, self._configure_proposed(name, images, hear)

    def _check_weights_can_be_given(self, file: Path | None) -> None:
        """Raises an error if weights are given although a study says what is searched.

        Raises:
            UsageError: If they are.
        """
        if self.weights is not None and (file or self.study):
            raise UsageError(
                f"weights {self.weights}: {self.study or file} says what is searched; set its option "
                "options.transfer.backbones or options.transfer.weights"
            )

    def _read_if_begun(self, name: str) -> StudySummary | None:
        return read_if_begun(self._url_of(name), name)

    def _configure_begun(self, begun: StudySummary, images: str | None) -> StudyConfig:
        """Returns the configuration that a study was begun with; its images may have moved."""
        config = begun.config
        data = config.data.model_dump(include={"name"}, exclude_none=True) if images is None else {"path": images}
        keys = {"spaces", "budget", "description", "published"}
        table = {**config.model_dump(include=keys, exclude_none=True), "data": data}
        return as_begun(configure(table, begun.name, self.settings), config.model_dump())

    def _configure_proposed(self, name: str, images: str, hear: Hear) -> StudyConfig:
        config = configure({**MINIMAL, "data": {"path": images}}, images, self.settings)
        inspection = load_dataset(self.workspace.locate(config.data), config.seed, hear).inspection
        spaces = () if config.spaces == MINIMAL["spaces"] else config.spaces
        proposal = propose(name, images, inspection, config.budget.timeout, self.weights, spaces)
        hear(Note(f"{config.data.title}: {proposal.start.reason}"))
        return configure(tomllib.loads(proposal.text), images, self.settings)


def name_study(images: str) -> str:
    """Returns a name for the study of images: the name of their folder, file or function, made valid.

    >>> name_study("data/My pets.tar.gz"), name_study("package.module:load_pets")
    ('My-pets', 'load_pets')
    """
    path = images if objects.is_factory(images) else str(Path(images).expanduser().resolve())
    return re.sub(r"[^A-Za-z0-9_-]+", "-", DataConfig(path=path).title).strip("-_") or "images"


def _replace_images(file: Path, images: str) -> dict[str, Any]:
    """Returns what a study file says, with other images and without what it says about its own."""
    table = {key: value for key, value in read_table(file).items() if key not in ("description", "published")}
    return {**table, "data": {"path": images}}


def _check_weights(begun: StudyConfig, choice: str | None, name: str) -> None:
    """Raises an error if other weights are given than those that a study was begun with.

    Raises:
        StudyChangedError: If they are.
    """
    options: dict[str, Any] = begun.options.get(PRETRAINED, {})
    original = [options.get("weights", "imagenet"), *options.get("backbones", ())] if options else ["none"]
    if choice is not None and choice not in original:
        weights = ", ".join(map(str, original))
        raise StudyChangedError(
            f"study '{name}' was started with other weights ({weights}); leave out --weights {choice}, or start a "
            f"new study with --name {name}-2"
        )


def _find_file(workspace: Workspace, name: str, images: str) -> Path | None:
    """Returns the study file with this name, or else the one with the images' name if it is for these images.

    Raises:
        StudyFileError: If the study file with this name is for other images.
    """
    for stem in (name, name_study(images)):
        file = workspace.studies / f"{stem}.toml"
        if file.exists():
            data = load(file).data
            if data.path is not None and _is_same(workspace, data.path, images):
                return file
            if stem == name:
                raise _explain_conflict(file, name, f"is for other images, {data.path or data.name}")
    return None


def _is_same(workspace: Workspace, path: str, other: str) -> bool:
    return path == other or _resolve(workspace, path) == _resolve(workspace, other)


def _resolve(workspace: Workspace, path: str) -> Path:
    return (workspace.root / Path(path).expanduser()).resolve()


def _explain_conflict(file: Path, name: str, why: str) -> StudyFileError:
    return StudyFileError(f"{file} {why}; keep this search under another name: --name {name}-2")

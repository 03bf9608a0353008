"""A study as an object: what the command line does, for scripts and notebooks."""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeGuard, overload

from searchcnn.best_model import BestModel
from searchcnn.errors import StoreError, StudyChangedError, UsageError
from searchcnn.events import Epoch, Hear, ignore
from searchcnn.files import guard_writing
from searchcnn.job import Job
from searchcnn.proposal.request import Request
from searchcnn.results.leaderboard import Leaderboard, find_trial
from searchcnn.results.records import list_epochs, tabulate
from searchcnn.session import search_job
from searchcnn.sources.npz import save_object
from searchcnn.sources.objects import is_factory
from searchcnn.sources.source import find_images
from searchcnn.store import (
    StudySummary,
    TrialSummary,
    find_sqlite_file,
    parse_url,
    read_curves,
    read_if_begun,
    read_summary,
)
from searchcnn.study import StudyConfig, Workspace, check_name
from searchcnn.text import format_count, format_score

if TYPE_CHECKING:
    from searchcnn.report import Contents

ARRAYS = "images"
"""Name of a study of arrays that have none."""


class Trials(Sequence[TrialSummary]):
    """The trials of a study, by number.

    Args:
        trials: The trials.
    """

    def __init__(self, trials: Iterable[TrialSummary]) -> None:
        self._trials = list(trials)

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> TrialSummary: ...

    @overload
    def __getitem__(self, index: slice) -> Trials: ...

    def __getitem__(self, index: int | slice) -> TrialSummary | Trials:
        """Returns a trial, or some of them."""
        return Trials(self._trials[index]) if isinstance(index, slice) else self._trials[index]

    def __repr__(self) -> str:
        return f"Trials({self._trials!r})"

    def to_pandas(self) -> Any:
        """Returns the trials as a ``pandas.DataFrame``: a row for each, a column for each hyperparameter and fact.

        Raises:
            ImportError: If pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame([_flatten(trial) for trial in self._trials])


class Study(BestModel):
    """A study: search it, look at it, use what it has found.

    ```python
    study = searchcnn.Study(data="photos/")
    study.optimize(timeout="10m")
    print(study.best, study.evaluate().accuracy)
    ```

    The same call gives the same study, which goes on where it stopped: all that it has found is in its database.

    Args:
        name: A study by name or its TOML file; with ``data`` or ``like``, the name to keep the results under.
        data: Images to search: the path of a folder, archive, table or ``.npz`` file; a function that returns images
            and labels, such as ``"package.module:function"``; or images and labels: ``(x, y)``, ``((x_train, y_train),
            (x_test, y_test))``, a dict of ``x_train``, ``y_train`` and so on, optionally with ``class_names``, or a
            `tf.data.Dataset` of ``(image, label)``. These are written to ``studies/NAME/images.npz``, where all workers
            find them.
        like: Name or file of the study whose settings are used.
        settings: Values of keys of a study file, as in ``{"training.epochs": 5, "budget.trials": 20}``.
        weights: Pretrained weights to begin with: a ``.keras`` network, a file of weights, "imagenet" or "none"; by
            default those that are available, if the images are photos.
        workspace: The folder that studies are kept in; the current folder by default.
        storage: URL of the database; by default, a file in the workspace.
        plugins: Further folders of search spaces.

    Attributes:
        name: The study's name.
        workspace: The folder that it is kept in.
        storage: URL of its database; None for a file in the workspace.

    Raises:
        SearchcnnError: If there is no such study, or the images are not there.
    """

    def __init__(
        self,
        name: str | os.PathLike[str] | None = None,
        *,
        data: Any = None,
        like: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        weights: str | None = None,
        workspace: str | os.PathLike[str] | None = None,
        storage: str | None = None,
        plugins: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self.workspace = _make_workspace(workspace)
        self.storage = storage
        if not isinstance(settings or {}, Mapping):
            raise UsageError("settings must be a dict of keys and values, such as {'training.epochs': 5}")
        is_new = data is not None or like is not None
        if data is not None and not _is_path(data):
            name = name or ARRAYS
        study = like if is_new else name
        self._request = Request(
            self.workspace,
            study=None if study is None else os.fspath(study),
            data=None if data is None else self._find_images(data, name),
            name=str(name) if is_new and name is not None else None,
            weights=weights,
            settings=settings or {},
            storage=storage,
            plugins=[Path(folder).expanduser() for folder in ([plugins] if _is_path(plugins) else plugins)],
        )
        self.name = self._request.find_name()

    def __repr__(self) -> str:
        try:
            summary = self._read()
        except StudyChangedError as error:
            return f"<Study {self.name!r}: {error}>"
        trials = format_count(summary.finished_count if summary else 0, "trial")
        best = summary.best if summary else None
        score = f", best {summary.config.objective.metric} {format_score(best.value)}" if summary and best else ""
        return f"<Study {self.name!r}: {trials}{score}>"

    @property
    def config(self) -> StudyConfig:
        """What `optimize` searches: as it was begun, or as the study file says, or as it is proposed for the images.

        Raises:
            SearchcnnError: If the images cannot be used, or a setting is not valid.
        """
        return self.make_job().config

    @property
    def is_begun(self) -> bool:
        """Whether it is in its database."""
        return read_if_begun(self._url, self.name) is not None

    @property
    def summary(self) -> StudySummary:
        """All that the database says of it, as it is now.

        Raises:
            StoreError: If it has not been started, or the database cannot be read.
        """
        file = find_sqlite_file(self._url)
        if file is not None and not file.exists():
            start = f"`searchcnn optimize --study {self._request.study}`" if self._request.study else "optimize"
            raise StoreError(f"study '{self.name}' has not been started here: {file} is missing; start it with {start}")
        summary = read_summary(self._url, self.name)
        self._request.check_images(summary.config.data)
        return summary

    @property
    def trials(self) -> Trials:
        """Its trials, by number; none before it was started."""
        summary = self._read()
        return Trials(summary.trials if summary else ())

    @property
    def best(self) -> TrialSummary | None:
        """The best complete trial; None before the first."""
        summary = self._read()
        return summary.best if summary else None

    def leaderboard(self) -> Any:
        """Returns its trials as a table, the best one first, then those that do not count by what they have reached.

        The columns are those of `searchcnn status --csv`: ``trial``, ``state``, the objective, ``rank``, ``tie``
        (whether it is as good as the best one, as far as the validation images can tell), ``gap`` (how much better the
        objective is in training), ``epochs``, ``seconds``, ``params``, ``macs``, ``space``, ``origin``, why it ended,
        and each hyperparameter.

        Returns:
            A ``pandas.DataFrame`` if pandas is installed, else a list of dicts.

        Raises:
            StoreError: If it has not been started, or the database cannot be read.
        """
        board = self.compare_trials()
        return tabulate([board.records[trial.number] for trial in board.sort()])

    def curves(self) -> Any:
        """Returns the learning curves of its trials as a table: a row for each epoch that was validated.

        The columns are ``trial``, ``epoch``, ``seconds``, ``learning_rate`` and every metric.

        Returns:
            A ``pandas.DataFrame`` if pandas is installed, else a list of dicts.

        Raises:
            StoreError: If it has not been started, or the database cannot be read.
        """
        return tabulate(list_epochs(self.read_curves()))

    def compare_trials(self) -> Leaderboard:
        """Returns its trials compared: what `leaderboard` and `searchcnn status` show.

        Raises:
            StoreError: If it has not been started, or the database cannot be read.
        """
        summary = self.summary
        return Leaderboard.of(summary, self.read_curves(), self.model_path)

    def read_curves(self, trial: int | None = None) -> dict[int, list[Epoch]]:
        """Returns the epochs of its trials by number, or of one of them.

        Raises:
            StoreError: If it has not been started, or the database cannot be read.
        """
        return read_curves(self._url, self.summary.name, trial)

    def optimize(
        self,
        *,
        timeout: str | float | None = None,
        trials: int | None = None,
        workers: int | None = None,
        gpus: str | int = "all",
        slots_per_gpu: int = 1,
        accept_changes: bool = False,
        show: bool = True,
        hear: Hear | None = None,
    ) -> Self:
        """Searches until the budget is spent, and shows how it goes.

        The first Ctrl-C, or the first interruption of a notebook's cell, ends the search in good order.

        Args:
            timeout: Total time, earlier runs included: seconds, or a text such as "10m" or "1h30m".
            trials: Total number of trials, earlier runs included.
            workers: Number of worker processes; by default one for each share of a GPU, or one on the CPU. 0 searches
                in this process, which is what debuggers want.
            gpus: The GPUs to use: ``"all"``, ``"none"``, or numbers as `nvidia-smi` has them, as in ``"0,1"``.
            slots_per_gpu: Workers on each GPU.
            accept_changes: Continue even if the search space, data or recipe has changed.
            show: Whether to show how it goes.
            hear: Hears all that happens, too; see `searchcnn.events`.

        Returns:
            The study.

        Raises:
            SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials
                failed; what was finished is safe.
        """
        make_job = partial(self.make_job, timeout=timeout, trials=trials, accept_changes=accept_changes)
        search_job(make_job, show=show, hear=hear, workers=workers, gpus=str(gpus), slots_per_gpu=slots_per_gpu)
        return self

    def join(
        self,
        *,
        workers: int | None = None,
        gpus: str | int = "all",
        slots_per_gpu: int = 1,
        show: bool = True,
        hear: Hear | None = None,
    ) -> Self:
        """Joins its search from another process or machine, with the settings and the budget in the database.

        Args:
            workers: As in `optimize`.
            gpus: As in `optimize`.
            slots_per_gpu: As in `optimize`.
            show: Whether to show how it goes.
            hear: Hears all that happens, too.

        Returns:
            The study, when there is nothing left to do.

        Raises:
            SearchcnnError: As `optimize`; or if it has not been started.
        """
        search_job(
            self.make_begun_job, show=show, hear=hear, workers=workers, gpus=str(gpus), slots_per_gpu=slots_per_gpu
        )
        return self

    def make_job(
        self,
        hear: Hear = ignore,
        *,
        timeout: str | float | None = None,
        trials: int | None = None,
        accept_changes: bool = False,
    ) -> Job:
        """Returns what `optimize` searches, as data; images that are new are read, and a search is proposed for them.

        Args:
            hear: Hears how far that is, and what is found.
            timeout: As in `optimize`.
            trials: As in `optimize`.
            accept_changes: As in `optimize`.

        Raises:
            SearchcnnError: If the images cannot be used, or a setting is not valid.
        """
        budget = {"budget.timeout": timeout, "budget.trials": trials}
        return self._request.with_settings(budget, accept_changes).make_job(hear)

    def make_begun_job(self, _hear: Hear = ignore) -> Job:
        """Returns what `join` searches: the study as it is in the database.

        Raises:
            StoreError: If it has not been started.
        """
        return Job(self.name, self.summary.config, self.workspace, self.storage, self._request.plugins)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Writes its report: one HTML page with all that was found, which needs no other files and no network.

        Args:
            path: The file; ``studies/NAME/report.html`` by default.

        Returns:
            The path.

        Raises:
            StoreError: If it has not been started, or the file cannot be written.
        """
        from searchcnn.report import write_report

        target = self.workspace.report(self.name) if path is None else Path(path).expanduser()
        write_report(self._read_contents(), target)
        return target

    def build(self, trial: int) -> Any:
        """Builds the network of a trial anew, untrained: from pixels 0..255 to class probabilities, as the saved ones.

        Args:
            trial: The trial's number.

        Returns:
            The network, a ``keras.Model``, not compiled.

        Raises:
            UsageError: If there is no such trial, or its hyperparameters are not known.
            SearchcnnError: If its images or its search space are not there any more.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results.rebuilding import rebuild

        summary = self.summary
        return rebuild(summary, find_trial(summary, trial), self.workspace, self._request.plugins)

    def copy(self, name: str) -> Study:
        """Copies its database, models and checkpoints under another name, even while a search is running.

        The copy is an independent study: searching one of them does not change the other.

        Raises:
            SearchcnnError: If there is something of that name, or the copy cannot be written.
        """
        from searchcnn.store.copies import copy_study

        database = find_sqlite_file(self._url)
        if database is None:
            raise UsageError(f"study '{self.name}' is in {self.storage}: copy it with that server's own tools")
        folder, target = self.workspace.studies / self.name, self.workspace.studies / check_name(name)
        if target.exists():
            raise UsageError(f"{target} already exists; choose another name")
        copy_study(database, self.name, self.workspace.database(name), name)
        if folder.is_dir():
            with guard_writing(target):
                shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".*"))
        return Study(name, workspace=self.workspace.root, plugins=self._request.plugins)

    def delete(self) -> None:
        """Deletes its trials and models; its study file stays.

        Raises:
            StoreError: If a process works on it, or the database cannot be written.
        """
        from searchcnn.results.card import find_card, is_foreign
        from searchcnn.store.copies import delete_study

        summary = self.summary
        delete_study(self._url, summary.name)
        if not is_foreign(find_card(self.model_path), summary):
            shutil.rmtree(self.workspace.studies / self.name, ignore_errors=True)

    def _read_contents(self) -> Contents:
        from searchcnn.report import read_contents

        return read_contents(self.workspace, self._url, self.summary.name)

    @property
    def _url(self) -> Any:
        return parse_url(self.storage or self.workspace.database_url(self.name))

    def _find_images(self, data: Any, name: object) -> str:
        """Returns images as ``[data] path`` has them; arrays are written to a file of the study's."""
        if not _is_path(data):
            file = self.workspace.images(check_name(str(name)))
            is_begun = read_if_begun(parse_url(self.storage or self.workspace.database_url(str(name))), str(name))
            save_object(data, file, replaces=is_begun is None)
            return str(file.relative_to(self.workspace.root))
        if is_factory(os.fspath(data)):
            return os.fspath(data)
        path = find_images(os.fspath(data))
        root = self.workspace.root
        if path.is_absolute() or root == Path.cwd():
            return os.fspath(data)
        path = path.absolute()
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: its state and its best trials."""
        from searchcnn.views.notebook import format_study

        try:
            begun = self._read() is not None
        except StudyChangedError:
            begun = False
        return format_study(self.compare_trials()) if begun else f"<p>{html.escape(repr(self))}</p>"

    def _read(self) -> StudySummary | None:
        summary = read_if_begun(self._url, self.name)
        if summary is not None:
            self._request.check_images(summary.config.data)
        return summary


def optimize(
    study: Any,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    weights: str | None = None,
    workspace: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    plugins: Sequence[str | os.PathLike[str]] = (),
    **how: Any,
) -> Study:
    """Searches a study, or your images, and returns the study.

    Args:
        study: A study by name or its TOML file; or images, as `Study` takes them. A name that is that of a
            study and of a folder is the study; write ``./name`` for the folder.
        name: As in `Study`.
        settings: As in `Study`.
        weights: As in `Study`.
        workspace: As in `Study`.
        storage: As in `Study`.
        plugins: As in `Study`.
        how: Arguments of `Study.optimize`, such as ``timeout="10m"``.

    Raises:
        SearchcnnError: As `Study` and `Study.optimize`.
    """
    what: dict[str, Any] = {"name": name, "data": study}
    if _is_path(study) and _names_study(os.fspath(study), _make_workspace(workspace)):
        what = {"name": os.fspath(study)} if name is None else {"name": name, "like": os.fspath(study)}
    searched = Study(**what, settings=settings, weights=weights, workspace=workspace, storage=storage, plugins=plugins)
    return searched.optimize(**how)


def _is_path(data: Any) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(data, str | os.PathLike)


def _make_workspace(folder: str | os.PathLike[str] | None) -> Workspace:
    return Workspace(Path(folder or "").expanduser().absolute())


def _names_study(text: str, workspace: Workspace) -> bool:
    """Whether a text names a study, rather than images."""
    if text.endswith(".toml"):
        return True
    if "/" in text or is_factory(text):
        return False
    return text in workspace.list_study_files() or not Path(text).exists()


def _flatten(trial: TrialSummary) -> dict[str, Any]:
    """Returns a trial as a row of a table."""
    row = asdict(trial)
    facts = row.pop("facts")
    return {**row, **{key: fact for key, fact in facts.items() if key != "hyperparameters"}, **trial.hyperparameters}

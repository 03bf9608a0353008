"""A study as an object: what the command line does, for scripts and notebooks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from searchcnn.errors import StoreError, UsageError
from searchcnn.events import Hear, ignore
from searchcnn.job import Job
from searchcnn.proposal.request import Request
from searchcnn.sources.objects import is_factory
from searchcnn.store import StudySummary, TrialSummary, find_sqlite_file, parse_url, read_summary
from searchcnn.study import StudyConfig, Workspace, check_name
from searchcnn.text import format_count

if TYPE_CHECKING:
    from searchcnn.results import Prediction, Scores
    from searchcnn.views.view import View

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


class Study:
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
        name: str | None = None,
        *,
        data: Any = None,
        like: str | None = None,
        settings: Mapping[str, Any] | None = None,
        weights: str | None = None,
        workspace: str | os.PathLike[str] | None = None,
        storage: str | None = None,
        plugins: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self.workspace = Workspace(Path(workspace or Path.cwd()))
        self.storage = storage
        is_new = data is not None or like is not None
        if data is not None and not _is_path(data):
            name = name or ARRAYS
        self._request = Request(
            self.workspace,
            study=like if is_new else name,
            data=None if data is None else _find_images(data, self.workspace, name),
            name=name if is_new else None,
            weights=weights,
            settings=dict(settings or {}),
            storage=storage,
            plugins=[Path(folder) for folder in plugins],
        )
        self.name = self._request.find_name()

    def __repr__(self) -> str:
        best = self.best
        found = f", best {self.summary.config.objective.metric} {best.value:.4f}" if best and best.value else ""
        return f"<Study {self.name!r}: {format_count(len(self.trials), 'trial')}{found}>"

    @property
    def config(self) -> StudyConfig:
        """What `optimize` searches: as it was begun, or as the study file says, or as it is proposed for the images.

        Raises:
            SearchcnnError: If the images cannot be used, or a setting is not valid.
        """
        return self._request.make_job().continue_begun(ignore).config

    @property
    def is_begun(self) -> bool:
        """Whether it has a database."""
        file = find_sqlite_file(self._url)
        return file is None or file.exists()

    @property
    def summary(self) -> StudySummary:
        """All that the database says of it, as it is now.

        Raises:
            StoreError: If it has not been begun, or the database cannot be read.
        """
        if not self.is_begun:
            raise StoreError(
                f"study '{self.name}' has not been started here; start it with: searchcnn optimize --study {self.name}"
            )
        return read_summary(self._url, self.name)

    @property
    def trials(self) -> Trials:
        """Its trials, by number; none before it was begun."""
        return Trials(self.summary.trials if self.is_begun else ())

    @property
    def best(self) -> TrialSummary | None:
        """The best complete trial; None before the first."""
        return self.summary.best if self.is_begun else None

    @property
    def model_path(self) -> Path:
        """The file of its best model, once there is one."""
        return self.workspace.best_model(self.name)

    def optimize(
        self,
        *,
        timeout: str | float | None = None,
        trials: int | None = None,
        workers: int | None = None,
        gpus: str = "all",
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
        budget = {"budget.timeout": timeout, "budget.trials": trials}
        from searchcnn.views.progress import choose_view, show_reading

        with show_reading(show) as reading:
            job = self._request.with_settings(budget, accept_changes).make_job(reading.hear)
        view = choose_view(job.continue_begun(ignore), show)
        view.is_told = reading.is_told
        stopped = search_job(job, view, hear, workers=workers, gpus=gpus, slots_per_gpu=slots_per_gpu)
        view.summarize(None, stopped)
        return self

    def evaluate(self) -> Scores:
        """Scores the best model on the test images.

        No search has seen them. Do this once, at the end: a test score that is used to choose a model is worthless.

        Raises:
            StoreError: If there is no model, or it belongs to another search or other images.
        """
        from searchcnn.backend import start_keras

        check_model(self.model_path, self.summary)
        start_keras()
        from searchcnn.results import evaluate_model
        from searchcnn.sources import load_dataset

        config = self.summary.config
        return evaluate_model(self.model_path, load_dataset(config.data, config.seed))

    def predict(self, images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Prediction]:
        """Classifies image files, or all images in folders, of any size and any format that Pillow reads.

        Args:
            images: A file or folder, or several.

        Raises:
            UsageError: If one of them does not exist, or a folder holds no image.
            StoreError: If there is no model.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results import classify, list_images

        paths = [images] if isinstance(images, str | os.PathLike) else images
        return list(classify(self.model_path, list_images([Path(path) for path in paths])))

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Copies the best model, and its model card, to a file; checks in a fresh process that plain Keras loads it.

        Args:
            path: Where to, ending in ``.keras``.

        Returns:
            The path.

        Raises:
            UsageError: If it cannot be written there.
            StoreError: If there is no model.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results import export_model

        export_model(self.model_path, Path(path))
        return Path(path)

    def load_model(self) -> Any:
        """Returns the best model, as ``keras.models.load_model`` does: from pixels 0..255 to class probabilities.

        Raises:
            StoreError: If there is none, or Keras cannot load it.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results.card import read_card
        from searchcnn.results.export import load_model

        read_card(self.model_path)
        return load_model(self.model_path)

    def copy(self, name: str) -> Study:
        """Copies its database, models and checkpoints under another name, even while a search is running.

        The copy is an independent study: searching one of them does not change the other.

        Raises:
            SearchcnnError: If there is something of that name, or the copy cannot be written.
        """
        from searchcnn.store.copies import copy_study

        folder, target = self.workspace.studies / self.name, self.workspace.studies / check_name(name)
        if target.exists():
            raise UsageError(f"{target} already exists; choose another name")
        copy_study(self.workspace.database(self.name), self.name, self.workspace.database(name), name)
        if folder.is_dir():
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".*"))
        return Study(name, workspace=self.workspace.root)

    def delete(self) -> None:
        """Deletes its trials and models; its study file stays.

        Raises:
            StoreError: If a process works on it, or the database cannot be written.
        """
        from searchcnn.store.copies import delete_study

        delete_study(self._url, self.summary.name)
        shutil.rmtree(self.workspace.studies / self.name, ignore_errors=True)

    @property
    def _url(self) -> Any:
        return parse_url(self.storage or self.workspace.database_url(self.name))


def optimize(study: Any, *, timeout: str | float | None = None, **options: Any) -> Study:
    """Searches a study, or your images, and returns the study.

    Args:
        study: A study by name or its TOML file; or images, as `Study` takes them. A name that is that of a
            study and of a folder is the study; write ``./name`` for the folder.
        timeout: Total time, such as "10m".
        options: More arguments of `Study` and of `Study.optimize`.

    Raises:
        SearchcnnError: As `Study` and `Study.optimize`.
    """
    searching = {"trials", "workers", "gpus", "slots_per_gpu", "accept_changes", "show", "hear"}
    making = {name: value for name, value in options.items() if name not in searching}
    how = {name: value for name, value in options.items() if name in searching}
    if _is_path(study) and _names_study(os.fspath(study), Workspace(Path(making.get("workspace") or Path.cwd()))):
        name = making.pop("name", None)
        making |= {"name": os.fspath(study)} if name is None else {"name": name, "like": os.fspath(study)}
    else:
        making["data"] = study
    return Study(**making).optimize(timeout=timeout, **how)


def search_job(job: Job, view: View, hear: Hear | None = None, **how: Any) -> bool:
    """Searches, and shows how it goes; the first Ctrl-C ends the search in good order, a second one at once.

    Args:
        job: What to search.
        view: Shows how it goes.
        hear: Hears all that happens, too.
        how: Options of `searchcnn.workers.search`.

    Returns:
        Whether it was stopped.
    """
    from searchcnn.workers import search

    def tell(event: Any) -> None:
        view.hear(event)
        if hear is not None:
            hear(event)

    with _stop_on_signals(view) as stop, view:
        search(job, tell, stop, **how)
    return stop.is_set()


def check_model(model: Path, summary: StudySummary) -> str:
    """Checks that a model comes from a study.

    Returns:
        Which trial it comes from, in words, if that is not the best one.

    Raises:
        StoreError: If it belongs to another search.
    """
    from searchcnn.views.summary import OTHER_SEARCH, explain_mismatch

    mismatch = explain_mismatch(model, summary)
    if mismatch == OTHER_SEARCH:
        raise StoreError(f"{model} is{mismatch}; name that database with --storage, or search again with --name")
    return mismatch


@contextlib.contextmanager
def _stop_on_signals(view: View) -> Iterator[threading.Event]:
    """Lets the first Ctrl-C or SIGTERM stop the search in good order, and a second one at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        view.stopping()

    is_main = threading.current_thread() is threading.main_thread()  # others get no signals
    signals = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_path(data: Any) -> bool:
    return isinstance(data, str | os.PathLike)


def _find_images(data: Any, workspace: Workspace, name: str | None) -> str:
    """Returns images as ``[data] path`` has them; arrays are written to a file of the study's."""
    if _is_path(data):
        return str(os.fspath(data))
    from searchcnn.sources.npz import save_object

    return str(save_object(data, workspace.images(check_name(name or ARRAYS))))


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

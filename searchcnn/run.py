"""A whole search, from a study to its best model."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from searchcnn.backend import start_keras
from searchcnn.data import Report, warned_of_flip
from searchcnn.search import Budget, Evaluation, Listener, Search, Trial, make_pruner, make_sampler
from searchcnn.sources import load_dataset
from searchcnn.spaces import LoadedSpace, load_spaces
from searchcnn.spaces.creation import create, origins, prepare
from searchcnn.spaces.identity import identify_imports, identify_spaces
from searchcnn.store import StoredStudy, explaining, open_storage, parse_url, read_config
from searchcnn.study import StudyConfig, Workspace
from searchcnn.study.begun import as_begun, changes
from searchcnn.study.identity import identify
from searchcnn.weights import watching

if TYPE_CHECKING:
    from searchcnn.results import Models
    from searchcnn.training import Trainer


@dataclass(frozen=True)
class Study:
    """What to search, and where to keep it.

    Attributes:
        name: The study's name in its database.
        config: What to search.
        workspace: The user's folder: models are written below it, plugins are found in it.
        storage: URL of the database; None for a file of its own in the workspace.
        plugins: Further folders of plugins.
        accept_changes: Continue a study although its search space, data or recipe is no longer what it was.
    """

    name: str
    config: StudyConfig
    workspace: Workspace
    storage: str | None = None
    plugins: Sequence[Path] = ()
    accept_changes: bool = False

    @property
    def url(self) -> Any:
        """URL of the database."""
        return parse_url(self.storage or self.workspace.database_url(self.name))


def optimize(study: Study, listener: Listener | None = None, stop: threading.Event | None = None) -> None:
    """Searches until a study's budget is spent: study -> data -> space -> search -> train -> store -> results.

    Args:
        study: What to search; a study that was begun before is continued.
        listener: Hears what happens.
        stop: Set it to end the search in good order; the trial at work goes on next time.

    Raises:
        SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials failed.
    """
    listener, stop = listener or Listener(), stop or threading.Event()
    study = resume(study, listener)
    config, url = study.config, study.url
    sampler = make_sampler(config.search.sampler, config.seed)
    pruner = make_pruner(config.search.pruner, config.training.epochs)
    listener.phase(f"reading {config.data.title}")
    dataset = load_dataset(config.data, config.seed, listener.phase, lambda report: tell(report, config, listener))
    spaces = load_spaces(config.spaces, study.workspace, study.plugins)
    start_keras()
    from searchcnn.results import Models
    from searchcnn.training import Checkpoints, Trainer

    checkpoints = Checkpoints(study.workspace.checkpoints(study.name))
    created = create(spaces, config, dataset)
    models = Models(study.workspace.best_model(study.name), study.name, config, dataset, origins(spaces))
    with watching(_download(listener)), explaining(url), closing(open_storage(url)) as storage:
        stored = StoredStudy(storage, study.name, config.search.maximize, sampler, pruner)
        stored.connection.tell = listener.trouble
        stored.takeover.tell = listener.trial_given_up
        rules = stored.rules
        same = identify(config, dataset.fingerprint, dataset.report.made) | identify_spaces(spaces, created)
        stored.agree(config.model_dump(), same | rules.identity, study.accept_changes, identify_imports(spaces))
        trainer = Trainer(config, dataset, created, checkpoints, rules)

        def keep(trial: Trial, evaluation: Evaluation) -> None:
            if stored.rank(trial.stored, evaluation.value) < config.search.keep_models:
                models.keep(trial, evaluation)
                stored.add_model(trial.stored, models.file(trial.number), evaluation.value)

        def settle() -> None:
            checkpoints.drop(stored.finished())
            models.settle(lambda: stored.ranking(config.search.keep_models), stored.finished)

        if rules.remark:
            listener.noted(rules.remark)
        if stored.is_new:
            listener.phase("dry run: one batch of each search space, saved and loaded again")
            begin(stored, trainer, spaces, models, listener)
        else:
            prepare(created)
        settle()
        listener.begun()
        budget = Budget.remaining(config.budget.trials, config.budget.timeout, stored.seconds_spent())
        with stored.run():
            search = Search(stored, sampler, trainer, budget, config.seed, config.search.max_failures, keep, settle)
            search.run(listener, stop)
            settle()  # of trials that were given up
    if not models.is_verified and not stop.is_set():
        listener.phase("checking the saved model in a fresh process")
        models.verify()


def resume(study: Study, listener: Listener) -> Study:
    """Returns a study that has results with the keys that are not set as it was begun, whatever their defaults now are.

    Args:
        study: A study.
        listener: Is told which keys that changes.

    Raises:
        StoreError: If the database cannot be read.
    """
    begun = read_config(study.url, study.name)
    if begun is None:
        return study
    config = as_begun(study.config, begun)
    if changed := changes(study.config, config):
        kept = ", ".join(f"{key} = {value}" for key, value in changed.items())
        listener.noted(f"this study goes on as it was begun, where nothing else is set: {kept}")
    return replace(study, config=config)


def _download(listener: Listener) -> Callable[[str, int, int | None], None]:
    """Returns what tells a listener how far the download of a file of weights is."""
    return lambda file, come, total: listener.phase(f"downloading {file}", come / total if total else None)


def tell(report: Report, config: StudyConfig, listener: Listener) -> None:
    """Tells what was found in the images, and in what the study does to them."""
    flip = config.training.flip
    mirrors = any(flip) if isinstance(flip, list) else flip
    listener.dataset_read(warned_of_flip(report) if mirrors else report)


def begin(
    stored: StoredStudy, trainer: "Trainer", spaces: Sequence[LoadedSpace], models: "Models", listener: Listener
) -> None:
    """Tries out each search space before any time is spent, then makes the known good points the first trials.

    Raises:
        SearchcnnError: If something would go wrong later; nothing is begun then.
    """
    from searchcnn.training import dry_run
    from searchcnn.training.points import known_points
    from searchcnn.training.stability import check_stability

    with contextlib.ExitStack() as rehearsals:
        for name in trainer.spaces:
            network, recipe = dry_run(trainer, name)
            rehearsals.enter_context(models.rehearsing(network))
            check_stability(trainer, name)
            if recipe.pixels and not getattr(trainer.spaces[name], "own_preprocessing", False):
                listener.noted(f"search space '{name}': its networks scale pixels themselves; they get {recipe.pixels}")
        points = known_points(trainer, spaces)
    stored.begin(points)

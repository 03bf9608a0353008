"""A whole search in this process: study -> data -> space -> search -> train -> store -> results."""

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from searchcnn.backend import start_keras
from searchcnn.events import Hear, Note, Progress, StudyOpened, ignore
from searchcnn.search import Budget, Evaluation, Search, Trial, make_pruner, make_sampler
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_spaces
from searchcnn.spaces.creation import create_spaces, describe_origins, prepare_spaces
from searchcnn.spaces.identity import identify_imports, identify_spaces
from searchcnn.store import StoredStudy, guard_database, open_storage, parse_url, read_config
from searchcnn.study import StudyConfig, Workspace
from searchcnn.study.begun import as_begun, find_changes
from searchcnn.study.identity import identify
from searchcnn.weights import watch_downloads


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


def optimize(study: Study, hear: Hear = ignore, stop: threading.Event | None = None) -> None:
    """Searches until a study's budget is spent: study -> data -> space -> search -> train -> store -> results.

    Args:
        study: What to search; a study that was begun before is continued.
        hear: Hears what happens.
        stop: Set it to end the search in good order; the trial at work goes on next time.

    Raises:
        SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials failed.
    """
    stop = stop or threading.Event()
    study = resume(study, hear)
    config, url = study.config, study.url
    sampler = make_sampler(config.search.sampler, config.seed)
    pruner = make_pruner(config.search.pruner, config.training.epochs)
    hear(Progress(f"reading {config.data.title}"))
    dataset = load_dataset(config.data, config.seed, hear, config.mirrors)
    spaces = load_spaces(config.spaces, study.workspace, study.plugins)
    start_keras()
    from searchcnn.results import Models, rehearse
    from searchcnn.training import Checkpoints, Trainer, find_known_points

    checkpoints = Checkpoints(study.workspace.checkpoints(study.name))
    created = create_spaces(spaces, config, dataset)
    models = Models(study.workspace.best_model(study.name), study.name, config, dataset, describe_origins(spaces))
    with watch_downloads(hear), guard_database(url), closing(open_storage(url, hear)) as storage:
        stored = StoredStudy(storage, study.name, config.objective, sampler, pruner)
        rules = stored.rules
        same = identify(config, dataset.fingerprint, dataset.inspection.new_parts) | identify_spaces(spaces, created)
        stored.check_identity(
            config.model_dump(), same | rules.identity, study.accept_changes, identify_imports(spaces)
        )
        trainer = Trainer(config, dataset, created, checkpoints, rules)

        def keep(trial: Trial, evaluation: Evaluation) -> None:
            if stored.rank(trial.stored, evaluation.value) < config.search.keep_models:
                models.save(trial, evaluation)
                stored.add_model(trial.stored, models.get_file(trial.number), evaluation.value)

        def settle() -> None:
            checkpoints.drop(stored.list_finished())
            models.promote_best(lambda: stored.list_best(config.search.keep_models), stored.list_finished)

        if rules.remark:
            hear(Note(rules.remark))
        if stored.is_new:
            hear(Progress("dry run: one batch of each search space, saved and loaded again"))
            with rehearse(trainer, models, hear):
                points = find_known_points(trainer, spaces)
            stored.begin(points)
        else:
            prepare_spaces(created)
        settle()
        hear(StudyOpened())
        budget = Budget.remaining(config.budget.trials, config.budget.timeout, stored.count_seconds())
        with stored.run():
            search = Search(stored, sampler, trainer, budget, config.seed, config.search.max_failures, keep, settle)
            search.run(hear, stop)
            settle()  # of trials that were given up
    if not models.is_verified and not stop.is_set():
        hear(Progress("checking the saved model in a fresh process"))
        models.verify()


def resume(study: Study, hear: Hear) -> Study:
    """Returns a study that has results with the keys that are not set as it was begun, whatever their defaults now are.

    Args:
        study: A study.
        hear: Hears which keys that changes.

    Raises:
        StoreError: If the database cannot be read.
    """
    begun = read_config(study.url, study.name)
    if begun is None:
        return study
    config = as_begun(study.config, begun)
    if changed := find_changes(study.config, config):
        kept = ", ".join(f"{key} = {value}" for key, value in changed.items())
        hear(Note(f"this study goes on as it was begun, where nothing else is set: {kept}"))
    return replace(study, config=config)

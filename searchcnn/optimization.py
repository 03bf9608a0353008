"""A whole search, from a study to its best model."""

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from searchcnn.backend import start_keras
from searchcnn.data import Dataset, load_dataset
from searchcnn.errors import InfeasibleError, PluginError, first_line
from searchcnn.search import Budget, Listener, Search, check_limits, make_pruner, make_sampler
from searchcnn.spaces import LoadedSpace, load_spaces
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import StudyConfig, Workspace

if TYPE_CHECKING:
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
        stop: Set it to end the search in good order; the trial at work begins again next time.

    Raises:
        SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials failed.
    """
    config, url, listener = study.config, study.url, listener or Listener()
    sampler = make_sampler(config.search.sampler, config.seed)
    pruner = make_pruner(config.search.pruner, config.training.epochs)
    listener.phase(f"reading {config.data.name}")
    dataset = load_dataset(config.data, config.seed)
    spaces = load_spaces(config.spaces, study.workspace, study.plugins)
    start_keras()
    from searchcnn.results import BestModel
    from searchcnn.training import Trainer

    trainer = Trainer(config, dataset, {s.name: s.create(dataset.input_shape, dataset.num_classes) for s in spaces})
    stored = StoredStudy(open_storage(url), study.name, config.search.maximize, sampler, pruner)
    stored.agree(config.model_dump(), identity(config, dataset, spaces), study.accept_changes)
    best = BestModel(study.workspace.best_model(study.name), study.name, config, dataset, origins(spaces))
    budget = Budget.remaining(config.budget.trials, config.budget.timeout, stored.seconds_spent())
    with stored.run():
        if stored.is_new:
            listener.phase("dry run: one batch of each search space, saved and loaded again")
            try_out(trainer, best)
            enqueue_known_points(stored, trainer, spaces)
        search = Search(stored, sampler, trainer, budget, config.seed, config.search.max_failures, best.keep)
        search.run(listener, stop)
    if best.is_unverified:
        listener.phase("checking the saved model in a fresh process")
        best.verify()


def identity(config: StudyConfig, dataset: Dataset, spaces: Sequence[LoadedSpace]) -> dict[str, str]:
    """Returns what must be the same in all runs of a study, by the name of its key; the budget may change."""
    recipe = config.training.model_dump()
    return {
        "data": f"{dataset.name} {dataset.fingerprint[:12]}",
        "data.validation": str(config.data.validation),
        "seed": str(config.seed),
        "search.objective": config.search.objective,
        "search.direction": "maximize" if config.search.maximize else "minimize",
        **{f"search space {space.name}": space.fingerprint[:12] for space in spaces},
        **{f"training.{key}": str(value) for key, value in recipe.items()},
    }


def origins(spaces: Sequence[LoadedSpace]) -> dict[str, dict[str, str]]:
    """Returns where each search space comes from, for model cards."""
    return {space.name: {"location": space.location, "fingerprint": space.fingerprint} for space in spaces}


def try_out(trainer: "Trainer", best: Any) -> None:
    """Trains one batch of each search space, and saves and verifies its network, before any time is spent.

    Raises:
        SearchcnnError: If something would go wrong later.
    """
    from searchcnn.training import dry_run

    for name in trainer.spaces:
        with tempfile.TemporaryDirectory() as folder:
            best.rehearse(dry_run(trainer, name), Path(folder))


def enqueue_known_points(stored: StoredStudy, trainer: "Trainer", spaces: Sequence[LoadedSpace]) -> None:
    """Makes the default point and the baselines of each search space the first trials, if they can be trained.

    Raises:
        PluginError: If one fails for another reason than its size or graph.
    """
    if not trainer.config.search.baselines:
        return
    for space in spaces:
        points: Mapping[str, Mapping[str, Any]] = {"default": {}, **space.baselines(trainer.spaces[space.name])}
        for name, values in points.items():
            try:
                preset = trainer.preset(space.name, values)
                check_limits(trainer.cost(preset), trainer.config.limits)
            except InfeasibleError:
                continue
            except PluginError as error:
                raise PluginError(f"search space '{space.name}', baseline '{name}': {error}") from error
            except Exception as error:
                raise PluginError(
                    f"search space '{space.name}' fails with its baseline '{name}': {first_line(error)}"
                ) from error
            stored.enqueue(preset, origin=f"baseline {name}" if values else "default")

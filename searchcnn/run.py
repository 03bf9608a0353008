"""A whole search, from a study to its best model."""

import contextlib
import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from searchcnn.backend import keep_settings, start_keras
from searchcnn.data import Dataset, Report, warned_of_flip
from searchcnn.errors import InfeasibleError, PluginError, first_line, nearest
from searchcnn.search import Budget, Evaluation, Listener, Search, Trial, check_limits, make_pruner, make_sampler
from searchcnn.sources import load_dataset
from searchcnn.spaces import LoadedSpace, load_spaces
from searchcnn.store import StoredStudy, guard_database, open_storage, parse_url
from searchcnn.study import StudyConfig, TrainingConfig, Workspace
from searchcnn.study.rules import RULES, difference
from searchcnn.weights import watch_downloads

if TYPE_CHECKING:
    from searchcnn.results import Models
    from searchcnn.training import Trainer


NEWER = ("rotation", "zoom", "contrast", "cutout", "mixup", "normalization", "class_weights", "detect_scaling")
"""Settings that a recipe has not always had: by default they are no part of a study's identity, so that an older study
goes on."""


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
    config, url, listener, stop = study.config, study.url, listener or Listener(), stop or threading.Event()
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
    with watch_downloads(_download(listener)), guard_database(url), closing(open_storage(url)) as storage:
        stored = StoredStudy(storage, study.name, config.search.maximize, sampler, pruner)
        stored.connection.tell = listener.trouble
        stored.takeover.tell = listener.trial_given_up
        same = identity(config, dataset, spaces) | files(created)
        rules = agree(stored, config, same, beside(spaces), study.accept_changes)
        trainer = Trainer(config, dataset, created, checkpoints, rules)

        def keep(trial: Trial, evaluation: Evaluation) -> None:
            if stored.rank(trial.stored, evaluation.value) < config.search.keep_models:
                models.keep(trial, evaluation)
                stored.add_model(trial.stored, models.file(trial.number), evaluation.value)

        def settle() -> None:
            checkpoints.drop(stored.finished())
            models.settle(lambda: stored.ranking(config.search.keep_models), stored.finished)

        if earlier := difference(rules):
            listener.noted(earlier)
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


def _download(listener: Listener) -> Callable[[str, int, int | None], None]:
    """Returns what tells a listener how far the download of a file of weights is."""
    return lambda file, come, total: listener.phase(f"downloading {file}", come / total if total else None)


def agree(
    stored: StoredStudy, config: StudyConfig, same: Mapping[str, str], recent: Mapping[str, str], accept: bool
) -> int:
    """Checks that a study is the one that was begun.

    Args:
        stored: The study.
        config: What it searches, for readers.
        same: What must be the same in all its runs, but for the rules.
        recent: The part of it that earlier versions did not keep.
        accept: Take a change as the user's will.

    Returns:
        The version of the rules that it was begun with; see `searchcnn.study.rules`.

    Raises:
        StudyChangedError: If it is another one.
    """
    rules = stored.rules(RULES)
    kept = {"rules": str(rules)} if rules > 1 else {}  # the first version kept none
    stored.agree(config.model_dump(), {**same, **kept}, accept, recent)
    return rules


def tell(report: Report, config: StudyConfig, listener: Listener) -> None:
    """Tells what was found in the images, and in what the study does to them."""
    flip = config.training.flip
    mirrors = any(flip) if isinstance(flip, list) else flip
    listener.dataset_read(warned_of_flip(report) if mirrors else report)


def create(spaces: Sequence[LoadedSpace], config: StudyConfig, dataset: Dataset) -> dict[str, Any]:
    """Creates the search spaces of a study for its images, with its options, by name.

    Raises:
        PluginError: If one cannot be created so.
    """
    names = [space.name for space in spaces]
    for name in config.options:
        if name not in names:
            hint = nearest(name, names) or f" (it has {', '.join(names)})"
            raise PluginError(f"options.{name}: the study has no search space '{name}'{hint}")
    shape, classes = dataset.input_shape, dataset.num_classes
    return {space.name: space.create(shape, classes, config.options.get(space.name)) for space in spaces}


def identity(config: StudyConfig, dataset: Dataset, spaces: Sequence[LoadedSpace]) -> dict[str, str]:
    """Returns what must be the same in all runs of a study, by the name of its key; the budget may change."""
    recipe, usual = config.training.model_dump(), TrainingConfig().model_dump()
    return {
        "data": f"{config.data.name or 'images'} {dataset.fingerprint[:12]}",
        "data.validation": str(config.data.validation),
        **({"data.folds": str(config.data.folds)} if config.data.folds else {}),
        **({"data.test": str(config.data.test)} if "test" in dataset.report.made else {}),
        "seed": str(config.seed),
        "search.objective": config.search.objective,
        "search.direction": "maximize" if config.search.maximize else "minimize",
        **{f"search space {space.name}": (space.own or space.fingerprint)[:12] for space in spaces},
        **beside(spaces),
        **{f"options.{name}": json.dumps(options, sort_keys=True) for name, options in config.options.items()},
        **{f"training.{key}": str(recipe[key]) for key in recipe if key not in NEWER or recipe[key] != usual[key]},
    }


def beside(spaces: Sequence[LoadedSpace]) -> dict[str, str]:
    """Returns the part of a study's identity that lies in files beside its search spaces, which they import.

    Earlier versions did not keep it: in a study of theirs the files are taken for unchanged.
    """
    return {
        f"search space {space.name}, {file}": digest[:12] for space in spaces for file, digest in space.beside.items()
    }


def files(created: Mapping[str, Any]) -> dict[str, str]:
    """Returns the part of a study's identity that lies in files that its search spaces depend on.

    Raises:
        PluginError: If one cannot be read.
    """
    from searchcnn.spaces import SearchSpace

    return {
        f"search space {name}, {path}": content_hash(path)
        for name, space in created.items()
        if isinstance(space, SearchSpace)
        for path in space.files()
    }


def content_hash(path: Path) -> str:
    """Returns 12 hexadecimal digits that identify a file's content (BLAKE2b).

    Raises:
        PluginError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
    except OSError as error:
        raise PluginError(f"{path}: cannot be read: {error.strerror or error}") from None


def origins(spaces: Sequence[LoadedSpace]) -> dict[str, dict[str, str]]:
    """Returns where each search space comes from, for model cards."""
    return {space.name: {"location": space.location, "fingerprint": space.fingerprint} for space in spaces}


def begin(
    stored: StoredStudy, trainer: "Trainer", spaces: Sequence[LoadedSpace], models: "Models", listener: Listener
) -> None:
    """Tries out each search space before any time is spent, then makes the known good points the first trials.

    Raises:
        SearchcnnError: If something would go wrong later; nothing is begun then.
    """
    from searchcnn.training import dry_run

    with contextlib.ExitStack() as rehearsals:
        for name in trainer.spaces:
            network, recipe = dry_run(trainer, name)
            rehearsals.enter_context(models.rehearsing(network))
            check_stability(trainer, name)
            if recipe.pixels and not getattr(trainer.spaces[name], "own_preprocessing", False):
                listener.noted(f"search space '{name}': its networks scale pixels themselves; they get {recipe.pixels}")
        points = known_points(trainer, spaces)
    stored.begin(points)


def prepare(created: Mapping[str, Any]) -> None:
    """Lets search spaces fetch what their networks need, where a study goes on: on another machine, for instance.

    Raises:
        PluginError: If something is not to be had here.
    """
    from searchcnn.spaces import SearchSpace

    for name, space in created.items():
        if isinstance(space, SearchSpace):
            try:
                space.prepare()
            except PluginError as error:
                raise PluginError(f"search space '{name}' cannot be searched on this machine: {error}") from error


def check_stability(trainer: "Trainer", name: str) -> None:
    """Builds the default network of a search space twice: a hyperparameter must have the same range in both.

    It is built without weights, which takes little time; a builder that needs them is not checked.

    Raises:
        PluginError: If one has not.
    """
    import keras

    from searchcnn.search.hyperparameters import CheckedHyperParameters, check_ranges

    values = {"space": name} if len(trainer.spaces) > 1 else {}
    builds = [CheckedHyperParameters(values) for _ in range(2)]
    for hp in builds:
        with keep_settings(), contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
            trainer.sample(hp)
    try:
        check_ranges(*builds)
    except PluginError as error:
        raise PluginError(f"search space '{name}': {error}") from error


def known_points(trainer: "Trainer", spaces: Sequence[LoadedSpace]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the default point and the baselines of each search space that keep the limits: origins and values.

    What is solved, and costs little, comes first; then the points of a space of pretrained networks, if it is the first
    one. For the rest the search spaces take turns, so that a short search sees something of each. A point that is there
    already, such as a baseline that is the default, does not come again.

    Raises:
        PluginError: If one fails for another reason than its size or graph.
    """
    if not trainer.config.search.baselines:
        return []
    first = spaces[0].name if getattr(trainer.spaces[spaces[0].name], "is_pretrained", False) else None
    turns = itertools.zip_longest(*(_points_of(trainer, space) for space in spaces))
    found = [point for turn in turns for point in turn if point is not None]
    points: list[Point] = []
    for point in sorted(found, key=lambda point: (not point.is_solved, point.space != first)):
        points += [point] if point.values not in [known.values for known in points] else []
    return [(point.origin, point.values) for point in points]


class Point(NamedTuple):
    """A known point of a search space.

    Attributes:
        space: The search space.
        origin: Where it comes from, for readers.
        values: All its hyperparameters.
        is_solved: Whether a solver trains its network.
    """

    space: str
    origin: str
    values: dict[str, Any]
    is_solved: bool


def _points_of(trainer: "Trainer", space: LoadedSpace) -> Iterator[Point]:
    baselines = space.baselines(trainer.spaces[space.name])
    for origin, values in [("default", {}), *((f"baseline {name}", point) for name, point in baselines.items())]:
        try:
            point, price, recipe = trainer.point(space.name, values)
            check_limits(price, trainer.config.limits)
        except InfeasibleError:
            continue
        except PluginError as error:
            raise PluginError(f"search space '{space.name}', {origin}: {error}") from error
        except Exception as error:
            raise PluginError(f"search space '{space.name}', {origin}: {first_line(error)}") from error
        yield Point(space.name, origin, point, recipe.is_solved)

"""A whole search in this process: study -> data -> space -> search -> train -> store -> results."""

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from searchcnn.backend import start_keras
from searchcnn.data import Dataset, write_parts
from searchcnn.errors import StudyFailedError
from searchcnn.events import Hear, Note, Progress, StudyOpened, ignore
from searchcnn.job import Job
from searchcnn.search import Budget, Search, make_pruner, make_sampler, make_scheduler
from searchcnn.sources import load_dataset
from searchcnn.spaces import LoadedSpace, load_spaces
from searchcnn.spaces.creation import create_spaces, describe_origins, prepare_spaces
from searchcnn.spaces.identity import identify_imports, identify_spaces
from searchcnn.store import StoredStudy, guard_database, open_storage
from searchcnn.study.identity import identify
from searchcnn.text import format_duration
from searchcnn.weights import watch_downloads

if TYPE_CHECKING:
    from searchcnn.results import Models
    from searchcnn.spaces import SearchSpace
    from searchcnn.training import Trainer

ENOUGH = 4
"""Time that is enough for a first network, relative to what starting takes."""


def run_search(job: Job, hear: Hear = ignore, stop: threading.Event | None = None) -> None:
    """Searches until a study's budget is spent: study -> data -> space -> search -> train -> store -> results.

    Args:
        job: What to search; a study that was begun before is continued.
        hear: Hears what happens.
        stop: Set it to end the search in good order; the trial at work goes on next time.

    Raises:
        SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials failed.
    """
    job, stop = job.continue_begun(hear), stop or threading.Event()
    config = job.config
    sampler = make_sampler(config.search.sampler, config.seed)
    pruner = make_pruner(config.search.pruner, config.training.max_epochs)
    hear(Progress(f"reading {config.data.title}"))
    dataset = load_dataset(job.workspace.locate(config.data), config.seed, hear, config.mirrors)
    loaded = load_spaces(config.spaces, job.workspace, job.plugins)
    start_keras()
    from searchcnn.results import Models
    from searchcnn.training import Checkpoints, Trainer

    spaces = create_spaces(loaded, config, dataset)
    with watch_downloads(hear), guard_database(job.url), closing(open_storage(job.url, hear)) as storage:
        stored = StoredStudy(storage, job.name, config.objective, sampler, pruner)
        _check_identity(stored, job, dataset, loaded, spaces)
        write_parts(job.workspace.split(job.name), dataset)
        checkpoints = Checkpoints(job.workspace.checkpoints(job.name))
        trainer = Trainer(config, dataset, spaces, checkpoints, stored.rules)
        models = Models(job, dataset, stored, checkpoints, describe_origins(loaded))
        _begin(stored, trainer, models, loaded, job, hear)
        spent = stored.count_seconds(job.elapsed)
        hear(StudyOpened(spent))
        budget = Budget.remaining(config.budget.trials, config.budget.timeout, spent, models.seconds_to_conclude)
        pixels, images = math.prod(dataset.input_shape[:2]), len(dataset.train)
        plan = make_scheduler(config, trainer.parts, pixels, images, stored.seconds_to_begin)
        search = Search(stored, sampler, trainer, budget, models, config.search.max_failures, config.seed, plan)
        with stored.run(job.elapsed):
            search.run(hear, stop)
            with stored.spent.timed("checking"):
                seconds_left = (config.budget.timeout or math.inf) - stored.count_seconds(job.elapsed)
                _conclude(models, stop.is_set(), seconds_left, hear)
            if not stop.is_set():
                stored.note_conclusion(config.model_dump(mode="json"))


def _begin(
    stored: StoredStudy, trainer: "Trainer", models: "Models", loaded: Sequence[LoadedSpace], job: Job, hear: Hear
) -> None:
    """Makes a study ready to be searched: search spaces of a new one are tried out, and their known points listed."""
    from searchcnn.results import rehearse
    from searchcnn.training import find_known_points

    if stored.rules.remark:
        hear(Note(stored.rules.remark))
    if stored.is_new:
        _check_time(job)
        with rehearse(trainer, models, hear):
            points = find_known_points(trainer, loaded)
        stored.begin(points, job.elapsed)
        _check_time(job)
    else:
        prepare_spaces(trainer.space.members)
    models.tidy()


def _check_time(job: Job) -> None:
    """Ends a search whose time is over before its first trial.

    Raises:
        StudyFailedError: If it is.
    """
    timeout, elapsed = job.config.budget.timeout, job.elapsed
    if timeout is not None and elapsed >= timeout:
        raise StudyFailedError(
            f"the timeout of {format_duration(timeout)} is over before the first trial, since starting takes "
            f"{format_duration(elapsed)} here; give it {format_duration(ENOUGH * elapsed)} or more"
        )


def _conclude(models: "Models", is_stopped: bool, seconds_left: float, hear: Hear) -> None:
    """Deletes what nobody needs any more, examines the best network, and checks that it loads anywhere."""
    models.tidy(is_over=not is_stopped)  # of trials that were given up, too
    if not models.is_verified and not is_stopped:
        hear(Progress("checking the best model: how sure it is, and that it loads in a fresh process"))
        models.examine(seconds_left)
        models.verify()


def _check_identity(
    stored: StoredStudy, job: Job, dataset: Dataset, loaded: Sequence[LoadedSpace], spaces: Mapping[str, "SearchSpace"]
) -> None:
    """Checks that scores of earlier runs are comparable with those to come; see `StoredStudy.check_identity`."""
    identity = {
        **identify(job.config, dataset.fingerprint, dataset.inspection.new_parts),
        **identify_spaces(loaded, spaces),
        **stored.rules.identity,
    }
    stored.check_identity(job.config.model_dump(), identity, job.accept_changes, identify_imports(loaded))

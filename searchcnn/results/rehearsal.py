"""Tries out all that a search will do with each search space, before any time is spent."""

import contextlib
from collections.abc import Iterator

import keras

from searchcnn.backend import compile_cheaply
from searchcnn.events import Hear, Note, Progress
from searchcnn.results.models import Models
from searchcnn.training import Trainer, check_stability, run_dry

DRY_RUN = "dry run: one batch of each search space, saved and loaded again"


@contextlib.contextmanager
def rehearse(trainer: Trainer, models: Models, hear: Hear) -> Iterator[None]:
    """Builds, trains and saves the default network of each search space; loads them again while the body runs.

    Args:
        trainer: Of the study.
        models: Of the study.
        hear: Hears how far it is, and what is remarkable.

    Raises:
        SearchcnnError: If something would go wrong later.
    """
    with contextlib.ExitStack() as stack:
        with compile_cheaply():
            stack.enter_context(models.rehearse_saving(_try_spaces(trainer, hear)))
        yield


def _try_spaces(trainer: Trainer, hear: Hear) -> Iterator[keras.Model]:
    members = trainer.space.members
    steps = 2 * len(members) + 1  # the last one is that they are loaded again
    for number, (name, member) in enumerate(members.items()):
        hear(Progress(DRY_RUN, 2 * number / steps))
        network, recipe = run_dry(trainer, name)
        hear(Progress(DRY_RUN, (2 * number + 1) / steps))
        check_stability(trainer, name)
        if recipe.pixels and not member.own_preprocessing:
            hear(Note(f"search space '{name}': its networks scale pixels themselves; they get {recipe.pixels}"))
        yield network
    hear(Progress(DRY_RUN, (steps - 1) / steps))

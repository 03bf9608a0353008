"""Tries out all that a search will do with each search space, before any time is spent."""

import contextlib
from collections.abc import Iterator

import keras

from searchcnn.backend import compile_cheaply
from searchcnn.events import Hear, Note
from searchcnn.results.models import Models
from searchcnn.training import Trainer, check_stability, run_dry


@contextlib.contextmanager
def rehearse(trainer: Trainer, models: Models, hear: Hear) -> Iterator[None]:
    """Builds, trains and saves the default network of each search space; loads them again while the body runs.

    Args:
        trainer: Of the study.
        models: Of the study.
        hear: Hears what is remarkable.

    Raises:
        SearchcnnError: If something would go wrong later.
    """
    with contextlib.ExitStack() as stack:
        with compile_cheaply():
            stack.enter_context(models.rehearse_saving(_try_spaces(trainer, hear)))
        yield


def _try_spaces(trainer: Trainer, hear: Hear) -> Iterator[keras.Model]:
    for name, member in trainer.space.members.items():
        network, recipe = run_dry(trainer, name)
        check_stability(trainer, name)
        if recipe.pixels and not member.own_preprocessing:
            hear(Note(f"search space '{name}': its networks scale pixels themselves; they get {recipe.pixels}"))
        yield network

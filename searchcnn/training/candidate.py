"""A candidate: a point of a search space made concrete, before it is trained."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import keras
import keras_tuner

from searchcnn.errors import PluginError
from searchcnn.search import Cost
from searchcnn.spaces.space import Phase, SearchSpace
from searchcnn.study import Recipe
from searchcnn.training.cost import measure_cost
from searchcnn.training.network import cut_heads


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network to train, and all that decides how.

    Attributes:
        space: Its search space.
        hp: The hyperparameters that it was built with, Keras Tuner's; training may ask for more.
        model: The network.
        recipe: How it is trained.
    """

    space: SearchSpace
    hp: keras_tuner.HyperParameters
    model: keras.Model
    recipe: Recipe

    @cached_property
    def cost(self) -> Cost:
        """What the network costs, without the heads that are cut off when it is saved."""
        return measure_cost(cut_heads(self.model))

    @property
    def auxiliary_weight(self) -> float:
        """Weight of each auxiliary head in the loss; 0 where it has none."""
        return self.space.auxiliary_weight(self.hp) if len(self.model.outputs) > 1 else 0.0

    def initialize(self) -> None:
        """Gives the network the pretrained weights of its search space, if there are any."""
        self.space.initialize(self.hp, self.model)

    def phases(self) -> Iterator[Phase]:
        """Yields the phases of its training; see `run_phases`."""
        return run_phases(self.space, self.hp, self.model, self.recipe.compiles)

    def during(self, phase: Phase, epochs_left: int) -> Self:
        """Returns the candidate with the recipe of one phase of its training."""
        return replace(self, recipe=self.recipe.during(phase, epochs_left))


def run_phases(
    space: SearchSpace, hp: keras_tuner.HyperParameters, model: keras.Model, compiles: bool
) -> Iterator[Phase]:
    """Yields the phases of a network's training: one where its builder has compiled it, or its space trains by itself.

    Raises:
        PluginError: If the search space yields none.
    """
    if not compiles or space.has_own_fit:
        yield Phase()
        return
    phase = None
    for phase in space.phases(hp, model):
        yield phase
    if phase is None:
        raise PluginError("phases(hp, model) yields nothing; expected at least one searchcnn.Phase")


def ask_for_training(
    space: SearchSpace, hp: keras_tuner.HyperParameters, model: keras.Model, compiles: bool
) -> list[Phase]:
    """Asks for the hyperparameters that only training asks for, except for those of a search space's own ``fit``.

    The model's layers are left as the last phase trains them.

    Returns:
        The phases.
    """
    if compiles and len(model.outputs) > 1:
        space.auxiliary_weight(hp)
    return list(run_phases(space, hp, model, compiles))

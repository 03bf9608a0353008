"""A candidate: a point of a search space made concrete, before it is trained."""

import math
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

EPOCH_PIXELS, MIN_EPOCH_IMAGES = 16_384 * 32 * 32, 2048
"""Pixels of the images of an epoch, about, where a plan divides a pass; and the least number of images."""

VALIDATED_SHARE = 0.05
"""Images that are validated on during a stretch, as a share of those that are trained on: no decision needs them, only
the learning curve. A validation computes about as much for an image as a training step on a fast machine; see
`searchcnn.training.precision`."""


def count_parts(images: int, shape: tuple[int, int, int]) -> int:
    """Returns the number of epochs that one pass over the training images is divided into.

    A plan compares networks after an epoch: a pass over 50,000 images would be too much for that.

    Args:
        images: Number of training images.
        shape: Shape of an image: (height, width, channels).

    >>> count_parts(55_000, (28, 28, 1)), count_parts(1437, (8, 8, 1)), count_parts(6000, (96, 96, 3))
    (3, 1, 3)
    """
    height, width, _ = shape
    return max(1, round(images / min(16_384, max(MIN_EPOCH_IMAGES, EPOCH_PIXELS // (height * width)))))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network to train, and all that decides how.

    Attributes:
        space: Its search space.
        hp: The hyperparameters that it was built with, Keras Tuner's; training may ask for more.
        model: The network.
        recipe: How it is trained.
        stretches: Epochs of each of the stretches that it is trained in; none: it is trained all at once.
        parts: Epochs that one pass over the training images is divided into.
    """

    space: SearchSpace
    hp: keras_tuner.HyperParameters
    model: keras.Model
    recipe: Recipe
    stretches: tuple[int, ...] = ()
    parts: int = 1

    @cached_property
    def cost(self) -> Cost:
        """What the network costs, without the heads that are cut off when it is saved."""
        return measure_cost(cut_heads(self.model))

    @property
    def auxiliary_weight(self) -> float:
        """Weight of each auxiliary head in the loss; 0 where it has none."""
        return self.space.auxiliary_weight(self.hp) if len(self.model.outputs) > 1 else 0.0

    @property
    def is_divisible(self) -> bool:
        """Whether it can be trained in stretches: not where the search space says how it is trained."""
        return self.recipe.compiles and not (self.space.has_own_fit or self.space.has_own_phases)

    def divide(self, stretches: tuple[int, ...], parts: int) -> Self:
        """Returns the candidate, trained in stretches of epochs of which some make up a pass."""
        return replace(self, recipe=replace(self.recipe, epochs=sum(stretches)), stretches=stretches, parts=parts)

    def count_steps(self, images: int) -> int:
        """Returns the number of batches of an epoch, given the number of training images."""
        return math.ceil(images // self.parts / self.recipe.batch_size)

    def count_epochs_between_validations(self, images: int, validated: int) -> int:
        """Returns after how many epochs of a stretch it is validated, given the numbers of the images of both kinds."""
        return self.parts * math.ceil(validated / (VALIDATED_SHARE * images)) if self.stretches else 1

    def initialize(self) -> None:
        """Gives the network the pretrained weights of its search space, if there are any."""
        self.space.initialize(self.hp, self.model)

    def phases(self) -> Iterator[Phase]:
        """Yields the phases of its training: the stretches, or see `run_phases`."""
        if self.stretches:
            return (Phase(share=epochs / self.recipe.epochs) for epochs in self.stretches)
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

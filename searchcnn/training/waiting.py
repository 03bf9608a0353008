"""Compiled networks of trials that wait to be trained on: their graphs need not be made again."""

import math
from collections import OrderedDict

import keras

from searchcnn.graph import find_leaves
from searchcnn.training.candidate import Candidate

MAX_NETWORKS = 8
"""Networks that a process keeps at most."""
MAX_BYTES = 256 * 2**20
"""Memory that they may take, about."""
LAYER_BYTES = 2**20
"""Memory that the graphs of a layer take, about: five residual networks of 33 to 47 layers took 170 MB (TensorFlow
2.21)."""


class WaitingNetworks:
    """Networks of trials that wait, in memory; the one that has waited longest goes first.

    Args:
        max_networks: Number of them.
        max_bytes: Memory that they may take together.
    """

    def __init__(self, max_networks: int = MAX_NETWORKS, max_bytes: int = MAX_BYTES) -> None:
        self._max_networks = max_networks
        self._max_bytes = max_bytes
        self._candidates: OrderedDict[int, Candidate] = OrderedDict()

    def __len__(self) -> int:
        return len(self._candidates)

    def keep(self, trial: int, candidate: Candidate) -> None:
        """Keeps the compiled network of a trial, and lets go of those that there is no room for."""
        self._candidates[trial] = candidate
        while len(self) > self._max_networks or self._count_bytes() > self._max_bytes:
            self._candidates.popitem(last=False)

    def take(self, trial: int) -> Candidate | None:
        """Returns the candidate of a trial, and keeps it no longer; None if it is not there."""
        return self._candidates.pop(trial, None)

    def _count_bytes(self) -> int:
        return sum(_count_bytes(candidate) for candidate in self._candidates.values())


def can_wait(candidate: Candidate) -> bool:
    """Whether a network can be trained on as it is: TensorFlow has compiled all of it for a stretch."""
    is_compiled = getattr(candidate.model, "train_function", None) is not None
    return bool(candidate.stretches) and is_compiled and keras.backend.backend() == "tensorflow"


def _count_bytes(candidate: Candidate) -> int:
    """Returns the memory that a network takes, its optimizer's state and its graphs included, about."""
    model = candidate.model
    layers = sum(1 for _ in find_leaves(model))
    numbers = sum(math.prod(variable.shape) for variable in [*model.variables, *model.optimizer.variables])
    return LAYER_BYTES * layers + 4 * int(numbers)

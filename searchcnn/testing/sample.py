"""One point of a search space, and what became of it."""

import random
from dataclasses import dataclass
from typing import Any

from searchcnn.errors import PluginError
from searchcnn.search import Cost
from searchcnn.search.hyperparameters import CheckedHyperParameters, Parameter
from searchcnn.testing.signature import Signature

NO_COST = Cost(0, 0)


class _Lenient:
    """Collects what `CheckedHyperParameters` refuses, so that a build continues as it would in Keras Tuner."""

    conflicts: list[str]

    def check_redeclared(self, earlier: Any, hp: Any) -> None:
        """Notes a declaration with another meaning."""
        try:
            super().check_redeclared(earlier, hp)  # type: ignore[misc]
        except PluginError as error:
            self.conflicts = [*getattr(self, "conflicts", ()), str(error)]


class RandomHyperParameters(CheckedHyperParameters):
    """Hyperparameters with random values: the same ones for the same seed, whatever the order they are asked for in.

    Args:
        seed: Seed of the random values.
        values: Values, by name, that are not random.
    """

    def __init__(self, seed: int, values: dict[str, Any] | None = None) -> None:
        super().__init__(values)
        self._seed = seed

    def choose(self, parameter: Parameter) -> Any:
        """Returns a random value."""
        return parameter.compute_value(random.Random(f"{self._seed} {parameter.title}").random())


class GivenPoint(_Lenient, CheckedHyperParameters):
    """A point with given values; the other hyperparameters have their defaults."""


class RandomPoint(_Lenient, RandomHyperParameters):
    """A point with random values."""


@dataclass(frozen=True)
class Sample:
    """A point of a search space that has been tried.

    Attributes:
        values: Values, by name, of the hyperparameters that were asked for and are active.
        declared: All hyperparameters that were declared, in order.
        active: Those that are not switched off by a conditional scope.
        conflicts: Hyperparameters that were declared twice with different meanings, in words.
        signature: Signature of its network; empty if there is none.
        cost: Cost of its network without auxiliary heads.
        whole: Cost of its network with auxiliary heads.
        error: Why there is no network; empty if there is one.
        is_infeasible: Whether the space itself says so, with an `InfeasibleError`.
        reason: The reason of the `InfeasibleError`.
    """

    values: dict[str, Any]
    declared: tuple[Any, ...]
    active: tuple[Any, ...]
    conflicts: tuple[str, ...]
    signature: Signature = ()
    cost: Cost = NO_COST
    whole: Cost = NO_COST
    error: str = ""
    is_infeasible: bool = False
    reason: str = ""

    @property
    def is_network(self) -> bool:
        """Whether there is a network."""
        return bool(self.signature)

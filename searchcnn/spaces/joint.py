"""Several search spaces as one: a hyperparameter chooses among them, and each has its own scope for all others."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from searchcnn.spaces.space import Phase, SearchSpace

CHOICE = "space"
"""The hyperparameter that chooses a search space where there are several."""
CAPABILITIES = ("input_shape", "num_classes", "min_size", "channels", "own_preprocessing", "is_pretrained", "reference")
"""What the engine asks a search space for, besides its networks."""


class Member(SearchSpace):
    """One search space of a study: whatever it asks for is asked for in its scope, where there are several.

    Args:
        name: What the study calls it.
        space: The search space.
        has_scope: Whether its hyperparameters have a scope of their own, which has its name.
    """

    def __init__(self, name: str, space: SearchSpace, has_scope: bool) -> None:
        super().__init__(name)
        self._space = space
        self._has_scope = has_scope
        self.dtype_policy = space.dtype_policy
        self.knows_sizes = space.knows_sizes
        for capability in CAPABILITIES:
            setattr(self, capability, getattr(space, capability))

    def _open_scope(self, hp: keras_tuner.HyperParameters) -> contextlib.AbstractContextManager[Any]:
        scope: contextlib.AbstractContextManager[Any] = hp.name_scope(self.name)
        return scope if self._has_scope else contextlib.nullcontext()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds the network for one setting."""
        with self._open_scope(hp):
            return self._space.build(hp)

    def auxiliary_weight(self, hp: keras_tuner.HyperParameters) -> float:
        """Returns the weight of each auxiliary head in the loss."""
        with self._open_scope(hp):
            return self._space.auxiliary_weight(hp)

    def initialize(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> None:
        """Loads pretrained weights."""
        with self._open_scope(hp):
            self._space.initialize(hp, model)

    def phases(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> Iterator[Phase]:
        """Yields the phases of training; what is done between two of them is outside of the scope."""
        phases = iter(self._space.phases(hp, model))
        while True:
            with self._open_scope(hp):
                phase = next(phases, None)
            if phase is None:
                return
            yield phase

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *images: Any, **options: Any) -> Any:
        """Trains a network as the search space does."""
        with self._open_scope(hp):
            return self._space.fit(hp, model, *images, **options)

    @property
    def fit_method(self) -> Callable[..., Any]:
        """What trains its networks."""
        return self._space.fit_method

    @property
    def has_own_phases(self) -> bool:
        """Whether it says in which phases its networks are trained."""
        return self._space.has_own_phases

    def prepare(self) -> None:
        """Fetches what its networks need."""
        self._space.prepare()

    def files(self) -> Sequence[Path]:
        """Returns the files, besides its own code, that its networks depend on."""
        return self._space.files()

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points known to be good, by name."""
        return self._space.baselines()

    def name_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a point of it as one of the study's joint space, given its values by hyperparameter."""
        if not self._has_scope:
            return dict(values)
        return {**{f"{self.name}/{key}": value for key, value in values.items()}, CHOICE: self.name}


class JointSpace:
    """The search spaces of a study, one or several, as one.

    Args:
        spaces: The search spaces by name.

    Attributes:
        members: The same, each in its scope.
    """

    def __init__(self, spaces: Mapping[str, SearchSpace]) -> None:
        self.members = {name: Member(name, space, len(spaces) > 1) for name, space in spaces.items()}

    def choose(self, hp: keras_tuner.HyperParameters) -> Member:
        """Returns the search space of a point; asks for it where there are several."""
        names = list(self.members)
        return self.members[hp.Choice(CHOICE, names) if len(names) > 1 else names[0]]

    def find_name(self, values: Mapping[str, Any]) -> str:
        """Returns the name of the search space of a point, given its values by hyperparameter."""
        return str(values.get(CHOICE, next(iter(self.members))))

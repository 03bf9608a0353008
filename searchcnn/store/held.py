"""What is held back of a trial until its next transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from sqlalchemy.orm import Session

Write = Callable[[Session], Any]


@dataclass
class Held:
    """Writes that wait for a trial's next transaction, and what the trial looks like after them.

    Attributes:
        writes: The writes, in their order.
        params: Values of parameters, as the caller of Optuna gets them, by name.
        distributions: Ranges or choices of these parameters, by name.
        user_attrs: Attributes of the user's.
        system_attrs: Attributes of Optuna's own.
        intermediate_values: Scores by step.
    """

    writes: list[Write] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)

    def show_in(self, trial: FrozenTrial) -> None:
        """Changes a trial that was read from the database as the writes will change it there."""
        trial.params.update(self.params)
        trial.distributions.update(self.distributions)
        trial.user_attrs.update(self.user_attrs)
        trial.system_attrs.update(self.system_attrs)
        trial.intermediate_values.update(self.intermediate_values)

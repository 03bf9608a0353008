"""Keras Tuner's ``hp`` answered by an Optuna trial: the one file of the search that touches Keras Tuner.

A builder written for Keras Tuner asks ``hp.Int(...)``, ``hp.Choice(...)`` and so on; each first question becomes an
Optuna suggestion, and each further one gets the same answer.
"""

import math
from decimal import Decimal
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.errors import PluginError
from searchcnn.search.trial import Trial

Value = bool | int | float | str


class CheckedHyperParameters(keras_tuner.HyperParameters):
    """Keras Tuner's hyperparameters, which do not let a name change its meaning.

    Keras Tuner answers a second declaration of a name with the first one's value, whatever its range or even its type.

    Args:
        values: Values by name; a parameter that is not in it takes its default.
    """

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.values.update(values or {})

    def _retrieve(self, hp: Any) -> Any:
        for known in self._hps.get(hp.name, ()):
            if known.conditions == hp.conditions and _declaration(known) != _declaration(hp):
                raise PluginError(
                    f"hyperparameter '{hp.name}' is declared twice with different meanings: {known!r} and {hp!r}; "
                    "give each its own name"
                )
        return super()._retrieve(hp)

    def copy(self) -> Any:
        """Returns plain hyperparameters with the same declarations and values."""
        return keras_tuner.HyperParameters.from_config(self.get_config())

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Returns plain hyperparameters with the declarations and values of a configuration."""
        return keras_tuner.HyperParameters.from_config(config)

    @property
    def active(self) -> dict[str, Value]:
        """Values of the parameters that were asked for and are active, by name."""
        return {hp.name: self.values[hp.name] for hp in self.space if self.is_active(hp)}


class TrialHyperParameters(CheckedHyperParameters):
    """Hyperparameters whose values an Optuna trial suggests.

    Args:
        trial: The trial; values of its ``preset`` are taken as they are.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self._trial = trial

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        # A copy, because `conditions` is the live stack of open scopes.
        hp = type(hyperparameter).from_config(hyperparameter.get_config())
        if self.is_active(hp) and hp.name not in self.values:
            self.values[hp.name] = self._suggest(hp)
        return super()._register(hyperparameter, overwrite=False)

    def _suggest(self, hp: Any) -> Value:
        if isinstance(hp, kinds.Fixed):
            value: Value = hp.value
            return value
        parameter = Parameter(hp)
        given = self._trial.preset.get(hp.name)
        stored = None if given is None else parameter.to_optuna(given)
        return parameter.from_optuna(self._trial.suggest(parameter.name, parameter.distribution, stored))


class Parameter:
    """One of Keras Tuner's hyperparameters as Optuna stores it.

    Optuna has no logarithmic scale with steps and no reversed one: those are stored as an index or mirrored.

    Attributes:
        name: Keras Tuner tells parameters apart by name and conditions, Optuna by name: ``name@parent=value``.
        distribution: Optuna's form of the range or choices.
    """

    def __init__(self, hp: Any) -> None:
        self._hp = hp
        self._mirrored = getattr(hp, "sampling", "") == "reverse_log"
        self._indexed = getattr(hp, "sampling", "linear") != "linear" and hp.step is not None
        self.name = hp.name + "".join(f"@{c.name}={'|'.join(map(str, c.values))}" for c in hp.conditions)
        self.distribution = self._make_distribution()

    def _make_distribution(self) -> BaseDistribution:
        hp = self._hp
        if isinstance(hp, kinds.Fixed):
            return CategoricalDistribution((hp.value,))
        if isinstance(hp, kinds.Choice):
            return CategoricalDistribution(tuple(hp.values))
        if isinstance(hp, kinds.Boolean):
            return CategoricalDistribution((False, True))
        if self._indexed:
            return IntDistribution(0, len(self._steps()) - 1)
        low, high, step = hp.min_value, hp.max_value, hp.step
        if hp.sampling != "linear":
            return (IntDistribution if isinstance(hp, kinds.Int) else FloatDistribution)(low, high, log=True)
        if step is not None:
            steps = math.floor((high - low) / step + 1e-9)  # 1e-9: 1.0 is ten steps of 0.1
            high = type(low)(Decimal(str(low)) + steps * Decimal(str(step)))  # as Optuna counts: 0.1 + 3 * 0.2 is 0.7
        return (
            IntDistribution(low, high, step=step)
            if isinstance(hp, kinds.Int)
            else FloatDistribution(low, high, step=step)
        )

    def _steps(self) -> list[float]:
        return list(self._hp.values)

    def from_optuna(self, stored: Any) -> Value:
        """Returns the builder's value of what Optuna stores."""
        hp = self._hp
        if self._indexed:
            value = self._steps()[stored]
        elif self._mirrored:
            value = hp.max_value + hp.min_value - stored
        else:
            value = stored
        return int(value) if isinstance(hp, kinds.Int) else value

    def to_optuna(self, value: Value) -> Any:
        """Returns what Optuna stores for a builder's value.

        Raises:
            PluginError: If the value is not one of the parameter's.
        """
        try:
            stored = self._stored(value)
            if self._contains(stored):
                return stored
        except (TypeError, ValueError):  # a value of another type
            pass
        raise PluginError(f"hyperparameter '{self._hp.name}' cannot be {value!r}; its values: {described(self._hp)}")

    def _stored(self, value: Any) -> Any:
        if self._indexed:
            return next((i for i, step in enumerate(self._steps()) if math.isclose(step, value)), -1)
        return self._hp.max_value + self._hp.min_value - value if self._mirrored else value

    def _contains(self, stored: Any) -> bool:
        possible = self.distribution
        if isinstance(possible, CategoricalDistribution):
            return stored in possible.choices
        assert isinstance(possible, IntDistribution | FloatDistribution)
        steps = (stored - possible.low) / possible.step if possible.step else 0.0
        return possible.low <= stored <= possible.high and math.isclose(steps, round(steps), abs_tol=1e-6)


def described(hp: Any) -> str:
    """Returns the values of one of Keras Tuner's hyperparameters in words.

    >>> described(kinds.Int("blocks", 2, 6, step=2))
    '2 to 6, step 2'
    """
    if not hasattr(hp, "min_value"):
        return ", ".join(map(str, getattr(hp, "values", (getattr(hp, "value", ""),))))
    text = f"{hp.min_value:g} to {hp.max_value:g}"
    sampling = getattr(hp, "sampling", None) or "linear"
    if sampling == "linear":
        return text + (f", step {hp.step:g}" if hp.step not in (None, 1) else "")
    return text + f", {sampling.replace('_', ' ')}" + (f", times {hp.step:g}" if hp.step is not None else "")


def _declaration(hp: Any) -> tuple[str, dict[str, Any]]:
    config = {key: value for key, value in hp.get_config().items() if key not in ("default", "conditions")}
    return type(hp).__name__, config

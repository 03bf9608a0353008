"""Keras Tuner's ``hp`` answered by an Optuna trial.

A builder written for Keras Tuner asks ``hp.Int(...)``, ``hp.Choice(...)`` and so on; each first question becomes an
Optuna suggestion, and each further one gets the same answer.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.errors import PluginError, SearchcnnError
from searchcnn.search.keras_tuner_private import HookedHyperParameters
from searchcnn.search.trial import Trial

Value = bool | int | float | str

CHOICES = "give a list of texts or of numbers of one type (of an array: its tolist()), and look up what they stand for"
"""What to do about choices that Keras Tuner refuses."""
NOT_A_VALUE = (TypeError, ValueError, ArithmeticError)
"""What is raised for a value of another type."""


class DeclarationError(PluginError, TypeError, ValueError):
    """A hyperparameter that is not possible; Keras Tuner raises a ``TypeError`` or ``ValueError`` for most of them."""


class CheckedHyperParameters(HookedHyperParameters):
    """Keras Tuner's hyperparameters, which do not let a name change its meaning.

    Keras Tuner answers a second declaration of a name with the first one's value, whatever its range or even its type.

    Args:
        values: Values by name; a parameter that is not in it takes its default.
    """

    stores_indices = False
    """See `Parameter`."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.values.update(values or {})

    def Choice(self, name: str, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        """Asks for one of several values."""
        with _explain_refusal(name, CHOICES):
            return super().Choice(name, *arguments, **named)

    def Int(self, name: str, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        """Asks for a whole number in a range."""
        with _explain_refusal(name):
            return super().Int(name, *arguments, **named)

    def Float(self, name: str, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        """Asks for a number in a range."""
        with _explain_refusal(name):
            return super().Float(name, *arguments, **named)

    def Boolean(self, name: str, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        """Asks for True or False."""
        with _explain_refusal(name, "give True or False"):
            return super().Boolean(name, *arguments, **named)

    def Fixed(self, name: str, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        """Asks for a value that never changes."""
        with _explain_refusal(name, "give a text, a number or True or False"):
            return super().Fixed(name, *arguments, **named)

    def answer(self, hp: Any) -> Value:
        """Returns the value that was set for a hyperparameter; where none was, one is chosen."""
        parameter, value = Parameter(hp, self.stores_indices), self.values.get(hp.name)
        return self.choose(parameter) if value is None else parameter.check(value)

    def choose(self, parameter: "Parameter") -> Value:
        """Returns the value of a parameter for which none was set."""
        return parameter.default

    def check_redeclared(self, earlier: Any, hp: Any) -> None:
        """Refuses a declaration with another meaning.

        Raises:
            PluginError: If it has one.
        """
        if _read_declaration(earlier) != _read_declaration(hp):
            raise PluginError(
                f"hyperparameter '{hp.name}' is declared twice with different meanings: {earlier!r} and {hp!r}; "
                "give each its own name"
            )

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
        self.stores_indices = trial.stores_indices

    def choose(self, parameter: "Parameter") -> Value:
        """Returns what the trial suggests."""
        if parameter.is_fixed:
            return parameter.default
        preset = self._trial.preset.get(parameter.title)
        stored = None if preset is None else parameter.to_optuna(preset)
        suggested = self._trial.suggest(parameter.name, parameter.distribution, stored)
        return parameter.from_optuna(suggested) if preset is None else parameter.check(preset)


class Parameter:
    """One of Keras Tuner's hyperparameters as Optuna stores it.

    Optuna has no logarithmic scale with steps and no reversed one: the former is stored as a choice of its values, the
    latter mirrored. A default that is not one of the values, which Keras Tuner allows, is stored as the nearest one if
    Optuna needs one of them.

    Args:
        hp: Keras Tuner's hyperparameter.
        stores_index: Whether a value on a logarithmic scale with steps is stored as its index, as in studies that an
            earlier version has begun.

    Attributes:
        title: Its name.
        name: Keras Tuner tells parameters apart by name and conditions, Optuna by name: ``name@parent=value``.
        distribution: Optuna's form of the range or choices.
        is_fixed: Whether it has one value only.

    Raises:
        DeclarationError: If the range is not possible.
    """

    def __init__(self, hp: Any, stores_index: bool = False) -> None:
        self._hp = hp
        self._mirrored = getattr(hp, "sampling", "") == "reverse_log"
        self._listed = getattr(hp, "sampling", "linear") != "linear" and hp.step is not None
        self._indexed = self._listed and stores_index
        self.title: str = hp.name
        self.is_fixed = isinstance(hp, kinds.Fixed)
        self.name = hp.name + "".join(f"@{c.name}={'|'.join(map(str, c.values))}" for c in hp.conditions)
        self._check_range()
        self.distribution = self._make_distribution()

    def _check_range(self) -> None:
        if not hasattr(self._hp, "min_value"):
            return
        if not (math.isfinite(self._hp.min_value) and math.isfinite(self._hp.max_value)):
            raise DeclarationError(
                f"hyperparameter '{self.title}' has no end: {describe(self._hp)}; give it finite bounds"
            )
        if self._hp.step is not None and not self._hp.step > 0:
            raise DeclarationError(f"hyperparameter '{self.title}' has step {self._hp.step}; expected one above 0")

    def _make_distribution(self) -> BaseDistribution:
        hp = self._hp
        if self.is_fixed:
            return CategoricalDistribution((hp.value,))
        if isinstance(hp, kinds.Choice):
            return CategoricalDistribution(tuple(map(_convert_to_python, hp.values)))
        if isinstance(hp, kinds.Boolean):
            return CategoricalDistribution((False, True))
        if self._indexed:
            return IntDistribution(0, len(self._list_steps()) - 1)
        if self._listed:
            return CategoricalDistribution(self._list_steps())
        low, high, step = hp.min_value, hp.max_value, _convert_to_python(hp.step)
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

    @property
    def default(self) -> Value:
        """Its value if nothing else is set; it need not be one of the others.

        Raises:
            DeclarationError: If it is of another type.
        """
        try:
            return self._convert(self._hp.default)
        except NOT_A_VALUE:
            raise DeclarationError(
                f"hyperparameter '{self.title}' cannot be {self._hp.default!r}, its default; "
                f"its values: {describe(self._hp)}"
            ) from None

    def _list_steps(self) -> list[float]:
        return [int(value) if isinstance(self._hp, kinds.Int) else value for value in self._hp.values]

    def from_optuna(self, stored: Any) -> Value:
        """Returns the builder's value of what Optuna stores."""
        hp = self._hp
        if self._indexed:
            value = self._list_steps()[stored]
        elif self._mirrored and not self._listed:
            value = hp.max_value + hp.min_value - stored
        else:
            value = stored
        return int(value) if isinstance(hp, kinds.Int) else value

    def check(self, value: Any) -> Value:
        """Returns a value as the builder gets it.

        Raises:
            PluginError: If it is neither one of the parameter's values nor its default.
        """
        try:
            typed = self._convert(value)
            if self._is_possible(typed) or typed == self.default:
                return typed
        except NOT_A_VALUE:
            pass
        raise PluginError(f"hyperparameter '{self.title}' cannot be {value!r}; its values: {describe(self._hp)}")

    def compute_value(self, position: float) -> Value:
        """Returns the value at a relative position in its range, 0..1."""
        return self._convert(self._hp.prob_to_value(position))

    def to_optuna(self, value: Any) -> Any:
        """Returns what Optuna stores for a builder's value.

        Raises:
            PluginError: If it is neither one of the parameter's values nor its default.
        """
        return self._find_stored(self.check(value))

    def _convert(self, value: Any) -> Value:
        """Returns a value as one of the parameter's own type; a choice must be one of the choices.

        Raises:
            ValueError: If it is of another type, or not a choice.
        """
        if isinstance(self.distribution, CategoricalDistribution) and not self._listed:
            choices = self.distribution.choices
            choice: Value = choices[choices.index(value)]  # type: ignore[assignment]
            return choice
        if not isinstance(self._hp, kinds.Int):
            return _read_number(value)
        if int(value) != _read_number(value):
            raise ValueError(value)
        return int(value)

    def _is_possible(self, value: Any) -> bool:
        possible = self.distribution
        if self._listed:
            return any(math.isclose(step, value, abs_tol=1e-12) for step in self._list_steps())
        if isinstance(possible, CategoricalDistribution):
            return True
        assert isinstance(possible, IntDistribution | FloatDistribution)
        stored = self._find_stored(value)
        back: Any = self.from_optuna(stored)
        steps = (stored - possible.low) / possible.step if possible.step else 0.0
        return math.isclose(back, value, abs_tol=1e-12) and math.isclose(steps, round(steps), abs_tol=1e-6)

    def _find_stored(self, value: Any) -> Any:
        """Returns what Optuna stores for a value: the nearest if it has no such value."""
        possible = self.distribution
        if self._listed:
            steps = self._list_steps()
            nearest = min(range(len(steps)), key=lambda index: abs(steps[index] - value))
            return nearest if self._indexed else steps[nearest]
        if isinstance(possible, CategoricalDistribution):
            return value
        assert isinstance(possible, IntDistribution | FloatDistribution)
        stored = self._hp.max_value + self._hp.min_value - value if self._mirrored else value
        return min(max(stored, possible.low), possible.high)


@contextlib.contextmanager
def _explain_refusal(name: str, advice: str = "give other bounds or another step") -> Iterator[None]:
    """Explains Keras Tuner's refusal of a declaration: names the hyperparameter, and says what to do."""
    try:
        yield
    except SearchcnnError:
        raise
    except (*NOT_A_VALUE, AttributeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DeclarationError(f"hyperparameter '{name}': {reason}; {advice}") from error


def _read_number(value: Any) -> float:
    """Returns a number that is not text.

    Raises:
        ValueError: If it is text, or not finite.
    """
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _convert_to_python(value: Any) -> Any:
    """Returns a NumPy number as a Python number."""
    return value.item() if hasattr(value, "item") else value


def check_ranges(first: keras_tuner.HyperParameters, second: keras_tuner.HyperParameters) -> None:
    """Compares what two builds with the same values asked for.

    Raises:
        PluginError: If a hyperparameter does not have the same range in both.
    """
    declarations: dict[str, Any] = {}
    if pair := find_conflict(declarations, first.space) or find_conflict(declarations, second.space):
        before, after = pair
        raise PluginError(
            f"hyperparameter '{after.name}' has another range in each build: {describe(before)}, then "
            f"{describe(after)}; do not derive its range from anything random"
        )


def find_conflict(earlier: dict[str, Any], hyperparameters: Iterable[Any]) -> tuple[Any, Any] | None:
    """Finds a parameter that is declared in another way than before; its default may depend on other values.

    Args:
        earlier: Earlier declarations by the parameter's name for Optuna; new ones are added.
        hyperparameters: Keras Tuner's hyperparameters, as they were declared.

    Returns:
        The two declarations; None if all are declared as before.
    """
    for hp in hyperparameters:
        before = earlier.setdefault(Parameter(hp).name, hp)
        if _read_declaration(before) != _read_declaration(hp):
            return before, hp
    return None


def describe(hp: Any) -> str:
    """Returns the values of one of Keras Tuner's hyperparameters in words.

    >>> describe(kinds.Int("blocks", 2, 6, step=2))
    '2 to 6, step 2'
    """
    if not hasattr(hp, "min_value"):
        return ", ".join(map(str, getattr(hp, "values", (getattr(hp, "value", ""),))))
    text = f"{hp.min_value:g} to {hp.max_value:g}"
    sampling = getattr(hp, "sampling", None) or "linear"
    if sampling == "linear":
        return text + (f", step {hp.step:g}" if hp.step not in (None, 1) else "")
    return text + f", {sampling.replace('_', ' ')}" + (f", times {hp.step:g}" if hp.step is not None else "")


def _read_declaration(hp: Any) -> tuple[str, dict[str, Any]]:
    config = {key: value for key, value in hp.get_config().items() if key not in ("default", "conditions")}
    return type(hp).__name__, config

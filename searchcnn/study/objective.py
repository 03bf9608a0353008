"""The objective of a study: the metric that is optimised, and whether more or less of it is better."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

Direction: TypeAlias = Literal["maximize", "minimize"]


class _Number(Protocol):
    def __neg__(self: "Number") -> "Number": ...


Number = TypeVar("Number", bound=_Number)
"""A number, or a column of numbers in a database."""

TIEBREAKERS = ("val_loss", "macs")
"""Facts by which trials of equal score are ranked, the smaller one first: 200 images cannot tell good networks apart by
their accuracy."""


@dataclass(frozen=True)
class Objective:
    """What is optimised; only here is it decided which of two values is better.

    Attributes:
        metric: Name of the metric in a training's logs.
        direction: Whether more or less of it is better.
    """

    metric: str
    direction: Direction

    @property
    def mode(self) -> Literal["max", "min"]:
        """The direction as Keras' callbacks call it."""
        return "max" if self.direction == "maximize" else "min"

    def read_value(self, logs: Mapping[str, float]) -> float | None:
        """Returns the metric's value; None where it was not measured."""
        return logs.get(self.metric)

    def merit(self, value: Number) -> Number:
        """Returns a number that is the larger the better a value is; also of a column of values, as SQL.

        >>> Objective("val_accuracy", "maximize").merit(0.9), Objective("val_loss", "minimize").merit(0.4)
        (0.9, -0.4)
        """
        return value if self.direction == "maximize" else -value

    def rank(self, value: float, facts: Mapping[str, Any]) -> tuple[float, ...]:
        """Returns what sorts trials, the best first: their score, and then what equal ones are told apart by.

        Args:
            value: The trial's score.
            facts: What is known of it; what is not known comes last.

        >>> Objective("val_accuracy", "maximize").rank(0.9, {"val_loss": 0.3})
        (-0.9, 0.3, inf)
        """
        return -self.merit(value), *(facts.get(key, math.inf) for key in TIEBREAKERS)

    def find_error(self, value: float) -> float | None:
        """Returns how far a score is from a perfect one; None if nobody knows which score is perfect.

        >>> Objective("val_accuracy", "maximize").find_error(0.75)
        0.25
        """
        if self.direction == "minimize":
            return value if value > 0 else None
        return 1 - value if 0 <= value < 1 else None

    def choose_best(self, values: Iterable[float]) -> float:
        """Returns the best of some values."""
        return max(values, key=self.merit)


LARGER_IS_BETTER = frozenset(
    {
        "acc",
        "accuracy",
        "auc",
        "binary_accuracy",
        "binary_io_u",
        "categorical_accuracy",
        "concordance_correlation",
        "cosine_similarity",
        "f1",
        "f1_score",
        "f_beta_score",
        "fbeta_score",
        "io_u",
        "mean_io_u",
        "one_hot_io_u",
        "one_hot_mean_io_u",
        "pearson_correlation",
        "precision",
        "precision_at_recall",
        "r2_score",
        "recall",
        "recall_at_precision",
        "sensitivity_at_specificity",
        "sparse_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
        "specificity_at_sensitivity",
        "top_k_categorical_accuracy",
        "true_negatives",
        "true_positives",
    }
)
"""Keras' metrics of which more is better, by the names that they have in a training's logs."""
SMALLER_IS_BETTER = frozenset(
    {
        "bce",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_generalized_cross_entropy",
        "categorical_hinge",
        "circle",
        "ctc",
        "dice",
        "false_negatives",
        "false_positives",
        "hinge",
        "huber",
        "huber_loss",
        "kl_divergence",
        "kld",
        "log_cosh",
        "log_cosh_error",
        "logcosh",
        "loss",
        "mae",
        "mape",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "mean_squared_logarithmic_error",
        "mse",
        "msle",
        "poisson",
        "rmse",
        "root_mean_squared_error",
        "sparse_categorical_crossentropy",
        "squared_hinge",
        "total_loss",
        "tversky",
    }
)
"""Keras' losses, and its metrics of which less is better."""


def find_direction(metric: str) -> Direction | None:
    """Returns whether more or less of a metric is better; None for one that Keras does not have.

    >>> find_direction("val_AUC_1"), find_direction("val_mse"), find_direction("val_cost")
    ('maximize', 'minimize', None)
    """
    name = re.sub(r"_\d+$", "", metric.removeprefix("val_"))  # Keras numbers a second metric of the same name
    return DIRECTIONS.get(_simplify(name))


def guess_direction(metric: str) -> Direction:
    """Returns the direction of any metric by its name, as the first version guessed it: its studies are still read."""
    return "minimize" if any(word in metric for word in ("loss", "error", "entropy")) else "maximize"


def _simplify(name: str) -> str:
    """Returns a name in a form that is the same for ``F1Score``, the class, and ``f1_score``, the metric."""
    return name.replace("_", "").lower()


DIRECTIONS: Mapping[str, Direction] = {
    **{_simplify(name): "maximize" for name in LARGER_IS_BETTER},
    **{_simplify(name): "minimize" for name in SMALLER_IS_BETTER},
}
"""The direction of each metric and loss of Keras, by its simplified name."""

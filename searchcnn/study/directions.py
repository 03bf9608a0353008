"""Whether more or less of a metric is better."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["maximize", "minimize"]

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


def direction_of(objective: str) -> Direction | None:
    """Returns whether more or less of a metric is better; None for one that Keras does not have.

    >>> direction_of("val_AUC_1"), direction_of("val_mse"), direction_of("val_cost")
    ('maximize', 'minimize', None)
    """
    name = re.sub(r"_\d+$", "", objective.removeprefix("val_"))  # Keras numbers a second metric of the same name
    return DIRECTIONS.get(_plain(name))


def _plain(name: str) -> str:
    """Returns a name as it is the same for ``F1Score``, the class, and ``f1_score``, the metric."""
    return name.replace("_", "").lower()


DIRECTIONS: Mapping[str, Direction] = {
    **{_plain(name): "maximize" for name in LARGER_IS_BETTER},
    **{_plain(name): "minimize" for name in SMALLER_IS_BETTER},
}
"""The direction of each metric and loss of Keras, by its plain name."""

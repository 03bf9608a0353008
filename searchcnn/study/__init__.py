"""Studies: what to search. Knows neither Keras nor Optuna."""

from searchcnn.study.config import (
    BudgetConfig,
    ComponentConfig,
    DataConfig,
    LimitsConfig,
    SearchConfig,
    StudyConfig,
    TrainingConfig,
    parse_duration,
)
from searchcnn.study.file import configure, load, parse_settings, read_table, validate
from searchcnn.study.objective import Objective
from searchcnn.study.recipe import Recipe
from searchcnn.study.values import Range
from searchcnn.study.workspace import Workspace, check_name

__all__ = [
    "BudgetConfig",
    "ComponentConfig",
    "DataConfig",
    "LimitsConfig",
    "Objective",
    "Range",
    "Recipe",
    "SearchConfig",
    "StudyConfig",
    "TrainingConfig",
    "Workspace",
    "check_name",
    "configure",
    "load",
    "parse_duration",
    "parse_settings",
    "read_table",
    "validate",
]

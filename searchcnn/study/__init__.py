"""Studies: what is to be searched. Knows neither Keras nor Optuna."""

from searchcnn.study.config import (
    BudgetConfig,
    ComponentConfig,
    DataConfig,
    LimitsConfig,
    SearchConfig,
    StudyConfig,
    TrainingConfig,
    seconds,
)
from searchcnn.study.file import load, validate
from searchcnn.study.values import Range
from searchcnn.study.workspace import Workspace, valid_name

__all__ = [
    "BudgetConfig",
    "ComponentConfig",
    "DataConfig",
    "LimitsConfig",
    "Range",
    "SearchConfig",
    "StudyConfig",
    "TrainingConfig",
    "Workspace",
    "load",
    "seconds",
    "valid_name",
    "validate",
]

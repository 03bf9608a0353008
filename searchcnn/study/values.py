"""Values of a training recipe: fixed, or searched.

In a study file a value is a scalar (fixed), a list (a choice among its entries) or a table with ``min`` and ``max`` (a
range)::

    batch_size = 64
    optimizer = ["adam", "sgd"]
    learning_rate = {min = 1e-4, max = 1e-2, log = true}
"""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from searchcnn.settings import AUTO, Setting

BRANCHES = frozenset({"fixed", "choice", "range"})
"""Names of the three forms; they appear in the location of a validation error."""


class Range(BaseModel):
    """An interval to search, both ends included."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    min: float = Field(description="Smallest value.")
    max: float = Field(description="Largest value.")
    step: float | None = Field(default=None, gt=0, description="Distance between values; a factor when `log` is true.")
    log: bool = Field(default=False, description="Sample on a logarithmic scale.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be smaller than max {self.max:g}")
        if self.log and self.min <= 0:
            raise ValueError(f"a logarithmic range needs a min above 0, not {self.min:g}")
        if self.log and self.step is not None and self.step <= 1:
            raise ValueError(f"the step of a logarithmic range is a factor above 1, not {self.step:g}")
        return self


def _find_form(value: Any) -> str:
    if isinstance(value, dict | Range):
        return "range"
    return "choice" if isinstance(value, list) else "fixed"


OptimizerName: TypeAlias = Literal["muon", "adam", "adamw", "sgd", "rmsprop", "nadam", "lion", "adagrad", "adamax"]
ScheduleName: TypeAlias = Literal["constant", "linear", "cosine", "one_cycle", "step", "plateau"]
PrecisionName: TypeAlias = Literal["auto", "float32", "mixed_bfloat16"]
NormalizationName: TypeAlias = Literal["none", "scale", "standardize", "zca"]


def make_searchable(kind: Any, has_auto: bool = False) -> Any:
    """Returns the type of a setting that is fixed or searched, given the type of its values; numbers have ranges."""
    fixed: Any = Annotated[kind | Literal["auto"] if has_auto else kind, Tag("fixed")]
    choice: Any = Annotated[list[kind], Field(min_length=1), Tag("choice")]
    forms = fixed | Annotated[Range, Tag("range")] | choice if kind in (int, float) else fixed | choice
    return Annotated[forms, Discriminator(_find_form)]


def check_bounds(name: str, setting: Setting, value: Any) -> None:
    """Checks the bounds of a number, fixed or searched.

    Raises:
        ValueError: If it can exceed them, or be a fraction where only whole numbers are allowed.
    """
    if not setting.is_number or value == AUTO:
        return
    smallest, largest = find_bounds(value)
    if not (setting.allows(smallest) and setting.allows(largest)):
        value_text = smallest if smallest == largest else f"{smallest}..{largest}"
        raise ValueError(f"{name} must be {setting.bounds}, not {value_text}")
    is_range = setting.type is int and isinstance(value, Range)
    if is_range and any(number % 1 for number in (value.min, value.max, value.step or 1)):
        raise ValueError(f"{name} must be whole numbers, not {value.min:g}..{value.max:g}, step {value.step or 1:g}")


def find_bounds(value: float | Range | list[float] | list[int]) -> tuple[float, float]:
    """Returns the smallest and the largest number that a setting can take."""
    if isinstance(value, Range):
        return value.min, value.max
    numbers = value if isinstance(value, list) else [value]
    return min(numbers), max(numbers)

"""The configuration of a study: what its TOML file can say, validated.

Each field's description is also the text of the configuration reference in the documentation.
"""

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    create_model,
    field_validator,
    model_validator,
)

from searchcnn.settings import Before, Setting
from searchcnn.study.objective import Direction, Objective, find_direction, guess_direction
from searchcnn.study.recipe import SETTINGS
from searchcnn.study.values import check_bounds, make_searchable

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_DURATION = 1e10
MAX_FOLDS = 20
"""Maximum number of folds for validation."""


def parse_duration(duration: Any) -> float:
    """Reads a duration: a number of seconds, or text like ``"90s"``, ``"15m"``, ``"1.5h"``, ``"1h30m"``, ``"2d"``.

    >>> parse_duration("1h30m")
    5400.0

    Raises:
        ValueError: If it is not a duration, not above zero or endless.
    """
    total: float
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        total = 0.0 if duration <= 0 else float(min(duration, _MAX_DURATION))
    elif isinstance(duration, str) and re.fullmatch(r"\s*(\d+(\.\d+)?\s*[smhd]\s*)+", duration):
        total = sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", duration))
    elif isinstance(duration, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*", duration):
        total = float(duration)
    else:
        raise ValueError(f"{duration!r} is not a duration; write seconds (900) or a text such as '15m' or '1h30m'")
    if not 0 < total < _MAX_DURATION:
        raise ValueError(f"a duration must be above zero and below 300 years, not {duration!r}")
    return total


def parse_size(amount: Any) -> int:
    """Reads an amount of bytes: a number, or text like ``"500MB"`` or ``"4GB"``.

    >>> parse_size("4GB")
    4294967296

    Raises:
        ValueError: If it is not one.
    """
    if isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0:
        return amount
    match = (
        re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", amount, re.IGNORECASE) if isinstance(amount, str) else None
    )
    if match is None:
        raise ValueError(f"{amount!r} is not an amount of bytes; write a number or a text such as '500MB' or '4GB'")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


class Section(BaseModel):
    """A table of a study file: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """`[data]`: the images."""

    name: str | None = Field(
        default=None,
        description="A built-in dataset: fashion_mnist, mnist, cifar10, cifar100 or digits; or one in $SEARCHCNN_DATA. "
        "Either this or `path`.",
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        description="Images of your own: a folder or an archive (.zip, .tar, .tar.gz, .tar.xz) of CLASS/IMAGE or "
        "train/CLASS/IMAGE; a table (.csv, .parquet) of path, label and split; a NumPy archive (.npz); or a function "
        "that returns arrays, `package.module:name`. Relative to the folder that searchcnn is run in.",
    )
    validation: float | int = Field(
        default=0.1,
        description="Images that select, where the data has no such part: a fraction below 1 of the training images, "
        "or a number of them.",
    )
    test: float | int = Field(
        default=0.1, description="Images for `evaluate`, where the data has no such part: as for `validation`."
    )
    folds: int = Field(
        default=0,
        description="0: networks are validated on the images of `validation`. 2 or more: heads on features that are "
        "solved are measured on all images but those of `test`, in this number of folds, and the one that is kept is "
        "fitted to all of them; for few images of a class.",
    )
    group_near_copies: Annotated[bool, Before(False)] = Field(
        default=True,
        description="Near copies (the same photo saved again, at another size, a little brighter or cut off by a few "
        "pixels) go into the same new part. false: only images with the same pixels do.",
    )
    classes: int | list[str] | None = Field(
        default=None,
        description="Only some of the classes: a number N for the first N by label, or a list of names, labelled in "
        "that order.",
    )
    class_order: Annotated[Literal["natural", "alphabetical"], Before("alphabetical")] = Field(
        default="natural",
        description="How classes of image files are numbered: natural (2 before 10) or alphabetical (10 before 2, as "
        "Keras does).",
    )
    image_size: Literal["auto"] | int | Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        default="auto",
        description="Height and width that all images are brought to: pixels of a square, or `[height, width]`. auto: "
        "that of the images if all have the same, up to 224; else their median, rounded to multiples of 8.",
    )
    resize: Literal["crop", "pad", "stretch"] = Field(
        default="crop",
        description="How an image of another shape is brought to that size: crop (fills it, cuts off what sticks out), "
        "pad (all of it, with black bars) or stretch (changes its shape).",
    )
    channels: Literal["auto", 1, 3] = Field(
        default="auto", description="1: grey; 3: colours. auto: grey if all images are."
    )
    max_unreadable: float = Field(
        default=0.05, ge=0, le=1, description="Largest fraction of the image files that may be unreadable and left out."
    )
    in_memory: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Fraction of the machine's memory up to which a worker holds the images; larger sets are read from "
        "disk batch by batch.",
    )

    @property
    def title(self) -> str:
        """What the images are called: the dataset's name, or that of its file, folder or function."""
        if self.name is not None:
            return self.name
        last = PurePath(str(self.path)).name.rpartition(":")[2]
        return last.partition(".")[0] or last or "images"

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError("needs `name` or `path`" + (", not both" if self.name is not None else ""))
        return self

    @field_validator("image_size", mode="before")
    @classmethod
    def _check_image_size(cls, value: Any) -> Any:
        sides = value if isinstance(value, list) and len(value) == 2 else [value]
        if value != "auto" and not all(type(side) is int and 1 <= side <= 4096 for side in sides):
            raise ValueError(f"must be 'auto', a square's side or [height, width], of 1 to 4096 pixels, not {value!r}")
        return value

    @field_validator("validation", "test")
    @classmethod
    def _check_part(cls, value: float | int) -> float | int:
        if value <= 0 or (isinstance(value, float) and value >= 1):
            raise ValueError(f"must be a fraction between 0 and 1 or a number of images, not {value}")
        return value

    @field_validator("folds")
    @classmethod
    def _check_folds(cls, value: int) -> int:
        if value != 0 and not 2 <= value <= MAX_FOLDS:
            raise ValueError(f"must be 0, for none, or 2 to {MAX_FOLDS}, not {value}")
        return value

    @field_validator("classes", mode="before")
    @classmethod
    def _check_type_of_classes(cls, value: Any) -> Any:
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        number = isinstance(value, int) and not isinstance(value, bool)
        if not (names or number or value is None):
            raise ValueError(f"must be a number of classes or a list of their names, not {value!r}")
        return value

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, value: int | list[str] | None) -> int | list[str] | None:
        names = value if isinstance(value, list) else []
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"names '{twice[0]}' twice")
        if value is not None and (value if isinstance(value, int) else len(value)) < 2:
            raise ValueError(f"must be at least 2 classes, not {value}")
        return value


class BudgetConfig(Section):
    """`[budget]`: totals for the study, over all its runs; the first that is spent ends the search."""

    trials: int | None = Field(
        default=None,
        ge=1,
        description="Number of trials whose training began: points that cannot be trained, such as too large networks, "
        "do not count, but the search stops after ten of them for each trial, or 100.",
    )
    timeout: Annotated[float | None, BeforeValidator(lambda v: None if v is None else parse_duration(v))] = Field(
        default=None, description="Time, from the command on: seconds, or a text such as `15m` or `1h30m`."
    )

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.trials is None and self.timeout is None:
            raise ValueError("needs `trials`, `timeout` or both")
        return self


class ComponentConfig(BaseModel):
    """A sampler or pruner: its Optuna name, and Optuna's arguments next to it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="Name of the class in Optuna.")

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the class."""
        return dict(self.model_extra or {})


def _accept_name(default: str) -> BeforeValidator:
    """Accepts a text for a component without arguments, and a table without a name for the default one."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        return {"name": default, **value} if isinstance(value, dict) else value

    return BeforeValidator(read)


class SearchConfig(Section):
    """`[search]`: how the space is searched and what is optimised."""

    objective: str = Field(default="val_accuracy", description="Metric to optimise; names begin with `val_`.")
    direction: Literal["auto", "maximize", "minimize"] = Field(
        default="auto",
        description="`auto` knows all metrics and losses of Keras; set it for a metric with another name.",
    )
    sampler: Annotated[ComponentConfig, _accept_name("TPESampler")] = Field(
        default=ComponentConfig(name="TPESampler"),
        description="A sampler by its Optuna name or `grid`; a table adds its arguments: "
        "`{name = 'TPESampler', n_startup_trials = 5}`.",
    )
    pruner: Annotated[ComponentConfig, _accept_name("SuccessiveHalvingPruner")] = Field(
        default=ComponentConfig(name="auto"),
        description="auto: a plan for the time decides how long each network is trained. Or a pruner by its Optuna "
        "name (`NopPruner`: no pruning), for networks that are trained all at once; a table adds its arguments.",
    )
    baselines: bool = Field(default=True, description="Try the search space's known good points first.")
    keep_models: int = Field(default=3, ge=1, description="Number of the best trials whose networks are kept.")
    max_failures: int = Field(default=5, ge=1, description="Stop after this many unexpected failures in a row.")

    @field_validator("objective")
    @classmethod
    def _check_objective(cls, value: str) -> str:
        if not value.startswith("val_"):
            raise ValueError(f"must be measured on the validation images: 'val_{value}', not '{value}'")
        return value

    @property
    def known_direction(self) -> Direction | None:
        """The direction that is set, or that of a metric of Keras; None if nobody knows."""
        return find_direction(self.objective) if self.direction == "auto" else self.direction


class LimitsConfig(Section):
    """`[limits]`: networks beyond a limit are not trained, and the sampler learns to avoid them."""

    max_params: int | None = Field(default=None, ge=1, description="Largest number of weights, all of them counted.")
    max_macs: int | None = Field(
        default=None, ge=1, description="Largest number of multiply-accumulates for one image, forward."
    )

    trial_timeout: Annotated[float | None, BeforeValidator(lambda v: None if v is None else parse_duration(v))] = Field(
        default=None, description="Longest time for one trial, in seconds or as text such as `30m`."
    )
    feature_cache: Annotated[int, BeforeValidator(lambda v: parse_size(v))] = Field(
        default=4 * 2**30,
        description="Maximum disk space for features of frozen networks, in bytes or as text such as `4GB`: they are "
        "computed once for each image instead of in each epoch. 0: never keep them.",
    )


class _Plain(Section):
    """The part of `[training]` that is not searched."""

    epochs: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of passes over the training images; by default what the plan for the time allows, "
        "up to 100 with a timeout and 30 without; 10 for networks that are trained all at once.",
    )
    patience: int = Field(
        default=3, ge=1, description="Early stopping: epochs without a better objective; the best weights are restored."
    )


def _make_field(setting: Setting) -> tuple[Any, Any]:
    """Returns the type of a setting in a study file, and its field."""
    kind = make_searchable(setting.type, bool(setting.auto))
    description = f"{setting.description} {setting.auto}".strip()
    field = Field(default=setting.default, description=description)
    return (Annotated[kind, Before(setting.before)] if setting.since else kind), field


# What may be searched is declared in `searchcnn.study.recipe.Recipe`.
_FIELDS: dict[str, Any] = {name: _make_field(setting) for name, setting in SETTINGS.items()}


DEFAULT_EPOCHS = 10
"""Maximum number of passes over the training images where neither the study nor a plan for the time says it."""


class TrainingConfig(create_model("Searched", __base__=_Plain, **_FIELDS)):  # type: ignore[misc]
    """`[training]`: the recipe; most settings are a value (fixed), a list (a choice) or `{min, max, step, log}`."""

    detect_scaling: Annotated[bool, Before(True)] = Field(  # older studies do not detect it, by their rules
        default=True,
        description="A network that scales pixels itself, as by a `Rescaling` layer or `preprocess_input`, gets those "
        "that it was made for, 0..255 or 0..1, whatever `normalization` says. false: `normalization` applies to all.",
    )

    @property
    def max_epochs(self) -> int:
        """Maximum number of passes where there is no plan for the time."""
        epochs: int | None = self.epochs
        return epochs or DEFAULT_EPOCHS

    if TYPE_CHECKING:

        def __getattr__(self, setting: str) -> Any:
            """Returns a setting that may be searched."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        for name, setting in SETTINGS.items():
            check_bounds(name, setting, getattr(self, name))
        return self


class StudyConfig(Section):
    """A whole study file."""

    description: str = Field(default="", description="What the study is for; shown by `searchcnn studies`.")
    spaces: Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = Field(
        min_length=1,
        description="Search spaces: names of plugins, `path/to/file.py:name` or `package.module:name`. "
        "Several are searched together; a text is a list of one.",
    )
    seed: int = Field(default=0, ge=0, description="Everything random derives from this and the trial's number.")
    options: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict,
        description="`[options.NAME]`: arguments of the search space of that name, such as `backbones` of `transfer`.",
    )
    published: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict,
        description="Accuracies that others have published, by the name of their network; shown next to ours.",
    )
    data: DataConfig
    budget: BudgetConfig
    search: SearchConfig = Field(default_factory=SearchConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @property
    def mirrors(self) -> bool:
        """Whether training images are mirrored, at least in some trials."""
        flip = self.training.flip
        return True in flip if isinstance(flip, list) else flip is True

    @property
    def objective(self) -> Objective:
        """What is optimised."""
        metric = self.search.objective
        return Objective(metric, self.search.known_direction or guess_direction(metric))

    @model_validator(mode="after")
    def _check_objective(self) -> Self:
        searched = [
            key for key in ("l1", "l2", "label_smoothing") if not isinstance(getattr(self.training, key), float)
        ]
        if self.search.objective == "val_loss" and searched:
            raise ValueError(f"val_loss contains training.{searched[0]}, which is searched; fix it or use val_accuracy")
        return self

"""What a study file may say, and the one line that is said about everything else."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.errors import StudyFileError
from searchcnn.study import Objective, Range, StudyConfig, parse_duration, validate
from searchcnn.study.objective import Direction

MINIMAL: dict[str, Any] = {"spaces": ["net"], "data": {"name": "digits"}, "budget": {"trials": 3}}


def make_study(**tables: Any) -> StudyConfig:
    return validate({**MINIMAL, **tables}, "x.toml")


def test_a_minimal_study_has_every_default() -> None:
    config = make_study()
    assert (config.seed, config.data.validation, config.budget.timeout) == (0, 0.1, None)
    assert (config.search.sampler.name, config.search.pruner.name) == ("TPESampler", "auto")
    assert config.objective == Objective("val_accuracy", "maximize")
    assert StudyConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90.0),
        ("15m", 900.0),
        ("1.5h", 5400.0),
        ("1h30m", 5400.0),
        (" 1h 30m 5s ", 5405.0),
        ("2d", 172800.0),
        ("900", 900.0),
        (900, 900.0),
        (0.5, 0.5),
    ],
)
def test_durations(text: Any, expected: float) -> None:
    assert parse_duration(text) == expected
    assert make_study(budget={"timeout": text}).budget.timeout == expected


@pytest.mark.parametrize("text", ["", "h", "1 parsec", "-5m", "1h30", "0s", "0", 0, -1, float("inf"), float("nan")])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write seconds|must be above zero"):
        parse_duration(text)
    with pytest.raises(StudyFileError, match=r"^x\.toml: budget\.timeout: "):
        make_study(budget={"timeout": text})


@pytest.mark.parametrize("value", [True, 10**400, [5], {"m": 5}])
def test_a_duration_of_another_type_or_without_end(value: Any) -> None:
    with pytest.raises(StudyFileError, match=r"^x\.toml: budget\.timeout: .*duration"):
        make_study(budget={"timeout": value})


def test_settings_of_the_recipe_are_fixed_choices_or_ranges() -> None:
    training = make_study(
        training={
            "batch_size": [32, 64],
            "optimizer": ["adam", "sgd"],
            "learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
            "l2": {"min": 0, "max": 1, "step": 0.5},
        }
    ).training
    assert training.batch_size == [32, 64]
    assert training.optimizer == ["adam", "sgd"]
    assert training.learning_rate == Range(min=1e-4, max=1e-2, log=True)
    assert training.l2 == Range(min=0.0, max=1.0, step=0.5)
    assert make_study(training={"batch_size": {"min": 16, "max": 64, "step": 2, "log": True}}).training.batch_size


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        # unknown keys, with the nearest or all known ones
        ({"bugdet": {}}, "bugdet: unknown key; did you mean 'budget'?"),
        ({"training": {"epoch": 5}}, "training.epoch: unknown key; did you mean 'epochs'?"),
        ({"limits": {"qqq": 5}}, "limits.qqq: unknown key; expected one of max_params, max_macs"),
        ({"training": {"l1": {"min": 0.1, "max": 1.0, "lgo": 1}}}, "training.l1.lgo: unknown key; did you mean 'log'?"),
        ({"zz": 1, "yy": 2}, "(and 1 more)"),
        # names that stand for the forms of a value inside the validator
        ({"range": 1}, "range: unknown key"),
        ({"training": {"range": 1}}, "training.range: unknown key"),
        ({"training": {"l1": {"min": 0.1, "max": 1.0, "choice": 1}}}, "training.l1.choice: unknown key"),
        # wrong types
        ({"training": {"epochs": "5"}}, "training.epochs: should be a valid integer, not '5'"),
        ({"training": {"epochs": 5.0}}, "training.epochs: should be a valid integer, not 5.0"),
        ({"training": {"epochs": True}}, "training.epochs: should be a valid integer, not True"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate: should be a valid number, not 'fast'"),
        ({"training": {"batch_size": [32, "x"]}}, "training.batch_size.1: should be a valid integer, not 'x'"),
        ({"spaces": 5}, "spaces: should be a valid list, not 5"),
        ({"data": 5}, "data: should be a valid dictionary"),
        ({"data": {"name": "digits", "validation": "x"}}, "data.validation: should be a valid number, not 'x'"),
        ({"search": {"sampler": 5}}, "search.sampler: should be a valid dictionary"),
        ({"data": {"name": "digits", "classes": "ten"}}, "must be a number of classes or a list of their names, not"),
        ({"data": {"name": "digits", "classes": ["0", 1]}}, "must be a number of classes or a list of their names"),
        ({"data": {"name": "digits", "classes": True}}, "data.classes: must be a number of classes or a list"),
        ({"data": {"name": "digits", "classes": 5.0}}, "data.classes: must be a number of classes or a list"),
        ({"published": {"net": "best"}}, "published.net: should be a valid number, not 'best'"),
        # impossible values
        ({"data": {"name": "digits", "classes": 1}}, "data.classes: must be at least 2 classes, not 1"),
        ({"data": {"name": "digits", "classes": ["0"]}}, "data.classes: must be at least 2 classes, not ['0']"),
        ({"data": {"name": "digits", "classes": []}}, "data.classes: must be at least 2 classes, not []"),
        ({"data": {"name": "digits", "classes": ["0", "1", "0"]}}, "data.classes: names '0' twice"),
        ({"data": {"name": "digits", "classes": ["", ""]}}, "data.classes: names '' twice"),
        ({"published": {"net": 91.5}}, "published.net: should be less than or equal to 1, not 91.5"),
        ({"published": {"net": 0.0}}, "published.net: should be greater than 0, not 0.0"),
        ({"spaces": []}, "spaces: should have at least 1 item, not []"),
        ({"seed": -1}, "seed: should be greater than or equal to 0, not -1"),
        ({"budget": {"trials": 0}}, "budget.trials: should be greater than or equal to 1, not 0"),
        ({"data": {"name": "digits", "validation": 0}}, "must be a fraction between 0 and 1 or a number of images"),
        ({"data": {"name": "digits", "validation": 1.0}}, "must be a fraction between 0 and 1 or a number of images"),
        ({"data": {"name": "digits", "validation": float("nan")}}, "data.validation: should be a finite number"),
        ({"training": {"optimizer": "adm"}}, "not 'adm'; did you mean 'adam'?"),
        ({"training": {"schedule": ["constant", "cosin"]}}, "training.schedule.1: should be 'constant', 'linear'"),
        ({"training": {"learning_rate": []}}, "training.learning_rate: should have at least 1 item, not []"),
        ({"training": {"learning_rate": 0.0}}, "learning_rate must be above 0"),
        ({"training": {"learning_rate": [0.1, float("nan")]}}, "training.learning_rate.1: should be a finite number"),
        ({"training": {"momentum": 1.0}}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"training": {"batch_size": 0}}, "batch_size must be at least 1, not 0"),
        ({"training": {"rotation": 181.0}}, "rotation must be at least 0 and at most 180, not 181.0"),
        ({"training": {"zoom": 1.0}}, "zoom must be at least 0 and below 1, not 1.0"),
        (
            {"training": {"contrast": {"min": 0.0, "max": 1.5}}},
            "contrast must be at least 0 and at most 1, not 0.0..1.5",
        ),
        ({"training": {"cutout": [0.5, 1.0]}}, "cutout must be at least 0 and below 1, not 0.5..1.0"),
        ({"training": {"mixup": -0.1}}, "mixup must be at least 0, not -0.1"),
        ({"training": {"normalization": "max"}}, "'scale', 'standardize' or 'zca', not 'max'"),
        ({"training": {"class_weights": "yes"}}, "training.class_weights: "),
        ({"budget": {"timeout": -(10**400)}}, "budget.timeout: a duration must be above zero"),
        ({"training": {"batch_size": -(10**400)}}, "batch_size must be at least 1"),
        ({"training": {"batch_size": {"min": 1.5, "max": 9}}}, "batch_size must be whole numbers, not 1.5..9, step 1"),
        ({"training": {"l1": {"min": 2, "max": 1}}}, "training.l1: min 2 must be smaller than max 1"),
        (
            {"training": {"l1": {"min": 0, "max": 1, "log": True}}},
            "training.l1: a logarithmic range needs a min above 0",
        ),
        (
            {"training": {"l1": {"min": 0.1, "max": 1, "log": True, "step": 0.5}}},
            "training.l1: the step of a logarithmic range is a factor above 1, not 0.5",
        ),
        ({"training": {"l1": {"min": 0, "max": 1, "step": 0}}}, "training.l1.step: should be greater than 0, not 0"),
        (
            {"training": {"l1": {"min": 0}}},
            "training.l1.max: missing; add it to the file or give --set training.l1.max=",
        ),
        ({"search": {"objective": "accuracy"}}, "measured on the validation images: 'val_accuracy', not 'accuracy'"),
        ({"search": {"direction": "up"}}, "search.direction: should be 'auto', 'maximize' or 'minimize', not 'up'"),
        ({"search": {"max_failures": 0}}, "search.max_failures: should be greater than or equal to 1, not 0"),
        # what is missing
        ({"budget": {}}, "budget: needs `trials`, `timeout` or both"),
        ({"data": {}}, "data: needs `name` or `path`"),
        # a key or value of several lines still gets one
        ({"a\nb": 1}, "a b: unknown key"),
        ({"search": {"objective": "a\nb"}}, "not 'a b'"),
    ],
)
def test_one_line_says_what_is_wrong(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        make_study(**tables)
    text = str(caught.value)
    assert text.startswith("x.toml: ")
    assert message in text
    assert len(text.splitlines()) == 1


def test_a_missing_budget() -> None:
    with pytest.raises(
        StudyFileError, match=r"^x\.toml: budget: missing; add it to the file or give --set budget=\.\.\.$"
    ):
        validate({"spaces": ["net"], "data": {"name": "digits"}}, "x.toml")


def test_samplers_and_pruners_are_names_or_tables() -> None:
    short = make_study(search={"sampler": "grid", "pruner": "NopPruner"}).search
    assert (short.sampler.name, short.sampler.options, short.pruner.name) == ("grid", {}, "NopPruner")
    long = make_study(search={"sampler": {"name": "TPESampler", "n_startup_trials": 5}}).search
    assert (long.sampler.name, long.sampler.options) == ("TPESampler", {"n_startup_trials": 5})


@pytest.mark.parametrize(
    ("metric", "direction", "expected"),
    [
        ("val_accuracy", "auto", "maximize"),
        ("val_loss", "auto", "minimize"),
        ("val_mean_squared_error", "auto", "minimize"),
        ("val_loss", "maximize", "maximize"),
        ("val_accuracy", "minimize", "minimize"),
    ],
)
def test_direction(metric: str, direction: str, expected: Direction) -> None:
    assert make_study(search={"objective": metric, "direction": direction}).objective == Objective(metric, expected)


@pytest.mark.parametrize(("metric", "expected"), [("val_score", "maximize"), ("val_my_error", "minimize")])
def test_the_direction_that_the_first_version_has_guessed(metric: str, expected: Direction) -> None:
    """Its studies are in databases, read as they are; a study file has to say which way is better."""
    table = {"spaces": ["x"], "data": {"name": "digits"}, "budget": {"trials": 1}, "search": {"objective": metric}}
    assert StudyConfig.model_validate(table).objective == Objective(metric, expected)


SECTIONS = {
    name: list(getattr(field.annotation, "model_fields", {})) for name, field in StudyConfig.model_fields.items()
}
NAMES = ["min", "max", "step", "log", "name", "range", "choice", "fixed", "adam", "val_loss", "1h30m", "TPESampler"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.sampled_from([10**400, -(10**400)])
    | st.floats()
    | st.sampled_from(NAMES)
    | st.text(max_size=8)
    | st.dates()
)
KEYS = st.sampled_from([*NAMES, *SECTIONS, *(key for keys in SECTIONS.values() for key in keys)]) | st.text(max_size=6)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6)


def draw_section(keys: list[str]) -> st.SearchStrategy[Any]:
    sections = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, VALUES))
    return sections | st.dictionaries(KEYS, VALUES, max_size=3) | VALUES


@given(
    st.fixed_dictionaries({}, optional={name: draw_section(keys) for name, keys in SECTIONS.items()}),
    st.dictionaries(KEYS, VALUES, max_size=1),
    st.booleans(),
)
def test_every_table_is_valid_or_gets_one_line(table: dict[str, Any], more: dict[str, Any], complete: bool) -> None:
    try:
        config = validate({**(MINIMAL if complete else {}), **table, **more}, "x.toml")
    except StudyFileError as error:
        assert str(error).startswith("x.toml: ")
        assert len(str(error).splitlines()) == 1
    else:
        assert validate(config.model_dump(), "x.toml") == config


def test_options_hold_what_json_holds(study_config: Callable[..., StudyConfig]) -> None:
    options = {"net": {"names": ["a", "b"], "depth": 3, "deep": {"x": 0.5}, "on": True}}
    assert study_config(options=options).options == options
    with pytest.raises(StudyFileError, match=r"options.net.weights: input was not a valid JSON value"):
        study_config(options={"net": {"weights": date(2020, 1, 1)}})


def test_the_largest_changes_of_images() -> None:
    training = make_study(
        training={"rotation": 180.0, "contrast": 1.0, "mixup": 8.0, "class_weights": [True, False]}
    ).training
    assert (training.rotation, training.contrast, training.mixup) == (180.0, 1.0, 8.0)
    assert make_study(training={"normalization": ["zca", "scale"]}).training.normalization == ["zca", "scale"]

"""Which settings of a recipe are asked for, and what they are by default."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from searchcnn.augmentation import Augmentation
from searchcnn.backend import start_keras
from searchcnn.data import Dataset, Split
from searchcnn.study import Recipe, StudyConfig
from searchcnn.study.file import validate

start_keras()

import keras_tuner  # noqa: E402

from searchcnn.training.precision import choose_precision  # noqa: E402
from searchcnn.training.recipe import choose_settings, leave_alone, sample_recipe  # noqa: E402

Config = Callable[..., StudyConfig]
SUITED = {"batch_size": 32, "flip": True, "shift": 0.1, "normalization": "standardize", "precision": "float32"}


def ask(config: StudyConfig, compiled: bool = False, **values: Any) -> tuple[Recipe, dict[str, Any]]:
    """Returns the recipe for given values, and what was asked for, by name."""
    hp = keras_tuner.HyperParameters()
    hp.values = {f"training/{name}": value for name, value in values.items()}
    recipe = sample_recipe(hp, config.training, compiled, SUITED)
    return recipe, {item.name.removeprefix("training/"): item for item in hp.space}


def test_fixed_settings_are_not_asked_for(study_config: Config) -> None:
    training = {
        "epochs": 4,
        "patience": 2,
        "batch_size": 16,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.5,
        "schedule": "cosine",
        "weight_decay": 0.01,
        "l1": 1e-5,
        "l2": 1e-4,
        "label_smoothing": 0.1,
        "flip": True,
        "shift": 0.125,
        "rotation": 15.0,
        "zoom": 0.1,
        "contrast": 0.2,
        "cutout": 0.25,
        "mixup": 0.4,
        "normalization": "standardize",
        "precision": "mixed_bfloat16",
        "class_weights": True,
    }
    recipe, asked = ask(study_config(training=training))
    assert recipe.to_dict() == {**training, "pixels": None}
    assert asked == {}
    assert recipe.augmentation == Augmentation(True, 0.125, 15.0, 0.1, 0.2, 0.25, 0.4)


def test_a_list_of_both_flags_is_a_boolean(study_config: Config) -> None:
    recipe, asked = ask(study_config(training={"flip": [True, False], "l2": [1.0, 0.0]}))
    assert recipe.augmentation.flip is True
    assert (type(asked["flip"]).__name__, type(asked["l2"]).__name__) == ("Boolean", "Choice")
    recipe, asked = ask(study_config(training={"flip": [True]}))
    assert (recipe.augmentation.flip, asked) == (True, {})


def test_a_list_is_a_choice_and_its_first_entry_the_default(study_config: Config) -> None:
    config = study_config(training={"optimizer": ["sgd", "adam"], "l2": [0.0, 1e-4], "batch_size": [64, 32]})
    recipe, asked = ask(config)
    assert (recipe.optimizer, recipe.l2, recipe.batch_size) == ("sgd", 0.0, 64)
    assert {name: item.values for name, item in asked.items()} == {
        "optimizer": ["sgd", "adam"],
        "l2": [0.0, 1e-4],
        "batch_size": [64, 32],
    }
    recipe, _ = ask(config, optimizer="adam", l2=1e-4, batch_size=32)
    assert (recipe.optimizer, recipe.l2, recipe.batch_size) == ("adam", 1e-4, 32)
    assert type(recipe.batch_size) is int


@pytest.mark.parametrize(
    ("given", "middle", "declared"),
    [
        ({"min": 0.0, "max": 0.5}, 0.25, (0.0, 0.5, None, "linear")),
        ({"min": 0.0, "max": 0.5, "step": 0.125}, 0.25, (0.0, 0.5, 0.125, "linear")),
        ({"min": 0.1, "max": 0.4, "step": 0.1}, 0.2, (0.1, 0.4, 0.1, "linear")),
        ({"min": 1e-4, "max": 1e-2, "log": True}, 1e-3, (1e-4, 1e-2, None, "log")),
        ({"min": 1e-4, "max": 1e-2, "log": True, "step": 10}, 1e-3, (1e-4, 1e-2, 10, "log")),
    ],
)
def test_a_range_and_its_middle(
    study_config: Config, given: dict[str, Any], middle: float, declared: tuple[Any, ...]
) -> None:
    recipe, asked = ask(study_config(training={"weight_decay": given}))
    item = asked["weight_decay"]
    assert recipe.weight_decay == pytest.approx(middle)
    assert item.default == pytest.approx(middle)
    assert (item.min_value, item.max_value, item.step, item.sampling) == declared
    assert ask(study_config(training={"weight_decay": given}), weight_decay=0.123)[0].weight_decay == 0.123


@pytest.mark.parametrize(
    ("given", "middle"),
    [
        ({"min": 16, "max": 64}, 40),
        ({"min": 16, "max": 128, "log": True, "step": 2}, 32),
        ({"min": 16, "max": 64, "step": 16}, 32),
        ({"min": 16, "max": 64, "log": True}, 32),
    ],
)
def test_a_range_of_batch_sizes_is_of_integers(study_config: Config, given: dict[str, Any], middle: int) -> None:
    recipe, asked = ask(study_config(training={"batch_size": given}))
    assert recipe.batch_size == middle
    assert type(recipe.batch_size) is int
    assert isinstance(asked["batch_size"], keras_tuner.engine.hyperparameters.Int)
    if given.get("step"):  # the default is a value of the range
        assert middle in asked["batch_size"].values


def test_momentum_is_asked_for_where_the_optimizer_has_it(study_config: Config) -> None:
    config = study_config(training={"optimizer": ["adam", "sgd", "rmsprop"], "momentum": {"min": 0.8, "max": 0.99}})
    for optimizer, has_momentum in (("adam", False), ("sgd", True), ("rmsprop", True)):
        recipe, asked = ask(config, optimizer=optimizer)
        assert ("momentum" in asked, recipe.momentum > 0) == (has_momentum, has_momentum)


def test_only_the_batch_size_of_a_compiled_model_is_ours(study_config: Config) -> None:
    training = {"batch_size": [16, 32], "optimizer": ["sgd", "adam"], "learning_rate": {"min": 0.1, "max": 1.0}}
    recipe, asked = ask(study_config(training=training), compiled=True)
    assert list(asked) == ["batch_size"]
    assert recipe == Recipe(epochs=1, patience=9, batch_size=16)


def test_a_space_that_preprocesses_is_not_asked_for_normalization(study_config: Config) -> None:
    config = study_config(training={"normalization": ["zca", "standardize"], "rotation": {"min": 0.0, "max": 30.0}})
    recipe, asked = ask(config)
    assert (recipe.normalization, recipe.augmentation.rotation, list(asked)) == (
        "zca",
        15.0,
        ["rotation", "normalization"],
    )
    hp = keras_tuner.HyperParameters()
    assert sample_recipe(hp, config.training, compiled=False, suited=SUITED, pixels="0..1").normalization == "scale"
    assert [item.name for item in hp.space] == ["training/rotation"]


def test_images_are_augmented_for_a_compiled_model_too(study_config: Config) -> None:
    training = {"zoom": 0.1, "class_weights": True, "normalization": "zca", "l2": 0.1}
    recipe, _ = ask(study_config(training=training), compiled=True)
    assert recipe == Recipe(1, 9, 32, augmentation=Augmentation(zoom=0.1), class_weights=True, normalization="zca")


def test_settings_are_asked_for_in_an_order_that_never_changes(study_config: Config) -> None:
    """Samplers draw in this order: another one would be another search from the same seed."""
    numbers = ("learning_rate", "momentum", "l2", "shift", "mixup", "label_smoothing")
    training = {name: {"min": 0.1, "max": 0.2} for name in numbers} | {
        "optimizer": ["sgd", "adam"],
        "schedule": ["cosine", "step"],
        "batch_size": [16, 32],
        "flip": [True, False],
        "normalization": ["zca", "scale"],
        "class_weights": [True, False],
    }
    images = ["batch_size", "flip", "shift", "mixup", "normalization", "class_weights"]
    optimizer = ["optimizer", "momentum", "learning_rate", "schedule", "l2", "label_smoothing"]
    assert list(ask(study_config(training=training))[1]) == [*images, *optimizer]


def test_a_recipe_is_a_flat_table_for_model_cards() -> None:
    recipe = Recipe(1, 2, 3, optimizer="sgd", augmentation=Augmentation(flip=True, mixup=0.1))
    assert "augmentation" not in recipe.to_dict()
    assert (recipe.to_dict()["flip"], recipe.to_dict()["mixup"]) == (True, 0.1)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("names", "images", "expected"),
    [
        (("cat", "dog"), 30_000, (128, True, 0.1)),
        (("cat", "dog"), 5_000, (64, True, 0.1)),
        (("0", "1"), 999, (16, False, 0.1)),
    ],
)
def test_what_auto_stands_for(
    study_config: Config, digits: Dataset, names: tuple[str, ...], images: int, expected: tuple[Any, ...]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (images, 4, 4, 1), np.uint8)
    split = Split(noise, np.zeros(images, np.int64))
    suited = choose_settings(replace(digits, train=split, class_names=names))
    config = study_config(training=dict.fromkeys(("batch_size", "flip", "shift"), "auto"))
    recipe = sample_recipe(keras_tuner.HyperParameters(), config.training, False, suited)
    assert (recipe.batch_size, recipe.augmentation.flip, recipe.augmentation.shift) == expected


def test_digits_are_not_mirrored_and_moved_by_little(digits: Dataset) -> None:
    assert choose_settings(digits) == {**SUITED, "flip": False, "shift": 0.05, "precision": choose_precision()}


def test_a_network_that_says_how_it_is_trained_is_left_alone() -> None:
    plain = {**SUITED, "flip": False, "shift": 0.0, "normalization": "scale"}
    assert leave_alone({**SUITED, "batch_size": 128}) == {**plain, "batch_size": 64}
    assert leave_alone(SUITED) == plain


def test_who_writes_no_training_gets_what_was_measured() -> None:
    config = validate({"spaces": ["any"], "data": {"name": "digits"}, "budget": {"trials": 1}}, "test")
    hp = keras_tuner.HyperParameters()
    recipe = sample_recipe(hp, config.training, False, SUITED)
    assert (recipe.optimizer, recipe.schedule, recipe.batch_size) == ("muon", "linear", 32)
    assert (recipe.augmentation, recipe.normalization) == (Augmentation(flip=True, shift=0.1), "standardize")
    assert [item.name for item in hp.space] == ["training/learning_rate"]


def test_who_writes_one_key_keeps_the_rest() -> None:
    table = {"spaces": ["any"], "data": {"name": "digits"}, "budget": {"trials": 1}, "training": {"flip": False}}
    recipe = sample_recipe(keras_tuner.HyperParameters(), validate(table, "test").training, False, SUITED)
    assert (recipe.optimizer, recipe.augmentation) == ("muon", Augmentation(flip=False, shift=0.1))

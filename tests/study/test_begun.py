"""A study goes on as it was begun, whatever the defaults have become."""

from typing import Any

import pytest

from searchcnn.study import StudyConfig, validate
from searchcnn.study.begun import as_begun, complete, find_changes

MINIMAL: dict[str, Any] = {"spaces": ["net"], "data": {"name": "digits"}, "budget": {"trials": 3}}


def make_study(**tables: Any) -> StudyConfig:
    return validate({**MINIMAL, **tables}, "x.toml")


def make_begun(**tables: Any) -> dict[str, Any]:
    """Returns what the database has of a study whose defaults were others."""
    return make_study(**tables).model_dump(mode="json")


OTHER: dict[str, Any] = {
    "seed": 5,
    "data": {"name": "digits", "image_size": 16, "in_memory": 0.5, "classes": 4},
    "search": {"keep_models": 7, "sampler": {"name": "TPESampler", "n_startup_trials": 3}, "pruner": "NopPruner"},
    "limits": {"feature_cache": 0},
    "training": {"epochs": 4, "learning_rate": {"min": 0.1, "max": 0.2}, "rotation": [0.0, 9.0]},
}


def test_what_is_not_set_is_as_it_was_begun() -> None:
    assert as_begun(make_study(), make_begun(**OTHER)) == make_study(**OTHER)


def test_nothing_changes_where_the_defaults_are_what_they_were() -> None:
    config = make_study(training={"epochs": 3}, options={"net": {"depth": 3}})
    assert as_begun(config, config.model_dump(mode="json")) == config
    assert find_changes(config, as_begun(config, config.model_dump(mode="json"))) == {}


def test_what_is_set_stays_though_it_is_the_default() -> None:
    config = as_begun(make_study(training={"epochs": 10, "flip": True}, search={"keep_models": 3}), make_begun(**OTHER))
    assert (config.training.epochs, config.training.flip, config.training.rotation) == (10, True, [0.0, 9.0])
    assert (config.search.keep_models, config.search.pruner.name) == (3, "NopPruner")


def test_an_older_study_keeps_the_order_of_its_classes() -> None:
    begun = make_begun()
    assert as_begun(make_study(), begun).data.class_order == "natural"
    del begun["data"]["class_order"]
    assert as_begun(make_study(), begun).data.class_order == "alphabetical"


def test_a_sampler_is_taken_as_a_whole() -> None:
    config = as_begun(make_study(search={"sampler": "TPESampler"}), make_begun(**OTHER))
    assert config.search.sampler.options == {}


def test_the_budget_is_that_of_now() -> None:
    config = as_begun(make_study(budget={"timeout": "1h"}), make_begun(budget={"trials": 9, "timeout": 5}))
    assert (config.budget.trials, config.budget.timeout) == (None, 3600)


def test_the_images_lie_where_they_lie_now() -> None:
    config = as_begun(make_study(data={"path": "here"}), make_begun(data={"name": "digits", "resize": "pad"}))
    assert (config.data.path, config.data.name, config.data.resize) == ("here", None, "pad")


def test_options_go_with_their_search_space() -> None:
    options = {"net": {"depth": 3, "wide": True}, "other": {"heads": 1}}
    old = make_begun(spaces=["net", "file.py:other"], options=options)
    assert as_begun(make_study(options={"net": {"depth": 4}}), old).options == {"net": {"depth": 4, "wide": True}}
    assert as_begun(make_study(spaces=["net", "file.py:other"]), old).options == options


def test_a_direction_goes_with_its_objective() -> None:
    old = make_begun(search={"direction": "maximize"})
    assert as_begun(make_study(), old).search.direction == "maximize"
    assert as_begun(make_study(search={"objective": "val_accuracy"}), old).search.direction == "maximize"
    assert as_begun(make_study(search={"objective": "val_loss"}), old).search.direction == "auto"


def test_a_key_that_an_older_study_does_not_know_is_as_before_it_was_added() -> None:
    old = make_begun(**OTHER)
    for key in ("normalization", "class_weights", "rotation", "detect_scaling"):
        del old["training"][key]
    del old["limits"], old["search"]["max_failures"]
    config = as_begun(make_study(), old).training
    assert (config.normalization, config.class_weights, config.rotation) == ("scale", False, 0.0)
    assert complete(old)["training"]["normalization"] == "scale"
    assert as_begun(make_study(training={"class_weights": True}), old).training.class_weights is True


def test_keys_of_other_versions_do_not_matter() -> None:
    old = make_begun(**OTHER)
    old["training"]["magic"] = 3
    old["later"] = {"a": 1}
    assert as_begun(make_study(), old) == make_study(**OTHER)


@pytest.mark.parametrize("old", [make_begun(training={"l1": [0.0, 0.1]}), {**make_begun(), "seed": "five"}])
def test_what_does_not_go_together_is_left_to_be_refused(old: dict[str, Any]) -> None:
    config = make_study(search={"objective": "val_loss"})
    assert as_begun(config, old) is config


def test_changes_are_named_by_their_keys() -> None:
    config = make_study(training={"epochs": 3})
    assert find_changes(config, as_begun(config, make_begun(**OTHER))) == {
        "seed": 5,
        "data.classes": 4,
        "data.image_size": 16,
        "data.in_memory": 0.5,
        "search.keep_models": 7,
        "search.pruner": {"name": "NopPruner"},
        "search.sampler": {"name": "TPESampler", "n_startup_trials": 3},
        "limits.feature_cache": 0,
        "training.learning_rate": {"min": 0.1, "max": 0.2, "step": None, "log": False},
        "training.rotation": [0.0, 9.0],
    }

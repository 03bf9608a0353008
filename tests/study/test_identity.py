"""What must stay the same in all runs of a study."""

from collections.abc import Callable
from typing import Any

import pytest

from searchcnn.study import StudyConfig, TrainingConfig
from searchcnn.study.identity import identify, list_values_before
from searchcnn.study.recipe import SETTINGS

Config = Callable[..., StudyConfig]


def test_options_are_part_of_what_a_study_is(study_config: Config) -> None:
    def identify_space(options: dict[str, Any]) -> dict[str, str]:
        return identify(study_config(options=options), "0123", ())

    assert identify_space({"Base": {"depth": 7}}) == identify_space({"Base": {"depth": 7}})
    assert identify_space({"Base": {"depth": 7}}) != identify_space({"Base": {"depth": 8}})
    assert identify_space({"Base": {"depth": 7}}) != identify_space({})
    changed = identify_space({"Base": {"depth": 7}}).items() - identify_space({"Base": {"depth": 8}}).items()
    assert [key for key, _ in changed] == ["options.Base"]


def test_the_division_counts_where_searchcnn_has_made_it(study_config: Config) -> None:
    config = study_config()
    assert "data.test" not in identify(config, "0123", ("validation",))
    assert identify(config, "0123", ("validation", "test"))["data.test"] == "0.1"
    assert identify(config, "0123456789abcdef", ())["data"] == "digits 0123456789ab"


def test_each_setting_is_part_of_it_unless_it_is_as_before_it_was_known(study_config: Config) -> None:
    others = {"normalization": "zca", "detect_scaling": False, "flip": True, "class_weights": True, "batch_size": 7}
    others |= {"precision": "mixed_bfloat16"}
    before = list_values_before(TrainingConfig)
    assert set(before) == {name for name, setting in SETTINGS.items() if setting.since} | {"detect_scaling"}
    usual = identify(study_config(), "0123", ())
    for name in TrainingConfig.model_fields:
        assert (f"training.{name}" in usual) == (name not in before or name == "precision")
        if name in before or name in others:
            values = identify(study_config(training={name: others.get(name, 0.5)}), "0123", ())
            assert values[f"training.{name}"] == str(others.get(name, 0.5))


@pytest.mark.parametrize("value", [[0.0, 15.0], {"min": 1.0, "max": 15.0}])
def test_a_setting_that_is_searched_is_part_of_it(study_config: Config, value: Any) -> None:
    assert "training.rotation" in identify(study_config(training={"rotation": value}), "0123", ())

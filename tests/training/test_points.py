"""Which known points a search tries, and in what order: by what the time is enough for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.search import Scheduler, make_scheduler
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_space
from searchcnn.study import StudyConfig, Workspace

start_keras()

from searchcnn.training import Trainer, find_known_points, points  # noqa: E402

CODE = """
import keras
from searchcnn import SearchSpace


class Net(SearchSpace):
    def build(self, hp):
        units = hp.Int("units", 1, 5000, default=8)
        if units == 13:
            raise RuntimeError("thirteen is wrong")
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(10, "softmax")])

    def baselines(self):
        return {f"of {units}": {"units": units} for units in UNITS}
"""
IMAGES, MACS = 1150, 74
"""Training images of the study, about; multiply-accumulates for each of the units."""


def plan(*arguments: Any) -> Scheduler | None:
    """Returns the plan of a study, with a last share of 60 % whatever the default is."""
    scheduler = make_scheduler(*arguments)
    return scheduler and replace(scheduler, last_share=0.6)


@pytest.fixture
def find(
    tmp_path: Path, study_config: Callable[..., StudyConfig], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[int]]:
    """Returns a finder of known points, by their units, on a machine that trains so many units in a second."""

    def find(units: list[int], seconds: float | None, pruner: str = "auto", speed: float = 1e9) -> list[int]:
        (tmp_path / "net.py").write_text(f"{CODE}\n\nUNITS = {units}\n")
        budget = {"trials": 99} if seconds is None else {"timeout": seconds}
        config = study_config(budget=budget, search={"pruner": pruner})
        monkeypatch.setattr(points, "estimate_training_speed", lambda: speed * MACS * IMAGES)
        monkeypatch.setattr(points, "make_scheduler", plan)
        dataset, space = load_dataset(config.data, 0), load_space("net.py", Workspace(tmp_path))
        trainer = Trainer(config, dataset, {"net": space.create(dataset.input_shape, dataset.num_classes)})
        return [values["units"] for _, values in find_known_points(trainer, [space])]

    return find


def test_what_can_make_enough_passes_comes_first_and_what_can_make_too_few_not_at_all(
    find: Callable[..., list[int]],
) -> None:
    # The last share is 60 s; so many passes: 20 by default, then 8, 16, 0.5 and 11.
    assert find([20, 10, 320, 14], seconds=100, speed=8 * 20 / 60) == [8, 10, 14, 20]


def test_the_order_is_the_space_s_own_where_trials_are_counted_or_no_plan_divides_the_time(
    find: Callable[..., list[int]],
) -> None:
    assert find([20, 10, 320, 14], None, speed=1) == [8, 20, 10, 320, 14]
    assert find([20, 10, 320, 14], 100, "NopPruner", speed=1) == [8, 20, 10, 320, 14]


def test_no_more_points_are_built_than_can_be_trained_for_an_epoch(find: Callable[..., list[int]]) -> None:
    # There are 40 s to explore, and 4 s go by for each network; or 10, where 8 units take 6 s.
    assert find([*range(14, 30), 13], seconds=100) == [8, *range(14, 23)]
    assert find([7, 6, 5, 4, 3, 13], seconds=100, speed=8 / 6) == [8, 7, 6, 5, 4]
    assert find([14, 15, 16], seconds=5) == [8]


def test_no_more_points_are_built_than_there_is_time_to_build_them(find: Callable[..., list[int]]) -> None:
    assert find([*range(320, 329), 13], seconds=100, speed=8 * 20 / 60) == [8]


def test_one_is_tried_even_where_all_are_too_large(find: Callable[..., list[int]]) -> None:
    assert find([20, 5, 30], seconds=100, speed=0.1) == [5]

"""Several search spaces as one, and hypermodels and functions as search spaces."""

from collections.abc import Iterator
from typing import Any

import keras_tuner
import pytest

from searchcnn.spaces import Phase, SearchSpace
from searchcnn.spaces.adapter import FunctionSpace, HyperModelSpace, adapt
from searchcnn.spaces.joint import JointSpace


class Asking(SearchSpace):
    """Asks for something in each of its methods."""

    min_size = (8, 8)
    own_preprocessing = True

    def __init__(self) -> None:
        super().__init__()
        self.input_shape, self.num_classes = (8, 8, 1), 10

    def build(self, hp: Any) -> Any:
        return hp.Int("build", 1, 9)

    def auxiliary_weight(self, hp: Any) -> float:
        return float(hp.Float("weight", 0.1, 1.0))

    def initialize(self, hp: Any, model: Any) -> None:
        hp.Int("initialize", 1, 9)

    def phases(self, hp: Any, model: Any) -> Iterator[Phase]:
        yield Phase(share=hp.Float("head", 0.1, 0.5))
        yield Phase(share=hp.Float("rest", 0.1, 0.5))

    def fit(self, hp: Any, model: Any, *images: Any, extra: int = 0, **options: Any) -> Any:
        return hp.Int("fit", 1, 9), images, extra

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {"small": {"build": 3}}


def ask_all(space: SearchSpace, hp: Any) -> None:
    """Calls all methods, and asks for something else between two phases."""
    model = space.build(hp)
    space.initialize(hp, model)
    for number, _ in enumerate(space.phases(hp, model)):
        hp.Int(f"between_{number}", 1, 9)
        space.auxiliary_weight(hp)
    assert space.fit(hp, model, "images", extra=2) == (1, ("images",), 2)


def test_each_of_several_spaces_has_a_scope() -> None:
    joint, hp = JointSpace({"one": Asking(), "two": Asking()}), keras_tuner.HyperParameters()
    hp.values["space"] = "two"
    member = joint.choose(hp)
    ask_all(member, hp)
    methods = ("build", "initialize", "head", "weight", "rest", "fit")
    assert {*hp.values} == {"space", *(f"two/{name}" for name in methods), "between_0", "between_1"}
    assert joint.find_name(hp.values) == member.name == "two"
    assert member.name_values({"build": 3}) == {"space": "two", "two/build": 3}
    assert joint.choose(hp) is member


def test_an_only_space_has_no_scope() -> None:
    joint, hp = JointSpace({"one": Asking()}), keras_tuner.HyperParameters()
    ask_all(joint.choose(hp), hp)
    assert "space" not in hp.values
    assert "build" in hp.values
    assert joint.find_name({}) == "one"
    assert joint.members["one"].name_values({"build": 3}) == {"build": 3}


def test_a_member_is_what_its_space_is() -> None:
    (member,) = JointSpace({"one": Asking()}).members.values()
    assert (member.input_shape, member.min_size, member.own_preprocessing) == ((8, 8, 1), (8, 8), True)
    assert member.baselines() == {"small": {"build": 3}}
    assert member.has_own_fit
    assert getattr(member.fit_method, "__func__", None) is Asking.fit


class Foreign(keras_tuner.HyperModel):
    """Written for Keras Tuner; its ``channels`` are not ours."""

    channels = "first"

    def build(self, hp: Any) -> Any:
        return hp.Int("units", 1, 9)


class Fitting(Foreign):
    def fit(self, hp: Any, model: Any, *images: Any, **options: Any) -> Any:
        return "fitted"


@pytest.mark.parametrize("kind", [Foreign, Fitting])
def test_a_hypermodel_is_adapted(kind: type[Foreign]) -> None:
    hypermodel = kind()
    hypermodel.input_shape, hypermodel.num_classes = (8, 8, 1), 10
    space = adapt(hypermodel)
    assert isinstance(space, HyperModelSpace)
    assert (space.input_shape, space.channels, space.knows_sizes) == ((8, 8, 1), (), False)
    assert space.has_own_fit == (kind is Fitting)
    assert space.baselines() == {}
    assert space.build(keras_tuner.HyperParameters()) == 1
    if kind is Fitting:
        assert space.fit(None, None) == "fitted"


def test_a_search_space_is_adapted_already() -> None:
    space = Asking()
    assert adapt(space) is space


def test_a_function_gets_what_it_names() -> None:
    space = FunctionSpace(lambda hp, classes, units: (classes, units), {"units": 3})
    space.input_shape, space.num_classes = (8, 8, 1), 10
    assert space.build(None) == (10, 3)
    assert not space.has_own_fit

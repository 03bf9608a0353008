"""Each check finds what it is for, and only that; its message says what to do."""

import importlib.util
import os
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.study import LimitsConfig
from searchcnn.testing import CHECKS, Result, check_space
from searchcnn.text import join_words

start_keras()

import keras  # noqa: E402

from searchcnn.testing.conformance import run_check  # noqa: E402
from searchcnn.testing.subject import Subject  # noqa: E402

BROKEN = [
    ("Undocumented", "documentation", "no docstring; say what is searched in the first line"),
    ("Unreferenced", "documentation", "no reference; set `reference`"),
    ("OddSizes", "images", "images 37x29x1: .*broken.py:.* ValueError: the height must be even; build it from self"),
    ("Sigmoids", "images", "images 32x32x3: the first output is not probabilities: .*; end the network with a softmax"),
    ("Lambda", "images", "uses .*Lambda, which plain Keras cannot load; use stock layers only"),
    ("OwnLayer", "images", "uses .*Identity, which plain Keras cannot load; use stock layers only"),
    ("Silent", "samples", r"InfeasibleError without a reason; raise .* with filters=16"),
    ("Infeasible", "samples", r"of 12 random points are infeasible \(too wide \d+\): .*; narrow the ranges"),
    ("Failing", "samples", r"\d of 12 random points fail: .*broken.py:\d+: KeyError: 'sixteen'; fix it, or raise Inf"),
    ("Redeclared", "stability", "'filters' is declared twice with different meanings: .*; give each its own name"),
    ("OtherRange", "stability", "'filters' has several meanings, .*; give each its own name. The latter with is_wide="),
    (
        "Unstable",
        "stability",
        r"give different networks: layer 1 \(class Conv2D, filters \d+\) or .*; derive everything",
    ),
    (
        "OtherDefault",
        "stability",
        r"ask for different hyperparameters or defaults \(filters\); derive everything from hp",
    ),
    (
        "Dead",
        "relevance",
        "'units' changes nothing here: .* Ask for it under an `if`.* The others: filters=.*hidden=False",
    ),
    ("Ignored", "relevance", "'activation' changes nothing here: .*; or use it"),
    (
        "Leaking",
        "relevance",
        "'extra' changes the network although a conditional scope .*; use the value that hp.Int()",
    ),
    ("NoSuchBaseline", "baselines", "'wide': there is no hyperparameter 'filter'; did you mean 'filters'?"),
    ("BaselineOutOfRange", "baselines", "'wide': .* cannot be 64; .*; choose a value in its range, or widen it"),
    ("BaselineNotAskedFor", "baselines", "'wide': 'units' is not asked for .* hidden=False; leave it out"),
    (
        "Disconnected",
        "training",
        "2 weights do not change in training: .*kernel.*; no gradient reaches them: connect",
    ),
    (
        "OwnActivation",
        "saving",
        "plain Keras cannot load the saved model: .*; a search space may only use stock layers",
    ),
    ("Remembering", "isolation", "another one between them, give different networks: .*; derive everything from hp"),
    ("Seeding", "isolation", "building seeds random and numpy.random: all trials .*; leave seeds alone"),
    (
        "Polluting",
        "isolation",
        r"changes keras.config.epsilon\(\) \(from 1e-07 to 0.001\); os.environ \(SEARCHCNN_TEST",
    ),
]


@pytest.fixture(scope="module")
def broken() -> ModuleType:
    """Returns the module of broken search spaces."""
    spec = importlib.util.spec_from_file_location("broken", Path(__file__).with_name("broken.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["broken"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains without compiling graphs: for a few steps on a few images compiling takes most of the time."""
    monkeypatch.setattr(keras.Model, "run_eagerly", property(lambda model: True, lambda model, value: None))


def run_checks(subject: Subject, *needed: str) -> dict[str, Result]:
    """Runs all checks, but saves only if that is needed: it starts a process."""
    return {name: run_check(name, subject) for name in CHECKS if name != "saving" or name in needed}


QUICK = ("Undocumented", "Sigmoids", "Failing", "Redeclared", "Dead", "NoSuchBaseline")
"""The broken spaces that are checked by default."""


@pytest.mark.parametrize(
    ("name", "check", "message"),
    [pytest.param(*case, id=case[0], marks=() if case[0] in QUICK else pytest.mark.slow) for case in BROKEN],
)
def test_what_is_broken_in_one_way_fails_one_check(broken: ModuleType, name: str, check: str, message: str) -> None:
    results = run_checks(Subject(getattr(broken, name), 12), check)
    failed = [result.check for result in results.values() if result.status == "failed"]
    assert failed == [check], "\n".join(f"{result.check}: {result.message}" for result in results.values())
    assert_matches(message, results[check].message)


def assert_matches(pattern: str, message: str) -> None:
    """Checks a message against a text in which only ``.*`` and the like are special."""
    assert re.search(pattern.replace("?", "[?]").replace("()", "[(][)]"), message), message
    assert "\n" not in message


def test_nothing_fails_where_nothing_is_broken(broken: ModuleType) -> None:
    results = run_checks(Subject(broken.Sound, 12))
    assert all(result.passed for result in results.values()), results


@pytest.mark.slow
def test_all_checks_pass_where_nothing_is_broken(broken: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # trains as users do
    results = check_space(broken.Sound, samples=12)
    assert [result.check for result in results] == list(CHECKS)
    assert all(result.passed for result in results), results
    assert all(result.seconds >= 0 for result in results)


def test_a_network_over_the_limits(broken: ModuleType) -> None:
    result = run_check("size", Subject(broken.Sound, 12, limits=LimitsConfig(max_params=100)))
    assert "the default network is over a limit, max_params: " in result.message
    assert "choose smaller defaults" in result.message


def test_random_networks_over_the_limits(broken: ModuleType) -> None:
    subject = Subject(broken.Sound, 12)
    subject.limits = LimitsConfig(max_params=subject.default.cost.params)
    subject.sampled = [sample for sample in subject.sampled if sample.values["filters"] > 4]
    result = run_check("size", subject)
    assert f"0 of {len(subject.sampled)} random networks have at most" in result.message


def test_the_process_is_put_back(broken: ModuleType) -> None:
    before = keras.config.epsilon(), list(warnings.filters)
    Subject(broken.Polluting, 2).try_values({})
    assert (keras.config.epsilon(), list(warnings.filters)) == before
    assert "SEARCHCNN_TEST_OF_POLLUTION" not in os.environ


def test_a_check_never_crashes(broken: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(broken.Sound, 2)
    monkeypatch.setattr(Subject, "try_values", lambda *_: dict[str, int]()["surprise"])
    result = run_check("stability", subject)
    assert result.status == "failed"
    assert "KeyError: 'surprise'" in result.message


def test_what_cannot_be_checked_before_is_skipped(broken: ModuleType) -> None:
    results = run_checks(Subject(broken.Lambda, 2))
    skipped = [result.check for result in results.values() if result.status == "skipped"]
    assert join_words(skipped) == "samples, stability, relevance, baselines, pixels, training, size and isolation"


def test_a_space_with_its_own_fit_may_use_hyperparameters_there(broken: ModuleType) -> None:
    class Fitting(broken.Ignored):  # type: ignore[name-defined]
        """Own work."""

        def fit(self, hp: object, model: object, *args: object, **kwargs: object) -> object:
            return model.fit(*args, **kwargs)  # type: ignore[attr-defined]

    result = run_check("relevance", Subject(Fitting, 4))
    assert result.status == "skipped"
    assert "fit()" in result.message


def test_a_function_is_checked_for_its_own_images_only(broken: ModuleType) -> None:
    def build(hp: object) -> object:
        """Own work."""
        space = broken.Sound()
        space.input_shape, space.num_classes = (28, 28, 1), 10
        return space.build(hp)

    subject = Subject(build, 2, image=(28, 28, 1))
    assert run_check("images", subject).message == "28x28x1"


def test_the_same_points_are_drawn_each_time(broken: ModuleType) -> None:
    first, second = (Subject(broken.Sound, 5).sampled for _ in range(2))
    assert [sample.values for sample in first] == [sample.values for sample in second]
    assert len({str(sample.values) for sample in first}) > 2


def test_all_dead_hyperparameters_are_named(broken: ModuleType) -> None:
    class Both(broken.Dead):  # type: ignore[name-defined]
        """Own work."""

        def build(self, hp: Any) -> Any:
            hp.Boolean("unused")
            return super().build(hp)

    message = run_check("relevance", Subject(Both, 12)).message
    assert "hyperparameter 'unused' changes nothing here" in message
    assert message.endswith(". The same goes for 'units'")


def build_mapping(hp: Any, policy: str = "float32") -> Any:
    images = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(images)
    heads = {name: keras.layers.Dense(10, activation="softmax", dtype=policy)(x) for name in ("digit", "aside")}
    return keras.Model(images, heads)


def build_half(hp: Any) -> Any:
    return build_mapping(hp, "float16")


@pytest.mark.parametrize("build", [build_mapping, build_half])
@pytest.mark.parametrize("name", ["images", "training", "saving"])
def test_outputs_of_all_kinds_pass(build: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searchcnn.testing.checks.verify", lambda *_: None)  # in a fresh process: tests/results does it
    keras.utils.set_random_seed(0)  # in half precision, a few steps may leave some weight as it is
    result = run_check(name, Subject(build, 2, image=(8, 8, 1)))
    assert result.status == "passed", result.message

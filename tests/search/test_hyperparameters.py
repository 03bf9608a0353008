"""Keras Tuner's hyperparameters answered by Optuna: every kind, every trap."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.search import Trial

start_keras()

import keras_tuner  # noqa: E402
from keras_tuner.engine import hyperparameters as kinds  # noqa: E402

from searchcnn.search.hyperparameters import CheckedHyperParameters, Parameter, TrialHyperParameters  # noqa: E402

Make = Callable[..., Trial]
Ask = Callable[[Any], Any]

KINDS: dict[str, tuple[Ask, set[Any] | tuple[float, float], type]] = {
    "Int": (lambda hp: hp.Int("p", 1, 3), {1, 2, 3}, int),
    "Int step": (lambda hp: hp.Int("p", 1, 8, step=3), {1, 4, 7}, int),
    "Int log": (lambda hp: hp.Int("p", 1, 4, sampling="log"), {1, 2, 3, 4}, int),
    "Int log step": (lambda hp: hp.Int("p", 2, 32, step=2, sampling="log"), {2, 4, 8, 16, 32}, int),
    "Int log step beyond": (lambda hp: hp.Int("p", 2, 31, step=2, sampling="log"), {2, 4, 8, 16}, int),
    "Int reverse_log": (lambda hp: hp.Int("p", 2, 5, sampling="reverse_log"), {2, 3, 4, 5}, int),
    "Int reverse_log step": (lambda hp: hp.Int("p", 1, 8, step=2, sampling="reverse_log"), {8, 7, 5, 1}, int),
    "Float": (lambda hp: hp.Float("p", -1, 1), (-1, 1), float),
    "Float step": (lambda hp: hp.Float("p", 0, 1, step=0.5), {0.0, 0.5, 1.0}, float),
    "Float log": (lambda hp: hp.Float("p", 1e-4, 1e-1, sampling="log"), (1e-4, 1e-1), float),
    "Float log step": (lambda hp: hp.Float("p", 0.01, 10, step=10, sampling="log"), {0.01, 0.1, 1.0, 10.0}, float),
    "Float reverse_log": (lambda hp: hp.Float("p", 1, 100, sampling="reverse_log"), (1, 100), float),
    "Float reverse_log step": (
        lambda hp: hp.Float("p", 1, 4, step=2, sampling="reverse_log"),
        {4.0, 3.0, 1.0},
        float,
    ),
    "Choice of texts": (lambda hp: hp.Choice("p", ["a", "b"]), {"a", "b"}, str),
    "Choice of ints": (lambda hp: hp.Choice("p", [16, 32]), {16, 32}, int),
    "Choice of floats": (lambda hp: hp.Choice("p", [0.1, 0.5]), {0.1, 0.5}, float),
    "Choice of bools": (lambda hp: hp.Choice("p", [True, False]), {1, 0}, int),
    "Choice of one": (lambda hp: hp.Choice("p", ["a"]), {"a"}, str),
    "Boolean": (lambda hp: hp.Boolean("p"), {True, False}, bool),
    "Fixed": (lambda hp: hp.Fixed("p", 7), {7}, int),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_sampled_from_all_its_values(make_trial: Make, kind: str) -> None:
    ask, possible, type_ = KINDS[kind]
    values = [ask(TrialHyperParameters(make_trial())) for _ in range(20)]
    assert {type(value) for value in values} == {type_}
    if isinstance(possible, set):
        assert {round(value, 9) if type_ is float else value for value in values} == possible
    else:
        assert len(set(values)) == len(values)
        assert all(possible[0] <= value <= possible[1] for value in values)


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_the_same_when_given_asked_again_and_rebuilt(make_trial: Make, kind: str) -> None:
    ask = KINDS[kind][0]
    hp = TrialHyperParameters(make_trial())
    value = ask(hp)
    assert ask(hp) == value
    assert hp.active == {"p": value}
    assert ask(CheckedHyperParameters(hp.active)) == value
    assert ask(TrialHyperParameters(make_trial(**hp.active))) == value


def test_logarithmic_scales_are_sampled_logarithmically(make_trial: Make) -> None:
    log, mirrored = [], []
    for _ in range(40):
        hp = TrialHyperParameters(make_trial())
        log.append(hp.Float("log", 1, 10_000, sampling="log"))
        mirrored.append(hp.Float("mirrored", 1, 10_000, sampling="reverse_log"))
    assert 10 < sum(value < 100 for value in log) < 30
    assert 10 < sum(value > 10_001 - 100 for value in mirrored) < 30


@pytest.mark.parametrize("is_indexed", [False, True])
def test_optuna_has_what_the_builder_got_but_for_a_mirrored_value(
    make_trial: Make, is_indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "stores_indices", is_indexed)  # an earlier version has begun the study
    trial = make_trial(units=16, rate=99.0, epochs=7, width=0.3)
    hp = TrialHyperParameters(trial)
    values = {
        "units": hp.Int("units", 2, 32, step=2, sampling="log"),
        "rate": hp.Float("rate", 1, 100, sampling="reverse_log"),
        "epochs": hp.Int("epochs", 1, 8, step=2, sampling="reverse_log"),
        "width": hp.Float("width", 0, 1, step=0.1),
    }
    assert values == hp.active == {"units": 16, "rate": 99.0, "epochs": 7, "width": 0.3}
    steps = {"units": 3, "epochs": 1} if is_indexed else {"units": 16, "epochs": 7}
    assert trial.stored.params == {"rate": 2.0, "width": 0.3, **steps}


@given(
    st.decimals(-2, 2, places=3), st.decimals("0.001", 1, places=3), st.integers(0, 12), st.decimals(0, "0.9", places=1)
)
def test_steps_reach_the_largest_value_without_a_warning(low: Any, step: Any, count: int, rest: Any) -> None:
    parameter = Parameter(kinds.Float("p", float(low), float(low + (count + rest) * step), step=float(step)))
    largest = float(low + count * step)
    possible: Any = parameter.distribution
    assert possible.high == largest
    assert parameter.to_optuna(largest) == largest
    assert parameter.to_optuna(float(low)) == float(low)


@pytest.mark.parametrize(("low", "high", "step"), [(0, 1, 0.1), (0, 1, 1 / 3), (0.1, 0.7, 0.2), (-1, 0.44, 0.72)])
def test_some_steps_that_rounding_hurts(low: float, high: float, step: float) -> None:
    possible: Any = Parameter(kinds.Float("p", low, high, step=step)).distribution
    assert possible.high == pytest.approx(high)


# -- defaults that are none of the values, as Keras Tuner allows them

DEFAULTS: dict[str, tuple[Ask, Any, Any]] = {
    "outside": (lambda hp: hp.Int("p", 16, 64, default=8), 8, 16),
    "between steps": (lambda hp: hp.Int("p", 16, 64, step=16, default=40), 40, 40),
    "float between steps": (lambda hp: hp.Float("p", 0, 0.5, step=0.1, default=0.25), 0.25, 0.25),
    "float outside": (lambda hp: hp.Float("p", 0, 0.5, default=0.75), 0.75, 0.5),
    "log between steps": (lambda hp: hp.Int("p", 8, 64, step=2, sampling="log", default=20), 20, 16),
    "zero of a log": (lambda hp: hp.Float("p", 1e-4, 1e-1, sampling="log", default=0.0), 0.0, 1e-4),
    "outside a mirrored log": (lambda hp: hp.Float("p", 1, 100, sampling="reverse_log", default=200), 200.0, 1.0),
    "outside one value": (lambda hp: hp.Int("p", 16, 16, default=20), 20, 16),
    "of an Int as a float": (lambda hp: hp.Int("p", 16, 64, step=16, default=32.0), 32, 32),
    "of a Float as an int": (lambda hp: hp.Float("p", 0, 2, default=1), 1.0, 1.0),
    "of NumPy": (lambda hp: hp.Int("p", np.int64(1), np.int64(9), np.int64(2), default=np.int64(3)), 3, 3),
    "float of NumPy": (
        lambda hp: hp.Float("p", np.float32(0), np.float64(1), np.float32(0.5), default=np.float32(0.5)),
        0.5,
        0.5,
    ),
    "choice of NumPy": (lambda hp: hp.Choice("p", list(np.array([1.0, 2.0])), default=np.float64(2)), 2.0, 2.0),
    "Boolean as an int": (lambda hp: hp.Boolean("p", default=1), True, True),
    "Boolean of NumPy": (lambda hp: hp.Boolean("p", default=np.True_), True, True),
    "Fixed": (lambda hp: hp.Fixed("p", np.float64(1.5)), 1.5, None),
    "twice the same": (lambda hp: hp.Choice("p", [16, 16, 32], default=32), 32, 32),
    "step beyond the range": (lambda hp: hp.Int("p", 16, 20, step=32), 16, 16),
}


@pytest.mark.parametrize("case", DEFAULTS)
def test_the_default_is_what_is_trained_stored_and_rebuilt(make_trial: Make, case: str) -> None:
    ask, expected, stored = DEFAULTS[case]
    assert ask(keras_tuner.HyperParameters()) == expected
    default = CheckedHyperParameters()
    assert ask(default) == expected
    preset = json.loads(json.dumps(default.active))
    assert (preset, type(preset["p"])) == ({"p": expected}, type(expected))
    trial = make_trial(**preset)
    hp = TrialHyperParameters(trial)
    assert (ask(hp), hp.active) == (expected, preset)
    assert ask(CheckedHyperParameters(preset)) == expected
    assert trial.stored.params == ({} if stored is None else {"p": stored})
    again = TrialHyperParameters(make_trial())
    assert ask(CheckedHyperParameters({"p": ask(again)})) == again.values["p"]


@pytest.mark.filterwarnings("ignore:Fixed parameter", "ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler", "QMCSampler"])
def test_samplers_learn_from_defaults_between_steps(sampler: str) -> None:
    hps = {"rate": kinds.Float("rate", 0, 0.5, step=0.1, default=0.25), "units": kinds.Int("units", 16, 64, step=16)}
    distributions: Any = {name: Parameter(hp).distribution for name, hp in hps.items()}
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=0))
    study.enqueue_trial({"rate": 0.25, "units": 40})
    for number in range(20):
        trial = study.ask(distributions)
        assert (trial.params == {"rate": 0.25, "units": 40}) == (number == 0)
        study.tell(trial, abs(trial.params["rate"] - 0.25))


REFUSED: dict[str, tuple[Ask, str]] = {
    "tuples": (lambda hp: hp.Choice("p", [(1, 3), (3, 1)]), "found values: .*; give a list of texts"),
    "None": (lambda hp: hp.Choice("p", [None, 16]), "only one type of value"),
    "mixed": (lambda hp: hp.Choice("p", [16, 32.0]), "only one type of value"),
    "an array": (lambda hp: hp.Choice("p", np.array([16, 32])), r"tolist\(\)"),
    "ints of NumPy": (lambda hp: hp.Choice("p", list(np.array([16, 32]))), r"tolist\(\)"),
    "a set": (lambda hp: hp.Choice("p", {16, 32}), "give a list"),
    "nothing": (lambda hp: hp.Choice("p", []), "must be provided"),
    "another default": (lambda hp: hp.Choice("p", [16, 32], default=8), "should be one of the choices"),
    "upside down": (lambda hp: hp.Int("p", 64, 16), "is greater than"),
    "log from zero": (lambda hp: hp.Float("p", 0, 1, sampling="log"), "min_value: 0.0"),
    "unknown sampling": (lambda hp: hp.Float("p", 0, 1, sampling="logarithmic"), "sampling must be one of"),
    "no whole bound": (lambda hp: hp.Int("p", 1.5, 3), "must be an int"),
    "no step": (lambda hp: hp.Int("p", 1, 3, step=0), "has step 0"),
    "step backwards": (lambda hp: hp.Float("p", 0, 1, step=-0.5), "has step -0.5"),
    "endless": (lambda hp: hp.Float("p", 0, float("inf")), "has no end"),
    "endless int": (lambda hp: hp.Int("p", 0, float("inf")), "infinity"),
    "no bound": (lambda hp: hp.Float("p", None, 1), "NoneType"),
    "a half": (lambda hp: hp.Int("p", 16, 64, default=32.5), "cannot be 32.5, its default; its values: 16 to 64"),
    "text": (lambda hp: hp.Float("p", 0, 1, default="x"), "cannot be 'x', its default"),
    "no Boolean": (lambda hp: hp.Boolean("p", default="yes"), "give True or False"),
    "a fixed list": (lambda hp: hp.Fixed("p", [1]), "give a text, a number or True or False"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_declared_is_refused_by_name(case: str) -> None:
    ask, message = REFUSED[case]
    with pytest.raises(PluginError, match=rf"^hyperparameter 'p'.*{message}") as refused:
        ask(CheckedHyperParameters())
    assert isinstance(refused.value, TypeError | ValueError)
    assert "\n" not in str(refused.value)


def test_given_values_are_checked_before_any_trial() -> None:
    with pytest.raises(PluginError, match=r"^hyperparameter 'p' cannot be 41; its values: 16 to 64, step 16$"):
        CheckedHyperParameters({"p": 41}).Int("p", 16, 64, step=16, default=40)
    assert CheckedHyperParameters({"p": 40}).Int("p", 16, 64, step=16, default=40) == 40


def test_a_default_that_depends_on_other_values(make_trial: Make) -> None:
    def ask(hp: Any) -> int:
        return int(hp.Int("b", 1, 5, default=10 * hp.Int("a", 1, 3)))

    hp = CheckedHyperParameters({"a": 2})
    assert ask(hp) == 20
    assert ask(TrialHyperParameters(make_trial(**hp.active))) == 20
    with pytest.raises(PluginError, match="'b' cannot be 20"):
        ask(TrialHyperParameters(make_trial(a=1, b=20)))


def test_a_default_in_a_scope_that_is_switched_off(make_trial: Make) -> None:
    for value, expected in ((True, 99), (False, None)):
        hp = CheckedHyperParameters({"on": value})
        hp.Boolean("on")
        with hp.conditional_scope("on", [True]):
            assert hp.Int("p", 1, 3, default=99) == expected
        trial = TrialHyperParameters(make_trial(**hp.active))
        assert trial.Boolean("on") is value
        assert trial.Int("p", 1, 3, default=99, parent_name="on", parent_values=[True]) == expected


@pytest.mark.parametrize("values", [[None, 1], [(1, 2), (3, 4)], [1, "a"], [1, 2.5], [None]])
def test_choices_that_keras_tuner_refuses(make_trial: Make, values: list[Any]) -> None:
    with pytest.raises(TypeError):
        TrialHyperParameters(make_trial()).Choice("p", values)


# -- scopes


def ask_conditionally(hp: Any) -> dict[str, Any]:
    kind = hp.Choice("kind", ["dense", "conv"])
    with hp.conditional_scope("kind", ["dense"]):
        dense = hp.Int("size", 10, 12)
    with hp.conditional_scope("kind", ["conv"]):
        conv = hp.Int("size", 1, 3)
        norm = hp.Boolean("norm")
    return {"kind": kind, "dense": dense, "conv": conv, "norm": norm}


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_what_is_inactive_is_none_and_not_sampled(make_trial: Make, kind: str) -> None:
    trial = make_trial(kind=kind)
    hp = TrialHyperParameters(trial)
    answers = ask_conditionally(hp)
    assert ask_conditionally(hp) == answers
    if kind == "dense":
        assert answers["dense"] in (10, 11, 12)
        assert (answers["conv"], answers["norm"]) == (None, None)
        assert set(trial.stored.params) == {"kind", "size@kind=dense"}
        assert set(hp.active) == {"kind", "size"}
    else:
        assert answers["conv"] in (1, 2, 3)
        assert answers["dense"] is None
        assert set(trial.stored.params) == {"kind", "size@kind=conv", "norm@kind=conv"}
        assert set(hp.active) == {"kind", "size", "norm"}


def test_conditions_with_several_parents_and_values(make_trial: Make) -> None:
    trial = make_trial(a=2, b=True)
    hp = TrialHyperParameters(trial)
    hp.Int("a", 1, 3)
    with hp.conditional_scope("a", [1, 2]):
        hp.Boolean("b")
        with hp.conditional_scope("b", [True]):
            hp.Int("x", 1, 3)
    assert hp.Int("y", 1, 3, parent_name="a", parent_values=3) is None
    assert set(trial.stored.params) == {"a", "b@a=1|2", "x@a=1|2@b=True"}


def test_conditions_are_copied_and_do_not_follow_the_open_scopes(make_trial: Make) -> None:
    hp = TrialHyperParameters(make_trial(kind="conv"))
    ask_conditionally(hp)
    assert {(p.name, len(p.conditions)) for p in hp.space} == {("kind", 0), ("size", 1), ("norm", 1)}
    with hp.conditional_scope("kind", ["conv"]):
        inside = hp.space[-1].conditions
        hp.Int("late", 1, 3)
    assert [condition.values for condition in inside] == [["conv"]]
    assert [condition.values for condition in hp.space[-1].conditions] == [["conv"]]


def test_name_scopes(make_trial: Make) -> None:
    trial = make_trial(**{"block/units": 3})
    hp = TrialHyperParameters(trial)
    with hp.name_scope("block"):
        assert hp.Int("units", 1, 3) == 3
        hp.Int("more", 1, 3, parent_name="units", parent_values=[3])
    assert set(trial.stored.params) == {"block/units", "block/more@block/units=3"}
    assert set(hp.active) == {"block/units", "block/more"}


def test_a_condition_on_a_name_outside_the_scope_is_keras_tuners_error(make_trial: Make) -> None:
    hp = TrialHyperParameters(make_trial())
    hp.Int("a", 1, 3)
    with (
        pytest.raises(ValueError, match="`HyperParameter` named: block/a not defined"),
        hp.name_scope("block"),
        hp.conditional_scope("a", [1]),
    ):
        pass


# -- declarations

OTHERS: dict[str, Ask] = {
    "range": lambda hp: hp.Int("p", 1, 9),
    "step": lambda hp: hp.Int("p", 1, 3, step=2),
    "sampling": lambda hp: hp.Int("p", 1, 3, sampling="log"),
    "type": lambda hp: hp.Float("p", 1, 3),
    "choice": lambda hp: hp.Choice("p", [1, 2, 3]),
    "fixed": lambda hp: hp.Fixed("p", 2),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_name_that_changes_its_meaning_is_refused(make_trial: Make, other: str) -> None:
    for hp in (TrialHyperParameters(make_trial()), CheckedHyperParameters()):
        hp.Int("p", 1, 3)
        with pytest.raises(PluginError, match="'p' is declared twice with different meanings"):
            OTHERS[other](hp)


def test_another_default_is_no_other_meaning(make_trial: Make) -> None:
    hp = TrialHyperParameters(make_trial())
    assert hp.Int("p", 1, 3, default=2) == hp.Int("p", 1, 3, default=3) == hp.Int("p", 1, 3)
    assert hp.Choice("c", [True, False]) == hp.Choice("c", [True, False])
    assert len(hp.space) == 2


# -- copies and rebuilding


def test_copies_are_plain(make_trial: Make) -> None:
    hp = TrialHyperParameters(make_trial())
    answers = ask_conditionally(hp)
    for copy in (hp.copy(), type(hp).from_config(hp.get_config()), CheckedHyperParameters(hp.active).copy()):
        assert type(copy) is keras_tuner.HyperParameters
    assert ask_conditionally(hp.copy()) == answers
    copied = hp.copy()
    copied.values["kind"] = "changed"
    assert hp.values["kind"] != "changed"


def ask_for_network(hp: Any) -> list[Any]:
    """A builder that asks for everything, again and again, and branches on the answers."""
    asked: list[Any] = [ask(hp) for name, (ask, _, _) in KINDS.items() if name == "Float reverse_log step"]
    for layer in range(hp.Int("layers", 1, 3)):
        with hp.name_scope(f"layer_{layer}"):
            asked.append(hp.Int("filters", 8, 64, step=2, sampling="log"))
            asked.append(hp.Choice("activation", ["relu", "elu"]))
            with hp.conditional_scope("activation", ["elu"]):
                asked.append(hp.Float("alpha", 0.1, 1, step=0.3))
    if hp.Boolean("dropout"):
        asked.append(hp.Float("rate", 0.1, 0.9, sampling="reverse_log"))
    asked.append(hp.Fixed("classes", 10))
    return [*asked, ask_conditionally(hp), hp.Int("layers", 1, 3)]


def test_sixty_configurations_are_rebuilt_from_their_values(make_trial: Make) -> None:
    seen = set()
    for _ in range(60):
        hp = TrialHyperParameters(make_trial())
        built = ask_for_network(hp)
        again = CheckedHyperParameters(hp.active)
        plain = keras_tuner.HyperParameters()
        plain.values = dict(hp.active)
        assert ask_for_network(again) == ask_for_network(plain) == built
        assert again.active == hp.active
        assert {p.name for p in again.space} == {p.name for p in hp.space}
        seen.add(repr(built))
    assert len(seen) > 50


# -- given values


def test_given_values_are_taken_and_the_others_sampled(make_trial: Make) -> None:
    trial = make_trial(x=2, flag=False, z=0)
    hp = TrialHyperParameters(trial)
    assert (hp.Int("x", 1, 3), hp.Boolean("flag", default=True), hp.Int("z", 0, 9)) == (2, False, 0)
    assert hp.Int("other", 1, 3) in (1, 2, 3)
    assert trial.origin == "test"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Int", 4),
        ("Int", 1.5),
        ("Int", "2"),
        ("Int step", 2),
        ("Int log step", 3),
        ("Int log step", "2"),
        ("Int log step beyond", 32),
        ("Int reverse_log step", 2),
        ("Float", 1.5),
        ("Float", float("nan")),
        ("Float", "x"),
        ("Float step", 0.25),
        ("Float log", 1.0),
        ("Float reverse_log", 0.5),
        ("Float reverse_log", "x"),
        ("Choice of texts", "c"),
        ("Choice of ints", 17),
        ("Boolean", "yes"),
    ],
)
def test_given_values_outside_the_range(make_trial: Make, kind: str, value: Any) -> None:
    with pytest.raises(PluginError, match=r"^hyperparameter 'p' cannot be "):
        KINDS[kind][0](TrialHyperParameters(make_trial(p=value)))


def test_a_fixed_value_is_a_parameter_of_one_value() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Fixed("units", 16)
    parameter = Parameter(hp.space[0])
    assert parameter.from_optuna(parameter.to_optuna(16)) == 16
    with pytest.raises(PluginError, match="'units' cannot be 3"):
        parameter.to_optuna(3)

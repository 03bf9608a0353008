"""Samplers and pruners by name, and a new sampler for each trial."""

import random
import sys
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from searchcnn.errors import StudyFileError
from searchcnn.search import (
    Budget,
    Evaluation,
    Evaluator,
    InterruptedTrialError,
    Search,
    SeededSampler,
    Stream,
    Trial,
    derive_seed,
    make_pruner,
    make_sampler,
)
from searchcnn.store import StoredStudy
from searchcnn.study import ComponentConfig

OpenStudy = Callable[..., tuple[StoredStudy, SeededSampler]]


def make_component(name: str, **options: Any) -> ComponentConfig:
    return ComponentConfig.model_validate({"name": name, **options})


def search(open_study: OpenStudy, evaluate: Evaluator, trials: int, **options: Any) -> StoredStudy:
    """Runs a search as a new process would, and returns its study."""
    study, sampler = open_study(**options)
    with study.run():
        Search(study, sampler, evaluate, Budget(trials, None)).run()
    return study


def list_points(study: StoredStudy) -> list[dict[str, Any]]:
    return [trial.params for trial in study.list_trials()]


def make_optuna_sampler(name: str, **options: Any) -> Any:
    return make_sampler(make_component(name, **options), 0)._sampler


def test_samplers_by_name() -> None:
    assert isinstance(make_optuna_sampler("TPESampler"), optuna.samplers.TPESampler)
    assert isinstance(make_optuna_sampler("RandomSampler"), optuna.samplers.RandomSampler)
    assert isinstance(make_optuna_sampler("grid"), optuna.samplers.BruteForceSampler)
    assert isinstance(make_optuna_sampler("BruteForceSampler"), optuna.samplers.BruteForceSampler)
    assert isinstance(make_optuna_sampler("NSGAIISampler", population_size=4), optuna.samplers.NSGAIISampler)
    assert make_optuna_sampler("TPESampler")._group
    assert not make_optuna_sampler("TPESampler", group=False)._group
    assert make_optuna_sampler("TPESampler", n_startup_trials=5)._n_startup_trials == 5


def test_pruners_by_name() -> None:
    def prune(name: str, epochs: int = 27, **options: Any) -> Any:
        return make_pruner(make_component(name, **options), epochs)

    assert isinstance(prune("NopPruner"), optuna.pruners.NopPruner)
    assert isinstance(prune("MedianPruner", n_startup_trials=3), optuna.pruners.MedianPruner)
    halving = prune("SuccessiveHalvingPruner")
    assert (halving._min_resource, halving._reduction_factor) == (3, 3)
    assert prune("SuccessiveHalvingPruner", epochs=1)._min_resource == 1
    assert prune("SuccessiveHalvingPruner", min_resource=2)._min_resource == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("TPESamplr", {}, r"^search\.sampler: no 'TPESamplr'; did you mean 'TPESampler'\?$"),
        ("tpe-sampler-x", {}, r"^search\.sampler: no 'tpe-sampler-x'"),
        ("qqq", {}, r"^search\.sampler: no 'qqq'; known: grid, .*TPESampler"),
        ("BaseSampler", {}, "no 'BaseSampler'"),
        ("TPESampler", {"startup": 5}, r"^search\.sampler: cannot create TPESampler: .*'startup'"),
        ("NSGAIISampler", {"population_size": 1}, r"^search\.sampler: cannot create NSGAIISampler: "),
        ("GridSampler", {}, r"^search\.sampler: cannot create GridSampler: .*search_space"),
    ],
)
def test_samplers_that_cannot_be_made(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        make_sampler(make_component(name, **options), 0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("NoPruner", {}, r"^search\.pruner: no 'NoPruner'; did you mean 'NopPruner'\?$"),
        ("qqq", {}, r"^search\.pruner: no 'qqq'; known: .*NopPruner"),
        ("SuccessiveHalvingPruner", {"min_resource": 0}, r"^search\.pruner: cannot create SuccessiveHalvingPruner: "),
        ("PercentilePruner", {}, "cannot create PercentilePruner: .*percentile"),
    ],
)
def test_pruners_that_cannot_be_made(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        make_pruner(make_component(name, **options), 9)


@pytest.mark.parametrize(
    ("name", "options", "package"),
    [("CmaEsSampler", {}, "cmaes"), ("GPSampler", {}, "torch"), ("GPSampler", {"n_startup_trials": 50}, "torch")],
)
def test_samplers_that_need_a_package_that_is_not_installed(
    name: str, options: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not, where it is
    with pytest.raises(
        StudyFileError, match=rf"^search\.sampler: {name} needs the package '{package}', .*; pip install {package}, or"
    ):
        make_sampler(make_component(name, **options), 0)


def test_a_pruner_that_needs_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(StudyFileError, match=r"^search\.pruner: WilcoxonPruner needs the package 'scipy', "):
        make_pruner(make_component("WilcoxonPruner"), 9)


def test_what_needs_no_package_is_tried_out_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    state = random.getstate()
    for name, options in (("grid", {}), ("NSGAIISampler", {}), ("GridSampler", {"search_space": {"a": [1, 2]}})):
        make_sampler(make_component(name, **options), 0)
    for name in ("auto", "MedianPruner", "HyperbandPruner", "ThresholdPruner"):
        make_pruner(make_component(name, **({"lower": 0.1} if name == "ThresholdPruner" else {})), 9)
    assert random.getstate() == state
    assert capfd.readouterr() == ("", "")


def test_seeds_differ_by_study_trial_and_stream() -> None:
    seeds = {derive_seed(study, trial, stream) for study in range(5) for trial in range(50) for stream in Stream}
    assert len(seeds) == 5 * 50 * len(Stream)
    assert derive_seed(2**70, 3, Stream.SAMPLER) == derive_seed(2**70, 3, Stream.SAMPLER)


# -- the grid


def evaluate_conditional(trial: Trial) -> Evaluation:
    value = 0.0
    if trial.suggest("kind", CategoricalDistribution(("dense", "conv"))) == "dense":
        value += trial.suggest("units", IntDistribution(1, 3))
    else:
        value += trial.suggest("rate", FloatDistribution(0, 1, step=0.5))
        value += trial.suggest("flag", CategoricalDistribution((False, True)))
    trial.describe(space="fake")
    return Evaluation(value)


def list_grid() -> list[dict[str, Any]]:
    return [
        *({"kind": "dense", "units": units} for units in (1, 2, 3)),
        *({"kind": "conv", "rate": rate, "flag": flag} for rate in (0.0, 0.5, 1.0) for flag in (False, True)),
    ]


def order(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(points, key=repr)


def test_a_grid_visits_every_point_once_and_stops(open_study: OpenStudy) -> None:
    study = search(open_study, evaluate_conditional, 100, sampler="grid")
    assert order(list_points(study)) == order(list_grid())


def test_a_grid_continues_and_stays_finished(open_study: OpenStudy) -> None:
    straight = list_points(search(open_study, evaluate_conditional, 100, name="straight", sampler="grid"))
    for trials, expected in ((2, 2), (3, 3), (8, 8), (100, 9), (100, 9), (101, 9)):
        study = search(open_study, evaluate_conditional, trials, sampler="grid")
        assert len(study.list_trials()) == expected
    assert list_points(study) == straight
    assert study.optuna.user_attrs["exhausted"]


def test_a_grid_is_not_finished_before_its_last_point_or_once_something_else_is_searched(
    open_study: OpenStudy,
) -> None:
    study = search(open_study, evaluate_conditional, 8, sampler="grid")
    assert not study.optuna.user_attrs.get("exhausted")
    assert search(open_study, evaluate_conditional, 9, sampler="grid").optuna.user_attrs["exhausted"]
    assert not search(open_study, evaluate_conditional, 10, sampler="RandomSampler").optuna.user_attrs["exhausted"]


def test_the_last_point_of_a_grid_may_be_interrupted(open_study: OpenStudy) -> None:
    def interrupted(trial: Trial) -> Evaluation:
        evaluation = evaluate_conditional(trial)
        if trial.number == 8:
            raise InterruptedTrialError
        return evaluation

    study = search(open_study, interrupted, 100, sampler="grid")
    assert study.list_trials()[-1].state == TrialState.RUNNING
    study = search(open_study, evaluate_conditional, 100, sampler="grid")
    assert {trial.state for trial in study.list_trials()} == {TrialState.COMPLETE}
    assert order(list_points(study)) == order(list_grid())


def test_a_grid_over_a_continuous_range(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        return Evaluation(trial.suggest("x", FloatDistribution(0, 1)))

    with pytest.raises(
        StudyFileError, match=r"grid needs a finite space, but 'x' is a continuous range; give it a `step`"
    ):
        search(open_study, evaluate, 5, sampler="grid")


def test_given_values_are_not_sampled(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        x = trial.suggest("x", FloatDistribution(0, 1), trial.preset.get("x"))
        return Evaluation(x + trial.suggest("y", IntDistribution(0, 9)))

    for sampler in ("TPESampler", "RandomSampler"):
        study, seeded = open_study(name=sampler, sampler=sampler)
        study.begin([("test", {"x": 0.25})])
        with study.run():
            Search(study, seeded, evaluate, Budget(3, None)).run()
        assert [trial.params["x"] == 0.25 for trial in study.list_trials()] == [True, False, False]


# -- the seed rule


def evaluate_mixed(trial: Trial) -> Evaluation:
    random.seed(5)  # a sampler must not depend on what builders and frameworks do to the global state
    x = trial.suggest("x", FloatDistribution(0.1, 10, log=True))
    y = trial.suggest("y", IntDistribution(0, 20, step=2))
    value = -((x - 3) ** 2) - y
    if trial.suggest("kind", CategoricalDistribution(("a", "b"))) == "b":
        value += trial.suggest("z", FloatDistribution(0, 1))
    return Evaluation(value)


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler"])
def test_a_resumed_search_draws_what_the_uninterrupted_one_drew(open_study: OpenStudy, sampler: str) -> None:
    straight = list_points(search(open_study, evaluate_mixed, 30, name="straight", sampler=sampler))
    for trials in (7, 7 + 6, 7 + 6 + 17):
        study = search(open_study, evaluate_mixed, trials, name="resumed", sampler=sampler)
    assert list_points(study) == straight
    assert len({repr(point) for point in straight}) == 30
    another = list_points(search(open_study, evaluate_mixed, 3, name="another", sampler=sampler, seed=1))
    assert all(point not in straight for point in another)

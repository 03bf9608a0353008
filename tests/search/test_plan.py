"""The engine with a plan for the time, and a fake evaluator: trials wait, go on, and end."""

import threading
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from searchcnn.errors import InfeasibleError
from searchcnn.events import Epoch, Event, Hear, Planned, TrialStarted, ignore
from searchcnn.search import Budget, Evaluation, Evaluator, InterruptedTrialError, Scheduler, Search, Trial, engine
from searchcnn.search.engine import MAX_REPEATED
from searchcnn.store import LAST, MACS, PACE, SCORES, STRETCHES
from searchcnn.study import Objective
from tests.search.test_engine import Ear, OpenStudy

PLAN = Scheduler(Objective("val_accuracy", "maximize"), total=1e6, max_passes=20, last_share=0.6)
FOREVER = 1e9


def train(trial: Trial, quality: float) -> Evaluation:
    """Trains as `searchcnn.training` does; the longer, the better."""
    trial.note(**{STRETCHES: list(trial.stretches), LAST: trial.is_last, MACS: 1000})
    trial.describe(space="fake")
    epochs = sum(trial.stretches)
    score = quality * (1 - 0.5 / epochs)
    trial.report(Epoch(epochs, {"val_accuracy": score}, None, 1.0), score)
    trial.note(**{PACE: 1.0})
    return Evaluation(score, network=f"network {trial.number} after {epochs}")


def evaluate(trial: Trial) -> Evaluation:
    return train(trial, trial.suggest("x", FloatDistribution(0, 1)))


def run(
    open_study: OpenStudy,
    evaluator: Evaluator = evaluate,
    trials: int = 6,
    hear: Hear = ignore,
    stop: threading.Event | None = None,
    plan: Scheduler = PLAN,
) -> list[FrozenTrial]:
    study, sampler = open_study()
    with study.run():
        Search(study, sampler, evaluator, Budget(trials, FOREVER), scheduler=plan).run(hear, stop)
    return study.list_trials()


def list_ends(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    """Returns all that must not depend on how often a search was interrupted."""
    return [
        (trial.state, trial.value, trial.params, trial.intermediate_values, trial.user_attrs.get(STRETCHES))
        for trial in trials
    ]


def test_trials_wait_go_on_and_end(open_study: OpenStudy) -> None:
    heard: list[Event] = []
    trials = run(open_study, hear=heard.append)
    assert len(trials) == 6
    best = max(trials, key=lambda trial: trial.params["x"])
    assert best.user_attrs[STRETCHES] == [1, 2, 17]
    assert best.state == TrialState.COMPLETE
    assert best.value == best.params["x"] * (1 - 0.5 / 20)
    assert len(best.user_attrs[SCORES]) == 3
    waiting = [trial for trial in trials if trial.user_attrs.get("reason") == "not promoted"]
    assert {trial.state for trial in waiting} == {TrialState.PRUNED}
    assert sum(len(trial.user_attrs[STRETCHES]) > 1 for trial in trials) >= 2
    starts = [event.number for event in heard if isinstance(event, TrialStarted)]
    assert starts[:3] == [0, 1, 2]
    assert starts.count(best.number) == 3
    plans = [event for event in heard if isinstance(event, Planned)]
    assert plans[0] == Planned(0, 0, is_last=False, seconds=plans[0].seconds, last_seconds=600_000)
    assert (plans[-1].networks, plans[-1].is_last) == (6, True)


def test_the_best_so_far_counts_while_it_is_trained_on(open_study: OpenStudy) -> None:
    ranks: list[list[int]] = []
    study, sampler = open_study()

    def watch(trial: Trial) -> Evaluation:
        if trial.scores:
            ranks.append(study.list_best(1))
        return evaluate(trial)

    with study.run():
        Search(study, sampler, watch, Budget(6, FOREVER), scheduler=PLAN).run()
    best = study.optuna.best_trial.number
    assert ranks[-1] == [best]
    assert all(ranks)


def test_a_search_that_is_interrupted_in_each_stretch_ends_as_one_that_is_not(open_study: OpenStudy) -> None:
    expected = list_ends(run(open_study))
    seen: set[tuple[int, int]] = set()

    def interrupt(trial: Trial) -> Evaluation:
        place = trial.number, len(trial.stretches)
        if place not in seen:
            seen.add(place)
            trial.suggest("x", FloatDistribution(0, 1))
            raise InterruptedTrialError
        if trial.scores and not trial.is_resumed:  # taken over: its curve is reported anew
            value = trial.suggest("x", FloatDistribution(0, 1))
            for epochs, score in zip((1, 3), trial.scores, strict=False):
                trial.report(Epoch(epochs, {"val_accuracy": score}, None, 1.0), score)
            return train(trial, value)
        return evaluate(trial)

    def go_on(name: str) -> list[FrozenTrial]:
        study, sampler = open_study(name)
        with study.run():
            Search(study, sampler, interrupt, Budget(6, FOREVER), scheduler=PLAN).run()
        return study.list_trials()

    for _ in range(20):
        trials = go_on("interrupted")
    assert len(seen) > 8
    assert list_ends(trials) == expected


def test_two_processes_do_not_train_the_same_trial_on(open_study: OpenStudy) -> None:
    run(open_study, trials=2)
    (one, _), (other, _) = open_study(), open_study()
    with one.run(), other.run():
        assert one.resume_trial(0, {STRETCHES: [1, 2]}) is not None
        assert other.resume_trial(0, {STRETCHES: [1, 2]}) is None


def test_a_process_that_has_nothing_to_do_waits_for_what_others_reach(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WAITING", 0.01)
    (study, sampler), (other, _) = open_study(), open_study()
    heard: list[Event] = []
    with study.run(), other.run():
        theirs = other.start_trial()
        theirs.suggest_float("x", 0, 1)
        theirs.set_user_attr(STRETCHES, [1])
        other.flush(theirs)
        search = Search(study, sampler, evaluate, Budget(1, FOREVER), scheduler=PLAN)
        waiting = threading.Thread(target=search.run, args=[heard.append])
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        other.add_epoch(theirs, Epoch(1, {"val_accuracy": 0.5}, None, 1.0), 0.5)
        other.finish(theirs, TrialState.PRUNED, None, {SCORES: [0.5], PACE: 1.0, MACS: 1000})
        waiting.join()
    (trial,) = study.list_trials()
    assert trial.user_attrs[STRETCHES] == [1, 19]
    assert [event.number for event in heard if isinstance(event, TrialStarted)] == [0]


def test_a_trial_that_is_trained_all_at_once_is_no_part_of_the_plan(open_study: OpenStudy) -> None:
    def train_whole(trial: Trial) -> Evaluation:
        trial.train_whole()
        trial.describe(space="fake")
        trial.report(Epoch(1, {"val_accuracy": 0.5}, None, 1.0), 0.5)
        return Evaluation(0.5)

    trials = run(open_study, train_whole, trials=3)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert not any(STRETCHES in trial.user_attrs for trial in trials)


def test_a_network_that_is_too_slow_for_the_time_is_not_trained(open_study: OpenStudy) -> None:
    from searchcnn.search import Cost

    def measure(trial: Trial) -> Evaluation:
        trial.check_cost(Cost(params=1, macs=10 ** (12 if trial.number == 1 else 3)), "fake")
        return evaluate(trial)

    ear = Ear()
    first, second, _ = run(open_study, measure, trials=2, hear=ear.hear)
    assert first.state == TrialState.COMPLETE
    assert (second.state, second.user_attrs["reason"]) == (TrialState.PRUNED, "too slow")
    assert "passes would take" in second.user_attrs["detail"]


def test_what_is_nearly_a_trial_that_was_had_is_not_trained_again(open_study: OpenStudy) -> None:
    values = [{"rate": 0.01, "filters": 8}, {"rate": 0.0102, "filters": 8}, {"rate": 0.0102, "filters": 16}]
    trained: list[int] = []

    def check(trial: Trial) -> Evaluation:
        hyperparameters = values[trial.number]
        trial.suggest("x", FloatDistribution(0, 1))
        trial.note(hyperparameters=hyperparameters)
        trial.check_new(hyperparameters)
        trained.append(trial.number)
        return train(trial, 0.5)

    trials = run(open_study, check, trials=3)
    assert set(trained) == {0, 2}
    assert (trials[1].state, trials[1].user_attrs["reason"]) == (TrialState.PRUNED, "nearly trial 0")
    assert trials[1].value == trials[0].intermediate_values[1]  # the sampler learns what that one had reached


def test_the_best_stays_what_it_was_if_it_fails_when_it_is_trained_on(open_study: OpenStudy) -> None:
    def fail(trial: Trial) -> Evaluation:
        if trial.scores:
            raise RuntimeError("no luck")
        return train(trial, 0.9 - 0.1 * trial.number)

    trials = run(open_study, fail, trials=3)
    assert trials[0].state == TrialState.COMPLETE
    assert (trials[0].value, trials[0].user_attrs["reason"]) == (trials[0].user_attrs[SCORES][0], "error")
    assert "no luck" in trials[0].user_attrs["traceback"]
    assert [trial.state for trial in trials[1:]] == [TrialState.FAIL] * 2  # they go on in its place, and fail, too


def test_where_nothing_new_is_left_to_find_the_best_is_trained_to_the_end(open_study: OpenStudy) -> None:
    def repeat(trial: Trial) -> Evaluation:
        trial.suggest("x", FloatDistribution(0, 1))
        trial.note(hyperparameters={"units": 8})
        trial.check_new({"units": 8})
        return train(trial, 0.5)

    trials = run(open_study, repeat, trials=1000)
    assert len(trials) == 1 + 2 * MAX_REPEATED  # once more when the best has been
    assert trials[0].user_attrs[STRETCHES] == [1, 19]


def test_networks_beyond_a_limit_do_not_end_the_exploration(open_study: OpenStudy) -> None:
    def refuse(trial: Trial) -> Evaluation:
        if 0 < trial.number <= MAX_REPEATED:
            raise InfeasibleError("max_params", "2 > 1", excess=1.0)
        return evaluate(trial)

    assert len(run(open_study, refuse, trials=3)) == MAX_REPEATED + 3

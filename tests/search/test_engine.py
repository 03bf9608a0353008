"""The engine with a fake evaluator: the failure ladder, the budget, stopping."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from searchcnn.errors import InfeasibleError, StoreError, StudyFailedError, StudyFileError
from searchcnn.events import (
    Epoch,
    EpochFinished,
    EpochProgressed,
    Event,
    Hear,
    NetworkBuilt,
    Note,
    Outcome,
    TrialDescribed,
    TrialFinished,
    TrialStarted,
    ignore,
)
from searchcnn.search import (
    Budget,
    Cost,
    Evaluation,
    Evaluator,
    InterruptedTrialError,
    Search,
    SeededSampler,
    Trial,
    TrialPrunedError,
    check_limits,
)
from searchcnn.search import budget as budget_module
from searchcnn.store import StoredStudy
from searchcnn.store.tables import RunRow, read_clock
from searchcnn.study import LimitsConfig

OpenStudy = Callable[..., tuple[StoredStudy, SeededSampler]]
Outcomes = dict[int, BaseException | float]


def make_evaluator(outcomes: Outcomes, space: str = "fake") -> Evaluator:
    """Returns an evaluator with a given end, by the trial's number; other trials give their number as value."""

    def evaluate(trial: Trial) -> Evaluation:
        trial.suggest("x", FloatDistribution(0, 1))
        trial.describe(space=space)
        outcome = outcomes.get(trial.number, float(trial.number))
        if isinstance(outcome, BaseException):
            raise outcome
        trial.report(Epoch(1, {"val_accuracy": outcome}, None, 0.1), outcome)
        return Evaluation(outcome, network=f"network {trial.number}")

    return evaluate


class Ear:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def hear(self, event: Event) -> None:
        match event:
            case TrialStarted(number):
                self.heard.append(("started", number))
            case TrialDescribed(_, facts):
                self.heard.append(("described", facts))
            case EpochProgressed(_, number, fraction):
                self.heard.append(("progressed", number, fraction))
            case EpochFinished(_, epoch, best):
                self.heard.append(("epoch", epoch.number, best))
            case TrialFinished(_, outcome, _, is_best):
                self.heard.append(("finished", outcome.state, outcome.value, is_best))


class Keeping:
    """Calls a function with each evaluation that counts."""

    def __init__(self, keep: Callable[[Trial, Evaluation], None]) -> None:
        self.save_if_ranked = keep

    def has_weights(self, trial: int) -> bool:
        return True

    def tidy(self, is_over: bool = False) -> None:
        pass


def run(
    open_study: OpenStudy,
    evaluate: Evaluator,
    trials: int | None = 3,
    hear: Hear = ignore,
    stop: threading.Event | None = None,
    deadline: float | None = None,
    max_failures: int = 5,
    keep: Callable[[Trial, Evaluation], None] | None = None,
    **options: Any,
) -> list[FrozenTrial]:
    study, sampler = open_study(**options)
    with study.run():
        Search(study, sampler, evaluate, Budget(trials, deadline), keep and Keeping(keep), max_failures).run(hear, stop)
    return study.list_trials()


def list_states(trials: list[FrozenTrial]) -> list[str]:
    return [trial.state.name for trial in trials]


# -- how trials end


def test_what_is_heard(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        trial.describe(space="fake")
        trial.report_progress(1, 0.5)
        for number, value in ((1, 0.3), (2, 0.2)):
            trial.report(Epoch(number, {"val_accuracy": value}, None, 0.1), value)
        return Evaluation(trial.best or 0.0)

    ear = Ear()
    (stored,) = run(open_study, evaluate, 1, ear.hear)
    assert ear.heard == [
        ("started", 0),
        ("described", {"space": "fake"}),
        ("progressed", 1, 0.5),
        ("epoch", 1, 0.3),
        ("epoch", 2, 0.3),
        ("finished", "COMPLETE", 0.3, True),
    ]
    assert stored.intermediate_values == {1: 0.3, 2: 0.3}


def test_what_is_known_of_a_trial_is_said_once(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        trial.note(pixels="0..1")
        trial.describe_network(space="fake", params=9)
        trial.describe(stopped="finished")
        trial.note(late=1)
        trial.report_progress(1, 0.5)
        return Evaluation(0.5)

    heard: list[Event] = []
    (stored,) = run(open_study, evaluate, 1, heard.append)
    assert heard == [
        TrialStarted(0),
        NetworkBuilt(0, {"pixels": "0..1", "space": "fake", "params": 9}),
        TrialDescribed(0, {"stopped": "finished"}),
        EpochProgressed(0, 1, 0.5),
        TrialDescribed(0, {"late": 1}),
        TrialFinished(0, Outcome("COMPLETE", 0.5), is_best=True),
    ]
    facts = {"pixels": "0..1", "space": "fake", "params": 9, "stopped": "finished", "late": 1}
    assert stored.user_attrs == facts | {"spent": {"saving": 0.0}}


def test_the_smallest_is_best_when_minimizing(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        for number, value in ((1, 0.3), (2, 0.5)):
            trial.report(Epoch(number, {}, None, 0.1), value)
        assert trial.best == 0.3
        return Evaluation([0.3, 0.5, 0.2][trial.number])

    ear = Ear()
    run(open_study, evaluate, 3, ear.hear, direction="minimize")
    assert [heard[3] for heard in ear.heard if heard[0] == "finished"] == [True, False, True]


def test_an_infeasible_trial_teaches_the_sampler(open_study: OpenStudy) -> None:
    error = InfeasibleError("max_params", "15 > 10", excess=0.5)
    ear = Ear()
    trial = run(open_study, make_evaluator({0: error}), 2, ear.hear)[0]
    assert (trial.state, trial.value) == (TrialState.PRUNED, None)
    assert trial.user_attrs == {"space": "fake", "reason": "max_params", "detail": "15 > 10"}
    assert trial.constraints == {"limits": 0.5}
    assert set(trial.params) == {"x"}
    assert ("finished", "PRUNED", None, False) in ear.heard


def test_running_out_of_memory_teaches_the_sampler(open_study: OpenStudy) -> None:
    trial = run(open_study, make_evaluator({0: MemoryError()}), 1)[0]
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.PRUNED, "out of memory")
    assert trial.constraints == {"limits": 1.0}


def test_the_sampler_avoids_what_is_infeasible(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        x = trial.suggest("x", FloatDistribution(0, 1))
        trial.describe(space="fake")
        if x > 0.3:
            raise InfeasibleError("max_params", excess=x - 0.3)
        return Evaluation(x)

    options: dict[str, Any] = {"sampler": {"name": "TPESampler", "n_startup_trials": 10}}
    outcomes = list_states(run(open_study, evaluate, 14, **options))
    assert outcomes[:10].count("PRUNED") > 5
    assert outcomes[10:].count("PRUNED") < 10


def test_an_unexpected_error(open_study: OpenStudy) -> None:
    trials = run(open_study, make_evaluator({0: ValueError("no such layer")}), 2)
    assert list_states(trials) == ["FAIL", "COMPLETE"]
    facts = trials[0].user_attrs
    assert (facts["reason"], facts["detail"]) == ("error", "ValueError: no such layer")
    assert facts["traceback"].startswith("Traceback")
    assert facts["traceback"].rstrip().endswith("ValueError: no such layer")
    assert trials[0].constraints == {}


def test_an_objective_that_is_no_number(open_study: OpenStudy) -> None:
    trials = run(open_study, make_evaluator({0: math.nan}), 2)
    assert list_states(trials) == ["FAIL", "COMPLETE"]
    assert trials[0].user_attrs["reason"] == "NaN"


def test_the_pruner_ends_trials(open_study: OpenStudy) -> None:
    def evaluate(trial: Trial) -> Evaluation:
        for number in range(1, 10):
            value = number / (trial.number + 1)
            if not trial.report(Epoch(number, {"val_accuracy": value}, None, 0.1), value):
                raise TrialPrunedError
        return Evaluation(trial.best or 0.0)

    trials = run(open_study, evaluate, 6, pruner="SuccessiveHalvingPruner")
    assert list_states(trials)[0] == "COMPLETE"
    assert "PRUNED" in list_states(trials)
    for trial in trials:
        pruned = trial.state == TrialState.PRUNED
        assert (len(trial.intermediate_values) < 9) == pruned
        assert trial.user_attrs.get("reason") == ("pruner" if pruned else None)
        assert trial.constraints == {}


def test_limits() -> None:
    limits = LimitsConfig(max_params=10, max_macs=100)
    check_limits(Cost(10, 100), limits)
    check_limits(Cost(10**9, 10**9), LimitsConfig())
    for cost, reason, detail, excess in (
        (Cost(15, 100), "max_params", "15 > 10", 0.5),
        (Cost(10, 3000), "max_macs", "3,000 > 100", 29.0),
        (Cost(20, 200), "max_params", "20 > 10", 1.0),
    ):
        with pytest.raises(InfeasibleError) as caught:
            check_limits(cost, limits)
        assert (caught.value.reason, caught.value.detail, caught.value.excess) == (reason, detail, excess)


# -- failures in a row


def make_failures(*numbers: int) -> Outcomes:
    return {number: RuntimeError(f"broken {number}") for number in numbers}


def test_too_many_failures_in_a_row(open_study: OpenStudy) -> None:
    with pytest.raises(StudyFailedError) as caught:
        run(open_study, make_evaluator(make_failures(1, 2, 3), "mine"), 9, max_failures=3)
    assert str(caught.value) == (
        "3 trials failed in a row, the last in search space 'mine': RuntimeError: broken 3; finished trials are safe. "
        "`searchcnn status x --failures` shows the tracebacks; fix the plugin, and run the same command again with "
        "--accept-changes"
    )
    assert list_states(run(open_study, make_evaluator({}), 0)) == ["COMPLETE", "FAIL", "FAIL", "FAIL"]


@pytest.mark.parametrize("between", [0.5, InfeasibleError("max_params"), TrialPrunedError(), MemoryError()], ids=repr)
def test_anything_expected_in_between_resets_the_count(open_study: OpenStudy, between: Any) -> None:
    trials = run(open_study, make_evaluator({**make_failures(0, 1, 3, 4), 2: between}), 6, max_failures=3)
    assert list_states(trials).count("FAIL") == 4


def test_errors_that_are_not_the_trials_end_the_search(open_study: OpenStudy) -> None:
    for error in (StudyFileError("impossible"), StoreError("disk full"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            run(open_study, make_evaluator({0: error}))
    assert list_states(run(open_study, make_evaluator({}), 1)) == ["COMPLETE"]


# -- budgets


def test_trials_are_a_total(open_study: OpenStudy) -> None:
    evaluate = make_evaluator({0: ValueError(), 1: InfeasibleError("max_params")})
    for total, expected in ((3, 4), (3, 4), (5, 6), (4, 6)):  # one of them cannot be trained
        assert len(run(open_study, evaluate, total)) == expected


def test_the_timeout_is_a_total(open_study: OpenStudy) -> None:
    study, _ = open_study()
    start = read_clock() - timedelta(hours=1)
    with Session(study.storage.engine) as session, session.begin():
        end = start + timedelta(seconds=40)
        session.add(RunRow(study_id=study.study_id, host="h", pid=1, started_at=start, beat_at=end, ended=True))
    spent = study.count_seconds()
    assert spent == pytest.approx(40)
    assert Budget.remaining(None, None, spent).count_seconds_left() == math.inf
    assert 9_000 < Budget.remaining(None, 10_040, spent).count_seconds_left() <= 10_000
    budget = Budget.remaining(9, 30, spent)
    assert budget.count_seconds_left() < 0
    assert run(open_study, make_evaluator({}), deadline=budget.deadline) == []
    assert len(run(open_study, make_evaluator({}), 2, deadline=Budget.remaining(9, 10_040, spent).deadline)) == 2


def test_a_part_of_the_time_is_reserved() -> None:
    assert Budget.remaining(None, 100, 20, reserve=6).count_seconds_left() == pytest.approx(74, abs=1)
    assert Budget.remaining(None, 10, 0, reserve=6).count_seconds_left() == pytest.approx(9, abs=1)


def test_no_trial_begins_after_the_deadline(open_study: OpenStudy) -> None:
    study, sampler = open_study()
    budget = Budget(None, deadline=2.0, clock=lambda: float(len(study.list_trials())))
    with study.run():
        Search(study, sampler, lambda trial: Evaluation(0.5), budget).run()
    assert list_states(study.list_trials()) == ["COMPLETE", "COMPLETE"]


# -- stopping


def test_a_stop_leaves_the_trial_to_the_next_run(open_study: OpenStudy) -> None:
    stop = threading.Event()
    numbers: list[int] = []

    def evaluate(trial: Trial) -> Evaluation:
        numbers.append(trial.number)
        x = trial.suggest("x", FloatDistribution(0, 1))
        trial.describe(space="fake", x=x)
        if len(numbers) == 2:
            stop.set()
        if trial.is_interrupted:
            raise InterruptedTrialError
        return Evaluation(x)

    ear = Ear()
    before = run(open_study, evaluate, 3, ear.hear, stop)
    assert list_states(before) == ["COMPLETE", "RUNNING"]
    assert [heard for heard in ear.heard if heard[0] == "finished"] == [("finished", "COMPLETE", before[0].value, True)]
    after = run(open_study, evaluate, 3)
    assert numbers == [0, 1, 1, 2]
    assert list_states(after) == ["COMPLETE"] * 3
    assert after[1].params == before[1].params


def test_a_stop_between_trials(open_study: OpenStudy) -> None:
    stop = threading.Event()
    stop.set()
    assert run(open_study, make_evaluator({}), stop=stop) == []


# -- the best


def test_what_counts_is_kept_before_it_is_told(open_study: OpenStudy) -> None:
    study, sampler = open_study()
    entries: list[tuple[int, float, Any]] = []

    def keep(trial: Trial, evaluation: Evaluation) -> None:
        assert study.list_trials()[trial.number].state == TrialState.RUNNING
        entries.append((trial.number, evaluation.value, evaluation.network))

    outcomes: Outcomes = {
        0: ValueError(),
        1: 0.5,
        2: 0.4,
        3: 0.5,
        4: InfeasibleError("max_params"),
        5: 0.6,
        6: math.nan,
    }
    ear = Ear()
    with study.run():
        Search(study, sampler, make_evaluator(outcomes), Budget(6, None), Keeping(keep)).run(ear.hear)
    assert entries == [(n, value, f"network {n}") for n, value in outcomes.items() if n in (1, 2, 3, 5)]
    assert [heard[3] for heard in ear.heard if heard[0] == "finished"] == [
        False,
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    run(
        open_study,
        make_evaluator({7: 0.55, 8: 0.7}),
        8,
        keep=lambda trial, evaluation: entries.append((trial.number, 0, 0)),
    )
    assert entries[4:] == [(7, 0, 0), (8, 0, 0)]


def test_a_best_that_cannot_be_kept_is_not_told(open_study: OpenStudy) -> None:
    def keep(trial: Trial, evaluation: Evaluation) -> None:
        raise StoreError("disk full")

    with pytest.raises(StoreError, match="disk full"):
        run(open_study, make_evaluator({}), 1, keep=keep)
    assert list_states(run(open_study, make_evaluator({}), 1)) == ["COMPLETE"]


def test_a_trial_cut_by_the_timeout_counts_only_if_it_is_the_best(open_study: OpenStudy) -> None:
    values = {0: 0.5, 1: 0.4, 2: 0.6}
    entries: list[int] = []

    def evaluate(trial: Trial) -> Evaluation:
        evaluation = make_evaluator(dict(values))(trial)
        return replace(evaluation, is_cut=trial.number > 0)

    trials = run(open_study, evaluate, 3, keep=lambda trial, evaluation: entries.append(trial.number))
    assert entries == [0, 2]
    assert list_states(trials) == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert trials[1].user_attrs["reason"] == "timeout"


# -- points that cannot be trained

TOO_LARGE = InfeasibleError("max_params", "2 > 1", excess=1.0)


def test_points_that_cannot_be_trained_do_not_count_as_trials(open_study: OpenStudy) -> None:
    trials = run(open_study, make_evaluator({0: TOO_LARGE, 1: MemoryError(), 3: TOO_LARGE, 4: ValueError("no")}), 3)
    assert list_states(trials) == ["PRUNED", "PRUNED", "COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    assert run(open_study, make_evaluator({}), 3) == trials


def test_a_search_stops_when_nearly_all_points_cannot_be_trained(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_module, "LEAST_UNUSABLE", 3)
    monkeypatch.setattr(budget_module, "UNUSABLE", 2)
    notes: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    evaluate = make_evaluator(dict.fromkeys(range(1, 50), TOO_LARGE))
    trials = run(open_study, evaluate, 2, hear)
    assert list_states(trials) == ["COMPLETE", *["PRUNED"] * 4]
    assert notes == [
        "no further point is tried: 4 could not be trained (4 too large), 1 of 2 could; widen [limits], or leave "
        "out what is too large or invalid in the search space"
    ]
    assert run(open_study, evaluate, 2) == trials
    assert len(run(open_study, evaluate, 3)) == 7


@pytest.mark.parametrize(("trials", "trained", "most"), [(3, 0, 100), (11, 0, 110), (None, 3, 100), (None, 40, 400)])
def test_how_many_points_may_be_unusable(trials: int | None, trained: int, most: int) -> None:
    budget = Budget(trials, None)
    assert [budget.is_wasted(unusable, trained) for unusable in (most - 1, most)] == [False, True]


def test_in_an_older_study_every_point_counts(open_study: OpenStudy) -> None:
    study, _ = open_study()
    study.check_identity({}, {"rules": "3"})
    with study.run():
        study.finish(study.start_trial(), TrialState.PRUNED, None, {})
    trials = run(open_study, make_evaluator({1: TOO_LARGE}), 3)
    assert list_states(trials) == ["PRUNED", "PRUNED", "COMPLETE"]

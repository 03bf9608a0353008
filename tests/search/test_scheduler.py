"""The plan for the time, decided from standings."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from searchcnn.errors import InfeasibleError
from searchcnn.events import Planned
from searchcnn.search import Cost
from searchcnn.search.scheduler import (
    COUNTED_PASSES,
    MAX_PASSES,
    MIN_PASSES,
    Done,
    Resume,
    Scheduler,
    Standing,
    Start,
    make_scheduler,
    predict_pace,
)
from searchcnn.study import Objective, StudyConfig

ACCURACY, LOSS = Objective("val_accuracy", "maximize"), Objective("val_loss", "minimize")
PLAN = Scheduler(ACCURACY, total=1000.0, last_share=0.6)
LAST = 600.0
"""Seconds of the last share of that plan."""


def stand(*scores: float, number: int = 0, pace: float | None = 10.0, is_running: bool = False) -> Standing:
    """Returns the standing of a trial that has ended a stretch for each score, of 1, 2, 6, ... epochs."""
    stretches = [1, *(2 * 3**rung for rung in range(len(scores) - 1))]
    return Standing(number, tuple(stretches), scores, pace, macs=1_000_000, is_running=is_running)


def stand_all(scores: Sequence[float]) -> list[Standing]:
    return [stand(score, number=number) for number, score in enumerate(scores)]


def test_a_search_begins_with_short_stretches() -> None:
    assert PLAN.decide([], 1000) == Start((1,))
    assert PLAN.decide(stand_all([0.5, 0.6]), 900) == Start((1,))


def test_the_best_third_of_a_rung_goes_on() -> None:
    standings = stand_all([0.5, 0.7, 0.6])
    assert PLAN.decide(standings, 900) == Resume(1, (1, 2))
    standings[1] = replace(standings[1], stretches=(1, 2), is_running=True)
    assert PLAN.decide(standings, 900) == Start((1,))
    standings += [stand(0.65, number=number) for number in (3, 4, 5)]
    assert PLAN.decide(standings, 900) == Resume(3, (1, 2))


def test_the_highest_rung_goes_on_first() -> None:
    higher = [stand(0.7, 0.8, number=number) for number in range(3)]
    lower = [stand(score, number=3 + number) for number, score in enumerate([0.9, 0.5, 0.5])]
    assert PLAN.decide([*higher, *lower], 900) == Resume(0, (1, 2, 6))


def test_of_equal_networks_the_cheaper_one_goes_on() -> None:
    standings = [stand(0.7, number=number, pace=pace) for number, pace in enumerate([40.0, 20.0, 80.0])]
    assert PLAN.decide(standings, 900) == Resume(1, (1, 2))


def test_what_does_not_fit_before_the_last_share_does_not_go_on() -> None:
    standings = stand_all([0.5, 0.7, 0.6])
    assert PLAN.decide(standings, LAST + 25) == Resume(1, (1, 2))
    assert PLAN.decide(standings, LAST + 15) == Start((1,))
    assert PLAN.decide(standings, LAST + 5) == Resume(1, (1, 66), is_last=True)


@pytest.mark.parametrize(("objective", "scores", "best"), [(ACCURACY, [0.5, 0.7, 0.6], 1), (LOSS, [0.5, 0.7, 0.6], 0)])
def test_the_last_share_belongs_to_the_best(objective: Objective, scores: list[float], best: int) -> None:
    plan = replace(PLAN, objective=objective)
    step = plan.decide(stand_all(scores), LAST)
    assert step == Resume(best, (1, 66), is_last=True)  # of 10 s each: 10 % more than fit into 600 s


def test_a_network_that_gets_more_epochs_in_the_end_may_be_better() -> None:
    dear, cheap = stand(0.70, pace=200.0), stand(0.68, number=1, pace=15.0)
    assert PLAN.decide([dear, cheap], LAST) == Resume(1, (1, 44), is_last=True)


def test_nothing_is_trained_on_that_cannot_become_the_best() -> None:
    ended = Standing(0, (1, 2, 50), (0.6, 0.7, 0.95), pace=10.0)
    assert PLAN.decide([ended, stand(0.5, number=1)], 90) == Done()
    assert PLAN.decide([ended, stand(0.94, number=1)], 90) == Resume(1, (1, 9), is_last=True)


def test_a_network_is_trained_to_the_end_once() -> None:
    assert PLAN.decide([Standing(0, (1, MAX_PASSES - 1), (0.6, 0.95), pace=1.0)], 90) == Done()


def test_a_larger_budget_trains_the_best_on() -> None:
    ended = [Standing(0, (1, 2, 50), (0.6, 0.7, 0.95), pace=10.0), stand(0.5, number=1), stand(0.4, number=2)]
    assert replace(PLAN, total=2000).decide(ended, 1000) == Resume(0, (1, 2, 50, 47), is_last=True)


def test_a_long_search_explores_until_the_best_need_the_rest() -> None:
    night = replace(PLAN, total=30_000.0)
    assert night.decide(stand_all([0.5, 0.7]), 3000) == Start((1,))
    assert night.decide(stand_all([0.5, 0.7]), 1000) == Resume(1, (1, 99), is_last=True)


def test_no_further_trial_begins_that_may_not() -> None:
    assert PLAN.decide(stand_all([0.5]), 900, may_start=False) == Resume(0, (1, 99), is_last=True)
    assert PLAN.decide([], 900, may_start=False) == Done()


def test_a_stretch_that_was_cut_short_is_ended() -> None:
    cut = Standing(0, (1, 40), (0.6,), pace=10.0)
    assert PLAN.decide([cut], LAST) == Resume(0, (1, 40), is_last=True)


def test_what_is_at_work_is_left_alone() -> None:
    running = stand(0.9, is_running=True)
    assert PLAN.decide([running, stand(0.5, number=1)], LAST) == Resume(1, (1, 66), is_last=True)


def test_what_has_no_weights_here_is_left_alone() -> None:
    elsewhere = replace(stand(0.9), has_weights=False)
    assert PLAN.decide([elsewhere, stand(0.5, number=1)], LAST) == Resume(1, (1, 66), is_last=True)


def test_a_perfect_network_is_the_best() -> None:
    assert PLAN.decide(stand_all([0.99, 1.0]), LAST) == Done()  # none can become better


def test_a_search_without_time_is_over() -> None:
    assert PLAN.decide([], 0) == PLAN.decide(stand_all([0.5]), -1) == Done()


def test_trials_that_are_trained_all_at_once_go_on_until_the_end() -> None:
    assert PLAN.decide([], 5) == Start((1,))
    assert PLAN.decide(stand_all([0.5]), 500, rival=0.99) == Start((1,))
    assert PLAN.decide(stand_all([0.5]), 500, rival=0.99, may_start=False) == Done()
    assert PLAN.decide(stand_all([0.5]), 500, rival=0.6) == Resume(0, (1, 55), is_last=True)


@pytest.mark.parametrize(("macs", "seconds"), [(1_000_000, 10.0), (10_000_000, 63.1), (100_000, 1.58)])
def test_what_an_epoch_takes_is_predicted_from_what_was_measured(macs: int, seconds: float) -> None:
    assert predict_pace([stand(0.5)], macs, "net") == pytest.approx(seconds, rel=0.01)


def test_networks_of_the_same_space_and_size_tell_most() -> None:
    near, far = stand(0.5, pace=10.0), replace(stand(0.5, pace=300.0), macs=10_000_000)
    predicted = predict_pace([near, far], 1_100_000, "")
    assert predicted is not None
    assert 10 < predicted < 20
    other = replace(stand(0.5, pace=99.0), space="other")
    assert predict_pace([near, far, other], 1_000_000, "other") == pytest.approx(99.0)
    assert predict_pace([], 1_000_000, "") is predict_pace([stand(0.5, pace=None)], 1_000_000, "") is None


def test_a_network_that_the_time_is_not_enough_for() -> None:
    longest = LAST / MIN_PASSES
    PLAN.check_cost([], Cost(1, 10**12), "")
    PLAN.check_cost([stand(0.5, pace=0.99 * longest)], Cost(1, 1_000_000), "")
    with pytest.raises(InfeasibleError, match="6 passes would take 660 s; there are 600 s for them") as info:
        PLAN.check_cost([stand(0.5, pace=1.1 * longest)], Cost(1, 1_000_000), "")
    assert info.value.excess == pytest.approx(0.1)
    with pytest.raises(InfeasibleError):
        replace(PLAN, parts=2).check_cost([stand(0.5, pace=0.6 * longest)], Cost(1, 1_000_000), "")
    replace(PLAN, total=math.inf).check_cost([stand(0.5, pace=1e9)], Cost(1, 1_000_000), "")


def configure(**sections: Any) -> StudyConfig:
    return StudyConfig.model_validate({"spaces": ["any"], "data": {"name": "digits"}, **sections})


def test_where_trials_are_counted_no_decision_depends_on_seconds() -> None:
    plan = replace(PLAN, total=math.inf, max_passes=20)
    for paces in ([1.0, 2.0, 3.0, 4.0], [400.0, 30.0, 2.0, 1.0]):
        standings = [stand(0.7 - 0.1 * number, number=number, pace=pace) for number, pace in enumerate(paces)]
        assert plan.decide(standings[:2], math.inf) == Start((1,))
        assert plan.decide(standings, math.inf) == Resume(0, (1, 2))
        standings[0] = stand(0.7, 0.8, pace=paces[0])
        assert plan.decide(standings, math.inf, may_start=False) == Resume(0, (1, 2, 17), is_last=True)
        standings[0] = Standing(0, (1, 2, 17), (0.7, 0.73, 0.73), paces[0])
        assert plan.decide(standings, math.inf, may_start=False) == Resume(1, (1, 19), is_last=True)
        standings[1] = Standing(1, (1, 19), (0.6, 0.75), paces[1])
        assert plan.decide(standings, math.inf, may_start=False) == Done()


def test_what_is_cheap_is_expected_to_win_by_much_only_where_time_is_short() -> None:
    cheap, dear = stand(0.8, pace=1.0), stand(0.8, pace=10.0)

    def compare(seconds: float) -> float:
        return PLAN.expect(dear, seconds) / PLAN.expect(cheap, seconds)

    assert compare(4) == pytest.approx((5 / 1.4) ** 0.3)  # epochs that the time is enough for, beside the first
    assert compare(40) == pytest.approx((41 / 5) ** 0.02)
    assert compare(900) == pytest.approx((PLAN.max_passes / 91) ** 0.02)


def test_a_large_network_is_expected_to_learn_on_for_longer() -> None:
    plan = replace(PLAN, pixels=100)
    small, large = (replace(stand(0.8, pace=1.0), macs=macs) for macs in (100_000, 1_440_000))
    assert plan.expect(small, 4) == plan.expect(large, 4)
    assert plan.expect(small, 99) == pytest.approx(0.2 * 5**-0.3 * (100 / 5) ** -0.02)
    assert plan.expect(large, 99) == pytest.approx(0.2 * 12**-0.3 * (100 / 12) ** -0.02)
    few = replace(plan, images=plan.images // 4)
    assert few.expect(large, 99) == pytest.approx(0.2 * 24**-0.3 * (100 / 24) ** -0.02)


def test_a_network_is_expected_to_learn_on_as_those_of_its_study_have() -> None:
    steep, flat, flatter = stand(0.6, 0.8), stand(0.76, 0.8), stand(0.8, 0.8)
    falling = math.log(0.24 / 0.2) / math.log(3)
    assert PLAN.fit([]).decay == PLAN.fit([stand(0.8)]).decay == 0.3
    assert PLAN.fit([flat, stand(0.8)]).decay == pytest.approx((0.3 + falling) / 2)
    assert PLAN.fit([flat, flatter]).decay == PLAN.fit([flat] * 9).decay == pytest.approx(falling)
    assert PLAN.fit([flatter] * 9).decay == 0.02
    assert PLAN.fit([steep] * 9).decay == pytest.approx(math.log(2) / math.log(3))
    assert PLAN.fit([stand(0.8, 1.0)] * 9).decay == 0.3
    fast = replace(stand(0.8), pace=1.0)
    assert PLAN.fit([flat] * 9).expect(fast, 2) == pytest.approx(0.2 * 3**-falling)


def test_what_was_never_promoted_is_trained_to_the_end_last() -> None:
    known, unknown = stand(0.52, 0.63, pace=8.0), stand(0.52, number=1, pace=4.0)
    plan = replace(PLAN, total=600.0)
    assert plan.expect(unknown, 350) < plan.expect(known, 350)  # as it is guessed from one stretch
    assert plan.decide([known, unknown], 350, may_start=False) == Resume(0, (1, 2, 48), is_last=True)


def test_the_plan_for_readers() -> None:
    standings = [stand(0.7, 0.8), stand(0.6, number=1)]
    assert PLAN.describe(standings, Start((1,)), 900) == Planned(2, 1, is_last=False, seconds=300, last_seconds=600)
    last = Resume(1, (1, 30), is_last=True)
    assert PLAN.describe(standings, last, 600) == Planned(2, 1, is_last=True, seconds=0, last_seconds=300)
    assert PLAN.describe(standings, last, math.inf) == Planned(2, 1, is_last=True)


def test_which_studies_have_a_plan() -> None:
    plan = make_scheduler(configure(budget={"timeout": 100}), 7, 784, 54_000, seconds_to_begin=10)
    assert plan == Scheduler(ACCURACY, 90, 7, 784, 54_000, MAX_PASSES)
    assert make_scheduler(configure(budget={"trials": 3}), 1, 9, 8) == Scheduler(
        ACCURACY, math.inf, 1, 9, 8, COUNTED_PASSES
    )
    assert make_scheduler(configure(budget={"timeout": 100}, search={"pruner": "NopPruner"}), 1, 9, 8) is None
    capped = make_scheduler(configure(budget={"timeout": 100}, training={"epochs": 5}), 1, 9, 8)
    assert capped is not None and capped.max_passes == 5

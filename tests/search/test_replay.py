"""The plan beside simpler ways to spend the time, on learning curves that are replayed with a clock of their own."""

from dataclasses import replace
from statistics import fmean

import pytest

from benchmarks.replay.bench import Bench
from benchmarks.replay.curves import Curve, Recording, make_curves
from benchmarks.replay.results import find_error
from benchmarks.replay.strategies import ASHA, ONE_EPOCH, PLAN, TODAY, Strategy
from searchcnn.search import Cost
from searchcnn.search.scheduler import Done, Resume, Standing

SEEDS = range(10)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Recording(make_curves(60)))


def average(bench: Bench, strategy: Strategy, units: float) -> float:
    """Returns the mean final error."""
    return fmean(find_error(bench.search(strategy, units, seed)) for seed in SEEDS)


@pytest.mark.parametrize("other", [ASHA, ONE_EPOCH], ids=lambda strategy: strategy.name)
def test_the_plan_finds_better_networks(bench: Bench, other: Strategy) -> None:
    assert average(bench, TODAY, 4) < 0.95 * average(bench, other, 4)


@pytest.mark.parametrize(
    "strategy", [TODAY, ASHA, replace(TODAY, sampler="TPESampler"), replace(TODAY, sampler="Mutation")]
)
def test_a_study_in_memory_is_searched_as_one_in_a_database(bench: Bench, strategy: Strategy) -> None:
    real = Bench(bench.recording, in_memory=False)
    assert bench.search(strategy, 1, 0).moments == real.search(strategy, 1, 0).moments


def test_a_search_ends_with_its_time(bench: Bench) -> None:
    for units in (0.001, 0.1, 1):
        replay = bench.search(TODAY, units, 0)
        assert replay.clock.now == pytest.approx(units * bench.unit, abs=2 + 0.1 * bench.unit)


def test_several_workers_share_a_search(bench: Bench) -> None:
    shared = replace(TODAY, workers=4)
    replay = bench.search(shared, 1, 0)
    assert replay.moments == bench.search(shared, 1, 0).moments
    seconds = [moment.seconds for moment in replay.moments]
    assert seconds == sorted(seconds)
    assert seconds[-1] < 1.1 * bench.unit
    assert average(bench, shared, 1) < 0.9 * average(bench, TODAY, 1)


def test_hardly_any_time_is_left_over(bench: Bench) -> None:
    left = [1 - bench.search(TODAY, 4, seed).clock.now / (4 * bench.unit) for seed in SEEDS]
    assert fmean(left) < 0.1


def test_a_curve_between_and_beyond_what_was_recorded() -> None:
    accuracy = tuple(1 - 0.9 / epoch for epoch in range(1, 28))
    curve = Curve({}, 1, accuracy, (2.0,) * 27).retrace(5.0)
    assert curve.score(1) == curve.score(0.5) == pytest.approx(0.1)
    assert curve.score(5) == pytest.approx(1 - 0.9 / 5)
    assert curve.score(27 * 4) == pytest.approx(1 - 0.9 / 27 / 2)
    assert (curve.pace, curve.tracing, curve.seconds(10, 2)) == (2.0, 5.0, 30.0)


def test_a_plan_that_keeps_no_time_knows_no_largest_network() -> None:
    standing = Standing(0, (1,), (0.5,), pace=1.0, macs=1000)
    replace(PLAN, total=9.0, last_share=0.0).check_cost([standing], Cost(0, 10**12), "")


def test_the_seconds_before_a_stretch_are_no_seconds_of_training() -> None:
    standing = Standing(0, (1,), (0.5,), pace=1.0, setup=40.0)
    plan = replace(PLAN, total=100.0)
    assert plan.decide([standing], 60) == Resume(0, (1, 22), is_last=True)
    assert plan.decide([standing], 40) == Done()
    assert plan.expect(standing, 40) == 0.5 > plan.expect(standing, 50)

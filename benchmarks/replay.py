"""Replays recorded learning curves through the real engine: plans, pruners and samplers compared in seconds.

What trains a network is replaced by what `benchmarks/record_curves.py` has recorded, and time by a clock that moves on
by the seconds that training took. All else is the real thing: engine, plan, sampler, database.

Run: python benchmarks/replay.py --data digits --seeds 30
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from searchcnn.events import Epoch, Planned
from searchcnn.search import (
    Budget,
    Cost,
    Evaluation,
    InterruptedTrialError,
    Scheduler,
    Search,
    Trial,
    TrialPrunedError,
    make_pruner,
    make_sampler,
)
from searchcnn.search.samplers import SeededSampler
from searchcnn.store import LAST, PACE, STRETCHES, StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig, Objective

CURVES = Path(__file__).parent / "curves"
RUNGS = (1, 3, 9, 27)
"""Epochs at which a recorded stretch ends, each a complete cycle of the learning rate."""
OBJECTIVE = Objective("val_accuracy", "maximize")
MIN_ERROR = 1e-3
"""Taken for the error of a network that makes none: its logarithm is needed."""
TOTALS = (1, 2, 4, 8, 16)
"""Lengths of a search, in mean durations of a full training."""
BUILDING = 0.5
"""Seconds to build a network, or to load it, before each stretch."""
EPOCHS_AT_ONCE = 10
"""Epochs of a trial that is trained all at once."""
NEVER = 10**9
"""A reduction with which no trial is promoted."""
LITTLE = 1e-6
"""A decay with which networks are compared by their score alone."""
POPULATION, CONTENDERS = 20, 5
"""The last trials of which one is changed, and how many of them are drawn: the best of these is it."""
FULL = 64
"""Points drawn at random and trained to the end whose best is the target."""


# -- what was recorded


@dataclass(frozen=True)
class Curve:
    """What was recorded of one network.

    Attributes:
        hyperparameters: Its point, as Optuna's names have it.
        macs: Multiply-accumulates of one image's forward pass.
        accuracy: Validation accuracy after each epoch.
        durations: Seconds of each epoch; the first one of each stretch includes tracing the network.
    """

    hyperparameters: Mapping[str, Any]
    macs: int
    accuracy: tuple[float, ...]
    durations: tuple[float, ...]

    @cached_property
    def pace(self) -> float:
        """Seconds of an epoch."""
        return median(self.durations[epoch] for epoch in range(RUNGS[-1]) if epoch not in (0, *RUNGS))

    @cached_property
    def tracing(self) -> float:
        """Seconds at the beginning of each stretch until the first batch is trained."""
        return max(0.0, fmean(self.durations[epoch] for epoch in (0, *RUNGS[:-1])) - self.pace)

    @cached_property
    def errors(self) -> tuple[float, ...]:
        """The least error so far at the end of each rung."""
        return tuple(max(MIN_ERROR, 1 - max(self.accuracy[:rung])) for rung in RUNGS)

    def score(self, epochs: float) -> float:
        """Returns the best accuracy at the end of a cycle that ends after a number of epochs.

        The error is a power of the epochs between two rungs; beyond the last one, it falls with half of the slope
        before, because nothing is known of it and learning slows down.
        """
        place = min(max(bisect_right(RUNGS, epochs), 1), len(RUNGS) - 1) - 1
        (first, second), (before, after) = RUNGS[place : place + 2], self.errors[place : place + 2]
        slope = math.log(after / before) / math.log(second / first)
        if epochs <= RUNGS[-1]:
            return 1 - before * math.pow(max(1.0, epochs) / first, slope)
        return 1 - max(MIN_ERROR, after * math.pow(epochs / second, slope / 2))

    def seconds(self, epochs: float, stretches: int = 1) -> float:
        """Returns how long a number of epochs takes, in some stretches."""
        return epochs * self.pace + stretches * self.tracing

    def retrace(self, seconds: float) -> Curve:
        """Returns the curve of a network that is traced in a given time."""
        durations = [seconds * (epoch in (0, *RUNGS)) + self.pace for epoch in range(RUNGS[-1])]
        return replace(self, durations=tuple(durations))


def read_curves(file: Path) -> list[Curve]:
    """Returns what `record_curves.py` has written."""
    return [
        Curve(row["hyperparameters"], row["macs"], tuple(row["accuracy"]), tuple(row["seconds"]))
        for row in json.loads(file.read_text())["curves"]
    ]


def make_curves(count: int, seed: int = 0, noise: float = 0.03) -> list[Curve]:
    """Returns curves that nobody recorded: power laws with noise. Half of the networks are cheap, half are dear.

    The dear ones are better in the end, if they are trained for long; in both halves the learning rate matters most.
    """
    random = np.random.default_rng(seed)
    return [_make_curve(random, is_dear=number % 2 == 1, noise=noise) for number in range(count)]


def _make_curve(random: np.random.Generator, is_dear: bool, noise: float) -> Curve:
    rate, width = float(10 ** random.uniform(-4, -1)), int(random.integers(8, 65))
    point = {"space": "dear" if is_dear else "cheap", "rate": rate, "width": width}
    if is_dear:
        point["depth"] = int(random.integers(1, 5))
    misfit = abs(math.log10(rate) + (3 if is_dear else 2)) + abs(math.log2(width / 32)) / 4
    begin, slope = (0.8, 0.75) if is_dear else (0.5, 0.5)
    epochs = np.arange(1, RUNGS[-1] + 1)
    errors = begin * epochs ** -(slope / (1 + misfit)) * np.exp(random.normal(0, noise, len(epochs)))
    pace = (4.0 if is_dear else 1.0) * (width / 32) ** 0.8
    accuracy = 1 - np.minimum(0.9, errors + 0.01 * misfit)
    return Curve(point, int(1e5 * pace**1.25), tuple(map(float, accuracy)), (pace,) * len(epochs)).retrace(1.0)


# -- points


class Points:
    """The recorded points as a search space: a trial is asked for a point, and gets the nearest one that is left.

    Which hyperparameters a point has depends on its others; that is read off the points.

    Args:
        curves: What was recorded.
    """

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.curves = curves
        values: dict[str, list[Any]] = {}
        for curve in curves:
            for name, value in curve.hyperparameters.items():
                values.setdefault(name, []).append(value)
        self._distributions = {name: _make_distribution(found) for name, found in values.items()}

    def choose(self, trial: Trial, taken: Sequence[int]) -> int:
        """Returns which curve a trial gets: the nearest of those that were not taken, while there are any."""
        asked = self._ask(trial)
        left = set(range(len(self.curves))) - set(taken) or set(range(len(self.curves)))
        return min(sorted(left), key=lambda number: self._measure(asked, self.curves[number].hyperparameters))

    def _ask(self, trial: Trial) -> dict[str, Any]:
        """Asks for the hyperparameters that all points like the one so far have, until it has them all."""
        asked: dict[str, Any] = {}
        points = [curve.hyperparameters for curve in self.curves]
        while points:
            common = [name for name in points[0] if name not in asked and all(name in point for point in points)]
            asked |= {name: trial.suggest(name, self._distributions[name]) for name in common}
            points = self._narrow(points, asked)
        return asked

    def _narrow(self, points: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Returns the points that agree in what explains best which further hyperparameters they have; none at last."""
        further = {name for point in points for name in point} - set(asked)
        if not further or len(points) < 2:
            return []
        name = max(points[0], key=lambda name: _explain(points, name, further) if name in asked else -1.0)
        values = {point[name] for point in points}
        if len(values) < 2 or _explain(points, name, further) == 0:
            return []
        nearest = min(sorted(values, key=str), key=lambda value: self._compare(name, value, asked[name]))
        return [point for point in points if point[name] == nearest]

    def _measure(self, asked: Mapping[str, Any], point: Mapping[str, Any]) -> float:
        """Returns how far a recorded point is from one that was asked for; another search space is infinitely far."""
        if asked.get("space") != point.get("space"):
            return math.inf
        return sum(self._compare(name, value, point[name]) if name in point else 1.0 for name, value in asked.items())

    def _compare(self, name: str, one: Any, other: Any) -> float:
        distribution = self._distributions[name]
        if not isinstance(distribution, (IntDistribution, FloatDistribution)):
            return float(one != other)
        low, high, *pair = distribution.low, distribution.high, one, other
        if distribution.log:
            low, high, *pair = (math.log(value) for value in (low, high, *pair))
        return abs(pair[0] - pair[1]) / (high - low) if high > low else 0.0


def _make_distribution(values: Sequence[Any]) -> BaseDistribution:
    """Returns the range, or the choices, that recorded values came from."""
    kinds = sorted(set(values), key=lambda value: (str(type(value)), value))
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in kinds)
    if not is_number or (len(kinds) <= 4 and any(isinstance(value, float) for value in kinds)):
        return CategoricalDistribution(kinds)
    is_log = kinds[0] > 0 and kinds[-1] / kinds[0] >= 8
    if all(isinstance(value, int) for value in kinds):
        return IntDistribution(kinds[0], kinds[-1], log=is_log)
    return FloatDistribution(kinds[0], kinds[-1], log=is_log)


def _explain(points: Sequence[Mapping[str, Any]], name: str, further: set[str]) -> float:
    """Returns how many hyperparameters have, given the value of one, all points of that value or none."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for point in points:
        groups.setdefault(point[name], []).append(point)
    shares = [[fmean(other in point for point in group) for group in groups.values()] for other in further]
    explained = sum(all(share in (0, 1) for share in each) and len(set(each)) > 1 for each in shares)
    return explained - 0.01 * len(groups) if explained else 0.0  # that which has the fewest values, if several do


# -- training


@dataclass
class Clock:
    """A clock that stands still until it is moved on."""

    now: float = 0.0

    def __call__(self) -> float:
        """Returns the time in seconds."""
        return self.now


class Turns:
    """Lets workers that have clocks of their own take turns: it is always that one's whose clock is behind.

    Args:
        workers: How many there are.

    Attributes:
        clocks: Theirs.
    """

    def __init__(self, workers: int) -> None:
        self.clocks = [Clock() for _ in range(workers)]
        self._working = set(range(workers))
        self._changed = threading.Condition()

    def wait(self, worker: int) -> None:
        """Waits until it is a worker's turn; all that it does until then, others do not see."""
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: worker == self._find_next())

    def end(self, worker: int) -> None:
        """Takes a worker out, and the others on."""
        with self._changed:
            self._working.discard(worker)
            self._changed.notify_all()

    def skip(self, worker: int) -> None:
        """Moves the clock of a worker that has nothing to do on until another one has done something."""
        others = [self.clocks[other].now for other in self._working - {worker}]
        self.clocks[worker].now = max(self.clocks[worker].now, min(others, default=0.0)) + BUILDING
        self.wait(worker)

    def _find_next(self) -> int:
        return min(self._working, key=lambda worker: (self.clocks[worker].now, worker))


class Idle(threading.Event):
    """A search's stop of which waiting costs no real time.

    Args:
        skip: Moves the clock on.
    """

    def __init__(self, skip: Callable[[], None]) -> None:
        super().__init__()
        self._skip = skip

    def wait(self, timeout: float | None = None) -> bool:
        """Moves the clock on."""
        self._skip()
        return False


@dataclass(frozen=True)
class Moment:
    """What was spent until the search had found something better than before, and its score."""

    seconds: float
    epochs: float
    score: float


@dataclass
class Replay:
    """Replays curves for trials: the evaluator that is given to the search, in the place of `training.Trainer`.

    Attributes:
        points: The recorded points.
        clock: Moves on as if they were trained.
        is_uniform: Whether points are drawn one as likely as the other, and none is asked for.
        wait: Called when the clock was moved on, before anything is told.
        epochs: Epochs that were trained.
        moments: When the best score became better.
    """

    points: Points
    clock: Clock
    is_uniform: bool = True
    wait: Callable[[], None] = lambda: None
    epochs: float = 0.0
    moments: list[Moment] = field(default_factory=list)
    _chosen: dict[int, int] = field(default_factory=dict)

    def __call__(self, trial: Trial) -> Evaluation:
        """Evaluates a trial; see `searchcnn.search.Evaluator`."""
        curve = self._choose(trial)
        self.clock.now += BUILDING
        if trial.stretches:
            trial.note(**{STRETCHES: list(trial.stretches), LAST: trial.is_last})
        trial.describe_network(macs=curve.macs)
        trial.check_cost(Cost(0, curve.macs), "")
        self.clock.now += curve.tracing
        evaluation = self._train_stretch(trial, curve) if trial.stretches else self._train_whole(trial, curve)
        if not self.moments or evaluation.value > self.moments[-1].score:
            self.moments.append(Moment(self.clock.now, self.epochs, evaluation.value))
        return evaluation

    def _choose(self, trial: Trial) -> Curve:
        if trial.number not in self._chosen:
            self._chosen[trial.number] = self._draw(trial)
        return self.points.curves[self._chosen[trial.number]]

    def _draw(self, trial: Trial) -> int:
        taken, count = list(self._chosen.values()), len(self.points.curves)
        if not self.is_uniform:
            return self.points.choose(trial, taken)
        left = sorted(set(range(count)) - set(taken)) or list(range(count))
        place: float = trial.suggest("place", FloatDistribution(0, 1))
        return left[math.floor(place * len(left)) % len(left)]

    def _train_stretch(self, trial: Trial, curve: Curve) -> Evaluation:
        """Trains a trial on, to the end of its stretch; a cycle that is cut is worth half of the epochs it had.

        The last one is not cut: its cycle ends with the time.
        """
        before = sum(trial.stretches[: len(trial.scores)])
        if trial.scores:
            trial.recall([(Epoch(before, {}, None, 0.0), trial.scores[-1])])
        planned = sum(trial.stretches) - before
        epochs = self._spend(trial, planned, curve.pace)
        is_cut = epochs < planned and not trial.is_last
        if epochs:
            self._report(trial, before + epochs, curve.score(before + (epochs / 2 if is_cut else epochs)))
            trial.note(**{PACE: curve.pace})
            trial.end_stretch_at(before + epochs)
        return _conclude(trial, is_cut=is_cut)

    def _train_whole(self, trial: Trial, curve: Curve) -> Evaluation:
        """Trains a trial all at once, in one cycle, as long as the pruner lets it."""
        for epoch in range(1, EPOCHS_AT_ONCE + 1):
            if not self._spend(trial, 1, curve.pace):
                return _conclude(trial, is_cut=True)
            score = curve.score(EPOCHS_AT_ONCE if epoch == EPOCHS_AT_ONCE else epoch / 2)
            if not self._report(trial, epoch, score):
                raise TrialPrunedError
        return _conclude(trial)

    def _spend(self, trial: Trial, epochs: int, pace: float) -> int:
        """Moves the clock on by some epochs, or as many as the time is enough for; returns their number."""
        left = max(0.0, trial.budget.count_seconds_left())
        ended = min(epochs, math.floor(left / pace))
        self.clock.now += epochs * pace if ended == epochs else left
        self.epochs += ended
        self.wait()
        return ended

    def _report(self, trial: Trial, epoch: int, score: float) -> bool:
        return trial.report(Epoch(epoch, {OBJECTIVE.metric: score}, None, self.clock.now), score)


def _conclude(trial: Trial, is_cut: bool = False) -> Evaluation:
    """Returns the evaluation of a trial; one whose time was over before its first epoch begins again, given more."""
    if trial.best is None:
        raise InterruptedTrialError
    return Evaluation(trial.best, is_cut=is_cut)


# -- the study


class MemoryStudy:
    """What a search needs of a `StoredStudy`, without a database: it is that which takes long in a replay.

    Args:
        sampler: Proposes points.
        pruner: Ends hopeless trials.
    """

    name = "replay"
    objective = OBJECTIVE

    def __init__(self, sampler: BaseSampler, pruner: BasePruner) -> None:
        storage = _Reopened()
        direction = OBJECTIVE.direction
        self.optuna = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner, direction=direction)
        self._storage = storage
        self._ranks: dict[int, tuple[float, ...]] = {}
        self._resumed: set[int] = set()

    def take_over(self) -> None:
        """Returns no trial: no other run has left any."""

    def start_trial(self, max_trials: int | None = None) -> optuna.Trial:
        return self.optuna.ask()

    begin_trial = start_trial

    def resume_trial(self, number: int, facts: Mapping[str, Any]) -> optuna.Trial:
        self._resumed.add(number)
        trial = optuna.Trial(self.optuna, number)  # Optuna numbers the trials of a storage in memory as of its studies
        for key, fact in facts.items():
            trial.set_user_attr(key, fact)
        return trial

    def list_planned(self) -> list[tuple[int, TrialState, dict[str, Any]]]:
        planned = [(t.number, t.state, t.user_attrs) for t in self.list_trials() if STRETCHES in t.user_attrs]
        running = TrialState.RUNNING
        return [(number, running if number in self._resumed else state, facts) for number, state, facts in planned]

    def list_trials(self, states: Sequence[TrialState] | None = None) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=tuple(states) if states else None)

    def count_begun(self) -> int:
        return len(self.list_trials())

    count_finished = count_begun

    def add_epoch(self, trial: optuna.Trial, epoch: Epoch, score: float) -> None:
        trial.report(score, step=epoch.number)

    def should_prune(self, trial: optuna.Trial) -> bool:
        return trial.should_prune()

    def find_value(self, trial: optuna.Trial) -> None:
        """Returns no score: a replay never brings anything worse."""

    def find_best_whole(self) -> None:
        """Returns no score: all trials of a plan are trained in stretches."""

    def note_plan(self, plan: Planned) -> None:
        """Does nothing: nobody reads it."""

    def flush(self, trial: optuna.Trial) -> None:
        """Does nothing: nothing is held back."""

    def rank(self, trial: optuna.Trial, value: float, facts: Mapping[str, Any]) -> int:
        own = (*OBJECTIVE.rank(value, facts), trial.number)
        return sum((*rank, number) < own for number, rank in self._ranks.items())

    def finish(
        self, trial: optuna.Trial, state: TrialState, value: float | None, facts: Mapping[str, Any], excess: float = 0.0
    ) -> None:
        self._resumed.discard(trial.number)
        if excess > 0:
            trial.set_constraint("limits", excess)
        for key, fact in facts.items():
            trial.set_user_attr(key, fact)
        if state == TrialState.COMPLETE and value is not None:
            self._ranks[trial.number] = OBJECTIVE.rank(value, trial.user_attrs)
        values = None if value is None else [value]
        self._storage.set_trial_state_values(trial.number, state, values if state == TrialState.COMPLETE else None)


class _Reopened(InMemoryStorage):
    """Lets trials that have ended be trained on."""

    def check_trial_is_updatable(self, trial_id: int, trial_state: TrialState) -> None:
        """Refuses nothing."""


# -- samplers


class Mutation(BaseSampler):
    """Changes one hyperparameter of a good trial: regularised evolution (Real et al. 2019, arXiv:1802.01548).

    Args:
        seed: Of all that is drawn for one trial.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        random = np.random.default_rng(self._seed)
        parent = self._draw_parent(study, random)
        if name in parent and name != random.choice(sorted(parent)):
            return parent[name]
        fresh = RandomSampler(int(np.random.default_rng([self._seed, *name.encode()]).integers(2**31)))
        return fresh.sample_independent(study, trial, name, distribution)

    def _draw_parent(self, study: optuna.Study, random: np.random.Generator) -> dict[str, Any]:
        """Returns the point of the best of a few of the last trials; none before there are enough."""
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.intermediate_values][-POPULATION:]
        if len(trials) < CONTENDERS:
            return {}
        contenders = [trials[place] for place in random.permutation(len(trials))[:CONTENDERS]]
        parent = max(contenders, key=lambda trial: max(trial.intermediate_values.values()))
        return dict(parent.params)


# -- strategies


@dataclass(frozen=True)
class Strategy:
    """A way to spend the time.

    Attributes:
        name: What it is called in the table.
        scheduler: Plans the time, once its length is known; None: a pruner ends trials that are trained all at once.
        sampler: Proposes the points: one of Optuna's, or `Mutation`.
        workers: How many there are; each has all of the time.
    """

    name: str
    scheduler: Scheduler | None
    sampler: str = "RandomSampler"
    workers: int = 1


PLAN = Scheduler(OBJECTIVE, total=0.0)
ONE_EPOCH = Strategy("all for one epoch", replace(PLAN, reduction=NEVER, last_share=0.3, decay=LITTLE))
ASHA = Strategy("plain ASHA", replace(PLAN, max_passes=RUNGS[-1], last_share=0.0, decay=LITTLE))
PRUNER = Strategy("pruner, 10 epochs", None)
TODAY = Strategy("plan", PLAN)


VARIANTS: Mapping[str, Sequence[Any]] = {
    "last_share": (0.3, 0.45, 0.6, 0.75),
    "reduction": (2, 3, 4),
    "decay": (LITTLE, 0.15, 0.3, 0.45),
}
"""What is changed in the plan, one at a time."""


def list_strategies() -> Iterator[Strategy]:
    """Yields what is compared: the plan, what else there is, and the plan with one thing changed."""
    yield from (TODAY, ONE_EPOCH, ASHA, PRUNER)
    for name, values in VARIANTS.items():
        for value in values:
            if value != getattr(PLAN, name):
                yield Strategy(f"plan, {name} {value:g}", replace(PLAN, **{name: value}))
    yield replace(TODAY, name="plan, TPE", sampler="TPESampler")
    yield replace(TODAY, name="plan, mutation", sampler=Mutation.__name__)


class Bench:
    """Runs searches, each with a clock and a study of its own.

    Args:
        curves: What was recorded.
        in_memory: Whether the study does without a database.

    Attributes:
        unit: Mean seconds of a full training.
    """

    def __init__(self, curves: Sequence[Curve], in_memory: bool = True) -> None:
        self.curves = curves
        self._in_memory = in_memory
        self._points = Points(curves)
        self.unit = fmean(curve.seconds(RUNGS[-1], len(RUNGS)) + BUILDING for curve in curves)

    def search(self, strategy: Strategy, units: float, seed: int) -> Replay:
        """Searches once.

        Args:
            strategy: How the time is spent.
            units: How much there is of it, in mean durations of a full training.
            seed: Of the points.
        """
        turns, total = Turns(strategy.workers), units * self.unit
        replay = Replay(self._points, turns.clocks[0], is_uniform=strategy.sampler == "RandomSampler")
        is_ours = strategy.sampler == Mutation.__name__
        sampler = (
            SeededSampler(Mutation, seed) if is_ours else make_sampler(ComponentConfig(name=strategy.sampler), seed)
        )
        plan = strategy.scheduler and replace(strategy.scheduler, total=total)
        with self._open_study(sampler) as study, ThreadPoolExecutor(strategy.workers) as pool:

            def work(worker: int) -> None:
                wait, clock = partial(turns.wait, worker), turns.clocks[worker]
                own = replace(replay, clock=clock, wait=wait)  # what was drawn and reached is the same object
                search = Search(study, sampler, own, Budget(None, total, clock), seed=seed, scheduler=plan)
                try:
                    wait()
                    search.run(stop=Idle(partial(turns.skip, worker)))
                finally:
                    turns.end(worker)

            list(pool.map(work, range(strategy.workers)))
        return replay

    @contextmanager
    def _open_study(self, sampler: BaseSampler) -> Iterator[Any]:
        pruner = make_pruner(ComponentConfig(name="auto"), EPOCHS_AT_ONCE)
        if self._in_memory:
            yield MemoryStudy(sampler, pruner)
            return
        with TemporaryDirectory() as folder, closing(open_storage(parse_url(f"sqlite:///{folder}/x.db"))) as storage:
            yield StoredStudy(storage, MemoryStudy.name, OBJECTIVE, sampler, pruner)

    def find_target(self) -> float:
        """Returns the score to reach: the mean of the best of `FULL` points, drawn at random and fully trained."""
        scores, random = [curve.score(RUNGS[-1]) for curve in self.curves], np.random.default_rng(0)
        return fmean(max(random.permutation(scores)[:FULL]) for _ in range(1000))


# -- the table


@dataclass(frozen=True)
class Result:
    """What a strategy has reached.

    Attributes:
        errors: Final errors, by the length of the search and the seed.
        reached: The least that was spent, over the lengths of the search, until the target was reached, by the seed.
    """

    errors: np.ndarray
    reached: Sequence[Moment | None]

    def compare(self, other: Result) -> str:
        """Returns by how much the errors are larger than another strategy's, over all lengths and seeds."""
        ratios = np.log(self.errors / other.errors).mean(axis=0)
        return f"{100 * math.expm1(ratios.mean()):+.0f} ± {100 * ratios.std() / math.sqrt(len(ratios)):.0f} %"

    def find_typical(self, attribute: str) -> float:
        """Returns the median of what was spent until the target was reached; infinity if less than half have."""
        return median(math.inf if moment is None else getattr(moment, attribute) for moment in self.reached)


def measure(bench: Bench, strategy: Strategy, seeds: int) -> Result:
    """Returns what a strategy reaches, for each length of the search and each seed."""
    target = bench.find_target()
    replays = [[bench.search(strategy, units, seed) for seed in range(seeds)] for units in TOTALS]
    errors = [[find_error(replay) for replay in row] for row in replays]
    reached = [_find_least([replay.moments for replay in column], target) for column in zip(*replays, strict=True)]
    return Result(np.array(errors), reached)


def find_error(replay: Replay) -> float:
    """Returns the error of the best network that a search has found; that of a guess if it found none."""
    return max(MIN_ERROR, 1 - replay.moments[-1].score) if replay.moments else 0.9


def _find_least(searches: Sequence[Sequence[Moment]], target: float) -> Moment | None:
    reached = [moment for moments in searches for moment in moments if moment.score >= target]
    return min(reached, key=lambda moment: moment.seconds, default=None)


def format_table(bench: Bench, strategies: Sequence[Strategy], seeds: int) -> Iterator[str]:
    """Yields the lines of a Markdown table; the first strategy is that which the others are compared with."""
    lengths = [f"{units} x full" for units in TOTALS]
    columns = ["strategy", *lengths, f"error beside {strategies[0].name}", "epochs to target", "fulls to target"]
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    first: Result | None = None
    for strategy in strategies:
        result = measure(bench, strategy, seeds)
        first = first or result
        errors = [f"{100 * row.mean():.2f} ± {100 * row.std(ddof=1):.2f}" for row in result.errors]
        spent = result.find_typical("epochs"), result.find_typical("seconds") / bench.unit
        typical = ["-" if math.isinf(amount) else f"{amount:.3g}" for amount in spent]
        yield "| " + " | ".join([strategy.name, *errors, result.compare(first), *typical]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["synthetic"], help="names of files in benchmarks/curves")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tracing", type=float, help="seconds, in the place of those that were recorded")
    parser.add_argument("--only", default="", help="a part of the names of the strategies to compare with the plan")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    strategies = [TODAY, *(each for each in list_strategies() if arguments.only in each.name and each != TODAY)]
    strategies = [replace(strategy, workers=arguments.workers) for strategy in strategies]
    for name in arguments.data:
        curves = make_curves(200) if name == "synthetic" else read_curves(CURVES / f"{name}.json")
        if arguments.tracing is not None:
            curves = [curve.retrace(arguments.tracing) for curve in curves]
        began, bench = time.perf_counter(), Bench(curves)
        print(f"\n### {name}\n\nFinal error in per cent, mean ± standard deviation of {arguments.seeds} seeds.\n")
        for line in format_table(bench, strategies, arguments.seeds):
            print(line, flush=True)
        print(
            f"\n{len(curves)} curves; a full training takes {bench.unit:.3g} s; the target is an error of "
            f"{100 * (1 - bench.find_target()):.2f} %; this took {time.perf_counter() - began:.0f} s"
        )


if __name__ == "__main__":
    main()

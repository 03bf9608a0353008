"""A plan for the time: what to train next, and for how long, decided from what the database knows.

Trials are trained in stretches, each a complete cycle of the learning rate. Many begin with a short one; the best third
of each rung goes on with a longer one, as in asynchronous successive halving (Li et al. 2018, arXiv:1810.05934); the
last share of the time belongs to the best, which are trained as long as it allows. Trials wait between stretches: they
are resumed from their weights, never trained anew.

What is best is what is expected to be best in the end: a network of half the cost gets twice the epochs in the same
time.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Self

from searchcnn.errors import InfeasibleError
from searchcnn.events import Planned
from searchcnn.search.limits import Cost
from searchcnn.study import Objective, StudyConfig

REDUCTION = 3
"""The best third of a rung goes on, and is trained three times as long then."""
LAST_SHARE = 0.75
"""Share of the time that belongs to the networks that are best in the end."""
DECAY, LATE_DECAY = 0.3, 0.02
"""Exponents with which the error falls with the number of epochs: at first, before a study's networks tell, and later.
Of networks of 5M to 31M multiply-accumulates on Fashion-MNIST and CIFAR-10, it fell with the 0.28th to 0.32nd power
until the end, after 6 to 14 passes; but of two convolutions that made 41 passes, with the 0.16th: what is small has
learned what it can sooner."""
EARLY_PASSES, MIN_EARLY_PASSES, EARLY_IMAGES = 0.1, 5.0, 54_000
"""Passes over so many training images after which it is later: the square root of a network's multiply-accumulates per
pixel, times this; and the least number. The two convolutions, with 3,300 per pixel, saturated after about 6 passes; a
residual network with 13,100 had not after 13. It takes more passes over fewer images, with the inverse of the square
root of their number: best for recorded networks is the same number for 12,000 images, or twice of it, and four times or
more for 1,150 (benchmarks/curves)."""
MAX_PASSES = 100
"""Passes over the training images after which a network is taken for trained to the end."""
COUNTED_PASSES = 30
"""The same where trials are counted, and not the time."""
MIN_PASSES = 6
"""Passes that a network must be able to make in the last share of the time. On Fashion-MNIST one that made 6 was even
with one of a third of its cost that made 13; what makes fewer takes the time of others."""
SCALING = 0.8
"""Exponent with which the seconds of an epoch grow with the multiply-accumulates."""
FINALISTS = 2
"""Networks that are trained to the end where trials are counted, and not the time."""
MARGIN = 1.1
"""Times the time left that the last stretch is planned to take: its schedule is fitted to the time while it is trained,
but it has no more epochs than were planned."""


@dataclass(frozen=True)
class Standing:
    """How far a trial has got.

    Attributes:
        number: The trial's number, from 0.
        stretches: Epochs of each of its stretches, that at work included.
        scores: Its best score at the end of each of them.
        pace: Seconds that an epoch takes, if that was measured.
        macs: Multiply-accumulates of one image's forward pass.
        space: Its search space.
        setup: Seconds that a stretch takes besides its epochs.
        is_running: Whether it is being trained.
        has_weights: Whether its weights are at hand; they may be on another machine, or gone.
    """

    number: int
    stretches: tuple[int, ...]
    scores: tuple[float, ...]
    pace: float | None = None
    macs: int = 0
    space: str = ""
    setup: float = 0.0
    is_running: bool = False
    has_weights: bool = True

    @property
    def is_waiting(self) -> bool:
        """Whether it can be trained on."""
        return bool(self.scores) and self.has_weights and not self.is_running

    @property
    def epochs(self) -> int:
        """Epochs that it has ended."""
        return sum(self.stretches[: len(self.scores)])

    def count_seconds(self, epochs: int) -> float | None:
        """Returns how long a stretch of some epochs takes; None if that is not known."""
        return self.setup + epochs * self.pace if self.pace else None


@dataclass(frozen=True)
class Start:
    """Begin a new trial.

    Attributes:
        stretches: Epochs of its first stretch.
    """

    stretches: tuple[int, ...]


@dataclass(frozen=True)
class Resume:
    """Train a waiting trial on.

    Attributes:
        number: The trial's number.
        stretches: Epochs of all its stretches, the next one included.
        is_last: Whether it is trained to the end: that of the time, or its own.
    """

    number: int
    stretches: tuple[int, ...]
    is_last: bool = False


@dataclass(frozen=True)
class Done:
    """Begin nothing more."""


Step = Start | Resume | Done
FIRST = Start((1,))
"""A new trial, with the shortest stretch."""


@dataclass(frozen=True)
class Scheduler:
    """Decides what to train next.

    Attributes:
        objective: What is better.
        total: Seconds of the whole search, from its first trial on; infinity where its trials are counted: no decision
            depends on seconds then.
        parts: Epochs that one pass over the training images is divided into.
        pixels: Of an image.
        images: To train on.
        max_passes: See `MAX_PASSES`.
        last_share: See `LAST_SHARE`.
        reduction: See `REDUCTION`.
        decay: See `DECAY`; of a study's own networks once it is known, see `fit`.
    """

    objective: Objective
    total: float
    parts: int = 1
    pixels: int = 1024
    images: int = EARLY_IMAGES
    max_passes: int = MAX_PASSES
    last_share: float = LAST_SHARE
    reduction: int = REDUCTION
    decay: float = DECAY

    def fit(self, standings: Sequence[Standing]) -> Self:
        """Returns the plan with the decay that is typical of a study's networks, the one expected counted among them.

        What is typical tells more of a network than its own last stretch does. The one of 8 recorded networks that is
        chosen by it ends with an error 1.4 to 2.6 % above the least; by their own, 2.5 to 4.3 % (benchmarks/curves).

        Args:
            standings: Of all trials that are trained in stretches.
        """
        decays = [decay for standing in standings if (decay := self._measure_decay(standing)) is not None]
        typical = median([self.decay, *decays])
        return replace(self, decay=max(LATE_DECAY, typical))

    def _measure_decay(self, standing: Standing) -> float | None:
        """Returns the exponent with which the error of a trial fell in its last stretch; None if it had only one."""
        errors = [self._measure(score) for score in standing.scores[-2:]]
        if len(errors) < 2 or min(errors) <= 0:
            return None
        before = sum(standing.stretches[: len(standing.scores) - 1])
        return math.log(errors[0] / errors[1]) / math.log(standing.epochs / before)

    def decide(
        self, standings: Sequence[Standing], left: float, may_start: bool = True, rival: float | None = None
    ) -> Step:
        """Returns what to train next.

        Args:
            standings: Of all trials that are trained in stretches.
            left: Seconds that are left.
            may_start: Whether a further trial may begin.
            rival: Best score of the trials that are trained all at once; None if there is none.
        """
        if left <= 0:
            return Done()
        waiting = [standing for standing in standings if standing.is_waiting]
        if left > self.count_last_seconds(standings):
            step = self._explore(standings, waiting, left, may_start)
            if step is not None:
                return step
        is_mixed = rival is not None or not standings
        return self._finish(waiting, left, rival) or (FIRST if may_start and is_mixed else Done())

    def count_last_seconds(self, standings: Sequence[Standing]) -> float:
        """Returns how many of the seconds belong to the best: their share, or what one needs to be trained to the end.

        What is kept for a second one is left over, up to a quarter of the time: it can hardly become the best (measured
        by benchmarks/replay).
        """
        if self.total == math.inf:
            return 0.0
        share = self.last_share * self.total
        best = min((s for s in standings if s.scores and s.pace), key=lambda s: self.expect(s, share), default=None)
        needed = best and best.count_seconds(self.max_passes * self.parts)
        return min(share, needed or share)

    def expect(self, standing: Standing, seconds: float) -> float:
        """Returns the error that a trial is expected to have after further seconds of training; less is better."""
        error = self._measure(standing.scores[-1])
        if not standing.pace or error <= 0:
            return error
        further = min(max(0.0, seconds - standing.setup) / standing.pace, self._count_epochs_left(standing))
        end = standing.epochs + further
        late = max(standing.epochs, min(end, self.parts * self._count_early_passes(standing)))
        late_decay = min(LATE_DECAY, self.decay)
        return error * math.pow(late / standing.epochs, -self.decay) * math.pow(end / late, -late_decay)

    def _count_early_passes(self, standing: Standing) -> float:
        """Returns after how many passes a network has learned most of what it can."""
        passes = max(MIN_EARLY_PASSES, EARLY_PASSES * math.sqrt(standing.macs / self.pixels))
        return passes * math.sqrt(EARLY_IMAGES / self.images)

    def _measure(self, score: float) -> float:
        """Returns the error that a score stands for, or its merit below zero where none is known; less is better."""
        error = self.objective.find_error(score)
        return -self.objective.merit(score) if error is None else error

    def describe(self, standings: Sequence[Standing], step: Start | Resume, left: float) -> Planned:
        """Returns the plan as it stands, for readers.

        Args:
            standings: Of all trials that are trained in stretches.
            step: What is trained next.
            left: Seconds that are left.
        """
        is_last = isinstance(step, Resume) and step.is_last
        last = min(left, _count_seconds(standings, step) if is_last else self.count_last_seconds(standings))
        return Planned(
            networks=len(standings),
            promoted=sum(len(standing.stretches) > 1 for standing in standings),
            is_last=is_last,
            seconds=None if left == math.inf else 0.0 if is_last else left - last,
            last_seconds=None if left == math.inf else last,
        )

    def check_cost(self, standings: Sequence[Standing], cost: Cost, space: str) -> None:
        """Checks that a network can be trained to a useful end in the last share of the time.

        Args:
            standings: Of the trials so far: what an epoch of them takes tells what one of the network will take.
            cost: What the network costs.
            space: Its search space.

        Raises:
            InfeasibleError: If it cannot; its ``excess`` tells the sampler by how much.
        """
        pace = predict_pace(standings, cost.macs, space) or 0.0
        if pace > self.max_pace:
            seconds, there = MIN_PASSES * self.parts * pace, self.last_share * self.total
            detail = f"{MIN_PASSES} passes would take {seconds:,.0f} s; there are {there:,.0f} s for them"
            raise InfeasibleError("too slow", detail, excess=pace / self.max_pace - 1)

    @property
    def max_pace(self) -> float:
        """Seconds of an epoch beyond which a network cannot be trained to a useful end in the last share."""
        return self.last_share * self.total / (MIN_PASSES * self.parts) or math.inf

    def _explore(
        self, standings: Sequence[Standing], waiting: Sequence[Standing], left: float, may_start: bool
    ) -> Step | None:
        """Returns what to explore next; None if nothing fits into the time before the last share.

        A new trial is begun if the time is enough for one like those so far.
        """
        last = self.count_last_seconds(standings)
        for standing in self._list_promotable(standings, waiting, last):
            epochs = (self.reduction - 1) * standing.epochs
            if epochs <= self._count_epochs_left(standing) and (standing.count_seconds(epochs) or 0.0) <= left - last:
                return _resume(standing, epochs)
        typical = median([seconds for standing in standings if (seconds := standing.count_seconds(1))] or [0.0])
        return FIRST if may_start and typical <= left - last else None

    def _list_promotable(
        self, standings: Sequence[Standing], waiting: Sequence[Standing], last: float
    ) -> Iterator[Standing]:
        """Yields the waiting trials that are in the best part of their rung, those of the highest rung first."""
        for rung in range(max((len(standing.scores) for standing in waiting), default=0), 0, -1):
            reached = [standing for standing in standings if len(standing.scores) >= rung]
            ranked = sorted(reached, key=lambda standing: (self._expect_at(standing, rung, last), standing.number))
            best = ranked[: len(reached) // self.reduction]
            yield from (standing for standing in best if standing in waiting and len(standing.scores) == rung)

    def _expect_at(self, standing: Standing, rung: int, seconds: float) -> float:
        at_rung = replace(standing, stretches=standing.stretches[:rung], scores=standing.scores[:rung])
        return self.expect(at_rung, seconds)

    def _finish(self, waiting: Sequence[Standing], left: float, rival: float | None) -> Step | None:
        """Returns the trial that gets the rest of the time, all of it or as much as it needs; None if there is none.

        One is trained on only if it may become the best, and by what is worth it for a network that has come that far.
        """
        ended = sum(self._count_epochs_left(standing) == 0 for standing in waiting)
        if self.total == math.inf and ended >= FINALISTS:
            return None
        scores = [standing.scores[-1] for standing in waiting] + ([] if rival is None else [rival])
        reached = min(map(self._measure, scores), default=0.0)
        for standing in sorted(waiting, key=lambda standing: self._rank_finalist(standing, left)):
            epochs = self._count_last_epochs(standing, left)
            if epochs > standing.epochs // self.reduction and self.expect(standing, left) < reached:
                return _resume(standing, epochs, is_last=True)
        return None

    def _rank_finalist(self, standing: Standing, left: float) -> tuple[bool, float, int]:
        """Returns what finalists are ordered by: those that were never promoted, so little known, come last."""
        return len(standing.scores) < 2, self.expect(standing, left), standing.number

    def _count_last_epochs(self, standing: Standing, left: float) -> int:
        most = self._count_epochs_left(standing)
        if not standing.pace:
            return most
        return math.floor(min(most, MARGIN * max(0.0, left - standing.setup) / standing.pace))

    def _count_epochs_left(self, standing: Standing) -> int:
        """Returns how many epochs a trial may still be trained, whatever the time."""
        return max(0, self.max_passes * self.parts - standing.epochs)


def predict_pace(standings: Sequence[Standing], macs: int, space: str) -> float | None:
    """Predicts the seconds that an epoch of a network takes, from what was measured in the same study.

    They grow with a power of the multiply-accumulates. Networks of the same space and of about the same size tell most.

    Args:
        standings: Of trials that were measured.
        macs: Multiply-accumulates of one image's forward pass.
        space: The network's search space.

    Returns:
        None before the first was measured.
    """
    measured = [standing for standing in standings if standing.pace and standing.macs]
    own = [standing for standing in measured if standing.space == space] or measured
    if not own or not macs:
        return None
    ratios = [math.log(macs / standing.macs) for standing in own]
    logs = [math.log(standing.pace or 1.0) + SCALING * ratio for standing, ratio in zip(own, ratios, strict=True)]
    return math.exp(fmean(logs, [1 / (0.1 + abs(ratio)) for ratio in ratios]))


def make_scheduler(
    config: StudyConfig, parts: int, pixels: int, images: int, seconds_to_begin: float = 0.0
) -> Scheduler | None:
    """Returns the plan of a study; None for one that has a pruner of Optuna's instead.

    Args:
        config: The study.
        parts: Epochs that one pass over the training images is divided into.
        pixels: Of an image.
        images: To train on.
        seconds_to_begin: How long it took until the first trial could begin.
    """
    timeout, epochs = config.budget.timeout, config.training.epochs
    if config.search.pruner.name != "auto":
        return None
    if timeout is None:
        return Scheduler(config.objective, math.inf, parts, pixels, images, epochs or COUNTED_PASSES)
    total = timeout - min(seconds_to_begin, timeout / 2)
    return Scheduler(config.objective, total, parts, pixels, images, epochs or MAX_PASSES)


def _resume(standing: Standing, epochs: int, is_last: bool = False) -> Resume:
    """Returns the step that trains a trial on; a stretch that was cut short is ended first."""
    is_cut = len(standing.scores) < len(standing.stretches)
    return Resume(standing.number, standing.stretches if is_cut else (*standing.stretches, epochs), is_last)


def _count_seconds(standings: Sequence[Standing], step: Start | Resume) -> float:
    """Returns how long a step takes; infinity if that is not known."""
    if isinstance(step, Resume):
        standing = next(standing for standing in standings if standing.number == step.number)
        return standing.count_seconds(sum(step.stretches) - standing.epochs) or math.inf
    return math.inf

"""What strategies reach, over lengths of a search and seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.replay.bench import Bench
from benchmarks.replay.curves import MIN_ERROR
from benchmarks.replay.strategies import Strategy
from benchmarks.replay.training import Moment, Replay

TOTALS = (1, 2, 4, 8, 16)
"""Lengths of a search, in mean durations of a full training."""


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

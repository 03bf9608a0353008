"""Runs searches with clocks of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler

from benchmarks.replay.clock import BUILDING, Idle, Turns
from benchmarks.replay.curves import RUNGS, Curve
from benchmarks.replay.mutation import Mutation
from benchmarks.replay.points import Points
from benchmarks.replay.strategies import Strategy
from benchmarks.replay.study import MemoryStudy
from benchmarks.replay.training import EPOCHS_AT_ONCE, OBJECTIVE, Replay
from searchcnn.search import Budget, Search, make_pruner, make_sampler
from searchcnn.search.samplers import SeededSampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig

FULL = 64
"""Points drawn at random and trained to the end whose best is the target."""


class Bench:
    """Runs searches, each with a clock and a study of its own.

    Args:
        curves: What was recorded.
        in_memory: Whether the study does without a database.
        pixels: Of an image that the networks were trained on.

    Attributes:
        unit: Mean seconds of a full training.
    """

    def __init__(self, curves: Sequence[Curve], in_memory: bool = True, pixels: int = 1024) -> None:
        self.curves = curves
        self._in_memory = in_memory
        self._pixels = pixels
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
        plan = strategy.scheduler and replace(strategy.scheduler, total=total, pixels=self._pixels)
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

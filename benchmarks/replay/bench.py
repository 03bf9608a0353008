"""Runs searches with clocks of their own."""

from __future__ import annotations

from collections.abc import Iterator
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
from benchmarks.replay.curves import RUNGS, Recording
from benchmarks.replay.mutation import Mutation
from benchmarks.replay.points import Points
from benchmarks.replay.strategies import Strategy
from benchmarks.replay.study import MemoryStudy
from benchmarks.replay.training import EPOCHS_AT_ONCE, OBJECTIVE, Replay
from searchcnn.search import Budget, Scheduler, Search, make_pruner, make_sampler
from searchcnn.search.samplers import SeededSampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig

FULL = 64
"""Points drawn at random and trained to the end whose best is the target."""


class Bench:
    """Runs searches, each with a clock and a study of its own.

    Args:
        recording: What is replayed.
        in_memory: Whether the study does without a database.

    Attributes:
        unit: Mean seconds of a full training.
    """

    def __init__(self, recording: Recording, in_memory: bool = True) -> None:
        self.recording = recording
        self._in_memory = in_memory
        self._points = Points(recording.curves)
        self.unit = fmean(curve.seconds(RUNGS[-1], len(RUNGS)) + BUILDING for curve in recording.curves)

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
        plan = strategy.scheduler and self._fit_plan(strategy.scheduler, total)
        with self._open_study(sampler) as study, ThreadPoolExecutor(strategy.workers) as pool:
            searches = []
            for worker, clock in enumerate(turns.clocks):
                own = replace(replay, clock=clock, wait=partial(turns.wait, worker))  # what it notes is the same object
                searches.append(Search(study, sampler, own, Budget(None, total, clock), seed=seed, scheduler=plan))
            list(pool.map(partial(_run, turns), range(strategy.workers), searches))
        return replay

    def _fit_plan(self, plan: Scheduler, total: float) -> Scheduler:
        """Returns a plan for some seconds, and for the images that were trained on."""
        images, pixels, parts = self.recording.images, self.recording.pixels, self.recording.parts
        return replace(plan, total=total, images=images, pixels=pixels, parts=parts)

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
        scores, random = [curve.score(RUNGS[-1]) for curve in self.recording.curves], np.random.default_rng(0)
        return fmean(max(random.permutation(scores)[:FULL]) for _ in range(1000))


def _run(turns: Turns, worker: int, search: Search) -> None:
    """Runs a worker's search, each of its steps when it is its turn."""
    try:
        turns.wait(worker)
        search.run(stop=Idle(partial(turns.skip, worker)))
    finally:
        turns.end(worker)

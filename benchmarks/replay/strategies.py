"""Ways to spend the time: the plan, what else there is, and the plan with one thing changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from benchmarks.replay.curves import RUNGS
from benchmarks.replay.mutation import Mutation
from benchmarks.replay.training import OBJECTIVE
from searchcnn.search import Scheduler
from searchcnn.search.scheduler import Standing

NEVER = 10**9
"""A reduction with which no trial is promoted."""
LITTLE = 1e-6
"""A decay with which networks are compared by their score alone."""


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


class ByScore(Scheduler):
    """A plan that compares networks by their scores alone."""

    def fit(self, standings: Sequence[Standing]) -> Self:
        """Returns the plan as it is."""
        return self


PLAN, BY_SCORE = Scheduler(OBJECTIVE, total=0.0), ByScore(OBJECTIVE, total=0.0, decay=LITTLE)
ONE_EPOCH = Strategy("all for one epoch", replace(BY_SCORE, reduction=NEVER, last_share=0.3))
ASHA = Strategy("plain ASHA", replace(BY_SCORE, max_passes=RUNGS[-1], last_share=0.0))
PRUNER = Strategy("pruner, 10 epochs", None)
TODAY = Strategy("plan", PLAN)


VARIANTS: Mapping[str, Sequence[Any]] = {
    "last_share": (0.3, 0.45, 0.6, 0.75),
    "reduction": (2, 3, 4),
}
"""What is changed in the plan, one at a time."""


def list_strategies() -> Iterator[Strategy]:
    """Yields what is compared: the plan, what else there is, and the plan with one thing changed."""
    yield from (TODAY, Strategy("plan, by score", BY_SCORE), ONE_EPOCH, ASHA, PRUNER)
    for name, values in VARIANTS.items():
        for value in values:
            if value != getattr(PLAN, name):
                yield Strategy(f"plan, {name} {value:g}", replace(PLAN, **{name: value}))
    yield replace(TODAY, name="plan, TPE", sampler="TPESampler")
    yield replace(TODAY, name="plan, mutation", sampler=Mutation.__name__)

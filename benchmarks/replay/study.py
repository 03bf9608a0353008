"""A study without a database: it is that which takes long in a replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from benchmarks.replay.training import OBJECTIVE
from searchcnn.events import Epoch, Planned
from searchcnn.store import STRETCHES, Spent


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
        self.spent = Spent()
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
    only_trained_count = False

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

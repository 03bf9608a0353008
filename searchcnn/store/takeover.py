"""Running trials whose process is gone: they are trained again, or given up."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from optuna.trial import TrialState
from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import Session

from searchcnn.events import TrialGivenUp
from searchcnn.store.connection import repeat_while_lost
from searchcnn.store.optuna_private import models
from searchcnn.store.storage import Storage, add, delete_curve, put_attribute
from searchcnn.store.tables import EpochRow, LeaseRow, RunRow

DEADLY = 2
"""A trial whose process died this often is given up."""


class Takeover:
    """Takes over trials for the run of this process.

    Args:
        storage: The opened database.

    Attributes:
        connection: How this process stands with it.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.connection = storage.connection
        self._at_work: set[int] = set()

    def note_work(self, trial_id: int) -> None:
        """Takes note that this process works on a trial; its run may have others, of which it does not know."""
        self._at_work.add(trial_id)

    @repeat_while_lost
    def take_over(self, study_id: int) -> int | None:
        """Leases one running trial whose run is dead to this run, and takes back what its unfinished training left.

        Its number, parameters and user attributes stay, so that it is trained again exactly as it began.

        Returns:
            The trial's id, or None if every running trial has a living run.
        """
        with self._storage.scoped_session() as session, session.begin():
            for trial_id, lease in self._find_abandoned(study_id, session):
                if lease is None or lease.deaths < DEADLY:
                    self._restart(trial_id, lease, session)
                    return trial_id
                self._give_up(trial_id, lease.deaths, session)
        return None

    @repeat_while_lost
    def resume(self, study_id: int, number: int, facts: Mapping[str, Any]) -> int | None:
        """Leases a trial that has ended a stretch of its training to this run, which trains it on.

        Args:
            study_id: The study.
            number: The trial's number.
            facts: What readers should know of it, as user attributes.

        Returns:
            The trial's id, or None if another process trains it on already.
        """
        trial, value = models.TrialModel, models.TrialValueModel
        with self._storage.scoped_session() as session, session.begin():
            one = select(trial).where(trial.study_id == study_id, trial.number == number).with_for_update()
            row = session.scalars(one).one()
            if not row.state.is_finished():
                return None
            if row.state != TrialState.COMPLETE:  # the score of one that was the best counts until it has a better one
                session.execute(delete(value).where(value.trial_id == row.trial_id))
            row.state, row.datetime_complete = TrialState.RUNNING, None
            trial_id = cast("int", row.trial_id)
            self._storage.leases.add(trial_id, session)
            for key, fact in facts.items():
                put_attribute(session, models.TrialUserAttributeModel, trial_id, key, fact)
            return trial_id

    @repeat_while_lost
    def give_up(self, study_id: int, number: int, reason: str, detail: str) -> None:
        """Fails a running trial whose process is of no use; one that has ended stays as it is."""
        trial = models.TrialModel
        is_running = and_(trial.study_id == study_id, trial.number == number, trial.state == TrialState.RUNNING)
        with self._storage.scoped_session() as session, session.begin():
            row = session.scalar(select(trial).where(is_running).with_for_update())
            if row is not None:
                _fail(row, reason, detail, session)

    def _find_abandoned(self, study_id: int, session: Session) -> Iterator[tuple[int, LeaseRow | None]]:
        """Yields the running trials that nobody works on, locked, with their leases; deaths in them are counted."""
        trial = models.TrialModel
        running = select(trial.trial_id).where(trial.study_id == study_id, trial.state == TrialState.RUNNING)
        locked = session.scalars(running.order_by(trial.trial_id).with_for_update(skip_locked=True)).all()
        # asked for after the lock, because another process may just have taken one of them over
        leases = {row.trial_id: row for row in session.scalars(select(LeaseRow).where(LeaseRow.trial_id.in_(locked)))}
        runs = {run.run_id: run for run in session.scalars(select(RunRow).where(RunRow.study_id == study_id))}
        for trial_id in locked:
            lease = leases.get(trial_id)
            run = runs.get(lease.run_id) if lease else None
            if run is not None and self._is_at_work(run, trial_id):
                continue
            if run is not None and lease is not None and not run.ended and not self._is_own(run):
                _count_death(lease, session)
            yield int(trial_id), lease

    def _is_own(self, run: RunRow) -> bool:
        return run.run_id == self._storage.leases.run_id

    def _is_at_work(self, run: RunRow, trial_id: int) -> bool:
        if self._is_own(run):
            return trial_id in self._at_work
        return not run.ended and (run.is_alive or not self.connection.is_stable)

    def _restart(self, trial_id: int, lease: LeaseRow | None, session: Session) -> None:
        delete_curve(trial_id, session)
        leases = self._storage.leases
        if lease is None:
            leases.add(trial_id, session)
        elif leases.run_id is not None:
            lease.run_id = leases.run_id

    def _give_up(self, trial_id: int, deaths: int, session: Session) -> None:
        reason, detail = "killed", f"its process died {deaths} times"
        trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
        _fail(trial, reason, detail, session)
        self.connection.hear(TrialGivenUp(cast("int", trial.number), reason, detail))


def _fail(trial: models.TrialModel, reason: str, detail: str, session: Session) -> None:
    for key, value in (("reason", reason), ("detail", detail)):
        fact = {"trial_id": trial.trial_id, "key": key, "value_json": json.dumps(value)}
        add(session, models.TrialUserAttributeModel, fact)
    trial.state = TrialState.COMPLETE if trial.values else TrialState.FAIL


def _count_death(lease: LeaseRow, session: Session) -> None:
    """Counts a death in a trial; one that has got further since the last death is not what kills its processes."""
    epochs = session.scalar(select(func.count()).where(EpochRow.trial_id == lease.trial_id)) or 0
    lease.deaths = 1 if epochs > lease.epochs else lease.deaths + 1
    lease.epochs = epochs

"""Optuna's database storage, hardened and with fewer transactions.

A trial's parameters and attributes are held back until its next epoch, its end, or `flush`, and then written in that
one transaction. Nothing that cost training time is ever held back.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.events import Hear, ignore
from searchcnn.store import queries
from searchcnn.store.connection import Connection, is_lost, repeat_while_lost
from searchcnn.store.database import choose_engine_options, harden
from searchcnn.store.failures import DATABASE_ERRORS
from searchcnn.store.leases import LeaseLostError, Leases
from searchcnn.store.optuna_private import HookedStorage, JSONSerializable, models
from searchcnn.store.tables import EpochRow, LeaseRow, ModelRow, RunRow, StudyRow

Write = Callable[[Session], Any]


def add(session: Session, model: Any, values: Mapping[str, Any]) -> None:
    """Adds a row, unless it is there already: the answer to a write can be lost, and the write is repeated then."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(dialect.insert(model).values(**values).on_conflict_do_nothing())


def delete_curve(trial_id: int, session: Session) -> None:
    """Deletes what a trial's training has left; its parameters and user attributes stay."""
    intermediate, attribute = models.TrialIntermediateValueModel, models.TrialSystemAttributeModel
    session.execute(delete(intermediate).where(intermediate.trial_id == trial_id))
    session.execute(delete(EpochRow).where(EpochRow.trial_id == trial_id))
    session.execute(
        delete(attribute).where(attribute.trial_id == trial_id, attribute.key.startswith("completed_rung_"))
    )


class Storage(HookedStorage):
    """Optuna's storage for one process that works on a study.

    Args:
        url: The database; its tables exist (see `searchcnn.store.opening.open_storage`).
        hear: Hears when the connection is lost, and which trials are given up.

    Attributes:
        connection: How this process stands with the database.
        leases: Gives trials to this process; those that it starts are leased to its run.
    """

    def __init__(self, url: URL, hear: Hear = ignore) -> None:
        address = url.render_as_string(hide_password=False)
        super().__init__(address, engine_kwargs=choose_engine_options(url), skip_table_creation=True)
        harden(self.engine)
        self.connection = Connection(hear)
        self.leases = Leases()
        self._held: dict[int, list[Write]] = {}

    def close(self) -> None:
        """Gives its connections back."""
        self.remove_session()
        self.engine.dispose()

    # -- writes that wait for the next durable one

    def hold(self, trial_id: int, write: Write) -> None:
        """Adds a write to the trial's next transaction."""
        self._held.setdefault(trial_id, []).append(write)

    def is_behind(self, trial_id: int) -> bool:
        """Whether something of a trial is held: after an epoch, because the connection is lost."""
        return trial_id in self._held

    @repeat_while_lost
    def flush(self, trial_id: int) -> None:
        """Writes what is held for a trial.

        Raises:
            optuna.exceptions.UpdateFinishedTrialError: If another process has finished the trial.
        """
        self._flush(trial_id)

    def _flush(self, trial_id: int) -> None:
        if trial_id in self._held:
            with self._release(trial_id):
                self.scoped_session().commit()

    @contextlib.contextmanager
    def _release(self, trial_id: int) -> Iterator[None]:
        """Puts what is held into this thread's session; the body, one of Optuna's methods, commits that session."""
        session = self.scoped_session()
        writes = self._held.pop(trial_id, [])  # first, because Optuna reads the trial to say that it has ended
        try:
            if writes:
                self._check_updatable(trial_id, session)
            for write in writes:
                write(session)
            yield
        except DATABASE_ERRORS:
            self._held[trial_id] = writes  # the database may be back at the next try; other errors would only repeat
            raise
        finally:
            session.close()

    def _check_updatable(self, trial_id: int, session: Session) -> None:
        trial = models.TrialModel
        query = select(trial.state, LeaseRow.run_id).outerjoin(LeaseRow, LeaseRow.trial_id == trial.trial_id)
        state, run_id = session.execute(query.where(trial.trial_id == trial_id)).one()
        self.check_trial_is_updatable(trial_id, state)
        if state == TrialState.RUNNING and run_id not in (None, self.leases.run_id):
            raise LeaseLostError(f"trial {trial_id} was taken over by run {run_id}")

    def store_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, previous: BaseDistribution | None
    ) -> None:
        """Holds a trial's value of a parameter for its next transaction."""
        if previous is None:  # Optuna's cache asks once per run; an earlier run may have stored it
            with Session(self.engine) as session:
                previous = queries.find_distribution(session, trial_id, name)
        if previous is not None:
            check_distribution_compatibility(previous, distribution)
        values = {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(distribution),
        }
        self.hold(trial_id, lambda session: add(session, models.TrialParamModel, values))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Holds an attribute for the trial's next transaction."""
        self._hold_attribute(models.TrialUserAttributeModel, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: JSONSerializable) -> None:
        """Holds an attribute of Optuna's own for the trial's next transaction."""
        self._hold_attribute(models.TrialSystemAttributeModel, trial_id, key, value)

    def _hold_attribute(self, model: Any, trial_id: int, key: str, value: Any) -> None:
        self.hold(trial_id, lambda session: self.set_attribute(session, model, trial_id, key, value))

    # -- durable writes

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Writes an epoch's score, and what is held, in one transaction.

        A lost connection does not stop the training: what could not be written is held until the next epoch.
        """
        model = models.TrialIntermediateValueModel
        value, kind = model.intermediate_value_to_stored_repr(intermediate_value)
        row = {"trial_id": trial_id, "step": step, "intermediate_value": value, "intermediate_value_type": kind}
        self.hold(trial_id, lambda session: add(session, model, row))
        try:
            self._flush(trial_id)
        except DATABASE_ERRORS as error:
            if not is_lost(error):
                raise
            self.connection.note_loss(error)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Changes a trial's state, and writes what is held, in one transaction; a trial that starts is leased."""
        if state != TrialState.RUNNING:
            with self._release(trial_id):
                return super().set_trial_state_values(trial_id, state, values)
        session = self.scoped_session()
        try:
            self.leases.add_waiting(trial_id, session)
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            session.close()

    def prepare_trial(self, study_id: int, template: FrozenTrial | None, session: Session) -> models.TrialModel:
        """Adds a trial to a study's; a new one is leased, if any is left to be begun."""
        if template is None:
            self.leases.check_left(study_id, session)
        trial = super().prepare_trial(study_id, template, session)
        if template is None:
            self.leases.add(cast("int", trial.trial_id), session)
        return trial

    @repeat_while_lost
    def restart(self, trial_id: int) -> None:
        """Deletes the learning curve of a running trial of this process."""
        self._flush(trial_id)
        with self.scoped_session() as session, session.begin():
            delete_curve(trial_id, session)

    # -- reads of one trial see what is held; lists of trials do not

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial as it is stored."""
        self.flush(trial_id)
        return super().get_trial(trial_id)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns a trial's attributes of Optuna's own; pruners ask for them at every epoch."""
        self.flush(trial_id)
        model = models.TrialSystemAttributeModel
        with Session(self.engine) as session:
            rows = session.execute(select(model.key, model.value_json).where(model.trial_id == trial_id))
            return {key: json.loads(value) for key, value in rows}

    # -- whole studies

    @repeat_while_lost
    def write_study(self, row: StudyRow) -> None:
        """Writes what a study searches."""
        with Session(self.engine) as session, session.begin():
            models.StudyModel.find_or_raise_by_id(row.study_id, session, for_update=True)
            session.merge(row)

    @repeat_while_lost
    def begin(self, study_id: int, waiting: Sequence[FrozenTrial]) -> None:
        """Adds the first trials of a study that has none, all in one transaction."""
        with self.scoped_session() as session, session.begin():
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            if not session.scalar(select(func.count()).where(models.TrialModel.study_id == study_id)):
                for trial in waiting:
                    self.prepare_trial(study_id, trial, session)

    def delete_study(self, study_id: int) -> None:
        """Deletes a study from Optuna's tables and from ours."""
        with Session(self.engine) as session, session.begin():
            trials = select(models.TrialModel.trial_id).where(models.TrialModel.study_id == study_id)
            session.execute(delete(EpochRow).where(EpochRow.trial_id.in_(trials)))
            session.execute(delete(LeaseRow).where(LeaseRow.trial_id.in_(trials)))
            session.execute(delete(ModelRow).where(ModelRow.study_id == study_id))
            session.execute(delete(RunRow).where(RunRow.study_id == study_id))
            session.execute(delete(StudyRow).where(StudyRow.study_id == study_id))
        super().delete_study(study_id)

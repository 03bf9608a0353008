"""Optuna's database storage, hardened and with fewer transactions.

A trial's parameters and attributes are held back until its next epoch, its end, or `flush`, and then written in that
one transaction. This process reads them as if they were written. Nothing that cost training time is ever held back.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
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
from searchcnn.store.held import Held, Write
from searchcnn.store.leases import LeaseLostError, Leases
from searchcnn.store.optuna_private import HookedStorage, JSONSerializable, models
from searchcnn.store.tables import EpochRow, LeaseRow, ModelRow, RunRow, StudyRow


def add(session: Session, model: Any, values: Mapping[str, Any]) -> None:
    """Adds a row, unless it is there already: the answer to a write can be lost, and the write is repeated then."""
    session.execute(_choose_dialect(session).insert(model).values(**values).on_conflict_do_nothing())


def put(session: Session, model: Any, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Writes a row: a new one, or other values into the one that has its key."""
    insert = _choose_dialect(session).insert(model).values(**key, **values)
    session.execute(insert.on_conflict_do_update(index_elements=list(key), set_=values))


def put_attribute(session: Session, model: Any, trial_id: int, key: str, value: Any) -> None:
    """Writes a trial's attribute into one of Optuna's tables of them."""
    put(session, model, {"trial_id": trial_id, "key": key}, {"value_json": json.dumps(value)})


def _choose_dialect(session: Session) -> Any:
    return postgresql if session.get_bind().dialect.name == "postgresql" else sqlite


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
        self._held: dict[int, Held] = {}
        self._studies: dict[int, int] = {}  # by trial: those that may be changed, as far as this process has seen

    def close(self) -> None:
        """Gives its connections back."""
        self.remove_session()
        self.engine.dispose()

    # -- writes that wait for the next durable one

    def hold(self, trial_id: int, write: Write) -> Held:
        """Adds a write to the trial's next transaction.

        Returns:
            What is held of the trial; what readers in this process should see is set there.

        Raises:
            KeyError: If there is no such trial.
            optuna.exceptions.UpdateFinishedTrialError: If it has ended.
        """
        self._check_seen(trial_id)
        held = self._held.setdefault(trial_id, Held())
        held.writes.append(write)
        return held

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
        held = self._held.pop(trial_id, None)
        try:
            if held is not None:
                self._check_updatable(trial_id, session)
                for write in held.writes:
                    write(session)
            yield
        except DATABASE_ERRORS:
            if held is not None:  # the database may be back at the next try; other errors would only repeat
                self._held[trial_id] = held
            raise
        finally:
            session.close()

    def _check_seen(self, trial_id: int) -> int:
        """Returns the study of a trial that may be changed; one that was seen is not asked for again.

        Another process may have ended it meanwhile: that is found out when what is held is written.
        """
        if trial_id not in self._studies:
            with self.scoped_session() as session:  # the one that Optuna reads an ended trial's number with
                self._check_updatable(trial_id, session)
        return self._studies[trial_id]

    def _check_updatable(self, trial_id: int, session: Session) -> None:
        trial = models.TrialModel
        query = select(trial.study_id, trial.state, LeaseRow.run_id)
        query = query.outerjoin(LeaseRow, LeaseRow.trial_id == trial.trial_id).where(trial.trial_id == trial_id)
        found = session.execute(query).one_or_none()
        self._studies.pop(trial_id, None)  # not before, because a lost connection says nothing of the trial
        if found is None:
            raise KeyError(f"there is no trial {trial_id}")
        study_id, state, run_id = found
        self.check_trial_is_updatable(trial_id, state)
        if state == TrialState.RUNNING and run_id not in (None, self.leases.run_id):
            raise LeaseLostError(f"trial {trial_id} was taken over by run {run_id}")
        self._studies[trial_id] = study_id

    def store_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, previous: BaseDistribution | None
    ) -> None:
        """Holds a trial's value of a parameter for its next transaction."""
        study_id = self._check_seen(trial_id)
        previous = previous or self._find_distribution(study_id, name)
        if previous is not None:
            check_distribution_compatibility(previous, distribution)
        key = {"trial_id": trial_id, "param_name": name}
        row = {"param_value": value, "distribution_json": distribution_to_json(distribution)}
        held = self.hold(trial_id, lambda session: put(session, models.TrialParamModel, key, row))
        held.params[name] = distribution.to_external_repr(value)
        held.distributions[name] = distribution

    def _find_distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """Returns the range or choices of a parameter that a study has stored or that are held for one of its trials.

        Optuna's cache asks once per run; an earlier run may have stored it.
        """
        for trial_id, held in self._held.items():
            if name in held.distributions and self._studies.get(trial_id) == study_id:
                return held.distributions[name]
        with Session(self.engine) as session:
            return queries.find_distribution(session, study_id, name)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Holds an attribute for the trial's next transaction."""
        self._hold_attribute(models.TrialUserAttributeModel, trial_id, key, value).user_attrs[key] = _copy(value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: JSONSerializable) -> None:
        """Holds an attribute of Optuna's own for the trial's next transaction."""
        self._hold_attribute(models.TrialSystemAttributeModel, trial_id, key, value).system_attrs[key] = _copy(value)

    def _hold_attribute(self, model: Any, trial_id: int, key: str, value: Any) -> Held:
        own = _copy(value)
        return self.hold(trial_id, lambda session: put_attribute(session, model, trial_id, key, own))

    # -- durable writes

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Writes an epoch's score, and what is held, in one transaction.

        A lost connection does not stop the training: what could not be written is held until the next epoch.
        """
        model = models.TrialIntermediateValueModel
        value, kind = model.intermediate_value_to_stored_repr(intermediate_value)
        key, row = {"trial_id": trial_id, "step": step}, {"intermediate_value": value, "intermediate_value_type": kind}
        held = self.hold(trial_id, lambda session: put(session, model, key, row))
        held.intermediate_values[step] = intermediate_value
        try:
            self._flush(trial_id)
        except DATABASE_ERRORS as error:
            if not is_lost(error):
                raise
            self.connection.note_loss(error)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Changes a trial's state, and writes what is held, in one transaction; a trial that starts is leased."""
        if state != TrialState.RUNNING:
            try:
                with self._release(trial_id):
                    return super().set_trial_state_values(trial_id, state, values)
            finally:
                self._studies.pop(trial_id, None)
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
            trial_id = cast("int", trial.trial_id)
            self.leases.add(trial_id, session)
            self._studies[trial_id] = study_id
        return trial

    @repeat_while_lost
    def restart(self, trial_id: int) -> None:
        """Deletes the learning curve of a running trial of this process."""
        self._flush(trial_id)
        with self.scoped_session() as session, session.begin():
            delete_curve(trial_id, session)

    # -- reads see what is held

    def make_trial(self, row: models.TrialModel) -> FrozenTrial:
        """Returns a trial as it will be stored when what is held of it is written; one that has ended, as it is."""
        trial, trial_id = super().make_trial(row), cast("int", row.trial_id)
        if trial.state.is_finished():  # by another process, where something is held: it can no longer be written
            self._forget(trial_id)
            return trial
        self._studies[trial_id] = cast("int", row.study_id)
        if trial_id in self._held:
            self._held[trial_id].show_in(trial)
        return trial

    def _forget(self, trial_id: int) -> None:
        self._studies.pop(trial_id, None)
        self._held.pop(trial_id, None)

    def get_trial_param(self, trial_id: int, param_name: str) -> float:
        """Returns a trial's value of a parameter as Optuna stores it."""
        trial = self.get_trial(trial_id)
        return trial.distributions[param_name].to_internal_repr(trial.params[param_name])

    def get_trial_user_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns a trial's attributes of the user's."""
        return self.get_trial(trial_id).user_attrs

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns a trial's attributes of Optuna's own; pruners ask for them at every epoch, without the rest of it."""
        trial, model = models.TrialModel, models.TrialSystemAttributeModel
        query = select(model.key, model.value_json).select_from(trial).where(trial.trial_id == trial_id)
        with Session(self.engine) as session:
            rows = session.execute(query.outerjoin(model, model.trial_id == trial.trial_id)).all()
        if not rows:
            raise KeyError(f"there is no trial {trial_id}")
        stored = {key: json.loads(value) for key, value in rows if key is not None}
        return stored | (self._held[trial_id].system_attrs if trial_id in self._held else {})

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
            for trial_id in session.scalars(trials):
                self._forget(trial_id)
            session.execute(delete(EpochRow).where(EpochRow.trial_id.in_(trials)))
            session.execute(delete(LeaseRow).where(LeaseRow.trial_id.in_(trials)))
            session.execute(delete(ModelRow).where(ModelRow.study_id == study_id))
            session.execute(delete(RunRow).where(RunRow.study_id == study_id))
            session.execute(delete(StudyRow).where(StudyRow.study_id == study_id))
        super().delete_study(study_id)


def _copy(value: Any) -> Any:
    """Returns a value as it comes back from the database.

    Raises:
        TypeError: If JSON does not have such values.
    """
    return json.loads(json.dumps(value))

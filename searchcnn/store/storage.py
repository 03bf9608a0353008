"""Optuna's database storage, hardened and with fewer transactions: the one module that uses private names of Optuna.

A trial's parameters and attributes are held back until its next epoch, its end, or `flush`, and then written in that
one transaction. Nothing that cost training time is ever held back.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import optuna
from optuna._typing import JSONSerializable
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import and_, delete, func, inspect, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, SQLAlchemyError
from sqlalchemy.orm import Session

from searchcnn.errors import StoreError
from searchcnn.store.connection import Connection, is_lost, repeated
from searchcnn.store.database import check_place, connect, engine_options, explain, harden, sqlite_file
from searchcnn.store.migrations import migrate
from searchcnn.store.tables import EpochRow, LeaseRow, ModelRow, RunRow, StudyRow

Write = Callable[[Session], Any]


def open_storage(url: URL) -> "Storage":
    """Opens a database, and makes it and its tables where they are missing.

    Raises:
        StoreError: If it is damaged, foreign, of another layout, or cannot be reached or written.
    """
    file = sqlite_file(url)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            check_place(file)
            if not file.exists():
                file.touch()
        return _prepared(url)
    except DATABASE_ERRORS as error:
        raise explain(error, url) from None
    except RuntimeError as error:  # Optuna's check of its own tables' layout
        raise StoreError(f"{url.render_as_string()}: {error}") from None
    except OSError as error:
        raise StoreError(f"{file}: cannot be written: {error.strerror}") from None


def _prepared(url: URL) -> "Storage":
    """Opens a database and makes what is missing in it; processes that come at the same time take turns."""
    engine = connect(url)
    try:
        with engine.connect() as connection:
            _check_layout(connection)
        harden(engine)
        with engine.connect() as turn:
            if engine.dialect.name == "postgresql":
                turn.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            with engine.begin() as connection:
                models.BaseModel.metadata.create_all(connection)
                migrate(connection)
            return _open(url)
    finally:
        engine.dispose()


def _open(url: URL) -> "Storage":
    # Optuna stamps a new SQLite file in a transaction of its own; if another process was faster, the next try sees it
    for _ in range(2):
        with contextlib.suppress(DatabaseError):
            return Storage(url)
    return Storage(url)


def _check_layout(connection: DatabaseConnection) -> None:
    """Refuses a database that belongs to another program; a server's may hold other tables, of other names."""
    tables = set(inspect(connection).get_table_names())
    if models.VersionInfoModel.__tablename__ in tables:
        return
    foreign = tables if connection.dialect.name == "sqlite" else tables & set(models.BaseModel.metadata.tables)
    if foreign:
        raise StoreError(
            f"{connection.engine.url.render_as_string()}: holds tables of another program ('{min(foreign)}'); "
            "give a new file or database with --storage"
        )


def study_id(study: optuna.Study) -> int:
    """Returns a study's key in Optuna's tables."""
    return study._study_id


def trial_id(trial: optuna.Trial) -> int:
    """Returns a trial's key in Optuna's tables."""
    return trial._trial_id


DATABASE_ERRORS = (SQLAlchemyError, optuna.exceptions.StorageInternalError)
"""What a database that cannot be read or written raises."""

LOCK = int.from_bytes(b"searchcn")
"""Number of the lock that a process holds while it makes tables in PostgreSQL."""

DEADLY = 2
"""A trial whose process died this often is given up."""


@contextlib.contextmanager
def explaining(url: URL) -> Iterator[None]:
    """Turns what the database raises in the body into one line for the user.

    Raises:
        StoreError: If the database cannot be read or written any more.
    """
    try:
        yield
    except DATABASE_ERRORS as error:
        raise explain(error, url) from error


class LeaseLostError(Exception):
    """Another run works on the trial now; whoever gets this stops, and tells nothing."""


class NoTrialLeftError(Exception):
    """As many trials as the study may have are finished, or begun by other processes."""


def add(session: Session, model: Any, values: Mapping[str, Any]) -> None:
    """Adds a row, unless it is there already: the answer to a write can be lost, and the write is repeated then."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(dialect.insert(model).values(**values).on_conflict_do_nothing())


class Storage(RDBStorage):
    """Optuna's storage for one process that works on a study.

    Args:
        url: The database; its tables exist (see `open_storage`).

    Attributes:
        connection: How this process stands with the database.
        run_id: The run of this process; trials that it starts are leased to it.
        most_trials: How many trials a study may begin; None for any number. Those of all processes count, and two that
            ask at the same time do not both get the last one.
    """

    def __init__(self, url: URL) -> None:
        text = url.render_as_string(hide_password=False)
        super().__init__(text, engine_kwargs=engine_options(url), skip_table_creation=True)
        harden(self.engine)
        self.connection = Connection()
        self.run_id: int | None = None
        self.most_trials: int | None = None
        self._held: dict[int, list[Write]] = {}
        self._at_work: set[int] = set()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        harden(self.engine)

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

    @repeated
    def flush(self, trial_id: int) -> None:
        """Writes what is held for a trial.

        Raises:
            optuna.exceptions.UpdateFinishedTrialError: If another process has finished the trial.
        """
        self._flush(trial_id)

    def _flush(self, trial_id: int) -> None:
        if trial_id in self._held:
            with self._releasing(trial_id):
                self.scoped_session().commit()

    @contextlib.contextmanager
    def _releasing(self, trial_id: int) -> Iterator[None]:
        """Puts what is held into this thread's session; the body, one of Optuna's methods, commits that session."""
        session = self.scoped_session()
        held = self._held.pop(trial_id, [])  # first, because Optuna reads the trial to say that it has ended
        try:
            if held:
                self._check_updatable(trial_id, session)
            for write in held:
                write(session)
            yield
        except DATABASE_ERRORS:
            self._held[trial_id] = held  # the database may be back at the next try; other errors would only repeat
            raise
        finally:
            session.close()

    def _check_updatable(self, trial_id: int, session: Session) -> None:
        trial = models.TrialModel
        query = select(trial.state, LeaseRow.run_id).outerjoin(LeaseRow, LeaseRow.trial_id == trial.trial_id)
        state, run_id = session.execute(query.where(trial.trial_id == trial_id)).one()
        self.check_trial_is_updatable(trial_id, state)
        if state == TrialState.RUNNING and run_id not in (None, self.run_id):
            raise LeaseLostError(f"trial {trial_id} was taken over by run {run_id}")

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        known = previous_distribution or self._known_distribution(trial_id, param_name)
        if known is not None:
            check_distribution_compatibility(known, distribution)
        values = {
            "trial_id": trial_id,
            "param_name": param_name,
            "param_value": param_value_internal,
            "distribution_json": distribution_to_json(distribution),
        }
        self.hold(trial_id, lambda session: add(session, models.TrialParamModel, values))

    def _known_distribution(self, trial_id: int, param_name: str) -> BaseDistribution | None:
        """Returns what an earlier run has stored of a parameter; Optuna's cache asks once per run."""
        trial, param = models.TrialModel, models.TrialParamModel
        study = select(trial.study_id).where(trial.trial_id == trial_id).scalar_subquery()
        query = (
            select(param.distribution_json)
            .join(trial, trial.trial_id == param.trial_id)
            .where(trial.study_id == study, param.param_name == param_name)
        )
        with Session(self.engine) as session:
            stored = session.scalar(query.limit(1))
        return None if stored is None else json_to_distribution(stored)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Holds an attribute for the trial's next transaction."""
        self._hold_attribute(models.TrialUserAttributeModel, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: JSONSerializable) -> None:
        """Holds an attribute of Optuna's own for the trial's next transaction."""
        self._hold_attribute(models.TrialSystemAttributeModel, trial_id, key, value)

    def _hold_attribute(self, model: Any, trial_id: int, key: str, value: Any) -> None:
        self.hold(trial_id, lambda session: self._set_trial_attr_without_commit(session, model, trial_id, key, value))

    # -- durable writes

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Writes an epoch's objective, and what is held, in one transaction.

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
            self.connection.lost(error)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Changes a trial's state, and writes what is held, in one transaction; a trial that starts is leased."""
        if state != TrialState.RUNNING:
            with self._releasing(trial_id):
                return super().set_trial_state_values(trial_id, state, values)
        session = self.scoped_session()
        try:
            self._lease_waiting(trial_id, session)
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            session.close()

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        if template_trial is None:
            self._check_left(study_id, session)
        trial = super()._get_prepared_new_trial(study_id, template_trial, session)
        if template_trial is None:
            self._lease(cast("int", trial.trial_id), session)
        return trial

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

    @repeated
    def count_finished(self, study_id: int) -> int:
        """Returns the number of trials of a study that have ended, in whatever state."""
        finished = [state for state in TrialState if state.is_finished()]
        query = select(func.count()).where(
            models.TrialModel.study_id == study_id, models.TrialModel.state.in_(finished)
        )
        with Session(self.engine) as session:
            return session.scalar(query) or 0

    @repeated
    def finished(self, study_id: int) -> list[int]:
        """Returns the numbers of a study's trials that have ended, in whatever state."""
        trial, states = models.TrialModel, [state for state in TrialState if state.is_finished()]
        query = select(trial.number).where(trial.study_id == study_id, trial.state.in_(states))
        with Session(self.engine) as session:
            return list(session.scalars(query))

    @repeated
    def count_before(self, study_id: int, number: int, value: float, maximize: bool) -> int:
        """Returns the number of a study's COMPLETE trials that are better than one, or as good and earlier."""
        trial, known = models.TrialModel, models.TrialValueModel.value
        is_better = known > value if maximize else known < value
        is_before = or_(is_better, and_(known == value, trial.number < number))
        query = self._complete(select(func.count()), study_id).where(is_before)
        with Session(self.engine) as session:
            return session.scalar(query) or 0

    @repeated
    def ranking(self, study_id: int, maximize: bool, most: int) -> list[int]:
        """Returns the numbers of a study's best COMPLETE trials, the best one first."""
        trial, known = models.TrialModel, models.TrialValueModel.value
        order = known.desc() if maximize else known
        query = self._complete(select(trial.number), study_id).order_by(order, trial.number)
        with Session(self.engine) as session:
            return list(session.scalars(query.limit(most)))

    @repeated
    def best_value(self, study_id: int, maximize: bool) -> float | None:
        """Returns the best objective of a study's COMPLETE trials, or None before the first."""
        extreme = func.max if maximize else func.min
        query = self._complete(select(extreme(models.TrialValueModel.value)), study_id)
        with Session(self.engine) as session:
            best: float | None = session.scalar(query)
        return best

    @staticmethod
    def _complete(query: Any, study_id: int) -> Any:
        """Restricts a query to a study's COMPLETE trials and their objectives."""
        trial, value = models.TrialModel, models.TrialValueModel
        joined = query.select_from(trial).join(value, value.trial_id == trial.trial_id)
        return joined.where(trial.study_id == study_id, trial.state == TrialState.COMPLETE)

    # -- whole studies

    @repeated
    def keep_study(self, row: StudyRow) -> None:
        """Writes what a study searches."""
        with Session(self.engine) as session, session.begin():
            models.StudyModel.find_or_raise_by_id(row.study_id, session, for_update=True)
            session.merge(row)

    @repeated
    def begin(self, study_id: int, waiting: Sequence[FrozenTrial]) -> None:
        """Adds the first trials of a study that has none, all in one transaction."""
        with self.scoped_session() as session, session.begin():
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            if not session.scalar(select(func.count()).where(models.TrialModel.study_id == study_id)):
                for trial in waiting:
                    self._get_prepared_new_trial(study_id, trial, session)

    def rename_study(self, name: str, new: str) -> None:
        """Gives a study another name."""
        study = models.StudyModel
        with Session(self.engine) as session, session.begin():
            session.execute(update(study).where(study.study_name == name).values(study_name=new))

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

    # -- trials whose process is gone

    @repeated
    def take_over(self, study_id: int) -> int | None:
        """Leases one running trial whose run is dead to this run, and takes back what its unfinished training left.

        Its number, parameters and user attributes stay, so that it is trained again exactly as it began.

        Returns:
            The trial's id, or None if every running trial has a living run.
        """
        trial = models.TrialModel
        running = select(trial.trial_id).where(trial.study_id == study_id, trial.state == TrialState.RUNNING)
        with self.scoped_session() as session, session.begin():
            locked = session.scalars(running.order_by(trial.trial_id).with_for_update(skip_locked=True)).all()
            # asked for after the lock, because another process may just have taken one of them over
            leases = {
                row.trial_id: row for row in session.scalars(select(LeaseRow).where(LeaseRow.trial_id.in_(locked)))
            }
            runs = {run.run_id: run for run in session.scalars(select(RunRow).where(RunRow.study_id == study_id))}
            for trial_id in locked:
                lease = leases.get(trial_id)
                run = runs.get(lease.run_id) if lease else None
                if run is not None and self._is_at_work(run, trial_id):
                    continue
                if run is not None and lease is not None and not run.ended and not self._is_own(run):
                    self._count_death(lease, session)
                if lease is None or lease.deaths < DEADLY:
                    self._restart(trial_id, lease, session)
                    return int(trial_id)
                self._give_up(trial_id, lease.deaths, session)
        return None

    def _count_death(self, lease: LeaseRow, session: Session) -> None:
        """Counts a death in a trial; one that has got further since the last death is not what kills its processes."""
        epochs = session.scalar(select(func.count()).where(EpochRow.trial_id == lease.trial_id)) or 0
        lease.deaths = 1 if epochs > lease.epochs else lease.deaths + 1
        lease.epochs = epochs

    def begun(self, trial_id: int) -> None:
        """Takes note that this process works on a trial; its run may have others, whose begin it was not told."""
        self._at_work.add(trial_id)

    def _is_own(self, run: RunRow) -> bool:
        return run.run_id == self.run_id

    def _is_at_work(self, run: RunRow, trial_id: int) -> bool:
        if self._is_own(run):
            return trial_id in self._at_work
        return not run.ended and (run.is_alive or not self.connection.is_settled)

    @repeated
    def begin_again(self, trial_id: int) -> None:
        """Deletes the learning curve of a running trial of this process."""
        self._flush(trial_id)
        with self.scoped_session() as session, session.begin():
            self._forget_curve(trial_id, session)

    @repeated
    def give_up(self, study_id: int, number: int, reason: str, detail: str) -> None:
        """Fails a running trial whose process is gone or of no use; one that has ended stays as it is."""
        trial = models.TrialModel
        query = select(trial.trial_id).where(
            trial.study_id == study_id, trial.number == number, trial.state == TrialState.RUNNING
        )
        with self.scoped_session() as session, session.begin():
            if (trial_id := session.scalar(query.with_for_update())) is not None:
                self._fail(trial_id, reason, detail, session)

    def _give_up(self, trial_id: int, deaths: int, session: Session) -> None:
        detail = f"its process died {deaths} times"
        number = models.TrialModel.find_or_raise_by_id(trial_id, session).number
        self._fail(trial_id, "killed", detail, session)
        self.connection.tell(f"trial {number}: FAIL  killed: {detail}")

    def _fail(self, trial_id: int, reason: str, detail: str, session: Session) -> None:
        for key, value in (("reason", reason), ("detail", detail)):
            self._set_trial_attr_without_commit(session, models.TrialUserAttributeModel, trial_id, key, value)
        models.TrialModel.find_or_raise_by_id(trial_id, session).state = TrialState.FAIL

    def _restart(self, trial_id: int, lease: LeaseRow | None, session: Session) -> None:
        self._forget_curve(trial_id, session)
        if lease is None:
            self._lease(trial_id, session)
        elif self.run_id is not None:
            lease.run_id = self.run_id

    def _forget_curve(self, trial_id: int, session: Session) -> None:
        intermediate, attribute = models.TrialIntermediateValueModel, models.TrialSystemAttributeModel
        session.execute(delete(intermediate).where(intermediate.trial_id == trial_id))
        session.execute(delete(EpochRow).where(EpochRow.trial_id == trial_id))
        session.execute(
            delete(attribute).where(attribute.trial_id == trial_id, attribute.key.startswith("completed_rung_"))
        )

    def _lease_waiting(self, trial_id: int, session: Session) -> None:
        """Leases a trial that is about to start; where another process was faster, its lease stays."""
        trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if trial.state == TrialState.WAITING:
            study_id = cast("int", trial.study_id)
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            self._check_left(study_id, session)
            self._lease(trial_id, session)

    def _check_left(self, study_id: int, session: Session) -> None:
        """Refuses to begin more trials than the study may have; its row is locked."""
        trial = models.TrialModel
        begun = select(func.count()).where(trial.study_id == study_id, trial.state != TrialState.WAITING)
        if self.most_trials is not None and (session.scalar(begun) or 0) >= self.most_trials:
            raise NoTrialLeftError

    def _lease(self, trial_id: int, session: Session) -> None:
        if self.run_id is not None:
            session.merge(LeaseRow(trial_id=trial_id, run_id=self.run_id, deaths=0, epochs=-1))


class CachedStorage(_CachedStorage):
    """Optuna's cache over `Storage`; attributes of a running trial are read without the rest of it.

    All that Optuna asks of it is repeated while the connection is lost.
    """

    def __init__(self, backend: Storage) -> None:
        super().__init__(backend)
        self.connection = backend.connection

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns a trial's attributes of Optuna's own."""
        return self._backend.get_trial_system_attrs(trial_id)


for _name in BaseStorage.__abstractmethods__:
    setattr(CachedStorage, _name, repeated(getattr(CachedStorage, _name)))

"""Reads a study for people: fast, without Optuna and without Keras, also while a search writes."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import Connection, Select, String, Table, cast, column, func, inspect, select, table
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from searchcnn.errors import StoreError, nearest
from searchcnn.events import Planned
from searchcnn.store.attributes import CONCLUDED, EXHAUSTED, PLAN, SPENT
from searchcnn.store.database import connect, explain, find_sqlite_file
from searchcnn.store.migrations import check_schema
from searchcnn.store.tables import EpochRow, RunRow, StudyRow, read_clock, union_length
from searchcnn.study import StudyConfig
from searchcnn.study.begun import complete
from searchcnn.study.rules import RULES, Rules
from searchcnn.text import format_count, format_point, format_score

# Optuna's tables, as far as they are read here; a test compares this reading with Optuna's own.
STUDIES = table("studies", column("study_id"), column("study_name"))
TRIALS = table("trials", column("trial_id"), column("number"), column("study_id"), column("state"))
VALUES = table("trial_values", column("trial_id"), column("value"))
NOTES = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
ATTRIBUTES = table("trial_user_attributes", column("trial_id"), column("key"), column("value_json"))
REPORTS = table("trial_intermediate_values", column("trial_id"), column("step"), column("intermediate_value"))


@dataclass(frozen=True)
class TrialSummary:
    """One trial.

    Attributes:
        number: Its number, from 0.
        state: WAITING, RUNNING, COMPLETE, PRUNED or FAIL.
        value: Its score; the best so far where it has not completed.
        epochs: Epochs trained.
        seconds: Time trained.
        facts: What else is known: `space`, `hyperparameters`, `params`, `macs`, `origin`, `reason`, `detail`, ...
        is_ranked: Whether its score counts: it is COMPLETE, or was so and is trained on.
    """

    number: int
    state: str
    value: float | None
    epochs: int
    seconds: float
    facts: Mapping[str, Any] = field(repr=False)
    is_ranked: bool = False

    def __str__(self) -> str:
        score = f" {format_score(self.value)}" if self.value is not None else ""
        point = f": {format_point(self.hyperparameters)}" if self.hyperparameters else ""
        return f"trial {self.number}: {self.state}{score}, {format_count(self.epochs, 'epoch')}, {self.space}{point}"

    @property
    def is_unusable(self) -> bool:
        """Whether it is a point that cannot be trained: too large, invalid, or nearly another one."""
        return self.state == "PRUNED" and not self.epochs

    @property
    def space(self) -> str:
        """Its search space; empty before that is known."""
        return str(self.facts.get("space", ""))

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Its hyperparameters, by name."""
        hyperparameters: Mapping[str, Any] = self.facts.get("hyperparameters", {})
        return hyperparameters


@dataclass(frozen=True)
class SpaceSummary:
    """What one search space has brought in a study.

    Attributes:
        name: The search space.
        trials: Number of its trials.
        complete: Number of those that are COMPLETE.
        pruned: Number of those that are PRUNED.
        seconds: Time trained, over all of them.
        best: The best COMPLETE one; None before the first.
    """

    name: str
    trials: int
    complete: int
    pruned: int
    seconds: float
    best: TrialSummary | None


@dataclass(frozen=True)
class StudySummary:
    """One study.

    Attributes:
        name: Its name.
        config: Its configuration.
        trials: Its trials, by number.
        seconds: For how long at least one process has worked on it.
        running: Whether a process works on it now.
        worked: Seconds of all processes together.
        plan: What its plan for the time has decided last; None if it has none.
        planned_ago: Seconds since then.
        spent_besides: Seconds that processes have spent besides trials, by activity.
        rules: Those that it was begun with.
        is_exhausted: Whether every point of its finite space was tried: there is nothing left to search.
        concluded: The configuration with which its budget is spent; None if it is not, or is not known to be.
    """

    name: str
    config: StudyConfig
    trials: Sequence[TrialSummary]
    seconds: float
    running: bool
    worked: float = 0.0
    plan: Planned | None = None
    planned_ago: float = 0.0
    spent_besides: Mapping[str, float] = field(default_factory=dict)
    rules: Rules = RULES
    is_exhausted: bool = False
    concluded: Mapping[str, Any] | None = None

    @property
    def spent(self) -> dict[str, float]:
        """Where the time of all processes went: the fraction of each activity, the largest first."""
        totals = _add_up([self.spent_besides, *(trial.facts.get(SPENT, {}) for trial in self.trials)])
        totals["other"] = max(0.0, self.worked - sum(totals.values()))
        ranked = sorted(totals.items(), key=lambda item: -item[1])
        return {activity: seconds / self.worked for activity, seconds in ranked} if self.worked else {}

    @property
    def ranking(self) -> list[TrialSummary]:
        """COMPLETE trials, the best first."""
        complete = [trial for trial in self.trials if trial.is_ranked and trial.value is not None]
        return sorted(complete, key=lambda trial: self.config.objective.rank(trial.value or 0.0, trial.facts))

    @property
    def best(self) -> TrialSummary | None:
        """The best COMPLETE trial; None before the first."""
        return next(iter(self.ranking), None)

    @property
    def spaces(self) -> list[SpaceSummary]:
        """The search spaces, the best first; those without a COMPLETE trial come last."""
        ranked = [trial.facts["space"] for trial in self.ranking]
        plugins = [spec for spec in self.config.spaces if spec.isidentifier()]  # others have names that trials tell
        tried = [trial.facts["space"] for trial in self.trials if "space" in trial.facts]
        return [self._summarize_space(name) for name in dict.fromkeys([*ranked, *plugins, *tried])]

    def _summarize_space(self, name: str) -> SpaceSummary:
        trials = [trial for trial in self.trials if trial.facts.get("space") == name]
        states = Counter(trial.state for trial in trials)
        best = next((trial for trial in self.ranking if trial.facts["space"] == name), None)
        seconds = sum(trial.seconds for trial in trials)
        return SpaceSummary(name, len(trials), states["COMPLETE"], states["PRUNED"], seconds, best)

    @property
    def finished_count(self) -> int:
        """Number of trials that have ended."""
        return sum(trial.state in ("COMPLETE", "PRUNED", "FAIL") for trial in self.trials)

    @property
    def counted(self) -> int:
        """Number of trials that have ended and count toward a budget."""
        unusable = sum(trial.is_unusable for trial in self.trials)
        return self.finished_count - (unusable if self.rules.only_trained_count else 0)

    @property
    def state(self) -> Literal["running", "finished", "begun"]:
        """Whether a process works on it now, or its budget is spent, or neither."""
        budget = self.config.budget
        is_spent = (budget.trials is not None and self.counted >= budget.trials) or (
            budget.timeout is not None and self.seconds >= budget.timeout
        )
        return "running" if self.running else "finished" if is_spent else "begun"

    def count(self, state: str) -> int:
        """Returns the number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)


def read_summary(url: URL, name: str) -> StudySummary:
    """Reads a study.

    Raises:
        StoreError: If the database cannot be read, or holds no such study.
    """
    with open_connection(url) as connection:
        return _read(connection, name)


def read_if_begun(url: URL, name: str) -> StudySummary | None:
    """Reads a study that has been begun: it has trials, though they may be waiting.

    Returns:
        None if there is none.

    Raises:
        StoreError: If the database cannot be read.
    """
    with _open_ours(url, name) as connection:
        study = None if connection is None else _read(connection, name)
    return study if study is not None and study.trials else None


def is_running(url: URL, name: str) -> bool:
    """Whether a process works on a study now.

    Raises:
        StoreError: If the database cannot be read.
    """
    with _open_ours(url, name) as connection:
        return connection is not None and _has_live_run(Session(connection), _find_id(connection, name))


def read_config(url: URL, name: str) -> dict[str, Any] | None:
    """Reads the configuration of a study that has results, or may be about to have some: a run is at work on it.

    Returns:
        What the database has, which an earlier version may have written; its direction is that which the study has.
        None if there is no such study.

    Raises:
        StoreError: If the database cannot be read.
    """
    with _open_ours(url, name) as connection:
        if connection is None:
            return None
        study_id, session = _find_id(connection, name), Session(connection)
        taught = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
        row = session.get(StudyRow, study_id)
        state = cast(TRIALS.c.state, String)  # PostgreSQL does not compare its own type with texts
        has_results = connection.scalar(taught.where(state.in_(("COMPLETE", "PRUNED"))).limit(1)) is not None
        if row is None or not (has_results or _has_live_run(session, study_id)):
            return None
        config, direction = dict(row.config), row.identity.get("search.direction")
        return {**config, "search": {**config.get("search", {}), "direction": direction}} if direction else config


@contextmanager
def _open_ours(url: URL, name: str) -> Iterator[Connection | None]:
    """Opens the database of a study that searchcnn has made; yields None if there is no such study."""
    if _is_missing(url):
        yield None
        return
    with open_connection(url) as connection:
        yield connection if _is_ours(connection, name) else None


def _find_id(connection: Connection, name: str) -> int | None:
    return connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_name == name))


def _has_live_run(session: Session, study_id: int | None) -> bool:
    return any(run.is_alive for run in session.scalars(select(RunRow).where(RunRow.study_id == study_id)))


def _is_missing(url: URL) -> bool:
    file = find_sqlite_file(url)
    return file is not None and not file.exists()


@contextmanager
def open_connection(url: URL) -> Iterator[Connection]:
    """Connects to a database to read it.

    Raises:
        StoreError: If it cannot be read.
    """
    engine = connect(url)
    try:
        with engine.connect() as connection:
            check_schema(connection)
            yield connection
    except DatabaseError as error:
        raise explain(error, url) from None
    finally:
        engine.dispose()


def _is_ours(connection: Connection, name: str) -> bool:
    """Whether a database holds a study of that name that searchcnn has made."""
    if not inspect(connection).has_table(StudyRow.__tablename__):
        return False
    ours = select(STUDIES.c.study_id).join(StudyRow, StudyRow.study_id == STUDIES.c.study_id)
    return connection.scalar(ours.where(STUDIES.c.study_name == name)) is not None


def find_study(session: Session, name: str) -> StudyRow:
    """Returns the row of a study.

    Raises:
        StoreError: If the database holds no such study, or searchcnn has not made it.
    """
    connection = session.connection()
    if not inspect(connection).has_table(StudyRow.__tablename__):
        raise StoreError(f"{connection.engine.url.render_as_string()} was not made by searchcnn")
    query = select(STUDIES.c.study_name, STUDIES.c.study_id)
    names: dict[str, int] = dict(session.execute(query).all())
    if name not in names:
        raise StoreError(f"no study '{name}' in the database{nearest(name, names)} (it holds: {', '.join(names)})")
    row = session.get(StudyRow, names[name])
    if row is None:
        raise StoreError(f"study '{name}' in the database was not made by searchcnn; Optuna's own tools can read it")
    return row


def _read(connection: Connection, name: str) -> StudySummary:
    session = Session(connection)
    row = find_study(session, name)
    runs = session.scalars(select(RunRow).where(RunRow.study_id == row.study_id)).all()
    spans = [(run.started_at.timestamp(), run.beat_at.timestamp()) for run in runs]
    plan, at = _read_plan(connection, row.study_id)
    trials = _read_trials(connection, row.study_id)
    return StudySummary(
        name=name,
        config=_read_config(name, row),
        trials=trials,
        seconds=union_length(spans),
        running=any(run.is_alive for run in runs),
        worked=sum(end - start for start, end in spans),
        plan=plan,
        planned_ago=read_clock().timestamp() - at,
        spent_besides=_read_spent(connection, row.study_id),
        rules=Rules.of(row.identity),
        is_exhausted=bool(_read_note(connection, row.study_id, EXHAUSTED)),
        concluded=_read_conclusion(connection, row.study_id, len(trials)),
    )


def _read_plan(connection: Connection, study_id: int) -> tuple[Planned | None, float]:
    """Returns what a study's plan has decided last, and when."""
    facts = _read_note(connection, study_id, PLAN)
    if facts is None:
        return None, 0.0
    at = facts.pop("at")
    return Planned(**facts), at


def _read_conclusion(connection: Connection, study_id: int, trials: int) -> Mapping[str, Any] | None:
    """Returns the configuration with which a study's budget is spent, unless there are more trials since."""
    facts = _read_note(connection, study_id, CONCLUDED)
    return facts["config"] if facts is not None and facts["trials"] == trials else None


def _read_note(connection: Connection, study_id: int, key: str) -> Any:
    """Returns a user attribute of a study; None if it has none of that name."""
    value = select(NOTES.c.value_json).where(NOTES.c.study_id == study_id, NOTES.c.key == key)
    stored = connection.scalar(value)
    return None if stored is None else json.loads(stored)


def _read_spent(connection: Connection, study_id: int) -> dict[str, float]:
    """Returns the seconds that all runs have spent besides trials, by activity."""
    value = select(NOTES.c.value_json).where(NOTES.c.study_id == study_id, NOTES.c.key.startswith(f"{SPENT} "))
    return _add_up([json.loads(row) for row in connection.scalars(value)])


def _add_up(spent: Sequence[Mapping[str, float]]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for seconds in spent:
        for activity, value in seconds.items():
            totals[activity] += value
    return totals


def _read_config(name: str, row: StudyRow) -> StudyConfig:
    try:
        config = StudyConfig.model_validate(complete(row.config))
    except ValidationError:
        raise StoreError(
            f"study '{name}' was last searched with searchcnn {row.version}, whose configuration is unknown here; "
            "continue it with `searchcnn optimize`, or use that version"
        ) from None
    direction = row.identity.get("search.direction", config.search.direction)  # as it was taken when it was begun
    return config.model_copy(update={"search": config.search.model_copy(update={"direction": direction})})


def _read_trials(connection: Connection, study_id: int) -> list[TrialSummary]:
    def read_rows(source: Any, *columns: Any) -> Any:
        query: Select[Any] = select(*columns).join(TRIALS, TRIALS.c.trial_id == source.c.trial_id)
        return connection.execute(query.where(TRIALS.c.study_id == study_id))

    facts: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial_id, key, value in read_rows(ATTRIBUTES, ATTRIBUTES.c.trial_id, ATTRIBUTES.c.key, ATTRIBUTES.c.value_json):
        facts[trial_id][key] = json.loads(value)
    values = dict(read_rows(VALUES, VALUES.c.trial_id, VALUES.c.value).all())
    reported = read_rows(REPORTS, REPORTS.c.trial_id, REPORTS.c.step, REPORTS.c.intermediate_value).all()
    last = {trial_id: value for trial_id, _, value in sorted(reported, key=lambda row: (row[0], row[1]))}
    epochs = _read_epochs(connection, study_id)
    query = select(TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state).where(TRIALS.c.study_id == study_id)
    return [
        TrialSummary(
            number=number,
            state=state,
            value=values.get(trial_id, last.get(trial_id)),
            epochs=epochs.get(trial_id, (0, 0.0))[0],
            seconds=epochs.get(trial_id, (0, 0.0))[1],
            facts=facts[trial_id],
            is_ranked=state == "COMPLETE" or (state == "RUNNING" and trial_id in values),
        )
        for trial_id, number, state in connection.execute(query.order_by(TRIALS.c.number))
    ]


def _read_epochs(connection: Connection, study_id: int) -> dict[int, tuple[int, float]]:
    columns: Table = EpochRow.__table__  # type: ignore[assignment]
    query = select(columns.c.trial_id, func.max(columns.c.epoch), func.sum(columns.c.seconds)).group_by(
        columns.c.trial_id
    )
    query = query.join(TRIALS, TRIALS.c.trial_id == columns.c.trial_id).where(TRIALS.c.study_id == study_id)
    return {trial_id: (epoch, total) for trial_id, epoch, total in connection.execute(query)}

"""A study in its database: the one object through which a search reads and writes it."""

import functools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import select
from sqlalchemy.orm import Session

import searchcnn
from searchcnn.errors import StoreError, StudyChangedError
from searchcnn.events import Epoch, Planned
from searchcnn.store import queries
from searchcnn.store.attributes import CONCLUDED, PLAN, SECONDS_TO_BEGIN, SPENT, STRETCHES
from searchcnn.store.cache import CachedStorage
from searchcnn.store.connection import repeat_while_lost
from searchcnn.store.curves import make_epoch
from searchcnn.store.failures import DATABASE_ERRORS
from searchcnn.store.optuna_private import get_study_id, get_trial_id
from searchcnn.store.run import Run
from searchcnn.store.spent import Spent
from searchcnn.store.storage import Storage, add
from searchcnn.store.tables import EpochRow, ModelRow, RunRow, StudyRow, read_clock, union_length
from searchcnn.store.takeover import Takeover
from searchcnn.study import Objective
from searchcnn.study.rules import RULES, Rules


class StoredStudy:
    """A study's rows in Optuna's tables and in ours.

    Args:
        storage: The opened database.
        name: The study's name in it; it is created where it is missing.
        objective: What is optimised.
        sampler: Proposes points; Optuna's default if it is None.
        pruner: Ends hopeless trials; Optuna's default if it is None.

    Attributes:
        spent: What this process spends on the study besides trials.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        objective: Objective,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        self.storage = storage
        self.optuna_storage = CachedStorage(storage)
        self.connection = storage.connection
        self.takeover = Takeover(storage)
        self.spent = Spent()
        self.name = name
        self.objective = objective
        self._sampler, self._pruner = sampler, pruner
        self.optuna = self._create()
        self.study_id = get_study_id(self.optuna)

    def _create(self) -> optuna.Study:
        def create() -> optuna.Study:
            return optuna.create_study(
                storage=self.optuna_storage,
                study_name=self.name,
                direction=self.objective.direction,
                sampler=self._sampler,
                pruner=self._pruner,
                load_if_exists=True,
            )

        study = create()
        is_same = [d.name.lower() for d in study.directions] == [self.objective.direction]
        if not is_same and not study.get_trials(deepcopy=False):
            optuna.delete_study(study_name=self.name, storage=self.optuna_storage)
            study = create()
        return study

    def check_identity(
        self,
        config: Mapping[str, Any],
        identity: Mapping[str, str],
        accept: bool = False,
        recent: Mapping[str, str] | None = None,
    ) -> None:
        """Stores what the study searches when it has no results yet, and checks it when it has some.

        Args:
            config: The study's configuration, for readers.
            identity: What must be the same in all runs, by name.
            accept: Accept a change; a change of direction is refused nevertheless.
            recent: The part of the identity that the first version did not store: in a study that it has begun, it is
                not a change where it is missing.

        Raises:
            StudyChangedError: If the database holds another search.
        """
        is_new = self.is_new  # asked for first, because another process may be beginning the study
        with Session(self.storage.engine) as session:
            row = session.get(StudyRow, self.study_id)
        if row is None and not is_new:
            raise StudyChangedError(
                f"study '{self.name}' in this database was not made by searchcnn; choose another name with --name"
            )
        changed = row is not None and row.identity != dict(identity)
        if row is not None and changed and self._has_results:
            missing = {} if "rules" in row.identity else recent or {}
            _refuse_changes(self.name, {**missing, **row.identity}, identity, accept)
        elif changed and not is_new:
            self._start_over()
        new = StudyRow(study_id=self.study_id, config=dict(config), identity=dict(identity))
        new.version = searchcnn.__version__
        self.storage.write_study(new)

    @functools.cached_property
    def rules(self) -> Rules:
        """The rules that the study was begun with; the latest for one that is new."""
        with Session(self.storage.engine) as session:
            row = session.get(StudyRow, self.study_id)
        if row is None or self.is_new:
            return RULES
        return Rules.of(row.identity)

    @property
    def _has_results(self) -> bool:
        """Whether some trial has taught something, or may do so because a living run works on it."""
        taught = self.list_trials((TrialState.COMPLETE, TrialState.PRUNED))
        with Session(self.storage.engine) as session:
            runs = session.scalars(select(RunRow).where(RunRow.study_id == self.study_id))
            return bool(taught) or any(run.is_alive for run in runs)

    def _start_over(self) -> None:
        """Deletes what was begun but taught nothing: waiting baselines, a trial that was stopped, failures."""
        optuna.delete_study(study_name=self.name, storage=self.optuna_storage)
        self.optuna = self._create()
        self.study_id = get_study_id(self.optuna)

    @property
    def is_new(self) -> bool:
        """Whether no trial was ever begun."""
        return not self.list_trials()

    @contextmanager
    def run(self, elapsed: float = 0.0) -> Iterator[Run]:
        """Registers this process with the study for the length of the body.

        Args:
            elapsed: Seconds for which it has worked on the study already.
        """
        with Run(self.storage, self.study_id, elapsed) as run:
            self.spent.add("starting", elapsed)
            self._note_spent()
            try:
                yield run
            finally:
                self._note_spent()

    def _note_spent(self) -> None:
        """Stores what this run has spent besides its trials, for readers."""
        with suppress(StoreError, *DATABASE_ERRORS):  # a run ends although nobody hears of it
            self.optuna.set_user_attr(f"{SPENT} {self.storage.leases.run_id}", self.spent.to_dict())

    @property
    def seconds_to_begin(self) -> float:
        """How long it took until the study's first trial could begin."""
        return float(self.optuna.user_attrs.get(SECONDS_TO_BEGIN, 0.0))

    def note_plan(self, plan: Planned) -> None:
        """Stores what the plan for the time has decided, for readers."""
        self.optuna.set_user_attr(PLAN, {**asdict(plan), "at": read_clock().timestamp()})

    def note_conclusion(self, config: Mapping[str, Any]) -> None:
        """Writes that the budget of a configuration is spent: until it is changed, there is nothing left to do."""
        self.optuna.set_user_attr(CONCLUDED, {"config": config, "trials": len(self.list_trials())})

    def begin(self, points: Iterable[tuple[str, Mapping[str, Any]]], seconds: float = 0.0) -> None:
        """Makes given points the first trials, unless another process has begun the study meanwhile.

        Args:
            points: Where each comes from, for readers, as in ``"baseline fashion_convnet"``, and its hyperparameters by
                name; those not named are sampled.
            seconds: How long it took to get here.
        """
        self.optuna.set_user_attr(SECONDS_TO_BEGIN, round(seconds, 1))
        self._name_objective()
        facts = [{"preset": dict(values), "origin": origin} for origin, values in points]
        fixed: dict[str, Any] = {"fixed_params": {}}  # what Optuna's own `enqueue_trial` gives
        waiting = [create_trial(state=TrialState.WAITING, user_attrs=fact, system_attrs=fixed) for fact in facts]
        self.storage.begin(self.study_id, waiting)

    def _name_objective(self) -> None:
        """Tells Optuna's tools what the score is, for tables and plots."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.optuna.set_metric_names([self.objective.metric])

    def start_trial(self, max_trials: int | None = None) -> optuna.Trial:
        """Returns the trial to work on: one that a dead run has abandoned, else a waiting one, else a new one.

        Args:
            max_trials: How many trials the study may begin, in all processes together; None for no limit.

        Raises:
            NoTrialLeftError: If all of them are begun.
        """
        trial = self.take_over()
        return trial if trial is not None else self.begin_trial(max_trials)

    def take_over(self) -> optuna.Trial | None:
        """Returns a trial that a dead run has abandoned; None if there is none."""
        abandoned = self.takeover.take_over(self.study_id)
        return None if abandoned is None else self._work_on(abandoned)

    def begin_trial(self, max_trials: int | None = None) -> optuna.Trial:
        """Returns a waiting trial, or a new one; see `start_trial`."""
        self.storage.leases.max_trials = max_trials
        self.storage.leases.only_trained_count = self.only_trained_count
        trial = self.optuna.ask()
        self.takeover.note_work(get_trial_id(trial))
        return trial

    def resume_trial(self, number: int, facts: Mapping[str, Any]) -> optuna.Trial | None:
        """Returns a trial that has ended a stretch of its training; None if another process trains it on already.

        Args:
            number: Its number.
            facts: What readers should know of it, as user attributes.
        """
        trial_id = self.takeover.resume(self.study_id, number, facts)
        return None if trial_id is None else self._work_on(trial_id)

    def _work_on(self, trial_id: int) -> optuna.Trial:
        self.list_trials()  # Optuna's cache knows a trial of another process only after it was read
        self.optuna_storage.reopen(trial_id)
        self.takeover.note_work(trial_id)
        return optuna.Trial(self.optuna, trial_id)

    @repeat_while_lost
    def list_planned(self) -> list[tuple[int, TrialState, dict[str, Any]]]:
        """Returns the trials that are trained in stretches: number, state, and what is known of the stretches.

        The list of `list_trials` may be behind where another process trains a trial on.
        """
        with Session(self.storage.engine) as session:
            return queries.list_planned(session, self.study_id)

    @repeat_while_lost
    def find_value(self, trial: optuna.Trial) -> float | None:
        """Returns the score that a running trial had when it was COMPLETE; None if it never was."""
        with Session(self.storage.engine) as session:
            return queries.find_value(session, get_trial_id(trial))

    def find_best_whole(self) -> float | None:
        """Returns the best score of the COMPLETE trials that were trained all at once; None if there is none."""
        complete = self.list_trials([TrialState.COMPLETE])
        scores = [trial.value for trial in complete if trial.value is not None and STRETCHES not in trial.user_attrs]
        return self.objective.choose_best(scores) if scores else None

    def add_epoch(self, trial: optuna.Trial, epoch: Epoch, score: float) -> None:
        """Writes an epoch and the trial's best score so far, in one transaction."""
        key = get_trial_id(trial)
        row = {
            "trial_id": key,
            "epoch": epoch.number,
            "learning_rate": epoch.learning_rate,
            "seconds": epoch.seconds,
            "metrics": {name: value if math.isfinite(value) else None for name, value in epoch.metrics.items()},
        }
        self.storage.hold(key, lambda session: add(session, EpochRow, row))
        trial.report(score, step=0 if epoch.is_solved else epoch.number)

    def should_prune(self, trial: optuna.Trial) -> bool:
        """Whether the pruner ends the trial; not before it can see all of its epochs."""
        return not self.storage.is_behind(get_trial_id(trial)) and trial.should_prune()

    def restart(self, trial: optuna.Trial) -> optuna.Trial:
        """Deletes a trial's learning curve; its parameters stay.

        Returns:
            The trial as it is then.
        """
        self.storage.restart(get_trial_id(trial))
        return optuna.Trial(self.optuna, get_trial_id(trial))

    def flush(self, trial: optuna.Trial) -> None:
        """Makes everything that was set on a trial durable."""
        self.storage.flush(get_trial_id(trial))

    def finish(
        self,
        trial: optuna.Trial,
        state: TrialState,
        value: float | None,
        facts: Mapping[str, Any],
        excess: float = 0.0,
    ) -> None:
        """Ends a trial; one that another process has ended meanwhile stays as it is.

        Args:
            trial: The trial.
            state: COMPLETE, PRUNED or FAIL.
            value: The score of a COMPLETE trial.
            facts: What readers should know of it, as user attributes.
            excess: Above zero for an infeasible trial: samplers learn it as a violated constraint.
        """
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            if excess > 0:
                trial.set_constraint("limits", excess)
            for key, fact in facts.items():
                trial.set_user_attr(key, fact)
            self.optuna.tell(trial, value if state == TrialState.COMPLETE else None, state, skip_if_finished=True)

    @repeat_while_lost
    def add_model(self, trial: optuna.Trial, path: Path, score: float) -> None:
        """Records which trial's network a file now holds, and its score."""
        row = ModelRow(trial_id=get_trial_id(trial), study_id=self.study_id, path=str(path), score=score)
        with Session(self.storage.engine) as session, session.begin():
            session.merge(row)

    def read_curve(self, trial_number: int) -> list[Epoch]:
        """Returns a trial's learning curve."""
        key = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, trial_number)
        query = select(EpochRow).where(EpochRow.trial_id == key).order_by(EpochRow.epoch)
        with Session(self.storage.engine) as session:
            return [make_epoch(row) for row in session.scalars(query)]

    def list_trials(self, states: Sequence[TrialState] | None = None) -> list[FrozenTrial]:
        """Returns the trials, which must not be changed."""
        return self.optuna.get_trials(deepcopy=False, states=tuple(states) if states else None)

    @repeat_while_lost
    def count_begun(self) -> int:
        """Returns the number of trials that count toward a budget and were begun, those that have ended included."""
        with Session(self.storage.engine) as session:
            return queries.count_begun(session, self.study_id, self.only_trained_count)

    def count_finished(self) -> int:
        """Returns the number of trials that count toward a budget and have ended."""
        return len(self.list_finished()) - (len(self.list_unusable()) if self.only_trained_count else 0)

    @repeat_while_lost
    def list_unusable(self) -> list[int]:
        """Returns the numbers of the points that cannot be trained."""
        with Session(self.storage.engine) as session:
            return queries.list_unusable(session, self.study_id)

    @property
    def only_trained_count(self) -> bool:
        """Whether points that cannot be trained do not count toward a budget."""
        return self.rules.only_trained_count

    @repeat_while_lost
    def list_finished(self) -> list[int]:
        """Returns the numbers of the trials that have ended, in whatever state."""
        with Session(self.storage.engine) as session:
            return queries.list_finished(session, self.study_id)

    @repeat_while_lost
    def rank(self, trial: optuna.Trial, value: float, facts: Mapping[str, Any]) -> int:
        """Returns how many COMPLETE trials come before one in the `list_best`, given its score and facts."""
        rank = self.objective.rank(value, facts)
        with Session(self.storage.engine) as session:
            return queries.count_before(session, self.study_id, trial.number, rank, self.objective)

    @repeat_while_lost
    def list_best(self, count: int) -> list[int]:
        """Returns the numbers of the best COMPLETE trials, the best one first; see `searchcnn.study.Objective.rank`."""
        with Session(self.storage.engine) as session:
            return queries.list_best(session, self.study_id, self.objective, count)

    @repeat_while_lost
    def count_seconds(self, elapsed: float = 0.0) -> float:
        """Returns the number of seconds during which at least one process has worked on the study.

        Args:
            elapsed: Seconds for which this process has done so, though it is not registered yet.
        """
        now = read_clock().timestamp()
        with Session(self.storage.engine) as session:
            runs = session.scalars(select(RunRow).where(RunRow.study_id == self.study_id))
            spans = [(run.started_at.timestamp(), now if run.is_alive else run.beat_at.timestamp()) for run in runs]
        return union_length([*spans, (now - elapsed, now)])


def _refuse_changes(name: str, before: Mapping[str, str], after: Mapping[str, str], accept: bool) -> None:
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if accept and "search.direction" not in changed:
        return
    is_read_again = "rules" not in before and any(key.startswith("data") for key in changed)
    remark = "; this version may find parts in the same images that the one before did not" if is_read_again else ""
    changes = [f"{key} ({before.get(key, 'none')} -> {after.get(key, 'none')})" for key in changed]
    advice = "" if "search.direction" in changed else ", or continue anyway with --accept-changes"
    if changes:
        raise StudyChangedError(
            f"study '{name}' was started with another search, whose scores would not compare: {', '.join(changes)}; "
            f"undo the change, or start a new study with --name {name}-2" + advice + remark
        )

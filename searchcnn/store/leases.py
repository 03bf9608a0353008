"""Which run works on which running trial."""

from typing import cast

from optuna.trial import TrialState
from sqlalchemy.orm import Session

from searchcnn.store import queries
from searchcnn.store.optuna_private import models
from searchcnn.store.tables import LeaseRow


class LeaseLostError(Exception):
    """Another run works on the trial now; whoever gets this stops, and tells nothing."""


class NoTrialLeftError(Exception):
    """As many trials as the study may have are finished, or begun by other processes."""


class Leases:
    """Leases trials that start to the run of this process, in the transaction that starts them.

    Attributes:
        run_id: The run of this process; None while it has none, and leases nothing.
        max_trials: How many trials a study may begin; None for any number. Those of all processes count, and two that
            ask at the same time do not both get the last one.
        only_trained_count: Whether points that cannot be trained do not count.
    """

    def __init__(self) -> None:
        self.run_id: int | None = None
        self.max_trials: int | None = None
        self.only_trained_count = True

    def add(self, trial_id: int, session: Session) -> None:
        """Leases a trial, whoever had it before."""
        if self.run_id is not None:
            session.merge(LeaseRow(trial_id=trial_id, run_id=self.run_id, deaths=0, epochs=-1))

    def add_waiting(self, trial_id: int, session: Session) -> None:
        """Leases a trial that is about to start; where another process was faster, its lease stays.

        Raises:
            NoTrialLeftError: If the study may begin no more.
        """
        trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if trial.state == TrialState.WAITING:
            study_id = cast("int", trial.study_id)
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            self.check_left(study_id, session)
            self.add(trial_id, session)

    def check_left(self, study_id: int, session: Session) -> None:
        """Refuses to begin more trials than the study may have; its row is locked.

        Raises:
            NoTrialLeftError: If it has them.
        """
        if self.max_trials is None:
            return
        if queries.count_begun(session, study_id, self.only_trained_count) >= self.max_trials:
            raise NoTrialLeftError

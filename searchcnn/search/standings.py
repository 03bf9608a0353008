"""How far the trials of a study have got, as its database knows it."""

from optuna.trial import TrialState

from searchcnn.search.scheduler import Standing
from searchcnn.store import MACS, PACE, SCORES, SETUP, STRETCHES, StoredStudy


def read_standings(study: StoredStudy) -> list[Standing]:
    """Returns the standings of all trials that are trained in stretches and did not fail."""
    return [
        Standing(
            number,
            tuple(facts[STRETCHES]),
            tuple(facts.get(SCORES, ())),
            facts.get(PACE),
            facts.get(MACS, 0),
            facts.get(SETUP, 0.0),
            is_running=state == TrialState.RUNNING,
        )
        for number, state, facts in study.list_planned()
        if state != TrialState.FAIL
    ]

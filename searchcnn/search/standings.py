"""How far the trials of a study have got, as its database knows it."""

from collections.abc import Callable

from optuna.trial import TrialState

from searchcnn.search.scheduler import Standing
from searchcnn.store import ENDED, MACS, PACE, SCORES, SETUP, SPACE, STRETCHES, StoredStudy


def read_standings(study: StoredStudy, has_weights: Callable[[int], bool]) -> list[Standing]:
    """Returns the standings of all trials that are trained in stretches and did not fail.

    Args:
        study: The study in its database.
        has_weights: Whether the weights of a trial are at hand, given its number.
    """
    return [
        Standing(
            number,
            tuple(facts[STRETCHES]),
            tuple(facts.get(SCORES, ())),
            facts.get(PACE),
            facts.get(MACS, 0),
            facts.get(SPACE, ""),
            facts.get(SETUP, 0.0),
            is_running=state == TrialState.RUNNING,
            has_weights=has_weights(number),
        )
        for number, state, facts in study.list_planned()
        if state != TrialState.FAIL and not facts.get(ENDED)
    ]

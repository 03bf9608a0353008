"""How far the trials of a study have got, as its database knows it."""

import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from optuna.trial import TrialState

from searchcnn.search.scheduler import Standing, predict_pace
from searchcnn.store import ENDED, MACHINE, MACS, PACE, SCORES, SETUP, SPACE, STRETCHES, StoredStudy


def read_standings(study: StoredStudy, has_weights: Callable[[int], bool]) -> list[Standing]:
    """Returns the standings of all trials that are trained in stretches and did not fail.

    Args:
        study: The study in its database.
        has_weights: Whether the weights of a trial are at hand, given its number.
    """
    trials = [
        (number, state, facts)
        for number, state, facts in study.list_planned()
        if state != TrialState.FAIL and not facts.get(ENDED)
    ]
    standings = [
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
        for number, state, facts in trials
    ]
    here = socket.gethostname()
    foreign = {number for number, _, facts in trials if facts.get(MACHINE, here) != here}
    return _predict_paces(standings, foreign)


def _predict_paces(standings: Sequence[Standing], foreign: Collection[int]) -> list[Standing]:
    """Returns standings as if all were measured on this machine, as far as others that were tell what they will take.

    Args:
        standings: Of all trials.
        foreign: The numbers of those that another machine has measured.
    """
    own = [standing for standing in standings if standing.number not in foreign]
    return [
        replace(s, pace=predict_pace(own, s.macs, s.space) or s.pace) if s.number in foreign else s for s in standings
    ]

"""How far the trials have got, on one machine or on several."""

from typing import Any, cast

import pytest
from optuna.trial import TrialState

from searchcnn.search.standings import read_standings
from searchcnn.store import ENDED, MACHINE, MACS, PACE, SCORES, SPACE, STRETCHES, StoredStudy


class Planned:
    """The planned trials of a study: all have ended one stretch, and an epoch of each took 10 s."""

    def __init__(self, *facts: dict[str, Any], state: TrialState = TrialState.PRUNED) -> None:
        common = {STRETCHES: [1], SCORES: [0.5], PACE: 10.0, MACS: 1000, SPACE: "net"}
        self.trials = [(number, state, common | fact) for number, fact in enumerate(facts)]

    def list_planned(self) -> list[tuple[int, TrialState, dict[str, Any]]]:
        return self.trials


def read_paces(*facts: dict[str, Any]) -> list[float | None]:
    standings = read_standings(cast("StoredStudy", Planned(*facts)), lambda number: True)
    return [standing.pace for standing in standings]


def test_seconds_of_another_machine_say_little_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert read_paces({MACHINE: "here"}, {MACHINE: "there", PACE: 80.0}) == [10.0, pytest.approx(10.0)]
    assert read_paces({MACHINE: "here"}, {MACHINE: "there", MACS: 2000}) == [10.0, pytest.approx(10 * 2**0.8)]


def test_before_anything_was_measured_here_they_are_all_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert read_paces({MACHINE: "there"}, {}) == [pytest.approx(10.0), 10.0]
    assert read_paces({MACHINE: "there"}, {MACHINE: "yonder", PACE: 20.0}) == [10.0, 20.0]


def test_what_has_failed_does_not_stand() -> None:
    assert read_paces({ENDED: True}, {}) == [10.0]
    failed = Planned({}, state=TrialState.FAIL)
    assert read_standings(cast("StoredStudy", failed), lambda number: True) == []

"""What is drawn, without a search behind it."""

import doctest
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from searchcnn import text
from searchcnn.run import Study
from searchcnn.search import Outcome
from searchcnn.store import Epoch, TrialSummary
from searchcnn.study import Workspace, validate
from searchcnn.views import live
from searchcnn.views.live import LiveView
from searchcnn.views.tables import make_trial_table
from searchcnn.views.view import PlainView


@pytest.fixture
def study(tmp_path: Path) -> Study:
    table = {"spaces": ["sequential"], "data": {"name": "digits"}, "budget": {"trials": 4, "timeout": "5m"}}
    return Study("digits", validate(table, "test"), Workspace(tmp_path))


def draw(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=False)
    console.print(view._render())
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    return output


def make_trial(number: int, **facts: Any) -> Any:
    return SimpleNamespace(number=number, origin="", facts=facts, best=None)


@pytest.mark.parametrize("module", [text, live])
def test_examples_in_docstrings(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_the_live_view_shows_trials_progress_best_and_budget(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "read_summary", lambda url, name: SimpleNamespace(trials=[], seconds=0.0))
    view = LiveView(study, Console(file=io.StringIO(), width=120, height=40))
    view.phase("reading digits")
    assert "reading digits" in draw(view)
    first = make_trial(0, params=62_346, macs=3_800_000, space="sequential", hyperparameters={"kernel": 5})
    view.trial_started(first)
    view.epoch_finished(first, Epoch(1, {"val_accuracy": 0.81}, 0.001, 2.0))
    view.epoch_finished(first, Epoch(2, {"val_accuracy": 0.92}, 0.001, 2.0))
    view.epoch_progressed(first, 3, 0.5)
    running = draw(view)
    assert "trial 0 · 62.3k parameters, 3.8M MACs" in running
    assert "epoch 3/10" in running
    assert "▁█ 0.9200" in running
    assert "kernel=5" in running
    view.trial_finished(first, Outcome("COMPLETE", 0.92), is_best=True)
    view.trial_started(make_trial(1))
    view.trial_finished(make_trial(1), Outcome("PRUNED", reason="max_params"), is_best=False)
    ended = draw(view)
    assert "best 0.9200 (trial 0)" in ended
    assert "2/4 trials, 1 pruned" in ended
    assert "left" in ended
    view.stopping()
    assert "stopping" in draw(view)


def test_the_live_view_takes_a_trial_that_is_given_up_to_the_table(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "read_summary", lambda url, name: SimpleNamespace(trials=[], seconds=0.0))
    view = LiveView(study, Console(file=io.StringIO(), width=120, height=40))
    view.trial_given_up(7, "killed", "its process died 2 times")  # of an earlier run
    assert "trial 7: FAIL  killed: its process died 2 times" in draw(view)
    for number in (0, 1):
        view.trial_started(make_trial(number))
    view.epoch_finished(make_trial(0), Epoch(1, {"val_accuracy": 0.81}, 0.001, 2.0))
    view.trial_given_up(0, "timeout", "it did not end within 10 s")
    view.epoch_progressed(make_trial(0), 2, 0.5)  # what its worker still had said when it was killed
    view.epoch_finished(make_trial(0), Epoch(2, {"val_accuracy": 0.92}, 0.001, 2.0))
    output = draw(view)
    assert "trial 0: FAIL  timeout: it did not end within 10 s" in output
    assert next(line.split()[:3] for line in output.splitlines() if "FAIL" in line) == ["0", "FAIL", "1"]
    assert "trial 0 ·" not in output
    assert "trial 1 ·" in output
    assert "1/4 trials" in output


def test_plain_lines_say_why_a_trial_was_given_up(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    PlainView(study).trial_given_up(3, "timeout", "it did not end within 10 s")
    assert capsys.readouterr().out.endswith("] trial 3: FAIL  timeout: it did not end within 10 s\n")


def test_a_table_marks_the_best_and_says_why_trials_ended() -> None:
    rows = [
        TrialSummary(0, "COMPLETE", 0.9, 3, 12.0, {"origin": "default", "params": 1000, "macs": 2_000_000}),
        TrialSummary(1, "PRUNED", None, 0, 0.0, {"reason": "max_macs", "detail": "3 > 2"}),
        TrialSummary(2, "COMPLETE", 0.8, 1, 2.0, {"stopped": "timeout"}),
    ]
    console = Console(file=io.StringIO(), width=120)
    console.print(make_trial_table(rows, "val_accuracy", best=0))
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "★ 0" in output
    assert "max_macs: 3 > 2" in output
    assert "cut by the timeout" in output

"""What is drawn, without a search behind it."""

import io
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from searchcnn.events import (
    Epoch,
    EpochFinished,
    EpochProgressed,
    EpochsRecalled,
    NetworkBuilt,
    Outcome,
    Planned,
    Progress,
    StudyOpened,
    TrialDescribed,
    TrialFinished,
    TrialGivenUp,
    TrialStarted,
)
from searchcnn.job import Job
from searchcnn.store import TrialSummary
from searchcnn.study import Workspace, validate
from searchcnn.study.rules import RULES
from searchcnn.views import live
from searchcnn.views import view as view_module
from searchcnn.views.live import LiveView
from searchcnn.views.screen import Screen, fit_parts
from searchcnn.views.tables import make_trial_table
from searchcnn.views.view import PlainView

NETWORK = {"params": 62_346, "macs": 3_800_000, "space": "sequential", "hyperparameters": {"kernel": 5}}


@pytest.fixture
def study(tmp_path: Path) -> Job:
    table = {"spaces": ["sequential"], "data": {"name": "digits"}, "budget": {"trials": 4, "timeout": "5m"}}
    return Job("digits", validate(table, "test"), Workspace(tmp_path))


def draw(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=False)
    console.print(view.render())
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    return output


def read_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Returns the plain lines that were printed, without their times."""
    return [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]


def recalled(trial: int, *scores: float) -> EpochsRecalled:
    epochs = [epoch(trial, number, score).epoch for number, score in enumerate(scores, 1)]
    return EpochsRecalled(trial, epochs, max(scores))


def epoch(trial: int, number: int, score: float) -> EpochFinished:
    return EpochFinished(trial, Epoch(number, {"val_accuracy": score}, 0.001, 2.0), score)


def test_the_live_view_shows_trials_progress_best_and_budget(study: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView(study, Console(file=io.StringIO(), width=120, height=40))
    view.hear(Progress("reading digits"))
    assert "reading digits" in draw(view)
    view.hear(TrialStarted(0))
    view.hear(NetworkBuilt(0, NETWORK))
    view.hear(epoch(0, 1, 0.81))
    view.hear(epoch(0, 2, 0.92))
    view.hear(EpochProgressed(0, 3, 0.5))
    running = draw(view)
    assert "trial 0 · 62.3k parameters, 3.8M MACs" in running
    assert "epoch 3/10" in running
    assert "▁█ 0.9200" in running
    assert "kernel=5" in running
    view.hear(TrialFinished(0, Outcome("COMPLETE", 0.92), 0.92, is_best=True))
    view.hear(TrialStarted(1))
    view.hear(TrialFinished(1, Outcome("PRUNED", reason="max_params")))
    ended = draw(view)
    assert "best 0.9200 (trial 0)" in ended
    assert "1 of 4 trained, 1 unusable" in ended
    assert "left" in ended
    view.stopping()
    assert "stopping; Ctrl-C again stops now" in draw(view)


def test_the_live_view_shows_the_time_from_the_command_on(study: Job) -> None:
    view = LiveView(replace(study, began=time.time() - 60), Console(file=io.StringIO(), width=120, height=40))
    assert "1m00s used, 4m00s left" in draw(view)
    view.hear(StudyOpened(70.0))  # ten of an earlier run
    assert "1m10s used, 3m50s left" in draw(view)


def test_the_live_view_says_when_a_trial_will_end(study: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    for module in (live, view_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    view = LiveView(study, Console(file=io.StringIO(), width=120, height=40))
    view.hear(TrialStarted(0))
    view.hear(NetworkBuilt(0, NETWORK | {"stretches": [2, 6], "last": False}))  # two epochs were trained before
    clock.now += 20  # its graph is compiled
    view.hear(EpochProgressed(0, 3, 0.0))
    assert ", 50s left" not in draw(view)
    clock.now += 10
    view.hear(EpochProgressed(0, 4, 0.0))
    assert ", 50s left" in draw(view)
    view.hear(epoch(0, 5, 0.9))
    clock.now += 20
    assert ", 30s left" in draw(view)
    view.hear(StudyOpened(285.0))  # of 5 minutes
    assert ", 30s left" not in draw(view)
    assert draw(view).count(", 15s left") == 2


def test_the_live_view_shows_the_plan_and_trials_that_go_on(study: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView(study, Console(file=io.StringIO(), width=120, height=40))
    view.hear(Planned(12, 4, is_last=False, seconds=100.0, last_seconds=300.0))
    assert "exploring: 12 networks, 4 of them went on; in 1m" in draw(view)
    view.hear(TrialStarted(0))
    view.hear(NetworkBuilt(0, NETWORK | {"stretches": [1], "last": False}))
    view.hear(epoch(0, 1, 0.81))
    view.hear(TrialFinished(0, Outcome("PRUNED", reason="not promoted"), 0.81))
    assert "not promoted" in draw(view)
    view.hear(Planned(12, 5, is_last=True, seconds=0.0, last_seconds=300.0))
    view.hear(TrialStarted(0))
    view.hear(NetworkBuilt(0, NETWORK | {"stretches": [1, 30], "last": True}))
    view.hear(recalled(0, 0.81))
    shown = draw(view)
    assert "trial 0 · 62.3k parameters, 3.8M MACs · trained to the end" in shown
    assert "epoch 2/31" in shown
    assert "not promoted" not in shown
    assert "the best of 12 networks is trained to the end: 5m00s left" in shown
    view.hear(epoch(0, 31, 0.95))
    view.hear(TrialFinished(0, Outcome("COMPLETE", 0.95), 0.95, is_best=True))
    assert "best 0.9500 (trial 0)" in draw(view)


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (140, 40)])
def test_the_live_view_fits_the_screen(study: Job, width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height)
    view = LiveView(study, console)
    for number in range(31):
        view.hear(TrialStarted(number, "baseline fashion_convnet"))
        view.hear(NetworkBuilt(number, NETWORK | {"hyperparameters": {f"filters_{n}": 64 for n in range(9)}}))
        for index in range(1, 80 if number == 30 else 2):
            view.hear(epoch(number, index, 0.5 + number / 100))
        if number < 30:
            view.hear(TrialFinished(number, Outcome("COMPLETE", 0.5 + number / 100), 0.5 + number / 100))
    view.hear(Planned(30, 4, is_last=False, seconds=100.0, last_seconds=300.0))
    console.print(view.render())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    assert any("★ 29" in line and "✓" in line and "0.7900" in line for line in lines)
    assert "best 0.7900 (trial 29)" in lines[-1]
    assert "left" in lines[-1]


def test_the_live_view_shows_at_once_what_was_done_before(study: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [TrialSummary(0, "COMPLETE", 0.9, 3, 12.0, NETWORK, is_ranked=True)]
    begun = SimpleNamespace(trials=trials, seconds=100.0, rules=RULES)
    monkeypatch.setattr(live, "read_if_begun", lambda url, name: begun)
    with LiveView(study, Console(file=io.StringIO(), width=120, height=40)) as view:
        assert "best 0.9000 (trial 0)" in draw(view)
        assert "1m40s used, 3m20s left" in draw(view)
        view.hear(StudyOpened(90.0))  # the clock does not go back
        assert "1m40s used, 3m20s left" in draw(view)


def test_a_screen_is_drawn_anew_when_it_changes_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    with Screen(console=console, get_renderable=lambda: Text("changes"), auto_refresh=False) as screen:
        screen.print(Text("stays"))
        screen.refresh()
        written = console.file.getvalue()  # type: ignore[attr-defined]
        assert "\x1b[2J" not in written
        monkeypatch.setattr(console, "size", (60, 20))
        screen.refresh()
        again = console.file.getvalue().removeprefix(written)  # type: ignore[attr-defined]
    assert again.index("\x1b[2J") < again.index("stays") < again.index("changes")


def test_a_line_shortens_itself() -> None:
    trained = ["3 of 4 trained, 1 unusable", "3 of 4 trained"]
    parts = [["best 0.9"], trained, ["1m used, 2m left", "2m left"], ["stops", ""]]
    assert [fit_parts(parts, width) for width in (80, 62, 55, 45)] == [
        "best 0.9  ·  3 of 4 trained, 1 unusable  ·  1m used, 2m left  ·  stops",
        "best 0.9  ·  3 of 4 trained, 1 unusable  ·  1m used, 2m left",
        "best 0.9  ·  3 of 4 trained, 1 unusable  ·  2m left",
        "best 0.9  ·  3 of 4 trained  ·  2m left",
    ]


def test_the_live_view_takes_a_trial_that_is_given_up_to_the_table(study: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView(study, Console(file=io.StringIO(), width=120, height=40))
    view.hear(TrialGivenUp(7, "killed", "its process died 2 times"))  # of an earlier run
    assert "trial 7: FAIL  killed: its process died 2 times" in draw(view)
    for number in (0, 1):
        view.hear(TrialStarted(number))
    view.hear(epoch(0, 1, 0.81))
    view.hear(TrialGivenUp(0, "timeout", "it did not end within 10 s"))
    view.hear(EpochProgressed(0, 2, 0.5))  # what its worker still had said when it was killed
    view.hear(epoch(0, 2, 0.92))
    shown = draw(view)
    assert "trial 0: FAIL  timeout: it did not end within 10 s" in shown
    assert next(line.split()[:4] for line in shown.splitlines() if "✗" in line) == ["0", "✗", "FAIL", "0.8100"]
    assert "trial 0 ·" not in shown
    assert "trial 1 ·" in shown
    assert "1 of 4 trained" in shown


def test_the_plain_view_says_how_to_stop_now(study: Job, capsys: pytest.CaptureFixture[str]) -> None:
    PlainView(study).stopping()
    assert capsys.readouterr().err == "Stopping. Press Ctrl-C again to stop now.\n"


def test_plain_lines_say_why_a_trial_was_given_up(study: Job, capsys: pytest.CaptureFixture[str]) -> None:
    PlainView(study).hear(TrialGivenUp(3, "timeout", "it did not end within 10 s"))
    assert capsys.readouterr().out.endswith("] trial 3: FAIL  timeout: it did not end within 10 s\n")


def test_plain_lines_of_a_trial(study: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """Its network is shown once, although more becomes known of it; what it had before its end is not forgotten."""
    view = PlainView(study)
    for event in (
        TrialStarted(2, "default"),
        NetworkBuilt(2, NETWORK),
        EpochProgressed(2, 0, 0.1),
        EpochProgressed(2, 0, 0.2),
        TrialDescribed(2, {"solved": 0.9}),
        epoch(2, 1, 0.81),
        epoch(2, 2, 0.92),
        EpochProgressed(2, 3, 0.5),
        TrialDescribed(2, {"tuned": True, "stopped": "timeout"}),
        TrialFinished(2, Outcome("COMPLETE", 0.92), 0.92, is_best=True),
        TrialStarted(3),
        TrialFinished(3, Outcome("FAIL", reason="error", facts={"detail": "RuntimeError: x"})),
    ):
        view.hear(event)
    assert read_lines(capsys) == [
        "trial 2: sequential, default, 62.3k parameters, 3.8M MACs (multiply-accumulates of an image)",
        "trial 2: computing the features of what is not trained",
        "trial 2: epoch 1/10  val_accuracy 0.8100  2.0s",
        "trial 2: epoch 2/10  val_accuracy 0.9200  2.0s",
        "trial 2: COMPLETE  0.9200  +0.0200 by fine-tuning  cut by the timeout  best so far",
        "trial 3: FAIL  error  RuntimeError: x",
    ]


def test_plain_lines_of_a_trial_that_goes_on(study: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is said when it begins and when the last share does; epochs are said when they are trained."""
    view = PlainView(study)
    for event in (
        Planned(0, 0, is_last=False, seconds=100.0, last_seconds=300.0),
        TrialStarted(0),
        NetworkBuilt(0, NETWORK | {"stretches": [1]}),
        epoch(0, 1, 0.81),
        TrialFinished(0, Outcome("PRUNED", reason="not promoted"), 0.81),
        Planned(1, 0, is_last=False, seconds=90.0, last_seconds=300.0),
        Planned(1, 1, is_last=True, seconds=0.0, last_seconds=300.0),
        TrialStarted(0),
        NetworkBuilt(0, NETWORK | {"stretches": [1, 2], "last": True}),
        recalled(0, 0.81),
        epoch(0, 3, 0.92),
    ):
        view.hear(event)
    assert read_lines(capsys) == [
        "exploring: 0 networks; in 1m40s the best is trained to the end, for 5m00s",
        "trial 0: sequential, 62.3k parameters, 3.8M MACs (multiply-accumulates of an image)",
        "trial 0: epoch 1/1  val_accuracy 0.8100  2.0s",
        "trial 0: PRUNED  0.8100  not promoted",
        "the best of 1 network is trained to the end: 5m00s left",
        "trial 0: sequential, 62.3k parameters, 3.8M MACs, goes on",
        "trial 0: epoch 3/3  val_accuracy 0.9200  2.0s",
    ]


def test_plain_lines_of_a_search_that_goes_on(study: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """What an earlier run has done is one line, not said as if it happened now."""
    view = PlainView(study)
    for event in (
        StudyOpened(70.0),
        StudyOpened(71.0),
        TrialStarted(0),
        NetworkBuilt(0, NETWORK),
        recalled(0, 0.81, 0.92),
        epoch(0, 3, 0.93),
    ):
        view.hear(event)
    assert read_lines(capsys) == [
        "this study goes on: 1m10s spent before, 3m50s left",
        "trial 0: sequential, 62.3k parameters, 3.8M MACs (multiply-accumulates of an image)",
        "trial 0: goes on after epoch 2, 0.9200",
        "trial 0: epoch 3/10  val_accuracy 0.9300  2.0s",
    ]


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

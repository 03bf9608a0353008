"""A study in a table of any width, as long as a search runs, and one trial of it."""

import io
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from searchcnn.events import Epoch
from searchcnn.results import Leaderboard
from searchcnn.store import StudySummary, TrialSummary
from searchcnn.study import Workspace, validate
from searchcnn.views import status as status_module
from searchcnn.views.comparison import describe_ties
from searchcnn.views.curve import draw_curve
from searchcnn.views.notebook import format_study
from searchcnn.views.status import Status, watch
from searchcnn.views.tables import SIGNS, make_trial_table
from searchcnn.views.trial import TrialView

CONFIG = validate({"spaces": ["net"], "data": {"name": "digits"}, "budget": {"trials": 40}}, "test")
CURVE = [
    Epoch(number, {"accuracy": 0.9 - 0.5 / number, "val_accuracy": 0.95 - 0.4 / number}, 0.1, 2.0)
    for number in range(1, 13)
]
FACTS: dict[str, Any] = {"space": "net", "params": 62_346, "macs": 1_600_000, "hyperparameters": {"units": 8}}


def make_trial(number: int, state: str = "COMPLETE", value: float | None = 0.9, **facts: Any) -> TrialSummary:
    return TrialSummary(number, state, value, 3, 75.0, FACTS | facts, is_ranked=state == "COMPLETE")


TRIALS = [
    make_trial(0, origin="default", macs=100_000),
    make_trial(1, value=0.91),
    make_trial(2, "PRUNED", 0.6, reason="not promoted", origin="baseline with_a_very_long_name"),
    make_trial(3, "FAIL", None, reason="error", detail="ValueError: [red]no[/red] shape"),
    make_trial(4, "RUNNING", None),
    make_trial(5, "WAITING", None, origin="baseline later"),
]


def make_status(trials: list[TrialSummary], running: bool = False, **how: Any) -> Status:
    summary = StudySummary("x", CONFIG, trials, 90.0, running)
    return Status(Leaderboard(summary, {0: -0.01, 1: 0.123}, 200), Workspace(Path.cwd()), **how)


def draw(content: Any, width: int = 200, height: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(content)
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return lines


@pytest.mark.parametrize("width", [30, 45, 60, 80, 100, 140])
@pytest.mark.parametrize("metric", ["val_accuracy", "val_sparse_top_k_categorical_accuracy"])
def test_a_table_fits_any_width_and_shows_columns_whole(width: int, metric: str) -> None:
    lines = draw(make_trial_table(TRIALS, metric, 1, {1: 0.123}), width)
    assert all(cell_len(line) <= width for line in lines)
    rows = [line for line in lines if line.strip()[:1] in "★012345" and line.strip()]
    assert len(rows) == len(TRIALS)
    for row, trial in zip(rows, TRIALS, strict=True):
        assert str(trial.number) in row.split()[:2]
        assert f"{trial.value:.4f}" in row if trial.value else True
        assert SIGNS[trial.state] in row
        assert trial.state in row or width < 80
        assert "…" not in row or width == 100  # only a note may be cut
    missing = " ".join(lines).partition(f"not shown in {width} columns: ")[2]
    headings = " ".join(lines).partition("─")[0]
    for heading in ("trial", "state", "gap", "epochs", "params", "MACs", "time", "space", "note"):
        assert (heading in headings) != (heading in missing), heading


def test_what_matters_most_is_left_out_last() -> None:
    table = make_trial_table(TRIALS, "val_accuracy", 1, {1: 0.123})
    shown = [set(table.fit(width)) for width in range(25, 160)]
    assert shown[0] == {"trial", "", "val_accuracy"}
    assert {"trial", "", "state", "val_accuracy", "epochs", "time"} <= set(table.fit(60))
    assert {"gap", "MACs"} <= set(table.fit(80))
    assert "space" not in table.fit(70)  # all are of one
    several = [*TRIALS, replace(make_trial(6), facts={**FACTS, "space": "other"})]
    assert {"", "space"} <= set(make_trial_table(several, "val_accuracy", 1).fit(40))
    assert set(table.fit(150)) == {column.heading for column in table.columns}


def test_what_a_user_wrote_is_no_markup() -> None:
    assert any("ValueError: [red]no[/red] shape" in line for line in draw(make_trial_table(TRIALS, "val_accuracy", 1)))


def test_the_best_one_and_those_as_good_are_marked() -> None:
    status = make_status(TRIALS)
    lines = [line for part in status.describe() for line in draw(part)]
    assert any(line.strip().startswith("★ 1") for line in lines)
    assert any(line.strip().startswith("≈ 0") and "-0.0100" in line for line in lines)
    said = "Trial 0 is as good at 1/16 of the work: 0.9000, within the noise of 200 validation images"
    assert list(describe_ties(status.board)) == [said]


@pytest.mark.parametrize(
    ("macs", "others", "said"),
    [
        (1_600_000, 0, "Trial 1 is as good: "),
        (1_200_000, 0, "Trial 1 is as good at 75% of the work: "),
        (800_000, 0, "Trial 1 is as good at 1/2 of the work: "),
        (800_000, 1, "; so is trial 2"),
        (800_000, 3, "; so are trials 2, 3 and 4"),
        (800_000, 9, "; so are 9 more"),
    ],
)
def test_ties_in_words(macs: int, others: int, said: str) -> None:
    ties = [make_trial(2 + number, macs=1_600_000) for number in range(others)]
    board = make_status([make_trial(0, value=0.91), make_trial(1, macs=macs), *ties]).board
    (line,) = describe_ties(board)
    assert said in line


def test_the_trials_come_by_number_the_best_first_or_sorted() -> None:
    assert [trial.number for trial in make_status(TRIALS).rows] == [0, 1, 2, 3, 4, 5]
    assert [trial.number for trial in make_status(TRIALS, top=1).rows] == [1]
    assert [trial.number for trial in make_status(TRIALS, top=2).rows] == [1, 0]
    assert [trial.number for trial in make_status(TRIALS, sort="macs").rows] == [0, 1, 2, 3, 4, 5]
    assert [trial.number for trial in make_status(TRIALS, sort="val_accuracy").rows] == [1, 0, 2, 3, 4, 5]


def test_a_small_screen_shows_the_last_trials_that_were_begun() -> None:
    many = [make_trial(number, value=0.5 + number / 100) for number in range(40)]
    many += [make_trial(40 + number, "WAITING", None) for number in range(20)]
    lines = draw(make_status(many), 80, 24)
    assert len(lines) <= 24
    assert "★ 39" in "".join(lines)
    assert "WAITING" not in "".join(lines)
    assert any("of 60 trials: the last that have been begun" in line for line in lines)
    ranked = draw(make_status(many, sort="val_accuracy"), 80, 24)
    assert any("of 60 trials: the first" in line for line in ranked)
    assert sum("COMPLETE" in line for line in draw(make_status(many), 80, 5)) == 5


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)


def read_in_turn(monkeypatch: pytest.MonkeyPatch, *running: bool) -> Iterator[Status]:
    monkeypatch.setattr(status_module, "INTERVAL", 0.0)
    return (make_status(TRIALS[: number + 1], is_running) for number, is_running in enumerate(running))


def test_watching_ends_when_the_search_does(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = make_status([make_trial(number) for number in range(40)])
    states = itertools.chain(read_in_turn(monkeypatch, False, True, True, False, True), [finished])
    assert watch(lambda: next(states), console) is finished
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert output.index("\x1b[?1049h") < output.index("a search is running") < output.index("\x1b[?1049l")


def test_watching_ends_some_time_after_the_last_process(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "QUIET", 0.1)
    states = itertools.chain(read_in_turn(monkeypatch, True, True), itertools.repeat(make_status(TRIALS)))
    assert not watch(lambda: next(states), console).board.summary.running


def test_ctrl_c_ends_watching_and_leaves_the_screen(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    states = read_in_turn(monkeypatch, True, True, True)

    def read() -> Status:
        for status in states:
            return status
        raise KeyboardInterrupt

    assert len(watch(read, console).board.summary.trials) == 3
    assert "\x1b[?1049l" in console.file.getvalue()  # type: ignore[attr-defined]


def describe(trial: TrialSummary, curve: list[Epoch], running: bool = False, width: int = 80) -> str:
    board = replace(make_status([*TRIALS[: trial.number], trial], running).board, gaps={trial.number: 0.05})
    console = Console(width=width)
    parts = TrialView(trial, curve, board, Workspace(Path.cwd())).describe(console)
    return "\n".join(line for part in parts for line in draw(part, width))


def test_one_trial_whole() -> None:
    facts: dict[str, Any] = {
        "origin": "default",
        "stopped": "finished",
        "spent": {"training": 60.0, "saving": 20.0, "tracing": 0.0},
        "stretches": [3, 9],
        "scores": [0.8, 0.9167],
    }
    text = describe(make_trial(2, value=CURVE[-1].metrics["val_accuracy"], **facts), CURVE)
    for expected in (
        "trial 2 of x: COMPLETE, trained to its end",
        "net (default)",
        "0.9167, at epoch 12, rank 1 of 3, 0.0500 better in training",
        "62.3k parameters, 1.6M MACs",
        "in 2 stretches: 0.8000 after 3, 0.9167 after 12",
        "1m20s: 75% training, 25% saving",
        "units  8",
        "••• accuracy  ⠒⠒⠒ val_accuracy",
        "searchcnn.Study('x').build(2)",
    ):
        assert expected in text, text
    assert "load_model" not in text


@pytest.mark.parametrize(
    ("trial", "running", "said"),
    [
        (make_trial(0, "PRUNED", 0.6, reason="not promoted"), False, "PRUNED, not promoted"),
        (make_trial(0, "FAIL", None, reason="error", detail="No: x"), False, "FAIL, error: No: x"),
        (make_trial(0, "RUNNING", None), True, "RUNNING, a search is running"),
        (make_trial(0, "RUNNING", None), False, "RUNNING, interrupted; the same command continues"),
        (make_trial(0, stopped="timeout"), False, "COMPLETE, cut by the timeout of the search"),
        (TrialSummary(0, "WAITING", None, 0, 0.0, {"origin": "default"}), False, "WAITING, to be trained"),
    ],
)
def test_why_a_trial_has_ended(trial: TrialSummary, running: bool, said: str) -> None:
    assert said in describe(trial, [], running)


def test_a_single_epoch_is_not_drawn() -> None:
    text = describe(make_trial(0), CURVE[:1])
    assert "⠒" not in text
    assert "val_accuracy  0.5500" in text


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_curve_fits_and_rises(width: int) -> None:
    lines = draw_curve(CURVE, "val_accuracy", width, 14).plain.splitlines()
    assert len(lines) <= 14
    assert all(cell_len(line) <= width for line in lines)
    drawn = [line for line in lines if "│" in line or "┤" in line]
    last = [next((row for row, line in enumerate(drawn) if line[column] not in " │┤"), None) for column in (6, -3)]
    assert last[0] is not None
    assert last[1] is not None
    assert last[1] < last[0]
    assert lines[-2].split() == ["1", "4", "6", "8", "10", "12"]
    assert lines[-1].split() == ["epoch"]


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.5, 0.5],
        [math.nan, 1.0, 2.0],
        [math.inf, 1.0, 2.0],
        [1e308, -1e308, 0.0, 1.0],
        [0.1, math.nan, 0.3],
    ],
)
def test_odd_values_are_drawn_or_left_out(values: list[float]) -> None:
    """A loss may be NaN, or larger than what differences can be computed of."""
    curve = [Epoch(number, {"val_loss": value}, None, 1.0) for number, value in enumerate(values, 1)]
    assert "val_loss" in draw_curve(curve, "val_loss", 60, 10).plain


def test_what_cannot_be_drawn_is_not() -> None:
    assert not draw_curve([], "val_loss", 60, 10)
    assert not draw_curve(CURVE[:1], "val_accuracy", 60, 10)
    assert not draw_curve(CURVE, "val_loss", 60, 10)


def test_a_study_in_a_notebook() -> None:
    trials = [make_trial(number, space="<b>net", value=number / 100) for number in range(15)]
    html = format_study(make_status(trials).board)
    assert html.startswith("<p><b>x</b>: begun, 15 points in 1m30s: 15 trained to the end</p>")
    assert html.count("<tr") == 11
    assert "&lt;b&gt;net" in html
    assert "<b>net" not in html
    assert '<tr style="font-weight:bold"><td>14</td><td>COMPLETE</td><td>0.1400</td>' in html
    assert "and 5 more trials" in html
    assert "<table" not in format_study(make_status([]).board)

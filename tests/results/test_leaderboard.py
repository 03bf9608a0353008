"""The trials of a study, compared."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from searchcnn.errors import UsageError
from searchcnn.events import Epoch
from searchcnn.results import Leaderboard
from searchcnn.results.leaderboard import find_counting_epoch, find_trial, measure_gap
from searchcnn.results.records import format_csv, list_epochs
from searchcnn.store import StudySummary, TrialSummary
from searchcnn.study import Objective, validate

ACCURACY, LOSS = Objective("val_accuracy", "maximize"), Objective("val_loss", "minimize")
CURVE = [
    Epoch(1, {"accuracy": 0.5, "val_accuracy": 0.8, "loss": 1.0, "val_loss": 0.7}, 0.1, 2.0),
    Epoch(2, {"accuracy": 0.9, "val_accuracy": 0.85, "loss": 0.4, "val_loss": 0.6}, 0.1, 2.0),
    Epoch(3, {"accuracy": 0.95, "val_accuracy": 0.85, "loss": 0.3, "val_loss": 0.5}, 0.1, 2.0),
    Epoch(4, {"accuracy": 0.99, "val_accuracy": 0.84, "loss": 0.1, "val_loss": 0.9}, 0.1, 2.0),
]


def make_trial(number: int, value: float | None, macs: int | None, state: str = "COMPLETE", **hp: Any) -> TrialSummary:
    facts = {"space": "net", "hyperparameters": hp} | ({} if macs is None else {"macs": macs, "params": macs // 10})
    return TrialSummary(number, state, value, 3, 1.5 * number, facts, is_ranked=state == "COMPLETE")


def make_board(*trials: TrialSummary, images: int | None = 200, objective: str = "val_accuracy") -> Leaderboard:
    table = {"spaces": ["net"], "data": {"name": "digits"}, "search": {"objective": objective}, "budget": {"trials": 9}}
    return Leaderboard(StudySummary("x", validate(table, "test"), trials, 9.0, running=False), {0: 0.25}, images)


TRIALS = (
    make_trial(0, 0.9, 16_000_000, units=8),
    make_trial(1, 0.6, 9_000_000, "PRUNED", units=64, kernel="wide"),
    make_trial(2, 0.96, 16_000_000, units=16),
    make_trial(3, 0.945, 1_000_000, kernel="narrow"),
    make_trial(4, None, None, "WAITING"),
    make_trial(5, 0.95, 8_000_000, units=32),
    make_trial(6, 0.7, 2_000_000, "PRUNED"),
)


def test_the_epoch_that_counts_is_the_best_and_of_equal_ones_that_of_the_least_loss() -> None:
    assert find_counting_epoch(CURVE, ACCURACY) == CURVE[2]
    assert find_counting_epoch(CURVE[:2], ACCURACY) == CURVE[1]
    assert find_counting_epoch(CURVE, LOSS) == CURVE[2]
    assert find_counting_epoch([Epoch(1, {"val_accuracy": math.nan}, None, 1.0)], ACCURACY) is None


def test_the_gap_is_above_zero_where_training_is_better() -> None:
    assert measure_gap(CURVE, ACCURACY) == pytest.approx(0.1)
    assert measure_gap(CURVE, LOSS) == pytest.approx(0.2)
    assert measure_gap(CURVE[:1], ACCURACY) == pytest.approx(-0.3)
    assert measure_gap([], ACCURACY) is None
    assert measure_gap([Epoch(1, {"val_accuracy": 0.5}, None, 1.0)], ACCURACY) is None
    assert measure_gap(CURVE, Objective("accuracy", "maximize")) is None


def test_what_the_validation_images_cannot_tell_apart_is_a_tie() -> None:
    """On 200 images, the standard error of the difference of 0.96 and 0.945 is 0.0212; of 0.96 and 0.9, 0.0253."""
    assert [trial.number for trial in make_board(*TRIALS).ties] == [3, 5]
    assert [trial.number for trial in make_board(*TRIALS, images=20_000).ties] == []
    assert [trial.number for trial in make_board(*TRIALS, images=20).ties] == [3, 5, 0]
    assert make_board(*TRIALS, images=None).ties == []
    assert make_board(*TRIALS, objective="val_loss").ties == []
    perfect = make_board(make_trial(0, 1.0, 9), make_trial(1, 1.0, 4), make_trial(2, 0.99, 1), images=10)
    assert [trial.number for trial in perfect.ties] == [2, 0]


@pytest.mark.parametrize(
    ("key", "order"),
    [
        (None, [2, 5, 3, 0, 6, 1, 4]),
        ("val_accuracy", [2, 5, 3, 0, 6, 1, 4]),
        ("trial", [0, 1, 2, 3, 4, 5, 6]),
        ("MACs", [3, 6, 5, 1, 0, 2, 4]),
        ("time", [0, 1, 2, 3, 4, 5, 6]),
        ("units", [0, 2, 5, 1, 3, 4, 6]),
        ("kernel", [3, 1, 0, 2, 4, 5, 6]),
        ("rank", [2, 5, 3, 0, 1, 4, 6]),
    ],
)
def test_sorting(key: str | None, order: list[int]) -> None:
    assert [trial.number for trial in make_board(*TRIALS).sort(key)] == order


def test_a_smaller_loss_comes_first() -> None:
    assert [trial.number for trial in make_board(*TRIALS, objective="val_loss").sort()] == [0, 3, 5, 2, 1, 6, 4]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="'unit' to sort by; did you mean 'units'"):
        make_board(*TRIALS).sort("unit")
    with pytest.raises(UsageError, match="known: trial, val_accuracy"):
        make_board().sort("zzz")
    assert make_board().sort("trial") == []


def test_a_record_has_all_columns_and_loses_no_hyperparameter() -> None:
    board = make_board(make_trial(0, 0.9, 10, units=8, epochs=3, state="COMPLETE"), make_trial(1, None, None, "FAIL"))
    first, second = board.records.values()
    assert list(first) == list(second) == board.columns
    assert (first["units"], first["epochs"], first["hyperparameters.epochs"]) == (8, 3, 3)
    assert (first["rank"], first["gap"], second["rank"], second["gap"], second["units"]) == (1, 0.25, None, None, None)


def test_csv_is_read_back() -> None:
    assert format_csv([]) == ""
    text = format_csv([{"a": 1, "b, c": None}, {"a": 'say "x"', "b, c": 0.5}])
    assert text == 'a,"b, c"\n1,\n"say ""x""",0.5\n'


def test_each_epoch_is_a_record_with_every_metric() -> None:
    solved = Epoch(1, {"val_accuracy": 0.9}, None, 0.5)
    records = list_epochs({3: CURVE[:1], 7: [solved]})
    assert records[0] == {"trial": 3, "epoch": 1, "seconds": 2.0, "learning_rate": 0.1, **CURVE[0].metrics}
    assert records[1] == {
        **dict.fromkeys(records[0]),
        "trial": 7,
        "epoch": 1,
        "seconds": 0.5,
        "val_accuracy": 0.9,
    }
    assert list_epochs({}) == []


def test_the_number_of_images_is_that_of_the_card_of_this_search(tmp_path: Path) -> None:
    summary, model = make_board(*TRIALS).summary, tmp_path / "best.keras"

    def count(card: Any) -> int | None:
        model.with_suffix(".json").write_text(json.dumps(card))
        return Leaderboard.of(summary, {}, model).images

    assert Leaderboard.of(summary, {}, model).images is None
    assert count({"trial": 2, "scores": {"validation": {"accuracy": 0.96, "images": 150}}}) == 150
    assert count({"trial": 2, "scores": {"validation": {"accuracy": 0.5, "images": 150}}}) is None  # of another search
    assert count({"trial": 2, "scores": {"validation": {"accuracy": 0.96}}}) is None


def test_a_trial_that_is_not_there() -> None:
    summary = make_board(*TRIALS).summary
    assert find_trial(summary, 6) == TRIALS[6]
    with pytest.raises(UsageError, match="study 'x' has no trial 7; its trials are 0 to 6"):
        find_trial(summary, 7)

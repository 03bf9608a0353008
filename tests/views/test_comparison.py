"""What a result is compared with: other search spaces, on a real database, and published scores."""

import contextlib
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState
from sqlalchemy import select
from sqlalchemy.orm import Session

from searchcnn.cli import main
from searchcnn.events import Epoch, Planned
from searchcnn.job import Job
from searchcnn.results.card import write_card
from searchcnn.results.scores import Predictions
from searchcnn.results.stored import write_predictions
from searchcnn.search import make_sampler
from searchcnn.store import EXHAUSTED, SpaceSummary, StoredStudy, TrialSummary, open_storage
from searchcnn.store.tables import RunRow
from searchcnn.study import ComponentConfig, StudyConfig, Workspace
from searchcnn.views.comparison import compare_with_published, format_verdict
from searchcnn.views.summary import OTHER_SEARCH, summarize_study
from searchcnn.views.tables import print_lines

Config = Callable[..., StudyConfig]
PUBLISHED = {"cifar10_convnet": 0.6709, "googlenet": 0.8191}
TRIALS = [
    ("sequential", 0.7805, 20_000_000),
    ("residual", 0.8312, 10_000_000),
    ("inception", 0.8120, 6_000_000),
    ("inception", None, 9_000_000),
    ("transfer", None, 90_000_000),
]
"""Search space, objective (None: pruned), multiply-accumulates."""


@pytest.fixture
def search(tmp_path: Path, study_config: Config) -> Callable[..., Job]:
    """Returns a maker of studies in a workspace, with their trials in a real database."""

    def make(trials: list[tuple[str, float | None, int]] = TRIALS, **sections: Any) -> Job:
        spaces = list(dict.fromkeys(space for space, *_ in trials)) or ["sequential", "residual"]
        config = study_config(**{"spaces": spaces, "published": PUBLISHED, **sections})
        study = Job("compared", config, Workspace(tmp_path))
        sampler = make_sampler(ComponentConfig(name="RandomSampler"), 0)
        stored = StoredStudy(open_storage(study.url), study.name, config.objective, sampler, NopPruner())
        stored.check_identity(config.model_dump(), {})
        for space, value, macs in trials:
            trial = stored.start_trial()
            stored.add_epoch(trial, Epoch(1 + trial.number, {"val_accuracy": 0.5}, None, 75.0), 0.5)
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            facts = {"space": space, "params": 62_346, "macs": macs, "hyperparameters": {"x": 1}}
            origin = {"origin": "default"} if trial.number == 0 else {}
            stored.finish(trial, state, value, facts | origin)
        return study

    return make


def print_summary(study: Job) -> list[str]:
    """Prints the last lines of a search into a pipe, and returns them."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_lines(summarize_study(study, ["optimize", "--study", "compared"], stopped=False))
    return out.getvalue().splitlines()


def test_how_far_the_model_can_be_relied_on(search: Callable[..., Job]) -> None:
    study = search()
    study.model.parent.mkdir(parents=True)
    study.model.touch()
    write_card(study.model, {"sha256": "m", "sure": {"threshold": 0.871, "accuracy": 0.9732, "share": 0.84}})
    assert "Sure:  97.3% right where it is 87.1% sure or more: 84% of the validation images" in print_summary(study)
    write_card(study.model, {"sha256": "m", "sure": None})
    assert not [line for line in print_summary(study) if line.startswith("Sure")]


def test_likely_label_errors_are_named(search: Callable[..., Job]) -> None:
    """Five images that look like another class with certainty, beside 95 that look like their own."""
    study = search()
    wrong = np.arange(0, 100, 20)
    labels = np.arange(100) % 2
    probabilities = np.where(labels[:, None] == [0, 1], 0.9, 0.1).astype(np.float32)
    probabilities[wrong] = np.where([[1, 0]], 0.01, 0.99)
    names = [f"{number}.png" for number in range(100)]
    study.model.parent.mkdir(parents=True)
    study.model.touch()
    write_card(study.model, {"sha256": "m"})
    path = study.workspace.predictions(study.name, "validation")
    write_predictions(path, Predictions(names, labels, probabilities, ["cat", "dog"]), "m")
    lines = print_summary(study)
    place = lines.index("Look at: 5 of 100 validation images that may be filed under the wrong class, most likely")
    assert lines[place + 1 : place + 3] == [
        "      0.png: filed under cat, looks like dog (99.0%)",
        "      20.png: filed under cat, looks like dog (99.0%)",
    ]
    write_card(study.model, {"sha256": "another one"})
    assert not [line for line in print_summary(study) if "wrong class" in line]


def test_a_finished_grid_is_over(search: Callable[..., Job]) -> None:
    study = search()
    assert [line for line in print_summary(study) if line.startswith("Go on with: ")]
    with contextlib.closing(open_storage(study.url)) as storage:
        storage.set_study_user_attr(storage.get_study_id_from_name(study.name), EXHAUSTED, True)
    lines = print_summary(study)
    assert lines[-1] == "The grid is finished: each of its points was tried."
    assert not [line for line in lines if line.startswith("Go on with: ")]


def show_status(folder: Path, *args: str) -> str:
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        main(["status", "compared", *args])
    return out.getvalue()


SENTENCE = (
    "residual won: 0.8312 against inception 0.8120 (with 0.6x the MACs) and sequential 0.7805 (with 2x the MACs); "
    "no complete trial of transfer"
)


def test_the_closing_lines_compare_the_search_spaces(search: Callable[..., Job]) -> None:
    lines = print_summary(search())
    head = next(number for number, line in enumerate(lines) if "search space" in line)
    columns = ["trials", "complete", "pruned", "time", "best", "val_accuracy", "params", "MACs", "epochs"]
    assert lines[head].split() == ["search", "space", *columns]
    assert [line.split() for line in lines[head + 2 : head + 6]] == [
        ["★", "residual", "1", "1", "0", "1m15s", "0.8312", "62.3k", "10M", "2"],
        ["inception", "2", "1", "1", "2m30s", "0.8120", "62.3k", "6M", "3"],
        ["sequential", "1", "1", "0", "1m15s", "0.7805", "62.3k", "20M", "1"],
        ["transfer", "1", "0", "1", "1m15s"],
    ]
    assert SENTENCE in lines


def test_status_compares_them_too_and_json_stays_a_list_of_trials(search: Callable[..., Job]) -> None:
    study = search()
    output = show_status(study.workspace.root)
    assert SENTENCE in output.splitlines()
    assert "★ residual" in output
    assert [trial["facts"]["space"] for trial in json.loads(show_status(study.workspace.root, "--json"))] == [
        space for space, *_ in TRIALS
    ]


def test_one_search_space_is_compared_with_nothing(search: Callable[..., Job]) -> None:
    study = search([("residual", 0.8, 1000)])
    assert not [
        line for line in [*print_summary(study), *show_status(study.workspace.root).splitlines()] if "won" in line
    ]


def test_nothing_is_compared_before_the_first_trial_has_ended(search: Callable[..., Job]) -> None:
    assert "search space" not in show_status(search([]).workspace.root)


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        ([0.91, 0.93, 0.92], "      the first known point, trial 0, had 0.9100 after 1 epoch of 2"),
        ([None, 0.93], "      the first known point, trial 0, had 0.5000 after 1 epoch of 2"),
        ([0.93, 0.91, None], "      the first known point; 2 further trials brought nothing better"),
        ([0.93], None),
    ],
)
def test_what_the_search_has_brought(search: Callable[..., Job], scores: list[float | None], line: str | None) -> None:
    printed = print_summary(search([("sequential", score, 1000) for score in scores]))
    assert [text for text in printed if "first known point" in text] == ([line] if line else [])


def test_what_there_is_to_beat(search: Callable[..., Job]) -> None:
    assert "To beat: googlenet 0.8191, cifar10_convnet 0.6709" in print_summary(search())


def test_nothing_published_is_nothing_to_beat(search: Callable[..., Job]) -> None:
    assert not [line for line in print_summary(search(published={})) if "To beat" in line]


@pytest.mark.parametrize(
    ("card", "note"),
    [
        ({"trial": 1, "scores": {"validation": {"accuracy": 0.8312}}}, ""),
        ({"trial": 1}, OTHER_SEARCH),
        ({"trial": 1, "scores": [0.8312]}, OTHER_SEARCH),
        ({"trial": [1]}, OTHER_SEARCH),
        (7, ""),
        (None, ""),
        ([["trial", 1]], ""),
    ],
)
def test_a_card_of_no_model_is_not_a_traceback(search: Callable[..., Job], card: object, note: str) -> None:
    study = search()
    model = study.workspace.best_model(study.name)
    model.parent.mkdir()
    model.touch()
    model.with_suffix(".json").write_text(json.dumps(card))
    line = f"Model: studies/compared/best.keras{note}"
    assert line in show_status(study.workspace.root).splitlines()
    assert f"{line} (will be verified when the search continues)" in print_summary(study)


def make_space(name: str, value: float | None, macs: int = 100) -> SpaceSummary:
    best = None if value is None else TrialSummary(0, "COMPLETE", value, 1, 1.0, {"params": 1, "macs": macs})
    return SpaceSummary(name, 1, int(value is not None), 0, 1.0, best)


@pytest.mark.parametrize(
    ("spaces", "sentence"),
    [
        ([make_space("a", 0.9), make_space("b", 0.8, 250)], "a won: 0.9000 against b 0.8000 (with 2.5x the MACs)"),
        (
            [make_space("a", 0.90001), make_space("b", 0.9)],
            "a was the first at 0.9000 against b 0.9000 (with 1x the MACs)",
        ),
        ([make_space("a", 0.9), make_space("b", None), make_space("c", None)], "only a has a complete trial: 0.9000"),
        ([make_space("a", None), make_space("b", None)], "no complete trial yet of a and b"),
        ([make_space("a", 0.9, 0), make_space("b", 0.8, 0)], "a won: 0.9000 against b 0.8000 (with 0x the MACs)"),
    ],
)
def test_one_sentence_says_which_won(spaces: list[SpaceSummary], sentence: str) -> None:
    assert format_verdict(spaces) == sentence


@pytest.mark.parametrize(
    ("accuracy", "lines"),
    [
        (0.7943, ["googlenet 0.8191 (ours is 0.0248 lower)", "cifar10_convnet 0.6709 (ours is 0.1234 higher)"]),
        (0.8191, ["googlenet 0.8191 (ours is the same)", "cifar10_convnet 0.6709 (ours is 0.1482 higher)"]),
    ],
)
def test_our_score_beside_published_ones(accuracy: float, lines: list[str]) -> None:
    assert list(compare_with_published(accuracy, PUBLISHED)) == [f"published: {line}" for line in lines]


def test_status_says_what_the_plan_is_and_where_the_time_went(search: Callable[..., Job]) -> None:
    study = search()
    stored = StoredStudy(open_storage(study.url), study.name, study.config.objective)
    with stored.run(elapsed=50.0):
        with Session(stored.storage.engine) as session, session.begin():
            for run in session.scalars(select(RunRow)):
                run.started_at -= timedelta(seconds=150)
        trial = stored.start_trial()
        facts = {"space": "inception", "params": 1, "macs": 1, "hyperparameters": {}, "spent": {"training": 150.0}}
        stored.finish(trial, TrialState.COMPLETE, 0.1, facts)
        stored.note_plan(Planned(12, 4, is_last=False, seconds=100.0, last_seconds=300.0))
        printed = show_status(study.workspace.root)
    assert "exploring: 12 networks, 4 of them went on; in 1m" in printed
    assert "Time: 75% training, 25% starting" in printed
    assert "exploring" not in show_status(study.workspace.root)

"""The property that everything rests on: an interrupted search that is resumed equals the uninterrupted one."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.errors import InfeasibleError
from searchcnn.events import Epoch
from searchcnn.search import Budget, Evaluation, InterruptedTrialError, Search, SeededSampler, Trial, TrialPrunedError
from searchcnn.store import StoredStudy

OpenStudy = Callable[..., tuple[StoredStudy, SeededSampler]]

TRIALS = 12
EPOCHS = 4


class Evaluator:
    """A fake training over a conditional space with infeasible, failing, pruned and complete points.

    Args:
        at: Where to be interrupted: the trial's number and the epochs that are finished by then; epoch -1 is before
            anything is durable, 0 before the first epoch.
        how: ``"stop"``, by the stop event, or ``"death"``, by an exception that nothing on its way expects.
    """

    def __init__(self, at: tuple[int, int] = (-1, 0), how: str = "") -> None:
        self.at = at
        self.how = how
        self.stop = threading.Event()

    def __call__(self, trial: Trial) -> Evaluation:
        x = trial.suggest("x", FloatDistribution(0.01, 1, log=True), trial.preset.get("x"))
        kind = trial.suggest("kind", CategoricalDistribution(("a", "b", "c")), trial.preset.get("kind"))
        depth = trial.suggest("depth", IntDistribution(1, 4)) if kind != "a" else 0
        width = trial.suggest("width@kind=c", FloatDistribution(0, 1, step=0.25)) if kind == "c" else 0.0
        self.interrupt(trial, -1)
        trial.describe(space="fake", hyperparameters={"x": x, "kind": kind})
        self.interrupt(trial, 0)
        if depth == 4:
            raise InfeasibleError("max_params", f"{depth} > 3", excess=width + 0.1)
        if kind == "b" and x > 0.5:
            raise ArithmeticError(f"x is {x}")
        for epoch in range(1, EPOCHS + 1):
            value = (x + width + depth / 10) * epoch + (trial.seed % 1000) / 1e6
            going_on = trial.report(Epoch(epoch, {"val_accuracy": value, "loss": -value}, x / epoch, epoch / 10), value)
            self.interrupt(trial, epoch)
            if not going_on:
                raise TrialPrunedError
        assert trial.best is not None
        return Evaluation(trial.best)

    def interrupt(self, trial: Trial, epoch: int) -> None:
        if (trial.number, epoch) != self.at:
            return
        if self.how == "stop":
            self.stop.set()
            assert trial.is_interrupted
            raise InterruptedTrialError
        raise KeyboardInterrupt


def work(open_study: OpenStudy, file: Path, seed: int, evaluator: Evaluator) -> StoredStudy:
    """Works as one process does: it opens the file, and shares nothing else with the one before."""
    study, sampler = open_study(
        file=file,
        sampler={"name": "TPESampler", "n_startup_trials": 3},
        pruner="SuccessiveHalvingPruner",
        seed=seed,
        epochs=EPOCHS,
    )
    study.begin([("default", {"x": 0.1, "kind": "a"}), ("baseline", {"kind": "c"})])
    budget = Budget(TRIALS, None)
    try:
        with study.run():  # left by a dying process too, so that its process number does not look alive here
            Search(study, sampler, evaluator, budget, max_failures=TRIALS, seed=seed).run(stop=evaluator.stop)
    except KeyboardInterrupt:
        pass
    return study


def read_everything(study: StoredStudy) -> list[Any]:
    """Returns all that a study holds, but for dates and seconds."""
    return [
        (
            trial.number,
            trial.state.name,
            trial.value,
            trial.params,
            trial.distributions,
            trial.intermediate_values,
            trial.constraints,
            {key: fact for key, fact in trial.user_attrs.items() if key != "traceback"},
            {key: value for key, value in trial.system_attrs.items() if key.startswith("completed_rung_")},
            study.read_curve(trial.number),
        )
        for trial in study.list_trials()
    ]


@pytest.fixture(scope="module")
def straight() -> dict[int, list[Any]]:
    """Keeps what the uninterrupted searches found, by seed."""
    return {}


INTERRUPTIONS = st.lists(
    st.tuples(st.integers(0, TRIALS - 1), st.integers(-1, EPOCHS), st.sampled_from(["stop", "death"])), max_size=4
)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2), interruptions=INTERRUPTIONS)
def test_an_interrupted_search_equals_the_uninterrupted_one(
    open_study: OpenStudy,
    tmp_path_factory: pytest.TempPathFactory,
    straight: dict[int, list[Any]],
    seed: int,
    interruptions: list[tuple[int, int, str]],
) -> None:
    folder = tmp_path_factory.mktemp("resume")
    if seed not in straight:
        straight[seed] = read_everything(work(open_study, folder / "straight.db", seed, Evaluator()))
    for trial, epoch, how in sorted(interruptions):
        work(open_study, folder / "x.db", seed, Evaluator((trial, epoch), how))
    resumed = read_everything(work(open_study, folder / "x.db", seed, Evaluator()))
    assert resumed == straight[seed]


def test_the_uninterrupted_search_meets_every_end(open_study: OpenStudy, tmp_path: Path) -> None:
    """The property above would say little if its trials all ended in the same way."""
    ends, kinds = set(), set()
    for seed in range(3):
        trials = work(open_study, tmp_path / f"{seed}.db", seed, Evaluator()).list_trials()
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert sum(trial.user_attrs.get("reason") != "max_params" for trial in trials) == TRIALS
        assert trials[0].params == {"x": 0.1, "kind": "a"}
        ends |= {(trial.state.name, trial.user_attrs.get("reason")) for trial in trials}
        kinds |= {trial.params["kind"] for trial in trials}
    assert ends == {("COMPLETE", None), ("PRUNED", "pruner"), ("PRUNED", "max_params"), ("FAIL", "error")}
    assert kinds == {"a", "b", "c"}


@pytest.mark.parametrize("how", ["stop", "death"])
def test_an_interruption_really_interrupts(open_study: OpenStudy, tmp_path: Path, how: str) -> None:
    trials = work(open_study, tmp_path / "x.db", 0, Evaluator((1, 0), how)).list_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "RUNNING"]

"""Overhead of a no-op trial: the engine on SQLite beside plain Optuna on SQLite and on the hardened storage.

Each trial samples 10 parameters and reports 10 epochs. Run: python benchmarks/overhead.py [trials]
"""

import sys
import tempfile
import time
from pathlib import Path

import optuna
from sqlalchemy.engine import make_url

from searchcnn.events import Epoch
from searchcnn.search import Budget, Evaluation, Search, Trial, make_pruner, make_sampler
from searchcnn.store import StoredStudy, open_storage
from searchcnn.study import ComponentConfig, Objective

PARAMETERS, EPOCHS = 10, 10
DISTRIBUTION = optuna.distributions.FloatDistribution(0.0, 1.0)
PRUNER = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def score_trial(trial: optuna.Trial) -> float:
    values = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(PARAMETERS)]
    for epoch in range(EPOCHS):
        trial.report(sum(values) + epoch, step=epoch + 1)
        if trial.should_prune():
            raise optuna.TrialPruned
    return sum(values)


def evaluate(trial: Trial) -> Evaluation:
    values = [trial.suggest(f"x{i}", DISTRIBUTION) for i in range(PARAMETERS)]
    trial.describe(hyperparameters={f"x{i}": value for i, value in enumerate(values)})
    for epoch in range(EPOCHS):
        trial.report(Epoch(epoch + 1, {"loss": 1.0, "val_accuracy": 0.5}, 0.001, 0.1), sum(values) + epoch)
    return Evaluation(sum(values))


def run_plain(folder: Path, trials: int, prune: bool) -> float:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = PRUNER if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(storage=f"sqlite:///{folder}/plain{prune}.db", pruner=pruner)
    start = time.perf_counter()
    study.optimize(score_trial, n_trials=trials)
    return time.perf_counter() - start


def run_hardened(folder: Path, trials: int) -> float:
    storage = open_storage(make_url(f"sqlite:///{folder}/hardened.db"))
    study = optuna.create_study(storage=storage, pruner=optuna.pruners.NopPruner())
    start = time.perf_counter()
    study.optimize(score_trial, n_trials=trials)
    return time.perf_counter() - start


def run_engine(folder: Path, trials: int, sampler: str, pruner: str) -> float:
    storage = open_storage(make_url(f"sqlite:///{folder}/{sampler}{pruner}.db"))
    choice = make_sampler(ComponentConfig(name=sampler), 0)
    study = StoredStudy(
        storage, "s", Objective("val_accuracy", "maximize"), choice, make_pruner(ComponentConfig(name=pruner), EPOCHS)
    )
    start = time.perf_counter()
    with study.run():
        Search(study, choice, evaluate, Budget(trials, None)).run()
    return time.perf_counter() - start


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, seconds in (
            ("plain Optuna, no pruner", run_plain(folder, n, prune=False)),
            ("Optuna's loop on our storage, no pruner", run_hardened(folder, n)),
            ("engine, no pruner", run_engine(folder, n, "TPESampler", "NopPruner")),
            ("engine, random, no pruner", run_engine(folder, n, "RandomSampler", "NopPruner")),
            ("engine, successive halving", run_engine(folder, n, "TPESampler", "SuccessiveHalvingPruner")),
        ):
            print(f"{label:42} {1000 * seconds / n:6.1f} ms a trial")

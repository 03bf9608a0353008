"""How well the seconds of an epoch are predicted: each network of a study from those that were trained before it.

Run: python benchmarks/cost.py studies/NAME.db
"""

import math
import statistics
import sys

import optuna

from searchcnn.search.scheduler import Standing, predict_pace
from searchcnn.store import MACS, PACE, SPACE


def read_standings(file: str) -> list[Standing]:
    """Returns the networks of a study whose seconds were measured."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = optuna.load_study(study_name=None, storage=f"sqlite:///{file}").get_trials()
    facts = [(trial.number, trial.user_attrs) for trial in trials if PACE in trial.user_attrs]
    return [Standing(number, (1,), (), fact[PACE], fact[MACS], fact[SPACE]) for number, fact in facts]


def list_ratios(standings: list[Standing]) -> list[float]:
    """Returns measured / predicted of each network but the first, in their order."""
    ratios = []
    for place, standing in enumerate(standings):
        predicted = predict_pace(standings[:place], standing.macs, standing.space)
        if predicted and standing.pace:
            ratios.append(standing.pace / predicted)
    return ratios


def main() -> None:
    ratios = list_ratios(read_standings(sys.argv[1]))
    factors = sorted(math.exp(abs(math.log(ratio))) for ratio in ratios)
    median, ninth = statistics.median(factors), factors[int(0.9 * len(factors))]
    print(f"{len(factors)} networks: wrong by a factor of {median:.2f} (median), {ninth:.2f} (nine of ten are better)")


if __name__ == "__main__":
    main()

"""The recorded points as a search space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.replay.curves import Curve
from searchcnn.search import Trial


class Points:
    """The recorded points as a search space: a trial is asked for a point, and gets the nearest one that is left.

    Which hyperparameters a point has depends on its others; that is read off the points.

    Args:
        curves: What was recorded.
    """

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.curves = curves
        values: dict[str, list[Any]] = {}
        for curve in curves:
            for name, value in curve.hyperparameters.items():
                values.setdefault(name, []).append(value)
        self._distributions = {name: _make_distribution(found) for name, found in values.items()}

    def choose(self, trial: Trial, taken: Sequence[int]) -> int:
        """Returns which curve a trial gets: the nearest of those that were not taken, while there are any."""
        asked = self._ask(trial)
        left = set(range(len(self.curves))) - set(taken) or set(range(len(self.curves)))
        return min(sorted(left), key=lambda number: self._measure(asked, self.curves[number].hyperparameters))

    def _ask(self, trial: Trial) -> dict[str, Any]:
        """Asks for the hyperparameters that all points like the one so far have, until it has them all."""
        asked: dict[str, Any] = {}
        points = [curve.hyperparameters for curve in self.curves]
        while points:
            common = [name for name in points[0] if name not in asked and all(name in point for point in points)]
            asked |= {name: trial.suggest(name, self._distributions[name]) for name in common}
            points = self._narrow(points, asked)
        return asked

    def _narrow(self, points: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Returns the points that agree in what explains best which further hyperparameters they have; none at last."""
        further = {name for point in points for name in point} - set(asked)
        if not further or len(points) < 2:
            return []
        name = max(points[0], key=lambda name: _explain(points, name, further) if name in asked else -1.0)
        values = {point[name] for point in points}
        if len(values) < 2 or _explain(points, name, further) == 0:
            return []
        nearest = min(sorted(values, key=str), key=lambda value: self._compare(name, value, asked[name]))
        return [point for point in points if point[name] == nearest]

    def _measure(self, asked: Mapping[str, Any], point: Mapping[str, Any]) -> float:
        """Returns how far a recorded point is from one that was asked for; another search space is infinitely far."""
        if asked.get("space") != point.get("space"):
            return math.inf
        return sum(self._compare(name, value, point[name]) if name in point else 1.0 for name, value in asked.items())

    def _compare(self, name: str, one: Any, other: Any) -> float:
        distribution = self._distributions[name]
        if not isinstance(distribution, (IntDistribution, FloatDistribution)):
            return float(one != other)
        low, high, *pair = distribution.low, distribution.high, one, other
        if distribution.log:
            low, high, *pair = (math.log(value) for value in (low, high, *pair))
        return abs(pair[0] - pair[1]) / (high - low) if high > low else 0.0


def _make_distribution(values: Sequence[Any]) -> BaseDistribution:
    """Returns the range, or the choices, that recorded values came from."""
    kinds = sorted(set(values), key=lambda value: (str(type(value)), value))
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in kinds)
    if not is_number or (len(kinds) <= 4 and any(isinstance(value, float) for value in kinds)):
        return CategoricalDistribution(kinds)
    is_log = kinds[0] > 0 and kinds[-1] / kinds[0] >= 8
    if all(isinstance(value, int) for value in kinds):
        return IntDistribution(kinds[0], kinds[-1], log=is_log)
    return FloatDistribution(kinds[0], kinds[-1], log=is_log)


def _explain(points: Sequence[Mapping[str, Any]], name: str, further: set[str]) -> float:
    """Returns how many hyperparameters have, given the value of one, all points of that value or none."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for point in points:
        groups.setdefault(point[name], []).append(point)
    shares = [[fmean(other in point for point in group) for group in groups.values()] for other in further]
    explained = sum(all(share in (0, 1) for share in each) and len(set(each)) > 1 for each in shares)
    return explained - 0.01 * len(groups) if explained else 0.0  # that which has the fewest values, if several do

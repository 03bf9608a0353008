"""When a hyperparameter is asked for: inferred from points that were tried out."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from searchcnn.testing.sample import Sample
from searchcnn.text import short

MOST_TERMS = 3
"""Conditions of more terms are not looked for."""
DISCRETE = 12
"""A number with more values than this is compared with its bounds only."""


@dataclass(frozen=True)
class Term:
    """A comparison of one hyperparameter, such as ``blocks >= 3`` or ``head = flatten``.

    Attributes:
        name: The hyperparameter.
        operator: One of ``=``, ``>=`` and ``<=``.
        values: With what it is compared; one of several for ``=``.
    """

    name: str
    operator: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Returns it as a user reads it."""
        return f"{self.name} {self.operator} {' or '.join(map(short, self.values))}"

    def holds(self, sample: Sample) -> bool:
        """Whether it holds at a point; not where its hyperparameter is not asked for."""
        if self.name not in sample.values:
            return False
        value = sample.values[self.name]
        if self.operator == "=":
            return value in self.values
        return bool(value >= self.values[0] if self.operator == ">=" else value <= self.values[0])


def condition(name: str, samples: Sequence[Sample]) -> str:
    """Returns when a hyperparameter is asked for: nothing for always, "sometimes" if no simple condition fits.

    Args:
        name: The hyperparameter.
        samples: Points with a network, in which it is asked for or not.
    """
    asked = [sample for sample in samples if name in sample.values]
    others = [sample for sample in samples if name not in sample.values]
    if not others:
        return ""
    order = [hp.name for hp in asked[0].declared]
    terms = _useful(list(_necessary(name, asked, samples)), others)
    for count in range(1, MOST_TERMS + 1):
        for chosen in itertools.combinations(terms, count):
            if not any(all(term.holds(sample) for term in chosen) for sample in others):
                return ", ".join(str(term) for term in sorted(chosen, key=lambda term: order.index(term.name)))
    return _either(asked, others) or "sometimes"


def _either(asked: Sequence[Sample], others: Sequence[Sample]) -> str:
    """Returns the choices each of which is enough, and one of which is always made; nothing if there are none."""
    terms = {
        Term(hp.name, "=", (sample.values[hp.name],))
        for sample in asked
        for hp in sample.active
        if not hasattr(hp, "min_value")
    }
    enough = sorted((term for term in terms if not any(map(term.holds, others))), key=str)
    chosen: list[Term] = []
    left = list(asked)
    while left and enough and len(chosen) < MOST_TERMS:
        chosen.append(max(enough, key=lambda term: sum(map(term.holds, left))))
        left = [sample for sample in left if not chosen[-1].holds(sample)]
    return "" if left else " or ".join(map(str, chosen))


def _necessary(name: str, asked: Sequence[Sample], samples: Sequence[Sample]) -> Iterator[Term]:
    """Yields what holds at each point where the hyperparameter is asked for, the nearest declared before it first."""
    order = [hp.name for hp in asked[0].declared]
    for hp in reversed(asked[0].declared[: order.index(name)]):
        if all(hp.name in sample.values for sample in asked):
            taken = {sample.values[hp.name] for sample in asked}
            known = {sample.values[hp.name] for sample in samples if hp.name in sample.values}
            yield from _terms(hp, taken, known)


def _terms(hp: Any, taken: set[Any], known: set[Any]) -> Iterator[Term]:
    """Yields a comparison that all taken values pass and the other known ones do not, if there is a simple one."""
    rest = known - taken
    is_number = hasattr(hp, "min_value")
    if not rest or (is_number and _count(hp) > DISCRETE):
        return
    if is_number and len(taken) > 1 and min(taken) > max(rest):
        yield Term(hp.name, ">=", (min(taken),))
    elif is_number and len(taken) > 1 and max(taken) < min(rest):
        yield Term(hp.name, "<=", (max(taken),))
    elif not is_number or len(taken) <= 2:
        yield Term(hp.name, "=", tuple(sorted(taken, key=str)))


def _count(hp: Any) -> float:
    """Returns how many values a number can have."""
    if hp.step is None:
        return float("inf") if type(hp).__name__ == "Float" else hp.max_value - hp.min_value + 1
    if getattr(hp, "sampling", None) in (None, "linear"):
        return float((hp.max_value - hp.min_value) / hp.step + 1)
    return math.log(hp.max_value / hp.min_value, hp.step) + 1


def _useful(terms: Sequence[Term], others: Sequence[Sample]) -> list[Term]:
    """Returns the terms that fail somewhere, those that fail most often first."""
    fails = {term: sum(not term.holds(sample) for sample in others) for term in terms}
    return sorted((term for term in terms if fails[term]), key=lambda term: -fails[term])

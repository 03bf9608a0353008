"""Infers when a hyperparameter is asked for, from points that were tried out."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from searchcnn.testing.sample import Sample
from searchcnn.text import format_value

MAX_TERMS = 3
"""Conditions with more terms are not looked for."""
DISCRETE = 12
"""A number with more values than this is compared with its bounds only."""


@dataclass(frozen=True)
class Term:
    """A comparison of one hyperparameter, such as ``blocks >= 3`` or ``head = flatten``.

    Attributes:
        name: The hyperparameter.
        operator: One of ``=``, ``>=`` and ``<=``.
        values: What it is compared with; any one of them for ``=``.
    """

    name: str
    operator: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Returns the term as users read it."""
        return f"{self.name} {self.operator} {' or '.join(map(format_value, self.values))}"

    def holds(self, sample: Sample) -> bool:
        """Whether it holds at a point; it does not if its hyperparameter is not asked for there."""
        if self.name not in sample.values:
            return False
        value = sample.values[self.name]
        if self.operator == "=":
            return value in self.values
        return bool(value >= self.values[0] if self.operator == ">=" else value <= self.values[0])


def infer_condition(name: str, samples: Sequence[Sample]) -> str:
    """Returns when a hyperparameter is asked for: empty for always, "sometimes" if no simple condition fits.

    Args:
        name: The hyperparameter.
        samples: Points that have a network, whether or not it is asked for in them.
    """
    contexts = [sample for sample in samples if name in sample.values]
    others = [sample for sample in samples if name not in sample.values]
    if not others:
        return ""
    order = [hp.name for hp in contexts[0].declared]
    terms = _select_useful(list(_find_necessary(name, contexts, samples)), others)
    for count in range(1, MAX_TERMS + 1):
        for combination in itertools.combinations(terms, count):
            if not any(all(term.holds(sample) for term in combination) for sample in others):
                return ", ".join(str(term) for term in sorted(combination, key=lambda term: order.index(term.name)))
    return _find_alternatives(contexts, others) or "sometimes"


def _find_alternatives(contexts: Sequence[Sample], others: Sequence[Sample]) -> str:
    """Returns choices of which one is always made, and each of which is sufficient; empty if there are none."""
    terms = {
        Term(hp.name, "=", (sample.values[hp.name],))
        for sample in contexts
        for hp in sample.active
        if not hasattr(hp, "min_value")
    }
    sufficient = sorted((term for term in terms if not any(map(term.holds, others))), key=str)
    alternatives: list[Term] = []
    rest = list(contexts)
    while rest and sufficient and len(alternatives) < MAX_TERMS:
        alternatives.append(max(sufficient, key=lambda term: sum(map(term.holds, rest))))
        rest = [sample for sample in rest if not alternatives[-1].holds(sample)]
    return "" if rest else " or ".join(map(str, alternatives))


def _find_necessary(name: str, contexts: Sequence[Sample], samples: Sequence[Sample]) -> Iterator[Term]:
    """Yields terms that hold wherever the hyperparameter is asked for, the last one declared before it first."""
    order = [hp.name for hp in contexts[0].declared]
    for hp in reversed(contexts[0].declared[: order.index(name)]):
        if all(hp.name in sample.values for sample in contexts):
            values = {sample.values[hp.name] for sample in contexts}
            all_values = {sample.values[hp.name] for sample in samples if hp.name in sample.values}
            yield from _find_terms(hp, values, all_values - values)


def _find_terms(hp: Any, values: set[Any], rest: set[Any]) -> Iterator[Term]:
    """Yields a comparison that all of the values pass and the rest do not, if there is a simple one."""
    is_number = hasattr(hp, "min_value")
    if not rest or (is_number and _count_values(hp) > DISCRETE):
        return
    if is_number and len(values) > 1 and min(values) > max(rest):
        yield Term(hp.name, ">=", (min(values),))
    elif is_number and len(values) > 1 and max(values) < min(rest):
        yield Term(hp.name, "<=", (max(values),))
    elif not is_number or len(values) <= 2:
        yield Term(hp.name, "=", tuple(sorted(values, key=str)))


def _count_values(hp: Any) -> float:
    """Returns how many values a numeric hyperparameter can have."""
    if hp.step is None:
        return float("inf") if type(hp).__name__ == "Float" else hp.max_value - hp.min_value + 1
    if getattr(hp, "sampling", None) in (None, "linear"):
        return float((hp.max_value - hp.min_value) / hp.step + 1)
    return math.log(hp.max_value / hp.min_value, hp.step) + 1


def _select_useful(terms: Sequence[Term], others: Sequence[Sample]) -> list[Term]:
    """Returns the terms that fail somewhere, those that fail most often first."""
    failures = {term: sum(not term.holds(sample) for sample in others) for term in terms}
    return sorted((term for term in terms if failures[term]), key=lambda term: -failures[term])

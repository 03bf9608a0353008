"""Whether each hyperparameter that is asked for changes the network."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from searchcnn.testing.sample import Sample
from searchcnn.testing.subject import Image, Subject

PROBABILITIES = (0.0, 0.999, 0.5, 0.25, 0.75)
"""Where in its range a hyperparameter's other values are looked for."""
MOST_VALUES = 4
"""Other values of a hyperparameter that are tried out."""
LARGER = 8
"""On images this much larger a hyperparameter may matter that does not matter on maps of one pixel."""


@dataclass
class Contexts:
    """The points in which a hyperparameter is asked for; those that differ most from the ones before come first.

    Attributes:
        waiting: The points.
        seen: Names and values of the points that have been taken.
    """

    waiting: list[Sample]
    seen: set[tuple[str, Any]] = field(default_factory=set)

    def take(self) -> Sample:
        """Removes and returns the next point."""
        best = max(self.waiting, key=lambda sample: len(sample.values.items() - self.seen))
        self.waiting.remove(best)
        self.seen |= best.values.items()
        return best


def pairs(samples: list[Sample], count: int) -> Iterator[tuple[Sample, Any]]:
    """Yields points with a hyperparameter that is asked for in them: each hyperparameter in turn, so many in all.

    Each one comes at least once.

    Args:
        samples: Points that have a network.
        count: Number of pairs, if there are as many hyperparameters or fewer.
    """
    known = {one.name: Contexts([]) for sample in samples for one in sample.active}
    for sample in samples:
        for name in {one.name for one in sample.active}:
            known[name].waiting.append(sample)
    taken = 0
    is_first = True
    while taken < count or is_first:
        turns = [(name, contexts) for name, contexts in known.items() if contexts.waiting]
        if not turns:
            return
        for name, contexts in turns:
            if taken < count or is_first:
                sample = contexts.take()
                yield sample, next(one for one in sample.active if one.name == name)
                taken += 1
        is_first = False


def other_values(hp: Any, value: Any) -> list[Any]:
    """Returns some other values of a hyperparameter, the ends of its range first."""
    values = getattr(hp, "values", None) if type(hp).__name__ in ("Choice", "Boolean") else None
    known = list(values) if values is not None else [hp.prob_to_value(probability) for probability in PROBABILITIES]
    return [one for one in dict.fromkeys([*known, hp.default]) if one != value][:MOST_VALUES]


def is_dead(subject: Subject, sample: Sample, hp: Any) -> bool:
    """Whether no other value of a hyperparameter changes the network, neither for the usual images nor larger ones.

    A hyperparameter with one value is not dead: it is a constant with a name.
    """
    others = other_values(hp, sample.values[hp.name])
    if not others or _changes(subject, sample, hp.name, others):
        return False
    larger = _larger(subject)
    return larger is None or not _changes(subject, subject.point(sample.values, larger), hp.name, others, larger)


def is_leaking(subject: Subject, sample: Sample, hp: Any) -> bool:
    """Whether another value of a hyperparameter changes the network although a conditional scope switches it off."""
    if hp.name in sample.values:
        return False
    others = other_values(hp, None)
    return any(subject.point({**sample.values, hp.name: value}).signature != sample.signature for value in others)


def _changes(subject: Subject, sample: Sample, name: str, others: list[Any], space: Any | None = None) -> bool:
    points = (subject.point({**sample.values, name: value}, space) for value in others)
    return any(one.signature != sample.signature for one in points)


def _larger(subject: Subject) -> Any | None:
    """Returns the space for larger images, if it says for what images it is."""
    if not subject.has_sizes:
        return None
    height, width, channels = subject.image
    image: Image = (LARGER * height, LARGER * width, channels)
    return subject.create(image)

"""Finds out whether each hyperparameter that is asked for changes the network."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from searchcnn.testing.sample import Sample
from searchcnn.testing.subject import Image, Subject

PROBABILITIES = (0.0, 0.999, 0.5, 0.25, 0.75)
"""Positions in the range of a hyperparameter from which its other values are taken."""
MAX_VALUES = 4
"""Maximum number of other values of a hyperparameter that are tried."""
LARGER = 8
"""Factor by which images are enlarged: a hyperparameter may not matter on maps of one pixel, but on larger ones."""


@dataclass
class Contexts:
    """The points in which a hyperparameter is asked for; those that differ most from earlier ones come first.

    Attributes:
        waiting: The points that have not been taken.
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


def pick_pairs(samples: list[Sample], count: int) -> Iterator[tuple[Sample, Any]]:
    """Yields pairs of a point and a hyperparameter that is asked for in it, each hyperparameter in turn.

    Each hyperparameter comes at least once.

    Args:
        samples: Points that have a network.
        count: Number of pairs, unless there are more hyperparameters.
    """
    contexts_of = {hp.name: Contexts([]) for sample in samples for hp in sample.active}
    for sample in samples:
        for name in {hp.name for hp in sample.active}:
            contexts_of[name].waiting.append(sample)
    total = 0
    is_first = True
    while total < count or is_first:
        turns = [(name, contexts) for name, contexts in contexts_of.items() if contexts.waiting]
        if not turns:
            return
        for name, contexts in turns:
            if total < count or is_first:
                sample = contexts.take()
                yield sample, next(hp for hp in sample.active if hp.name == name)
                total += 1
        is_first = False


def list_other_values(hp: Any, value: Any) -> list[Any]:
    """Returns some other values of a hyperparameter, the ends of its range first."""
    choices = getattr(hp, "values", None) if type(hp).__name__ in ("Choice", "Boolean") else None
    values = list(choices) if choices is not None else [hp.prob_to_value(position) for position in PROBABILITIES]
    return [other for other in dict.fromkeys([*values, hp.default]) if other != value][:MAX_VALUES]


def is_dead(subject: Subject, sample: Sample, hp: Any) -> bool:
    """Whether no other value of a hyperparameter changes the network, neither for the usual images nor for larger ones.

    A hyperparameter with one value is not dead: it is a constant with a name.
    """
    others = list_other_values(hp, sample.values[hp.name])
    if not others or _changes(subject, sample, hp.name, others):
        return False
    larger = _create_larger(subject)
    return larger is None or not _changes(subject, subject.try_values(sample.values, larger), hp.name, others, larger)


def is_leaking(subject: Subject, sample: Sample, hp: Any) -> bool:
    """Whether another value of a hyperparameter changes the network although a conditional scope switches it off."""
    if hp.name in sample.values:
        return False
    others = list_other_values(hp, None)
    return any(subject.try_values({**sample.values, hp.name: value}).signature != sample.signature for value in others)


def _changes(subject: Subject, sample: Sample, name: str, others: list[Any], space: Any | None = None) -> bool:
    changed = (subject.try_values({**sample.values, name: value}, space) for value in others)
    return any(other.signature != sample.signature for other in changed)


def _create_larger(subject: Subject) -> Any | None:
    """Creates the space for larger images; None if it does not say which images it is for."""
    if not subject.has_sizes:
        return None
    height, width, channels = subject.image
    image: Image = (LARGER * height, LARGER * width, channels)
    return subject.create(image)

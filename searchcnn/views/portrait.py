"""What there is to see of a search space: its hyperparameters, its baselines, and one of its networks."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from searchcnn.errors import PluginError, UsageError, nearest
from searchcnn.search import Cost
from searchcnn.search.hyperparameters import Parameter, described
from searchcnn.testing.checks import first_network
from searchcnn.testing.sample import GivenPoint, RandomPoint, Sample
from searchcnn.testing.subject import Image, Subject
from searchcnn.text import point
from searchcnn.views.conditions import condition
from searchcnn.views.outline import Line, outline


@dataclass(frozen=True)
class Hyperparameter:
    """A row of the table of hyperparameters.

    Attributes:
        name: What it is asked for by.
        kind: Keras Tuner's: Int, Float, Choice, Boolean or Fixed.
        range: Its values, in words.
        default: Its value where nothing else is said.
        condition: When it is asked for; empty for always.
    """

    name: str
    kind: str
    range: str
    default: Any
    condition: str


@dataclass(frozen=True)
class Baseline:
    """A row of the table of baselines.

    Attributes:
        name: Its name.
        cost: Of the network that is exported.
        whole: Of the network that is trained, with its auxiliary heads.
        image: For which images; larger than usual where it has no network for those.
        error: Why there is no network; empty if there is one.
    """

    name: str
    cost: Cost
    whole: Cost
    image: Image
    error: str


@dataclass(frozen=True)
class Portrait:
    """What there is to see of a search space.

    Attributes:
        name: Its name.
        description: What it searches: the first paragraph of its docstring.
        reference: The paper or source behind it.
        location: Its file or module.
        image: Shape of the images: (height, width, channels) in pixels.
        classes: Number of classes.
        hyperparameters: Those that were asked for in some point.
        baselines: Its default point and its baselines.
        title: Which point the network is of.
        values: Of that point.
        sample: That point.
        network: Its lines.
    """

    name: str
    description: str
    reference: str
    location: str
    image: Image
    classes: int
    hyperparameters: list[Hyperparameter]
    baselines: list[Baseline]
    title: str
    values: dict[str, Any]
    sample: Sample
    network: list[Line]

    @classmethod
    def of(cls, subject: Subject, baseline: str | None, values: Mapping[str, Any], seed: int | None) -> Self:
        """Looks at a search space.

        Args:
            subject: The search space.
            baseline: Name of the baseline whose network is drawn; the default point's if it is None.
            values: Hyperparameters of the network that is drawn.
            seed: Draws a random network, as far as values are not given.

        Raises:
            UsageError: If there is no such baseline or hyperparameter, or the point has no network.
        """
        points = subject.loaded.baselines(subject.space)
        if baseline is not None and baseline not in points:
            known = nearest(baseline, points) or f"; it has {', '.join(points) or 'none'}"
            raise UsageError(f"search space '{subject.loaded.name}' has no baseline '{baseline}'{known}")
        chosen = {**points.get(baseline or "", {}), **values}
        samples = _samples(subject)
        _check(values, samples)
        sample, network = _network(subject, chosen, seed, samples)
        return cls(
            name=subject.loaded.name,
            description=_description(subject),
            reference=str(getattr(subject.space, "reference", "")),
            location=subject.loaded.location,
            image=subject.image,
            classes=subject.classes,
            hyperparameters=_hyperparameters(samples),
            baselines=[_baseline(subject, name, point) for name, point in {"default": {}, **points}.items()],
            title=_title(baseline, values, seed),
            values=sample.values,
            sample=sample,
            network=network,
        )

    def facts(self) -> dict[str, Any]:
        """Returns all of it as JSON has it."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "sample"}
        for key in ("hyperparameters", "baselines", "network"):
            facts[key] = [dataclasses.asdict(one) for one in facts[key]]
        return facts


def _samples(subject: Subject) -> list[Sample]:
    """Returns the points that have a network.

    Raises:
        PluginError: If there is none.
    """
    samples = [one for one in [subject.point({}), *subject.sampled] if one.is_network]
    if not samples:
        raise PluginError(f"search space '{subject.loaded.name}' has no network: {subject.sampled[0].error}")
    return samples


def _network(
    subject: Subject, values: Mapping[str, Any], seed: int | None, samples: Sequence[Sample]
) -> tuple[Sample, list[Line]]:
    """Returns a point and the lines of its network; samples say when a hyperparameter is asked for.

    Raises:
        UsageError: If it has none.
    """
    make = partial(GivenPoint, dict(values)) if seed is None else partial(RandomPoint, seed, dict(values))
    sample = subject.sample(make)
    if not sample.is_network:
        raise UsageError(f"this point has no network: {sample.error}; the point: {point(sample.values)}")
    if unused := [key for key in values if key not in sample.values]:
        when = condition(unused[0], samples)
        where = "at this point" if when in ("", "sometimes") else f"here, only with {when}"
        raise UsageError(f"'{unused[0]}' is not asked for {where}; this point: {point(sample.values)}")
    return sample, outline(subject.model(make))


def _check(values: Mapping[str, Any], samples: list[Sample]) -> None:
    """Refuses values that no hyperparameter can have.

    Raises:
        UsageError: If there is one.
    """
    known = {hp.name: hp for sample in samples for hp in sample.declared}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"there is no hyperparameter '{key}'{nearest(key, known)}")
        Parameter(known[key]).to_optuna(value)


def _hyperparameters(samples: list[Sample]) -> list[Hyperparameter]:
    declared = {hp.name: hp for sample in samples for hp in sample.active}
    order = _order([[hp.name for hp in sample.active] for sample in samples])
    return [
        Hyperparameter(name, type(hp).__name__, described(hp), hp.default, condition(name, samples))
        for name, hp in ((name, declared[name]) for name in order)
    ]


def _order(lists: list[list[str]]) -> list[str]:
    """Returns all names, each behind those that come before it wherever it is."""
    order: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name in order:
                place = max(place, order.index(name) + 1)
            else:
                order.insert(place, name)
                place += 1
    return order


def _baseline(subject: Subject, name: str, values: Mapping[str, Any]) -> Baseline:
    found, image = first_network(subject, values)
    return Baseline(name, found.cost, found.whole, image, found.error)


def _description(subject: Subject) -> str:
    target = subject.loaded.target
    own = target if isinstance(target, type) or inspect.isroutine(target) else type(target)
    return " ".join(inspect.cleandoc(own.__doc__ or "").partition("\n\n")[0].split())


def _title(baseline: str | None, values: Mapping[str, Any], seed: int | None) -> str:
    begin = f"random network {seed}" if seed is not None else f"baseline {baseline}" if baseline else "default network"
    return f"{begin} with {point(values)}" if values else begin

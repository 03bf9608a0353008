"""Describes a search space: its hyperparameters, its baselines, and one of its networks."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from searchcnn.errors import PluginError, UsageError, nearest
from searchcnn.results.outline import Line, draw_outline
from searchcnn.search import Cost
from searchcnn.search.hyperparameters import Parameter, describe
from searchcnn.testing.checks import find_network
from searchcnn.testing.sample import GivenPoint, RandomPoint, Sample
from searchcnn.testing.subject import Image, Subject
from searchcnn.text import format_point
from searchcnn.views.conditions import infer_condition


@dataclass(frozen=True)
class Hyperparameter:
    """A row of the table of hyperparameters.

    Attributes:
        name: The name by which it is asked for.
        kind: Keras Tuner's kind: Int, Float, Choice, Boolean or Fixed.
        range: Its values, in words.
        default: Its default value.
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
        cost: Cost of the network that is exported.
        whole: Cost of the network that is trained, with its auxiliary heads.
        image: Shape of the images; larger than usual if it has no network for the usual ones.
        error: Why there is no network; empty if there is one.
    """

    name: str
    cost: Cost
    whole: Cost
    image: Image
    error: str


@dataclass(frozen=True)
class Portrait:
    """A description of a search space.

    Attributes:
        name: Its name.
        description: What it searches: the first paragraph of its docstring.
        reference: The paper or source behind it.
        location: Its file or module.
        image: Shape of the images: (height, width, channels) in pixels.
        classes: Number of classes.
        hyperparameters: Those that were asked for in at least one point.
        baselines: Its default point and its baselines.
        title: Which point the drawn network belongs to.
        values: Hyperparameters of that point.
        sample: That point.
        network: The lines of its network.
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
        """Describes a search space.

        Args:
            subject: The search space.
            baseline: Name of the baseline whose network is drawn; None for the default point.
            values: Hyperparameters of the network that is drawn.
            seed: If given, the other hyperparameters of the network are random.

        Raises:
            UsageError: If there is no such baseline or hyperparameter, or the point has no network.
        """
        points = subject.loaded.baselines(subject.space)
        if baseline is not None and baseline not in points:
            hint = nearest(baseline, points) or f"; it has {', '.join(points) or 'none'}"
            raise UsageError(f"search space '{subject.loaded.name}' has no baseline '{baseline}'{hint}")
        settings = {**points.get(baseline or "", {}), **values}
        samples = _list_networks(subject)
        _check_values(values, samples)
        sample, network = _draw_network(subject, settings, seed, samples)
        return cls(
            name=subject.loaded.name,
            description=_read_description(subject),
            reference=str(getattr(subject.space, "reference", "")),
            location=subject.loaded.location,
            image=subject.image,
            classes=subject.classes,
            hyperparameters=_describe_hyperparameters(samples),
            baselines=[
                _measure_baseline(subject, name, format_point)
                for name, format_point in {"default": {}, **points}.items()
            ],
            title=_make_title(baseline, values, seed),
            values=sample.values,
            sample=sample,
            network=network,
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns it as JSON."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "sample"}
        for key in ("hyperparameters", "baselines", "network"):
            facts[key] = [dataclasses.asdict(row) for row in facts[key]]
        return facts


def _list_networks(subject: Subject) -> list[Sample]:
    """Returns the points that have a network.

    Raises:
        PluginError: If there is none.
    """
    samples = [sample for sample in [subject.try_values({}), *subject.sampled] if sample.is_network]
    if not samples:
        raise PluginError(f"search space '{subject.loaded.name}' has no network: {subject.sampled[0].error}")
    return samples


def _draw_network(
    subject: Subject, values: Mapping[str, Any], seed: int | None, samples: Sequence[Sample]
) -> tuple[Sample, list[Line]]:
    """Returns a point and the lines of its network.

    Raises:
        UsageError: If it has no network, or a value is not asked for; the samples then say when it is.
    """
    make = partial(GivenPoint, dict(values)) if seed is None else partial(RandomPoint, seed, dict(values))
    sample = subject.try_point(make)
    if not sample.is_network:
        raise UsageError(f"this point has no network: {sample.error}; the point: {format_point(sample.values)}")
    if unused := [key for key in values if key not in sample.values]:
        condition = infer_condition(unused[0], samples)
        where = "at this point" if condition in ("", "sometimes") else f"here, only with {condition}"
        raise UsageError(f"'{unused[0]}' is not asked for {where}; this point: {format_point(sample.values)}")
    return sample, draw_outline(subject.build_network(make))


def _check_values(values: Mapping[str, Any], samples: list[Sample]) -> None:
    """Checks that hyperparameters exist and can have their values.

    Raises:
        UsageError: If there is no such hyperparameter.
        PluginError: If it cannot have such a value.
    """
    declared = {hp.name: hp for sample in samples for hp in sample.declared}
    for name, value in values.items():
        if name not in declared:
            raise UsageError(f"there is no hyperparameter '{name}'{nearest(name, declared)}")
        Parameter(declared[name]).to_optuna(value)


def _describe_hyperparameters(samples: list[Sample]) -> list[Hyperparameter]:
    declared = {hp.name: hp for sample in samples for hp in sample.active}
    order = _merge_orders([[hp.name for hp in sample.active] for sample in samples])
    return [
        Hyperparameter(name, type(hp).__name__, describe(hp), hp.default, infer_condition(name, samples))
        for name, hp in ((name, declared[name]) for name in order)
    ]


def _merge_orders(lists: list[list[str]]) -> list[str]:
    """Returns all names once, each after the names that precede it in the lists."""
    order: list[str] = []
    for names in lists:
        index = 0
        for name in names:
            if name in order:
                index = max(index, order.index(name) + 1)
            else:
                order.insert(index, name)
                index += 1
    return order


def _measure_baseline(subject: Subject, name: str, values: Mapping[str, Any]) -> Baseline:
    sample, image = find_network(subject, values)
    return Baseline(name, sample.cost, sample.whole, image, sample.error)


def _read_description(subject: Subject) -> str:
    target = subject.loaded.target
    definition = target if isinstance(target, type) or inspect.isroutine(target) else type(target)
    return " ".join(inspect.cleandoc(definition.__doc__ or "").partition("\n\n")[0].split())


def _make_title(baseline: str | None, values: Mapping[str, Any], seed: int | None) -> str:
    title = f"random network {seed}" if seed is not None else f"baseline {baseline}" if baseline else "default network"
    return f"{title} with {format_point(values)}" if values else title

"""The known points of a study's search spaces, which a search tries first."""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from searchcnn.backend import estimate_training_speed
from searchcnn.errors import InfeasibleError, PluginError, get_first_line
from searchcnn.search import Scheduler, check_limits, make_scheduler
from searchcnn.search.scheduler import MIN_PASSES
from searchcnn.spaces import LoadedSpace
from searchcnn.training.trainer import Point, Trainer

ENOUGH_PASSES = 8
"""Passes over the training images that a network can make in the last share of the time if it suits the time. The best
of Fashion-MNIST and CIFAR-10 in 10 minutes, a residual network with 10M multiply-accumulates, made 11 there."""
DOUBT = 1.5
"""Factor by which a network may be faster than it is taken for: one that might still make `MIN_PASSES` is tried."""
NETWORK_SECONDS = 4.0
"""What a network takes besides its first epoch: it is built, compiled, validated and stored."""
RESOLVING_SECONDS, RESOLVING_SHARE = 0.2, 0.02
"""What it takes to find out all hyperparameters and the cost of a point, and the share of the time for all of them."""


class KnownPoint(NamedTuple):
    """A known point of a search space.

    Attributes:
        space: The search space.
        rank: Its place among those of its space that keep the limits.
        origin: Where it comes from, for readers.
        values: All its hyperparameters.
        macs: Multiply-accumulates of its network for an image.
        is_solved: Whether a solver trains its network.
        is_pretrained: Whether its search space is one of pretrained networks.
    """

    space: str
    rank: int
    origin: str
    values: dict[str, Any]
    macs: int
    is_solved: bool
    is_pretrained: bool


@dataclass(frozen=True)
class Time:
    """The time that there is for networks, and what this machine does in it.

    Attributes:
        scheduler: The plan for the time; None if there is none.
        images: To train on.
        speed: Multiply-accumulates of forward passes that are trained in a second, roughly.
    """

    scheduler: Scheduler | None
    images: int
    speed: float

    @property
    def total(self) -> float:
        """Seconds of the whole search; infinity where its trials are counted, or no plan divides them."""
        return self.scheduler.total if self.scheduler else math.inf

    @property
    def last(self) -> float:
        """Seconds in which the best network is trained to the end."""
        return self.total * (self.scheduler.last_share if self.scheduler else 1.0)

    @property
    def exploring(self) -> float:
        """Seconds before, in which new networks begin."""
        return math.inf if self.total == math.inf else self.total - self.last

    @property
    def most(self) -> float:
        """Number of points that may be resolved."""
        return max(1.0, RESOLVING_SHARE * self.total / RESOLVING_SECONDS)

    def count_passes(self, point: KnownPoint) -> float:
        """Returns how many passes over the training images a network can make in the last share of the time.

        There is no limit for what is solved or pretrained: it sees fewer images, or features of them.
        """
        is_free = point.is_solved or point.is_pretrained or not point.macs
        return math.inf if is_free else self.last / self._count_seconds(point)

    def count_first_seconds(self, point: KnownPoint) -> float:
        """Returns how long it takes until something is known of a network: that of its first epoch."""
        parts = self.scheduler.parts if self.scheduler else 1
        return NETWORK_SECONDS + self._count_seconds(point) / parts

    def _count_seconds(self, point: KnownPoint) -> float:
        return self.images * point.macs / self.speed


def find_known_points(trainer: Trainer, spaces: Sequence[LoadedSpace]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the default point and the baselines of each search space that keep the limits: origins and values.

    What is solved, and costs little, comes first; then the points of a space of pretrained networks, if it is the first
    one. For the rest the search spaces take turns, each with its points in its own order; but networks that can make
    fewer than `ENOUGH_PASSES` in the last share of the time come after the others. There are no more points than can be
    trained for an epoch before that share, and none whose network the plan would not train. A point that is there
    already, such as a baseline that is the default, does not come again.

    Raises:
        PluginError: If one fails for another reason than its size or graph.
    """
    if not trainer.config.search.baselines:
        return []
    order = [space.name for space in spaces]
    pretrained = [name for name in order if trainer.space.members[name].is_pretrained]
    time = _find_time(trainer)
    known = {space.name: _list_points(trainer, space) for space in spaces}
    free = _drop_repeated(point for name in pretrained for point in known.pop(name))
    turns = itertools.chain.from_iterable(itertools.zip_longest(*known.values()))
    points = [*free, *_choose(_drop_repeated(filter(None, turns)), time)]
    points.sort(
        key=lambda point: (
            not point.is_solved,
            not (point.is_pretrained and point.space == order[0]),
            time.count_passes(point) < ENOUGH_PASSES,
            point.rank,
            order.index(point.space),
        )
    )
    return [(point.origin, point.values) for point in points]


def _find_time(trainer: Trainer) -> Time:
    dataset = trainer.inputs.dataset
    pixels, images = math.prod(dataset.input_shape[:2]), len(dataset.train)
    return Time(make_scheduler(trainer.config, trainer.parts, pixels, images), images, estimate_training_speed())


def _drop_repeated(points: Iterable[KnownPoint]) -> Iterator[KnownPoint]:
    earlier: list[dict[str, Any]] = []
    for point in points:
        if point.values not in earlier:
            earlier.append(point.values)
            yield point


def _choose(points: Iterable[KnownPoint], time: Time) -> list[KnownPoint]:
    """Returns the points that the time is enough for; the cheapest one if it is enough for none."""
    chosen: list[KnownPoint] = []
    dear: list[KnownPoint] = []
    left = time.exploring
    for point in points:
        if time.count_passes(point) * DOUBT < MIN_PASSES:
            dear.append(point)
        else:
            chosen.append(point)
            left -= time.count_first_seconds(point)
        if left <= 0 or len(chosen) + len(dear) >= time.most:
            break
    return chosen or sorted(dear, key=lambda point: point.macs)[:1]


def _list_points(trainer: Trainer, space: LoadedSpace) -> Iterator[KnownPoint]:
    member = trainer.space.members[space.name]
    baselines = space.baselines(member)
    rank = 0
    for origin, values in [("default", {}), *((f"baseline {name}", point) for name, point in baselines.items())]:
        try:
            point = _resolve(trainer, space.name, values)
            check_limits(point.cost, trainer.config.limits)
        except InfeasibleError:
            continue
        except PluginError as error:
            raise PluginError(f"search space '{space.name}', {origin}: {error}") from error
        except Exception as error:
            raise PluginError(f"search space '{space.name}', {origin}: {get_first_line(error)}") from error
        is_pretrained = member.is_pretrained
        yield KnownPoint(space.name, rank, origin, point.values, point.cost.macs, point.is_solved, is_pretrained)
        rank += 1


def _resolve(trainer: Trainer, name: str, values: Mapping[str, Any]) -> Point:
    """Resolves a point, its network built without weights, which takes a third of the time, unless that needs them."""
    with contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
        return trainer.resolve_point(name, values)
    return trainer.resolve_point(name, values)

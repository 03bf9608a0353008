"""The known points of a study's search spaces, which a search tries first."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from searchcnn.errors import InfeasibleError, PluginError, get_first_line
from searchcnn.search import check_limits
from searchcnn.spaces import LoadedSpace
from searchcnn.training.trainer import Point, Trainer


class KnownPoint(NamedTuple):
    """A known point of a search space.

    Attributes:
        space: The search space.
        origin: Where it comes from, for readers.
        values: All its hyperparameters.
        is_solved: Whether a solver trains its network.
    """

    space: str
    origin: str
    values: dict[str, Any]
    is_solved: bool


def find_known_points(trainer: Trainer, spaces: Sequence[LoadedSpace]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the default point and the baselines of each search space that keep the limits: origins and values.

    What is solved, and costs little, comes first; then the points of a space of pretrained networks, if it is the first
    one. For the rest the search spaces take turns, so that a short search sees something of each. A point that is there
    already, such as a baseline that is the default, does not come again.

    Raises:
        PluginError: If one fails for another reason than its size or graph.
    """
    if not trainer.config.search.baselines:
        return []
    first = spaces[0].name if trainer.space.members[spaces[0].name].is_pretrained else None
    turns = itertools.zip_longest(*(_list_points(trainer, space) for space in spaces))
    possible = [point for turn in turns for point in turn if point is not None]
    points: list[KnownPoint] = []
    for point in sorted(possible, key=lambda point: (not point.is_solved, point.space != first)):
        points += [point] if point.values not in [earlier.values for earlier in points] else []
    return [(point.origin, point.values) for point in points]


def _list_points(trainer: Trainer, space: LoadedSpace) -> Iterator[KnownPoint]:
    baselines = space.baselines(trainer.space.members[space.name])
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
        yield KnownPoint(space.name, origin, point.values, point.is_solved)


def _resolve(trainer: Trainer, name: str, values: Mapping[str, Any]) -> Point:
    """Resolves a point, its network built without weights, which takes a third of the time, unless that needs them."""
    with contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
        return trainer.resolve_point(name, values)
    return trainer.resolve_point(name, values)

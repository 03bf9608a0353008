"""The points of search spaces that are known to be good: a study tries them first."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from searchcnn.errors import InfeasibleError, PluginError, first_line
from searchcnn.search import check_limits
from searchcnn.spaces import LoadedSpace
from searchcnn.training.trainer import Trainer


def known_points(trainer: Trainer, spaces: Sequence[LoadedSpace]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the default point and the baselines of each search space that keep the limits: origins and values.

    What is solved, and costs little, comes first; then the points of a space of pretrained networks, if it is the first
    one. For the rest the search spaces take turns, so that a short search sees something of each. A point that is there
    already, such as a baseline that is the default, does not come again.

    Raises:
        PluginError: If one fails for another reason than its size or graph.
    """
    if not trainer.config.search.baselines:
        return []
    first = spaces[0].name if getattr(trainer.spaces[spaces[0].name], "is_pretrained", False) else None
    turns = itertools.zip_longest(*(_points_of(trainer, space) for space in spaces))
    found = [point for turn in turns for point in turn if point is not None]
    points: list[Point] = []
    for point in sorted(found, key=lambda point: (not point.is_solved, point.space != first)):
        points += [point] if point.values not in [known.values for known in points] else []
    return [(point.origin, point.values) for point in points]


class Point(NamedTuple):
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


def _points_of(trainer: Trainer, space: LoadedSpace) -> Iterator[Point]:
    baselines = space.baselines(trainer.spaces[space.name])
    for origin, values in [("default", {}), *((f"baseline {name}", point) for name, point in baselines.items())]:
        try:
            point, price, recipe = trainer.point(space.name, values)
            check_limits(price, trainer.config.limits)
        except InfeasibleError:
            continue
        except PluginError as error:
            raise PluginError(f"search space '{space.name}', {origin}: {error}") from error
        except Exception as error:
            raise PluginError(f"search space '{space.name}', {origin}: {first_line(error)}") from error
        yield Point(space.name, origin, point, recipe.is_solved)

"""Creates the search spaces of a study for its images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from searchcnn.data import Dataset
from searchcnn.errors import PluginError, nearest
from searchcnn.spaces.loading import LoadedSpace
from searchcnn.study import StudyConfig

if TYPE_CHECKING:
    from searchcnn.spaces.space import SearchSpace


def create_spaces(spaces: Sequence[LoadedSpace], config: StudyConfig, dataset: Dataset) -> dict[str, "SearchSpace"]:
    """Creates the search spaces of a study for its images, with its options, by name.

    Raises:
        PluginError: If one cannot be created like that.
    """
    names = [space.name for space in spaces]
    for name in config.options:
        if name not in names:
            hint = nearest(name, names) or f" (it has {', '.join(names)})"
            raise PluginError(f"options.{name}: the study has no search space '{name}'{hint}")
    shape, classes = dataset.input_shape, dataset.num_classes
    return {space.name: space.create(shape, classes, config.options.get(space.name)) for space in spaces}


def prepare_spaces(created: Mapping[str, "SearchSpace"]) -> None:
    """Lets search spaces fetch what their networks need where a study is continued, which may be on another machine.

    Raises:
        PluginError: If something is not available here.
    """
    for name, space in created.items():
        try:
            space.prepare()
        except PluginError as error:
            raise PluginError(f"search space '{name}' cannot be searched on this machine: {error}") from error


def describe_origins(spaces: Sequence[LoadedSpace]) -> dict[str, dict[str, str]]:
    """Returns where each search space comes from, for model cards."""
    return {space.name: {"location": space.location, "fingerprint": space.fingerprint} for space in spaces}

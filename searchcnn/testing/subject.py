"""The search space under test: builds its networks, with and without weights, and watches for side effects."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import keras

from searchcnn.backend import clear_keras, keep_settings
from searchcnn.errors import InfeasibleError, PluginError
from searchcnn.spaces import LoadedSpace, SearchSpace, load_space
from searchcnn.spaces.loading import blame
from searchcnn.study import LimitsConfig, Workspace
from searchcnn.testing.result import CheckSkippedError
from searchcnn.testing.sample import GivenPoint, RandomPoint, Sample
from searchcnn.testing.signature import describe_network
from searchcnn.testing.surroundings import watch_settings
from searchcnn.training.cost import measure_cost
from searchcnn.training.network import adopt_policy, build, cut_heads

Image = tuple[int, int, int]
"""Shape of an image: (height, width, channels) in pixels."""

SIDE = 32
"""Side in pixels of the images for which points are tried, unless the space needs larger ones."""
LIMITS = LimitsConfig(max_params=50_000_000, max_macs=5_000_000_000)
"""A network beyond these is of little use on one machine."""
INVALID = "invalid graph"
"""Reason of points that Keras finds infeasible."""
REPEATED = 10
"""Maximum number of points that are built more than once."""
BETWEEN = 25
"""Number of networks after which Keras's state is cleared."""


class Subject:
    """A search space under test.

    Args:
        space: The space: loaded, a name or path as in a study, a class, an instance or a function ``build(hp)``.
        samples: Number of random points.
        options: Arguments of its constructor.
        workspace: Folder with the ``plugins/`` in which a name is looked for.
        folders: More folders of plugins, searched first.
        image: Shape of the images; 32x32 pixels by default, or the space's smallest if that is larger.
        classes: Number of classes.
        limits: Limits for the default network and some of the random ones.
    """

    def __init__(
        self,
        space: Any,
        samples: int = 200,
        options: Mapping[str, Any] | None = None,
        *,
        workspace: Path | None = None,
        folders: Sequence[Path] = (),
        image: Image | None = None,
        classes: int = 10,
        limits: LimitsConfig = LIMITS,
    ) -> None:
        self.loaded = load_any(space, Workspace(workspace or Path.cwd()), folders)
        self.samples = samples
        self.classes = classes
        self.limits = limits
        self.changes: list[str] = []
        self._options = options or {}
        self._image = image
        self._has_weights = False
        self._built = 0

    @cached_property
    def image(self) -> Image:
        """Shape of the images for which points are tried."""
        if self._image is not None:
            return self._image
        (height, width), channels = self.loaded.min_size, self.loaded.channels or (3,)
        return max(SIDE, height), max(SIDE, width), 3 if 3 in channels else channels[0]

    @property
    def repeated(self) -> int:
        """Number of points that are built more than once."""
        return max(2, min(REPEATED, self.samples // 4))

    @property
    def has_sizes(self) -> bool:
        """Whether the space says which images it is for: only subclasses of `SearchSpace` do."""
        return self.space.knows_sizes

    @cached_property
    def space(self) -> SearchSpace:
        """The space, created once, as in a study."""
        return self.create()

    def create(self, image: Image | None = None) -> SearchSpace:
        """Creates a new instance of the space for images of a shape."""
        return self.loaded.create(image or self.image, self.classes, self._options)

    def build(self, hp: Any, space: SearchSpace | None = None) -> Any:
        """Builds a network with weights; changes to the state of the process are recorded and undone."""
        self._tidy()
        space = space or self.space
        with keep_settings():
            adopt_policy(space)
            with watch_settings(self._note):
                return build(space, hp, space.input_shape, self.classes)

    def sketch(self, hp: Any, space: SearchSpace | None = None) -> Any:
        """Builds a network without weights, which is several times faster."""
        with keras.StatelessScope(initialize_variables=False):
            return self.build(hp, space)

    def try_point(self, point: Callable[[], Any], space: SearchSpace | None = None) -> Sample:
        """Tries a point, with weights if it does not work without.

        Args:
            point: Returns the hyperparameters.
            space: The space; `Subject.space` by default.
        """
        if not self._has_weights:
            sample = self._try(point(), self.sketch, space or self.space)
            if sample.is_network or (sample.is_infeasible and sample.reason != INVALID):
                return sample
        sample = self._try(point(), self.build, space or self.space)
        self._has_weights |= sample.is_network
        return sample

    def try_values(self, values: Mapping[str, Any], space: SearchSpace | None = None) -> Sample:
        """Tries the given values; the other hyperparameters have their defaults."""
        return self.try_point(lambda: GivenPoint(dict(values)), space)

    def build_network(self, point: Callable[[], Any]) -> Any:
        """Builds the network of a point that has one, without weights if that works."""
        return self.build(point()) if self._has_weights else self.sketch(point())

    def explain(self, error: BaseException) -> str:
        """Returns an error of a search space in one line, with its file and line."""
        try:
            with blame(self.loaded.location, self.loaded.module):
                raise error
        except PluginError as explained:
            return str(explained)

    @cached_property
    def default(self) -> Sample:
        """The default point.

        Raises:
            CheckSkippedError: If it has no network, which the check of images reports.
        """
        sample = self.try_values({})
        if not sample.is_network:
            raise CheckSkippedError("the default network cannot be built")
        return sample

    @property
    def survey(self) -> list[Sample]:
        """Random points, provided that there is a default network.

        Raises:
            CheckSkippedError: If there is no default network.
        """
        assert self.default
        return self.sampled

    @cached_property
    def sampled(self) -> list[Sample]:
        """Random points, always the same ones."""
        return [self.try_point(partial(RandomPoint, seed)) for seed in range(self.samples)]

    @property
    def networks(self) -> list[Sample]:
        """The random points that have a network, and the default one."""
        return [self.default, *(sample for sample in self.survey if sample.is_network)]

    def _try(self, hp: Any, make: Callable[..., Any], space: SearchSpace) -> Sample:
        facts: dict[str, Any] = {}
        try:
            model = make(hp, space)
            facts = {
                "whole": measure_cost(model),
                "cost": measure_cost(cut_heads(model)),
                "signature": describe_network(space, hp, model),
            }
        except InfeasibleError as error:
            facts = {"is_infeasible": True, "reason": error.reason, "error": str(error)}
        except (Exception, SystemExit) as error:
            facts = {"error": self.explain(error)}
        active = tuple(parameter for parameter in hp.space if hp.is_active(parameter))
        return Sample(hp.active, tuple(hp.space), active, tuple(getattr(hp, "conflicts", ())), **facts)

    def _note(self, change: str) -> None:
        if change not in self.changes:
            self.changes.append(change)

    def _tidy(self) -> None:
        self._built += 1
        if self._built % BETWEEN == 0:
            clear_keras()


def load_any(space: Any, workspace: Workspace, folders: Sequence[Path] = ()) -> LoadedSpace:
    """Loads a search space, given by its name or as an object that a plugin's file could define.

    Raises:
        PluginError: If it cannot be found or loaded, or is not a search space.
    """
    if isinstance(space, LoadedSpace):
        return space
    if isinstance(space, str):
        return load_space(space, workspace, folders)
    definition = space if isinstance(space, type) or inspect.isroutine(space) else type(space)
    if not hasattr(definition, "__module__"):
        raise PluginError(
            f"{space!r} is not a search space; expected a name, a class, an instance or a function build(hp)"
        )
    name = getattr(space, "__name__", type(space).__name__)
    module = definition.__module__
    return LoadedSpace(name, getattr(sys.modules.get(module), "__file__", None) or module, "", module, space)

"""The search space that is checked: builds its networks, with and without weights, and watches what else that does."""

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
from searchcnn.spaces.loading import blamed
from searchcnn.study import LimitsConfig, Workspace
from searchcnn.testing.result import CheckSkippedError
from searchcnn.testing.sample import GivenPoint, RandomPoint, Sample
from searchcnn.testing.signature import describe_network
from searchcnn.testing.surroundings import watched
from searchcnn.training.cost import measure_cost
from searchcnn.training.network import adopt_policy, build, without_heads

Image = tuple[int, int, int]
"""Shape of an image: (height, width, channels) in pixels."""

SIDE = 32
"""Sides of the image for which points are tried, in pixels, unless the space wants larger ones."""
LIMITS = LimitsConfig(max_params=50_000_000, max_macs=5_000_000_000)
"""Beyond this a network is of little use on one machine."""
INVALID = "invalid graph"
"""Reason of what Keras finds infeasible."""
REPEATED = 10
"""Most points that are built more than once."""
BETWEEN = 25
"""Networks after which what they leave in Keras is cleared."""


class Subject:
    """A search space under test.

    Args:
        space: The space: loaded, a name or path as in a study, a class, an instance or a function ``build(hp)``.
        samples: Number of random points.
        options: Arguments of its constructor.
        workspace: Folder in whose ``plugins/`` a name is looked for.
        folders: More folders of plugins.
        image: Shape of the images; 32x32 pixels by default, or the space's smallest if that is larger.
        classes: Number of classes.
        limits: What the default network and some random ones must keep.
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
        self.loaded = loaded(space, Workspace(workspace or Path.cwd()), folders)
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
        """Whether the space says for what images it is: only subclasses of `SearchSpace` do."""
        return self.space.knows_sizes

    @cached_property
    def space(self) -> SearchSpace:
        """The space, created once, as in a study."""
        return self.create()

    def create(self, image: Image | None = None) -> SearchSpace:
        """Creates the space anew for images of a shape."""
        return self.loaded.create(image or self.image, self.classes, self._options)

    def build(self, hp: Any, space: SearchSpace | None = None) -> Any:
        """Builds a network with weights; changes to the state of the process are noted and undone."""
        self._tidy()
        space = space or self.space
        with keep_settings():
            adopt_policy(space)
            with watched(self._note):
                return build(space, hp, space.input_shape, self.classes)

    def sketch(self, hp: Any, space: SearchSpace | None = None) -> Any:
        """Builds a network without weights, which is several times faster."""
        with keras.StatelessScope(initialize_variables=False):
            return self.build(hp, space)

    def sample(self, point: Callable[[], Any], space: SearchSpace | None = None) -> Sample:
        """Tries a point out, with weights where it does not work without.

        Args:
            point: Returns the hyperparameters.
            space: The space; `Subject.space` by default.
        """
        if not self._has_weights:
            found = self._sample(point(), self.sketch, space or self.space)
            if found.is_network or (found.is_infeasible and found.reason != INVALID):
                return found
        found = self._sample(point(), self.build, space or self.space)
        self._has_weights |= found.is_network
        return found

    def point(self, values: Mapping[str, Any], space: SearchSpace | None = None) -> Sample:
        """Tries given values out; what they do not name has its default."""
        return self.sample(lambda: GivenPoint(dict(values)), space)

    def model(self, point: Callable[[], Any]) -> Any:
        """Builds the network of a point that has one, without weights if that works."""
        return self.build(point()) if self._has_weights else self.sketch(point())

    def explain(self, error: BaseException) -> str:
        """Returns what a search space has raised in one line, with the place in its code."""
        try:
            with blamed(self.loaded.location, self.loaded.module):
                raise error
        except PluginError as explained:
            return str(explained)

    @cached_property
    def default(self) -> Sample:
        """The default point.

        Raises:
            CheckSkippedError: If it has no network, which the check of images tells about.
        """
        found = self.point({})
        if not found.is_network:
            raise CheckSkippedError("the default network cannot be built")
        return found

    @property
    def survey(self) -> list[Sample]:
        """Random points, once there is a default network.

        Raises:
            CheckSkippedError: If there is none.
        """
        assert self.default
        return self.sampled

    @cached_property
    def sampled(self) -> list[Sample]:
        """Random points, always the same ones."""
        return [self.sample(partial(RandomPoint, seed)) for seed in range(self.samples)]

    @property
    def networks(self) -> list[Sample]:
        """The random points that have a network, and the default one."""
        return [self.default, *(one for one in self.survey if one.is_network)]

    def _sample(self, hp: Any, make: Callable[..., Any], space: SearchSpace) -> Sample:
        found: dict[str, Any] = {}
        try:
            model = make(hp, space)
            found = {
                "whole": measure_cost(model),
                "cost": measure_cost(without_heads(model)),
                "signature": describe_network(space, hp, model),
            }
        except InfeasibleError as error:
            found = {"is_infeasible": True, "reason": error.reason, "error": str(error)}
        except (Exception, SystemExit) as error:
            found = {"error": self.explain(error)}
        active = tuple(one for one in hp.space if hp.is_active(one))
        return Sample(hp.active, tuple(hp.space), active, tuple(getattr(hp, "conflicts", ())), **found)

    def _note(self, change: str) -> None:
        if change not in self.changes:
            self.changes.append(change)

    def _tidy(self) -> None:
        self._built += 1
        if self._built % BETWEEN == 0:
            clear_keras()


def loaded(space: Any, workspace: Workspace, folders: Sequence[Path] = ()) -> LoadedSpace:
    """Returns a search space ready to be created; it may be a name, or an object as a plugin's file defines it.

    Raises:
        PluginError: If it cannot be found or loaded, or is no search space.
    """
    if isinstance(space, LoadedSpace):
        return space
    if isinstance(space, str):
        return load_space(space, workspace, folders)
    definition = space if isinstance(space, type) or inspect.isroutine(space) else type(space)
    if not hasattr(definition, "__module__"):
        raise PluginError(
            f"{space!r} is no search space; expected a name, a class, an instance or a function build(hp)"
        )
    name = getattr(space, "__name__", type(space).__name__)
    module = definition.__module__
    return LoadedSpace(name, getattr(sys.modules.get(module), "__file__", None) or module, "", module, space)

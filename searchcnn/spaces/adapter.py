"""Makes a search space of whatever builds networks: a hypermodel of Keras Tuner or a function ``build(hp)``."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import keras_tuner

from searchcnn.spaces.space import SearchSpace


def adapt(hypermodel: keras_tuner.HyperModel) -> SearchSpace:
    """Returns a search space for a hypermodel with ``input_shape`` and ``num_classes``; a search space is unchanged."""
    return hypermodel if isinstance(hypermodel, SearchSpace) else HyperModelSpace(hypermodel)


class HyperModelSpace(SearchSpace):
    """The search space of a hypermodel that was written for Keras Tuner.

    Attributes of it that have the name of a capability of `SearchSpace` could mean anything, and are ignored.

    Args:
        hypermodel: Builds, and perhaps trains, the networks.
    """

    knows_sizes = False

    def __init__(self, hypermodel: keras_tuner.HyperModel) -> None:
        super().__init__()
        self.hypermodel = hypermodel
        self.input_shape, self.num_classes = hypermodel.input_shape, hypermodel.num_classes

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Lets the hypermodel build the network."""
        return self.hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *images: Any, **options: Any) -> Any:
        """Lets the hypermodel train the network."""
        return self.hypermodel.fit(hp, model, *images, **options)

    @property
    def fit_method(self) -> Callable[..., Any]:
        """The hypermodel's ``fit``."""
        method: Callable[..., Any] = self.hypermodel.fit
        return method

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns the hypermodel's known good points, if it has a method of that name."""
        baselines: dict[str, dict[str, Any]] = getattr(self.hypermodel, "baselines", dict)()
        return baselines


class FunctionSpace(SearchSpace):
    """The search space of a function ``build(hp)``.

    The function may ask for ``input_shape`` and ``num_classes`` by having parameters of these names.

    Args:
        function: Returns the network for ``hp``.
        options: More arguments of the function.
    """

    knows_sizes = False

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        super().__init__()
        self.function = function
        self.options = options

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Calls the function."""
        return self.function(hp, **select_arguments(self.function, self.input_shape, self.num_classes), **self.options)


def select_arguments(
    function: Callable[..., Any], input_shape: tuple[int, int, int], num_classes: int
) -> dict[str, Any]:
    """Returns what the engine can tell a constructor or function, as far as it has parameters of these names.

    Args:
        function: What will be called.
        input_shape: Shape of an image: (height, width, channels) in pixels.
        num_classes: Number of classes; ``classes`` means the same, as in ``keras_tuner.applications``.
    """
    arguments = {"input_shape": input_shape, "num_classes": num_classes, "classes": num_classes}
    names = list_parameters(function)
    return {name: value for name, value in arguments.items() if name in names}


def list_parameters(function: Callable[..., Any]) -> list[str]:
    """Returns the names of a constructor's or function's parameters, without ``*args`` and ``**kwargs``."""
    parameters = inspect.signature(function).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind not in variable]

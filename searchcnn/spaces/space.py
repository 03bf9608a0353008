"""The contract of a search space, for authors of plugins."""

import abc
from collections.abc import Callable
from typing import Any

import keras_tuner

from searchcnn.spaces.arguments import accepted


class SearchSpace(keras_tuner.HyperModel, abc.ABC):
    """A family of networks, one for each setting of its hyperparameters.

    A plugin is a file with one subclass, named by the file; only `build` is required:

    ```python
    import keras
    from searchcnn import SearchSpace


    class Tiny(SearchSpace):
        def build(self, hp):
            return keras.Sequential([
                keras.Input(self.input_shape),
                keras.layers.Conv2D(hp.Int("filters", 8, 64, step=8), 3, activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(self.num_classes, activation="softmax"),
            ])
    ```

    Where training needs more than the study's recipe, override Keras Tuner's ``fit(hp, model, ...)``.

    Attributes:
        input_shape: Shape of an image: (height, width, channels) in pixels; set before `build`.
        num_classes: Number of classes; set before `build`.
        min_size: Smallest image that the space can handle: (height, width) in pixels.
        channels: Numbers of channels that it can handle; empty: any.
        reference: The paper or source behind it.
    """

    input_shape: tuple[int, int, int]
    num_classes: int

    min_size: tuple[int, int] = (1, 1)
    channels: tuple[int, ...] = ()
    reference: str = ""

    @abc.abstractmethod
    def build(self, hp: Any) -> Any:
        """Builds the network for one setting.

        The same values must always give the same network, and the same name the same range. Hyperparameters that
        matter only under some value of another are declared under a plain ``if``.

        Args:
            hp: Keras Tuner's ``HyperParameters``.

        Returns:
            A ``keras.Model`` of stock layers. Its input are images, shape (batch, height, width, channels), pixels
            scaled to 0..1; its output class probabilities, shape (batch, num_classes). A model that is not compiled is
            trained by the study's recipe; a compiled one is left alone, and may have further outputs, which are cut
            off when it is saved.

        Raises:
            InfeasibleError: If there is no such network; the search goes on and learns to avoid the point.
        """

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points known to be good, by name; a search tries them first.

        Returns:
            Values by hyperparameter; those not named keep their default.
        """
        return {}


class FunctionSpace(SearchSpace):
    """The search space of a function ``build(hp)``.

    The function may ask for ``input_shape`` and ``num_classes`` by naming parameters so.

    Args:
        function: Returns the network for ``hp``.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def build(self, hp: Any) -> Any:
        """Calls the function."""
        return self.function(hp, **accepted(self.function, self.input_shape, self.num_classes))

"""The contract of a search space, for authors of plugins."""

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner

AUXILIARY_WEIGHT = 0.3
"""Weight of an auxiliary head in the loss (GoogLeNet: Szegedy et al. 2015, https://arxiv.org/abs/1409.4842)."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training during which the same weights of the network are trainable.

    Attributes:
        share: Fraction of the recipe's epochs, 0..1; fewer where earlier phases have left fewer.
        rate: What the recipe's learning rate is multiplied by.
        is_solved: Whether only the softmax layer at the end is trained, on features that nothing changes: a solver
            brings it to its optimum at once, which counts as one epoch.
    """

    share: float = 1.0
    rate: float = 1.0
    is_solved: bool = False


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

    Where training needs more than the study's recipe, override `phases`, or Keras Tuner's ``fit(hp, model, ...)``.

    A constructor may have parameters with defaults: a study sets them in its table ``[options.<name of the space>]``.

    Attributes:
        input_shape: Shape of an image: (height, width, channels) in pixels; set before `build`.
        num_classes: Number of classes; set before `build`.
        min_size: Smallest image that the space can handle: (height, width) in pixels.
        channels: Numbers of channels that it can handle; empty: any.
        own_preprocessing: Whether its networks preprocess images themselves, as pretrained ones do: they get pixels
            scaled to 0..1, whatever the study's ``training.normalization`` is; or 0..255 where probing a network finds
            that it was made for those.
        is_pretrained: Whether its networks begin with weights that were learnt elsewhere. Where it is the first search
            space of a study, all its known points come first.
        reference: The paper or source behind it.
        dtype_policy: Keras' dtype policy as its file has set it, such as ``mixed_float16``; None: whichever is set.
        knows_sizes: Whether ``min_size`` and ``channels`` say which images it is for.
    """

    input_shape: tuple[int, int, int]
    num_classes: int

    min_size: tuple[int, int] = (1, 1)
    channels: tuple[int, ...] = ()
    own_preprocessing: bool = False
    is_pretrained: bool = False
    reference: str = ""
    dtype_policy: Any = None
    knows_sizes: bool = True

    @abc.abstractmethod
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds the network for one setting.

        The same values must always give the same network, and the same name the same range. Hyperparameters that
        matter only under some value of another are declared under a plain ``if``.

        Args:
            hp: Keras Tuner's ``HyperParameters``.

        Returns:
            A ``keras.Model`` of stock layers. Its input are images, shape (batch, height, width, channels), pixels
            scaled to 0..1, or normalised further where the study says so; a network that scales pixels itself gets
            those that it was made for, 0..255 or 0..1. Its outputs are class probabilities, shape (batch,
            num_classes). Further outputs are auxiliary heads of the same shape: they add to the loss, see
            `auxiliary_weight`, and are cut off when it is saved. A model that is not compiled is trained by the study's
            recipe; a compiled one is left alone.

        Raises:
            InfeasibleError: If there is no such network; the search goes on and learns to avoid the point.
        """

    def auxiliary_weight(self, hp: keras_tuner.HyperParameters) -> float:
        """Returns the weight of each auxiliary head in the loss, where `build` has returned any.

        Args:
            hp: The hyperparameters that the network was built with; more may be asked for.

        Returns:
            `AUXILIARY_WEIGHT` by default.
        """
        return AUXILIARY_WEIGHT

    def initialize(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> None:
        """Loads pretrained weights into a network that is going to be trained.

        `build` is called far more often: to count weights, to draw, to check limits.

        Args:
            hp: The hyperparameters that the network was built with.
            model: What `build` returned.
        """

    def prepare(self) -> None:
        """Fetches what its networks need, such as pretrained weights, in each process that continues a study.

        Raises:
            PluginError: If something is not available here; no trial is begun then.
        """

    def files(self) -> Sequence[Path]:
        """Returns the files, besides its own code, that its networks depend on, such as pretrained weights.

        A study that was begun is not continued when their content has changed.
        """
        return ()

    def phases(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> Iterator[Phase]:
        """Yields the phases of training; one by default.

        Before each ``yield`` it may set which layers are trainable: the network is compiled again for each phase, with
        the recipe's learning rate schedule over the phase's epochs. Early stopping ends a phase, and the next one
        begins with the best weights so far. It is called twice for a network: once only to learn what it asks for.
        Phases are not for models that `build` has compiled.

        Args:
            hp: The hyperparameters that the network was built with; more may be asked for.
            model: What `build` returned.
        """
        yield Phase()

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points known to be good, by name; a search tries them first.

        Returns:
            Values by hyperparameter; those not named keep their default.
        """
        return {}

    @property
    def fit_method(self) -> Callable[..., Any]:
        """What trains its networks: Keras Tuner's ``fit``, or its own."""
        method: Callable[..., Any] = self.fit
        return method

    @property
    def has_own_fit(self) -> bool:
        """Whether it has a ``fit`` of its own."""
        return getattr(self.fit_method, "__func__", None) is not keras_tuner.HyperModel.fit

    @property
    def has_own_phases(self) -> bool:
        """Whether it says in which phases its networks are trained."""
        return type(self).phases is not SearchSpace.phases

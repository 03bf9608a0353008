"""A search space for each test of training."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def make_space() -> Callable[..., Any]:
    """Returns a maker of search spaces: a `build(hp)`, and perhaps a `fit(hp, model, *args, **kwargs)`.

    Without a `build`, it is a dense network that learns digits in seconds.
    """
    from searchcnn.backend import start_keras

    start_keras()
    import keras
    import keras_tuner

    from searchcnn.spaces.adapter import adapt

    def dense(hp: Any) -> Any:
        images = keras.Input((8, 8, 1))
        x = keras.layers.Flatten()(images)
        x = keras.layers.Dense(hp.Int("units", 16, 64, default=32), activation="relu")(x)
        return keras.Model(images, keras.layers.Dense(10, activation="softmax")(x))

    class Space(keras_tuner.HyperModel):
        def __init__(self, build: Callable[[Any], Any]) -> None:
            super().__init__()
            self._make = build

        def build(self, hp: Any) -> Any:
            return self._make(hp)

    class FittingSpace(Space):
        def __init__(self, build: Callable[[Any], Any], fit: Callable[..., Any]) -> None:
            super().__init__(build)
            self._fit = fit

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return self._fit(hp, model, *args, **kwargs)

    def make(build: Callable[[Any], Any] | None = None, fit: Callable[..., Any] | None = None) -> Any:
        hypermodel = FittingSpace(build or dense, fit) if fit else Space(build or dense)
        hypermodel.input_shape, hypermodel.num_classes = (8, 8, 1), 10
        return adapt(hypermodel)

    return make

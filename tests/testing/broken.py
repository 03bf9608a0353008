"""Search spaces that are broken in one way each, and a sound one."""

import itertools
import os
import warnings
from typing import Any

import keras
from keras import layers

from searchcnn import InfeasibleError, SearchSpace

COUNTER = itertools.count(1)


class Sound(SearchSpace):
    """A convolution, perhaps a dense layer. Own work."""

    def build(self, hp: Any) -> Any:
        return self.network(hp, filters=hp.Int("filters", 4, 16, step=4))

    def network(self, hp: Any, filters: int, activation: Any = "relu", last: str = "softmax") -> Any:
        images = keras.Input(self.input_shape)
        x = layers.Conv2D(filters, 3, padding="same", activation=activation)(images)
        x = layers.GlobalAveragePooling2D()(x)
        if hp.Boolean("hidden"):
            x = layers.Dense(hp.Int("units", 8, 32, step=8), activation="relu")(x)
        return keras.Model(images, layers.Dense(self.num_classes, activation=last)(x))

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {"wide": {"filters": 16}}


class Undocumented(SearchSpace):
    def build(self, hp: Any) -> Any:
        return Sound.network(self, hp, filters=hp.Int("filters", 4, 16, step=4))


class Unreferenced(Sound):
    """A convolution."""


class OddSizes(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        if self.input_shape[0] % 2 and self.input_shape[0] > 1:
            raise ValueError("the height must be even")
        return super().build(hp)


class Sigmoids(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        return self.network(hp, hp.Int("filters", 4, 16, step=4), last="sigmoid")


class Lambda(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        model = super().build(hp)
        return keras.Model(model.input, layers.Lambda(lambda x: x)(model.output))


class OwnLayer(Sound):
    """Own work."""

    class Identity(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    def build(self, hp: Any) -> Any:
        model = super().build(hp)
        return keras.Model(model.input, self.Identity()(model.output))


class Silent(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        if hp.Int("filters", 4, 16, step=4) == 16:
            raise InfeasibleError("")
        return super().build(hp)

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {}


class Infeasible(Silent):
    """Own work."""

    def build(self, hp: Any) -> Any:
        if hp.Int("filters", 4, 16, step=4) > 4:
            raise InfeasibleError("too wide")
        return Sound.build(self, hp)


class Failing(Silent):
    """Own work."""

    def build(self, hp: Any) -> Any:
        if hp.Int("filters", 4, 16, step=4) == 16:
            raise KeyError("sixteen")
        return Sound.build(self, hp)


class Redeclared(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        hp.Int("filters", 4, 16, step=4)
        hp.Int("filters", 4, 32, step=4)
        return super().build(hp)


class OtherRange(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        is_wide = hp.Boolean("is_wide")
        return self.network(hp, hp.Int("filters", 4, 32 if is_wide else 16, step=4) + 16 * is_wide)


class Unstable(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        return self.network(hp, hp.Int("filters", 4, 16, step=4) + next(COUNTER))


class OtherDefault(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        return self.network(hp, hp.Int("filters", 4, 10**6, default=4 + next(COUNTER)) % 7 + 1)


class Dead(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        hp.Int("units", 8, 32, step=8)
        return super().build(hp)


class Ignored(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        hp.Choice("activation", ["relu", "elu"])
        return super().build(hp)


class Leaking(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        hp.Choice("kind", ["narrow", "wide"])
        with hp.conditional_scope("kind", ["wide"]):
            hp.Int("extra", 1, 4)
        is_wide = hp.get("kind") == "wide"
        return self.network(hp, hp.Int("filters", 4, 16, step=4) + hp.values.get("extra", 0) + 32 * is_wide)


class NoSuchBaseline(Sound):
    """Own work."""

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {"wide": {"filter": 16}}


class BaselineOutOfRange(Sound):
    """Own work."""

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {"wide": {"filters": 64}}


class BaselineNotAskedFor(Sound):
    """Own work."""

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {"wide": {"hidden": False, "units": 16}}


class Disconnected(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.Conv2D(hp.Int("filters", 4, 16, step=4), 3, padding="same")(images)
        x = keras.ops.stop_gradient(layers.GlobalAveragePooling2D()(x))
        return keras.Model(images, layers.Dense(self.num_classes, activation="softmax")(x))


def twice(x: Any) -> Any:
    return 2 * x


class OwnActivation(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        return self.network(hp, hp.Int("filters", 4, 16, step=4), activation=twice)


class Remembering(Sound):
    """Own work."""

    builds = 0

    def build(self, hp: Any) -> Any:
        self.builds += 1
        return self.network(hp, hp.Int("filters", 4, 16, step=4) + self.builds)


class Seeding(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        keras.utils.set_random_seed(0)
        return super().build(hp)


class Polluting(Sound):
    """Own work."""

    def build(self, hp: Any) -> Any:
        os.environ["SEARCHCNN_TEST_OF_POLLUTION"] = "1"
        keras.config.set_epsilon(1e-3)
        warnings.simplefilter("ignore")
        return super().build(hp)

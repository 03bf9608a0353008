"""From a builder's model to one that can be trained, and what is refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import InfeasibleError, PluginError
from searchcnn.training.normalization import Normalization

start_keras()

import keras  # noqa: E402
import keras_tuner  # noqa: E402

from searchcnn.augmentation import Augmentation  # noqa: E402
from searchcnn.training import Recipe, make_classifier  # noqa: E402
from searchcnn.training.labels import find_label_form  # noqa: E402
from searchcnn.training.last_layer import is_compiled  # noqa: E402
from searchcnn.training.network import build, compile_model  # noqa: E402

SHAPE = (8, 8, 1)
layers = keras.layers


class Space(keras_tuner.HyperModel):
    """Builds what it is given."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def build(self, hp: Any) -> Any:
        return self.make()


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(10, activation="softmax")

    def call(self, images: Any) -> Any:
        return self.dense(self.flatten(images))


def make_net(width: int = 10, hidden: Any = None) -> Any:
    images = keras.Input(SHAPE)
    x = layers.Flatten()(hidden(images) if hidden else images)
    return keras.Model(images, layers.Dense(width, activation="softmax")(x))


def build_in_space(make: Any) -> Any:
    return build(Space(make), keras_tuner.HyperParameters(), SHAPE, 10)


def make_recipe(**settings: Any) -> Recipe:
    return Recipe(epochs=1, patience=1, batch_size=8, optimizer="sgd", learning_rate=0.1, **settings)


def test_an_impossible_graph_is_infeasible() -> None:
    with pytest.raises(InfeasibleError, match="invalid graph") as raised:
        build_in_space(lambda: make_net(hidden=layers.Conv2D(4, 9, padding="valid")))
    assert raised.value.reason == "invalid graph"
    assert raised.value.detail
    assert "\n" not in raised.value.detail
    assert not raised.value.detail.startswith("Exception encountered")
    assert raised.value.excess > 0


def test_an_impossible_graph_without_an_input_layer_is_infeasible_too() -> None:
    with pytest.raises(InfeasibleError, match="invalid graph"):
        build_in_space(lambda: keras.Sequential([layers.Conv2D(4, 9), layers.Flatten(), layers.Dense(10)]))


def test_the_builder_can_say_that_a_point_is_infeasible() -> None:
    def refuse() -> Any:
        raise InfeasibleError("too deep")

    with pytest.raises(InfeasibleError, match="too deep"):
        build_in_space(refuse)


def test_an_error_of_the_builder_itself_is_no_invalid_graph() -> None:
    def wrong() -> Any:
        raise ValueError("my own mistake")

    def wrong_in_a_library() -> Any:
        return np.zeros(3).reshape(2, 2)

    class Broken(keras.Layer):
        def call(self, images: Any) -> Any:
            raise ValueError("my own layer")

    for make, words in (
        (wrong, "my own mistake"),
        (wrong_in_a_library, "reshape"),
        (lambda: make_net(10, Broken()), "own"),
    ):
        with pytest.raises(ValueError, match=words):
            build_in_space(make)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, r"build\(hp\) returned NoneType; expected a keras.Model"),
        (lambda: "net", r"returned str"),
        (lambda: layers.Dense(10), r"returned Dense"),
        (
            lambda: make_net(9),
            r"first output has shape \(None, 9\); expected class probabilities of shape \(None, 10\)",
        ),
        (lambda: keras.Sequential([keras.Input(SHAPE), layers.Dense(10)]), r"has shape \(None, 8, 8, 10\)"),
        (lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]), r"has shape \(None, 3\)"),
    ],
)
def test_what_is_no_classifier_is_refused(make: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        build_in_space(make)


def test_only_the_first_output_is_looked_at() -> None:
    images = keras.Input(SHAPE)
    flat = layers.Flatten()(images)
    model = keras.Model(images, [layers.Dense(10)(flat), layers.Dense(3)(flat)])
    with pytest.raises(PluginError, match=r"outputs of shapes .* auxiliary heads must have the first one's shape"):
        build_in_space(lambda: model)
    model.compile("sgd", ["mse", "mse"])
    assert build_in_space(lambda: model) is model


def test_a_model_without_an_input_layer_gets_its_weights() -> None:
    model = build_in_space(lambda: keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")]))
    assert model.count_params() == 65 * 10
    with pytest.raises(PluginError, match=r"Subclassed, which plain Keras cannot load; use stock layers only"):
        build_in_space(Subclassed)
    with pytest.raises(PluginError, match="no Lambda"):
        build_in_space(lambda: keras.Sequential([keras.Input(SHAPE), layers.Lambda(lambda x: x), layers.Flatten()]))


def test_building_keeps_what_the_builder_compiled() -> None:
    model = keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
    optimizer = keras.optimizers.SGD(0.5)
    model.compile(optimizer, "categorical_crossentropy")
    assert not is_compiled(make_net())
    assert is_compiled(build_in_space(lambda: model))
    assert model.optimizer is optimizer


def test_penalties_are_in_the_loss_and_not_in_the_file(tmp_path: Path) -> None:
    model = make_net(hidden=layers.Conv2D(2, 3, bias_initializer="ones"))
    compile_model(model, make_recipe(l1=0.01, l2=0.1), 1)
    kernels = [layer.get_weights()[0] for layer in model.layers if layer.get_weights()]
    penalty = sum(0.01 * np.abs(kernel).sum() + 0.1 * (kernel**2).sum() for kernel in kernels)
    assert len(kernels) == 2
    assert sum(map(float, model.losses)) == pytest.approx(penalty, rel=1e-5)

    images, labels = np.random.default_rng(0).random((16, *SHAPE), "float32"), np.arange(16) % 10
    likelihoods = np.asarray(model(images))[np.arange(16), labels]
    loss, _ = model.evaluate(images, labels, verbose=0)
    assert loss == pytest.approx(penalty - np.log(likelihoods).mean(), rel=1e-4)

    make_classifier(model, SHAPE).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.losses == []
    assert "L1L2" not in loaded.to_json()


def test_the_optimizer_is_not_in_the_file(tmp_path: Path) -> None:
    model = make_net()
    compile_model(model, make_recipe(), 1)
    model.fit(np.zeros((2, *SHAPE)), np.zeros(2), verbose=0)
    path = tmp_path / "model.keras"
    make_classifier(model, SHAPE).save(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.read("model.weights.h5")
    assert b"dense" in names
    assert b"optimizer" not in names


def test_without_penalties_the_loss_is_the_cross_entropy() -> None:
    model = make_net()
    compile_model(model, make_recipe(), 1)
    assert model.losses == []
    assert find_label_form(model).one_hot == (False,)


def test_label_smoothing() -> None:
    model = make_net()
    compile_model(model, make_recipe(label_smoothing=0.2), 1)
    assert find_label_form(model).one_hot == (True,)
    images, labels = np.random.default_rng(0).random((16, *SHAPE), "float32"), np.eye(10)[np.arange(16) % 10]
    smooth = labels * 0.8 + 0.02
    expected = -(smooth * np.log(np.asarray(model(images)))).sum(axis=-1).mean()
    loss, accuracy = model.evaluate(images, labels, verbose=0)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert accuracy == pytest.approx((np.asarray(model(images)).argmax(-1) == np.arange(16) % 10).mean())


def test_blended_labels_need_the_categorical_loss() -> None:
    model = make_net()
    compile_model(model, make_recipe(augmentation=Augmentation(mixup=0.2)), 1)
    assert find_label_form(model).one_hot == (True,)
    images, labels = np.random.default_rng(0).random((16, *SHAPE), "float32"), np.eye(10)[np.arange(16) % 10]
    blended = 0.3 * labels + 0.7 * labels[::-1]
    loss, _ = model.evaluate(images, blended, verbose=0)
    assert loss == pytest.approx(-(blended * np.log(np.asarray(model(images)))).sum(axis=-1).mean(), rel=1e-4)


@pytest.mark.parametrize("kind", ["scale", "standardize", "zca"])
def test_a_classifier_normalises(tmp_path: Path, kind: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, *SHAPE), np.uint8)
    normalization = Normalization.of(kind, pixels)
    model = make_net()
    make_classifier(model, SHAPE, normalization).save(tmp_path / "model.keras")
    predicted = keras.models.load_model(tmp_path / "model.keras").predict(pixels, verbose=0)
    np.testing.assert_allclose(
        predicted, model.predict(normalization.normalize(pixels), verbose=0), rtol=1e-4, atol=1e-5
    )

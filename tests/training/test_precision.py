"""Training steps are computed fast, and compute what Keras would."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest

from searchcnn import backend
from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402
from keras import layers  # noqa: E402

from searchcnn.training import precision  # noqa: E402
from searchcnn.training.precision import choose_precision, train_fast  # noqa: E402
from searchcnn.training.recipe import choose_settings, sample_recipe  # noqa: E402

IMAGES = np.random.default_rng(0).random((64, 8, 8, 1)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 10, 64)
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow's is fused")


def make_net(**options: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, use_bias=False)(images)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.7, **options)(x))
    model = keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model: keras.Model, kind: Any = "float32") -> Any:
    with train_fast(model, kind) as callbacks:
        return model.fit(IMAGES, LABELS, batch_size=24, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)


def get_norm(model: keras.Model) -> Any:
    return next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))


@on_tensorflow
def test_fused_normalization_computes_what_keras_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, its = make_net(), make_net()
    fused, calls = precision._normalize, list[Any]()

    def normalize(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return fused(*arguments, **options)

    monkeypatch.setattr(precision, "_normalize", normalize)
    fit(mine)
    its.fit(IMAGES, LABELS, batch_size=24, epochs=3, shuffle=False, verbose=0)
    assert calls
    for one, other in zip(mine.get_weights(), its.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    assert "call" not in vars(get_norm(mine))


@pytest.mark.parametrize("options", [{"axis": 1}, {"center": False}, {"scale": False}, {"renorm": True}])
def test_other_normalization_is_left_alone(options: dict[str, Any]) -> None:
    model = make_net(**options)
    with train_fast(model, "float32"):
        assert "call" not in vars(get_norm(model))
    fit(model)


def test_a_frozen_normalization_uses_its_statistics() -> None:
    model = make_net()
    get_norm(model).trainable = False
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = [np.array(weight) for weight in get_norm(model).get_weights()]
    fit(model)
    for one, other in zip(before, get_norm(model).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class Watch(keras.callbacks.Callback):
    """Notes what layers compute with, in training and in validation."""

    def __init__(self) -> None:
        super().__init__()
        self.training: set[tuple[str, ...]] = set()
        self.validating: set[tuple[str, ...]] = set()

    def read(self) -> tuple[str, ...]:
        return tuple(layer.compute_dtype for layer in self.model.layers)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.training.add(self.read())

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.validating.add(self.read())


def test_training_has_16_bits_and_validation_32() -> None:
    model, watch = make_net(), Watch()
    with train_fast(model, "mixed_bfloat16") as callbacks:
        history = model.fit(
            IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0, epochs=2, callbacks=[*callbacks, watch]
        )
    assert watch.training == {("bfloat16",) * 5 + ("float32",)}  # but for the layer that returns the probabilities
    assert watch.validating == {("float32",) * 6}
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert all(weight.dtype == "float32" for weight in model.weights)
    loss, accuracy = model.evaluate(IMAGES, LABELS, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-6)
    assert history.history["val_accuracy"][-1] == accuracy
    assert model(IMAGES).dtype == "float32"


def test_16_bits_change_what_is_computed_but_little() -> None:
    single, mixed = make_net(), make_net()
    losses = [fit(single).history["loss"][-1], fit(mixed, "mixed_bfloat16").history["loss"][-1]]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_layer_with_a_precision_of_its_own_keeps_it() -> None:
    images = keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(4, 3, dtype="mixed_float16")(images))
    model = keras.Model(images, layers.Dense(10, activation="softmax")(x))
    with train_fast(model, "mixed_bfloat16") as callbacks:
        callbacks[0].on_train_begin()
        assert [layer.compute_dtype for layer in model.layers[1:]] == ["float16", "bfloat16", "float32"]


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(backend, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(backend, "find_gpus", lambda: ())
    choose_precision.cache_clear()
    yield tmp_path / "cpuinfo"
    choose_precision.cache_clear()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags : fpu avx512f avx512_bf16 amx_bf16 amx_tile", "mixed_bfloat16"),
        ("flags : fpu avx512f avx512_bf16", "mixed_bfloat16"),
        ("flags : fpu avx512f avx512_vnni", "float32"),
        (None, "float32"),
    ],
)
@on_tensorflow
def test_the_machine_decides(cpu_info: Path, flags: str | None, expected: str) -> None:
    if flags is not None:
        cpu_info.write_text(flags)
    assert choose_precision() == expected


@on_tensorflow
def test_on_a_gpu_nothing_is_known_of_16_bits(cpu_info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_info.write_text("flags : amx_bf16")
    assert backend.prefers_bfloat16()
    monkeypatch.setattr(backend, "find_gpus", lambda: ["0"])
    assert not backend.prefers_bfloat16()


def test_the_backend_is_known_before_keras_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend.read_backend() == keras.backend.backend()
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert backend.read_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert backend.read_backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backend.read_backend() == "jax"


@pytest.mark.parametrize(("value", "expected"), [("auto", "float32"), ("mixed_bfloat16", "mixed_bfloat16")])
def test_the_recipe_says_what_was_decided(
    study_config: Callable[..., StudyConfig], few: Dataset, cpu_info: Path, value: str, expected: str
) -> None:
    config, suited = study_config(training={"precision": value}), choose_settings(few)
    for compiled, value in ((False, expected), (True, "float32")):
        assert sample_recipe(keras_tuner.HyperParameters(), config.training, compiled, suited).precision == value


def make_zoo() -> keras.Model:
    """Returns a network of as many kinds of layers as fit into one."""
    images = keras.Input((12, 12, 3))
    x = layers.Normalization(mean=[0.1] * 3, variance=[2.0] * 3)(layers.Rescaling(1 / 2)(images))
    x = layers.RandomZoom(0.1)(layers.RandomRotation(0.1)(layers.RandomFlip()(x)))
    x = layers.RandomTranslation(0.1, 0.1)(layers.RandomContrast(0.1)(layers.Resizing(16, 16)(x)))
    x = layers.GaussianNoise(0.1)(layers.SpatialDropout2D(0.1)(layers.SeparableConv2D(8, 3, padding="same")(x)))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same")(layers.ZeroPadding2D(1)(x))
    x = layers.GroupNormalization(4)(layers.PReLU(shared_axes=[1, 2])(x))
    x = layers.LayerNormalization()(layers.Conv2D(8, 3, groups=2, dilation_rate=2, activation="gelu")(x))
    x = layers.UnitNormalization()(layers.Conv2DTranspose(8, 3, strides=2, padding="same")(x))
    y = layers.AveragePooling2D(3, 1, padding="same")(layers.LeakyReLU()(x))
    z = layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(2)(layers.GaussianDropout(0.1)(x)))
    x = layers.Concatenate()([y, layers.Multiply()([y, z]), layers.Maximum()([y, z]), layers.Average()([y, z])])
    x = layers.BatchNormalization()(layers.Cropping2D(2)(x))
    gate = layers.Dense(32, activation="sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x))
    x = layers.Reshape((-1, 32))(x * gate + keras.ops.tanh(x))
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.Conv1D(8, 3)(layers.TimeDistributed(layers.Dense(8, activation="silu"))(x))
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(layers.EinsumDense("abc,cd->abd", (None, 8))(x))
    x = layers.AlphaDropout(0.1)(layers.LSTM(8)(x))
    model = keras.Model(images, layers.Softmax()(layers.Dense(10)(x)))
    model.compile("adamw", "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
def test_all_kinds_of_layers_can_be_trained_with_16_bits() -> None:
    model, pixels = make_zoo(), np.random.default_rng(0).random((16, 12, 12, 3)).astype(np.float32)
    with train_fast(model, "mixed_bfloat16") as callbacks:
        history = model.fit(pixels, LABELS[:16], validation_split=0.5, verbose=0, callbacks=callbacks)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(history.history["val_loss"]).all()
    assert model(pixels).dtype == "float32"

"""With JAX, networks are trained many steps at once: the same results as Keras' own loop, and less is compiled."""

import gc
import importlib.util
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.augmentation import Augmentation
from searchcnn.backend import compile_cheaply, read_backend, start_keras
from searchcnn.data import Dataset
from searchcnn.study import Recipe

IS_JAX = read_backend() == "jax"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
@pytest.mark.skipif(IS_JAX, reason="runs the others, which run already")
def test_with_jax() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


if not IS_JAX:
    pytest.skip("needs KERAS_BACKEND=jax", allow_module_level=True)

start_keras()

import keras  # noqa: E402
import keras_tuner  # noqa: E402

from searchcnn.training import compiled as compiled_module  # noqa: E402
from searchcnn.training import fit as fit_module  # noqa: E402
from searchcnn.training.candidate import Candidate  # noqa: E402
from searchcnn.training.compiled import Positive, Rates  # noqa: E402
from searchcnn.training.fit import Stretch, can_scan, fit_phase  # noqa: E402
from searchcnn.training.timed_schedule import TimedSchedule  # noqa: E402

layers = keras.layers
MakeSpace = Callable[..., Any]
RECIPE = Recipe(epochs=3, patience=9, batch_size=24, optimizer="adam", learning_rate=0.01, schedule="cosine")
CHANGING = Augmentation(flip=True, shift=0.2, rotation=10.0, zoom=0.1, contrast=0.2, cutout=0.3)


@dataclass
class Record(keras.callbacks.Callback):
    """What a training says of itself."""

    calls: list[tuple[str, int]] = field(default_factory=list)
    logs: list[dict[str, float]] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("batch", batch))

    def on_test_begin(self, logs: Any = None) -> None:
        self.calls.append(("test", 0))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch", epoch))
        self.logs.append({name: float(value) for name, value in logs.items()})
        self.iterations.append(int(self.model.optimizer.iterations))


def build(rate: float = 0.0, has_head: bool = False, norm: bool = True) -> keras.Model:
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, use_bias=not norm, name="conv")(images)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x) if norm else x
    x = layers.Flatten(name="flat")(layers.ReLU(name="relu")(x))
    out = layers.Dense(10, "softmax", name="main")(layers.Dropout(rate, name="drop")(x))
    head = layers.Dense(10, "softmax", name="head")(x)
    return keras.Model(images, {"main": out, "head": head} if has_head else out, name="net")


@pytest.fixture
def train(make_space: MakeSpace, few: Dataset, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Returns what trains a network and returns it with its record: ``train(recipe, is_scanned=True, rate=0.3)``."""

    def train_(recipe: Recipe, is_scanned: bool = True, callbacks: Any = (), parts: int = 1, **options: Any) -> Any:
        keras.utils.clear_session()
        keras.utils.set_random_seed(5)
        model, record = build(**options), Record()
        candidate = Candidate(make_space(lambda hp: model), keras_tuner.HyperParameters(), model, recipe, parts=parts)
        with monkeypatch.context() as patch:
            if not is_scanned:
                patch.setattr(fit_module, "can_scan", lambda candidate, stretch: False)
            fit_phase(candidate, Stretch(few.train, few.validation, seed=3, callbacks=[*callbacks, record]))
        return model, record

    return train_


def check_equal(one: Any, other: Any, tolerance: float = 2e-3) -> None:
    (model, record), (other_model, other_record) = one, other
    assert record.iterations == other_record.iterations
    for logs, others in zip(record.logs, other_record.logs, strict=True):
        assert list(logs) == list(others)
        assert logs == pytest.approx(others, rel=tolerance, abs=0.02)  # accuracy: two images of 96
    for weight, expected in zip(model.get_weights(), other_model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("is_looped", [False, True])
def test_results_are_those_of_keras(train: Any, is_looped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "is_looped", lambda: is_looped)
    check_equal(train(RECIPE), train(RECIPE, is_scanned=False))


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"augmentation": CHANGING, "class_weights": True}, {}),
        ({"augmentation": replace(CHANGING, mixup=0.2), "class_weights": True}, {}),
        ({"label_smoothing": 0.1, "weight_decay": 0.1, "optimizer": "adamw"}, {"has_head": True}),
        ({"optimizer": "sgd", "momentum": 0.9, "schedule": "one_cycle", "l2": 1e-3}, {"rate": 0.3}),
        ({"schedule": "step", "normalization": "standardize"}, {"norm": False}),
        ({"optimizer": "muon", "schedule": "linear", "weight_decay": 0.05}, {}),
        ({"schedule": "constant", "batch_size": 512}, {}),
        ({"schedule": "plateau"}, {"parts": 3}),
    ],
    ids=["augmented", "mixed", "heads", "dropout", "step", "muon", "one batch", "parts"],
)
def test_results_of_each_recipe_are_those_of_keras(train: Any, changes: Any, options: Any) -> None:
    recipe = replace(RECIPE, **changes)
    check_equal(train(recipe, **options), train(recipe, is_scanned=False, **options))


def test_bfloat16(train: Any) -> None:
    recipe = replace(RECIPE, precision="mixed_bfloat16")
    model, record = train(recipe)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}, "as it was before"
    check_equal((model, record), train(recipe, is_scanned=False), tolerance=0.05)
    assert record.logs != train(RECIPE)[1].logs


def test_callbacks_hear_what_keras_says(train: Any) -> None:
    _, record = train(RECIPE)
    epochs = [("test", 0), ("epoch", 0)], [("test", 0), ("epoch", 1)], [("test", 0), ("epoch", 2)]
    heard = [call for call in record.calls if call[0] != "batch"]
    assert heard == [call for epoch in epochs for call in epoch]
    assert record.calls[0] == ("batch", 0), "the first step alone: it is compiled"
    assert record.calls.count(("batch", 10)) == 3, "the last batch of each epoch"


class Stopping(keras.callbacks.Callback):
    """Ends a training at the end of some batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training = True


def test_a_callback_ends_it_between_two_batches(train: Any) -> None:
    _, record = train(RECIPE, callbacks=[Stopping()])
    assert record.calls == [("batch", 0), ("test", 0), ("epoch", 0)]
    assert record.iterations == [1]


def test_a_schedule_that_is_moved_on_ends_where_it_should(train: Any) -> None:
    class Slow:
        seconds, validation = 1.0, 0.0

    timed = TimedSchedule(11, Slow(), lambda: 1.6)  # type: ignore[arg-type]
    _, record = train(RECIPE, callbacks=[timed])
    assert record.iterations[-1] == 33
    assert record.logs[-1]["val_accuracy"] > 0.3


def count_loops() -> int:
    return len(compiled_module._loops)


@pytest.mark.parametrize(("optimizer", "schedule"), [("adamw", "cosine"), ("muon", "linear")])
def test_what_differs_in_rates_only_is_compiled_once(
    train: Any, monkeypatch: pytest.MonkeyPatch, optimizer: str, schedule: Any
) -> None:
    monkeypatch.setattr(compiled_module, "_loops", type(compiled_module._loops)())
    recipe = replace(RECIPE, optimizer=optimizer, schedule=schedule, weight_decay=0.1, label_smoothing=0.1)
    train(recipe, rate=0.2)
    assert count_loops() == 2, "one that trains, one that validates"
    other = replace(recipe, weight_decay=0.01, label_smoothing=0.05, learning_rate=0.02, epochs=2)
    again = train(other, rate=0.4)
    assert count_loops() == 2
    check_equal(again, train(other, is_scanned=False, rate=0.4))
    assert again[1].logs[1] != train(recipe, rate=0.2)[1].logs[1]


def test_what_differs_otherwise_is_compiled_again(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "_loops", type(compiled_module._loops)())
    train(RECIPE)
    for changes in ({"optimizer": "sgd"}, {"l2": 0.1}, {"batch_size": 8}, {"schedule": "step"}):
        count = count_loops()
        train(replace(RECIPE, **changes))
        assert count_loops() > count
    count = count_loops()
    train(RECIPE, norm=False)
    assert count_loops() == count + 2


def test_few_compiled_loops_are_kept(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "KEPT", 1)
    monkeypatch.setattr(compiled_module, "_loops", type(compiled_module._loops)())
    train(RECIPE)
    assert count_loops() == 1


def test_what_is_compiled_keeps_no_network(train: Any) -> None:
    seen = weakref.ref(train(RECIPE, rate=0.3)[0])
    keras.utils.clear_session()
    gc.collect()
    assert seen() is None


def test_rates_are_put_back(train: Any) -> None:
    model, _ = train(replace(RECIPE, label_smoothing=0.1), rate=0.3)
    assert model.get_layer("drop").rate == 0.3
    assert sorted(Rates(model).read()) == pytest.approx([0.01, 0.1, 0.1, 0.3, 33.0])
    assert bool(Positive(0.0)) and Positive(0.3) > 0


@pytest.mark.parametrize("folder", ["", "own"])
def test_what_jax_compiles_is_kept_on_disk(tmp_path: Path, folder: str) -> None:
    code = """
from searchcnn.backend import own_process, start_keras
own_process()
start_keras()
import jax
jax.jit(lambda x: x + 1)(1.0)
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    if folder:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / folder)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.joinpath(folder or "searchcnn/jax").glob("*-cache"))
    assert not (folder and (tmp_path / "searchcnn").exists())


def test_networks_are_tried_out_with_little_compiling() -> None:
    import jax

    with compile_cheaply():
        assert jax.config.read("jax_disable_most_optimizations")
        assert jax.numpy.ones(1).device.platform == "cpu"
    assert not jax.config.read("jax_disable_most_optimizations")


def test_images_that_are_not_in_memory_are_left_to_keras(make_space: MakeSpace, few: Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", few.train.images)
    mapped = replace(few.train, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    candidate = Candidate(make_space(), keras_tuner.HyperParameters(), build(), RECIPE)
    assert can_scan(candidate, Stretch(few.train, few.validation, seed=3))
    assert not can_scan(candidate, Stretch(mapped, few.validation, seed=3))
    own = make_space(fit=lambda hp, model, *args, **options: model.fit(*args, **options))
    assert not can_scan(replace(candidate, space=own), Stretch(few.train, few.validation, seed=3))

"""Labels come as the losses want them, those that Keras does not know included."""

import functools
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError

start_keras()

import keras  # noqa: E402

from searchcnn.training.label_form import LabelForm  # noqa: E402
from searchcnn.training.labels import find_label_form, takes_one_hot  # noqa: E402

layers, losses, ops = keras.layers, keras.losses, keras.ops


def focal(labels: Any, outputs: Any) -> Any:
    chosen = ops.take_along_axis(outputs, ops.cast(ops.reshape(labels, (-1, 1)), "int32"), axis=-1)
    return -ops.mean((1 - chosen) ** 2 * ops.log(chosen + 1e-7))


def log_likelihood(labels: Any, outputs: Any) -> Any:
    return -ops.sum(labels * ops.log(outputs + 1e-7), axis=-1)


def weighted(labels: Any, outputs: Any) -> Any:
    weights = ops.arange(1, outputs.shape[-1] + 1, dtype="float32")
    return ops.sum(weights * ops.square(ops.cast(labels, "float32") - outputs), axis=-1)


def wrapped(labels: Any, outputs: Any) -> Any:
    return losses.sparse_categorical_crossentropy(labels, outputs)


class Own(losses.Loss):  # type: ignore[name-defined]
    def call(self, labels: Any, outputs: Any) -> Any:
        return losses.categorical_crossentropy(labels, outputs)


@pytest.mark.parametrize(
    ("loss", "one_hot"),
    [
        ("categorical_crossentropy", True),
        ("CategoricalCrossentropy", True),
        ("sparse_categorical_crossentropy", False),
        ("SparseCategoricalCrossentropy", False),
        (losses.CategoricalCrossentropy(), True),
        (losses.CategoricalFocalCrossentropy(), True),
        (losses.SparseCategoricalCrossentropy(name="mine"), False),
        (losses.sparse_categorical_crossentropy, False),
        (losses.categorical_crossentropy, True),
        (functools.partial(losses.sparse_categorical_crossentropy, from_logits=False), False),
        (functools.partial(functools.partial(losses.categorical_crossentropy), label_smoothing=0.1), True),
        ("mse", True),
        (losses.Dice(), True),
        (None, False),
        (focal, False),
        (wrapped, False),
        (functools.partial(wrapped), False),
        (log_likelihood, True),
        (weighted, True),
        (Own(), True),
        (lambda labels, outputs: ops.mean(ops.square(labels - outputs)), True),
    ],
)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_what_a_loss_takes(loss: Any, one_hot: bool, classes: int) -> None:
    assert takes_one_hot(loss, classes) is one_hot


@pytest.mark.parametrize(
    ("loss", "why"), [(lambda labels, outputs: 0.0, "class$"), (lambda labels, outputs: 1 / 0, "division by zero")]
)
def test_a_loss_that_takes_no_labels(loss: Any, why: str) -> None:
    with pytest.raises(PluginError, match=f"takes neither class numbers, .* nor one-hot labels, .*{why}"):
        takes_one_hot(loss, 5)


def make_network(outputs: Any, loss: Any) -> Any:
    images = keras.Input((4,))
    heads = {name: layers.Dense(size, activation="softmax", name=name)(images) for name, size in (("b", 3), ("a", 3))}
    model = keras.Model(images, outputs(heads))
    model.compile("sgd", loss)
    return model


SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"


@pytest.mark.parametrize(
    ("outputs", "loss", "form"),
    [
        (lambda heads: heads["b"], {"b": SPARSE}, LabelForm((False,), 3)),
        (lambda heads: heads["b"], [ONE_HOT], LabelForm((True,), 3)),
        (lambda heads: {"b": heads["b"]}, {"b": ONE_HOT}, LabelForm((True,), 3, ("b",))),
        (lambda heads: list(heads.values()), SPARSE, LabelForm((False, False), 3)),
        (lambda heads: list(heads.values()), [SPARSE, ONE_HOT], LabelForm((False, True), 3)),
        (lambda heads: list(heads.values()), {"a": ONE_HOT, "b": SPARSE}, LabelForm((False, True), 3)),
        (lambda heads: heads, {"a": ONE_HOT, "b": SPARSE}, LabelForm((False, True), 3, ("b", "a"))),
        (lambda heads: list(heads.values()), {"b": SPARSE}, LabelForm((False, False), 3)),
    ],
)
def test_the_form_for_all_outputs(outputs: Any, loss: Any, form: LabelForm) -> None:
    assert find_label_form(make_network(outputs, loss)) == form

"""Muon: updates of kernels are orthogonal, all other weights are moved by AdamW."""

import numpy as np
import numpy.typing as npt
import pytest

from searchcnn.backend import start_keras

start_keras()

import keras  # noqa: E402

from searchcnn.training.muon import BETAS, EPSILON, RATE_SCALE, Muon, is_matrix, orthogonalize  # noqa: E402

Array = npt.NDArray[np.float32]
RANDOM = np.random.default_rng(0)


def move(optimizer: keras.optimizers.Optimizer, start: Array, gradients: Array) -> Array:
    """Returns where an optimizer moves a weight, given its gradient in each of some steps, shape (steps, ...)."""
    weight = keras.Variable(start)
    optimizer.build([weight])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    return np.asarray(keras.ops.convert_to_numpy(weight))


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_update_is_nearly_orthogonal(shape: tuple[int, int], dtype: str) -> None:
    matrix = RANDOM.standard_normal(shape, np.float32) @ np.diag(np.geomspace(1, 20, shape[1])).astype(np.float32)
    result = keras.ops.convert_to_numpy(orthogonalize(matrix, dtype))
    values = np.linalg.svd(result, compute_uv=False)
    assert result.dtype == np.float32
    assert 0.6 < np.median(values) <= values.max() < 1.3
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    assert np.sum(result * (left @ right)) > 0.7 * min(shape)  # the direction of the nearest orthogonal matrix


def test_a_kernel_of_a_convolution_is_a_matrix_of_its_output_channels() -> None:
    gradients = RANDOM.standard_normal((3, 3, 3, 4, 8), np.float32)
    kernel = move(Muon(0.1), np.zeros((3, 3, 4, 8), np.float32), gradients)
    flat = move(Muon(0.1), np.zeros((36, 8), np.float32), gradients.reshape(3, 36, 8))
    assert kernel.reshape(36, 8) == pytest.approx(flat)
    one = move(Muon(0.1), np.zeros((36, 8), np.float32), gradients[:1].reshape(1, 36, 8))
    assert np.linalg.svd(one, compute_uv=False) == pytest.approx(0.1 * RATE_SCALE * 6, rel=0.4)


def test_other_weights_are_moved_by_adamw() -> None:
    start, gradients = RANDOM.standard_normal(5, np.float32), RANDOM.standard_normal((6, 5), np.float32)
    adam = {"beta_1": BETAS[0], "beta_2": BETAS[1], "epsilon": EPSILON}
    expected = move(keras.optimizers.AdamW(0.1, weight_decay=0.02, **adam), start, gradients)
    assert move(Muon(0.1, weight_decay=0.02), start, gradients) == pytest.approx(expected, abs=1e-5)


def test_weight_decay_is_decoupled() -> None:
    still = np.zeros((2, 3, 4), np.float32)
    assert move(Muon(0.1, weight_decay=0.5), np.ones((3, 4), np.float32), still) == pytest.approx(0.95**2)


def test_which_weights_are_kernels() -> None:
    layers = [
        keras.layers.SeparableConv2D(8, 3),
        keras.layers.DepthwiseConv2D(3),
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((9, 9, 3)), *layers])
    kernels = [tuple(weight.shape) for weight in model.trainable_weights if is_matrix(weight)]
    assert kernels == [(1, 1, 3, 8), (3, 3, 8, 4), (4, 2)]

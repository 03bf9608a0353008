"""Muon: momentum whose updates of kernels are made orthogonal."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from searchcnn.keras_private import find_index

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the Newton-Schulz iteration, chosen for a steep slope at zero (Jordan et al. 2024)."""
STEPS = 3
"""Iterations. With the 5 of the same source, errors were 1.5 to 2 % larger (see docs/explanation/the-recipe.md)."""
RATE_SCALE = 0.2
"""Root mean square of an update relative to the learning rate, about that of Adam's (Liu et al. 2025)."""
MOMENTUM = 0.9
"""Of kernels. With 0.95, as in the same source, errors were 2 to 4 % larger."""
BETAS, EPSILON = (0.9, 0.99), 1e-7
"""Of the other weights' AdamW."""


class Muon(keras.optimizers.Optimizer):
    """Moves kernels by the orthogonal matrix that is nearest to their momentum, and all other weights by AdamW.

    A kernel of a convolution is a matrix with a column for each output channel. Keras' own `Muon` takes matrices only,
    and leaves convolutions to AdamW. Learning rates and weight decay are those of AdamW.

    Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the scale of an update: Liu et al. 2025,
    https://arxiv.org/abs/2502.16982.

    Args:
        learning_rate: A number or a schedule.
        weight_decay: Decoupled, of all weights.
        dtype: What the iteration computes with.
    """

    def __init__(self, learning_rate: Any = 0.01, weight_decay: float = 0.0, dtype: str = "float32") -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, name="muon")
        self._dtype = dtype
        self._slots: list[list[Any]] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state: a momentum for each variable, and a mean square for those that AdamW moves."""
        if self.built:
            return
        super().build(variables)
        for variable in variables:
            names = ["momentum"] if is_matrix(variable) else ["momentum", "velocity"]
            self._slots.append([self.add_variable_from_reference(variable, name) for name in names])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves a variable."""
        slots = self._slots[find_index(self, variable)]
        move = self._move_by_adam if len(slots) > 1 else self._move_kernel
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * move(gradient, *slots))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, as Keras asks for them."""
        return {**super().get_config(), "dtype": self._dtype}

    def _move_kernel(self, gradient: Any, momentum: Any) -> Any:
        """Returns the direction of a kernel, of its shape."""
        self.assign(momentum, MOMENTUM * momentum + gradient)
        matrix = ops.reshape(gradient + MOMENTUM * momentum, (-1, gradient.shape[-1]))  # Nesterov's
        scale = RATE_SCALE * math.sqrt(max(matrix.shape))
        return scale * ops.reshape(orthogonalize(matrix, self._dtype), gradient.shape)

    def _move_by_adam(self, gradient: Any, momentum: Any, velocity: Any) -> Any:
        """Returns Adam's direction of a variable (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
        step = ops.cast(self.iterations + 1, gradient.dtype)
        (first, second), square = BETAS, ops.square(gradient)
        self.assign(momentum, first * momentum + (1 - first) * gradient)
        self.assign(velocity, second * velocity + (1 - second) * square)
        mean, variance = momentum / (1 - ops.power(first, step)), velocity / (1 - ops.power(second, step))
        return mean / (ops.sqrt(variance) + EPSILON)


def is_matrix(variable: Any) -> bool:
    """Whether a weight is a kernel that maps channels to channels: not a bias, a scale or a depthwise kernel."""
    return len(variable.shape) > 1 and variable.shape[-1] > 1 and "depthwise" not in variable.name


def orthogonalize(matrix: Any, dtype: str = "float32") -> Any:
    """Returns about the nearest matrix with orthogonal rows or columns: its largest singular values are about 1.

    Args:
        matrix: Shape (rows, columns).
        dtype: What to compute with.

    Returns:
        A float32 matrix of the same shape.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.cast(matrix / (ops.norm(matrix) + EPSILON), dtype)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):  # the product of the smaller size
        square = ops.matmul(ops.transpose(x), x) if is_tall else ops.matmul(x, ops.transpose(x))
        polynomial = b * square + c * ops.matmul(square, square)
        x = a * x + (ops.matmul(x, polynomial) if is_tall else ops.matmul(polynomial, x))
    return ops.cast(x, "float32")

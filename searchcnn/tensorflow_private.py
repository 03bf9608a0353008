"""The private names of TensorFlow that searchcnn depends on: no other module touches them."""

from typing import Any


def read_gradients() -> dict[str, Any]:
    """Returns the table of the gradients of functions that TensorFlow keeps for ever, with their graphs, by name.

    It is the table itself: what is taken out of it is freed. Without such a table, in another release, it is empty.
    """
    from tensorflow.python.framework import ops

    table: dict[str, Any] = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    return table

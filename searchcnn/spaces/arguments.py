"""What the engine can tell a search space, by the names of its parameters."""

import inspect
from collections.abc import Callable
from typing import Any


def accepted(function: Callable[..., Any], input_shape: tuple[int, int, int], num_classes: int) -> dict[str, Any]:
    """Returns the arguments that a constructor or function has parameters for.

    Args:
        function: What is to be called.
        input_shape: Shape of an image: (height, width, channels) in pixels.
        num_classes: Number of classes; ``classes`` means the same, as in ``keras_tuner.applications``.
    """
    known = {"input_shape": input_shape, "num_classes": num_classes, "classes": num_classes}
    names = parameters(function)
    return {name: value for name, value in known.items() if name in names}


def parameters(function: Callable[..., Any]) -> list[str]:
    """Returns the names of a constructor's or function's parameters, without ``*args`` and ``**kwargs``."""
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]

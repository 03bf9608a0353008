"""Networks by name: those of ``keras.applications``, and the one whose weights are installed with searchcnn."""

import ast
import inspect
import warnings
from collections.abc import Callable
from typing import Any, Final

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError, nearest

EMBEDDED: Final = "EfficientNetLite0"
"""The network whose weights are installed with searchcnn."""
FIXED: Final = (
    *("input_shape", "input_tensor", "include_top", "include_preprocessing", "weights"),
    *("pooling", "classes", "classifier_activation", "name"),
)
"""Arguments of ``keras.applications`` that an author cannot choose."""

Make = Callable[..., Any]
"""Makes a network, as the functions of ``keras.applications`` do."""


def list_networks() -> dict[str, Make]:
    """Returns the functions that make the networks, by name."""
    start_keras()
    import keras

    from searchcnn.weights.efficientnet import EfficientNetLite0

    keras_own = {key: value for key, value in vars(keras.applications).items() if key[0].isupper()}
    return {EMBEDDED: EfficientNetLite0, **keras_own}


def find_network(name: str) -> tuple[Make, dict[str, Any]]:
    """Reads ``MobileNet(alpha=0.25)``.

    Returns:
        What makes the network, and the arguments that the name holds.

    Raises:
        PluginError: If there is no such network, or it has no such argument.
    """
    kind, arguments = _parse(name)
    if kind not in (makers := list_networks()):
        raise PluginError(f"backbone '{name}': keras.applications has no '{kind}'{nearest(kind, makers)}")
    options = [key for key in inspect.signature(makers[kind]).parameters if key not in FIXED]
    for key in arguments:
        if key not in options:
            hint = f"it has {', '.join(options)}" if options else "it has none"
            raise PluginError(f"backbone '{name}': '{key}' is not an argument that can be set; {hint}")
    return makers[kind], arguments


def sketch(make: Make, **arguments: Any) -> Any:
    """Makes a network without its top whose weights have shapes but no values, which is several times faster.

    Args:
        make: What makes it.
        arguments: What it is called with.
    """
    import keras

    with keras.StatelessScope(initialize_variables=False), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")  # weights fit any size
        return make(include_top=False, **arguments)


def _parse(name: str) -> tuple[str, dict[str, Any]]:
    try:
        expression = ast.parse(name, mode="eval").body
        call = expression if isinstance(expression, ast.Call) else ast.Call(expression, [], [])
        if isinstance(call.func, ast.Name) and not call.args:
            return call.func.id, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        pass
    raise PluginError(f"backbone '{name}': expected a name such as ResNet50 or MobileNet(alpha=0.25)")

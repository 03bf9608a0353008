"""Makes one of Optuna's samplers or pruners from its name."""

import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from searchcnn.errors import StudyFileError, nearest


def make(
    module: ModuleType, base: type[Any], key: str, name: str, options: Mapping[str, Any], also: Sequence[str] = ()
) -> Any:
    """Makes an object of the class ``name`` of a module.

    Args:
        module: Where to look for the class.
        base: What the class must derive from.
        key: The study file's key, for messages.
        name: The class's name.
        options: Its arguments; ``seed`` is left out where the class takes none.
        also: Further names that a user may give, for messages.

    Raises:
        StudyFileError: If there is no such class, or it does not take the arguments.
    """
    known = [n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base) and c is not base]
    if name not in known:
        raise StudyFileError(f"{key}: no '{name}'{nearest(name, known) or '; known: ' + ', '.join([*also, *known])}")
    kind = getattr(module, name)
    if "seed" not in inspect.signature(kind).parameters:
        options = {key: value for key, value in options.items() if key != "seed"}
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise StudyFileError(f"{key}: {name} cannot be made: {error}") from None

"""Public names that are imported when they are asked for, because the modules that they live in take time to import."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def import_lazily(
    namespace: Mapping[str, Any], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns what lets a package have names that are not imported yet: its ``__getattr__`` and its ``__dir__``.

    Args:
        namespace: The package's ``globals()``.
        homes: The modules that the names live in, by name.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    def list_names() -> list[str]:
        return sorted(namespace["__all__"])

    return get, list_names

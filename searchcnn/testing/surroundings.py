"""The state of the process, which building a network must not change."""

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "keras.config.floatx()": (keras.config.floatx, keras.config.set_floatx),
    "keras.config.epsilon()": (keras.config.epsilon, keras.config.set_epsilon),
    "keras.config.image_data_format()": (keras.config.image_data_format, keras.config.set_image_data_format),
    "the current folder": (os.getcwd, os.chdir),
    "os.environ": (lambda: dict(os.environ), lambda before: _restore(os.environ, before)),
    "sys.path": (lambda: list(sys.path), lambda before: sys.path.__setitem__(slice(None), before)),
    "the level of the root logger": (lambda: logging.root.level, logging.root.setLevel),
    "warnings.filters": (lambda: list(warnings.filters), lambda before: _restore_filters(before)),
}
"""The settings that are watched, each with functions that read and restore it."""


@contextmanager
def watch_settings(report: Callable[[str], None]) -> Iterator[None]:
    """Reports each setting that the body has changed, and restores it.

    Args:
        report: Called with the setting and its two values, in words.
    """
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    try:
        yield
    finally:
        for name, (read, write) in SETTINGS.items():
            after = read()
            if after != before[name]:
                report(f"{name}{_describe_change(before[name], after)}")
                write(before[name])


def find_reseeded(build: Callable[[], Any]) -> list[str]:
    """Returns the generators that a build seeds: their state afterwards does not depend on their state before.

    Drawing from them is allowed; Keras does so too, for the seeds of its layers.
    """
    python, numpy = random.getstate(), np.random.get_state()
    states = []
    try:
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            build()
            states.append({"random": random.getstate(), "numpy.random": np.random.get_state(legacy=False)["state"]})
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    return [name for name in states[0] if str(states[0][name]) == str(states[1][name])]


def _describe_change(before: Any, after: Any) -> str:
    """Describes how a value has changed; for a table or list, what has been added, changed or removed."""
    if isinstance(before, Mapping):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return f" ({', '.join(sorted(keys))})"
    if isinstance(before, list):
        changed = [item for item in after if item not in before] + [item for item in before if item not in after]
        return f" ({', '.join(map(str, changed)) or 'its order'})"
    return f" (from {before!r} to {after!r})"


def _restore(mapping: Any, before: Mapping[str, str]) -> None:
    mapping.clear()
    mapping.update(before)


def _restore_filters(before: list[Any]) -> None:
    warnings.resetwarnings()  # so that Python forgets its cached lookups
    warnings.filters[:] = before  # type: ignore[index]

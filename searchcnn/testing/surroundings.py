"""The state of the process that building a network must leave alone."""

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
    "os.environ": (lambda: dict(os.environ), lambda before: _put_back(os.environ, before)),
    "sys.path": (lambda: list(sys.path), lambda before: sys.path.__setitem__(slice(None), before)),
    "the level of the root logger": (lambda: logging.root.level, logging.root.setLevel),
    "warnings.filters": (lambda: list(warnings.filters), lambda before: _put_back_filters(before)),
}
"""What is watched, each with how it is read and how it is put back."""


@contextmanager
def watched(report: Callable[[str], None]) -> Iterator[None]:
    """Reports each setting that the body leaves changed, and puts it back.

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
                report(f"{name}{_change(before[name], after)}")
                write(before[name])


def reseeded(build: Callable[[], Any]) -> list[str]:
    """Returns the generators that a build seeds: whatever their state before, it is the same afterwards.

    Drawing from them is no fault; Keras does so too, for the seeds of its layers.
    """
    python, numpy = random.getstate(), np.random.get_state()
    ends = []
    try:
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            build()
            ends.append({"random": random.getstate(), "numpy.random": np.random.get_state(legacy=False)["state"]})
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    return [name for name in ends[0] if str(ends[0][name]) == str(ends[1][name])]


def _change(before: Any, after: Any) -> str:
    """Returns how a value has changed; of a table or list, what is new in it or gone from it."""
    if isinstance(before, Mapping):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return f" ({', '.join(sorted(keys))})"
    if isinstance(before, list):
        changed = [one for one in after if one not in before] + [one for one in before if one not in after]
        return f" ({', '.join(map(str, changed)) or 'its order'})"
    return f" (from {before!r} to {after!r})"


def _put_back(mapping: Any, before: Mapping[str, str]) -> None:
    mapping.clear()
    mapping.update(before)


def _put_back_filters(before: list[Any]) -> None:
    warnings.resetwarnings()  # so that Python forgets what it has looked up
    warnings.filters[:] = before  # type: ignore[index]

"""The private names of Keras that searchcnn depends on, all in one file."""

import contextlib
import threading
from collections.abc import Callable, Iterator

_REPLACING = threading.RLock()
"""Held by the thread that has replaced a name of Keras."""


@contextlib.contextmanager
def replaced_get_file(get_file: Callable[..., str]) -> Iterator[None]:
    """Lets ``keras.applications`` get their weights from another function in the body.

    They call it as ``get_file(file, url, cache_subdir=..., file_hash=...)``, the last one not always. Other threads
    wait until the body ends.

    Args:
        get_file: Returns the path of the file.
    """
    from keras.src.utils import file_utils

    with _REPLACING:
        original = file_utils.get_file
        file_utils.get_file = get_file
        try:
            yield
        finally:
            file_utils.get_file = original

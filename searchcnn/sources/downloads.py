"""Downloads built-in datasets."""

import contextlib
import io
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np

from searchcnn.backend import start_keras
from searchcnn.data.dataset import Arrays
from searchcnn.errors import DataError
from searchcnn.server import STALL_SECONDS, ServerError, check_answer
from searchcnn.sources import debian, idx
from searchcnn.sources.builtin import BUILTIN
from searchcnn.sources.folders import VARIABLE, find_keras_cache, list_folders
from searchcnn.sources.reading import make_split

ANSWER_SECONDS = 15.0
"""A server that has not answered after this time counts as unreachable."""


def download(name: str) -> tuple[Arrays, str]:
    """Downloads a built-in dataset, quietly.

    Returns:
        The dataset, and where it comes from.

    Raises:
        DataError: If no way works; the message names all of them.
    """
    ways = [_download_with_keras, _download_from_debian] if name == "fashion_mnist" else [_download_with_keras]
    failures = []
    for way in ways:
        try:
            return way(name)
        except ConnectionError as error:
            failures.append(str(error))
    raise DataError(_explain_failures(name, failures))


def _download_with_keras(name: str) -> tuple[Arrays, str]:
    _check_server(str(BUILTIN[name].origin))
    try:
        with _silence(), _limit_stalls():
            train, test = _load_with_keras(name)
        arrays = Arrays({"train": make_split(*train), "test": make_split(*test)})
        return arrays, f"Keras' download, now in {find_keras_cache()}"
    except Exception as error:  # Keras raises a plain Exception when a download fails
        raise ConnectionError(f"Keras' download ({error})") from error


def _download_from_debian(name: str) -> tuple[Arrays, str]:
    folder = debian.fetch()
    return idx.read(folder, name), f"Debian's {debian.PACKAGE}, now in {folder}"


def _check_server(url: str) -> None:
    try:
        check_answer(url, ANSWER_SECONDS)
    except ServerError as error:
        raise ConnectionError(f"Keras' download ({error})") from error


def _load_with_keras(name: str) -> Any:
    """Returns Keras' ``(images, labels), (images, labels)``, with the axes (samples, height, width[, channels])."""
    start_keras()
    import keras

    parts = getattr(keras.datasets, name).load_data()
    if keras.config.image_data_format() == "channels_last":
        return parts
    return [(np.moveaxis(images, 1, -1) if images.ndim == 4 else images, labels) for images, labels in parts]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _limit_stalls() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _explain_failures(name: str, failures: list[str]) -> str:
    sources = [f"{what} ({path})" for what, path in list_folders().items()] + failures
    debian_way = f", `apt-get install {debian.PACKAGE}`" if name == "fashion_mnist" else ""
    return (
        f"{name}: not found in {', '.join(sources)}; set {VARIABLE} to a folder that holds it{debian_way}, "
        "or use `--study digits`, which needs no download"
    )

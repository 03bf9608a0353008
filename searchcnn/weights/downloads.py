"""The weights of ``keras.applications``: from Keras' cache, or downloaded into it."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from searchcnn.backend import locate_keras_home
from searchcnn.errors import StoreError
from searchcnn.events import Hear, Progress, ignore
from searchcnn.files import check_writable
from searchcnn.keras_private import replace_get_file
from searchcnn.server import ServerError, check_answer, fetch, is_whole
from searchcnn.weights import embedded
from searchcnn.weights.applications import EMBEDDED, find_network, sketch

HOST: Final = "https://storage.googleapis.com"
"""Where the weights of ``keras.applications`` are."""
ONLINE_SECONDS: Final = 1.0
"""How long `is_online` waits."""
ANSWER_SECONDS: Final = 2.0
"""How long a download waits for the server's first answer, longer than a far or slow one takes."""

_hear: ContextVar[Hear] = ContextVar("hear", default=ignore)


class _WeightsAskedFor(BaseException):
    """Ends the making of a network as soon as it asks for its weights."""


@contextlib.contextmanager
def watch_downloads(hear: Hear) -> Iterator[None]:
    """Lets a function hear of the downloads of weights in the body.

    Args:
        hear: Hears how far each of them is.
    """
    before = _hear.set(hear)
    try:
        yield
    finally:
        _hear.reset(before)


@contextlib.contextmanager
def replace_downloads() -> Iterator[None]:
    """Lets ``keras.applications`` get their weights in the body as `get` does."""
    with replace_get_file(get):
        yield


def get(file: str, url: str, cache_subdir: str = "models", file_hash: str | None = None) -> str:
    """Finds a file in Keras' cache, or downloads it into it; stands for ``keras.utils.get_file``.

    Args:
        file: Its name.
        url: Where it can be downloaded.
        cache_subdir: The folder in Keras' own.
        file_hash: Its MD5 or SHA-256 in hexadecimal digits, if Keras knows it.

    Returns:
        Its path.

    Raises:
        ConnectionError: If it is not there and cannot be downloaded; the message says what was tried, and the ways out.
        StoreError: If it cannot be written.
    """
    if path := _find_cached(file, cache_subdir, file_hash):
        return str(path)
    path, hear = _choose_folder(cache_subdir) / file, _hear.get()

    def report_progress(come: int, total: int | None) -> None:
        hear(Progress(f"downloading {file}", come / total if total else None))

    try:
        check_answer(url, ANSWER_SECONDS)
        fetch(url, path, file_hash, report_progress)
    except ServerError as error:
        raise ConnectionError(_explain_failure(path, error)) from error
    return str(path)


def is_cached(name: str, size: int = 224) -> bool:
    """Whether the weights of one of ``keras.applications`` need no download; in about a second, without asking anyone.

    Args:
        name: As in `searchcnn.backbones.Backbone.load`.
        size: Side of the square images in pixels: MobileNet has weights for several.

    Raises:
        PluginError: If there is no such network.
    """
    make, _ = find_network(name)
    if make.__name__ == EMBEDDED:
        return embedded.has_embedded()
    answers: list[bool] = []

    def answer(file: str, url: str, cache_subdir: str = "models", file_hash: str | None = None) -> None:
        answers.append(_find_cached(file, cache_subdir, file_hash) is not None)

    _ask(name, size, answer)
    return answers == [True]


def download(name: str, size: int = 224) -> None:
    """Downloads the weights of one of ``keras.applications``, unless they are in Keras' cache.

    Args:
        name: As in `searchcnn.backbones.Backbone.load`.
        size: Side of the square images in pixels: MobileNet has weights for several.

    Raises:
        ConnectionError: If they are not there and cannot be downloaded; the message says what was tried.
        PluginError: If there is no such network.
        StoreError: If they cannot be written.
    """
    make, _ = find_network(name)
    if make.__name__ != EMBEDDED:
        _ask(name, size, get)


def is_online(seconds: float = ONLINE_SECONDS) -> bool:
    """Whether the server of the weights of ``keras.applications`` answers.

    Args:
        seconds: How long to wait.
    """
    try:
        check_answer(HOST, seconds)
    except ServerError:
        return False
    return True


def _ask(name: str, size: int, answer: Callable[..., Any]) -> None:
    """Lets a network ask for its weights, and makes no more of it than that."""

    def answer_and_end(*arguments: Any, **options: Any) -> str:
        answer(*arguments, **options)
        raise _WeightsAskedFor

    make, options = find_network(name)
    with contextlib.suppress(_WeightsAskedFor), replace_get_file(answer_and_end):
        sketch(make, weights="imagenet", input_shape=(size, size, 3), **options)


def _locate_homes() -> tuple[Path, Path]:
    """Returns where Keras puts what it downloads: the second where it cannot write to the first."""
    return locate_keras_home(), Path(tempfile.gettempdir(), ".keras")


def _find_cached(file: str, folder: str, digest: str | None) -> Path | None:
    return next((path for home in _locate_homes() if is_whole(path := home / folder / file, digest)), None)


def _choose_folder(name: str) -> Path:
    """Returns the folder to download into."""
    home, spare = _locate_homes()
    with contextlib.suppress(StoreError):
        check_writable(home / name)
        return home / name
    return spare / name


def _explain_failure(path: Path, error: ServerError) -> str:
    missing = "is damaged in" if path.exists() else "is not in"
    return (
        f"{path.name} {missing} {path.parent}, and its download failed: {error}; put {path.name} into {path.parent}, "
        "or give the path of a weights file made for this network without its top, or use EfficientNetLite0, which "
        "comes with searchcnn"
    )

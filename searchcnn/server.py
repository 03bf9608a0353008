"""Servers on the internet: whether one answers, and the files that it has."""

import contextlib
import hashlib
import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from searchcnn.files import guard_writing, replace_file

STALL_SECONDS: Final = 60.0
"""A download that has brought nothing for this time has failed."""
BLOCK: Final = 1 << 16
"""Bytes that are read at once."""
MD5_DIGITS: Final = 32
"""Hexadecimal digits of an MD5; longer ones are SHA-256s, as in ``keras.utils.get_file``."""

Progress = Callable[[int, int | None], None]
"""Is told how many bytes have come, and how many there are, None where the server does not say."""


class ServerError(Exception):
    """A server does not answer, or does not send what was asked for."""


def check_answer(url: str, seconds: float) -> None:
    """Asks a server for any answer at all.

    Offline, a download can wait for minutes: each of a host's addresses is tried in turn, and looking the host up has
    no time limit of its own. So the question is asked in a thread that nobody has to wait for.

    Args:
        url: What it is asked for.
        seconds: How long to wait.

    Raises:
        ServerError: If there is none in that time.
    """
    problems: list[str] = [f"no answer from {url} within {seconds:g} s"]
    asking = threading.Thread(target=_ask, args=(url, seconds, problems), daemon=True)
    asking.start()
    asking.join(seconds)
    if problems:
        raise ServerError(problems[-1])


def fetch(url: str, path: Path, digest: str | None = None, progress: Progress | None = None) -> None:
    """Downloads a file, which is whole or absent afterwards.

    Args:
        url: Where it is.
        path: What it becomes.
        digest: Its MD5 or SHA-256 in hexadecimal digits, if it is known.
        progress: Is called now and then.

    Raises:
        ServerError: If the server does not have it, stops sending it, or sends another one.
        StoreError: If it cannot be written.
    """
    with guard_writing(path), replace_file(path) as new:
        with new.open("wb") as file:
            _receive(url, file, progress)
        if not is_whole(new, digest):
            raise ServerError(f"{url}: what came is damaged, or another file; expected one whose hash is {digest}")


def is_whole(path: Path, digest: str | None = None) -> bool:
    """Whether a file is there and has a hash, an MD5 or SHA-256 in hexadecimal digits, if one is given."""
    if not path.is_file():
        return False
    if digest is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, _choose_algorithm(digest)).hexdigest() == digest


def _choose_algorithm(digest: str) -> Any:
    """Returns what makes such a hash; MD5 does not protect here, but many weights have nothing else."""
    return (lambda: hashlib.md5(usedforsecurity=False)) if len(digest) == MD5_DIGITS else hashlib.sha256


def _ask(url: str, seconds: float, problems: list[str]) -> None:
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=seconds).close()
        problems.clear()
    except urllib.error.HTTPError as error:  # it is there, if not willing
        error.close()
        problems.clear()
    except Exception as error:  # in a thread, anything else would be a traceback on the terminal
        problems.append(_explain(url, error))


def _receive(url: str, file: BinaryIO, progress: Progress | None) -> None:
    with _translate_errors(url):
        response = urllib.request.urlopen(url, timeout=STALL_SECONDS)
    with response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        for block in iter(lambda: _read_block(url, response), b""):
            file.write(block)
            if progress is not None:
                progress(file.tell(), total)
    if total is not None and file.tell() < total:
        raise ServerError(f"{url}: it ended after {file.tell()} of {total} bytes")


def _read_block(url: str, response: Any) -> bytes:
    with _translate_errors(url):
        block: bytes = response.read(BLOCK)
        return block


@contextlib.contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ServerError(f"{url}: nothing came for {STALL_SECONDS:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(_explain(url, error)) from error


def _explain(url: str, error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"{url}: {error.code} {error.reason}"
    return f"{url}: {getattr(error, 'reason', error)}"

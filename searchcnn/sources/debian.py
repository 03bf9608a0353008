"""Fetches Fashion-MNIST from Debian's mirror, without root and without installing it."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from searchcnn.files import locate_cache
from searchcnn.sources import idx

PACKAGE = "dataset-fashion-mnist"
LISTS = Path("/var/lib/apt/lists")
TIMEOUT_SECONDS = 300.0
_FOLDER = "fashion-mnist"
_OFFLINE_FAST = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")


def fetch() -> Path:
    """Downloads the package and unpacks its four files into searchcnn's cache.

    Returns:
        The folder of the four files.

    Raises:
        ConnectionError: If that does not work here, with the reason.
    """
    if missing := [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]:
        raise ConnectionError(f"Debian's {PACKAGE} (no {' and no '.join(missing)} here)")
    try:
        locate_cache("datasets").mkdir(parents=True, exist_ok=True)
        return _fetch_into(locate_cache("datasets") / _FOLDER)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConnectionError(f"Debian's {PACKAGE} ({_explain(error)})") from error


def _fetch_into(folder: Path) -> Path:
    """Unpacks next to the folder and moves all files in one step: the cache is either complete or absent."""
    with tempfile.TemporaryDirectory(prefix=f".{_FOLDER}-", dir=folder.parent) as temporary:
        _refresh_lists()
        _run(["apt-get", *_OFFLINE_FAST, "download", PACKAGE], Path(temporary))
        package = next(Path(temporary).glob("*.deb"), None)
        if package is None:
            raise OSError("apt-get download left no package")
        _run(["dpkg-deb", "-x", str(package), "unpacked"], Path(temporary))
        unpacked = Path(temporary, "unpacked", "usr", "share", "datasets", _FOLDER)
        if not idx.is_complete(unpacked):
            raise OSError(f"the package lacks {', '.join(idx.FILES)}")
        _move(unpacked, folder)
    return folder


def _refresh_lists() -> None:
    """Updates apt's lists if they are empty; if that is not allowed, the download fails with the reason."""
    if not any(LISTS.glob("*_Packages*")):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _run(["apt-get", *_OFFLINE_FAST, "update"], Path("/"))


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        timeout=TIMEOUT_SECONDS,
    )


def _move(unpacked: Path, folder: Path) -> None:
    if folder.exists() and not idx.is_complete(folder):
        shutil.rmtree(folder)  # a file was deleted because it was damaged
    try:
        unpacked.rename(folder)
    except OSError:
        if not idx.is_complete(folder):  # else another process was faster
            raise


def _explain(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.strip().splitlines()
        return lines[-1] if lines else f"{error.cmd[0]} exited with code {error.returncode}"
    return " ".join(str(error).split())

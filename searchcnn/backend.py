"""Starts Keras: late, once and without noise.

Importing Keras with TensorFlow takes seconds, so nothing imports it at module level that `searchcnn --help` or
`searchcnn status` needs.
"""

import contextlib
import gc
import importlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path


def keras_home() -> Path:
    """Returns the folder that Keras downloads into."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path.home() / ".keras"


def find_gpus() -> Sequence[str]:
    """Returns the NVIDIA GPUs that this process may use, without importing a framework."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:  # a driver in trouble
        return ()
    return done.stdout.split() if done.returncode == 0 else ()


def start_keras() -> None:
    """Imports Keras and Keras Tuner without their start-up messages.

    Later ``import keras`` statements are then silent too. When an import fails, what it printed is shown.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("keras")
        importlib.import_module("keras_tuner")
    gc.freeze()  # a full collection, one before each trial, need not look at a million objects of the framework's own
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


@contextlib.contextmanager
def quiet_stderr(show_failure: bool = True) -> Iterator[None]:
    """Holds back what native code writes to standard error.

    TensorFlow's C++ start-up lines go to the file descriptor, past ``sys.stderr``.

    Args:
        show_failure: Show it when the body fails.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # standard error is closed: nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(original, 2)
            held.seek(0)
            os.write(2, held.read() if show_failure else b"")
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)

"""Starts Keras late, cleans up after it, and holds what is set for a whole process.

Importing Keras with TensorFlow takes seconds, so nothing imports it at module level that `searchcnn --help` or
`searchcnn status` needs. In somebody's notebook searchcnn is a guest and sets nothing; the command line and the worker
call `own_process` first.
"""

import contextlib
import gc
import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from searchcnn import streams
from searchcnn.errors import UsageError
from searchcnn.files import locate_cache
from searchcnn.tensorflow_private import read_gradients

NOISY = ("absl", "optuna", "tensorflow")
"""Libraries that log what is not meant for users of searchcnn."""
CPU_INFO, BFLOAT16_UNITS = Path("/proc/cpuinfo"), {"amx_bf16", "avx512_bf16"}
"""Where Linux says what the processor can do, and what it has that multiplies bfloat16: matrices or vectors."""
TRAINED_MACS, FAST_TRAINED_MACS, GPU_TRAINED_MACS = 15e9, 30e9, 1e12
"""Multiply-accumulates of forward passes that are trained in a second: by a CPU core, the median of 19 networks of
three search spaces, which had 7e9 to 22e9 in searches of Fashion-MNIST and CIFAR-10 on an AMD EPYC; twice as many where
`prefers_bfloat16`; by any GPU, at least."""

JAX_NETWORKS = 20
"""Networks after which JAX forgets what it has compiled, which it would keep for ever: some 7 MB of each. Until then
operations that networks share, such as those that draw initial weights, are compiled once."""

JAX_CACHE, JAX_CACHE_BYTES = "jax", 2**31
"""Folder of searchcnn's cache in which JAX keeps what it has compiled, for all processes, and its largest size."""

_is_own = False
"""Whether this process is searchcnn's own."""
_networks = 0
"""Number of networks that were cleared away."""


def own_process() -> None:
    """Makes this process searchcnn's own: libraries do not log, Keras starts in silence, all characters are printed.

    It is for the ``main`` function of a command or of a worker, before Keras starts. It imports nothing.
    """
    global _is_own
    _is_own = True
    streams.adapt()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of its folder while it is imported
    for library in NOISY:
        silence(library)


def silence(library: str) -> None:
    """Lets a library that was imported log errors only, in a process of searchcnn's own.

    Optuna sets its level when it is imported, so that it has to be silenced afterwards.
    """
    if _is_own and library in sys.modules:
        logging.getLogger(library).setLevel(logging.ERROR)


def locate_keras_home() -> Path:
    """Returns the folder that Keras downloads into."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path.home() / ".keras"


def count_cpus() -> int:
    """Returns how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def read_backend() -> str:
    """Returns the name of the backend that Keras has, or will have, without importing it."""
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    with contextlib.suppress(OSError, ValueError, KeyError):
        return os.environ.get("KERAS_BACKEND") or str(
            json.loads((locate_keras_home() / "keras.json").read_text(encoding="utf-8"))["backend"]
        )
    return "tensorflow"


def prefers_bfloat16() -> bool:
    """Whether training steps are computed faster with bfloat16 than with float32, as far as that is known.

    On one core of a processor that multiplies vectors of bfloat16 (an AMD EPYC), steps of four networks took 0.72 to
    0.79 times as long. On one with a matrix unit a step of a residual network of 5.5M multiply-accumulates took
    61 ms as Keras does it, 45 ms with fused batch normalisation, and 21 ms with bfloat16 besides. Without either unit,
    bfloat16 is slower than float32.
    """
    with contextlib.suppress(OSError):
        has_unit = not BFLOAT16_UNITS.isdisjoint(CPU_INFO.read_text().split())
        return has_unit and read_backend() == "tensorflow" and not find_gpus()
    return False


def estimate_training_speed() -> float:
    """Returns roughly how many multiply-accumulates of forward passes this machine trains in a second."""
    if find_gpus():
        return GPU_TRAINED_MACS
    return count_cpus() * (FAST_TRAINED_MACS if prefers_bfloat16() else TRAINED_MACS)


def start_keras() -> None:
    """Imports Keras and Keras Tuner; in a process of searchcnn's own, without their start-up messages.

    Later ``import keras`` statements are then silent too. When an import fails, what it printed is shown.
    """
    if "keras" in sys.modules:
        return
    with silence_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("keras")
        except ModuleNotFoundError as error:
            raise UsageError(
                f"Keras cannot use its backend ({error}); install it, or set KERAS_BACKEND to one that is installed, "
                "such as tensorflow"
            ) from error
        importlib.import_module("keras_tuner")
    if _is_own:
        gc.freeze()  # a full collection, one before each trial, need not look at a million objects of the framework's
        for library in NOISY:
            silence(library)
        if read_backend() == "jax":
            _keep_compiled()


def _keep_compiled() -> None:
    """Has JAX keep what it compiles on disk, unless the user has said where; the least recently used goes."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(locate_cache(JAX_CACHE)))
        jax.config.update("jax_compilation_cache_max_size", JAX_CACHE_BYTES)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # initial weights: 0.1 s for each shape


@contextlib.contextmanager
def silence_stderr(show_failure: bool = True) -> Iterator[None]:
    """Holds back what native code writes to standard error, in a process of searchcnn's own.

    TensorFlow's C++ start-up lines go to the file descriptor, past ``sys.stderr``. In another process it is
    not ours to hold back.

    Args:
        show_failure: Show it when the body fails.
    """
    if not _is_own:
        yield
        return
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


def clear_keras() -> None:
    """Frees what earlier networks have left in the framework; settings of the user's stay."""
    import keras

    global _networks
    with keep_settings():
        keras.utils.clear_session()  # collects garbage too
    _networks += 1
    if keras.backend.backend() == "jax" and _networks % JAX_NETWORKS == 0:
        import jax

        jax.clear_caches()


@contextlib.contextmanager
def compile_cheaply() -> Iterator[None]:
    """Has JAX compute on the CPU in the body, and compile in little time: for networks of which one batch is trained.

    Two networks took 16 s on two cores instead of 24 s, mostly to draw their weights; for a GPU JAX compiles longer.
    """
    if read_backend() != "jax":
        yield
        return
    import jax

    device: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    with contextlib.suppress(RuntimeError):  # JAX was told to leave the CPU alone
        device = jax.default_device(jax.devices("cpu")[0])
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        with device:
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@contextlib.contextmanager
def keep_settings() -> Iterator[None]:
    """Puts Keras' settings back that the body changes: those of one search space are not another's."""
    from keras import config

    policy, is_flash = config.dtype_policy(), config.is_flash_attention_enabled()
    is_filtering, is_interactive = config.is_traceback_filtering_enabled(), config.is_interactive_logging_enabled()
    try:
        yield
    finally:
        config.set_dtype_policy(policy)
        if is_flash is not None:
            (config.enable_flash_attention if is_flash else config.disable_flash_attention)()
        (config.enable_traceback_filtering if is_filtering else config.disable_traceback_filtering)()
        (config.enable_interactive_logging if is_interactive else config.disable_interactive_logging)()


@contextlib.contextmanager
def free_graphs() -> Iterator[None]:
    """Lets go of the graphs that TensorFlow makes in the body, which it would keep for ever.

    Keras sums the gradients of several devices in a function with a gradient of its own, and TensorFlow keeps a table
    of such gradients, with their graphs, that nothing is ever taken out of: some 3 MB with each trial.
    """
    import keras

    table = read_gradients() if keras.backend.backend() == "tensorflow" else {}
    before = set(table)
    try:
        yield
    finally:
        for name in table.keys() - before:
            if name.startswith("CustomGradient-"):
                del table[name]

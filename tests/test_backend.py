"""Keras is started and cleaned up; what is set for a whole process is set in processes of searchcnn's own only."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from searchcnn import backend
from searchcnn.backend import JAX_NETWORKS, clear_keras, free_graphs, keep_settings, start_keras
from searchcnn.tensorflow_private import read_gradients

STATE = """
import gc, json, logging, os, sys
libraries = ("absl", "optuna", "tensorflow")
levels = {name: logging.getLogger(name).level for name in libraries if name in sys.modules}
print(json.dumps([levels, logging.root.level, gc.get_freeze_count(), dict(os.environ)]))
"""
PLAIN = "import optuna, keras, keras_tuner\n"
IMPORTED = "import searchcnn, searchcnn.store, searchcnn.store.study\n"
STARTED = IMPORTED + "from searchcnn.backend import start_keras; start_keras()\n"
OWN = "from searchcnn.backend import own_process; own_process()\n"
SET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}


@functools.cache
def run(code: str, *arguments: str) -> tuple[str, str]:
    """Runs Python in a fresh process; returns what it printed on standard output and error."""
    environment = {key: value for key, value in os.environ.items() if key not in SET}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout, done.stderr


def state(code: str) -> Any:
    """Returns what is set in a fresh process after some code: levels of loggers, frozen objects, the environment."""
    return json.loads(run(code + STATE)[0].splitlines()[-1])


def test_importing_sets_nothing() -> None:
    assert state(IMPORTED) == state("import optuna\n")


@pytest.mark.slow
def test_starting_keras_sets_nothing_but_what_keras_sets() -> None:
    assert state(STARTED) == state(PLAIN)


@pytest.mark.slow
def test_starting_keras_hides_nothing() -> None:
    assert bool(run(STARTED + STATE)[1]) == bool(run(PLAIN + STATE)[1])


@pytest.mark.slow
def test_a_process_of_its_own_is_silent() -> None:
    out, err = run(f"{OWN}import sys; assert not {{'optuna', 'keras', 'numpy'}} & set(sys.modules)\n{STARTED}{STATE}")
    levels, root, frozen, environment = json.loads(out)
    assert levels == {"absl": 40, "optuna": 40, "tensorflow": 40}
    assert root == 30
    assert frozen > 100_000
    assert environment.items() >= SET.items()
    assert err == ""


@pytest.mark.slow
def test_what_was_imported_before_is_silenced_too() -> None:
    levels, *_, environment = state(PLAIN + OWN)
    assert levels == {"absl": 40, "optuna": 40, "tensorflow": 40}
    assert environment.items() >= SET.items()


@pytest.mark.parametrize(("first", "says"), [("", True), (OWN, False)])
def test_optuna_logs_to_guests_only(first: str, says: bool, tmp_path: Path) -> None:
    code = f"""{first}
import sys
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import Objective
StoredStudy(open_storage(parse_url(sys.argv[1])), "x", Objective("val_accuracy", "maximize"))
"""
    assert ("A new study created" in run(code, f"sqlite:///{tmp_path}/x.db")[1]) == says


@pytest.mark.slow
def test_nothing_of_optuna_is_seen_in_a_search(tmp_path: Path) -> None:
    """Nor in a worker's log: see `tests/cli/test_commands.py`."""
    options = ["--trials", "1", "--set", "training.epochs=1", "--set", "data.validation=200", "--workers", "0"]
    command = [sys.executable, "-m", "searchcnn", "optimize", "--study", "digits", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "study created" not in done.stdout


def test_what_the_body_sets_in_keras_is_put_back() -> None:
    start_keras()
    import keras

    policy = keras.config.dtype_policy()
    with pytest.raises(KeyError), keep_settings():
        keras.config.set_dtype_policy("mixed_float16")
        keras.config.disable_traceback_filtering()
        raise KeyError
    assert keras.config.dtype_policy() == policy
    assert keras.config.is_traceback_filtering_enabled()


def test_graphs_of_the_body_are_freed() -> None:
    start_keras()
    import tensorflow as tf

    @tf.custom_gradient
    def double(x: Any) -> tuple[Any, Any]:
        return 2 * x, lambda upstream: 2 * upstream

    before = set(read_gradients())
    with free_graphs():
        tf.function(double)(tf.constant(1.0))
        assert set(read_gradients()) > before
    assert set(read_gradients()) == before


@pytest.mark.slow
def test_what_jax_has_compiled_is_kept_for_some_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they share is compiled once; what only one of them needs is freed in the end."""
    start_keras()
    import keras

    numbers: list[int] = []
    cleared: list[int] = []
    monkeypatch.setattr(backend, "_networks", 0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(clear_caches=lambda: cleared.append(len(numbers))))
    for number in range(2 * JAX_NETWORKS):
        numbers.append(number)
        clear_keras()
    assert cleared == [JAX_NETWORKS, 2 * JAX_NETWORKS]

"""With JAX where there is no TensorFlow: a search, kill -9 and what comes after it, and a file for TensorFlow's Keras.

Run: make test-jax
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from searchcnn.backend import read_backend
from searchcnn.data import Dataset
from searchcnn.store import parse_url, read_summary

if read_backend() != "jax":
    pytest.skip("needs KERAS_BACKEND=jax", allow_module_level=True)

pytestmark = [pytest.mark.jax, pytest.mark.slow]

STUDY = """
spaces = ["sequential"]
[data]
name = "digits"
validation = 200
[budget]
trials = 4
[training]
epochs = 3
"""
"""Trials are counted, and not the time: no decision depends on how fast the machine is."""
OPTIMIZE = ("optimize", "--study", "small.toml")
ROOT = Path(__file__).parents[1]
TENSORFLOW = Path(os.environ.get("SEARCHCNN_TENSORFLOW", ROOT / ".venv" / "bin" / "python"))
"""A Python that has TensorFlow."""
PREDICT = """
import json, sys
import keras, numpy as np
assert keras.backend.backend() == "tensorflow"
print(json.dumps(keras.saving.load_model(sys.argv[1]).predict(np.load(sys.argv[2]), verbose=0).tolist()))
"""


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns environment variables with which TensorFlow cannot be imported."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "tensorflow.py").write_text("raise ImportError('TensorFlow is hidden')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "KERAS_BACKEND": "jax"}


def start(folder: Path, variables: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    (folder / "small.toml").write_text(STUDY)
    command = [sys.executable, "-m", "searchcnn", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=folder, env=variables, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload, no-any-return]


def call(folder: Path, variables: dict[str, str], *arguments: str) -> str:
    with start(folder, variables, *arguments) as process:
        printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return printed


def read_results(folder: Path) -> list[tuple[str, float | None, int]]:
    summary = read_summary(parse_url(f"sqlite:///{folder}/studies/small.db"), "small")
    return [(trial.state, trial.value, trial.epochs) for trial in summary.trials]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, without_tensorflow: dict[str, str]) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    call(folder, without_tensorflow, *OPTIMIZE)
    return folder


def test_a_search_finds_a_network_that_is_evaluated(searched: Path, without_tensorflow: dict[str, str]) -> None:
    assert max(value or 0.0 for _, value, _ in read_results(searched)) > 0.8
    scores = json.loads(call(searched, without_tensorflow, "evaluate", "small", "--json"))
    assert scores["accuracy"] > 0.8


def test_a_killed_search_ends_as_one_that_was_not(
    searched: Path, without_tensorflow: dict[str, str], tmp_path: Path
) -> None:
    with start(tmp_path, without_tensorflow, *OPTIMIZE) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "trial 1: epoch" in line)
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(1)  # a worker is in a session of its own, and ends when it notices
    call(tmp_path, without_tensorflow, *OPTIMIZE)
    assert read_results(tmp_path) == read_results(searched)


@pytest.mark.skipif(not TENSORFLOW.exists(), reason=f"needs TensorFlow: {TENSORFLOW}")
def test_tensorflow_loads_the_file_and_predicts_the_same(
    searched: Path, digits: Dataset, tmp_path: Path, without_tensorflow: dict[str, str]
) -> None:
    call(searched, without_tensorflow, "export", "small", str(tmp_path / "best.keras"))
    np.save(tmp_path / "images.npy", digits.test.images[:50])
    import keras

    expected = keras.saving.load_model(tmp_path / "best.keras").predict(digits.test.images[:50], verbose=0)
    command = [str(TENSORFLOW), "-c", PREDICT, str(tmp_path / "best.keras"), str(tmp_path / "images.npy")]
    variables = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, atol=1e-4)

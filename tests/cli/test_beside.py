"""Every command finds the files beside a search space and beside a function of images, in processes of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FILES = {
    "code/nets.py": """
from my_layers import block
import keras

def build_model(hp, input_shape, num_classes):
    from late import head
    return keras.Sequential([keras.Input(input_shape), block(hp.Int("filters", 4, 8)), *head(num_classes)])
""",
    "code/my_layers.py": "import keras\ndef block(filters): return keras.layers.Conv2D(filters, 3)\n",
    "code/late.py": "from keras import layers\ndef head(n): return layers.Flatten(), layers.Dense(n, 'softmax')\n",
    "code/images.py": """
from paths import COUNT
import numpy as np

def load():
    from late_paths import SIDE
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 1), dtype="uint8")
    return pixels, np.arange(COUNT) % 3
""",
    "code/paths.py": "COUNT = 90\n",
    "code/late_paths.py": "SIDE = 8\n",
    "nets.py": "from my_layers import wide as build_model\n",
    "my_layers.py": """
import keras

def wide(hp, input_shape, num_classes):
    head = keras.layers.Dense(num_classes, activation="softmax")
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(99), head])
""",
    "random.py": "raise RuntimeError('a file of the current folder is not Python's')\n",
    "code/keras.py": "raise RuntimeError('a file beside a search space is not Keras')\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose search spaces and images import files beside them, some of the same name."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "code").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "image.png")
    return folder


def call(folder: Path, *args: str) -> str:
    """Runs a command as the installed script does, without the current folder on the path."""
    command = [sys.executable, "-P", "-m", "searchcnn", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_search_and_what_comes_after_it(folder: Path) -> None:
    spaces = 'spaces=["code/nets.py:build_model", "my_layers:wide"]'
    call(folder, "studies", "new", "mine", "--data", "code/images.py:load")
    small = ("--set", "training.epochs=1", "--set", spaces)
    printed = call(folder, "optimize", "--study", "mine", *small, "--trials", "2")
    assert "trial 0: COMPLETE" in printed
    assert "trial 1: COMPLETE" in printed
    evaluated = call(folder, "evaluate", "mine")
    assert "accuracy" in evaluated
    assert "image.png" in call(folder, "predict", "mine", "image.png")


@pytest.mark.slow
@pytest.mark.parametrize("space", ["code/nets.py:build_model", "nets:build_model"])
def test_search_spaces_are_shown(folder: Path, space: str) -> None:
    portrait = json.loads(call(folder, "plugins", "show", space, "--size", "8x8x1", "--json"))
    assert [row["name"] for row in portrait["hyperparameters"]] == (["filters"] if "code" in space else [])


@pytest.mark.slow
def test_images_are_shown(folder: Path) -> None:
    images = "code/images.py:load"
    assert f"{images}: 3 classes, images of 8x8x1" in call(folder, "datasets", "show", images)

"""What the tests of workers share: small studies of a tiny network."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from searchcnn.job import Job
from searchcnn.study import Workspace, load, parse_settings
from tests.workers.study_file import STUDY

NET = '''
import ctypes, os, signal, sys, time
import keras
from searchcnn import SearchSpace


class Net(SearchSpace):
    """A small network, of which some points do what no network should."""

    def build(self, hp):
        hp.Choice("what", ["nothing", *POINTS])
        images = keras.Input(self.input_shape)
        x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(images))
        return keras.Model(images, keras.layers.Dense(self.num_classes, activation="softmax")(x))

    def initialize(self, hp, model):
        what = hp.get("what")
        if what == "exit":
            sys.exit(3)
        if what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "hang":
            time.sleep(1000)
        if what == "memory" or (what == "half" and not os.path.exists("tried")):
            open("tried", "w").close()
            raise MemoryError("no more memory")
        if what == "error":
            raise ValueError("wrong weights")
        if what == "nan":
            model.set_weights([weights * float("nan") for weights in model.get_weights()])

    def baselines(self):
        return {what: {"what": what} for what in POINTS}
'''


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Job]:
    """Returns a maker of a study in the test's folder: ``make_study(trials=2, epochs=4)``."""

    def make(trials: int = 1, epochs: int = 4, points: tuple[str, ...] = (), overrides: Sequence[str] = ()) -> Job:
        (tmp_path / "plugins").mkdir(exist_ok=True)
        (tmp_path / "plugins" / "net.py").write_text(NET.replace("POINTS", repr(points)))
        (tmp_path / "study.toml").write_text(STUDY.format(trials=trials, epochs=epochs))
        return Job("study", load(tmp_path / "study.toml", parse_settings(overrides)), Workspace(tmp_path))

    return make

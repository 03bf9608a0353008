"""Full disks, folders that cannot be written, and files that somebody has deleted or damaged, in real searches."""

import contextlib
import gc
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from searchcnn.backend import start_keras
from searchcnn.cli import main
from searchcnn.data import Dataset
from searchcnn.errors import StoreError
from searchcnn.events import Epoch, EpochFinished, EpochsRecalled, Event
from searchcnn.files import check_writable
from searchcnn.job import Job
from searchcnn.search import Budget, Evaluation, Search
from searchcnn.store import read_summary
from searchcnn.study import StudyConfig, Workspace, load
from searchcnn.views.summary import summarize_study
from searchcnn.workers import search
from searchcnn.workers.slots import Slot
from searchcnn.workers.supervisor import supervise
from tests.workers.study_file import STUDY

start_keras()

from searchcnn.results import evaluate_model, models, read_card  # noqa: E402
from searchcnn.training import Checkpoints  # noqa: E402
from searchcnn.training.checkpoint import Checkpoint  # noqa: E402

pytestmark = pytest.mark.slow

NET = '''
import keras
from searchcnn import SearchSpace


class Net(SearchSpace):
    """A small network, and a baseline that is large and better."""

    def build(self, hp):
        images = keras.Input(self.input_shape)
        x = keras.layers.Dense(hp.Choice("width", [8, 8192]))(keras.layers.Flatten()(images))
        return keras.Model(images, keras.layers.Dense(self.num_classes, activation="softmax")(x))

    def baselines(self):
        return {"large": {"width": 8192}}
'''
BETWEEN = 2**20
"""Bytes between the size of a database and those of the large network's model and checkpoint."""


class Ear:
    """Keeps the epochs that it hears of; those of a checkpoint come again with the seconds that they took.

    Args:
        on_epoch: Called with each of them: the numbers of the trial and of the epoch.
    """

    def __init__(self, on_epoch: Callable[[int, int], None] = lambda trial, epoch: None) -> None:
        self.on_epoch = on_epoch
        self.epochs: list[Epoch] = []

    def hear(self, event: Event) -> None:
        if isinstance(event, EpochsRecalled):
            self.epochs.extend(event.epochs)
        if isinstance(event, EpochFinished):
            self.epochs.append(event.epoch)
            self.on_epoch(event.number, event.epoch.number)


@pytest.fixture(scope="module", autouse=True)
def no_fresh_process() -> Iterator[None]:
    """Leaves out the check of saved models in a fresh process, which takes seconds; tests/results has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "verify", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished search of two trials, of which the second is the best."""
    folder = tmp_path_factory.mktemp("finished")
    search(make_study(folder), workers=0)
    return folder


def make_study(folder: Path, trials: int = 2, epochs: int = 1) -> Job:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "net.py").write_text(NET)
    (folder / "mine.toml").write_text(STUDY.format(trials=trials, epochs=epochs))
    return Job("mine", load(folder / "mine.toml"), Workspace(folder))


def states(study: Job) -> list[str]:
    return [trial.state for trial in read_summary(study.url, study.name).trials]


def only_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    """Returns the message of an error, which is one line that says how to go on."""
    line = str(error.value)
    assert "\n" not in line
    return line


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Refuses files above a size in bytes to this process, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def command(folder: Path, *args: str, largest: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own, to which files above a size are refused."""
    script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest})); " if largest else ""
    script += "from searchcnn.cli import main; main()"
    line = [sys.executable, "-c", script, *args]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_that_cannot_be_written_is_found_at_the_start(tmp_path: Path, workers: int) -> None:
    study = make_study(tmp_path)
    (tmp_path / "studies").write_text("a file")
    with pytest.raises(
        StoreError, match=r"studies/mine: cannot be written: .*; make it writable, then run the"
    ) as error:
        search(study, workers=workers)
    only_line(error)


def test_a_file_can_be_written_or_not(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("a file")
    with pytest.raises(StoreError, match=r"file: cannot be written: File exists; make it writable"):
        check_writable(tmp_path / "file")
    (tmp_path / "a").chmod(0o500)
    try:
        with contextlib.nullcontext() if os.geteuid() == 0 else pytest.raises(StoreError, match="Permission denied"):
            check_writable(tmp_path / "a")
    finally:
        (tmp_path / "a").chmod(0o700)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    (tmp_path / "studies" / "mine" / "workers.log").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"workers.log: cannot be written: Is a directory; make it writable") as error:
        supervise(study, [Slot("CPU")])
    only_line(error)


def test_a_disk_that_is_full_while_a_trial_is_trained_is_not_its_failure(
    tmp_path: Path, study_config: Callable[..., StudyConfig], stored: Callable[[StudyConfig], Any]
) -> None:
    def evaluate(_: Any) -> Evaluation:
        (tmp_path / "large").write_bytes(bytes(2 * BETWEEN))
        return Evaluation(0.5)

    study = stored(study_config())
    search = Search(study, study.optuna.sampler, evaluate, Budget(1, None))
    with (
        largest_file(BETWEEN),
        pytest.raises(StoreError, match=r"^trial 0 cannot continue: File too large; free") as error,
    ):
        search.run()
    only_line(error)
    assert [trial.state for trial in study.list_trials()] == [TrialState.RUNNING]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_disk_that_is_full_under_the_output() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        line = [sys.executable, "-m", "searchcnn", "datasets"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: what is printed: cannot be written: No space left on device; free some space")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_trial_whose_model_cannot_be_saved_goes_on_when_it_can(tmp_path: Path) -> None:
    study = make_study(tmp_path, trials=1, epochs=2)
    in_the_way = tmp_path / "studies" / "mine" / "models"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file")
    before, after = Ear(), Ear()
    with pytest.raises(StoreError, match=r"models/trial-0000.keras: cannot be written: .*; make it writable") as error:
        search(study, before.hear, workers=0)
    only_line(error)
    assert states(study)[0] == "RUNNING"
    in_the_way.unlink()
    search(study, after.hear, workers=0)
    assert states(study)[0] == "COMPLETE"
    assert after.epochs[0] == before.epochs[0]  # from its checkpoint, which may lack the last epoch
    assert read_card(study.workspace.best_model("mine"))["trial"] == 0


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def write_garbage(file: Path) -> None:
    file.write_bytes(b"garbage" * 9999)


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [truncate, write_garbage, make_folder]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_none(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    arrays = [np.arange(1000)]
    file = Checkpoints(tmp_path).get_path(3)
    Checkpoint(0, 0, False, [], {}, arrays, arrays, arrays).write(file, {"seed": 1})
    assert Checkpoint.read(file, {"seed": 1})
    damage(file)
    assert Checkpoint.read(file, {"seed": 1}) is None
    gc.collect()  # warns of a file that was left open
    Checkpoints(tmp_path).drop([3])
    Checkpoints(file).drop([3])


@pytest.mark.slow
def test_a_trial_with_a_damaged_checkpoint_begins_again(tmp_path: Path) -> None:
    study, stop = make_study(tmp_path, trials=1, epochs=3), threading.Event()
    before, after = Ear(lambda trial, epoch: stop.set() if epoch == 2 else None), Ear()
    search(study, before.hear, stop, workers=0)
    (checkpoint,) = study.workspace.checkpoints("mine").iterdir()
    truncate(checkpoint)
    search(study, after.hear, workers=0)
    assert [epoch.number for epoch in after.epochs] == [1, 2, 3]
    assert after.epochs[0] != before.epochs[0]
    assert states(study)[0] == "COMPLETE"


@pytest.mark.slow
def test_a_search_without_checkpoints_goes_on_all_the_same(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    (tmp_path / "studies" / "mine").mkdir(parents=True)
    study.workspace.checkpoints("mine").write_text("a file")
    search(study, workers=0)
    assert states(study) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("args", [("optimize", "--study", "mine.toml", "--workers", "0"), ("status", "mine")])
def test_a_damaged_database_is_one_line_and_stays_as_it_is(
    tmp_path: Path,
    finished: Path,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    damage: Callable[[Path], None],
) -> None:
    study = copied(finished, tmp_path)
    file = study.workspace.database("mine")
    damage(file)
    before = file.read_bytes() if file.is_file() else b""
    with contextlib.chdir(study.workspace.root), pytest.raises(SystemExit) as left:
        main(args)
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 1
    assert line.startswith(f"Error: {file}: ")
    assert re.search("start again, or restore a copy of it$|make it and its folder readable", line)
    assert (file.read_bytes() if file.is_file() else b"") == before
    assert read_card(study.workspace.best_model("mine"))["trial"] == 1


def copied(finished: Path, folder: Path) -> Job:
    shutil.copytree(finished, folder / "copy")
    return make_study(folder / "copy")


def test_a_damaged_model_is_mended_from_its_copy(tmp_path: Path, finished: Path) -> None:
    study = copied(finished, tmp_path)
    best = study.workspace.best_model("mine")
    for damage in (truncate, Path.unlink, lambda file: write_garbage(file.with_suffix(".json"))):
        damage(best)
        search(study, workers=0)
        assert read_card(best)["trial"] == 1


def test_a_model_that_is_lost_is_replaced_by_the_next_best_and_the_user_is_told(tmp_path: Path, finished: Path) -> None:
    study = copied(finished, tmp_path)
    best = study.workspace.best_model("mine")
    truncate(best)
    truncate(best.parent / "models" / "trial-0001.keras")
    search(study, workers=0)
    assert read_card(best)["trial"] == 0
    lines = [str(line) for line in summarize_study(study, [], False)]
    assert "Best: trial 1" in "".join(lines)
    (line,) = (line for line in lines if line.startswith("Model: "))
    assert line == (
        "Model: studies/mine/best.keras of trial 0; that of trial 1 is missing (loads with plain Keras: verified)"
    )


def test_models_that_are_all_damaged(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "PAUSE", 0.0)
    study = copied(finished, tmp_path)
    best = study.workspace.best_model("mine")
    for file in (best, *(best.parent / "models").glob("*.keras")):
        truncate(file)
    with pytest.raises(StoreError, match=r"best.keras or its card is damaged, and no trial .* can replace it; delete"):
        search(study, workers=0)
    best.unlink()
    search(study, workers=0)
    lines = [str(line) for line in summarize_study(study, [], False)]
    assert (
        "Model: studies/mine/best.keras is missing; a better trial will write it again, or search again with --name"
        in lines
    )


@pytest.mark.slow
def test_the_best_model_is_not_that_of_an_earlier_database(tmp_path: Path, finished: Path) -> None:
    study = copied(finished, tmp_path)
    best = study.workspace.best_model("mine")
    (best.parent / "models" / "trial-0001.keras").unlink()
    best.unlink()
    search(study, workers=0)
    study.workspace.database("mine").unlink()
    study = make_study(tmp_path / "copy", trials=1)
    search(study, workers=0)
    calibrated = read_card(best)["calibration"]["of"]
    assert calibrated == read_card(best.parent / "models" / "trial-0000.keras")["sha256"]


def test_a_model_that_keras_cannot_load_is_one_line(tmp_path: Path, finished: Path, digits: Dataset) -> None:
    best = copied(finished, tmp_path).workspace.best_model("mine")
    card = read_card(best)
    best.write_bytes(b"garbage")
    data = {**card["data"], "fingerprint": digits.fingerprint}
    new = {**card, "data": data, "sha256": hashlib.sha256(b"garbage").hexdigest()}
    best.with_suffix(".json").write_text(json.dumps(new))
    with pytest.raises(StoreError, match=r"best.keras: Keras 3\S+ cannot load it: ValueError: .*; its card") as error:
        evaluate_model(best, digits)
    only_line(error)


SEARCH = ("optimize", "--study", "mine.toml")


@pytest.mark.slow
def test_a_full_disk_ends_the_search_with_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    full = command(tmp_path, *SEARCH, largest=BETWEEN)
    assert full.returncode == 1
    assert full.stderr.splitlines() == [
        f"Error: {tmp_path}/studies/mine/models/trial-0001.keras: cannot be written: File too large; free some space, "
        "then run the same command: what was finished is safe"
    ]
    assert states(study) == ["COMPLETE", "RUNNING"]
    best = study.workspace.best_model("mine")
    before = read_card(best)
    assert before["trial"] == 0
    assert sorted(path.name for path in (best.parent / "models").iterdir()) == ["trial-0000.json", "trial-0000.keras"]
    again = command(tmp_path, *SEARCH)
    assert again.returncode == 0, again.stderr
    assert "] trial 0" not in again.stdout
    assert states(study) == ["COMPLETE", "COMPLETE"]
    assert read_card(best)["trial"] == 1


@pytest.mark.slow
def test_a_disk_that_is_full_under_the_database(tmp_path: Path) -> None:
    study = make_study(tmp_path, trials=1, epochs=60)
    full = command(tmp_path, *SEARCH, largest=350 * 2**10)
    assert full.returncode == 1
    (line,) = full.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path}/studies/mine.db: ")
    trained = read_summary(study.url, "mine").trials[0].epochs
    again = command(tmp_path, *SEARCH)
    assert again.returncode == 0, again.stderr
    assert 0 < trained < 60
    assert states(study)[0] == "COMPLETE"


@pytest.mark.slow
def test_a_folder_that_is_deleted_during_the_search(tmp_path: Path) -> None:
    study = make_study(tmp_path, trials=3)
    folder = tmp_path / "studies" / "mine"
    supervise(study, [Slot("CPU")], Ear(lambda trial, epoch: shutil.rmtree(folder) if trial == 1 else None).hear)
    assert states(study) == ["COMPLETE"] * 3
    assert read_card(folder / "best.keras")["trial"] == read_summary(study.url, "mine").best.number  # type: ignore[union-attr]

"""The study as an object: real searches of the digits, in this process and in the kernel of a notebook."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import searchcnn
from searchcnn import Study
from searchcnn.backend import start_keras
from searchcnn.errors import SearchcnnError, StoreError, StudyChangedError, StudyFailedError, StudyFileError, UsageError
from searchcnn.events import Event, Note, Progress, TrialFinished
from searchcnn.sources import load_dataset
from searchcnn.study_object import Trials
from tests.cli.command import call

start_keras()

import keras  # noqa: E402

from searchcnn import training  # noqa: E402
from searchcnn.results import Scores, cross_prediction, export, find_label_errors, models, read_card, read_predictions  # noqa: E402
from searchcnn.results.card import write_card  # noqa: E402
from searchcnn.results.stored import write_predictions  # noqa: E402

NET = """
import keras
from searchcnn import SearchSpace

class Net(SearchSpace):
    def build(self, hp):
        return keras.Sequential([keras.Input(self.input_shape), keras.layers.Flatten(),
                                 keras.layers.Dense(hp.Int("units", 8, 64), activation="relu"),
                                 keras.layers.Dense(self.num_classes, activation="softmax")])
"""
STUDY = """
spaces = ["net"]
[data]
name = "digits"
validation = 200
[budget]
trials = 1
[training]
epochs = 2
learning_rate = 0.01
schedule = "constant"
"""


@pytest.fixture(scope="module", autouse=True)
def verify_here() -> Iterator[None]:
    """Verifies saved models in this process, which takes no seconds; tests/results does it in a fresh one."""

    def verify(path: Path, images: Any, expected: Any) -> None:
        assert np.abs(keras.models.load_model(path).predict(images, verbose=0) - expected).max() < 1e-4

    with pytest.MonkeyPatch.context() as patch:
        for module in (models, export):
            patch.setattr(module, "verify", verify)
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a workspace with a study that has one trial."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "net.py").write_text(NET)
    (folder / "studies").mkdir()
    (folder / "studies" / "mine.toml").write_text(STUDY)
    with contextlib.chdir(folder):
        heard: list[Event] = []
        study = Study("mine")
        assert (study.is_begun, len(study.trials), study.best) == (False, 0, None)
        assert repr(study) == "<Study 'mine': 0 trials>"
        assert study.optimize(workers=0, show=False, hear=heard.append) is study
        assert [type(event) for event in heard].count(TrialFinished) == 2  # after each of its stretches
    return folder


@pytest.fixture
def workspace(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "workspace"
    shutil.copytree(searched, folder)
    monkeypatch.chdir(folder)
    return folder


def test_what_was_found(workspace: Path) -> None:
    study = Study("mine")
    best = study.best
    assert best is not None
    assert best.value is not None
    assert (best.number, best.state, best.space, best.epochs) == (0, "COMPLETE", "net", 2)
    assert best.hyperparameters == {"units": 8}
    assert str(best) == f"trial 0: COMPLETE {best.value:.4f}, 2 epochs, net: units=8"
    assert list(study.trials) == [best]
    assert study.trials[-1] == best
    assert list(study.trials[:1]) == [best]
    assert study.summary.state == "finished"
    assert study.config.training.learning_rate == 0.01
    assert repr(study) == f"<Study 'mine': 1 trial, best val_accuracy {best.value:.4f}>"


def test_trials_become_a_table(workspace: Path) -> None:
    table = Study("mine").trials.to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table.loc[0, ["number", "state", "units", "space"]].tolist() == [0, "COMPLETE", 8, "net"]
    assert Trials([]).to_pandas().empty


def test_the_leaderboard_and_the_curves_are_tables(workspace: Path) -> None:
    study = Study("mine")
    board, curves = study.leaderboard(), study.curves()
    assert isinstance(board, pd.DataFrame)
    assert board.loc[0, ["trial", "state", "rank", "epochs", "space", "units"]].tolist() == [
        0,
        "COMPLETE",
        1,
        2,
        "net",
        8,
    ]
    assert list(curves.columns[:4]) == ["trial", "epoch", "seconds", "learning_rate"]
    assert curves["epoch"].tolist() == [1, 2]
    assert board.loc[0, "val_accuracy"] == curves["val_accuracy"].max()
    row = curves.loc[curves["val_accuracy"].idxmax()]
    assert board.loc[0, "gap"] == pytest.approx(row["accuracy"] - row["val_accuracy"])


def test_without_pandas_tables_are_records(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study("mine")
    frames = study.leaderboard(), study.curves()
    monkeypatch.setitem(sys.modules, "pandas", None)
    for records, frame in zip((study.leaderboard(), study.curves()), frames, strict=True):
        assert isinstance(records, list)
        assert records[0].keys() == set(frame.columns)
        assert [record["trial"] for record in records] == frame["trial"].tolist()


def test_a_notebook_shows_a_study_as_a_table(workspace: Path) -> None:
    study = Study("mine")
    html = study._repr_html_()
    assert html.startswith("<p><b>mine</b>: finished, 1 point in ")
    assert f"<td>{study.best.value:.4f}</td>" in html if study.best else False
    study.delete()
    assert study._repr_html_() == "<p>&lt;Study &#x27;mine&#x27;: 0 trials&gt;</p>"
    script = (
        "import sys, searchcnn; searchcnn.Study('mine')._repr_html_(); print({'keras', 'pandas'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_what_was_found_is_used(workspace: Path) -> None:
    study = Study("mine")
    scores = study.evaluate()
    assert isinstance(scores, Scores)
    assert scores.images == 360
    assert scores.accuracy > 0.5
    page = (workspace / "studies" / "mine" / "report.html").read_text()
    assert f"{scores.accuracy:.4f}" in page
    assert "Most confident mistakes on the test images" in page
    keras.utils.save_img(workspace / "digit.png", np.zeros((8, 8, 1)))
    for images in ("digit.png", [workspace / "digit.png"]):
        (prediction,) = study.predict(images)
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert study.export("out.keras") == Path("out.keras")
    assert Path("out.json").exists()
    assert study.load_model().output_shape == (None, 10)


def test_what_was_found_is_shown(workspace: Path) -> None:
    study = Study("mine")
    page = (workspace / "studies" / "mine" / "report.html").read_text()  # the search has written it
    assert "Likely filed under the wrong class" in page or "Most confident mistakes" in page
    assert "Dense 8" in page
    assert study.report("mine.html") == Path("mine.html")
    written, _ = call(workspace, "report", "mine", "--out", "again.html")
    assert written == "again.html\n"
    assert (workspace / "again.html").read_text() == (workspace / "mine.html").read_text()
    for plot in (study.plot_history, study.plot_curves, study.plot_time, study.plot_tradeoff, study.plot_confidence):
        assert plot().data
    matrix, wrong = study.confusion(), study.wrong()
    assert matrix.to_numpy().sum() - matrix.to_numpy().trace() == len(wrong)
    assert (wrong["label"] != wrong["predicted"]).all()
    assert wrong["probability"].is_monotonic_decreasing
    assert study.plot_confusion().data[0].customdata.sum() == matrix.to_numpy().sum()
    with pytest.raises(StoreError, match="fewer than 8 networks"):
        study.plot_importances()
    with pytest.raises(UsageError, match="expected one of params, macs, seconds"):
        study.plot_tradeoff("price")


def test_what_is_predicted_for_a_part_is_computed_once(workspace: Path) -> None:
    study = Study("mine")
    file = study.workspace.predictions("mine", "train")
    assert not file.exists()
    train = study.read_predictions("train")
    data = load_dataset(study.config.data, study.config.seed)
    assert train.names == data.train.names
    np.testing.assert_array_equal(train.labels, data.train.labels)
    expected = study.load_model().predict(data.train.images, verbose=0)
    np.testing.assert_allclose(train.probabilities, expected, atol=1e-5)
    written = file.stat().st_mtime_ns
    np.testing.assert_array_equal(study.read_predictions("train").probabilities, train.probabilities)
    assert file.stat().st_mtime_ns == written
    write_predictions(file, train, "another model")
    study.read_predictions("train")
    assert read_predictions(file, read_card(study.model_path)["sha256"]) is not None


def test_a_sample_of_the_validation_images_is_completed(workspace: Path) -> None:
    """It was stored at the end of a search, where the time was not enough for all of them."""
    study, best = Study("mine"), Study("mine").best
    whole = study.read_predictions("validation")
    assert best is not None
    assert (whole.predicted == whole.labels).mean() == pytest.approx(best.value)
    file, model = study.workspace.predictions("mine", "validation"), read_card(study.model_path)["sha256"]
    write_predictions(file, whole.take(np.array([5, 7, 9])), model, images=200)
    write_card(study.model_path, read_card(study.model_path) | {"sure": None})
    sample = read_predictions(file, model)
    assert sample is not None
    assert (len(sample), read_predictions(file, model, whole=True)) == (3, None)
    completed = study.read_predictions("validation")
    assert completed.names == whole.names
    np.testing.assert_allclose(completed.probabilities, whole.probabilities, atol=1e-5)
    assert read_card(study.model_path)["sure"]["images"] == 200


def test_predictions_for_test_images_are_kept_by_evaluate_only(workspace: Path) -> None:
    study = Study("mine")
    with pytest.raises(StoreError, match=r"was not scored on the test images; .* with `searchcnn evaluate mine`$"):
        study.read_predictions("test")
    listed = [json.loads(call(workspace, "predict", "mine", "--part", "test", "--json")[0])]
    assert not study.workspace.predictions("mine", "test").exists()
    scores = study.evaluate()
    test = study.read_predictions("test")
    assert (test.predicted == test.labels).mean() == scores.accuracy
    assert set(study.read_predictions("test", labels=False).labels) == {-1}
    listed.append(json.loads(call(workspace, "predict", "mine", "--part", "test", "--json")[0]))
    assert listed[0] == listed[1]
    assert listed[0][0].keys() == {"file", "part", "predicted", "probability"}
    assert [row["predicted"] for row in listed[0]] == [test.class_names[label] for label in test.predicted]


def test_predictions_of_a_part_are_listed_without_keras(workspace: Path) -> None:
    validation = Study("mine").read_predictions("validation")
    script = (
        "import sys; from searchcnn.cli.commands import cli; "
        "cli(['predict', 'mine', '--part', 'validation', '--csv'], standalone_mode=False); "
        "sys.exit(int(bool({'keras', 'tensorflow', 'optuna'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["file"] for row in rows] == validation.names
    assert [int(row["label"]) for row in rows] == validation.labels.tolist()
    assert [int(row["predicted"]) for row in rows] == validation.predicted.tolist()
    assert {row["part"] for row in rows} == {"validation"}
    assert [float(row["probability"]) for row in rows] == pytest.approx(validation.confidence.tolist(), abs=1e-5)
    table = call(workspace, "predict", "mine", "--part", "validation")[0].splitlines()
    assert table[0].split() == ["file", "part", "label", "predicted", "probability"]
    assert len(table) == 202


def test_parts_that_cannot_be_had(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study("mine")
    with pytest.raises(UsageError, match=r"^no part 'validaton'; did you mean 'validation'\?; expected train, "):
        study.read_predictions("validaton")
    data = study.config.data.model_copy(update={"folds": 5})
    summary = replace(study.summary, config=study.config.model_copy(update={"data": data}))
    monkeypatch.setattr(Study, "summary", property(lambda _: summary))
    with pytest.raises(UsageError, match=r"^study 'mine' has data.folds: its best model was trained on the validation"):
        study.read_predictions("validation")


def test_a_larger_budget_goes_on_and_what_stays_is_shown(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = searchcnn.optimize("mine", trials=2, workers=0)
    assert [trial.state for trial in study.trials] == ["COMPLETE", study.trials[1].state]
    out = capsys.readouterr().out
    assert "trial 1: net, " in out
    assert "Test it:    study.evaluate()\n" in out
    assert "Go on with: study.optimize(trials=4)\n" in out


@pytest.mark.slow
def test_a_search_without_a_model_has_failed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, or exit code 0, would be taken for a model."""
    monkeypatch.setattr("searchcnn.search.budget.LEAST_UNUSABLE", 2)
    monkeypatch.setattr("searchcnn.search.budget.UNUSABLE", 1)
    settings = {"limits.max_params": 1}
    with pytest.raises(StudyFailedError, match=r"^no trial is complete, so there is no model: `searchcnn status none`"):
        searchcnn.optimize("mine", name="none", settings=settings, trials=1, workers=0)
    with pytest.raises(StudyFailedError, match=r"is over before the first one is; give it .* or more$"):
        searchcnn.optimize("mine", name="none", settings=settings, timeout="0.001s", workers=0)


@pytest.mark.slow
def test_a_run_all_of_whose_trials_fail_has_failed(workspace: Path) -> None:
    """The study has a model of an earlier run, but this run has brought nothing."""
    build = "def build(self, hp):\n"
    fault = "        if Path('broken').exists():\n            raise RuntimeError('it is broken')\n"
    plugin = "from pathlib import Path\n" + NET.replace(build, build + fault)
    (workspace / "plugins" / "net.py").write_text(plugin)
    how: dict[str, Any] = {"settings": {"search.pruner": "NopPruner"}, "workers": 0, "show": False}
    searchcnn.optimize("mine", name="failing", trials=1, **how)
    (workspace / "broken").touch()
    with pytest.raises(StudyFailedError, match=r"^all 2 trials of this run failed: `searchcnn status failing --fail"):
        searchcnn.optimize("mine", name="failing", trials=3, **how)
    assert [trial.state for trial in Study("failing").trials] == ["COMPLETE", "FAIL", "FAIL"]
    assert Study("failing").trials[1].facts["detail"].startswith("RuntimeError: it is broken (net.py:")


def test_a_timeout_that_is_over_before_the_first_trial_ends_at_once(workspace: Path) -> None:
    with pytest.raises(StudyFailedError, match=r"^the timeout of 0\.0s is over .*; give it .* or more$"):
        searchcnn.optimize("mine", name="short", timeout="0.001s", workers=0)
    assert not Study("short").is_begun


def test_copies_are_studies_of_their_own(workspace: Path) -> None:
    study = Study("mine")
    copy = study.copy("other")
    assert copy.trials[0] == study.trials[0]
    assert copy.model_path.exists()
    with pytest.raises(UsageError, match="already exists; choose another name"):
        study.copy("other")
    study.delete()
    assert not study.is_begun
    assert not study.model_path.exists()
    assert copy.best is not None


def test_a_study_file_names_the_study_everywhere(workspace: Path) -> None:
    """Of the command line, too: nothing begins another study under the name of the file."""
    assert Study("studies/mine.toml").best == Study("mine").best
    path = "studies/mine.toml"
    assert "Best: trial 0" in call(workspace, "status", path)[0]
    assert "Test accuracy" in call(workspace, "evaluate", path)[0]
    keras.utils.save_img(workspace / "digit.png", np.zeros((8, 8, 1)))
    assert "digit.png" in call(workspace, "predict", path, "digit.png")[0]
    assert "out.keras" in call(workspace, "export", path, "out.keras")[0]
    before = sorted(file.name for file in (workspace / "studies").rglob("*.db*"))
    call(workspace, "worker", "--study", path, "--workers", "0", "--quiet")
    assert sorted(file.name for file in (workspace / "studies").rglob("*.db*")) == before
    assert len(Study("mine").trials) == 1


def test_settings_of_another_study(workspace: Path) -> None:
    study = Study("new", like="mine", settings={"training.epochs": 3, "budget.trials": 7})
    assert (study.name, study.config.training.epochs, study.config.budget.trials) == ("new", 3, 7)
    assert (study.make_job().config.budget.trials, study.make_job(trials=2).config.budget.trials) == (7, 2)
    assert study.config.spaces == ["net"]
    assert not study.is_begun


def test_what_there_is_not(workspace: Path) -> None:
    with pytest.raises(StudyFileError, match=r"no study named 'mina'.*; did you mean 'mine'"):
        Study("mina")
    with pytest.raises(UsageError, match=r"^name a study .*, or give your images as data$"):
        Study()
    with pytest.raises(StoreError, match="study 'digits' has not been started here"):
        Study("digits").evaluate()
    with pytest.raises(StudyFileError, match="no study named 'no_such_thing'"):
        searchcnn.optimize("no_such_thing")


def test_a_study_without_a_file_is_found_by_its_name(workspace: Path) -> None:
    """One that was begun with images, say."""
    (workspace / "studies" / "mine.toml").unlink()
    study = Study("mine")
    assert study.config.training.epochs == 2
    study.optimize(trials=1, workers=0, show=False)
    assert len(study.trials) == 1


def copy_images(folder: Path) -> Path:
    """Writes sixty small images of two classes; returns their folder."""
    for name, grey in (("cat", 60), ("dog", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            Image.new("L", (8, 8), grey + number).save(folder / name / f"{number}.png")
    return folder


def make_arrays() -> tuple[Any, Any]:
    """Returns sixty random images with labels of two classes."""
    return np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), "uint8"), np.arange(60) % 2


@pytest.mark.slow
def test_a_study_of_other_images_is_not_shown(workspace: Path) -> None:
    """Two folders of one name, say: nothing is read of a study that was begun with the other one."""
    copy_images(workspace / "photos")
    copy_images(workspace / "other" / "photos")
    settings = {"spaces": ["net"], "training.epochs": 1, "budget.trials": 1}
    study = Study(data="photos", settings=settings).optimize(workers=0, show=False)
    assert study.best is not None
    others = (Study(data="other/photos"), Study("photos", data=make_arrays()), Study("photos", like="digits"))
    for other in others:
        for use in (Study.evaluate, Study.load_model, lambda it: it.predict("photos"), lambda it: it.best):
            with pytest.raises(StudyChangedError, match=r"^study 'photos' was started with other images, photos, not "):
                use(other)
        assert "other images" in repr(other)
    (workspace / "photos").rename(workspace / "moved")
    assert Study("photos", data="moved").evaluate().images == 6
    assert Study("photos").evaluate("moved").times_read == 2
    evaluated, _ = call(workspace, "evaluate", "studies/photos/best.keras", "--data", "moved")
    assert "Accuracy on moved 0." in evaluated or "Accuracy on moved 1." in evaluated
    _, err = call(workspace, "evaluate", "studies/photos/best.keras", code=2)
    assert "say on which images with --data PATH" in err


@pytest.mark.slow
def test_what_is_relative_is_so_to_the_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"spaces": ["net"], "training.epochs": 1}
    study = Study("pets", data=make_arrays(), settings=settings)
    (workspace / "elsewhere").mkdir()
    monkeypatch.chdir(workspace / "elsewhere")
    study.optimize(trials=1, workers=0, show=False)
    assert repr(study) == repr(Study("pets", workspace=".."))
    assert Study("pets", workspace="..").evaluate().images > 0
    copy_images(workspace / "elsewhere" / "photos")
    assert Study(data="photos", workspace=workspace)._request.data == "elsewhere/photos"


@pytest.mark.slow
def test_a_database_of_several_studies(workspace: Path) -> None:
    storage = f"sqlite:///{workspace}/shared.db"
    Study("mine", storage=storage).optimize(workers=0, show=False)
    study = Study("digits", storage=storage)
    assert (study.is_begun, len(study.trials), study.best) == (False, 0, None)
    assert repr(study) == "<Study 'digits': 0 trials>"
    assert [trial.value for trial in Study("mine", storage=storage).copy("yours").trials] == [Study("mine").best.value]  # type: ignore[union-attr]


@pytest.mark.slow
def test_what_is_deleted_is_the_study_s_own(workspace: Path) -> None:
    other = Study("mine", storage=f"sqlite:///{workspace}/other.db", settings={"training.epochs": 1})
    other.optimize(workers=0, show=False)
    Study("mine").delete()  # the model is that of the other search, which has replaced its own
    assert other.model_path.exists()
    other.delete()
    assert not other.model_path.parent.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Study(data=""), "^no images: the path is empty"),
        (lambda: Study(data="photoz"), r"^photoz: no such file or folder"),
        (lambda: Study("mine", settings="training.epochs=1"), "^settings must be a dict"),  # type: ignore[arg-type]
        (lambda: Study("mine", settings={1: 2}).config, "^settings: 1: unknown key"),  # type: ignore[dict-item]
        (lambda: Study("mine", plugins="plugs").optimize(show=False), "plugs is not a folder"),
        (lambda: Study("mine").optimize(gpus=99, show=False), "^--gpus 99: no GPU 99"),
        (lambda: Study("mine").optimize(workers="2", show=False), "^--workers 2: expected 0 or more"),  # type: ignore[arg-type]
        (lambda: Study("mine").optimize(hear=3, show=False), "^hear must be a function"),  # type: ignore[arg-type]
        (lambda: Study("mine").predict([np.zeros((8, 8))]), "^predict takes image files"),  # type: ignore[list-item]
    ],
)
def test_arguments_that_make_no_sense(workspace: Path, make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SearchcnnError, match=message):
        make()


def test_a_path_names_a_study_too(workspace: Path) -> None:
    assert Study(workspace / "studies" / "mine.toml").best == Study("mine").best


def test_completion_shows_what_there_is() -> None:
    assert {"Study", "optimize", "SearchSpace", "InfeasibleError"} <= set(dir(searchcnn))
    shown = {name for name in dir(Study) if not name.startswith("_")}
    assert {"optimize", "trials", "best", "evaluate", "predict", "export", "load_model", "summary"} <= shown


@pytest.mark.slow
def test_a_script_needs_no_guard(workspace: Path) -> None:
    """Workers are processes of their own, whether the script has ``if __name__ == "__main__"`` or not."""
    body = "print(searchcnn.optimize('mine', trials=2, show=False))\n"
    for number, text in enumerate((body, f"if __name__ == '__main__':\n    {body}")):
        (workspace / f"script{number}.py").write_text(f"import searchcnn\n{text}")
        done = subprocess.run([sys.executable, f"script{number}.py"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("<Study 'mine': 2 trials, best val_accuracy")


@pytest.mark.slow
def test_a_notebook_shows_the_progress_in_its_cell(workspace: Path) -> None:
    """A real kernel; what it would show is collected."""
    from jupyter_client.manager import start_new_kernel

    kernel, client = start_new_kernel(kernel_name="python3", cwd=str(workspace), env={**os.environ})
    try:
        client.execute("import searchcnn\nstudy = searchcnn.optimize('mine', trials=2)")
        outputs: dict[str, list[str]] = {}
        while (message := client.get_iopub_msg(timeout=300))["content"].get("execution_state") != "idle":
            content = message["content"]
            assert message["msg_type"] != "error", content
            if message["msg_type"] in ("display_data", "update_display_data"):
                outputs.setdefault(content["transient"]["display_id"], []).append(content["data"]["text/html"])
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    reading, searching = outputs.values()
    assert len(searching) > 5
    assert any("interrupting the cell stops" in html for html in searching)
    assert "study.evaluate()" in searching[-1]
    assert "trial 1" not in reading[-1]


class TestLabelErrors:
    def test_of_validation_images_by_the_best_model(self, workspace: Path) -> None:
        study = Study("mine")
        assert study.find_label_errors() == find_label_errors(study.read_predictions("validation"))

    def test_of_training_images_by_folds(self, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each is predicted by a network that was not trained on it; the test images are in no fold."""
        folds: list[tuple[set[str], set[str]]] = []

        def train_again(trainer: Any, *args: Any) -> Any:
            dataset = trainer.inputs.dataset
            folds.append((set(dataset.train.names), set(dataset.validation.names)))
            return training.train_again(trainer, *args)

        monkeypatch.setattr(cross_prediction, "train_again", train_again)
        study, heard = Study("mine"), list[Event]()
        predictions = study.predict_unseen(2, heard.append)
        images = study.read_labelled_images()
        assert list(predictions.names) == list(images.names)
        assert [len(fitted & measured) for fitted, measured in folds] == [0, 0]
        assert folds[0][1] | folds[1][1] == set(images.names)
        by_learnt_ones = study.load_model().predict(images.images, verbose=0).argmax(axis=1)
        assert (predictions.predicted != by_learnt_ones).any()
        np.testing.assert_array_equal(predictions.labels, images.labels)
        test = set(load_dataset(study.config.data, study.config.seed).test.names)
        assert len(predictions) == 1437 and not test & set(predictions.names)
        assert ((predictions.probabilities.sum(axis=1) - 1) ** 2).max() < 1e-6
        (note,) = [event.text for event in heard if isinstance(event, Note)]
        assert note.startswith("trains the network of trial 0 2 times: ")
        done = [event.done or 0.0 for event in heard if isinstance(event, Progress) and event.text == "training"]
        assert done == sorted(done) and done[-1] == 1.0

    @pytest.mark.slow
    def test_what_folds_have_given_is_kept_with_the_model(self, workspace: Path) -> None:
        study = Study("mine")
        first, heard = study.predict_unseen(2), list[Event]()
        again = study.predict_unseen(2, heard.append)
        np.testing.assert_array_equal(first.probabilities, again.probabilities)
        assert heard == []
        card = read_card(study.model_path)
        kept = study.workspace.out_of_fold("mine", 2)
        assert read_predictions(kept, card["sha256"]) is not None
        assert read_predictions(kept, "of another model") is None
        page = (workspace / "studies" / "mine" / "report.html").read_text()
        errors = find_label_errors(first)
        assert f"{len(errors):,} of 1,437 images of training and validation may be filed under the wrong class" in page
        assert all(f">{error.name}<" in page for error in errors[:8])

    def test_folds_that_cannot_be(self, workspace: Path) -> None:
        with pytest.raises(UsageError, match="folds must be 2 to 20, not 1"):
            Study("mine").find_label_errors(folds=1)

    @pytest.mark.slow
    def test_on_the_command_line(self, workspace: Path) -> None:
        study = Study("mine")
        predictions = study.predict_unseen(2)
        errors = find_label_errors(predictions)
        assert errors
        out, _ = call(workspace, "labels", "mine", "--folds", "2")
        assert f"{len(errors):,} of 1,437 training and validation images may be filed under the wrong class" in out
        assert json.loads(call(workspace, "labels", "mine", "--folds", "2", "--json")[0])[0]["name"] == errors[0].name
        out, err = call(workspace, "labels", "mine", "--folds", "2", "--csv", "--pictures", "odd")
        assert [row["image"] for row in csv.DictReader(out.splitlines())] == [error.name for error in errors]
        assert f"odd: {len(errors):,} images, and labels.csv" in err
        with (workspace / "odd" / "labels.csv").open(newline="") as file:
            first = next(csv.DictReader(file))
        images = study.read_labelled_images()
        row = list(images.names).index(errors[0].name)
        picture = np.asarray(Image.open(workspace / "odd" / first["picture"]))
        np.testing.assert_array_equal(picture, images.images[row, ..., 0])

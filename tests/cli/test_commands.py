"""The command line as people use it, on real searches of the embedded digits.

What a process of its own is for (signals, exit codes, silence, imports) runs in one; the rest is called, because
starting TensorFlow takes seconds each time.
"""

import contextlib
import csv
import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import searchcnn
from searchcnn.backend import start_keras

start_keras()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from searchcnn.results import export, models  # noqa: E402
from searchcnn.study import Workspace  # noqa: E402
from tests.cli.command import call, call_encoded  # noqa: E402

QUICK = ("--set", "training.epochs=2", "--set", "data.validation=200", "--set", "published={best=1.0,worst=0.01}")
SEARCH = ("optimize", "--study", "digits", "--trials", "3", *QUICK)
HERE = ("--workers", "0")
"""In this process, without one that starts TensorFlow; where what a search does matters, not where it runs."""


def read_trials(folder: Path, study: str = "digits") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(call(folder, "status", study, "--json")[0])
    return rows


@dataclass(frozen=True)
class Interrupted:
    """A search that ended by Ctrl-C in its first trial, and what its process left."""

    folder: Path
    code: int
    out: str
    err: str
    trials: list[dict[str, object]]


@pytest.fixture(scope="module", autouse=True)
def verify_here() -> Iterator[None]:
    """Verifies saved models in this process, which takes no seconds; tests/results does it in a fresh one."""

    def verify(path: Path, images: Any, expected: Any) -> None:
        assert np.abs(keras.models.load_model(path).predict(images, verbose=0) - expected).max() < 1e-4

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "verify", verify)
        patch.setattr(export, "verify", verify)
        yield


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """A search in a process of its own, which gets Ctrl-C in its first trial."""
    folder = tmp_path_factory.mktemp("workspace")
    command = [sys.executable, "-m", "searchcnn", *SEARCH]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "trial 0: " in line:
            process.send_signal(signal.SIGINT)
            break
    rest, err = process.communicate(timeout=60)
    return Interrupted(folder, process.returncode, "".join(lines) + rest, err, read_trials(folder))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace after a search of three trials, and what that printed."""
    folder = tmp_path_factory.mktemp("searched")
    return folder, call(folder, *SEARCH)[0]


@pytest.mark.slow
def test_ctrl_c_stops_in_good_order(interrupted: Interrupted) -> None:
    assert interrupted.code == 130, interrupted.out + interrupted.err
    assert re.fullmatch(r".*Stopping.*\n", interrupted.err)
    assert "Go on with:  searchcnn optimize --study digits --trials 3" in interrupted.out
    (running,) = [trial for trial in interrupted.trials if trial["state"] == "RUNNING"]
    assert running["number"] == 0


@pytest.mark.slow
def test_a_worker_writes_nothing_of_optunas_log(interrupted: Interrupted) -> None:
    log = Workspace(interrupted.folder).log("digits").read_text(encoding="utf-8")
    assert "study created" not in log
    assert "[I 20" not in log


@pytest.mark.slow
def test_the_same_command_goes_on_after_ctrl_c(interrupted: Interrupted) -> None:
    printed, _ = call(interrupted.folder, *SEARCH)
    assert "3 points in " in printed
    finished = [trial for trial in read_trials(interrupted.folder) if trial["state"] in ("COMPLETE", "PRUNED", "FAIL")]
    assert [trial["number"] for trial in finished] == [0, 1, 2]


def test_plain_lines_are_printed_when_piped(searched: tuple[Path, str]) -> None:
    folder, printed = searched
    assert "trial 0: sequential, default, 94.9k parameters" in printed
    assert re.search(r"trial \d: epoch 2/2  accuracy 0\.\d+  loss .* val_accuracy 0\.\d+", printed)
    assert "3 points in " in printed
    assert "Model: studies/digits/best.keras" in printed
    assert "To beat: best 1.0000, worst 0.0100" in printed
    assert (folder / "studies/digits/best.keras").exists()
    assert "\x1b" not in printed


def test_the_same_command_continues_and_a_larger_budget_extends(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    before = read_trials(folder)
    finished = [t for t in read_trials(folder) if t["state"] in ("COMPLETE", "PRUNED", "FAIL")]
    assert len(finished) == 3
    assert call(folder, "optimize", "--study", "digits", "--trials", "5", "--quiet", *QUICK, *HERE) == ("", "")
    after = [t for t in read_trials(folder) if t["state"] in ("COMPLETE", "PRUNED", "FAIL")]
    assert [t["number"] for t in after] == [0, 1, 2, 3, 4]
    assert after[:3] == [t for t in before if t["state"] in ("COMPLETE", "PRUNED", "FAIL")]


def test_status_shows_the_trials_without_keras_or_optuna(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    output = call(folder, "status", "digits")[0]
    assert "COMPLETE" in output
    assert "★ " in output
    script = (
        "import sys; from searchcnn.cli.commands import cli; cli(['status', 'digits'], standalone_mode=False); "
        "sys.exit(int(bool({'keras', 'tensorflow', 'optuna'} & set(sys.modules))))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, check=False).returncode == 0


def read_csv(folder: Path, *args: str) -> list[dict[str, str]]:
    return list(csv.DictReader(call(folder, "status", *args, "--csv")[0].splitlines()))


def test_status_in_csv_and_sorted(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    trials, rows = read_trials(folder), read_csv(folder, "digits")
    assert [int(row["trial"]) for row in rows] == [trial["number"] for trial in trials]
    for row, trial in zip(rows, trials, strict=True):
        assert row["state"] == trial["state"]
        assert float(row["val_accuracy"] or "nan") == pytest.approx(trial["value"] or float("nan"), nan_ok=True)
        assert float(row["gap"] or "nan") == pytest.approx(trial["gap"] or float("nan"), nan_ok=True)
        assert row["kernel"] == str(trial["facts"].get("hyperparameters", {}).get("kernel", ""))  # type: ignore[attr-defined]
    assert any(row["gap"] for row in rows)
    sizes = [float(row["macs"] or "inf") for row in read_csv(folder, "digits", "--sort", "MACs")]
    assert sizes == sorted(sizes)
    ranked = read_csv(folder, "digits", "--sort", "val_accuracy", "--top", "1")
    assert [row["rank"] for row in ranked] == ["1"]


def test_status_of_one_trial(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    best = read_csv(folder, "digits", "--top", "1")[0]["trial"]
    output = call(folder, "status", "digits", best)[0]
    for part in (f"trial {best} of digits: ", "hyperparameters", "kernel", "val_accuracy", "⠒", "epoch"):
        assert part in output
    epochs = read_csv(folder, "digits", best)
    assert list(epochs[0])[:4] == ["trial", "epoch", "seconds", "learning_rate"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(epochs[0])
    facts = json.loads(call(folder, "status", "digits", best, "--json")[0])
    assert len(epochs) == len(facts["curve"])
    assert int(epochs[-1]["epoch"]) == facts["epochs"]
    assert max(float(epoch["val_accuracy"]) for epoch in epochs) == pytest.approx(facts["value"])


def test_what_status_says_of_a_trials_network_is_true(searched: tuple[Path, str], monkeypatch: Any) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    best = read_csv(folder, "digits", "--top", "1")[0]["trial"]
    lines = [line.strip().partition(":") for line in call(folder, "status", "digits", best)[0].splitlines()]
    code = {key: rest.strip() for key, _, rest in lines}
    trained = eval(code["trained"], {"keras": keras})
    untrained = eval(code["untrained"], {"searchcnn": searchcnn})
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    assert np.abs(untrained.predict(images, verbose=0) - trained.predict(images, verbose=0)).max() > 1e-3
    untrained.set_weights(trained.get_weights())
    np.testing.assert_allclose(untrained.predict(images, verbose=0), trained.predict(images, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["99"], "study 'digits' has no trial 99; its trials are 0 to "),
        (["--sort", "kernl"], "no column or hyperparameter 'kernl' to sort by; did you mean 'kernel'?"),
        (["--watch"], "--watch needs a terminal"),
        (["--csv", "--json"], "--json and --csv exclude each other"),
        (["0", "--sort", "time"], "--sort: is about all trials"),
    ],
)
def test_status_of_what_cannot_be(searched: tuple[Path, str], args: list[str], message: str) -> None:
    assert message in call(searched[0], "status", "digits", *args, code=2)[1]


def test_evaluate_prints_test_scores_and_counts_the_readings(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    first, _ = call(folder, "evaluate", "digits")
    assert re.search(
        r"Test accuracy 0\.\d{4}, loss \d\.\d{4} on 360 images; 95 % interval 0\.\d{3} to \d\.\d{3}\n", first
    )
    assert "precision" in first
    assert re.search(r"\npublished: best 1\.0000 \(ours is 0\.\d{4} lower\)\npublished: worst 0\.0100 .*higher", first)
    assert re.search(r"\nOn validation, which selected it, accuracy 0\.\d{4}\n", first)
    printed, err = call(folder, "evaluate", "digits", "--json", "--wrong", "wrong")
    scores = json.loads(printed)
    assert scores["times_read"] == 2
    wrong = sum(map(sum, scores["matrix"])) - sum(scores["matrix"][label][label] for label in range(10))
    assert f"wrong: {wrong} images" in err
    assert len(list((folder / "wrong").glob("*.png"))) == wrong == round(360 * (1 - scores["accuracy"]))
    rows = list(csv.DictReader(call(folder, "evaluate", "digits", "--csv")[0].splitlines()))
    assert [int(row["images"]) for row in rows] == [row["images"] for row in scores["classes"]]
    assert scores["published"] == {"best": 1.0, "worst": 0.01}
    assert sum(row["images"] for row in scores["classes"]) == 360


def test_export_writes_a_model_and_its_card(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    assert "verified" in call(folder, "export", "digits", "mine.keras")[0]
    card = json.loads((folder / "mine.json").read_text())
    assert card["classes"] == list("0123456789")
    assert (folder / "mine.keras").exists()


def test_lists_answer_and_name_what_there_is(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    assert re.search(r"digits +finished|digits +begun", call(folder, "studies")[0])
    assert "fashion_mnist" in call(folder, "studies")[0]
    assert "scikit-learn" in call(folder, "datasets")[0]
    assert "sequential" in call(folder, "plugins")[0]
    plugins = json.loads(call(folder, "plugins", "--json")[0])
    assert {p["name"]: p["status"] for p in plugins}["sequential"] == "ok"


def test_a_spent_budget_is_said_at_once(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    script = "import sys; from searchcnn.cli import main\ntry: main()\n"
    script += "finally: print(*{'keras', 'tensorflow', 'jax'} & {*sys.modules})"
    command = [sys.executable, "-c", script, *SEARCH]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "digits: the budget is spent; nothing was done" in done.stdout
    assert "Go on with: searchcnn optimize --study digits" in done.stdout
    assert "reading digits" not in done.stdout  # what a worker does first
    assert done.stdout.endswith("\n\n")  # none of these modules


def test_what_cannot_be_written_is_found_before_anything_is(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("a file")
    _, err = call(tmp_path, "plugins", "new", "my_net", code=1)
    assert re.search(r"^Error: \S+/tests: cannot be written: File exists; make it writable", err)
    assert not (tmp_path / "plugins" / "my_net.py").exists()
    (tmp_path / "studies").write_text("a file")
    out, err = call(tmp_path, "studies", "new", "mine", "--data", str(tmp_path), code=1)
    assert re.search(r"^Error: \S+/studies: cannot be written: File exists", err)
    assert out == ""  # nothing was read


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["optimise"], 2, "did you mean 'optimize'?"),
        (["train"], 2, "no command 'train'; did you mean 'optimize'?"),
        (["trian", "digits"], 2, "did you mean 'optimize'?"),
        (["show", "digits"], 2, "did you mean 'status'?"),
        (["results", "digits"], 2, "did you mean 'status'?"),
        (["leaderboard"], 2, "did you mean 'status'?"),
        (["test", "digits"], 2, "did you mean 'evaluate'?"),
        (["help"], 2, "did you mean '--help'?"),
        (["digits"], 2, "did you mean 'optimize digits'?"),
        (["studies", "list"], 2, "`searchcnn studies` lists them"),
        (["optimize", "digts"], 2, "did you mean 'digits'?"),
        (["optimize", "digits", "--study", "digits"], 2, "two studies: digits and --study digits; give one of them"),
        (["optimize", "--study", "digits", "--set", "epochs=5"], 2, "did you mean 'training.epochs'?"),
        (["optimize", "digits", "--epochs", "5"], 2, "no option --epochs; set it with --set training.epochs=VALUE"),
        (["optimize", "digits", "--set", "spaces=sequentiel"], 2, "did you mean 'sequential'?"),
        (["optimize", "digits", "--set", "spaces=[sequential,residul]"], 2, "did you mean 'residual'?"),
        (["optimize", "digits", "--space", "sequential", "--space", "residul"], 2, "did you mean 'residual'?"),
        (["optimize", "digits", "--space", "a", "--set", "spaces=b"], 2, "give only one of them"),
        (["optimize", "digits", "--space", "nets.ipynb:build"], 2, "nets.ipynb: is a notebook, and a search space is"),
        (["worker"], 2, "name the study, once: searchcnn worker STUDY"),
        (["worker", "digits"], 1, "has not been started here"),
        (["optimize", "--study", "fashon_mnist"], 2, "did you mean 'fashion_mnist'?"),
        (["optimize", "--study", "digits", "--set", "training.epoch=5"], 2, "did you mean 'epochs'?"),
        (["optimize", "--study", "digits", "--set", "training.epochs=many"], 2, "valid integer"),
        (["optimize", "--study", "digits", "--set", "training.batch_size=0"], 2, "at least 1"),
        (["optimize", "--study", "digits", "--timeout", "soon"], 2, "is not a duration"),
        (["optimize", "--study", "digits", "--set", "search.sampler=TPESampller"], 2, "did you mean 'TPESampler'?"),
        (["optimize", "--study", "digits", "--set", "search.pruner=nothing"], 2, "search.pruner: no 'nothing'"),
        (["optimize", "--study", "digits", "--set", "data.name=digitz"], 2, "did you mean 'digits'?"),
        (["optimize", "--study", "digits", "--set", 'spaces=["sequentiel"]'], 2, "did you mean 'sequential'?"),
        (["optimize", "--study", "digits", "--storage", "nonsense"], 1, "is not a database URL"),
        (["optimize", "--study", "digits", "--name", "a/b"], 2, "cannot name a study"),
        (["status", "digits"], 1, "has not been started here"),
        (["status", "nosuch"], 2, "no study named 'nosuch'"),
        (["export", "digits", "x.keras"], 1, "no such file"),
        (["evaluate", "digits"], 1, "has not been started here"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, args: list[str], code: int, message: str) -> None:
    _, err = call(tmp_path, *args, code=code)
    assert message in err
    assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1


@pytest.mark.slow
def test_a_wrong_metric_is_found_before_the_first_trial_and_can_be_mended(tmp_path: Path) -> None:
    search = ("optimize", "--study", "digits", "--trials", "1", *QUICK, *HERE)
    _, err = call(tmp_path, *search, "--set", "search.objective=val_acuracy", code=2)
    assert "did you mean 'val_accuracy'?" in err
    assert not (tmp_path / "studies").exists()
    out, err = call(tmp_path, *search, "--set", "search.objective=val_auc", code=2)
    assert "'val_auc' is not measured" in err
    assert "trial 0" not in out
    assert read_trials(tmp_path) == []
    assert "trial 0" in call(tmp_path, *search)[0]


def test_another_search_under_the_same_name_is_refused(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    _, err = call(folder, "optimize", "--study", "digits", "--trials", "9", "--set", "training.epochs=7", *HERE, code=1)
    assert "training.epochs (2 -> 7)" in err
    assert "--name digits-2" in err


@pytest.mark.slow  # tests/training has the same of one trial
def test_the_timeout_is_kept_in_mid_epoch_and_what_was_trained_counts(tmp_path: Path) -> None:
    settings = ("--set", "training.epochs=1000", "--set", "training.patience=1000", "--set", "budget.trials=1")
    no_plan = ("--set", "search.pruner='NopPruner'")  # which would end in time
    printed, _ = call(tmp_path, "optimize", "--study", "digits", "--timeout", "25s", *settings, *no_plan)
    (trial,) = [t for t in read_trials(tmp_path) if t["state"] == "COMPLETE"]
    assert trial["facts"]["stopped"] == "timeout"  # type: ignore[index]
    assert "1 point in " in printed


def test_a_reader_that_leaves_early_is_no_error(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    process = subprocess.run(
        f"{sys.executable} -m searchcnn status digits | head -1",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in process.stderr


def test_studies_are_copied_and_deleted(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    out, _ = call(folder, "studies", "copy", "digits", "mine")
    assert out == "Copied study 'digits'. Go on with: searchcnn optimize --study digits --name mine\n"
    assert read_trials(folder, "mine") == read_trials(folder)
    assert (folder / "studies" / "mine" / "best.keras").exists()
    assert "already exists" in call(folder, "studies", "copy", "digits", "mine", code=2)[1]
    assert call(folder, "studies", "delete", "mine", "--yes")[0] == "Deleted study 'mine'.\n"
    assert not list((folder / "studies").glob("mine*"))
    assert "no study named 'mine'" in call(folder, "studies", "delete", "mine", "--yes", code=2)[1]
    assert "is for the list, not for copy" in call(folder, "studies", "--json", "copy", "digits", "x", code=2)[1]


@pytest.mark.slow  # tests/workers has the same without the command line
def test_a_worker_joins_a_study_that_was_begun(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    call(folder, "studies", "copy", "digits", "joined")
    begun = [trial for trial in read_trials(folder) if trial["state"] != "WAITING"]
    with contextlib.closing(sqlite3.connect(folder / "studies" / "joined.db")) as database, database:
        budget = "UPDATE searchcnn_studies SET config = json_set(config, '$.budget.trials', ?)"
        database.execute(budget, [len(begun) + 1])
    assert "has not been started here" in call(folder, "worker", "--study", "fashion_mnist", code=1)[1]
    out, _ = call(folder, "worker", "--study", "joined", *HERE)
    assert f"trial {len(begun)}: " in out
    assert "Go on with" not in out
    assert len([trial for trial in read_trials(folder, "joined") if trial["state"] != "WAITING"]) == len(begun) + 1
    call(folder, "studies", "delete", "joined", "--yes")


def test_a_model_of_another_search_is_not_taken_for_the_study_s(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    call(folder, "studies", "copy", "digits", "shared")
    card = folder / "studies" / "shared" / "best.json"
    content = json.loads(card.read_text())
    content["scores"]["validation"]["accuracy"] = 0.123
    card.write_text(json.dumps(content))
    said = "best.keras of another search with that name, in another database"
    assert said in call(folder, "status", "shared")[0]
    _, err = call(folder, "evaluate", "shared", code=1)
    assert "is of another search with that name, in another database; name that database as storage, or" in err
    call(folder, "studies", "delete", "shared", "--yes")


@pytest.mark.slow
def test_a_study_and_images_by_one_word(tmp_path: Path) -> None:
    settings = ("--space", "sequential", "--trials", "1", "--set", "training.epochs=1", *HERE)
    assert "trial 0: sequential" in call(tmp_path, "optimize", "digits", *settings)[0]
    pixels = np.random.default_rng(0)
    for label in "abc":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            content = pixels.integers(0, 256, (8, 8), dtype="uint8")
            Image.fromarray(content).save(tmp_path / "photos" / label / f"{number}.png")
    assert "trial 0: sequential" in call(tmp_path, "optimize", "photos/", *settings)[0]
    assert read_trials(tmp_path, "photos/") == read_trials(tmp_path, "photos")


def complete(folder: Path, *words: str) -> list[str]:
    """Returns what Bash is offered for the last word of a command."""
    variables = {"_SEARCHCNN_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("searchcnn", *words))}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**variables, "COMP_CWORD": str(len(words))}.items():
            patch.setenv(name, value)
        return call_encoded(folder, "utf-8")[0].decode().split()  # Click writes bytes


def test_a_shell_completes_commands_options_and_studies(tmp_path: Path) -> None:
    assert complete(tmp_path, "st") == ["plain,status", "plain,studies"]
    assert complete(tmp_path, "optimize", "dig") == ["plain,digits"]
    assert complete(tmp_path, "optimize", "--tri") == ["plain,--trials"]
    assert complete(tmp_path, "status", "photos/") == ["file,photos/"]

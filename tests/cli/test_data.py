"""Your own images on the command line: from a folder to a search, a study file, predictions and a picture."""

import contextlib
import csv
import io
import json
import re
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.data import ImagesInspected
from searchcnn.events import Progress

start_keras()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from rich.console import Console  # noqa: E402

from searchcnn.data import Inspection, Preparation  # noqa: E402
from searchcnn.job import Job  # noqa: E402
from searchcnn.proposal.request import Request  # noqa: E402
from searchcnn.results import export, models, prediction, read_card  # noqa: E402
from searchcnn.results.card import write_card  # noqa: E402
from searchcnn.results.neighbors import Neighbors, write_neighbors  # noqa: E402
from searchcnn.study import Workspace, load, validate  # noqa: E402
from searchcnn.views import predictions  # noqa: E402
from searchcnn.views.dataset import Reading  # noqa: E402
from searchcnn.views.live import LiveView  # noqa: E402
from searchcnn.views.view import PlainView, View  # noqa: E402
from tests.cli.command import call  # noqa: E402

COLOURS = {"blue": (30, 60, 200), "green": (40, 160, 50), "red": (200, 50, 30)}
QUICK = ("--trials", "1", "--set", "training.epochs=2", "--set", 'spaces=["sequential"]', "--set", "data.image_size=16")
SEARCH = ("optimize", "--data", "pets", *QUICK, "--workers", "0")


def write_images(folder: Path, count: int = 20) -> None:
    """Writes images of three colours, of several sizes and formats, in a folder for each class."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            height, width = random.integers(20, 41, 2)
            pixels = np.clip(colour + random.normal(0, 30, (height, width, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.{'jpg' if number % 2 else 'png'}")


@pytest.fixture(scope="module", autouse=True)
def verify_here() -> Iterator[None]:
    """Verifies saved models in this process, which takes no seconds; tests/results does it in a fresh one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "verify", lambda *_: None)
        patch.setattr(export, "verify", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a folder of images, and no study file."""
    folder = tmp_path_factory.mktemp("workspace")
    write_images(folder / "pets")
    return folder


@pytest.fixture(scope="module")
def searched(workspace: Path) -> tuple[Path, str]:
    """The workspace after a search, and what that printed."""
    return workspace, call(workspace, *SEARCH)[0]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A workspace of a test's own with a few images."""
    write_images(tmp_path / "pets", 8)
    return tmp_path


class TestOptimize:
    def test_searches_a_folder_of_images(self, searched: tuple[Path, str]) -> None:
        folder, printed = searched
        assert printed.startswith(
            "pets: 3 classes, images of 16x16x3 (crop): 48 train, 6 validation (taken from train)"
        )
        assert printed.count("pets: 3 classes") == 1
        assert "trial 0: COMPLETE" in printed
        assert (folder / "studies/pets/best.keras").exists()
        assert not (folder / "studies/pets.toml").exists()

    def test_says_how_to_go_on(self, searched: tuple[Path, str]) -> None:
        folder, printed = searched
        assert "Test it:    searchcnn evaluate pets\n" in printed
        assert "Use it:     searchcnn predict pets IMAGE...\n" in printed
        (line,) = re.findall(r"^Go on with: searchcnn (.+)$", printed, re.MULTILINE)
        assert line.startswith("optimize --data pets --set training.epochs=2 ")
        assert line.endswith("--trials 2 --timeout 2h00m")
        assert "1 point in " in call(folder, *SEARCH)[0]  # the same command: nothing is left to do

    def test_the_test_images_are_scored(self, searched: tuple[Path, str]) -> None:
        assert "on 6 images" in call(searched[0], "evaluate", "pets")[0]

    def test_a_copy_goes_on_with_the_same_images(self, searched: tuple[Path, str]) -> None:
        out, _ = call(searched[0], "studies", "copy", "pets", "more")
        assert out.endswith("Go on with: searchcnn optimize --data pets --name more\n")

    @pytest.mark.slow
    def test_takes_the_settings_of_a_study(self, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("searchcnn.search.budget.LEAST_UNUSABLE", 2)
        monkeypatch.setattr("searchcnn.search.budget.UNUSABLE", 1)
        small = ("--set", "limits.max_params=1", "--set", "data.image_size=8", "--workers", "0", "--trials", "1")
        arguments = ("optimize", "--study", "digits", "--data", "pets", "--name", "as_digits", *small)
        out, err = call(workspace, *arguments, code=1)
        assert "trial 0: PRUNED  max_params" in out
        assert "no trial is complete, so there is no model: `searchcnn status as_digits` says why" in err
        assert "no model" not in out
        assert out.count("pets: 3 classes, images of 8x8x3") == 1
        assert json.loads(call(workspace, "status", "as_digits", "--json")[0])[0]["state"] == "PRUNED"
        assert not (workspace / "studies/digits.db").exists()

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["optimize"], "name a study (`searchcnn studies` lists them), or the path of your images"),
            (["optimize", "--data", "pet"], "pet: no such file or folder; did you mean 'pets'?"),
            (["optimize", "--data", "pets/red/0.png"], "0.png: cannot be read; expected a folder, an archive"),
            (["optimize", "--data", "pets", "--set", "data.image_size=big"], "data.image_size"),
            (["optimize", "--data", "pets", "--set", "training.epoch=1"], "did you mean 'epochs'?"),
            (["optimize", "--data", "pets", "--study", "digit"], "did you mean 'digits'?"),
            (["optimize", "--data", "pets", "--name", "a/b"], "cannot name a study"),
            (["studies", "new", "pets"], "searchcnn studies new pets --data PATH"),
            (["studies", "new", "a/b", "--data", "pets"], "cannot name a study"),
            (["datasets", "show", "digitz"], "did you mean 'digits'?"),
            (["datasets", "show", "./nowhere"], "no such file or folder"),
            (["datasets", "show", "digits", "--picture", "x.jpg"], "must end in .png"),
            (["datasets", "show", "digits", "--picture", "no/x.png"], "no: no such folder"),
            (["datasets", "show", "pets", "--picture", "pets/x.png"], "would be among the images"),
            (["datasets", "--json", "show", "digits"], "is for the list, not for show"),
            (["predict", "nosuch", "x.png"], "no study named 'nosuch'"),
            (["predict", "digits"], "Missing argument 'IMAGE...'"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, workspace: Path, args: list[str], message: str) -> None:
        _, err = call(workspace, *args, code=2)
        assert message in err
        assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1


def test_a_picture_that_cannot_be_written_is_said_before_the_images_are_read(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchcnn.sources.load_dataset", lambda *_: pytest.fail("reads first"))
    _, err = call(workspace, "datasets", "show", "digits", "--picture", "/proc/x.png", code=1)
    assert err.startswith("Error: /proc: cannot be written")


class TestReading:
    REPORT = Inspection("pets", (8, 8, 3), "crop", [(8, 8)] * 3, {"train": {"a": 1, "b": 2}}, [], [])

    def test_is_shown_in_a_terminal(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
        monkeypatch.setattr("searchcnn.views.dataset.make_console", lambda: console)
        with Reading() as images:
            for text, done in (("unpacking pets.zip", 0.5), ("unpacking pets.zip", 1.0), ("decoding images", 0.25)):
                images.hear(Progress(text, done))
            images._progress.refresh()
            drawn = console.file.getvalue()  # type: ignore[attr-defined]
            images.hear(ImagesInspected(self.REPORT))
        assert "decoding images" in drawn
        assert "25%" in drawn
        assert "2 classes" in capsys.readouterr().out

    @pytest.mark.parametrize("quiet", [False, True])
    def test_prints_what_was_found_and_nothing_else_where_there_is_no_terminal(
        self, quiet: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Reading(quiet) as images:
            images.hear(Progress("decoding images", 0.5))
            images.hear(ImagesInspected(self.REPORT))
        assert images.is_told
        assert capsys.readouterr().out == ("" if quiet else "pets: 2 classes, images of 8x8x3: 3 train\n")

    @pytest.mark.parametrize("kind", [PlainView, LiveView])
    def test_is_told_once_by_all_workers_together(
        self, kind: type[View], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = validate({"spaces": ["any"], "data": {"path": "pets"}, "budget": {"trials": 1}}, "test")
        view = kind(Job("pets", config, Workspace(tmp_path)))
        view.hear(ImagesInspected(self.REPORT))
        view.hear(ImagesInspected(self.REPORT))
        assert capsys.readouterr().out.count("pets: 2 classes") == 1


class TestStudiesNew:
    def test_writes_a_study_file_to_edit(self, empty: Path) -> None:
        out, _ = call(empty, "studies", "new", "animals", "--data", "pets")
        assert out.splitlines()[-1] == (
            "Written: studies/animals.toml. Edit it, then: searchcnn optimize --study animals"
        )
        text = (empty / "studies/animals.toml").read_text()
        assert "#   classes   3: blue, green, red; 6 training images of each" in text
        assert load(empty / "studies/animals.toml").data.path == "pets"
        assert re.search(r"^ animals +not started .+ animals: 3 classes, 24 images", call(empty, "studies")[0], re.M)

    def test_says_what_is_wrong_with_the_images(self, empty: Path) -> None:
        (empty / "pets/red/broken.png").write_text("no image")
        shutil.copy(empty / "pets/red/0.png", empty / "pets/blue/copy.png")
        out, _ = call(empty, "studies", "new", "pets", "--data", "pets")
        for text in (out, (empty / "studies/pets.toml").read_text()):
            assert "1 of 26 files cannot be read" in text
            assert "two labels" in text

    def test_does_not_overwrite(self, empty: Path) -> None:
        call(empty, "studies", "new", "pets", "--data", "pets")
        before = (empty / "studies/pets.toml").read_text()
        _, err = call(empty, "studies", "new", "pets", "--data", "pets", code=2)
        assert "pets.toml exists; choose another name, such as pets-2, or move it away" in err
        assert (empty / "studies/pets.toml").read_text() == before


class TestPredict:
    def test_classifies_files_as_they_were_decoded_in_training(self, searched: tuple[Path, str]) -> None:
        folder, _ = searched
        out, err = call(folder, "predict", "pets", "pets/red/0.png", "pets/blue/1.jpg", "--top", "3", "--json")
        assert err == ""
        shown: list[dict[str, Any]] = json.loads(out)
        assert [row["file"] for row in shown] == ["pets/red/0.png", "pets/blue/1.jpg"]
        card = json.loads((folder / "studies/pets/best.json").read_text())
        assert card["preparation"] == {"height": 16, "width": 16, "channels": 3, "resize": "crop"}
        pixels = Preparation(**card["preparation"]).read((folder / "pets/red/0.png").read_bytes())
        model = keras.models.load_model(folder / "studies/pets/best.keras")
        expected = dict(zip(COLOURS, model.predict(pixels[None], verbose=0)[0].tolist(), strict=True))
        probabilities = {row["class"]: row["probability"] for row in shown[0]["classes"]}
        assert probabilities == pytest.approx(expected, abs=1e-4)
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)

    def test_of_a_folder_classifies_all_images(self, searched: tuple[Path, str]) -> None:
        out, _ = call(searched[0], "predict", "pets", "pets/green")
        assert len(re.findall(r"pets/green/\d+\.(?:png|jpg) +(?:red|green|blue) +[01]\.\d{4}", out)) == 20

    def test_takes_an_exported_model(self, searched: tuple[Path, str], tmp_path: Path) -> None:
        folder, _ = searched
        call(folder, "export", "pets", str(tmp_path / "mine.keras"))
        shutil.copy(folder / "pets/red/0.png", tmp_path)
        assert "0.png" in call(tmp_path, "predict", "mine.keras", "0.png")[0]

    def test_names_and_skips_what_cannot_be_read(self, searched: tuple[Path, str], tmp_path: Path) -> None:
        (tmp_path / "broken.jpg").write_text("no image")
        bad = str(tmp_path / "broken.jpg")
        out, err = call(searched[0], "predict", "pets", bad, "pets/red/0.png")
        assert err == f"{bad}: cannot identify image; skipped\n"
        assert "pets/red/0.png" in out
        assert call(searched[0], "predict", "pets", bad, code=1) == ("", err)
        assert "no such file or folder" in call(searched[0], "predict", "pets", "x.png", code=2)[1]

    def test_writes_a_row_for_each_image(self, searched: tuple[Path, str], tmp_path: Path) -> None:
        (tmp_path / "broken.jpg").write_text("no image")
        out, err = call(searched[0], "predict", "pets", str(tmp_path), "pets/red", "--csv", "--top", "2")
        rows = list(csv.DictReader(out.splitlines()))
        assert [row["file"] for row in rows] == sorted(f"pets/red/{n}.{'jpg' if n % 2 else 'png'}" for n in range(20))
        assert "broken.jpg: cannot identify image; skipped" in err
        for row in rows:
            assert float(row["probability"]) >= float(row["probability_2"])
            assert row["class"] != row["class_2"]
            assert (row["sure"], row["unlike"]) == ("", "")  # six validation images promise nothing

    def test_lists_images_batch_by_batch(
        self, searched: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No image is read before the first ones are listed, and every way to list them has them all."""
        for number in range(7):
            shutil.copy(searched[0] / f"pets/red/{2 * number}.png", tmp_path / f"{number}.png")
        (tmp_path / "3.png").write_text("no image")
        (tmp_path / "6.png").rename(tmp_path / "with a much longer name.png")
        read: list[Path] = []

        def read_file(file: Path) -> bytes:
            read.append(file)
            return file.read_bytes()

        monkeypatch.setattr(prediction, "BATCH", 2)
        monkeypatch.setattr(prediction, "read_file", read_file)
        found = prediction.classify(searched[0] / "studies/pets/best.keras", sorted(tmp_path.glob("*.png")))
        next(found)
        assert len(read) == 2
        assert len([*found]) == 6
        monkeypatch.setattr(predictions, "PIECE", 2)
        out, _ = call(searched[0], "predict", "pets", str(tmp_path))
        assert out.count("probability") == 1
        assert len(re.findall(r"^.*\.png +(?:red|green|blue) +[01]\.\d{4} *$", out, re.M)) == 6
        places = {match.start() for line in out.splitlines() if (match := re.search(r"[01]\.\d{4} *$", line))}
        assert len(places) == 1  # columns are straight
        rows = json.loads(call(searched[0], "predict", "pets", str(tmp_path), "--json")[0])
        assert [("problem" in row) for row in rows] == [number == 3 for number in range(7)]

    def test_marks_what_is_unsure_and_what_is_unlike(self, searched: tuple[Path, str], tmp_path: Path) -> None:
        folder, _ = searched
        call(folder, "export", "pets", str(tmp_path / "mine.keras"))
        model, card = tmp_path / "mine.keras", read_card(tmp_path / "mine.keras")
        shown = json.loads(call(folder, "predict", str(model), "pets/red", "--json")[0])
        confidence = sorted(row["classes"][0]["probability"] for row in shown)
        threshold = (confidence[4] + confidence[5]) / 2
        write_card(model, {**card, "sure": {"threshold": threshold, "promise": 0.95, "accuracy": 0.97}})
        shown = json.loads(call(folder, "predict", str(model), "pets/red", "--json")[0])
        for row in shown:
            assert row["sure"] is (row["classes"][0]["probability"] >= threshold)
            assert row["unlike"] is None
        out, _ = call(folder, "predict", str(model), "pets/red")
        assert len(re.findall(r" unsure *$", out, re.M)) == 5
        assert "unsure: 5 images; of validation images that it is more sure of, 97.0% are right\n" in out
        features = keras.models.load_model(model).layers[-1].layers[-1].input.shape[-1]
        write_neighbors(model, Neighbors(np.ones((9, features), np.float32), (1e-6, 1e-6), 1.0), card["sha256"])
        shown = json.loads(call(folder, "predict", str(model), "pets/red", "--json")[0])
        assert {(row["sure"], row["unlike"]) for row in shown} == {(False, True)}
        out, _ = call(folder, "predict", str(model), "pets/red")
        assert len(re.findall(r" unlike *$", out, re.M)) == 20
        assert "unlike: 20 images, unlike all that it knows\n" in out

    def test_sorts_images_into_folders(self, searched: tuple[Path, str], tmp_path: Path) -> None:
        folder, _ = searched
        before = {file: file.read_bytes() for file in (folder / "pets").rglob("*.*")}
        out, err = call(folder, "predict", "pets", "pets", "--sort-into", str(tmp_path / "sorted"), "--csv")
        assert err == f"{tmp_path / 'sorted'}: 60 images copied\n"
        copies = [file for file in (tmp_path / "sorted").rglob("*") if file.is_file()]
        counts = Counter(row["class"] for row in csv.DictReader(out.splitlines()))
        assert Counter(file.parent.name for file in copies) == counts
        assert sorted(file.read_bytes() for file in copies) == sorted(before.values())
        assert {file: file.read_bytes() for file in (folder / "pets").rglob("*.*")} == before
        _, err = call(folder, "predict", "pets", "pets", "--sort-into", str(tmp_path / "sorted"), code=2)
        assert "already holds something; name a new or empty folder" in err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["pets", "--part", "train", "pets/red"], "--part lists the study's own images: give it without IMAGE"),
            (["pets", "--part", "train", "--top", "2"], "--part lists the study's own images: give it without IMAGE"),
            (["mine.keras", "--part", "train"], "of which mine.keras knows nothing; name the study"),
            (["pets", "--part", "val"], "'val' is not one of 'train', 'validation', 'test'"),
        ],
    )
    def test_of_a_part_takes_nothing_else(self, searched: tuple[Path, str], arguments: list[str], message: str) -> None:
        assert message in call(searched[0], "predict", *arguments, code=2)[1]

    def test_says_that_an_older_model_does_not_know_how(self, searched: tuple[Path, str], tmp_path: Path) -> None:
        folder, _ = searched
        for name in ("best.keras", "best.json"):
            shutil.copy(folder / "studies/pets" / name, tmp_path)
        card = json.loads((tmp_path / "best.json").read_text())
        del card["preparation"]
        (tmp_path / "best.json").write_text(json.dumps(card))
        shutil.copy(folder / "pets/red/0.png", tmp_path)
        _, err = call(tmp_path, "predict", "best.keras", "0.png", code=1)
        assert "best.json does not say how images are prepared" in err
        assert err.count("\n") == 1


class TestDatasetsShow:
    def test_prints_what_is_in_a_folder_and_draws_it(self, empty: Path) -> None:
        out, _ = call(empty, "datasets", "show", "pets")
        assert re.search(r"^ red +6 +1 +1 *$", out, re.MULTILINE)
        assert out.splitlines()[-1] == "Picture: pets.png"
        with Image.open(empty / "pets.png") as picture:
            assert picture.format == "PNG"
            assert picture.width == 1400

    def test_takes_a_dataset_by_its_name(self, empty: Path) -> None:
        out, _ = call(empty, "datasets", "show", "digits", "--picture", "d.png")
        assert "the classes are named like digits, letters or sides" in out
        assert (empty / "d.png").exists()


def test_a_study_file_for_the_same_images_is_taken(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace / "pets", tmp_path / "pets")
    call(tmp_path, "studies", "new", "pets", "--data", "pets")
    file = tmp_path / "studies/pets.toml"
    file.write_text(file.read_text().replace("[training]\n", "[training]\nbatch_size = 7\n"))
    assert tomllib.loads(file.read_text())["training"]["batch_size"] == 7
    with contextlib.chdir(tmp_path):
        job = Request(Workspace(tmp_path), data="./pets/").make_job()
        name, config = job.name, job.config
    assert (name, config.training.batch_size) == ("pets", 7)

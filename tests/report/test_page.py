"""The report as a page: what it holds, how large it is, and how a real browser shows it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from searchcnn.errors import StoreError, UsageError
from searchcnn.events import Epoch
from searchcnn.report import Contents, make_page, read_contents, write_report
from searchcnn.report.figures import find_parting
from searchcnn.report.points import compare_points
from searchcnn.results.card import find_card, write_card
from searchcnn.results.gallery import TEST_COUNTS, choose_images, make_pictures, write_pictures
from searchcnn.results.stored import write_predictions
from searchcnn.store import parse_url
from searchcnn.study import Workspace
from tests.report.conftest import MODEL, NAME, MakeStudy, make_predictions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = ("a<b>&", "<script>document.body.dataset.hacked = 'yes'</script>", "c'\"")
PROBE = """<script>
addEventListener("load", () => setInterval(() => {
  const names = performance.getEntriesByType("resource").map(entry => entry.name);
  const facts = {
    drawn: document.body.dataset.drawn, hacked: document.body.dataset.hacked,
    width: document.documentElement.scrollWidth, plots: document.querySelectorAll(".main-svg").length,
    colour: getComputedStyle(document.body).backgroundColor,
    requests: names.filter(name => !/^(data|blob):/.test(name)),
  };
  document.body.dataset.facts = JSON.stringify(facts);
}, 200));
</script>"""


def read(workspace: Workspace) -> Contents:
    return read_contents(workspace, parse_url(workspace.database_url(NAME)), NAME)


@pytest.mark.parametrize("trials", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_page_is_not_large_and_needs_no_keras(make_study: MakeStudy, trials: int) -> None:
    workspace = make_study(trials)
    script = (
        "import sys; from pathlib import Path; from searchcnn.store import parse_url; "
        "from searchcnn.study import Workspace; from searchcnn.report import read_contents, write_report; "
        f"workspace = Workspace(Path({str(workspace.root)!r})); "
        f"contents = read_contents(workspace, parse_url(workspace.database_url({NAME!r})), {NAME!r}); "
        f"write_report(contents, workspace.report({NAME!r})); "
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert process.stderr == ""
    page = workspace.report(NAME).read_text()
    assert len(page.encode()) < 6e6
    assert f"{trials:,} points in" in page
    assert len(re.findall(r'<img src="data:image/jpeg', page)) <= 40


def test_the_hyperparameter_that_matters_is_found(make_study: MakeStudy) -> None:
    (points,) = compare_points(read(make_study(80)))
    assert points.space == "net"
    assert next(iter(points.importances)) == "rate"
    assert points.importances["rate"] > 0.7
    assert points.epochs == 6
    assert len(points.study.trials) >= 40
    assert "units" in points.study.trials[0].params
    assert points.study.trials[0].params["units"] in (16, 32, 64)  # as the builder got it


def test_few_trials_are_not_analysed(make_study: MakeStudy) -> None:
    contents = read(make_study(7))
    assert compare_points(contents) == []
    assert "What matters" not in make_page(contents)


def test_until_the_test_images_are_read_it_says_so(make_study: MakeStudy) -> None:
    workspace = make_study(4)
    page = make_page(read(workspace))
    assert "The test images have not been read" in page
    assert f"searchcnn evaluate {NAME}" in page
    model = workspace.best_model(NAME)
    card = find_card(model)
    scores = {"accuracy": 0.8125, "images": 64, "times_read": 2, "balanced_accuracy": 0.8, "kappa": 0.7, "loss": 0.5}
    card["scores"]["test"] = {**scores, "calibration_error": 0.1}
    write_card(model, card)
    page = make_page(read(workspace))
    assert "have not been read" not in page
    assert "0.8125" in page
    assert "Confusion matrix of the test images" not in page
    predictions = make_predictions("abc")
    write_predictions(workspace.predictions(NAME, "test"), predictions, MODEL)
    chosen = choose_images(predictions, TEST_COUNTS)
    pictures = make_pictures(predictions, chosen, [np.zeros((9, 9, 1), np.uint8)] * len(chosen), ())
    write_pictures(workspace.pictures(NAME, "test"), pictures, MODEL)
    page = make_page(read(workspace))
    assert "Confusion matrix of the test images" in page
    assert "Most confident mistakes on the test images" in page
    assert len(re.findall(r'<img src="data:', page)) <= 40
    assert "read 2 times" in page


def test_a_search_that_was_killed_has_a_report(make_study: MakeStudy) -> None:
    """The card does not say yet that the model was verified."""
    workspace = make_study(4)
    card = find_card(workspace.best_model(NAME))
    del card["verified"]
    write_card(workspace.best_model(NAME), card)
    page = make_page(read(workspace))
    assert "plain Keras loads it" not in page
    assert "The network" in page


def test_a_sample_of_the_validation_images_is_called_one(make_study: MakeStudy) -> None:
    workspace = make_study(4)
    assert "On 60 validation images" in make_page(read(workspace))
    card = find_card(workspace.best_model(NAME))
    card["scores"]["validation"]["images"] = 600
    write_card(workspace.best_model(NAME), card)
    page = make_page(read(workspace))
    assert "On a random sample of 60 of 600 validation images" in page
    assert "Of a random sample of 60 of 600 validation images" in page


def test_a_study_with_folds_shows_the_test_images(make_study: MakeStudy) -> None:
    """Its model was fitted to the validation images, so that they say nothing."""
    workspace = make_study(4, data={"name": "digits", "folds": 3})
    workspace.predictions(NAME, "validation").rename(workspace.predictions(NAME, "test"))
    page = make_page(read(workspace))
    assert "Confusion matrix of the test images" in page
    assert "How sure it is" in page
    assert "(data.folds)" in page


def test_only_a_file_is_replaced(make_study: MakeStudy) -> None:
    """Not a device, nor a folder."""
    workspace = make_study(2, is_trained=False)
    for path in (Path("/dev/null"), workspace.root):
        with pytest.raises(UsageError, match="is not a file"):
            write_report(read(workspace), path)
    assert Path("/dev/null").is_char_device()


def test_a_study_without_a_model_has_a_report_of_its_search(make_study: MakeStudy) -> None:
    page = make_page(read(make_study(3, is_trained=False)))
    assert "its predictions for the validation images are not there" in page
    assert "Confusion matrix" not in page
    assert "Learning curves" in page


def test_a_study_that_was_not_begun_has_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read(Workspace(tmp_path))


def test_settings_are_a_study_file(make_study: MakeStudy) -> None:
    """What the page gives to reproduce a search makes the same search."""
    import html
    import tomllib

    from searchcnn.study import validate

    contents = read(make_study(3, published={"a net, 2016": 0.9}))
    settings = re.findall(r"<pre>(.*?)</pre>", make_page(contents), re.DOTALL)[-1]
    table = tomllib.loads(html.unescape(settings))
    assert validate(table, "page").model_dump() == contents.summary.config.model_dump()


@pytest.mark.parametrize(
    ("training", "parting"), [([0.5, 0.6, 0.7, 0.8], 3), ([0.9, 0.6, 0.5, 0.5], None), ([0.9] * 4, 1)]
)
def test_where_training_and_validation_part(training: list[float], parting: int | None) -> None:
    epochs = [
        Epoch(number, {"accuracy": value, "val_accuracy": 0.58}, None, 1.0) for number, value in enumerate(training, 1)
    ]
    assert find_parting(epochs, "val_accuracy", 1000) == parting
    assert find_parting(epochs, "val_loss", 1000) is None
    assert find_parting(epochs, "val_accuracy", None) is None


@pytest.fixture
def page(make_study: MakeStudy) -> Path:
    workspace = make_study(40, HOSTILE, description="<b onclick=x>")
    path = workspace.root / "page.html"
    path.write_text(make_page(read(workspace)).replace("</body>", f"{PROBE}</body>"))
    return path


def browse(page: Path, *options: str) -> tuple[str, str]:
    """Opens a page in Chromium; returns its elements in the end, and what the browser logs."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    basic = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [CHROMIUM, *basic, "--virtual-time-budget=30000", profile, *options, page.as_uri()]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return process.stdout, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (500, "dark")])
def test_a_browser_draws_it(page: Path, width: int, scheme: str) -> None:
    dark = ["--force-dark-mode"] if scheme == "dark" else []
    elements, log = browse(page, "--dump-dom", f"--window-size={width},900", *dark)
    assert "CONSOLE" not in log
    (found,) = re.findall(r'data-facts="([^"]*)"', elements)
    facts = json.loads(found.replace("&quot;", '"'))
    assert facts["drawn"] == "yes"
    assert facts["plots"] >= 9
    assert facts["requests"] == []
    assert facts["width"] <= width
    assert "hacked" not in facts
    assert facts["colour"] == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 29)")


@pytest.mark.slow
def test_it_can_be_printed(page: Path) -> None:
    target = page.with_suffix(".pdf")
    browse(page, f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
    assert target.stat().st_size > 50_000

"""Makes the pictures that the README and the site show, from real searches of `digits` and Fashion-MNIST.

    python docs/pictures.py                  makes docs/pictures anew, in some 15 minutes
    python docs/pictures.py FOLDER STUDY     makes them in another folder, with dataset and report of another study

The benchmarks' plots are made by benchmarks/peers.py.
"""

import contextlib
import csv
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image
from rich.console import Console, Group, RenderableType
from rich.text import Text

from searchcnn import Study
from searchcnn.events import EpochFinished, Event
from searchcnn.views.live import LiveView
from searchcnn.views.summary import summarize_study
from searchcnn.workers import search

PICTURES = Path(__file__).parent / "pictures"
STUDY, TIMEOUT = "digits", "5m"
OTHER, OTHER_TIMEOUT = "fashion_mnist", "8m"
"""The study whose dataset and report are shown."""
COLUMNS, LINES = 104, 32
"""Size of the terminal that is drawn."""
PAGE = (1160, 2300)
"""Width and height of the part of the report that is shown, in pixels."""
MAX_WRONG = 8
"""Number of the images that the model gets wrong."""
PACKAGES = ("keras", "tensorflow", "optuna")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""What a picture of a terminal would load from elsewhere; without it, browsers take a monospaced font of their own."""


def main(arguments: Sequence[str]) -> None:
    """Makes all pictures, and prints what with."""
    target, other = arguments or (PICTURES, OTHER)
    folder = Path(target).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as workspace, contextlib.chdir(workspace):
        draw_search(folder)
        printed = call("evaluate", STUDY, "--wrong", "wrong")
        draw_terminal(Text.from_ansi(printed), f"searchcnn evaluate {STUDY} --wrong wrong", folder / "evaluate.svg")
        draw_wrong(Path("wrong"), folder / "wrong.png")
        call("datasets", "show", other, "--picture", "dataset.png")
        shutil.copy("dataset.png", folder)
        if other != STUDY:
            call("optimize", "--study", other, "--timeout", OTHER_TIMEOUT)
            call("evaluate", other)
        if take_screenshot(Path("studies", other, "report.html"), folder / "report.png", *PAGE):
            shrink(folder / "report.png")
    print(describe_machine())


def draw_search(folder: Path) -> None:
    """Searches, and draws what a terminal shows before the last epoch, and in the end."""
    arguments = ["optimize", "--study", STUDY, "--timeout", TIMEOUT]
    job = replace(Study(STUDY).make_job(timeout=TIMEOUT), began=time.time())
    view = LiveView(job, Console(file=io.StringIO(), width=COLUMNS, height=LINES))
    screens: list[RenderableType] = []

    def hear(event: Event) -> None:
        view.hear(event)
        if isinstance(event, EpochFinished):
            screens.append(view.render())

    search(job, hear)
    title = f"searchcnn {' '.join(arguments)}"
    draw_terminal(screens[-2], title, folder / "live.svg")
    draw_terminal(Group(*summarize_study(job, arguments, stopped=False)), title, folder / "summary.svg")


def call(*arguments: str) -> str:
    """Returns what a command of searchcnn prints in a terminal."""
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "searchcnn", *arguments]
    done = subprocess.run(command, env=os.environ | terminal, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def draw_terminal(screen: RenderableType, title: str, file: Path) -> None:
    """Writes a picture of a terminal as SVG."""
    console = Console(file=io.StringIO(), record=True, width=COLUMNS)
    console.print(screen, highlight=False)
    file.write_text(WEB_FONT.sub("", console.export_svg(title=title)), encoding="utf-8")


def draw_wrong(folder: Path, file: Path) -> None:
    """Draws the images that a model gets wrong, as `searchcnn evaluate --wrong` has written them."""
    with (folder / "wrong.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))[:MAX_WRONG]
    figure = Figure((1.5 * len(rows), 2.2), facecolor="white", layout="constrained")
    for number, row in enumerate(rows, 1):
        axes = figure.add_subplot(1, len(rows), number)
        axes.imshow(imread(folder / row["picture"]), cmap="gray", vmin=0, vmax=1)
        sure = f"{float(row['probability']):.0%} sure"
        axes.set_title(f"{row['class']} taken for {row['predicted']}\n{sure}", fontsize=10)
        axes.set_axis_off()
    figure.savefig(file, dpi=100)


def take_screenshot(page: Path, file: Path, width: int, height: int) -> bool:
    """Draws what a browser shows of an HTML file.

    Returns:
        Whether there is a browser.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"{file}: not made, since none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return False
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=20000"]
    size = [f"--screenshot={file}", f"--window-size={width},{height}"]
    subprocess.run([browser, *options, *size, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    return True


def shrink(file: Path) -> None:
    """Writes a picture anew with fewer colours."""
    with Image.open(file) as picture:
        picture.quantize(96).save(file, optimize=True)


def describe_machine() -> str:
    """Returns what pictures are made with."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {versions}"


if __name__ == "__main__":
    main(sys.argv[1:])

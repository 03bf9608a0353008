"""The README: its commands run, they print what it shows, its Python code works."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from searchcnn.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<file>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
NOT_RUN = ("make run", "make test", "pip install .")
"""Commands that need the internet, or are what runs this test."""

NUMBERS = re.compile(r"(?:\d+[hms]\d+[ms]|\d[\d,.]*[kMGs]?)\b")
"""Counts, scores and times, with their units."""


@dataclass(frozen=True)
class Step:
    """A command, or a file of Python code, and the lines it is said to print."""

    command: str
    shown: tuple[str, ...] = ()
    code: str = ""


def steps() -> list[Step]:
    """Returns what the README does, in its order; a Python block with a title is a file, any other is executed."""
    found: list[Step] = []
    for block in BLOCK.finditer(README):
        if block["language"] == "sh":
            found += [Step(line) for line in block["text"].splitlines()]
        elif block["language"] == "console":
            found += [
                Step(command, tuple(lines))
                for command, *lines in (part.splitlines() for part in re.split(r"^\$ ", block["text"], flags=re.M)[1:])
            ]
        elif block["language"] == "python":
            found.append(Step("", code=block["text"]) if not block["file"] else Step(block["file"], code=block["text"]))
    return found


def normal(line: str) -> str:
    """Returns a line without the numbers, which differ from run to run, and without differences in spacing."""
    return " ".join(NUMBERS.sub("N", line).replace("[", "[ ").split())


def is_in(shown: str, printed: list[str]) -> bool:
    """Whether a shown line was printed; ``...`` in it stands for anything."""
    pattern = ".*".join(re.escape(normal(part)) for part in shown.split("..."))
    return any(re.search(pattern, normal(line)) for line in printed)


def test_has_the_first_commands() -> None:
    commands = [step.command for step in steps()]
    assert commands[:3] == ["make run", "make test", "pip install ."]


def test_every_shown_command_is_one_that_runs() -> None:
    for step in steps():
        assert step.code or step.command in NOT_RUN or step.command.startswith("searchcnn ")


def run(command: str, folder: Path) -> str:
    """Runs a command in a process of its own, which prints no more than it has to; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def call(step: Step, folder: Path) -> str:
    """Runs a command or code in this process, which need not start TensorFlow again; returns what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if step.code:
            exec(step.code, {})
        else:
            with pytest.raises(SystemExit) as left:
                main(shlex.split(step.command)[1:])
            assert left.value.code == 0, f"{step.command}\n{out.getvalue()}\n{err.getvalue()}"
    return out.getvalue()


def write_images(folder: Path) -> None:
    """Writes what the README takes for granted: a folder of images, and one image beside it."""
    pixels = np.random.default_rng(0)
    for number, name in enumerate(("daisy", "dandelion", "roses", "sunflowers", "tulips")):
        for part, count in (("train", 24), ("val", 6)):
            (folder / "flowers" / part / name).mkdir(parents=True)
            for image in range(count):
                colours = np.clip(50 * number + pixels.normal(0, 30, (64, 64, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(colours).save(folder / "flowers" / part / name / f"{image}.png")
    shutil.copy(folder / "flowers" / "val" / "roses" / "0.png", folder / "rose.jpg")


@pytest.mark.slow
def test_works_from_top_to_bottom(tmp_path: Path) -> None:
    write_images(tmp_path)
    first = next(step for step in steps() if step.command.startswith("searchcnn "))
    for step in steps():
        if step.command in NOT_RUN:
            continue
        if step.code and step.command:
            (tmp_path / step.command).parent.mkdir(exist_ok=True)
            (tmp_path / step.command).write_text(step.code, encoding="utf-8")
            continue
        printed = run(step.command, tmp_path) if step == first else call(step, tmp_path)
        lines = printed.splitlines()
        missing = [line for line in step.shown if line.strip() != "..." and not is_in(line, lines)]
        assert not missing, f"{step.command}\n{printed}"


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("[   36s] trial 0: COMPLETE  0.9895", "[1m02s] trial 0: COMPLETE  0.99", True),
        ("94.9k parameters, 610k MACs", "1.2M parameters, 70 MACs", True),
        (" tiny  workspace   ok ...", " tiny  workspace   error  x", False),
        ("Test accuracy 0.98", "Training accuracy 0.98", False),
    ],
)
def test_the_comparison_ignores_numbers_only(shown: str, printed: str, same: bool) -> None:
    assert is_in(shown, [printed]) is same


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target

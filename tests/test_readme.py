"""The README: its commands run, they print what it shows, its Python code works."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

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


def test_works_from_top_to_bottom(tmp_path: Path) -> None:
    for step in steps():
        if step.command in NOT_RUN:
            continue
        if step.code and step.command:
            (tmp_path / step.command).parent.mkdir(exist_ok=True)
            (tmp_path / step.command).write_text(step.code, encoding="utf-8")
            continue
        arguments = ["-c", step.code] if step.code else ["-m", *shlex.split(step.command)]
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{step.command or step.code}\n{done.stdout}\n{done.stderr}"
        printed = done.stdout.splitlines()
        missing = [line for line in step.shown if line.strip() != "..." and not is_in(line, printed)]
        assert not missing, f"{step.command}\n{done.stdout}"


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

"""What is printed in any encoding: nothing is lost where it is read by programs, and no command ends in a traceback."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from searchcnn import streams
from tests.cli.command import call_encoded

CLASSES = ("Größe", "猫", "b★")
ENCODINGS = ("cp1252", "cp437", "ascii", "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images whose classes and files have names in several scripts, and a search space of such a name."""
    folder = tmp_path_factory.mktemp("workspace")
    for number, name in enumerate(CLASSES):
        (folder / "Bilder→" / name).mkdir(parents=True)
        for index in range(9):
            pixels = np.random.default_rng(9 * number + index).integers(0, 256, (8, 8), dtype="uint8")
            Image.fromarray(pixels).save(folder / "Bilder→" / name / f"é{index}.png")
    (folder / "Bilder→" / "猫" / "kaputt✗.png").write_bytes(b"no image")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "netz.py").write_text('"""Für Größe ★ und 猫."""\ndef build(hp): ...\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("plugins",), 0),
        (("status", "--help"), 0),
        pytest.param(("datasets", "show", "Bilder→", "--picture", "b.png"), 0, marks=pytest.mark.slow),
        (("datasets", "show", "Bälder✓→"), 2),
        (("status", "猫★"), 2),
        (("optimize", "./nö/"), 2),
        (("optimize", "--study", "digits", "--set", "猫=→"), 2),
        (("studies", "new", "★", "--data", "Bilder→"), 2),
    ],
)
def test_every_encoding_can_be_printed(folder: Path, encoding: str, args: tuple[str, ...], code: int) -> None:
    out, err = call_encoded(folder, encoding, *args, code=code)
    assert out.decode(encoding) or code
    assert "Traceback" not in err.decode(encoding)


def test_characters_that_there_are_stay(folder: Path) -> None:
    out = call_encoded(folder, "cp1252", "plugins")[0].decode("cp1252")
    assert "Für Größe * und ??." in out
    assert "Für Größe ★ und 猫." in call_encoded(folder, "utf-8", "plugins")[0].decode()


def test_tables_stay_in_line() -> None:
    wide = "✓✗★≈\N{MULTIPLICATION SIGN}·…│┆─╭├╰▁█▏⠒"
    assert all(len(streams.make_plain(character)) == 1 for character in wide)
    assert "?" not in "".join(map(streams.make_plain, wide))


def test_the_streams_of_another_program_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding="ascii", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    with streams.adapted():
        print("★ 猫")
    assert file.getvalue() == b"* ??\n"
    with pytest.raises(UnicodeEncodeError):
        print("★")


def test_what_programs_read_is_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding="cp1252", newline="\r\n", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    streams.write_utf8()
    sys.stdout.write("猫\udcff,1\r\n")
    assert file.getvalue() == "猫\\udcff,1\r\n".encode()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
@pytest.mark.slow
def test_a_process_of_its_own(folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "searchcnn", "plugins"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"* und ??" in done.stdout
